//! HTTP servers that keep every byte they were sent, a client that sends exactly the bytes it is
//! given, and a corpus of attempts to carry a secret from the one to the other.
//!
//! * [`Authority`], [`Origin`], [`RawHttp`]: what tests of the gateway's HTTP stand on.
//! * [`corpus`]: the attempts and the honest requests of `tests/exfil`.
//! * [`find`]: whether bytes hold a secret, however it is encoded.
//! * [`exfil`]: sends the corpus, directly or through a gateway, and says what got where.

mod authority;
pub mod corpus;
pub mod encode;
pub mod exfil;
pub mod find;
pub mod frames;
mod http2;
pub mod http2_cases;
mod origin;
mod proxy;
mod raw;
mod shop;
pub mod smuggling;
pub mod strict;
mod tap;

pub use authority::Authority;
pub use origin::{Answer, Origin, Seen};
pub use proxy::OpenProxy;
pub use raw::{RawHttp, Reply, Trust, credentials};
pub use shop::{LARGE_BYTES, MODEL_KEY, Shop};
pub use tap::Wire;
