//! What review would otherwise repeat.

use std::collections::BTreeSet;

use anyhow::Result;

use crate::finding::Finding;
use crate::reviewed;
use crate::source::{Source, declared_modules, is_test_path, numbered};
use crate::tree::Tree;

/// Columns of the longest line.
const COLUMNS_MAX: usize = 100;
/// Lines beyond which a file probably has two subjects.
const LINES_MAX: usize = 800;
/// Bytes of the largest file, except those listed.
const BLOB_BYTES_MAX: u64 = 100_000;

/// What code must not say, and what to do instead. Written in two halves so that this file does
/// not contain them.
const BANNED: &[(&str, &str)] = &[
    (concat!("#[", "ignore"), "assert today's behaviour and say why it is wrong"),
    (concat!("#[", "allow("), "use #[expect(lint, reason = \"…\")], or mend it"),
    (concat!("#![", "allow("), "use #![expect(lint, reason = \"…\")], or mend it"),
    (concat!("todo", "!"), "write it, or return an error that says what is missing"),
];

/// Folders that exist on somebody's machine only.
const MACHINE_PATHS: &[&str] =
    &[concat!("/wo", "rk/"), concat!("/ro", "ot/"), concat!("/tm", "p/")];

pub fn check(tree: &Tree) -> Result<Vec<Finding>> {
    let files = tree.rust()?;
    let (reviewed, mut findings) = reviewed::read(tree)?;
    findings.extend(reviewed.compare(&files));
    for (path, text) in &files {
        findings.extend(long_lines(path, text));
        findings.extend(banned_words(path, text));
        findings.extend(machine_paths_in_code(path, text));
        findings.extend(long_file(path, text));
    }
    findings.extend(dead_files(&files));
    for path in &tree.paths {
        findings.extend(blob(path, tree.bytes(path)?, &reviewed.blobs));
        let prose = [".md", ".toml", ".yaml", ".yml", ".txt"];
        if prose.iter().any(|ending| path.ends_with(ending)) && !is_test_path(path) {
            findings.extend(machine_paths(path, numbered(&tree.text(path)?.unwrap_or_default())));
        }
        if path == "docs/threat-model.md" {
            findings.extend(named_tests(path, &tree.text(path)?.unwrap_or_default(), &files));
        }
    }
    findings.extend(protocols(&tree.paths));
    findings.sort_by(|a, b| (&a.path, a.line).cmp(&(&b.path, b.line)));
    Ok(findings)
}

/// Tests that a page names and nobody finds.
fn named_tests(path: &str, text: &str, files: &[(String, String)]) -> Vec<Finding> {
    let names = |line: &str| -> Vec<String> {
        let quoted = line.split('`').skip(1).step_by(2);
        let is_test = |name: &&str| {
            let mut letters = name.chars();
            matches!(letters.next(), Some('p' | 'r'))
                && letters.next().is_some_and(|second| second.is_ascii_digit())
        };
        quoted.filter(is_test).map(str::to_owned).collect()
    };
    let is_there = |name: &str| {
        let head = format!("fn {name}(");
        files.iter().any(|(_, text)| text.contains(&head))
    };
    let mut findings = Vec::new();
    for (line, words) in numbered(text) {
        for name in names(words).into_iter().filter(|name| !is_there(name)) {
            let what = format!("there is no test called {name}");
            findings.push(Finding::error(path, line, what, "name the one that holds it now"));
        }
    }
    findings
}

/// Lines too long to read beside another. Tables of statements and messages in tests read better
/// unbroken.
fn long_lines(path: &str, text: &str) -> Vec<Finding> {
    if is_test_path(path) || path.starts_with("tests/") {
        return Vec::new();
    }
    let long = numbered(text).filter(|(_, line)| line.chars().count() > COLUMNS_MAX);
    long.map(|(line, content)| {
        let what = format!("{} columns, more than {COLUMNS_MAX}", content.chars().count());
        Finding::error(path, line, what, "break the line (rustfmt leaves strings and comments)")
    })
    .collect()
}

fn banned_words(path: &str, text: &str) -> Vec<Finding> {
    let source = Source::new(text);
    let found = numbered(&source.bare).flat_map(|(line, content)| {
        let said = BANNED.iter().filter(move |(word, _)| contains_word(content, word));
        said.map(move |(word, remedy)| {
            Finding::error(path, line, format!("`{word}` in code"), *remedy)
        })
    });
    found.collect()
}

/// Whether the line has the text, and not as the tail of a longer word.
fn contains_word(line: &str, text: &str) -> bool {
    line.match_indices(text).any(|(at, _)| {
        let before = line.get(..at).unwrap_or_default();
        !before.ends_with(|c: char| c.is_alphanumeric() || c == '_')
    })
}

fn machine_paths_in_code(path: &str, text: &str) -> Vec<Finding> {
    if is_test_path(path) {
        return Vec::new();
    }
    let source = Source::new(text);
    let lines = numbered(text).filter(|(line, _)| !source.is_test(*line));
    machine_paths(path, lines)
}

fn machine_paths<'a>(path: &str, lines: impl Iterator<Item = (usize, &'a str)>) -> Vec<Finding> {
    let found = lines.filter_map(|(line, content)| {
        let folder = MACHINE_PATHS.iter().find(|folder| contains_path(content, folder))?;
        let what = format!("`{folder}`, a folder of one machine");
        let remedy = "say it relative to the repository, or take it from the configuration";
        Some(Finding::error(path, line, what, remedy))
    });
    found.collect()
}

/// Whether the line has the folder at the start of a path.
fn contains_path(line: &str, folder: &str) -> bool {
    line.match_indices(folder).any(|(at, _)| {
        let before = line.get(..at).unwrap_or_default();
        !before.ends_with(|c: char| c.is_alphanumeric() || "._~-}$/*".contains(c))
    })
}

fn long_file(path: &str, text: &str) -> Option<Finding> {
    let count = text.lines().count();
    let what = format!("{count} lines, more than {LINES_MAX}");
    let remedy = "it probably has two subjects: split it (tables are exempt)";
    (count > LINES_MAX).then(|| Finding::error(path, count, what, remedy).warning())
}

fn blob(path: &str, bytes: u64, listed: &[String]) -> Option<Finding> {
    let exempt = path == "Cargo.lock" || listed.iter().any(|listed| listed == path);
    let what = format!("{bytes} bytes, more than {BLOB_BYTES_MAX}");
    let remedy = format!("make it smaller, fetch it, or add `blob {path}` to {}", reviewed::PATH);
    (bytes > BLOB_BYTES_MAX && !exempt).then(|| Finding::error(path, 1, what, remedy))
}

/// Rust files that no module names, so that nothing compiles them.
fn dead_files(files: &[(String, String)]) -> Vec<Finding> {
    let mut named = BTreeSet::new();
    for (path, text) in files {
        let source = Source::new(text);
        let (folder, own) = module_folder(path);
        for (name, _) in declared_modules(&source) {
            named.insert(format!("{own}/{name}.rs"));
            named.insert(format!("{own}/{name}/mod.rs"));
        }
        // `#[path = "x.rs"]` and `include!("x.rs")`.
        for (_, line) in numbered(&source.code) {
            if line.contains("path = \"") || line.contains("include!(\"") {
                let target = line.split('"').nth(1).unwrap_or_default();
                named.insert(format!("{folder}/{target}"));
            }
        }
    }
    let dead = files.iter().filter(|(path, _)| !is_root(path) && !named.contains(path));
    dead.map(|(path, _)| {
        let what = "no module names this file, so nothing compiles it";
        Finding::error(path, 1, what, "declare it with `mod`, or delete it")
    })
    .collect()
}

/// The folder a file lies in, and the folder of the modules it declares.
fn module_folder(path: &str) -> (&str, String) {
    let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
    let stem = name.strip_suffix(".rs").unwrap_or(name);
    let here = matches!(stem, "lib" | "main" | "mod" | "build") || is_root(path);
    (folder, if here { folder.to_owned() } else { format!("{folder}/{stem}") })
}

/// Files that cargo itself compiles: no module has to name them.
fn is_root(path: &str) -> bool {
    let parts: Vec<&str> = path.split('/').collect();
    match parts.as_slice() {
        [.., "src", "lib.rs" | "main.rs"] | [.., "build.rs"] | [.., "src", "bin", _] => true,
        [.., "src", "bin", _, "main.rs"] => true,
        [.., "tests" | "benches" | "examples" | "fuzz_targets", _] => !parts.contains(&"src"),
        [.., "tests" | "benches" | "examples", _, "main.rs"] => !parts.contains(&"src"),
        _ => false,
    }
}

/// Protocols without a fuzz target or without conversations.
fn protocols(paths: &[String]) -> Vec<Finding> {
    let names: BTreeSet<&str> = paths
        .iter()
        .filter_map(|path| path.strip_prefix("protocols/")?.split_once('/'))
        .map(|(name, _)| name)
        .collect();
    let mut findings = Vec::new();
    for name in names {
        let manifest = format!("protocols/{name}/Cargo.toml");
        let target = |path: &String| {
            let file = path.strip_prefix("fuzz/fuzz_targets/").unwrap_or_default();
            file == format!("{name}.rs") || file.starts_with(&format!("{name}_"))
        };
        if !paths.iter().any(target) {
            let remedy = format!("write fuzz/fuzz_targets/{name}.rs and its [[bin]]");
            findings.push(Finding::error(&manifest, 1, "a protocol without a fuzz target", remedy));
        }
        // The SQL library speaks to nobody, so it has no conversations.
        let testdata = format!("protocols/{name}/testdata/");
        if name != "sql" && !paths.iter().any(|path| path.starts_with(&testdata)) {
            let remedy = format!("write who said what, in order, in {testdata}");
            findings.push(Finding::error(&manifest, 1, "a protocol without conversations", remedy));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(names: &[(&str, &str)]) -> Vec<(String, String)> {
        names.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect()
    }

    fn lines(findings: &[Finding]) -> Vec<usize> {
        findings.iter().map(|finding| finding.line).collect()
    }

    #[test]
    fn a_line_may_have_a_hundred_columns_and_not_one_more() {
        let text = format!("{}\n{}\n{}\n", "é".repeat(100), "a".repeat(101), "b");
        assert_eq!(lines(&long_lines("a.rs", &text)), [2]);
    }

    #[test]
    fn banned_words_are_found_in_code_but_not_in_comments_and_strings() {
        let code = format!(
            "// {0}(x)]\nlet a = \"{1}()\";\n    {0}(dead_code)]\n{1}()\nmy_{1}()\n",
            concat!("#[", "allow"),
            concat!("todo", "!"),
        );
        assert_eq!(lines(&banned_words("a.rs", &code)), [3, 4]);
    }

    #[test]
    fn machine_paths_are_found_in_code_and_prose_but_not_in_tests_or_addresses() {
        let folder = MACHINE_PATHS[0];
        let code = format!(
            "let a = \"{folder}x\";\n// see {folder}y\nlet b = \"https://a.example{folder}\";\n\
             #[cfg(test)]\nmod tests {{\n    const A: &str = \"{folder}\";\n}}\n"
        );
        assert_eq!(lines(&machine_paths_in_code("src/a.rs", &code)), [1, 2]);
        assert!(machine_paths_in_code("tests/a.rs", &code).is_empty());
        assert!(!contains_path(&format!("./var{folder}"), folder));
    }

    #[test]
    fn files_that_no_module_names_are_dead() {
        let found = dead_files(&files(&[
            ("a/src/lib.rs", "mod b;\n#[cfg(test)]\nmod tests;\n// mod e;\n"),
            ("a/src/b.rs", "pub(crate) mod c;"),
            ("a/src/b/c.rs", ""),
            ("a/src/d.rs", ""),
            ("a/src/e.rs", ""),
            ("a/src/c.rs", ""),
            ("a/src/tests.rs", ""),
            ("a/src/bin/tool.rs", ""),
            ("a/tests/one.rs", "mod shared;"),
            ("a/tests/shared/mod.rs", ""),
            ("a/tests/other/mod.rs", ""),
            ("a/build.rs", ""),
            ("fuzz/fuzz_targets/x.rs", ""),
        ]));
        let paths: Vec<&str> = found.iter().map(|finding| finding.path.as_str()).collect();
        assert_eq!(paths, ["a/src/d.rs", "a/src/e.rs", "a/src/c.rs", "a/tests/other/mod.rs"]);
    }

    #[test]
    fn a_page_names_tests_that_there_are() {
        let files = [("a.rs".to_owned(), "fn p1_is_there() {}".to_owned())];
        let text = "| `p1_is_there`, `tests/x.rs` |\n| `p1_is_gone`, `p1_is_there_not` |";
        assert_eq!(lines(&named_tests("docs/x.md", text, &files)), [2, 2]);
    }

    #[test]
    fn large_files_are_found_unless_they_are_listed() {
        assert!(blob("a.png", BLOB_BYTES_MAX, &[]).is_none());
        assert!(blob("a.png", BLOB_BYTES_MAX + 1, &[]).is_some());
        assert!(blob("a.png", BLOB_BYTES_MAX + 1, &["a.png".to_owned()]).is_none());
        assert!(blob("Cargo.lock", BLOB_BYTES_MAX + 1, &[]).is_none());
    }

    #[test]
    fn long_files_are_only_a_warning() {
        assert!(long_file("a.rs", &"\n".repeat(LINES_MAX)).is_none());
        let found = long_file("a.rs", &"\n".repeat(LINES_MAX + 1)).unwrap();
        assert_eq!(found.level, crate::finding::Level::Warning);
    }

    #[test]
    fn a_protocol_has_a_fuzz_target_and_conversations_and_sql_only_the_former() {
        let paths = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
        let bare = paths(&["protocols/redis/Cargo.toml", "protocols/sql/Cargo.toml"]);
        assert_eq!(protocols(&bare).len(), 3);
        let whole = paths(&[
            "protocols/redis/Cargo.toml",
            "protocols/redis/testdata/hello.txt",
            "protocols/sql/Cargo.toml",
            "fuzz/fuzz_targets/redis_client.rs",
            "fuzz/fuzz_targets/sql.rs",
        ]);
        assert!(protocols(&whole).is_empty());
    }
}
