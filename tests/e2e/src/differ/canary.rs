//! Recognises hidden values in what a client received, also after simple changes to them.

use std::collections::{HashMap, HashSet};

use super::prefix::Prefixes;
use super::worlds::{Canary, World};

/// Characters of a text that are enough to know it by.
const TEXT_MIN: usize = 6;
/// Digits of a number that are enough.
const DIGITS_MIN: usize = 8;

/// Everything that gives a hidden value away.
#[derive(Debug, Default)]
pub struct Canaries {
    prefixes: Prefixes,
    /// Pieces by length, and what each is a piece of.
    pieces: Vec<(usize, HashMap<Vec<u8>, String>)>,
}

impl Canaries {
    /// Those of a world.
    #[must_use]
    pub fn of(world: World) -> Self {
        let mut all = Self::default();
        for canary in world.canaries() {
            match canary {
                Canary::Text(text) => all.text(&text),
                Canary::Number(number) => all.number(number),
                Canary::Date(days, text) => {
                    let what = format!("the date {text}");
                    all.add(text.as_bytes(), &what);
                    all.add(text.replace('-', "").as_bytes(), &what);
                    // As one value in binary: its length, and the days.
                    for days in [days, days + 1, days - 1] {
                        all.add(&[&[0, 0, 0, 4], days.to_be_bytes().as_slice()].concat(), &what);
                    }
                }
                Canary::Uuid(text) => {
                    let what = format!("the uuid {text}");
                    let bare = text.replace('-', "");
                    all.windows(bare.as_bytes(), 12, &what);
                    all.windows(text.as_bytes(), 12, &what);
                    all.windows(&unhex(&bare), 8, &what);
                }
            }
        }
        all
    }

    /// Adds the MD5 of each hidden text, as hexadecimal digits.
    pub fn add_digests(&mut self, digests: &[String]) {
        for digest in digests {
            self.windows(digest.as_bytes(), 16, "the MD5 of a text");
        }
    }

    fn text(&mut self, text: &str) {
        let what = format!("the text {text}");
        let backwards: String = text.chars().rev().collect();
        for text in [text, &backwards] {
            for text in [text.to_owned(), text.to_lowercase(), text.to_uppercase()] {
                self.windows(text.as_bytes(), TEXT_MIN, &what);
                self.windows(hex(text.as_bytes()).as_bytes(), TEXT_MIN * 2, &what);
            }
        }
        for (shift, pad) in ["", "x", "xx"].into_iter().enumerate() {
            let encoded = base64(format!("{pad}{text}").as_bytes());
            // The first characters depend on what came before, the last on what comes after.
            let first = if shift == 0 { 0 } else { shift + 1 };
            let inner = encoded.get(first..encoded.len().saturating_sub(1)).unwrap_or_default();
            self.windows(inner.as_bytes(), 8, &what);
        }
    }

    fn number(&mut self, number: i64) {
        for changed in [number, number + 1, number - 1, number * 2, number / 2, number + 10] {
            let what = format!("the number {number}");
            self.windows(changed.to_string().as_bytes(), DIGITS_MIN, &what);
            let digits: String = changed.to_string().chars().rev().collect();
            self.windows(digits.as_bytes(), DIGITS_MIN, &what);
            self.windows(format!("{changed:x}").as_bytes(), DIGITS_MIN, &what);
            for signed in [changed, -changed] {
                self.add(&[&[0, 0, 0, 8], signed.to_be_bytes().as_slice()].concat(), &what);
                if let Ok(small) = i32::try_from(signed) {
                    self.add(&[&[0, 0, 0, 4], small.to_be_bytes().as_slice()].concat(), &what);
                }
            }
            // The groups of four digits that numeric has in binary.
            let digits = changed.abs().to_string();
            let padded = "0".repeat((4 - digits.len() % 4) % 4) + &digits;
            let group = |four: &[u8]| std::str::from_utf8(four).ok()?.parse::<u16>().ok();
            let groups = padded.as_bytes().chunks(4).filter_map(group);
            let bytes: Vec<u8> = groups.flat_map(u16::to_be_bytes).collect();
            self.add(&[&[0, 0], bytes.as_slice()].concat(), &what);
        }
    }

    fn windows(&mut self, bytes: &[u8], length: usize, what: &str) {
        for window in bytes.windows(length) {
            // `mmmmmm` is made of other things too.
            let kinds: HashSet<&u8> = window.iter().collect();
            if kinds.len() * 2 > length.min(8) {
                self.add(window, what);
            }
        }
    }

    fn add(&mut self, piece: &[u8], what: &str) {
        self.prefixes.add(piece);
        let at = self.pieces.iter().position(|(length, _)| *length == piece.len());
        let pieces = match at.and_then(|at| self.pieces.get_mut(at)) {
            Some((_, pieces)) => pieces,
            None => {
                self.pieces.push((piece.len(), HashMap::new()));
                let Some((_, pieces)) = self.pieces.last_mut() else { return };
                pieces
            }
        };
        pieces.entry(piece.to_vec()).or_insert_with(|| what.to_owned());
    }

    /// The hidden value that these bytes give away.
    #[must_use]
    pub fn seen(&self, bytes: &[u8]) -> Option<&str> {
        self.prefixes.places(bytes).find_map(|at| {
            self.pieces.iter().find_map(|(length, pieces)| {
                pieces.get(bytes.get(at..at + length)?).map(String::as_str)
            })
        })
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Vec<u8> {
    let pair = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    text.as_bytes().chunks(2).filter_map(pair).collect()
}

fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for three in bytes.chunks(3) {
        let byte = |at: usize| u32::from(three.get(at).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for at in 0..=three.len() {
            let index = (bits >> (18 - 6 * at)) & 63;
            let letter = usize::try_from(index).ok().and_then(|index| LETTERS.get(index));
            out.push(char::from(letter.copied().unwrap_or(b'=')));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hidden_value_is_known_in_every_form() {
        let canaries = Canaries::of(World::A);
        let text = World::A.guess(3);
        for form in [
            text.clone(),
            text.to_uppercase(),
            text.chars().rev().collect(),
            hex(text.as_bytes()),
            base64(text.as_bytes()),
            base64(format!("a{text}").as_bytes()),
            format!("{{\"x\": [\"{text}\"]}}"),
            text[2..8].to_owned(),
        ] {
            assert!(canaries.seen(form.as_bytes()).is_some(), "{form}");
        }
        assert!(canaries.seen(b"1931-03-14").is_some());
        assert!(canaries.seen(b"Name 3, note 2, 1000000000, dev").is_none());
        assert!(canaries.seen(World::B.guess(3).as_bytes()).is_none());
    }

    #[test]
    fn base64_is_base64() {
        assert_eq!(base64(b"any carnal pleas"), "YW55IGNhcm5hbCBwbGVhcw");
    }
}
