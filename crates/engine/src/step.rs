//! What the runtime tells a connection, and what it must do in return.

use std::sync::Arc;

use model::operation::Objects;
use model::{
    Claim, DetectionCount, Event, Operation, OperationId, Parameter, Principal, Resource, Side,
    Timestamp,
};
use policy::{Needs, PayloadPolicy, PolicySet, Refusal};

use crate::contract::{Connected, Errand, TlsFacts};
use crate::shared::SharedSession;

/// Numbers batches of events; acknowledged in order.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub struct Ticket(pub u64);

/// Something the runtime observed.
pub enum Happening<U> {
    /// A unit arrived.
    Data(Side, U),
    /// A side closed its direction.
    Closed(Side),
    /// The journal holds every batch of events up to this one.
    Recorded(Ticket),
    /// The journal could not take a batch; nothing that waits for it may happen (P5). It holds
    /// every batch before this one that it was not said to have failed on.
    RecordFailed(Ticket),
    /// A claim was proved; with the session that this connection joins, where it does not make one.
    Proved(Arc<Principal>, Resource, PayloadPolicy, Option<Arc<SharedSession>>),
    /// A claim was not proved, or nothing is granted: a fixed word and the words for the client.
    Disproved(Refusal),
    /// The transport to the upstream is up.
    Connected(Connected),
    /// It could not be had.
    Unreachable(Refusal),
    /// TLS is on.
    TlsStarted(Side, TlsFacts),
    /// The approval request for an operation exists, under this id, to be seen at this address.
    HoldPlaced(OperationId, Arc<str>, String),
    /// An approver answered, or an earlier yes covers the operation.
    Answered(OperationId, Answer),
    /// A time asked for with `Wake` has come.
    Timer,
    /// The session must end: killed, revoked, expired, shutting down.
    Stop(Refusal),
    /// New rules are in force.
    Policy(Arc<PolicySet>),
    /// Someone with the cancel key wants the running operation stopped.
    Cancelled,
    /// A survey asked for with `Refresh` is complete.
    Refreshed,
    /// A side that was too slow has caught up, or fell behind: stop or go on reading the other.
    Writable(Side, bool),
}

/// What an approver said.
#[derive(Clone, Debug)]
pub enum Answer {
    /// Yes.
    Approved {
        /// The approval.
        approval: Arc<str>,
        /// Who.
        approver: Arc<str>,
        /// Rows after which the yes no longer covers the reply (R11).
        rows_max: Option<u64>,
        /// Why, in the approver's words.
        reason: Option<String>,
    },
    /// No.
    Denied {
        /// The approval.
        approval: Arc<str>,
        /// Who.
        approver: Arc<str>,
        /// Why, in the approver's words, which the client may read.
        reason: Option<String>,
    },
}

/// Something the runtime must do, in order.
pub enum Act<U> {
    /// Put these events into the journal, then say `Recorded`.
    Record(Ticket, Vec<Event>),
    /// Send to a side.
    Send(Side, U),
    /// Prove this claim.
    Identify(Claim),
    /// Reach the upstream of the granted resource.
    Connect,
    /// Start TLS on a side.
    StartTls(Side),
    /// Place an approval request; answer `HoldPlaced` or `Answered`.
    Hold(Box<HoldRequest>),
    /// Nobody waits for this operation any more.
    Unhold(OperationId),
    /// Run an errand that cancels what the upstream does for us.
    Cancel(Box<dyn Errand<U>>),
    /// This session's cancel key is now this one.
    CancelKey([u8; 8]),
    /// Tell the session with this cancel key `Cancelled`.
    CancelSession([u8; 8]),
    /// Survey the upstream now, then say `Refreshed`.
    Refresh,
    /// Stop reading from a side.
    Pause(Side),
    /// Read from it again.
    Resume(Side),
    /// Say `Timer` at this time.
    Wake(Timestamp),
    /// An alert rule matched: notify.
    Alert {
        /// The rule.
        rule: Arc<str>,
        /// Its words.
        message: String,
        /// Which operation.
        operation: OperationId,
    },
    /// Flush what was sent, then close both sides.
    Close,
}

/// What an approver must know, and what the answer is bound to.
#[derive(Clone, Debug)]
pub struct HoldRequest {
    /// Which operation of this connection.
    pub operation: OperationId,
    /// What exactly is approved (R11).
    pub digest: [u8; 32],
    /// Who must say yes, how long the client waits, how long the question stands.
    pub needs: Needs,
    /// The exact text.
    pub text: Arc<str>,
    /// Values beside it.
    pub parameters: Vec<Parameter>,
    /// What it touches.
    pub objects: Arc<Objects>,
    /// Rows withheld so far, when the reply is held.
    pub rows_seen: Option<u64>,
    /// Sensitive values found in them.
    pub detections: Vec<DetectionCount>,
}

impl HoldRequest {
    pub(crate) fn new(
        id: OperationId,
        operation: &Operation,
        digest: [u8; 32],
        needs: Needs,
    ) -> Self {
        Self {
            operation: id,
            digest,
            needs,
            text: Arc::clone(&operation.text),
            parameters: operation.parameters.clone(),
            objects: Arc::clone(&operation.objects),
            rows_seen: None,
            detections: Vec::new(),
        }
    }
}
