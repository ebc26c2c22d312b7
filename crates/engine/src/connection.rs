//! One connection's pipeline: decode, decide, record, then act; and the way back.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use model::event::{RuleMatch, Verdict};
use model::limit::{PENDING_BYTES_MAX, PENDING_OPERATIONS_MAX};
use model::operation::Stage;
use model::{
    ClientText, Event, EventBody, Lane, Operation, OperationId, Principal, Resource, SessionId,
    Side, Timestamp,
};
use policy::{
    BlockId, Decision, HeldReply as HeldByRule, Needs, Outcome, PolicySet, Progress, Refusal,
    Request, Scope,
};

use crate::contract::{Conversation, Fault, HoldNotice, Input, Unit};
use crate::digest::operation_digest;
use crate::facts::{Ledger, OperationFacts, ReplyFacts, SessionFacts};
use crate::outbox::{Batch, Out, Outbox};
use crate::reply::{EventFrame, HeldReply, Open, ReplyState};
use crate::step::{Act, Answer, Happening, HoldRequest, PayloadPolicy, Ticket};

/// What a connection is told when it starts.
pub struct Settings {
    /// Which gateway.
    pub gateway: Arc<str>,
    /// The session to be.
    pub session: SessionId,
    /// Network address of the client.
    pub client: String,
    /// Name of the protocol spoken.
    pub protocol: &'static str,
    /// Its block of facts.
    pub block: BlockId,
    /// How much of replies is recorded.
    pub payload: PayloadPolicy,
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
    application: Option<String>,
    lanes: BTreeMap<Lane, VecDeque<Pending<U>>>,
    open: Vec<Open>,
    gates: BTreeMap<OperationId, Gate>,
    client_queue: VecDeque<Entry<U>>,
    upstream_queue: VecDeque<(Ticket, U)>,
    /// Where answers to a withheld reply belong in `client_queue`.
    insert_at: Option<usize>,
    events: Vec<Event>,
    issued: Ticket,
    acked: Ticket,
    acts: Vec<Act<U>>,
    pending_bytes: usize,
    paused: Paused,
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
    Unit(U),
    Close,
}

#[derive(Default)]
struct Paused {
    client: bool,
    upstream: bool,
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
            application: None,
            lanes: BTreeMap::new(),
            open: Vec::new(),
            gates: BTreeMap::new(),
            client_queue: VecDeque::new(),
            upstream_queue: VecDeque::new(),
            insert_at: None,
            events: Vec::new(),
            issued: Ticket(0),
            acked: Ticket(0),
            acts: Vec::new(),
            pending_bytes: 0,
            paused: Paused::default(),
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
            Happening::Proved(principal, resource) => self.proved(principal, resource),
            Happening::Disproved(refusal) => self.disproved(refusal),
            Happening::Connected(connected) => self.tell(Input::Connected(connected)),
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

    // ---- identity ------------------------------------------------------------------------------

    fn proved(&mut self, principal: Arc<Principal>, resource: Resource) {
        self.frame.principal = Some(Arc::clone(&principal.subject));
        if !self.policy.admits(&principal, &resource) {
            let words = format!(
                "\"{}\" may not use \"{}\": no access line grants it",
                principal.subject, resource.name
            );
            self.disproved(Refusal::unjudgeable("no_access", ClientText::composed(words)));
            return;
        }
        self.frame.resource = Some(Arc::clone(&resource.name));
        let scope = self.policy.scope(&principal, &resource, self.settings.block);
        let masks = Arc::clone(scope.masks());
        let facts = SessionFacts::new(&principal, &resource, &self.frame.session.0, self.now);
        let application = self.application.take();
        self.event(EventBody::SessionStarted {
            principal: (*principal).clone(),
            client: self.settings.client.clone(),
            application,
            protocol: self.settings.protocol.to_owned(),
        });
        self.who = Some(Who {
            principal: Arc::clone(&principal),
            resource: resource.clone(),
            scope,
            facts,
        });
        self.tell(Input::Identified { principal, resource, masks });
    }

    fn disproved(&mut self, refusal: Refusal) {
        self.event(EventBody::SessionRefused {
            client: self.settings.client.clone(),
            reason: refusal.reason().to_owned(),
            protocol: self.settings.protocol.to_owned(),
        });
        self.tell(Input::Unidentified(refusal));
    }

    fn rescope(&mut self, policy: Arc<PolicySet>) {
        self.policy = policy;
        let Some(who) = &mut self.who else { return };
        if !self.policy.admits(&who.principal, &who.resource) {
            let words = ClientText::fixed("access to this resource was withdrawn");
            self.stop(Refusal::unjudgeable("no_access", words));
            return;
        }
        who.scope = self.policy.scope(&who.principal, &who.resource, self.settings.block);
        let masks = Arc::clone(who.scope.masks());
        self.tell(Input::Rescoped(masks));
    }

    // ---- the conversation ----------------------------------------------------------------------

    /// Hands one input to the conversation and carries out what it asks for.
    fn tell(&mut self, input: Input<U>) {
        if self.ended {
            return;
        }
        let result = self.conversation.handle(self.now, input, &mut self.outbox);
        for out in std::mem::take(&mut self.outbox.queue) {
            self.carry(out);
        }
        if let Err(fault) = result {
            self.fault(&fault);
        }
    }

    fn carry(&mut self, out: Out<U>) {
        match out {
            Out::Abort(id, unit) => {
                self.event(EventBody::Abort { operation: id });
                self.upstream_queue.push_back((self.ticket(), unit));
            }
            Out::Answer(unit) => self.answer(unit),
            Out::Ask(lane, id, operation, unit) => self.ask(lane, id, operation, unit),
            Out::Cancel(errand) => self.acts.push(Act::Cancel(errand)),
            Out::CancelSession(key) => self.acts.push(Act::CancelSession(key)),
            Out::Close => self.queue(EntryGate::Ticket(self.ticket()), Item::Close),
            Out::Connect => self.acts.push(Act::Connect),
            Out::Control(Side::Client, unit) => {
                self.queue(EntryGate::Ticket(self.ticket()), Item::Unit(unit));
            }
            Out::Control(Side::Upstream, unit) => self.send_upstream(unit),
            Out::Done(permit) => self.done(permit.operation()),
            Out::Forget(id) => {
                self.gates.remove(&id);
            }
            Out::Identify(claim) => {
                self.application.clone_from(&claim.application);
                self.acts.push(Act::Identify(claim));
            }
            Out::Keep(id) => {
                self.gates.entry(id).or_default();
            }
            Out::More(id, unit) => self.more(id, unit),
            Out::Pause(side) => self.acts.push(Act::Pause(side)),
            Out::Refresh => self.acts.push(Act::Refresh),
            Out::Refuse(lane, id, operation, refusal) => {
                self.refuse(lane, id, operation, refusal);
            }
            Out::Reply(permit, batch) => self.reply(permit.operation(), batch),
            Out::Resume(side) => self.acts.push(Act::Resume(side)),
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

    // ---- requests ------------------------------------------------------------------------------

    fn ask(&mut self, lane: Lane, id: OperationId, operation: Box<Operation>, unit: Option<U>) {
        self.pending_bytes = self.pending_bytes.saturating_add(unit.as_ref().map_or(0, Unit::size));
        let waits = self.lanes.get(&lane).is_some_and(|queue| {
            queue.iter().any(|p| {
                matches!(
                    p.stage,
                    Waiting::Turn | Waiting::Person { .. } | Waiting::RecordToHold(..)
                )
            })
        });
        let stage =
            if waits { Waiting::Turn } else { self.decide(id, &operation, Vec::new(), None) };
        let pending = Pending { id, operation, units: unit.into_iter().collect(), stage };
        self.lanes.entry(lane).or_default().push_back(pending);
        self.bound_pending();
    }

    fn refuse(&mut self, lane: Lane, id: OperationId, operation: Box<Operation>, refusal: Refusal) {
        self.record_operation(id, &operation, Verdict::Block, Vec::new(), Some(&refusal));
        let stage = Waiting::RecordToRefuse(self.ticket(), refusal);
        let pending = Pending { id, operation, units: Vec::new(), stage };
        self.lanes.entry(lane).or_default().push_back(pending);
    }

    /// Judges one operation now, with the approvals it already has, and records the decision.
    fn decide(
        &mut self,
        id: OperationId,
        operation: &Operation,
        approved: Vec<Arc<str>>,
        rows_max: Option<u64>,
    ) -> Waiting {
        let Some(who) = &mut self.who else {
            let words = ClientText::fixed("nobody has proved who is asking");
            return Waiting::RecordToRefuse(
                self.ticket(),
                Refusal::unjudgeable("unidentified", words),
            );
        };
        who.facts.operations = who.facts.operations.saturating_add(1);
        let gate = operation.under.and_then(|under| self.gates.get(&under));
        let mut satisfied = gate.map(|gate| gate.satisfied.clone()).unwrap_or_default();
        let already = gate.map_or(0, |gate| gate.rows);
        satisfied.extend(approved);
        let facts = OperationFacts {
            session: &who.facts,
            block: self.settings.block,
            facts: &operation.facts,
            reply: ReplyFacts::Ahead { already, bound: operation.rows },
            ledger: &*self.settings.ledger,
            now: self.now,
        };
        let decided = who.scope.decide(Request {
            operation: id,
            stage: operation.stage,
            effect: operation.effect,
            rows: operation.rows,
            facts: &facts,
            satisfied: &satisfied,
        });
        for (rule, message) in decided.alerts {
            self.alert(id, rule, message);
        }
        match decided.decision {
            Decision::Allow(permit) => {
                let masked = decided.matches.iter().any(|m| !m.observed && &*m.action == "mask");
                let verdict = if masked { Verdict::Mask } else { Verdict::Allow };
                self.record_operation(id, operation, verdict, decided.matches, None);
                Waiting::RecordToRelease(self.ticket(), Arc::new(permit), satisfied, rows_max)
            }
            Decision::Hold(held) => {
                self.record_operation(id, operation, Verdict::Hold, decided.matches, None);
                Waiting::RecordToHold(self.ticket(), held.needs().clone())
            }
            Decision::Refuse(refusal) => {
                let matches = decided.matches;
                self.record_operation(id, operation, Verdict::Block, matches, Some(&refusal));
                Waiting::RecordToRefuse(self.ticket(), refusal)
            }
        }
    }

    fn more(&mut self, id: OperationId, unit: U) {
        if let Some(open) = self.open.iter().find(|open| open.id == id) {
            if !matches!(open.state, ReplyState::Stopped) {
                self.send_upstream(unit);
            }
            return;
        }
        let bytes = unit.size();
        let pending = self.lanes.values_mut().flatten().find(|pending| pending.id == id);
        if let Some(pending) = pending {
            pending.units.push(unit);
            self.pending_bytes = self.pending_bytes.saturating_add(bytes);
            self.bound_pending();
        }
    }

    /// Stops reading from a client that has asked for more than may wait.
    fn bound_pending(&mut self) {
        let operations: usize = self.lanes.values().map(VecDeque::len).sum();
        let over = operations > PENDING_OPERATIONS_MAX || self.pending_bytes > PENDING_BYTES_MAX;
        if over != self.paused.client {
            self.paused.client = over;
            self.acts.push(if over { Act::Pause(Side::Client) } else { Act::Resume(Side::Client) });
        }
    }

    // ---- delivery ------------------------------------------------------------------------------

    /// Tells the conversation every verdict that is recorded and first in its lane.
    fn deliver(&mut self) {
        while let Some((lane, pending)) = self.pop_ready() {
            let units = pending.units;
            let freed: usize = units.iter().map(Unit::size).sum();
            self.pending_bytes = self.pending_bytes.saturating_sub(freed);
            match pending.stage {
                Waiting::RecordToRelease(_, permit, satisfied, rows_max) => {
                    let mut open = Open::new(pending.id, lane, permit, pending.operation, self.now);
                    if let Some(gate) = self.gates.get_mut(&open.id) {
                        gate.satisfied.clone_from(&satisfied);
                    }
                    let gate = open.operation.under.and_then(|under| self.gates.get(&under));
                    open.rows_before = gate.map_or(0, |gate| gate.rows);
                    open.satisfied = satisfied;
                    open.rows_max = rows_max;
                    let permit = Arc::clone(&open.permit);
                    self.open.push(open);
                    self.acts.extend(units.into_iter().map(|unit| Act::Send(Side::Upstream, unit)));
                    self.tell(Input::Released(permit));
                }
                Waiting::RecordToRefuse(_, refusal) => {
                    self.gates.remove(&pending.id);
                    self.tell(Input::Refused(pending.id, refusal));
                }
                _ => {}
            }
            self.bound_pending();
        }
        self.take_turns();
    }

    fn pop_ready(&mut self) -> Option<(Lane, Pending<U>)> {
        let acked = self.acked;
        for (lane, queue) in &mut self.lanes {
            let Some(first) = queue.front_mut() else { continue };
            if let Waiting::RecordToHold(ticket, needs) = &first.stage {
                if *ticket <= acked {
                    let needs = needs.clone();
                    let deadline = self.now.plus(needs.wait);
                    self.acts.push(Act::Wake(deadline));
                    if let Some(who) = &self.who {
                        let digest =
                            operation_digest(&who.resource, &who.principal, &first.operation);
                        let request =
                            HoldRequest::new(first.id, &first.operation, digest, needs.clone());
                        self.acts.push(Act::Hold(Box::new(request)));
                    }
                    let address = String::new();
                    first.stage = Waiting::Person { needs, deadline, approval: None, address };
                }
                continue;
            }
            let unsettled = self.open.iter().any(|open| open.lane == *lane && open.is_unsettled());
            let ready = match &first.stage {
                Waiting::RecordToRelease(ticket, ..) => *ticket <= acked && !unsettled,
                Waiting::RecordToRefuse(ticket, _) => *ticket <= acked && !unsettled,
                _ => false,
            };
            if ready && let Some(pending) = queue.pop_front() {
                return Some((*lane, pending));
            }
        }
        None
    }

    /// Decides operations that waited behind a hold, up to the next hold.
    fn take_turns(&mut self) {
        let lanes: Vec<Lane> = self.lanes.keys().copied().collect();
        for lane in lanes {
            let mut index = 0;
            while let Some(pending) = self.lanes.get(&lane).and_then(|queue| queue.get(index)) {
                match pending.stage {
                    Waiting::Person { .. } | Waiting::RecordToHold(..) => break,
                    Waiting::RecordToRelease(..) | Waiting::RecordToRefuse(..) => {}
                    Waiting::Turn => self.decide_at(lane, index),
                }
                index = index.saturating_add(1);
            }
        }
        self.lanes.retain(|_, queue| !queue.is_empty());
    }

    fn decide_at(&mut self, lane: Lane, index: usize) {
        let Some(mut pending) = self.lanes.get_mut(&lane).and_then(|queue| queue.remove(index))
        else {
            return;
        };
        pending.stage = self.decide(pending.id, &pending.operation, Vec::new(), None);
        if let Some(queue) = self.lanes.get_mut(&lane) {
            queue.insert(index, pending);
        }
    }

    // ---- replies -------------------------------------------------------------------------------

    fn reply(&mut self, id: OperationId, mut batch: Batch<U>) {
        let ticket = self.ticket();
        let Some(open) = self.open.iter_mut().find(|open| open.id == id) else {
            self.fault(&Fault::upstream("reply to an operation that is over"));
            return;
        };
        open.count(&mut batch, self.settings.payload);
        let rows = open.rows_before.saturating_add(open.rows);
        if matches!(open.state, ReplyState::Flowing)
            && open.rows_max.is_some_and(|most| rows > most)
        {
            // The yes no longer covers this reply (R11): what comes from here waits again.
            open.state = ReplyState::Withheld;
        }
        match &open.state {
            ReplyState::Stopped => {}
            ReplyState::Flowing => {
                self.client_queue.push_back(Entry {
                    gate: EntryGate::Ticket(ticket),
                    item: Item::Unit(batch.unit),
                });
            }
            ReplyState::Withheld | ReplyState::Held(_) => {
                let bytes = batch.unit.size();
                open.withheld_bytes = open.withheld_bytes.saturating_add(bytes);
                self.settings.hold_total.fetch_add(bytes, Ordering::Relaxed);
                let entry = Entry { gate: EntryGate::Operation(id), item: Item::Unit(batch.unit) };
                self.client_queue.push_back(entry);
                if matches!(open.state, ReplyState::Withheld) {
                    self.review(id, Progress::Streaming);
                }
            }
        }
    }

    /// The conversation says the reply is complete.
    fn done(&mut self, id: OperationId) {
        let Some(open) = self.open.iter_mut().find(|open| open.id == id) else { return };
        match &mut open.state {
            ReplyState::Flowing => {
                // A rule could have stopped it, and did not: the conversation waits to hear so.
                let reviewed = open.permit.has_reply_rules();
                self.end(id, reviewed);
            }
            ReplyState::Withheld => {
                self.review(id, Progress::Complete);
            }
            ReplyState::Held(held) => held.complete = true,
            ReplyState::Stopped => self.end(id, false),
        }
    }

    /// Judges what is known of a withheld reply.
    fn review(&mut self, id: OperationId, progress: Progress) {
        let Some(who) = &self.who else { return };
        let Some(open) = self.open.iter().find(|open| open.id == id) else { return };
        let over = open.withheld_bytes > self.settings.hold_buffer_bytes
            || self.settings.hold_total.load(Ordering::Relaxed)
                > self.settings.hold_total_bytes_max;
        let progress = match progress {
            Progress::Streaming if over => Progress::Full,
            other => other,
        };
        let rows = open.rows_before.saturating_add(open.rows);
        let (bytes, columns, detections) = (open.bytes, &*open.columns, &*open.detections);
        let reply = match progress {
            Progress::Complete => ReplyFacts::Complete { rows, bytes, columns, detections },
            _ => ReplyFacts::Streaming { rows, bytes, columns },
        };
        let facts = OperationFacts {
            session: &who.facts,
            block: self.settings.block,
            facts: &open.operation.facts,
            reply,
            ledger: &*self.settings.ledger,
            now: self.now,
        };
        if open.rows_max.is_some_and(|most| rows > most) {
            open.permit.ask_again();
        }
        let reviewed = who.scope.review(&open.permit, &facts, progress);
        for (rule, message) in reviewed.alerts {
            self.alert(id, rule, message);
        }
        let complete = matches!(progress, Progress::Complete);
        match reviewed.outcome {
            Outcome::Pass if complete => self.pass(id),
            Outcome::Pass | Outcome::Undecided => {}
            Outcome::Hold(held) => self.hold_reply(id, held, reviewed.matches, complete),
            Outcome::Refuse(refusal) => {
                self.withhold(id, refusal, &reviewed.matches, None);
                if complete {
                    self.end(id, false);
                }
            }
        }
    }

    fn hold_reply(
        &mut self,
        id: OperationId,
        hold: HeldByRule,
        matches: Vec<RuleMatch>,
        complete: bool,
    ) {
        let deadline = self.now.plus(hold.needs().wait);
        let Some(who) = &self.who else { return };
        let Some(open) = self.open.iter_mut().find(|open| open.id == id) else { return };
        let rows = open.rows_before.saturating_add(open.rows);
        let digest = operation_digest(&who.resource, &who.principal, &open.operation);
        let mut request = HoldRequest::new(id, &open.operation, digest, hold.needs().clone());
        request.rows_seen = Some(rows);
        request.detections.clone_from(&open.detections);
        open.state = ReplyState::Held(HeldReply {
            hold,
            matches: matches.clone(),
            deadline,
            approval: None,
            address: String::new(),
            complete,
        });
        self.ruling(id, Verdict::Hold, matches, rows, None, None);
        self.acts.push(Act::Wake(deadline));
        self.acts.push(Act::Hold(Box::new(request)));
        if !complete {
            self.pause_upstream(true);
        }
    }

    /// Lets a withheld reply go.
    fn pass(&mut self, id: OperationId) {
        self.release_reply(id);
        self.end(id, true);
    }

    fn release_reply(&mut self, id: OperationId) {
        let ticket = self.ticket();
        if let Some(open) = self.open.iter_mut().find(|open| open.id == id) {
            self.settings.hold_total.fetch_sub(open.withheld_bytes, Ordering::Relaxed);
            open.withheld_bytes = 0;
            open.state = ReplyState::Flowing;
        }
        for entry in &mut self.client_queue {
            if entry.gate == EntryGate::Operation(id) {
                entry.gate = EntryGate::Ticket(ticket);
            }
        }
    }

    /// Drops what was kept of a reply and tells the conversation to refuse and drain.
    fn withhold(
        &mut self,
        id: OperationId,
        refusal: Refusal,
        matches: &[RuleMatch],
        by: Option<(Arc<str>, Arc<str>)>,
    ) {
        let Some(open) = self.open.iter_mut().find(|open| open.id == id) else { return };
        if matches!(open.state, ReplyState::Stopped) {
            return;
        }
        let rows = open.rows_before.saturating_add(open.rows);
        self.settings.hold_total.fetch_sub(open.withheld_bytes, Ordering::Relaxed);
        open.withheld_bytes = 0;
        open.state = ReplyState::Stopped;
        let ticket = self.ticket();
        let own = |entry: &Entry<U>| match entry.gate {
            EntryGate::Operation(gate) => gate == id,
            EntryGate::Ticket(_) => false,
        };
        let at = self.client_queue.iter().position(own).unwrap_or(self.client_queue.len());
        self.client_queue.retain(|entry| !own(entry));
        self.ruling(id, Verdict::Block, matches.to_vec(), rows, Some(&refusal), by);
        debug_assert!(ticket == self.ticket(), "one ticket per step");
        self.pause_upstream(false);
        self.insert_at = Some(at);
        self.tell(Input::Withheld(id, refusal));
        self.insert_at = None;
    }

    /// Records the end of an operation and forgets it.
    fn end(&mut self, id: OperationId, reviewed: bool) {
        let Some(at) = self.open.iter().position(|open| open.id == id) else { return };
        let mut open = self.open.swap_remove(at);
        let stopped = matches!(open.state, ReplyState::Stopped);
        let outcome = if stopped {
            "withheld"
        } else if open.error_code.is_some() {
            "error"
        } else {
            "done"
        };
        if !stopped {
            self.account(&open);
        }
        let (body, payload) = open.end(outcome, self.now);
        self.event_with(body, payload);
        if reviewed {
            self.tell(Input::Passed(id));
        }
    }

    fn account(&mut self, open: &Open) {
        let under = open.operation.under.unwrap_or(open.id);
        if let Some(gate) = self.gates.get_mut(&under) {
            gate.rows = gate.rows.saturating_add(open.rows);
            for rule in &open.satisfied {
                if !gate.satisfied.contains(rule) {
                    gate.satisfied.push(Arc::clone(rule));
                }
            }
        }
        if let Some(who) = &mut self.who {
            who.facts.rows = who.facts.rows.saturating_add(open.rows);
            who.facts.bytes = who.facts.bytes.saturating_add(open.bytes);
            let usage = policy::Usage { operations: 1, rows: open.rows, bytes: open.bytes };
            self.settings.ledger.add(&who.facts.subject, &who.facts.resource, usage, self.now);
        }
    }

    // ---- holds ---------------------------------------------------------------------------------

    fn placed(&mut self, id: OperationId, approval: Arc<str>, address: String) {
        let mut notice = None;
        if let Some(pending) = self.lanes.values_mut().flatten().find(|p| p.id == id)
            && let Waiting::Person { needs, approval: slot, address: place, .. } =
                &mut pending.stage
        {
            notice = Some(waiting_words(&approval, &address, needs, None));
            *slot = Some(Arc::clone(&approval));
            place.clone_from(&address);
        }
        if let Some(open) = self.open.iter_mut().find(|open| open.id == id)
            && let ReplyState::Held(held) = &mut open.state
        {
            let rows = open.rows_before.saturating_add(open.rows);
            notice = Some(waiting_words(&approval, &address, held.hold.needs(), Some(rows)));
            held.approval = Some(Arc::clone(&approval));
            held.address = address;
        }
        if let Some(text) = notice {
            // The notice overtakes the reply it speaks of, which waits in the queue.
            let at = self
                .client_queue
                .iter()
                .position(|entry| entry.gate == EntryGate::Operation(id))
                .unwrap_or(self.client_queue.len());
            self.insert_at = Some(at);
            self.tell(Input::Held(id, HoldNotice { approval, text }));
            self.insert_at = None;
        }
    }

    fn answered(&mut self, id: OperationId, answer: Answer) {
        let lane = self
            .lanes
            .iter()
            .find(|(_, queue)| queue.iter().any(|pending| pending.id == id))
            .map(|(lane, _)| *lane);
        match lane {
            Some(lane) => self.answered_request(lane, id, answer),
            None => self.answered_reply(id, answer),
        }
    }

    fn answered_request(&mut self, lane: Lane, id: OperationId, answer: Answer) {
        let Some(queue) = self.lanes.get_mut(&lane) else { return };
        let Some(index) = queue.iter().position(|pending| pending.id == id) else { return };
        let Some(pending) = queue.get(index) else { return };
        let Waiting::Person { needs, .. } = &pending.stage else { return };
        let rules: Vec<Arc<str>> = needs.rules.iter().map(|need| Arc::clone(&need.rule)).collect();
        match answer {
            Answer::Approved { approval, approver, rows_max } => {
                let by = Some((approval, approver));
                self.ruling(id, Verdict::Allow, Vec::new(), 0, None, by);
                // Judged afresh: rules and tokens may have changed while it waited.
                let Some(mut pending) =
                    self.lanes.get_mut(&lane).and_then(|queue| queue.remove(index))
                else {
                    return;
                };
                pending.stage = self.decide(id, &pending.operation, rules, rows_max);
                if let Some(queue) = self.lanes.get_mut(&lane) {
                    queue.insert(index, pending);
                }
            }
            Answer::Denied { approval, approver, reason } => {
                let refusal = denied(&approval, &approver, reason.as_deref(), &rules);
                self.refuse_held(id, refusal, Some((approval, approver)));
            }
        }
    }

    fn answered_reply(&mut self, id: OperationId, answer: Answer) {
        let Some(open) = self.open.iter_mut().find(|open| open.id == id) else { return };
        if !matches!(open.state, ReplyState::Held(_)) {
            return;
        }
        let ReplyState::Held(held) = std::mem::replace(&mut open.state, ReplyState::Withheld)
        else {
            return;
        };
        let rows = open.rows_before.saturating_add(open.rows);
        let rules = held.hold.needs().rules.iter().map(|need| Arc::clone(&need.rule));
        let rules: Vec<Arc<str>> = rules.collect();
        match answer {
            Answer::Approved { approval, approver, rows_max } => {
                let covered = open.permit.satisfy(&held.hold);
                debug_assert!(covered, "a hold belongs to its own permit");
                open.satisfied.extend(rules);
                open.rows_max = rows_max.map(|most| most.max(rows));
                let by = Some((approval, approver));
                self.ruling(id, Verdict::Allow, held.matches, rows, None, by);
                let progress = if held.complete { Progress::Complete } else { Progress::Streaming };
                self.review(id, progress);
                let held_again = self
                    .open
                    .iter()
                    .any(|open| open.id == id && matches!(open.state, ReplyState::Held(_)));
                self.pause_upstream(held_again);
            }
            Answer::Denied { approval, approver, reason } => {
                let refusal = denied(&approval, &approver, reason.as_deref(), &rules);
                self.withhold(id, refusal, &held.matches, Some((approval, approver)));
                if held.complete {
                    self.end(id, false);
                }
            }
        }
    }

    fn timer(&mut self) {
        let now = self.now;
        let late: Vec<_> = self
            .lanes
            .values()
            .flatten()
            .filter_map(|pending| match &pending.stage {
                Waiting::Person { needs, deadline, approval, address } if *deadline <= now => {
                    Some((pending.id, still_waiting(approval.as_deref(), address, needs)))
                }
                _ => None,
            })
            .collect();
        for (id, refusal) in late {
            self.acts.push(Act::Unhold(id));
            self.refuse_held(id, refusal, None);
        }
        let late: Vec<_> = self
            .open
            .iter()
            .filter_map(|open| match &open.state {
                ReplyState::Held(held) if held.deadline <= now => Some((
                    open.id,
                    still_waiting(held.approval.as_deref(), &held.address, held.hold.needs()),
                    held.matches.clone(),
                    held.complete,
                )),
                _ => None,
            })
            .collect();
        for (id, refusal, matches, complete) in late {
            self.acts.push(Act::Unhold(id));
            self.withhold(id, refusal, &matches, None);
            if complete {
                self.end(id, false);
            }
        }
    }

    /// Refuses an operation that waits for a person.
    fn refuse_held(&mut self, id: OperationId, refusal: Refusal, by: Option<(Arc<str>, Arc<str>)>) {
        self.ruling(id, Verdict::Block, Vec::new(), 0, Some(&refusal), by);
        let ticket = self.ticket();
        if let Some(pending) = self.lanes.values_mut().flatten().find(|p| p.id == id) {
            pending.stage = Waiting::RecordToRefuse(ticket, refusal);
        }
    }

    fn cancelled(&mut self) {
        self.event(EventBody::Cancel {});
        let waiting = self.lanes.values().flatten().find_map(|pending| match pending.stage {
            Waiting::Person { .. } => Some(pending.id),
            _ => None,
        });
        let words = ClientText::fixed("canceled while waiting for approval");
        if let Some(id) = waiting {
            self.acts.push(Act::Unhold(id));
            self.refuse_held(id, Refusal::unjudgeable("cancelled", words), None);
            return;
        }
        let held = self.open.iter().find_map(|open| match &open.state {
            ReplyState::Held(held) => Some((open.id, held.complete)),
            _ => None,
        });
        if let Some((id, complete)) = held {
            self.acts.push(Act::Unhold(id));
            self.withhold(id, Refusal::unjudgeable("cancelled", words), &[], None);
            if complete {
                self.end(id, false);
            }
            return;
        }
        self.tell(Input::Cancel);
    }

    // ---- endings -------------------------------------------------------------------------------

    fn closed(&mut self, side: Side) {
        self.tell(Input::Closed(side));
        let reason = match side {
            Side::Client => "client_closed",
            Side::Upstream => "upstream_closed",
        };
        self.finish(reason, None);
    }

    fn stop(&mut self, refusal: Refusal) {
        let reason = refusal.reason();
        // What was withheld stays withheld; what waits is refused by the end of the session.
        self.client_queue.retain(|entry| matches!(entry.gate, EntryGate::Ticket(_)));
        self.tell(Input::Stopped(refusal));
        self.finish(reason, None);
    }

    fn fault(&mut self, fault: &Fault) {
        let reason = match fault.side {
            Side::Client => "client_fault",
            Side::Upstream => "upstream_fault",
        };
        self.finish(reason, Some(fault.what.to_owned()));
    }

    /// Ends the session once: every open operation gets its outcome, then the connection closes.
    fn finish(&mut self, reason: &str, detail: Option<String>) {
        if self.ended {
            return;
        }
        self.ended = true;
        for pending in self.lanes.values().flatten() {
            if matches!(pending.stage, Waiting::Person { .. }) {
                self.acts.push(Act::Unhold(pending.id));
            }
        }
        self.lanes.clear();
        for mut open in std::mem::take(&mut self.open) {
            self.settings.hold_total.fetch_sub(open.withheld_bytes, Ordering::Relaxed);
            if open.is_unsettled() {
                self.acts.push(Act::Unhold(open.id));
                open.state = ReplyState::Stopped;
            } else {
                self.account(&open);
            }
            let (body, payload) = open.end("cut", self.now);
            self.event_with(body, payload);
        }
        self.client_queue.retain(|entry| matches!(entry.gate, EntryGate::Ticket(_)));
        if let Some(who) = &self.who {
            let (operations, rows, bytes) = (who.facts.operations, who.facts.rows, who.facts.bytes);
            self.event(EventBody::SessionEnded {
                reason: reason.to_owned(),
                detail,
                operations,
                rows,
                bytes,
            });
        }
        self.queue(EntryGate::Ticket(self.ticket()), Item::Close);
    }

    fn record_failed(&mut self, ticket: Ticket) {
        self.acked = self.acked.max(ticket);
        let words = ClientText::fixed("refused: the gateway cannot record it now");
        for pending in self.lanes.values_mut().flatten() {
            let waits = match &pending.stage {
                Waiting::RecordToRelease(waits, ..)
                | Waiting::RecordToRefuse(waits, _)
                | Waiting::RecordToHold(waits, _) => *waits >= ticket,
                Waiting::Turn | Waiting::Person { .. } => false,
            };
            if waits {
                let refusal = Refusal::unjudgeable("not_recorded", words.clone());
                pending.stage = Waiting::RecordToRefuse(ticket, refusal);
            }
        }
        let before = self.client_queue.len();
        self.client_queue.retain(|entry| {
            entry.gate != EntryGate::Ticket(ticket) || matches!(entry.item, Item::Close)
        });
        let lost = self.client_queue.len() != before;
        self.upstream_queue.retain(|(waits, _)| *waits != ticket);
        if lost && !self.ended {
            self.stop(Refusal::unjudgeable("not_recorded", words));
        }
    }

    fn writable(&mut self, side: Side, writable: bool) {
        let other = match side {
            Side::Client => Side::Upstream,
            Side::Upstream => Side::Client,
        };
        if other == Side::Upstream && self.paused.upstream {
            return;
        }
        self.acts.push(if writable { Act::Resume(other) } else { Act::Pause(other) });
    }

    fn pause_upstream(&mut self, pause: bool) {
        if self.paused.upstream != pause {
            self.paused.upstream = pause;
            self.acts.push(if pause {
                Act::Pause(Side::Upstream)
            } else {
                Act::Resume(Side::Upstream)
            });
        }
    }

    // ---- records and queues --------------------------------------------------------------------

    /// The ticket that this step's events will travel under.
    fn ticket(&self) -> Ticket {
        Ticket(self.issued.0.saturating_add(1))
    }

    fn event(&mut self, body: EventBody) {
        self.event_with(body, Vec::new());
    }

    fn event_with(&mut self, body: EventBody, payload: Vec<u8>) {
        let event = self.frame.event(self.now, body, payload);
        self.events.push(event);
    }

    fn record_operation(
        &mut self,
        id: OperationId,
        operation: &Operation,
        decision: Verdict,
        rules: Vec<RuleMatch>,
        refusal: Option<&Refusal>,
    ) {
        self.event(EventBody::Operation {
            operation: id,
            step: operation.kind.to_owned(),
            under: operation.under.filter(|_| operation.stage == Stage::Repeat),
            text: Arc::clone(&operation.text),
            parameters: operation.parameters.clone(),
            objects: Arc::clone(&operation.objects),
            decision,
            rules,
            message: refusal.map(|refusal| refusal.message().as_str().to_owned()),
            reason: refusal.map(|refusal| refusal.reason().to_owned()),
            approval: None,
            approver: None,
        });
    }

    fn ruling(
        &mut self,
        id: OperationId,
        decision: Verdict,
        rules: Vec<RuleMatch>,
        rows: u64,
        refusal: Option<&Refusal>,
        by: Option<(Arc<str>, Arc<str>)>,
    ) {
        let (approval, approver) = by.unzip();
        self.event(EventBody::Ruling {
            operation: id,
            decision,
            rules,
            rows,
            message: refusal.map(|refusal| refusal.message().as_str().to_owned()),
            approval,
            approver,
            reason: refusal.map(|refusal| refusal.reason().to_owned()),
        });
    }

    fn alert(&mut self, id: OperationId, rule: Arc<str>, message: String) {
        self.event(EventBody::Alert {
            operation: id,
            rule: Arc::clone(&rule),
            message: message.clone(),
        });
        self.acts.push(Act::Alert { rule, message, operation: id });
    }

    fn answer(&mut self, unit: U) {
        let entry = Entry { gate: EntryGate::Ticket(self.ticket()), item: Item::Unit(unit) };
        match &mut self.insert_at {
            Some(at) => {
                self.client_queue.insert(*at, entry);
                *at = at.saturating_add(1);
            }
            None => self.client_queue.push_back(entry),
        }
    }

    fn queue(&mut self, gate: EntryGate, item: Item<U>) {
        self.client_queue.push_back(Entry { gate, item });
    }

    /// Ends a step: what happened goes to the journal as one batch, and what may leave leaves.
    fn seal(&mut self) {
        for at in 0..self.open.len() {
            let Some(open) = self.open.get_mut(at) else { break };
            if matches!(open.state, ReplyState::Flowing)
                && let Some((body, payload)) = open.part()
            {
                self.event_with(body, payload);
            }
        }
        if self.events.is_empty() {
            // Nothing to record: what was queued in this step waits only for earlier steps.
            let next = self.ticket();
            for entry in &mut self.client_queue {
                if entry.gate == EntryGate::Ticket(next) {
                    entry.gate = EntryGate::Ticket(self.issued);
                }
            }
        } else {
            self.issued = self.ticket();
            self.acts.push(Act::Record(self.issued, std::mem::take(&mut self.events)));
        }
        self.flush();
    }

    /// Sends to the upstream, behind what waits for the journal.
    fn send_upstream(&mut self, unit: U) {
        if self.upstream_queue.is_empty() {
            self.acts.push(Act::Send(Side::Upstream, unit));
        } else {
            self.upstream_queue.push_back((self.acked, unit));
        }
    }

    fn flush_upstream(&mut self) {
        while self.upstream_queue.front().is_some_and(|(ticket, _)| *ticket <= self.acked) {
            if let Some((_, unit)) = self.upstream_queue.pop_front() {
                self.acts.push(Act::Send(Side::Upstream, unit));
            }
        }
    }

    fn flush(&mut self) {
        self.flush_upstream();
        loop {
            match self.client_queue.front() {
                Some(Entry { gate: EntryGate::Ticket(ticket), .. }) if *ticket <= self.acked => {}
                _ => break,
            }
            match self.client_queue.pop_front() {
                Some(Entry { item: Item::Unit(unit), .. }) => {
                    self.acts.push(Act::Send(Side::Client, unit));
                }
                Some(Entry { item: Item::Close, .. }) => self.acts.push(Act::Close),
                None => break,
            }
        }
    }
}

fn waiting_words(approval: &str, address: &str, needs: &Needs, rows: Option<u64>) -> ClientText {
    let rules: Vec<&str> = needs.rules.iter().map(|need| &*need.rule).collect();
    let seen = rows.map(|rows| format!(" after {rows} rows, none sent yet")).unwrap_or_default();
    ClientText::composed(format!(
        "held for approval {approval}{seen}: rule {} asks {}; waiting up to {} s; see {address}",
        rules.join(", "),
        approvers(needs),
        needs.wait.as_secs(),
    ))
}

fn still_waiting(approval: Option<&str>, address: &str, needs: &Needs) -> Refusal {
    let words = match approval {
        Some(approval) => format!(
            "approval {approval} was not given within {} s by {}; it can still be given ({address}), \
             then repeat the same statement",
            needs.wait.as_secs(),
            approvers(needs),
        ),
        None => "the approval request could not be placed".to_owned(),
    };
    Refusal::unjudgeable("approval_pending", ClientText::composed(words))
}

fn denied(approval: &str, approver: &str, reason: Option<&str>, rules: &[Arc<str>]) -> Refusal {
    let rules: Vec<&str> = rules.iter().map(AsRef::as_ref).collect();
    let why = reason.map(|reason| format!(": {reason}")).unwrap_or_default();
    let words =
        format!("approval {approval} (rule {}) was denied by {approver}{why}", rules.join(", "));
    Refusal::unjudgeable("approval_denied", ClientText::composed(words))
}

fn approvers(needs: &Needs) -> String {
    let mut groups: Vec<&str> =
        needs.rules.iter().flat_map(|need| need.by.iter().map(AsRef::as_ref)).collect();
    groups.sort_unstable();
    groups.dedup();
    groups.join(" or ")
}
