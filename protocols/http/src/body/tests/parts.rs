//! Bodies of parts.

use super::*;

fn kind() -> Kind {
    Kind::Multipart { boundary: "XyZ".into() }
}

fn masks() -> Arc<MaskPlan> {
    plan(&[("ssn", "redact"), ("pin", "null")], &[("CREDIT_CARD", "redact")])
}

fn masked(body: &str) -> String {
    let plan = masks();
    same_for_every_cut(&kind(), &plan, body.as_bytes());
    whole(&kind(), &plan, body).unwrap()
}

fn part(fields: &str, content: &str) -> String {
    format!("--XyZ\r\n{fields}\r\n\r\n{content}\r\n")
}

fn named(name: &str, content: &str) -> String {
    part(&format!("Content-Disposition: form-data; name=\"{name}\""), content)
}

const END: &str = "--XyZ--\r\n";

#[test]
fn p9_parts_pass_byte_for_byte() {
    let file = "Content-Disposition: form-data; name=\"f\"; filename=\"a.bin\"\r\nContent-Type: application/octet-stream";
    for body in [
        String::new(),
        format!("{}{END}", named("a", "1")),
        format!("\r\n{}{}--XyZ--", named("a", ""), named("b", "--Xy\r\n--Xy\r\n-")),
        format!("{}{END}\r\n", part(file, "\u{0}\r\n--XyZ not quite \n"))
            .replace("\n--XyZ not", "\n--Xyz not"),
        format!("--XyZ \t\r\n\r\nno fields\r\n{END}"),
    ] {
        passes(&kind(), &body);
    }
    let mut with_file = filter(kind(), &masks(), TypeSet::ALL);
    cut(&mut with_file, format!("{}{END}", part(file, "x")).as_bytes(), &[]).unwrap();
    assert_eq!(with_file.opaque_bytes(), 1);
    assert_eq!(with_file.rows(), 1);
}

#[test]
fn p3_parts_are_masked_by_name_and_by_what_they_are() {
    let body =
        format!("{}{}{}{END}", named("a", "1"), named("ssn", "078\r\n05"), named("PIN", "7"));
    let wanted =
        format!("{}{}{}{END}", named("a", "1"), named("ssn", "[REDACTED]"), named("PIN", ""));
    assert_eq!(masked(&body), wanted);
    let body = format!("{}{}{END}", named("user[ssn]", "1"), named("s%73n", "2"));
    assert!(!masked(&body).contains(['1', '2']));
    let masked_json = "Content-Disposition: form-data; name=ssn\r\nContent-Type: application/json";
    let body = format!("{}{END}", part(masked_json, "[1]"));
    assert_eq!(masked(&body), format!("{}{END}", part(masked_json, "\"[REDACTED]\"")));
    let json = "Content-Disposition: form-data; name=x\r\nContent-Type: application/json";
    let body = format!("{}{}{END}", part(json, "{\"ssn\":\"1\"}"), named("c", CARD));
    let wanted =
        format!("{}{}{END}", part(json, "{\"ssn\":\"[REDACTED]\"}"), named("c", "[REDACTED]"));
    assert_eq!(masked(&body), wanted);
}

#[test]
fn p2_parts_that_can_be_read_in_two_ways_are_refused() {
    let plan = masks();
    let good = named("a", "1");
    for (body, reason) in [
        (good.clone(), "unfinished"),
        (format!("{good}--XyZ"), "unfinished"),
        ("--Xy".to_owned(), "unfinished"),
        (format!("preamble\r\n{good}{END}"), "ambiguous"),
        (format!("{good}{END}epilogue"), "ambiguous"),
        (named("a", "1\n--XyZ\r\nx") + END, "ambiguous"),
        (format!("{good}--XyZq\r\n\r\nx\r\n{END}"), "ambiguous"),
        (format!("--XyZ\n\nx\n{END}"), "ambiguous"),
        (part("Content-Disposition: form-data; name=a; name=ssn", "1") + END, "ambiguous"),
        (part("Content-Disposition: form-data; name*=utf-8''ssn", "1") + END, "ambiguous"),
        (part("Content-Disposition: form-data;\r\n name=ssn", "1") + END, "ambiguous"),
        (part("X: y\nContent-Disposition: form-data; name=ssn", "1") + END, "ambiguous"),
        (part("Content-Transfer-Encoding: base64", "MQ==") + END, "unknown_coding"),
        (part("Content-Type: multipart/mixed; boundary=q", "") + END, "ambiguous"),
        (part("Content-Type: application/json", "{") + END, "unfinished"),
        (part(&format!("X: {}", "y".repeat(17_000)), "1") + END, "too_long"),
        (named("a", "").repeat(1001) + END, "too_long"),
        (named("ssn", &"1".repeat(1024 * 1024 + 1)) + END, "too_long"),
    ] {
        let got = whole(&kind(), &plan, &body).map_err(|error| error.reason);
        assert_eq!(got, Err(reason), "{}", &body[..body.len().min(200)]);
        if body.len() < 500 {
            same_for_every_cut(&kind(), &plan, body.as_bytes());
        }
    }
    for boundary in ["", &"b".repeat(71)] {
        let kind = Kind::Multipart { boundary: boundary.into() };
        let body = format!("--{boundary}\r\n\r\nx\r\n--{boundary}--");
        assert_eq!(whole(&kind, &plan, body).unwrap_err().reason, "invalid_multipart");
    }
    assert!(whole(&kind(), &plan, named("a", "").repeat(1000) + END).is_ok());
}
