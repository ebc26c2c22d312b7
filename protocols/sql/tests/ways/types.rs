//! Types within types, places that were passed over, and what is written.

use super::*;

const HOLDS: u32 = 21_010;
const BOX: u32 = 21_011;
const WRAPPED: u32 = 21_012;
/// `pg_type.oid` of the row type of `ssn_box`: row types are in no list of types.
const BOX_TYPE: u32 = 21_950;

/// The same with types that hold a `ssn_box`, to which a cast reads `staff.ssn`; a table with a
/// column of it; and a generated column `plain` of `staff`, made of its `ssn`, with a key.
fn catalog_of_types() -> Catalog {
    let mut data = CatalogData::from(catalog());
    data.relations.extend([
        Relation::new(BOX, RelationKind::Composite, "public", "ssn_box", &[("v", 25)]),
        Relation::new(WRAPPED, RelationKind::Composite, "public", "wrapped", &[("b", BOX_TYPE)]),
        Relation::new(
            HOLDS,
            RelationKind::Table,
            "public",
            "holds",
            &[("id", 23), ("b", BOX_TYPE), ("a", 1009)],
        ),
    ]);
    data.types.push(Type {
        oid: 21_902,
        name: "boxed".into(),
        kind: TypeKind::Domain(BOX_TYPE),
        default: None,
    });
    data.types.push(Type {
        oid: 21_903,
        name: "small".into(),
        kind: TypeKind::Domain(23),
        default: None,
    });
    data.operators.push(Operator { name: "@!~".into(), function: 31_000 });
    for relation in data.relations.iter_mut().filter(|relation| relation.oid == STAFF) {
        let plain = Relation::new(1, RelationKind::Table, "x", "x", &[("plain", 25)]);
        let plain = plain.keyed(&["plain"]).columns.into_iter().next();
        relation.columns.extend(plain.map(|mut plain| {
            plain.attnum = 14;
            plain.generated = Some("replace(ssn, '-'::text, ''::text)".into());
            plain
        }));
    }
    Catalog::new(data)
}

/// The reason of the refusal, or how many output columns are masked.
fn met(text: &str, catalog: &Catalog, allows: Predicates) -> Result<usize, &'static str> {
    if let Some(reason) = refused(text, catalog, allows) {
        return Err(reason);
    }
    let masks = masked(catalog);
    let found = parsed(text, catalog);
    let outputs = found.list.last().map(|last| last.outputs.clone()).unwrap_or_default();
    let columns = outputs.columns.iter().flatten().chain(&outputs.every);
    Ok(columns.filter(|c| c.deps.iter().any(|id| masks.contains(id))).count())
}

fn each_met(attempts: &[(&str, Result<usize, &'static str>)]) {
    let catalog = catalog_of_types();
    for (text, meets) in attempts {
        assert_eq!(met(text, &catalog, Predicates::Refuse), *meets, "{text}");
    }
}

#[test]
fn p3_every_place_that_holds_an_expression_is_walked() {
    each_met(&[
        (
            "select 1 from xmltable(xmlnamespaces((select ssn::int::text from staff where id = 1) as x), \
             '/a' passing (xml('<a/>')) columns v text path '.') x",
            Err("expression"),
        ),
        (
            "select x.v from xmltable(xmlnamespaces('u' as x), '/a' passing (xml('<a/>')) \
             columns v text path '.' default 'x') x",
            Ok(0),
        ),
        (
            "select x.a from json_table(jsonb '{}', '$' columns (a text path '$.a' \
             default (select ssn from staff where id = 1) on empty)) x",
            Err("from_function"),
        ),
        ("select x.a from json_table(jsonb '{}', '$' columns (a text path '$.a')) x", Ok(0)),
        ("select dept, grouping(dept) from staff group by rollup (dept)", Ok(0)),
        (
            "with recursive r (n) as (select 1 union all select n + 1 from r) \
             cycle n set c to ssn_box '1' default ssn_box '2' using p select count(*) from r",
            Ok(0),
        ),
        (
            "with recursive r (n) as (select 1 union all select n + 1 from r) \
             cycle n set c to ssn_box '1' default ssn_box '2' using p select c from r",
            Ok(1),
        ),
        (
            "insert into holds (id, a[(select salary from staff)]) values (1, 'x')",
            Err("expression"),
        ),
        ("select name from staff s where (s).dept = 'x' and dept(s) = 'y' order by name", Ok(0)),
        ("select count(*) as n, dept as d from staff s group by d order by n", Ok(0)),
        ("select 1::numeric(10, 2), '1'::varchar(5)", Ok(0)),
        ("select s.*, (n).* from depts s, notes n", Ok(0)),
    ]);
}

#[test]
fn p3_casts_are_found_inside_types() {
    each_met(&[
        ("select array[1]::_ssn_box", Ok(1)),
        ("select array[1]::ssn_box[]", Ok(1)),
        ("select row(1)::wrapped", Ok(1)),
        ("select array[row(1)]::wrapped[]", Ok(1)),
        ("select 1::boxed", Ok(1)),
        ("select row(1)::made_since", Ok(1)),
        ("select row(1)::public.made_since", Ok(1)),
        (
            "select id from notes where (row(id)::wrapped) is not null and row(id)::wrapped = row(1)",
            Err("predicate"),
        ),
        ("select 1::int, '{1}'::int[], array[1]::_int4, '1'::jsonb, now()::date, 1::small", Ok(0)),
        ("select 'x'::mood, name::mood from staff", Ok(0)),
        ("insert into holds (id, b) values (1, 2)", Err("moved")),
        ("insert into holds (id, b) select 1, 2", Err("moved")),
        ("insert into holds (id, a) values (1, '{x}')", Ok(0)),
        ("update holds set b = 2 where id = 1", Err("moved")),
        ("create table t (b ssn_box default 1)", Err("moved")),
        ("create table t (b ssn_box)", Ok(0)),
        ("alter table notes alter body type wrapped", Err("moved")),
        (
            "select x.b from xmltable('/a' passing (xml('<a/>')) columns b ssn_box path '.' default 1) x",
            Err("from_function"),
        ),
        (
            "select x.b from json_table(jsonb '{}', '$' columns (b ssn_box path '$.b' \
             default 1 on empty)) x",
            Err("from_function"),
        ),
        ("alter table holds alter b set default 1", Err("moved")),
        ("alter table holds alter id set default 1", Ok(0)),
        ("create type kept as (b ssn_box); select row(1)::kept", Ok(1)),
        ("create type pg_temp.text as enum ('1'); select ssn::text from staff", Err("expression")),
        ("create type pg_temp.text as (b ssn_box); select row(1)::text", Ok(1)),
        ("drop table depts; select ssn::text from staff", Ok(1)),
    ]);
}

#[test]
fn p3_subscripts_of_targets_are_walked() {
    each_met(&[
        (
            "insert into holds (id, a[(select salary from staff where id = 1)]) values (1, 'x') \
             returning a",
            Err("expression"),
        ),
        ("insert into holds (id, a[2]) values (1, 'x') returning a", Ok(0)),
        (
            "merge into holds h using staff s on h.id = s.id when not matched then \
             insert (id, a[s.salary]) values (s.id, 'x')",
            Err("expression"),
        ),
        (
            "update holds set a[(select salary from staff where id = 1)] = 'x' where id = 1",
            Err("expression"),
        ),
        ("update holds set a[2:3] = '{x}' where id = 1", Ok(0)),
    ]);
}

#[test]
fn p3_a_part_of_a_masked_value_is_not_assigned() {
    each_met(&[
        ("update staff set tags[1][1] = 'x' where id = 2", Err("expression")),
        ("update staff set profile['n'] = '1' where id = 1", Err("expression")),
        (
            "insert into staff (id) values (1) on conflict (id) do update set tags[1] = 'x'",
            Err("expression"),
        ),
        (
            "merge into staff s using notes n on s.id = n.id when matched then update \
             set tags[1] = 'x'",
            Err("expression"),
        ),
        ("insert into staff (id, tags[1]) values (5, 'x')", Ok(0)),
        ("insert into staff (id, tags[1]) select 9, tags from staff where id = 1", Err("moved")),
    ]);
    let mut data = CatalogData::from(catalog());
    data.casts.clear();
    let text = "update staff set home.street = 'x' where id = 1";
    assert_eq!(refused(text, &Catalog::new(data), Predicates::Refuse), Some("expression"));
}

#[test]
fn r5_a_masked_value_that_is_copied_is_not_compared() {
    each_met(&[
        ("update staff set salary = salary, cap = 50 where id = 1", Err("predicate")),
        ("update staff s set salary = s.salary, cap = 50 where id = 1", Err("predicate")),
        ("update staff set dept = 'ops', ssn = ssn where id = 4", Err("predicate")),
        ("update staff set (dept, ssn) = row('ops', ssn) where id = 4", Err("predicate")),
        (
            "update staff set (dept, ssn) = (select 'ops', ssn from staff where id = 3) where id = 4",
            Err("predicate"),
        ),
        (
            "update staff t set ssn = s.ssn, dept = 'law' from staff s where s.id = 3 and t.id = 6",
            Err("predicate"),
        ),
        (
            "update staff t set ssn = s.ssn from staff s where s.id = 3 and t.id = 9",
            Err("predicate"),
        ),
        (
            "update staff_view t set ssn = s.ssn from staff_view s where s.id = 3 and t.id = 9",
            Err("moved"),
        ),
        (
            "insert into staff (id, salary, cap) select 9, salary, 50 from staff where id = 1",
            Err("predicate"),
        ),
        ("insert into staff_view (id, ssn) select 9, ssn from staff_view", Err("predicate")),
        (
            "insert into staff (id) values (1) on conflict (id) do update \
             set salary = staff.salary, cap = 5",
            Err("predicate"),
        ),
        (
            "insert into staff (id, salary) select 1, salary from staff on conflict (id) \
             do update set salary = excluded.salary",
            Err("predicate"),
        ),
        (
            "merge into staff t using staff s on t.id = s.id + 1 when matched then \
             update set ssn = s.ssn",
            Err("moved"),
        ),
        (
            "merge into staff t using staff s on t.id = s.id + 1 when not matched then \
             insert (id, ssn) values (9, s.ssn)",
            Err("predicate"),
        ),
        (
            "with u as (update staff set salary = salary, cap = 5 returning id) \
             select count(*) from u",
            Err("predicate"),
        ),
        ("update staff set ssn = ssn, name = 'x' where id = 3", Ok(0)),
        ("update staff set salary = 5, cap = 6 where id = 1", Ok(0)),
        ("insert into staff (id, salary, cap) values (1, 2, 3)", Ok(0)),
        ("insert into staff (id, salary, cap) select 1, id, 3 from notes", Ok(0)),
        ("update staff t set card = s.card from staff s where s.id = t.id", Ok(0)),
        (
            "insert into staff (id, cap, salary) values (1, 5, 6) on conflict (id) \
             do update set cap = excluded.cap, salary = excluded.salary",
            Ok(0),
        ),
        (
            "insert into staff (id, cap, salary) values (1, 5, 6) on conflict (id) \
             do update set (cap, salary) = (excluded.cap, excluded.salary)",
            Ok(0),
        ),
    ]);
}

#[test]
fn r5_excluded_is_special_only_in_on_conflict() {
    let catalog = catalog_of_types();
    for (text, reason) in [
        (
            "update staff set ssn = excluded.ssn from (values ('77')) excluded (ssn) where id = 5",
            Some("predicate"),
        ),
        (
            "merge into staff t using (values ('77')) excluded (ssn) on t.id = 5 \
             when matched then update set ssn = excluded.ssn",
            Some("predicate"),
        ),
        (
            "insert into staff (id, ssn) values (1, '77') on conflict (id) \
             do update set ssn = excluded.ssn",
            None,
        ),
    ] {
        assert_eq!(refused(text, &catalog, Predicates::Equality), reason, "{text}");
    }
}

#[test]
fn p3_operators_of_subqueries_and_of_order_call_functions() {
    each_met(&[
        ("select 1 operator(public.@!~) any (select '1%')", Err("expression")),
        ("select 1 operator(public.@!~) all (select '1%')", Err("expression")),
        ("select (1, 2) operator(public.@!~) (select 1, 2)", Err("expression")),
        ("select id from notes where body @!~ any (select 'x')", Err("predicate")),
        ("select id from notes where not body @!~ all (select 'x')", Err("predicate")),
        ("select id from notes order by id using @!~", Err("predicate")),
        ("select array_agg(id order by id using @!~) from notes", Err("predicate")),
        ("select id from notes where id in (select 1) order by id using <", Ok(0)),
    ]);
    let mut data = CatalogData::from(catalog_of_types());
    data.operators.push(Operator { name: "<".into(), function: 31_000 });
    let catalog = Catalog::new(data);
    for text in [
        "select id from notes where id between 1 and 2",
        "select distinct id from notes",
        "select greatest(id, 1) from notes where id = 1 group by id",
        "select 1 union select 2",
        "select count(*) over (partition by id) from notes",
    ] {
        assert!(refused(text, &catalog, Predicates::Refuse).is_some(), "{text}");
    }
}

#[test]
fn r5_only_what_a_generated_key_reads_is_unique() {
    each_met(&[
        ("insert into staff (id, name, tags) values (5, 'x', '{a}')", Ok(0)),
        ("update staff set salary = 5 where id = 1", Ok(0)),
        ("update staff set ssn = '77' where id = 1", Err("predicate")),
        ("insert into staff (id, name, tags) select 5, name, '{}' from staff", Ok(0)),
        ("insert into staff (id, tags) select 5, tags from staff where id = 1", Ok(0)),
    ]);
    let mut data = CatalogData::from(catalog_of_types());
    for column in data.relations.iter_mut().flat_map(|relation| &mut relation.columns) {
        if &*column.name == "plain" {
            column.generated = Some("row(".into());
        }
    }
    let catalog = Catalog::new(data);
    let text = "insert into staff (id, tags) values (5, '{a}')";
    assert_eq!(refused(text, &catalog, Predicates::Refuse), Some("predicate"));
}

#[test]
fn p3_tests_for_null_by_any_name_are_allowed() {
    each_met(&[
        ("select id from staff where ssn is not distinct from null", Ok(0)),
        ("select id from staff where null is distinct from ssn", Ok(0)),
        ("select ssn is distinct from null, ssn is not distinct from null from staff", Ok(0)),
        ("select id from staff where (salary > 0) is unknown", Err("predicate")),
        ("select salary is unknown, salary is not unknown from staff", Ok(0)),
        ("select id from staff where salary is not unknown", Ok(0)),
        ("select id from staff where ssn is distinct from '1'", Err("predicate")),
        ("select id from staff where ssn is distinct from null::text", Err("predicate")),
        ("select home is distinct from null from staff", Err("expression")),
        ("select salary is true from staff", Err("expression")),
    ]);
}

/// `held` is a table that a masked column of `holders` references.
fn with_references() -> Catalog {
    let mut data = CatalogData::from(catalog());
    data.relations.extend([
        Relation::new(21_010, RelationKind::Table, "public", "held", &[("id", 23), ("owner", 25)]),
        Relation::new(21_011, RelationKind::View, "public", "held_view", &[("x", 28), ("id", 23)])
            .defined("SELECT held.xmax AS x, held.id FROM public.held"),
        Relation::new(21_012, RelationKind::Table, "public", "held_eu", &[("id", 23)])
            .under(&[21_010]),
    ]);
    data.ties.push(Tie { from: column(STAFF, 12), to: column(21_010, 1), by: TieKind::Reference });
    Catalog::new(data)
}

#[test]
fn p3_what_foreign_keys_lock_is_known_by_them() {
    let catalog = with_references();
    for (text, reason) in [
        ("select id from held where xmax::text <> '0'", Some("predicate")),
        ("select h.xmax = '0' from held h", Some("expression")),
        ("select (h).xmax = '0' from held h", Some("expression")),
        ("select xmax(h) = '0' from held h", Some("expression")),
        ("select h.xmax = '0' from held h(a, b)", Some("expression")),
        ("select xmax = '0' from nowhere n, held", Some("unknown_object")),
        ("select xmax = '0' from staff_view, held", Some("expression")),
        ("select x = '0' from held_view", Some("expression")),
        ("select xmax = '0' from held_eu", Some("expression")),
        ("select id from held where xmin::text <> '0'", None),
        ("select count(*) from held h", None),
        ("select h, id from held h where ctid = '(0,1)'", None),
        ("select xmax = '0' from notes", None),
        ("select id from held for update skip locked", Some("predicate")),
        ("select id from held for key share nowait", Some("predicate")),
        ("select id from held_view for no key update nowait", Some("predicate")),
        ("select id from (select * from held) h for share skip locked", Some("predicate")),
        ("select id from held for update", None),
        ("select id from notes for update skip locked", None),
    ] {
        assert_eq!(refused(text, &catalog, Predicates::Refuse), reason, "{text}");
    }
    let masks = masked(&catalog);
    for (text, hidden) in [
        ("select xmax from held", true),
        ("select x from held_view", true),
        ("select h, owner, xmin from held h", false),
    ] {
        let found = parsed(text, &catalog);
        let columns = found.list[0].outputs.columns.iter().flatten();
        let deps = columns.flat_map(|column| &column.deps).any(|id| masks.contains(id));
        assert_eq!(deps, hidden, "{text}");
    }
}

#[test]
fn p3_json_within_other_types_may_not_be_jsonb() {
    let mut data = CatalogData::from(catalog());
    data.types.extend([
        Type { oid: 21_960, name: "jsons".into(), kind: TypeKind::Domain(199), default: None },
        Type { oid: 21_961, name: "texts".into(), kind: TypeKind::Domain(1009), default: None },
        Type { oid: 21_962, name: "_home".into(), kind: TypeKind::Array, default: None },
    ]);
    let columns =
        [("a", 199), ("b", 21_960), ("c", 21_961), ("d", 21_962), ("e", 2249), ("f", 3802)];
    data.relations.push(Relation::new(21_020, RelationKind::Table, "public", "kept", &columns));
    let catalog = Catalog::new(data);
    let masks = masked_columns(&catalog, |_, table, _| table == "kept");
    for (column, fails) in
        [("a", true), ("b", true), ("c", false), ("d", true), ("e", true), ("f", false)]
    {
        for function in ["to_jsonb", "jsonb_agg", "jsonb_build_array"] {
            let found = parsed(&format!("select {function}({column}) from kept"), &catalog);
            let refuse = |_| Predicates::Refuse;
            let refused = exposure(&found.list[0], &|id| masks.contains(&id), &refuse).is_err();
            assert_eq!(refused, fails, "{function}({column})");
        }
    }
}

#[test]
fn p3_how_much_is_written_tells_how_long_values_are() {
    let catalog = catalog();
    let masks = masked(&catalog);
    for (text, hidden) in [
        ("explain (analyze, wal, costs off) update staff set name = name || 'y'", true),
        ("explain (analyze, costs off) update staff set name = 'y'", true),
        ("explain (analyze, costs off) delete from staff where id = 1", true),
        ("explain (analyze, buffers, costs off) select id from staff", true),
        ("explain (buffers, costs off) select id from staff_view", true),
        ("explain (analyze, costs off, buffers off) select id from staff", false),
        ("explain (costs off) update staff set name = 'y'", false),
        ("explain (analyze, wal, buffers) update notes set body = 'y'", false),
    ] {
        let found = parsed(text, &catalog);
        let columns = found.list[0].outputs.columns.iter().flatten();
        let deps = columns.flat_map(|column| &column.deps).any(|id| masks.contains(id));
        assert_eq!(deps, hidden, "{text}");
    }
    each(&[
        ("select pg_current_wal_lsn()", Some("statistics")),
        ("select pg_current_wal_insert_lsn() - '0/0'", Some("statistics")),
        ("select * from pg_stat_get_wal()", Some("statistics")),
        ("select pg_stat_get_xact_tuples_hot_updated(21000)", Some("statistics")),
        ("select wal_bytes from pg_stat_wal", Some("statistics")),
        ("select * from pg_stat_xact_user_tables", Some("statistics")),
        ("select * from pg_catalog.pg_statio_user_tables", Some("statistics")),
        ("select redo_lsn from pg_control_checkpoint()", Some("statistics")),
        ("select relname, n_live_tup from pg_stat_user_tables", None),
        ("select pg_size_pretty(pg_total_relation_size('notes'))", None),
        ("select pg_database_size('app')", None),
    ]);
}

#[test]
fn p3_how_long_a_value_is_cannot_be_told_by_limits() {
    let doubled = (0..30).fold("select 'x' s".to_owned(), |text, level| {
        format!("select s || s as s from ({text}) q{level}")
    });
    let doubled = format!("select ssn || q.s from staff, ({doubled}) q");
    each(&[
        ("select 'SSN ' || ssn, name || ' ' || ssn || '!' from staff", None),
        ("select ssn || $1, ssn || id::text, ssn || now()::text from staff", None),
        ("select ssn || upper(left(name, 1)) || count(*) over () from staff", None),
        ("select ssn || v.x from staff, (values ('a'), ('b')) v(x)", None),
        ("select ssn || g from staff, generate_series(1, 3) g", None),
        ("select concat(name, ' ', ssn), concat_ws(', ', ssn, name) from staff", None),
        ("select string_agg(ssn, ',' order by id), json_agg(ssn) from staff", None),
        ("select (ssn || repeat('x', 1073741812)) is null from staff", Some("expression")),
        ("select to_jsonb(ssn || repeat('x', 268435444)) is null from staff", Some("expression")),
        ("select ssn || (select repeat('x', 9)) from staff", Some("expression")),
        ("with r as (select lpad('', 9) x) select x || ssn from r, staff", Some("expression")),
        ("select q.x || ssn from staff, repeat('x', 9) q(x)", Some("expression")),
        ("select concat(ssn, repeat('x', 9)) is null from staff", Some("expression")),
        ("select concat_ws(rpad('x', 9), ssn, ssn) is null from staff", Some("expression")),
        ("select string_agg(ssn, format('%9s', 'x')) is null from staff", Some("expression")),
        ("select json_build_object('a', ssn, 'b', repeat('x', 9)) from staff", Some("expression")),
        ("select max(name || repeat('x', 9)) || max(ssn) from staff", Some("expression")),
        (
            "select ssn || (select string_agg('x', '') from generate_series(1, 9)) from staff",
            Some("expression"),
        ),
        ("select ssn || double(repeat('x', 9)) from staff", Some("expression")),
        ("select ssn || ''::bit(9)::text from staff", Some("expression")),
        (
            "with recursive r as (select 'x' s union all select s || s from r) select ssn || s from r, staff",
            Some("expression"),
        ),
        (&doubled, Some("expression")),
        ("select name || repeat('x', 9) from staff", None),
        ("select repeat('x', 9) from staff where id = 1", None),
    ]);
}

#[test]
fn p3_what_cannot_fail_on_a_value_is_not_refused() {
    let mut data = CatalogData::from(catalog());
    let mut trigram = Function::new(31_030, "similarity_op", "c", None).taking(&["a", "b"]);
    trigram.volatility = 's';
    let mut other = Function::new(31_031, "other_op", "c", None).taking(&["a", "b"]);
    other.volatility = 's';
    data.functions.extend([trigram, other]);
    data.operators.push(Operator { name: "%".into(), function: 31_030 });
    data.operators.push(Operator { name: "%%%".into(), function: 31_031 });
    let columns = [("id", 23), ("ssn", 25), ("country", 25)];
    let child = Relation::new(21_030, RelationKind::Table, "public", "staff_eu", &columns);
    data.relations.push(child.under(&[STAFF]));
    let catalog = Catalog::new(data);
    for (text, reason) in [
        ("select id from staff where name % 'Ada'", None),
        ("select id from staff where ssn % 'Ada'", Some("predicate")),
        ("select id from staff where name %%% 'Ada'", Some("opaque_function")),
        ("select p::staff from staff_eu p", None),
        ("select p::public.staff from staff_eu p", None),
        ("select p::staff_eu from staff p", Some("expression")),
        ("select p::staff[] from staff_eu p", Some("expression")),
        ("select (p::staff).ssn::int from staff_eu p", Some("expression")),
    ] {
        assert_eq!(refused(text, &catalog, Predicates::Refuse), reason, "{text}");
    }
    let masks = masked(&catalog);
    let found = parsed("select p::staff from staff_eu p", &catalog);
    let columns = found.list[0].outputs.columns.iter().flatten();
    assert!(columns.flat_map(|column| &column.deps).any(|id| masks.contains(id)));
}
