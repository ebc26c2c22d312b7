//! Calls of gRPC: what a refusal is to them, and messages that do not wait for one another.

use super::check;

conversations! {
    a_call_passes_with_its_status_after_the_body: r#"
client >> POST /notes.Notes/Add host api.gw.test ; http2 ; token ; field content-type "application/grpc" ; field te "trailers" ; chunked
client >> data "\x00\x00\x00\x00\x01a" ; end
server >> 200 ; field content-type "application/grpc" ; chunked ; data "\x00\x00\x00\x00\x01b" ; trailer grpc-status "0" ; end
"#;
    a_call_that_fails_without_a_message_passes: r#"
client >> POST /notes.Notes/Add host api.gw.test ; http2 ; token ; field content-type "application/grpc" ; chunked
client >> data "\x00\x00\x00\x00\x01a" ; end
server >> 200 ; field content-type "application/grpc" ; field grpc-status "5" ; field grpc-message "no such note"
"#;
    a_refused_call_gets_a_status_of_its_own: r#"
rule read-only when `http.path != "/notes.Notes/Get"` block "für {http.path}: 100% no"
client >> POST /notes.Notes/Add host api.gw.test ; http2 ; token ; field content-type "application/grpc+proto" ; chunked
client >> next
client >> POST /notes.Notes/Add host api.gw.test ; token ; field content-type "application/grpc+proto" ; chunked
"#;
    a_call_without_a_token_is_unauthenticated: r#"
client >> POST /notes.Notes/Add host api.gw.test ; http2 ; field content-type "application/grpc" ; chunked
"#;
    a_call_whose_upstream_is_unreachable_may_be_tried_again: r#"
client >> POST /notes.Notes/Add host api.gw.test ; http2 ; token ; field content-type "application/grpc" ; chunked
client >> data "\x00\x00\x00\x00\x01a" ; end
server >> unreachable upstream_down
"#;
    a_call_that_is_held_and_denied: r#"
rule ask when `http.method == "POST"` approve ops wait 25
client >> POST /notes.Notes/Add host api.gw.test ; http2 ; token ; field content-type "application/grpc" ; length 6
client >> data "\x00\x00\x00\x00\x01a" ; end
person >> deny #1 "not today"
"#;
    messages_under_a_mask_do_not_wait_for_one_another: r#"
rule hide mask ssn
client >> POST /notes.Notes/Watch host api.gw.test ; http2 ; token ; field content-type "application/grpc" ; chunked
client >> data "\x00\x00\x00\x00\x01a"
server >> 200 ; field content-type "application/grpc" ; chunked ; data "\x00\x00\x00\x00\x01b"
client >> data "\x00\x00\x00\x00\x01c" ; end
server >> data "\x00\x00\x00\x00\x01d" ; trailer grpc-status "0" ; end
"#;
    calls_are_withheld_where_what_is_opaque_is_blocked: r#"
set options_of api {"opaque": "block"}
rule hide mask ssn
client >> POST /notes.Notes/Get host api.gw.test ; http2 ; token ; field content-type "application/grpc" ; chunked
client >> data "\x00\x00\x00\x00\x01a" ; end
server >> 200 ; field content-type "application/grpc" ; chunked ; data "\x00\x00\x00\x00\x01b" ; trailer grpc-status "0" ; end
"#;
}
