//! One form of host, path and address, and what is refused because it has two.
//!
//! A rule is judged on a text and a server acts on a text, and the two agree only when the request
//! has one reading. So every part of a head has exactly one accepted form here; a request in
//! another form is refused (R15), or rewritten to it where the resource asks for that and there is
//! only one thing it can mean. Nothing here knows a rule, a resource or a socket.
//!
//! * [`host`], [`is_canonical_host`]: the authority.
//! * [`path`], [`query_pairs`]: the target.
//! * [`reach`], [`is_metadata_name`]: what an address is, whatever it is wrapped in.
//! * [`check_head`], [`strip_hop_by_hop`]: the fields.
//! * [`storage`]: the bucket and the account a request names.

mod address;
mod fields;
mod host;
mod path;
#[cfg(test)]
mod properties;
mod storage;

pub use address::{Reach, is_metadata_name, reach};
pub use fields::{check_head, strip_hop_by_hop};
pub use host::{Host, host, is_canonical_host};
pub use path::{Path, path, query_pairs};
pub use storage::{Storage, storage};

/// Why a request's form is refused. The client's fault, always.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Malformed {
    /// One word for records and metrics, of a fixed list.
    pub reason: &'static str,
    /// Fixed words for the client.
    pub what: &'static str,
}

impl Malformed {
    /// Nothing but the two texts.
    const fn new(reason: &'static str, what: &'static str) -> Self {
        Self { reason, what }
    }
}

/// The value of a hexadecimal digit of either case.
const fn hex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}
