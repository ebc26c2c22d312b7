//! Times and lengths of time as people and JSON write them.

use std::time::Duration;

use model::Timestamp;

const UNITS: [(&str, u64); 6] = [
    ("ms", 1_000_000),
    ("us", 1_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
    ("d", 86_400_000_000_000),
];

/// Reads a length of time: `50ms`, `2m`, `1h30m`, `7d`, `0`. `None` when it is not one.
#[must_use]
pub fn parse_duration(text: &str) -> Option<Duration> {
    let text = text.trim();
    if text == "0" {
        return Some(Duration::ZERO);
    }
    let mut rest = text;
    let mut total = 0_u64;
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let number: u64 = rest.get(..digits)?.parse().ok()?;
        rest = rest.get(digits..)?;
        let (unit, factor) = UNITS.iter().find(|(unit, _)| rest.starts_with(unit))?;
        rest = rest.strip_prefix(unit)?;
        total = total.checked_add(number.checked_mul(*factor)?)?;
    }
    (!text.is_empty()).then_some(Duration::from_nanos(total))
}

/// `2026-11-23T07:36:50.123456789Z`; the fraction only as long as it needs to be.
#[must_use]
pub fn format_time(at: Timestamp) -> String {
    match jiff::Timestamp::from_nanosecond(i128::from(at.0)) {
        Ok(time) => time.to_string(),
        // Past the year 9999, which only a broken clock says.
        Err(_) => format!("{}ns", at.0),
    }
}

/// Reads RFC 3339 with any offset. `None` before 1970 and after 2554 too.
#[must_use]
pub fn parse_time(text: &str) -> Option<Timestamp> {
    let time: jiff::Timestamp = text.trim().parse().ok()?;
    u64::try_from(time.as_nanosecond()).ok().map(Timestamp)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_units() {
        for (text, ms) in
            [("50ms", 50), ("2m", 120_000), ("1h30m", 5_400_000), ("0", 0), ("7d", 604_800_000)]
        {
            assert_eq!(parse_duration(text), Some(Duration::from_millis(ms)), "{text}");
        }
        for text in ["", "5", "m", "1.5s", "-1s", "1 s", "99999999999d", "1y"] {
            assert_eq!(parse_duration(text), None, "{text}");
        }
    }

    #[test]
    fn times_are_written_and_read_to_the_nanosecond() {
        let at = Timestamp(1_795_332_610_123_456_789);
        assert_eq!(format_time(at), "2026-11-22T07:30:10.123456789Z");
        assert_eq!(parse_time(&format_time(at)), Some(at));
        assert_eq!(parse_time("1970-01-01T02:00:00+02:00"), Some(Timestamp(0)));
        assert_eq!(parse_time("1969-12-31T23:59:59Z"), None);
        assert_eq!(parse_time("yesterday"), None);
    }
}
