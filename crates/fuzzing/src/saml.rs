//! Any bytes as the answer of a SAML provider, and as its metadata.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use model::Timestamp;
use saml::{Expected, Provider, ProviderPlan, Service, certificates, describe, peek};
use url::Url;

/// What SimpleSAMLphp sent, as it came.
pub const ANSWER: &[u8] = include_bytes!("../../saml/testdata/simplesamlphp.xml");
/// What it says of itself.
pub const METADATA: &[u8] = include_bytes!("../../saml/testdata/simplesamlphp-metadata.xml");
const CERTIFICATE: &[u8] = include_bytes!("../../saml/testdata/simplesamlphp.pem");
/// What was asked, and when it was answered.
const REQUEST: &str = "_00112233445566778899aabbccddeeff";
const ANSWERED: Timestamp = Timestamp(1_796_065_920_000_000_000);

/// Nobody is signed in but who was signed in, whatever is around it; metadata is of the provider
/// whose certificate it holds, or of none.
pub fn saml(data: &[u8]) {
    let url = |text: &str| Url::parse(text).expect("an address");
    let known = certificates(CERTIFICATE).expect("a certificate");
    let plan = ProviderPlan::new("https://idp.example/saml2", url("https://idp.example/"), known);
    let service = Service {
        entity_id: "https://gateway.example/saml/metadata".to_owned(),
        acs: url("https://gateway.example/saml/acs"),
        signer: None,
    };
    let provider = Provider::new(plan, service).expect("a provider");
    let response = STANDARD.encode(data);
    let expected = Expected::Request(REQUEST);
    let accepted = provider.accept(&response, ANSWERED, expected, &mut |_, _| Ok(true));
    match accepted {
        Ok(signed_in) => {
            assert_eq!(signed_in.subject, "alice@example.com");
            assert_eq!(signed_in.groups, ["dba", "people"]);
            assert!(peek(&response).is_ok(), "what is believed can be read");
        }
        Err(fault) => {
            assert!(data != ANSWER, "{fault}");
            assert!(fault.to_string().len() < 2_000, "words of a stranger are shortened");
        }
    }
    if let Ok(text) = std::str::from_utf8(data) {
        let raw = provider.accept(text, ANSWERED, expected, &mut |_, _| Ok(true));
        assert!(raw.is_err(), "the letters are no base64");
    }
    match describe(data, None) {
        Ok(described) => assert!(!described.certificates.is_empty()),
        Err(error) => assert!(data != METADATA, "{error}"),
    }
}
