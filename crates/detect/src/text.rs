//! Reading text byte by byte: what a digit, a separator and an invisible character look like.
//!
//! Text is taken as UTF-8, but nothing here fails on bytes that are not.

/// What stands between two digits of a number.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Gap {
    /// Nothing that can be seen.
    None,
    /// One space, of whatever width.
    Space,
    /// One hyphen or dash.
    Dash,
    /// One full stop.
    Dot,
    /// A slash, parenthesis or underscore, or several separators.
    Other,
}

/// What stands at one place of a text.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Unit {
    /// A decimal digit, by value.
    Digit(u8),
    /// Something that people and programs put between the digits of one number.
    Separator(Gap),
    /// Something that a reader does not see: a zero-width character, a terminal colour.
    Invisible,
    /// Anything else, and the end.
    Other,
}

/// Longest terminal sequence that is taken as invisible, bytes.
const ESCAPE_BYTES_MAX: usize = 16;

/// The unit at `at` and its length in bytes; [`Unit::Other`] has length 1.
#[inline]
pub(crate) fn unit_at(text: &[u8], at: usize) -> (Unit, usize) {
    let Some(&byte) = text.get(at) else { return (Unit::Other, 1) };
    match byte {
        b'0'..=b'9' => (Unit::Digit(byte - b'0'), 1),
        b' ' => (Unit::Separator(Gap::Space), 1),
        b'-' => (Unit::Separator(Gap::Dash), 1),
        b'.' => (Unit::Separator(Gap::Dot), 1),
        b'(' | b')' | b'/' | b'_' => (Unit::Separator(Gap::Other), 1),
        0x1b => escape_at(text, at),
        0x80.. => wide_unit_at(text, at, byte),
        _ => (Unit::Other, 1),
    }
}

fn wide_unit_at(text: &[u8], at: usize, lead: u8) -> (Unit, usize) {
    let second = text.get(at + 1).copied().unwrap_or(0);
    let third = text.get(at + 2).copied().unwrap_or(0);
    match (lead, second, third) {
        // U+00A0 no-break space, U+00AD soft hyphen.
        (0xc2, 0xa0, _) => (Unit::Separator(Gap::Space), 2),
        (0xc2, 0xad, _) => (Unit::Invisible, 2),
        // U+FF10..U+FF19 full-width digits.
        (0xef, 0xbc, 0x90..=0x99) => (Unit::Digit(third - 0x90), 3),
        (0xef, 0xbc, 0x8d) => (Unit::Separator(Gap::Dash), 3),
        (0xef, 0xbc, 0x8e) => (Unit::Separator(Gap::Dot), 3),
        (0xef, 0xbc, 0x88 | 0x89 | 0x8f) => (Unit::Separator(Gap::Other), 3),
        // U+FEFF zero-width no-break space, U+200B..U+200F, U+2060..U+2064.
        (0xef, 0xbb, 0xbf) | (0xe2, 0x80, 0x8b..=0x8f) | (0xe2, 0x81, 0xa0..=0xa4) => {
            (Unit::Invisible, 3)
        }
        // U+2000..U+200A, U+202F, U+3000: spaces.
        (0xe2, 0x80, 0x80..=0x8a | 0xaf) | (0xe3, 0x80, 0x80) => (Unit::Separator(Gap::Space), 3),
        // U+2010..U+2015 hyphens and dashes, U+2212 minus.
        (0xe2, 0x80, 0x90..=0x95) | (0xe2, 0x88, 0x92) => (Unit::Separator(Gap::Dash), 3),
        _ => (Unit::Other, 1),
    }
}

/// A terminal's "select graphic rendition": ESC `[`, digits and semicolons, `m` (ECMA-48, 8.3.117).
fn escape_at(text: &[u8], at: usize) -> (Unit, usize) {
    let rest = text.get(at + 1..text.len().min(at + ESCAPE_BYTES_MAX)).unwrap_or_default();
    let Some((b'[', body)) = rest.split_first() else { return (Unit::Other, 1) };
    let length = body.iter().take_while(|byte| matches!(byte, b'0'..=b'9' | b';')).count();
    if body.get(length) == Some(&b'm') { (Unit::Invisible, length + 3) } else { (Unit::Other, 1) }
}

/// Whether a value may start at `at`: no letter or digit stands right before it.
///
/// The letter of an escape (`\n` written out, as in JSON) is not part of the value's surroundings.
pub(crate) fn opens(text: &[u8], at: usize) -> bool {
    let Some(before) = at.checked_sub(1).and_then(|i| text.get(i)) else { return true };
    if !before.is_ascii_alphanumeric() {
        return true;
    }
    let escape = at.checked_sub(2).and_then(|i| text.get(i)) == Some(&b'\\');
    (escape && matches!(before, b'b' | b'f' | b'n' | b'r' | b't')) || ends_colour(text, at)
}

/// Whether a value may end before `at`: no letter or digit follows.
pub(crate) fn closes(text: &[u8], at: usize) -> bool {
    !text.get(at).is_some_and(u8::is_ascii_alphanumeric)
}

/// Whether the bytes before `at` are a terminal colour, whose last byte is a letter.
fn ends_colour(text: &[u8], at: usize) -> bool {
    let from = at.saturating_sub(ESCAPE_BYTES_MAX);
    let before = text.get(from..at).unwrap_or_default();
    let Some(escape) = before.iter().rposition(|byte| *byte == 0x1b) else { return false };
    escape_at(text, from + escape) == (Unit::Invisible, at - from - escape)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_of_every_width_have_their_value() {
        assert_eq!(unit_at(b"7", 0), (Unit::Digit(7), 1));
        assert_eq!(unit_at("７".as_bytes(), 0), (Unit::Digit(7), 3));
        assert_eq!(unit_at("あ".as_bytes(), 0), (Unit::Other, 1));
        assert_eq!(unit_at(b"", 0), (Unit::Other, 1));
    }

    #[test]
    fn cut_sequences_are_nothing() {
        for cut in [&b"\xef"[..], b"\xef\xbc", b"\xe2\x80", b"\xc2", b"\x1b", b"\x1b[", b"\x1b[1;"]
        {
            assert_eq!(unit_at(cut, 0), (Unit::Other, 1), "{cut:?}");
        }
    }

    #[test]
    fn colours_and_zero_width_characters_are_invisible() {
        assert_eq!(unit_at(b"\x1b[1;31m4", 0), (Unit::Invisible, 7));
        assert_eq!(unit_at("\u{200b}".as_bytes(), 0), (Unit::Invisible, 3));
        assert_eq!(unit_at("\u{feff}".as_bytes(), 0), (Unit::Invisible, 3));
        assert_eq!(unit_at("\u{ad}".as_bytes(), 0), (Unit::Invisible, 2));
    }

    #[test]
    fn a_value_opens_after_anything_but_a_letter_or_digit() {
        assert!(opens(b"4", 0) && opens(b" 4", 1) && opens(b"\\n4", 2) && opens(b"\x1b[1m4", 4));
        assert!(!opens(b"n4", 1) && !opens(b"44", 1) && !opens(b"\\x4", 2) && !opens(b"[1m4", 3));
        assert!(closes(b"4", 1) && closes(b"4 ", 1) && !closes(b"4a", 1));
    }
}
