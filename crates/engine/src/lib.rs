//! The sans-io pipeline of one connection, and the contract that protocols meet.
//!
//! [`Connection::handle`] is the whole engine: it takes the time and something that happened, and
//! returns what must be done about it, in order. It keeps an operation's bytes until policy allowed
//! the operation and the journal holds its record, and it keeps a reply's bytes until policy saw
//! them and the journal holds theirs (P1). It never learns which protocol it carries.

#![deny(missing_docs)]

mod connection;
mod contract;
mod digest;
mod facts;
mod outbox;
mod reply;
mod shared;
mod step;
pub mod taint;

pub use connection::{Connection, Settings};
pub use contract::{
    Capabilities, Connected, Conversation, Detection, Errand, ErrandInput, ErrandOutbox, Fault,
    HoldNotice, Input, Limits, Protocol, Reads, Setup, Snapshots, Sought, TlsFacts, Unit,
    Unsolicited,
};
pub use facts::{COMMON_FACTS, Guessed, Ledger};
pub use outbox::{Batch, ErrandAct, Outbox, Searched};
pub use policy::{
    HashKey, MaskKind, MaskPlan, Permit, Predicates, REDACTED, Refusal, partial_text,
};
pub use shared::SharedSession;
pub use step::{Act, Answer, Happening, HoldRequest, Ticket};
