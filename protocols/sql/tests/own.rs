//! R7: tables that a session made itself and has not committed.

#![expect(clippy::panic, reason = "a test that cannot go on must say so")]

use sql::{
    Catalog, CatalogData, Options, Relation, RelationKind, SearchPath, Statements, analyse, sample,
};

fn analysed(text: &str, catalog: &Catalog) -> Statements {
    let path = SearchPath::of(&["public"]);
    let options = Options { standard_conforming_strings: true, search_path: &path, role: "app" };
    analyse(text, &options, catalog).unwrap_or_else(|wrong| panic!("{text}: {}", wrong.message))
}

/// Its name and columns, when it is followed.
fn followed(text: &str) -> Option<String> {
    let statements = analysed(text, &sample());
    let table = statements.list.first()?.creates.clone()?;
    let columns = table.columns.iter().map(|column| {
        let unique = if column.unique { "!" } else { "" };
        format!("{}:{}{unique}", column.name, column.type_oid)
    });
    let columns: Vec<String> = columns.collect();
    Some(format!("{}.{}({})", table.schema, table.name, columns.join(" ")))
}

#[test]
fn r7_what_is_certain_from_the_text_is_followed() {
    for (text, table) in [
        ("CREATE TABLE t (a int, b text NOT NULL)", "public.t(a:23 b:25)"),
        ("CREATE TEMP TABLE t (a serial PRIMARY KEY) ON COMMIT DROP", "pg_temp.t(a:23!)"),
        ("CREATE TABLE app.t (a varchar(9) DEFAULT 'x', UNIQUE (a))", "app.t(a:1043!)"),
        ("CREATE UNLOGGED TABLE t (a numeric(8, 2) DEFAULT 0, b date)", "public.t(a:1700 b:1082)"),
        ("CREATE TABLE t (a text[], b int[3][3])", "public.t(a:1009 b:1007)"),
        ("CREATE TABLE t (a int PRIMARY KEY, b int REFERENCES t)", "public.t(a:23! b:23!)"),
        ("CREATE TABLE app.t (a int, FOREIGN KEY (a) REFERENCES app.t (a))", "app.t(a:23)"),
        ("CREATE TABLE t (a int CHECK (a > 0 AND NOT a IS NULL))", "public.t(a:23)"),
        ("CREATE TABLE t AS SELECT id, name AS n FROM customers", "public.t(id:23 n:25)"),
        ("CREATE TABLE t (x, y) AS SELECT id, name FROM customers", "public.t(x:23 y:25)"),
    ] {
        assert_eq!(followed(text).as_deref(), Some(table), "{text}");
    }
    for text in [
        // A name that something has already, in whatever schema, or that PostgreSQL may have.
        "CREATE TABLE notes (a int)",
        "CREATE TEMP TABLE customers (a int)",
        "CREATE TABLE pg_stats (a int)",
        // It may not be this one.
        "CREATE TABLE IF NOT EXISTS t (a int)",
        // More than is in the text.
        "CREATE TABLE t (LIKE customers)",
        "CREATE TABLE t () INHERITS (customers)",
        "CREATE TABLE t PARTITION OF events DEFAULT",
        "CREATE TABLE t (a int) PARTITION BY LIST (a)",
        "CREATE TABLE t (a customers)",
        "CREATE TABLE t (a hstore[])",
        "CREATE TABLE t AS SELECT lower(name) AS n FROM customers",
        "CREATE VIEW t AS SELECT 1 AS a",
        // What runs, or asks, when rows are written.
        "CREATE TABLE t (a text DEFAULT ssn_of('1'))",
        "CREATE TABLE t (a int CHECK (a + 1 > 0))",
        "CREATE TABLE t (a text CHECK (a LIKE 'x%'))",
        "CREATE TABLE t (a int CHECK (a OPERATOR(app.>) 0))",
        "CREATE TABLE t (a int CHECK (abs(a) > 0))",
        "CREATE TABLE t (a int, b int GENERATED ALWAYS AS (a + 1) STORED)",
        "CREATE TABLE t (a text REFERENCES vault)",
        "CREATE TABLE t (a int, EXCLUDE USING gist (a WITH =))",
    ] {
        assert_eq!(followed(text), None, "{text}");
    }
}

#[test]
fn r7_statements_after_it_in_the_text_know_it() {
    let catalog = sample();
    let text = "CREATE TABLE a (id int PRIMARY KEY); CREATE TABLE b (of int REFERENCES a, x text); \
                INSERT INTO b SELECT id, name FROM customers; SELECT x, b.* FROM b JOIN a ON of = id";
    let statements = analysed(text, &catalog);
    for statement in &statements.list {
        assert!(statement.opaque.is_empty(), "{:?}", statement.opaque);
        assert!(statement.facts.unresolved.is_empty(), "{:?}", statement.facts.unresolved);
    }
    let outputs = statements.list.last().and_then(|last| last.outputs.columns.clone());
    let names: Vec<_> = outputs.into_iter().flatten().filter_map(|column| column.name).collect();
    assert_eq!(names.iter().map(|name| &**name).collect::<Vec<_>>(), ["x", "of", "x"]);
    assert!(catalog.named("a").next().is_none(), "the snapshot is as it was");
}

#[test]
fn r7_tables_of_one_name_in_two_schemas_are_both_known() {
    let text = "CREATE TABLE public.t (id int PRIMARY KEY, up int REFERENCES t); \
                CREATE TABLE app.t (code text, of int REFERENCES public.t); \
                CREATE UNIQUE INDEX ON app.t (code); SELECT code FROM app.t; SELECT id FROM public.t; \
                CREATE TABLE app.t (again int); SELECT code FROM app.t";
    let statements = analysed(text, &sample());
    let known: Vec<_> = statements.list.iter().map(|one| one.creates.is_some()).collect();
    assert_eq!(known, [true, true, false, false, false, false, false]);
    for statement in statements.list.iter().take(5) {
        assert!(statement.opaque.is_empty(), "{:?}", statement.opaque);
        assert!(statement.facts.unresolved.is_empty(), "{:?}", statement.facts.unresolved);
    }
    let reads: Vec<String> =
        statements.list.iter().map(|statement| statement.facts.reads.join(" ")).collect();
    assert_eq!(reads.get(3..5), Some(&["app.t".to_owned(), "public.t".to_owned()][..]));
}

#[test]
fn r7_what_the_snapshot_has_by_now_is_not_ones_own() {
    let statements = analysed("CREATE TABLE t (a int)", &sample());
    let Some(table) = statements.list.first().and_then(|one| one.creates.clone()) else {
        panic!("it is followed");
    };
    let with = sample().with_own([&*table]);
    assert!(with.named("t").all(|relation| relation.oid >= sql::own::FIRST_OID));
    let again = with.with_own([&*table]);
    assert_eq!(again.named("t").count(), 1, "a name means one table");
}

#[test]
fn p8_only_so_many_are_followed() {
    let many = sql::own::TABLES_MAX + 3;
    let mut text: String = (0..many).map(|n| format!("CREATE TABLE t{n} (a int); ")).collect();
    text.push_str(&format!("SELECT a FROM t{}", many - 1));
    let statements = analysed(&text, &sample());
    let last = statements.list.last().map(|last| last.facts.unresolved.len());
    assert_eq!(last, Some(1), "the last is not known");
}

#[test]
fn p3_names_after_a_change_of_the_path_or_of_definitions_may_be_any() {
    let catalog = sample();
    for before in [
        "SET search_path = app",
        "SELECT set_config('search_path', 'app', false)",
        "RESET ALL",
        "EXECUTE something",
        "DROP TABLE app.customers",
        "ALTER TABLE app.customers RENAME TO others",
        "ALTER SCHEMA app RENAME TO other",
        "BEGIN; SET LOCAL search_path = app; ROLLBACK",
    ] {
        let text = format!("{before}; SELECT id FROM customers");
        let statements = analysed(&text, &catalog);
        let reads = statements.list.last().map(|last| last.facts.reads.join(" "));
        assert_eq!(reads.as_deref(), Some("app.customers public.customers"), "{text}");
    }
    for before in ["SET work_mem = '1MB'", "CREATE TABLE t (a int)", "DROP TABLE IF EXISTS nosuch"]
    {
        let text = format!("{before}; SELECT id FROM customers");
        let statements = analysed(&text, &catalog);
        let reads = statements.list.last().map(|last| last.facts.reads.join(" "));
        assert_eq!(reads.as_deref(), Some("public.customers"), "{text}");
    }
}

#[test]
fn r7_what_is_not_there_can_be_dropped_and_made() {
    let text = "DROP TABLE IF EXISTS t; CREATE TABLE t (a int[], b inet); CREATE INDEX ON t (a); \
                SELECT a, b FROM t";
    let statements = analysed(text, &sample());
    let last = statements.list.last().map(|last| last.facts.unresolved.len());
    assert_eq!(last, Some(0), "it is followed");
}

/// The sample with temporary tables of other sessions: `scratch` alone, `notes` before a stored one.
fn with_temporary() -> Catalog {
    let mut data = CatalogData::from(sample());
    for (oid, name) in [(70_001, "scratch"), (70_002, "notes")] {
        let columns = [("a", 25), ("b", 25)];
        let mut table = Relation::new(oid, RelationKind::Table, "pg_temp_3", name, &columns);
        table.temp = true;
        data.relations.push(table);
    }
    Catalog::new(data)
}

#[test]
fn r7_a_name_of_another_sessions_temporary_table_can_be_taken() {
    let catalog = with_temporary();
    for (text, last) in [
        ("CREATE TEMP TABLE scratch (a int); SELECT a FROM scratch", "SELECT a FROM scratch"),
        ("CREATE TABLE scratch (a int); SELECT a FROM scratch", "a stored one"),
        ("DROP TABLE scratch; CREATE TEMP TABLE scratch (a int); SELECT a FROM scratch", "dropped"),
    ] {
        let statements = analysed(text, &catalog);
        assert!(statements.list.iter().any(|one| one.creates.is_some()), "{last} is followed");
        let Some(read) = statements.list.last() else { panic!("statements") };
        assert!(read.facts.unresolved.is_empty() && read.opaque.is_empty(), "{last}");
        // Whichever of them is meant, its column is looked at.
        let columns: Vec<_> = read.outputs.columns.iter().flatten().collect();
        let [column] = columns.as_slice() else { panic!("one column: {columns:?}") };
        let relations: Vec<u32> = column.deps.iter().map(|id| id.relation).collect();
        assert_eq!(relations, [70_001, sql::own::FIRST_OID], "{last}");
    }
    let taken = analysed("CREATE TEMP TABLE notes (a int)", &catalog);
    assert!(taken.list.iter().all(|one| one.creates.is_none()), "a stored one has the name");
}

#[test]
fn p3_r7_a_name_after_a_drop_is_any_of_that_name() {
    let catalog = sample();
    let text = "DROP TABLE app.customers, notes; CREATE TABLE notes (note text, n int); \
                SELECT note FROM notes; SELECT * FROM customers; SELECT ssn FROM customers";
    let statements = analysed(text, &catalog);
    let deps = |index: usize| {
        let columns = statements.list.get(index).and_then(|one| one.outputs.columns.clone());
        let every =
            statements.list.get(index).into_iter().flat_map(|one| one.outputs.every.clone());
        let all = columns.into_iter().flatten().chain(every);
        let mut relations: Vec<u32> = all
            .flat_map(|column| column.deps.iter().map(|id| id.relation).collect::<Vec<_>>())
            .collect();
        relations.sort_unstable();
        relations.dedup();
        relations
    };
    for one in &statements.list {
        assert!(one.opaque.is_empty(), "{:?}", one.opaque);
    }
    assert_eq!(deps(2), [sql::own::FIRST_OID]);
    // The one in public may be meant, so its columns are among those that are shown.
    assert!(deps(3).contains(&20_001) && deps(3).contains(&20_004), "{:?}", deps(3));
    assert_eq!(deps(4), [20_001]);
    for (before, after) in [
        ("DROP TABLE notes", "AnyOfTheName"),
        ("DROP TABLE IF EXISTS nosuch", "Same"),
        ("DROP TABLE notes CASCADE", "Unknown"),
        ("DROP TABLE events", "Unknown"),
        ("DROP VIEW people", "Unknown"),
        ("CREATE TABLE IF NOT EXISTS public.notes (id int)", "Same"),
        ("CREATE TABLE IF NOT EXISTS notes (id int)", "Unknown"),
        ("CREATE TABLE IF NOT EXISTS app.notes (id int)", "Unknown"),
        ("CREATE TABLE IF NOT EXISTS fresh (id int)", "Unknown"),
        ("DROP TABLE notes; CREATE TABLE IF NOT EXISTS notes (id int)", "Unknown"),
    ] {
        let statements = analysed(before, &catalog);
        let mut now = catalog.clone();
        let mut names = None;
        for one in &statements.list {
            names = Some(sql::own::names_after(one, &now));
            now.mark_dropped(one.facts.objects.iter().copied());
        }
        assert_eq!(names.map(|names| format!("{names:?}")).as_deref(), Some(after), "{before}");
    }
}
