//! Who is asking, and how that was claimed.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::text::Secret;
use crate::time::Timestamp;

/// Names a token in the registry; public, unlike the token itself.
#[derive(Clone, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(transparent)]
pub struct TokenId(pub Arc<str>);

/// What kind of actor a principal is.
#[derive(
    Clone, Copy, Debug, Default, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize,
)]
#[serde(rename_all = "lowercase")]
pub enum PrincipalKind {
    /// A program that acts on a model's output.
    #[default]
    Agent,
    /// A human being.
    Person,
    /// A program that does what its code says.
    Service,
}

impl PrincipalKind {
    /// The word used in configuration and records.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Agent => "agent",
            Self::Person => "person",
            Self::Service => "service",
        }
    }
}

/// Who asks, as proved.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Principal {
    /// The one doing the work; with delegation (RFC 8693) this is `act.sub`.
    pub subject: Arc<str>,
    /// Agent, person or service.
    pub kind: PrincipalKind,
    /// Groups of the subject, as the issuer stated them.
    pub groups: Vec<Arc<str>>,
    /// Who vouched: `narrows` for our own tokens, else the identity provider's issuer URL.
    pub issuer: Arc<str>,
    /// For whom the work is done, when the token says so.
    pub on_behalf_of: Option<Arc<str>>,
    /// Groups of the party in `on_behalf_of`. Access needs both parties granted (R12).
    pub on_behalf_of_groups: Vec<Arc<str>>,
    /// The token used, by its public name: `tk_…` when it is one of ours, `lt_…` when its person
    /// signed in, `jwt_…` otherwise.
    pub token: Option<TokenId>,
    /// Who minted that token; may not approve for this principal (R12).
    pub minted_by: Option<Arc<str>>,
    /// When the proof ends; the session ends with it.
    pub expires_at: Option<Timestamp>,
    /// The certificate that came with the token, by which this is them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<Voucher>,
}

/// What else a proof rests on.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Voucher {
    /// Its public name, `crt_…`.
    pub id: TokenId,
    /// Who vouched by it.
    pub issuer: Arc<str>,
}

impl Principal {
    /// All that the proof rests on, by name: without one of them it is none.
    pub fn credentials(&self) -> impl Iterator<Item = &TokenId> {
        self.token.iter().chain(self.certificate.iter().map(|certificate| &certificate.id))
    }

    /// All who vouched.
    pub fn issuers(&self) -> impl Iterator<Item = &Arc<str>> {
        [&self.issuer].into_iter().chain(self.certificate.iter().map(|it| &it.issuer))
    }

    /// Every identity in the chain of this principal; none of them may approve for it (R12).
    pub fn chain(&self) -> impl Iterator<Item = &str> {
        [Some(&self.subject), self.on_behalf_of.as_ref(), self.minted_by.as_ref()]
            .into_iter()
            .flatten()
            .map(AsRef::as_ref)
    }
}

/// Where a client that has no token can get one (RFC 7628 section 3.2.2).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Offer {
    /// Address of the provider's metadata, `…/.well-known/openid-configuration`.
    pub configuration: String,
    /// The scope to ask it for.
    pub scope: String,
}

/// What a client said to prove itself, before anyone believed it.
#[derive(Debug)]
pub struct Claim {
    /// The token, as sent.
    pub secret: Secret<String>,
    /// The resource the client wants.
    pub resource: String,
    /// Free text the client gave as its own name; never trusted.
    pub user: String,
    /// What the client calls itself (`application_name`, `User-Agent`); never trusted.
    pub application: Option<String>,
    /// Which of the token's runs it says this belongs to; never trusted.
    pub run: Option<String>,
}

/// How a client names a run where it can say no more than what it calls itself.
const RUN_WORD: &str = "narrows.run=";
/// Longest name of a run, bytes.
const RUN_BYTES_MAX: usize = 100;

/// Whether a run may be called so: letters, digits, `.`, `_`, `:` and `-`, at most 100 of them, and
/// not as a token is (`tk_…`, `lt_…`, `jwt_…`, `crt_…`), whose own runs are asked for by that.
#[must_use]
pub fn is_run_name(name: &str) -> bool {
    let fine = |byte: u8| byte.is_ascii_alphanumeric() || b"._:-".contains(&byte);
    let begins =
        |with: &str| name.get(..with.len()).is_some_and(|it| it.eq_ignore_ascii_case(with));
    let is_token = begins("tk_") || begins("lt_") || begins("jwt_") || begins("crt_");
    (1..=RUN_BYTES_MAX).contains(&name.len()) && name.bytes().all(fine) && !is_token
}

/// The run in what a client calls itself: `narrows.run=NAME`, alone or as a word among others.
#[must_use]
pub fn run_in(application: &str) -> Option<&str> {
    let words = application.split([' ', ',', ';']);
    words.filter_map(|word| word.strip_prefix(RUN_WORD)).find(|name| is_run_name(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_a_word_of_an_application_name() {
        assert_eq!(run_in("narrows.run=nightly-7"), Some("nightly-7"));
        assert_eq!(run_in("psql; narrows.run=a.b:c_d"), Some("a.b:c_d"));
        for none in [
            "",
            "psql",
            "narrows.run=",
            "narrows.run=tk_01m8",
            "narrows.run=TK_x",
            "narrows.run=jwt_x",
            "xnarrows.run=a",
            "narrows.run=a/b",
        ] {
            assert_eq!(run_in(none), None, "{none}");
        }
        assert!(is_run_name(&"a".repeat(100)) && !is_run_name(&"a".repeat(101)));
    }
}
