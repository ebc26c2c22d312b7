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

#[test]
fn p2_rules_see_the_columns_of_a_relation_that_hides_another() {
    let catalog = sample();
    for text in [
        "SELECT * FROM customers",
        "SELECT customers FROM customers",
        "SELECT c.* FROM customers c",
        "SELECT label FROM customers WHERE id = 1",
        "UPDATE customers SET label = 'x' WHERE id = 1",
        "INSERT INTO customers (id, label) VALUES (1, 'x')",
        "INSERT INTO customers VALUES (1, 'x')",
        "TABLE customers",
    ] {
        let alone = judged(text, &["app"], &catalog).facts;
        let hiding = judged(text, &["app", "public"], &catalog).facts;
        for column in &alone.columns {
            assert!(hiding.columns.contains(column), "{text}: {column} of {:?}", hiding.columns);
        }
        assert_eq!(alone.tables, hiding.tables, "{text}");
        assert_eq!(alone.unfiltered, hiding.unfiltered, "{text}");
    }
}

/// A duplicate key in the one that is written would answer a guess at what it has.
#[test]
fn p3_what_is_written_under_a_name_of_several_names_its_schema() {
    let catalog = sample();
    let masked = |id: sql::ColumnId| id.relation == 20_001 && id.attnum == 4;
    for text in [
        "INSERT INTO customers (id) VALUES (1)",
        "UPDATE customers SET id = 1 WHERE id = 2",
        "DELETE FROM customers WHERE id = 2",
        "MERGE INTO customers c USING public.notes n ON c.id = n.id WHEN MATCHED THEN DELETE",
    ] {
        let refused = |path: &[&str]| {
            let written = judged(text, path, &catalog);
            sql::exposure(&written, &masked, &|_| sql::Predicates::Equality)
                .err()
                .map(|untraceable| untraceable.reason)
        };
        assert_eq!(refused(&["app", "public"]), Some("unknown_object"), "{text}");
        // The other one has nothing masked.
        assert_eq!(refused(&["public", "app"]), None, "{text}");
        assert_eq!(refused(&["public"]), None, "{text}");
        assert_eq!(refused(&["app"]), None, "{text}");
    }
}

#[test]
fn p3_a_view_carries_the_settings_that_it_changes() {
    let mut data = CatalogData::from(sample());
    for (oid, name, call) in [
        (70_001, "moves", "set_config('search_path'::text, 'public'::text, false)"),
        (70_002, "marks", "set_config('app.user'::text, 'ada'::text, true)"),
        (70_003, "computed", "set_config(n.body, 'x'::text, true)"),
    ] {
        let text = format!("SELECT {call} AS s FROM public.notes n");
        let view = Relation::new(oid, RelationKind::View, "public", name, &[("s", 25)]);
        data.relations.push(view.defined(&text));
    }
    let catalog = Catalog::new(data);
    for (name, path, role, setting) in [
        ("moves", true, false, "search_path"),
        ("marks", false, false, "app.user"),
        ("computed", true, true, "?"),
    ] {
        let facts = judged(&format!("SELECT * FROM {name}"), &["public"], &catalog).facts;
        assert_eq!((facts.changes_search_path, facts.role_change), (path, role), "{name}");
        assert!(facts.sets.iter().any(|(set, _)| &**set == setting), "{name}: {:?}", facts.sets);
    }
}
