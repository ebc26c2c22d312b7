//! From the upstream to the client: counted, reviewed, withheld or let go.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use model::event::{RuleMatch, Verdict};
use model::operation::Stage;
use model::{ClientText, OperationId, Side};
use policy::{HeldReply as HeldByRule, Outcome, Progress, Refusal};

use super::{Brake, Connection, Entry, EntryGate, Item, Who};
use crate::contract::{Fault, Input, Unit};
use crate::digest::operation_digest;
use crate::facts::{OperationFacts, ReplyFacts};
use crate::outbox::{Batch, Searched};
use crate::reply::{HeldReply, Open, ReplyState};
use crate::step::{Act, HoldRequest};

impl<U: Unit> Connection<U> {
    pub(super) fn reply(&mut self, id: OperationId, mut batch: Batch<U>) {
        let ticket = self.ticket();
        let Some(open) = self.open.iter_mut().find(|open| open.id == id) else {
            self.fault(&Fault::upstream("reply to an operation that is over"));
            return;
        };
        // What is withheld and never sent is followed all the same: it costs little, and nothing
        // can leave before it is kept.
        let taints = std::mem::take(&mut batch.taints);
        let is_followed = taints.is_empty()
            || self.who.as_ref().is_some_and(|who| {
                self.settings.ledger.keep(&who.facts.subject, &taints, self.now)
            });
        if !is_followed {
            let words =
                "values of this reply are followed, and cannot be kept now; try again later";
            let refusal = Refusal::unjudgeable("not_followed", ClientText::fixed(words));
            // The conversation may have gone past this part already: nothing can go on from here.
            self.stop(refusal);
            return;
        }
        open.count(&mut batch, self.payload);
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
                open.left = (open.rows, open.bytes);
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
    pub(super) fn done(&mut self, id: OperationId) {
        let Some(open) = self.open.iter_mut().find(|open| open.id == id) else { return };
        match &mut open.state {
            ReplyState::Flowing => {
                // A rule could have stopped it, and did not: the conversation waits to hear so.
                let reviewed = open.permit.has_reply_rules();
                if reviewed {
                    self.alert_about(id);
                }
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
    pub(super) fn review(&mut self, id: OperationId, progress: Progress) {
        let Some(who) = &self.who else { return };
        let Some(open) = self.open.iter().find(|open| open.id == id) else { return };
        let over = open.withheld_bytes > self.settings.hold_buffer_bytes
            || self.settings.hold_total.load(Ordering::Relaxed)
                > self.settings.hold_total_bytes_max;
        let progress = match progress {
            Progress::Streaming if over => Progress::Full,
            other => other,
        };
        let facts = self.facts_of_reply(who, open, progress);
        let rows = open.rows_before.saturating_add(open.rows);
        if open.rows_max.is_some_and(|most| rows > most) {
            open.permit.ask_again();
        }
        let reviewed = who.scope.review(&open.permit, &facts, progress);
        let is_settled = !open.permit.is_pending();
        for (rule, message) in reviewed.alerts {
            self.alert(id, rule, message);
        }
        let complete = matches!(progress, Progress::Complete);
        match reviewed.outcome {
            Outcome::Pass if complete => self.pass(id),
            // No rule can stop it any more, or none does and no more can be kept.
            Outcome::Pass if is_settled || matches!(progress, Progress::Full) => {
                self.release_reply(id);
                self.tell(Input::LetGo(id));
            }
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

    /// Gives the alerts about a reply that nothing could stop.
    fn alert_about(&mut self, id: OperationId) {
        let Some(who) = &self.who else { return };
        let Some(open) = self.open.iter().find(|open| open.id == id) else { return };
        let facts = self.facts_of_reply(who, open, Progress::Complete);
        let reviewed = who.scope.review(&open.permit, &facts, Progress::Complete);
        for (rule, message) in reviewed.alerts {
            self.alert(id, rule, message);
        }
    }

    fn facts_of_reply<'a>(
        &'a self,
        who: &'a Who,
        open: &'a Open,
        progress: Progress,
    ) -> OperationFacts<'a> {
        let rows = open.rows_before.saturating_add(open.rows);
        let (bytes, columns, detections) = (open.bytes, &*open.columns, &*open.detections);
        let searched = open.searched != Searched::Not;
        let reply = match progress {
            Progress::Complete => {
                ReplyFacts::Complete { rows, bytes, columns, detections, searched }
            }
            _ => ReplyFacts::Streaming { rows, bytes, columns },
        };
        OperationFacts {
            session: &who.facts,
            block: self.settings.block,
            facts: &open.operation.facts,
            reply,
            ledger: &*self.settings.ledger,
            now: self.now,
        }
    }

    pub(super) fn hold_reply(
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
        open.state = ReplyState::Held(Box::new(HeldReply {
            hold,
            matches: matches.clone(),
            deadline,
            approval: None,
            address: String::new(),
            complete,
        }));
        self.ruling(id, Verdict::Hold, matches, rows, None, None);
        self.acts.push(Act::Wake(deadline));
        self.acts.push(Act::Hold(Box::new(request)));
        if !complete {
            self.brake(Side::Upstream, Brake::Hold, true);
        }
    }

    /// Lets a withheld reply go.
    pub(super) fn pass(&mut self, id: OperationId) {
        self.release_reply(id);
        self.end(id, true);
    }

    pub(super) fn release_reply(&mut self, id: OperationId) {
        let ticket = self.ticket();
        if let Some(open) = self.open.iter_mut().find(|open| open.id == id) {
            self.settings.hold_total.fetch_sub(open.withheld_bytes, Ordering::Relaxed);
            open.withheld_bytes = 0;
            open.left = (open.rows, open.bytes);
            open.state = ReplyState::Flowing;
        }
        for entry in &mut self.client_queue {
            if entry.gate == EntryGate::Operation(id) {
                entry.gate = EntryGate::Ticket(ticket);
            }
        }
    }

    /// Drops what was kept of a reply and tells the conversation to refuse and drain.
    pub(super) fn withhold(
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
        self.brake(Side::Upstream, Brake::Hold, false);
        self.insert_at = Some(at);
        self.tell(Input::Withheld(id, refusal));
        self.insert_at = None;
    }

    /// Records the end of an operation and forgets it.
    pub(super) fn end(&mut self, id: OperationId, reviewed: bool) {
        let Some(at) = self.open.iter().position(|open| open.id == id) else { return };
        let Some(mut open) = self.open.remove(at) else { return };
        let stopped = matches!(open.state, ReplyState::Stopped);
        let outcome = if stopped {
            "withheld"
        } else if open.error_code.is_some() {
            "error"
        } else if open.skipped {
            "skipped"
        } else {
            "done"
        };
        if open.counts() {
            self.account(&open);
        }
        let (body, payload) = open.end(outcome, self.now);
        self.event_with(body, payload);
        if reviewed {
            self.tell(Input::Passed(id));
        }
    }

    pub(super) fn account(&mut self, open: &Open) {
        let (rows, bytes) = open.sent();
        let under = open.operation.under.unwrap_or(open.id);
        if let Some(gate) = self.gates.get_mut(&under) {
            gate.rows = gate.rows.saturating_add(rows);
            gate.rows_max = open.rows_max;
            for rule in &open.satisfied {
                if !gate.satisfied.contains(rule) {
                    gate.satisfied.push(Arc::clone(rule));
                }
            }
        }
        if let Some(who) = &mut self.who {
            who.facts.rows = who.facts.rows.saturating_add(rows);
            who.facts.bytes = who.facts.bytes.saturating_add(bytes);
            if let Some(shared) = &self.shared {
                shared.rows.fetch_add(rows, Ordering::Relaxed);
                shared.bytes.fetch_add(bytes, Ordering::Relaxed);
            }
            let operations = u64::from(open.operation.stage != Stage::Part);
            let usage = policy::Usage { operations, rows, bytes };
            self.settings.ledger.add(&who.facts.subject, &who.facts.resource, usage, self.now);
        }
    }
}
