//! The journal on disk, sealed: what a copy of `data_dir` gives away, and what the gateway makes of it
//! after a kill, with another key, and when sealing is switched off and on.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use e2e::{Config, Gateway, Lab, RULES, Server, until};
use serde_json::Value;

const KEYS: [(&str, &str); 3] = [
    ("AUDIT_KEY", "6b1f0d0ab5e64e13a0c9c2b7f1d25f7d3c8a9e0b4f6d7c5e2a1b3c4d5e6f7a8b"),
    ("INSTALLATION", "an installation key from elsewhere, long enough"),
    ("ANOTHER", "another installation key, which is long enough too"),
];
const ENCRYPTION: &str = "encryption: { key: {env: AUDIT_KEY} }";
/// What a session says and gets.
const SAID: [&str; 5] = [
    "words nobody finds",
    "a value nobody finds",
    "customer3@shop.example",
    "public.customers",
    "destructive statement",
];

/// With the recording of an archive that is made when the gateway stops, and not before.
fn config(more: &str, key: &str) -> Config {
    let recording = format!("recording: {{ archive_every: 1h, keep_journal: 0s, {more} }}");
    let keys = format!("keys: {{ installation: {{env: {key}}} }}");
    Config::rules(RULES).with(&recording).with(&keys)
}

fn lab() -> Result<Lab> {
    let server = Server::start()?;
    let config = config(ENCRYPTION, "INSTALLATION");
    let gateway = Gateway::start_in(&KEYS, &config, &server.upstream())?;
    Ok(Lab { gateway, server })
}

/// One session that says all of [`SAID`]; its id.
fn work(lab: &Lab, name: &str) -> Result<String> {
    let token = lab.gateway.agent(name)?;
    let mut wire = lab.wire(&token)?;
    wire.query("SELECT email, 'words nobody finds' FROM customers WHERE id = 3")?;
    wire.extended("SELECT $1::text", &["a value nobody finds"], 0)?;
    wire.query("DROP TABLE customers")?;
    drop(wire);
    lab.gateway.events_of(name)?;
    id(lab, name)
}

fn id(lab: &Lab, name: &str) -> Result<String> {
    let told = lab.gateway.session_of(name)?;
    Ok(told.get("id").and_then(Value::as_str).context("an id")?.to_owned())
}

fn journal(lab: &Lab) -> PathBuf {
    lab.gateway.dir().join("var/journal")
}

/// Files below a folder that hold a text as it is.
fn holding(folder: &Path, text: &str) -> Result<String> {
    let grep = Command::new("grep").args(["-rlaF", text]).arg(folder).output()?;
    // 1: it is in none.
    ensure!(matches!(grep.status.code(), Some(0 | 1)), "{grep:?}");
    Ok(String::from_utf8(grep.stdout)?)
}

fn says_all(lab: &Lab, session: &str, when: &str) -> Result<()> {
    let events = lab.gateway.show(session)?.to_string();
    let story = lab.gateway.narrows(&["show", session, "--full"])?.success()?;
    let told = events + &story;
    for said in SAID {
        ensure!(told.contains(said), "{when}, {said:?} is not in {told}");
    }
    Ok(())
}

/// Nothing of it is in any file of the journal, and none of what was said in all of `data_dir`.
fn says_nothing(lab: &Lab, when: &str) -> Result<()> {
    for said in SAID.into_iter().chain(["session_started", "\"v\":1", "ann-of-accounting"]) {
        assert_eq!(holding(&journal(lab), said)?, "", "{when}: {said:?}");
    }
    for said in SAID.into_iter().filter(|said| *said != "public.customers") {
        assert_eq!(holding(&lab.gateway.dir().join("var"), said)?, "", "{when}: {said:?}");
    }
    Ok(())
}

#[test]
fn p6_the_disk_of_a_gateway_that_seals_says_nothing_and_the_gateway_everything() -> Result<()> {
    let mut lab = lab()?;
    let ann = work(&lab, "ann-of-accounting")?;
    says_all(&lab, &ann, "while it runs")?;
    says_nothing(&lab, "while it runs")?;
    // What a killed process left is found again, and goes on.
    lab.gateway.kill()?;
    says_nothing(&lab, "after a kill")?;
    std::fs::remove_file(lab.gateway.dir().join("var/state.sqlite"))?;
    lab.gateway.launch()?;
    says_all(&lab, &ann, "after a kill, without an index")?;
    let log = lab.gateway.log();
    ensure!(!log.contains("damaged"), "{log}");
    // Rules are tried on it without asking the gateway, with the key of the configuration.
    let rules = lab.gateway.dir().join("new.yaml");
    let new = "- { name: none, when: \"sql.verbs.exists(v, v == 'select')\", block: \"no\" }\n";
    std::fs::write(&rules, new)?;
    let words = ["rules", "backtest", "new.yaml", "--since", "1h"];
    let report = lab.gateway.json(&words)?;
    let changed = report.get("changed").and_then(Value::as_u64);
    ensure!(changed >= Some(2), "{report}");
    ensure!(!report.to_string().contains("unread"), "{report}");
    // The archive has it all, sealed by its own key, and the journal nothing more.
    ensure!(lab.gateway.stop()?.success());
    lab.gateway.narrows(&["audit", "verify"])?.success()?;
    says_nothing(&lab, "after it was archived")?;
    lab.gateway.launch()?;
    says_all(&lab, &ann, "from the archive")?;
    says_nothing(&lab, "from the archive")
}

#[test]
fn p6_without_its_key_a_gateway_says_which_file_is_sealed_and_changes_nothing() -> Result<()> {
    let mut lab = lab()?;
    let ann = work(&lab, "ann-of-accounting")?;
    lab.gateway.kill()?;
    let upstream = lab.server.upstream();
    lab.gateway.configure(&config(ENCRYPTION, "ANOTHER"), &upstream)?;
    let before = files(&lab)?;
    lab.gateway.launch_unready()?;
    let status = until("the gateway gives up", || lab.gateway.ended())?;
    ensure!(!status.success());
    let log = lab.gateway.log_tail();
    for words in ["-0000000001.nj is sealed under another installation key", "keys.installation"] {
        ensure!(log.contains(words), "{words:?} is not in:\n{log}");
    }
    ensure!(!log.contains("damaged"), "{log}");
    assert_eq!(files(&lab)?, before);
    let rules = lab.gateway.dir().join("new.yaml");
    std::fs::write(&rules, "[]\n")?;
    let told = lab.gateway.json(&["rules", "backtest", "new.yaml", "--since", "1h"])?.to_string();
    ensure!(told.contains("is sealed under another installation key"), "{told}");
    lab.gateway.configure(&config(ENCRYPTION, "INSTALLATION"), &upstream)?;
    lab.gateway.launch()?;
    says_all(&lab, &ann, "with its key again")
}

/// The segments, by name.
fn files(lab: &Lab) -> Result<Vec<(PathBuf, Vec<u8>)>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(journal(lab))? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "nj") {
            files.push((path.clone(), std::fs::read(&path)?));
        }
    }
    files.sort();
    Ok(files)
}

#[test]
fn p5_sealing_is_switched_off_and_on_and_every_session_stays_whole() -> Result<()> {
    let mut lab = lab()?;
    let upstream = lab.server.upstream();
    let ann = work(&lab, "ann-of-accounting")?;
    lab.gateway.kill()?;
    lab.gateway.configure(&config("", "INSTALLATION"), &upstream)?;
    lab.gateway.launch()?;
    let ben = work(&lab, "ben")?;
    let clear = holding(&journal(&lab), "words nobody finds")?;
    assert_eq!(clear.lines().count(), 1, "one segment, and that is in clear: {clear}");
    lab.gateway.kill()?;
    lab.gateway.configure(&config(ENCRYPTION, "INSTALLATION"), &upstream)?;
    lab.gateway.launch()?;
    let cleo = work(&lab, "cleo")?;
    for (session, when) in [(&ann, "sealed"), (&ben, "in clear"), (&cleo, "sealed again")] {
        says_all(&lab, session, when)?;
    }
    assert_eq!(holding(&journal(&lab), "words nobody finds")?, clear);
    assert_eq!(files(&lab)?.len(), 3);
    ensure!(lab.gateway.stop()?.success());
    let report = lab.gateway.json(&["audit", "verify"])?;
    assert_eq!(report.get("problems"), Some(&Value::Array(Vec::new())), "{report}");
    lab.gateway.launch()?;
    for session in [&ann, &ben, &cleo] {
        says_all(&lab, session, "from the archive")?;
    }
    Ok(())
}
