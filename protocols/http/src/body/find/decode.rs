//! One layer of encoding, undone in every way that fits.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use percent_encoding::percent_decode;

use super::Below;
use crate::body::coding::{Codings, Decoder};
use crate::body::{Unreadable, xml};

/// Shortest run of letters and digits that is taken for an encoding, bytes.
const RUN_BYTES_MIN: usize = 12;
/// Lines at least this long may be one run that was broken.
const BROKEN_LINE_BYTES_MIN: usize = 40;
/// Share of a decoded run, in percent, that must read as text.
const READABLE_PERCENT: usize = 70;
/// Shortest text that is taken out of a run of which less does, bytes.
const READABLE_BYTES_MIN: usize = 11;

const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Adds every text that `bytes` may stand for; `opens` what is compressed, too.
pub(super) fn each(bytes: &[u8], opens: bool, below: &mut Below) {
    if has(bytes, b'%') || has(bytes, b'+') {
        add_changed(bytes, percent(bytes), below);
    }
    if has(bytes, b'\\') {
        add_changed(bytes, escapes(bytes), below);
    }
    if has(bytes, b'&') {
        add_changed(bytes, xml::decode(bytes).into_owned(), below);
    }
    if let Some(text) = utf16(bytes) {
        below.add(text);
    }
    if opens {
        compressed(bytes, below);
    }
    runs(bytes, below);
    if let Some(joined) = unbroken(bytes) {
        runs(&joined, below);
    }
}

fn has(bytes: &[u8], byte: u8) -> bool {
    memchr::memchr(byte, bytes).is_some()
}

fn add_changed(bytes: &[u8], decoded: Vec<u8>, below: &mut Below) {
    if decoded != bytes {
        below.add(decoded);
    }
}

fn percent(bytes: &[u8]) -> Vec<u8> {
    let spaced: Vec<u8> = bytes.iter().map(|b| if *b == b'+' { b' ' } else { *b }).collect();
    percent_decode(&spaced).collect()
}

/// Escapes of JSON and of programming languages: `\u0034`, `\u{34}`, `\x34`, `\n`, `\/`.
fn escapes(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some(at) = memchr::memchr(b'\\', rest) {
        out.extend_from_slice(rest.get(..at).unwrap_or_default());
        rest = rest.get(at + 1..).unwrap_or_default();
        let (code, length) = match rest {
            [b'u', b'{', digits @ ..] => {
                let end = digits.iter().take(7).position(|byte| *byte == b'}').unwrap_or(7);
                (hex(digits.get(..end)), end + 3)
            }
            [b'u', digits @ ..] => pair(digits),
            [b'x', digits @ ..] => {
                let Some(byte) = hex(digits.get(..2)).and_then(|code| u8::try_from(code).ok())
                else {
                    out.push(b'\\');
                    continue;
                };
                out.push(byte);
                rest = rest.get(3..).unwrap_or_default();
                continue;
            }
            [b'n' | b'r', ..] => (Some(u32::from(b'\n')), 1),
            [b't', ..] => (Some(u32::from(b'\t')), 1),
            [byte, ..] if !byte.is_ascii_alphanumeric() => (Some(u32::from(*byte)), 1),
            _ => (None, 0),
        };
        match code.and_then(char::from_u32) {
            Some(c) => {
                out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
                rest = rest.get(length..).unwrap_or_default();
            }
            None => out.push(b'\\'),
        }
    }
    out.extend_from_slice(rest);
    out
}

/// The character of `\uXXXX`, or of two of them that are one, and its length with the `u`.
fn pair(digits: &[u8]) -> (Option<u32>, usize) {
    let Some(high) = hex(digits.get(..4)) else { return (None, 0) };
    let low = (digits.get(4..6) == Some(b"\\u")).then(|| hex(digits.get(6..10))).flatten();
    match low {
        Some(low) if (0xd800..0xdc00).contains(&high) && (0xdc00..0xe000).contains(&low) => {
            (Some(0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00)), 11)
        }
        _ => (Some(high), 5),
    }
}

fn hex(digits: Option<&[u8]>) -> Option<u32> {
    let digits = digits.filter(|digits| digits.iter().all(u8::is_ascii_hexdigit))?;
    u32::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

/// The text of UTF-16 in either order, when two pairs in five have one zero, in the same place.
///
/// Pairs of zeros are no characters: they are silence in sound, and padding. Taken for text they
/// would be added by every way to read them, until the room that others need is used up.
fn utf16(bytes: &[u8]) -> Option<Vec<u8>> {
    let pairs = bytes.as_chunks::<2>().0.iter();
    let (even, odd) = pairs.fold((0_usize, 0_usize), |(even, odd), pair| match pair {
        [0, 1..=255] => (even + 1, odd),
        [1..=255, 0] => (even, odd + 1),
        _ => (even, odd),
    });
    if bytes.len() < RUN_BYTES_MIN || even.max(odd) * 5 < bytes.len() {
        return None;
    }
    let pairs = bytes.as_chunks::<2>().0.iter();
    let units = pairs.map(|[a, b]| {
        if odd >= even { u16::from_le_bytes([*a, *b]) } else { u16::from_be_bytes([*a, *b]) }
    });
    let text = char::decode_utf16(units).map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER));
    Some(text.collect::<String>().into_bytes())
}

/// gzip, zlib and zstd, by their first bytes.
fn compressed(bytes: &[u8], below: &mut Below) {
    let Some(codings) = Codings::of_content(bytes) else { return };
    let room = below.room;
    let mut text = Vec::new();
    let full = Unreadable { reason: "bomb", what: "" };
    let result = Decoder::new(&codings).push(bytes, &mut |decoded| {
        text.extend_from_slice(decoded);
        if text.len() > room { Err(full) } else { Ok(()) }
    });
    // Whatever follows the end is looked at as part of the text around it.
    if result.is_err_and(|error| error.reason == "bomb") {
        below.complete = false;
    }
    below.add(text);
}

/// Whether a run of base64, base32 or hexadecimal digits may hold this byte.
fn is_run(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"+/-_".contains(&byte)
}

/// Runs of base64, base32 and hexadecimal digits. What reads as text is added as one.
fn runs(bytes: &[u8], below: &mut Below) {
    let mut text = Vec::new();
    for run in bytes.split(|byte| !is_run(*byte)) {
        if run.len() < RUN_BYTES_MIN {
            continue;
        }
        if !run_as_a_whole(run, &mut text, below) {
            let parts = || run.split(|byte| b"/-_+".contains(byte));
            if parts().nth(1).is_some() {
                for part in parts().filter(|part| part.len() >= RUN_BYTES_MIN) {
                    run_as_a_whole(part, &mut text, below);
                }
            }
        }
    }
    below.add(text);
}

/// Decodes one run; whether anything came of it.
fn run_as_a_whole(run: &[u8], text: &mut Vec<u8>, below: &mut Below) -> bool {
    let shift = |from: usize| run.get(from..).unwrap_or_default();
    let hex = (0..2).filter_map(|n| from_hex(shift(n)));
    let base32 = (0..8).filter_map(|n| from_base32(shift(n)));
    let base64 = (0..4).filter_map(|n| from_base64(shift(n)));
    let mut any = false;
    for decoded in hex.chain(base32).chain(base64) {
        any |= keep(&decoded, text, below);
    }
    any
}

/// Keeps what reads as text, or as something that can be decoded further.
fn keep(decoded: &[u8], text: &mut Vec<u8>, below: &mut Below) -> bool {
    if Codings::of_content(decoded).is_some() || utf16(decoded).is_some() {
        below.add(decoded.to_vec());
        return true;
    }
    let reads = |byte: &&u8| matches!(byte, b' '..=b'~' | b'\n' | b'\r' | b'\t');
    let readable = decoded.iter().filter(reads).count();
    let shows = |c: char| !c.is_control() || matches!(c, '\n' | '\r' | '\t');
    let is_text = std::str::from_utf8(decoded).is_ok_and(|text| text.chars().all(shows));
    if is_text || readable * 100 >= decoded.len() * READABLE_PERCENT {
        return add_line(decoded, text, below);
    }
    for stretch in decoded.split(|byte| !reads(&byte)) {
        if stretch.len() >= READABLE_BYTES_MIN {
            add_line(stretch, text, below);
        }
    }
    false
}

fn add_line(line: &[u8], text: &mut Vec<u8>, below: &mut Below) -> bool {
    if text.len() + line.len() > below.room {
        below.complete = false;
        return false;
    }
    text.extend_from_slice(line);
    text.push(b'\n');
    true
}

fn from_base64(run: &[u8]) -> Option<Vec<u8>> {
    let standard = |byte: &u8| match byte {
        b'-' => b'+',
        b'_' => b'/',
        byte => *byte,
    };
    let mut digits: Vec<u8> = run.iter().map(standard).collect();
    if digits.len() % 4 == 1 {
        digits.pop();
    }
    BASE64.decode(&digits).ok()
}

/// RFC 4648, 6; in either case.
fn from_base32(run: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(run.len() * 5 / 8);
    let (mut bits, mut count) = (0_u32, 0);
    for byte in run {
        let digit = match byte.to_ascii_uppercase() {
            letter @ b'A'..=b'Z' => letter - b'A',
            digit @ b'2'..=b'7' => digit - b'2' + 26,
            _ => return None,
        };
        bits = (bits << 5 | u32::from(digit)) & 0xffff;
        count += 5;
        if count >= 8 {
            count -= 8;
            out.push(u8::try_from(bits >> count & 0xff).unwrap_or_default());
        }
    }
    Some(out)
}

fn from_hex(run: &[u8]) -> Option<Vec<u8>> {
    let run = run.strip_prefix(b"0x").unwrap_or(run);
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    run.as_chunks::<2>().0.iter().map(|[a, b]| Some(digit(*a)? << 4 | digit(*b)?)).collect()
}

/// The text without line breaks inside long runs; [`None`] when there are none.
fn unbroken(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(bytes.len());
    let mut joins = false;
    for line in bytes.split(|byte| *byte == b'\n') {
        let line = line.trim_ascii();
        out.extend_from_slice(line);
        let tail = line.iter().rev().take_while(|byte| is_run(**byte) || **byte == b'=').count();
        if tail >= BROKEN_LINE_BYTES_MIN {
            joins = true;
        } else {
            out.push(b'\n');
        }
    }
    joins.then_some(out)
}
