//! Why somebody is not signed in, or gets no token.

use crate::jwt::Fault;

/// Why somebody is not signed in. Whoever tries is told [`Self::words`]; the whole of it is for the
/// operator.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum NotSignedIn {
    /// There is no such way to sign in.
    #[error("there is no such sign-in method")]
    Method,
    /// The answer does not belong to a sign-in that this browser began.
    #[error("the answer does not belong to a sign-in that this browser began")]
    State,
    /// The provider said no.
    #[error("the provider answered {0}")]
    Denied(String),
    /// Another provider answered (RFC 9207).
    #[error("the answer came from {0}, and another provider was asked")]
    Issuer(String),
    /// The provider does not take the code.
    #[error("the provider did not take the code: {0}")]
    Refused(String),
    /// The provider cannot be asked.
    #[error("the provider cannot be asked: {0}")]
    Unreachable(String),
    /// What it says is not believed.
    #[error("the ID token was not believed: {0}")]
    Fault(Fault),
    /// What another method's provider answered is not believed, or is a no.
    #[error("the answer was not believed: {why}")]
    Answer {
        /// A fixed word for records.
        class: &'static str,
        /// What whoever tries is told: what happened, and what to do.
        words: (&'static str, &'static str),
        /// What was wrong; for the operator.
        why: String,
    },
    /// It cannot be kept.
    #[error("the sign-in cannot be kept: {0}")]
    Kept(String),
    /// Too many failed from there.
    #[error("too many failed from there")]
    TooMany,
}

impl NotSignedIn {
    /// A fixed word for records.
    #[must_use]
    pub const fn class(&self) -> &'static str {
        match self {
            Self::Method => "unknown_method",
            Self::State => "state",
            Self::Denied(_) => "denied_by_provider",
            Self::Issuer(_) => "issuer",
            Self::Refused(_) => "code_refused",
            Self::Unreachable(_) => "provider_unreachable",
            Self::Fault(Fault::Nonce) => "nonce",
            Self::Fault(_) => "id_token",
            Self::Answer { class, .. } => class,
            Self::Kept(_) => "not_kept",
            Self::TooMany => "too_many",
        }
    }

    /// What whoever tries is told: what happened, and what to do.
    #[must_use]
    pub const fn words(&self) -> (&'static str, &'static str) {
        match self {
            Self::Method => ("There is no such way to sign in.", "Choose one of those listed."),
            Self::State => (
                "This answer does not belong to a sign-in that this browser began, or it is too \
                 old.",
                "Sign in again. If it happens again, allow cookies for this address, and use one \
                 tab only.",
            ),
            Self::Denied(_) => (
                "The identity provider did not sign you in.",
                "Sign in again and agree, or ask whoever keeps the identity provider.",
            ),
            Self::Issuer(_) => (
                "The answer came from another identity provider than the one that was asked.",
                "Sign in again, from this page. If somebody sent you the link, tell whoever keeps \
                 this gateway.",
            ),
            Self::Refused(_) => (
                "The identity provider did not take the code; it was used already, or is too old.",
                "Sign in again.",
            ),
            Self::Unreachable(_) => (
                "The identity provider cannot be asked now.",
                "Try again in a minute. Whoever keeps this gateway finds the reason in its log.",
            ),
            Self::Fault(Fault::Nonce) => (
                "The identity provider answered another sign-in than this one.",
                "Sign in again, from this page.",
            ),
            Self::Fault(_) => (
                "What the identity provider says of you could not be believed.",
                "Whoever keeps this gateway finds the reason in its log.",
            ),
            Self::Answer { words, .. } => *words,
            Self::Kept(_) => (
                "You could not be signed in, because that cannot be recorded now.",
                "Try again later. Whoever keeps this gateway finds the reason in its log.",
            ),
            Self::TooMany => (
                "Too many sign-ins from your address failed.",
                "Wait a minute, then sign in again.",
            ),
        }
    }
}

/// Why a program gets no token: an error of RFC 6749 section 5.2 or RFC 8628 section 3.5.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{error}: {words}")]
pub struct NotGranted {
    /// The fixed word.
    pub error: &'static str,
    /// What it means here.
    pub words: &'static str,
    /// How long to wait between questions from now on, seconds.
    pub interval: Option<u64>,
}

impl NotGranted {
    pub(super) const fn of(error: &'static str, words: &'static str) -> Self {
        Self { error, words, interval: None }
    }
}
