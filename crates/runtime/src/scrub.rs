//! Sensitive values are taken out of what is recorded of requests (`recording.scrub`).
//!
//! What the client *sends* is recorded as it is: a card number in a statement would be in the
//! recording. With types to scrub, each value of them in a text, a parameter, a name or a message
//! is replaced by its type in brackets before the event is written. Only the record changes: what
//! is judged, asked about and sent upstream is what the client sent.
//!
//! Values are found as they are written and behind the escapes of URLs, forms and JSON. Other
//! encodings (base64, compression) are not undone here.

mod escapes;

use std::sync::Arc;

use detect::{Scanner, Span, TypeSet};
use model::limit::RECORDED_BODY_BYTES_MAX;
use model::{Event, EventBody, Parameter};

/// Escapes within escapes that are undone.
const DEPTH_MAX: usize = 3;
/// Groups of digits that one value is written in.
const GROUPS_MAX: usize = 20;
/// Bytes that a text may be short of where it is cut, so that it ends with a whole character.
const CHARACTER_BYTES_MAX: usize = 4;
/// How much of what is recorded of a body goes at its cut: more than any value is long that is not
/// written in words.
const AT_CUT_BYTES_MAX: usize = RECORDED_BODY_BYTES_MAX / 2;

/// Takes values of some types out of events.
pub(crate) struct Scrub {
    scanner: Scanner,
}

impl Scrub {
    /// `None` when there is nothing to take out.
    pub fn new(types: TypeSet) -> Option<Self> {
        (types != TypeSet::EMPTY).then(|| Self { scanner: Scanner::new(types) })
    }

    /// The events without the values; `None` when they hold none.
    pub fn events(&self, events: &[Event]) -> Option<Vec<Event>> {
        let mut scrubbed: Option<Vec<Event>> = None;
        for (at, event) in events.iter().enumerate() {
            if !self.is_in(&event.body) {
                continue;
            }
            let all = scrubbed.get_or_insert_with(|| events.to_vec());
            if let Some(event) = all.get_mut(at) {
                self.take_out(&mut event.body);
            }
        }
        scrubbed
    }

    /// Whether an event holds anything to take out.
    fn is_in(&self, body: &EventBody) -> bool {
        let holds = |text: &str| self.clean(text).is_some();
        let may_hold = |text: &Option<String>| text.as_deref().is_some_and(holds);
        match body {
            EventBody::SessionStarted { application, .. } => may_hold(application),
            EventBody::Operation { text, parameters, message, .. } => {
                let is_in = |(at, of): (usize, &Parameter)| {
                    holds(&of.kind) || self.clean_value(parameters, at).is_some()
                };
                holds(text) || may_hold(message) || parameters.iter().enumerate().any(is_in)
            }
            EventBody::Ruling { message, reason, .. } => may_hold(message) || may_hold(reason),
            EventBody::Alert { message, .. } => holds(message),
            _ => false,
        }
    }

    fn take_out(&self, body: &mut EventBody) {
        match body {
            EventBody::SessionStarted { application, .. } => self.replace(application.as_mut()),
            EventBody::Operation { text, parameters, message, .. } => {
                if let Some(clean) = self.clean(text) {
                    *text = Arc::from(clean);
                }
                let values: Vec<_> =
                    (0..parameters.len()).map(|at| self.clean_value(parameters, at)).collect();
                for (of, clean) in parameters.iter_mut().zip(values) {
                    self.replace([&mut of.kind]);
                    of.value = clean.or(of.value.take());
                }
                self.replace(message.as_mut());
            }
            EventBody::Ruling { message, reason, .. } => {
                self.replace(message.iter_mut().chain(reason));
            }
            EventBody::Alert { message, .. } => self.replace([message]),
            _ => {}
        }
    }

    fn replace<'a>(&self, texts: impl IntoIterator<Item = &'a mut String>) {
        for text in texts {
            if let Some(clean) = self.clean(text) {
                *text = clean;
            }
        }
    }

    /// The value of a parameter without the values in it; `None` when it holds none.
    fn clean_value(&self, parameters: &[Parameter], at: usize) -> Option<String> {
        let text = parameters.get(at)?.value.as_deref()?;
        let whole = if is_cut(parameters, at) { before_cut(text) } else { text };
        self.clean(whole).or_else(|| (whole.len() < text.len()).then(|| whole.to_owned()))
    }

    /// The text without the values; `None` when it holds none.
    fn clean(&self, text: &str) -> Option<String> {
        let found = self.find(text);
        if found.is_empty() {
            return None;
        }
        let mut clean = String::with_capacity(text.len());
        let mut at = 0;
        for span in &found {
            clean.push_str(text.get(at..span.start).unwrap_or_default());
            clean.push_str(span.kind.stand_in());
            at = span.end;
        }
        clean.push_str(text.get(at..).unwrap_or_default());
        Some(clean)
    }

    /// The values in a text, as it is written and without its escapes: in order, not overlapping,
    /// and on character boundaries.
    fn find(&self, text: &str) -> Vec<Span> {
        let mut found = self.scan(text.as_bytes());
        // The text without its escapes, and without the escapes that were in those.
        let mut layers: Vec<Vec<u8>> = Vec::new();
        while layers.len() < DEPTH_MAX {
            let above = layers.last().map_or(text.as_bytes(), Vec::as_slice);
            let Some(layer) = escapes::undone(above) else { break };
            let mut spans = self.scan(&layer);
            layers.push(layer);
            let above = layers.iter().rev().skip(1).map(Vec::as_slice).chain([text.as_bytes()]);
            if !spans.is_empty() {
                above.for_each(|above| escapes::place(above, &mut spans));
            }
            found.extend(spans);
        }
        for span in &mut found {
            // Bytes without escapes need not be text.
            span.start = text.floor_char_boundary(span.start);
            span.end = text.ceil_char_boundary(span.end);
        }
        found.sort_by_key(|span| (span.start, std::cmp::Reverse(span.end)));
        found.dedup_by(|next, before| {
            let overlap = next.start < before.end;
            before.end = if overlap { before.end.max(next.end) } else { before.end };
            overlap
        });
        found
    }

    fn scan(&self, text: &[u8]) -> Vec<Span> {
        let mut found = Vec::new();
        if self.scanner.may_contain(text) {
            self.scanner.scan(text, &mut found);
        }
        found
    }
}

/// Whether a parameter may be the beginning of a body: as long as what is recorded of one, and not
/// of the length that is noted before it. That is the length on the wire, so that one whose
/// encoding was undone may be whole all the same. Nothing else is cut.
fn is_cut(parameters: &[Parameter], at: usize) -> bool {
    let named = |at: usize, kind: &str| {
        parameters.get(at).filter(|of| of.kind == kind).and_then(|of| of.value.as_deref())
    };
    let text = named(at, "body").unwrap_or_default();
    let noted = at.checked_sub(1).and_then(|before| named(before, "body bytes"));
    (RECORDED_BODY_BYTES_MAX - CHARACTER_BYTES_MAX..=RECORDED_BODY_BYTES_MAX).contains(&text.len())
        && noted.is_some_and(|noted| noted.parse() != Ok(text.len()))
}

/// What is cut may be cut inside a value, of which the beginning is as sensitive and cannot be
/// recognised: it ends before its last word, and before the groups of digits that lead up to it.
fn before_cut(text: &str) -> &str {
    let ends = |of: char| of.is_whitespace() || "\"',;<>{}[]=|&".contains(of);
    let least = text.floor_char_boundary(text.len().saturating_sub(AT_CUT_BYTES_MAX));
    let (kept, tail) = text.split_at_checked(least).unwrap_or_default();
    let mut whole = tail.trim_end_matches(|of: char| !ends(of));
    for _ in 0..GROUPS_MAX {
        let Some(before) = whole.strip_suffix(' ') else { break };
        let rest = before.trim_end_matches(|of: char| !ends(of));
        let word = before.get(rest.len()..).unwrap_or_default();
        if !word.contains(|of: char| of.is_ascii_digit()) {
            break;
        }
        whole = rest;
    }
    text.get(..kept.len().saturating_add(whole.len())).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use model::event::Verdict;
    use model::{OperationId, Principal, PrincipalKind, Timestamp};
    use store::Journal;
    use store::journal::{Options, Reader};

    use super::*;
    use crate::record::{Kept, Recorder};
    use crate::resource::OnFailure;

    const MAIL: &str = "ann@corp.example";

    fn event(body: EventBody) -> Event {
        Event { body, ..operation("", "", None) }
    }

    fn operation(text: &str, value: &str, message: Option<&str>) -> Event {
        Event {
            v: 1,
            at: Timestamp(1),
            gateway: "gw".into(),
            session: None,
            sequence: 1,
            principal: None,
            on_behalf_of: None,
            resource: None,
            body: EventBody::Operation {
                operation: OperationId(1),
                step: "query".into(),
                under: None,
                text: text.into(),
                parameters: vec![Parameter { kind: String::new(), value: Some(value.into()) }],
                objects: Arc::default(),
                decision: model::event::Verdict::Allow,
                rules: Vec::new(),
                message: message.map(str::to_owned),
                reason: None,
                approval: None,
                approver: None,
            },
            payload: Vec::new(),
        }
    }

    #[test]
    fn p7_values_in_texts_parameters_and_messages_are_named_and_gone() {
        let scrub = Scrub::new(TypeSet::ALL).unwrap();
        let event = operation(
            "insert into t values ('4111 1111 1111 1111', 'é', 'ann@corp.example')",
            "900-11-2222 and 536-22-8714",
            Some("POST of 4111111111111111 is refused"),
        );
        let clean = scrub.events(&[event]).unwrap();
        let text = serde_json::to_string(&clean).unwrap();
        for gone in ["4111", "ann@", "536-22"] {
            assert!(!text.contains(gone), "{gone}: {text}");
        }
        assert!(text.contains("values ('[CREDIT_CARD]', 'é', '[EMAIL]')"), "{text}");
        assert!(text.contains("POST of [CREDIT_CARD] is refused"), "{text}");
    }

    #[test]
    fn p7_every_text_of_an_event_is_scrubbed_by_itself() {
        let principal = Principal {
            subject: "ann".into(),
            kind: PrincipalKind::Agent,
            groups: Vec::new(),
            issuer: "tests".into(),
            on_behalf_of: None,
            on_behalf_of_groups: Vec::new(),
            token: None,
            minted_by: None,
            expires_at: None,
            certificate: None,
        };
        let ruling = |message: Option<&str>, reason: Option<&str>| EventBody::Ruling {
            operation: OperationId(1),
            decision: Verdict::Block,
            rules: Vec::new(),
            rows: 0,
            message: message.map(str::to_owned),
            approval: None,
            approver: None,
            reason: reason.map(str::to_owned),
        };
        let mut named = operation("", "", None);
        if let EventBody::Operation { parameters, .. } = &mut named.body {
            parameters[0].kind = MAIL.to_owned();
        }
        let events = [
            operation(MAIL, "", None),
            operation("", MAIL, None),
            operation("", "", Some(MAIL)),
            named,
            event(ruling(Some(MAIL), None)),
            event(ruling(None, Some(MAIL))),
            event(EventBody::Alert {
                operation: OperationId(1),
                rule: "r".into(),
                message: MAIL.to_owned(),
            }),
            event(EventBody::SessionStarted {
                principal,
                client: "127.0.0.1:1".into(),
                application: Some(MAIL.to_owned()),
                protocol: "postgres".into(),
                run: None,
            }),
        ];
        let scrub = Scrub::new(TypeSet::ALL).unwrap();
        for event in events {
            let clean = scrub.events(std::slice::from_ref(&event)).expect("something to take out");
            let text = serde_json::to_string(&clean).unwrap();
            assert!(!text.contains("ann@") && text.contains("[EMAIL]"), "{text}");
        }
    }

    #[test]
    fn p7_values_behind_escapes_are_gone() {
        let scrub = Scrub::new(TypeSet::ALL).unwrap();
        for (text, clean) in [
            ("n=4111%201111%201111%201111&m=1", "n=[CREDIT_CARD]&m=1"),
            ("n=4111+1111+1111+1111", "n=[CREDIT_CARD]"),
            ("n=4111%2b1111", "n=4111%2b1111"),
            ("%34111-1111-1111-1111", "[CREDIT_CARD]"),
            ("n=4111%25201111%25201111%25201111", "n=[CREDIT_CARD]"),
            ("{\"n\":\"\\u0034111 1111 1111 1111\"}", "{\"n\":\"[CREDIT_CARD]\"}"),
            ("{\"m\":\"a\\u006en\\u0040corp.example\"}", "{\"m\":\"[EMAIL]\"}"),
            ("é+\"a%6en%40corp.example\"+é", "é+\"[EMAIL]\"+é"),
            ("call=%2B49+30+12345678&é", "call=[PHONE]&é"),
        ] {
            let found = scrub.clean(text);
            assert_eq!(found.as_deref().unwrap_or(text), clean);
        }
    }

    /// What is recorded of a body of so many bytes.
    fn body(text: &str, bytes: &str) -> [Parameter; 2] {
        [("body bytes", bytes), ("body", text)]
            .map(|(kind, value)| Parameter { kind: kind.into(), value: Some(value.into()) })
    }

    #[test]
    fn p7_of_a_value_that_is_cut_nothing_is_left() {
        let scrub = Scrub::new(TypeSet::ALL).unwrap();
        let cut = |end: &str| {
            format!("{}{end}", "x ".repeat(RECORDED_BODY_BYTES_MAX))
                .split_off(RECORDED_BODY_BYTES_MAX + end.len())
        };
        for end in ["4111 1111 1111 11", "n=4111%201111%2", "\"m\":\"ann@cor", "DE89 3704 0044 05"]
        {
            let text = cut(end);
            assert_eq!(text.len(), RECORDED_BODY_BYTES_MAX);
            let clean = scrub.clean_value(&body(&text, "20000"), 1).expect("a beginning");
            assert_eq!(scrub.clean(&text), None, "what is no parameter is not cut");
            assert!(!clean.contains(|of: char| of.is_ascii_digit() || of == '@'), "{end}");
            assert!(clean.len() + 20 > text.len(), "{end}");
            // What is longer is not cut, and what is shorter, or as long as is noted, is whole.
            for whole in [format!("{text} x"), text[CHARACTER_BYTES_MAX + 1..].to_owned()] {
                assert_eq!(scrub.clean_value(&body(&whole, "20000"), 1), None);
            }
            assert_eq!(scrub.clean_value(&body(&text, "16384"), 1), None);
            let mut other = body(&text, "20000");
            other[1].kind = "text".to_owned();
            assert_eq!(scrub.clean_value(&other, 1), None, "what is no body is not cut");
        }
        let blob = "x".repeat(RECORDED_BODY_BYTES_MAX);
        let clean = scrub.clean_value(&body(&blob, "20000"), 1).expect("it may end in a value");
        assert_eq!(clean.len(), RECORDED_BODY_BYTES_MAX - AT_CUT_BYTES_MAX);
    }

    #[test]
    fn p7_what_the_journal_gets_is_scrubbed() {
        let folder = std::env::temp_dir().join(format!("narrows-scrub-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let (journal, _) = Journal::open(&folder, "gw", Options::default()).unwrap();
        let types = TypeSet::from_iter([detect::DetectionType::Email]);
        let recorder = Recorder::new(Arc::new(journal), "gw".into(), types);
        let kept = recorder.append(&[operation(MAIL, "", None)], OnFailure::Refuse);
        let records: Vec<_> = Reader::open(&folder, "gw", None).unwrap().collect();
        let text = format!("{records:?}");
        std::fs::remove_dir_all(&folder).unwrap();
        assert_eq!(kept, Kept::Yes);
        assert!(text.contains("[EMAIL]") && !text.contains("ann@"), "{text}");
    }

    #[test]
    fn what_holds_nothing_stays_as_it_is() {
        let scrub = Scrub::new(TypeSet::ALL).unwrap();
        assert!(scrub.events(&[operation("select 1", "12", None)]).is_none());
        assert!(Scrub::new(TypeSet::EMPTY).is_none());
        let mixed =
            [operation("select 1", "12", None), operation("select '4111111111111111'", "12", None)];
        let clean = scrub.events(&mixed).unwrap();
        assert_eq!(clean[0], mixed[0]);
        assert_ne!(clean[1], mixed[1]);
    }
}
