//! From a request as it came to the one form that is judged and forwarded.

use http::header::{ACCEPT_ENCODING, AUTHORIZATION, CONTENT_ENCODING, CONTENT_LENGTH, HOST};
use http::header::{IF_MATCH, IF_NONE_MATCH, IF_RANGE, RANGE, SEC_WEBSOCKET_EXTENSIONS, UPGRADE};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use model::exchange::{Door, HIDDEN, Length, Request, Scheme, is_credential};

use crate::canonical::{self, Host, Malformed, Path};
use crate::llm;
use crate::options::{Options, Upstream};
use crate::token;

/// Encodings of bodies that can be looked into.
const READABLE: [&str; 6] = ["gzip", "x-gzip", "br", "zstd", "deflate", "identity"];

/// A request in its one form.
#[derive(Clone, Debug)]
pub struct Canonical {
    /// The method.
    pub method: Method,
    /// Of the request to the upstream.
    pub scheme: Scheme,
    /// Where it goes.
    pub host: Host,
    /// What it asks for there.
    pub path: Path,
    /// The fields that go upstream, credentials for the gateway taken out.
    pub fields: HeaderMap,
    /// What the client said of the body's encodings.
    pub codings: Vec<String>,
    /// What the client said of the body.
    pub body: Length,
}

impl Canonical {
    /// It asks for a change to WebSocket.
    #[must_use]
    pub fn changes(&self) -> bool {
        self.fields.contains_key(UPGRADE)
    }

    /// The port it goes to.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.host.port.unwrap_or(self.scheme.port())
    }

    /// The URL.
    #[must_use]
    pub fn url(&self) -> String {
        let host = self.host.authority(self.scheme.port());
        format!("{}://{host}{}", self.scheme.as_str(), self.path.target())
    }

    /// What goes upstream.
    #[must_use]
    pub fn part(&self, door: Door, version: http::Version) -> Request {
        Request {
            door,
            method: self.method.clone(),
            scheme: self.scheme,
            authority: self.host.authority(self.scheme.port()).into(),
            target: self.path.target().into(),
            version,
            fields: self.fields.clone(),
            body: self.body,
        }
    }

    /// Asks for a reply that masks can be put over: whole, and in an encoding that can be read.
    pub fn ask_for_readable(&mut self) {
        self.fields.remove(RANGE);
        self.fields.remove(IF_RANGE);
        // Tags are digests of what is hidden: a condition on one confirms a guess. Nothing that was
        // masked carries a tag, so an honest client has none.
        if [Method::GET, Method::HEAD].contains(&self.method) {
            self.fields.remove(IF_MATCH);
            self.fields.remove(IF_NONE_MATCH);
        }
        let accepted: Vec<String> = self
            .fields
            .get_all(ACCEPT_ENCODING)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .map(str::trim)
            .filter(|coding| {
                let name = coding.split(';').next().unwrap_or_default().trim();
                READABLE.iter().any(|known| known.eq_ignore_ascii_case(name))
            })
            .map(str::to_owned)
            .collect();
        let value = if accepted.is_empty() { "identity".to_owned() } else { accepted.join(", ") };
        if let Ok(value) = HeaderValue::try_from(value) {
            self.fields.insert(ACCEPT_ENCODING, value);
        }
    }
}

/// Which resource a request on the reverse face names, what its paths begin with here, and the
/// target there: `/r/NAME/…`, or the first label of the host.
#[must_use]
pub fn resource(request: &Request) -> (String, String, Box<str>) {
    if let Some(rest) = request.target.strip_prefix("/r/") {
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (name, target) = rest.split_at(end);
        let target =
            if target.starts_with('/') { target.into() } else { format!("/{target}").into() };
        return (name.to_owned(), format!("/r/{name}"), target);
    }
    let label = request.authority.split(['.', ':']).next().unwrap_or_default();
    (label.to_ascii_lowercase(), String::new(), request.target.clone())
}

/// The one form of a request, or why it has none.
///
/// # Errors
///
/// The client's fault: what it sent has two meanings, or none.
pub fn canonical(
    request: &Request,
    target: &str,
    options: &Options,
) -> Result<Canonical, Malformed> {
    canonical::check_head(request)?;
    if token::holds(target.as_bytes()) {
        return Err(Malformed {
            reason: "target_token",
            what: "the target holds a token of the gateway, which is for the gateway alone",
        });
    }
    if request.fields.contains_key(RUN)
        && (run(request).is_none() || request.fields.get_all(RUN).iter().count() > 1)
    {
        return Err(Malformed {
            reason: "field_run",
            what: "Narrows-Run is not the name of a run: up to 100 letters, digits, . _ : and -",
        });
    }
    let mut fields = request.fields.clone();
    canonical::strip_hop_by_hop(&mut fields, true);
    // Messages are judged as they are: none is compressed.
    fields.remove(SEC_WEBSOCKET_EXTENSIONS);
    fields.remove(HOST);
    let (scheme, host, path) = match &options.upstream {
        Some(upstream) => reverse(request, target, options, upstream)?,
        None => forward(request, target, options)?,
    };
    remove_credentials(&mut fields, options);
    if request.body == Length::Empty && request.method == Method::GET {
        fields.remove(CONTENT_LENGTH);
    }
    let codings = request.fields.get_all(CONTENT_ENCODING).iter();
    let codings = codings.map(|value| value.to_str().unwrap_or("?").to_owned()).collect();
    let (method, body) = (request.method.clone(), request.body);
    Ok(Canonical { method, scheme, host, path, fields, codings, body })
}

/// The field that says which run of the token's a request belongs to. For the gateway alone.
pub const RUN: HeaderName = HeaderName::from_static("narrows-run");

/// The run that a request names, or its tunnel.
pub fn run(request: &Request) -> Option<&str> {
    let of_tunnel = match &request.door {
        Door::Tunnel(tunnel) => tunnel.fields.get(RUN),
        _ => None,
    };
    let named = request.fields.get(RUN).or(of_tunnel)?;
    named.to_str().ok().filter(|name| model::is_run_name(name))
}

/// Takes out what was meant for the gateway: to a proxy its tokens, in front of an API all of it.
pub fn remove_credentials(fields: &mut HeaderMap, options: &Options) {
    if options.upstream.is_some() {
        fields.remove(AUTHORIZATION);
    }
    token::remove(fields);
    fields.remove(RUN);
}

fn reverse(
    request: &Request,
    target: &str,
    options: &Options,
    upstream: &Upstream,
) -> Result<(Scheme, Host, Path), Malformed> {
    refuse_methods(request)?;
    let path = canonical::path(target, options.normalise)?;
    if options.model && !llm::is_passed(&path.path, &options.paths) {
        return Err(Malformed {
            reason: "unknown_path",
            what: "this path of a model endpoint is not one that the gateway passes on",
        });
    }
    let whole = format!("{}{}", upstream.base, path.path);
    let path = Path { path: whole.into(), query: path.query };
    let host = canonical::host(&upstream.authority)?;
    Ok((upstream.scheme, host, path))
}

fn forward(
    request: &Request,
    target: &str,
    options: &Options,
) -> Result<(Scheme, Host, Path), Malformed> {
    refuse_methods(request)?;
    let written = &request.authority;
    let host = canonical::host(written)?;
    if !options.normalise && !canonical::is_canonical_host(written, &host, request.scheme.port()) {
        return Err(Malformed {
            reason: "host_form",
            what: "the host is written in a form that is not its own; write its plain form",
        });
    }
    if let Door::Tunnel(tunnel) = &request.door {
        agrees(&tunnel.target, tunnel.server_name.as_deref(), &host, request.scheme)?;
    }
    let path = canonical::path(target, options.normalise)?;
    Ok((request.scheme, host, path))
}

/// The target of the tunnel, the name in the TLS hello and the host of the request are one.
fn agrees(
    target: &str,
    server_name: Option<&str>,
    host: &Host,
    scheme: Scheme,
) -> Result<(), Malformed> {
    let differs = Malformed {
        reason: "host_mismatch",
        what: "the tunnel's target, the TLS server name and the request's host are not the same",
    };
    let opened = canonical::host(target)?;
    let port = |host: &Host| host.port.unwrap_or(scheme.port());
    let named = match (server_name, host.ip) {
        (Some(name), None) => canonical::host(name).is_ok_and(|named| named.name == host.name),
        // Addresses are not named in a hello, RFC 6066.
        (Some(_), Some(_)) => false,
        (None, Some(_)) => true,
        (None, None) => scheme == Scheme::Http,
    };
    if opened.name == host.name && port(&opened) == port(host) && named {
        Ok(())
    } else {
        Err(differs)
    }
}

/// Where a tunnel is to lead: the host and its port.
///
/// # Errors
///
/// The client's fault: the request has two meanings, or none.
pub fn tunnel(request: &Request) -> Result<(Host, u16), Malformed> {
    let host = canonical::host(&request.authority)?;
    if matches!(request.door, Door::Redirected(_)) && host.ip.is_some() {
        return Err(Malformed {
            reason: "tls_name",
            what: "the TLS hello names no server, and an address alone is not trusted",
        });
    }
    let plain = |port| canonical::is_canonical_host(&request.authority, &host, port);
    match host.port {
        Some(port) if plain(port) => Ok((host, port)),
        _ => Err(Malformed {
            reason: "host_form",
            what: "the tunnel's target is not the plain form of a host and a port",
        }),
    }
}

fn refuse_methods(request: &Request) -> Result<(), Malformed> {
    let refused = |reason, what| Err(Malformed { reason, what });
    if request.method == Method::TRACE {
        return refused("method", "TRACE shows what the gateway sends, so it is not passed on");
    }
    if request.method == Method::CONNECT {
        return refused("method", "a tunnel cannot be asked for here");
    }
    let upgrade = request.fields.get(UPGRADE);
    if upgrade.is_some_and(|to| !to.as_bytes().eq_ignore_ascii_case(b"websocket")) {
        return refused("upgrade", "changing to another protocol than websocket is not passed on");
    }
    if upgrade.is_some()
        && !(request.method == Method::GET
            && request.version == http::Version::HTTP_11
            && request.body == Length::Empty)
    {
        return refused("upgrade", "a change to websocket is asked for with GET, and has no body");
    }
    if &*request.target == "*" {
        return refused("target", "a request for the server itself (*) is not passed on");
    }
    Ok(())
}

/// The head as an approver and the record see it, without credentials.
pub fn told(fields: &HeaderMap) -> Vec<(String, String)> {
    let each = |(name, value): (&HeaderName, &HeaderValue)| {
        let value = if is_hidden(name, value) {
            HIDDEN.to_owned()
        } else {
            String::from_utf8_lossy(value.as_bytes()).into_owned()
        };
        (name.as_str().to_owned(), value)
    };
    fields.iter().map(each).collect()
}

/// Whether a field carries a credential, by its name or its value.
pub fn is_hidden(name: &HeaderName, value: &HeaderValue) -> bool {
    is_credential(name.as_str()) || token::holds(value.as_bytes())
}
