//! One event as one row of the archive, and back: nothing of an event is lost on the way.
//!
//! The fields of [`Row`] are the columns of the Parquet files, in that order; `schema` says how
//! each is stored, `docs/recording-schema.md` what each means. [`Row::canonical`] is what is
//! hashed.

use std::sync::Arc;

use model::event::{EventBody, RuleMatch, SessionId, Verdict};
use model::identity::{Principal, PrincipalKind, TokenId, Voucher};
use model::operation::{Objects, OperationId, Parameter};
use model::reply::{Column, DetectionCount, Origin};
use model::{Event, Timestamp};
use serde::{Deserialize, Serialize, Serializer};

use crate::merkle::{self, Hash};

const COUNT_MAX: u64 = i64::MAX.unsigned_abs();

/// Stands where a text is sealed.
pub const SEALED_TEXT: &str = "(sealed)";

/// Shared text.
pub type Text = Arc<str>;

/// One event, as the archive holds it. What an event of its kind does not have is empty.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize)]
pub struct Row {
    /// When, nanoseconds since the epoch, UTC.
    pub time: u64,
    /// Which gateway.
    pub gateway: Text,
    /// The segment of its journal that held the event.
    pub segment: u64,
    /// Where in that segment, bytes.
    pub offset: u64,
    /// Number of the event in the gateway's journal, from 1, without gaps.
    pub number: u64,
    /// Version of the event's form.
    pub v: u64,
    /// Position within the session; 0 for what concerns the gateway.
    pub sequence: u64,
    /// What happened: `operation`, `reply`, …
    pub kind: Text,
    /// Which session.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session: Option<Text>,
    /// Subject of the principal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub principal: Option<Text>,
    /// Name of the resource.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resource: Option<Text>,
    /// For whom the work is done (`session_started`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_behalf_of: Option<Text>,
    /// Agent, person or service (`session_started`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub principal_kind: Option<Text>,
    /// Groups of the principal (`session_started`).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<Text>,
    /// The token that proved it (`session_started`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token: Option<Text>,
    /// The rest of the principal, as JSON (`session_started`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub identity: Option<Text>,
    /// The protocol spoken.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub protocol: Option<Text>,
    /// Network address of the client.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client: Option<Text>,
    /// What the client calls itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub application: Option<Text>,
    /// Which of the token's runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run: Option<Text>,
    /// Which operation of the session.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operation: Option<u64>,
    /// The operation under whose approval it runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub under: Option<u64>,
    /// The protocol's word for the step.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub step: Option<Text>,
    /// The exact text, unless it is in `sealed`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<Text>,
    /// Values beside the text, unless they are in `sealed`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub parameters: Vec<Parameter>,
    /// What is done: `select`, …
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub verbs: Vec<Text>,
    /// Tables read.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub reads: Vec<Text>,
    /// Tables written.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub writes: Vec<Text>,
    /// Columns read.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub columns_read: Vec<Text>,
    /// `allow`, `mask`, `hold`, `block`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decision: Option<Text>,
    /// Every rule that matched.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<RuleMatch>,
    /// What the client was told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<Text>,
    /// A fixed word for the reason.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<Text>,
    /// The approval request made or used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub approval: Option<Text>,
    /// Who answered it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub approver: Option<Text>,
    /// How a reply ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Text>,
    /// Operations, of a session that ended or a gap.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operations: Option<u64>,
    /// Rows sent to the client.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rows: Option<u64>,
    /// Bytes sent to the client.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// Columns (or fields) of a reply.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub columns: Vec<Field>,
    /// Sensitive values found.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub detections: Vec<DetectionCount>,
    /// Types of sensitive values that the reply was searched for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub searched: Vec<Text>,
    /// From the decision to the last byte, nanoseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duration_ns: Option<u64>,
    /// The upstream's own error code.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error_code: Option<Text>,
    /// Payload bytes not kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub payload_dropped: Option<u64>,
    /// Bytes that followed the operation upstream.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sent: Option<u64>,
    /// What was said unasked: `notice`, …
    #[serde(skip_serializing_if = "Option::is_none")]
    pub what: Option<Text>,
    /// Who administered the gateway.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub actor: Option<Text>,
    /// What they did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub action: Option<Text>,
    /// On what.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<Text>,
    /// Anything else, in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<Text>,
    /// What the client got, unless it is in `sealed`.
    #[serde(skip_serializing_if = "Vec::is_empty", serialize_with = "digest")]
    pub payload: Vec<u8>,
    /// Text, parameters and payload, encrypted.
    #[serde(skip_serializing_if = "Vec::is_empty", serialize_with = "digest")]
    pub sealed: Vec<u8>,
    /// The leaf of the Merkle tree that this row is, as it is stored; not part of itself.
    #[serde(skip)]
    pub hash: Hash,
}

/// One column of a reply and one of the stored columns that it depends on.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize)]
pub struct Field {
    /// Which column of the reply, from 1.
    pub position: u64,
    /// The name the client sees.
    pub label: Text,
    /// Namespace of the table it comes from; empty when it depends on no stored column.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schema: Option<Text>,
    /// That table.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub table: Option<Text>,
    /// That column.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub column: Option<Text>,
    /// How it was masked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mask: Option<Text>,
}

impl Field {
    /// `schema.table.column` of where it comes from.
    #[must_use]
    pub fn origin(&self) -> Option<String> {
        match (&self.schema, &self.table, &self.column) {
            (Some(schema), Some(table), Some(column)) => Some(format!("{schema}.{table}.{column}")),
            _ => None,
        }
    }
}

/// Long values are in the canonical form by their SHA-256.
fn digest<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&merkle::hex(&merkle::sha256(bytes)))
}

/// What of a principal has no column of its own.
#[derive(Debug, Deserialize, Serialize)]
struct Identity {
    subject: Text,
    issuer: Text,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    on_behalf_of_groups: Vec<Text>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    minted_by: Option<Text>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expires_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    certificate: Option<Voucher>,
}

/// Why a row is no event.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum RowError {
    /// A kind that this build does not know.
    #[error("an event of kind {0:?}, which this build does not know")]
    Kind(String),
    /// Something that every event of its kind has is missing or cannot be read.
    #[error("a {kind} event without a readable {column}")]
    Column {
        /// The kind.
        kind: String,
        /// The column.
        column: &'static str,
    },
    /// Its text, parameters and payload are encrypted.
    #[error("the event is sealed; unseal it first")]
    Sealed,
}

/// Where an event was in its gateway's journal.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Place {
    /// The segment.
    pub segment: u64,
    /// Bytes from its beginning.
    pub offset: u64,
    /// The number of the event, from 1.
    pub number: u64,
}

impl Row {
    /// The row of an event.
    #[must_use]
    pub fn of(event: Event, place: Place) -> Self {
        let mut row = Self {
            time: event.at.0,
            gateway: event.gateway,
            segment: place.segment,
            offset: place.offset,
            number: place.number,
            v: u64::from(event.v),
            sequence: event.sequence,
            session: event.session.map(|session| session.0),
            principal: event.principal,
            on_behalf_of: event.on_behalf_of,
            resource: event.resource,
            payload: event.payload,
            ..Self::default()
        };
        row.take(event.body);
        row.clip();
        row
    }

    /// Counts end where the archive's numbers do, at 2^63 - 1.
    fn clip(&mut self) {
        let counts = [
            &mut self.operation,
            &mut self.under,
            &mut self.operations,
            &mut self.rows,
            &mut self.bytes,
            &mut self.duration_ns,
            &mut self.payload_dropped,
            &mut self.sent,
        ];
        let counts = counts.into_iter().flatten();
        let found = self.detections.iter_mut().flat_map(|of| [&mut of.seen, &mut of.masked]);
        let all = counts.chain(found).chain([&mut self.time, &mut self.sequence]);
        all.for_each(|count| *count = (*count).min(COUNT_MAX));
    }

    fn take(&mut self, body: EventBody) {
        self.kind = kind(&body).into();
        match body {
            EventBody::SessionStarted { principal, client, application, protocol, run } => {
                self.take_principal(principal);
                self.client = Some(client.into());
                self.application = application.map(Into::into);
                self.protocol = Some(protocol.into());
                self.run = run.map(Into::into);
            }
            EventBody::SessionRefused { client, reason, protocol } => {
                self.client = Some(client.into());
                self.reason = Some(reason.into());
                self.protocol = Some(protocol.into());
            }
            EventBody::SessionEnded { reason, detail, operations, rows, bytes } => {
                self.reason = Some(reason.into());
                self.detail = detail.map(Into::into);
                self.operations = Some(operations);
                (self.rows, self.bytes) = (Some(rows), Some(bytes));
            }
            EventBody::Operation { .. } => self.take_operation(body),
            EventBody::Ruling {
                operation,
                decision,
                rules,
                rows,
                message,
                approval,
                approver,
                reason,
            } => {
                self.operation = Some(operation.0);
                self.decision = Some(verdict(decision).into());
                self.rules = rules;
                self.rows = Some(rows);
                self.message = message.map(Into::into);
                (self.approval, self.approver) = (approval, approver);
                self.reason = reason.map(Into::into);
            }
            EventBody::ReplyPart { operation, rows, bytes, columns } => {
                self.operation = Some(operation.0);
                (self.rows, self.bytes) = (Some(rows), Some(bytes));
                self.columns = fields(columns);
            }
            EventBody::Reply { .. } => self.take_reply(body),
            EventBody::Unsolicited { what, bytes } => {
                (self.what, self.bytes) = (Some(what.into()), Some(bytes));
            }
            EventBody::Abort { operation } => self.operation = Some(operation.0),
            EventBody::Cancel {} => {}
            EventBody::Alert { operation, rule, message } => {
                self.operation = Some(operation.0);
                self.rules = vec![RuleMatch { rule, action: "alert".into(), observed: false }];
                self.message = Some(message.into());
            }
            EventBody::Admin { actor, action, target, detail } => {
                self.actor = Some(actor.into());
                self.action = Some(action.into());
                self.target = Some(target.into());
                self.detail = detail.map(Into::into);
            }
            EventBody::Gap { operations } => self.operations = Some(operations),
        }
    }

    fn take_principal(&mut self, principal: Principal) {
        let identity = Identity {
            subject: principal.subject,
            issuer: principal.issuer,
            on_behalf_of_groups: principal.on_behalf_of_groups,
            minted_by: principal.minted_by,
            expires_at: principal.expires_at,
            certificate: principal.certificate,
        };
        // Texts and numbers only: it always has a form.
        self.identity = serde_json::to_string(&identity).ok().map(Into::into);
        self.principal_kind = Some(principal.kind.as_str().into());
        self.groups = principal.groups;
        // Recordings from before every event had it have it here alone.
        self.on_behalf_of = principal.on_behalf_of;
        self.token = principal.token.map(|token| token.0);
    }

    fn take_operation(&mut self, body: EventBody) {
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
        } = body
        else {
            return;
        };
        let objects = Arc::unwrap_or_clone(objects);
        self.operation = Some(operation.0);
        self.step = Some(step.into());
        self.under = under.map(|under| under.0);
        self.text = Some(text);
        self.parameters = parameters;
        self.verbs = objects.verbs;
        self.reads = objects.reads;
        self.writes = objects.writes;
        self.columns_read = objects.columns;
        self.decision = Some(verdict(decision).into());
        self.rules = rules;
        self.message = message.map(Into::into);
        self.reason = reason.map(Into::into);
        (self.approval, self.approver) = (approval, approver);
    }

    fn take_reply(&mut self, body: EventBody) {
        let EventBody::Reply {
            operation,
            outcome,
            rows,
            bytes,
            columns,
            detections,
            searched,
            duration_ns,
            error_code,
            payload_dropped,
            sent,
        } = body
        else {
            return;
        };
        self.operation = Some(operation.0);
        self.outcome = Some(outcome.into());
        (self.rows, self.bytes) = (Some(rows), Some(bytes));
        self.columns = fields(columns);
        self.detections = detections;
        self.searched = searched.to_vec();
        self.duration_ns = Some(duration_ns);
        self.error_code = error_code.map(Into::into);
        self.payload_dropped = Some(payload_dropped);
        self.sent = Some(sent);
    }

    /// The event again.
    pub fn event(self) -> Result<Event, RowError> {
        if !self.sealed.is_empty() {
            return Err(RowError::Sealed);
        }
        let (at, v, sequence) = (Timestamp(self.time), self.v, self.sequence);
        let (gateway, session) = (Arc::clone(&self.gateway), self.session.clone());
        let (principal, resource) = (self.principal.clone(), self.resource.clone());
        let on_behalf_of = self.on_behalf_of.clone();
        let mut row = self;
        let payload = std::mem::take(&mut row.payload);
        Ok(Event {
            v: u16::try_from(v).map_err(|_| row.without("v"))?,
            at,
            gateway,
            session: session.map(SessionId),
            sequence,
            principal,
            on_behalf_of,
            resource,
            body: row.body()?,
            payload,
        })
    }

    /// Whether this is where the event was signed: hour, gateway and segment of the path are its
    /// own.
    #[must_use]
    pub fn belongs_in(&self, path: &str) -> bool {
        let place = crate::convert::folder(Timestamp(self.time));
        path.strip_prefix(&place).is_some_and(|rest| rest.starts_with('/'))
            && crate::convert::named(path) == Some((&*self.gateway, self.segment))
    }

    /// Takes the place of what is sealed and cannot be opened: an event that says so.
    pub fn hide(&mut self) {
        if self.sealed.is_empty() {
            return;
        }
        self.sealed = Vec::new();
        match &*self.kind {
            "operation" => self.text = Some(SEALED_TEXT.into()),
            "alert" => self.message = Some(SEALED_TEXT.into()),
            _ => {}
        }
    }

    fn without(&self, column: &'static str) -> RowError {
        RowError::Column { kind: self.kind.to_string(), column }
    }

    fn body(self) -> Result<EventBody, RowError> {
        Ok(match &*self.kind {
            "session_started" => EventBody::SessionStarted {
                principal: self.whole_principal()?,
                client: self.word(&self.client, "client")?,
                application: optional(self.application.as_ref()),
                protocol: self.word(&self.protocol, "protocol")?,
                run: optional(self.run.as_ref()),
            },
            "session_refused" => EventBody::SessionRefused {
                client: self.word(&self.client, "client")?,
                reason: self.word(&self.reason, "reason")?,
                protocol: self.word(&self.protocol, "protocol")?,
            },
            "session_ended" => EventBody::SessionEnded {
                reason: self.word(&self.reason, "reason")?,
                detail: optional(self.detail.as_ref()),
                operations: self.count(self.operations, "operations")?,
                rows: self.count(self.rows, "rows")?,
                bytes: self.count(self.bytes, "bytes")?,
            },
            "operation" => self.operation_body()?,
            "ruling" => EventBody::Ruling {
                operation: self.number()?,
                decision: self.verdict()?,
                rows: self.count(self.rows, "rows")?,
                message: optional(self.message.as_ref()),
                reason: optional(self.reason.as_ref()),
                approval: self.approval,
                approver: self.approver,
                rules: self.rules,
            },
            "reply_part" => EventBody::ReplyPart {
                operation: self.number()?,
                rows: self.count(self.rows, "rows")?,
                bytes: self.count(self.bytes, "bytes")?,
                columns: columns(&self.columns),
            },
            "reply" => EventBody::Reply {
                operation: self.number()?,
                outcome: self.word(&self.outcome, "outcome")?,
                rows: self.count(self.rows, "rows")?,
                bytes: self.count(self.bytes, "bytes")?,
                columns: columns(&self.columns),
                duration_ns: self.count(self.duration_ns, "duration_ns")?,
                error_code: optional(self.error_code.as_ref()),
                payload_dropped: self.count(self.payload_dropped, "payload_dropped")?,
                sent: self.count(self.sent, "sent")?,
                searched: self.searched.into(),
                detections: self.detections,
            },
            "unsolicited" => EventBody::Unsolicited {
                what: self.word(&self.what, "what")?,
                bytes: self.count(self.bytes, "bytes")?,
            },
            "abort" => EventBody::Abort { operation: self.number()? },
            "cancel" => EventBody::Cancel {},
            "alert" => EventBody::Alert {
                operation: self.number()?,
                rule: match self.rules.first() {
                    Some(matched) => Arc::clone(&matched.rule),
                    None => return Err(self.without("rules")),
                },
                message: self.word(&self.message, "message")?,
            },
            "admin" => EventBody::Admin {
                actor: self.word(&self.actor, "actor")?,
                action: self.word(&self.action, "action")?,
                target: self.word(&self.target, "target")?,
                detail: optional(self.detail.as_ref()),
            },
            "gap" => EventBody::Gap { operations: self.count(self.operations, "operations")? },
            other => return Err(RowError::Kind(other.to_owned())),
        })
    }

    fn operation_body(self) -> Result<EventBody, RowError> {
        Ok(EventBody::Operation {
            operation: self.number()?,
            step: self.word(&self.step, "step")?,
            under: self.under.map(OperationId),
            text: self.text.clone().ok_or_else(|| self.without("text"))?,
            decision: self.verdict()?,
            message: optional(self.message.as_ref()),
            reason: optional(self.reason.as_ref()),
            parameters: self.parameters,
            objects: Arc::new(Objects {
                verbs: self.verbs,
                reads: self.reads,
                writes: self.writes,
                columns: self.columns_read,
            }),
            rules: self.rules,
            approval: self.approval,
            approver: self.approver,
        })
    }

    fn whole_principal(&self) -> Result<Principal, RowError> {
        let identity = self.identity.as_deref().and_then(|text| serde_json::from_str(text).ok());
        let identity: Identity = identity.ok_or_else(|| self.without("identity"))?;
        let kind = match self.principal_kind.as_deref() {
            Some("agent") => PrincipalKind::Agent,
            Some("person") => PrincipalKind::Person,
            Some("service") => PrincipalKind::Service,
            _ => return Err(self.without("principal_kind")),
        };
        Ok(Principal {
            subject: identity.subject,
            kind,
            groups: self.groups.clone(),
            issuer: identity.issuer,
            on_behalf_of: self.on_behalf_of.clone(),
            on_behalf_of_groups: identity.on_behalf_of_groups,
            token: self.token.clone().map(TokenId),
            minted_by: identity.minted_by,
            expires_at: identity.expires_at,
            certificate: identity.certificate,
        })
    }

    fn word(&self, text: &Option<Text>, column: &'static str) -> Result<String, RowError> {
        optional(text.as_ref()).ok_or_else(|| self.without(column))
    }

    fn count(&self, count: Option<u64>, column: &'static str) -> Result<u64, RowError> {
        count.ok_or_else(|| self.without(column))
    }

    fn number(&self) -> Result<OperationId, RowError> {
        self.count(self.operation, "operation").map(OperationId)
    }

    fn verdict(&self) -> Result<Verdict, RowError> {
        match self.decision.as_deref() {
            Some("allow") => Ok(Verdict::Allow),
            Some("mask") => Ok(Verdict::Mask),
            Some("hold") => Ok(Verdict::Hold),
            Some("block") => Ok(Verdict::Block),
            _ => Err(self.without("decision")),
        }
    }

    /// What is hashed: a JSON object (RFC 8259, UTF-8, no spaces) of every column that is not
    /// empty, in the order of the schema, except `hash`. Binary columns are in it as the SHA-256 of
    /// what they hold, lower-case hexadecimal. Appended to `buffer`.
    pub fn canonical(&self, buffer: &mut Vec<u8>) {
        // Texts, numbers and lists of them into memory: it cannot fail.
        let _ = serde_json::to_writer(buffer, self);
    }

    /// The leaf of the Merkle tree that the row is (RFC 6962 section 2.1): SHA-256 of a zero byte
    /// and the canonical form.
    #[must_use]
    pub fn leaf(&self, buffer: &mut Vec<u8>) -> Hash {
        buffer.clear();
        self.canonical(buffer);
        merkle::leaf(buffer)
    }

    /// Whether the row names this table as read or written: `schema.table`, or `table` in any
    /// schema.
    #[must_use]
    pub fn names_table(&self, table: &str) -> bool {
        self.reads.iter().chain(&self.writes).any(|name| is_table(name, table))
    }
}

/// Whether `name` (`schema.table`) is the table that someone calls `wanted`, with or without its
/// schema, and in capitals or not: statements may name it either way.
#[must_use]
pub fn is_table(name: &str, wanted: &str) -> bool {
    let split = name.len().checked_sub(wanted.len()).and_then(|at| name.split_at_checked(at));
    split.is_some_and(|(before, end)| {
        end.eq_ignore_ascii_case(wanted) && (before.is_empty() || before.ends_with('.'))
    })
}

fn optional(text: Option<&Text>) -> Option<String> {
    text.map(|text| text.as_ref().to_owned())
}

fn kind(body: &EventBody) -> &'static str {
    match body {
        EventBody::SessionStarted { .. } => "session_started",
        EventBody::SessionRefused { .. } => "session_refused",
        EventBody::SessionEnded { .. } => "session_ended",
        EventBody::Operation { .. } => "operation",
        EventBody::Ruling { .. } => "ruling",
        EventBody::ReplyPart { .. } => "reply_part",
        EventBody::Reply { .. } => "reply",
        EventBody::Unsolicited { .. } => "unsolicited",
        EventBody::Abort { .. } => "abort",
        EventBody::Cancel {} => "cancel",
        EventBody::Alert { .. } => "alert",
        EventBody::Admin { .. } => "admin",
        EventBody::Gap { .. } => "gap",
    }
}

fn verdict(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Allow => "allow",
        Verdict::Mask => "mask",
        Verdict::Hold => "hold",
        Verdict::Block => "block",
    }
}

fn fields(columns: Vec<Column>) -> Vec<Field> {
    let mut fields = Vec::with_capacity(columns.len());
    for (position, column) in (1..).zip(columns) {
        let plain = Field { position, label: column.label, mask: column.mask, ..Field::default() };
        if column.origins.is_empty() {
            fields.push(plain);
            continue;
        }
        fields.extend(column.origins.into_iter().map(|origin| Field {
            schema: Some(origin.schema),
            table: Some(origin.table),
            column: Some(origin.column),
            ..plain.clone()
        }));
    }
    fields
}

fn columns(fields: &[Field]) -> Vec<Column> {
    let mut columns: Vec<Column> = Vec::new();
    let mut position = 0;
    for field in fields {
        if field.position != position {
            position = field.position;
            let (label, mask) = (Arc::clone(&field.label), field.mask.clone());
            columns.push(Column { label, origins: Vec::new(), mask });
        }
        if let (Some(column), Some(schema), Some(table), Some(name)) =
            (columns.last_mut(), &field.schema, &field.table, &field.column)
        {
            let (schema, table) = (Arc::clone(schema), Arc::clone(table));
            column.origins.push(Origin { schema, table, column: Arc::clone(name) });
        }
    }
    columns
}
