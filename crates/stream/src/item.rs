//! One event as receivers get it.

use std::sync::Arc;

use jiff::tz::TimeZone;
use model::event::{EventBody, Verdict};
use model::limit::STREAM_EVENT_BYTES_MAX;
use model::{Event, Timestamp};
use serde_json::{Map, Value, json};

/// Whether a receiver gets what was said, or only that it was.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Texts {
    /// Texts of operations, their parameters, and what clients were told of them. Never payloads.
    Sent,
    /// None of these.
    Withheld,
}

/// How much an event asks for attention.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Severity {
    /// As usual.
    Info,
    /// Worth a look: something waits for a person, or was made to fail.
    Notice,
    /// Something was refused, or a rule raised an alert.
    Warning,
    /// Something is missing from the record.
    Error,
}

/// One event as receivers get it: a JSON object, and what stands around it.
#[derive(Clone, Debug)]
pub struct Item {
    /// Which gateway.
    pub gateway: Arc<str>,
    /// The event's number in the gateway's journal, from 1. With the gateway it names the event.
    pub number: u64,
    /// When it happened.
    pub at: Timestamp,
    /// How much it asks for attention.
    pub severity: Severity,
    kind: String,
    /// What is sent of it, so that many of them are bounded.
    fields: Map<String, Value>,
    json: String,
}

/// What of an event could repeat what was said.
const SAID: [&str; 3] = ["text", "parameters", "message"];
/// What is left of an event whatever its size.
const KEPT: [&str; 6] = ["v", "at", "time", "gateway", "number", "kind"];
const LEFT_OUT: &str = "left_out";
/// What says most of an event in a few words.
const MAIN: [&str; 16] = [
    "session",
    "principal",
    "on_behalf_of",
    "resource",
    "operation",
    "decision",
    "outcome",
    "reason",
    "rows",
    "bytes",
    "approver",
    "client",
    "protocol",
    "actor",
    "action",
    "target",
];

impl Item {
    /// An event with its number in the journal.
    #[must_use]
    pub fn of(event: &Event, number: u64, texts: Texts) -> Self {
        let mut fields = match serde_json::to_value(event) {
            Ok(Value::Object(fields)) => fields,
            // An event that was read from JSON has a form in JSON.
            _ => Map::new(),
        };
        // An alert is its message: whoever wrote the rule wanted it to be sent.
        if texts == Texts::Withheld && !matches!(event.body, EventBody::Alert { .. }) {
            SAID.iter().for_each(|field| drop(fields.remove(*field)));
        }
        Self::new(&event.gateway, number, event.at, severity(&event.body), fields)
    }

    /// Says that events are missing: the journal no longer had them when they were to be sent.
    #[must_use]
    pub fn gap(gateway: &Arc<str>, first: u64, last: u64, at: Timestamp) -> Self {
        let fields = json!({
            "v": 1, "at": at.0, "gateway": gateway, "sequence": 0, "kind": "stream_gap",
            "first": first, "last": last, "missing": last.saturating_sub(first).saturating_add(1),
        });
        let fields = fields.as_object().cloned().unwrap_or_default();
        Self::new(gateway, last, at, Severity::Error, fields)
    }

    fn new(
        gateway: &Arc<str>,
        number: u64,
        at: Timestamp,
        severity: Severity,
        mut fields: Map<String, Value>,
    ) -> Self {
        fields.insert("number".to_owned(), number.into());
        fields.insert("time".to_owned(), rfc3339(at, 9).into());
        let kind = fields.get("kind").and_then(Value::as_str).unwrap_or("event").to_owned();
        let (fields, json) = shortened(fields, STREAM_EVENT_BYTES_MAX);
        Self { gateway: Arc::clone(gateway), number, at, severity, kind, fields, json }
    }

    /// What happened: `operation`, `reply`, …
    #[must_use]
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// The event as one line of JSON, of at most `limit::STREAM_EVENT_BYTES_MAX` bytes.
    #[must_use]
    pub fn json(&self) -> &str {
        &self.json
    }

    /// The same in fewer bytes; fields that are left out are named in `left_out`.
    #[must_use]
    pub fn json_within(&self, bytes_max: usize) -> String {
        match self.json.len() <= bytes_max {
            true => self.json.clone(),
            false => shortened(self.fields.clone(), bytes_max).1,
        }
    }

    /// The fields that say most, each one text or number, and the names of the rules that matched.
    pub fn main_fields(&self) -> impl Iterator<Item = (&'static str, Value)> {
        let main = MAIN.iter().filter_map(|name| {
            let value = self.fields.get(*name)?;
            (value.is_string() || value.is_number()).then(|| (*name, value.clone()))
        });
        let rules = self.fields.get("rules").and_then(Value::as_array).map(|rules| {
            let names = rules.iter().filter_map(|matched| matched.get("rule")?.as_str());
            ("rules", names.collect::<Vec<_>>().join(",").into())
        });
        main.chain(rules)
    }
}

fn severity(body: &EventBody) -> Severity {
    let of = |decision: Verdict| match decision {
        Verdict::Allow | Verdict::Mask => Severity::Info,
        Verdict::Hold => Severity::Notice,
        Verdict::Block => Severity::Warning,
    };
    match body {
        EventBody::Operation { decision, .. } | EventBody::Ruling { decision, .. } => of(*decision),
        EventBody::SessionRefused { .. } | EventBody::Alert { .. } => Severity::Warning,
        EventBody::Abort { .. } => Severity::Notice,
        EventBody::Gap { .. } => Severity::Error,
        _ => Severity::Info,
    }
}

/// The fields, without the longest ones if need be, and the same as JSON of at most `bytes_max`
/// bytes.
fn shortened(mut fields: Map<String, Value>, bytes_max: usize) -> (Map<String, Value>, String) {
    let mut text = serde_json::to_string(&fields).unwrap_or_default();
    if text.len() <= bytes_max {
        return (fields, text);
    }
    let mut out = match fields.remove(LEFT_OUT) {
        Some(Value::Array(out)) => out,
        _ => Vec::new(),
    };
    let mut sizes: Vec<(usize, String)> = fields
        .iter()
        .filter(|(name, _)| !KEPT.contains(&name.as_str()))
        .map(|(name, value)| (value.to_string().len(), name.clone()))
        .collect();
    sizes.sort_unstable();
    while let Some((_, longest)) = sizes.pop() {
        fields.remove(&longest);
        out.push(longest.into());
        fields.insert(LEFT_OUT.to_owned(), out.clone().into());
        text = serde_json::to_string(&fields).unwrap_or_default();
        if text.len() <= bytes_max {
            break;
        }
    }
    (fields, text)
}

/// RFC 3339, UTC, with so many digits of the second's parts.
pub(crate) fn rfc3339(at: Timestamp, digits: usize) -> String {
    let time = jiff::Timestamp::from_nanosecond(i128::from(at.0)).unwrap_or_default();
    let civil = time.to_zoned(TimeZone::UTC).datetime();
    format!("{civil:.digits$}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn operation() -> Event {
        serde_json::from_value(json!({
            "v": 1, "at": 1_795_313_820_123_456_789_u64, "gateway": "gw-1", "session": "s_1",
            "sequence": 2, "principal": "bot", "resource": "appdb", "kind": "operation",
            "operation": 1, "step": "query", "text": "select 'hunter2'",
            "parameters": [{"kind": "text", "value": "hunter2"}], "verbs": ["select"],
            "decision": "block", "message": "no hunter2",
            "rules": [{"rule": "one", "action": "block"}, {"rule": "two", "action": "mask"}],
        }))
        .unwrap()
    }

    #[test]
    fn for_whom_it_was_done_stands_beside_who_did_it() {
        let mut event = operation();
        event.on_behalf_of = Some("ann".into());
        let item = Item::of(&event, 7, Texts::Withheld);
        let main: Vec<_> =
            item.main_fields().map(|(name, value)| format!("{name}={value}")).collect();
        assert_eq!(main[1..3], ["principal=\"bot\"", "on_behalf_of=\"ann\""]);
        assert!(item.json().contains(r#""on_behalf_of":"ann""#), "{}", item.json());
    }

    #[test]
    fn what_was_said_leaves_only_where_it_may_and_payloads_never() {
        let mut event = operation();
        event.payload = b"hunter2".to_vec();
        let item = Item::of(&event, 7, Texts::Withheld);
        assert!(!format!("{item:?}").contains("hunter2"), "{item:?}");
        let item = Item::of(&event, 7, Texts::Sent);
        assert_eq!(item.json().matches("hunter2").count(), 3, "{item:?}");
        assert_eq!((item.severity, item.kind()), (Severity::Warning, "operation"));
        let read: Value = serde_json::from_str(item.json()).unwrap();
        assert_eq!(read.get("number"), Some(&json!(7)));
        assert_eq!(read.get("time"), Some(&json!("2026-11-22T02:17:00.123456789Z")));
        let main: Vec<_> = item.main_fields().collect();
        assert!(main.contains(&("rules", json!("one,two"))), "{main:?}");
    }

    #[test]
    fn p8_a_long_event_becomes_shorter_and_stays_json() {
        let mut event = operation();
        if let EventBody::Operation { text, .. } = &mut event.body {
            *text = "x".repeat(STREAM_EVENT_BYTES_MAX).into();
        }
        event.principal = Some("p".repeat(5_000).into());
        let item = Item::of(&event, 7, Texts::Sent);
        assert!(item.json().len() <= STREAM_EVENT_BYTES_MAX);
        let read: Value = serde_json::from_str(item.json()).unwrap();
        assert_eq!(read.get(LEFT_OUT), Some(&json!(["text"])));
        assert_eq!(Value::Object(item.fields.clone()), read, "no more is kept than is sent");
        let shorter: Value = serde_json::from_str(&item.json_within(1_000)).unwrap();
        assert_eq!(shorter.get(LEFT_OUT), Some(&json!(["text", "principal"])));
        for bytes in [200, 300, 500, 5_000, 6_000] {
            let short = item.json_within(bytes);
            assert!(short.len() <= bytes.max(450), "{bytes}: {short}");
            let read: Value = serde_json::from_str(&short).unwrap();
            assert_eq!(read.get("number"), Some(&json!(7)), "{short}");
        }
        assert_eq!(item.json_within(item.json().len()), item.json());
        assert_ne!(item.json_within(item.json().len() - 1), item.json());
    }
}
