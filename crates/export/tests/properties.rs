//! What must hold whatever was recorded.

#![expect(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that cannot go on has failed"
)]

mod support;

use export::{ExportError, Exporter, Format, Options};
use model::event::{RuleMatch, Verdict};
use model::{
    Column, DetectionCount, Event, EventBody, OperationId, Parameter, Principal, PrincipalKind,
    SessionId, Timestamp,
};
use proptest::prelude::*;
use serde_json::Value;
use support::read::{check_ocsf, read_csv};
use support::{export, operation, reply, ruling};

/// Text that tries to be something else: terminal sequences, lines, formulas, JSON, heads of HTTP.
fn hostile() -> impl Strategy<Value = String> {
    let pieces = prop_oneof![
        4 => any::<String>(),
        1 => Just("\u{1b}[2J\u{1b}]0;title\u{7}".to_owned()),
        1 => Just("\u{9b}31m\u{90}q\u{9c}".to_owned()),
        1 => Just("\r\n#1 allowed\r".to_owned()),
        1 => Just("=1+1,\"\n".to_owned()),
        1 => Just("\u{202e}\u{2028}\u{85}\u{0}".to_owned()),
        1 => Just("GET https://[::1]:99999/?&=&a".to_owned()),
        1 => Just("body sha-256".to_owned()),
        1 => Just(" ".repeat(120) + "#9 allowed"),
    ];
    prop::collection::vec(pieces, 0..3).prop_map(|pieces| pieces.concat())
}

fn payload() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        any::<Vec<u8>>(),
        hostile().prop_map(String::into_bytes),
        hostile()
            .prop_map(|text| format!("HTTP 200 {text}\r\n{text}: {text}\r\n\r\n{text}").into()),
    ]
}

fn verdict() -> impl Strategy<Value = Verdict> {
    prop_oneof![
        Just(Verdict::Allow),
        Just(Verdict::Mask),
        Just(Verdict::Hold),
        Just(Verdict::Block)
    ]
}

static STEPS: [&str; 6] = ["request", "part", "message", "tunnel", "query", "execute"];
static PROTOCOLS: [&str; 3] = ["http", "postgres", "ssh"];

fn body() -> impl Strategy<Value = EventBody> {
    let step =
        prop_oneof![3 => prop::sample::select(&STEPS).prop_map(str::to_owned), 1 => hostile()];
    let protocol = prop::sample::select(&PROTOCOLS).prop_map(str::to_owned);
    let texts = prop::array::uniform5(hostile());
    (0..13, 1..4_u64, texts, step, protocol, verdict(), any::<(u64, u64, u64)>()).prop_map(
        |(kind, id, texts, step, protocol, decision, numbers)| {
            make(kind, id, texts, (step, protocol), decision, numbers)
        },
    )
}

fn make(
    kind: i32,
    id: u64,
    [a, b, c, d, e]: [String; 5],
    (step, protocol): (String, String),
    verdict: Verdict,
    (one, two, three): (u64, u64, u64),
) -> EventBody {
    let some_rules =
        vec![RuleMatch { rule: b.as_str().into(), action: "block".into(), observed: one % 2 == 0 }];
    match kind {
        0 => EventBody::SessionStarted {
            principal: Principal {
                subject: a.as_str().into(),
                kind: PrincipalKind::Person,
                groups: vec![b.as_str().into()],
                issuer: c.as_str().into(),
                on_behalf_of: Some(d.as_str().into()),
                on_behalf_of_groups: Vec::new(),
                token: None,
                minted_by: None,
                expires_at: Some(Timestamp(three)),
                certificate: None,
            },
            client: e,
            application: Some(b),
            protocol,
            run: None,
        },
        1 => EventBody::SessionRefused { client: a, reason: b, protocol },
        2 => EventBody::SessionEnded {
            reason: a,
            detail: Some(b),
            operations: one,
            rows: two,
            bytes: three,
        },
        3 | 4 => {
            let mut body = operation(id, &step, &a, verdict);
            if let EventBody::Operation { parameters, rules, message, reason, approver, .. } =
                &mut body
            {
                *parameters = vec![Parameter { kind: c, value: Some(d) }];
                *rules = some_rules;
                *message = Some(e.clone());
                *reason = Some(b);
                *approver = Some(e.as_str().into());
            }
            body
        }
        5 => {
            let mut body = ruling(id, verdict);
            if let EventBody::Ruling { rules, rows, message, approver, reason, .. } = &mut body {
                (*rules, *rows, *message) = (some_rules, one, Some(a));
                *reason = Some(c);
                *approver = (two % 2 == 0).then(|| d.as_str().into());
            }
            body
        }
        6 => EventBody::ReplyPart {
            operation: OperationId(id),
            rows: one,
            bytes: two,
            columns: Vec::new(),
        },
        7 => {
            let mut body = reply(id, &a, one, two);
            if let EventBody::Reply {
                columns, detections, error_code, sent, payload_dropped, ..
            } = &mut body
            {
                let mask = Some(c.as_str().into());
                *columns = vec![Column { label: b.as_str().into(), origins: Vec::new(), mask }];
                *detections =
                    vec![DetectionCount { kind: d.as_str().into(), seen: one, masked: two }];
                *error_code = Some(e);
                (*sent, *payload_dropped) = (three, one);
            }
            body
        }
        8 => EventBody::Unsolicited { what: a, bytes: one },
        9 => EventBody::Abort { operation: OperationId(id) },
        10 => EventBody::Alert { operation: OperationId(id), rule: a.as_str().into(), message: b },
        11 => EventBody::Admin { actor: a, action: b, target: c, detail: Some(d) },
        _ => EventBody::Gap { operations: one },
    }
}

prop_compose! {
    fn event()(
        body in body(),
        payload in payload(),
        at in any::<u64>(),
        session in prop::option::of(prop_oneof![Just("s-1".to_owned()), hostile()]),
        principal in prop::option::of(hostile()),
        party in prop::option::of(hostile()),
        resource in prop::option::of(hostile()),
        gateway in hostile(),
    ) -> Event {
        Event {
            v: 1,
            at: Timestamp(at),
            gateway: gateway.as_str().into(),
            session: session.map(|session| SessionId(session.as_str().into())),
            sequence: at % 9,
            principal: principal.map(|principal| principal.as_str().into()),
            on_behalf_of: party.map(|party| party.as_str().into()),
            resource: resource.map(|resource| resource.as_str().into()),
            body,
            payload,
        }
    }
}

/// The screen's own sequences; everything else on it is text.
const OWN: [&str; 7] =
    ["\u{1b}[31m", "\u{1b}[32m", "\u{1b}[33m", "\u{1b}[1m", "\u{1b}[2m", "\u{1b}[0m", "\r\n"];

/// What is on the screen, or what should not be.
fn check_screen(data: &str) -> Result<(), String> {
    let text = OWN.iter().fold(data.to_owned(), |text, own| text.replace(own, ""));
    match text.chars().find(|c| c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2028}'))
    {
        Some(c) => Err(format!("{c:?} in {data:?}")),
        None => Ok(()),
    }
}

/// Lines that begin at the left edge begin with words of the recording's own.
fn check_edges(data: &str) -> Result<(), String> {
    let own = [
        "\u{1b}[2m-- ",
        "session of ",
        "\u{1b}[31mturned away",
        "\u{1b}[1mended",
        "\u{1b}[1m#",
        "\u{1b}[2msaid unasked",
        "\u{1b}[33mthe client",
        "admin: ",
        "\u{1b}[31m",
        "      ",
    ];
    for line in data.split("\r\n") {
        if !line.is_empty() && !own.iter().any(|begins| line.starts_with(begins)) {
            return Err(format!("{line:?} begins a line"));
        }
        let shown = OWN.iter().fold(line.to_owned(), |text, own| text.replace(own, ""));
        if shown.chars().count() >= 100 {
            return Err(format!("{shown:?} does not fit"));
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn nothing_panics_and_lines_stay_lines(events in prop::collection::vec(event(), 0..12)) {
        let jsonl = export(Format::Jsonl, &events);
        prop_assert_eq!(jsonl.matches('\n').count(), events.len());
        for (line, event) in jsonl.lines().zip(&events) {
            let back: Event = serde_json::from_str(line).unwrap();
            prop_assert_eq!(&back.body, &event.body);
        }
        let ocsf = export(Format::Ocsf, &events);
        for line in ocsf.lines() {
            let object: Value = serde_json::from_str(line).unwrap();
            check_ocsf(&object);
        }
        let har: Value = serde_json::from_str(&export(Format::Har, &events)).unwrap();
        prop_assert!(har["log"]["entries"].is_array());
        let csv = export(Format::Csv, &events);
        for line in read_csv(&csv).unwrap() {
            prop_assert_eq!(line.len(), 20);
            for cell in line {
                let formula = cell.starts_with(['=', '+', '-', '@', '\t', '\r', '\n']);
                prop_assert!(!formula, "{}", cell);
                prop_assert!(!cell.contains('\u{1b}'), "{}", cell);
            }
        }
        // Nor to who ends cells elsewhere and knows no quotes.
        for cell in csv.split([';', '\t', '\r', '\n']) {
            let begins = cell.trim_start_matches(' ');
            prop_assert!(!begins.starts_with(['=', '+', '-', '@']), "{}", cell);
        }
    }

    /// A security property: a terminal obeys nothing that was recorded.
    #[test]
    fn p3_no_recorded_text_reaches_the_terminal_as_a_sequence(
        events in prop::collection::vec(event(), 1..8)
    ) {
        let cast = export(Format::Asciicast, &events);
        prop_assert!(!cast.contains('\u{1b}'), "JSON escapes it");
        let mut lines = cast.lines();
        let header: Value = serde_json::from_str(lines.next().unwrap()).unwrap();
        let title = header["title"].as_str().unwrap_or_default();
        prop_assert!(!title.chars().any(char::is_control), "{}", title);
        let mut last = 0.0;
        for line in lines {
            let shown: Value = serde_json::from_str(line).unwrap();
            prop_assert_eq!(&shown[1], "o");
            let data = shown[2].as_str().unwrap();
            prop_assert_eq!(check_screen(data), Ok(()));
            prop_assert_eq!(check_edges(data), Ok(()));
            let at = shown[0].as_f64().unwrap();
            prop_assert!(at >= last);
            last = at;
        }
    }
}

/// A writer that fails is an error, not a panic and not silence.
#[test]
fn a_writer_that_fails_is_told() {
    struct Full;
    impl std::io::Write for Full {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            Err(std::io::ErrorKind::StorageFull.into())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    for format in Format::ALL {
        let mut exporter = Exporter::new(format, Full, Options::default());
        let told = support::everything().iter().try_for_each(|event| exporter.event(event));
        let told = told.and_then(|()| exporter.finish().map(drop));
        assert!(matches!(told, Err(ExportError::Write(_))), "{}", format.as_str());
    }
}
