//! How much each principal did on each resource lately: the sliding windows that rules read as
//! `principal.rows` and that `limit` rules count against.

mod share;

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use model::Timestamp;
use parking_lot::Mutex;

/// Longest window that can be asked for; older minutes are forgotten.
const WINDOW_MINUTES_MAX: u64 = 24 * 60;

/// Amounts of work.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, serde::Serialize)]
pub struct Usage {
    /// Operations decided.
    pub operations: u64,
    /// Rows returned.
    pub rows: u64,
    /// Bytes returned.
    pub bytes: u64,
}

impl Usage {
    /// Adds, stopping at the highest number.
    pub fn add(&mut self, other: Self) {
        self.operations = self.operations.saturating_add(other.operations);
        self.rows = self.rows.saturating_add(other.rows);
        self.bytes = self.bytes.saturating_add(other.bytes);
    }
}

/// Usage per principal and resource in minutes, in memory.
///
/// Bounded: at most `keys_max` pairs of principal and resource are remembered. Pairs idle for 24
/// hours go first; when none is, the one idle longest goes, with a warning, because its limits then
/// count from zero. Both parties are names from the registry and the configuration, so a client
/// cannot push others out by inventing names.
///
/// Where gateways share the registry, each tells the others about once a second what was done here,
/// so that a sum is exact for this gateway and a second or two behind for the others.
#[derive(Debug)]
pub struct Ledger {
    inner: Mutex<Inner>,
    keys_max: usize,
    shared: OnceLock<share::Others>,
}

#[derive(Debug, Default)]
struct Inner {
    resources: HashMap<Arc<str>, Book>,
    keys: usize,
}

#[derive(Debug, Default)]
struct Book {
    total: Window,
    principals: HashMap<Arc<str>, Window>,
}

/// Minutes in which something was done, oldest first.
#[derive(Debug, Default)]
struct Window(VecDeque<(u64, Usage)>);

impl Ledger {
    /// An empty ledger for at most `keys_max` pairs.
    #[must_use]
    pub fn new(keys_max: usize) -> Self {
        let inner = Mutex::new(Inner::default());
        Self { inner, keys_max: keys_max.max(1), shared: OnceLock::new() }
    }

    /// Counts work done by `principal` on `resource`.
    pub fn add(&self, principal: &str, resource: &str, done: Usage, now: Timestamp) {
        let minute = minute(now);
        self.add_minute(principal, resource, done, minute);
        if let Some(others) = self.shared.get() {
            others.note(principal, resource, done, minute);
        }
    }

    /// Counts work of a minute that the index remembers. Minutes must come in order.
    pub(crate) fn add_minute(&self, principal: &str, resource: &str, done: Usage, minute: u64) {
        self.inner.lock().add_minute((principal, resource), done, minute, self.keys_max);
    }

    /// What `principal` did on `resource` within `window` before `now`. The oldest minute counts
    /// whole, so a sum may be up to a minute too old and is never too small; windows over 24 hours
    /// count as 24 hours.
    #[must_use]
    pub fn principal(
        &self,
        principal: &str,
        resource: &str,
        window: Duration,
        now: Timestamp,
    ) -> Usage {
        let of = |inner: &Inner| {
            let book = inner.resources.get(resource);
            let found = book.and_then(|book| book.principals.get(principal));
            found.map(|minutes| minutes.sum(window, now)).unwrap_or_default()
        };
        self.with_others(of)
    }

    /// What everyone together did on `resource` within `window` before `now`; see
    /// [`Ledger::principal`].
    #[must_use]
    pub fn resource(&self, resource: &str, window: Duration, now: Timestamp) -> Usage {
        let of = |inner: &Inner| {
            let book = inner.resources.get(resource);
            book.map(|book| book.total.sum(window, now)).unwrap_or_default()
        };
        self.with_others(of)
    }

    fn with_others(&self, of: impl Fn(&Inner) -> Usage) -> Usage {
        let mut sum = of(&self.inner.lock());
        if let Some(others) = self.shared.get() {
            sum.add(of(&others.done.lock()));
        }
        sum
    }

    /// How many pairs are remembered.
    #[must_use]
    pub fn keys(&self) -> usize {
        self.inner.lock().keys
    }
}

impl Inner {
    fn add_minute(
        &mut self,
        (principal, resource): (&str, &str),
        done: Usage,
        minute: u64,
        keys_max: usize,
    ) {
        let book = self.resources.get(resource);
        if !book.is_some_and(|book| book.principals.contains_key(principal)) {
            if self.keys >= keys_max {
                self.make_room(minute);
            }
            self.keys += 1;
            let book = self.resources.entry(resource.into()).or_default();
            book.principals.insert(principal.into(), Window::default());
        }
        let Some(book) = self.resources.get_mut(resource) else { return };
        book.total.add(minute, done);
        if let Some(window) = book.principals.get_mut(principal) {
            window.add(minute, done);
        }
    }

    /// Forgets pairs that no window can see any more, or else the one idle longest.
    fn make_room(&mut self, minute: u64) {
        let oldest = minute.saturating_sub(WINDOW_MINUTES_MAX);
        for book in self.resources.values_mut() {
            book.principals.retain(|_, window| window.last() >= oldest);
        }
        self.resources.retain(|_, book| book.total.last() >= oldest);
        let count = self.resources.values().map(|book| book.principals.len()).sum();
        if count < self.keys {
            self.keys = count;
            return;
        }
        let idlest = self.resources.iter().flat_map(|(resource, book)| {
            let windows = book.principals.iter();
            windows.map(move |(principal, window)| (window.last(), resource, principal))
        });
        let Some((_, resource, principal)) = idlest.min_by_key(|(last, ..)| *last) else { return };
        let (resource, principal) = (Arc::clone(resource), Arc::clone(principal));
        if let Some(book) = self.resources.get_mut(&resource) {
            book.principals.remove(&principal);
            self.keys = self.keys.saturating_sub(1);
            tracing::warn!(%principal, %resource, "usage ledger full: forgot the idlest pair");
        }
    }
}

impl Window {
    fn add(&mut self, minute: u64, done: Usage) {
        // A clock that went backwards adds to the newest minute: late is safe, lost is not.
        match self.0.back_mut() {
            Some((last, usage)) if *last >= minute => usage.add(done),
            _ => self.0.push_back((minute, done)),
        }
        let oldest = minute.saturating_sub(WINDOW_MINUTES_MAX);
        while self.0.front().is_some_and(|(first, _)| *first < oldest) {
            self.0.pop_front();
        }
    }

    fn last(&self) -> u64 {
        self.0.back().map_or(0, |(minute, _)| *minute)
    }

    fn sum(&self, window: Duration, now: Timestamp) -> Usage {
        let window = window.min(Duration::from_secs(WINDOW_MINUTES_MAX * 60));
        let nanos = u64::try_from(window.as_nanos()).unwrap_or(u64::MAX);
        let oldest = minute(Timestamp(now.0.saturating_sub(nanos)));
        let mut sum = Usage::default();
        for (minute, usage) in self.0.iter().rev() {
            if *minute < oldest {
                break;
            }
            sum.add(*usage);
        }
        sum
    }
}

/// The minute a point in time belongs to.
pub(crate) fn minute(at: Timestamp) -> u64 {
    at.seconds() / 60
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);
    const ONE: Usage = Usage { operations: 1, rows: 10, bytes: 100 };

    fn at(seconds: u64) -> Timestamp {
        Timestamp((1_700_000_000 + seconds) * 1_000_000_000)
    }

    #[test]
    fn sums_are_per_principal_and_per_resource() {
        let ledger = Ledger::new(10);
        ledger.add("a", "db", ONE, at(0));
        ledger.add("a", "db", ONE, at(1));
        ledger.add("b", "db", ONE, at(2));
        ledger.add("a", "other", ONE, at(3));
        assert_eq!(ledger.principal("a", "db", HOUR, at(4)).rows, 20);
        assert_eq!(ledger.principal("b", "db", HOUR, at(4)).rows, 10);
        assert_eq!(ledger.principal("c", "db", HOUR, at(4)), Usage::default());
        assert_eq!(ledger.resource("db", HOUR, at(4)).operations, 3);
    }

    #[test]
    fn a_window_slides_and_keeps_its_oldest_minute_whole() {
        let ledger = Ledger::new(10);
        // 1_700_000_000 is 20 seconds into its minute.
        ledger.add("a", "db", ONE, at(0));
        assert_eq!(ledger.principal("a", "db", HOUR, at(3600)).rows, 10);
        assert_eq!(ledger.principal("a", "db", HOUR, at(3600 + 39)).rows, 10);
        assert_eq!(ledger.principal("a", "db", HOUR, at(3600 + 40)).rows, 0);
    }

    #[test]
    fn nothing_older_than_24_hours_is_counted_or_kept() {
        let ledger = Ledger::new(10);
        let day = 24 * 3600;
        ledger.add("a", "db", ONE, at(0));
        ledger.add("a", "db", ONE, at(day + 60));
        assert_eq!(ledger.principal("a", "db", Duration::MAX, at(day + 60)).rows, 10);
        let inner = ledger.inner.lock();
        assert_eq!(inner.resources["db"].principals["a"].0.len(), 1);
    }

    #[test]
    fn a_clock_that_goes_backwards_loses_nothing() {
        let ledger = Ledger::new(10);
        ledger.add("a", "db", ONE, at(600));
        ledger.add("a", "db", ONE, at(0));
        assert_eq!(ledger.principal("a", "db", HOUR, at(600)).rows, 20);
    }

    #[test]
    fn p8_the_pair_idle_longest_makes_room() {
        let ledger = Ledger::new(2);
        ledger.add("a", "db", ONE, at(0));
        ledger.add("b", "db", ONE, at(60));
        ledger.add("a", "db", ONE, at(120));
        assert_eq!(ledger.keys(), 2);
        ledger.add("c", "db", ONE, at(180));
        assert_eq!(ledger.keys(), 2);
        assert_eq!(ledger.principal("b", "db", HOUR, at(180)).rows, 0);
        assert_eq!(ledger.principal("a", "db", HOUR, at(180)).rows, 20);
        assert_eq!(ledger.resource("db", HOUR, at(180)).rows, 40, "the total forgets nobody");
    }

    #[test]
    fn p8_pairs_idle_for_a_day_go_first() {
        let ledger = Ledger::new(3);
        let day = 24 * 3600;
        ledger.add("a", "db", ONE, at(0));
        ledger.add("b", "old", ONE, at(0));
        ledger.add("c", "db", ONE, at(day));
        ledger.add("d", "db", ONE, at(day + 120));
        assert_eq!(ledger.keys(), 2);
        assert!(!ledger.inner.lock().resources.contains_key("old"));
    }
}
