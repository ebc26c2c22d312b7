//! Real drivers, run as programs.

use std::io::Write;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};

use crate::place;
use crate::process::{Child, Output, User, command, run};

/// Longest run of a driver's script.
const SCRIPT_MAX: Duration = Duration::from_secs(280);

/// How a client reaches the gateway.
#[derive(Clone, Debug)]
pub struct Driver {
    port: u16,
    password: String,
    database: String,
    environment: Vec<(String, String)>,
}

/// `psql`, as a person or a script uses it.
pub type Psql = Driver;

impl Driver {
    /// Clients of the gateway on this port, with this token, for this resource.
    #[must_use]
    pub fn new(port: u16, password: &str, database: &str) -> Self {
        Self {
            port,
            password: password.to_owned(),
            database: database.to_owned(),
            environment: Vec::new(),
        }
    }

    /// Sets a variable of the client's environment.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    fn prepare(&self, command: &mut Command) {
        for name in ["PGSSLMODE", "PGOPTIONS", "PGAPPNAME", "PGSERVICE", "PGCHANNELBINDING"] {
            command.env_remove(name);
        }
        command
            .env("PGHOST", "localhost")
            .env("PGHOSTADDR", "127.0.0.1")
            .env("PGPORT", self.port.to_string())
            .env("PGUSER", "agent")
            .env("PGPASSWORD", &self.password)
            .env("PGDATABASE", &self.database)
            .env("PGCONNECT_TIMEOUT", "60")
            .env("HOME", "/nonexistent")
            .envs(self.environment.iter().map(|(name, value)| (name, value)));
    }

    /// Runs `psql -At` on these statements, each for itself.
    ///
    /// # Errors
    /// It cannot be run. How it ends is up to the caller.
    pub fn psql(&self, statements: &[&str]) -> Result<Output> {
        run(&mut self.psql_command(statements)?)
    }

    /// Starts `psql -At` on these statements.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start_psql(&self, statements: &[&str]) -> Result<Child> {
        Child::start_piped(&mut self.psql_command(statements)?)
    }

    /// Gives `psql` a script.
    ///
    /// # Errors
    /// It cannot be run.
    pub fn psql_script(&self, script: &str) -> Result<Output> {
        let mut psql = self.psql_command(&[])?;
        psql.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut file = tempfile::NamedTempFile::new()?;
        file.write_all(script.as_bytes())?;
        psql.arg("-f").arg(file.path()).stdin(Stdio::null());
        Child::start(&mut psql)?.output(SCRIPT_MAX)
    }

    fn psql_command(&self, statements: &[&str]) -> Result<Command> {
        let mut psql = command(place::postgres_programs()?.join("psql"), User::Own);
        psql.args(["-X", "-At", "-v", "ON_ERROR_STOP=1", "-v", "VERBOSITY=verbose"]);
        for statement in statements {
            psql.args(["-c", statement]);
        }
        self.prepare(&mut psql);
        Ok(psql)
    }

    /// Runs `pgbench`.
    ///
    /// # Errors
    /// It cannot be run.
    pub fn pgbench(&self, arguments: &[&str]) -> Result<Output> {
        Self::finish(&mut self.pgbench_command(arguments)?)
    }

    /// Starts `pgbench`.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start_pgbench(&self, arguments: &[&str]) -> Result<Child> {
        Child::start_piped(&mut self.pgbench_command(arguments)?)
    }

    fn pgbench_command(&self, arguments: &[&str]) -> Result<Command> {
        let mut pgbench = command(place::postgres_programs()?.join("pgbench"), User::Own);
        pgbench.args(arguments);
        self.prepare(&mut pgbench);
        Ok(pgbench)
    }

    /// Runs `python/NAME` of this package.
    ///
    /// # Errors
    /// It cannot be run.
    pub fn python(&self, name: &str, arguments: &[&str]) -> Result<Output> {
        Child::start_piped(&mut self.python_command(name, arguments)?)?.output(SCRIPT_MAX)
    }

    /// Starts `python/NAME` of this package.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start_python(&self, name: &str, arguments: &[&str]) -> Result<Child> {
        Child::start_piped(&mut self.python_command(name, arguments)?)
    }

    fn python_command(&self, name: &str, arguments: &[&str]) -> Result<Command> {
        let mut python = command(place::python()?, User::Own);
        python.arg("-B").arg(place::own("python").join(name)).args(arguments);
        python.env("PYTHONUNBUFFERED", "1");
        self.prepare(&mut python);
        Ok(python)
    }

    /// Runs `node/NAME` of this package.
    ///
    /// # Errors
    /// It cannot be run.
    pub fn node(&self, name: &str, arguments: &[&str]) -> Result<Output> {
        let folder = place::own("node");
        anyhow::ensure!(
            folder.join("node_modules/pg").exists(),
            "node-postgres is not installed: ./test runs `npm ci` in tests/e2e/node"
        );
        let mut node = command("node", User::Own);
        node.arg(folder.join(name)).args(arguments).current_dir(&folder);
        self.prepare(&mut node);
        Self::finish(&mut node).context("node")
    }

    fn finish(command: &mut Command) -> Result<Output> {
        Child::start_piped(command)?.output(SCRIPT_MAX)
    }
}
