//! Pages, roles, and who is who.

use identity::{Role, Roles, SignInPlan, SignedIn};

use super::*;

pub(super) const METHOD: &str = "saml:https://idp.example";

pub(super) fn now() -> Timestamp {
    Timestamp(1_000_000_000_000_000_000)
}

/// Members of ops operate, those of readers read, owners may everything.
pub(super) fn plan() -> SignInPlan {
    let mut plan = SignInPlan::new("http://127.0.0.1:7070".parse().unwrap());
    let role = |role, group: &str| (role, vec![group.to_owned()]);
    plan.roles = Roles(vec![
        role(Role::Viewer, "readers"),
        role(Role::Approver, "approvers"),
        role(Role::Operator, "ops"),
        role(Role::Admin, "owners"),
    ]);
    plan
}

impl World {
    /// The cookie of somebody who signed in by a method that is not OpenID.
    pub(super) fn sign_in(
        &self,
        subject: &str,
        groups: &[&str],
    ) -> (Arc<store::Login>, Secret<String>) {
        let who = SignedIn {
            method: METHOD.to_owned(),
            believed_by: String::new(),
            subject: subject.into(),
            name: None,
            groups: groups.iter().map(|group| Arc::from(*group)).collect(),
            issuer: "https://idp.example".into(),
            until: None,
            keep: None,
        };
        self.people.signed_in(who, "127.0.0.1").unwrap()
    }

    pub(super) fn page(&self, path: &str, cookie: &str) -> Answer {
        self.send("GET", path, cookie, &[])
    }

    pub(super) fn send(
        &self,
        verb: &str,
        path: &str,
        cookie: &str,
        form: &[(&str, &str)],
    ) -> Answer {
        let form = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
        let request = ureq::http::Request::builder()
            .method(verb)
            .uri(format!("http://{}{path}", self.address))
            .header("host", "127.0.0.1:7070")
            .header("origin", "http://127.0.0.1:7070")
            .header("content-type", "application/x-www-form-urlencoded")
            .header("cookie", format!("narrows={cookie}"));
        let mut response = self.agent.run(request.body(form).unwrap()).unwrap();
        let status = response.status().as_u16();
        let text = response.body_mut().read_to_string().unwrap();
        Answer { status, json: Value::Null, text }
    }
}

#[test]
fn a_route_lets_in_the_role_it_needs_and_those_above_it() {
    let world = World::new();
    let of = |group: &str| world.token(group, "person", &[group]);
    let tokens =
        [of("nobody"), of("readers"), of("approvers"), of("ops"), of("owners")].map(Secret::new);
    for (verb, path, least) in [
        ("GET", "/api/v1/sessions", 1),
        ("GET", "/api/v1/resources", 1),
        ("GET", "/api/v1/access/who-can?resource=appdb", 1),
        ("GET", "/api/v1/tokens", 3),
        ("POST", "/api/v1/sessions/s_1/kill", 3),
        ("POST", "/api/v1/reload", 3),
        ("POST", "/api/v1/audit/rewrap", 4),
        ("GET", "/api/v1/nothing", 4),
    ] {
        for (index, token) in tokens.iter().enumerate() {
            let body = (verb == "POST").then(|| json!({}));
            let said = world.call(verb, path, Some(token.expose()), body);
            let refused = said.code() == "role_missing";
            assert_eq!(refused, index < least, "{verb} {path} by {index}: {}", said.text);
        }
    }
    let said = world.call("GET", "/api/v1/tokens", Some(tokens[1].expose()), None);
    assert!(said.text.contains("readers has the role viewer; this needs the role operator"));
    // Whoever makes tokens makes no people, or they could be anybody.
    let make = |token: &Secret<String>, kind: &str| {
        let body = json!({ "subject": "x", "kind": kind, "groups": ["owners"] });
        world.call("POST", "/api/v1/tokens", Some(token.expose()), Some(body))
    };
    assert_eq!(make(&tokens[3], "agent").status, 201);
    assert_eq!(make(&tokens[3], "person").code(), "role_missing");
    assert_eq!(make(&tokens[4], "person").code(), "role_missing", "or they were two of `needs: 2`");
    assert_eq!(make(&Secret::new(ADMIN.to_owned()), "person").status, 201);
    // Neither agents nor services have roles, whatever their groups.
    let agent = world.token("bot", "agent", &["owners"]);
    assert_eq!(world.call("GET", "/api/v1/sessions", Some(&agent), None).code(), "people_only");
}

#[test]
fn who_answers_says_the_rule_and_an_admin_stands_in_but_not_for_themselves() {
    let world = World::new();
    let id = world.ask_for_approval("agent-7");
    let answer = |token: &str, what: &str| {
        let path = format!("/api/v1/approvals/{id}/{what}");
        world.call("POST", &path, Some(token), Some(json!({ "reason": "r" })))
    };
    let person = |name: &str, group: &str| world.token(name, "person", &[group]);
    assert_eq!(answer(&person("nob", "x"), "approve").code(), "not_found");
    for group in ["readers", "approvers", "ops"] {
        let said = answer(&person(group, group), "approve");
        assert_eq!(said.code(), "not_an_approver", "{group}: {}", said.text);
    }
    // A token that the asker carries as a person.
    assert_eq!(answer(&person("AGENT-7", "owners"), "approve").code(), "own_request");
    assert_eq!(answer(&person("olga", "owners"), "approve").status, 200);
    assert_eq!(answer(&person("readers2", "readers"), "revoke").code(), "not_an_approver");
}

#[test]
fn any_method_that_knows_who_it_is_signs_people_in() {
    let world = World::new();
    let (login, cookie) = world.sign_in("dora", &["dba"]);
    let home = world.page("/", cookie.expose());
    assert_eq!(home.status, 200);
    assert!(home.text.contains("dora") && home.text.contains("https://idp.example"));
    let id = world.ask_for_approval("agent-7");
    let page = world.page(&format!("/approvals/{id}"), cookie.expose());
    assert!(page.text.contains("select * from customers"), "{}", page.text);
    assert!(page.text.contains("20000"), "{}", page.text);
    // The cookie is for pages, and the token for everything else.
    let (key, token) = world.store.logins.token(&login.id, "x", world.fake.now()).unwrap();
    let who = world.call("GET", "/api/v1/whoami", Some(token.expose()), None);
    assert_eq!(who.json["subject"], "dora");
    assert_eq!(who.json["token"], *key.id.0);
    let as_token = format!("nrw_{}", cookie.expose());
    for bad in [cookie.expose(), &as_token] {
        assert_eq!(world.call("GET", "/api/v1/whoami", Some(bad), None).status, 401);
    }
    let out = world.call("POST", "/api/v1/logout", Some(token.expose()), Some(json!({})));
    assert_eq!(out.status, 200, "{}", out.text);
    assert_eq!(world.call("GET", "/api/v1/whoami", Some(token.expose()), None).status, 401);
    let plain = world.token("ann", "person", &[]);
    assert_eq!(
        world.call("POST", "/api/v1/logout", Some(&plain), Some(json!({}))).code(),
        "invalid"
    );
    let out = world.people.sign_out(&login, false);
    assert_eq!((out.to, out.is_kept), (None, true), "it has nowhere to go for that");
    assert!(world.page("/", cookie.expose()).text.contains("Nobody can sign in here"));
    let deeds = world.deeds();
    let dora = |action: &str| deeds.iter().any(|deed| deed.starts_with(&format!("dora {action} ")));
    for action in ["login.begin", "session.read", "login.token_end", "login.end"] {
        let read = action == "session.read";
        assert_eq!(dora(action), !read, "{action}: {deeds:?}");
    }
}

#[test]
fn p8_one_person_is_signed_in_so_often_at_once_and_others_all_the_same() {
    use model::limit::LOGINS_EACH_MAX;
    let world = World::new();
    let other = world.sign_in("bob", &[]).0;
    let logins = || world.store.logins.list().len();
    for _ in 0..LOGINS_EACH_MAX {
        world.sign_in("ann", &[]);
    }
    assert_eq!(logins(), LOGINS_EACH_MAX + 1, "at the limit");
    let (last, _) = world.sign_in("ann", &[]);
    assert_eq!(logins(), LOGINS_EACH_MAX + 1, "one of them ended");
    for stays in [other, last] {
        assert!(world.store.logins.login(&stays.id).is_some());
    }
}

/// The word that forms on a page have.
pub(super) fn word_of(page: &Answer) -> String {
    let (_, rest) = page.text.split_once("name=\"csrf\" value=\"").unwrap();
    rest.split('"').next().unwrap().to_owned()
}

#[test]
fn p2_whoever_signs_out_leaves_no_token_behind_that_they_cannot_see() {
    let world = World::new();
    let logins = &world.store.logins;
    let now = world.fake.now();
    let (here, cookie) = world.sign_in("ann", &[]);
    let (elsewhere, other_cookie) = world.sign_in("ann", &[]);
    let (_, bobs) = {
        let (login, _) = world.sign_in("bob", &[]);
        logins.token(&login.id, "bob's", now).unwrap()
    };
    let token = |login: &str, label: &str| logins.token(login, label, now).unwrap();
    let (first, secret) = token(&elsewhere.id, "the other laptop");
    let (second, _) = token(&here.id, "this laptop");
    let home = world.page("/", cookie.expose());
    for words in ["the other laptop", "from another sign-in", "this laptop", "2 sign-ins"] {
        assert!(home.text.contains(words), "{words}: {}", home.text);
    }
    assert!(!home.text.contains("bob"));
    let word = word_of(&home);
    let end = |id: &str| {
        world.send("POST", &format!("/tokens/{id}/end"), cookie.expose(), &[("csrf", &word)])
    };
    assert!(end(&first.id.0).status < 400);
    assert!(logins.verify(secret.expose(), now).is_err());
    let (_, secret) = token(&elsewhere.id, "again");
    // Of another sign-in that a browser holds nothing ends, until they say so.
    let out = |more: &[(&str, &str)], cookie: &str| {
        let word = word_of(&world.page("/", cookie));
        let form: Vec<_> = [("csrf", &*word)].into_iter().chain(more.iter().copied()).collect();
        assert!(world.send("POST", "/logout", cookie, &form).status < 400);
    };
    out(&[], cookie.expose());
    assert!(logins.login_of(&second.id).is_none());
    assert!(logins.verify(secret.expose(), now).is_ok());
    let (_, third) = world.sign_in("ann", &[]);
    out(&[("everywhere", "1")], third.expose());
    assert!(logins.verify(secret.expose(), now).is_err());
    assert!(world.page("/", other_cookie.expose()).text.contains("Sign in"));
    assert!(logins.verify(bobs.expose(), now).is_ok(), "others stay signed in");
    // One that no browser holds any more ends with the next that is signed out of.
    let (left, left_cookie) = world.sign_in("ann", &[]);
    let (_, secret) = token(&left.id, "left");
    let key = logins.by_cookie(left_cookie.expose(), Duration::from_secs(60), now).unwrap().1;
    logins.end_key(&key.id, "signed_out").unwrap();
    let (_, cookie) = world.sign_in("ann", &[]);
    out(&[], cookie.expose());
    assert!(logins.verify(secret.expose(), now).is_err());
}

#[test]
fn an_answer_of_somebody_in_many_groups_is_read_whole() {
    let world = World::new();
    let answer = "A".repeat(400 * 1024);
    let said = world.send("POST", "/saml/acs", "", &[("SAMLResponse", &answer)]);
    assert!(said.text.contains("was not believed"), "{} {}", said.status, said.text);
    assert!(!said.text.contains("The form has"));
    let too_long = "A".repeat(700 * 1024);
    let said = world.send("POST", "/saml/acs", "", &[("SAMLResponse", &too_long)]);
    assert_eq!(said.status, 413, "{}", said.text);
}
