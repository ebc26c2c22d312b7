//! Rows of the binary format: a header, tuples of counted fields, a trailer.

use bytes::{BufMut, BytesMut};
use engine::Fault;
use model::{DetectionCount, Side};

use super::{COLUMN_COUNT, Columns, Piece, ROW_BYTES_MAX, ROW_TOO_LONG};
use crate::mask::Hidden;
use crate::message::Reader;
use crate::rows::put_length;

const SIGNATURE: &[u8; 11] = b"PGCOPY\n\xff\r\n\0";
/// Signature, flags and the length of the header's extension.
const HEADER_BYTES: usize = 19;
/// Flags that change how the data is read; the only one ever defined added object identifiers.
const CRITICAL_FLAGS: u32 = 0xffff_0000;

/// What comes next in the stream.
#[derive(Debug, Default)]
pub(super) enum BinaryRows {
    #[default]
    Header,
    /// A tuple: its fields that remain when its count was read, and where the next one begins.
    Tuple { fields: Option<u16>, seen: usize },
    /// Nothing.
    End,
}

impl BinaryRows {
    /// The length of what the data begins with, when it is complete.
    pub fn next(&mut self, data: &[u8]) -> Result<Option<(usize, Piece)>, Fault> {
        match self {
            Self::Header => {
                let length = header_length(data)?;
                if length.is_some() {
                    *self = Self::Tuple { fields: None, seen: 0 };
                }
                Ok(length.map(|length| (length, Piece::Frame)))
            }
            Self::Tuple { fields, seen } => {
                let left = match *fields {
                    Some(left) => left,
                    None => {
                        let Some(count) = data.first_chunk::<2>() else { return Ok(None) };
                        let count = i16::from_be_bytes(*count);
                        if count == -1 {
                            *self = Self::End;
                            return Ok(Some((2, Piece::Frame)));
                        }
                        *seen = 2;
                        u16::try_from(count)
                            .map_err(|_| Fault::upstream("COPY tuple with a negative count"))?
                    }
                };
                for remaining in (1..=left).rev() {
                    *fields = Some(remaining);
                    let Some(end) = field_end(data, *seen)? else { return Ok(None) };
                    *seen = end;
                }
                let length = *seen;
                *self = Self::Tuple { fields: None, seen: 0 };
                Ok(Some((length, Piece::Row)))
            }
            Self::End if data.is_empty() => Ok(None),
            Self::End => Err(Fault::upstream("COPY data after its trailer")),
        }
    }
}

/// Where the field that begins at `at` ends, when all of it is there.
fn field_end(data: &[u8], at: usize) -> Result<Option<usize>, Fault> {
    let Some(length) = data.get(at..).and_then(|rest| rest.first_chunk::<4>()) else {
        return Ok(None);
    };
    let start = at.saturating_add(4);
    let length = match i32::from_be_bytes(*length) {
        -1 => 0,
        length => usize::try_from(length)
            .map_err(|_| Fault::upstream("COPY field with a negative length"))?,
    };
    let end = start.saturating_add(length);
    if end > ROW_BYTES_MAX {
        return Err(ROW_TOO_LONG);
    }
    Ok((end <= data.len()).then_some(end))
}

fn header_length(data: &[u8]) -> Result<Option<usize>, Fault> {
    let known = data.len().min(SIGNATURE.len());
    if data.get(..known) != SIGNATURE.get(..known) {
        return Err(Fault::upstream("COPY data without its signature"));
    }
    let Some(header) = data.first_chunk::<HEADER_BYTES>() else { return Ok(None) };
    let mut reader = Reader::new(header, Side::Upstream);
    reader.bytes(SIGNATURE.len())?;
    if reader.u32()? & CRITICAL_FLAGS != 0 {
        return Err(Fault::upstream("COPY data with an unknown critical flag"));
    }
    let extension = usize::try_from(reader.i32()?)
        .map_err(|_| Fault::upstream("COPY header with a negative length"))?;
    let length = HEADER_BYTES.saturating_add(extension);
    if length > ROW_BYTES_MAX {
        return Err(ROW_TOO_LONG);
    }
    Ok((length <= data.len()).then_some(length))
}

/// Writes a tuple, masked.
pub(super) fn mask(
    row: &[u8],
    columns: &Columns,
    out: &mut BytesMut,
    found: &mut Vec<DetectionCount>,
) -> Result<(), Fault> {
    let mut reader = Reader::new(row, Side::Upstream);
    let count = reader.count()?;
    if count != columns.masks.len() {
        return Err(COLUMN_COUNT);
    }
    out.put_slice(row.get(..2).unwrap_or_default());
    for (index, column) in columns.masks.iter().enumerate() {
        let raw = reader.rest();
        let value = reader.value()?;
        let raw = raw.get(..raw.len().saturating_sub(reader.rest().len())).unwrap_or_default();
        let Some(value) = value.filter(|_| !column.is_noop()) else {
            out.put_slice(raw);
            continue;
        };
        let at = out.len();
        out.put_i32(-1);
        columns.tell(index, value);
        let detections = columns.detections.as_ref();
        match column.hide(value, detections, &columns.key, out, found) {
            Hidden::Null => {}
            Hidden::Untouched => {
                out.truncate(at);
                out.put_slice(raw);
            }
            Hidden::Written => put_length(out, at),
        }
    }
    reader.end()
}
