//! The keys that an issuer publishes: a JSON Web Key Set (RFC 7517).

use jsonwebtoken::jwk::{Jwk, KeyOperations, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey};
use serde_json::Value;

/// Keys of one issuer that are looked at; providers publish two to ten.
const KEYS_MAX: usize = 128;
/// Keys that are tried for a token that names none.
const TRIES_MAX: usize = 8;

/// A key that signatures can be checked with.
struct Key {
    id: Option<String>,
    /// The one algorithm it is for, if the key says so.
    only: Option<Algorithm>,
    key: DecodingKey,
}

/// The usable keys of a set.
#[derive(Default)]
pub(crate) struct Keys(Vec<Key>);

/// Why a text is no key set; in words for the operator.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct NoKeys(pub String);

impl Keys {
    /// Reads a key set. Keys that cannot check signatures are left out, as RFC 7517 section 5 asks:
    /// other kinds, keys for encryption, symmetric ones, unreadable ones.
    pub fn read(text: &[u8], is_trust_domain: bool) -> Result<Self, NoKeys> {
        let set: Value =
            serde_json::from_slice(text).map_err(|error| NoKeys(format!("no JSON: {error}")))?;
        let all = set
            .get("keys")
            .and_then(Value::as_array)
            .ok_or_else(|| NoKeys("no key set: there is no array \"keys\"".to_owned()))?;
        let read = |value: &Value| {
            let jwk: Jwk = serde_json::from_value(value.clone()).ok()?;
            usable(&jwk, is_trust_domain)
        };
        let keys: Vec<Key> = all.iter().take(KEYS_MAX).filter_map(read).collect();
        match keys.is_empty() {
            true => Err(NoKeys(format!(
                "none of its {} keys can check a signature with RSA, ECDSA or Ed25519",
                all.len()
            ))),
            false => Ok(Self(keys)),
        }
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// The keys that a token with this header may be signed with. None: it names a key that is not
    /// among these.
    pub fn candidates(&self, id: Option<&str>, algorithm: Algorithm) -> Vec<&DecodingKey> {
        self.0
            .iter()
            .filter(|key| id.is_none_or(|id| key.id.as_deref() == Some(id)))
            .filter(|key| key.only.is_none_or(|only| only == algorithm))
            .filter(|key| key.key.family() == algorithm.family())
            .map(|key| &key.key)
            .take(TRIES_MAX)
            .collect()
    }

    /// Whether there is a key of that name, whatever it is for.
    pub fn knows(&self, id: &str) -> bool {
        self.0.iter().any(|key| key.id.as_deref() == Some(id))
    }
}

fn usable(jwk: &Jwk, is_trust_domain: bool) -> Option<Key> {
    let for_signatures = match &jwk.common.public_key_use {
        None | Some(PublicKeyUse::Signature) => true,
        // SPIFFE Trust Domain and Bundle, section 4.2.2: certificates have keys of their own.
        Some(PublicKeyUse::Other(word)) => is_trust_domain && word == "jwt-svid",
        Some(_) => false,
    };
    let may_verify = jwk
        .common
        .key_operations
        .as_ref()
        .is_none_or(|operations| operations.contains(&KeyOperations::Verify));
    let only = match jwk.common.key_algorithm {
        None => None,
        // Of an algorithm that cannot be a token's, such as RSA-OAEP, the key is for other things.
        Some(algorithm) => Some(Algorithm::try_from(algorithm).ok()?),
    };
    let key = DecodingKey::from_jwk(jwk).ok()?;
    let asymmetric = crate::plan::ALGORITHMS.iter().any(|(_, one)| one.family() == key.family());
    (for_signatures && may_verify && asymmetric).then(|| Key {
        id: jwk.common.key_id.clone(),
        only,
        key,
    })
}
