//! United States social security numbers (Social Security Administration, POMS RM 10201.035).

use crate::context::{self, Words};
use crate::number::Number;
use crate::prefilter::grouped;
use crate::text::{Gap, closes, opens};

/// Digits of a social security number.
pub(crate) const DIGITS: usize = 9;

/// Numbers printed in advertisements and therefore never issued to anyone.
const KNOWN_FAKES: [(u32, u32, u32); 2] = [(78, 5, 1120), (219, 9, 9999)];

/// Whether area, group and serial are ones that can be issued.
fn is_issuable(area: u32, group: u32, serial: u32) -> bool {
    !matches!(area, 0 | 666 | 900..)
        && group != 0
        && serial != 0
        && !KNOWN_FAKES.contains(&(area, group, serial))
}

fn is_issuable_from(number: &Number, from: usize) -> bool {
    is_issuable(number.value(from, 3), number.value(from + 3, 2), number.value(from + 5, 4))
}

/// Whether one that needs no word may start at digit `from`, whatever surrounds it.
pub(crate) fn may_start(number: &Number, from: usize) -> bool {
    grouped(number, from, &[3, 2, 4]) && is_issuable_from(number, from)
}

/// How many digits of `number`, which starts a group of digits, are a social security number.
///
/// `before` is what separates it from earlier digits of the same run, if there are any.
pub(crate) fn recognise(text: &[u8], number: &Number, before: Option<Gap>) -> Option<usize> {
    if number.len() < DIGITS || !is_issuable_from(number, 0) {
        return None;
    }
    let start = number.start(0);
    let after = number.gap_after(DIGITS);
    let ends = after != Some(Gap::None) && (after.is_some() || closes(text, number.end(DIGITS)));
    if !ends || !(opens(text, start) || context::ends(text, start, Words::Ssn)) {
        return None;
    }
    let proved = match shape(number) {
        // The usual form; part of something longer when the dashes go on.
        Shape::Grouped(Gap::Dash) => before != Some(Gap::Dash) && after != Some(Gap::Dash),
        // Three numbers in a row look the same, unless they are all there is.
        Shape::Grouped(Gap::Space) => before.is_none() && after.is_none(),
        _ => false,
    };
    let told = || match shape(number) {
        Shape::Grouped(_) => context::before(text, start, Words::Ssn),
        Shape::Bare | Shape::SpelledOut => {
            before != Some(Gap::Dot)
                && after != Some(Gap::Dot)
                && !context::continues_token(text, start, Words::Ssn)
                && context::before(text, start, Words::Ssn)
        }
        Shape::Other => false,
    };
    (proved || told()).then_some(DIGITS)
}

enum Shape {
    /// Three, two, four.
    Grouped(Gap),
    /// Nine in a row.
    Bare,
    /// One by one.
    SpelledOut,
    Other,
}

fn shape(number: &Number) -> Shape {
    let groups = number.groups();
    let lengths = groups.lengths();
    match lengths {
        [3, 2, 4, ..] if number.gap_after(3) == number.gap_after(5) => {
            Shape::Grouped(number.gap_after(3).unwrap_or(Gap::Other))
        }
        [3, 2, 4, ..] => Shape::Grouped(Gap::Other),
        [9, ..] => Shape::Bare,
        _ if lengths.get(..DIGITS).is_some_and(|nine| nine.iter().all(|length| *length == 1)) => {
            Shape::SpelledOut
        }
        _ => Shape::Other,
    }
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
    fn issued_numbers_with_separators_are_found() {
        for ssn in [
            "123-45-6789",
            "001-01-0001",
            "665-99-9999",
            "667-12-3456",
            "899-99-9999",
            "794 17 1597",
            "370-\u{200b}15-7567",
            "123‑45‑6789",
            "１２３-４５-６７８９",
        ] {
            assert_eq!(found(ssn), Some(ssn));
            assert_eq!(found(&format!("it is {ssn}.")), Some(ssn));
        }
        assert_eq!(found("ssn123-45-6789"), Some("123-45-6789"));
    }

    #[test]
    fn numbers_never_issued_are_left_alone_even_when_called_ssn() {
        for text in [
            "000-12-3456",
            "666-12-3456",
            "900-12-3456",
            "999-99-9999",
            "123-00-4567",
            "123-45-0000",
            "078-05-1120",
            "219-09-9999",
            "123-45-67890",
            "1123-45-6789",
            "123-456-789",
            "12-345-6789",
            "123-45-678",
            "123-45-6789b",
        ] {
            assert_eq!(found(text), None, "{text}");
            assert_eq!(found(&format!("ssn {text}")), None, "{text}");
        }
    }

    #[test]
    fn parts_of_something_longer_are_left_alone() {
        for text in ["123-45-6789-1", "a123-45-6789", "123.45.6789", "123 45 6789 10"] {
            assert_eq!(found(text), None, "{text}");
        }
    }

    #[test]
    fn nine_bare_digits_need_a_word_that_says_what_they_are() {
        assert_eq!(found("123456789"), None);
        assert_eq!(found("order 123456789"), None);
        assert_eq!(found("ssn 123456789"), Some("123456789"));
        assert_eq!(found("{\"ssn\":123456789}"), Some("123456789"));
        assert_eq!(found("Social Security number: 123456789"), Some("123456789"));
        assert_eq!(found("ssn 123.45.6789"), Some("123.45.6789"));
        assert_eq!(found("ssn 1 2 3 4 5 6 7 8 9"), Some("1 2 3 4 5 6 7 8 9"));
        assert_eq!(found("ssn 1234567890"), None);
    }
}
