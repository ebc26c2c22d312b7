//! The working form that configuration is translated into, and the problems found in it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use jiff::tz::TimeZone;
use model::Resource;

use crate::keep::PayloadPolicy;
use crate::schema::Per;

/// A place in a configuration file.
#[derive(Clone, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub struct Location {
    /// The file, as the user named it.
    pub file: Arc<str>,
    /// Line, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}

/// A value and the place where its first character stands (behind the opening quote, if any).
///
/// Where a text goes over several lines, each is taken to start in the same column, as those of a
/// YAML literal block do.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Located<T> {
    /// The value.
    pub value: T,
    /// Where it was written.
    pub at: Location,
}

impl<T> Located<T> {
    /// `value`, written at `at`.
    pub fn new(value: T, at: Location) -> Self {
        Self { value, at }
    }
}

/// Something wrong in a configuration.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Problem {
    /// Where.
    pub at: Location,
    /// What was found.
    pub message: String,
    /// What would be right: the nearest right word, or what to write instead.
    pub help: Option<String>,
}

impl Problem {
    pub(crate) fn new(at: &Location, message: impl Into<String>) -> Self {
        Self { at: at.clone(), message: message.into(), help: None }
    }

    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.at, self.message)?;
        match &self.help {
            Some(help) => write!(f, " ({help})"),
            None => Ok(()),
        }
    }
}

/// Everything policy is made of.
#[derive(Clone, Debug, Default)]
pub struct PolicySpec {
    /// Tells apart the policies of one process; the caller counts.
    pub version: u64,
    /// The rules, in the order of the configuration.
    pub rules: Vec<RuleSpec>,
    /// Who may reach what.
    pub access: Vec<AccessSpec>,
    /// Named lists of text, `lists.NAME` in conditions.
    pub lists: Vec<(String, Vec<String>)>,
    /// Every registered upstream.
    pub resources: Vec<Resource>,
}

/// A line of `access:`. Grants a party that satisfies every key given; within a key any value does.
#[derive(Clone, Debug, Default)]
pub struct AccessSpec {
    /// Groups of the party.
    pub groups: Vec<Located<String>>,
    /// Subjects; `*` is everyone.
    pub subjects: Vec<Located<String>>,
    /// Resource names or `type:x`; `*` is every resource.
    pub resources: Vec<Located<String>>,
    /// When it grants them: `mon-fri 08:00-18:00`; at all hours when left out.
    pub hours: Vec<Located<String>>,
    /// Whose clocks `hours` and `until` go by; UTC when left out.
    pub zone: Option<TimeZone>,
    /// A date or time from which on it grants nothing any more; a date counts to its end.
    pub until: Option<Located<String>>,
    /// Where the line stands.
    pub at: Location,
}

/// Whom a rule concerns (`for:`). An empty key concerns everyone; within a key any value does,
/// across keys all must hold.
#[derive(Clone, Debug, Default)]
pub struct Applies {
    /// Groups of either party (R12).
    pub groups: Vec<Located<String>>,
    /// Either party's subject.
    pub subjects: Vec<Located<String>>,
    /// `agent`, `person`, `service`.
    pub kinds: Vec<Located<String>>,
}

/// A rule.
#[derive(Clone, Debug)]
pub struct RuleSpec {
    /// Its name; unique.
    pub name: Located<String>,
    /// Whom it concerns.
    pub applies: Applies,
    /// Resource names or `type:x`; empty: every resource.
    pub on: Vec<Located<String>>,
    /// Its condition; none: always.
    pub when: Option<Located<String>>,
    /// What it does.
    pub action: ActionSpec,
    /// `mode: observe`: matches are recorded and take no part in the outcome.
    pub observe: bool,
    /// Window of the sliding facts its condition reads; default [`WINDOW_DEFAULT`].
    pub window: Option<Duration>,
    /// Where the rule stands.
    pub at: Location,
}

/// The window of sliding facts and limits when a rule names none.
pub const WINDOW_DEFAULT: Duration = Duration::from_secs(3600);
/// How long a client is held when a rule does not say.
pub const WAIT_DEFAULT: Duration = Duration::from_secs(120);
/// How long an approval request can be answered when a rule does not say.
pub const EXPIRES_DEFAULT: Duration = Duration::from_secs(600);

/// What a rule does when it matches.
#[derive(Clone, Debug)]
pub enum ActionSpec {
    /// Hides fields.
    Mask(MaskSpec),
    /// Holds the operation for a person.
    Approve(ApproveSpec),
    /// Refuses, with this message; `{fact.name}` stands for the fact's value, which the client then
    /// reads: only facts of the request are accepted.
    Block(Located<String>),
    /// Notifies, with this message.
    Alert(Located<String>),
    /// Refuses past an amount.
    Limit(LimitSpec),
    /// Taints what fields carry and records it.
    Classify(ClassifySpec),
    /// Says how much of the reply is recorded.
    Record(RecordSpec),
}

impl ActionSpec {
    /// The word for it in configuration and records.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Mask(_) => "mask",
            Self::Approve(_) => "approve",
            Self::Block(_) => "block",
            Self::Alert(_) => "alert",
            Self::Limit(_) => "limit",
            Self::Classify(_) => "classify",
            Self::Record(_) => "record",
        }
    }
}

/// `mask:`
#[derive(Clone, Debug, Default)]
pub struct MaskSpec {
    /// Names or globs of fields.
    pub fields: Vec<Located<String>>,
    /// Detection types.
    pub types: Vec<Located<String>>,
    /// `redact` (default), `partial`, `hash`, `null`, `tokenize`.
    pub with: Option<Located<String>>,
    /// `refuse`, `equality`, `allow` (R5).
    pub predicates: Option<Located<String>>,
}

/// `approve:`
#[derive(Clone, Debug, Default)]
pub struct ApproveSpec {
    /// Groups whose members may answer.
    pub by: Vec<Located<String>>,
    /// How many different people must say yes; default 1.
    pub needs: Option<u32>,
    /// How long the client is held; default [`WAIT_DEFAULT`].
    pub wait: Option<Duration>,
    /// How long the request can be answered; default [`EXPIRES_DEFAULT`].
    pub expires: Option<Duration>,
    /// What a yes covers; default [`Grant::Once`].
    pub grant: Option<Grant>,
    /// Rows past which a repeat under the same yes asks again (R11).
    pub rows_max: Option<u64>,
    /// Who else may answer when nobody did for long; default nobody.
    pub escalate: Option<EscalateSpec>,
}

/// `approve.escalate:`
#[derive(Clone, Debug, Default)]
pub struct EscalateSpec {
    /// How long after the request.
    pub after: Option<Duration>,
    /// Groups whose members may answer from then on, too.
    pub to: Vec<Located<String>>,
    /// Where it stands.
    pub at: Location,
}

/// What a yes covers.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Grant {
    /// This operation.
    #[default]
    Once,
    /// The same operation until the session ends.
    Session,
    /// The same operation for this long.
    For(Duration),
}

/// `limit:`
#[derive(Clone, Debug, Default)]
pub struct LimitSpec {
    /// Operations allowed per window.
    pub operations: Option<u64>,
    /// Rows allowed per window.
    pub rows: Option<u64>,
    /// Bytes allowed per window.
    pub bytes: Option<u64>,
    /// Whose use counts.
    pub per: Per,
    /// The window; default [`WINDOW_DEFAULT`].
    pub window: Option<Duration>,
}

/// `classify:`
#[derive(Clone, Debug, Default)]
pub struct ClassifySpec {
    /// Names or globs of fields.
    pub fields: Vec<Located<String>>,
    /// Detection types.
    pub types: Vec<Located<String>>,
}

/// `record:`
#[derive(Clone, Copy, Debug, Default)]
pub struct RecordSpec {
    /// How much of the reply's payload is kept.
    pub payload: Option<PayloadPolicy>,
}
