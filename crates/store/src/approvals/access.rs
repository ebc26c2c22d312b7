//! Access for a time: asked for as an approval, and in force as a grant until it ends or is
//! revoked.

use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use model::operation::Objects;
use model::{OperationId, Principal, SessionId, Timestamp};
use serde::{Deserialize, Serialize};

use super::grant::{Grant, GrantScope};
use super::persist;
use super::request::{Approval, ApprovalId, ApprovalRule, Status, is_same_principal};
use super::{ApprovalError, Approvals};
use crate::id;
use crate::state::{Lane, StateError};

/// What is asked for: a resource, for so long from the yes on.
#[derive(Clone, Debug)]
pub struct NewAccess {
    /// Who asks, in full.
    pub principal: Principal,
    /// For what.
    pub resource: Arc<str>,
    /// How long.
    pub length: Duration,
    /// Why, in their words.
    pub reason: Arc<str>,
    /// Who may answer.
    pub rule: ApprovalRule,
    /// How long the request can be answered.
    pub expires_at: Timestamp,
}

/// What makes an approval one of access instead of an operation.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct AccessAsk {
    /// How long access was asked for.
    pub length: Duration,
    /// Why, in the words of who asks.
    pub reason: Arc<str>,
}

/// Access that is in force.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct AccessGrant {
    /// The approval that gave it, which is its name too.
    pub approval: ApprovalId,
    /// Who has it.
    pub principal: Principal,
    /// To what.
    pub resource: Arc<str>,
    /// Who said yes.
    pub approvers: Vec<Arc<str>>,
    /// The rule it was asked under, with those who may answer: they may revoke it too.
    pub rules: Vec<ApprovalRule>,
    /// Until then, exclusively.
    pub until: Timestamp,
}

/// That what a yes covered was ended before its time.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Revocation {
    /// Who.
    pub by: Arc<str>,
    /// When.
    pub at: Timestamp,
    /// Why, in their words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Arc<str>>,
}

/// Why nothing was revoked.
#[derive(Debug, thiserror::Error)]
pub enum RevokeError {
    /// No such request.
    #[error("there is no approval request {0}")]
    Unknown(ApprovalId),
    /// It covers nothing: it has no yes, or what that covered was used, is over or was revoked.
    #[error("{0} covers nothing any more, so there is nothing to revoke")]
    Nothing(ApprovalId),
    /// The registry failed.
    #[error(transparent)]
    State(#[from] StateError),
}

impl Approvals {
    /// Asks for access. Asking again for the same joins what waits already.
    pub fn request_access(
        &self,
        new: NewAccess,
        now: Timestamp,
    ) -> Result<Approval, ApprovalError> {
        self.expire(now)?;
        let one = self.turn.lock();
        let gateway = self.registry.gateway();
        let mut approval = new.into_approval(id::short_id("ap_", 10)?, now);
        approval.gateway = gateway.cloned();
        let asked = self.registry.write(Lane::Registry, |tx| {
            tx.turn(&approval.digest)?;
            let waiting = persist::load_pending_of(tx, &approval.digest)?.into_iter();
            let same = waiting.filter(|waiting| {
                waiting.access.is_some()
                    && now < waiting.expires_at
                    && waiting.resource == approval.resource
                    && is_same_principal(&waiting.principal, &approval.principal)
            });
            if let Some(same) = same.min_by_key(|same| same.requested_at) {
                let length = |one: &Approval| one.access.as_ref().map(|ask| ask.length);
                return match length(&same) == length(&approval) {
                    true => Ok((same, false)),
                    false => Err(ApprovalError::Waits(same.id)),
                };
            }
            self.inner.lock().make_sure_there_is_room(&approval)?;
            persist::save(tx, &approval, &[])?;
            Ok((approval.clone(), true))
        })?;
        let (approval, is_new) = asked;
        self.inner.lock().put(&approval);
        drop(one);
        if is_new {
            self.observe_all(&approval);
        }
        Ok(approval)
    }

    /// The access in force, the one that ends first before the others.
    #[must_use]
    pub fn access(&self, now: Timestamp) -> Vec<AccessGrant> {
        let inner = self.inner.lock();
        let grants = inner.grants.values().filter(|grant| grant.access && !grant.is_over(now));
        let mut access: Vec<_> = grants.map(Grant::as_access).collect();
        access.sort_by(|a, b| (a.until, &a.approval).cmp(&(b.until, &b.approval)));
        access
    }

    /// Calls `observer` whenever access comes into force, is over or was revoked, before whoever
    /// caused it is answered.
    pub fn observe_access(&self, observer: Box<dyn Fn() + Send + Sync>) {
        self.access_observers.write().push(observer);
    }

    pub(super) fn access_changed(&self) {
        self.access_observers.read().iter().for_each(|observer| observer());
    }

    /// Ends what a yes still covers.
    pub fn revoke(
        &self,
        id: &ApprovalId,
        revocation: Revocation,
        now: Timestamp,
    ) -> Result<Approval, RevokeError> {
        self.expire(now)?;
        let one = self.turn.lock();
        let known = self.approval(id)?.ok_or_else(|| RevokeError::Unknown(id.clone()))?;
        let mut inner = self.inner.lock();
        let of_it = inner.grants.values().filter(|grant| grant.approval == *id);
        let over: Vec<_> = of_it.map(|grant| Arc::clone(&grant.id)).collect();
        // Out of memory first, as for what is over: it must end though the disk is full.
        for grant in &over {
            inner.grants.remove(grant);
        }
        drop(inner);
        if !over.is_empty() && known.access.is_some() {
            self.access_changed();
        }
        let revoked = self.registry.write(Lane::Registry, |tx| {
            tx.turn(&known.digest)?;
            let grants = persist::load_grants_of(tx, &known.digest)?;
            let of_it: Vec<_> = grants.iter().filter(|grant| grant.approval == *id).collect();
            let found = persist::load(tx, id)?.filter(|_| !of_it.is_empty());
            let found = found.ok_or_else(|| RevokeError::Nothing(id.clone()))?;
            let approval = Approval { revoked: Some(revocation.clone()), ..found };
            persist::save(tx, &approval, &[])?;
            of_it.iter().try_for_each(|grant| persist::delete_grant(tx, &grant.id).map(drop))?;
            Ok::<_, RevokeError>(approval)
        })?;
        drop(one);
        self.observe_all(&revoked);
        Ok(revoked)
    }

    /// Lets those answer to whom requests go that waited too long; which requests. Call it about
    /// once a second.
    pub fn escalate(&self, now: Timestamp) -> Result<Vec<Approval>, StateError> {
        let inner = self.inner.lock();
        let pending = inner.pending.values().map(|pending| &pending.approval);
        let due = pending.filter(|approval| approval.escalated_at(now).is_some());
        let due: Vec<_> = due.map(|approval| (approval.id.clone(), approval.digest)).collect();
        drop(inner);
        let mut escalated = Vec::new();
        for (id, digest) in due {
            let one = self.turn.lock();
            let grown = self.registry.write(Lane::Registry, |tx| {
                tx.turn(&digest)?;
                let found = persist::load(tx, &id)?;
                let found = found.filter(|found| found.status == Status::Pending);
                // Another gateway may have been quicker.
                let Some(grown) = found.and_then(|found| found.escalated_at(now)) else {
                    return Ok(None);
                };
                persist::save(tx, &grown, &[])?;
                Ok::<_, StateError>(Some(grown))
            })?;
            let Some(grown) = grown else { continue };
            self.inner.lock().put(&grown);
            drop(one);
            self.observe_all(&grown);
            escalated.push(grown);
        }
        Ok(escalated)
    }
}

impl NewAccess {
    fn into_approval(self, id: String, now: Timestamp) -> Approval {
        let Self { principal, resource, length, reason, rule, expires_at } = self;
        // No operation has this digest, so that neither covers the other.
        let named = digest(&SHA256, format!("access\0{resource}").as_bytes());
        let mut digest = [0; 32];
        digest.iter_mut().zip(named.as_ref()).for_each(|(to, from)| *to = *from);
        Approval {
            id: ApprovalId(id.into()),
            status: Status::Pending,
            digest,
            session: SessionId("".into()),
            operation: OperationId(0),
            principal,
            resource,
            text: format!("access for {}: {reason}", shown(length)).into(),
            parameters: Vec::new(),
            objects: Arc::new(Objects::default()),
            rules: vec![rule],
            rows_seen: None,
            detections: Vec::new(),
            requested_at: now,
            wait_until: expires_at,
            expires_at,
            grant: GrantScope::For(length),
            rows_max: None,
            votes: Vec::new(),
            access: Some(AccessAsk { length, reason }),
            escalated: Vec::new(),
            revoked: None,
            gateway: None,
            holders: Vec::new(),
        }
    }
}

impl Grant {
    fn as_access(&self) -> AccessGrant {
        AccessGrant {
            approval: self.approval.clone(),
            principal: self.principal.clone(),
            resource: Arc::clone(&self.resource),
            approvers: self.approvers.clone(),
            rules: self.rules.clone(),
            until: self.until,
        }
    }
}

/// A length of time in the units that people ask in.
fn shown(length: Duration) -> String {
    let seconds = length.as_secs();
    let parts = [(seconds / 86_400, "d"), (seconds / 3600 % 24, "h"), (seconds / 60 % 60, "m")];
    let parts = parts.into_iter().chain([(seconds % 60, "s")]).filter(|(count, _)| *count > 0);
    let text: String = parts.map(|(count, unit)| format!("{count}{unit}")).collect();
    if text.is_empty() { format!("{}ms", length.as_millis()) } else { text }
}
