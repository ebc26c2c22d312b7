//! Whom a believable token stands for.

use model::{Principal, PrincipalKind};
use serde_json::{Map, Value, json};

use super::provider::*;
use crate::claims::principal;
use crate::jwt::{Fault, Verified, verify};
use crate::plan::IssuerPlan;

fn whom(plan: &IssuerPlan, claims: Value) -> Result<Principal, Fault> {
    let Value::Object(claims) = claims else { unreachable!() };
    let until = at(NOW_S + 330);
    principal(plan, "a token", &Verified { claims, until })
}

fn groups(principal: &Principal) -> Vec<&str> {
    principal.groups.iter().map(AsRef::as_ref).collect()
}

#[test]
fn a_token_names_its_subject_groups_issuer_and_end() {
    let who = whom(&plan(), claims()).unwrap();
    assert_eq!(&*who.subject, "robot");
    assert_eq!(groups(&who), ["agents", "etl"]);
    assert_eq!((who.kind, &*who.issuer), (PrincipalKind::Agent, ISSUER));
    assert_eq!((who.on_behalf_of, who.minted_by), (None, None));
    assert_eq!(who.expires_at, Some(at(NOW_S + 330)));
    let id = who.token.unwrap();
    assert!(id.0.starts_with("jwt_") && id.0.len() == 20, "{id:?}");
}

#[test]
fn a_token_has_one_name_however_its_signature_is_spelled() {
    // Of ECDSA (r, s) and (r, n - s) both fit: a name that hung on it could be changed by anybody.
    let signer = Signer::ec();
    let (one, other) = (signer.token("k1", &claims()), signer.token("k1", &claims()));
    assert_ne!(one, other, "each signature is drawn anew");
    assert_eq!(crate::claims::id(&one), crate::claims::id(&other));
    let another = signer.token("k1", &but("sub", json!("else")));
    assert_ne!(crate::claims::id(&one), crate::claims::id(&another));
}

#[test]
fn issuers_can_be_told_apart_by_what_is_put_before_names() {
    let mut plan = plan();
    plan.subject_prefix = "github:".to_owned();
    plan.groups_prefix = "gh/".to_owned();
    plan.groups = vec!["ci".to_owned()];
    plan.kind = PrincipalKind::Service;
    let who = whom(&plan, claims()).unwrap();
    assert_eq!(&*who.subject, "github:robot");
    assert_eq!(groups(&who), ["ci", "gh/agents", "gh/etl"]);
    assert_eq!(who.kind, PrincipalKind::Service);
}

#[test]
fn r12_with_act_the_actor_does_the_work() {
    let mut claims = claims();
    claims["act"] = json!({
        "sub": "agent-7", "groups": ["bots"],
        "act": {"sub": "root", "groups": ["admins"], "act": {"sub": "older"}},
    });
    let mut plan = plan();
    plan.groups = vec!["workers".to_owned()];
    let who = whom(&plan, claims).unwrap();
    assert_eq!((&*who.subject, who.on_behalf_of.as_deref()), ("agent-7", Some("robot")));
    assert_eq!(groups(&who), ["bots", "workers"], "nested actors are history");
    plan.kind = PrincipalKind::Person;
    let acting = whom(&plan, {
        let mut claims = super::provider::claims();
        claims["act"] = json!({"sub": "agent-7"});
        claims
    });
    assert_eq!(acting.unwrap().kind, PrincipalKind::Agent, "who acts for a person is none");
    let of_whom: Vec<&str> = who.on_behalf_of_groups.iter().map(AsRef::as_ref).collect();
    assert_eq!(of_whom, ["agents", "etl"]);
    for wrong in [
        json!("agent-7"),
        json!([]),
        json!({}),
        json!({"sub": 7}),
        json!({
            "sub": "agent-7", "iss": "https://other.example",
        }),
    ] {
        assert!(whom(&plan, but("act", wrong.clone())).is_err(), "{wrong}");
    }
}

#[test]
fn groups_are_where_the_provider_keeps_them() {
    for (name, value, expected) in [
        ("groups", json!("one"), vec!["one"]),
        ("groups", json!([]), vec![]),
        ("groups", json!(null), vec![]),
        ("scope", json!("read write"), vec!["read", "write"]),
        ("https://idp.example/groups", json!(["a"]), vec!["a"]),
    ] {
        let mut plan = plan();
        plan.groups_claim = name.to_owned();
        let mut all = but("groups", Value::Null);
        all[name] = value;
        assert_eq!(groups(&whom(&plan, all).unwrap()), expected, "{name}");
    }
    let mut plan = plan();
    plan.groups_claim = "realm_access.roles".to_owned();
    let nested = but("realm_access", json!({"roles": ["b", "a", "b"]}));
    assert_eq!(groups(&whom(&plan, nested).unwrap()), ["a", "b"]);
}

#[test]
fn p2_groups_that_cannot_be_read_whole_refuse_the_token() {
    // Masks may hang on the one that is missing.
    let many: Vec<String> = (0..257).map(|number| format!("g{number}")).collect();
    for wrong in [
        json!(7),
        json!({"a": true}),
        json!(["a", 7]),
        json!([["a"]]),
        json!(many),
        json!(["a\u{0}b"]),
        json!([""]),
        json!(["x".repeat(257)]),
    ] {
        assert!(whom(&plan(), but("groups", wrong.clone())).is_err(), "{wrong}");
    }
    let mut elsewhere = but("groups", Value::Null);
    elsewhere["_claim_names"] = json!({"groups": "src1"});
    assert!(whom(&plan(), elsewhere).is_err());
}

#[test]
fn p2_a_subject_is_a_name_that_is_free() {
    for wrong in [
        json!(null),
        json!(""),
        json!(7),
        json!("admin.token"),
        json!("Admin.Token"),
        json!(" admin.token"),
        json!("a\nb"),
        json!("dora\u{200b}"),
        json!("\u{202e}dora"),
        json!("admin.to\u{212a}en"),
        json!("x".repeat(257)),
    ] {
        assert!(whom(&plan(), but("sub", wrong.clone())).is_err(), "{wrong}");
    }
    let mut by_mail = plan();
    by_mail.subject_claim = "email".to_owned();
    assert!(whom(&by_mail, claims()).is_err(), "a missing claim is not replaced by another");
    let who = whom(&by_mail, but("email", json!("r@example.org"))).unwrap();
    assert_eq!(&*who.subject, "r@example.org");
    let mut unproved = but("email", json!("ceo@example.org"));
    unproved["email_verified"] = json!(false);
    assert!(whom(&by_mail, unproved).is_err(), "anybody can write that into their account");
}

#[test]
fn claims_that_are_asked_for_have_to_be_there() {
    let signer = Signer::ec();
    let keys = keys(&[signer.jwk("k1")]);
    let mut plan = plan();
    plan.claims = vec![
        ("repository".to_owned(), "acme/*".to_owned()),
        ("ref_protected".to_owned(), "true".to_owned()),
        ("teams".to_owned(), "core".to_owned()),
    ];
    let mut more = Map::new();
    more.insert("repository".to_owned(), json!("acme/web"));
    more.insert("ref_protected".to_owned(), json!("true"));
    more.insert("teams".to_owned(), json!(["web", "core"]));
    let judged = |name: &str, value: Value| {
        let mut all = claims();
        all.as_object_mut().unwrap().extend(more.clone());
        all[name] = value;
        verify(&plan, &keys, &signer.token("k1", &all), now()).map(|_| ())
    };
    assert_eq!(judged("ref_protected", json!(true)), Ok(()));
    for (name, value) in [
        ("repository", json!("acme")),
        ("repository", json!("evil/acme/web")),
        ("repository", json!("Acme/web")),
        ("repository", Value::Null),
        ("ref_protected", json!(false)),
        ("teams", json!(["cores"])),
        ("teams", json!([["core"]])),
        ("teams", json!({"core": true})),
    ] {
        let unwanted = Err(Fault::Unwanted(name.to_owned()));
        assert_eq!(judged(name, value.clone()), unwanted, "{name}: {value}");
    }
}

#[test]
fn a_spiffe_identity_is_told_by_its_trust_domain() {
    let signer = Signer::ec();
    let mut jwk = signer.jwk("k1");
    jwk["use"] = json!("jwt-svid");
    let plan = IssuerPlan::new("spiffe://acme.example", AUDIENCE);
    let keys = crate::keys::Keys::read(&set(&[jwk]), true).unwrap();
    let judged = |sub: &str, iss: Value| {
        let mut all = but("iss", iss);
        all["sub"] = json!(sub);
        verify(&plan, &keys, &signer.token("k1", &all), now()).map(|_| ())
    };
    assert_eq!(judged("spiffe://acme.example/ns/etl/sa/robot", Value::Null), Ok(()));
    for other in ["spiffe://acme.example", "spiffe://acme.example.evil/x", "spiffe://other/x", "x"]
    {
        assert!(judged(other, Value::Null).is_err(), "{other}");
    }
    assert!(judged("spiffe://acme.example/x", json!(ISSUER)).is_err());
    let domain = json!("spiffe://acme.example");
    assert_eq!(judged("spiffe://acme.example/x", domain.clone()), Ok(()));
    assert!(judged("spiffe://other.example/x", domain.clone()).is_err());
    assert!(judged("root", domain).is_err());
}
