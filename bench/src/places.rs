//! The server and everything that stands in front of it, started in a folder of their own.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context, Result, bail};

use crate::process::{Account, Process, Processors, command, is_root, output};

// Below the ports that the kernel gives to outgoing connections.
const SERVER: u16 = 21_432;
const COPY: u16 = 21_433;
const PGBOUNCER: u16 = 21_434;
const NARROWS: u16 = 21_435;
const NARROWS_ADMIN: u16 = 21_436;
const RESULT_RULE: u16 = 21_437;
const RESULT_RULE_ADMIN: u16 = 21_438;
const HAPROXY: u16 = 21_439;
const TYPES: u16 = 21_470;
const TYPES_ADMIN: u16 = 21_471;
const TROUBLED: [(&str, u16, u16); 3] = [
    (CALM_GATEWAY, 21_472, 21_473),
    (HOLDING_GATEWAY, 21_474, 21_475),
    (HUNG_GATEWAY, 21_476, 21_477),
];
const UNRECORDED: u16 = 21_460;
const UNRECORDED_ADMIN: u16 = 21_461;
const JOURNALLED: u16 = 21_462;
const JOURNALLED_ADMIN: u16 = 21_463;
const ARCHIVED: u16 = 21_464;
const ARCHIVED_ADMIN: u16 = 21_465;
const SHARING: [(&str, u16, u16); 2] = [("one", 21_466, 21_467), ("other", 21_468, 21_469)];

/// Of the server; pgbouncer keeps those that its clients left.
const CONNECTIONS_MAX: usize = 2_000;
/// Of pgbouncer.
const POOL_MAX: usize = 700;

/// Columns alike in both tables, so that both results have the same bytes but for the masks.
const TABLE: &str = "(id int8 not null, name text not null, city text not null, \
                     credit_card text not null, ssn text not null, note text not null)";
const PLAIN: &str = "(id int8 not null, name text not null, city text not null, \
                     article text not null, code text not null, note text not null)";
const ROW: &str = "select i, 'customer number ' || i, 'city ' || i % 1000, \
                   lpad((4000000000000000 + i)::text, 16, '0'), \
                   '900-55-' || lpad((i % 10000)::text, 4, '0'), repeat('n', 40) \
                   from generate_series(1, ";

/// Rules, masks and recording as a site would have them.
const RULES: &str = r#"  - name: mask-cards-and-ssn
    mask: { fields: [credit_card, ssn], with: redact }
  - name: no-destruction
    on: ["type:postgres"]
    when: >-
      sql.dynamic || sql.verbs.exists(v, v in ["drop", "truncate"])
      || sql.unfiltered.exists(v, v in ["delete", "update", "merge"])
    block: "destructive statement"
  - name: not-too-much
    limit: { operations: 1000000000, window: 1h }
  - name: not-of-hr
    when: sql.tables.exists(t, t.startsWith("hr."))
    block: "salaries are not for agents"
"#;
/// Of each reply the beginning.
const RECORDING: &str = "recording: { payload: head }\n";
/// Every text that can hold one is searched.
const TYPES_RULE: &str = r#"  - name: mask-what-is-found
    mask: { types: [CREDIT_CARD, US_SSN], with: redact }
"#;
/// Withholds every reply until it is complete (R3).
const REPLY_RULE: &str = r#"  - name: big-reads
    when: result.rows > 10000 || principal.rows > 1000000000000
    approve: { by: [dba] }
"#;

/// Writes wait for a person; other rules may follow.
const APPROVE_RULE: &str = r#"rules:
  - name: writes
    when: sql.verbs.exists(v, v == "update")
    approve: { by: [dba], wait: 60s }
"#;

/// A way to the server.
#[derive(Clone, Debug)]
pub struct Place {
    pub name: &'static str,
    pub port: u16,
    pub user: &'static str,
    pub password: String,
    pub database: &'static str,
}

/// Everything that runs.
pub struct Places {
    pub places: Vec<Place>,
    /// In the order of `places`, without the server.
    pub proxies: Vec<Process>,
    _server: Process,
}

pub const DIRECT: &str = "direct";
pub const BYTE_COPY: &str = "byte-copy";
pub const BOUNCER: &str = "pgbouncer";
pub const GATEWAY: &str = "narrows";
pub const GATEWAY_RESULT_RULE: &str = "narrows, result rule";
/// No masked columns, but everything is searched for two types.
pub const GATEWAY_TYPES: &str = "narrows, two types";
/// HAProxy that copies bytes.
pub const PROXY: &str = "HAProxy";
pub const CALM_GATEWAY: &str = "calm";
/// Other sessions wait for a person.
pub const HOLDING_GATEWAY: &str = "others held";
/// The store of recordings takes connections and never answers.
pub const HUNG_GATEWAY: &str = "hung bucket";
/// No payload and no archive: what cannot be left out is the journal (P1).
pub const UNRECORDED_GATEWAY: &str = "decisions only";
/// Every payload, and no archive.
pub const JOURNALLED_GATEWAY: &str = "payload, no archive";
/// Every payload, and an archive that never rests.
pub const ARCHIVED_GATEWAY: &str = "payload and archive";

/// Another build of the gateway, which this one is compared with.
pub const OTHER_GATEWAY: &str = "before";

/// A folder that is removed in the end, with a database cluster in it.
pub struct Site {
    folder: PathBuf,
    bin: PathBuf,
    /// What runs as [`OTHER_GATEWAY`].
    other: Option<String>,
}

impl Site {
    /// Makes the cluster and its tables.
    pub fn build(rows: u64) -> Result<Self> {
        // One run can have several.
        static BUILT: AtomicUsize = AtomicUsize::new(0);
        let number = BUILT.fetch_add(1, Ordering::Relaxed);
        let name = format!("narrows-bench-{}-{number}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        fs::create_dir(&folder).context("create a folder for the run")?;
        let site = Self { folder, bin: postgres_bin()?, other: None };
        let data = site.path("data");
        fs::create_dir(&data)?;
        if is_root()? {
            chown(&data)?;
        }
        let mut init = command(&site.program("initdb"), Processors::All, Account::Server)?;
        init.args(["-D", &data, "-A", "trust", "-U", "bench", "--no-sync", "-E", "UTF8"]);
        init.args(["--locale", "C"]);
        output(init, "initdb")?;
        let server = site.server(Processors::All)?;
        site.psql("postgres", "create database bench")?;
        let mut fill = Command::new(site.program("pgbench"));
        fill.args(["-i", "-q", "-s", "10", "-h", "127.0.0.1", "-U", "bench"]);
        fill.args(["-p", &SERVER.to_string(), "bench"]);
        output(fill, "fill the database with pgbench -i")?;
        for (table, columns) in [("people", TABLE), ("articles", PLAIN)] {
            site.psql("bench", &format!("create table {table} {columns}"))?;
            site.psql("bench", &format!("insert into {table} {ROW}{rows}) as i"))?;
            site.psql("bench", &format!("create index on {table} (id)"))?;
            site.psql("bench", &format!("vacuum analyze {table}"))?;
        }
        drop(server);
        Ok(site)
    }

    /// Starts the server and every proxy.
    pub fn start(&self, processors: Processors) -> Result<Places> {
        let server = self.server(processors)?;
        let copy = self.byte_copy(processors)?;
        let bouncer = self.pgbouncer(processors, ("session", POOL_MAX, POOL_MAX))?;
        let haproxy = self.haproxy(processors)?;
        let rules = format!("{RECORDING}rules:\n{RULES}");
        let mut gateways = Vec::new();
        let (types, rest) = (TYPES_RULE, RULES.split_once("  - name: no-destruction"));
        let (_, rest) = rest.context("the mask is the first rule")?;
        for (name, port, admin, rules) in [
            (GATEWAY, NARROWS, NARROWS_ADMIN, rules.clone()),
            (GATEWAY_RESULT_RULE, RESULT_RULE, RESULT_RULE_ADMIN, format!("{rules}{REPLY_RULE}")),
            (
                GATEWAY_TYPES,
                TYPES,
                TYPES_ADMIN,
                format!("{RECORDING}rules:\n{types}  - name: no-destruction{rest}"),
            ),
        ] {
            let (process, token) = self.narrows(name, port, admin, &rules, processors, &[])?;
            gateways.push((place(name, port, &token), process));
        }
        let mut places = vec![
            place(DIRECT, SERVER, ""),
            place(BYTE_COPY, COPY, ""),
            place(BOUNCER, PGBOUNCER, ""),
            place(PROXY, HAPROXY, ""),
        ];
        let mut proxies = vec![copy, bouncer, haproxy];
        for (place, process) in gateways {
            places.push(place);
            proxies.push(process);
        }
        Ok(Places { places, proxies, _server: server })
    }

    /// Starts the server, a byte-copy proxy, this build of the gateway and `other`, alike but for
    /// the program.
    pub fn start_compared(&mut self, other: &str, processors: Processors) -> Result<Places> {
        self.other = Some(other.to_owned());
        let server = self.server(processors)?;
        let mut places = vec![place(DIRECT, SERVER, ""), place(BYTE_COPY, COPY, "")];
        let mut proxies = vec![self.byte_copy(processors)?];
        let rules = format!("{RECORDING}rules:\n{RULES}");
        for (name, port, admin) in
            [(OTHER_GATEWAY, RESULT_RULE, RESULT_RULE_ADMIN), (GATEWAY, NARROWS, NARROWS_ADMIN)]
        {
            let (process, token) = self.narrows(name, port, admin, &rules, processors, &[])?;
            places.push(place(name, port, &token));
            proxies.push(process);
        }
        Ok(Places { places, proxies, _server: server })
    }

    /// Starts the server and gateways of which one has sessions that are held, and one a store that
    /// never answers.
    pub fn start_troubled(&self) -> Result<(Places, TcpListener)> {
        let server = self.server(Processors::All)?;
        let hung = TcpListener::bind("127.0.0.1:0").context("a listener that never answers")?;
        let endpoint = format!("http://{}", hung.local_addr()?);
        let environment = [
            ("AWS_ENDPOINT_URL", &*endpoint),
            ("AWS_ALLOW_HTTP", "true"),
            ("AWS_ACCESS_KEY_ID", "bench"),
            ("AWS_SECRET_ACCESS_KEY", "bench"),
            ("AWS_REGION", "us-east-1"),
        ];
        let (mut places, mut proxies) = (Vec::new(), Vec::new());
        for (name, port, admin) in TROUBLED {
            let folder = self.folder.join(name);
            if folder.exists() {
                fs::remove_dir_all(&folder).context("remove what the round before recorded")?;
            }
            let store = if name == HUNG_GATEWAY { "s3://bench/narrows" } else { "none" };
            let recording = format!("recording: {{ store: \"{store}\", archive_every: 1s }}\n");
            let more = format!("{recording}{APPROVE_RULE}{RULES}");
            let (process, token) =
                self.narrows(name, port, admin, &more, Processors::All, &environment)?;
            places.push(place(name, port, &token));
            proxies.push(process);
        }
        Ok((Places { places, proxies, _server: server }, hung))
    }

    /// Starts a gateway for so many sessions. Its server is pgbouncer, which needs few connections
    /// to PostgreSQL for sessions that are idle.
    pub fn start_crowded(&self, sessions: usize) -> Result<Places> {
        let server = self.server(Processors::All)?;
        let clients = sessions.saturating_add(100);
        let bouncer = self.pgbouncer(Processors::All, ("transaction", clients, 20))?;
        let rules = format!("{RECORDING}rules:\n{RULES}");
        let ports = (NARROWS, NARROWS_ADMIN);
        let (process, token) =
            self.narrows_before(PGBOUNCER, GATEWAY, ports, &rules, Processors::All, &[])?;
        let places = vec![place(GATEWAY, NARROWS, &token)];
        Ok(Places { places, proxies: vec![process, bouncer], _server: server })
    }

    /// Starts the server and gateways that record differently, in folders without a past.
    pub fn start_recording(&self) -> Result<Places> {
        let server = self.server(Processors::All)?;
        let mut places = Vec::new();
        let mut proxies = Vec::new();
        for (name, port, admin, recording) in [
            (UNRECORDED_GATEWAY, UNRECORDED, UNRECORDED_ADMIN, "payload: none, store: none"),
            (JOURNALLED_GATEWAY, JOURNALLED, JOURNALLED_ADMIN, "store: none"),
            (ARCHIVED_GATEWAY, ARCHIVED, ARCHIVED_ADMIN, "archive_every: 1s, keep_journal: 0s"),
        ] {
            let folder = self.folder.join(name);
            if folder.exists() {
                fs::remove_dir_all(&folder).context("remove what the round before recorded")?;
            }
            let more = format!("recording: {{ {recording} }}\nrules:\n{RULES}");
            let (process, token) = self.narrows(name, port, admin, &more, Processors::All, &[])?;
            places.push(place(name, port, &token));
            proxies.push(process);
        }
        Ok(Places { places, proxies, _server: server })
    }

    /// Starts the server and two gateways with one state; with each its admin port and token.
    pub fn start_sharing(&self) -> Result<(Places, Vec<(u16, String)>)> {
        let server = self.server(Processors::All)?;
        self.psql("postgres", "create database state")?;
        let key = self.folder.join("installation.key");
        fs::write(&key, "a key for two gateways that are measured: 0123456789")?;
        fs::set_permissions(&key, fs::Permissions::from_mode(0o600))?;
        let (mut places, mut proxies, mut admins) = (Vec::new(), Vec::new(), Vec::new());
        for (name, port, admin) in SHARING {
            let more = format!(
                "state:\n  postgres: {{ url: \"postgres://bench@127.0.0.1:{SERVER}/state\", tls: \
                 \"off\" }}\nkeys: {{ installation: {{file: \"{}\"}} }}\n{APPROVE_RULE}",
                key.display()
            );
            let (process, token) = self.narrows(name, port, admin, &more, Processors::All, &[])?;
            let secret = fs::read_to_string(self.folder.join(name).join("var/admin.token"))?;
            places.push(place(name, port, &token));
            proxies.push(process);
            admins.push((admin, secret.trim().to_owned()));
        }
        Ok((Places { places, proxies, _server: server }, admins))
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    pub fn program(&self, name: &str) -> String {
        self.bin.join(name).display().to_string()
    }

    fn path(&self, name: &str) -> String {
        self.folder.join(name).display().to_string()
    }

    fn psql(&self, database: &str, sql: &str) -> Result<String> {
        let mut psql = Command::new(self.program("psql"));
        psql.args(["-X", "-q", "-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1", "-U", "bench"]);
        psql.args(["-p", &SERVER.to_string(), "-c", sql, database]);
        output(psql, sql)
    }

    fn server(&self, processors: Processors) -> Result<Process> {
        if is_open(SERVER) {
            bail!(
                "somebody listens on {} already, where the private server would",
                address(SERVER)
            );
        }
        let mut server = command(&self.program("postgres"), processors, Account::Server)?;
        server.args(["-D", &self.path("data"), "-p", &SERVER.to_string()]);
        let connections = format!("max_connections={CONNECTIONS_MAX}");
        for setting in [
            "listen_addresses=127.0.0.1",
            "unix_socket_directories=",
            "shared_buffers=512MB",
            "fsync=off",
            "autovacuum=off",
            &connections,
        ] {
            server.args(["-c", setting]);
        }
        let mut server =
            Process::start("postgres", "-INT", &self.folder.join("server.log"), server)?;
        let mut ready = Command::new(self.program("pg_isready"));
        ready.args(["-q", "-h", "127.0.0.1", "-p", &SERVER.to_string()]);
        let ready = std::cell::RefCell::new(ready);
        server.wait_until(|| ready.borrow_mut().status().is_ok_and(|status| status.success()))?;
        Ok(server)
    }

    fn byte_copy(&self, processors: Processors) -> Result<Process> {
        let own = std::env::current_exe()?.display().to_string();
        let mut copy = command(&own, processors, Account::Own)?;
        copy.args(["copy", "--listen", &address(COPY), "--to", &address(SERVER)]);
        let mut copy = Process::start(BYTE_COPY, "-TERM", &self.folder.join("copy.log"), copy)?;
        copy.wait_until(|| is_open(COPY))?;
        Ok(copy)
    }

    /// With this pooling, so many clients, and so many connections to the server.
    fn pgbouncer(
        &self,
        processors: Processors,
        (pooling, clients, pool): (&str, usize, usize),
    ) -> Result<Process> {
        let folder = self.folder.join("pgbouncer");
        fs::create_dir_all(&folder)?;
        fs::write(folder.join("users.txt"), "\"bench\" \"\"\n")?;
        let configuration = format!(
            "[databases]\nbench = host=127.0.0.1 port={SERVER} dbname=bench user=bench\n\
             [pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {PGBOUNCER}\n\
             unix_socket_dir =\nauth_type = trust\nauth_file = {}\npool_mode = {pooling}\n\
             max_client_conn = {clients}\ndefault_pool_size = {pool}\n\
             ignore_startup_parameters = extra_float_digits\n",
            folder.join("users.txt").display(),
        );
        let file = folder.join("pgbouncer.ini");
        fs::write(&file, configuration)?;
        let program = if Path::new("/usr/sbin/pgbouncer").exists() {
            "/usr/sbin/pgbouncer"
        } else {
            "pgbouncer"
        };
        let mut bouncer = command(program, processors, Account::Server)?;
        bouncer.args(["-q", &file.display().to_string()]);
        let log = self.folder.join("pgbouncer.log");
        let mut bouncer = Process::start(BOUNCER, "-TERM", &log, bouncer)?;
        bouncer.wait_until(|| is_open(PGBOUNCER))?;
        Ok(bouncer)
    }

    fn haproxy(&self, processors: Processors) -> Result<Process> {
        let file = self.folder.join("haproxy.cfg");
        fs::write(
            &file,
            format!(
                "global\n  maxconn 4000\ndefaults\n  mode tcp\n  timeout connect 5s\n  timeout \
                 client 10m\n  timeout server 10m\nlisten bench\n  bind 127.0.0.1:{HAPROXY}\n  \
                 server one 127.0.0.1:{SERVER}\n"
            ),
        )?;
        let mut proxy = command("/usr/sbin/haproxy", processors, Account::Own)?;
        proxy.args(["-db", "-f", &file.display().to_string()]);
        let log = self.folder.join("haproxy.log");
        let mut proxy = Process::start(PROXY, "-TERM", &log, proxy)?;
        proxy.wait_until(|| is_open(HAPROXY)).context("HAProxy (Debian: haproxy)")?;
        Ok(proxy)
    }

    fn narrows(
        &self,
        name: &'static str,
        port: u16,
        admin: u16,
        more: &str,
        processors: Processors,
        environment: &[(&str, &str)],
    ) -> Result<(Process, String)> {
        self.narrows_before(SERVER, name, (port, admin), more, processors, environment)
    }

    /// A gateway before whoever listens there.
    fn narrows_before(
        &self,
        server: u16,
        name: &'static str,
        (port, admin): (u16, u16),
        more: &str,
        processors: Processors,
        environment: &[(&str, &str)],
    ) -> Result<(Process, String)> {
        let folder = self.folder.join(name);
        fs::create_dir_all(&folder)?;
        let configuration = format!(
            "data_dir: {}\nlisten:\n  admin: {}\n  postgres: {}\nresources:\n  bench: {{ type: \
             postgres, address: \"{}\", database: bench, user: bench, tls: \"off\" }}\naccess:\n  \
             - {{ groups: [agents], resources: [bench] }}\n{more}",
            folder.join("var").display(),
            address(admin),
            address(port),
            address(server),
        );
        let program = match &self.other {
            Some(other) if name == OTHER_GATEWAY => other.clone(),
            _ => gateway_program()?,
        };
        start_gateway(&program, name, &folder, &configuration, (admin, processors), environment)
    }
}

fn place(name: &'static str, port: u16, password: &str) -> Place {
    Place { name, port, user: "bench", password: password.to_owned(), database: "bench" }
}

impl Drop for Site {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// Starts a gateway in a folder that holds its configuration and its log, and makes a token for the
/// group `agents`.
pub fn start_gateway(
    program: &str,
    name: &'static str,
    folder: &Path,
    configuration: &str,
    (admin, processors): (u16, Processors),
    environment: &[(&str, &str)],
) -> Result<(Process, String)> {
    let file = folder.join("narrows.yaml");
    fs::write(&file, configuration)?;
    let mut serve = command(program, processors, Account::Own)?;
    serve.args(["serve", "-c", &file.display().to_string()]).env("NARROWS_LOG", "warn");
    serve.envs(environment.iter().copied());
    let log = folder.join("log");
    let mut process = Process::start(name, "-TERM", &log, serve)?;
    process
        .wait_until(|| is_ready(admin))
        .with_context(|| fs::read_to_string(&log).unwrap_or_default())?;
    let mut create = Command::new(program);
    create.args(["token", "create", "bench-agent", "--group", "agents", "--json"]);
    create.args(["-c", &file.display().to_string()]);
    let made: serde_json::Value = serde_json::from_str(&output(create, "make a token")?)?;
    let token = made.get("token").and_then(|token| token.as_str()).context("no token")?;
    Ok((process, token.to_owned()))
}

/// The gateway that is measured: beside this program.
pub fn gateway_program() -> Result<String> {
    let path = std::env::current_exe()?.with_file_name("narrows");
    if !path.exists() {
        bail!("{} is missing; run: cargo build --release -p narrows", path.display());
    }
    Ok(path.display().to_string())
}

fn postgres_bin() -> Result<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").context("PostgreSQL is not installed")?;
    let mut found: Vec<PathBuf> = versions
        .filter_map(|entry| Some(entry.ok()?.path().join("bin")))
        .filter(|bin| bin.join("initdb").exists() && bin.join("pgbench").exists())
        .collect();
    found.sort();
    found.pop().context("no PostgreSQL with initdb and pgbench in /usr/lib/postgresql")
}

fn chown(path: &str) -> Result<()> {
    let mut chown = Command::new("chown");
    chown.args(["postgres:postgres", path]);
    output(chown, "give the folder to postgres").map(|_| ())
}

pub fn address(port: u16) -> String {
    format!("127.0.0.1:{port}")
}

pub fn is_open(port: u16) -> bool {
    TcpStream::connect(address(port)).is_ok()
}

pub fn is_ready(admin: u16) -> bool {
    let Ok(mut stream) = TcpStream::connect(address(admin)) else { return false };
    let request = "GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    let mut answer = String::new();
    stream.write_all(request.as_bytes()).is_ok()
        && stream.read_to_string(&mut answer).is_ok()
        && answer.starts_with("HTTP/1.1 200")
}
