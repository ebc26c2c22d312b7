//! Who is let in, how long, and over what.

use anyhow::{Context, Result};
use e2e::{Config, Lab, Token, Wire, lab, lab_with, until};
use serde_json::Value;

/// What a client with this token for this resource is told.
fn turned_away(lab: &Lab, token: &str, resource: &str) -> Result<String> {
    let refused = Wire::connect(lab.gateway.port(), "agent", resource, token);
    let error = refused.err().with_context(|| format!("{resource} let {token} in"))?;
    Ok(format!("{error:#}"))
}

/// How often clients were turned away for this reason, by the metrics.
fn refusals(lab: &Lab, reason: &str) -> Result<u64> {
    let text = lab.gateway.api_open("/metrics")?.text;
    let label = format!("reason=\"{reason}\"");
    let line = text.lines().find(|line| line.contains("sessions_refused") && line.contains(&label));
    Ok(line.and_then(|line| line.rsplit(' ').next()?.parse().ok()).unwrap_or(0))
}

#[test]
fn p7_wrong_tokens_learn_nothing() -> Result<()> {
    lab(|lab| {
        let good = lab.gateway.agent("known")?;
        let revoked = lab.gateway.agent("revoked")?;
        lab.gateway.narrows(&["token", "revoke", &revoked.id])?.success()?;
        let guess = format!("nrw_{}", "a".repeat(43));
        let mut said = Vec::new();
        for token in
            [guess.as_str(), "", "hunter2", "nrw_", &revoked.secret, &good.secret.to_uppercase()]
        {
            let words = turned_away(lab, token, "shop")?;
            assert!(words.contains("C 28P01"), "{token}: {words}");
            assert!(words.contains("S FATAL"), "{token}: {words}");
            said.push(
                words.lines().find(|line| line.starts_with("M ")).unwrap_or_default().to_owned(),
            );
        }
        said.dedup();
        assert_eq!(said.len(), 1, "unknown and revoked tokens are told apart: {said:?}");
        assert!(refusals(lab, "unknown_token")? >= 4);
        assert_eq!(refusals(lab, "revoked_token")?, 1, "the operator can tell them apart");
        lab.wire(&good)?;
        Ok(())
    })
}

#[test]
fn p7_resources_without_access_look_like_unknown_ones() -> Result<()> {
    lab(|lab| {
        let agent = lab.gateway.agent("known")?;
        let locked = turned_away(lab, &agent.secret, "locked")?;
        let unknown = turned_away(lab, &agent.secret, "never-heard-of")?;
        assert!(locked.contains("C 28000"), "{locked}");
        assert_eq!(
            locked
                .replace("locked", "X")
                .replace("no_access", "R")
                .replace("unknown_resource", "R"),
            unknown
                .replace("never-heard-of", "X")
                .replace("no_access", "R")
                .replace("unknown_resource", "R"),
            "the words do not tell whether it exists"
        );
        let nobody = lab.gateway.token("groupless", &[], &[])?;
        assert!(turned_away(lab, &nobody.secret, "shop")?.contains("C 28000"));
        assert!(!lab.server_saw("never-heard-of")?);
        Ok(())
    })
}

#[test]
fn a_revoked_token_ends_its_live_sessions_at_once() -> Result<()> {
    lab(|lab| {
        let token = lab.gateway.agent("soon-gone")?;
        let other = lab.gateway.agent("stays")?;
        let (mut idle, mut busy, mut stays) =
            (lab.wire(&token)?, lab.wire(&token)?, lab.wire(&other)?);
        busy.ask("SELECT pg_sleep(100) /* revoked-while-running */")?;
        until("the statement runs", || Ok(lab.server_saw("revoked-while-running")?.then_some(())))?;
        lab.gateway.narrows(&["token", "revoke", &token.id])?.success()?;
        for wire in [&mut idle, &mut busy] {
            let reply = wire.until_closed()?;
            let error = reply.error().context("the client reads why")?;
            assert_eq!(
                (error.severity.as_str(), error.code.as_str()),
                ("FATAL", "57P01"),
                "{error:?}"
            );
            assert!(error.message.contains("revoked"), "{error:?}");
        }
        until("the server's statement is cancelled", || {
            let running = lab.server.sql("SELECT count(*) FROM pg_stat_activity WHERE usename = 'app' AND query LIKE '%revoked-while%'")?;
            Ok((running.trim() == "0").then_some(()))
        })?;
        assert_eq!(stays.query("SELECT 1")?.text(), [["1"]], "others go on");
        let list = lab.gateway.json(&["token", "list"])?;
        let gone = list
            .as_array()
            .into_iter()
            .flatten()
            .find(|one| one.get("id") == Some(&Value::from(token.id.as_str())));
        assert_eq!(gone.and_then(|one| one.get("status")), Some(&Value::from("revoked")), "{list}");
        assert!(!list.to_string().contains(&token.secret), "a list shows no token");
        Ok(())
    })
}

#[test]
fn an_expired_token_ends_its_session_and_opens_no_other() -> Result<()> {
    lab(|lab| {
        let token = lab.gateway.token("brief", &["agents"], &["--ttl", "4s"])?;
        let mut wire = lab.wire(&token)?;
        assert_eq!(wire.query("SELECT 1")?.text(), [["1"]]);
        let error = wire.until_closed()?.error().context("the client reads why")?;
        assert_eq!(error.code, "57P01", "{error:?}");
        assert!(error.message.contains("expired"), "{error:?}");
        let words = turned_away(lab, &token.secret, "shop")?;
        assert!(words.contains("C 28P01") && words.contains("expired"), "{words}");
        Ok(())
    })
}

#[test]
fn a_killed_session_ends_and_says_so() -> Result<()> {
    lab(|lab| {
        let token = lab.gateway.agent("doomed")?;
        let mut wire = lab.wire(&token)?;
        wire.query("SELECT 1")?;
        let session = lab.gateway.session_of("doomed")?;
        let id = session.get("id").and_then(Value::as_str).context("an id")?;
        lab.gateway.narrows(&["kill", id, "--reason", "testing"])?.success()?;
        let error = wire.until_closed()?.error().context("the client reads why")?;
        assert_eq!((error.severity.as_str(), error.code.as_str()), ("FATAL", "57P01"), "{error:?}");
        lab.gateway.events_of("doomed")?;
        let again = lab.gateway.narrows(&["kill", id])?;
        assert_eq!(again.code(), 1, "it is over: {}", again.stderr);
        assert_eq!(lab.gateway.narrows(&["kill", "s_nothing"])?.code(), 1);
        lab.wire(&token)?;
        Ok(())
    })
}

#[test]
fn p7_the_upstream_credential_reaches_no_client_and_no_file() -> Result<()> {
    lab(|lab| {
        let secret = "Hidden-upstream-password-4711";
        let mut wire = lab.wire(&lab.gateway.agent("nosy")?)?;
        for text in [
            "SHOW ALL",
            "SELECT current_setting('narrows.password', true)",
            "SELECT passwd FROM pg_shadow",
            "SELECT rolpassword FROM pg_authid",
        ] {
            wire.query(text)?;
        }
        assert!(!wire.has_received(secret.as_bytes()));
        assert!(!wire.has_received(b"SCRAM-SHA-256$"));
        let grep = std::process::Command::new("grep")
            .args(["-rlF", secret])
            .arg(lab.gateway.dir())
            .output()?;
        assert_eq!(String::from_utf8_lossy(&grep.stdout), "", "files that hold it");
        let shown = lab.gateway.narrows(&["check", "--show"])?.success()?;
        assert!(!shown.contains(secret), "{shown}");
        Ok(())
    })
}

#[test]
fn r16_tokens_are_stored_as_hashes_only() -> Result<()> {
    lab(|lab| {
        let token = lab.gateway.agent("hashed")?;
        lab.wire(&token)?;
        let body = token.secret.trim_start_matches("nrw_");
        let grep = std::process::Command::new("grep")
            .args(["-rlaF", body])
            .arg(lab.gateway.dir())
            .output()?;
        assert_eq!(String::from_utf8_lossy(&grep.stdout), "", "files that hold a token");
        use std::os::unix::fs::PermissionsExt;
        let mode = |path: &str| -> Result<u32> {
            Ok(std::fs::metadata(lab.gateway.dir().join(path))?.permissions().mode() & 0o777)
        };
        assert_eq!((mode("var")?, mode("var/admin.token")?), (0o700, 0o600));
        Ok(())
    })
}

fn ca_file(lab: &Lab) -> Result<String> {
    let ca = lab.gateway.narrows(&["ca"])?.success()?;
    assert!(ca.starts_with("-----BEGIN CERTIFICATE-----"), "{ca}");
    let path = lab.gateway.dir().join("ca-for-clients.pem");
    std::fs::write(&path, ca)?;
    Ok(path.display().to_string())
}

fn over_tls(lab: &Lab, token: &Token, negotiation: &str) -> Result<String> {
    let driver =
        lab.driver(token).env("PGSSLMODE", "verify-full").env("PGSSLROOTCERT", &ca_file(lab)?);
    driver.env("PGSSLNEGOTIATION", negotiation).python("tls.py", &[negotiation])?.success()
}

#[test]
fn clients_verify_the_gateway_by_the_certificate_of_its_ca() -> Result<()> {
    lab(|lab| {
        let token = lab.gateway.agent("tls")?;
        let psql =
            lab.driver(&token).env("PGSSLMODE", "verify-full").env("PGSSLROOTCERT", &ca_file(lab)?);
        let said =
            psql.psql(&["\\conninfo", "SELECT ssn FROM customers WHERE id = 1"])?.success()?;
        assert!(said.contains("TLSv1.3") && said.contains("[REDACTED]"), "{said}");
        let wrong = psql.clone().env("PGHOST", "gateway.example").psql(&["SELECT 1"])?;
        assert_ne!(wrong.code(), 0, "another name is not in the certificate");
        let other_ca = lab.server.upstream().ca.display().to_string();
        let wrong = psql.env("PGSSLROOTCERT", &other_ca).psql(&["SELECT 1"])?;
        assert_ne!(wrong.code(), 0, "another authority does not vouch for it");
        assert!(over_tls(lab, &token, "postgres")?.contains("ok"), "negotiated");
        assert!(over_tls(lab, &token, "direct")?.contains("ok"), "TLS first");
        Ok(())
    })
}

#[test]
fn libpq_sends_a_token_by_oauthbearer() -> Result<()> {
    lab(|lab| {
        let driver = lab.driver(&lab.gateway.agent("bearer")?);
        let driver = driver.env("PGSSLMODE", "verify-full").env("PGSSLROOTCERT", &ca_file(lab)?);
        assert!(driver.python("bearer.py", &[])?.success()?.contains("ok"));
        Ok(())
    })
}

#[test]
fn libpq_is_told_where_to_get_a_token() -> Result<()> {
    // Nobody is there; libpq is to believe the gateway, and the test gives the token.
    let issuer = "https://id.example/tenant";
    let identity = format!(
        "identity:\n  oidc:\n    - {{ issuer: \"{issuer}\", audience: narrows, \
         scope: \"openid narrows\" }}\n"
    );
    lab_with(&Config::sample().with(&identity), |lab| {
        let driver = lab.driver(&lab.gateway.agent("bearer")?);
        let driver = driver.env("PGSSLMODE", "verify-full").env("PGSSLROOTCERT", &ca_file(lab)?);
        assert!(driver.python("bearer.py", &[issuer])?.success()?.contains("ok"));
        Ok(())
    })
}

#[test]
fn libpq_speaks_protocol_3_2() -> Result<()> {
    lab(|lab| {
        let driver = lab.driver(&lab.gateway.agent("newest")?);
        assert!(driver.python("newest.py", &[])?.success()?.contains("ok"));
        Ok(())
    })
}

#[test]
fn the_gateway_verifies_the_server_in_full() -> Result<()> {
    lab_with(&Config::sample().tls("localhost", "verify-full"), |lab| {
        let token = lab.gateway.agent("tls")?;
        let mut wire = lab.wire(&token)?;
        let reply =
            wire.query("SELECT ssl, version FROM pg_stat_ssl WHERE pid = pg_backend_pid()")?;
        if let Some(error) = reply.error() {
            // A view of backends; the server's own word is as good.
            assert_eq!(error.code, "42501", "{error:?}");
        }
        let said = lab.server.sql("SELECT count(*) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE usename = 'app' AND NOT ssl")?;
        assert_eq!(said.trim(), "0", "every connection of the gateway is encrypted");
        assert_eq!(wire.query("SELECT 1")?.text(), [["1"]]);
        Ok(())
    })
}

#[test]
fn require_encrypts_without_verifying() -> Result<()> {
    lab_with(&Config::sample().tls("127.0.0.1", "require"), |lab| {
        let mut wire = lab.wire(&lab.gateway.agent("tls")?)?;
        assert_eq!(wire.query("SELECT 1")?.text(), [["1"]]);
        let said = lab.server.sql("SELECT count(*) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE usename = 'app' AND ssl")?;
        assert_ne!(said.trim(), "0");
        Ok(())
    })
}

#[test]
fn the_handshake_with_the_server_can_come_first() -> Result<()> {
    let config = Config::sample().tls("localhost", "verify-full");
    lab_with(&config.resource("direct", "tls_negotiation: direct"), |lab| {
        let token = lab.gateway.agent("tls")?;
        let version: u32 = lab.server.sql("SHOW server_version_num")?.trim().parse()?;
        if version >= 170_000 {
            let driver = lab.driver(&token).env("PGDATABASE", "direct");
            let said = driver.psql(&["SELECT ssn FROM customers WHERE id = 1"])?.success()?;
            assert!(said.contains("[REDACTED]"), "{said}");
        } else {
            // An older one takes the handshake for a start-up message.
            let words = turned_away(lab, &token.secret, "direct")?;
            assert!(words.contains("C 08001"), "{words}");
        }
        Ok(())
    })
}

#[test]
fn p2_a_server_with_the_wrong_certificate_is_not_used() -> Result<()> {
    // Its certificate says localhost; the gateway asks for 127.0.0.1.
    lab_with(&Config::sample().tls("127.0.0.1", "verify-full"), |lab| {
        let token = lab.gateway.agent("tls")?;
        let words = turned_away(lab, &token.secret, "shop")?;
        assert!(words.contains("C 08001"), "{words}");
        for inside in ["127.0.0.1", "certificate", &lab.server.upstream().port.to_string()] {
            assert!(!words.contains(inside), "the client learns {inside}: {words}");
        }
        until("the operator reads the cause", || {
            let log = lab.gateway.log().to_lowercase();
            Ok((log.contains("certificate") || log.contains("not valid for name")).then_some(()))
        })
    })
}
