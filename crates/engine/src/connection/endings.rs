//! How a session ends, and what becomes of what was open.

use std::sync::atomic::Ordering;

use model::event::Verdict;
use model::{ClientText, EventBody, Side};
use policy::Refusal;

use super::{Brake, Connection, EntryGate, Item, Waiting};
use crate::contract::{Fault, Input, Unit};
use crate::reply::ReplyState;
use crate::step::{Act, Ticket};

impl<U: Unit> Connection<U> {
    pub(super) fn closed(&mut self, side: Side) {
        self.tell(Input::Closed(side));
        let reason = match side {
            Side::Client => "client_closed",
            Side::Upstream => "upstream_closed",
        };
        self.finish(reason, None);
    }

    pub(super) fn stop(&mut self, refusal: Refusal) {
        let reason = refusal.reason();
        // What was withheld stays withheld; what waits is refused by the end of the session.
        self.client_queue.retain(|entry| matches!(entry.gate, EntryGate::Ticket(_)));
        self.tell(Input::Stopped(refusal));
        self.finish(reason, None);
    }

    pub(super) fn fault(&mut self, fault: &Fault) {
        let reason = match fault.side {
            Side::Client => "client_fault",
            Side::Upstream => "upstream_fault",
        };
        self.finish(reason, Some(fault.what.to_owned()));
    }

    /// Ends the session once: every open operation gets its outcome, then the connection closes.
    pub(super) fn finish(&mut self, reason: &str, detail: Option<String>) {
        if self.ended {
            return;
        }
        self.ended = true;
        for pending in self.lanes.values().flatten() {
            if matches!(pending.stage, Waiting::Person { .. }) {
                self.acts.push(Act::Unhold(pending.id));
            }
        }
        self.forsake(reason);
        for mut open in std::mem::take(&mut self.open) {
            self.settings.hold_total.fetch_sub(open.withheld_bytes, Ordering::Relaxed);
            let stopped = matches!(open.state, ReplyState::Stopped);
            if open.is_unsettled() {
                self.acts.push(Act::Unhold(open.id));
                open.state = ReplyState::Stopped;
            }
            if open.counts() {
                self.account(&open);
            }
            let outcome = if stopped { "withheld" } else { "cut" };
            let (body, payload) = open.end(outcome, self.now);
            self.event_with(body, payload);
        }
        self.client_queue.retain(|entry| matches!(entry.gate, EntryGate::Ticket(_)));
        if let (Some(who), None) = (&self.who, &self.shared) {
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

    /// Drops what was not sent. Where the session goes on without this connection, the record says
    /// of each that nothing will come of it.
    fn forsake(&mut self, reason: &str) {
        let lanes = std::mem::take(&mut self.lanes);
        if self.shared.is_none() {
            return;
        }
        for pending in lanes.into_values().flatten() {
            match pending.stage {
                Waiting::RecordToRelease(..)
                | Waiting::RecordToHold(..)
                | Waiting::Person { .. } => {}
                // Its record says that it is refused, or it has none.
                Waiting::RecordToRefuse(..) | Waiting::Turn => continue,
            }
            self.event(EventBody::Ruling {
                operation: pending.id,
                decision: Verdict::Block,
                rules: Vec::new(),
                rows: 0,
                message: Some("it was not sent: its exchange ended before".to_owned()),
                approval: None,
                approver: None,
                reason: Some(reason.to_owned()),
            });
        }
    }

    pub(super) fn record_failed(&mut self, ticket: Ticket) {
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
        let first = self.client_queue.iter().position(|entry| {
            entry.gate == EntryGate::Ticket(ticket) && matches!(entry.item, Item::Unit(_))
        });
        if let Some(first) = first {
            // What follows would be taken for the rest of a reply that has a gap, or for its end.
            let mut behind = self.client_queue.split_off(first);
            behind.retain(|entry| matches!(entry.item, Item::Close));
            self.client_queue.append(&mut behind);
        }
        let mut lost = first.is_some();
        if self.upstream_queue.iter().any(|(waits, _)| *waits == ticket) {
            // An abort that cannot be sent: the transaction it was to fail would go on (R2), and
            // its answer never come. What waits behind it does not go either.
            self.upstream_queue.clear();
            lost = true;
        }
        if lost && !self.ended {
            self.stop(Refusal::unjudgeable("not_recorded", words));
        }
    }

    pub(super) fn writable(&mut self, side: Side, writable: bool) {
        let other = match side {
            Side::Client => Side::Upstream,
            Side::Upstream => Side::Client,
        };
        self.brake(other, Brake::SlowPeer, !writable);
    }

    /// Stops or goes on reading a side, for one reason among several.
    pub(super) fn brake(&mut self, side: Side, why: Brake, on: bool) {
        let brakes = match side {
            Side::Client => &mut self.brakes.client,
            Side::Upstream => &mut self.brakes.upstream,
        };
        let was = brakes.is_empty();
        if on {
            brakes.insert(why);
        } else {
            brakes.remove(&why);
        }
        match (was, brakes.is_empty()) {
            (true, false) => self.acts.push(Act::Pause(side)),
            (false, true) => self.acts.push(Act::Resume(side)),
            _ => {}
        }
    }
}
