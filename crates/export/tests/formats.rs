//! What each format makes of events: goldens to be read, and what must hold of all of them.

#![expect(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that cannot go on has failed"
)]

mod support;

use std::collections::{BTreeMap, BTreeSet};

use export::Format;
use model::event::Verdict;
use model::limit::{
    EXPORT_BODY_BYTES_MAX, EXPORT_OPERATIONS_BYTES_MAX, EXPORT_OPERATIONS_MAX, EXPORT_SESSIONS_MAX,
};
use model::{Event, EventBody, Parameter, Timestamp};
use serde_json::Value;
use support::read::{check_ocsf, read_csv};
use support::{Notes, everything, exchanges, export, others, rule_match, statements};

fn golden(name: &str, text: &str) {
    insta::with_settings!({
        snapshot_path => "../testdata",
        prepend_module_to_snapshot => false,
        omit_expression => true,
    }, {
        insta::assert_snapshot!(name, text);
    });
}

fn pretty(lines: &str) -> String {
    let each = lines.lines().map(|line| {
        let value: Value = serde_json::from_str(line).unwrap();
        serde_json::to_string_pretty(&value).unwrap()
    });
    each.collect::<Vec<_>>().join("\n")
}

#[test]
fn jsonl_of_everything() {
    golden("everything.jsonl", &export(Format::Jsonl, &everything()));
}

#[test]
fn csv_of_everything() {
    golden("everything.csv", &export(Format::Csv, &everything()).replace("\r\n", "␍␊\n"));
}

#[test]
fn har_of_everything() {
    golden("everything.har", &pretty(&export(Format::Har, &everything()).replace('\n', "")));
}

#[test]
fn asciicast_of_everything() {
    golden("everything.cast", &export(Format::Asciicast, &everything()));
}

#[test]
fn ocsf_of_statements() {
    golden("statements.ocsf", &pretty(&export(Format::Ocsf, &statements())));
}

#[test]
fn ocsf_of_exchanges() {
    golden("exchanges.ocsf", &pretty(&export(Format::Ocsf, &exchanges())));
}

#[test]
fn ocsf_of_others() {
    golden("others.ocsf", &pretty(&export(Format::Ocsf, &others())));
}

#[test]
fn nothing_is_a_whole_file_too() {
    assert_eq!(export(Format::Jsonl, &[]), "");
    assert_eq!(export(Format::Ocsf, &[]), "");
    assert_eq!(read_csv(&export(Format::Csv, &[])).unwrap().len(), 1);
    let har: Value = serde_json::from_str(&export(Format::Har, &[])).unwrap();
    assert_eq!(har["log"]["entries"], serde_json::json!([]));
    let cast: Value = serde_json::from_str(&export(Format::Asciicast, &[])).unwrap();
    assert_eq!(cast["version"], 2);
}

/// A line read back is the event, and its payload.
#[test]
fn jsonl_has_the_whole_event() {
    use base64::Engine as _;
    let events = everything();
    let text = export(Format::Jsonl, &events);
    assert_eq!(text.lines().count(), events.len());
    for (line, event) in text.lines().zip(events) {
        let mut back: Event = serde_json::from_str(line).unwrap();
        let value: Value = serde_json::from_str(line).unwrap();
        back.payload = match (&value["payload"], &value["payload_base64"]) {
            (Value::String(text), Value::Null) => text.clone().into_bytes(),
            (Value::Null, Value::String(text)) => {
                base64::engine::general_purpose::STANDARD.decode(text).unwrap()
            }
            _ => Vec::new(),
        };
        assert_eq!(back, event);
        assert_eq!(value["time"].as_str().unwrap().len(), "2026-11-22T02:17:00.123456789Z".len());
    }
}

/// Lines of a CSV by the names of its columns.
fn records(text: &str) -> Vec<BTreeMap<String, String>> {
    let mut lines = read_csv(text).unwrap().into_iter();
    let names = lines.next().unwrap();
    let record = |line: Vec<String>| {
        assert_eq!(line.len(), names.len());
        names.iter().cloned().zip(line).collect()
    };
    lines.map(record).collect()
}

/// Events without the beginning of their session, as `--since` leaves them, each of which says for
/// whom it was done.
#[test]
fn for_whom_it_was_done_is_told_without_the_beginning_of_the_session() {
    let told = |events: Vec<Event>| {
        let rest = events
            .into_iter()
            .filter(|event| !matches!(event.body, EventBody::SessionStarted { .. }));
        rest.map(|event| Event { on_behalf_of: Some("lee".into()), ..event }).collect::<Vec<_>>()
    };
    let lines = records(&export(Format::Csv, &told(statements())));
    assert!(lines.iter().all(|line| line["on_behalf_of"] == "lee"), "{lines:?}");
    let ocsf = export(Format::Ocsf, &told(statements()));
    assert!(ocsf.lines().all(|line| line.contains(r#""on_behalf_of":"lee""#)), "{ocsf}");
    let har = export(Format::Har, &told(exchanges()));
    assert!(har.contains(r#""on_behalf_of":"lee""#) || har.contains(r#""on_behalf_of": "lee""#));
}

#[test]
fn csv_is_read_back() {
    let records = records(&export(Format::Csv, &statements()));
    let cell = |operation: &str, name: &str| {
        let with = |record: &&BTreeMap<String, String>| record["operation"] == operation;
        let found: Vec<_> = records.iter().filter(with).collect();
        assert_eq!(found.len(), 1, "one line for #{operation}");
        found[0][name].clone()
    };
    assert_eq!(records.len(), 7);
    assert_eq!(cell("1", "text"), "select name, ssn\n  from customers where id = $1");
    assert_eq!(cell("1", "masked_columns"), "ssn (redact)");
    assert_eq!(cell("1", "rules"), "hide (mask); watch (alert, observed)");
    assert_eq!(cell("1", "on_behalf_of"), "dana@example.test");
    assert_eq!(cell("1", "duration_ms"), "2.000345");
    assert_eq!((cell("3", "decision"), cell("3", "outcome")), ("block".into(), String::new()));
    assert_eq!((cell("4", "decision"), cell("4", "approver")), ("allow".into(), "dana".into()));
    assert_eq!((cell("5", "decision"), cell("5", "approver")), ("block".into(), "dana".into()));
    assert_eq!(cell("6", "text"), "'=cmd|' /C calc'!A0 -- \"x\",\\u{1b}[2J");
    assert_eq!(
        (cell("6", "outcome"), cell("6", "rules")),
        ("withheld".into(), "big (block)".into())
    );
    assert_eq!((cell("7", "outcome"), cell("7", "rows")), (String::new(), String::new()));
    assert_eq!(records.last().unwrap()["operation"], "7", "what got no reply comes last");
}

#[test]
fn har_is_read_back() {
    let har: Value = serde_json::from_str(&export(Format::Har, &exchanges())).unwrap();
    let entries = har["log"]["entries"].as_array().unwrap();
    // Every exchange, and no message.
    assert_eq!(entries.len(), 8);
    for entry in entries {
        for name in ["startedDateTime", "time", "request", "response", "cache", "timings"] {
            assert!(!entry[name].is_null(), "{name}");
        }
        for name in ["method", "url", "httpVersion", "cookies", "headers", "queryString"] {
            assert!(!entry["request"][name].is_null(), "request.{name}");
        }
        for name in ["status", "statusText", "httpVersion", "content", "redirectURL", "bodySize"] {
            assert!(!entry["response"][name].is_null(), "response.{name}");
        }
        let timings = entry["timings"].as_object().unwrap();
        let sum: f64 = timings.values().filter_map(Value::as_f64).filter(|ms| *ms > 0.0).sum();
        assert!((sum - entry["time"].as_f64().unwrap()).abs() < 1e-6);
    }
    let of = |url: &str| entries.iter().find(|entry| entry["request"]["url"] == url).unwrap();
    let item = of("https://api.test/items?page=2&q=a%20b");
    assert_eq!(item["request"]["postData"]["text"], "{\"a\":1}");
    assert_eq!(item["response"]["content"]["text"], "{\"ssn\":\"[REDACTED]\"}");
    assert_eq!(item["response"]["status"], 201);
    assert_eq!(item["response"]["redirectURL"], "/items/9");
    let cookie = &item["response"]["headers"][2];
    assert_eq!((&cookie["name"], &cookie["value"]), (&"set-cookie".into(), &"(hidden)".into()));
    assert!(!har.to_string().contains("sid=secret"), "p7");
    for entry in entries {
        assert!(entry["response"]["content"]["size"].as_i64() >= Some(0), "{entry}");
    }
    let refused = of("https://api.test/items/1");
    assert_eq!(refused["response"]["status"], 403);
    assert_eq!(of("https://down.test/")["response"]["status"], 502);
    assert_eq!(of("about:invalid#gw.test/r/api/a")["response"]["status"], 400);
    let picture = &of("https://api.test/logo.png")["response"]["content"];
    assert_eq!((&picture["encoding"], &picture["size"]), (&"base64".into(), &106.into()));
    assert!(har["log"]["comment"].as_str().unwrap().contains("1 messages"));
}

#[test]
fn ocsf_has_what_its_classes_require() {
    let text = export(Format::Ocsf, &everything());
    let mut classes = BTreeMap::new();
    let mut names = BTreeSet::new();
    for line in text.lines() {
        let object: Value = serde_json::from_str(line).unwrap();
        check_ocsf(&object);
        assert!(names.insert(object["metadata"]["uid"].to_string()), "two of {object}");
        *classes.entry(object["class_uid"].as_u64().unwrap()).or_insert(0) += 1;
    }
    // Findings: three operations are refused at once, one by a person, two while they run; an
    // alert, a gap.
    let expected = [(0, 3), (2004, 8), (3002, 5), (3004, 4), (4002, 10), (6005, 9)];
    assert_eq!(classes.into_iter().collect::<Vec<_>>(), expected);
}

/// An activity has the name that a refused client was told, and its finding names it.
#[test]
fn ocsf_findings_name_their_activities() {
    let text = export(Format::Ocsf, &statements());
    let objects: Vec<Value> =
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let mut found = 0;
    for finding in objects.iter().filter(|object| object["class_uid"] == 2004) {
        let name = &finding["finding_info"]["related_events"][0]["uid"];
        let named = |object: &&Value| &object["metadata"]["uid"] == name;
        assert_eq!(objects.iter().filter(named).count(), 1, "{name}");
        found += 1;
    }
    assert_eq!(found, 4);
}

#[test]
fn ocsf_tells_what_an_approver_said_from_the_word_for_the_refusal() {
    let text = export(Format::Ocsf, &statements());
    let denied: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .filter(|object: &Value| object["unmapped"]["approver_words"] == "not today")
        .collect();
    // The activity that did not happen, and the finding.
    assert_eq!(denied.len(), 2, "{text}");
    for object in denied {
        assert_eq!(object["unmapped"]["reason"], "approval_denied", "{object}");
    }
}

#[test]
fn ocsf_gives_no_two_objects_one_name() {
    let mut notes = Notes::of("s-1", "agent-7", "appdb");
    for id in 1..=EXPORT_OPERATIONS_MAX as u64 + 1 {
        notes.ask(id, "query", "select 1", Verdict::Allow);
    }
    notes.reply(1, "done", 7, b"");
    let mut of_gateway = Notes::of_gateway();
    for _ in 0..3 {
        let (actor, action, target) = ("ops".to_owned(), "token.create".into(), "tk_1".into());
        of_gateway.note(EventBody::Admin { actor, action, target, detail: None }).at = Timestamp(5);
    }
    notes.events.extend(of_gateway.events);
    let text = export(Format::Ocsf, &notes.events);
    let names: BTreeSet<String> = text
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["metadata"]["uid"].to_string())
        .collect();
    assert_eq!(names.len(), text.lines().count());
}

#[test]
fn p8_the_operation_one_past_the_limit_is_written_without_its_reply() {
    let mut notes = Notes::of("s-1", "agent-7", "appdb");
    let most = EXPORT_OPERATIONS_MAX as u64;
    for id in 1..=most + 1 {
        notes.ask(id, "query", "select 1", Verdict::Allow);
    }
    notes.reply(2, "done", 5, b"");
    notes.reply(1, "done", 7, b"");
    let records = records(&export(Format::Csv, &notes.events));
    assert_eq!(records.len() as u64, most + 2);
    let of = |at: usize| ["operation", "text", "rows"].map(|name| records[at][name].as_str());
    assert_eq!(of(0), ["1", "select 1", ""], "it made room");
    assert_eq!(of(1), ["2", "select 1", "5"], "this one was remembered");
    assert_eq!(of(2), ["1", "", "7"], "its reply is not lost");
}

#[test]
fn p8_the_session_one_past_the_limit_is_unknown() {
    let mut events = Vec::new();
    for number in 0..=EXPORT_SESSIONS_MAX {
        let mut notes = Notes::of(&format!("s-{number}"), "agent-7", "appdb");
        notes.begin("postgres");
        events.extend(notes.events);
    }
    for session in ["s-0", "s-1"] {
        let mut notes = Notes::of(session, "agent-7", "appdb");
        notes.ask(1, "query", "select 1", Verdict::Allow);
        notes.reply(1, "done", 1, b"");
        events.extend(notes.events);
    }
    let records = records(&export(Format::Csv, &events));
    let told = |at: usize| ["session", "principal", "protocol"].map(|name| &*records[at][name]);
    assert_eq!(told(0), ["s-0", "agent-7", ""], "it made room");
    assert_eq!(told(1), ["s-1", "agent-7", "postgres"], "this one was remembered");
}

#[test]
fn p8_a_body_past_the_limit_is_cut_and_says_so() {
    let head = b"HTTP 200 OK\r\n\r\n";
    let sizes = |extra: usize| {
        let mut notes = Notes::of("s-1", "agent-7", "api");
        notes.begin("http");
        notes.ask(1, "request", "GET https://api.test/", Verdict::Allow);
        notes.part(1, 0, head);
        notes.reply(1, "done", 0, &vec![b'a'; EXPORT_BODY_BYTES_MAX - head.len() + extra]);
        let har: Value = serde_json::from_str(&export(Format::Har, &notes.events)).unwrap();
        let content = har["log"]["entries"][0]["response"]["content"].clone();
        let size = content["size"].as_u64().unwrap() as usize;
        let text = content["text"].as_str().unwrap().len();
        (size, text, content["comment"].as_str().map(str::to_owned))
    };
    let room = EXPORT_BODY_BYTES_MAX - head.len();
    assert_eq!(sizes(0), (room, room, None));
    assert_eq!(sizes(1), (room + 1, room, Some("1 bytes are not here".to_owned())));
}

#[test]
fn p8_operations_past_the_limit_of_bytes_make_room() {
    let mut notes = Notes::of("s-1", "agent-7", "appdb");
    let each = 4 * 1024 * 1024;
    let fit = (EXPORT_OPERATIONS_BYTES_MAX / each) as u64;
    for id in 1..=fit {
        if let EventBody::Operation { parameters, .. } =
            notes.ask(id, "bind", "select $1", Verdict::Allow)
        {
            // A little less than that, for what else is counted.
            let value = Some("a".repeat(each - 4096));
            *parameters = vec![Parameter { kind: "text".to_owned(), value }];
        }
    }
    let first = |notes: &Notes| {
        let records = records(&export(Format::Csv, &notes.events));
        (records.len() as u64, records[0]["rows"].clone())
    };
    notes.reply(1, "done", 7, b"");
    assert_eq!(first(&notes), (fit, "7".to_owned()), "all are remembered");
    let reply = notes.events.pop().unwrap();
    if let EventBody::Operation { parameters, .. } =
        notes.ask(fit + 1, "bind", "select $1", Verdict::Allow)
    {
        let value = Some("a".repeat(each));
        *parameters = vec![Parameter { kind: "text".to_owned(), value }];
    }
    notes.events.push(reply);
    assert_eq!(first(&notes), (fit + 2, String::new()), "the first made room");
}

/// A reply that was held and let go is masked as it would have been.
#[test]
fn a_held_reply_that_is_let_go_is_still_masked() {
    let mut notes = Notes::of("s-1", "agent-7", "appdb");
    notes.begin("postgres");
    notes.ask(1, "query", "select ssn from customers", Verdict::Mask);
    for decision in [Verdict::Hold, Verdict::Allow] {
        if let EventBody::Ruling { rules, rows, approval, approver, .. } = notes.rule(1, decision) {
            (*rules, *rows) = (vec![rule_match("big", "approve")], 1001);
            // Asked for before it has a name.
            *approval = (decision == Verdict::Allow).then(|| "a1".into());
            *approver = (decision == Verdict::Allow).then(|| "dana".into());
        }
    }
    notes.reply(1, "done", 2000, b"");
    let records = records(&export(Format::Csv, &notes.events));
    let told = ["decision", "rules", "approver"].map(|name| &*records[0][name]);
    assert_eq!((records.len(), told), (1, ["mask", "big (approve)", "dana"]));
    let ocsf = export(Format::Ocsf, &notes.events);
    let objects: Vec<Value> =
        ocsf.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let types: Vec<_> = objects.iter().map(|object| object["type_uid"].clone()).collect();
    // Logon; the approval is asked for, and given; the query.
    assert_eq!(types, [300_201, 300_401, 300_403, 600_599]);
    assert_eq!(objects[1]["entity"]["uid"], objects[2]["entity"]["uid"], "it is one approval");
    assert_eq!(objects[2]["unmapped"]["approval"], "a1");
    assert_eq!(objects[2]["actor"]["user"]["name"], "dana");
}

/// A body that looks like a head says nothing of the status.
#[test]
fn the_status_is_that_of_the_head_alone() {
    let mut notes = Notes::of("s-1", "agent-7", "api");
    notes.ask(1, "request", "GET https://api.test/", Verdict::Allow);
    notes.part(1, 0, b"not a head");
    notes.part(1, 0, b"HTTP 201 Created\r\n\r\n");
    notes.reply(1, "done", 0, b"HTTP 202 Accepted\r\n\r\n");
    let ocsf: Value = serde_json::from_str(&export(Format::Ocsf, &notes.events)).unwrap();
    assert_eq!(ocsf["http_response"], Value::Null);
    let har: Value = serde_json::from_str(&export(Format::Har, &notes.events)).unwrap();
    assert_eq!(har["log"]["entries"][0]["response"]["status"], 0);
}

/// A number used again for another text is another operation.
#[test]
fn operations_of_the_same_number_are_not_mixed() {
    let mut notes = Notes::of("s-1", "agent-7", "appdb");
    notes.ask(1, "query", "select 1", Verdict::Hold);
    notes.ask(1, "query", "select 2", Verdict::Allow);
    notes.reply(1, "done", 2, b"");
    let records = records(&export(Format::Csv, &notes.events));
    let told: Vec<_> = records
        .iter()
        .map(|record| (&*record["text"], &*record["decision"], &*record["rows"]))
        .collect();
    assert_eq!(told, [("select 1", "hold", ""), ("select 2", "allow", "2")]);
}

/// The film's clock never goes back, whatever the gateway's does.
#[test]
fn asciicast_time_never_goes_back() {
    let mut notes = Notes::of("s-1", "agent-7", "appdb");
    notes.note(EventBody::Cancel {});
    notes.note(EventBody::Cancel {});
    notes.note(EventBody::Cancel {});
    notes.events[2].at = notes.events[0].at;
    let text = export(Format::Asciicast, &notes.events);
    let times: Vec<f64> = text
        .lines()
        .skip(1)
        .map(|line| serde_json::from_str::<Value>(line).unwrap()[0].as_f64().unwrap())
        .collect();
    assert_eq!(times, [0.0, 0.0015, 0.0015]);
}
