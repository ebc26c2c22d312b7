//! P3: what a pipeline changes is believed only once the server has said that it lasts.

use super::check;

conversations! {
    p3_a_search_path_that_an_error_undoes_is_not_believed: r#"
rule hide mask ssn
login
client >> P "" "set search_path = app" ; B "" "" ; E "" ; P "" "select 1/0" ; B "" "" ; E "" ; S
server >> 1 ; t ; n ; 2 ; C "SET" ; 1 ; t ; T x:int4 ; 2 ; E 22012 "division by zero" ; Z I
client >> Q "select ssn from customers"
server >> T ssn:customers.ssn ; D "123-45-6789" ; C "SELECT 1" ; Z I
"#;
    p3_a_search_path_that_a_rollback_undoes_is_not_believed: r#"
rule hide mask ssn
login
client >> P "" "begin" ; B "" "" ; E "" ; P "" "set search_path = app" ; B "" "" ; E "" ; P "" "rollback" ; B "" "" ; E "" ; S
server >> 1 ; t ; n ; 2 ; C "BEGIN" ; 1 ; t ; n ; 2 ; C "SET" ; 1 ; t ; n ; 2 ; C "ROLLBACK" ; Z I
client >> Q "select ssn from customers"
server >> T ssn:customers.ssn ; D "123-45-6789" ; C "SELECT 1" ; Z I
"#;
    p3_quotes_and_blanks_belong_to_the_names_of_schemas: r#"
rule hide mask ssn
login
client >> Q "set search_path = 'app ', public"
server >> C "SET" ; Z I
client >> Q "select ssn from customers"
server >> T ssn:customers.ssn ; D "123-45-6789" ; C "SELECT 1" ; Z I
"#;
    a_search_path_that_lasts_is_followed: r#"
rule hide mask ssn
login
client >> P "" "set search_path = app" ; B "" "" ; E "" ; S
server >> 1 ; t ; n ; 2 ; C "SET" ; Z I
client >> Q "select label from customers"
server >> T label:20004.2 ; D "x" ; C "SELECT 1" ; Z I
"#;
    p2_p3_strings_are_not_read_while_it_is_not_known_how: r#"
rule hide mask ssn
login
client >> P "" "set standard_conforming_strings = off" ; B "" "" ; E "" ; P "" "select '\\'||body from notes" ; B "" "" ; E "" ; S
server >> 1 ; t ; n ; 2 ; C "SET"
server >> E 42601 "syntax error" ; Z I
client >> Q "select '\\'||body from notes"
server >> T x:text ; D "one" ; C "SELECT 1" ; Z I
"#;
    p3_characters_are_not_converted_while_it_is_not_known_to_what: r#"
rule hide mask ssn
login
client >> P "" "set client_encoding = 'LATIN1'" ; B "" "" ; E "" ; P "" "select ssn from customers" ; B "" "" ; E "" ; S
server >> 1 ; t ; n ; 2 ; C "SET"
server >> E 42601 "syntax error" ; Z I
"#;
    p3_names_are_told_apart_by_sixty_three_bytes: r#"
rule hide mask ssn
login
client >> P "nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnX" "select name from customers" ; S
server >> 1 ; t ; T name:customers.name ; Z I
client >> C S "nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn" ; P "nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn" "select ssn from customers" ; S
server >> 3 ; 1 ; t ; T ssn:customers.ssn ; Z I
client >> B "" "nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnX" ; E "" ; S
server >> 2 ; T ssn:customers.ssn ; D "123-45-6789" ; C "SELECT 1" ; Z I
"#;
    p3_a_statement_of_sql_prepare_is_described_when_it_is_bound: r#"
rule hide mask ssn
login
client >> Q "prepare x as select name, ssn from customers"
server >> C "PREPARE" ; Z I
client >> B "" "x" ; E "" ; S
server >> 2 ; T name:customers.name ssn:customers.ssn ; D "Ann" "123-45-6789" ; C "SELECT 1" ; Z I
"#;
    a_close_that_the_server_skips_closes_nothing: r#"
rule hide mask ssn
login
client >> P "x" "select name from customers" ; S
server >> 1 ; t ; T name:customers.name ; Z I
client >> P "" "select 1/0" ; B "" "" ; E "" ; C S "x" ; S
server >> 1 ; t ; T x:int4 ; 2 ; E 22012 "division by zero" ; Z I
client >> B "" "x" ; E "" ; S
server >> 2 ; T name:customers.name ; D "Ann" ; C "SELECT 1" ; Z I
"#;
    p9_a_sync_behind_a_copy_that_never_began_is_answered: r#"
login
client >> Q "select 1/0; copy notes from stdin" ; d "1\tone\n" ; S ; c
server >> E 22012 "division by zero" ; Z I
server >> Z I
client >> D S "nosuch" ; Q "copy notes from stdin" ; d "1\tone\n" ; S ; c ; D S "other" ; S
server >> E 26000 "prepared statement \"nosuch\" does not exist"
server >> Z I ; E 26000 "prepared statement \"other\" does not exist" ; Z I
client >> Q "copy notes from stdin" ; d "1\tone\n" ; S ; c
server >> G 2
server >> C "COPY 1" ; Z I
"#;
    a_sync_among_copied_data_is_ignored: r#"
login
client >> Q "copy notes from stdin"
server >> G 2
client >> d "1\tone\n" ; S ; c
server >> C "COPY 1" ; Z I
client >> Q "select 1"
server >> T x:int4 ; D "1" ; C "SELECT 1" ; Z I
"#;
    p3_a_reply_is_never_masked_as_another_statements: r#"
rule hide mask ssn
login
client >> Q "copy notes from stdin; copy notes from stdin" ; d "1\tone\n" ; c ; d "2\ttwo\n" ; c ; S ; Q "select ssn from customers" ; Q "select name from customers"
server >> G 2 ; C "COPY 1" ; G 2 ; C "COPY 1" ; Z I
server >> Z I ; T ssn:customers.ssn ; D "123-45-6789" ; C "SELECT 1" ; Z I ; T name:customers.name ; D "Ann" ; C "SELECT 1" ; Z I
"#;
    p3_a_server_that_is_ready_too_early_is_not_believed: r#"
rule hide mask ssn
login
client >> Q "select name from customers"
server >> Z I ; T ssn:customers.ssn ; D "123-45-6789" ; C "SELECT 1" ; Z I
"#;
    a_flush_with_something_in_it_ends_the_session: r#"
login
client >> Q "select 1"
server >> T x:int4 ; D "1" ; C "SELECT 1" ; Z I
client >> raw "H\x00\x00\x00\x05x"
"#;
    p3_of_two_changes_of_the_path_none_is_believed: r#"
rule hide mask ssn
login
client >> P "" "set search_path = app" ; B "" "" ; E "" ; P "" "select set_config('search_path', 'public', false)" ; B "" "" ; E "" 1 ; S
server >> 1 ; t ; n ; 2 ; C "SET" ; 1 ; t ; T x:text ; 2 ; D "public" ; s ; Z I
client >> Q "select ssn from customers"
server >> T ssn:customers.ssn ; D "123-45-6789" ; C "SELECT 1" ; Z I
"#;
    p3_a_name_beyond_ascii_is_taken_only_where_it_is_told_apart: r#"
login
server >> S client_encoding LATIN1
client >> P "\xc3\xa9" "select 1" ; S
client >> B "" "\xc3\xa9" ; E "" ; S
"#;
    p3_tables_of_ones_own_that_are_taken_back_are_not_followed: r#"
rule hide mask ssn
login
client >> Q "begin"
server >> C "BEGIN" ; Z T
client >> Q "create temp table tt (id int)"
server >> C "CREATE TABLE" ; Z T
client >> Q "savepoint s"
server >> C "SAVEPOINT" ; Z T
client >> Q "drop table tt"
server >> C "DROP TABLE" ; Z T
client >> Q "create temp table tt (id int, label text)"
server >> C "CREATE TABLE" ; Z T
client >> Q "rollback to s"
server >> C "ROLLBACK" ; Z T
client >> Q "select (select label from tt) from customers"
"#;
    p3_tables_of_ones_own_end_with_their_transaction: r#"
rule hide mask ssn
login
client >> Q "begin"
server >> C "BEGIN" ; Z T
client >> Q "create temp table tt (id int)"
server >> C "CREATE TABLE" ; Z T
client >> Q "commit and chain"
server >> C "COMMIT" ; Z T
client >> Q "select id from tt"
"#;
    p3_a_statement_is_judged_anew_when_tables_of_ones_own_change: r#"
rule hide mask ssn
login
client >> Q "begin"
server >> C "BEGIN" ; Z T
client >> Q "create temp table tt (id int, label text)"
server >> C "CREATE TABLE" ; Z T
client >> P "p" "select (select label from tt) from customers" ; S
server >> 1 ; t ; T x:text ; Z T
client >> Q "drop table tt"
server >> C "DROP TABLE" ; Z T
client >> Q "create temp table tt (id int)"
server >> C "CREATE TABLE" ; Z T
client >> B "" "p" ; E "" ; S
"#;
    a_query_where_data_is_expected_ends_the_session: r#"
login
client >> Q "copy notes from stdin" ; Q "select 1"
server >> G 2
"#;
    p3_names_of_others_temporary_tables_are_not_taken_for_ones_own: r#"
rule hide mask ssn
login
client >> Q "begin"
server >> C "BEGIN" ; Z T
client >> Q "create temp table tt (id int)"
server >> C "CREATE TABLE" ; Z T
client >> Q "savepoint s"
server >> C "SAVEPOINT" ; Z T
client >> Q "drop table tt"
server >> C "DROP TABLE" ; Z T
client >> Q "rollback to s"
server >> C "ROLLBACK" ; Z T
client >> Q "select id from tt"
"#;
}
