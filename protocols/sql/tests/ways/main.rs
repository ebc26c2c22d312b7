//! P3: ways around a mask by the types of values, keys and constraints, casts and operators, and
//! expressions that are kept to be run later; and what stays usable beside each of them.

#![expect(clippy::panic, reason = "a test that cannot go on must say so")]

use sql::{
    Cast, Catalog, CatalogData, ColumnId, Function, Operator, Options, Predicates, Relation,
    RelationKind, SearchPath, Statements, Tie, TieKind, Type, TypeKind, analyse, exposure,
    masked_columns, sample,
};

mod types;

const STAFF: u32 = 21_000;
const REFS: u32 = 21_001;
const DEPTS: u32 = 21_002;
const VIEW: u32 = 21_003;
const STATS: u32 = 21_004;

const fn column(relation: u32, attnum: i16) -> ColumnId {
    ColumnId { relation, attnum }
}

/// `staff`: id, name, dept, cap in clear; ssn, card, balance, tags, raw, profile, home, salary masked.
fn catalog() -> Catalog {
    let mut data = CatalogData::from(sample());
    let columns = [
        ("id", 23),
        ("name", 25),
        ("dept", 25),
        ("cap", 23),
        ("ssn", 25),
        ("card", 20),
        ("balance", 1700),
        ("tags", 1009),
        ("raw", 114),
        ("profile", 3802),
        ("home", 21_900),
        ("salary", 23),
        ("grade", 21_901),
    ];
    data.relations.extend([
        Relation::new(STAFF, RelationKind::Table, "public", "staff", &columns)
            .keyed(&["id", "ssn"]),
        Relation::new(REFS, RelationKind::Table, "public", "refs", &[("id", 23), ("of", 25)])
            .keyed(&["of"]),
        Relation::new(DEPTS, RelationKind::Table, "public", "depts", &[("dept", 25), ("n", 23)]),
        Relation::new(
            VIEW,
            RelationKind::View,
            "public",
            "staff_view",
            &[("id", 23), ("cap", 23), ("ssn", 25)],
        )
        .defined("SELECT staff.id, staff.cap, staff.ssn FROM public.staff"),
        Relation::new(STATS, RelationKind::View, "public", "bloat", &[("common", 25)])
            .defined("SELECT s.most_common_vals FROM pg_catalog.pg_stats s"),
    ]);
    data.functions.extend([
        Function::new(31_000, "ssn_of", "sql", Some("SELECT ssn FROM staff WHERE id = $1"))
            .taking(&["whose"]),
        Function::new(31_001, "double", "sql", Some("SELECT $1 || $1")).taking(&["what"]),
    ]);
    data.operators.push(Operator { name: "@!".into(), function: 31_000 });
    data.casts.push(Cast { to: "ssn_box".into(), function: 31_000 });
    data.types.push(Type {
        oid: 21_901,
        name: "mood".into(),
        kind: TypeKind::Plain,
        default: None,
    });
    data.ties.extend([
        Tie { from: column(STAFF, 4), to: column(STAFF, 12), by: TieKind::Check },
        Tie { from: column(STAFF, 3), to: column(STAFF, 5), by: TieKind::Key },
        Tie { from: column(STAFF, 12), to: column(DEPTS, 2), by: TieKind::Reference },
        Tie { from: column(REFS, 2), to: column(STAFF, 5), by: TieKind::Reference },
    ]);
    Catalog::new(data)
}

fn masked(catalog: &Catalog) -> std::collections::HashSet<ColumnId> {
    masked_columns(catalog, |_, table, column| {
        table == "staff" && !matches!(column, "id" | "name" | "dept" | "cap")
    })
}

fn parsed(text: &str, catalog: &Catalog) -> Statements {
    let path = SearchPath::of(&["public"]);
    let options = Options { standard_conforming_strings: true, search_path: &path, role: "app" };
    analyse(text, &options, catalog).unwrap_or_else(|error| panic!("{text}: {error:?}"))
}

/// The reason of the refusal; `None` when there is none.
fn refused(text: &str, catalog: &Catalog, allows: Predicates) -> Option<&'static str> {
    let masks = masked(catalog);
    let found = parsed(text, catalog);
    found.list.iter().find_map(|statement| {
        exposure(statement, &|id| masks.contains(&id), &|_| allows).err().map(|found| found.reason)
    })
}

fn each(refusals: &[(&str, Option<&str>)]) {
    let catalog = catalog();
    for (text, reason) in refusals {
        assert_eq!(refused(text, &catalog, Predicates::Refuse), *reason, "{text}");
    }
}

#[test]
fn p3_what_can_fail_on_the_shape_of_a_value_is_refused() {
    each(&[
        ("select tags from staff", None),
        ("select array_agg(ssn) from staff", None),
        ("select array_agg(tags) from staff", Some("expression")),
        ("select array(select tags from staff)", Some("expression")),
        ("select array(select ssn from staff)", None),
        ("select array[tags, '{x}'] from staff", Some("expression")),
        ("select array[ssn, name] from staff", None),
        ("select array[[ssn]], array[id] from staff", None),
        ("select array[tags] from staff", Some("expression")),
        ("select array[[[[[[tags]]]]]] is null from staff", Some("expression")),
        ("select tags || '{x}' from staff", Some("expression")),
        ("select profile || '1' from staff", Some("expression")),
        ("select ssn || card from staff", None),
        ("select array_agg(grade) from staff", None),
        ("select to_jsonb(raw) from staff", Some("expression")),
        ("select to_json(raw), to_jsonb(ssn), to_jsonb(profile) from staff", None),
        ("select jsonb_agg(raw) from staff", Some("expression")),
        ("select to_jsonb(home) from staff", Some("expression")),
        ("select json_array(home returning jsonb) from staff", Some("expression")),
        ("select to_jsonb(tags), to_jsonb(card), to_jsonb(grade) from staff", None),
        ("select json_build_object(variadic tags) from staff", Some("expression")),
        ("select (home).street from staff", Some("expression")),
        ("select home is null from staff", Some("expression")),
        ("select ssn is null, tags is null from staff", None),
        ("select json_object('a': ssn) from staff", None),
        ("select json_object('a': ssn format json) from staff", Some("expression")),
        ("select json_object('a': ssn returning jsonb), json_array(ssn) from staff", None),
        ("select json_array(ssn returning varchar(5)) from staff", Some("expression")),
        ("select json_array(raw returning jsonb) from staff", Some("expression")),
    ]);
}

#[test]
fn p3_what_casts_a_value_by_itself_is_refused_where_that_can_fail() {
    each(&[
        ("select 1::oid union all select card from staff", Some("expression")),
        ("select card from staff union all select card from staff", None),
        ("select card from staff union all select 1 union all select card from staff", None),
        ("select max(card) from staff union all select min(card) from staff", None),
        ("select ssn from staff union all select name from staff", None),
        ("select coalesce(card, 0), coalesce(balance, 1.5) from staff", None),
        ("select card from staff union all select null::bigint", None),
        ("select coalesce(null::oid, card) from staff", Some("expression")),
        ("select array[balance, 1::real] from staff", Some("expression")),
        ("select v.x from staff, lateral (values (1::oid), (card)) v(x)", Some("expression")),
        ("select lag(card, 1, 5::oid) over () from staff", Some("expression")),
        ("select lag(card, 1, 0) over (), lead(ssn, 1, 'x') over () from staff", None),
        ("select lag(name, salary) over () from staff", Some("expression")),
        ("select nth_value(name, salary) over () from staff", Some("expression")),
        ("select lag(ssn, id) over () from staff", None),
    ]);
}

#[test]
fn p3_a_type_called_text_is_not_taken_for_text() {
    let mut data = CatalogData::from(catalog());
    let text = "select ssn::text from staff";
    assert_eq!(refused(text, &catalog(), Predicates::Refuse), None);
    data.types.push(Type {
        oid: 21_950,
        name: "text".into(),
        kind: TypeKind::Plain,
        default: None,
    });
    assert_eq!(refused(text, &Catalog::new(data), Predicates::Refuse), Some("expression"));
}

#[test]
fn p3_casts_and_operators_call_functions() {
    let catalog = catalog();
    let masks = masked(&catalog);
    for text in ["select @! '1'", "select (@! '1') || ''", "select '1'::ssn_box"] {
        let found = parsed(text, &catalog);
        let columns = found.list[0].outputs.columns.iter().flatten();
        let hidden = columns.filter(|c| c.deps.iter().any(|id| masks.contains(id))).count();
        assert_eq!(hidden, 1, "{text}");
    }
    each(&[
        ("select id from notes where @! body > '5'", Some("predicate")),
        ("insert into notes (body) values (@! '1')", Some("expression")),
    ]);
}

#[test]
fn p9_functions_in_sql_with_defaults_and_row_types_are_traced() {
    let mut data = CatalogData::from(catalog());
    let mut half =
        Function::new(31_010, "half", "sql", Some("SELECT $1 || $2")).taking(&["a", "b"]);
    half.defaults = Some("'x'::text".into());
    let mut leaky = Function::new(31_011, "leaky", "sql", Some("SELECT $2")).taking(&["a", "b"]);
    leaky.defaults = Some("ssn_of('1'::text)".into());
    let swapped = "SELECT dept, n FROM public.depts";
    let mut rows = Function::new(31_012, "rows", "sql", Some(swapped)).returning(&[]);
    rows.return_type = 21_999;
    rows.return_relation = DEPTS;
    let second = Function::new(31_013, "second", "sql", Some("SELECT $2")).taking(&["a", "b"]);
    data.functions.extend([half, leaky, rows, second]);
    let catalog = Catalog::new(data);
    let masks = masked(&catalog);
    for (text, hidden) in [
        ("select half('a'), half('a', 'b')", 0),
        ("select leaky('a')", 1),
        ("select leaky('a', 'b')", 0),
        ("select * from rows()", 0),
        ("select rows.n from rows()", 0),
        ("select second(b => ssn, a => 'x') from staff", 1),
        ("select second(b => 'x', a => ssn) from staff", 1),
    ] {
        assert_eq!(refused(text, &catalog, Predicates::Allow), None, "{text}");
        let found = parsed(text, &catalog);
        let columns = found.list[0].outputs.columns.iter().flatten();
        let count = columns.filter(|c| c.deps.iter().any(|id| masks.contains(id))).count();
        assert_eq!(count, hidden, "{text}");
    }
}

#[test]
fn p3_masks_follow_a_default_to_the_column_it_fills() {
    let mut data = CatalogData::from(catalog());
    let depts = data.relations.iter_mut().find(|relation| relation.oid == DEPTS);
    let columns = depts.map(|relation| &mut relation.columns).into_iter().flatten();
    for (column, default) in columns.zip(["public.ssn_of('1'::text)", "public.double('1'::text)"]) {
        column.default = Some(default.into());
    }
    let masks = masked(&Catalog::new(data));
    assert!(masks.contains(&column(DEPTS, 1)) && !masks.contains(&column(DEPTS, 2)));
}

#[test]
fn p3_expressions_kept_in_definitions_are_looked_into() {
    each(&[
        ("create table t (x text default ssn_of('1'))", Some("moved")),
        ("create table t (x text default double('1'), y timestamptz default now())", None),
        ("create table t (x text generated always as (ssn_of(y)) stored, y text)", Some("moved")),
        ("create table t (x text generated always as (upper(y)) stored, y text)", None),
        ("create table t (x text check (ssn_of(x) > '5'))", Some("predicate")),
        ("create table t (x int check (x > 0 and t.x < 9))", None),
        ("create table t (x text, exclude (ssn_of(x) with =))", Some("predicate")),
        ("create table t (x text) partition by list (ssn_of(x))", Some("moved")),
        ("create table t partition of notes for values in (ssn_of('1'))", Some("moved")),
        ("create table t partition of notes for values from (minvalue) to (5)", None),
        ("create table t partition of staff for values in ('1')", Some("redefined")),
        ("alter table notes add column x text default ssn_of('1')", Some("moved")),
        ("alter table notes add column x text default 'x' check (x <> '')", None),
        ("alter table notes alter column body set default ssn_of('1')", Some("moved")),
        ("alter table notes alter column body drop default", None),
        ("alter table notes alter column body type text using ssn_of(body)", Some("moved")),
        ("alter table notes alter column body type text using upper(body)", None),
        ("alter table notes add check (ssn_of(body) > '5')", Some("predicate")),
        ("alter table notes attach partition depts for values in (ssn_of('1'))", Some("moved")),
        ("execute p(ssn_of('1'))", Some("moved")),
        ("execute p('1', now())", None),
        ("cluster staff using staff_ssn", Some("redefined")),
        ("cluster notes using notes_pkey", None),
    ]);
}

#[test]
fn r5_keys_and_checks_that_hold_a_masked_column_are_guesses() {
    each(&[
        ("update staff set cap = 100 where id = 3", Some("predicate")),
        ("update staff_view set cap = 100 where id = 3", Some("predicate")),
        ("update staff set dept = 'x' where id = 3", Some("predicate")),
        ("update staff set name = 'x' where id = 3", None),
        ("update staff set cap = 100, salary = 50 where id = 3", None),
        ("insert into staff (id, cap) values (3, 100)", None),
        ("insert into staff (id, ssn) select 1, '77'", Some("predicate")),
        ("insert into staff_view (id, ssn) values (1, '77')", Some("predicate")),
        ("update staff_view set ssn = '77' where id = 1", Some("predicate")),
        ("insert into refs values (1, '77')", Some("predicate")),
        ("copy refs from stdin", Some("predicate")),
        ("delete from depts where dept = 'x'", Some("predicate")),
        ("update depts set n = 5 where dept = 'x'", Some("predicate")),
        ("update depts set dept = 'y' where dept = 'x'", None),
        ("delete from notes where id = 1", None),
    ]);
    let catalog = catalog();
    let text = "insert into refs values (1, '77')";
    assert_eq!(refused(text, &catalog, Predicates::Equality), None);
    assert!(masked(&catalog).contains(&column(REFS, 2)), "the mask follows the foreign key");
}

#[test]
fn p3_no_predicate_allows_a_value_to_be_put_aside() {
    let catalog = catalog();
    for (text, reason) in [
        ("select set_config('my.v', ssn, false) from staff", Some("moved")),
        ("select pg_notify('c', ssn) from staff", Some("moved")),
        ("select pg_advisory_lock(salary) from staff", Some("moved")),
        ("select upper(ssn), length(ssn) from staff where ssn > '5'", None),
    ] {
        assert_eq!(refused(text, &catalog, Predicates::Allow), reason, "{text}");
    }
    each(&[("select pg_typeof(ssn), num_nulls(ssn, card) from staff", None)]);
}

#[test]
fn p3_statistics_are_found_under_views_and_widths_in_plans() {
    each(&[("select common from bloat", Some("statistics"))]);
    let catalog = catalog();
    let masks = masked(&catalog);
    for (text, hidden) in [
        ("explain select ssn from staff", true),
        ("explain select count(ssn) from staff", true),
        ("explain declare c cursor for select ssn from staff", true),
        ("explain (costs off, analyze) select ssn from staff", true),
        ("explain (costs off) select ssn from staff", false),
        ("explain select name from staff", false),
    ] {
        let found = parsed(text, &catalog);
        let columns = found.list[0].outputs.columns.iter().flatten();
        let deps = columns.flat_map(|column| &column.deps).any(|id| masks.contains(id));
        assert_eq!(deps, hidden, "{text}");
    }
}

/// A table of somebody's own may hold any values under any name.
#[test]
fn r5_columns_are_joined_where_a_key_ties_them() {
    let catalog = catalog();
    let masks = masked(&catalog);
    let judged = |text: &str| {
        let found = parsed(text, &catalog);
        let equality = |_| Predicates::Equality;
        let judged = exposure(&found.list[0], &|id| masks.contains(&id), &equality);
        judged.err().map(|found| found.reason)
    };
    for (text, reason) in [
        ("select s.id from staff s join refs r on r.of = s.ssn", None),
        ("select s.id from staff s join staff t on t.ssn = s.ssn", None),
        ("select a.id from refs a join refs b on a.of = b.of", None),
        ("select v.id from staff_view v join refs r on r.of = v.ssn", None),
        ("select s.id from staff s join depts d on d.dept = s.ssn", Some("predicate")),
        // Other uses give the parameter its type.
        ("select id from staff where card = $1 and balance = $1", None),
        ("select id from staff where ($1 is null or ssn = $1) and name = $1", None),
        ("select id from staff where grade = $1 and ssn = $1::text", Some("predicate")),
        ("select $1::timestamptz from staff where ssn = $1::text", Some("predicate")),
        ("update staff set dept = $1 where id = 1", None),
        // The operator is somebody's own.
        ("select id from staff where ssn = ('a' @! 'b')", Some("predicate")),
        ("create table kid () inherits (staff)", Some("redefined")),
        ("create table kid () inherits (depts)", None),
        ("alter table staff inherit depts", Some("redefined")),
    ] {
        assert_eq!(judged(text), reason, "{text}");
    }
}

#[test]
fn p3_what_a_column_has_its_mask_by_is_not_dropped() {
    let mut data = CatalogData::from(catalog());
    let notes = data.relations.iter_mut().find(|relation| &*relation.name == "notes");
    let columns = notes.map(|relation| &mut relation.columns).into_iter().flatten();
    for column in columns.filter(|column| &*column.name == "body") {
        column.default = Some("public.ssn_of('1'::text)".into());
    }
    let catalog = Catalog::new(data);
    for (text, reason) in [
        ("drop table staff cascade", Some("redefined")),
        ("drop table staff", Some("redefined")),
        ("drop table staff, refs, notes cascade", None),
        ("drop table refs", None),
        ("drop table orders", None),
        ("drop table depts", None),
        ("drop table depts cascade", Some("redefined")),
        // It is not there.
        ("drop table if exists nowhere cascade", None),
        // No default reads through it.
        ("drop view staff_view", None),
        ("drop function ssn_of(text) cascade", Some("redefined")),
        ("drop routine ssn_of", Some("redefined")),
        ("drop function double", None),
        ("drop function double cascade", Some("redefined")),
        ("drop domain mood cascade", Some("redefined")),
        ("drop type mood", None),
        ("drop schema app cascade", None),
        ("drop schema public cascade", None),
        ("drop schema app", None),
        ("drop index staff_ssn cascade", Some("redefined")),
        ("drop index staff_ssn", None),
        ("drop sequence s", None),
        ("drop trigger t on notes cascade", None),
        ("drop owned by app cascade", Some("redefined")),
    ] {
        assert_eq!(refused(text, &catalog, Predicates::Refuse), reason, "{text}");
    }
    // A materialized view over a view that calls a function, and this reads through another view.
    let mut data = CatalogData::from(self::catalog());
    data.functions.push(
        Function::new(31_050, "seen", "sql", Some("SELECT ssn FROM public.staff_view LIMIT 1"))
            .taking(&[]),
    );
    let columns = [("seen", 25)];
    data.relations.extend([
        Relation::new(21_050, RelationKind::View, "public", "v_seen", &columns)
            .defined("SELECT public.seen() AS seen"),
        Relation::new(21_051, RelationKind::MaterializedView, "public", "mv_seen", &columns)
            .defined("SELECT v_seen.seen FROM public.v_seen"),
    ]);
    let catalog = Catalog::new(data);
    for (text, reason) in [
        ("drop view staff_view", Some("redefined")),
        ("drop function seen()", Some("redefined")),
        ("drop view v_seen", Some("redefined")),
        ("drop materialized view mv_seen", None),
        ("drop view bloat", None),
        ("drop function double(text)", None),
    ] {
        assert_eq!(refused(text, &catalog, Predicates::Refuse), reason, "{text}");
    }
    // Nothing has a mask by a default here.
    each(&[
        ("drop function double", None),
        ("drop view staff_view", None),
        ("drop table orders cascade", None),
    ]);
}
