//! What the configuration says about a resource that is reached by HTTP.

use std::sync::Arc;

use model::exchange::Scheme;

/// Longest body that is held to be judged (`http.inspect_max`), bytes.
const INSPECT_BYTES_MAX: u64 = 8 * 1024 * 1024;

/// A resource's settings, as this protocol reads them.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where requests go; `None` as a proxy, which goes where they say.
    pub upstream: Option<Upstream>,
    /// Forms with one meaning are rewritten into it instead of refused (R15).
    pub normalise: bool,
    /// What becomes of bodies that cannot be searched.
    pub opaque: Opaque,
    /// Longest body that is held to be judged, bytes.
    pub inspect_max: u64,
    /// It is a model endpoint: only its known paths pass.
    pub model: bool,
}

/// Where a reverse resource is.
#[derive(Clone, Debug)]
pub struct Upstream {
    /// `http` or `https`.
    pub scheme: Scheme,
    /// Host and, where it is not the scheme's own, port.
    pub authority: Arc<str>,
    /// What paths begin with there, without a slash at the end.
    pub base: Arc<str>,
}

/// What becomes of a body that masks should look into and cannot (`opaque`).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Opaque {
    /// It passes.
    Allow,
    /// It does not.
    Block,
    /// It passes up to so many bytes.
    AtMost(u64),
}

impl Options {
    /// Of the resource's table. What is not there has its default; the configuration was checked
    /// when it was loaded.
    #[must_use]
    pub fn read(table: &serde_json::Value) -> Self {
        let text = |key: &str| table.get(key).and_then(serde_json::Value::as_str);
        let flag = |key: &str| table.get(key).and_then(serde_json::Value::as_bool) == Some(true);
        let number = |key: &str| table.get(key).and_then(serde_json::Value::as_u64);
        let upstream = text("authority").map(|authority| Upstream {
            scheme: if text("scheme") == Some("http") { Scheme::Http } else { Scheme::Https },
            authority: authority.into(),
            base: text("base").unwrap_or_default().into(),
        });
        let opaque = match (text("opaque"), number("opaque")) {
            (Some("block"), _) => Opaque::Block,
            (_, Some(bytes)) => Opaque::AtMost(bytes),
            _ => Opaque::Allow,
        };
        Self {
            upstream,
            normalise: flag("normalise"),
            opaque,
            inspect_max: number("inspect_max").unwrap_or(INSPECT_BYTES_MAX),
            model: flag("model"),
        }
    }
}
