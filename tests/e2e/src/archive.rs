//! What tests of the archive share: the second reader, and what answers say.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::Result;
use serde_json::Value;

use crate::gateway::Gateway;
use crate::place;
use crate::process::{Child, Output};

/// How long a program of Python's may take: after hundreds of kills under load there are millions of
/// events, each of which the second reader hashes.
const PATIENCE: Duration = Duration::from_secs(1800);

/// Runs a program of `tests/evidence`.
///
/// # Errors
/// It cannot be run, or does not end. How it ends is up to the caller.
pub fn evidence(name: &str, arguments: &[&Path]) -> Result<Output> {
    let mut python = Command::new(place::python()?);
    python.arg("-B").arg(place::repository("tests/evidence")?.join(name)).args(arguments);
    Child::start_piped(&mut python)?.output(PATIENCE)
}

/// The public key of a gateway, as a file.
///
/// # Errors
/// The command fails.
pub fn public_key(gateway: &Gateway) -> Result<PathBuf> {
    let path = gateway.dir().join("gateway.pem");
    fs::write(&path, gateway.narrows(&["audit", "key"])?.success()?)?;
    Ok(path)
}

/// Who used what, of an answer of `audit who`: principal, decision, outcome.
#[must_use]
pub fn uses(answer: &Value) -> Vec<(String, String, String)> {
    let word =
        |of: &Value, key: &str| of.get(key).and_then(Value::as_str).unwrap_or("-").to_owned();
    let uses = answer.get("uses").and_then(Value::as_array).cloned().unwrap_or_default();
    uses.iter()
        .map(|of| (word(of, "principal"), word(of, "decision"), word(of, "outcome")))
        .collect()
}
