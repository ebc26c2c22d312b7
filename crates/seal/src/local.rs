//! A key that the caller read from a file or the environment.

use std::fmt;

use aws_lc_rs::hmac;
use aws_lc_rs::key_wrap::{AES_256, AesKek, KeyWrapPadded};
use base64::Engine;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use model::text::Secret;
use zeroize::{Zeroize, Zeroizing};

use crate::data_key::{DATA_KEY_BYTES, DataKey};
use crate::encryption::{KeyContext, KeyEncryption, Wrapped};
use crate::error::SealError;

const KEY_BYTES: usize = 32;
/// Bytes that RFC 5649 adds to a data key.
const WRAP_OVERHEAD_BYTES: usize = 8;
/// What the id is made from, under the key.
const ID_LABEL: &[u8] = b"narrows local key id v1";
const ID_BYTES: usize = 8;

/// A key of 256 bits that wraps data keys by AES key wrap with padding (RFC 5649), so any tool that
/// knows the key unwraps them. Binds no context: the fields do that themselves.
///
/// Its id is `local:` and 16 digits computed from the key by HMAC-SHA-256, which say nothing of the
/// key; another key has another id, so no one has to number keys.
pub struct LocalKey {
    id: String,
    key: Secret<[u8; KEY_BYTES]>,
}

impl LocalKey {
    /// Reads a key: 32 raw bytes, or 64 hexadecimal digits, or base64 (either alphabet, padded or
    /// not) of 32 bytes; white space around the latter two is ignored. `name` is what errors call
    /// it, such as the file's path; `content` stays with the caller, who should wipe it.
    ///
    /// # Errors
    ///
    /// [`SealError::Unusable`] (the operator's): anything else, 32 bytes that look like text, which
    /// is how a password or 16 bytes in hexadecimal come to be taken for a key, and one byte
    /// repeated.
    pub fn parse(name: &str, content: &[u8]) -> Result<Self, SealError> {
        let unusable =
            |why: &str| SealError::Unusable { key: name.to_owned(), why: why.to_owned() };
        let mut key = Zeroizing::new([0; KEY_BYTES]);
        if content.len() == KEY_BYTES {
            if content.iter().all(|byte| matches!(byte, b' '..=b'~' | b'\t' | b'\r' | b'\n')) {
                return Err(unusable(
                    "its 32 bytes are text; make 32 random ones with `openssl rand -hex 32`",
                ));
            }
            key.copy_from_slice(content);
        } else {
            let decoded = decode(content.trim_ascii()).ok_or_else(|| {
                unusable(
                    "it is neither 32 raw bytes nor 64 hexadecimal digits nor base64 of 32 bytes; \
                     make one with `openssl rand -hex 32`",
                )
            })?;
            key.copy_from_slice(decoded.as_slice());
        }
        if key.iter().all(|byte| Some(byte) == key.first()) {
            return Err(unusable("it is one byte repeated; use 32 random ones"));
        }
        let id = id(&key);
        Ok(Self { id, key: Secret::new(*key) })
    }

    fn kek(&self) -> Result<AesKek, SealError> {
        AesKek::new(&AES_256, self.key.expose())
            .map_err(|_| SealError::Library { what: "use a local key" })
    }
}

impl KeyEncryption for LocalKey {
    fn id(&self) -> &str {
        &self.id
    }

    fn wrap(&self, key: &DataKey, _: &KeyContext<'_>) -> Result<Wrapped, SealError> {
        // The library asks for room for any padding; a data key needs none.
        let mut wrapped = [0; DATA_KEY_BYTES + 15];
        let wrapped = self
            .kek()?
            .wrap_with_padding(key.expose(), &mut wrapped)
            .map_err(|_| SealError::Library { what: "wrap a data key" })?;
        Ok(Wrapped { key_id: self.id.clone(), bytes: wrapped.to_vec() })
    }

    fn unwrap(&self, wrapped: &Wrapped, _: &KeyContext<'_>) -> Result<DataKey, SealError> {
        let refused = || SealError::NotUnwrapped { key_id: self.id.clone() };
        if wrapped.bytes.len() != DATA_KEY_BYTES + WRAP_OVERHEAD_BYTES {
            return Err(refused());
        }
        let mut room = Zeroizing::new([0; DATA_KEY_BYTES + WRAP_OVERHEAD_BYTES]);
        let unwrapped = self
            .kek()?
            .unwrap_with_padding(&wrapped.bytes, room.as_mut_slice())
            .map_err(|_| refused())?;
        data_key(unwrapped).ok_or_else(refused)?
    }
}

impl fmt::Debug for LocalKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("LocalKey").field(&self.id).finish()
    }
}

/// A data key of unwrapped bytes, which are wiped; `None` if they have another length.
pub(crate) fn data_key(bytes: &mut [u8]) -> Option<Result<DataKey, SealError>> {
    let key = <&mut [u8; DATA_KEY_BYTES]>::try_from(&mut *bytes).ok().map(DataKey::take);
    bytes.zeroize();
    key
}

fn id(key: &[u8; KEY_BYTES]) -> String {
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), ID_LABEL);
    let digits = tag.as_ref().iter().take(ID_BYTES).map(|byte| format!("{byte:02x}"));
    format!("local:{}", digits.collect::<String>())
}

fn decode(text: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let decoded = if text.len() == 2 * KEY_BYTES {
        hexadecimal(text)?
    } else {
        let config =
            GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
        let standard = GeneralPurpose::new(&base64::alphabet::STANDARD, config);
        let url_safe = GeneralPurpose::new(&base64::alphabet::URL_SAFE, config);
        let decoded = standard.decode(text).or_else(|_| url_safe.decode(text)).ok()?;
        Zeroizing::new(decoded)
    };
    (decoded.len() == KEY_BYTES).then_some(decoded)
}

fn hexadecimal(text: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let digit =
        |byte: &u8| char::from(*byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let mut bytes = Zeroizing::new(Vec::with_capacity(KEY_BYTES));
    for pair in text.chunks_exact(2) {
        let [high, low] = pair else { return None };
        bytes.push((digit(high)? << 4) | digit(low)?);
    }
    Some(bytes)
}

#[cfg(test)]
mod tests;
