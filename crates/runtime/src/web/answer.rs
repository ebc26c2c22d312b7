//! Why an upstream gave no reply, and what the client is told of it.

use engine::Refusal;
use model::ClientText;

use super::dial::NotReached;

/// Why there is no reply.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotAnswered {
    #[error(transparent)]
    NotReached(#[from] NotReached),
    #[error("{0}")]
    Tls(#[from] crate::tls::TlsError),
    #[error("{0}")]
    Credential(#[from] secrets::SecretError),
    #[error("the request cannot be written: {0}")]
    Unwritable(#[from] http::Error),
    #[error("it broke off: {0}")]
    Broken(String),
    #[error("it did not answer in time")]
    Timeout,
    #[error("its reply shows the gateway's credential")]
    Echoed,
}

impl NotAnswered {
    /// What the client is told: what it may do about it, and nothing of the network behind the
    /// gateway.
    pub fn refusal(&self) -> Refusal {
        let (reason, words) = match self {
            // Of which kind is for the log: a client does not learn what the network behind has.
            Self::NotReached(NotReached::Refused(host, ..)) => {
                let words = format!(
                    "{host} leads to an address that is not public, and that the resource does \
                     not list"
                );
                return Refusal::unjudgeable("address_refused", ClientText::composed(words));
            }
            Self::NotReached(NotReached::Down(..)) => {
                ("upstream_down", "the host cannot be reached now; try again later")
            }
            Self::NotReached(NotReached::Timeout(_)) | Self::Timeout => {
                ("upstream_timeout", "the host did not answer in time; try again later")
            }
            Self::NotReached(NotReached::Tls(..)) | Self::Tls(_) => {
                ("upstream_tls", "the gateway does not trust the host's TLS; tell its operator")
            }
            Self::Credential(_) => {
                ("credential", "the gateway has no credential for the resource; tell its operator")
            }
            Self::Unwritable(_) => ("unwritable", "the request cannot be written for the host"),
            Self::Echoed => (
                "credential_shown",
                "the reply shows the credential that only the gateway holds; tell its operator",
            ),
            Self::Broken(_) => ("upstream_broken", "the host broke off before it answered"),
        };
        Refusal::unjudgeable(reason, ClientText::fixed(words))
    }
}

/// Finds our own error in the library's.
pub(super) fn why(error: hyper_util::client::legacy::Error) -> NotAnswered {
    let mut at: Option<&(dyn std::error::Error + 'static)> = Some(&error);
    while let Some(error) = at {
        if let Some(ours) = error.downcast_ref::<NotReached>() {
            return NotAnswered::NotReached(ours.again());
        }
        at = error.source();
    }
    NotAnswered::Broken(format!("{error:?}"))
}
