//! What a protocol crate implements. Adding a method here is an ADR-level change.

use std::any::Any;
use std::sync::Arc;

use bytes::Bytes;
use model::UpstreamTls;
use model::{
    ClientText, Credential, FactDecl, Offer, OperationId, Principal, Resource, Side, Timestamp,
};
pub use policy::Capabilities;
use policy::{HashKey, MaskPlan, Permit, Refusal, Scope};

use crate::facts::RESULT_DETECTIONS;
pub use crate::outbox::ErrandOutbox;
use crate::outbox::Outbox;
use crate::taint::Trail;

/// What a transport delivers in one piece: bytes, HTTP parts, SSH channel parts.
pub trait Unit: Send + 'static {
    /// Bytes it occupies, for bounds and records.
    fn size(&self) -> usize;
    /// What of it goes into a recorded payload.
    fn payload(&self) -> &[u8];
}

impl Unit for Bytes {
    fn size(&self) -> usize {
        self.len()
    }
    fn payload(&self) -> &[u8] {
        self
    }
}

impl Unit for model::exchange::Part {
    fn size(&self) -> usize {
        Self::size(self)
    }
    fn payload(&self) -> &[u8] {
        match self {
            Self::Data(bytes) | Self::Last(bytes) => bytes,
            Self::Reply(head) => &head.recorded,
            Self::Message(message) => &message.data,
            // What nobody can read is counted, not kept.
            Self::Request(_) | Self::Trailers(_) | Self::End | Self::Close(..) | Self::Raw(_) => {
                &[]
            }
        }
    }
}

/// One per protocol. `U` is the unit its transport delivers.
pub trait Protocol<U: Unit>: Send + Sync {
    /// Stable name used in configuration (`type:`), recordings and metrics.
    fn name(&self) -> &'static str;
    /// The facts its operations carry, in the order in which they carry them.
    fn facts(&self) -> &'static [FactDecl];
    /// Which rule actions it can honour.
    fn capabilities(&self) -> Capabilities;
    /// Looks at the first bytes of a connection. Must not need more than 64 bytes to decide.
    fn detect(&self, prefix: &[u8]) -> Detection;
    /// Starts the state machine for one client connection.
    fn conversation(&self, setup: Setup) -> Box<dyn Conversation<U>>;
    /// Starts the gateway's own stay at an upstream, which reads what the protocol must know before
    /// it can judge (a database's catalog). `None` when nothing is needed.
    fn survey(&self) -> Option<Box<dyn Errand<U>>>;
    /// Turns a recorded payload into lines a person can read. The payload may be cut anywhere.
    fn render(&self, payload: &[u8]) -> Vec<String>;
}

/// What the first bytes of a connection say.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Detection {
    /// They are this protocol's.
    Match,
    /// They are not.
    Mismatch,
    /// Too few to tell.
    NeedMore,
}

/// What a conversation is told when it starts.
#[derive(Clone)]
pub struct Setup {
    /// The client's bytes cannot be read on the way: TLS is on, or the peer is on loopback (R16).
    pub client_private: bool,
    /// TLS to the client can be started.
    pub client_tls: bool,
    /// TLS to the client is on already (negotiated before the first message).
    pub client_tls_started: bool,
    /// The client has shown a certificate in that TLS, which may prove who it is.
    pub client_certificate: bool,
    /// Names this session to whoever wants to cancel its work. Random.
    pub cancel_key: [u8; 8],
    /// Names this session in messages to the client.
    pub session: Arc<str>,
    /// Bounds from the configuration.
    pub limits: Limits,
    /// Key of the `hash` mask.
    pub hash_key: Arc<HashKey>,
    /// Where a client can get a token, for protocols that can say so.
    pub offer: Option<Arc<Offer>>,
}

/// Bounds a conversation observes; see `model::limit` for the defaults.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Longest text of one operation, bytes.
    pub statement_bytes_max: usize,
}

/// The protocol state of one connection. Does no I/O, reads no clock, makes no decisions.
pub trait Conversation<U: Unit>: Send {
    /// Advances by one input, appending consequences to `out`. An error ends the connection.
    fn handle(&mut self, now: Timestamp, input: Input<U>, out: &mut Outbox<U>)
    -> Result<(), Fault>;
}

/// Something a conversation is told.
pub enum Input<U> {
    /// A unit arrived.
    Data(Side, U),
    /// A side closed its direction. Nothing more comes from it.
    Closed(Side),
    /// The handshake asked for with `start_tls` is complete.
    TlsStarted(Side, TlsFacts),
    /// The claim was proved and the resource is granted; `connect` may follow.
    Identified {
        /// Who.
        principal: Arc<Principal>,
        /// What they asked for.
        resource: Resource,
        /// Every mask that can concern this principal here (R1).
        masks: Arc<MaskPlan>,
        /// What rules concerning this principal need.
        reads: Reads,
        /// The session: the one it was set up with, or the one it joined.
        session: Arc<str>,
        /// What the principal received of followed values.
        trail: Arc<Trail>,
    },
    /// The claim was not proved, or nothing is granted.
    Unidentified(Refusal),
    /// Rules changed; these masks concern the principal from now on, and these facts are read.
    Rescoped(Arc<MaskPlan>, Reads),
    /// The transport to the upstream is up.
    Connected(Connected),
    /// The upstream cannot be reached or trusted.
    Unreachable(Refusal),
    /// The operation first in its lane was allowed and recorded; its units are on their way.
    Released(Arc<Permit>),
    /// The operation waits for a person.
    Held(OperationId, HoldNotice),
    /// The operation first in its lane was refused; none of its units was sent.
    Refused(OperationId, Refusal),
    /// The reply of a released operation must not reach the client; what was kept of it is gone.
    Withheld(OperationId, Refusal),
    /// What was withheld of a reply leaves, and what follows leaves as it comes; that may be
    /// withheld from some part on.
    LetGo(OperationId),
    /// The reply of an operation that a rule could still have stopped was let go to its end.
    Passed(OperationId),
    /// Whoever holds the cancel key wants the running operation stopped.
    Cancel,
    /// The session must end now, for this reason.
    Stopped(Refusal),
    /// The snapshot asked for with `refresh` is in place (or could not be had).
    Refreshed,
}

/// What the rules that concern a principal need: what none of them reads need not be computed.
#[derive(Clone, Debug, Default)]
pub struct Reads {
    pub(crate) own: Arc<[u16]>,
    pub(crate) detections: Sought,
    pub(crate) asks: bool,
}

impl Reads {
    /// Everything: for explaining a decision.
    #[must_use]
    pub fn everything() -> Self {
        Self { own: (0..u16::from(u8::MAX)).collect(), detections: Sought::ToStop, asks: true }
    }

    /// Whether a rule reads the fact at this position of the protocol's declarations.
    #[must_use]
    pub fn contains(&self, index: u16) -> bool {
        self.own.contains(&index)
    }

    /// Why rules read what sensitive values a reply holds. For an operation that was let go this is
    /// asked of its permit ([`Sought::under`]): rules may have changed since.
    #[must_use]
    pub fn result_detections(&self) -> Sought {
        self.detections
    }

    /// Whether a rule may ask a person, so that what is asked about must be known in full (R11).
    #[must_use]
    pub fn asks(&self) -> bool {
        self.asks
    }
}

/// Why rules read what sensitive values a reply holds (`result.detections`), so that it is searched
/// for every type, hidden or not.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub enum Sought {
    /// No rule does.
    #[default]
    Not,
    /// Rules only tell of it: alerts, and what is observed.
    ToTell,
    /// A rule may stop the reply for it.
    ToStop,
}

impl Sought {
    /// Of the rules that the reply of this permit is judged by.
    #[must_use]
    pub fn under(permit: &Permit) -> Self {
        Self::by(permit.scope())
    }

    pub(crate) fn by(scope: &Scope) -> Self {
        if scope.stops_by(RESULT_DETECTIONS) {
            return Self::ToStop;
        }
        match scope.reads().any(|fact| fact == RESULT_DETECTIONS) {
            true => Self::ToTell,
            false => Self::Not,
        }
    }

    /// Whether any rule reads it.
    #[must_use]
    pub fn is_any(self) -> bool {
        self != Self::Not
    }
}

/// What a conversation learns when the upstream is reached.
#[derive(Clone)]
pub struct Connected {
    /// What the gateway proves itself with.
    pub credential: Arc<Credential>,
    /// Whether to start TLS before anything else.
    pub tls: UpstreamTls,
    /// What a survey of the same upstream found.
    pub snapshots: Arc<dyn Snapshots>,
    /// The resource's protocol-specific settings, as configured.
    pub options: Arc<serde_json::Value>,
}

/// What the handshake established.
#[derive(Clone, Debug, Default)]
pub struct TlsFacts {
    /// The peer's certificate, DER; what channel binding hashes.
    pub certificate: Option<Vec<u8>>,
}

/// The newest survey of an upstream.
pub trait Snapshots: Send + Sync {
    /// The snapshot in the protocol's own type; `None` until the first survey is complete.
    fn current(&self) -> Option<Arc<dyn Any + Send + Sync>>;
}

/// A short stay at the upstream on the gateway's own behalf: a survey, a cancel.
pub trait Errand<U: Unit>: Send {
    /// Advances by one input.
    fn handle(&mut self, input: ErrandInput<U>, out: &mut ErrandOutbox<U>) -> Result<(), Fault>;
}

/// Something an errand is told.
pub enum ErrandInput<U> {
    /// The transport is up.
    Connected(Connected),
    /// TLS is on.
    TlsStarted(TlsFacts),
    /// A unit arrived.
    Data(U),
    /// Look again, cheaply, whether anything changed since the last snapshot.
    Probe,
}

/// What a held client can be told.
#[derive(Clone, Debug)]
pub struct HoldNotice {
    /// The approval request.
    pub approval: Arc<str>,
    /// Words for the client: who is asked, how long it waits, where to look.
    pub text: ClientText,
}

/// Kinds of upstream words that no operation asked for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Unsolicited {
    /// A notice or warning.
    Notice,
    /// An asynchronous notification.
    Notification,
    /// A changed session setting.
    Parameter,
}

impl Unsolicited {
    /// The word recorded.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Notice => "notice",
            Self::Notification => "notification",
            Self::Parameter => "parameter",
        }
    }
}

/// A peer broke the protocol. Never caused by policy.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Fault {
    /// Who.
    pub side: Side,
    /// What, in fixed words.
    pub what: &'static str,
}

impl Fault {
    /// The client's fault.
    #[must_use]
    pub const fn client(what: &'static str) -> Self {
        Self { side: Side::Client, what }
    }
    /// The upstream's fault.
    #[must_use]
    pub const fn upstream(what: &'static str) -> Self {
        Self { side: Side::Upstream, what }
    }
}
