//! HTTP: requests and replies as parts, one exchange per conversation.
//!
//! Two faces of one protocol: a *reverse* gateway in front of an API, and an *egress* proxy that is
//! the only way out. The transport does the framing (HTTP/1.1, HTTP/2); here a request becomes one
//! canonical form that is judged and forwarded, and bodies are searched and masked while they
//! stream.
//!
//! * [`canonical`]: one form of host, path and address, and what is refused because it has two.
//! * [`body`]: what a body is, decoded, searched and masked across any split.

#![deny(missing_docs)]

pub mod body;
pub mod canonical;
