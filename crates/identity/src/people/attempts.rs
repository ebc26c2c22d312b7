//! Counts failed tries by where they come from.

use std::collections::HashMap;

use model::Timestamp;
use parking_lot::Mutex;

/// Places that are told apart; past it, all others count as one.
const SOURCES_MAX: usize = 4_096;

/// So many tries of one place may fail in a minute.
pub struct Attempts {
    most: u32,
    failed: Mutex<Window>,
}

#[derive(Default)]
struct Window {
    minute: u64,
    by: HashMap<String, u32>,
}

impl Attempts {
    /// At most `most` in a minute.
    #[must_use]
    pub fn new(most: u32) -> Self {
        Self { most, failed: Mutex::default() }
    }

    /// Whether somebody from there may try.
    pub fn may_try(&self, source: &str, now: Timestamp) -> bool {
        let window = self.failed.lock();
        let key = if window.by.contains_key(source) { source } else { "" };
        let count = match window.by.get(key) {
            Some(count) if !key.is_empty() || window.by.len() >= SOURCES_MAX => *count,
            _ => 0,
        };
        window.minute != now.seconds() / 60 || count < self.most
    }

    /// Counts one that failed.
    pub fn failed(&self, source: &str, now: Timestamp) {
        let mut window = self.failed.lock();
        let minute = now.seconds() / 60;
        if window.minute != minute {
            *window = Window { minute, by: HashMap::new() };
        }
        let known = window.by.contains_key(source) || window.by.len() < SOURCES_MAX;
        let key = if known { source } else { "" };
        let count = window.by.entry(key.to_owned()).or_default();
        *count = count.saturating_add(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(seconds: u64) -> Timestamp {
        Timestamp(seconds * 1_000_000_000)
    }

    #[test]
    fn p8_so_many_may_fail_in_a_minute_from_one_place() {
        let attempts = Attempts::new(3);
        for _ in 0..3 {
            assert!(attempts.may_try("a", at(60)));
            attempts.failed("a", at(60));
        }
        assert!(!attempts.may_try("a", at(119)), "at the limit");
        assert!(attempts.may_try("b", at(119)), "another place");
        assert!(attempts.may_try("a", at(120)), "the next minute");
    }

    #[test]
    fn p8_places_beyond_the_bound_count_as_one() {
        let attempts = Attempts::new(2);
        for number in 0..SOURCES_MAX {
            attempts.failed(&number.to_string(), at(0));
        }
        attempts.failed("x", at(0));
        attempts.failed("y", at(0));
        assert!(!attempts.may_try("z", at(1)));
        assert!(attempts.may_try("1", at(1)));
        assert!(attempts.failed.lock().by.len() <= SOURCES_MAX + 1);
    }
}
