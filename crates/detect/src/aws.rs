//! AWS access keys: the public-looking id and the secret that belongs to it.

use crate::context::{self, Words};
use crate::text::{closes, opens};

/// Characters of an access key id; four of them are the prefix.
const ID: usize = 20;
/// Characters of a secret access key.
const SECRET: usize = 40;
/// How far after the word "secret" or a key id a secret may stand, bytes.
const REACH_BYTES: usize = 96;

/// Prefixes of ids that come with a secret ("IAM identifiers", unique identifiers).
pub(crate) const PREFIXES: [&[u8; 4]; 4] = [b"AKIA", b"ASIA", b"ABIA", b"ACCA"];

/// How the ids and secrets end that AWS prints in its own documentation; they open nothing.
const EXAMPLE: &[u8] = b"EXAMPLE";
/// See [`EXAMPLE`].
const EXAMPLE_KEY: &[u8] = b"EXAMPLEKEY";

/// The end of the access key id that starts at `at`.
///
/// The characters are base32; an id with others, as people make them up, counts when a word before
/// it speaks of AWS. The ids of AWS's own documentation do not count.
pub(crate) fn id(text: &[u8], at: usize) -> Option<usize> {
    let end = id_candidate(text, at)?;
    let id = text.get(at..end)?;
    let base32 = id.iter().all(|byte| matches!(byte, b'A'..=b'Z' | b'2'..=b'7'));
    (opens(text, at)
        && closes(text, end)
        && !id.ends_with(EXAMPLE)
        && (base32 || context::before(text, at, Words::Aws)))
    .then_some(end)
}

/// The same, whatever stands around it.
pub(crate) fn id_candidate(text: &[u8], at: usize) -> Option<usize> {
    let id = text.get(at..at + ID)?;
    let known = PREFIXES.iter().any(|prefix| id.starts_with(*prefix));
    (known && id.iter().all(|byte| matches!(byte, b'A'..=b'Z' | b'0'..=b'9'))).then_some(at + ID)
}

/// The first secret in what follows `at`, where a word or an id has just ended that announces one.
pub(crate) fn secret_after(text: &[u8], at: usize) -> Option<(usize, usize)> {
    let (start, end) = runs(text, at).find(|(start, end)| {
        end - start == SECRET && { is_secret(text.get(*start..*end).unwrap_or_default()) }
    })?;
    opens(text, start).then_some((start, end))
}

/// Whether a secret may stand in what follows `at`, whatever surrounds it.
pub(crate) fn secret_candidate(text: &[u8], at: usize) -> bool {
    runs(text, at).any(|(start, end)| end - start >= SECRET)
}

/// Runs of characters of a secret that start within reach, as start and end.
fn runs(text: &[u8], at: usize) -> impl Iterator<Item = (usize, usize)> {
    let mut at = at;
    let reach = at + REACH_BYTES;
    std::iter::from_fn(move || {
        let start =
            at + text.get(at..)?.iter().take(reach.saturating_sub(at)).position(is_key_byte)?;
        // One more than a secret, so that a longer run is seen to be longer.
        let run = text.get(start..)?.iter().take(REACH_BYTES).take_while(|byte| is_key_byte(byte));
        at = start + run.count();
        Some((start, at))
    })
}

fn is_key_byte(byte: &u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'+')
}

/// Random base64 has capitals, small letters and digits; hexadecimal digests and words do not.
fn is_secret(run: &[u8]) -> bool {
    !run.ends_with(EXAMPLE_KEY)
        && run.iter().any(u8::is_ascii_uppercase)
        && run.iter().any(u8::is_ascii_lowercase)
        && run.iter().any(u8::is_ascii_digit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_found_and_lookalikes_are_not() {
        for text in ["AKIAIOSFODNN7EXAMPLX", "ASIAY34FZKBOKMUTVV7A", "ABIAIOSFODNN7EXAMPLX"] {
            assert_eq!(id(text.as_bytes(), 0), Some(20), "{text}");
        }
        for text in [
            "AKIAIOSFODNN7EXAMPL",
            "AKIAIOSFODNN7EXAMPLEX",
            "AKIAiosfodnn7example",
            "AKIA",
            "AKXAIOSFODNN7EXAMPLX",
            "AKIAIOSFODNN7EXAMPLE",
            "AKIA0189FODNN7EXAMPL",
        ] {
            assert_eq!(id(text.as_bytes(), 0), None, "{text}");
        }
        assert_eq!(id(b"aws key AKIA1234567890ABCDEF", 8), Some(28));
        assert_eq!(id(b"xAKIAIOSFODNN7EXAMPLX", 1), None);
    }

    #[test]
    fn secrets_are_found_after_the_word_only() {
        let key = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPL0KEY";
        let text = format!("secret_access_key = \"{key}\"");
        assert_eq!(secret_after(text.as_bytes(), 6), Some((21, 61)));
        let hash = "secret: 356a192b7913b04c54574d18c28d46e6395428ab";
        assert_eq!(secret_after(hash.as_bytes(), 6), None);
        let long = format!("secret={key}A");
        assert_eq!(secret_after(long.as_bytes(), 6), None);
        let far = format!("secret{}{key}", " ".repeat(REACH_BYTES));
        assert_eq!(secret_after(far.as_bytes(), 6), None);
    }
}
