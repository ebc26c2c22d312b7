//! Signatures that are none, or of another kind, or by another key.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::idp::{
    Answer, Over, RSA_SHA256, accept, cut, ours, refused, sign, template, template_of, theirs,
};
use crate::Fault;

const EXCLUSIVE: &str = "http://www.w3.org/2001/10/xml-exc-c14n#";
const ENVELOPED: &str = "http://www.w3.org/2000/09/xmldsig#enveloped-signature";
const SHA256: &str = "http://www.w3.org/2001/04/xmlenc#sha256";

/// An answer whose assertion has this for a signature, made by the provider's own key.
fn with(template: &str) -> String {
    let answer = Answer::default();
    answer.around("", &sign(&answer.assertion(template), ours()))
}

/// The same, not made at all: for what the library could not make.
fn unmade(template: &str) -> String {
    let answer = Answer::default();
    answer.around("", &answer.assertion(template))
}

fn transforms(all: &[&str]) -> String {
    all.iter().map(|one| format!("<ds:Transform Algorithm=\"{one}\"/>")).collect()
}

#[test]
fn the_form_that_is_believed_is_believed() {
    let fine = template_of("#_a1", RSA_SHA256, SHA256, &transforms(&[ENVELOPED, EXCLUSIVE]));
    assert!(accept(&with(&fine)).is_ok());
    for method in ["rsa-sha384", "rsa-sha512"] {
        let method = format!("http://www.w3.org/2001/04/xmldsig-more#{method}");
        assert!(accept(&with(&template("_a1", &method))).is_ok(), "{method}");
    }
    let pss = "http://www.w3.org/2007/05/xmldsig-more#sha256-rsa-MGF1";
    assert!(accept(&with(&template("_a1", pss))).is_ok());
}

#[test]
fn without_a_signature_nothing_is_believed() {
    for over in [Over::Assertion, Over::Response, Over::Both] {
        let mut document = Answer::default().signed(over);
        while document.contains("<ds:Signature") {
            document = cut(&document, "ds:Signature").1;
        }
        assert_eq!(accept(&document), Err(Fault::Unsigned), "{over:?}");
    }
}

#[test]
fn a_change_of_what_is_signed_is_found() {
    for over in [Over::Assertion, Over::Response, Over::Both] {
        let document = Answer::default().signed(over);
        for (from, to) in [
            ("alice@example.com", "admin@example.com"),
            (">dba<", ">admin<"),
            ("SessionIndex=\"_s1\"", "SessionIndex=\"_s2\""),
        ] {
            let changed = document.replace(from, to);
            assert_ne!(changed, document);
            assert!(refused(&changed).contains("signature is wrong"), "{over:?} {from}");
        }
    }
}

#[test]
fn a_right_signature_does_not_make_up_for_a_wrong_one() {
    // The answer's is right, its assertion's is of somebody else.
    let answer = Answer::default();
    let inner = sign(&answer.assertion(&template("_a1", RSA_SHA256)), theirs());
    let document = sign(&answer.around(&template("_r1", RSA_SHA256), &inner), ours());
    assert!(refused(&document).contains("signature is wrong"));
    // And the other way around.
    let inner = sign(&answer.assertion(&template("_a1", RSA_SHA256)), ours());
    let document = sign(&answer.around(&template("_r1", RSA_SHA256), &inner), theirs());
    assert!(refused(&document).contains("signature is wrong"));
}

#[test]
fn keys_inside_of_the_signature_are_not_looked_at() {
    let certificate = STANDARD.encode(&theirs().certificate);
    let info = format!(
        "</ds:SignatureValue><ds:KeyInfo><ds:X509Data><ds:X509Certificate>{certificate}\
         </ds:X509Certificate></ds:X509Data></ds:KeyInfo>"
    );
    let by = |pair| {
        let answer = Answer::default();
        let template = template("_a1", RSA_SHA256).replace("</ds:SignatureValue>", &info);
        answer.around("", &sign(&answer.assertion(&template), pair))
    };
    assert!(refused(&by(theirs())).contains("signature is wrong"));
    // A strange certificate beside the right key changes nothing either.
    assert!(accept(&by(ours())).is_ok());
    // One inside of what another signature is over belongs to what that is over.
    let answer = Answer::default();
    let filled = |id| template(id, RSA_SHA256).replace("</ds:SignatureValue>", &info);
    let inner = sign(&answer.assertion(&filled("_a1")), ours());
    let both = sign(&answer.around(&filled("_r1"), &inner), ours());
    assert!(accept(&both).is_ok());
    let (begin, end) = both.rsplit_once("<ds:KeyInfo>").unwrap();
    let end = end.split_once("</ds:KeyInfo>").unwrap().1;
    assert!(refused(&format!("{begin}{end}")).contains("signature is wrong"));
}

#[test]
fn weak_and_symmetric_algorithms_are_refused_by_name() {
    for method in [
        "http://www.w3.org/2000/09/xmldsig#rsa-sha1",
        "http://www.w3.org/2001/04/xmldsig-more#rsa-md5",
        "http://www.w3.org/2000/09/xmldsig#dsa-sha1",
        "http://www.w3.org/2000/09/xmldsig#hmac-sha1",
        "http://www.w3.org/2001/04/xmldsig-more#hmac-sha256",
        "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha1",
        "",
    ] {
        let document = unmade(&template("_a1", method));
        let found = format!("SignatureMethod is {method:?}");
        assert!(refused(&document).contains(&found), "{}", refused(&document));
    }
    let sha1 = "http://www.w3.org/2000/09/xmldsig#sha1";
    let weak = template_of("#_a1", RSA_SHA256, sha1, &transforms(&[ENVELOPED, EXCLUSIVE]));
    assert!(refused(&unmade(&weak)).contains("DigestMethod is"));
}

/// The public key is no secret, so a signature that is a keyed hash with it must not be one.
#[test]
fn a_keyed_hash_with_the_public_key_is_no_signature() {
    let mut keys = bergshamra_keys::KeysManager::new();
    keys.add_key(bergshamra_keys::loader::load_hmac_key(&ours().certificate).unwrap());
    let context = bergshamra_dsig::DsigContext::new_permissive(keys);
    let answer = Answer::default();
    let hmac = "http://www.w3.org/2001/04/xmldsig-more#hmac-sha256";
    let assertion = answer.assertion(&template("_a1", hmac));
    let signed = bergshamra_dsig::sign::sign(&context, &assertion).unwrap();
    assert!(refused(&answer.around("", &signed)).contains("hmac-sha256"));
}

#[test]
fn other_transforms_than_the_two_are_refused() {
    let xslt = "http://www.w3.org/TR/1999/REC-xslt-19991116";
    let xpath = "http://www.w3.org/TR/1999/REC-xpath-19991116";
    let filter = "http://www.w3.org/2002/06/xmldsig-filter2";
    let base64 = "http://www.w3.org/2000/09/xmldsig#base64";
    let inclusive = "http://www.w3.org/TR/2001/REC-xml-c14n-20010315";
    let comments = "http://www.w3.org/2001/10/xml-exc-c14n#WithComments";
    for (all, why) in [
        (&[ENVELOPED, xslt][..], "Transform is"),
        (&[xpath, EXCLUSIVE], "Transform is"),
        (&[filter, EXCLUSIVE], "Transform is"),
        (&[base64, EXCLUSIVE], "Transform is"),
        (&[ENVELOPED, inclusive], "Transform is"),
        (&[ENVELOPED, comments], "Transform is"),
        (&[EXCLUSIVE, ENVELOPED], "Transform is"),
        (&[ENVELOPED], "Transforms holds too little"),
        (&[EXCLUSIVE], "Transforms holds too little"),
        (&[], "Transforms holds too little"),
        (&[ENVELOPED, EXCLUSIVE, EXCLUSIVE], "Transforms holds Transform"),
    ] {
        let document = unmade(&template_of("#_a1", RSA_SHA256, SHA256, &transforms(all)));
        assert!(refused(&document).contains(why), "{all:?}: {}", refused(&document));
    }
    // A transform of the right name with something in it.
    let loaded = transforms(&[ENVELOPED, EXCLUSIVE]).replacen(
        "/>",
        "><ds:XPath>true()</ds:XPath></ds:Transform>",
        1,
    );
    let document = unmade(&template_of("#_a1", RSA_SHA256, SHA256, &loaded));
    assert!(refused(&document).contains("Transform holds XPath"), "{}", refused(&document));
}

#[test]
fn a_signature_is_over_the_element_that_it_stands_in() {
    let both = transforms(&[ENVELOPED, EXCLUSIVE]);
    for uri in ["", "#_r1", "_a1", "#xpointer(/)", "#xpointer(id('_a1'))", "/etc/passwd", "cid:a"] {
        let document = unmade(&template_of(uri, RSA_SHA256, SHA256, &both));
        let why = refused(&document);
        assert!(why.contains("not over the ID of Assertion"), "{uri}: {why}");
    }
    // What has no name is the whole document to some.
    let answer = Answer { assertion_id: String::new(), ..Answer::default() };
    for uri in ["", "#"] {
        let unnamed = answer.assertion(&template_of(uri, RSA_SHA256, SHA256, &both));
        let why = refused(&answer.around("", &unnamed));
        assert!(why.contains("not over the ID of Assertion"), "{why}");
    }
}

#[test]
fn a_signature_has_one_reference_and_nothing_else() {
    let fine = template("_a1", RSA_SHA256);
    let (reference, _) = cut(&fine, "ds:Reference");
    let object = "<ds:Object/></ds:Signature>";
    let filled = |name: &str, algorithm: &str| {
        let empty = format!("<{name} Algorithm=\"{algorithm}\"/>");
        let open = empty.replace("/>", &format!("><ds:X/></{name}>"));
        fine.replace(&empty, &open)
    };
    for (changed, why) in [
        (
            fine.replace(&reference, &format!("{reference}{reference}")),
            "SignedInfo holds Reference",
        ),
        (fine.replace(&reference, ""), "SignedInfo holds too little"),
        (fine.replace("</ds:Signature>", object), "Signature holds Object"),
        (fine.replace("<ds:Reference ", "<ds:Reference Type=\"x\" "), "has an attribute Type"),
        (
            fine.replace("<ds:Reference ", "<ds:Reference xmlns:x=\"urn:x\" x:URI=\"#_r1\" "),
            "has an attribute x:URI",
        ),
        (
            fine.replace(
                "<ds:SignatureMethod ",
                "<ds:SignatureMethod xmlns:x=\"urn:x\" x:Algorithm=\"y\" ",
            ),
            "has an attribute x:Algorithm",
        ),
        (
            fine.replace("<ds:SignedInfo>", "<ds:SignedInfo x=\"y\">"),
            "SignedInfo has an attribute x",
        ),
        (
            fine.replacen("<ds:Signature ", "<ds:Signature x=\"y\" ", 1),
            "Signature has an attribute x",
        ),
        (
            fine.replace("<ds:SignatureValue>", "<ds:SignatureValue x=\"y\">"),
            "SignatureValue has an attribute x",
        ),
        (
            fine.replace("<ds:SignatureValue>", "<ds:SignatureValue><ds:X/>"),
            "SignatureValue holds more than text",
        ),
        (
            fine.replace("<ds:Transforms>", "<ds:Transforms x=\"y\">"),
            "Transforms has an attribute x",
        ),
        (
            fine.replace("<ds:DigestValue>", "<ds:DigestValue x=\"y\">"),
            "DigestValue has an attribute x",
        ),
        (filled("ds:SignatureMethod", RSA_SHA256), "SignatureMethod holds X"),
        (filled("ds:DigestMethod", SHA256), "DigestMethod holds X"),
        (
            fine.replace(&format!("Method Algorithm=\"{EXCLUSIVE}\""), "Method Algorithm=\"x\""),
            "CanonicalizationMethod is \"x\"",
        ),
        (fine.replace("</ds:Reference>", "<ds:X/></ds:Reference>"), "Reference holds X"),
        (
            fine.replace("<ds:DigestMethod ", "<x:DigestMethod xmlns:x=\"urn:x\" "),
            "Reference holds DigestMethod",
        ),
        (fine.replace("<ds:SignedInfo>", "<ds:SignedInfo>text"), "SignedInfo holds text"),
        (fine.replace("ds:SignedInfo", "ds:Signedinfo"), "Signature holds Signedinfo"),
    ] {
        let why_not = refused(&unmade(&changed));
        assert!(why_not.contains(why), "{why}: {why_not}");
    }
    let two = format!("{fine}{fine}");
    assert!(refused(&unmade(&two)).contains("two of the same element"));
}

#[test]
fn prefixes_that_are_kept_besides_are_kept_here_too() {
    let kept = format!(
        "<ds:Transform Algorithm=\"{ENVELOPED}\"/><ds:Transform Algorithm=\"{EXCLUSIVE}\">\
         <ec:InclusiveNamespaces xmlns:ec=\"{EXCLUSIVE}\" PrefixList=\"xs saml #default\"/>\
         </ds:Transform>"
    );
    let answer = Answer {
        assertion: format!(
            "{} xmlns:xs=\"http://www.w3.org/2001/XMLSchema\"",
            Answer::default().assertion
        ),
        ..Answer::default()
    };
    let template = template_of("#_a1", RSA_SHA256, SHA256, &kept);
    let document = answer.around("", &sign(&answer.assertion(&template), ours()));
    assert!(accept(&document).is_ok());
    let hidden = document.replace("PrefixList=", "xmlns:x=\"urn:x\" x:PrefixList=\"\" PrefixList=");
    assert!(refused(&hidden).contains("has an attribute x:PrefixList"));
    let filled = document.replace("#default\"/>", "#default\"><ds:X/></ec:InclusiveNamespaces>");
    assert!(refused(&filled).contains("InclusiveNamespaces holds X"), "{}", refused(&filled));
    let many = document.replace("#default", &"p ".repeat(33));
    assert!(refused(&many).contains("more than 32 prefixes"));
}
