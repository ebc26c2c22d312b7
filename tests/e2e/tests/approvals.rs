//! Held operations: not one row before the yes; what a yes covers, and what it does not.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use e2e::{Config, Lab, RULES, Reply, Wire, lab, lab_with, until};
use serde_json::{Value, json};

/// 50,000 rows, each with the marker of what must not arrive early.
const BIG: &str = "SELECT id, name, email FROM customers WHERE id <= 50000";

/// A statement of its own that is held before it runs.
const HELD_WRITE: &str = "\n  - name: ask-first\n    when: sql.writes.exists(t, t == \"public.notes\")\n    \
                          approve: { by: [dba], wait: 2m, expires: 10m, grant: once }\n";

/// What a held client heard so far is a notice with this id, and no row.
fn only_a_notice(wire: &mut Wire, id: &str) -> Result<()> {
    let heard = wire.until_tag(b'N')?;
    let notice = heard.notices().pop().context("a notice")?;
    assert!(notice.message.contains(id), "the notice names {id}: {}", notice.message);
    assert!(notice.message.contains("narrows approve"), "and says what to do: {}", notice.message);
    assert_eq!(heard.rows().len(), 0, "no row before the yes");
    assert!(!wire.has_received(b"@shop.example"), "no value before the yes");
    assert!(!wire.hears_within(Duration::from_millis(300))?, "and nothing more before the yes");
    Ok(())
}

fn status_of(lab: &Lab, id: &str) -> Result<String> {
    let view = lab.gateway.api("GET", &format!("/api/v1/approvals/{id}"), None, None)?.json();
    Ok(view.get("status").and_then(Value::as_str).context("a status")?.to_owned())
}

fn approve(lab: &Lab, id: &str, person: &str, more: &[&str]) -> Result<()> {
    let words = [&["approve", id, "--token", person], more].concat();
    lab.gateway.narrows(&words)?.success().map(drop)
}

fn refused(reply: &Reply, words: &str) -> Result<()> {
    let error = reply.error().with_context(|| format!("refused with {words:?}"))?;
    assert!(error.message.contains(words), "{error:?}");
    assert_eq!(error.code, "42501", "{error:?}");
    assert_eq!(reply.rows().len(), 0);
    Ok(())
}

#[test]
fn p1_a_large_read_is_held_and_released_whole_after_the_yes() -> Result<()> {
    lab(|lab| {
        let agent = lab.gateway.agent("reader")?;
        let dba = lab.gateway.person("ada", "dba")?;
        let mut wire = lab.wire(&agent)?;
        wire.ask(BIG)?;
        let id = lab.gateway.pending()?;
        only_a_notice(&mut wire, &id)?;

        let listed = lab.gateway.approvals()?;
        let one = listed.first().context("one is listed")?;
        let word = |key: &str| one.get(key).and_then(Value::as_str).unwrap_or_default();
        assert_eq!((word("id"), word("status")), (id.as_str(), "pending"));
        assert_eq!((word("principal"), word("resource")), ("reader", "shop"));
        assert_eq!((word("operation"), word("rule")), (BIG, "big-reads"));
        for key in ["requested_at", "expires_at"] {
            assert!(word(key).ends_with('Z'), "{key}: {}", word(key));
        }
        let people = lab.gateway.narrows(&["approvals"])?.success()?;
        assert!(people.contains(&id) && people.contains("reader"), "{people}");

        approve(lab, &id, &dba.secret, &["--reason", "quarterly report"])?;
        let reply = wire.until_ready()?;
        ensure!(reply.error().is_none(), "{:?}", reply.error());
        assert_eq!(reply.rows().len(), 50_000);
        assert_eq!((reply.tags(), reply.status), (vec!["SELECT 50000".to_owned()], 'I'));
        assert_eq!(status_of(lab, &id)?, "approved");

        // Once is once.
        wire.ask(BIG)?;
        let again = lab.gateway.pending()?;
        assert_ne!(again, id);
        lab.gateway
            .narrows(&["deny", &again, "--token", &dba.secret, "--reason", "enough now"])?
            .success()?;
        let reply = wire.until_ready()?;
        refused(&reply, "enough now")?;
        assert_eq!(reply.status, 'I');
        assert_eq!(wire.query("SELECT 1")?.text(), [["1"]], "the session goes on");
        drop(wire);
        let events = lab.gateway.events_of("reader")?;
        let text = Value::from(events).to_string();
        assert!(
            text.contains("quarterly report") && text.contains("ada"),
            "who and why is recorded"
        );
        Ok(())
    })
}

#[test]
fn p1_the_extended_protocol_is_held_too() -> Result<()> {
    lab(|lab| {
        let agent = lab.gateway.agent("reader")?;
        let dba = lab.gateway.person("ada", "dba")?;
        let mut wire = lab.wire(&agent)?;
        let mut bytes = e2e::parse("", "SELECT id, email FROM customers WHERE id <= $1");
        bytes.extend(
            [
                e2e::bind("", "", &["40000"], 1),
                e2e::describe(b'P', ""),
                e2e::execute("", 0),
                e2e::sync(),
            ]
            .concat(),
        );
        wire.send(&bytes)?;
        let id = lab.gateway.pending()?;
        only_a_notice(&mut wire, &id)?;
        let view = lab.gateway.api("GET", &format!("/api/v1/approvals/{id}"), None, None)?.json();
        assert_eq!(view.get("parameters"), Some(&json!(["40000"])), "the approver sees the values");
        approve(lab, &id, &dba.secret, &[])?;
        let reply = wire.until_ready()?;
        assert_eq!(reply.rows().len(), 40_000, "{:?}", reply.error());
        Ok(())
    })
}

#[test]
fn p1_a_large_copy_is_held_and_a_no_keeps_every_row() -> Result<()> {
    lab(|lab| {
        let agent = lab.gateway.agent("copier")?;
        let dba = lab.gateway.person("ada", "dba")?;
        let mut wire = lab.wire(&agent)?;
        wire.ask("COPY (SELECT id, email FROM customers) TO STDOUT")?;
        let id = lab.gateway.pending()?;
        only_a_notice(&mut wire, &id)?;
        lab.gateway
            .narrows(&["deny", &id, "--token", &dba.secret, "--reason", "no exports"])?
            .success()?;
        let reply = wire.until_ready()?;
        refused(&reply, "no exports")?;
        assert!(!wire.has_received(b"@shop.example"));
        assert_eq!(wire.query("SELECT 1")?.text(), [["1"]]);
        Ok(())
    })
}

#[test]
fn a_denied_reply_inside_a_transaction_leaves_its_true_state() -> Result<()> {
    lab(|lab| {
        let agent = lab.gateway.agent("reader")?;
        let dba = lab.gateway.person("ada", "dba")?;
        let mut wire = lab.wire(&agent)?;
        assert_eq!(wire.query("BEGIN")?.status, 'T');
        wire.query("INSERT INTO notes (body) VALUES ('with the denied read')")?;
        wire.ask(BIG)?;
        let id = lab.gateway.pending()?;
        lab.gateway.narrows(&["deny", &id, "--token", &dba.secret, "--reason", "no"])?.success()?;
        let reply = wire.until_ready()?;
        refused(&reply, "no")?;
        assert_eq!(reply.status, 'E', "the transaction failed");
        let next = wire.query("SELECT 1")?;
        assert_eq!(next.error().map(|error| error.code), Some("25P02".to_owned()), "for real");
        assert_eq!(wire.query("COMMIT")?.tags(), ["ROLLBACK"]);
        let left =
            lab.server.sql("SELECT count(*) FROM notes WHERE body = 'with the denied read'")?;
        assert_eq!(left.trim(), "0");
        Ok(())
    })
}

#[test]
fn p1_a_held_write_reaches_the_server_only_after_the_yes() -> Result<()> {
    lab_with(&Config::rules(HELD_WRITE), |lab| {
        let agent = lab.gateway.agent("writer")?;
        let dba = lab.gateway.person("ada", "dba")?;
        let mut wire = lab.wire(&agent)?;
        let text = "INSERT INTO notes (body) VALUES ('held-write-marker')";
        wire.ask(text)?;
        let id = lab.gateway.pending()?;
        only_a_notice(&mut wire, &id)?;
        assert!(!lab.server_saw("held-write-marker")?, "the server has not seen it");
        approve(lab, &id, &dba.secret, &[])?;
        let reply = wire.until_ready()?;
        assert_eq!(reply.tags(), ["INSERT 0 1"], "{:?}", reply.error());
        assert!(lab.server_saw("held-write-marker")?);
        // Another text is another operation: the yes does not cover it.
        wire.ask("INSERT INTO notes (body) VALUES ('held-write-marker-2')")?;
        let other = lab.gateway.pending()?;
        assert_ne!(other, id);
        assert!(!lab.server_saw("held-write-marker-2")?);
        Ok(())
    })
}

#[test]
fn grants_cover_the_exact_text_and_no_other() -> Result<()> {
    lab_with(&Config::rules(HELD_WRITE), |lab| {
        let agent = lab.gateway.agent("writer")?;
        let dba = lab.gateway.person("ada", "dba")?;
        let text = "INSERT INTO notes (body) VALUES ('covered')";
        let mut wire = lab.wire(&agent)?;
        wire.ask(text)?;
        let id = lab.gateway.pending()?;
        approve(lab, &id, &dba.secret, &["--for", "30m"])?;
        assert!(wire.until_ready()?.error().is_none());
        for _ in 0..3 {
            assert_eq!(wire.query(text)?.tags(), ["INSERT 0 1"], "covered for 30 minutes");
        }
        let mut other = lab.wire(&agent)?;
        assert_eq!(
            other.query(text)?.tags(),
            ["INSERT 0 1"],
            "in another session of the same agent too"
        );
        // A blank more, or someone else, is not covered.
        other.ask("INSERT INTO notes (body) VALUES ( 'covered')")?;
        let second = lab.gateway.pending()?;
        lab.gateway
            .narrows(&["deny", &second, "--token", &dba.secret, "--reason", "differs"])?
            .success()?;
        refused(&other.until_ready()?, "differs")?;
        let stranger = lab.gateway.agent("stranger")?;
        let mut theirs = lab.wire(&stranger)?;
        theirs.ask(text)?;
        let third = lab.gateway.pending()?;
        lab.gateway
            .narrows(&["deny", &third, "--token", &dba.secret, "--reason", "not you"])?
            .success()?;
        refused(&theirs.until_ready()?, "not you")
    })
}

#[test]
fn a_yes_for_the_session_ends_with_it() -> Result<()> {
    lab_with(&Config::rules(HELD_WRITE), |lab| {
        let agent = lab.gateway.agent("writer")?;
        let dba = lab.gateway.person("ada", "dba")?;
        let text = "INSERT INTO notes (body) VALUES ('session')";
        let mut wire = lab.wire(&agent)?;
        wire.ask(text)?;
        let id = lab.gateway.pending()?;
        approve(lab, &id, &dba.secret, &["--session"])?;
        assert!(wire.until_ready()?.error().is_none());
        assert_eq!(wire.query(text)?.tags(), ["INSERT 0 1"]);
        drop(wire);
        let mut next = lab.wire(&agent)?;
        next.ask(text)?;
        let again = lab.gateway.pending()?;
        assert_ne!(again, id, "a new session asks again");
        Ok(())
    })
}

#[test]
fn answers_by_rest_are_as_good_as_by_command() -> Result<()> {
    lab_with(&Config::rules(HELD_WRITE), |lab| {
        let agent = lab.gateway.agent("writer")?;
        let dba = lab.gateway.person("ada", "dba")?;
        let person = Some(dba.secret.as_str());
        let mut wire = lab.wire(&agent)?;
        wire.ask("INSERT INTO notes (body) VALUES ('rest')")?;
        let id = lab.gateway.pending()?;
        let path = format!("/api/v1/approvals/{id}");

        assert_eq!(lab.gateway.api_open(&path)?.status, 401, "nobody answers without a token");
        let theirs = lab.gateway.api(
            "POST",
            &format!("{path}/approve"),
            Some(&agent.secret),
            Some(&json!({})),
        )?;
        assert!([403, 404].contains(&theirs.status), "an agent does not answer: {theirs:?}");
        let outsider = lab.gateway.person("bob", "sales")?;
        let theirs = lab.gateway.api(
            "POST",
            &format!("{path}/approve"),
            Some(&outsider.secret),
            Some(&json!({})),
        )?;
        assert!([403, 404].contains(&theirs.status), "only members of dba answer: {theirs:?}");
        let seen = lab.gateway.api("GET", "/api/v1/approvals", Some(&outsider.secret), None)?;
        assert_eq!(seen.json(), json!([]), "nor do others see it");
        assert_eq!(status_of(lab, &id)?, "pending");

        let no_reason = lab.gateway.api(
            "POST",
            &format!("{path}/deny"),
            person,
            Some(&json!({"reason": " "})),
        )?;
        assert_eq!(no_reason.status, 400, "a no needs a reason");
        let both = json!({"for": "30m", "session": true});
        assert_eq!(
            lab.gateway.api("POST", &format!("{path}/approve"), person, Some(&both))?.status,
            400
        );
        let yes = lab.gateway.api(
            "POST",
            &format!("{path}/approve"),
            person,
            Some(&json!({"for": "1h"})),
        )?;
        assert_eq!(yes.status, 200, "{yes:?}");
        assert_eq!(wire.until_ready()?.tags(), ["INSERT 0 1"]);
        let twice =
            lab.gateway.api("POST", &format!("{path}/approve"), person, Some(&json!({})))?;
        assert_eq!(twice.status, 409, "answered already: {twice:?}");
        Ok(())
    })
}

#[test]
fn four_eyes_need_two_people_and_none_of_them_the_asker() -> Result<()> {
    let rule = "\n  - name: two-people\n    when: sql.writes.exists(t, t == \"public.notes\")\n    \
                approve: { by: [dba], needs: 2, wait: 2m, expires: 10m, grant: once }\n";
    lab_with(&Config::rules(rule), |lab| {
        // The asker is a person in the group of approvers.
        let asker = lab.gateway.token("eve", &["agents", "dba"], &["--kind", "person"])?;
        let (ada, bob) = (lab.gateway.person("ada", "dba")?, lab.gateway.person("bob", "dba")?);
        let mut wire = lab.wire(&asker)?;
        wire.ask("INSERT INTO notes (body) VALUES ('four-eyes-marker')")?;
        let id = lab.gateway.pending()?;
        let own = lab.gateway.narrows(&["approve", &id, "--token", &asker.secret])?;
        assert_eq!(own.code(), 1, "nobody approves for themselves: {}", own.stdout);
        approve(lab, &id, &ada.secret, &[])?;
        assert_eq!(status_of(lab, &id)?, "pending", "one yes is not enough");
        let again = lab.gateway.narrows(&["approve", &id, "--token", &ada.secret])?;
        assert_eq!(
            status_of(lab, &id)?,
            "pending",
            "the same person counts once: {}",
            again.stdout
        );
        assert!(!lab.server_saw("four-eyes-marker")?);
        approve(lab, &id, &bob.secret, &[])?;
        assert_eq!(wire.until_ready()?.tags(), ["INSERT 0 1"]);
        Ok(())
    })
}

#[test]
fn a_late_yes_gives_one_repeat() -> Result<()> {
    let rule = "\n  - name: short-wait\n    when: sql.writes.exists(t, t == \"public.notes\")\n    \
                approve: { by: [dba], wait: 1s, expires: 10m, grant: once }\n";
    lab_with(&Config::rules(rule), |lab| {
        let agent = lab.gateway.agent("writer")?;
        let dba = lab.gateway.person("ada", "dba")?;
        let text = "INSERT INTO notes (body) VALUES ('late-marker')";
        let mut wire = lab.wire(&agent)?;
        let reply = wire.query(text)?;
        let error = reply.error().context("the wait ends in a refusal")?;
        let id = lab.gateway.pending()?;
        assert!(error.message.contains(&id), "it carries the approval's id: {error:?}");
        assert!(error.message.contains("repeat"), "and says what to do: {error:?}");
        assert_eq!(reply.status, 'I');
        assert!(!lab.server_saw("late-marker")?);
        approve(lab, &id, &dba.secret, &[])?;
        assert!(!lab.server_saw("late-marker")?, "a yes runs nothing by itself");
        assert_eq!(wire.query(text)?.tags(), ["INSERT 0 1"], "one repeat");
        let third = wire.query(text)?;
        refused(&third, "approval")?;
        let count = lab.server.sql("SELECT count(*) FROM notes WHERE body = 'late-marker'")?;
        assert_eq!(count.trim(), "1");
        Ok(())
    })
}

#[test]
fn a_request_nobody_answers_expires_and_cannot_be_answered_then() -> Result<()> {
    let rule = "\n  - name: short-life\n    when: sql.writes.exists(t, t == \"public.notes\")\n    \
                approve: { by: [dba], wait: 1s, expires: 2s, grant: once }\n";
    lab_with(&Config::rules(rule), |lab| {
        let agent = lab.gateway.agent("writer")?;
        let dba = lab.gateway.person("ada", "dba")?;
        let mut wire = lab.wire(&agent)?;
        wire.ask("INSERT INTO notes (body) VALUES ('expired-marker')")?;
        let id = lab.gateway.pending()?;
        assert!(wire.until_ready()?.error().is_some(), "refused when the wait ends");
        until("the request expires", || Ok((status_of(lab, &id)? == "expired").then_some(())))?;
        let late = lab.gateway.narrows(&["approve", &id, "--token", &dba.secret])?;
        assert_eq!(late.code(), 1, "{}", late.stdout);
        assert!(!lab.server_saw("expired-marker")?);
        Ok(())
    })
}

#[test]
fn a_client_that_leaves_while_held_runs_nothing() -> Result<()> {
    lab_with(&Config::rules(HELD_WRITE), |lab| {
        let agent = lab.gateway.agent("leaver")?;
        let dba = lab.gateway.person("ada", "dba")?;
        let mut wire = lab.wire(&agent)?;
        wire.ask("INSERT INTO notes (body) VALUES ('left-marker')")?;
        let id = lab.gateway.pending()?;
        drop(wire);
        lab.gateway.events_of("leaver")?;
        let _ = lab.gateway.narrows(&["approve", &id, "--token", &dba.secret])?;
        let mut other = lab.wire(&lab.gateway.agent("other")?)?;
        assert_eq!(other.query("SELECT 1")?.text(), [["1"]]);
        assert!(!lab.server_saw("left-marker")?);
        Ok(())
    })
}

#[test]
fn cancelling_a_held_operation_ends_the_wait() -> Result<()> {
    lab_with(&Config::rules(HELD_WRITE), |lab| {
        let agent = lab.gateway.agent("canceller")?;
        let mut wire = lab.wire(&agent)?;
        wire.ask("INSERT INTO notes (body) VALUES ('cancel-marker')")?;
        lab.gateway.pending()?;
        let mut request = 16_u32.to_be_bytes().to_vec();
        request.extend(80_877_102_u32.to_be_bytes());
        request.extend(wire.key());
        Wire::open(lab.gateway.port())?.send(&request)?;
        let reply = wire.until_ready()?;
        let error = reply.error().context("cancelled")?;
        assert_eq!((error.code.as_str(), reply.status), ("57014", 'I'), "{error:?}");
        assert!(!lab.server_saw("cancel-marker")?);
        assert_eq!(wire.query("SELECT 1")?.text(), [["1"]]);
        Ok(())
    })
}

#[test]
fn paging_does_not_get_around_a_row_rule() -> Result<()> {
    lab(|lab| {
        let agent = lab.gateway.agent("pager")?;
        let mut wire = lab.wire(&agent)?;
        // One cursor, many fetches: rows of one cursor count together (R4).
        wire.query("BEGIN")?;
        wire.query("DECLARE c CURSOR FOR SELECT id, email FROM customers ORDER BY id")?;
        for _ in 0..2 {
            let page = wire.query("FETCH 5000 FROM c")?;
            assert_eq!(page.rows().len(), 5000, "{:?}", page.error());
        }
        wire.ask("FETCH 5000 FROM c")?;
        let id = lab.gateway.pending()?;
        let heard = wire.until_tag(b'N')?;
        assert_eq!(heard.rows().len(), 0, "the batch that crosses is held whole");
        let dba = lab.gateway.person("ada", "dba")?;
        lab.gateway.narrows(&["deny", &id, "--token", &dba.secret, "--reason", "no"])?.success()?;
        assert!(wire.until_ready()?.error().is_some());
        drop(wire);
        // Many statements over many connections: rows of one principal count together.
        let mut held = false;
        for page in 0..8 {
            let mut wire = lab.wire(&agent)?;
            wire.ask(&format!(
                "SELECT id FROM customers WHERE id > {} AND id <= {}",
                page * 9000,
                (page + 1) * 9000
            ))?;
            let first = until("an answer", || Ok(Some(wire.read()?)))?;
            if first.tag == b'N' {
                held = true;
                break;
            }
            wire.until_ready()?;
        }
        assert!(held, "the sixth page crosses 50,000 rows");
        Ok(())
    })
}

#[test]
fn p8_a_reply_larger_than_the_buffer_is_held_at_the_buffer() -> Result<()> {
    let config = Config::rules(RULES).with("hold: { buffer: 1MiB }");
    lab_with(&config, |lab| {
        let agent = lab.gateway.agent("wide")?;
        let mut wire = lab.wire(&agent)?;
        // Far fewer rows than the rule's threshold, far more bytes than may be withheld.
        wire.ask("SELECT repeat('marker-of-width', 10000) FROM generate_series(1, 100)")?;
        lab.gateway.pending()?;
        wire.until_tag(b'N')?;
        assert!(!wire.has_received(b"marker-of-width"));
        Ok(())
    })
}

#[test]
fn approvals_survive_a_restart_of_the_gateway() -> Result<()> {
    let rule = HELD_WRITE.replace("wait: 2m", "wait: 1s");
    lab_with(&Config::rules(&rule), |lab| {
        let agent = lab.gateway.agent("patient")?;
        let dba = lab.gateway.person("ada", "dba")?;
        let text = "INSERT INTO notes (body) VALUES ('after the restart')";
        assert!(lab.wire(&agent)?.query(text)?.error().is_some());
        let id = lab.gateway.pending()?;
        lab.gateway.kill()?;
        lab.gateway.launch()?;
        assert_eq!(lab.gateway.pending()?, id);
        approve(lab, &id, &dba.secret, &[])?;
        lab.gateway.kill()?;
        lab.gateway.launch()?;
        assert_eq!(lab.wire(&agent)?.query(text)?.tags(), ["INSERT 0 1"], "the yes outlived it");
        Ok(())
    })
}
