//! The text form: what can be written in the file, key by key. The working form is made from it in
//! [`super::working`].

use std::path::PathBuf;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::access::{Escalate, Hours, Request};
use super::identity::Identity;
use super::keeping::{RetentionForm, StoreEncryptionForm};
use super::outgoing::{AnchorAt, StreamTo};
use super::read::{At, Form, Named, Report, form};
use super::scalar::{
    Address, FileForm, GrantForm, IsolationForm, ModeForm, OnFailureForm, Payload, PerForm,
    RedirectForm, SecretForm, ServerFilesForm, Size, Time, TlsForm, TlsNegotiationForm,
};
use super::state::StateForm;
use super::stores::{CredentialsForm, VaultServer};
use super::telling::Approvals;
use super::tree::{Node, Value};
use super::web::{EgressResource, HttpResource};
use crate::protocols;

form! {
    /// The configuration of a Narrows gateway.
    pub struct File {
        /// Folder for the state database, the journal and the local CA; made with mode 0700.
        /// Relative to this file. Default: `./var`.
        "data_dir" => data_dir: At<String>,
        /// Where tokens, approvals and grants are kept: `sqlite` (default), in `data_dir`, or a
        /// PostgreSQL database that several gateways share.
        "state" => state: At<StateForm>,
        /// Addresses to listen on.
        "listen" => listen: Listen,
        /// Who is let in through `listen.transparent`, which takes connections that are redirected
        /// there.
        "transparent" => transparent: Transparent,
        /// The gateway's own certificate; without it a local CA issues one.
        "tls" => tls: Tls,
        /// Who vouches for whom, besides the tokens of `narrows token create`.
        "identity" => identity: Identity,
        /// The upstreams that can be reached, by name.
        "resources" => resources: Resources,
        /// Named lists of text, `lists.NAME` in conditions.
        "lists" => lists: Named<Vec<String>>,
        /// Who may reach what. Nothing is reachable that no line here grants.
        "access" => access: Vec<Access>,
        /// The rules, or the name of a folder with files of rules.
        "rules" => rules: Rules,
        /// What is recorded, and how safely.
        "recording" => recording: Recording,
        /// Who is told of approvals.
        "approvals" => approvals: Approvals,
        /// Replies withheld while a rule can still stop them.
        "hold" => hold: Hold,
        /// The catalog that statements are judged against.
        "catalog" => catalog: Catalog,
        /// Sessions carried at once. Default: 20000.
        "sessions_max" => sessions_max: At<u64>,
        /// How long sessions go on.
        "session" => session: Session,
        /// What may be asked about masked columns.
        "predicates" => predicates: PredicateBudget,
        /// Settings of the PostgreSQL protocol.
        "postgres" => postgres: Postgres,
        /// Keys from elsewhere.
        "keys" => keys: Keys,
        /// Where secrets and credentials are kept or made.
        "vault" => vault: VaultServer,
    }
}

form! {
    /// Clients that know of no proxy.
    pub struct Transparent {
        /// The token of whoever connects from a network or an address: `"10.0.0.0/24": {file: …}`.
        /// The narrowest counts; from elsewhere nobody is let in.
        #[schemars(required)]
        "sources" => sources: Named<At<SecretForm>>,
        /// How connections come: `redirect` (default) or `tproxy`.
        "mode" => mode: At<RedirectForm>,
    }
}

form! {
    /// The gateway's own certificate.
    pub struct Tls {
        /// Certificate chain, PEM.
        #[schemars(required)]
        "cert" => cert: At<FileForm>,
        /// Private key, PEM.
        #[schemars(required)]
        "key" => key: At<FileForm>,
    }
}

form! {
    /// A line of `access`: grants the resources to whoever satisfies every key given.
    pub struct Access {
        /// Groups; membership in any is enough.
        "groups" => groups: Vec<At<String>>,
        /// Subjects; `*` is everyone.
        "subjects" => subjects: Vec<At<String>>,
        /// Resource names, `type:NAME`, or `*`.
        #[schemars(required)]
        "resources" => resources: Vec<At<String>>,
        /// When: days and hours, `mon-fri 08:00-18:00`, or a list of such. A window that goes over
        /// midnight belongs to the day on which it begins. Default: always.
        "hours" => hours: Hours,
        /// Whose clocks `hours` and `until` go by: `Europe/Berlin`. Default: UTC.
        "timezone" => timezone: At<String>,
        /// The last day, `2026-12-31`, or the moment in which it ends, `2026-12-31T18:00`.
        "until" => until: At<String>,
    }
}

form! {
    /// A rule: whom and what it concerns, when, and exactly one of `mask`, `approve`, `block`,
    /// `alert`, `limit`, `classify`, `record`.
    pub struct Rule {
        /// Its name; unique.
        #[schemars(required)]
        "name" => name: At<String>,
        /// Whom it concerns; everyone when left out.
        "for" => applies: For,
        /// Resource names or `type:NAME`; all when left out.
        "on" => on: Vec<At<String>>,
        /// Its condition, an expression in CEL; always when left out.
        "when" => when: At<String>,
        /// Hides fields of replies.
        "mask" => mask: At<Mask>,
        /// Holds the operation until a person says yes.
        "approve" => approve: At<Approve>,
        /// Refuses the operation with this message; `{fact.name}` stands for the fact's value.
        "block" => block: At<String>,
        /// Notifies with this message; never changes the outcome.
        "alert" => alert: At<String>,
        /// Refuses past an amount per window.
        "limit" => limit: At<Limit>,
        /// Follows what fields hold into later requests; hides nothing.
        "classify" => classify: At<Classify>,
        /// Says how much of the reply is recorded; never changes the outcome.
        "record" => record: At<Record>,
        /// `observe` records matches without effect.
        "mode" => mode: At<ModeForm>,
        /// Window of the sliding facts in the condition. Default: 1h.
        "window" => window: At<Time>,
    }
}

form! {
    /// Whom a rule concerns: within a key any, across keys all.
    pub struct For {
        /// Groups of either party.
        "groups" => groups: Vec<At<String>>,
        /// Subjects of either party.
        "subjects" => subjects: Vec<At<String>>,
        /// `agent`, `person`, `service`.
        "kinds" => kinds: Vec<At<String>>,
    }
}

form! {
    /// Hides fields of replies.
    pub struct Mask {
        /// Names or globs: `column`, `table.column`, `schema.table.column`.
        "fields" => fields: Vec<At<String>>,
        /// Detection types found in any value (best effort): `CREDIT_CARD`, `US_SSN`, …
        "types" => types: Vec<At<String>>,
        /// `redact` (default), `partial`, `hash`, `null`.
        "with" => with: At<MaskWord>,
        /// What may be learned by comparing: `refuse`, `equality`, `allow`.
        "predicates" => predicates: At<String>,
    }
}

form! {
    /// Holds the operation until a person says yes.
    pub struct Approve {
        /// Groups whose members may answer.
        #[schemars(required)]
        "by" => by: Vec<At<String>>,
        /// How many different people must say yes. Default: 1.
        "needs" => needs: At<u32>,
        /// How long the client is held. Default: 2m.
        "wait" => wait: At<Time>,
        /// How long the request can be answered. Default: 10m.
        "expires" => expires: At<Time>,
        /// What a yes covers. Default: once.
        "grant" => grant: At<GrantForm>,
        /// Rows past which a repeat asks again. Default: twice what the approver saw.
        "rows_max" => rows_max: At<u64>,
        /// Who else may answer when nobody did for long. Default: nobody.
        "escalate" => escalate: Escalate,
    }
}

form! {
    /// Refuses past an amount per window.
    pub struct Limit {
        /// Operations.
        "operations" => operations: At<u64>,
        /// Rows.
        "rows" => rows: At<u64>,
        /// Bytes.
        "bytes" => bytes: At<Size>,
        /// Whose use counts. Default: principal.
        "per" => per: At<PerForm>,
        /// The window. Default: 1h.
        "window" => window: At<Time>,
    }
}

form! {
    /// Follows what fields hold into later requests; hides nothing.
    pub struct Classify {
        /// Names or globs of fields.
        "fields" => fields: Vec<At<String>>,
        /// Detection types.
        "types" => types: Vec<At<String>>,
    }
}

form! {
    /// Says how much of the reply is recorded; never changes the outcome.
    pub struct Record {
        /// How much of the reply is kept, whatever `recording.payload` says; the least of several
        /// rules.
        #[schemars(required)]
        "payload" => payload: At<Payload>,
    }
}

form! {
    /// What is recorded, and how safely.
    pub struct Recording {
        /// Where the archive is: `file:FOLDER`, `s3://BUCKET/PREFIX`, `gs://BUCKET/PREFIX`,
        /// `azure://CONTAINER/PREFIX` or `none`. Default: the folder `recordings` in `data_dir`.
        "store" => store: At<String>,
        /// How often the archive is brought up to date and a manifest signed. Default: 1m.
        "archive_every" => archive_every: At<Time>,
        /// How long the journal keeps what is in the archive, for quick answers. Default: 1d.
        "keep_journal" => keep_journal: At<Time>,
        /// Whose key seals texts, parameters and payloads in the archive; the journal is then
        /// sealed by the installation key. Default: they are in clear.
        "encryption" => encryption: Encryption,
        /// How long the store keeps files and manifests from being changed or deleted (S3 object
        /// lock): a length of time, 1d to 36500d, in mode compliance; or `{ for: TIME, mode:
        /// governance }`. Default: what the bucket says.
        "retention" => retention: At<RetentionForm>,
        /// How the store itself encrypts what is written: `sse-s3`, or `{ aws_kms: KEY,
        /// bucket_key: true }` (SSE-KMS). Default: what the bucket says.
        "store_encryption" => store_encryption: At<StoreEncryptionForm>,
        /// How often the journal is synced to disk; 0 syncs before each acknowledgement. Default:
        /// 50ms.
        "sync" => sync: At<Time>,
        /// How much of replies is kept. Default: full.
        "payload" => payload: At<Payload>,
        /// Types of sensitive values that are taken out of texts and parameters in the record.
        /// Default: none.
        "scrub" => scrub: Vec<At<String>>,
        /// What happens to operations that cannot be recorded. Default: refuse.
        "on_failure" => on_failure: At<OnFailureForm>,
        /// Who is told what happens, while it happens.
        "stream" => stream: Vec<StreamTo>,
        /// Where is kept, besides the archive, how far the archive reaches.
        "anchors" => anchors: Vec<AnchorAt>,
    }
}

form! {
    /// The key that seals what was said; one of the first four.
    pub struct Encryption {
        /// 32 random bytes: as they are, in hexadecimal or in base64.
        "key" => key: SecretForm,
        /// A file with an RSA public key (PEM): the gateway then writes what it cannot read.
        "public_key" => public_key: At<String>,
        /// A key in the transit engine of Vault or OpenBao.
        "vault" => vault: Vault,
        /// A key in AWS KMS: its ARN, id or alias. Region and credentials come from the
        /// environment.
        "aws_kms" => aws_kms: At<String>,
        /// Former keys, for reading what they sealed: as `key`, or RSA private keys (PEM).
        "also" => also: Vec<SecretForm>,
    }
}

form! {
    /// A key in the transit engine of Vault or OpenBao.
    pub struct Vault {
        /// `https://vault.example:8200`; `http` only on this machine.
        "address" => address: At<String>,
        /// Where the engine is mounted. Default: transit.
        "mount" => mount: At<String>,
        /// The name of the key.
        "key" => key: At<String>,
        /// The token, read again for each request.
        "token" => token: SecretForm,
    }
}

form! {
    /// What a resource says about its recording.
    pub struct ResourceRecording {
        /// What happens to operations that cannot be recorded.
        "on_failure" => on_failure: At<OnFailureForm>,
        /// How much of its replies is kept.
        "payload" => payload: At<Payload>,
    }
}

form! {
    /// Replies withheld while a rule can still stop them.
    pub struct Hold {
        /// Of one reply. Default: 16MiB.
        "buffer" => buffer: At<Size>,
        /// Of the whole gateway; past it new holds are refused. Default: 256MiB.
        "buffer_total" => buffer_total: At<Size>,
    }
}

form! {
    /// The catalog that statements are judged against.
    pub struct Catalog {
        /// How old it may be before it is checked again. Default: 1s.
        "max_age" => max_age: At<Time>,
    }
}

form! {
    /// How long sessions go on.
    pub struct Session {
        /// A session goes on when the token that began it ends. Revoking the token still ends it.
        /// Default: false.
        "outlive_token" => outlive_token: At<bool>,
    }
}

form! {
    /// What may be asked about masked columns.
    pub struct PredicateBudget {
        /// Different values a principal may compare with one masked column in a day (UTC), where
        /// its mask allows equality. Default: 100.
        "budget" => budget: At<u64>,
    }
}

form! {
    /// Settings of the PostgreSQL protocol.
    pub struct Postgres {
        /// Longest statement accepted. Default: 1MiB.
        "statement_bytes_max" => statement_bytes_max: At<Size>,
    }
}

form! {
    /// Keys from elsewhere.
    pub struct Keys {
        /// At least 32 bytes, shared by all gateways of an installation; token, mask, taint and
        /// journal keys are derived from it. Made in `data_dir` when left out.
        "installation" => installation: At<SecretForm>,
    }
}

form! {
    /// A PostgreSQL database.
    pub struct PostgresResource {
        /// `postgres`
        #[schemars(required)]
        "type" => kind: At<String>,
        /// Host and port.
        #[schemars(required)]
        "address" => address: At<Address>,
        /// The database. Default: the resource's name.
        "database" => database: At<String>,
        /// The role the gateway logs in as.
        "user" => user: At<String>,
        /// Its password.
        "password" => password: At<SecretForm>,
        /// In place of both: where a role is made for each session, and revoked when it ends.
        "credentials" => credentials: At<CredentialsForm>,
        /// How the connection is protected. Default: verify-full.
        "tls" => tls: At<TlsForm>,
        /// How TLS begins: `postgres` (default) asks for it, `direct` does not (PostgreSQL 17 on).
        "tls_negotiation" => tls_negotiation: At<TlsNegotiationForm>,
        /// Certificates to trust besides the system's, PEM.
        "ca" => ca: At<FileForm>,
        /// What its recording does on failure; default: what `recording` says.
        "recording" => recording: ResourceRecording,
        /// `strict` (default) keeps clients from other backends' work and from changing roles;
        /// `shared` does not.
        "isolation" => isolation: At<IsolationForm>,
        /// Roles that `SET ROLE` may name.
        "roles" => roles: Vec<At<String>>,
        /// `allow` lets statements read and write files of the server and run its programs.
        /// Default: refuse.
        "server_files" => server_files: At<ServerFilesForm>,
        /// Access can be asked for, for a time. Default: it cannot.
        "request" => request: Request,
    }
}

/// `listen`: an address for the admin API and for each protocol.
#[derive(Clone, Debug)]
pub struct Listen(pub Named<At<Address>>);

impl Form for Listen {
    fn read(node: &Node, what: &str, report: &mut Report) -> Option<Self> {
        Named::read(node, what, report).map(Self)
    }
}

impl JsonSchema for Listen {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Listen".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let address = generator.subschema_for::<Address>();
        let listeners: serde_json::Map<_, _> = std::iter::once("admin")
            .chain(protocols::listeners())
            .map(|name| (name.to_owned(), address.clone().to_value()))
            .collect();
        json_schema!({
            "type": "object", "properties": listeners, "additionalProperties": false
        })
    }
}

/// `resources`: each of a type that this build has, or not.
#[derive(Clone, Debug)]
pub struct Resources(pub Named<Resource>);

/// A resource as written.
#[derive(Clone, Debug)]
pub enum Resource {
    /// `type: postgres`
    Postgres(Box<PostgresResource>),
    /// `type: http` or `openai`
    Http(Box<HttpResource>),
    /// `type: egress`
    Egress(Box<EgressResource>),
    /// Wrong, and reported; kept so that what names it is not reported too.
    Broken,
}

impl Form for Resources {
    fn read(node: &Node, what: &str, report: &mut Report) -> Option<Self> {
        Named::read(node, what, report).map(Self)
    }
}

impl Form for Resource {
    fn read(node: &Node, what: &str, report: &mut Report) -> Option<Self> {
        Some(Self::read_any(node, what, report).unwrap_or(Self::Broken))
    }
}

impl Resource {
    /// What it says about asking for access.
    pub fn request(&self) -> Option<Request> {
        match self {
            Self::Postgres(form) => form.request.clone(),
            Self::Http(form) => form.request.clone(),
            Self::Egress(form) => form.request.clone(),
            Self::Broken => None,
        }
    }

    fn read_any(node: &Node, what: &str, report: &mut Report) -> Option<Self> {
        let kind = match &node.value {
            Value::Table(entries) => entries.iter().find(|(key, _)| key.name == "type"),
            // Says what a resource is made of.
            _ => {
                return PostgresResource::read(node, what, report)
                    .map(|r| Self::Postgres(r.into()));
            }
        };
        let built: Vec<&str> = protocols::kinds().collect();
        let Some((_, kind)) = kind else {
            let help = format!("write type: {}", built.join(" or "));
            report.problem(&node.at, format!("{what} has no type"), help);
            return None;
        };
        let name = String::read(kind, &format!("{what}.type"), report)?;
        match &*name {
            "egress" => {
                return EgressResource::read(node, what, report).map(|r| Self::Egress(r.into()));
            }
            "http" | "openai" => {
                return HttpResource::read(node, what, report).map(|r| Self::Http(r.into()));
            }
            known if built.contains(&known) => {
                return PostgresResource::read(node, what, report)
                    .map(|r| Self::Postgres(r.into()));
            }
            _ => {}
        }
        let message = format!("{what}: this build has no resource type \"{name}\"");
        let near = super::nearest::nearest(&name, built.iter().copied());
        let help = match near {
            Some(near) => format!("did you mean \"{near}\"?"),
            None => format!("remove the resource. Built: {}", built.join(", ")),
        };
        report.problem(&kind.at, message, help);
        None
    }
}

impl JsonSchema for Resources {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Resources".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let kinds = [
            (&["postgres"][..], generator.subschema_for::<PostgresResource>()),
            (&["http", "openai"][..], generator.subschema_for::<HttpResource>()),
            (&["egress"][..], generator.subschema_for::<EgressResource>()),
        ];
        // By type, so that an editor's errors are about the type that was meant.
        let kinds: Vec<_> = kinds
            .into_iter()
            .map(|(names, resource)| {
                serde_json::json!({
                    "if": { "properties": { "type": { "enum": names } }, "required": ["type"] },
                    "then": resource
                })
            })
            .collect();
        let built: Vec<&str> = protocols::kinds().collect();
        json_schema!({
            "type": "object",
            "additionalProperties": {
                "type": "object",
                "properties": { "type": { "enum": built } },
                "required": ["type"],
                "allOf": kinds
            }
        })
    }
}

/// `rules`: a list, or the name of a folder.
#[derive(Clone, Debug)]
pub enum Rules {
    /// Written here.
    Inline(Vec<Rule>),
    /// In the files of a folder, each a list of rules.
    Folder(At<PathBuf>),
}

impl Form for Rules {
    fn read(node: &Node, what: &str, report: &mut Report) -> Option<Self> {
        if let Value::Text(text) = &node.value {
            return Some(Self::Folder(At { value: text.into(), at: node.at.clone() }));
        }
        Vec::read(node, what, report).map(Self::Inline)
    }
}

impl JsonSchema for Rules {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Rules".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let rules = generator.subschema_for::<Vec<Rule>>();
        json_schema!({
            "anyOf": [{ "type": "string", "description": "A folder with files of rules." }, rules]
        })
    }
}

/// `mask.with`: a word. YAML reads a bare `null` as nothing, and here it means the word.
#[derive(Clone, Debug)]
pub struct MaskWord(pub String);

impl Form for MaskWord {
    fn read(node: &Node, what: &str, report: &mut Report) -> Option<Self> {
        match node.value {
            Value::Null => Some(Self("null".to_owned())),
            _ => String::read(node, what, report).map(Self),
        }
    }
}

impl JsonSchema for MaskWord {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "MaskWord".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "enum": ["redact", "partial", "hash", "null", null] })
    }
}

/// The JSON Schema of the file, as text.
pub fn schema() -> String {
    let mut schema = schemars::schema_for!(File).to_value();
    without_null(&mut schema);
    if let Some(root) = schema.as_object_mut() {
        root.insert("title".to_owned(), "narrows.yaml".into());
    }
    let mut text = serde_json::to_string_pretty(&schema).unwrap_or_default();
    text.push('\n');
    text
}

/// A key left out is not a key with nothing in it: takes the `null` that an `Option` brings.
fn without_null(value: &mut serde_json::Value) {
    match value {
        serde_json::Value::Object(map) => {
            if let Some(serde_json::Value::Array(kinds)) = map.get_mut("type") {
                kinds.retain(|kind| kind != "null");
                if let [only] = kinds.as_slice() {
                    let only = only.clone();
                    map.insert("type".to_owned(), only);
                }
            }
            if let Some(serde_json::Value::Array(choices)) = map.get_mut("anyOf") {
                choices.retain(|choice| choice.get("type").is_none_or(|kind| kind != "null"));
                if let [serde_json::Value::Object(only)] = choices.as_slice() {
                    let only = only.clone();
                    map.remove("anyOf");
                    for (key, value) in only {
                        map.entry(key).or_insert(value);
                    }
                }
            }
            map.values_mut().for_each(without_null);
        }
        serde_json::Value::Array(items) => items.iter_mut().for_each(without_null),
        _ => {}
    }
}
