//! Any bytes as the head of a request (authority, target, method, and a field in each line after),
//! and as a body.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, OnceLock};

use detect::TypeSet;
use engine::{HashKey, MaskPlan};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Version};
use model::Resource;
use model::exchange::{Door, Length, Request, Scheme};
use web::body::{Codings, Filter, Kind, find};
use web::canonical;

/// The form of a form is itself, what passes strictly passes unchanged, an address in an address is
/// not more public than it is, and what was stripped has nothing left to strip.
pub fn canonical(data: &[u8]) {
    let mut lines = data.split(|byte| *byte == b'\n');
    let mut text = || String::from_utf8_lossy(lines.next().unwrap_or_default()).into_owned();
    let (authority, target, method) = (text(), text(), text());
    let host = canonical::host(&authority);
    if let Ok(host) = &host {
        let written = host.authority(443);
        let again = canonical::host(&written).expect("a canonical host");
        assert_eq!((&again.name, again.ip), (&host.name, host.ip), "{authority:?}");
        assert!(canonical::is_canonical_host(&written, host, 443), "{authority:?} {written:?}");
        if canonical::is_canonical_host(&authority, host, 443) {
            let short = authority.strip_suffix(":443").unwrap_or(&authority);
            assert_eq!(short.to_ascii_lowercase(), written, "{authority:?}");
        }
        if let Some(IpAddr::V4(ip)) = host.ip {
            let inside = canonical::reach(IpAddr::V4(ip));
            let mapped = canonical::reach(IpAddr::V6(ip.to_ipv6_mapped()));
            assert_eq!(inside, mapped, "{ip}");
        }
    }
    let strict = canonical::path(&target, false);
    let path = canonical::path(&target, true);
    match &path {
        Ok(path) => {
            let written = path.target();
            assert_eq!(canonical::path(&written, false).as_ref(), Ok(path), "{target:?}");
            assert_eq!(strict.is_ok(), written == target, "{target:?}");
        }
        Err(_) => assert!(strict.is_err(), "{target:?}"),
    }
    let mut fields = HeaderMap::new();
    for line in lines {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
        let (name, value) = line.split_at(colon);
        let name = HeaderName::from_bytes(name);
        if let (Ok(name), Ok(value)) = (name, HeaderValue::from_bytes(&value[1..])) {
            fields.append(name, value);
        }
    }
    if let (Ok(host), Ok(path)) = (&host, &path) {
        let _ = canonical::storage(host, path, &fields);
    }
    if let Ok(bits) = <[u8; 16]>::try_from(data.get(..16).unwrap_or_default()) {
        let _ = canonical::reach(IpAddr::V6(Ipv6Addr::from(bits)));
    }
    let request = Request {
        door: Door::Forward,
        method: Method::from_bytes(method.as_bytes()).unwrap_or_default(),
        scheme: Scheme::Https,
        authority: authority.into(),
        target: target.into(),
        version: Version::HTTP_11,
        fields: fields.clone(),
        body: Length::Unknown,
    };
    let fine = canonical::check_head(&request).is_ok();
    if fine {
        let count = |name: &str| fields.get_all(name).iter().count();
        assert!(count("content-length") + count("transfer-encoding") <= 1);
        assert_eq!(count("host"), 1);
    }
    for keep_upgrade in [false, true] {
        let mut once = fields.clone();
        canonical::strip_hop_by_hop(&mut once, keep_upgrade);
        let mut twice = once.clone();
        canonical::strip_hop_by_hop(&mut twice, keep_upgrade);
        assert_eq!(once, twice);
    }
}

/// The first bytes of a TLS client: what is read of them is read whatever comes after, nothing is
/// read of less, and a name is one that can be compared with a host's.
pub fn hello(data: &[u8]) {
    use web::hello::{HELLO_BYTES_MAX, server_name};
    let all = server_name(data);
    let mut first = None;
    for end in 0..data.len() {
        match server_name(&data[..end]) {
            Ok(None) => assert!(first.is_none(), "{end} bytes say less than fewer"),
            other => {
                let known = first.get_or_insert_with(|| other.clone());
                // A second message in the record that ends the first is seen when it is there.
                assert!(*known == other || other.is_err(), "{end} bytes");
            }
        }
    }
    if let Some(Err(malformed)) = first {
        assert_eq!(all, Err(malformed), "what is refused stays refused");
    }
    if let Ok(Some(name)) = &all {
        assert!(!name.is_empty() && name.is_ascii() && name.len() < HELLO_BYTES_MAX);
    }
    if data.len() >= HELLO_BYTES_MAX {
        assert_ne!(all, Ok(None), "it is not waited for any longer");
    }
}

/// A body of any kind and encoding, cut anywhere: cuts change nothing, what nothing masks passes
/// byte for byte, and a masked body of JSON is JSON with nothing left to mask.
pub fn body(data: &[u8]) {
    let [kind, coding, cut, body @ ..] = data else { return };
    let kinds = [
        Kind::Json,
        Kind::NdJson,
        Kind::EventStream,
        Kind::Form,
        Kind::Multipart { boundary: "b".into() },
        Kind::Xml,
        Kind::Csv,
        Kind::Text,
        Kind::Opaque,
    ];
    let kind = kinds[usize::from(*kind) % kinds.len()].clone();
    let names = ["", "gzip", "deflate", "br", "zstd", "gzip, br"];
    let codings = || Codings::parse([names[usize::from(*coding) % names.len()]].into_iter());
    let codings = || codings().expect("known codings");
    let (masks, nothing) = plans();
    let key = Arc::new(HashKey::new(&[7; 32]));
    let run = |plan: &Arc<MaskPlan>, cuts: usize| {
        let mut filter = Filter::new(kind.clone(), codings(), plan, &key, TypeSet::EMPTY);
        let mut out = Vec::new();
        let mut pass = || {
            for piece in body.chunks(cuts.max(1)) {
                filter.push(piece, &mut out)?;
            }
            filter.finish(&mut out)
        };
        pass().map_err(|unreadable| unreadable.reason).map(|()| out)
    };
    let whole = run(masks, body.len());
    assert_eq!(run(masks, usize::from(*cut) % 17), whole, "cut by {cut}");
    if codings().is_identity()
        && let Ok(out) = run(nothing, body.len())
    {
        assert_eq!(out, body, "what nothing masks passes");
    }
    if let (Kind::Json, Ok(out)) = (&kind, &whole)
        && !out.is_empty()
    {
        let value: serde_json::Value = serde_json::from_slice(out).expect("masked JSON is JSON");
        assert!(is_hidden(&value), "a masked key has a value: {value}");
    }
    let _ = find::search(body, TypeSet::from_iter(detect::DetectionType::ALL));
}

/// Whether nothing below a key `ssn` is more than a mask shows.
fn is_hidden(value: &serde_json::Value) -> bool {
    use serde_json::Value;
    fn blank(value: &Value) -> bool {
        match value {
            Value::Null => true,
            Value::String(text) => text == engine::REDACTED,
            Value::Array(items) => items.iter().all(blank),
            Value::Object(map) => map.values().all(blank),
            Value::Bool(_) | Value::Number(_) => false,
        }
    }
    match value {
        Value::Array(items) => items.iter().all(is_hidden),
        Value::Object(map) => map.iter().all(|(name, value)| match name.as_str() {
            "ssn" => blank(value),
            _ => is_hidden(value),
        }),
        _ => true,
    }
}

/// One plan that hides `ssn`, and one that hides nothing.
pub fn plans() -> &'static (Arc<MaskPlan>, Arc<MaskPlan>) {
    static PLANS: OnceLock<(Arc<MaskPlan>, Arc<MaskPlan>)> = OnceLock::new();
    PLANS.get_or_init(|| {
        let resource = Resource { name: "r".into(), kind: "postgres".into() };
        let plan = |rules: &[String]| {
            let resources = std::slice::from_ref(&resource);
            let compiled = testkit::rules::compile(&postgres::POSTGRES, resources, true, rules, 1);
            let compiled = compiled.expect("rules");
            let scope =
                compiled.policy.scope(&testkit::stage::principal(), &resource, compiled.block);
            Arc::clone(scope.masks())
        };
        (plan(&["hide mask ssn".to_owned()]), plan(&[]))
    })
}
