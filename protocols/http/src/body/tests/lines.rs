//! Text, events and forms.

use proptest::prelude::*;

use super::*;

fn masks() -> Arc<MaskPlan> {
    plan(
        &[("ssn", "redact"), ("pin", "null"), ("user.id", "partial")],
        &[("CREDIT_CARD", "redact"), ("PRIVATE_KEY", "redact"), ("EMAIL", "null")],
    )
}

fn masked(kind: &Kind, body: &str) -> String {
    let plan = masks();
    same_for_every_cut(kind, &plan, body.as_bytes());
    whole(kind, &plan, body).unwrap()
}

#[test]
fn p9_lines_events_and_forms_pass_byte_for_byte() {
    for body in ["", "a", "\n\n", "a\r\nb\rc\n", "-----BEGIN\n-----\n", "no card 4111111111111112"]
    {
        passes(&Kind::Text, body);
    }
    for body in [
        "",
        "data: [DONE]\n\n",
        "\u{feff}: comment\n\nevent: x\ndata:  {\"a\" :1}\r\ndata\nid:1\n\ndata: tail",
        "data: a\r\rdata: b\r\n\r\n\n\n",
        "retry: 5\n",
    ] {
        passes(&Kind::EventStream, body);
    }
    for body in ["", "a=1&b=%20+%zz&c&=&&d=%7B%22a%22%3A1%7D", "x"] {
        passes(&Kind::Form, body);
    }
}

#[test]
fn text_is_masked_by_what_it_holds() {
    let kind = Kind::Text;
    assert_eq!(masked(&kind, "pay 4111 1111 1111 1111, a\nb"), "pay [REDACTED], a\nb");
    assert_eq!(masked(&kind, "to ann@example.com!\n"), "to !\n");
    let key = "-----BEGIN RSA PRIVATE KEY-----\nMIIEowIBAAKCAQEAu1SU1LfVLPHCozMxH2Mo4lgOEePzNm0tRgeLezV6ffAt0gun\nVTLw7onLRnrq0/IzW7yWR7QkrmBL7jTKEn5u+qKhbwKfBstIs+bMY2Zkp18gnTxK\n-----END RSA PRIVATE KEY-----";
    let body = format!("before\n{key}\nafter\n{key}\n");
    let out = masked(&kind, &body);
    assert!(out.starts_with("before\n[REDACTED]\nafter\n[REDACTED]"), "{out}");
    let cut_off = &key[..key.len() - 40];
    assert!(!masked(&kind, cut_off).contains("MIIE"));
}

#[test]
fn text_leaves_line_by_line() {
    let (mut live, mut out) = (filter(Kind::Text, &masks(), TypeSet::ALL), Vec::new());
    live.push(b"one\ntwo 4111111111111111\nthr", &mut out).unwrap();
    assert_eq!(out, b"one\ntwo [REDACTED]\n");
}

#[test]
fn a_value_in_a_line_without_end_is_found_wherever_it_stands() {
    let plan = masks();
    for at in (0..140_000).step_by(4999).chain(64 * 1024 - 40..64 * 1024 + 2) {
        let body = format!("{} {CARD} {}", "x".repeat(at), "y".repeat(140_000 - at));
        let out = whole(&Kind::Text, &plan, &body).unwrap();
        assert!(!out.contains(CARD), "{at}");
        let mut other = filter(Kind::Text, &plan, TypeSet::EMPTY);
        assert_eq!(
            cut(&mut other, body.as_bytes(), &[at, at + 5, 70_000]).unwrap(),
            out.as_bytes()
        );
    }
}

#[test]
fn p3_json_that_is_called_text_is_masked_too() {
    let kind = Kind::Text;
    assert_eq!(masked(&kind, " \n{\"ssn\":\"x\"}"), " \n{\"ssn\":\"[REDACTED]\"}");
    assert_eq!(masked(&kind, "\u{feff}[{\"ssn\":1}]\n[2]"), "\u{feff}[{\"ssn\":null}]\n[2]");
    assert_eq!(masked(&kind, "[INFO] 4111111111111111\n"), "[INFO] [REDACTED]\n");
    assert_eq!(masked(&kind, "{\"ssn\":\"x\"} and so on"), "{\"ssn\":\"x\"} and so on");
    let cut_off = whole(&kind, &masks(), "{\"ssn\":\"x\"").unwrap_err();
    assert_eq!(cut_off.reason, "unfinished");
    let plan = masks();
    for (bytes, is_json) in [(64 * 1024 - 1, false), (64 * 1024, true)] {
        let start = "[{\"ssn\":\"secret\"}";
        let body = format!("{start}{}oops", " ".repeat(bytes - start.len()));
        let out = whole(&kind, &plan, &body);
        assert_eq!(out.is_err(), is_json);
        for at in [1, 1000, bytes - 1, bytes, bytes + 1, bytes + 3] {
            let mut pieces = filter(kind.clone(), &plan, TypeSet::EMPTY);
            let pieces = cut(&mut pieces, body.as_bytes(), &[at]);
            assert_eq!(pieces.ok(), out.clone().ok().map(String::into_bytes), "{at}");
        }
    }
}

#[test]
fn p3_events_are_masked_as_json_and_stay_events() {
    let kind = Kind::EventStream;
    assert_eq!(
        masked(&kind, "id: 1\ndata: {\"ssn\":\"x\",\ndata:  \"a\":2}\r\n\n"),
        "id: 1\ndata: {\"ssn\":\"[REDACTED]\",\ndata:  \"a\":2}\n\n"
    );
    assert_eq!(
        masked(&kind, "data:{\"pin\":7}\n\ndata: [DONE]\n\n"),
        "data: {\"pin\":null}\n\ndata: [DONE]\n\n"
    );
    assert_eq!(
        masked(&kind, "data: card 4111111111111111\nevent: 4111111111111111\n\n"),
        "data: card [REDACTED]\nevent: [REDACTED]\n\n"
    );
    assert_eq!(
        masked(&kind, ": ann@example.com\n\ndata: {\"ssn\":\"x\"}"),
        ": \n\ndata: {\"ssn\":\"[REDACTED]\"}\n"
    );
    assert_eq!(
        masked(&kind, "\u{feff}data: {\"ssn\":\"x\"}\r\r"),
        "data: {\"ssn\":\"[REDACTED]\"}\r\r"
    );
    let broken = b"data: {\"a\":\"\xff\",\"ssn\":\"x\"}\n\n";
    let mut lossy = filter(kind.clone(), &masks(), TypeSet::ALL);
    let out = cut(&mut lossy, broken, &[]).unwrap();
    assert_eq!(out, "data: {\"a\":\"\u{fffd}\",\"ssn\":\"[REDACTED]\"}\n\n".as_bytes());
    let (mut live, mut out) = (filter(kind, &masks(), TypeSet::ALL), Vec::new());
    live.push(b": ping\nevent: a\ndata: {\"ssn\":\"x\"}\n\ndata: {", &mut out).unwrap();
    assert_eq!(out, b": ping\nevent: a\ndata: {\"ssn\":\"[REDACTED]\"}\n\n");
    assert_eq!(live.rows(), 1);
}

#[test]
fn p8_events_and_pairs_are_bounded() {
    let plan = masks();
    let long = format!("data: {}", "x".repeat(1024 * 1024));
    assert_eq!(whole(&Kind::EventStream, &plan, &long).unwrap_err().reason, "too_long");
    let many = "data\n".repeat(200_000);
    assert_eq!(whole(&Kind::EventStream, &plan, &many).unwrap_err().reason, "too_long");
    let long = format!("a={}", "x".repeat(1024 * 1024));
    assert_eq!(
        whole(&Kind::Form, &plan, &long[..1024 * 1024]).as_deref(),
        Ok(&long[..1024 * 1024])
    );
    assert_eq!(whole(&Kind::Form, &plan, &long).unwrap_err().reason, "too_long");
    let deep = format!("data: {}", "[".repeat(200));
    assert_eq!(whole(&Kind::EventStream, &plan, &deep).unwrap_err().reason, "too_deep");
}

#[test]
fn p3_form_fields_are_masked_by_their_decoded_names() {
    let kind = Kind::Form;
    assert_eq!(masked(&kind, "a=1&ssn=078-05-1120&b"), "a=1&ssn=%5BREDACTED%5D&b");
    assert_eq!(masked(&kind, "s%73n=x&pin=1&p+in=1"), "s%73n=%5BREDACTED%5D&pin=&p+in=1");
    assert_eq!(
        masked(&kind, "user[id]=12345678&user%5Bid%5D=1&x[ssn][]=3"),
        "user[id]=%2A%2A%2A%2A%2A%2A78&user%5Bid%5D=%2A&x[ssn][]=%5BREDACTED%5D"
    );
    assert_eq!(masked(&kind, "m=4111+1111%201111+1111&n=a%40b.com"), "m=%5BREDACTED%5D&n=");
    assert_eq!(masked(&kind, "p=%7B%22ssn%22%3A%22%ff%22%7D").matches("REDACTED").count(), 1);
    let payload = masked(&kind, "payload=%7B%22ssn%22%3A%22x%22%7D");
    assert_eq!(payload, "payload=%7B%22ssn%22%3A%22%5BREDACTED%5D%22%7D");
}

proptest! {
    #[test]
    fn p3_p9_text_is_the_same_whatever_the_cuts(
        parts in prop::collection::vec(prop_oneof![
            "[ -~\n]{0,30}".prop_map(String::from),
            Just(CARD.to_owned()),
            Just("-----BEGIN PRIVATE KEY-----\n".to_owned()),
            Just("MIIEowIBAAKCAQEAu1SU1LfVLPHCozMxH2Mo4lgOEePzNm0tRgeLezV6ffAt0gun\n".to_owned()),
            Just("-----END PRIVATE KEY-----\n".to_owned()),
            Just("data: {\"ssn\":\"secret-7f3a\"}\n\n".to_owned()),
            Just("ssn=secret-7f3a&".to_owned()),
            any::<String>(),
        ], 0..12),
        cuts in prop::collection::vec(any::<usize>(), 0..8),
    ) {
        let body = parts.concat();
        for kind in [Kind::Text, Kind::EventStream, Kind::Form] {
            let run = |plan: &Arc<MaskPlan>, cuts: &[usize]| {
                let mut filter = filter(kind.clone(), plan, TypeSet::ALL);
                let out = cut(&mut filter, body.as_bytes(), cuts)?;
                let out = String::from_utf8(out).unwrap();
                Ok::<_, Unreadable>((out, filter.take_found(), filter.rows()))
            };
            let one = run(&masks(), &[]);
            prop_assert_eq!(run(&masks(), &cuts), one.clone());
            let nothing = plan(&[("no_such_name", "redact")], &[]);
            let passed = run(&nothing, &cuts);
            prop_assert_eq!(passed.is_ok(), one.is_ok());
            if let Ok((out, ..)) = passed {
                prop_assert_eq!(out, body.as_str());
            } else {
                // JSON that is called text, and was cut off.
                prop_assert_eq!(&kind, &Kind::Text);
            }
        }
    }
}
