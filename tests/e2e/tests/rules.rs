//! What rules block never runs, and the client reads why.

use anyhow::{Context, Result, ensure};
use e2e::{Config, Lab, RULES, Wire, lab, lab_with, until};
use serde_json::Value;

/// The statement is refused with these words and the server never sees it.
fn blocked(lab: &Lab, wire: &mut Wire, text: &str, code: &str, words: &str) -> Result<()> {
    let marked = format!("/* refused-{} */ {text}", text.len());
    for extended in [false, true] {
        if extended && text.contains(';') {
            continue;
        }
        let reply = if extended { wire.extended(&marked, &[], 0)? } else { wire.query(&marked)? };
        let error = reply.error().with_context(|| format!("refused: {text}"))?;
        ensure!(error.code == code && error.message.contains(words), "{text}: {error:?}");
        ensure!(
            reply.status == 'I',
            "{text}: the session is idle afterwards, not {}",
            reply.status
        );
        ensure!(reply.rows().is_empty(), "{text}: no rows");
    }
    ensure!(!lab.server_saw(&marked)?, "the server saw {text}");
    ensure!(wire.query("SELECT 1")?.text() == [["1"]], "the session goes on after {text}");
    Ok(())
}

#[test]
fn p2_destructive_statements_are_blocked() -> Result<()> {
    lab(|lab| {
        let mut wire = lab.wire(&lab.gateway.agent("agent-7")?)?;
        for text in [
            "DROP TABLE customers",
            "drop table if exists customers cascade",
            "DROP VIEW card_view",
            "DROP SCHEMA public CASCADE",
            "TRUNCATE orders",
            "truncate table orders, notes restart identity",
            "DELETE FROM orders",
            "UPDATE orders SET amount = 0",
            "UPDATE orders SET amount = 0 WHERE true",
            "DELETE FROM orders WHERE 1 = 1",
            "WITH gone AS (DELETE FROM orders RETURNING *) SELECT count(*) FROM gone",
            "WITH x AS (SELECT 1) UPDATE orders SET amount = 0",
            "SELECT 1; DROP TABLE customers",
            "BEGIN; DELETE FROM orders; COMMIT",
            "EXPLAIN ANALYZE DELETE FROM orders",
            "PREPARE gone AS DELETE FROM orders",
            "COPY (DELETE FROM orders RETURNING *) TO STDOUT",
        ] {
            blocked(lab, &mut wire, text, "42501", "destructive statement")?;
        }
        // For a principal with masks these are not even judged by rules: they cannot be traced.
        for text in
            ["DO $$ BEGIN DELETE FROM orders; END $$", "DO LANGUAGE plpgsql 'BEGIN NULL; END'"]
        {
            blocked(lab, &mut wire, text, "42501", "")?;
        }
        assert_eq!(lab.server.sql("SELECT count(*) FROM orders")?.trim(), "100000");
        let error = wire.query("DROP TABLE orders")?.error().context("refused")?;
        assert!(error.all.contains("no-destruction"), "the rule is named: {error:?}");
        // What the rule does not name goes through.
        for (text, tag) in [
            ("INSERT INTO notes (body) VALUES ('a')", "INSERT 0 1"),
            ("UPDATE notes SET body = 'b' WHERE id = 1", "UPDATE 1"),
            ("DELETE FROM notes WHERE id = 1", "DELETE 1"),
            ("CREATE TEMP TABLE mine (a int)", "CREATE TABLE"),
        ] {
            let reply = wire.query(text)?;
            assert_eq!(reply.tags(), [tag], "{text}: {:?}", reply.error());
        }
        Ok(())
    })
}

#[test]
fn p2_text_that_is_not_in_the_statement_is_blocked_by_its_fact() -> Result<()> {
    let rules = RULES.split("  - name: ").filter(|rule| !rule.starts_with("mask"));
    lab_with(&Config::rules(&rules.collect::<Vec<_>>().join("  - name: ")), |lab| {
        let mut wire = lab.wire(&lab.gateway.agent("agent-7")?)?;
        for text in [
            "DO $$ BEGIN DELETE FROM orders; END $$",
            "DO LANGUAGE plpgsql 'BEGIN NULL; END'",
            "SELECT query_to_xml('DELETE FROM orders RETURNING 1', true, true, '')",
        ] {
            blocked(lab, &mut wire, text, "42501", "destructive statement")?;
        }
        Ok(())
    })
}

#[test]
fn p2_programs_and_files_of_the_server_are_refused_for_everyone() -> Result<()> {
    lab_with(&Config::open(), |lab| {
        // Even if the role may: the gateway's own word stands.
        lab.server.sql("ALTER ROLE app SUPERUSER")?;
        let mut wire = lab.wire(&lab.gateway.agent("agent-7")?)?;
        for text in [
            "COPY customers TO PROGRAM 'cat > stolen'",
            "COPY notes FROM PROGRAM 'id'",
            "COPY customers TO '/dev/null'",
            "COPY notes FROM '/etc/passwd'",
            "SELECT pg_read_file('/etc/passwd')",
            "SELECT pg_ls_dir('/')",
            "SELECT lo_import('/etc/passwd')",
            "WITH x AS (SELECT pg_read_binary_file('/etc/passwd')) SELECT * FROM x",
        ] {
            blocked(lab, &mut wire, text, "42501", "")?;
        }
        Ok(())
    })
}

#[test]
fn p7_other_sessions_on_the_shared_role_are_out_of_reach() -> Result<()> {
    lab_with(&Config::open(), |lab| {
        let mut wire = lab.wire(&lab.gateway.agent("agent-7")?)?;
        let mut other = lab.wire(&lab.gateway.agent("agent-8")?)?;
        other.query("SELECT 'private-text-of-another-session'")?;
        for text in [
            "SELECT query FROM pg_stat_activity",
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity",
            "SELECT pg_cancel_backend(1)",
            "SET ROLE boss",
            "SET SESSION AUTHORIZATION boss",
            "ALTER ROLE app PASSWORD 'mine now'",
            "SELECT set_config('role', 'boss', false)",
        ] {
            let reply = wire.query(text)?;
            let error = reply.error().with_context(|| format!("refused: {text}"))?;
            assert_eq!(error.code, "42501", "{text}: {error:?}");
            assert!(error.all.contains("narrows:"), "refused by the gateway: {text}: {error:?}");
        }
        assert!(!wire.has_received(b"private-text-of-another-session"));
        Ok(())
    })
}

#[test]
fn p2_what_cannot_be_read_is_refused() -> Result<()> {
    lab(|lab| {
        let mut wire = lab.wire(&lab.gateway.agent("agent-7")?)?;
        for (text, code) in [
            ("SELEC 1", "42601"),
            ("SELECT 'open", "42601"),
            ("SELECT ((1)", "42601"),
            (")", "42601"),
        ] {
            blocked(lab, &mut wire, text, code, "")?;
        }
        // Empty texts are nothing to refuse.
        for text in ["", ";", " ;; ", "-- nothing"] {
            let reply = wire.query(text)?;
            assert!(reply.error().is_none(), "{text:?}: {:?}", reply.error());
            assert_eq!(reply.status, 'I');
        }
        Ok(())
    })
}

#[test]
fn an_observed_rule_changes_nothing_and_says_so() -> Result<()> {
    let rule = "\n  - name: watch-drops\n    when: \"\\\"drop\\\" in sql.verbs\"\n    block: \"no\"\n    mode: observe\n";
    lab_with(&Config::rules(rule), |lab| {
        let mut wire = lab.wire(&lab.gateway.agent("observed")?)?;
        wire.query("CREATE TEMP TABLE t (a int)")?;
        assert_eq!(wire.query("DROP TABLE t")?.tags(), ["DROP TABLE"]);
        drop(wire);
        let events = lab.gateway.events_of("observed")?;
        let found =
            events.iter().flat_map(|event| event.get("rules").and_then(Value::as_array).cloned());
        let found: Vec<_> = found.flatten().collect();
        assert!(
            found.iter().any(|rule| rule.get("rule") == Some(&Value::from("watch-drops"))
                && rule.get("observed") == Some(&Value::from(true))),
            "{events:?}"
        );
        assert!(
            lab.gateway.log().contains("watch-drops"),
            "the log says loudly that it is observed"
        );
        Ok(())
    })
}

#[test]
fn limits_refuse_past_their_amount() -> Result<()> {
    let rule = "\n  - name: ten-a-minute\n    limit: { operations: 10, window: 1m }\n";
    lab_with(&Config::rules(rule), |lab| {
        let mut wire = lab.wire(&lab.gateway.agent("busy")?)?;
        let outcomes: Vec<bool> = (0..15)
            .map(|n| Ok(wire.query(&format!("SELECT {n}"))?.error().is_none()))
            .collect::<Result<_>>()?;
        assert_eq!(outcomes.iter().filter(|passed| **passed).count(), 10, "{outcomes:?}");
        assert!(outcomes.iter().take(10).all(|passed| *passed), "{outcomes:?}");
        // The limit is the principal's, not the connection's.
        let mut again = lab.wire(&lab.gateway.agent("other")?)?;
        assert!(again.query("SELECT 1")?.error().is_none());
        Ok(())
    })
}

#[test]
fn alerts_are_recorded_and_change_nothing() -> Result<()> {
    let rule = "\n  - name: bell\n    when: \"\\\"public.orders\\\" in sql.reads\"\n    alert: \"orders were read\"\n";
    lab_with(&Config::rules(rule), |lab| {
        let mut wire = lab.wire(&lab.gateway.agent("loud")?)?;
        assert_eq!(wire.query("SELECT count(*) FROM orders")?.text(), [["100000"]]);
        drop(wire);
        let events = Value::from(lab.gateway.events_of("loud")?).to_string();
        assert!(events.contains("orders were read"), "{events}");
        until("the log has the alert", || {
            Ok(lab.gateway.log().contains("orders were read").then_some(()))
        })
    })
}

#[test]
fn p2_what_a_reply_says_in_other_words_than_rows_is_judged_too() -> Result<()> {
    let rule = r#"
  - name: no-mail
    when: '"EMAIL" in result.detections'
    block: mail stays here
"#;
    lab_with(&Config::rules(rule), |lab| {
        let mut wire = lab.wire(&lab.gateway.agent("curious")?)?;
        for text in [
            "SELECT email FROM customers",
            "SELECT email::int FROM customers",
            "SELECT id FROM customers WHERE email::int = 1",
            "SELECT convert_to(email, 'UTF8') FROM customers",
            "COPY (SELECT convert_to(email, 'UTF8') FROM customers) TO STDOUT (FORMAT csv)",
        ] {
            let simple = wire.query(text)?;
            let reply =
                if text.starts_with("COPY") { simple } else { wire.extended(text, &[], 0)? };
            let error = reply.error().with_context(|| format!("refused: {text}"))?;
            ensure!(error.message.contains("mail stays here"), "{text}: {error:?}");
            ensure!(!error.all.contains('@') && reply.rows().is_empty(), "{text}: {error:?}");
        }
        let error = wire.query("SELECT name::int FROM customers")?.error().context("an error")?;
        ensure!(error.message.contains("invalid input syntax"), "others keep words: {error:?}");
        Ok(())
    })
}

#[test]
fn a_reload_is_all_or_nothing_and_reaches_open_sessions() -> Result<()> {
    lab_with(&Config::open(), |lab| {
        let mut wire = lab.wire(&lab.gateway.agent("steady")?)?;
        wire.query("CREATE TEMP TABLE t (a int)")?;
        let good = std::fs::read_to_string(lab.gateway.dir().join("narrows.yaml"))?;
        std::fs::write(lab.gateway.dir().join("narrows.yaml"), format!("{good}\nnonsense: 1\n"))?;
        let refused = lab.gateway.narrows(&["reload"])?;
        assert_eq!(refused.code(), 1);
        assert!(
            format!("{}{}", refused.stdout, refused.stderr).contains("nonsense"),
            "{refused:?}"
        );
        assert!(wire.query("SELECT 1")?.error().is_none(), "the old configuration runs on");
        lab.gateway.configure(&Config::sample(), &lab.server.upstream())?;
        lab.gateway.signal("HUP")?;
        until("the new rules hold for the open session", || {
            let error = wire.query("DROP TABLE IF EXISTS t")?.error();
            Ok(error.filter(|error| error.message.contains("destructive")).map(drop))
        })
    })
}
