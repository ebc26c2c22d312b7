//! Everything that the profile wants of an answer that is signed as it should be.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::idp::{
    ACS, Answer, IDP, Over, REQUEST, SP, accept, accept_with, at, next, noon, ours, plan, refused,
    service, theirs,
};
use crate::{Certificate, Class, Expected, Fault, Provider, SignedIn, SubjectFrom};

fn altered(change: impl FnOnce(&mut Answer)) -> String {
    let mut answer = Answer::default();
    change(&mut answer);
    answer.signed(Over::Both)
}

fn alice() -> SignedIn {
    SignedIn {
        subject: "alice@example.com".to_owned(),
        groups: vec!["dba".to_owned(), "people".to_owned()],
        issuer: IDP.to_owned(),
        session_index: Some("_s1".to_owned()),
        not_on_or_after: Some(at("2026-11-30T20:00:30Z")),
        assertion: "_a1".to_owned(),
    }
}

#[test]
fn the_assertion_or_the_answer_or_both_are_signed() {
    for over in [Over::Assertion, Over::Response, Over::Both] {
        assert_eq!(accept(&Answer::default().signed(over)), Ok(alice()), "{over:?}");
    }
    let document = Answer::default().signed(Over::Nothing);
    assert_eq!(accept(&document), Err(Fault::Unsigned));
}

#[test]
fn any_certificate_of_the_configuration_will_do_while_keys_change() {
    let mut both = plan();
    both.certificates.push(Certificate::new(next().certificate.clone()).unwrap());
    for pair in [ours(), next()] {
        let document = Answer::default().signed_by(pair, Over::Both);
        assert_eq!(accept_with(both.clone(), &document), Ok(alice()));
    }
    let document = Answer::default().signed_by(next(), Over::Both);
    assert!(refused(&document).contains("signature is wrong"));
    let document = Answer::default().signed_by(theirs(), Over::Both);
    assert!(refused(&document).contains("signature is wrong"));
}

#[test]
fn who_it_is_comes_from_the_nameid_or_an_attribute() {
    let mut mail = plan();
    mail.subject = SubjectFrom::Attribute("mail".to_owned());
    mail.subject_prefix = "acme:".to_owned();
    mail.groups_prefix = "idp-".to_owned();
    mail.groups = vec!["everybody".to_owned()];
    let document = altered(|answer| {
        answer.subject = "<saml:NameID Format=\"urn:oasis:names:tc:SAML:2.0:nameid-format:\
                          transient\">_x</saml:NameID>"
            .to_owned();
    });
    let signed_in = accept_with(mail.clone(), &document).unwrap();
    assert_eq!(signed_in.subject, "acme:alice@example.com");
    assert_eq!(signed_in.groups, ["everybody", "idp-dba", "idp-people"]);
    assert!(refused(&document).contains("NameID is transient"));

    mail.subject = SubjectFrom::Attribute("groups".to_owned());
    let fault = accept_with(mail.clone(), &document).unwrap_err().to_string();
    assert!(fault.contains("more than one value"), "{fault}");
    mail.subject = SubjectFrom::Attribute("uid".to_owned());
    let fault = accept_with(mail, &document).unwrap_err().to_string();
    assert!(fault.contains("attribute \"uid\" is missing"), "{fault}");
}

#[test]
fn names_that_nobody_should_have_are_refused() {
    for (name, why) in [
        ("", "empty"),
        (" alice", "space at an end"),
        ("ali\u{200b}ce", "not seen"),
        (&"x".repeat(257), "longer than 256"),
    ] {
        let document = altered(|answer| {
            answer.subject = format!("<saml:NameID>{name}</saml:NameID>");
        });
        assert!(refused(&document).contains(why), "{name}");
    }
    let document = altered(|answer| {
        answer.subject = "<saml:NameID>al<b/>ice</saml:NameID>".to_owned();
    });
    assert!(refused(&document).contains("more than text"));
    let document = altered(|answer| answer.subject.clear());
    assert!(refused(&document).contains("no NameID"));
}

#[test]
fn groups_are_read_whole_or_the_sign_in_is_refused() {
    let of = |values: &str| {
        altered(|answer| {
            answer.attributes = format!(
                "<saml:AttributeStatement><saml:Attribute Name=\"groups\">{values}\
                 </saml:Attribute></saml:AttributeStatement>"
            );
        })
    };
    let value = |text: &str| format!("<saml:AttributeValue>{text}</saml:AttributeValue>");
    assert!(accept(&of("")).unwrap().groups.is_empty());
    let many =
        |count: usize| (0..count).map(|index| value(&format!("g{index}"))).collect::<String>();
    assert_eq!(accept(&of(&many(256))).unwrap().groups.len(), 256);
    assert!(refused(&of(&many(257))).contains("more than 256 groups"));
    assert!(refused(&of(&value("<dba/>"))).contains("not a text"));
    assert!(refused(&of(&value(""))).contains("empty"));
}

#[test]
fn what_is_for_somebody_else_is_refused() {
    type Change = Box<dyn FnOnce(&mut Answer)>;
    fn change(change: impl FnOnce(&mut Answer) + 'static) -> Change {
        Box::new(change)
    }
    let cases: Vec<(Change, &str)> = vec![
        (change(|a| a.conditions = a.conditions.replace(SP, "https://other")), "meant for"),
        (change(|a| a.conditions = "<saml:Conditions/>".to_owned()), "no AudienceRestriction"),
        (change(|a| a.conditions.clear()), "no Conditions"),
        (
            change(|a| a.confirmation = a.confirmation.replace(ACS, "https://other/acs")),
            "Recipient is \"https://other/acs\"",
        ),
        (
            change(|a| a.confirmation = a.confirmation.replace("Recipient=", "Receiver=")),
            "no Recipient",
        ),
        (
            change(|a| a.confirmation = a.confirmation.replace(REQUEST, "_other")),
            "answers \"_other\"",
        ),
        (
            change(|a| a.confirmation = a.confirmation.replace(":bearer", ":sender-vouches")),
            "bearer",
        ),
        (change(|a| a.confirmation.clear()), "bearer"),
        (
            change(|a| a.response = a.response.replace(ACS, "https://gateway.example/saml/acs/")),
            "Destination is",
        ),
        (change(|a| a.response = a.response.replace("Destination", "Target")), "no Destination"),
        (change(|a| a.response = a.response.replace(REQUEST, "_other")), "answers \"_other\""),
        (
            change(|a| a.response = a.response.replace("InResponseTo", "Other")),
            "answers \"nothing\"",
        ),
        (change(|a| a.issuer = a.issuer.replace(IDP, "https://evil.example")), "issuer is"),
        (change(|a| a.issuer.clear()), "no Issuer"),
        (
            change(|a| a.issuer = a.issuer.replace("<saml:Issuer>", "<saml:Issuer Format=\"x\">")),
            "issuer is",
        ),
        (change(|a| a.response = a.response.replace("\"2.0\"", "\"1.1\"")), "version"),
        (change(|a| a.assertion = a.assertion.replace("\"2.0\"", "\"1.1\"")), "version"),
        (change(|a| a.statement.clear()), "no AuthnStatement"),
        (change(|a| a.status.clear()), "no Status"),
        // An attribute of another namespace is another.
        (
            change(|a| a.response = a.response.replace("Dest", "xmlns:x=\"urn:x\" x:Dest")),
            "no Destination",
        ),
        (
            change(|a| {
                a.conditions = a.conditions.replace(
                    "<saml:AudienceRestriction>",
                    "<saml:Condition/><saml:AudienceRestriction>",
                );
            }),
            "not understood: Condition",
        ),
    ];
    for (change, why) in cases {
        let document = altered(change);
        assert!(refused(&document).contains(why), "{why}: {}", refused(&document));
    }
}

#[test]
fn every_audience_restriction_has_to_name_us() {
    let document = altered(|answer| {
        let other = "<saml:AudienceRestriction><saml:Audience>https://other</saml:Audience>\
                     </saml:AudienceRestriction></saml:Conditions>";
        answer.conditions = answer.conditions.replace("</saml:Conditions>", other);
    });
    assert!(refused(&document).contains("meant for \"https://other\""));
    let document = altered(|answer| {
        let more = "<saml:Audience>https://other</saml:Audience><saml:Audience>";
        answer.conditions = answer.conditions.replace("<saml:Audience>", more);
    });
    assert!(accept(&document).is_ok());
}

#[test]
fn one_confirmation_that_fits_is_enough() {
    let document = altered(|answer| {
        let other = answer.confirmation.replace(ACS, "https://other/acs");
        answer.confirmation = format!("{other}{}", answer.confirmation);
    });
    assert!(accept(&document).is_ok());
}

#[test]
fn times_count_to_the_second_with_the_skew() {
    let document = Answer::default().signed(Over::Both);
    let provider = Provider::new(plan(), service()).unwrap();
    let response = STANDARD.encode(&document);
    let when = |moment: &str| {
        let expected = Expected::Request(REQUEST);
        provider.accept(&response, at(moment), expected, &mut |_, _| Ok(true))
    };
    // Conditions and confirmation end at 12:05:00, and clocks may differ by half a minute.
    assert!(when("2026-11-30T12:05:29Z").is_ok());
    let late = when("2026-11-30T12:05:30Z").unwrap_err();
    assert_eq!(late, Fault::Late { what: "NotOnOrAfter", seconds: 0 });
    // It was issued at 12:00:00.
    assert!(when("2026-11-30T11:59:30Z").is_ok());
    let early = when("2026-11-30T11:59:29Z").unwrap_err();
    assert_eq!(early, Fault::Early { what: "IssueInstant", seconds: 31 });
}

#[test]
fn each_time_counts_for_itself() {
    let late = "2026-11-30T11:00:00Z";
    let end = "2026-11-30T12:05:00Z";
    for (document, why) in [
        (
            altered(|a| a.confirmation = a.confirmation.replace(end, late)),
            "NotOnOrAfter was 3570 s ago",
        ),
        (
            altered(|a| a.conditions = a.conditions.replace(end, late)),
            "NotOnOrAfter was 3570 s ago",
        ),
        (
            altered(|a| {
                a.conditions = a.conditions.replace("2026-11-30T11:59:30Z", "2026-11-30T13:00:00Z");
            }),
            "NotBefore is 3600 s from now",
        ),
        (
            altered(|a| {
                let from = "NotBefore=\"2026-11-30T13:00:00Z\" NotOnOrAfter";
                a.confirmation = a.confirmation.replace("NotOnOrAfter", from);
            }),
            "NotBefore is 3600 s from now",
        ),
        (
            altered(|a| {
                a.statement = a.statement.replace("2026-11-30T20:00:00Z", late);
            }),
            "SessionNotOnOrAfter was 3570 s ago",
        ),
        (
            altered(|a| {
                a.statement = a.statement.replace("2026-11-30T12:00:00Z", "2026-11-30T13:00:00Z");
            }),
            "AuthnInstant is 3600 s from now",
        ),
        (
            altered(|a| a.confirmation = a.confirmation.replace("NotOnOrAfter", "Until")),
            "no NotOnOrAfter",
        ),
        (
            altered(|a| a.confirmation = a.confirmation.replace(end, "2026-12-02T12:00:00Z")),
            "more than a day",
        ),
        (
            altered(|a| a.response = a.response.replace("T12:00:00Z", "T13:00:00Z")),
            "IssueInstant is 3600 s from now",
        ),
        (
            altered(|a| a.assertion = a.assertion.replace("T12:00:00Z", "T13:00:00Z")),
            "IssueInstant is 3600 s from now",
        ),
        (altered(|a| a.conditions = a.conditions.replace(end, "soon")), "its NotOnOrAfter is"),
        (
            altered(|a| a.conditions = a.conditions.replace(end, "1960-01-01T00:00:00Z")),
            "its NotOnOrAfter is",
        ),
    ] {
        assert!(refused(&document).contains(why), "{why}: {}", refused(&document));
    }
}

#[test]
fn the_session_of_the_provider_ends_with_the_first_of_its_statements() {
    for (first, second) in [("T20:00:00Z", "T18:00:00Z"), ("T18:00:00Z", "T20:00:00Z")] {
        let document = altered(|answer| {
            let of = |end| answer.statement.replace("T20:00:00Z", end);
            answer.statement = format!("{}{}", of(first), of(second));
        });
        let until = accept(&document).unwrap().not_on_or_after;
        assert_eq!(until, Some(at("2026-11-30T18:00:30Z")), "{first}");
    }
}

/// What is there once and may be there once: two readers would each have their own.
#[test]
fn what_is_said_twice_is_not_chosen_from() {
    let twice = |part: &str| format!("{part}{part}");
    for (document, what) in [
        (altered(|a| a.subject = twice(&a.subject)), "2 elements NameID"),
        (altered(|a| a.conditions = twice(&a.conditions)), "2 elements Conditions"),
        (altered(|a| a.status = twice(&a.status)), "2 elements Status"),
        (altered(|a| a.issuer = twice(&a.issuer)), "2 elements Issuer"),
        (altered(|a| a.conditions.push_str("<saml:Subject/>")), "2 elements Subject"),
    ] {
        assert!(refused(&document).contains(what), "{what}: {}", refused(&document));
    }
}

/// Around a signed assertion nothing is proved, but a provider that says no, or an answer for
/// somebody else, is refused all the same.
#[test]
fn an_answer_that_is_not_signed_itself_has_to_be_for_us_too() {
    let answer = || Answer::default();
    let refusal = answer().status.replace("Success", "Responder");
    let other = |from: &str, to: &str| answer().response.replace(from, to);
    for (changed, why) in [
        (Answer { status: refusal, ..answer() }, "the provider refused"),
        (Answer { response: other(ACS, "https://other/acs"), ..answer() }, "Destination is"),
        (Answer { response: other(REQUEST, "_other"), ..answer() }, "answers \"_other\""),
        (Answer { response: other("T12:00", "T13:00"), ..answer() }, "IssueInstant is 3600 s"),
        (Answer { response: other("\"2.0\"", "\"1.1\""), ..answer() }, "version"),
    ] {
        let document = changed.signed(Over::Assertion);
        assert!(refused(&document).contains(why), "{why}: {}", refused(&document));
    }
    let document = answer().signed(Over::Assertion).replacen(IDP, "https://evil.example", 1);
    assert!(refused(&document).contains("issuer is"));
}

#[test]
fn a_provider_without_a_certificate_is_none() {
    let mut plan = plan();
    plan.certificates.clear();
    assert!(Provider::new(plan, service()).unwrap_err().to_string().contains("no certificate"));
}

#[test]
fn what_was_taken_is_not_taken_again() {
    let provider = Provider::new(plan(), service()).unwrap();
    let response = STANDARD.encode(Answer::default().signed(Over::Both));
    let mut taken = Vec::new();
    let mut take = |name: &str, until| {
        let is_new = !taken.iter().any(|(known, _)| known == name);
        taken.push((name.to_owned(), until));
        Ok(is_new)
    };
    let expected = Expected::Request(REQUEST);
    assert!(provider.accept(&response, noon(), expected, &mut take).is_ok());
    let later = noon().plus(Duration::from_secs(320));
    let again = provider.accept(&response, later, expected, &mut take);
    assert_eq!(again, Err(Fault::Replayed));
    // Another provider may call its assertions the same.
    let mut other = plan();
    other.entity_id = "https://other.example".to_owned();
    let theirs = altered(|answer| answer.issuer = answer.issuer.replace(IDP, &other.entity_id));
    let another = Provider::new(other, service()).unwrap();
    assert!(another.accept(&STANDARD.encode(theirs), noon(), expected, &mut take).is_ok());
    // It is good until 12:05:00, clocks may differ by half a minute, and others by more.
    assert_eq!(taken.first().map(|(_, until)| *until), Some(at("2026-11-30T12:20:30Z")));
    let mut full = |_: &str, _| Err("no place".to_owned());
    let unkept = provider.accept(&response, noon(), expected, &mut full);
    assert_eq!(unkept, Err(Fault::Unkept("no place".to_owned())));
}

#[test]
fn answers_to_no_question_are_taken_only_where_they_are_wanted() {
    let document = Answer {
        response: Answer::default().response.replace(&format!("InResponseTo=\"{REQUEST}\""), ""),
        confirmation: Answer::default()
            .confirmation
            .replace(&format!("InResponseTo=\"{REQUEST}\""), ""),
        ..Answer::default()
    }
    .signed(Over::Both);
    let response = STANDARD.encode(&document);
    let accept = |idp_initiated, expected| {
        let mut plan = plan();
        plan.idp_initiated = idp_initiated;
        let provider = Provider::new(plan, service()).unwrap();
        provider.accept(&response, noon(), expected, &mut |_, _| Ok(true))
    };
    assert_eq!(accept(false, Expected::Nothing), Err(Fault::Unsolicited));
    assert!(accept(true, Expected::Nothing).is_ok());
    // An answer to no question is none to this one, and one to this one none to no question.
    let fault = accept(true, Expected::Request(REQUEST)).unwrap_err();
    assert!(matches!(fault, Fault::InResponseTo { .. }));
    let solicited = STANDARD.encode(Answer::default().signed(Over::Both));
    let mut plan = plan();
    plan.idp_initiated = true;
    let provider = Provider::new(plan, service()).unwrap();
    let fault =
        provider.accept(&solicited, noon(), Expected::Nothing, &mut |_, _| Ok(true)).unwrap_err();
    assert!(matches!(fault, Fault::InResponseTo { .. }));
}

#[test]
fn a_provider_that_says_no_is_quoted_to_the_operator_alone() {
    let document = altered(|answer| {
        answer.status = "<samlp:Status><samlp:StatusCode \
             Value=\"urn:oasis:names:tc:SAML:2.0:status:Responder\"><samlp:StatusCode \
             Value=\"urn:oasis:names:tc:SAML:2.0:status:AuthnFailed\"/></samlp:StatusCode>\
             <samlp:StatusMessage>wrong password</samlp:StatusMessage></samlp:Status>"
            .to_owned();
    });
    let fault = accept(&document).unwrap_err();
    assert_eq!(fault.to_string(), "the provider refused: Responder, AuthnFailed: wrong password");
    assert_eq!(fault.class(), Class::Refused);
    assert!(!fault.class().words().0.contains("password"));
}

#[test]
fn encrypted_assertions_are_refused_in_words_that_say_so() {
    let document = Answer::default();
    let document = document.around("", "<saml:EncryptedAssertion/>");
    let fault = accept(&document).unwrap_err();
    assert_eq!(fault, Fault::Encrypted);
    assert_eq!(fault.class(), Class::Setup);
    let name = altered(|answer| answer.subject.push_str("<saml:EncryptedID/>"));
    assert_eq!(accept(&name), Err(Fault::Encrypted));
    let attribute = altered(|answer| {
        let end = "<saml:EncryptedAttribute/></saml:AttributeStatement>";
        answer.attributes = answer.attributes.replace("</saml:AttributeStatement>", end);
    });
    assert_eq!(accept(&attribute), Err(Fault::Encrypted));
}

#[test]
fn p8_an_assertion_has_so_many_attributes_and_values() {
    let of = |attributes: usize, values: usize| {
        let values = "<saml:AttributeValue/>".repeat(values);
        let one = format!("<saml:Attribute Name=\"a\">{values}</saml:Attribute>");
        altered(|answer| {
            let all = one.repeat(attributes);
            answer.attributes = format!("<saml:AttributeStatement>{all}</saml:AttributeStatement>");
        })
    };
    assert!(accept(&of(512, 1)).is_ok());
    assert!(refused(&of(513, 0)).contains("too many attributes"));
    assert!(accept(&of(1, 4_096)).is_ok());
    assert!(refused(&of(1, 4_097)).contains("too many attributes"));
}
