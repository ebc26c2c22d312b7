//! What a yes covers.

use std::sync::Arc;
use std::time::Duration;

use model::{Principal, SessionId, Timestamp};
use serde::{Deserialize, Serialize};

use super::request::{
    Approval, ApprovalId, ApprovalRule, NewApproval, covers_rows, digest_text, is_same_principal,
};
use super::{Answer, Waiter, WaiterId};

/// How far a yes reaches. Always: the same operation (R11) by the same principal.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum GrantScope {
    /// One execution.
    Once,
    /// Repeats in the same session.
    Session,
    /// Repeats for this long after the yes.
    For(Duration),
}

impl GrantScope {
    /// What an approver chose; `None` if they left it to the rule. Both is the narrower of the two
    /// that can be said in one word: the session.
    pub(super) fn chosen(duration: Option<Duration>, session: bool) -> Option<Self> {
        match (duration, session) {
            (_, true) => Some(Self::Session),
            (Some(duration), false) => Some(Self::For(duration)),
            (None, false) => None,
        }
    }
}

/// A yes as the session that uses it sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct Granted {
    /// The request it answers.
    pub approval: ApprovalId,
    /// Who said yes.
    pub approvers: Vec<Arc<str>>,
    /// The rules it satisfies.
    pub rules: Vec<Arc<str>>,
    /// Rows it covers; past them the operation has to ask again (R11).
    pub rows_max: Option<u64>,
    /// What the last of them said with the yes.
    pub reason: Option<Arc<str>>,
}

#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(super) struct Grant {
    pub(super) id: Arc<str>,
    pub(super) approval: ApprovalId,
    #[serde(with = "digest_text")]
    digest: [u8; 32],
    pub(super) principal: Principal,
    pub(super) resource: Arc<str>,
    pub(super) rules: Vec<ApprovalRule>,
    pub(super) approvers: Vec<Arc<str>>,
    rows_max: Option<u64>,
    /// Covers repeats in one session: the first that uses it.
    binds: bool,
    pub(super) session: Option<SessionId>,
    pub(super) uses_left: Option<u32>,
    pub(super) until: Timestamp,
    /// Replaces `until` when the grant binds to a session, whose own end then ends it.
    until_bound: Timestamp,
    /// Gives access, and covers no operation.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) access: bool,
    /// What the last approver said with the yes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reason: Option<Arc<str>>,
    /// The gateway that carries the session it covers, where there are several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) gateway: Option<Arc<str>>,
}

impl Grant {
    /// The grant of an approved request, before anyone has used it. Where approvers differ, it is
    /// what all of them said yes to.
    pub(super) fn of(approval: &Approval, id: Arc<str>, now: Timestamp) -> Self {
        // A yes that waits to be repeated waits as long as the request itself could have waited.
        let lifetime = approval.expires_at.since(approval.requested_at);
        let mut uses_left = None;
        let mut binds = false;
        let mut until = None;
        for vote in approval.votes.iter().filter(|vote| vote.yes) {
            match vote.grant {
                GrantScope::Once => uses_left = Some(1),
                GrantScope::Session => binds = true,
                GrantScope::For(duration) => {
                    let end = now.plus(duration);
                    until = Some(until.map_or(end, |until: Timestamp| until.min(end)));
                }
            }
        }
        if uses_left.is_some() {
            binds = false;
        }
        Self {
            id,
            approval: approval.id.clone(),
            digest: approval.digest,
            principal: approval.principal.clone(),
            resource: Arc::clone(&approval.resource),
            rules: approval.rules.clone(),
            approvers: approval.approvers(),
            rows_max: approval.rows_max,
            binds,
            session: None,
            uses_left,
            until: until.unwrap_or_else(|| now.plus(lifetime)),
            until_bound: until.unwrap_or(Timestamp(u64::MAX)),
            access: approval.access.is_some(),
            reason: approval
                .votes
                .iter()
                .rev()
                .find(|vote| vote.yes)
                .and_then(|vote| vote.reason.clone()),
            gateway: None,
        }
    }

    /// Of which operation it is.
    pub(super) const fn digest(&self) -> &[u8; 32] {
        &self.digest
    }

    /// Whether it covers that session, or any.
    pub(super) fn is_for(&self, session: &SessionId) -> bool {
        self.session.as_ref().is_none_or(|own| own == session)
    }

    /// Whether `new` may run under this grant. Every rule that wants approval now must be one that
    /// was approved, word for word: a rule that was added or tightened since asks again.
    pub(super) fn covers(&self, new: &NewApproval, now: Timestamp) -> bool {
        !self.is_over(now)
            && !self.access
            && self.digest == new.digest
            && self.resource == new.resource
            && is_same_principal(&self.principal, &new.principal)
            && self.is_for(&new.session)
            && new.rules.iter().all(|rule| self.rules.contains(rule))
            && covers_rows(self.rows_max, new.rows_seen)
    }

    /// This grant after one use by `session`; `None` when that was the last.
    pub(super) fn used_by(&self, session: &SessionId, gateway: Option<&Arc<str>>) -> Option<Self> {
        let mut used = self.clone();
        if self.binds && self.session.is_none() {
            used.session = Some(session.clone());
            used.gateway = gateway.cloned();
            used.until = used.until_bound;
        }
        if let Some(uses) = used.uses_left {
            used.uses_left = Some(uses.saturating_sub(1));
        }
        (used.uses_left != Some(0)).then_some(used)
    }

    pub(super) fn is_over(&self, now: Timestamp) -> bool {
        now >= self.until || self.uses_left == Some(0)
    }

    pub(super) fn granted(&self) -> Granted {
        Granted {
            approval: self.approval.clone(),
            approvers: self.approvers.clone(),
            rules: self.rules.iter().map(|rule| Arc::clone(&rule.rule)).collect(),
            rows_max: self.rows_max,
            reason: self.reason.clone(),
        }
    }
}

/// Gives a fresh grant to those who wait, first come first served, and returns what is left of it
/// for repeats.
pub(super) fn share_out(
    grant: Grant,
    waiters: &[(WaiterId, Waiter)],
    gateway: Option<&Arc<str>>,
    now: Timestamp,
) -> (Option<Grant>, Vec<Answer>) {
    let granted = grant.granted();
    let mut left = Some(grant);
    let answers = waiters
        .iter()
        .map(|(_, waiter)| {
            if now >= waiter.wait_until {
                return Answer::Late;
            }
            match left.take_if(|grant| grant.is_for(&waiter.session)) {
                Some(grant) => {
                    left = grant.used_by(&waiter.session, gateway);
                    Answer::Approved(granted.clone())
                }
                None => Answer::Spent,
            }
        })
        .collect();
    (left, answers)
}
