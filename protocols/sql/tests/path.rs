//! P3: names along `search_path`, and what changes settings.

#![expect(clippy::panic, reason = "a test that cannot go on must say so")]

use sql::{
    Catalog, CatalogData, Options, Relation, RelationKind, SearchPath, Statement, analyse,
    is_clear, sample,
};

fn judged(text: &str, path: &[&str], catalog: &Catalog) -> Statement {
    let path = SearchPath::of(path);
    let options = Options { standard_conforming_strings: true, search_path: &path, role: "app" };
    let statements = analyse(text, &options, catalog);
    let statements = statements.unwrap_or_else(|wrong| panic!("{text}: {}", wrong.message));
    let Some(last) = statements.list.into_iter().next_back() else { panic!("{text}") };
    last
}

fn relations(statement: &Statement) -> Vec<u32> {
    let columns = statement.outputs.columns.iter().flatten().chain(&statement.outputs.every);
    let mut all: Vec<u32> = columns.flat_map(|c| c.deps.iter().map(|id| id.relation)).collect();
    all.sort_unstable();
    all.dedup();
    all
}

/// The server may pass over the first one, keep a plan of before it was made, or another session may
/// drop it before the statement runs.
#[test]
fn p3_a_relation_that_another_hides_is_looked_at_too() {
    let catalog = sample();
    let nothing = |_| false;
    for (path, deps) in [
        (["app", "public"].as_slice(), [20_001, 20_004].as_slice()),
        (&["public", "app"], &[20_001, 20_004]),
        (&["app"], &[20_004]),
        (&["public"], &[20_001]),
    ] {
        let read = judged("SELECT id FROM customers", path, &catalog);
        assert_eq!(relations(&read), deps, "{path:?}");
        assert_eq!(read.facts.reads.len(), 1, "rules see the one that is meant: {path:?}");
        assert_eq!(is_clear(&read, &catalog, &nothing), deps.len() == 1, "{path:?}");
    }
    let read = judged("SELECT ssn FROM customers", &["app", "public"], &catalog);
    assert_eq!(relations(&read), [20_001], "a column is that of its name");
    let read = judged("SELECT id FROM app.customers", &["app", "public"], &catalog);
    assert_eq!(relations(&read), [20_004]);
}

#[test]
fn p3_temporary_tables_of_others_do_not_stand_before_stored_ones() {
    let mut data = CatalogData::from(sample());
    let mut table =
        Relation::new(70_001, RelationKind::Table, "pg_temp_3", "customers", &[("ssn", 25)]);
    table.temp = true;
    data.relations.push(table);
    let catalog = Catalog::new(data);
    for path in [["pg_temp", "public"].as_slice(), &["public", "pg_temp"], &["public"]] {
        let read = judged("SELECT ssn FROM customers", path, &catalog);
        assert_eq!(relations(&read), [20_001, 70_001], "{path:?}");
    }
}

#[test]
fn p3_a_view_over_pg_settings_sets_like_it() {
    let mut data = CatalogData::from(sample());
    for (oid, name, of) in [(70_001, "ps", "pg_settings"), (70_002, "pps", "public.ps")] {
        let columns = [("name", 25), ("setting", 25)];
        data.relations.push(
            Relation::new(oid, RelationKind::View, "public", name, &columns)
                .defined(&format!("SELECT s.name, s.setting FROM {of} s")),
        );
    }
    let catalog = Catalog::new(data);
    for name in ["pg_settings", "pg_catalog.pg_settings", "ps", "public.pps"] {
        let text = format!("UPDATE {name} SET setting = 'public' WHERE name = 'search_path'");
        let facts = judged(&text, &["public"], &catalog).facts;
        assert!(facts.changes_search_path && facts.role_change, "{name}");
        assert!(facts.sets.iter().any(|(setting, _)| &**setting == "?"), "{name}");
    }
    let facts = judged("UPDATE notes SET body = 'x'", &["public"], &catalog).facts;
    assert!(!facts.changes_search_path && facts.sets.is_empty());
}
