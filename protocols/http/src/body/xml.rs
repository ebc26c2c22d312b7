//! XML (1.0, fifth edition) as it streams: elements, attributes and text.
//!
//! Not a validating reader: it checks that tags are closed in order, and refuses what would make
//! other readers see another text than it does: declarations of entities, other encodings.

mod token;

use engine::MaskKind;

use super::hide::{Hider, JUDGED_BYTES_MAX, PATH_BYTES_MAX, Replaced, TOO_LONG};
use super::{Unreadable, value};
use token::Token;
pub(super) use token::decode;

/// Deepest nesting of elements.
const DEPTH_MAX: usize = 256;
/// Longest tag, bytes.
const TAG_BYTES_MAX: usize = 64 * 1024;

pub(super) const INVALID: Unreadable =
    Unreadable { reason: "invalid_xml", what: "the body is not XML" };
const ENTITIES: Unreadable = Unreadable {
    reason: "invalid_xml",
    what: "the body declares entities or an encoding of its own",
};
const TOO_DEEP: Unreadable =
    Unreadable { reason: "too_deep", what: "the body is nested too deeply" };
const UNFINISHED: Unreadable =
    Unreadable { reason: "unfinished", what: "the body ends inside an element" };

/// One document.
#[derive(Default)]
pub(super) struct Xml {
    /// A token that is not whole.
    held: Vec<u8>,
    stack: Vec<Element>,
    /// Local names of the open elements.
    path: String,
    rows: u64,
}

#[derive(Debug)]
struct Element {
    /// With its prefix.
    name: Box<[u8]>,
    /// Bytes of the path around it.
    path: usize,
    mask: Option<MaskKind>,
    /// A text of it was replaced already.
    is_replaced: bool,
}

impl Xml {
    pub fn push(
        &mut self,
        bytes: &[u8],
        hide: &mut Hider,
        out: &mut Vec<u8>,
    ) -> Result<(), Unreadable> {
        if bytes.contains(&0) {
            return Err(INVALID);
        }
        let ends_tokens = memchr::memchr2(b'<', b'>', bytes).is_some();
        let mut held = std::mem::take(&mut self.held);
        held.extend_from_slice(bytes);
        let mut rest = held.as_slice();
        // Without either sign, a token that was not whole still is not.
        while ends_tokens && let Some((token, length)) = token::next(rest)? {
            check_length(rest, length)?;
            self.token(&token, hide, out)?;
            rest = rest.get(length..).unwrap_or_default();
        }
        check_length(rest, rest.len())?;
        self.held = if ends_tokens { rest.to_vec() } else { held };
        Ok(())
    }

    pub fn finish(&mut self, hide: &mut Hider, out: &mut Vec<u8>) -> Result<(), Unreadable> {
        let held = std::mem::take(&mut self.held);
        if held.first() == Some(&b'<') || !self.stack.is_empty() {
            return Err(UNFINISHED);
        }
        if !held.is_empty() {
            self.token(&Token::Text(&held), hide, out)?;
        }
        Ok(())
    }

    /// 1 once there is an element.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    fn token(
        &mut self,
        token: &Token<'_>,
        hide: &mut Hider,
        out: &mut Vec<u8>,
    ) -> Result<(), Unreadable> {
        let mask = self.stack.last().and_then(|element| element.mask);
        match *token {
            Token::Open { raw, is_empty } => self.open(raw, is_empty, hide, out),
            Token::Close { raw, name } => {
                let element = self.stack.pop().ok_or(INVALID)?;
                if *element.name != *name {
                    return Err(INVALID);
                }
                self.path.truncate(element.path);
                out.extend_from_slice(raw);
                Ok(())
            }
            Token::Text(raw) => self.text(raw, &token::decode(raw), hide, out),
            Token::Data { raw, content } => self.text(raw, content, hide, out),
            // What stands in a masked element belongs to its value.
            Token::Comment(_) | Token::Instruction(_) if mask.is_some() => Ok(()),
            Token::Instruction(raw) if declares_encoding(raw) => Err(ENTITIES),
            Token::Comment(raw) | Token::Instruction(raw) => {
                hide.within_text(b"", raw, out);
                Ok(())
            }
            Token::Doctype(raw) => {
                if raw.contains(&b'[') || !self.stack.is_empty() {
                    return Err(ENTITIES);
                }
                out.extend_from_slice(raw);
                Ok(())
            }
        }
    }

    fn open(
        &mut self,
        raw: &[u8],
        is_empty: bool,
        hide: &mut Hider,
        out: &mut Vec<u8>,
    ) -> Result<(), Unreadable> {
        if self.stack.len() >= DEPTH_MAX {
            return Err(TOO_DEEP);
        }
        let tag = token::tag(raw).ok_or(INVALID)?;
        self.rows = 1;
        let around = self.path.len();
        let inherited = self.stack.last().and_then(|element| element.mask);
        let own = self.named(tag.name, hide)?;
        let mask = own.into_iter().chain(inherited).min();
        let mut from = 0;
        for attribute in &tag.attributes {
            let text = token::decode(raw.get(attribute.value.clone()).unwrap_or_default());
            let is_namespace = attribute.name == b"xmlns" || attribute.name.starts_with(b"xmlns:");
            let end = self.path.len();
            let own = self.named(attribute.name, hide)?;
            self.path.truncate(end);
            let replaced = match own.into_iter().chain(mask).min() {
                Some(kind) if own.is_some() || !is_namespace => {
                    hide.masked(kind, &String::from_utf8_lossy(&text))
                }
                _ => {
                    let context = [attribute.name, b"=\""].concat();
                    self.judge(&text, &context, hide)?
                }
            };
            if replaced != Replaced::Untouched {
                out.extend_from_slice(raw.get(from..attribute.value.start).unwrap_or_default());
                write(replaced, out);
                from = attribute.value.end;
            }
        }
        out.extend_from_slice(raw.get(from..).unwrap_or_default());
        if is_empty {
            self.path.truncate(around);
        } else {
            let name = tag.name.into();
            self.stack.push(Element { name, path: around, mask, is_replaced: false });
        }
        Ok(())
    }

    /// Adds the name to the path, and finds its mask.
    fn named(&mut self, name: &[u8], hide: &mut Hider) -> Result<Option<MaskKind>, Unreadable> {
        if !hide.has_fields() {
            return Ok(None);
        }
        let name = String::from_utf8_lossy(name);
        let local = name.rsplit(':').next().unwrap_or_default();
        if !self.path.is_empty() {
            self.path.push('.');
        }
        self.path.push_str(local);
        if self.path.len() > PATH_BYTES_MAX {
            return Err(TOO_LONG);
        }
        Ok(hide.field(local, &self.path, &name))
    }

    fn text(
        &mut self,
        raw: &[u8],
        content: &[u8],
        hide: &mut Hider,
        out: &mut Vec<u8>,
    ) -> Result<(), Unreadable> {
        let shown = content.strip_prefix(b"\xef\xbb\xbf").unwrap_or(content);
        if shown.trim_ascii().is_empty() {
            out.extend_from_slice(raw);
            return Ok(());
        }
        let Some(element) = self.stack.last_mut() else { return Err(INVALID) };
        if let Some(kind) = element.mask {
            // A text in several pieces is one value.
            // Who follows it is told every piece.
            if !std::mem::replace(&mut element.is_replaced, true) || hide.tells() {
                write(hide.masked(kind, &String::from_utf8_lossy(content)), out);
            }
            return Ok(());
        }
        let context = [&*element.name, b">"].concat();
        match self.judge(content, &context, hide)? {
            Replaced::Untouched => out.extend_from_slice(raw),
            replaced => write(replaced, out),
        }
        Ok(())
    }

    fn judge(&self, text: &[u8], context: &[u8], hide: &mut Hider) -> Result<Replaced, Unreadable> {
        let place = value::Place { path: &self.path, context, level: 0 };
        value::judge(&String::from_utf8_lossy(text), place, hide)
    }
}

/// Whether a token that begins here may have this length.
fn check_length(token: &[u8], length: usize) -> Result<(), Unreadable> {
    let is_tag = token.first() == Some(&b'<') && token.get(1) != Some(&b'!');
    let most = if is_tag { TAG_BYTES_MAX } else { JUDGED_BYTES_MAX };
    if length > most { Err(TOO_LONG) } else { Ok(()) }
}

/// Writes a text that can stand in an element and in an attribute.
fn write(replaced: Replaced, out: &mut Vec<u8>) {
    let Replaced::With(text) = replaced else { return };
    for byte in text {
        match byte {
            b'<' => out.extend_from_slice(b"&lt;"),
            b'>' => out.extend_from_slice(b"&gt;"),
            b'&' => out.extend_from_slice(b"&amp;"),
            b'"' => out.extend_from_slice(b"&quot;"),
            b'\'' => out.extend_from_slice(b"&apos;"),
            byte => out.push(byte),
        }
    }
}

/// Whether an XML declaration names an encoding in which bytes mean something else.
fn declares_encoding(raw: &[u8]) -> bool {
    let text = String::from_utf8_lossy(raw).to_ascii_lowercase();
    let Some(rest) = text.strip_prefix("<?xml") else { return false };
    let Some((_, encoding)) = rest.split_once("encoding") else { return false };
    let encoding = encoding.trim_start().trim_start_matches('=').trim_start();
    let encoding = encoding.trim_start_matches(['"', '\'']);
    !["utf-8", "us-ascii", "iso-8859-1", "windows-1252"]
        .iter()
        .any(|known| encoding.strip_prefix(known).is_some_and(|rest| rest.starts_with(['"', '\''])))
}
