//! Dates and times as `DateStyle` ISO prints them.

use std::fmt::Write as _;

const MICROS_PER_DAY: i64 = 86_400_000_000;
/// Days from 0000-03-01, where the arithmetic below starts, to 2000-01-01, where PostgreSQL's does.
const EPOCH_DAYS: i64 = 730_425;

/// A binary `date`: days since 2000-01-01.
pub(super) fn date(bytes: &[u8]) -> Option<String> {
    let days = i32::from_be_bytes(bytes.try_into().ok()?);
    Some(match days {
        i32::MAX => "infinity".to_owned(),
        i32::MIN => "-infinity".to_owned(),
        days => {
            let (day, before_christ) = day_text(days.into());
            format!("{day}{before_christ}")
        }
    })
}

/// A binary `time`: microseconds since midnight.
pub(super) fn time(bytes: &[u8]) -> Option<String> {
    let micros = i64::from_be_bytes(bytes.try_into().ok()?);
    (0..=MICROS_PER_DAY).contains(&micros).then(|| clock_text(micros))
}

/// A binary `timestamp`: microseconds since 2000-01-01.
pub(super) fn timestamp(bytes: &[u8]) -> Option<String> {
    let micros = i64::from_be_bytes(bytes.try_into().ok()?);
    Some(match micros {
        i64::MAX => "infinity".to_owned(),
        i64::MIN => "-infinity".to_owned(),
        micros => {
            let (day, before_christ) = day_text(micros.div_euclid(MICROS_PER_DAY));
            let clock = clock_text(micros.rem_euclid(MICROS_PER_DAY));
            format!("{day} {clock}{before_christ}")
        }
    })
}

/// The timestamp with its zone.
pub(super) fn in_utc(timestamp: String) -> String {
    match timestamp.strip_suffix(" BC") {
        _ if timestamp.ends_with("infinity") => timestamp,
        Some(timestamp) => format!("{timestamp}+00 BC"),
        None => format!("{timestamp}+00"),
    }
}

/// The day so many days after 2000-01-01, and ` BC` for years before the first. Years start in
/// March here, so that the leap day is the last of its year.
fn day_text(days: i64) -> (String, &'static str) {
    let days = days.saturating_add(EPOCH_DAYS);
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    let (year, before_christ) = if year > 0 { (year, "") } else { (1 - year, " BC") };
    (format!("{year:04}-{month:02}-{day:02}"), before_christ)
}

fn clock_text(micros: i64) -> String {
    let seconds = micros / 1_000_000;
    let mut text = format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60);
    let fraction = micros % 1_000_000;
    if fraction != 0 {
        // Writing to a string cannot fail.
        let _ = write!(text, ".{fraction:06}");
        text.truncate(text.trim_end_matches('0').len());
    }
    text
}
