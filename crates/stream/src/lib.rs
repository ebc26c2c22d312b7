//! What happens, told to others while it happens: recorded events to syslog, OpenTelemetry and
//! webhooks.
//!
//! Each receiver has a thread of its own that follows the journal ([`Streams`]). What was received
//! is remembered in the data folder, so neither an outage nor a restart loses what the journal
//! still has. Delivery is at least once: every event carries its gateway and its number, by which
//! receivers drop repeats. The data path knows nothing of it, and no receiver waits for another.
//!
//! Payloads never leave; texts, parameters and what clients were told only where the receiver's
//! settings say so ([`Item`]).

#![deny(missing_docs)]

mod confirmed;
mod follow;
mod item;
mod memory;
mod otlp;
mod post;
mod sign;
mod sink;
mod syslog;
mod trust;
mod webhook;
mod worker;

pub use confirmed::Confirmed;
pub use follow::{Follower, Mark, Place};
pub use item::{Item, Severity, Texts};
pub use memory::Memory;
pub use otlp::Otlp;
pub use post::{Post, clipped, place};
pub use sign::{SecretError, SigningSecret};
pub use sink::{SendError, Sink, UnusableSink};
pub use syslog::Syslog;
pub use trust::Trust;
pub use webhook::Webhook;
pub use worker::{Pace, Receiver, Streams};
