use std::time::Duration;

use model::Resource;

use super::lab::{Lab, Plan, resource, until};
use super::server::{Manner, Server};
use crate::ResourcePlan;

fn charted(server: &Server) -> Plan {
    let resource = ResourcePlan {
        resource: Resource { name: "box".into(), kind: "charted".into() },
        ..resource(server.address)
    };
    let mut plan = Plan::new(vec![resource]);
    plan.protocol = "charted";
    // Long, so that what a test sees was asked for.
    plan.settings.catalog_max_age = Duration::from_secs(3600);
    plan
}

fn surveys(server: &Server) -> usize {
    server.lines().iter().filter(|line| *line == "CATALOG").count()
}

#[tokio::test]
async fn a_session_begins_with_a_snapshot_and_sessions_share_it() {
    let server = Server::start(Manner::Answers, None).await;
    let lab = Lab::new(charted(&server)).await;
    let (mut client, _) = lab.session().await;
    let (_other, _) = lab.session().await;
    assert_eq!(surveys(&server), 1);
    assert_eq!(client.ask("GET a").await, "VALUE get a");
}

#[tokio::test]
async fn a_refresh_sees_what_changed() {
    let server = Server::start(Manner::Answers, None).await;
    let lab = Lab::new(charted(&server)).await;
    let (mut client, _) = lab.session().await;
    *server.seen.catalog.lock() = "two".to_owned();
    assert_eq!(client.ask("REFRESH").await, "CHART Some(\"two\")");
}

#[tokio::test]
async fn a_live_session_keeps_the_snapshot_fresh() {
    let server = Server::start(Manner::Answers, None).await;
    let mut plan = charted(&server);
    plan.settings.catalog_max_age = Duration::from_millis(5);
    let lab = Lab::new(plan).await;
    let (_client, _) = lab.session().await;
    until("it is looked at again and again", || surveys(&server) > 5).await;
}

#[tokio::test]
async fn an_upstream_whose_catalog_cannot_be_read_is_refused() {
    let server = Server::start(Manner::Answers, None).await;
    *server.seen.catalog.lock() = "DENIED".to_owned();
    let lab = Lab::new(charted(&server)).await;
    let (_, token) = lab.token(None);
    let mut client = lab.client().await;
    let answer = client.ask(&format!("HELLO {token} box")).await;
    assert!(answer.starts_with("ERR catalog: "), "{answer}");
    assert!(!answer.contains("permission denied"), "P7: {answer}");
    until("it is recorded", || lab.ends() == ["catalog"]).await;
    // Mended, the next session is let in at once.
    *server.seen.catalog.lock() = "three".to_owned();
    let (mut client, _) = lab.session().await;
    assert_eq!(client.ask("GET a").await, "VALUE get a");
}

#[tokio::test]
async fn a_refresh_that_fails_is_answered_all_the_same() {
    let server = Server::start(Manner::Answers, None).await;
    let lab = Lab::new(charted(&server)).await;
    let (mut client, _) = lab.session().await;
    *server.seen.catalog.lock() = "DENIED".to_owned();
    assert_eq!(client.ask("REFRESH").await, "CHART Some(\"one\")");
}

#[tokio::test]
async fn p2_a_snapshot_that_cannot_be_confirmed_is_not_used_for_long() {
    let server = Server::start(Manner::Answers, None).await;
    let mut plan = charted(&server);
    plan.settings.catalog_max_age = Duration::from_millis(5);
    plan.settings.catalog_outlive = Duration::from_millis(20);
    let lab = Lab::new(plan).await;
    let (mut client, _) = lab.session().await;
    *server.seen.catalog.lock() = "DENIED".to_owned();
    let gone = async { while client.ask("REFRESH").await != "CHART None" {} };
    tokio::time::timeout(super::lab::PATIENCE, gone).await.unwrap();
}
