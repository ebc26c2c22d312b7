//! Telephone numbers: international form (ITU-T E.164) and national forms that are unmistakable.

use crate::context::{self, Words};
use crate::number::Number;
use crate::text::{Gap, closes, opens};

/// Fewest digits of an international number, country code included, that is taken for one.
const DIGITS_MIN: usize = 8;
/// Most digits of an international number (E.164, 6.2.1).
const DIGITS_MAX: usize = 15;
/// Fewest digits of a number that only a word nearby calls a telephone number.
const TOLD_DIGITS_MIN: usize = 7;

/// Country codes of one and two digits and how many digits follow, at least and at most.
/// Source: ITU-T E.164 assigned country codes, and the national numbering plans published there.
const COUNTRIES: &[(u32, usize, usize)] = &[
    (1, 10, 10),
    (7, 10, 10),
    (20, 8, 10),
    (27, 9, 9),
    (30, 10, 10),
    (31, 9, 9),
    (32, 8, 9),
    (33, 9, 9),
    (34, 9, 9),
    (36, 8, 9),
    (39, 6, 11),
    (40, 9, 9),
    (41, 9, 9),
    (43, 6, 13),
    (44, 9, 10),
    (45, 8, 8),
    (46, 7, 10),
    (47, 8, 8),
    (48, 9, 9),
    (49, 6, 12),
    (51, 8, 9),
    (52, 10, 11),
    (53, 6, 8),
    (54, 10, 11),
    (55, 10, 11),
    (56, 9, 9),
    (57, 8, 10),
    (58, 10, 10),
    (60, 7, 10),
    (61, 9, 9),
    (62, 7, 12),
    (63, 8, 10),
    (64, 8, 10),
    (65, 8, 8),
    (66, 8, 9),
    (81, 9, 10),
    (82, 8, 10),
    (84, 9, 10),
    (86, 9, 11),
    (90, 10, 10),
    (91, 10, 10),
    (92, 9, 10),
    (93, 9, 9),
    (94, 9, 9),
    (95, 7, 10),
    (98, 10, 10),
];

/// Country codes of three digits, from and to. Source: as above.
const LONG_CODES: &[(u32, u32)] = &[
    (211, 213),
    (216, 216),
    (218, 218),
    (220, 258),
    (260, 269),
    (290, 291),
    (297, 299),
    (350, 359),
    (370, 383),
    (385, 387),
    (389, 389),
    (420, 421),
    (423, 423),
    (500, 509),
    (590, 599),
    (670, 670),
    (672, 692),
    (800, 800),
    (808, 808),
    (850, 850),
    (852, 853),
    (855, 856),
    (870, 870),
    (878, 878),
    (880, 883),
    (886, 886),
    (888, 888),
    (960, 968),
    (970, 977),
    (979, 979),
    (992, 996),
    (998, 998),
];

/// A number that was recognised: where it starts, in bytes, and how many digits it has.
pub(crate) struct Found {
    pub(crate) start: usize,
    pub(crate) count: usize,
}

/// The telephone number that starts with `number`, which starts a group of digits.
///
/// `before` is what separates it from earlier digits of the same run, if there are any.
pub(crate) fn recognise(text: &[u8], number: &Number, before: Option<Gap>) -> Option<Found> {
    if number.len() < TOLD_DIGITS_MIN {
        return None;
    }
    let start = number.start(0);
    if let Some(plus) = plus_before(text, start) {
        let count = international(text, number, 0)?;
        return opens(text, plus).then_some(Found { start: plus, count });
    }
    if !opens(text, start) && !context::ends(text, start, Words::Phone) {
        return None;
    }
    let start = if paren_before(text, start) { start - 1 } else { start };
    let count = if before.is_none() || !matches!(before, Some(Gap::Dash | Gap::Dot)) {
        north_american(text, number, before)
            .or_else(|| with_trunk_prefix(text, number, before))
            .or_else(|| with_international_prefix(text, number, before))
            .or_else(|| told(text, number, before))
    } else {
        None
    };
    count.map(|count| Found { start, count })
}

/// The place of a `+` right before `at`, be it ASCII or full-width.
fn plus_before(text: &[u8], at: usize) -> Option<usize> {
    let head = text.get(..at)?;
    let at = if head.ends_with(b"(") { at - 1 } else { at };
    let head = text.get(..at)?;
    if head.ends_with(b"+") {
        Some(at - 1)
    } else {
        head.ends_with("＋".as_bytes()).then(|| at - "＋".len())
    }
}

/// Whether a `+` stands before enough digits. There is none within a number: it would end there.
pub(crate) fn follows_plus(text: &[u8], number: &Number) -> bool {
    number.len() >= DIGITS_MIN && plus_before(text, number.start(0)).is_some()
}

/// Whether a national number, or one after `00`, may start at digit `from`, whatever surrounds it.
pub(crate) fn may_start(number: &Number, from: usize) -> bool {
    let rest = number.digits().get(from..).unwrap_or_default();
    let split = |mut places: std::ops::Range<usize>| {
        places.any(|at| number.gap_after(at).is_some_and(|g| g != Gap::None))
    };
    match rest {
        // After `00` the groups may be of any length.
        [0, 0, 1..=9, ..] if rest.len() >= 11 => split(from + 1..number.len()),
        [0, ..] if rest.len() >= 10 => split(from + 2..from + 6),
        _ => crate::prefilter::grouped(number, from, &[3, 3, 4]) && is_north_american(number, from),
    }
}

fn paren_before(text: &[u8], at: usize) -> bool {
    at.checked_sub(1).and_then(|i| text.get(i)) == Some(&b'(')
}

/// Digits of the national part after a country code that starts at digit `from`: the code's own
/// length, then at least and at most how many.
fn country(number: &Number, from: usize) -> Option<(usize, usize, usize)> {
    let short = |digits| {
        let code = number.value(from, digits);
        COUNTRIES
            .iter()
            .find(|(country, ..)| *country == code)
            .map(|(_, min, max)| (digits, *min, *max))
    };
    let code = number.value(from, 3);
    let long = || LONG_CODES.iter().any(|(low, high)| (*low..=*high).contains(&code));
    short(1).or_else(|| short(2)).or_else(|| long().then_some((3, 5, 12)))
}

/// How many digits an international number has whose country code starts at digit `from`.
fn international(text: &[u8], number: &Number, from: usize) -> Option<usize> {
    let (code, min, max) = country(number, from)?;
    // The trunk zero, as in `+44 (0)20 …`, is written by many and dialled by nobody.
    let zero = usize::from(number.digits().get(from + code) == Some(&0) && code != 1);
    if code == 1 && number.value(from, 1) == 1 && !is_north_american(number, from + 1) {
        return None;
    }
    let least = (from + code + min).max(from + DIGITS_MIN);
    let most = (from + code + max + zero).min(from + DIGITS_MAX + zero);
    (least..=most).rev().find(|count| ends(text, number, *count))
}

fn ends(text: &[u8], number: &Number, count: usize) -> bool {
    match number.gap_after(count) {
        Some(gap) => gap != Gap::None,
        None => count == number.len() && !number.is_cut() && closes(text, number.end(count)),
    }
}

/// Area code and exchange of the North American plan: neither starts with 0 or 1, neither is a
/// service code (`N11`).
fn is_north_american(number: &Number, from: usize) -> bool {
    [from, from + 3].into_iter().all(|at| {
        let code = number.value(at, 3);
        (200..=999).contains(&code) && (code % 100 != 11 || at != from)
    })
}

/// `(212) 555-0123`, `212-555-0123`, `212.555.0123`, `1-212-555-0123`.
fn north_american(text: &[u8], number: &Number, before: Option<Gap>) -> Option<usize> {
    let groups = number.groups();
    let (from, lengths) = match groups.lengths() {
        [1, rest @ ..] if number.value(0, 1) == 1 => (1, rest),
        lengths => (0, lengths),
    };
    let [3, 3, 4, ..] = lengths else { return None };
    let (first, second) = (number.gap_after(from + 3)?, number.gap_after(from + 6)?);
    let count = from + 10;
    let after = number.gap_after(count);
    let whole = before.is_none() && after.is_none();
    let shaped = match (first, second) {
        (Gap::Dash, Gap::Dash) => after != Some(Gap::Dash),
        (Gap::Dot, Gap::Dot) => after != Some(Gap::Dot),
        (Gap::Other, Gap::Dash | Gap::Dot | Gap::Space) => {
            paren_before(text, number.start(from)) || whole
        }
        (Gap::Space, Gap::Dash) => true,
        (Gap::Space, Gap::Space) => whole,
        _ => false,
    };
    (shaped && is_north_american(number, from) && ends(text, number, count)).then_some(count)
}

/// `020 7946 0958`, `06 12 34 56 78`, `030/1234567`: a trunk zero and groups, and nothing else.
fn with_trunk_prefix(text: &[u8], number: &Number, before: Option<Gap>) -> Option<usize> {
    let count = number.len();
    if before.is_some() || !(10..=12).contains(&count) || !ends(text, number, count) {
        return None;
    }
    let &[0, 1..=9, ..] = number.digits() else { return None };
    let groups = number.groups();
    let lengths = groups.lengths();
    let (first, rest) = lengths.split_first()?;
    let mut place = usize::from(*first);
    let head = number.gap_after(place);
    let mut gaps = rest.iter().map(|length| {
        let gap = number.gap_after(place);
        place += usize::from(*length);
        gap
    });
    let split = match (first, head) {
        (2, Some(Gap::Space | Gap::Dot)) => {
            count == 10
                && rest.len() == 4
                && rest.iter().all(|length| *length == 2)
                && gaps.all(|gap| gap == head)
        }
        (2, Some(Gap::Other)) => {
            paren_before(text, number.start(0)) && rest.iter().all(|length| *length >= 3)
        }
        (3..=5, Some(Gap::Space | Gap::Other)) => {
            rest.len() <= 3
                && rest.iter().all(|length| *length >= 2)
                && gaps.skip(1).all(|gap| matches!(gap, Some(Gap::Space | Gap::Dash)))
        }
        _ => false,
    };
    split.then_some(count)
}

/// `0044 20 7946 0958`: the international prefix `00` and groups.
fn with_international_prefix(text: &[u8], number: &Number, before: Option<Gap>) -> Option<usize> {
    let &[0, 0, 1..=9, ..] = number.digits() else { return None };
    if before.is_some() || number.groups().lengths().len() < 3 {
        return None;
    }
    international(text, number, 2).filter(|count| *count == number.len() && *count >= 11)
}

/// Any number of the right length, after a word that says what it is.
fn told(text: &[u8], number: &Number, before: Option<Gap>) -> Option<usize> {
    let start = number.start(0);
    if before.is_some_and(|gap| gap != Gap::Space)
        || context::continues_token(text, start, Words::Phone)
    {
        return None;
    }
    let count = (TOLD_DIGITS_MIN..=DIGITS_MAX).rev().find(|count| ends(text, number, *count))?;
    // Versions and amounts have groups of one digit; telephone numbers at most in front.
    let mut digits = 0;
    let groups = number.groups();
    let grouped = groups.lengths().iter().all(|length| {
        digits += usize::from(*length);
        *length > 1 || digits == 1 || digits > count
    });
    (grouped && context::before(text, start, Words::Phone)).then_some(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Option<&str> {
        let at = text.find(|c: char| c.is_numeric())?;
        let number = Number::at(text.as_bytes(), at);
        let phone = recognise(text.as_bytes(), &number, None)?;
        text.get(phone.start..number.end(phone.count))
    }

    #[test]
    fn international_numbers_are_found_whole() {
        for phone in [
            "+14155550132",
            "+1 415 555 0132",
            "+1 (415) 555-0132",
            "+44 20 7946 0958",
            "+44 (0)20 7946 0958",
            "+49 30 901820",
            "+33 6 12 34 56 78",
            "+39 347 1234567",
            "+55 11 91234-5678",
            "+81-90-1234-5678",
            "+61 412 345 678",
            "+91 98765 43210",
            "+353 1 234 5678",
            "+34612345678",
            "+971 50 123 4567",
            "0044 20 7946 0958",
        ] {
            assert_eq!(found(phone), Some(phone));
            assert_eq!(found(&format!("ring {phone}, please")), Some(phone));
        }
    }

    #[test]
    fn unmistakable_national_numbers_are_found() {
        for phone in [
            "(415) 555-0132",
            "(415)555-0132",
            "415-555-0132",
            "415.555.0132",
            "1-415-555-0132",
            "415 555 0132",
            "020 7946 0958",
            "07700 900123",
            "06 12 34 56 78",
            "06.12.34.56.78",
            "030/1234567",
            "(02) 9876 5432",
        ] {
            assert_eq!(found(phone), Some(phone));
            assert_eq!(found(&format!("ring {phone}, please")), Some(phone));
        }
    }

    #[test]
    fn what_is_not_shaped_like_a_telephone_number_is_left_alone() {
        for text in [
            "4155550132",
            "+1 2 3",
            "+12345",
            "+1 115 555 0132",
            "+999 123 456 789",
            "+0 123456789",
            "939-505-465",
            "115-555-0132",
            "415-155-0132",
            "411-555-0132",
            "2024-05-03",
            "05-03-2024",
            "192.168.100.200",
            "1.415.555.01324",
            "415-555-0132-7",
            "a+14155550132",
            "07700900123",
            "01-02-03-04-05",
            "123456789012345",
            "555-0132",
            "20240503 120000",
        ] {
            assert_eq!(found(text), None, "{text}");
        }
    }

    #[test]
    fn a_word_before_it_makes_any_number_of_the_right_length_one() {
        assert_eq!(found("phone: 4155550132"), Some("4155550132"));
        assert_eq!(found("Tel. 555 0132"), Some("555 0132"));
        assert_eq!(found("{\"mobile\":\"07700900123\"}"), Some("07700900123"));
        assert_eq!(found("hotel 4155550132"), None);
        assert_eq!(found("phone 12"), None);
        assert_eq!(found("tel-5550132"), Some("5550132"));
        assert_eq!(found("mobile BUILD-555-1234"), None);
        assert_eq!(found("Mobile Safari/6534.14.6"), None);
        assert_eq!(found("mobile 6534.14.6"), None);
    }
}
