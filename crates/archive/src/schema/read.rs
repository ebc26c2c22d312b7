//! From columns to rows.

use std::sync::{Arc, LazyLock};

use model::limit::RECORD_BYTES_MAX;
use parquet::basic::{Compression, Encoding};
use parquet::column::page::{Page, PageMetadata, PageReader};
use parquet::column::reader::{ColumnReader, ColumnReaderImpl, get_column_reader};
use parquet::data_type::{ByteArray, DataType, FixedLenByteArray};
use parquet::errors::Result;
use parquet::file::reader::RowGroupReader;
use parquet::schema::types::{ColumnPath, SchemaDescriptor};

use super::{Columns, FileWriter, GROUP_ROWS_MAX, LEAVES, Leaf, SCHEMA, Way, broken};
use crate::row::{Row, Text};

/// Bytes that the rows of a row group may take in memory: more is no file of ours. While a column
/// is read, its values take as much again at most.
const GROUP_READ_BYTES_MAX: usize = 2 * RECORD_BYTES_MAX;
/// What a value takes while its column is read: itself, and its two levels.
const VALUE_BYTES: usize = size_of::<ByteArray>() + 2 * size_of::<i16>();

impl Leaf {
    /// Fills this column of rows that are there already, one per record.
    fn read(
        &self,
        rows: &mut [Row],
        column: ColumnReader,
        full: i16,
        left: &mut usize,
    ) -> Result<()> {
        match (&self.way, column) {
            (Way::Number(_, set), ColumnReader::Int64ColumnReader(mut column)) => {
                fill(rows, &mut column, full, |row, value| {
                    set(row, number(value)?);
                    Ok(())
                })
            }
            (Way::Word(_, set), ColumnReader::ByteArrayColumnReader(mut column)) => {
                let mut last = Repeated::default();
                fill(rows, &mut column, full, |row, value| {
                    set(row, last.text(value, left)?);
                    Ok(())
                })
            }
            (Way::Bytes(_, set), ColumnReader::ByteArrayColumnReader(mut column)) => {
                fill(rows, &mut column, full, |row, value: &ByteArray| {
                    spend(left, value.len())?;
                    set(row, value.data());
                    Ok(())
                })
            }
            (Way::Hash(_, set), ColumnReader::FixedLenByteArrayColumnReader(mut column)) => {
                fill(rows, &mut column, full, |row, value: &FixedLenByteArray| {
                    let hash = value.data().try_into();
                    set(row, hash.map_err(|_| broken("a hash that has not 32 bytes"))?);
                    Ok(())
                })
            }
            (Way::Numbers(length, _, set), ColumnReader::Int64ColumnReader(mut column)) => {
                let lists = Lists { length: *length, entry_bytes: self.entry_bytes };
                lists.fill(rows, &mut column, full, left, |row, at, value, _| {
                    set(row, at, number(value)?);
                    Ok(())
                })
            }
            (Way::Words(length, _, set), ColumnReader::ByteArrayColumnReader(mut column)) => {
                let mut last = Repeated::default();
                let lists = Lists { length: *length, entry_bytes: self.entry_bytes };
                lists.fill(rows, &mut column, full, left, |row, at, value, left| {
                    set(row, at, last.text(value, left)?);
                    Ok(())
                })
            }
            (Way::Flags(length, _, set), ColumnReader::BoolColumnReader(mut column)) => {
                let lists = Lists { length: *length, entry_bytes: self.entry_bytes };
                lists.fill(rows, &mut column, full, left, |row, at, value, _| {
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

/// The pages of a column, as long as they are such as we write. What they say of themselves is
/// checked before the library goes by it: a run of a few bytes can stand for billions of values.
struct Pages {
    pages: Box<dyn PageReader>,
    /// Values that may still come.
    left: usize,
}

impl Pages {
    fn check(&mut self, page: &Page) -> Result<()> {
        let values = usize::try_from(page.num_values()).unwrap_or(usize::MAX);
        if let Page::DictionaryPage { buf, .. } = page {
            return match values > buf.len() {
                true => Err(broken("a dictionary of more values than bytes")),
                false => Ok(()),
            };
        }
        let left = self.left.checked_sub(values);
        self.left = left.ok_or_else(|| broken("a column of more values than are read"))?;
        match page.encoding() {
            Encoding::PLAIN | Encoding::RLE_DICTIONARY | Encoding::DELTA_BINARY_PACKED => Ok(()),
            other => Err(broken(format!("a column written as {other}"))),
        }
    }
}

impl Iterator for Pages {
    type Item = Result<Page>;

    fn next(&mut self) -> Option<Result<Page>> {
        self.get_next_page().transpose()
    }
}

impl PageReader for Pages {
    fn get_next_page(&mut self) -> Result<Option<Page>> {
        let page = self.pages.get_next_page()?;
        page.iter().try_for_each(|page| self.check(page))?;
        Ok(page)
    }

    fn peek_next_page(&mut self) -> Result<Option<PageMetadata>> {
        self.pages.peek_next_page()
    }

    fn skip_next_page(&mut self) -> Result<()> {
        self.pages.skip_next_page()
    }

    fn at_record_boundary(&mut self) -> Result<bool> {
        self.pages.at_record_boundary()
    }
}

/// A whole column chunk in memory.
struct Chunk<V> {
    definition: Vec<i16>,
    repetition: Vec<i16>,
    values: Vec<V>,
}

impl<V> Chunk<V> {
    fn read<T: DataType<T = V>>(rows: usize, column: &mut ColumnReaderImpl<T>) -> Result<Self> {
        let (mut definition, mut repetition, mut values) = (Vec::new(), Vec::new(), Vec::new());
        let (records, _, _) =
            column.read_records(rows, Some(&mut definition), Some(&mut repetition), &mut values)?;
        match records == rows {
            true => Ok(Self { definition, repetition, values }),
            false => Err(broken(format!("a column with {records} records of {rows}"))),
        }
    }
}

/// Reads a column of one value per row at most, and hands each to its row. `full` is the definition
/// level of a value that is there.
fn fill<T: DataType>(
    rows: &mut [Row],
    column: &mut ColumnReaderImpl<T>,
    full: i16,
    mut set: impl FnMut(&mut Row, &T::T) -> Result<()>,
) -> Result<()> {
    let Chunk { definition, values, .. } = Chunk::read(rows.len(), column)?;
    let mut values = values.iter();
    for (at, row) in rows.iter_mut().enumerate() {
        if full == 0 || definition.get(at) == Some(&full) {
            let value = values.next();
            set(row, value.ok_or_else(|| broken("levels and values that do not agree"))?)?;
        }
    }
    match values.next() {
        None => Ok(()),
        Some(_) => Err(broken("a column with another number of values than rows")),
    }
}

/// A column of lists.
struct Lists {
    /// Entries that the list of a row has by now.
    length: fn(&Row) -> usize,
    /// What one more entry takes.
    entry_bytes: usize,
}

impl Lists {
    /// Reads it, and hands each value to its row with its place in the row's list. An entry is
    /// there once a column has a value for it: in texts it is the only one, in groups the first
    /// always has.
    fn fill<T: DataType>(
        &self,
        rows: &mut [Row],
        column: &mut ColumnReaderImpl<T>,
        full: i16,
        left: &mut usize,
        mut set: impl FnMut(&mut Row, usize, &T::T, &mut usize) -> Result<()>,
    ) -> Result<()> {
        let Chunk { definition, repetition, values } = Chunk::read(rows.len(), column)?;
        let (mut values, mut rows) = (values.iter(), rows.iter_mut());
        let (mut current, mut at) = (None, 0);
        for (definition, repetition) in definition.into_iter().zip(repetition) {
            let begins = repetition == 0;
            (current, at) = if begins { (rows.next(), 0) } else { (current, at + 1) };
            let Some(row) = &mut current else { return Err(broken("more lists than rows")) };
            let length = (self.length)(row);
            if definition == full && at <= length {
                let value = values.next();
                let value = value.ok_or_else(|| broken("levels and values that do not agree"))?;
                if at == length {
                    spend(left, self.entry_bytes)?;
                }
                set(row, at, value, left)?;
            } else if !(definition == 0 && begins || definition > 0 && at < length) {
                return Err(broken("a list with entries that are not there"));
            }
        }
        Ok(())
    }
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
    read_within(GROUP_READ_BYTES_MAX, group, rows, columns)
}

/// The same, of rows that take at most `left` bytes.
fn read_within(
    mut left: usize,
    group: &dyn RowGroupReader,
    rows: &mut [Row],
    columns: Columns<'_>,
) -> Result<()> {
    for (at, leaf) in LEAVES.iter().enumerate().filter(|(_, leaf)| columns.holds(leaf)) {
        let column = group.metadata().column(at);
        if !matches!(column.compression(), Compression::ZSTD(_)) {
            return Err(broken(format!("a column compressed as {}", column.compression())));
        }
        let descriptor = column.column_descr_ptr();
        let entries = if descriptor.max_rep_level() > 0 { left / VALUE_BYTES } else { 0 };
        let pages = group.get_column_page_reader(at)?;
        let pages = Box::new(Pages { pages, left: rows.len() + entries });
        let full = descriptor.max_def_level();
        leaf.read(rows, get_column_reader(descriptor, pages), full, &mut left)?;
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

#[cfg(test)]
mod tests;
