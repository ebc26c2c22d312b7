//! What leaves a gateway for other programs: exports of recordings.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use anyhow::{Context, Result, ensure};
use e2e::{Config, Gateway, Lab, RULES, Server, lab_with};
use serde_json::Value;

fn config() -> Config {
    Config::rules(RULES).with("recording: { archive_every: 1s, keep_journal: 0 }")
}

fn work(lab: &Lab, name: &str) -> Result<Vec<u8>> {
    let token = lab.gateway.agent(name)?;
    let mut wire = lab.wire(&token)?;
    wire.forget();
    wire.query("SELECT id, email, ssn FROM customers WHERE id < 4")?;
    wire.extended("SELECT $1::text || ', =1+1'", &["a value"], 1)?;
    let received = wire.received().to_vec();
    wire.query("DROP TABLE customers")?;
    drop(wire);
    lab.gateway.events_of(name)?;
    Ok(received)
}

fn export(lab: &Lab, more: &[&str]) -> Result<String> {
    lab.gateway.narrows(&[&["audit", "export"], more].concat())?.success()
}

fn session(lab: &Lab, name: &str) -> Result<String> {
    let session = lab.gateway.session_of(name)?;
    Ok(session.get("id").and_then(Value::as_str).context("an id")?.to_owned())
}

fn lines(text: &str) -> Result<Vec<Value>> {
    text.lines().map(|line| Ok(serde_json::from_str(line)?)).collect()
}

fn word<'a>(of: &'a Value, key: &str) -> &'a str {
    of.get(key).and_then(Value::as_str).unwrap_or("-")
}

#[test]
fn an_export_is_the_same_of_the_gateway_and_of_its_archive() -> Result<()> {
    lab_with(&config(), |lab| {
        work(lab, "first")?;
        work(lab, "second")?;
        let one = session(lab, "first")?;
        let export = |more: &[&str]| export(lab, more);
        let live = export(&[&one, "--format", "jsonl"])?;
        let both = export(&["--since", "1h", "--format", "jsonl"])?;
        let events = lines(&live)?;
        assert_eq!(events.first().map(|of| word(of, "kind")), Some("session_started"), "{live}");
        assert_eq!(events.last().map(|of| word(of, "kind")), Some("session_ended"), "{live}");
        assert!(live.contains("payload_base64") && live.contains("a value"), "{live}");
        let at = |of: &Value| of.get("at").and_then(Value::as_u64);
        let merged = lines(&both)?;
        ensure!(merged.len() > 2 * events.len() - 4, "{both}");
        ensure!(merged.iter().map(at).is_sorted(), "{both}");
        let mine = export(&["--principal", "first", "--format", "jsonl"])?;
        assert_eq!(mine, live);

        let ocsf = lines(&export(&[&one, "--format", "ocsf"])?)?;
        ensure!(ocsf.iter().all(|of| of.get("class_uid").is_some()), "{ocsf:?}");
        let cast = lines(&export(&[&one, "--format", "asciicast"])?)?;
        assert_eq!(cast.first().and_then(|of| of.get("version")?.as_u64()), Some(2), "{cast:?}");
        let har: Value = serde_json::from_str(&export(&[&one, "--format", "har"])?)?;
        assert_eq!(har.pointer("/log/entries").and_then(Value::as_array).map(Vec::len), Some(0));

        let written = lab.gateway.dir().join("out.csv");
        let name = written.display().to_string();
        let said = lab
            .gateway
            .narrows(&["audit", "export", "--since", "1h", "--format", "csv", "-o", &name])?;
        assert!(said.stderr.contains("events exported"), "{said:?}");
        assert_eq!(said.success()?, "");
        let csv = fs::read_to_string(&written)?;
        assert_eq!(csv.matches("DROP TABLE customers").count(), 2, "{csv}");
        assert_eq!(fs::metadata(&written)?.permissions().mode() & 0o777, 0o600);

        let no = lab.gateway.narrows(&["audit", "export", "s_none", "--format", "csv"])?;
        assert_eq!(no.code(), 1);
        assert!(no.stderr.contains("there is no session s_none"), "{}", no.stderr);

        ensure!(lab.gateway.stop()?.success());
        let export = |more: &[&str]| self::export(lab, more);
        let copy = lab.gateway.dir().join("var/recordings").display().to_string();
        let stored = export(&[&one, "--format", "jsonl", "--store", &copy])?;
        assert_eq!(stored, live);
        let stored = export(&[
            "--principal",
            "first",
            "--since",
            "1h",
            "--format",
            "jsonl",
            "--store",
            &copy,
        ])?;
        assert_eq!(stored, live);
        // The archive has the gateway's own events too.
        let whole = export(&["--since", "1h", "--format", "jsonl", "--store", &copy])?;
        assert!(whole.contains("token.create") && whole.contains("config.load"), "{whole}");
        let sessions: String = whole
            .lines()
            .filter(|line| line.contains(r#""session":"s_"#))
            .map(|line| format!("{line}\n"))
            .collect();
        assert_eq!(sessions, both);
        let no = lab.gateway.narrows(&[
            "audit", "export", "s_none", "--format", "csv", "--store", &copy, "-o", &name,
        ])?;
        assert_eq!(no.code(), 1);
        assert!(no.stderr.contains("there is no event of s_none"), "{}", no.stderr);
        assert_eq!(fs::read_to_string(&written)?, csv, "the file of before is still there");
        Ok(())
    })
}

#[test]
fn a_session_can_be_written_as_the_bytes_that_its_client_got() -> Result<()> {
    lab_with(&Config::rules(RULES), |lab| {
        let received = work(lab, "reader")?;
        let one = session(lab, "reader")?;
        let said = lab.gateway.narrows(&["replay", &one, "--as-client"])?;
        assert_eq!((said.code(), &*said.stderr), (0, ""));
        // The gateway's own refusal of the third is not the upstream's reply.
        assert_eq!(said.stdout, String::from_utf8_lossy(&received));
        ensure!(said.stdout.contains("[REDACTED]"), "{}", said.stdout.escape_debug());
        Ok(())
    })?;
    let none = Config::rules(RULES).with("recording: { payload: none }");
    lab_with(&none, |lab| {
        work(lab, "reader")?;
        let one = session(lab, "reader")?;
        let said = lab.gateway.narrows(&["replay", &one, "--as-client"])?;
        assert_eq!((said.code(), &*said.stdout), (1, ""));
        assert!(said.stderr.starts_with("0 bytes were written; "), "{}", said.stderr);
        assert!(said.stderr.contains("more reached the client and were not kept"), "{said:?}");
        Ok(())
    })
}

#[test]
fn a_resource_may_keep_less_of_its_replies_than_the_others() -> Result<()> {
    let quiet = Config::rules(RULES).resource("quiet", "recording: { payload: {head: 4B} }");
    lab_with(&quiet, |lab| {
        for (name, kept) in [("loud", None), ("hushed", Some(4))] {
            let token = lab.gateway.agent(name)?;
            let mut wire = match kept {
                None => lab.wire(&token)?,
                Some(_) => lab.wire_to(&token, "quiet")?,
            };
            let got = wire.query("SELECT 'a word in clear'")?;
            ensure!(got.error().is_none(), "{:?}", got.error());
            drop(wire);
            let one = session(lab, name)?;
            let said = lab.gateway.narrows(&["replay", &one, "--as-client"])?;
            let whole = said.stdout.contains("a word in clear");
            assert_eq!((said.code(), whole), (i32::from(kept.is_some()), kept.is_none()));
            if let Some(kept) = kept {
                assert!(
                    said.stderr.starts_with(&format!("{kept} bytes were written; ")),
                    "{said:?}"
                );
            }
        }
        Ok(())
    })
}

#[test]
fn p7_what_is_sealed_is_exported_with_its_key_and_without_it_said_to_be_lacking() -> Result<()> {
    let sealed = "recording: { archive_every: 1s, encryption: { key: {env: AUDIT_KEY} } }";
    let server = Server::start()?;
    let key = "6b1f0d0ab5e64e13a0c9c2b7f1d25f7d3c8a9e0b4f6d7c5e2a1b3c4d5e6f7a8b";
    let config = Config::rules(RULES).with(sealed);
    let gateway = Gateway::start_in(&[("AUDIT_KEY", key)], &config, &server.upstream())?;
    let mut lab = Lab { gateway, server };
    work(&lab, "reader")?;
    let one = session(&lab, "reader")?;
    let live = export(&lab, &[&one, "--format", "jsonl"])?;
    ensure!(lab.gateway.stop()?.success());
    let copy = lab.gateway.dir().join("var/recordings").display().to_string();
    let file = lab.gateway.dir().join("audit.key");
    fs::write(&file, key)?;
    let (file, words) =
        (file.display().to_string(), [&*one, "--format", "jsonl", "--store", &copy]);
    assert_eq!(export(&lab, &[&words[..], &["--key", &file]].concat())?, live);
    let said = lab.gateway.narrows(&[&["audit", "export"], &words[..]].concat())?;
    assert_eq!(said.code(), 1, "{said:?}");
    ensure!(said.stderr.contains("it is sealed, and no key opened it"), "{}", said.stderr);
    ensure!(said.stdout.contains(r#""text":"(sealed)""#), "{}", said.stdout);
    for secret in ["a value", "payload", "SELECT"] {
        ensure!(!said.stdout.replace("payload_dropped", "").contains(secret), "{}", said.stdout);
    }
    assert_eq!(said.stdout.lines().count(), live.lines().count());
    Ok(())
}
