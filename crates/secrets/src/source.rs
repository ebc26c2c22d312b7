//! Where a secret comes from, and fetching it at the moment it is needed.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use model::Secret;
use tokio::io::AsyncReadExt as _;
use zeroize::Zeroizing;

use crate::reference::Reference;
use crate::stores::Stores;

/// Longest secret accepted, bytes: a private key fits, a wrong path to a disk image does not.
const SECRET_BYTES_MAX: usize = 64 * 1024;
/// Time a command has to print a secret.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(10);

/// Where a secret comes from. Asked each time it is needed, so a rotated secret is used by the next
/// connection without a reload.
#[derive(Clone)]
pub enum SecretSource {
    /// Written in the configuration itself.
    Literal(Secret<String>),
    /// An environment variable of the gateway.
    Env(String),
    /// A file; one line end after the secret is not part of it.
    File(PathBuf),
    /// The standard output of a command (program, then arguments; no shell); one line end after the
    /// secret is not part of it. It has ten seconds and must exit with 0.
    Command {
        /// Program and arguments.
        words: Vec<String>,
        /// Variables that it does not inherit, because they hold other secrets.
        hidden: Vec<String>,
    },
    /// A store, which is asked now and then; see [`Stores`].
    Kept(Reference, Arc<Stores>),
}

/// Why a secret could not be had. The operator's to mend; names the source, never the value.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The variable is not set, or not text.
    #[error("the environment variable {0} is not set to text")]
    Env(String),
    /// The file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// The command did not print a secret.
    #[error("the command {program:?} {problem}")]
    Command {
        /// The program.
        program: String,
        /// What went wrong.
        problem: String,
    },
    /// It is not a secret: empty, too long, or not UTF-8.
    #[error("the secret from {origin} {problem}")]
    Content {
        /// Where it came from.
        origin: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A store did not give it.
    #[error("{0}")]
    Store(String),
}

impl PartialEq for SecretSource {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Literal(one), Self::Literal(other)) => one == other,
            (Self::Env(one), Self::Env(other)) => one == other,
            (Self::File(one), Self::File(other)) => one == other,
            (
                Self::Command { words: one, hidden: hides },
                Self::Command { words: other, hidden: hidden_too },
            ) => one == other && hides == hidden_too,
            (Self::Kept(one, from), Self::Kept(other, from_other)) => {
                one == other && from.plan() == from_other.plan()
            }
            _ => false,
        }
    }
}

impl Eq for SecretSource {}

impl SecretSource {
    /// Reads the secret now; of a store, what it said last.
    ///
    /// # Errors
    ///
    /// When the source cannot be read, or what it holds is empty, longer than 64 KiB or not UTF-8.
    pub async fn fetch(&self) -> Result<Secret<String>, SecretError> {
        match self {
            Self::Literal(secret) => Ok(secret.clone()),
            Self::Env(name) => match std::env::var(name) {
                Ok(value) => checked(Zeroizing::new(value.into_bytes()), self),
                Err(_) => Err(SecretError::Env(name.clone())),
            },
            Self::File(path) => {
                let read = read_file(path).await;
                let bytes =
                    read.map_err(|source| SecretError::File { path: path.clone(), source })?;
                checked(bytes, self)
            }
            Self::Command { words, hidden } => checked(run(words, hidden).await?, self),
            Self::Kept(reference, stores) => {
                let kept = Arc::clone(stores).fetch(reference).await;
                kept.map_err(SecretError::Store)
            }
        }
    }

    /// The same, on a thread that may wait and serves no connection.
    ///
    /// # Errors
    ///
    /// As [`Self::fetch`], in words.
    pub fn fetch_here(&self) -> Result<Secret<String>, String> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| error.to_string())?;
        runtime.block_on(self.fetch()).map_err(|error| error.to_string())
    }
}

/// Reads no more than a secret may be, into memory that is wiped and does not move.
async fn read_file(path: &Path) -> std::io::Result<Zeroizing<Vec<u8>>> {
    let path = path.to_owned();
    let read = tokio::task::spawn_blocking(move || {
        use std::io::Read as _;
        let mut bytes = Zeroizing::new(Vec::with_capacity(SECRET_BYTES_MAX + 3));
        let file = std::fs::File::open(path)?;
        file.take(SECRET_BYTES_MAX as u64 + 3).read_to_end(&mut bytes)?;
        Ok(bytes)
    });
    read.await.map_err(std::io::Error::other)?
}

async fn run(words: &[String], hidden: &[String]) -> Result<Zeroizing<Vec<u8>>, SecretError> {
    let Some((program, arguments)) = words.split_first() else {
        let problem = "is empty".to_owned();
        return Err(SecretError::Command { program: String::new(), problem });
    };
    let failed = |problem: String| SecretError::Command { program: program.clone(), problem };
    let mut command = tokio::process::Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stderr(Stdio::null()).stdout(Stdio::piped());
    for name in hidden {
        command.env_remove(name);
    }
    let mut child = command
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| failed(format!("cannot be run: {error}")))?;
    let mut said = Zeroizing::new(Vec::with_capacity(SECRET_BYTES_MAX + 3));
    let ended = tokio::time::timeout(COMMAND_TIMEOUT, async {
        if let Some(out) = child.stdout.take() {
            let mut out = out.take(SECRET_BYTES_MAX as u64 + 3);
            out.read_to_end(&mut said).await?;
            if said.len() > SECRET_BYTES_MAX + 2 {
                return Ok(None);
            }
        }
        child.wait().await.map(Some)
    });
    let ended = ended
        .await
        .map_err(|_| failed(format!("did not finish within {} s", COMMAND_TIMEOUT.as_secs())))?
        .map_err(|error| failed(format!("cannot be heard: {error}")))?;
    match ended {
        // It says more than a secret, and may never end.
        None => Ok(said),
        Some(status) if status.success() => Ok(said),
        Some(status) => Err(failed(format!("ended with {status}"))),
    }
}

fn checked(
    mut bytes: Zeroizing<Vec<u8>>,
    source: &SecretSource,
) -> Result<Secret<String>, SecretError> {
    if bytes.ends_with(b"\n") {
        bytes.pop();
        if bytes.ends_with(b"\r") {
            bytes.pop();
        }
    }
    let problem = |problem| SecretError::Content { origin: source.to_string(), problem };
    if bytes.is_empty() {
        return Err(problem("is empty"));
    }
    if bytes.len() > SECRET_BYTES_MAX {
        return Err(problem("is longer than 64 KiB"));
    }
    let text = std::str::from_utf8(&bytes).map_err(|_| problem("is not UTF-8"))?;
    Ok(Secret::new(text.to_owned()))
}

impl fmt::Display for SecretSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Literal(_) => f.write_str("the configuration"),
            Self::Env(name) => write!(f, "the environment variable {name}"),
            Self::File(path) => write!(f, "the file {}", path.display()),
            Self::Command { words, .. } => {
                write!(f, "the command {:?}", words.first().map_or("", String::as_str))
            }
            Self::Kept(reference, _) => write!(f, "{reference}"),
        }
    }
}

impl fmt::Debug for SecretSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretSource({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command(words: &[&str]) -> SecretSource {
        let words = words.iter().map(|word| (*word).to_owned()).collect();
        SecretSource::Command { words, hidden: vec!["HOME".to_owned()] }
    }

    #[tokio::test]
    async fn a_secret_is_read_from_a_command_without_its_line_end() {
        let secret = command(&["printf", "s e cret\\n"]).fetch().await.unwrap();
        assert_eq!(secret.expose(), "s e cret");
    }

    #[tokio::test]
    async fn a_command_inherits_no_other_secret() {
        assert!(std::env::var_os("HOME").is_some() && std::env::var_os("PATH").is_some());
        let said = command(&["env"]).fetch().await.unwrap();
        assert!(said.expose().lines().any(|line| line.starts_with("PATH=")));
        assert!(!said.expose().lines().any(|line| line.starts_with("HOME=")));
    }

    #[tokio::test]
    async fn a_secret_that_cannot_be_had_says_where_it_was_looked_for() {
        let cases = [
            (SecretSource::Env("NARROWS_NO_SUCH_VARIABLE".into()), "NARROWS_NO_SUCH_VARIABLE"),
            (SecretSource::File("/nonexistent/secret".into()), "/nonexistent/secret"),
            (SecretSource::File("/dev/zero".into()), "longer than 64 KiB"),
            (command(&["false"]), "ended with"),
            (command(&["/nonexistent/program"]), "cannot be run"),
            (command(&["true"]), "is empty"),
            (command(&[]), "is empty"),
            (command(&["head", "-c", "70000", "/dev/zero"]), "longer than 64 KiB"),
            // It never ends, and is not waited for.
            (command(&["yes"]), "longer than 64 KiB"),
            (command(&["printf", "\\377"]), "is not UTF-8"),
        ];
        for (source, words) in cases {
            let error = source.fetch().await.unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
    }

    #[test]
    fn p7_a_literal_is_never_printed() {
        let source = SecretSource::Literal(Secret::new("hunter2".to_owned()));
        assert!(!format!("{source:?} {source}").contains("hunter2"));
    }
}
