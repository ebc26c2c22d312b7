//! Connections that change to WebSocket: each message is judged, in both directions (R15).

use super::check;

conversations! {
    a_websocket_passes: r#"
client >> GET /r/api/live ; token ; field upgrade "websocket" ; field connection "Upgrade" ; field sec-websocket-key "k" ; field sec-websocket-extensions "permessage-deflate"
server >> 101 ; field upgrade "websocket" ; field connection "Upgrade" ; field sec-websocket-accept "a"
client >> text "hello"
server >> text "{\"a\": 1}"
client >> binary "\x00\x01"
client >> code 1000
"#;
    p2_a_message_with_a_card_closes_the_socket: r#"
rule no-cards when `"CREDIT_CARD" in http.detections` block "cards stay here"
client >> GET /r/api/live ; token ; field upgrade "websocket" ; field connection "Upgrade"
server >> 101 ; field upgrade "websocket" ; field connection "Upgrade"
client >> text "no card"
client >> text "4111 1111 1111 1111"
client >> text "too late"
"#;
    p3_messages_of_the_upstream_are_masked: r#"
rule hide mask ssn
client >> GET /r/api/live ; token ; field upgrade "websocket" ; field connection "Upgrade"
server >> 101 ; field upgrade "websocket" ; field connection "Upgrade"
server >> text "{\"ssn\": \"078-05-1120\"}"
server >> binary "[{\"ssn\": \"078-05-1120\"}]"
server >> text "just words"
server >> code 1000
"#;
    p2_a_message_that_cannot_be_read_closes_the_socket: r#"
rule hide mask ssn
client >> GET /r/api/live ; token ; field upgrade "websocket" ; field connection "Upgrade"
server >> 101 ; field upgrade "websocket" ; field connection "Upgrade"
server >> text "{\"ssn\": 078-05-1120"
"#;
    what_is_found_in_messages_of_the_upstream_is_told_and_passes: r#"
rule tell when `"CREDIT_CARD" in result.detections` alert "a card came back"
client >> GET /r/api/live ; token ; field upgrade "websocket" ; field connection "Upgrade"
server >> 101 ; field upgrade "websocket" ; field connection "Upgrade" ; field x-card "4111 1111 1111 1111"
server >> text "{\"card\": 4111111111111111}"
server >> text "{\"card\": none"
server >> code 1000
"#;
    what_no_text_is_passes_a_socket_unsearched: r#"
rule tell when `"CREDIT_CARD" in result.detections` alert "a card came back"
client >> GET /r/api/live ; token ; field upgrade "websocket" ; field connection "Upgrade"
server >> 101 ; field upgrade "websocket" ; field connection "Upgrade"
server >> binary "\x00\x01"
server >> code 1000
"#;
    a_message_waits_for_a_person: r#"
rule ask when `http.body_bytes > 3` approve ops wait 25
client >> GET /r/api/live ; token ; field upgrade "websocket" ; field connection "Upgrade"
server >> 101 ; field upgrade "websocket" ; field connection "Upgrade"
client >> text "abc"
client >> text "abcd"
client >> text "ef"
person >> approve #3
"#;
    a_socket_ends_when_rules_change: r#"
client >> GET /r/api/live ; token ; field upgrade "websocket" ; field connection "Upgrade"
server >> 101 ; field upgrade "websocket" ; field connection "Upgrade"
gateway >> reload rule hide mask ssn
"#;
    a_socket_is_killed: r#"
client >> GET /r/api/live ; token ; field upgrade "websocket" ; field connection "Upgrade"
server >> 101 ; field upgrade "websocket" ; field connection "Upgrade"
gateway >> stop killed
"#;
    a_change_that_was_not_asked_for_is_a_fault: r#"
client >> GET /r/api/live ; token
server >> 101 ; field upgrade "websocket" ; field connection "Upgrade"
"#;
    p3_a_text_message_is_searched_whatever_it_holds: r#"
rule hide mask ssn
client >> GET /r/api/live ; token ; field upgrade "websocket" ; field connection "Upgrade"
server >> 101 ; field upgrade "websocket" ; field connection "Upgrade" ; field ssn "078-05-1120"
server >> text "{\"ssn\": \"078-05-1120\"}\x1e"
server >> text "{\"a\": \"\x7f\", \"ssn\": \"078-05-1120\"}"
"#;
    r8_what_a_model_is_told_by_message_is_masked: r#"
rule hide mask ssn
client >> GET /r/ai/v1/realtime ; token ; field upgrade "websocket" ; field connection "Upgrade"
server >> 101 ; field upgrade "websocket" ; field connection "Upgrade"
client >> text "{\"type\": \"session.update\", \"ssn\": \"078-05-1120\"}"
client >> text "no JSON"
client >> text "too late"
"#;
}
