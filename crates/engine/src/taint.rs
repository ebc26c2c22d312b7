//! What a principal received of followed values, and where it turns up again (R14).
//!
//! A value is kept as a *print*: a keyed hash of its letters and digits, and one of the first few,
//! by which it is looked for. Case, blanks and punctuation do not count, so `123-45-6789` and
//! `123 45 6789` have one print. A text is searched as it reads, from its end, with only its
//! numbers, and with only its values where it is JSON, a form or markup, so that a value cut over
//! several fields is found too. A value of digits begins and ends where numbers of the text do: in
//! the middle of longer ones there are all numbers. Undoing encodings is the caller's part: it
//! shows each layer.
//!
//! Hashes are polynomials over the field of 2^61 - 1 elements at a secret point, so that those of
//! all parts of a text follow from one pass (Karp, Rabin, 1987). Whoever does not know the point
//! learns nothing from whether a text matches; whoever sees prints and knows a value could find it,
//! so prints are sealed wherever they are stored.

mod streams;
#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use foldhash::fast::RandomState;
use model::Timestamp;
use model::limit::{TAINT_EXPIRES, TAINTS_MAX};
use policy::HashKey;

use self::streams::Folded;

/// Bytes by which a value is looked for.
const WINDOW_BYTES: usize = 6;
/// Fewest letters and digits of a value that is followed, bytes of UTF-8.
const VALUE_BYTES_MIN: usize = WINDOW_BYTES;
/// Fewest digits of a value that has nothing else: shorter numbers are everywhere.
const DIGITS_MIN: usize = 8;
/// A longer value is kept in blocks of this size, so that a part of it is found, bytes.
const BLOCK_BYTES: usize = 64;
/// Blocks of one value: what follows them is not followed.
const BLOCKS_MAX: usize = 64;
/// A value up to this length is looked for in base64 too: a run of letters that is as short as its
/// encoding is not taken for one, bytes.
const SHORT_BYTES_MAX: usize = 8;
/// Part of a text that is searched at once, bytes.
const PIECE_BYTES: usize = 64 * 1024;
/// Texts that are looked at together, bytes: past it each is looked at on its own.
const BESIDE_BYTES_MAX: usize = 1024 * 1024;
/// 2^61 - 1, a prime.
const PRIME: u64 = (1 << 61) - 1;

/// A value that someone received, as it is kept.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Taint {
    /// Where it came from: `appdb:public.customers.ssn`.
    pub source: Arc<str>,
    /// The value.
    pub print: Print,
}

/// A keyed hash of a value.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Print {
    /// Of its first letters and digits.
    pub window: u64,
    /// Of all of them.
    pub whole: u64,
    /// How many they are, bytes of UTF-8.
    pub length: u8,
    /// They are all digits.
    pub digits: bool,
}

/// Makes prints; derived from the installation key.
pub struct TaintKey {
    /// Where the polynomials are evaluated.
    point: u64,
    /// Its powers up to the longest block.
    powers: [u64; BLOCK_BYTES + 1],
}

impl TaintKey {
    /// Uses `key`, which should hold 32 random bytes.
    #[must_use]
    pub fn new(key: &[u8]) -> Self {
        let [a, b, c, d, e, f, g, h, ..] = HashKey::new(key).hash_bytes("point");
        // Never so small that a polynomial is its text; below 2^61 - 1 with room.
        let point = (u64::from_be_bytes([a, b, c, d, e, f, g, h]) >> 4) | 1 << 59;
        let mut powers = [1; BLOCK_BYTES + 1];
        let mut power = 1;
        for slot in powers.iter_mut().skip(1) {
            power = times(power, point);
            *slot = power;
        }
        Self { point, powers }
    }

    /// The prints of a value; none of one that is too short to be told from others.
    #[must_use]
    pub fn prints(&self, value: &[u8]) -> Vec<Print> {
        let folded = Folded::head(value, BLOCK_BYTES * BLOCKS_MAX).bytes();
        let digits = folded.iter().all(u8::is_ascii_digit);
        let least = if digits { DIGITS_MIN } else { VALUE_BYTES_MIN };
        if folded.len() < least {
            return Vec::new();
        }
        let mut prints: Vec<Print> = folded
            .chunks_exact(BLOCK_BYTES)
            .take(BLOCKS_MAX)
            .map(|block| self.print(block, digits))
            .collect();
        if !folded.len().is_multiple_of(BLOCK_BYTES) && prints.len() < BLOCKS_MAX {
            // The last block overlaps the one before it.
            let from = folded.len().saturating_sub(BLOCK_BYTES);
            prints.push(self.print(folded.get(from..).unwrap_or(&folded), digits));
        }
        prints
    }

    fn print(&self, block: &[u8], digits: bool) -> Print {
        let window = block.get(..WINDOW_BYTES).unwrap_or(block);
        Print {
            window: self.hash(window),
            whole: self.hash(block),
            length: u8::try_from(block.len()).unwrap_or(u8::MAX),
            digits,
        }
    }

    fn hash(&self, bytes: &[u8]) -> u64 {
        bytes.iter().fold(0, |hash, byte| self.next(hash, *byte))
    }

    fn next(&self, hash: u64, byte: u8) -> u64 {
        plus(times(hash, self.point), u64::from(byte) + 1)
    }

    /// The hash of what stands between two places whose hashes from the beginning are these.
    fn between(&self, before: u64, after: u64, length: usize) -> u64 {
        let power = self.powers.get(length).copied().unwrap_or_default();
        let shifted = times(before, power);
        plus(after, PRIME - shifted)
    }
}

impl fmt::Debug for TaintKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TaintKey").finish_non_exhaustive()
    }
}

fn times(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    let low = (product & u128::from(PRIME)) as u64;
    let high = (product >> 61) as u64;
    plus(low, high)
}

/// Of two numbers below 2^62.
fn plus(a: u64, b: u64) -> u64 {
    let sum = a + b;
    let folded = (sum & PRIME) + (sum >> 61);
    if folded >= PRIME { folded - PRIME } else { folded }
}

/// The values of a JSON document, each on its own.
#[must_use]
pub fn scalars(document: &[u8]) -> Vec<Vec<u8>> {
    streams::scalars(document)
}

/// What one principal received, shared by its sessions.
pub struct Trail {
    key: Arc<TaintKey>,
    known: RwLock<Known>,
}

#[derive(Default)]
struct Known {
    /// How long values with these first letters are, each length once, shortest first.
    lengths: HashMap<u64, Vec<u8>, RandomState>,
    /// By all of their letters and their number.
    values: HashMap<(u64, u8), Value, RandomState>,
    sources: Vec<Arc<str>>,
    /// Positions in it.
    places: HashMap<Arc<str>, u32, RandomState>,
    count: usize,
    /// Until then there may be values that were not kept.
    incomplete_until: Timestamp,
}

/// A value and where it came from.
struct Value {
    window: u64,
    digits: bool,
    entries: Vec<Entry>,
}

#[derive(Clone, Copy)]
struct Entry {
    /// Position in [`Known::sources`].
    source: u32,
    /// Seconds since 1970.
    expires: u32,
}

/// What there was no room for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Full;

impl Trail {
    /// Nothing was received yet.
    #[must_use]
    pub fn new(key: Arc<TaintKey>) -> Self {
        Self { key, known: RwLock::default() }
    }

    fn read(&self) -> RwLockReadGuard<'_, Known> {
        self.known.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Known> {
        self.known.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// A value as it is kept: nothing of one that is too short, several parts of a long one.
    #[must_use]
    pub fn taints(&self, source: &Arc<str>, value: &[u8]) -> Vec<Taint> {
        let mut prints = self.key.prints(value);
        if !prints.is_empty() && value.len() <= SHORT_BYTES_MAX {
            prints.extend(self.key.prints(STANDARD_NO_PAD.encode(value).as_bytes()));
        }
        prints.into_iter().map(|print| Taint { source: Arc::clone(source), print }).collect()
    }

    /// Those of these that are not known, or not for as long as they have to be from now on.
    #[must_use]
    pub fn unknown(&self, taints: &[Taint], now: Timestamp) -> Vec<Taint> {
        let fresh = seconds(now.plus(TAINT_EXPIRES));
        let known = self.read();
        let is_known =
            |taint: &Taint| known.find(taint).is_some_and(|entry| entry.expires >= fresh);
        let mut seen = BTreeSet::new();
        taints
            .iter()
            .filter(|taint| !is_known(taint))
            .filter(|taint| seen.insert((taint.print.window, taint.print.whole, &taint.source)))
            .cloned()
            .collect()
    }

    /// Remembers a value until a time. Returns whether it is one more.
    ///
    /// # Errors
    /// There is no room: what is carried is not known in full until then.
    pub fn add(&self, taint: &Taint, expires: Timestamp, now: Timestamp) -> Result<bool, Full> {
        let mut known = self.write();
        if let Some(entry) = known.find_mut(taint) {
            entry.expires = entry.expires.max(seconds(expires));
            return Ok(false);
        }
        if known.count >= TAINTS_MAX {
            known.forget(now);
        }
        if known.count >= TAINTS_MAX {
            known.incomplete_until = known.incomplete_until.max(expires);
            return Err(Full);
        }
        let source = known.source(&taint.source);
        let Print { window, whole, length, digits } = taint.print;
        let entry = Entry { source, expires: seconds(expires) };
        let value = known.values.entry((whole, length));
        let value = value.or_insert_with(|| Value { window, digits, entries: Vec::new() });
        value.entries.push(entry);
        let lengths = known.lengths.entry(window).or_default();
        if let Err(place) = lengths.binary_search(&length) {
            lengths.insert(place, length);
        }
        known.count += 1;
        Ok(true)
    }

    /// Some value could not be kept: what is carried is not known in full until then.
    pub fn incomplete(&self, until: Timestamp) {
        let mut known = self.write();
        known.incomplete_until = known.incomplete_until.max(until);
    }

    /// Whether that is so at this time.
    #[must_use]
    pub fn is_incomplete(&self, at: Timestamp) -> bool {
        self.read().incomplete_until > at
    }

    /// Forgets what is over; returns how many values are left.
    pub fn forget(&self, now: Timestamp) -> usize {
        let mut known = self.write();
        known.forget(now);
        known.count
    }

    /// How many values are kept.
    #[must_use]
    pub fn len(&self) -> usize {
        self.read().count
    }

    /// Whether none is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Begins to look for them in what one request carries.
    #[must_use]
    pub fn search(&self, now: Timestamp) -> Search<'_> {
        Search { trail: self, now, found: BTreeSet::new(), values: Vec::new() }
    }
}

impl fmt::Debug for Trail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trail").field("len", &self.len()).finish_non_exhaustive()
    }
}

impl Known {
    fn find(&self, taint: &Taint) -> Option<&Entry> {
        let source = self.places.get(&taint.source)?;
        let value = self.values.get(&(taint.print.whole, taint.print.length))?;
        value.entries.iter().find(|entry| entry.source == *source)
    }

    fn find_mut(&mut self, taint: &Taint) -> Option<&mut Entry> {
        let source = self.places.get(&taint.source)?;
        let value = self.values.get_mut(&(taint.print.whole, taint.print.length))?;
        value.entries.iter_mut().find(|entry| entry.source == *source)
    }

    fn source(&mut self, name: &Arc<str>) -> u32 {
        if let Some(place) = self.places.get(name) {
            return *place;
        }
        let place = u32::try_from(self.sources.len()).unwrap_or(u32::MAX);
        self.sources.push(Arc::clone(name));
        self.places.insert(Arc::clone(name), place);
        place
    }

    fn forget(&mut self, now: Timestamp) {
        let now = seconds(now);
        self.values.retain(|_, value| {
            value.entries.retain(|entry| entry.expires > now);
            !value.entries.is_empty()
        });
        self.count = self.values.values().map(|value| value.entries.len()).sum();
        if self.values.is_empty() {
            self.sources.clear();
            self.places.clear();
        }
        self.lengths.clear();
        for ((_, length), value) in &self.values {
            let lengths = self.lengths.entry(value.window).or_default();
            if let Err(place) = lengths.binary_search(length) {
                lengths.insert(place, *length);
            }
        }
    }
}

/// A search in what one request carries.
pub struct Search<'a> {
    trail: &'a Trail,
    now: Timestamp,
    found: BTreeSet<u32>,
    /// The values of its texts, one behind the other.
    values: Vec<u8>,
}

impl Search<'_> {
    /// Looks at one text: a field, a path, a body, what stands behind an encoding of it.
    pub fn look(&mut self, text: &[u8]) {
        if self.trail.is_empty() {
            return;
        }
        let folded = Folded::of(text);
        self.pieces(&folded);
        self.pieces(&folded.reversed());
        self.pieces(&Folded::numbers(text));
        let mut values = Vec::new();
        if streams::values(text, &mut values) {
            self.pieces(&Folded::of(&values));
        }
    }

    /// Looks at a text that stands beside others, so that a value which is cut over them is found:
    /// each is looked at, and at the end the first mebibyte of them together.
    pub fn look_beside(&mut self, text: &[u8]) {
        if self.trail.is_empty() {
            return;
        }
        self.look(text);
        if self.values.len().saturating_add(text.len()) > BESIDE_BYTES_MAX {
            return;
        }
        let before = self.values.len();
        if !streams::values(text, &mut self.values) {
            self.values.truncate(before);
            self.values.extend_from_slice(text);
        }
        self.values.push(b' ');
    }

    /// The values of the texts so far, one behind the other, each text's after a blank: what they
    /// are together may be an encoding of something.
    #[must_use]
    pub fn beside(&self) -> Vec<u8> {
        let mut values = self.values.clone();
        // Pieces of an encoding belong together.
        values.retain(|byte| *byte != streams::BETWEEN);
        values
    }

    /// Where the values came from that the request repeats, in the order in which they were first
    /// received. `None`: there may be others, since not all could be kept.
    #[must_use]
    pub fn end(mut self) -> Option<Vec<Arc<str>>> {
        let values = std::mem::take(&mut self.values);
        self.pieces(&Folded::of(&values));
        self.pieces(&Folded::numbers(&values));
        let known = self.trail.read();
        if known.incomplete_until > self.now {
            return None;
        }
        let name = |at: &u32| known.sources.get(*at as usize).map(Arc::clone);
        Some(self.found.iter().filter_map(name).collect())
    }

    /// In pieces that overlap, so that nobody who receives something waits for a long search.
    fn pieces(&mut self, folded: &Folded) {
        let mut from = 0;
        while folded.len().saturating_sub(from) >= WINDOW_BYTES {
            self.piece(folded, from);
            from += PIECE_BYTES;
        }
    }

    fn piece(&mut self, folded: &Folded, from: usize) {
        let key = &*self.trail.key;
        let piece = folded.part(from, PIECE_BYTES + BLOCK_BYTES);
        let mut hashes = Vec::with_capacity(piece.len() + 1);
        let mut hash = 0;
        hashes.push(hash);
        for byte in piece {
            hash = key.next(hash, *byte);
            hashes.push(hash);
        }
        let now = seconds(self.now);
        let known = self.trail.read();
        let ahead = hashes.iter().skip(WINDOW_BYTES);
        for (at, (before, after)) in hashes.iter().zip(ahead).enumerate() {
            let window = key.between(*before, *after, WINDOW_BYTES);
            let Some(lengths) = known.lengths.get(&window) else { continue };
            for length in lengths {
                let bytes = usize::from(*length);
                let Some(after) = hashes.get(at + bytes) else { break };
                let whole = key.between(*before, *after, bytes);
                let Some(value) = known.values.get(&(whole, *length)) else { continue };
                if value.digits && !folded.is_number(from + at, bytes) {
                    continue;
                }
                let lives = value.entries.iter().filter(|entry| entry.expires > now);
                self.found.extend(lives.map(|entry| entry.source));
            }
        }
    }
}

fn seconds(at: Timestamp) -> u32 {
    u32::try_from(at.0 / 1_000_000_000).unwrap_or(u32::MAX)
}
