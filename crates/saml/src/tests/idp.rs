//! A provider that signs whatever it is told to, with keys made for the run.

use std::sync::OnceLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bergshamra_dsig::DsigContext;
use bergshamra_keys::KeysManager;
use model::Timestamp;
use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_RSA_SHA256, RsaKeySize};
use url::Url;

use crate::tree::{ASSERTION, DSIG, PROTOCOL};
use crate::{Certificate, Expected, Fault, Provider, ProviderPlan, Service, SignedIn};

pub const IDP: &str = "https://idp.example/saml2";
pub const SP: &str = "https://gateway.example/saml/metadata";
pub const ACS: &str = "https://gateway.example/saml/acs";
pub const REQUEST: &str = "_00112233445566778899aabbccddeeff";
pub const RSA_SHA256: &str = "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256";
pub const ECDSA_SHA256: &str = "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha256";
const EXCLUSIVE: &str = "http://www.w3.org/2001/10/xml-exc-c14n#";
const ENVELOPED: &str = "http://www.w3.org/2000/09/xmldsig#enveloped-signature";
const SHA256: &str = "http://www.w3.org/2001/04/xmlenc#sha256";

/// A key and its certificate.
pub struct Pair {
    pub key: String,
    pub certificate: Vec<u8>,
    pub method: &'static str,
}

fn pair(key: KeyPair, method: &'static str) -> Pair {
    let certificate = CertificateParams::new(vec![]).unwrap().self_signed(&key).unwrap();
    Pair { key: key.serialize_pem(), certificate: certificate.der().to_vec(), method }
}

/// The provider's key.
pub fn ours() -> &'static Pair {
    static PAIR: OnceLock<Pair> = OnceLock::new();
    PAIR.get_or_init(|| {
        pair(KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).unwrap(), RSA_SHA256)
    })
}

/// Another key of the provider, of another kind.
pub fn next() -> &'static Pair {
    static PAIR: OnceLock<Pair> = OnceLock::new();
    PAIR.get_or_init(|| pair(KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap(), ECDSA_SHA256))
}

/// The key of somebody else.
pub fn theirs() -> &'static Pair {
    static PAIR: OnceLock<Pair> = OnceLock::new();
    PAIR.get_or_init(|| {
        pair(KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).unwrap(), RSA_SHA256)
    })
}

/// 2026-11-30 12:00:00 UTC.
pub fn noon() -> Timestamp {
    at("2026-11-30T12:00:00Z")
}

pub fn at(moment: &str) -> Timestamp {
    let moment: jiff::Timestamp = moment.parse().unwrap();
    Timestamp(u64::try_from(moment.as_nanosecond()).unwrap())
}

pub fn plan() -> ProviderPlan {
    let certificates = vec![Certificate::new(ours().certificate.clone()).unwrap()];
    ProviderPlan::new(IDP, Url::parse("https://idp.example/sso").unwrap(), certificates)
}

pub fn service() -> Service {
    Service { entity_id: SP.to_owned(), acs: Url::parse(ACS).unwrap(), signer: None }
}

pub fn accept_with(plan: ProviderPlan, document: &str) -> Result<SignedIn, Fault> {
    let provider = Provider::new(plan, service()).unwrap();
    let response = STANDARD.encode(document);
    provider.accept(&response, noon(), Expected::Request(REQUEST), &mut |_, _| Ok(true))
}

pub fn accept(document: &str) -> Result<SignedIn, Fault> {
    accept_with(plan(), document)
}

/// Why a document is refused.
pub fn refused(document: &str) -> String {
    match accept(document) {
        Ok(signed_in) => panic!("accepted as {signed_in:?}: {document}"),
        Err(fault) => fault.to_string(),
    }
}

/// What an answer is made of; every part can be replaced.
#[derive(Clone)]
pub struct Answer {
    pub response: String,
    pub issuer: String,
    pub status: String,
    pub assertion_id: String,
    pub assertion: String,
    pub subject: String,
    pub confirmation: String,
    pub conditions: String,
    pub statement: String,
    pub attributes: String,
    pub before_assertion: String,
    pub after_assertion: String,
}

impl Default for Answer {
    fn default() -> Self {
        Self {
            response: format!(
                "ID=\"_r1\" Version=\"2.0\" IssueInstant=\"2026-11-30T12:00:00Z\" \
                 Destination=\"{ACS}\" InResponseTo=\"{REQUEST}\""
            ),
            issuer: format!("<saml:Issuer>{IDP}</saml:Issuer>"),
            status: "<samlp:Status><samlp:StatusCode \
                     Value=\"urn:oasis:names:tc:SAML:2.0:status:Success\"/></samlp:Status>"
                .to_owned(),
            assertion_id: "_a1".to_owned(),
            assertion: "Version=\"2.0\" IssueInstant=\"2026-11-30T12:00:00Z\"".to_owned(),
            subject: "<saml:NameID Format=\"urn:oasis:names:tc:SAML:1.1:nameid-format:\
                      emailAddress\">alice@example.com</saml:NameID>"
                .to_owned(),
            confirmation: format!(
                "<saml:SubjectConfirmation Method=\"urn:oasis:names:tc:SAML:2.0:cm:bearer\">\
                 <saml:SubjectConfirmationData NotOnOrAfter=\"2026-11-30T12:05:00Z\" \
                 Recipient=\"{ACS}\" InResponseTo=\"{REQUEST}\"/></saml:SubjectConfirmation>"
            ),
            conditions: format!(
                "<saml:Conditions NotBefore=\"2026-11-30T11:59:30Z\" \
                 NotOnOrAfter=\"2026-11-30T12:05:00Z\"><saml:AudienceRestriction>\
                 <saml:Audience>{SP}</saml:Audience></saml:AudienceRestriction></saml:Conditions>"
            ),
            statement: "<saml:AuthnStatement AuthnInstant=\"2026-11-30T12:00:00Z\" \
                        SessionNotOnOrAfter=\"2026-11-30T20:00:00Z\" SessionIndex=\"_s1\">\
                        <saml:AuthnContext><saml:AuthnContextClassRef>\
                        urn:oasis:names:tc:SAML:2.0:ac:classes:Password\
                        </saml:AuthnContextClassRef></saml:AuthnContext></saml:AuthnStatement>"
                .to_owned(),
            attributes: "<saml:AttributeStatement><saml:Attribute Name=\"mail\">\
                         <saml:AttributeValue>alice@example.com</saml:AttributeValue>\
                         </saml:Attribute><saml:Attribute Name=\"groups\"><saml:AttributeValue>dba\
                         </saml:AttributeValue><saml:AttributeValue>people</saml:AttributeValue>\
                         </saml:Attribute></saml:AttributeStatement>"
                .to_owned(),
            before_assertion: String::new(),
            after_assertion: String::new(),
        }
    }
}

/// What is signed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Over {
    Nothing,
    Assertion,
    Response,
    Both,
}

impl Answer {
    /// The assertion with what stands for a signature in it.
    pub fn assertion(&self, signature: &str) -> String {
        format!(
            "<saml:Assertion xmlns:saml=\"{ASSERTION}\" ID=\"{}\" {}>{}{signature}\
             <saml:Subject>{}{}</saml:Subject>{}{}{}</saml:Assertion>",
            self.assertion_id,
            self.assertion,
            self.issuer,
            self.subject,
            self.confirmation,
            self.conditions,
            self.statement,
            self.attributes,
        )
    }

    /// The answer with what stands for a signature and the assertion in it.
    pub fn around(&self, signature: &str, assertion: &str) -> String {
        format!(
            "<samlp:Response xmlns:samlp=\"{PROTOCOL}\" xmlns:saml=\"{ASSERTION}\" {}>{}{signature}\
             {}{}{assertion}{}</samlp:Response>",
            self.response, self.issuer, self.status, self.before_assertion, self.after_assertion,
        )
    }

    pub fn signed(&self, over: Over) -> String {
        self.signed_by(ours(), over)
    }

    pub fn signed_by(&self, pair: &Pair, over: Over) -> String {
        let inner = match over {
            Over::Nothing | Over::Response => self.assertion(""),
            Over::Assertion | Over::Both => {
                sign(&self.assertion(&template(&self.assertion_id, pair.method)), pair)
            }
        };
        match over {
            Over::Nothing | Over::Assertion => self.around("", &inner),
            Over::Response | Over::Both => {
                sign(&self.around(&template("_r1", pair.method), &inner), pair)
            }
        }
    }
}

/// A signature to be made.
pub fn template(id: &str, method: &str) -> String {
    let transforms = format!(
        "<ds:Transform Algorithm=\"{ENVELOPED}\"/><ds:Transform Algorithm=\"{EXCLUSIVE}\"/>"
    );
    template_of(&format!("#{id}"), method, SHA256, &transforms)
}

pub fn template_of(uri: &str, method: &str, digest: &str, transforms: &str) -> String {
    format!(
        "<ds:Signature xmlns:ds=\"{DSIG}\"><ds:SignedInfo><ds:CanonicalizationMethod \
         Algorithm=\"{EXCLUSIVE}\"/><ds:SignatureMethod Algorithm=\"{method}\"/>\
         <ds:Reference URI=\"{uri}\"><ds:Transforms>{transforms}</ds:Transforms>\
         <ds:DigestMethod Algorithm=\"{digest}\"/><ds:DigestValue></ds:DigestValue>\
         </ds:Reference></ds:SignedInfo><ds:SignatureValue></ds:SignatureValue></ds:Signature>"
    )
}

/// Makes the first signature of a document.
pub fn sign(document: &str, pair: &Pair) -> String {
    let mut keys = KeysManager::new();
    let pem = pair.key.as_bytes();
    keys.add_key(bergshamra_keys::loader::load_pem_auto(pem, None).unwrap());
    bergshamra_dsig::sign::sign(&DsigContext::new_permissive(keys), document).unwrap()
}

/// Cuts the first element of a name out of a document: the element, and the document without it.
pub fn cut(document: &str, name: &str) -> (String, String) {
    let begin = document.find(&format!("<{name}")).unwrap();
    let close = format!("</{name}>");
    let end = begin + document[begin..].find(&close).unwrap() + close.len();
    let element = document[begin..end].to_owned();
    (element, format!("{}{}", &document[..begin], &document[end..]))
}
