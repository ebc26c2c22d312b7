//! A request to approve one operation.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use model::operation::Objects;
use model::{DetectionCount, OperationId, Parameter, Principal, SessionId, Timestamp};
use serde::{Deserialize, Serialize};

use super::access::{AccessAsk, Revocation};
use super::answer::Vote;
use super::grant::GrantScope;

/// Names an approval request: `ap_` and ten characters that survive being read aloud.
#[derive(Clone, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(transparent)]
pub struct ApprovalId(pub Arc<str>);

impl fmt::Display for ApprovalId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A rule that wants approval.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct ApprovalRule {
    /// Its name.
    pub rule: Arc<str>,
    /// Members of any of these groups may answer.
    pub by: Vec<Arc<str>>,
    /// How many different people must say yes; zero counts as one.
    pub needs: u32,
    /// Who else may answer, when nobody did for long.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub escalate: Option<Escalation>,
}

/// Where a request goes that nobody answers.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Escalation {
    /// How long after it was asked.
    pub after: Duration,
    /// Members of any of these groups may answer from then on, too.
    pub to: Vec<Arc<str>>,
}

/// Where a request stands.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// It waits.
    Pending,
    /// Enough people said yes.
    Approved,
    /// Someone said no.
    Denied,
    /// Nobody answered in time.
    Expired,
    /// It was taken back.
    Withdrawn,
}

impl Status {
    /// The word used in records and answers.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Approved => "approved",
            Self::Denied => "denied",
            Self::Expired => "expired",
            Self::Withdrawn => "withdrawn",
        }
    }
}

/// An operation for which approval is asked.
#[derive(Clone, Debug)]
pub struct NewApproval {
    /// The operation's digest (R11): equal digests are the same operation.
    pub digest: [u8; 32],
    /// The session that asks.
    pub session: SessionId,
    /// Which of its operations.
    pub operation: OperationId,
    /// Who asks, in full.
    pub principal: Principal,
    /// On what.
    pub resource: Arc<str>,
    /// The exact text.
    pub text: Arc<str>,
    /// Values beside the text.
    pub parameters: Vec<Parameter>,
    /// What it touches.
    pub objects: Arc<Objects>,
    /// The rules that want approval; all must be satisfied.
    pub rules: Vec<ApprovalRule>,
    /// Rows withheld, when the reply is what is held.
    pub rows_seen: Option<u64>,
    /// Sensitive values found in them.
    pub detections: Vec<DetectionCount>,
    /// How long the client is held.
    pub wait_until: Timestamp,
    /// How long the request can be answered.
    pub expires_at: Timestamp,
    /// What a yes covers unless the approver says otherwise.
    pub grant: GrantScope,
    /// Rows a yes covers; `None` is twice `rows_seen`, or no limit if no rows were seen (R11).
    pub rows_max: Option<u64>,
}

/// A request as it is kept, and all that became of it.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Approval {
    /// Its name.
    pub id: ApprovalId,
    /// Where it stands.
    pub status: Status,
    /// The operation's digest (R11).
    #[serde(with = "digest_text")]
    pub digest: [u8; 32],
    /// The session that asked first.
    pub session: SessionId,
    /// Which of its operations.
    pub operation: OperationId,
    /// Who asks, in full.
    pub principal: Principal,
    /// On what.
    pub resource: Arc<str>,
    /// The exact text.
    pub text: Arc<str>,
    /// Values beside the text.
    pub parameters: Vec<Parameter>,
    /// What it touches.
    pub objects: Arc<Objects>,
    /// The rules that want approval.
    pub rules: Vec<ApprovalRule>,
    /// Rows withheld, when the reply is what is held.
    pub rows_seen: Option<u64>,
    /// Sensitive values found in them.
    pub detections: Vec<DetectionCount>,
    /// When it was asked.
    pub requested_at: Timestamp,
    /// How long a client is held.
    pub wait_until: Timestamp,
    /// How long it can be answered; at this moment no longer.
    pub expires_at: Timestamp,
    /// What a yes covers unless the approver says otherwise.
    pub grant: GrantScope,
    /// Rows a yes covers, if there is a limit.
    pub rows_max: Option<u64>,
    /// Who said what, in order.
    pub votes: Vec<Vote>,
    /// Access for a time is asked for, and no operation waits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access: Option<AccessAsk>,
    /// The rules that others may answer too, because nobody did for long.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub escalated: Vec<Arc<str>>,
    /// What the yes covered was ended before its time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked: Option<Revocation>,
    /// The gateway that asked first, where there are several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway: Option<Arc<str>>,
    /// Which gateways held an operation for it, where there are several.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub holders: Vec<Holder>,
}

/// A gateway that held an operation until a request is answered.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Holder {
    /// Which.
    pub gateway: Arc<str>,
    /// For which session.
    pub session: SessionId,
    /// When it was found that the gateway is gone, and with it the operation. Nothing was released:
    /// whoever repeats the operation at another gateway joins the request, or uses its yes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gone: Option<Timestamp>,
}

/// Holders that are remembered of one request.
const HOLDERS_MAX: usize = 64;

impl NewApproval {
    pub(super) fn into_approval(self, id: String, now: Timestamp) -> Approval {
        Approval {
            id: ApprovalId(id.into()),
            status: Status::Pending,
            digest: self.digest,
            session: self.session,
            operation: self.operation,
            principal: self.principal,
            resource: self.resource,
            text: self.text,
            parameters: self.parameters,
            objects: self.objects,
            rules: self.rules,
            rows_seen: self.rows_seen,
            detections: self.detections,
            requested_at: now,
            wait_until: self.wait_until,
            expires_at: self.expires_at,
            grant: self.grant,
            rows_max: self.rows_max.or(self.rows_seen.map(|seen| seen.saturating_mul(2))),
            votes: Vec::new(),
            access: None,
            escalated: Vec::new(),
            revoked: None,
            gateway: None,
            holders: Vec::new(),
        }
    }
}

impl Approval {
    /// Notes who holds an operation for it.
    pub(super) fn held_by(&mut self, gateway: Option<&Arc<str>>, session: &SessionId) {
        let Some(gateway) = gateway else { return };
        self.gateway.get_or_insert_with(|| Arc::clone(gateway));
        let known = self.holders.iter().position(|one| one.session == *session);
        if let Some(known) = known {
            self.holders.remove(known);
        }
        if self.holders.len() < HOLDERS_MAX {
            let (gateway, session) = (Arc::clone(gateway), session.clone());
            self.holders.push(Holder { gateway, session, gone: None });
        }
    }

    /// Notes that a gateway is gone; whether it held anything.
    pub(super) fn left_by(&mut self, gateway: &str, now: Timestamp) -> bool {
        let held = |one: &&mut Holder| *one.gateway == *gateway && one.gone.is_none();
        self.holders.iter_mut().filter(held).map(|one| one.gone = Some(now)).count() > 0
    }

    /// Whether an answer to this request is an answer to `new`.
    pub(super) fn is_same(&self, new: &NewApproval) -> bool {
        self.digest == new.digest
            && self.resource == new.resource
            && is_same_principal(&self.principal, &new.principal)
            && self.rules == new.rules
            && self.grant == new.grant
            && covers_rows(self.rows_max, new.rows_seen)
    }

    /// Groups whose members may answer for one of its rules now.
    pub fn answerers<'a>(&'a self, rule: &'a ApprovalRule) -> impl Iterator<Item = &'a Arc<str>> {
        let escalated = self.escalated.contains(&rule.rule);
        let more = rule.escalate.iter().filter(move |_| escalated).flat_map(|more| &more.to);
        rule.by.iter().chain(more)
    }

    /// Whether somebody of these groups may answer now.
    #[must_use]
    pub fn is_for(&self, groups: &[Arc<str>]) -> bool {
        self.rules.iter().any(|rule| self.answerers(rule).any(|group| groups.contains(group)))
    }

    /// This request after others may answer too, if their time has come.
    pub(super) fn escalated_at(&self, now: Timestamp) -> Option<Self> {
        let due = |rule: &&ApprovalRule| {
            let after = rule.escalate.as_ref().map(|more| self.requested_at.plus(more.after));
            after.is_some_and(|at| now >= at) && !self.escalated.contains(&rule.rule)
        };
        let due: Vec<_> = self.rules.iter().filter(due).map(|r| Arc::clone(&r.rule)).collect();
        let escalated = [self.escalated.clone(), due].concat();
        let grew = escalated.len() > self.escalated.len();
        (grew && now < self.expires_at).then(|| Self { escalated, ..self.clone() })
    }

    pub(super) fn join(&mut self, new: &NewApproval) {
        self.wait_until = self.wait_until.max(new.wait_until).min(self.expires_at);
    }

    /// About how many bytes it keeps in memory.
    pub(super) fn weight(&self) -> usize {
        let parameters = self.parameters.iter().map(|parameter| {
            64 + parameter.kind.len() + parameter.value.as_ref().map_or(0, String::len)
        });
        let objects =
            [&self.objects.verbs, &self.objects.reads, &self.objects.writes, &self.objects.columns];
        let names = objects.into_iter().flatten().map(|name| 32 + name.len());
        1024 + self.text.len() + parameters.sum::<usize>() + names.sum::<usize>()
    }
}

/// The same actor for the same party, whatever token was used, as long as the same one made it:
/// whoever can make tokens does not come in by what was given to somebody else's of that name.
pub(super) fn is_same_principal(a: &Principal, b: &Principal) -> bool {
    a.subject == b.subject
        && a.kind == b.kind
        && a.issuer == b.issuer
        && a.on_behalf_of == b.on_behalf_of
        && a.minted_by == b.minted_by
}

pub(super) fn covers_rows(rows_max: Option<u64>, rows_seen: Option<u64>) -> bool {
    match (rows_max, rows_seen) {
        (Some(max), Some(seen)) => seen <= max,
        _ => true,
    }
}

pub(super) mod digest_text {
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    use crate::data_dir::{hex, unhex};

    pub(in crate::approvals) fn serialize<S: Serializer>(
        digest: &[u8; 32],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&hex(digest))
    }

    pub(in crate::approvals) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<[u8; 32], D::Error> {
        let text = String::deserialize(deserializer)?;
        let bytes = unhex(&text).and_then(|bytes| bytes.try_into().ok());
        bytes.ok_or_else(|| D::Error::custom("a digest is 64 hexadecimal digits"))
    }
}
