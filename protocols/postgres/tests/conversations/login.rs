//! Logging in.

use super::check;

conversations! {
    login_asks_for_a_token_and_uses_the_gateways_own_account: r#"
client >> start user=agent database=appdb application_name=psql
client >> p "token"
server >> R ok ; S client_encoding UTF8 ; K 7 "4444" ; Z I
client >> Q "select 1"
server >> T x:int4 ; D "1" ; C "SELECT 1" ; Z I
client >> X
"#;
    login_with_an_unknown_token_is_refused: r#"
client >> start user=agent database=appdb
client >> p "guess"
"#;
    login_with_a_bearer_token: r#"
client >> start user=agent database=appdb "options=-c narrows.auth=oauth -c work_mem=1MB"
client >> sasl "OAUTHBEARER" "n,,\x01auth=Bearer token\x01\x01"
server >> R ok ; K 7 "4444" ; Z I
"#;
    a_parameter_prevails_over_options_wherever_it_stands: r#"
client >> start user=agent database=appdb client_encoding=UTF8 "options=-c client_encoding=SQL_ASCII -c work_mem=1MB"
client >> p "token"
server >> R ok ; S client_encoding UTF8 ; K 7 "4444" ; Z I
"#;
    p3_a_session_hides_the_order_of_a_masked_index: r#"
rule hide mask badges.serial
client >> start user=agent database=appdb
client >> p "token"
server >> R ok ; S client_encoding UTF8 ; K 7 "4444" ; Z I
client >> Q "select id from app.badges where serial is not null"
server >> T id:0.0 ; D "1" ; C "SELECT 1" ; Z I
"#;
    p3_a_session_older_than_the_mask_of_an_index_ends_its_statements: r#"
login
client >> Q "select 1"
server >> T x:int4 ; D "1" ; C "SELECT 1" ; Z I
gateway >> reload rule hide mask badges.serial
client >> Q "select 1"
"#;
    login_with_a_bearer_token_that_is_not_there: r#"
client >> start user=agent database=appdb "options=-c narrows.auth=oauth"
client >> sasl "OAUTHBEARER" "n,,\x01auth=\x01\x01"
"#;
    login_with_a_mechanism_that_was_not_offered_is_refused: r#"
client >> start user=agent database=appdb "options=-c narrows.auth=oauth"
client >> sasl "SCRAM-SHA-256" "n,,n=,r=abc"
"#;
    login_by_an_unknown_way_is_refused: r#"
client >> start user=agent database=appdb "options=-c narrows.auth=kerberos"
"#;
    login_without_a_token_is_told_where_to_get_one: r#"
set offer https://id.example/.well-known/openid-configuration openid narrows
client >> start user=agent database=appdb "options=-c narrows.auth=oauth"
client >> sasl "OAUTHBEARER" "n,,\x01auth=\x01\x01"
client >> tag "p" "\x01"
"#;
    login_with_a_wrong_token_is_told_where_to_get_another: r#"
set offer https://id.example/.well-known/openid-configuration openid narrows
client >> start user=agent database=appdb "options=-c narrows.auth=oauth"
client >> sasl "OAUTHBEARER" "n,,\x01auth=Bearer wrong\x01\x01"
client >> tag "p" "\x01"
"#;
    login_goes_no_further_when_the_client_does_not_understand: r#"
set offer https://id.example/.well-known/openid-configuration openid narrows
client >> start user=agent database=appdb "options=-c narrows.auth=oauth"
client >> sasl "OAUTHBEARER" "n,,\x01auth=\x01\x01"
client >> p "token"
"#;
    login_by_password_is_told_of_no_issuer: r#"
set offer https://id.example/.well-known/openid-configuration openid narrows
client >> start user=agent database=appdb
client >> p "wrong"
"#;
    login_to_an_unknown_resource_is_refused: r#"
client >> start user=agent database=other
client >> p "token"
"#;
    login_of_what_is_no_start_up_message_is_left_without_a_word: r#"
client >> X
"#;
    login_in_protocol_3_2_is_negotiated: r#"
client >> start3.9 user=agent database=appdb _pq_.fancy=1
client >> p "token"
server >> R ok ; K 7 "4444" ; Z I
"#;
    tls_is_started_when_it_can_be: r#"
set client_tls yes
set client_private no
client >> ssl
client >> start user=agent database=appdb
"#;
    tls_and_gss_are_declined_when_they_cannot_be_had: r#"
client >> gss
client >> ssl
client >> start user=agent database=appdb
"#;
    r16_a_token_is_not_taken_in_clear_text: r#"
set client_private no
client >> ssl
client >> start user=agent database=appdb
"#;
    a_cancel_request_names_its_session: r#"
client >> cancel 0102030405060708
"#;
    replication_is_refused: r#"
client >> start user=agent database=appdb replication=database
"#;
    p7_a_server_that_rejects_the_gateway_is_not_quoted: r#"
client >> start user=agent database=appdb
client >> p "token"
server >> E 28P01 "password authentication failed for user \"gateway\""
"#;
}
