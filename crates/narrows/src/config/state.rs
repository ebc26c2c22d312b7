//! Where the registry is kept: `state`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use model::{Secret, UpstreamTls, is_this_machine};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use url::Url;

use super::machine::Machine;
use super::read::{At, Form, Report, form};
use super::scalar::{FileForm, SecretForm, Time, TlsForm};
use super::tree::{Node, Value};
use super::working::{check_file, relative_secret};

/// See `state.postgres.outlive`.
const OUTLIVE_DEFAULT: Duration = Duration::from_secs(5 * 60);
const OUTLIVE_MAX: Duration = Duration::from_secs(24 * 60 * 60);
const PORT_DEFAULT: u16 = 5432;
const HELP: &str = "write sqlite, or state: { postgres: { url: \
                    \"postgres://USER@HOST:5432/DATABASE\", password: {file: PATH} } }";

form! {
    /// A PostgreSQL database that several gateways share.
    pub struct PostgresState {
        /// Where it is: `postgres://USER@HOST:PORT/DATABASE`.
        #[schemars(required)]
        "url" => url: At<String>,
        /// The password of the role.
        "password" => password: At<SecretForm>,
        /// How the connection is protected: `verify-full` (default), `require`, `off`.
        "tls" => tls: At<TlsForm>,
        /// More certificates to trust, PEM.
        "ca" => ca: At<FileForm>,
        /// How long tokens are believed while the database cannot be reached. Default: 5m.
        "outlive" => outlive: At<Time>,
    }
}

form! {
    /// Where tokens, approvals and grants are kept, if not beside the journal.
    pub struct SharedState {
        /// In PostgreSQL, for several gateways.
        #[schemars(required)]
        "postgres" => postgres: PostgresState,
    }
}

/// `state`: `sqlite`, `postgres://…`, or `{ postgres: … }`.
#[derive(Clone, Debug)]
pub enum StateForm {
    /// `sqlite`
    Sqlite,
    /// `postgres://…`; it may hold a password.
    Url(Secret<String>),
    /// With more than the address.
    Shared(Box<SharedState>),
}

impl Form for StateForm {
    fn read(node: &Node, what: &str, report: &mut Report) -> Option<Self> {
        match &node.value {
            Value::Table(_) => {
                SharedState::read(node, what, report).map(|shared| Self::Shared(Box::new(shared)))
            }
            Value::Text(text) if text == "sqlite" => Some(Self::Sqlite),
            Value::Text(text) if is_address(text) => Some(Self::Url(Secret::new(text.clone()))),
            // It may hold a password.
            Value::Text(text) if text.contains("://") => {
                report.problem(&node.at, format!("{what}: not an address of PostgreSQL"), HELP);
                None
            }
            _ => {
                report.expected(node, what, HELP);
                None
            }
        }
    }
}

impl JsonSchema for StateForm {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "State".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let shared = generator.subschema_for::<SharedState>();
        json_schema!({
            "anyOf": [
                { "const": "sqlite" },
                { "type": "string", "pattern": "^postgres(ql)?://.+@.+/.+$" },
                shared
            ]
        })
    }
}

/// Where the registry is.
#[derive(Clone, Debug)]
pub enum State {
    /// In `data_dir`.
    Sqlite,
    /// In a database that several gateways share.
    Postgres(Box<Postgres>),
}

/// A database that several gateways share.
#[derive(Clone, Debug)]
pub struct Postgres {
    /// The server.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// The role.
    pub user: String,
    /// The database.
    pub database: String,
    /// The role's password.
    pub password: Option<SecretForm>,
    /// How the connection is protected.
    pub tls: UpstreamTls,
    /// More certificates to trust.
    pub ca: Option<PathBuf>,
    /// How long tokens are believed while it cannot be reached.
    pub outlive: Duration,
}

impl State {
    /// Words for it that give no secret away.
    #[must_use]
    pub fn describe(&self) -> String {
        match self {
            Self::Sqlite => "sqlite".to_owned(),
            Self::Postgres(plan) => {
                let Postgres { host, port, user, database, password, ca, outlive, .. } = &**plan;
                let tls = match plan.tls {
                    UpstreamTls::VerifyFull => "verify-full",
                    UpstreamTls::Require => "require",
                    UpstreamTls::Off => "off",
                };
                let host = if host.contains(':') { format!("[{host}]") } else { host.clone() };
                let password = password.as_ref().map_or("none".to_owned(), SecretForm::describe);
                let ca = ca.as_ref().map(|ca| format!(", ca: {}", ca.display()));
                format!(
                    "{{ postgres: {{ url: postgres://{user}@{host}:{port}/{database}, \
                     password: {password}, tls: {tls}{}, outlive: {}s }} }}",
                    ca.unwrap_or_default(),
                    outlive.as_secs()
                )
            }
        }
    }
}

fn is_address(text: &str) -> bool {
    text.starts_with("postgres://") || text.starts_with("postgresql://")
}

/// Completes the text form.
pub fn complete(
    form: Option<At<StateForm>>,
    own_key: bool,
    (base, machine): (&Path, &dyn Machine),
    report: &mut Report,
) -> State {
    let Some(At { value, at }) = form else { return State::Sqlite };
    let (url, form) = match value {
        StateForm::Sqlite => return State::Sqlite,
        StateForm::Url(url) => (At { value: url, at: at.clone() }, None),
        StateForm::Shared(shared) => {
            let Some(form) = shared.postgres else {
                if !shared.here.has("postgres") {
                    report.problem(&at, "state says neither sqlite nor postgres", HELP);
                }
                return State::Sqlite;
            };
            let Some(url) = form.url.clone() else {
                if !form.here.has("url") {
                    let help = "write url: \"postgres://USER@HOST:5432/DATABASE\"";
                    report.problem(&form.here.at, "state.postgres has no url", help);
                }
                return State::Sqlite;
            };
            (At { value: Secret::new(url.value), at: url.at }, Some(form))
        }
    };
    let Some(mut plan) = address(&url, report) else { return State::Sqlite };
    let mut tls_at = at.clone();
    if let Some(form) = form {
        if let Some(password) = form.password {
            plan.password = Some(relative_secret(password.value, base));
        }
        if let Some(tls) = form.tls {
            tls_at = tls.at;
            plan.tls = match tls.value {
                TlsForm::VerifyFull => UpstreamTls::VerifyFull,
                TlsForm::Require => UpstreamTls::Require,
                TlsForm::Off => UpstreamTls::Off,
            };
        }
        plan.ca = form.ca.map(|ca| {
            let path = base.join(ca.value.0);
            check_file(machine, &path, "state.postgres.ca", &ca.at, report);
            path
        });
        if let Some(outlive) = form.outlive {
            plan.outlive = outlive.value.0;
            if plan.outlive > OUTLIVE_MAX {
                let message = format!("state.postgres.outlive: found {:?}", plan.outlive);
                let help = "write a length of time up to 1d; 0 believes no token meanwhile";
                report.problem(&outlive.at, message, help);
            }
        }
    }
    if plan.tls != UpstreamTls::VerifyFull && !is_this_machine(&plan.host) {
        let what = match plan.tls {
            UpstreamTls::Off => "sends the password and all decisions in clear text",
            _ => "does not check whether it is the right server, which decides who may what",
        };
        let help = "use verify-full, with ca: {file: PATH} where the server has its own CA";
        report.warn(&tls_at, format!("state.postgres.tls: it {what}"), help);
    }
    if !own_key {
        let help = "gateways that share a state share a key: copy installation.key of the first to \
                    where all can read it, and write keys: { installation: {file: PATH} }";
        let message = "state: the key of this installation is data_dir/installation.key, so only \
                       one gateway can use this state";
        report.warn(&at, message.to_owned(), help);
    }
    State::Postgres(Box::new(plan))
}

/// Reads the address; nothing of it is repeated in what is told, it may hold a password.
fn address(url: &At<Secret<String>>, report: &mut Report) -> Option<Postgres> {
    let text = url.value.expose();
    let parsed = Url::parse(text).ok().filter(|_| is_address(text));
    let Some(parsed) = parsed else {
        report.problem(&url.at, "state: the address cannot be read", HELP);
        return None;
    };
    let decoded = |text: &str| {
        percent_encoding::percent_decode_str(text).decode_utf8().ok().map(|text| text.into_owned())
    };
    let host = parsed.host_str().map(|host| host.trim_matches(['[', ']'])).unwrap_or_default();
    let user = decoded(parsed.username()).unwrap_or_default();
    let database = decoded(parsed.path().trim_start_matches('/')).unwrap_or_default();
    let missing = [
        ("user", user.is_empty()),
        ("host", host.is_empty()),
        ("database", database.is_empty() || database.contains('/')),
    ];
    for (what, is_missing) in missing {
        if is_missing {
            report.problem(&url.at, format!("state: the address names no {what}"), HELP);
            return None;
        }
    }
    if parsed.query().is_some() || parsed.fragment().is_some() {
        let help = "write password, tls and ca beside url: state: { postgres: { url: …, tls: … } }";
        report.problem(&url.at, "state: the address says more than where it is", help);
        return None;
    }
    let password = parsed.password().and_then(decoded).map(|password| {
        let message = "state: the secret stands in the file itself";
        let help = "write state: { postgres: { url: …, password: {file: PATH} } }";
        report.warn(&url.at, message.to_owned(), help);
        SecretForm::Literal(Secret::new(password))
    });
    Some(Postgres {
        host: host.to_owned(),
        port: parsed.port().unwrap_or(PORT_DEFAULT),
        user,
        database,
        password,
        tls: UpstreamTls::VerifyFull,
        ca: None,
        outlive: OUTLIVE_DEFAULT,
    })
}
