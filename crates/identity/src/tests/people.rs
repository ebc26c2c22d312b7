//! Whom the answer of a provider signs in, and what a code is good for.

use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;

use model::{Timestamp, TokenId};
use serde_json::{Value, json};
use store::{Login, Store, StoreOptions};

use super::fetching::{ask, until};
use super::provider::*;
use crate::jwt::Fault;
use crate::people::{
    Begun, Call, DeviceAsked, Exchange, NotSignedIn, People, SignedIn, Wish, challenge,
};
use crate::plan::{ClientPlan, SignInPlan};
use crate::proofs::Proofs;

const HERE: &str = "198.51.100.7";
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";

thread_local! {
    /// The clock of one test, seconds.
    static CLOCK: Cell<u64> = const { Cell::new(NOW_S) };
}

fn clock() -> Timestamp {
    at(CLOCK.get())
}

struct World {
    store: Store,
    people: Arc<People>,
    proofs: Arc<Proofs>,
}

impl World {
    fn new() -> Self {
        let name = store::short_id("narrows-people-", 12).unwrap();
        let folder = std::env::temp_dir().join(name);
        let (store, _) = Store::open(StoreOptions::new(&folder), now()).unwrap();
        let proofs = Proofs::new(Arc::clone(&store.tokens), Arc::clone(&store.logins));
        let (journal, gateway) = (Arc::clone(&store.journal), Arc::clone(&store.gateway));
        let people = People::new(Arc::clone(&proofs), journal, gateway, clock);
        people.configure(plan(), Vec::new()).unwrap();
        store.logins.honour("saml:", [("saml:x".to_owned(), String::new())]);
        Self { store, people, proofs }
    }

    fn sign_in(&self) -> Arc<Login> {
        self.people.signed_in(who(), HERE).unwrap().0
    }

    fn exchange(&self, with: Exchange<'_>) -> Result<TokenId, &'static str> {
        let granted = self.people.exchange(&with, HERE);
        granted.map(|(_, key, _)| key.id).map_err(|why| why.error)
    }

    fn device(&self) -> DeviceAsked {
        self.people.device_asks("a device", HERE).unwrap()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(self.store.data_dir.path());
    }
}

fn who() -> SignedIn {
    SignedIn {
        method: "saml:x".to_owned(),
        believed_by: String::new(),
        subject: "ann".into(),
        name: None,
        groups: Vec::new(),
        issuer: "x".into(),
        until: None,
        keep: None,
    }
}

fn plan() -> SignInPlan {
    SignInPlan::new("http://127.0.0.1:7070".parse().unwrap())
}

fn wish() -> Wish {
    Wish {
        port: 5000,
        challenge: challenge(VERIFIER),
        state: "0123456789abcdef".to_owned(),
        name: "laptop".to_owned(),
    }
}

#[test]
fn p2_a_code_that_a_browser_brings_is_good_once_and_for_its_command_alone() {
    let world = World::new();
    let login = world.sign_in();
    let code = || world.people.allow_command(&login, wish()).unwrap();
    let bring = |code: &str, verifier: &str, redirect: &str| {
        world.exchange(Exchange::Brought { code, verifier, redirect })
    };
    let right = |code: &str| bring(code, VERIFIER, "http://127.0.0.1:5000/");
    let good = code();
    assert!(right(&good).is_ok());
    assert_eq!(right(&good), Err("invalid_grant"), "once");
    for (verifier, redirect) in
        [("another", "http://127.0.0.1:5000/"), (VERIFIER, "http://127.0.0.1:5001/")]
    {
        let code = code();
        assert_eq!(bring(&code, verifier, redirect), Err("invalid_grant"), "{redirect}");
        assert_eq!(right(&code), Err("invalid_grant"), "whatever came of it");
    }
    let (old, fresh) = (code(), world.device());
    CLOCK.set(NOW_S + 60);
    assert_eq!(right(&old), Err("invalid_grant"), "too old");
    assert_eq!(right(&fresh.device_code), Err("invalid_grant"), "it is a device's");
    let left = code();
    world.store.logins.end(&login.id, "signed_out").unwrap();
    assert_eq!(right(&left), Err("invalid_grant"), "signed out");
}

#[test]
fn p8_so_many_codes_may_be_wrong_in_a_minute() {
    let world = World::new();
    let login = world.sign_in();
    let wrong = Exchange::Brought { code: "x", verifier: VERIFIER, redirect: "x" };
    for _ in 0..20 {
        assert_eq!(world.exchange(wrong), Err("invalid_grant"));
    }
    assert_eq!(world.exchange(wrong), Err("slow_down"));
    assert_eq!(world.people.exchange(&wrong, "elsewhere").unwrap_err().error, "invalid_grant");
    for _ in 0..20 {
        assert_eq!(world.people.device("BCDF-GHJK", &login).unwrap(), None);
    }
    let device = world.device();
    let typed = world.people.device(&device.user_code, &login);
    assert_eq!(typed.unwrap_err(), NotSignedIn::TooMany);
    let another = world.sign_in();
    assert!(world.people.device(&device.user_code, &another).unwrap().is_some());
    for _ in 1..10 {
        world.device();
    }
    let asked = world.people.device_asks("", HERE).unwrap_err();
    assert_eq!(asked.error, "slow_down");
}

#[test]
fn p2_a_device_gets_a_token_once_and_after_a_yes_alone() {
    let world = World::new();
    let login = world.sign_in();
    let answer = |device: &DeviceAsked, yes| {
        world.people.answer_device(&device.user_code, &login, yes).unwrap()
    };
    let ask = |device: &DeviceAsked| world.exchange(Exchange::Device(&device.device_code));
    let device = world.device();
    assert_eq!(ask(&device), Err("authorization_pending"));
    assert_eq!(ask(&device), Err("slow_down"), "at once again");
    let small = device.user_code.to_lowercase().replace('-', " ");
    let shown = world.people.device(&small, &login).unwrap().unwrap();
    assert_eq!((&*shown.code, &*shown.source), (&*device.user_code, HERE));
    assert!(answer(&device, true));
    assert!(!answer(&device, false), "it was answered");
    assert!(ask(&device).is_ok());
    assert_eq!(ask(&device), Err("expired_token"), "once");
    let refused = world.device();
    assert!(answer(&refused, false));
    assert!(!answer(&refused, true), "it was answered");
    assert_eq!(ask(&refused), Err("access_denied"));
    assert_eq!(ask(&refused), Err("expired_token"));
    let late = world.device();
    CLOCK.set(NOW_S + 600);
    assert!(!answer(&late, true));
    assert_eq!(ask(&late), Err("expired_token"));
    let why = |name: &str| world.people.device_asks(name, "elsewhere").unwrap_err().error;
    assert_eq!(why(&"x".repeat(81)), "invalid_request");
    assert_eq!(why("a\u{202e}b"), "invalid_request");
    world.store.logins.honour("saml:", []);
    assert_eq!(why("x"), "unauthorized_client");
}

#[test]
fn a_wish_is_what_narrows_login_asks_for() {
    type Change = fn(&mut Wish);
    assert!(wish().is_sound());
    let bad: [Change; 9] = [
        |wish| wish.port = 1023,
        |wish| wish.challenge.truncate(42),
        |wish| wish.challenge.push('x'),
        |wish| wish.challenge.replace_range(..1, "+"),
        |wish| wish.state.truncate(15),
        |wish| wish.state = "x".repeat(129),
        |wish| wish.state.push('&'),
        |wish| wish.name = "x".repeat(81),
        |wish| wish.name = "a\u{202e}b".to_owned(),
    ];
    for (index, change) in bad.into_iter().enumerate() {
        let mut wish = wish();
        change(&mut wish);
        assert!(!wish.is_sound(), "{index}: {wish:?}");
    }
}

/// A provider at which people sign in, and what a browser has of a sign-in.
struct Lab {
    world: World,
    provider: Provider,
    signer: Signer,
}

struct Way {
    begun: Begun,
    state: String,
    nonce: String,
    challenge: String,
}

impl Lab {
    fn new() -> Self {
        let (provider, signer, world) = (Provider::start(), Signer::ec(), World::new());
        provider.keys.lock().push(signer.jwk("k1"));
        let page = |path: &str| json!(format!("{}{path}", provider.issuer));
        provider.metadata.lock()["authorization_endpoint"] = page("/authorize");
        provider.metadata.lock()["token_endpoint"] = page("/token");
        provider.metadata.lock()["userinfo_endpoint"] = page("/userinfo");
        provider.metadata.lock()["authorization_response_iss_parameter_supported"] = json!(true);
        let issuer = provider.plan();
        world.proofs.believe(vec![issuer.clone()]).unwrap();
        let key = signer.token("k1", &provider.claims());
        until("keys", || ask(&world.proofs, &key, now()).is_ok());
        let client = ClientPlan { issuer, id: "gateway".to_owned(), secret: None, scopes: None };
        world.people.configure(plan(), vec![client]).unwrap();
        Self { world, provider, signer }
    }

    fn begin(&self) -> Result<Way, NotSignedIn> {
        let begun = self.world.people.begin(0, "/approvals/ap_1", HERE)?;
        let word = |name: &str| {
            let mut pairs = begun.to.query_pairs();
            pairs.find(|(key, _)| key == name).unwrap().1.into_owned()
        };
        let [state, nonce, challenge] = ["state", "nonce", "code_challenge"].map(word);
        self.says(&nonce);
        Ok(Way { begun, state, nonce, challenge })
    }

    /// What the provider gives for a code from now on.
    fn says(&self, nonce: &str) {
        self.says_with(nonce, json!(["dba"]));
    }

    fn says_with(&self, nonce: &str, groups: Value) {
        let mut claims = json!({
            "iss": self.provider.issuer, "aud": "gateway", "sub": "ann", "nonce": nonce,
            "name": "Ann", "groups": groups, "iat": NOW_S - 10, "exp": NOW_S + 300,
        });
        if claims["groups"].is_null() {
            claims.as_object_mut().unwrap().remove("groups");
        }
        let id = self.signer.token_with(&json!({"alg": "ES256", "kid": "k1"}), &claims);
        *self.provider.tokens.lock() = json!({"access_token": "a", "id_token": id});
    }

    fn finish(&self, call: &Call<'_>) -> Result<(Arc<Login>, String), NotSignedIn> {
        let finished = self.world.people.finish(call, HERE);
        finished.map(|(login, _, back)| (login, back))
    }
}

impl Way {
    fn call<'a>(&'a self, lab: &'a Lab) -> Call<'a> {
        Call {
            state: Some(&self.state),
            code: Some("code"),
            iss: Some(&lab.provider.issuer),
            error: None,
            cookie: Some(self.begun.cookie.expose()),
        }
    }
}

#[test]
fn p2_an_answer_signs_in_the_browser_that_asked_and_is_of_whom_it_asked() {
    let lab = Lab::new();
    let way = lab.begin().unwrap();
    let (login, back) = lab.finish(&way.call(&lab)).unwrap();
    assert_eq!((&*login.subject, &*back), ("ann", "/approvals/ap_1"));
    // It cannot be asked again, and clocks may differ by half a minute.
    assert_eq!(login.ends_at, at(NOW_S + 330));
    let sent = lab.provider.sent.lock().clone();
    let mut sent = url::form_urlencoded::parse(sent.as_bytes());
    let verifier = sent.find(|(name, _)| name == "code_verifier").unwrap().1;
    assert_eq!(challenge(&verifier), way.challenge);
    let (way, other) = (lab.begin().unwrap(), lab.begin().unwrap());
    let right = way.call(&lab);
    let cookie = Some(other.begun.cookie.expose().as_str());
    for call in [
        Call { cookie, ..right },
        Call { cookie: None, ..right },
        Call { cookie: Some("x"), ..right },
        Call { state: Some(&other.state), ..right },
        Call { state: None, ..right },
        Call { code: None, ..right },
    ] {
        assert_eq!(lab.finish(&call).unwrap_err(), NotSignedIn::State, "{call:?}");
    }
    let denied = Call { error: Some("access_denied"), ..right };
    assert_eq!(lab.finish(&denied).unwrap_err(), NotSignedIn::Denied("access_denied".to_owned()));
    for iss in [Some("https://evil.example"), None] {
        let why = lab.finish(&Call { iss, ..right }).unwrap_err();
        assert!(matches!(why, NotSignedIn::Issuer(_)), "{iss:?}: {why}");
    }
    lab.says(&other.nonce);
    assert_eq!(lab.finish(&right).unwrap_err(), NotSignedIn::Fault(Fault::Nonce));
    lab.says(&way.nonce);
    CLOCK.set(NOW_S + 600);
    assert_eq!(lab.finish(&right).unwrap_err(), NotSignedIn::State, "too old");
}

#[test]
fn p2_userinfo_is_of_the_same_person_and_adds_to_what_was_signed() {
    let lab = Lab::new();
    let way = lab.begin().unwrap();
    lab.says_with(&way.nonce, Value::Null);
    for says in [json!({"sub": "eve", "groups": ["owners"]}), json!({"groups": ["owners"]})] {
        *lab.provider.userinfo.lock() = says;
        let why = lab.finish(&way.call(&lab)).unwrap_err();
        assert!(
            matches!(&why, NotSignedIn::Fault(Fault::Claim(name, _)) if name == "sub"),
            "{why}"
        );
    }
    *lab.provider.userinfo.lock() = json!({"sub": "ann", "name": "Eve", "groups": ["ops"]});
    let (login, _) = lab.finish(&way.call(&lab)).unwrap();
    assert_eq!((login.name.as_deref(), &*login.groups), (Some("Ann"), &["ops".into()][..]));
}

#[test]
fn p8_so_many_sign_ins_may_fail_and_answers_to_nothing_keep_nobody_out() {
    let lab = Lab::new();
    let way = lab.begin().unwrap();
    let right = way.call(&lab);
    for _ in 0..30 {
        let nothing = Call { state: None, ..right };
        assert_eq!(lab.finish(&nothing).unwrap_err(), NotSignedIn::State);
    }
    for _ in 0..20 {
        let denied = Call { error: Some("x"), ..right };
        assert!(matches!(lab.finish(&denied).unwrap_err(), NotSignedIn::Denied(_)));
    }
    assert_eq!(lab.finish(&right).unwrap_err(), NotSignedIn::TooMany);
    assert_eq!(lab.begin().err(), Some(NotSignedIn::TooMany));
    assert!(lab.world.people.finish(&right, "elsewhere").is_ok());
}

#[test]
fn a_former_cookie_ends_its_login_unless_programs_have_tokens_of_it() {
    let world = World::new();
    let logins = &world.store.logins;
    let is_there = |login: &Arc<Login>| logins.login(&login.id).is_some();
    let hour = Duration::from_secs(3600);
    let begin = || {
        let (login, cookie) = world.people.signed_in(who(), HERE).unwrap();
        let key = logins.by_cookie(cookie.expose(), hour, now()).unwrap().1;
        (login, key, cookie)
    };
    let (bare, key, _) = begin();
    world.people.leave(&bare, &key);
    assert!(!is_there(&bare));
    let (used, key, cookie) = begin();
    logins.token(&used.id, "laptop", now()).unwrap();
    world.people.leave(&used, &key);
    assert!(is_there(&used) && logins.by_cookie(cookie.expose(), hour, now()).is_none());
}
