//! What waits for a person.

use std::sync::Arc;

use model::event::Verdict;
use model::{ClientText, EventBody, Lane, OperationId, Side};
use policy::{Needs, Progress, Refusal};

use super::{Brake, Connection, EntryGate, Waiting};
use crate::contract::{HoldNotice, Input, Unit};
use crate::reply::ReplyState;
use crate::step::{Act, Answer};

impl<U: Unit> Connection<U> {
    pub(super) fn placed(&mut self, id: OperationId, approval: Arc<str>, address: String) {
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

    pub(super) fn answered(&mut self, id: OperationId, answer: Answer) {
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

    pub(super) fn answered_request(&mut self, lane: Lane, id: OperationId, answer: Answer) {
        let Some(queue) = self.lanes.get_mut(&lane) else { return };
        let Some(index) = queue.iter().position(|pending| pending.id == id) else { return };
        let Some(pending) = queue.get(index) else { return };
        let Waiting::Person { needs, .. } = &pending.stage else { return };
        let rules: Vec<Arc<str>> = needs.rules.iter().map(|need| Arc::clone(&need.rule)).collect();
        match answer {
            Answer::Approved { approval, approver, rows_max, reason } => {
                let by = Some((approval, approver));
                self.ruling(id, Verdict::Allow, Vec::new(), 0, None, by);
                self.because(reason);
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

    pub(super) fn answered_reply(&mut self, id: OperationId, answer: Answer) {
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
            Answer::Approved { approval, approver, rows_max, reason } => {
                let covered = open.permit.satisfy(&held.hold);
                debug_assert!(covered, "a hold belongs to its own permit");
                open.satisfied.extend(rules);
                open.rows_max = rows_max.map(|most| most.max(rows));
                let by = Some((approval, approver));
                self.ruling(id, Verdict::Allow, held.matches, rows, None, by);
                self.because(reason);
                let progress = if held.complete { Progress::Complete } else { Progress::Streaming };
                self.review(id, progress);
                let held_again = self
                    .open
                    .iter()
                    .any(|open| open.id == id && matches!(open.state, ReplyState::Held(_)));
                self.brake(Side::Upstream, Brake::Hold, held_again);
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

    pub(super) fn timer(&mut self) {
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
    pub(super) fn refuse_held(
        &mut self,
        id: OperationId,
        refusal: Refusal,
        by: Option<(Arc<str>, Arc<str>)>,
    ) {
        self.ruling(id, Verdict::Block, Vec::new(), 0, Some(&refusal), by);
        let ticket = self.ticket();
        if let Some(pending) = self.lanes.values_mut().flatten().find(|p| p.id == id) {
            pending.stage = Waiting::RecordToRefuse(ticket, refusal);
        }
    }

    pub(super) fn cancelled(&mut self) {
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
}

fn waiting_words(approval: &str, address: &str, needs: &Needs, rows: Option<u64>) -> ClientText {
    let rules: Vec<&str> = needs.rules.iter().map(|need| &*need.rule).collect();
    let seen = rows.map(|rows| format!(" after {rows} rows, none sent yet")).unwrap_or_default();
    ClientText::composed(format!(
        "held for approval {approval}{seen}: rule {} asks {}; waiting up to {} s; \
         to answer: {address}",
        rules.join(", "),
        approvers(needs),
        needs.wait.as_secs(),
    ))
}

fn still_waiting(approval: Option<&str>, address: &str, needs: &Needs) -> Refusal {
    let words = match approval {
        Some(approval) => format!(
            "approval {approval} was not given within {} s by {}; \
             it can still be given: {address}; \
             narrows approvals wait {approval} tells when; then repeat the same statement",
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
