use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::lab::{Lab, Plan, resource, until};
use super::server::{Manner, Server};
use crate::Settings;
use crate::mailbox::CANCELLERS_MAX;

#[tokio::test]
async fn an_operation_goes_through_and_its_answer_comes_back() {
    let server = Server::start(Manner::Answers, None).await;
    let lab = Lab::with(&server).await;
    let (mut client, _) = lab.session().await;
    assert_eq!(client.ask("GET a").await, "VALUE get a");
    client.say("GET b\nGET c").await;
    assert_eq!(client.hear().await, "VALUE get b");
    assert_eq!(client.hear().await, "VALUE get c");
    let state = lab.gateway.state();
    assert_eq!((state.sessions, state.allowed, state.rows), (1, 3, 3));
    assert_eq!(lab.store.live.list()[0].done.rows, 3);
}

#[tokio::test]
async fn a_quit_ends_the_session_and_frees_everything() {
    let server = Server::start(Manner::Answers, None).await;
    let lab = Lab::with(&server).await;
    let (mut client, _) = lab.session().await;
    assert_eq!(client.ask("QUIT").await, "");
    until("the place is free", || lab.gateway.state().connections == 0).await;
    until("the upstream is left", || {
        server.seen.open.load(std::sync::atomic::Ordering::Relaxed) == 0
    })
    .await;
    assert_eq!(lab.ends(), ["client_closed"]);
    assert_eq!(lab.store.live.count(), 0);
}

#[tokio::test]
async fn a_client_that_closes_its_half_ends_the_session() {
    let server = Server::start(Manner::Answers, None).await;
    let lab = Lab::with(&server).await;
    let (mut client, _) = lab.session().await;
    client.0.shutdown().await.unwrap();
    assert_eq!(client.hear().await, "");
    until("the place is free", || lab.gateway.state().connections == 0).await;
    assert_eq!(lab.ends(), ["client_closed"]);
}

#[tokio::test]
async fn an_upstream_that_hangs_up_ends_the_session() {
    let server = Server::start(Manner::HangsUp, None).await;
    let lab = Lab::with(&server).await;
    let (mut client, _) = lab.session().await;
    assert_eq!(client.ask("GET a").await, "");
    until("it is recorded", || lab.ends() == ["upstream_closed"]).await;
}

#[tokio::test]
async fn a_cancel_reaches_the_server_of_the_session_that_holds_the_key_and_no_other() {
    let server = Server::start(Manner::Answers, None).await;
    let lab = Lab::with(&server).await;
    let (mut running, key) = lab.session().await;
    let (_other, _) = lab.session().await;
    running.say("SLOW").await;
    until("it runs", || server.lines().contains(&"SLOW".to_owned())).await;
    let mut stranger = lab.client().await;
    assert_eq!(stranger.ask("CANCEL 0000000000000000").await, "");
    let mut canceller = lab.client().await;
    assert_eq!(canceller.ask(&format!("CANCEL {key}")).await, "");
    // It was told before the client was left: what the client does next is not cancelled.
    let shouts = server.lines().iter().filter(|line| *line == "SHOUT").count();
    assert_eq!(shouts, 1);
}

#[tokio::test]
async fn what_a_client_says_after_a_cancel_waits_until_the_cancel_has_taken_place() {
    let server = Server::start(Manner::Answers, None).await;
    let lab = Lab::with(&server).await;
    let (mut running, key) = lab.session().await;
    let (mut other, _) = lab.session().await;
    running.say("SLOW").await;
    until("it runs", || server.lines().contains(&"SLOW".to_owned())).await;
    server.seen.keeps_cancels.store(true, Ordering::Relaxed);
    lab.client().await.say(&format!("CANCEL {key}")).await;
    until("it is told", || server.lines().contains(&"SHOUT".to_owned())).await;
    running.say("GET next").await;
    for _ in 0..50 {
        assert_eq!(other.ask("GET a").await, "VALUE get a");
    }
    server.seen.keeps_cancels.store(false, Ordering::Relaxed);
    assert_eq!(running.hear().await, "VALUE get next");
    let lines = server.lines();
    let place = |line: &str| lines.iter().position(|l| l == line).expect("it was sent");
    assert!(place("SHOUTED") < place("GET next"), "{lines:?}");
}

#[tokio::test]
async fn p8_cancels_of_a_session_are_one_while_it_is_under_way() {
    let server = Server::start(Manner::Answers, None).await;
    let lab = Lab::with(&server).await;
    let (mut running, key) = lab.session().await;
    running.say("SLOW").await;
    until("it runs", || server.lines().contains(&"SLOW".to_owned())).await;
    server.seen.keeps_cancels.store(true, Ordering::Relaxed);
    let cancel = format!("CANCEL {key}");
    let mut clients = Vec::new();
    for _ in 0..2 * CANCELLERS_MAX {
        let mut client = lab.client().await;
        client.say(&cancel).await;
        clients.push(client);
    }
    // The session, and those who wait; one too many does not.
    until("the rest is told", || lab.gateway.state().connections == CANCELLERS_MAX + 1).await;
    server.seen.keeps_cancels.store(false, Ordering::Relaxed);
    for mut client in clients {
        assert_eq!(client.hear().await, "");
    }
    assert_eq!(server.lines().iter().filter(|line| *line == "SHOUT").count(), 1);
}

#[tokio::test]
async fn what_still_runs_when_the_session_ends_is_cancelled_beside_a_cancel_under_way() {
    let server = Server::start(Manner::Answers, None).await;
    let lab = Lab::with(&server).await;
    let (mut running, key) = lab.session().await;
    running.say("SLOW").await;
    until("it runs", || server.lines().contains(&"SLOW".to_owned())).await;
    server.seen.keeps_cancels.store(true, Ordering::Relaxed);
    lab.client().await.say(&format!("CANCEL {key}")).await;
    let shouts = || server.lines().iter().filter(|line| *line == "SHOUT").count();
    until("it is told", || shouts() == 1).await;
    let id = lab.store.live.list()[0].info.id.clone();
    assert!(lab.store.live.kill(&id, "killed"));
    until("it is told again", || shouts() == 2).await;
    server.seen.keeps_cancels.store(false, Ordering::Relaxed);
}

#[tokio::test]
async fn p8_the_connection_past_the_limit_is_closed_at_once() {
    let server = Server::start(Manner::Answers, None).await;
    let mut plan = Plan::new(vec![resource(server.address)]);
    plan.settings = Settings { sessions_max: 0, ..Settings::default() };
    let none = Lab::new(plan).await;
    // 256 newcomers may wait beside the sessions; the one after them is closed at once.
    let mut newcomers = Vec::new();
    for _ in 0..256 {
        newcomers.push(none.client().await);
    }
    until("they are in", || none.gateway.state().connections == 256).await;
    let mut late = none.client().await;
    assert_eq!(late.hear().await, "");
    assert_eq!(none.gateway.state().refused["too_many_connections"], 1);
}

#[tokio::test]
async fn p8_the_session_past_the_limit_is_told_so() {
    let server = Server::start(Manner::Answers, None).await;
    let mut plan = Plan::new(vec![resource(server.address)]);
    plan.settings.sessions_max = 1;
    let lab = Lab::new(plan).await;
    let (_first, _) = lab.session().await;
    let (_, token) = lab.token(None);
    let answer = lab.client().await.ask(&format!("HELLO {token} box")).await;
    assert!(answer.starts_with("ERR too_many_sessions: "), "{answer}");
    assert_eq!(lab.refusals(), ["too_many_sessions"]);
}

#[tokio::test]
async fn a_silent_client_is_ended() {
    let server = Server::start(Manner::Answers, None).await;
    let mut plan = Plan::new(vec![resource(server.address)]);
    plan.settings.identify_timeout = Duration::from_millis(50);
    let lab = Lab::new(plan).await;
    let mut client = lab.client().await;
    let words = "ERR identify_timeout: nobody proved who is asking in time";
    assert_eq!(client.hear().await, words);
    assert_eq!(client.hear().await, "");
    assert_eq!(lab.gateway.state().refused["identify_timeout"], 1);
}

#[tokio::test]
async fn p8_a_client_that_never_closes_is_left_after_a_while() {
    let server = Server::start(Manner::Answers, None).await;
    let lab = Lab::with(&server).await;
    let (mut client, _) = lab.session().await;
    client.say("QUIT").await;
    // It neither reads nor closes; its place is free all the same.
    until("the place is free", || lab.gateway.state().connections == 0).await;
}

#[tokio::test]
async fn a_listener_of_a_protocol_nobody_has_is_an_error() {
    let server = Server::start(Manner::Answers, None).await;
    let lab = Lab::with(&server).await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let error = std::sync::Arc::clone(&lab.gateway).serve(listener, "gopher").await.unwrap_err();
    assert_eq!(error.to_string(), "this gateway has no protocol \"gopher\"");
}

#[tokio::test]
async fn shutting_down_waits_for_sessions_and_lets_no_new_one_in() {
    let server = Server::start(Manner::Answers, None).await;
    let lab = Lab::with(&server).await;
    let (mut client, _) = lab.session().await;
    let gateway = std::sync::Arc::clone(&lab.gateway);
    let ending = tokio::spawn(async move { gateway.shut_down(super::lab::PATIENCE).await });
    until("it drains", || lab.gateway.state().draining).await;
    until("the listener is closed", || lab.gateway.state().listeners == 0).await;
    assert!(TcpStream::connect(lab.address).await.is_err());
    assert_eq!(client.ask("GET a").await, "VALUE get a");
    client.say("QUIT").await;
    ending.await.unwrap();
    assert_eq!(lab.gateway.state().connections, 0);
}

#[tokio::test]
async fn shutting_down_stops_sessions_that_do_not_end() {
    let server = Server::start(Manner::Answers, None).await;
    let lab = Lab::with(&server).await;
    let (mut client, _) = lab.session().await;
    lab.gateway.shut_down(Duration::from_millis(10)).await;
    assert_eq!(client.hear().await, "ERR shutting_down: the gateway is shutting down");
    assert_eq!(client.hear().await, "");
    assert_eq!(lab.ends(), ["shutting_down"]);
}
