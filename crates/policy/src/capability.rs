//! What a protocol can do for a rule.

use std::time::Duration;

/// What a protocol is able to honour. A rule that none of its protocols can honour is refused when
/// loaded; where only some can, the others refuse the operations it matches (P2).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Capabilities {
    /// It can hide fields of replies.
    pub masks: bool,
    /// It can hold an operation before it runs.
    pub holds: bool,
    /// It can withhold a reply until it is judged.
    pub holds_reply: bool,
    /// How long its clients wait for a person where a rule does not say; the general default where
    /// the protocol does not either.
    pub hold_wait: Option<Duration>,
}
