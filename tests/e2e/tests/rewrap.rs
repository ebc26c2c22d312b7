//! The customer's key is changed: what was sealed opens by the new one, and the former one can go.

use std::fs;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use e2e::{Config, Gateway, Lab, Server};
use serde_json::Value;

const OLD: &str = "6b1f0d0ab5e64e13a0c9c2b7f1d25f7d3c8a9e0b4f6d7c5e2a1b3c4d5e6f7a8b";
const NEW: &str = "1c9d4e7f0a2b5c8d1e4f7a0b3c6d9e2f5a8b1c4d7e0f3a6b9c2d5e8f1a4b7c0d";
const ASKED: &str = "SELECT id, email FROM customers WHERE id < 4";

fn config(encryption: &str) -> Config {
    let recording =
        format!("recording: {{ archive_every: 1s, keep_journal: 0, encryption: {encryption} }}");
    Config::open().with(&recording)
}

/// Stops the gateway, so that everything is archived, and starts it with another key.
fn with_key(lab: &mut Lab, encryption: &str) -> Result<()> {
    let status = lab.gateway.stop()?;
    ensure!(status.success(), "{status}");
    lab.gateway.configure(&config(encryption), &lab.server.upstream())?;
    lab.gateway.launch()
}

fn openssl(lab: &Lab, arguments: &[&str]) -> Result<()> {
    let made = Command::new("openssl").args(arguments).current_dir(lab.gateway.dir()).output();
    let made = made.context("start openssl (Debian: openssl)")?;
    ensure!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    Ok(())
}

#[test]
fn p7_a_key_is_changed_and_the_former_one_is_needed_no_longer() -> Result<()> {
    let server = Server::start()?;
    let variables = [("OLD_KEY", OLD), ("NEW_KEY", NEW)];
    let first = config("{ key: {env: OLD_KEY} }");
    let gateway = Gateway::start_in(&variables, &first, &server.upstream())?;
    let mut lab = Lab { gateway, server };
    let (ann, bob) = (lab.asks("ann", ASKED)?, lab.asks("bob", ASKED)?);
    for (name, key) in [("old.key", OLD), ("new.key", NEW)] {
        fs::write(lab.gateway.dir().join(name), key)?;
    }
    let unseal = |lab: &Lab, id: &str, key: &str| {
        lab.gateway.narrows(&["audit", "unseal", id, "--store", "var/recordings", "--key", key])
    };
    let rewrap = |lab: &Lab| lab.gateway.narrows(&["audit", "rewrap", "--json"]);
    let told = |text: &str, key: &str| -> Result<u64> {
        let told: Value = serde_json::from_str(text)?;
        told.get(key).and_then(Value::as_u64).with_context(|| format!("{key}: {text}"))
    };

    // Without the former key nothing can be wrapped anew, and what could not be is said.
    with_key(&mut lab, "{ key: {env: NEW_KEY} }")?;
    ensure!(unseal(&lab, &bob, "new.key")?.code() == 1, "it is of the former key");
    ensure!(unseal(&lab, &bob, "old.key")?.success()?.contains(ASKED));
    let refused = rewrap(&lab)?;
    ensure!(refused.code() == 1 && told(&refused.stdout, "rewrapped")? == 0, "{refused:?}");
    ensure!(refused.stdout.contains("\"key_id\": \"local:"), "{}", refused.stdout);

    with_key(&mut lab, "{ key: {env: NEW_KEY}, also: [{env: OLD_KEY}] }")?;
    let erase = ["audit", "erase", "--principal", "ann", "--reason", "asked"];
    lab.gateway.narrows(&erase)?.success()?;
    let done = rewrap(&lab)?.success()?;
    ensure!(told(&done, "rewrapped")? > 0 && told(&done, "already")? > 0, "{done}");
    ensure!(told(&rewrap(&lab)?.success()?, "rewrapped")? == 0, "all are of the new key");
    let said = lab.gateway.narrows(&["audit", "rewrap"])?.success()?;
    ensure!(said.contains("0 keys wrapped anew by local:"), "{said}");

    with_key(&mut lab, "{ key: {env: NEW_KEY} }")?;
    ensure!(unseal(&lab, &bob, "new.key")?.success()?.contains(ASKED));
    ensure!(unseal(&lab, &bob, "old.key")?.code() == 1, "the former key opens nothing");
    for key in ["old.key", "new.key"] {
        let gone = unseal(&lab, &ann, key)?;
        ensure!(gone.code() == 1 && !gone.stdout.contains(ASKED), "{gone:?}");
    }
    let events = lab.gateway.narrows(&[
        "audit",
        "export",
        "--since",
        "1h",
        "--format",
        "jsonl",
        "--store",
        "var/recordings",
    ])?;
    ensure!(events.stdout.contains("audit.rewrap"), "it is in the record: {}", events.stderr);

    // On to a key pair, where the private key is, without the gateway.
    let status = lab.gateway.stop()?;
    ensure!(status.success(), "{status}");
    openssl(&lab, &["genpkey", "-algorithm", "RSA", "-out", "private.pem"])?;
    openssl(&lab, &["pkey", "-in", "private.pem", "-pubout", "-out", "public.pem"])?;
    let at = ["audit", "rewrap", "--store", "var/recordings", "--key"];
    let done = lab.gateway.narrows(&[&at[..], &["new.key", "--to", "public.pem"]].concat())?;
    let done = done.success()?;
    ensure!(done.contains(" wrapped anew by rsa:"), "{done}");
    ensure!(unseal(&lab, &bob, "private.pem")?.success()?.contains(ASKED));
    ensure!(unseal(&lab, &bob, "new.key")?.code() == 1, "the former key opens nothing");
    lab.gateway.narrows(&["audit", "verify"])?.success()?;
    Ok(())
}
