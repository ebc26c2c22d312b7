//! People told of approvals: at a webhook that checks signatures, by a mail server that wants TLS
//! and an account, in what stands in for Slack, and the clicks that come back from there.

use std::net::TcpListener;
use std::process::Command;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result};
use e2e::{
    Config, Gateway, Lab, Receiver, Response, SECRET, Server, Wire, python, repository, until,
};
use serde_json::{Value, json};

/// What is held: one rule before it runs, with a value that must not leave by itself.
const RULES: &str = "\n  - name: ask-first\n    when: sql.writes.exists(t, t == \"public.notes\")\n    \
                     approve: { by: [dba], wait: 2m, expires: 10m, grant: once }\n";
const HELD: &str = "INSERT INTO notes (body) VALUES ('a-secret-value')";
const SIGNING: &str = "a signing secret";

fn lab(places: &[String]) -> Result<Lab> {
    let server = Server::start()?;
    let environment = [
        ("HOOK", SECRET),
        ("SLACK_TOKEN", "xoxb-test"),
        ("SIGNING", SIGNING),
        ("MAIL", "a long password"),
        ("WRONG", "another password"),
    ];
    let gateway = Gateway::start_in(&environment, &config(places), &server.upstream())?;
    Ok(Lab { gateway, server })
}

fn config(places: &[String]) -> Config {
    let list: String = places.iter().map(|place| format!("\n    - {place}")).collect();
    Config::rules(RULES).with(&format!("approvals:\n  notify:{list}"))
}

fn hook(url: &str, more: &str) -> String {
    format!("{{ webhook: \"{url}\", secret: {{env: HOOK}}{more} }}")
}

fn slack(slack: &Receiver) -> String {
    format!(
        "{{ slack: {{ channel: \"#approvals\", token: {{env: SLACK_TOKEN}}, api: \"{}/api\" }}, \
         signing_secret: {{env: SIGNING}}, users: {{ U0DORA: {{ subject: dora, groups: [dba] }}, \
         U0EVE: {{ subject: eve, groups: [sales] }} }} }}",
        slack.url()
    )
}

/// Has an agent ask for what is held; its connection, and the request's name.
fn held(lab: &Lab, name: &str) -> Result<(Wire, String)> {
    let mut wire = lab.wire(&lab.gateway.agent(name)?)?;
    wire.ask(HELD)?;
    let id = lab.gateway.pending()?;
    Ok((wire, id))
}

fn answer(lab: &Lab, word: &str, id: &str) -> Result<()> {
    let reason = if word == "deny" { &["--reason", "not today"][..] } else { &[] };
    lab.gateway.narrows(&[&[word, id], reason].concat())?.success().map(drop)
}

/// Waits until a receiver has so many messages.
fn messages(of: &Receiver, count: usize) -> Result<Vec<Value>> {
    until(&format!("{count} messages came"), || {
        Ok(Some(of.taken()?).filter(|taken| taken.len() >= count))
    })
}

fn at<'a>(of: &'a Value, path: &str) -> &'a str {
    of.pointer(path).and_then(Value::as_str).unwrap_or("-")
}

fn status(lab: &Lab, id: &str) -> Result<String> {
    let view = lab.gateway.api("GET", &format!("/api/v1/approvals/{id}"), None, None)?.json();
    Ok(at(&view, "/status").to_owned())
}

#[test]
fn a_webhook_is_told_of_a_request_and_of_its_end() -> Result<()> {
    let (all, dba, other) = (Receiver::webhook()?, Receiver::webhook()?, Receiver::webhook()?);
    let lab = lab(&[
        hook(&all.url(), ""),
        hook(&dba.url(), ", groups: [dba], texts: true"),
        hook(&other.url(), ", groups: [security]"),
    ])?;
    let (mut wire, id) = held(&lab, "reader")?;
    let told = messages(&all, 1)?.remove(0);
    assert_eq!(at(&told, "/type"), "approval.requested");
    assert_eq!((at(&told, "/data/id"), at(&told, "/data/status")), (&*id, "pending"));
    assert_eq!((at(&told, "/data/principal"), at(&told, "/data/resource")), ("reader", "shop"));
    assert_eq!(at(&told, "/data/rules/0/rule"), "ask-first");
    assert_eq!(told.pointer("/data/writes"), Some(&json!(["public.notes"])));
    assert_eq!(at(&told, "/data/approve"), format!("narrows approve {id}"));
    assert!(at(&told, "/data/url").ends_with(&format!("/api/v1/approvals/{id}")), "{told}");
    assert_eq!(at(&told, "/data/operation"), "INSERT INTO notes (body) VALUES ('…')");
    assert!(!told.to_string().contains("a-secret-value"), "{told}");
    assert_eq!(at(&messages(&dba, 1)?.remove(0), "/data/operation"), HELD, "texts: true");

    answer(&lab, "deny", &id)?;
    assert!(wire.until_ready()?.error().is_some());
    let told = messages(&all, 2)?.remove(1);
    assert_eq!((at(&told, "/type"), at(&told, "/data/status")), ("approval.denied", "denied"));
    assert_eq!(at(&told, "/data/answers/0/by"), "admin.token");
    assert_eq!(at(&told, "/data/answers/0/reason"), "not today");
    assert_eq!(all.names(), [format!("{id}_requested"), format!("{id}_denied")]);
    messages(&dba, 2)?;
    assert!(other.taken()?.is_empty(), "it is told what its groups may answer, and nothing else");
    Ok(())
}

#[test]
fn a_place_that_is_down_delays_neither_a_hold_nor_another_place() -> Result<()> {
    // One that takes the connection and says nothing, one where nobody listens.
    let silent = TcpListener::bind(("127.0.0.1", 0))?;
    let closed = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?;
    let alive = Receiver::webhook()?;
    let mut lab = lab(&[
        hook(&format!("http://{}", silent.local_addr()?), ""),
        hook(&format!("http://{closed}"), ""),
        format!(
            "{{ email: {{ smtp: \"smtp://{closed}\", from: a@b.example, to: [c@d.example] }} }}"
        ),
        hook(&alive.url(), ""),
    ])?;
    let begun = Instant::now();
    for (count, name) in ["one", "two", "three"].iter().enumerate() {
        let (mut wire, id) = held(&lab, name)?;
        messages(&alive, 2 * count + 1)?;
        answer(&lab, "approve", &id)?;
        let reply = wire.until_ready()?;
        assert!(reply.error().is_none(), "{:?}", reply.error());
        messages(&alive, 2 * count + 2)?;
    }
    // Less than one of the silent place's timeouts.
    assert!(begun.elapsed() < Duration::from_secs(25), "{:?}", begun.elapsed());
    assert!(lab.gateway.log().contains("people are not told of approvals"));
    lab.gateway.stop()?;
    Ok(())
}

#[test]
fn what_still_waits_is_told_after_a_restart_once() -> Result<()> {
    let mut hook = Receiver::webhook()?;
    let mut lab = lab(&[self::hook(&hook.url(), "")])?;
    hook.down();
    let (wire, id) = held(&lab, "reader")?;
    until("the place was tried", || {
        Ok(lab.gateway.log().contains("people are not told").then_some(()))
    })?;
    lab.gateway.kill()?;
    drop(wire);
    hook.up()?;
    lab.gateway.launch()?;
    assert_eq!(at(&messages(&hook, 1)?.remove(0), "/type"), "approval.requested");
    assert_eq!(hook.names(), [format!("{id}_requested")]);

    // It knows now, and is told the end only, across another restart.
    lab.gateway.stop()?;
    lab.gateway.launch()?;
    answer(&lab, "approve", &id)?;
    assert_eq!(at(&messages(&hook, 2)?.remove(1), "/type"), "approval.approved");
    assert_eq!(hook.names(), [format!("{id}_requested"), format!("{id}_approved")]);
    Ok(())
}

#[test]
fn mail_is_sent_inside_tls_with_an_account() -> Result<()> {
    let (starttls, tls) = (Receiver::mail(false)?, Receiver::mail(true)?);
    let mail = |server: &Receiver, to: &str, password: &str| {
        format!(
            "{{ email: {{ smtp: \"{}\", from: \"Narrows <narrows@example.org>\", to: [{to}], user: \
             narrows, password: {{env: {password}}} }}, ca: {{file: \"{}\"}} }}",
            server.url(),
            server.ca().display(),
        )
    };
    let lab = lab(&[
        mail(&starttls, "dora@example.org, dba@example.org", "MAIL"),
        mail(&tls, "dora@example.org", "MAIL"),
        mail(&tls, "eve@example.org", "WRONG"),
    ])?;
    let (mut wire, id) = held(&lab, "reader")?;
    for server in [&starttls, &tls] {
        let told = messages(server, 1)?.remove(0);
        assert_eq!((at(&told, "/from"), at(&told, "/user")), ("narrows@example.org", "narrows"));
        assert_eq!(at(&told, "/to/0"), "dora@example.org");
        assert_eq!(told.pointer("/tls"), Some(&json!(true)));
        let (subject, body) = (at(&told, "/headers/subject"), at(&told, "/body"));
        assert!(subject.contains(&id) && subject.contains("reader"), "{subject}");
        assert!(body.contains(&format!("narrows approve {id}")), "{body}");
        assert!(body.contains("ask-first") && body.contains("VALUES ('…')"), "{body}");
        assert!(!body.contains("a-secret-value"), "{body}");
    }
    answer(&lab, "approve", &id)?;
    assert!(wire.until_ready()?.error().is_none());
    let (first, end) = (messages(&starttls, 2)?.remove(0), messages(&starttls, 2)?.remove(1));
    assert!(at(&end, "/headers/subject").contains("Approved by admin.token"), "{end}");
    assert_eq!(at(&end, "/headers/in-reply-to"), at(&first, "/headers/message-id"));
    messages(&tls, 2)?;
    until("the wrong password is told in the log", || {
        Ok(lab.gateway.log().contains("people are not told of approvals").then_some(()))
    })?;
    let eve = |told: &Value| told.to_string().contains("eve@example.org");
    assert!(!tls.taken()?.iter().any(eve), "nothing is sent without the account");
    Ok(())
}

fn now() -> Result<u64> {
    Ok(SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_secs())
}

/// A click on the button of a message, as Slack sends it.
struct Click {
    body: String,
    timestamp: String,
    signature: String,
}

impl Click {
    fn new(message: &Value, label: &str, user: &str, slack: &Receiver) -> Result<Self> {
        Self::signed_at(now()?, SIGNING, message, label, user, slack)
    }

    fn signed_at(
        time: u64,
        secret: &str,
        message: &Value,
        label: &str,
        user: &str,
        slack: &Receiver,
    ) -> Result<Self> {
        let blocks = message.pointer("/body/blocks").and_then(Value::as_array).context("blocks")?;
        let buttons = blocks.iter().filter_map(|block| block.get("elements")?.as_array()).flatten();
        let mut buttons = buttons.filter(|button| at(button, "/text/text") == label);
        let button = buttons.next().with_context(|| format!("a button {label}: {message}"))?;
        let payload = json!({
            "type": "block_actions",
            "user": { "id": user, "username": "someone" },
            "message": message.get("body"),
            "response_url": format!("{}/reply/1", slack.url()),
            "trigger_id": format!("{time}.{user}.{label}"),
            "actions": [{
                "type": "button", "action_id": button.get("action_id"), "value": button.get("value"),
            }],
        });
        let body = format!("payload={}", escaped(&payload.to_string()));
        let timestamp = time.to_string();
        let mut sign = Command::new(python()?);
        sign.arg("-B").arg(repository("tests/e2e/python/slack.py")?);
        let output = sign.args(["sign", secret, &timestamp, &body]).output()?;
        let signature = String::from_utf8(output.stdout)?.trim().to_owned();
        Ok(Self { body, timestamp, signature })
    }

    fn send(&self, lab: &Lab) -> Result<Response> {
        let fields = [
            ("content-type", "application/x-www-form-urlencoded"),
            ("x-slack-request-timestamp", &self.timestamp),
            ("x-slack-signature", &self.signature),
        ];
        lab.gateway.post_open("/slack/actions", &fields, &self.body)
    }
}

/// Percent-encoded, as in a form.
fn escaped(text: &str) -> String {
    text.bytes().fold(String::new(), |mut out, byte| {
        match byte.is_ascii_alphanumeric() {
            true => out.push(byte.into()),
            false => out += &format!("%{byte:02X}"),
        }
        out
    })
}

fn by_method(slack: &Receiver, method: &str) -> Result<Value> {
    until(&format!("Slack has a {method}"), || {
        Ok(slack.taken()?.into_iter().find(|one| at(one, "/method") == method))
    })
}

#[test]
fn a_click_in_slack_approves_what_its_message_asks() -> Result<()> {
    let slack = Receiver::slack()?;
    let lab = lab(&[self::slack(&slack)])?;
    let (mut wire, id) = held(&lab, "reader")?;
    let message = by_method(&slack, "chat.postMessage")?;
    assert_eq!(at(&message, "/body/channel"), "#approvals");
    let text = message.to_string();
    for word in ["reader", "shop", "ask-first", "public.notes", &format!("narrows approve {id}")] {
        assert!(text.contains(word), "{word}: {text}");
    }
    assert!(!text.contains("a-secret-value"), "{text}");

    let answer = Click::new(&message, "Approve", "U0DORA", &slack)?.send(&lab)?;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let reply = wire.until_ready()?;
    assert!(reply.error().is_none(), "{:?}", reply.error());
    // The message is changed for everybody, and says who it was; there is nothing left to click.
    let update = by_method(&slack, "chat.update")?;
    assert_eq!((at(&update, "/body/channel"), at(&update, "/body/ts")), ("C0DBA", "17000.1"));
    assert!(at(&update, "/body/text").starts_with("Approved by dora"), "{update}");
    let told = by_method(&slack, "/reply/1")?;
    assert_eq!(told.pointer("/body/replace_original"), Some(&json!(true)));
    assert!(!told.to_string().contains("narrows_approve"), "{told}");
    // As every other answer it is in the record.
    drop(wire);
    let events = Value::from(lab.gateway.events_of("reader")?).to_string();
    assert!(events.contains("dora"), "{events}");
    let view = lab.gateway.api("GET", &format!("/api/v1/approvals/{id}"), None, None)?.json();
    assert_eq!(at(&view, "/status"), "approved");
    Ok(())
}

#[test]
fn r12_a_click_that_is_not_proved_or_may_not_answer_changes_nothing() -> Result<()> {
    let slack = Receiver::slack()?;
    let lab = lab(&[self::slack(&slack)])?;
    // Who asks is who clicks.
    let (wire, id) = held(&lab, "dora")?;
    let message = by_method(&slack, "chat.postMessage")?;
    let click = |time: u64, secret: &str, user: &str| {
        Click::signed_at(time, secret, &message, "Approve", user, &slack)
    };
    let (now, long_ago) = (now()?, now()? - 301);
    let refused = |click: &Click, status: u16, words: &str| -> Result<()> {
        let answer = click.send(&lab)?;
        assert_eq!(answer.status, status, "{words}: {}", answer.text);
        assert!(answer.text.contains(words), "{words}: {}", answer.text);
        Ok(())
    };
    refused(&click(now, "another secret", "U0DORA")?, 401, "signature")?;
    refused(&click(long_ago, SIGNING, "U0DORA")?, 401, "five minutes")?;
    let mut changed = click(now, SIGNING, "U0EVE")?;
    changed.body = changed.body.replace("U0EVE", "U0DORA");
    refused(&changed, 401, "signature")?;
    refused(&click(now, SIGNING, "U0NOBODY")?, 403, "does not say who U0NOBODY is")?;
    refused(&click(now, SIGNING, "U0EVE")?, 404, "no approval request")?;
    let own = click(now, SIGNING, "U0DORA")?;
    refused(&own, 403, "own request")?;
    refused(&own, 401, "came before")?;
    assert_eq!(status(&lab, &id)?, "pending");
    let told = by_method(&slack, "/reply/1")?;
    assert_eq!(at(&told, "/body/response_type"), "ephemeral", "who clicked is told why");
    drop(wire);
    Ok(())
}

#[test]
fn places_are_replaced_at_a_reload_and_their_secrets_are_not_shown() -> Result<()> {
    let (first, second) = (Receiver::webhook()?, Receiver::webhook()?);
    let lab = lab(&[hook(&first.url(), "")])?;
    let (wire, id) = held(&lab, "reader")?;
    messages(&first, 1)?;
    let places = [hook(&format!("{}/private", second.url()), "")];
    lab.gateway.configure(&config(&places), &lab.server.upstream())?;
    lab.gateway.narrows(&["reload"])?.success()?;
    // What waits is told to the new one; its end to nobody else.
    assert_eq!(at(&messages(&second, 1)?.remove(0), "/data/id"), id);
    answer(&lab, "approve", &id)?;
    messages(&second, 2)?;
    assert_eq!(first.taken()?.len(), 1);
    drop(wire);
    let shown = lab.gateway.narrows(&["check", "--show"])?.success()?;
    assert!(shown.contains(&second.url()), "{shown}");
    assert!(!shown.contains("private") && !shown.contains(SECRET), "{shown}");

    // A place that cannot be used keeps the old ones in force.
    let unusable = [hook(&first.url(), "").replace("HOOK", "NOT_SET")];
    lab.gateway.configure(&config(&unusable), &lab.server.upstream())?;
    let refused = lab.gateway.narrows(&["reload"])?;
    let words = format!("{:?}", refused.success().err().context("it is refused")?);
    assert!(words.contains("approvals.notify[0]") && words.contains("NOT_SET"), "{words}");
    let (_, id) = held(&lab, "another")?;
    assert_eq!(at(&messages(&second, 3)?.remove(2), "/data/id"), id);
    Ok(())
}
