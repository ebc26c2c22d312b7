//! What was used, as far as it can be told: at least so much, and at most.

use std::time::Duration;

use model::Timestamp;
use policy::Usage;

/// Pairs of principal and resource that are counted, as many as a gateway counts.
const KEYS_MAX: usize = 100_000;
/// Nothing older is counted by any window.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// At least, and at most.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Bounds {
    /// At least.
    pub least: Usage,
    /// At most.
    pub most: Usage,
}

impl Bounds {
    /// Whether it is known.
    pub fn is_exact(&self) -> bool {
        self.least == self.most
    }

    /// Adds what was done.
    pub fn add(&mut self, done: Bounds) {
        for (sum, more) in [(&mut self.least, done.least), (&mut self.most, done.most)] {
            sum.operations = sum.operations.saturating_add(more.operations);
            sum.rows = sum.rows.saturating_add(more.rows);
            sum.bytes = sum.bytes.saturating_add(more.bytes);
        }
    }
}

/// What principals did on resources within sliding windows.
pub struct Ledgers {
    least: store::Ledger,
    most: store::Ledger,
}

impl Default for Ledgers {
    fn default() -> Self {
        let ledger = || store::Ledger::new(KEYS_MAX);
        Self { least: ledger(), most: ledger() }
    }
}

impl Ledgers {
    /// Counts.
    pub fn add(&mut self, subject: &str, resource: &str, done: Bounds, now: Timestamp) {
        let stored = |usage: Usage| store::Usage {
            operations: usage.operations,
            rows: usage.rows,
            bytes: usage.bytes,
        };
        if done.least != Usage::default() {
            self.least.add(subject, resource, stored(done.least), now);
        }
        self.most.add(subject, resource, stored(done.most), now);
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
        Bounds { least: of(&self.least), most: of(&self.most) }
    }

    /// Whether everything that any window can see is known.
    pub fn is_exact(&self, subject: &str, resource: &str, now: Timestamp) -> bool {
        self.used(Some(subject), resource, LONGEST, now).is_exact()
            && self.used(None, resource, LONGEST, now).is_exact()
    }
}
