//! Values with a unit, an address or a secret in them.

use std::path::PathBuf;
use std::time::Duration;

use model::Secret;
use policy::PayloadPolicy;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use secrets::Reference;

use super::read::{Fields, Form, Report, word};
use super::stores::Slot;
use super::tree::{Node, Value, quoted};

/// A number of bytes: `16MiB`, `64KiB`, `1GiB`, or a plain number.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Size(pub u64);

const SIZE_UNITS: [(&str, u64); 7] = [
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("kB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("B", 1),
];

impl Size {
    fn parse(text: &str) -> Option<Self> {
        let (unit, factor) = SIZE_UNITS.iter().find(|(unit, _)| text.ends_with(unit))?;
        let number = text.strip_suffix(unit)?.trim_end();
        number.parse::<u64>().ok()?.checked_mul(*factor).map(Self)
    }
}

impl Form for Size {
    fn read(node: &Node, what: &str, report: &mut Report) -> Option<Self> {
        let size = match &node.value {
            Value::Int(bytes) => u64::try_from(*bytes).ok().map(Self),
            Value::Text(text) => Self::parse(text),
            _ => None,
        };
        if size.is_none() {
            report.expected(node, what, "write a size: 16MiB, 64KiB, 1GiB");
        }
        size
    }
}

impl JsonSchema for Size {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Size".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": ["string", "integer"],
            "minimum": 0,
            "pattern": "^[0-9]+ *(KiB|MiB|GiB|kB|MB|GB|B)$",
            "examples": ["16MiB", "64KiB"]
        })
    }
}

/// A length of time: `2m`, `50ms`, `1h`, `7d`, several together (`1h30m`), or `0`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Time(pub Duration);

impl Time {
    /// Reads `1h30m`; `None` when it is not a length of time.
    pub fn parse(text: &str) -> Option<Self> {
        admin::parse_duration(text).map(Self)
    }
}

impl Form for Time {
    fn read(node: &Node, what: &str, report: &mut Report) -> Option<Self> {
        let time = match &node.value {
            Value::Int(0) => Some(Self(Duration::ZERO)),
            Value::Text(text) => Self::parse(text),
            _ => None,
        };
        if time.is_none() {
            report.expected(
                node,
                what,
                "write a length of time with its unit: 50ms, 30s, 2m, 1h, 7d",
            );
        }
        time
    }
}

impl JsonSchema for Time {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Time".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "anyOf": [
                { "type": "string", "pattern": "^(0|([0-9]+(ms|us|s|m|h|d))+)$" },
                { "const": 0 }
            ],
            "examples": ["50ms", "2m", "1h30m"]
        })
    }
}

/// A host (name, IPv4, or IPv6 in brackets) and a port.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Address {
    /// The host, without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
}

impl Address {
    /// Reads `host:port`.
    pub fn parse(text: &str) -> Option<Self> {
        let (host, port) = text.rsplit_once(':')?;
        let port: u16 = port.parse().ok().filter(|_| port.bytes().all(|b| b.is_ascii_digit()))?;
        let host = match host.strip_prefix('[') {
            Some(rest) => {
                let inner = rest.strip_suffix(']')?;
                inner.parse::<std::net::Ipv6Addr>().ok()?;
                inner
            }
            None => host,
        };
        let plain = !host.is_empty()
            && (host.contains(':') == text.starts_with('['))
            && host.chars().all(|c| c.is_alphanumeric() || "-._:%".contains(c));
        plain.then(|| Self { host: host.to_owned(), port })
    }
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "[{}]:{}", self.host, self.port),
            false => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

impl Form for Address {
    fn read(node: &Node, what: &str, report: &mut Report) -> Option<Self> {
        let address = match &node.value {
            Value::Text(text) => Self::parse(text),
            _ => None,
        };
        if address.is_none() {
            report.expected(
                node,
                what,
                "write host:port, for example 127.0.0.1:7432 or [::1]:7432",
            );
        }
        address
    }
}

impl JsonSchema for Address {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Address".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string", "pattern": "^.+:[0-9]+$", "examples": ["127.0.0.1:7432", "[::1]:7432"]
        })
    }
}

/// Where a secret comes from.
#[derive(Clone, Debug)]
pub enum SecretForm {
    /// It stands in the file itself.
    Literal(Secret<String>),
    /// `{env: NAME}`
    Env(String),
    /// `{file: PATH}`, as written.
    File(PathBuf),
    /// `{command: [program, argument, …]}`
    Command(Vec<String>, Slot),
    /// `{vault: PATH#FIELD}`
    Kept(Reference, Slot),
}

impl SecretForm {
    /// Words for it that do not give it away.
    pub fn describe(&self) -> String {
        match self {
            Self::Literal(_) => "*** (written in the file)".to_owned(),
            Self::Env(name) => format!("from the environment variable {name}"),
            Self::File(path) => format!("from the file {}", path.display()),
            Self::Command(command, _) => {
                let program = command.first().map_or("", |program| program);
                format!("from the command {program}")
            }
            Self::Kept(reference, _) => format!("from {reference}"),
        }
    }
}

const SECRET_HELP: &str = "write {env: NAME}, {file: PATH}, {command: [program, argument]}, \
                           {vault: PATH#FIELD} or {aws: NAME}";
/// Stores that are not asked, and what does instead.
const UNBUILT: [(&str, &str); 2] = [
    ("gcp", "use {command: [gcloud, secrets, versions, access, latest, --secret=NAME]}"),
    ("azure", "use {command: [az, keyvault, secret, show, --id, ID, --query, value, -o, tsv]}"),
];

impl Form for SecretForm {
    fn read(node: &Node, what: &str, report: &mut Report) -> Option<Self> {
        match &node.value {
            Value::Text(text) => {
                let message = format!("{what}: the secret stands in the file itself");
                report.warn(&node.at, message, SECRET_HELP);
                Some(Self::Literal(Secret::new(text.clone())))
            }
            Value::Table(entries) => {
                for (key, _) in entries {
                    if let Some((store, help)) = UNBUILT.iter().find(|(name, _)| *name == key.name)
                    {
                        let message =
                            format!("{what}: this build does not ask {store} for secrets");
                        report.problem(&node.at, message, *help);
                        return None;
                    }
                }
                const KEYS: [&str; 5] = ["env", "file", "command", "vault", "aws"];
                let fields = Fields::open(node, what, &KEYS, report)?;
                if entries.len() != 1 {
                    let message =
                        format!("{what}: found {} keys where one is wanted", entries.len());
                    report.problem(&node.at, message, SECRET_HELP);
                    return None;
                }
                let env = fields.field::<String>("env", report);
                if let Some(name) = &env {
                    report.slot.hide(name);
                }
                let env = env.map(Self::Env);
                let file = fields.field::<String>("file", report).map(|f| Self::File(f.into()));
                let command = fields.field::<Vec<String>>("command", report);
                if command.as_ref().is_some_and(Vec::is_empty) {
                    report.problem(&node.at, format!("{what}: an empty command"), SECRET_HELP);
                    return None;
                }
                let vault = fields.field::<String>("vault", report).and_then(|text| {
                    let read = Reference::vault(&text);
                    let wrong = |help| report.problem(&node.at, format!("{what}.vault"), help);
                    let reference = read.map_err(wrong).ok()?;
                    report.slot.want(reference.clone(), &node.at, what);
                    Some(Self::Kept(reference, report.slot.clone()))
                });
                let command = command.map(|words| Self::Command(words, report.slot.clone()));
                let aws = fields.field::<String>("aws", report).and_then(|text| {
                    let read = Reference::aws(&text);
                    let wrong = |help| report.problem(&node.at, format!("{what}.aws"), help);
                    let reference = read.map_err(wrong).ok()?;
                    report.slot.want_plainly(reference.clone());
                    Some(Self::Kept(reference, report.slot.clone()))
                });
                env.or(file).or(command).or(vault).or(aws)
            }
            Value::List(_) => {
                report.expected(node, what, SECRET_HELP);
                None
            }
            // The value may be the secret itself, so it is not repeated.
            _ => {
                let message = format!("{what}: found neither a text nor a source of a secret");
                report.problem(&node.at, message, SECRET_HELP);
                None
            }
        }
    }
}

impl JsonSchema for SecretForm {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Secret".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let one = |key: &str, of: serde_json::Value| {
            json_schema!({
                "type": "object",
                "properties": { key: of },
                "required": [key],
                "additionalProperties": false
            })
        };
        json_schema!({
            "description": "From an environment variable, a file, a command or a store. A secret \
                            written here works and is warned about.",
            "anyOf": [
                one("env", serde_json::json!({ "type": "string" })),
                one("file", serde_json::json!({ "type": "string" })),
                one("vault", serde_json::json!({
                    "type": "string", "pattern": "^.+/data/.+#.+$",
                    "examples": ["secret/data/appdb#password"]
                })),
                one("aws", serde_json::json!({
                    "type": "string", "examples": ["prod/appdb#password"]
                })),
                one("command", serde_json::json!({
                    "type": "array", "items": { "type": "string" }, "minItems": 1
                })),
                { "type": "string" }
            ]
        })
    }
}

/// A file that is named either plainly or, as in DESIGN section 4, as `{file: PATH}`.
#[derive(Clone, Debug)]
pub struct FileForm(pub PathBuf);

impl Form for FileForm {
    fn read(node: &Node, what: &str, report: &mut Report) -> Option<Self> {
        if let Value::Text(text) = &node.value {
            return Some(Self(text.into()));
        }
        if !matches!(node.value, Value::Table(_)) {
            report.expected(node, what, "write the file: {file: PATH}");
            return None;
        }
        let path = Fields::open(node, what, &["file"], report)?.field::<String>("file", report);
        if path.is_none() {
            report.problem(&node.at, format!("{what}: no file is named"), "write {file: PATH}");
        }
        path.map(|path| Self(path.into()))
    }
}

impl JsonSchema for FileForm {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "File".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "anyOf": [
                { "type": "string" },
                {
                    "type": "object",
                    "properties": { "file": { "type": "string" } },
                    "required": ["file"],
                    "additionalProperties": false
                }
            ]
        })
    }
}

/// `recording.payload`: how much of replies is kept.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Payload {
    /// All of it.
    Full,
    /// The first so many bytes of each reply.
    Head(u64),
    /// Nothing.
    None,
}

impl Payload {
    /// The same, as it is applied.
    pub fn policy(self) -> PayloadPolicy {
        match self {
            Self::Full => PayloadPolicy::Full,
            Self::Head(bytes) => PayloadPolicy::Head(usize::try_from(bytes).unwrap_or(usize::MAX)),
            Self::None => PayloadPolicy::None,
        }
    }
}

impl Form for Payload {
    fn read(node: &Node, what: &str, report: &mut Report) -> Option<Self> {
        if matches!(node.value, Value::Table(_)) {
            let fields = Fields::open(node, what, &["head"], report)?;
            return fields.field::<Size>("head", report).map(|size| Self::Head(size.0));
        }
        let head = model::limit::PAYLOAD_HEAD_BYTES as u64;
        let words = [("full", Self::Full), ("head", Self::Head(head)), ("none", Self::None)];
        word(node, what, &words, report)
    }
}

impl JsonSchema for Payload {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Payload".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let size = generator.subschema_for::<Size>();
        json_schema!({
            "anyOf": [
                { "enum": ["full", "head", "none"] },
                {
                    "type": "object",
                    "properties": { "head": size },
                    "required": ["head"],
                    "additionalProperties": false
                }
            ]
        })
    }
}

/// What a yes covers.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct GrantForm(pub policy::Grant);

impl Form for GrantForm {
    fn read(node: &Node, what: &str, report: &mut Report) -> Option<Self> {
        let grant = match &node.value {
            Value::Text(text) if text == "once" => Some(policy::Grant::Once),
            Value::Text(text) if text == "session" => Some(policy::Grant::Session),
            Value::Text(text) => Time::parse(text).map(|time| policy::Grant::For(time.0)),
            _ => None,
        };
        if grant.is_none() {
            report.expected(node, what, "write once, session or a length of time such as 30m");
        }
        grant.map(Self)
    }
}

impl JsonSchema for GrantForm {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Grant".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let time = generator.subschema_for::<Time>();
        json_schema!({ "anyOf": [{ "enum": ["once", "session"] }, time] })
    }
}

/// Makes an enum of words: the enum, its schema, its reader.
macro_rules! words {
    ($(#[$meta:meta])* pub enum $name:ident {
        $($(#[$doc:meta])* $word:literal => $variant:ident,)*
    }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, Eq, PartialEq)]
        pub enum $name { $($(#[$doc])* $variant,)* }

        impl Form for $name {
            fn read(node: &Node, what: &str, report: &mut Report) -> Option<Self> {
                word(node, what, &[$(($word, Self::$variant)),*], report)
            }
        }

        impl JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }
            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "enum": [$($word),*] })
            }
        }
    };
}

words! {
    /// `resources.NAME.tls`
    pub enum TlsForm {
        /// Encrypted and the certificate checked.
        "verify-full" => VerifyFull,
        /// Encrypted, the certificate not checked.
        "require" => Require,
        /// Clear text.
        "off" => Off,
    }
}

words! {
    /// `recording.on_failure`
    pub enum OnFailureForm {
        /// Refuse operations that cannot be recorded.
        "refuse" => Refuse,
        /// Let them pass and say so in the record afterwards.
        "continue" => Continue,
    }
}

words! {
    /// `rules[].mode`
    pub enum ModeForm {
        /// The rule takes part in the outcome.
        "enforce" => Enforce,
        /// Its matches are recorded and take no part in the outcome.
        "observe" => Observe,
    }
}

words! {
    /// `resources.NAME.isolation`
    pub enum IsolationForm {
        /// Nothing that shows or signals other backends, or changes roles.
        "strict" => Strict,
        /// The upstream role is this resource's alone to share.
        "shared" => Shared,
    }
}

words! {
    /// `resources.NAME.tls_negotiation`
    pub enum TlsNegotiationForm {
        /// The server is asked whether it has TLS.
        "postgres" => Postgres,
        /// The handshake comes first.
        "direct" => Direct,
    }
}

words! {
    /// `transparent.mode`
    pub enum RedirectForm {
        /// The kernel translates their destination (nftables `redirect`).
        "redirect" => Redirect,
        /// They keep it (nftables `tproxy`).
        "tproxy" => Tproxy,
    }
}

words! {
    /// `resources.NAME.server_files`
    pub enum ServerFilesForm {
        /// Refused for everyone.
        "refuse" => Refuse,
        /// Left to the rules.
        "allow" => Allow,
    }
}

words! {
    /// `identity.oidc[].kind`
    pub enum KindForm {
        /// A program that acts on a model's output.
        "agent" => Agent,
        /// A human being.
        "person" => Person,
        /// A program that does what its code says.
        "service" => Service,
    }
}

words! {
    /// `limit.per`
    pub enum PerForm {
        /// Each principal's own use counts.
        "principal" => Principal,
        /// Everyone's use together counts.
        "resource" => Resource,
    }
}

/// A name that clients say and commands take: letters, digits, `-`, `_`, `.`.
pub fn is_name(text: &str) -> bool {
    const CHARS_MAX: usize = 63;
    !text.is_empty()
        && text.len() <= CHARS_MAX
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
}

/// Words for a name that [`is_name`] does not accept.
pub fn bad_name(what: &str, text: &str) -> (String, &'static str) {
    (
        format!("{what}: {} is not a name", quoted(text)),
        "use 1 to 63 letters, digits, '-', '_' and '.'",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_units() {
        for (text, bytes) in
            [("16MiB", 16 << 20), ("64 KiB", 64 << 10), ("1GB", 1_000_000_000), ("0B", 0)]
        {
            assert_eq!(Size::parse(text), Some(Size(bytes)), "{text}");
        }
        for text in ["", "MiB", "1", "1.5MiB", "-1MiB", "99999999999GiB", "1 TiB"] {
            assert_eq!(Size::parse(text), None, "{text}");
        }
    }

    #[test]
    fn addresses_have_a_host_and_a_port() {
        for text in ["127.0.0.1:7432", "db.example:5432", "[::1]:7432", "localhost:0"] {
            assert_eq!(Address::parse(text).unwrap().to_string(), text);
        }
        for text in
            ["7432", ":7432", "host", "host:", "host:70000", "::1:7432", "[x]:1", "a b:1", "h:+1"]
        {
            assert_eq!(Address::parse(text), None, "{text}");
        }
    }
}
