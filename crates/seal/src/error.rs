//! What can go wrong, of which key, and whose fault it is.

use thiserror::Error;

/// Why something could not be sealed, opened, wrapped or unwrapped. Never holds key material, nor
/// anything of what was sealed: names of keys and sessions, and words of services, shortened.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub enum SealError {
    /// A key or a service is configured in a way that cannot work: not 32 bytes, not PEM, an
    /// address without TLS. Found when it is made, before anything is sealed.
    #[error("the key `{key}` cannot be used: {why}")]
    Unusable {
        /// What the configuration calls it, or its id.
        key: String,
        /// What is wrong, and what would be right.
        why: String,
    },
    /// A service refused: the credentials, its policy, or the key's state forbid it.
    #[error("{key_id}: the service refused to {verb}: {why}")]
    Refused {
        /// The key.
        key_id: String,
        /// What was asked: `wrap a data key`.
        verb: &'static str,
        /// Status and words of the service.
        why: String,
    },
    /// A service has no such thing, or has it no more.
    #[error("{key_id}: the service has it not: {why}")]
    NotThere {
        /// What was asked for.
        key_id: String,
        /// Status and words of the service.
        why: String,
    },
    /// A service did not answer, or only with errors that may pass, as often as was allowed.
    #[error("{key_id}: the service did not {verb} in {tries} tries: {why}")]
    Unavailable {
        /// The key.
        key_id: String,
        /// What was asked: `wrap a data key`.
        verb: &'static str,
        /// How often it was tried.
        tries: u32,
        /// What happened the last time.
        why: String,
    },
    /// A service answered something that its documentation does not allow.
    #[error("{key_id}: the service's answer is not understood: {why}")]
    Misanswered {
        /// The key.
        key_id: String,
        /// What is wrong with it.
        why: String,
    },
    /// The wrapped data key was wrapped by another key, for another session, or was changed.
    #[error("{key_id}: the wrapped data key does not open: another key made it, or it was changed")]
    NotUnwrapped {
        /// The key that was tried.
        key_id: String,
    },
    /// This key can wrap and not unwrap, which is what a public key is for.
    #[error("{key_id} only seals; reading needs its private key")]
    OnlySeals {
        /// The key.
        key_id: String,
    },
    /// None of the keys at hand is the one that wrapped the entry.
    #[error("the data key was wrapped by {key_id}; at hand: {at_hand}")]
    NoSuchKey {
        /// The key that is needed.
        key_id: String,
        /// The keys that were given.
        at_hand: String,
    },
    /// A sealed field does not open: another data key or place, or it was changed.
    #[error(
        "record {record}, column {column} of session {session:?} does not open: it was sealed \
         elsewhere or with another key, or was changed"
    )]
    NotOpened {
        /// The session it was opened as.
        session: String,
        /// The record's number.
        record: u64,
        /// The column's number.
        column: u32,
    },
    /// The session's data key was erased on purpose: what it said is gone.
    #[error("the data key of session {session:?} was erased")]
    Erased {
        /// The session.
        session: String,
    },
    /// The segment has no data key of that session, and none was erased.
    #[error("segment {segment} of gateway {gateway:?} has no data key of session {session:?}")]
    NoEntry {
        /// The gateway.
        gateway: String,
        /// The segment.
        segment: u64,
        /// The session.
        session: String,
    },
    /// The session has a data key already. A second one would leave fields that nothing opens.
    #[error("session {session:?} has a data key in this segment already")]
    AlreadyThere {
        /// The session.
        session: String,
    },
    /// The bytes are not the wrapped keys of a segment.
    #[error("not the wrapped keys of a segment: {why}")]
    Malformed {
        /// What is wrong, with line and column where there is one.
        why: String,
    },
    /// More than a limit of `model::limit` allows.
    #[error("{what}: {found}, at most {limit} allowed")]
    TooMuch {
        /// What is too much, with its unit.
        what: &'static str,
        /// How much there is.
        found: usize,
        /// How much there may be.
        limit: usize,
    },
    /// The cryptographic library or the operating system failed; no input is at fault.
    #[error("cannot {what}: the cryptographic library failed")]
    Library {
        /// What was attempted.
        what: &'static str,
    },
}

/// Who can mend a [`SealError`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Blame {
    /// The operator: configuration, credentials, or a policy of the key service.
    Operator,
    /// The key service or the network; the same call may work later.
    Service,
    /// The stored data: changed, cut, or of another place. Or it was erased on purpose.
    Data,
    /// This program.
    Program,
}

impl SealError {
    /// Whose fault it is.
    #[must_use]
    pub fn blame(&self) -> Blame {
        match self {
            Self::Unusable { .. }
            | Self::Refused { .. }
            | Self::NotThere { .. }
            | Self::OnlySeals { .. }
            | Self::NoSuchKey { .. } => Blame::Operator,
            Self::Unavailable { .. } | Self::Misanswered { .. } => Blame::Service,
            Self::NotUnwrapped { .. }
            | Self::NotOpened { .. }
            | Self::Erased { .. }
            | Self::NoEntry { .. }
            | Self::Malformed { .. }
            | Self::TooMuch { .. } => Blame::Data,
            Self::AlreadyThere { .. } | Self::Library { .. } => Blame::Program,
        }
    }

    /// The same call may work later without anyone mending anything.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        self.blame() == Blame::Service
    }
}
