//! Words before a value that say what it is.

/// How far before a value a word still speaks about it, bytes.
const REACH_BYTES: usize = 48;

/// What the words speak about.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Words {
    /// Payment cards; only looked for right before a number.
    Card,
    /// Social security numbers.
    Ssn,
    /// Telephone numbers.
    Phone,
    /// AWS credentials.
    Aws,
}

impl Words {
    /// The second letters of the words, as bits, by the first.
    const fn pairs(self) -> &'static [u32; 26] {
        match self {
            Self::Card => const { &pairs(Self::Card.list()) },
            Self::Ssn => const { &pairs(Self::Ssn.list()) },
            Self::Phone => const { &pairs(Self::Phone.list()) },
            Self::Aws => const { &pairs(Self::Aws.list()) },
        }
    }

    /// In lower case. Up to [`SHORT`] letters they count only as a word of their own.
    const fn list(self) -> &'static [&'static [u8]] {
        match self {
            Self::Card => &[b"card", b"cc", b"pan", b"visa", b"amex", b"mastercard", b"number"],
            Self::Ssn => &[b"ssn", b"ssns", b"ss#", b"social", b"soc sec", b"social security"],
            Self::Phone => &[
                b"phone",
                b"tel",
                b"mobile",
                b"mob",
                b"cell",
                b"fax",
                b"whatsapp",
                b"sms",
                b"telefon",
                b"telef",
                b"handy",
                b"msisdn",
            ],
            Self::Aws => &[b"aws", b"access", b"amazon", b"akia"],
        }
    }
}

/// The second letters by the first. A word that does not begin with two letters would never be
/// found, so such a list does not compile.
const fn pairs(words: &[&[u8]]) -> [u32; 26] {
    let mut seconds = [0; 26];
    let mut rest = words;
    while let [[first, second, ..], tail @ ..] = rest {
        assert!(letter(*first) != 0 && letter(*second) != 0);
        let mut place = 0;
        let mut left: &mut [u32] = &mut seconds;
        while let [slot, more @ ..] = left {
            if 1 << place & letter(*first) != 0 {
                *slot |= letter(*second);
            }
            place += 1;
            left = more;
        }
        rest = tail;
    }
    assert!(rest.is_empty());
    seconds
}

/// Longest word that must stand alone: `tel` must not be found in `hotel`.
const SHORT: usize = 6;

/// Whether one of the words stands in the text shortly before `at`.
///
/// A NUL byte ends the search: it cannot be part of text, so what is before it belongs to something
/// else (the length of a field, when a whole message is looked at).
pub(crate) fn before(text: &[u8], at: usize, words: Words) -> bool {
    any_word(text, at, words, |reach, from, word| {
        word.len() > SHORT || stands_alone(reach, from, from + word.len())
    })
}

/// Whether one of the words may stand before `at`, whatever surrounds the word; true whenever
/// [`before`] is true of any part of the text that ends in the same way.
pub(crate) fn mentioned(text: &[u8], at: usize, words: Words) -> bool {
    any_word(text, at, words, |_, _, _| true)
}

fn any_word(
    text: &[u8],
    at: usize,
    words: Words,
    accept: impl Fn(&[u8], usize, &[u8]) -> bool,
) -> bool {
    let list = words.list();
    let mut reach = text.get(at.saturating_sub(REACH_BYTES)..at).unwrap_or_default();
    if let Some(nul) = reach.iter().rposition(|byte| *byte == 0) {
        reach = reach.get(nul + 1..).unwrap_or_default();
    }
    let pairs = words.pairs();
    let begins = |first: u8, second: u8| {
        let place = (first | 0x20).wrapping_sub(b'a');
        pairs.get(usize::from(place)).is_some_and(|seconds| seconds & letter(second) != 0)
    };
    let seconds = reach.get(1..).unwrap_or_default();
    (0..).zip(reach.iter().zip(seconds)).filter(|(_, (a, b))| begins(**a, **b)).any(|(from, _)| {
        list.iter().any(|word| starts_with(reach, from, word) && accept(reach, from, word))
    })
}

/// The letter as a bit; nothing for what is no letter.
const fn letter(byte: u8) -> u32 {
    let place = (byte | 0x20).wrapping_sub(b'a');
    if place < 26 { 1 << place } else { 0 }
}

/// Whether the value at `at` is the tail of a longer token (`BUILD-555-1234`), unless the token's
/// head is one of the words (`tel-5550132`).
pub(crate) fn continues_token(text: &[u8], at: usize, words: Words) -> bool {
    let Some(joint) = at.checked_sub(1) else { return false };
    let joined = matches!(text.get(joint), Some(b'-' | b'/' | b'.' | b'_' | b'#'));
    let head = joint.checked_sub(1).and_then(|i| text.get(i));
    joined && head.is_some_and(u8::is_ascii_alphanumeric) && !ends(text, joint, words)
}

/// Whether one of the words ends right before `at`, as in `ssn123456789`.
pub(crate) fn ends(text: &[u8], at: usize, words: Words) -> bool {
    words.list().iter().any(|word| {
        at.checked_sub(word.len())
            .is_some_and(|from| starts_with(text, from, word) && starts_word(text, from))
    })
}

fn starts_with(text: &[u8], from: usize, word: &[u8]) -> bool {
    let first = |text: &[u8]| text.first().map(u8::to_ascii_lowercase);
    let Some(rest) = text.get(from..) else { return false };
    first(rest) == first(word)
        && rest.get(..word.len()).is_some_and(|found| found.eq_ignore_ascii_case(word))
}

fn stands_alone(text: &[u8], from: usize, to: usize) -> bool {
    starts_word(text, from) && !text.get(to).is_some_and(u8::is_ascii_lowercase)
        || starts_word(text, from) && text.get(to) == Some(&b's')
}

/// Whether a word starts at `from`: after anything but a letter, or at a capital after a small
/// letter (`homePhone`).
fn starts_word(text: &[u8], from: usize) -> bool {
    let Some(before) = from.checked_sub(1).and_then(|i| text.get(i)) else { return true };
    !before.is_ascii_alphabetic()
        || (before.is_ascii_lowercase() && text.get(from).is_some_and(u8::is_ascii_uppercase))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn before_end(text: &str, words: Words) -> bool {
        before(text.as_bytes(), text.len(), words)
    }

    #[test]
    fn words_are_found_as_words() {
        for text in ["ssn: ", "SSN ", "\"customer_ssn\":\"", "employeeSsn=", "Social Security No. "]
        {
            assert!(before_end(text, Words::Ssn), "{text}");
        }
        for text in ["", "assn ", "ssnippet ", "classname ", "session "] {
            assert!(!before_end(text, Words::Ssn), "{text}");
        }
        assert!(before_end("tel. ", Words::Phone) && before_end("homePhone: ", Words::Phone));
        assert!(!before_end("hotel ", Words::Phone) && !before_end("tell ", Words::Phone));
    }

    #[test]
    fn a_nul_byte_and_distance_end_the_reach() {
        assert!(!before(b"ssn\0 ", 5, Words::Ssn));
        let far = format!("ssn{}", " ".repeat(REACH_BYTES));
        assert!(!before_end(&far, Words::Ssn));
        assert!(before(far.as_bytes(), REACH_BYTES, Words::Ssn));
    }
}
