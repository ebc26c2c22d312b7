//! What keeps others out of what is not theirs: roles, and the word of a form.

use super::pages::word_of;
use super::*;

#[test]
fn p2_what_changes_something_needs_its_role() {
    let world = World::new();
    let of = |group: &str| world.token(group, "person", &[group]);
    let tokens = ["nobody", "readers", "approvers", "ops", "owners"].map(of);
    for (verb, path, least) in [
        ("POST", "/api/v1/tokens", 3),
        ("DELETE", "/api/v1/tokens/tk_none", 3),
        ("POST", "/api/v1/audit/erase", 4),
        ("POST", "/api/v1/audit/hold", 4),
        ("POST", "/api/v1/audit/release", 4),
        ("POST", "/api/v1/audit/reindex", 4),
    ] {
        for (index, token) in tokens.iter().enumerate() {
            let body = (verb == "POST").then(|| json!({}));
            let said = world.call(verb, path, Some(token), body);
            let refused = said.code() == "role_missing";
            assert_eq!(refused, index < least, "{verb} {path} by {index}: {}", said.text);
        }
    }
    // It is recorded, in a while.
    let wanted = "readers role.refused POST /api/v1/tokens";
    let end = std::time::Instant::now() + Duration::from_secs(30);
    while !world.deeds().iter().any(|deed| deed == wanted) {
        assert!(std::time::Instant::now() < end, "{:?}", world.deeds());
        std::thread::yield_now();
    }
}

#[test]
fn p2_a_form_without_the_word_of_the_sign_in_changes_nothing() {
    let world = World::new();
    let (login, cookie) = world.sign_in("ann", &["dba"]);
    let (_, bobs) = world.sign_in("bob", &[]);
    let (key, _) = world.store.logins.token(&login.id, "x", world.fake.now()).unwrap();
    let id = world.ask_for_approval("agent-7");
    let others = word_of(&world.page("/", bobs.expose()));
    let end = format!("/tokens/{}/end", key.id.0);
    for path in [
        &*end,
        "/logout",
        "/device",
        "/command",
        &format!("/approvals/{id}/approve"),
        &format!("/approvals/{id}/deny"),
    ] {
        let form = |word: &str| {
            let form = [("csrf", word), ("answer", "yes"), ("user_code", "BCDF-GHJK")];
            world.send("POST", path, cookie.expose(), &form).status
        };
        assert_eq!((form(""), form(&others)), (403, 403), "{path}");
    }
    assert!(world.store.logins.login_of(&key.id).is_some());
    assert_eq!(world.store.approvals.pending().len(), 1);
}
