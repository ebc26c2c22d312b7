//! Failed proofs per source address.
//!
//! A token has 256 random bits, so nobody guesses one; what is limited here is what guessing costs
//! us: a record and an answer for each attempt. A right token always passes, so nobody can lock
//! others out who share an address.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use identity::network;
use model::Timestamp;
use parking_lot::Mutex;

/// Failures of one source that are answered and recorded per window.
const FAILURES_MAX: u32 = 60;
const WINDOW: Duration = Duration::from_secs(60);
/// Sources remembered at once.
const SOURCES_MAX: usize = 10_000;

/// Counts failures per source.
#[derive(Default)]
pub(crate) struct Throttle(Mutex<HashMap<IpAddr, Failures>>);

struct Failures {
    since: Timestamp,
    count: u32,
}

impl Throttle {
    /// Counts one failure; `false` when the source had too many to be answered.
    pub fn failed(&self, source: IpAddr, now: Timestamp) -> bool {
        let mut sources = self.0.lock();
        let source = network(source);
        if sources.len() >= SOURCES_MAX && !sources.contains_key(&source) {
            sources.retain(|_, failures| now.since(failures.since) < WINDOW);
            if sources.len() >= SOURCES_MAX {
                // So many sources at once are one attacker: none of the new ones is answered.
                return false;
            }
        }
        let failures = sources.entry(source).or_insert(Failures { since: now, count: 0 });
        if now.since(failures.since) >= WINDOW {
            *failures = Failures { since: now, count: 0 };
        }
        failures.count = failures.count.saturating_add(1);
        failures.count <= FAILURES_MAX
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv6Addr;

    use super::*;

    const START: Timestamp = Timestamp(1_000_000_000_000);

    #[test]
    fn the_failure_past_the_limit_is_not_answered_until_the_window_ends() {
        let throttle = Throttle::default();
        let source: IpAddr = "192.0.2.1".parse().unwrap();
        for _ in 0..FAILURES_MAX {
            assert!(throttle.failed(source, START));
        }
        assert!(!throttle.failed(source, START));
        assert!(!throttle.failed("::ffff:192.0.2.1".parse().unwrap(), START), "the same source");
        assert!(throttle.failed("192.0.2.2".parse().unwrap(), START));
        assert!(throttle.failed(source, START.plus(WINDOW)));
    }

    #[test]
    fn addresses_of_one_ipv6_network_are_one_source() {
        let throttle = Throttle::default();
        for host in 0..FAILURES_MAX {
            let source = IpAddr::V6(Ipv6Addr::from_bits(0x2001_0db8 << 96 | u128::from(host)));
            assert!(throttle.failed(source, START));
        }
        assert!(!throttle.failed("2001:db8::ffff".parse().unwrap(), START));
        assert!(throttle.failed("2001:db8:0:1::1".parse().unwrap(), START));
    }

    #[test]
    fn p8_remembered_sources_are_bounded() {
        let throttle = Throttle::default();
        for host in 0..SOURCES_MAX as u32 {
            assert!(throttle.failed(IpAddr::V4(host.into()), START));
        }
        let late = IpAddr::V4(u32::MAX.into());
        assert!(!throttle.failed(late, START));
        assert_eq!(throttle.0.lock().len(), SOURCES_MAX);
        assert!(throttle.failed(late, START.plus(WINDOW)), "old ones make room");
    }
}
