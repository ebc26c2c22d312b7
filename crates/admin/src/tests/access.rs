//! Asking for access, waiting for an answer, and who can reach what.

use std::time::Instant;

use super::*;

fn ask(world: &World, token: &str, length: &str) -> Answer {
    let body = json!({ "resource": "appdb", "for": length, "reason": "incident 4711" });
    world.call("POST", "/api/v1/access/requests", Some(token), Some(body))
}

fn actions(world: &World) -> Vec<String> {
    world.deeds().iter().filter_map(|deed| deed.split(' ').nth(1)).map(str::to_owned).collect()
}

#[test]
fn access_is_asked_for_by_a_token_given_by_a_person_and_revoked() {
    let world = World::new();
    let bot = world.token("bot", "agent", &["guests"]);
    let ana = world.token("ana", "person", &["dba"]);
    let asked = ask(&world, &bot, "2h");
    assert_eq!((asked.status, &asked.json["status"]), (201, &json!("pending")), "{}", asked.text);
    let id = asked.json["id"].as_str().unwrap().to_owned();
    assert_eq!(ask(&world, &bot, "2h").json["id"], id.as_str(), "the same is asked once");
    assert_eq!(ask(&world, &bot, "1h").code(), "waits_already");
    let seen = world.call("GET", "/api/v1/approvals", Some(&ana), None);
    assert_eq!(seen.json[0]["kind"], "access");
    let path = |what: &str| format!("/api/v1/approvals/{id}{what}");
    let session = json!({ "session": true });
    let yes = world.call("POST", &path("/approve"), Some(&ana), Some(session));
    assert_eq!(yes.code(), "invalid", "access has no session: {}", yes.text);
    let less = json!({ "for": "30m" });
    let yes = world.call("POST", &path("/approve"), Some(&ana), Some(less));
    assert_eq!((yes.status, &yes.json["status"]), (200, &json!("approved")), "{}", yes.text);
    let state = world.call("GET", &path(""), Some(&bot), None);
    assert_eq!(state.json["until"], "2001-09-09T02:16:40Z", "half an hour: {}", state.text);
    let given = world.call("GET", "/api/v1/access", Some(&ana), None);
    assert_eq!(given.json["entries"][0]["approval"], id.as_str());
    let who = world.get("/api/v1/access/who-can?resource=appdb");
    assert_eq!(who.json["entries"][1]["subjects"], json!(["bot"]), "{}", who.text);
    assert_eq!(who.json["entries"][1]["reason"], "incident 4711");
    let revoked = world.call("POST", &path("/revoke"), Some(&ana), Some(json!({})));
    assert_eq!(revoked.json["revoked"]["by"], "ana", "{}", revoked.text);
    let again = world.call("POST", &path("/revoke"), Some(&ana), Some(json!({})));
    assert_eq!(again.code(), "nothing_granted");
    assert_eq!(world.get("/api/v1/access").json["entries"], json!([]));
    let done = actions(&world);
    for action in ["access.request", "approval.approve", "access.grant", "access.revoke"] {
        assert!(done.iter().any(|one| one == action), "{action} is recorded: {done:?}");
    }
}

#[test]
fn a_request_needs_somebody_a_reason_and_a_resource_that_says_so() {
    let world = World::new();
    let bot = world.token("bot", "agent", &[]);
    let call = |token: &str, body: Value| {
        world.call("POST", "/api/v1/access/requests", Some(token), Some(body))
    };
    let body = |resource: &str, length: &str, reason: &str| json!({ "resource": resource, "for": length, "reason": reason });
    assert_eq!(call(ADMIN, body("appdb", "1h", "because")).code(), "invalid");
    assert_eq!(call(&bot, body("other", "1h", "because")).code(), "no_request");
    for (length, reason) in
        [("5h", "because"), ("0", "because"), ("soon", "because"), ("1h", " "), ("1h", "")]
    {
        assert_eq!(call(&bot, body("appdb", length, reason)).code(), "invalid", "{length}");
    }
    assert_eq!(call(&bot, body("appdb", "1h", &"r".repeat(501))).code(), "invalid");
    assert_eq!(call(&bot, body("appdb", "4h", "because")).status, 201, "as long as may be");
}

#[test]
fn whoever_asked_learns_the_state_of_their_request_and_nothing_else() {
    let world = World::new();
    let id = world.ask_for_approval("bot");
    let path = format!("/api/v1/approvals/{id}");
    let bot = world.token("bot", "agent", &["agents"]);
    let own = world.call("GET", &path, Some(&bot), None);
    let mut keys: Vec<&String> = own.json.as_object().unwrap().keys().collect();
    keys.sort();
    assert_eq!(keys, ["expires_at", "id", "reason", "status"]);
    for (subject, kind) in [("other", "agent"), ("bot", "service"), ("bot", "person")] {
        let token = world.token(subject, kind, &["agents"]);
        assert_eq!(world.call("GET", &path, Some(&token), None).status, 404, "{subject} {kind}");
    }
    let ana = world.token("ana", "person", &["dba"]);
    let whole = world.call("GET", &path, Some(&ana), None);
    assert_eq!(whole.json["operation"], "select * from customers");
}

#[test]
fn a_wait_ends_with_the_answer() {
    let world = World::new();
    let id = world.ask_for_approval("bot");
    let bot = world.token("bot", "agent", &["agents"]);
    for wait in ["51s", "soon", "-1s"] {
        let path = format!("/api/v1/approvals/{id}?wait={wait}");
        assert_eq!(world.call("GET", &path, Some(&bot), None).code(), "invalid", "{wait}");
    }
    let short = format!("/api/v1/approvals/{id}?wait=50ms");
    assert_eq!(world.call("GET", &short, Some(&bot), None).json["status"], "pending");
    let begun = Instant::now();
    let path = format!("/api/v1/approvals/{id}?wait=50s");
    let answer = std::thread::scope(|scope| {
        let waits = scope.spawn(|| world.call("GET", &path, Some(&bot), None));
        let yes = json!({ "reason": "no" });
        let deny = format!("/api/v1/approvals/{id}/deny");
        assert_eq!(world.post(&deny, yes).status, 200);
        waits.join().unwrap()
    });
    assert_eq!(answer.json["status"], "denied", "{}", answer.text);
    assert_eq!(answer.json["reason"], "no");
    // Far less than the wait: it was told, and did not wait for its end.
    assert!(begun.elapsed() < Duration::from_secs(30));
}

#[test]
fn who_can_reach_what_is_told_with_the_line_and_the_tokens() {
    let world = World::new();
    world.token("ana", "person", &["dba"]);
    world.token("bot", "agent", &["agents"]);
    let who = world.get("/api/v1/access/who-can?resource=appdb");
    let entry = &who.json["entries"][0];
    assert_eq!(entry["line"], "n.yaml:3:5");
    assert_eq!(entry["hours"], json!(["mon-fri 08:00-18:00"]));
    // The clock of these tests stands on a Sunday.
    assert_eq!(entry["open"], false);
    assert_eq!(entry["changes_at"], "2001-09-10T08:00:00Z");
    let holders = entry["holders"].as_array().unwrap();
    assert_eq!(holders.len(), 1, "{}", who.text);
    assert_eq!(holders[0]["subject"], "ana");
    let what = |query: &str| world.get(&format!("/api/v1/access/what-can?{query}")).json;
    assert_eq!(what("subject=ana")["entries"].as_array().unwrap().len(), 1);
    assert_eq!(what("subject=ana")["groups"], json!(["dba"]), "those of the token");
    assert_eq!(what("subject=bot")["entries"], json!([]));
    assert_eq!(what("subject=bot&groups=dba,x")["entries"].as_array().unwrap().len(), 1);
    // Tokens of people who signed in count like those that were made.
    let (login, _) = world.sign_in("dora", &["dba"]);
    world.store.logins.token(&login.id, "laptop", world.fake.now()).unwrap();
    let who = world.get("/api/v1/access/who-can?resource=appdb");
    let holders = who.json["entries"][0]["holders"].as_array().unwrap();
    let dora = holders.iter().find(|one| one["subject"] == "dora").expect("dora");
    assert!(dora["token"].as_str().unwrap().starts_with("lt_"), "{dora}");
    assert_eq!(what("subject=dora")["groups"], json!(["dba"]));
    assert_eq!(world.get("/api/v1/access/who-can?resource=nope").code(), "not_found");
}
