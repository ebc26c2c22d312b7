//! A request as an operation: what is judged, recorded and shown to an approver.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use bytes::Bytes;
use detect::{DetectionType, TypeSet};
use engine::taint::{Search, Trail};
use engine::{HashKey, Reads};
use http::{HeaderMap, Method};
use model::exchange::{Length, Request};
use model::limit::RECORDED_BODY_BYTES_MAX;
use model::operation::{Objects, RowBound, Stage};
use model::{Effect, Operation, Parameter, Timestamp};

use crate::body::{Codings, Unreadable, decode, find};
use crate::canonical::{self, Host};
use crate::facts::{self, OfBody, at};
use crate::grpc;
use crate::llm;
use crate::request::{self, Canonical};

/// The names of what the record has of a body: its digest comes first, then its length, then what
/// can be shown of it.
pub const BODY_DIGEST: &str = "body sha-256";
/// See [`BODY_DIGEST`].
pub const BODY: &str = "body";

/// The name of what the record has of a part of a body: its digest.
pub const PART_DIGEST: &str = "part sha-256";

/// Why facts about a body fail: what its encoding hides is not known.
pub const UNREADABLE: &str = "the body's Content-Encoding cannot be undone";
/// Why facts about a body fail: it cannot be searched to its end.
const TOO_MUCH: &str = "there is too much to search";
const NO_OBJECT: &str = "the body is not a JSON object that can be read";
/// Why a model is not known.
const IN_PARTS: &str = "the body is judged in parts";

/// Longest body that is looked into once its encoding is undone, bytes.
const DECODED_BYTES_MAX: usize = 32 * 1024 * 1024;

/// What is there of a request's body when it is judged.
pub enum Body {
    /// There is none.
    Empty,
    /// It follows the verdict.
    Unread,
    /// All of it, and the fields after it.
    Held(Bytes, Option<Box<HeaderMap>>),
}

impl Body {
    /// The fields after it.
    #[must_use]
    pub fn trailers(&self) -> Option<&HeaderMap> {
        match self {
            Self::Held(_, trailers) => trailers.as_deref(),
            Self::Empty | Self::Unread => None,
        }
    }
}

/// A part of a body that is judged while it leaves.
pub struct Slice<'a> {
    /// How many bytes were before it.
    pub begins_at: u64,
    /// As it is sent.
    pub bytes: &'a [u8],
    /// The fields after it, if it is the last.
    pub trailers: Option<&'a HeaderMap>,
}

/// What a request is judged by.
#[derive(Clone, Copy)]
pub struct Judging<'a> {
    /// What rules read of it.
    pub reads: &'a Reads,
    /// What its principal received of followed values.
    pub trail: Option<&'a Trail>,
    /// The time.
    pub now: Timestamp,
}

/// The operation of a request. `raw` is its body before parts of it were hidden, where any were:
/// rules see that, the record and approvers what is sent.
#[must_use]
pub fn of(request: &Canonical, body: &Body, raw: Option<&[u8]>, judging: Judging<'_>) -> Operation {
    let reads = judging.reads;
    let storage = canonical::storage(&request.host, &request.path, &request.fields);
    let bytes: Option<&[u8]> = match body {
        Body::Empty => Some(&[]),
        Body::Held(bytes, _) => Some(bytes),
        Body::Unread => None,
    };
    let bytes = raw.or(bytes);
    let clear = bytes.map(|bytes| readable(request, bytes));
    let clear = clear.as_ref().map(|clear| clear.as_deref().map_err(|why| *why));
    // The host may not look at `Content-Encoding`, so the body counts as it is sent, too.
    let texts = bytes.zip(clear).map(|(bytes, clear)| {
        Ok(match clear? {
            clear if clear == bytes => vec![find::Text::from(bytes)],
            clear => vec![find::Text { bytes, is_opened: true }, clear.into()],
        })
    });
    let looked = texts.as_ref().map(|texts| {
        let texts = texts.as_deref().map_err(|why| *why);
        look(request, texts, body.trailers(), judging)
    });
    let of_body = OfBody {
        bytes: bytes.map(|bytes| bytes.len() as u64),
        model: clear
            .filter(|_| reads.contains(at::MODEL) || reads.contains(at::TOOLS))
            .map(|clear| llm::named(clear?).ok_or(NO_OBJECT)),
        ..looked.unwrap_or_default()
    };
    let values = facts::values(request, storage.as_ref(), of_body);
    let text = format!("{} {}", request.method, request.url());
    let mut parameters = head(request);
    if let Body::Held(bytes, trailers) = body {
        // Where parts of it were hidden, its codings are undone already.
        let coded = raw.is_none().then_some(clear).flatten().and_then(Result::ok);
        parameters.extend(shown(bytes, coded.unwrap_or(bytes)));
        parameters.extend(trailers.as_deref().into_iter().flat_map(after));
    }
    let mut operation = base(request.method.as_str(), &request.host.name, text, parameters);
    operation.facts = values;
    operation.effect = if is_safe(&request.method) { Effect::ReadOnly } else { Effect::MayWrite };
    operation
}

fn head(request: &Canonical) -> Vec<Parameter> {
    let told = request::told(&request.fields).into_iter();
    told.map(|(name, value)| Parameter { kind: name, value: Some(value) }).collect()
}

fn after(trailers: &HeaderMap) -> impl Iterator<Item = Parameter> + use<> {
    request::told(trailers).into_iter().map(|(name, value)| Parameter {
        kind: format!("{name} (after the body)"),
        value: Some(value),
    })
}

/// What is found in a piece of a body, in all forms in which it is searched; where one cannot be
/// known, for this reason, the facts about them fail.
#[must_use]
pub fn look(
    request: &Canonical,
    texts: Result<&[find::Text<'_>], &'static str>,
    trailers: Option<&HeaderMap>,
    judging: Judging<'_>,
) -> OfBody {
    let Judging { reads, trail, now } = judging;
    OfBody {
        detections: reads.contains(at::DETECTIONS).then(|| found(request, texts?, trailers)),
        carries: reads.contains(at::CARRIES).then(|| {
            let trail = trail.ok_or("it is not known who asks")?;
            carried(request, texts?, trailers, trail.search(now))
        }),
        ..OfBody::default()
    }
}

/// The operation of a part of a request's body, in which this was found; of the first, that of the
/// request itself, with the beginning of what its reader sees (`shown`).
///
/// The length of the body is known where the request says it; the model is not.
#[must_use]
pub fn of_slice(
    request: &Canonical,
    slice: &Slice<'_>,
    (looked, shown): (OfBody, &[u8]),
) -> Operation {
    let storage = canonical::storage(&request.host, &request.path, &request.fields);
    let bytes = match request.body {
        Length::Known(bytes) => Some(bytes),
        Length::Empty | Length::Unknown => None,
    };
    let of_body = OfBody { bytes, model: Some(Err(IN_PARTS)), ..looked };
    let is_first = slice.begins_at == 0;
    // The fields are in the record of the request.
    let mut parameters = if is_first { head(request) } else { Vec::new() };
    let named = |kind: &str, value: String| Parameter { kind: kind.to_owned(), value: Some(value) };
    parameters.extend([
        named(PART_DIGEST, hex(slice.bytes)),
        named("part bytes", slice.bytes.len().to_string()),
        named("part begins at byte", slice.begins_at.to_string()),
    ]);
    if let Some(text) = head_of(shown).filter(|_| is_first) {
        parameters.push(named(BODY, text.to_owned()));
    }
    parameters.extend(slice.trailers.into_iter().flat_map(after));
    let text = format!("{} {}", request.method, request.url());
    let mut operation = base(request.method.as_str(), &request.host.name, text, parameters);
    operation.facts = facts::values(request, storage.as_ref(), of_body);
    operation.effect = if is_safe(&request.method) { Effect::ReadOnly } else { Effect::MayWrite };
    if !is_first {
        operation.kind = PART;
        operation.stage = Stage::Part;
    }
    operation
}

/// The kind of operation that a part of a body is, after the first.
pub const PART: &str = "part";

/// What binds a yes to credentials that nobody is shown (R11): a keyed hash of the fields that
/// [`request::told`] hides, empty where there are none.
#[must_use]
pub fn hidden_fields(request: &Canonical, trailers: Option<&HeaderMap>, key: &HashKey) -> Arc<str> {
    let all = request.fields.iter().chain(trailers.into_iter().flatten());
    let mut text = String::new();
    for (name, value) in all.filter(|(name, value)| request::is_hidden(name, value)) {
        let value = value.as_bytes();
        text.push_str(&format!("{name} {} {}\n", value.len(), value.escape_ascii()));
    }
    if text.is_empty() { "".into() } else { key.hash_text(&text).into() }
}

/// The operation of a request that has no one form. Its facts are never asked for.
#[must_use]
pub fn malformed(request: &Request) -> Operation {
    let written = format!("{} {}{}", request.method, request.authority, request.target);
    let text = written.chars().filter(|c| !c.is_control()).take(4096).collect();
    base(request.method.as_str(), &request.authority, text, Vec::new())
}

/// The operation of a request that is refused before it is complete.
#[must_use]
pub fn refused(request: &Canonical) -> Operation {
    let text = format!("{} {}", request.method, request.url());
    base(request.method.as_str(), &request.host.name, text, Vec::new())
}

/// Where the client meant to connect, when it was redirected: recorded, and never dialled.
#[must_use]
pub fn sent_to(address: Option<SocketAddr>) -> Vec<Parameter> {
    let told = |address: SocketAddr| Parameter {
        kind: "redirected from".to_owned(),
        value: Some(address.to_string()),
    };
    address.map(told).into_iter().collect()
}

/// The operation of a tunnel that is passed on unopened.
#[must_use]
pub fn unopened(host: &Host, port: u16) -> Operation {
    let text = format!("CONNECT {}:{port}", host.bracketed());
    let note = Parameter { kind: "passed on".to_owned(), value: Some("unopened".to_owned()) };
    let mut operation = base("CONNECT", &host.name, text, vec![note]);
    operation.kind = "tunnel";
    operation.facts = facts::unopened(host, port);
    operation
}

/// A body as its reader sees it, messages of a call included. The facts about it fail, for this
/// reason, where its encoding is not known or broken.
fn readable<'a>(request: &Canonical, body: &'a [u8]) -> Result<Cow<'a, [u8]>, &'static str> {
    let written = request.codings.iter().map(String::as_str);
    let codings = Codings::parse(written).map_err(Unreadable::why)?;
    let decoded = match codings.is_identity() {
        true => Cow::Borrowed(body),
        false => Cow::Owned(decode(&codings, body, DECODED_BYTES_MAX).map_err(Unreadable::why)?),
    };
    grpc::opened(&request.fields, decoded, DECODED_BYTES_MAX).ok_or(UNREADABLE)
}

impl Unreadable {
    /// Why facts about a body fail that cannot be decoded.
    #[must_use]
    pub fn why(self) -> &'static str {
        match self.reason {
            "bomb" | "too_long" => TOO_MUCH,
            _ => UNREADABLE,
        }
    }
}

fn base(method: &str, host: &str, text: String, parameters: Vec<Parameter>) -> Operation {
    let objects = Objects { verbs: vec![method.to_ascii_lowercase().into()], ..Objects::default() };
    let objects = match is_safe_name(method) {
        true => Objects { reads: vec![host.into()], ..objects },
        false => Objects { writes: vec![host.into()], ..objects },
    };
    Operation {
        kind: "request",
        stage: Stage::Gate,
        under: None,
        text: text.into(),
        parameters,
        facts: Arc::new([]),
        effect: Effect::MayWrite,
        // A rule about rows is about databases: no download waits because of it.
        rows: RowBound::NoRows,
        guesses: Vec::new(),
        objects: Arc::new(objects),
        context: "".into(),
        aside: Vec::new(),
    }
}

/// RFC 9110 section 9.2.1: safe methods ask for no change.
fn is_safe(method: &Method) -> bool {
    is_safe_name(method.as_str())
}

fn is_safe_name(method: &str) -> bool {
    ["GET", "HEAD", "OPTIONS"].contains(&method)
}

/// Sensitive values in all that the request carries, its body in each of these forms.
fn found(
    request: &Canonical,
    texts: &[find::Text<'_>],
    trailers: Option<&HeaderMap>,
) -> Result<Vec<Arc<str>>, &'static str> {
    let types = TypeSet::from_iter(DetectionType::ALL);
    let mut seen = TypeSet::EMPTY;
    let mut look = |text: find::Text<'_>| {
        let found = find::search(text, types);
        seen = seen.union(found.types);
        found.complete
    };
    let mut complete = look(request.path.target().as_bytes().into());
    complete &= look(request.host.name.as_bytes().into());
    for (name, value) in request.fields.iter().chain(trailers.into_iter().flatten()) {
        complete &= look(name.as_str().as_bytes().into());
        complete &= look(value.as_bytes().into());
    }
    for text in texts {
        complete &= look(*text);
    }
    if !complete {
        return Err(TOO_MUCH);
    }
    Ok(seen.iter().map(|kind| kind.name().into()).collect())
}

/// Sources of values that the request repeats: in each of its parts, behind encodings, and cut over
/// several of them.
fn carried(
    request: &Canonical,
    texts: &[find::Text<'_>],
    trailers: Option<&HeaderMap>,
    mut search: Search<'_>,
) -> Result<Vec<Arc<str>>, &'static str> {
    let mut look =
        |text: find::Text<'_>| find::layers(text, &mut |layer| search.look_beside(layer));
    let mut complete = look(request.host.name.as_bytes().into());
    for (name, value) in request.fields.iter().chain(trailers.into_iter().flatten()) {
        complete &= look(name.as_str().as_bytes().into());
        complete &= look(value.as_bytes().into());
    }
    // What a value is cut over stands side by side: fields of the protocol's own are in no way.
    complete &= look(request.path.path.as_bytes().into());
    complete &= look(request.path.query.as_deref().unwrap_or_default().as_bytes().into());
    for text in texts.iter().rev() {
        complete &= look(*text);
    }
    // A text in an encoding may be cut as well.
    let beside = search.beside();
    complete &= find::layers(&*beside, &mut |layer| search.look(layer));
    if !complete {
        return Err(TOO_MUCH);
    }
    search.end().ok_or("more followed values were received than are kept")
}

/// SHA-256 in hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    digest(&SHA256, bytes).as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A body as the record and an approver see it: its digest, so that a yes is to this body alone,
/// and what can be shown of what its reader sees (`clear`).
#[must_use]
pub fn shown(body: &[u8], clear: &[u8]) -> Vec<Parameter> {
    let mut shown = vec![
        Parameter { kind: BODY_DIGEST.to_owned(), value: Some(hex(body)) },
        Parameter { kind: "body bytes".to_owned(), value: Some(body.len().to_string()) },
    ];
    if let Some(text) = head_of(clear) {
        shown.push(Parameter { kind: BODY.to_owned(), value: Some(text.to_owned()) });
    }
    shown
}

/// The beginning of a body, as far as it is recorded and text.
fn head_of(clear: &[u8]) -> Option<&str> {
    let head = clear.get(..RECORDED_BODY_BYTES_MAX).unwrap_or(clear);
    let text = match std::str::from_utf8(head) {
        Ok(text) => text,
        Err(error) => {
            let valid = head.get(..error.valid_up_to()).unwrap_or_default();
            std::str::from_utf8(valid).unwrap_or_default()
        }
    };
    Some(text).filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use model::exchange::Scheme;

    use super::*;

    fn request(fields: &[(&'static str, &'static str)]) -> Canonical {
        let mut map = HeaderMap::new();
        for (name, value) in fields {
            map.append(*name, HeaderValue::from_static(value));
        }
        Canonical {
            method: Method::POST,
            scheme: Scheme::Https,
            host: canonical::host("api.test").expect("a host"),
            path: canonical::path("/pay", false).expect("a path"),
            fields: map,
            codings: Vec::new(),
            body: Length::Empty,
        }
    }

    #[test]
    fn r11_a_yes_is_bound_to_credentials_that_nobody_is_shown() {
        let key = HashKey::new(b"0123456789abcdef0123456789abcdef");
        let hash = |fields: &[_]| hidden_fields(&request(fields), None, &key);
        assert_eq!(&*hash(&[("accept", "*/*")]), "", "nothing is hidden");
        let one = hash(&[("x-api-key", "one")]);
        assert_eq!(one, hash(&[("accept", "*/*"), ("x-api-key", "one")]));
        for other in ["two", "one\tx"] {
            assert_ne!(one, hash(&[("x-api-key", other)]), "{other}");
        }
        assert_ne!(one, hash(&[("authorization", "one")]));
        assert!(!one.contains("one"), "the value is not in it: {one}");
    }
}
