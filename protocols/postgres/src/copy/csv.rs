//! Rows of the CSV format: columns between delimiters; quotes may hold those and ends of lines.

use std::borrow::Cow;

use bytes::{BufMut, BytesMut};
use engine::Fault;
use model::DetectionCount;

use super::{COLUMN_COUNT, Columns, ForceQuote, Piece};
use crate::mask::Hidden;

const END_MARK: &[u8] = b"\\.\n";

#[derive(Debug)]
pub(super) struct CsvRows {
    delimiter: u8,
    quote: u8,
    escape: u8,
    null: Vec<u8>,
    force_quote: ForceQuote,
    /// Bytes of the present row that were looked at for its end.
    seen: usize,
    /// Within quotes there.
    quoted: bool,
    /// An escape that is not itself escaped stands right before.
    escaped: bool,
}

/// A column of a row.
struct Field<'a> {
    /// As it is written.
    raw: &'a [u8],
    value: Cow<'a, [u8]>,
    quoted: bool,
}

impl CsvRows {
    pub fn new(
        delimiter: u8,
        (quote, escape): (u8, u8),
        null: Vec<u8>,
        force_quote: ForceQuote,
    ) -> Self {
        let (seen, quoted, escaped) = (0, false, false);
        Self { delimiter, quote, escape, null, force_quote, seen, quoted, escaped }
    }

    /// The length of the first row, its end included. Quotes are followed as `CopyReadLineText`
    /// does: where quote and escape are the same byte, a doubled one leaves and reenters.
    pub fn next(&mut self, data: &[u8]) -> Option<(usize, Piece)> {
        while let Some(rest) = data.get(self.seen..) {
            let Some(skip) = memchr::memchr3(b'\n', self.quote, self.escape, rest) else {
                self.escaped &= rest.is_empty();
                self.seen = data.len();
                return None;
            };
            self.escaped &= skip == 0;
            let at = self.seen.saturating_add(skip);
            self.seen = at.saturating_add(1);
            let byte = data.get(at).copied().unwrap_or_default();
            let own_escape = self.escape != self.quote;
            if self.quoted && own_escape && byte == self.escape {
                self.escaped = !self.escaped;
                continue;
            }
            if byte == self.quote && !self.escaped {
                self.quoted = !self.quoted;
            }
            self.escaped = false;
            if byte == b'\n' && !self.quoted {
                let length = std::mem::take(&mut self.seen);
                let mark = data.get(..length) == Some(END_MARK);
                return Some((length, if mark { Piece::Frame } else { Piece::Row }));
            }
        }
        None
    }

    pub fn mask(
        &self,
        row: &[u8],
        columns: &Columns,
        out: &mut BytesMut,
        found: &mut Vec<DetectionCount>,
    ) -> Result<(), Fault> {
        if memchr::memchr2(self.quote, self.escape, row).is_none() && columns.quiet(row) {
            out.put_slice(row);
            return Ok(());
        }
        let line = row.strip_suffix(b"\n").unwrap_or(row);
        let mut rest = Some(line);
        let single = columns.masks.len() == 1;
        for (index, column) in columns.masks.iter().enumerate() {
            let field = self.field(&mut rest)?;
            if index > 0 {
                out.put_u8(self.delimiter);
            }
            if column.is_noop() || !field.quoted && *field.value == *self.null {
                out.put_slice(field.raw);
                continue;
            }
            let mut masked = BytesMut::new();
            columns.tell(index, &field.value);
            let detections = columns.detections.as_ref();
            match column.hide(&field.value, detections, &columns.key, &mut masked, found) {
                Hidden::Null => out.put_slice(&self.null),
                Hidden::Untouched => out.put_slice(field.raw),
                Hidden::Written => {
                    let force = match self.force_quote {
                        ForceQuote::All => true,
                        ForceQuote::None => false,
                        ForceQuote::Some => field.quoted,
                    };
                    self.put(&masked, force || single && *masked == *b"\\.", out);
                }
            }
        }
        if rest.is_some_and(|rest| !columns.masks.is_empty() || !rest.is_empty()) {
            return Err(COLUMN_COUNT);
        }
        out.put_u8(b'\n');
        Ok(())
    }

    /// Takes the next field, as `CopyReadAttributesCSV` does.
    fn field<'a>(&self, rest: &mut Option<&'a [u8]>) -> Result<Field<'a>, Fault> {
        let line = rest.ok_or(COLUMN_COUNT)?;
        let mut value = Vec::new();
        let (mut at, mut inside, mut quoted) = (0, false, false);
        while let Some(byte) = line.get(at).copied() {
            at = at.saturating_add(1);
            let next = line.get(at).copied();
            if inside {
                let escapes = |next: &u8| *next == self.escape || *next == self.quote;
                if byte == self.escape
                    && let Some(next) = next.filter(escapes)
                {
                    value.push(next);
                    at = at.saturating_add(1);
                } else if byte == self.quote {
                    inside = false;
                } else {
                    value.push(byte);
                }
            } else if byte == self.quote {
                (inside, quoted) = (true, true);
            } else if byte == self.delimiter {
                let raw = line.get(..at.saturating_sub(1)).unwrap_or_default();
                *rest = line.get(at..);
                return Ok(Field { raw, value: value.into(), quoted });
            } else {
                value.push(byte);
            }
        }
        if inside {
            return Err(Fault::upstream("COPY value without its closing quote"));
        }
        *rest = None;
        Ok(Field { raw: line, value: value.into(), quoted })
    }

    /// As `CopyAttributeOutCSV`.
    fn put(&self, value: &[u8], force: bool, out: &mut BytesMut) {
        let special = |byte: &u8| {
            matches!(*byte, b'\n' | b'\r') || [self.delimiter, self.quote].contains(byte)
        };
        if !force && value != self.null && !value.iter().any(special) {
            out.put_slice(value);
            return;
        }
        out.put_u8(self.quote);
        for byte in value {
            if [self.quote, self.escape].contains(byte) {
                out.put_u8(self.escape);
            }
            out.put_u8(*byte);
        }
        out.put_u8(self.quote);
    }
}
