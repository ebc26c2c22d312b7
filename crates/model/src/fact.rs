//! Facts: the typed values that rules are written over. Each protocol declares its own.

use std::fmt;
use std::sync::Arc;

/// The type of a fact, and of any expression over facts.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum FactType {
    /// True or false.
    Bool,
    /// A signed 64-bit integer.
    Int,
    /// Text.
    Text,
    /// A list of texts.
    TextList,
    /// Texts by name; names are unique.
    TextMap,
    /// A point in time.
    Time,
    /// A length of time.
    Duration,
}

impl fmt::Display for FactType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Bool => "bool",
            Self::Int => "int",
            Self::Text => "text",
            Self::TextList => "list of text",
            Self::TextMap => "map of text",
            Self::Time => "time",
            Self::Duration => "duration",
        })
    }
}

/// When a fact is known.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Phase {
    /// Before the operation runs.
    Request,
    /// While and after its reply streams (R3).
    Reply,
}

/// Declares one fact.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct FactDecl {
    /// Its full name: `sql.verbs`.
    pub name: &'static str,
    /// Its type.
    pub kind: FactType,
    /// When it is known.
    pub phase: Phase,
    /// One sentence for the guide, the schema and error messages.
    pub about: &'static str,
    /// It says what a request repeats of values that its principal received before (R14). While a
    /// rule reads such a fact, replies are followed.
    pub carries: bool,
}

/// The value of a fact. Cloning is cheap.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// See [`FactType::Bool`].
    Bool(bool),
    /// See [`FactType::Int`].
    Int(i64),
    /// See [`FactType::Text`].
    Text(Arc<str>),
    /// See [`FactType::TextList`].
    TextList(Arc<[Arc<str>]>),
    /// See [`FactType::TextMap`].
    TextMap(Arc<[(Arc<str>, Arc<str>)]>),
    /// See [`FactType::Time`]; nanoseconds since 1970-01-01 UTC.
    Time(u64),
    /// See [`FactType::Duration`]; nanoseconds.
    Duration(u64),
    /// The fact could not be computed; a rule that reads it refuses the operation (P2). Holds fixed
    /// words that say why.
    Failed(&'static str),
}

impl Value {
    /// The type of this value; `None` for [`Value::Failed`].
    #[must_use]
    pub fn kind(&self) -> Option<FactType> {
        Some(match self {
            Self::Bool(_) => FactType::Bool,
            Self::Int(_) => FactType::Int,
            Self::Text(_) => FactType::Text,
            Self::TextList(_) => FactType::TextList,
            Self::TextMap(_) => FactType::TextMap,
            Self::Time(_) => FactType::Time,
            Self::Duration(_) => FactType::Duration,
            Self::Failed(_) => return None,
        })
    }
}
