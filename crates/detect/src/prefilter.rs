//! Says quickly that a block of bytes holds nothing, without knowing where its fields begin and
//! end.
//!
//! Every test here depends only on bytes inside a value (and, for values that need a word, on the
//! bytes between the word and the value), never on what surrounds it. So what holds for a field
//! holds for every block that contains the field, whatever bytes frame it.

use aho_corasick::{AhoCorasick, MatchKind};
use memchr::{memchr, memchr3};

use crate::context::{self, Words};
use crate::kind::{DetectionType, TypeSet};
use crate::number::Number;
use crate::text::{Gap, Unit, unit_at};
use crate::{aws, card, email, iban, phone, ssn};

/// Fewest bytes of a number that any kind reports.
const NUMBER_BYTES_MIN: usize = 7;
/// Bytes looked at together for the start of an account number.
const BLOCK_BYTES: usize = 256;

#[derive(Clone, Debug)]
pub(crate) struct Prefilter {
    types: TypeSet,
    /// Fixed texts that some kinds cannot be without; [`None`] when no such kind is wanted.
    literals: Option<AhoCorasick>,
}

impl Prefilter {
    pub(crate) fn new(types: TypeSet) -> Self {
        let mut literals: Vec<&[u8]> = Vec::new();
        if types.contains(DetectionType::Jwt) {
            literals.push(b"eyJ");
        }
        if types.contains(DetectionType::PrivateKey) {
            literals.push(b"PRIVATE KEY");
        }
        if types.contains(DetectionType::AwsKey) {
            literals.extend(aws::PREFIXES.iter().map(|prefix| prefix.as_slice()));
            literals.extend([b"ecret".as_slice(), b"ECRET"]);
        }
        let literals = match literals.as_slice() {
            [] => None,
            // A handful of short texts always fits; without the automaton everything is a "maybe".
            // Only the leftmost match is searched for by vectors; no literal begins another one.
            literals => {
                AhoCorasick::builder().match_kind(MatchKind::LeftmostFirst).build(literals).ok()
            }
        };
        Self { types, literals }
    }

    pub(crate) fn may_contain(&self, bytes: &[u8]) -> bool {
        self.literal(bytes)
            || (self.types.contains(DetectionType::Email) && may_contain_email(bytes))
            || self.may_contain_number(bytes)
    }

    /// The part of [`Self::may_contain`] that is about values which begin with a digit, or with a
    /// country and a digit.
    pub(crate) fn may_contain_number(&self, bytes: &[u8]) -> bool {
        (self.types.contains(DetectionType::Iban) && may_contain_iban(bytes)) || self.number(bytes)
    }

    fn wants(&self, kinds: &[DetectionType]) -> bool {
        kinds.iter().any(|kind| self.types.contains(*kind))
    }

    fn literal(&self, bytes: &[u8]) -> bool {
        let Some(literals) = &self.literals else {
            return self.wants(&[
                DetectionType::Jwt,
                DetectionType::PrivateKey,
                DetectionType::AwsKey,
            ]);
        };
        literals.find_iter(bytes).any(|found| {
            let text = bytes.get(found.start()..found.end()).unwrap_or_default();
            match text {
                b"ecret" | b"ECRET" => aws::secret_candidate(bytes, found.end()),
                // The last letter of what stands before an id can be the first of its prefix.
                [b'A', ..] => [found.start(), found.end() - 1]
                    .into_iter()
                    .any(|at| aws::id_candidate(bytes, at).is_some()),
                _ => true,
            }
        })
    }

    fn number(&self, bytes: &[u8]) -> bool {
        if !self.wants(&[DetectionType::CreditCard, DetectionType::UsSsn, DetectionType::Phone]) {
            return false;
        }
        // Whatever is at least this long covers one of the places looked at.
        let mut at = NUMBER_BYTES_MIN - 1;
        while let Some(byte) = bytes.get(at) {
            if !in_number(*byte) {
                at += NUMBER_BYTES_MIN;
                continue;
            }
            let before = bytes.get(..at).unwrap_or_default();
            let start = at - before.iter().rev().take_while(|byte| in_number(**byte)).count();
            let after = bytes.get(at..).unwrap_or_default();
            let end = at + after.iter().take_while(|byte| in_number(**byte)).count();
            if end - start >= NUMBER_BYTES_MIN && self.run(bytes, start, end) {
                return true;
            }
            at = end + NUMBER_BYTES_MIN;
        }
        false
    }

    /// Looks at every number in a run of bytes that can stand in numbers.
    fn run(&self, bytes: &[u8], start: usize, end: usize) -> bool {
        let mut at = start;
        let mut number = Number::new();
        while at < end {
            let (Unit::Digit(_), width) = unit_at(bytes, at) else {
                at += 1;
                continue;
            };
            number.read(bytes, at);
            if self.numbers_in(bytes, &number) {
                return true;
            }
            // A number that was read to its end was looked at from each of its digits.
            at = if number.is_cut() { at + width } else { number.end(number.len()) };
        }
        false
    }

    fn numbers_in(&self, bytes: &[u8], number: &Number) -> bool {
        let wants = |kind| self.types.contains(kind);
        let count = number.len();
        if count < NUMBER_BYTES_MIN {
            return false;
        }
        // The later digits of a number that was not read to its end get a reading of their own.
        let starts = if number.is_cut() { 1 } else { count };
        let told = |words| context::mentioned(bytes, number.start(0), words);
        let digits = number.digits();
        let card = |from: usize| digits.get(from..).is_some_and(card::starts_card);
        let (ssn, phone) = (wants(DetectionType::UsSsn), wants(DetectionType::Phone));
        (phone && (told(Words::Phone) || phone::follows_plus(bytes, number)))
            || (ssn && count >= ssn::DIGITS && told(Words::Ssn))
            || (wants(DetectionType::CreditCard)
                && (0..starts.min((count + 1).saturating_sub(card::DIGITS_MIN))).any(card))
            // These are told by how they are split.
            || (number.is_split()
                && (0..starts).any(|from| {
                    (ssn && ssn::may_start(number, from))
                        || (phone && phone::may_start(number, from))
                }))
    }
}

/// Whether the digits from number `from` on are split like this, the last group being at least as
/// long.
pub(crate) fn grouped(number: &Number, from: usize, lengths: &[usize]) -> bool {
    let mut place = from;
    let Some((last, inner)) = lengths.split_last() else { return false };
    let split = inner.iter().all(|length| {
        let joined = (place + 1..place + length).all(|at| number.gap_after(at) == Some(Gap::None));
        place += length;
        joined && number.gap_after(place).is_some_and(|gap| gap != Gap::None)
    });
    split && (place + 1..place + last).all(|at| number.gap_after(at) == Some(Gap::None))
}

/// Bytes of digits, separators and invisible characters, in whatever encoding of theirs.
const IN_NUMBER: [bool; 256] = {
    let mut bytes = [false; 256];
    let mut byte = 0_u8;
    let mut left: &mut [bool] = &mut bytes;
    while let [slot, more @ ..] = left {
        *slot = matches!(byte, b'0'..=b'9' | b' ' | b'-' | b'.' | b'(' | b')' | b'/' | b'_')
            || matches!(byte, 0x80..|0x1b| b'[' | b';' | b'm');
        byte = byte.wrapping_add(1);
        left = more;
    }
    bytes
};

fn in_number(byte: u8) -> bool {
    IN_NUMBER.get(usize::from(byte)).copied().unwrap_or_default()
}

fn may_contain_email(bytes: &[u8]) -> bool {
    let sign = |at: usize| email::may_surround(bytes, at);
    each(|from| memchr(b'@', bytes.get(from..)?), sign)
        || each(|from| memchr3(b'%', b'\\', b'&', bytes.get(from..)?), sign)
        || each(|from| memchr(0xef, bytes.get(from..)?), sign)
}

/// Whether `test` holds at one of the places that `next` finds, each relative to where it looks.
fn each(next: impl Fn(usize) -> Option<usize>, test: impl Fn(usize) -> bool) -> bool {
    let mut from = 0;
    while let Some(at) = next(from).map(|skip| from + skip) {
        if test(at) {
            return true;
        }
        from = at + 1;
    }
    false
}

fn may_contain_iban(bytes: &[u8]) -> bool {
    let mut block = 0;
    while block < bytes.len() {
        // Blocks overlap, so that no head is cut.
        let end = bytes.len().min(block + BLOCK_BYTES + 3);
        let part = bytes.get(block..end).unwrap_or_default();
        if has_head(part) && (block..end).any(|at| iban::candidate(bytes, at).is_some()) {
            return true;
        }
        block += BLOCK_BYTES;
    }
    false
}

/// Whether two letters are followed by a digit. Written so that the compiler makes it vectors.
fn has_head(part: &[u8]) -> bool {
    let second = part.get(1..).unwrap_or_default();
    let third = part.get(2..).unwrap_or_default();
    let hits = part.iter().zip(second).zip(third).fold(0_u8, |hits, ((a, b), c)| {
        hits | (letter(*a) & letter(*b) & u8::from(c.wrapping_sub(b'0') < 10 || *c >= 0x80))
    });
    hits != 0
}

fn letter(byte: u8) -> u8 {
    u8::from((byte | 0x20).wrapping_sub(b'a') < 26)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn may_contain(kind: DetectionType, bytes: &[u8]) -> bool {
        Prefilter::new(TypeSet::from_iter([kind])).may_contain(bytes)
    }

    #[test]
    fn the_shortest_values_are_seen_wherever_they_start() {
        for pad in 0..40 {
            let block = |value: &str| [&[1; 40][..pad], value.as_bytes(), &[1; 9]].concat();
            assert!(may_contain(DetectionType::Phone, &block("tel:5550132")), "{pad}");
            assert!(may_contain(DetectionType::UsSsn, &block("123-45-6789")), "{pad}");
            assert!(may_contain(DetectionType::CreditCard, &block("4222222222222")), "{pad}");
        }
        for pad in 240..270 {
            let block = [&[1; 270][..pad], b"NO9386011117947", &[1; 9]].concat();
            assert!(may_contain(DetectionType::Iban, &block), "{pad}");
        }
    }

    #[test]
    fn frames_that_look_like_letters_and_digits_do_not_hide_a_value() {
        assert!(may_contain(DetectionType::UsSsn, b"\0\0\0assn 123456789"));
        assert!(may_contain(DetectionType::UsSsn, b"\0\0\x001123-45-67899"));
        assert!(may_contain(DetectionType::CreditCard, b"\0\0\x00541111111111111119"));
        assert!(may_contain(DetectionType::AwsKey, b"xAKIAIOSFODNN7EXAMPLXy"));
        assert!(may_contain(DetectionType::Phone, b"\0\0\0a+14155550132"));
    }

    #[test]
    fn an_international_number_in_groups_of_any_length_is_seen() {
        let number = b"0022266 0129 00";
        let mut found = Vec::new();
        crate::Scanner::new(TypeSet::from_iter([DetectionType::Phone])).scan(number, &mut found);
        assert_eq!(found.len(), 1);
        assert!(may_contain(DetectionType::Phone, number));
    }

    #[test]
    fn blocks_of_plain_rows_are_a_no() {
        let row = b"\0\0\0\x052.125\0\0\0\x1d2026-11-23 07:22:09.123456+00\0\0\0\x05plain";
        for kind in DetectionType::ALL {
            assert!(!may_contain(kind, &row.repeat(100)), "{kind}");
        }
    }
}
