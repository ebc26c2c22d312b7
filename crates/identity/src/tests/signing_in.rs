//! ID tokens: what must not sign anybody in (OpenID Connect Core section 3.1.3.7).

use model::Secret;
use serde_json::{Map, Value, json};

use super::provider::*;
use crate::claims::person;
use crate::jwt::{Fault, verify_id_token};
use crate::plan::{Role, Roles};

const CLIENT: &str = "gateway";
const NONCE: &str = "n-1";

fn id_claims() -> Value {
    json!({
        "iss": ISSUER, "aud": CLIENT, "sub": "ann", "nonce": NONCE, "groups": ["dba"],
        "iat": NOW_S - 10, "exp": NOW_S + 300,
    })
}

fn id_but(name: &str, value: Value) -> Value {
    let mut claims = id_claims();
    match value {
        Value::Null => drop(claims.as_object_mut().unwrap().remove(name)),
        value => claims[name] = value,
    }
    claims
}

fn judge(signer: &Signer, typ: &str, claims: &Value, nonce: Option<&str>) -> Result<(), Fault> {
    let keys = keys(&[signer.jwk("k1")]);
    let header = json!({"alg": signer.algorithm(), "typ": typ, "kid": "k1"});
    let token = signer.token_with(&header, claims);
    verify_id_token(&plan(), &keys, &token, (CLIENT, nonce), now()).map(|_| ())
}

#[test]
fn a_right_id_token_signs_in_and_one_of_a_refresh_needs_no_nonce() {
    let signer = Signer::ec();
    assert_eq!(judge(&signer, "JWT", &id_claims(), Some(NONCE)), Ok(()));
    assert_eq!(judge(&signer, "JWT", &id_but("nonce", Value::Null), None), Ok(()));
    let several = json!([CLIENT, "other"]);
    let mut both = id_but("aud", several);
    both["azp"] = json!(CLIENT);
    assert_eq!(judge(&signer, "JWT", &both, Some(NONCE)), Ok(()));
}

#[test]
fn p2_an_id_token_of_another_sign_in_client_or_kind_signs_nobody_in() {
    let signer = Signer::ec();
    let fault = |claims: &Value| judge(&signer, "JWT", claims, Some(NONCE)).unwrap_err();
    for nonce in [Value::Null, json!("n-2"), json!(""), json!(1), json!([NONCE])] {
        assert_eq!(fault(&id_but("nonce", nonce.clone())), Fault::Nonce, "{nonce}");
    }
    for audience in [json!(AUDIENCE), json!(["other"]), Value::Null, json!([])] {
        let fault = fault(&id_but("aud", audience.clone()));
        assert!(matches!(fault, Fault::Audience { .. } | Fault::Claim(..)), "{audience}: {fault}");
    }
    assert!(matches!(fault(&id_but("azp", json!("other"))), Fault::Audience { .. }));
    assert!(matches!(fault(&id_but("aud", json!([CLIENT, "other"]))), Fault::Claim(..)));
    assert!(matches!(fault(&id_but("iss", json!("https://evil.example"))), Fault::Issuer(_)));
    assert!(matches!(fault(&id_but("exp", json!(NOW_S - 60))), Fault::Expired(_)));
    assert!(matches!(fault(&id_but("iat", Value::Null)), Fault::Claim(..)));
    assert!(matches!(fault(&id_but("iat", json!(NOW_S + 600))), Fault::Early(_)));
    assert!(matches!(fault(&id_but("act", json!({"sub": "bot"}))), Fault::Claim(..)));
    // An access token, even one that is meant for the client.
    assert!(matches!(judge(&signer, "at+jwt", &id_claims(), Some(NONCE)), Err(Fault::Type(_))));
    let forger = Signer::ec();
    let keys = keys(&[signer.jwk("k1")]);
    let token = forger.token_with(&json!({"alg": "ES256", "kid": "k1"}), &id_claims());
    let judged = verify_id_token(&plan(), &keys, &token, (CLIENT, Some(NONCE)), now());
    assert_eq!(judged.err(), Some(Fault::Signature));
    let long = "a".repeat(20_000);
    assert!(verify_id_token(&plan(), &keys, &long, (CLIENT, None), now()).is_err());
}

#[test]
fn who_signs_in_is_read_from_the_claims_or_nobody_does() {
    let claims = |value: Value| -> Map<String, Value> { value.as_object().cloned().unwrap() };
    let mut plan = plan();
    plan.groups = vec!["everyone".to_owned()];
    plan.groups_prefix = "idp:".to_owned();
    let (who, name, groups) = person(
        &plan,
        &claims(json!({"sub": "ann", "name": "Ann Example", "groups": ["dba", "dba"]})),
    )
    .unwrap();
    assert_eq!((&*who, name.as_deref()), ("ann", Some("Ann Example")));
    assert_eq!(groups, ["everyone".into(), "idp:dba".into()]);
    for odd in [
        json!({"groups": []}),
        json!({"sub": "", "groups": []}),
        json!({"sub": "admin.token"}),
        json!({"sub": "ann", "groups": [1]}),
        json!({"sub": "ann", "_claim_names": {"groups": "src1"}}),
    ] {
        assert!(person(&plan, &claims(odd.clone())).is_err(), "{odd}");
    }
    // What cannot be shown is no name, and no reason to refuse.
    let (_, name, _) = person(&plan, &claims(json!({"sub": "ann", "name": "a\u{202e}b"}))).unwrap();
    assert_eq!(name, None);
    plan.subject_claim = "email".to_owned();
    let email = |proved: Value| {
        let all = json!({"sub": "1", "email": "ann@acme.example", "email_verified": proved});
        person(&plan, &claims(all)).map(|(who, ..)| who.to_string())
    };
    assert_eq!(email(json!(true)).unwrap(), "ann@acme.example");
    for unproved in [json!(false), json!("true"), json!(null)] {
        assert!(email(unproved.clone()).is_err(), "{unproved}");
    }
}

#[test]
fn the_highest_role_of_any_group_counts() {
    let roles = Roles(vec![
        (Role::Viewer, vec!["all".to_owned()]),
        (Role::Admin, vec!["owners".to_owned()]),
        (Role::Operator, Vec::new()),
    ]);
    assert_eq!(roles.of::<&str>(&[]), None);
    assert_eq!(roles.of(&["ALL"]), None, "names are compared as they are written");
    assert_eq!(roles.of(&["all"]), Some(Role::Viewer));
    assert_eq!(roles.of(&["x", "owners", "all"]), Some(Role::Admin));
    assert!(Role::Viewer < Role::Approver && Role::Operator < Role::Admin);
    assert!(None < Some(Role::Viewer));
}

#[test]
fn the_challenge_is_that_of_rfc_7636() {
    let verifier = Secret::new("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk".to_owned());
    let challenge = crate::people::challenge(verifier.expose());
    assert_eq!(challenge, "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");
}
