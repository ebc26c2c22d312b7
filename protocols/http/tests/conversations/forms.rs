//! Heads with two meanings, or none: recorded and refused, and nothing of them is sent.

use super::check;

conversations! {
    p2_paths_with_two_readings_are_refused: r#"
client >> GET /r/api/a/../b ; token
client >> next
client >> GET /r/api/a%2fb ; token
client >> next
client >> GET /r/api//a ; token
client >> next
client >> GET /r/api/a%zz ; token
client >> next
client >> GET /r/api/a%252e ; token
"#;
    r15_a_path_is_normalised_where_the_resource_says_so: r#"
set options_of api {"normalise": true}
client >> GET /r/api/a/./b ; token
server >> 204
"#;
    p2_fields_that_cut_a_request_elsewhere_are_refused: r#"
client >> POST /r/api/a ; token ; length 4 ; field transfer-encoding "chunked"
client >> next
client >> POST /r/api/a ; token ; length 4 ; field content-length "5"
client >> next
client >> POST /r/api/a ; token ; field content_length "5" ; body "abcd"
client >> next
client >> POST /r/api/a ; token ; field transfer-encoding "xchunked" ; chunked
client >> next
client >> POST /r/api/a ; token ; field expect "200-maybe" ; body "abcd"
"#;
    p2_a_request_without_a_host_is_refused: r#"
client >> GET /r/api/a host none ; token
"#;
    p2_a_method_that_another_field_changes_is_refused: r#"
client >> GET /r/api/a ; token ; field x-http-method-override "DELETE"
"#;
    p2_connection_may_not_name_fields_that_were_judged: r#"
client >> GET /r/api/a ; token ; field connection "x-signed" ; field x-signed "yes"
"#;
    p8_too_many_fields_are_refused: r#"
client >> GET /r/api/a ; token ; field x-long "\{70000*x}"
"#;
    a_body_without_a_head_ends_the_exchange: r#"
client >> data "abc"
"#;
    a_second_head_ends_the_exchange: r#"
client >> GET /r/api/a ; token
client >> GET /r/api/b ; token
"#;
}
