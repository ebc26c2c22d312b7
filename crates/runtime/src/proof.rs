//! Who is asking: one file per kind of proof.
//!
//! A proof turns a claim into a principal, or says why not. Tokens of our own are the only kind so
//! far. A kind that must ask someone else (an identity provider) will make this async; the
//! connection's task already waits for other answers in the same way.

mod throttle;
mod token;

use engine::Refusal;
use model::{Claim, ClientText, Principal, Timestamp};
use store::Tokens;

pub(crate) use throttle::Throttle;

/// Why a claim was not believed. The word is recorded; clients are told the same whatever it is,
/// except for expiry, so nobody learns from a guess that a token exists or existed (P7).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum NotProved {
    Unknown,
    /// There was none.
    Missing,
    Expired,
    Revoked,
    /// It came over a channel that others can read (R16).
    Exposed,
}

impl NotProved {
    pub fn refusal(self) -> Refusal {
        let (reason, words) = match self {
            Self::Unknown => ("unknown_token", "the token is not valid"),
            Self::Missing => ("no_token", "no token was given; the gateway needs one"),
            Self::Revoked => ("revoked_token", "the token is not valid"),
            Self::Expired => ("expired_token", "the token has expired"),
            Self::Exposed => (
                "insecure",
                "a token is accepted only inside TLS or from the gateway's own machine; this one \
                 was sent in the clear, have it revoked",
            ),
        };
        Refusal::unjudgeable(reason, ClientText::fixed(words))
    }
}

/// Believes a claim or says why not.
pub(crate) fn prove(
    tokens: &Tokens,
    claim: &Claim,
    client_private: bool,
    now: Timestamp,
) -> Result<Principal, NotProved> {
    if !client_private {
        return Err(NotProved::Exposed);
    }
    token::prove(tokens, claim, now)
}
