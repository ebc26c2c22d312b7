use model::event::Verdict;
use model::{Event, EventBody};
use store::journal::Options;

use super::lab::{Lab, Plan, resource};
use super::server::{Manner, Server};
use crate::{OnFailure, ResourcePlan};

#[tokio::test]
async fn p1_an_operation_is_in_the_journal_before_the_server_sees_it() {
    let server = Server::start(Manner::Answers, None).await;
    let lab = Lab::with(&server).await;
    let (mut client, _) = lab.session().await;
    client.say("SLOW").await;
    super::lab::until("it arrives", || !server.lines().is_empty()).await;
    let recorded = lab.events().into_iter().any(|event| {
        matches!(event.body, EventBody::Operation { decision: Verdict::Allow, ref text, .. }
            if &**text == "SLOW")
    });
    assert!(recorded);
}

#[tokio::test]
async fn p1_a_reply_is_in_the_journal_before_the_client_sees_it() {
    let server = Server::start(Manner::Answers, None).await;
    let lab = Lab::with(&server).await;
    let (mut client, _) = lab.session().await;
    assert_eq!(client.ask("GET a").await, "VALUE get a");
    let replies: Vec<Event> = lab
        .events()
        .into_iter()
        .filter(|event| matches!(event.body, EventBody::Reply { .. }))
        .collect();
    assert_eq!(replies.len(), 1);
    assert_eq!(replies[0].payload, b"VALUE get a\n");
}

#[tokio::test]
async fn records_that_wait_for_the_disk_keep_everything_in_order() {
    let server = Server::start(Manner::Answers, None).await;
    let mut plan = Plan::new(vec![resource(server.address)]);
    plan.settings.record_waits_for_disk = true;
    let lab = Lab::new(plan).await;
    let (mut client, _) = lab.session().await;
    client.say("GET a\nGET b\nGET c").await;
    for key in ["a", "b", "c"] {
        assert_eq!(client.hear().await, format!("VALUE get {key}"));
    }
    assert_eq!(client.ask("QUIT").await, "");
    let sequences: Vec<u64> = lab.events().iter().map(|event| event.sequence).collect();
    assert_eq!(sequences, (1..=sequences.len() as u64).collect::<Vec<_>>());
    assert_eq!(lab.ends(), ["client_closed"]);
}

/// A journal that begins a new file for every record, so that it fails while its folder is away.
fn fragile(on_failure: OnFailure, server: &Server) -> Plan {
    let mut plan = Plan::new(vec![ResourcePlan { on_failure, ..resource(server.address) }]);
    plan.journal = Options { segment_bytes_max: 1, ..Options::default() };
    plan
}

#[tokio::test]
async fn p5_what_cannot_be_recorded_is_refused() {
    let server = Server::start(Manner::Answers, None).await;
    let lab = Lab::new(fragile(OnFailure::Refuse, &server)).await;
    let (mut client, _) = lab.session().await;
    let (folder, away) = (lab.folder.join("journal"), lab.folder.join("away"));
    std::fs::rename(&folder, &away).unwrap();
    assert!(client.ask("GET a").await.starts_with("ERR not_recorded: "));
    assert!(server.lines().is_empty());
    assert!(lab.gateway.state().journal_failing);
    std::fs::rename(&away, &folder).unwrap();
    assert_eq!(client.ask("GET b").await, "VALUE get b");
    assert!(!lab.gateway.state().journal_failing);
}

#[tokio::test]
async fn p5_what_passes_unrecorded_is_told_of_afterwards() {
    let server = Server::start(Manner::Answers, None).await;
    let lab = Lab::new(fragile(OnFailure::Continue, &server)).await;
    let (mut client, _) = lab.session().await;
    let (folder, away) = (lab.folder.join("journal"), lab.folder.join("away"));
    std::fs::rename(&folder, &away).unwrap();
    assert_eq!(client.ask("GET a").await, "VALUE get a");
    assert_eq!(client.ask("GET b").await, "VALUE get b");
    assert_eq!(lab.gateway.state().unrecorded, 2);
    std::fs::rename(&away, &folder).unwrap();
    assert_eq!(client.ask("GET c").await, "VALUE get c");
    assert_eq!(lab.gateway.state().unrecorded, 0);
    let bodies: Vec<EventBody> = lab.events().into_iter().map(|event| event.body).collect();
    let gap = bodies.iter().position(|body| *body == EventBody::Gap { operations: 2 }).unwrap();
    let is_operation = |body: &EventBody| matches!(body, EventBody::Operation { .. });
    assert!(bodies[..gap].iter().all(|body| !is_operation(body)));
    assert!(bodies[gap..].iter().any(is_operation), "the gap comes before what follows it");
}
