//! What a recording holds, in order. Versioned: readers must accept every version they know.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::identity::Principal;
use crate::operation::{Objects, OperationId, Parameter};
use crate::reply::{Column, DetectionCount};
use crate::time::Timestamp;

/// The version written by this build.
pub const EVENT_VERSION: u16 = 1;

/// Names a session, uniquely over all gateways.
#[derive(Clone, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(transparent)]
pub struct SessionId(pub Arc<str>);

/// One thing that happened.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Event {
    /// Format version, see [`EVENT_VERSION`].
    pub v: u16,
    /// When, UTC.
    pub at: Timestamp,
    /// Which gateway.
    pub gateway: Arc<str>,
    /// Which session; `None` for what concerns the gateway itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<SessionId>,
    /// Position within the session, from 1; 0 for gateway events.
    pub sequence: u64,
    /// Subject of the principal, as soon as it is proved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub principal: Option<Arc<str>>,
    /// For whom the principal works, where it was proved that it works for another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_behalf_of: Option<Arc<str>>,
    /// Name of the resource, as soon as it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource: Option<Arc<str>>,
    /// What happened.
    #[serde(flatten)]
    pub body: EventBody,
    /// Bytes that belong to the event; stored beside the JSON form, never inside it.
    #[serde(skip)]
    pub payload: Vec<u8>,
}

/// What the gateway decided about an operation.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// It may pass.
    Allow,
    /// It may pass, with fields masked.
    Mask,
    /// It waits for a person.
    Hold,
    /// It was refused.
    Block,
}

/// A rule that matched.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct RuleMatch {
    /// Its name in the configuration.
    pub rule: Arc<str>,
    /// Its action: `mask`, `approve`, `block`, `alert`, `limit`, `classify`,
    /// `record`.
    pub action: Arc<str>,
    /// It is in `mode: observe`, so it took no part in the outcome.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub observed: bool,
}

fn is_empty(list: &Arc<[Arc<str>]>) -> bool {
    list.is_empty()
}

fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// The kinds of events.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum EventBody {
    /// A client proved itself and was let in to a resource.
    SessionStarted {
        /// Who, in full. Written as `identity`, because the event itself has a `principal`.
        #[serde(rename = "identity")]
        principal: Principal,
        /// Network address of the client.
        client: String,
        /// What the client calls itself.
        application: Option<String>,
        /// The protocol spoken.
        protocol: String,
        /// Which of the token's runs it says it belongs to.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        run: Option<String>,
    },
    /// A client was turned away before a session began.
    SessionRefused {
        /// Network address of the client.
        client: String,
        /// A fixed word: `unknown_token`, `expired_token`, `no_access`, …
        reason: String,
        /// The protocol spoken.
        protocol: String,
    },
    /// A session ended.
    SessionEnded {
        /// A fixed word: `client_closed`, `upstream_closed`, `killed`, `revoked`, `fault`, …
        reason: String,
        /// What broke, in words for the operator.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        detail: Option<String>,
        /// Operations decided.
        operations: u64,
        /// Rows returned.
        rows: u64,
        /// Bytes returned.
        bytes: u64,
    },
    /// An operation was decided. It is sent upstream only after this event is in the journal.
    Operation {
        /// Which.
        operation: OperationId,
        /// The protocol's word for the step.
        step: String,
        /// The operation under whose approval it runs.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        under: Option<OperationId>,
        /// Its exact text.
        text: Arc<str>,
        /// Values beside the text.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        parameters: Vec<Parameter>,
        /// What it touches.
        #[serde(flatten)]
        objects: Arc<Objects>,
        /// The decision.
        decision: Verdict,
        /// Every rule that matched.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        rules: Vec<RuleMatch>,
        /// What the client was told, when it was refused or held.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        message: Option<String>,
        /// A fixed word for the reason of a refusal.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
        /// The approval request made or used.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        approval: Option<Arc<str>>,
        /// Who said yes, when someone did.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        approver: Option<Arc<str>>,
    },
    /// A running reply was stopped, or an answer to a hold arrived.
    Ruling {
        /// Which operation.
        operation: OperationId,
        /// What follows.
        decision: Verdict,
        /// Every rule that matched.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        rules: Vec<RuleMatch>,
        /// Rows seen so far (withheld, for a hold).
        rows: u64,
        /// What the client was told.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        message: Option<String>,
        /// The approval request made or answered.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        approval: Option<Arc<str>>,
        /// Who answered, when someone did.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        approver: Option<Arc<str>>,
        /// Why, in the approver's words.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// Part of a reply is about to leave; the payload is what the client gets.
    ReplyPart {
        /// Which operation.
        operation: OperationId,
        /// Rows in this part.
        rows: u64,
        /// Bytes in this part.
        bytes: u64,
        /// Columns, in the first part.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        columns: Vec<Column>,
    },
    /// A reply is complete; its last bytes leave after this event is in the journal.
    Reply {
        /// Which operation.
        operation: OperationId,
        /// `done`, `error`, `skipped` (one before it in a pipeline failed), `withheld`,
        /// `cancelled`, `cut`.
        outcome: String,
        /// Rows sent to the client.
        rows: u64,
        /// Bytes sent to the client.
        bytes: u64,
        /// Columns with their origins and masks.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        columns: Vec<Column>,
        /// Sensitive values found.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        detections: Vec<DetectionCount>,
        /// Types of sensitive values that all of it was searched for; of any other nothing is
        /// known but what `detections` say was found.
        #[serde(default, skip_serializing_if = "is_empty")]
        searched: Arc<[Arc<str>]>,
        /// From the decision to the last byte, nanoseconds.
        duration_ns: u64,
        /// The upstream's own error code, when it answered with an error.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        error_code: Option<String>,
        /// Payload bytes not kept (`recording.payload: head` or `none`).
        #[serde(default)]
        payload_dropped: u64,
        /// Bytes that followed the operation upstream once it was let go: of an upload that
        /// streams, of a tunnel.
        #[serde(default, skip_serializing_if = "is_zero")]
        sent: u64,
    },
    /// Something the upstream said unasked: a notice, a notification, a changed setting.
    Unsolicited {
        /// `notice`, `notification`, `parameter`.
        what: String,
        /// Bytes sent to the client, after scrubbing.
        bytes: u64,
    },
    /// The gateway made the upstream fail for real, so that a refusal tells the truth about the
    /// transaction (R2).
    Abort {
        /// The refused operation.
        operation: OperationId,
    },
    /// The client asked for the running operation to be cancelled.
    Cancel {},
    /// An `alert` rule matched.
    Alert {
        /// Which operation.
        operation: OperationId,
        /// The rule.
        rule: Arc<str>,
        /// Its message.
        message: String,
    },
    /// Someone administered the gateway.
    Admin {
        /// Who.
        actor: String,
        /// What: `token.create`, `approval.approve`, `session.kill`, `config.load`, …
        action: String,
        /// On what.
        target: String,
        /// Anything else, in words.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        detail: Option<String>,
    },
    /// A gap: events that could not be journalled while `recording.on_failure: continue` was set.
    Gap {
        /// How many operations passed unrecorded.
        operations: u64,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p5_events_from_before_they_said_for_whom_are_read_and_written_as_they_were() {
        let old = [
            r#"{"v":1,"at":7,"gateway":"gw","session":"s_1","sequence":2,"principal":"bot","#,
            r#""resource":"db","kind":"abort","operation":3}"#,
        ]
        .concat();
        let mut event: Event = serde_json::from_str(&old).unwrap();
        assert_eq!(event.on_behalf_of, None);
        assert_eq!(serde_json::to_string(&event).unwrap(), old);
        event.on_behalf_of = Some("ann".into());
        let new = serde_json::to_string(&event).unwrap();
        assert_eq!(new, old.replace(r#""bot","#, r#""bot","on_behalf_of":"ann","#));
        assert_eq!(serde_json::from_str::<Event>(&new).unwrap(), event);
    }
}
