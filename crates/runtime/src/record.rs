//! Events on their way into the journal.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use model::event::EVENT_VERSION;
use model::{Event, EventBody};
use store::{Journal, JournalError};

use crate::clock;
use crate::resource::OnFailure;

/// What became of a batch.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Kept {
    /// The journal has it, or the resource goes on without (and the next record says so).
    Yes,
    /// It has not; nothing that waits for it may happen.
    No,
}

/// Appends batches and keeps the promise about what could not be appended (P5).
pub(crate) struct Recorder {
    journal: Arc<Journal>,
    gateway: Arc<str>,
    /// Operations that passed unrecorded and no gap event tells of yet.
    lost: AtomicU64,
    failing: AtomicBool,
    errors: AtomicU64,
}

impl Recorder {
    pub fn new(journal: Arc<Journal>, gateway: Arc<str>) -> Self {
        Self {
            journal,
            gateway,
            lost: AtomicU64::new(0),
            failing: AtomicBool::new(false),
            errors: AtomicU64::new(0),
        }
    }

    /// Appends one batch. Blocks for a write, and for a sync where every record is synced.
    pub fn append(&self, events: &[Event], on_failure: OnFailure) -> Kept {
        match self.append_after_gap(events) {
            Ok(()) => {
                if self.failing.swap(false, Ordering::Relaxed) {
                    tracing::info!("the journal takes records again");
                }
                Kept::Yes
            }
            Err(error) => {
                self.failed(&error);
                match on_failure {
                    OnFailure::Refuse => Kept::No,
                    OnFailure::Continue => {
                        self.lost.fetch_add(operations(events), Ordering::Relaxed);
                        Kept::Yes
                    }
                }
            }
        }
    }

    /// Tries again after a failure, so that a gateway that refuses everything, and is therefore sent
    /// nothing, notices by itself that the disk has room again. Blocks like [`Self::append`].
    pub fn probe(&self) {
        if !self.is_failing() {
            return;
        }
        let lost = self.lost.swap(0, Ordering::Relaxed);
        match self.journal.append(&[self.gap(lost)]) {
            Ok(_) => {
                self.failing.store(false, Ordering::Relaxed);
                tracing::info!("the journal takes records again");
            }
            Err(_) => {
                self.lost.fetch_add(lost, Ordering::Relaxed);
            }
        }
    }

    /// The gap comes first, so that whoever reads the journal in order learns of it in its place.
    fn append_after_gap(&self, events: &[Event]) -> Result<(), JournalError> {
        if self.lost.load(Ordering::Relaxed) > 0 {
            let lost = self.lost.swap(0, Ordering::Relaxed);
            if lost > 0
                && let Err(error) = self.journal.append(&[self.gap(lost)])
            {
                self.lost.fetch_add(lost, Ordering::Relaxed);
                return Err(error);
            }
        }
        self.journal.append(events).map(|_| ())
    }

    fn gap(&self, operations: u64) -> Event {
        Event {
            v: EVENT_VERSION,
            at: clock::now(),
            gateway: Arc::clone(&self.gateway),
            session: None,
            sequence: 0,
            principal: None,
            resource: None,
            body: EventBody::Gap { operations },
            payload: Vec::new(),
        }
    }

    fn failed(&self, error: &JournalError) {
        self.errors.fetch_add(1, Ordering::Relaxed);
        // Said once per outage: under load it would be said thousands of times a second.
        if !self.failing.swap(true, Ordering::Relaxed) {
            tracing::error!(%error, "the journal cannot take records");
        }
    }

    pub fn errors(&self) -> u64 {
        self.errors.load(Ordering::Relaxed)
    }

    pub fn is_failing(&self) -> bool {
        self.failing.load(Ordering::Relaxed)
    }

    pub fn unrecorded(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }
}

fn operations(events: &[Event]) -> u64 {
    let decided = |event: &&Event| matches!(event.body, EventBody::Operation { .. });
    events.iter().filter(decided).count() as u64
}
