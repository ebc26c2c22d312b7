//! Secrets that a store keeps, and credentials that it makes: a real OpenBao, a real PostgreSQL.

use std::fs;
use std::path::Path;
use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use e2e::{
    APP_PASSWORD, Bao, Child, Config, Gateway, Ports, Server, Token, Wire, as_other, own, python,
    until,
};
use serde_json::Value;

const KV_POLICY: &str = "path \"secret/data/*\" { capabilities = [\"read\"] }";
const DB_POLICY: &str = "
path \"database/creds/*\" { capabilities = [\"read\"] }
path \"sys/leases/renew\" { capabilities = [\"update\"] }
path \"sys/leases/revoke\" { capabilities = [\"update\"] }
";
/// How roles are made, as OpenBao's documentation has it.
const MAKE_ROLE: &str = "CREATE ROLE \"{{name}}\" WITH LOGIN PASSWORD '{{password}}' \
                         VALID UNTIL '{{expiration}}'; \
                         GRANT pg_read_all_data TO \"{{name}}\";";

fn file(ports: &Ports, bao: &Bao, server: &Server, how: &str, auth: &str) -> String {
    let Ports { admin, postgres, .. } = ports;
    let (address, port) = (bao.address(), server.upstream().port);
    format!(
        "data_dir: ./var
listen: {{ admin: \"127.0.0.1:{admin}\", postgres: \"127.0.0.1:{postgres}\" }}
vault: {{ address: \"{address}\", {auth}, refresh: 1s }}
resources:
  shop:
    type: postgres
    address: \"127.0.0.1:{port}\"
    database: shop
    {how}
    tls: off
recording: {{ archive_every: 1s }}
access: [ {{ groups: [agents], resources: [\"*\"] }} ]
"
    )
}

const KEPT: &str = "user: app\n    password: {vault: \"secret/data/appdb#password\"}";
const MADE: &str = "credentials: {vault: database/creds/readonly}";
const BY_TOKEN: &str = "token: {file: bao.token}";

#[expect(clippy::unwrap_used, reason = "a test that cannot go on must say so")]
fn write_token(dir: &Path, token: &str) {
    fs::write(dir.join("bao.token"), format!("{token}\n")).unwrap();
}

fn connect(gateway: &Gateway, token: &Token) -> Result<Wire> {
    Wire::connect(gateway.port(), "agent", "shop", &token.secret)
}

fn put(bao: &Bao, password: &str) -> Result<()> {
    bao.run(&["kv", "put", "secret/appdb", &format!("password={password}")]).map(drop)
}

/// The events of this kind of administration, newest last.
fn events(gateway: &Gateway, action: &str) -> Result<Vec<String>> {
    let export =
        ["audit", "export", "--since", "1h", "--format", "jsonl", "--store", "var/recordings"];
    // There is no archive yet, or all of it.
    let text = gateway.narrows(&export)?.stdout;
    let mut found = Vec::new();
    for line in text.lines() {
        let event: Value = serde_json::from_str(line)?;
        let word =
            |key: &str| event.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        if word("action") == action {
            found.push(format!("{} {}", word("target"), word("detail")));
        }
    }
    Ok(found)
}

fn until_event(gateway: &Gateway, action: &str, words: &str) -> Result<String> {
    until(&format!("{action} is recorded"), || {
        Ok(events(gateway, action)?.into_iter().find(|event| event.contains(words)))
    })
}

#[test]
fn a_password_in_vault_is_read_again_and_outlives_the_vault() -> Result<()> {
    let (server, mut bao) = (Server::start()?, Bao::start()?);
    put(&bao, APP_PASSWORD)?;
    let token = bao.token("gateway", KV_POLICY)?;
    let gateway = Gateway::start_with(|ports, dir| {
        write_token(dir, &token);
        file(ports, &bao, &server, KEPT, BY_TOKEN)
    })?;
    let agent = gateway.agent("robot")?;
    let mut first = connect(&gateway, &agent)?;
    ensure!(whoami(&mut first)? == "app");

    // A new password is used by new connections; the old ones go on.
    server.sql("ALTER ROLE app PASSWORD 'Another-hidden-password-1'")?;
    put(&bao, "Another-hidden-password-1")?;
    until("new connections use it", || Ok(connect(&gateway, &agent).ok().map(drop)))?;
    first.query("SELECT 1")?;
    until_event(&gateway, "secret.change", "vault:secret/data/appdb#password")?;

    // Down: what was known is used, and it is said.
    bao.stop()?;
    let failed = until_event(&gateway, "secret.fail", "still used")?;
    ensure!(!failed.contains(&token), "{failed}");
    connect(&gateway, &agent)?;
    let doctor = gateway.narrows(&["doctor"])?;
    ensure!(doctor.code() == 1 && doctor.stdout.contains("secret vault:secret/data/appdb"));

    // Back, with a secret that was taken out of it: that is not used any more.
    bao.launch()?;
    let token = bao.token("gateway", KV_POLICY)?;
    write_token(gateway.dir(), &token);
    until_event(&gateway, "secret.fail", "what needs it is refused")?;
    let refused = connect(&gateway, &agent).err().context("it was let in")?;
    ensure!(format!("{refused:#}").contains("no credential for the resource"), "{refused:#}");
    let resources = gateway.narrows(&["resources"])?;
    ensure!(resources.stderr.contains("shop is not ready: "), "{resources:?}");
    put(&bao, "Another-hidden-password-1")?;
    until("it is back", || Ok(connect(&gateway, &agent).ok().map(drop)))?;
    until_event(&gateway, "secret.recover", "vault:secret/data/appdb#password")?;
    ensure!(!gateway.log().contains("hidden-password"), "{}", gateway.log());
    Ok(())
}

#[test]
fn a_gateway_that_starts_without_its_vault_says_why_and_recovers() -> Result<()> {
    let (server, mut bao) = (Server::start()?, Bao::start()?);
    bao.stop()?;
    let approle = "approle: { role_id: gateway, secret_id: {file: secret.id} }";
    let gateway = Gateway::start_with(|ports, dir| {
        fs::write(dir.join("secret.id"), "not yet").unwrap();
        file(ports, &bao, &server, KEPT, approle)
    })?;
    let agent = gateway.agent("robot")?;
    ensure!(connect(&gateway, &agent).is_err());
    until("it says why", || {
        let resources = gateway.json(&["resources"])?;
        let why = resources.pointer("/0/not_ready").and_then(Value::as_str);
        Ok(why.filter(|why| why.contains("auth/approle/login")).map(drop))
    })?;

    bao.launch()?;
    put(&bao, APP_PASSWORD)?;
    bao.policy("gateway", KV_POLICY)?;
    bao.run(&["auth", "enable", "approle"])?;
    let role = "auth/approle/role/gateway";
    bao.run(&["write", role, "token_policies=gateway", "token_ttl=2s", "token_max_ttl=4s"])?;
    bao.run(&["write", &format!("{role}/role-id"), "role_id=gateway"])?;
    let secret = bao.run(&["write", "-f", "-field=secret_id", &format!("{role}/secret-id")])?;
    fs::write(gateway.dir().join("secret.id"), secret)?;
    until("it is let in", || Ok(connect(&gateway, &agent).ok().map(drop)))?;

    // Its token ends every few seconds: it logs in again.
    server.sql("ALTER ROLE app PASSWORD 'Another-hidden-password-2'")?;
    put(&bao, "Another-hidden-password-2")?;
    until("new connections use it", || Ok(connect(&gateway, &agent).ok().map(drop)))
}

/// A database engine whose credentials last so long.
fn engine(bao: &Bao, server: &Server, ttl: &str, max: &str) -> Result<()> {
    server.admit_roles()?;
    bao.run(&["secrets", "enable", "database"])?;
    let port = server.upstream().port;
    let url = format!("postgresql://boss@127.0.0.1:{port}/shop?sslmode=disable");
    bao.run(&[
        "write",
        "database/config/shop",
        "plugin_name=postgresql-database-plugin",
        "allowed_roles=readonly",
        &format!("connection_url={url}"),
    ])?;
    bao.run(&[
        "write",
        "database/roles/readonly",
        "db_name=shop",
        &format!("creation_statements={MAKE_ROLE}"),
        &format!("default_ttl={ttl}"),
        &format!("max_ttl={max}"),
    ])
    .map(drop)
}

/// The roles that OpenBao made and that are still there.
fn roles(server: &Server) -> Result<Vec<String>> {
    let found = server.sql("SELECT rolname FROM pg_roles WHERE rolname LIKE 'v-%'")?;
    Ok(found.lines().map(str::to_owned).collect())
}

fn cell(wire: &mut Wire, statement: &str) -> Result<String> {
    let reply = wire.query(statement)?;
    let cell = reply.text().first().and_then(|row| row.first().cloned());
    cell.with_context(|| format!("{statement}: {:?}", reply.error()))
}

fn whoami(wire: &mut Wire) -> Result<String> {
    cell(wire, "SELECT current_user")
}

#[test]
fn a_session_has_a_role_of_its_own_that_ends_with_it() -> Result<()> {
    let (server, bao) = (Server::start()?, Bao::start()?);
    engine(&bao, &server, "4s", "1h")?;
    let token = bao.token("gateway", DB_POLICY)?;
    let mut gateway = Gateway::start_with(|ports, dir| {
        write_token(dir, &token);
        file(ports, &bao, &server, MADE, BY_TOKEN)
    })?;
    let doctor = gateway.narrows(&["doctor"])?.success()?;
    ensure!(doctor.contains("one was made and revoked"), "{doctor}");
    let (ann, bob) = (gateway.agent("ann")?, gateway.agent("bob")?);
    let (mut first, mut second) = (connect(&gateway, &ann)?, connect(&gateway, &bob)?);
    let (role, other) = (whoami(&mut first)?, whoami(&mut second)?);
    ensure!(role.starts_with("v-") && other.starts_with("v-") && role != other, "{role} {other}");
    ensure!(cell(&mut first, "SELECT count(*) FROM customers")? != "0");

    // It is renewed while the session lives.
    let valid =
        || server.sql(&format!("SELECT rolvaliduntil FROM pg_roles WHERE rolname = '{role}'"));
    let before = valid()?;
    until("it is renewed", || Ok((valid()? != before).then_some(())))?;
    ensure!(whoami(&mut first)? == role);

    // The record says which role the server saw.
    let session = gateway.session_of("ann")?;
    let id = session.get("id").and_then(Value::as_str).context("an id")?.to_owned();
    let shown = gateway.show(&id)?;
    let told = shown.get("events").and_then(Value::as_array).context("events")?;
    let leased = told
        .iter()
        .find(|event| event.get("action").and_then(Value::as_str) == Some("credential.lease"));
    let leased = leased.context("the role is not recorded")?;
    ensure!(leased.get("target").and_then(Value::as_str) == Some(role.as_str()), "{leased}");
    ensure!(leased.get("session").and_then(Value::as_str) == Some(id.as_str()), "{leased}");

    // It ends with its session, and no other does.
    drop(first);
    until("it is revoked", || Ok((!roles(&server)?.contains(&role)).then_some(())))?;
    until_event(&gateway, "credential.revoke", &role)?;
    ensure!(whoami(&mut second)? == other);

    // Revoked at the store: the session ends and says why.
    bao.run(&["lease", "revoke", "-prefix", "-sync", "database/creds/readonly"])?;
    let ended = until("the session is ended", || Ok(second.query("SELECT 1").err()))?;
    let log = gateway.log();
    ensure!(log.contains("a credential has ended"), "{ended:#}\n{log}");
    until_event(&gateway, "credential.end", &other)?;
    let events = gateway.events_of("bob")?;
    ensure!(
        events.iter().any(|event| {
            event.get("reason").and_then(Value::as_str) == Some("credential_ended")
        })
    );

    // A gateway that stops leaves none behind, of the survey neither.
    let mut third = until("another is let in", || Ok(connect(&gateway, &ann).ok()))?;
    whoami(&mut third)?;
    ensure!(!roles(&server)?.is_empty());
    drop(third);
    let status = gateway.stop()?;
    ensure!(status.success(), "{status}");
    ensure!(roles(&server)?.is_empty(), "{:?}", roles(&server)?);
    Ok(())
}

#[test]
fn without_a_credential_there_is_no_session() -> Result<()> {
    let (server, mut bao) = (Server::start()?, Bao::start()?);
    engine(&bao, &server, "3s", "1h")?;
    let token = bao.token("gateway", DB_POLICY)?;
    let gateway = Gateway::start_with(|ports, dir| {
        write_token(dir, &token);
        file(ports, &bao, &server, MADE, BY_TOKEN)
    })?;
    let agent = gateway.agent("robot")?;
    let mut live = connect(&gateway, &agent)?;
    whoami(&mut live)?;
    bao.stop()?;
    // What lives, lives as long as its credential.
    until("the session is ended", || Ok(live.query("SELECT 1").err().map(drop)))?;
    let events = gateway.events_of("robot")?;
    let ended =
        |event: &Value| event.get("reason").and_then(Value::as_str) == Some("credential_ended");
    ensure!(events.iter().any(ended), "{events:?}");
    let refused = connect(&gateway, &agent).err().context("it was let in")?;
    ensure!(format!("{refused:#}").contains("no credential for the resource"), "{refused:#}");
    Ok(())
}

/// Everything of a folder, whatever its form.
fn holds(folder: &Path, words: &str) -> Result<Option<std::path::PathBuf>> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            if let Some(found) = holds(&path, words)? {
                return Ok(Some(found));
            }
        } else if fs::read(&path)?.windows(words.len()).any(|part| part == words.as_bytes()) {
            return Ok(Some(path));
        }
    }
    Ok(None)
}

#[test]
fn p7_planted_secrets_are_nowhere_but_where_they_were_planted() -> Result<()> {
    const BY_COMMAND: &str = "Planted-in-a-command-5521";
    let (server, bao) = (Server::start()?, Bao::start()?);
    put(&bao, APP_PASSWORD)?;
    let token = bao.token("gateway", KV_POLICY)?;
    // A command prints the token of Vault, and leaves behind what it was given.
    let script = "#!/bin/sh\nenv > \"$1/seen\"\ntr '\\0' ' ' < /proc/$$/environ >> \"$1/seen\"\ncat \"$1/planted\"\n";
    let gateway = Gateway::start_with(|ports, dir| {
        write_token(dir, &token);
        fs::write(dir.join("planted"), BY_COMMAND).unwrap();
        fs::write(dir.join("script"), script).unwrap();
        let text = file(ports, &bao, &server, KEPT, BY_TOKEN);
        let program = format!("[sh, \"{0}/script\", \"{0}\"]", dir.display());
        let more = format!(
            "  second:\n    type: postgres\n    address: \"127.0.0.1:{}\"\n    user: app\n    \
             password: {{command: {program}}}\n    tls: off\n  third:\n    type: postgres\n    \
             address: \"127.0.0.1:1\"\n    user: app\n    password: {{env: UPSTREAM_PASSWORD}}\n    \
             tls: off\nrecording:",
            server.upstream().port
        );
        text.replace("recording:", &more)
    })?;
    let agent = gateway.agent("robot")?;
    connect(&gateway, &agent)?.query("SELECT 1")?;
    // Its password is wrong, and neither the client nor the log learns it.
    let refused = Wire::connect(gateway.port(), "agent", "second", &agent.secret).err();
    let refused = format!("{:#}", refused.context("a wrong password was taken")?);
    let seen = until("the command has run", || {
        Ok(fs::read_to_string(gateway.dir().join("seen")).ok().filter(|seen| !seen.is_empty()))
    })?;
    ensure!(seen.contains("PATH="), "{seen}");
    ensure!(!seen.contains(APP_PASSWORD) && !seen.contains("UPSTREAM_PASSWORD"), "{seen}");

    let id = gateway.id()?;
    let mut places = vec![("an error", refused), ("the log", gateway.log())];
    for name in ["cmdline", "status", "limits", "maps"] {
        let text = fs::read(format!("/proc/{id}/{name}"))?;
        places.push((name, String::from_utf8_lossy(&text).into_owned()));
    }
    let limits = &places.iter().find(|(name, _)| *name == "limits").context("limits")?.1;
    let core = limits.lines().find(|line| line.starts_with("Max core file size"));
    let core: Vec<&str> = core.context("core")?.split_whitespace().skip(4).take(2).collect();
    ensure!(core == ["0", "0"], "{core:?}");
    for words in [&["doctor"][..], &["check", "--show"], &["resources"], &["sessions", "--json"]] {
        let said = gateway.narrows(words)?;
        places.push(("a command", format!("{}{}", said.stdout, said.stderr)));
    }
    let session = gateway.session_of("robot")?;
    let session = session.get("id").and_then(Value::as_str).context("an id")?;
    places.push(("the record", gateway.show(session)?.to_string()));
    for planted in [APP_PASSWORD, BY_COMMAND, &token, &agent.secret] {
        for (place, text) in &places {
            ensure!(!text.contains(planted), "{planted} is in {place}: {text}");
        }
        let found = holds(&gateway.path("var"), planted)?;
        ensure!(found.is_none(), "{planted} is in {found:?}");
    }
    Ok(())
}

#[test]
fn p7_nobody_looks_into_a_gateway() -> Result<()> {
    let (server, folder) = (Server::start()?, tempfile::tempdir()?);
    let program = folder.path().join("narrows");
    fs::copy(std::env::var("NARROWS_BIN").context("NARROWS_BIN")?, &program)?;
    let admin = server.upstream().port;
    // No listener is needed: the address of PostgreSQL is taken, so it must not get that far.
    let text = format!(
        "data_dir: ./var\nlisten: {{ admin: \"127.0.0.1:{admin}\", postgres: \"127.0.0.1:0\" }}\n\
         resources: {{ shop: {{ type: postgres, address: \"127.0.0.1:1\", user: a, \
         password: {{env: PLANTED}}, tls: off }} }}\nkeys: {{ installation: {{command: [sh, hold]}} }}\n"
    );
    fs::write(folder.path().join("narrows.yaml"), text)?;
    // It waits here, with its environment as it is.
    fs::write(folder.path().join("hold"), "touch held; exec sleep 9\n")?;
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777))?;
    for (more, readable) in [(&[][..], false), (&["--dumpable"], true)] {
        let _ = fs::remove_file(folder.path().join("held"));
        let mut serve = as_other(&program);
        serve.arg("serve").args(more).current_dir(folder.path());
        serve.env("PLANTED", "Planted-in-the-environment-91").stdin(Stdio::null());
        serve.stdout(Stdio::null()).stderr(Stdio::null());
        let child = Child::start(&mut serve)?;
        until("it is up", || Ok(folder.path().join("held").exists().then_some(())))?;
        // Somebody else's process of the same account.
        let mut look = as_other("cat");
        let looked = look.arg(format!("/proc/{}/environ", child.id())).output()?;
        let found = String::from_utf8_lossy(&looked.stdout).contains("Planted-in-the-environment");
        ensure!(found == readable, "{more:?}: {}", String::from_utf8_lossy(&looked.stderr));
    }
    Ok(())
}

#[test]
fn a_password_in_aws_secrets_manager_is_read() -> Result<()> {
    let (server, folder) = (Server::start()?, tempfile::tempdir()?);
    let port = folder.path().join("port");
    let mut manager = std::process::Command::new(python()?);
    manager.arg("-B").arg(own("python/aws_secrets.py")).arg(&port).arg(APP_PASSWORD);
    let _manager = Child::start_piped(&mut manager)?;
    let port = until("the manager is there", || {
        Ok(fs::read_to_string(&port).ok().and_then(|text| text.parse::<u16>().ok()))
    })?;
    let endpoint = format!("http://127.0.0.1:{port}");
    let environment = [
        ("AWS_ENDPOINT_URL", &*endpoint),
        ("AWS_REGION", "eu-central-1"),
        ("AWS_ACCESS_KEY_ID", "AKIATEST"),
        ("AWS_SECRET_ACCESS_KEY", "Planted-secret-access-key"),
    ];
    let gateway = Gateway::start_in(&environment, &Config::open(), &server.upstream())?;
    // A reload brings the stores.
    let Ports { admin, postgres, .. } = gateway.ports();
    let resource = |name: &str, secret: &str| {
        format!(
            "  {name}: {{ type: postgres, address: \"127.0.0.1:{}\", database: shop, user: app, tls: off, \
             password: {{aws: \"{secret}\"}} }}\n",
            server.upstream().port
        )
    };
    let resources = [
        ("field", "prod/appdb#password"),
        ("plain", "prod/plain"),
        ("number", "prod/appdb#port"),
        ("missing", "prod/nothing"),
    ];
    let resources: String = resources.iter().map(|(name, secret)| resource(name, secret)).collect();
    gateway.rewrite(&format!(
        "data_dir: ./var\nlisten: {{ admin: \"127.0.0.1:{admin}\", postgres: \"127.0.0.1:{postgres}\" }}\n\
         resources:\n{resources}access: [ {{ groups: [agents], resources: [\"*\"] }} ]\n"
    ))?;
    gateway.narrows(&["reload"])?.success()?;
    let agent = gateway.agent("robot")?;
    for name in ["field", "plain"] {
        let mut wire = Wire::connect(gateway.port(), "agent", name, &agent.secret)?;
        ensure!(whoami(&mut wire)? == "app");
    }
    for (name, why) in [("number", "is not a text"), ("missing", "ResourceNotFoundException")] {
        let refused = Wire::connect(gateway.port(), "agent", name, &agent.secret).err();
        let refused = format!("{:#}", refused.context("it was let in")?);
        ensure!(refused.contains("no credential for the resource"), "{refused}");
        ensure!(gateway.log().contains(why), "{why}: {}", gateway.log());
    }
    ensure!(!gateway.log().contains(APP_PASSWORD) && !gateway.log().contains("Planted-secret"));
    Ok(())
}
