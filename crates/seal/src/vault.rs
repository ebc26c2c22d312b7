//! A key in the transit engine of HashiCorp Vault or OpenBao.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use model::limit::{KEY_ID_BYTES_MAX, WRAPPED_KEY_BYTES_MAX};
use serde::Deserialize;
use zeroize::Zeroizing;

use crate::data_key::DataKey;
use crate::encryption::{KeyContext, KeyEncryption, Wrapped};
use crate::error::SealError;
use crate::local::data_key;
use crate::remote::{Body, Purpose, RemoteOptions};

mod client;

pub use client::{VaultAuth, VaultClient, VaultLogin, VaultServer, VaultToken};
use client::{is_path, said};

/// Which key, and how to reach it.
pub struct VaultOptions {
    /// Address, `https://vault.example:8200`; `http` only on this machine.
    pub address: String,
    /// Where the transit engine is mounted; `transit` by default.
    pub mount: String,
    /// Name of the key. It has to be of an AEAD type that takes associated data (`aes256-gcm96`,
    /// the default of transit, or `chacha20-poly1305`) and not `derived`.
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

/// A key in the transit engine ("Transit secrets engine (API)", Vault's and OpenBao's
/// documentation). Gateway and session are bound as associated data.
///
/// Its id is `vault:MOUNT/KEY`; a wrapped data key adds the version that wrapped it, `#v3`.
/// Rotating inside the service needs nothing here, as long as `min_decryption_version` stays at the
/// oldest version that wrapped a key; [`SegmentKeys::rewraps`] brings keys to the newest.
///
/// Each call is one request.
///
/// [`SegmentKeys::rewraps`]: crate::SegmentKeys::rewraps
pub struct VaultTransit {
    id: String,
    encrypt: String,
    decrypt: String,
    client: VaultClient,
}

impl VaultTransit {
    /// Prepares to use a key; asks for nothing yet.
    ///
    /// # Errors
    ///
    /// [`SealError::Unusable`] (the operator's): a name that cannot be one, or an address without
    /// TLS.
    pub fn new(options: VaultOptions) -> Result<Self, SealError> {
        let VaultOptions { address, mount, key, namespace, token, remote } = options;
        let auth = VaultAuth::Token(token);
        let id = format!("vault:{}/{key}", mount.trim_matches('/'));
        let client = VaultClient::new(&id, VaultServer { address, namespace, auth, remote });
        Self::on(client?, &mount, &key)
    }

    /// As [`Self::new`], of a server that is known already.
    ///
    /// # Errors
    ///
    /// [`SealError::Unusable`] (the operator's): a name that cannot be one.
    pub fn on(client: VaultClient, mount: &str, key: &str) -> Result<Self, SealError> {
        let mount = mount.trim_matches('/');
        let id = format!("vault:{mount}/{key}");
        let unusable = |why: &str| SealError::Unusable { key: id.clone(), why: why.to_owned() };
        if key.contains('/') || !is_path(key) || !is_path(mount) || id.len() > KEY_ID_BYTES_MAX / 2
        {
            return Err(unusable("mount and key are made of letters, digits, `_`, `-` and `.`"));
        }
        let encrypt = format!("{mount}/encrypt/{key}");
        let decrypt = format!("{mount}/decrypt/{key}");
        Ok(Self { id, encrypt, decrypt, client })
    }

    /// Asks for something.
    fn ask(
        &self,
        purpose: Purpose<'_>,
        path: &str,
        body: Body<'_>,
    ) -> Result<Zeroizing<Vec<u8>>, SealError> {
        let answer = self.client.send(purpose, path, body)?;
        if answer.status == 200 {
            return Ok(answer.body);
        }
        let why = said(&answer);
        // Vault's word for a tag that does not match, and for associated data of another session.
        if why.contains("message authentication failed") {
            return Err(purpose.not_unwrapped());
        }
        Err(purpose.refused(why))
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
        let purpose = Purpose { key_id: &self.id, verb: "wrap a data key" };
        let plain = Zeroizing::new(STANDARD.encode(key.expose()));
        let body = body("plaintext", &plain, context);
        let body = Body { bytes: &body, secrets: &[&plain] };
        let answer = self.ask(purpose, &self.encrypt, body)?;
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
        let purpose = Purpose { key_id: &wrapped.key_id, verb: "unwrap a data key" };
        let text = std::str::from_utf8(&wrapped.bytes).unwrap_or_default();
        let named = version(text).map(|version| format!("{}#v{version}", self.id));
        if named.as_deref() != Some(wrapped.key_id.as_str()) {
            return Err(purpose.not_unwrapped());
        }
        let body = body("ciphertext", text, context);
        let body = Body { bytes: &body, secrets: &[] };
        let answer = self.ask(purpose, &self.decrypt, body)?;
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
        f.debug_struct("VaultTransit").field("id", &self.id).field("client", &self.client).finish()
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

/// A request of transit. Both values are base64 or of its alphabet and `:`, so nothing needs
/// escaping.
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
mod tests;
