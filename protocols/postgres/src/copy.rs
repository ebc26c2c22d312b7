//! Masking of COPY … TO STDOUT.
//!
//! The payloads of `CopyData` are one stream of rows, in the text, the CSV or the binary format;
//! where a message ends says nothing (although PostgreSQL ends one with each row, and what is
//! written here keeps that). Rows are masked as they are complete; what the server sent is kept
//! byte for byte where nothing is masked. PostgreSQL 17, "COPY", "File Formats", and `copyto.c`.

mod binary;
mod csv;
mod options;
mod text;

use std::cell::RefCell;
use std::sync::Arc;

use bytes::BytesMut;
use detect::{DetectionType, TypeSet};
use engine::{Fault, HashKey, MaskKind, Searched};
use model::DetectionCount;

use self::binary::BinaryRows;
use self::csv::CsvRows;
use self::options::ForceQuote;
pub use self::options::{CopyFormat, CopyOptions};
use self::text::TextRows;
use crate::mask::{ColumnMask, Decodes, Detections};
use crate::message;
use crate::types::Format;

/// Longest row, bytes.
const ROW_BYTES_MAX: usize = 64 * 1024 * 1024;
/// The tag of `CopyData`.
const COPY_DATA: u8 = b'd';

/// Columns and values of them.
pub type Told = Vec<(usize, Vec<u8>)>;

const ROW_TOO_LONG: Fault = Fault::upstream("COPY row longer than allowed");
const COLUMN_COUNT: Fault = Fault::upstream("COPY row with another number of columns than judged");

/// Masks the data of one COPY.
#[derive(Debug)]
pub struct CopyMask {
    rows: Rows,
    columns: Columns,
    /// The beginning of a row whose end has not come.
    pending: Vec<u8>,
    header: bool,
}

/// What is done to the columns of a row.
#[derive(Debug)]
struct Columns {
    masks: Vec<ColumnMask>,
    masked: bool,
    decodes: Decodes,
    detections: Option<Detections>,
    key: Arc<HashKey>,
    /// Values and their columns, where they are told.
    told: Option<RefCell<Told>>,
}

/// How rows are found and taken apart.
#[derive(Debug)]
enum Rows {
    Binary(BinaryRows),
    Csv(CsvRows),
    Text(TextRows),
}

/// Something that stands in the stream.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Piece {
    /// A row.
    Row,
    /// The header or the trailer of the binary format, or the end mark of the others.
    Frame,
}

impl CopyMask {
    /// Masks for data in this format. A column is how it is masked, its `pg_type.oid` and its
    /// `atttypmod`.
    ///
    /// In the text format a null string that some value could look like would tell which values are
    /// equal to it, so masked columns then become NULL throughout.
    #[must_use]
    pub fn new(
        format: CopyFormat,
        columns: &[(Option<MaskKind>, u32, i32)],
        detections: &[(DetectionType, MaskKind)],
        key: Arc<HashKey>,
    ) -> Self {
        Self::counting(format, columns, detections, TypeSet::EMPTY, key)
    }

    /// As [`Self::new`]; types in `counted` are counted too, and left as they are where no mask is
    /// named.
    #[must_use]
    pub fn counting(
        format: CopyFormat,
        columns: &[(Option<MaskKind>, u32, i32)],
        detections: &[(DetectionType, MaskKind)],
        counted: TypeSet,
        key: Arc<HashKey>,
    ) -> Self {
        let detections = Detections::new(detections, counted);
        let header = format.header();
        let ambiguous = format.null_is_ambiguous();
        let value_format = match format {
            CopyFormat::Binary => Format::Binary,
            CopyFormat::Csv { .. } | CopyFormat::Text { .. } => Format::Text,
        };
        let masks: Vec<_> = columns
            .iter()
            .map(|(kind, type_oid, type_mod)| {
                let kind = if ambiguous { kind.map(|_| MaskKind::Null) } else { *kind };
                let of = (*type_oid, *type_mod);
                ColumnMask::new(kind, of, Some(value_format), detections.as_ref())
            })
            .collect();
        let rows = match format {
            CopyFormat::Binary => Rows::Binary(BinaryRows::default()),
            CopyFormat::Csv { delimiter, quote, escape, null, force_quote, .. } => {
                Rows::Csv(CsvRows::new(delimiter, (quote, escape), null, force_quote))
            }
            CopyFormat::Text { delimiter, null, .. } => Rows::Text(TextRows::new(delimiter, null)),
        };
        let masked = masks.iter().any(ColumnMask::is_masked);
        let decodes = masks.iter().map(ColumnMask::decodes).max().unwrap_or(Decodes::Never);
        Self {
            rows,
            columns: Columns { masks, masked, decodes, detections, key, told: None },
            pending: Vec::new(),
            header,
        }
    }

    /// The same, which also tells the values that it hides.
    #[must_use]
    pub fn telling(mut self) -> Self {
        self.columns.told = Some(RefCell::default());
        self
    }

    /// What was told since the last call: columns and values, decoded.
    pub fn take_told(&mut self) -> Told {
        self.columns.told.as_mut().map(|told| std::mem::take(told.get_mut())).unwrap_or_default()
    }

    /// The data passes as it is, whatever it holds.
    #[must_use]
    pub fn is_noop(&self) -> bool {
        self.columns.masks.iter().all(ColumnMask::is_noop)
    }

    /// How far it sees what rows hold.
    #[must_use]
    pub fn searched(&self) -> Searched {
        self.columns.masks.iter().map(ColumnMask::searched).max().unwrap_or(Searched::Whole)
    }

    /// Takes the body of a `CopyData` and writes one with the rows that are complete, masked, to
    /// `out`; none when there are none. Adds the rows to `rows` and what was recognised to `found`.
    ///
    /// # Errors
    /// The data is not in the format, has another number of columns, or a row over 64 MiB.
    /// Nothing is written then, and nothing more may be pushed.
    pub fn push(
        &mut self,
        body: &[u8],
        out: &mut BytesMut,
        rows: &mut u64,
        found: &mut Vec<DetectionCount>,
    ) -> Result<(), Fault> {
        let start = out.len();
        let mut result = Ok(());
        message::write(out, COPY_DATA, |out| {
            result = if self.pending.is_empty() {
                self.run(body, out, rows, found).map(|used| {
                    self.pending.extend_from_slice(body.get(used..).unwrap_or_default());
                })
            } else {
                let mut data = std::mem::take(&mut self.pending);
                data.extend_from_slice(body);
                self.run(&data, out, rows, found).map(|used| {
                    data.drain(..used.min(data.len()));
                    self.pending = data;
                })
            };
        });
        if result.is_err() || out.len() == start.saturating_add(message::HEADER) {
            out.truncate(start);
        }
        if self.pending.is_empty() {
            // Lets go of a large allocation as soon as it is not needed.
            self.pending = Vec::new();
        }
        result
    }

    /// The data has ended (`CopyDone`).
    ///
    /// # Errors
    /// It ended within a row.
    pub fn finish(&mut self) -> Result<(), Fault> {
        if self.pending.is_empty() {
            return Ok(());
        }
        Err(Fault::upstream("COPY data ends within a row"))
    }

    /// Masks the rows that are complete; says how many bytes they took.
    fn run(
        &mut self,
        data: &[u8],
        out: &mut BytesMut,
        rows: &mut u64,
        found: &mut Vec<DetectionCount>,
    ) -> Result<usize, Fault> {
        let mut at = 0;
        loop {
            let rest = data.get(at..).unwrap_or_default();
            let next = match &mut self.rows {
                Rows::Binary(rows) => rows.next(rest)?,
                Rows::Csv(state) => state.next(rest),
                Rows::Text(state) => state.next(rest),
            };
            let Some((length, piece)) = next else {
                if rest.len() > ROW_BYTES_MAX {
                    return Err(ROW_TOO_LONG);
                }
                return Ok(at);
            };
            if length > ROW_BYTES_MAX {
                return Err(ROW_TOO_LONG);
            }
            let row = rest.get(..length).unwrap_or_default();
            at = at.saturating_add(length);
            if piece == Piece::Frame || std::mem::take(&mut self.header) {
                out.extend_from_slice(row);
                continue;
            }
            *rows = rows.saturating_add(1);
            match &self.rows {
                Rows::Binary(_) => binary::mask(row, &self.columns, out, found)?,
                Rows::Csv(state) => state.mask(row, &self.columns, out, found)?,
                Rows::Text(state) => state.mask(row, &self.columns, out, found)?,
            }
        }
    }
}

impl Columns {
    fn tell(&self, index: usize, value: &[u8]) {
        if let Some(told) = &self.told {
            told.borrow_mut().push((index, value.to_vec()));
        }
    }

    /// A row that certainly stays as it is, when values stand in it as they are.
    fn quiet(&self, row: &[u8]) -> bool {
        !self.masked
            && self.decodes.stands_in(row)
            && self.detections.as_ref().is_none_or(|found| !found.may_contain(row))
    }
}

#[cfg(test)]
mod tests;
