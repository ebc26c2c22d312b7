//! P3: what a name, a position and a field mean to PostgreSQL, where they could be taken for
//! something else that is not masked.

#![expect(clippy::panic, reason = "a test that cannot go on must say so")]

use sql::{
    Catalog, CatalogData, ColumnId, Function, Options, Predicates, Relation, RelationKind,
    SearchPath, Statements, analyse, exposure, masked_columns, sample,
};

/// `pets`: id, name, and chip, which is masked, as is home; `boxes`: id and size.
fn catalog() -> Catalog {
    let mut data = CatalogData::from(sample());
    let table = |oid, name: &str, columns: &[(&str, u32)]| {
        Relation::new(oid, RelationKind::Table, "public", name, columns)
    };
    data.relations.extend([
        table(22_000, "pets", &[("id", 23), ("name", 25), ("chip", 25), ("home", 22_900)]),
        table(22_001, "boxes", &[("id", 23), ("size", 23), ("tags", 1009), ("moods", 22_901)]),
        Relation::new(22_002, RelationKind::View, "public", "sizes", &[("size", 23)])
            .defined("SELECT boxes.size FROM public.boxes"),
    ]);
    let mut same = Function::new(32_001, "same", "sql", Some("SELECT $1")).taking(&["what"]);
    same.return_type = 2283;
    let mut one = Function::new(32_002, "one_pair", "sql", Some("SELECT ROW('x', 1)::pair"));
    one.out_names = vec!["p".into()];
    one.return_type = 22_900;
    data.functions.extend([
        Function::new(32_000, "chip_of", "sql", Some("SELECT chip FROM pets WHERE id = $1"))
            .taking(&["whose"]),
        same,
        one.taking(&[]),
    ]);
    Catalog::new(data)
}

fn parsed(text: &str, catalog: &Catalog) -> Statements {
    let path = SearchPath::of(&["public"]);
    let options = Options { standard_conforming_strings: true, search_path: &path, role: "app" };
    analyse(text, &options, catalog).unwrap_or_else(|error| panic!("{text}: {error:?}"))
}

/// Whether each output column is masked; or why the statement is refused.
fn outputs(text: &str, catalog: &Catalog) -> Result<Vec<bool>, &'static str> {
    let masks = masked_columns(catalog, |_, table, column| {
        table == "pets" && matches!(column, "chip" | "home")
    });
    let is_masked = |id: ColumnId| masks.contains(&id);
    let found = parsed(text, catalog);
    let statement = found.list.last().unwrap_or_else(|| panic!("{text}: no statement"));
    exposure(statement, &is_masked, &|_| Predicates::Refuse).map_err(|found| found.reason)?;
    let Some(columns) = &statement.outputs.columns else { return Err("untraceable") };
    Ok(columns.iter().map(|column| column.deps.iter().any(|id| is_masked(*id))).collect())
}

fn hidden(texts: &[&str]) {
    let catalog = catalog();
    for text in texts {
        if let Ok(columns) = outputs(text, &catalog) {
            assert!(columns.iter().all(|masked| *masked), "{text}: {columns:?}");
        }
    }
}

fn shown(texts: &[&str]) {
    let catalog = catalog();
    for text in texts {
        let seen = outputs(text, &catalog);
        let open = seen.as_ref().is_ok_and(|columns| !columns.contains(&true));
        assert!(open, "{text}: {seen:?}");
    }
}

#[test]
fn p3_a_row_in_from_is_as_many_columns_as_it_has_fields() {
    for source in [
        "unnest(array[1], array[2])",
        "unnest(array[row('x', 1)::pair])",
        "unnest((select array_agg(p) from pairs p))",
        "unnest($1)",
        "coalesce(row('x', 1)::pair)",
        "greatest(row('x', 1)::pair, null)",
        "nullif(row('x', 1)::pair, null)",
        "cast(null as pair)",
        "cast(null as record) as t(a int, b int)",
        "same(row('x', 1)::pair)",
        "one_pair()",
        "json_populate_record(null::pair, '{}')",
        "lower(pair_range(row('x', 1), null))",
        "rows from (unnest(array[row('x', 1)::pair]))",
    ] {
        // With two columns before it, the fifth is the chip; with one, it would be a box's id.
        let source =
            if source.contains(" as t(") { source.to_owned() } else { format!("{source} u") };
        hidden(&[&format!(
            "select c5 || '' from (select * from {source}, pets, boxes) s(c1, c2, c3, c4, c5)"
        )]);
    }
    hidden(&[
        "select c6 || '' from (select * from unnest('a'::tsvector) u, pets) s(c1, c2, c3, c4, c5, c6)",
        "select v.c || '' from pets, lateral (values ((row('x', 1)::pair).*, chip, 'z')) v(a, b, c, d)",
        "select v.c || '' from pets, lateral (values (1, 2, 'x', 'z'), ((row('x', 1)::pair).*, chip, 'z')) v(a, b, c, d)",
    ]);
}

#[test]
fn arrays_of_plain_values_are_one_column_each() {
    shown(&[
        "select * from unnest(array[1, 2]) u, boxes",
        "select * from unnest(array['a', 'b'], array[1, 2]) with ordinality u(a, b, o)",
        "select c4 from (select * from unnest(array['a'], array[1]) u, pets, boxes) s(a, b, c, c4)",
        "select * from boxes, unnest(tags) t",
        "select * from boxes, unnest(tags || '{x}'::text[], array_remove(tags, 'x')) t(a, b)",
        "select * from unnest('{1,2}'::int[]) u",
        "select * from unnest($1::bigint[]) u",
        "select * from unnest(string_to_array('a,b', ',')) u",
        "select * from unnest(array(select id from boxes)) u",
        "select u from unnest($1) u",
        "select * from coalesce(1, 2) u",
        "select * from current_date u, boxes",
    ]);
}

#[test]
fn p3_a_name_means_a_column_before_a_row() {
    hidden(&[
        "select (home).* from pets, (select 1, 2) as home",
        "select (home).l from pets, (select 'x' as l) as home",
        "select (select chip::text from boxes as chip) from pets",
        "select (select chip || '' from same(1) as chip) from pets",
        "select (select ctid::text from sizes) from (select chip as ctid from pets) p",
        "select c2 || '' from (select (a).*, b.chip, boxes.id from (select 1, 2, 3) a, \
         (select row('x', 1)::pair as a) z, pets b, boxes) s(c0, c1, c2, c3)",
        "select chip as z, count(*) from pets, (select 1) z group by z",
        "select x || '' from same(1) as y, (select (p).* from (select home as p from pets) q) w(x)",
    ]);
    shown(&[
        "select (select name from boxes as name limit 1) from (select 'x' as name) p",
        "select (b).size, (b).* from boxes b",
        "select ctid, tableoid from boxes",
        "select boxes from boxes",
        "select size as z, count(*) from boxes, (select 1) z group by z",
    ]);
}

#[test]
fn p3_a_function_written_like_a_field_is_a_function() {
    hidden(&[
        "select (1).chip_of",
        "select (id).chip_of from boxes",
        "select (b.id).chip_of || '' from boxes b",
        "select (case when true then 1 end).chip_of",
        "select u.chip_of from abs(1) as u",
        "select (array[1, 2])[1].chip_of",
    ]);
    let catalog = catalog();
    for text in [
        "select ('/etc/passwd'::text).pg_read_file",
        "select u.pg_read_file from format('/etc/passwd') u",
        "select (b.id).lo_get from boxes b",
        "select (1).pg_terminate_backend",
    ] {
        let facts = parsed(text, &catalog).facts;
        let refused = outputs(text, &catalog).is_err();
        let known = !facts.server_access.is_empty() || !facts.other_backends.is_empty();
        assert!(refused || known, "{text}");
    }
}

#[test]
fn p3_a_cast_written_like_a_field_is_a_cast() {
    let catalog = catalog();
    for cast in [
        "(chip).uuid",
        "(p.chip).jsonb",
        "(chip).\"_text\"",
        "(chip).regclass",
        "(id || chip).inet",
    ] {
        let text = format!("select {cast} from pets p");
        assert_eq!(outputs(&text, &catalog), Err("expression"), "{text}");
    }
    hidden(&["select (row(chip, 1)).f1 from pets"]);
    assert_eq!(outputs("select (row(chip, 1)).f1 from pets", &catalog), Ok(vec![true]));
    shown(&["select (name).jsonb from pets"]);
}

#[test]
fn p3_set_of_several_columns_counts_the_fields_of_a_row() {
    let catalog = catalog();
    let shifted = "update pets set (id, chip, name) = row((row(1, 'x')::pair).*, chip)";
    assert_eq!(outputs(shifted, &catalog), Err("moved"));
    let itself = "update pets set (id, chip) = row(1, chip) returning id";
    assert_eq!(outputs(itself, &catalog), Ok(vec![false]));
}

#[test]
fn p3_a_function_that_makes_a_table_of_what_it_reads_is_opaque() {
    let mut data = CatalogData::from(sample());
    for (oid, name, body) in [
        (33_010, "makes", "SELECT name AS a INTO public.made FROM public.customers"),
        (33_011, "joins", "SELECT 'x' AS a INTO made UNION SELECT name FROM public.customers"),
        (33_012, "reads", "SELECT name AS a FROM public.customers"),
    ] {
        data.functions.push(Function::new(oid, name, "sql", Some(body)));
    }
    let catalog = Catalog::new(data);
    for (text, refused) in
        [("SELECT makes()", true), ("SELECT 1 FROM joins()", true), ("SELECT reads()", false)]
    {
        let found = parsed(text, &catalog);
        let opaque = found.list.iter().any(|one| !one.opaque.is_empty());
        assert_eq!(opaque, refused, "{text}");
    }
}

#[test]
fn p3_a_function_that_overloads_a_shipped_one_is_looked_into() {
    let mut data = CatalogData::from(sample());
    let mut with_default =
        Function::new(33_000, "substr", "plpgsql", None).taking(&["a", "b", "c"]);
    with_default.defaults = Some("'x'::text, 'y'::text".into());
    let mut variadic = Function::new(33_001, "concat_ws", "plpgsql", None).taking(&["a", "b"]);
    variadic.arg_types = vec![25, 1009];
    let other = Function::new(33_002, "reverse", "plpgsql", None).taking(&["a", "b"]);
    data.functions.extend([with_default, variadic, other]);
    let catalog = Catalog::new(data);
    for (text, refused) in [
        ("SELECT substr(name) FROM customers", true),
        ("SELECT concat_ws(name, name, name, name) FROM customers", true),
        ("SELECT reverse(name) FROM customers", false),
        ("SELECT lower(name) FROM customers", false),
    ] {
        let found = parsed(text, &catalog);
        let opaque = found.list.iter().any(|one| !one.opaque.is_empty());
        assert_eq!(opaque, refused, "{text}");
    }
}
