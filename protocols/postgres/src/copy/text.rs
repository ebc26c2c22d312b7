//! Rows of the text format: lines whose columns a delimiter separates, with backslash escapes.

use std::borrow::Cow;

use bytes::{BufMut, BytesMut};
use engine::Fault;
use model::DetectionCount;

use super::{COLUMN_COUNT, Columns, Piece};
use crate::mask::Hidden;

const END_MARK: &[u8] = b"\\.\n";

#[derive(Debug)]
pub(super) struct TextRows {
    delimiter: u8,
    null: Vec<u8>,
    /// Bytes of the present row that were looked at for its end.
    seen: usize,
}

impl TextRows {
    pub fn new(delimiter: u8, null: Vec<u8>) -> Self {
        Self { delimiter, null, seen: 0 }
    }

    /// The length of the first line, its end included.
    pub fn next(&mut self, data: &[u8]) -> Option<(usize, Piece)> {
        while let Some(rest) = data.get(self.seen..) {
            let Some(skip) = memchr::memchr2(b'\n', b'\\', rest) else {
                self.seen = data.len();
                return None;
            };
            let at = self.seen.saturating_add(skip);
            if data.get(at) == Some(&b'\n') {
                self.seen = 0;
                let length = at.saturating_add(1);
                let mark = data.get(..length) == Some(END_MARK);
                return Some((length, if mark { Piece::Frame } else { Piece::Row }));
            }
            if data.len() <= at.saturating_add(1) {
                self.seen = at;
                return None;
            }
            self.seen = at.saturating_add(2);
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
        if memchr::memchr(b'\\', row).is_none() && columns.quiet(row) {
            out.put_slice(row);
            return Ok(());
        }
        let line = row.strip_suffix(b"\n").unwrap_or(row);
        let mut rest = Some(line);
        for (index, column) in columns.masks.iter().enumerate() {
            let field = self.field(&mut rest).ok_or(COLUMN_COUNT)?;
            if index > 0 {
                out.put_u8(self.delimiter);
            }
            if column.is_noop() || field == self.null {
                out.put_slice(field);
                continue;
            }
            let value = unescape(field);
            let mut masked = BytesMut::new();
            columns.tell(index, &value);
            let detections = columns.detections.as_ref();
            match column.hide(&value, detections, &columns.key, &mut masked, found) {
                Hidden::Null => out.put_slice(&self.null),
                Hidden::Untouched => out.put_slice(field),
                Hidden::Written => self.escape(&masked, out),
            }
        }
        if rest.is_some_and(|rest| !columns.masks.is_empty() || !rest.is_empty()) {
            return Err(COLUMN_COUNT);
        }
        out.put_u8(b'\n');
        Ok(())
    }

    /// Takes the next field; `None` when there is none.
    fn field<'a>(&self, rest: &mut Option<&'a [u8]>) -> Option<&'a [u8]> {
        let line = (*rest)?;
        let mut at = 0;
        loop {
            let skip = memchr::memchr2(self.delimiter, b'\\', line.get(at..).unwrap_or_default());
            let Some(skip) = skip else {
                *rest = None;
                return Some(line);
            };
            at = at.saturating_add(skip);
            if line.get(at) == Some(&self.delimiter) {
                *rest = line.get(at.saturating_add(1)..);
                return line.get(..at);
            }
            at = at.saturating_add(2);
        }
    }

    /// As `CopyAttributeOutText`.
    fn escape(&self, value: &[u8], out: &mut BytesMut) {
        for byte in value {
            let letter = match byte {
                0x08 => b'b',
                0x0c => b'f',
                b'\n' => b'n',
                b'\r' => b'r',
                b'\t' => b't',
                0x0b => b'v',
                b'\\' => b'\\',
                other if *other == self.delimiter => *other,
                other => {
                    out.put_u8(*other);
                    continue;
                }
            };
            out.put_slice(&[b'\\', letter]);
        }
    }
}

/// The value that a field stands for.
fn unescape(field: &[u8]) -> Cow<'_, [u8]> {
    if memchr::memchr(b'\\', field).is_none() {
        return Cow::Borrowed(field);
    }
    let mut value = Vec::with_capacity(field.len());
    let mut bytes = field.iter();
    while let Some(byte) = bytes.next() {
        if *byte != b'\\' {
            value.push(*byte);
            continue;
        }
        value.push(match bytes.next() {
            Some(b'b') => 0x08,
            Some(b'f') => 0x0c,
            Some(b'n') => b'\n',
            Some(b'r') => b'\r',
            Some(b't') => b'\t',
            Some(b'v') => 0x0b,
            Some(other) => *other,
            None => b'\\',
        });
    }
    Cow::Owned(value)
}
