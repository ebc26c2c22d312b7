//! How single values are hidden, the same for every protocol.

use std::fmt;

use aws_lc_rs::hmac;

/// What a redacted text becomes.
pub const REDACTED: &str = "[REDACTED]";

/// Characters that `partial` leaves readable, at most.
const PARTIAL_CHARS_MAX: usize = 4;
/// The part of a value that `partial` leaves readable, at most: one in this many characters.
const PARTIAL_SHARE: usize = 4;

/// Hides all of a text, its length too.
#[must_use]
pub fn redact_text(_value: &str) -> &'static str {
    REDACTED
}

/// Hides all but the last characters of a text: at most 4 and at most a quarter of it stay (R19).
/// The result has as many characters as the value.
#[must_use]
pub fn partial_text(value: &str) -> String {
    let chars = value.chars().count();
    let hidden = chars - (chars / PARTIAL_SHARE).min(PARTIAL_CHARS_MAX);
    value.chars().enumerate().map(|(at, c)| if at < hidden { '*' } else { c }).collect()
}

/// The installation's key for `hash` masks: equal values hash alike under one key, and nobody
/// without it can test a guess.
pub struct HashKey(hmac::Key);

impl HashKey {
    /// Uses `key`, which should hold 32 random bytes.
    #[must_use]
    pub fn new(key: &[u8]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, key))
    }

    /// 32 lower-case hexadecimal digits for a value in its canonical text form.
    #[must_use]
    pub fn hash_text(&self, canonical: &str) -> String {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let digit = |nibble: u8| DIGITS.get(usize::from(nibble)).map_or('0', |d| char::from(*d));
        self.hash_bytes(canonical)
            .into_iter()
            .flat_map(|byte| [digit(byte >> 4), digit(byte & 15)])
            .collect()
    }

    /// A number in `0..2^(bits - 1)`, so that it fits a signed integer of `bits` bits. `bits` below
    /// 2 or above 64 count as 2 or 64.
    #[must_use]
    pub fn hash_int(&self, canonical: &str, bits: u32) -> i64 {
        let [a, b, c, d, e, f, g, h, ..] = self.hash_bytes(canonical);
        let number = u64::from_be_bytes([a, b, c, d, e, f, g, h]);
        i64::try_from(number >> (65 - bits.clamp(2, 64))).unwrap_or(i64::MAX)
    }

    /// 16 bytes for a value in its canonical text form.
    #[must_use]
    pub fn hash_bytes(&self, canonical: &str) -> [u8; 16] {
        let tag = hmac::sign(&self.0, canonical.as_bytes());
        let mut bytes = [0; 16];
        for (to, from) in bytes.iter_mut().zip(tag.as_ref()) {
            *to = *from;
        }
        bytes
    }
}

impl fmt::Debug for HashKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HashKey(***)")
    }
}
