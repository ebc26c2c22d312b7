//! Parts with fields of their own (RFC 2046, 5.1; RFC 7578).
//!
//! Readers differ in what they take for the line between parts, so whatever only some would take
//! for one is refused.

use engine::MaskKind;
use memchr::memmem::Finder;

use super::hide::{Hider, JUDGED_BYTES_MAX, Replaced, TOO_LONG};
use super::media::{MediaType, parameters};
use super::{AMBIGUOUS, Document, Kind, Unreadable, json};

/// Fields of one part, bytes.
const HEADER_BYTES_MAX: usize = 16 * 1024;
/// Parts of one body.
const PARTS_MAX: u64 = 1000;
/// RFC 2046: at most 70 characters.
const BOUNDARY_BYTES_MAX: usize = 70;

const INVALID: Unreadable =
    Unreadable { reason: "invalid_multipart", what: "the body is not what its boundary says" };
const UNFINISHED: Unreadable =
    Unreadable { reason: "unfinished", what: "the body ends before its last part does" };
const TOO_MANY: Unreadable =
    Unreadable { reason: "too_long", what: "the body has too many or too long parts" };
const UNDECODED: Unreadable = Unreadable {
    reason: "unknown_coding",
    what: "a part of the body has a transfer encoding that is not undone",
};

/// One body of parts.
pub(super) struct Multipart {
    /// A line feed, two dashes and the boundary.
    line: Finder<'static>,
    held: Vec<u8>,
    state: State,
    parts: u64,
    /// Nothing of the part's body was read yet.
    is_fresh: bool,
    /// Of parts that are over.
    opaque_bytes: u64,
}

enum State {
    /// Before the first line between parts.
    Start,
    /// After a line between parts: its end, then the fields of a part.
    Fields,
    Body(Part),
    /// After the last line.
    End,
}

enum Part {
    Document(Box<Document>),
    /// The value, which is replaced.
    Masked {
        kind: MaskKind,
        value: Vec<u8>,
        is_json: bool,
    },
}

impl Multipart {
    pub fn new(boundary: &str) -> Self {
        let line = format!("\n--{boundary}");
        Self {
            line: Finder::new(line.as_bytes()).into_owned(),
            held: Vec::new(),
            state: State::Start,
            parts: 0,
            is_fresh: false,
            opaque_bytes: 0,
        }
    }

    pub fn push(
        &mut self,
        bytes: &[u8],
        hide: &mut Hider,
        out: &mut Vec<u8>,
    ) -> Result<(), Unreadable> {
        self.held.extend_from_slice(bytes);
        while self.step(hide, out)? {}
        Ok(())
    }

    pub fn finish(&mut self) -> Result<(), Unreadable> {
        match self.state {
            State::End => Ok(()),
            State::Start if self.held.is_empty() => Ok(()),
            _ => Err(UNFINISHED),
        }
    }

    pub fn rows(&self) -> u64 {
        self.parts
    }

    /// Of parts that nobody looked into.
    pub fn opaque_bytes(&self) -> u64 {
        let of_part = match &self.state {
            State::Body(Part::Document(document)) => document.opaque_bytes(),
            _ => 0,
        };
        self.opaque_bytes.saturating_add(of_part)
    }

    /// The boundary with its two dashes.
    fn dashed(&self) -> &[u8] {
        self.line.needle().get(1..).unwrap_or_default()
    }

    /// Does what can be done with what is held; whether more may be.
    fn step(&mut self, hide: &mut Hider, out: &mut Vec<u8>) -> Result<bool, Unreadable> {
        match &self.state {
            State::Start => self.start(out),
            State::Fields => self.fields(hide, out),
            State::Body(_) => self.body(hide, out),
            State::End => {
                // An epilogue is shown by some readers and by others not.
                if self.held.iter().any(|byte| !byte.is_ascii_whitespace()) {
                    return Err(AMBIGUOUS);
                }
                out.append(&mut self.held);
                Ok(false)
            }
        }
    }

    fn start(&mut self, out: &mut Vec<u8>) -> Result<bool, Unreadable> {
        let boundary = self.dashed().len().saturating_sub(2);
        if boundary == 0 || boundary > BOUNDARY_BYTES_MAX {
            return Err(INVALID);
        }
        let blank = self.held.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
        let rest = self.held.get(blank..).unwrap_or_default();
        let shared = rest.len().min(self.dashed().len());
        // A preamble is shown by some readers and by others not.
        if rest.get(..shared) != self.dashed().get(..shared) || blank > HEADER_BYTES_MAX {
            return Err(AMBIGUOUS);
        }
        if shared < self.dashed().len() {
            return Ok(false);
        }
        self.release(blank + shared, out);
        self.state = State::Fields;
        Ok(true)
    }

    /// What follows a line between parts.
    fn fields(&mut self, hide: &mut Hider, out: &mut Vec<u8>) -> Result<bool, Unreadable> {
        if self.held.starts_with(b"--") {
            self.release(2, out);
            self.state = State::End;
            return Ok(true);
        }
        let blanks = self.held.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
        let rest = self.held.get(blanks..).unwrap_or_default();
        let ends_line = b"\r\n".starts_with(rest.get(..rest.len().min(2)).unwrap_or_default());
        let may_be_last = self.held == b"-";
        if !ends_line && !may_be_last {
            return Err(AMBIGUOUS);
        }
        let end = if rest.starts_with(b"\r\n\r\n") {
            Some(0)
        } else {
            memchr::memmem::find(rest.get(2..).unwrap_or_default(), b"\r\n\r\n").map(|at| at + 2)
        };
        let Some(end) = end else {
            return if self.held.len() > HEADER_BYTES_MAX { Err(TOO_MANY) } else { Ok(false) };
        };
        self.parts += 1;
        if self.parts > PARTS_MAX || end > HEADER_BYTES_MAX {
            return Err(TOO_MANY);
        }
        let block = rest.get(2..end).unwrap_or_default().to_vec();
        let fields = Fields::read(&block)?;
        let part = fields.part(hide)?;
        out.extend_from_slice(self.held.get(..blanks).unwrap_or_default());
        out.extend_from_slice(b"\r\n");
        hide.within_text(b"", &block, out);
        out.extend_from_slice(if end == 0 { b"\r\n" } else { b"\r\n\r\n" });
        self.held.drain(..blanks + end + 4);
        self.is_fresh = true;
        self.state = State::Body(part);
        Ok(true)
    }

    fn body(&mut self, hide: &mut Hider, out: &mut Vec<u8>) -> Result<bool, Unreadable> {
        if self.is_fresh && self.held.starts_with(self.dashed()) {
            // Nothing between the fields and the boundary: some see a part, others do not.
            return Err(AMBIGUOUS);
        }
        let found = self.line.find(&self.held);
        let end = match found {
            Some(at) => at.checked_sub(1).filter(|at| self.held.get(*at) == Some(&b'\r')),
            // All of a line between parts but its last byte may be here.
            None => Some(self.held.len().saturating_sub(self.line.needle().len() + 1)),
        };
        let Some(end) = end else { return Err(AMBIGUOUS) };
        let State::Body(part) = &mut self.state else { return Ok(false) };
        let content = self.held.get(..end).unwrap_or_default();
        match part {
            Part::Document(document) => document.push(content, hide, out)?,
            Part::Masked { value, .. } => {
                value.extend_from_slice(content);
                if value.len() > JUDGED_BYTES_MAX {
                    return Err(TOO_LONG);
                }
            }
        }
        self.held.drain(..end);
        self.is_fresh &= end == 0;
        if found.is_none() {
            return Ok(false);
        }
        match part {
            Part::Document(document) => {
                document.finish(hide, out)?;
                self.opaque_bytes = self.opaque_bytes.saturating_add(document.opaque_bytes());
            }
            Part::Masked { kind, value, is_json } => {
                let replaced = hide.masked(*kind, &String::from_utf8_lossy(value));
                match replaced {
                    replaced if *is_json => out.extend_from_slice(&json::as_token(replaced)),
                    Replaced::With(text) => out.extend_from_slice(&text),
                    Replaced::Null | Replaced::Untouched => {}
                }
            }
        }
        self.release(self.line.needle().len() + 1, out);
        self.state = State::Fields;
        Ok(true)
    }

    fn release(&mut self, to: usize, out: &mut Vec<u8>) {
        out.extend_from_slice(self.held.get(..to).unwrap_or_default());
        self.held.drain(..to.min(self.held.len()));
    }
}

/// What the fields of a part say.
#[derive(Debug, Default)]
struct Fields {
    names: Vec<String>,
    content_type: Option<String>,
    encoding: Option<String>,
}

impl Fields {
    fn read(block: &[u8]) -> Result<Self, Unreadable> {
        let text = String::from_utf8_lossy(block);
        let mut fields = Self::default();
        for line in text.split("\r\n").filter(|line| !line.is_empty()) {
            // Folded and broken lines are read differently by different readers.
            let (name, value) = line.split_once(':').ok_or(AMBIGUOUS)?;
            let is_token = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
            if !name.bytes().all(is_token) || value.contains(['\r', '\n', '\0']) {
                return Err(AMBIGUOUS);
            }
            let slot = match name.to_ascii_lowercase().as_str() {
                "content-disposition" => {
                    if !fields.names.is_empty() {
                        return Err(AMBIGUOUS);
                    }
                    fields.names = names(value)?;
                    continue;
                }
                "content-type" => &mut fields.content_type,
                "content-transfer-encoding" => &mut fields.encoding,
                _ => continue,
            };
            if slot.replace(value.trim().to_owned()).is_some() {
                return Err(AMBIGUOUS);
            }
        }
        Ok(fields)
    }

    fn part(&self, hide: &mut Hider) -> Result<Part, Unreadable> {
        let mut mask = None;
        for name in &self.names {
            let path = name.replace("][", ".").replace('[', ".").replace(']', "");
            let path = path.trim_end_matches('.');
            let last = path.rsplit('.').next().unwrap_or_default();
            mask = mask.into_iter().chain(hide.field(last, path, name)).min();
        }
        // RFC 7578, 4.4: without a type it is text.
        let content = match self.content_type.as_deref() {
            None => Kind::Text,
            Some(text) => MediaType::parse(text).map_or(Kind::Opaque, |media| media.kind()),
        };
        if let Some(kind) = mask {
            let is_json = matches!(content, Kind::Json | Kind::NdJson);
            return Ok(Part::Masked { kind, value: Vec::new(), is_json });
        }
        let encoding = self.encoding.as_deref().unwrap_or("binary");
        if !["7bit", "8bit", "binary"].iter().any(|known| encoding.eq_ignore_ascii_case(known)) {
            return if hide.hides() { Err(UNDECODED) } else { Ok(document(&Kind::Opaque)) };
        }
        match content {
            Kind::Multipart { .. } if hide.hides() => Err(AMBIGUOUS),
            Kind::Multipart { .. } => Ok(document(&Kind::Opaque)),
            kind => Ok(document(&kind)),
        }
    }
}

fn document(kind: &Kind) -> Part {
    Part::Document(Box::new(Document::new(kind)))
}

/// The names that a part may have, by whatever a reader makes of its `Content-Disposition`.
fn names(value: &str) -> Result<Vec<String>, Unreadable> {
    let Some((_, rest)) = value.split_once(';') else { return Ok(Vec::new()) };
    let found = parameters(rest).ok_or(AMBIGUOUS)?;
    let mut names = Vec::new();
    for (name, value) in found {
        match name.as_str() {
            "name" if names.is_empty() => {
                let decoded = percent_encoding::percent_decode_str(&value).decode_utf8_lossy();
                names.push(decoded.into_owned());
                names.push(value);
            }
            // RFC 7578, 4.2 forbids the extended form, and readers differ about a second name.
            "name" | "name*" | "name*0" | "name*0*" => return Err(AMBIGUOUS),
            _ => {}
        }
    }
    Ok(names)
}
