//! `identity.certificates`: client certificates that are believed.

use std::path::{Path, PathBuf};

use ::identity::{CertificatePlan, SubjectFrom, check_certificates, is_trust_domain_name};
use model::PrincipalKind;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::machine::Machine;
use super::read::{At, Form, Report, form, word};
use super::scalar::{FileForm, KindForm};
use super::tree::{Node, quoted};

/// Longest file of certificates, bytes.
const FILE_BYTES_MAX: u64 = 8 << 20;

form! {
    /// Whose certificates are believed, and whom they stand for. Either `ca` or `trust_domain`.
    pub struct Certificates {
        /// The certificates of an authority, PEM. Read at start and at each reload.
        "ca" => ca: At<FileForm>,
        /// What it is called in records; has to be there beside `ca`.
        "name" => name: At<String>,
        /// A SPIFFE trust domain: `acme.example`. Its certificates are X.509-SVIDs.
        "trust_domain" => trust_domain: At<String>,
        /// The bundle of the trust domain, PEM or JSON. Read at start and at each reload.
        "bundle" => bundle: At<FileForm>,
        /// What was revoked, PEM. A certificate that the list does not know of, or a list that is
        /// out of date, lets nobody in.
        "crl" => crl: At<FileForm>,
        /// What of a certificate names its subject: `uri` (default), `dns`, `email` or `cn`. There
        /// has to be exactly one.
        "subject" => subject: At<SubjectForm>,
        /// Put before every subject.
        "subject_prefix" => subject_prefix: At<String>,
        /// The groups of everybody with such a certificate.
        "groups" => groups: Vec<At<String>>,
        /// What they stand for: `agent` (default), `person` or `service`.
        "kind" => kind: At<KindForm>,
    }
}

/// `subject`
#[derive(Clone, Copy, Debug)]
pub struct SubjectForm(pub SubjectFrom);

impl Form for SubjectForm {
    fn read(node: &Node, what: &str, report: &mut Report) -> Option<Self> {
        let words = [
            ("uri", Self(SubjectFrom::Uri)),
            ("dns", Self(SubjectFrom::Dns)),
            ("email", Self(SubjectFrom::Email)),
            ("cn", Self(SubjectFrom::CommonName)),
        ];
        word(node, what, &words, report)
    }
}

impl JsonSchema for SubjectForm {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "CertificateSubject".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "enum": ["uri", "dns", "email", "cn"] })
    }
}

/// The plans, ready to be believed.
pub fn plans(
    forms: Option<Vec<Certificates>>,
    (base, machine): (&Path, &dyn Machine),
    report: &mut Report,
) -> Vec<CertificatePlan> {
    let mut plans: Vec<CertificatePlan> = Vec::new();
    for (index, form) in forms.unwrap_or_default().into_iter().enumerate() {
        let what = format!("identity.certificates[{index}]");
        let at = form.here.at.clone();
        let Some(plan) = plan(form, &what, (base, machine), report) else { continue };
        if let Err(why) = check_certificates(&plan) {
            report.problem(&at, format!("{what}: {why}"), "");
            continue;
        }
        let twin = |one: &&CertificatePlan| {
            one.issuer != plan.issuer && one.subject_prefix == plan.subject_prefix
        };
        if plans.iter().any(|one| twin(&one)) {
            let message = format!("{what}: it and another entry can name the same subjects");
            let help = "give each its own subject_prefix, unless both are trusted with the same";
            report.warn(&at, message, help);
        }
        plans.push(plan);
    }
    plans
}

fn plan(
    form: Certificates,
    what: &str,
    (base, machine): (&Path, &dyn Machine),
    report: &mut Report,
) -> Option<CertificatePlan> {
    let here = form.here.at.clone();
    let read = |file: At<FileForm>, key: &str, report: &mut Report| {
        let path: PathBuf = base.join(file.value.0);
        let read = machine.read(&path, FILE_BYTES_MAX);
        let wrong = |error| {
            let message = format!("{what}.{key}: cannot read {}: {error}", path.display());
            report.problem(&file.at, message, "");
        };
        read.map_err(wrong).ok()
    };
    let (issuer, roots) = match (form.ca, form.name, form.trust_domain, form.bundle) {
        (Some(ca), Some(name), None, None) => {
            (format!("certificate:{}", name.value), read(ca, "ca", report)?)
        }
        (None, None, Some(domain), Some(bundle)) => {
            if !is_trust_domain_name(&domain.value) {
                let message = format!("{what}.trust_domain: found {}", quoted(&domain.value));
                report.problem(&domain.at, message, "write a trust domain: acme.example");
                return None;
            }
            if let Some(subject) = &form.subject {
                let message = format!("{what}.subject: a trust domain names subjects by URI");
                report.problem(&subject.at, message, "remove it");
            }
            (format!("spiffe://{}", domain.value), read(bundle, "bundle", report)?)
        }
        _ => {
            if !form.here.broken {
                let help =
                    "write name: NAME and ca: FILE, or trust_domain: DOMAIN and bundle: FILE";
                report.problem(&here, format!("{what}: not one kind of certificates"), help);
            }
            return None;
        }
    };
    let revoked = match form.crl {
        Some(crl) => Some(read(crl, "crl", report)?),
        None => None,
    };
    Some(CertificatePlan {
        issuer,
        roots,
        revoked,
        subject_from: form.subject.map_or(SubjectFrom::Uri, |subject| subject.value.0),
        subject_prefix: form.subject_prefix.map(|prefix| prefix.value).unwrap_or_default(),
        groups: form.groups.unwrap_or_default().into_iter().map(|group| group.value).collect(),
        kind: match form.kind.map(|kind| kind.value) {
            None | Some(KindForm::Agent) => PrincipalKind::Agent,
            Some(KindForm::Person) => PrincipalKind::Person,
            Some(KindForm::Service) => PrincipalKind::Service,
        },
    })
}

/// The lines of `narrows check --show`.
pub fn show(plans: &[CertificatePlan], out: &mut String) -> std::fmt::Result {
    use std::fmt::Write as _;
    if !plans.is_empty() {
        writeln!(out, "  certificates:")?;
    }
    for plan in plans {
        let subject = match plan.subject_from {
            SubjectFrom::Uri => "uri",
            SubjectFrom::Dns => "dns",
            SubjectFrom::Email => "email",
            SubjectFrom::CommonName => "cn",
        };
        let crl = if plan.revoked.is_some() { ", crl" } else { "" };
        writeln!(
            out,
            "    - {{ issuer: \"{}\", subject: {subject}, subject_prefix: \"{}\", groups: [{}], \
             kind: {}{crl} }}",
            plan.issuer,
            plan.subject_prefix,
            plan.groups.join(", "),
            plan.kind.as_str(),
        )?;
    }
    Ok(())
}
