//! The neutral vocabulary of Narrows: who asks, what they reach, what they do, what came back.
//!
//! Data only. Nothing here reads a clock, a file or a socket, and nothing here knows a protocol or
//! a rule; every other crate may depend on this one and this one depends on none of ours.

#![deny(missing_docs)]

pub mod event;
pub mod exchange;
pub mod fact;
pub mod identity;
pub mod limit;
pub mod operation;
pub mod reply;
pub mod resource;
pub mod text;
pub mod time;

pub use event::{Event, EventBody, SessionId};
pub use fact::{FactDecl, FactType, Phase, Value};
pub use identity::{Claim, Offer, Principal, PrincipalKind, TokenId, Voucher, is_run_name, run_in};
pub use operation::{Effect, Guess, Lane, Operation, OperationId, Parameter, Side};
pub use reply::{Column, DetectionCount, Origin};
pub use resource::{Credential, Made, Resource, UpstreamTls, is_this_machine};
pub use text::{ClientText, Secret};
pub use time::Timestamp;
