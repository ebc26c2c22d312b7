//! P3: names mean the columns that PostgreSQL takes them for: labels of unnamed columns, names of
//! what stands in FROM, columns left out of `*`. Where one cannot be told, all readings count.
//!
//! Masked are `ssn` and `credit_card`. In each attempt a masked value comes out under a name that
//! something harmless could be thought to have.

#![expect(clippy::panic, clippy::unwrap_used, reason = "a test that cannot go on must say so")]

use sql::{
    Catalog, CatalogData, Function, Options, Predicates, SearchPath, Statements, analyse, exposure,
    masked_columns, sample,
};

fn parsed(path: &SearchPath, text: &str, catalog: &Catalog) -> Statements {
    let options = Options { standard_conforming_strings: true, search_path: path, role: "app" };
    analyse(text, &options, catalog).unwrap_or_else(|error| panic!("{text}: {error:?}"))
}

/// Whether the first output column is masked; the reason where the statement is refused.
fn met(text: &str, catalog: &Catalog) -> Result<bool, &'static str> {
    met_under(&SearchPath::of(&["public"]), text, catalog)
}

fn met_under(path: &SearchPath, text: &str, catalog: &Catalog) -> Result<bool, &'static str> {
    let masks = masked_columns(catalog, |_, _, column| matches!(column, "ssn" | "credit_card"));
    let found = parsed(path, text, catalog);
    for statement in &found.list {
        exposure(statement, &|id| masks.contains(&id), &|_| Predicates::Refuse)
            .map_err(|untraceable| untraceable.reason)?;
    }
    let outputs = &found.list.last().unwrap().outputs;
    let mut columns = outputs.columns.iter().flatten().chain(&outputs.every);
    Ok(columns.next().unwrap().deps.iter().any(|id| masks.contains(id)))
}

/// What is met otherwise than `expected` says.
fn unexpected<'t>(
    texts: &[&'t str],
    expected: impl Fn(Result<bool, &'static str>) -> bool,
) -> Vec<(&'t str, Result<bool, &'static str>)> {
    let catalog = sample();
    let all = texts.iter().map(|text| (*text, met(text, &catalog)));
    all.filter(|(_, met)| !expected(*met)).collect()
}

/// Each gives a masked value away, so each is masked or refused.
fn hidden(texts: &[&str]) {
    let open = unexpected(texts, |met| met != Ok(false));
    assert!(open.is_empty(), "in clear: {open:#?}");
}

/// Each is masked, and goes on.
fn masked(texts: &[&str]) {
    let other = unexpected(texts, |met| met == Ok(true));
    assert!(other.is_empty(), "not masked: {other:#?}");
}

/// Each tells nothing masked, and goes on.
fn clear(texts: &[&str]) {
    let other = unexpected(texts, |met| met == Ok(false));
    assert!(other.is_empty(), "not clear: {other:#?}");
}

#[test]
fn p3_a_subquery_that_is_a_value_is_called_like_its_first_column() {
    masked(&[
        "select y from (select (select u.* from (select ssn as y from customers where id = 1) u), \
         (select y.* from (select 'c' as z) y)) q",
        "select y from (select (select * from (select ssn as y from customers where id = 1) u), \
         (select 'c' as z)) q",
        "select (select int4 || '' from (select (select 1 + 1)::int4) q) \
         from (select ssn as int4 from customers where id = 1) t",
        "select (select \"case\" || '' from (select case when true then 1 else (select 1 + 1) end) q) \
         from (select ssn as \"case\" from customers where id = 1) t",
        "select (select x || '' from (select (values (1)) as y, (with x as (select 1 as z) \
         select * from x)) q) from (select ssn as x from customers where id = 1) t",
    ]);
    clear(&[
        "select q.ssn from (select (select u.* from (select 'x' as ssn) u)) q, customers c",
        "select q.column1 from (select (values (1)), (select ssn from customers limit 1)) q",
        "select q.exists from (select exists (select ssn from customers)) q",
        "select q.b from (select (select ssn from customers limit 1) as a, 1 as b) q order by b",
    ]);
}

#[test]
fn p3_a_label_that_depends_on_columns_nobody_can_tell_may_be_any() {
    hidden(&[
        "select (select v || '' from (select (select t.* from (select (row(ssn)::one).* \
         from customers where id = 1) t)) q) from (select 'a' as v) o",
        "select (select v || '' from (select (select t.* from (select (row(ssn)::one).* \
         from customers where id = 1) t)::int4) q) from (select 'a' as v) o",
        "select z || '' from (select (select t.* from (select (row(ssn)::pair).* from customers) t)) q",
        "select (select z || '' from (select (select t.* from (select (row('x')::pair).*) t)) q) \
         from (select ssn as z from customers where id = 1) o",
        "select name from (select (select t.* from (select (row(ssn)::pair).* from customers) t), \
         name from customers) q order by z",
        "select distinct on (z) name from (select (select t.* from (select (row(ssn)::pair).* \
         from customers) t), name from customers) q",
    ]);
}

#[test]
fn p3_labels_are_those_of_postgresql() {
    masked(&[
        "select (select \"?column?\" || '' from (select xmlelement(name a)) q) \
         from (select ssn as \"?column?\" from customers where id = 1) t",
        "select (select \"?column?\" || '' from (select xmlconcat('<a/>'), 1 as x) q) \
         from (select ssn as \"?column?\" from customers where id = 1) t",
        "select (select \"?column?\" || '' from (select xmlforest('a' as b)) q) \
         from (select ssn as \"?column?\" from customers where id = 1) t",
        "select (select \"?column?\" || '' from (select xmlpi(name a)) q) \
         from (select ssn as \"?column?\" from customers where id = 1) t",
        "select (select \"?column?\" || '' from (select xmlroot('<a/>', version no value)) q) \
         from (select ssn as \"?column?\" from customers where id = 1) t",
        "select (select \"?column?\" || '' from (select xmlparse(content 'a')) q) \
         from (select ssn as \"?column?\" from customers where id = 1) t",
        "select (select \"xml\" || '' from (select xmlparse(content 'a')::xml) q) \
         from (select ssn as \"xml\" from customers where id = 1) t",
        "select (select xmlserialize || '' from (select 'a' is document) q) \
         from (select ssn as xmlserialize from customers where id = 1) t",
        "select (select \"?column?\" || '' from (select json_exists('{}', '$')) q) \
         from (select ssn as \"?column?\" from customers where id = 1) t",
        // Before version 14 this is `date_part`, and a truth value was `bool` before 15.
        "select (select \"extract\" || '' from (select extract(year from now())) q) \
         from (select ssn as \"extract\" from customers where id = 1) t",
        "select (select date_part || '' from (select extract(year from now())) q) \
         from (select ssn as date_part from customers where id = 1) t",
        "select (select bool || '' from (select true) q) \
         from (select ssn as bool from customers where id = 1) t",
        "select (select \"?column?\" || '' from (select true) q) \
         from (select ssn as \"?column?\" from customers where id = 1) t",
        // No keyword before version 16.
        "select system_user || '' from (select ssn as system_user from customers) t",
    ]);
    // Numbers since version 16, `0 AS x1f` and `1 AS _000` before 15.
    masked(&[
        "select (select \"?column?\" || '' from (select 0x1f) q) \
         from (select ssn as \"?column?\" from customers where id = 1) t",
        "select (select \"?column?\" || '' from (select 7 + 1_000) q) \
         from (select ssn as \"?column?\" from customers where id = 1) t",
    ]);
    hidden(&["select ssn || 0b1 from customers order by b1"]);
    hidden(&[
        "select ssn as system_user from customers order by system_user",
        "select ssn as system_user from customers group by system_user",
    ]);
    hidden(&["with \"system_user\" as (select ssn from customers) select * from system_user"]);
    clear(&[
        "select q.xmlelement from (select xmlelement(name a), (select ssn from customers limit 1)) q",
        "select q.extract from (select extract(year from now()), ssn from customers) q",
        "select q.bool from (select true::bool, ssn from customers) q",
        "select q.int4 from (select 1::int4, ssn from customers) q",
        "select q.case from (select case when true then 1 else 2 end, ssn from customers) q",
        "select name from customers order by extract(year from created_at)",
        "select extract(year from created_at), true from customers order by age",
        "select extract(year from created_at), count(*) from customers group by age, 1 order by 1",
    ]);
    let catalog = sample();
    let text = "select extract(year from now()), true, (select id from notes), upper('x'), 1::int8";
    let found = parsed(&SearchPath::of(&["public"]), text, &catalog);
    let columns = found.list[0].outputs.columns.as_ref().unwrap();
    let names: Vec<_> = columns.iter().map(|column| column.name.as_deref()).collect();
    let expected = ["extract", "?column?", "id", "upper", "int8"].map(Some);
    assert_eq!(names, expected);
}

#[test]
fn p3_what_is_no_call_in_from_is_called_like_a_column() {
    masked(&[
        "select function || '' from cast('a' as text), \
         (select ssn as function from customers where id = 1) t",
        "select function || '' from nullif('a', 'b'), \
         (select ssn as function from customers where id = 1) t",
        "select function || '' from xmlelement(name a), \
         (select ssn as function from customers where id = 1) t",
        "select function || '' from xmlserialize(content '<a/>' as text), \
         (select ssn as function from customers where id = 1) t",
        "select function || '' from greatest('a', 'b'), \
         (select ssn as function from customers where id = 1) t",
        "select (select function || '' from rows from (cast('a' as text), cast('b' as text)) x) \
         from (select ssn as function from customers where id = 1) t",
        "select (select function.z || '' from cast('a' as text) limit 1) \
         from (select ssn as z from customers where id = 1) function",
        "select (select function.z || '' from rows from (cast('a' as text), abs(1)) limit 1) \
         from (select ssn as z from customers where id = 1) function",
    ]);
    hidden(&[
        "select (select x.z || '' from cast((select t.* from (select (row('x')::pair).*) t) as text)) \
         from (select ssn as z from customers where id = 1) x",
        "select (select x || '' from rows from (cast((select t.* from (select (row('x')::pair).*) t) \
         as text), abs(1)) as o) from (select ssn as x from customers where id = 1) q",
        "select (select \"extract\".z || '' from extract(year from now())) \
         from (select ssn as z from customers where id = 1) \"extract\"",
    ]);
    clear(&[
        "select text from cast('a' as text), customers",
        "select text.text from cast('a' as text), customers",
        "select x from cast('a' as text) x, customers",
        "select x.x from nullif('a', 'b') x, customers",
        "select e from extract(year from now()) e",
    ]);
}

#[test]
fn p3_rows_of_unknown_width_name_nothing_for_certain() {
    hidden(&[
        "select column3 || '' from (values ((row('x', 1)::pair).*, \
         (select ssn from customers where id = 1))) q",
        "select column2 || '' from (values ((row('x', 1)::pair).*, \
         (select ssn from customers where id = 1))) q",
        "select column1 || '' from (values (1, 2, 'x'), ((row('x', 1)::pair).*, \
         (select ssn from customers where id = 1))) q",
        "insert into notes (body) select column3 from (values ((row('x', 1)::pair).*, \
         (select ssn from customers where id = 1))) q",
        "select y || '' from (select (row('x', 1)::pair).*, \
         (select u.* from (select ssn as y from customers where id = 1) u)) q",
        "select c3 || '' from (select * from (select 1 as a, (row(1)::pair).*) l \
         left join (select 1 as b, ssn from customers) r using (b)) s(c1, c2, c3)",
        "select q.to_json from (select ssn, (row(1)::pair).* from customers) q",
        "select (q).row_to_json from (select ssn, (row(1)::pair).* from customers) q",
        "select x || '' from (select ssn, (row(ssn)::pair).* from customers) l \
         natural left join (select 'a' as x) r",
    ]);
}

const SEARCHED: &str = "with recursive r(n) as (select 1 union all select n + 1 from r where n < 1) \
                        search breadth first by n set o";
const CYCLED: &str = "with recursive r(n) as (select 1 union all select n + 1 from r where n < 1) \
                      cycle n set c using p";

#[test]
fn p3_columns_of_search_and_cycle_are_left_out_of_a_star_further_in() {
    let secret = "(select id, ssn from customers where id = 1) t";
    for star in ["r.*, t.*", "*", "(r).*, t.*", "r.*, (t).*"] {
        let text = format!(
            "{SEARCHED} select c3 || '' from (select {star} from r, {secret}) s(c1, c2, c3)"
        );
        masked(&[&text]);
    }
    for from in ["(r cross join {}) j", "(r cross join {}) j(a, b, d, e)"] {
        let from = from.replace("{}", secret);
        let by_row =
            format!("{SEARCHED} select c3 || '' from (select j.* from {from}) s(c1, c2, c3)");
        let all = format!("{SEARCHED} select c3 || '' from (select * from {from}) s(c1, c2, c3)");
        masked(&[&by_row, &all]);
    }
    let p = "from (select ssn as p from customers where id = 1) t";
    let c = "from (select ssn as c from customers where id = 1) t";
    let texts = [
        format!("{CYCLED} select (select p || '' from (select * from r) z) {p}"),
        format!("{CYCLED} select (select p || '' from (select r.* from r) z) {p}"),
        format!("{CYCLED} select (select p || '' from (select r.* from r as r(x)) z) {p}"),
        format!("{CYCLED}, s as (select * from r) select (select p || '' from s) {p}"),
        format!("{CYCLED} select (select p || '' from (select * from r union all table r) z) {p}"),
        format!(
            "{CYCLED} select (select p || '' from (select * from (r cross join notes) j) z) {p}"
        ),
        format!(
            "{CYCLED} select (select c || '' from (select * from r join (select false as c) f \
             using (c)) z) {c}"
        ),
        format!(
            "{CYCLED} select c2 || '' from (select * from r join (select false as c, ssn from \
             customers) f using (c)) z(c1, c2)"
        ),
        format!(
            "{CYCLED} select c2 || '' from (select * from r natural join (select false as c, ssn \
             from customers) f) z(c1, c2)"
        ),
    ];
    for text in &texts {
        hidden(&[text]);
    }
    let texts = [
        // At the level of the WITH itself they are in it.
        format!("{CYCLED} select z.p from r z, customers"),
        format!("{SEARCHED} select c4 from (select 1 as c4, t.* from r, {secret}) s"),
        format!("{CYCLED} select (select p::text from r) {p}"),
        format!("{CYCLED} select (select j.p::text from (r cross join notes) j) {p}"),
    ];
    for text in &texts {
        clear(&[text]);
    }
    let catalog = sample();
    let found = parsed(
        &SearchPath::of(&["public"]),
        &format!("{CYCLED} select * from r, customers"),
        &catalog,
    );
    let columns = found.list[0].outputs.columns.as_ref().unwrap();
    let names: Vec<_> = columns.iter().filter_map(|column| column.name.as_deref()).collect();
    assert_eq!(names.get(..4).unwrap(), ["n", "c", "p", "id"]);
}

#[test]
fn p3_a_relation_that_may_be_another_may_lack_the_column() {
    // There is another table of the name, which has `label` and no `ssn`.
    let catalog = sample();
    let met = |text: &str| met_under(&SearchPath::Unknown, text, &catalog);
    let text = "select (select label || '' from customers limit 1) \
                from (select ssn as label from public.customers where id = 1) t";
    assert_eq!(met(text), Ok(true));
    let text = "select (select name || '' from customers limit 1) \
                from (select ssn as name from public.customers where id = 1) t";
    assert_eq!(met(text), Ok(true));
    assert_eq!(met("select label from customers"), Ok(false));
    assert_eq!(met("select c.label from customers c"), Ok(false));
    assert_eq!(met("select id from customers"), Ok(false));
    assert_eq!(met("select to_json from (select * from customers) c"), Ok(true));
    assert_ne!(met("select label from (customers join notes using (id)) c"), Err("predicate"));
}

#[test]
fn p3_out_arguments_without_a_name_are_called_by_their_place() {
    let mut data = CatalogData::from(sample());
    let body = "select ssn, name from public.customers";
    data.functions.push(Function::new(32_001, "two_of", "sql", Some(body)).returning(&["", "b"]));
    let catalog = Catalog::new(data);
    let text = "select (select column1 || '' from two_of() limit 1) from (select 'x' as column1) t";
    assert_eq!(met(text, &catalog), Ok(true));
    assert_eq!(met("select b from two_of()", &catalog), Ok(false));
}

#[test]
fn p3_functional_notation_takes_a_column_before_a_row() {
    hidden(&[
        "select ssn(s) from (select 'h' as ssn) s, \
         (select x as s from customers x where id = 1) z",
        "select (select ssn(s) from (select 'h' as ssn) s) \
         from (select x as s from customers x where id = 1) z",
    ]);
    masked(&["select ssn(c) from customers c"]);
    clear(&["select name(s) from (select 'h' as name) s, customers c"]);
    // No function of the name takes a row, so these are the column, or the cast of a row to text.
    let mut data = CatalogData::from(sample());
    data.functions
        .push(Function::new(32_000, "constant", "sql", Some("select 'x'")).taking(&["of"]));
    let catalog = Catalog::new(data);
    for text in [
        "select constant(s) from (select ssn as constant from customers) s",
        "select constant((select s from (select ssn as constant from customers) s limit 1))",
    ] {
        assert_eq!(met(text, &catalog), Err("expression"), "{text}");
    }
    for text in [
        "select s.constant from (select ssn as constant from customers) s",
        "select (s).constant from (select ssn as constant from customers) s",
    ] {
        assert_eq!(met(text, &catalog), Ok(true), "{text}");
    }
    assert_eq!(met("select constant(name) from customers", &catalog), Ok(false));
}
