//! Reads back what was written, strictly, and shares nothing with what wrote it.

use serde_json::Value;

/// Reads RFC 4180 strictly: quotes only around whole cells, lines end with CR LF.
pub fn read_csv(text: &str) -> Result<Vec<Vec<String>>, String> {
    let mut lines = Vec::new();
    let mut cells = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let mut cell = String::new();
        if let Some(quoted) = rest.strip_prefix('"') {
            rest = quoted;
            loop {
                let end = rest.find('"').ok_or("a quote is open")?;
                cell.push_str(&rest[..end]);
                rest = &rest[end + 1..];
                match rest.strip_prefix('"') {
                    Some(more) => {
                        cell.push('"');
                        rest = more;
                    }
                    None => break,
                }
            }
        } else {
            let end = rest.find([',', '\r', '\n', '"']).ok_or("the last line is open")?;
            cell.push_str(&rest[..end]);
            rest = &rest[end..];
        }
        cells.push(cell);
        if let Some(more) = rest.strip_prefix(',') {
            rest = more;
        } else if let Some(more) = rest.strip_prefix("\r\n") {
            rest = more;
            lines.push(std::mem::take(&mut cells));
        } else {
            return Err(format!("neither a comma nor the end of a line: {rest:.10}"));
        }
    }
    if cells.is_empty() { Ok(lines) } else { Err("the last line is open".to_owned()) }
}

/// What OCSF 1.5.0 requires, by class. `a.b` is a member of a member.
fn required(class_uid: u64) -> &'static [&'static str] {
    match class_uid {
        0 => &[],
        2004 => &["finding_info.uid"],
        3002 => &["user.name", "service.name"],
        3004 => &["entity.name"],
        4002 => &["src_endpoint", "dst_endpoint"],
        6003 => &["actor.user.name", "api.operation", "src_endpoint"],
        6005 => &["actor.user.name", "src_endpoint", "database.name", "database.type_id"],
        other => panic!("class {other} is new"),
    }
}

fn has(object: &Value, path: &str) -> bool {
    path.split('.').try_fold(object, |object, name| object.get(name)).is_some()
}

/// Holds an object against the schema.
pub fn check_ocsf(object: &Value) {
    let always = [
        "activity_id",
        "category_uid",
        "class_uid",
        "metadata.version",
        "metadata.product.name",
        "severity_id",
        "time",
        "type_uid",
    ];
    let class = object["class_uid"].as_u64().unwrap();
    for path in always.iter().chain(required(class)) {
        assert!(has(object, path), "{path} is not in {object}");
    }
    assert_eq!(object["category_uid"], class / 1000);
    assert_eq!(object["type_uid"], class * 100 + object["activity_id"].as_u64().unwrap());
    match class {
        4002 => {
            assert!(has(object, "http_request") || has(object, "http_response"), "{object}");
            assert!(!has(object, "http_response") || has(object, "http_response.code"));
        }
        6005 if has(object, "query_info") => assert!(has(object, "query_info.query_string")),
        _ => {}
    }
    for path in ["src_endpoint", "dst_endpoint"] {
        let Some(endpoint) = object.get(path) else { continue };
        let named = ["ip", "name", "hostname", "svc_name"];
        assert!(named.iter().any(|name| has(endpoint, name)), "{path} of {object}");
    }
}
