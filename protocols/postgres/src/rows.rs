//! Masking of `DataRow` messages.
//!
//! The columns of a reply are compiled once; each row is copied in slices as large as possible,
//! with only the masked fields written anew. A row is either written whole or not at all.

use bytes::{BufMut, BytesMut};
use detect::{DetectionType, TypeSet};
use engine::{Fault, HashKey, MaskKind, Searched};
use model::{DetectionCount, Side};

use crate::mask::{ColumnMask, Decodes, Detections, Hidden};
use crate::message::{self, FieldDescription, Reader};
use crate::types::Format;

/// The tag of `DataRow`.
const DATA_ROW: u8 = b'D';
/// Bytes of a field's length.
const LENGTH_BYTES: usize = 4;

/// What is done to each row of one reply.
#[derive(Clone, Debug)]
pub struct RowMask {
    columns: Box<[ColumnMask]>,
    detections: Option<Detections>,
    masked: bool,
    decodes: Decodes,
}

/// Compiles the masks of a reply whose columns are `fields`.
///
/// `formats` are the result formats of Bind: one for all columns or one for each. When it is empty,
/// the formats of `fields` count; that is right for simple queries and for a described portal, and
/// wrong for a described statement, so pass `&[0]` for a Bind that lists none. `kinds` says how
/// each column is masked; a column without an entry is masked to NULL, and so is a masked column
/// whose format cannot be told. For domains and extensions' text types put the identifier of
/// the built-in type into `fields`. Types in `counted` are counted, and left as they are where
/// `detections` does not say how they are hidden.
#[must_use]
pub fn compile(
    fields: &[FieldDescription],
    formats: &[i16],
    kinds: &[Option<MaskKind>],
    detections: &[(DetectionType, MaskKind)],
    counted: TypeSet,
) -> RowMask {
    let detections = Detections::new(detections, counted);
    let columns = fields.iter().enumerate().map(|(index, field)| {
        let kind = kinds.get(index).copied().unwrap_or(Some(MaskKind::Null));
        let format = format(formats, index, field);
        ColumnMask::new(kind, (field.type_oid, field.type_mod), format, detections.as_ref())
    });
    let columns: Box<[_]> = columns.collect();
    RowMask {
        masked: columns.iter().any(ColumnMask::is_masked),
        decodes: columns.iter().map(ColumnMask::decodes).max().unwrap_or(Decodes::Never),
        columns,
        detections,
    }
}

/// The format of a column's values, under formats as for [`compile`].
#[must_use]
pub fn format(formats: &[i16], index: usize, field: &FieldDescription) -> Option<Format> {
    let code = match formats {
        [] => Some(field.format),
        [all] => Some(*all),
        each => each.get(index).copied(),
    };
    code.and_then(Format::from_code)
}

impl RowMask {
    /// Rows pass as they are, whatever they hold; they need not be given to [`Self::mask_row`].
    #[must_use]
    pub fn is_noop(&self) -> bool {
        self.columns.iter().all(ColumnMask::is_noop)
    }

    /// How far it sees what rows hold.
    #[must_use]
    pub fn searched(&self) -> Searched {
        self.columns.iter().map(ColumnMask::searched).max().unwrap_or(Searched::Whole)
    }

    /// A run of whole messages that certainly stay as they are. Quick; "no" is a guess.
    #[must_use]
    pub fn untouched(&self, rows: &[u8]) -> bool {
        !self.masked && (self.is_noop() || self.finds_nothing(rows))
    }

    /// No search of a value in these bytes finds anything. Quick; "no" is a guess.
    fn finds_nothing(&self, rows: &[u8]) -> bool {
        self.decodes.stands_in(rows)
            && self.detections.as_ref().is_none_or(|found| !found.may_contain(rows))
    }

    /// Writes the `DataRow` whose body is `body`, masked, to `out`, and adds what was recognised to
    /// `found`.
    ///
    /// # Errors
    /// The body is not a row of as many fields as were compiled; nothing is written then.
    pub fn mask_row(
        &self,
        body: &[u8],
        key: &HashKey,
        out: &mut BytesMut,
        found: &mut Vec<DetectionCount>,
    ) -> Result<(), Fault> {
        let start = out.len();
        out.reserve(body.len().saturating_add(message::HEADER));
        let mut result = Ok(());
        message::write(out, DATA_ROW, |out| result = self.fields(body, key, out, found));
        if result.is_err() {
            out.truncate(start);
        }
        result
    }

    fn fields(
        &self,
        body: &[u8],
        key: &HashKey,
        out: &mut BytesMut,
        found: &mut Vec<DetectionCount>,
    ) -> Result<(), Fault> {
        let mut reader = Reader::new(body, Side::Upstream);
        if reader.count()? != self.columns.len() {
            return Err(Fault::upstream("row with another number of fields than described"));
        }
        // Who asked before knows that something may be found; where columns are hidden whole nobody
        // asked.
        let quiet = self.masked && self.finds_nothing(body);
        let mut copied = 0;
        for column in &self.columns {
            let at = body.len().saturating_sub(reader.rest().len());
            let Some(value) = reader.value()? else { continue };
            if column.is_noop() || quiet && !column.is_masked() {
                continue;
            }
            let detections = self.detections.as_ref();
            if column.is_masked() {
                out.put_slice(body.get(copied..at).unwrap_or_default());
                let length_at = out.len();
                out.put_i32(-1);
                if column.hide(value, detections, key, out, found) == Hidden::Written {
                    put_length(out, length_at);
                }
            } else {
                let mut replaced = BytesMut::new();
                let hidden = column.hide(value, detections, key, &mut replaced, found);
                if hidden == Hidden::Untouched {
                    continue;
                }
                out.put_slice(body.get(copied..at).unwrap_or_default());
                let length_at = out.len();
                out.put_i32(-1);
                if hidden == Hidden::Written {
                    out.put_slice(&replaced);
                    put_length(out, length_at);
                }
            }
            copied = body.len().saturating_sub(reader.rest().len());
        }
        reader.end()?;
        out.put_slice(body.get(copied..).unwrap_or_default());
        Ok(())
    }
}

/// Writes the length of the value that begins behind `at` to the place before it.
pub(crate) fn put_length(out: &mut BytesMut, at: usize) {
    let length = out.len().saturating_sub(at).saturating_sub(LENGTH_BYTES);
    let length = i32::try_from(length).unwrap_or(i32::MAX);
    if let Some(slot) = out.get_mut(at..at.saturating_add(LENGTH_BYTES)) {
        slot.copy_from_slice(&length.to_be_bytes());
    }
}

#[cfg(test)]
mod tests;
