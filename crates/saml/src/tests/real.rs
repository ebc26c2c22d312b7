//! What SimpleSAMLphp 1.19 sent for a request of ours, kept as it came, and metadata.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use url::Url;

use super::idp::{REQUEST, at, ours, plan, service};
use crate::{Expected, Provider, ProviderPlan, Signer, certificates, describe};

const ANSWER: &str = include_str!("../../testdata/simplesamlphp.xml");
const CERTIFICATE: &[u8] = include_bytes!("../../testdata/simplesamlphp.pem");

fn provider() -> Provider {
    let certificates = certificates(CERTIFICATE).unwrap();
    let sso = Url::parse("https://idp.example/sso").unwrap();
    let plan = ProviderPlan::new("https://idp.example/saml2", sso, certificates);
    Provider::new(plan, service()).unwrap()
}

#[test]
fn an_answer_of_simplesamlphp_is_accepted() {
    let now = at("2026-11-30T19:12:00Z");
    let expected = Expected::Request(REQUEST);
    let signed_in =
        provider().accept(&STANDARD.encode(ANSWER), now, expected, &mut |_, _| Ok(true)).unwrap();
    assert_eq!(signed_in.subject, "alice@example.com");
    assert_eq!(signed_in.groups, ["dba", "people"]);
    assert!(signed_in.session_index.is_some());
    let changed = ANSWER.replace(">dba<", ">sys<");
    let fault = provider()
        .accept(&STANDARD.encode(changed), now, expected, &mut |_, _| Ok(true))
        .unwrap_err();
    assert!(fault.to_string().contains("signature is wrong"), "{fault}");
}

fn metadata_with(keys: &str, more: &str) -> String {
    format!(
        "<?xml version=\"1.0\"?>\n<!-- of the operator -->\n<md:EntityDescriptor \
         xmlns:md=\"urn:oasis:names:tc:SAML:2.0:metadata\" \
         xmlns:ds=\"http://www.w3.org/2000/09/xmldsig#\" entityID=\"https://idp.example/saml2\">\
         <md:IDPSSODescriptor {more} \
         protocolSupportEnumeration=\"urn:oasis:names:tc:SAML:2.0:protocol\">{keys}\
         <md:SingleSignOnService Binding=\"urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST\" \
         Location=\"https://idp.example/post\"/>\
         <md:SingleSignOnService Binding=\"urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect\" \
         Location=\"https://idp.example/sso?tenant=1\"/></md:IDPSSODescriptor>\
         </md:EntityDescriptor>"
    )
}

fn key(usage: &str, der: &[u8]) -> String {
    format!(
        "<md:KeyDescriptor {usage}><ds:KeyInfo><ds:X509Data><ds:X509Certificate>\n{}\n\
         </ds:X509Certificate></ds:X509Data></ds:KeyInfo></md:KeyDescriptor>",
        STANDARD.encode(der)
    )
}

#[test]
fn metadata_names_the_provider_its_address_and_what_it_signs_with() {
    let signing = key("use=\"signing\"", &ours().certificate);
    let other = key("use=\"encryption\"", &super::idp::theirs().certificate);
    let described = describe(metadata_with(&format!("{other}{signing}"), "").as_bytes(), None);
    let described = described.unwrap();
    assert_eq!(described.entity_id, "https://idp.example/saml2");
    assert_eq!(described.sso_url.as_str(), "https://idp.example/sso?tenant=1");
    assert_eq!(described.certificates, plan().certificates);
    assert!(!described.wants_signed_requests);
    let any = key("", &ours().certificate);
    let wants = metadata_with(&any, "WantAuthnRequestsSigned=\"true\"");
    let described = describe(wants.as_bytes(), Some("https://idp.example/saml2")).unwrap();
    assert_eq!(described.certificates, plan().certificates);
    assert!(described.wants_signed_requests);
}

#[test]
fn metadata_that_lacks_something_says_what() {
    let signing = key("use=\"signing\"", &ours().certificate);
    let fine = metadata_with(&signing, "");
    for (metadata, why) in [
        (metadata_with("", ""), "no X509Certificate to sign with"),
        (fine.replace("HTTP-Redirect", "SOAP"), "no SingleSignOnService with the HTTP-Redirect"),
        (fine.replace("IDPSSODescriptor", "SPSSODescriptor"), "describes no identity provider"),
        (fine.replace("md:EntityDescriptor", "md:Entity"), "it is a Entity"),
        (format!("<!DOCTYPE x []>{fine}"), "it is no XML"),
        (fine.replace("https://idp.example/sso?", "sso?"), "its Location"),
        (metadata_with(&key("", b"no certificate"), ""), "a certificate that cannot be used"),
        ("{}".to_owned(), "it is no XML"),
    ] {
        let error = describe(metadata.as_bytes(), None).unwrap_err().to_string();
        assert!(error.contains(why), "{why}: {error}");
    }
    let error = describe(fine.as_bytes(), Some("https://other")).unwrap_err().to_string();
    assert!(error.contains("no identity provider of that name"), "{error}");
}

#[test]
fn our_metadata_says_where_answers_come_in() {
    let metadata = Provider::new(plan(), service()).unwrap().metadata();
    assert!(metadata.contains("entityID=\"https://gateway.example/saml/metadata\""));
    assert!(metadata.contains("Location=\"https://gateway.example/saml/acs\""));
    assert!(metadata.contains("AuthnRequestsSigned=\"false\""));
    assert!(uppsala::parse(&metadata).is_ok());
}

fn query(url: &Url, name: &str) -> String {
    let found = url.query_pairs().find(|(known, _)| known == name);
    found.unwrap_or_else(|| panic!("no {name} in {url}")).1.into_owned()
}

#[test]
fn a_sign_in_begins_with_a_request_in_the_address() {
    let plan =
        ProviderPlan { sso_url: Url::parse("https://idp.example/sso?tenant=1").unwrap(), ..plan() };
    let provider = Provider::new(plan, service()).unwrap();
    let begun = provider.begin(super::idp::noon(), "handle").unwrap();
    assert_eq!(begun.request, crate::request_of("handle"));
    assert_ne!(begun.request, crate::request_of("handles"));
    assert_eq!(query(&begun.url, "tenant"), "1");
    assert_eq!(query(&begun.url, "RelayState"), "handle");
    let deflated = STANDARD.decode(query(&begun.url, "SAMLRequest")).unwrap();
    let mut request = String::new();
    let mut decoder = flate2::read::DeflateDecoder::new(&*deflated);
    std::io::Read::read_to_string(&mut decoder, &mut request).unwrap();
    assert!(request.contains(&format!("ID=\"{}\"", begun.request)), "{request}");
    assert!(request.contains("IssueInstant=\"2026-11-30T12:00:00Z\""), "{request}");
    assert!(request.contains("Destination=\"https://idp.example/sso?tenant=1\""), "{request}");
    assert!(provider.begin(super::idp::noon(), &"x".repeat(81)).is_err());
}

#[test]
fn a_request_is_signed_over_what_is_sent() {
    let pem = |der: &[u8]| {
        format!(
            "-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n",
            STANDARD.encode(der)
        )
    };
    let certificate = pem(&ours().certificate);
    let signer = Signer::new(ours().key.as_bytes(), certificate.as_bytes()).unwrap();
    let mut service = service();
    service.signer = Some(signer);
    let provider = Provider::new(plan(), service).unwrap();
    assert!(provider.metadata().contains("AuthnRequestsSigned=\"true\""));
    assert!(provider.metadata().contains(&STANDARD.encode(&ours().certificate)));
    let begun = provider.begin(super::idp::noon(), "a b").unwrap();
    let sent = begun.url.query().unwrap();
    let (octets, _) = sent.split_once("&Signature=").unwrap();
    let signature = STANDARD.decode(query(&begun.url, "Signature")).unwrap();
    let key = rcgen::KeyPair::from_pem(&ours().key).unwrap();
    let public = rcgen::PublicKeyData::der_bytes(&key).to_vec();
    aws_lc_rs::signature::UnparsedPublicKey::new(
        &aws_lc_rs::signature::RSA_PKCS1_2048_8192_SHA256,
        &public,
    )
    .verify(octets.as_bytes(), &signature)
    .unwrap();

    let other = pem(&super::idp::theirs().certificate);
    let error = Signer::new(ours().key.as_bytes(), other.as_bytes()).unwrap_err().to_string();
    assert!(error.contains("for another key"), "{error}");
}

#[test]
fn p2_plans_with_other_certificates_are_told_apart_by_what_is_printed_of_them() {
    let made = || {
        let params = rcgen::CertificateParams::new(vec!["idp.example".to_owned()]).unwrap();
        let signed = params.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap();
        format!("{:?}", crate::Certificate::new(signed.der().to_vec()).unwrap())
    };
    let (one, other) = (made(), made());
    assert_ne!(one, other);
    assert_eq!(one.len(), other.len(), "{one}");
}
