//! What is answered.

use std::collections::BTreeMap;

use model::event::RuleMatch;
use model::reply::DetectionCount;
use serde::{Deserialize, Serialize};

use crate::row::Text;

/// What an answer was found in.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Coverage {
    /// Files of the archive that lie in the time asked about.
    pub files: u64,
    /// Events of the journal that are not in the archive yet.
    pub journal_events: u64,
    /// What could not be read: the answer may lack what is in it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unread: Vec<String>,
    /// Files that nobody signed yet, and that were left out.
    #[serde(default, skip_serializing_if = "is_none")]
    pub unsigned: u64,
}

fn is_none(count: &u64) -> bool {
    *count == 0
}

impl Coverage {
    /// Whether everything could be read that was recorded in the time asked about.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.unread.is_empty()
    }

    /// What another search for the same answer could not read either.
    pub(super) fn lacks_too(&mut self, other: Self) {
        for unread in other.unread {
            if !self.unread.contains(&unread) {
                self.unread.push(unread);
            }
        }
    }
}

/// An operation, and what came of it.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct Use {
    /// When it was decided, nanoseconds since the epoch.
    pub at: u64,
    /// The session.
    pub session: Text,
    /// Its number there.
    pub operation: u64,
    /// Who asked.
    pub principal: Text,
    /// For whom, if it was said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_behalf_of: Option<Text>,
    /// Where the client was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<Text>,
    /// What the client called itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub application: Option<Text>,
    /// What was reached.
    pub resource: Text,
    /// What was done.
    pub verbs: Vec<Text>,
    /// Tables read.
    pub reads: Vec<Text>,
    /// Tables written.
    pub writes: Vec<Text>,
    /// The decision.
    pub decision: Text,
    /// The rules that matched.
    pub rules: Vec<RuleMatch>,
    /// Who said yes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approver: Option<Text>,
    /// The text; `None` when it is sealed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<Text>,
    /// How the reply ended; `None` when there is none (yet).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Text>,
    /// Rows sent to the client.
    pub rows: u64,
    /// Bytes sent to the client.
    pub bytes: u64,
    /// Fields of the reply that were masked.
    pub masked: Vec<Text>,
    /// Sensitive values found in the reply.
    pub detections: Vec<DetectionCount>,
}

/// Who used a table.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct Who {
    /// Operations, in the order of time; at most [`super::LISTED_MAX`].
    pub uses: Vec<Use>,
    /// There are more.
    pub more: bool,
    /// What was looked at.
    pub coverage: Coverage,
}

/// A field that was returned.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Returned {
    /// The resource.
    pub resource: Text,
    /// `schema.table.column` where it is stored; `None` if it depends on no stored column.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<String>,
    /// The names it had in replies.
    pub labels: Vec<Text>,
    /// How it was masked; `None` when it left in clear.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mask: Option<Text>,
    /// Replies that held it.
    pub replies: u64,
    /// Rows of them that reached the client.
    pub rows: u64,
    /// The first, nanoseconds since the epoch.
    pub first_at: u64,
    /// The last.
    pub last_at: u64,
}

/// Which fields were returned.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct Fields {
    /// By resource and origin.
    pub fields: Vec<Returned>,
    /// Replies looked at.
    pub replies: u64,
    /// What was looked at.
    pub coverage: Coverage,
}

/// How often one type of value was found.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Found {
    /// Values seen.
    pub seen: u64,
    /// Of these, masked before the reply left.
    pub masked: u64,
    /// Of these, in replies that were withheld, so that they did not leave either.
    pub withheld: u64,
    /// The rest: sent.
    pub sent: u64,
    /// Replies that were searched for it.
    pub searched: u64,
}

/// A reply that held sensitive values.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct Sensitive {
    /// When it was complete, nanoseconds since the epoch.
    pub at: u64,
    /// The session.
    pub session: Text,
    /// Which operation of it.
    pub operation: u64,
    /// Who asked.
    pub principal: Text,
    /// For whom, if it was said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_behalf_of: Option<Text>,
    /// What was reached.
    pub resource: Text,
    /// How the reply ended.
    pub outcome: Text,
    /// What was found.
    pub detections: Vec<DetectionCount>,
}

/// A field that a rule hid by its name.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Hidden {
    /// The resource.
    pub resource: Text,
    /// `schema.table.column` where it is stored, or else its label.
    pub field: String,
    /// How it was hidden.
    pub mask: Text,
    /// Replies that held it.
    pub replies: u64,
    /// Rows of them.
    pub rows: u64,
}

/// Whether sensitive values were sent out, and how that is known.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct Pii {
    /// By type.
    pub types: BTreeMap<String, Found>,
    /// Replies that held any, in the order of time; at most [`super::LISTED_MAX`].
    pub replies: Vec<Sensitive>,
    /// There are more.
    pub more: bool,
    /// Fields that were hidden because a rule names them, whatever they held.
    pub hidden_fields: Vec<Hidden>,
    /// Replies in all.
    pub replies_in_all: u64,
    /// Of them, replies that no detector looked at.
    pub replies_not_searched: u64,
    /// What was looked at.
    pub coverage: Coverage,
}

/// Where a text occurs.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct Hit {
    /// When, nanoseconds since the epoch.
    pub at: u64,
    /// The session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<Text>,
    /// Which operation of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operation: Option<u64>,
    /// Who asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub principal: Option<Text>,
    /// For whom, if it was said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_behalf_of: Option<Text>,
    /// What was reached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource: Option<Text>,
    /// The kind of event.
    pub kind: Text,
    /// `text`, `parameters` or `payload`.
    pub place: Text,
    /// What stands around it.
    pub excerpt: String,
}

/// Where a text occurs in statements, requests and replies.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct Hits {
    /// In the order of time; at most [`super::LISTED_MAX`].
    pub hits: Vec<Hit>,
    /// There are more.
    pub more: bool,
    /// Events that are sealed and could not be searched.
    pub sealed: u64,
    /// What was looked at.
    pub coverage: Coverage,
}
