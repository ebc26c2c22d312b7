//! The Open Cybersecurity Schema Framework, version 1.5.0 (`https://schema.ocsf.io/1.5.0/`): one
//! object per line.
//!
//! | event | class |
//! |---|---|
//! | session started, refused, ended | Authentication (3002): logon, failed logon, logoff |
//! | an operation with its reply, of PostgreSQL | Datastore Activity (6005), by its verbs |
//! | the same of HTTP | HTTP Activity (4002), by its method |
//! | the same of another protocol | API Activity (6003) |
//! | an answer of a person, a reply that is held | Entity Management (3004) of the approval |
//! | an administrative act | Entity Management (3004) of its target |
//! | an alert, an operation or a reply that is blocked, a gap | Detection Finding (2004) |
//! | abort, cancel, what the upstream said unasked | Base Event (0) |
//! | a part of a reply | none: the reply counts it |
//!
//! So what is blocked has two objects: the activity that did not happen and the finding, whose
//! `related_events` names the activity by its `metadata.uid`. An activity is written when its reply
//! is complete, with the time at which it was asked for.
//!
//! Names and addresses come from the session's first event. Where that is not among the events, or
//! was forgotten past `EXPORT_SESSIONS_MAX`, `src_endpoint.name` is `unknown` and the protocol is
//! guessed from the operation's step; `unmapped.session_unknown` says so. `unmapped` also has what
//! OCSF has no word for: rules, approver, masks, detections, decision, and for whom the work is
//! done.

mod activity;
mod entity;
mod finding;
mod scene;
mod session;

use std::io::Write;
use std::sync::Arc;

use model::event::Verdict;
use model::{Event, EventBody, Timestamp};
use serde_json::{Value, json};

use crate::exporter::{ExportError, Form};
use crate::join::{APPROVAL_DENIED, Entry, Frame, Join, Payloads, name};
use crate::json;
use crate::ocsf::scene::{Activity, BASE, Scene, Severity};

/// Writes objects.
pub(crate) struct Ocsf {
    version: String,
    join: Join,
    /// When the gateway itself was last heard of, and how many of its events have that time.
    last: Option<(Arc<str>, Timestamp, u64)>,
}

impl Form for Ocsf {
    fn event(&mut self, event: &Event, out: &mut dyn Write) -> Result<(), ExportError> {
        for entry in self.join.event(event) {
            self.entry(&entry, out)?;
        }
        let who = self.join.who(event);
        let mut frame = Frame::of(event);
        if frame.session.is_none() {
            frame.sequence = self.number(event);
        }
        let scene = Scene { frame: &frame, who: who.as_deref(), version: &self.version };
        told(&event.body, &scene).into_iter().try_for_each(|object| line(object, out))
    }

    fn finish(&mut self, out: &mut dyn Write) -> Result<(), ExportError> {
        self.join.rest().iter().try_for_each(|entry| self.entry(entry, out))
    }
}

impl Ocsf {
    pub fn new(version: String) -> Self {
        Self { version, join: Join::new(Payloads::Ignored), last: None }
    }

    /// Events of the gateway itself have no numbers; those of one time get them here.
    fn number(&mut self, event: &Event) -> u64 {
        let number = match &self.last {
            Some((gateway, at, number)) if *gateway == event.gateway && *at == event.at => {
                number.saturating_add(1)
            }
            _ => 0,
        };
        self.last = Some((Arc::clone(&event.gateway), event.at, number));
        number
    }

    fn entry(&self, entry: &Entry, out: &mut dyn Write) -> Result<(), ExportError> {
        let Entry { frame, who, .. } = entry;
        let scene = Scene { frame, who: who.as_deref(), version: &self.version };
        line(activity::of(entry, &scene), out)
    }
}

fn line(object: Value, out: &mut dyn Write) -> Result<(), ExportError> {
    json::write(out, &scene::without_nothing(object))?;
    Ok(out.write_all(b"\n")?)
}

/// What an event says beside the activity that it is a part of.
fn told(body: &EventBody, scene: &Scene<'_>) -> Vec<Value> {
    match body {
        EventBody::SessionStarted { .. }
        | EventBody::SessionRefused { .. }
        | EventBody::SessionEnded { .. } => session::of(body, scene).into_iter().collect(),
        EventBody::Operation { operation, decision, rules, message, reason, .. } => {
            let blocked = *decision == Verdict::Block;
            let why = finding::Why {
                rules,
                message: message.as_deref(),
                reason: reason.as_deref(),
                approver: None,
                words: None,
            };
            blocked.then(|| finding::blocked(*operation, &why, scene)).into_iter().collect()
        }
        EventBody::Ruling { operation, decision, rules, message, reason, approver, .. } => {
            let blocked = *decision == Verdict::Block;
            // What an approver said stands where the word for a refusal is otherwise.
            let (reason, words) = match approver {
                Some(_) => (Some(APPROVAL_DENIED), reason.as_deref()),
                None => (reason.as_deref(), None),
            };
            let message = message.as_deref();
            let why = finding::Why { rules, message, reason, approver: approver.as_deref(), words };
            let blocked = blocked.then(|| finding::blocked(*operation, &why, scene));
            entity::approval(body, scene).into_iter().chain(blocked).collect()
        }
        EventBody::Alert { operation, rule, message } => {
            vec![finding::alert(*operation, rule, message, scene)]
        }
        EventBody::Gap { operations } => vec![finding::gap(*operations, scene)],
        EventBody::Admin { actor, action, target, detail } => {
            vec![entity::administered((actor, action, target), detail.as_deref(), scene)]
        }
        EventBody::Abort { operation } => {
            let operation = name(scene.frame.session.as_ref(), *operation);
            vec![other("Abort", json!({"operation": operation}), scene)]
        }
        EventBody::Cancel {} => vec![other("Cancel", json!({}), scene)],
        EventBody::Unsolicited { what, bytes } => {
            vec![other("Unsolicited", json!({"what": what, "bytes": bytes}), scene)]
        }
        // Its operation's activity tells it.
        EventBody::ReplyPart { .. } | EventBody::Reply { .. } => Vec::new(),
    }
}

/// What no class is for.
fn other(word: &'static str, unmapped: Value, scene: &Scene<'_>) -> Value {
    scene.object(
        BASE,
        Activity::other(word),
        Severity::Informational,
        json!({
            "message": word,
            "actor": scene.actor(),
            "unmapped": unmapped,
        }),
    )
}
