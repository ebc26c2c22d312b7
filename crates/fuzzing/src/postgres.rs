//! One PostgreSQL connection, or the gateway's own stay at a server, under arbitrary bytes; always
//! through the real engine.

pub mod copy;
pub mod login;
#[path = "../../../protocols/postgres/tests/notation/mod.rs"]
#[expect(dead_code, reason = "not every word of it is spoken here")]
pub mod notation;
pub mod render;
pub mod rows;
pub mod session;
pub mod survey;
mod typed;

use notation::take_frame;

/// The messages in a stream of bytes; what is not whole at the end is left out.
fn frames(bytes: &[u8]) -> impl Iterator<Item = (u8, Vec<u8>)> {
    let mut rest = bytes.to_vec();
    std::iter::from_fn(move || take_frame(&mut rest))
}
