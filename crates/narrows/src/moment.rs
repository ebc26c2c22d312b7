//! A time as commands take it: how long ago, or when.

use std::str::FromStr;
use std::time::Duration;

use model::Timestamp;

/// How long ago, or when.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Moment {
    /// That long ago.
    Ago(Duration),
    /// Then.
    At(Timestamp),
}

impl Moment {
    /// The time that it is, asked about `now`.
    #[must_use]
    pub fn at(self, now: Timestamp) -> Timestamp {
        match self {
            Self::Ago(length) => before(now, length),
            Self::At(time) => time,
        }
    }
}

impl FromStr for Moment {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let length = admin::parse_duration(text).map(Self::Ago);
        length
            .or_else(|| admin::parse_time(text).map(Self::At))
            .ok_or("write how long ago (1h, 7d) or a time (2026-11-23T07:00:00Z)")
    }
}

/// The time that long before, the epoch at the earliest.
#[must_use]
pub fn before(at: Timestamp, length: Duration) -> Timestamp {
    let length = u64::try_from(length.as_nanos()).unwrap_or(u64::MAX);
    Timestamp(at.0.saturating_sub(length))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_so_long_ago_or_a_time() {
        const SECOND: u64 = 1_000_000_000;
        let now = Timestamp(90_000 * SECOND);
        let at = |text: &str| text.parse::<Moment>().map(|moment| moment.at(now));
        assert_eq!(at("1h"), Ok(Timestamp(86_400 * SECOND)));
        assert_eq!(at("1970-01-02T00:00:00Z"), Ok(Timestamp(86_400 * SECOND)));
        assert_eq!(at("7d"), Ok(Timestamp(0)), "not before the epoch");
        for wrong in ["", "yesterday", "-1h", "1"] {
            assert!(at(wrong).is_err(), "{wrong}");
        }
    }
}
