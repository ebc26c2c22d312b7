//! The facts every operation has, whatever its protocol.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use model::fact::{FactDecl, FactType, Phase, Value};
use model::operation::RowBound;
use model::{Column, DetectionCount, Guess, Principal, Resource, Timestamp};
use policy::{BlockId, Fact, FactId, Facts, Per, Usage};

use crate::shared::SharedSession;
use crate::taint::{Taint, Trail};

/// What is counted and remembered over all sessions of the gateway (and, with shared state, of all
/// gateways).
pub trait Ledger: Send + Sync {
    /// What `subject` did on `resource` within `window` before `now`; with no subject, what
    /// everyone did there.
    fn usage(
        &self,
        subject: Option<&str>,
        resource: &str,
        window: Duration,
        now: Timestamp,
    ) -> Usage;
    /// Counts one more.
    fn add(&self, subject: &str, resource: &str, usage: Usage, now: Timestamp);
    /// Counts what masked fields are compared with, all of it or none (R5).
    fn guess(&self, subject: &str, resource: &str, guesses: &[Guess], now: Timestamp) -> Guessed;
    /// What `subject` received of followed values (R14), with all its sessions.
    fn trail(&self, subject: &str) -> Arc<Trail>;
    /// Keeps values that `subject` is about to be sent. False where they cannot be kept: then they
    /// must not be sent.
    fn keep(&self, subject: &str, taints: &[Taint], now: Timestamp) -> bool;
}

/// Whether a principal may compare masked fields with more values today.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Guessed {
    /// It was counted.
    Within,
    /// The budget of this field is used up: so many different values.
    Spent {
        /// The field, `schema.table.column`.
        field: Arc<str>,
        /// The budget.
        most: u64,
    },
    /// It could not be counted.
    Unknown,
}

const fn decl(name: &'static str, kind: FactType, phase: Phase, about: &'static str) -> FactDecl {
    FactDecl { name, kind, phase, about, carries: false }
}

/// Facts of block 0: identity, resource, session, usage, reply. The order is the order of
/// [`FactId::index`].
pub static COMMON_FACTS: &[FactDecl] = &[
    decl("principal.subject", FactType::Text, Phase::Request, "who asks, as proved"),
    decl("principal.kind", FactType::Text, Phase::Request, "agent, person or service"),
    decl("principal.groups", FactType::TextList, Phase::Request, "groups of the principal"),
    decl("principal.issuer", FactType::Text, Phase::Request, "who vouched for the principal"),
    decl("principal.on_behalf_of", FactType::Text, Phase::Request, "for whom, or empty"),
    decl("resource.name", FactType::Text, Phase::Request, "name of the resource"),
    decl("resource.type", FactType::Text, Phase::Request, "type of the resource"),
    decl("session.id", FactType::Text, Phase::Request, "the session"),
    decl("session.age", FactType::Duration, Phase::Request, "time since the session began"),
    decl("session.rows", FactType::Int, Phase::Request, "rows this session was sent"),
    decl("session.bytes", FactType::Int, Phase::Request, "bytes this session was sent"),
    decl("session.operations", FactType::Int, Phase::Request, "operations of this session so far"),
    decl("now", FactType::Time, Phase::Request, "the time, UTC"),
    decl(
        "principal.rows",
        FactType::Int,
        Phase::Request,
        "rows sent to the principal in the window",
    ),
    decl(
        "principal.bytes",
        FactType::Int,
        Phase::Request,
        "bytes sent to the principal in the window",
    ),
    decl("principal.operations", FactType::Int, Phase::Request, "operations in the window"),
    decl("result.rows", FactType::Int, Phase::Reply, "rows returned so far by this operation"),
    decl("result.bytes", FactType::Int, Phase::Reply, "bytes returned so far by this operation"),
    decl("result.columns", FactType::TextList, Phase::Reply, "labels and origins of the columns"),
    decl("result.detections", FactType::TextList, Phase::Reply, "types of sensitive values seen"),
];

/// `result.detections` among them.
pub(crate) const RESULT_DETECTIONS: FactId = FactId { block: BlockId::COMMON, index: 19 };

/// What of a session rules can see; fixed parts are made once.
pub(crate) struct SessionFacts {
    pub subject: Arc<str>,
    pub resource: Arc<str>,
    fixed: [Value; 8],
    pub started: Timestamp,
    pub rows: u64,
    pub bytes: u64,
    pub operations: u64,
}

impl SessionFacts {
    pub fn new(principal: &Principal, resource: &Resource, session: &str, now: Timestamp) -> Self {
        Self {
            subject: Arc::clone(&principal.subject),
            resource: Arc::clone(&resource.name),
            fixed: [
                Value::Text(Arc::clone(&principal.subject)),
                Value::Text(principal.kind.as_str().into()),
                Value::TextList(principal.groups.clone().into()),
                Value::Text(Arc::clone(&principal.issuer)),
                Value::Text(principal.on_behalf_of.clone().unwrap_or_else(|| "".into())),
                Value::Text(Arc::clone(&resource.name)),
                Value::Text(Arc::clone(&resource.kind)),
                Value::Text(session.into()),
            ],
            started: now,
            rows: 0,
            bytes: 0,
            operations: 0,
        }
    }
}

impl SessionFacts {
    /// Takes over what the session's connections counted together.
    pub fn catch_up(&mut self, shared: &SharedSession) {
        self.operations = shared.operations.load(Ordering::Relaxed);
        self.rows = shared.rows.load(Ordering::Relaxed);
        self.bytes = shared.bytes.load(Ordering::Relaxed);
    }
}

/// How far the reply is.
pub(crate) enum ReplyFacts<'a> {
    /// Nothing came yet; at most this many rows can.
    Ahead { already: u64, bound: RowBound },
    /// It is coming: so much so far.
    Streaming { rows: u64, bytes: u64, columns: &'a [Column] },
    /// It is complete, and was searched for what was detected: all of it, or not.
    Complete {
        rows: u64,
        bytes: u64,
        columns: &'a [Column],
        detections: &'a [DetectionCount],
        searched: bool,
    },
}

/// Facts of one operation at one moment.
pub(crate) struct OperationFacts<'a> {
    pub session: &'a SessionFacts,
    pub block: BlockId,
    pub facts: &'a [Value],
    pub reply: ReplyFacts<'a>,
    pub ledger: &'a dyn Ledger,
    pub now: Timestamp,
}

impl Facts for OperationFacts<'_> {
    fn fact(&self, id: FactId, window: Duration) -> Fact {
        if id.block == BlockId(0) {
            return self.common(id.index, window);
        }
        if id.block != self.block {
            return Fact::Absent;
        }
        match self.facts.get(usize::from(id.index)) {
            Some(value) => Fact::Known(value.clone()),
            None => Fact::Known(Value::Failed("the protocol gave no value")),
        }
    }

    fn seen(&self, id: FactId, window: Duration) -> Fact {
        match &self.reply {
            ReplyFacts::Complete { detections, .. } if id == RESULT_DETECTIONS => kinds(detections),
            _ => self.fact(id, window),
        }
    }

    fn usage(&self, per: Per, window: Duration) -> Usage {
        let subject = match per {
            Per::Principal => Some(&*self.session.subject),
            Per::Resource => None,
        };
        self.ledger.usage(subject, &self.session.resource, window, self.now)
    }
}

impl OperationFacts<'_> {
    fn common(&self, index: u16, window: Duration) -> Fact {
        let session = self.session;
        let own =
            |window| self.ledger.usage(Some(&session.subject), &session.resource, window, self.now);
        Fact::Known(match index {
            0..=7 => match session.fixed.get(usize::from(index)) {
                Some(value) => value.clone(),
                None => return Fact::Absent,
            },
            8 => Value::Duration(
                u64::try_from(self.now.since(session.started).as_nanos()).unwrap_or(u64::MAX),
            ),
            9 => int(session.rows),
            10 => int(session.bytes),
            11 => int(session.operations),
            12 => Value::Time(self.now.0),
            13 => int(own(window).rows),
            14 => int(own(window).bytes),
            15 => int(own(window).operations),
            16..=19 => return self.reply(index),
            _ => return Fact::Absent,
        })
    }

    fn reply(&self, index: u16) -> Fact {
        match (&self.reply, index) {
            (ReplyFacts::Ahead { bound: RowBound::NoRows, .. }, 16) => Fact::Known(Value::Int(0)),
            (ReplyFacts::Ahead { already, bound }, 16) => Fact::Range {
                low: clip(*already),
                high: match bound {
                    RowBound::AtMost(rows) => clip(already.saturating_add(*rows)),
                    RowBound::NoRows | RowBound::Unbounded => i64::MAX,
                },
            },
            // Nothing can come back, so everything about the reply is known.
            (ReplyFacts::Ahead { already: 0, bound: RowBound::AtMost(0) }, 17) => {
                Fact::Known(Value::Int(0))
            }
            (ReplyFacts::Ahead { already: 0, bound: RowBound::AtMost(0) }, _) => {
                Fact::Known(Value::TextList(Arc::new([])))
            }
            (ReplyFacts::Ahead { .. }, 17) => Fact::Range { low: 0, high: i64::MAX },
            (ReplyFacts::Ahead { .. }, _) => Fact::Pending,
            (ReplyFacts::Streaming { rows, .. }, 16) => {
                Fact::Range { low: clip(*rows), high: i64::MAX }
            }
            (ReplyFacts::Streaming { bytes, .. }, 17) => {
                Fact::Range { low: clip(*bytes), high: i64::MAX }
            }
            (ReplyFacts::Streaming { columns, .. }, 18) if !columns.is_empty() => {
                Fact::Known(column_names(columns))
            }
            (ReplyFacts::Streaming { .. }, _) => Fact::Pending,
            (ReplyFacts::Complete { rows, .. }, 16) => Fact::Known(int(*rows)),
            (ReplyFacts::Complete { bytes, .. }, 17) => Fact::Known(int(*bytes)),
            (ReplyFacts::Complete { columns, .. }, 18) => Fact::Known(column_names(columns)),
            (ReplyFacts::Complete { searched: false, .. }, _) => {
                Fact::Known(Value::Failed("a part of the reply cannot be searched"))
            }
            (ReplyFacts::Complete { detections, .. }, _) => kinds(detections),
        }
    }
}

fn kinds(detections: &[DetectionCount]) -> Fact {
    Fact::Known(Value::TextList(detections.iter().map(|found| Arc::clone(&found.kind)).collect()))
}

fn column_names(columns: &[Column]) -> Value {
    let labels = columns.iter().map(|column| Arc::clone(&column.label));
    let origins = columns.iter().flat_map(|column| &column.origins).map(|o| o.path().into());
    Value::TextList(labels.chain(origins).collect())
}

fn clip(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

fn int(count: u64) -> Value {
    Value::Int(clip(count))
}
