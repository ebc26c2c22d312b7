//! What `check` says of providers of SAML.

use super::{Folder, Rulebook, load, show};
use crate::config::sample::SAMPLE;

const METADATA: &str = include_str!("../../../../saml/testdata/simplesamlphp-metadata.xml");
const CERTIFICATE: &str = include_str!("../../../../saml/testdata/simplesamlphp.pem");

/// A folder with the files of a provider, and a configuration with these lines of
/// `identity.saml`.
fn told(lines: &str) -> (Option<super::Loaded>, String) {
    let folder = Folder::new();
    folder.write("idp.xml", METADATA);
    folder.write("idp.pem", CERTIFICATE);
    let wants = METADATA.replace(
        "IDPSSODescriptor protocol",
        "IDPSSODescriptor WantAuthnRequestsSigned=\"true\" protocol",
    );
    folder.write("signed.xml", &wants);
    let text = format!(
        "{SAMPLE}\nidentity:\n  login: {{ url: \"https://gw.example\" }}\n  saml:\n{lines}"
    );
    let path = folder.write("narrows.yaml", &text);
    let words = |problems: &[super::Problem]| {
        let words: Vec<String> = problems.iter().map(ToString::to_string).collect();
        words.join("\n").replace(&format!("{}/", folder.0.display()), "")
    };
    match load(&path, &Rulebook::new(), 1) {
        Ok(loaded) => {
            let warnings = words(&loaded.warnings);
            (Some(loaded), warnings)
        }
        Err(unusable) => (None, words(&unusable.problems)),
    }
}

#[test]
fn providers_of_saml_are_shown_as_they_are_used() {
    let (loaded, warnings) = told(
        "    - metadata: {file: idp.xml}\n      subject: {attribute: mail}\n      \
         subject_prefix: \"a:\"\n      groups_prefix: \"a:\"\n      groups: [people]\n    \
         - entity_id: urn:b\n      sso_url: https://b.example/sso\n      certificate: [idp.pem]\n      \
         label: B\n      audience: urn:us\n      clock_skew: 1m\n      groups_attribute: roles\n      \
         idp_initiated: true\n",
    );
    let shown = show::show(&loaded.unwrap().config);
    let part = shown.split("identity:").nth(1).unwrap().split("resources:").next().unwrap();
    insta::assert_snapshot!("saml_shown", format!("{part}{warnings}"));
}

#[test]
fn mistakes_with_providers_of_saml_are_told_with_their_place() {
    let mut all = String::new();
    for lines in [
        "    - { metadata: {file: missing.xml} }\n",
        "    - { metadata: {file: idp.pem} }\n",
        "    - { metadata: \"https://idp.example/metadata\" }\n",
        "    - { metadata: {file: idp.xml}, entity_id: \"https://other\" }\n",
        "    - { metadata: {file: idp.xml}, certificate: {file: idp.xml} }\n",
        "    - { metadata: {file: signed.xml} }\n",
        "    - { metadata: {file: idp.xml}, sign_requests: { key: {file: idp.pem} } }\n",
        "    - { metadata: {file: idp.xml}, sign_requests: { key: idp.pem, certificate: idp.pem } }\n",
        "    - { label: x }\n",
        "    - { entity_id: x, sso_url: \"http://idp.example\", certificate: idp.pem }\n",
        "    - { metadata: {file: idp.xml}, subject: mail }\n",
        "    - { metadata: {file: idp.xml}, subject: {attribute: } }\n",
        "    - { metadata: {file: idp.xml}, clock_skew: 1h, group_attribute: x }\n",
        "    - { metadata: {file: idp.xml} }\n    - { metadata: {file: idp.xml} }\n",
    ] {
        let (loaded, words) = told(lines);
        assert!(loaded.is_none(), "{lines}");
        all += &format!("{}\n{words}\n\n", lines.trim());
    }
    insta::assert_snapshot!("saml_mistakes", all);
}
