//! R7: the catalog as it was read, and what sessions change in it.

use super::check;

conversations! {
    r7_a_table_of_its_own_is_followed_until_commit: r#"
rule hide mask ssn
login
client >> Q "begin" ; Q "create temp table basket (id int primary key, note text)"
server >> C "BEGIN" ; Z T ; C "CREATE TABLE" ; Z T
client >> Q "insert into basket select id, name from customers where id = 1 returning note"
server >> T note:99001.2 ; D "Ann" ; C "INSERT 0 1" ; Z T
client >> Q "select note from basket"
server >> T note:customers.name ; D "Ann" ; C "SELECT 1" ; Z T
server >> E 42601 "syntax error" ; Z E
client >> Q "rollback" ; Q "begin" ; Q "create table basket (id int primary key, note text)"
server >> C "ROLLBACK" ; Z I ; C "BEGIN" ; Z T ; C "CREATE TABLE" ; Z T
client >> Q "insert into basket select id, ssn from customers"
server >> E 42601 "syntax error" ; Z E
client >> Q "commit"
server >> C "ROLLBACK" ; Z I
"#;
    r7_a_table_of_its_own_with_a_masked_name_is_refused_until_commit: r#"
rule hide mask ssn
login
client >> Q "create table fresh (id int, ssn text); insert into fresh values (1, 'x')"
client >> Q "begin" ; Q "create table fresh (id int, ssn text)"
server >> C "BEGIN" ; Z T ; C "CREATE TABLE" ; Z T
client >> Q "select id from fresh"
"#;
    r7_p3_what_a_drop_uncovers_is_masked: r#"
rule hide mask ssn
login
client >> Q "set search_path = app, public"
server >> C "SET" ; Z I
client >> P "e" "table customers" ; S
server >> 1 ; t ; T id:20004.1 label:20004.2 ; Z I
client >> Q "begin"
server >> C "BEGIN" ; Z T
client >> Q "drop table app.customers"
server >> C "DROP TABLE" ; Z T
client >> Q "select ssn from customers where id = 1"
server >> T ssn:customers.ssn ; D "123-45-6789" ; C "SELECT 1" ; Z T
client >> Q "select id from customers where ssn like '1%'"
server >> E 42601 "syntax error" ; Z E
client >> Q "rollback"
server >> C "ROLLBACK" ; Z I
client >> Q "begin"
server >> C "BEGIN" ; Z T
client >> Q "drop table app.customers"
server >> C "DROP TABLE" ; Z T
client >> B "" "e" ; D P "" ; E "" ; S
server >> 2 ; T id:customers.id ssn:customers.ssn ; D "1" "123-45-6789" ; C "SELECT 1" ; Z T
"#;
    r7_a_table_is_dropped_and_made_anew: r#"
rule hide mask ssn
login
client >> Q "begin"
server >> C "BEGIN" ; Z T
client >> Q "drop table notes"
server >> C "DROP TABLE" ; Z T
client >> Q "create table notes (body text, n int)"
server >> C "CREATE TABLE" ; Z T
client >> Q "insert into notes select name, id from customers"
server >> C "INSERT 0 1" ; Z T
client >> Q "select body, n from notes"
server >> T body:99001.1 n:99001.2 ; D "Ann" "1" ; C "SELECT 1" ; Z T
client >> Q "insert into notes select ssn, id from customers"
server >> E 42601 "syntax error" ; Z E
client >> Q "rollback"
server >> C "ROLLBACK" ; Z I
client >> Q "begin"
server >> C "BEGIN" ; Z T
client >> Q "drop table notes cascade"
server >> C "DROP TABLE" ; Z T
client >> Q "select id from customers"
"#;
    r7_a_table_that_is_there_is_not_made_again: r#"
rule hide mask ssn
login
client >> Q "begin" ; Q "create table if not exists public.notes (id int)"
server >> C "BEGIN" ; Z T ; N 42P07 "relation \"notes\" already exists, skipping" ; C "CREATE TABLE" ; Z T
client >> Q "select body from notes"
server >> T body:notes.body ; D "one" ; C "SELECT 1" ; Z T
client >> Q "create table if not exists fresh (id int)" ; Q "select body from notes"
server >> C "CREATE TABLE" ; Z T
"#;
    r7_what_was_dropped_may_have_hidden_another_of_its_name: r#"
rule never when `sql.writes.exists(t, t == "public.customers")` block "not these"
login
client >> Q "set search_path = app, public"
server >> C "SET" ; Z I
client >> Q "delete from customers"
server >> C "DELETE 0" ; Z I
client >> Q "set search_path = public; delete from customers"
client >> Q "drop table app.customers; delete from customers"
client >> Q "drop table app.customers" ; Q "delete from customers"
server >> C "DROP TABLE" ; Z I
client >> Q "begin"
server >> C "BEGIN" ; Z T
client >> Q "drop table app.customers" ; Q "delete from customers"
server >> C "DROP TABLE" ; Z T
"#;
    r7_definitions_on_their_way_are_awaited: r#"
rule never when `sql.writes.exists(t, t == "public.customers")` block "not these"
login
client >> P "d" "delete from app.customers" ; P "" "drop table app.customers" ; B "" "" ; E "" ; B "" "d" ; E "" ; S
server >> 1 ; 1 ; 2 ; C "DROP TABLE"
"#;
    r7_a_name_that_is_not_in_the_catalog_has_it_read_anew: r#"
rule hide mask ssn
login
client >> Q "select * from fresh"
client >> P "" "select * from fresh" ; B "" "" ; E "" ; S
server >> Z I
client >> Q "select id from orders"
server >> T id:orders.id ; C "SELECT 0" ; Z I
"#;
    r7_columns_that_are_not_what_was_judged_are_withheld: r#"
rule hide mask ssn
login
client >> Q "select name from customers"
server >> T name:customers.ssn ; D "123-45-6789" ; C "SELECT 1" ; Z I
client >> P "" "select name from customers" ; B "" "" ; D P "" ; E "" 2 ; E "" ; S
server >> 1 ; t ; T name:customers.ssn ; 2 ; T name:customers.ssn ; D "123-45-6789" ; C "SELECT 1" ; C "SELECT 0" ; Z I
client >> Q "select name from customers"
server >> T name:customers.name ; D "Ann" ; C "SELECT 1" ; Z I
client >> Q "begin"
server >> C "BEGIN" ; Z T
client >> P "" "select name from customers" ; B "" "" ; E "" ; P "" "select body from notes" ; B "" "" ; E "" ; S
server >> 1 ; t ; T name:customers.ssn ; 2 ; D "123-45-6789" ; C "SELECT 1" ; 1 ; t ; T body:notes.body ; 2 ; D "one" ; C "SELECT 1" ; Z T
server >> E 42601 "syntax error" ; Z E
"#;
}
