//! What a client asks an upstream to do, in words every protocol shares.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::fact::Value;

/// Numbers operations within one connection; the first is 1.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(transparent)]
pub struct OperationId(pub u64);

/// A stream of operations whose answers must keep their order: a database connection, an HTTP/2
/// stream, an SSH channel.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Lane(pub u32);

/// Which end of the gateway something happened on.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Side {
    /// The one who asks.
    Client,
    /// The one who answers.
    Upstream,
}

/// What the facts prove about an operation's effect on the upstream.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// Proved to change nothing.
    ReadOnly,
    /// May change something, or nothing could be proved.
    #[default]
    MayWrite,
}

/// A value sent beside an operation's text.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Parameter {
    /// The protocol's name for its type (`int4`, `text`); empty when the client left it open.
    pub kind: String,
    /// The value as text, or lower-case hexadecimal after `\x` when it was binary; `None` is NULL.
    pub value: Option<String>,
}

/// How many rows, at most, the facts prove an operation can return.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum RowBound {
    /// At most this many.
    AtMost(u64),
    /// What comes back is not made of rows: there are none, whatever comes.
    NoRows,
    /// No bound is known.
    Unbounded,
}

/// Where in the life of an operation a decision is asked for (R9).
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Text is prepared, nothing runs yet: `block` applies, `approve` waits for the gate.
    Prepare,
    /// The gate: everything applies.
    Gate,
    /// A further step of an operation that passed the gate: revocation, `block` and `limit` are
    /// checked again; approvals already given hold.
    Repeat,
    /// A part of an operation that passed the gate, judged while the operation is sent: everything
    /// applies, what was alerted of the operation is not alerted again, and it counts as no
    /// operation of its own.
    Part,
}

/// One thing a client asks an upstream to do; the unit that policy decides.
#[derive(Clone, Debug)]
pub struct Operation {
    /// The protocol's word for the step: `query`, `parse`, `bind`, `execute`, `copy`.
    pub kind: &'static str,
    /// Where in the operation's life this is.
    pub stage: Stage,
    /// The operation that passed the gate for this one, for [`Stage::Repeat`] and [`Stage::Part`].
    pub under: Option<OperationId>,
    /// The exact text judged; what an approver sees.
    pub text: Arc<str>,
    /// Values beside the text.
    pub parameters: Vec<Parameter>,
    /// Fact values, in the order in which the protocol declares them. Shared between executions of
    /// the same text.
    pub facts: Arc<[Value]>,
    /// What the facts prove about its effect.
    pub effect: Effect,
    /// Rows it can return.
    pub rows: RowBound,
    /// Values that masked fields would be compared with (R5).
    pub guesses: Vec<Guess>,
    /// What it touches, for the record.
    pub objects: Arc<Objects>,
    /// What else the operation's meaning depends on (search path, role, identities of the objects
    /// named); part of its digest (R11).
    pub context: Arc<str>,
    /// Recorded with it, and no part of its meaning: not of its digest, nor shown to an approver.
    pub aside: Vec<Parameter>,
}

/// A value of the client's that a masked field would be compared with: whether it is right can be
/// seen from the answer (R5).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Guess {
    /// The field, `schema.table.column`.
    pub field: Arc<str>,
    /// The value as the client sent it, or anything that differs when the value does.
    pub value: Box<[u8]>,
}

/// What an operation touches, by name.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Objects {
    /// What is done: `select`, `insert`, …
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub verbs: Vec<Arc<str>>,
    /// Read: `schema.table`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reads: Vec<Arc<str>>,
    /// Written: `schema.table`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub writes: Vec<Arc<str>>,
    /// Columns read: `schema.table.column`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub columns: Vec<Arc<str>>,
}
