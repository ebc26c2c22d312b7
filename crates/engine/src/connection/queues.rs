//! What waits for the journal, and the end of a step.

use std::sync::Arc;

use model::event::{RuleMatch, Verdict};
use model::operation::Stage;
use model::{Event, EventBody, Operation, OperationId, Side};
use policy::Refusal;

use super::{Connection, Entry, EntryGate, Item};
use crate::contract::Unit;
use crate::reply::ReplyState;
use crate::step::{Act, Ticket};

impl<U: Unit> Connection<U> {
    /// The ticket that this step's events will travel under.
    pub(super) fn ticket(&self) -> Ticket {
        Ticket(self.issued.0.saturating_add(1))
    }

    pub(super) fn event(&mut self, body: EventBody) {
        self.event_with(body, Vec::new());
    }

    pub(super) fn event_with(&mut self, body: EventBody, payload: Vec<u8>) {
        let mut event = self.frame.event(self.now, body, payload);
        if let Some(shared) = &self.shared {
            event.sequence = shared.next_sequence();
        }
        self.events.push(event);
    }

    pub(super) fn record_operation(
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
            under: operation
                .under
                .filter(|_| matches!(operation.stage, Stage::Repeat | Stage::Part)),
            text: Arc::clone(&operation.text),
            parameters: operation.parameters.iter().chain(&operation.aside).cloned().collect(),
            objects: Arc::clone(&operation.objects),
            decision,
            rules,
            message: refusal.map(|refusal| refusal.message().as_str().to_owned()),
            reason: refusal.map(|refusal| refusal.reason().to_owned()),
            approval: None,
            approver: None,
        });
    }

    pub(super) fn ruling(
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

    /// Adds an approver's own words to the ruling just recorded.
    pub(super) fn because(&mut self, words: Option<String>) {
        if let Some(Event { body: EventBody::Ruling { reason, .. }, .. }) = self.events.last_mut() {
            *reason = words;
        }
    }

    pub(super) fn alert(&mut self, id: OperationId, rule: Arc<str>, message: String) {
        self.event(EventBody::Alert {
            operation: id,
            rule: Arc::clone(&rule),
            message: message.clone(),
        });
        self.acts.push(Act::Alert { rule, message, operation: id });
    }

    pub(super) fn answer(&mut self, unit: U) {
        let entry = Entry { gate: EntryGate::Ticket(self.ticket()), item: Item::Words(unit) };
        match &mut self.insert_at {
            Some(at) => {
                self.client_queue.insert(*at, entry);
                *at = at.saturating_add(1);
            }
            None => self.client_queue.push_back(entry),
        }
    }

    pub(super) fn queue(&mut self, gate: EntryGate, item: Item<U>) {
        self.client_queue.push_back(Entry { gate, item });
    }

    /// Ends a step: what happened goes to the journal as one batch, and what may leave leaves.
    pub(super) fn seal(&mut self) {
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
    pub(super) fn send_upstream(&mut self, unit: U) {
        if self.upstream_queue.is_empty() {
            self.acts.push(Act::Send(Side::Upstream, unit));
        } else {
            self.upstream_queue.push_back((self.acked, unit));
        }
    }

    pub(super) fn flush_upstream(&mut self) {
        while self.upstream_queue.front().is_some_and(|(ticket, _)| *ticket <= self.acked) {
            if let Some((_, unit)) = self.upstream_queue.pop_front() {
                self.acts.push(Act::Send(Side::Upstream, unit));
            }
        }
    }

    pub(super) fn flush(&mut self) {
        self.flush_upstream();
        loop {
            match self.client_queue.front() {
                Some(Entry { gate: EntryGate::Ticket(ticket), .. }) if *ticket <= self.acked => {}
                _ => break,
            }
            match self.client_queue.pop_front() {
                Some(Entry { item: Item::Unit(unit) | Item::Words(unit), .. }) => {
                    self.acts.push(Act::Send(Side::Client, unit));
                }
                Some(Entry { item: Item::Close, .. }) => self.acts.push(Act::Close),
                None => break,
            }
        }
    }
}
