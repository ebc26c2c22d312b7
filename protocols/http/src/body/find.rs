//! Sensitive values in what leaves: a whole text and every layer of encoding around them.
//!
//! Best effort (R8): it undoes what people and programs do to text on its way (percent signs,
//! base64, escapes, compression), not what somebody invents to hide a value. Work is bounded in
//! proportion to the text; past it the answer says that it is not complete.

mod decode;
mod seam;

use detect::{DetectionType, Span, TypeSet};

pub use self::seam::Seam;
use super::hide;

/// Encodings around a value that are undone.
const DEPTH_MAX: u8 = 3;
/// Decoded bytes for each byte of the text. Prose with a sign of each encoding of whole texts
/// (percent signs, escapes, entities) takes seven, with JSON inside of JSON eleven.
const RATIO_MAX: usize = 12;
/// Bytes of a text for which that holds.
const GENEROUS_BYTES: usize = 1024 * 1024;
/// Decoded bytes for each byte beyond them: what is decoded is in memory at once.
const RATIO_LONG_MAX: usize = 4;
/// Decoded bytes beyond those.
const FREE_BYTES: usize = 64 * 1024;
/// Decoded texts.
const LAYERS_MAX: usize = 256;

/// What a search found.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Found {
    /// The types of which there is a value.
    pub types: TypeSet,
    /// Everything was looked at; if not, there may be more.
    pub complete: bool,
}

/// Finds values of these types in a text, as it is and decoded.
#[must_use]
pub fn search(bytes: &[u8], types: TypeSet) -> Found {
    if types.is_empty() {
        return Found { types, complete: true };
    }
    let scanner = hide::scanner(types);
    let mut spans: Vec<Span> = Vec::new();
    let mut found: Vec<DetectionType> = Vec::new();
    let complete = layers(bytes, &mut |layer| {
        if scanner.may_contain(layer) {
            scanner.scan(layer, &mut spans);
            found.extend(spans.iter().map(|span| span.kind));
            found.sort_unstable();
            found.dedup();
        }
    });
    Found { types: found.into_iter().collect(), complete }
}

/// Shows the text and every layer below its encodings, outermost first; says whether that was all
/// of them.
pub fn layers(bytes: &[u8], visit: &mut dyn FnMut(&[u8])) -> bool {
    visit(bytes);
    let room = room(bytes.len());
    let mut below = Below { room, complete: true, texts: Vec::new(), depth: 1 };
    decode::each(bytes, &mut below);
    let mut at = 0;
    while let Some((depth, text)) = below.texts.get_mut(at) {
        let (depth, text) = (*depth, std::mem::take(text));
        visit(&text);
        if depth < DEPTH_MAX {
            below.depth = depth + 1;
            decode::each(&text, &mut below);
        }
        if let Some((_, place)) = below.texts.get_mut(at) {
            *place = text;
        }
        at += 1;
    }
    below.complete
}

/// How many bytes may be decoded of a text of so many.
fn room(bytes: usize) -> usize {
    let generous = bytes.min(GENEROUS_BYTES);
    let long = bytes.saturating_sub(generous);
    generous
        .saturating_mul(RATIO_MAX)
        .saturating_add(long.saturating_mul(RATIO_LONG_MAX))
        .saturating_add(FREE_BYTES)
}

/// Decoded texts, and what may still be decoded.
struct Below {
    /// Bytes that may still be decoded.
    room: usize,
    complete: bool,
    /// Each once, with its depth: the same text comes of several orders of decoding.
    texts: Vec<(u8, Vec<u8>)>,
    /// Of what is decoded now.
    depth: u8,
}

impl Below {
    /// Keeps a decoded text, as far as there is room.
    fn add(&mut self, mut text: Vec<u8>) {
        if text.is_empty() || self.texts.iter().any(|(_, known)| *known == text) {
            return;
        }
        if text.len() > self.room {
            text.truncate(self.room);
            self.complete = false;
        }
        self.room -= text.len();
        if self.texts.len() == LAYERS_MAX || text.is_empty() {
            self.complete = false;
            return;
        }
        self.texts.push((self.depth, text));
    }
}

#[cfg(test)]
mod tests;
