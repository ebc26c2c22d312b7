//! `docs/narrows.schema.json`: the JSON Schema of the configuration, made by the program itself.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::finding::Finding;
use crate::source::numbered;
use crate::tree::Tree;

const PATH: &str = "docs/narrows.schema.json";

/// Writes what the program says.
pub fn write(tree: &Tree) -> Result<()> {
    let path = tree.root.join(PATH);
    std::fs::write(&path, generate(tree)?).with_context(|| format!("write {PATH}"))
}

/// Compares the file with what the program says.
pub fn check(tree: &Tree) -> Result<Vec<Finding>> {
    let path = tree.root.join(PATH);
    let old = if path.is_file() { std::fs::read_to_string(&path)? } else { String::new() };
    Ok(compare(&old, &generate(tree)?).into_iter().collect())
}

fn generate(tree: &Tree) -> Result<String> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    // With the whole workspace, so that it is built with the features that the tests have: with
    // others every big dependency would be built once more.
    let built = Command::new(cargo)
        .current_dir(&tree.root)
        .args(["build", "--quiet", "--workspace", "--bin", "narrows"])
        .status()
        .context("build `narrows`")?;
    if !built.success() {
        bail!("`narrows` does not build");
    }
    let target = std::env::var_os("CARGO_TARGET_DIR");
    let target = target.map_or_else(|| tree.root.join("target"), PathBuf::from);
    let output = Command::new(target.join("debug/narrows"))
        .arg("schema")
        .output()
        .context("run `narrows schema`")?;
    if !output.status.success() {
        bail!("`narrows schema` failed: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    let said = String::from_utf8(output.stdout).context("read the output of `narrows schema`")?;
    let _: Value = serde_json::from_str(&said).context("read the schema as JSON")?;
    Ok(if said.ends_with('\n') { said } else { said + "\n" })
}

fn compare(old: &str, new: &str) -> Option<Finding> {
    if old == new {
        return None;
    }
    let mut lines = numbered(old).zip(new.lines());
    let line =
        lines.find(|((_, old), new)| old != new).map_or(old.lines().count(), |(old, _)| old.0);
    let what = "the schema is not what `narrows schema` says";
    Some(Finding::error(PATH, line, what, "run `cargo xtask schema` and commit the file"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_that_differs_is_told() {
        assert_eq!(compare("{\n}\n", "{\n}\n"), None);
        assert_eq!(compare("a\nb\nc\n", "a\nx\nc\n").map(|found| found.line), Some(2));
        assert_eq!(compare("", "a\n").map(|found| found.line), Some(0));
        assert_eq!(compare("a\n", "a\nb\n").map(|found| found.line), Some(1));
    }
}
