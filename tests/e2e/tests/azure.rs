//! P5–P7 with a store in Azure, played by Microsoft's own emulator.

use std::fs;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use e2e::{Child, Config, Gateway, Lab, Server, own, until};
use serde_json::Value;

const KEY: &str = "6b1f0d0ab5e64e13a0c9c2b7f1d25f7d3c8a9e0b4f6d7c5e2a1b3c4d5e6f7a8b";
const STORE: &str = "azure://audit/narrows";
const ASKED: &str = "SELECT id, email FROM customers WHERE id < 4";

/// Those who asked the table, as the archive alone says it.
fn asked_it(lab: &Lab) -> Result<Vec<String>> {
    let words = ["audit", "who", "--table", "customers", "--store", STORE];
    let mut who: Vec<_> =
        e2e::uses(&lab.gateway.json(&words)?).into_iter().map(|of| of.0).collect();
    who.sort();
    Ok(who)
}

#[test]
fn p5_p6_p7_a_store_in_azure_keeps_proves_holds_and_erases() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let port = folder.path().join("port");
    let mut azurite = Command::new("node");
    azurite.arg(own("node/azure.js")).arg(&port).arg("audit");
    let _azurite = Child::start_piped(&mut azurite)?;
    let port = until("the container is there", || Ok(fs::read_to_string(&port).ok()))?;
    let address = format!("http://127.0.0.1:{port}");
    let environment = [
        ("AZURE_STORAGE_USE_EMULATOR", "true"),
        ("AZURITE_BLOB_STORAGE_URL", address.as_str()),
        ("SEAL_KEY", KEY),
    ];
    let server = Server::start()?;
    let config = Config::open().with(&format!(
        "recording: {{ store: \"{STORE}\", archive_every: 1s, keep_journal: 0, \
         encryption: {{ key: {{env: SEAL_KEY}} }} }}"
    ));
    let gateway = Gateway::start_in(&environment, &config, &server.upstream())?;
    let mut lab = Lab { gateway, server };

    let ann = lab.asks("ann", ASKED)?;
    // Before the first manifest there is nothing that could be believed.
    until("the archive has what Ann asked", || {
        Ok(asked_it(&lab).ok().filter(|who| who == &["ann"]).map(drop))
    })?;
    lab.gateway.kill()?;
    lab.gateway.launch()?;
    let bob = lab.asks("bob", ASKED)?;
    let status = lab.gateway.stop()?;
    ensure!(status.success(), "{status}");
    assert_eq!(asked_it(&lab)?, ["ann", "bob"]);
    lab.gateway.launch()?;

    // The store locks nothing: a hold keeps the keys, and says so.
    let hold = lab.gateway.json(&["audit", "hold", &ann, "--reason", "case 4"])?;
    assert_eq!(hold.get("locks"), Some(&Value::Bool(false)), "{hold}");
    let erase = ["audit", "erase", &ann, "--reason", "asked"];
    let refused = lab.gateway.narrows(&erase)?;
    ensure!(refused.code() == 1 && refused.stderr.contains("it is on hold"), "{refused:?}");
    let id = hold.get("id").and_then(Value::as_str).context("an id")?;
    lab.gateway.narrows(&["audit", "hold", id, "--release", "--reason", "closed"])?.success()?;

    let key = lab.gateway.dir().join("seal.key");
    fs::write(&key, KEY)?;
    let key = key.display().to_string();
    let unseal = |id: &str| {
        lab.gateway.narrows(&["audit", "unseal", id, "--store", STORE, "--key", key.as_str()])
    };
    ensure!(unseal(&ann)?.success()?.contains(ASKED));
    lab.gateway.narrows(&erase)?.success()?;
    ensure!(!unseal(&ann)?.stdout.contains(ASKED), "its key is gone");
    ensure!(unseal(&bob)?.success()?.contains(ASKED));
    let public = e2e::public_key(&lab.gateway)?.display().to_string();
    let verify = ["audit", "verify", "--store", STORE, "--public-key", public.as_str()];
    lab.gateway.narrows(&verify)?.success()?;
    let status = lab.gateway.stop()?;
    ensure!(status.success(), "{status}");
    let log = lab.gateway.log();
    ensure!(!log.contains("the archive is behind"), "{log}");
    Ok(())
}
