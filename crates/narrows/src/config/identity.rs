//! `identity`: the providers whose tokens are believed.

use std::path::{Path, PathBuf};
use std::time::Duration;

use ::identity::{ALGORITHMS, IssuerPlan, KeysFrom, algorithm};
use model::PrincipalKind;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use url::Url;

use super::address::{self, Carries};
use super::certificates::Certificates;
use super::machine::Machine;
use super::nearest::nearest;
use super::people::{LoginForm, RolesForm};
use super::read::{At, Form, Named, Report, form, listed};
use super::saml::Saml;
use super::scalar::{FileForm, KindForm, SecretForm, Time};
use super::tree::{Node, Value, quoted};
use super::working::{check_file, relative_secret};

/// Providers that are believed at once.
const ISSUERS_MAX: usize = 32;
/// A clock that is further off is wrong.
const SKEW_MAX: Duration = Duration::from_secs(300);
/// How a certificate begins.
const PEM: &[u8] = b"-----BEGIN CERTIFICATE-----";
/// Longest file of certificates, bytes.
const CA_BYTES_MAX: u64 = 1 << 20;

form! {
    /// Who vouches for whom, besides the tokens of `narrows token create`.
    pub struct Identity {
        /// Identity providers whose access tokens (JSON Web Tokens) are believed.
        "oidc" => oidc: Vec<Oidc>,
        /// Identity providers at which people sign in by SAML 2.0.
        "saml" => saml: Vec<Saml>,
        /// How people sign in, wherever they do.
        "login" => login: LoginForm,
        /// Which groups may do what in the admin API.
        "roles" => roles: RolesForm,
        /// Certificates with which clients prove themselves in TLS, without a token.
        "certificates" => certificates: Vec<Certificates>,
    }
}

form! {
    /// An identity provider, or a SPIFFE trust domain.
    pub struct Oidc {
        /// Its name, exactly as its tokens say it in `iss`: `https://idp.example/realms/acme`. Of a
        /// trust domain: `spiffe://DOMAIN`.
        #[schemars(required)]
        "issuer" => issuer: At<String>,
        /// Whom its access tokens have to be meant for (`aud`): a name, or a list of which one is
        /// enough. Where there is a `client_id` it may be left out: then no access token of it is
        /// believed.
        "audience" => audience: At<Texts>,
        /// Where its keys are, if its metadata does not say so: an address, or `{file: PATH}`.
        "jwks" => jwks: At<KeysForm>,
        /// Certificates to trust besides the system's, PEM.
        "ca" => ca: At<FileForm>,
        /// What its tokens may be signed with. Default: RSA, ECDSA and Ed25519.
        "algorithms" => algorithms: Vec<At<String>>,
        /// How far its clock may be from this machine's. Default: 30s.
        "clock_skew" => clock_skew: At<Time>,
        /// The claim that names who asks. Default: `sub`.
        "subject_claim" => subject_claim: At<String>,
        /// Put before every subject, so that two providers cannot name the same one.
        "subject_prefix" => subject_prefix: At<String>,
        /// The claim that lists the groups, `realm_access.roles` for one inside another. Default:
        /// `groups`.
        "groups_claim" => groups_claim: At<String>,
        /// Put before every group that a token lists.
        "groups_prefix" => groups_prefix: At<String>,
        /// Groups of whoever does the work, besides those that a token lists.
        "groups" => groups: Vec<At<String>>,
        /// What its tokens stand for: `agent` (default), `person` or `service`.
        "kind" => kind: At<KindForm>,
        /// Claims that a token has to have: `{ repository: "acme/*" }`. A `*` at the end stands for
        /// anything.
        "claims" => claims: Named<At<String>>,
        /// Clients of PostgreSQL that have no token and can log in (OAUTHBEARER) are told to do so
        /// here, and to ask for this scope: `openid narrows`. For one provider at most.
        "scope" => scope: At<String>,
        /// What the gateway is called there: people sign in here.
        "client_id" => client_id: At<String>,
        /// Its secret there; a public client has none.
        "client_secret" => client_secret: At<SecretForm>,
        /// What is asked for when people sign in. Default: `openid`, and what the provider knows of
        /// `profile`, `email`, `groups` and `offline_access`.
        "scopes" => scopes: At<Vec<String>>,
    }
}

/// A text, or a list of texts.
#[derive(Clone, Debug)]
pub struct Texts(pub Vec<String>);

impl Form for Texts {
    fn read(node: &Node, what: &str, report: &mut Report) -> Option<Self> {
        match &node.value {
            Value::List(_) => Vec::read(node, what, report).map(Self),
            _ => String::read(node, what, report).map(|one| Self(vec![one])),
        }
    }
}

impl JsonSchema for Texts {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Texts".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "anyOf": [
                { "type": "string" },
                { "type": "array", "items": { "type": "string" }, "minItems": 1 }
            ]
        })
    }
}

/// Where keys are.
#[derive(Clone, Debug)]
pub enum KeysForm {
    /// At an address.
    Url(String),
    /// In a file.
    File(PathBuf),
}

impl Form for KeysForm {
    fn read(node: &Node, what: &str, report: &mut Report) -> Option<Self> {
        match &node.value {
            Value::Table(_) => FileForm::read(node, what, report).map(|file| Self::File(file.0)),
            _ => String::read(node, what, report).map(Self::Url),
        }
    }
}

impl JsonSchema for KeysForm {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        FileForm::schema_name()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        FileForm::json_schema(generator)
    }
}

/// A provider at which people sign in.
#[derive(Clone, Debug)]
pub struct ClientForm {
    /// The provider.
    pub issuer: IssuerPlan,
    /// What the gateway is called there.
    pub id: String,
    /// Its secret there.
    pub secret: Option<SecretForm>,
    /// What is asked for.
    pub scopes: Option<Vec<String>>,
}

/// The providers, ready to be believed, and those at which people sign in.
pub fn issuers(
    all: Vec<Oidc>,
    (base, machine): (&Path, &dyn Machine),
    report: &mut Report,
) -> (Vec<IssuerPlan>, Vec<ClientForm>) {
    let mut plans: Vec<IssuerPlan> = Vec::new();
    let mut clients = Vec::new();
    for (index, oidc) in all.into_iter().enumerate() {
        let what = format!("identity.oidc[{index}]");
        if index == ISSUERS_MAX {
            let message = format!("{what}: there are more than {ISSUERS_MAX}");
            report.problem(&oidc.here.at, message, "");
        }
        let at = oidc.here.at.clone();
        let mut reader = Reader { base, machine, report, what: &what };
        let Some((plan, client)) = reader.issuer(oidc) else { continue };
        if plan.scope.is_some() && plans.iter().any(|one| one.scope.is_some()) {
            let message = format!("{what}.scope: another issuer has one, too");
            report.problem(&at, message, "clients can be told of one place to log in");
        }
        warn_of(&plan, &plans, (&what, &at), report);
        if let Some((id, ..)) = client.as_ref().filter(|(id, ..)| plan.audiences.contains(id)) {
            let message = format!(
                "{what}: client_id and audience are both {}, so the ID tokens of people who sign \
                 in pass as access tokens too",
                quoted(id)
            );
            let help = "give access tokens an audience of their own, or leave audience out if \
                        none are to be believed";
            report.warn(&at, message, help);
        }
        clients.extend(client.map(|(id, secret, scopes)| ClientForm {
            issuer: plan.clone(),
            id,
            secret,
            scopes,
        }));
        plans.push(plan);
    }
    (plans, clients)
}

/// What is no mistake and may still not be meant.
fn warn_of(
    plan: &IssuerPlan,
    before: &[IssuerPlan],
    (what, at): (&str, &policy::Location),
    report: &mut Report,
) {
    let same = |one: &&IssuerPlan| one.issuer == plan.issuer && one.audiences == plan.audiences;
    if before.iter().any(|one| same(&one)) {
        let message = format!("{what}: another one has the same issuer and audience");
        report.warn(at, message, "for a token that fits both, the one that comes first counts");
    }
    let twin = |one: &&IssuerPlan| {
        one.issuer != plan.issuer
            && (one.subject_prefix == plan.subject_prefix
                || one.groups_prefix == plan.groups_prefix)
    };
    if before.iter().any(|one| twin(&one)) {
        let message =
            format!("{what}: it and another issuer can name the same subjects and groups");
        let help = "give each its own subject_prefix and groups_prefix, unless both are to be \
                    trusted with the same names";
        report.warn(at, message, help);
    }
}

/// Names of one kind of proof that those before it can give too: by their prefixes.
pub fn warn_across(
    what: &str,
    at: Option<policy::Location>,
    (new, before): (&[&str], &[&str]),
    report: &mut Report,
) {
    let Some(at) = at.filter(|_| new.iter().any(|prefix| before.contains(prefix))) else { return };
    let message =
        format!("{what}: one of its entries can name the same subjects as one of another kind");
    let help = "give each its own subject_prefix, unless all are trusted with the same names";
    report.warn(&at, message, help);
}

struct Reader<'a> {
    base: &'a Path,
    machine: &'a dyn Machine,
    report: &'a mut Report,
    what: &'a str,
}

/// What the gateway is at a provider: its name, its secret, what it asks for.
type Client = (String, Option<SecretForm>, Option<Vec<String>>);

impl Reader<'_> {
    fn issuer(&mut self, form: Oidc) -> Option<(IssuerPlan, Option<Client>)> {
        let what = self.what;
        let signs_in = form.here.has("client_id");
        for (key, example) in [("issuer", "https://idp.example"), ("audience", "narrows")] {
            let needed = key == "issuer" || !signs_in;
            if needed && !form.here.has(key) {
                let message = format!("{what} has no {key}");
                self.report.problem(&form.here.at, message, format!("write {key}: {example}"));
            }
        }
        let client = self.client(&form);
        let algorithms = form.algorithms.map(|named| self.algorithms(named));
        let keys = form.jwks.map(|keys| self.keys(keys));
        let ca = form.ca.map(|ca| self.ca(ca));
        let skew = form.clock_skew.map(|skew| self.skew(&skew));
        let groups = form.groups.unwrap_or_default().into_iter().map(|group| group.value);
        let claims = form.claims.unwrap_or_default().0;
        let audience = match form.audience {
            Some(audience) => audience,
            None if signs_in => At { value: Texts(Vec::new()), at: form.here.at.clone() },
            None => return None,
        };
        let issuer = form.issuer?;
        self.name(&issuer, keys.is_some() && !signs_in);
        if audience.value.0.is_empty() && form.here.has("audience") {
            let message = format!("{what}.audience: an empty list, so no token would be believed");
            self.report.problem(&audience.at, message, "write audience: narrows");
        }
        let mut plan = IssuerPlan::new(&issuer.value, "");
        plan.audiences = audience.value.0;
        plan.groups = groups.collect();
        plan.claims = claims.into_iter().map(|(name, value)| (name.value, value.value)).collect();
        if let Some(keys) = keys {
            plan.keys = keys?;
        }
        if let Some(ca) = ca {
            plan.ca = Some(ca?);
        }
        if let Some(algorithms) = algorithms {
            plan.algorithms = algorithms;
        }
        if let Some(skew) = skew {
            plan.clock_skew = skew;
        }
        let texts = [
            (form.subject_claim, &mut plan.subject_claim),
            (form.subject_prefix, &mut plan.subject_prefix),
            (form.groups_claim, &mut plan.groups_claim),
            (form.groups_prefix, &mut plan.groups_prefix),
        ];
        for (written, into) in texts {
            if let Some(written) = written {
                *into = written.value;
            }
        }
        plan.scope = form.scope.map(|scope| self.scope(&scope, &plan.issuer));
        plan.kind = match form.kind.map(|kind| kind.value) {
            None | Some(KindForm::Agent) => PrincipalKind::Agent,
            Some(KindForm::Person) => PrincipalKind::Person,
            Some(KindForm::Service) => PrincipalKind::Service,
        };
        Some((plan, client))
    }

    /// Whether people sign in here, and as what the gateway comes.
    fn client(&mut self, form: &Oidc) -> Option<Client> {
        let what = self.what;
        let Some(id) = &form.client_id else {
            let secret = form.client_secret.as_ref().map(|secret| ("client_secret", &secret.at));
            let scopes = form.scopes.as_ref().map(|scopes| ("scopes", &scopes.at));
            for (key, at) in secret.into_iter().chain(scopes) {
                let message = format!("{what}.{key}: there is no client_id");
                let help = "write client_id: what the gateway is called at this provider";
                self.report.problem(at, message, help);
            }
            return None;
        };
        if form.issuer.as_ref().is_some_and(|issuer| issuer.value.starts_with("spiffe://")) {
            let message = format!("{what}.client_id: people do not sign in at a trust domain");
            self.report.problem(&id.at, message, "remove it");
        }
        if let Some(scopes) = &form.scopes
            && !scopes.value.iter().any(|scope| scope == "openid")
        {
            let message = format!("{what}.scopes: without openid the provider says nothing");
            self.report.problem(&scopes.at, message, "write [openid, profile, offline_access]");
        }
        let secret = form.client_secret.as_ref();
        let secret = secret.map(|secret| relative_secret(secret.value.clone(), self.base));
        let scopes = form.scopes.as_ref().map(|scopes| scopes.value.clone());
        Some((id.value.clone(), secret, scopes))
    }

    /// An issuer is compared byte for byte, and asked where its keys are.
    fn name(&mut self, issuer: &At<String>, has_keys: bool) {
        let what = format!("{}.issuer", self.what);
        if issuer.value.starts_with("spiffe://") {
            let domain = issuer.value.trim_start_matches("spiffe://");
            if domain.is_empty() || domain.contains(['/', '?', '#', ':', '@']) {
                let message = format!("{what}: found {}", quoted(&issuer.value));
                self.report.problem(&issuer.at, message, "write spiffe://TRUST-DOMAIN");
            }
            if !has_keys {
                let message = format!("{what}: a trust domain does not say where its keys are");
                let help = "add jwks: the address of its bundle endpoint, or {file: bundle.json}";
                self.report.problem(&issuer.at, message, help);
            }
            return;
        }
        if has_keys && Url::parse(&issuer.value).is_err() {
            // Its name need not be an address (Kubernetes: `kubernetes/serviceaccount`).
            return;
        }
        if let Some(url) = address::url(issuer, &what, Carries::Keys, self.report)
            && (url.query().is_some() || url.fragment().is_some())
        {
            let message = format!("{what}: an address with ? or # in it");
            self.report.problem(&issuer.at, message, "write it as its tokens say it in iss");
        }
    }

    /// What is told to clients has to be one thing, of a provider that they can find.
    fn scope(&mut self, scope: &At<String>, issuer: &str) -> String {
        let what = format!("{}.scope", self.what);
        // RFC 6749, section 3.3.
        let fine = |c: char| matches!(c, '\x21' | '\x23'..='\x5b' | '\x5d'..='\x7e');
        if !scope.value.split(' ').all(|word| !word.is_empty() && word.chars().all(fine)) {
            let message = format!("{what}: found {}", quoted(&scope.value));
            self.report.problem(&scope.at, message, "write words of a scope: openid narrows");
        }
        if !issuer.starts_with("https://") {
            let message = format!("{what}: clients cannot log in at {issuer}");
            self.report.problem(&scope.at, message, "it is for an issuer of https://");
        }
        scope.value.clone()
    }

    fn keys(&mut self, keys: At<KeysForm>) -> Option<KeysFrom> {
        let what = format!("{}.jwks", self.what);
        match keys.value {
            KeysForm::File(path) => {
                let path = self.base.join(path);
                check_file(self.machine, &path, &what, &keys.at, self.report);
                Some(KeysFrom::File(path))
            }
            KeysForm::Url(value) => {
                let written = At { value, at: keys.at };
                let url = address::url(&written, &what, Carries::Keys, self.report)?;
                Some(KeysFrom::Url(url))
            }
        }
    }

    fn ca(&mut self, file: At<FileForm>) -> Option<Vec<u8>> {
        let path = self.base.join(file.value.0);
        match self.machine.read(&path, CA_BYTES_MAX) {
            Ok(pem) if pem.windows(PEM.len()).any(|part| part == PEM) => Some(pem),
            Ok(_) => {
                let message =
                    format!("{}.ca: {} holds no certificate in PEM", self.what, path.display());
                let help = "the file has a line -----BEGIN CERTIFICATE-----";
                self.report.problem(&file.at, message, help);
                None
            }
            Err(error) => {
                let message = format!("{}.ca: cannot read {}: {error}", self.what, path.display());
                self.report.problem(&file.at, message, "");
                None
            }
        }
    }

    fn algorithms(&mut self, named: Vec<At<String>>) -> Vec<::identity::Algorithm> {
        let known: Vec<&str> = ALGORITHMS.iter().map(|(name, _)| *name).collect();
        let mut read = Vec::new();
        for name in named {
            if let Some(algorithm) = algorithm(&name.value) {
                read.push(algorithm);
                continue;
            }
            let message = format!("{}.algorithms: found {}", self.what, quoted(&name.value));
            let secret = name.value.eq_ignore_ascii_case("none")
                || name.value.to_ascii_uppercase().starts_with("HS");
            let help = match nearest(&name.value, known.iter().copied()) {
                _ if secret => {
                    "that is never believed: whoever can check such a token can make one".to_owned()
                }
                Some(near) => format!("did you mean \"{near}\"?"),
                None => format!("it can be: {}", listed(&known)),
            };
            self.report.problem(&name.at, message, help);
        }
        read
    }

    fn skew(&mut self, skew: &At<Time>) -> Duration {
        if skew.value.0 > SKEW_MAX {
            let message = format!("{}.clock_skew: more than five minutes", self.what);
            let help = "tokens would be good for so much longer than their provider says; set the \
                        clocks instead";
            self.report.problem(&skew.at, message, help);
        }
        skew.value.0
    }
}
