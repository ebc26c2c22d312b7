//! One connection's pipeline: decode, decide, record, then act; and the way back.

mod endings;
mod holds;
mod identity;
mod queues;
mod replies;
mod requests;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use model::{
    Event, EventBody, Lane, Operation, OperationId, Principal, Resource, SessionId, Side, Timestamp,
};
use policy::{BlockId, Needs, PayloadPolicy, PolicySet, Refusal, Scope};

use crate::contract::{Conversation, Input, Unit};
use crate::facts::{Ledger, SessionFacts};
use crate::outbox::{Out, Outbox};
use crate::reply::{EventFrame, Open};
use crate::shared::SharedSession;
use crate::step::{Act, Happening, Ticket};

/// What a connection is told when it starts.
pub struct Settings {
    /// Which gateway.
    pub gateway: Arc<str>,
    /// The session to be.
    pub session: SessionId,
    /// Network address of the client.
    pub client: Arc<str>,
    /// Name of the protocol spoken.
    pub protocol: &'static str,
    /// Its block of facts.
    pub block: BlockId,
    /// Bytes of one reply that may be withheld (`hold.buffer`).
    pub hold_buffer_bytes: usize,
    /// Bytes withheld by the whole gateway now, and the most allowed (`hold.buffer_total`).
    pub hold_total: Arc<AtomicUsize>,
    /// See `hold_total`.
    pub hold_total_bytes_max: usize,
    /// Usage counters shared by all sessions.
    pub ledger: Arc<dyn Ledger>,
}

/// One connection's pipeline.
pub struct Connection<U: Unit> {
    settings: Settings,
    policy: Arc<PolicySet>,
    conversation: Box<dyn Conversation<U>>,
    outbox: Outbox<U>,
    now: Timestamp,
    frame: EventFrame,
    who: Option<Who>,
    /// How much of replies is recorded where no rule says it.
    payload: PayloadPolicy,
    /// The session this connection is only a part of, if it is.
    shared: Option<Arc<SharedSession>>,
    /// What the client calls itself, and the run it names.
    called: Option<(Option<String>, Option<String>)>,
    lanes: BTreeMap<Lane, VecDeque<Pending<U>>>,
    /// Sent and not ended, oldest first.
    open: VecDeque<Open>,
    gates: BTreeMap<OperationId, Gate>,
    /// Rules that alerted of the newest operation any did, parts of it included.
    alerted: (OperationId, Vec<Arc<str>>),
    client_queue: VecDeque<Entry<U>>,
    upstream_queue: VecDeque<(Ticket, U)>,
    /// Where answers to a withheld reply belong in `client_queue`.
    insert_at: Option<usize>,
    events: Vec<Event>,
    issued: Ticket,
    acked: Ticket,
    acts: Vec<Act<U>>,
    pending_bytes: usize,
    brakes: Brakes,
    ended: bool,
}

/// Who was let in, and what rules concern them.
struct Who {
    principal: Arc<Principal>,
    resource: Resource,
    scope: Scope,
    facts: SessionFacts,
}

/// What later steps of an operation inherit from its gate.
#[derive(Default)]
struct Gate {
    satisfied: Vec<Arc<str>>,
    rows: u64,
    /// How many rows the last yes covers, those before it counted (R11).
    rows_max: Option<u64>,
}

/// An operation whose verdict the conversation has not been told yet.
struct Pending<U> {
    id: OperationId,
    operation: Box<Operation>,
    units: Vec<U>,
    stage: Waiting,
}

/// What a pending operation waits for.
enum Waiting {
    /// Its turn: one before it is held.
    Turn,
    /// The journal, then it goes.
    RecordToRelease(Ticket, Arc<policy::Permit>, Vec<Arc<str>>, Option<u64>),
    /// The journal, then it is refused.
    RecordToRefuse(Ticket, Refusal),
    /// The journal, then a person is asked.
    RecordToHold(Ticket, Needs),
    /// A person.
    Person { needs: Needs, deadline: Timestamp, approval: Option<Arc<str>>, address: String },
}

/// Something on its way to the client, and what it waits for.
struct Entry<U> {
    gate: EntryGate,
    item: Item<U>,
}

#[derive(Clone, Copy, Eq, PartialEq)]
enum EntryGate {
    /// The journal.
    Ticket(Ticket),
    /// The end of this operation's review.
    Operation(OperationId),
}

enum Item<U> {
    /// What an upstream answered.
    Unit(U),
    /// The gateway's own words, and what carries no operation. They leave even if the journal
    /// fails.
    Words(U),
    Close,
}

/// Why a side is not read; it is read again when no reason is left.
#[derive(Clone, Copy, Eq, Ord, PartialEq, PartialOrd)]
enum Brake {
    /// The conversation has more of it than it can take up.
    Conversation,
    /// Its reply waits for a person.
    Hold,
    /// More operations wait for decisions than may.
    Pending,
    /// The other side does not take what is sent to it.
    SlowPeer,
}

/// The reasons in force, per side.
#[derive(Default)]
struct Brakes {
    client: std::collections::BTreeSet<Brake>,
    upstream: std::collections::BTreeSet<Brake>,
}

impl<U: Unit> Connection<U> {
    /// A connection that has heard nothing yet.
    pub fn new(
        settings: Settings,
        policy: Arc<PolicySet>,
        conversation: Box<dyn Conversation<U>>,
    ) -> Self {
        let frame = EventFrame {
            gateway: Arc::clone(&settings.gateway),
            session: settings.session.clone(),
            sequence: 0,
            principal: None,
            on_behalf_of: None,
            resource: None,
        };
        Self {
            settings,
            policy,
            conversation,
            outbox: Outbox::new(),
            now: Timestamp::default(),
            frame,
            who: None,
            payload: PayloadPolicy::None,
            shared: None,
            called: None,
            lanes: BTreeMap::new(),
            open: VecDeque::new(),
            gates: BTreeMap::new(),
            alerted: (OperationId(0), Vec::new()),
            client_queue: VecDeque::new(),
            upstream_queue: VecDeque::new(),
            insert_at: None,
            events: Vec::new(),
            issued: Ticket(0),
            acked: Ticket(0),
            acts: Vec::new(),
            pending_bytes: 0,
            brakes: Brakes::default(),
            ended: false,
        }
    }

    /// Advances by one happening and returns what to do about it, in order.
    pub fn handle(&mut self, now: Timestamp, happening: Happening<U>) -> Vec<Act<U>> {
        self.now = now;
        match happening {
            Happening::Data(side, unit) => self.tell(Input::Data(side, unit)),
            Happening::Closed(side) => self.closed(side),
            Happening::Recorded(ticket) => self.acked = self.acked.max(ticket),
            Happening::RecordFailed(ticket) => self.record_failed(ticket),
            Happening::Proved(principal, resource, payload, shared) => {
                self.payload = payload;
                self.proved(principal, resource, shared);
            }
            Happening::Disproved(refusal) => self.disproved(refusal),
            Happening::Connected(connected) => {
                self.record_account(&connected);
                self.tell(Input::Connected(connected));
            }
            Happening::Unreachable(refusal) => self.tell(Input::Unreachable(refusal)),
            Happening::TlsStarted(side, facts) => self.tell(Input::TlsStarted(side, facts)),
            Happening::HoldPlaced(id, approval, address) => self.placed(id, approval, address),
            Happening::Answered(id, answer) => self.answered(id, answer),
            Happening::Timer => self.timer(),
            Happening::Stop(refusal) => self.stop(refusal),
            Happening::Policy(policy) => self.rescope(policy),
            Happening::Cancelled => self.cancelled(),
            Happening::Refreshed => self.tell(Input::Refreshed),
            Happening::Writable(side, writable) => self.writable(side, writable),
        }
        self.flush_upstream();
        self.deliver();
        self.seal();
        std::mem::take(&mut self.acts)
    }

    /// True once the connection has asked to be closed.
    pub fn is_ended(&self) -> bool {
        self.ended
    }

    /// Who was let in, once proved.
    pub fn principal(&self) -> Option<&Arc<Principal>> {
        self.who.as_ref().map(|who| &who.principal)
    }

    /// Hands one input to the conversation and carries out what it asks for.
    pub(super) fn tell(&mut self, input: Input<U>) {
        if self.ended {
            return;
        }
        let result = self.conversation.handle(self.now, input, &mut self.outbox);
        let mut queue = std::mem::take(&mut self.outbox.queue);
        for out in queue.drain(..) {
            self.carry(out);
        }
        if self.outbox.queue.is_empty() {
            // Its memory serves again.
            self.outbox.queue = queue;
        }
        if let Err(fault) = result {
            self.fault(&fault);
        }
    }

    pub(super) fn carry(&mut self, out: Out<U>) {
        match out {
            Out::Abort(id, unit) => {
                self.event(EventBody::Abort { operation: id });
                self.upstream_queue.push_back((self.ticket(), unit));
            }
            Out::Answer(unit) => self.answer(unit),
            Out::Ask(lane, id, operation, unit) => self.ask(lane, id, operation, unit),
            Out::Cancel(errand) => self.acts.push(Act::Cancel(errand)),
            Out::CancelKey(key) => self.acts.push(Act::CancelKey(key)),
            Out::CancelSession(key) => self.acts.push(Act::CancelSession(key)),
            Out::Close => self.queue(EntryGate::Ticket(self.ticket()), Item::Close),
            Out::Connect => self.acts.push(Act::Connect),
            Out::Control(Side::Client, unit) => {
                self.queue(EntryGate::Ticket(self.ticket()), Item::Words(unit));
            }
            Out::Control(Side::Upstream, unit) => self.send_upstream(unit),
            Out::Done(permit) => self.done(permit.operation()),
            Out::End(reason, detail) => self.finish(reason, detail),
            Out::Forget(id) => {
                self.gates.remove(&id);
            }
            Out::Identify(claim) => {
                self.called = Some((claim.application.clone(), claim.run.clone()));
                self.acts.push(Act::Identify(claim));
            }
            Out::Keep(id) => {
                self.gates.entry(id).or_default();
            }
            Out::More(id, unit) => self.more(id, unit),
            Out::Pause(side) => self.brake(side, Brake::Conversation, true),
            Out::Refresh => self.acts.push(Act::Refresh),
            Out::Refuse(lane, id, operation, refusal) => {
                self.refuse(lane, id, operation, refusal);
            }
            Out::Reply(permit, batch) => self.reply(permit.operation(), batch),
            Out::Resume(side) => self.brake(side, Brake::Conversation, false),
            Out::Skipped(id) => {
                let open = self.open.iter_mut().find(|open| open.id == id);
                open.into_iter().for_each(|open| open.skipped = true);
            }
            Out::StartTls(side) => {
                // Everything said in clear text leaves before the handshake.
                self.seal();
                self.acts.push(Act::StartTls(side));
            }
            Out::Stop(permit, refusal) => self.withhold(permit.operation(), refusal, &[], None),
            Out::Unsolicited(kind, unit) => {
                self.event(EventBody::Unsolicited {
                    what: kind.as_str().to_owned(),
                    bytes: unit.size() as u64,
                });
                self.queue(EntryGate::Ticket(self.ticket()), Item::Unit(unit));
            }
        }
    }
}
