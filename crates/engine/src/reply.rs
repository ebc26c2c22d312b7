//! A released operation whose reply is on its way.

use std::sync::{Arc, LazyLock};

use detect::DetectionType;
use model::event::RuleMatch;
use model::{Column, DetectionCount, Event, EventBody, Lane, Operation, OperationId, Timestamp};
use policy::{PayloadPolicy, Permit};

use crate::contract::{Sought, Unit};
use crate::outbox::{Batch, Searched};

/// An operation between its release and the end of its reply.
pub(crate) struct Open {
    pub id: OperationId,
    pub lane: Lane,
    pub permit: Arc<Permit>,
    pub operation: Box<Operation>,
    pub started: Timestamp,
    /// Rows and bytes of the reply so far.
    pub rows: u64,
    pub bytes: u64,
    /// How many of both were let go.
    pub left: (u64, u64),
    /// Rows of the same portal or cursor before this reply (R4).
    pub rows_before: u64,
    /// Bytes that followed the operation upstream.
    pub up: u64,
    pub columns: Arc<[Column]>,
    pub detections: Vec<DetectionCount>,
    /// How far all of it so far was searched for them.
    pub searched: Searched,
    pub error_code: Option<String>,
    /// Approve rules answered yes, for later steps under the same gate.
    pub satisfied: Vec<Arc<str>>,
    /// Rows after which that yes no longer covers the reply.
    pub rows_max: Option<u64>,
    pub withheld_bytes: usize,
    pub state: ReplyState,
    /// The upstream does not run it.
    pub skipped: bool,
    recorded: Recorded,
    /// Parts of it are judged on their own while what came before them is on its way.
    pub in_parts: bool,
    /// How much of the reply is recorded at least, because of a later part.
    pub wanted: PayloadPolicy,
}

/// What stands between a reply and the client.
pub(crate) enum ReplyState {
    /// Nothing: it flows as it comes.
    Flowing,
    /// A rule may still stop it: it is kept.
    Withheld,
    /// It is kept, and a person is asked.
    Held(Box<HeldReply>),
    /// It must not leave.
    Stopped,
}

/// A reply that waits for a person.
pub(crate) struct HeldReply {
    pub hold: policy::HeldReply,
    pub matches: Vec<RuleMatch>,
    pub deadline: Timestamp,
    pub approval: Option<Arc<str>>,
    pub address: String,
    /// The reply is complete; only the answer is missing.
    pub complete: bool,
}

/// What of the reply is not in the journal yet.
#[derive(Default)]
struct Recorded {
    parts: u64,
    rows: u64,
    bytes: u64,
    payload: Vec<u8>,
    kept: usize,
    dropped: u64,
}

impl Open {
    pub fn new(
        id: OperationId,
        lane: Lane,
        permit: Arc<Permit>,
        operation: Box<Operation>,
        now: Timestamp,
    ) -> Self {
        let state = if permit.is_pending() { ReplyState::Withheld } else { ReplyState::Flowing };
        Self {
            id,
            lane,
            permit,
            operation,
            started: now,
            rows: 0,
            bytes: 0,
            left: (0, 0),
            rows_before: 0,
            up: 0,
            columns: Arc::new([]),
            detections: Vec::new(),
            searched: Searched::Whole,
            error_code: None,
            satisfied: Vec::new(),
            rows_max: None,
            withheld_bytes: 0,
            state,
            skipped: false,
            recorded: Recorded::default(),
            in_parts: false,
            wanted: PayloadPolicy::None,
        }
    }

    /// True while a rule may still stop the reply or a person is asked.
    pub fn is_unsettled(&self) -> bool {
        matches!(self.state, ReplyState::Withheld | ReplyState::Held(_))
    }

    /// How much of it is recorded, where the resource says `payload` and no rule says otherwise. A
    /// later part that wants more kept finds some of the reply still to come.
    pub fn kept(&self, payload: PayloadPolicy) -> PayloadPolicy {
        self.permit.payload().unwrap_or(payload).max(self.wanted)
    }

    /// Whether limits count it: some of the request or of the reply got where it should.
    pub fn counts(&self) -> bool {
        !matches!(self.state, ReplyState::Stopped) || self.left != (0, 0) || self.in_parts
    }

    /// Rows and bytes that the client gets.
    pub fn sent(&self) -> (u64, u64) {
        match self.state {
            ReplyState::Stopped => self.left,
            _ => (self.rows, self.bytes),
        }
    }

    /// Counts one part. `payload` is how much of replies the resource has recorded: a rule may have
    /// said otherwise of this one.
    pub fn count<U: Unit>(&mut self, batch: &mut Batch<U>, payload: PayloadPolicy) {
        let payload = self.kept(payload);
        let bytes = batch.unit.size() as u64;
        self.rows = self.rows.saturating_add(batch.rows);
        self.bytes = self.bytes.saturating_add(bytes);
        if let Some(columns) = batch.columns.take() {
            self.columns = columns;
        }
        if self.error_code.is_none() {
            self.error_code = batch.error_code.take();
        }
        self.searched = self.searched.max(batch.searched);
        merge(&mut self.detections, std::mem::take(&mut batch.detections));
        self.recorded.rows = self.recorded.rows.saturating_add(batch.rows);
        self.recorded.bytes = self.recorded.bytes.saturating_add(bytes);
        self.recorded.keep(batch.unit.payload(), payload);
    }

    /// The event that must be in the journal before a part leaves; `None` when an earlier event
    /// already says that the reply began and no payload is kept of this part.
    pub fn part(&mut self) -> Option<(EventBody, Vec<u8>)> {
        let recorded = &mut self.recorded;
        if recorded.bytes == 0 || (recorded.parts > 0 && recorded.payload.is_empty()) {
            return None;
        }
        let columns = if recorded.parts == 0 { self.columns.to_vec() } else { Vec::new() };
        let body = EventBody::ReplyPart {
            operation: self.id,
            rows: recorded.rows,
            bytes: recorded.bytes,
            columns,
        };
        recorded.parts = recorded.parts.saturating_add(1);
        recorded.rows = 0;
        recorded.bytes = 0;
        Some((body, std::mem::take(&mut recorded.payload)))
    }

    /// Types of sensitive values that all of it was searched for: every one when a rule reads what
    /// replies hold, else those that are masked wherever they are found.
    fn searched_for(&self) -> Arc<[Arc<str>]> {
        match (self.searched, Sought::under(&self.permit)) {
            (Searched::Partly | Searched::Not, _) => Arc::clone(&NONE),
            (Searched::Whole, Sought::Not) => Arc::clone(self.permit.masks().detection_names()),
            (Searched::Whole, Sought::ToTell | Sought::ToStop) => Arc::clone(&ALL),
        }
    }

    /// The event that ends the reply.
    pub fn end(&mut self, outcome: &str, now: Timestamp) -> (EventBody, Vec<u8>) {
        let sent = !matches!(self.state, ReplyState::Stopped);
        let (rows, bytes) = self.sent();
        let body = EventBody::Reply {
            operation: self.id,
            outcome: outcome.to_owned(),
            rows,
            bytes,
            columns: self.columns.to_vec(),
            detections: std::mem::take(&mut self.detections),
            searched: self.searched_for(),
            duration_ns: u64::try_from(now.since(self.started).as_nanos()).unwrap_or(u64::MAX),
            error_code: self.error_code.take(),
            payload_dropped: self.recorded.dropped,
            sent: self.up,
        };
        let payload = if sent { std::mem::take(&mut self.recorded.payload) } else { Vec::new() };
        (body, payload)
    }
}

impl Recorded {
    fn keep(&mut self, bytes: &[u8], policy: PayloadPolicy) {
        let room = match policy {
            PayloadPolicy::Full => bytes.len(),
            PayloadPolicy::Head(limit) => limit.saturating_sub(self.kept),
            PayloadPolicy::None => 0,
        };
        let kept = bytes.get(..room).unwrap_or(bytes);
        self.payload.extend_from_slice(kept);
        self.kept = self.kept.saturating_add(kept.len());
        self.dropped = self.dropped.saturating_add(bytes.len().saturating_sub(kept.len()) as u64);
    }
}

static NONE: LazyLock<Arc<[Arc<str>]>> = LazyLock::new(|| Arc::new([]));
static ALL: LazyLock<Arc<[Arc<str>]>> =
    LazyLock::new(|| DetectionType::ALL.into_iter().map(|kind| kind.name().into()).collect());

/// Adds `more` to `counts`, type by type.
fn merge(counts: &mut Vec<DetectionCount>, more: Vec<DetectionCount>) {
    for found in more {
        match counts.iter_mut().find(|count| count.kind == found.kind) {
            Some(count) => {
                count.seen = count.seen.saturating_add(found.seen);
                count.masked = count.masked.saturating_add(found.masked);
            }
            None => counts.push(found),
        }
    }
}

/// Makes an event of a body.
pub(crate) struct EventFrame {
    pub gateway: Arc<str>,
    pub session: model::SessionId,
    pub sequence: u64,
    pub principal: Option<Arc<str>>,
    pub on_behalf_of: Option<Arc<str>>,
    pub resource: Option<Arc<str>>,
}

impl EventFrame {
    pub fn event(&mut self, at: Timestamp, body: EventBody, payload: Vec<u8>) -> Event {
        self.sequence = self.sequence.saturating_add(1);
        Event {
            v: model::event::EVENT_VERSION,
            at,
            gateway: Arc::clone(&self.gateway),
            session: Some(self.session.clone()),
            sequence: self.sequence,
            principal: self.principal.clone(),
            on_behalf_of: self.on_behalf_of.clone(),
            resource: self.resource.clone(),
            body,
            payload,
        }
    }
}
