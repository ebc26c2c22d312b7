//! `identity.saml`: the providers at which people sign in by SAML 2.0.

use std::path::{Path, PathBuf};
use std::time::Duration;

use ::identity::SignInPlan;
use ::saml::{
    Certificate, Described, ProviderPlan, Service, Signer, SubjectFrom, certificates, describe,
};
use admin::SamlPlan;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use url::Url;

use super::address::{self, Carries};
use super::machine::Machine;
use super::read::{At, Form, Report, form};
use super::scalar::{FileForm, Time};
use super::tree::{Node, Value};

/// Providers at once.
const PROVIDERS_MAX: usize = 32;
/// A clock that is further off is wrong.
const SKEW_MAX: Duration = Duration::from_secs(300);
/// Longest file of metadata or certificates, bytes.
const FILE_BYTES_MAX: u64 = (1 << 20) + 1;

form! {
    /// An identity provider whose people sign in by SAML 2.0.
    pub struct Saml {
        /// Its metadata, a file of XML; read again at each reload.
        "metadata" => metadata: At<FileForm>,
        /// Its name, if there is no metadata, or if that describes several providers.
        "entity_id" => entity_id: At<String>,
        /// Where people are sent, if there is no metadata: single sign-on, HTTP-Redirect binding.
        "sso_url" => sso_url: At<String>,
        /// What it signs with, PEM: a file, or a list while it changes them. Beside metadata, these
        /// count instead of those in it.
        "certificate" => certificate: At<FilesForm>,
        /// What the button to sign in is called. Default: the host of `sso_url`.
        "label" => label: At<String>,
        /// What the gateway is called there: assertions have to be meant for it. Default:
        /// `identity.login.url` and `/saml/metadata`.
        "audience" => audience: At<String>,
        /// What names the person: `nameid` (default), or `{attribute: NAME}`.
        "subject" => subject: At<SubjectForm>,
        /// Put before every subject, so that two providers cannot name the same one.
        "subject_prefix" => subject_prefix: At<String>,
        /// The attribute that lists the groups, by its `Name`. Default: `groups`.
        "groups_attribute" => groups_attribute: At<String>,
        /// Put before every group that the provider lists.
        "groups_prefix" => groups_prefix: At<String>,
        /// Groups of everybody whom it signs in, besides those that it lists.
        "groups" => groups: Vec<At<String>>,
        /// How far its clock may be from this machine's. Default: 30s.
        "clock_skew" => clock_skew: At<Time>,
        /// People may come from the provider's own page. Whoever has an account there could then
        /// sign somebody else in as themselves. Default: false.
        "idp_initiated" => idp_initiated: At<bool>,
        /// Signs requests, for providers that want that.
        "sign_requests" => sign_requests: SigningForm,
    }
}

form! {
    /// A key of the gateway's own.
    pub struct SigningForm {
        /// An RSA key, PKCS #8 in PEM.
        #[schemars(required)]
        "key" => key: At<FileForm>,
        /// Its certificate, PEM; it may be one that the key signed itself.
        #[schemars(required)]
        "certificate" => certificate: At<FileForm>,
    }
}

/// A file, or a list of files.
#[derive(Clone, Debug)]
pub struct FilesForm(pub Vec<PathBuf>);

impl Form for FilesForm {
    fn read(node: &Node, what: &str, report: &mut Report) -> Option<Self> {
        match &node.value {
            Value::List(_) => {
                let files: Option<Vec<FileForm>> = Vec::read(node, what, report);
                files.map(|files| Self(files.into_iter().map(|file| file.0).collect()))
            }
            _ => FileForm::read(node, what, report).map(|file| Self(vec![file.0])),
        }
    }
}

impl JsonSchema for FilesForm {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Files".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let file = generator.subschema_for::<FileForm>();
        json_schema!({ "anyOf": [file, { "type": "array", "items": file, "minItems": 1 }] })
    }
}

/// What names the person.
#[derive(Clone, Debug)]
pub struct SubjectForm(pub SubjectFrom);

form! {
    /// An attribute.
    pub struct AttributeForm {
        /// Its `Name`.
        "attribute" => attribute: String,
    }
}

impl Form for SubjectForm {
    fn read(node: &Node, what: &str, report: &mut Report) -> Option<Self> {
        match &node.value {
            Value::Text(text) if text == "nameid" => Some(Self(SubjectFrom::NameId)),
            Value::Table(_) => {
                let form = AttributeForm::read(node, what, report)?;
                if form.attribute.is_none() && !form.here.broken {
                    let message = format!("{what}: no attribute is named");
                    report.problem(&node.at, message, "write {attribute: mail}");
                }
                form.attribute.map(|name| Self(SubjectFrom::Attribute(name)))
            }
            _ => {
                report.expected(node, what, "write nameid, or {attribute: mail}");
                None
            }
        }
    }
}

impl JsonSchema for SubjectForm {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "SamlSubject".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "anyOf": [
                { "enum": ["nameid"] },
                {
                    "type": "object",
                    "properties": { "attribute": { "type": "string" } },
                    "required": ["attribute"],
                    "additionalProperties": false
                }
            ]
        })
    }
}

/// The providers, ready to be signed in at.
pub fn complete(
    all: Vec<Saml>,
    sign_in: Option<&SignInPlan>,
    (base, machine): (&Path, &dyn Machine),
    report: &mut Report,
) -> Vec<SamlPlan> {
    let mut plans: Vec<SamlPlan> = Vec::new();
    for (index, form) in all.into_iter().enumerate() {
        let what = format!("identity.saml[{index}]");
        let at = form.here.at.clone();
        if index == PROVIDERS_MAX {
            let message = format!("{what}: there are more than {PROVIDERS_MAX}");
            report.problem(&at, message, "");
        }
        let Some(sign_in) = sign_in else {
            if index == 0 {
                let message = format!("{what}: browsers could not reach this gateway");
                let help = "write identity.login.url: https://HOST";
                report.problem(&at, message, help);
            }
            continue;
        };
        let mut reader = Reader { base, machine, report, what: &what };
        let Some(plan) = reader.plan(form, sign_in) else { continue };
        warn_of(&plan, &plans, (&what, &at), report);
        plans.push(plan);
    }
    plans
}

/// What is no mistake and may still not be meant.
fn warn_of(
    plan: &SamlPlan,
    before: &[SamlPlan],
    (what, at): (&str, &policy::Location),
    report: &mut Report,
) {
    let new = &plan.provider;
    if before.iter().any(|one| one.provider.entity_id == new.entity_id) {
        let message = format!("{what}: another one has the same entity_id");
        report.problem(at, message, "answers could not be told apart; remove one");
    }
    let twin = |one: &SamlPlan| {
        one.provider.subject_prefix == new.subject_prefix
            || one.provider.groups_prefix == new.groups_prefix
    };
    if before.iter().any(twin) {
        let message = format!("{what}: it and another one can name the same subjects and groups");
        let help = "give each its own subject_prefix and groups_prefix, unless both are to be \
                    trusted with the same names";
        report.warn(at, message, help);
    }
    if new.idp_initiated {
        let message = format!("{what}: idp_initiated lets in answers that nobody here asked for");
        let help = "whoever has an account at the provider could sign somebody else's browser in \
                    as themselves; leave it out if people can begin at this gateway";
        report.warn(at, message, help);
    }
}

struct Reader<'a> {
    base: &'a Path,
    machine: &'a dyn Machine,
    report: &'a mut Report,
    what: &'a str,
}

impl Reader<'_> {
    fn plan(&mut self, form: Saml, sign_in: &SignInPlan) -> Option<SamlPlan> {
        let what = self.what;
        let found = form.certificate.as_ref().map(|files| self.certificates(files));
        let entity_id = form.entity_id.as_ref().map(|name| &*name.value);
        let described = match &form.metadata {
            Some(file) => Some(self.described(file, entity_id)?),
            None => None,
        };
        let sso_url = form.sso_url.as_ref().map(|written| {
            address::url(written, &format!("{what}.sso_url"), Carries::Keys, self.report)
        });
        let signer = form.sign_requests.as_ref().map(|form| self.signer(form));
        let skew = form.clock_skew.as_ref().map(|skew| self.skew(skew));
        if described.is_none() {
            for (key, example) in [
                ("entity_id", "https://idp.example/saml2"),
                ("sso_url", "https://idp.example/saml2/sso"),
                ("certificate", "{file: idp.pem}"),
            ] {
                if !form.here.has(key) {
                    let message = format!("{what} has neither metadata nor {key}");
                    let help = format!("write metadata: {{file: idp.xml}}, or {key}: {example}");
                    self.report.problem(&form.here.at, message, help);
                }
            }
        }
        let wants = described.as_ref().is_some_and(|described| described.wants_signed_requests);
        if wants && !form.here.has("sign_requests") {
            let message = format!("{what}: its metadata says that it takes signed requests only");
            let help = "add sign_requests: { key: {file: sp.key}, certificate: {file: sp.pem} }";
            self.report.problem(&form.here.at, message, help);
        }
        let (entity_id, sso, known) = match described {
            Some(Described { entity_id, sso_url, certificates, .. }) => {
                (Some(entity_id), Some(sso_url), Some(certificates))
            }
            None => (entity_id.map(str::to_owned), None, None),
        };
        let sso_url = match sso_url {
            Some(written) => written?,
            None => sso?,
        };
        let certificates = match found {
            Some(found) => found?,
            None => known?,
        };
        let mut provider = ProviderPlan::new(&entity_id?, sso_url, certificates);
        provider.groups =
            form.groups.unwrap_or_default().into_iter().map(|group| group.value).collect();
        provider.clock_skew = skew.unwrap_or(provider.clock_skew);
        provider.idp_initiated = form.idp_initiated.is_some_and(|wanted| wanted.value);
        if let Some(subject) = form.subject {
            provider.subject = subject.value.0;
        }
        let texts = [
            (form.subject_prefix, &mut provider.subject_prefix),
            (form.groups_attribute, &mut provider.groups_attribute),
            (form.groups_prefix, &mut provider.groups_prefix),
        ];
        for (written, into) in texts {
            if let Some(written) = written {
                *into = written.value;
            }
        }
        let host = provider.sso_url.host_str().unwrap_or_default().to_owned();
        let acs = Url::parse(&sign_in.page("/saml/acs")).ok()?;
        let audience = form.audience.map(|written| written.value);
        let service = Service {
            entity_id: audience.unwrap_or_else(|| sign_in.page("/saml/metadata")),
            acs,
            signer: match signer {
                Some(signer) => Some(signer?),
                None => None,
            },
        };
        Some(SamlPlan {
            provider,
            service,
            label: form.label.map_or(host, |written| written.value),
        })
    }

    fn described(&mut self, file: &At<FileForm>, entity_id: Option<&str>) -> Option<Described> {
        let what = format!("{}.metadata", self.what);
        if file.value.0.to_string_lossy().contains("://") {
            let message = format!("{what}: found an address; metadata is read from a file");
            let help = "fetch it once, over a way that you trust: curl -o idp.xml ADDRESS";
            self.report.problem(&file.at, message, help);
            return None;
        }
        let (path, text) = self.read(&file.value, &what, &file.at)?;
        match describe(&text, entity_id) {
            Ok(described) => {
                let url = described.sso_url.as_str().to_owned();
                let written = At { value: url, at: file.at.clone() };
                let place = format!("{what}: {}: Location", path.display());
                address::url(&written, &place, Carries::Keys, self.report)?;
                Some(described)
            }
            Err(error) => {
                let message = format!("{what}: {}: {error}", path.display());
                let help = "it is the XML that the provider calls its metadata";
                self.report.problem(&file.at, message, help);
                None
            }
        }
    }

    fn certificates(&mut self, files: &At<FilesForm>) -> Option<Vec<Certificate>> {
        let what = format!("{}.certificate", self.what);
        let mut all = Vec::new();
        for file in &files.value.0 {
            let (path, pem) = self.read(&FileForm(file.clone()), &what, &files.at)?;
            match certificates(&pem) {
                Ok(found) => all.extend(found),
                Err(error) => {
                    let message = format!("{what}: {}: {error}", path.display());
                    let help = "the file has a line -----BEGIN CERTIFICATE-----";
                    self.report.problem(&files.at, message, help);
                    return None;
                }
            }
        }
        Some(all)
    }

    fn signer(&mut self, form: &SigningForm) -> Option<Signer> {
        let what = format!("{}.sign_requests", self.what);
        for key in ["key", "certificate"] {
            if !form.here.has(key) {
                let message = format!("{what} has no {key}");
                self.report.problem(&form.here.at, message, format!("write {key}: {{file: PATH}}"));
            }
        }
        let (key, certificate) = (form.key.as_ref()?, form.certificate.as_ref()?);
        let (path, secret) = self.read(&key.value, &format!("{what}.key"), &key.at)?;
        let beside = format!("{what}.certificate");
        let (_, public) = self.read(&certificate.value, &beside, &certificate.at)?;
        match Signer::new(&secret, &public) {
            Ok(signer) => Some(signer),
            Err(error) => {
                let message = format!("{what}: {}: {error}", path.display());
                let help = "make both: openssl req -x509 -newkey rsa:3072 -nodes -days 3650 \
                            -subj /CN=narrows -keyout sp.key -out sp.pem";
                self.report.problem(&key.at, message, help);
                None
            }
        }
    }

    fn read(
        &mut self,
        file: &FileForm,
        what: &str,
        at: &policy::Location,
    ) -> Option<(PathBuf, Vec<u8>)> {
        let path = self.base.join(&file.0);
        match self.machine.read(&path, FILE_BYTES_MAX) {
            Ok(bytes) => Some((path, bytes)),
            Err(error) => {
                let message = format!("{what}: cannot read {}: {error}", path.display());
                self.report.problem(at, message, "");
                None
            }
        }
    }

    fn skew(&mut self, skew: &At<Time>) -> Duration {
        if skew.value.0 > SKEW_MAX {
            let message = format!("{}.clock_skew: more than five minutes", self.what);
            let help = "answers would be good for so much longer than their provider says; set \
                        the clocks instead";
            self.report.problem(&skew.at, message, help);
        }
        skew.value.0
    }
}
