//! From columns to rows.

use std::sync::{Arc, LazyLock};

use model::limit::RECORD_BYTES_MAX;
use parquet::column::reader::{ColumnReader, ColumnReaderImpl};
use parquet::data_type::{ByteArray, DataType, FixedLenByteArray};
use parquet::errors::Result;
use parquet::file::reader::RowGroupReader;
use parquet::schema::types::{ColumnPath, SchemaDescriptor};

use super::{Columns, FileWriter, GROUP_ROWS_MAX, LEAVES, Leaf, SCHEMA, Way, broken};
use crate::row::{Row, Text};

/// Bytes that the values of a row group may take in memory: more is no file of ours.
const GROUP_READ_BYTES_MAX: usize = 2 * RECORD_BYTES_MAX;

impl Leaf {
    /// Fills this column of rows that are there already, one per record.
    fn read(
        &self,
        rows: &mut [Row],
        column: ColumnReader,
        shape: Shape,
        left: &mut usize,
    ) -> Result<()> {
        match (&self.way, column) {
            (Way::Number(_, set), ColumnReader::Int64ColumnReader(mut column)) => {
                fill(rows, &mut column, shape, |row, _, value| {
                    set(row, number(value)?);
                    Ok(())
                })
            }
            (Way::Numbers(_, _, set), ColumnReader::Int64ColumnReader(mut column)) => {
                fill(rows, &mut column, shape, |row, at, value| {
                    set(row, at, number(value)?);
                    Ok(())
                })
            }
            (Way::Word(_, set), ColumnReader::ByteArrayColumnReader(mut column)) => {
                let mut last = Repeated::default();
                fill(rows, &mut column, shape, |row, _, value| {
                    set(row, last.text(value, left)?);
                    Ok(())
                })
            }
            (Way::Words(_, _, set), ColumnReader::ByteArrayColumnReader(mut column)) => {
                let mut last = Repeated::default();
                fill(rows, &mut column, shape, |row, at, value| {
                    set(row, at, last.text(value, left)?);
                    Ok(())
                })
            }
            (Way::Bytes(_, set), ColumnReader::ByteArrayColumnReader(mut column)) => {
                fill(rows, &mut column, shape, |row, _, value: &ByteArray| {
                    spend(left, value.len())?;
                    set(row, value.data());
                    Ok(())
                })
            }
            (Way::Hash(_, set), ColumnReader::FixedLenByteArrayColumnReader(mut column)) => {
                fill(rows, &mut column, shape, |row, _, value: &FixedLenByteArray| {
                    let hash = value.data().try_into();
                    set(row, hash.map_err(|_| broken("a hash that has not 32 bytes"))?);
                    Ok(())
                })
            }
            (Way::Flags(_, _, set), ColumnReader::BoolColumnReader(mut column)) => {
                fill(rows, &mut column, shape, |row, at, value| {
                    set(row, at, *value);
                    Ok(())
                })
            }
            _ => Err(broken(format!("column {} has another type", self.path))),
        }
    }
}

fn number(value: &i64) -> Result<u64> {
    u64::try_from(*value).map_err(|_| broken(format!("{value} where a count belongs")))
}

/// Takes so many bytes of what a row group may take: a short file can stand for very much.
fn spend(left: &mut usize, bytes: usize) -> Result<()> {
    *left = left.checked_sub(bytes).ok_or_else(|| {
        broken(format!("a row group that takes more than {GROUP_READ_BYTES_MAX} bytes"))
    })?;
    Ok(())
}

/// The value before, which is often the next one too.
#[derive(Default)]
struct Repeated(Option<Text>);

impl Repeated {
    fn text(&mut self, value: &ByteArray, left: &mut usize) -> Result<Text> {
        let data = value.data();
        if let Some(last) = self.0.as_ref().filter(|last| last.as_bytes() == data) {
            return Ok(Arc::clone(last));
        }
        spend(left, data.len())?;
        let text = std::str::from_utf8(data).map_err(|_| broken("text that is not UTF-8"))?;
        let text: Text = text.into();
        self.0 = Some(Arc::clone(&text));
        Ok(text)
    }
}

/// How values lie in a column.
#[derive(Clone, Copy, Debug)]
struct Shape {
    /// The definition level of a value that is there.
    full: i16,
    /// It is part of a list.
    repeats: bool,
}

/// Reads a whole column chunk, and hands each value to its row with its place in the row's list.
fn fill<T: DataType>(
    rows: &mut [Row],
    column: &mut ColumnReaderImpl<T>,
    Shape { full, repeats }: Shape,
    mut set: impl FnMut(&mut Row, usize, &T::T) -> Result<()>,
) -> Result<()> {
    let (mut definition, mut repetition, mut values) = (Vec::new(), Vec::new(), Vec::new());
    let (records, _, levels) = column.read_records(
        rows.len(),
        Some(&mut definition),
        Some(&mut repetition),
        &mut values,
    )?;
    if records != rows.len() {
        return Err(broken(format!("a column with {records} records of {}", rows.len())));
    }
    let mut values = values.iter();
    let mut targets = rows.iter_mut();
    if full == 0 {
        for (row, value) in targets.by_ref().zip(values.by_ref()) {
            set(row, 0, value)?;
        }
        return match values.next().is_none() && targets.next().is_none() {
            true => Ok(()),
            false => Err(broken("a column with another number of values than rows")),
        };
    }
    let mut current: Option<&mut Row> = None;
    let mut at = 0;
    for level in 0..levels {
        let begins = !repeats || repetition.get(level).is_none_or(|level| *level == 0);
        if begins {
            current = targets.next();
            at = 0;
        } else {
            at += 1;
        }
        if definition.get(level) == Some(&full) {
            let (Some(row), Some(value)) = (current.as_deref_mut(), values.next()) else {
                return Err(broken("levels and values that do not agree"));
            };
            set(row, at, value)?;
        }
    }
    Ok(())
}

/// Whether a file has exactly the columns of [`super::SCHEMA_VERSION`].
#[must_use]
pub fn is_ours(schema: &SchemaDescriptor) -> bool {
    let Some(ours) = SCHEMA.clone() else { return false };
    let ours = SchemaDescriptor::new(ours);
    let alike = |(ours, theirs): (&ColumnPath, &ColumnPath)| ours == theirs;
    let paths = |schema: &SchemaDescriptor| -> Vec<ColumnPath> {
        schema.columns().iter().map(|column| column.path().clone()).collect()
    };
    let (ours_paths, theirs) = (paths(&ours), paths(schema));
    ours_paths.len() == theirs.len()
        && ours_paths.iter().zip(&theirs).all(alike)
        && ours.columns().iter().zip(schema.columns()).all(|(ours, theirs)| {
            ours.physical_type() == theirs.physical_type()
                && ours.max_def_level() == theirs.max_def_level()
                && ours.max_rep_level() == theirs.max_rep_level()
        })
}

/// Empty rows for a row group, to be filled by [`read_columns`].
pub fn blank_rows(group: &dyn RowGroupReader) -> Result<Vec<Row>> {
    let count = usize::try_from(group.metadata().num_rows()).unwrap_or(0);
    if count > GROUP_ROWS_MAX {
        let most = GROUP_ROWS_MAX;
        return Err(broken(format!("a row group of {count} rows; at most {most} are read")));
    }
    Ok(vec![Row::default(); count])
}

/// Reads columns of a row group into its rows. Columns of lists are read once per row.
///
/// The file must be one of ours ([`is_ours`]).
pub fn read_columns(
    group: &dyn RowGroupReader,
    rows: &mut [Row],
    columns: Columns<'_>,
) -> Result<()> {
    let mut left = GROUP_READ_BYTES_MAX;
    for (at, leaf) in LEAVES.iter().enumerate().filter(|(_, leaf)| columns.holds(leaf)) {
        let descriptor = group.metadata().column(at).column_descr();
        let (full, repeats) = (descriptor.max_def_level(), descriptor.max_rep_level() > 0);
        leaf.read(rows, group.get_column_reader(at)?, Shape { full, repeats }, &mut left)?;
    }
    Ok(())
}

/// How the footer of every file of ours begins: version and schema, as they are stored. A file
/// whose footer begins otherwise is not handed to the library, which follows a schema however deep
/// it is.
#[must_use]
pub fn footer_start() -> Option<&'static [u8]> {
    static START: LazyLock<Option<Vec<u8>>> = LazyLock::new(|| {
        let footer = |rows: usize| -> Option<Vec<u8>> {
            let mut writer = FileWriter::new(&[]).ok()?;
            writer.group(&vec![Row::default(); rows]).ok()?;
            let file = writer.finish().ok()?;
            let (rest, _magic) = file.split_last_chunk::<4>()?;
            let (rest, length) = rest.split_last_chunk::<4>()?;
            let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
            Some(rest.get(rest.len().checked_sub(length)?..)?.to_vec())
        };
        // What follows the schema is the number of rows.
        let (one, two) = (footer(1)?, footer(2)?);
        let alike = one.iter().zip(&two).take_while(|(one, two)| one == two).count();
        Some(one.get(..alike)?.to_vec())
    });
    START.as_deref()
}
