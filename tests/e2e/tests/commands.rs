//! Commands: what people and scripts read.

use std::time::Duration;

use anyhow::{Context, Result};
use e2e::{Config, Lab, lab, lab_with, until};
use serde_json::Value;

/// A session with an allowed, a masked and a refused operation; its id.
fn a_session(lab: &Lab) -> Result<String> {
    let token = lab.gateway.agent("storyteller")?;
    let start = [("user", "agent"), ("database", "shop"), ("application_name", "the-app")];
    let mut wire = e2e::Wire::connect_with(lab.gateway.port(), &start, &token.secret)?;
    wire.query("SELECT count(*) FROM orders")?;
    wire.query("SELECT name, ssn FROM customers WHERE id = 3")?;
    wire.query("DROP TABLE orders")?;
    wire.extended("SELECT $1::int + 1", &["41"], 0)?;
    drop(wire);
    lab.gateway.events_of("storyteller")?;
    let session = lab.gateway.session_of("storyteller")?;
    Ok(session.get("id").and_then(Value::as_str).context("an id")?.to_owned())
}

#[test]
fn sessions_show_and_replay_tell_what_happened() -> Result<()> {
    lab(|lab| {
        let id = a_session(lab)?;
        let session = lab.gateway.session_of("storyteller")?;
        for key in [
            "id",
            "principal",
            "resource",
            "protocol",
            "started_at",
            "ended_at",
            "operations",
            "rows",
            "bytes",
            "decisions",
        ] {
            assert!(session.get(key).is_some_and(|value| !value.is_null()), "{key}: {session}");
        }
        assert_eq!(session.pointer("/decisions/block"), Some(&Value::from(1)), "{session}");
        let masked = session.pointer("/decisions/mask").and_then(Value::as_u64);
        assert!(masked.is_some_and(|masked| masked >= 1), "{session}");
        let by_table = lab.gateway.json(&["sessions", "--table", "customers", "--since", "1h"])?;
        assert!(by_table.to_string().contains(&id), "{by_table}");
        let none = lab.gateway.json(&["sessions", "--table", "vault"])?;
        assert_eq!(none, Value::Array(Vec::new()));

        let story = lab.gateway.narrows(&["show", &id])?.success()?;
        for word in [
            "storyteller",
            "the-app",
            "shop",
            "SELECT name, ssn FROM customers",
            "mask-cards-and-ssn",
            "DROP TABLE orders",
            "destructive statement",
            "no-destruction",
            "[REDACTED]",
        ] {
            assert!(story.contains(word), "show lacks {word:?}:\n{story}");
        }
        assert!(!story.contains('\u{1b}'), "no colours without a terminal");
        let replayed = lab.gateway.narrows(&["replay", &id, "--speed", "0"])?.success()?;
        assert!(
            replayed.contains("[REDACTED]") && replayed.contains("DROP TABLE orders"),
            "{replayed}"
        );
        let ssn = lab.server.sql("SELECT ssn FROM customers WHERE id = 3")?;
        assert!(!format!("{story}{replayed}").contains(ssn.trim()));

        let events = lab.gateway.show(&id)?;
        let operation = events.get("events").and_then(Value::as_array).into_iter().flatten();
        let mut operation = operation.filter(|event| {
            event
                .get("text")
                .is_some_and(|text| text.as_str().is_some_and(|text| text.contains("name, ssn")))
        });
        let operation = operation.next().context("the masked read")?;
        assert_eq!(
            operation.get("reads"),
            Some(&serde_json::json!(["public.customers"])),
            "{operation}"
        );
        assert!(operation.to_string().contains("public.customers.ssn"), "{operation}");
        Ok(())
    })
}

#[test]
fn watch_follows_a_live_session() -> Result<()> {
    lab(|lab| {
        let token = lab.gateway.agent("watched")?;
        let mut wire = lab.wire(&token)?;
        wire.query("SELECT 'before watching'")?;
        let session = lab.gateway.session_of("watched")?;
        let id = session.get("id").and_then(Value::as_str).context("an id")?;
        let watch = lab.gateway.start_narrows(&["watch", id])?;
        wire.query("SELECT 'while watching'")?;
        drop(wire);
        let output = watch.output(Duration::from_secs(60))?;
        let said = output.success()?;
        assert!(
            said.contains("while watching"),
            "it ends with the session and has told all:\n{said}"
        );
        Ok(())
    })
}

#[test]
fn explain_says_which_rules_and_masks_apply() -> Result<()> {
    lab(|lab| {
        lab.wire(&lab.gateway.agent("warm-up")?)?.query("SELECT 1")?;
        let explain = |text: &str| -> Result<String> {
            let words = ["explain", "--as", "bot", "--group", "agents", "--on", "shop", text];
            lab.gateway.narrows(&words)?.success()
        };
        let masked = explain("SELECT credit_card FROM customers")?;
        assert!(
            masked.contains("mask-cards-and-ssn") && masked.contains("credit_card"),
            "{masked}"
        );
        let blocked = explain("DELETE FROM orders")?;
        assert!(blocked.contains("no-destruction"), "{blocked}");
        assert!(blocked.contains("DELETE has no WHERE that reads the table"), "{blocked}");
        let lineage = explain("SELECT id, 'no. ' || ssn AS s, count(*) OVER () FROM customers")?;
        assert!(lineage.contains("made of public.customers.ssn"), "{lineage}");
        assert!(lineage.contains("no stored column"), "{lineage}");
        let used = explain("SELECT id FROM customers WHERE ssn LIKE '1%'")?;
        assert!(used.contains("in WHERE") && used.contains("refused: predicate"), "{used}");
        // What a session is refused whatever the rules say.
        let role = explain("SET ROLE postgres")?;
        assert!(role.contains("bot on shop: block") && role.contains("[role_change]"), "{role}");
        let others = explain("SELECT * FROM pg_stat_activity")?;
        assert!(others.contains("[other_backends]"), "{others}");
        let fetch = explain("FETCH 1 FROM c")?;
        assert!(fetch.contains("[unknown_source]"), "{fetch}");
        assert!(!lab.server_saw("DELETE FROM orders")?, "nothing is sent upstream");
        let json = lab.gateway.json(&[
            "explain",
            "--as",
            "bot",
            "--group",
            "agents",
            "--on",
            "shop",
            "DROP TABLE orders",
        ])?;
        assert!(json.to_string().contains("no-destruction"), "{json}");
        Ok(())
    })
}

#[test]
fn other_commands_say_sensible_things() -> Result<()> {
    lab(|lab| {
        let resources = lab.gateway.narrows(&["resources"])?.success()?;
        assert!(resources.contains("shop") && resources.contains("locked"), "{resources}");
        let doctor = lab.gateway.narrows(&["doctor"])?.success()?;
        assert!(!doctor.trim().is_empty());
        let check = lab.gateway.narrows(&["check"])?.success()?;
        assert!(!check.trim().is_empty());
        let shown = lab.gateway.narrows(&["check", "--show"])?.success()?;
        assert!(shown.contains("big-reads") && shown.contains("UPSTREAM_PASSWORD"), "{shown}");
        let schema: Value = serde_json::from_str(&lab.gateway.narrows(&["schema"])?.success()?)?;
        assert!(schema.pointer("/properties/rules").is_some());
        let api = lab.gateway.api_open("/openapi.json")?.json();
        assert!(api.pointer("/paths/~1api~1v1~1sessions").is_some(), "{api}");
        let token =
            lab.gateway.json(&["token", "create", "x", "--group", "agents", "--ttl", "1h"])?;
        for key in ["id", "token", "subject", "groups", "expires_at"] {
            assert!(token.get(key).is_some_and(|value| !value.is_null()), "{key}: {token}");
        }
        assert!(
            token.get("token").and_then(Value::as_str).is_some_and(|text| text.starts_with("nrw_"))
        );
        for wrong in [
            vec!["frobnicate"],
            vec!["show"],
            vec!["token", "create"],
            vec!["approve", "x", "--for", "soon"],
        ] {
            assert_eq!(lab.gateway.narrows(&wrong)?.code(), 2, "{wrong:?}");
        }
        for no in [
            vec!["show", "s_nothing"],
            vec!["approve", "ap_nothing"],
            vec!["token", "revoke", "tk_nothing"],
        ] {
            let output = lab.gateway.narrows(&no)?;
            assert_eq!(output.code(), 1, "{no:?}");
            assert!(!output.stderr.trim().is_empty(), "{no:?} says why");
        }
        Ok(())
    })
}

#[test]
fn metrics_count_what_happens() -> Result<()> {
    lab(|lab| {
        a_session(lab)?;
        let text = lab.gateway.api_open("/metrics")?.text;
        let value = |name: &str| {
            text.lines()
                .find(|line| line.starts_with(name))
                .and_then(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
        };
        assert_eq!(value("narrows_sessions_total"), Some(1.0), "{text}");
        assert_eq!(value("narrows_operations_total{decision=\"block\"}"), Some(1.0), "{text}");
        assert!(value("narrows_rows_total").is_some_and(|rows| rows >= 3.0), "{text}");
        assert!(value("narrows_process_resident_memory_bytes").is_some());
        assert!(text.trim_end().ends_with("# EOF"));
        Ok(())
    })
}

#[test]
fn commands_without_a_gateway_say_what_was_tried() -> Result<()> {
    lab(|lab| {
        lab.gateway.stop()?;
        let output = lab.gateway.narrows(&["sessions"])?;
        assert_eq!(output.code(), 1);
        assert!(
            output.stderr.contains("127.0.0.1") && output.stderr.contains("narrows serve"),
            "{}",
            output.stderr
        );
        let output = lab.gateway.narrows(&["-c", "missing.yaml", "sessions"])?;
        assert_ne!(output.code(), 0);
        assert!(output.stderr.contains("missing.yaml"), "{}", output.stderr);
        Ok(())
    })
}

#[test]
fn a_configuration_with_ten_mistakes_gets_ten_answers() -> Result<()> {
    lab_with(&Config::open(), |lab| {
        let text = "\
data_dirr: ./var
listen:
  admin: 127.0.0.1
  postgress: 127.0.0.1:7432
resources:
  appdb: { type: postgres, address: \"127.0.0.1:5432\", user: app, tls: sometimes }
  web: { type: ssh, address: \"10.0.0.5:22\" }
access:
  - { groups: [agents], resources: [appdv] }
rules:
  - name: twice
    mask: { fields: [ssn], with: scramble }
    block: \"no\"
  - name: typo
    when: sql.verbz.exists(v, v == \"drop\")
    block: \"no\"
  - name: type
    when: sql.dynamic + 1 > 2
    block: \"no\"
  - name: wait
    approve: { by: [dba], wait: soon }
recording: { payload: everything }
sessions_max: many
";
        std::fs::write(lab.gateway.dir().join("bad.yaml"), text)?;
        let output = lab.gateway.narrows(&["-c", "bad.yaml", "check"])?;
        assert_eq!(output.code(), 1);
        let said = format!("{}{}", output.stdout, output.stderr);
        for (line, word) in [
            (1, "data_dirr"),
            (3, "admin"),
            (4, "postgress"),
            (6, "sometimes"),
            (7, "ssh"),
            (9, "appdv"),
            (12, "scramble"),
            (15, "verbz"),
            (21, "soon"),
            (22, "everything"),
            (23, "many"),
        ] {
            let place = format!("bad.yaml:{line}:");
            let found = said.lines().any(|one| one.contains(&place));
            assert!(found && said.contains(word), "no word about {word} on line {line}:\n{said}");
        }
        for near in ["data_dir", "verify-full", "sql.verb", "appdb"] {
            assert!(said.contains(near), "the nearest right word {near} is not named:\n{said}");
        }
        let serve = lab.gateway.narrows(&["-c", "bad.yaml", "serve"])?;
        assert_eq!(serve.code(), 1, "and nothing is served with it");
        Ok(())
    })
}

#[test]
fn a_taken_port_is_named() -> Result<()> {
    lab(|lab| {
        let text = std::fs::read_to_string(lab.gateway.dir().join("narrows.yaml"))?;
        std::fs::write(lab.gateway.dir().join("second.yaml"), text.replace("./var", "./var2"))?;
        let output = lab.gateway.narrows(&["-c", "second.yaml", "serve"])?;
        assert_eq!(output.code(), 1);
        assert!(output.stderr.contains("127.0.0.1:"), "{}", output.stderr);
        until("the first gateway serves on", || {
            Ok((lab.gateway.api_open("/readyz")?.status == 200).then_some(()))
        })
    })
}
