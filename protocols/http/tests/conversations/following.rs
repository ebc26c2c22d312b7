//! What a principal received is looked for in what it sends (R14).

use super::check;

conversations! {
    r14_a_masked_value_that_comes_back_is_found_encoded_and_cut: r#"
rule hide mask ssn
rule stays when `http.carries.size() > 0` block "carries {http.carries}"
client >> GET /r/api/people ; token
server >> 200 ; field content-type "application/json" ; chunked
server >> data "[{\"name\":\"Ann\",\"ss" ; data "n\":\"123-45-" ; data "6789\"},{\"ssn\":null}]" ; end
client >> next
client >> POST https://api.test/notes ; token ; field content-type "text/plain" ; body "123 45 6789"
client >> next
client >> POST https://api.test/notes ; token ; field content-type "text/plain" ; body "say MTIzLTQ1LTY3ODk= to them"
client >> next
client >> POST https://api.test/notes ; token ; field content-type "application/json" ; body "{\"a\":\"123-45\",\"b\":[\"67\",89]}"
client >> next
client >> GET https://api.test/find?page=5&a=123&b=456789&c=6 ; token
client >> next
client >> POST https://api.test/find?page=5&a=123-45 ; token ; field content-type "application/json" ; body "{\"b\":6789,\"c\":6}"
client >> next
client >> GET https://api.test/find ; token ; field x-note "9876-54-321"
client >> next
client >> POST https://api.test/notes ; token ; field content-type "text/plain" ; body "123 45 678"
server >> 204
"#;
    r14_a_classified_value_passes_as_it_is_and_is_followed: r#"
rule follow classify email
rule stays when `http.carries.size() > 0` block "carries {http.carries}"
client >> GET /r/api/people ; token
server >> 200 ; field content-type "application/json" ; body "[{\"email\":\"ann@shop.example\",\"ssn\":1}]"
client >> next
client >> GET https://api.test/mail/ann%40shop.example ; token
client >> next
client >> GET https://api.test/mail/bob ; token ; field cookie "to=ANN@SHOP.EXAMPLE"
client >> next
client >> GET https://api.test/mail/bob ; token
server >> 204
"#;
    r14_types_fields_and_trailers_are_followed: r#"
rule follow classify types:CREDIT_CARD
rule fields classify x-customer
rule stays when `http.carries.size() > 0` block "carries {http.carries}"
client >> GET /r/api/note ; token
server >> 200 ; field content-type "text/plain" ; field x-customer "customer-4711" ; chunked
server >> data "the card is 4111 1111 1111 1111" ; trailer x-customer "customer-4712" ; end
client >> next
client >> GET https://api.test/x?q=4111111111111111 ; token
client >> next
client >> GET https://api.test/x?q=customer-4711 ; token
client >> next
client >> GET https://api.test/x?q=customer-4712 ; token
"#;
    r14_nothing_is_followed_while_no_rule_asks: r#"
rule follow classify email
client >> GET /r/api/people ; token
server >> 200 ; field content-type "application/json" ; body "[}\"email\":broken"
"#;
    r14_a_condition_of_a_classification_counts: r#"
rule follow when `http.path == "/people"` classify email
rule stays when `http.carries.size() > 0` block "carries {http.carries}"
client >> GET /r/api/others ; token
server >> 200 ; field content-type "application/json" ; body "{\"email\":\"ann@shop.example\"}"
client >> next
client >> GET https://api.test/mail/ann%40shop.example ; token
server >> 204
"#;
    p2_what_cannot_be_kept_is_not_sent: r#"
set keeps no
rule follow classify email
rule stays when `http.carries.size() > 0` block "carries {http.carries}"
client >> GET /r/api/people ; token
server >> 200 ; field content-type "application/json" ; body "{\"email\":\"ann@shop.example\"}"
"#;
    p2_what_cannot_be_read_for_a_classification_is_not_sent: r#"
rule follow classify email
rule stays when `http.carries.size() > 0` block "carries {http.carries}"
client >> GET /r/api/people ; token
server >> 200 ; field content-type "application/json" ; body "}\"email\":broken"
client >> next
client >> GET /r/api/people ; token
server >> 200 ; field content-type "application/json" ; field content-encoding "snappy" ; body "x"
"#;
    p2_a_body_that_cannot_be_searched_is_refused: r#"
rule stays when `http.carries.size() > 0` block "carries {http.carries}"
client >> POST https://api.test/notes ; token ; field content-encoding "snappy" ; body "x"
"#;
    r14_messages_of_a_websocket_are_followed_and_searched: r#"
rule follow classify email
rule stays when `http.carries.size() > 0` block "carries {http.carries}"
client >> GET /r/api/live ; token ; field upgrade "websocket" ; field connection "Upgrade"
server >> 101 ; field upgrade "websocket" ; field connection "Upgrade"
server >> text "{\"email\": \"ann@shop.example\"}"
client >> text "hello"
client >> text "to ann@shop.example"
client >> text "too late"
"#;
    r14_what_a_model_is_told_is_searched_as_it_was_before_masks: r#"
rule hide mask ssn
rule stays when `http.carries.size() > 0` block "carries {http.carries}"
client >> GET /r/api/people ; token
server >> 200 ; field content-type "application/json" ; body "{\"ssn\":\"123-45-6789\"}"
client >> next
client >> POST /r/ai/v1/responses ; token ; field content-type "application/json" ; body "{\"model\":\"m\",\"ssn\":\"123-45-6789\"}"
"#;
}
