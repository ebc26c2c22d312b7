//! What the configuration says about a resource that is reached by HTTP.

use std::sync::Arc;

use model::exchange::Scheme;
use model::limit::INSPECTED_BODY_BYTES_MAX;

use crate::canonical::{self, Host};
use crate::llm;

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
    /// A longer one is judged in parts while it leaves, where that is possible (R15).
    pub stream_inspect: bool,
    /// It is a model endpoint: only its known paths pass.
    pub model: bool,
    /// Paths of a model endpoint that pass besides, as [`llm::listed`] gives them.
    pub paths: Vec<Arc<str>>,
    /// Hosts to which tunnels are passed on unopened.
    pub passthrough: Vec<HostPattern>,
}

/// A host, or with `*.` before it every host below.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct HostPattern {
    name: Arc<str>,
    below: bool,
}

impl HostPattern {
    /// Reads a pattern.
    ///
    /// # Errors
    ///
    /// It is no name of hosts, in words.
    pub fn read(text: &str) -> Result<Self, &'static str> {
        let (name, below) = match text.strip_prefix("*.") {
            Some(name) => (name, true),
            None => (text, false),
        };
        let host = canonical::host(name).map_err(|malformed| malformed.what)?;
        if host.ip.is_some() {
            return Err("the hello of TLS names no addresses, so only a name can be agreed on");
        }
        if host.port.is_some() || !canonical::is_canonical_host(name, &host, 0) {
            return Err("it is not the plain form of a host, without a port");
        }
        Ok(Self { name: host.name, below })
    }

    /// Whether it is one of these hosts.
    #[must_use]
    pub fn matches(&self, host: &Host) -> bool {
        if host.ip.is_some() {
            return false;
        }
        if !self.below {
            return host.name == self.name;
        }
        let before = host.name.strip_suffix(&*self.name);
        before.is_some_and(|before| before.len() > 1 && before.ends_with('.'))
    }
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

impl Opaque {
    /// Whether so many bytes of it pass.
    #[must_use]
    pub fn admits(self, bytes: u64) -> bool {
        match self {
            Self::Allow => true,
            Self::Block => bytes == 0,
            Self::AtMost(most) => bytes <= most,
        }
    }
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
        let texts = |key: &str| {
            let listed = table.get(key).and_then(serde_json::Value::as_array);
            listed.into_iter().flatten().filter_map(serde_json::Value::as_str)
        };
        let passthrough = texts("passthrough").filter_map(|text| HostPattern::read(text).ok());
        Self {
            upstream,
            normalise: flag("normalise"),
            opaque,
            inspect_max: number("inspect_max").unwrap_or(INSPECTED_BODY_BYTES_MAX as u64),
            stream_inspect: flag("stream_inspect"),
            model: flag("model"),
            paths: texts("paths").filter_map(|text| llm::listed(text).ok()).collect(),
            passthrough: passthrough.collect(),
        }
    }

    /// Whether tunnels to it are passed on unopened.
    #[must_use]
    pub fn passes_on(&self, host: &Host) -> bool {
        self.passthrough.iter().any(|pattern| pattern.matches(host))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_is_a_host_or_all_below_one_and_never_an_address() {
        let matches = |pattern: &str, host: &str| {
            let host = canonical::host(host).expect("a host");
            HostPattern::read(pattern).expect("a pattern").matches(&host)
        };
        assert!(matches("a.test", "A.test:443") && matches("A.test", "a.test"));
        assert!(!matches("a.test", "b.a.test") && !matches("a.test", "xa.test"));
        assert!(matches("*.a.test", "b.a.test") && matches("*.a.test", "c.b.a.test"));
        assert!(!matches("*.a.test", "a.test") && !matches("*.a.test", "xa.test"));
        for wrong in ["", "*", "a.*", "*.", "1.2.3.4", "0x7f.1", "[::1]", "a.test:443", "a.test."] {
            assert!(HostPattern::read(wrong).is_err(), "{wrong}");
        }
    }
}
