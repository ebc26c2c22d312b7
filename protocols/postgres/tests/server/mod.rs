//! A private PostgreSQL: started in a directory of its own, gone when dropped.

use std::cell::RefCell;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// The server.
pub struct Server {
    programs: PathBuf,
    dir: PathBuf,
    port: u16,
}

/// A certificate for `localhost`, and its key.
pub struct Certificate {
    der: Vec<u8>,
    pem: String,
    key: String,
}

impl Certificate {
    pub fn new(algorithm: &'static rcgen::SignatureAlgorithm) -> Self {
        let key = rcgen::KeyPair::generate_for(algorithm).unwrap();
        let parameters = rcgen::CertificateParams::new(["localhost".to_owned()]).unwrap();
        let signed = parameters.self_signed(&key).unwrap();
        Self { der: signed.der().to_vec(), pem: signed.pem(), key: key.serialize_pem() }
    }

    /// Trusts this certificate only.
    pub fn client_config(&self) -> Arc<rustls::ClientConfig> {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(self.der.clone().into()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = rustls::ClientConfig::builder_with_provider(provider);
        let builder = builder.with_safe_default_protocol_versions().unwrap();
        Arc::new(builder.with_root_certificates(roots).with_no_client_auth())
    }
}

impl Server {
    /// Starts one whose `pg_hba.conf` has these lines; the superuser `boss` is always let in.
    pub fn start(access: &str, certificate: Option<&Certificate>) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let dir = format!("narrows-survey-{}-{number}", std::process::id());
        let dir = std::env::temp_dir().join(dir);
        fs::create_dir_all(&dir).unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let server = Self { programs: programs(), dir, port };
        server.own(&server.dir);
        let data = server.data();
        server.run("initdb", &["-D", &data, "-U", "boss", "-A", "trust", "-N", "-E", "UTF8"]);
        let mut settings = format!(
            "port = {port}\nlisten_addresses = '127.0.0.1'\nunix_socket_directories = ''\n\
             fsync = off\nautovacuum = off\nmax_connections = 20\nshared_buffers = 16MB\n"
        );
        if let Some(certificate) = certificate {
            for (name, text) in [("tls.pem", &certificate.pem), ("tls.key", &certificate.key)] {
                let path = server.dir.join(name);
                fs::write(&path, text).unwrap();
                fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
                server.own(&path);
            }
            let dir = server.dir.display();
            settings += &format!(
                "ssl = on\nssl_cert_file = '{dir}/tls.pem'\nssl_key_file = '{dir}/tls.key'\n"
            );
        }
        let file = PathBuf::from(&data).join("postgresql.conf");
        let mut file = fs::OpenOptions::new().append(true).open(file).unwrap();
        file.write_all(settings.as_bytes()).unwrap();
        let access = format!("host all boss 127.0.0.1/32 trust\n{access}\n");
        fs::write(PathBuf::from(&data).join("pg_hba.conf"), access).unwrap();
        let log = server.dir.join("log").display().to_string();
        server.run("pg_ctl", &["-D", &data, "-l", &log, "-w", "-t", "120", "start"]);
        server
    }

    /// A connection.
    pub fn dial(&self) -> TcpStream {
        TcpStream::connect(("127.0.0.1", self.port)).unwrap()
    }

    /// Runs statements as the superuser, each for itself.
    pub fn psql(&self, database: &str, statements: &str) {
        let session = self.session(database);
        session.tell(statements);
    }

    /// A session of the superuser.
    pub fn session(&self, database: &str) -> Session {
        let mut child = Command::new(self.programs.join("psql"))
            .args(["-X", "-q", "-At", "-h", "127.0.0.1", "-U", "boss", "-v", "ON_ERROR_STOP=1"])
            .args(["-p", &self.port.to_string(), "-d", database])
            .env("PGOPTIONS", "-c client_min_messages=error")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (input, output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let pipes = RefCell::new((input, BufReader::new(output)));
        Session { child, pipes }
    }

    /// A transaction that holds this table's strongest lock until it is dropped.
    pub fn lock(&self, database: &str, table: &str) -> Session {
        let session = self.session(database);
        session.tell(&format!("BEGIN; LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE;"));
        session
    }

    fn data(&self) -> String {
        self.dir.join("data").display().to_string()
    }

    /// PostgreSQL does not run as root.
    fn command(&self, program: &str) -> Command {
        let program = self.programs.join(program);
        if !is_root() {
            return Command::new(program);
        }
        let mut command = Command::new("setpriv");
        command.args(["--reuid", "postgres", "--regid", "postgres", "--clear-groups"]).arg(program);
        command
    }

    fn run(&self, program: &str, arguments: &[&str]) {
        let log = fs::File::create(self.dir.join(format!("{program}.log"))).unwrap();
        let mut command = self.command(program);
        command.args(arguments).current_dir(&self.dir).stdin(Stdio::null());
        // The server inherits what it is given; a pipe would never end.
        command.stdout(log.try_clone().unwrap()).stderr(log);
        let status = command.status().unwrap();
        let said = fs::read_to_string(self.dir.join(format!("{program}.log"))).unwrap();
        assert!(status.success(), "{program} {arguments:?}: {said}");
    }

    fn own(&self, path: &Path) {
        if is_root() {
            let id = |flag| -> u32 {
                let output = Command::new("id").args([flag, "postgres"]).output().unwrap();
                String::from_utf8(output.stdout).unwrap().trim().parse().unwrap()
            };
            chown(path, Some(id("-u")), Some(id("-g"))).unwrap();
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let data = self.data();
        let mut stop = self.command("pg_ctl");
        stop.args(["-D", &data, "-m", "immediate", "-w", "stop"]).current_dir(&self.dir);
        let _ = stop.stdout(Stdio::null()).stderr(Stdio::null()).status();
        let _ = fs::remove_dir_all(&self.dir);
    }
}

/// A `psql` that stays.
pub struct Session {
    child: Child,
    pipes: RefCell<(ChildStdin, BufReader<ChildStdout>)>,
}

impl Session {
    /// Runs statements and waits until they are done.
    pub fn tell(&self, statements: &str) {
        let (input, output) = &mut *self.pipes.borrow_mut();
        writeln!(input, "{statements};\n\\echo narrows-done").unwrap();
        loop {
            let mut line = String::new();
            output.read_line(&mut line).unwrap();
            assert!(!line.is_empty(), "psql ended at: {statements}");
            if line.trim_end() == "narrows-done" {
                return;
            }
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let (input, output) = &mut *self.pipes.borrow_mut();
        // Locks are gone once psql has seen the answer to this, and it does not leave before.
        let _ = writeln!(input, "ROLLBACK;\n\\q");
        let _ = std::io::copy(output, &mut std::io::sink());
        let _ = self.child.wait();
    }
}

fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|own| std::os::unix::fs::MetadataExt::uid(&own) == 0)
}

/// `NARROWS_POSTGRES_BIN`, or the newest PostgreSQL of Debian's packages, or what `pg_config` names.
fn programs() -> PathBuf {
    if let Some(programs) = std::env::var_os("NARROWS_POSTGRES_BIN") {
        return programs.into();
    }
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let newest = versions
        .filter_map(|entry| {
            let version: u32 = entry.file_name().to_str()?.parse().ok()?;
            Some((version, entry.path().join("bin")))
        })
        .filter(|(_, programs)| programs.join("initdb").exists())
        .max();
    if let Some((_, programs)) = newest {
        return programs;
    }
    let output = Command::new("pg_config").arg("--bindir").output();
    let output = output.expect("these tests need PostgreSQL: apt-get install postgresql");
    PathBuf::from(String::from_utf8(output.stdout).unwrap().trim())
}
