//! A recorded reply as lines for people.
//!
//! The record may begin within a reply and end anywhere, and may hold whatever a server sent; what
//! cannot be read is counted, not shown. Lines, their width and their number are bounded, and
//! nothing in them can move a terminal's cursor or turn its text around.

use std::fmt::Write as _;

use model::Side;
use model::text::is_unseen;

use crate::message::{self, FieldDescription, HEADER, Reader};
use crate::types;

/// Lines of one reply.
const LINES_MAX: usize = 2_000;
/// Characters of a line.
const LINE_CHARACTERS_MAX: usize = 400;
/// Characters of a value.
const VALUE_CHARACTERS_MAX: usize = 120;
/// Bytes of a value that are looked at.
const VALUE_BYTES_MAX: usize = 64 * 1024;

/// Lines for the reply's columns, rows, results and errors, without their ends.
#[must_use]
pub fn render(payload: &[u8]) -> Vec<String> {
    let mut page = Page::default();
    let mut rest = payload;
    while let Some((tag, body, after)) = next(rest) {
        rest = after;
        page.message(tag, body);
        if page.lines.len() > LINES_MAX {
            page.lines.truncate(LINES_MAX);
            page.lines.push(format!("… {} more bytes", rest.len()));
            return page.lines;
        }
    }
    if !rest.is_empty() {
        page.lines.push(format!("… {} more bytes, cut here", rest.len()));
    }
    page.lines
}

/// The first whole message, and what follows it.
fn next(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (tag, length) = message::header(bytes, usize::MAX, Side::Upstream).ok()??;
    let (whole, after) = bytes.split_at_checked(length)?;
    Some((tag, whole.get(HEADER..)?, after))
}

#[derive(Default)]
struct Page {
    lines: Vec<String>,
    fields: Vec<FieldDescription>,
}

impl Page {
    fn message(&mut self, tag: u8, body: &[u8]) {
        let line = match tag {
            b'T' => self.header(body),
            b'D' => self.row(body),
            b'C' => Some(clean(cstr(body))),
            b'E' => report("", body),
            b'N' => report("notice: ", body),
            b'A' => notification(body),
            b'I' => Some("(empty statement)".to_owned()),
            b's' => Some("(more rows may follow)".to_owned()),
            b'H' => copying("COPY to the client", body),
            b'G' => copying("COPY from the client", body),
            b'd' => return self.copied(body),
            b'S' => setting(body),
            // Progress of the protocol, without content.
            b'1' | b'2' | b'3' | b'c' | b'n' | b't' | b'Z' | b'K' | b'R' => return,
            _ => None,
        };
        let unknown = || format!("({} bytes that are not understood)", body.len());
        self.push(line.unwrap_or_else(unknown));
    }

    fn push(&mut self, line: String) {
        self.lines.push(clip(line, LINE_CHARACTERS_MAX));
    }

    fn header(&mut self, body: &[u8]) -> Option<String> {
        self.fields = message::row_description(body).ok()?;
        let labels = self.fields.iter().map(|field| value(&field.label));
        Some(join(labels))
    }

    fn row(&self, body: &[u8]) -> Option<String> {
        let mut reader = Reader::new(body, Side::Upstream);
        let count = reader.count().ok()?;
        let mut values = Vec::new();
        for index in 0..count {
            let shown = match reader.value().ok()? {
                None => "NULL".to_owned(),
                Some(bytes) => self.value(index, bytes),
            };
            // What does not fit the line need not be read.
            if values.len() < LINE_CHARACTERS_MAX {
                values.push(shown);
            }
        }
        reader.end().ok()?;
        Some(join(values.into_iter()))
    }

    fn value(&self, index: usize, bytes: &[u8]) -> String {
        let decoded = self
            .fields
            .get(index)
            .filter(|field| field.format == 1 && bytes.len() <= VALUE_BYTES_MAX)
            .and_then(|field| types::canonical(field.type_oid, 1, bytes));
        match (decoded, self.fields.get(index)) {
            (Some(text), _) => value(text.as_bytes()),
            (None, Some(field)) if field.format == 1 => hexadecimal(bytes),
            _ => value(bytes),
        }
    }

    /// The lines of a text payload, or the bytes of another.
    fn copied(&mut self, body: &[u8]) {
        let text = body.strip_suffix(b"\n").unwrap_or(body);
        let shown = text.get(..text.len().min(VALUE_BYTES_MAX)).unwrap_or_default();
        if !readable(shown) {
            return self.push(hexadecimal(body));
        }
        for line in shown.split(|byte| *byte == b'\n').take(LINES_MAX) {
            self.push(clean(line));
        }
    }
}

fn join(values: impl Iterator<Item = String>) -> String {
    let mut line = String::new();
    for (index, value) in values.enumerate() {
        if index > 0 {
            line.push_str(" | ");
        }
        line.push_str(&value);
        if line.len() > LINE_CHARACTERS_MAX * 4 {
            break;
        }
    }
    line
}

fn cstr(body: &[u8]) -> &[u8] {
    body.split(|byte| *byte == 0).next().unwrap_or_default()
}

/// `ERROR 42P01: relation "x" does not exist`, and what else it says.
fn report(prefix: &str, body: &[u8]) -> Option<String> {
    let mut reader = Reader::new(body, Side::Upstream);
    let (mut severity, mut code, mut words, mut more): (&[u8], &[u8], &[u8], _) =
        (b"", b"", b"", String::new());
    loop {
        let kind = reader.u8().ok()?;
        if kind == 0 {
            break;
        }
        let text = reader.cstr().ok()?;
        match kind {
            b'S' => severity = text,
            b'C' => code = text,
            b'M' => words = text,
            b'D' | b'H' => {
                let name = if kind == b'D' { "detail" } else { "hint" };
                // Writing to a string cannot fail.
                let _ = write!(more, " ({name}: {})", clean(text));
            }
            _ => {}
        }
    }
    let [severity, code, words] = [severity, code, words].map(clean);
    Some(format!("{prefix}{severity} {code}: {words}{more}"))
}

fn notification(body: &[u8]) -> Option<String> {
    let mut reader = Reader::new(body, Side::Upstream);
    let process = reader.i32().ok()?;
    let channel = clean(reader.cstr().ok()?);
    let payload = clean(reader.cstr().ok()?);
    Some(format!("notification on {channel} from process {process}: {payload}"))
}

fn setting(body: &[u8]) -> Option<String> {
    let mut reader = Reader::new(body, Side::Upstream);
    let name = clean(reader.cstr().ok()?);
    Some(format!("setting {name} = {}", clean(reader.cstr().ok()?)))
}

fn copying(what: &str, body: &[u8]) -> Option<String> {
    let mut reader = Reader::new(body, Side::Upstream);
    let format = if reader.u8().ok()? == 0 { "text" } else { "binary" };
    Some(format!("{what}, {format}, {} columns", reader.count().ok()?))
}

/// A value as one cell of a line.
fn value(bytes: &[u8]) -> String {
    let shown = bytes.get(..bytes.len().min(VALUE_BYTES_MAX)).unwrap_or_default();
    if !readable(shown) {
        return hexadecimal(bytes);
    }
    clip(clean(shown), VALUE_CHARACTERS_MAX)
}

/// Whether the bytes are text; a character that was cut at the end does not matter.
fn readable(bytes: &[u8]) -> bool {
    let text = std::str::from_utf8(bytes).map_err(|error| error.error_len());
    !bytes.contains(&0) && matches!(text, Ok(_) | Err(None))
}

fn hexadecimal(bytes: &[u8]) -> String {
    let shown = bytes.get(..bytes.len().min(VALUE_CHARACTERS_MAX)).unwrap_or_default();
    clip(types::bytea_text(shown), VALUE_CHARACTERS_MAX)
}

/// The text without anything that a terminal would obey: control characters, and characters that
/// are invisible or change the direction of text.
fn clean(text: &[u8]) -> String {
    let shown = text.get(..text.len().min(VALUE_BYTES_MAX)).unwrap_or_default();
    let mut clean = String::with_capacity(shown.len());
    for character in String::from_utf8_lossy(shown).chars() {
        match character {
            '\n' => clean.push_str("\\n"),
            '\r' => clean.push_str("\\r"),
            '\t' => clean.push_str("\\t"),
            unseen if is_unseen(unseen) => clean.extend(unseen.escape_unicode()),
            plain => clean.push(plain),
        }
    }
    clean
}

fn clip(mut text: String, characters: usize) -> String {
    if let Some((at, _)) = text.char_indices().nth(characters) {
        text.truncate(at);
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests;
