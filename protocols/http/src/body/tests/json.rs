use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn masks() -> Arc<MaskPlan> {
    plan(&[("ssn", "redact"), ("pin", "null"), ("id", "hash"), ("tail", "partial")], &[])
}

fn masked(body: &str) -> String {
    let plan = masks();
    same_for_every_cut(&Kind::Json, &plan, body.as_bytes());
    whole(&Kind::Json, &plan, body).unwrap()
}

fn refused(kind: &Kind, body: &str) -> &'static str {
    let plan = masks();
    same_for_every_cut(kind, &plan, body.as_bytes());
    whole(kind, &plan, body).unwrap_err().reason
}

#[test]
fn p9_documents_pass_byte_for_byte() {
    for body in [
        "",
        "0",
        " [ ] ",
        "\"\"",
        "\u{feff}{\"a\" : [1, -0.50e+7 ,true, null ,\r\n\t\"\\u00e9\\\"\\/é😀\"], \"a\":{}}\n",
        "[\"\\ud83d\\ude00\", \"\\ud83d alone\", [[[]]], {\"\":{\"\":0}}]",
        "{\"text\":\"{ not json\",\"more\":\"[1,2\",\"quoted\":\"\\\"hm\"}",
    ] {
        passes(&Kind::Json, body);
    }
}

#[test]
fn p2_what_is_not_json_is_refused() {
    for body in [
        "{",
        "[",
        "[1,]",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\":1,}",
        "{,}",
        "[,1]",
        "]",
        "[}",
        "{]",
        "01",
        "1.",
        ".5",
        "+1",
        "-",
        "1e",
        "tru",
        "True",
        "NaN",
        "'a'",
        "{a:1}",
        "1 2",
        "[] []",
        "\"a",
        "\"\\x\"",
        "\"\\u12g4\"",
        "\"\u{1}\"",
        "\"\n\"",
        "[1 2]",
        "{\"a\" 1}",
        "// a\n1",
        "[1]\u{1e}",
        "\u{feff}\u{feff}1",
        "nul l",
        " ",
    ] {
        let reason = refused(&Kind::Json, body);
        assert!(matches!(reason, "invalid_json" | "unfinished"), "{body}: {reason}");
    }
    let plan = masks();
    for body in [&b"\"\xff\""[..], b"\"\xc3\"", b"\"\xed\xa0\x80\"", b"{\"\xc0\xaf\":1}", b"\xff"] {
        assert!(whole(&Kind::Json, &plan, body).is_err());
        same_for_every_cut(&Kind::Json, &plan, body);
    }
}

#[test]
fn p3_fields_are_masked_wherever_they_stand() {
    assert_eq!(masked(r#"{"ssn":"078-05-1120","a":1}"#), r#"{"ssn":"[REDACTED]","a":1}"#);
    assert_eq!(masked(r#"[{"a":{"SSN" : "x" }}]"#), r#"[{"a":{"SSN" : "[REDACTED]" }}]"#);
    assert_eq!(masked(r#"{"\u0073s\u006e":"x","ssn":"y"}"#).matches("REDACTED").count(), 2);
    assert_eq!(masked(r#"{"pin":"1234","b":[2]}"#), r#"{"pin":null,"b":[2]}"#);
    assert_eq!(masked(r#"{"tail":"0123456789abcdef"}"#), r#"{"tail":"************cdef"}"#);
    assert_eq!(masked(r#"{"tail":"abc"}"#), r#"{"tail":"***"}"#);
    assert_eq!(masked(r#"{"ssn":"a","ssn":"b"}"#), r#"{"ssn":"[REDACTED]","ssn":"[REDACTED]"}"#);
}

#[test]
fn p4_a_masked_value_is_still_json_of_a_fitting_type() {
    assert_eq!(
        masked(r#"{"ssn":123,"pin":true,"id":false}"#),
        r#"{"ssn":null,"pin":null,"id":null}"#
    );
    assert_eq!(
        masked(r#"{"ssn":null,"id":null,"tail":-1e5}"#),
        r#"{"ssn":null,"id":null,"tail":null}"#
    );
    let hashed: Value =
        serde_json::from_str(&masked(r#"{"a":{"id":42},"id":42.0,"b":{"id":"42"}}"#)).unwrap();
    assert_eq!(hashed["a"]["id"], hashed["id"]);
    assert!(hashed["id"].as_u64().unwrap() < 1 << 53);
    assert_eq!(hashed["b"]["id"].as_str().unwrap().len(), 32);
}

#[test]
fn p3_every_leaf_under_a_masked_key_is_masked() {
    let body = r#"{"ssn":{"a":["x",1,{"b":"y","id":"z"}],"c":{}},"d":"x"}"#;
    let wanted =
        r#"{"ssn":{"a":["[REDACTED]",null,{"b":"[REDACTED]","id":"[REDACTED]"}],"c":{}},"d":"x"}"#;
    assert_eq!(masked(body), wanted);
    let body = r#"{"tail":[{"pin":"1","ssn":"2"},"12345678"],"e":"12345678"}"#;
    let wanted = r#"{"tail":[{"pin":null,"ssn":"[REDACTED]"},"******78"],"e":"12345678"}"#;
    assert_eq!(masked(body), wanted);
}

#[test]
fn p3_paths_are_matched_without_the_places_in_arrays() {
    let plan = plan(&[("customer.card.number", "redact")], &[]);
    let body =
        r#"{"customer":[{"card":{"number":"1","x":"2"}}],"card":{"number":"3"},"number":"4"}"#;
    same_for_every_cut(&Kind::Json, &plan, body.as_bytes());
    let wanted = body.replace(r#""1""#, r#""[REDACTED]""#);
    assert_eq!(whole(&Kind::Json, &plan, body).unwrap(), wanted);
    let mut with_fields = filter(Kind::Json, &plan, TypeSet::EMPTY);
    cut(&mut with_fields, body.as_bytes(), &[]).unwrap();
    let names: Vec<_> = with_fields.fields().iter().map(|field| &*field.name).collect();
    assert_eq!(names, ["customer.card.number"]);
}

#[test]
fn p3_a_key_with_dots_is_told_from_a_path() {
    let plan = plan(&[("b", "redact")], &[]);
    let body = r#"[{"a.b":"1","a":{"b":"2"}},{"a.b":"3"},{"a":{"b":"4"}}]"#;
    let wanted = r#"[{"a.b":"1","a":{"b":"[REDACTED]"}},{"a.b":"3"},{"a":{"b":"[REDACTED]"}}]"#;
    assert_eq!(whole(&Kind::Json, &plan, body).unwrap(), wanted);
}

#[test]
fn p3_json_in_a_string_is_masked_too() {
    let inner = json!({"ssn": "078-05-1120", "x": [1]}).to_string();
    let once = json!({"arguments": inner}).to_string();
    let out: Value = serde_json::from_str(&masked(&once)).unwrap();
    let read: Value = serde_json::from_str(out["arguments"].as_str().unwrap()).unwrap();
    assert_eq!(read, json!({"ssn": "[REDACTED]", "x": [1]}));
    let mut body = inner;
    for _ in 0..3 {
        body = json!([body]).to_string();
    }
    assert!(!masked(&body).contains("078-05"));
    let quoted = json!(json!(json!({"ssn": SSN}).to_string()).to_string()).to_string();
    assert!(!masked(&quoted).contains("078-05"));
    let lines = json!({"log": format!("{{\"ssn\":\"{SSN}\"}}\n{{\"ssn\":1}}\n")}).to_string();
    assert!(!masked(&lines).contains("078-05"));
}

#[test]
fn p3_a_path_inside_a_string_counts_from_either_root() {
    let inner = json!({"a": {"b": "secret"}}).to_string();
    let body = json!({"args": inner}).to_string();
    for path in ["a.b", "args.a.b"] {
        let plan = plan(&[(path, "redact")], &[]);
        assert!(!whole(&Kind::Json, &plan, &body).unwrap().contains("secret"), "{path}");
    }
}

#[test]
fn types_are_found_in_strings_numbers_and_keys() {
    let plan = plan(&[], &[("CREDIT_CARD", "redact"), ("US_SSN", "redact"), ("EMAIL", "null")]);
    let run = |body: &str| {
        same_for_every_cut(&Kind::Json, &plan, body.as_bytes());
        let out = whole(&Kind::Json, &plan, body).unwrap();
        serde_json::from_str::<Value>(&out).unwrap()
    };
    assert_eq!(
        run(r#"["pay 4111111111111111 now","\u0034111111111111111"]"#),
        json!(["pay [REDACTED] now", "[REDACTED]"])
    );
    assert_eq!(
        run(r#"{"a":4111111111111111,"b":4111111111111112}"#),
        json!({"a": null, "b": 4111111111111112_u64})
    );
    assert_eq!(run(r#"{"4111111111111111":1}"#), json!({"[REDACTED]": 1}));
    assert_eq!(run(r#"{"a":"write to ann@example.com"}"#), json!({"a": null}));
    assert_eq!(
        run(r#"{"ssn":"123456789","other":"123456789"}"#),
        json!({"ssn": "[REDACTED]", "other": "123456789"})
    );
    assert_eq!(run(r#"{"ssn": 123456789}"#), json!({"ssn": null}));
    let nested = json!({"a": json!({"b": "4111111111111111"}).to_string()}).to_string();
    assert_eq!(run(&nested), json!({"a": "{\"b\":\"[REDACTED]\"}"}));
}

#[test]
fn what_is_only_counted_passes() {
    let plan = plan(&[], &[("EMAIL", "redact")]);
    let mut counting = filter(Kind::Json, &plan, TypeSet::ALL);
    let body = format!("[\"{CARD} and ann@example.com\", {CARD}]");
    let out = cut(&mut counting, body.as_bytes(), &[]).unwrap();
    assert_eq!(out, body.replace("ann@example.com", "[REDACTED]").as_bytes());
    let found = counting.take_found();
    let count = |kind: &str| {
        let of = found.iter().find(|count| *count.kind == *kind).unwrap();
        (of.seen, of.masked)
    };
    assert_eq!((count("CREDIT_CARD"), count("EMAIL")), ((2, 0), (1, 1)));
    assert!(counting.take_found().is_empty());
}

#[test]
fn p8_depth_and_length_are_bounded() {
    let deep = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
    assert!(whole(&Kind::Json, &masks(), deep(128)).is_ok());
    assert_eq!(whole(&Kind::Json, &masks(), deep(129)).unwrap_err().reason, "too_deep");
    let long = |bytes: usize, head: &str| format!("[\"{head}{}\"]", "x".repeat(bytes));
    let most = 1024 * 1024 - 2;
    let typed = plan(&[], &[("CREDIT_CARD", "redact")]);
    assert!(whole(&Kind::Json, &typed, long(most, "")).is_ok());
    assert_eq!(whole(&Kind::Json, &typed, long(most + 1, "")).unwrap_err().reason, "too_long");
    // Without types, only what may be a document itself must be held.
    let body = long(3 * most, "");
    assert_eq!(whole(&Kind::Json, &masks(), &body).unwrap(), body);
    assert_eq!(whole(&Kind::Json, &masks(), long(most, "{")).unwrap_err().reason, "too_long");
    let masked = format!("{{\"ssn\":\"{}\"}}", "x".repeat(3 * most));
    assert_eq!(whole(&Kind::Json, &masks(), masked).unwrap(), "{\"ssn\":\"[REDACTED]\"}");
    let word = format!("[{}]", "1".repeat(most + 3));
    assert_eq!(whole(&Kind::Json, &masks(), word).unwrap_err().reason, "too_long");
    let path = |bytes: usize| format!("{{\"{}\":{{\"k\":1}}}}", "k".repeat(bytes));
    assert!(whole(&Kind::Json, &masks(), path(4 * 1024 - 2)).is_ok());
    assert_eq!(whole(&Kind::Json, &masks(), path(4 * 1024 - 1)).unwrap_err().reason, "too_long");
    assert!(whole(&Kind::Json, &typed, path(64 * 1024)).is_ok());
}

#[test]
fn p3_keys_beyond_those_that_are_remembered_are_masked_too() {
    let plan = plan(&[("ssn", "redact"), ("far.*.id", "null")], &[]);
    let many: Vec<String> = (0..3000).map(|n| format!("\"k{n}\":{{\"ssn\":\"1\"}}")).collect();
    let long = "k".repeat(600);
    let body = format!(
        "[{{{}}},{{\"far\":{{\"k1\":{{\"id\":\"1\",\"x\":\"2\"}},\"{long}\":{{\"id\":\"1\",\
         \"ssn\":[\"1\"]}},\"near\":\"2\"}},\"id\":\"2\"}}]",
        many.join(",")
    );
    let wanted = body.replace("\"ssn\":\"1\"", "\"ssn\":\"[REDACTED]\"");
    let wanted =
        wanted.replace("[\"1\"]", "[\"[REDACTED]\"]").replace("\"id\":\"1\"", "\"id\":null");
    assert!(!wanted.contains("\"1\""));
    assert_eq!(whole(&Kind::Json, &plan, &body).unwrap(), wanted);
}

#[test]
fn p3_what_another_body_taught_changes_nothing() {
    let body = r#"{"ssn":"1","a":{"ssn":"2","b":"3"},"b":"4"}"#;
    let run = |plan: &Arc<MaskPlan>| {
        let mut filter = filter(Kind::Json, plan, TypeSet::EMPTY);
        let out = String::from_utf8(cut(&mut filter, body.as_bytes(), &[]).unwrap()).unwrap();
        (out, filter.fields().to_vec())
    };
    let (one, other) = (masks(), plan(&[("a.b", "null")], &[]));
    let (first, apart) = (run(&one), run(&other));
    assert_eq!(first.1.len(), 2);
    assert_eq!(apart.0, r#"{"ssn":"1","a":{"ssn":"2","b":null},"b":"4"}"#);
    for _ in 0..3 {
        assert_eq!((run(&one), run(&other)), (first.clone(), apart.clone()));
    }
}

#[test]
fn p2_nothing_follows_the_end_of_a_body() {
    let mut filter = filter(Kind::NdJson, &masks(), TypeSet::EMPTY);
    cut(&mut filter, b"{\"ssn\":1}", &[]).unwrap();
    let mut out = Vec::new();
    assert_eq!(filter.finish(&mut out), Ok(()));
    assert_eq!(filter.push(b"{\"ssn\":1}", &mut out).unwrap_err().reason, "over");
    assert_eq!(filter.finish(&mut out).unwrap_err().reason, "over");
    assert!(out.is_empty());
}

#[test]
fn rows_are_elements_values_or_one() {
    for (kind, body, rows) in [
        (Kind::Json, "[1,[2,3],{\"a\":[4]}]", 3),
        (Kind::Json, "[]", 0),
        (Kind::Json, "{\"a\":[1,2]}", 1),
        (Kind::Json, "", 0),
        (Kind::NdJson, "{\"a\":1}\n[2,3]\n\n4\n", 3),
    ] {
        let mut counted = filter(kind, &masks(), TypeSet::EMPTY);
        cut(&mut counted, body.as_bytes(), &[]).unwrap();
        assert_eq!(counted.rows(), rows, "{body}");
    }
}

#[test]
fn lines_and_sequences_are_values_one_after_the_other() {
    let plan = masks();
    let body = "{\"ssn\":\"1\"}\n\u{1e}{\"a\":2}\r\n\n{\"ssn\":3}{\"id\":null}\n7";
    same_for_every_cut(&Kind::NdJson, &plan, body.as_bytes());
    let wanted = "{\"ssn\":\"[REDACTED]\"}\n\u{1e}{\"a\":2}\r\n\n{\"ssn\":null}{\"id\":null}\n7";
    assert_eq!(whole(&Kind::NdJson, &plan, body).unwrap(), wanted);
    assert_eq!(refused(&Kind::NdJson, "{\"a\":1}\n{\"b\""), "unfinished");
    assert_eq!(refused(&Kind::NdJson, "{\"a\":1}\noops\n"), "invalid_json");
    // A value leaves when it is complete.
    let (mut live, mut out) = (filter(Kind::NdJson, &plan, TypeSet::ALL), Vec::new());
    live.push(b"{\"ssn\":\"1\"}\n{\"b", &mut out).unwrap();
    assert_eq!(out, b"{\"ssn\":\"[REDACTED]\"}\n{");
}

#[test]
fn p2_an_error_stays() {
    let (mut broken, mut out) = (filter(Kind::Json, &masks(), TypeSet::EMPTY), Vec::new());
    broken.push(b"]", &mut out).unwrap_err();
    out.clear();
    assert_eq!(broken.push(b"1", &mut out).unwrap_err().reason, "invalid_json");
    assert!(out.is_empty() && broken.finish(&mut out).is_err());
}

#[test]
fn p2_a_key_that_cannot_be_compared_is_refused() {
    assert_eq!(refused(&Kind::Json, r#"{"ssn\ud800":"x"}"#), "invalid_json");
}

fn documents() -> impl Strategy<Value = Value> {
    let text = prop_oneof![
        "[ -~]{0,12}".prop_map(String::from),
        any::<String>(),
        Just("secret-7f3a".to_owned()),
        Just(format!("card {CARD}")),
        Just("{\"ssn\":\"secret-7f3a\",\"a\":[1]}".to_owned()),
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        text.prop_map(Value::from),
    ];
    let keys =
        prop_oneof!["[a-d]{1,2}", Just("ssn".to_owned()), Just("id".to_owned()), any::<String>()];
    leaf.prop_recursive(5, 48, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::vec((keys.clone(), inner), 0..6)
                .prop_map(|pairs| Value::Object(pairs.into_iter().collect())),
        ]
    })
}

/// What a masked document must be: everything else stays.
fn expected(value: &Value, is_masked: bool) -> Value {
    match value {
        Value::Object(pairs) => {
            let pair = |(key, value): (&String, &Value)| {
                (key.clone(), expected(value, is_masked || key.eq_ignore_ascii_case("ssn")))
            };
            Value::Object(pairs.iter().map(pair).collect())
        }
        Value::Array(items) => items.iter().map(|item| expected(item, is_masked)).collect(),
        Value::String(_) if is_masked => json!("[REDACTED]"),
        _ if is_masked => Value::Null,
        Value::String(text) if text.starts_with("{\"ssn\"") => {
            json!("{\"ssn\":\"[REDACTED]\",\"a\":[1]}")
        }
        _ => value.clone(),
    }
}

proptest! {
    #[test]
    fn p3_p9_only_masked_values_change_whatever_the_cuts(
        value in documents(),
        pretty in any::<bool>(),
        cuts in prop::collection::vec(any::<usize>(), 0..8),
    ) {
        let body = if pretty { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) };
        let body = body.unwrap();
        let masking = plan(&[("ssn", "redact")], &[]);
        let out = cut(&mut filter(Kind::Json, &masking, TypeSet::EMPTY), body.as_bytes(), &cuts).unwrap();
        let read: Value = serde_json::from_slice(&out).unwrap();
        let original: Value = serde_json::from_str(&body).unwrap();
        prop_assert_eq!(read, expected(&original, false));
        let nothing = plan(&[("no_such_name", "redact")], &[]);
        let mut passing = filter(Kind::Json, &nothing, TypeSet::ALL);
        prop_assert_eq!(cut(&mut passing, body.as_bytes(), &cuts).unwrap(), body.as_bytes());
    }

    #[test]
    fn p3_what_stood_before_a_document_changes_nothing_in_it(
        values in prop::collection::vec(documents(), 1..6),
    ) {
        let masking = plan(&[("ssn", "redact"), ("a*.b*", "null"), ("*.id", "hash")], &[]);
        let run = |body: &str| whole(&Kind::NdJson, &masking, body).unwrap();
        let alone: String = values.iter().map(|value| run(&format!("{value}\n"))).collect();
        let together: String = values.iter().map(|value| format!("{value}\n")).collect();
        prop_assert_eq!(run(&together.repeat(2)), alone.repeat(2));
    }

    #[test]
    fn types_are_found_whatever_the_cuts(
        value in documents(),
        cuts in prop::collection::vec(any::<usize>(), 0..8),
    ) {
        let body = value.to_string();
        let masking = plan(&[("ssn", "hash")], &[("CREDIT_CARD", "redact"), ("PHONE", "partial")]);
        let run = |cuts: &[usize]| {
            let mut filter = filter(Kind::Json, &masking, TypeSet::ALL);
            let out = cut(&mut filter, body.as_bytes(), cuts).unwrap();
            (String::from_utf8(out).unwrap(), filter.take_found())
        };
        let one = run(&[]);
        prop_assert!(!one.0.contains(CARD));
        prop_assert!(serde_json::from_str::<Value>(&one.0).is_ok());
        prop_assert_eq!(run(&cuts), one);
    }
}
