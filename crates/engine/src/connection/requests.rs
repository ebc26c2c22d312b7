//! From the conversation to the upstream: judged, recorded, delivered in turn.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use model::event::Verdict;
use model::limit::{PENDING_BYTES_MAX, PENDING_OPERATIONS_MAX};
use model::operation::Stage;
use model::{ClientText, Lane, Operation, OperationId, Side};
use policy::{Decision, FactId, Permit, Refusal, Request};

use super::{Brake, Connection, Pending, Waiting};
use crate::contract::{Input, Unit};
use crate::digest::operation_digest;
use crate::facts::{Guessed, OperationFacts, ReplyFacts};
use crate::reply::{Open, ReplyState};
use crate::step::{Act, HoldRequest};

impl<U: Unit> Connection<U> {
    pub(super) fn ask(
        &mut self,
        lane: Lane,
        id: OperationId,
        operation: Box<Operation>,
        unit: Option<U>,
    ) {
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

    pub(super) fn refuse(
        &mut self,
        lane: Lane,
        id: OperationId,
        operation: Box<Operation>,
        refusal: Refusal,
    ) {
        self.record_operation(id, &operation, Verdict::Block, Vec::new(), Some(&refusal));
        let stage = Waiting::RecordToRefuse(self.ticket(), refusal);
        let pending = Pending { id, operation, units: Vec::new(), stage };
        self.lanes.entry(lane).or_default().push_back(pending);
    }

    /// Judges one operation now, with the approvals it already has, and records the decision.
    pub(super) fn decide(
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
        let counts = u64::from(operation.stage != Stage::Part);
        who.facts.operations = who.facts.operations.saturating_add(counts);
        if let Some(shared) = &self.shared {
            shared.operations.fetch_add(counts, Ordering::Relaxed);
            who.facts.catch_up(shared);
        }
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
        let part_of = operation.under.filter(|_| operation.stage == Stage::Part);
        // Whatever becomes of a part, what came before it left.
        if let Some(whole) = part_of.and_then(|of| self.open.iter_mut().find(|it| it.id == of)) {
            whole.in_parts = true;
        }
        let whole = part_of.unwrap_or(id);
        for (rule, message) in decided.alerts {
            if self.alerted.0 != whole {
                self.alerted = (whole, Vec::new());
            }
            if !self.alerted.1.contains(&rule) {
                self.alerted.1.push(Arc::clone(&rule));
                self.alert(id, rule, message);
            }
        }
        match decided.decision {
            Decision::Allow(permit) => {
                let passed = self.within(operation, permit).and_then(|permit| {
                    self.guessed(id, operation, &permit).map_or(Ok(permit), Err)
                });
                let permit = match passed {
                    Ok(permit) => permit,
                    Err(refusal) => {
                        let rules = decided.matches;
                        self.record_operation(id, operation, Verdict::Block, rules, Some(&refusal));
                        return Waiting::RecordToRefuse(self.ticket(), refusal);
                    }
                };
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

    /// What a part passes under. Rules about the reply were settled when the whole was let go: one
    /// that concerns the reply only because of this part comes too late (P2).
    fn within(&mut self, operation: &Operation, permit: Permit) -> Result<Permit, Refusal> {
        if operation.stage != Stage::Part {
            return Ok(permit);
        }
        let settled = |words| Refusal::unjudgeable("reply_settled", words);
        let whole = self.open.iter_mut().find(|open| Some(open.id) == operation.under);
        let Some(whole) = whole else {
            return Err(settled(ClientText::fixed("the request that this is a part of is over")));
        };
        let before = &whole.operation.facts;
        let same = |fact: FactId| {
            let index = usize::from(fact.index);
            fact.block != self.settings.block || operation.facts.get(index) == before.get(index)
        };
        let permit = permit.within(&whole.permit, same).map_err(|rule| {
            settled(ClientText::composed(format!(
                "rule \"{rule}\" concerns the reply, and the reply was settled with the first part \
                 of the body"
            )))
        })?;
        let kept = permit.payload().unwrap_or(self.payload);
        if kept < whole.kept(self.payload) {
            return Err(settled(ClientText::fixed(
                "with this part of the body less of the reply would be recorded than was settled \
                 with the parts before it",
            )));
        }
        whole.wanted = kept;
        Ok(permit)
    }

    /// Counts what masked fields are compared with. Past the budget of a field it is refused and
    /// an alert given (R5).
    fn guessed(
        &mut self,
        id: OperationId,
        operation: &Operation,
        permit: &Permit,
    ) -> Option<Refusal> {
        // A text that is prepared compares nothing yet.
        if operation.guesses.is_empty() || operation.stage == Stage::Prepare {
            return None;
        }
        let facts = &self.who.as_ref()?.facts;
        let ledger = &self.settings.ledger;
        match ledger.guess(&facts.subject, &facts.resource, &operation.guesses, self.now) {
            Guessed::Within => None,
            Guessed::Spent { field, most } => {
                let words = format!(
                    "{field} is masked and may be compared with {most} different values a day, \
                     which are used up; leave it out"
                );
                let rule = permit.masks().rules().next().map(Arc::clone);
                let told = format!(
                    "{} used up the {most} values that may be compared with {field} today",
                    facts.subject
                );
                self.alert(id, rule.unwrap_or_else(|| "mask".into()), told);
                Some(Refusal::unjudgeable("guesses_spent", ClientText::composed(words)))
            }
            Guessed::Unknown => {
                let words = "what masked columns are compared with cannot be counted now";
                Some(Refusal::unjudgeable("guesses_spent", ClientText::fixed(words)))
            }
        }
    }

    pub(super) fn more(&mut self, id: OperationId, unit: U) {
        if let Some(open) = self.open.iter_mut().rfind(|open| open.id == id) {
            if !matches!(open.state, ReplyState::Stopped) {
                open.up = open.up.saturating_add(unit.size() as u64);
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
    pub(super) fn bound_pending(&mut self) {
        let operations: usize = self.lanes.values().map(VecDeque::len).sum();
        let over = operations > PENDING_OPERATIONS_MAX || self.pending_bytes > PENDING_BYTES_MAX;
        self.brake(Side::Client, Brake::Pending, over);
    }

    /// Tells the conversation every verdict that is recorded and first in its lane.
    pub(super) fn deliver(&mut self) {
        while let Some((lane, pending)) = self.pop_ready() {
            let units = pending.units;
            let freed: usize = units.iter().map(Unit::size).sum();
            self.pending_bytes = self.pending_bytes.saturating_sub(freed);
            match pending.stage {
                Waiting::RecordToRelease(_, permit, satisfied, rows_max) => {
                    let mut open = Open::new(pending.id, lane, permit, pending.operation, self.now);
                    if let Some(gate) = self.gates.get_mut(&open.id) {
                        gate.satisfied.clone_from(&satisfied);
                        gate.rows_max = rows_max;
                    }
                    let gate = open.operation.under.and_then(|under| self.gates.get(&under));
                    open.rows_before = gate.map_or(0, |gate| gate.rows);
                    open.satisfied = satisfied;
                    open.rows_max = rows_max.or_else(|| gate.and_then(|gate| gate.rows_max));
                    let permit = Arc::clone(&open.permit);
                    self.open.push_back(open);
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

    pub(super) fn pop_ready(&mut self) -> Option<(Lane, Pending<U>)> {
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
    pub(super) fn take_turns(&mut self) {
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

    pub(super) fn decide_at(&mut self, lane: Lane, index: usize) {
        let Some(mut pending) = self.lanes.get_mut(&lane).and_then(|queue| queue.remove(index))
        else {
            return;
        };
        pending.stage = self.decide(pending.id, &pending.operation, Vec::new(), None);
        if let Some(queue) = self.lanes.get_mut(&lane) {
            queue.insert(index, pending);
        }
    }
}
