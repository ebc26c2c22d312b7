//! Clients that know of the gateway what `narrows env` prints, and nothing else.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::gateway::{Gateway, Token};
use crate::place;
use crate::process::{Child, Output, User, command, is_root, run};

/// Longest run of a client's story.
const STORY_MAX: Duration = Duration::from_secs(200);

/// Runs a program by `narrows run` in this folder, with nothing in its environment but the path to
/// find programs, these variables and what `narrows run` sets.
///
/// # Errors
/// The machine cannot make the namespace, or the program does not end. How it ends is up to the
/// caller.
pub fn confined(
    gateway: &Gateway,
    token: &Token,
    folder: &Path,
    variables: &[(&str, &str)],
    program: &[&str],
) -> Result<Output> {
    start_confined(gateway, token, folder, variables, program)?.output(STORY_MAX)
}

/// Starts a program as [`confined`] does.
///
/// # Errors
/// The machine cannot make the namespace.
pub fn start_confined(
    gateway: &Gateway,
    token: &Token,
    folder: &Path,
    variables: &[(&str, &str)],
    program: &[&str],
) -> Result<Child> {
    namespaces()?;
    let configuration = gateway.dir().join("narrows.yaml");
    let words = ["run", "-c", &configuration.display().to_string(), "--token", &token.secret, "--"];
    let mut narrows = gateway.command(&[&words, program].concat())?;
    bare(&mut narrows);
    narrows.current_dir(folder).envs(variables.iter().copied());
    Child::start_piped(&mut narrows)
}

/// Says what this machine lacks for `narrows run`, instead of passing over it.
fn namespaces() -> Result<()> {
    let mut unshare = command("unshare", User::Own);
    if !is_root() {
        unshare.args(["--user", "--map-current-user", "--keep-caps"]);
    }
    unshare.args(["--net", "ip", "link", "set", "lo", "up"]);
    let made = run(&mut unshare).context("unshare (util-linux) does not start")?;
    anyhow::ensure!(
        made.status.success(),
        "this machine makes no network namespaces, which `narrows run` needs: it takes unshare \
         (util-linux), ip (iproute2), and for users other than root a kernel and an AppArmor that \
         let them (kernel.unprivileged_userns_clone=1, \
         kernel.apparmor_restrict_unprivileged_userns=0); in a container CAP_SYS_ADMIN and \
         CAP_NET_ADMIN. It said: {}",
        made.stderr
    );
    Ok(())
}

/// Takes the test's environment from a command.
fn bare(command: &mut Command) {
    command.env_clear().stdin(Stdio::null());
    for name in ["PATH", "LANG", "LD_LIBRARY_PATH"] {
        command.envs(std::env::var_os(name).map(|value| (name, value)));
    }
    command.env("HOME", "/nonexistent").env("PYTHONUNBUFFERED", "1");
}

/// A program's environment: what `narrows env` prints, the path to find programs, and what a test
/// adds.
#[derive(Clone, Debug)]
pub struct Agent {
    variables: Vec<(String, String)>,
}

impl Agent {
    /// The environment for this token, from `narrows env --json`.
    ///
    /// # Errors
    /// The command fails, or prints something else.
    pub fn new(gateway: &Gateway, token: &Token) -> Result<Self> {
        let map = gateway.json(&["env", "--token", &token.secret])?;
        let map = map.as_object().context("env prints no object")?.clone();
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let pair = |(name, value): (&String, &Value)| Some((name.clone(), text(value)?));
        let variables = map.iter().map(pair).collect::<Option<_>>();
        Ok(Self { variables: variables.context("env prints more than texts")? })
    }

    /// Sets one more variable.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    /// A variable.
    #[must_use]
    pub fn variable(&self, name: &str) -> Option<&str> {
        self.variables.iter().find(|(known, _)| known == name).map(|(_, value)| &**value)
    }

    /// Gives a command this environment instead of the test's.
    pub fn prepare(&self, command: &mut Command) {
        bare(command);
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
    }

    /// Runs `python/NAME` of this package.
    ///
    /// # Errors
    /// It cannot be run, or does not end.
    pub fn python(&self, name: &str, arguments: &[&str]) -> Result<Output> {
        self.start_python(name, arguments)?.output(STORY_MAX)
    }

    /// Starts `python/NAME` of this package.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start_python(&self, name: &str, arguments: &[&str]) -> Result<Child> {
        let mut python = command(place::python()?, User::Own);
        python.arg("-B").arg(place::own("python").join(name)).args(arguments);
        self.prepare(&mut python);
        Child::start_piped(&mut python)
    }

    /// Runs `node/NAME` of this package.
    ///
    /// # Errors
    /// It cannot be run, or does not end.
    pub fn node(&self, name: &str, arguments: &[&str]) -> Result<Output> {
        let folder = place::own("node");
        anyhow::ensure!(
            folder.join("node_modules/undici").exists(),
            "undici is not installed: ./test runs `npm ci` in tests/e2e/node"
        );
        let mut node = command("node", User::Own);
        node.arg(folder.join(name)).args(arguments).current_dir(&folder);
        self.prepare(&mut node);
        Child::start_piped(&mut node)?.output(STORY_MAX)
    }
}
