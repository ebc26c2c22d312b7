//! A session that several connections share.
//!
//! Some protocols have no connection that lasts as long as a stay: each exchange stands alone and
//! proves who asks. What one token does with one resource is one session all the same, so that it
//! can be counted, watched and ended as one.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use model::{Event, EventBody, Principal, Resource, SessionId, Timestamp};

use crate::reply::EventFrame;

/// What the connections of one session count together.
#[derive(Debug)]
pub struct SharedSession {
    gateway: Arc<str>,
    /// Its name.
    pub id: SessionId,
    /// When it began.
    pub started: Timestamp,
    /// Whose it is.
    pub principal: Arc<Principal>,
    /// With what.
    pub resource: Resource,
    pub(crate) sequence: AtomicU64,
    pub(crate) operation: Arc<AtomicU64>,
    pub(crate) operations: AtomicU64,
    pub(crate) rows: AtomicU64,
    pub(crate) bytes: AtomicU64,
}

impl SharedSession {
    /// A session in which nothing happened yet.
    #[must_use]
    pub fn new(
        gateway: Arc<str>,
        id: SessionId,
        principal: Arc<Principal>,
        resource: Resource,
        now: Timestamp,
    ) -> Self {
        let zero = || AtomicU64::new(0);
        Self {
            gateway,
            id,
            started: now,
            principal,
            resource,
            sequence: zero(),
            operation: Arc::new(AtomicU64::new(1)),
            operations: zero(),
            rows: zero(),
            bytes: zero(),
        }
    }

    /// The event that begins it, to be in the journal before any other of it.
    #[must_use]
    pub fn began(
        &self,
        client: String,
        (application, run): (Option<String>, Option<String>),
        protocol: &str,
    ) -> Event {
        let body = EventBody::SessionStarted {
            principal: (*self.principal).clone(),
            client,
            application,
            protocol: protocol.to_owned(),
            run,
        };
        self.event(self.started, body)
    }

    /// The event that ends it; `reason` is a fixed word.
    #[must_use]
    pub fn ended(&self, reason: &str, now: Timestamp) -> Event {
        let body = EventBody::SessionEnded {
            reason: reason.to_owned(),
            detail: None,
            operations: self.operations.load(Ordering::Relaxed),
            rows: self.rows.load(Ordering::Relaxed),
            bytes: self.bytes.load(Ordering::Relaxed),
        };
        self.event(now, body)
    }

    fn event(&self, at: Timestamp, body: EventBody) -> Event {
        let mut frame = EventFrame {
            gateway: Arc::clone(&self.gateway),
            session: self.id.clone(),
            sequence: 0,
            principal: Some(Arc::clone(&self.principal.subject)),
            on_behalf_of: self.principal.on_behalf_of.clone(),
            resource: Some(Arc::clone(&self.resource.name)),
        };
        let mut event = frame.event(at, body, Vec::new());
        event.sequence = self.next_sequence();
        event
    }

    pub(crate) fn next_sequence(&self) -> u64 {
        self.sequence.fetch_add(1, Ordering::Relaxed).saturating_add(1)
    }
}
