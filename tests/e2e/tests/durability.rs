//! P5: what the server executed is in the journal, whenever the gateway was killed.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, ensure};
use e2e::{Config, Lab, RULES, Wire, lab, lab_with, until};
use serde_json::Value;

/// How often each statement with this marker is in the server's log as executed.
fn executed(lab: &Lab, marker: &str) -> Result<BTreeMap<String, usize>> {
    let log = lab.server.log()?;
    let mut texts = BTreeMap::new();
    for line in log.lines().filter(|line| line.contains(" app ") && line.contains(marker)) {
        let statement = ["statement: ", "execute <unnamed>: ", "execute P_0: ", "execute P0_0: "]
            .iter()
            .find_map(|word| line.split_once(word));
        let statement = statement.or_else(|| {
            let (_, rest) = line.split_once("execute ")?;
            rest.split_once(": ")
        });
        if let Some((_, text)) = statement {
            *texts.entry(text.trim().to_owned()).or_default() += 1;
        }
    }
    Ok(texts)
}

/// How often each statement with this marker is in the journal as released.
fn journalled(lab: &Lab, marker: &str) -> Result<BTreeMap<String, usize>> {
    let sessions = lab.gateway.json(&["sessions", "--limit", "10000"])?;
    let mut texts = BTreeMap::new();
    for session in sessions.as_array().context("a list")? {
        let id = session.get("id").and_then(Value::as_str).context("an id")?;
        let shown = lab.gateway.show(id)?;
        let events = shown.get("events").and_then(Value::as_array).context("events")?;
        for event in
            events.iter().filter(|event| event.get("kind") == Some(&Value::from("operation")))
        {
            let text = event.get("text").and_then(Value::as_str).unwrap_or_default();
            let step = event.get("step").and_then(Value::as_str).unwrap_or_default();
            let decision = event.get("decision").and_then(Value::as_str).unwrap_or_default();
            let runs =
                ["query", "execute"].contains(&step) && ["allow", "mask"].contains(&decision);
            if runs && text.contains(marker) {
                *texts.entry(text.trim().to_owned()).or_default() += 1;
            }
        }
    }
    Ok(texts)
}

fn kill_under_load(lab: &mut Lab, mode: &str, round: usize) -> Result<()> {
    let marker = format!("load-{mode}-{round}");
    let script = lab.gateway.dir().join(format!("{marker}.sql"));
    std::fs::write(
        &script,
        format!(
            "\\set id random(1, 1000000000)\n\
             INSERT INTO notes (body) VALUES ('{marker}-' || :id);\n\
             SELECT /* {marker} */ credit_card FROM customers WHERE id = 1 + :id % 60000;\n"
        ),
    )?;
    let token = lab.gateway.agent(&marker)?;
    let path = script.display().to_string();
    let load = lab
        .driver(&token)
        .start_pgbench(&["-n", "-M", mode, "-c", "6", "-j", "2", "-t", "100000", "-f", &path])?;
    until("the load is on", || {
        ensure!(!lab.server.log()?.contains("FATAL:  sorry"), "the server is full");
        Ok((executed(lab, &marker)?.values().sum::<usize>() > 600).then_some(()))
    })?;
    lab.gateway.kill()?;
    let _ = load.output(std::time::Duration::from_secs(60))?;
    until("the server has finished what it was given", || {
        let running =
            lab.server.sql("SELECT count(*) FROM pg_stat_activity WHERE usename = 'app'")?;
        Ok((running.trim() == "0").then_some(()))
    })?;
    lab.gateway.launch()?;
    let (there, here) = (executed(lab, &marker)?, journalled(lab, &marker)?);
    let lost: Vec<_> = there
        .iter()
        .filter(|(text, times)| here.get(*text).copied().unwrap_or(0) < **times)
        .map(|(text, times)| {
            format!(
                "{text}: executed {times}×, journalled {}×",
                here.get(text).copied().unwrap_or(0)
            )
        })
        .collect();
    assert!(
        lost.is_empty(),
        "{mode}, round {round}: {} of {} lost:\n{}",
        lost.len(),
        there.len(),
        lost.join("\n")
    );
    let sessions = lab.gateway.json(&["sessions", "--principal", &marker])?;
    for session in sessions.as_array().into_iter().flatten() {
        assert!(
            session.get("ended_at").is_some_and(|at| !at.is_null()),
            "no session stays open: {session}"
        );
    }
    Ok(())
}

#[test]
fn p5_kill_9_under_simple_load_loses_no_executed_operation() -> Result<()> {
    lab(|lab| (1..=3).try_for_each(|round| kill_under_load(lab, "simple", round)))
}

#[test]
fn p5_kill_9_under_extended_load_loses_no_executed_operation() -> Result<()> {
    lab(|lab| (1..=3).try_for_each(|round| kill_under_load(lab, "extended", round)))
}

#[test]
fn p5_kill_9_with_sync_before_each_acknowledgement() -> Result<()> {
    let config = Config::rules(RULES).with("recording: { sync: 0 }");
    lab_with(&config, |lab| kill_under_load(lab, "simple", 1))
}

#[test]
fn p1_every_reply_is_in_the_journal_before_the_client_has_it() -> Result<()> {
    lab(|lab| {
        let token = lab.gateway.agent("reader")?;
        let mut wire = lab.wire(&token)?;
        let row = wire.query("SELECT id, email, ssn FROM customers WHERE id = 4242")?.text();
        // No goodbye, no chance to write anything later.
        lab.gateway.kill()?;
        lab.gateway.launch()?;
        assert_eq!(row, [["4242", "customer4242@shop.example", "[REDACTED]"]]);
        let events = lab.gateway.events_of("reader")?;
        let kinds: BTreeSet<_> =
            events.iter().filter_map(|event| event.get("kind")?.as_str()).collect();
        assert!(kinds.contains("operation"), "{events:?}");
        let reply = events.iter().find(|event| event.get("kind") == Some(&Value::from("reply")));
        let reply = reply.with_context(|| format!("no reply in {events:?}"))?;
        assert_eq!(reply.get("rows"), Some(&Value::from(1)), "{reply}");
        let ssn = lab.server.sql("SELECT ssn FROM customers WHERE id = 4242")?;
        let whole = Value::from(events.clone()).to_string();
        assert!(!whole.contains(ssn.trim()), "the record holds what the client got, not more");
        Ok(())
    })
}

#[test]
fn p5_a_torn_journal_is_cut_and_goes_on() -> Result<()> {
    lab(|lab| {
        let token = lab.gateway.agent("first")?;
        lab.wire(&token)?.query("SELECT 'before the tear'")?;
        lab.gateway.events_of("first")?;
        lab.gateway.kill()?;
        let newest = newest_segment(lab)?;
        let mut bytes = std::fs::read(&newest)?;
        bytes.extend([0xab; 37]);
        std::fs::write(&newest, bytes)?;
        lab.gateway.launch()?;
        let events = Value::from(lab.gateway.events_of("first")?).to_string();
        assert!(events.contains("before the tear"), "{events}");
        let token = lab.gateway.agent("second")?;
        lab.wire(&token)?.query("SELECT 'after the tear'")?;
        let events = Value::from(lab.gateway.events_of("second")?).to_string();
        assert!(events.contains("after the tear"), "{events}");
        Ok(())
    })
}

/// The file of the journal written last.
fn newest_segment(lab: &Lab) -> Result<std::path::PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![lab.gateway.dir().join("var")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder)? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.components().any(|part| part.as_os_str() == "journal") {
                files.push((
                    std::fs::metadata(&path)?.len().min(1),
                    std::fs::metadata(&path)?.modified()?,
                    path,
                ));
            }
        }
    }
    files.sort();
    Ok(files.pop().context("no journal")?.2)
}

#[test]
fn two_gateways_cannot_share_a_data_folder() -> Result<()> {
    lab(|lab| {
        let output = lab.gateway.narrows(&["serve", "-c", "narrows.yaml"])?;
        assert_eq!(output.code(), 1, "{output:?}");
        assert!(
            output.stderr.to_lowercase().contains("in use") || output.stderr.contains("lock"),
            "{}",
            output.stderr
        );
        let mut wire: Wire = lab.wire(&lab.gateway.agent("unharmed")?)?;
        assert_eq!(wire.query("SELECT 1")?.text(), [["1"]]);
        Ok(())
    })
}

#[test]
fn the_gateway_ends_cleanly_when_asked() -> Result<()> {
    lab(|lab| {
        let token = lab.gateway.agent("open")?;
        let mut wire = lab.wire(&token)?;
        wire.query("SELECT 1")?;
        drop(wire);
        let status = lab.gateway.stop()?;
        assert!(status.success(), "{status}");
        lab.gateway.launch()?;
        lab.wire(&token)?.query("SELECT 2")?;
        Ok(())
    })
}
