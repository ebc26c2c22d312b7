//! `vault`, and whatever else holds secrets and is asked for them.

use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use parking_lot::Mutex;
use policy::Location;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use secrets::{LoginPlan, Reference, SecretSource, Stores, StoresPlan, VaultAuthPlan, VaultPlan};

use super::address::{self, Carries};
use super::machine::Machine;
use super::read::{At, Fields, Form, Report, form};
use super::scalar::{FileForm, SecretForm, Time};
use super::show;
use super::tree::{Node, Value, quoted};
use super::working::{check_file, relative_secret};
use crate::wire;

/// See `vault.refresh`.
const REFRESH_DEFAULT: Duration = Duration::from_secs(60);
const REFRESH_MIN: Duration = Duration::from_secs(1);
const REFRESH_MAX: Duration = Duration::from_secs(24 * 60 * 60);
/// Where Kubernetes puts the token of a pod's service account.
const POD_TOKEN: &str = "/var/run/secrets/kubernetes.io/serviceaccount/token";

form! {
    /// A server of HashiCorp Vault or OpenBao: for `{vault: PATH#FIELD}` wherever a secret is
    /// wanted, and for `credentials` of resources.
    pub struct VaultServer {
        /// `https://vault.example:8200`; `http` only on this machine.
        #[schemars(required)]
        "address" => address: At<String>,
        /// The namespace, where the server has them.
        "namespace" => namespace: At<String>,
        /// Certificates to trust instead of the system's, PEM.
        "ca" => ca: At<FileForm>,
        /// A token that somebody else renews, read again for each request. This, or one of the next
        /// three.
        "token" => token: At<SecretForm>,
        /// Logs in with a role and its secret.
        "approle" => approle: At<AppRole>,
        /// Logs in as the service account of a pod.
        "kubernetes" => kubernetes: At<RoleLogin>,
        /// Logs in with a JSON Web Token.
        "jwt" => jwt: At<RoleLogin>,
        /// How often secrets are read again. Default: 1m.
        "refresh" => refresh: At<Time>,
    }
}

form! {
    /// A login by AppRole.
    pub struct AppRole {
        /// The role's id.
        #[schemars(required)]
        "role_id" => role_id: At<String>,
        /// Its secret, read again at each login.
        #[schemars(required)]
        "secret_id" => secret_id: At<SecretForm>,
        /// Where the method is mounted. Default: approle.
        "mount" => mount: At<String>,
    }
}

form! {
    /// A login as a role, with a JSON Web Token.
    pub struct RoleLogin {
        /// The role.
        #[schemars(required)]
        "role" => role: At<String>,
        /// The token, read again at each login. Of `kubernetes`, the pod's own by default.
        "jwt" => jwt: At<SecretForm>,
        /// Where the method is mounted. Default: as the method is called.
        "mount" => mount: At<String>,
    }
}

/// Where the credentials of a resource are made: `{vault: MOUNT/creds/ROLE}`.
#[derive(Clone, Debug)]
pub struct CredentialsForm(pub String);

impl Form for CredentialsForm {
    fn read(node: &Node, what: &str, report: &mut Report) -> Option<Self> {
        const HELP: &str = "write {vault: database/creds/ROLE}";
        if !matches!(node.value, Value::Table(_)) {
            report.expected(node, what, HELP);
            return None;
        }
        let fields = Fields::open(node, what, &["vault"], report)?;
        let path = fields.field::<String>("vault", report);
        let Some(path) = path else {
            report.problem(&node.at, format!("{what}: no place is named"), HELP);
            return None;
        };
        if let Err(help) = secrets::credential_path(&path) {
            report.problem(&node.at, format!("{what}.vault: found {}", quoted(&path)), help);
            return None;
        }
        report.slot.need_vault(&node.at, what);
        Some(Self(path))
    }
}

impl JsonSchema for CredentialsForm {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Credentials".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "object",
            "properties": { "vault": { "type": "string", "examples": ["database/creds/ROLE"] } },
            "required": ["vault"],
            "additionalProperties": false
        })
    }
}

/// The stores of one configuration: known once it is read wholly, and meanwhile what is wanted of
/// them.
#[derive(Clone, Debug, Default)]
pub struct Slot(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    stores: OnceLock<Arc<Stores>>,
    wanted: Mutex<Wanted>,
}

#[derive(Debug, Default)]
struct Wanted {
    references: Vec<Reference>,
    /// Where Vault is needed, and for what.
    vault: Vec<(Location, String)>,
    /// Variables that hold secrets.
    variables: Vec<String>,
}

impl Slot {
    /// A secret of a store is wanted.
    pub fn want(&self, reference: Reference, at: &Location, what: &str) {
        self.0.wanted.lock().references.push(reference);
        self.need_vault(at, what);
    }

    /// A secret of a store that needs no configuration is wanted.
    pub fn want_plainly(&self, reference: Reference) {
        self.0.wanted.lock().references.push(reference);
    }

    fn need_vault(&self, at: &Location, what: &str) {
        self.0.wanted.lock().vault.push((at.clone(), what.to_owned()));
    }

    /// A variable holds a secret, which no command has to see.
    pub fn hide(&self, variable: &str) {
        let mut wanted = self.0.wanted.lock();
        if !wanted.variables.iter().any(|known| known == variable) {
            wanted.variables.push(variable.to_owned());
        }
    }

    /// Variables that hold secrets.
    #[must_use]
    pub fn hidden(&self) -> Vec<String> {
        self.0.wanted.lock().variables.clone()
    }

    /// The stores; empty ones where the configuration was not read wholly.
    #[must_use]
    pub fn stores(&self) -> Arc<Stores> {
        Arc::clone(self.0.stores.get_or_init(|| Stores::new(StoresPlan::default(), Vec::new())))
    }
}

/// Completes what the file says about stores.
pub fn complete(
    form: Option<VaultServer>,
    (base, machine): (&Path, &dyn Machine),
    report: &mut Report,
) -> Arc<Stores> {
    let slot = report.slot.clone();
    let wanted = std::mem::take(&mut *slot.0.wanted.lock());
    if form.is_none() {
        for (at, what) in &wanted.vault {
            let help =
                "add vault: { address: \"https://vault.example:8200\", token: {file: PATH} }";
            report.problem(at, format!("{what}: no vault is configured"), help);
        }
    }
    slot.0.wanted.lock().variables.clone_from(&wanted.variables);
    let vault = form.and_then(|form| vault(form, (base, machine), report));
    let stores = Stores::new(StoresPlan { vault }, wanted.references);
    // Nobody asked for it before.
    Arc::clone(slot.0.stores.get_or_init(|| stores))
}

fn vault(
    form: VaultServer,
    (base, machine): (&Path, &dyn Machine),
    report: &mut Report,
) -> Option<VaultPlan> {
    let at = form.here.at.clone();
    let broken = form.here.broken;
    if form.address.is_none() && !broken {
        let help = "write address: https://vault.example:8200";
        report.problem(&at, "vault has no address", help);
    }
    let address = form.address.and_then(|address| {
        let url = address::url(&address, "vault.address", Carries::Secrets, report)?;
        if url.path() != "/" || url.query().is_some() {
            let message = format!("vault.address: found {}", quoted(&address.value));
            report.problem(&address.at, message, "write https://HOST[:PORT]");
            return None;
        }
        Some(address.value)
    });
    let ca = form.ca.map(|ca| {
        let path = base.join(ca.value.0);
        check_file(machine, &path, "vault.ca", &ca.at, report);
        path
    });
    let refresh = match form.refresh {
        None => REFRESH_DEFAULT,
        Some(every) => {
            if !(REFRESH_MIN..=REFRESH_MAX).contains(&every.value.0) {
                let message = format!("vault.refresh: found {}", show::time(every.value.0));
                report.problem(&every.at, message, "write a length of time from 1s to 1d");
            }
            every.value.0
        }
    };
    let methods = [
        form.token.map(|token| (Method::Token(token.value), token.at)),
        form.approle.map(|role| (Method::AppRole(role.value), role.at)),
        form.kubernetes.map(|role| (Method::Role("kubernetes", role.value), role.at)),
        form.jwt.map(|role| (Method::Role("jwt", role.value), role.at)),
    ];
    let mut methods = methods.into_iter().flatten();
    let (Some((method, at_method)), None) = (methods.next(), methods.next()) else {
        if !broken {
            let help = "write one of: token, approle, kubernetes, jwt";
            report.problem(&at, "vault: not exactly one way to be known there", help);
        }
        return None;
    };
    let auth = auth(method, &at_method, base, report)?;
    let namespace = form.namespace.map(|namespace| namespace.value);
    Some(VaultPlan { address: address?, namespace, ca, auth, refresh })
}

enum Method {
    Token(SecretForm),
    AppRole(AppRole),
    Role(&'static str, RoleLogin),
}

fn auth(method: Method, at: &Location, base: &Path, report: &mut Report) -> Option<VaultAuthPlan> {
    let opens = |form: SecretForm, report: &mut Report| {
        if matches!(form, SecretForm::Kept(..)) {
            let help = "take it from {file: PATH}, {env: NAME} or {command: [program]}";
            report.problem(at, "vault: what opens it cannot be in it", help);
            return None;
        }
        Some(wire::secret(&relative_secret(form, base)))
    };
    let text = |text: String| SecretSource::Literal(model::Secret::new(text));
    let (mount, default, fields) = match method {
        Method::Token(token) => return opens(token, report).map(VaultAuthPlan::Token),
        Method::AppRole(role) => {
            let (Some(role_id), Some(secret_id)) = (role.role_id, role.secret_id) else {
                let help = "write approle: { role_id: ID, secret_id: {file: PATH} }";
                report.problem(at, "vault.approle: role_id or secret_id is missing", help);
                return None;
            };
            let secret_id = opens(secret_id.value, report)?;
            let fields = vec![("role_id", text(role_id.value)), ("secret_id", secret_id)];
            (role.mount, "approle", fields)
        }
        Method::Role(name, login) => {
            let pod = (name == "kubernetes").then(|| SecretForm::File(POD_TOKEN.into()));
            let (Some(role), Some(jwt)) = (login.role, login.jwt.map(|jwt| jwt.value).or(pod))
            else {
                let help = format!("write {name}: {{ role: NAME, jwt: {{file: PATH}} }}");
                report.problem(at, format!("vault.{name}: role or jwt is missing"), help);
                return None;
            };
            let jwt = opens(jwt, report)?;
            (login.mount, name, vec![("role", text(role.value)), ("jwt", jwt)])
        }
    };
    let mount = mount.map_or_else(|| default.to_owned(), |mount| mount.value);
    Some(VaultAuthPlan::Login(LoginPlan { mount, fields }))
}

/// The lines of `narrows check --show`.
pub fn show_vault(stores: &Stores, out: &mut String) -> std::fmt::Result {
    use std::fmt::Write as _;
    let Some(vault) = &stores.plan().vault else { return Ok(()) };
    writeln!(out, "vault:\n  address: {}", vault.address)?;
    if let Some(namespace) = &vault.namespace {
        writeln!(out, "  namespace: {namespace}")?;
    }
    if let Some(ca) = &vault.ca {
        writeln!(out, "  ca: {}", ca.display())?;
    }
    match &vault.auth {
        VaultAuthPlan::Token(source) => writeln!(out, "  token: from {source}")?,
        VaultAuthPlan::Login(LoginPlan { mount, fields }) => {
            let named = fields.iter().map(|(name, source)| format!("{name} from {source}"));
            let named: Vec<String> = named.collect();
            writeln!(out, "  login: auth/{mount} with {}", named.join(", "))?;
        }
    }
    writeln!(out, "  refresh: {}", show::time(vault.refresh))
}
