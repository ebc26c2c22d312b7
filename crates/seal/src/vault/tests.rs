use std::time::Duration;

use model::text::Secret;

use super::*;
use crate::data_key::DATA_KEY_BYTES;
use crate::testing::{CONTEXT, Reply, hasty, service};

fn options(address: &str, tries_max: u32) -> VaultOptions {
    VaultOptions {
        address: address.to_owned(),
        mount: "transit".to_owned(),
        key: "recordings".to_owned(),
        namespace: None,
        token: Box::new(|| Ok(Secret::new("s.token\n".to_owned()))),
        remote: hasty(tries_max),
    }
}

fn key() -> DataKey {
    DataKey::take(&mut [7; DATA_KEY_BYTES]).unwrap()
}

fn plain() -> String {
    STANDARD.encode([7; DATA_KEY_BYTES])
}

fn ok(data: &str) -> Reply {
    let about = r#""request_id":"1","lease_id":"","renewable":false,"lease_duration":0"#;
    Reply::Status(200, format!(r#"{{{about},"data":{data},"warnings":null}}"#))
}

fn error(status: u16, words: &str) -> Reply {
    Reply::Status(status, serde_json::json!({ "errors": [words] }).to_string())
}

/// Path, fields and body as "Transit secrets engine (API)", "Encrypt Data" and "Decrypt Data", say.
#[test]
fn requests_are_what_the_documentation_asks_for() {
    let (address, seen) = service(vec![
        ok(r#"{"ciphertext":"vault:v3:AbC+/=","key_version":3}"#),
        ok(&format!(r#"{{"plaintext":"{}"}}"#, plain())),
    ]);
    let options = VaultOptions {
        mount: "/teams/transit/".to_owned(),
        namespace: Some("security".to_owned()),
        ..options(&format!("{address}/"), 1)
    };
    let vault = VaultTransit::new(options).unwrap();
    assert_eq!(vault.id(), "vault:teams/transit/recordings");
    let wrapped = vault.wrap(&key(), &CONTEXT).unwrap();
    assert_eq!(wrapped.key_id, "vault:teams/transit/recordings#v3");
    assert_eq!(wrapped.bytes, b"vault:v3:AbC+/=");
    assert_eq!(vault.unwrap(&wrapped, &CONTEXT).unwrap().expose(), key().expose());

    let associated = STANDARD.encode(b"narrows data key v1 4:gw-1 6:s_0001");
    for (path, body) in [
        ("encrypt", serde_json::json!({"plaintext": plain(), "associated_data": associated})),
        (
            "decrypt",
            serde_json::json!({"ciphertext": "vault:v3:AbC+/=", "associated_data": associated}),
        ),
    ] {
        let request = seen.recv().unwrap();
        assert_eq!(request.line, format!("POST /v1/teams/transit/{path}/recordings HTTP/1.1"));
        assert_eq!(request.field("x-vault-token"), Some("s.token"));
        assert_eq!(request.field("x-vault-request"), Some("true"));
        assert_eq!(request.field("x-vault-namespace"), Some("security"));
        assert_eq!(request.field("content-type"), Some("application/json"));
        assert_eq!(request.field("host"), address.strip_prefix("http://"));
        assert_eq!(request.json(), body);
    }
}

#[test]
fn what_may_pass_is_tried_again_and_only_so_often() {
    let good = || ok(r#"{"ciphertext":"vault:v1:AAAA"}"#);
    let passing = || vec![error(503, "sealed"), error(429, "quota"), error(500, "x"), Reply::Cut];
    let mut replies = passing();
    replies.push(good());
    let (address, seen) = service(replies);
    let vault = VaultTransit::new(options(&address, 5)).unwrap();
    assert_eq!(vault.wrap(&key(), &CONTEXT).unwrap().bytes, b"vault:v1:AAAA");
    assert_eq!(seen.iter().count(), 5);

    let (address, seen) = service(vec![error(500, "x"), error(503, "Vault is sealed"), good()]);
    let vault = VaultTransit::new(options(&address, 2)).unwrap();
    let failed = vault.wrap(&key(), &CONTEXT).unwrap_err();
    assert_eq!(failed.blame(), crate::Blame::Service);
    assert_eq!(
        failed.to_string(),
        "vault:transit/recordings: the service did not wrap a data key in 2 tries: 503 Vault is \
         sealed"
    );
    assert_eq!((seen.recv().is_ok(), seen.recv().is_ok()), (true, true));
    assert!(seen.try_recv().is_err(), "a third try");
}

#[test]
fn a_refusal_is_final_and_says_whose() {
    let wrapped =
        Wrapped { key_id: "vault:transit/recordings#v1".into(), bytes: b"vault:v1:AAAA".into() };
    let ask = |reply| {
        let (address, _seen) = service(vec![reply, error(500, "asked again")]);
        let vault = VaultTransit::new(options(&address, 3)).unwrap();
        vault.unwrap(&wrapped, &CONTEXT).unwrap_err()
    };
    let denied = ask(error(403, "permission denied"));
    assert_eq!(denied.blame(), crate::Blame::Operator);
    assert!(denied.to_string().ends_with("refused to unwrap a data key: 403 permission denied"));
    let not = SealError::NotUnwrapped { key_id: wrapped.key_id.clone() };
    assert_eq!(ask(error(400, "cipher: message authentication failed")), not);
    // A redirect could carry the token elsewhere, and is not followed.
    assert!(matches!(ask(Reply::Status(307, String::new())), SealError::Refused { .. }));
    for wrong in ["{}", r#"{"plaintext":7}"#, r#"{"plaintext":"*"}"#, r#"{"plaintext":"AAAA"}"#] {
        assert!(matches!(ask(ok(wrong)), SealError::Misanswered { .. }), "{wrong}");
    }
    let long = "x".repeat(model::limit::KEY_SERVICE_ANSWER_BYTES_MAX + 1);
    let long = ask(Reply::Status(200, long)).to_string();
    assert!(long.ends_with("not understood: it is longer than 65536 bytes"), "{long}");
}

#[test]
fn no_error_repeats_what_was_sent() {
    for status in [400, 500] {
        let said = format!("cannot use \"{}\"\u{1b}[31m", plain());
        let (address, _seen) = service(vec![error(status, &said)]);
        let vault = VaultTransit::new(options(&address, 1)).unwrap();
        let text = format!("{:?}", vault.wrap(&key(), &CONTEXT).unwrap_err());
        assert!(!text.contains(&plain()), "{text}");
        assert!(text.contains("left out"), "{text}");
    }
    let (address, _seen) = service(vec![error(400, &format!("a\u{1b}[31m\n{}", "b".repeat(999)))]);
    let vault = VaultTransit::new(options(&address, 1)).unwrap();
    let text = vault.wrap(&key(), &CONTEXT).unwrap_err().to_string();
    assert!(text.len() < 400 && !text.contains(char::is_control), "{text}");
    assert!(!format!("{vault:?}").contains("s.token"));
}

#[test]
fn p7_no_error_repeats_the_token() {
    let token = "hvs.CAESIJ7x2mQ9zKfLwT0aVb/8YdRn+4Gh";
    let wrapped =
        Wrapped { key_id: "vault:transit/recordings#v1".into(), bytes: b"vault:v1:AAAA".into() };
    // As it is, escaped, and cut.
    for echo in [token.to_owned(), token.replace('/', "\\/"), token[..24].to_owned()] {
        for reply in [
            error(400, &format!("x-vault-token: {echo}")),
            error(503, &format!("x-vault-token: {echo}")),
            Reply::Status(502, format!("<pre>X-Vault-Token: {echo}</pre>")),
        ] {
            let (address, _seen) = service(vec![reply]);
            let token: VaultToken = Box::new(|| Ok(Secret::new(token.to_owned())));
            let vault = VaultTransit::new(VaultOptions { token, ..options(&address, 1) }).unwrap();
            let text = format!("{:?}", vault.unwrap(&wrapped, &CONTEXT).unwrap_err());
            assert!(text.contains("left out") && !text.contains("hvs.CAESIJ7x2mQ"), "{text}");
        }
    }
}

#[test]
fn a_token_of_odd_letters_is_the_operators_to_mend() {
    let token: VaultToken = Box::new(|| Ok(Secret::new("a\nb".to_owned())));
    let options = VaultOptions { token, ..options("http://127.0.0.1:1", 1) };
    let failed = VaultTransit::new(options).unwrap().wrap(&key(), &CONTEXT).unwrap_err();
    assert_eq!(failed.blame(), crate::Blame::Operator);
    let why = "cannot be used: its `x-vault-token` has characters that no field may have";
    assert!(failed.to_string().ends_with(why), "{failed}");
}

#[test]
fn a_service_that_says_nothing_is_given_up() {
    let (address, seen) = service(vec![Reply::Silence, Reply::Silence]);
    let remote = RemoteOptions { timeout: Duration::from_millis(50), ..hasty(2) };
    let vault = VaultTransit::new(VaultOptions { remote, ..options(&address, 2) }).unwrap();
    let failed = vault.wrap(&key(), &CONTEXT).unwrap_err();
    assert!(matches!(failed, SealError::Unavailable { tries: 2, .. }), "{failed}");
    assert_eq!(seen.iter().count(), 2);
}

#[test]
fn a_token_that_cannot_be_had_stops_before_anything_is_sent() {
    let token: VaultToken = Box::new(|| Err("cannot read /run/token".to_owned()));
    let options = VaultOptions { token, ..options("http://127.0.0.1:1", 1) };
    let failed = VaultTransit::new(options).unwrap().wrap(&key(), &CONTEXT).unwrap_err();
    assert!(failed.to_string().ends_with("there is no token: cannot read /run/token"), "{failed}");
}

#[test]
fn an_address_without_tls_elsewhere_and_names_that_are_paths_are_refused() {
    for address in [
        "http://vault.example:8200",
        "http://10.0.0.1:8200",
        "http://127.0.0.1.example:8200",
        "http://localhost.example",
        "ftp://127.0.0.1",
        "vault.example:8200",
        "https://user@vault.example",
        "https://vault.example/v1",
        "https://vault.example/?a",
        "",
    ] {
        let made = VaultTransit::new(options(address, 1));
        assert!(matches!(made, Err(SealError::Unusable { .. })), "{address}");
    }
    for address in ["http://localhost:8200", "http://127.8.8.8", "http://[::1]:8200"] {
        assert!(VaultTransit::new(options(address, 1)).is_ok(), "{address}");
    }
    for (mount, key) in
        [("transit", "a/b"), ("transit", ".."), ("a/../sys", "k"), ("", "k"), ("t", "a?b")]
    {
        let options = VaultOptions {
            mount: mount.to_owned(),
            key: key.to_owned(),
            ..options("http://127.0.0.1:8200", 1)
        };
        assert!(VaultTransit::new(options).is_err(), "{mount} {key}");
    }
}

#[test]
fn an_entry_of_another_key_is_not_sent() {
    let vault = VaultTransit::new(options("http://127.0.0.1:1", 1)).unwrap();
    for (key_id, opens) in [
        ("vault:transit/recordings#v1", true),
        ("vault:transit/recordings#v", false),
        ("vault:transit/recordings", false),
        ("vault:transit/recordings2#v1", false),
        ("vault:other/recordings#v1", false),
        ("local:0", false),
    ] {
        assert_eq!(vault.opens(key_id), opens, "{key_id}");
    }
    for bytes in [&b"vault:v2:AAAA"[..], b"vault:v1:\"", b"vault:v1:", b"AAAA", b"\xff"] {
        let wrapped = Wrapped { key_id: "vault:transit/recordings#v1".into(), bytes: bytes.into() };
        let failed = vault.unwrap(&wrapped, &CONTEXT).unwrap_err();
        assert!(matches!(failed, SealError::NotUnwrapped { .. }), "{failed}");
    }
}
