//! Transparent mode: clients that know of no proxy, in a network whose only way out is the gateway's,
//! with the rules for nftables that the guide gives.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use e2e::web::Authority;
use e2e::{Child, python};
use serde_json::Value;

/// How long the whole story may take.
const STORY_MAX: Duration = Duration::from_secs(200);

const CONFIG: &str = r#"data_dir: ./var
listen:
  admin: 127.0.0.1:7070
  transparent: "[::]:7083"
transparent:
  sources: { "10.77.0.2/32": {file: agent.token}, "fd77::/64": {file: agent.token} }
  mode: MODE
resources:
  internet:
    type: egress
    ca: { file: ca.pem }
    passthrough: [pinned.test]
    hosts: { listed.test: "127.0.0.1:9443", pinned.test: "127.0.0.1:9443", clear.test: "127.0.0.1:9080" }
access:
  - { groups: [agents], resources: [internet] }
rules:
  - name: listed
    when: http.host == "evil.test"
    block: "{http.host} is not on the list"
"#;
const HOSTS: &str = "127.0.0.1 localhost\n\
    203.0.113.7 listed.test clear.test evil.test pinned.test\n\
    10.77.0.1 inner.test\n";

/// The blocks of the guide's page about ways around, in order.
fn blocks() -> Result<Vec<String>> {
    let guide = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/guide/no-bypass.md");
    let text = fs::read_to_string(guide)?;
    Ok(text.split("```").skip(1).step_by(2).map(str::to_owned).collect())
}

fn block(blocks: &[String], begins: &str) -> Result<String> {
    let (_, body) = blocks
        .iter()
        .filter_map(|block| block.split_once('\n'))
        .find(|(_, body)| body.starts_with(begins))
        .with_context(|| format!("the guide has no block that begins with {begins}"))?;
    Ok(body.to_owned())
}

fn story(mode: &str) -> Result<()> {
    let dir = tempfile::Builder::new().prefix("narrows-e2e-redirected-").tempdir()?;
    let authority = Authority::new(dir.path())?;
    authority.write(&["listed.test", "pinned.test", "evil.test"])?;
    let write = |name: &str, text: &str| fs::write(dir.path().join(name), text);
    write("narrows.yaml", &CONFIG.replace("MODE", mode))?;
    write("hosts", HOSTS)?;
    let blocks = blocks()?;
    write("redirect.nft", &block(&blocks, "table inet narrows_redirect")?)?;
    write("tproxy.nft", &block(&blocks, "table inet narrows_tproxy")?)?;
    write("tproxy.sh", &block(&blocks, "ip -4 rule add")?)?;
    let own = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let narrows = std::env::var_os("NARROWS_BIN").context("NARROWS_BIN names the gateway")?;
    let mut command = Command::new("unshare");
    command
        .args(["--user", "--map-root-user", "--net", "--mount", "bash"])
        .arg(own.join("sh/redirected.sh"))
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("MODE", mode)
        .env("DIR", dir.path())
        .env("NARROWS", narrows)
        .env("PYTHON", python()?)
        .env("STORIES", own.join("python"));
    let output = Child::start_piped(&mut command)?.output(STORY_MAX)?;
    let log = fs::read_to_string(dir.path().join("gateway.log")).unwrap_or_default();
    let told = format!("{}{}\n{log}", output.stdout, output.stderr);
    ensure!(output.code() == 0, "{told}");
    let steps = output.stdout.lines().filter(|line| line.starts_with("ok ")).count();
    ensure!(steps == 15, "{steps} steps: {told}");
    ensure!(!log.contains("panicked"), "{log}");
    recorded(&serde_json::from_slice(&fs::read(dir.path().join("show.json"))?)?)
}

/// What the clients meant to reach is in the record, and what they named was judged.
fn recorded(shown: &Value) -> Result<()> {
    let events = shown.get("events").and_then(Value::as_array).context("events")?;
    let of = |text: &str| {
        let found = events.iter().find(|event| event.get("text").is_some_and(|t| t == text));
        found.map(ToString::to_string).with_context(|| format!("{text} is not recorded"))
    };
    for (text, from) in [
        ("GET https://listed.test/a?b", "203.0.113.7:443"),
        ("GET https://listed.test/six", "[2001:db8::7]:443"),
        ("GET http://clear.test/x", "203.0.113.7:80"),
        ("CONNECT pinned.test:443", "203.0.113.7:443"),
    ] {
        let event = of(text)?;
        ensure!(event.contains("redirected from") && event.contains(from), "{event}");
    }
    ensure!(of("CONNECT 203.0.113.7:443")?.contains("tls_name"), "no name");
    Ok(())
}

#[test]
fn p2_redirected_clients_are_judged_by_what_they_name() -> Result<()> {
    story("redirect")
}

#[test]
fn p2_clients_that_keep_their_destination_are_judged_by_what_they_name() -> Result<()> {
    story("tproxy")
}
