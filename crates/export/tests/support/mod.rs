//! Events made by hand.

pub mod read;

use std::sync::Arc;

use export::{Exporter, Format, Options};
use model::event::{EVENT_VERSION, RuleMatch, Verdict};
use model::operation::Objects;
use model::{
    Column, DetectionCount, Event, EventBody, OperationId, Origin, Parameter, Principal,
    PrincipalKind, SessionId, Timestamp, TokenId,
};

/// 2026-11-22T02:17:00Z.
const START_NS: u64 = 1_795_313_820_000_000_000;

/// What a format makes of events.
pub fn export(format: Format, events: &[Event]) -> String {
    let options = Options { version: "0.0.0-test".to_owned(), ..Options::default() };
    let mut exporter = Exporter::new(format, Vec::new(), options);
    for event in events {
        exporter.event(event).unwrap();
    }
    String::from_utf8(exporter.finish().unwrap()).unwrap()
}

/// Writes down events; time passes by 1.5 ms for each.
pub struct Notes {
    pub events: Vec<Event>,
    session: Option<SessionId>,
    principal: Option<Arc<str>>,
    resource: Option<Arc<str>>,
    sequence: u64,
    at: u64,
}

impl Notes {
    pub fn of(session: &str, principal: &str, resource: &str) -> Self {
        Self {
            events: Vec::new(),
            session: Some(SessionId(session.into())),
            principal: Some(principal.into()),
            resource: Some(resource.into()),
            sequence: 0,
            at: START_NS,
        }
    }

    pub fn of_gateway() -> Self {
        let mut notes = Self::of("", "", "");
        (notes.session, notes.principal, notes.resource) = (None, None, None);
        notes
    }

    pub fn note(&mut self, body: EventBody) -> &mut Event {
        if self.session.is_some() {
            self.sequence += 1;
        }
        self.at += 1_500_000;
        self.events.push(Event {
            v: EVENT_VERSION,
            at: Timestamp(self.at),
            gateway: "gw-1".into(),
            session: self.session.clone(),
            sequence: self.sequence,
            principal: self.principal.clone(),
            on_behalf_of: None,
            resource: self.resource.clone(),
            body,
            payload: Vec::new(),
        });
        self.events.last_mut().unwrap()
    }

    pub fn begin(&mut self, protocol: &str) {
        let subject = self.principal.clone().unwrap();
        self.note(EventBody::SessionStarted {
            principal: Principal {
                subject,
                kind: PrincipalKind::Agent,
                groups: vec!["support".into(), "night".into()],
                issuer: "narrows".into(),
                on_behalf_of: Some("dana@example.test".into()),
                on_behalf_of_groups: vec!["staff".into()],
                token: Some(TokenId("tk_1".into())),
                minted_by: Some("ops".into()),
                expires_at: Some(Timestamp(START_NS + 3_600_000_000_000)),
                certificate: None,
            },
            client: "192.0.2.7:51234".to_owned(),
            application: Some("psql".to_owned()),
            protocol: protocol.to_owned(),
            run: Some("nightly-7".to_owned()),
        });
    }

    pub fn end(&mut self) {
        self.note(EventBody::SessionEnded {
            reason: "client_closed".to_owned(),
            detail: None,
            operations: 5,
            rows: 3,
            bytes: 120,
        });
    }

    pub fn ask(&mut self, id: u64, step: &str, text: &str, decision: Verdict) -> &mut EventBody {
        &mut self.note(operation(id, step, text, decision)).body
    }

    pub fn part(&mut self, id: u64, rows: u64, payload: &[u8]) {
        let body = EventBody::ReplyPart {
            operation: OperationId(id),
            rows,
            bytes: payload.len() as u64,
            columns: Vec::new(),
        };
        self.note(body).payload = payload.to_vec();
    }

    pub fn reply(&mut self, id: u64, outcome: &str, rows: u64, payload: &[u8]) -> &mut EventBody {
        let event = self.note(reply(id, outcome, rows, payload.len() as u64));
        event.payload = payload.to_vec();
        &mut event.body
    }

    pub fn rule(&mut self, id: u64, decision: Verdict) -> &mut EventBody {
        &mut self.note(ruling(id, decision)).body
    }
}

pub fn operation(id: u64, step: &str, text: &str, decision: Verdict) -> EventBody {
    EventBody::Operation {
        operation: OperationId(id),
        step: step.to_owned(),
        under: None,
        text: text.into(),
        parameters: Vec::new(),
        objects: Arc::default(),
        decision,
        rules: Vec::new(),
        message: None,
        reason: None,
        approval: None,
        approver: None,
    }
}

pub fn reply(id: u64, outcome: &str, rows: u64, bytes: u64) -> EventBody {
    EventBody::Reply {
        operation: OperationId(id),
        outcome: outcome.to_owned(),
        rows,
        bytes,
        columns: Vec::new(),
        detections: Vec::new(),
        searched: std::sync::Arc::new([]),
        duration_ns: 2_000_345,
        error_code: None,
        payload_dropped: 0,
        sent: 0,
    }
}

pub fn ruling(id: u64, decision: Verdict) -> EventBody {
    EventBody::Ruling {
        operation: OperationId(id),
        decision,
        rules: Vec::new(),
        rows: 0,
        message: None,
        approval: None,
        approver: None,
        reason: None,
    }
}

pub fn rule_match(rule: &str, action: &str) -> RuleMatch {
    RuleMatch { rule: rule.into(), action: action.into(), observed: false }
}

fn objects(verb: &str, reads: &[&str], writes: &[&str]) -> Arc<Objects> {
    let names = |names: &[&str]| names.iter().map(|name| (*name).into()).collect();
    Arc::new(Objects {
        verbs: names(&[verb]),
        reads: names(reads),
        writes: names(writes),
        columns: Vec::new(),
    })
}

fn parameter(kind: &str, value: &str) -> Parameter {
    Parameter { kind: kind.to_owned(), value: Some(value.to_owned()) }
}

/// A session of PostgreSQL: masked, failed, refused, held and let go, held and denied, blocked while
/// it replied, an alert, one without a reply.
pub fn statements() -> Vec<Event> {
    let mut notes = Notes::of("s-1", "agent-7", "appdb");
    notes.begin("postgres");
    let text = "select name, ssn\n  from customers where id = $1";
    if let EventBody::Operation { parameters, objects: touched, rules, .. } =
        notes.ask(1, "query", text, Verdict::Mask)
    {
        *parameters = vec![parameter("int4", "17"), Parameter { kind: String::new(), value: None }];
        *touched = objects("select", &["public.customers"], &[]);
        *rules = vec![rule_match("hide", "mask"), rule_match("watch", "alert")];
        rules[1].observed = true;
    }
    notes.part(1, 1, b"not shown");
    if let EventBody::Reply { columns, detections, .. } = notes.reply(1, "done", 1, b"more") {
        let stored = |column: &str| Origin {
            schema: "public".into(),
            table: "customers".into(),
            column: column.into(),
        };
        *columns = vec![
            Column { label: "name".into(), origins: vec![stored("name")], mask: None },
            Column {
                label: "ssn".into(),
                origins: vec![stored("ssn")],
                mask: Some("redact".into()),
            },
        ];
        *detections = vec![DetectionCount { kind: "US_SSN".into(), seen: 1, masked: 1 }];
    }
    notes.ask(2, "query", "selct 1", Verdict::Allow);
    if let EventBody::Reply { error_code, .. } = notes.reply(2, "error", 0, b"") {
        *error_code = Some("42601".to_owned());
    }
    if let EventBody::Operation { objects: touched, rules, message, reason, .. } =
        notes.ask(3, "query", "delete from notes", Verdict::Block)
    {
        *touched = objects("delete", &[], &["public.notes"]);
        *rules = vec![rule_match("no-delete", "block")];
        *message = Some("no deletes".to_owned());
        *reason = Some("blocked".to_owned());
    }
    notes.note(EventBody::Abort { operation: OperationId(3) });
    let held = |notes: &mut Notes, id: u64, text: &str| {
        if let EventBody::Operation { objects: touched, rules, message, .. } =
            notes.ask(id, "query", text, Verdict::Hold)
        {
            *touched = objects("update", &["public.orders"], &["public.orders"]);
            *rules = vec![rule_match("ask", "approve")];
            *message = Some("held for approval a1: rule ask asks dba".to_owned());
        }
    };
    let answered = |body: &mut EventBody, words: &str| {
        if let EventBody::Ruling { approval, approver, reason, .. } = body {
            *approval = Some("a1".into());
            *approver = Some("dana".into());
            *reason = Some(words.to_owned());
        }
    };
    held(&mut notes, 4, "update orders set paid = true where id = 5");
    answered(notes.rule(4, Verdict::Allow), "checked with billing");
    if let EventBody::Operation { objects: touched, .. } =
        notes.ask(4, "query", "update orders set paid = true where id = 5", Verdict::Allow)
    {
        *touched = objects("update", &["public.orders"], &["public.orders"]);
    }
    notes.reply(4, "done", 0, b"");
    held(&mut notes, 5, "update orders set paid = true");
    answered(notes.rule(5, Verdict::Block), "not today");
    if let EventBody::Operation { objects: touched, .. } =
        notes.ask(6, "query", "=cmd|' /C calc'!A0 -- \"x\",\u{1b}[2J", Verdict::Allow)
    {
        *touched = objects("select", &["public.orders"], &[]);
    }
    if let EventBody::Ruling { rules, rows, message, reason, .. } = notes.rule(6, Verdict::Block) {
        *rules = vec![rule_match("big", "block")];
        *rows = 1001;
        *message = Some("too much".to_owned());
        *reason = Some("blocked".to_owned());
    }
    notes.reply(6, "withheld", 0, b"");
    notes.note(EventBody::Alert {
        operation: OperationId(7),
        rule: "watch-orders".into(),
        message: "orders are read".to_owned(),
    });
    notes.note(EventBody::Unsolicited { what: "notice".to_owned(), bytes: 12 });
    notes.ask(7, "execute", "select 7", Verdict::Allow);
    notes.note(EventBody::Cancel {});
    notes.end();
    notes.events
}

/// Exchanges of HTTP: with a body, refused by a rule, binary, held and let go, cut off, through a
/// tunnel, unreachable, with messages, malformed.
pub fn exchanges() -> Vec<Event> {
    let mut notes = Notes::of("s-2", "agent-7", "api");
    notes.begin("http");
    if let EventBody::Operation { parameters, objects: touched, rules, .. } =
        notes.ask(1, "request", "POST https://api.test/items?page=2&q=a%20b", Verdict::Mask)
    {
        *parameters = vec![
            parameter("content-type", "application/json"),
            parameter("authorization", "(hidden)"),
            parameter("user-agent", "curl/8"),
            parameter("body sha-256", "015abd7f"),
            parameter("body bytes", "7"),
            parameter("body", "{\"a\":1}"),
        ];
        *touched = objects("post", &[], &["api.test"]);
        *rules = vec![rule_match("hide", "mask")];
    }
    let head = b"HTTP 201 Created\r\ncontent-type: application/json\r\nlocation: /items/9\r\n\
        set-cookie: sid=secret\r\n\r\n";
    notes.part(1, 0, &[&head[..], b"{\"ssn\":"].concat());
    if let EventBody::Reply { columns, .. } = notes.reply(1, "done", 0, b"\"[REDACTED]\"}") {
        *columns =
            vec![Column { label: "ssn".into(), origins: Vec::new(), mask: Some("redact".into()) }];
    }
    if let EventBody::Operation { rules, message, reason, .. } =
        notes.ask(2, "request", "DELETE https://api.test/items/1", Verdict::Block)
    {
        *rules = vec![rule_match("no-delete", "block")];
        *message = Some("nothing is deleted here".to_owned());
        *reason = Some("blocked".to_owned());
    }
    notes.ask(3, "request", "GET https://api.test/logo.png", Verdict::Allow);
    let head = b"HTTP 200 OK\r\ncontent-type: image/png\r\n\r\n\x89PNG\xff\x00";
    if let EventBody::Reply { payload_dropped, .. } = notes.reply(3, "done", 0, head) {
        *payload_dropped = 100;
    }
    notes.ask(4, "request", "PATCH https://api.test/items/1", Verdict::Hold);
    if let EventBody::Ruling { approval, approver, .. } = notes.rule(4, Verdict::Allow) {
        *approval = Some("a2".into());
        *approver = Some("dana".into());
    }
    notes.ask(4, "request", "PATCH https://api.test/items/1", Verdict::Allow);
    notes.part(4, 0, b"HTTP 500 Internal Server Error\r\n\r\nbro");
    if let EventBody::Reply { error_code, .. } = notes.reply(4, "cut", 0, b"") {
        *error_code = Some("500".to_owned());
    }
    if let EventBody::Operation { parameters, .. } =
        notes.ask(5, "tunnel", "CONNECT pinned.test:443", Verdict::Allow)
    {
        *parameters = vec![parameter("passed on", "unopened")];
    }
    if let EventBody::Reply { sent, bytes, .. } = notes.reply(5, "done", 0, b"") {
        (*sent, *bytes) = (517, 4096);
    }
    notes.ask(6, "request", "GET https://down.test/", Verdict::Allow);
    if let EventBody::Ruling { message, reason, .. } = notes.rule(6, Verdict::Block) {
        *message = Some("the host cannot be reached now; try again later".to_owned());
        *reason = Some("upstream_down".to_owned());
    }
    notes.reply(6, "withheld", 0, b"");
    notes.ask(7, "request", "GET https://api.test/live", Verdict::Allow);
    notes.part(7, 0, b"HTTP 101 Switching Protocols\r\nupgrade: websocket\r\n\r\n");
    notes.ask(8, "message", "GET https://api.test/live", Verdict::Allow);
    notes.reply(8, "done", 0, b"");
    if let EventBody::Operation { message, reason, .. } =
        notes.ask(9, "request", "GET gw.test/r/api/a", Verdict::Block)
    {
        *message = Some("the request has no Host field".to_owned());
        *reason = Some("host_missing".to_owned());
    }
    notes.end();
    notes.events
}

/// What concerns the gateway, and replies of which the beginning is missing.
pub fn others() -> Vec<Event> {
    let mut notes = Notes::of_gateway();
    notes.note(EventBody::Admin {
        actor: "dana".to_owned(),
        action: "token.create".to_owned(),
        target: "agent-7".to_owned(),
        detail: Some("groups support".to_owned()),
    });
    notes.note(EventBody::SessionRefused {
        client: "[2001:db8::1]:9".to_owned(),
        reason: "unknown_token".to_owned(),
        protocol: "http".to_owned(),
    });
    notes.note(EventBody::Gap { operations: 3 });
    let mut events = notes.events;
    let mut notes = Notes::of("s-0", "agent-1", "appdb");
    notes.reply(41, "done", 2, b"\x00\xff");
    notes.ask(42, "query", "select 1", Verdict::Allow);
    notes.part(43, 0, b"HTTP 200 OK\r\n\r\n");
    events.extend(notes.events);
    events
}

/// All of it.
pub fn everything() -> Vec<Event> {
    [statements(), exchanges(), others()].concat()
}
