//! HTTP Archive 1.2 (`http://www.softwareishard.com/blog/har-12-spec/`): the exchanges of HTTP.
//!
//! An entry is written when its exchange is over, so entries are in the order of their ends. The
//! archive says what the client saw: a reply after masks, and for a refused request the status of
//! the gateway's own answer, made from the recorded word for the refusal (status 0: nobody was
//! there to answer, or it is not known what was). The URL of a tunnel is `https://HOST:PORT`; what
//! a client wrote that is no URL follows `about:invalid#`, percent-encoded. What a recording does
//! not have reads `unknown` (the version of HTTP), `-1` (sizes), or is 0 or empty with a comment.
//! Fields that carry a credential by their name, cookies among them, read `(hidden)`. Bodies are as
//! they were sent, with whatever Content-Encoding they have, as text where they are UTF-8 and
//! otherwise in Base64; of a reply at most `EXPORT_BODY_BYTES_MAX`, head included. `comment` has
//! the decision and the rules; `_narrows` has the same for programs.
//!
//! Not exchanges, so not here: messages of a WebSocket (those of the upstream follow the head of
//! its 101), parts of a long body that were judged one by one, and replies whose request is not
//! among the events. `log.comment` counts them.

use std::io::Write;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use model::Event;
use model::exchange::{HIDDEN, is_credential};
use serde_json::{Value, json};

use crate::exporter::{ExportError, Form};
use crate::join::{Asked, Entry, Join, Payloads, Replied};
use crate::json;
use crate::status;
use crate::target::{Head, Target, Told, field};
use crate::text::{self, rfc3339_ms};

/// What the archive has no word for.
const UNKNOWN: &str = "unknown";

/// Writes entries.
pub(crate) struct Har {
    version: String,
    join: Join,
    begun: bool,
    entries: u64,
    messages: u64,
    parts: u64,
    unasked: u64,
}

impl Form for Har {
    fn event(&mut self, event: &Event, out: &mut dyn Write) -> Result<(), ExportError> {
        self.begin(out)?;
        let entries = self.join.event(event);
        entries.iter().try_for_each(|entry| self.entry(entry, out))
    }

    fn finish(&mut self, out: &mut dyn Write) -> Result<(), ExportError> {
        self.begin(out)?;
        let entries = self.join.rest();
        entries.iter().try_for_each(|entry| self.entry(entry, out))?;
        let comment = format!(
            "left out: {} messages of WebSockets, {} parts of long bodies, {} replies without \
             their requests",
            self.messages, self.parts, self.unasked
        );
        out.write_all(b"\n],\"comment\":")?;
        json::write(out, &comment)?;
        Ok(out.write_all(b"}}\n")?)
    }
}

impl Har {
    pub fn new(version: String) -> Self {
        let join = Join::new(Payloads::Kept);
        Self { version, join, begun: false, entries: 0, messages: 0, parts: 0, unasked: 0 }
    }

    fn begin(&mut self, out: &mut dyn Write) -> Result<(), ExportError> {
        if std::mem::replace(&mut self.begun, true) {
            return Ok(());
        }
        out.write_all(b"{\"log\":{\"version\":\"1.2\",\"creator\":")?;
        let creator = json!({"name": "narrows", "version": self.version});
        json::write(out, &creator)?;
        Ok(out.write_all(b",\"entries\":[")?)
    }

    fn entry(&mut self, entry: &Entry, out: &mut dyn Write) -> Result<(), ExportError> {
        let is_other = entry.protocol().is_some_and(|protocol| protocol != "http");
        let asked = match &entry.asked {
            _ if is_other => return Ok(()),
            None => {
                // Of a session that is not known it may be of any protocol.
                let is_http = entry.protocol().is_some() || entry.status.is_some();
                self.unasked = self.unasked.saturating_add(u64::from(is_http));
                return Ok(());
            }
            Some(asked) => asked,
        };
        match asked.step.as_str() {
            "request" | "tunnel" => {}
            "message" => {
                self.messages = self.messages.saturating_add(1);
                return Ok(());
            }
            "part" => {
                self.parts = self.parts.saturating_add(1);
                return Ok(());
            }
            _ => return Ok(()),
        }
        out.write_all(if self.entries == 0 { b"\n" } else { b",\n" })?;
        self.entries = self.entries.saturating_add(1);
        Ok(json::write(out, &exchange(entry, asked))?)
    }
}

fn exchange(entry: &Entry, asked: &Asked) -> Value {
    let times = Times::of(entry);
    let mut exchange = json!({
        "startedDateTime": rfc3339_ms(entry.frame.at),
        "time": times.total(),
        "request": request(asked),
        "response": response(entry),
        "cache": {},
        "timings": times.value(),
        "comment": comment(entry, asked),
        "_narrows": {
            "operation": entry.name(),
            "session": entry.frame.session,
            "principal": entry.frame.principal,
            "on_behalf_of": entry.frame.party(entry.who.as_deref()),
            "resource": entry.frame.resource,
            "decision": entry.decision,
            "rules": entry.rules,
            "reason": entry.reason,
            "message": entry.message,
            "approver": entry.approver,
            "outcome": entry.reply.as_ref().map(|reply| &reply.outcome),
        },
    });
    let session = entry.frame.session.as_ref().map(|session| session.0.to_string());
    if let (Some(exchange), Some(session)) = (exchange.as_object_mut(), session) {
        exchange.insert("connection".to_owned(), session.into());
    }
    exchange
}

fn request(asked: &Asked) -> Value {
    let target = Target::read(&asked.text);
    let told = Told::read(&asked.parameters);
    let query = target.query.unwrap_or_default();
    let query: Vec<Value> = query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(name, value)| json!({"name": name, "value": value}))
        .collect();
    let mut request = json!({
        "method": target.method,
        "url": url(&target),
        "httpVersion": UNKNOWN,
        "cookies": [],
        "headers": fields(&told.fields),
        "queryString": query,
        "headersSize": -1,
        "bodySize": told.body_bytes.map_or(-1, signed),
    });
    let mime_type = told.field("content-type").unwrap_or_default();
    if let (Some(request), Some(body)) = (request.as_object_mut(), told.body) {
        let whole = told.body_bytes == Some(body.len() as u64);
        let comment = if whole { "" } else { "what the record has of it" };
        let data = json!({"mimeType": mime_type, "params": [], "text": body, "comment": comment});
        request.insert("postData".to_owned(), data);
    }
    request
}

/// The URL, or one that stands for what is none: readers refuse a whole archive for one of these.
fn url(target: &Target<'_>) -> String {
    let is_url = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'"');
    match (target.scheme, target.method) {
        (Some("http" | "https"), _) if is_url(target.url) => target.url.to_owned(),
        // A tunnel to there.
        (None, "CONNECT") if is_url(target.url) => format!("https://{}", target.url),
        _ => {
            let mut url = "about:invalid#".to_owned();
            for byte in target.url.bytes() {
                match byte {
                    byte if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) => {
                        url.push(byte.into());
                    }
                    byte => url.push_str(&format!("%{byte:02X}")),
                }
            }
            url
        }
    }
}

fn response(entry: &Entry) -> Value {
    let head = Head::read(&entry.payload);
    let recorded = head.as_ref().map(|head| head.status).or(entry.status);
    let (status, words) = match (recorded, head.as_ref()) {
        (Some(status), Some(head)) => (status, head.words),
        (Some(status), None) => (status, ""),
        (None, _) => {
            let status = status::of(entry);
            let words = status.and_then(|status| status.canonical_reason()).unwrap_or_default();
            (status.map_or(0, |status| status.as_u16()), words)
        }
    };
    let named = head.as_ref().map(|head| head.fields.as_slice()).unwrap_or_default();
    let (body, size) = match (&head, &entry.reply) {
        // Without a head it is not known what of the payload is the body.
        (None, _) => (&[][..], None),
        (Some(head), reply) => {
            let dropped = reply.as_ref().map_or(0, |reply| reply.payload_dropped);
            let size = (head.body.len() as u64).saturating_add(dropped);
            (head.body, Some(size.saturating_add(entry.payload_cut)))
        }
    };
    let mut content = json!({
        "size": size.map_or(0, signed),
        "mimeType": field(named, "content-type").unwrap_or("x-unknown"),
    });
    if let (Some(content), None, Some(_)) = (content.as_object_mut(), size, recorded) {
        content.insert("comment".to_owned(), "its size is not recorded".into());
    }
    if let (Some(content), false) = (content.as_object_mut(), body.is_empty()) {
        match std::str::from_utf8(body) {
            Ok(text) => content.insert("text".to_owned(), text.into()),
            Err(_) => {
                content.insert("encoding".to_owned(), "base64".into());
                content.insert("text".to_owned(), STANDARD.encode(body).into())
            }
        };
        if let Some(missing) = size.and_then(|size| size.checked_sub(body.len() as u64))
            && missing > 0
        {
            content.insert("comment".to_owned(), format!("{missing} bytes are not here").into());
        }
    }
    let made = recorded.is_none() && status > 0;
    json!({
        "status": status,
        "statusText": words,
        "httpVersion": UNKNOWN,
        "cookies": [],
        "headers": fields(named),
        "content": content,
        "redirectURL": field(named, "location").unwrap_or_default(),
        "headersSize": -1,
        "bodySize": size.map_or(-1, signed),
        "comment": if made { "the gateway's own answer" } else { "" },
    })
}

/// When an exchange was asked for, let go, answered and over, in nanoseconds between these.
struct Times {
    held: u64,
    wait: u64,
    receive: u64,
}

impl Times {
    fn of(entry: &Entry) -> Self {
        let between = |from: model::Timestamp, to: model::Timestamp| to.0.saturating_sub(from.0);
        let asked = entry.frame.at;
        let end = entry.reply.as_ref().map(|reply| reply.at);
        let released = entry.released.unwrap_or(end.unwrap_or(asked));
        let first = entry.first_part.or(end).unwrap_or(released);
        let receive = between(first, end.unwrap_or(first));
        Self { held: between(asked, released), wait: between(released, first), receive }
    }

    /// In milliseconds; the sum of what [`Self::value`] says.
    fn total(&self) -> f64 {
        fractional_ms(self.held.saturating_add(self.wait).saturating_add(self.receive))
    }

    fn value(&self) -> Value {
        json!({
            "blocked": fractional_ms(self.held),
            "dns": -1,
            "connect": -1,
            "send": 0,
            "wait": fractional_ms(self.wait),
            "receive": fractional_ms(self.receive),
            "ssl": -1,
            "comment": "blocked: until the gateway let it go",
        })
    }
}

fn fractional_ms(ns: u64) -> f64 {
    ns as f64 / 1e6
}

fn comment(entry: &Entry, asked: &Asked) -> String {
    let mut words = entry.decision.map_or("undecided", text::verdict).to_owned();
    let rules = text::rules(&entry.rules);
    let of_reply = |told: fn(&Replied) -> String| entry.reply.as_ref().map(told);
    for (word, told) in [
        ("rules: ", Some(rules)),
        ("reason: ", entry.reason.clone()),
        ("told: ", entry.message.clone()),
        ("answered by: ", entry.approver.as_ref().map(ToString::to_string)),
        ("because: ", entry.words.clone()),
        ("outcome: ", of_reply(|reply| reply.outcome.clone()).or(Some("none".to_owned()))),
        ("masked: ", of_reply(|reply| text::masked(&reply.columns))),
        ("found: ", of_reply(|reply| text::detections(&reply.detections))),
    ] {
        if let Some(told) = told.filter(|told| !told.is_empty()) {
            words.push('\n');
            words.push_str(word);
            words.push_str(&told);
        }
    }
    for (name, note) in Told::read(&asked.parameters).notes {
        words.push_str(&format!("\n{name}: {note}"));
    }
    words
}

/// The recorder hides what requests carry; a reply is recorded as the client got it.
fn fields(fields: &[(&str, &str)]) -> Vec<Value> {
    let each = |(name, value): &(&str, &str)| {
        let value = if is_credential(name) { HIDDEN } else { value };
        json!({"name": name, "value": value})
    };
    fields.iter().map(each).collect()
}

fn signed(size: u64) -> i64 {
    i64::try_from(size).unwrap_or(i64::MAX)
}
