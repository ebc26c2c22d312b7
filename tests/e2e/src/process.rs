//! Programs that end with the test, whatever happens.

use std::ffi::OsStr;
use std::io::Read;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::until::within;

/// Columns of a log line that are shown.
const COLUMNS_SHOWN: usize = 240;
/// Longest run of a client program.
const RUN_MAX: Duration = Duration::from_secs(240);

/// A running program in a process group of its own, which is killed when this is dropped.
///
/// The kernel kills it too when the thread that started it dies (`setpriv --pdeathsig`), so a test
/// that is killed leaves nothing behind.
#[derive(Debug)]
pub struct Child {
    child: std::process::Child,
    name: String,
    readers: Vec<JoinHandle<Vec<u8>>>,
}

/// What a program said, and how it ended.
#[derive(Clone, Debug)]
pub struct Output {
    /// How it ended.
    pub status: ExitStatus,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
}

impl Output {
    /// The exit code; a signal counts as 128 and its number, as in a shell.
    #[must_use]
    pub fn code(&self) -> i32 {
        self.status.code().unwrap_or_else(|| 128 + self.status.signal().unwrap_or_default())
    }

    /// Its standard output, when it ended well.
    ///
    /// # Errors
    /// It did not; the message has everything it said.
    pub fn success(self) -> Result<String> {
        if !self.status.success() {
            bail!(
                "it ended with {}\nstdout:\n{}\nstderr:\n{}",
                self.code(),
                self.stdout,
                self.stderr
            );
        }
        Ok(self.stdout)
    }
}

/// A command that dies with this thread; as the user `postgres` when `as_postgres` and we are root.
pub(crate) fn command(program: impl AsRef<OsStr>, user: User) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL"]);
    if user == User::Postgres && is_root() {
        command.args(["--reuid=postgres", "--regid=postgres", "--init-groups"]);
    }
    command.arg(program);
    command
}

/// A command of a user without privileges, when the test itself has them.
#[must_use]
pub fn as_other(program: impl AsRef<OsStr>) -> Command {
    command(program, User::Postgres)
}

/// Who runs a program.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum User {
    /// Whoever runs the test.
    Own,
    /// `postgres`, when the test runs as root: PostgreSQL refuses to.
    Postgres,
}

pub(crate) fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|own| std::os::unix::fs::MetadataExt::uid(&own) == 0)
}

impl Child {
    /// Starts a program; what it says on pipes is collected.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start(command: &mut Command) -> Result<Self> {
        let name = name_of(command);
        command.process_group(0);
        let mut child = command.spawn().with_context(|| format!("start {name}"))?;
        let mut readers = Vec::new();
        if let Some(out) = child.stdout.take() {
            readers.push(collect(out));
        }
        if let Some(err) = child.stderr.take() {
            readers.push(collect(err));
        }
        Ok(Self { child, name, readers })
    }

    /// Starts a program whose output is collected.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start_piped(command: &mut Command) -> Result<Self> {
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        if command.get_envs().all(|(key, _)| key != "KEEP_STDIN") {
            command.stdin(Stdio::null());
        }
        Self::start(command)
    }

    /// Its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal to the process alone: `TERM`, `KILL`, `STOP`, …
    ///
    /// # Errors
    /// There is no such process.
    pub fn signal(&self, signal: &str) -> Result<()> {
        signal_process(self.id(), signal)
    }

    /// Whether it ended, and how.
    ///
    /// # Errors
    /// The system does not say.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// It did not end within `patience`.
    pub fn end(&mut self, patience: Duration) -> Result<ExitStatus> {
        let what = format!("{} ends", self.name);
        within(patience, &what, || Ok(self.child.try_wait()?))
    }

    /// Waits for its end and gives what it said.
    ///
    /// # Errors
    /// It did not end within `patience`; the message has what it said until then.
    pub fn output(mut self, patience: Duration) -> Result<Output> {
        let ended = self.end(patience);
        if ended.is_err() {
            self.kill_group();
        }
        let mut said = std::mem::take(&mut self.readers)
            .into_iter()
            .map(|reader| String::from_utf8_lossy(&reader.join().unwrap_or_default()).into_owned());
        let (stdout, stderr) = (said.next().unwrap_or_default(), said.next().unwrap_or_default());
        match ended {
            Ok(status) => Ok(Output { status, stdout, stderr }),
            Err(error) => Err(error.context(format!("it said:\n{stdout}\n{stderr}"))),
        }
    }

    fn kill_group(&mut self) {
        let group = format!("-{}", self.child.id());
        let _ = Command::new("kill")
            .args(["-KILL", "--", &group])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        let _ = self.child.wait();
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.kill_group();
    }
}

/// Sends a signal to any process.
///
/// # Errors
/// There is no such process.
pub(crate) fn signal_process(id: u32, signal: &str) -> Result<()> {
    let status = Command::new("kill")
        .args([&format!("-{signal}"), "--", &id.to_string()])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()?;
    if !status.success() {
        bail!("signal {signal} could not be sent to process {id}");
    }
    Ok(())
}

/// Runs a program to its end.
///
/// # Errors
/// It cannot be started or does not end in time. How it ends is up to the caller.
pub(crate) fn run(command: &mut Command) -> Result<Output> {
    Child::start_piped(command)?.output(RUN_MAX)
}

/// Runs a program to its end, which must be a good one.
///
/// # Errors
/// It was not; the message has what it said.
pub(crate) fn run_well(command: &mut Command) -> Result<String> {
    let name = name_of(command);
    run(command)?.success().with_context(|| name)
}

fn name_of(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let mut words: Vec<_> = words.map(|word| word.to_string_lossy()).collect();
    // What setpriv runs, not setpriv.
    if words.first().is_some_and(|word| word == "setpriv") {
        let program =
            words.iter().skip(1).position(|word| !word.starts_with("--") && word != "KILL");
        words.drain(..=program.unwrap_or_default());
    }
    words.join(" ")
}

fn collect(mut pipe: impl Read + Send + 'static) -> JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut said = Vec::new();
        let _ = pipe.read_to_end(&mut said);
        said
    })
}

/// The last lines of a file, for failures.
pub(crate) fn tail(path: &Path, lines: usize) -> String {
    let bytes = std::fs::read(path).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let all: Vec<&str> = text.lines().collect();
    let from = all.len().saturating_sub(lines);
    let last = all.get(from..).unwrap_or_default().iter();
    // Long statements of the gateway's own say little.
    let last = last.map(|line| line.chars().take(COLUMNS_SHOWN).collect::<String>());
    last.collect::<Vec<_>>().join("\n")
}
