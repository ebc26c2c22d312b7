//! JSON that can be looked at.
//!
//! RFC 8259 lets a string hold what a terminal obeys or a reader does not see: C1 controls, marks
//! of direction. Written as `\u009b`, they are the same string.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::io::{self, Write};

use model::text::is_unseen;
use serde::Serialize;
use serde_json::ser::{Formatter, Serializer};

/// A JSON text, or a part of a string in one, with escapes for what is not seen. The same text to
/// every reader of JSON.
#[must_use]
pub fn escaped(json: &str) -> Cow<'_, str> {
    // Those of ASCII are escaped already, but for the last, or stand between values.
    let is_left = |c: char| c > '\u{7e}' && is_unseen(c);
    if !json.contains(is_left) {
        return json.into();
    }
    let mut text = String::with_capacity(json.len().saturating_add(16));
    for c in json.chars() {
        if is_left(c) {
            for unit in c.encode_utf16(&mut [0; 2]) {
                // Writing to a string cannot fail.
                let _ = write!(text, "\\u{unit:04x}");
            }
        } else {
            text.push(c);
        }
    }
    text.into()
}

/// Writes a value so, on one line.
pub(crate) fn write(out: &mut dyn Write, value: &impl Serialize) -> Result<(), serde_json::Error> {
    value.serialize(&mut Serializer::with_formatter(out, Escaping))
}

struct Escaping;

impl Formatter for Escaping {
    fn write_string_fragment<W: ?Sized + Write>(
        &mut self,
        writer: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        writer.write_all(escaped(fragment).as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_seen_is_escaped_and_means_the_same() {
        let text = "a\u{1b}\u{7f}\u{9b}31m\u{202e}\u{e0041}\n \"é🙂";
        let mut out = Vec::new();
        write(&mut out, &text).unwrap();
        let written = String::from_utf8(out).unwrap();
        let plain = r#""a\u001b\u007f\u009b31m\u202e\udb40\udc41\n \"é🙂""#;
        assert_eq!(written, plain);
        assert_eq!(serde_json::from_str::<String>(&written).unwrap(), text);
        assert_eq!(escaped(&serde_json::to_string(text).unwrap()), plain);
        assert!(matches!(escaped("{\n \"a\": 1}"), Cow::Borrowed(_)));
    }
}
