//! Work that one does for another.

use super::check;

conversations! {
    every_event_of_a_session_says_for_whom: r#"
set on_behalf_of ann
rule no-orders when `http.path == "/orders"` block "no"
rule tell when `http.path == "/news"` alert "news"
client >> GET /r/api/news ; token
server >> 200 ; field content-type "text/plain" ; body "all of it"
client >> next
client >> GET /r/api/orders ; token
client >> next
client >> GET /r/api/live ; token ; field upgrade "websocket" ; field connection "Upgrade"
server >> 101 ; field upgrade "websocket" ; field connection "Upgrade"
client >> text "hello"
server >> text "and back"
server >> code 1000
"#;
}
