//! Where a secret comes from, and fetching it at the moment it is needed.

use std::fmt;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use model::Secret;

/// Longest secret accepted, bytes: a private key fits, a wrong path to a disk image does not.
const SECRET_BYTES_MAX: usize = 64 * 1024;
/// Time a command has to print a secret.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(10);

/// Where a secret comes from. Read each time it is needed, so a rotated secret is used by the next
/// connection without a reload.
#[derive(Clone, Eq, PartialEq)]
pub enum SecretSource {
    /// Written in the configuration itself.
    Literal(Secret<String>),
    /// An environment variable of the gateway.
    Env(String),
    /// A file; one line end after the secret is not part of it.
    File(PathBuf),
    /// The standard output of a command (program, then arguments; no shell); one line end after the
    /// secret is not part of it. It has ten seconds and must exit with 0.
    Command(Vec<String>),
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
}

impl SecretSource {
    /// Reads the secret now.
    ///
    /// # Errors
    ///
    /// When the source cannot be read, or what it holds is empty, longer than 64 KiB or not UTF-8.
    pub async fn fetch(&self) -> Result<Secret<String>, SecretError> {
        match self {
            Self::Literal(secret) => Ok(secret.clone()),
            Self::Env(name) => match std::env::var(name) {
                Ok(value) => checked(value.into_bytes(), self),
                Err(_) => Err(SecretError::Env(name.clone())),
            },
            Self::File(path) => {
                let read = tokio::fs::read(path).await;
                let bytes =
                    read.map_err(|source| SecretError::File { path: path.clone(), source })?;
                checked(bytes, self)
            }
            Self::Command(words) => checked(run(words).await?, self),
        }
    }
}

async fn run(words: &[String]) -> Result<Vec<u8>, SecretError> {
    let Some((program, arguments)) = words.split_first() else {
        let problem = "is empty".to_owned();
        return Err(SecretError::Command { program: String::new(), problem });
    };
    let failed = |problem: String| SecretError::Command { program: program.clone(), problem };
    let mut command = tokio::process::Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
    let output = tokio::time::timeout(COMMAND_TIMEOUT, command.output())
        .await
        .map_err(|_| failed(format!("did not finish within {} s", COMMAND_TIMEOUT.as_secs())))?
        .map_err(|error| failed(format!("cannot be run: {error}")))?;
    if output.status.success() {
        Ok(output.stdout)
    } else {
        Err(failed(format!("ended with {}", output.status)))
    }
}

fn checked(mut bytes: Vec<u8>, source: &SecretSource) -> Result<Secret<String>, SecretError> {
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
    String::from_utf8(bytes).map(Secret::new).map_err(|_| problem("is not UTF-8"))
}

impl fmt::Display for SecretSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Literal(_) => f.write_str("the configuration"),
            Self::Env(name) => write!(f, "the environment variable {name}"),
            Self::File(path) => write!(f, "the file {}", path.display()),
            Self::Command(words) => {
                write!(f, "the command {:?}", words.first().map_or("", String::as_str))
            }
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
        SecretSource::Command(words.iter().map(|word| (*word).to_owned()).collect())
    }

    #[tokio::test]
    async fn a_secret_is_read_from_a_command_without_its_line_end() {
        let secret = command(&["printf", "s e cret\\n"]).fetch().await.unwrap();
        assert_eq!(secret.expose(), "s e cret");
    }

    #[tokio::test]
    async fn a_secret_that_cannot_be_had_says_where_it_was_looked_for() {
        let cases = [
            (SecretSource::Env("NARROWS_NO_SUCH_VARIABLE".into()), "NARROWS_NO_SUCH_VARIABLE"),
            (SecretSource::File("/nonexistent/secret".into()), "/nonexistent/secret"),
            (command(&["false"]), "ended with"),
            (command(&["/nonexistent/program"]), "cannot be run"),
            (command(&["true"]), "is empty"),
            (command(&[]), "is empty"),
            (command(&["head", "-c", "70000", "/dev/zero"]), "longer than 64 KiB"),
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
