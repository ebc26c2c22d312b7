//! Asking people: between the engine's holds and the registry of approvals.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use engine::{Answer, Happening, HoldRequest};
use model::{OperationId, Principal, SessionId, Timestamp};
use policy::{Grant, Need};
use store::{
    ApprovalError, ApprovalId, ApprovalRule, Approvals, Escalation, GrantScope, Granted,
    NewApproval, Requested, Waiter, WaiterId,
};

use crate::counters::Counters;
use crate::gateway::Gateway;
use crate::mailbox::{Mailbox, Note};

/// Rounds in which a request may be answered between asking and waiting, before it is given up.
const ROUNDS_MAX: usize = 3;
/// Who answers when no person did.
const NOBODY: &str = "the gateway";
/// Why nobody was asked.
const STATE_AWAY: &str = "approvals cannot be asked for or used now, because the state database \
                          does not answer; try again later";

/// What became of a request.
pub(crate) enum Placed {
    /// It waits for a person.
    Waiting(ApprovalId, WaiterId),
    /// An earlier yes covers it.
    Granted(Granted),
    /// It could not be placed, and why; the operation is refused (P2).
    Failed(&'static str),
}

/// The holds of one connection.
pub(crate) struct Holds {
    mailbox: Arc<Mailbox>,
    approvals: Arc<Approvals>,
    counters: Arc<Counters>,
    waiting: HashMap<OperationId, Option<(ApprovalId, WaiterId)>>,
    asked: bool,
}

impl Holds {
    pub fn new(mailbox: Arc<Mailbox>, approvals: Arc<Approvals>, counters: Arc<Counters>) -> Self {
        Self { mailbox, approvals, counters, waiting: HashMap::new(), asked: false }
    }

    /// Asks. The registry writes to a disk, so it is asked from a thread that may wait.
    pub fn place(
        &mut self,
        request: HoldRequest,
        session: &SessionId,
        principal: &Principal,
        resource: &Arc<str>,
        now: Timestamp,
    ) {
        self.asked = true;
        let operation = request.operation;
        let new = new_approval(request, session, principal, resource, now);
        if self.waiting.insert(operation, None).is_none() {
            self.counters.holds.fetch_add(1, Ordering::Relaxed);
        }
        let (approvals, mailbox) = (Arc::clone(&self.approvals), Arc::clone(&self.mailbox));
        tokio::task::spawn_blocking(move || {
            let placed = place(&approvals, &mailbox, &new, now);
            let waiter = match &placed {
                Placed::Waiting(approval, waiter) => Some((approval.clone(), *waiter)),
                Placed::Granted(_) | Placed::Failed(_) => None,
            };
            if !mailbox.tell(Note::Placed(operation, placed))
                && let Some((approval, waiter)) = waiter
            {
                approvals.unsubscribe(&approval, waiter);
            }
        });
    }

    /// What a note about a request means to the engine, if anything.
    pub fn heard<U>(&mut self, note: Note, gateway: &Gateway) -> Option<Happening<U>> {
        match note {
            Note::Look => None,
            Note::Placed(operation, Placed::Waiting(approval, waiter)) => {
                let waits = self.placed(operation, &approval, waiter);
                let address = gateway.approval_address(&approval);
                waits.then(|| Happening::HoldPlaced(operation, approval.0, address))
            }
            Note::Placed(operation, Placed::Granted(granted)) => {
                self.unhold(operation);
                Some(Happening::Answered(operation, approved(granted, None)))
            }
            Note::Placed(operation, Placed::Failed(why)) => {
                self.unhold(operation);
                Some(Happening::Answered(operation, not_placed(why)))
            }
            Note::Answered(operation, answer) => {
                let answer = self.answered(operation, answer)?;
                Some(Happening::Answered(operation, answer))
            }
        }
    }

    /// Notes where a request waits; `false` when nobody waits for it any more.
    fn placed(&mut self, operation: OperationId, approval: &ApprovalId, waiter: WaiterId) -> bool {
        match self.waiting.get_mut(&operation) {
            Some(slot) => {
                *slot = Some((approval.clone(), waiter));
                true
            }
            None => {
                self.approvals.unsubscribe(approval, waiter);
                false
            }
        }
    }

    /// Takes an answer; `None` when nobody waits for it any more, or when it changes nothing.
    fn answered(&mut self, operation: OperationId, answer: store::Answer) -> Option<Answer> {
        let waiting = self.waiting.remove(&operation)?;
        self.counters.holds.fetch_sub(1, Ordering::Relaxed);
        let approval = waiting.map_or_else(|| "".into(), |(approval, _)| approval.0);
        let nobody = |reason: &str| {
            Some(Answer::Denied {
                approval: Arc::clone(&approval),
                approver: NOBODY.into(),
                reason: Some(reason.to_owned()),
            })
        };
        match answer {
            // The bound on rows is for repeats: this yes was given to the reply that waits (R11).
            store::Answer::Approved(granted) => {
                let reason = granted.reason.as_deref().map(str::to_owned);
                Some(approved(Granted { rows_max: None, ..granted }, reason))
            }
            store::Answer::Denied { by, reason } => Some(Answer::Denied {
                approval,
                approver: by,
                reason: reason.map(|reason| reason.to_string()),
            }),
            store::Answer::Expired => nobody("nobody answered in time"),
            store::Answer::Withdrawn => nobody("the request was taken back"),
            store::Answer::Spent => {
                nobody("the yes was given to an identical operation; repeat this one to ask again")
            }
            store::Answer::Late => nobody("the yes came too late; repeat the same operation"),
        }
    }

    /// Nobody waits for this operation any more; the question stands until it expires.
    pub fn unhold(&mut self, operation: OperationId) {
        let Some(slot) = self.waiting.remove(&operation) else { return };
        self.counters.holds.fetch_sub(1, Ordering::Relaxed);
        if let Some((approval, waiter)) = slot {
            self.approvals.unsubscribe(&approval, waiter);
        }
    }

    /// The session is over: stops waiting, and forgets what was granted to it alone.
    pub fn end(&mut self, session: &SessionId) {
        let operations: Vec<_> = self.waiting.keys().copied().collect();
        for operation in operations {
            self.unhold(operation);
        }
        if std::mem::take(&mut self.asked) {
            let (approvals, session) = (Arc::clone(&self.approvals), session.clone());
            tokio::task::spawn_blocking(move || {
                if let Err(error) = approvals.end_session(&session) {
                    tracing::warn!(%error, "the grants of an ended session stay until they expire");
                }
            });
        }
    }
}

impl Drop for Holds {
    fn drop(&mut self) {
        // After a panic only; an ended session left nothing here.
        self.counters.holds.fetch_sub(self.waiting.len(), Ordering::Relaxed);
        for (approval, waiter) in self.waiting.drain().filter_map(|(_, slot)| slot) {
            self.approvals.unsubscribe(&approval, waiter);
        }
    }
}

/// What a yes says to the engine.
fn approved(granted: Granted, reason: Option<String>) -> Answer {
    Answer::Approved {
        reason,
        approval: granted.approval.0,
        approver: granted.approvers.join(", ").into(),
        rows_max: granted.rows_max,
    }
}

/// What the engine hears when a request could not even be placed.
fn not_placed(why: &str) -> Answer {
    Answer::Denied {
        approval: "(none)".into(),
        approver: NOBODY.into(),
        reason: Some(why.to_owned()),
    }
}

fn place(
    approvals: &Approvals,
    mailbox: &Arc<Mailbox>,
    new: &NewApproval,
    now: Timestamp,
) -> Placed {
    match try_place(approvals, mailbox, new, now) {
        Ok(placed) => placed,
        Err(error) => {
            let session = &new.session.0;
            match &error {
                // The log says so once, not for every operation.
                ApprovalError::State(state) if state.is_unreachable() => {
                    tracing::debug!(%error, %session, "an approval request was not taken");
                    Placed::Failed(STATE_AWAY)
                }
                _ => {
                    tracing::error!(%error, %session, "an approval request was not taken");
                    Placed::Failed("no more approval requests can be taken now")
                }
            }
        }
    }
}

fn try_place(
    approvals: &Approvals,
    mailbox: &Arc<Mailbox>,
    new: &NewApproval,
    now: Timestamp,
) -> Result<Placed, ApprovalError> {
    let mut round = 0;
    loop {
        let id = match approvals.request(new.clone(), now)? {
            Requested::Granted(granted) => return Ok(Placed::Granted(granted)),
            Requested::Pending(id) => id,
        };
        let (to, operation) = (Arc::clone(mailbox), new.operation);
        let waiter = Waiter {
            session: new.session.clone(),
            wait_until: new.wait_until,
            tell: Box::new(move |answer| {
                to.tell(Note::Answered(operation, answer));
            }),
        };
        match approvals.subscribe(&id, waiter) {
            Ok(waiter) => return Ok(Placed::Waiting(id, waiter)),
            // Answered in between: a yes left a grant, so asking again finds it.
            Err(ApprovalError::Unknown(_)) if round < ROUNDS_MAX => round += 1,
            Err(error) => return Err(error),
        }
    }
}

fn new_approval(
    request: HoldRequest,
    session: &SessionId,
    principal: &Principal,
    resource: &Arc<str>,
    now: Timestamp,
) -> NewApproval {
    let needs = request.needs;
    NewApproval {
        digest: request.digest,
        session: session.clone(),
        operation: request.operation,
        principal: principal.clone(),
        resource: Arc::clone(resource),
        text: request.text,
        parameters: request.parameters,
        objects: request.objects,
        rules: needs.rules.iter().map(rule).collect(),
        rows_seen: request.rows_seen,
        detections: request.detections,
        wait_until: now.plus(needs.wait),
        expires_at: now.plus(needs.expires),
        grant: match needs.grant {
            Grant::Once => GrantScope::Once,
            Grant::Session => GrantScope::Session,
            Grant::For(duration) => GrantScope::For(duration),
        },
        rows_max: needs.rows_max,
    }
}

fn rule(need: &Need) -> ApprovalRule {
    let escalate = need.escalate.as_ref();
    ApprovalRule {
        rule: Arc::clone(&need.rule),
        by: need.by.to_vec(),
        needs: need.needs,
        escalate: escalate.map(|(after, to)| Escalation { after: *after, to: to.to_vec() }),
    }
}
