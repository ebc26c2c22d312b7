//! The journal, operators, and how sessions end.

use super::check;

conversations! {
    p1_nothing_is_sent_before_the_journal_has_the_record: r#"
login
journal >> waits
client >> Q "select id from orders"
journal >> catches up
server >> T id:orders.id ; D "1" ; C "SELECT 1" ; Z I
journal >> catches up
"#;
    p5_what_cannot_be_recorded_is_refused: r#"
login
journal >> fails
client >> Q "select id from orders"
journal >> keeps
client >> Q "select 1"
"#;
    p5_a_reply_that_cannot_be_recorded_does_not_leave: r#"
login
client >> Q "select id from orders"
journal >> fails
server >> T id:orders.id ; D "1" ; C "SELECT 1" ; Z I
"#;
    p5_nothing_follows_a_part_of_a_reply_that_was_lost: r#"
login
client >> Q "select id from orders"
journal >> waits
server >> T id:orders.id ; D "1"
server >> D "2" ; C "SELECT 2" ; Z I
journal >> loses one
journal >> catches up
"#;
    r2_an_abort_that_cannot_be_recorded_ends_the_session: r#"
rule no-drop when `sql.verbs.exists(v, v == "drop")` block "no drops"
login
client >> Q "begin"
server >> C "BEGIN" ; Z T
journal >> fails
client >> Q "drop table notes" ; Q "commit"
journal >> keeps
client >> Q "select 1"
"#;
    revoked_while_it_runs: r#"
login
client >> Q "select id from orders"
server >> T id:orders.id ; D "1"
gateway >> stop revoked
"#;
    revoked_while_it_waits_for_a_person: r#"
rule ask when `sql.verb == "select"` approve dba wait 60
login
client >> Q "select id from orders"
gateway >> stop revoked
person >> approve #1
"#;
    access_withdrawn_by_a_reload_ends_the_session: r#"
login
gateway >> withdraw
"#;
    masks_change_with_a_reload: r#"
login
client >> Q "select ssn from customers"
server >> T ssn:customers.ssn ; D "123-45-6789" ; C "SELECT 1" ; Z I
gateway >> reload rule hide mask ssn with partial
client >> Q "select ssn from customers"
server >> T ssn:customers.ssn ; D "123-45-6789" ; C "SELECT 1" ; Z I
"#;
    the_server_goes_away_while_it_runs: r#"
login
client >> Q "select id from orders"
server >> T id:orders.id ; D "1"
server >> close
"#;
    the_server_says_why_it_leaves: r#"
login
client >> Q "select id from orders"
server >> T id:orders.id ; E! 57P01 "terminating connection due to administrator command"
server >> close
"#;
    the_server_says_why_it_leaves_an_idle_session: r#"
login
server >> E! 57P05 "terminating connection due to idle-session timeout"
server >> close
"#;
    the_client_goes_away_while_it_runs: r#"
login
client >> Q "select id from orders"
server >> T id:orders.id ; D "1"
client >> close
"#;
    an_answer_to_nothing_ends_the_session: r#"
login
server >> D "1"
"#;
    types_found_in_values_are_masked_and_counted: r#"
rule cards mask types:CREDIT_CARD
login
client >> Q "select body from notes"
server >> T body:notes.body ; D "paid with 4111 1111 1111 1111" ; D "cash" ; C "SELECT 2" ; Z I
"#;
    alerts_and_observed_rules_change_nothing: r#"
rule seen when `sql.verb == "select"` alert "someone reads {sql.tables}"
rule later when `sql.verb == "select"` observe block "not yet"
login
client >> Q "select id from orders"
server >> T id:orders.id ; D "1" ; C "SELECT 1" ; Z I
"#;
    a_limit_refuses_past_its_amount: r#"
rule few limit operations 2
login
client >> Q "select 1"
server >> T x:int4 ; D "1" ; C "SELECT 1" ; Z I
client >> Q "select 2"
server >> T x:int4 ; D "2" ; C "SELECT 1" ; Z I
client >> Q "select 3"
"#;
}
