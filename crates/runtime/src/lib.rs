//! The async side of the data path: listeners, TLS, proofs of identity, transports, upstreams.
//!
//! The engine decides what happens; this crate performs it. One task owns a connection: the
//! engine's state machine, both sockets and every queue, so nothing on the data path takes a lock
//! or crosses to another task. This crate never learns what the bytes mean: protocols reach it as
//! `&dyn Protocol`.

#![deny(missing_docs)]

mod alert;
pub mod clock;
mod counters;
mod drive;
mod errand;
mod gateway;
mod hold;
mod listen;
mod mailbox;
mod proof;
mod record;
mod resource;
mod rules;
mod scrub;
mod survey;
mod timers;
pub mod tls;
mod transport;
mod upstream;
mod web;

#[cfg(test)]
mod tests;

pub use alert::{Alert, Notify};
pub use counters::GatewayState;
pub use gateway::{Elsewhere, Gateway, Parts, ServeError, Settings};
pub use resource::{OnFailure, ResourcePlan};
pub use secrets::{CredentialSource, SecretError, SecretSource};
pub use web::{RedirectPlan, SitePlan, listen_for_others};
