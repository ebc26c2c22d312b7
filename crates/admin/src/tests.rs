//! The API over real sockets on loopback, with a real store in a folder of its own.

mod access;
mod guards;
mod health;
mod pages;
mod reading;
mod slack;

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use model::limit::AUDIT_QUESTIONS_MAX;
use model::operation::Objects;
use model::{
    Event, EventBody, OperationId, Principal, PrincipalKind, Resource, Secret, SessionId, Timestamp,
};
use serde_json::{Value, json};
use store::{ApprovalRule, GrantScope, NewApproval, Requested, SessionInfo, Store, StoreOptions};

use crate::Saml;
use crate::clicks::{Slack, SlackClick, SlackRefused, SlackSigned};
use crate::control::*;
use crate::server::{Admin, AdminParts};

const ADMIN: &str = "nrw_admin_0123456789";

/// Questions that were begun, and whether they are to stay there.
#[derive(Default)]
struct Asked {
    begun: usize,
    held: bool,
}

/// Members of dba may use appdb on weekdays.
fn dba_in_office_hours() -> Arc<policy::PolicySet> {
    let text = |text: &str| policy::Located::new(text.to_owned(), policy::Location::default());
    let line = policy::AccessSpec {
        groups: vec![text("dba")],
        resources: vec![text("appdb")],
        hours: vec![text("mon-fri 08:00-18:00")],
        at: policy::Location { file: "n.yaml".into(), line: 3, column: 5 },
        ..policy::AccessSpec::default()
    };
    let resources = vec![Resource { name: "appdb".into(), kind: "sql".into() }];
    let spec = policy::PolicySpec { access: vec![line], resources, ..Default::default() };
    Arc::new(policy::compile(spec, &policy::Schema::new(), &[]).unwrap())
}

struct Fake {
    policy: Arc<policy::PolicySet>,
    asked: parking_lot::Mutex<Asked>,
    changed: parking_lot::Condvar,
    unready: parking_lot::Mutex<Vec<String>>,
    failing: parking_lot::Mutex<bool>,
}

impl Control for Fake {
    fn attend(&self, _: &str, _: &str) -> Option<String> {
        None
    }
    fn now(&self) -> Timestamp {
        pages::now()
    }
    fn reload(&self) -> Result<Reloaded, Vec<ProblemView>> {
        Err(vec![ProblemView {
            file: "n.yaml".into(),
            line: 3,
            column: 4,
            message: "unknown key \"rulse\"".into(),
            help: Some("did you mean \"rules\"?".into()),
        }])
    }
    fn explain(&self, ask: &ExplainRequest) -> Result<ExplainAnswer, ExplainError> {
        match &*ask.on {
            "appdb" => Ok(ExplainAnswer { access: true, ..ExplainAnswer::default() }),
            _ => Err(ExplainError::UnknownResource(Some("appdb".into()))),
        }
    }
    fn audit(&self, question: &AuditQuestion) -> Result<serde_json::Value, AuditError> {
        let mut asked = self.asked.lock();
        asked.begun += 1;
        self.changed.notify_all();
        self.changed.wait_while(&mut asked, |asked| asked.held);
        drop(asked);
        match question {
            AuditQuestion::Pii { .. } => Err(AuditError::Unavailable("no bucket".to_owned())),
            other => Ok(serde_json::json!(format!("{other:?}"))),
        }
    }
    fn erase(&self, whose: &EraseRequest) -> Result<usize, AuditError> {
        match whose.principal.as_deref() {
            Some("ann") => Ok(2),
            Some("nobody") => Err(AuditError::Nothing("no key of nobody".to_owned())),
            Some("held") => Err(AuditError::Held("hd_1 holds it".to_owned())),
            _ => Err(AuditError::Unavailable("no bucket".to_owned())),
        }
    }
    fn hold(&self, ask: &HoldRequest, by: &str) -> Result<HoldAnswer, AuditError> {
        assert_eq!(by, "admin.token");
        match ask.principal.as_deref() {
            Some("away") => Err(AuditError::Unavailable("no bucket".to_owned())),
            _ => Ok(HoldAnswer {
                id: "hd_1".to_owned(),
                files: 2,
                manifests: 1,
                locks: true,
                unread: Vec::new(),
            }),
        }
    }
    fn release(&self, ask: &ReleaseRequest, by: &str) -> Result<HoldAnswer, AuditError> {
        match ask.id.as_deref() {
            Some("hd_none") => Err(AuditError::Nothing("no hold hd_none".to_owned())),
            _ => self.hold(&HoldRequest::default(), by),
        }
    }
    fn holds(&self) -> Result<Vec<HoldView>, AuditError> {
        Ok(Vec::new())
    }
    fn rewrap(&self, after: Option<&str>) -> Result<Rewrapped, AuditError> {
        match after {
            Some("nowhere") => Err(AuditError::Unavailable("no bucket".to_owned())),
            _ => Ok(Rewrapped { rewrapped: 3, ..Rewrapped::default() }),
        }
    }
    fn policy(&self) -> Arc<policy::PolicySet> {
        Arc::clone(&self.policy)
    }
    fn request_plan(&self, resource: &str) -> Option<(Resource, RequestPlan)> {
        let rule = ApprovalRule {
            rule: "request access to appdb".into(),
            by: vec!["dba".into()],
            needs: 1,
            escalate: None,
        };
        let (max, expires) = (Duration::from_secs(4 * 3600), Duration::from_secs(3600));
        let plan = RequestPlan { rule, max, expires };
        self.places().into_iter().find(|one| *one.name == *resource).map(|one| (one, plan))
    }
    fn places(&self) -> Vec<Resource> {
        vec![Resource { name: "appdb".into(), kind: "sql".into() }]
    }
    fn unready(&self) -> Vec<String> {
        self.unready.lock().clone()
    }
    fn journal_failing(&self) -> bool {
        *self.failing.lock()
    }
    fn resources(&self) -> Vec<ResourceView> {
        Vec::new()
    }
    fn counters(&self) -> Counters {
        Counters {
            sessions_total: 7,
            decisions: [("allow", 5), ("block", 2)].into(),
            refused: [("unknown_token".to_owned(), 3)].into(),
            ..Counters::default()
        }
    }
}

struct World {
    store: Arc<Store>,
    fake: Arc<Fake>,
    slack: Arc<slack::FakeSlack>,
    people: Arc<identity::People>,
    address: SocketAddr,
    agent: ureq::Agent,
    folder: PathBuf,
}

impl Drop for World {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

impl World {
    fn new() -> Self {
        Self::with(|folder| StoreOptions::new(folder))
    }

    fn with(options: impl Fn(&Path) -> StoreOptions) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let name = format!(
            "narrows-admin-{}-{}",
            std::process::id(),
            NEXT.fetch_add(1, Ordering::Relaxed)
        );
        let folder = std::env::temp_dir().join(name);
        let fake = Arc::new(Fake {
            policy: dba_in_office_hours(),
            asked: Default::default(),
            changed: Default::default(),
            unready: Default::default(),
            failing: Default::default(),
        });
        let (store, _) = Store::open(options(&folder), fake.now()).unwrap();
        let store = Arc::new(store);
        let slack = Arc::new(slack::FakeSlack::new());
        let proofs = identity::Proofs::new(Arc::clone(&store.tokens), Arc::clone(&store.logins));
        let (journal, gateway) = (Arc::clone(&store.journal), Arc::clone(&store.gateway));
        let people = identity::People::new(Arc::clone(&proofs), journal, gateway, pages::now);
        people.configure(pages::plan(), Vec::new()).unwrap();
        store.logins.honour("saml:", [(pages::METHOD.to_owned(), String::new())]);
        let parts = AdminParts {
            store: Arc::clone(&store),
            proofs,
            people: Arc::clone(&people),
            saml: Saml::new(Arc::clone(&people), Arc::clone(&store.logins)),
            control: Arc::<Fake>::clone(&fake),
            slack: Arc::<slack::FakeSlack>::clone(&slack),
            admin_token: Secret::new(ADMIN.to_owned()),
            version: "test",
        };
        let (tell, told) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.unwrap().block_on(async move {
                let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
                tell.send(listener.local_addr().unwrap()).unwrap();
                Admin::new(parts).serve(listener, std::future::pending()).await.unwrap();
            });
        });
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(Duration::from_secs(20)))
            // A server that refuses a request without reading it closes the connection.
            .max_idle_connections(0)
            .build();
        Self {
            store,
            fake,
            slack,
            people,
            address: told.recv().unwrap(),
            agent: config.into(),
            folder,
        }
    }

    fn call(&self, method: &str, path: &str, token: Option<&str>, body: Option<Value>) -> Answer {
        let mut request = ureq::http::Request::builder()
            .method(method)
            .uri(format!("http://{}{path}", self.address));
        if let Some(token) = token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let body = body.map(|body| body.to_string()).unwrap_or_default();
        let request = request.header("content-type", "application/json").body(body).unwrap();
        let mut response = self.agent.run(request).unwrap();
        let status = response.status().as_u16();
        let text = response.body_mut().read_to_string().unwrap();
        Answer { status, json: serde_json::from_str(&text).unwrap_or(Value::Null), text }
    }

    fn get(&self, path: &str) -> Answer {
        self.call("GET", path, Some(ADMIN), None)
    }

    fn post(&self, path: &str, body: Value) -> Answer {
        self.call("POST", path, Some(ADMIN), Some(body))
    }

    fn token(&self, subject: &str, kind: &str, groups: &[&str]) -> String {
        let body = json!({ "subject": subject, "kind": kind, "groups": groups });
        let made = self.post("/api/v1/tokens", body);
        assert_eq!(made.status, 201, "{}", made.text);
        made.json["token"].as_str().unwrap().to_owned()
    }

    /// What was journalled about administration: `actor action target`.
    fn deeds(&self) -> Vec<String> {
        let records = self.store.journal.read().unwrap();
        let deeds = records.filter_map(|record| match record.unwrap().event.body {
            EventBody::Admin { actor, action, target, .. } => {
                Some(format!("{actor} {action} {target}"))
            }
            _ => None,
        });
        deeds.collect()
    }

    fn ask_for_approval(&self, subject: &str) -> String {
        let now = self.fake.now();
        let requested = self.store.approvals.request(
            NewApproval {
                digest: [7; 32],
                session: SessionId("s_1".into()),
                operation: OperationId(1),
                principal: principal(subject),
                resource: "appdb".into(),
                text: "select * from customers".into(),
                parameters: Vec::new(),
                objects: Arc::new(Objects::default()),
                rules: vec![ApprovalRule {
                    rule: "big-reads".into(),
                    by: vec!["dba".into()],
                    needs: 1,
                    escalate: None,
                }],
                rows_seen: Some(20_000),
                detections: Vec::new(),
                wait_until: now.plus(Duration::from_secs(120)),
                expires_at: now.plus(Duration::from_secs(600)),
                grant: GrantScope::Once,
                rows_max: None,
            },
            now,
        );
        match requested.unwrap() {
            Requested::Pending(id) => id.to_string(),
            Requested::Granted(_) => panic!("nothing was granted"),
        }
    }
}

struct Answer {
    status: u16,
    json: Value,
    text: String,
}

impl Answer {
    fn code(&self) -> &str {
        self.json["error"]["code"].as_str().unwrap_or("")
    }
}

fn principal(subject: &str) -> Principal {
    Principal {
        subject: subject.into(),
        kind: PrincipalKind::Agent,
        groups: vec!["agents".into()],
        issuer: "narrows".into(),
        on_behalf_of: None,
        on_behalf_of_groups: Vec::new(),
        token: None,
        minted_by: None,
        expires_at: None,
        certificate: None,
    }
}

fn event(world: &World, session: &str, sequence: u64, body: EventBody, payload: &[u8]) -> Event {
    Event {
        v: 1,
        at: world.fake.now(),
        gateway: Arc::clone(&world.store.gateway),
        session: Some(SessionId(session.into())),
        sequence,
        principal: Some("agent-7".into()),
        on_behalf_of: None,
        resource: Some("appdb".into()),
        body,
        payload: payload.to_vec(),
    }
}

fn started() -> EventBody {
    EventBody::SessionStarted {
        principal: principal("agent-7"),
        client: "127.0.0.1:5".into(),
        application: Some("psql".into()),
        protocol: "postgres".into(),
        run: None,
    }
}

#[test]
fn every_route_under_api_wants_a_token() {
    let world = World::new();
    let document: Value = serde_json::from_str(&crate::document()).unwrap();
    let agent = world.token("bot", "agent", &["dba"]);
    let person = world.token("ana", "person", &["dba"]);
    let mut seen = 0;
    for (path, methods) in document["paths"].as_object().unwrap() {
        for method in methods.as_object().unwrap().keys() {
            let open = ["/healthz", "/readyz", "/metrics", "/openapi.json"].contains(&&**path);
            let (method, path) = (method.to_uppercase(), path.replace("{id}", "x_1"));
            let body = (method == "POST").then(|| json!({}));
            let call = |token| world.call(&method, &path, token, body.clone());
            if open {
                assert_eq!(call(None).status, 200, "{path}");
                continue;
            }
            if path.starts_with("/oauth/") {
                // A code counts there, and no token: anybody may ask for one, and nobody has one.
                let status = if path == "/oauth/device_authorization" { 200 } else { 400 };
                for token in [None, Some(&*person), Some(ADMIN)] {
                    assert_eq!(call(token).status, status, "{path}, {token:?}");
                }
                continue;
            }
            if path == "/slack/actions" {
                // Slack's signature counts there, and no token.
                for token in [None, Some(&*person), Some(ADMIN)] {
                    assert_eq!(call(token).code(), "unproved", "{token:?}");
                }
                continue;
            }
            seen += 1;
            assert_eq!(call(None).status, 401, "{method} {path} without a token");
            assert_eq!(call(Some("nrw_wrong")).status, 401, "{method} {path}, wrong token");
            assert_eq!(call(Some(&ADMIN[..19])).status, 401, "{method} {path}, cut token");
            let own = ["/api/v1/whoami", "/api/v1/logout"].contains(&&*path);
            let asks =
                own || ["/api/v1/access/requests", "/api/v1/approvals/x_1"].contains(&&*path);
            match call(Some(&agent)).code() {
                "" if path == "/api/v1/whoami" => {}
                "invalid" | "not_found" if asks => {}
                code => assert_eq!(code, "people_only", "{method} {path}, an agent"),
            }
            let answers = path.starts_with("/api/v1/approvals") || path == "/api/v1/access";
            if !answers && !asks {
                assert_eq!(call(Some(&person)).code(), "role_missing", "{method} {path}, a person");
            }
        }
    }
    assert_eq!(seen, 32);
    assert_eq!(world.call("GET", "/api/v1/nothing", None, None).status, 401);
    assert_eq!(world.get("/api/v1/nothing").code(), "not_found");
}

#[test]
fn p7_erasing_wants_a_reason_and_something_to_erase() {
    let world = World::new();
    let erase = |principal: &str, reason: &str| {
        let body = json!({ "principal": principal, "reason": reason });
        world.post("/api/v1/audit/erase", body)
    };
    assert_eq!(erase("ann", "request 118").status, 200);
    for reason in ["", " \t"] {
        assert_eq!(erase("ann", reason).code(), "invalid", "{reason:?}");
    }
    let nobody = erase("nobody", "r");
    assert_eq!((nobody.status, nobody.code()), (404, "not_found"));
    assert_eq!(erase("bob", "r").code(), "unavailable");
    let held = erase("held", "r");
    assert_eq!((held.status, held.code()), (409, "on_hold"));
}

#[test]
fn p6_a_hold_is_of_one_thing_and_has_a_reason() {
    let world = World::new();
    let hold = |body: Value| world.post("/api/v1/audit/hold", body);
    let time = |from: &str, to: &str| json!({ "from": from, "to": to, "reason": "case 4" });
    for body in [
        json!({ "session": "s_1", "reason": "case 4" }),
        json!({ "principal": "ann", "reason": "case 4" }),
        time("2026-11-28T00:00:00Z", "2026-11-29T00:00:00Z"),
    ] {
        let held = hold(body.clone());
        assert_eq!(held.status, 200, "{body}: {}", held.text);
        assert_eq!(held.json["id"], "hd_1");
    }
    for body in [
        json!({ "reason": "case 4" }),
        json!({ "session": "s_1", "principal": "ann", "reason": "case 4" }),
        json!({ "session": "s_1", "reason": " " }),
        json!({ "session": "s_1", "reason": "r".repeat(5000) }),
        json!({ "session": "ann", "reason": "case 4" }),
        json!({ "from": "2026-11-28T00:00:00Z", "reason": "case 4" }),
        time("2026-11-29T00:00:00Z", "2026-11-29T00:00:00Z"),
        time("yesterday", "2026-11-29T00:00:00Z"),
    ] {
        assert_eq!(hold(body.clone()).code(), "invalid", "{body}");
    }
    let away = hold(json!({ "principal": "away", "reason": "case 4" }));
    assert_eq!((away.status, away.code()), (503, "unavailable"));
    let release = |body: Value| world.post("/api/v1/audit/release", body);
    assert_eq!(release(json!({ "id": "hd_1", "reason": "over" })).status, 200);
    assert_eq!(release(json!({ "id": "hd_none", "reason": "over" })).status, 404);
    assert_eq!(release(json!({ "id": "hd_1", "reason": "" })).code(), "invalid");
    assert_eq!(release(json!({ "reason": "over" })).code(), "invalid");
    assert_eq!(world.get("/api/v1/audit/holds").status, 200);
}

#[test]
fn keys_are_wrapped_anew_from_where_it_ended() {
    let world = World::new();
    let done = world.post("/api/v1/audit/rewrap", json!({}));
    assert_eq!((done.status, &done.json["rewrapped"]), (200, &json!(3)), "{}", done.text);
    let on =
        world.post("/api/v1/audit/rewrap", json!({ "after": "keys/gateway=a/0000000001.json" }));
    assert_eq!(on.status, 200);
    assert_eq!(world.deeds(), ["admin.token audit.rewrap keys"; 2]);
    let failed = world.post("/api/v1/audit/rewrap", json!({ "after": "nowhere" }));
    assert_eq!((failed.status, failed.code()), (503, "unavailable"));
}

#[test]
fn every_route_of_the_server_is_in_the_document() {
    let routes = include_str!("server.rs");
    let document = crate::document();
    for line in routes.lines().filter(|line| line.trim_start().starts_with(".route(\"")) {
        let path = line.split('"').nth(1).unwrap();
        if !path.contains('*') {
            assert!(document.contains(&format!("\"{path}\"")), "{path} is not in the document");
        }
    }
}

#[test]
fn a_token_is_made_once_shown_once_listed_and_revoked() {
    let world = World::new();
    let body = json!({ "subject": "agent-7", "groups": ["agents"], "ttl": "1h" });
    let made = world.post("/api/v1/tokens", body);
    assert_eq!(made.status, 201);
    let keys: Vec<_> = made.json.as_object().unwrap().keys().cloned().collect();
    assert_eq!(keys, ["expires_at", "groups", "id", "kind", "subject", "token"]);
    assert_eq!(made.json["expires_at"], "2001-09-09T02:46:40Z");
    let token = made.json["token"].as_str().unwrap();
    assert!(world.store.tokens.verify(token, world.fake.now()).is_ok());
    let listed = world.get("/api/v1/tokens");
    assert!(!listed.text.contains(token));
    assert_eq!(listed.json[0]["status"], "active");
    let id = made.json["id"].as_str().unwrap();
    let revoked = world.call("DELETE", &format!("/api/v1/tokens/{id}"), Some(ADMIN), None);
    assert_eq!(revoked.json["status"], "revoked");
    assert!(world.store.tokens.verify(token, world.fake.now()).is_err());
    let unknown = world.call("DELETE", "/api/v1/tokens/tk_none", Some(ADMIN), None);
    assert_eq!((unknown.status, unknown.code()), (404, "not_found"));
    let revoke = format!("admin.token token.revoke {id}");
    assert_eq!(world.deeds(), ["admin.token token.create agent-7", &revoke]);
}

/// Goal: what was recorded is shown, searched and erased only to the sight of the record.
#[test]
fn p2_no_question_is_answered_that_cannot_be_recorded() {
    // Every event begins a segment, so that a folder that is gone is noticed at once.
    let world = World::with(|folder| {
        let mut options = StoreOptions::new(folder);
        options.journal.segment_bytes_max = 1;
        options
    });
    let routes = [
        ("GET", "/api/v1/audit/who?table=customers", None, "who customers"),
        ("GET", "/api/v1/audit/fields?principal=ann", None, "fields ann"),
        ("GET", "/api/v1/audit/pii", None, "pii recordings"),
        ("POST", "/api/v1/audit/search", Some(json!({ "text": "hunter2" })), "search recordings"),
        ("POST", "/api/v1/audit/reindex", None, "reindex index"),
        ("POST", "/api/v1/audit/rewrap", Some(json!({})), "rewrap keys"),
        (
            "POST",
            "/api/v1/audit/erase",
            Some(json!({ "principal": "ann", "reason": "asked" })),
            "erase principal ann",
        ),
        (
            "POST",
            "/api/v1/audit/hold",
            Some(json!({ "session": "s_1", "reason": "asked" })),
            "hold session s_1",
        ),
        (
            "POST",
            "/api/v1/audit/release",
            Some(json!({ "id": "hd_1", "reason": "over" })),
            "release hold hd_1",
        ),
        ("GET", "/api/v1/audit/holds", None, "holds recordings"),
    ];
    let document: Value = serde_json::from_str(&crate::document()).unwrap();
    let all = document["paths"].as_object().unwrap().keys();
    let all = all.filter(|path| path.starts_with("/api/v1/audit/")).count();
    assert_eq!(all, routes.len(), "a route that this table does not have");
    for (method, path, body, deed) in &routes {
        let answer = world.call(method, path, Some(ADMIN), body.clone());
        // The one whose archive cannot be read has the question recorded all the same.
        let wanted = if path.ends_with("pii") { 503 } else { 200 };
        assert_eq!(answer.status, wanted, "{path}: {}", answer.text);
        assert_ne!(answer.code(), "journal");
        assert_eq!(world.deeds().last(), Some(&format!("admin.token audit.{deed}")));
    }
    std::fs::remove_dir_all(world.store.journal.folder()).unwrap();
    for (method, path, body, _) in &routes {
        let answer = world.call(method, path, Some(ADMIN), body.clone());
        assert_eq!((answer.status, answer.code()), (503, "journal"), "{path}: {}", answer.text);
    }
}

#[test]
fn p8_so_many_questions_are_answered_at_once_and_the_next_is_refused() {
    let world = World::new();
    let ask = || world.get("/api/v1/audit/who?table=customers");
    world.fake.asked.lock().held = true;
    std::thread::scope(|scope| {
        let answers: Vec<_> = (0..AUDIT_QUESTIONS_MAX).map(|_| scope.spawn(ask)).collect();
        let mut asked = world.fake.asked.lock();
        world.fake.changed.wait_while(&mut asked, |asked| asked.begun < AUDIT_QUESTIONS_MAX);
        drop(asked);
        let next = ask();
        assert_eq!((next.status, next.code()), (503, "busy"), "{}", next.text);
        assert_eq!(world.post("/api/v1/audit/reindex", json!({})).code(), "busy");
        world.fake.asked.lock().held = false;
        world.fake.changed.notify_all();
        for answer in answers {
            assert_eq!(answer.join().unwrap().status, 200);
        }
    });
    assert_eq!(ask().status, 200);
}

#[test]
fn a_bad_request_says_what_would_be_right() {
    let world = World::new();
    for (body, code, words) in [
        (json!({ "subject": "a", "ttl": "soon" }), "invalid", "30m, 1h, 7d"),
        (json!({ "subject": "" }), "invalid", ""),
        (json!({ "subject": "admin.token" }), "invalid", ""),
        (json!({ "subjct": "a" }), "invalid", "subjct"),
        (json!({ "subject": "a", "kind": "robot" }), "invalid", "agent"),
    ] {
        let answer = world.post("/api/v1/tokens", body.clone());
        assert_eq!((answer.status / 100, answer.code()), (4, code), "{body}: {}", answer.text);
        assert!(answer.text.contains(words), "{}", answer.text);
        assert!(answer.json["error"]["message"].is_string());
    }
    assert_eq!(world.get("/api/v1/sessions?since=yesterday").code(), "invalid");
    assert_eq!(world.get("/api/v1/sessions?table=a&limti=3").code(), "invalid");
    assert_eq!(world.get("/api/v1/approvals?status=x").code(), "invalid");
    assert_eq!(world.call("PUT", "/api/v1/tokens", Some(ADMIN), None).code(), "wrong_method");
}

#[test]
fn p8_bodies_and_headers_are_bounded() {
    let world = World::new();
    // Raw, because a client that is refused while it still sends may see only the broken pipe.
    let mut stream = std::net::TcpStream::connect(world.address).unwrap();
    let head = format!(
        "POST /api/v1/explain HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {ADMIN}\r\n\
         Content-Type: application/json\r\nContent-Length: 3000000\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).unwrap();
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 413");
    let long = "x".repeat(17 * 1024);
    assert_eq!(world.call("GET", "/api/v1/tokens", Some(&long), None).status, 431);
}

#[test]
fn sessions_are_listed_shown_followed_and_killed() {
    let world = World::new();
    let id = SessionId("s_1".into());
    let heard = Arc::new(parking_lot::Mutex::new(Vec::new()));
    let ear = Arc::clone(&heard);
    let info = SessionInfo {
        id: id.clone(),
        principal: principal("agent-7"),
        resource: "appdb".into(),
        protocol: "postgres".into(),
        client: "127.0.0.1:5".into(),
        application: None,
        started_at: world.fake.now(),
    };
    let stop = Box::new(move |reason| ear.lock().push(reason));
    let registration = world.store.live.register(info, stop).unwrap();
    let unsolicited = EventBody::Unsolicited { what: "notice".into(), bytes: 3 };
    let events =
        [event(&world, "s_1", 1, started(), b""), event(&world, "s_1", 2, unsolicited, b"abc")];
    world.store.journal.append(&events).unwrap();

    let list = world.get("/api/v1/sessions?live=true&principal=agent-7");
    assert_eq!(list.json[0]["id"], "s_1");
    assert_eq!(list.json[0]["live"], true);
    assert!(list.json[0]["ended_at"].is_null());
    assert_eq!(world.get("/api/v1/sessions?principal=other").json, json!([]));
    assert_eq!(world.get("/api/v1/sessions?since=2030-01-01T00:00:00Z").json, json!([]));
    assert_eq!(world.get("/api/v1/sessions/s_1").json["application"], "psql");
    assert_eq!(world.get("/api/v1/sessions/s_2").status, 404);

    let page = world.get("/api/v1/sessions/s_1/events?limit=1");
    assert_eq!(page.json["events"][0]["kind"], "session_started");
    assert_eq!(page.json["events"][0]["at"], "2001-09-09T01:46:40Z");
    assert_eq!(page.json["more"], true);
    let next = page.json["next"].as_str().unwrap();
    let page = world.get(&format!("/api/v1/sessions/s_1/events?after={next}&payload=true"));
    assert_eq!(page.json["events"][0]["payload"], "YWJj");
    assert_eq!((&page.json["more"], &page.json["live"]), (&json!(false), &json!(true)));

    let killed = world.post("/api/v1/sessions/s_1/kill", json!({ "reason": "odd" }));
    assert_eq!(killed.status, 200, "{}", killed.text);
    assert_eq!(*heard.lock(), ["killed"]);
    drop(registration);
    let again = world.post("/api/v1/sessions/s_1/kill", json!({}));
    assert_eq!((again.status, again.code()), (409, "not_live"));
    let read = "admin.token session.read s_1";
    assert_eq!(world.deeds(), [read, read, "admin.token session.kill s_1"]);
}

#[test]
fn a_person_sees_and_answers_what_is_theirs_to_answer_and_nothing_else() {
    let world = World::new();
    let dba = world.token("dora", "person", &["dba"]);
    let other = world.token("otto", "person", &["sales"]);
    let own = world.token("agent-7", "person", &["dba"]);
    let id = world.ask_for_approval("agent-7");
    let list = |token: &str| world.call("GET", "/api/v1/approvals", Some(token), None).json;
    assert_eq!(list(&dba)[0]["id"], id.as_str());
    assert_eq!(list(&other), json!([]));
    let approve = format!("/api/v1/approvals/{id}/approve");
    let yes = |token: &str| world.call("POST", &approve, Some(token), Some(json!({})));
    assert_eq!(yes(&other).status, 404, "what they may not answer does not exist for them");
    assert_eq!(yes(&own).code(), "own_request", "four eyes (R12)");
    assert_eq!(yes(&dba).json["status"], "approved");
    let again = yes(&dba);
    assert_eq!((again.status, again.code()), (409, "already_answered"));
    let answered = world.get("/api/v1/approvals?status=approved");
    assert_eq!(answered.json[0]["votes"][0]["by"], "dora");
    assert_eq!(world.get("/api/v1/approvals").json, json!([]));
}

#[test]
fn approvals_read_as_documented_and_a_no_has_a_reason() {
    let world = World::new();
    let id = world.ask_for_approval("agent-7");
    let one = world.get("/api/v1/approvals").json[0].clone();
    for key in
        ["id", "status", "principal", "resource", "operation", "rule", "requested_at", "expires_at"]
    {
        assert!(one[key].is_string(), "{key}: {one}");
    }
    assert_eq!(one["operation"], "select * from customers");
    assert_eq!(one["expires_at"], "2001-09-09T01:56:40Z");
    let deny = format!("/api/v1/approvals/{id}/deny");
    assert_eq!(world.post(&deny, json!({ "reason": " " })).code(), "invalid");
    assert_eq!(world.post(&deny, json!({ "reason": "ask first" })).json["status"], "denied");
    assert_eq!(world.deeds(), [format!("admin.token approval.deny {id}")]);
    let id = world.ask_for_approval("agent-7");
    let approve = format!("/api/v1/approvals/{id}/approve");
    assert_eq!(world.post(&approve, json!({ "for": "x" })).code(), "invalid");
    assert_eq!(world.post(&approve, json!({ "for": "31d" })).code(), "invalid");
    assert_eq!(world.post(&approve, json!({ "for": "30m", "session": true })).code(), "invalid");
    assert_eq!(world.post(&approve, json!({ "for": "30m" })).json["status"], "approved");
}

#[test]
fn a_failed_reload_lists_every_problem_with_its_place() {
    let world = World::new();
    let answer = world.post("/api/v1/reload", json!({}));
    assert_eq!((answer.status, answer.code()), (422, "configuration"));
    assert_eq!(answer.json["error"]["problems"][0]["line"], 3);
    assert_eq!(world.deeds().len(), 2, "asked for, refused");
}

#[test]
fn explain_names_the_nearest_resource() {
    let world = World::new();
    let ask = |on: &str| {
        world.post("/api/v1/explain", json!({ "as": "a", "on": on, "text": "select 1" }))
    };
    assert_eq!(ask("appdb").json["access"], true);
    assert!(ask("apdb").text.contains("did you mean"));
}

#[test]
fn the_admin_token_is_made_once_and_only_for_its_owner() {
    use std::os::unix::fs::PermissionsExt;
    let world = World::new();
    let token = crate::admin_token(&world.folder).unwrap();
    assert_eq!(crate::admin_token(&world.folder).unwrap().expose(), token.expose());
    assert_eq!(crate::read_admin_token(&world.folder).unwrap().expose(), token.expose());
    let path = world.folder.join("admin.token");
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    let error = crate::admin_token(&world.folder).unwrap_err().to_string();
    assert!(error.contains("chmod 600"), "{error}");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    std::fs::write(&path, "").unwrap();
    assert!(crate::admin_token(&world.folder).is_err(), "an empty file is no token");
}
