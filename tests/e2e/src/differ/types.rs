//! Whether a value is one of its type, as a driver would read it.

use std::borrow::Cow;

use crate::Message;

use super::seen::values;

/// The first value that is none of its type.
#[must_use]
pub fn wrong_value(messages: &[Message]) -> Option<String> {
    let mut columns: Vec<(String, u32, i16)> = Vec::new();
    let mut latin = false;
    for message in messages {
        match message.tag {
            b'S' => {
                if let Some(encoding) = message.body.strip_prefix(b"client_encoding\0") {
                    latin = encoding == b"LATIN1\0";
                }
            }
            b'T' => columns = described(&message.body),
            b'D' => {
                let Some(row) = values(&message.body) else {
                    return Some("a row that cannot be taken apart".to_owned());
                };
                if row.len() != columns.len() {
                    return Some(format!("{} values for {} columns", row.len(), columns.len()));
                }
                for (value, (name, kind, format)) in row.iter().zip(&columns) {
                    if let Some(value) = value
                        && !fits(*kind, *format == 1, latin, value)
                    {
                        let shown = value.escape_ascii();
                        return Some(format!("{name} of type {kind}, format {format}: {shown}"));
                    }
                }
            }
            _ => {}
        }
    }
    None
}

/// Name, type and format of each column.
fn described(body: &[u8]) -> Vec<(String, u32, i16)> {
    let mut all = Vec::new();
    let mut rest = body.get(2..).unwrap_or_default();
    while let Some(end) = rest.iter().position(|byte| *byte == 0) {
        let name = String::from_utf8_lossy(rest.get(..end).unwrap_or_default()).into_owned();
        let fields = rest.get(end + 1..).unwrap_or_default();
        let kind = fields.get(6..10).and_then(|bytes| bytes.first_chunk::<4>());
        let format = fields.get(16..18).and_then(|bytes| bytes.first_chunk::<2>());
        let (Some(kind), Some(format)) = (kind, format) else { break };
        all.push((name, u32::from_be_bytes(*kind), i16::from_be_bytes(*format)));
        rest = fields.get(18..).unwrap_or_default();
    }
    all
}

/// A value as text. Any bytes are text in LATIN1.
fn decoded(value: &[u8], latin: bool) -> Option<Cow<'_, str>> {
    match std::str::from_utf8(value) {
        Ok(text) if !latin => Some(text.into()),
        _ => latin.then(|| value.iter().copied().map(char::from).collect()),
    }
}

fn fits(kind: u32, binary: bool, latin: bool, value: &[u8]) -> bool {
    let text = decoded(value, latin);
    if !binary {
        let Some(text) = text else { return false };
        let number = |text: &str| text.parse::<f64>().is_ok();
        return match kind {
            16 => matches!(&*text, "t" | "f"),
            17 => text.starts_with("\\x") || text.is_ascii(),
            20 | 21 | 23 | 26 => text.parse::<i64>().is_ok(),
            1700 | 701 | 700 => number(&text),
            2950 => text.len() == 36,
            1009 | 1015 => text.starts_with('{') && text.ends_with('}'),
            3802 | 114 => serde_json::from_str::<serde_json::Value>(&text).is_ok(),
            _ => true,
        };
    }
    match kind {
        16 => matches!(value, [0 | 1]),
        21 => value.len() == 2,
        23 | 26 | 1082 | 700 => value.len() == 4,
        20 | 701 | 1114 | 1184 => value.len() == 8,
        2950 | 1186 => value.len() == 16,
        25 | 1043 | 1042 | 19 | 114 | 142 => text.is_some(),
        3802 => {
            let json = text.as_deref().and_then(|text| text.strip_prefix('\u{1}'));
            json.is_some_and(|json| serde_json::from_str::<serde_json::Value>(json).is_ok())
        }
        1700 => {
            let digits = value.first_chunk::<2>().map(|count| u16::from_be_bytes(*count));
            digits.is_some_and(|count| value.len() == 8 + usize::from(count) * 2)
        }
        1009 | 1015 => value.len() >= 12,
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The seed 30133464158267701.
    #[test]
    fn text_is_read_in_the_encoding_the_server_told() {
        let message = |tag, body: &[u8]| Message { tag, body: body.to_vec() };
        let mut described = b"\0\x01body\0\0\0\0\0\0\0".to_vec();
        described.extend([25_u32.to_be_bytes().as_slice(), &[0; 8]].concat());
        let row = [message(b'T', &described), message(b'D', b"\0\x01\0\0\0\x03\xe4 \xf6")];
        let told = |encoding: &[u8]| {
            let body = [b"client_encoding\0", encoding].concat();
            [&[message(b'S', &body)], row.as_slice()].concat()
        };
        assert_eq!(wrong_value(&told(b"LATIN1\0")), None);
        let told = [told(b"LATIN1\0"), told(b"UTF8\0")].concat();
        for messages in [row.as_slice(), &told] {
            assert!(wrong_value(messages).is_some_and(|wrong| wrong.contains("body of type 25")));
        }
    }
}
