//! How much of replies is recorded.

use std::fmt;

/// How much of a reply's payload is recorded: what `recording.payload` says, or a `record` rule.
///
/// Ordered by how much it is, so that the least of several is their minimum.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum PayloadPolicy {
    /// Nothing.
    None,
    /// This many bytes of each reply.
    Head(usize),
    /// All of it.
    Full,
}

impl fmt::Display for PayloadPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("none"),
            Self::Head(bytes) => write!(f, "the first {bytes} bytes"),
            Self::Full => f.write_str("full"),
        }
    }
}
