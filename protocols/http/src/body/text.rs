//! Text as it streams, line by line.
//!
//! A line leaves when it is complete, so a stream stays live; what was before it is remembered,
//! because it may say what a value is. A private key in armour is held until it ends, and a line
//! that does not end is cut where no value can stand. Every choice depends on what the text says
//! and never on how it was cut, so that cutting it elsewhere changes nothing.

use detect::DetectionType;

use super::Unreadable;
use super::hide::{Hider, TOO_LONG};

/// Bytes of a line, or of lines that belong together, beyond which they are cut.
const UNIT_BYTES_MAX: usize = 64 * 1024;
/// Bytes at the end of a unit that is cut which are looked at again with what follows.
const CARRY_BYTES: usize = 1024;
/// Bytes before a unit that may say what a value in it is.
const CONTEXT_BYTES: usize = 64;

/// One stream of text.
#[derive(Default)]
pub(super) struct Text {
    /// What left already, as far as it may say something about what follows; then what is held.
    held: Vec<u8>,
    /// Where in it the former begins.
    context: usize,
    /// Where what is held begins.
    unit: usize,
    /// Where the line at hand begins.
    line: usize,
    /// Up to where the end of that line was searched for.
    searched: usize,
    /// A private key began, and did not end.
    in_armour: bool,
}

impl Text {
    pub fn push(
        &mut self,
        bytes: &[u8],
        hide: &mut Hider,
        out: &mut Vec<u8>,
    ) -> Result<(), Unreadable> {
        if !hide.has_types() {
            out.extend_from_slice(bytes);
            return Ok(());
        }
        let mut rest = bytes;
        while !rest.is_empty() {
            let room = UNIT_BYTES_MAX.saturating_sub(self.held.len() - self.unit);
            let (taken, after) = rest.split_at_checked(room.min(rest.len())).unwrap_or_default();
            self.held.extend_from_slice(taken);
            rest = after;
            self.lines(hide, out);
            if self.held.len() - self.unit >= UNIT_BYTES_MAX {
                self.cut(hide, out)?;
            }
            self.compact();
        }
        Ok(())
    }

    pub fn finish(&mut self, hide: &mut Hider, out: &mut Vec<u8>) {
        self.emit(self.held.len(), hide, out);
        self.in_armour = false;
    }

    /// Lets every complete line go.
    fn lines(&mut self, hide: &mut Hider, out: &mut Vec<u8>) {
        let Some(last) = memchr::memrchr(b'\n', self.part(self.searched, self.held.len())) else {
            self.searched = self.held.len();
            return;
        };
        let complete = self.searched + last + 1;
        if !self.in_armour && hide.is_quiet(self.part(self.context, complete)) {
            out.extend_from_slice(self.part(self.unit, complete));
            self.forget(complete);
        }
        let looks_for_keys = hide.looks_for(DetectionType::PrivateKey);
        while let Some(end) = memchr::memchr(b'\n', self.part(self.searched, self.held.len())) {
            let end = self.searched + end + 1;
            let line = self.part(self.line, end);
            self.in_armour = looks_for_keys && armour(line, self.in_armour);
            if self.in_armour {
                (self.searched, self.line) = (end, end);
            } else {
                self.emit(end, hide, out);
            }
        }
        self.searched = self.held.len();
    }

    /// What is held is too long: lets go of what comes before a place where no value stands.
    fn cut(&mut self, hide: &mut Hider, out: &mut Vec<u8>) -> Result<(), Unreadable> {
        let unit = self.part(self.unit, self.held.len());
        let spans = hide.spans(self.part(self.context, self.unit), unit);
        let most = unit.len().saturating_sub(CARRY_BYTES);
        let breaks = |byte: u8| byte.is_ascii_whitespace() || b",;<>\"'{}[]|".contains(&byte);
        let follows_break = |at: &usize| {
            at.checked_sub(1).and_then(|before| unit.get(before)).is_some_and(|b| breaks(*b))
        };
        // Values do not overlap and are in order, so one walk back passes each once.
        let mut last = spans.len();
        let mut outside = (1..=most).rev().filter(|at| {
            while last > 0 && spans.get(last - 1).is_some_and(|span| span.start >= *at) {
                last -= 1;
            }
            last == 0 || spans.get(last - 1).is_none_or(|span| span.end <= *at)
        });
        let first = outside.next();
        let place = first
            .filter(follows_break)
            .or_else(|| outside.find(follows_break))
            .or(first)
            .or_else(|| spans.first().map(|span| span.end).filter(|end| *end < unit.len()));
        let Some(place) = place else { return Err(TOO_LONG) };
        self.emit(self.unit + place, hide, out);
        // A key that was held for its end is in what left.
        self.in_armour = false;
        self.lines(hide, out);
        Ok(())
    }

    /// Judges what is held up to there, and lets it go.
    fn emit(&mut self, end: usize, hide: &mut Hider, out: &mut Vec<u8>) {
        let unit = self.part(self.unit, end);
        if hide.is_quiet(self.part(self.context, end)) {
            out.extend_from_slice(unit);
        } else {
            hide.within_text(self.part(self.context, self.unit), unit, out);
        }
        self.forget(end);
    }

    /// Keeps of what left only what may say something about what follows.
    fn forget(&mut self, end: usize) {
        (self.unit, self.line, self.searched) = (end, end, end);
        self.context = end.saturating_sub(CONTEXT_BYTES);
    }

    /// Gives back the room of what was forgotten.
    fn compact(&mut self) {
        self.held.drain(..self.context);
        for place in [&mut self.unit, &mut self.line, &mut self.searched] {
            *place -= self.context;
        }
        self.context = 0;
    }

    fn part(&self, from: usize, to: usize) -> &[u8] {
        self.held.get(from..to).unwrap_or_default()
    }
}

/// Whether a private key goes on after a line.
fn armour(line: &[u8], before: bool) -> bool {
    let has = |word: &[u8]| memchr::memmem::find(line, word).is_some();
    let (is_edge, ends) = (has(b"--") && has(b"PRIVATE KEY"), has(b"END"));
    if before { !(is_edge && ends) } else { is_edge && has(b"BEGIN") && !ends }
}
