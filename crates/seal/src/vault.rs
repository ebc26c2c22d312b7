//! A key in the transit engine of HashiCorp Vault or OpenBao.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use model::limit::{KEY_ID_BYTES_MAX, WRAPPED_KEY_BYTES_MAX};
use model::text::Secret;
use serde::Deserialize;
use zeroize::Zeroizing;

use crate::data_key::DataKey;
use crate::encryption::{KeyContext, KeyEncryption, Wrapped};
use crate::error::SealError;
use crate::local::data_key;
use crate::remote::{Answer, Fields, Purpose, Remote, RemoteOptions, foreign, words};

/// Gives the token. Asked before every request, so it may come from a file that an agent renews; an
/// error is words for the operator, without the token.
pub type VaultToken = Box<dyn Fn() -> Result<Secret<String>, String> + Send + Sync>;

/// Which key, and how to reach it.
pub struct VaultOptions {
    /// Address, `https://vault.example:8200`; `http` only on this machine.
    pub address: String,
    /// Where the transit engine is mounted; `transit` by default.
    pub mount: String,
    /// Name of the key. It has to be of an AEAD type that takes associated data (`aes256-gcm96`, the
    /// default of transit, or `chacha20-poly1305`) and not `derived`.
    pub key: String,
    /// Namespace, where the server has them.
    pub namespace: Option<String>,
    /// Gives the token. It needs `update` on `MOUNT/encrypt/KEY`, for reading on
    /// `MOUNT/decrypt/KEY`. Do not give it `create` there: with it, transit makes a key of any name
    /// that is asked for, misspelled ones too.
    pub token: VaultToken,
    /// Time, tries, certificate authority.
    pub remote: RemoteOptions,
}

/// A key in the transit engine ("Transit secrets engine (API)", Vault's and OpenBao's documentation).
/// Gateway and session are bound as associated data.
///
/// Its id is `vault:MOUNT/KEY`; a wrapped data key adds the version that wrapped it, `#v3`. Rotating
/// inside the service needs nothing here; [`SegmentKeys::rewrap`] brings stored keys to the newest
/// version, so that `min_decryption_version` may be raised.
///
/// Each call is one request.
///
/// [`SegmentKeys::rewrap`]: crate::SegmentKeys::rewrap
pub struct VaultTransit {
    id: String,
    encrypt: String,
    decrypt: String,
    namespace: Option<String>,
    token: VaultToken,
    remote: Remote,
}

impl VaultTransit {
    /// Prepares to use a key; asks for nothing yet.
    ///
    /// # Errors
    ///
    /// [`SealError::Unusable`] (the operator's): a name that cannot be one, or an address without TLS.
    pub fn new(options: VaultOptions) -> Result<Self, SealError> {
        let VaultOptions { address, mount, key, namespace, token, remote } = options;
        let mount = mount.trim_matches('/');
        let id = format!("vault:{mount}/{key}");
        let unusable = |why: &str| SealError::Unusable { key: id.clone(), why: why.to_owned() };
        let fine = |part: &str| {
            let plain = |letter: char| letter.is_ascii_alphanumeric() || "_-.".contains(letter);
            !part.is_empty() && !matches!(part, "." | "..") && part.chars().all(plain)
        };
        if !fine(&key) || !mount.split('/').all(fine) || id.len() > KEY_ID_BYTES_MAX / 2 {
            return Err(unusable("mount and key are made of letters, digits, `_`, `-` and `.`"));
        }
        let remote = Remote::new(&id, &address, remote)?;
        let encrypt = format!("/v1/{mount}/encrypt/{key}");
        let decrypt = format!("/v1/{mount}/decrypt/{key}");
        Ok(Self { id, encrypt, decrypt, namespace, token, remote })
    }

    /// Asks for something. The error texts of the service do not repeat what they were sent as far
    /// as is known; `secret` is what none may.
    fn ask(
        &self,
        purpose: Purpose<'_>,
        path: &str,
        body: &[u8],
        secret: Option<&str>,
    ) -> Result<Zeroizing<Vec<u8>>, SealError> {
        let passing = |answer: &Answer| {
            let passes = answer.status == 429 || answer.status >= 500;
            passes.then(|| said(answer, secret))
        };
        let answer = self.remote.post(purpose, path, || self.fields(purpose), body, passing)?;
        if answer.status == 200 {
            return Ok(answer.body);
        }
        let why = said(&answer, secret);
        // Vault's word for a tag that does not match, and for associated data of another session.
        if purpose.verb == "unwrap" && why.contains("message authentication failed") {
            return Err(purpose.not_unwrapped());
        }
        Err(purpose.refused(why))
    }

    fn fields(&self, purpose: Purpose<'_>) -> Result<Fields, SealError> {
        let token =
            (self.token)().map_err(|why| purpose.refused(format!("there is no token: {why}")))?;
        let mut fields: Fields = vec![
            ("content-type", Zeroizing::new("application/json".to_owned())),
            ("x-vault-request", Zeroizing::new("true".to_owned())),
            ("x-vault-token", Zeroizing::new(token.expose().trim().to_owned())),
        ];
        if let Some(namespace) = &self.namespace {
            fields.push(("x-vault-namespace", Zeroizing::new(namespace.clone())));
        }
        Ok(fields)
    }
}

impl KeyEncryption for VaultTransit {
    fn id(&self) -> &str {
        &self.id
    }

    fn opens(&self, key_id: &str) -> bool {
        let version = key_id.strip_prefix(&self.id).and_then(|rest| rest.strip_prefix("#v"));
        version.is_some_and(|version| version.parse::<u64>().is_ok())
    }

    fn wrap(&self, key: &DataKey, context: &KeyContext<'_>) -> Result<Wrapped, SealError> {
        let purpose = Purpose { key_id: &self.id, verb: "wrap" };
        let plain = Zeroizing::new(STANDARD.encode(key.expose()));
        let body = body("plaintext", &plain, context);
        let answer = self.ask(purpose, &self.encrypt, &body, Some(&plain))?;
        let answer: Envelope<Encrypted> = serde_json::from_slice(&answer)
            .map_err(|_| purpose.misanswered("encrypt answers data.ciphertext"))?;
        let wrapped = answer.data.ciphertext;
        let version = version(&wrapped)
            .ok_or_else(|| purpose.misanswered("data.ciphertext is not `vault:vN:BASE64`"))?;
        if wrapped.len() > WRAPPED_KEY_BYTES_MAX {
            return Err(purpose.misanswered(format!("a data key of {} bytes", wrapped.len())));
        }
        Ok(Wrapped { key_id: format!("{}#v{version}", self.id), bytes: wrapped.into_bytes() })
    }

    fn unwrap(&self, wrapped: &Wrapped, context: &KeyContext<'_>) -> Result<DataKey, SealError> {
        let purpose = Purpose { key_id: &wrapped.key_id, verb: "unwrap" };
        let text = std::str::from_utf8(&wrapped.bytes).unwrap_or_default();
        let named = version(text).map(|version| format!("{}#v{version}", self.id));
        if named.as_deref() != Some(wrapped.key_id.as_str()) {
            return Err(purpose.not_unwrapped());
        }
        let body = body("ciphertext", text, context);
        let answer = self.ask(purpose, &self.decrypt, &body, None)?;
        let answer: Envelope<Decrypted<'_>> = serde_json::from_slice(&answer)
            .map_err(|_| purpose.misanswered("decrypt answers data.plaintext"))?;
        let mut plain = Zeroizing::new(
            STANDARD
                .decode(answer.data.plaintext.as_bytes())
                .map_err(|_| purpose.misanswered("data.plaintext is not base64"))?,
        );
        data_key(&mut plain).ok_or_else(|| purpose.misanswered("data.plaintext is not 32 bytes"))?
    }
}

impl fmt::Debug for VaultTransit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VaultTransit").field("id", &self.id).field("remote", &self.remote).finish()
    }
}

#[derive(Deserialize)]
struct Envelope<T> {
    data: T,
}

#[derive(Deserialize)]
struct Encrypted {
    ciphertext: String,
}

/// Borrows, so that the key is only in the answer, which is wiped.
#[derive(Deserialize)]
struct Decrypted<'a> {
    plaintext: &'a str,
}

#[derive(Deserialize)]
struct Errors {
    #[serde(default)]
    errors: Vec<String>,
}

fn said(answer: &Answer, secret: Option<&str>) -> String {
    let said = match serde_json::from_slice::<Errors>(&answer.body) {
        Ok(said) => said.errors.join("; "),
        Err(_) => foreign(answer),
    };
    words(&format!("{} {said}", answer.status), secret)
}

/// A request of transit. Both values are base64 or of its alphabet and `:`, so nothing needs escaping.
fn body(name: &str, value: &str, context: &KeyContext<'_>) -> Zeroizing<Vec<u8>> {
    let associated = STANDARD.encode(context.bytes());
    let length = name.len() + value.len() + associated.len() + 64;
    let mut json = Zeroizing::new(String::with_capacity(length));
    for part in ["{\"", name, "\":\"", value, "\",\"associated_data\":\"", &associated, "\"}"] {
        json.push_str(part);
    }
    Zeroizing::new(std::mem::take(&mut *json).into_bytes())
}

/// The version in `vault:vN:BASE64`, which is checked to hold nothing else.
fn version(text: &str) -> Option<u64> {
    let (version, rest) = text.strip_prefix("vault:v")?.split_once(':')?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"+/=".contains(&byte);
    if rest.is_empty() || !rest.bytes().all(plain) || version.starts_with('+') {
        return None;
    }
    version.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

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
        let passing =
            || vec![error(503, "sealed"), error(429, "quota"), error(500, "x"), Reply::Cut];
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
        let wrapped = Wrapped {
            key_id: "vault:transit/recordings#v1".into(),
            bytes: b"vault:v1:AAAA".into(),
        };
        let ask = |reply| {
            let (address, _seen) = service(vec![reply, error(500, "asked again")]);
            let vault = VaultTransit::new(options(&address, 3)).unwrap();
            vault.unwrap(&wrapped, &CONTEXT).unwrap_err()
        };
        let denied = ask(error(403, "permission denied"));
        assert_eq!(denied.blame(), crate::Blame::Operator);
        assert!(
            denied.to_string().ends_with("refused to unwrap a data key: 403 permission denied")
        );
        let not = SealError::NotUnwrapped { key_id: wrapped.key_id.clone() };
        assert_eq!(ask(error(400, "cipher: message authentication failed")), not);
        // A redirect could carry the token elsewhere, and is not followed.
        assert!(matches!(ask(Reply::Status(307, String::new())), SealError::Refused { .. }));
        for wrong in ["{}", r#"{"plaintext":7}"#, r#"{"plaintext":"*"}"#, r#"{"plaintext":"AAAA"}"#]
        {
            assert!(matches!(ask(ok(wrong)), SealError::Misanswered { .. }), "{wrong}");
        }
        let long = "x".repeat(model::limit::KEY_SERVICE_ANSWER_BYTES_MAX + 1);
        assert!(matches!(ask(Reply::Status(200, long)), SealError::Misanswered { .. }));
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
        let (address, _seen) =
            service(vec![error(400, &format!("a\u{1b}[31m\n{}", "b".repeat(999)))]);
        let vault = VaultTransit::new(options(&address, 1)).unwrap();
        let text = vault.wrap(&key(), &CONTEXT).unwrap_err().to_string();
        assert!(text.len() < 400 && !text.contains(char::is_control), "{text}");
        assert!(!format!("{vault:?}").contains("s.token"));
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
        assert!(
            failed.to_string().ends_with("there is no token: cannot read /run/token"),
            "{failed}"
        );
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
            let wrapped =
                Wrapped { key_id: "vault:transit/recordings#v1".into(), bytes: bytes.into() };
            let failed = vault.unwrap(&wrapped, &CONTEXT).unwrap_err();
            assert!(matches!(failed, SealError::NotUnwrapped { .. }), "{failed}");
        }
    }
}
