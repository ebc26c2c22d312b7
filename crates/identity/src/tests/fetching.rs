//! Keys that come, change, and do not come.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use model::Timestamp;
use serde_json::{Value, json};
use store::{InstallationKey, Logins, NewLogin, NewToken, Registry, State, Tokens};

use super::provider::*;
use crate::jwt::Fault;
use crate::plan::KeysFrom;
use crate::proofs::{NotProved, Proofs};

pub(super) fn proofs() -> Arc<Proofs> {
    let folder = std::env::temp_dir().join(format!("narrows-identity-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let name = store::short_id("state", 12).unwrap();
    let state = Arc::new(State::open(&folder.join(name)).unwrap());
    let key = InstallationKey::from_bytes(&[9; 32]).unwrap();
    let registry = Registry::local(state);
    let logins = Arc::new(Logins::open(Arc::clone(&registry), &key).unwrap());
    Proofs::new(Arc::new(Tokens::open(registry, &key).unwrap()), logins)
}

/// Asks once, and waits for the answer.
pub(super) fn ask(proofs: &Arc<Proofs>, token: &str, when: Timestamp) -> Result<String, NotProved> {
    let tokio = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let proved = tokio.block_on(proofs.prove_now(token, true, when));
    proved.map(|principal| principal.subject.to_string())
}

pub(super) fn until(what: &str, fine: impl Fn() -> bool) {
    let began = Instant::now();
    while !fine() {
        assert!(began.elapsed() < Duration::from_secs(30), "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn tokens_of_our_own_need_no_issuer() {
    let proofs = proofs();
    let new = NewToken { subject: "dora".to_owned(), ..NewToken::default() };
    let (_, token) = proofs.tokens().create(new, now()).unwrap();
    assert_eq!(ask(&proofs, token.expose(), now()), Ok("dora".to_owned()));
    assert_eq!(ask(&proofs, "nrw_x", now()), Err(NotProved::Unknown));
    let jwt = Signer::ec().token("k1", &claims());
    assert_eq!(ask(&proofs, &jwt, now()), Err(NotProved::Unknown));
}

#[test]
fn the_first_token_waits_for_the_first_keys_and_later_ones_do_not() {
    let (provider, signer) = (Provider::start(), Signer::rsa());
    provider.keys.lock().push(signer.jwk("k1"));
    let proofs = proofs();
    proofs.believe(vec![provider.plan()]).unwrap();
    let token = signer.token("k1", &provider.claims());
    assert_eq!(ask(&proofs, &token, now()), Ok("robot".to_owned()));
    provider.is_down.store(true, Ordering::SeqCst);
    // Known keys go on proving while the provider is down, also what was never seen before.
    let other = signer.token("k1", &{
        let mut claims = provider.claims();
        claims["sub"] = json!("late");
        claims
    });
    assert_eq!(ask(&proofs, &token, now()), Ok("robot".to_owned()));
    assert_eq!(ask(&proofs, &other, now()), Ok("late".to_owned()));
    // What was believed once ends when it says so, not when it is forgotten.
    assert_eq!(ask(&proofs, &token, at(NOW_S + 329)), Ok("robot".to_owned()));
    assert_eq!(ask(&proofs, &token, at(NOW_S + 330)), Err(NotProved::Expired));
}

#[test]
fn a_new_key_is_fetched_when_a_token_names_it() {
    let (provider, old, new) = (Provider::start(), Signer::ec(), Signer::ec());
    provider.keys.lock().push(old.jwk("k1"));
    let proofs = proofs();
    proofs.believe(vec![provider.plan()]).unwrap();
    assert!(ask(&proofs, &old.token("k1", &provider.claims()), now()).is_ok());
    *provider.keys.lock() = vec![new.jwk("k2")];
    let token = new.token("k2", &provider.claims());
    assert_eq!(ask(&proofs, &token, now()), Ok("robot".to_owned()));
    // What was believed by the old key is not believed any more.
    let gone = ask(&proofs, &old.token("k1", &provider.claims()), now());
    assert_eq!(gone, Err(NotProved::Foreign(Fault::Key("k1".to_owned()))));
}

#[test]
fn p8_tokens_with_invented_keys_do_not_flood_the_provider() {
    let (provider, signer) = (Provider::start(), Signer::ec());
    provider.keys.lock().push(signer.jwk("k1"));
    let proofs = proofs();
    proofs.believe(vec![provider.plan()]).unwrap();
    assert!(ask(&proofs, &signer.token("k1", &provider.claims()), now()).is_ok());
    let before = provider.asked.load(Ordering::SeqCst);
    let tokio = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    tokio.block_on(async {
        let mut forged = tokio::task::JoinSet::new();
        for number in 0..500 {
            let token = signer.token(&format!("invented-{number}"), &provider.claims());
            let proofs = Arc::clone(&proofs);
            forged.spawn(async move { proofs.prove_now(&token, true, now()).await });
        }
        while let Some(judged) = forged.join_next().await {
            let judged = judged.unwrap();
            assert!(matches!(judged, Err(NotProved::Foreign(Fault::Key(_)))), "{judged:?}");
        }
    });
    let asked = provider.asked.load(Ordering::SeqCst) - before;
    assert!(asked <= 5, "{asked} fetches");
    // And honest ones are believed meanwhile.
    assert!(ask(&proofs, &signer.token("k1", &provider.claims()), now()).is_ok());
}

#[test]
fn a_provider_that_is_down_at_the_start_is_said_to_be() {
    let (provider, signer) = (Provider::start(), Signer::ec());
    provider.is_down.store(true, Ordering::SeqCst);
    provider.keys.lock().push(signer.jwk("k1"));
    let proofs = proofs();
    proofs.believe(vec![provider.plan()]).unwrap();
    let token = signer.token("k1", &provider.claims());
    assert_eq!(ask(&proofs, &token, now()), Err(NotProved::Unreachable));
    let status = proofs.issuers().remove(0);
    assert_eq!((status.keys, status.age_s), (0, None));
    assert!(status.error.unwrap().contains("it answered 503"));
    provider.is_down.store(false, Ordering::SeqCst);
    assert_eq!(ask(&proofs, &token, now()), Ok("robot".to_owned()));
    assert_eq!(proofs.issuers().remove(0).error, None);
}

#[test]
fn p2_metadata_of_somebody_else_gives_no_keys() {
    for (what, metadata) in [
        ("another issuer", json!({"issuer": "https://idp.example", "jwks_uri": "KEYS"})),
        ("no issuer", json!({"jwks_uri": "KEYS"})),
        ("keys in clear text", json!({"issuer": "ME", "jwks_uri": "http://idp.example/keys"})),
        ("keys in a file", json!({"issuer": "ME", "jwks_uri": "file:///dev/zero"})),
        ("no keys", json!({"issuer": "ME"})),
        ("no object", json!([])),
    ] {
        let (provider, signer) = (Provider::start(), Signer::ec());
        provider.keys.lock().push(signer.jwk("k1"));
        let text = metadata.to_string().replace("ME", &provider.issuer);
        let text = text.replace("KEYS", &format!("{}/keys", provider.issuer));
        *provider.metadata.lock() = serde_json::from_str::<Value>(&text).unwrap();
        let proofs = proofs();
        proofs.believe(vec![provider.plan()]).unwrap();
        until(what, || proofs.issuers()[0].error.is_some());
        assert_eq!(provider.asked.load(Ordering::SeqCst), 0, "{what}");
    }
}

#[test]
fn keys_can_be_in_a_file() {
    let signer = Signer::ed();
    let path = std::env::temp_dir().join(store::short_id("narrows-keys-", 12).unwrap());
    std::fs::write(&path, set(&[signer.jwk("k1")])).unwrap();
    let mut plan = plan();
    plan.keys = KeysFrom::File(path.clone());
    let proofs = proofs();
    proofs.believe(vec![plan]).unwrap();
    assert!(ask(&proofs, &signer.token("k1", &claims()), now()).is_ok());
    std::fs::remove_file(path).unwrap();
}

#[test]
fn an_issuer_can_be_listed_for_several_audiences() {
    let (provider, signer) = (Provider::start(), Signer::ec());
    provider.keys.lock().push(signer.jwk("k1"));
    let mut people = provider.plan();
    people.audiences = vec!["people".to_owned()];
    people.kind = model::PrincipalKind::Person;
    let proofs = proofs();
    proofs.believe(vec![provider.plan(), people]).unwrap();
    let mut claims = provider.claims();
    assert!(ask(&proofs, &signer.token("k1", &claims), now()).is_ok());
    claims["aud"] = json!("people");
    assert!(ask(&proofs, &signer.token("k1", &claims), now()).is_ok());
    claims["aud"] = json!("nobody");
    let judged = ask(&proofs, &signer.token("k1", &claims), now());
    assert!(matches!(judged, Err(NotProved::Foreign(Fault::Audience { .. }))), "{judged:?}");
}

#[test]
fn what_is_revoked_here_or_no_longer_believed_is_refused() {
    let (provider, signer) = (Provider::start(), Signer::ec());
    provider.keys.lock().push(signer.jwk("k1"));
    let proofs = proofs();
    proofs.believe(vec![provider.plan()]).unwrap();
    let token = signer.token("k1", &provider.claims());
    let tokio = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let principal = tokio.block_on(proofs.prove_now(&token, true, now())).unwrap();
    let id = principal.token.unwrap();
    assert!(Proofs::is_foreign(&id));
    proofs.tokens().deny(&id, "robot", now()).unwrap();
    assert_eq!(ask(&proofs, &token, now()), Err(NotProved::Revoked));
    let mut claims = provider.claims();
    claims["jti"] = json!("another");
    let another = signer.token("k1", &claims);
    assert!(ask(&proofs, &another, now()).is_ok());
    assert_eq!(proofs.believe(vec![provider.plan()]), Ok(Vec::new()), "as it was");
    let mut other = provider.plan();
    other.claims = vec![("team".to_owned(), "core".to_owned())];
    let changed = proofs.believe(vec![other]).unwrap();
    assert_eq!(changed, std::slice::from_ref(&provider.issuer));
    assert_eq!(proofs.believe(Vec::new()), Ok(changed));
    assert!(!proofs.believes(&provider.issuer) && proofs.believes("narrows"));
    assert_eq!(ask(&proofs, &another, now()), Err(NotProved::Unknown));
}

#[test]
fn p2_whoever_was_believed_is_looked_at_again() {
    let (provider, signer) = (Provider::start(), Signer::ec());
    provider.keys.lock().push(signer.jwk("k1"));
    let proofs = proofs();
    proofs.believe(vec![provider.plan()]).unwrap();
    let tokio = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let prove = |token: &str| tokio.block_on(proofs.prove_now(token, true, now())).unwrap();
    let token = signer.token("k1", &provider.claims());
    let who = prove(&token);
    assert_eq!(proofs.recheck(&who, now()), Ok(()));
    let late = at(NOW_S + 100_000);
    assert_eq!(proofs.recheck(&who, late), Err(NotProved::Expired));
    assert_eq!(ask(&proofs, &token, late), Err(NotProved::Expired), "it was remembered");
    proofs.believe(Vec::new()).unwrap();
    assert_eq!(proofs.recheck(&who, now()), Err(NotProved::Revoked));
    let new = NewToken { subject: "dora".to_owned(), ..NewToken::default() };
    let (record, own) = proofs.tokens().create(new, now()).unwrap();
    let who = prove(own.expose());
    assert_eq!(proofs.recheck(&who, now()), Ok(()));
    proofs.tokens().revoke(&record.id, now()).unwrap();
    assert_eq!(proofs.recheck(&who, now()), Err(NotProved::Revoked));
    let logins = proofs.logins();
    logins.honour("saml:", [("saml:x".to_owned(), String::new())]);
    let new = NewLogin {
        method: "saml:x".into(),
        believed_by: String::new(),
        subject: "ann".into(),
        name: None,
        groups: Vec::new(),
        issuer: "x".into(),
        ends_at: late,
        renews: false,
        keep: None,
    };
    let (login, _) = logins.begin(new, now()).unwrap();
    let (_, of_login) = logins.token(&login.id, "laptop", now()).unwrap();
    let who = prove(of_login.expose());
    assert_eq!(proofs.recheck(&who, now()), Ok(()));
    logins.end(&login.id, "signed_out").unwrap();
    assert_eq!(proofs.recheck(&who, now()), Err(NotProved::Revoked));
}

#[test]
fn r16_a_token_that_others_could_read_is_not_looked_at() {
    let (proofs, signer) = (proofs(), Signer::ec());
    let tokio = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let judged = tokio.block_on(proofs.prove_now(&signer.token("k1", &claims()), false, now()));
    assert_eq!(judged, Err(NotProved::Exposed));
}
