//! Lengths of time and points in time as text, and the parts of a date. All times are UTC.

/// Nanoseconds in a second.
const SECOND: i128 = 1_000_000_000;
const DAY_SECONDS: i128 = 86_400;

/// A part of a time or a length of time, numbered as CEL does.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Part {
    /// 1970…
    FullYear,
    /// 0 (January) to 11.
    Month,
    /// Day of the month, 1 to 31.
    Date,
    /// Day of the month, 0 to 30.
    DayOfMonth,
    /// 0 (Sunday) to 6.
    DayOfWeek,
    /// 0 to 365.
    DayOfYear,
    /// Of the day, 0 to 23.
    Hours,
    /// Of the hour, 0 to 59.
    Minutes,
    /// Of the minute, 0 to 59.
    Seconds,
    /// Whole hours of a length of time.
    TotalHours,
    /// Whole minutes of a length of time.
    TotalMinutes,
    /// Whole seconds of a length of time.
    TotalSeconds,
}

/// The part of a time or a length of time, which is in nanoseconds.
pub(crate) fn part(part: Part, nanos: i128) -> i128 {
    let seconds = nanos.div_euclid(SECOND);
    let days = seconds.div_euclid(DAY_SECONDS);
    let of_day = seconds.rem_euclid(DAY_SECONDS);
    let (year, month, date) = civil(days);
    match part {
        Part::FullYear => year,
        Part::Month => month - 1,
        Part::Date => date,
        Part::DayOfMonth => date - 1,
        // 1970-01-01 was a Thursday.
        Part::DayOfWeek => (days + 4).rem_euclid(7),
        Part::DayOfYear => days - days_of(year, 1, 1),
        Part::Hours => of_day / 3600,
        Part::Minutes => of_day / 60 % 60,
        Part::Seconds => of_day % 60,
        Part::TotalHours => nanos / (3600 * SECOND),
        Part::TotalMinutes => nanos / (60 * SECOND),
        Part::TotalSeconds => nanos / SECOND,
    }
}

/// Year, month (1 to 12) and day of the month of a day since 1970-01-01.
fn civil(days: i128) -> (i128, i128, i128) {
    // Years begin in March here, so that leap days come last; eras have 400 years.
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let date = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year + era * 400 + i128::from(month <= 2), month, date)
}

/// Days since 1970-01-01 of a date; the inverse of [`civil`].
fn days_of(year: i128, month: i128, date: i128) -> i128 {
    let year = year - i128::from(month <= 2);
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + date - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// Reads a length of time such as `5m`, `1h30m`, `1.5s`, `250ms`, in nanoseconds.
pub(crate) fn parse_duration(text: &str) -> Option<i128> {
    let (sign, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text),
    };
    if rest == "0" {
        return Some(0);
    }
    if rest.is_empty() || rest.len() > 64 {
        return None;
    }
    let mut total: i128 = 0;
    while !rest.is_empty() {
        let number = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (digits, after) = rest.split_at(number);
        let unit_len = after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len());
        let (unit, next) = after.split_at(unit_len);
        let nanos = match unit {
            "ns" => 1,
            "us" | "µs" => 1_000,
            "ms" => 1_000_000,
            "s" => SECOND,
            "m" => 60 * SECOND,
            "h" => 3600 * SECOND,
            _ => return None,
        };
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        if whole.len() > 19
            || fraction.len() > 9
            || fraction.contains('.')
            || whole.len() + fraction.len() == 0
        {
            return None;
        }
        let whole: i128 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
        total = total.checked_add(whole.checked_mul(nanos)?)?;
        if !fraction.is_empty() {
            let scale = 10_i128.checked_pow(u32::try_from(fraction.len()).ok()?)?;
            total =
                total.checked_add(fraction.parse::<i128>().ok()?.checked_mul(nanos)? / scale)?;
        }
        rest = next;
    }
    (total <= i128::from(u64::MAX)).then_some(sign * total)
}

/// Reads an RFC 3339 time such as `2026-01-31T08:00:00Z`, in nanoseconds since 1970.
pub(crate) fn parse_time(text: &str) -> Option<i128> {
    let (date, rest) = text.split_at_checked(10)?;
    let rest = rest.strip_prefix(['T', 't'])?;
    let (clock, rest) = rest.split_at_checked(8)?;
    let [year, month, day] = fields(date, '-', [4, 2, 2])?;
    let [hours, minutes, seconds] = fields(clock, ':', [2, 2, 2])?;
    let days = days_of(year, month, day);
    if civil(days) != (year, month, day) || hours > 23 || minutes > 59 || seconds > 59 {
        return None;
    }
    let (nanos, zone) = match rest.strip_prefix('.') {
        Some(rest) => {
            let end = rest.find(|c: char| !c.is_ascii_digit())?;
            let (digits, zone) = rest.split_at(end);
            if digits.is_empty() || digits.len() > 9 {
                return None;
            }
            (format!("{digits:0<9}").parse::<i128>().ok()?, zone)
        }
        None => (0, rest),
    };
    let offset = match zone {
        "Z" | "z" => 0,
        _ => {
            let sign = match zone.get(..1)? {
                "+" => 1,
                "-" => -1,
                _ => return None,
            };
            let [hours, minutes] = fields(zone.get(1..)?, ':', [2, 2])?;
            if hours > 23 || minutes > 59 {
                return None;
            }
            sign * (hours * 3600 + minutes * 60)
        }
    };
    let of_day = hours * 3600 + minutes * 60 + seconds;
    let total = (days * DAY_SECONDS + of_day - offset) * SECOND + nanos;
    (0..=i128::from(u64::MAX)).contains(&total).then_some(total)
}

/// Numbers of fixed widths, separated.
fn fields<const N: usize>(text: &str, by: char, widths: [usize; N]) -> Option<[i128; N]> {
    let mut parts = text.split(by);
    let mut numbers = [0; N];
    for (number, width) in numbers.iter_mut().zip(widths) {
        let part = parts.next()?;
        if part.len() != width || !part.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        *number = part.parse().ok()?;
    }
    parts.next().is_none().then_some(numbers)
}

/// A time as RFC 3339 with whole seconds.
pub(crate) fn show_time(nanos: u64) -> String {
    let nanos = i128::from(nanos);
    let (year, month, date) = civil(nanos.div_euclid(SECOND).div_euclid(DAY_SECONDS));
    let [hours, minutes, seconds] =
        [Part::Hours, Part::Minutes, Part::Seconds].map(|wanted| part(wanted, nanos));
    format!("{year:04}-{month:02}-{date:02}T{hours:02}:{minutes:02}:{seconds:02}Z")
}

/// A length of time in the largest units that fit: `1h30m`, `250ms`.
pub(crate) fn show_duration(nanos: u128) -> String {
    const UNITS: [(u128, &str); 6] = [
        (3_600_000_000_000, "h"),
        (60_000_000_000, "m"),
        (1_000_000_000, "s"),
        (1_000_000, "ms"),
        (1_000, "us"),
        (1, "ns"),
    ];
    let mut rest = nanos;
    let mut text = String::new();
    for (unit, name) in UNITS {
        if rest >= unit {
            text.push_str(&format!("{}{name}", rest / unit));
            rest %= unit;
        }
    }
    if text.is_empty() { "0s".to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn durations_read_as_cel_writes_them() {
        for (text, seconds_e9) in [
            ("5m", Some(300 * SECOND)),
            ("1h30m", Some(5400 * SECOND)),
            ("1.5s", Some(3 * SECOND / 2)),
            ("250ms", Some(SECOND / 4)),
            ("-1s", Some(-SECOND)),
            ("0", Some(0)),
            (".5s", Some(SECOND / 2)),
            ("", None),
            ("5", None),
            ("m", None),
            (".s", None),
            ("1d", None),
            ("1h-5m", None),
            ("9999999999999999999h", None),
        ] {
            assert_eq!(parse_duration(text), seconds_e9, "{text}");
        }
        assert_eq!(show_duration(5_400_000_000_000), "1h30m");
        assert_eq!(show_duration(0), "0s");
    }

    #[test]
    fn times_read_as_rfc_3339() {
        for (text, expected) in [
            ("1970-01-01T00:00:00Z", Some(0)),
            ("2000-02-29T12:30:15Z", Some(951_827_415 * SECOND)),
            ("2000-02-29T13:30:15+01:00", Some(951_827_415 * SECOND)),
            ("2026-11-23T07:28:13.5Z", Some(1_795_418_893 * SECOND + SECOND / 2)),
            ("1969-12-31T23:59:59Z", None),
            ("2001-02-29T00:00:00Z", None),
            ("2001-13-01T00:00:00Z", None),
            ("2001-01-01T24:00:00Z", None),
            ("2001-01-01 00:00:00Z", None),
            ("2001-01-01T00:00:00", None),
            ("2001-01-01", None),
            ("é", None),
        ] {
            assert_eq!(parse_time(text), expected, "{text}");
        }
    }

    #[test]
    fn parts_are_numbered_as_in_cel() {
        let time = parse_time("2026-11-23T07:28:13Z").unwrap();
        for (wanted, expected) in [
            (Part::FullYear, 2026),
            (Part::Month, 10),
            (Part::Date, 23),
            (Part::DayOfMonth, 22),
            (Part::DayOfWeek, 1),
            (Part::DayOfYear, 326),
            (Part::Hours, 7),
            (Part::Minutes, 28),
            (Part::Seconds, 13),
        ] {
            assert_eq!(part(wanted, time), expected, "{wanted:?}");
        }
        assert_eq!(part(Part::TotalMinutes, 5400 * SECOND), 90);
    }

    proptest! {
        #[test]
        fn dates_survive_the_round_trip(days in -1_000_000_i128..10_000_000) {
            let (year, month, date) = civil(days);
            prop_assert_eq!(days_of(year, month, date), days);
        }

        #[test]
        fn shown_times_read_back(seconds in 0_u64..18_000_000_000) {
            let shown = show_time(seconds * 1_000_000_000);
            prop_assert_eq!(parse_time(&shown), Some(i128::from(seconds) * SECOND));
        }
    }
}
