//! Operations joined with what became of them, and with who asked from where.
//!
//! An operation is complete when its reply is, when it was refused before it ran, or when the
//! export ends. One that was held is recorded twice (held, then let go) and is one here.

use std::sync::Arc;

use model::event::{RuleMatch, Verdict};
use model::limit::{
    EXPORT_BODY_BYTES_MAX, EXPORT_OPERATIONS_BYTES_MAX, EXPORT_OPERATIONS_MAX,
    EXPORT_SESSIONS_BYTES_MAX, EXPORT_SESSIONS_MAX,
};
use model::operation::Objects;
use model::{
    Column, DetectionCount, Event, EventBody, OperationId, Parameter, Principal, SessionId,
    Timestamp,
};

use crate::bounded::Bounded;

/// The word for what a person refused.
pub(crate) const APPROVAL_DENIED: &str = "approval_denied";
/// What is counted for an entry beside its texts, bytes.
const ENTRY_BYTES: usize = 512;

/// Where an event belongs.
#[derive(Clone, Debug)]
pub(crate) struct Frame {
    pub at: Timestamp,
    pub gateway: Arc<str>,
    pub session: Option<SessionId>,
    pub sequence: u64,
    pub principal: Option<Arc<str>>,
    /// For whom, where the event itself says so; older recordings say it where the session begins.
    pub on_behalf_of: Option<Arc<str>>,
    pub resource: Option<Arc<str>>,
}

impl Frame {
    pub fn of(event: &Event) -> Self {
        Self {
            at: event.at,
            gateway: Arc::clone(&event.gateway),
            session: event.session.clone(),
            sequence: event.sequence,
            principal: event.principal.clone(),
            on_behalf_of: event.on_behalf_of.clone(),
            resource: event.resource.clone(),
        }
    }
}

impl Frame {
    /// For whom it was done, if anybody says.
    pub fn party<'a>(&'a self, who: Option<&'a Who>) -> Option<&'a str> {
        let began = || who.and_then(|who| who.principal.on_behalf_of.as_deref());
        self.on_behalf_of.as_deref().or_else(began)
    }
}

/// Who began a session, and from where.
#[derive(Debug)]
pub(crate) struct Who {
    pub principal: Principal,
    pub client: String,
    pub application: Option<String>,
    pub protocol: String,
    pub run: Option<String>,
    pub since: Timestamp,
}

/// An operation, as far as it was recorded.
#[derive(Debug)]
pub(crate) struct Entry {
    /// Of its first event.
    pub frame: Frame,
    /// `None` where the session began before the export, or was forgotten.
    pub who: Option<Arc<Who>>,
    pub id: OperationId,
    /// `None` where the operation itself is not among the events, or was written before its reply.
    pub asked: Option<Asked>,
    /// The last word about it.
    pub decision: Option<Verdict>,
    pub rules: Vec<RuleMatch>,
    pub message: Option<String>,
    /// The fixed word for a refusal.
    pub reason: Option<String>,
    pub approval: Option<Arc<str>>,
    pub approver: Option<Arc<str>>,
    /// The approver's own words.
    pub words: Option<String>,
    /// When it was let go.
    pub released: Option<Timestamp>,
    /// When the first part of its reply left.
    pub first_part: Option<Timestamp>,
    /// Status of an HTTP reply, as far as its head was kept.
    pub status: Option<u16>,
    /// Bytes of the recorded payload so far: the head is at their beginning.
    heard: u64,
    /// What was kept of the reply, where it was asked for.
    pub payload: Vec<u8>,
    /// Bytes of the recorded payload that were left out here.
    pub payload_cut: u64,
    pub reply: Option<Replied>,
}

/// What was asked for.
#[derive(Debug)]
pub(crate) struct Asked {
    pub step: String,
    pub under: Option<OperationId>,
    pub text: Arc<str>,
    pub parameters: Vec<Parameter>,
    pub objects: Arc<Objects>,
    /// What was decided about the operation itself.
    verdict: Verdict,
}

/// How it ended.
#[derive(Debug)]
pub(crate) struct Replied {
    pub at: Timestamp,
    pub outcome: String,
    pub rows: u64,
    pub bytes: u64,
    pub columns: Vec<Column>,
    pub detections: Vec<DetectionCount>,
    pub duration_ns: u64,
    pub error_code: Option<String>,
    pub payload_dropped: u64,
    pub sent: u64,
}

/// Whether payloads are kept with entries.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Payloads {
    Ignored,
    Kept,
}

type Key = (Option<SessionId>, OperationId);

/// Joins events.
pub(crate) struct Join {
    sessions: Bounded<SessionId, Arc<Who>>,
    open: Bounded<Key, Entry>,
    payloads: Payloads,
}

impl Join {
    /// Has heard nothing.
    pub fn new(payloads: Payloads) -> Self {
        Self {
            sessions: Bounded::new(EXPORT_SESSIONS_MAX, EXPORT_SESSIONS_BYTES_MAX),
            open: Bounded::new(EXPORT_OPERATIONS_MAX, EXPORT_OPERATIONS_BYTES_MAX),
            payloads,
        }
    }

    /// Who began the session of an event, as far as it is known.
    pub fn who(&mut self, event: &Event) -> Option<Arc<Who>> {
        self.sessions.touch(event.session.as_ref()?).map(|who| Arc::clone(who))
    }

    /// Takes the next event. Returns the operations of which no more is awaited; those that had to
    /// make room come first.
    pub fn event(&mut self, event: &Event) -> Vec<Entry> {
        // It was heard of.
        let _ = self.who(event);
        match &event.body {
            EventBody::SessionStarted { .. } => {
                self.began(event);
                Vec::new()
            }
            EventBody::Operation { .. } => self.operation(event),
            EventBody::Ruling { .. } => self.ruling(event),
            EventBody::ReplyPart { operation, .. } => {
                let key = key(event, *operation);
                let mut gone = self.entry(event, *operation);
                if let Some(entry) = self.open.touch(&key) {
                    entry.first_part.get_or_insert(event.at);
                    entry.keep(&event.payload, self.payloads);
                }
                gone.extend(self.weigh(&key));
                gone
            }
            EventBody::Reply { .. } => self.reply(event),
            _ => Vec::new(),
        }
    }

    /// Takes out what never got a reply, oldest first.
    pub fn rest(&mut self) -> Vec<Entry> {
        self.open.drain()
    }

    fn began(&mut self, event: &Event) {
        let EventBody::SessionStarted { principal, client, application, protocol, run } =
            &event.body
        else {
            return;
        };
        let Some(session) = event.session.clone() else { return };
        let groups = principal.groups.iter().chain(&principal.on_behalf_of_groups);
        let bytes = groups.fold(ENTRY_BYTES, |bytes, group| bytes.saturating_add(group.len()));
        let bytes = [Some(client), application.as_ref(), Some(protocol), run.as_ref()]
            .into_iter()
            .flatten()
            .fold(bytes, |bytes, text| bytes.saturating_add(text.len()))
            .saturating_add(principal.chain().map(str::len).sum());
        let who = Who {
            principal: principal.clone(),
            client: client.clone(),
            application: application.clone(),
            protocol: protocol.clone(),
            run: run.clone(),
            since: event.at,
        };
        // Whoever is forgotten is unknown from here on.
        let _ = self.sessions.insert(session, Arc::new(who), bytes);
    }

    fn operation(&mut self, event: &Event) -> Vec<Entry> {
        let EventBody::Operation {
            operation,
            step,
            under,
            text,
            parameters,
            objects,
            decision,
            rules,
            message,
            reason,
            approval,
            approver,
        } = &event.body
        else {
            return Vec::new();
        };
        let key = key(event, *operation);
        let is_same = |entry: &mut Entry| entry.is_held() && entry.is_text(text);
        let mut gone = Vec::new();
        if !self.open.touch(&key).is_some_and(is_same) {
            // Another one under its number: two gateways' recordings, or one read twice.
            gone.extend(self.open.remove(&key));
            gone.extend(self.entry(event, *operation));
        }
        let Some(entry) = self.open.touch(&key) else { return gone };
        entry.asked = Some(Asked {
            step: step.clone(),
            under: *under,
            text: Arc::clone(text),
            parameters: parameters.clone(),
            objects: Arc::clone(objects),
            verdict: *decision,
        });
        entry.decision = Some(*decision);
        entry.note(rules, message, approval, approver);
        if reason.is_some() {
            entry.reason.clone_from(reason);
        }
        match decision {
            Verdict::Allow | Verdict::Mask => entry.released = Some(event.at),
            Verdict::Hold => {}
            Verdict::Block => {
                gone.extend(self.open.remove(&key));
                return gone;
            }
        }
        gone.extend(self.weigh(&key));
        gone
    }

    fn ruling(&mut self, event: &Event) -> Vec<Entry> {
        let EventBody::Ruling {
            operation,
            decision,
            rules,
            rows: _,
            message,
            approval,
            approver,
            reason,
        } = &event.body
        else {
            return Vec::new();
        };
        let key = key(event, *operation);
        let mut gone = self.entry(event, *operation);
        let Some(entry) = self.open.touch(&key) else { return gone };
        entry.note(rules, message, approval, approver);
        let own = entry.asked.as_ref().map(|asked| asked.verdict);
        entry.decision = match (decision, own) {
            // A reply that was held and let go is masked as before.
            (Verdict::Allow, Some(Verdict::Mask)) => Some(Verdict::Mask),
            (decision, _) => Some(*decision),
        };
        match (decision, approver) {
            // What an approver said stands where the word for a refusal is otherwise.
            (Verdict::Block, Some(_)) => {
                entry.reason = Some(APPROVAL_DENIED.to_owned());
                entry.words.clone_from(reason);
            }
            (_, Some(_)) => entry.words.clone_from(reason),
            (Verdict::Block, None) => entry.reason.clone_from(reason),
            (_, None) => {}
        }
        if *decision == Verdict::Block && own == Some(Verdict::Hold) {
            // It never ran, so nothing replies to it.
            gone.extend(self.open.remove(&key));
            return gone;
        }
        gone.extend(self.weigh(&key));
        gone
    }

    fn reply(&mut self, event: &Event) -> Vec<Entry> {
        let EventBody::Reply {
            operation,
            outcome,
            rows,
            bytes,
            columns,
            detections,
            searched: _,
            duration_ns,
            error_code,
            payload_dropped,
            sent,
        } = &event.body
        else {
            return Vec::new();
        };
        let mut gone = self.entry(event, *operation);
        let Some(mut entry) = self.open.remove(&key(event, *operation)) else { return gone };
        entry.keep(&event.payload, self.payloads);
        entry.reply = Some(Replied {
            at: event.at,
            outcome: outcome.clone(),
            rows: *rows,
            bytes: *bytes,
            columns: columns.clone(),
            detections: detections.clone(),
            duration_ns: *duration_ns,
            error_code: error_code.clone(),
            payload_dropped: *payload_dropped,
            sent: *sent,
        });
        gone.push(entry);
        gone
    }

    /// Makes sure that there is an entry for an operation. Returns what had to make room.
    fn entry(&mut self, event: &Event, id: OperationId) -> Vec<Entry> {
        let key = key(event, id);
        if self.open.touch(&key).is_some() {
            return Vec::new();
        }
        let entry = Entry::new(event, id, self.who(event));
        self.open.insert(key, entry, ENTRY_BYTES)
    }

    fn weigh(&mut self, key: &Key) -> Vec<Entry> {
        let bytes = self.open.touch(key).map_or(0, |entry| entry.bytes());
        self.open.weigh(key, bytes)
    }
}

fn key(event: &Event, id: OperationId) -> Key {
    (event.session.clone(), id)
}

impl Entry {
    fn new(event: &Event, id: OperationId, who: Option<Arc<Who>>) -> Self {
        Self {
            frame: Frame::of(event),
            who,
            id,
            asked: None,
            decision: None,
            rules: Vec::new(),
            message: None,
            reason: None,
            approval: None,
            approver: None,
            words: None,
            released: None,
            first_part: None,
            status: None,
            heard: 0,
            payload: Vec::new(),
            payload_cut: 0,
            reply: None,
        }
    }

    /// `urn:narrows:SESSION:OPERATION`, which is what a refused client of HTTP is told.
    pub fn name(&self) -> String {
        name(self.frame.session.as_ref(), self.id)
    }

    /// The protocol, where the session is known.
    pub fn protocol(&self) -> Option<&str> {
        self.who.as_ref().map(|who| who.protocol.as_str())
    }

    fn is_held(&self) -> bool {
        self.asked.as_ref().is_some_and(|asked| asked.verdict == Verdict::Hold)
    }

    fn is_text(&self, text: &str) -> bool {
        self.asked.as_ref().is_some_and(|asked| &*asked.text == text)
    }

    fn note(
        &mut self,
        rules: &[RuleMatch],
        message: &Option<String>,
        approval: &Option<Arc<str>>,
        approver: &Option<Arc<str>>,
    ) {
        for rule in rules {
            if !self.rules.contains(rule) {
                self.rules.push(rule.clone());
            }
        }
        for (ours, theirs) in [(&mut self.approval, approval), (&mut self.approver, approver)] {
            if theirs.is_some() {
                ours.clone_from(theirs);
            }
        }
        if message.is_some() {
            self.message.clone_from(message);
        }
    }

    fn keep(&mut self, bytes: &[u8], payloads: Payloads) {
        if self.heard == 0 {
            self.status = crate::target::status_in(bytes);
        }
        self.heard = self.heard.saturating_add(bytes.len() as u64);
        if payloads == Payloads::Kept {
            let room = EXPORT_BODY_BYTES_MAX.saturating_sub(self.payload.len());
            let kept = bytes.get(..room).unwrap_or(bytes);
            self.payload.extend_from_slice(kept);
            let cut = bytes.len().saturating_sub(kept.len());
            self.payload_cut = self.payload_cut.saturating_add(cut as u64);
        }
    }

    /// What is remembered of it, roughly.
    fn bytes(&self) -> usize {
        let texts = [&self.message, &self.reason, &self.words].into_iter().flatten();
        let texts = texts.map(String::len).fold(ENTRY_BYTES, usize::saturating_add);
        let rules = self.rules.iter().map(|rule| rule.rule.len()).sum();
        let asked = self.asked.as_ref().map_or(0, Asked::bytes);
        [rules, asked, self.payload.len()].into_iter().fold(texts, usize::saturating_add)
    }
}

impl Asked {
    fn bytes(&self) -> usize {
        let Objects { verbs, reads, writes, columns } = &*self.objects;
        let names = [verbs, reads, writes, columns].into_iter().flatten().map(|name| name.len());
        let parameters = self.parameters.iter().map(|parameter| {
            let value = parameter.value.as_ref().map_or(0, String::len);
            parameter.kind.len().saturating_add(value).saturating_add(size_of::<Parameter>())
        });
        names.chain(parameters).fold(self.text.len(), usize::saturating_add)
    }
}

/// `urn:narrows:SESSION:OPERATION`.
pub(crate) fn name(session: Option<&SessionId>, id: OperationId) -> String {
    let session = session.map_or("", |session| &session.0);
    format!("urn:narrows:{session}:{}", id.0)
}
