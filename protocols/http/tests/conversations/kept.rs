//! How much of replies is recorded: as the resource says, or a rule of the request.

use super::check;

conversations! {
    p6_a_rule_keeps_nothing_of_a_reply_that_the_resource_keeps: r#"
set payload full
rule quiet when `http.path == "/people"` record none
client >> GET /r/api/people ; token
server >> 200 ; field content-type "application/json" ; body "[{\"name\":\"Ann\"}]"
client >> next
client >> GET /r/api/news ; token
server >> 200 ; field content-type "text/plain" ; body "all of it"
"#;
    p6_a_rule_keeps_more_than_the_resource: r#"
set payload none
rule all when `http.method == "POST"` record full
client >> POST /r/api/orders ; token
server >> 200 ; field content-type "text/plain" ; body "ordered"
client >> next
client >> GET /r/api/orders ; token
server >> 200 ; field content-type "text/plain" ; body "one"
"#;
    p6_the_least_of_several_rules_is_kept_over_all_parts_of_a_reply: r#"
set payload full
rule more record 64
rule less record 45
client >> GET /r/api/news ; token
server >> 200 ; field content-type "text/plain" ; chunked
server >> data "0123456789"
server >> data "abcdefghij"
server >> data "klmnopqrst" ; end
"#;
    p6_of_a_withheld_reply_is_kept_what_the_rule_says: r#"
set payload full
rule big when `result.bytes > 1000` block "too much"
rule quiet record none
client >> GET /r/api/news ; token
server >> 200 ; field content-type "text/plain" ; body "short"
"#;
    p6_messages_of_a_socket_are_kept_as_the_request_for_it_said: r#"
set payload full
rule quiet when `http.path == "/live"` record none
client >> GET /r/api/live ; token ; field upgrade "websocket" ; field connection "Upgrade"
server >> 101 ; field upgrade "websocket" ; field connection "Upgrade"
client >> text "hello"
server >> text "not to be kept"
server >> code 1000
client >> next
client >> GET /r/api/loud ; token ; field upgrade "websocket" ; field connection "Upgrade"
server >> 101 ; field upgrade "websocket" ; field connection "Upgrade"
server >> text "to be kept"
server >> code 1000
"#;
}
