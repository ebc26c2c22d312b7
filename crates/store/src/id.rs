//! Names that are unique without asking anyone: random, readable, and for sessions sortable by
//! time.

use aws_lc_rs::rand;
use model::{SessionId, Timestamp};

/// Crockford's base32 in lower case: no `i`, `l`, `o`, `u`, so an id survives being read aloud.
const BASE32: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/// Characters of 256 bits in base 62: 62^43 is just above 2^256.
pub(crate) const BASE62_CHARS: usize = 43;

/// The operating system gave no randomness; nothing that must be unguessable can be made.
#[derive(Debug, thiserror::Error)]
#[error("the operating system gave no random bytes")]
pub struct NoRandomness;

/// A new session id: `s_` and 20 characters, the first ten of which are the time in milliseconds,
/// so that ids sort by time; the rest are random.
pub fn session_id(now: Timestamp) -> Result<SessionId, NoRandomness> {
    let mut text = String::with_capacity(22);
    text.push_str("s_");
    push_base32(&mut text, now.0 / 1_000_000, 10);
    push_base32(&mut text, random_u64()?, 10);
    Ok(SessionId(text.into()))
}

/// `prefix` and `chars` (at most 12) random characters of base32.
pub fn short_id(prefix: &str, chars: u32) -> Result<String, NoRandomness> {
    let mut text = prefix.to_owned();
    push_base32(&mut text, random_u64()?, chars);
    Ok(text)
}

pub(crate) fn random_32() -> Result<[u8; 32], NoRandomness> {
    let mut bytes = [0; 32];
    rand::fill(&mut bytes).map_err(|_| NoRandomness)?;
    Ok(bytes)
}

fn random_u64() -> Result<u64, NoRandomness> {
    let mut bytes = [0; 8];
    rand::fill(&mut bytes).map_err(|_| NoRandomness)?;
    Ok(u64::from_le_bytes(bytes))
}

/// The low `5 * chars` bits of `value`, most significant first.
fn push_base32(text: &mut String, value: u64, chars: u32) {
    for place in (0..chars).rev() {
        let digit = usize::try_from((value >> (5 * place)) & 31).unwrap_or(0);
        text.push(char::from(BASE32.get(digit).copied().unwrap_or(b'0')));
    }
}

/// 256 bits as 43 characters, most significant first.
pub(crate) fn base62(mut number: [u8; 32]) -> String {
    let mut digits = [b'0'; BASE62_CHARS];
    for place in digits.iter_mut().rev() {
        let mut remainder = 0u32;
        for byte in &mut number {
            let dividend = remainder << 8 | u32::from(*byte);
            // Below 62 * 256 / 62, so it fits in a byte.
            *byte = u8::try_from(dividend / 62).unwrap_or(u8::MAX);
            remainder = dividend % 62;
        }
        *place = BASE62.get(remainder as usize).copied().unwrap_or(b'0');
    }
    digits.iter().map(|digit| char::from(*digit)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn session_ids_are_22_characters_and_sort_by_time() {
        let early = session_id(Timestamp(1_700_000_000_000_000_000)).unwrap();
        let late = session_id(Timestamp(1_700_000_000_001_000_000)).unwrap();
        assert_eq!(early.0.len(), 22);
        assert!(early < late, "{early:?} {late:?}");
        assert_ne!(early, session_id(Timestamp(1_700_000_000_000_000_000)).unwrap());
    }

    #[test]
    fn base62_of_the_extremes() {
        assert_eq!(base62([0; 32]), "0".repeat(43));
        let mut one = [0; 32];
        one[31] = 61;
        assert_eq!(base62(one), format!("{}z", "0".repeat(42)));
        one[31] = 62;
        assert_eq!(base62(one), format!("{}10", "0".repeat(41)));
        assert_eq!(base62([255; 32]), "yhjskwdA6OZ1AL1YmHWZWm8LLG7HjnuCA2j5rOw8Xp1");
    }
}
