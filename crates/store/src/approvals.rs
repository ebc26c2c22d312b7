//! Operations that wait for a person: requests, answers and the grants that answers leave.
//!
//! All decisions are made in one piece of work on the registry, on what it holds, and kept there
//! before anyone hears of them, so a yes is used at most as often as it was given, across sessions,
//! restarts and gateways. Memory holds what waits and what is granted, to list and to look; what
//! another gateway changes comes in by `hear`. The rules about who may answer are in `answer`,
//! those about what a yes covers in `grant`.

mod access;
mod answer;
mod grant;
mod hear;
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
use crate::registry::{Registry, Tx};
use crate::state::{Lane, StateError};

pub use access::{AccessAsk, AccessGrant, NewAccess, Revocation, RevokeError};
pub use answer::{AnswerError, Approver, Vote};
pub use grant::{GrantScope, Granted};
pub use request::{Approval, ApprovalId, ApprovalRule, Escalation, Holder, NewApproval, Status};

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
    registry: Arc<Registry>,
    /// One change at a time, kept while the registry is waited for. Whoever only looks, waits for
    /// an answer or stops waiting does not take it.
    turn: Mutex<()>,
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

/// What became of a grant that was used: what is left of it, if anything.
struct Used {
    granted: Granted,
    id: GrantId,
    left: Option<Grant>,
}

enum Decided {
    Granted(Used),
    Pending(Approval),
}

impl Approvals {
    /// Loads what waits and what is granted. Grants for one session ended with the process that
    /// carried it and are dropped.
    pub fn open(registry: Arc<Registry>, now: Timestamp) -> Result<Self, StateError> {
        let approvals = Self {
            registry,
            turn: Mutex::new(()),
            inner: Mutex::default(),
            observers: RwLock::default(),
            access_observers: RwLock::default(),
        };
        approvals.heard_all(now)?;
        let own = approvals.registry.gateway().cloned();
        match &own {
            Some(own) => approvals.left_behind(own, now)?,
            None => approvals.drop_grants(|grant| grant.session.is_some())?,
        }
        approvals.expire(now)?;
        Ok(approvals)
    }

    /// Asks for an operation to be approved: a grant that covers it is used, an identical request
    /// that waits is joined, else a new one waits.
    ///
    /// A joined request keeps what the approver may already have seen; only its `wait_until` grows.
    pub fn request(&self, new: NewApproval, now: Timestamp) -> Result<Requested, ApprovalError> {
        self.expire(now)?;
        let one = self.turn.lock();
        let gateway = self.registry.gateway();
        let decided = self.registry.write(Lane::Registry, |tx| {
            tx.turn(&new.digest)?;
            let covers = |grant: &Grant| grant.covers(&new, now);
            if let Some(used) = use_grant(tx, &new.digest, covers, &new.session, gateway)? {
                return Ok(Decided::Granted(used));
            }
            let waiting = persist::load_pending_of(tx, &new.digest)?.into_iter();
            let same = waiting.filter(|one| now < one.expires_at && one.is_same(&new));
            let mut approval = match same.min_by_key(|one| one.requested_at) {
                Some(mut joined) => {
                    joined.join(&new);
                    joined
                }
                None => {
                    let approval = new.clone().into_approval(id::short_id("ap_", 10)?, now);
                    self.inner.lock().make_sure_there_is_room(&approval)?;
                    approval
                }
            };
            approval.held_by(gateway, &new.session);
            persist::save(tx, &approval, &[])?;
            Ok::<_, ApprovalError>(Decided::Pending(approval))
        })?;
        match decided {
            Decided::Granted(used) => {
                self.inner.lock().left(&used);
                Ok(Requested::Granted(used.granted))
            }
            Decided::Pending(approval) => {
                self.inner.lock().put(&approval);
                drop(one);
                self.observe_all(&approval);
                Ok(Requested::Pending(approval.id))
            }
        }
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
        let one = self.turn.lock();
        let known = self.approval(id)?.ok_or_else(|| AnswerError::Unknown(id.clone()))?;
        let mut inner = self.inner.lock();
        let (waiters, granted) = (inner.take_waiters(id), inner.grants.len());
        drop(inner);
        let gateway = self.registry.gateway();
        // If this fails nothing has changed and the approver is told to try again.
        let voted = self.registry.write(Lane::Registry, |tx| {
            tx.turn(&known.digest)?;
            let found = persist::load(tx, id)?;
            let approval = found.ok_or_else(|| AnswerError::Unknown(id.clone()))?;
            match approval.status {
                Status::Pending => {}
                Status::Expired => return Err(AnswerError::Expired),
                ended => return Err(AnswerError::AlreadyAnswered(ended)),
            }
            let approval = approval.with_vote(approver, verdict.clone(), now)?;
            if approval.status == Status::Approved && granted >= limit::GRANTS_MAX {
                return Err(AnswerError::Full(limit::GRANTS_MAX));
            }
            let (grants, answers) = settle(&approval, &waiters, gateway, now)?;
            persist::save(tx, &approval, &grants)?;
            Ok((approval, grants, answers))
        });
        let mut inner = self.inner.lock();
        let (approval, grants, answers) = match voted {
            Ok(voted) => voted,
            Err(error) => {
                inner.give_back(id, waiters);
                return Err(error);
            }
        };
        let access = grants.iter().any(|grant| grant.access);
        for grant in grants {
            inner.grants.insert(Arc::clone(&grant.id), grant);
        }
        if approval.status == Status::Pending {
            inner.put(&approval);
            inner.give_back(id, waiters);
            drop((inner, one));
            self.observe_all(&approval);
            return Ok(approval.status);
        }
        let late = inner.remove(id);
        drop(inner);
        let waiters = waiters.into_iter().map(|(_, waiter)| waiter);
        let mut messages: Vec<Message> = waiters.zip(answers).collect();
        messages.extend(self.answers_to(&approval, late, now));
        drop(one);
        if access {
            self.access_changed();
        }
        self.publish(&approval, messages);
        Ok(approval.status)
    }

    /// Takes a request back; its waiters are told. `false` when it no longer waits.
    pub fn withdraw(&self, id: &ApprovalId, now: Timestamp) -> Result<bool, StateError> {
        self.close(id, Status::Withdrawn, now)
    }

    /// Ends requests and grants whose time is over; how many requests. Call it about once a second.
    pub fn expire(&self, now: Timestamp) -> Result<usize, StateError> {
        self.drop_grants(|grant| grant.is_over(now))?;
        let inner = self.inner.lock();
        let pending = inner.pending.values().map(|pending| &pending.approval);
        let over = pending.filter(|approval| now >= approval.expires_at);
        let over: Vec<_> = over.map(|approval| approval.id.clone()).collect();
        drop(inner);
        let mut count = 0;
        for id in over {
            count += usize::from(self.close(&id, Status::Expired, now)?);
        }
        Ok(count)
    }

    /// Forgets the grants of a session that ended.
    pub fn end_session(&self, session: &SessionId) -> Result<(), StateError> {
        self.drop_grants(|grant| grant.session.as_ref() == Some(session))
    }

    /// Calls `observer` after every change of a request: a new one, a join, a vote, an end; by
    /// whichever gateway. It must return at once.
    pub fn observe(&self, observer: Observer) {
        self.observers.write().push(observer);
    }

    /// One request, waiting or not.
    pub fn approval(&self, id: &ApprovalId) -> Result<Option<Approval>, StateError> {
        if let Some(pending) = self.inner.lock().pending.get(id) {
            return Ok(Some(pending.approval.clone()));
        }
        self.registry.read(Lane::Reader, |tx| persist::load(tx, id))
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
        self.registry.read(Lane::Reader, |tx| persist::load_recent(tx, limit))
    }

    /// This gateway's name, where it is one of several.
    #[must_use]
    pub fn gateway(&self) -> Option<&Arc<str>> {
        self.registry.gateway()
    }

    /// Ends a request without an answer; whether this call did.
    fn close(&self, id: &ApprovalId, status: Status, now: Timestamp) -> Result<bool, StateError> {
        let one = self.turn.lock();
        let mut inner = self.inner.lock();
        let Some(pending) = inner.pending.get(id) else { return Ok(false) };
        let digest = pending.approval.digest;
        let waiters = inner.take_waiters(id);
        drop(inner);
        let closed = self.registry.write(Lane::Registry, |tx| {
            tx.turn(&digest)?;
            let Some(found) = persist::load(tx, id)? else { return Ok((None, false)) };
            if found.status != Status::Pending {
                return Ok((Some(found), false));
            }
            let approval = Approval { status, ..found };
            persist::save(tx, &approval, &[])?;
            Ok((Some(approval), true))
        });
        let mut inner = self.inner.lock();
        inner.give_back(id, waiters);
        let (found, is_mine) = closed?;
        let waiters = inner.remove(id);
        drop(inner);
        // Another gateway may have been quicker.
        let Some(approval) = found else { return Ok(false) };
        let messages = self.answers_to(&approval, waiters, now);
        drop(one);
        self.publish(&approval, messages);
        Ok(is_mine)
    }

    /// What those are told who wait for a request that has ended. A yes is used by each in turn, as
    /// far as it goes.
    fn answers_to(
        &self,
        approval: &Approval,
        waiters: Vec<Waiter>,
        now: Timestamp,
    ) -> Vec<Message> {
        let answer = |waiter: &Waiter| match approval.status {
            Status::Approved if now >= waiter.wait_until => Answer::Late,
            Status::Approved => self.answer_of_yes(approval, &waiter.session, now),
            Status::Denied => approval.denial(),
            Status::Expired => Answer::Expired,
            Status::Pending | Status::Withdrawn => Answer::Withdrawn,
        };
        let told = waiters.into_iter().map(|waiter| {
            let answer = answer(&waiter);
            (waiter, answer)
        });
        told.collect()
    }

    fn answer_of_yes(&self, approval: &Approval, session: &SessionId, now: Timestamp) -> Answer {
        let covers = |grant: &Grant| {
            grant.approval == approval.id && !grant.is_over(now) && grant.is_for(session)
        };
        let gateway = self.registry.gateway();
        let used = self.registry.write(Lane::Registry, |tx| {
            tx.turn(&approval.digest)?;
            use_grant(tx, &approval.digest, covers, session, gateway)
        });
        match used {
            Ok(Some(used)) => {
                self.inner.lock().left(&used);
                Answer::Approved(used.granted)
            }
            Ok(None) => Answer::Spent,
            Err(error) => {
                let id = &approval.id;
                tracing::warn!(%error, %id, "a yes was not used; a repeat may use it");
                Answer::Late
            }
        }
    }

    fn publish(&self, approval: &Approval, messages: Vec<Message>) {
        tell(messages);
        self.observe_all(approval);
    }

    fn drop_grants(&self, over: impl Fn(&Grant) -> bool) -> Result<(), StateError> {
        let mut inner = self.inner.lock();
        let gone: Vec<_> = inner.grants.values().filter(|grant| over(grant)).cloned().collect();
        // Out of memory first: if the registry fails, the grant is over all the same, and time or
        // the next start drops it there.
        for Grant { id, .. } in &gone {
            inner.grants.remove(id);
        }
        drop(inner);
        if gone.is_empty() {
            return Ok(());
        }
        let dropped = self.registry.write(Lane::Registry, |tx| {
            gone.iter().try_for_each(|grant| persist::delete_grant(tx, &grant.id).map(drop))
        });
        if gone.iter().any(|grant| grant.access) {
            self.access_changed();
        }
        dropped
    }

    fn observe_all(&self, approval: &Approval) {
        self.observers.read().iter().for_each(|observer| observer(approval));
    }
}

/// Takes one use of a grant that covers what is asked. A grant without a count comes first: a
/// single use is kept for when nothing else covers. The caller has the turn of `digest`.
fn use_grant(
    tx: &mut Tx<'_>,
    digest: &[u8; 32],
    covers: impl Fn(&Grant) -> bool,
    session: &SessionId,
    gateway: Option<&Arc<str>>,
) -> Result<Option<Used>, StateError> {
    let mut covering: Vec<Grant> = persist::load_grants_of(tx, digest)?;
    covering.retain(|grant| covers(grant));
    covering.sort_by(|a, b| (a.uses_left.is_some(), &a.id).cmp(&(b.uses_left.is_some(), &b.id)));
    for grant in covering {
        let left = grant.used_by(session, gateway);
        let is_had = match &left {
            Some(same) if *same == grant => true,
            Some(used) => persist::replace_grant(tx, used)?,
            None => persist::delete_grant(tx, &grant.id)?,
        };
        // Gone since it was read: it was over.
        if is_had {
            return Ok(Some(Used { granted: grant.granted(), id: grant.id, left }));
        }
    }
    Ok(None)
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

    /// What is left of a grant that was used.
    fn left(&mut self, used: &Used) {
        match &used.left {
            Some(left) => drop(self.grants.insert(Arc::clone(&used.id), left.clone())),
            None => drop(self.grants.remove(&used.id)),
        }
    }

    /// Puts a request in, in the place of what was known of it.
    fn put(&mut self, approval: &Approval) {
        match self.pending.get_mut(&approval.id) {
            None => self.insert(approval.clone()),
            Some(pending) => {
                let weight = (pending.approval.weight(), approval.weight());
                self.bytes = self.bytes.saturating_sub(weight.0).saturating_add(weight.1);
                pending.approval = approval.clone();
            }
        }
    }

    /// Takes the waiters of a request: from here on they are being told, and nobody stops them.
    fn take_waiters(&mut self, id: &ApprovalId) -> Vec<(WaiterId, Waiter)> {
        self.pending
            .get_mut(id)
            .map(|pending| std::mem::take(&mut pending.waiters))
            .unwrap_or_default()
    }

    /// Nobody was told: they wait on.
    fn give_back(&mut self, id: &ApprovalId, mut waiters: Vec<(WaiterId, Waiter)>) {
        if let Some(pending) = self.pending.get_mut(id) {
            waiters.append(&mut pending.waiters);
            pending.waiters = waiters;
        }
    }
}

/// Decides what an answered request leaves: grants, and what each waiter is told, in order.
fn settle(
    approval: &Approval,
    waiters: &[(WaiterId, Waiter)],
    gateway: Option<&Arc<str>>,
    now: Timestamp,
) -> Result<(Vec<Grant>, Vec<Answer>), AnswerError> {
    match approval.status {
        Status::Approved => {
            let grant = Grant::of(approval, id::short_id("gr_", 12)?.into(), now);
            let (left, answers) = grant::share_out(grant, waiters, gateway, now);
            Ok((left.into_iter().collect(), answers))
        }
        Status::Pending => Ok((Vec::new(), Vec::new())),
        _ => Ok((Vec::new(), vec![approval.denial(); waiters.len()])),
    }
}

fn tell(messages: Vec<Message>) {
    for (waiter, answer) in messages {
        (waiter.tell)(answer);
    }
}
