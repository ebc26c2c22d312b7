//! Sensitive values in what leaves: a whole text and every layer of encoding around them.
//!
//! Best effort (R8): it undoes what people and programs do to text on its way (percent signs,
//! base64, escapes, compression), not what somebody invents to hide a value. Work is bounded in
//! proportion to the text; past it the answer says that it is not complete.

mod decode;
mod seam;

use std::collections::{HashSet, VecDeque};

use aws_lc_rs::digest::{SHA256, digest};
use detect::{DetectionType, Span, TypeSet};

pub use self::seam::{Seam, boundary};
use super::hide;

/// Encodings around a value that are undone.
const DEPTH_MAX: u8 = 3;
/// Decoded bytes for each byte of the text. Prose with a sign of each encoding of whole texts
/// (percent signs, escapes, entities) takes seven, bytes that are no text (pictures, archives) up
/// to nine, with JSON inside of JSON eleven.
const RATIO_MAX: usize = 12;
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

/// A text that is searched.
#[derive(Clone, Copy, Debug)]
pub struct Text<'a> {
    /// As it is.
    pub bytes: &'a [u8],
    /// If it is compressed, what it becomes is another text that is searched.
    pub is_opened: bool,
}

impl<'a, T: AsRef<[u8]> + ?Sized> From<&'a T> for Text<'a> {
    fn from(bytes: &'a T) -> Self {
        Self { bytes: bytes.as_ref(), is_opened: false }
    }
}

/// Finds values of these types in a text, as it is and decoded.
#[must_use]
pub fn search<'a>(text: impl Into<Text<'a>>, types: TypeSet) -> Found {
    if types.is_empty() {
        return Found { types, complete: true };
    }
    let scanner = hide::scanner(types);
    let mut spans: Vec<Span> = Vec::new();
    let mut found: Vec<DetectionType> = Vec::new();
    let complete = layers(text, &mut |layer| {
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
pub fn layers<'a>(text: impl Into<Text<'a>>, visit: &mut dyn FnMut(&[u8])) -> bool {
    let Text { bytes, is_opened } = text.into();
    visit(bytes);
    let room = room(bytes.len());
    let mut below = Below::new(room);
    decode::each(bytes, !is_opened, &mut below);
    // Each is let go when what is below it is known: all of them would be too much at once.
    while let Some((depth, text)) = below.texts.pop_front() {
        visit(&text);
        if depth < DEPTH_MAX {
            below.depth = depth + 1;
            // Its bytes with some of them decoded are the same thing, broken.
            let is_same = is_opened && text.get(..3) == bytes.get(..3);
            decode::each(&text, !is_same, &mut below);
        }
    }
    below.complete
}

/// How many bytes may be decoded of a text of so many.
fn room(bytes: usize) -> usize {
    bytes.saturating_mul(RATIO_MAX).saturating_add(FREE_BYTES)
}

/// Decoded texts, and what may still be decoded.
struct Below {
    /// Bytes that may still be decoded.
    room: usize,
    complete: bool,
    /// Those that were not shown yet, with their depth.
    texts: VecDeque<(u8, Vec<u8>)>,
    /// Digests of all there were: the same text comes of several orders of decoding.
    known: HashSet<[u8; 32]>,
    /// Of what is decoded now.
    depth: u8,
}

impl Below {
    fn new(room: usize) -> Self {
        let (texts, known) = (VecDeque::new(), HashSet::new());
        Self { room, complete: true, texts, known, depth: 1 }
    }

    /// Keeps a decoded text, as far as there is room.
    fn add(&mut self, mut text: Vec<u8>) {
        if text.is_empty() {
            return;
        }
        let mut name = [0; 32];
        name.copy_from_slice(digest(&SHA256, &text).as_ref());
        if self.known.contains(&name) {
            return;
        }
        if text.len() > self.room {
            text.truncate(self.room);
            self.complete = false;
        }
        self.room -= text.len();
        if self.known.len() == LAYERS_MAX || text.is_empty() {
            self.complete = false;
            return;
        }
        self.known.insert(name);
        self.texts.push_back((self.depth, text));
    }
}

#[cfg(test)]
mod tests;
