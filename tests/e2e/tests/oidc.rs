//! Agents who prove themselves with access tokens of a real identity provider.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use e2e::{Child, Config, Gateway, Provider, Server, Wire, until};
use serde_json::Value;

/// How long a client may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// A provider, a server, and a gateway that believes the one and protects the other.
struct Lab {
    provider: Provider,
    gateway: Gateway,
    server: Server,
}

fn identity(provider: &Provider) -> String {
    format!(
        "identity:\n  oidc:\n    - {{ issuer: \"{}\", audience: narrows, clock_skew: 0s }}\n",
        provider.issuer()
    )
}

fn lab() -> Result<Lab> {
    let (provider, server) = (Provider::start()?, Server::start()?);
    let config = Config::streaming().with(&identity(&provider));
    let gateway = Gateway::start(&config, &server.upstream())?;
    Ok(Lab { provider, gateway, server })
}

impl Lab {
    fn wire(&self, token: &str) -> Result<Wire> {
        Wire::connect(self.gateway.port(), "whoever", "shop", token)
    }

    /// What a client with this token is told, who must not be let in.
    fn turned_away(&self, token: &str) -> Result<String> {
        let refused = self.wire(token).err().with_context(|| format!("{token} was let in"))?;
        Ok(format!("{refused:#}"))
    }

    fn log_says(&self, words: &str) -> Result<()> {
        until(&format!("the log says: {words}"), || {
            Ok(self.gateway.log().contains(words).then_some(()))
        })
    }
}

#[test]
fn an_agent_of_the_provider_works_and_is_named_in_the_record() -> Result<()> {
    let lab = lab()?;
    for more in [&[][..], &["scope=elliptic"]] {
        let token = lab.provider.token_for("robot", more)?;
        let mut wire = lab.wire(&token)?;
        let reply = wire.query("select name, ssn from customers order by id limit 1")?;
        ensure!(reply.error().is_none(), "{:?}", reply.error());
        let rows = reply.text();
        ensure!(rows.len() == 1, "{rows:?}");
        ensure!(rows.iter().flatten().any(|field| field == "[REDACTED]"), "unmasked: {rows:?}");
        let refused = wire.query("delete from customers")?.error().context("it was not refused")?;
        ensure!(format!("{refused:?}").contains("destructive statement"), "{refused:?}");
    }
    let session = lab.gateway.session_of("robot")?;
    let id = session.get("id").and_then(Value::as_str).context("an id")?;
    let shown = lab.gateway.show(id)?.to_string();
    ensure!(shown.contains(lab.provider.issuer()), "the issuer is recorded: {shown}");
    ensure!(shown.contains("jwt_"), "the token is named: {shown}");
    ensure!(!shown.contains("eyJ"), "the token itself is not: {shown}");
    // Nor does it reach the server.
    ensure!(!lab.server.log()?.contains("eyJ"));
    Ok(())
}

#[test]
fn p2_tokens_that_prove_nothing_are_refused_in_the_same_words() -> Result<()> {
    let lab = lab()?;
    let good = lab.provider.token("robot")?;
    let parts: Vec<&str> = good.split('.').collect();
    let [header, body, signature] = parts[..] else { anyhow::bail!("{good}") };
    // {"alg":"none","typ":"at+jwt"}
    let none = "eyJhbGciOiJub25lIiwidHlwIjoiYXQrand0In0";
    let brief = lab.provider.token("brief")?;
    until("the brief token is over", || {
        Ok(lab
            .wire(&brief)
            .err()
            .is_some_and(|why| format!("{why:#}").contains("expired"))
            .then_some(()))
    })?;
    let mut said = Vec::new();
    for (what, token) in [
        ("for another audience", lab.provider.token_for("robot", &["resource=urn:other"])?),
        ("without a signature", format!("{header}.{body}.")),
        ("without an algorithm", format!("{none}.{body}.")),
        (
            "with another's signature",
            format!("{header}.{body}.{}", brief.rsplit('.').next().unwrap_or("")),
        ),
        ("with another's claims", {
            let other = brief.split('.').nth(1).unwrap_or_default();
            format!("{header}.{other}.{signature}")
        }),
        ("of our own form", format!("nrw_{}", "a".repeat(43))),
        (
            "of nobody",
            "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJodHRwczovL2V2aWwuZXhhbXBsZSJ9.AAAA".to_owned(),
        ),
    ] {
        let words = lab.turned_away(&token)?;
        ensure!(words.contains("C 28P01"), "{what}: {words}");
        let message = words.lines().find(|line| line.starts_with("M "));
        said.push(message.unwrap_or_default().to_owned());
    }
    said.dedup();
    ensure!(said.len() == 1, "they are told apart: {said:?}");
    // The operator is told what the client is not.
    lab.log_says("it is meant for other; identity.oidc.audience is narrows")?;
    lab.log_says("its signature is wrong")?;
    lab.log_says("its issuer \"https://evil.example\" is not configured")?;
    ensure!(!lab.gateway.log().contains(body), "no token is logged");
    // Who is known, and has no access, is told that.
    let stranger = lab.turned_away(&lab.provider.token("stranger")?)?;
    ensure!(stranger.contains("no access line grants it"), "{stranger}");
    Ok(())
}

#[test]
fn a_session_ends_when_its_token_does() -> Result<()> {
    let lab = lab()?;
    let mut wire = lab.wire(&lab.provider.token("brief")?)?;
    ensure!(wire.query("select 1")?.error().is_none());
    let last = wire.until_closed()?.error().context("it ended without a word")?;
    ensure!(format!("{last:?}").contains("expired"), "{last:?}");
    Ok(())
}

#[test]
fn keys_change_and_providers_go_down_without_locking_out_who_is_known() -> Result<()> {
    let mut lab = lab()?;
    let token = lab.provider.token("robot")?;
    let mut live = lab.wire(&token)?;
    lab.provider.stop()?;
    ensure!(live.query("select 1")?.error().is_none(), "a live session goes on");
    lab.wire(&token)?;
    // Other keys, which the gateway has not seen yet.
    lab.provider.forget_keys()?;
    lab.provider.launch()?;
    let newer = lab.provider.token("robot")?;
    lab.wire(&newer).context("a token that names a new key")?;
    ensure!(live.query("select 1")?.error().is_none());
    let words = lab.turned_away(&token)?;
    ensure!(words.contains("the token is not valid"), "its key was withdrawn: {words}");
    Ok(())
}

#[test]
fn a_provider_that_cannot_be_asked_is_said_to_be_the_reason() -> Result<()> {
    let (mut provider, server) = (Provider::start()?, Server::start()?);
    let token = provider.token("robot")?;
    provider.stop()?;
    let config = Config::streaming().with(&identity(&provider));
    let gateway = Gateway::start(&config, &server.upstream())?;
    let mut lab = Lab { provider, gateway, server };
    let words = lab.turned_away(&token)?;
    ensure!(words.contains("cannot fetch the keys of the identity provider"), "{words}");
    lab.log_says("the keys of an issuer cannot be fetched; its tokens are refused")?;
    // Tokens of our own do not need it.
    lab.wire(&lab.gateway.agent("own")?.secret)?;
    lab.provider.launch()?;
    until("its keys are there", || Ok(lab.wire(&token).ok()))?;
    Ok(())
}

#[test]
fn a_token_revoked_here_and_an_issuer_no_longer_listed_end_sessions() -> Result<()> {
    let lab = lab()?;
    let (token, other) = (lab.provider.token("robot")?, lab.provider.token("robot")?);
    let (mut first, mut second) = (lab.wire(&token)?, lab.wire(&other)?);
    ensure!(first.query("select 1")?.error().is_none());
    ensure!(second.query("select 1")?.error().is_none());
    let sessions = lab.gateway.api("GET", "/api/v1/sessions?live=true", None, None)?.json();
    let names: Vec<&str> = sessions
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|session| session.get("token").and_then(Value::as_str))
        .collect();
    ensure!(names.len() == 2 && names.iter().all(|name| name.starts_with("jwt_")), "{sessions}");
    let before = lab.gateway.json(&["token", "list"])?;
    for name in &names {
        lab.gateway.narrows(&["token", "revoke", name])?.success()?;
    }
    first.until_closed()?;
    second.until_closed()?;
    lab.turned_away(&token)?;
    lab.turned_away(&other)?;
    ensure!(lab.gateway.json(&["token", "list"])? == before, "it is no token of ours");
    lab.gateway.narrows(&["token", "revoke", "jwt_0000000000000000"])?.success()?;
    let malformed = lab.gateway.narrows(&["token", "revoke", "jwt_abc"])?;
    ensure!(malformed.code() == 1, "no name of a token");

    let mut third = lab.wire(&lab.provider.token("robot")?)?;
    ensure!(third.query("select 1")?.error().is_none());
    lab.gateway.configure(&Config::streaming(), &lab.server.upstream())?;
    lab.gateway.narrows(&["reload"])?.success()?;
    third.until_closed()?;
    lab.turned_away(&lab.provider.token("robot")?)?;
    Ok(())
}

#[test]
fn the_same_token_opens_http() -> Result<()> {
    let provider = Provider::start()?;
    let gateway = Gateway::start_with(|ports, _| {
        format!(
            "data_dir: ./var\nlisten:\n  admin: 127.0.0.1:{}\n  http: 127.0.0.1:{}\n  \
             egress: 127.0.0.1:{}\n{}resources:\n  idp: {{ type: http, url: \"{}\" }}\n  \
             net: {{ type: egress, hosts: {{ idp.test: \"{}\" }} }}\n\
             access:\n  - {{ groups: [agents], resources: [idp, net] }}\nrules: []\n",
            ports.admin,
            ports.http,
            ports.egress,
            identity(&provider),
            provider.issuer(),
            provider.issuer().trim_start_matches("http://"),
        )
    })?;
    let ports = gateway.ports();
    let path = "/.well-known/openid-configuration";
    let curl = |arguments: &[&str]| -> Result<String> {
        let mut curl = Command::new("curl");
        curl.args(["-sS", "--max-time", "50", "-o", "/dev/null", "-w", "%{http_code}"]);
        Child::start_piped(curl.args(arguments))?.output(PATIENCE)?.success()
    };
    let front = format!("http://127.0.0.1:{}/r/idp{path}", ports.http);
    let token = provider.token("robot")?;
    for (token, status) in [(token.clone(), "200"), (format!("{token}x"), "401")] {
        let bearer = format!("Authorization: Bearer {token}");
        let said = curl(&[&front, "-H", &bearer])?;
        ensure!(said == status, "{said}, not {status}\n{}", gateway.log_tail());
        let proxy = format!("http://x:{token}@127.0.0.1:{}", ports.egress);
        let said = curl(&["--proxy", &proxy, &format!("http://idp.test{path}")])?;
        let refused = if status == "200" { "200" } else { "407" };
        ensure!(said == refused, "{said}, not {refused}\n{}", gateway.log_tail());
    }
    let other = provider.token_for("robot", &["resource=urn:other"])?;
    ensure!(curl(&[&front, "-H", &format!("Authorization: Bearer {other}")])? == "401");
    Ok(())
}

#[test]
fn a_session_may_outlive_its_token_and_not_its_revocation() -> Result<()> {
    let (provider, server) = (Provider::start()?, Server::start()?);
    let extra = format!("{}session: {{ outlive_token: true }}\n", identity(&provider));
    let gateway = Gateway::start(&Config::streaming().with(&extra), &server.upstream())?;
    let lab = Lab { provider, gateway, server };
    let token = lab.provider.token("brief")?;
    let mut wire = lab.wire(&token)?;
    until("the token is over", || {
        let refused = lab.wire(&token).err();
        Ok(refused.is_some_and(|why| format!("{why:#}").contains("expired")).then_some(()))
    })?;
    let reply = wire.query("select 1")?;
    ensure!(reply.error().is_none(), "{:?}", reply.error());
    let session = lab.gateway.session_of("brief")?;
    let id = session.get("id").and_then(Value::as_str).context("an id")?;
    let shown = lab.gateway.show(id)?.to_string();
    let start = shown.find("jwt_").context("the token is named")?;
    let name = shown.get(start..start + 20).context("a whole name")?;
    lab.gateway.narrows(&["token", "revoke", name])?.success()?;
    until("the session is ended", || Ok(wire.query("select 1").err().map(drop)))
}
