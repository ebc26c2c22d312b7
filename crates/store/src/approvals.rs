//! Operations that wait for a person: requests, answers and the grants that answers leave.
//!
//! All decisions are made under one lock and written to the registry before anyone hears of them,
//! so a yes is used at most as often as it was given, across sessions and restarts. The rules about
//! who may answer are in `answer`, those about what a yes covers in `grant`.

mod access;
mod answer;
mod grant;
mod persist;
mod request;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use model::{SessionId, Timestamp, limit};
use parking_lot::{Mutex, RwLock};

use crate::id::{self, NoRandomness};
use crate::state::{State, StateError};

pub use access::{AccessAsk, AccessGrant, NewAccess, Revocation, RevokeError};
pub use answer::{AnswerError, Approver, Vote};
pub use grant::{GrantScope, Granted};
pub use request::{Approval, ApprovalId, ApprovalRule, Escalation, NewApproval, Status};

use grant::Grant;

/// What became of a request to approve an operation.
#[derive(Clone, Debug, PartialEq)]
pub enum Requested {
    /// A grant covers it; one use of that grant is now taken.
    Granted(Granted),
    /// It waits for an answer, alone or joined with an identical request.
    Pending(ApprovalId),
}

/// What a waiting session is told, exactly once.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// Yes: this operation may go on, now.
    Approved(Granted),
    /// No.
    Denied {
        /// Who said so.
        by: Arc<str>,
        /// Why, in their words.
        reason: Option<Arc<str>>,
    },
    /// Nobody answered while the request could be answered.
    Expired,
    /// The request was taken back.
    Withdrawn,
    /// The yes was given to another operation that waited under the same request; a repeat asks
    /// again.
    Spent,
    /// The yes came after this operation's wait was over; a repeat is granted.
    Late,
}

/// How one session waits.
pub struct Waiter {
    /// Which session.
    pub session: SessionId,
    /// When its wait is over; from this moment on it is [`Answer::Late`].
    pub wait_until: Timestamp,
    /// Told the answer, from the thread that answers, before [`Approvals::answer`] returns. Must
    /// return at once and must not call back into [`Approvals`].
    pub tell: Box<dyn FnOnce(Answer) + Send>,
}

impl fmt::Debug for Waiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Waiter")
            .field("session", &self.session)
            .field("wait_until", &self.wait_until)
            .finish_non_exhaustive()
    }
}

/// Names a subscription, to end it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct WaiterId(u64);

/// What an approver says.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// Yes. Without `duration` and `session` it covers what the rule's `grant` says.
    Approve {
        /// Covers repeats of the same operation for this long.
        duration: Option<Duration>,
        /// Covers repeats of the same operation in the same session.
        session: bool,
        /// Why.
        reason: Option<String>,
    },
    /// No.
    Deny {
        /// Why; the client is told.
        reason: Option<String>,
    },
}

/// Why a request could not be taken. In every case the operation must be refused (P2).
#[derive(Debug, thiserror::Error)]
pub enum ApprovalError {
    /// Too much waits already.
    #[error("{0}")]
    Full(String),
    /// No such request, or it no longer waits.
    #[error("no approval request {0} waits for an answer")]
    Unknown(ApprovalId),
    /// The same principal asked for the same access already, for another time.
    #[error("{0} waits already and asks for the same, for another time")]
    Waits(ApprovalId),
    /// The registry failed.
    #[error(transparent)]
    State(#[from] StateError),
    /// No randomness.
    #[error(transparent)]
    Random(#[from] NoRandomness),
}

/// The approval requests and grants of this installation.
pub struct Approvals {
    state: Arc<State>,
    inner: Mutex<Inner>,
    observers: RwLock<Vec<Observer>>,
    access_observers: RwLock<Vec<Box<dyn Fn() + Send + Sync>>>,
}

type Observer = Box<dyn Fn(&Approval) + Send + Sync>;

#[derive(Default)]
struct Inner {
    pending: HashMap<ApprovalId, Pending>,
    grants: HashMap<GrantId, Grant>,
    /// Sum of [`Approval::weight`] over `pending`.
    bytes: usize,
    next_waiter: u64,
}

type GrantId = Arc<str>;

struct Pending {
    approval: Approval,
    waiters: Vec<(WaiterId, Waiter)>,
}

/// A waiter and what it will be told once the lock is released.
type Message = (Waiter, Answer);

impl Approvals {
    /// Loads what waits and what is granted. Grants for one session ended with the process that
    /// carried it and are dropped.
    pub fn open(state: Arc<State>, now: Timestamp) -> Result<Self, StateError> {
        let mut inner = Inner::default();
        for approval in state.registry(persist::load_pending)? {
            inner.insert(approval);
        }
        for grant in state.registry(persist::load_grants)? {
            inner.grants.insert(Arc::clone(&grant.id), grant);
        }
        let approvals = Self {
            state,
            inner: Mutex::new(inner),
            observers: RwLock::default(),
            access_observers: RwLock::default(),
        };
        approvals.drop_grants(|grant| grant.session.is_some() || grant.is_over(now))?;
        approvals.expire(now)?;
        Ok(approvals)
    }

    /// Asks for an operation to be approved: a grant that covers it is used, an identical request
    /// that waits is joined, else a new one waits.
    ///
    /// A joined request keeps what the approver may already have seen; only its `wait_until` grows.
    pub fn request(&self, new: NewApproval, now: Timestamp) -> Result<Requested, ApprovalError> {
        self.expire(now)?;
        let mut inner = self.inner.lock();
        if let Some(granted) = self.consume(&mut inner, &new, now)? {
            return Ok(Requested::Granted(granted));
        }
        let same = inner.pending.values_mut().filter(|pending| pending.approval.is_same(&new));
        let same = same.min_by_key(|pending| pending.approval.requested_at);
        let changed = match same {
            Some(pending) => {
                let mut joined = pending.approval.clone();
                joined.join(&new);
                self.state.registry(|db| persist::save(db, &joined, &[]))?;
                pending.approval = joined.clone();
                joined
            }
            None => {
                let approval = new.into_approval(id::short_id("ap_", 10)?, now);
                inner.make_sure_there_is_room(&approval)?;
                self.state.registry(|db| persist::save(db, &approval, &[]))?;
                inner.insert(approval.clone());
                approval
            }
        };
        drop(inner);
        self.observe_all(&changed);
        Ok(Requested::Pending(changed.id))
    }

    /// Waits for the answer to a request. Fails if it was answered between asking and subscribing;
    /// ask again then: a yes left a grant.
    pub fn subscribe(&self, id: &ApprovalId, waiter: Waiter) -> Result<WaiterId, ApprovalError> {
        let mut inner = self.inner.lock();
        let number = WaiterId(inner.next_waiter);
        let pending =
            inner.pending.get_mut(id).ok_or_else(|| ApprovalError::Unknown(id.clone()))?;
        if pending.waiters.len() >= limit::APPROVAL_WAITERS_MAX {
            let waiting = pending.waiters.len();
            return Err(ApprovalError::Full(format!(
                "{waiting} operations wait for approval {id} already, its limit"
            )));
        }
        pending.waiters.push((number, waiter));
        inner.next_waiter += 1;
        Ok(number)
    }

    /// Stops waiting: the wait is over or the session is gone. `true` if the waiter was still
    /// waiting and will never be told; `false` if it was told, or is being told, the answer, which
    /// then counts.
    pub fn unsubscribe(&self, id: &ApprovalId, waiter: WaiterId) -> bool {
        let mut inner = self.inner.lock();
        let Some(pending) = inner.pending.get_mut(id) else { return false };
        let before = pending.waiters.len();
        pending.waiters.retain(|(number, _)| *number != waiter);
        pending.waiters.len() < before
    }

    /// Answers a request. `Ok` holds where it stands now: still pending while more approvers are
    /// needed.
    pub fn answer(
        &self,
        id: &ApprovalId,
        approver: &Approver,
        verdict: Verdict,
        now: Timestamp,
    ) -> Result<Status, AnswerError> {
        self.expire(now)?;
        let mut inner = self.inner.lock();
        let Some(pending) = inner.pending.get(id) else {
            drop(inner);
            return Err(self.why_not_pending(id)?);
        };
        let approval = pending.approval.with_vote(approver, verdict, now)?;
        let (grants, answers) = inner.settle(&approval, &pending.waiters, now)?;
        // If this fails nothing has changed and the approver is told to try again.
        self.state.registry(|db| persist::save(db, &approval, &grants))?;
        let waiters = if approval.status == Status::Pending {
            inner.replace(&approval);
            Vec::new()
        } else {
            inner.remove(id)
        };
        let messages = waiters.into_iter().zip(answers).collect();
        let access = grants.iter().any(|grant| grant.access);
        for grant in grants {
            inner.grants.insert(Arc::clone(&grant.id), grant);
        }
        drop(inner);
        if access {
            self.access_changed();
        }
        tell(messages);
        self.observe_all(&approval);
        Ok(approval.status)
    }

    /// Takes a request back; its waiters are told. `false` when it no longer waits.
    pub fn withdraw(&self, id: &ApprovalId) -> Result<bool, StateError> {
        let mut inner = self.inner.lock();
        self.close(&mut inner, id, Status::Withdrawn).map(|closed| {
            drop(inner);
            self.publish(closed.into_iter().collect()) > 0
        })
    }

    /// Ends requests and grants whose time is over; how many requests. Call it about once a second.
    pub fn expire(&self, now: Timestamp) -> Result<usize, StateError> {
        self.drop_grants(|grant| grant.is_over(now))?;
        let mut inner = self.inner.lock();
        let over: Vec<_> = inner
            .pending
            .values()
            .filter(|pending| now >= pending.approval.expires_at)
            .map(|pending| pending.approval.id.clone())
            .collect();
        let mut closed = Vec::new();
        for id in over {
            closed.extend(self.close(&mut inner, &id, Status::Expired)?);
        }
        drop(inner);
        Ok(self.publish(closed))
    }

    /// Forgets the grants of a session that ended.
    pub fn end_session(&self, session: &SessionId) -> Result<(), StateError> {
        self.drop_grants(|grant| grant.session.as_ref() == Some(session))
    }

    /// Calls `observer` after every change of a request: a new one, a join, a vote, an end. It must
    /// return at once.
    pub fn observe(&self, observer: Observer) {
        self.observers.write().push(observer);
    }

    /// One request, waiting or not.
    pub fn approval(&self, id: &ApprovalId) -> Result<Option<Approval>, StateError> {
        if let Some(pending) = self.inner.lock().pending.get(id) {
            return Ok(Some(pending.approval.clone()));
        }
        self.state.read(|db| persist::load(db, id))
    }

    /// The requests that wait, oldest first.
    #[must_use]
    pub fn pending(&self) -> Vec<Approval> {
        let inner = self.inner.lock();
        let mut pending: Vec<_> =
            inner.pending.values().map(|pending| pending.approval.clone()).collect();
        pending.sort_by(|a, b| (a.requested_at, &a.id).cmp(&(b.requested_at, &b.id)));
        pending
    }

    /// The newest `limit` requests, whatever became of them, newest first.
    pub fn recent(&self, limit: usize) -> Result<Vec<Approval>, StateError> {
        self.state.read(|db| persist::load_recent(db, limit))
    }

    /// Finds a grant that covers `new` and takes one use of it, in the registry first.
    fn consume(
        &self,
        inner: &mut Inner,
        new: &NewApproval,
        now: Timestamp,
    ) -> Result<Option<Granted>, StateError> {
        let covering = inner.grants.values().filter(|grant| grant.covers(new, now));
        // A grant without a count first: a single use is kept for when nothing else covers.
        let Some(grant) = covering.min_by_key(|grant| (grant.uses_left.is_some(), &grant.id))
        else {
            return Ok(None);
        };
        let used = grant.used_by(&new.session);
        let granted = grant.granted();
        match used {
            Some(used) if used == *grant => {}
            Some(used) => {
                self.state.registry(|db| persist::save_grant(db, &used))?;
                inner.grants.insert(Arc::clone(&used.id), used);
            }
            None => {
                let id = Arc::clone(&grant.id);
                self.state.registry(|db| persist::delete_grant(db, &id))?;
                inner.grants.remove(&id);
            }
        }
        Ok(Some(granted))
    }

    /// Ends a request without an answer.
    fn close(
        &self,
        inner: &mut Inner,
        id: &ApprovalId,
        status: Status,
    ) -> Result<Option<(Approval, Vec<Message>)>, StateError> {
        let Some(pending) = inner.pending.get(id) else { return Ok(None) };
        let mut approval = pending.approval.clone();
        approval.status = status;
        self.state.registry(|db| persist::save(db, &approval, &[]))?;
        let answer = if status == Status::Expired { Answer::Expired } else { Answer::Withdrawn };
        let waiters = inner.remove(id);
        Ok(Some((approval, waiters.into_iter().map(|waiter| (waiter, answer.clone())).collect())))
    }

    fn publish(&self, closed: Vec<(Approval, Vec<Message>)>) -> usize {
        let count = closed.len();
        for (approval, messages) in closed {
            tell(messages);
            self.observe_all(&approval);
        }
        count
    }

    fn drop_grants(&self, over: impl Fn(&Grant) -> bool) -> Result<(), StateError> {
        let mut inner = self.inner.lock();
        let gone: Vec<_> = inner.grants.values().filter(|grant| over(grant)).cloned().collect();
        let mut dropped = Ok(());
        for Grant { id, .. } in &gone {
            // Out of memory first: if the registry fails, the grant is over all the same, and time
            // or the next start drops it there.
            inner.grants.remove(id);
            dropped = dropped.and(self.state.registry(|db| persist::delete_grant(db, id)));
        }
        drop(inner);
        if gone.iter().any(|grant| grant.access) {
            self.access_changed();
        }
        dropped
    }

    fn why_not_pending(&self, id: &ApprovalId) -> Result<AnswerError, StateError> {
        Ok(match self.state.read(|db| persist::load(db, id))? {
            None => AnswerError::Unknown(id.clone()),
            Some(approval) if approval.status == Status::Expired => AnswerError::Expired,
            Some(approval) => AnswerError::AlreadyAnswered(approval.status),
        })
    }

    fn observe_all(&self, approval: &Approval) {
        self.observers.read().iter().for_each(|observer| observer(approval));
    }
}

impl fmt::Debug for Approvals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inner = self.inner.lock();
        f.debug_struct("Approvals")
            .field("pending", &inner.pending.len())
            .field("grants", &inner.grants.len())
            .finish_non_exhaustive()
    }
}

impl Inner {
    fn insert(&mut self, approval: Approval) {
        self.bytes = self.bytes.saturating_add(approval.weight());
        self.pending.insert(approval.id.clone(), Pending { approval, waiters: Vec::new() });
    }

    fn remove(&mut self, id: &ApprovalId) -> Vec<Waiter> {
        let Some(pending) = self.pending.remove(id) else { return Vec::new() };
        self.bytes = self.bytes.saturating_sub(pending.approval.weight());
        pending.waiters.into_iter().map(|(_, waiter)| waiter).collect()
    }

    fn make_sure_there_is_room(&self, new: &Approval) -> Result<(), ApprovalError> {
        if self.pending.len() >= limit::APPROVALS_PENDING_MAX {
            let waiting = self.pending.len();
            return Err(ApprovalError::Full(format!(
                "too many requests wait for an answer already ({waiting}); try again later"
            )));
        }
        let subject = &new.principal.subject;
        let own = self.pending.values().filter(|one| one.approval.principal.subject == *subject);
        let own = own.count();
        if own >= limit::APPROVALS_PENDING_PER_SUBJECT_MAX {
            return Err(ApprovalError::Full(format!(
                "{own} requests of {subject} wait for an answer already, as many as one may have"
            )));
        }
        if self.bytes.saturating_add(new.weight()) > limit::APPROVALS_BYTES_MAX {
            return Err(ApprovalError::Full(format!(
                "the operation's {} bytes and the {} bytes that wait already are over {}, the \
                 limit for operations that wait for an approval",
                new.weight(),
                self.bytes,
                limit::APPROVALS_BYTES_MAX
            )));
        }
        Ok(())
    }

    fn replace(&mut self, approval: &Approval) {
        if let Some(pending) = self.pending.get_mut(&approval.id) {
            pending.approval = approval.clone();
        }
    }

    /// Decides what an answered request leaves: grants, and what each waiter is told, in order.
    fn settle(
        &self,
        approval: &Approval,
        waiters: &[(WaiterId, Waiter)],
        now: Timestamp,
    ) -> Result<(Vec<Grant>, Vec<Answer>), AnswerError> {
        match approval.status {
            Status::Approved if self.grants.len() >= limit::GRANTS_MAX => {
                Err(AnswerError::Full(limit::GRANTS_MAX))
            }
            Status::Approved => {
                let grant = Grant::of(approval, id::short_id("gr_", 12)?.into(), now);
                let (left, answers) = grant::share_out(grant, waiters, now);
                Ok((left.into_iter().collect(), answers))
            }
            Status::Pending => Ok((Vec::new(), Vec::new())),
            _ => Ok((Vec::new(), vec![approval.denial(); waiters.len()])),
        }
    }
}

fn tell(messages: Vec<Message>) {
    for (waiter, answer) in messages {
        (waiter.tell)(answer);
    }
}
