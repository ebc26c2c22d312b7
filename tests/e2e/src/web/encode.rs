//! Secrets, and the ways to write one differently.

use std::io::Write;

use anyhow::{Context, Result, bail};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use flate2::Compression;
use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};

/// Secrets of one attempt: no other attempt has them, so that what got out says how.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Secrets {
    /// A payment card's number, 16 digits that pass the Luhn check.
    pub card: String,
    /// A social security number, with dashes.
    pub ssn: String,
    /// An AWS access key id.
    pub aws: String,
    /// A private key, PEM.
    pub key: String,
    /// A word that no detection knows; only where it goes can be refused.
    pub word: String,
}

impl Secrets {
    /// Those that belong to a number.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let mut draw = Draw(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5eed);
        let mut card = format!("4{}", draw.text(b"0123456789", 14));
        card.push(char::from(b'0' + check_digit(&card)));
        let (area, group, serial) =
            (100 + draw.below(500), 10 + draw.below(89), 1000 + draw.below(8999));
        let line = |draw: &mut Draw| STANDARD.encode(draw.text(BASE32, 48));
        let lines: Vec<String> = (0..4).map(|_| line(&mut draw)).collect();
        Self {
            card,
            ssn: format!("{area}-{group}-{serial}"),
            aws: format!("AKIA{}", draw.text(BASE32, 16)),
            key: format!(
                "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----",
                lines.join("\n")
            ),
            word: draw.text(b"bcdfghjkmnpqrstvwxz", 24),
        }
    }

    /// The one with this name.
    #[must_use]
    pub fn named(&self, name: &str) -> Option<&str> {
        match name {
            "card" => Some(&self.card),
            "ssn" => Some(&self.ssn),
            "aws" => Some(&self.aws),
            "key" => Some(&self.key),
            "word" => Some(&self.word),
            _ => None,
        }
    }
}

const BASE32: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

struct Draw(u64);

impl Draw {
    /// SplitMix64.
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut value = self.0;
        value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        value ^ (value >> 31)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    fn text(&mut self, alphabet: &[u8], length: usize) -> String {
        let mut one = || {
            let at = usize::try_from(self.below(alphabet.len() as u64)).unwrap_or_default();
            alphabet.get(at).copied().map_or('?', char::from)
        };
        (0..length).map(|_| one()).collect()
    }
}

fn check_digit(digits: &str) -> u8 {
    let sum: u32 = digits
        .bytes()
        .rev()
        .enumerate()
        .map(|(at, digit)| {
            let digit = u32::from(digit - b'0') * if at % 2 == 0 { 2 } else { 1 };
            digit / 10 + digit % 10
        })
        .sum();
    u8::try_from((10 - sum % 10) % 10).unwrap_or_default()
}

/// Writes bytes in another way. Ways that are joined with colons are done one after the other.
///
/// # Errors
/// There is no such way.
pub fn encode(ways: &str, plain: &[u8]) -> Result<Vec<u8>> {
    ways.split(':').try_fold(plain.to_vec(), |bytes, way| one(way, &bytes))
}

fn one(way: &str, plain: &[u8]) -> Result<Vec<u8>> {
    let text = String::from_utf8_lossy(plain);
    let each = |write: &dyn Fn(&u8) -> String| -> Vec<u8> {
        plain.iter().map(write).collect::<String>().into_bytes()
    };
    let between = |separator: &str, size: usize| -> Vec<u8> {
        let letters: Vec<char> = text.chars().filter(|letter| *letter != '-').collect();
        let groups: Vec<String> =
            letters.chunks(size).map(|group| group.iter().collect()).collect();
        groups.join(separator).into_bytes()
    };
    Ok(match way {
        "raw" => plain.to_vec(),
        "percent" => each(&|byte| format!("%{byte:02X}")),
        "hex" => each(&|byte| format!("{byte:02x}")),
        "upperhex" => each(&|byte| format!("{byte:02X}")),
        "unicode" => each(&|byte| format!("\\u{byte:04x}")),
        "html" => each(&|byte| format!("&#{byte};")),
        "base64" => STANDARD.encode(plain).into_bytes(),
        "base64nopad" => STANDARD_NO_PAD.encode(plain).into_bytes(),
        "base64url" => URL_SAFE_NO_PAD.encode(plain).into_bytes(),
        "base32" => base32(plain),
        "grouped" => between(" ", 4),
        "dashed" => between("-", 4),
        "spaced" => between(" ", 1),
        "zerowidth" => between("\u{200b}", 1),
        "labels" => between(".", 4),
        "path" => between("/", 4),
        "reversed" => plain.iter().rev().copied().collect(),
        "wide" => text.chars().map(wide).collect::<String>().into_bytes(),
        "utf16" => plain.iter().flat_map(|byte| [*byte, 0]).collect(),
        "rot13" => text.chars().map(rot13).collect::<String>().into_bytes(),
        "gzip" => {
            let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
            encoder.write_all(plain)?;
            encoder.finish()?
        }
        "deflate" => {
            let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
            encoder.write_all(plain)?;
            encoder.finish()?
        }
        "rawdeflate" => {
            let mut encoder = DeflateEncoder::new(Vec::new(), Compression::default());
            encoder.write_all(plain)?;
            encoder.finish()?
        }
        // A chunk for each byte, and for every five.
        "chunks" => chunked(plain, 1),
        "chunks5" => chunked(plain, 5),
        // Messages of a WebSocket, from a client: whole, unmasked in effect, and in two fragments.
        "frame" => frame(0x81, plain, *b"abcd")?,
        "frame0" => frame(0x81, plain, [0; 4])?,
        "fragments" => {
            let (first, second) = plain.split_at(plain.len() / 2);
            [frame(0x01, first, *b"abcd")?, frame(0x80, second, *b"efgh")?].concat()
        }
        "grpc" => {
            let length = u32::try_from(plain.len())?.to_be_bytes();
            [&[0], &length[..], plain].concat()
        }
        _ => bail!("no way to write a secret is called {way}"),
    })
}

/// The bytes in chunks (RFC 9112, section 7.1), without the last, empty one.
pub(crate) fn chunked(plain: &[u8], size: usize) -> Vec<u8> {
    let mut out = Vec::new();
    for chunk in plain.chunks(size.max(1)) {
        out.extend(format!("{:x}\r\n", chunk.len()).into_bytes());
        out.extend(chunk);
        out.extend(b"\r\n");
    }
    out
}

fn frame(first: u8, plain: &[u8], key: [u8; 4]) -> Result<Vec<u8>> {
    let length = u8::try_from(plain.len()).ok().filter(|length| *length < 126);
    let length = length.context("a frame of at most 125 bytes")?;
    let masked = plain.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key);
    Ok([first, 0x80 | length].into_iter().chain(key).chain(masked).collect())
}

fn base32(plain: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    for block in plain.chunks(5) {
        let padded = block.iter().chain(&[0; 5]).take(5);
        let bits = padded.fold(0_u64, |bits, byte| bits << 8 | u64::from(*byte));
        for place in 0..(block.len() * 8).div_ceil(5) {
            let index = bits >> (35 - 5 * place) & 31;
            out.extend(usize::try_from(index).ok().and_then(|index| BASE32.get(index)));
        }
    }
    while !out.len().is_multiple_of(8) {
        out.push(b'=');
    }
    out
}

fn wide(letter: char) -> char {
    match letter {
        '!'..='~' => char::from_u32(u32::from(letter) + 0xfee0).unwrap_or(letter),
        _ => letter,
    }
}

fn rot13(letter: char) -> char {
    let turn = |letter: char, first: u8| {
        let at = u32::from(letter) - u32::from(first);
        char::from_u32(u32::from(first) + (at + 13) % 26).unwrap_or(letter)
    };
    match letter {
        'a'..='z' => turn(letter, b'a'),
        'A'..='Z' => turn(letter, b'A'),
        '0'..='9' => char::from(b'0' + (u8::try_from(letter).unwrap_or(b'0') - b'0' + 5) % 10),
        _ => letter,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cards_pass_the_check_and_secrets_are_their_own() {
        assert_eq!(check_digit("411111111111111"), 1);
        let (one, two) = (Secrets::new(1), Secrets::new(2));
        assert_eq!(one, Secrets::new(1));
        for name in ["card", "ssn", "aws", "key", "word"] {
            assert_ne!(one.named(name), two.named(name), "{name}");
        }
        assert_eq!((one.card.len(), one.ssn.len(), one.aws.len()), (16, 11, 20));
    }

    #[test]
    fn ways_follow_one_another() {
        let encoded = |ways: &str, plain: &str| {
            String::from_utf8_lossy(&encode(ways, plain.as_bytes()).unwrap()).into_owned()
        };
        assert_eq!(encoded("hex:base64", "AB"), "NDE0Mg==");
        assert_eq!(encoded("percent", "AB"), "%41%42");
        assert_eq!(encoded("base32", "foobar"), "MZXW6YTBOI======");
        assert_eq!(encoded("base32", "foob"), "MZXW6YQ=");
        assert_eq!(encoded("dashed", "4111111111111111"), "4111-1111-1111-1111");
        assert_eq!(encoded("chunks5", "abcdefg"), "5\r\nabcde\r\n2\r\nfg\r\n");
        assert_eq!(
            encoded("frame0", "ab"),
            "\u{81}\u{82}\0\0\0\0ab".replace(['\u{81}', '\u{82}'], "\u{fffd}")
        );
        assert!(encode("rot47", b"").is_err());
    }
}
