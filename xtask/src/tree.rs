//! The files that git tracks.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

/// A working tree.
pub struct Tree {
    pub root: PathBuf,
    /// Tracked files that exist, from the root, in order.
    pub paths: Vec<String>,
}

impl Tree {
    /// The tree that the current folder is in.
    pub fn open() -> Result<Self> {
        let root = PathBuf::from(git(Path::new("."), &["rev-parse", "--show-toplevel"])?.trim());
        let listed = git(&root, &["ls-files", "-z"])?;
        let paths = listed
            .split('\0')
            .filter(|path| !path.is_empty() && root.join(path).is_file())
            .map(str::to_owned)
            .collect();
        Ok(Self { root, paths })
    }

    /// The text of a file; [`None`] when it is not UTF-8.
    pub fn text(&self, path: &str) -> Result<Option<String>> {
        let bytes =
            std::fs::read(self.root.join(path)).with_context(|| format!("read file {path}"))?;
        Ok(String::from_utf8(bytes).ok())
    }

    /// Length of a file, bytes.
    pub fn bytes(&self, path: &str) -> Result<u64> {
        let entry = std::fs::metadata(self.root.join(path));
        Ok(entry.with_context(|| format!("look at file {path}"))?.len())
    }

    /// Paths and texts of the Rust files.
    pub fn rust(&self) -> Result<Vec<(String, String)>> {
        let paths = self.paths.iter().filter(|path| path.ends_with(".rs"));
        paths
            .map(|path| Ok((path.clone(), self.text(path)?.unwrap_or_default())))
            .collect::<Result<Vec<_>>>()
    }
}

fn git(folder: &Path, arguments: &[&str]) -> Result<String> {
    let output = Command::new("git")
        .current_dir(folder)
        .args(arguments)
        .output()
        .with_context(|| format!("run git {}", arguments.join(" ")))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("git {}: {}", arguments.join(" "), said.trim());
    }
    String::from_utf8(output.stdout).context("read the output of git")
}
