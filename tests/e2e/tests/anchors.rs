//! How far the archive reaches, told elsewhere: a tail that is cut off is proved by it.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use e2e::{Config, Gateway, Lab, RULES, Receiver, SECRET, Server, until};
use serde_json::Value;

fn number(of: &Value) -> Option<u64> {
    of.get("number").and_then(Value::as_u64)
}

fn files(folder: &PathBuf) -> Result<Vec<PathBuf>> {
    let mut files: Vec<PathBuf> = match fs::read_dir(folder) {
        Ok(entries) => entries.map(|entry| Ok(entry?.path())).collect::<Result<_>>()?,
        Err(_) => Vec::new(),
    };
    files.sort();
    Ok(files)
}

#[test]
fn p6_a_cut_tail_is_proved_by_an_anchor_that_was_kept_elsewhere() -> Result<()> {
    let mut receiver = Receiver::webhook()?;
    let elsewhere = tempfile::tempdir()?;
    let server = Server::start()?;
    let config = Config::rules(RULES).with(&format!(
        "recording:\n  archive_every: 1s\n  anchors:\n    - {{ webhook: \"{}/anchors\", secret: \
         {{env: HOOK}} }}\n    - {{ store: \"file:{}\" }}",
        receiver.url(),
        elsewhere.path().display(),
    ));
    let gateway = Gateway::start_in(&[("HOOK", SECRET)], &config, &server.upstream())?;
    let mut lab = Lab { gateway, server };
    let name = fs::read_to_string(lab.gateway.dir().join("var/gateway.id"))?.trim().to_owned();
    let kept = elsewhere.path().join(format!("anchors/gateway={name}"));
    until("two anchors came", || Ok((receiver.taken()?.len() >= 2).then_some(())))?;

    // An outage: later anchors stand for those that were not kept.
    receiver.down();
    let before = receiver.taken()?.last().and_then(number).context("an anchor")?;
    until("the gateway says that anchors are not kept", || {
        Ok(lab.gateway.log().contains("anchors are not kept").then_some(()))
    })?;
    until("manifests go on", || Ok((files(&kept)?.len() as u64 > before + 3).then_some(())))?;
    receiver.up()?;
    until("anchors come again", || {
        Ok(receiver.taken()?.last().and_then(number).filter(|last| *last > before + 2))
    })?;
    // The receiver has an anchor before the gateway has its answer.
    until("the gateway says that they are kept", || {
        Ok(lab.gateway.log().contains("anchors are kept again").then_some(()))
    })?;
    ensure!(lab.gateway.stop()?.success());

    let taken = receiver.taken()?;
    let anchor: Value =
        serde_json::from_str(&lab.gateway.narrows(&["audit", "anchor"])?.success()?)?;
    assert_eq!(taken.last(), Some(&anchor), "the last one that was signed arrived");
    ensure!(taken.iter().map(number).is_sorted(), "{taken:?}");
    let files = files(&kept)?;
    let last = files.last().context("an anchor")?;
    assert_eq!(serde_json::from_slice::<Value>(&fs::read(last)?)?, anchor);

    // Somebody cuts the newest manifest off, and what the gateway's machine knows with it.
    let copy = lab.gateway.dir().join("var/recordings");
    let pem = lab.gateway.dir().join("key.pem");
    fs::write(&pem, lab.gateway.narrows(&["audit", "key"])?.success()?)?;
    let (place, pem) = (copy.display().to_string(), pem.display().to_string());
    let verify = |anchor: &PathBuf| {
        let anchor = anchor.display().to_string();
        lab.gateway.narrows(&[
            "audit",
            "verify",
            "--store",
            &place,
            "--public-key",
            &pem,
            "--anchor",
            &anchor,
        ])
    };
    let said = verify(last)?.success()?;
    assert!(said.contains("it reaches as far as it should"), "{said}");
    let folder = fs::read_dir(copy.join(format!("manifests/gateway={name}")))?
        .map(|entry| Ok(entry?.path()))
        .collect::<Result<Vec<_>>>()?;
    let day = folder.iter().max().context("a day")?;
    let newest = number(&anchor).context("a number")?;
    fs::remove_file(day.join(format!("{newest:012}.manifest")))?;
    let said = verify(last)?;
    assert_eq!(said.code(), 1, "{said:?}");
    assert!(said.stdout.contains("cut manifests/gateway="), "{}", said.stdout);
    let earlier = verify(files.first().context("an anchor")?)?;
    assert_eq!(earlier.code(), 0, "an anchor proves what is before it, no more: {earlier:?}");
    Ok(())
}
