//! The facts of a recorded operation, as far as the record tells them.

use std::sync::Arc;
use std::time::Duration;

use engine::COMMON_FACTS;
use model::operation::RowBound;
use model::{Principal, Resource, Timestamp, Value};
use policy::{BlockId, Fact, FactId, Facts, Per, Usage};

use super::usage::{Bounds, Ledgers};

/// Who asks, where, and what they did so far.
pub struct Session {
    /// Its name.
    pub id: Arc<str>,
    /// Who.
    pub principal: Principal,
    /// What is reached.
    pub resource: Resource,
    /// When it began.
    pub started: Timestamp,
    /// What it did, from its beginning or from where reading began.
    pub used: Bounds,
    /// It did something before that was not read.
    pub is_partial: bool,
}

/// How far the reply is.
#[derive(Clone, Debug)]
pub enum Reply {
    /// Nothing came yet; so many rows came before it, if that is known, and at most so many can.
    Ahead {
        /// See above.
        already: Option<u64>,
        /// See above.
        bound: RowBound,
    },
    /// It is complete, or more of it is not known.
    Complete {
        /// Rows, at least and at most.
        rows: (u64, u64),
        /// Bytes, likewise.
        bytes: (u64, u64),
        /// Labels and origins of its columns.
        columns: Option<Value>,
        /// Types of sensitive values in it.
        detections: Option<Value>,
    },
}

impl Reply {
    /// One of which nothing is recorded.
    pub const UNKNOWN: Self = Self::Complete {
        rows: (0, u64::MAX),
        bytes: (0, u64::MAX),
        columns: None,
        detections: None,
    };
}

/// The facts of one operation at one moment.
pub struct Known<'a> {
    /// Who asks.
    pub session: &'a Session,
    /// Where the protocol's facts are.
    pub block: BlockId,
    /// Their values.
    pub values: &'a [Option<Value>],
    /// How far the reply is.
    pub reply: &'a Reply,
    /// What was used.
    pub ledgers: &'a Ledgers,
    /// When.
    pub now: Timestamp,
    /// Whether what was used is taken as it is recorded, or as unknown where it may have been more.
    pub as_recorded: bool,
}

impl Known<'_> {
    /// Whether the record does not tell a fact.
    pub fn is_unknown(&self, id: FactId) -> bool {
        if id.block == self.block {
            return self.values.get(usize::from(id.index)).is_none_or(Option::is_none);
        }
        let declared = COMMON_FACTS.get(usize::from(id.index));
        let name = declared.filter(|_| id.block == BlockId::COMMON).map_or("", |fact| fact.name);
        match (name, self.reply) {
            ("session.rows" | "session.bytes" | "session.operations", _) => {
                self.session.is_partial || !self.as_recorded && !self.session.used.is_exact()
            }
            ("principal.rows" | "principal.bytes" | "principal.operations", _) => {
                !self.as_recorded && !self.is_exact()
            }
            ("result.rows", Reply::Ahead { already, .. }) => already.is_none(),
            ("result.rows", Reply::Complete { rows: (low, high), .. })
            | ("result.bytes", Reply::Complete { bytes: (low, high), .. }) => low != high,
            ("result.columns", Reply::Complete { columns, .. }) => columns.is_none(),
            ("result.detections", Reply::Complete { detections, .. }) => detections.is_none(),
            _ => false,
        }
    }

    /// Whether everything that was used is known.
    pub fn is_exact(&self) -> bool {
        let Session { principal, resource, .. } = self.session;
        self.session.used.is_exact()
            && self.ledgers.is_exact(&principal.subject, &resource.name, self.now)
    }

    fn used(&self, window: Duration) -> Bounds {
        let Session { principal, resource, .. } = self.session;
        self.ledgers.used(Some(&principal.subject), &resource.name, window, self.now)
    }

    fn reply(&self, name: &str) -> Fact {
        let list = || Fact::Known(Value::TextList(Arc::new([])));
        match (self.reply, name) {
            (Reply::Ahead { already, bound }, "result.rows") => match (already, bound) {
                (_, RowBound::NoRows) => Fact::Known(Value::Int(0)),
                (Some(already), RowBound::AtMost(rows)) => {
                    between((*already, already.saturating_add(*rows)))
                }
                (already, _) => Fact::Range { low: clip(already.unwrap_or(0)), high: i64::MAX },
            },
            // Nothing can come back, so everything about the reply is known.
            (Reply::Ahead { already: Some(0), bound: RowBound::AtMost(0) }, name) => match name {
                "result.bytes" => Fact::Known(Value::Int(0)),
                _ => list(),
            },
            (Reply::Ahead { .. }, "result.bytes") => Fact::Range { low: 0, high: i64::MAX },
            (Reply::Ahead { .. }, _) => Fact::Pending,
            (Reply::Complete { rows, .. }, "result.rows") => exactly(*rows),
            (Reply::Complete { bytes, .. }, "result.bytes") => exactly(*bytes),
            (Reply::Complete { columns, .. }, "result.columns") => known(columns),
            (Reply::Complete { detections, .. }, _) => known(detections),
        }
    }
}

impl Facts for Known<'_> {
    fn fact(&self, id: FactId, window: Duration) -> Fact {
        let index = usize::from(id.index);
        if id.block == self.block {
            return self.values.get(index).cloned().flatten().map_or(Fact::Pending, Fact::Known);
        }
        if id.block != BlockId::COMMON {
            return Fact::Absent;
        }
        let Some(declared) = COMMON_FACTS.get(index) else { return Fact::Absent };
        let (who, what) = (&self.session.principal, &self.session.resource);
        let bounds = |of: Bounds, amount: fn(&Usage) -> u64| {
            let most = if self.as_recorded { of.recorded } else { of.most };
            exactly((amount(&of.recorded), amount(&most)))
        };
        let of_session = |amount: fn(&Usage) -> u64| match self.session.is_partial {
            true => between((amount(&self.session.used.recorded), u64::MAX)),
            false => bounds(self.session.used, amount),
        };
        let text = |text: &Arc<str>| Fact::Known(Value::Text(Arc::clone(text)));
        match declared.name {
            "principal.subject" => text(&who.subject),
            "principal.kind" => Fact::Known(Value::Text(who.kind.as_str().into())),
            "principal.groups" => Fact::Known(Value::TextList(who.groups.clone().into())),
            "principal.issuer" => text(&who.issuer),
            "principal.on_behalf_of" => {
                let party = who.on_behalf_of.clone().unwrap_or_else(|| "".into());
                Fact::Known(Value::Text(party))
            }
            "resource.name" => text(&what.name),
            "resource.type" => text(&what.kind),
            "session.id" => text(&self.session.id),
            "session.age" => {
                let age = self.now.since(self.session.started).as_nanos();
                Fact::Known(Value::Duration(u64::try_from(age).unwrap_or(u64::MAX)))
            }
            "session.rows" => of_session(|used| used.rows),
            "session.bytes" => of_session(|used| used.bytes),
            "session.operations" => of_session(|used| used.operations),
            "now" => Fact::Known(Value::Time(self.now.0)),
            "principal.rows" => bounds(self.used(window), |used| used.rows),
            "principal.bytes" => bounds(self.used(window), |used| used.bytes),
            "principal.operations" => bounds(self.used(window), |used| used.operations),
            name if name.starts_with("result.") => self.reply(name),
            // A fact that this does not know yet is not known.
            _ => Fact::Pending,
        }
    }

    fn usage(&self, per: Per, window: Duration) -> Usage {
        let Session { principal, resource, .. } = self.session;
        let subject = (per == Per::Principal).then_some(&*principal.subject);
        let bounds = self.ledgers.used(subject, &resource.name, window, self.now);
        if self.as_recorded { bounds.recorded } else { bounds.most }
    }
}

fn known(value: &Option<Value>) -> Fact {
    value.clone().map_or(Fact::Pending, Fact::Known)
}

fn clip(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

fn between((low, high): (u64, u64)) -> Fact {
    Fact::Range { low: clip(low), high: clip(high) }
}

/// One value where both are the same.
fn exactly(bounds: (u64, u64)) -> Fact {
    match bounds.0 == bounds.1 {
        true => Fact::Known(Value::Int(clip(bounds.0))),
        false => between(bounds),
    }
}
