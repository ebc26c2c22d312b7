//! P3: what is kept in the catalog and run later: functions in views, defaults and checks.

#![expect(clippy::panic, clippy::unwrap_used, clippy::indexing_slicing, reason = "as in all tests")]

use sql::{
    Catalog, CatalogData, Function, Options, Predicates, Relation, RelationKind, SearchPath,
    Statements, analyse, exposure, masked_columns, sample,
};

fn parsed(text: &str, catalog: &Catalog) -> Statements {
    let path = SearchPath::of(&["public"]);
    let options = Options { standard_conforming_strings: true, search_path: &path, role: "app" };
    analyse(text, &options, catalog).unwrap_or_else(|error| panic!("{text}: {error:?}"))
}

/// A name in two schemas, and functions that look it up by the path of whoever runs them.
fn letters() -> Catalog {
    let mut data = CatalogData::from(sample());
    const COLUMNS: &[(&str, u32)] = &[("id", 23), ("body", 25)];
    data.relations.extend([
        Relation::new(34_000, RelationKind::Table, "public", "letters", COLUMNS),
        Relation::new(34_001, RelationKind::Table, "tenant", "letters", COLUMNS),
    ]);
    let body = Some("SELECT body FROM letters WHERE id = 1");
    data.functions.push(Function::new(34_100, "letter", "sql", body));
    let body = Some("SELECT set_config('search_path', 'tenant, public', false) IS NULL");
    data.functions.push(Function::new(34_101, "moves", "sql", body));
    let body = Some("INSERT INTO public.letters SELECT 9, body FROM tenant.letters; SELECT 'x'");
    data.functions.push(Function::new(34_102, "copies", "sql", body));
    data.functions.push(Function::new(34_103, "acts", "plpgsql", None));
    let view = |oid, name: &str, text: &str| {
        Relation::new(oid, RelationKind::View, "public", name, COLUMNS).defined(text)
    };
    data.relations.extend([
        view(34_002, "of_letter", "SELECT letters.id, public.letter() AS body FROM public.letters"),
        view(34_003, "moving", "SELECT 1 AS id, public.moves()::text AS body"),
        view(34_004, "copying", "SELECT letters.id, public.copies() AS body FROM public.letters"),
        view(
            34_005,
            "acting",
            "SELECT letters.id, letters.body FROM public.letters WHERE public.acts() IS NULL",
        ),
    ]);
    let mut filled = Relation::new(34_006, RelationKind::Table, "public", "filled", COLUMNS);
    filled.columns[1].default = Some("public.copies()".into());
    let mut numbered = Relation::new(34_007, RelationKind::Table, "public", "numbered", COLUMNS);
    let body = Some("UPDATE public.letters SET id = id; SELECT body FROM tenant.letters");
    data.functions.push(Function::new(34_104, "next_letter", "sql", body));
    numbered.columns[1].default = Some("public.next_letter()".into());
    let mut made = Relation::new(34_008, RelationKind::Table, "public", "made", COLUMNS);
    made.columns[1].generated = Some("public.letter()".into());
    data.relations.extend([filled, numbered, made]);
    Catalog::new(data)
}

fn is_tenants(schema: &str, table: &str, column: &str) -> bool {
    (schema, table, column) == ("tenant", "letters", "body")
}

/// Why `text` is refused to somebody from whom `tenant.letters.body` is masked; the names of the
/// columns that are masked in it where it is not.
fn told(text: &str, catalog: &Catalog) -> Result<Vec<String>, &'static str> {
    let masks = masked_columns(catalog, is_tenants);
    let statements = parsed(text, catalog);
    let statement = statements.list.last().unwrap();
    exposure(statement, &|id| masks.contains(&id), &|_| Predicates::Refuse)
        .map_err(|refused| refused.reason)?;
    let columns = statement.outputs.columns.iter().flatten();
    let masked = columns.filter(|column| column.deps.iter().any(|id| masks.contains(id)));
    Ok(masked.filter_map(|column| column.name.as_deref().map(str::to_owned)).collect())
}

#[test]
fn p3_bodies_in_what_is_stored_are_walked_under_any_path() {
    let catalog = letters();
    // Directly, the session's own path says which table it is.
    assert_eq!(told("SELECT letter()", &catalog), Ok(vec![]));
    assert_eq!(told("SELECT * FROM of_letter", &catalog), Ok(vec!["body".into()]));
    assert_eq!(told("SELECT * FROM made", &catalog), Ok(vec!["body".into()]));
    for text in [
        "CREATE VIEW v AS SELECT letter() AS x",
        "CREATE TABLE t (v text, CHECK (letter() LIKE v))",
        "CREATE TABLE t (v text DEFAULT letter())",
        "ALTER TABLE letters ALTER body SET DEFAULT letter()",
    ] {
        assert!(told(text, &catalog).is_err(), "{text}");
    }
}

#[test]
fn p3_a_statement_that_changes_the_path_runs_its_functions_under_any() {
    let catalog = letters();
    for text in [
        "SELECT set_config('search_path', 'tenant', false) AS s, letter() AS body",
        "SELECT moves() AS s, letter() AS body",
        "SELECT m.id, letter() AS body FROM moving m",
    ] {
        assert_eq!(told(text, &catalog), Ok(vec!["body".into()]), "{text}");
    }
    let moved =
        "INSERT INTO notes (id) SELECT 1 WHERE set_config('search_path', 'a', true) = letter()";
    assert!(told(moved, &catalog).is_err());
    assert_eq!(told("SELECT set_config('my.x', 'y', false), letter()", &catalog), Ok(vec![]));
}

#[test]
fn p3_what_functions_do_is_done_by_views_and_defaults_too() {
    let catalog = letters();
    for text in [
        "SELECT copies()",
        "SELECT id FROM copying",
        "SELECT count(*) FROM copying",
        "UPDATE copying SET id = 2",
        "INSERT INTO filled (id) VALUES (1)",
    ] {
        assert_eq!(told(text, &catalog), Err("moved"), "{text}");
    }
    assert_eq!(told("SELECT id FROM acting", &catalog), Err("opaque_function"));
    let returned = "INSERT INTO numbered (id) VALUES (1) RETURNING *";
    assert_eq!(told(returned, &catalog), Ok(vec!["body".into()]));
}

#[test]
fn p3_the_catalog_keeps_values_of_columns_that_were_added() {
    let catalog = letters();
    let text = "SELECT attname, attmissingval FROM pg_attribute";
    assert_eq!(told(text, &catalog), Ok(vec!["attmissingval".into()]));
    assert!(
        told("SELECT 1 FROM pg_attribute WHERE attmissingval::text LIKE 'x%'", &catalog).is_err()
    );
    assert_eq!(told("SELECT attname FROM pg_attribute", &catalog), Ok(vec![]));
}
