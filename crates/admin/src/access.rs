//! What the API says about access, and takes.

use serde::{Deserialize, Serialize};
use store::{AccessGrant, Approval, Status};
use utoipa::ToSchema;

use crate::words::format_time;

/// A request for access, for the holder of the token.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AccessRequest {
    /// To what.
    pub resource: String,
    /// For how long, from the yes on: `2h`.
    #[serde(rename = "for")]
    pub duration: String,
    /// Why; whoever answers reads it.
    pub reason: String,
}

/// What whoever asked may know of their request.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
pub struct RequestState {
    /// Its name.
    pub id: String,
    /// `pending`, `approved`, `denied`, `expired`, `withdrawn`.
    pub status: String,
    /// What was said with the last answer.
    pub reason: Option<String>,
    /// How long it can be answered.
    pub expires_at: String,
    /// When the access ends that the yes gave.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
}

impl RequestState {
    pub(crate) fn of(approval: &Approval, access: &[AccessGrant]) -> Self {
        let vote = approval.votes.last().filter(|_| approval.status != Status::Pending);
        let given = access.iter().find(|given| given.approval == approval.id);
        Self {
            id: approval.id.to_string(),
            status: approval.status.as_str().to_owned(),
            reason: vote.and_then(|vote| vote.reason.as_deref()).map(str::to_owned),
            expires_at: format_time(approval.expires_at),
            until: given.map(|given| format_time(given.until)),
        }
    }
}

/// Who has access to what.
#[derive(Clone, Debug, Default, Deserialize, Serialize, ToSchema)]
pub struct AccessAnswer {
    /// About whom, where it was asked what somebody can reach.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// The groups that were taken for theirs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<String>,
    /// Everything that gives access.
    pub entries: Vec<AccessEntry>,
}

/// Something that gives access: a line of the configuration, or a yes to a request.
#[derive(Clone, Debug, Default, Deserialize, Serialize, ToSchema)]
pub struct AccessEntry {
    /// To what.
    pub resource: String,
    /// To members of any of these groups; with `subjects`, to whom both apply.
    pub groups: Vec<String>,
    /// To these subjects; `*` is everyone.
    pub subjects: Vec<String>,
    /// In these hours; none: always.
    pub hours: Vec<String>,
    /// Whose clocks they go by; UTC when null.
    pub timezone: Option<String>,
    /// When it ends for good.
    pub until: Option<String>,
    /// Whether it is open now.
    pub open: bool,
    /// When it closes, or opens.
    pub changes_at: Option<String>,
    /// The line of the configuration, `file:line:column`.
    pub line: Option<String>,
    /// The approval, where it was given on request.
    pub approval: Option<String>,
    /// Who approved it.
    pub approved_by: Vec<String>,
    /// Why it was asked for.
    pub reason: Option<String>,
    /// Tokens that are good now and have it.
    pub holders: Vec<Holder>,
}

/// A token that has access.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
pub struct Holder {
    /// Who it stands for.
    pub subject: String,
    /// `agent`, `person`, `service`.
    pub kind: String,
    /// Their groups.
    pub groups: Vec<String>,
    /// Its public name.
    pub token: String,
    /// When it ends.
    pub expires_at: Option<String>,
}

/// Ends what a yes still covers.
#[derive(Clone, Debug, Default, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RevokeRequest {
    /// Why, for the record.
    #[serde(default)]
    pub reason: Option<String>,
}

/// An approval as its caller may know it: whole for those who may answer it, its state for whoever
/// asked.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub(crate) enum ApprovalAnswer {
    /// For those who may answer.
    Whole(Box<crate::dto::ApprovalView>),
    /// For whoever asked.
    State(RequestState),
}
