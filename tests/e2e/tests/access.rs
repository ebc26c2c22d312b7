//! Access that has an end: hours, requests for it, and approvals for those who cannot wait.

use std::time::Duration;

use anyhow::{Context, Result};
use e2e::{Config, Lab, Token, Wire, lab_with, until};
use serde_json::{Value, json};

/// Held for a moment only, and nobody else's business.
const HELD_WRITE: &str = "\n  - name: ask-first\n    when: sql.writes.exists(t, t == \"public.notes\")\n    \
                          approve: { by: [dba], wait: 500ms, expires: 10m, grant: once }\n";
const REQUEST: &str = "request: { by: [dba], max: 4h }";
const PATIENCE: Duration = Duration::from_secs(30);

/// What a client with this token is told at the locked resource.
fn turned_away(lab: &Lab, token: &Token) -> Result<String> {
    let refused = Wire::connect(lab.gateway.port(), "x", "locked", &token.secret);
    Ok(format!("{:#}", refused.err().context("it was let in")?))
}

fn word(value: &Value, key: &str) -> String {
    value.get(key).and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// Asks for access to the locked resource with this token; the request's id.
fn request(lab: &Lab, token: &Token, length: &str) -> Result<String> {
    let words = ["request", "locked", "--for", length, "--reason", "incident 4711"];
    let state = lab.gateway.json(&[&words[..], &["--token", &token.secret]].concat())?;
    assert_eq!(word(&state, "status"), "pending", "{state}");
    Ok(word(&state, "id"))
}

fn approve(lab: &Lab, id: &str, person: &Token) -> Result<()> {
    lab.gateway.narrows(&["approve", id, "--token", &person.secret])?.success().map(drop)
}

/// The last words of a session that the gateway ends.
fn last_words(wire: &mut Wire) -> Result<String> {
    let end = wire.until_closed()?;
    Ok(end.error().context("it says why it ends")?.message)
}

#[test]
fn access_is_asked_for_given_by_another_used_and_revoked() -> Result<()> {
    lab_with(&Config::open().locked(REQUEST), |lab| {
        let bot = lab.gateway.token("bot", &["guests"], &[])?;
        let ada = lab.gateway.person("ada", "dba")?;
        assert!(turned_away(lab, &bot)?.contains("no access line grants it"));
        let id = request(lab, &bot, "1h")?;
        assert_eq!(request(lab, &bot, "1h")?, id, "asking again joins");
        assert!(turned_away(lab, &bot)?.contains("no access line grants it"), "not before the yes");
        let waits = lab.gateway.approvals()?;
        let waits = waits.first().context("it waits")?;
        assert_eq!((word(waits, "id"), word(waits, "kind")), (id.clone(), "access".to_owned()));
        assert_eq!(word(waits, "operation"), "access for 1h: incident 4711");

        approve(lab, &id, &ada)?;
        let mut wire = lab.wire_to(&bot, "locked")?;
        assert_eq!(wire.query("SELECT 1")?.text(), [["1"]]);
        let other = lab.gateway.token("other", &["guests"], &[])?;
        assert!(turned_away(lab, &other)?.contains("no access line"), "it is bot's alone");

        let who = lab.gateway.narrows(&["access", "who-can", "locked"])?.success()?;
        assert!(who.contains("bot") && who.contains("approved by ada: incident 4711"), "{who}");
        let what = lab.gateway.json(&["access", "what-can", "bot"])?;
        let entries = what.get("entries").and_then(Value::as_array).context("entries")?;
        let [entry] = entries.as_slice() else { panic!("{what}") };
        assert_eq!(
            (word(entry, "resource"), word(entry, "approval")),
            ("locked".into(), id.clone())
        );

        lab.gateway.narrows(&["access", "revoke", &id, "--token", &ada.secret])?.success()?;
        let said = last_words(&mut wire)?;
        assert!(said.contains("access to this resource was withdrawn"), "{said}");
        assert!(turned_away(lab, &bot)?.contains("no access line grants it"));
        let events = Value::from(lab.gateway.events_of("bot")?).to_string();
        assert!(events.contains("no_access"), "the end is recorded with its reason: {events}");
        let again = lab.gateway.narrows(&["access", "revoke", &id])?;
        assert_eq!(again.code(), 1, "there is nothing left to revoke");
        Ok(())
    })
}

#[test]
fn nobody_lets_themselves_in_and_not_everybody_can_ask() -> Result<()> {
    lab_with(&Config::open().locked(REQUEST), |lab| {
        let eve = lab.gateway.person("eve", "dba")?;
        let id = request(lab, &eve, "30m")?;
        let own = lab.gateway.narrows(&["approve", &id, "--token", &eve.secret])?;
        assert_eq!(own.code(), 1);
        assert!(own.stderr.contains("nobody may approve or deny their own request"), "{own:?}");
        assert!(turned_away(lab, &eve)?.contains("no access line grants it"));

        let ask = |resource: &str, length: &str| -> Result<String> {
            let words = ["request", resource, "--for", length, "--reason", "because"];
            let asked = lab.gateway.narrows(&[&words[..], &["--token", &eve.secret]].concat())?;
            assert_eq!(asked.code(), 1, "{asked:?}");
            Ok(asked.stderr)
        };
        assert!(ask("locked", "5h")?.contains("at most 4h"));
        assert!(ask("locked", "2h")?.contains("waits already"));
        // What exists is not told by how it is refused.
        let (none, closed) = (ask("nonsense", "1h")?, ask("shop", "1h")?);
        assert!(closed.contains("cannot be asked for"), "{closed}");
        assert_eq!(none.replace("nonsense", "X"), closed.replace("shop", "X"));
        Ok(())
    })
}

#[test]
fn given_access_outlives_a_restart_and_ends_by_itself() -> Result<()> {
    lab_with(&Config::open().locked(REQUEST), |lab| {
        let bot = lab.gateway.token("bot", &["guests"], &[])?;
        let ada = lab.gateway.person("ada", "dba")?;
        let id = request(lab, &bot, "1h")?;
        approve(lab, &id, &ada)?;
        lab.gateway.kill()?;
        lab.gateway.launch()?;
        assert_eq!(lab.wire_to(&bot, "locked")?.query("SELECT 1")?.text(), [["1"]]);
        lab.gateway.narrows(&["reload"])?.success()?;
        assert_eq!(lab.wire_to(&bot, "locked")?.query("SELECT 1")?.text(), [["1"]]);
        lab.gateway.narrows(&["approvals", "revoke", &id])?.success()?;

        let short = request(lab, &bot, "3s")?;
        approve(lab, &short, &ada)?;
        let mut wire = lab.wire_to(&bot, "locked")?;
        let said = last_words(&mut wire)?;
        assert!(said.contains("access to this resource"), "{said}");
        assert!(turned_away(lab, &bot)?.contains("no access line grants it"));
        Ok(())
    })
}

#[test]
fn a_line_of_access_that_ends_ends_its_sessions() -> Result<()> {
    let config = Config::open();
    lab_with(&config, |lab| {
        let bot = lab.gateway.token("bot", &["guests"], &[])?;
        let soon = lab.server.sql(
            "SELECT to_char(now() AT TIME ZONE 'UTC' + interval '4 s', 'YYYY-MM-DD\"T\"HH24:MI:SS')",
        )?;
        let line = format!(
            "  - {{ groups: [guests], resources: [locked], hours: mon-sun, until: \"{}\" }}",
            soon.trim()
        );
        lab.gateway.configure(&config.clone().with(&line), &lab.server.upstream())?;
        lab.gateway.narrows(&["reload"])?.success()?;
        let mut wire = lab.wire_to(&bot, "locked")?;
        assert_eq!(wire.query("SELECT 1")?.text(), [["1"]]);
        let said = last_words(&mut wire)?;
        assert!(said.contains("access to this resource has closed"), "{said}");
        let events = Value::from(lab.gateway.events_of("bot")?).to_string();
        assert!(events.contains("access_closed"), "{events}");
        assert!(turned_away(lab, &bot)?.contains("no access line grants it"));
        let check = lab.gateway.narrows(&["check"])?;
        assert!(format!("{check:?}").contains("grants nothing any more"), "{check:?}");
        Ok(())
    })
}

#[test]
fn outside_its_hours_a_line_says_when_it_opens_to_those_it_names() -> Result<()> {
    let config = Config::open();
    lab_with(&config, |lab| {
        // Two windows of which at most one is open now, and never for long.
        let hour =
            lab.server.sql("SELECT to_char(now() AT TIME ZONE 'UTC' + interval '5 h', 'HH24')")?;
        let line = format!(
            "  - {{ groups: [guests], resources: [locked], hours: \"{0}:00-{0}:30\" }}",
            hour.trim()
        );
        lab.gateway.configure(&config.clone().with(&line), &lab.server.upstream())?;
        lab.gateway.narrows(&["reload"])?.success()?;
        let bot = lab.gateway.token("bot", &["guests"], &[])?;
        let said = turned_away(lab, &bot)?;
        let opens = format!("T{}:00:00Z", hour.trim());
        assert!(said.contains("access opens again at") && said.contains(&opens), "{said}");
        let agent = lab.gateway.agent("other")?;
        assert!(turned_away(lab, &agent)?.contains("no access line grants it"));
        let who = lab.gateway.narrows(&["access", "who-can", "locked"])?.success()?;
        assert!(who.contains("group guests") && who.contains("closed, opens"), "{who}");
        assert!(who.contains("bot (agent, tk_"), "{who}");
        Ok(())
    })
}

#[test]
fn an_agent_waits_for_its_approval_and_then_repeats_the_operation() -> Result<()> {
    lab_with(&Config::rules(HELD_WRITE), |lab| {
        let agent = lab.gateway.agent("writer")?;
        let ada = lab.gateway.person("ada", "dba")?;
        let text = "INSERT INTO notes (body) VALUES ('waited for')";
        let mut wire = lab.wire(&agent)?;
        let said = wire.query(text)?.error().context("not held for long")?.message;
        let id = lab.gateway.pending()?;
        assert!(said.contains(&format!("narrows approvals wait {id}")), "{said}");

        let mut environment = vec!["approvals", "wait", &id, "--timeout", "20s", "--json"];
        environment.extend(["--token", &agent.secret]);
        let waits = lab.gateway.start_narrows(&environment)?;
        let path = format!("/api/v1/approvals/{id}");
        let own = lab.gateway.api("GET", &path, Some(&agent.secret), None)?.json();
        let keys: Vec<&String> = own.as_object().context("a state")?.keys().collect();
        assert_eq!(keys, ["expires_at", "id", "reason", "status"], "the state and nothing else");
        let other = lab.gateway.agent("other")?;
        let theirs = lab.gateway.api("GET", &path, Some(&other.secret), None)?;
        assert_eq!(theirs.status, 404, "somebody else's request does not exist: {theirs:?}");
        let list = lab.gateway.api("GET", "/api/v1/approvals", Some(&agent.secret), None)?;
        assert_eq!(list.status, 403, "{list:?}");

        let words = ["approve", &id, "--token", &ada.secret, "--reason", "fine"];
        lab.gateway.narrows(&words)?.success()?;
        let waited = waits.output(PATIENCE)?;
        assert_eq!(waited.code(), 0, "{waited:?}");
        let state: Value = serde_json::from_str(&waited.stdout)?;
        assert_eq!(
            (word(&state, "status"), word(&state, "reason")),
            ("approved".into(), "fine".into())
        );
        assert_eq!(wire.query(text)?.tags(), ["INSERT 0 1"], "the repeat passes");

        // Once is once; and a no ends the wait with 1.
        assert!(wire.query(text)?.error().is_some());
        let next = lab.gateway.pending()?;
        let waits =
            lab.gateway.start_narrows(&["approvals", "wait", &next, "--token", &agent.secret])?;
        lab.gateway
            .narrows(&["deny", &next, "--token", &ada.secret, "--reason", "not today"])?
            .success()?;
        let waited = waits.output(PATIENCE)?;
        assert_eq!(waited.code(), 1, "{waited:?}");
        assert!(waited.stdout.contains("denied: not today"), "{waited:?}");
        let too_long =
            lab.gateway.api("GET", &format!("{path}?wait=5m"), Some(&agent.secret), None)?;
        assert_eq!(too_long.status, 400);
        Ok(())
    })
}

#[test]
fn a_request_that_nobody_answers_goes_to_others_too() -> Result<()> {
    let rule = "\n  - name: ask-first\n    when: sql.writes.exists(t, t == \"public.notes\")\n    \
                approve: { by: [dba], wait: 2m, escalate: { after: 1s, to: [managers] } }\n";
    lab_with(&Config::rules(rule), |lab| {
        let agent = lab.gateway.agent("writer")?;
        let boss = lab.gateway.person("boss", "managers")?;
        let mut wire = lab.wire(&agent)?;
        wire.ask("INSERT INTO notes (body) VALUES ('escalated')")?;
        let id = lab.gateway.pending()?;
        until("the manager sees it", || {
            let seen = lab.gateway.api("GET", "/api/v1/approvals", Some(&boss.secret), None)?;
            Ok(seen.json().to_string().contains(&id).then_some(()))
        })?;
        let listed = lab.gateway.approvals()?;
        let escalate = listed.first().and_then(|one| one.pointer("/rules/0/escalate"));
        let escalate = escalate.context("it is shown")?;
        assert_eq!(escalate.get("to"), Some(&json!(["managers"])));
        assert_eq!(escalate.get("escalated"), Some(&json!(true)));
        approve(lab, &id, &boss)?;
        assert_eq!(wire.until_ready()?.tags(), ["INSERT 0 1"]);
        Ok(())
    })
}

#[test]
fn what_a_yes_still_covers_can_be_ended() -> Result<()> {
    let held = HELD_WRITE.replace("500ms", "2m");
    lab_with(&Config::rules(&held), |lab| {
        let agent = lab.gateway.agent("writer")?;
        let ada = lab.gateway.person("ada", "dba")?;
        let text = "INSERT INTO notes (body) VALUES ('covered')";
        let mut wire = lab.wire(&agent)?;
        wire.ask(text)?;
        let id = lab.gateway.pending()?;
        lab.gateway
            .narrows(&["approve", &id, "--for", "30m", "--token", &ada.secret])?
            .success()?;
        assert!(wire.until_ready()?.error().is_none());
        assert_eq!(wire.query(text)?.tags(), ["INSERT 0 1"]);
        let words = ["approvals", "revoke", &id, "--reason", "over", "--token", &ada.secret];
        lab.gateway.narrows(&words)?.success()?;
        wire.ask(text)?;
        let again = lab.gateway.pending()?;
        assert_ne!(again, id, "it asks again");
        let all = lab.gateway.json(&["approvals", "--status", "approved"])?;
        assert_eq!(all.pointer("/0/revoked/by"), Some(&json!("ada")), "{all}");
        Ok(())
    })
}
