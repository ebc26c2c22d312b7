//! Whom a client's certificate stands for: RFC 5280 by the verifier of `rustls`, what it says of
//! its subject by the plan, and SPIFFE's X.509-SVID by its own rules on top.
//!
//! TLS itself proves that the client has the key. Whether the certificate is believed is judged
//! here, not in the handshake, so that who is turned away is told and recorded like everybody else.

use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use model::{Principal, PrincipalKind, Timestamp, TokenId};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::{CertificateError, RootCertStore};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, CertificateRevocationListDer, UnixTime};
use serde_json::Value;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer as _;

use crate::claims;
use crate::jwt::clipped;

/// How the names of certificates in records begin.
pub(crate) const ID_PREFIX: &str = "crt_";
/// Certificates of a client's chain that are looked at.
const CHAIN_MAX: usize = 8;
/// Longest SPIFFE ID, bytes (SPIFFE-ID, section 2.4).
const SPIFFE_ID_BYTES_MAX: usize = 2048;

/// What of a certificate names its subject.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum SubjectFrom {
    /// Its one URI among the alternative names.
    Uri,
    /// Its one DNS name.
    Dns,
    /// Its one e-mail address.
    Email,
    /// Its one common name.
    CommonName,
}

/// Certificates that are believed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct CertificatePlan {
    /// Who vouches, in records; of a trust domain `spiffe://DOMAIN`.
    pub issuer: String,
    /// Whose certificates are believed: PEM, of a trust domain its bundle too (JSON).
    pub roots: Vec<u8>,
    /// What was revoked, PEM. Where there is a list, it has to be in force and to know each
    /// certificate.
    pub revoked: Option<Vec<u8>>,
    /// What names the subject.
    pub subject_from: SubjectFrom,
    /// What is put before every subject.
    pub subject_prefix: String,
    /// The groups of everybody with such a certificate.
    pub groups: Vec<String>,
    /// What kind of actor they stand for.
    pub kind: PrincipalKind,
}

impl CertificatePlan {
    /// The trust domain that it speaks for, if it is one's.
    fn trust_domain(&self) -> Option<&str> {
        self.issuer.strip_prefix("spiffe://")
    }
}

/// Why a certificate was not believed; for the operator, never for the client.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum CertificateFault {
    /// None is believed.
    #[error("no certificates are believed; identity.certificates lists whose are")]
    Nobodys,
    /// It is not in the form of one, or says something twice.
    #[error("it cannot be read: {0}")]
    Malformed(&'static str),
    /// The chain leads to nobody who is believed, or breaks a rule on the way.
    #[error("it is not vouched for by {0}: {1}")]
    Chain(String, String),
    /// Its time is over.
    #[error("it has expired")]
    Expired,
    /// It was revoked.
    #[error("{0} revoked it")]
    Revoked(String),
    /// It names no subject, or more than one.
    #[error("it has {0} where its subject should stand; one is wanted")]
    Subject(String),
    /// It breaks a rule for SPIFFE's certificates.
    #[error("it is no X.509-SVID of {0}: {1}")]
    Svid(String, &'static str),
    /// The token that came with it is somebody else's.
    #[error("it is of {0:?}, and the token that came with it of {1:?}")]
    Mismatch(String, String),
}

/// Judges by one plan.
pub(crate) struct Judge {
    pub plan: CertificatePlan,
    verifier: Arc<dyn ClientCertVerifier>,
}

impl Judge {
    /// Prepares; the error is the operator's to mend.
    pub fn new(plan: CertificatePlan) -> Result<Self, String> {
        let mut roots = RootCertStore::empty();
        for root in certificates(&plan.roots, plan.trust_domain().is_some())? {
            roots.add(root).map_err(|error| format!("a certificate cannot be used: {error}"))?;
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
        if let Some(pem) = &plan.revoked {
            let lists: Result<Vec<_>, _> =
                CertificateRevocationListDer::pem_slice_iter(pem).collect();
            let lists = lists.map_err(|_| "the list of what is revoked is not PEM".to_owned())?;
            // Of the whole chain: an authority between may have been revoked.
            builder = builder.with_crls(lists).enforce_revocation_expiration();
        }
        let verifier = builder.build().map_err(|error| error.to_string())?;
        Ok(Self { plan, verifier })
    }

    /// Whom a chain stands for; its first certificate is the client's.
    pub fn judge(
        &self,
        chain: &[CertificateDer<'_>],
        now: Timestamp,
    ) -> Result<Principal, CertificateFault> {
        let Some((leaf, more)) = chain.split_first() else {
            return Err(CertificateFault::Malformed("there is none"));
        };
        let more = more.get(..more.len().min(CHAIN_MAX)).unwrap_or_default();
        let time = UnixTime::since_unix_epoch(Duration::from_nanos(now.0));
        let issuer = &self.plan.issuer;
        self.verifier.verify_client_cert(leaf, more, time).map_err(|error| match error {
            rustls::Error::InvalidCertificate(
                CertificateError::Expired | CertificateError::ExpiredContext { .. },
            ) => CertificateFault::Expired,
            rustls::Error::InvalidCertificate(CertificateError::Revoked) => {
                CertificateFault::Revoked(issuer.clone())
            }
            other => CertificateFault::Chain(issuer.clone(), clipped(&other.to_string())),
        })?;
        let (rest, read) = X509Certificate::from_der(leaf)
            .map_err(|_| CertificateFault::Malformed("it is no X.509 certificate"))?;
        if !rest.is_empty() {
            return Err(CertificateFault::Malformed("something follows it"));
        }
        let name = self.subject(&read)?;
        let named = format!("{}{name}", self.plan.subject_prefix);
        let subject = claims::believable(&named)
            .map_err(|how| CertificateFault::Subject(format!("a name that is {how}")))?;
        let ends = u64::try_from(read.validity().not_after.timestamp()).unwrap_or_default();
        Ok(Principal {
            subject,
            kind: self.plan.kind,
            groups: self.plan.groups.iter().map(|group| Arc::from(&**group)).collect(),
            issuer: Arc::from(&**issuer),
            on_behalf_of: None,
            on_behalf_of_groups: Vec::new(),
            token: Some(id(read.tbs_certificate.as_ref())),
            minted_by: None,
            // The last second is still good (RFC 5280, section 4.1.2.5).
            expires_at: Some(Timestamp(ends.saturating_add(1).saturating_mul(1_000_000_000))),
            certificate: None,
        })
    }

    fn subject(&self, read: &X509Certificate<'_>) -> Result<String, CertificateFault> {
        let twice = |_| CertificateFault::Malformed("it says something twice");
        let names = read.subject_alternative_name().map_err(twice)?;
        let names = names.map(|names| names.value.general_names.as_slice()).unwrap_or_default();
        if names.iter().any(|name| matches!(name, GeneralName::Invalid(..))) {
            return Err(CertificateFault::Malformed("one of its names cannot be read"));
        }
        if let Some(domain) = self.plan.trust_domain() {
            return svid(read, names, domain);
        }
        let found: Vec<&str> = match self.plan.subject_from {
            SubjectFrom::CommonName => {
                let all: Result<Vec<&str>, _> =
                    read.subject().iter_common_name().map(|name| name.as_str()).collect();
                all.map_err(|_| CertificateFault::Malformed("its common name is not text"))?
            }
            from => names.iter().filter_map(|name| of_kind(name, from)).collect(),
        };
        match found.as_slice() {
            [one] => Ok((*one).to_owned()),
            other => Err(CertificateFault::Subject(format!("{} names", other.len()))),
        }
    }
}

fn of_kind<'a>(name: &GeneralName<'a>, from: SubjectFrom) -> Option<&'a str> {
    match (name, from) {
        (GeneralName::URI(uri), SubjectFrom::Uri) => Some(uri),
        (GeneralName::DNSName(dns), SubjectFrom::Dns) => Some(dns),
        (GeneralName::RFC822Name(address), SubjectFrom::Email) => Some(address),
        _ => None,
    }
}

/// "X.509-SVID", sections 2 to 5, for a leaf.
fn svid(
    read: &X509Certificate<'_>,
    names: &[GeneralName<'_>],
    domain: &str,
) -> Result<String, CertificateFault> {
    let wrong = |why| CertificateFault::Svid(domain.to_owned(), why);
    let uris: Vec<&str> = names.iter().filter_map(|name| of_kind(name, SubjectFrom::Uri)).collect();
    let [id] = uris.as_slice() else {
        return Err(wrong("it has not exactly one URI among its names"));
    };
    let (found, path) = id
        .strip_prefix("spiffe://")
        .and_then(|rest| rest.split_once('/'))
        .ok_or_else(|| wrong("its URI is not spiffe://DOMAIN/PATH"))?;
    if found != domain {
        return Err(wrong("it is of another trust domain"));
    }
    let letter = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
    let segment = |part: &str| !matches!(part, "" | "." | "..") && part.chars().all(letter);
    if id.len() > SPIFFE_ID_BYTES_MAX || !path.split('/').all(segment) {
        return Err(wrong("its path is not one of a SPIFFE ID"));
    }
    let twice = |_| CertificateFault::Malformed("it says something twice");
    let constraints = read.basic_constraints().map_err(twice)?;
    if constraints.is_some_and(|constraints| constraints.value.ca) {
        return Err(wrong("it may sign others"));
    }
    let usage = read.key_usage().map_err(twice)?.ok_or_else(|| wrong("it has no key usage"))?;
    if !usage.value.digital_signature() || usage.value.key_cert_sign() || usage.value.crl_sign() {
        return Err(wrong("its key is not for signatures alone"));
    }
    Ok((*id).to_owned())
}

/// Whether a plan can be used.
///
/// # Errors
/// Why it cannot; for the operator.
pub fn check_certificates(plan: &CertificatePlan) -> Result<(), String> {
    Judge::new(plan.clone()).map(drop)
}

/// Whether a trust domain can be called so (SPIFFE-ID, section 2.1).
#[must_use]
pub fn is_trust_domain_name(name: &str) -> bool {
    let fine = |byte: u8| {
        byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'.' | b'-' | b'_')
    };
    (1..=255).contains(&name.len()) && name.bytes().all(fine)
}

/// What a file of roots holds: PEM, or of a trust domain its bundle ("SPIFFE Trust Domain and
/// Bundle", section 4).
fn certificates(text: &[u8], bundle: bool) -> Result<Vec<CertificateDer<'static>>, String> {
    let found: Vec<CertificateDer<'static>> = if bundle && text.trim_ascii_start().starts_with(b"{")
    {
        let read: Value =
            serde_json::from_slice(text).map_err(|error| format!("no bundle: {error}"))?;
        let keys = read.get("keys").and_then(Value::as_array).map(Vec::as_slice);
        let of_certificates =
            |key: &&Value| key.get("use").and_then(Value::as_str) == Some("x509-svid");
        let first = |key: &Value| {
            let text = key.get("x5c")?.as_array()?.first()?.as_str()?;
            STANDARD.decode(text).ok().map(CertificateDer::from)
        };
        keys.unwrap_or_default().iter().filter(of_certificates).filter_map(first).collect()
    } else {
        CertificateDer::pem_slice_iter(text)
            .collect::<Result<_, _>>()
            .map_err(|_| "the certificates to believe are not PEM".to_owned())?
    };
    match found.is_empty() {
        true => Err("there is no certificate to believe others by".to_owned()),
        false => Ok(found),
    }
}

/// What a certificate is called in records; from what of it is signed, so that no other signature
/// that fits makes another name.
fn id(signed: &[u8]) -> TokenId {
    TokenId(
        format!("{ID_PREFIX}{}", claims::letters(digest::digest(&digest::SHA256, signed))).into(),
    )
}
