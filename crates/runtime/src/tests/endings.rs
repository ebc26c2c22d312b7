use std::time::Duration;

use super::lab::{Lab, Plan, resource, until};
use super::server::{Manner, Server};
use crate::{ResourcePlan, SecretSource, clock};

const INVALID: &str = "the token is not valid";

#[tokio::test]
async fn a_wrong_token_is_refused_and_recorded() {
    let server = Server::start(Manner::Answers, None).await;
    let lab = Lab::with(&server).await;
    let mut client = lab.client().await;
    let words = format!("ERR unknown_token: {INVALID}");
    assert_eq!(client.ask("HELLO nrw_wrong box").await, words);
    assert_eq!(client.hear().await, "");
    assert_eq!(lab.refusals(), ["unknown_token"]);
    assert!(server.lines().is_empty());
}

#[tokio::test]
async fn p7_a_revoked_token_reads_like_one_that_never_was() {
    let server = Server::start(Manner::Answers, None).await;
    let lab = Lab::with(&server).await;
    let (id, token) = lab.token(None);
    lab.store.tokens.revoke(&id, clock::now()).unwrap();
    let mut client = lab.client().await;
    let words = format!("ERR revoked_token: {INVALID}");
    assert_eq!(client.ask(&format!("HELLO {token} box")).await, words);
}

#[tokio::test]
async fn p7_a_resource_that_does_not_exist_reads_like_one_that_is_not_granted() {
    let server = Server::start(Manner::Answers, None).await;
    let lab = Lab::with(&server).await;
    let (_, token) = lab.token(None);
    let mut client = lab.client().await;
    let unknown = client.ask(&format!("HELLO {token} vault")).await;
    lab.gateway.reload(
        lab.schema.policy(&[resource(server.address)], false),
        vec![resource(server.address)],
        Vec::new(),
    );
    let mut client = lab.client().await;
    let ungranted = client.ask(&format!("HELLO {token} box")).await;
    let words = |line: &str| line.split_once(": ").unwrap().1.to_owned();
    assert_eq!(words(&unknown).replace("vault", "box"), words(&ungranted));
    assert_eq!(lab.refusals(), ["unknown_resource", "no_access"]);
    assert_eq!(lab.store.live.count(), 0);
}

#[tokio::test]
async fn a_revoked_token_ends_its_live_session() {
    let server = Server::start(Manner::Answers, None).await;
    let lab = Lab::with(&server).await;
    let (id, token) = lab.token(None);
    let mut client = lab.client().await;
    assert!(client.ask(&format!("HELLO {token} box")).await.starts_with("READY"));
    lab.store.tokens.revoke(&id, clock::now()).unwrap();
    assert!(client.hear().await.starts_with("ERR revoked: "));
    assert_eq!(client.hear().await, "");
    assert_eq!(lab.ends(), ["revoked"]);
}

#[tokio::test]
async fn a_session_ends_when_its_token_expires() {
    let server = Server::start(Manner::Answers, None).await;
    let lab = Lab::with(&server).await;
    let (_, token) = lab.token(Some(Duration::from_secs(1)));
    let mut client = lab.client().await;
    assert!(client.ask(&format!("HELLO {token} box")).await.starts_with("READY"));
    assert!(client.hear().await.starts_with("ERR token_expired: "));
    assert_eq!(lab.ends(), ["token_expired"]);
    let mut client = lab.client().await;
    let words = "ERR expired_token: the token has expired";
    assert_eq!(client.ask(&format!("HELLO {token} box")).await, words);
}

#[tokio::test]
async fn a_killed_session_ends_at_once_even_while_an_operation_runs() {
    let server = Server::start(Manner::Answers, None).await;
    let lab = Lab::with(&server).await;
    let (mut client, _) = lab.session().await;
    client.say("SLOW").await;
    until("it runs", || server.lines().contains(&"SLOW".to_owned())).await;
    let id = lab.store.live.list()[0].info.id.clone();
    assert!(lab.store.live.kill(&id, "killed"));
    assert!(client.hear().await.starts_with("ERR killed: "));
    until("the upstream is left", || {
        server.seen.open.load(std::sync::atomic::Ordering::Relaxed) == 0
    })
    .await;
    assert_eq!(lab.ends(), ["killed"]);
}

#[tokio::test]
async fn a_reload_reaches_live_sessions_and_ends_those_without_access() {
    let server = Server::start(Manner::Answers, None).await;
    let lab = Lab::with(&server).await;
    let (mut client, _) = lab.session().await;
    let plans = vec![resource(server.address)];
    lab.gateway.reload(lab.schema.policy(&plans, true), plans.clone(), Vec::new());
    assert_eq!(client.hear().await, "RULES");
    assert_eq!(client.ask("GET a").await, "VALUE get a");
    lab.gateway.reload(lab.schema.policy(&plans, false), plans, Vec::new());
    assert!(client.hear().await.starts_with("ERR no_access: "));
    assert_eq!(client.hear().await, "");
}

#[tokio::test]
async fn a_resource_that_is_removed_takes_its_sessions_with_it() {
    let server = Server::start(Manner::Answers, None).await;
    let lab = Lab::with(&server).await;
    let (mut client, _) = lab.session().await;
    let plans = vec![resource(server.address)];
    lab.gateway.reload(lab.schema.policy(&plans, true), Vec::new(), Vec::new());
    assert_eq!(client.hear().await, "RULES");
    assert!(client.hear().await.starts_with("ERR resource_removed: "));
    assert_eq!(client.hear().await, "");
}

#[tokio::test]
async fn p7_an_upstream_that_is_down_is_reported_without_its_address() {
    // A port that was free a moment ago.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let lab = Lab::new(Plan::new(vec![resource(free)])).await;
    let (_, token) = lab.token(None);
    let mut client = lab.client().await;
    let answer = client.ask(&format!("HELLO {token} box")).await;
    assert_eq!(answer, "ERR upstream_down: the resource cannot be reached now; try again later");
    assert_eq!(client.hear().await, "");
    until("it is recorded", || lab.ends() == ["upstream_down"]).await;
    assert_eq!(lab.gateway.state().upstream_errors["upstream_down"], 1);
}

#[tokio::test]
async fn a_silent_upstream_is_given_up() {
    let server = Server::start(Manner::Silent, None).await;
    let mut plan = Plan::new(vec![ResourcePlan {
        tls: model::UpstreamTls::Require,
        ..resource(server.address)
    }]);
    plan.settings.connect_timeout = Duration::from_millis(100);
    let lab = Lab::new(plan).await;
    let (_, token) = lab.token(None);
    let mut client = lab.client().await;
    let answer = client.ask(&format!("HELLO {token} box")).await;
    assert!(answer.starts_with("ERR upstream_timeout: "), "{answer}");
    assert_eq!(client.hear().await, "");
    until("it is recorded", || lab.ends() == ["upstream_timeout"]).await;
}

#[tokio::test]
async fn an_upstream_that_is_slow_with_an_operation_is_not_given_up() {
    let server = Server::start(Manner::Answers, None).await;
    let mut plan = Plan::new(vec![resource(server.address)]);
    plan.settings.connect_timeout = Duration::from_millis(100);
    let lab = Lab::new(plan).await;
    let (mut client, _) = lab.session().await;
    client.say("SLOW").await;
    let later = tokio::time::timeout(Duration::from_millis(400), client.hear()).await;
    assert!(later.is_err(), "nothing is said while it runs");
}

#[tokio::test]
async fn a_missing_credential_is_refused_without_its_source() {
    let server = Server::start(Manner::Answers, None).await;
    let plan = ResourcePlan {
        password: Some(SecretSource::Env("NARROWS_NO_SUCH_VARIABLE".into())),
        ..resource(server.address)
    };
    let lab = Lab::new(Plan::new(vec![plan])).await;
    let (_, token) = lab.token(None);
    let answer = lab.client().await.ask(&format!("HELLO {token} box")).await;
    assert!(answer.starts_with("ERR credential: "), "{answer}");
    assert!(!answer.contains("NARROWS_NO"), "{answer}");
}

#[tokio::test]
async fn too_many_failed_proofs_are_not_answered_but_a_right_token_is() {
    let server = Server::start(Manner::Answers, None).await;
    let lab = Lab::with(&server).await;
    for _ in 0..60 {
        let answer = lab.client().await.ask("HELLO nrw_wrong box").await;
        assert!(answer.starts_with("ERR unknown_token"), "{answer}");
    }
    assert_eq!(lab.client().await.ask("HELLO nrw_wrong box").await, "");
    assert_eq!(lab.gateway.state().throttled, 1);
    assert_eq!(lab.refusals().len(), 60);
    let (mut client, _) = lab.session().await;
    assert_eq!(client.ask("GET a").await, "VALUE get a");
}
