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

mod certificate;
mod claims;
mod fetch;
#[doc(hidden)]
pub mod fuzzing;
mod issuer;
mod jwt;
mod keys;
mod plan;
mod proofs;

pub use certificate::{
    CertificateFault, CertificatePlan, SubjectFrom, check_certificates, is_trust_domain_name,
};
pub use fetch::count_keys;
pub use issuer::IssuerStatus;
pub use jwt::Fault;
pub use plan::{ALGORITHMS, Algorithm, IssuerPlan, KeysFrom, algorithm};
pub use proofs::{NotProved, Pending, Proof, Proofs};

#[cfg(test)]
mod tests;
