//! What is hidden in replies (P3), and what becomes of replies that cannot be looked into.

use super::check;

conversations! {
    p3_a_json_field_is_masked_over_any_split: r#"
rule hide mask ssn
client >> GET /r/api/people ; token
server >> 200 ; field content-type "application/json" ; field etag "\"x\"" ; chunked
server >> data "[{\"name\":\"Ann\",\"ss" ; data "n\":\"123-45-" ; data "6789\"},{\"ssn\":null}]" ; end
"#;
    p3_a_field_of_a_form_and_of_lines_is_masked: r#"
rule hide mask ssn
client >> GET /r/api/form ; token
server >> 200 ; field content-type "application/x-www-form-urlencoded" ; body "a=1&ssn=123-45-6789&b=2"
client >> next
client >> GET /r/api/lines ; token
server >> 200 ; field content-type "application/x-ndjson" ; body "{\"ssn\":\"123-45-6789\"}\n{\"a\":1}\n"
client >> next
client >> GET /r/api/events ; token
server >> 200 ; field content-type "text/event-stream" ; chunked
server >> data "data: {\"ssn\":\"123-45-6789\"}\n\n" ; end
"#;
    p3_what_is_found_in_text_is_masked: r#"
rule hide mask types:US_SSN
client >> GET /r/api/note ; token
server >> 200 ; field content-type "text/plain" ; body "her number is 123-45-6789, I think"
"#;
    p3_what_is_not_called_json_is_read_as_what_it_looks_like: r#"
rule hide mask ssn
client >> GET /r/api/people ; token
server >> 200 ; field content-type "application/octet-stream" ; body "{\"ssn\":\"123-45-6789\"}"
client >> next
client >> GET /r/api/people ; token
server >> 200 ; body "{\"ssn\":\"123-45-6789\"}"
"#;
    p2_invalid_json_before_anything_was_sent_is_502: r#"
rule hide mask ssn
client >> GET /r/api/people ; token
server >> 200 ; field content-type "application/json" ; body "[}\"ssn\": 123-45-6789"
"#;
    p2_invalid_json_in_the_middle_cuts_the_reply: r#"
rule hide mask ssn
client >> GET /r/api/people ; token
server >> 200 ; field content-type "application/json" ; chunked
server >> data "[{\"name\":\"Ann\"},"
server >> data "{\"ssn\":123-45-6789]"
server >> data "more" ; end
"#;
    p2_json_that_breaks_off_is_not_completed: r#"
rule hide mask ssn
client >> GET /r/api/people ; token
server >> 200 ; field content-type "application/json" ; chunked
server >> data "[{\"name\":\"Ann\"}," ; end
"#;
    p2_an_unknown_coding_is_502: r#"
rule hide mask ssn
client >> GET /r/api/people ; token
server >> 200 ; field content-type "application/json" ; field content-encoding "snappy" ; body "\x00\x01\x02"
"#;
    p2_a_part_of_a_reply_is_502: r#"
rule hide mask ssn
client >> GET /r/api/people ; token
server >> 206 ; field content-type "application/json" ; field content-range "bytes 5-9/20" ; body "ssn\":"
"#;
    opaque_replies_pass_where_nothing_is_said: r#"
rule hide mask ssn
client >> GET /r/api/picture ; token
server >> 200 ; field content-type "image/png" ; body "\x89PNG\x00\x01\x02"
"#;
    opaque_replies_are_withheld_where_the_resource_says_so: r#"
set options_of api {"opaque": "block"}
rule hide mask ssn
client >> GET /r/api/picture ; token
server >> 200 ; field content-type "image/png" ; body "\x89PNG\x00\x01\x02"
"#;
    opaque_replies_are_cut_past_so_many_bytes: r#"
set options_of api {"opaque": 8}
rule hide mask ssn
client >> GET /r/api/picture ; token
server >> 200 ; field content-type "image/png" ; chunked
server >> data "\x89PNG\x00\x01\x02\x03\x04" ; data "more" ; end
"#;
    parts_that_are_opaque_are_cut_past_so_many_bytes: r#"
set options_of api {"opaque": 8}
rule hide mask ssn
client >> GET /r/api/form ; token
server >> 200 ; field content-type "multipart/form-data; boundary=xy" ; chunked
server >> data "--xy\x0d\nContent-Disposition: form-data; name=f\x0d\nContent-Type: image/png\x0d\n\x0d\n\x89PNG\x00\x0d\n"
server >> data "--xy\x0d\nContent-Disposition: form-data; name=f\x0d\nContent-Type: text/plain\x0d\n\x0d\nabc\x0d\n--xy\x0d\nContent-Disposition: form-data; name=f\x0d\nContent-Type: image/png\x0d\n\x0d\n\x89PNG\x00\x0d\n--xy--" ; end
"#;
    p4_a_masked_number_stays_a_number: r#"
rule hide mask ssn
rule age-null mask age with null
rule code-hash mask code with hash
client >> GET /r/api/people ; token
server >> 200 ; field content-type "application/json" ; body "{\"age\":44,\"code\":\"abc\",\"ssn\":123456789}"
"#;
    masks_change_with_a_reload: r#"
client >> GET /r/api/people ; token
gateway >> reload rule hide mask ssn
server >> 200 ; field content-type "application/json" ; body "{\"ssn\":\"123-45-6789\"}"
client >> next
client >> GET /r/api/people ; token
server >> 200 ; field content-type "application/json" ; body "{\"ssn\":\"123-45-6789\"}"
"#;
    p3_fields_of_the_head_and_trailers_are_masked: r#"
rule hide mask x-ssn
rule find mask types:US_SSN with partial
client >> GET /r/api/note ; token
server >> 200 ; field x-ssn "123-45-6789" ; field x-note "ssn: 123-45-6789" ; chunked
server >> data "hello" ; trailer x-ssn "123-45-6789" ; end
"#;
    p3_heads_and_conditions_confirm_no_guess_at_what_is_hidden: r#"
rule hide mask ssn
client >> GET /r/api/people ; token ; field if-none-match "\"digest-of-a-guess\""
server >> 200 ; field content-type "application/json" ; field etag "\"x\"" ; body "{}"
client >> next
client >> HEAD /r/api/people ; token
server >> 200 ; field content-type "application/json" ; field etag "\"x\"" ; field content-md5 "y" ; field content-length "21"
client >> next
client >> GET /r/api/people ; token ; field if-modified-since "Thu, 01 Jan 2026 00:00:00 GMT"
server >> 304 ; field etag "\"x\""
"#;
    what_left_of_a_reply_before_it_was_stopped_counts: r#"
rule hide mask ssn
rule much limit bytes 40
client >> GET /r/api/people ; token
server >> 200 ; field content-type "application/json" ; chunked
server >> data "[{\"name\":\"Ann\"},{\"name\":\"Bob\"},{\"name\":\"Cid\"},"
server >> data "}"
client >> next
client >> GET /r/api/people ; token
"#;
}
