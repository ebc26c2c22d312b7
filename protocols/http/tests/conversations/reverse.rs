//! In front of an API: who asks, what rules say, what people say.

use super::check;

conversations! {
    p9_what_is_allowed_passes_as_it_came: r#"
client >> GET /r/api/items?page=2&q=a%20b ; token ; field accept "text/html" ; field x-twice "a" ; field x-twice "b"
server >> 200 ; field content-type "text/plain" ; field etag "\"abc\"" ; body "hello"
"#;
    p9_a_body_and_its_trailers_pass_both_ways: r#"
client >> POST /r/api/upload ; token ; chunked
client >> data "one" ; data "two" ; trailer x-sum "7" ; end
server >> 200 ; chunked ; data "a" ; data "b" ; trailer x-sum "8" ; end
"#;
    p1_a_short_body_is_held_and_recorded_before_it_leaves: r#"
client >> POST /r/api/items ; token ; field content-type "application/json" ; length 7
client >> data "{\"a\":" ; data "1}" ; end
server >> 201 ; body ""
"#;
    the_resource_is_named_by_the_host: r#"
client >> GET /items host api.gw.test ; token
server >> 204
"#;
    a_token_is_found_in_the_fields_of_other_keys: r#"
client >> GET /r/api/ ; field x-api-key "nrw_0123456789abcdefghijklmnopqrstuvwxyz"
server >> 204
client >> next
client >> GET /r/api/ ; field authorization "Basic YWdlbnQ6bnJ3XzAxMjM0NTY3ODlhYmNkZWZnaGlqa2xtbm9wcXJzdHV2d3h5eg=="
server >> 204
client >> next
client >> GET /r/api/ ; field authorization "Basic bnJ3XzAxMjM0NTY3ODlhYmNkZWZnaGlqa2xtbm9wcXJzdHV2d3h5ejo="
server >> 204
"#;
    p7_the_token_is_taken_out_wherever_it_is: r#"
client >> GET /r/api/ ; token ; field x-copy "Bearer nrw_0123456789abcdefghijklmnopqrstuvwxyz" ; field x-other "stays"
server >> 204
"#;
    no_token_is_401: r#"
client >> GET /r/api/items
"#;
    an_unknown_token_is_401: r#"
client >> GET /r/api/items ; field authorization "Bearer nrw_other"
"#;
    two_tokens_are_none: r#"
client >> GET /r/api/items ; token ; token
"#;
    an_unknown_resource_is_refused: r#"
client >> GET /r/nothing/items ; token
"#;
    blocked_by_a_rule: r#"
rule no-delete when `http.method == "DELETE"` block "nothing is deleted here"
client >> DELETE /r/api/items/1 ; token
client >> next
client >> GET /r/api/items/1 ; token
server >> 200 ; body "1"
"#;
    blocked_by_what_a_field_says: r#"
rule no-debug when `http.headers["x-debug"] == "on"` block "no debugging"
client >> GET /r/api/items ; token ; field x-debug "on"
"#;
    p3_fields_of_a_reply_are_masked: r#"
rule hide mask ssn
client >> GET /r/api/people/1 ; token ; field accept-encoding "gzip, snappy" ; field range "bytes=0-5"
server >> 200 ; field content-type "application/json" ; field etag "\"x\"" ; body "{\"name\":\"Ann\",\"ssn\":\"123-45-6789\"}"
"#;
    held_and_approved: r#"
rule ask when `http.method == "DELETE"` approve ops wait 25
client >> DELETE /r/api/items/1 ; token
person >> approve #1
server >> 204
"#;
    held_and_denied: r#"
rule ask when `http.method == "DELETE"` approve ops wait 25
client >> DELETE /r/api/items/1 ; token
person >> deny #1 "not today"
"#;
    held_too_long_and_a_late_yes_covers_one_repeat: r#"
rule ask when `http.method == "DELETE"` approve ops wait 25
client >> DELETE /r/api/items/1 ; token
clock >> 26 s
person >> approve #1
client >> next
client >> DELETE /r/api/items/1 ; token
server >> 204
client >> next
client >> DELETE /r/api/items/1 ; token
"#;
    r11_a_yes_is_to_one_body_alone: r#"
rule ask when `http.method == "POST"` approve ops wait 25
client >> POST /r/api/pay ; token ; body "amount=1"
clock >> 26 s
person >> approve #1
client >> next
client >> POST /r/api/pay ; token ; body "amount=1000"
"#;
    alerts_change_nothing: r#"
rule tell when `http.method == "DELETE"` alert "something is deleted"
rule strict observe block "no"
client >> DELETE /r/api/items/1 ; token
server >> 204
"#;
    a_run_is_named_and_goes_no_further: r#"
client >> GET /r/api/items ; token ; field narrows-run "nightly-7"
server >> 204
client >> next
client >> GET /r/api/items ; token ; field narrows-run "a/b"
client >> next
client >> GET /r/api/items ; token ; field narrows-run "a" ; field narrows-run "b"
"#;
    a_limit_counts_over_the_exchanges_of_a_session: r#"
rule few limit operations 2
client >> GET /r/api/1 ; token
server >> 204
client >> next
client >> GET /r/api/2 ; token
server >> 204
client >> next
client >> GET /r/api/3 ; token
"#;
    a_session_counts_its_exchanges_together: r#"
rule few when `session.operations > 1` block "one is enough"
client >> GET /r/api/1 ; token
server >> 204
client >> next
client >> GET /r/api/2 ; token
"#;
    a_redirect_within_the_resource_stays_below_its_name: r#"
client >> GET /r/api/old ; token
server >> 302 ; field location "https://api.test/new?x=1" ; body ""
client >> next
client >> GET /r/api/old ; token
server >> 302 ; field location "/new" ; body ""
"#;
    a_redirect_to_another_host_is_withheld: r#"
client >> GET /r/api/old ; token
server >> 302 ; field location "https://elsewhere.test/new" ; body "go there"
"#;
    cookies_go_back_to_their_resource_only: r#"
client >> GET /r/api/login ; token ; field cookie "a=1"
server >> 200 ; field set-cookie "sid=abc; Domain=api.test; Path=/; HttpOnly" ; body "ok"
"#;
    what_ends_at_every_hop_is_not_passed_on: r#"
client >> GET /r/api/items ; token ; field connection "keep-alive" ; field keep-alive "timeout=5" ; field te "trailers"
server >> 200 ; field connection "close" ; field keep-alive "timeout=5" ; field alt-svc "h3=\":443\"" ; body "ok"
"#;
    the_head_of_a_reply_to_head_passes: r#"
client >> HEAD /r/api/items ; token
server >> 200 ; field content-length "5"
"#;
    an_error_of_the_upstream_passes: r#"
client >> GET /r/api/items ; token
server >> 500 ; body "broken"
"#;
    p7_a_token_in_the_trailers_stays_here: r#"
client >> POST /r/api/upload ; token ; chunked
client >> data "one" ; trailer x-copy "nrw_0123456789abcdefghijklmnopqrstuvwxyz" ; trailer x-sum "7" ; end
server >> 204
"#;
    p1_the_last_of_a_reply_is_recorded_with_its_end: r#"
client >> GET /r/api/notes ; token
server >> 200 ; field content-type "text/plain" ; length 5 ; last "hello"
"#;
    p3_the_last_of_a_reply_is_masked: r#"
rule hide mask ssn
client >> GET /r/api/notes ; token
server >> 200 ; field content-type "application/json" ; chunked ; data "{\"ssn\": \"078-05" ; last "-1120\"}"
"#;
}
