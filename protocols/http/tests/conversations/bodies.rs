//! Bodies of requests: held for somebody who needs them, or streamed unread (R15).

use super::check;

conversations! {
    r15_held_because_a_rule_reads_what_is_in_it: r#"
rule no-cards when `"CREDIT_CARD" in http.detections` block "cards stay here"
client >> POST /r/api/notes ; token ; field content-type "text/plain" ; chunked
client >> data "my card is 4111 1111 "
client >> data "1111 1111" ; end
client >> next
client >> POST /r/api/notes ; token ; field content-type "text/plain" ; chunked
client >> data "no card at all" ; end
server >> 204
"#;
    r15_held_because_a_rule_reads_its_length: r#"
rule small when `http.body_bytes > 10` block "too much"
client >> POST /r/api/notes ; token ; chunked
client >> data "0123456789" ; data "x" ; end
client >> next
client >> POST /r/api/notes ; token ; chunked
client >> data "0123456789" ; end
server >> 204
"#;
    r11_held_because_a_person_may_be_asked: r#"
rule ask when `http.path == "/pay"` approve ops wait 25
client >> POST /r/api/pay ; token ; chunked
client >> data "amount=" ; data "12" ; end
person >> approve #1
server >> 204
"#;
    held_because_it_is_short: r#"
client >> POST /r/api/notes ; token ; length 5
client >> data "hello"
client >> end
server >> 204
"#;
    a_long_body_is_streamed_unread: r#"
client >> POST /r/api/upload ; token ; length 65537
client >> data "first"
client >> data "second"
server >> 204
"#;
    p1_a_streamed_body_waits_for_the_record: r#"
journal >> waits
client >> POST /r/api/upload ; token ; chunked
client >> data "first"
journal >> catches up
client >> data "second" ; end
server >> 204
journal >> catches up
"#;
    p2_too_long_to_be_judged_is_413: r#"
set options_of api {"inspect_max": 16}
rule no-cards when `"CREDIT_CARD" in http.detections` block "cards stay here"
client >> POST /r/api/notes ; token ; chunked
client >> data "0123456789abcdef"
client >> data "g" ; end
"#;
    p8_as_long_as_may_be_held_passes: r#"
set options_of api {"inspect_max": 16}
rule no-cards when `"CREDIT_CARD" in http.detections` block "cards stay here"
client >> POST /r/api/notes ; token ; chunked
client >> data "0123456789abcdef" ; end
server >> 204
"#;
    p9_fields_after_a_held_body_are_judged_and_pass: r#"
rule no-cards when `"CREDIT_CARD" in http.detections` block "cards stay here"
client >> POST /r/api/notes ; token ; chunked
client >> data "x" ; trailer x-note "y" ; end
"#;
    a_body_that_breaks_off_while_it_is_streamed: r#"
client >> POST /r/api/upload ; token ; chunked
client >> data "half of"
client >> close
"#;
    what_is_found_counts_address_and_fields: r#"
rule no-cards when `"CREDIT_CARD" in http.detections` block "cards stay here"
client >> GET /r/api/find?q=4111111111111111 ; token
client >> next
client >> GET /r/api/find ; token ; field x-note "4111-1111-1111-1111"
"#;
    r15_a_longer_one_is_judged_in_parts: r#"
set options_of api {"inspect_max": 16, "stream_inspect": true}
rule no-cards when `"CREDIT_CARD" in http.detections` block "cards stay here"
client >> POST /r/api/upload ; token ; chunked
client >> data "0123456789abcdef"
client >> data "ghij"
client >> data "the second part, which is long"
client >> data "tail" ; end
server >> 204
client >> next
client >> POST /r/api/upload ; token ; chunked
client >> data "0123456789abcdef"
client >> data "the card is 4111 "
client >> data "1111 1111 1111 and more"
client >> data "never read" ; end
"#;
    r15_a_part_waits_for_the_record: r#"
set options_of api {"inspect_max": 16, "stream_inspect": true}
rule no-cards when `"CREDIT_CARD" in http.detections` block "cards stay here"
client >> POST /r/api/upload ; token ; chunked
client >> data "0123456789abcdefg"
journal >> waits
client >> data "a part of sixteen"
client >> data "and another after"
journal >> catches up
client >> end
server >> 204
journal >> catches up
"#;
    r15_the_first_part_is_refused_before_anything_leaves: r#"
set options_of api {"inspect_max": 16, "stream_inspect": true}
rule no-cards when `"CREDIT_CARD" in http.detections` block "cards stay here"
client >> POST /r/api/upload ; token ; chunked
client >> data "4111 1111 1111 1111"
client >> data "more" ; end
"#;
    r15_a_value_cut_by_an_encoding_of_the_whole_is_found_in_a_part: r#"
set options_of api {"inspect_max": 16, "stream_inspect": true}
rule no-cards when `"CREDIT_CARD" in http.detections` block "cards stay here"
client >> POST /r/api/upload ; token ; chunked
client >> data "eyJub3RlIjoibm8i"
client >> data "LCJjYXJkIjoiNDExMSAxMTEx"
client >> data "IDExMTEgMTExMSJ9" ; end
"#;
    r15_a_coding_is_undone_over_all_parts: r#"
set options_of api {"inspect_max": 16, "stream_inspect": true}
rule no-cards when `"CREDIT_CARD" in http.detections` block "cards stay here"
client >> POST /r/api/upload ; token ; field content-encoding "deflate" ; chunked
client >> data "\xabV\xca\xcb/IU\xb2R\x0a\xc8IM,NUH"
client >> data "\xceH,JOU(\xc9\x002\x13\x8bR\x14L\x0c\x0d\x0d\x15\x0cQ\x89\xfc4\x88|iqI~nj\x91\x8eBb^\x0aH$\x0fYw>\x90(\x82\x98\x01U\x0f\x15\x81\xea\xd2S\x08\xc9H\xcc\xcbV\xa8\xcc/\xd5\x81\x18\x07\xd2\x9b\x99\x97\xae\x90\x92Z\x90XT\x92\x9b\x9aW\x82\xaa\x13!\xae\xa7T\x0b\x00" ; end
client >> next
client >> POST /r/api/upload ; token ; field content-encoding "deflate" ; chunked
client >> data "\xabV\xca\xcb/IU\xb2R\x0a\xc8IM,NUH"
client >> data "this is no deflate at all, and nobody can tell" ; end
client >> next
client >> POST /r/api/upload ; token ; field content-encoding "compress" ; chunked
client >> data "of a coding that nobody knows" ; end
"#;
    r15_fields_after_a_body_in_parts_are_judged_with_its_last: r#"
set options_of api {"inspect_max": 16, "stream_inspect": true}
rule no-cards when `"CREDIT_CARD" in http.detections` block "cards stay here"
client >> POST /r/api/upload ; token ; chunked
client >> data "0123456789abcdefg"
client >> trailer x-note "4111 1111 1111 1111" ; end
client >> next
client >> POST /r/api/upload ; token ; chunked
client >> data "0123456789abcdefg"
client >> data "h" ; trailer x-note "nrw_token" ; trailer x-two "fine" ; end
server >> 204
"#;
    p2_a_length_that_is_not_declared_is_not_known_in_parts: r#"
set options_of api {"inspect_max": 16, "stream_inspect": true}
rule small when `http.body_bytes > 20` block "too much"
client >> POST /r/api/upload ; token ; chunked
client >> data "0123456789abcdefg" ; end
client >> next
client >> POST /r/api/upload ; token ; length 19
client >> data "0123456789abcdefghi" ; end
server >> 204
client >> next
client >> POST /r/api/upload ; token ; length 21
client >> data "0123456789abcdefghijk" ; end
"#;
    r11_what_a_person_is_asked_about_is_never_judged_in_parts: r#"
set options_of api {"inspect_max": 16, "stream_inspect": true}
rule ask when `http.path == "/pay"` approve ops wait 25
client >> POST /r/api/pay ; token ; chunked
client >> data "0123456789abcdefg" ; end
"#;
    r15_a_call_is_never_judged_in_parts: r#"
set options_of api {"inspect_max": 16, "stream_inspect": true}
rule no-cards when `"CREDIT_CARD" in http.detections` block "cards stay here"
client >> POST /r/api/svc/M ; token ; field content-type "application/grpc" ; chunked
client >> data "\x00\x00\x00\x00\x20and so on for more bytes" ; end
"#;
    an_answer_before_all_parts_left: r#"
set options_of api {"inspect_max": 16, "stream_inspect": true}
rule no-cards when `"CREDIT_CARD" in http.detections` block "cards stay here"
client >> POST /r/api/upload ; token ; chunked
client >> data "0123456789abcdefg"
server >> 413 ; body "too much"
client >> data "a part that nobody waits for any more" ; end
client >> next
client >> POST /r/api/upload ; token ; chunked
client >> data "0123456789abcdefg"
journal >> waits
client >> data "the card is 4111 1111 1111 1111"
server >> 413 ; body "too much"
journal >> catches up
journal >> catches up
journal >> catches up
"#;
    p2_a_part_is_refused_while_its_reply_is_withheld: r#"
set options_of api {"inspect_max": 16, "stream_inspect": true}
rule no-cards when `"CREDIT_CARD" in http.detections` block "cards stay here"
rule no-names when `"EMAIL" in result.detections` block "no addresses"
client >> GET /r/api/upload ; token ; chunked
client >> data "0123456789abcdefg"
server >> 200 ; field content-type "text/plain" ; chunked
server >> data "half"
client >> data "the card is 4111 1111 1111 1111, as they say"
"#;
    p2_a_part_is_not_waited_for_when_the_reply_is_refused: r#"
set options_of api {"inspect_max": 16, "stream_inspect": true}
rule no-cards when `"CREDIT_CARD" in http.detections` block "cards stay here"
rule no-names when `"EMAIL" in result.detections` block "no addresses"
client >> GET /r/api/upload ; token ; chunked
client >> data "0123456789abcdefg"
journal >> waits
client >> data "the card is 4111 1111 1111 1111, as they say"
server >> 200 ; field content-type "text/plain" ; body "an@example.com"
journal >> catches up
journal >> catches up
"#;
    a_body_in_parts_that_breaks_off: r#"
set options_of api {"inspect_max": 16, "stream_inspect": true}
rule no-cards when `"CREDIT_CARD" in http.detections` block "cards stay here"
client >> POST /r/api/upload ; token ; chunked
client >> data "0123456789abcdefg"
client >> data "half"
client >> close
"#;
    p2_a_coding_that_does_not_end_is_refused_with_the_last_part: r#"
set options_of api {"inspect_max": 16, "stream_inspect": true}
rule no-cards when `"US_SSN" in http.detections` block "numbers stay here"
client >> POST /r/api/upload ; token ; field content-encoding "deflate" ; chunked
client >> data "x\x9c+\xc9HU\xc8+\xcdMJ-R\xc8,V0144"
client >> data "T0D!t\x14J2R+\x15\x8a\x13" ; end
"#;
    r15_what_was_found_in_one_part_counts_in_the_next: r#"
set options_of api {"inspect_max": 16, "stream_inspect": true}
rule no-pairs when `"CREDIT_CARD" in http.detections && "US_SSN" in http.detections` block "not both"
rule tell when `"CREDIT_CARD" in http.detections` alert "a card leaves"
client >> POST /r/api/upload ; token ; chunked
client >> data "4111111111111111\x0aand so on and on\x0aand so on and on\x0a"
client >> data "ssn: 536-22-8726\x0aand so on\x0a" ; end
"#;
    a_request_in_parts_is_one_operation: r#"
set options_of api {"inspect_max": 16, "stream_inspect": true}
rule pace limit operations 2
rule no-cards when `"CREDIT_CARD" in http.detections` block "cards stay here"
client >> POST /r/api/upload ; token ; chunked
client >> data "and so on and on\x0aand so on and on\x0a" ; end
server >> 204
client >> next
client >> GET /r/api/items ; token
server >> 204
client >> next
client >> GET /r/api/items ; token
"#;
    r11_a_reload_that_asks_a_person_ends_a_request_in_parts: r#"
set options_of api {"inspect_max": 16, "stream_inspect": true}
rule no-cards when `"CREDIT_CARD" in http.detections` block "cards stay here"
client >> POST /r/api/upload ; token ; chunked
client >> data "and so on and on\x0aand so on and on\x0aand so on"
gateway >> reload rule ask when `http.path == "/upload"` approve ops wait 25
client >> data "and so on and on\x0a" ; end
"#;
    p2_a_rule_about_body_and_reply_refuses_the_part_in_which_it_may_apply: r#"
set options_of api {"inspect_max": 16, "stream_inspect": true}
rule both when `"CREDIT_CARD" in http.detections && result.bytes > 0` block "cards stay here"
client >> POST /r/api/upload ; token ; chunked
client >> data "and so on and on\x0a4111111111111111\x0aand so on and on\x0a" ; end
"#;
    p3_a_mask_that_a_part_calls_for_comes_too_late_for_the_reply: r#"
set options_of api {"inspect_max": 16, "stream_inspect": true}
rule hide when `"CREDIT_CARD" in http.detections` mask ssn
client >> POST /r/api/upload ; token ; chunked
client >> data "4111111111111111\x0aand so on and on\x0a" ; end
server >> 200 ; field content-type "application/json" ; body "{\"ssn\":\"536-22-8726\"}"
client >> next
client >> POST /r/api/upload ; token ; chunked
client >> data "and so on and on\x0a4111111111111111\x0aand so on and on\x0a" ; end
"#;
    p2_a_part_that_wants_less_of_the_reply_kept_comes_too_late: r#"
set payload full
set options_of api {"inspect_max": 16, "stream_inspect": true}
rule unkept when `"CREDIT_CARD" in http.detections` record none
client >> POST /r/api/upload ; token ; chunked
client >> data "and so on and on\x0a4111111111111111\x0aand so on and on\x0a" ; end
"#;
    p2_a_part_without_the_rule_that_kept_more_comes_too_late: r#"
set payload none
set options_of api {"inspect_max": 16, "stream_inspect": true}
rule kept when `!("CREDIT_CARD" in http.detections)` record full
client >> POST /r/api/upload ; token ; chunked
client >> data "and so on and on\x0a4111111111111111\x0aand so on and on\x0a" ; end
"#;
    a_part_that_wants_more_of_the_reply_kept_has_it_kept: r#"
set payload none
set options_of api {"inspect_max": 16, "stream_inspect": true}
rule kept when `"CREDIT_CARD" in http.detections` record full
client >> POST /r/api/upload ; token ; chunked
client >> data "and so on and on\x0a4111111111111111" ; end
server >> 200 ; body "ok"
"#;
    p2_a_part_that_wants_less_than_the_one_before_comes_too_late: r#"
set payload none
set options_of api {"inspect_max": 16, "stream_inspect": true}
rule kept when `"EMAIL" in http.detections` record full
rule unkept when `"CREDIT_CARD" in http.detections` record none
client >> POST /r/api/upload ; token ; chunked
client >> data "and so on and on\x0aada@example.com\x0a"
client >> data "4111111111111111\x0a" ; end
"#;
    p2_a_rule_about_the_reply_that_a_part_changes_refuses_it: r#"
set options_of api {"inspect_max": 16, "stream_inspect": true}
rule no-cards when `"CREDIT_CARD" in http.detections && result.bytes > 0 || result.bytes > 1000` block "cards: {http.detections}"
client >> GET /r/api/upload ; token ; chunked
client >> data "and so on and on\x0aand so on and on\x0a"
client >> data "4111111111111111\x0aand so on and on\x0a" ; end
"#;
    a_limit_counts_a_request_of_which_a_part_was_refused: r#"
set options_of api {"inspect_max": 16, "stream_inspect": true}
rule pace limit operations 1
rule no-cards when `"CREDIT_CARD" in http.detections` block "cards stay here"
client >> POST /r/api/upload ; token ; chunked
client >> data "and so on and on\x0a4111111111111111\x0aand so on and on\x0a" ; end
client >> next
client >> POST /r/api/upload ; token ; chunked
client >> data "and so on and on\x0a" ; end
"#;
    a_rule_about_the_reply_is_asked_once_of_a_request_in_parts: r#"
set options_of api {"inspect_max": 16, "stream_inspect": true}
rule no-cards when `"CREDIT_CARD" in http.detections` block "cards stay here"
rule empty when `result.bytes < 1` alert "nothing came"
client >> POST /r/api/upload ; token ; chunked
client >> data "and so on and on\x0aand so on and on\x0a" ; end
server >> 200 ; body "ok"
"#;
    r15_in_parts_as_a_proxy_too: r#"
set options {"inspect_max": 16, "stream_inspect": true}
rule no-cards when `"CREDIT_CARD" in http.detections` block "cards stay here"
client >> POST https://example.test/upload ; token ; chunked
client >> data "and so on and on\x0a4111111111111111\x0aand so on and on\x0a" ; end
"#;
    an_answer_before_the_body_is_complete: r#"
client >> POST /r/api/upload ; token ; chunked
client >> data "first"
server >> 413 ; body "too much"
client >> data "second" ; end
"#;
    a_body_that_breaks_off_while_held_is_recorded: r#"
rule no-cards when `"CREDIT_CARD" in http.detections` block "cards stay here"
client >> POST /r/api/notes ; token ; chunked
client >> data "half of"
client >> close
"#;
    p7_fields_after_a_held_body_carry_no_token: r#"
rule no-cards when `"CREDIT_CARD" in http.detections` block "cards stay here"
client >> POST /r/api/notes ; token ; chunked
client >> data "x" ; trailer authorization "Bearer nrw_token" ; trailer x-note "nrw_token" ; end
"#;
    r15_what_is_found_counts_what_the_coding_of_a_body_hides: r#"
rule no-cards when `"CREDIT_CARD" in http.detections` block "cards stay here"
client >> POST /r/api/notes ; token ; field content-encoding "br" ; body "\x1b\xb7\x00\xa0\x1d\x096Nqo\xc4$\x8fG|\xb6<\xd2\xee9\x8c\x12\x0e$\x8b\xfe\xa5\xc1n\xb7\x06\x89)[\x13f:9\xd3@\xb8}eA\x90Y\xdb\x0f\x16CP'KJVN\xf8 1\xc6~\xa06$\xe2\xa3\xe6\xd1\x93\x98\x85\x8a\xdah\x9bI\xea&)B)\x01\xd0+'\x06\xa1\x7f5\xcd\xb9:\xceN\xf6m\x09RA\x01:\x8eN\xe3\x03"
client >> next
client >> POST /r/api/notes ; token ; field content-encoding "br" ; body "\x1b\xb7\x00\xa0\x1d\x096Nqo\xc4$\x8fG|\xb6<\xd2\xee9\x8c\x12\x0e$\x8b\xfe\xa5\xc1n\xb7\x06\x81)[\x13f:9\xd3@\xb8}eA\x90Y\xdb\x0f\x16CP'KJVN\xf8 1\xc6~\xa06$\xe2\xa3\xe6\xd1\x93\x98\x85\x8a\xdah\x9bI\xea&)B)\x01\xd0+'\x06\xa1\x7f5\xcd\xb9:\xceN\xf6m\x09RA\x01:\x8eN\xe3\x03"
server >> 204
client >> next
client >> POST /r/api/notes ; token ; field content-encoding "deflate" ; body "\xabV\xca\xcb/IU\xb2R\x0a\xc8IM,NUH\xceH,JOU(\xc9\x002\x13\x8bR\x14L\x0c\x0d\x0d\x15\x0cQ\x89\xfc4\x88|iqI~nj\x91\x8eBb^\x0aH$\x0fYw>\x90(\x82\x98\x01U\x0f\x15\x81\xea\xd2S\x08\xc9H\xcc\xcbV\xa8\xcc/\xd5\x81\x18\x07\xd2\x9b\x99\x97\xae\x90\x92Z\x90XT\x92\x9b\x9aW\x82\xaa\x13!\xae\xa7T\x0b\x00"
client >> next
client >> POST /r/api/notes ; token ; field content-encoding "br" ; body "no card at all"
client >> next
client >> POST /r/api/notes ; token ; field content-encoding "compress" ; body "no card at all"
"#;
}
