//! HTTP: requests and replies as parts, one exchange per conversation.
//!
//! Two faces of one protocol: a *reverse* gateway in front of an API, and an *egress* proxy that is
//! the only way out. The transport does the framing (HTTP/1.1, HTTP/2); here a request becomes one
//! canonical form that is judged and forwarded, and bodies are searched and masked while they
//! stream.
//!
//! * [`canonical`]: one form of host, path and address, and what is refused because it has two.
//! * [`body`]: what a body is, decoded, searched and masked across any split.
//! * [`conversation`]: one exchange, from its head to the end of its reply.
//! * [`request`], [`operation`], [`facts`], [`token`], [`llm`]: what a request asks for, and who.
//! * [`reply`], [`fields`], [`problem`], [`grpc`]: what the client gets; [`follow`]: what of it is
//!   followed.
//! * [`socket`]: messages after a change to WebSocket.
//! * [`tunnel`], [`hello`]: tunnels that are passed on unopened, and the one word read in them.
//! * [`explain`]: what the rules would be asked about a request.
//! * [`options`]: what the configuration says about a resource.

#![deny(missing_docs)]

pub mod body;
pub mod canonical;
mod conversation;
mod explain;
mod facts;
mod fields;
mod follow;
mod grpc;
pub mod hello;
mod llm;
mod operation;
mod options;
mod parts;
mod problem;
pub mod recall;
mod reply;
mod request;
mod socket;
mod token;
mod tunnel;

use std::time::Duration;

use engine::{Capabilities, Conversation, Detection, Errand, Protocol, Setup};
use model::FactDecl;
use model::exchange::Part;

use crate::conversation::Exchange;
pub use crate::conversation::PART_REFUSED;
pub use crate::explain::{Explained, explain};
pub use crate::llm::listed as listed_path;
pub use crate::operation::PART;
pub use crate::options::HostPattern;

/// The types of resources that are spoken to in HTTP.
pub const KINDS: [&str; 3] = ["http", "openai", "egress"];

/// How long a client waits for a person: less than most HTTP clients wait for an answer.
const HOLD_WAIT: Duration = Duration::from_secs(25);

/// The protocol.
pub static HTTP: Http = Http;

/// The protocol; see [`HTTP`].
pub struct Http;

impl Protocol<Part> for Http {
    fn name(&self) -> &'static str {
        "http"
    }

    fn facts(&self) -> &'static [FactDecl] {
        facts::FACTS
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities { masks: true, holds: true, holds_reply: true, hold_wait: Some(HOLD_WAIT) }
    }

    /// Exchanges come framed: there are no first bytes to look at.
    fn detect(&self, _prefix: &[u8]) -> Detection {
        Detection::Mismatch
    }

    fn conversation(&self, setup: Setup) -> Box<dyn Conversation<Part>> {
        Box::new(Exchange::new(setup.hash_key, setup.session))
    }

    fn survey(&self) -> Option<Box<dyn Errand<Part>>> {
        None
    }

    /// A recorded reply is its head and its body as the client got them.
    fn render(&self, payload: &[u8]) -> Vec<String> {
        String::from_utf8_lossy(payload).lines().map(str::to_owned).collect()
    }
}
