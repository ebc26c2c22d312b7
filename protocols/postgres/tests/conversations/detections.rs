//! Rules about the sensitive values that replies hold, and what of a reply is searched for them.

use super::check;

conversations! {
    p2_a_rule_about_what_replies_hold_sees_what_no_mask_hides: r#"
rule stays when `"CREDIT_CARD" in result.detections` block "cards stay here"
login
client >> Q "select body from notes"
server >> T body:notes.body ; D "paid with 4111 1111 1111 1111" ; D "cash" ; C "SELECT 2" ; Z I
client >> Q "select body from notes where id = 2"
server >> T body:notes.body ; D "cash" ; C "SELECT 1" ; Z I
client >> P "" "select body from notes" ; B "" "" ; E "" ; S
server >> 1 ; t ; T body:notes.body ; 2 ; D "4111111111111111" ; C "SELECT 1" ; Z I
client >> Q "copy notes (body) to stdout"
server >> H 1 ; d "4111111111111111\n" ; c ; C "COPY 1" ; Z I
"#;
    p2_a_rule_about_what_replies_hold_sees_errors_too: r#"
rule stays when `"CREDIT_CARD" in result.detections` block "cards stay here"
login
client >> Q "select body::int from notes"
server >> T body:int4 ; E 22P02 "invalid input syntax for type integer: \"4111 1111 1111 1111\"" ; Z I
client >> P "" "select body::int from notes" ; B "" "" ; E "" ; S
server >> 1 ; t ; T body:int4 ; 2 ; E 22P02 "not an integer" D "4111111111111111 is none" ; Z I
client >> Q "select body::int from notes"
server >> T body:int4 ; E 22P02 "invalid input syntax for type integer: \"cash\"" ; Z I
"#;
    p2_a_rule_about_what_replies_hold_sees_notices_too: r#"
rule stays when `"CREDIT_CARD" in result.detections` block "cards stay here"
login
client >> Q "select id from notes"
server >> N 00000 "saw 4111 1111 1111 1111" ; T id:notes.id ; D "1" ; C "SELECT 1" ; Z I
client >> Q "select id from notes"
server >> N 00000 "saw cash" ; T id:notes.id ; D "1" ; C "SELECT 1" ; Z I
server >> A "jobs" "4111111111111111" ; A "4111111111111111" "7" ; A "jobs" "7"
"#;
    p9_words_pass_unchanged_where_rules_only_tell_of_what_replies_hold: r#"
rule tell when `"CREDIT_CARD" in result.detections` alert "a card came back"
rule stays when `"CREDIT_CARD" in result.detections` observe block "cards stay here"
login
client >> Q "select id from notes"
server >> N 00000 "saw 4111 1111 1111 1111" ; T id:notes.id ; D "1" ; C "SELECT 1" ; Z I
client >> Q "select body::int from notes"
server >> T body:int4 ; E 22P02 "invalid input syntax for type integer: \"4111 1111 1111 1111\"" ; Z I
server >> A "jobs" "4111111111111111"
"#;
    p3_a_type_that_is_hidden_is_hidden_in_words_too: r#"
rule hide mask types:CREDIT_CARD
login
client >> Q "select body::int from notes"
server >> N 00000 "saw 4111 1111 1111 1111" ; T body:int4 ; E 22P02 "invalid input syntax for type integer: \"4111 1111 1111 1111\"" P "8" ; Z I
client >> Q "select body::int from notes"
server >> N 00000 "saw cash" ; T body:int4 ; E 22P02 "invalid input syntax for type integer: \"cash\"" ; Z I
"#;
    p2_what_is_searched_is_what_the_rules_of_the_operation_ask_for: r#"
rule stays when `"CREDIT_CARD" in result.detections` block "cards stay here"
login
client >> Q "select body from notes"
gateway >> reload
server >> T body:notes.body ; D "4111111111111111" ; C "SELECT 1" ; Z I
client >> Q "select body from notes"
gateway >> reload rule stays when `"CREDIT_CARD" in result.detections` block "cards stay here"
server >> T body:notes.body ; D "4111111111111111" ; C "SELECT 1" ; Z I
client >> Q "copy notes (body) to stdout"
gateway >> reload
server >> H 1 ; d "4111111111111111\n" ; c ; C "COPY 1" ; Z I
client >> Q "begin"
server >> C "BEGIN" ; Z T
client >> Q "declare c cursor for select body from notes"
server >> C "DECLARE CURSOR" ; Z T
gateway >> reload rule stays when `"CREDIT_CARD" in result.detections` block "cards stay here"
client >> Q "fetch 1 from c"
gateway >> reload
server >> T body:notes.body ; D "4111111111111111" ; C "FETCH 1" ; Z T
"#;
    p2_what_cannot_be_searched_does_not_count_as_clean: r#"
login
client >> P "s" "select body from notes" ; S
server >> 1 ; Z I
gateway >> reload rule stays when `"CREDIT_CARD" in result.detections` block "cards stay here"
client >> B "" "s" ; E "" ; S
server >> t ; T body:notes.body ; 2 ; D "4111111111111111" ; C "SELECT 1" ; Z I
client >> Q "copy (select id + 0 from notes) to stdout (format binary)"
server >> H 1 ; d "PGCOPY\n\xff\x0d\n\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x08\x00\x0e\x9b\x08\xa5\x68\xf1\xc7\xff\xff" ; c ; C "COPY 1" ; Z I
server >> S client_encoding SJIS
client >> Q "copy notes (body) to stdout"
server >> H 1 ; d "4111111111111111\n" ; c ; C "COPY 1" ; Z I
client >> P "" "select body from notes" ; B "" "" ; E "" ; S
server >> 1 ; t ; T body:notes.body ; 2 ; D "cash" ; C "SELECT 1" ; Z I
"#;
    p9_what_cannot_be_searched_passes_where_rules_only_tell_of_it: r#"
login
client >> P "s" "select body from notes" ; S
server >> 1 ; Z I
gateway >> reload rule tell when `"CREDIT_CARD" in result.detections` alert "a card came back" ;; rule stays when `"CREDIT_CARD" in result.detections` observe block "cards stay here"
client >> B "" "s" ; E "" ; S
server >> t ; T body:notes.body ; 2 ; D "4111111111111111" ; C "SELECT 1" ; Z I
server >> S client_encoding SJIS
client >> Q "copy notes (body) to stdout"
server >> H 1 ; d "4111111111111111\n" ; c ; C "COPY 1" ; Z I
client >> Q "select body from notes"
server >> T body:notes.body ; D "4111111111111111" ; C "SELECT 1" ; Z I
"#;
    p9_an_alert_does_not_stop_what_another_rule_lets_pass: r#"
rule tell when `"CREDIT_CARD" in result.detections` alert "a card came back"
rule many when `result.rows > 3 && "CREDIT_CARD" in result.detections` block "too many"
login
server >> S client_encoding SJIS
client >> Q "copy notes (body) to stdout"
server >> H 1 ; d "4111111111111111\n" ; c ; C "COPY 1" ; Z I
"#;
    p2_a_rule_about_what_replies_hold_sees_bytes_too: r#"
rule stays when `"CREDIT_CARD" in result.detections` block "cards stay here"
login
client >> Q "select convert_to(body, 'UTF8') as b from notes"
server >> T b:bytea ; D "\\x34313131313131313131313131313131" ; C "SELECT 1" ; Z I
client >> P "" "select convert_to(body, 'UTF8') as b from notes" ; B "" "" -> 1 ; E "" ; S
server >> 1 ; t ; T b:bytea ; 2 ; D "4111111111111111" ; C "SELECT 1" ; Z I
client >> Q "select convert_to(body, 'UTF8') as b from notes"
server >> T b:bytea ; D "\\x63617368" ; C "SELECT 1" ; Z I
client >> Q "copy (select convert_to(body, 'UTF8') from notes) to stdout"
server >> H 1 ; d "\\\\x34313131313131313131313131313131\n" ; c ; C "COPY 1" ; Z I
client >> Q "copy (select convert_to(body, 'UTF8') from notes) to stdout (format csv)"
server >> H 1 ; d "\\x34313131313131313131313131313131\n" ; c ; C "COPY 1" ; Z I
"#;
    p2_each_result_of_a_query_counts_in_what_was_searched: r#"
rule stays when `"CREDIT_CARD" in result.detections` block "cards stay here"
login
client >> Q "copy (select id + 0 from notes) to stdout (format binary); select 1"
server >> H 1 ; d "PGCOPY\n\xff\x0d\n\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x08\x00\x0e\x9b\x08\xa5\x68\xf1\xc7\xff\xff" ; c ; C "COPY 1" ; T x:int4 ; D "1" ; C "SELECT 1" ; Z I
"#;
    p9_a_notification_does_not_stop_the_reply_that_it_comes_with: r#"
rule stays when `"CREDIT_CARD" in result.detections` block "cards stay here"
login
client >> Q "select id from notes"
server >> A "jobs" "4111111111111111" ; T id:notes.id ; D "1" ; C "SELECT 1" ; Z I
"#;
    p2_alerts_are_given_where_another_rule_could_stop_what_cannot_be_searched: r#"
rule tell when `"CREDIT_CARD" in result.detections` alert "a card came back"
rule many when `result.rows > 3 && "CREDIT_CARD" in result.detections` block "too many"
login
client >> Q "select body from notes; copy (select id + 0 from notes) to stdout (format binary)"
server >> T body:notes.body ; D "4111111111111111" ; C "SELECT 1" ; H 1 ; d "PGCOPY\n\xff\x0d\n\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x08\x00\x0e\x9b\x08\xa5\x68\xf1\xc7\xff\xff" ; c ; C "COPY 1" ; Z I
"#;
    p3_an_error_keeps_the_names_in_which_nothing_is_hidden: r#"
rule hide mask types:CREDIT_CARD
login
client >> Q "insert into notes values (1, '4111 1111 1111 1111')"
server >> E 23505 "duplicate key value" D "Key (body)=(4111 1111 1111 1111) already exists." s public t notes n notes_body_key F nbtinsert.c ; Z I
client >> Q "insert into notes values (1, 'x')"
server >> E 23505 "duplicate key value" s public t notes n "of 4111111111111111" ; Z I
"#;
    p3_an_error_of_a_sync_alone_is_searched_too: r#"
rule hide mask types:CREDIT_CARD
login
client >> P "" "insert into notes values (1, 'x')" ; B "" "" ; E "" ; H
server >> 1 ; t ; n ; 2 ; C "INSERT 0 1"
client >> S
server >> E 23505 "duplicate key value" D "Key (body)=(4111 1111 1111 1111) already exists." ; Z I
client >> Q "select 1"
server >> T x:int4 ; D "1" ; C "SELECT 1" ; Z I
"#;
    p3_a_notification_that_cannot_be_read_says_nothing: r#"
rule hide mask types:CREDIT_CARD
login
server >> tag "A" "\x00\x00\x00\x01jobs\x004111111111111111" ; tag "A" "\x00\x00\x00\x01jobs\x00\x004111111111111111"
"#;
}
