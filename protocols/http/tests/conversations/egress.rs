//! As a proxy: absolute targets, tunnels, and what must agree in them.

use super::check;

conversations! {
    forward_passes: r#"
client >> GET http://example.test/a?b=c ; token ; field accept "*/*"
server >> 200 ; body "hello"
"#;
    forward_without_a_token_is_407: r#"
client >> GET http://example.test/a
"#;
    p7_only_the_proxys_token_is_taken_out: r#"
client >> GET http://example.test/a ; token ; field authorization "Bearer of-the-site"
server >> 204
"#;
    forward_with_another_host_field_is_refused: r#"
client >> GET http://example.test/a host other.test ; token
"#;
    case_and_the_usual_port_are_no_other_form_of_a_host: r#"
client >> GET http://EXAMPLE.test/a ; token
server >> 204
client >> next
client >> GET http://example.test:80/a ; token
server >> 204
"#;
    forward_to_a_host_in_another_form_is_refused: r#"
client >> GET http://0x7f.1/a ; token
client >> next
client >> GET http://example.test./a ; token
client >> next
client >> GET http://user@example.test/a ; token
"#;
    r15_normalised_where_the_resource_says_so: r#"
set options {"normalise": true}
client >> GET http://EXAMPLE.test:80/a/./b ; token
server >> 204
"#;
    connect_is_granted: r#"
client >> CONNECT example.test:443 ; token
"#;
    connect_without_a_token_is_407: r#"
client >> CONNECT example.test:443
"#;
    connect_to_two_meanings_is_refused: r#"
client >> CONNECT example.test ; token
client >> next
client >> CONNECT 0x7f.1:443 ; token
"#;
    a_tunnel_that_agrees_passes: r#"
client >> GET https://example.test/a in example.test:443 sni example.test
server >> 200 ; body "hello"
"#;
    a_tunnel_in_clear_text_passes: r#"
client >> GET http://example.test/a in example.test:80
server >> 204
"#;
    a_tunnel_with_another_server_name_is_refused: r#"
client >> GET https://example.test/a in example.test:443 sni other.test
client >> next
client >> GET https://example.test/a in example.test:443 sni none
"#;
    a_tunnel_with_another_host_is_refused: r#"
client >> GET https://other.test/a in example.test:443 sni example.test
client >> next
client >> GET https://example.test:8443/a in example.test:443 sni example.test
"#;
    connect_in_a_tunnel_is_refused: r#"
client >> CONNECT other.test:443 in example.test:443 sni example.test
"#;
    a_redirected_client_is_judged_by_what_it_names: r#"
client >> CONNECT example.test:443 redirected 203.0.113.7:443 ; token
client >> next
client >> GET https://example.test/a in example.test:443 sni example.test redirected 203.0.113.7:443
server >> 204
client >> next
client >> GET http://example.test/a in example.test:8080 redirected 203.0.113.7:8080
client >> next
client >> GET http://example.test:8080/a in example.test:8080 redirected 203.0.113.7:8080
server >> 204
"#;
    p2_a_redirected_client_that_names_no_server_is_refused: r#"
client >> CONNECT 203.0.113.7:443 redirected 203.0.113.7:443 ; token
client >> next
client >> CONNECT example.test:443 redirected 203.0.113.7:443
"#;
    r11_a_yes_holds_wherever_a_redirected_client_was_sent: r#"
rule ask when `http.path == "/pay"` approve ops wait 25
client >> GET https://example.test/pay in example.test:443 sni example.test redirected 203.0.113.7:443
clock >> 26 s
person >> approve #1
client >> next
client >> GET https://example.test/pay in example.test:443 sni example.test redirected 203.0.113.8:443
server >> 204
"#;
    posts_stay_home: r#"
rule posts when `http.method == "POST" && http.host != "partner.test"` block "not on the list"
client >> POST https://evil.test/ in evil.test:443 sni evil.test ; body "data"
client >> next
client >> POST https://partner.test/ in partner.test:443 sni partner.test ; body "data"
server >> 204
"#;
    a_redirect_passes_a_proxy_for_it_is_a_new_request: r#"
client >> GET http://example.test/a ; token
server >> 302 ; field location "https://elsewhere.test/" ; field set-cookie "a=b; Domain=example.test; Path=/" ; body ""
"#;
    trace_and_other_upgrades_are_refused: r#"
client >> TRACE http://example.test/ ; token
client >> next
client >> GET http://example.test/chat ; token ; field connection "upgrade" ; field upgrade "echo"
client >> next
client >> OPTIONS * host api.gw.test ; token
"#;
}
