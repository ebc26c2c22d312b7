//! Tunnels that are passed on unopened, with real clients that trust the host's own authority and
//! not the gateway's.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use e2e::web::{Answer, Authority, Origin, RawHttp, Trust};
use e2e::{Child, Gateway, Output, Ports, Token, python, until};
use serde_json::Value;
use tempfile::TempDir;

/// How long a client may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// Bytes of a large body.
const LARGE_BYTES: usize = 48 << 20;
/// How much the gateway may grow while it passes.
const GROWTH_MAX: u64 = 24 << 20;

const RULES: &str = r#"
  - name: only-partners
    on: [internet]
    when: http.host == "evil.test"
    block: "{http.host} is not on the list"
  - name: paths
    for: { groups: [careful] }
    on: [internet]
    when: http.path == "/admin"
    block: "not there"
  - name: ask
    for: { groups: [asking] }
    on: [internet]
    approve: { by: [ops], wait: 60s, expires: 10m, grant: once }
  - name: hide
    for: { groups: [masked] }
    on: [internet]
    mask: { fields: [ssn] }
"#;

struct Pinned {
    gateway: Gateway,
    origin: Origin,
    dir: TempDir,
}

impl Pinned {
    fn start() -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("narrows-e2e-pinned-").tempdir()?;
        let authority = Authority::new(dir.path())?;
        let tls = authority.server(&["pinned.test", "evil.test", "localhost"])?;
        let origin = Origin::tls(tls, |seen| match seen.path() {
            "/large" => Answer::of("application/octet-stream", vec![7; LARGE_BYTES]),
            "/endless" => {
                let mut answer = Answer::of("text/plain", "");
                answer.body = vec!["tick\n".into(); 600];
                answer.delay = Duration::from_millis(100);
                answer
            }
            path => Answer::of("text/plain", format!("{} {path} {}", seen.method, seen.body.len())),
        })?;
        let address = origin.address();
        let gateway = Gateway::start_with(|ports, _| config(ports, &address.to_string(), RULES))?;
        Ok(Self { gateway, origin, dir })
    }

    fn token(&self, group: &str) -> Result<Token> {
        self.gateway.token(group, &[group], &[])
    }

    /// curl, which trusts the host's own authority only.
    fn curl(&self, token: &Token, words: &[&str]) -> Result<Child> {
        let port = self.gateway.ports().egress;
        let proxy = format!("http://agent:{}@127.0.0.1:{port}", token.secret);
        let mut curl = Command::new("curl");
        curl.args(["-sS", "--max-time", "50", "--proxytunnel", "--proxy", &proxy, "--cacert"]);
        curl.arg(self.ca())
            .args(words)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default());
        Child::start_piped(&mut curl)
    }

    fn curled(&self, token: &Token, words: &[&str]) -> Result<Output> {
        self.curl(token, words)?.output(PATIENCE)
    }

    fn ca(&self) -> std::path::PathBuf {
        self.dir.path().join("ca.pem")
    }

    /// The events of the newest session of this group's client.
    fn events(&self, group: &str) -> Result<Vec<Value>> {
        let id = self.gateway.session_of(group)?;
        let id = id.get("id").and_then(Value::as_str).context("a session")?.to_owned();
        let shown = self.gateway.show(&id)?;
        shown.get("events").and_then(Value::as_array).cloned().context("events")
    }
}

fn config(ports: &Ports, origin: &str, rules: &str) -> String {
    let Ports { admin, egress, .. } = ports;
    format!(
        r#"data_dir: ./var
listen: {{ admin: "127.0.0.1:{admin}", egress: "127.0.0.1:{egress}" }}
resources:
  internet:
    type: egress
    passthrough: [pinned.test, evil.test, localhost]
    hosts: {{ pinned.test: "{origin}", evil.test: "{origin}" }}
access:
  - {{ groups: [agents, careful, masked, asking], resources: [internet] }}
rules:{rules}"#
    )
}

fn word<'a>(event: &'a Value, key: &str) -> &'a str {
    event.get(key).and_then(Value::as_str).unwrap_or_default()
}

fn number(event: &Value, key: &str) -> u64 {
    event.get(key).and_then(Value::as_u64).unwrap_or_default()
}

#[test]
fn p1_p9_real_clients_reach_a_pinned_host_and_the_record_says_that_nothing_was_read() -> Result<()>
{
    let pinned = Pinned::start()?;
    let token = pinned.token("agents")?;
    let said =
        pinned.curled(&token, &["https://pinned.test/a?b", "-d", "secret-4711"])?.success()?;
    ensure!(said == "POST /a?b 11", "{said}");
    let program = "import os, httpx, ssl\n\
        context = ssl.create_default_context(cafile=os.environ['CA'])\n\
        with httpx.Client(proxy=os.environ['PROXY'], verify=context, http2=True) as client:\n    \
        print(client.get('https://pinned.test/py').text, end='')\n";
    let port = pinned.gateway.ports().egress;
    let mut client = Command::new(python()?);
    client.args(["-c", program]).env_clear();
    client
        .env("CA", pinned.ca())
        .env("PROXY", format!("http://x:{}@127.0.0.1:{port}", token.secret));
    let said = Child::start_piped(&mut client)?.output(PATIENCE)?.success()?;
    ensure!(said == "GET /py 0", "{said}");
    for seen in pinned.origin.seen() {
        ensure!(seen.server_name.as_deref() == Some("pinned.test"), "{:?}", seen.server_name);
    }
    // Nothing but the host is in the record, with what passed in both directions.
    let replied = |events: &[Value]| {
        events.iter().filter(|event| word(event, "kind") == "reply").cloned().collect::<Vec<_>>()
    };
    let events = until("both tunnels ended", || {
        let events = pinned.events("agents")?;
        Ok((replied(&events).len() == 2).then_some(events))
    })?;
    let asked: Vec<&Value> =
        events.iter().filter(|event| word(event, "kind") == "operation").collect();
    ensure!(asked.len() == 2, "{events:?}");
    for event in &asked {
        ensure!(word(event, "step") == "tunnel" && word(event, "decision") == "allow", "{event}");
        ensure!(word(event, "text") == "CONNECT pinned.test:443", "{event}");
        ensure!(event.to_string().contains("unopened"), "{event}");
    }
    for event in replied(&events) {
        ensure!(number(&event, "sent") > 200 && number(&event, "bytes") > 500, "{event}");
    }
    let journal = serde_json::to_string(&events)?;
    for hidden in ["secret-4711", "/a?b", "/py", "\"payload\":"] {
        ensure!(!journal.contains(hidden), "{hidden} is in the record: {journal}");
    }
    let id = pinned.gateway.session_of("agents")?;
    let told = pinned.gateway.narrows(&["show", word(&id, "id")])?.success()?;
    ensure!(told.contains("passed on: unopened") && told.contains("sent after it"), "{told}");
    Ok(())
}

#[test]
fn p2_another_name_inside_the_tunnel_reaches_nobody() -> Result<()> {
    let pinned = Pinned::start()?;
    let token = pinned.token("agents")?;
    let fronted = ["https://evil.test/", "--connect-to", "evil.test:443:pinned.test:443"];
    let output = pinned.curled(&token, &fronted)?;
    ensure!(output.code() == 35 && output.stderr.contains("alert"), "{output:?}");
    // No name at all: an address in the URL names none.
    let unnamed = ["-k", "https://192.0.2.1/", "--connect-to", "192.0.2.1:443:pinned.test:443"];
    let output = pinned.curled(&token, &unnamed)?;
    ensure!(output.code() == 35, "{output:?}");
    let clear = ["http://pinned.test/", "--connect-to", "pinned.test:80:pinned.test:443"];
    ensure!(pinned.curled(&token, &clear)?.code() != 0, "clear text passed");
    let sealed: Vec<usize> = pinned.origin.wires().iter().map(|wire| wire.sealed.len()).collect();
    ensure!(sealed.iter().all(|bytes| *bytes == 0), "bytes went up: {sealed:?}");
    let events = pinned.events("agents")?;
    let reasons: Vec<&str> = events.iter().map(|event| word(event, "message")).collect();
    for words in ["names another server", "names no server", "not the hello"] {
        ensure!(reasons.iter().any(|said| said.contains(words)), "{words}: {reasons:?}");
    }
    Ok(())
}

#[test]
fn p2_p3_rules_and_masks_that_cannot_be_kept_and_special_addresses_refuse_the_tunnel() -> Result<()>
{
    let pinned = Pinned::start()?;
    for (group, url, words) in [
        ("agents", "https://evil.test/", "evil.test is not on the list"),
        ("careful", "https://pinned.test/", "http.path is not known"),
        ("masked", "https://pinned.test/", "cannot be masked"),
        ("agents", "https://localhost:443/", "not public"),
    ] {
        let token = pinned.token(group)?;
        let output = pinned.curled(&token, &["-v", url])?;
        ensure!(
            output.code() == 56 && output.stderr.contains(" 403 "),
            "{group} {url}: {output:?}"
        );
        let events = pinned.events(group)?;
        let told = events.iter().any(|event| word(event, "message").contains(words));
        ensure!(told, "{words}: {events:?}");
    }
    ensure!(pinned.origin.wires().is_empty(), "the host was dialled");
    let explained = [
        "explain",
        "--as",
        "masked",
        "--group",
        "masked",
        "--on",
        "internet",
        "CONNECT pinned.test:443",
    ];
    let said = pinned.gateway.narrows(&explained)?;
    ensure!(format!("{said:?}").contains("cannot be masked"), "{said:?}");
    let said = pinned.gateway.narrows(&["check"])?.stderr;
    ensure!(said.contains("hide") && said.contains("paths"), "{said}");
    Ok(())
}

#[test]
fn p2_p9_what_is_sent_before_a_tunnel_is_granted_arrives_once_or_not_at_all() -> Result<()> {
    let pinned = Pinned::start()?;
    let token = pinned.token("agents")?;
    let proxy = ([127, 0, 0, 1], pinned.gateway.ports().egress).into();
    let client = |host: &str| {
        let client = RawHttp::to(proxy).tunnel(&format!("{host}:443"), &token.secret).eager();
        client.tls(Some(host), Trust::File(pinned.ca()))
    };
    let get = |host: &str| {
        let head = format!("GET /early HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
        vec![head.into_bytes()]
    };
    let reply = client("pinned.test").send(&get("pinned.test"))?;
    ensure!(reply.text().ends_with("GET /early 0"), "{}", reply.text());
    let reply = client("evil.test").send(&get("evil.test"))?;
    ensure!(reply.status() == 403, "{}", reply.text());
    ensure!(reply.text().matches("HTTP/1.1").count() == 1, "{}", reply.text());
    ensure!(pinned.origin.seen().len() == 1, "{:?}", pinned.origin.seen());
    let connections = pinned.origin.wires();
    ensure!(connections.len() == 1, "a refused tunnel reached the host: {}", connections.len());
    Ok(())
}

#[test]
fn p8_much_passes_in_bounded_memory() -> Result<()> {
    let pinned = Pinned::start()?;
    let token = pinned.token("agents")?;
    pinned.curled(&token, &["https://pinned.test/"])?.success()?;
    let body = pinned.dir.path().join("body");
    std::fs::write(&body, vec![7; LARGE_BYTES])?;
    let before = pinned.gateway.memory_peak()?;
    let got = pinned.dir.path().join("got");
    let to = got.display().to_string();
    pinned.curled(&token, &["-o", &to, "https://pinned.test/large"])?.success()?;
    ensure!(size(&got)? == LARGE_BYTES, "{} bytes came", size(&got)?);
    let from = body.display().to_string();
    let said = pinned.curled(&token, &["-T", &from, "https://pinned.test/up"])?.success()?;
    ensure!(said == format!("PUT /up {LARGE_BYTES}"), "{said}");
    let grown = pinned.gateway.memory_peak()?.saturating_sub(before);
    ensure!(grown < GROWTH_MAX, "the gateway grew by {} MiB", grown >> 20);
    Ok(())
}

fn size(path: &Path) -> Result<usize> {
    Ok(usize::try_from(std::fs::metadata(path)?.len())?)
}

#[test]
fn p2_a_yes_to_a_tunnel_is_for_the_resource_as_it_was() -> Result<()> {
    let pinned = Pinned::start()?;
    let (token, person) = (pinned.token("asking")?, pinned.gateway.person("olga", "ops")?);
    let client = pinned.curl(&token, &["https://pinned.test/"])?;
    let approval = pinned.gateway.pending()?;
    // From here on such tunnels are opened.
    let text = config(&pinned.gateway.ports(), &pinned.origin.address().to_string(), RULES);
    let opened =
        text.replace("passthrough: [pinned.test, evil.test, localhost]", "passthrough: []");
    ensure!(opened != text, "nothing changes");
    pinned.gateway.rewrite(&opened)?;
    pinned.gateway.narrows(&["reload"])?.success()?;
    let yes = ["approve", &approval, "--token", &person.secret];
    pinned.gateway.narrows(&yes)?.success()?;
    let output = client.output(PATIENCE)?;
    ensure!(output.code() != 0, "{output:?}");
    ensure!(pinned.origin.wires().is_empty(), "the host was dialled");
    Ok(())
}

#[test]
fn p2_a_tunnel_ends_with_its_session_with_its_rules_and_with_the_gateway() -> Result<()> {
    let mut pinned = Pinned::start()?;
    let token = pinned.token("agents")?;
    for ending in ["kill", "reload", "stop"] {
        let before = pinned.origin.seen().len();
        let client = pinned.curl(&token, &["https://pinned.test/endless"])?;
        until("the reply begins", || Ok((pinned.origin.seen().len() > before).then_some(())))?;
        match ending {
            "kill" => {
                let id = pinned.gateway.session_of("agents")?;
                pinned.gateway.narrows(&["kill", word(&id, "id")])?.success()?;
            }
            "reload" => {
                let origin = pinned.origin.address().to_string();
                let rules = format!(
                    "{RULES}  - {{ name: more, on: [internet], when: 'http.port == 1', block: no }}\n"
                );
                pinned.gateway.rewrite(&config(&pinned.gateway.ports(), &origin, &rules))?;
                pinned.gateway.narrows(&["reload"])?.success()?;
            }
            _ => {
                pinned.gateway.stop()?;
            }
        }
        let output = client.output(PATIENCE)?;
        ensure!(output.code() != 0, "{ending}: {output:?}");
        until("the host's connection ended", || Ok(pinned.origin.ended().then_some(())))?;
    }
    Ok(())
}
