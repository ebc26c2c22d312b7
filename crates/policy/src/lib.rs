//! Rules in, decisions out. The only place where a [`Permit`] is made.
//!
//! [`compile()`] turns the configuration's rules into a [`PolicySet`] and finds every problem in
//! them; [`PolicySet::scope`] picks those that concern one principal on one resource;
//! [`Scope::decide`] judges an operation and [`Scope::review`] its reply. Conditions are CEL,
//! checked against the [`Schema`] when loaded; this crate knows no fact's and no protocol's name.
//!
//! Facts may be unknown when a rule is judged (R3). Evaluation then gives every outcome that is
//! still possible: a rule that certainly matches applies at once, one that certainly does not is
//! out, and one that may match is pending until the reply tells. An error refuses (P2).

#![deny(missing_docs)]

mod access;
mod calendar;
mod capability;
mod check;
mod compile;
mod decide;
mod doubt;
mod explain;
#[cfg(test)]
mod fixture;
mod glob;
mod hours;
mod index;
mod keep;
mod mask;
mod nearest;
mod outcome;
mod permit;
mod policy;
mod rule;
mod schema;
mod spec;
mod template;
mod tree;
mod value;

pub use access::{AccessLine, Admission, TemporaryAccess};
pub use capability::Capabilities;
pub use compile::compile;
pub use decide::{Decided, Decision, Outcome, Progress, Request, Reviewed, Scope};
pub use doubt::Doubt;
pub use explain::{Explained, Explanation, RuleState};
pub use keep::PayloadPolicy;
pub use mask::{MaskKind, MaskPlan, Predicates};
pub use permit::{Held, HeldReply, Need, Needs, Permit, Refusal, reason};
pub use policy::PolicySet;
pub use schema::{BlockId, Fact, FactId, Facts, FunctionDecl, Per, Schema, Test, Usage};
pub use spec::{
    AccessSpec, ActionSpec, Applies, ApproveSpec, ClassifySpec, EXPIRES_DEFAULT, EscalateSpec,
    Grant, LimitSpec, Located, Location, MaskSpec, PolicySpec, Problem, RecordSpec, RuleSpec,
    WAIT_DEFAULT, WINDOW_DEFAULT,
};
pub use value::{HashKey, REDACTED, partial_text, redact_text};
