//! Signature wrapping: the signed part is kept somewhere in the document, and another is put where
//! it is expected (Somorovsky et al., "On Breaking SAML", 2012; the numbers are those of SAML
//! Raider). Every document here holds a signature of the provider that is right over something.

use super::idp::{Answer, Over, accept, cut, refused, sign, template};

const EVIL: &str = "mallory@evil.example";

/// The pieces of an answer whose assertion is signed.
struct Pieces {
    answer: Answer,
    /// Signed, with its signature inside.
    whole: String,
    signature: String,
    /// Signed, without its signature.
    bare: String,
    /// Not signed, under another ID.
    evil: String,
}

fn pieces() -> Pieces {
    let answer = Answer::default();
    let (whole, _) = cut(&answer.signed(Over::Assertion), "saml:Assertion");
    let (signature, bare) = cut(&whole, "ds:Signature");
    let evil = bare.replace("alice@example.com", EVIL).replace("\"_a1\"", "\"_evil\"");
    Pieces { answer, whole, signature, bare, evil }
}

/// Puts something right before the end of an element.
fn inside(element: &str, name: &str, more: &str) -> String {
    let end = element.rfind(&format!("</{name}>")).unwrap();
    format!("{}{more}{}", &element[..end], &element[end..])
}

/// Puts something right after the issuer, where signatures stand.
fn after_issuer(element: &str, more: &str) -> String {
    let end = element.find("</saml:Issuer>").unwrap() + "</saml:Issuer>".len();
    format!("{}{more}{}", &element[..end], &element[end..])
}

/// The pieces of an answer that is signed itself.
struct Signed {
    signature: String,
    /// Signed, without its signature.
    bare: String,
    /// Not signed, under other IDs.
    evil: String,
}

fn signed() -> Signed {
    let whole = Answer::default().signed(Over::Response);
    let (signature, bare) = cut(&whole, "ds:Signature");
    let evil = bare
        .replace("alice@example.com", EVIL)
        .replace("\"_r1\"", "\"_evil_r\"")
        .replace("\"_a1\"", "\"_evil_a\"");
    Signed { signature, bare, evil }
}

#[test]
fn the_pieces_put_together_again_are_accepted() {
    let Pieces { answer, whole, signature, bare, .. } = pieces();
    assert!(accept(&answer.around("", &whole)).is_ok());
    assert!(accept(&answer.around("", &after_issuer(&bare, &signature))).is_ok());
    let Signed { signature, bare, .. } = signed();
    assert!(accept(&after_issuer(&bare, &signature)).is_ok());
}

#[test]
fn xsw1_the_signed_answer_inside_of_the_signature_of_another() {
    let Signed { signature, bare, evil } = signed();
    let signature = inside(&signature, "ds:Signature", &bare);
    let document = after_issuer(&evil, &signature);
    assert!(refused(&document).contains("2 assertions"), "{}", refused(&document));
}

#[test]
fn xsw2_the_signed_answer_beside_the_signature_of_another() {
    let Signed { signature, bare, evil } = signed();
    let document = after_issuer(&evil, &format!("{bare}{signature}"));
    assert!(refused(&document).contains("2 assertions"));
}

#[test]
fn xsw3_another_assertion_before_the_signed_one() {
    let Pieces { answer, whole, evil, .. } = pieces();
    assert!(refused(&answer.around("", &format!("{evil}{whole}"))).contains("2 assertions"));
    assert!(refused(&answer.around("", &format!("{whole}{evil}"))).contains("2 assertions"));
}

#[test]
fn xsw4_the_signed_assertion_inside_of_another() {
    let Pieces { answer, whole, evil, .. } = pieces();
    let document = answer.around("", &inside(&evil, "saml:Assertion", &whole));
    assert!(refused(&document).contains("2 assertions"));
}

#[test]
fn xsw5_the_signature_in_another_assertion_and_the_signed_one_at_the_end() {
    let Pieces { answer, signature, bare, evil, .. } = pieces();
    let document = answer.around("", &format!("{}{bare}", after_issuer(&evil, &signature)));
    assert!(refused(&document).contains("2 assertions"));
}

#[test]
fn xsw6_the_signed_assertion_inside_of_its_signature_in_another() {
    let Pieces { answer, signature, bare, evil, .. } = pieces();
    let signature = inside(&signature, "ds:Signature", &bare);
    let document = answer.around("", &after_issuer(&evil, &signature));
    assert!(refused(&document).contains("2 assertions"));
}

#[test]
fn xsw7_another_assertion_in_extensions() {
    let Pieces { mut answer, whole, evil, .. } = pieces();
    answer.before_assertion = format!("<samlp:Extensions>{evil}</samlp:Extensions>");
    assert!(refused(&answer.around("", &whole)).contains("2 assertions"));
}

#[test]
fn xsw8_the_signed_assertion_in_an_object_of_its_signature() {
    let Pieces { answer, signature, bare, evil, .. } = pieces();
    let object = format!("<ds:Object>{bare}</ds:Object>");
    let signature = inside(&signature, "ds:Signature", &object);
    let document = answer.around("", &after_issuer(&evil, &signature));
    assert!(refused(&document).contains("2 assertions"));
}

#[test]
fn wrapped_under_the_same_id_is_refused_as_well() {
    let Pieces { answer, whole, evil, .. } = pieces();
    let same = evil.replace("\"_evil\"", "\"_a1\"");
    assert!(refused(&answer.around("", &format!("{same}{whole}"))).contains("2 assertions"));
}

/// The count of assertions must not be all that stands between them: a signed answer of another
/// name, so that there is one assertion alone.
#[test]
fn what_is_signed_has_to_be_the_answer_or_its_assertion() {
    let Pieces { answer, bare, evil, .. } = pieces();
    // The signed element is something else of the provider's, of another name.
    let other = bare.replace("saml:Assertion", "saml:Advice");
    let other = after_issuer(&other, &template("_a1", super::idp::RSA_SHA256));
    let other = sign(&other, super::idp::ours());
    let mut around = answer.clone();
    around.before_assertion = format!("<samlp:Extensions>{other}</samlp:Extensions>");
    assert!(refused(&around.around("", &evil)).contains("no signature belongs"));

    // Its signature is moved to where one belongs.
    let (signature, other) = cut(&other, "ds:Signature");
    around.before_assertion = format!("<samlp:Extensions>{other}</samlp:Extensions>");
    let document = around.around("", &after_issuer(&evil, &signature));
    assert!(refused(&document).contains("not over the ID of Assertion"));

    // The other assertion takes its ID.
    let same = evil.replace("\"_evil\"", "\"_a1\"");
    let document = around.around("", &after_issuer(&same, &signature));
    assert!(refused(&document).contains("the ID \"_a1\" is twice"));
    let ours = around.before_assertion.replace("ID=\"_a1\"", "xml:id=\"_a1\"");
    around.before_assertion = ours;
    let document = around.around("", &after_issuer(&same, &signature));
    assert!(refused(&document).contains("the ID \"_a1\" is twice"));
}

/// Two readers could each take another one of them.
#[test]
fn an_element_has_one_id() {
    let Pieces { answer, whole, .. } = pieces();
    for other in ["Id=\"_x\"", "xml:id=\"_x\"", "AssertionID=\"_x\""] {
        let changed = answer.response.replace("ID=\"_r1\"", &format!("ID=\"_r1\" {other}"));
        let two = Answer { response: changed, ..answer.clone() }.around("", &whole);
        assert!(refused(&two).contains("an element has two IDs"), "{other}: {}", refused(&two));
    }
}

#[test]
fn an_assertion_deeper_in_the_answer_is_none() {
    let Pieces { mut answer, whole, .. } = pieces();
    answer.before_assertion = format!("<samlp:Extensions>{whole}</samlp:Extensions>");
    assert!(refused(&answer.around("", "")).contains("not directly inside"));
}

/// A signature of the assertion, and an answer around it that says otherwise: what is around is
/// believed in nothing but refusals.
#[test]
fn what_is_around_a_signed_assertion_adds_nothing() {
    let Pieces { answer, whole, .. } = pieces();
    let mut other = answer;
    other.after_assertion = format!(
        "<saml:AttributeStatement xmlns:saml=\"{}\"><saml:Attribute Name=\"groups\">\
         <saml:AttributeValue>admin</saml:AttributeValue></saml:Attribute>\
         </saml:AttributeStatement><saml:Subject><saml:NameID>{EVIL}</saml:NameID></saml:Subject>",
        crate::tree::ASSERTION
    );
    let signed_in = accept(&other.around("", &whole)).unwrap();
    assert_eq!(signed_in.subject, "alice@example.com");
    assert_eq!(signed_in.groups, ["dba", "people"]);
}
