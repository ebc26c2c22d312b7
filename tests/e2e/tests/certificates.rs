//! Clients that prove themselves by a certificate: psql and curl with certificates that openssl made.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread;

use anyhow::{Context, Result, ensure};
use e2e::{Driver, Gateway, Output, Ports, Server, until};
use serde_json::Value;

/// A line of openssl's configuration for each kind of client.
const SVID: &str = "keyUsage=critical,digitalSignature\nbasicConstraints=critical,CA:false";

struct Folder<'a>(&'a Path);

impl Folder<'_> {
    fn openssl(&self, words: &[&str]) -> Result<()> {
        let made = Command::new("openssl").args(words).current_dir(self.0).output()?;
        ensure!(made.status.success(), "{words:?}: {}", String::from_utf8_lossy(&made.stderr));
        Ok(())
    }

    /// An authority.
    fn authority(&self, name: &str) -> Result<()> {
        let (key, cert) = (format!("{name}.key"), format!("{name}.pem"));
        self.openssl(&[
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-keyout",
            &key,
            "-out",
            &cert,
            "-days",
            "30",
            "-subj",
            &format!("/CN={name}"),
            "-addext",
            "keyUsage=critical,keyCertSign,cRLSign",
        ])
    }

    /// A client's certificate by an authority, with these extensions, good for so many days.
    fn client(&self, by: &str, name: &str, cn: &str, more: &str, days: &str) -> Result<()> {
        let (key, cert, ask) =
            (format!("{name}.key"), format!("{name}.pem"), format!("{name}.csr"));
        let (ca, ca_key) = (format!("{by}.pem"), format!("{by}.key"));
        self.openssl(&[
            "req",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-keyout",
            &key,
            "-out",
            &ask,
            "-subj",
            &format!("/CN={}", cn.replace('/', "\\/")),
        ])?;
        fs::write(self.0.join("more.cnf"), format!("{more}\n"))?;
        self.openssl(&[
            "x509",
            "-req",
            "-in",
            &ask,
            "-CA",
            &ca,
            "-CAkey",
            &ca_key,
            "-CAcreateserial",
            "-out",
            &cert,
            "-days",
            days,
            "-extfile",
            "more.cnf",
        ])?;
        use std::os::unix::fs::PermissionsExt as _;
        // psql takes no key that others can read.
        Ok(fs::set_permissions(self.0.join(&key), fs::Permissions::from_mode(0o600))?)
    }

    fn path(&self, name: &str) -> String {
        self.0.join(name).display().to_string()
    }
}

fn psql(gateway: &Gateway, token: &str, name: &str, more: &[(&str, &str)]) -> Result<Output> {
    let select = "SELECT 'in', ssn FROM customers ORDER BY id LIMIT 1";
    driver(gateway, token, name, more).psql(&[select])
}

fn driver(gateway: &Gateway, token: &str, name: &str, more: &[(&str, &str)]) -> Driver {
    let folder = Folder(gateway.dir());
    let (cert, key) = (folder.path(&format!("{name}.pem")), folder.path(&format!("{name}.key")));
    let mut driver = Driver::new(gateway.port(), token, "shop").env("PGSSLMODE", "require");
    driver = driver.env("PGSSLCERT", &cert).env("PGSSLKEY", &key);
    for (variable, value) in more {
        driver = driver.env(variable, value);
    }
    driver
}

fn config(ports: &Ports, server: &Server) -> String {
    let Ports { admin, postgres, http, .. } = ports;
    format!(
        "data_dir: ./var
listen: {{ admin: \"127.0.0.1:{admin}\", postgres: \"127.0.0.1:{postgres}\", http: \"127.0.0.1:{http}\" }}
identity:
  certificates:
    - {{ trust_domain: acme.example, bundle: {{file: acme.pem}}, groups: [agents] }}
    - {{ name: corp, ca: {{file: corp.pem}}, subject: cn, subject_prefix: \"corp:\", groups: [agents] }}
    - {{ name: short, ca: {{file: short.pem}}, crl: {{file: short.crl}}, subject: email, subject_prefix: \"mail:\", groups: [agents] }}
resources:
  shop: {{ type: postgres, address: \"127.0.0.1:{port}\", database: shop, user: app, password: {{env: UPSTREAM_PASSWORD}}, tls: off }}
  self: {{ type: http, url: \"http://127.0.0.1:{admin}\" }}
access: [ {{ groups: [agents], resources: [\"*\"] }} ]
rules:
  - {{ name: hide, mask: {{ fields: [ssn], with: redact }} }}
",
        port = server.upstream().port
    )
}

/// What is signed by `short` and what of it was revoked.
fn revocations(folder: &Folder<'_>) -> Result<()> {
    fs::write(
        folder.0.join("ca.cnf"),
        "[ca]\ndefault_ca=d\n[d]\ndatabase=index.txt\ncrlnumber=number\ndefault_md=sha256\n\
         default_crl_days=30\n",
    )?;
    fs::write(folder.0.join("index.txt"), "")?;
    fs::write(folder.0.join("number"), "01\n")?;
    let ca = ["-config", "ca.cnf", "-keyfile", "short.key", "-cert", "short.pem"];
    folder.openssl(&[&["ca"], &ca[..], &["-revoke", "revoked.pem"]].concat())?;
    folder.openssl(&[&["ca"], &ca[..], &["-gencrl", "-out", "short.crl"]].concat())
}

#[test]
fn a_certificate_proves_who_asks_and_nothing_else_does() -> Result<()> {
    let server = Server::start()?;
    let mut made = Ok(());
    let gateway = Gateway::start_with(|ports, dir| {
        made = prepare(&Folder(dir));
        config(ports, &server)
    });
    made?;
    let gateway = gateway?;
    // Who is believed, and as whom the record knows them; no token is asked for.
    for (name, subject) in [
        ("agent", "spiffe://acme.example/agents/7"),
        ("person", "corp:ann"),
        ("mail", "mail:ann@corp.example"),
    ] {
        let said = psql(&gateway, "", name, &[])?.success().with_context(|| name.to_owned())?;
        ensure!(said.trim() == "in|[REDACTED]", "{name}: {said}");
        let session = gateway.session_of(subject)?;
        let id = session.get("id").and_then(Value::as_str).context("an id")?;
        let shown = gateway.show(id)?.to_string();
        ensure!(shown.contains("\"crt_"), "{shown}");
    }
    // Who is not, and why.
    for (name, reason) in [
        ("stranger", "unknown_certificate"),
        ("expired", "expired_certificate"),
        ("foreign", "unknown_certificate"),
        ("double", "unknown_certificate"),
        ("signer", "unknown_certificate"),
        ("server_only", "unknown_certificate"),
        ("nameless", "unknown_certificate"),
        ("revoked", "unknown_certificate"),
    ] {
        let refused = psql(&gateway, "", name, &[])?;
        let said = format!("{}{}", refused.stdout, refused.stderr);
        ensure!(refused.code() != 0 && said.contains(reason), "{name}: {said}");
    }
    let log = gateway.log();
    for words in
        ["another trust domain", "exactly one URI", "not for signatures alone", "revoked it"]
    {
        ensure!(log.contains(words), "{words}: {log}");
    }

    // With a token besides, both have to be of the same subject.
    let both = [("PGOPTIONS", "-c narrows.auth=password")];
    let same = gateway.agent("corp:ann")?;
    ensure!(psql(&gateway, &same.secret, "person", &both)?.success()?.contains("in|"));
    let other = gateway.agent("somebody")?;
    let refused = psql(&gateway, &other.secret, "person", &both)?;
    ensure!(refused.stderr.contains("certificate_mismatch"), "{refused:?}");
    let refused = psql(&gateway, "nrw_guess", "person", &both)?;
    ensure!(refused.stderr.contains("unknown_token"), "{refused:?}");
    // Without a certificate a token does, as ever.
    let plain = Driver::new(gateway.port(), &other.secret, "shop").env("PGSSLMODE", "require");
    ensure!(plain.psql(&["SELECT 1"])?.success()?.contains('1'));

    // Over HTTP.
    let curl = |name: &str, more: &[&str]| -> Result<String> {
        let folder = Folder(gateway.dir());
        let (cert, key) =
            (folder.path(&format!("{name}.pem")), folder.path(&format!("{name}.key")));
        let url = format!("https://127.0.0.1:{}/r/self/healthz", gateway.ports().http);
        let mut curl = Command::new("curl");
        curl.args(["-sk", "-w", "%{http_code}", "--cert", &cert, "--key", &key]).args(more);
        let said = curl.arg(&url).env_clear().env("PATH", "/usr/bin:/bin").output()?;
        Ok(String::from_utf8_lossy(&said.stdout).into_owned())
    };
    let good = curl("agent", &[])?;
    ensure!(good.ends_with("200"), "{good}");
    for (name, reason) in [("double", "unknown_certificate"), ("expired", "expired_certificate")] {
        let refused = curl(name, &[])?;
        ensure!(refused.ends_with("401") && refused.contains(reason), "{name}: {refused}");
    }
    let mixed = format!("Authorization: Bearer {}", other.secret);
    let refused = curl("agent", &["-H", &mixed])?;
    ensure!(refused.ends_with("401") && refused.contains("certificate_mismatch"), "{refused}");

    // Revoked here: the certificate is named by the record.
    let session = gateway.session_of("corp:ann")?;
    let id = session.get("id").and_then(Value::as_str).context("an id")?;
    let shown = gateway.show(id)?.to_string();
    let from = gateway.session_of("spiffe://acme.example/agents/7")?;
    let id = from.get("id").and_then(Value::as_str).context("an id")?;
    let named = gateway.show(id)?.to_string();
    let start = named.find("crt_").with_context(|| shown.clone())?;
    let certificate = named.get(start..start + 20).context("a name")?;
    gateway.narrows(&["token", "revoke", certificate])?.success()?;
    let refused = psql(&gateway, "", "agent", &[])?;
    ensure!(refused.code() != 0 && refused.stderr.contains("revoked_token"), "{refused:?}");
    Ok(())
}

/// A session that rests on a token and a certificate ends with either.
#[test]
fn a_session_ends_with_the_certificate_that_came_with_its_token() -> Result<()> {
    let server = Server::start()?;
    let mut made = Ok(());
    let gateway = Gateway::start_with(|ports, dir| {
        made = prepare(&Folder(dir));
        config(ports, &server)
    });
    made?;
    let gateway = gateway?;
    let both = [("PGOPTIONS", "-c narrows.auth=password")];
    let live = |subject: &str| -> Result<String> {
        until("a live session", || {
            let session = gateway.session_of(subject).ok();
            let session = session.filter(|it| it.get("ended_at").is_none_or(Value::is_null));
            Ok(session.and_then(|it| Some(it.get("id")?.as_str()?.to_owned())))
        })
    };
    let sleeps = |subject: &str, name: &str, end: &dyn Fn(&str) -> Result<()>| -> Result<String> {
        let token = gateway.agent(subject)?.secret;
        let driver = driver(&gateway, &token, name, &both);
        let said = thread::scope(|scope| {
            let sleeping = scope.spawn(|| driver.psql(&["SELECT pg_sleep(100)"]));
            let ended = live(subject).and_then(|id| end(&id));
            let said = sleeping.join().map_err(|_| anyhow::anyhow!("psql could not be run"))??;
            ended?;
            Ok::<_, anyhow::Error>(said)
        })?;
        ensure!(said.code() != 0, "{said:?}");
        Ok(said.stderr)
    };
    let said = sleeps("corp:ann", "person", &|id| {
        let shown = gateway.show(id)?.to_string();
        let start = shown.find("crt_").with_context(|| shown.clone())?;
        let certificate = shown.get(start..start + 20).context("a name")?;
        gateway.narrows(&["token", "revoke", certificate])?.success()?;
        Ok(())
    })?;
    ensure!(said.contains("revoked"), "{said}");
    // With the same token and without the certificate it may go on.
    let token = gateway.agent("corp:ann")?.secret;
    let plain = Driver::new(gateway.port(), &token, "shop").env("PGSSLMODE", "require");
    ensure!(plain.psql(&["SELECT 1"])?.success()?.contains('1'));
    ensure!(psql(&gateway, &token, "person", &both)?.stderr.contains("revoked_token"));

    let said = sleeps("mail:ann@corp.example", "mail", &|_| {
        let folder = Folder(gateway.dir());
        let ca = ["-config", "ca.cnf", "-keyfile", "short.key", "-cert", "short.pem"];
        folder.openssl(&[&["ca"], &ca[..], &["-revoke", "mail.pem"]].concat())?;
        folder.openssl(&[&["ca"], &ca[..], &["-gencrl", "-out", "short.crl"]].concat())?;
        gateway.narrows(&["reload"])?.success()?;
        Ok(())
    })?;
    ensure!(said.contains("issuer_changed"), "{said}");
    Ok(())
}

fn prepare(folder: &Folder<'_>) -> Result<()> {
    for authority in ["acme", "corp", "short", "nobody"] {
        folder.authority(authority)?;
    }
    let uri = |id: &str| format!("{SVID}\nsubjectAltName=URI:{id}");
    let agent = uri("spiffe://acme.example/agents/7");
    folder.client("acme", "agent", "x", &agent, "7")?;
    folder.client("corp", "person", "ann", SVID, "7")?;
    let mail = format!("{SVID}\nsubjectAltName=email:ann@corp.example");
    folder.client("short", "mail", "x", &mail, "7")?;
    folder.client("short", "revoked", "x", &mail, "7")?;
    revocations(folder)?;
    folder.client("nobody", "stranger", "ann", &agent, "7")?;
    // It ends with the second in which it begins.
    folder.client("acme", "expired", "x", &agent, "0")?;
    // It is good for the second in which it was made.
    std::thread::sleep(std::time::Duration::from_millis(1100));
    folder.client("acme", "foreign", "x", &uri("spiffe://other.example/agents/7"), "7")?;
    let two = format!("{agent},URI:spiffe://acme.example/agents/8");
    folder.client("acme", "double", "x", &two, "7")?;
    let signer = agent.replace("digitalSignature", "digitalSignature,keyCertSign");
    folder.client("acme", "signer", "x", &signer, "7")?;
    let server_only = format!("{agent}\nextendedKeyUsage=serverAuth");
    folder.client("acme", "server_only", "x", &server_only, "7")?;
    // A common name is not looked at where a URI is wanted.
    folder.client("acme", "nameless", "spiffe://acme.example/agents/7", SVID, "7")
}
