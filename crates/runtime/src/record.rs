//! Events on their way into the journal.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use detect::TypeSet;
use model::event::EVENT_VERSION;
use model::{Event, EventBody, SessionId};
use parking_lot::Mutex;
use store::{Approval, Journal, JournalError};

use crate::clock;
use crate::resource::OnFailure;
use crate::scrub::Scrub;

/// What became of a batch.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Kept {
    /// The journal has it, or the resource goes on without (and the next record says so).
    Yes,
    /// It has not; nothing that waits for it may happen.
    No,
}

/// What passed unrecorded in one session.
#[derive(Default)]
struct Lost {
    operations: u64,
    /// The number of the last event that was lost; the gap stands in its place.
    sequence: u64,
    principal: Option<Arc<str>>,
    on_behalf_of: Option<Arc<str>>,
    resource: Option<Arc<str>>,
}

/// Appends batches and keeps the promise about what could not be appended (P5).
pub(crate) struct Recorder {
    journal: Arc<Journal>,
    gateway: Arc<str>,
    /// Operations that passed unrecorded and no gap event tells of yet, by session; as many as
    /// there are sessions at most.
    lost: Mutex<HashMap<Option<SessionId>, Lost>>,
    scrub: Option<Scrub>,
    failing: AtomicBool,
    errors: AtomicU64,
}

impl Recorder {
    pub fn new(journal: Arc<Journal>, gateway: Arc<str>, scrub: TypeSet) -> Self {
        Self {
            journal,
            gateway,
            lost: Mutex::default(),
            scrub: Scrub::new(scrub),
            failing: AtomicBool::new(false),
            errors: AtomicU64::new(0),
        }
    }

    /// Appends one batch. Blocks for a write, and for a sync where every record is synced.
    pub fn append(&self, events: &[Event], on_failure: OnFailure) -> Kept {
        let clean = self.scrub.as_ref().and_then(|scrub| scrub.events(events));
        let events = clean.as_deref().unwrap_or(events);
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
                        self.lose(events);
                        Kept::Yes
                    }
                }
            }
        }
    }

    /// Tries again after a failure, so that a gateway that refuses everything, and is therefore
    /// sent nothing, notices by itself that the disk has room again. Blocks like [`Self::append`].
    pub fn probe(&self) {
        if !self.is_failing() {
            return;
        }
        let mut lost = self.lost.lock();
        let mut gaps = self.gaps(&lost);
        if gaps.is_empty() {
            gaps.push(self.gap(None, &Lost::default()));
        }
        if self.journal.append(&gaps).is_ok() {
            lost.clear();
            self.failing.store(false, Ordering::Relaxed);
            tracing::info!("the journal takes records again");
        }
    }

    /// Records that others may answer a request, too. It waits on if that cannot be recorded.
    pub fn escalated(&self, approval: &Approval) {
        let to = approval.rules.iter().filter(|rule| approval.escalated.contains(&rule.rule));
        let to = to.filter_map(|rule| rule.escalate.as_ref()).flat_map(|more| &more.to);
        let to: Vec<&str> = to.map(AsRef::as_ref).collect();
        let event = Event {
            v: EVENT_VERSION,
            at: clock::now(),
            gateway: Arc::clone(&self.gateway),
            session: None,
            sequence: 0,
            principal: None,
            on_behalf_of: None,
            resource: None,
            body: EventBody::Admin {
                actor: "gateway".to_owned(),
                action: "approval.escalate".to_owned(),
                target: approval.id.to_string(),
                detail: Some(format!("{} may answer too", to.join(", "))),
            },
            payload: Vec::new(),
        };
        if let Err(error) = self.journal.append(&[event]) {
            self.failed(&error);
        }
    }

    /// Counts what passed unrecorded.
    fn lose(&self, events: &[Event]) {
        let (Some(first), Some(last)) = (events.first(), events.last()) else { return };
        let mut lost = self.lost.lock();
        let of_session = lost.entry(first.session.clone()).or_default();
        of_session.principal.clone_from(&first.principal);
        of_session.on_behalf_of.clone_from(&first.on_behalf_of);
        of_session.resource.clone_from(&first.resource);
        of_session.operations = of_session.operations.saturating_add(operations(events));
        of_session.sequence = of_session.sequence.max(last.sequence);
        // Another session may have been recorded meanwhile; this is still to be told.
        self.failing.store(true, Ordering::Relaxed);
    }

    /// The gap comes first, so that whoever reads the journal in order learns of it in its place.
    fn append_after_gap(&self, events: &[Event]) -> Result<(), JournalError> {
        if self.is_failing() {
            let mut lost = self.lost.lock();
            let gaps = self.gaps(&lost);
            if !gaps.is_empty() {
                self.journal.append(&gaps)?;
                lost.clear();
            }
        }
        self.journal.append(events).map(|_| ())
    }

    fn gaps(&self, lost: &HashMap<Option<SessionId>, Lost>) -> Vec<Event> {
        lost.iter().map(|(session, lost)| self.gap(session.clone(), lost)).collect()
    }

    fn gap(&self, session: Option<SessionId>, lost: &Lost) -> Event {
        Event {
            v: EVENT_VERSION,
            at: clock::now(),
            gateway: Arc::clone(&self.gateway),
            session,
            sequence: lost.sequence,
            principal: lost.principal.clone(),
            on_behalf_of: lost.on_behalf_of.clone(),
            resource: lost.resource.clone(),
            body: EventBody::Gap { operations: lost.operations },
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
        self.lost.lock().values().map(|lost| lost.operations).sum()
    }
}

fn operations(events: &[Event]) -> u64 {
    let decided = |event: &&Event| matches!(event.body, EventBody::Operation { .. });
    events.iter().filter(decided).count() as u64
}
