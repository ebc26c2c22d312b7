//! The escapes in which requests are written: percent signs and `+` (URLs, forms), backslashes
//! (JSON).

use std::ops::Range;

use detect::Span;

/// A piece of a text: as it is written, and of the same length without escapes, or one escape.
struct Piece {
    /// Where it is in the text.
    from: Range<usize>,
    /// Where it is in the text without escapes.
    to: Range<usize>,
    is_escape: bool,
}

/// The text with one layer of escapes undone; `None` where it has none.
pub(super) fn undone(text: &[u8]) -> Option<Vec<u8>> {
    let mut clear = Vec::new();
    let mut escapes = false;
    pieces(text, &mut |piece, bytes| {
        escapes |= piece.is_escape;
        clear.extend_from_slice(bytes);
    });
    escapes.then_some(clear)
}

/// Moves spans of the text without escapes to where the same is in the text. They are in order and
/// do not overlap.
pub(super) fn place(text: &[u8], spans: &mut [Span]) {
    let mut spans = spans.iter_mut().peekable();
    let mut start = None;
    pieces(text, &mut |piece, _| {
        let Piece { from, to, is_escape } = piece;
        let within = |at: usize| from.start.saturating_add(at.saturating_sub(to.start));
        while let Some(span) = spans.peek_mut() {
            if to.contains(&span.start) && start.is_none() {
                start = Some(if is_escape { from.start } else { within(span.start) });
            }
            if !to.contains(&span.end.saturating_sub(1)) {
                break;
            }
            span.end = if is_escape { from.end } else { within(span.end) };
            span.start = start.take().unwrap_or(span.start);
            spans.next();
        }
    });
}

fn pieces(text: &[u8], each: &mut dyn FnMut(Piece, &[u8])) {
    let (mut at, mut to) = (0, 0);
    let mut show = |from: Range<usize>, bytes: &[u8], is_escape| {
        let end = to + bytes.len();
        if !bytes.is_empty() {
            each(Piece { from, to: to..end, is_escape }, bytes);
        }
        to = end;
    };
    while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
        let plain = memchr::memchr3(b'%', b'+', b'\\', rest).unwrap_or(rest.len());
        let (written, rest) = rest.split_at_checked(plain).unwrap_or((rest, &[]));
        show(at..at + plain, written, false);
        at += plain;
        let mut buffer = [0; 4];
        match escape(rest, &mut buffer) {
            Some((length, bytes)) => {
                show(at..at + length, bytes, true);
                at += length;
            }
            None => {
                let sign = rest.get(..1).unwrap_or_default();
                show(at..at + sign.len(), sign, false);
                at += sign.len();
            }
        }
    }
}

/// The escape that a text begins with: its length, and what it stands for.
fn escape<'a>(text: &[u8], buffer: &'a mut [u8; 4]) -> Option<(usize, &'a [u8])> {
    let (length, letter) = match text {
        [b'+', ..] => (1, ' '),
        [b'%', high, low, ..] => {
            let byte = hex(&[*high, *low])?;
            // A byte, which need not be a character.
            *buffer = [u8::try_from(byte).ok()?, 0, 0, 0];
            return Some((3, buffer.get(..1)?));
        }
        [b'\\', b'u', rest @ ..] => {
            let first = hex(rest.get(..4)?)?;
            match char::from_u32(first) {
                Some(letter) => (6, letter),
                // The first half of a pair.
                None => {
                    let second = rest.get(4..10).filter(|rest| rest.starts_with(b"\\u"));
                    let second = hex(second?.get(2..)?)?;
                    let [high, low] = [first, second].map(u16::try_from);
                    let letter = char::decode_utf16([high.ok()?, low.ok()?]).next()?.ok()?;
                    (12, letter)
                }
            }
        }
        [b'\\', letter, ..] => (
            2,
            match letter {
                b'b' | b'f' | b'n' | b'r' | b't' => ' ',
                b'"' | b'\\' | b'/' => char::from(*letter),
                _ => return None,
            },
        ),
        _ => return None,
    };
    Some((length, letter.encode_utf8(buffer).as_bytes()))
}

fn hex(digits: &[u8]) -> Option<u32> {
    let digit = |value: u32, digit: &u8| Some(value * 16 + char::from(*digit).to_digit(16)?);
    digits.iter().try_fold(0, digit)
}

#[cfg(test)]
mod tests {
    use detect::DetectionType;

    use super::*;

    #[test]
    fn one_layer_is_undone_and_no_more() {
        let undone =
            |text: &str| undone(text.as_bytes()).map(|text| String::from_utf8(text).unwrap());
        for (text, clear) in [
            ("a+b%20c", "a b c"),
            ("%C3%A9", "é"),
            ("%252B", "%2B"),
            ("\\u0034\\u00e9\\ud83d\\ude00\\n\\\"\\/", "4é😀 \"/"),
            ("é%41", "éA"),
        ] {
            assert_eq!(undone(text).as_deref(), Some(clear), "{text}");
        }
        for text in ["", "plain", "100%", "%zz", "%4", "\\u12", "\\ud83d", "\\x"] {
            assert_eq!(undone(text), None, "{text}");
        }
    }

    #[test]
    fn what_is_found_without_escapes_is_placed_where_it_is_written() {
        let text = "é+a%41b\\u0042c%20+d";
        // " aAbBc  d" after the first letter, which has two bytes.
        let mut spans: Vec<Span> = [(3, 5), (5, 7), (7, 9), (10, 11)]
            .map(|(start, end)| Span { start, end, kind: DetectionType::Email })
            .into();
        place(text.as_bytes(), &mut spans);
        let written: Vec<&str> =
            spans.iter().map(|span| text.get(span.start..span.end).unwrap()).collect();
        assert_eq!(written, ["a%41", "b\\u0042", "c%20", "d"]);
    }
}
