//! R7: definitions that change earlier in the same text, behind a prepared statement, or while a
//! reply is on its way.

use std::sync::Arc;

use postgres::POSTGRES;
use testkit::conversation::{Cuts, Play};
use testkit::stage::Scene;

use super::notation::{Postgres, RESOURCE, scene, snapshot};
use super::{check, written};

conversations! {
    r7_p3_what_stands_behind_a_changed_definition_is_refused: r#"
rule hide mask customers.ssn
login
client >> Q "alter table public.vault rename column ssn to x; select (select ssn from public.vault limit 1) || '' from customers"
client >> Q "alter table public.vault drop column ssn; select (select ssn from public.vault limit 1) || '' from customers"
client >> Q "alter table public.vault rename to old; create table public.vault (id int); select (select ssn from public.vault limit 1) || '' from customers"
client >> Q "alter table public.vault set schema app; alter table app.orders set schema public; select (select ssn from public.vault limit 1) || '' from customers"
client >> Q "alter schema app rename to old; select (select ssn from public.vault limit 1) || '' from customers"
client >> Q "drop table public.vault; create table public.vault as select 1 as id; select (select ssn from public.vault limit 1) || '' from customers"
client >> Q "drop table public.vault; select 1 as id into public.vault; select (select ssn from public.vault limit 1) || '' from customers"
client >> Q "drop table public.vault; create table if not exists public.vault (id int); select (select ssn from public.vault limit 1) || '' from customers"
client >> Q "drop view totals; create view totals as select id from orders; select (select ssn from public.vault limit 1) || '' from customers"
client >> Q "alter view totals rename column sum to x; select (select ssn from public.vault limit 1) || '' from customers"
client >> Q "alter type pair rename attribute ssn to x cascade; select (select ssn from public.vault limit 1) || '' from customers"
client >> Q "create temp table vault (id int, ssn text); drop table vault; create temp table vault (id int); select (select ssn from public.vault limit 1) || '' from customers"
client >> Q "alter table public.vault rename column ssn to x; select id from customers where (select ssn from public.vault limit 1) like '1%'"
client >> Q "alter table public.vault rename column ssn to x; create table app.copy as select id, (select ssn from public.vault limit 1) as v from customers"
client >> Q "begin; alter table public.vault rename column ssn to x; commit; select 1"
client >> Q "begin; alter table public.vault rename column ssn to x; prepare transaction 'j'"
client >> Q "commit prepared 'j'; select 1"
client >> Q "begin"
server >> C "BEGIN" ; Z T
client >> Q "drop table public.vault"
server >> C "DROP TABLE" ; Z T
client >> Q "create table if not exists public.vault (id int)"
server >> C "CREATE TABLE" ; Z T
client >> Q "select (select ssn from public.vault limit 1) || '' from customers"
"#;
    p9_what_stands_behind_a_definition_that_is_followed_passes: r#"
rule hide mask customers.ssn
login
client >> Q "begin; alter table public.vault rename column ssn to x; commit"
server >> C "BEGIN" ; C "ALTER TABLE" ; C "COMMIT" ; Z I
client >> Q "create table fresh (id int primary key); create index on fresh (id); insert into fresh values (1)"
server >> C "CREATE TABLE" ; C "CREATE INDEX" ; C "INSERT 0 1" ; Z I
client >> Q "drop table if exists scratch; create temp table scratch as select id from orders; select id from scratch"
server >> C "DROP TABLE" ; C "SELECT 0" ; T id:99001.1 ; C "SELECT 0" ; Z I
client >> Q "drop table notes; create table notes (id int, body text); insert into notes values (1, 'x')"
server >> C "DROP TABLE" ; C "CREATE TABLE" ; C "INSERT 0 1" ; Z I
"#;
    r7_p9_what_was_defined_in_ways_that_are_not_followed_concerns_who_goes_by_it: r#"
rule hide mask customers.ssn
login
client >> Q "begin"
server >> C "BEGIN" ; Z T
client >> Q "create type mood as enum ('a')"
server >> C "CREATE TYPE" ; Z T
client >> Q "select body from notes"
server >> T body:notes.body ; D "one" ; C "SELECT 1" ; Z T
client >> Q "rollback"
server >> C "ROLLBACK" ; Z I
client >> Q "begin"
server >> C "BEGIN" ; Z T
client >> Q "drop view totals"
server >> C "DROP VIEW" ; Z T
client >> Q "select 1 from pg_catalog.pg_class c where relname = 'orders'"
server >> T x:int4 ; C "SELECT 0" ; Z T
client >> Q "select id, ssn from public.customers"
server >> T id:customers.id ssn:customers.ssn ; D "1" "123-45-6789" ; C "SELECT 1" ; Z T
client >> Q "drop sequence notes_id_seq"
server >> C "DROP SEQUENCE" ; Z T
client >> Q "select sum from totals"
server >> E 42601 "syntax error" ; Z E
client >> Q "rollback"
server >> C "ROLLBACK" ; Z I
client >> Q "begin"
server >> C "BEGIN" ; Z T
client >> Q "create type mood as enum ('a')"
server >> C "CREATE TYPE" ; Z T
client >> Q "select sum from totals"
server >> E 42601 "syntax error" ; Z E
client >> Q "rollback"
server >> C "ROLLBACK" ; Z I
client >> Q "begin"
server >> C "BEGIN" ; Z T
client >> Q "create type mood as enum ('a')"
server >> C "CREATE TYPE" ; Z T
client >> Q "create temp table mine (m mood)"
server >> E 42601 "syntax error" ; Z E
client >> Q "rollback"
server >> C "ROLLBACK" ; Z I
client >> Q "begin"
server >> C "BEGIN" ; Z T
client >> Q "create temp view notes as select id as body from orders"
server >> C "CREATE VIEW" ; Z T
client >> Q "select body from notes"
server >> E 42601 "syntax error" ; Z E
client >> Q "rollback"
server >> C "ROLLBACK" ; Z I
client >> P "before" "select body from notes" ; S
server >> 1 ; t ; T body:notes.body ; Z I
client >> Q "begin"
server >> C "BEGIN" ; Z T
client >> Q "create temp view notes as select id as body from orders"
server >> C "CREATE VIEW" ; Z T
client >> B "" "before" ; E "" ; S
"#;
    p3_r7_what_is_made_without_a_schema_may_be_in_a_new_one: r#"
rule hide mask customers.ssn
login
client >> Q "begin"
server >> C "BEGIN" ; Z T
client >> Q "create schema app2"
server >> C "CREATE SCHEMA" ; Z T
client >> Q "create table if not exists customers (id int, a text, b text, c text)"
server >> E 42601 "syntax error" ; Z E
client >> Q "rollback"
server >> C "ROLLBACK" ; Z I
client >> Q "begin"
server >> C "BEGIN" ; Z T
client >> Q "create table if not exists notes (id int, a text)"
server >> C "CREATE TABLE" ; Z T
client >> Q "insert into notes values (1, 'x')"
server >> E 42601 "syntax error" ; Z E
client >> Q "rollback"
server >> C "ROLLBACK" ; Z I
client >> Q "create table if not exists notes (id int, a text); insert into notes values (1, 'x')"
client >> Q "insert into customers (id, ssn) select id, ssn from public.customers"
client >> Q "update customers set ssn = other.ssn from public.customers other"
client >> Q "insert into public.customers (id, ssn) select id + 100, ssn from public.customers"
server >> C "INSERT 0 1" ; Z I
"#;
    p3_what_is_named_late_is_not_run_by_other_names_than_it_was_bound_by: r#"
rule hide mask customers.ssn
login
client >> Q "begin"
server >> C "BEGIN" ; Z T
client >> P "s" "copy notes (body) to stdout" ; B "p" "s" ; S
server >> 1 ; t ; n ; 2 ; Z T
client >> Q "select id from notes"
server >> T id:notes.id ; C "SELECT 0" ; Z T
client >> E "p" ; S
server >> H 1 ; d "x\n" ; c ; C "COPY 1" ; Z T
client >> B "p" "s" ; S
server >> 2 ; n ; Z T
client >> Q "set local search_path = app"
server >> C "SET" ; Z T
client >> E "p" ; S
server >> E 42601 "syntax error" ; Z E
client >> Q "rollback"
server >> C "ROLLBACK" ; Z I
client >> P "s" "alter table notes rename column body to x" ; B "p" "s" ; P "" "set search_path = app" ; B "" "" ; E "" ; E "p" ; S
server >> 1 ; t ; n ; 2 ; 1 ; t ; n ; 2 ; C "SET"
server >> E 42601 "syntax error" ; Z I
client >> P "s" "copy notes (body) to stdout" ; B "p" "s" ; H ; E "p" ; H ; S
server >> 1 ; t ; n ; 2 ; H 1 ; d "x\n" ; c ; C "COPY 1" ; Z I
client >> Q "begin"
server >> C "BEGIN" ; Z T
client >> B "p" "s" ; S
server >> 2 ; n ; Z T
client >> Q "drop view totals"
server >> C "DROP VIEW" ; Z T
client >> E "p" ; S
"#;
    p3_what_a_cursor_calls_is_not_run_under_another_search_path: r#"
rule hide mask customers.ssn
login
client >> Q "begin"
server >> C "BEGIN" ; Z T
client >> Q "declare bare cursor for select body from notes"
server >> C "DECLARE CURSOR" ; Z T
client >> Q "declare calls cursor for select greet(body) from notes"
server >> C "DECLARE CURSOR" ; Z T
client >> P "s" "select greet(body) from notes" ; B "p" "s" ; S
server >> 1 ; t ; T greet:text ; 2 ; Z T
client >> Q "set local search_path = app"
server >> C "SET" ; Z T
client >> Q "fetch all from bare"
server >> T body:notes.body ; D "one" ; C "FETCH 1" ; Z T
client >> Q "fetch all from calls"
server >> E 42601 "syntax error" ; Z E
client >> Q "rollback"
server >> C "ROLLBACK" ; Z I
client >> Q "begin"
server >> C "BEGIN" ; Z T
client >> P "s" "select greet(body) from notes" ; B "p" "s" ; P "" "set local search_path = app" ; B "" "" ; E "" ; E "p" ; S
"#;
    p9_names_that_are_new_move_no_others: r#"
rule hide mask customers.ssn
login
client >> Q "begin"
server >> C "BEGIN" ; Z T
client >> Q "create temp view fresh_v as select 1 as one"
server >> C "CREATE VIEW" ; Z T
client >> Q "create table fresh (id int, body text)"
server >> C "CREATE TABLE" ; Z T
client >> Q "select id from fresh"
server >> T id:99001.1 ; C "SELECT 0" ; Z T
client >> Q "drop view totals"
server >> C "DROP VIEW" ; Z T
client >> Q "create table later (id int)"
server >> C "CREATE TABLE" ; Z T
client >> Q "select id from later"
server >> E 42601 "syntax error" ; Z E
client >> Q "rollback"
server >> C "ROLLBACK" ; Z I
client >> Q "begin"
server >> C "BEGIN" ; Z T
client >> Q "create temp view fresh_v as select 1 as one"
server >> C "CREATE VIEW" ; Z T
client >> Q "select one from fresh_v"
"#;
    p3_a_table_whose_keys_point_at_itself: r#"
rule hide mask ssn
login
client >> Q "create table tree (id serial primary key, up int references tree, check (id > 0 and up <> id))"
server >> C "CREATE TABLE" ; Z I
client >> Q "create table public.tree (id int, up int, foreign key (up) references public.tree (id))"
server >> C "CREATE TABLE" ; Z I
client >> Q "create table tree (ssn text primary key, guess text references tree)"
client >> Q "create table tree (ssn text unique, guess text, foreign key (guess) references tree (ssn))"
client >> Q "create table tree (id int references app.tree)"
client >> Q "begin"
server >> C "BEGIN" ; Z T
client >> Q "create table tree (id serial primary key, up int references tree, check (id > 0))"
server >> C "CREATE TABLE" ; Z T
client >> Q "insert into tree (up) values (null)"
server >> C "INSERT 0 1" ; Z T
client >> Q "select up from tree"
server >> T up:99001.2 ; C "SELECT 0" ; Z T
"#;
    p9_without_masks_nothing_is_refused_for_definitions: r#"
login
client >> Q "alter table public.vault rename column ssn to x; select (select ssn from public.vault limit 1) || '' from customers"
server >> C "ALTER TABLE" ; T x:text ; C "SELECT 0" ; Z I
client >> Q "commit prepared 'j'; select 1"
server >> C "COMMIT PREPARED" ; T x:int4 ; C "SELECT 0" ; Z I
"#;
    r7_a_prepared_transaction_may_hold_definitions: r#"
rule hide mask ssn
login
client >> Q "commit prepared 'j'"
server >> C "COMMIT PREPARED" ; Z I
"#;
    p3_execute_of_what_is_no_query_is_refused: r#"
rule hide mask customers.ssn
login
client >> P "p1" "deallocate x" ; S
server >> 1 ; t ; n ; Z I
client >> P "p2" "prepare x as select ssn from customers" ; S
server >> 1 ; t ; n ; Z I
client >> P "p3" "execute p1" ; S
server >> Z I
client >> P "p4" "alter table vault rename column ssn to x" ; S
server >> 1 ; t ; n ; Z I
client >> P "q" "select name from customers" ; S
server >> 1 ; t ; T name:customers.name ; Z I
client >> Q "execute p1" ; Q "execute p2" ; Q "execute p4" ; Q "explain execute p4"
client >> P "" "execute p1" ; B "" "" ; E "" ; S
server >> Z I
client >> Q "execute q"
server >> T name:customers.name ; D "Ann" ; C "SELECT 1" ; Z I
"#;
    r9_what_execute_runs_takes_effect_for_everyone: r#"
login
client >> Q "prepare x as select 1"
server >> C "PREPARE" ; Z I
client >> P "p1" "deallocate x" ; S
server >> 1 ; Z I
client >> P "p2" "declare c cursor with hold for select body from notes" ; S
server >> 1 ; Z I
client >> P "p3" "execute p1" ; S
server >> 1 ; Z I
client >> Q "execute p3"
server >> C "DEALLOCATE" ; Z I
client >> B "" "x" ; E "" ; S
server >> Z I
client >> Q "execute p2"
server >> C "DECLARE CURSOR" ; Z I
client >> Q "fetch all from c"
server >> T body:notes.body ; D "one" ; C "FETCH 1" ; Z I
"#;
    r7_a_named_statement_is_described_with_each_bind: r#"
rule hide mask ssn
login
client >> P "s" "select body from notes" ; S
server >> 1 ; t ; T body:notes.body ; Z I
client >> B "" "s" ; E "" ; S
server >> 2 ; T body:notes.body ; D "one" ; C "SELECT 1" ; Z I
client >> B "" "s" ; D P "" ; E "" ; S
server >> 2 ; T body:customers.ssn ; D "123-45-6789" ; C "SELECT 1" ; Z I
client >> B "" "s" ; E "" ; S
server >> 2 ; T body:customers.ssn ; D "123-45-6789" ; C "SELECT 1" ; Z I
client >> B "c" "s" ; S
server >> 2 ; T body:customers.ssn ; Z I
client >> E "c" ; S
"#;
}

/// A line, and what follows it.
fn said(play: &mut Play<Postgres>, line: &str) -> String {
    let before = play.transcript().len();
    play.line(line).unwrap();
    format!("{line}\n{}", &play.transcript()[before..])
}

/// Plays `before`, has the survey find that the table of customers is gone, and plays `after`.
fn dropped(name: &str, before: &str, after: &[&str]) {
    let mut play = Play::of(scene(), Postgres::default(), before, Cuts::Whole);
    let mut catalog = sql::CatalogData::from(sql::sample());
    catalog.version = 2;
    catalog.relations.retain(|relation| relation.name.as_ref() != "people");
    catalog.relations.retain(|relation| relation.schema.as_ref() != "public");
    let mut gone = snapshot(2);
    gone.catalog = Arc::new(sql::Catalog::new(catalog));
    play.stage.resurvey(Arc::new(gone));
    let mut text = play.transcript().to_owned();
    text += "# public is dropped\n";
    for line in after {
        text += &said(&mut play, line);
    }
    written(name, &text);
}

#[test]
fn p3_a_held_cursor_is_masked_as_when_it_was_opened() {
    let before = r#"
rule hide mask customers.ssn
login
client >> Q "declare x cursor with hold for select ssn from customers"
server >> C "DECLARE CURSOR" ; Z I
client >> Q "declare y cursor with hold for select id, body from notes"
server >> C "DECLARE CURSOR" ; Z I
"#;
    dropped(
        "p3_a_held_cursor_is_masked_as_when_it_was_opened",
        before,
        &[
            r#"client >> Q "fetch all from x""#,
            r#"server >> T ssn:customers.ssn ; D "123-45-6789" ; C "FETCH 1" ; Z I"#,
            r#"client >> P "" "fetch all from x" ; B "" "" ; E "" ; S"#,
            r#"server >> 1 ; t ; T ssn:customers.ssn"#,
            r#"server >> 2 ; D "123-45-6789" ; C "FETCH 1" ; Z I"#,
            r#"client >> Q "fetch all from y""#,
            r#"server >> T id:notes.id body:notes.body ; D "1" "one" ; C "FETCH 1" ; Z I"#,
        ],
    );
}

#[test]
fn p3_a_reply_is_masked_as_when_it_was_admitted() {
    let before = r#"
rule hide mask customers.ssn
login
client >> Q "select id from orders; select ssn from customers; copy customers (ssn) to stdout; select 1 from customers"
"#;
    dropped(
        "p3_a_reply_is_masked_as_when_it_was_admitted",
        before,
        &[
            r#"server >> T id:orders.id ; C "SELECT 0" ; T ssn:customers.ssn ; D "123-45-6789" ; C "SELECT 1""#,
            r#"server >> H 1 ; d "123-45-6789\n" ; c ; C "COPY 1" ; E 23514 "new row violates check" D "Failing row contains (1, 123-45-6789)." ; Z I"#,
        ],
    );
}

#[test]
fn p3_a_portal_is_masked_as_when_it_was_bound() {
    let before = r#"
rule hide mask customers.ssn
login
client >> Q "begin"
server >> C "BEGIN" ; Z T
client >> P "" "select ssn from customers" ; B "c" "" ; E "c" 1 ; S
server >> 1 ; t ; T ssn:customers.ssn ; 2 ; D "123-45-6789" ; s ; Z T
"#;
    dropped(
        "p3_a_portal_is_masked_as_when_it_was_bound",
        before,
        &[r#"client >> E "c" 1 ; S"#, r#"server >> D "123-45-6789" ; s ; Z T"#],
    );
}

#[test]
fn r7_p3_what_another_session_changes_is_awaited() {
    const RULES: &str = "rule hide mask customers.ssn\nlogin\n";
    let play = || Play::of(scene(), Postgres::default(), RULES, Cuts::Whole);
    let (mut changes, mut asks) = (play(), play());
    let mut text = RULES.to_owned();
    let query =
        r#"client >> Q "select (select ssn from public.vault limit 1) || '' from customers""#;
    let lines: &[(bool, &str)] = &[
        // It is judged while the change is under way, and answered behind it.
        (false, r#"client >> Q "alter table public.vault rename column ssn to x""#),
        (true, query),
        (false, r#"server >> C "ALTER TABLE" ; Z I"#),
        (true, r#"server >> T x:text ; D "123-45-6789" ; C "SELECT 1" ; Z I"#),
        // The next one is judged once the catalog is read.
        (true, r#"client >> Q "select id from orders""#),
        (true, r#"server >> T id:orders.id ; C "SELECT 0" ; Z I"#),
        // Judged before the change, and run behind it.
        (true, r#"client >> Q "select pg_sleep(2); select count(ssn) from vault; select 1""#),
        (false, r#"client >> Q "begin" ; Q "drop table vault""#),
        (false, r#"server >> C "BEGIN" ; Z T ; C "DROP TABLE" ; Z T"#),
        (
            true,
            r#"server >> T x:void ; D "" ; C "SELECT 1" ; T c:int8 ; D "7" ; C "SELECT 1" ; T x:int4 ; C "SELECT 0" ; Z I"#,
        ),
        // A cursor is what it was opened on.
        (true, r#"client >> Q "declare c cursor with hold for select ssn from vault""#),
        (true, r#"server >> C "DECLARE CURSOR" ; Z I"#),
        (true, r#"client >> Q "declare d cursor with hold for select id from orders""#),
        (true, r#"server >> C "DECLARE CURSOR" ; Z I"#),
        (true, r#"client >> Q "fetch 1 from c" ; Q "fetch 1 from d""#),
        (true, r#"server >> T id:orders.id ; C "FETCH 0" ; Z I"#),
        // A client that goes leaves its change behind.
        (false, "client >> close"),
    ];
    for (asked, line) in lines {
        text += if *asked { "# who asks\n" } else { "# who changes\n" };
        text += &said(if *asked { &mut asks } else { &mut changes }, line);
    }
    drop(changes);
    text += "# who asks\n";
    text += &said(&mut asks, query);
    text += &said(&mut asks, r#"server >> T x:text ; D null ; C "SELECT 1" ; Z I"#);
    written("r7_p3_what_another_session_changes_is_awaited", &text);
}

#[test]
fn r7_a_change_withholds_only_what_goes_by_it() {
    const RULES: &str = "rule hide mask customers.ssn\nlogin\n";
    let play = || Play::of(scene(), Postgres::default(), RULES, Cuts::Whole);
    let (mut changes, mut asks) = (play(), play());
    let mut text = RULES.to_owned();
    let lines: &[(bool, &str)] = &[
        // Its constructor takes the name of a function that others call, not that of a table.
        (false, r#"client >> Q "create type initcap as range (subtype = text)""#),
        (true, r#"client >> Q "select id, upper(body) from notes""#),
        (true, r#"server >> T id:notes.id x:text ; D "1" "ONE" ; C "SELECT 1" ; Z I"#),
        (true, r#"client >> Q "select initcap(body) from notes""#),
        (true, r#"server >> T x:text ; D "One" ; C "SELECT 1" ; Z I"#),
        (false, r#"server >> C "CREATE TYPE" ; Z I"#),
        // What goes with it can be a view or what it is made of, and no table that stays.
        (false, r#"client >> Q "drop type initcap cascade""#),
        (true, r#"client >> Q "select body from notes""#),
        (true, r#"server >> T body:notes.body ; D "one" ; C "SELECT 1" ; Z I"#),
        (true, r#"client >> Q "select who from people""#),
        (true, r#"server >> T who:people.who ; D "ann" ; C "SELECT 1" ; Z I"#),
        (false, r#"server >> C "DROP TYPE" ; Z I"#),
    ];
    for (asked, line) in lines {
        text += if *asked { "# who asks\n" } else { "# who changes\n" };
        text += &said(if *asked { &mut asks } else { &mut changes }, line);
    }
    written("r7_a_change_withholds_only_what_goes_by_it", &text);
}

/// The seed 30133414547953040 of the differential fuzzer, which had locked the tables of a view.
#[test]
fn p2_a_view_that_was_locked_is_named_as_what_cannot_be_looked_into() {
    let rules = "rule hide mask badges.serial\n";
    let mut locked = snapshot(1);
    let mut data = sql::CatalogData::from(sql::Catalog::clone(&locked.catalog));
    for view in data.relations.iter_mut().filter(|relation| &*relation.name == "people") {
        view.definition = None;
    }
    locked.catalog = Arc::new(sql::Catalog::new(data));
    let scene = Scene::new(&POSTGRES, Arc::new(locked), RESOURCE);
    let mut play = Play::of(scene, Postgres::default(), rules, Cuts::Whole);
    let mut text = play.transcript().to_owned();
    for line in [
        "client >> start user=agent database=appdb",
        r#"client >> p "token""#,
        r#"server >> R ok ; S client_encoding UTF8 ; K 7 "4444" ; Z I"#,
        r#"client >> Q "select who from people""#,
        r#"client >> Q "select count(*) from people""#,
    ] {
        text += &said(&mut play, line);
    }
    written("p2_a_view_that_was_locked_is_named_as_what_cannot_be_looked_into", &text);
}

#[test]
fn p3_a_schema_that_comes_into_the_search_path_is_looked_into() {
    let before = r#"
rule hide mask app.customers.id
login
client >> Q "select id::text || '' from customers"
server >> T x:text ; D "1" ; C "SELECT 1" ; Z I
"#;
    let asks = &[
        r#"client >> Q "select id::text || '' from customers""#,
        r#"server >> T x:text ; D "1" ; C "SELECT 1" ; Z I"#,
    ];
    let set = &[r#"client >> Q "set search_path to public""#, r#"server >> C "SET" ; Z I"#];
    let reset = &[r#"client >> Q "reset search_path""#, r#"server >> C "RESET" ; Z I"#];
    let mut play = Play::of(scene(), Postgres::default(), before, Cuts::Whole);
    let mut text = play.transcript().to_owned();
    let mut changed = snapshot(2);
    changed.search_path = vec!["app".into(), "public".into()];
    play.stage.resurvey(Arc::new(changed.clone()));
    text += "# app can be used now\n";
    for line in [asks, set, asks, reset, asks].into_iter().flatten() {
        text += &said(&mut play, line);
    }
    // Its next session begins there; where this one looks is not told any more.
    changed.search_path = vec!["public".into()];
    changed.settings = "0:1:2".into();
    play.stage.resurvey(Arc::new(changed));
    text += "# the role was given another search_path\n";
    text += &said(&mut play, asks[0]);
    written("p3_a_schema_that_comes_into_the_search_path_is_looked_into", &text);
}

#[test]
fn r7_p3_a_cursor_that_was_bound_and_words_of_errors_are_not_trusted_beside_a_change() {
    const RULES: &str = "rule hide mask customers.ssn\nlogin\n";
    let play = || Play::of(scene(), Postgres::default(), RULES, Cuts::Whole);
    let (mut changes, mut asks) = (play(), play());
    let mut text = RULES.to_owned();
    let lines: &[(bool, &str)] = &[
        (true, r#"client >> Q "begin""#),
        (true, r#"server >> C "BEGIN" ; Z T"#),
        (false, r#"client >> Q "alter table public.vault rename column ssn to x""#),
        (true, r#"client >> P "" "select ssn from vault" ; B "c" "" ; S"#),
        (true, r#"server >> 1 ; t ; T ssn:vault.ssn ; 2 ; Z T"#),
        (true, r#"client >> P "" "select id from orders" ; B "d" "" ; S"#),
        (true, r#"server >> 1 ; t ; T id:orders.id ; 2 ; Z T"#),
        (true, r#"client >> Q "fetch 1 from d""#),
        (true, r#"server >> T id:orders.id ; C "FETCH 0" ; Z T"#),
        (true, r#"client >> Q "fetch 1 from c""#),
        (true, r#"server >> E 42601 "syntax error" ; Z E"#),
        (true, r#"client >> Q "rollback""#),
        (true, r#"server >> C "ROLLBACK" ; Z I"#),
        (true, r#"client >> Q "select ref::int from vault""#),
        (
            true,
            r#"server >> E 22P02 "invalid input syntax for type integer: \"123-45-6789\"" ; Z I"#,
        ),
        (true, r#"client >> Q "select body::int from notes""#),
        (true, r#"server >> E 22P02 "invalid input syntax for type integer: \"one\"" ; Z I"#),
    ];
    for (asked, line) in lines {
        text += if *asked { "# who asks\n" } else { "# who changes\n" };
        text += &said(if *asked { &mut asks } else { &mut changes }, line);
    }
    written(
        "r7_p3_a_cursor_that_was_bound_and_words_of_errors_are_not_trusted_beside_a_change",
        &text,
    );
}

#[test]
fn r7_p3_a_cursor_that_calls_functions_is_not_trusted_behind_a_change() {
    const RULES: &str = "rule hide mask customers.ssn\nlogin\n";
    let play = || Play::of(scene(), Postgres::default(), RULES, Cuts::Whole);
    let (mut changes, mut asks) = (play(), play());
    let mut text = RULES.to_owned();
    let lines: &[(bool, &str)] = &[
        (true, r#"client >> Q "begin""#),
        (true, r#"server >> C "BEGIN" ; Z T"#),
        (true, r#"client >> Q "declare bare cursor for select body from notes""#),
        (true, r#"server >> C "DECLARE CURSOR" ; Z T"#),
        (true, r#"client >> Q "declare calls cursor for select greet(body) from notes""#),
        (true, r#"server >> C "DECLARE CURSOR" ; Z T"#),
        (true, r#"client >> Q "fetch 1 from calls""#),
        (false, r#"client >> Q "create type fresh as enum ('x')""#),
        (true, r#"server >> T greet:text ; D "hello" ; C "FETCH 1" ; Z T"#),
        (true, r#"server >> E 42601 "syntax error" ; Z E"#),
        (true, r#"client >> Q "rollback""#),
        (true, r#"server >> C "ROLLBACK" ; Z I"#),
        (false, r#"server >> C "CREATE TYPE" ; Z I"#),
        (true, r#"client >> Q "begin""#),
        (true, r#"server >> C "BEGIN" ; Z T"#),
        (true, r#"client >> Q "declare bare cursor for select body from notes""#),
        (true, r#"server >> C "DECLARE CURSOR" ; Z T"#),
        (true, r#"client >> Q "declare calls cursor for select greet(body) from notes""#),
        (true, r#"server >> C "DECLARE CURSOR" ; Z T"#),
        (false, r#"client >> Q "create type other as enum ('x')""#),
        (true, r#"client >> Q "fetch 1 from bare""#),
        (true, r#"server >> T body:notes.body ; D "one" ; C "FETCH 1" ; Z T"#),
        (true, r#"client >> Q "fetch 1 from calls""#),
    ];
    for (asked, line) in lines {
        text += if *asked { "# who asks\n" } else { "# who changes\n" };
        text += &said(if *asked { &mut asks } else { &mut changes }, line);
    }
    written("r7_p3_a_cursor_that_calls_functions_is_not_trusted_behind_a_change", &text);
}
