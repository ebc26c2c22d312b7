//! Reading a file of the archive: only the parts of it that are asked for.

use std::cell::Cell;
use std::collections::{HashMap, HashSet};
use std::io::{self, Read};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use model::Timestamp;
use parking_lot::Mutex;
use parquet::basic::{Encoding, PageType};
use parquet::column::page::Page;
use parquet::errors::{ParquetError, Result};
use parquet::file::metadata::PageEncodingStats;
use parquet::file::properties::ReaderProperties;
use parquet::file::reader::{ChunkReader, FileReader, Length, RowGroupReader};
use parquet::file::serialized_reader::{ReadOptionsBuilder, SerializedFileReader};
use parquet::file::statistics::Statistics;

use crate::bucket::Bucket;
use crate::row::{Row, Text, is_table};
use crate::schema::{self, Columns};

/// Bytes read from the store at once.
const BLOCK_BYTES: u64 = 256 * 1024;
/// Longest file that is read at all.
const FILE_BYTES_MAX: u64 = 4 * 1024 * 1024 * 1024;

/// Which rows are asked for. Every part narrows; what it does not name is not looked at.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wanted<'a> {
    /// At or after.
    pub from: Timestamp,
    /// Before; 0 is without an end.
    pub to: Timestamp,
    /// Only of these sessions.
    pub sessions: Option<&'a HashSet<Text>>,
    /// Only of this subject.
    pub principal: Option<&'a str>,
    /// Only of these kinds; none is all.
    pub kinds: &'a [&'a str],
    /// Only those that name this table as read or written; see [`crate::row::is_table`].
    pub table: Option<&'a str>,
}

impl Wanted<'_> {
    /// The columns that say whether a row is wanted.
    const COLUMNS: [&'static str; 4] = ["time", "kind", "session", "principal"];

    /// Whether a row is wanted.
    #[must_use]
    pub fn takes(&self, row: &Row) -> bool {
        row.time >= self.from.0
            && (self.to.0 == 0 || row.time < self.to.0)
            && (self.kinds.is_empty() || self.kinds.contains(&&*row.kind))
            && self.sessions.is_none_or(|wanted| {
                row.session.as_ref().is_some_and(|session| wanted.contains(session))
            })
            && self.principal.is_none_or(|wanted| row.principal.as_deref() == Some(wanted))
            && self.table.is_none_or(|wanted| row.names_table(wanted))
    }

    /// The columns that say whether a row is wanted.
    fn columns(&self) -> Vec<&'static str> {
        let tables: &[&str] = if self.table.is_some() { &["reads", "writes"] } else { &[] };
        [&Self::COLUMNS, tables].concat()
    }

    /// Whether statistics and dictionaries of a row group leave room for a wanted row.
    fn may_be_in(&self, group: &dyn RowGroupReader) -> bool {
        let times = schema::position("time").and_then(|at| {
            match group.metadata().column(at).statistics()? {
                Statistics::Int64(of) => Some((*of.min_opt()?, *of.max_opt()?)),
                _ => None,
            }
        });
        let time = |at: i64| u64::try_from(at).unwrap_or(0);
        if times.is_some_and(|(first, last)| {
            time(last) < self.from.0 || self.to.0 != 0 && time(first) >= self.to.0
        }) {
            return false;
        }
        // A column that has no dictionary of all its values may hold any.
        let any = |path: &str, wanted: &dyn Fn(&str) -> bool| {
            dictionary(group, path).is_none_or(|values| values.iter().any(|value| wanted(value)))
        };
        let is_kind = |kind: &str| self.kinds.is_empty() || self.kinds.contains(&kind);
        any("kind", &is_kind)
            && self.sessions.is_none_or(|wanted| any("session", &|value| wanted.contains(value)))
            && self.principal.is_none_or(|wanted| any("principal", &|value| value == wanted))
            && self.table.is_none_or(|wanted| {
                let is_table = |value: &str| is_table(value, wanted);
                any("reads.list.element", &is_table) || any("writes.list.element", &is_table)
            })
    }
}

/// The different values of a column in a row group; `None` if they are not all in its dictionary.
fn dictionary(group: &dyn RowGroupReader, path: &str) -> Option<Vec<String>> {
    let at = schema::position(path)?;
    let column = group.metadata().column(at);
    // A column gives its dictionary up by pages that are plain.
    let stats = column.page_encoding_stats()?;
    let is_data = |of: &&PageEncodingStats| of.page_type != PageType::DICTIONARY_PAGE;
    let by_dictionary = |of: &PageEncodingStats| {
        matches!(of.encoding, Encoding::RLE_DICTIONARY | Encoding::PLAIN_DICTIONARY)
    };
    if !stats.iter().filter(is_data).all(by_dictionary) {
        return None;
    }
    let mut pages = group.get_column_page_reader(at).ok()?;
    let Ok(Some(Page::DictionaryPage { buf, .. })) = pages.get_next_page() else { return None };
    let mut values = Vec::new();
    let mut rest: &[u8] = &buf;
    while let Some((length, after)) = rest.split_at_checked(4) {
        let length = usize::try_from(u32::from_le_bytes(length.try_into().ok()?)).ok()?;
        let (value, after) = after.split_at_checked(length)?;
        values.push(std::str::from_utf8(value).ok()?.to_owned());
        rest = after;
    }
    rest.is_empty().then_some(values)
}

thread_local! {
    /// Bytes that somebody else may have written are being read on this thread.
    static GUARDED: Cell<bool> = const { Cell::new(false) };
}

/// Keeps quiet about panics that [`ArchiveFile`] turns into errors; every other panic is told as
/// before. To be called once, at the start of a program.
pub fn quiet_about_damage() {
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |about| {
        if !GUARDED.get() {
            before(about);
        }
    }));
}

/// The library that reads Parquet panics on some files that are damaged. To us that is one more
/// kind of damage.
fn guarded<T>(read: impl FnOnce() -> Result<T>) -> Result<T> {
    let before = GUARDED.replace(true);
    let read = std::panic::catch_unwind(AssertUnwindSafe(read));
    GUARDED.set(before);
    let damaged = || ParquetError::General("the file is damaged inside".to_owned());
    read.unwrap_or_else(|_| Err(damaged()))
}

/// A file, open.
pub struct ArchiveFile {
    reader: Box<dyn FileReader>,
}

impl ArchiveFile {
    /// Opens a file of so many bytes in a store.
    pub fn open(bucket: &Arc<Bucket>, path: &str, bytes: u64) -> Result<Self> {
        if bytes > FILE_BYTES_MAX {
            return Err(ParquetError::General(format!(
                "{bytes} bytes: longer than any file of ours"
            )));
        }
        let object = Object {
            bucket: Arc::clone(bucket),
            path: path.to_owned(),
            bytes,
            blocks: Arc::default(),
        };
        Self::of(object)
    }

    /// Opens a file that is in memory.
    pub fn of_bytes(bytes: Bytes) -> Result<Self> {
        Self::of(bytes)
    }

    fn of(content: impl ChunkReader + 'static) -> Result<Self> {
        check_footer(&content)?;
        // Our own reading goes by dictionaries, which are exact; the Bloom filters are for others.
        let properties = ReaderProperties::builder().set_read_bloom_filter(false).build();
        let options = ReadOptionsBuilder::new()
            .with_reader_properties(properties)
            .with_encoding_stats_as_mask(false)
            .build();
        let reader = guarded(|| SerializedFileReader::new_with_options(content, options))?;
        if !schema::is_ours(reader.metadata().file_metadata().schema_descr()) {
            let what = "its columns are not those of the recording schema that this build reads";
            return Err(ParquetError::General(what.to_owned()));
        }
        Ok(Self { reader: Box::new(reader) })
    }

    /// What `check` says of the first row group.
    #[cfg(test)]
    pub fn first_group<T>(&self, check: impl FnOnce(&dyn RowGroupReader) -> T) -> T {
        check(&*self.reader.get_row_group(0).unwrap())
    }

    /// Hands every row to `each`, all columns read, row group by row group.
    pub fn each(&self, mut each: impl FnMut(Row)) -> Result<()> {
        for at in 0..self.reader.num_row_groups() {
            let rows = guarded(|| {
                let group = self.reader.get_row_group(at)?;
                let mut rows = schema::blank_rows(&*group)?;
                schema::read_columns(&*group, &mut rows, Columns::All)?;
                Ok(rows)
            })?;
            rows.into_iter().for_each(&mut each);
        }
        Ok(())
    }

    /// Hands the wanted rows for which `keep` holds to `each`. Of those, `columns` are filled, and
    /// `first`, which is all that `keep` sees.
    pub fn find(
        &self,
        wanted: Wanted<'_>,
        first: &[&str],
        columns: &[&str],
        keep: &dyn Fn(&Row) -> bool,
        each: &mut dyn FnMut(Row),
    ) -> Result<()> {
        let looked: Vec<&str> = [wanted.columns().as_slice(), first].concat();
        let rest: Vec<&str> =
            columns.iter().filter(|column| !looked.contains(column)).copied().collect();
        for at in 0..self.reader.num_row_groups() {
            let found = guarded(|| {
                let group = self.reader.get_row_group(at)?;
                if !wanted.may_be_in(&*group) {
                    return Ok(Vec::new());
                }
                let mut rows = schema::blank_rows(&*group)?;
                schema::read_columns(&*group, &mut rows, Columns::Named(&looked))?;
                let taken: Vec<bool> =
                    rows.iter().map(|row| wanted.takes(row) && keep(row)).collect();
                if !taken.contains(&true) {
                    return Ok(Vec::new());
                }
                schema::read_columns(&*group, &mut rows, Columns::Named(&rest))?;
                let taken = rows.into_iter().zip(taken).filter(|(_, taken)| *taken);
                Ok(taken.map(|(row, _)| row).collect())
            })?;
            found.into_iter().for_each(&mut *each);
        }
        Ok(())
    }
}

impl std::fmt::Debug for ArchiveFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ArchiveFile").finish_non_exhaustive()
    }
}

/// Refuses what is no file of ours before the library reads it.
fn check_footer(content: &impl ChunkReader) -> Result<()> {
    const TAIL_BYTES: u64 = 8;
    let refused = |what: &str| Err(ParquetError::General(what.to_owned()));
    let Some(tail_at) = content.len().checked_sub(TAIL_BYTES) else {
        return refused("it is too short for a Parquet file");
    };
    let tail = content.get_bytes(tail_at, 8)?;
    let (Some(length), Some(b"PAR1")) = (tail.first_chunk::<4>(), tail.get(4..)) else {
        return refused("it does not end as a Parquet file does");
    };
    let length = u64::from(u32::from_le_bytes(*length));
    let Some(starts) = tail_at.checked_sub(length) else {
        return refused("its footer is longer than itself");
    };
    let ours = schema::footer_start().unwrap_or_default();
    if ours.is_empty() || length < ours.len() as u64 {
        return refused("its columns are not those of the recording schema that this build reads");
    }
    if content.get_bytes(starts, ours.len())? != ours {
        return refused("its columns are not those of the recording schema that this build reads");
    }
    Ok(())
}

/// An object of a store, read in blocks that are kept for as long as the file is open.
struct Object {
    bucket: Arc<Bucket>,
    path: String,
    bytes: u64,
    blocks: Arc<Mutex<HashMap<u64, Bytes>>>,
}

impl Object {
    fn block(&self, number: u64) -> io::Result<Bytes> {
        if let Some(block) = self.blocks.lock().get(&number) {
            return Ok(block.clone());
        }
        let start = number * BLOCK_BYTES;
        let end = (start + BLOCK_BYTES).min(self.bytes);
        let block = self.bucket.get_range(&self.path, start..end).map_err(io::Error::other)?;
        self.blocks.lock().insert(number, block.clone());
        Ok(block)
    }

    /// What is from `start` on, at most `length` bytes of it, and no more than one block.
    fn some(&self, start: u64, length: usize) -> io::Result<Bytes> {
        let length = length.min(usize::try_from(self.bytes.saturating_sub(start)).unwrap_or(0));
        if length == 0 {
            return Ok(Bytes::new());
        }
        let block = self.block(start / BLOCK_BYTES)?;
        let begins = usize::try_from(start % BLOCK_BYTES).unwrap_or(usize::MAX).min(block.len());
        Ok(block.slice(begins..(begins + length).min(block.len())))
    }
}

impl Length for Object {
    fn len(&self) -> u64 {
        self.bytes
    }
}

impl ChunkReader for Object {
    type T = From;

    fn get_read(&self, start: u64) -> Result<From> {
        let object = Object {
            bucket: Arc::clone(&self.bucket),
            path: self.path.clone(),
            bytes: self.bytes,
            blocks: Arc::clone(&self.blocks),
        };
        Ok(From { object, at: start })
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes> {
        let mut all = BytesMut::new();
        let mut at = start;
        while all.len() < length {
            let some = self.some(at, length - all.len())?;
            if some.is_empty() {
                return Err(ParquetError::EOF("the file ends too early".to_owned()));
            }
            if some.len() == length {
                return Ok(some);
            }
            at += some.len() as u64;
            all.extend_from_slice(&some);
        }
        Ok(all.freeze())
    }
}

/// Reads on from a place in an object.
struct From {
    object: Object,
    at: u64,
}

impl Read for From {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let some = self.object.some(self.at, buffer.len())?;
        buffer.iter_mut().zip(&some).for_each(|(to, from)| *to = *from);
        self.at += some.len() as u64;
        Ok(some.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::FileWriter;

    fn group(rows: &[Row], check: impl FnOnce(&dyn RowGroupReader)) {
        let mut writer = FileWriter::new(&[]).unwrap();
        writer.group(rows).unwrap();
        let file = ArchiveFile::of_bytes(writer.finish().unwrap().into()).unwrap();
        file.first_group(check);
    }

    #[test]
    fn a_row_group_is_left_alone_by_what_its_dictionaries_lack() {
        let row = |number: u64| Row {
            time: number,
            kind: "operation".into(),
            session: Some(format!("s_{}", number % 3).into()),
            reads: vec!["public.customers".into()],
            ..Row::default()
        };
        let rows: Vec<Row> = (0..1000).map(row).collect();
        group(&rows, |group| {
            let none: Vec<String> = Vec::new();
            assert_eq!(dictionary(group, "reads.list.element").unwrap(), ["public.customers"]);
            assert_eq!(dictionary(group, "writes.list.element").unwrap_or_default(), none);
            let may = |wanted: Wanted<'_>| wanted.may_be_in(group);
            assert!(may(Wanted::default()));
            assert!(may(Wanted { table: Some("customers"), ..Wanted::default() }));
            assert!(!may(Wanted { table: Some("orders"), ..Wanted::default() }));
            assert!(!may(Wanted { table: Some("ustomers"), ..Wanted::default() }));
            assert!(may(Wanted { kinds: &["reply", "operation"], ..Wanted::default() }));
            assert!(!may(Wanted { kinds: &["reply"], ..Wanted::default() }));
            assert!(!may(Wanted { from: Timestamp(1000), ..Wanted::default() }));
            let (known, other) = (HashSet::from(["s_2".into()]), HashSet::from(["s_3".into()]));
            assert!(may(Wanted { sessions: Some(&known), ..Wanted::default() }));
            assert!(!may(Wanted { sessions: Some(&other), ..Wanted::default() }));
        });
    }

    #[test]
    fn a_column_of_too_many_values_may_hold_any() {
        // Its dictionary is given up half way.
        let row = |number: u64| Row {
            kind: "operation".into(),
            session: Some(format!("s_{number:0200}").into()),
            ..Row::default()
        };
        let rows: Vec<Row> = (0..20_000).map(row).collect();
        group(&rows, |group| {
            assert_eq!(dictionary(group, "session"), None);
            let last = HashSet::from([rows[19_999].session.clone().unwrap()]);
            assert!(Wanted { sessions: Some(&last), ..Wanted::default() }.may_be_in(group));
        });
    }
}
