//! R7: definitions that change earlier in the same text.

use super::check;

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
}
