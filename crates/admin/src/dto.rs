//! What goes over the wire, and how it is made from what the store holds.

use model::{PrincipalKind, Timestamp, TokenId};
use serde::{Deserialize, Serialize};
use store::{Approval, Decisions, GrantScope, Login, SessionSummary, TableUse, TokenRecord};
use utoipa::ToSchema;

use crate::words::format_time;

/// A token to be made.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TokenRequest {
    /// Who it stands for.
    pub subject: String,
    /// The groups of the subject.
    #[serde(default)]
    pub groups: Vec<String>,
    /// Agent, person or service.
    #[serde(default)]
    #[schema(value_type = String, example = "agent")]
    pub kind: PrincipalKind,
    /// How long it is good for (`1h`); left out: until revoked.
    #[serde(default)]
    pub ttl: Option<String>,
}

/// A token, this once.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
pub struct TokenCreated {
    /// Its public name.
    pub id: String,
    /// The token itself; it cannot be shown again.
    pub token: String,
    /// Who it stands for.
    pub subject: String,
    /// The groups of the subject.
    pub groups: Vec<String>,
    /// Agent, person or service.
    pub kind: String,
    /// When it ends, if by itself.
    pub expires_at: Option<String>,
}

/// What is known of a token.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
pub struct TokenView {
    /// Its public name.
    pub id: String,
    /// `active`, `expired` or `revoked`.
    pub status: String,
    /// Who it stands for.
    pub subject: String,
    /// The groups of the subject.
    pub groups: Vec<String>,
    /// Agent, person or service; not known of a token of an identity provider.
    pub kind: Option<String>,
    /// Who made it.
    pub minted_by: Option<String>,
    /// When it was made; not known of a token of an identity provider.
    pub created_at: Option<String>,
    /// When it ends, if by itself.
    pub expires_at: Option<String>,
    /// When it was revoked.
    pub revoked_at: Option<String>,
}

impl TokenView {
    /// One of an identity provider, of which only this is known here.
    pub(crate) fn denied(token: &TokenId, subject: &str, now: Timestamp) -> Self {
        Self {
            id: token.0.to_string(),
            status: "revoked".to_owned(),
            subject: subject.to_owned(),
            groups: Vec::new(),
            kind: None,
            minted_by: None,
            created_at: None,
            expires_at: None,
            revoked_at: Some(format_time(now)),
        }
    }

    /// One of a person who signed in, which was ended.
    pub(crate) fn of_login(token: &TokenId, login: &Login, now: Timestamp) -> Self {
        Self {
            groups: strings(&login.groups),
            kind: Some("person".to_owned()),
            expires_at: Some(format_time(login.ends_at)),
            ..Self::denied(token, &login.subject, now)
        }
    }

    pub(crate) fn new(token: &TokenRecord, now: Timestamp) -> Self {
        let status = match token {
            TokenRecord { revoked_at: Some(_), .. } => "revoked",
            TokenRecord { expires_at: Some(end), .. } if now >= *end => "expired",
            _ => "active",
        };
        Self {
            id: token.id.0.to_string(),
            status: status.to_owned(),
            subject: token.subject.to_string(),
            groups: strings(&token.groups),
            kind: Some(token.kind.as_str().to_owned()),
            minted_by: token.minted_by.as_deref().map(str::to_owned),
            created_at: Some(format_time(token.created_at)),
            expires_at: token.expires_at.map(format_time),
            revoked_at: token.revoked_at.map(format_time),
        }
    }
}

/// A session.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
pub struct SessionView {
    /// Its name.
    pub id: String,
    /// Subject of its principal.
    pub principal: String,
    /// What it reached.
    pub resource: String,
    /// The protocol spoken.
    pub protocol: String,
    /// When it began.
    pub started_at: String,
    /// When it ended; none while it lives.
    pub ended_at: Option<String>,
    /// Why it ended: a fixed word.
    pub end_reason: Option<String>,
    /// It can be killed: this gateway carries it now.
    pub live: bool,
    /// Network address of the client.
    pub client: String,
    /// What the client called itself.
    pub application: Option<String>,
    /// The token it was proved with.
    pub token: Option<String>,
    /// Which of the token's runs it said it belongs to.
    pub run: Option<String>,
    /// The gateway that carried it.
    pub gateway: String,
    /// Operations decided.
    pub operations: u64,
    /// Rows returned.
    pub rows: u64,
    /// Bytes returned.
    pub bytes: u64,
    /// How operations were decided.
    pub decisions: DecisionsView,
    /// Tables named; not in lists.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tables: Vec<TableView>,
    /// Sensitive values found; not in lists.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub detections: Vec<DetectionView>,
}

/// How often each decision was made.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, ToSchema)]
pub struct DecisionsView {
    /// Allowed.
    pub allow: u64,
    /// Allowed with masks.
    pub mask: u64,
    /// Held for a person.
    pub hold: u64,
    /// Refused.
    pub block: u64,
}

/// What a session did to one table.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
pub struct TableView {
    /// `schema.table`.
    pub name: String,
    /// Operations that read it.
    pub reads: u64,
    /// Operations that wrote it.
    pub writes: u64,
    /// Operations that would have, and were refused.
    pub refused: u64,
}

/// How often one type of sensitive value was found.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
pub struct DetectionView {
    /// The type.
    pub kind: String,
    /// Values found.
    pub seen: u64,
    /// Of these, masked.
    pub masked: u64,
}

impl From<&model::DetectionCount> for DetectionView {
    fn from(count: &model::DetectionCount) -> Self {
        Self { kind: count.kind.to_string(), seen: count.seen, masked: count.masked }
    }
}

impl From<Decisions> for DecisionsView {
    fn from(decisions: Decisions) -> Self {
        let Decisions { allow, mask, hold, block } = decisions;
        Self { allow, mask, hold, block }
    }
}

impl From<&TableUse> for TableView {
    fn from(table: &TableUse) -> Self {
        let TableUse { name, reads, writes, refused, .. } = table;
        Self { name: name.clone(), reads: *reads, writes: *writes, refused: *refused }
    }
}

impl SessionView {
    pub(crate) fn new(session: &SessionSummary, live: bool) -> Self {
        Self {
            id: session.id.0.to_string(),
            principal: session.principal.clone(),
            resource: session.resource.clone(),
            protocol: session.protocol.clone(),
            started_at: format_time(session.started_at),
            ended_at: session.ended_at.map(format_time),
            end_reason: session.end_reason.clone(),
            live,
            client: session.client.clone(),
            application: session.application.clone(),
            token: session.token.clone(),
            run: session.run.clone(),
            gateway: session.gateway.clone(),
            operations: session.done.operations,
            rows: session.done.rows,
            bytes: session.done.bytes,
            decisions: session.decisions.into(),
            tables: session.tables.iter().map(TableView::from).collect(),
            detections: session.detections.iter().map(DetectionView::from).collect(),
        }
    }
}

/// Some events of a session, in order.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
pub struct EventsPage {
    /// The events, each as in the recording; `payload` is base64.
    #[schema(value_type = Vec<Object>)]
    pub events: Vec<serde_json::Value>,
    /// Places between them that cannot be read, in words, the first hundred.
    #[serde(default)]
    pub lacks: Vec<String>,
    /// Ask for `after=` this to go on; none while the session has no events.
    pub next: Option<String>,
    /// More are there already.
    pub more: bool,
    /// The session may still do something.
    pub live: bool,
}

/// Ends a session.
#[derive(Clone, Debug, Default, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct KillRequest {
    /// Why, for the record.
    #[serde(default)]
    pub reason: Option<String>,
}

/// A yes.
#[derive(Clone, Debug, Default, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ApproveRequest {
    /// Covers repeats of the same operation for this long (`30m`).
    #[serde(default, rename = "for")]
    pub duration: Option<String>,
    /// Covers repeats of the same operation in the same session.
    #[serde(default)]
    pub session: bool,
    /// Why.
    #[serde(default)]
    pub reason: Option<String>,
}

/// A no.
#[derive(Clone, Debug, Default, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DenyRequest {
    /// Why; the client is told.
    pub reason: String,
}

/// An operation that waits, or waited, for a person.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
pub struct ApprovalView {
    /// Its name.
    pub id: String,
    /// `pending`, `approved`, `denied`, `expired`, `withdrawn`.
    pub status: String,
    /// Who asks.
    pub principal: String,
    /// For whom, with delegation.
    pub on_behalf_of: Option<String>,
    /// On what.
    pub resource: String,
    /// The exact text.
    pub operation: String,
    /// Values beside the text; NULL is null.
    pub parameters: Vec<Option<String>>,
    /// The rules that ask, by name.
    pub rule: String,
    /// The rules that ask, in full.
    pub rules: Vec<ApprovalRuleView>,
    /// The session that asked.
    pub session: String,
    /// Tables read.
    pub reads: Vec<String>,
    /// Tables written.
    pub writes: Vec<String>,
    /// Rows withheld, when the reply is what is held.
    pub rows_seen: Option<u64>,
    /// Sensitive values found in them.
    pub detections: Vec<DetectionView>,
    /// What a yes covers unless the approver says otherwise: `once`, `session`, or seconds.
    pub grant: String,
    /// When it was asked.
    pub requested_at: String,
    /// How long the client is held.
    pub wait_until: String,
    /// How long it can be answered.
    pub expires_at: String,
    /// Who said what.
    pub votes: Vec<VoteView>,
    /// `operation`, or `access` where access for a time is asked for.
    pub kind: String,
    /// That what the yes covered was ended before its time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked: Option<RevocationView>,
    /// Which gateways held an operation for it, where several share the state.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub holders: Vec<HolderView>,
}

/// A gateway that shares the state.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
pub struct GatewayView {
    /// Its name.
    pub gateway: String,
    /// Its build.
    pub version: String,
    /// It is heard.
    pub present: bool,
    /// How long ago it was heard, seconds.
    pub seconds: u64,
}

/// A gateway that held an operation until a request is answered.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
pub struct HolderView {
    /// Which.
    pub gateway: String,
    /// For which session.
    pub session: String,
    /// When the gateway was found to be gone, and with it what it held: nothing was released, and
    /// a repeat at another gateway passes with the yes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gone: Option<String>,
}

/// That what a yes covered was ended before its time.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
pub struct RevocationView {
    /// Who.
    pub by: String,
    /// When.
    pub at: String,
    /// Why.
    pub reason: Option<String>,
}

/// A rule that asks.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
pub struct ApprovalRuleView {
    /// Its name.
    pub rule: String,
    /// Groups whose members may answer.
    pub by: Vec<String>,
    /// How many different people must say yes.
    pub needs: u32,
    /// Who else may answer when nobody did for long.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub escalate: Option<EscalationView>,
}

/// Who else may answer when nobody did for long.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
pub struct EscalationView {
    /// From then on.
    pub at: String,
    /// Groups whose members may answer, too.
    pub to: Vec<String>,
    /// It has come to that.
    pub escalated: bool,
}

/// What one approver said.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
pub struct VoteView {
    /// Who.
    pub by: String,
    /// When.
    pub at: String,
    /// Yes or no.
    pub yes: bool,
    /// Why.
    pub reason: Option<String>,
}

impl From<&Approval> for ApprovalView {
    fn from(approval: &Approval) -> Self {
        let names: Vec<&str> = approval.rules.iter().map(|rule| &*rule.rule).collect();
        Self {
            id: approval.id.to_string(),
            status: approval.status.as_str().to_owned(),
            principal: approval.principal.subject.to_string(),
            on_behalf_of: approval.principal.on_behalf_of.as_deref().map(str::to_owned),
            resource: approval.resource.to_string(),
            operation: approval.text.to_string(),
            parameters: approval.parameters.iter().map(|value| value.value.clone()).collect(),
            rule: names.join(", "),
            rules: approval
                .rules
                .iter()
                .map(|rule| ApprovalRuleView {
                    rule: rule.rule.to_string(),
                    by: strings(&rule.by),
                    needs: rule.needs.max(1),
                    escalate: rule.escalate.as_ref().map(|more| EscalationView {
                        at: format_time(approval.requested_at.plus(more.after)),
                        to: strings(&more.to),
                        escalated: approval.escalated.contains(&rule.rule),
                    }),
                })
                .collect(),
            session: approval.session.0.to_string(),
            reads: strings(&approval.objects.reads),
            writes: strings(&approval.objects.writes),
            rows_seen: approval.rows_seen,
            detections: approval.detections.iter().map(DetectionView::from).collect(),
            grant: match approval.grant {
                GrantScope::Once => "once".to_owned(),
                GrantScope::Session => "session".to_owned(),
                GrantScope::For(length) => format!("{}s", length.as_secs()),
            },
            requested_at: format_time(approval.requested_at),
            wait_until: format_time(approval.wait_until),
            expires_at: format_time(approval.expires_at),
            votes: approval
                .votes
                .iter()
                .map(|vote| VoteView {
                    by: vote.by.to_string(),
                    at: format_time(vote.at),
                    yes: vote.yes,
                    reason: vote.reason.as_deref().map(str::to_owned),
                })
                .collect(),
            kind: if approval.access.is_some() { "access" } else { "operation" }.to_owned(),
            holders: approval
                .holders
                .iter()
                .map(|holder| HolderView {
                    gateway: holder.gateway.to_string(),
                    session: holder.session.0.to_string(),
                    gone: holder.gone.map(format_time),
                })
                .collect(),
            revoked: approval.revoked.as_ref().map(|revoked| RevocationView {
                by: revoked.by.to_string(),
                at: format_time(revoked.at),
                reason: revoked.reason.as_deref().map(str::to_owned),
            }),
        }
    }
}

pub(crate) fn strings(names: &[std::sync::Arc<str>]) -> Vec<String> {
    names.iter().map(ToString::to_string).collect()
}
