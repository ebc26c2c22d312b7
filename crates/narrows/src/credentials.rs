//! Tokens that `narrows login` got, in the home of whoever signed in: one per gateway.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use model::Secret;
use serde::{Deserialize, Serialize};

/// Longest file, bytes.
const BYTES_MAX: u64 = 1 << 20;

/// What is kept, and where.
pub struct Credentials {
    /// None where there is no home.
    path: Option<PathBuf>,
    kept: BTreeMap<String, Kept>,
}

/// A token of one gateway.
#[derive(Clone, Deserialize, Serialize)]
pub struct Kept {
    token: String,
    /// Who signed in.
    pub subject: String,
    /// When it ends, whatever happens (RFC 3339).
    pub expires_at: String,
}

impl Kept {
    /// A token to keep.
    pub fn new(token: &Secret<String>, subject: String, expires_at: String) -> Self {
        Self { token: token.expose().clone(), subject, expires_at }
    }

    /// The token, while its time is not over.
    pub fn token(&self, base: &str) -> anyhow::Result<Secret<String>> {
        let end = admin::parse_time(&self.expires_at);
        if end.is_none_or(|end| runtime::clock::now() >= end) {
            bail!(
                "you signed in at {base} as {}, and that ended at {}\n  sign in again with \
                 narrows login, or forget it with narrows logout",
                self.subject,
                self.expires_at
            );
        }
        Ok(Secret::new(self.token.clone()))
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        drop(Secret::new(std::mem::take(&mut self.token)));
    }
}

impl Credentials {
    /// Reads what is kept.
    ///
    /// # Errors
    /// The file cannot be read, or others can read it.
    pub fn read() -> anyhow::Result<Self> {
        let Some(path) = place() else { return Ok(Self { path: None, kept: BTreeMap::new() }) };
        let kept = match fs::metadata(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => BTreeMap::new(),
            Err(error) => return Err(error).context(path.display().to_string()),
            Ok(metadata) => {
                let name = path.display();
                if metadata.permissions().mode() & 0o077 != 0 {
                    bail!("{name} can be read by others; run: chmod 600 {name}");
                }
                if metadata.len() > BYTES_MAX {
                    bail!("{name} is longer than {BYTES_MAX} bytes");
                }
                let text = fs::read(&path).with_context(|| format!("read {name}"))?;
                let kept = serde_json::from_slice(&text);
                kept.ok().with_context(|| {
                    format!("{name} is not what narrows login wrote; remove it, and sign in again")
                })?
            }
        };
        Ok(Self { path: Some(path), kept })
    }

    /// What is kept of a gateway.
    pub fn of(&self, base: &str) -> Option<&Kept> {
        self.kept.get(base)
    }

    /// Keeps, or forgets, what is of a gateway.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn keep(mut self, base: &str, kept: Option<Kept>) -> anyhow::Result<()> {
        let path = self.path.context("there is no HOME to keep the token in; set HOME")?;
        match kept {
            Some(kept) => self.kept.insert(base.to_owned(), kept),
            None => self.kept.remove(base),
        };
        let text = Secret::new(serde_json::to_string_pretty(&self.kept)?);
        write(&path, text.expose()).with_context(|| format!("write {}", path.display()))
    }
}

/// `XDG_CONFIG_HOME`, or `.config` in the home.
fn place() -> Option<PathBuf> {
    let named = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    let folder = match named("XDG_CONFIG_HOME") {
        Some(folder) => PathBuf::from(folder),
        None => PathBuf::from(named("HOME")?).join(".config"),
    };
    Some(folder.join("narrows").join("credentials.json"))
}

/// Writes beside and renames, so that a crash leaves the whole file or none; for nobody else's
/// eyes.
fn write(path: &Path, text: &str) -> std::io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let beside = path.with_extension(format!("{}.new", std::process::id()));
    let mut file =
        OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&beside, path)
}
