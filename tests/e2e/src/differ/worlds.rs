//! The rows of the two worlds, which differ in nothing but the values of masked columns.

use std::fmt::Write as _;

/// Rows of `person`; of the last one every masked column is NULL.
const PEOPLE: u32 = 8;

/// One of the two.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum World {
    /// The one that is also asked directly.
    A,
    /// The other one.
    B,
}

/// What a masked column holds, as bytes to be recognised.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Canary {
    /// A text that is in no other place.
    Text(String),
    /// A whole number of eight digits or more.
    Number(i64),
    /// Days from 2000-01-01, and the date as text.
    Date(i32, String),
    /// Sixteen bytes.
    Uuid(String),
}

impl World {
    /// A text of letters and digits that nothing else has: no two of six characters are alike.
    fn text(self, column: u32, row: u32) -> String {
        let salt = match self {
            Self::A => 0x51ed_u64,
            Self::B => 0xbead_u64,
        };
        let mut bits = (u64::from(column) << 32 | u64::from(row))
            .wrapping_mul(0x9e37_79b9_7f4a_7c15)
            .wrapping_add(salt.wrapping_mul(0x94d0_49bb_1331_11eb));
        // Letters that no hexadecimal number has, so that hashes are never taken for them.
        let letters = b"ghjkmnpqrtuvwxyzGHJKMNPQRTUVWXYZ";
        let mut text = String::new();
        // Lengths differ from world to world, as they may.
        let length = if self == Self::A { 10 + row % 3 } else { 13 + row * 2 % 5 };
        for _ in 0..length {
            bits ^= bits >> 29;
            bits = bits.wrapping_mul(0xbf58_476d_1ce4_e5b9).rotate_left(17);
            let at = usize::try_from(bits >> 59).unwrap_or(0);
            text.push(char::from(letters.get(at).copied().unwrap_or(b'q')));
        }
        text
    }

    fn number(self, column: u32, row: u32) -> i64 {
        let (start, step) = match self {
            Self::A => (61_318_907, 1_730_291),
            // Smaller for later rows: another order as well.
            Self::B => (97_402_113, -3_907_117),
        };
        start + step * i64::from(row) + i64::from(column) * 77_003
    }

    /// The same in both worlds but for the beginning: what `partial` shows is the end.
    fn phone(self, row: u32) -> String {
        let begin = if self == Self::A { "kzwqmxtr" } else { "pvyhnguj" };
        format!("{begin}{row}-7{row}99")
    }

    fn date(row: u32, world: Self) -> (i32, String) {
        match world {
            // 1931-03-11 and later days; 1847-10-21 and earlier years' worth of days.
            Self::A => {
                (-25_133 + i32::try_from(row).unwrap_or(0), format!("1931-03-{:02}", 11 + row))
            }
            Self::B => {
                (-55_590 - i32::try_from(row).unwrap_or(0), format!("1847-10-{:02}", 20 - row))
            }
        }
    }

    fn uuid(self, row: u32) -> String {
        let high = if self == Self::A { 0x7a91_c3d5_u32 } else { 0x1b42_e86f };
        format!("{:08x}-53c7-4b1e-9d2a-6f08e4{row:02x}b7a5", high.wrapping_add(row * 0x0101_0101))
    }

    /// Statements that fill the tables.
    #[must_use]
    pub fn fill(self) -> String {
        let mut sql = String::from(
            "INSERT INTO dept VALUES ('dev', 'Ada', 100), ('ops', 'Ben', 250), ('law', 'Cy', 90), \
             ('art', 'Di', 400);\n\
             INSERT INTO plain SELECT n, (ARRAY['apple', 'Birch', 'cedar-12', 'D''or', 'ä ö'])[n % 5 + 1], \
             n * 7, n * 1.25, date '2020-01-30' + n, timestamptz '2021-03-04 05:06:07+00' + n * interval '1 hour', \
             jsonb_build_object('k', 'v' || n, 'n', n), ARRAY['t' || n % 2, 'u'], n % 3 + 1, \
             (ARRAY['low', 'mid', 'high']::mood[])[n % 3 + 1], n % 2 = 0, \
             ('00000000-0000-0000-0000-00000000000' || n)::uuid, decode('0' || n, 'hex'), \
             ('s' || n, n)::pair, n * 1000000000::int8 FROM generate_series(1, 6) n;\n\
             INSERT INTO plain (id, body) VALUES (7, 'none');\n",
        );
        for row in 1..=PEOPLE {
            let fixed = format!(
                "{row}, 'Name {row}', (ARRAY['dev', 'ops', 'law'])[{row} % 3 + 1], 1000000000, \
                 NULLIF('note {}', 'note 0'), date '2019-05-01' + {row}",
                row % 4
            );
            if row == PEOPLE {
                let _ = writeln!(sql, "INSERT INTO person VALUES ({fixed});");
                continue;
            }
            let a = self == Self::A;
            let (seen, grade, vip) = match self {
                Self::A => (1_000 + row * 37, row % 4 + 1, row % 2),
                Self::B => (900_000 - row * 91, (row * 3 + 1) % 4 + 1, u32::from(row > 3)),
            };
            let profile = if a {
                format!("{{\"k\": \"{}\", \"n\": {row}}}", self.text(9, row))
            } else {
                format!("{{\"k\": {{\"x\": \"{}\"}}, \"m\": [1, {row}]}}", self.text(9, row))
            };
            let more = if a || row % 2 == 0 { "" } else { ", NULL" };
            let _ = writeln!(
                sql,
                "INSERT INTO person VALUES ({fixed}, '{}', '{}', '{}', '{}', {}, {}, {}.{:02}, \
                 '{}', timestamptz '1971-01-01 00:00:00+00' + {seen} * interval '1 minute', '{}', \
                 '{profile}', '{}', ARRAY['{}', '{}'{more}], \
                 (enum_range(NULL::mood))[{grade}], ('{}', {}), {vip}::bool);",
                self.text(1, row),
                self.text(2, row),
                self.phone(row),
                self.text(4, row),
                self.number(5, row),
                self.number(6, row) * 1_000_003,
                self.number(7, row),
                row * 11,
                Self::date(row, self).1,
                self.uuid(row),
                self.text(10, row),
                self.text(11, row),
                self.text(12, row),
                self.text(13, row),
                self.number(14, row),
            );
        }
        for row in 1..=6 {
            let _ = writeln!(
                sql,
                "INSERT INTO orders VALUES ({row}, {}, {row} * 10.5, (enum_range(NULL::mood))[{row} % 4 + 1], \
                 timestamptz '2022-01-01 00:00:00+00' + {row} * interval '1 day', '{}', {});\n\
                 INSERT INTO refs VALUES ({row}, 'label {row}', '{}');\n\
                 INSERT INTO event VALUES ({row}, '{}', {}, 'event {row}');\n\
                 INSERT INTO {} VALUES ({row}, 'pet {row}', '{}'{});",
                row % 3 + 1,
                self.text(20, if self == Self::A { row } else { row / 2 }),
                self.number(21, row) * 11,
                self.text(1, row % 4 + 1),
                if row % 2 == 0 { "eu" } else { "us" },
                self.number(22, row),
                if row > 3 { "dog" } else { "animal" },
                self.text(23, row),
                if row > 3 { ", 'breed'" } else { "" },
            );
        }
        sql += "REFRESH MATERIALIZED VIEW mv_person;\n";
        sql
    }

    /// Everything that a client must not learn.
    #[must_use]
    pub fn canaries(self) -> Vec<Canary> {
        let mut all = Vec::new();
        for row in 1..PEOPLE {
            for column in [1, 2, 4, 9, 10, 11, 12, 13, 20, 23] {
                all.push(Canary::Text(self.text(column, row)));
            }
            let begin = self.phone(row).chars().take(9).collect();
            all.push(Canary::Text(begin));
            all.extend([5, 7, 14, 22].map(|column| Canary::Number(self.number(column, row))));
            all.push(Canary::Number(self.number(6, row) * 1_000_003));
            all.push(Canary::Number(self.number(21, row) * 11));
            let (days, text) = Self::date(row, self);
            all.push(Canary::Date(days, text));
            all.push(Canary::Uuid(self.uuid(row)));
        }
        all
    }

    /// The value of a masked text column, for a statement that guesses it.
    #[must_use]
    pub fn guess(self, row: u32) -> String {
        self.text(1, row)
    }
}
