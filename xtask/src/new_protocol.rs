//! Makes the folder of a new protocol.

use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::tree::Tree;

const MANIFEST: &str = r#"[package]
name = "NAME"
version.workspace = true
edition.workspace = true
rust-version.workspace = true
license.workspace = true
publish = false

[lints]
workspace = true

[dependencies]
model = { workspace = true }
engine = { workspace = true }

[dev-dependencies]
testkit = { workspace = true }
"#;

const LIBRARY: &str = "//! The NAME protocol: what its messages are, what they ask for, and how a
//! refusal is said in its words.
//!
//! Pure: bytes in, bytes out. Relies on the engine to keep an operation's bytes until it is decided
//! and recorded; knows no policy, no store and no socket.

#![deny(missing_docs)]
";

const CONVERSATION: &str =
    "# Who said what, in order, with decisions and records. Write this first.
";

/// Writes the files of the protocol `name` and says what is left to do.
pub fn make(tree: &Tree, name: &str) -> Result<()> {
    check_name(name)?;
    let folder = tree.root.join("protocols").join(name);
    if folder.exists() {
        bail!("protocols/{name} is there already: choose another name, or work on that one");
    }
    let lints = tree.text("crates/model/clippy.toml")?.context("read crates/model/clippy.toml")?;
    for (path, text) in files(name, &lints) {
        write(&tree.root.join(&path), &text)?;
        println!("made {path}");
    }
    println!("{}", next_steps(name));
    Ok(())
}

fn check_name(name: &str) -> Result<()> {
    let small = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    if name.is_empty() || !name.chars().all(small) || !name.starts_with(|c: char| c.is_alphabetic())
    {
        bail!("`{name}` is not a name for a protocol: use small letters and digits, as in `redis`");
    }
    Ok(())
}

fn files(name: &str, lints: &str) -> Vec<(String, String)> {
    let named = |text: &str| text.replace("NAME", name);
    vec![
        (format!("protocols/{name}/Cargo.toml"), named(MANIFEST)),
        (format!("protocols/{name}/clippy.toml"), lints.to_owned()),
        (format!("protocols/{name}/src/lib.rs"), named(LIBRARY)),
        (format!("protocols/{name}/testdata/hello.txt"), named(CONVERSATION)),
    ]
}

fn next_steps(name: &str) -> String {
    format!(
        "next:
  1. write protocols/{name}/src/message.rs, the specification open
  2. write conversations in protocols/{name}/testdata/
  3. write protocols/{name}/src/session.rs, one state at a time
  4. call the conformance tests of `testkit`
  5. write a fuzz target in crates/fuzzing (CONTRIBUTING.md, Fuzzing) for each decoder
  6. add `{name} = {{ path = \"protocols/{name}\" }}` to [workspace.dependencies],
     `{name} = {{ workspace = true }}` to crates/narrows/Cargo.toml
     and a line to crates/narrows/src/protocols.rs"
    )
}

fn write(path: &Path, text: &str) -> Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).with_context(|| format!("make {}", folder.display()))?;
    }
    std::fs::write(path, text).with_context(|| format!("write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_are_no_crate_names_are_refused() {
        assert!(check_name("redis").is_ok() && check_name("mysql8").is_ok());
        for name in ["", "Redis", "my-sql", "../x", "8080", "a b"] {
            assert!(check_name(name).is_err(), "{name}");
        }
    }

    #[test]
    fn every_file_names_the_protocol_and_none_the_placeholder() {
        let files = files("redis", "lints");
        assert!(files.iter().all(|(path, text)| path.contains("redis") && !text.contains("NAME")));
        assert!(files.iter().any(|(path, _)| path == "protocols/redis/testdata/hello.txt"));
    }
}
