//! PostgreSQL: the wire protocol 3.0 and 3.2 between a client and a server, as one conversation.
//!
//! The client proves itself with a token as its password; the gateway logs in to the server with
//! the credential that only it holds; from then on each statement is an operation that the engine
//! decides, and each reply passes through the masks of its permit. What the server is asked is
//! never rewritten: it is forwarded as it came, or refused.
//!
//! * [`message`], [`startup`], [`login`]: bytes to messages and the two handshakes.
//! * [`judge`]: texts to facts, kept by text and catalog version.
//! * [`ready`], [`requests`], [`replies`], [`expected`]: the session itself, one direction each,
//!   and what the server still owes.
//! * [`uncommitted`], [`changing`]: definitions that this session, and others, change meanwhile.
//! * [`shape`], [`mask`], [`rows`], [`copy`], [`scrub`]: what a reply becomes on its way out.
//! * [`survey`], [`cancel`]: the gateway's own stays at the server.

#![deny(missing_docs)]

mod admit;
mod bearer;
mod cancel;
mod changing;
mod conversation;
mod copy;
mod effects;
mod expected;
mod explain;
mod follow;
mod judge;
mod login;
mod mask;
mod message;
mod names;
mod ready;
mod recall;
mod refusal;
mod render;
mod replies;
mod requests;
mod room;
mod rows;
mod scrub;
mod settings;
mod shape;
mod startup;
mod survey;
mod types;
mod uncommitted;

use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use engine::{Capabilities, Conversation, Detection, Errand, Protocol, Setup};
use model::FactDecl;

pub use explain::{Explained, ExplainedColumn, ExplainedUse, explain};
pub use judge::{Cache, Environment, Judged};
pub use recall::{Exposed, Output, Past, Recalled, is_untraceable, recall};
pub use survey::{Snapshot, StoredType, TypeKind};

/// The protocol, for the one list of protocols.
pub static POSTGRES: Postgres = Postgres { cache: LazyLock::new(Arc::default) };

/// The protocol.
pub struct Postgres {
    cache: LazyLock<Arc<judge::Cache>>,
}

impl Protocol<Bytes> for Postgres {
    fn name(&self) -> &'static str {
        "postgres"
    }

    fn facts(&self) -> &'static [FactDecl] {
        judge::FACTS
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities { masks: true, holds: true, holds_reply: true, hold_wait: None }
    }

    fn detect(&self, prefix: &[u8]) -> Detection {
        match prefix.get(4..8) {
            None => Detection::NeedMore,
            // Protocol 3.x, or one of the request codes 1234.5678 to 1234.5680.
            Some([0, 3, 0, _] | [0x04, 0xd2, 0x16, 0x2e..=0x30]) => Detection::Match,
            Some(_) => Detection::Mismatch,
        }
    }

    fn conversation(&self, setup: Setup) -> Box<dyn Conversation<Bytes>> {
        Box::new(conversation::PostgresConversation::new(setup, Arc::clone(&self.cache)))
    }

    fn survey(&self) -> Option<Box<dyn Errand<Bytes>>> {
        Some(Box::new(survey::Survey::new()))
    }

    fn render(&self, payload: &[u8]) -> Vec<String> {
        render::render(payload)
    }
}
