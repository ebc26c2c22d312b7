//! Statements and what is known of them, side by side in `testdata/golden.txt`.
//!
//! A statement starts at the margin, what is known follows indented. On a difference the whole file
//! as it would be now is written beside the test's build output, to be read before it is taken
//! over.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on must say so")]

use std::fmt::Write as _;
use std::io::Write as _;

use sql::{Catalog, ColumnId, Options, OutputColumn, SearchPath, Statement, analyse, sample};

const GOLDEN: &str = include_str!("../testdata/golden.txt");

#[test]
fn statements_have_the_facts_and_lineage_written_down() {
    let catalog = sample();
    let mut actual = String::new();
    let mut count = 0;
    for line in GOLDEN.lines() {
        if line.starts_with('#') || line.is_empty() {
            actual.push_str(line);
            actual.push('\n');
        } else if !line.starts_with(' ') {
            count += 1;
            actual.push_str(line);
            actual.push('\n');
            actual.push_str(&describe(&catalog, line));
        }
    }
    assert!(count >= 120, "only {count} statements");
    if actual != GOLDEN {
        let path = concat!(env!("CARGO_TARGET_TMPDIR"), "/golden.txt");
        let mut file = std::fs::File::create(path).unwrap();
        file.write_all(actual.as_bytes()).unwrap();
        for (old, new) in GOLDEN.lines().zip(actual.lines()) {
            assert_eq!(old, new, "the first difference; all of it is in {path}");
        }
        panic!("lines are missing; compare {path}");
    }
}

fn describe(catalog: &Catalog, text: &str) -> String {
    let path = SearchPath::of(&["public"]);
    let options = Options { standard_conforming_strings: true, search_path: &path, role: "app" };
    let mut out = String::new();
    match analyse(text, &options, catalog) {
        Err(error) => {
            let at = error.position.map(|at| format!(" at {at}")).unwrap_or_default();
            writeln!(out, "  {}{at}: {}", error.reason, error.message).unwrap();
        }
        Ok(found) => {
            for statement in &found.list {
                one(catalog, statement, &mut out);
            }
        }
    }
    out
}

fn one(catalog: &Catalog, statement: &Statement, out: &mut String) {
    let facts = &statement.facts;
    let mut line = format!("  {}", facts.verbs.join("+"));
    let mut list = |label: &str, items: &[std::sync::Arc<str>]| {
        if !items.is_empty() {
            write!(line, "; {label} {}", items.join(" ")).unwrap();
        }
    };
    list("reads", &facts.reads);
    list("writes", &facts.writes);
    list("columns", &facts.columns);
    list("functions", &facts.functions);
    list("unfiltered", &facts.unfiltered);
    list("backends", &facts.other_backends);
    list("unresolved", &facts.unresolved);
    if let Some(rows) = facts.rows {
        write!(line, "; rows {rows}").unwrap();
    }
    let server = facts.server_access.join(" ");
    let flags = [
        (facts.read_only, "read-only"),
        (facts.dynamic, "dynamic"),
        (facts.ddl, "ddl"),
        (facts.role_change, "role"),
        (facts.changes_search_path, "path"),
        (!server.is_empty(), server.as_str()),
    ];
    for (_, word) in flags.iter().filter(|(on, _)| *on) {
        write!(line, "; {word}").unwrap();
    }
    writeln!(out, "{line}").unwrap();
    for column in statement.outputs.columns.iter().flatten().chain(&statement.outputs.every) {
        writeln!(out, "    -> {}", output(catalog, column)).unwrap();
    }
    for opaque in &statement.opaque {
        writeln!(out, "    opaque {}: {}", opaque.reason, opaque.object).unwrap();
    }
    for used in &statement.uses {
        writeln!(out, "    {} in {:?}", used.name, used.place).unwrap();
    }
    for guess in &statement.guesses {
        writeln!(out, "    guess {} {:?}", name(catalog, guess.column), guess.operand).unwrap();
    }
}

fn output(catalog: &Catalog, column: &OutputColumn) -> String {
    let mut text = column.name.as_deref().unwrap_or("*").to_owned();
    let direct = if column.direct.is_some() { "= " } else { "" };
    let deps: Vec<String> = column.deps.iter().map(|id| name(catalog, *id)).collect();
    write!(text, ": {direct}{}", deps.join(" ")).unwrap();
    if column.unknown {
        text.push_str(" and unknown");
    }
    text.trim_end().to_owned()
}

fn name(catalog: &Catalog, id: ColumnId) -> String {
    let (relation, column) = catalog.column(id).unwrap();
    format!("{}.{}.{}", relation.schema, relation.name, column.name)
}
