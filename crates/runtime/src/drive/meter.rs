//! Counts what a session was sent, for everyone who wants to know.

use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use engine::taint::{Taint, Trail};
use engine::{Guessed, Ledger};
use model::{Guess, Timestamp};
use policy::Usage;
use store::SessionCounters;

use crate::counters::Counters;
use crate::gateway::Gateway;

/// The ledger as one session's engine sees it.
pub(crate) struct Meter {
    ledger: Arc<dyn Ledger>,
    gateway: Arc<Counters>,
    session: OnceLock<Arc<SessionCounters>>,
}

impl Meter {
    pub fn new(gateway: &Gateway) -> Self {
        Self {
            ledger: Arc::clone(&gateway.ledger),
            gateway: Arc::clone(&gateway.counters),
            session: OnceLock::new(),
        }
    }

    /// From now on counts for this session too.
    pub fn count_for(&self, session: &Arc<SessionCounters>) {
        let _ = self.session.set(Arc::clone(session));
    }
}

impl Ledger for Meter {
    fn usage(
        &self,
        subject: Option<&str>,
        resource: &str,
        window: Duration,
        now: Timestamp,
    ) -> Usage {
        self.ledger.usage(subject, resource, window, now)
    }

    fn guess(&self, subject: &str, resource: &str, guesses: &[Guess], now: Timestamp) -> Guessed {
        self.ledger.guess(subject, resource, guesses, now)
    }

    fn trail(&self, subject: &str) -> Arc<Trail> {
        self.ledger.trail(subject)
    }

    fn keep(&self, subject: &str, taints: &[Taint], now: Timestamp) -> bool {
        self.ledger.keep(subject, taints, now)
    }

    fn add(&self, subject: &str, resource: &str, usage: Usage, now: Timestamp) {
        self.ledger.add(subject, resource, usage, now);
        self.gateway.rows.fetch_add(usage.rows, Ordering::Relaxed);
        self.gateway.bytes.fetch_add(usage.bytes, Ordering::Relaxed);
        if let Some(session) = self.session.get() {
            let Usage { operations, rows, bytes } = usage;
            session.add(store::Usage { operations, rows, bytes });
        }
    }
}
