//! Tunnels that are passed on unopened: judged once, by their host alone.

use super::check;

conversations! {
    a_tunnel_passes_unopened: r#"
set options {"passthrough": ["pinned.test", "*.far.test"]}
client >> CONNECT pinned.test:443 ; token
server >> reached
client >> hello pinned.test
server >> raw "not read"
client >> raw "either"
client >> end
server >> raw "the rest"
server >> end
client >> next
client >> CONNECT deep.down.far.test:8443 ; token
server >> reached
client >> hello deep.down.far.test
server >> end
client >> raw "still said"
client >> end
client >> next
client >> CONNECT far.test:443 ; token
"#;
    a_redirected_client_passes_unopened: r#"
set options {"passthrough": ["pinned.test"]}
client >> CONNECT pinned.test:443 redirected 203.0.113.7:443 ; token
server >> reached
client >> hello pinned.test
client >> end
server >> end
"#;
    p1_nothing_goes_up_before_the_hello_was_read: r#"
set options {"passthrough": ["pinned.test"]}
client >> CONNECT pinned.test:443 ; token
server >> reached
client >> raw "\x16\x03\x01"
client >> end
"#;
    p2_a_hello_for_another_server_ends_the_tunnel: r#"
set options {"passthrough": ["pinned.test"]}
client >> CONNECT pinned.test:443 ; token
server >> reached
client >> hello other.test
client >> raw "too late"
client >> next
client >> CONNECT pinned.test:443 ; token
server >> reached
client >> hello none
"#;
    p2_what_is_no_tls_ends_the_tunnel: r#"
set options {"passthrough": ["pinned.test"]}
client >> CONNECT pinned.test:443 ; token
server >> reached
client >> raw "GET / HTTP/1.1"
client >> next
client >> CONNECT pinned.test:443 ; token
server >> reached
server >> raw "SSH-2.0-"
"#;
    p2_rules_about_what_nobody_reads_refuse_it: r#"
set options {"passthrough": ["pinned.test"]}
rule paths when `http.path == "/admin"` block "not there"
client >> CONNECT pinned.test:443 ; token
"#;
    p2_rules_about_the_reply_refuse_it: r#"
set options {"passthrough": ["pinned.test"]}
rule cards when `"CREDIT_CARD" in result.detections` block "a card is in it"
client >> CONNECT pinned.test:443 ; token
"#;
    rules_that_say_so_let_it_pass: r#"
set options {"passthrough": ["pinned.test"]}
rule paths when `!http.unopened && http.path == "/admin"` block "not there"
rule hosts when `http.unopened && http.host != "pinned.test"` block "nothing else"
rule bucket when `http.bucket != ""` block "no storage"
client >> CONNECT pinned.test:443 ; token
server >> reached
client >> hello PINNED.test
client >> end
server >> end
client >> next
client >> GET https://other.test/admin in other.test:443 sni other.test
"#;
    the_bucket_is_known_where_the_host_says_it: r#"
set options {"passthrough": ["*.amazonaws.com"]}
rule bucket when `http.bucket != "ours"` block "the bucket {http.bucket} is not ours"
client >> CONNECT theirs.s3.eu-west-1.amazonaws.com:443 ; token
client >> next
client >> CONNECT s3.eu-west-1.amazonaws.com:443 ; token
client >> next
client >> CONNECT ours.s3.eu-west-1.amazonaws.com:443 ; token
server >> reached
"#;
    hosts_are_blocked_in_tunnels_too: r#"
set options {"passthrough": ["*.test"]}
rule list when `http.host != "partner.test" && http.method == "CONNECT"` block "{http.host} is not on the list"
client >> CONNECT evil.test:443 ; token
client >> next
client >> CONNECT partner.test:443 ; token
server >> reached
"#;
    a_tunnel_waits_for_a_person: r#"
set options {"passthrough": ["pinned.test"]}
rule ask when `http.unopened` approve ops wait 25
client >> CONNECT pinned.test:443 ; token
person >> approve #1
server >> reached
client >> hello pinned.test
client >> end
server >> end
client >> next
client >> CONNECT pinned.test:443 ; token
person >> deny #2
"#;
    p3_whoever_has_masks_gets_no_tunnel_unopened: r#"
set options {"passthrough": ["pinned.test"]}
rule hide mask ssn
client >> CONNECT pinned.test:443 ; token
client >> next
client >> CONNECT other.test:443 ; token
"#;
    p3_a_tunnel_ends_when_rules_change: r#"
set options {"passthrough": ["pinned.test"]}
client >> CONNECT pinned.test:443 ; token
server >> reached
client >> hello pinned.test
gateway >> reload rule hide mask ssn
"#;
    p3_a_mask_that_comes_while_a_person_is_asked_refuses_it: r#"
set options {"passthrough": ["pinned.test"]}
rule ask when `http.unopened` approve ops wait 25
client >> CONNECT pinned.test:443 ; token
gateway >> reload rule hide mask ssn
person >> approve #1
server >> reached
client >> hello pinned.test
"#;
    a_tunnel_is_killed: r#"
set options {"passthrough": ["pinned.test"]}
client >> CONNECT pinned.test:443 ; token
server >> reached
client >> hello pinned.test
server >> raw "some"
gateway >> stop killed
"#;
    a_tunnel_whose_host_is_unreachable_is_not_granted: r#"
set options {"passthrough": ["pinned.test"]}
client >> CONNECT pinned.test:443 ; token
server >> unreachable upstream_down
"#;
    addresses_are_opened_whatever_is_passed_on: r#"
set options {"passthrough": ["*.1"]}
client >> CONNECT 192.0.2.1:443 ; token
"#;
    bytes_both_ways_are_counted: r#"
set options {"passthrough": ["pinned.test"]}
rule few limit bytes 8
client >> CONNECT pinned.test:443 ; token
server >> reached
client >> hello pinned.test
server >> raw "0123456789"
client >> end
server >> end
client >> next
client >> CONNECT pinned.test:443 ; token
"#;
}
