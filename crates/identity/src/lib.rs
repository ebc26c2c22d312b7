//! Who is asking: one file per kind of proof.
//!
//! A proof turns what a client said into a principal, or says why not. There are three kinds:
//! certificates of TLS ([`certificate`]), tokens of our own ([`store::Tokens`]), and access tokens
//! of identity providers (JSON Web Tokens, RFC 7519 and RFC 9068, and SPIFFE's JWT-SVID), verified
//! with keys that the provider publishes.
//! Whoever lets somebody in, on the data path or in the admin API, asks [`Proofs`].
//!
//! An identity provider is never asked about one token. Its keys are fetched beside the work, by a
//! thread of its own ([`issuer`]), and kept while it is down; only a token that names a key nobody
//! knows yet waits for the next fetch.
//!
//! People sign in ([`People`]): at a provider, of which the gateway is a client then, or by another
//! method that calls [`People::signed_in`] once it knows who it is.

mod certificate;
mod claims;
mod fetch;
#[doc(hidden)]
pub mod fuzzing;
mod issuer;
mod jwt;
mod keys;
mod people;
mod plan;
mod proofs;

pub use certificate::{
    CertificateFault, CertificatePlan, SubjectFrom, check_certificates, is_trust_domain_name,
};
pub use fetch::{count_keys, tls_config};
pub use issuer::IssuerStatus;
pub use jwt::Fault;
pub use people::{
    Attempts, Begun, Call, Device, DeviceAsked, Exchange, LoginNotice, Method, NotGranted,
    NotSignedIn, People, SignedIn, SignedOut, Wish, challenge, local as local_page, network,
};
pub use plan::{
    ALGORITHMS, Algorithm, ClientPlan, IssuerPlan, KeysFrom, Role, Roles, SignInPlan, algorithm,
};
pub use proofs::{NotProved, Pending, Proof, Proofs};

#[cfg(test)]
mod tests;
