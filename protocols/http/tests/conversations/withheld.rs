//! Replies that a rule may stop: nothing of them leaves before that is settled (R3).

use super::check;

conversations! {
    r3_a_reply_is_released_whole_at_its_end: r#"
rule big when `result.bytes > 1000` block "too much"
client >> GET /r/api/items ; token
server >> 200 ; chunked
server >> data "some" ; data "more"
server >> end
"#;
    r3_past_the_threshold_it_is_blocked: r#"
rule big when `result.bytes > 40` block "too much"
client >> GET /r/api/items ; token
server >> 200 ; field x-head "1" ; chunked
server >> data "0123456789" ; data "0123456789"
server >> data "0123456789" ; data "0123456789" ; end
"#;
    r3_blocked_by_what_is_in_it: r#"
rule no-cards when `"CREDIT_CARD" in result.detections` block "a card is in it"
client >> GET /r/api/note ; token
server >> 200 ; field content-type "text/plain" ; chunked
server >> data "card 4111 1111 1111 1111"
server >> end
client >> next
client >> GET /r/api/note ; token
server >> 200 ; field content-type "text/plain" ; body "no card"
"#;
    p2_fields_and_trailers_of_a_reply_are_searched: r#"
rule no-cards when `"CREDIT_CARD" in result.detections` block "a card is in it"
client >> GET /r/api/note ; token
server >> 200 ; field x-card "4111 1111 1111 1111" ; body "ok"
client >> next
client >> GET /r/api/note ; token
server >> 200 ; chunked ; data "ok" ; trailer x-card "4111 1111 1111 1111" ; end
client >> next
client >> GET /r/api/note ; token
server >> 200 ; field x-card "none" ; body "ok"
"#;
    p2_what_cannot_be_searched_does_not_count_as_clean: r#"
rule no-cards when `"CREDIT_CARD" in result.detections` block "a card is in it"
client >> GET /r/api/note ; token
server >> 206 ; field content-type "text/plain" ; body "a part"
client >> next
client >> GET /r/api/note ; token
server >> 200 ; field content-type "text/plain; charset=shift_jis" ; body "abc"
client >> next
client >> GET /r/api/note ; token
server >> 200 ; field content-type "application/json" ; body "{none"
client >> next
client >> GET /r/api/note ; token
server >> 200 ; field content-type "text/plain" ; field content-encoding "lz" ; body "abc"
"#;
    p2_what_is_opaque_does_not_count_as_clean_where_the_resource_blocks_it: r#"
set options_of api {"opaque": "block"}
rule no-cards when `"CREDIT_CARD" in result.detections` block "a card is in it"
client >> GET /r/api/picture ; token
server >> 200 ; field content-type "image/png" ; body "\x89PNG\x00\x01\x02"
"#;
    p2_parts_that_are_opaque_do_not_count_as_clean_where_the_resource_blocks_them: r#"
set options_of api {"opaque": "block"}
rule no-cards when `"CREDIT_CARD" in result.detections` block "a card is in it"
client >> GET /r/api/form ; token
server >> 200 ; field content-type "multipart/form-data; boundary=xy" ; body "--xy\x0d\nContent-Disposition: form-data; name=f\x0d\nContent-Type: image/png\x0d\n\x0d\n\x89PNG\x00\x0d\n--xy--"
client >> next
client >> GET /r/api/form ; token
server >> 200 ; field content-type "multipart/form-data; boundary=xy" ; body "--xy\x0d\nContent-Disposition: form-data; name=f\x0d\nContent-Transfer-Encoding: base64\x0d\n\x0d\nYWJj\x0d\n--xy--"
client >> next
client >> GET /r/api/form ; token
server >> 200 ; field content-type "multipart/form-data; boundary=xy" ; body "--xy\x0d\nContent-Disposition: form-data; name=f\x0d\nContent-Type: text/plain; charset=shift_jis\x0d\n\x0d\nabc\x0d\n--xy--"
client >> next
client >> GET /r/api/form ; token
server >> 200 ; field content-type "multipart/form-data; boundary=xy" ; body "--xy\x0d\nContent-Disposition: form-data; name=f\x0d\nContent-Type: multipart/mixed; boundary=z\x0d\n\x0d\n--z--\x0d\n--xy--"
client >> next
client >> GET /r/api/form ; token
server >> 200 ; field content-type "multipart/form-data; boundary=xy" ; body "--xy\x0d\nContent-Disposition: form-data; name=f\x0d\nContent-Type: text/plain\x0d\n\x0d\nabc\x0d\n--xy--"
"#;
    what_is_opaque_passes_unsearched_where_the_resource_allows_it: r#"
rule no-cards when `"CREDIT_CARD" in result.detections` block "a card is in it"
client >> GET /r/api/picture ; token
server >> 200 ; field content-type "image/png" ; body "\x89PNG\x00\x01\x02"
"#;
    p9_what_cannot_be_searched_passes_where_rules_only_tell_of_it: r#"
rule tell when `"CREDIT_CARD" in result.detections` alert "a card is in it"
rule no-cards when `"CREDIT_CARD" in result.detections` observe block "a card is in it"
client >> GET /r/api/note ; token
server >> 206 ; field content-type "text/plain" ; field etag "\"a\"" ; body "a part"
client >> next
client >> GET /r/api/note ; token
server >> 200 ; field content-type "application/json" ; field etag "\"a\"" ; body "{none"
client >> next
client >> GET /r/api/note ; token
server >> 200 ; field content-type "text/plain" ; field etag "\"a\"" ; body "card 4111 1111 1111 1111"
"#;
    r3_past_the_threshold_a_person_is_asked_and_says_yes: r#"
rule big when `result.bytes > 20` approve dba wait 25
client >> GET /r/api/items ; token
server >> 200 ; chunked ; data "0123456789" ; data "0123456789" ; data "x"
person >> approve #1
server >> data "more" ; end
"#;
    r3_a_person_says_no: r#"
rule big when `result.bytes > 20` approve dba wait 25
client >> GET /r/api/items ; token
server >> 200 ; chunked ; data "0123456789" ; data "0123456789" ; data "x"
person >> deny #1 "no"
"#;
    r3_a_person_says_no_when_it_is_complete: r#"
rule cards when `"CREDIT_CARD" in result.detections` approve dba wait 25
client >> GET /r/api/note ; token
server >> 200 ; field content-type "text/plain" ; body "card 4111 1111 1111 1111"
person >> deny #1 "no"
"#;
    r3_nobody_answers_in_time: r#"
rule cards when `"CREDIT_CARD" in result.detections` approve dba wait 25
client >> GET /r/api/note ; token
server >> 200 ; field content-type "text/plain" ; body "card 4111 1111 1111 1111"
clock >> 25 s
"#;
    r3_what_may_write_is_held_before_it_runs: r#"
rule big when `result.bytes > 1000` approve dba wait 25
client >> POST /r/api/items ; token ; body "x"
person >> approve #1
server >> 201 ; body "made"
"#;
    a_withheld_reply_that_breaks_off: r#"
rule big when `result.bytes > 1000` block "too much"
client >> GET /r/api/items ; token
server >> 200 ; chunked ; data "some"
server >> close
"#;
    p3_a_withheld_reply_is_masked: r#"
rule hide mask ssn
rule big when `result.bytes > 1000` block "too much"
client >> GET /r/api/people ; token
server >> 200 ; field content-type "application/json" ; body "{\"ssn\":\"123-45-6789\"}"
"#;
    p8_more_than_may_be_withheld_is_asked_about: r#"
set hold_buffer_bytes 32
rule big when `result.bytes > 1000` approve dba wait 25
client >> GET /r/api/items ; token
server >> 200 ; chunked ; data "0123456789abcdef0123456789abcdef0123456789"
person >> approve #1
server >> end
"#;
    a_reply_that_was_approved_and_breaks_off_is_told: r#"
rule big when `result.bytes > 20` approve dba wait 25
client >> GET /r/api/items ; token
server >> 200 ; chunked ; data "0123456789" ; data "0123456789" ; data "x"
person >> approve #1
server >> data "more"
server >> close
"#;
    an_alert_about_a_reply_changes_nothing: r#"
rule tell when `result.bytes > 4` alert "much came back"
client >> GET /r/api/items ; token
server >> 200 ; body "0123456789"
"#;
}
