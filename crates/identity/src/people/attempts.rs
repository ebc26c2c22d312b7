//! Counts failed tries by where they come from.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};

use model::Timestamp;
use parking_lot::Mutex;

/// Places of each family that are told apart; past it, all others of the family count as one.
const SOURCES_MAX: usize = 4_096;

/// What one party controls: an IPv4 address, or the 64-bit network of an IPv6 address.
#[must_use]
pub fn network(source: IpAddr) -> IpAddr {
    match source.to_canonical() {
        IpAddr::V6(address) => {
            let bits = address.to_bits() & (u128::MAX << 64);
            IpAddr::V6(Ipv6Addr::from_bits(bits))
        }
        address => address,
    }
}

/// So many tries of one place may fail in a minute.
pub struct Attempts {
    most: u32,
    failed: Mutex<Window>,
}

#[derive(Default)]
struct Window {
    minute: u64,
    /// Of names and IPv4 addresses.
    by: HashMap<String, u32>,
    /// Of IPv6 networks, which are cheap: whoever has many of them fills only this.
    by_network: HashMap<String, u32>,
}

impl Window {
    fn of(&mut self, source: &str) -> &mut HashMap<String, u32> {
        if source.contains(':') { &mut self.by_network } else { &mut self.by }
    }
}

impl Attempts {
    /// At most `most` in a minute.
    #[must_use]
    pub fn new(most: u32) -> Self {
        Self { most, failed: Mutex::default() }
    }

    /// Whether somebody from there may try.
    pub fn may_try(&self, source: &str, now: Timestamp) -> bool {
        let mut window = self.failed.lock();
        if window.minute != now.seconds() / 60 {
            return true;
        }
        let by = window.of(source);
        let others = if by.len() < SOURCES_MAX { None } else { by.get("") };
        by.get(source).or(others).is_none_or(|count| *count < self.most)
    }

    /// Counts one that failed.
    pub fn failed(&self, source: &str, now: Timestamp) {
        let mut window = self.failed.lock();
        let minute = now.seconds() / 60;
        if window.minute != minute {
            *window = Window { minute, ..Window::default() };
        }
        let by = window.of(source);
        let known = by.contains_key(source) || by.len() < SOURCES_MAX;
        let key = if known { source } else { "" };
        let count = by.entry(key.to_owned()).or_default();
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

    #[test]
    fn p8_whoever_has_many_ipv6_networks_keeps_nobody_else_out() {
        let attempts = Attempts::new(1);
        for number in 0..=SOURCES_MAX {
            let source = Ipv6Addr::from_bits((number as u128) << 64 | 7);
            attempts.failed(&network(source.into()).to_string(), at(0));
        }
        assert!(!attempts.may_try("ffff::", at(1)), "of other networks");
        assert!(attempts.may_try("192.0.2.1", at(1)));
        assert!(attempts.may_try("lg_1", at(1)));
        let of = |text: &str| network(text.parse().unwrap()).to_string();
        assert_eq!(of("2001:db8:1:2:3::4"), of("2001:db8:1:2:ffff::1"));
        assert_ne!(of("2001:db8:1:2::"), of("2001:db8:1:3::"));
        assert_eq!(of("::ffff:192.0.2.1"), "192.0.2.1");
    }
}
