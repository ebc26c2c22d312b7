//! Tests that every protocol shares: conversations, conformance, simulation. For development only.
//!
//! * [`conversation`]: who said what, in order, written down and played against the real engine.
//! * [`conformance`]: the promises that every protocol makes, tried on its conversations.
//! * [`simulate`]: a whole connection from a seed, with a slow journal, late people and faults.
//! * [`stage`]: the connection under test and the journal, people, clock and ledger around it.
//!
//! Nothing here names a protocol. One brings a [`conversation::Notation`] for its messages and,
//! for the simulation, a [`simulate::Actors`] who play its client and its server.

#![deny(missing_docs)]
#![expect(clippy::panic, reason = "a test that cannot go on fails")]

pub mod conformance;
pub mod conversation;
pub mod random;
pub mod rules;
pub mod simulate;
pub mod stage;
pub mod story;
pub mod words;
