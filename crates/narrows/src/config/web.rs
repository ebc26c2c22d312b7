//! Resources that are spoken to in HTTP: what can be written, and what becomes of it.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use model::limit::BODY_PART_BYTES;
use model::{Resource, UpstreamTls};
use policy::{ActionSpec, Location, RuleSpec};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use url::Url;

use super::access::Request;
use super::machine::Machine;
use super::read::{At, Form, Named, Report, form};
use super::recording::{Recorded, Recording};
use super::scalar::{FileForm, SecretForm, Size, TlsForm};
use super::text::ResourceRecording;
use super::tree::{Node, Value, quoted};
use super::working::{check_file, relative_secret};
use crate::protocols;

form! {
    /// An HTTP API, reached below `/r/NAME/` of the `http` listener. `type: openai` is a model
    /// endpoint.
    pub struct HttpResource {
        /// `http` or `openai`
        #[schemars(required)]
        "type" => kind: At<String>,
        /// Where it is: `https://api.example/v1`.
        #[schemars(required)]
        "url" => url: At<String>,
        /// Fields set on every request: the credential that clients never see.
        "headers" => headers: Named<At<SecretForm>>,
        /// Paths of a model endpoint that pass besides those that ask a model, each with all that
        /// is below it: `/v1/conversations`. Only with `type: openai`; an API has no such limit.
        "paths" => paths: At<Vec<At<String>>>,
        /// How the connection is protected. Default: verify-full.
        "tls" => tls: At<TlsForm>,
        /// Certificates to trust besides the system's, PEM.
        "ca" => ca: At<FileForm>,
        /// How requests and bodies are read.
        "http" => http: Reading,
        /// What its recording does on failure; default: what `recording` says.
        "recording" => recording: ResourceRecording,
        /// Access can be asked for, for a time. Default: it cannot.
        "request" => request: Request,
    }
}

form! {
    /// The way out to other hosts, through the `egress` listener as a proxy.
    pub struct EgressResource {
        /// `egress`
        #[schemars(required)]
        "type" => kind: At<String>,
        /// Names that are not looked up: host to address and port. They may be dialled whatever
        /// they are.
        "hosts" => hosts: Named<At<String>>,
        /// Fields set on every request that goes to a host over TLS: the credential that clients
        /// never see, and no other passes: `{ api.openai.com: { Authorization: {env: AUTH} } }`.
        "credentials" => credentials: Named<Named<At<SecretForm>>>,
        /// Addresses that may be dialled although they are private, loopback or link-local:
        /// `10.0.0.0/8`.
        "networks" => networks: Vec<At<String>>,
        /// Hosts to which tunnels are passed on unopened: `api.pinned.example`, or `*.example` for
        /// all below it. Only their host and port are judged; whoever has masks here is refused
        /// them.
        "passthrough" => passthrough: At<Vec<At<String>>>,
        /// Certificates to trust besides the system's, PEM.
        "ca" => ca: At<FileForm>,
        /// How requests and bodies are read.
        "http" => http: Reading,
        /// What its recording does on failure; default: what `recording` says.
        "recording" => recording: ResourceRecording,
        /// Access can be asked for, for a time. Default: it cannot.
        "request" => request: Request,
    }
}

form! {
    /// How requests and bodies are read.
    pub struct Reading {
        /// What becomes of replies that masks should look into and cannot: `allow` (default),
        /// `block`, or a size up to which they pass.
        "opaque" => opaque: At<OpaqueForm>,
        /// Longest body that is held to be judged. Default: 8MiB.
        "inspect_max" => inspect_max: At<Size>,
        /// Longer ones are judged in parts while they leave, instead of refused; what left before
        /// a part that is refused has left. Default: false.
        "stream_inspect" => stream_inspect: At<bool>,
        /// Paths and hosts that can be written in several ways are rewritten into one instead of
        /// refused. Default: false.
        "normalise" => normalise: At<bool>,
    }
}

/// See `http.opaque`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum OpaqueForm {
    /// They pass.
    Allow,
    /// They do not.
    Block,
    /// They pass up to so many bytes.
    AtMost(u64),
}

impl Form for OpaqueForm {
    fn read(node: &Node, what: &str, report: &mut Report) -> Option<Self> {
        match &node.value {
            Value::Text(text) if text == "allow" => Some(Self::Allow),
            Value::Text(text) if text == "block" => Some(Self::Block),
            Value::Text(text) if text.starts_with(|c: char| c.is_ascii_digit()) => {
                Size::read(node, what, report).map(|size| Self::AtMost(size.0))
            }
            Value::Int(_) => Size::read(node, what, report).map(|size| Self::AtMost(size.0)),
            _ => {
                report.expected(node, what, "write allow, block or a size (10MiB)");
                None
            }
        }
    }
}

impl JsonSchema for OpaqueForm {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Opaque".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let size = generator.subschema_for::<Size>();
        json_schema!({ "anyOf": [{ "enum": ["allow", "block"] }, size] })
    }
}

/// A registered upstream that is spoken to in HTTP.
#[derive(Clone, Debug)]
pub struct Site {
    /// Name and type.
    pub resource: Resource,
    /// Where it is; `None` for the way out to other hosts.
    pub url: Option<Url>,
    /// Fields set on every request.
    pub headers: Vec<(String, SecretForm)>,
    /// Fields set on every request that goes to a host, by its name.
    pub credentials: Vec<(String, Vec<(String, SecretForm)>)>,
    /// How connections are protected.
    pub tls: UpstreamTls,
    /// More certificates to trust.
    pub ca: Option<PathBuf>,
    /// Names that are not looked up.
    pub hosts: Vec<(String, SocketAddr)>,
    /// Addresses that may be dialled although they are not public.
    pub networks: Vec<(IpAddr, u8)>,
    /// Where it is said which tunnels are passed on unopened, if any are.
    pub passthrough: Option<Location>,
    /// What happens when the record cannot be written.
    pub recorded: Recorded,
    /// Settings that the protocol reads itself.
    pub options: serde_json::Value,
}

impl Site {
    /// Where it is, for people.
    #[must_use]
    pub fn address(&self) -> String {
        self.url.as_ref().map_or_else(|| "(any host)".to_owned(), ToString::to_string)
    }

    /// Every secret that it needs.
    pub fn secrets(&self) -> impl Iterator<Item = &SecretForm> {
        let of_hosts = self.credentials.iter().flat_map(|(_, fields)| fields);
        self.headers.iter().chain(of_hosts).map(|(_, secret)| secret)
    }
}

/// Where what is written stands, and what it is relative to.
pub struct Beside<'a> {
    /// The recording's settings.
    pub recording: &'a Recording,
    /// The folder of the file.
    pub base: &'a Path,
    /// The machine.
    pub machine: &'a dyn Machine,
}

/// Completes an API.
pub fn http(
    name: &At<String>,
    form: HttpResource,
    beside: &Beside<'_>,
    report: &mut Report,
) -> Option<Site> {
    let what = format!("resources.{}", name.value);
    if form.url.is_none() && !form.here.has("url") {
        let help = "write url: \"https://api.example\"";
        report.problem(&form.here.at, format!("{what} has no url"), help);
    }
    let kind = form.kind.map(|kind| kind.value)?;
    let url = url(&what, &form.url?, report)?;
    let streams = form.http.as_ref().and_then(|http| http.stream_inspect.as_ref());
    if let Some(streams) = streams.filter(|streams| streams.value && kind == "openai") {
        let message =
            format!("{what}.http.stream_inspect: what a model is told is read as a whole");
        report.problem(&streams.at, message, "remove it, or raise http.inspect_max");
    }
    let mut options = reading(&what, form.http, report);
    options.insert("scheme".to_owned(), url.scheme().into());
    options.insert("authority".to_owned(), authority(&url).into());
    options.insert("base".to_owned(), url.path().trim_end_matches('/').into());
    options.insert("model".to_owned(), (kind == "openai").into());
    if let Some(paths) = form.paths {
        options.insert("paths".to_owned(), listed(&what, &kind, paths, report));
    }
    let tls = match form.tls.map(|tls| tls.value) {
        None | Some(TlsForm::VerifyFull) => UpstreamTls::VerifyFull,
        Some(TlsForm::Require) => UpstreamTls::Require,
        Some(TlsForm::Off) => UpstreamTls::Off,
    };
    let headers = set(&format!("{what}.headers"), form.headers, beside, report);
    Some(Site {
        resource: Resource { name: name.value.as_str().into(), kind: Arc::from(kind) },
        url: Some(url),
        headers,
        credentials: Vec::new(),
        tls,
        ca: form.ca.map(|ca| file(&what, ca, beside, report)),
        hosts: Vec::new(),
        networks: Vec::new(),
        passthrough: None,
        recorded: Recorded::of(form.recording, beside.recording),
        options: serde_json::Value::Object(options),
    })
}

/// The paths of a model endpoint that pass besides.
fn listed(
    what: &str,
    kind: &str,
    paths: At<Vec<At<String>>>,
    report: &mut Report,
) -> serde_json::Value {
    if kind != "openai" {
        let message = format!("{what}.paths: a resource of type: {kind} passes every path");
        report.problem(&paths.at, message, "remove it, or refuse others by a rule on http.path");
        return serde_json::Value::Null;
    }
    let read = paths.value.into_iter().filter_map(|path| {
        if let Err(why) = protocols::listed_path(&path.value) {
            let message = format!("{what}.paths: {}: {why}", quoted(&path.value));
            report.problem(&path.at, message, "write a path like /v1/conversations");
            return None;
        }
        Some(path.value)
    });
    read.collect()
}

/// Completes a way out.
pub fn egress(
    name: &At<String>,
    form: EgressResource,
    beside: &Beside<'_>,
    report: &mut Report,
) -> Option<Site> {
    let what = format!("resources.{}", name.value);
    let kind = form.kind.map(|kind| kind.value)?;
    let mut hosts = Vec::new();
    for (host, address) in form.hosts.map(|hosts| hosts.0).unwrap_or_default() {
        match address.value.parse() {
            Ok(address) => hosts.push((host.value.to_ascii_lowercase(), address)),
            Err(_) => {
                let message =
                    format!("{what}.hosts.{}: found {}", host.value, quoted(&address.value));
                report.problem(&address.at, message, "write an address and a port: 10.0.0.5:443");
            }
        }
    }
    let mut credentials = Vec::new();
    for (host, fields) in form.credentials.map(|named| named.0).unwrap_or_default() {
        let what = format!("{what}.credentials.{}", host.value);
        if !host_name(&host.value) {
            let message = format!("{what}: {} is not the name of a host", quoted(&host.value));
            report.problem(&host.at, message, "write a name like api.openai.com");
        }
        let fields = set(&what, Some(fields), beside, report);
        credentials.push((host.value.to_ascii_lowercase(), fields));
    }
    let mut networks = Vec::new();
    for network in form.networks.unwrap_or_default() {
        match self::network(&network.value) {
            Some(network) => networks.push(network),
            None => {
                let message = format!("{what}.networks: found {}", quoted(&network.value));
                report.problem(&network.at, message, "write a network: 10.0.0.0/8");
            }
        }
    }
    let mut options = reading(&what, form.http, report);
    let passthrough = form.passthrough.filter(|listed| !listed.value.is_empty()).map(|listed| {
        let patterns =
            listed.value.into_iter().filter_map(|pattern| passed_on(&what, pattern, report));
        options.insert("passthrough".to_owned(), patterns.collect());
        listed.at
    });
    Some(Site {
        resource: Resource { name: name.value.as_str().into(), kind: Arc::from(kind) },
        url: None,
        headers: Vec::new(),
        credentials,
        tls: UpstreamTls::VerifyFull,
        ca: form.ca.map(|ca| file(&what, ca, beside, report)),
        hosts,
        networks,
        passthrough,
        recorded: Recorded::of(form.recording, beside.recording),
        options: serde_json::Value::Object(options),
    })
}

fn passed_on(what: &str, pattern: At<String>, report: &mut Report) -> Option<String> {
    match protocols::host_pattern(&pattern.value) {
        Ok(()) => Some(pattern.value),
        Err(why) => {
            let message = format!("{what}.passthrough: {}: {why}", quoted(&pattern.value));
            report.problem(
                &pattern.at,
                message,
                "write a host (api.example) or all below (*.example)",
            );
            None
        }
    }
}

/// Facts of a tunnel that is passed on unopened.
const KNOWN_UNOPENED: [&str; 7] = [
    "http.unopened",
    "http.method",
    "http.scheme",
    "http.host",
    "http.port",
    "http.bucket",
    "http.account",
];

/// Says which rules tunnels that are passed on unopened get around, or are refused by.
pub fn warn_of_rules(site: &Site, rules: &[RuleSpec], report: &mut Report) {
    let Some(at) = &site.passthrough else { return };
    let concerns = |on: &str| {
        let kind = on.strip_prefix("type:");
        on == &*site.resource.name || kind == Some(&*site.resource.kind) || on.contains('*')
    };
    let here = |rule: &&RuleSpec| {
        !rule.observe && (rule.on.is_empty() || rule.on.iter().any(|on| concerns(&on.value)))
    };
    let when =
        |rule: &RuleSpec| rule.when.as_ref().map_or(String::new(), |when| when.value.clone());
    let is_mask = |rule: &&RuleSpec| matches!(rule.action, ActionSpec::Mask(_));
    let is_blind = |rule: &&RuleSpec| {
        let when = when(rule);
        !is_mask(rule) && when.contains("http.method") && !when.contains("http.unopened")
    };
    let needs_more = |rule: &&RuleSpec| {
        let when = when(rule);
        !is_mask(rule) && !when.contains("http.unopened") && reads_what_is_inside(&when)
    };
    let what = format!("resources.{}.passthrough", site.resource.name);
    let mut warn = |found: &dyn Fn(&&RuleSpec) -> bool, words: &str, help: &str| {
        let names: Vec<&str> =
            rules.iter().filter(here).filter(found).map(|rule| &*rule.name.value).collect();
        if !names.is_empty() {
            report.warn(at, format!("{what}: {words}: {}", names.join(", ")), help);
        }
    };
    warn(
        &is_mask,
        "what passes unopened cannot be masked, so it is refused to whoever these masks concern",
        "limit the masks (for:, on:), or remove the hosts",
    );
    warn(
        &is_blind,
        "these rules see CONNECT, and not the methods of the requests inside",
        "judge the host as well (http.unopened tells such tunnels)",
    );
    warn(
        &needs_more,
        "these rules read what is not known of such a tunnel, and refuse it wherever that decides",
        "begin them with !http.unopened && (…) to let it pass by its host",
    );
}

/// Whether a condition names a fact that a tunnel which is not opened has not.
fn reads_what_is_inside(when: &str) -> bool {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '.';
    when.split(|c| !word(c)).any(|name| {
        let inside = ["http.", "llm.", "result."].iter().any(|begins| name.starts_with(begins));
        inside && !KNOWN_UNOPENED.contains(&name)
    })
}

/// Fields that say how a message is carried, which is the gateway's to say.
const FRAMING: [&str; 9] = [
    "host",
    "content-length",
    "transfer-encoding",
    "connection",
    "upgrade",
    "te",
    "trailer",
    "expect",
    "narrows-run",
];

/// Fields and the secrets that they are set to.
fn set(
    what: &str,
    form: Option<Named<At<SecretForm>>>,
    beside: &Beside<'_>,
    report: &mut Report,
) -> Vec<(String, SecretForm)> {
    let fields = form.map(|fields| fields.0).unwrap_or_default();
    let fields = fields.into_iter().filter_map(|(field, secret)| {
        if FRAMING.iter().any(|name| field.value.eq_ignore_ascii_case(name)) {
            let message =
                format!("{what}: {} is no credential: the gateway sets it", quoted(&field.value));
            report.problem(&field.at, message, "write a name like Authorization");
            return None;
        }
        if http_name(&field.value) {
            return Some((field.value, relative_secret(secret.value, beside.base)));
        }
        let message = format!("{what}: {} is not the name of a field", quoted(&field.value));
        report.problem(&field.at, message, "write a name like Authorization");
        None
    });
    fields.collect()
}

fn reading(
    what: &str,
    form: Option<Reading>,
    report: &mut Report,
) -> serde_json::Map<String, serde_json::Value> {
    let mut options = serde_json::Map::new();
    let Some(form) = form else { return options };
    match form.opaque.map(|opaque| opaque.value) {
        Some(OpaqueForm::Block) => options.insert("opaque".to_owned(), "block".into()),
        Some(OpaqueForm::AtMost(bytes)) => options.insert("opaque".to_owned(), bytes.into()),
        Some(OpaqueForm::Allow) | None => None,
    };
    if let Some(most) = &form.inspect_max {
        options.insert("inspect_max".to_owned(), most.value.0.into());
    }
    if let Some(streams) = form.stream_inspect.filter(|streams| streams.value) {
        if form.inspect_max.as_ref().is_some_and(|most| most.value.0 < BODY_PART_BYTES as u64) {
            let message = format!(
                "{what}.http.stream_inspect: http.inspect_max is less than 256KiB, which are \
                 judged at once"
            );
            report.problem(&streams.at, message, "write at least inspect_max: 256KiB");
        }
        options.insert("stream_inspect".to_owned(), true.into());
    }
    if form.normalise.is_some_and(|normalise| normalise.value) {
        options.insert("normalise".to_owned(), true.into());
    }
    options
}

fn file(what: &str, ca: At<FileForm>, beside: &Beside<'_>, report: &mut Report) -> PathBuf {
    let path = beside.base.join(ca.value.0);
    check_file(beside.machine, &path, &format!("{what}.ca"), &ca.at, report);
    path
}

fn url(what: &str, written: &At<String>, report: &mut Report) -> Option<Url> {
    let help = "write https://HOST[:PORT][/PATH]";
    let wrong = match Url::parse(&written.value) {
        Ok(url) if !["http", "https"].contains(&url.scheme()) => "is not a URL of http or https",
        Ok(url) if url.host_str().is_none() => "names no host",
        Ok(url) if !url.username().is_empty() || url.password().is_some() => {
            let message = format!("{what}.url holds a name or a password");
            report.problem(&written.at, message, "put the credential into headers");
            return None;
        }
        Ok(url) if url.query().is_some() || url.fragment().is_some() => {
            "has a query or a fragment, which requests bring themselves"
        }
        Ok(url) => return Some(url),
        Err(_) => "is not a URL",
    };
    report.problem(&written.at, format!("{what}.url: {} {wrong}", quoted(&written.value)), help);
    None
}

/// Host and, where it is not the scheme's own, port.
fn authority(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

/// `10.0.0.0/8`, or an address alone.
pub fn network(text: &str) -> Option<(IpAddr, u8)> {
    let (address, bits) = match text.split_once('/') {
        Some((address, bits)) => (address.parse::<IpAddr>().ok()?, Some(bits.parse().ok()?)),
        None => (text.parse::<IpAddr>().ok()?, None),
    };
    let most = if address.is_ipv4() { 32 } else { 128 };
    let bits = bits.unwrap_or(most);
    (bits <= most).then_some((address, bits))
}

/// A host by its name alone: no scheme, no port, no path, no pattern.
fn host_name(name: &str) -> bool {
    let one = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    !name.is_empty() && name.split('.').all(|label| !label.is_empty() && label.bytes().all(one))
}

/// RFC 9110 section 5.1: a token.
pub(super) fn http_name(name: &str) -> bool {
    let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !name.is_empty() && name.bytes().all(token)
}
