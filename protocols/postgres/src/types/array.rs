//! Arrays: the elements of the text form, and the text of the binary form.

use std::borrow::Cow;

use super::{from_binary, oid};

/// Elements of a recorded or rendered array that are decoded; more have no canonical text.
const ELEMENTS_MAX: usize = 1 << 20;
/// Longest text of an array that is made, bytes: 8 bytes of a binary `numeric` can mean 100,000
/// digits.
const TEXT_BYTES_MAX: usize = 16 << 20;
/// Most dimensions an array has (`MAXDIM`).
const DIMENSIONS_MAX: i32 = 6;

/// A piece of the text of an array.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Element<'a> {
    /// Braces, commas, dimensions, blanks, NULL: everything that is not a value.
    Frame(&'a [u8]),
    /// A value.
    Value {
        /// As it is written, quotes included.
        raw: &'a [u8],
        /// What it stands for.
        text: Cow<'a, [u8]>,
    },
}

/// The pieces of an array's text, in order; joined they are the text again. `None` when a quoted
/// value does not end.
#[must_use]
pub fn elements(text: &[u8]) -> Option<Vec<Element<'_>>> {
    let mut pieces = Vec::new();
    let mut at =
        if text.starts_with(b"[") { memchr::memchr(b'=', text)?.checked_add(1)? } else { 0 };
    pieces.push(Element::Frame(text.get(..at)?));
    while let Some(byte) = text.get(at) {
        let start = at;
        match byte {
            b'{' | b'}' | b',' => {
                at += 1;
                pieces.push(Element::Frame(text.get(start..at)?));
            }
            b'"' => {
                let (value, length) = quoted(text.get(at.checked_add(1)?..)?)?;
                at = at.checked_add(length)?.checked_add(1)?;
                pieces.push(Element::Value { raw: text.get(start..at)?, text: value });
            }
            _ => {
                let rest = text.get(at..)?;
                at += memchr::memchr3(b',', b'{', b'}', rest).unwrap_or(rest.len());
                let raw = text.get(start..at)?;
                pieces.push(if raw.eq_ignore_ascii_case(b"NULL") {
                    Element::Frame(raw)
                } else {
                    Element::Value { raw, text: Cow::Borrowed(raw) }
                });
            }
        }
    }
    Some(pieces)
}

/// What stands up to the closing quote, and the bytes up to and including it.
fn quoted(rest: &[u8]) -> Option<(Cow<'_, [u8]>, usize)> {
    let mut value: Option<Vec<u8>> = None;
    let (mut from, mut at) = (0, 0);
    loop {
        at += memchr::memchr2(b'"', b'\\', rest.get(at..)?)?;
        let before = rest.get(from..at)?;
        if rest.get(at) == Some(&b'"') {
            let value = match value {
                None => Cow::Borrowed(before),
                Some(mut value) => {
                    value.extend_from_slice(before);
                    Cow::Owned(value)
                }
            };
            return Some((value, at.checked_add(1)?));
        }
        value.get_or_insert_default().extend_from_slice(before);
        from = at.checked_add(1)?;
        rest.get(from)?;
        at = from.checked_add(1)?;
    }
}

/// Writes a value with the quotes that `array_out` may put around any value.
pub fn quote_element(out: &mut Vec<u8>, text: &[u8]) {
    out.push(b'"');
    for byte in text {
        if matches!(byte, b'"' | b'\\') {
            out.push(b'\\');
        }
        out.push(*byte);
    }
    out.push(b'"');
}

/// The text of a binary array (`array_send`). `None` for other types, and for elements that are not
/// known here.
pub(super) fn binary_text(type_oid: u32, bytes: &[u8], depth: u8) -> Option<String> {
    let depth = depth.checked_sub(1)?;
    let element = element_of(type_oid)?;
    let mut rest = bytes;
    let dimensions = take(&mut rest)?;
    let _nulls = take(&mut rest)?;
    if u32::from_be_bytes(take_bytes(&mut rest)?) != element
        || !(0..=DIMENSIONS_MAX).contains(&dimensions)
    {
        return None;
    }
    let mut lengths = Vec::new();
    for _ in 0..dimensions {
        lengths.push(usize::try_from(take(&mut rest)?).ok()?);
        take(&mut rest)?;
    }
    let total = lengths.iter().try_fold(1_usize, |total, length| total.checked_mul(*length))?;
    if lengths.is_empty() || total == 0 {
        return rest.is_empty().then(|| "{}".to_owned());
    }
    if total > ELEMENTS_MAX || total.checked_mul(4)? > rest.len() {
        return None;
    }
    let mut out = Vec::new();
    for index in 0..total {
        bounds(&mut out, &lengths, index, b'{');
        let length = take(&mut rest)?;
        if length == -1 {
            out.extend_from_slice(b"NULL");
        } else {
            let (value, after) = rest.split_at_checked(usize::try_from(length).ok()?)?;
            rest = after;
            put(&mut out, from_binary(element, value, depth)?.as_bytes());
            if out.len() > TEXT_BYTES_MAX {
                return None;
            }
        }
        bounds(&mut out, &lengths, index.checked_add(1)?, b'}');
        if index.checked_add(1)? < total {
            out.push(b',');
        }
    }
    rest.is_empty().then(|| String::from_utf8(out).ok()).flatten()
}

/// A brace for each dimension that begins or ends at element `index`.
fn bounds(out: &mut Vec<u8>, lengths: &[usize], index: usize, brace: u8) {
    let mut size = 1_usize;
    for length in lengths.iter().rev() {
        size = size.saturating_mul(*length);
        if index.is_multiple_of(size) {
            out.push(brace);
        }
    }
}

/// Writes a value with quotes only where `array_out` needs them.
fn put(out: &mut Vec<u8>, text: &[u8]) {
    let special = |byte: &u8| {
        matches!(byte, b'"' | b'\\' | b'{' | b'}' | b',') || matches!(byte, b' ' | 0x09..=0x0d)
    };
    if text.is_empty() || text.eq_ignore_ascii_case(b"NULL") || text.iter().any(special) {
        quote_element(out, text);
    } else {
        out.extend_from_slice(text);
    }
}

fn take_bytes<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, after) = rest.split_first_chunk::<N>()?;
    *rest = after;
    Some(*taken)
}

fn take(rest: &mut &[u8]) -> Option<i32> {
    take_bytes(rest).map(i32::from_be_bytes)
}

const fn element_of(type_oid: u32) -> Option<u32> {
    Some(match type_oid {
        oid::BOOL_ARRAY => oid::BOOL,
        oid::BYTEA_ARRAY => oid::BYTEA,
        oid::NAME_ARRAY => oid::NAME,
        oid::INT2_ARRAY => oid::INT2,
        oid::INT4_ARRAY => oid::INT4,
        oid::INT8_ARRAY => oid::INT8,
        oid::TEXT_ARRAY => oid::TEXT,
        oid::BPCHAR_ARRAY => oid::BPCHAR,
        oid::VARCHAR_ARRAY => oid::VARCHAR,
        oid::FLOAT4_ARRAY => oid::FLOAT4,
        oid::FLOAT8_ARRAY => oid::FLOAT8,
        oid::OID_ARRAY => oid::OID,
        oid::DATE_ARRAY => oid::DATE,
        oid::TIME_ARRAY => oid::TIME,
        oid::TIMESTAMP_ARRAY => oid::TIMESTAMP,
        oid::TIMESTAMPTZ_ARRAY => oid::TIMESTAMPTZ,
        oid::NUMERIC_ARRAY => oid::NUMERIC,
        oid::UUID_ARRAY => oid::UUID,
        oid::JSON_ARRAY => oid::JSON,
        oid::JSONB_ARRAY => oid::JSONB,
        oid::XML_ARRAY => oid::XML,
        _ => return None,
    })
}
