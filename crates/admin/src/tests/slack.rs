//! Clicks in Slack: answered as by a person with a token, believed only as far as they are proved.

use super::*;
use crate::clicks::SlackOutcome;

/// Believes what is signed `right`. The body is `USER REQUEST yes|no`.
pub(super) struct FakeSlack {
    replies: std::sync::mpsc::Sender<String>,
    pub(super) said: parking_lot::Mutex<std::sync::mpsc::Receiver<String>>,
}

impl FakeSlack {
    pub(super) fn new() -> Self {
        let (replies, said) = std::sync::mpsc::channel();
        Self { replies, said: parking_lot::Mutex::new(said) }
    }
}

impl Slack for FakeSlack {
    fn take(
        &self,
        signed: &SlackSigned<'_>,
        _: Timestamp,
    ) -> Result<Option<SlackClick>, SlackRefused> {
        if (signed.signature, signed.timestamp) != ("right", "now") {
            return Err(SlackRefused::Unproved("wrong".to_owned()));
        }
        let words = std::str::from_utf8(signed.body).unwrap();
        let [user, approval, verdict] = words.split(' ').collect::<Vec<_>>()[..] else {
            return Ok(None);
        };
        let group = if user == "U_eve" { "sales" } else { "dba" };
        let person = (user != "U_nobody").then(|| {
            let subject = user.trim_start_matches("U_").into();
            let kind = PrincipalKind::Person;
            Arc::new(Principal { kind, groups: vec![group.into()], subject, ..principal("") })
        });
        let replies = self.replies.clone();
        Ok(Some(SlackClick {
            user: user.to_owned(),
            person,
            approval: approval.to_owned(),
            yes: verdict == "yes",
            reply: Box::new(move |outcome| {
                let said = match outcome {
                    SlackOutcome::Counts(approval) => approval.status.as_str().to_owned(),
                    SlackOutcome::Refused(why) => why.clone(),
                };
                replies.send(said).unwrap();
            }),
        }))
    }
}

impl World {
    fn click(&self, signature: &str, body: &str) -> Answer {
        let request = ureq::http::Request::builder()
            .method("POST")
            .uri(format!("http://{}/slack/actions", self.address))
            .header("content-type", "application/x-www-form-urlencoded")
            .header("x-slack-signature", signature)
            .header("x-slack-request-timestamp", "now")
            .body(body.to_owned())
            .unwrap();
        let mut response = self.agent.run(request).unwrap();
        let status = response.status().as_u16();
        let text = response.body_mut().read_to_string().unwrap();
        Answer { status, json: serde_json::from_str(&text).unwrap_or(Value::Null), text }
    }

    fn said(&self) -> String {
        self.slack.said.lock().recv_timeout(Duration::from_secs(20)).unwrap()
    }

    fn status(&self, id: &str) -> String {
        let view = self.get(&format!("/api/v1/approvals/{id}")).json;
        view["status"].as_str().unwrap().to_owned()
    }
}

#[test]
fn a_click_answers_in_the_name_of_its_user_and_is_recorded() {
    let world = World::new();
    for (verdict, status, action) in
        [("no", "denied", "approval.deny"), ("yes", "approved", "approval.approve")]
    {
        let id = world.ask_for_approval("reader");
        let answer = world.click("right", &format!("U_dora {id} {verdict}"));
        assert_eq!((answer.status, answer.text.as_str()), (200, ""));
        assert_eq!((world.status(&id).as_str(), world.said().as_str()), (status, status));
        let deed = format!("dora {action} {id}");
        assert!(world.deeds().contains(&deed), "{:?}", world.deeds());
    }
    let records = world.store.journal.read().unwrap();
    let details = records.filter_map(|record| match record.unwrap().event.body {
        EventBody::Admin { detail, .. } => detail,
        _ => None,
    });
    assert_eq!(details.filter(|detail| detail.contains("in Slack, as U_dora")).count(), 2);
}

#[test]
fn r12_a_click_counts_as_little_as_its_users_token_would() {
    let world = World::new();
    let id = world.ask_for_approval("dora");
    for (user, status, code) in [
        ("U_nobody", 403, "unknown_user"),
        ("U_dora", 403, "own_request"),
        ("U_DORA", 403, "own_request"),
        ("U_eve", 404, "not_found"),
    ] {
        for verdict in ["yes", "no"] {
            let answer = world.click("right", &format!("{user} {id} {verdict}"));
            assert_eq!((answer.status, answer.code()), (status, code), "{user}: {}", answer.text);
            assert!(!world.said().is_empty(), "{user} is told");
        }
    }
    assert_eq!(world.status(&id), "pending");
    assert_eq!(world.click("right", &format!("U_ann {id} yes")).status, 200);
    assert_eq!(world.said(), "approved");
    let again = world.click("right", &format!("U_bob {id} no"));
    assert_eq!((again.status, again.code()), (409, "already_answered"));
}

#[test]
fn a_click_that_is_not_proved_changes_nothing() {
    let world = World::new();
    let id = world.ask_for_approval("reader");
    let answer = world.click("wrong", &format!("U_dora {id} yes"));
    assert_eq!((answer.status, answer.code()), (401, "unproved"));
    assert_eq!(world.status(&id), "pending");
    assert_eq!(world.click("right", "something else").status, 200, "Slack's, and no answer");
    assert_eq!(world.call("GET", "/slack/actions", Some(ADMIN), None).status, 405);
}

#[test]
fn p8_a_click_is_read_up_to_its_limit() {
    let world = World::new();
    let limit = model::limit::CLICK_BYTES_MAX;
    assert_eq!(world.click("right", &"x".repeat(limit)).status, 200);
    assert_eq!(world.click("right", &"x".repeat(limit + 1)).status, 413);
}
