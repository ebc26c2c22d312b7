use store::{Approver, Status};

use super::lab::{Lab, until};
use super::server::{Manner, Server};
use crate::clock;

fn dba() -> Approver {
    Approver {
        subject: "dana".into(),
        groups: vec!["approvers".into()],
        behind: Vec::new(),
        is_admin_token: false,
        any_group: false,
    }
}

fn yes() -> store::approvals::Verdict {
    store::approvals::Verdict::Approve { duration: None, session: false, reason: None }
}

#[tokio::test]
async fn a_held_operation_runs_after_the_yes_and_not_before() {
    let server = Server::start(Manner::Answers, None).await;
    let lab = Lab::with(&server).await;
    let (mut client, _) = lab.session().await;
    let held = client.ask("ASK a").await;
    assert!(held.starts_with("HELD ap_"), "{held}");
    assert!(held.contains("http://127.0.0.1:7070/api/v1/approvals/ap_"), "{held}");
    assert!(held.contains("narrows approve ap_"), "{held}");
    assert!(server.lines().is_empty(), "nothing was sent before the yes");
    assert_eq!(lab.gateway.state().holds, 1);
    let waiting = lab.store.approvals.pending();
    assert_eq!(&*waiting[0].text, "ASK a");
    let status = lab.store.approvals.answer(&waiting[0].id, &dba(), yes(), clock::now()).unwrap();
    assert_eq!(status, Status::Approved);
    assert_eq!(client.hear().await, "VALUE ask a");
    assert_eq!(lab.gateway.state().holds, 0);
}

#[tokio::test]
async fn a_denied_operation_never_runs() {
    let server = Server::start(Manner::Answers, None).await;
    let lab = Lab::with(&server).await;
    let (mut client, _) = lab.session().await;
    assert!(client.ask("ASK a").await.starts_with("HELD"));
    let waiting = lab.store.approvals.pending();
    let no = store::approvals::Verdict::Deny { reason: Some("not today".to_owned()) };
    lab.store.approvals.answer(&waiting[0].id, &dba(), no, clock::now()).unwrap();
    let answer = client.hear().await;
    assert!(answer.starts_with("ERR approval_denied: "), "{answer}");
    assert!(answer.contains("dana") && answer.contains("not today"), "{answer}");
    assert!(server.lines().is_empty());
    assert_eq!(client.ask("GET a").await, "VALUE get a");
}

#[tokio::test]
async fn an_earlier_yes_for_the_session_covers_a_repeat() {
    let server = Server::start(Manner::Answers, None).await;
    let lab = Lab::with(&server).await;
    let (mut client, _) = lab.session().await;
    assert!(client.ask("ASK a").await.starts_with("HELD"));
    let waiting = lab.store.approvals.pending();
    let yes = store::approvals::Verdict::Approve { duration: None, session: true, reason: None };
    lab.store.approvals.answer(&waiting[0].id, &dba(), yes, clock::now()).unwrap();
    assert_eq!(client.hear().await, "VALUE ask a");
    assert_eq!(client.ask("ASK a").await, "VALUE ask a");
    assert!(client.ask("ASK b").await.starts_with("HELD"), "another operation is asked for");
}

#[tokio::test]
async fn a_client_that_leaves_stops_waiting_and_the_question_stands() {
    let server = Server::start(Manner::Answers, None).await;
    let lab = Lab::with(&server).await;
    let (mut client, _) = lab.session().await;
    assert!(client.ask("ASK a").await.starts_with("HELD"));
    drop(client);
    until("nobody waits", || lab.gateway.state().holds == 0).await;
    let waiting = lab.store.approvals.pending();
    assert_eq!(waiting.len(), 1);
    // A yes that comes later gives one repeat.
    lab.store.approvals.answer(&waiting[0].id, &dba(), yes(), clock::now()).unwrap();
    let (mut client, _) = lab.session().await;
    assert_eq!(client.ask("ASK a").await, "VALUE ask a");
    assert!(client.ask("ASK a").await.starts_with("HELD"));
}

#[tokio::test]
async fn a_cancel_withdraws_a_held_operation() {
    let server = Server::start(Manner::Answers, None).await;
    let lab = Lab::with(&server).await;
    let (mut client, key) = lab.session().await;
    assert!(client.ask("ASK a").await.starts_with("HELD"));
    lab.client().await.say(&format!("CANCEL {key}")).await;
    assert!(client.hear().await.starts_with("ERR cancelled"));
    assert_eq!(lab.gateway.state().holds, 0);
    assert!(server.lines().is_empty());
}
