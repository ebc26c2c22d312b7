//! An S3 server of its own, which can be told to misbehave.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::place::{own, python};
use crate::process::{Child, Output};
use crate::until::until;

/// How long a question to the server may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running S3 server with one bucket.
pub struct Bucket {
    name: String,
    folder: tempfile::TempDir,
    endpoint: String,
    _child: Child,
}

/// What somebody may do there, and as whom.
#[derive(Clone, Debug)]
pub struct Credentials {
    /// `AWS_ACCESS_KEY_ID`
    pub id: String,
    /// `AWS_SECRET_ACCESS_KEY`
    pub secret: String,
}

impl Bucket {
    /// Starts a server that lets everybody do everything.
    ///
    /// # Errors
    /// It does not start.
    pub fn start(name: &str) -> Result<Self> {
        Self::started(name, &[])
    }

    /// The same, with a bucket whose objects can be locked.
    ///
    /// # Errors
    /// It does not start.
    pub fn lockable(name: &str) -> Result<Self> {
        Self::started(name, &["lock"])
    }

    /// The same, which checks signatures, and lets [`Self::credentials`] do what a policy allows.
    ///
    /// # Errors
    /// It does not start.
    pub fn guarded(name: &str, policy: &str) -> Result<Self> {
        Self::started(name, &["lock", policy])
    }

    fn started(name: &str, more: &[&str]) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let (port, fault) = (folder.path().join("port"), folder.path().join("fault"));
        let mut server = Command::new(python()?);
        server.arg("-B").arg(own("python/s3.py")).arg(&port).arg(&fault).arg(name).args(more);
        let child = Child::start_piped(&mut server)?;
        let port = until("the bucket is there", || {
            Ok(fs::read_to_string(&port).ok().and_then(|text| text.parse::<u16>().ok()))
        })?;
        let endpoint = format!("http://127.0.0.1:{port}");
        Ok(Self { name: name.to_owned(), folder, endpoint, _child: child })
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Has it misbehave from now on; `none` has it behave.
    ///
    /// # Errors
    /// The file that tells it cannot be written.
    pub fn misbehave(&self, how: &str) -> Result<()> {
        Ok(fs::write(self.file("fault"), how)?)
    }

    /// Requests that met this fault.
    #[must_use]
    pub fn met(&self, how: &str) -> usize {
        let met = fs::read_to_string(self.file("fault.met")).unwrap_or_default();
        met.lines().filter(|line| *line == how).count()
    }

    /// Where it is.
    #[must_use]
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// What a gateway has to be started with to reach it, where everybody may.
    #[must_use]
    pub fn environment(&self) -> [(&'static str, &str); 5] {
        [
            ("AWS_ENDPOINT_URL", &self.endpoint),
            ("AWS_ALLOW_HTTP", "true"),
            ("AWS_ACCESS_KEY_ID", "test"),
            ("AWS_SECRET_ACCESS_KEY", "test"),
            ("AWS_REGION", "us-east-1"),
        ]
    }

    /// Copies everything in it into a folder, and gives that.
    ///
    /// # Errors
    /// It does not answer.
    pub fn fetch(&self) -> Result<PathBuf> {
        let copy = self.file("copy");
        let mut fetch = Command::new(python()?);
        fetch.arg("-B").arg(own("python/fetch.py")).args([&self.endpoint, &self.name]).arg(&copy);
        Child::start_piped(&mut fetch)?.output(PATIENCE)?.success().context("fetch.py")?;
        Ok(copy)
    }

    /// Who may do what the policy says.
    ///
    /// # Errors
    /// Everybody may do everything here.
    pub fn credentials(&self) -> Result<Credentials> {
        let text = fs::read_to_string(self.file("port.key")).context("a server with a policy")?;
        let (id, secret) = text.split_once('\n').context("an id and a secret")?;
        Ok(Credentials { id: id.to_owned(), secret: secret.to_owned() })
    }

    /// Asks the server, see `s3_ask.py`.
    ///
    /// # Errors
    /// It does not answer.
    pub fn ask(&self, words: &[&str]) -> Result<Output> {
        let mut ask = Command::new(python()?);
        ask.arg("-B").arg(own("python/s3_ask.py")).arg(self.file("port")).arg(&self.name);
        Child::start_piped(ask.args(words))?.output(PATIENCE)
    }

    /// Every version of every object, as `s3_ask.py list` tells of it.
    ///
    /// # Errors
    /// It does not answer.
    pub fn versions(&self) -> Result<Vec<Value>> {
        let text = self.ask(&["list"])?.success()?;
        let listed: Value = serde_json::from_str(&text).context(text)?;
        Ok(listed.as_array().context("a list")?.clone())
    }

    /// The folder that the server keeps its notes in.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }
}
