//! Signing in of people by SAML 2.0: the service provider's side of the Web Browser SSO profile
//! (SAML Profiles section 4.1), by redirect to the identity provider and by POST back.
//!
//! Pure: documents, keys and the time in; a person or a [`Fault`] out. Whoever listens keeps the
//! sign-ins that wait ([`Provider::begin`]), gives their answers to [`Provider::accept`], and
//! remembers which were taken.
//!
//! XML signatures are famous for what is read not being what was signed. So there is one rule here:
//! **nothing is read of an answer but what its signature covers.** A document of a profile much
//! narrower than XML's (`plain`) is verified by a library in a profile much narrower than XML
//! Signature's (`signature`). The bytes that went into the digest are then read anew, as a document
//! of their own (`answer`), and only these. Whatever else stood around them, wrapped, doubled or
//! moved, is not there any more.

mod answer;
mod claims;
mod fault;
mod metadata;
mod plain;
mod plan;
mod provider;
mod request;
mod signature;
mod tree;

pub use fault::{Class, Fault};
pub use metadata::{Described, describe};
pub use plan::{Certificate, PlanError, ProviderPlan, Service, Signer, SubjectFrom, certificates};
pub use provider::{Begun, Expected, Provider, SignedIn, Taken, Unproved, peek};
pub use request::request_of;

#[cfg(test)]
mod tests;
