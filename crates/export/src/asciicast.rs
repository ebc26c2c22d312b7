//! asciicast version 2 (`https://docs.asciinema.org/manual/asciicast/v2/`): a session as a terminal
//! recording.
//!
//! Operations as they were typed, what was decided and by which rules, how much came back, each at
//! its own time. What came back is not shown: drawing it needs its protocol.
//!
//! Nothing that was recorded can move the cursor, colour a line or begin one: [`Screen::put`] is
//! the only way for text onto the screen, and it writes what a terminal obeys, or a reader does not
//! see, as words. Lines are broken before their right edge and the rest is indented, so that
//! recorded text begins no line at the left edge, where the recording's own words begin.

use std::io::Write;

use model::event::{RuleMatch, Verdict};
use model::limit::{EXPORT_OPERATIONS_BYTES_MAX, EXPORT_OPERATIONS_MAX};
use model::{Event, EventBody, OperationId, Parameter, SessionId, Timestamp};
use serde_json::json;

use crate::bounded::Bounded;
use crate::exporter::{ExportError, Form, Options};
use crate::json;
use crate::text::{self, ns_as_ms, push_seen};

/// The narrowest screen, columns.
const COLUMNS_MIN: u16 = 20;
/// Characters of a value beside a text that are shown.
const VALUE_CHARS: usize = 200;
/// What lines of recorded text after the first begin with.
const INDENT: &str = "      ";

/// Writes what happens on a screen.
pub(crate) struct Asciicast {
    columns: u16,
    lines: u16,
    pause_max_s: Option<f64>,
    /// When it began, and how many nanoseconds later the screen changed last.
    begun: Option<(Timestamp, u64)>,
    /// Whose session is on the screen.
    session: Option<SessionId>,
    /// Operations that were shown and wait for a person.
    held: Bounded<(Option<SessionId>, OperationId), ()>,
}

impl Form for Asciicast {
    fn event(&mut self, event: &Event, out: &mut dyn Write) -> Result<(), ExportError> {
        let mut screen = Screen::new(self.columns);
        self.begin(event, out)?;
        self.tell(event, &mut screen);
        if screen.is_empty() {
            return Ok(());
        }
        let mut whole = Screen::new(self.columns);
        if event.session != self.session {
            self.session.clone_from(&event.session);
            let name = event.session.as_ref().map_or("the gateway", |session| &session.0);
            whole.put(Tone::Faint, "-- ");
            whole.put(Tone::Faint, name);
            whole.end_line();
        }
        whole.append(screen);
        let (start, last) = self.begun.unwrap_or((event.at, 0));
        // A clock that goes back stops the film.
        let now = event.at.0.saturating_sub(start.0).max(last);
        self.begun = Some((start, now));
        write!(out, "[{}.{:06}, \"o\", ", now / 1_000_000_000, now / 1_000 % 1_000_000)?;
        json::write(out, &whole.text)?;
        Ok(out.write_all(b"]\n")?)
    }

    fn finish(&mut self, out: &mut dyn Write) -> Result<(), ExportError> {
        match self.begun {
            Some(_) => Ok(()),
            None => self.header(None, None, out),
        }
    }
}

impl Asciicast {
    pub fn new(options: &Options) -> Self {
        Self {
            columns: options.columns.max(COLUMNS_MIN),
            lines: options.lines.max(1),
            pause_max_s: options.pause_max.map(|pause| pause.as_secs_f64()),
            begun: None,
            session: None,
            held: Bounded::new(EXPORT_OPERATIONS_MAX, EXPORT_OPERATIONS_BYTES_MAX),
        }
    }

    fn begin(&mut self, event: &Event, out: &mut dyn Write) -> Result<(), ExportError> {
        if self.begun.is_some() {
            return Ok(());
        }
        self.begun = Some((event.at, 0));
        self.session.clone_from(&event.session);
        let title = event.session.as_ref().map(|session| &*session.0);
        self.header(Some(event.at), title, out)
    }

    fn header(
        &self,
        at: Option<Timestamp>,
        title: Option<&str>,
        out: &mut dyn Write,
    ) -> Result<(), ExportError> {
        let mut header = json!({
            "version": 2,
            "width": self.columns,
            "height": self.lines,
            "env": {"TERM": "xterm-256color"},
        });
        let title = title.map(|title| title.chars().fold("narrows ".to_owned(), seen));
        if let Some(header) = header.as_object_mut() {
            let mut add = |name: &str, value: Option<serde_json::Value>| {
                header.extend(value.map(|value| (name.to_owned(), value)));
            };
            add("timestamp", at.map(|at| at.seconds().into()));
            add("idle_time_limit", self.pause_max_s.map(Into::into));
            add("title", title.map(Into::into));
        }
        json::write(out, &header)?;
        Ok(out.write_all(b"\n")?)
    }

    fn tell(&mut self, event: &Event, screen: &mut Screen) {
        match &event.body {
            EventBody::SessionStarted { principal, client, application, protocol, .. } => {
                screen.put(Tone::Plain, "session of ");
                screen.put(Tone::Bold, &principal.subject);
                let party = principal.on_behalf_of.as_deref();
                let party = party.map(|party| format!(" for {party}")).unwrap_or_default();
                let resource = event.resource.as_deref().unwrap_or("?");
                let kind = principal.kind.as_str();
                let groups = text::names(&principal.groups);
                screen.put(Tone::Plain, &format!(" ({kind}; {groups}){party} on {resource}"));
                screen.put(Tone::Plain, &format!(", {protocol}, from {client}"));
                screen.more(application.as_deref());
                screen.end_line();
            }
            EventBody::SessionRefused { client, reason, protocol } => {
                screen.put(Tone::Bad, "turned away");
                screen.put(Tone::Plain, &format!(" {client}, {protocol}: {reason}"));
                screen.end_line();
            }
            EventBody::SessionEnded { reason, detail, operations, rows, bytes } => {
                screen.put(Tone::Bold, "ended");
                screen.put(Tone::Plain, &format!(": {reason}"));
                screen.more(detail.as_deref());
                screen.end_line();
                let words = format!("{operations} operations, {rows} rows, {bytes} bytes");
                screen.note(Tone::Faint, &words);
            }
            EventBody::Operation { .. } => self.operation(event, screen),
            EventBody::Ruling { .. } => ruling(&event.body, screen),
            // The reply says how much it was.
            EventBody::ReplyPart { .. } => {}
            EventBody::Reply { .. } => reply(&event.body, screen),
            EventBody::Unsolicited { what, bytes } => {
                screen.put(Tone::Faint, &format!("said unasked: {what}, {bytes} bytes"));
                screen.end_line();
            }
            EventBody::Abort { operation } => {
                screen.number(*operation);
                screen.put(Tone::Bad, "the transaction was made to fail");
                screen.end_line();
            }
            EventBody::Cancel {} => {
                screen.put(Tone::Careful, "the client asked for a cancel");
                screen.end_line();
            }
            EventBody::Alert { operation, rule, message } => {
                screen.number(*operation);
                screen.put(Tone::Careful, "alert");
                screen.put(Tone::Plain, &format!(" {rule}: {message}"));
                screen.end_line();
            }
            EventBody::Admin { actor, action, target, detail } => {
                screen.put(Tone::Plain, "admin: ");
                screen.put(Tone::Bold, actor);
                screen.put(Tone::Plain, &format!(" {action} {target}"));
                screen.more(detail.as_deref());
                screen.end_line();
            }
            EventBody::Gap { operations } => {
                screen.put(Tone::Bad, &format!("{operations} operations passed unrecorded"));
                screen.end_line();
            }
        }
    }

    fn operation(&mut self, event: &Event, screen: &mut Screen) {
        let EventBody::Operation {
            operation,
            step,
            under,
            text,
            parameters,
            decision,
            rules,
            message,
            reason,
            approval,
            approver,
            ..
        } = &event.body
        else {
            return;
        };
        let key = (event.session.clone(), *operation);
        let is_new = self.held.remove(&key).is_none();
        screen.number(*operation);
        if is_new {
            screen.put(Tone::Faint, step);
            if let Some(under) = under {
                screen.put(Tone::Faint, &format!(" under #{}", under.0));
            }
            screen.put(Tone::Bold, " > ");
            screen.typed(text);
            screen.end_line();
            values(parameters, step, screen);
            screen.put(Tone::Plain, INDENT);
        }
        screen.decision(*decision);
        screen.end_line();
        why(rules, reason.as_deref(), message.as_deref(), screen);
        who(approval.as_deref(), approver.as_deref(), screen);
        if *decision == Verdict::Hold {
            let bytes = size_of::<(Option<SessionId>, OperationId)>();
            // What is forgotten is shown once more.
            let _ = self.held.insert(key, (), bytes);
        }
    }
}

fn ruling(body: &EventBody, screen: &mut Screen) {
    let EventBody::Ruling {
        operation,
        decision,
        rules,
        rows,
        message: told,
        approval,
        approver,
        reason,
    } = body
    else {
        return;
    };
    screen.number(*operation);
    screen.put(Tone::Plain, "then ");
    screen.decision(*decision);
    if *rows > 0 {
        screen.put(Tone::Plain, &format!(", {rows} rows seen"));
    }
    screen.end_line();
    why(rules, reason.as_deref(), told.as_deref(), screen);
    who(approval.as_deref(), approver.as_deref(), screen);
}

fn reply(body: &EventBody, screen: &mut Screen) {
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
        payload_dropped: _,
        sent,
    } = body
    else {
        return;
    };
    screen.number(*operation);
    screen.put(if outcome == "done" { Tone::Good } else { Tone::Bad }, outcome);
    if let Some(code) = error_code {
        screen.put(Tone::Bad, &format!(" {code}"));
    }
    let took = ns_as_ms(*duration_ns);
    screen.put(Tone::Plain, &format!(", {rows} rows, {bytes} bytes, {took} ms"));
    if *sent > 0 {
        screen.put(Tone::Plain, &format!(", {sent} bytes followed it"));
    }
    screen.end_line();
    let (masked, found) = (text::masked(columns), text::detections(detections));
    for (word, told) in [("masked: ", masked), ("sensitive: ", found)] {
        if !told.is_empty() {
            screen.note(Tone::Careful, &format!("{word}{told}"));
        }
    }
}

/// Values beside a text: of a statement by their numbers, of a request by their names.
fn values(parameters: &[Parameter], step: &str, screen: &mut Screen) {
    let is_named = matches!(step, "request" | "part" | "message" | "tunnel");
    for (number, Parameter { kind, value }) in (1_u64..).zip(parameters) {
        let value = value.as_deref().unwrap_or("NULL");
        let mut clipped: String = value.chars().take(VALUE_CHARS).collect();
        if clipped.len() < value.len() {
            clipped.push('…');
        }
        match is_named {
            true => screen.note(Tone::Faint, &format!("{kind}: {clipped}")),
            false => screen.note(Tone::Faint, &format!("${number} = {clipped}")),
        }
    }
}

fn why(rules: &[RuleMatch], reason: Option<&str>, message: Option<&str>, screen: &mut Screen) {
    if !rules.is_empty() {
        screen.note(Tone::Plain, &format!("rules: {}", text::rules(rules)));
    }
    for (word, told) in [("reason: ", reason), ("told: ", message)] {
        if let Some(told) = told {
            screen.note(Tone::Plain, &format!("{word}{told}"));
        }
    }
}

fn who(approval: Option<&str>, approver: Option<&str>, screen: &mut Screen) {
    for (word, told) in [("approval: ", approval), ("answered by: ", approver)] {
        if let Some(told) = told {
            screen.note(Tone::Plain, &format!("{word}{told}"));
        }
    }
}

fn seen(mut text: String, c: char) -> String {
    push_seen(&mut text, c);
    text
}

/// How words are painted.
#[derive(Clone, Copy)]
enum Tone {
    Bad,
    Bold,
    Careful,
    Faint,
    Good,
    Plain,
}

impl Tone {
    /// What changes the colour (ECMA-48 section 8.3.117, SGR).
    const fn begins(self) -> &'static str {
        match self {
            Self::Bad => "\u{1b}[31m",
            Self::Bold => "\u{1b}[1m",
            Self::Careful => "\u{1b}[33m",
            Self::Faint => "\u{1b}[2m",
            Self::Good => "\u{1b}[32m",
            Self::Plain => "",
        }
    }

    const fn ends(self) -> &'static str {
        match self {
            Self::Plain => "",
            _ => "\u{1b}[0m",
        }
    }
}

/// What an event adds to the screen.
struct Screen {
    text: String,
    column: usize,
    columns: usize,
}

impl Screen {
    fn new(columns: u16) -> Self {
        Self { text: String::new(), column: 0, columns: columns.into() }
    }

    fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    /// Adds words on one line; they may come from anywhere.
    fn put(&mut self, tone: Tone, words: &str) {
        self.text.push_str(tone.begins());
        let mut name = String::new();
        for c in words.chars() {
            name.clear();
            push_seen(&mut name, c);
            // A character may be two columns wide; none is wider.
            let wide = if name.is_ascii() { name.len() } else { name.len().min(2) };
            if self.column.saturating_add(wide) >= self.columns {
                self.text.push_str("\r\n");
                self.text.push_str(INDENT);
                self.column = INDENT.len();
            }
            self.text.push_str(&name);
            self.column = self.column.saturating_add(wide);
        }
        self.text.push_str(tone.ends());
    }

    /// Adds what a client wrote; its lines stay lines.
    fn typed(&mut self, text: &str) {
        for (at, line) in text.split('\n').enumerate() {
            if at > 0 {
                self.end_line();
                self.put(Tone::Plain, INDENT);
            }
            let line = line.strip_suffix('\r').unwrap_or(line);
            self.put(Tone::Plain, &line.replace('\t', "    "));
        }
    }

    /// Adds a line that belongs to the one before.
    fn note(&mut self, tone: Tone, words: &str) {
        self.put(Tone::Plain, INDENT);
        self.put(tone, words);
        self.end_line();
    }

    fn more(&mut self, words: Option<&str>) {
        if let Some(words) = words {
            self.put(Tone::Plain, &format!(", {words}"));
        }
    }

    fn number(&mut self, id: OperationId) {
        self.put(Tone::Bold, &format!("#{} ", id.0));
    }

    fn decision(&mut self, decision: Verdict) {
        let (tone, word) = match decision {
            Verdict::Allow => (Tone::Good, "allowed"),
            Verdict::Mask => (Tone::Careful, "masked"),
            Verdict::Hold => (Tone::Careful, "held"),
            Verdict::Block => (Tone::Bad, "blocked"),
        };
        self.put(tone, word);
    }

    fn end_line(&mut self) {
        self.text.push_str("\r\n");
        self.column = 0;
    }

    fn append(&mut self, other: Self) {
        self.text.push_str(&other.text);
        self.column = other.column;
    }
}
