//! The gateway under test, and its command line.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;
use tempfile::TempDir;

use crate::config::Config;
use crate::faults::Disks;
use crate::http::{self, Response};
use crate::place;
use crate::process::{Child, Output, User, command, run, tail};
use crate::server::Upstream;
use crate::until::until;

/// A running gateway in a folder of its own.
#[derive(Debug)]
pub struct Gateway {
    child: Option<Child>,
    /// Writes what it says into its log.
    logger: Option<std::thread::JoinHandle<()>>,
    dir: TempDir,
    admin: u16,
    postgres: u16,
    http: u16,
    egress: u16,
    environment: Vec<(String, String)>,
    disks: Option<Disks>,
}

/// Where a gateway listens.
#[derive(Clone, Copy, Debug)]
pub struct Ports {
    /// For the admin API.
    pub admin: u16,
    /// For PostgreSQL clients.
    pub postgres: u16,
    /// For clients that take it for an HTTP server.
    pub http: u16,
    /// For clients that take it for their proxy.
    pub egress: u16,
}

impl Ports {
    /// The first lines of a configuration that listens for HTTP on both faces.
    #[must_use]
    pub fn web(&self) -> String {
        let Self { admin, http, egress, .. } = self;
        format!(
            "data_dir: ./var\nlisten: {{ admin: \"127.0.0.1:{admin}\", http: \"127.0.0.1:{http}\", \
             egress: \"127.0.0.1:{egress}\" }}\n"
        )
    }
}

/// A token, as `narrows token create --json` prints it.
#[derive(Clone, Debug)]
pub struct Token {
    /// Its public name.
    pub id: String,
    /// The token itself.
    pub secret: String,
}

impl Gateway {
    /// Writes the configuration, starts the gateway and waits until it is ready.
    ///
    /// # Errors
    /// The binary is missing, or the gateway ends or is not ready in time; its log is in the message.
    pub fn start(config: &Config, upstream: &Upstream) -> Result<Self> {
        let mut gateway = Self::placed()?;
        gateway.configure(config, upstream)?;
        gateway.launch()?;
        Ok(gateway)
    }

    /// Starts the gateway with the configuration that `make` writes, and waits until it is ready.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn start_with(make: impl FnOnce(&Ports, &Path) -> String) -> Result<Self> {
        let mut gateway = Self::placed()?;
        let text = make(&gateway.ports(), gateway.dir());
        gateway.rewrite(&text)?;
        gateway.launch()?;
        Ok(gateway)
    }

    /// As [`Self::start`], with more variables in the environment of the gateway and its commands.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn start_in(
        environment: &[(&str, &str)],
        config: &Config,
        upstream: &Upstream,
    ) -> Result<Self> {
        let mut gateway = Self::placed()?;
        let pairs = environment.iter();
        gateway.environment =
            pairs.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        gateway.configure(config, upstream)?;
        gateway.launch()?;
        Ok(gateway)
    }

    /// As [`Self::start_in`], with disks of its own over folders of its folder, so many KiB large.
    ///
    /// # Errors
    /// As [`Self::start`], and that the machine makes no mount namespaces.
    pub fn start_on(
        disks: &[(&str, u64)],
        environment: &[(&str, &str)],
        config: &Config,
        upstream: &Upstream,
    ) -> Result<Self> {
        let mut gateway = Self::placed()?;
        gateway.disks = Some(Disks::mount(gateway.dir(), disks)?);
        let pairs = environment.iter();
        gateway.environment =
            pairs.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        gateway.configure(config, upstream)?;
        gateway.launch()?;
        Ok(gateway)
    }

    fn placed() -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("narrows-e2e-gw-").tempdir()?;
        let (admin, postgres) = (place::port()?, place::port()?);
        let (http, egress) = (place::port()?, place::port()?);
        let (environment, disks) = (Vec::new(), None);
        Ok(Self {
            child: None,
            logger: None,
            dir,
            admin,
            postgres,
            http,
            egress,
            environment,
            disks,
        })
    }

    /// Writes a whole configuration; the running gateway does not see it before it reloads.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn rewrite(&self, text: &str) -> Result<()> {
        Ok(fs::write(self.dir.path().join("narrows.yaml"), text)?)
    }

    /// Where it listens.
    #[must_use]
    pub const fn ports(&self) -> Ports {
        let Self { admin, postgres, http, egress, .. } = self;
        Ports { admin: *admin, postgres: *postgres, http: *http, egress: *egress }
    }

    /// Writes another configuration; the running gateway does not see it before it reloads.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn configure(&self, config: &Config, upstream: &Upstream) -> Result<()> {
        let text = config.text(upstream, self.admin, self.postgres);
        Ok(fs::write(self.dir.path().join("narrows.yaml"), text)?)
    }

    /// Starts the gateway again, in the same folder.
    ///
    /// # Errors
    /// It ends or is not ready in time; its log is in the message.
    pub fn launch(&mut self) -> Result<()> {
        self.launch_unready()?;
        let mut last = String::new();
        until("the gateway is ready", || {
            if let Some(status) = self.ended()? {
                bail!("the gateway ended with {status}:\n{}", self.log_tail());
            }
            let answer = http::ask(self.admin, "GET", "/readyz", None, None);
            last = answer.as_ref().map_or_else(ToString::to_string, |a| a.text.clone());
            Ok(answer.ok().filter(|answer| answer.status == 200).map(drop))
        })
        .with_context(|| format!("/readyz: {last}; its log:\n{}", self.log_tail()))
    }

    /// Starts the gateway and does not wait.
    ///
    /// # Errors
    /// The binary is missing.
    pub fn launch_unready(&mut self) -> Result<()> {
        self.child = None;
        // A shell that ignores SIGXFSZ: a test lowers the file size limit of the running gateway, and
        // writes shall fail then, as on a full disk, instead of ending the process.
        let mut serve = self.begin(Path::new("sh"));
        serve.args(["-c", "trap '' XFSZ; exec \"$0\" serve -c narrows.yaml"]);
        serve.arg(place::gateway()?);
        serve.envs(self.environment.iter().cloned());
        serve.envs(Config::environment()).env("NARROWS_LOG", "info").env("NO_COLOR", "1");
        serve.env_remove("NARROWS_CONFIG").stdin(Stdio::null()).stdout(Stdio::null());
        let log = fs::File::options().create(true).append(true).open(self.log_path())?;
        let (reader, writer) = std::io::pipe()?;
        serve.stderr(writer);
        let child = Child::start(&mut serve)?;
        drop(serve);
        // Written by this process, which the limit above does not concern.
        self.logger = Some(std::thread::spawn(move || {
            let mut log = log;
            for line in BufReader::new(reader).lines().map_while(Result::ok) {
                let _ = writeln!(log, "{line}");
            }
        }));
        self.child = Some(child);
        Ok(())
    }

    /// `kill -9`.
    ///
    /// # Errors
    /// It does not run.
    pub fn kill(&mut self) -> Result<()> {
        let mut child = self.child.take().context("the gateway does not run")?;
        child.signal("KILL")?;
        child.end(Duration::from_secs(20)).map(drop)
    }

    /// Asks it to end, and waits until it did.
    ///
    /// # Errors
    /// It does not run, or does not end in time.
    pub fn stop(&mut self) -> Result<std::process::ExitStatus> {
        let mut child = self.child.take().context("the gateway does not run")?;
        child.signal("TERM")?;
        child.end(Duration::from_secs(60))
    }

    /// Whether it ended, and how.
    ///
    /// # Errors
    /// It was not started.
    pub fn ended(&mut self) -> Result<Option<std::process::ExitStatus>> {
        let ended = self.child.as_mut().context("the gateway does not run")?.ended()?;
        if ended.is_some()
            && let Some(logger) = &self.logger
        {
            // What it said last is in the log then.
            until("the log is written", || Ok(logger.is_finished().then_some(())))?;
        }
        Ok(ended)
    }

    /// Its process id.
    ///
    /// # Errors
    /// It does not run.
    pub fn id(&self) -> Result<u32> {
        Ok(self.child.as_ref().context("the gateway does not run")?.id())
    }

    /// Sends it a signal.
    ///
    /// # Errors
    /// It does not run.
    pub fn signal(&self, signal: &str) -> Result<()> {
        self.child.as_ref().context("the gateway does not run")?.signal(signal)
    }

    /// Resident memory, bytes.
    ///
    /// # Errors
    /// It does not run.
    pub fn memory(&self) -> Result<u64> {
        self.status("VmRSS:")
    }

    /// The most resident memory it had since it started, bytes.
    ///
    /// # Errors
    /// It does not run.
    pub fn memory_peak(&self) -> Result<u64> {
        self.status("VmHWM:")
    }

    fn status(&self, name: &str) -> Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.id()?))?;
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let kib: u64 = line.context(name.to_owned())?.trim_end_matches("kB").trim().parse()?;
        Ok(kib * 1024)
    }

    /// Lets the gateway write no file past so many bytes from now on (`None`: any size). A write past
    /// it fails with EFBIG; for the journal that is what a full disk is.
    ///
    /// # Errors
    /// It does not run.
    pub fn limit_files(&self, bytes: Option<u64>) -> Result<()> {
        let limit = bytes.map_or("unlimited".to_owned(), |bytes| bytes.to_string());
        let mut prlimit = std::process::Command::new("prlimit");
        // The soft limit only: a process that is not root could not lift the hard one again.
        prlimit.args(["--pid", &self.id()?.to_string(), &format!("--fsize={limit}:")]);
        run(&mut prlimit)?.success().map(drop)
    }

    /// The port for PostgreSQL clients.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.postgres
    }

    /// Its folder: `narrows.yaml`, and `var` with its data.
    #[must_use]
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// A file of its folder, where this process finds it: disks of its own are the gateway's alone.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        let path = self.dir.path().join(name);
        self.disks.as_ref().map_or(path.clone(), |disks| disks.path(&path))
    }

    /// A program in its folder, with the disks that it has.
    fn begin(&self, program: &Path) -> std::process::Command {
        match &self.disks {
            Some(disks) => disks.command(program, self.dir.path()),
            None => {
                let mut own = command(program, User::Own);
                own.current_dir(self.dir.path());
                own
            }
        }
    }

    fn log_path(&self) -> std::path::PathBuf {
        self.dir.path().join("gateway.log")
    }

    /// What it logged.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    /// The end of what it logged.
    #[must_use]
    pub fn log_tail(&self) -> String {
        tail(&self.log_path(), 60)
    }

    /// Runs a command of the binary in the gateway's folder.
    ///
    /// # Errors
    /// It cannot be run. How it ends is up to the caller.
    pub fn narrows(&self, arguments: &[&str]) -> Result<Output> {
        run(&mut self.command(arguments)?)
    }

    /// Starts a command of the binary that goes on.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start_narrows(&self, arguments: &[&str]) -> Result<Child> {
        Child::start_piped(&mut self.command(arguments)?)
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Result<std::process::Command> {
        let mut narrows = self.begin(&place::gateway()?);
        narrows.args(arguments);
        for name in ["NARROWS_CONFIG", "NARROWS_URL", "NARROWS_TOKEN"] {
            narrows.env_remove(name);
        }
        narrows.envs(self.environment.iter().cloned());
        narrows.envs(Config::environment()).env("NO_COLOR", "1");
        Ok(narrows)
    }

    /// Runs a command with `--json` and reads what it prints.
    ///
    /// # Errors
    /// It fails, or prints something else.
    pub fn json(&self, arguments: &[&str]) -> Result<Value> {
        let words = [arguments, &["--json"]].concat();
        let text = self.narrows(&words)?.success().with_context(|| words.join(" "))?;
        serde_json::from_str(&text).with_context(|| format!("{}: {text}", words.join(" ")))
    }

    /// Makes a token.
    ///
    /// # Errors
    /// The command fails.
    pub fn token(&self, name: &str, groups: &[&str], more: &[&str]) -> Result<Token> {
        let mut words = vec!["token", "create", name];
        for group in groups {
            words.extend(["--group", group]);
        }
        words.extend(more);
        let made = self.json(&words)?;
        let word = |key: &str| -> Result<String> {
            let word = made.get(key).and_then(Value::as_str);
            Ok(word.with_context(|| format!("token create prints no {key}"))?.to_owned())
        };
        Ok(Token { id: word("id")?, secret: word("token")? })
    }

    /// A token of an agent in group `agents`.
    ///
    /// # Errors
    /// The command fails.
    pub fn agent(&self, name: &str) -> Result<Token> {
        self.token(name, &["agents"], &[])
    }

    /// A token of a person in this group.
    ///
    /// # Errors
    /// The command fails.
    pub fn person(&self, name: &str, group: &str) -> Result<Token> {
        self.token(name, &[group], &["--kind", "person"])
    }

    /// Asks the admin API; with the admin token unless another one is given.
    ///
    /// # Errors
    /// It does not answer. What it answers is up to the caller.
    pub fn api(
        &self,
        method: &str,
        path: &str,
        token: Option<&str>,
        body: Option<&Value>,
    ) -> Result<Response> {
        let admin = fs::read_to_string(self.path("var/admin.token"))?;
        http::ask(self.admin, method, path, Some(token.unwrap_or(admin.trim())), body)
    }

    /// Asks the admin API without a token.
    ///
    /// # Errors
    /// It does not answer.
    pub fn api_open(&self, path: &str) -> Result<Response> {
        http::ask(self.admin, "GET", path, None, None)
    }

    /// Posts to the admin address as it is, without a token.
    ///
    /// # Errors
    /// It does not answer.
    pub fn post_open(&self, path: &str, fields: &[(&str, &str)], body: &str) -> Result<Response> {
        http::post(self.admin, path, fields, body)
    }

    /// Sends the admin address exactly these fields, a host among them.
    ///
    /// # Errors
    /// It does not answer.
    pub fn send(
        &self,
        what: (&str, &str),
        fields: &[(&str, &str)],
        body: &str,
    ) -> Result<Response> {
        http::send(self.admin, what, fields, body)
    }

    /// The pending approvals.
    ///
    /// # Errors
    /// The command fails.
    pub fn approvals(&self) -> Result<Vec<Value>> {
        let list = self.json(&["approvals"])?;
        Ok(list.as_array().cloned().unwrap_or_default())
    }

    /// Waits for the one approval that is pending, and gives its id.
    ///
    /// # Errors
    /// None came, or more than one.
    pub fn pending(&self) -> Result<String> {
        let list = until("an approval is pending", || {
            let list = self.api("GET", "/api/v1/approvals", None, None)?.json();
            Ok(list.as_array().filter(|list| !list.is_empty()).cloned())
        })?;
        let [one] = list.as_slice() else { bail!("more than one is pending: {list:?}") };
        let id = one.get("id").and_then(Value::as_str);
        Ok(id.context("an approval without an id")?.to_owned())
    }

    /// The session of this principal, from `narrows sessions`; the newest if there are more.
    ///
    /// # Errors
    /// There is none.
    pub fn session_of(&self, principal: &str) -> Result<Value> {
        let list = self.json(&["sessions", "--principal", principal])?;
        let first = list.as_array().and_then(|list| list.first()).cloned();
        first.with_context(|| format!("no session of {principal}: {list}"))
    }

    /// A session with its events, from `narrows show`.
    ///
    /// # Errors
    /// There is none.
    pub fn show(&self, session: &str) -> Result<Value> {
        self.json(&["show", session])
    }

    /// The events of the newest session of this principal, once it has ended.
    ///
    /// # Errors
    /// There is none, or it does not end.
    pub fn events_of(&self, principal: &str) -> Result<Vec<Value>> {
        let id = until("the session has ended", || {
            let session = self.session_of(principal)?;
            let ended = session.get("ended_at").is_some_and(|at| !at.is_null());
            let id = session.get("id").and_then(Value::as_str).map(str::to_owned);
            Ok(id.filter(|_| ended))
        })?;
        let shown = self.show(&id)?;
        let events = shown.get("events").and_then(Value::as_array).cloned();
        events.context("show prints no events")
    }
}
