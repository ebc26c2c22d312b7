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
    /// not) of 32 bytes; white space around the latter two is ignored. `name` is what errors call it,
    /// such as the file's path; `content` stays with the caller, who should wipe it.
    ///
    /// # Errors
    ///
    /// [`SealError::Unusable`] (the operator's): anything else, 32 bytes that look like text, which
    /// is how a password or 16 bytes in hexadecimal come to be taken for a key, and one byte repeated.
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
mod tests {
    use aws_lc_rs::cipher::{
        AES_192, Algorithm, EncryptingKey, EncryptionContext, UnboundCipherKey,
    };
    use aws_lc_rs::cipher::{AES_256 as AES_256_BLOCKS, DecryptionContext};

    use super::*;
    use crate::testing::{CONTEXT, unhex};

    /// RFC 5649, section 4.1, in its plainest form, for keys of any length.
    fn rfc_5649(algorithm: &'static Algorithm, kek: &[u8], plain: &[u8]) -> Vec<u8> {
        let aes = |block: [u8; 16]| -> [u8; 16] {
            let key = UnboundCipherKey::new(algorithm, kek).unwrap();
            let mut block = block;
            let key = EncryptingKey::ecb(key).unwrap();
            let context = key.less_safe_encrypt(&mut block, EncryptionContext::None).unwrap();
            assert!(matches!(context, DecryptionContext::None));
            block
        };
        let mut a: [u8; 8] = unhex("a65959a600000000").try_into().unwrap();
        a[4..].copy_from_slice(&(plain.len() as u32).to_be_bytes());
        let mut r: Vec<[u8; 8]> = plain
            .chunks(8)
            .map(|chunk| {
                let mut block = [0; 8];
                block[..chunk.len()].copy_from_slice(chunk);
                block
            })
            .collect();
        let join = |a: [u8; 8], r: [u8; 8]| [a, r].concat().try_into().unwrap();
        if let [only] = r.as_slice() {
            return aes(join(a, *only)).to_vec();
        }
        // RFC 3394, section 2.2.1.
        for j in 0..6 {
            for i in 0..r.len() {
                let b = aes(join(a, r[i]));
                let t = (r.len() * j + i + 1) as u64;
                a = (u64::from_be_bytes(b[..8].try_into().unwrap()) ^ t).to_be_bytes();
                r[i] = b[8..].try_into().unwrap();
            }
        }
        [vec![a], r].concat().concat()
    }

    /// RFC 5649, section 6. Its vectors have a key of 192 bits, which [`LocalKey`] has not, so they
    /// hold the plain form above to the RFC, and it holds [`LocalKey`].
    #[test]
    fn keys_are_wrapped_as_rfc_5649_says() {
        let kek = unhex("5840df6e29b02af1ab493b705bf16ea1ae8338f4dcc176a8");
        let long = unhex("c37b7e6492584340bed12207808941155068f738");
        let wrapped = unhex("138bdeaa9b8fa7fc61f97742e72248ee5ae6ae5360d1ae6a5f54f373fa543b6a");
        assert_eq!(rfc_5649(&AES_192, &kek, &long), wrapped);
        let short = unhex("466f7250617369");
        let wrapped = unhex("afbeb0f07dfbf5419200f2ccb50bb24f");
        assert_eq!(rfc_5649(&AES_192, &kek, &short), wrapped);

        for _ in 0..50 {
            let (kek, key) = (DataKey::random().unwrap(), DataKey::random().unwrap());
            let local = LocalKey::parse("test", kek.expose()).unwrap();
            let wrapped = local.wrap(&key, &CONTEXT).unwrap();
            assert_eq!(wrapped.bytes, rfc_5649(&AES_256_BLOCKS, kek.expose(), key.expose()));
            assert_eq!(local.unwrap(&wrapped, &CONTEXT).unwrap().expose(), key.expose());
        }
    }

    /// Both values by Python's `cryptography` and `hmac`.
    #[test]
    fn a_known_answer_and_a_known_id_come_out() {
        let kek: Vec<u8> = (0..32).collect();
        let mut key: [u8; 32] = std::array::from_fn(|at| 0x80 + at as u8);
        let local = LocalKey::parse("test", &kek).unwrap();
        let wrapped = local.wrap(&DataKey::take(&mut key).unwrap(), &CONTEXT).unwrap();
        assert_eq!(
            wrapped.bytes,
            unhex(
                "0b0607b05fd577de7c1cefae2313277d0d36fcb4b3f04f1332c5023c0388e342164f8531741a21ae"
            )
        );
        assert_eq!(wrapped.key_id, "local:44b78db1abc9cd14");
    }

    #[test]
    fn another_key_a_flipped_bit_and_a_cut_are_refused() {
        let local = LocalKey::parse("test", &[&[1; 16][..], &[2; 16]].concat()).unwrap();
        let other = LocalKey::parse("test", &[&[1; 16][..], &[3; 16]].concat()).unwrap();
        assert_ne!(local.id(), other.id());
        let wrapped = local.wrap(&DataKey::random().unwrap(), &CONTEXT).unwrap();
        let refused = |key: &LocalKey, bytes: Vec<u8>| {
            let wrapped = Wrapped { bytes, ..wrapped.clone() };
            key.unwrap(&wrapped, &CONTEXT).unwrap_err()
                == SealError::NotUnwrapped { key_id: key.id().to_owned() }
        };
        assert!(refused(&other, wrapped.bytes.clone()));
        for bit in 0..wrapped.bytes.len() * 8 {
            let mut changed = wrapped.bytes.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(refused(&local, changed), "bit {bit}");
        }
        for length in 0..wrapped.bytes.len() {
            assert!(refused(&local, wrapped.bytes[..length].to_vec()), "cut to {length}");
        }
        // What another length of key makes, under the right key.
        let short = rfc_5649(&AES_256_BLOCKS, local.key.expose(), &[7; 31]);
        assert!(refused(&local, short));
        let long = rfc_5649(&AES_256_BLOCKS, local.key.expose(), &[7; 40]);
        assert!(refused(&local, long));
    }

    #[test]
    fn a_key_may_be_raw_hexadecimal_or_base64() {
        let raw: Vec<u8> = (0..32).collect();
        let id = LocalKey::parse("test", &raw).unwrap().id;
        for text in [
            "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
            "000102030405060708090A0B0C0D0E0F101112131415161718191A1B1C1D1E1F\n",
            "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
            "  AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8\r\n",
        ] {
            assert_eq!(LocalKey::parse("test", text.as_bytes()).unwrap().id, id, "{text}");
        }
        let url_safe =
            LocalKey::parse("test", b"__________________________________________8A".as_slice());
        assert!(url_safe.is_err(), "33 bytes");
        let both = [&b"-"[..], &b"_".repeat(42)].concat();
        let standard = [&b"+"[..], &b"/".repeat(42)].concat();
        // The last letter would carry bits beyond the 32nd byte.
        for (text, last) in [(both, b'8'), (standard, b'8')] {
            let text = [&text[..42], &[last]].concat();
            assert!(LocalKey::parse("test", &text).is_ok(), "{}", String::from_utf8_lossy(&text));
        }
    }

    #[test]
    fn what_is_no_key_is_refused_by_name_and_without_its_content() {
        for (content, why) in [
            (&b""[..], "neither"),
            (b"correct horse", "neither"),
            (b"0123456789abcdef0123456789abcdef", "text"),
            (b"0123456789abcdef0123456789abcdef\n", "neither"),
            (&[0; 32], "one byte"),
            (&[9; 33], "neither"),
            (&[b'0'; 64], "one byte"),
            (&[b'g'; 64], "neither"),
            (b"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh", "neither"),
        ] {
            let error = LocalKey::parse("/etc/key", content).unwrap_err();
            let text = error.to_string();
            assert!(text.contains("/etc/key") && text.contains(why), "{text}");
            assert_eq!(error.blame(), crate::Blame::Operator);
            if content.len() > 4 {
                assert!(!text.contains(&*String::from_utf8_lossy(content)), "{text}");
            }
        }
    }
}
