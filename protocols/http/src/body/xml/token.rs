//! Tokens of XML: where they end, and what they say.

use std::borrow::Cow;
use std::ops::Range;

use super::INVALID;
use crate::body::Unreadable;

/// One piece of a document.
#[derive(Debug)]
pub(super) enum Token<'a> {
    Comment(&'a [u8]),
    Close { raw: &'a [u8], name: &'a [u8] },
    Data { raw: &'a [u8], content: &'a [u8] },
    Doctype(&'a [u8]),
    Instruction(&'a [u8]),
    Open { raw: &'a [u8], is_empty: bool },
    Text(&'a [u8]),
}

/// A start tag.
pub(super) struct Tag<'a> {
    pub name: &'a [u8],
    pub attributes: Vec<Attribute<'a>>,
}

/// One attribute.
pub(super) struct Attribute<'a> {
    pub name: &'a [u8],
    /// Where its value stands in the tag, without its quotes.
    pub value: Range<usize>,
}

/// The first token and its length; [`None`] when it is not whole.
pub(super) fn next(bytes: &[u8]) -> Result<Option<(Token<'_>, usize)>, Unreadable> {
    const DATA: &[u8] = b"<![CDATA[";
    const DOCTYPE: &[u8] = b"<!DOCTYPE";
    if bytes.first() != Some(&b'<') {
        let text = memchr::memchr(b'<', bytes).and_then(|end| bytes.get(..end));
        return Ok(text.map(|text| (Token::Text(text), text.len())));
    }
    let until = |from: usize, end: &[u8]| {
        let found = memchr::memmem::find(bytes.get(from..)?, end)?;
        bytes.get(..from + found + end.len())
    };
    let part_of = |whole: &[u8]| {
        bytes.len() < whole.len() && whole.get(..bytes.len()).is_some_and(|w| w == bytes)
    };
    if [b"<!--", DATA, DOCTYPE, b"<?", b"</"].into_iter().any(part_of) {
        return Ok(None);
    }
    let token = if bytes.starts_with(b"<!--") {
        until(4, b"-->").map(Token::Comment)
    } else if bytes.starts_with(DATA) {
        let raw = until(DATA.len(), b"]]>");
        raw.map(|raw| Token::Data { raw, content: raw.get(9..raw.len() - 3).unwrap_or_default() })
    } else if bytes.starts_with(DOCTYPE) {
        tag_end(bytes).map(Token::Doctype)
    } else if bytes.starts_with(b"<!") {
        return Err(INVALID);
    } else if bytes.starts_with(b"<?") {
        until(2, b"?>").map(Token::Instruction)
    } else if bytes.starts_with(b"</") {
        let raw = until(2, b">");
        let name = |raw: &[u8]| raw.len() - 1;
        raw.map(|raw| Token::Close {
            raw,
            name: raw.get(2..name(raw)).unwrap_or_default().trim_ascii_end(),
        })
    } else {
        tag_end(bytes).map(|raw| Token::Open { raw, is_empty: raw.ends_with(b"/>") })
    };
    Ok(token.map(|token| {
        let length = match &token {
            Token::Comment(raw)
            | Token::Close { raw, .. }
            | Token::Data { raw, .. }
            | Token::Doctype(raw)
            | Token::Instruction(raw)
            | Token::Open { raw, .. }
            | Token::Text(raw) => raw.len(),
        };
        (token, length)
    }))
}

/// A tag up to the first `>` outside quotes.
fn tag_end(bytes: &[u8]) -> Option<&[u8]> {
    let mut quote = None;
    for (at, byte) in bytes.iter().enumerate() {
        match (quote, byte) {
            (None, b'>') => return bytes.get(..=at),
            (None, b'"' | b'\'') => quote = Some(*byte),
            (Some(open), byte) if open == *byte => quote = None,
            _ => {}
        }
    }
    None
}

/// Reads a start tag; [`None`] when it is not one.
pub(super) fn tag(raw: &[u8]) -> Option<Tag<'_>> {
    let end = raw.len() - if raw.ends_with(b"/>") { 2 } else { 1 };
    let is_blank = |at: usize| raw.get(at).is_some_and(u8::is_ascii_whitespace);
    let name_end = |from: usize| {
        let stops = |byte: &u8| byte.is_ascii_whitespace() || b"=/<>\"'".contains(byte);
        let length = raw.get(from..end)?.iter().position(stops);
        Some(length.map_or(end, |length| from + length))
    };
    let mut at = name_end(1)?;
    let name = raw.get(1..at).filter(|name| starts_name(name))?;
    let mut attributes = Vec::new();
    loop {
        let from = at;
        while is_blank(at) {
            at += 1;
        }
        if at >= end {
            return Some(Tag { name, attributes });
        }
        let start = at;
        at = name_end(start)?;
        let name = raw.get(start..at).filter(|name| from < start && starts_name(name))?;
        while is_blank(at) {
            at += 1;
        }
        (raw.get(at) == Some(&b'=')).then_some(())?;
        at += 1;
        while is_blank(at) {
            at += 1;
        }
        let quote = *raw.get(at).filter(|quote| matches!(quote, b'"' | b'\''))?;
        let start = at + 1;
        at = start + memchr::memchr(quote, raw.get(start..end)?)?;
        let value = start..at;
        if raw.get(value.clone())?.contains(&b'<') {
            return None;
        }
        attributes.push(Attribute { name, value });
        at += 1;
    }
}

fn starts_name(name: &[u8]) -> bool {
    name.first().is_some_and(|b| b.is_ascii_alphabetic() || matches!(b, b'_' | b':' | 0x80..))
}

/// A text without its entities; those that are unknown stay.
pub(in crate::body) fn decode(raw: &[u8]) -> Cow<'_, [u8]> {
    if !raw.contains(&b'&') {
        return Cow::Borrowed(raw);
    }
    let mut out = Vec::with_capacity(raw.len());
    let mut rest = raw;
    while let Some(at) = memchr::memchr(b'&', rest) {
        let (before, entity) = rest.split_at_checked(at).unwrap_or_default();
        out.extend_from_slice(before);
        let end = entity.iter().take(ENTITY_BYTES_MAX).position(|byte| *byte == b';');
        let name = end.and_then(|end| entity.get(1..end));
        match name.and_then(character) {
            Some(c) => {
                out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
                rest = entity.get(end.unwrap_or_default() + 1..).unwrap_or_default();
            }
            None => {
                out.push(b'&');
                rest = entity.get(1..).unwrap_or_default();
            }
        }
    }
    out.extend_from_slice(rest);
    Cow::Owned(out)
}

/// Longest reference to a character, bytes.
const ENTITY_BYTES_MAX: usize = 32;

fn character(name: &[u8]) -> Option<char> {
    let name = std::str::from_utf8(name).ok()?;
    if let Some(number) = name.strip_prefix('#') {
        let code = match number.strip_prefix(['x', 'X']) {
            Some(digits) => u32::from_str_radix(digits, 16).ok()?,
            None => number.parse().ok()?,
        };
        return char::from_u32(code);
    }
    Some(match name {
        "lt" => '<',
        "gt" => '>',
        "amp" => '&',
        "quot" => '"',
        "apos" => '\'',
        "nbsp" => '\u{a0}',
        "commat" => '@',
        "period" => '.',
        "hyphen" | "dash" => '-',
        _ => return None,
    })
}
