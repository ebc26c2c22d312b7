//! What becomes of a client who is not believed.
//!
//! Who is believed is the business of the crate `identity`.

mod throttle;

use std::net::SocketAddr;

use engine::Refusal;
use identity::{CertificateFault, NotProved};
use model::ClientText;

pub(crate) use throttle::Throttle;

/// What a client is told that is not believed. It is the same for tokens that never were, that are
/// wrong, and that were revoked, so nobody learns from a guess that a token exists or existed (P7).
pub(crate) fn refusal(why: &NotProved) -> Refusal {
    let (reason, words) = match why {
        NotProved::Unknown | NotProved::Foreign(_) => ("unknown_token", "the token is not valid"),
        NotProved::Missing => ("no_token", "no token was given; the gateway needs one"),
        NotProved::Revoked => ("revoked_token", "the token is not valid"),
        NotProved::Expired => ("expired_token", "the token has expired"),
        NotProved::Certificate(CertificateFault::Expired) => {
            ("expired_certificate", "the certificate has expired")
        }
        NotProved::Certificate(CertificateFault::Mismatch(..)) => {
            ("certificate_mismatch", "the certificate and the token are not of the same subject")
        }
        NotProved::Certificate(_) => ("unknown_certificate", "the certificate is not valid"),
        NotProved::Exposed => (
            "insecure",
            "a token is accepted only inside TLS or from the gateway's own machine; this one was \
             sent in the clear, have it revoked",
        ),
        NotProved::Unreachable => (
            "provider_unreachable",
            "the gateway cannot check the token now, because it cannot fetch the keys of the \
             identity provider; try again later",
        ),
        NotProved::Unsure => (
            "state_unreachable",
            "the gateway cannot check now whether the token is still good, because its state \
             database does not answer; try again later",
        ),
    };
    Refusal::unjudgeable(reason, ClientText::fixed(words))
}

/// Tells the operator what a client is not told.
pub(crate) fn log(why: &NotProved, peer: SocketAddr) {
    match why {
        NotProved::Foreign(fault) => {
            tracing::warn!(%peer, "a token was not believed: {fault}");
        }
        NotProved::Certificate(fault) => {
            tracing::warn!(%peer, "a certificate was not believed: {fault}");
        }
        NotProved::Unreachable => {
            tracing::warn!(%peer, "a token was not believed: the keys of its issuer are not here");
        }
        NotProved::Unknown
        | NotProved::Unsure
        | NotProved::Missing
        | NotProved::Expired
        | NotProved::Revoked
        | NotProved::Exposed => {}
    }
}
