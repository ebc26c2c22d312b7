//! What is told of recordings that no end-to-end test can make quickly: old, sealed, of other rules.

use std::path::Path;

use serde_json::{Value as Json, json};

use super::*;
use crate::config;
use crate::protocols::Rulebook;

const HOUR: u64 = 3_600_000_000_000;
const START: Timestamp = Timestamp(100 * HOUR);
const FROM: Timestamp = Timestamp(124 * HOUR);

/// A configuration with these rules, as a backtest sees it.
fn rules(rules: &str) -> Rules {
    let text = format!(
        "listen: {{ postgres: \"127.0.0.1:1\", http: \"127.0.0.1:3\" }}\nresources:\n  \
         shop: {{ type: postgres, address: \"127.0.0.1:2\", database: d, user: u, \
         password: {{env: HOME}}, tls: off }}\n  \
         api: {{ type: http, url: \"http://127.0.0.1:4\", tls: off }}\naccess:\n  \
         - {{ subjects: [\"*\"], resources: [shop, api] }}\nrules:\n{rules}"
    );
    let folder = std::env::temp_dir();
    let file = folder.join(format!(
        "narrows-backtest-{}-{:?}.yaml",
        std::process::id(),
        std::thread::current().id()
    ));
    std::fs::write(&file, text).unwrap();
    let rulebook = Rulebook::new();
    let loaded = config::load(Path::new(&file), &rulebook, 1);
    std::fs::remove_file(&file).unwrap();
    let loaded = loaded.map_err(|unusable| format!("{:?}", unusable.problems)).unwrap();
    Rules::new(loaded, None, &rulebook)
}

fn event(at: u64, session: &str, body: Json) -> Row {
    let mut event = json!({
        "v": 1, "at": Timestamp(at), "gateway": "gw-1", "session": session, "sequence": 1,
        "principal": "ann", "resource": "shop",
    });
    let fields = event.as_object_mut().unwrap();
    fields.extend(body.as_object().unwrap().clone());
    let event: model::Event = serde_json::from_value(event).unwrap();
    Row::of(event, archive::row::Place::default())
}

fn started(at: u64, session: &str) -> Row {
    let identity = json!({
        "subject": "ann", "kind": "agent", "groups": [], "issuer": "narrows",
        "on_behalf_of_groups": [],
    });
    let body = json!({
        "kind": "session_started", "identity": identity, "client": "c", "application": null,
        "protocol": "postgres",
    });
    event(at, session, body)
}

fn select(at: u64, session: &str, operation: u64) -> Row {
    let body = json!({
        "kind": "operation", "operation": operation, "step": "query", "verbs": ["select"],
        "reads": ["public.orders"], "columns": ["public.orders.id"],
        "text": "SELECT id FROM orders", "decision": "allow",
    });
    event(at, session, body)
}

fn reply(at: u64, session: &str, operation: u64, rows: u64) -> Row {
    let body = json!({
        "kind": "reply", "operation": operation, "outcome": "done", "rows": rows, "bytes": 100,
        "duration_ns": 1, "columns": [{ "label": "id", "origins": [
            { "schema": "public", "table": "orders", "column": "id" }] }],
    });
    event(at, session, body)
}

fn loaded(at: u64, detail: &str) -> Row {
    let body = json!({
        "kind": "admin", "actor": "serve", "action": "config.load", "target": "n.yaml",
        "detail": detail,
    });
    event(at, "s_0", body)
}

fn report(rules: &Rules, rows: Vec<Row>) -> Report {
    let mut report = Report::default();
    let mut gateway = Gateway::new(rules, (START, FROM), &mut report);
    rows.into_iter().for_each(|row| gateway.read(row));
    gateway.end();
    report
}

/// A statement that passed under masks, and what came back.
fn masked(text: &str, read: &[&str], columns: Json) -> Vec<Row> {
    let read: Vec<String> = read.iter().map(|name| format!("public.people.{name}")).collect();
    let body = json!({
        "kind": "operation", "operation": 1, "step": "query", "verbs": ["select"],
        "reads": ["public.people"], "columns": read,
        "text": text, "decision": "mask",
        "rules": [{ "rule": "then", "action": "mask", "observed": false }],
    });
    let mut reply = reply(FROM.0, "s_1", 1, 3);
    let replied = event(
        FROM.0,
        "s_1",
        json!({
            "kind": "reply", "operation": 1, "outcome": "done", "rows": 3, "bytes": 100,
            "duration_ns": 1, "columns": columns,
        }),
    );
    reply.columns = replied.columns;
    vec![started(FROM.0, "s_1"), event(FROM.0, "s_1", body), reply]
}

fn column(label: &str, names: &[&str], mask: Option<&str>) -> Json {
    let origin = |name: &&str| json!({ "schema": "public", "table": "people", "column": name });
    let origins: Vec<Json> = names.iter().map(origin).collect();
    json!({ "label": label, "origins": origins, "mask": mask })
}

/// Parts under a heading.
fn parts(found: &super::super::report::Found) -> Vec<String> {
    found.examples.iter().flat_map(|change| change.parts.clone()).collect()
}

/// What nobody can say, `rule: fact`.
fn unclear(told: &Report) -> Vec<String> {
    let rules = told.cannot_say.by_rule.iter();
    rules
        .flat_map(|(rule, facts)| facts.keys().map(move |fact| format!("{rule}: {fact}")))
        .collect()
}

const ORDERS: &str = "  - { name: orders, when: 'touches(\"orders\")', block: \"no\" }\n";

#[test]
fn only_what_happened_in_the_time_asked_about_is_told() {
    let early = FROM.0 - 1;
    let rows = vec![
        started(early, "s_1"),
        select(early, "s_1", 1),
        reply(early, "s_1", 1, 3),
        select(FROM.0, "s_1", 2),
        reply(FROM.0, "s_1", 2, 3),
    ];
    let report = report(&rules(ORDERS), rows);
    assert_eq!((report.operations, report.newly_blocked.operations), (1, 1));
}

#[test]
fn what_was_used_before_the_time_asked_about_counts() {
    let rule = "  - { name: much, when: principal.rows > 5, block: \"no\" }\n";
    let rows = |rows: u64| {
        let before = FROM.0 - HOUR / 2;
        vec![
            started(before, "s_1"),
            select(before, "s_1", 1),
            reply(before, "s_1", 1, rows),
            select(FROM.0, "s_1", 2),
            reply(FROM.0, "s_1", 2, 1),
        ]
    };
    assert_eq!(report(&rules(rule), rows(5)).changed, 0);
    assert_eq!(report(&rules(rule), rows(6)).newly_blocked.operations, 1);
}

#[test]
fn of_a_session_that_began_before_reading_its_use_is_not_known() {
    let rule = |when: &str| format!("  - {{ name: r, when: '{when}', block: \"no\" }}\n");
    let rows =
        || vec![started(START.0 - 1, "s_1"), select(FROM.0, "s_1", 7), reply(FROM.0, "s_1", 7, 1)];
    let told = report(&rules(&rule("session.operations > 3")), rows());
    assert_eq!((told.cannot_say.operations, told.changed), (1, 0), "{told:?}");
    assert!(told.cannot_say.by_rule["r"].contains_key("session.operations"), "{told:?}");
    // One is certain, and how old it is as well.
    assert_eq!(report(&rules(&rule("session.operations > 0")), rows()).changed, 1);
    let told = report(&rules(&rule("session.age > duration(\"24h\")")), rows());
    assert_eq!((told.cannot_say.operations, told.changed), (0, 1));
    // And one whose beginning is nowhere is not judged.
    let told = report(&rules(ORDERS), vec![select(FROM.0, "s_2", 1)]);
    assert_eq!((told.cannot_say.operations, told.cannot_say.not_judged.len()), (1, 1));
}

#[test]
fn r18_a_sealed_text_leaves_what_is_recorded_beside_it() {
    let rows = || {
        let mut sealed = select(FROM.0, "s_1", 1);
        sealed.text = None;
        sealed.sealed = vec![1];
        vec![started(FROM.0, "s_1"), sealed, reply(FROM.0, "s_1", 1, 1)]
    };
    assert_eq!(report(&rules(ORDERS), rows()).newly_blocked.operations, 1);
    for fact in ["sql.text.contains(\"x\")", "sql.dynamic", "size(sql.functions) > 0"] {
        let rule = format!("  - {{ name: r, when: '{fact}', block: \"no\" }}\n");
        let told = report(&rules(&rule), rows());
        assert_eq!((told.cannot_say.operations, told.changed), (1, 0), "{fact}");
    }
}

#[test]
fn a_rule_is_as_it_was_only_where_the_record_says_so() {
    // The record does not tell whether a view is dynamic.
    let view = || {
        let mut view = select(FROM.0, "s_1", 1);
        view.text = Some("SELECT id FROM seen".into());
        view.reads = vec!["public.orders".into(), "public.seen".into()];
        view.columns_read = vec!["public.orders.id".into(), "public.seen.id".into()];
        view
    };
    let rule = "  - { name: r, when: sql.dynamic, block: \"no\" }\n";
    let now = rules(rule);
    let same = format!("1 rules{}", digest_of(&now));
    let other = format!("1 rules{}", digest_of(&rules(&rule.replace("no", "never"))));
    let told = |details: &[&str]| {
        let mut rows: Vec<Row> = details.iter().map(|detail| loaded(FROM.0, detail)).collect();
        rows.extend([started(FROM.0, "s_1"), view(), reply(FROM.0, "s_1", 1, 1)]);
        let told = report(&now, rows);
        (told.unchanged, told.cannot_say.operations)
    };
    assert_eq!(told(&[]), (0, 1), "nothing is known of the rules then");
    assert_eq!(told(&[&same]), (1, 0));
    assert_eq!(told(&[&other]), (0, 1));
    assert_eq!(told(&[&same, &other]), (0, 1), "the last counts");
    assert_eq!(told(&[&same, "refused: 1 problems"]), (1, 0), "what was refused does not");
    assert_eq!(told(&[&same, "asked for"]), (0, 1), "until it is in force");
}

fn digest_of(rules: &Rules) -> String {
    let digests = rules.digests.iter().map(|(name, digest)| format!("{digest} {name:?}"));
    format!("; rules: {}", digests.collect::<Vec<_>>().join(", "))
}

#[test]
fn what_was_refused_may_have_returned_anything() {
    let mut blocked = select(FROM.0, "s_1", 1);
    blocked.decision = Some("block".into());
    blocked.reason = Some("blocked".into());
    blocked.rules = vec![RuleMatch { rule: "old".into(), action: "block".into(), observed: false }];
    let rows = || vec![started(FROM.0, "s_1"), blocked.clone(), select(FROM.0 + 1, "s_1", 2)];
    // Whether it would be held is not known, that it would not be refused is.
    let held = "  - { name: r, when: result.rows > 3, approve: { by: [x] } }\n";
    let told = report(&rules(held), rows());
    assert_eq!(told.released.operations, 1, "{told:?}");
    assert_eq!(told.released.by_rule.get("old"), Some(&1));
    let refused = "  - { name: r, when: result.rows > 3, block: \"no\" }\n";
    let told = report(&rules(refused), rows());
    assert_eq!((told.released.operations, told.cannot_say.operations), (0, 2), "{told:?}");
    // What follows is counted as if it had returned nothing, and that is said.
    let much = "  - { name: r, when: principal.rows > 3, block: \"no\" }\n";
    let told = report(&rules(much), rows());
    assert_eq!((told.released.operations, told.counts), (1, 1), "{told:?}");
}

/// A reply that was stopped, by this word and these rules, after these had matched the request.
fn stopped(reason: &str, asked: Json, ruled: Json) -> Vec<Row> {
    let mut select = select(FROM.0, "s_1", 1);
    select.rules = serde_json::from_value(asked).unwrap();
    let ruling = json!({
        "kind": "ruling", "operation": 1, "decision": "block", "rules": ruled, "rows": 1,
        "reason": reason, "message": "no",
    });
    let mut withheld = reply(FROM.0, "s_1", 1, 0);
    withheld.outcome = Some("withheld".into());
    withheld.columns.clear();
    vec![started(FROM.0, "s_1"), select, event(FROM.0, "s_1", ruling), withheld]
}

#[test]
fn what_a_protocol_stopped_would_stay_so_whatever_rules_matched_besides() {
    let alert = || json!([{ "rule": "tell", "action": "alert", "observed": false }]);
    let mask = || json!([{ "rule": "then", "action": "mask", "observed": false }]);
    let none = rules("  []\n");
    let masks = rules("  - { name: now, mask: { fields: [ssn] } }\n");
    for rules in [&none, &masks] {
        let told = report(rules, stopped("too_large", alert(), json!([])));
        assert_eq!((told.unchanged, told.changed), (1, 0), "{told:?}");
    }
    // What masks make unreadable stays so under any, and is let go without.
    let unread = || stopped("untraceable", mask(), json!([]));
    assert_eq!(report(&masks, unread()).unchanged, 1);
    let told = report(&none, unread());
    assert_eq!(told.released.by_rule.keys().collect::<Vec<_>>(), ["untraceable"], "{told:?}");
    // A rule that stopped it does so no more.
    let by = json!([{ "rule": "old", "action": "block", "observed": false }]);
    for word in ["blocked", "reply_too_large"] {
        let told = report(&masks, stopped(word, mask(), by.clone()));
        assert_eq!(told.released.by_rule.keys().collect::<Vec<_>>(), ["old"], "{told:?}");
    }
}

#[test]
fn every_fate_that_there_is_room_for_is_told() {
    let mut sealed = select(FROM.0, "s_1", 1);
    sealed.text = None;
    sealed.sealed = vec![1];
    let rows = vec![started(FROM.0, "s_1"), sealed, reply(FROM.0, "s_1", 1, 1)];
    let both = "  - { name: a, when: sql.dynamic, approve: { by: [x] } }\n  \
                - { name: b, when: sql.dynamic, block: \"no\" }\n";
    let told = report(&rules(both), rows);
    let [example] = told.cannot_say.examples.as_slice() else { panic!("{told:?}") };
    assert_eq!(example.now, ["allow", "hold", "block"]);
    assert_eq!(example.rules.len(), 2);
}

#[test]
fn r19_a_stricter_mask_hides_more_and_a_weaker_one_less() {
    let with = |kind: &str| {
        rules(&format!("  - {{ name: now, mask: {{ fields: [ssn], with: {kind} }} }}\n"))
    };
    let stored = "SELECT ssn FROM people";
    let told = |text: &str, then: &str, now: &str| {
        report(&with(now), masked(text, &["ssn"], json!([column("ssn", &["ssn"], Some(then))])))
    };
    let kinds = ["null", "redact", "hash", "partial"];
    for (strict, weak) in
        (1..kinds.len()).flat_map(|at| kinds[at..].iter().map(move |weak| (kinds[at - 1], *weak)))
    {
        let less = told(stored, strict, weak);
        let part = format!("public.people.ssn: {strict} -> {weak}");
        assert_eq!(parts(&less.released), [part], "{less:?}");
        assert_eq!((less.released.operations, less.released.examples[0].now), (1, "mask"));
        let more = told(stored, weak, strict);
        let part = format!("public.people.ssn: {weak} -> {strict}");
        assert_eq!(parts(&more.newly_masked), [part], "{more:?}");
        assert_eq!(told(stored, weak, weak).unchanged, 1);
    }
    // What is made of a column is redacted at least.
    let made = "SELECT 'x' || ssn AS ssn FROM people";
    let same = told(made, "redact", "partial");
    assert_eq!(same.unchanged, 1, "{same:?}");
    // Of which statement a column is cannot be told here.
    let several = told("SELECT ssn FROM people; SELECT 1", "redact", "hash");
    assert_eq!(unclear(&several), ["now: whether public.people.ssn is a stored column itself"]);
}

#[test]
fn an_operation_counts_once_under_a_heading() {
    let mut rows = masked(
        "SELECT ssn FROM people",
        &["ssn"],
        json!([column("ssn", &["ssn"], Some("redact"))]),
    );
    rows[1].decision = Some("hold".into());
    let told = report(&rules("  []\n"), rows);
    let words: Vec<&str> = told.released.examples.iter().map(|change| change.now).collect();
    assert_eq!(words, ["allow", "clear"], "it is not held, and what it read is not hidden");
    assert_eq!((told.changed, told.released.operations), (1, 1), "{told:?}");
    assert_eq!(told.released.by_principal.get("ann"), Some(&1));
}

#[test]
fn a_part_has_the_name_of_what_is_hidden() {
    let both = column("both", &["name", "ssn"], None);
    let text = "SELECT name || ssn AS both FROM people";
    let ssn = rules("  - { name: now, mask: { fields: [ssn] } }\n");
    let told = report(&ssn, masked(text, &["name", "ssn"], json!([both.clone()])));
    assert_eq!(parts(&told.newly_masked), ["public.people.ssn"], "{told:?}");
    let label = rules("  - { name: now, mask: { fields: [both] } }\n");
    let told = report(&label, masked(text, &["name", "ssn"], json!([both])));
    assert_eq!(parts(&told.newly_masked), ["both"], "{told:?}");
}

#[test]
fn how_values_were_hidden_wherever_they_are_found_is_not_known() {
    let mut rows =
        masked("SELECT name FROM people", &["name"], json!([column("name", &["name"], None)]));
    rows[2].searched = vec!["EMAIL".into()];
    rows[2].detections =
        serde_json::from_value(json!([{ "kind": "EMAIL", "seen": 2, "masked": 2 }])).unwrap();
    let now = rules("  - { name: now, mask: { types: [EMAIL], with: partial } }\n");
    let told = report(&now, rows);
    assert_eq!(unclear(&told), ["now: how EMAIL was masked"], "{told:?}");
}

/// A request, and the masked fields of its reply.
fn exchange(columns: Json) -> Vec<Row> {
    let request = json!({
        "kind": "operation", "operation": 1, "step": "request", "verbs": ["get"],
        "text": "GET http://127.0.0.1:4/people", "decision": "mask",
        "rules": [
            { "rule": "m", "action": "mask", "observed": false },
            { "rule": "n", "action": "mask", "observed": false },
        ],
    });
    let reply = json!({
        "kind": "reply", "operation": 1, "outcome": "done", "rows": 1, "bytes": 100,
        "duration_ns": 1, "sent": 0, "columns": columns,
    });
    let rows = [started(FROM.0, "s_1"), event(FROM.0, "s_1", request), event(FROM.0, "s_1", reply)];
    let of_api = |mut row: Row| {
        row.resource = Some("api".into());
        row
    };
    rows.into_iter().map(of_api).collect()
}

#[test]
fn a_field_is_hidden_by_its_last_key_or_by_all_that_lead_to_it() {
    let rule = |name: &str, field: &str| {
        format!("  - {{ name: {name}, mask: {{ fields: [\"{field}\"] }} }}\n")
    };
    let told = |field: &str| {
        let kept = rule("m", field);
        let (now, then) = (rules(&kept), rules(&format!("{kept}{}", rule("n", "other"))));
        let loaded = loaded(FROM.0, &format!("2 rules{}", digest_of(&then)));
        let rows = exchange(json!([{ "label": "people.home.ssn", "mask": "redact" }]));
        report(&now, [vec![loaded], rows].concat())
    };
    for field in ["ssn", "people.home.ssn", "*.ssn"] {
        let told = told(field);
        assert_eq!((told.unchanged, told.changed), (1, 0), "{field}: {told:?}");
    }
    for field in ["home", "people", "people.home", "home.ssn"] {
        let told = told(field);
        assert_eq!(unclear(&told), ["m: what people.home.ssn is a part of"], "{field}: {told:?}");
    }
    let told = told("phone");
    assert_eq!(parts(&told.released), ["people.home.ssn"], "{told:?}");
}

/// A request in parts, the last of which is refused where `cut` says so, and one after it.
fn in_parts(cut: bool) -> Vec<Row> {
    let asked = |number: u64, step: &str, decision: &str| {
        let under = (step == "part").then_some(1);
        let reason = (decision == "block").then_some("blocked");
        let body = json!({
            "kind": "operation", "operation": number, "step": step, "verbs": ["post"],
            "text": "POST http://127.0.0.1:4/upload", "decision": decision, "under": under,
            "reason": reason,
        });
        event(FROM.0, "s_1", body)
    };
    let ended = |number: u64, outcome: &str| {
        let body = json!({
            "kind": "reply", "operation": number, "outcome": outcome, "rows": 0, "bytes": 0,
            "duration_ns": 1, "columns": [],
        });
        event(FROM.0, "s_1", body)
    };
    let mut rows = vec![
        started(FROM.0, "s_1"),
        asked(1, "request", "allow"),
        asked(2, "part", "allow"),
        ended(2, "done"),
        asked(3, "part", if cut { "block" } else { "allow" }),
    ];
    if cut {
        let ruled = json!({
            "kind": "ruling", "operation": 1, "decision": "block", "rules": [], "rows": 0,
            "reason": protocols::PART_REFUSED,
        });
        rows.extend([event(FROM.0, "s_1", ruled), ended(1, "withheld")]);
    } else {
        rows.extend([ended(3, "done"), ended(1, "done")]);
    }
    rows.extend([asked(4, "request", "allow"), ended(4, "done")]);
    let of_api = |mut row: Row| {
        row.resource = Some("api".into());
        row
    };
    rows.into_iter().map(of_api).collect()
}

#[test]
fn a_request_in_parts_counts_once_for_a_limit() {
    let limit = |most: u64| format!("  - {{ name: pace, limit: {{ operations: {most} }} }}\n");
    for cut in [false, true] {
        let told = report(&rules(&limit(2)), in_parts(cut));
        assert_eq!((told.newly_blocked.operations, told.changed), (0, 0), "{cut} {told:?}");
        let told = report(&rules(&limit(1)), in_parts(cut));
        assert_eq!(told.newly_blocked.operations, 1, "{cut} {told:?}");
    }
}
