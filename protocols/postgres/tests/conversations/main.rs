//! Who said what, in order: the transcripts are in `testdata/` and are read in review.
//!
//! A test drives the real engine, with a policy compiled from the rules of its script, by the lines
//! below; `testdata/<name>.snap` holds those lines and what followed each.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that cannot go on fails")]

#[path = "../notation/mod.rs"]
mod notation;

use notation::{Postgres, scene};

fn check(name: &str, script: &str) {
    written(name, &testkit::conversation::transcript(scene(), Postgres::default(), script));
}

/// Compares with the transcript that was read.
fn written(name: &str, transcript: &str) {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("../../testdata");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!(name, transcript));
}

macro_rules! conversations {
    ($($name:ident: $script:expr;)+) => {
        $(#[test]
        fn $name() {
            check(stringify!($name), $script);
        })+
    };
}

// The macro comes first.
mod definitions;
mod delegation;
mod detections;
mod endings;
mod guesses;
mod kept;
mod login;
mod pipelines;
mod redefined;

// ---- simple queries -----------------------------------------------------------------------------

conversations! {
    a_simple_query_passes_unchanged: r#"
login
client >> Q "select id, name from customers"
server >> T id:customers.id name:customers.name ; D "1" "Ann" ; D "2" null ; C "SELECT 2" ; Z I
"#;
    several_statements_in_one_query: r#"
login
client >> Q "begin; insert into notes values (1, 'x'); select id from notes; commit"
server >> C "BEGIN" ; C "INSERT 0 1" ; T id:notes.id ; D "1" ; C "SELECT 1" ; C "COMMIT" ; Z I
"#;
    r2_one_refused_statement_refuses_the_whole_query: r#"
rule no-drop when `sql.verbs.exists(v, v == "drop")` block "no drops"
login
client >> Q "select 1; drop table notes"
client >> Q "select 2"
server >> T x:int4 ; D "2" ; C "SELECT 1" ; Z I
"#;
    an_empty_query_is_answered: r#"
login
client >> Q ""
server >> I ; Z I
"#;
    an_error_of_the_server_passes: r#"
login
client >> Q "select id from customers where id = 1/0"
server >> T id:customers.id ; E 22012 "division by zero" ; Z I
client >> Q "select 1"
server >> T x:int4 ; D "1" ; C "SELECT 1" ; Z I
"#;
    p2_what_cannot_be_parsed_is_refused_at_its_place: r#"
login
client >> Q "select 1 frm x where"
"#;
    a_notice_a_notification_and_a_setting_pass: r#"
login
client >> Q "listen jobs"
server >> N 00000 "watch out" D "more" ; C "LISTEN" ; Z I
server >> A "jobs" "7" ; S application_name psql
"#;
    p3_notices_errors_and_notifications_are_scrubbed_for_who_has_masks: r#"
rule hide mask ssn
login
client >> Q "insert into notes values (1, 'a')"
server >> N 00000 "saw 123-45-6789" D "Key (ssn)=(123-45-6789)" ; E 23505 "duplicate key value violates unique constraint \"u\"" D "Key (ssn)=(123-45-6789) already exists." ; Z I
server >> A "jobs" "123-45-6789"
"#;
    p9_an_error_about_what_reads_nothing_masked_keeps_its_words: r#"
rule hide mask ssn
login
client >> Q "select 'abc'::int"
server >> E 22P02 "invalid input syntax for type integer: \"abc\"" P "8" ; Z I
client >> Q "select total / 0 from orders"
server >> T t:numeric ; E 22012 "division by zero" ; Z I
client >> Q "select 'x'::checked"
server >> E P0001 "not like 123-45-6789" W "PL/pgSQL function check_it(text) line 3 at RAISE" ; Z I
client >> P "" "select id from orders where id = $1" 23 ; B "" "" "abc" ; E "" ; P "" "select name from customers where id = $1" 23 ; B "" "" "abc" ; E "" ; S
server >> 1 ; t 23 ; T id:orders.id ; E 22P02 "invalid input syntax for type integer: \"abc\"" W "unnamed portal parameter $1" ; Z I
client >> P "" "select name from customers where id = $1" 23 ; B "" "" "abc" ; E "" ; P "" "select id from orders where id = $1" 23 ; B "" "" "abc" ; E "" ; S
server >> 1 ; t 23 ; T name:customers.name ; E 22P02 "invalid input syntax for type integer: \"123-45-6789\"" ; Z I
client >> Q "select id from orders; select name from customers"
server >> T id:orders.id ; C "SELECT 0" ; T name:customers.name ; E 22P02 "invalid input: \"123-45-6789\"" ; Z I
"#;
    p8_a_statement_over_the_limit_is_refused_and_the_session_goes_on: r#"
set statement_bytes_max 64
login
client >> Q "select '\{80*x}'"
client >> Q "select 1"
server >> T x:int4 ; D "1" ; C "SELECT 1" ; Z I
"#;
    an_unknown_message_ends_the_session: r#"
login
client >> tag "y" "abc"
"#;
    r20_a_function_call_is_refused: r#"
login
client >> F
client >> Q "select 1"
"#;
    r6_a_server_program_is_refused_for_everyone: r#"
login
client >> Q "copy notes to program 'cat'"
"#;
}

// ---- the extended protocol ----------------------------------------------------------------------

conversations! {
    extended_merged_is_one_operation: r#"
login
client >> P "" "select id from orders where id = $1" 23 ; B "" "" "5" ; D P "" ; E "" ; S
server >> 1 ; 2 ; T id:orders.id ; D "5" ; C "SELECT 1" ; Z I
"#;
    extended_split_is_an_operation_for_each_step: r#"
login
client >> P "q" "select id from orders where id = $1" 23
client >> D S "q" ; S
server >> 1 ; t 23 ; T id:orders.id ; Z I
client >> B "" "q" "5"
client >> E "" ; S
server >> 2 ; D "5" ; C "SELECT 1" ; Z I
"#;
    r9_a_prepared_statement_is_judged_at_every_bind: r#"
rule no-seven when `sql.verbs.exists(v, v == "delete")` block "no deletes"
login
client >> P "s" "select body from notes where id = $1" 23 ; S
server >> 1 ; Z I
client >> B "" "s" "1" ; E "" ; S
server >> 2 ; D "one" ; C "SELECT 1" ; Z I
client >> B "" "s" "2" ; E "" ; S
server >> 2 ; D "two" ; C "SELECT 1" ; Z I
gateway >> reload rule closed when `sql.verb == "select"` block "closed for today"
client >> B "" "s" "3" ; E "" ; S
client >> C S "s" ; S
"#;
    r9_an_unknown_statement_is_refused: r#"
login
client >> B "" "nothing" ; E "" ; S
"#;
    p3_masks_in_text_and_binary: r#"
rule hide mask ssn
rule age-null mask age with null
login
client >> Q "select name, ssn, age from customers"
server >> T name:customers.name ssn:customers.ssn age:customers.age ; D "Ann" "123-45-6789" "44" ; C "SELECT 1" ; Z I
client >> P "" "select ssn, age, id from customers" ; B "" "" -> 1 ; D P "" ; E "" ; S
server >> 1 ; t ; T ssn:customers.ssn age:customers.age id:customers.id ; 2 ; T ssn:customers.ssn:binary age:customers.age:binary id:customers.id:binary ; D "123-45-6789" "\x00\x00\x00\x2c" "\x00\x00\x00\x01" ; C "SELECT 1" ; Z I
"#;
    p3_parse_alone_and_the_rest_later: r#"
rule hide mask ssn
login
client >> P "" "select ssn from customers"
client >> B "" "" -> 1 ; E "" ; S
server >> 1 ; t ; T ssn:customers.ssn ; 2 ; D "123-45-6789" ; C "SELECT 1" ; Z I
"#;
    p3_an_expression_over_a_masked_column_is_masked: r#"
rule hide mask ssn
login
client >> Q "select upper(ssn) as u, 'x' || ssn from customers"
client >> Q "select p.code from people p"
server >> T code:people.code ; D "123-45-6789" ; C "SELECT 1" ; Z I
"#;
    p3_a_predicate_on_a_masked_column_is_refused: r#"
rule hide mask age with null
login
client >> Q "select id from customers where age = 44"
"#;
    r5_different_values_compared_with_a_masked_column_are_counted: r#"
rule hide mask ssn
set guesses_max 4
login
client >> Q "select id from customers where ssn = 'a' and id = 1"
server >> T id:customers.id ; C "SELECT 0" ; Z I
client >> Q "select id from customers where ssn = 'a' and id = 2"
server >> T id:customers.id ; C "SELECT 0" ; Z I
client >> P "" "select id from customers where ssn = any ($1)" ; B "" "" "{a,b,c}" ; E "" ; S
server >> 1 ; t 1009 ; T id:customers.id ; 2 ; C "SELECT 0" ; Z I
client >> Q "select id from customers where ssn in ('a', 'd')"
client >> P "" "select id from customers where ssn = $1" ; B "" "" "d" ; E "" ; S
server >> Z I
client >> Q "prepare p as select id from customers where ssn = $1"
server >> C "PREPARE" ; Z I
client >> Q "execute p ('e')"
client >> Q "select id from customers where ssn in ('b', 'c')"
server >> T id:customers.id ; D "7" ; C "SELECT 1" ; Z I
client >> Q "select id from customers where ssn like 'a%'"
"#;
}

// ---- names: what a statement, a portal or a cursor is called, and what it is --------------------

conversations! {
    r9_a_name_whose_parse_may_have_failed_waits_for_the_answer: r#"
rule ask when `sql.verb == "delete"` approve dba wait 60
login
client >> P "p" "delete from notes where id = $1" 23 ; S
server >> 1 ; Z I
client >> P "p" "select body from notes where id = $1" 23 ; S ; B "" "p" "5" ; E "" ; S
server >> E 42P05 "prepared statement \"p\" already exists" ; Z I
person >> deny #3
"#;
    r9_a_parse_that_was_skipped_gives_no_name: r#"
rule ask when `sql.verb == "delete"` approve dba wait 60
login
client >> P "" "delete from notes where id = $1" 23 ; S
server >> 1 ; Z I
client >> P "x" "select 1/0" ; B "" "x" ; E "" ; P "" "select body from notes where id = $1" 23 ; S ; B "" "" "5" ; E "" ; S
server >> 1 ; 2 ; E 22012 "division by zero" ; Z I
person >> deny #4
"#;
    r9_p3_a_portal_whose_bind_failed_is_the_one_before: r#"
rule hide mask ssn
login
client >> Q "begin"
server >> C "BEGIN" ; Z T
client >> P "" "select ssn from customers" ; B "c" "" ; E "c" 1 ; S
server >> 1 ; t ; T ssn:customers.ssn ; 2 ; D "123-45-6789" ; s ; Z T
client >> Q "savepoint s"
server >> C "SAVEPOINT" ; Z T
client >> P "" "select name from customers" ; B "c" "" ; S ; Q "rollback to s" ; E "c" 1 ; S
server >> 1 ; t ; T name:customers.name ; E 42P03 "cursor \"c\" already exists" ; Z E
server >> C "ROLLBACK" ; Z T
server >> D "123-45-6789" ; s ; Z T
"#;
    r9_p3_execute_is_masked_as_what_it_ran: r#"
rule hide mask ssn
login
client >> P "p" "select ssn from customers" ; S
server >> 1 ; t ; T ssn:customers.ssn ; Z I
client >> Q "execute p" ; C S "p" ; P "p" "select name from customers" ; S
server >> T ssn:customers.ssn ; D "123-45-6789" ; C "EXECUTE" ; Z I
server >> 3 ; 1 ; t ; T name:customers.name ; Z I
client >> Q "execute p"
server >> T name:customers.name ; D "Ann" ; C "EXECUTE" ; Z I
"#;
    r9_what_the_gateway_described_for_itself_may_come_apart: r#"
rule hide mask ssn
login
client >> P "" "select name from customers" ; S
server >> 1 ; t
server >> T name:customers.name ; Z I
"#;
    r9_a_name_that_sql_may_change_waits_for_the_answer: r#"
rule hide mask ssn
login
client >> P "p" "select name from customers" ; S
server >> 1 ; t ; T name:customers.name ; Z I
client >> Q "deallocate p; prepare p as select ssn from customers" ; B "" "p" ; E "" ; S
server >> C "DEALLOCATE" ; C "PREPARE" ; Z I
server >> 2 ; T ssn:customers.ssn ; D "123-45-6789" ; C "SELECT 1" ; Z I
"#;
    r9_execute_beside_others_is_judged_with_what_it_runs: r#"
rule ask when `sql.verbs.exists(v, v == "delete")` approve dba wait 60
login
client >> Q "prepare q as delete from notes"
person >> approve #1
server >> C "PREPARE" ; Z I
client >> Q "execute q; select 1"
person >> deny #2
client >> Q "explain analyze execute q"
person >> deny #3
"#;
    r9_p3_a_prepared_statement_is_judged_anew_under_another_search_path: r#"
rule hide mask ssn
login
client >> Q "set search_path to app, public"
server >> C "SET" ; Z I
client >> P "p" "select upper(label) from customers" ; S
server >> 1 ; t ; T upper:text ; Z I
client >> Q "set search_path to public"
server >> C "SET" ; Z I
client >> B "" "p" ; E "" ; S
"#;
    r2_p3_columns_that_cannot_be_counted_are_masked_as_a_whole: r#"
rule hide mask ssn
login
client >> Q "insert into orders (id) values (1) returning (json_populate_record(null::notes, '{}')).*"
server >> T id:int4 body:text ; D "1" null ; C "INSERT 0 1" ; Z I
client >> Q "select c.*, (json_populate_record(null::notes, '{}')).* from customers c"
server >> T id:customers.id ssn:customers.ssn body:text ; D "1" "123-45-6789" "x" ; C "SELECT 1" ; Z I
"#;
    p3_execute_is_admitted_under_the_masks_of_now: r#"
login
client >> Q "prepare q as select id from customers where age = 44"
server >> C "PREPARE" ; Z I
client >> Q "execute q"
server >> T id:customers.id ; D "1" ; C "EXECUTE" ; Z I
gateway >> reload rule hide mask age with null
client >> Q "execute q"
"#;
    r9_an_execute_that_is_bound_is_run_at_once: r#"
login
client >> Q "prepare q as select id from orders"
server >> C "PREPARE" ; Z I
client >> P "" "execute q" ; B "" "" ; S
client >> P "" "execute q" ; B "" "" ; E "" ; S
server >> 1
server >> E 42601 "syntax error at or near \"narrows\"" ; Z I
server >> 1
server >> 2 ; D "1" ; C "EXECUTE" ; Z I
"#;
    r4_fetch_from_an_open_cursor_is_sent_alone: r#"
login
client >> Q "begin"
server >> C "BEGIN" ; Z T
client >> Q "declare c cursor for select id from orders"
server >> C "DECLARE CURSOR" ; Z T
client >> Q "fetch 2 from c; select 1"
server >> E 42601 "syntax error at or near \"narrows\"" ; Z E
"#;
}

// ---- refusals and the truth about transactions --------------------------------------------------

conversations! {
    r2_a_refusal_in_a_transaction_makes_the_server_fail: r#"
rule no-delete when `sql.verbs.exists(v, v == "delete")` block "no deletes"
login
client >> Q "begin"
server >> C "BEGIN" ; Z T
client >> Q "delete from notes"
server >> E 42601 "syntax error at or near \"narrows\"" ; Z E
client >> Q "rollback"
server >> C "ROLLBACK" ; Z I
"#;
    r2_a_refusal_in_a_failed_transaction_is_told_at_once: r#"
rule no-delete when `sql.verbs.exists(v, v == "delete")` block "no deletes"
login
client >> Q "begin"
server >> C "BEGIN" ; Z T
client >> Q "select 1/0"
server >> T x:int4 ; E 22012 "division by zero" ; Z E
client >> Q "delete from notes"
"#;
    r2_a_refusal_inside_a_pipeline_makes_the_server_fail: r#"
rule no-delete when `sql.verbs.exists(v, v == "delete")` block "no deletes"
login
client >> P "" "insert into notes values (1, 'a')" ; B "" "" ; E "" ; P "" "delete from notes" ; B "" "" ; E "" ; P "" "select 1" ; B "" "" ; E "" ; S
server >> 1 ; 2 ; C "INSERT 0 1" ; E 42601 "syntax error at or near \"narrows\"" ; Z I
client >> Q "select 1"
"#;
    r2_a_refusal_first_in_a_pipeline_skips_to_sync: r#"
rule no-delete when `sql.verbs.exists(v, v == "delete")` block "no deletes"
login
client >> P "" "delete from notes" ; B "" "" ; E "" ; P "" "select 1" ; B "" "" ; E "" ; S
server >> Z I
"#;
    several_queries_ahead_keep_their_order: r#"
rule no-delete when `sql.verbs.exists(v, v == "delete")` block "no deletes"
login
client >> Q "select 1" ; Q "delete from notes" ; Q "select 3"
server >> T x:int4 ; D "1" ; C "SELECT 1" ; Z I
server >> E 42601 "syntax error at or near \"narrows\"" ; Z I
server >> T x:int4 ; D "3" ; C "SELECT 1" ; Z I
"#;
}

// ---- holds --------------------------------------------------------------------------------------

conversations! {
    held_and_approved: r#"
rule ask when `sql.writes.exists(t, t == "public.notes")` approve dba wait 60
login
client >> Q "delete from notes where id = 1"
person >> approve #1
server >> C "DELETE 1" ; Z I
"#;
    held_and_denied: r#"
rule ask when `sql.writes.exists(t, t == "public.notes")` approve dba wait 60
login
client >> Q "delete from notes where id = 1"
person >> deny #1 "not on a Friday"
client >> Q "select 1"
server >> T x:int4 ; D "1" ; C "SELECT 1" ; Z I
"#;
    held_too_long: r#"
rule ask when `sql.writes.exists(t, t == "public.notes")` approve dba wait 60
login
client >> Q "delete from notes where id = 1"
clock >> 59 s
clock >> 1 s
person >> approve #1
"#;
    r2_held_and_denied_in_a_transaction: r#"
rule ask when `sql.writes.exists(t, t == "public.notes")` approve dba wait 60
login
client >> Q "begin"
server >> C "BEGIN" ; Z T
client >> Q "delete from notes where id = 1"
person >> deny #2
server >> E 42601 "syntax error at or near \"narrows\"" ; Z E
"#;
    held_and_cancelled: r#"
rule ask when `sql.writes.exists(t, t == "public.notes")` approve dba wait 60
login
client >> Q "delete from notes where id = 1"
gateway >> cancel
client >> Q "select 1"
gateway >> cancel
server >> E 57014 "canceling statement due to user request" ; Z I
"#;
    held_and_the_client_leaves: r#"
rule ask when `sql.writes.exists(t, t == "public.notes")` approve dba wait 60
login
client >> Q "delete from notes where id = 1"
client >> close
person >> approve #1
"#;
    r9_bind_is_the_gate_and_nothing_of_it_is_sent_before_the_yes: r#"
rule ask when `sql.writes.exists(t, t == "public.notes")` approve dba wait 60
login
client >> P "d" "delete from notes where id = $1" 23 ; S
server >> 1 ; Z I
client >> B "" "d" "5" ; E "" ; S
person >> approve #2
server >> 2 ; C "DELETE 1" ; Z I
"#;
    the_client_goes_on_while_one_waits: r#"
rule ask when `sql.writes.exists(t, t == "public.notes")` approve dba wait 60
login
client >> Q "delete from notes where id = 1" ; Q "select 1"
person >> approve #1
server >> C "DELETE 1" ; Z I
server >> T x:int4 ; D "1" ; C "SELECT 1" ; Z I
"#;
    approval_is_void_when_rules_change_meanwhile: r#"
rule ask when `sql.writes.exists(t, t == "public.notes")` approve dba wait 60
login
client >> Q "delete from notes where id = 1"
gateway >> reload rule no-delete when `sql.verb == "delete"` block "no deletes"
person >> approve #1
"#;
}

// ---- replies that may be stopped ----------------------------------------------------------------

conversations! {
    r3_under_the_threshold_the_reply_is_released_whole: r#"
rule big when `result.rows > 2` approve dba wait 60
login
client >> Q "select id from orders"
server >> T id:orders.id ; D "1"
server >> D "2" ; C "SELECT 2"
server >> Z I
client >> Q "select 1"
server >> T x:int4 ; D "1" ; C "SELECT 1" ; Z I
"#;
    r3_past_the_threshold_it_waits_and_not_one_row_has_left: r#"
rule big when `result.rows > 2` approve dba wait 60
login
client >> Q "select id from orders"
server >> T id:orders.id ; D "1" ; D "2" ; D "3"
person >> approve #1
server >> D "4" ; C "SELECT 4" ; Z I
"#;
    r3_denied_while_it_still_runs_is_cancelled_and_drained: r#"
rule big when `result.rows > 2` approve dba wait 60
login
client >> Q "select id from orders"
server >> T id:orders.id ; D "1" ; D "2" ; D "3"
person >> deny #1 "too much"
server >> D "4" ; D "5"
server >> E 57014 "canceling statement due to user request" ; Z I
client >> Q "select 1"
server >> T x:int4 ; D "1" ; C "SELECT 1" ; Z I
"#;
    r3_denied_after_it_ended_sends_nothing_of_it: r#"
rule big when `result.rows > 2` approve dba wait 60
login
client >> Q "select id from orders"
server >> T id:orders.id ; D "1" ; D "2" ; D "3" ; C "SELECT 3" ; Z I
person >> deny #1
client >> Q "select 1"
"#;
    r2_r3_denied_in_a_transaction_fails_the_transaction: r#"
rule big when `result.rows > 2` approve dba wait 60
login
client >> Q "begin"
server >> C "BEGIN" ; Z T
client >> Q "select id from orders"
server >> T id:orders.id ; D "1" ; D "2" ; D "3" ; C "SELECT 3" ; Z T
person >> deny #2
server >> E 42601 "syntax error at or near \"narrows\"" ; Z E
"#;
    r3_nobody_answers_in_time: r#"
rule big when `result.rows > 2` approve dba wait 60
login
client >> Q "select id from orders"
server >> T id:orders.id ; D "1" ; D "2" ; D "3"
clock >> 60 s
server >> E 57014 "canceling statement due to user request" ; Z I
"#;
    r3_a_full_buffer_is_asked_about_at_once: r#"
rule big when `result.rows > 1000` approve dba wait 60
set hold_buffer_bytes 100
login
client >> Q "select body from notes"
server >> T body:notes.body ; D "\{120*x}"
person >> approve #1
server >> C "SELECT 1" ; Z I
"#;
    p8_what_a_person_let_pass_is_withheld_no_longer: r#"
rule big when `result.rows > 1` approve dba wait 60 rows_max 3
set hold_buffer_bytes 100
login
client >> Q "select id from orders"
server >> T id:orders.id ; D "1" ; D "2"
person >> approve #1 rows_max 3
server >> D "3"
server >> D "4" ; C "SELECT 4" ; Z I
person >> approve #1
"#;
    p8_what_was_let_go_is_not_told_again_when_a_later_part_is_refused: r#"
rule big when `result.rows > 1` approve dba wait 60
login
client >> P "" "select id from orders" ; B "" "" ; E "" ; S
server >> 1 ; 2 ; D "1" ; D "2"
person >> approve #1 rows_max 3
server >> D "3"
server >> D "4" ; C "SELECT 4" ; Z I
person >> deny #1 "too many"
"#;
    p8_a_reply_that_no_rule_stops_is_withheld_no_longer_than_it_may_be: r#"
rule wide when `"public.notes.body" in result.columns` block "no"
set hold_buffer_bytes 200
login
client >> Q "select name from customers"
server >> T name:customers.name ; D "\{120*x}"
server >> D "\{120*x}"
server >> D "more" ; C "SELECT 3" ; Z I
"#;
    r3_a_statement_that_may_write_is_held_before_it_runs: r#"
rule big when `result.rows > 2` approve dba wait 60
login
client >> Q "update orders set total = 0 returning id"
"#;
    r3_a_notice_passes_a_withheld_reply: r#"
rule big when `result.rows > 2` approve dba wait 60
login
client >> Q "select id from orders"
server >> T id:orders.id ; D "1" ; N 00000 "still here"
server >> D "2" ; C "SELECT 2" ; Z I
"#;
    r4_a_portal_is_read_in_batches_that_count_together: r#"
rule big when `result.rows > 3` approve dba wait 60
login
client >> Q "begin"
server >> C "BEGIN" ; Z T
client >> P "" "select id from orders" ; B "p" "" ; E "p" 2 ; H
server >> 1 ; 2 ; D "1" ; D "2" ; s
client >> E "p" 2 ; S
server >> D "3" ; D "4" ; s ; Z T
person >> approve #3
"#;
    r11_a_yes_to_a_portal_covers_so_many_rows_of_all_its_batches: r#"
rule big when `result.rows > 1` approve dba wait 60
login
client >> Q "begin"
server >> C "BEGIN" ; Z T
client >> P "" "select id from orders" ; B "p" "" ; E "p" 2 ; H
server >> 1 ; 2 ; D "1" ; D "2" ; s
person >> approve #2 rows_max 3
client >> E "p" 1 ; H
server >> D "3" ; s
client >> E "p" 2 ; S
server >> D "4" ; D "5" ; s ; Z T
person >> approve #4
"#;
    r4_a_cursor_counts_rows_over_every_fetch: r#"
rule big when `result.rows > 3` approve dba wait 60
login
client >> Q "begin"
server >> C "BEGIN" ; Z T
client >> Q "declare c cursor for select id from orders"
server >> C "DECLARE CURSOR" ; Z T
client >> Q "fetch 2 from c"
server >> T id:orders.id ; D "1" ; D "2" ; C "FETCH 2" ; Z T
client >> Q "fetch 2 from c"
server >> T id:orders.id ; D "3" ; D "4" ; C "FETCH 2" ; Z T
person >> approve #4
"#;
    r11_a_yes_covers_so_many_rows: r#"
rule big when `result.rows > 2` approve dba wait 60
login
client >> Q "select id from orders"
server >> T id:orders.id ; D "1" ; D "2" ; D "3"
person >> approve #1 rows_max 4
server >> D "4"
server >> D "5"
server >> C "SELECT 5" ; Z I
"#;
    a_reply_is_blocked_by_what_is_in_it: r#"
rule no-names when `result.columns.exists(c, c == "public.customers.email")` block "no addresses"
login
client >> Q "select email from customers"
server >> T email:customers.email ; D "a@example.com" ; C "SELECT 1" ; Z I
"#;
}

// ---- COPY ---------------------------------------------------------------------------------------

conversations! {
    copy_out_is_masked: r#"
rule hide mask ssn
login
client >> Q "copy customers (id, ssn, name) to stdout"
server >> H 3 ; d "1\t123-45-6789\tAnn\n" ; d "2\t\\N\tBob\n" ; c ; C "COPY 2" ; Z I
"#;
    copy_out_as_csv_is_masked_over_any_split: r#"
rule hide mask ssn
login
client >> Q "copy (select ssn, name from customers) to stdout with (format csv, header)"
server >> H 2 ; d "ssn,name\n" ; d "\"123-45" ; d "-6789\",\"A\"\"nn\"\n" ; c ; C "COPY 1" ; Z I
"#;
    copy_in_sends_its_data_with_the_operation: r#"
login
client >> Q "copy notes from stdin"
server >> G 2
client >> d "1\ta\n" ; d "2\tb\n"
client >> c
server >> C "COPY 2" ; Z I
"#;
    p9_copy_in_by_execute_has_one_answer_for_its_two_syncs: r#"
login
client >> P "" "copy notes from stdin" ; B "" "" ; E "" ; S
server >> 1 ; 2 ; G 2
client >> d "1\ta\n" ; c ; S
server >> C "COPY 1" ; Z I
client >> P "" "copy notes from stdin" ; B "" "" ; E "" ; S
server >> 1 ; 2 ; G 2
client >> d "x\ta\n" ; c ; S
server >> E 22P02 "invalid input syntax for type integer" ; Z I
client >> Q "select 1"
server >> T x:int4 ; D "1" ; C "SELECT 1" ; Z I
"#;
    copy_in_that_fails_ignores_the_rest: r#"
login
client >> Q "copy notes from stdin"
server >> G 2
client >> d "x\ta\n"
server >> E 22P02 "invalid input syntax for type integer" ; Z I
client >> d "2\tb\n" ; c ; Q "select 1"
server >> T x:int4 ; D "1" ; C "SELECT 1" ; Z I
"#;
}

#[test]
fn the_notation_is_of_this_protocol() {
    assert_eq!(notation::name(), "postgres");
}

#[test]
fn p8_a_pipeline_without_a_sync_is_sent_as_far_as_it_is_answered() {
    let step = "B \"\" \"s\" ; E \"\" ; ";
    let answers = "2 ; C \"SELECT 0\" ; ";
    let script = format!(
        "login\nclient >> P \"s\" \"select id from orders\" ; S\nserver >> 1 ; Z I\n\
         client >> {}H\nserver >> {}N 00000 \"on\"\n",
        step.repeat(3000),
        answers.repeat(400),
    );
    let transcript = testkit::conversation::transcript(scene(), Postgres::default(), &script);
    let (asked, answered) = transcript.split_once("server >> 2").unwrap();
    let sent = |text: &str| text.matches("server << B \"\" \"s\"").count();
    assert_eq!(sent(asked), model::limit::ANSWERS_AWAITED_MAX / 2);
    assert!(asked.trim_end().ends_with("server << H"), "the server is asked for its answers");
    assert_eq!(sent(answered), 400, "what is answered makes room");
}
