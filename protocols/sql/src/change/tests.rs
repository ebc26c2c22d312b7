use super::*;
use crate::catalog::{Cast, CatalogData, Function, Type, TypeKind};
use crate::{Options, SearchPath, Statements, analyse, sample};

/// `pg_type.oid` of `text` and of types made here.
const TEXT: u32 = 25;
const MOOD: u32 = 40_001;

/// A table of one column of this type.
fn table(oid: u32, name: &str, type_oid: u32) -> Relation {
    Relation::new(oid, RelationKind::Table, "public", name, &[("id", 23), ("v", type_oid)])
}

fn catalog() -> Catalog {
    let mut data = CatalogData::from(sample());
    let mut collated = table(21_001, "collated", TEXT);
    collated.columns[1].collated = true;
    let mut holder = table(21_002, "holder", 41_000);
    holder.columns[1].row_of = 20_003;
    let mut policed = table(21_003, "policed", TEXT);
    policed.row_security = true;
    data.relations.extend([collated, holder, policed, table(21_004, "moody", MOOD)]);
    data.types.push(Type { oid: MOOD, name: "mood".into(), kind: TypeKind::Plain, default: None });
    let body = "SELECT body FROM public.notes WHERE id = a";
    data.functions.push(Function::new(31_002, "of_note", "sql", Some(body)).taking(&["a"]));
    let body = "SELECT public.of_note(a)";
    data.functions.push(Function::new(31_003, "behind", "sql", Some(body)).taking(&["a"]));
    data.functions.push(Function::new(31_001, "lower", "sql", Some("SELECT 1")).taking(&["a"]));
    let mut flips = Function::new(31_005, "flips", "plpgsql", None);
    flips.may_define = true;
    data.functions.extend([flips, Function::new(31_006, "counts", "plpgsql", None)]);
    Catalog::new(data)
}

fn judged(text: &str, catalog: &Catalog) -> Statements {
    let path = SearchPath::of(&["public"]);
    let options =
        Options { standard_conforming_strings: true, search_path: &path, role: "someone" };
    analyse(text, &options, catalog).expect(text)
}

fn change(text: &str) -> Option<Change> {
    let statements = judged(text, &catalog());
    let mut all: Option<Change> = None;
    for one in statements.list.iter().filter_map(|statement| statement.changes.as_deref()) {
        all.get_or_insert_default().extend(one.clone());
    }
    all
}

fn uses(text: &str, catalog: &Catalog) -> Uses {
    Uses::of(&judged(text, catalog).list[0], text, catalog)
}

fn within(change_text: &str, text: &str) -> bool {
    let statements = judged(change_text, &catalog());
    let change = statements.list[0].changes_within.as_deref();
    change.is_some_and(|change| change.concerns(&uses(text, &catalog()), &Words::of(text)))
}

#[test]
fn within_a_session_its_temporary_relations_stand_before_others() {
    for text in [
        "create temp table notes (a int)",
        "create temp view notes as select 1",
        "create table pg_temp.notes (a int)",
        "select 1 as a into temp notes",
        "create temp sequence notes",
    ] {
        assert!(within(text, "select body from notes"), "{text}");
        assert!(!within(text, "select ref from vault"), "{text}");
        assert!(!concerns(text, "select body from notes"), "no other session can name it: {text}");
    }
    assert!(within("create table t (a int)", "select null::_t"), "the type of its arrays");
}

#[test]
fn names_that_nothing_has_move_nothing_that_is_there() {
    let moves = |text: &str| {
        let statements = judged(text, &catalog());
        statements.list[0].changes_within.as_deref().is_some_and(|c| c.moves_any_of(&catalog()))
    };
    for text in ["create view v as select 1", "create temp view v as select 1", "create sequence s"]
    {
        assert!(!moves(text), "{text}");
    }
    for text in [
        "create temp view notes as select 1",
        "create view greet as select 1",
        "create view mood as select 1",
        "drop view totals",
        "create type fresh as enum ('x')",
        "drop schema app cascade",
        "alter view totals rename to fresh",
        "create extension x",
        "create schema fresh",
        "drop schema fresh",
    ] {
        assert!(moves(text), "{text}");
    }
}

fn concerns(change_text: &str, text: &str) -> bool {
    let change = change(change_text);
    change.is_some_and(|change| change.concerns(&uses(text, &catalog()), &Words::of(text)))
}

#[test]
fn what_is_made_anew_concerns_who_names_it() {
    let plain = "select id, upper(body) from notes where id = 3";
    for text in [
        "create type fresh as enum ('a')",
        "create type fresh as (a int)",
        "create type fresh as range (subtype = int)",
        "create type fresh",
        "create domain fresh as int check (value > 0)",
        "create function fresh(a int) returns int language sql as 'select 1'",
        "create or replace function plain(x text) returns int language sql as 'select 1'",
        "create aggregate fresh (int) (sfunc = int4pl, stype = int)",
        "create schema fresh",
        "create schema fresh create table fresh.inside (a int)",
        "create table fresh (a int)",
        "create table fresh (a int references orders)",
        "create view fresh as select id from notes",
        "create sequence fresh",
        "create role fresh",
        "create collation fresh (locale = 'C')",
        "create trigger fresh before insert on orders execute function f()",
        "create policy fresh on orders using (true)",
    ] {
        assert!(!concerns(text, plain), "{text}");
        let named = "select fresh(id), body::fresh, (select max(id) from inside) from notes";
        let is_named = !text.contains(" on orders") && !text.contains("plain(");
        let is_name = !text.starts_with("create role") && text != "create schema fresh";
        assert!(!is_named || !is_name || concerns(text, named), "{text}");
    }
}

#[test]
fn what_a_name_of_postgresql_is_given_concerns_who_calls_it() {
    let plain = "select initcap(body) from notes";
    assert!(concerns("create type initcap as range (subtype = text)", plain));
    assert!(concerns("create function initcap(text) returns text language sql as 'x'", plain));
    assert!(concerns("alter function greet(text) rename to initcap", plain));
    assert!(concerns("alter aggregate greet(text) rename to initcap", plain));
    // The multirange that comes with a range.
    assert!(concerns(
        "create type fresh as range (subtype = text, multirange_type_name = initcap)",
        plain
    ));
    let derived = "select a_multirange(body), my_multirange_x(body) from notes";
    assert!(concerns("create type a as range (subtype = text)", derived));
    assert!(concerns("create type my_range_x as range (subtype = text)", derived));
    let long = format!("create type {} as range (subtype = text)", "r".repeat(41));
    assert!(change(&long).is_some_and(|change| change.any), "its multirange's name is cut");
    assert!(!concerns("create type fresh as range (subtype = text)", plain));
}

#[test]
fn relations_concern_who_reads_them_in_any_way() {
    for (text, statement) in [
        ("alter table notes add x int", "select body from notes"),
        ("alter table notes rename to other", "select body from notes"),
        ("alter table other rename to notes", "select body from notes"),
        ("alter table notes rename body to other", "select body from notes"),
        ("drop table notes", "select body from notes"),
        ("create view notes as select 1", "select body from notes"),
        ("create table notes as select 1", "select body from notes"),
        ("select 1 into notes", "select body from notes"),
        ("explain analyze create table notes as select 1", "select body from notes"),
        ("create table app.notes (a int)", "select body from notes"),
        ("alter table customers drop column ssn", "select tail from tails"),
        ("create or replace view people as select 1 as id", "select tail from tails"),
        ("alter table events drop column ssn", "select id from events_1"),
        ("alter table events_1 rename ssn to other", "select id from events"),
        ("create table events_2 partition of events for values in (1)", "select id from events"),
        ("create table child () inherits (notes)", "select id from notes"),
        ("alter table orders inherit notes", "select id from notes"),
        ("alter table notes rename body to other", "select (v).body from holder"),
        ("alter table notes rename body to other", "select greet(n) from notes n"),
        ("alter table notes add x int", "select ($1::notes).body"),
        ("alter table notes add x int", "select $1::\"notes\""),
        ("create rule r as on select to notes do instead select 1", "select body from notes"),
        ("create policy p on notes using (true)", "select body from notes"),
        ("alter policy p on notes using (true)", "select body from notes"),
        ("create trigger t before insert on notes execute function f()", "table notes"),
        ("drop rule r on notes", "select body from notes"),
        ("alter table notes set schema app", "select body from notes"),
        ("create schema s create view notes as select 1", "select body from notes"),
        // A body names its tables when it runs.
        ("alter table orders rename to notes", "select of_note(1)"),
        ("alter table notes rename to other", "select of_note(1)"),
        ("alter table notes rename column body to other", "select behind(1)"),
        ("create table app.notes (id int)", "select behind(1)"),
        ("drop table notes", "select id from orders where of_note(id) = 'x'"),
    ] {
        assert!(concerns(text, statement), "{text}: {statement}");
        assert!(!concerns(text, "select ref from vault"), "{text}");
    }
}

#[test]
fn what_goes_with_something_dropped_concerns_who_goes_by_more_than_tables() {
    for text in [
        "drop table orders cascade",
        "drop type mood cascade",
        "drop domain d",
        "drop function plain(text)",
        "drop operator === (text, text)",
        "drop cast (text as int)",
        "drop schema app cascade",
        "drop collation c cascade",
        "drop extension x",
        "drop owned by someone",
        "alter function greet(text) volatile",
        "alter domain d set not null",
        "create or replace function greet(text) returns text language sql as 'x'",
        "alter table orders drop column id cascade",
    ] {
        for statement in [
            "select who from people",
            "select sum from totals",
            "select v from collated",
            "select v from holder",
            "select v from policed",
            "select v from moody",
            "select body::mood from notes",
            "select greet(body) from notes",
            "select n.greet from notes n",
            "select greet('x')",
            "select lower(body) from notes",
            "select body === 'x' from notes",
            "select ssn_tail from contacts",
            "select gone from nowhere",
            "insert into notes values (1) returning body",
        ] {
            assert!(concerns(text, statement), "{text}: {statement}");
        }
        for statement in ["select upper(body) from notes", "select count(*) from pg_class"] {
            assert!(!concerns(text, statement), "{text}: {statement}");
        }
    }
}

#[test]
fn a_cast_of_ones_own_makes_every_conversion_one() {
    let mut data = CatalogData::from(catalog());
    let text = "select upper(body) from notes";
    assert!(!uses(text, &Catalog::new(data.clone())).made);
    data.casts.push(Cast { to: "int4".into(), function: 30_005 });
    assert!(uses(text, &Catalog::new(data)).made);
}

#[test]
fn other_schemas_concern_names_that_several_relations_have() {
    let (several, only) = ("select id from customers", "select id from notes");
    for text in [
        "alter schema app rename to other",
        "grant usage on schema app to someone",
        "revoke all on schema app from someone",
        "grant other to someone",
        "alter role someone nosuperuser",
        "alter role someone rename to other",
        "drop role other",
        "alter schema app owner to other",
        "reassign owned by other to someone",
        "alter table badges set schema public",
        "create schema fresh",
        "create schema authorization someone create view v as select 1",
        "drop schema fresh",
        "drop schema app cascade",
        "drop extension x",
        "drop access method m cascade",
        "drop type mood cascade",
        "drop table badges cascade",
    ] {
        assert!(concerns(text, several), "{text}");
        assert!(concerns(text, "select who from people"), "{text}");
        assert!(!concerns(text, only), "{text}");
    }
    assert!(concerns("alter schema app rename to other", "select id from app.badges"));
    assert!(concerns("alter schema x rename to other", "select id from other.badges"));
}

#[test]
fn what_can_be_anything_concerns_all_that_goes_by_anything() {
    for text in [
        "create operator + (leftarg = text, rightarg = text, function = f)",
        "create cast (text as int) with function f(text)",
        "create operator class c default for type point using btree as operator 1 <",
        "alter operator family f using btree add operator 1 < (int, int)",
        "create extension x",
        "alter extension x update",
        "import foreign schema s from server t into u",
        "load 'x'",
        "alter system set search_path = x",
        "alter type mood drop attribute a cascade",
        "alter type mood rename attribute a to b cascade",
    ] {
        assert!(change(text).is_some_and(|change| change.any), "{text}");
        for statement in ["select id from notes", "select 1 + 1", "select 'a' like 'b'"] {
            assert!(concerns(text, statement), "{text}: {statement}");
        }
        for statement in ["select 1", "show transaction isolation level", "fetch all from c"] {
            assert!(!concerns(text, statement), "{text}: {statement}");
        }
    }
}

#[test]
fn code_with_words_that_define_can_change_anything() {
    for text in [
        "do $$ begin execute 'create or replace view v as select 1'; end $$",
        "do language plpgsql 'begin DROP TABLE notes; end'",
        "select flips()",
        "select 1 from (select flips()) as flipped",
        "call flips()",
    ] {
        assert!(change(text).is_some_and(|change| change.any), "{text}");
    }
    for text in
        ["do $$ begin perform created(1); update notes set n = 1; end $$", "select counts()"]
    {
        assert_eq!(change(text), None, "{text}");
    }
}

#[test]
fn what_gives_nothing_another_meaning_is_no_change() {
    for text in [
        "select 1",
        "create index on notes (id)",
        "comment on table notes is 'x'",
        "grant select on notes to someone",
        "refresh materialized view totals",
        "create temp table notes (a int, b orders)",
        "create temp view notes as select 1",
        "select 1 into temp notes",
        "create table pg_temp.notes as select 1",
        "create role someone",
        "create database x",
        "create tablespace x location '/x'",
        "alter type mood add value 'x'",
        "alter sequence notes restart owned by none",
        "create publication p for table notes",
        "alter default privileges grant select on tables to someone",
    ] {
        assert_eq!(change(text), None, "{text}");
    }
}

#[test]
fn names_are_told_as_the_server_reads_them() {
    let rename = "alter table other rename to \"Odd One\"";
    assert!(concerns(rename, "select $1::\"Odd One\""));
    assert!(!concerns(rename, "select $1::\"odd one\""));
    assert!(concerns("alter table other rename to ODD", "select $1::Odd"));
    assert!(concerns("alter table other rename to odd", r#"select $1::U&"\006fdd""#));
    assert!(concerns("alter table other rename to \"o\"\"d\"", "select $1::\"o\"\"d\""));
    let long = "n".repeat(70);
    assert!(concerns(
        &format!("alter table other rename to {long}"),
        &format!("select $1::{long}")
    ));
    assert!(uses(&format!("select 1 -- {}", "x".repeat(TEXT_BYTES_MAX)), &catalog()).unclear);
}

#[test]
fn tables_with_more_parts_than_are_told_apart_go_by_any_name() {
    let mut data = CatalogData::from(sample());
    let parts =
        (0..2_000).map(|at| table(50_000 + at, &format!("events_of_{at}"), TEXT).under(&[20_008]));
    data.relations.extend(parts);
    let uses = uses("select id from events", &Catalog::new(data));
    assert!(uses.unclear && uses.names.len() < 2_000);
}
