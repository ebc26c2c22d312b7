//! Receivers of what a gateway tells others, as programs of their own that can be ended and started.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tempfile::TempDir;

use crate::place::{python, repository};
use crate::process::Child;
use crate::rsyslog::certificate;
use crate::until::until;

/// What webhooks are signed with.
pub const SECRET: &str = "whsec_c29tZSBzZWNyZXQgb2YgMzAgYnl0ZXMgb3Igc28=";

/// A strict receiver of webhooks or OTLP logs.
#[derive(Debug)]
pub struct Receiver {
    mode: &'static str,
    folder: TempDir,
    port: u16,
    child: Option<Child>,
}

impl Receiver {
    /// Starts one that takes webhooks signed with [`SECRET`].
    ///
    /// # Errors
    /// It does not start.
    pub fn webhook() -> Result<Self> {
        Self::start("webhook")
    }

    /// Starts one that takes OTLP logs.
    ///
    /// # Errors
    /// It does not start.
    pub fn otlp() -> Result<Self> {
        Self::start("otlp")
    }

    /// Starts one that stands in for Slack.
    ///
    /// # Errors
    /// It does not start.
    pub fn slack() -> Result<Self> {
        Self::start("slack")
    }

    /// Starts a mail server: inside TLS, or with STARTTLS. Its account is `narrows`.
    ///
    /// # Errors
    /// It does not start.
    pub fn mail(tls: bool) -> Result<Self> {
        Self::start(if tls { "smtps" } else { "smtp" })
    }

    fn start(mode: &'static str) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        if mode.starts_with("smtp") {
            certificate(folder.path())?;
        }
        let mut receiver = Self { mode, folder, port: 0, child: None };
        receiver.up()?;
        Ok(receiver)
    }

    /// Starts it again, at the same port.
    ///
    /// # Errors
    /// It does not start.
    pub fn up(&mut self) -> Result<()> {
        let said = self.path("port");
        let _ = fs::remove_file(&said);
        let mut command = Command::new(python()?);
        let port = self.port.to_string();
        let (script, words): (_, &[&str]) = match self.mode {
            "slack" => ("slack", &[]),
            "smtp" => ("smtp", &["starttls"]),
            "smtps" => ("smtp", &["tls"]),
            mode => ("receiver", &[mode]),
        };
        command.arg("-B").arg(repository(&format!("tests/e2e/python/{script}.py"))?);
        command.args(words).arg(&port).arg(self.folder.path()).arg(SECRET);
        self.child = Some(Child::start_piped(&mut command)?);
        self.port = until("the receiver is there", || {
            Ok(fs::read_to_string(&said).ok().and_then(|text| text.parse().ok()))
        })?;
        Ok(())
    }

    /// Ends it.
    pub fn down(&mut self) {
        self.child = None;
    }

    /// Has it answer everything with this status; `400 7` only what holds the event of that number.
    ///
    /// # Errors
    /// It cannot be told.
    pub fn fault(&self, fault: Option<&str>) -> Result<()> {
        let path = self.path("fault");
        match fault {
            Some(status) => Ok(fs::write(path, status)?),
            None => Ok(fs::remove_file(path)?),
        }
    }

    /// Its address.
    #[must_use]
    pub fn url(&self) -> String {
        match self.mode {
            "smtp" | "smtps" => format!("{}://localhost:{}", self.mode, self.port),
            _ => format!("http://127.0.0.1:{}", self.port),
        }
    }

    /// Certificates that it is to be believed with.
    #[must_use]
    pub fn ca(&self) -> PathBuf {
        self.path("ca.pem")
    }

    /// The names that webhooks gave their messages, in order.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        let text = fs::read_to_string(self.path("names")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// What it has taken.
    ///
    /// # Errors
    /// It got something that was wrong.
    pub fn taken(&self) -> Result<Vec<Value>> {
        let wrong = fs::read_to_string(self.path("wrong")).unwrap_or_default();
        ensure!(wrong.is_empty(), "the receiver refused what is wrong: {wrong}");
        events(&self.path("taken"))
    }
}

/// The events in a file of lines of JSON; the last may not be complete yet.
///
/// # Errors
/// A complete line is not JSON.
pub fn events(path: &Path) -> Result<Vec<Value>> {
    let text = fs::read_to_string(path).unwrap_or_default();
    let complete = text.rsplit_once('\n').map(|(complete, _)| complete).unwrap_or_default();
    let read = |line: &str| serde_json::from_str(line).with_context(|| line.to_owned());
    complete.lines().map(read).collect()
}
