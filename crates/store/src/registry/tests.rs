//! What only a shared registry has: several gateways at once, one schema, one key, and changes that
//! nobody misses.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::{Duration, Instant};

use model::{Guess, Secret, Timestamp};
use parking_lot::Mutex;

use super::*;
use crate::approvals::{Approvals, Approver, NewApproval, Requested, Verdict};
use crate::data_dir::InstallationKey;
use crate::guesses::Guesses;
use crate::logins::{Code, Logins, LoginsError, NewLogin, Renewal, Take};
use crate::registry::feed::Feed;
use crate::taints::Taints;
use crate::testing::{Folder, Postgres, at, principal};
use crate::tokens::{NewToken, TokenError, Tokens};
use crate::usage::{Ledger, Usage};

const PATIENCE: Duration = Duration::from_secs(60);

fn key(byte: u8) -> InstallationKey {
    InstallationKey::from_bytes(&[byte; 32]).unwrap()
}

fn open(postgres: &Postgres, folder: &Folder, gateway: &str) -> (Arc<Shared>, Feed) {
    Shared::open(postgres.options(folder.path()), gateway.into(), &key(9)).unwrap()
}

fn registry(postgres: &Postgres, folder: &Folder, gateway: &str) -> Arc<Registry> {
    Registry::shared(open(postgres, folder, gateway).0)
}

/// Tells what it hears.
struct Ear {
    tell: Mutex<Sender<String>>,
}

impl Ear {
    fn new() -> (Arc<Self>, Receiver<String>) {
        let (tell, heard) = channel();
        (Arc::new(Self { tell: Mutex::new(tell) }), heard)
    }

    fn say(&self, words: String) {
        let _ = self.tell.lock().send(words);
    }
}

impl Hears for Ear {
    fn heard(&self, kind: Kind, id: &str, _: Timestamp) -> Result<(), StateError> {
        self.say(format!("{} {id}", kind.as_str()));
        Ok(())
    }

    fn heard_all(&self, _: Timestamp) -> Result<(), StateError> {
        self.say("all".to_owned());
        Ok(())
    }

    fn left_behind(&self, gateway: &str, _: Timestamp) -> Result<(), StateError> {
        self.say(format!("{gateway} is gone"));
        Ok(())
    }
}

fn change(registry: &Registry, id: &str) {
    let told = registry.write(Lane::Registry, |tx| {
        tx.changed(Kind::Token, id);
        Ok::<_, StateError>(())
    });
    told.unwrap();
}

#[test]
fn gateways_that_start_at_once_make_one_schema() {
    let postgres = Postgres::start();
    let folder = Folder::new();
    let options = postgres.options(folder.path());
    let starting: Vec<_> = (0..6)
        .map(|number| {
            let options = options.clone();
            thread::spawn(move || {
                Shared::open(options, format!("gw-{number}").into(), &key(9)).map(drop)
            })
        })
        .collect();
    for gateway in starting {
        gateway.join().unwrap().unwrap();
    }
    assert_eq!(postgres.sql(folder.path(), "SELECT count(*) FROM narrows.migrations"), "3");
    let looked = Looked::at(&options, Some(&key(9))).unwrap();
    assert_eq!((looked.gateways.len(), looked.same_key), (6, Some(true)));
    assert_eq!(Looked::at(&options, Some(&key(8))).unwrap().same_key, Some(false));
}

#[test]
fn an_edited_step_a_newer_schema_and_another_key_are_refused() {
    let postgres = Postgres::start();
    let folder = Folder::new();
    let again = |byte| {
        let opened = Shared::open(postgres.options(folder.path()), "gw-a".into(), &key(byte));
        opened.map(drop).unwrap_err().to_string()
    };
    drop(open(&postgres, &folder, "gw-a"));
    let said = again(8);
    assert!(said.contains("another key") && said.contains("keys.installation"), "{said}");
    postgres.sql(folder.path(), "UPDATE narrows.migrations SET checksum = 'x'");
    assert!(again(9).contains("step 1 (registry)"), "{}", again(9));
    postgres.sql(folder.path(), "INSERT INTO narrows.migrations VALUES (999, 'later', 'x')");
    assert!(again(9).contains("newer build"), "{}", again(9));
}

#[test]
fn what_changes_while_nobody_listens_is_heard_afterwards_in_order() {
    let postgres = Postgres::start();
    let folder = Folder::new();
    let (shared, feed) = open(&postgres, &folder, "gw-a");
    let (ear, heard) = Ear::new();
    let other = registry(&postgres, &folder, "gw-b");
    // Between the place in the list and following it.
    change(&other, "tk_early");
    shared.follow(feed, ear).unwrap();
    assert_eq!(heard.recv_timeout(PATIENCE).unwrap(), "token tk_early");
    for round in 0..20 {
        postgres.sql(
            folder.path(),
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
             WHERE application_name = 'narrows' AND query LIKE '%gateways%'
                OR query LIKE 'LISTEN%' AND pid <> pg_backend_pid()",
        );
        for number in 0..5 {
            change(&other, &format!("tk_{round}_{number}"));
        }
        for number in 0..5 {
            let next = heard.recv_timeout(PATIENCE).unwrap();
            assert_eq!(next, format!("token tk_{round}_{number}"));
        }
    }
    // What is not in the list any more is read as a whole.
    shared.leave();
    drop(shared);
    let (shared, feed) = open(&postgres, &folder, "gw-a");
    change(&other, "tk_forgotten");
    postgres.sql(
        folder.path(),
        "UPDATE narrows.facts SET number = 1000000 WHERE name = 'forgotten';
         DELETE FROM narrows.changes",
    );
    let (ear, heard) = Ear::new();
    shared.follow(feed, ear).unwrap();
    postgres.sql(
        folder.path(),
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
         WHERE application_name = 'narrows' AND pid <> pg_backend_pid()",
    );
    assert_eq!(heard.recv_timeout(PATIENCE).unwrap(), "all");
    // So it is where the database was put back from an older copy.
    postgres.sql(folder.path(), "UPDATE narrows.facts SET number = 0 WHERE name = 'forgotten'");
    postgres.sql(
        folder.path(),
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
         WHERE application_name = 'narrows' AND pid <> pg_backend_pid()",
    );
    assert_eq!(heard.recv_timeout(PATIENCE).unwrap(), "all");
}

#[test]
fn p1_a_use_that_gateways_race_for_is_had_once() {
    let postgres = Postgres::start();
    let folder = Folder::new();
    let open = |gateway: &str| {
        Arc::new(Approvals::open(registry(&postgres, &folder, gateway), at(0)).unwrap())
    };
    let (a, b) = (open("gw-a"), open("gw-b"));
    let alice =
        Approver { groups: vec!["dba".into()], ..Approver::from_principal(&principal("al")) };
    let yes = || Verdict::Approve { duration: None, session: false, reason: None };
    for round in 0..30 {
        let new = || NewApproval {
            digest: [round; 32],
            session: model::SessionId("s_one".into()),
            operation: model::OperationId(1),
            principal: principal("bot"),
            resource: "appdb".into(),
            text: "select 1".into(),
            parameters: Vec::new(),
            objects: Arc::default(),
            rules: vec![crate::ApprovalRule {
                rule: "r".into(),
                by: vec!["dba".into()],
                needs: 1,
                escalate: None,
            }],
            rows_seen: None,
            detections: Vec::new(),
            wait_until: at(120),
            expires_at: at(600),
            grant: crate::GrantScope::Once,
            rows_max: None,
        };
        // Asked at both at once: one request.
        let ask = |approvals: &Arc<Approvals>| {
            let (approvals, new) = (Arc::clone(approvals), new());
            thread::spawn(move || approvals.request(new, at(1)).unwrap())
        };
        let asked = [ask(&a), ask(&b)].map(|one| one.join().unwrap());
        let [Requested::Pending(id), Requested::Pending(same)] = &asked else {
            panic!("{asked:?}")
        };
        assert_eq!(id, same, "the request of one is joined by the other");
        // Answered at both at once: one vote.
        let answer = |approvals: &Arc<Approvals>| {
            let (approvals, alice, id) = (Arc::clone(approvals), alice.clone(), id.clone());
            let yes = yes();
            thread::spawn(move || approvals.answer(&id, &alice, yes, at(2)).is_ok())
        };
        let counted = [answer(&a), answer(&b)].map(|one| one.join().unwrap());
        assert_eq!(counted.iter().filter(|ok| **ok).count(), 1, "{counted:?}");
        // Used at both at once: one use.
        let used = [ask(&a), ask(&b), ask(&a), ask(&b)].map(|one| one.join().unwrap());
        let had = used.iter().filter(|one| matches!(one, Requested::Granted(_))).count();
        assert_eq!(had, 1, "round {round}: {used:?}");
    }
}

#[test]
fn r5_gateways_that_count_at_once_do_not_exceed_the_budget() {
    let postgres = Postgres::start();
    let folder = Folder::new();
    let counting: Vec<_> = ["gw-a", "gw-b", "gw-c"]
        .map(|gateway| {
            let registry = registry(&postgres, &folder, gateway);
            let guesses = Guesses::open(registry, &key(9), at(0)).unwrap();
            thread::spawn(move || {
                let count = |number: u32| {
                    let value = format!("{gateway}-{number}").into_bytes();
                    let guess = Guess { field: "ssn".into(), value: value.into() };
                    guesses.count("ann", "db", &[guess], 10, at(0)).unwrap().is_none()
                };
                (0..10).filter(|number| count(*number)).count()
            })
        })
        .into_iter()
        .collect();
    let counted: usize = counting.into_iter().map(|one| one.join().unwrap()).sum();
    assert_eq!(counted, 10);
}

#[test]
fn what_one_gateway_revokes_the_other_ends() {
    let postgres = Postgres::start();
    let folder = Folder::new();
    let a = Tokens::open(registry(&postgres, &folder, "gw-a"), &key(9)).unwrap();
    let (shared, feed) = open(&postgres, &folder, "gw-b");
    let b = Arc::new(Tokens::open(Registry::shared(Arc::clone(&shared)), &key(9)).unwrap());
    let (ended, hears) = channel();
    let ended = Mutex::new(ended);
    b.subscribe(Box::new(move |id| ended.lock().send(id.clone()).unwrap()));
    let (record, token) =
        a.create(NewToken { subject: "bot".to_owned(), ..NewToken::default() }, at(0)).unwrap();
    let ears = crate::ears::Ears {
        tokens: Arc::downgrade(&b),
        approvals: std::sync::Weak::new(),
        logins: std::sync::Weak::new(),
        taints: std::sync::Weak::new(),
        peers: std::sync::Weak::new(),
        usage: std::sync::Weak::new(),
    };
    shared.follow(feed, Arc::new(ears)).unwrap();
    while b.verify(token.expose(), at(1)).is_err() {
        thread::yield_now();
    }
    a.revoke(&record.id, at(2)).unwrap();
    assert_eq!(hears.recv_timeout(PATIENCE).unwrap(), record.id);
    assert!(b.verify(token.expose(), at(3)).is_err());
}

fn honour(logins: &Logins) {
    logins.honour("oidc:", [("oidc:x".to_owned(), String::new())]);
}

/// Goal: a sign-in is one at all gateways: what stands for it is known, its groups are those of
/// now, and its end is everybody's.
#[test]
fn a_sign_in_and_what_becomes_of_it_are_known_everywhere() {
    let postgres = Postgres::start();
    let folder = Folder::new();
    let a = Logins::open(registry(&postgres, &folder, "gw-a"), &key(9)).unwrap();
    honour(&a);
    let (shared, feed) = open(&postgres, &folder, "gw-b");
    let b = Arc::new(Logins::open(Registry::shared(Arc::clone(&shared)), &key(9)).unwrap());
    honour(&b);
    let (ended, hears) = channel();
    let ended = Mutex::new(ended);
    b.subscribe(Box::new(move |ids, why| ended.lock().send((ids.to_vec(), why)).unwrap()));
    let ears = crate::ears::Ears {
        tokens: std::sync::Weak::new(),
        approvals: std::sync::Weak::new(),
        logins: Arc::downgrade(&b),
        taints: std::sync::Weak::new(),
        peers: std::sync::Weak::new(),
        usage: std::sync::Weak::new(),
    };
    shared.follow(feed, Arc::new(ears)).unwrap();
    let new = |groups: &[&str]| NewLogin {
        method: "oidc:x".into(),
        believed_by: String::new(),
        subject: "ann".into(),
        name: None,
        groups: groups.iter().map(|group| Arc::from(*group)).collect(),
        issuer: "x".into(),
        ends_at: at(1000),
        renews: true,
        keep: Some(Secret::new("refresh".to_owned())),
    };
    let (login, cookie) = a.begin(new(&["dba"]), at(0)).unwrap();
    let (token_key, token) = a.token(&login.id, "laptop", at(0)).unwrap();
    let idle = Duration::from_secs(3600);
    while b.verify(token.expose(), at(1)).is_err() {
        thread::yield_now();
    }
    assert!(b.by_cookie(cookie.expose(), idle, at(1)).is_some());
    assert_eq!(b.kept(&login.id).unwrap().unwrap().expose(), "refresh");
    // One of them asks the provider.
    assert!(b.claim(&login, at(300)).unwrap());
    assert!(!a.claim(&login, at(300)).unwrap());
    let renewed = Renewal { groups: vec!["ops".into()], keep: None };
    assert!(a.renew(&login.id, renewed, at(300)).unwrap());
    let told = hears.recv_timeout(PATIENCE).unwrap();
    assert_eq!(told, (vec![token_key.id.clone()], "groups_changed"));
    assert_eq!(b.verify(token.expose(), at(301)).unwrap().groups, ["ops".into()]);
    // A code is had once, wherever.
    a.put_code(Code::Device, ("code", Some("SAID")), "for", at(400), at(301)).unwrap();
    assert_eq!(b.code(Code::Device, "code", Take::Once, at(302)).unwrap().as_deref(), Some("for"));
    assert_eq!(a.code(Code::Device, "code", Take::Once, at(302)).unwrap(), None);
    assert!(a.take_once("answer", at(400), at(301)).unwrap());
    assert!(!b.take_once("answer", at(400), at(302)).unwrap());
    a.end(&login.id, "signed_out").unwrap();
    assert_eq!(hears.recv_timeout(PATIENCE).unwrap(), (vec![token_key.id], "revoked"));
    assert!(b.verify(token.expose(), at(303)).is_err());
    assert!(b.by_cookie(cookie.expose(), idle, at(303)).is_none());
    // Nobody brings it back who had not heard of its end.
    let (second, _) = a.begin(new(&[]), at(303)).unwrap();
    a.write_behind_its_back(&second.id);
    let renewal = Renewal { groups: Vec::new(), keep: None };
    assert!(matches!(a.renew(&second.id, renewal, at(304)), Err(LoginsError::Ended)));
    assert!(matches!(a.token(&second.id, "late", at(304)), Err(LoginsError::Ended)));
}

/// Goal: a registry that cannot be written does not bring back what was ended meanwhile.
#[test]
fn p2_a_sign_in_that_ended_while_nothing_could_be_written_stays_ended() {
    let postgres = Postgres::start();
    let folder = Folder::new();
    let a = Logins::open(registry(&postgres, &folder, "gw-a"), &key(9)).unwrap();
    honour(&a);
    let begin = || {
        let new = NewLogin {
            method: "oidc:x".into(),
            believed_by: String::new(),
            subject: "ann".into(),
            name: None,
            groups: Vec::new(),
            issuer: "x".into(),
            ends_at: at(1000),
            renews: false,
            keep: None,
        };
        let (login, _) = a.begin(new, at(0)).unwrap();
        let (token_key, token) = a.token(&login.id, "laptop", at(0)).unwrap();
        (login, token_key, token)
    };
    let ((whole, _, first), (part, second_key, second)) = (begin(), begin());
    let sql = |text: &str| postgres.sql(folder.path(), text);
    sql("ALTER TABLE narrows.login_keys RENAME TO away");
    assert!(a.end(&whole.id, "signed_out").is_err());
    assert!(a.end_key(&second_key.id, "signed_out").is_err());
    sql("ALTER TABLE narrows.away RENAME TO login_keys");
    for hears in [true, false] {
        if hears {
            a.heard(&whole.id).unwrap();
            a.heard(&part.id).unwrap();
        } else {
            a.heard_all().unwrap();
        }
        assert!(a.verify(first.expose(), at(1)).is_err());
        assert!(a.verify(second.expose(), at(1)).is_err());
        assert!(a.login(&part.id).is_some(), "only a token of it ended");
    }
    assert_eq!(sql("SELECT count(*) FROM narrows.logins"), "2");
    a.sweep(at(2)).unwrap();
    assert_eq!(sql("SELECT count(*) FROM narrows.logins"), "1");
    // What is left stands for the browser of the other.
    assert_eq!(sql("SELECT string_agg(kind, ' ') FROM narrows.login_keys"), "cookie");
}

#[test]
fn r4_what_is_done_at_one_gateway_counts_at_the_other() {
    let postgres = Postgres::start();
    let folder = Folder::new();
    let a = Arc::new(Ledger::new(10));
    a.share(registry(&postgres, &folder, "gw-a"), at(0)).unwrap();
    let once = Usage { operations: 1, rows: 5, bytes: 50 };
    let day = Duration::from_secs(24 * 3600);
    let (shared, feed) = open(&postgres, &folder, "gw-b");
    let b = Arc::new(Ledger::new(10));
    b.share(Registry::shared(Arc::clone(&shared)), at(0)).unwrap();
    let ears = crate::ears::Ears {
        tokens: std::sync::Weak::new(),
        approvals: std::sync::Weak::new(),
        logins: std::sync::Weak::new(),
        taints: std::sync::Weak::new(),
        peers: std::sync::Weak::new(),
        usage: Arc::downgrade(&b),
    };
    shared.follow(feed, Arc::new(ears)).unwrap();
    b.add("ann", "db", once, at(1));
    for times in 1..4 {
        a.add("ann", "db", once, at(times));
        while b.principal("ann", "db", day, at(5)).rows < 5 + 5 * times {
            thread::yield_now();
        }
    }
    assert_eq!(b.principal("ann", "db", day, at(5)).rows, 20);
    assert_eq!(b.resource("db", day, at(5)).operations, 4);
    // One that starts later knows what the others did, and a forgotten list is read anew.
    let c = Arc::new(Ledger::new(10));
    c.share(registry(&postgres, &folder, "gw-c"), at(6)).unwrap();
    while c.principal("ann", "db", day, at(6)).rows < 20 {
        c.heard_all_usage(at(6)).unwrap();
    }
    assert_eq!(c.principal("ann", "db", day, at(6)).rows, 20);
}

fn until(fine: &dyn Fn() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !fine() {
        assert!(Instant::now() < end, "it was not heard");
        thread::yield_now();
    }
}

/// Told nothing.
fn deaf() -> crate::ears::Ears {
    crate::ears::Ears {
        tokens: std::sync::Weak::new(),
        approvals: std::sync::Weak::new(),
        logins: std::sync::Weak::new(),
        taints: std::sync::Weak::new(),
        peers: std::sync::Weak::new(),
        usage: std::sync::Weak::new(),
    }
}

/// Goal: whoever waits at one gateway is told what was answered at the other, and what was given
/// there counts here until it is taken back there.
#[test]
fn what_is_answered_given_and_taken_back_at_one_gateway_counts_at_the_other() {
    let postgres = Postgres::start();
    let folder = Folder::new();
    let follows = |gateway: &str| {
        let (shared, feed) = open(&postgres, &folder, gateway);
        let approvals = Approvals::open(Registry::shared(Arc::clone(&shared)), at(0)).unwrap();
        let approvals = Arc::new(approvals);
        let ears = crate::ears::Ears { approvals: Arc::downgrade(&approvals), ..deaf() };
        shared.follow(feed, Arc::new(ears)).unwrap();
        (shared, approvals)
    };
    let ((_one, a), (_other, b)) = (follows("gw-a"), follows("gw-b"));
    let dba = |name: &str| Approver {
        groups: vec!["dba".into()],
        ..Approver::from_principal(&principal(name))
    };
    let yes = || Verdict::Approve { duration: None, session: false, reason: None };
    let rule = |needs| crate::ApprovalRule {
        rule: "r".into(),
        by: vec!["dba".into()],
        needs,
        escalate: None,
    };
    let new = NewApproval {
        digest: [1; 32],
        session: model::SessionId("s_one".into()),
        operation: model::OperationId(1),
        principal: principal("bot"),
        resource: "appdb".into(),
        text: "select 1".into(),
        parameters: Vec::new(),
        objects: Arc::default(),
        rules: vec![rule(2)],
        rows_seen: None,
        detections: Vec::new(),
        wait_until: at(120),
        expires_at: at(600),
        grant: crate::GrantScope::Once,
        rows_max: None,
    };
    let Requested::Pending(id) = a.request(new, at(1)).unwrap() else { panic!("it waits") };
    let (tell, told) = channel();
    let waiter = crate::Waiter {
        session: model::SessionId("s_one".into()),
        wait_until: at(120),
        tell: Box::new(move |answer| tell.send(answer).unwrap()),
    };
    a.subscribe(&id, waiter).unwrap();
    until(&|| b.pending().len() == 1);
    b.answer(&id, &dba("ann"), yes(), at(2)).unwrap();
    until(&|| a.pending().first().is_some_and(|one| one.votes.len() == 1));
    b.answer(&id, &dba("bob"), yes(), at(2)).unwrap();
    assert!(matches!(told.recv_timeout(PATIENCE).unwrap(), crate::Answer::Approved(_)));
    let access = crate::NewAccess {
        principal: principal("bot"),
        resource: "appdb".into(),
        length: Duration::from_secs(3600),
        reason: "incident".into(),
        rule: rule(1),
        expires_at: at(600),
    };
    let asked = a.request_access(access, at(3)).unwrap();
    b.answer(&asked.id, &dba("ann"), yes(), at(4)).unwrap();
    until(&|| a.access(at(5)).len() == 1);
    let revocation = crate::Revocation { by: "ann".into(), at: at(6), reason: None };
    b.revoke(&asked.id, revocation, at(6)).unwrap();
    until(&|| a.access(at(7)).is_empty());
}

#[test]
fn what_one_gateway_denies_keeps_and_asks_the_other_hears() {
    let postgres = Postgres::start();
    let folder = Folder::new();
    let (one, feed) = open(&postgres, &folder, "gw-a");
    let a = Registry::shared(Arc::clone(&one));
    let (other, others) = open(&postgres, &folder, "gw-b");
    let b = Registry::shared(Arc::clone(&other));
    let tokens = Arc::new(Tokens::open(Arc::clone(&b), &key(9)).unwrap());
    let [mine, theirs] =
        [&a, &b].map(|at| Arc::new(Taints::open(Arc::clone(at), &key(9)).unwrap()));
    let asks = Peers::start(Arc::clone(&a), Arc::clone(&one)).unwrap();
    let answers = Peers::start(Arc::clone(&b), Arc::clone(&other)).unwrap();
    answers.answer_by(Box::new(|what, about| Some(format!("{what} {about}"))));
    asks.answer_by(Box::new(|_, _| Some("oneself".to_owned())));
    let (say, heard) = channel();
    for (taints, at) in [(&mine, "a"), (&theirs, "b")] {
        let say = Mutex::new(say.clone());
        taints.observe(Box::new(move |kept| {
            for one in kept {
                say.lock().send(format!("{at} {} {}", one.principal, one.source)).unwrap();
            }
        }));
    }
    tokens.subscribe(Box::new({
        let say = Mutex::new(say);
        move |id| say.lock().send(id.0.to_string()).unwrap()
    }));
    let (taints, peers) = (Arc::downgrade(&mine), Arc::downgrade(&asks));
    one.follow(feed, Arc::new(crate::ears::Ears { taints, peers, ..deaf() })).unwrap();
    let (taints, peers) = (Arc::downgrade(&theirs), Arc::downgrade(&answers));
    let of_tokens = Arc::downgrade(&tokens);
    let ears = crate::ears::Ears { tokens: of_tokens, taints, peers, ..deaf() };
    other.follow(others, Arc::new(ears)).unwrap();
    let denies = Tokens::open(Arc::clone(&a), &key(9)).unwrap();
    denies.deny(&model::TokenId("jwt_a".into()), "robot", at(0)).unwrap();
    assert_eq!(heard.recv_timeout(PATIENCE).unwrap(), "jwt_a");
    assert!(tokens.is_denied(&model::TokenId("jwt_a".into())));
    // Whoever kept it knows it; what is over is followed by nobody.
    let values = [("db:t.ssn".into(), b"print".to_vec())];
    mine.keep("ann", &values, at(0), at(0)).unwrap();
    mine.keep("bob", &values, at(9), at(0)).unwrap();
    theirs.keep("cleo", &values, at(9), at(0)).unwrap();
    let mut kept = [0, 1].map(|_| heard.recv_timeout(PATIENCE).unwrap());
    kept.sort();
    assert_eq!(kept, ["a cleo db:t.ssn", "b bob db:t.ssn"]);
    // One who left is not waited for, and nobody asks themselves.
    drop(registry(&postgres, &folder, "gw-c"));
    postgres.sql(
        folder.path(),
        "UPDATE narrows.gateways SET seen_at = now() - INTERVAL '1 hour' WHERE gateway = 'gw-c'",
    );
    let asked = asks.ask("who", "ann", PATIENCE, |_| false).unwrap();
    let said = vec![("gw-b".to_owned(), "who ann".to_owned())];
    assert_eq!(asked, Asked { answers: said, silent: Vec::new() });
    let back = answers.ask("who", "ann", PATIENCE, |_| false).unwrap();
    assert_eq!(back.answers, [("gw-a".to_owned(), "oneself".to_owned())]);
    let own = "SELECT count(*) FROM narrows.answers WHERE gateway = 'gw-a'";
    assert_eq!(postgres.sql(folder.path(), own), "1");
    assert!(heard.try_recv().is_err(), "nothing was told twice");
}

/// Goal: what cannot be known to be good is not believed, and what is taken away while nothing can
/// be kept ends here.
#[test]
fn p2_a_gateway_that_hears_nothing_believes_nobody_and_ends_what_it_can() {
    let postgres = Postgres::start();
    let folder = Folder::new();
    let options = SharedOptions { outlive: Duration::ZERO, ..postgres.options(folder.path()) };
    let (shared, _feed) = Shared::open(options, "gw-a".into(), &key(9)).unwrap();
    let registry = Registry::shared(Arc::clone(&shared));
    let tokens = Tokens::open(Arc::clone(&registry), &key(9)).unwrap();
    let logins = Logins::open(registry, &key(9)).unwrap();
    honour(&logins);
    let (record, token) = tokens
        .create(NewToken { subject: "bot".to_owned(), ..NewToken::default() }, at(0))
        .unwrap();
    let new = NewLogin {
        method: "oidc:x".into(),
        believed_by: String::new(),
        subject: "ann".into(),
        name: None,
        groups: Vec::new(),
        issuer: "x".into(),
        ends_at: at(1000),
        renews: false,
        keep: None,
    };
    let (login, cookie) = logins.begin(new, at(0)).unwrap();
    let (login_key, login_token) = logins.token(&login.id, "", at(0)).unwrap();
    let hour = Duration::from_secs(3600);
    let (tell, told) = channel();
    let tell = Mutex::new(tell);
    tokens.subscribe(Box::new(move |id| tell.lock().send(id.clone()).unwrap()));
    for down in [false, true, false] {
        match down {
            true => shared.lost("it is away"),
            false => shared.answers(),
        }
        let unsure = if down { Some(TokenError::Unsure) } else { None };
        assert_eq!(tokens.verify(token.expose(), at(1)).err(), unsure);
        assert_eq!(tokens.recheck(&record.id, at(1)).err(), unsure);
        assert_eq!(logins.verify(login_token.expose(), at(1)).err(), unsure);
        assert_eq!(logins.recheck(&login_key.id, at(1)).err(), unsure);
        assert_eq!(logins.by_cookie(cookie.expose(), hour, at(1)).is_none(), down);
    }
    shared.lost("it is away");
    let denied = model::TokenId("jwt_a".into());
    assert!(tokens.revoke(&record.id, at(2)).unwrap_err().to_string().contains("it is away"));
    assert!(tokens.deny(&denied, "robot", at(2)).unwrap_err().to_string().contains("it is away"));
    assert_eq!([told.try_recv().unwrap(), told.try_recv().unwrap()], [record.id, denied]);
}

/// Goal: what another transaction came in between is done over, so often and no more, and nothing
/// is left of the tries that failed.
#[test]
fn p8_work_is_done_over_where_another_transaction_came_in_between() {
    let postgres = Postgres::start();
    let folder = Folder::new();
    let registry = registry(&postgres, &folder, "gw-a");
    let tries = |failing: usize| {
        let mut rounds = 0;
        let done = registry.write(Lane::Registry, |tx| {
            rounds += 1;
            tx.changed(Kind::Token, "tk_again");
            tx.run("DELETE FROM facts WHERE name = 'none'", &[])?;
            if rounds <= failing {
                let fails = "DO $$ BEGIN RAISE EXCEPTION 'x' USING ERRCODE = '40001'; END $$";
                tx.run(fails, &[])?;
            }
            Ok::<_, StateError>(())
        });
        (rounds, done.is_ok())
    };
    assert_eq!(tries(1), (2, true));
    assert_eq!(tries(3), (4, true));
    assert_eq!(tries(9), (4, false));
    let told = "SELECT count(*) FROM narrows.changes WHERE id = 'tk_again'";
    assert_eq!(postgres.sql(folder.path(), told), "2");
}

fn new_login(renews: bool) -> NewLogin {
    NewLogin {
        method: "oidc:x".into(),
        believed_by: String::new(),
        subject: "ann".into(),
        name: None,
        groups: Vec::new(),
        issuer: "x".into(),
        ends_at: at(100_000),
        renews,
        keep: None,
    }
}

#[test]
fn p1_a_code_that_gateways_race_for_is_had_once_and_no_token_outlives_its_sign_in() {
    let postgres = Postgres::start();
    let folder = Folder::new();
    let [a, b] = ["gw-a", "gw-b"].map(|gateway| {
        let logins = Logins::open(registry(&postgres, &folder, gateway), &key(9)).unwrap();
        honour(&logins);
        Arc::new(logins)
    });
    let barrier = Arc::new(Barrier::new(2));
    let race = |one: &Arc<Logins>,
                work: &dyn Fn(Arc<Logins>) -> Box<dyn FnOnce() -> bool + Send>| {
        let (work, barrier) = (work(Arc::clone(one)), Arc::clone(&barrier));
        thread::spawn(move || {
            barrier.wait();
            work()
        })
    };
    for round in 0..60 {
        let code = format!("code-{round}");
        a.put_code(Code::Device, (&code, None), "for", at(60), at(0)).unwrap();
        let take = |logins: Arc<Logins>| -> Box<dyn FnOnce() -> bool + Send> {
            let code = code.clone();
            Box::new(move || logins.code(Code::Device, &code, Take::Once, at(1)).unwrap().is_some())
        };
        let had = [race(&a, &take), race(&b, &take)].map(|one| one.join().unwrap());
        assert_eq!(had.iter().filter(|had| **had).count(), 1, "round {round}");
        let answer = |logins: Arc<Logins>| -> Box<dyn FnOnce() -> bool + Send> {
            let name = code.clone();
            Box::new(move || logins.take_once(&name, at(60), at(1)).unwrap())
        };
        let had = [race(&a, &answer), race(&b, &answer)].map(|one| one.join().unwrap());
        assert_eq!(had.iter().filter(|had| **had).count(), 1, "round {round}");
        let id = a.begin(new_login(false), at(0)).unwrap().0.id.clone();
        b.heard(&id).unwrap();
        let end = |logins: Arc<Logins>| -> Box<dyn FnOnce() -> bool + Send> {
            let id = Arc::clone(&id);
            Box::new(move || logins.end(&id, "signed_out").is_ok())
        };
        let make = |logins: Arc<Logins>| -> Box<dyn FnOnce() -> bool + Send> {
            let id = Arc::clone(&id);
            Box::new(move || logins.token(&id, "", at(1)).is_ok())
        };
        let [ended, _] = [race(&a, &end), race(&b, &make)].map(|one| one.join().unwrap());
        assert!(ended);
    }
    let left = "SELECT count(*) FROM narrows.login_keys";
    assert_eq!(postgres.sql(folder.path(), left), "0");
}

#[test]
fn the_use_of_a_sign_in_and_the_end_of_its_parts_are_known_everywhere() {
    let postgres = Postgres::start();
    let folder = Folder::new();
    let a = Logins::open(registry(&postgres, &folder, "gw-a"), &key(9)).unwrap();
    let (shared, feed) = open(&postgres, &folder, "gw-b");
    let b = Arc::new(Logins::open(Registry::shared(Arc::clone(&shared)), &key(9)).unwrap());
    honour(&a);
    honour(&b);
    let ears = crate::ears::Ears { logins: Arc::downgrade(&b), ..deaf() };
    shared.follow(feed, Arc::new(ears)).unwrap();
    let hour = Duration::from_secs(3600);
    let (login, cookie) = a.begin(new_login(true), at(0)).unwrap();
    let (login_key, token) = a.token(&login.id, "laptop", at(0)).unwrap();
    until(&|| b.verify(token.expose(), at(1)).is_ok());
    assert!(b.by_cookie(cookie.expose(), hour, at(6_000)).is_none(), "silent since then");
    assert!(a.by_cookie(cookie.expose(), hour, at(3_000)).is_some());
    until(&|| b.by_cookie(cookie.expose(), hour, at(6_000)).is_some());
    a.end_key(&login_key.id, "signed_out").unwrap();
    until(&|| b.verify(token.expose(), at(1)).is_err());
    let known = || b.login(&login.id).unwrap();
    assert!(a.claim(&login, at(9)).unwrap());
    until(&|| known().asked_at == at(9));
    a.trouble(&login.id, "away", None).unwrap();
    until(&|| known().trouble.is_some());
}
