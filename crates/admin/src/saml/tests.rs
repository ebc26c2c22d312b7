//! Whom a proved answer signs in: the browser that began, once, while it may.

use std::cell::Cell;
use std::path::PathBuf;
use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bergshamra_dsig::DsigContext;
use bergshamra_keys::KeysManager;
use rcgen::{CertificateParams, KeyPair};
use store::{Store, StoreOptions};

use super::*;

const HERE: &str = "198.51.100.7";
const IDP: &str = "https://idp.example";
const ASSERTION: &str = "urn:oasis:names:tc:SAML:2.0:assertion";
const PROTOCOL: &str = "urn:oasis:names:tc:SAML:2.0:protocol";
const EXCLUSIVE: &str = "http://www.w3.org/2001/10/xml-exc-c14n#";
const DSIG: &str = "http://www.w3.org/2000/09/xmldsig#";

/// The provider's key and certificate, made for the run.
static PAIR: LazyLock<(String, String)> = LazyLock::new(|| {
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec![]).unwrap().self_signed(&key).unwrap();
    (key.serialize_pem(), certificate.pem())
});

thread_local! {
    /// The clock of one test, seconds.
    static CLOCK: Cell<u64> = const { Cell::new(1_000_000_000) };
}

fn clock() -> Timestamp {
    Timestamp(CLOCK.get() * 1_000_000_000)
}

struct World {
    saml: Arc<Saml>,
    store: Store,
    folder: PathBuf,
}

impl Drop for World {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn plan(entity_id: &str) -> SamlPlan {
    let certificates = saml::certificates(PAIR.1.as_bytes()).unwrap();
    let sso = "https://idp.example/sso".parse().unwrap();
    SamlPlan {
        provider: ProviderPlan::new(entity_id, sso, certificates),
        service: Service {
            entity_id: "https://gateway.example".to_owned(),
            acs: "https://gateway.example/saml/acs".parse().unwrap(),
            signer: None,
        },
        label: "IdP".to_owned(),
    }
}

impl World {
    fn new() -> Self {
        let name = store::short_id("narrows-saml-", 12).unwrap();
        let folder = std::env::temp_dir().join(name);
        let (store, _) = Store::open(StoreOptions::new(&folder), clock()).unwrap();
        let proofs = identity::Proofs::new(Arc::clone(&store.tokens), Arc::clone(&store.logins));
        let (journal, gateway) = (Arc::clone(&store.journal), Arc::clone(&store.gateway));
        let people = People::new(proofs, journal, gateway, clock);
        let sign_in = identity::SignInPlan::new("http://127.0.0.1:7070".parse().unwrap());
        people.configure(sign_in, Vec::new()).unwrap();
        let saml = Saml::new(people, Arc::clone(&store.logins));
        saml.configure(vec![plan(IDP), plan("https://other.example")]).unwrap();
        Self { saml, store, folder }
    }

    /// The cookie of a sign-in under way, and its handle.
    fn begin(&self, with: usize, back: &str) -> (String, String) {
        let cookie = self.saml.begin(with, back, HERE).unwrap().cookie.expose().clone();
        let text = self.store.logins.unseal(UNDER_WAY, &cookie).unwrap();
        let under_way: UnderWay = serde_json::from_str(text.expose()).unwrap();
        (cookie, under_way.handle)
    }

    /// What an answer proved, as [`Saml::arrive`] leaves it.
    fn proved(&self, handle: Option<&str>) -> String {
        let now = clock();
        let who = SignedIn {
            subject: "ann".to_owned(),
            groups: vec!["dba".to_owned()],
            issuer: IDP.to_owned(),
            session_index: None,
            not_on_or_after: Some(now.plus(Duration::from_secs(1_000))),
            assertion: "_a1".to_owned(),
        };
        let handle = handle.map(str::to_owned);
        let method = format!("{METHOD}{IDP}");
        let set = self.saml.set.read();
        let ready = set.iter().find(|ready| ready.method() == method);
        let believed_by = ready.map(|ready| ready.believed_by()).unwrap_or_default();
        drop(set);
        let one = Waiting { method, believed_by, who, handle };
        let text = serde_json::to_string(&one).unwrap();
        let sealed = self.store.logins.seal(PROVED, &text).unwrap();
        let name = store::random_text().unwrap();
        let code = (&*name, None);
        self.store.logins.put_code(Code::Answer, code, &sealed, now.plus(WAITS), now).unwrap();
        name
    }

    fn finish(&self, name: &str, cookie: Option<&str>) -> Result<String, NotSignedIn> {
        self.saml.finish(name, cookie, HERE).map(|(_, _, back)| back)
    }
}

/// An answer of the provider about somebody, to a sign-in of this handle.
fn answer(subject: &str, handle: &str) -> String {
    let moment = |after: u64| {
        let seconds = i64::try_from(CLOCK.get() + after).unwrap();
        jiff::Timestamp::from_second(seconds).unwrap()
    };
    let (now, end, request) = (moment(0), moment(300), request_of(handle));
    let acs = "https://gateway.example/saml/acs";
    let assertion = format!(
        "<saml:Assertion xmlns:saml=\"{ASSERTION}\" ID=\"_{handle}\" Version=\"2.0\" \
         IssueInstant=\"{now}\"><saml:Issuer>{IDP}</saml:Issuer>\
         <ds:Signature xmlns:ds=\"{DSIG}\"><ds:SignedInfo>\
         <ds:CanonicalizationMethod Algorithm=\"{EXCLUSIVE}\"/><ds:SignatureMethod \
         Algorithm=\"http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha256\"/>\
         <ds:Reference URI=\"#_{handle}\"><ds:Transforms>\
         <ds:Transform Algorithm=\"{DSIG}enveloped-signature\"/>\
         <ds:Transform Algorithm=\"{EXCLUSIVE}\"/></ds:Transforms>\
         <ds:DigestMethod Algorithm=\"http://www.w3.org/2001/04/xmlenc#sha256\"/>\
         <ds:DigestValue></ds:DigestValue></ds:Reference></ds:SignedInfo>\
         <ds:SignatureValue></ds:SignatureValue></ds:Signature>\
         <saml:Subject><saml:NameID>{subject}</saml:NameID>\
         <saml:SubjectConfirmation Method=\"urn:oasis:names:tc:SAML:2.0:cm:bearer\">\
         <saml:SubjectConfirmationData NotOnOrAfter=\"{end}\" Recipient=\"{acs}\" \
         InResponseTo=\"{request}\"/></saml:SubjectConfirmation></saml:Subject>\
         <saml:Conditions><saml:AudienceRestriction><saml:Audience>https://gateway.example\
         </saml:Audience></saml:AudienceRestriction></saml:Conditions>\
         <saml:AuthnStatement/></saml:Assertion>"
    );
    let mut keys = KeysManager::new();
    keys.add_key(bergshamra_keys::loader::load_pem_auto(PAIR.0.as_bytes(), None).unwrap());
    let context = DsigContext::new_permissive(keys);
    let signed = bergshamra_dsig::sign::sign(&context, &assertion).unwrap();
    STANDARD.encode(format!(
        "<samlp:Response xmlns:samlp=\"{PROTOCOL}\" ID=\"_r\" Version=\"2.0\" \
         IssueInstant=\"{now}\" InResponseTo=\"{request}\"><samlp:Status><samlp:StatusCode \
         Value=\"urn:oasis:names:tc:SAML:2.0:status:Success\"/></samlp:Status>{signed}\
         </samlp:Response>"
    ))
}

#[test]
fn p2_an_answer_is_taken_once_and_to_what_was_asked() {
    let world = World::new();
    let (cookie, handle) = world.begin(0, "/");
    let response = answer("ann", &handle);
    let arrive = |response: &str, relay| world.saml.arrive(response, relay, HERE);
    let why = |arrived| match arrived {
        Err(NotSignedIn::Answer { why, .. }) => why,
        other => panic!("{other:?}"),
    };
    for relay in [None, Some("another")] {
        assert!(why(arrive(&response, relay)).contains("answers"), "{relay:?}");
    }
    let name = arrive(&response, Some(&handle)).unwrap();
    assert!(world.finish(&name, Some(&cookie)).is_ok());
    assert!(why(arrive(&response, Some(&handle))).contains("used before"));
    // Whoever signs in is somebody, and not the machine's owner.
    let (_, handle) = world.begin(0, "/");
    let owner = arrive(&answer("Admin.Token", &handle), Some(&handle));
    assert!(why(owner).contains("holder of the admin token"));
    // The browser comes at once, or has to begin again.
    let (cookie, handle) = world.begin(0, "/");
    let name = arrive(&answer("ann", &handle), Some(&handle)).unwrap();
    CLOCK.set(1_000_000_060);
    assert_eq!(world.finish(&name, Some(&cookie)), Err(NotSignedIn::State));
}

#[test]
fn p2_an_answer_signs_in_the_browser_that_began_once_and_in_time() {
    let world = World::new();
    let (cookie, handle) = world.begin(0, "/approvals/ap_1");
    let (others, _) = world.begin(0, "/");
    let (elsewhere, _) = world.begin(1, "/");
    let sealed = |under_way: &UnderWay| {
        world.store.logins.seal(UNDER_WAY, &serde_json::to_string(under_way).unwrap()).unwrap()
    };
    let method = format!("{METHOD}https://other.example");
    let until = clock().plus(TAKES).0;
    let mixed = UnderWay { method, handle: handle.clone(), back: "/".to_owned(), until };
    let mixed = sealed(&mixed);
    for cookie in [None, Some(""), Some(&*others), Some(&*elsewhere), Some(&*mixed)] {
        let name = world.proved(Some(&handle));
        assert_eq!(world.finish(&name, cookie), Err(NotSignedIn::State), "{cookie:?}");
    }
    let name = world.proved(Some(&handle));
    let (login, _, back) = world.saml.finish(&name, Some(&cookie), HERE).unwrap();
    assert_eq!((&*login.subject, &*back), ("ann", "/approvals/ap_1"));
    assert_eq!(login.ends_at, clock().plus(Duration::from_secs(1_000)), "as the provider says");
    assert_eq!(world.finish(&name, Some(&cookie)), Err(NotSignedIn::State), "once");
    let name = world.proved(Some(&handle));
    CLOCK.set(1_000_000_060);
    assert_eq!(world.finish(&name, Some(&cookie)), Err(NotSignedIn::State), "it waited too long");
    CLOCK.set(1_000_000_599);
    assert!(world.finish(&world.proved(Some(&handle)), Some(&cookie)).is_ok());
    CLOCK.set(1_000_000_600);
    let late = world.finish(&world.proved(Some(&handle)), Some(&cookie));
    assert_eq!(late, Err(NotSignedIn::State), "it took too long");
}

#[test]
fn a_sign_in_leads_to_a_page_of_ours_and_needs_a_provider_that_is_there() {
    let world = World::new();
    let (cookie, handle) = world.begin(0, "https://evil.example");
    assert_eq!(world.finish(&world.proved(Some(&handle)), Some(&cookie)).as_deref(), Ok("/"));
    assert_eq!(world.finish(&world.proved(None), None).as_deref(), Ok("/"), "asked for by nobody");
    let name = world.proved(Some(&handle));
    world.saml.configure(vec![plan("https://other.example")]).unwrap();
    assert_eq!(world.finish(&name, Some(&cookie)), Err(NotSignedIn::Method));
}

#[test]
fn logins_end_with_the_configuration_that_they_began_under() {
    let world = World::new();
    let logins = &world.store.logins;
    let (login, cookie, _) = world.saml.finish(&world.proved(None), None, HERE).unwrap();
    let is_in = || {
        let hour = Duration::from_secs(3600);
        logins.by_cookie(cookie.expose(), hour, clock()).is_some()
    };
    world.saml.configure(vec![plan(IDP)]).unwrap();
    assert!(is_in(), "another provider went");
    let mut changed = plan(IDP);
    changed.provider.groups_prefix = "x-".to_owned();
    // What was proved before does not begin under what holds now.
    let waits = world.proved(None);
    world.saml.configure(vec![changed]).unwrap();
    assert!(!is_in());
    assert!(logins.login(&login.id).is_none(), "it ended");
    assert_eq!(world.finish(&waits, None), Err(NotSignedIn::Method));
    assert!(world.finish(&world.proved(None), None).is_ok());
}

#[test]
fn p8_so_many_answers_of_one_place_are_judged_in_a_minute() {
    let world = World::new();
    for _ in 0..FAILED_MAX {
        assert!(matches!(world.saml.arrive("%", None, HERE), Err(NotSignedIn::Answer { .. })));
    }
    assert_eq!(world.saml.arrive("%", None, HERE), Err(NotSignedIn::TooMany));
    assert_ne!(world.saml.arrive("%", None, "elsewhere"), Err(NotSignedIn::TooMany));
    assert!(world.saml.begin(0, "/", HERE).is_ok(), "other ways are open");
    for _ in 0..20 {
        world.saml.people.failed(&NotSignedIn::Denied("x".to_owned()), HERE);
    }
    assert_eq!(world.saml.begin(0, "/", HERE).err(), Some(NotSignedIn::TooMany));
}
