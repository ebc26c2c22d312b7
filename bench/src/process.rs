//! Programs that the run starts, and always ends.

use std::fs::File;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// Kernel ticks per second in `/proc/PID/stat`; 100 on every Linux we know (`getconf CLK_TCK`).
const TICKS_PER_SECOND: f64 = 100.0;
const PATIENCE: Duration = Duration::from_secs(30);

/// A running program; ended when dropped.
pub struct Process {
    pub name: &'static str,
    child: Child,
    /// How it is told to end.
    signal: &'static str,
}

/// Which processors a program may use.
#[derive(Clone, Copy, Eq, PartialEq)]
pub enum Processors {
    /// Only the first: everything in a measurement takes turns on it.
    One,
    /// All.
    All,
}

/// The account a program runs under.
#[derive(Clone, Copy, Eq, PartialEq)]
pub enum Account {
    /// Ours.
    Own,
    /// `postgres` when we are root, who may not run a server; else ours.
    Server,
}

/// Begins a command that runs `program` on `processors` under `account`.
pub fn command(program: &str, processors: Processors, account: Account) -> Result<Command> {
    let mut words: Vec<&str> = Vec::new();
    if processors == Processors::One {
        words.extend(["taskset", "-c", "0"]);
    }
    if account == Account::Server && is_root()? {
        words.extend(["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]);
    }
    words.push(program);
    let (first, rest) = words.split_first().context("an empty command")?;
    let mut command = Command::new(first);
    command.args(rest);
    Ok(command)
}

pub fn is_root() -> Result<bool> {
    let id = Command::new("id").arg("-u").output().context("run id")?;
    Ok(id.stdout.starts_with(b"0\n"))
}

impl Process {
    /// Starts a program whose output goes to `log`.
    pub fn start(
        name: &'static str,
        signal: &'static str,
        log: &Path,
        mut command: Command,
    ) -> Result<Self> {
        let log = File::create(log).with_context(|| format!("create {}", log.display()))?;
        let errors = log.try_clone()?;
        command.stdin(Stdio::null()).stdout(log).stderr(errors);
        let child = command.spawn().with_context(|| format!("start {name}"))?;
        Ok(Self { name, child, signal })
    }

    /// Waits until `ready`, or fails when the program ends first.
    pub fn wait_until(&mut self, ready: impl Fn() -> bool) -> Result<()> {
        let start = Instant::now();
        while !ready() {
            if let Some(status) = self.child.try_wait()? {
                bail!("{} ended at once: {status}", self.name);
            }
            if start.elapsed() > PATIENCE {
                bail!("{} is not ready after {} s", self.name, PATIENCE.as_secs());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// Its number, for a profiler.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Processor time used so far, user and system together, seconds.
    pub fn cpu_seconds(&self) -> Result<f64> {
        let stat = self.read("stat")?;
        // The second field is a name in parentheses and may hold spaces.
        let fields = stat.rsplit_once(") ").context("an unknown form of /proc/PID/stat")?.1;
        let mut fields = fields.split_whitespace().skip(11);
        let mut ticks = || -> Result<f64> {
            Ok(fields.next().context("a short /proc/PID/stat")?.parse::<f64>()?)
        };
        Ok((ticks()? + ticks()?) / TICKS_PER_SECOND)
    }

    /// Memory in use, KiB.
    pub fn resident_kib(&self) -> Result<u64> {
        let status = self.read("status")?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let number = line.and_then(|line| line.split_whitespace().next());
        Ok(number.context("no VmRSS in /proc/PID/status")?.parse()?)
    }

    fn read(&self, file: &str) -> Result<String> {
        let path = format!("/proc/{}/{file}", self.child.id());
        std::fs::read_to_string(&path).with_context(|| format!("read {path} of {}", self.name))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let pid = self.child.id().to_string();
        let _ = Command::new("kill").args([self.signal, &pid]).status();
        let start = Instant::now();
        while matches!(self.child.try_wait(), Ok(None)) && start.elapsed() < PATIENCE {
            std::thread::sleep(Duration::from_millis(10));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs a command to its end; its standard output.
pub fn output(mut command: Command, what: &str) -> Result<String> {
    let output = command.stdin(Stdio::null()).output().with_context(|| what.to_owned())?;
    if !output.status.success() {
        let errors = String::from_utf8_lossy(&output.stderr);
        bail!("{what}: {}: {}", output.status, errors.trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
