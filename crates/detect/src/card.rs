//! Payment card numbers: ISO/IEC 7812 issuer prefixes, lengths and the Luhn digit.

use crate::context::{self, Words};
use crate::number::{DIGITS_MAX, Number};
use crate::text::{Gap, closes, opens};

/// Digits of the shortest and the longest card number.
pub(crate) const DIGITS_MIN: usize = 13;
/// See [`DIGITS_MIN`].
const LONGEST: usize = DIGITS_MAX - 1;

/// First four digits from, to, and the lengths issued there as bits (bit 16 is 16 digits).
/// Sources: ISO/IEC 7812-1 and the card schemes' public BIN tables.
const ISSUERS: &[(u16, u16, u32)] = &[
    (1800, 1800, bits(&[15])),                         // JCB, old
    (2131, 2131, bits(&[15])),                         // JCB, old
    (2200, 2204, bits(&[16, 17, 18, 19])),             // Mir
    (2221, 2720, bits(&[16])),                         // Mastercard
    (3000, 3059, bits(&[14, 16, 19])),                 // Diners Club
    (3095, 3095, bits(&[14, 16, 19])),                 // Diners Club
    (3400, 3499, bits(&[15])),                         // American Express
    (3528, 3589, bits(&[16, 17, 18, 19])),             // JCB
    (3600, 3699, bits(&[14, 16, 19])),                 // Diners Club
    (3700, 3799, bits(&[15])),                         // American Express
    (3800, 3999, bits(&[14, 16, 19])),                 // Diners Club
    (4000, 4999, bits(&[13, 16, 19])),                 // Visa
    (5000, 5099, bits(&[13, 14, 15, 16, 17, 18, 19])), // Maestro, Elo, Verve, RuPay
    (5100, 5599, bits(&[16])),                         // Mastercard
    (5600, 5899, bits(&[13, 14, 15, 16, 17, 18, 19])), // Maestro
    (6000, 6199, bits(&[16, 17, 18, 19])),             // Discover, RuPay, Hipercard
    (6200, 6299, bits(&[16, 17, 18, 19])),             // UnionPay
    (6304, 6304, bits(&[13, 14, 15, 16, 17, 18, 19])), // Maestro
    (6362, 6363, bits(&[16])),                         // Elo
    (6390, 6390, bits(&[13, 14, 15, 16, 17, 18, 19])), // Maestro
    (6440, 6599, bits(&[16, 17, 18, 19])),             // Discover, Verve, RuPay, Elo
    (6700, 6799, bits(&[13, 14, 15, 16, 17, 18, 19])), // Maestro
    (8100, 8299, bits(&[16, 17, 18, 19])),             // UnionPay, RuPay
    (9792, 9792, bits(&[16])),                         // Troy
];

/// For the first two digits of a number, the first of [`ISSUERS`] that can have it.
const BY_HEAD: [u8; 100] = {
    let mut by_head = [0; 100];
    let mut head = 0;
    let mut left: &mut [u8] = &mut by_head;
    while let [slot, more @ ..] = left {
        let mut rest = ISSUERS;
        while let [(_, to, _), tail @ ..] = rest
            && *to < head * 100
        {
            if let [(from, ..), ..] = tail {
                assert!(*from > *to, "in order, and not overlapping");
            }
            *slot += 1;
            rest = tail;
        }
        head += 1;
        left = more;
    }
    by_head
};

const fn bits(lengths: &[u32]) -> u32 {
    let mut set = 0;
    let mut rest = lengths;
    while let [first, tail @ ..] = rest {
        set |= 1 << *first;
        rest = tail;
    }
    set
}

/// The group lengths in which cards are printed and typed.
const SHAPES: &[&[u8]] = &[
    &[4, 4, 4, 4],
    &[4, 4, 4, 4, 3],
    &[4, 6, 5],
    &[4, 6, 4],
    &[4, 4, 4, 3],
    &[4, 4, 4, 2],
    &[4, 4, 4, 1],
    &[4, 4, 5],
    &[8, 8],
    &[6, 10],
    &[6, 13],
];

/// Whether these digits are a card number: issuer, length and Luhn digit agree.
pub(crate) fn is_card(digits: &[u8]) -> bool {
    let length = digits.len();
    length <= LONGEST
        && lengths_issued(digits) & 1 << length != 0
        && luhn(digits)
        && !all_alike(digits)
}

/// The lengths issued under the prefix of these digits, as bits.
fn lengths_issued(digits: &[u8]) -> u32 {
    let Some(head) = digits.first_chunk::<4>() else { return 0 };
    let head = head.iter().fold(0_u16, |value, digit| value * 10 + u16::from(*digit));
    let first = BY_HEAD.get(usize::from(head / 100)).copied().unwrap_or_default();
    let issuers = ISSUERS.get(usize::from(first)..).unwrap_or_default();
    let issuer =
        issuers.iter().take_while(|(from, ..)| *from <= head).find(|(_, to, _)| head <= *to);
    issuer.map_or(0, |(.., lengths)| *lengths)
}

/// The check of ISO/IEC 7812-1, annex B.
fn luhn(digits: &[u8]) -> bool {
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(place, digit)| match (place % 2, *digit) {
            (0, digit) => u32::from(digit),
            (_, digit @ 0..=4) => u32::from(digit) * 2,
            (_, digit) => u32::from(digit) * 2 - 9,
        })
        .sum();
    sum.is_multiple_of(10)
}

fn all_alike(digits: &[u8]) -> bool {
    digits.windows(2).all(|pair| pair.first() == pair.last())
}

/// Whether a card number can start with the first of these digits, whatever surrounds it.
pub(crate) fn starts_card(digits: &[u8]) -> bool {
    digits.len() >= DIGITS_MIN
        && lengths_issued(digits) != 0
        && (DIGITS_MIN..=LONGEST).any(|length| digits.get(..length).is_some_and(is_card))
}

/// How many digits of `number`, which starts a group of digits, are a card number.
///
/// `before` is what separates it from earlier digits of the same run, if there are any.
pub(crate) fn recognise(text: &[u8], number: &Number, before: Option<Gap>) -> Option<usize> {
    if number.len() < DIGITS_MIN {
        return None;
    }
    let start = number.start(0);
    if before == Some(Gap::Dot) || !(opens(text, start) || context::ends(text, start, Words::Card))
    {
        return None;
    }
    let groups = number.groups();
    let lengths = groups.lengths();
    let first = lengths.first().copied().map_or(0, usize::from);
    if first >= DIGITS_MIN {
        return accept(text, number, first).filter(|_| number.gap_after(first) != Some(Gap::Dot));
    }
    // Digits on both sides of one full stop are a fraction.
    if number.gap_after(first) == Some(Gap::Dot) && lengths.len() < 4 {
        return None;
    }
    let shaped = SHAPES.iter().rev().find_map(|shape| {
        let count = shape.iter().copied().map(usize::from).sum();
        let gap = number.gap_after(first);
        let alike = lengths.starts_with(shape) && alike(number, shape, gap);
        // A dash before or after, like those within, makes it part of something longer.
        let whole = gap == Some(Gap::Space) || (before != gap && number.gap_after(count) != gap);
        (alike && whole).then(|| accept(text, number, count)).flatten()
    });
    shaped.or_else(|| spelled_out(text, number, lengths, before))
}

fn accept(text: &[u8], number: &Number, count: usize) -> Option<usize> {
    let ends = match number.gap_after(count) {
        Some(gap) => gap != Gap::None,
        None => closes(text, number.end(count)),
    };
    (ends && number.digits().get(..count).is_some_and(is_card)).then_some(count)
}

fn alike(number: &Number, shape: &[u8], gap: Option<Gap>) -> bool {
    let mut count = 0;
    let inner = shape.len().saturating_sub(1);
    shape.iter().take(inner).all(|length| {
        count += usize::from(*length);
        number.gap_after(count) == gap
    })
}

/// A whole run of digits in groups of any one size, as in `4 1 1 1 …` or `411 111 …`.
fn spelled_out(text: &[u8], number: &Number, lengths: &[u8], before: Option<Gap>) -> Option<usize> {
    let (last, rest) = lengths.split_last()?;
    let size = rest.first()?;
    let regular = rest.iter().all(|length| length == size) && last <= size;
    let mixed = rest.len() >= 2 && rest.iter().all(|length| *length >= 3);
    let gap = number.gap_after(usize::from(*size));
    let count = number.len();
    ((regular || mixed) && before.is_none() && alike(number, lengths, gap))
        .then(|| accept(text, number, count))
        .flatten()
        .filter(|_| !number.is_cut())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Option<&str> {
        let at = text.find(|c: char| c.is_numeric())?;
        let number = Number::at(text.as_bytes(), at);
        let count = recognise(text.as_bytes(), &number, None)?;
        text.get(at..number.end(count))
    }

    #[test]
    fn valid_cards_of_every_scheme_are_found_however_they_are_written() {
        // Test numbers that the schemes and payment providers publish.
        for card in [
            "4111111111111111",
            "4111 1111 1111 1111",
            "4111-1111-1111-1111",
            "4012888888881881",
            "4222222222222",
            "5555555555554444",
            "5105105105105100",
            "2223003122003222",
            "2720990000000015",
            "378282246310005",
            "3782 822463 10005",
            "371449635398431",
            "6011111111111117",
            "6011000990139424",
            "30569309025904",
            "3056 930902 5904",
            "38520000023237",
            "3530111333300000",
            "3566002020360505",
            "6200000000000005",
            "6759649826438453",
            "5019717010103742",
            "2200770239097761",
            "4000000000000000006",
            "4 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1",
            "41 11 11 11 11 11 11 11",
            "41111111 11111111",
            "４１１１１１１１１１１１１１１１",
            "4111\u{200b}111111111111",
            "4111.1111.1111.1111",
            "4111\u{a0}1111\u{a0}1111\u{a0}1111",
            "4111–1111–1111–1111",
        ] {
            assert_eq!(found(card), Some(card));
            assert_eq!(found(&format!("card: {card}, thanks")), Some(card));
        }
    }

    #[test]
    fn what_is_not_a_card_is_left_alone() {
        for text in [
            "4111111111111112",     // Luhn digit wrong
            "411111111111",         // too short
            "41111111111111111111", // too long
            "1111111111111117",     // no such issuer
            "20240503120003123",    // a point in time
            "1700000000000000",     // microseconds
            "0000000000000000",     // Luhn holds, nothing else does
            "4444444444444448x",    // runs into a word
            "0.4111111111111111",   // a fraction
            "4111111111111111.5",   // an amount
            "389.8088070211341",    // fractions
            "411111111.1111111",
            "41111111.11111111",
            "4111-1111-1111-1111-1111", // something longer
            "550e8400e29b41d4a716446655440000",
            "4111 1111 1111 1112",
        ] {
            assert_eq!(found(text), None, "{text}");
        }
        assert_eq!(found("x4111111111111111"), None);
        assert_eq!(found("card4111111111111111"), Some("4111111111111111"));
    }

    #[test]
    fn every_wrong_check_digit_is_refused() {
        for digit in 0..=9_u8 {
            let mut card = [4, 0, 1, 2, 8, 8, 8, 8, 8, 8, 8, 8, 1, 8, 8, 1];
            card[15] = digit;
            assert_eq!(is_card(&card), digit == 1);
        }
    }
}
