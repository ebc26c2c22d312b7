//! P3: what is kept in the catalog and run later: functions in views, defaults and checks.

#![expect(clippy::panic, clippy::unwrap_used, clippy::indexing_slicing, reason = "as in all tests")]

use sql::{
    Catalog, CatalogData, Function, Options, Predicates, Relation, RelationKind, SearchPath,
    Statements, Type, TypeKind, analyse, exposure, masked_columns, sample,
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
    // Defaults of arguments, a label that is not true, an aggregate, a path of one's own.
    let mut given = Function::new(34_105, "given", "sql", Some("SELECT 'x' || a")).taking(&["a"]);
    given.defaults = Some("public.copies()".into());
    let mut moving = Function::new(34_106, "given_path", "sql", Some("SELECT a")).taking(&["a"]);
    moving.defaults = Some("public.moves()::text".into());
    let mut stable = Function::new(34_107, "stable", "plpgsql", None);
    stable.volatility = 's';
    let mut gathers = Function::new(34_108, "gathers", "internal", None).taking(&["a"]);
    (gathers.aggregate, gathers.volatility) = (true, 'i');
    let own = Some("SELECT body FROM letters WHERE id = 1");
    let mut own = Function::new(34_109, "own_path", "sql", own);
    own.own_path = true;
    let set = Function::new(34_110, "sets", "sql", None);
    data.functions.extend([given, moving, stable, gathers, own, set]);
    let mut filled = |oid, name: &str, default: &str| {
        let mut relation = Relation::new(oid, RelationKind::Table, "public", name, COLUMNS);
        relation.columns[1].default = Some(default.into());
        data.relations.push(relation);
    };
    filled(34_009, "given_rows", "public.given()");
    filled(34_010, "moved_rows", "public.moves()::text");
    filled(34_011, "own_rows", "public.own_path()");
    filled(34_012, "set_rows", "public.sets()");
    filled(34_013, "acted_rows", "public.acts()");
    let view = |oid, name: &str, text: &str| {
        Relation::new(oid, RelationKind::View, "public", name, COLUMNS).defined(text)
    };
    data.relations.extend([
        view(
            34_014,
            "given_view",
            "SELECT letters.id FROM public.letters WHERE public.given() = ''",
        ),
        view(
            34_015,
            "stable_view",
            "SELECT letters.id FROM public.letters WHERE public.stable() = ''",
        ),
        view(
            34_016,
            "gathered_view",
            "SELECT letters.id FROM public.letters GROUP BY letters.id \
             HAVING public.gathers(letters.body) IS NULL",
        ),
        view(
            34_017,
            "of_stats",
            "SELECT 1 AS id, pg_stats.most_common_vals::text AS body FROM pg_stats",
        ),
    ]);
    // The first is the one above.
    data.relations.push(view(34_100, "deep_0", "SELECT copying.id FROM public.copying"));
    for at in 1..40 {
        let text = format!("SELECT deep_{0}.id FROM public.deep_{0}", at - 1);
        data.relations.push(view(34_100 + at, &format!("deep_{at}"), &text));
    }
    let copied = Some("public.copies()".into());
    let kind = TypeKind::Domain(25);
    data.types.push(Type { oid: 34_200, name: "copied".into(), kind, default: copied });
    data.builtin_relations = ["pg_attribute", "pg_stats", "pg_class"].map(Into::into).into();
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
fn p3_defaults_of_arguments_are_given_as_if_they_were_written() {
    let catalog = letters();
    for text in ["SELECT given()", "SELECT id FROM given_view", "INSERT INTO given_rows VALUES (1)"]
    {
        assert_eq!(told(text, &catalog), Err("moved"), "{text}");
    }
    assert_eq!(told("SELECT given('a')", &catalog), Ok(vec![]));
    let moved = "SELECT given_path() AS x, letter() AS body";
    assert_eq!(told(moved, &catalog), Ok(vec!["body".into()]));
}

#[test]
fn p3_labels_of_functions_are_not_believed() {
    let catalog = letters();
    for text in ["SELECT id FROM stable_view", "SELECT count(*) FROM gathered_view"] {
        assert_eq!(told(text, &catalog), Err("opaque_function"), "{text}");
    }
}

#[test]
fn p3_defaults_in_sql_are_followed_or_refused() {
    let catalog = letters();
    assert_eq!(told("TABLE own_rows", &catalog), Ok(vec!["body".into()]));
    assert_eq!(told("SELECT own_path()", &catalog), Ok(vec!["own_path".into()]));
    assert_eq!(told("INSERT INTO set_rows VALUES (1)", &catalog), Err("opaque_function"));
    for text in [
        "ALTER TABLE made ADD COLUMN x copied",
        "ALTER TABLE made ADD COLUMN x public.copied NOT NULL",
        "CREATE TABLE t (x copied)",
    ] {
        assert_eq!(told(text, &catalog), Err("moved"), "{text}");
    }
    // The guide says that these are not followed.
    assert_eq!(told("INSERT INTO acted_rows VALUES (1)", &catalog), Ok(vec![]));
    let moved = "INSERT INTO moved_rows (id) VALUES (1) RETURNING letter() AS x";
    assert_eq!(told(moved, &catalog), Ok(vec!["x".into()]));
}

#[test]
fn p3_views_deeper_than_they_are_followed_are_refused() {
    let catalog = letters();
    for at in [1, 20, 30, 35, 39] {
        assert!(told(&format!("SELECT count(*) FROM deep_{at}"), &catalog).is_err(), "{at}");
    }
}

#[test]
fn p3_relations_with_names_of_postgresqls_do_not_stand_for_them() {
    let mut data = CatalogData::from(sample());
    data.builtin_relations = ["pg_attribute", "pg_stats", "pg_class"].map(Into::into).into();
    let columns: &[(&str, u32)] = &[("most_common_vals", 25), ("attmissingval", 25)];
    let table = |oid, schema: &str, name: &str| {
        Relation::new(oid, RelationKind::Table, schema, name, columns)
    };
    let mut temp = table(35_002, "pg_temp_3", "pg_attribute");
    temp.temp = true;
    data.relations.extend([
        table(35_000, "public", "pg_stats"),
        table(35_001, "tenant", "pg_attribute"),
        temp,
        table(34_001, "tenant", "letters"),
        Relation::new(35_003, RelationKind::View, "public", "of_stats", columns)
            .defined("SELECT pg_stats.most_common_vals::text FROM pg_stats"),
    ]);
    let catalog = Catalog::new(data);
    for text in [
        "SELECT most_common_vals FROM pg_stats",
        "SELECT most_common_vals FROM of_stats",
        "SELECT attmissingval FROM pg_attribute",
        "DROP TABLE letters; SELECT most_common_vals FROM pg_stats",
    ] {
        assert!(told(text, &catalog).is_err(), "{text}");
    }
    assert_eq!(told("SELECT most_common_vals FROM public.pg_stats", &catalog), Ok(vec![]));
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
