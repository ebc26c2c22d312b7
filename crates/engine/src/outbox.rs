//! Where a conversation puts the consequences of one input, in order.

use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use model::{Claim, Column, DetectionCount, Lane, Operation, OperationId, Side};
use policy::{Permit, Refusal};

use crate::contract::{Errand, Unsolicited};
use crate::taint::Taint;

/// How far a part of a reply was searched for the sensitive values that its permit asks for: types
/// that are masked wherever they are found, and all types where a rule reads what replies hold.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Searched {
    /// All of it; also where it can hold none.
    Whole,
    /// As far as it can be. What is left passes by the resource's own settings, or because only
    /// its own type could read it; the record then does not say that the reply was searched.
    Partly,
    /// Not all of it. A rule that may stop the reply for what it holds cannot be judged.
    Not,
}

/// Part of a reply, after masking.
#[derive(Debug)]
pub struct Batch<U> {
    /// What the client gets.
    pub unit: U,
    /// Rows in it.
    pub rows: u64,
    /// The columns of the reply; once, with the first batch that knows them.
    pub columns: Option<Arc<[Column]>>,
    /// Sensitive values found in it.
    pub detections: Vec<DetectionCount>,
    /// How far it was searched for them; of no account where none are asked for.
    pub searched: Searched,
    /// The upstream's error code, when this part is an error.
    pub error_code: Option<String>,
    /// Followed values in what the upstream sent (R14).
    pub taints: Vec<Taint>,
}

impl<U> Batch<U> {
    /// A part without rows that nobody looked into.
    pub fn plain(unit: U) -> Self {
        Self {
            unit,
            rows: 0,
            columns: None,
            detections: Vec::new(),
            searched: Searched::Not,
            error_code: None,
            taints: Vec::new(),
        }
    }
}

impl<U> Batch<U> {
    /// The same with another unit.
    pub fn map<V>(self, make: impl FnOnce(U) -> V) -> Batch<V> {
        Batch {
            unit: make(self.unit),
            rows: self.rows,
            columns: self.columns,
            detections: self.detections,
            searched: self.searched,
            error_code: self.error_code,
            taints: self.taints,
        }
    }
}

/// Consequences of one input, in order.
pub struct Outbox<U> {
    pub(crate) queue: Vec<Out<U>>,
    /// Numbers operations, with the other connections of the session if there are any.
    pub(crate) next_operation: Arc<AtomicU64>,
}

pub(crate) enum Out<U> {
    Abort(OperationId, U),
    Answer(U),
    Ask(Lane, OperationId, Box<Operation>, Option<U>),
    Cancel(Box<dyn Errand<U>>),
    CancelKey([u8; 8]),
    CancelSession([u8; 8]),
    Close,
    Connect,
    Control(Side, U),
    Done(Arc<Permit>),
    End(&'static str, Option<String>),
    Forget(OperationId),
    Identify(Claim),
    Keep(OperationId),
    More(OperationId, U),
    Pause(Side),
    Refresh,
    Refuse(Lane, OperationId, Box<Operation>, Refusal),
    Reply(Arc<Permit>, Batch<U>),
    Resume(Side),
    Skipped(OperationId),
    StartTls(Side),
    Stop(Arc<Permit>, Refusal),
    Unsolicited(Unsolicited, U),
}

impl<U> Outbox<U> {
    pub(crate) fn new() -> Self {
        Self { queue: Vec::new(), next_operation: Arc::new(AtomicU64::new(1)) }
    }

    fn operation_id(&self) -> OperationId {
        OperationId(self.next_operation.fetch_add(1, Ordering::Relaxed))
    }

    /// Hands over what the client says it is. No `ask` counts before the answer.
    pub fn identify(&mut self, claim: Claim) {
        self.queue.push(Out::Identify(claim));
    }

    /// Asks for the transport to the upstream of the resource the client was granted.
    pub fn connect(&mut self) {
        self.queue.push(Out::Connect);
    }

    /// Asks for a TLS handshake; nothing may be sent to that side until it is reported complete.
    pub fn start_tls(&mut self, side: Side) {
        self.queue.push(Out::StartTls(side));
    }

    /// Submits an operation with its first unit. The engine keeps the unit and forwards it only if
    /// the operation is allowed and recorded; verdicts within `lane` arrive in the order asked.
    pub fn ask(&mut self, lane: Lane, operation: Operation, unit: Option<U>) -> OperationId {
        let id = self.operation_id();
        self.queue.push(Out::Ask(lane, id, Box::new(operation), unit));
        id
    }

    /// Submits an operation that cannot be judged, masked or forwarded (P2). It is recorded and
    /// refused in its turn.
    pub fn refuse(&mut self, lane: Lane, operation: Operation, refusal: Refusal) -> OperationId {
        let id = self.operation_id();
        self.queue.push(Out::Refuse(lane, id, Box::new(operation), refusal));
        id
    }

    /// Adds a unit to an operation: forwarded if allowed, kept while undecided, dropped if refused.
    pub fn more(&mut self, id: OperationId, unit: U) {
        self.queue.push(Out::More(id, unit));
    }

    /// Keeps the gate of an operation open for later steps that name it in `under` (a portal, a
    /// cursor), until [`Self::forget`].
    pub fn keep(&mut self, id: OperationId) {
        self.queue.push(Out::Keep(id));
    }

    /// Closes a gate kept open.
    pub fn forget(&mut self, id: OperationId) {
        self.queue.push(Out::Forget(id));
    }

    /// Sends handshake or keep-alive traffic, which carries no operation and no reply. Reviewed by
    /// name: see `xtask/reviewed.txt`.
    pub fn control(&mut self, side: Side, unit: U) {
        self.queue.push(Out::Control(side, unit));
    }

    /// The only way out for what an upstream answered to an operation: policy sees it, the journal
    /// holds it, then the client gets it.
    pub fn reply(&mut self, permit: &Arc<Permit>, batch: Batch<U>) {
        self.queue.push(Out::Reply(Arc::clone(permit), batch));
    }

    /// Sends the gateway's own words in answer to something the client sent.
    pub fn answer(&mut self, unit: U) {
        self.queue.push(Out::Answer(unit));
    }

    /// Sends what the upstream said unasked, after scrubbing.
    pub fn unsolicited(&mut self, kind: Unsolicited, unit: U) {
        self.queue.push(Out::Unsolicited(kind, unit));
    }

    /// Ends an operation; replies under this permit are refused from here on.
    pub fn finish(&mut self, permit: Arc<Permit>) {
        self.queue.push(Out::Done(permit));
    }

    /// The upstream will not run this operation, because one before it failed; to be finished.
    pub fn skipped(&mut self, permit: &Permit) {
        self.queue.push(Out::Skipped(permit.operation()));
    }

    /// Ends an operation whose reply cannot be let through (it cannot be masked, it is not what was
    /// judged). What was withheld of it is dropped; the conversation is told `Withheld` and drains.
    pub fn stop(&mut self, permit: &Arc<Permit>, refusal: Refusal) {
        self.queue.push(Out::Stop(Arc::clone(permit), refusal));
    }

    /// Makes the upstream fail for real, so that a refusal tells the truth about the transaction
    /// (R2). Recorded; reviewed by name: see `xtask/reviewed.txt`.
    pub fn abort(&mut self, refused: OperationId, unit: U) {
        self.queue.push(Out::Abort(refused, unit));
    }

    /// Cancels what the upstream runs for this connection, on a connection of its own.
    pub fn cancel(&mut self, errand: Box<dyn Errand<U>>) {
        self.queue.push(Out::Cancel(errand));
    }

    /// From here on this session is found by this cancel key instead of the one it was set up with.
    /// The conversation takes over what the upstream's own clients rely on (a process id) and keeps
    /// the random part.
    pub fn cancel_key(&mut self, key: [u8; 8]) {
        self.queue.push(Out::CancelKey(key));
    }

    /// Passes on a cancel request for the session that holds `key`, if one does.
    pub fn cancel_session(&mut self, key: [u8; 8]) {
        self.queue.push(Out::CancelSession(key));
    }

    /// Asks for a fresh survey; answered by `Refreshed`.
    pub fn refresh(&mut self) {
        self.queue.push(Out::Refresh);
    }

    /// Stops reading from a side.
    pub fn pause(&mut self, side: Side) {
        self.queue.push(Out::Pause(side));
    }

    /// Reads from a side again.
    pub fn resume(&mut self, side: Side) {
        self.queue.push(Out::Resume(side));
    }

    /// Ends the connection once everything before this has been sent.
    pub fn close(&mut self) {
        self.queue.push(Out::Close);
    }

    /// The same, for a reason that is neither side's leaving: a fixed word for the record, and what
    /// happened, in words for the operator.
    pub fn end(&mut self, reason: &'static str, detail: Option<String>) {
        self.queue.push(Out::End(reason, detail));
    }
}

/// What an errand wants done.
pub enum ErrandAct<U> {
    /// Send this to the upstream.
    Send(U),
    /// Start TLS.
    StartTls,
    /// A new snapshot, in the protocol's own type.
    Snapshot(Arc<dyn Any + Send + Sync>),
    /// The probe found nothing new, or a survey is complete: waiting for the next probe.
    Idle,
    /// The errand is complete; close.
    Done,
    /// It cannot be done; fixed words and, for the operator's log only, details.
    Failed(&'static str, Option<String>),
}

/// Where an errand puts what it wants done.
pub struct ErrandOutbox<U> {
    acts: Vec<ErrandAct<U>>,
}

impl<U> Default for ErrandOutbox<U> {
    fn default() -> Self {
        Self { acts: Vec::new() }
    }
}

impl<U> ErrandOutbox<U> {
    /// Adds an act.
    pub fn push(&mut self, act: ErrandAct<U>) {
        self.acts.push(act);
    }

    /// Takes everything wanted so far, in order.
    pub fn take(&mut self) -> Vec<ErrandAct<U>> {
        std::mem::take(&mut self.acts)
    }
}
