//! Where things are, and ports nobody else takes.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result, bail};

/// The ports tried: below every usual ephemeral range, so that no outgoing connection of another
/// test has one by the time it is listened on.
const PORTS: (u32, u32) = (12_000, 32_000);

/// The root of the workspace.
pub(crate) fn workspace() -> Result<PathBuf> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let root = here.ancestors().nth(2).context("this package is two folders below the root")?;
    Ok(root.to_path_buf())
}

/// A file of this package.
#[must_use]
pub fn own(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// The gateway's binary.
///
/// # Errors
/// It was not built.
pub fn gateway() -> Result<PathBuf> {
    let path = match std::env::var_os("NARROWS_BIN") {
        Some(path) => PathBuf::from(path),
        None => workspace()?.join("target/release/narrows"),
    };
    if !path.is_file() {
        bail!(
            "the gateway is not built: {} is missing. Build it with `cargo build --release -p \
             narrows`, or name it in NARROWS_BIN",
            path.display()
        );
    }
    Ok(path)
}

/// A file of this repository.
///
/// # Errors
/// This package is not where it belongs.
pub fn repository(name: &str) -> Result<PathBuf> {
    Ok(workspace()?.join(name))
}

/// A folder of `examples`.
///
/// # Errors
/// This package is not where it belongs.
pub fn example(name: &str) -> Result<PathBuf> {
    Ok(workspace()?.join("examples").join(name))
}

/// The interpreter that has the Python drivers.
///
/// # Errors
/// They are not installed.
pub fn python() -> Result<PathBuf> {
    let path = workspace()?.join("target/python/bin/python");
    if !path.exists() {
        bail!("the Python drivers are not installed: ./test puts them into target/python");
    }
    Ok(path)
}

/// Folder with the programs of the newest PostgreSQL, or `NARROWS_POSTGRES_BIN`.
pub(crate) fn postgres_programs() -> Result<PathBuf> {
    if let Some(programs) = std::env::var_os("NARROWS_POSTGRES_BIN") {
        return Ok(programs.into());
    }
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let newest = versions
        .filter_map(|entry| {
            let version: u32 = entry.file_name().to_str()?.parse().ok()?;
            Some((version, entry.path().join("bin")))
        })
        .filter(|(_, programs)| programs.join("initdb").exists())
        .max();
    newest.map(|(_, programs)| programs).context(
        "these tests need PostgreSQL's server programs in /usr/lib/postgresql (apt-get install \
         postgresql postgresql-contrib)",
    )
}

/// A port that is free now and that tests running at the same time do not try next.
pub(crate) fn port() -> Result<u16> {
    static TRIED: AtomicU32 = AtomicU32::new(0);
    let (first, end) = PORTS;
    let span = end - first;
    for _ in 0..span {
        let step = TRIED.fetch_add(1, Ordering::Relaxed);
        // A prime stride keeps processes with neighbouring ids apart.
        let offset = std::process::id().wrapping_mul(7).wrapping_add(step) % span;
        let port = u16::try_from(first + offset)?;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return Ok(port);
        }
    }
    bail!("no port from {first} to {end} is free")
}
