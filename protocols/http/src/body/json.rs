//! JSON (RFC 8259) as it streams: tokens are told apart, judged when they are whole, and what is
//! not masked passes byte for byte.
//!
//! A token that lies inside one piece is judged where it lies; one that is cut is held. So memory
//! is bounded by the longest token that must be judged and by the depth.

mod keys;
mod token;

use std::borrow::Cow;

use engine::MaskKind;

use super::hide::{Hider, JUDGED_BYTES_MAX, Replaced, TOO_LONG};
use super::names::NameId;
use super::utf8::Utf8;
use super::{Unreadable, value};

/// Deepest nesting of arrays and objects.
const DEPTH_MAX: usize = 128;
/// Bytes that are looked at together for whether anything can be found in them.
const PIECE_BYTES: usize = 8 * 1024;
/// Bytes of a key that are remembered as what stands before its value.
const CONTEXT_BYTES_MAX: usize = 32;
/// Values up to this long are looked at together with their key.
const CONTEXT_VALUE_BYTES_MAX: usize = 128;

const INVALID: Unreadable = Unreadable { reason: "invalid_json", what: "the body is not JSON" };
const TOO_DEEP: Unreadable =
    Unreadable { reason: "too_deep", what: "the body is nested too deeply" };
const UNFINISHED: Unreadable =
    Unreadable { reason: "unfinished", what: "the body ends inside a JSON value" };

/// How many values there may be.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Values {
    /// One.
    One,
    /// Any number, with or without line ends and record separators (RFC 7464) between them.
    Many,
}

/// What may come next, outside a token.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Expect {
    Value,
    /// After `[`.
    ValueOrEnd,
    /// After a comma in an object.
    Key,
    /// After `{`.
    KeyOrEnd,
    Colon,
    CommaOrEnd,
    /// The value at the top is complete.
    Done,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Token {
    None,
    Key(Keep),
    Text(Keep),
    /// A number or one of the three names.
    Word,
}

/// What happens to a string while it is read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Keep {
    /// It was replaced when it began, so nothing of it is kept.
    Drop,
    /// It is judged when it is whole.
    Judge,
    /// It passes.
    Pass,
}

/// The keys that lead to some place.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Place {
    /// They are remembered.
    Known(NameId),
    /// So many bytes of the path.
    Spelt(usize),
}

#[derive(Clone, Copy, Debug)]
struct Frame {
    is_object: bool,
    place: Place,
    mask: Option<MaskKind>,
}

/// One stream of JSON.
pub(super) struct Json {
    values: Values,
    expect: Expect,
    token: Token,
    /// Escape of a string: 0 for none, 1 after the backslash, 2 to 5 before hexadecimal digits.
    escape: u8,
    escaped: bool,
    /// A token that began in an earlier piece.
    held: Vec<u8>,
    stack: Vec<Frame>,
    /// Of what is at hand.
    place: Place,
    /// The keys that lead to it, where they are not remembered.
    path: String,
    /// The place of the document, once it began.
    top: Option<Place>,
    /// Where the path of this document begins, when it lies in a string of another.
    root: usize,
    /// Documents around this one.
    level: u8,
    /// The mask of the value that comes next in an object; none at the top.
    mask: Option<MaskKind>,
    /// The end of the key before the value that comes next.
    key: Vec<u8>,
    key_escaped: bool,
    /// Where that key ended, and where the token at hand began, from the start of the stream.
    key_end: u64,
    token_start: u64,
    /// Where the piece at hand begins.
    position: u64,
    utf8: Utf8,
    /// Bytes of a byte order mark that were seen at the very start.
    mark: usize,
    rows: u64,
}

/// The piece that is being read.
struct Piece<'a> {
    input: &'a [u8],
    at: usize,
    /// Everything before was written or dropped.
    from: usize,
    /// Where the token at hand begins, if it begins here.
    start: Option<usize>,
    is_quiet: bool,
}

impl Piece<'_> {
    /// Writes what was passed over up to here.
    fn flush(&mut self, to: usize, out: &mut Vec<u8>) {
        out.extend_from_slice(self.input.get(self.from..to).unwrap_or_default());
        self.from = to;
    }

    fn slice(&self, from: usize, to: usize) -> &[u8] {
        self.input.get(from..to).unwrap_or_default()
    }
}

impl<'a> Piece<'a> {
    /// What stands in the string whose first quote is at `at`, if it ends in this piece and has no
    /// escapes.
    fn string(&self, at: usize) -> Option<&'a [u8]> {
        let rest = self.input.get(at + 1..)?;
        let length = token::plain(rest);
        if rest.get(length) == Some(&b'"') { rest.get(..length) } else { None }
    }

    /// The number or name that begins at `at`, if it ends in this piece.
    fn word(&self, at: usize) -> Option<&'a [u8]> {
        let rest = self.input.get(at..)?;
        let length = rest.iter().position(|byte| !token::is_word(*byte))?;
        rest.get(..length)
    }
}

impl Json {
    pub fn new(values: Values) -> Self {
        Self::within(values, "", 0)
    }

    /// A document inside a string at `path` of another.
    pub fn within(values: Values, path: &str, level: u8) -> Self {
        Self {
            values,
            expect: Expect::Value,
            token: Token::None,
            escape: 0,
            escaped: false,
            held: Vec::new(),
            stack: Vec::new(),
            place: Place::Spelt(path.len()),
            path: path.to_owned(),
            top: None,
            root: path.len(),
            level,
            mask: None,
            key: Vec::new(),
            key_escaped: false,
            key_end: 0,
            token_start: 0,
            position: 0,
            utf8: Utf8::default(),
            mark: 0,
            rows: 0,
        }
    }

    /// Values of the stream, or elements of the array at the top.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    pub fn push(
        &mut self,
        bytes: &[u8],
        hide: &mut Hider,
        out: &mut Vec<u8>,
    ) -> Result<(), Unreadable> {
        if self.top.is_none() {
            self.place = hide.top(&self.path).map_or(self.place, Place::Known);
            self.top = Some(self.place);
        }
        for input in bytes.chunks(PIECE_BYTES) {
            self.utf8.push(input).map_err(|()| INVALID)?;
            let is_quiet = hide.has_types() && hide.is_quiet(input);
            let mut piece = Piece { input, at: 0, from: 0, start: None, is_quiet };
            while piece.at < input.len() {
                match self.token {
                    Token::None => self.structure(&mut piece, hide, out)?,
                    Token::Word => self.word(&mut piece, hide, out)?,
                    Token::Key(keep) | Token::Text(keep) => {
                        self.string(keep, &mut piece, hide, out)?;
                    }
                }
            }
            self.suspend(&mut piece, hide, out)?;
            self.position =
                self.position.saturating_add(u64::try_from(input.len()).unwrap_or(u64::MAX));
        }
        Ok(())
    }

    pub fn finish(&mut self, hide: &mut Hider, out: &mut Vec<u8>) -> Result<(), Unreadable> {
        if self.token == Token::Word {
            let held = std::mem::take(&mut self.held);
            self.token = Token::None;
            match self.word_done(&held, Quiet::No, hide)? {
                Some(replaced) => out.extend_from_slice(&replaced),
                None => out.extend_from_slice(&held),
            }
        }
        self.utf8.finish().map_err(|()| UNFINISHED)?;
        let nothing = self.expect == Expect::Value && self.stack.is_empty();
        let may_be_empty = self.values == Values::Many || self.position == 0;
        let complete = self.expect == Expect::Done || nothing && may_be_empty;
        if complete && self.token == Token::None { Ok(()) } else { Err(UNFINISHED) }
    }

    /// Bytes between tokens, up to the start of one.
    fn structure(
        &mut self,
        piece: &mut Piece<'_>,
        hide: &mut Hider,
        out: &mut Vec<u8>,
    ) -> Result<(), Unreadable> {
        while let Some(byte) = piece.input.get(piece.at).copied() {
            let at = piece.at;
            piece.at += 1;
            match byte {
                b' ' | b'\t' | b'\n' | b'\r' => {}
                b',' if self.expect == Expect::CommaOrEnd => {
                    let in_object = self.stack.last().is_some_and(|frame| frame.is_object);
                    self.expect = if in_object { Expect::Key } else { Expect::Value };
                }
                b':' if self.expect == Expect::Colon => self.expect = Expect::Value,
                b'"' if matches!(self.expect, Expect::Key | Expect::KeyOrEnd) => {
                    if self.is_key_again(piece, at, hide) {
                        continue;
                    }
                    let judged = hide.has_fields() || hide.has_types();
                    self.begin(piece, at);
                    self.token = Token::Key(if judged { Keep::Judge } else { Keep::Pass });
                    return Ok(());
                }
                b'}' | b']' => self.close(byte == b'}')?,
                0x1e if self.values == Values::Many && self.stack.is_empty() => {}
                0xef | 0xbb | 0xbf if self.is_mark(byte, at) => self.mark += 1,
                _ => {
                    self.value(byte, at, piece, hide, out)?;
                    if self.token != Token::None {
                        return Ok(());
                    }
                }
            }
        }
        Ok(())
    }

    /// The first byte of a value.
    fn value(
        &mut self,
        byte: u8,
        at: usize,
        piece: &mut Piece<'_>,
        hide: &Hider,
        out: &mut Vec<u8>,
    ) -> Result<(), Unreadable> {
        match self.expect {
            Expect::Value | Expect::ValueOrEnd => {}
            Expect::Done if self.values == Values::Many => {
                self.place = self.document();
                self.key.clear();
                self.mask = None;
            }
            _ => return Err(INVALID),
        }
        match self.stack.as_slice() {
            [] if self.values == Values::Many => self.rows += 1,
            [] if byte != b'[' => self.rows += 1,
            [Frame { is_object: false, .. }] if self.values == Values::One => self.rows += 1,
            _ => {}
        }
        match byte {
            b'{' => self.open(Expect::KeyOrEnd),
            b'[' => self.open(Expect::ValueOrEnd),
            b'"' if self.is_text_settled(piece, at, hide, out) => {
                self.value_ended();
                Ok(())
            }
            b'"' => {
                self.begin(piece, at);
                let keep = match self.value_mask() {
                    Some(kind @ (MaskKind::Redact | MaskKind::Null)) => {
                        piece.flush(at, out);
                        out.extend_from_slice(instead(kind));
                        Keep::Drop
                    }
                    Some(_) => Keep::Judge,
                    None if hide.has_fields() || hide.has_types() => Keep::Judge,
                    None => Keep::Pass,
                };
                self.token = Token::Text(keep);
                Ok(())
            }
            b'-' | b'0'..=b'9' | b't' | b'f' | b'n' => {
                if self.is_word_settled(piece, at, hide)? {
                    self.value_ended();
                } else {
                    self.begin(piece, at);
                    self.token = Token::Word;
                }
                Ok(())
            }
            _ => Err(INVALID),
        }
    }

    /// Passes over a text that lies whole in the piece, or writes what stands for it, where what it
    /// says does not matter.
    fn is_text_settled(
        &self,
        piece: &mut Piece<'_>,
        at: usize,
        hide: &Hider,
        out: &mut Vec<u8>,
    ) -> bool {
        if hide.has_types() {
            return false;
        }
        let Some(raw) = piece.string(at) else { return false };
        let end = at + raw.len() + 2;
        match self.value_mask() {
            None if hide.has_fields() && token::may_hold_json(raw) => return false,
            None => {}
            Some(kind @ (MaskKind::Redact | MaskKind::Null)) => {
                piece.flush(at, out);
                out.extend_from_slice(instead(kind));
                piece.from = end;
            }
            Some(_) => return false,
        }
        piece.at = end;
        true
    }

    /// Passes over a number or a name that lies whole in the piece and is not masked.
    fn is_word_settled(
        &self,
        piece: &mut Piece<'_>,
        at: usize,
        hide: &Hider,
    ) -> Result<bool, Unreadable> {
        if hide.has_types() || self.value_mask().is_some() {
            return Ok(false);
        }
        let Some(word) = piece.word(at) else { return Ok(false) };
        if !token::is_name(word) && !token::is_number(word) {
            return Err(INVALID);
        }
        piece.at = at + word.len();
        Ok(true)
    }

    fn begin(&mut self, piece: &mut Piece<'_>, at: usize) {
        piece.start = Some(at);
        self.token_start = self.position.saturating_add(u64::try_from(at).unwrap_or(u64::MAX));
        (self.escape, self.escaped) = (0, false);
        self.held.clear();
    }

    fn open(&mut self, expect: Expect) -> Result<(), Unreadable> {
        if self.stack.len() >= DEPTH_MAX {
            return Err(TOO_DEEP);
        }
        let is_object = expect == Expect::KeyOrEnd;
        let frame = Frame { is_object, place: self.place, mask: self.value_mask() };
        self.stack.push(frame);
        self.expect = expect;
        Ok(())
    }

    fn close(&mut self, is_object: bool) -> Result<(), Unreadable> {
        let may_end = match self.expect {
            Expect::CommaOrEnd => true,
            Expect::KeyOrEnd => is_object,
            Expect::ValueOrEnd => !is_object,
            _ => false,
        };
        match self.stack.pop() {
            Some(frame) if may_end && frame.is_object == is_object => {
                self.place = frame.place;
                self.value_ended();
                Ok(())
            }
            _ => Err(INVALID),
        }
    }

    fn value_ended(&mut self) {
        self.expect = if self.stack.is_empty() { Expect::Done } else { Expect::CommaOrEnd };
    }

    /// How the value that comes next is hidden.
    fn value_mask(&self) -> Option<MaskKind> {
        match self.stack.last() {
            Some(Frame { is_object: false, mask, .. }) => *mask,
            _ => self.mask,
        }
    }

    fn is_mark(&self, byte: u8, at: usize) -> bool {
        let place = self.position.saturating_add(u64::try_from(at).unwrap_or(u64::MAX));
        let mark = [0xef, 0xbb, 0xbf];
        place == u64::try_from(self.mark).unwrap_or(0) && mark.get(self.mark) == Some(&byte)
    }

    /// The rest of a string, as far as it goes in this piece.
    fn string(
        &mut self,
        keep: Keep,
        piece: &mut Piece<'_>,
        hide: &mut Hider,
        out: &mut Vec<u8>,
    ) -> Result<(), Unreadable> {
        // The quote that opens it.
        let mut at = piece.at;
        loop {
            if self.escape > 0 {
                let Some(byte) = piece.input.get(at) else { break };
                self.escape = token::escape(self.escape, *byte).ok_or(INVALID)?;
                at += 1;
                continue;
            }
            at += token::plain(piece.input.get(at..).unwrap_or_default());
            match piece.input.get(at) {
                None => break,
                Some(b'"') => {
                    piece.at = at + 1;
                    return self.string_ended(keep, piece, hide, out);
                }
                Some(b'\\') => (self.escape, self.escaped) = (1, true),
                Some(_) => return Err(INVALID),
            }
            at += 1;
        }
        piece.at = at;
        Ok(())
    }

    fn string_ended(
        &mut self,
        keep: Keep,
        piece: &mut Piece<'_>,
        hide: &mut Hider,
        out: &mut Vec<u8>,
    ) -> Result<(), Unreadable> {
        let is_key = matches!(self.token, Token::Key(_));
        self.token = Token::None;
        let end = piece.at;
        match keep {
            Keep::Pass => {}
            Keep::Drop => piece.from = end,
            Keep::Judge => {
                let judge = if is_key { Self::key_done } else { Self::text_done };
                self.judge(piece, end, hide, out, judge)?;
            }
        }
        if is_key {
            self.expect = Expect::Colon;
        } else {
            self.value_ended();
        }
        Ok(())
    }

    /// The rest of a number or a name, as far as it goes in this piece.
    fn word(
        &mut self,
        piece: &mut Piece<'_>,
        hide: &mut Hider,
        out: &mut Vec<u8>,
    ) -> Result<(), Unreadable> {
        let rest = piece.input.get(piece.at..).unwrap_or_default();
        let length = rest.iter().position(|byte| !token::is_word(*byte));
        piece.at += length.unwrap_or(rest.len());
        if length.is_some() {
            self.token = Token::None;
            let end = piece.at;
            self.judge(piece, end, hide, out, Self::word_done)?;
        }
        Ok(())
    }

    /// Judges the token that ends here, and writes what it becomes.
    fn judge(
        &mut self,
        piece: &mut Piece<'_>,
        end: usize,
        hide: &mut Hider,
        out: &mut Vec<u8>,
        judge: impl Fn(&mut Self, &[u8], Quiet, &mut Hider) -> Result<Option<Vec<u8>>, Unreadable>,
    ) -> Result<(), Unreadable> {
        if let Some(start) = piece.start.take() {
            let quiet = if piece.is_quiet { Quiet::Piece } else { Quiet::No };
            let token = piece.slice(start, end);
            if token.len() > JUDGED_BYTES_MAX {
                return Err(TOO_LONG);
            }
            if let Some(replaced) = judge(self, token, quiet, hide)? {
                piece.flush(start, out);
                out.extend_from_slice(&replaced);
                piece.from = end;
            }
            return Ok(());
        }
        let mut held = std::mem::take(&mut self.held);
        held.extend_from_slice(piece.slice(piece.from, end));
        piece.from = end;
        if held.len() > JUDGED_BYTES_MAX {
            return Err(TOO_LONG);
        }
        match judge(self, &held, Quiet::No, hide)? {
            Some(replaced) => out.extend_from_slice(&replaced),
            None => out.extend_from_slice(&held),
        }
        held.clear();
        if held.capacity() <= PIECE_BYTES {
            self.held = held;
        }
        Ok(())
    }

    /// The piece ends: writes what is decided, and holds what is not.
    fn suspend(
        &mut self,
        piece: &mut Piece<'_>,
        hide: &mut Hider,
        out: &mut Vec<u8>,
    ) -> Result<(), Unreadable> {
        let end = piece.input.len();
        match self.token {
            Token::None | Token::Key(Keep::Pass) | Token::Text(Keep::Pass) => piece.flush(end, out),
            Token::Key(Keep::Drop) | Token::Text(Keep::Drop) => piece.from = end,
            Token::Key(Keep::Judge) | Token::Text(Keep::Judge) | Token::Word => {
                if let Some(start) = piece.start.take() {
                    piece.flush(start, out);
                }
                self.held.extend_from_slice(piece.slice(piece.from, end));
                piece.from = end;
                if self.held.len() > JUDGED_BYTES_MAX {
                    self.give_up(hide)?;
                    out.append(&mut self.held);
                }
            }
        }
        Ok(())
    }

    /// A token is too long to be held: it may pass only if nothing could be hidden in it.
    fn give_up(&mut self, hide: &Hider) -> Result<(), Unreadable> {
        let inner = self.held.get(1..).unwrap_or_default();
        let passes = self.token == Token::Text(Keep::Judge)
            && self.value_mask().is_none()
            && !hide.has_types()
            && !token::may_hold_json(inner);
        self.token = Token::Text(Keep::Pass);
        if passes { Ok(()) } else { Err(TOO_LONG) }
    }

    /// A whole string.
    fn text_done(
        &mut self,
        token: &[u8],
        quiet: Quiet,
        hide: &mut Hider,
    ) -> Result<Option<Vec<u8>>, Unreadable> {
        let raw = token::content(token);
        if let Some(kind) = self.value_mask() {
            let text = token::read(raw, self.escaped).ok_or(INVALID)?.text;
            return Ok(Some(as_token(hide.masked(kind, &text))));
        }
        let nested = token::may_hold_json(raw) && self.level < value::LEVELS_MAX;
        let joint = self.joint(raw.len(), [b"\":\"", b"\": \""]);
        let skips = !hide.has_types()
            || !self.escaped && quiet == Quiet::Piece && (joint.is_none() || self.key_is_here());
        if !nested && skips {
            return Ok(None);
        }
        let text = token::read(raw, self.escaped).ok_or(INVALID)?.text;
        let context = self.context(joint);
        let path = if nested { self.path(hide).to_owned() } else { String::new() };
        let place = value::Place { path: &path, context: &context, level: self.level };
        Ok(match value::judge(&text, place, hide)? {
            Replaced::Untouched => None,
            replaced => Some(as_token(replaced)),
        })
    }

    /// A whole number or name.
    fn word_done(
        &mut self,
        token: &[u8],
        quiet: Quiet,
        hide: &mut Hider,
    ) -> Result<Option<Vec<u8>>, Unreadable> {
        let is_name = token::is_name(token);
        if !is_name && !token::is_number(token) {
            return Err(INVALID);
        }
        let mask = self.value_mask();
        let joint = self.joint(token.len(), [b"\":", b"\": "]);
        self.value_ended();
        if let Some(kind) = mask {
            let hash = matches!(kind, MaskKind::Hash | MaskKind::Tokenize);
            return Ok(match token {
                b"null" => None,
                _ if is_name || !hash => Some(b"null".to_vec()),
                _ => Some(hide.number(&token::canonical(token)).to_string().into_bytes()),
            });
        }
        let here = joint.is_none() || self.key_is_here();
        let skips = is_name || quiet == Quiet::Piece && here;
        if !hide.has_types() || skips || token.len() < token::NUMBER_BYTES_MIN {
            return Ok(None);
        }
        let replaced = hide.within(&self.context(joint), token);
        Ok((replaced != Replaced::Untouched).then(|| b"null".to_vec()))
    }

    /// What stands between a value and the key before it, if that follows at once: the key may say
    /// what the value is. `joints` are without and with a space.
    fn joint<'a>(&self, value_bytes: usize, joints: [&'a [u8]; 2]) -> Option<&'a [u8]> {
        let gap = self.token_start.saturating_sub(self.key_end);
        if self.key.is_empty() || value_bytes > CONTEXT_VALUE_BYTES_MAX {
            return None;
        }
        match (gap, joints) {
            (1, [joint, _]) | (2, [_, joint]) => Some(joint),
            _ => None,
        }
    }

    /// What stands before a value: its key.
    fn context(&self, joint: Option<&[u8]>) -> Vec<u8> {
        joint.map(|joint| [&self.key, joint].concat()).unwrap_or_default()
    }

    /// Whether the last key lies whole in the piece at hand, as it is.
    fn key_is_here(&self) -> bool {
        let bytes = u64::try_from(self.key.len()).unwrap_or(u64::MAX);
        !self.key_escaped && self.key_end.saturating_sub(bytes) > self.position
    }
}

/// Whether a token is known to hold nothing that is looked for, unless it is escaped.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Quiet {
    No,
    /// Nothing in the whole piece.
    Piece,
}

/// The token that stands for a text that is hidden as a whole.
fn instead(kind: MaskKind) -> &'static [u8] {
    if kind == MaskKind::Null { b"null" } else { b"\"[REDACTED]\"" }
}

/// A replaced string as a token.
pub(super) fn as_token(replaced: Replaced) -> Vec<u8> {
    match replaced {
        Replaced::With(text) => {
            let text: Cow<'_, str> = String::from_utf8_lossy(&text);
            token::quote(&text)
        }
        Replaced::Null | Replaced::Untouched => b"null".to_vec(),
    }
}
