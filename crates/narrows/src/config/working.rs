//! The working form: the text form, checked as a whole and completed with defaults.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ::identity::{CertificatePlan, IssuerPlan, SignInPlan};
use admin::{RequestPlan, SamlPlan};
use model::{Resource, UpstreamTls, is_this_machine, limit};
use policy::{
    AccessSpec, ActionSpec, Applies, ApproveSpec, ClassifySpec, LimitSpec, Located, Location,
    MaskSpec, Per, PolicySpec, RecordSpec, RuleSpec,
};
use secrets::{CredentialSource, Stores};

use super::access;
use super::certificates;
use super::identity;
use super::machine::Machine;
use super::nearest::nearest;
use super::people;
use super::read::{At, Report};
use super::recording::{Recorded, Recording, recording};
use super::saml;
use super::scalar::{
    Address, IsolationForm, ModeForm, PerForm, RedirectForm, SecretForm, ServerFilesForm, TlsForm,
    TlsNegotiationForm, bad_name, is_name,
};
use super::state::{self, State};
use super::stores;
use super::telling::{self, Telling};
use super::text;
use super::tree::quoted;
use super::web::{self, Beside, Site};
use crate::protocols;

/// Where the admin API listens when the file does not say.
const ADMIN_DEFAULT: &str = "127.0.0.1:7070";
const DATA_DIR_DEFAULT: &str = "./var";
/// See `catalog.max_age`.
const CATALOG_MAX_AGE_DEFAULT: Duration = Duration::from_secs(1);
/// Listeners and resource types of the design that are still to come.
const PLANNED: [&str; 3] = ["ssh", "mcp", "kubernetes"];

/// A configuration that can be used.
#[derive(Clone, Debug)]
pub struct Config {
    /// The file it was read from.
    pub file: PathBuf,
    /// Folder of state, journal and local CA.
    pub data_dir: PathBuf,
    /// Where the registry is.
    pub state: State,
    /// Where the admin API listens.
    pub admin: Address,
    /// Where each protocol listens.
    pub listeners: Vec<(&'static str, Address)>,
    /// Who is let in through `listen.transparent`.
    pub transparent: Option<Transparent>,
    /// Certificate and key files; `None`: the local CA.
    pub tls: Option<(PathBuf, PathBuf)>,
    /// Identity providers that are believed.
    pub issuers: Vec<IssuerPlan>,
    /// Those at which people sign in.
    pub clients: Vec<identity::ClientForm>,
    /// Those at which they sign in by SAML.
    pub saml: Vec<SamlPlan>,
    /// What holds for everybody who signs in.
    pub sign_in: Option<SignInPlan>,
    /// Client certificates that are believed.
    pub certificates: Vec<CertificatePlan>,
    /// What can be reached.
    pub upstreams: Vec<Upstream>,
    /// What can be reached in HTTP.
    pub sites: Vec<Site>,
    /// Resources to which access can be asked for, and who may answer.
    pub requests: Vec<(Arc<str>, RequestPlan)>,
    /// Rules, access, lists and resources, as policy compiles them.
    pub policy: PolicySpec,
    /// What is recorded.
    pub recording: Recording,
    /// Who is told of approvals.
    pub notify: Vec<Telling>,
    /// Bytes of one reply that may be withheld.
    pub hold_buffer_bytes: usize,
    /// Bytes withheld by the whole gateway.
    pub hold_total_bytes: usize,
    /// How old a catalog may be.
    pub catalog_max_age: Duration,
    /// Sessions carried at once.
    pub sessions_max: usize,
    /// Sessions go on when the token that began them ends.
    pub outlive_token: bool,
    /// Longest statement, bytes.
    pub statement_bytes_max: usize,
    /// Different values compared with one masked column in a day.
    pub guesses_max: u64,
    /// The installation key, when it comes from elsewhere.
    pub installation_key: Option<SecretForm>,
    /// Where secrets are kept.
    pub stores: Arc<Stores>,
}

/// Clients that know of no proxy, and what proves who they are.
#[derive(Clone, Debug)]
pub struct Transparent {
    /// Their connections keep their destination (TPROXY).
    pub tproxy: bool,
    /// Networks and the tokens of those in them.
    pub sources: Vec<(IpAddr, u8, SecretForm)>,
}

/// A registered upstream.
#[derive(Clone, Debug)]
pub struct Upstream {
    /// Name and type.
    pub resource: Resource,
    /// Where it is.
    pub address: Address,
    /// What to open there.
    pub database: String,
    /// The account.
    pub user: String,
    /// Its password.
    pub password: Option<SecretForm>,
    /// Where account and password are made, in place of those.
    pub credentials: Option<CredentialSource>,
    /// How the connection is protected.
    pub tls: UpstreamTls,
    /// More certificates to trust.
    pub ca: Option<PathBuf>,
    /// How it is recorded.
    pub recorded: Recorded,
    /// Settings that the protocol reads itself.
    pub options: serde_json::Value,
}

/// Completes the text form. Every problem goes into the report; what is returned is of use only if
/// there were none.
pub fn complete(
    file: text::File,
    rules: Vec<text::Rule>,
    path: &Path,
    machine: &dyn Machine,
    report: &mut Report,
) -> Config {
    let base = path.parent().unwrap_or(Path::new(""));
    let stores = stores::complete(file.vault, (base, machine), report);
    let data_dir = file.data_dir.map_or_else(|| DATA_DIR_DEFAULT.to_owned(), |dir| dir.value);
    let data_dir = base.join(data_dir);
    let installation_key =
        file.keys.and_then(|keys| keys.installation).map(|key| relative_secret(key.value, base));
    let own_key = installation_key.is_some();
    let state = state::complete(file.state, own_key, (base, machine), report);
    if let Some(encryption) = file.recording.as_ref().and_then(|form| form.encryption.as_ref()) {
        warn_of_key_beside(&encryption.here.at, installation_key.as_ref(), &data_dir, report);
    }
    let recording = recording(file.recording, (base, &data_dir), machine, report);
    let (admin, listeners) = listeners(file.listen, &file.here.at, machine, report);
    let listens = listeners.iter().any(|(name, _)| *name == protocols::TRANSPARENT);
    let transparent = transparent(file.transparent, listens, &file.here.at, base, report);
    let beside = Beside { recording: &recording, base, machine };
    let mut requests = Vec::new();
    let (upstreams, sites, resources) = upstreams(file.resources, &beside, &mut requests, report);
    let (buffer, total) = hold(file.hold, report);
    let rules: Vec<RuleSpec> =
        (0..).zip(rules).map(|(index, rule)| self::rule(index, rule, report)).collect();
    for site in &sites {
        web::warn_of_rules(site, &rules, report);
    }
    let form = file.identity;
    let (oidc, by_saml, login, roles, certificates) = match form {
        Some(form) => (
            form.oidc.unwrap_or_default(),
            form.saml.unwrap_or_default(),
            form.login,
            form.roles,
            form.certificates,
        ),
        None => (Vec::new(), Vec::new(), None, None, None),
    };
    let saml_at = by_saml.first().map(|form| form.here.at.clone());
    let certificates_at = certificates.iter().flatten().next().map(|form| form.here.at.clone());
    let certificates = certificates::plans(certificates, (base, machine), report);
    let (issuers, clients) = identity::issuers(oidc, (base, machine), report);
    let signs_in = !clients.is_empty() || !by_saml.is_empty();
    let sign_in = people::complete((login, roles), signs_in, &admin, report);
    let saml = saml::complete(by_saml, sign_in.as_ref(), (base, machine), report);
    let oidc = issuers.iter().filter(|plan| !plan.is_trust_domain());
    let oidc: Vec<_> = oidc.map(|plan| &*plan.subject_prefix).collect();
    let by_saml: Vec<_> = saml.iter().map(|plan| &*plan.provider.subject_prefix).collect();
    let other = certificates.iter().filter(|plan| !plan.issuer.starts_with("spiffe://"));
    let other: Vec<_> = other.map(|plan| &*plan.subject_prefix).collect();
    identity::warn_across("identity.saml", saml_at, (&by_saml, &oidc), report);
    let before = [oidc, by_saml].concat();
    identity::warn_across("identity.certificates", certificates_at, (&other, &before), report);
    let notify = telling::complete(file.approvals, &rules, (base, machine), report);
    Config {
        file: path.to_owned(),
        data_dir,
        state,
        admin,
        listeners,
        transparent,
        tls: tls(file.tls, base, machine, report),
        requests,
        certificates,
        issuers,
        clients,
        saml,
        sign_in,
        policy: PolicySpec {
            version: 0,
            rules,
            access: access(file.access.unwrap_or_default(), report),
            lists: lists(file.lists, report),
            resources,
        },
        upstreams,
        sites,
        recording,
        notify,
        hold_buffer_bytes: buffer,
        hold_total_bytes: total,
        catalog_max_age: file
            .catalog
            .and_then(|catalog| catalog.max_age)
            .map_or(CATALOG_MAX_AGE_DEFAULT, |age| age.value.0),
        sessions_max: count(file.sessions_max, "sessions_max", limit::SESSIONS_MAX, report),
        outlive_token: outlive_token(file.session, report),
        statement_bytes_max: statement_bytes(file.postgres, report),
        guesses_max: guesses(file.predicates, report),
        installation_key,
        stores,
    }
}

/// The journal is sealed by the installation key: who takes the disk takes both, if it lies there.
fn warn_of_key_beside(
    encryption: &Location,
    key: Option<&SecretForm>,
    data_dir: &Path,
    report: &mut Report,
) {
    let what = match key {
        None => "the key that seals the journal is data_dir/installation.key, beside it",
        Some(SecretForm::File(path)) if path.starts_with(data_dir) => {
            "the key that seals the journal, keys.installation, is in data_dir, beside it"
        }
        Some(_) => return,
    };
    let help = "whoever has the disk has both; name a key that is kept elsewhere, \
                keys: { installation: {file: PATH} }, before the first start: with another key \
                tokens have to be made anew";
    report.warn(encryption, format!("recording.encryption: {what}"), help);
}

fn listeners(
    listen: Option<text::Listen>,
    file_at: &Location,
    machine: &dyn Machine,
    report: &mut Report,
) -> (Address, Vec<(&'static str, Address)>) {
    let default = Address { host: "127.0.0.1".to_owned(), port: 7070 };
    debug_assert_eq!(default.to_string(), ADMIN_DEFAULT);
    let (mut admin, mut listeners) = (default, Vec::new());
    let entries = listen.map(|listen| listen.0.0).unwrap_or_default();
    let mut seen: Vec<(String, String)> = Vec::new();
    for (name, address) in entries {
        if let Some((other, _)) = seen.iter().find(|(_, taken)| *taken == address.value.to_string())
            && address.value.port != 0
        {
            let message = format!("listen.{}: {} is taken", name.value, address.value);
            report.problem(
                &address.at,
                message,
                format!("listen.{other} uses it; choose another port"),
            );
        }
        seen.push((name.value.clone(), address.value.to_string()));
        if name.value == "admin" {
            warn_if_open(&address, machine, report);
            admin = address.value;
        } else if let Some(protocol) = protocols::listeners().find(|known| *known == name.value) {
            listeners.push((protocol, address.value));
        } else {
            refuse_listener(&name, report);
        }
    }
    if listeners.is_empty() && !seen.iter().any(|(name, _)| name != "admin") {
        let help = "write listen: { postgres: 127.0.0.1:7432 }";
        report.problem(file_at, "listen: no protocol listens anywhere", help);
    }
    (admin, listeners)
}

fn transparent(
    form: Option<text::Transparent>,
    listens: bool,
    file_at: &Location,
    base: &Path,
    report: &mut Report,
) -> Option<Transparent> {
    let Some(form) = form else {
        if listens {
            let message = "listen.transparent is there, and nobody is let in through it";
            let help = "write transparent: { sources: { \"10.0.0.0/24\": {file: agent.token} } }";
            report.problem(file_at, message.to_owned(), help);
        }
        return None;
    };
    let at = form.here.at.clone();
    if !listens {
        let help = "write listen: { transparent: \"0.0.0.0:7083\" }, or remove it";
        report.problem(&at, "transparent: nothing listens for it".to_owned(), help);
    }
    let written = form.sources.map(|sources| sources.0).unwrap_or_default();
    if written.is_empty() && !form.here.has("sources") {
        let help = "write sources: { \"10.0.0.0/24\": {file: agent.token} }";
        report.problem(&at, "transparent has no sources".to_owned(), help);
    }
    let mut sources = Vec::new();
    for (network, secret) in written {
        match web::network(&network.value) {
            Some((address, bits)) => {
                sources.push((address, bits, relative_secret(secret.value, base)));
            }
            None => {
                let message = format!("transparent.sources: found {}", quoted(&network.value));
                report.problem(&network.at, message, "write a network: 10.0.0.0/24");
            }
        }
    }
    let tproxy = form.mode.is_some_and(|mode| mode.value == RedirectForm::Tproxy);
    Some(Transparent { tproxy, sources })
}

fn refuse_listener(name: &At<String>, report: &mut Report) {
    let built: Vec<&str> = std::iter::once("admin").chain(protocols::listeners()).collect();
    let message = format!("this build has no \"{}\" listener", name.value);
    let near = nearest(&name.value, built.iter().copied());
    let help = match near {
        Some(near) if !PLANNED.contains(&&*name.value) => format!("did you mean \"{near}\"?"),
        _ => format!("remove the line. Built: {}", built.join(", ")),
    };
    report.problem(&name.at, message, help);
}

/// The admin API has no TLS of its own.
fn warn_if_open(address: &At<Address>, machine: &dyn Machine, report: &mut Report) {
    let local = match machine.resolve(&address.value.host) {
        Ok(all) => all.iter().all(IpAddr::is_loopback),
        Err(_) => false,
    };
    if !local {
        let message = format!("listen.admin: {} can be reached from the network", address.value);
        report.warn(
            &address.at,
            message,
            "the admin API has no TLS; use 127.0.0.1 and a TLS proxy",
        );
    }
}

fn tls(
    tls: Option<text::Tls>,
    base: &Path,
    machine: &dyn Machine,
    report: &mut Report,
) -> Option<(PathBuf, PathBuf)> {
    let tls = tls?;
    let (Some(cert), Some(key)) = (tls.cert.clone(), tls.key.clone()) else {
        let help = "write tls: { cert: {file: gw.pem}, key: {file: gw.key} }, or leave tls out";
        report.problem_with(&tls, "tls needs a certificate and a key", help);
        return None;
    };
    let mut read = |file: At<super::scalar::FileForm>, what: &str| {
        let path = base.join(file.value.0);
        check_file(machine, &path, what, &file.at, report);
        path
    };
    Some((read(cert, "tls.cert"), read(key, "tls.key")))
}

pub(super) fn check_file(
    machine: &dyn Machine,
    path: &Path,
    what: &str,
    at: &Location,
    report: &mut Report,
) {
    if let Err(error) = machine.open(path) {
        report.problem(at, format!("{what}: cannot read {}: {error}", path.display()), "");
    }
}

/// The upstreams, and every name that was written for one: a resource with a mistake in it is still
/// a resource to whatever names it.
fn upstreams(
    resources: Option<text::Resources>,
    beside: &Beside<'_>,
    requests: &mut Vec<(Arc<str>, RequestPlan)>,
    report: &mut Report,
) -> (Vec<Upstream>, Vec<Site>, Vec<Resource>) {
    let entries = resources.map(|resources| resources.0.0).unwrap_or_default();
    let (mut upstreams, mut sites, mut named) = (Vec::new(), Vec::new(), Vec::new());
    for (name, form) in entries {
        if !is_name(&name.value) {
            let (message, help) = bad_name("resources", &name.value);
            report.problem(&name.at, message, help);
        }
        let (mut upstream, mut site) = (None, None);
        let request = form.request().and_then(|form| access::request(&name.value, form, report));
        requests.extend(request.map(|plan| (name.value.as_str().into(), plan)));
        match form {
            text::Resource::Postgres(form) => {
                let (base, machine) = (beside.base, beside.machine);
                upstream = self::upstream(&name, *form, beside.recording, (base, machine), report);
            }
            text::Resource::Http(form) => site = web::http(&name, *form, beside, report),
            text::Resource::Egress(form) => site = web::egress(&name, *form, beside, report),
            text::Resource::Broken => {}
        }
        let stand_in = || Resource {
            name: name.value.as_str().into(),
            kind: protocols::kinds().next().unwrap_or_default().into(),
        };
        let own = upstream.as_ref().map(|upstream| &upstream.resource);
        let own = own.or_else(|| site.as_ref().map(|site| &site.resource));
        named.push(own.map_or_else(stand_in, Clone::clone));
        upstreams.extend(upstream);
        sites.extend(site);
    }
    (upstreams, sites, named)
}

fn upstream(
    name: &At<String>,
    form: text::PostgresResource,
    recording: &Recording,
    (base, machine): (&Path, &dyn Machine),
    report: &mut Report,
) -> Option<Upstream> {
    let what = format!("resources.{}", name.value);
    let mut missing = |key: &str, example: &str, absent: bool| {
        // A key that is there and wrong was reported already, so this may say it twice.
        if absent {
            report.problem(
                &form.here.at,
                format!("{what} has no {key}"),
                format!("write {key}: {example}"),
            );
        }
    };
    missing("address", "\"127.0.0.1:5432\"", form.address.is_none() && !form.here.has("address"));
    let made = form.here.has("credentials");
    missing("user", "app", form.user.is_none() && !form.here.has("user") && !made);
    if made && (form.here.has("user") || form.here.has("password")) {
        let message = format!("{what} has credentials, and user or password beside them");
        report.problem(&form.here.at, message, "credentials bring both; remove the others");
        return None;
    }
    let tls_at = form.tls.as_ref().map(|tls| tls.at.clone());
    let tls = match form.tls.map(|tls| tls.value) {
        None | Some(TlsForm::VerifyFull) => UpstreamTls::VerifyFull,
        Some(TlsForm::Require) => UpstreamTls::Require,
        Some(TlsForm::Off) => UpstreamTls::Off,
    };
    let address = form.address?.value;
    let credentials =
        form.credentials.map(|place| CredentialSource::new(place.value.0, report.slot.stores()));
    let user = match &credentials {
        Some(_) => String::new(),
        None => form.user?.value,
    };
    if let Some(at) = tls_at {
        warn_about_tls(&what, tls, &address, &at, report);
    }
    let ca = form.ca.map(|ca| {
        let path = base.join(ca.value.0);
        check_file(machine, &path, &format!("{what}.ca"), &ca.at, report);
        path
    });
    let mut options = serde_json::Map::new();
    if form.isolation.is_some_and(|isolation| isolation.value == IsolationForm::Shared) {
        options.insert("isolation".to_owned(), "shared".into());
    }
    if let Some(choice) = form.tls_negotiation
        && choice.value == TlsNegotiationForm::Direct
    {
        if tls == UpstreamTls::Off {
            let message = format!("{what}: tls_negotiation is direct, and tls is off");
            report.problem(&choice.at, message, "remove one of them");
        }
        options.insert("tls_negotiation".to_owned(), "direct".into());
    }
    if let Some(roles) = form.roles {
        let roles: Vec<String> = roles.into_iter().map(|role| role.value).collect();
        options.insert("roles".to_owned(), roles.into());
    }
    if form.server_files.is_some_and(|choice| choice.value == ServerFilesForm::Allow) {
        options.insert("server_files".to_owned(), "allow".into());
    }
    Some(Upstream {
        resource: Resource {
            name: name.value.as_str().into(),
            kind: form.kind.map(|kind| Arc::from(kind.value))?,
        },
        address,
        database: form.database.map_or_else(|| name.value.clone(), |database| database.value),
        user,
        password: form.password.map(|password| relative_secret(password.value, base)),
        credentials,
        tls,
        ca,
        recorded: Recorded::of(form.recording, recording),
        options: serde_json::Value::Object(options),
    })
}

fn warn_about_tls(
    what: &str,
    tls: UpstreamTls,
    address: &Address,
    at: &Location,
    report: &mut Report,
) {
    let local = is_this_machine(&address.host);
    match tls {
        UpstreamTls::Off if !local => report.warn(
            at,
            format!("{what}.tls: off sends credentials and data to {address} in clear text"),
            "use verify-full, with ca: FILE where the server has its own CA",
        ),
        UpstreamTls::Require if !local => report.warn(
            at,
            format!("{what}.tls: require does not check who {address} is"),
            "use verify-full, with ca: FILE where the server has its own CA",
        ),
        _ => {}
    }
}

pub(super) fn relative_secret(secret: SecretForm, base: &Path) -> SecretForm {
    match secret {
        SecretForm::File(path) => SecretForm::File(base.join(path)),
        other => other,
    }
}

fn access(lines: Vec<text::Access>, report: &mut Report) -> Vec<AccessSpec> {
    let whole = lines.into_iter().filter(|line| !line.here.broken);
    whole.map(|line| access::line(line, report)).collect()
}

fn lists(
    lists: Option<super::read::Named<Vec<String>>>,
    report: &mut Report,
) -> Vec<(String, Vec<String>)> {
    let lists = lists.unwrap_or_default().0;
    for (name, _) in &lists {
        let word = name.value.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && name.value.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        if !word {
            let message = format!("lists: {} is not a name for an expression", quoted(&name.value));
            report.problem(
                &name.at,
                message,
                "use letters, digits and '_', beginning with a letter",
            );
        }
    }
    lists.into_iter().map(|(name, values)| (name.value, values)).collect()
}

const ACTIONS: &str = "mask, approve, block, alert, limit, classify, record";

fn rule(index: usize, form: text::Rule, report: &mut Report) -> RuleSpec {
    let name = form
        .name
        .clone()
        .map_or_else(|| Located::new(format!("rules[{index}]"), form.here.at.clone()), At::located);
    if !form.here.has("name") {
        report.problem_with(&form, "this rule has no name", "write name: what-it-is-for");
    }
    let observe = form.mode.as_ref().is_some_and(|mode| mode.value == ModeForm::Observe);
    if let Some(mode) = form.mode.as_ref().filter(|_| observe) {
        let what = format!("rule {} only observes: it never takes part in the outcome", name.value);
        report.warn(&mode.at, what, "remove mode: observe to enforce it");
    }
    let applies = form.applies.clone().map(|applies| Applies {
        groups: located(applies.groups),
        subjects: located(applies.subjects),
        kinds: located(applies.kinds),
    });
    RuleSpec {
        applies: applies.unwrap_or_default(),
        on: located(form.on.clone()),
        when: form.when.clone().map(At::located),
        observe,
        window: form.window.as_ref().map(|window| window.value.0),
        at: form.here.at.clone(),
        action: action(&name, form, report),
        name,
    }
}

/// The one action of a rule. Where it is wrong, an alert stands in, so that the rule's condition is
/// still checked and nothing is reported twice.
fn action(name: &Located<String>, form: text::Rule, report: &mut Report) -> ActionSpec {
    let stand_in = ActionSpec::Alert(Located::new("wrong".to_owned(), form.here.at.clone()));
    let written: Vec<&str> = ACTIONS.split(", ").filter(|action| form.here.has(action)).collect();
    if written.len() != 1 {
        let label = format!("rule {}", name.value);
        let message = match written.as_slice() {
            [] => format!("{label} does nothing"),
            several => format!("{label} has {} actions: {}", several.len(), several.join(", ")),
        };
        report.problem(&name.at, message, format!("write exactly one of: {ACTIONS}"));
        if written.is_empty() {
            return stand_in;
        }
        // The first is looked through all the same: its own problems belong to the same run.
    }
    None.or_else(|| form.mask.filter(|at| !at.value.here.broken).map(|at| mask(at.value)))
        .or_else(|| form.approve.filter(|at| !at.value.here.broken).map(|at| approve(at.value)))
        .or_else(|| form.block.map(|at| ActionSpec::Block(at.located())))
        .or_else(|| form.alert.map(|at| ActionSpec::Alert(at.located())))
        .or_else(|| form.limit.filter(|at| !at.value.here.broken).map(|at| limit(at.value)))
        .or_else(|| form.classify.filter(|at| !at.value.here.broken).map(|at| classify(at.value)))
        .or_else(|| form.record.filter(|at| !at.value.here.broken).map(|at| record(at.value)))
        .unwrap_or(stand_in)
}

fn mask(form: text::Mask) -> ActionSpec {
    ActionSpec::Mask(MaskSpec {
        fields: located(form.fields),
        types: located(form.types),
        with: form.with.map(|with| Located::new(with.value.0, with.at)),
        predicates: form.predicates.map(At::located),
    })
}

fn approve(form: text::Approve) -> ActionSpec {
    ActionSpec::Approve(ApproveSpec {
        by: located(form.by),
        needs: form.needs.map(|needs| needs.value),
        wait: form.wait.map(|wait| wait.value.0),
        expires: form.expires.map(|expires| expires.value.0),
        grant: form.grant.map(|grant| grant.value.0),
        rows_max: form.rows_max.map(|rows| rows.value),
        escalate: form.escalate.map(access::escalate),
    })
}

fn limit(form: text::Limit) -> ActionSpec {
    ActionSpec::Limit(LimitSpec {
        operations: form.operations.map(|operations| operations.value),
        rows: form.rows.map(|rows| rows.value),
        bytes: form.bytes.map(|bytes| bytes.value.0),
        per: match form.per.map(|per| per.value) {
            Some(PerForm::Resource) => Per::Resource,
            Some(PerForm::Principal) | None => Per::Principal,
        },
        window: form.window.map(|window| window.value.0),
    })
}

fn classify(form: text::Classify) -> ActionSpec {
    ActionSpec::Classify(ClassifySpec { fields: located(form.fields), types: located(form.types) })
}

fn record(form: text::Record) -> ActionSpec {
    ActionSpec::Record(RecordSpec { payload: form.payload.map(|payload| payload.value.policy()) })
}

pub(super) fn located(values: Option<Vec<At<String>>>) -> Vec<Located<String>> {
    values.unwrap_or_default().into_iter().map(At::located).collect()
}

fn hold(hold: Option<text::Hold>, report: &mut Report) -> (usize, usize) {
    let defaults = (limit::HOLD_BUFFER_BYTES, limit::HOLD_BUFFER_TOTAL_BYTES);
    let Some(hold) = hold else { return defaults };
    let at = hold.here.at.clone();
    let size = |size: Option<At<super::scalar::Size>>, default| {
        size.map_or(default, |size| usize::try_from(size.value.0).unwrap_or(usize::MAX))
    };
    let (buffer, total) = (size(hold.buffer, defaults.0), size(hold.buffer_total, defaults.1));
    if total < buffer {
        let message = "hold.buffer_total is smaller than hold.buffer";
        report.problem(&at, message, "it bounds all withheld replies together; make it larger");
    }
    (buffer, total)
}

fn count(value: Option<At<u64>>, what: &str, default: usize, report: &mut Report) -> usize {
    let Some(value) = value else { return default };
    match usize::try_from(value.value) {
        Ok(0) | Err(_) => {
            report.problem(&value.at, format!("{what}: found {}", value.value), "write 1 or more");
            default
        }
        Ok(count) => count,
    }
}

fn guesses(predicates: Option<text::PredicateBudget>, report: &mut Report) -> u64 {
    const MOST: u64 = 1_000_000;
    let Some(budget) = predicates.and_then(|predicates| predicates.budget) else {
        return limit::GUESSES_MAX;
    };
    if budget.value > MOST {
        let message = format!("predicates.budget: found {}", budget.value);
        report.problem(&budget.at, message, "write a number from 0 to 1000000");
        return limit::GUESSES_MAX;
    }
    budget.value
}

fn outlive_token(session: Option<text::Session>, report: &mut Report) -> bool {
    let Some(outlive) = session.and_then(|session| session.outlive_token) else { return false };
    if outlive.value {
        let help = "access that a provider takes away is then noticed only by who logs in anew";
        let message = "session.outlive_token: sessions go on when their token has ended";
        report.warn(&outlive.at, message, help);
    }
    outlive.value
}

fn statement_bytes(postgres: Option<text::Postgres>, report: &mut Report) -> usize {
    const LEAST: u64 = 1024;
    let default = limit::STATEMENT_BYTES_MAX;
    let Some(size) = postgres.and_then(|postgres| postgres.statement_bytes_max) else {
        return default;
    };
    let most = limit::CLIENT_MESSAGE_BYTES_MAX as u64;
    if !(LEAST..=most).contains(&size.value.0) {
        let message = format!("postgres.statement_bytes_max: found {} bytes", size.value.0);
        report.problem(&size.at, message, "write a size from 1KiB to 64MiB");
        return default;
    }
    usize::try_from(size.value.0).unwrap_or(default)
}
