//! Tokens of JSON: where they end, whether they are valid, what they say.

use std::borrow::Cow;

/// Fewest bytes of a number in which anything is looked for.
pub(super) const NUMBER_BYTES_MIN: usize = 7;

/// Bytes of a string before the first that ends it, escapes, or may not stand there.
pub(super) fn plain(bytes: &[u8]) -> usize {
    let (words, rest) = bytes.as_chunks::<8>();
    for (index, word) in words.iter().enumerate() {
        let stops = stops(u64::from_le_bytes(*word));
        if stops != 0 {
            // The lowest bit is exact: a byte is only mistaken for a stop above a true one.
            return index * 8 + usize::try_from(stops.trailing_zeros() / 8).unwrap_or(0);
        }
    }
    let stops = |byte: &u8| *byte == b'"' || *byte == b'\\' || *byte < 0x20;
    words.len() * 8 + rest.iter().position(stops).unwrap_or(rest.len())
}

/// The high bit of each of eight bytes that a string is not made of.
fn stops(word: u64) -> u64 {
    const ONES: u64 = u64::from_le_bytes([1; 8]);
    const HIGH: u64 = u64::from_le_bytes([0x80; 8]);
    let below = |word: u64, limit: u64| word.wrapping_sub(ONES.wrapping_mul(limit)) & !word;
    let is = |byte: u8| below(word ^ ONES.wrapping_mul(u64::from(byte)), 1);
    (below(word, 0x20) | is(b'"') | is(b'\\')) & HIGH
}

/// The state after a byte of an escape; [`None`] when it may not stand there.
pub(super) fn escape(state: u8, byte: u8) -> Option<u8> {
    match (state, byte) {
        (1, b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => Some(0),
        (1, b'u') => Some(2),
        (2..=4, byte) if byte.is_ascii_hexdigit() => Some(state + 1),
        (5, byte) if byte.is_ascii_hexdigit() => Some(0),
        _ => None,
    }
}

/// Whether a byte can stand in a number or a name.
pub(super) fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'+' | b'.')
}

/// Whether it is one of the three names.
pub(super) fn is_name(token: &[u8]) -> bool {
    matches!(token, b"true" | b"false" | b"null")
}

/// Whether it is a number (RFC 8259, 6).
pub(super) fn is_number(token: &[u8]) -> bool {
    let token = token.strip_prefix(b"-").unwrap_or(token);
    let digits = |text: &[u8]| text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let whole = digits(token);
    if whole == 0 || whole > 1 && token.first() == Some(&b'0') {
        return false;
    }
    let mut rest = token.get(whole..).unwrap_or_default();
    if let Some(fraction) = rest.strip_prefix(b".") {
        let length = digits(fraction);
        rest = fraction.get(length..).unwrap_or_default();
        if length == 0 {
            return false;
        }
    }
    let [b'e' | b'E', exponent @ ..] = rest else { return rest.is_empty() };
    let exponent = exponent.strip_prefix(b"+").or(exponent.strip_prefix(b"-")).unwrap_or(exponent);
    !exponent.is_empty() && digits(exponent) == exponent.len()
}

/// One text for all the ways to write a whole number; other numbers stay as they are written.
pub(super) fn canonical(token: &[u8]) -> String {
    const EXACT_MAX: f64 = 9_007_199_254_740_992.0;
    let text = String::from_utf8_lossy(token);
    if text.parse::<u64>().is_ok() || text.parse::<i64>().is_ok_and(|number| number != 0) {
        return text.into_owned();
    }
    match text.parse::<f64>() {
        Ok(0.0) => "0".to_owned(),
        Ok(number) if number.fract() == 0.0 && number.abs() < EXACT_MAX => format!("{number:.0}"),
        _ => text.into_owned(),
    }
}

/// What stands between the quotes.
pub(super) fn content(token: &[u8]) -> &[u8] {
    match token {
        [b'"', inner @ .., b'"'] => inner,
        _ => token,
    }
}

/// A string without its escapes.
pub(super) struct Text<'a> {
    pub text: Cow<'a, str>,
    /// Half of a surrogate pair stood alone and was replaced.
    pub is_lossy: bool,
}

/// What a string says whose escapes are valid.
pub(super) fn read(raw: &[u8], escaped: bool) -> Option<Text<'_>> {
    let mut rest = std::str::from_utf8(raw).ok()?;
    if !escaped {
        return Some(Text { text: Cow::Borrowed(rest), is_lossy: false });
    }
    let mut text = String::with_capacity(rest.len());
    let mut is_lossy = false;
    while let Some((before, after)) = rest.split_once('\\') {
        text.push_str(before);
        let mut chars = after.chars();
        let c = match chars.next()? {
            'b' => '\u{8}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'u' => {
                let (c, tail) = unicode(chars.as_str())?;
                is_lossy |= c.is_none();
                chars = tail.chars();
                c.unwrap_or(char::REPLACEMENT_CHARACTER)
            }
            c => c,
        };
        text.push(c);
        rest = chars.as_str();
    }
    text.push_str(rest);
    Some(Text { text: Cow::Owned(text), is_lossy })
}

/// The character of an escape whose digits come next, and what follows; no character for half of
/// a surrogate pair.
fn unicode(text: &str) -> Option<(Option<char>, &str)> {
    let unit = |text: &str| u32::from_str_radix(text.get(..4)?, 16).ok();
    let (high, rest) = (unit(text)?, text.get(4..)?);
    if !(0xd800..0xdc00).contains(&high) {
        return Some((char::from_u32(high), rest));
    }
    let low = rest.strip_prefix("\\u").and_then(unit);
    match low.filter(|low| (0xdc00..0xe000).contains(low)) {
        Some(low) => {
            let c = char::from_u32(0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00));
            Some((c, rest.get(6..)?))
        }
        None => Some((None, rest)),
    }
}

/// Whether a string may be a JSON document itself: an object, an array, or a string in which one
/// stands.
pub(super) fn may_hold_json(raw: &[u8]) -> bool {
    matches!(raw.first(), Some(b'{' | b'[' | b'\\' | b' ' | b'\t' | b'\n' | b'\r' | 0xef))
}

/// The text as a token.
pub(super) fn quote(text: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len() + 2);
    out.push(b'"');
    let mut rest = text.as_bytes();
    loop {
        let length = plain(rest);
        out.extend_from_slice(rest.get(..length).unwrap_or_default());
        let Some(byte) = rest.get(length).copied() else { break };
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            _ => out.extend_from_slice(format!("\\u{byte:04x}").as_bytes()),
        }
        rest = rest.get(length + 1..).unwrap_or_default();
    }
    out.push(b'"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_stops_a_string_or_does_not_wherever_it_stands() {
        for byte in 0..=255_u8 {
            for at in 0..20 {
                for around in [b'x', 0xff, 0x80, b'!', 0x7f] {
                    let mut text = [around; 20];
                    text[at] = byte;
                    let stops = byte == b'"' || byte == b'\\' || byte < 0x20;
                    assert_eq!(plain(&text), if stops { at } else { 20 }, "{byte} at {at}");
                }
            }
        }
    }

    #[test]
    fn numbers_are_those_of_the_specification() {
        for good in ["0", "-0", "10", "-1.5", "1e5", "1E+05", "0.0e-0", "123456789012345678901234"]
        {
            assert!(is_number(good.as_bytes()), "{good}");
        }
        for bad in
            ["", "-", "00", "01", "1.", ".1", "1e", "1e+", "+1", "1.e1", "0x1", "1e1.5", "--1"]
        {
            assert!(!is_number(bad.as_bytes()), "{bad}");
        }
    }

    #[test]
    fn equal_numbers_have_one_text() {
        for (token, text) in
            [("42", "42"), ("42.0", "42"), ("4.2e1", "42"), ("-0", "0"), ("0.0", "0"), ("-7", "-7")]
        {
            assert_eq!(canonical(token.as_bytes()), text);
        }
        for kept in ["1.5", "18446744073709551615", "1e300", "12345678901234567890123"] {
            assert_eq!(canonical(kept.as_bytes()), kept);
        }
    }

    #[test]
    fn a_text_is_quoted_so_that_it_reads_back() {
        let text = "a\"\\\u{0}\u{1f}\n\r\t/é\u{7f}\u{2028}😀";
        let quoted = quote(text);
        assert_eq!(serde_json::from_slice::<String>(&quoted).unwrap(), text);
        assert_eq!(read(content(&quoted), true).unwrap().text, text);
    }
}
