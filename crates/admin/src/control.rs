//! What only the running gateway knows, asked through one small trait.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use model::{PrincipalKind, Resource, Timestamp};
use policy::PolicySet;
use serde::{Deserialize, Serialize};
use store::ApprovalRule;
use utoipa::ToSchema;

/// The running gateway, as the API sees it. Written by the binary. Calls may block for a moment:
/// they are made outside the data path.
pub trait Control: Send + Sync + 'static {
    /// The time.
    fn now(&self) -> Timestamp;
    /// Reads the configuration again and puts it in force: all of it or nothing.
    ///
    /// # Errors
    ///
    /// Everything wrong with the new configuration; the old one stays in force.
    fn reload(&self) -> Result<Reloaded, Vec<ProblemView>>;
    /// Says what the rules would do with an operation.
    ///
    /// # Errors
    ///
    /// When the question cannot be answered.
    fn explain(&self, ask: &ExplainRequest) -> Result<ExplainAnswer, ExplainError>;
    /// Answers a question from the recordings: JSON, in the form of the archive's own answers.
    ///
    /// # Errors
    ///
    /// When the recordings cannot be read.
    fn audit(&self, question: &AuditQuestion) -> Result<serde_json::Value, AuditError>;
    /// Erases the keys of what a session, or all sessions of a subject, said; how many there were.
    /// None, if they were erased before.
    ///
    /// # Errors
    ///
    /// When the keys cannot be read or written, when there never were any, and when something of it
    /// is on hold.
    fn erase(&self, whose: &EraseRequest) -> Result<usize, AuditError>;
    /// Puts recordings on hold, in the name of `by`.
    ///
    /// # Errors
    ///
    /// When the hold is not in force, or does not reach everything yet; the words say which.
    fn hold(&self, ask: &HoldRequest, by: &str) -> Result<HoldAnswer, AuditError>;
    /// Ends a hold, in the name of `by`.
    ///
    /// # Errors
    ///
    /// When there is none such, or the store cannot be written.
    fn release(&self, ask: &ReleaseRequest, by: &str) -> Result<HoldAnswer, AuditError>;
    /// Every hold, the earliest first.
    ///
    /// # Errors
    ///
    /// When they cannot be read.
    fn holds(&self) -> Result<Vec<HoldView>, AuditError>;
    /// Wraps the keys of what is sealed in the archive anew, with the current key: those of all
    /// gateways, for some seconds, from behind the object `after` on.
    ///
    /// # Errors
    ///
    /// When nothing is sealed here, or the store or the current key cannot be used. What was done
    /// stays done.
    fn rewrap(&self, after: Option<&str>) -> Result<Rewrapped, AuditError>;
    /// The policy in force, with the access that was given for a time.
    fn policy(&self) -> Arc<PolicySet>;
    /// How access to a resource is asked for; `None` when it cannot be, or there is no such.
    fn request_plan(&self, resource: &str) -> Option<(Resource, RequestPlan)>;
    /// Answers a question of another gateway about the data path; `None` if it is of no kind that
    /// is known here.
    fn attend(&self, what: &str, about: &str) -> Option<String>;
    /// Every registered upstream.
    fn places(&self) -> Vec<Resource>;
    /// Why the gateway is not ready, the journal left aside; empty when it is.
    fn unready(&self) -> Vec<String>;
    /// The journal did not take the last record of the data path.
    fn journal_failing(&self) -> bool;
    /// The upstreams in force.
    fn resources(&self) -> Vec<ResourceView>;
    /// What was counted since the start.
    fn counters(&self) -> Counters;
}

/// How access to a resource is asked for.
#[derive(Clone, Debug)]
pub struct RequestPlan {
    /// Who may answer, and how many have to say yes.
    pub rule: ApprovalRule,
    /// Longest time that can be asked for.
    pub max: Duration,
    /// How long a request can be answered.
    pub expires: Duration,
}

/// A time in which something happened.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Span {
    /// From.
    pub from: Timestamp,
    /// Until, without it.
    pub to: Timestamp,
}

/// What is asked of the recordings.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum AuditQuestion {
    /// Who used a table.
    Who {
        /// `schema.table`, or `table` in any schema.
        table: String,
        /// When.
        span: Span,
    },
    /// Which fields were returned.
    Fields {
        /// In this session.
        session: Option<String>,
        /// To this subject.
        principal: Option<String>,
        /// When.
        span: Span,
    },
    /// Whether sensitive values were sent.
    Pii {
        /// When.
        span: Span,
    },
    /// Where a text occurs.
    Search {
        /// The text.
        text: String,
        /// When.
        span: Span,
    },
}

/// Whose words are to become unreadable. Exactly one of the two.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EraseRequest {
    /// Of one session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    /// Of all sessions of this subject.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub principal: Option<String>,
    /// Why, for the record.
    pub reason: String,
}

/// What was erased.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
pub struct Erased {
    /// Keys: one for each session and segment of the journal. 0 if they were erased before.
    pub keys: usize,
}

/// What is to be put on hold: exactly one of a session, a subject, and a time.
#[derive(Clone, Debug, Default, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct HoldRequest {
    /// What happened in this session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    /// What this subject did, and does from now on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub principal: Option<String>,
    /// What happened from this time on (RFC 3339).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// And before this time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// Why, for the record.
    pub reason: String,
}

/// Which hold is to end: exactly one of the three names it.
#[derive(Clone, Debug, Default, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReleaseRequest {
    /// Its id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The session on hold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    /// The subject on hold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub principal: Option<String>,
    /// Why, for the record.
    pub reason: String,
}

/// What became of a hold.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
pub struct HoldAnswer {
    /// Its id.
    pub id: String,
    /// Files of the archive that the store was told to keep, or need not keep any more.
    pub files: u64,
    /// Manifests that name them.
    pub manifests: u64,
    /// The store was told; `false` when it is one that cannot lock files.
    pub locks: bool,
    /// What could not be looked into, in words.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unread: Vec<String>,
}

/// A hold.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
pub struct HoldView {
    /// Its id.
    pub id: String,
    /// The session on hold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    /// The subject on hold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub principal: Option<String>,
    /// The time on hold: from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// The time on hold: until.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// Why.
    pub reason: String,
    /// Who asked for it.
    pub by: String,
    /// When.
    pub at: String,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub released_at: Option<String>,
    /// Who ended it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub released_by: Option<String>,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub released_reason: Option<String>,
}

/// Where to go on with wrapping keys anew.
#[derive(Clone, Debug, Default, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RewrapRequest {
    /// What an earlier answer has as `next`. Default: from the first object on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
}

/// What became of the keys that were wrapped by former ones.
#[derive(Clone, Debug, Default, Deserialize, Serialize, ToSchema)]
pub struct Rewrapped {
    /// The key that wraps now; null where there was nothing to wrap.
    pub current: Option<String>,
    /// Segments whose keys were looked at.
    pub segments: u64,
    /// Data keys that were wrapped anew.
    pub rewrapped: u64,
    /// Data keys that the current key had wrapped already.
    pub already: u64,
    /// Data keys that could not be opened, by the key that wraps them; 100 of these at most.
    pub unopened: Vec<Unopened>,
    /// Objects that are no keys of a segment, and why; 100 at most.
    pub unread: Vec<String>,
    /// How many more keys could not be opened, and objects not read, than are named.
    pub more: u64,
    /// Where to go on, if this is not all.
    pub next: Option<String>,
}

/// Data keys that could not be opened.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
pub struct Unopened {
    /// What wraps them.
    pub key_id: String,
    /// How many.
    pub keys: u64,
    /// Why the first of them does not open.
    pub why: String,
}

/// Why a question has no answer.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum AuditError {
    /// The recordings cannot be read now; why.
    Unavailable(String),
    /// There is nothing of what is asked about; why.
    Nothing(String),
    /// It is on hold; by what.
    Held(String),
}

/// A configuration that was put in force.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
pub struct Reloaded {
    /// How many rules it has.
    pub rules: usize,
    /// How many resources it has.
    pub resources: usize,
    /// What should be known about it, and settings that take effect at the next start only.
    pub warnings: Vec<String>,
    /// Which rules are in force, told apart by what they say: the end of the record's detail.
    #[serde(skip)]
    pub digests: String,
}

/// Something wrong in the configuration.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
pub struct ProblemView {
    /// The file.
    pub file: String,
    /// The line, from 1.
    pub line: u32,
    /// The column in characters, from 1.
    pub column: u32,
    /// What was found.
    pub message: String,
    /// What would be right.
    pub help: Option<String>,
}

impl std::fmt::Display for ProblemView {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}:{}: {}", self.file, self.line, self.column, self.message)?;
        match &self.help {
            Some(help) => write!(f, " ({help})"),
            None => Ok(()),
        }
    }
}

/// A registered upstream, without secrets.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
pub struct ResourceView {
    /// Its name.
    pub name: String,
    /// Its type.
    #[serde(rename = "type")]
    pub kind: String,
    /// Host and port.
    pub address: String,
    /// What is opened there.
    pub database: String,
    /// The account of the gateway.
    pub user: String,
    /// `verify-full`, `require` or `off`.
    pub tls: String,
    /// Why it cannot be used: a secret that it needs could never be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_ready: Option<String>,
}

/// An operation to explain, for a principal that need not exist.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ExplainRequest {
    /// The subject who would ask.
    #[serde(rename = "as")]
    pub subject: String,
    /// Groups of the subject.
    #[serde(default)]
    pub groups: Vec<String>,
    /// Agent, person or service.
    #[serde(default)]
    #[schema(value_type = String, example = "agent")]
    pub kind: PrincipalKind,
    /// The resource.
    pub on: String,
    /// The operation's text.
    pub text: String,
}

/// What the rules say.
#[derive(Clone, Debug, Default, Deserialize, Serialize, ToSchema)]
pub struct ExplainAnswer {
    /// The principal may reach the resource.
    pub access: bool,
    /// The strictest decision: `allow`, `mask`, `hold` or `block`.
    pub decision: String,
    /// What else should be known.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// Each operation of the text.
    pub operations: Vec<ExplainedOperation>,
}

/// One operation.
#[derive(Clone, Debug, Default, Deserialize, Serialize, ToSchema)]
pub struct ExplainedOperation {
    /// Its text.
    pub text: String,
    /// `allow`, `mask`, `hold` or `block`.
    pub decision: String,
    /// A fixed word for the reason of a refusal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What the client would be told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// The facts that rules can read, by name.
    pub facts: BTreeMap<String, String>,
    /// Every rule that concerns the principal there.
    pub rules: Vec<ExplainedRule>,
    /// What it does, in words.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub does: Vec<String>,
    /// The columns of its reply.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub columns: Vec<ExplainedColumn>,
    /// Masked fields that it uses where no mask can be put over them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub uses: Vec<ExplainedUse>,
    /// Types of values that are looked for and hidden in the other columns.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub detections: Vec<ExplainedDetection>,
}

/// What a rule says about it.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
pub struct ExplainedRule {
    /// Its name.
    pub rule: String,
    /// Its action.
    pub action: String,
    /// `matches`, `pending`, `no match`, `not applicable` or `fails`.
    pub state: String,
    /// It takes no part in the outcome.
    pub observed: bool,
    /// Why, in words.
    pub why: String,
}

/// A column of a reply.
#[derive(Clone, Debug, Default, Deserialize, Serialize, ToSchema)]
pub struct ExplainedColumn {
    /// Its label.
    pub column: String,
    /// The stored fields its value can depend on.
    pub from: Vec<String>,
    /// It is that field as stored, not made of it.
    pub direct: bool,
    /// It may depend on more than that.
    pub unknown: bool,
    /// How it is hidden, if it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mask: Option<String>,
    /// The rules that ask for it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<String>,
    /// It is hidden for its label, because no stored field is known for it (R8).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub best_effort: bool,
}

/// A masked field where no mask can be put over it.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
pub struct ExplainedUse {
    /// Which.
    pub field: String,
    /// What is done with it.
    pub place: String,
    /// What follows.
    pub outcome: String,
}

/// A type of values that is hidden wherever it is recognised (R8).
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
pub struct ExplainedDetection {
    /// The type.
    #[serde(rename = "type")]
    pub kind: String,
    /// How.
    pub with: String,
    /// The rules that ask for it.
    pub rules: Vec<String>,
}

/// Why a question could not be answered.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum ExplainError {
    /// There is no such resource; the nearest name, if any.
    UnknownResource(Option<String>),
    /// The gateway does not know enough about the upstream (yet).
    Unavailable(String),
}

/// What the gateway counted since its start, and what it holds now.
#[derive(Clone, Debug, Default)]
pub struct Counters {
    /// Client connections now, identified or not.
    pub connections: u64,
    /// Sessions let in.
    pub sessions_total: u64,
    /// Clients turned away, by reason.
    pub refused: BTreeMap<String, u64>,
    /// Decisions on operations, by verdict.
    pub decisions: BTreeMap<&'static str, u64>,
    /// Rows sent to clients.
    pub rows: u64,
    /// Bytes of replies sent to clients.
    pub bytes: u64,
    /// Bytes of replies withheld now.
    pub withheld_bytes: u64,
    /// Batches the journal could not take.
    pub journal_errors: u64,
    /// Operations that passed unrecorded and are not in a gap event yet.
    pub unrecorded: u64,
    /// Upstreams that could not be used, by reason.
    pub upstream_errors: BTreeMap<String, u64>,
    /// Alerts given.
    pub alerts: u64,
    /// How the archive stands; `None` when there is to be none.
    pub archive: Option<ArchiveCounters>,
}

/// How the archive stands.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct ArchiveCounters {
    /// Manifests signed in all.
    pub manifests: u64,
    /// The number of the last event archived.
    pub last_event: u64,
    /// The last round did not end, or what makes the archive has ended.
    pub failing: bool,
}
