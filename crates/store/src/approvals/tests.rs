//! Tables over who may answer, what a yes covers, and how time decides.

use std::sync::mpsc::{Receiver, TryRecvError, channel};

use model::{OperationId, Principal};

use super::*;
use crate::testing::{Folder, at, over_both, principal, registry};

struct Desk {
    folder: Folder,
    approvals: Approvals,
}

impl Desk {
    fn new() -> Self {
        let folder = Folder::new();
        let approvals = open(&folder, at(0));
        Self { folder, approvals }
    }

    fn restart(&mut self, now: Timestamp) {
        self.approvals = open(&self.folder, now);
    }

    fn ask(&self, new: NewApproval, now: Timestamp) -> ApprovalId {
        match self.approvals.request(new, now).unwrap() {
            Requested::Pending(id) => id,
            granted @ Requested::Granted(_) => panic!("{granted:?}"),
        }
    }

    fn is_granted(&self, new: NewApproval, now: Timestamp) -> bool {
        matches!(self.approvals.request(new, now).unwrap(), Requested::Granted(_))
    }

    fn wait(&self, id: &ApprovalId, session: &str, until: u64) -> (WaiterId, Receiver<Answer>) {
        let (tell, heard) = channel();
        let waiter = Waiter {
            session: SessionId(session.into()),
            wait_until: at(until),
            tell: Box::new(move |answer| tell.send(answer).unwrap()),
        };
        (self.approvals.subscribe(id, waiter).unwrap(), heard)
    }

    fn yes(&self, id: &ApprovalId, by: &Approver, now: u64) -> Result<Status, AnswerError> {
        self.approvals.answer(id, by, approve(None, false), at(now))
    }
}

fn open(folder: &Folder, now: Timestamp) -> Approvals {
    Approvals::open(registry(folder), now).unwrap()
}

fn approve(seconds: Option<u64>, session: bool) -> Verdict {
    Verdict::Approve { duration: seconds.map(Duration::from_secs), session, reason: None }
}

fn rule(name: &str, by: &[&str], needs: u32) -> ApprovalRule {
    let by = by.iter().map(|group| Arc::from(*group)).collect();
    ApprovalRule { rule: name.into(), by, needs, escalate: None }
}

/// Asked at 0, waits until 120, can be answered until 600.
fn new(digest: u8) -> NewApproval {
    NewApproval {
        digest: [digest; 32],
        session: SessionId("s_one".into()),
        operation: OperationId(1),
        principal: principal("bot"),
        resource: "appdb".into(),
        text: "select * from customers".into(),
        parameters: Vec::new(),
        objects: Arc::default(),
        rules: vec![rule("big-reads", &["dba"], 1)],
        rows_seen: None,
        detections: Vec::new(),
        wait_until: at(120),
        expires_at: at(600),
        grant: GrantScope::Once,
        rows_max: None,
    }
}

fn in_session(session: &str) -> NewApproval {
    NewApproval { session: SessionId(session.into()), ..new(1) }
}

fn dba(name: &str) -> Approver {
    Approver::from_principal(&Principal { groups: vec!["dba".into()], ..principal(name) })
}

fn access(subject: &str, seconds: u64) -> NewAccess {
    NewAccess {
        principal: principal(subject),
        resource: "appdb".into(),
        length: Duration::from_secs(seconds),
        reason: "incident 4711".into(),
        rule: rule("request access to appdb", &["dba"], 1),
        expires_at: at(600),
    }
}

fn revocation(now: u64) -> Revocation {
    Revocation { by: "carol".into(), at: at(now), reason: None }
}

over_both! {
    fn a_yes_wakes_the_waiting_session_and_is_used_up_by_it() {
        let desk = Desk::new();
        let id = desk.ask(new(1), at(0));
        assert!(id.0.starts_with("ap_") && id.0.len() == 13, "{id}");
        let (_, heard) = desk.wait(&id, "s_one", 120);
        assert_eq!(desk.yes(&id, &dba("alice"), 5).unwrap(), Status::Approved);
        let Ok(Answer::Approved(granted)) = heard.try_recv() else { panic!("not approved") };
        assert_eq!(granted.approval, id);
        assert_eq!(granted.approvers, vec!["alice".into()]);
        assert_eq!(granted.rules, vec!["big-reads".into()]);
        assert!(!desk.is_granted(new(1), at(6)), "the one execution was the waiter's");
    }

    fn a_no_wakes_the_waiting_session_with_the_reason() {
        let desk = Desk::new();
        let id = desk.ask(new(1), at(0));
        let (_, heard) = desk.wait(&id, "s_one", 120);
        let no = Verdict::Deny { reason: Some("not\ntoday".to_owned()) };
        assert_eq!(desk.approvals.answer(&id, &dba("alice"), no, at(5)).unwrap(), Status::Denied);
        let told = Answer::Denied { by: "alice".into(), reason: Some("nottoday".into()) };
        assert_eq!(heard.try_recv(), Ok(told));
        assert!(!desk.is_granted(new(1), at(6)));
    }

    fn nobody_behind_a_request_may_answer_it() {
        let asked = Principal {
            on_behalf_of: Some("boss".into()),
            minted_by: Some("Minter".into()),
            ..principal("bot")
        };
        let behind = |name: &str| Approver { behind: vec![name.into()], ..dba("straw-man") };
        let table = [
            (dba("bot"), true),
            (dba("BOT"), true),
            (dba("boss"), true),
            (dba("minter"), true),
            (behind("bot"), true),
            (behind("minter"), true),
            (dba("alice"), false),
            (behind("alice"), false),
            (Approver::admin_token(), false),
        ];
        for (approver, own) in table {
            let desk = Desk::new();
            let id = desk.ask(NewApproval { principal: asked.clone(), ..new(1) }, at(0));
            let no = Verdict::Deny { reason: None };
            for verdict in [approve(None, false), no] {
                let answer = desk.approvals.answer(&id, &approver, verdict, at(1));
                let refused = matches!(answer, Err(AnswerError::OwnRequest { .. }));
                assert_eq!(refused, own, "{approver:?}: {answer:?}");
                if !own {
                    break;
                }
            }
        }
    }

    fn the_admin_token_answers_for_what_it_minted_and_counts_as_one_person() {
        let desk = Desk::new();
        let minted = Principal { minted_by: Some("admin.token".into()), ..principal("bot") };
        let rules = vec![rule("two", &["dba"], 2)];
        let id = desk.ask(NewApproval { principal: minted, rules, ..new(1) }, at(0));
        let admin = Approver::admin_token();
        assert_eq!(desk.yes(&id, &admin, 1).unwrap(), Status::Pending);
        assert!(matches!(desk.yes(&id, &admin, 2), Err(AnswerError::AlreadyAnswered(_))));
        // Both tokens were minted with the admin token: that ties nobody to anybody.
        let alice = Approver { behind: vec!["admin.token".into()], ..dba("alice") };
        assert_eq!(desk.yes(&id, &alice, 3).unwrap(), Status::Approved);
        let votes = desk.approvals.approval(&id).unwrap().unwrap().approvers();
        assert_eq!(votes, vec!["admin.token".into(), "alice".into()]);
    }

    fn only_members_of_the_named_groups_answer() {
        let desk = Desk::new();
        let id = desk.ask(new(1), at(0));
        let outsider = Approver::from_principal(&principal("mallory"));
        let error = desk.yes(&id, &outsider, 1).unwrap_err();
        let AnswerError::NotAnApprover { needs } = &error else { panic!("{error}") };
        assert_eq!(**needs, ["dba".into()]);
        assert!(error.to_string().contains("dba"), "{error}");
        let no = Verdict::Deny { reason: None };
        let error = desk.approvals.answer(&id, &outsider, no, at(1)).unwrap_err();
        assert!(matches!(error, AnswerError::NotAnApprover { .. }));
    }

    fn every_rule_needs_its_own_number_of_different_people() {
        let both = Approver { groups: vec!["dba".into(), "security".into()], ..dba("carol") };
        let security = Approver { groups: vec!["security".into()], ..dba("dave") };
        let rules = vec![rule("a", &["dba"], 2), rule("b", &["security"], 1)];
        let table: [(&[&Approver], Status); 5] = [
            (&[&dba("alice"), &dba("bob")], Status::Pending),
            (&[&dba("alice"), &both], Status::Approved),
            (&[&both], Status::Pending),
            (&[&security, &dba("alice")], Status::Pending),
            (&[&security, &dba("alice"), &dba("bob")], Status::Approved),
        ];
        for (approvers, status) in table {
            let desk = Desk::new();
            let id = desk.ask(NewApproval { rules: rules.clone(), ..new(1) }, at(0));
            let last = approvers.iter().map(|approver| desk.yes(&id, approver, 1).unwrap()).last();
            assert_eq!(last, Some(status), "{approvers:?}");
        }
    }

    fn one_no_outweighs_a_yes() {
        let desk = Desk::new();
        let id = desk.ask(NewApproval { rules: vec![rule("a", &["dba"], 2)], ..new(1) }, at(0));
        desk.yes(&id, &dba("alice"), 1).unwrap();
        let no = Verdict::Deny { reason: None };
        assert_eq!(desk.approvals.answer(&id, &dba("bob"), no, at(2)).unwrap(), Status::Denied);
        let error = desk.yes(&id, &dba("carol"), 3).unwrap_err();
        assert!(matches!(error, AnswerError::AlreadyAnswered(Status::Denied)));
        let unknown = ApprovalId("ap_nothing".into());
        assert!(matches!(desk.yes(&unknown, &dba("bob"), 3), Err(AnswerError::Unknown(_))));
    }

    fn r11_a_late_yes_gives_exactly_one_repeat_of_the_same_operation() {
        let desk = Desk::new();
        let id = desk.ask(new(1), at(0));
        let (waiter, heard) = desk.wait(&id, "s_one", 120);
        assert!(desk.approvals.unsubscribe(&id, waiter), "it was still waiting");
        desk.yes(&id, &dba("alice"), 300).unwrap();
        assert_eq!(heard.try_recv(), Err(TryRecvError::Disconnected), "it had stopped waiting");
        assert!(!desk.is_granted(new(2), at(301)), "another operation");
        let stranger = NewApproval { principal: principal("eve"), ..new(1) };
        assert!(!desk.is_granted(stranger, at(301)), "another principal");
        let elsewhere = NewApproval { resource: "other".into(), ..new(1) };
        assert!(!desk.is_granted(elsewhere, at(301)), "another resource");
        assert!(desk.is_granted(in_session("s_two"), at(302)));
        assert!(!desk.is_granted(new(1), at(303)), "only once");
    }

    fn a_wait_is_over_at_its_very_end() {
        for (now, on_time) in [(Timestamp(at(120).0 - 1), true), (at(120), false)] {
            let desk = Desk::new();
            let id = desk.ask(new(1), at(0));
            let (_, heard) = desk.wait(&id, "s_one", 120);
            desk.approvals.answer(&id, &dba("alice"), approve(None, false), now).unwrap();
            match heard.try_recv().unwrap() {
                Answer::Approved(_) => assert!(on_time),
                answer => assert_eq!((answer, on_time), (Answer::Late, false)),
            }
            assert_eq!(desk.is_granted(new(1), at(121)), !on_time, "a late yes leaves the repeat");
        }
    }

    fn a_request_can_be_answered_until_just_before_it_expires() {
        let just_before = Timestamp(at(600).0 - 1);
        let desk = Desk::new();
        let id = desk.ask(new(1), at(0));
        assert_eq!(desk.approvals.expire(just_before).unwrap(), 0);
        let yes = desk.approvals.answer(&id, &dba("alice"), approve(None, false), just_before);
        assert_eq!(yes.unwrap(), Status::Approved);

        let id = desk.ask(new(2), at(0));
        let (_, heard) = desk.wait(&id, "s_one", 999);
        assert!(matches!(desk.yes(&id, &dba("alice"), 600), Err(AnswerError::Expired)));
        assert_eq!(heard.try_recv(), Ok(Answer::Expired));
        assert!(matches!(desk.yes(&id, &dba("alice"), 601), Err(AnswerError::Expired)));
        assert_eq!(desk.approvals.approval(&id).unwrap().unwrap().status, Status::Expired);
        assert!(desk.approvals.pending().is_empty());
    }

    fn identical_requests_are_joined_and_one_yes_runs_one_of_them() {
        let desk = Desk::new();
        let id = desk.ask(in_session("s_one"), at(0));
        let (_, first) = desk.wait(&id, "s_one", 120);
        let again = NewApproval { wait_until: at(130), ..in_session("s_two") };
        assert_eq!(desk.ask(again, at(10)), id);
        let (_, second) = desk.wait(&id, "s_two", 130);
        assert_eq!(desk.approvals.pending().len(), 1);
        assert_eq!(desk.approvals.pending()[0].wait_until, at(130));
        desk.yes(&id, &dba("alice"), 20).unwrap();
        assert!(matches!(first.try_recv(), Ok(Answer::Approved(_))));
        assert_eq!(second.try_recv(), Ok(Answer::Spent));
    }

    fn requests_that_differ_are_not_joined() {
        let desk = Desk::new();
        let id = desk.ask(NewApproval { rows_seen: Some(100), ..new(1) }, at(0));
        let table = [
            ("digest", new(2)),
            ("resource", NewApproval { resource: "other".into(), ..new(1) }),
            ("principal", NewApproval { principal: principal("eve"), ..new(1) }),
            ("rules", NewApproval { rules: vec![rule("other", &["dba"], 1)], ..new(1) }),
            ("more rows than a yes would cover", NewApproval { rows_seen: Some(201), ..new(1) }),
        ];
        for (what, other) in table {
            assert_ne!(desk.ask(other, at(1)), id, "{what}");
        }
        assert_eq!(desk.ask(NewApproval { rows_seen: Some(200), ..new(1) }, at(1)), id);
    }

    fn a_grant_for_a_time_covers_repeats_until_its_very_end() {
        let desk = Desk::new();
        let id = desk.ask(new(1), at(0));
        let (_, heard) = desk.wait(&id, "s_one", 120);
        desk.approvals.answer(&id, &dba("alice"), approve(Some(60), false), at(10)).unwrap();
        assert!(matches!(heard.try_recv(), Ok(Answer::Approved(_))));
        assert!(desk.is_granted(in_session("s_two"), at(11)));
        assert!(desk.is_granted(new(1), Timestamp(at(70).0 - 1)));
        assert!(!desk.is_granted(new(1), at(70)));
    }

    fn a_grant_for_a_session_covers_that_session_until_it_ends() {
        let desk = Desk::new();
        let id = desk.ask(in_session("s_one"), at(0));
        let (_, heard) = desk.wait(&id, "s_one", 120);
        desk.approvals.answer(&id, &dba("alice"), approve(None, true), at(10)).unwrap();
        assert!(matches!(heard.try_recv(), Ok(Answer::Approved(_))));
        assert!(desk.is_granted(in_session("s_one"), at(9_000)));
        assert!(!desk.is_granted(in_session("s_two"), at(11)));
        desk.approvals.end_session(&SessionId("s_one".into())).unwrap();
        assert!(!desk.is_granted(in_session("s_one"), at(12)));
    }

    fn a_late_yes_for_a_session_covers_the_session_that_repeats_first() {
        let desk = Desk::new();
        let id = desk.ask(in_session("s_one"), at(0));
        desk.approvals.answer(&id, &dba("alice"), approve(None, true), at(300)).unwrap();
        assert!(desk.is_granted(in_session("s_two"), at(301)));
        assert!(desk.is_granted(in_session("s_two"), at(302)));
        assert!(!desk.is_granted(in_session("s_one"), at(303)));
    }

    fn where_approvers_differ_the_narrower_yes_holds() {
        let two = || NewApproval { rules: vec![rule("a", &["dba"], 2)], ..new(1) };
        let desk = Desk::new();
        let id = desk.ask(two(), at(0));
        desk.approvals.answer(&id, &dba("alice"), approve(Some(3600), false), at(1)).unwrap();
        desk.approvals.answer(&id, &dba("bob"), approve(Some(60), false), at(2)).unwrap();
        assert!(desk.is_granted(two(), at(61)));
        assert!(!desk.is_granted(two(), at(62)));

        let desk = Desk::new();
        let id = desk.ask(two(), at(0));
        desk.approvals.answer(&id, &dba("alice"), approve(Some(3600), false), at(1)).unwrap();
        desk.approvals.answer(&id, &dba("bob"), approve(None, false), at(2)).unwrap();
        assert!(desk.is_granted(two(), at(3)));
        assert!(!desk.is_granted(two(), at(4)));
    }

    fn r11_a_repeat_past_the_rows_the_approver_saw_twice_asks_again() {
        let desk = Desk::new();
        let id = desk.ask(NewApproval { rows_seen: Some(100), ..new(1) }, at(0));
        desk.approvals.answer(&id, &dba("alice"), approve(Some(600), false), at(1)).unwrap();
        let Requested::Granted(granted) = desk.approvals.request(new(1), at(2)).unwrap() else {
            panic!("not granted")
        };
        assert_eq!(granted.rows_max, Some(200));
        assert!(desk.is_granted(NewApproval { rows_seen: Some(200), ..new(1) }, at(3)));
        assert!(!desk.is_granted(NewApproval { rows_seen: Some(201), ..new(1) }, at(4)));

        let stated = NewApproval { rows_seen: Some(100), rows_max: Some(150), ..new(3) };
        let id = desk.ask(stated, at(0));
        assert_eq!(desk.approvals.approval(&id).unwrap().unwrap().rows_max, Some(150));
    }

    fn a_rule_added_or_tightened_since_the_yes_asks_again() {
        let desk = Desk::new();
        let id = desk.ask(new(1), at(0));
        desk.approvals.answer(&id, &dba("alice"), approve(Some(600), false), at(1)).unwrap();
        let old = rule("big-reads", &["dba"], 1);
        let tables = [
            vec![old.clone(), rule("new", &["dba"], 1)],
            vec![rule("big-reads", &["dba"], 2)],
            vec![rule("big-reads", &["security"], 1)],
        ];
        for rules in tables {
            assert!(!desk.is_granted(NewApproval { rules, ..new(1) }, at(2)));
        }
        assert!(desk.is_granted(NewApproval { rules: vec![old], ..new(1) }, at(2)));
    }

    fn what_waits_and_what_is_granted_outlives_a_restart() {
        let mut desk = Desk::new();
        let waiting = desk.ask(new(1), at(0));
        let timed = desk.ask(new(2), at(0));
        desk.approvals.answer(&timed, &dba("alice"), approve(Some(500), false), at(1)).unwrap();
        let once = desk.ask(new(3), at(0));
        desk.yes(&once, &dba("alice"), 1).unwrap();
        let session = desk.ask(new(4), at(0));
        let (_, _heard) = desk.wait(&session, "s_one", 120);
        desk.approvals.answer(&session, &dba("alice"), approve(None, true), at(1)).unwrap();
        let over = desk.ask(NewApproval { expires_at: at(30), ..new(5) }, at(0));
        desk.restart(at(50));
        assert!(desk.is_granted(new(2), at(51)));
        assert!(desk.is_granted(new(3), at(51)));
        desk.restart(at(52));
        assert!(!desk.is_granted(new(3), at(53)), "used before the restart");
        assert!(!desk.is_granted(new(4), at(53)), "its session ended with the process");
        assert_eq!(desk.approvals.approval(&over).unwrap().unwrap().status, Status::Expired);
        assert_eq!(desk.ask(new(1), at(54)), waiting, "it still waits");
        desk.yes(&waiting, &dba("alice"), 55).unwrap();
        assert!(desk.is_granted(new(1), at(56)));
    }

    fn a_withdrawn_request_tells_its_waiters_and_cannot_be_answered() {
        let desk = Desk::new();
        let id = desk.ask(new(1), at(0));
        let (waiter, heard) = desk.wait(&id, "s_one", 120);
        assert!(desk.approvals.withdraw(&id, at(5)).unwrap());
        assert_eq!(heard.try_recv(), Ok(Answer::Withdrawn));
        assert!(!desk.approvals.unsubscribe(&id, waiter), "it was told");
        assert!(!desk.approvals.withdraw(&id, at(5)).unwrap());
        let error = desk.yes(&id, &dba("alice"), 1).unwrap_err();
        assert!(matches!(error, AnswerError::AlreadyAnswered(Status::Withdrawn)));
    }

    fn observers_hear_of_every_change_in_order() {
        let desk = Desk::new();
        let (tell, heard) = channel();
        let tell = Mutex::new(tell);
        desk.approvals.observe(Box::new(move |approval| {
            tell.lock().send((approval.status, approval.votes.len())).unwrap();
        }));
        let id = desk.ask(NewApproval { rules: vec![rule("a", &["dba"], 2)], ..new(1) }, at(0));
        desk.yes(&id, &dba("alice"), 1).unwrap();
        desk.yes(&id, &dba("bob"), 2).unwrap();
        let heard: Vec<_> = heard.try_iter().collect();
        assert_eq!(heard, [(Status::Pending, 0), (Status::Pending, 1), (Status::Approved, 2)]);
        assert_eq!(desk.approvals.recent(10).unwrap()[0].id, id);
    }

    fn p8_what_waits_is_bounded_in_number() {
        let mut inner = Inner::default();
        for number in 0..limit::APPROVALS_PENDING_MAX {
            let mut approval = new(1).into_approval(format!("ap_{number}"), at(0));
            approval.principal.subject = format!("bot-{}", number / 100).into();
            inner.make_sure_there_is_room(&approval).unwrap();
            inner.insert(approval);
        }
        let one_more = new(1).into_approval("ap_more".to_owned(), at(0));
        assert!(matches!(inner.make_sure_there_is_room(&one_more), Err(ApprovalError::Full(_))));
    }

    fn p8_nobody_takes_the_room_of_all() {
        let mut inner = Inner::default();
        for number in 0..limit::APPROVALS_PENDING_PER_SUBJECT_MAX {
            inner.insert(new(1).into_approval(format!("ap_{number}"), at(0)));
        }
        let mut one_more = new(1).into_approval("ap_more".to_owned(), at(0));
        assert!(matches!(inner.make_sure_there_is_room(&one_more), Err(ApprovalError::Full(_))));
        one_more.principal.subject = "another".into();
        inner.make_sure_there_is_room(&one_more).unwrap();
    }

    fn p8_what_waits_is_bounded_in_bytes() {
        let overhead = new(1).into_approval("ap_0".to_owned(), at(0)).weight() - new(1).text.len();
        let quarter = limit::APPROVALS_BYTES_MAX / 4 - overhead;
        let big = |number: u64, bytes: usize| {
            let text = "x".repeat(bytes).into();
            NewApproval { text, ..new(1) }.into_approval(format!("ap_{number}"), at(0))
        };
        let mut inner = Inner::default();
        (0..3).for_each(|number| inner.insert(big(number, quarter)));
        let over = big(4, quarter + 1);
        assert!(matches!(inner.make_sure_there_is_room(&over), Err(ApprovalError::Full(_))));
        inner.make_sure_there_is_room(&big(4, quarter)).unwrap();
        inner.remove(&ApprovalId("ap_0".into()));
        inner.make_sure_there_is_room(&over).unwrap();
    }

    fn p8_waiters_of_one_request_are_bounded() {
        let desk = Desk::new();
        let id = desk.ask(new(1), at(0));
        let waiters: Vec<_> =
            (0..limit::APPROVAL_WAITERS_MAX).map(|_| desk.wait(&id, "s_one", 120)).collect();
        let waiter = {
            let session = SessionId("s_one".into());
            Waiter { session, wait_until: at(120), tell: Box::new(|_| ()) }
        };
        assert!(matches!(desk.approvals.subscribe(&id, waiter), Err(ApprovalError::Full(_))));
        drop(waiters);
    }

    fn two_sessions_racing_for_one_repeat_get_it_once() {
        let desk = Desk::new();
        let id = desk.ask(new(1), at(0));
        desk.yes(&id, &dba("alice"), 300).unwrap();
        let granted: usize = std::thread::scope(|scope| {
            let ask = || usize::from(desk.is_granted(new(1), at(301)));
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(ask)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert_eq!(granted, 1);
    }

    fn access_is_in_force_from_the_yes_to_its_end_across_restarts() {
        let mut desk = Desk::new();
        let asked = desk.approvals.request_access(access("bot", 3600), at(0)).unwrap();
        assert_eq!(&*asked.text, "access for 1h: incident 4711");
        assert_eq!(desk.approvals.request_access(access("bot", 3600), at(1)).unwrap().id, asked.id);
        let other = desk.approvals.request_access(access("bot", 60), at(1));
        assert!(matches!(other, Err(ApprovalError::Waits(id)) if id == asked.id));
        assert!(desk.approvals.access(at(1)).is_empty(), "not before the yes");
        desk.restart(at(2));
        let (tell, heard) = channel();
        desk.approvals.observe_access(Box::new(move || tell.send(()).unwrap()));
        desk.yes(&asked.id, &dba("alice"), 10).unwrap();
        assert_eq!(heard.try_recv(), Ok(()), "told before the answer returns");
        let [given] = desk.approvals.access(at(10)).try_into().unwrap();
        assert_eq!((&*given.principal.subject, given.until), ("bot", at(3610)));
        assert!(!desk.is_granted(new(1), at(11)), "it covers no operation");
        desk.restart(at(20));
        assert_eq!(desk.approvals.access(at(3609)).len(), 1);
        assert!(desk.approvals.access(at(3610)).is_empty());
        let (tell, heard) = channel();
        desk.approvals.observe_access(Box::new(move || tell.send(()).unwrap()));
        desk.approvals.expire(at(3610)).unwrap();
        assert_eq!(heard.try_recv(), Ok(()), "its end is told");
    }

    fn an_answer_that_does_not_count_leaves_those_who_wait_where_they_are() {
        let desk = Desk::new();
        let id = desk.ask(new(1), at(0));
        let (_, heard) = desk.wait(&id, "s_one", 120);
        let stranger = Approver { groups: Vec::new(), ..dba("eve") };
        assert!(desk.yes(&id, &stranger, 1).is_err());
        assert_eq!(desk.yes(&id, &dba("ann"), 2).unwrap(), Status::Approved);
        assert!(matches!(heard.try_recv(), Ok(Answer::Approved(_))));
    }

    fn p1_votes_at_two_gateways_count_together_and_each_use_once() {
        let desk = Desk::new();
        let other = open(&desk.folder, at(0));
        // Of somebody else, and not used yet: nobody takes it who is not meant.
        let another = desk.ask(NewApproval { principal: principal("robot"), ..new(1) }, at(0));
        desk.yes(&another, &dba("ann"), 0).unwrap();
        for session in [false, true] {
            let rules = vec![rule("big-reads", &["dba"], 2)];
            let id = desk.ask(NewApproval { rules, ..new(1) }, at(0));
            other.heard(&id, at(1)).unwrap();
            let (_, first) = desk.wait(&id, "s_one", 120);
            let (_, second) = desk.wait(&id, "s_two", 120);
            let (_, late) = desk.wait(&id, "s_one", 5);
            assert_eq!(desk.yes(&id, &dba("ann"), 2).unwrap(), Status::Pending);
            let yes = |by: &str| other.answer(&id, &dba(by), approve(None, session), at(3));
            assert!(matches!(yes("Ann"), Err(AnswerError::AlreadyAnswered(Status::Pending))));
            assert_eq!(yes("bob").unwrap(), Status::Approved);
            desk.approvals.heard(&id, at(5)).unwrap();
            assert!(matches!(first.try_recv(), Ok(Answer::Approved(_))), "{session}");
            assert_eq!(second.try_recv(), Ok(Answer::Spent), "{session}");
            assert_eq!(late.try_recv(), Ok(Answer::Late), "{session}");
            desk.approvals.end_session(&SessionId("s_one".into())).unwrap();
        }
    }

    fn p1_a_yes_for_one_session_is_for_no_other_that_waits_at_another_gateway() {
        let desk = Desk::new();
        let other = open(&desk.folder, at(0));
        let id = desk.ask(new(1), at(0));
        let (_, first) = desk.wait(&id, "s_one", 120);
        let (_, second) = desk.wait(&id, "s_two", 120);
        other.answer(&id, &dba("ann"), approve(None, true), at(1)).unwrap();
        desk.approvals.heard(&id, at(2)).unwrap();
        assert!(matches!(first.try_recv(), Ok(Answer::Approved(_))));
        assert_eq!(second.try_recv(), Ok(Answer::Spent));
        assert!(desk.is_granted(in_session("s_one"), at(3)));
    }

    fn what_another_gateway_answered_is_not_taken_back() {
        let desk = Desk::new();
        let other = open(&desk.folder, at(0));
        let id = desk.ask(new(1), at(0));
        let (_, heard) = desk.wait(&id, "s_one", 120);
        other.answer(&id, &dba("ann"), approve(None, false), at(1)).unwrap();
        assert!(!desk.approvals.withdraw(&id, at(2)).unwrap());
        assert!(matches!(heard.try_recv(), Ok(Answer::Approved(_))));
        let kept = desk.approvals.approval(&id).unwrap().unwrap();
        assert_eq!(kept.status, Status::Approved);
        // Nor is one answered that is over and that nobody has closed.
        let id = desk.ask(new(2), at(10));
        let late = other.answer(&id, &dba("ann"), approve(None, false), at(600)).unwrap_err();
        assert!(matches!(late, AnswerError::Expired), "{late}");
    }

    fn p8_so_many_grants_are_in_force_and_no_more() {
        let desk = Desk::new();
        let first = desk.ask(new(1), at(0));
        desk.yes(&first, &dba("ann"), 1).unwrap();
        let id = desk.ask(new(2), at(1));
        let mut inner = desk.approvals.inner.lock();
        let grant = inner.grants.values().next().unwrap().clone();
        for number in 1..limit::GRANTS_MAX {
            inner.grants.insert(number.to_string().into(), grant.clone());
        }
        drop(inner);
        assert!(matches!(desk.yes(&id, &dba("ann"), 2), Err(AnswerError::Full(_))));
        desk.approvals.inner.lock().grants.remove("1");
        assert_eq!(desk.yes(&id, &dba("ann"), 3).unwrap(), Status::Approved);
    }

    fn r12_access_is_not_given_to_oneself_and_not_for_longer_than_asked() {
        let desk = Desk::new();
        let asked = desk.approvals.request_access(access("alice", 3600), at(0)).unwrap();
        let own = desk.yes(&asked.id, &dba("Alice"), 1).unwrap_err();
        assert!(matches!(own, AnswerError::OwnRequest { .. }), "{own}");
        let long = approve(Some(86_400), false);
        desk.approvals.answer(&asked.id, &dba("bob"), long, at(10)).unwrap();
        assert_eq!(desk.approvals.access(at(10)).first().unwrap().until, at(3610));
        let asked = desk.approvals.request_access(access("bot", 3600), at(20)).unwrap();
        desk.approvals.answer(&asked.id, &dba("bob"), approve(Some(60), true), at(20)).unwrap();
        assert_eq!(desk.approvals.access(at(20)).first().unwrap().until, at(80));
    }

    fn what_a_yes_covers_can_be_revoked_once_and_stays_revoked() {
        let mut desk = Desk::new();
        let asked = desk.approvals.request_access(access("bot", 3600), at(0)).unwrap();
        let nothing = desk.approvals.revoke(&asked.id, revocation(1), at(1)).unwrap_err();
        assert!(matches!(nothing, RevokeError::Nothing(_)), "{nothing}");
        desk.yes(&asked.id, &dba("alice"), 10).unwrap();
        let held = desk.ask(new(1), at(10));
        let for_long = approve(Some(500), false);
        desk.approvals.answer(&held, &dba("alice"), for_long, at(11)).unwrap();
        assert!(desk.is_granted(new(1), at(12)));
        for id in [&asked.id, &held] {
            let revoked = desk.approvals.revoke(id, revocation(20), at(20)).unwrap();
            assert_eq!((revoked.status, revoked.revoked), (Status::Approved, Some(revocation(20))));
            assert!(desk.approvals.revoke(id, revocation(21), at(21)).is_err());
        }
        desk.restart(at(30));
        assert!(desk.approvals.access(at(30)).is_empty());
        assert!(!desk.is_granted(new(1), at(30)));
        let kept = desk.approvals.approval(&held).unwrap().unwrap();
        assert_eq!(kept.revoked, Some(revocation(20)));
        let unknown = desk.approvals.revoke(&ApprovalId("ap_x".into()), revocation(1), at(31));
        assert!(matches!(unknown, Err(RevokeError::Unknown(_))));
    }

    fn a_request_that_waits_too_long_goes_to_others_too() {
        let mut desk = Desk::new();
        let escalate =
            Some(Escalation { after: Duration::from_secs(300), to: vec!["managers".into()] });
        let rules = vec![ApprovalRule { escalate, ..rule("big-reads", &["dba"], 1) }];
        let id = desk.ask(NewApproval { rules, ..new(1) }, at(0));
        let boss = Approver { groups: vec!["managers".into()], ..dba("boss") };
        assert!(desk.approvals.escalate(at(299)).unwrap().is_empty());
        let early = desk.yes(&id, &boss, 299).unwrap_err();
        assert!(matches!(early, AnswerError::NotAnApprover { .. }), "{early}");
        let escalated = desk.approvals.escalate(at(300)).unwrap();
        assert_eq!(escalated.len(), 1);
        assert!(desk.approvals.escalate(at(301)).unwrap().is_empty(), "once");
        desk.restart(at(302));
        let kept = desk.approvals.approval(&id).unwrap().unwrap();
        assert!(kept.is_for(&["managers".into()]) && kept.is_for(&["dba".into()]));
        assert!(!kept.is_for(&["sales".into()]));
        assert_eq!(desk.yes(&id, &boss, 303).unwrap(), Status::Approved);
    }
}
