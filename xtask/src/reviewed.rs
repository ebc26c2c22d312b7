//! `xtask/reviewed.txt`: calls that go around a promise, counted per file, each read by a person.
//!
//! A call that is added or removed fails the check until someone has read it and changed the count.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use anyhow::{Context, Result};

use crate::finding::Finding;
use crate::source::{Source, is_test_path, numbered};
use crate::tree::Tree;

/// Where the list is, from the root.
pub const PATH: &str = "xtask/reviewed.txt";

/// The calls, and why each is reviewed.
const CALLS: &[(&str, &str)] = &[
    ("control", "sends bytes that no policy decided"),
    ("abort", "makes an upstream fail on purpose"),
    ("composed", "makes words that a client reads"),
];

const HEAD: &str = "\
# Calls that go around a promise, counted per file. Tests are not counted.
#   control   sends bytes that no policy decided (handshake, keep-alive)
#   abort     makes an upstream fail on purpose, so that a refusal tells the truth
#   composed  makes words that a client reads (ClientText::composed)
#   blob      a file over 100 kB that belongs here
# After reading every such call of a file: `cargo xtask tidy --write-reviewed`, and say so in the
# commit.
";

/// What the list says.
#[derive(Debug, Default, Eq, PartialEq)]
pub struct Reviewed {
    /// Count by call and file.
    calls: BTreeMap<(String, String), (usize, usize)>,
    /// Large files.
    pub blobs: Vec<String>,
}

impl Reviewed {
    /// Reads the list; lines that say nothing it knows are findings.
    pub fn parse(text: &str) -> (Self, Vec<Finding>) {
        let (mut reviewed, mut findings) = (Self::default(), Vec::new());
        for (line, content) in
            numbered(text).filter(|(_, text)| !text.trim_start().starts_with('#'))
        {
            let words: Vec<&str> = content.split_whitespace().collect();
            match words.as_slice() {
                [] => {}
                ["blob", path] => reviewed.blobs.push((*path).to_owned()),
                [call, count, path] if CALLS.iter().any(|(known, _)| known == call) => {
                    let Ok(count) = count.parse() else {
                        findings.push(wrong_line(line, content));
                        continue;
                    };
                    let key = ((*call).to_owned(), (*path).to_owned());
                    reviewed.calls.insert(key, (count, line));
                }
                _ => findings.push(wrong_line(line, content)),
            }
        }
        (reviewed, findings)
    }

    /// Compares the list with the calls that there are.
    pub fn compare(&self, files: &[(String, String)]) -> Vec<Finding> {
        let mut findings = Vec::new();
        let mut seen = BTreeMap::new();
        for (path, text) in files {
            for (call, lines) in calls(path, text) {
                let key = (call.to_owned(), path.clone());
                let known = self.calls.get(&key).map_or(0, |(count, _)| *count);
                if known != lines.len() {
                    findings.push(miscounted(path, call, known, &lines));
                }
                seen.insert(key, ());
            }
        }
        for ((call, path), (count, line)) in &self.calls {
            if !seen.contains_key(&(call.clone(), path.clone())) {
                let what = format!("{count} reviewed calls of `{call}(` in {path}, which has none");
                findings.push(Finding::error(PATH, *line, what, "remove the line"));
            }
        }
        findings
    }
}

fn wrong_line(line: usize, content: &str) -> Finding {
    let what = format!("`{content}` is not an entry");
    Finding::error(PATH, line, what, "write `CALL COUNT FILE` or `blob FILE`")
}

fn miscounted(path: &str, call: &str, known: usize, lines: &[usize]) -> Finding {
    let why = CALLS.iter().find(|(known, _)| *known == call).map_or("", |(_, why)| *why);
    let places: Vec<String> = lines.iter().map(ToString::to_string).collect();
    let what = format!(
        "{} calls of `{call}(`, which {why}, on lines {}, but {known} are reviewed",
        lines.len(),
        places.join(", ")
    );
    let remedy = format!(
        "read each call; then set the count in {PATH} or run `cargo xtask tidy --write-reviewed`"
    );
    Finding::error(path, lines.first().copied().unwrap_or(1), what, remedy)
}

/// The reviewed calls outside tests, with their lines.
fn calls(path: &str, text: &str) -> Vec<(&'static str, Vec<usize>)> {
    if is_test_path(path) || path.starts_with("xtask/") || path.starts_with("crates/testkit/") {
        return Vec::new();
    }
    let source = Source::new(text);
    let lines_of = |call: &str| {
        let lines = source.bare_lines();
        lines.flat_map(|(line, text)| vec![line; count(text, call)]).collect::<Vec<_>>()
    };
    let found = CALLS.iter().map(|(call, _)| (*call, lines_of(call)));
    found.filter(|(_, lines)| !lines.is_empty()).collect()
}

/// How often a line calls `name` with something in the parentheses; definitions do not count, nor
/// do calls without arguments, such as a task's own `abort()`.
fn count(line: &str, name: &str) -> usize {
    let is_call = |at: usize| {
        let before = line.get(..at).unwrap_or_default();
        let after = line.get(at + name.len()..).unwrap_or_default();
        let called = before.ends_with('.') || before.ends_with("::");
        called && after.starts_with('(') && !after.starts_with("()")
    };
    line.match_indices(name).filter(|(at, _)| is_call(*at)).count()
}

pub fn read(tree: &Tree) -> Result<(Reviewed, Vec<Finding>)> {
    if !tree.root.join(PATH).is_file() {
        return Ok((Reviewed::default(), Vec::new()));
    }
    Ok(Reviewed::parse(&tree.text(PATH)?.unwrap_or_default()))
}

/// Counts anew and writes the list.
pub fn write(tree: &Tree) -> Result<()> {
    let (old, _) = read(tree)?;
    let list = render(&tree.rust()?, &old.blobs)?;
    std::fs::write(tree.root.join(PATH), list).with_context(|| format!("write {PATH}"))
}

fn render(files: &[(String, String)], blobs: &[String]) -> Result<String> {
    let mut list = HEAD.to_owned();
    for blob in blobs {
        writeln!(list, "blob {blob}")?;
    }
    let found = files.iter().map(|(path, text)| (path, calls(path, text)));
    for (path, calls) in found {
        for (call, lines) in calls {
            writeln!(list, "{call} {} {path}", lines.len())?;
        }
    }
    Ok(list)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CODE: &str = "fn control(x: u8) {}\nfn a() {\n    out.control(unit);\n    \
                        task.abort();\n    out.abort(id); ClientText::composed(words)\n}\n\
                        #[cfg(test)]\nmod tests { fn b() { out.control(1); } }\n";

    fn files() -> Vec<(String, String)> {
        vec![("protocols/x/src/lib.rs".to_owned(), CODE.to_owned())]
    }

    #[test]
    fn calls_are_counted_and_definitions_tests_and_tasks_are_not() {
        let found = calls("protocols/x/src/lib.rs", CODE);
        assert_eq!(found, [("control", vec![3]), ("abort", vec![5]), ("composed", vec![5])]);
        assert!(calls("protocols/x/tests/a.rs", CODE).is_empty());
    }

    #[test]
    fn a_written_list_agrees_with_the_code_and_a_new_call_does_not() {
        let list = render(&files(), &["docs/a.png".to_owned()]).unwrap();
        let (reviewed, wrong) = Reviewed::parse(&list);
        assert!(wrong.is_empty() && reviewed.compare(&files()).is_empty());
        assert_eq!(reviewed.blobs, ["docs/a.png"]);
        let mut more = files();
        more[0].1 = more[0].1.replace("task.abort();", "out.control(more);");
        let found = reviewed.compare(&more);
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].path.as_str(), found[0].line), ("protocols/x/src/lib.rs", 3));
        assert!(found[0].what.contains("on lines 3, 4, but 1 are reviewed"), "{found:?}");
        assert!(found[0].remedy.contains(PATH));
    }

    #[test]
    fn entries_without_calls_and_lines_without_sense_are_found() {
        let (reviewed, wrong) = Reviewed::parse("# x\n\ncontrol 1 gone.rs\ncontrol x y\nfoo 1 z\n");
        assert_eq!(wrong.iter().map(|f| f.line).collect::<Vec<_>>(), [4, 5]);
        let found = reviewed.compare(&[]);
        assert_eq!((found.len(), found[0].line), (1, 3));
    }
}
