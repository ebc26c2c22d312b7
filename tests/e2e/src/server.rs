//! A private PostgreSQL with the sample data, its log, and its certificate.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

use crate::place;
use crate::process::{Child, User, command, run_well, signal_process, tail};
use crate::until::until;
use crate::wire::Wire;

/// Password of `app`, the role that the gateway uses: what no client may ever learn.
pub const APP_PASSWORD: &str = "Hidden-upstream-password-4711";

/// Where a server listens and whose word it takes.
#[derive(Clone, Debug)]
pub struct Upstream {
    /// Its port on 127.0.0.1 (and on `localhost`, the name in its certificate).
    pub port: u16,
    /// The certificate authority that vouches for it.
    pub ca: PathBuf,
}

/// A running PostgreSQL.
#[derive(Debug)]
pub struct Server {
    child: Option<Child>,
    dir: TempDir,
    port: u16,
}

const SETTINGS: &str = "
listen_addresses = '127.0.0.1'
unix_socket_directories = ''
fsync = off
full_page_writes = off
autovacuum = off
max_connections = 60
shared_buffers = 64MB
log_statement = all
log_min_error_statement = error
log_line_prefix = '%m [%p] %u '
logging_collector = off
password_encryption = 'scram-sha-256'
";

/// `boss` is the superuser, for the tests themselves; `app` is the gateway's.
const ACCESS: &str = "
host all boss 127.0.0.1/32 trust
host all app  127.0.0.1/32 scram-sha-256
";

impl Server {
    /// Starts one from a copy of the prepared data.
    ///
    /// # Errors
    /// PostgreSQL is not installed, or does not start; its log is in the message.
    pub fn start() -> Result<Self> {
        let template = template()?;
        let dir = folder("narrows-e2e-db-")?;
        let data = dir.path().join("data");
        run_well(Command::new("cp").arg("-a").arg(&template).arg(&data))?;
        certify(dir.path())?;
        own(dir.path(), true)?;
        let mut server = Self { child: None, dir, port: place::port()? };
        server.launch()?;
        Ok(server)
    }

    /// Its log, every statement included.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn log(&self) -> Result<String> {
        let bytes = fs::read(self.dir.path().join("log")).context("read the server's log")?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// The end of its log.
    #[must_use]
    pub fn log_tail(&self) -> String {
        tail(&self.dir.path().join("log"), 40)
    }

    /// Where it is.
    #[must_use]
    pub fn upstream(&self) -> Upstream {
        Upstream { port: self.port, ca: self.dir.path().join("ca.pem") }
    }

    /// Runs statements as the superuser, past the gateway; unaligned rows.
    ///
    /// # Errors
    /// One of them fails.
    pub fn sql(&self, statements: &str) -> Result<String> {
        sql(self.port, "shop", statements)
    }

    /// Lets every role in that has a password.
    ///
    /// # Errors
    /// The server does not take it.
    pub fn admit_roles(&self) -> Result<()> {
        let line = "host all all 127.0.0.1/32 scram-sha-256";
        // Its folder is where the server runs.
        let append = format!("COPY (SELECT '{line}') TO PROGRAM 'cat >> pg_hba.conf'");
        self.sql(&append)?;
        self.sql("SELECT pg_reload_conf()").map(drop)
    }

    /// A raw connection of the superuser, past the gateway.
    ///
    /// # Errors
    /// It cannot be opened.
    pub fn wire(&self) -> Result<Wire> {
        Wire::connect(self.port, "boss", "shop", "")
    }

    /// Sends a signal to a process of the server.
    ///
    /// # Errors
    /// There is no such process.
    pub fn signal(&self, process: u32, signal: &str) -> Result<()> {
        signal_process(process, signal)
    }

    /// Ends it, the way a crash does.
    pub fn stop(&mut self) {
        self.stop_by("QUIT");
    }

    fn stop_by(&mut self, signal: &str) {
        if let Some(mut child) = self.child.take() {
            let _ = child.signal(signal);
            let _ = child.end(std::time::Duration::from_secs(20));
        }
    }

    /// Starts it again, on the same port.
    ///
    /// # Errors
    /// It does not start.
    pub fn launch(&mut self) -> Result<()> {
        let log = fs::File::options()
            .create(true)
            .append(true)
            .open(self.dir.path().join("log"))
            .context("open the server's log")?;
        let program = place::postgres_programs()?.join("postgres");
        let mut postgres = command(program, User::Postgres);
        postgres.arg("-D").arg(self.dir.path().join("data"));
        postgres.args(["-p", &self.port.to_string()]);
        postgres.current_dir(self.dir.path()).stdin(Stdio::null());
        postgres.stdout(log.try_clone()?).stderr(log);
        let mut child = Child::start(&mut postgres)?;
        until("the private PostgreSQL answers", || {
            if child.ended()?.is_some() {
                bail!("PostgreSQL did not start:\n{}", self.log_tail());
            }
            Ok(Wire::connect(self.port, "boss", "postgres", "").ok().map(drop))
        })?;
        self.child = Some(child);
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

fn sql(port: u16, database: &str, statements: &str) -> Result<String> {
    let psql = place::postgres_programs()?.join("psql");
    let mut psql = command(psql, User::Own);
    psql.args(["-X", "-q", "-At", "-h", "127.0.0.1", "-U", "boss", "-v", "ON_ERROR_STOP=1"]);
    psql.args(["-p", &port.to_string(), "-d", database, "-c", statements]);
    run_well(&mut psql)
}

fn sql_file(port: u16, file: &Path) -> Result<()> {
    let psql = place::postgres_programs()?.join("psql");
    let mut psql = command(psql, User::Own);
    psql.args(["-X", "-q", "-h", "127.0.0.1", "-U", "boss", "-v", "ON_ERROR_STOP=1"]);
    psql.args(["-p", &port.to_string(), "-d", "shop", "-1", "-f"]).arg(file);
    run_well(&mut psql).map(drop)
}

/// A data folder with the sample data, made once per version of it and copied by every test.
fn template() -> Result<PathBuf> {
    let root = place::workspace()?;
    let files = [root.join("scripts/sample.sql"), place::own("sql/types.sql")];
    let mut made_from = format!("{}{SETTINGS}{ACCESS}", place::postgres_programs()?.display());
    for file in &files {
        made_from += &fs::read_to_string(file).with_context(|| file.display().to_string())?;
    }
    let folder = root.join("target/e2e");
    fs::create_dir_all(&folder)?;
    let template = folder.join(format!("database-{:016x}", digest(&made_from)));
    // One test makes it, the others wait for it.
    let lock = fs::File::create(folder.join("lock"))?;
    lock.lock().context("wait for the test that prepares the database")?;
    if !template.exists() {
        make_template(&files, &template)?;
    }
    Ok(template)
}

/// FNV-1a: names the template after what it is made from.
fn digest(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

fn make_template(files: &[PathBuf], template: &Path) -> Result<()> {
    let dir = folder("narrows-e2e-template-")?;
    own(dir.path(), false)?;
    let data = dir.path().join("data");
    let mut initdb = command(place::postgres_programs()?.join("initdb"), User::Postgres);
    initdb.arg("-D").arg(&data).current_dir(dir.path());
    initdb.args(["-U", "boss", "-A", "trust", "-N", "-E", "UTF8", "--locale=C", "--wal-segsize=1"]);
    run_well(&mut initdb)?;
    let conf = data.join("postgresql.conf");
    let settings = fs::read_to_string(&conf)? + SETTINGS;
    fs::write(&conf, settings)?;
    fs::write(data.join("pg_hba.conf"), ACCESS)?;
    let mut server = Server { child: None, dir, port: place::port()? };
    server.launch()?;
    sql(server.port, "postgres", "CREATE DATABASE shop")?;
    sql(
        server.port,
        "shop",
        &format!(
            "CREATE ROLE app LOGIN PASSWORD '{APP_PASSWORD}'; GRANT CREATE ON SCHEMA public TO app; \
             GRANT CREATE, TEMPORARY ON DATABASE shop TO app; \
             ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO app; \
             ALTER DEFAULT PRIVILEGES GRANT ALL ON SEQUENCES TO app"
        ),
    )?;
    for file in files {
        sql_file(server.port, file)?;
    }
    server.stop_by("INT");
    let settings = fs::read_to_string(&conf)?
        + "ssl = on\nssl_cert_file = '../server.pem'\nssl_key_file = '../server.key'\n";
    fs::write(&conf, settings)?;
    // Renamed when complete, so that nobody ever sees half of it.
    let part = template.with_extension("part");
    let _ = fs::remove_dir_all(&part);
    run_well(Command::new("cp").arg("-a").arg(&data).arg(&part))?;
    fs::rename(&part, template)?;
    Ok(())
}

fn folder(prefix: &str) -> Result<TempDir> {
    tempfile::Builder::new().prefix(prefix).tempdir().context("make a folder for the test")
}

/// Gives a folder to the user that runs PostgreSQL.
fn own(path: &Path, deep: bool) -> Result<()> {
    if crate::process::is_root() {
        let mut chown = Command::new("chown");
        if deep {
            chown.arg("-R");
        }
        run_well(chown.arg("postgres:postgres").arg(path))?;
        // Tests read its log and certificate; root may anyway.
    }
    Ok(())
}

/// A certificate authority, and a certificate of it for `localhost`.
fn certify(dir: &Path) -> Result<()> {
    let ca_key = rcgen::KeyPair::generate()?;
    let mut ca = rcgen::CertificateParams::new(Vec::new())?;
    ca.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    ca.distinguished_name.push(rcgen::DnType::CommonName, "e2e upstream CA");
    let ca_pem = ca.self_signed(&ca_key)?.pem();
    let issuer = rcgen::Issuer::new(ca, ca_key);
    let key = rcgen::KeyPair::generate()?;
    let mut leaf = rcgen::CertificateParams::new(vec!["localhost".to_owned()])?;
    leaf.distinguished_name.push(rcgen::DnType::CommonName, "localhost");
    let leaf = leaf.signed_by(&key, &issuer)?;
    fs::write(dir.join("ca.pem"), ca_pem)?;
    fs::write(dir.join("server.pem"), leaf.pem())?;
    let path = dir.join("server.key");
    fs::write(&path, key.serialize_pem())?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
    Ok(())
}
