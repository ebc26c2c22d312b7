//! The facts that rules see of a request, and their values.

use std::sync::Arc;

use http::HeaderMap;
use http::header::{AUTHORIZATION, COOKIE, PROXY_AUTHORIZATION};
use model::exchange::Scheme;
use model::fact::{FactDecl, FactType, Phase, Value};

use crate::canonical::{self, Host, Path, Storage};
use crate::request::Canonical;

const fn decl(name: &'static str, kind: FactType, about: &'static str) -> FactDecl {
    FactDecl { name, kind, phase: Phase::Request, about, carries: false }
}

/// Positions in [`FACTS`] of what is known only with the body, or not always in a record.
pub mod at {
    /// `http.headers`.
    pub const HEADERS: u16 = 6;
    /// `http.content_type`.
    pub const CONTENT_TYPE: u16 = 7;
    /// `http.body_bytes`.
    pub const BODY_BYTES: u16 = 8;
    /// `http.detections`.
    pub const DETECTIONS: u16 = 9;
    /// `http.upgrade`.
    pub const UPGRADE: u16 = 12;
    /// `llm.model`.
    pub const MODEL: u16 = 13;
    /// `llm.tools`.
    pub const TOOLS: u16 = 14;
    /// `http.carries`.
    pub const CARRIES: u16 = 15;
}

/// What rules see, in the order of their values.
pub static FACTS: &[FactDecl] = &[
    decl("http.method", FactType::Text, "the method, as sent"),
    decl("http.scheme", FactType::Text, "http or https, of the request to the upstream"),
    decl("http.host", FactType::Text, "the host it goes to, lower case, without port"),
    decl("http.port", FactType::Int, "the port it goes to"),
    decl("http.path", FactType::Text, "the path at the host, in its one form"),
    decl("http.query", FactType::TextMap, "query parameters, decoded; repeats joined by commas"),
    decl("http.headers", FactType::TextMap, "fields by lower-case name, without credentials"),
    decl("http.content_type", FactType::Text, "media type of the body, lower case"),
    decl("http.body_bytes", FactType::Int, "length of the body, as sent"),
    decl(
        "http.detections",
        FactType::TextList,
        "types of sensitive values in address, fields and body, decoded up to three times",
    ),
    decl("http.bucket", FactType::Text, "the storage bucket or container it names, or empty"),
    decl("http.account", FactType::Text, "the storage account it names, or empty"),
    decl("http.upgrade", FactType::Text, "the protocol it wants to change to, or empty"),
    decl("llm.model", FactType::Text, "the model a request names, or empty"),
    decl("llm.tools", FactType::TextList, "tools a request gives the model: function names, types"),
    FactDecl {
        carries: true,
        ..decl(
            "http.carries",
            FactType::TextList,
            "where values came from that the request repeats: resource:schema.table.column",
        )
    },
    decl(
        "http.unopened",
        FactType::Bool,
        "a tunnel passed on unopened (passthrough): its host and port are all that is known",
    ),
];

/// A model, and tools.
pub type Named = (Arc<str>, Vec<Arc<str>>);

/// What the body says; of a request whose body no rule reads, nothing.
#[derive(Clone, Default)]
pub struct OfBody {
    /// Its length.
    pub bytes: Option<u64>,
    /// Types of sensitive values in the request, or why they cannot be told.
    pub detections: Option<Result<Vec<Arc<str>>, &'static str>>,
    /// Model and tools, or why they cannot be told.
    pub model: Option<Result<Named, &'static str>>,
    /// Sources of values that the request repeats, or why they cannot be told.
    pub carries: Option<Result<Vec<Arc<str>>, &'static str>>,
}

impl OfBody {
    /// With what was found in another piece of it. What could not be told of one cannot be told of
    /// both; what no rule asked about was not looked for.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        type Found = Option<Result<Vec<Arc<str>>, &'static str>>;
        let both = |one: Found, other: Found| match (one, other) {
            (Some(Ok(mut found)), Some(Ok(more))) => {
                found.extend(more);
                found.sort_unstable();
                found.dedup();
                Some(Ok(found))
            }
            (Some(Err(why)), _) | (_, Some(Err(why))) => Some(Err(why)),
            (found, None) | (None, found) => found,
        };
        Self {
            detections: both(self.detections, other.detections),
            carries: both(self.carries, other.carries),
            ..self
        }
    }
}

/// The values, in the order of [`FACTS`].
pub fn values(request: &Canonical, storage: Option<&Storage>, body: OfBody) -> Arc<[Value]> {
    let unknown = Value::Failed("the body was not read");
    let text = |text: &Option<Arc<str>>| Value::Text(text.clone().unwrap_or_else(|| "".into()));
    let query = request.path.query.as_deref().map(canonical::query_pairs).unwrap_or_default();
    let pairs = query.into_iter().map(|(name, value)| (Arc::from(name), value));
    let upgrade = request.fields.get(http::header::UPGRADE).and_then(|value| value.to_str().ok());
    let (model, tools) = match body.model {
        Some(Ok((model, tools))) => (Value::Text(model), Value::TextList(tools.into())),
        Some(Err(why)) => (Value::Failed(why), Value::Failed(why)),
        None => (unknown.clone(), unknown.clone()),
    };
    Arc::from([
        Value::Text(request.method.as_str().into()),
        Value::Text(request.scheme.as_str().into()),
        Value::Text(Arc::clone(&request.host.name)),
        Value::Int(request.port().into()),
        Value::Text(Arc::clone(&request.path.path)),
        Value::TextMap(joined(pairs, ",")),
        Value::TextMap(joined(fields(&request.fields), ", ")),
        Value::Text(media_type(&request.fields).into()),
        body.bytes.map_or_else(
            || unknown.clone(),
            |bytes| Value::Int(i64::try_from(bytes).unwrap_or(i64::MAX)),
        ),
        match body.detections {
            Some(Ok(found)) => Value::TextList(found.into()),
            Some(Err(why)) => Value::Failed(why),
            None => unknown.clone(),
        },
        text(&storage.and_then(|storage| storage.bucket.clone())),
        text(&storage.and_then(|storage| storage.account.clone())),
        Value::Text(upgrade.unwrap_or_default().to_ascii_lowercase().into()),
        model,
        tools,
        match body.carries {
            Some(Ok(sources)) => Value::TextList(sources.into()),
            Some(Err(why)) => Value::Failed(why),
            None => unknown,
        },
        Value::Bool(false),
    ])
}

/// The values for a tunnel that is passed on unopened: what is inside it is not known, so a rule
/// that needs it refuses.
pub fn unopened(host: &Host, port: u16) -> Arc<[Value]> {
    let unknown = || Value::Failed("the tunnel is passed on unopened");
    let nowhere = Path { path: "/".into(), query: None };
    // A storage service's name may be all that says which bucket, or may leave it to the path.
    let (bucket, account) = match canonical::storage(host, &nowhere, &HeaderMap::new()) {
        None => (Value::Text("".into()), Value::Text("".into())),
        Some(Storage { bucket: None, .. }) => (unknown(), unknown()),
        Some(Storage { bucket: Some(bucket), account, .. }) => {
            (Value::Text(bucket), Value::Text(account.unwrap_or_else(|| "".into())))
        }
    };
    Arc::from([
        Value::Text("CONNECT".into()),
        Value::Text(Scheme::Https.as_str().into()),
        Value::Text(Arc::clone(&host.name)),
        Value::Int(port.into()),
        unknown(),
        unknown(),
        unknown(),
        unknown(),
        unknown(),
        unknown(),
        bucket,
        account,
        unknown(),
        unknown(),
        unknown(),
        unknown(),
        Value::Bool(true),
    ])
}

/// The media type of a body, lower case, without parameters; empty when none is given.
pub fn media_type(fields: &HeaderMap) -> String {
    let written = fields.get(http::header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let essence = written.unwrap_or_default().split(';').next().unwrap_or_default();
    essence.trim().to_ascii_lowercase()
}

fn fields(fields: &HeaderMap) -> impl Iterator<Item = (Arc<str>, String)> {
    let secret = [AUTHORIZATION, COOKIE, PROXY_AUTHORIZATION];
    fields.iter().filter(move |(name, _)| !secret.contains(name)).map(|(name, value)| {
        (Arc::from(name.as_str()), String::from_utf8_lossy(value.as_bytes()).into_owned())
    })
}

/// Names are unique in a map of texts: what is repeated is joined.
fn joined(
    pairs: impl Iterator<Item = (Arc<str>, String)>,
    between: &str,
) -> Arc<[(Arc<str>, Arc<str>)]> {
    let mut map: Vec<(Arc<str>, String)> = Vec::new();
    for (name, value) in pairs {
        match map.iter_mut().find(|(known, _)| *known == name) {
            Some((_, all)) => {
                all.push_str(between);
                all.push_str(&value);
            }
            None => map.push((name, value)),
        }
    }
    map.into_iter().map(|(name, value)| (name, value.into())).collect()
}
