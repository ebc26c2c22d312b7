//! What was used: as it is recorded, and at most.
//!
//! What would be refused is not counted. What was refused and would not be is counted as an
//! operation that returned nothing, because what it would have returned is in no recording; then
//! the most is everything.

use std::time::Duration;

use model::Timestamp;
use policy::Usage;

/// Pairs of principal and resource that are counted, as many as a gateway counts.
const KEYS_MAX: usize = 100_000;
/// Nothing older is counted by any window.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// As recorded, and at most.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Bounds {
    /// As recorded.
    pub recorded: Usage,
    /// At most.
    pub most: Usage,
}

impl Bounds {
    /// Whether it is known.
    pub fn is_exact(&self) -> bool {
        self.recorded == self.most
    }

    /// Adds what was done.
    pub fn add(&mut self, done: Bounds) {
        for (sum, more) in [(&mut self.recorded, done.recorded), (&mut self.most, done.most)] {
            sum.operations = sum.operations.saturating_add(more.operations);
            sum.rows = sum.rows.saturating_add(more.rows);
            sum.bytes = sum.bytes.saturating_add(more.bytes);
        }
    }
}

/// What principals did on resources within sliding windows.
pub struct Ledgers {
    recorded: store::Ledger,
    most: store::Ledger,
}

impl Default for Ledgers {
    fn default() -> Self {
        let ledger = || store::Ledger::new(KEYS_MAX);
        Self { recorded: ledger(), most: ledger() }
    }
}

impl Ledgers {
    /// Counts.
    pub fn add(&self, subject: &str, resource: &str, done: Bounds, now: Timestamp) {
        let stored = |usage: Usage| store::Usage {
            operations: usage.operations,
            rows: usage.rows,
            bytes: usage.bytes,
        };
        for (ledger, done) in [(&self.recorded, done.recorded), (&self.most, done.most)] {
            if done != Usage::default() {
                ledger.add(subject, resource, stored(done), now);
            }
        }
    }

    /// What `subject` (or everyone) did on a resource within a window.
    pub fn used(
        &self,
        subject: Option<&str>,
        resource: &str,
        window: Duration,
        now: Timestamp,
    ) -> Bounds {
        let of = |ledger: &store::Ledger| {
            let store::Usage { operations, rows, bytes } = match subject {
                Some(subject) => ledger.principal(subject, resource, window, now),
                None => ledger.resource(resource, window, now),
            };
            Usage { operations, rows, bytes }
        };
        Bounds { recorded: of(&self.recorded), most: of(&self.most) }
    }

    /// Whether everything that any window can see is known.
    pub fn is_exact(&self, subject: &str, resource: &str, now: Timestamp) -> bool {
        self.used(Some(subject), resource, LONGEST, now).is_exact()
            && self.used(None, resource, LONGEST, now).is_exact()
    }
}
