//! The one place that reads time. Everything else is given it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use model::Timestamp;

/// Longest single wait; later times are looked at again when it ends. So a session that does
/// nothing notices within a minute that the wall clock jumped past the end of its token.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// The time now, UTC. Follows the machine's wall clock, jumps included, because expiry dates and
/// records are wall-clock times. A clock before 1970 reads as 1970.
#[must_use]
pub fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
}

/// How long to wait from `now` before looking at `deadline` again.
pub(crate) fn wait_until(deadline: Timestamp, now: Timestamp) -> Duration {
    deadline.since(now).min(WAIT_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_never_negative_and_never_longer_than_a_minute() {
        let now = Timestamp(1_000);
        assert_eq!(wait_until(Timestamp(400), now), Duration::ZERO);
        assert_eq!(wait_until(Timestamp(1_600), now), Duration::from_nanos(600));
        assert_eq!(wait_until(Timestamp(u64::MAX), now), WAIT_MAX);
    }
}
