//! A real WebSocket client and server, on both faces and inside TLS.

use std::net::TcpListener;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use e2e::{Agent, Gateway};

/// A port that is free now.
fn port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// A certificate for `secure.test` that signs itself, and its key.
fn certificate(dir: &Path) -> Result<()> {
    // Nothing of the system's configuration, which would make it an authority.
    std::fs::write(dir.join("req.cnf"), "[req]\ndistinguished_name = dn\n[dn]\n")?;
    let mut openssl = Command::new("openssl");
    openssl.args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]);
    openssl.args(["-config", "req.cnf", "-addext", "basicConstraints=critical,CA:FALSE"]);
    openssl.args(["-subj", "/CN=secure.test", "-addext", "subjectAltName=DNS:secure.test"]);
    openssl.args(["-keyout", "server.key", "-out", "server.pem"]).current_dir(dir);
    let made = openssl.output().context("start openssl (Debian: openssl)")?;
    ensure!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    Ok(())
}

#[test]
fn p2_p3_messages_of_a_websocket_are_judged_and_masked_both_ways() -> Result<()> {
    let files = tempfile::tempdir()?;
    certificate(files.path())?;
    let (clear, secure) = (port()?, port()?);
    let pem = files.path().join("server.pem");
    let gateway = Gateway::start_with(|ports, _| {
        format!(
            r#"data_dir: ./var
listen: {{ admin: "127.0.0.1:{}", http: "127.0.0.1:{}", egress: "127.0.0.1:{}" }}
resources:
  live: {{ type: http, url: "http://127.0.0.1:{clear}" }}
  internet:
    type: egress
    ca: {{file: "{}"}}
    hosts: {{ clear.test: "127.0.0.1:{clear}", secure.test: "127.0.0.1:{secure}" }}
access:
  - {{ groups: [agents], resources: [live, internet] }}
rules:
  - name: mask-cards-and-ssn
    mask: {{ fields: [credit_card, ssn], with: redact }}
  - name: nothing-secret-leaves
    when: http.detections.exists(d, d in ["CREDIT_CARD", "US_SSN"])
    block: "the message carries {{http.detections}}"
"#,
            ports.admin,
            ports.http,
            ports.egress,
            pem.display()
        )
    })?;
    let token = gateway.agent("talker")?;
    let agent = Agent::new(&gateway, &token)?
        .env("TOKEN", &token.secret)
        .env("REVERSE", &format!("127.0.0.1:{}", gateway.ports().http))
        .env("CLEAR_PORT", &clear.to_string())
        .env("SECURE_PORT", &secure.to_string())
        .env("CERTIFICATE", &pem.display().to_string())
        .env("KEY", &files.path().join("server.key").display().to_string());
    let output = agent.python("websocket_story.py", &[])?;
    let steps = output.stdout.lines().filter(|line| line.starts_with("ok ")).count();
    let said = output.success().with_context(|| gateway.log_tail())?;
    ensure!(steps == 8, "{said}");
    ensure!(!gateway.log().contains("panicked"), "{}", gateway.log_tail());
    let session = gateway.session_of("talker")?;
    ensure!(
        session.to_string().contains("\"block\":2"),
        "both refused messages are recorded: {session}"
    );
    Ok(())
}
