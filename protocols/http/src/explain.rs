//! What the rules would be asked about a request, without sending it.

use std::sync::Arc;

use bytes::Bytes;
use engine::taint::Trail;
use engine::{MaskPlan, Reads, Refusal};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, Version};
use model::exchange::{Door, Length, Request, Scheme};
use model::{ClientText, Effect, Timestamp, Value};

use crate::canonical;
use crate::operation::{self, Body, Judging};
use crate::options::Options;
use crate::request;
use crate::tunnel as unopened;

/// A request as it would be judged.
pub struct Explained {
    /// Values of the facts, in the order of their declarations.
    pub values: Arc<[Value]>,
    /// What is proved about its effect.
    pub effect: Effect,
    /// What it does, in words.
    pub does: Vec<String>,
    /// Why it is refused whatever the rules say.
    pub refused: Option<Refusal>,
}

/// Explains a request, written as `METHOD URL` (on the reverse face `METHOD /PATH`), with lines of
/// fields and, after an empty line, a body, if it has them.
///
/// # Errors
///
/// It is not written so.
pub fn explain(
    text: &str,
    options: &serde_json::Value,
    masks: &MaskPlan,
    (trail, now): (&Trail, Timestamp),
) -> Result<Explained, String> {
    let options = Options::read(options);
    let (head, body) = text.split_once("\n\n").unwrap_or((text, ""));
    let mut lines = head.lines();
    let first = lines.next().unwrap_or_default();
    let help = "write METHOD URL, for example: POST https://api.example/v1/notes";
    let (method, target) = first.trim().split_once(' ').ok_or_else(|| help.to_owned())?;
    let method = Method::from_bytes(method.as_bytes()).map_err(|_| help.to_owned())?;
    let mut fields = HeaderMap::new();
    for line in lines {
        let (name, value) = line
            .split_once(':')
            .ok_or_else(|| format!("{line:?} is no field: write Name: value"))?;
        let name = HeaderName::try_from(name.trim()).map_err(|error| error.to_string())?;
        let value = HeaderValue::try_from(value.trim()).map_err(|error| error.to_string())?;
        fields.append(name, value);
    }
    if method == Method::CONNECT && options.upstream.is_none() {
        return tunnel(target.trim(), &options, masks);
    }
    let request = request(method, target.trim(), fields, body, &options)?;
    let target = request.target.clone();
    let canonical = match request::canonical(&request, &target, &options) {
        Ok(canonical) => canonical,
        Err(malformed) => {
            let words = ClientText::fixed(malformed.what);
            return Ok(Explained {
                values: Arc::new([]),
                effect: Effect::MayWrite,
                does: Vec::new(),
                refused: Some(Refusal::unjudgeable(malformed.reason, words)),
            });
        }
    };
    let body = match body {
        "" => Body::Empty,
        body => Body::Held(Bytes::copy_from_slice(body.as_bytes()), None),
    };
    let judging = Judging { reads: &Reads::everything(), trail: Some(trail), now };
    let operation = operation::of(&canonical, &body, None, judging);
    let does = match operation.effect {
        Effect::ReadOnly => format!("asks {} for something", canonical.host.name),
        Effect::MayWrite => format!("may change something at {}", canonical.host.name),
    };
    let does = vec![does, format!("goes out as {}", operation.text)];
    Ok(Explained { values: operation.facts, effect: operation.effect, does, refused: None })
}

/// A tunnel: one that is passed on unopened is judged as it is, in one that is opened each request.
fn tunnel(target: &str, options: &Options, masks: &MaskPlan) -> Result<Explained, String> {
    let help = "write CONNECT HOST:PORT";
    let host = canonical::host(target).map_err(|malformed| malformed.what.to_owned())?;
    let port = host.port.ok_or(help)?;
    if !options.passes_on(&host) {
        return Err(format!(
            "a tunnel to {0} is opened, and each request in it is judged: explain those, for \
             example GET https://{0}/",
            host.bracketed()
        ));
    }
    let operation = operation::unopened(&host, port);
    let does = vec![
        format!("passes a tunnel to {}:{port} on unopened", host.bracketed()),
        "of what is in it nothing is judged, masked or recorded".to_owned(),
    ];
    let refused = masks.reads_replies().then(unopened::masked);
    Ok(Explained { values: operation.facts, effect: operation.effect, does, refused })
}

fn request(
    method: Method,
    target: &str,
    mut fields: HeaderMap,
    body: &str,
    options: &Options,
) -> Result<Request, String> {
    let (door, scheme, authority, target) = match &options.upstream {
        Some(upstream) => (Door::Reverse, upstream.scheme, Arc::clone(&upstream.authority), target),
        None => {
            let uri: Uri = target.parse().map_err(|error| format!("{target:?}: {error}"))?;
            let authority =
                uri.authority().ok_or("a proxy is asked with a whole URL: https://…")?;
            let secure = uri.scheme_str() == Some("https");
            let scheme = if secure { Scheme::Https } else { Scheme::Http };
            let rest = target.split_once("://").map_or("", |(_, rest)| rest);
            let path = rest.find('/').and_then(|at| rest.get(at..)).unwrap_or("/");
            (Door::Forward, scheme, Arc::from(authority.as_str()), path)
        }
    };
    if !fields.contains_key(http::header::HOST) {
        let host = HeaderValue::try_from(&*authority).map_err(|error| error.to_string())?;
        fields.insert(http::header::HOST, host);
    }
    let length = match body.len() {
        0 => Length::Empty,
        bytes => {
            fields.insert(http::header::CONTENT_LENGTH, bytes.into());
            Length::Known(bytes as u64)
        }
    };
    Ok(Request {
        door,
        method,
        scheme,
        authority: (&*authority).into(),
        target: target.into(),
        version: Version::HTTP_11,
        fields,
        body: length,
    })
}

#[cfg(test)]
mod tests {
    use engine::taint::TaintKey;

    use super::*;
    use crate::body::tests::plan;

    fn explained(text: &str, options: &serde_json::Value) -> Result<Explained, String> {
        let trail = Trail::new(Arc::new(TaintKey::new(b"a key of the tests")));
        explain(text, options, &plan(&[], &[]), (&trail, Timestamp(0)))
    }

    fn value(text: &str, options: serde_json::Value, name: &str) -> String {
        let explained = explained(text, &options).expect("a request");
        let at = crate::facts::FACTS.iter().position(|fact| fact.name == name).expect("a fact");
        format!("{:?}", explained.values[at])
    }

    #[test]
    fn facts_are_those_of_a_session() {
        let out = serde_json::json!({});
        let text = "POST https://A.test/x?q=1\ncontent-type: text/plain\n\nssn 536-22-8714";
        assert_eq!(value(text, out.clone(), "http.host"), "Text(\"a.test\")");
        assert_eq!(value(text, out.clone(), "http.detections"), "TextList([\"US_SSN\"])");
        assert_eq!(value(text, out.clone(), "http.body_bytes"), "Int(15)");
        let api = serde_json::json!({"scheme": "https", "authority": "api.test", "base": "/v2"});
        assert_eq!(value("GET /x", api, "http.path"), "Text(\"/v2/x\")");
        assert!(explained("GET", &out).is_err());
        assert!(explained("GET /x", &out).is_err(), "a proxy needs a host");
        let refused = explained("GET http://a.test/../b", &out).expect("a request").refused;
        assert_eq!(refused.expect("a refusal").reason(), "path_above_root");
    }

    #[test]
    fn a_tunnel_that_is_passed_on_is_judged_and_one_that_is_opened_is_not() {
        let options = serde_json::json!({"passthrough": ["pinned.test"]});
        let text = "CONNECT pinned.test:8443";
        assert_eq!(value(text, options.clone(), "http.port"), "Int(8443)");
        assert_eq!(value(text, options.clone(), "http.unopened"), "Bool(true)");
        assert_eq!(
            value("GET https://pinned.test/", options.clone(), "http.unopened"),
            "Bool(false)"
        );
        for other in ["CONNECT other.test:443", "CONNECT pinned.test", "CONNECT @:1"] {
            assert!(explained(other, &options).is_err(), "{other}");
        }
    }
}
