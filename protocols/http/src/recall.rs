//! What a recorded request was, told from the record alone.
//!
//! The record has the one form of the address, the fields without credentials, and of a body that
//! was held its digest and its first part; values may have been taken out of all of them
//! (`recording.scrub`), and then the facts that they were in are not known (R18). Facts that follow
//! from these are made by the code that judges requests; whatever else it would have seen is not
//! known.

use bytes::Bytes;
use detect::DetectionType;
use engine::{MaskPlan, Reads};
use http::header::{AUTHORIZATION, CONTENT_ENCODING, COOKIE, PROXY_AUTHORIZATION};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use model::exchange::{HIDDEN, Length, Scheme};
use model::operation::Stage;
use model::{Effect, Parameter, Timestamp, Value};

use crate::canonical;
use crate::facts::{FACTS, at};
use crate::operation::{self, Body, Judging};
use crate::options::Options;
use crate::request::Canonical;
use crate::tunnel as unopened;

/// A recorded request, message or tunnel.
#[derive(Clone, Copy, Debug)]
pub struct Past<'a> {
    /// The word for its step: `request`, `part`, `message`, `tunnel`.
    pub step: &'a str,
    /// Its method and URL; `None` when they are sealed.
    pub text: Option<&'a str>,
    /// Its fields, and what is recorded of its body.
    pub parameters: &'a [Parameter],
    /// Bytes that followed it upstream, where it has a reply.
    pub sent: Option<u64>,
    /// Masks applied to it, so that what a model was sent may not be what rules saw.
    pub masked: bool,
}

/// What can be told of it.
#[derive(Clone, Debug)]
pub struct Recalled {
    /// Values of the facts in the order of their declarations; `None` of those that the record does
    /// not tell.
    pub values: Vec<Option<Value>>,
    /// What is proved about its effect.
    pub effect: Effect,
    /// Where in the life of an operation it was.
    pub stage: Stage,
    /// It is refused under masks, by this word.
    pub exposed: Option<&'static str>,
}

/// Facts of a request that hang on neither its path nor its fields.
const OF_HOST: [&str; 4] = ["http.method", "http.scheme", "http.host", "http.port"];

/// What the record tells of `past`, for a principal with these masks on a resource with these
/// options.
#[must_use]
pub fn recall(past: &Past<'_>, options: &serde_json::Value, masks: &MaskPlan) -> Recalled {
    let stage = if past.step == operation::PART { Stage::Part } else { Stage::Gate };
    let (values, effect) = (vec![None; FACTS.len()], Effect::MayWrite);
    let nothing = Recalled { values, effect, stage, exposed: None };
    let Some((method, target)) = past.text.and_then(|text| text.split_once(' ')) else {
        return nothing;
    };
    if past.step == "tunnel" {
        return tunnel(target, masks).unwrap_or(nothing);
    }
    let Some(mut told) = read(method, target, past.parameters) else { return nothing };
    if ["message", operation::PART].contains(&past.step) {
        // The fields are those of the request that it follows, which has them in its record.
        told.hidden = Hidden { headers: true, content_type: true, any: true, ..told.hidden };
    }
    let is_rewritten = past.masked && Options::read(options).model;
    let body = told.body(past, is_rewritten);
    let judging = Judging { reads: &Reads::everything(), trail: None, now: Timestamp(0) };
    let judged = match &body {
        Of::Known(body) => operation::of(&told.request, body, None, judging),
        Of::Length(_) | Of::Unknown => operation::of(&told.request, &Body::Unread, None, judging),
    };
    let is_unread = !matches!(body, Of::Known(_));
    let is_of_host =
        |index: u16| FACTS.get(usize::from(index)).is_some_and(|fact| OF_HOST.contains(&fact.name));
    let value = |(index, value): (u16, &Value)| match (index, &body) {
        (index, _) if told.hidden.target && !is_of_host(index) => None,
        (at::BODY_BYTES, Of::Length(bytes)) => {
            Some(Value::Int(i64::try_from(*bytes).unwrap_or(i64::MAX)))
        }
        // What was received before is in no recording.
        (at::CARRIES, _) => None,
        (at::BODY_BYTES | at::MODEL | at::TOOLS, _) if is_unread => None,
        (at::DETECTIONS, _) if is_unread || told.hidden.any => None,
        (at::HEADERS, _) if told.hidden.headers => None,
        (at::CONTENT_TYPE, _) if told.hidden.content_type => None,
        (at::UPGRADE, _) if past.step == "message" => Some(Value::Text("websocket".into())),
        _ => Some(value.clone()),
    };
    let values = (0..).zip(judged.facts.iter()).map(value).collect();
    let effect = if past.step == "message" { Effect::MayWrite } else { judged.effect };
    Recalled { values, effect, stage, exposed: None }
}

/// A request as far as it is recorded.
struct Told {
    request: Canonical,
    hidden: Hidden,
}

/// What of the fields is not in the record.
#[derive(Clone, Copy, Default)]
struct Hidden {
    /// Something of the path or the query.
    target: bool,
    /// A field that rules see.
    headers: bool,
    /// How the body is encoded.
    coding: bool,
    /// The media type.
    content_type: bool,
    /// Any field.
    any: bool,
}

/// What is known of a body.
enum Of {
    /// All of it.
    Known(Body),
    /// Its length.
    Length(u64),
    /// Nothing.
    Unknown,
}

fn read(method: &str, url: &str, parameters: &[Parameter]) -> Option<Told> {
    let method = Method::from_bytes(method.as_bytes()).ok()?;
    let (scheme, rest) = url.split_once("://")?;
    let scheme = match scheme {
        "https" => Scheme::Https,
        "http" => Scheme::Http,
        _ => return None,
    };
    let (authority, target) = rest.split_at(rest.find('/')?);
    if DetectionType::is_missing_in(authority) {
        return None;
    }
    let host = canonical::host(authority).ok()?;
    let mut hidden = Hidden { target: DetectionType::is_missing_in(target), ..Hidden::default() };
    let path = canonical::path(if hidden.target { "/" } else { target }, false).ok()?;
    let mut fields = HeaderMap::new();
    let of_head = parameters.iter().take_while(|of| of.kind != operation::BODY_DIGEST);
    for of in of_head {
        if DetectionType::is_missing_in(&of.kind) {
            (hidden.any, hidden.headers) = (true, true);
        }
        // Notes of the gateway's own have blanks in their names.
        let Ok(name) = HeaderName::try_from(of.kind.as_str()) else { continue };
        let value = of.value.as_deref().filter(|value| !DetectionType::is_missing_in(value));
        let value = value.unwrap_or(HIDDEN);
        match HeaderValue::try_from(value) {
            Ok(value) if value != HIDDEN => {
                fields.append(name, value);
            }
            _ => {
                hidden.any = true;
                hidden.content_type |= name == http::header::CONTENT_TYPE;
                hidden.coding |= name == CONTENT_ENCODING;
                hidden.headers |= ![AUTHORIZATION, COOKIE, PROXY_AUTHORIZATION].contains(&name);
            }
        }
    }
    let codings = fields.get_all(CONTENT_ENCODING).iter();
    let codings = codings.map(|value| value.to_str().unwrap_or("?").to_owned()).collect();
    let request = Canonical { method, scheme, host, path, fields, codings, body: Length::Unknown };
    Some(Told { request, hidden })
}

impl Told {
    fn body(&self, past: &Past<'_>, is_rewritten: bool) -> Of {
        if past.parameters.iter().any(|of| of.kind == operation::PART_DIGEST) {
            return Of::Unknown;
        }
        let mut of_body = past.parameters.iter().skip_while(|of| of.kind != operation::BODY_DIGEST);
        let Some(hash) = of_body.next() else {
            let empty = past.sent == Some(0)
                || self.request.fields.get(http::header::CONTENT_LENGTH).is_some_and(|n| n == "0");
            return if empty { Of::Known(Body::Empty) } else { Of::Unknown };
        };
        if is_rewritten {
            return Of::Unknown;
        }
        let length = of_body.next().and_then(|of| of.value.as_deref()?.parse().ok());
        let text = of_body.next();
        let is_body = |of: &&Parameter| of.kind == operation::BODY;
        let bytes = text.filter(is_body).and_then(|of| of.value.as_deref()).unwrap_or_default();
        // Fields after it are searched too, and stand behind it.
        let has_more = of_body.next().is_some() || text.is_some_and(|of| !is_body(&of));
        let is_whole = hash.value.as_deref() == Some(operation::hex(bytes.as_bytes()).as_str());
        match (is_whole && !has_more && !self.hidden.coding, length) {
            (true, _) => Of::Known(Body::Held(Bytes::copy_from_slice(bytes.as_bytes()), None)),
            (false, Some(length)) => Of::Length(length),
            (false, None) => Of::Unknown,
        }
    }
}

fn tunnel(target: &str, masks: &MaskPlan) -> Option<Recalled> {
    if DetectionType::is_missing_in(target) {
        return None;
    }
    let host = canonical::host(target).ok()?;
    let port = host.port?;
    let operation = operation::unopened(&host, port);
    let values = operation.facts.iter().cloned().map(Some).collect();
    let exposed = masks.reads_replies().then(|| unopened::masked().reason());
    Some(Recalled { values, effect: operation.effect, stage: Stage::Gate, exposed })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::body::tests::plan;

    fn recalled(text: &str, parameters: &[(&str, &str)], sent: Option<u64>) -> Recalled {
        let parameter = |(kind, value): &(&str, &str)| Parameter {
            kind: (*kind).to_owned(),
            value: Some((*value).to_owned()),
        };
        let parameters: Vec<Parameter> = parameters.iter().map(parameter).collect();
        let past = Past {
            step: "request",
            text: Some(text),
            parameters: &parameters,
            sent,
            masked: false,
        };
        recall(&past, &serde_json::json!({}), &plan(&[], &[]))
    }

    fn value(recalled: &Recalled, name: &str) -> Option<Value> {
        let index = FACTS.iter().position(|fact| fact.name == name).expect("a fact");
        recalled.values[index].clone()
    }

    /// A body as the record has it.
    fn body(text: &'static str) -> Vec<(String, String)> {
        let shown = operation::shown(text.as_bytes(), text.as_bytes());
        shown.into_iter().map(|of| (of.kind, of.value.unwrap_or_default())).collect()
    }

    #[test]
    fn a_request_whose_body_is_recorded_has_all_its_facts_but_what_it_carries() {
        let body = body("{\"model\":\"m\",\"ssn\":\"536-22-8714\"}");
        let body = body.iter().map(|(kind, value)| (kind.as_str(), value.as_str()));
        let fields = [("content-type", "application/json"), ("accept", "*/*")];
        let parameters: Vec<(&str, &str)> = fields.into_iter().chain(body).collect();
        let recalled = recalled("POST https://api.test:8443/v1/x?q=1", &parameters, Some(0));
        let unknown: Vec<&str> = FACTS
            .iter()
            .zip(&recalled.values)
            .filter_map(|(fact, value)| value.is_none().then_some(fact.name))
            .collect();
        assert_eq!(unknown, ["http.carries"]);
        assert_eq!(value(&recalled, "http.port"), Some(Value::Int(8443)));
        assert_eq!(value(&recalled, "llm.model"), Some(Value::Text("m".into())));
        let found = Value::TextList(Arc::from([Arc::from("US_SSN")]));
        assert_eq!(value(&recalled, "http.detections"), Some(found));
        assert_eq!(recalled.effect, Effect::MayWrite);
    }

    #[test]
    fn r18_facts_from_which_values_were_taken_are_not_known() {
        let known = |recalled: &Recalled| {
            let facts = FACTS.iter().zip(&recalled.values);
            let known = facts.filter_map(|(fact, value)| value.is_some().then_some(fact.name));
            known.collect::<Vec<_>>().join(" ")
        };
        let of_host = "http.method http.scheme http.host http.port";
        // Whatever a path or a query was, and however it is written now.
        for target in ["/users/[EMAIL]/x", "/x?mail=[EMAIL]&n=1", "/[PHONE]?q"] {
            let cut = recalled(&format!("GET https://a.test{target}"), &[], Some(0));
            assert_eq!(known(&cut), of_host, "{target}");
        }
        for text in ["GET https://[PHONE]/x", "GET https://a.test:[PHONE]", "GET [EMAIL]"] {
            assert_eq!(known(&recalled(text, &[], Some(0))), "", "{text}");
        }
        let tunnel = Past {
            step: "tunnel",
            text: Some("CONNECT [PHONE].test:443"),
            parameters: &[],
            sent: None,
            masked: false,
        };
        let tunnel = recall(&tunnel, &serde_json::json!({}), &plan(&[], &[]));
        assert_eq!(known(&tunnel), "");
        // A field: its value, or its name.
        for field in [("x-user", "is [EMAIL]"), ("[EMAIL]", "x")] {
            let cut = recalled("GET https://a.test/", &[field], Some(0));
            assert_eq!(value(&cut, "http.headers"), None, "{field:?}");
            assert_eq!(value(&cut, "http.detections"), None, "{field:?}");
            assert_eq!(value(&cut, "http.path"), Some(Value::Text("/".into())), "{field:?}");
        }
        let cut = recalled("GET https://a.test/", &[("content-type", "[EMAIL]")], Some(0));
        assert_eq!(value(&cut, "http.content_type"), None);
        // A body: its digest is that of what was sent.
        let mut cut = body("{\"mail\":\"ann@corp.example\"}");
        cut[2].1 = "{\"mail\":\"[EMAIL]\"}".to_owned();
        let cut: Vec<(&str, &str)> = cut.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
        let cut = recalled("POST https://a.test/", &cut, Some(0));
        assert_eq!(value(&cut, "http.body_bytes"), Some(Value::Int(27)));
        assert_eq!(value(&cut, "http.detections"), None);
        // Without what says how it is encoded it cannot be read.
        let whole = body("hello");
        let whole = whole.iter().map(|(a, b)| (a.as_str(), b.as_str()));
        let whole: Vec<_> = [("content-encoding", "[EMAIL]")].into_iter().chain(whole).collect();
        let whole = recalled("POST https://a.test/", &whole, Some(0));
        assert_eq!(value(&whole, "llm.model"), None);
    }

    #[test]
    fn what_the_record_lacks_is_not_known() {
        // A body past what is recorded: its digest is not that of the part.
        let mut cut = body("abc");
        cut[0].1 = operation::hex(b"abcdef");
        cut[1].1 = "6".to_owned();
        let cut: Vec<(&str, &str)> = cut.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
        let cut = recalled("POST https://a.test/", &cut, Some(0));
        assert_eq!(value(&cut, "http.body_bytes"), Some(Value::Int(6)));
        assert_eq!(value(&cut, "http.detections"), None);
        assert_eq!(value(&cut, "llm.model"), None);
        // One that streamed, and one of which nothing is known.
        for sent in [Some(9), None] {
            let streamed = recalled("POST https://a.test/", &[], sent);
            assert_eq!(value(&streamed, "http.body_bytes"), None);
            assert_eq!(value(&streamed, "http.detections"), None);
        }
        let empty = recalled("GET https://a.test/", &[], Some(0));
        assert_eq!(value(&empty, "http.body_bytes"), Some(Value::Int(0)));
        assert_eq!(value(&empty, "http.detections"), Some(Value::TextList(Arc::from([]))));
        // Credentials are not in the record, and rules never see some of them.
        let bearer = recalled("GET https://a.test/", &[("authorization", HIDDEN)], Some(0));
        assert!(value(&bearer, "http.headers").is_some());
        assert_eq!(value(&bearer, "http.detections"), None);
        let key = recalled("GET https://a.test/", &[("x-api-key", HIDDEN)], Some(0));
        assert_eq!(value(&key, "http.headers"), None);
        // Something that was no request.
        assert!(recalled("GET evil.test/../x", &[], None).values.iter().all(Option::is_none));
    }
}
