//! What is known of the two sides beforehand.

use std::fmt;
use std::time::Duration;

use aws_lc_rs::digest;
use aws_lc_rs::rsa::KeyPair;
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_SHA256};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bergshamra_keys::KeysManager;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use url::Url;

/// Why something cannot be used; for the operator.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{0}")]
pub struct PlanError(pub String);

/// A certificate whose key is believed because it is configured. Nothing else of it counts: who
/// issued it, whom it names and until when is another matter (SAML Metadata Interoperability
/// Profile section 2.6.1).
#[derive(Clone, Eq, PartialEq)]
pub struct Certificate {
    der: Vec<u8>,
}

impl Certificate {
    /// Reads one.
    ///
    /// # Errors
    /// It is none, or its key is not RSA of 2048 bits and more, or of the curves P-256, P-384 and
    /// P-521.
    pub fn new(der: Vec<u8>) -> Result<Self, PlanError> {
        bergshamra_keys::loader::load_x509_cert_der(&der)
            .map_err(|error| PlanError(format!("a certificate that cannot be used: {error}")))?;
        Ok(Self { der })
    }

    /// As it stands in metadata.
    pub(crate) fn base64(&self) -> String {
        STANDARD.encode(&self.der)
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Tells one from another, also where only this text is compared.
        let hash = digest::digest(&digest::SHA256, &self.der);
        f.write_str("Certificate(")?;
        hash.as_ref().iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
        f.write_str(")")
    }
}

/// The certificates in a PEM file.
///
/// # Errors
/// There is none in it, or one that cannot be used.
pub fn certificates(pem: &[u8]) -> Result<Vec<Certificate>, PlanError> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let found = found.map_err(|error| PlanError(format!("no PEM: {error}")))?;
    if found.is_empty() {
        return Err(PlanError("it holds no certificate in PEM".to_owned()));
    }
    found.into_iter().map(|one| Certificate::new(one.as_ref().to_vec())).collect()
}

/// The keys that signatures are checked with: these and no other.
pub(crate) fn keys(certificates: &[Certificate]) -> Result<KeysManager, PlanError> {
    let mut keys = KeysManager::new();
    for certificate in certificates {
        let key = bergshamra_keys::loader::load_x509_cert_der(&certificate.der)
            .map_err(|error| PlanError(error.to_string()))?;
        keys.add_key(key);
    }
    Ok(keys)
}

/// A key of ours, for providers that want to know that a request is ours.
#[derive(Clone)]
pub struct Signer {
    key: std::sync::Arc<KeyPair>,
    certificate: Certificate,
}

impl Signer {
    /// Joins a private key (PKCS #8, PEM) and its certificate (PEM).
    ///
    /// # Errors
    /// They cannot be read, are not RSA, or do not belong together.
    pub fn new(key: &[u8], certificate: &[u8]) -> Result<Self, PlanError> {
        let der = PrivatePkcs8KeyDer::from_pem_slice(key).map_err(|_| {
            PlanError("the key is no PEM that begins -----BEGIN PRIVATE KEY-----".to_owned())
        })?;
        let pair = KeyPair::from_pkcs8(der.secret_pkcs8_der())
            .map_err(|error| PlanError(format!("the key is no RSA key: {error}")))?;
        let certificate = certificates(certificate)?
            .into_iter()
            .next()
            .ok_or_else(|| PlanError("there is no certificate".to_owned()))?;
        // The public key as it stands in the certificate (RFC 5280 section 4.1.2.7).
        let public = pair.public_key().as_ref();
        if !certificate.der.windows(public.len()).any(|part| part == public) {
            return Err(PlanError("the certificate is for another key".to_owned()));
        }
        Ok(Self { key: std::sync::Arc::new(pair), certificate })
    }

    /// RSA with SHA-256 over the octets, in base64; the same each time (RFC 8017 section 8.2).
    pub(crate) fn sign(&self, octets: &[u8]) -> Option<String> {
        let mut signature = vec![0; self.key.public_modulus_len()];
        let random = aws_lc_rs::rand::SystemRandom::new();
        self.key.sign(&RSA_PKCS1_SHA256, &random, octets, &mut signature).ok()?;
        Some(STANDARD.encode(signature))
    }

    /// What proves that it was signed by it.
    pub(crate) fn certificate(&self) -> &Certificate {
        &self.certificate
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Signer(***)")
    }
}

impl Eq for Signer {}

impl PartialEq for Signer {
    fn eq(&self, other: &Self) -> bool {
        self.certificate == other.certificate
    }
}

/// Our own side, the same for every provider.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Service {
    /// Our name, which assertions have to be meant for.
    pub entity_id: String,
    /// Where answers come in (the assertion consumer service), exactly as browsers reach it.
    pub acs: Url,
    /// The key that requests are signed with, if they are.
    pub signer: Option<Signer>,
}

/// What names the person.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum SubjectFrom {
    /// The NameID of the subject, unless that is a transient one.
    NameId,
    /// The one value of an attribute, by its `Name`.
    Attribute(String),
}

/// An identity provider whose people may sign in.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ProviderPlan {
    /// Its name, compared with `Issuer` byte for byte.
    pub entity_id: String,
    /// Where people are sent (single sign-on service, HTTP-Redirect binding).
    pub sso_url: Url,
    /// Its certificates: several while it changes them.
    pub certificates: Vec<Certificate>,
    /// What names the person.
    pub subject: SubjectFrom,
    /// What is put before every subject, so that two providers cannot name the same one.
    pub subject_prefix: String,
    /// The `Name` of the attribute that lists groups.
    pub groups_attribute: String,
    /// What is put before every group that an assertion lists.
    pub groups_prefix: String,
    /// Groups that everybody whom it signs in has besides.
    pub groups: Vec<String>,
    /// How far its clock may be from ours.
    pub clock_skew: Duration,
    /// Whether people may come from the provider's own page, with an answer to no question.
    pub idp_initiated: bool,
}

impl ProviderPlan {
    /// A plan in which everything but these has its default.
    #[must_use]
    pub fn new(entity_id: &str, sso_url: Url, certificates: Vec<Certificate>) -> Self {
        Self {
            entity_id: entity_id.to_owned(),
            sso_url,
            certificates,
            subject: SubjectFrom::NameId,
            subject_prefix: String::new(),
            groups_attribute: "groups".to_owned(),
            groups_prefix: String::new(),
            groups: Vec::new(),
            clock_skew: Duration::from_secs(30),
            idp_initiated: false,
        }
    }
}
