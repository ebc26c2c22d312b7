//! Whether bytes hold a secret, however it is written in them.
//!
//! Generous on purpose: this is the judge of the gateway, so it knows more ways than the gateway
//! promises to know, and a secret in pieces counts when nothing but punctuation is between them.

use std::collections::HashSet;
use std::io::Read;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use flate2::read::{DeflateDecoder, GzDecoder, ZlibDecoder};

/// How many ways one after the other are undone.
const DEPTH: usize = 4;
/// Different texts that are looked at before it is given up.
const VIEWS_MAX: usize = 20_000;
/// Bytes that are inflated from one place.
const INFLATED_BYTES_MAX: u64 = 1024 * 1024;
/// Shortest run of letters and digits that may be base64, base32 or hexadecimal.
const RUN_MIN: usize = 12;

/// How the secret is written in these bytes; `None` when it is not there. An empty list means as it
/// is.
#[must_use]
pub fn find(bytes: &[u8], secret: &str) -> Option<Vec<&'static str>> {
    Views::of(bytes).find(secret)
}

/// Everything that some bytes could stand for.
#[derive(Debug)]
pub struct Views(Vec<View>);

#[derive(Debug)]
struct View {
    bytes: Vec<u8>,
    letters: Vec<u8>,
    ways: Vec<&'static str>,
}

impl Views {
    /// Undoes whatever can be undone.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        let mut known = HashSet::new();
        let mut views: Vec<View> = Vec::new();
        let mut new = vec![(bytes.to_vec(), Vec::new())];
        for depth in 0..=DEPTH {
            let mut next = Vec::new();
            for (bytes, ways) in new {
                let undone = if depth < DEPTH { undo(&bytes) } else { Vec::new() };
                for (way, bytes) in undone {
                    if bytes.len() >= 4 && known.len() < VIEWS_MAX && known.insert(bytes.clone()) {
                        let ways: Vec<&str> = ways.iter().copied().chain([way]).collect();
                        next.push((bytes, ways));
                    }
                }
                views.push(View { letters: letters(&bytes), bytes, ways });
            }
            new = next;
        }
        Self(views)
    }

    /// How a secret is written; `None` when it is not there.
    #[must_use]
    pub fn find(&self, secret: &str) -> Option<Vec<&'static str>> {
        let wanted = Wanted::new(secret);
        self.0.iter().find_map(|view| {
            let last = wanted.is_in(view)?;
            Some(view.ways.iter().copied().chain(last).collect())
        })
    }
}

struct Wanted {
    plain: Vec<u8>,
    letters: Vec<u8>,
    reversed: Vec<u8>,
    rotated: Vec<u8>,
}

impl Wanted {
    fn new(secret: &str) -> Self {
        let letters = letters(secret.as_bytes());
        Self {
            plain: secret.as_bytes().to_vec(),
            reversed: letters.iter().rev().copied().collect(),
            rotated: rotated(&letters),
            letters,
        }
    }

    fn is_in(&self, view: &View) -> Option<Option<&'static str>> {
        if holds(&view.bytes, &self.plain) {
            return Some(None);
        }
        let ways = [
            (&self.letters, "in pieces"),
            (&self.reversed, "reversed"),
            (&self.rotated, "rotated"),
        ];
        ways.iter().find(|(wanted, _)| holds(&view.letters, wanted)).map(|(_, way)| Some(*way))
    }
}

fn holds(bytes: &[u8], wanted: &[u8]) -> bool {
    !wanted.is_empty() && memchr::memmem::find(bytes, wanted).is_some()
}

/// Letters and digits alone, in lower case, full-width ones as the usual ones.
fn letters(bytes: &[u8]) -> Vec<u8> {
    let narrow = |letter: char| match letter {
        '\u{ff01}'..='\u{ff5e}' => char::from_u32(u32::from(letter) - 0xfee0).unwrap_or(letter),
        _ => letter,
    };
    let text = String::from_utf8_lossy(bytes);
    let ascii = text.chars().map(narrow).filter(char::is_ascii_alphanumeric);
    ascii.filter_map(|letter| u8::try_from(letter.to_ascii_lowercase()).ok()).collect()
}

fn rotated(letters: &[u8]) -> Vec<u8> {
    let turn = |byte: &u8| match byte {
        b'a'..=b'z' => b'a' + (byte - b'a' + 13) % 26,
        b'0'..=b'9' => b'0' + (byte - b'0' + 5) % 10,
        _ => *byte,
    };
    letters.iter().map(turn).collect()
}

/// Everything the bytes could stand for, one step away.
fn undo(view: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let mut out = Vec::new();
    let mut whole = |way, undone: Option<Vec<u8>>| out.extend(undone.map(|undone| (way, undone)));
    whole("percent", escapes(view, b"%", 2, b""));
    whole("unicode", escapes(view, b"\\u", 4, b""));
    whole("backslash x", escapes(view, b"\\x", 2, b""));
    whole("html", entities(view));
    whole("chunked", unchunked(view));
    whole("frames", unframed(view));
    whole("wide", {
        let bytes: Vec<u8> = view.iter().copied().filter(|byte| *byte != 0).collect();
        (bytes.len() < view.len()).then_some(bytes)
    });
    for run in runs(view, |byte| byte.is_ascii_hexdigit()) {
        for start in 0..2 {
            let digits = run.get(start..).unwrap_or_default();
            out.push(("hex", digits.chunks_exact(2).filter_map(pair).collect()));
        }
    }
    for run in runs(view, |byte| matches!(byte, b'A'..=b'Z' | b'a'..=b'z' | b'2'..=b'7')) {
        out.push(("base32", un32(run)));
    }
    let letter = |byte: u8| byte.is_ascii_alphanumeric() || b"+/-_".contains(&byte);
    for run in runs(view, letter)
        .into_iter()
        .chain(runs(view, |byte| byte.is_ascii_alphanumeric() || b"+_".contains(&byte)))
    {
        for start in 0..4 {
            out.extend(un64(run.get(start..).unwrap_or_default()).map(|plain| ("base64", plain)));
        }
    }
    for at in 0..view.len() {
        let rest = view.get(at..).unwrap_or_default();
        match rest {
            [0x1f, 0x8b, 8, ..] => out.push(("gzip", inflated(GzDecoder::new(rest)))),
            [0x78, 0x01 | 0x5e | 0x9c | 0xda, ..] => {
                out.push(("deflate", inflated(ZlibDecoder::new(rest))));
            }
            _ => {}
        }
    }
    out.push(("deflate", inflated(DeflateDecoder::new(view))));
    if let Some(at) = view.windows(4).position(|four| four == b"\r\n\r\n") {
        let body = view.get(at + 4..).unwrap_or_default();
        out.push(("deflate", inflated(DeflateDecoder::new(body))));
    }
    out
}

/// Runs of such bytes, where they are long enough.
fn runs(view: &[u8], takes: impl Fn(u8) -> bool) -> Vec<&[u8]> {
    view.split(|byte| !takes(*byte)).filter(|run| run.len() >= RUN_MIN).collect()
}

fn pair(digits: &[u8]) -> Option<u8> {
    u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

/// The text with each escape replaced by the byte that it stands for.
fn escapes(view: &[u8], sign: &[u8], digits: usize, end: &[u8]) -> Option<Vec<u8>> {
    let (mut out, mut rest, mut any) = (Vec::with_capacity(view.len()), view, false);
    while let Some((first, after)) = rest.split_first() {
        let written = rest.strip_prefix(sign).and_then(|after| after.split_at_checked(digits));
        let found = written.and_then(|(number, after)| {
            let number = u32::from_str_radix(std::str::from_utf8(number).ok()?, 16).ok()?;
            Some((u8::try_from(number).ok()?, after.strip_prefix(end)?))
        });
        rest = match found {
            Some((byte, after)) => {
                any = true;
                out.push(byte);
                after
            }
            None => {
                out.push(*first);
                after
            }
        };
    }
    any.then_some(out)
}

/// The same for `&#65;` and `&#x41;`.
fn entities(view: &[u8]) -> Option<Vec<u8>> {
    let text = String::from_utf8_lossy(view);
    let mut parts = text.split("&#");
    let mut out = parts.next()?.to_owned();
    let mut any = false;
    for part in parts {
        let decoded = part.split_once(';').and_then(|(number, after)| {
            let number = match number.strip_prefix(['x', 'X']) {
                Some(digits) => u32::from_str_radix(digits, 16).ok()?,
                None => number.parse().ok()?,
            };
            Some((char::from_u32(number)?, after))
        });
        match decoded {
            Some((letter, after)) => {
                any = true;
                out.push(letter);
                out.push_str(after);
            }
            None => out.push_str(part),
        }
    }
    any.then(|| out.into_bytes())
}

/// What is in the chunks, of a message or from the start.
fn unchunked(view: &[u8]) -> Option<Vec<u8>> {
    let start = view.windows(4).position(|four| four == b"\r\n\r\n").map_or(0, |at| at + 4);
    let (mut rest, mut out) = (view.get(start..)?, Vec::new());
    while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
        let line = String::from_utf8_lossy(rest.get(..end)?).into_owned();
        let size = line.trim().split(';').next().unwrap_or_default().trim().to_owned();
        let Ok(size) = usize::from_str_radix(&size, 16) else { break };
        let chunk = rest.get(end + 1..)?;
        let Some((data, after)) = chunk.split_at_checked(size) else { break };
        out.extend_from_slice(data);
        rest = after.strip_prefix(b"\r\n").unwrap_or(after);
        if size == 0 {
            break;
        }
    }
    (!out.is_empty()).then_some(out)
}

/// What is in the masked frames of a WebSocket, after a head or from the start.
fn unframed(view: &[u8]) -> Option<Vec<u8>> {
    let start = view.windows(4).position(|four| four == b"\r\n\r\n").map_or(0, |at| at + 4);
    let (mut rest, mut out) = (view.get(start..)?, Vec::new());
    while let [first, second, a, b, c, d, after @ ..] = rest {
        let length = usize::from(second & 0x7f);
        if first & 0x70 != 0 || second & 0x80 == 0 || length > 125 {
            break;
        }
        let Some((data, after)) = after.split_at_checked(length) else { break };
        out.extend(data.iter().zip([a, b, c, d].into_iter().cycle()).map(|(byte, key)| byte ^ key));
        rest = after;
    }
    (!out.is_empty()).then_some(out)
}

fn un64(run: &[u8]) -> Option<Vec<u8>> {
    let usual: Vec<u8> = run
        .iter()
        .map(|byte| match byte {
            b'-' => b'+',
            b'_' => b'/',
            other => *other,
        })
        .collect();
    let config = GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true);
    // One letter too many says nothing; it belongs to what stands after the text.
    let length = if usual.len() % 4 == 1 { usual.len() - 1 } else { usual.len() };
    GeneralPurpose::new(&alphabet::STANDARD, config).decode(usual.get(..length)?).ok()
}

fn un32(run: &[u8]) -> Vec<u8> {
    let (mut bits, mut count, mut out) = (0_u32, 0, Vec::new());
    for byte in run {
        let value = match byte.to_ascii_uppercase() {
            letter @ b'A'..=b'Z' => letter - b'A',
            digit => digit.wrapping_sub(b'2').wrapping_add(26),
        };
        bits = (bits << 5 | u32::from(value)) & 0xffff;
        count += 5;
        if count >= 8 {
            count -= 8;
            out.push(u8::try_from(bits >> count & 0xff).unwrap_or_default());
        }
    }
    out
}

fn inflated(decoder: impl Read) -> Vec<u8> {
    let mut out = Vec::new();
    let mut decoder = decoder.take(INFLATED_BYTES_MAX);
    // What came before an error is kept.
    let _ = decoder.read_to_end(&mut out);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::web::encode::{Secrets, encode};

    #[test]
    fn a_secret_is_found_in_every_way_of_writing_it() {
        let secrets = Secrets::new(7);
        let ways = [
            "raw",
            "percent",
            "hex",
            "upperhex",
            "unicode",
            "html",
            "base64",
            "base64nopad",
            "base64url",
            "base32",
            "grouped",
            "dashed",
            "spaced",
            "zerowidth",
            "labels",
            "path",
            "reversed",
            "wide",
            "utf16",
            "rot13",
            "gzip",
            "deflate",
            "chunks",
            "chunks5",
            "frame",
            "frame0",
            "fragments",
            "grpc",
            "base64:base64",
            "gzip:base64",
            "hex:percent",
            "base64:hex:base64",
            "base64:percent:percent",
            "utf16:base64",
            "deflate:base64url",
            "reversed:base64",
            "unicode:base64",
            "html:percent",
        ];
        for way in ways {
            for name in ["card", "ssn", "aws", "word"] {
                let secret = secrets.named(name).unwrap();
                let written = encode(way, secret.as_bytes()).unwrap();
                let head = b"POST / HTTP/1.1\r\nHost: a.test\r\n\r\n".as_slice();
                // Frames and chunks are found where a body begins.
                let before = if way.contains("fra") || way.contains("chunk") {
                    head.to_vec()
                } else {
                    [head, b"{\"note\": \"x="].concat()
                };
                let sent = [&before, &written[..], b"\"}"].concat();
                assert!(find(&sent, secret).is_some(), "{name} {way}");
                let other = Secrets::new(8);
                assert_eq!(find(&sent, other.named(name).unwrap()), None, "{name} {way}");
            }
        }
    }

    #[test]
    fn how_it_is_written_is_told() {
        assert_eq!(find(b"x 4111 1111", "41111111"), Some(vec!["in pieces"]));
        let twice = encode("base64:hex", b"4111111111111111").unwrap();
        assert_eq!(find(&twice, "4111111111111111"), Some(vec!["hex", "base64"]));
        assert_eq!(find(b"4111111111111111", "4111111111111111"), Some(vec![]));
        assert_eq!(find(b"411111111111111", "4111111111111111"), None);
        assert_eq!(find(b"", "a"), None);
    }
}
