//! The columns of the Parquet files, and the way between them and rows.
//!
//! Every list is there, if empty; nothing but lists of plain texts and lists of one kind of group
//! occurs, so every query engine that reads Parquet at all reads these files. What each column
//! means is in `docs/recording-schema.md`.

mod read;

use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use model::event::RuleMatch;
use model::operation::Parameter;
use model::reply::DetectionCount;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::column::writer::ColumnWriterImpl;
use parquet::data_type::{
    BoolType, ByteArray, ByteArrayType, DataType, FixedLenByteArray, FixedLenByteArrayType,
    Int64Type,
};
use parquet::errors::{ParquetError, Result};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::file::writer::{SerializedColumnWriter, SerializedFileWriter};
use parquet::schema::parser::parse_message_type;
use parquet::schema::types::{ColumnPath, TypePtr};

use crate::row::{Field, Row, Text};

pub use self::read::{blank_rows, footer_start, is_ours, read_columns};

/// The version of the columns that this build writes; the only one that it reads.
pub const SCHEMA_VERSION: u32 = 1;
/// Rows of a row group at most.
pub const GROUP_ROWS_MAX: usize = 65_536;
/// Bytes of a row group before compression past which it is closed.
pub const GROUP_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Bytes of payloads that are copied for their column at once: those of a page.
const BATCH_BYTES: usize = 1024 * 1024;
/// What the files say wrote them. Fixed, so that the same events always make the same bytes.
const CREATED_BY: &str = "narrows archive version 1";

const MESSAGE: &str = "
message event {
  required int64 time (TIMESTAMP(NANOS,true));
  required binary gateway (STRING);
  required int64 segment;
  required int64 offset;
  required int64 number;
  required int64 v;
  required int64 sequence;
  required binary kind (STRING);
  optional binary session (STRING);
  optional binary principal (STRING);
  optional binary resource (STRING);
  optional binary on_behalf_of (STRING);
  optional binary principal_kind (STRING);
  required group groups (LIST) { repeated group list { required binary element (STRING); } }
  optional binary token (STRING);
  optional binary identity (STRING);
  optional binary protocol (STRING);
  optional binary client (STRING);
  optional binary application (STRING);
  optional binary run (STRING);
  optional int64 operation;
  optional int64 under;
  optional binary step (STRING);
  optional binary text (STRING);
  required group parameters (LIST) { repeated group list { required group element {
    required binary kind (STRING);
    optional binary value (STRING);
  } } }
  required group verbs (LIST) { repeated group list { required binary element (STRING); } }
  required group reads (LIST) { repeated group list { required binary element (STRING); } }
  required group writes (LIST) { repeated group list { required binary element (STRING); } }
  required group columns_read (LIST) { repeated group list { required binary element (STRING); } }
  optional binary decision (STRING);
  required group rules (LIST) { repeated group list { required group element {
    required binary rule (STRING);
    required binary action (STRING);
    required boolean observed;
  } } }
  optional binary message (STRING);
  optional binary reason (STRING);
  optional binary approval (STRING);
  optional binary approver (STRING);
  optional binary outcome (STRING);
  optional int64 operations;
  optional int64 rows;
  optional int64 bytes;
  required group columns (LIST) { repeated group list { required group element {
    required int64 position;
    required binary label (STRING);
    optional binary schema (STRING);
    optional binary table (STRING);
    optional binary column (STRING);
    optional binary mask (STRING);
  } } }
  required group detections (LIST) { repeated group list { required group element {
    required binary kind (STRING);
    required int64 seen;
    required int64 masked;
  } } }
  required group searched (LIST) { repeated group list { required binary element (STRING); } }
  optional int64 duration_ns;
  optional binary error_code (STRING);
  optional int64 payload_dropped;
  optional int64 sent;
  optional binary what (STRING);
  optional binary actor (STRING);
  optional binary action (STRING);
  optional binary target (STRING);
  optional binary detail (STRING);
  optional binary payload;
  optional binary sealed;
  required fixed_len_byte_array(32) hash;
}";

static SCHEMA: LazyLock<Option<TypePtr>> =
    LazyLock::new(|| parse_message_type(MESSAGE).ok().map(Arc::new));

/// The way between one column and the rows.
enum Way {
    Number(fn(&Row) -> Option<u64>, fn(&mut Row, u64)),
    Word(fn(&Row) -> Option<&str>, fn(&mut Row, Text)),
    Bytes(fn(&Row) -> &[u8], fn(&mut Row, &[u8])),
    Hash(fn(&Row) -> &[u8; 32], fn(&mut Row, [u8; 32])),
    /// The place in a list comes beside the row; `None` behind its end.
    Words(fn(&Row) -> usize, fn(&Row, usize) -> Option<&str>, fn(&mut Row, usize, Text)),
    Numbers(fn(&Row) -> usize, fn(&Row, usize) -> Option<u64>, fn(&mut Row, usize, u64)),
    Flags(fn(&Row) -> usize, fn(&Row, usize) -> Option<bool>, fn(&mut Row, usize, bool)),
}

/// One column.
pub struct Leaf {
    /// Its path in the schema, dots between.
    path: &'static str,
    way: Way,
    /// What an entry of its list takes in memory; 0 if it is no list.
    entry_bytes: usize,
}

const fn entry_bytes<T>(_: fn(&Row) -> &Vec<T>) -> usize {
    size_of::<T>()
}

macro_rules! number {
    ($name:ident) => {
        Leaf {
            path: stringify!($name),
            way: Way::Number(|row| Some(row.$name), |row, value| row.$name = value),
            entry_bytes: 0,
        }
    };
    ($name:ident?) => {
        Leaf {
            path: stringify!($name),
            way: Way::Number(|row| row.$name, |row, value| row.$name = Some(value)),
            entry_bytes: 0,
        }
    };
}
macro_rules! word {
    ($name:ident) => {
        Leaf {
            path: stringify!($name),
            way: Way::Word(|row| Some(&row.$name), |row, value| row.$name = value),
            entry_bytes: 0,
        }
    };
    ($name:ident?) => {
        Leaf {
            path: stringify!($name),
            way: Way::Word(|row| row.$name.as_deref(), |row, value| row.$name = Some(value)),
            entry_bytes: 0,
        }
    };
}
macro_rules! bytes {
    ($name:ident) => {
        Leaf {
            path: stringify!($name),
            way: Way::Bytes(|row| &row.$name, |row, value| row.$name = value.to_vec()),
            entry_bytes: 0,
        }
    };
}
macro_rules! words {
    ($name:ident) => {
        Leaf {
            path: concat!(stringify!($name), ".list.element"),
            way: Way::Words(
                |row| row.$name.len(),
                |row, at| row.$name.get(at).map(AsRef::as_ref),
                |row, _, value| row.$name.push(value),
            ),
            entry_bytes: entry_bytes(|row| &row.$name),
        }
    };
}
/// A column of a list of groups: how it is read, and how it is set in the group at its place.
macro_rules! part {
    ($way:ident $list:ident . $name:ident, $get:expr, $set:expr) => {
        Leaf {
            path: concat!(stringify!($list), ".list.element.", stringify!($name)),
            way: Way::$way(
                |row| row.$list.len(),
                |row, at| row.$list.get(at).and_then($get),
                |row, at, value| {
                    if let Some(group) = group(&mut row.$list, at) {
                        ($set)(group, value);
                    }
                },
            ),
            entry_bytes: entry_bytes(|row| &row.$list),
        }
    };
}

/// A group without content, to be filled column by column.
trait Blank {
    fn blank() -> Self;
}

impl Blank for Parameter {
    fn blank() -> Self {
        Self { kind: String::new(), value: None }
    }
}

impl Blank for RuleMatch {
    fn blank() -> Self {
        Self { rule: "".into(), action: "".into(), observed: false }
    }
}

impl Blank for Field {
    fn blank() -> Self {
        Self::default()
    }
}

impl Blank for DetectionCount {
    fn blank() -> Self {
        Self { kind: "".into(), seen: 0, masked: 0 }
    }
}

fn group<T: Blank>(list: &mut Vec<T>, at: usize) -> Option<&mut T> {
    while list.len() <= at {
        list.push(T::blank());
    }
    list.get_mut(at)
}

/// Every column, in the order of the schema.
static LEAVES: &[Leaf] = &[
    number!(time),
    word!(gateway),
    number!(segment),
    number!(offset),
    number!(number),
    number!(v),
    number!(sequence),
    word!(kind),
    word!(session?),
    word!(principal?),
    word!(resource?),
    word!(on_behalf_of?),
    word!(principal_kind?),
    words!(groups),
    word!(token?),
    word!(identity?),
    word!(protocol?),
    word!(client?),
    word!(application?),
    word!(run?),
    number!(operation?),
    number!(under?),
    word!(step?),
    word!(text?),
    part!(
        Words parameters.kind,
        |of| Some(of.kind.as_str()),
        |of: &mut Parameter, value: Text| of.kind = value.as_ref().to_owned()
    ),
    part!(
        Words parameters.value,
        |of| of.value.as_deref(),
        |of: &mut Parameter, value: Text| of.value = Some(value.as_ref().to_owned())
    ),
    words!(verbs),
    words!(reads),
    words!(writes),
    words!(columns_read),
    word!(decision?),
    part!(Words rules.rule, |of| Some(&*of.rule), |of: &mut RuleMatch, value| of.rule = value),
    part!(
        Words rules.action,
        |of| Some(&*of.action),
        |of: &mut RuleMatch, value| of.action = value
    ),
    part!(
        Flags rules.observed,
        |of| Some(of.observed),
        |of: &mut RuleMatch, value| of.observed = value
    ),
    word!(message?),
    word!(reason?),
    word!(approval?),
    word!(approver?),
    word!(outcome?),
    number!(operations?),
    number!(rows?),
    number!(bytes?),
    part!(
        Numbers columns.position,
        |of| Some(of.position),
        |of: &mut Field, value| of.position = value
    ),
    part!(Words columns.label, |of| Some(&*of.label), |of: &mut Field, value| of.label = value),
    part!(
        Words columns.schema,
        |of| of.schema.as_deref(),
        |of: &mut Field, value| of.schema = Some(value)
    ),
    part!(
        Words columns.table,
        |of| of.table.as_deref(),
        |of: &mut Field, value| of.table = Some(value)
    ),
    part!(
        Words columns.column,
        |of| of.column.as_deref(),
        |of: &mut Field, value| of.column = Some(value)
    ),
    part!(
        Words columns.mask,
        |of| of.mask.as_deref(),
        |of: &mut Field, value| of.mask = Some(value)
    ),
    part!(
        Words detections.kind,
        |of| Some(&*of.kind),
        |of: &mut DetectionCount, value| of.kind = value
    ),
    part!(
        Numbers detections.seen,
        |of| Some(of.seen),
        |of: &mut DetectionCount, value| of.seen = value
    ),
    part!(
        Numbers detections.masked,
        |of| Some(of.masked),
        |of: &mut DetectionCount, value| of.masked = value
    ),
    words!(searched),
    number!(duration_ns?),
    word!(error_code?),
    number!(payload_dropped?),
    number!(sent?),
    word!(what?),
    word!(actor?),
    word!(action?),
    word!(target?),
    word!(detail?),
    bytes!(payload),
    bytes!(sealed),
    Leaf {
        path: "hash",
        way: Way::Hash(|row| &row.hash, |row, value| row.hash = value),
        entry_bytes: 0,
    },
];

/// Which columns to read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Columns<'a> {
    /// All.
    All,
    /// Those at or under these names.
    Named(&'a [&'a str]),
}

impl Columns<'_> {
    fn holds(self, leaf: &Leaf) -> bool {
        match self {
            Self::All => true,
            Self::Named(names) => {
                let top = leaf.path.split('.').next().unwrap_or_default();
                names.contains(&top)
            }
        }
    }
}

fn broken(what: impl Into<String>) -> ParquetError {
    ParquetError::General(what.into())
}

/// Columns that come once or a few times per file, or that questions ask for.
const BLOOMED: [&str; 5] =
    ["session", "principal", "reads.list.element", "writes.list.element", "approval"];
/// Columns whose smallest and largest value say which pages to read.
const RANGED: [&str; 8] =
    ["time", "gateway", "segment", "number", "kind", "session", "principal", "resource"];
/// Numbers that grow slowly.
const GROWING: [&str; 4] = ["time", "offset", "number", "sequence"];

fn properties(about: &[(&str, String)]) -> WriterProperties {
    let pairs = about.iter().map(|(key, value)| KeyValue::new((*key).to_owned(), value.clone()));
    let level = ZstdLevel::try_new(3).unwrap_or_default();
    let mut properties = WriterProperties::builder()
        .set_created_by(CREATED_BY.to_owned())
        .set_compression(Compression::ZSTD(level))
        .set_max_row_group_row_count(Some(GROUP_ROWS_MAX))
        .set_statistics_enabled(EnabledStatistics::None)
        .set_key_value_metadata(Some(pairs.collect()));
    let path = |name: &str| ColumnPath::new(name.split('.').map(str::to_owned).collect());
    for name in RANGED {
        properties = properties.set_column_statistics_enabled(path(name), EnabledStatistics::Page);
    }
    for name in BLOOMED {
        properties = properties
            .set_column_bloom_filter_enabled(path(name), true)
            .set_column_bloom_filter_fpp(path(name), 0.01)
            .set_column_bloom_filter_max_ndv(path(name), GROUP_ROWS_MAX as u64);
    }
    for name in GROWING {
        properties = properties
            .set_column_dictionary_enabled(path(name), false)
            .set_column_encoding(path(name), Encoding::DELTA_BINARY_PACKED);
    }
    for name in ["payload", "sealed", "hash"] {
        properties = properties.set_column_dictionary_enabled(path(name), false);
    }
    properties.build()
}

/// Writes rows as one Parquet file, in memory: at most about a segment's size.
pub struct FileWriter {
    writer: SerializedFileWriter<Vec<u8>>,
}

impl FileWriter {
    /// Begins a file. `about` goes into its key-value metadata.
    pub fn new(about: &[(&str, String)]) -> Result<Self> {
        let schema = SCHEMA.clone().ok_or_else(|| broken("the schema cannot be read"))?;
        let writer = SerializedFileWriter::new(Vec::new(), schema, Arc::new(properties(about)))?;
        Ok(Self { writer })
    }

    /// Adds a row group of at most [`GROUP_ROWS_MAX`] rows.
    pub fn group(&mut self, rows: &[Row]) -> Result<()> {
        let mut group = self.writer.next_row_group()?;
        for leaf in LEAVES {
            let column = group.next_column()?;
            let mut column = column.ok_or_else(|| broken("fewer columns than the schema has"))?;
            leaf.write(rows, &mut column)?;
            column.close()?;
        }
        group.close()?;
        Ok(())
    }

    /// Ends the file; its bytes.
    pub fn finish(self) -> Result<Vec<u8>> {
        self.writer.into_inner()
    }
}

/// One column's part of a row group while it is written.
#[derive(Default)]
struct Levels {
    definition: Vec<i16>,
    repetition: Vec<i16>,
}

impl Levels {
    /// The list of one row: what `value` finds at each place. `full` is the level of a value that
    /// is there.
    fn list<T>(
        &mut self,
        length: usize,
        full: i16,
        mut value: impl FnMut(usize) -> Option<T>,
    ) -> Vec<T> {
        if length == 0 {
            self.definition.push(0);
            self.repetition.push(0);
        }
        let mut values = Vec::with_capacity(length);
        for at in 0..length {
            let found = value(at);
            self.definition.push(if found.is_some() { full } else { full - 1 });
            self.repetition.push(i16::from(at > 0));
            values.extend(found);
        }
        values
    }

    fn write<T: DataType>(
        &self,
        column: &mut ColumnWriterImpl<'_, T>,
        values: &[T::T],
    ) -> Result<()> {
        let definition = (!self.definition.is_empty()).then_some(self.definition.as_slice());
        let repetition = (!self.repetition.is_empty()).then_some(self.repetition.as_slice());
        column.write_batch(values, definition, repetition)?;
        Ok(())
    }
}

/// Byte values end to end in one allocation.
#[derive(Default)]
struct Joined {
    all: Vec<u8>,
    ends: Vec<usize>,
}

impl Joined {
    /// Room for as many values of these lengths as are written at once. A vector that grows leaves
    /// all that it was before behind it.
    fn for_batch(lengths: impl Iterator<Item = usize>) -> Self {
        let mut bytes: usize = 0;
        for length in lengths {
            if bytes > 0 && bytes + length > BATCH_BYTES {
                break;
            }
            bytes += length;
        }
        Self { all: Vec::with_capacity(bytes), ends: Vec::new() }
    }

    fn push(&mut self, value: &[u8]) {
        self.all.extend_from_slice(value);
        self.ends.push(self.all.len());
    }

    fn values(self) -> Vec<ByteArray> {
        let all = Bytes::from(self.all);
        let mut start = 0;
        let cut = |end: usize| {
            let value = all.slice(start..end);
            start = end;
            ByteArray::from(value)
        };
        self.ends.into_iter().map(cut).collect()
    }
}

fn to_i64(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

impl Leaf {
    fn write(&self, rows: &[Row], column: &mut SerializedColumnWriter<'_>) -> Result<()> {
        let full = match column.untyped() {
            parquet::column::writer::ColumnWriter::Int64ColumnWriter(of) => {
                of.get_descriptor().max_def_level()
            }
            parquet::column::writer::ColumnWriter::ByteArrayColumnWriter(of) => {
                of.get_descriptor().max_def_level()
            }
            parquet::column::writer::ColumnWriter::BoolColumnWriter(of) => {
                of.get_descriptor().max_def_level()
            }
            _ => 0,
        };
        let mut levels = Levels::default();
        let optional = full > 0;
        let mark = |levels: &mut Levels, is_there: bool| {
            if optional {
                levels.definition.push(i16::from(is_there));
            }
        };
        match &self.way {
            Way::Number(get, _) => {
                let mut values = Vec::with_capacity(rows.len());
                for row in rows {
                    let value = get(row);
                    mark(&mut levels, value.is_some());
                    values.extend(value.map(to_i64));
                }
                levels.write(column.typed::<Int64Type>(), &values)
            }
            Way::Word(get, _) => {
                let mut values = Joined::default();
                for row in rows {
                    let value = get(row);
                    mark(&mut levels, value.is_some());
                    if let Some(value) = value {
                        values.push(value.as_bytes());
                    }
                }
                levels.write(column.typed::<ByteArrayType>(), &values.values())
            }
            Way::Bytes(get, _) => {
                let column = column.typed::<ByteArrayType>();
                let batch = |rows: &[Row]| Joined::for_batch(rows.iter().map(|row| get(row).len()));
                let mut values = batch(rows);
                for (at, row) in rows.iter().enumerate() {
                    let value = get(row);
                    if values.all.len() + value.len() > BATCH_BYTES && !values.ends.is_empty() {
                        let levels = std::mem::take(&mut levels);
                        let next = batch(rows.get(at..).unwrap_or_default());
                        levels.write(column, &std::mem::replace(&mut values, next).values())?;
                    }
                    mark(&mut levels, !value.is_empty());
                    if !value.is_empty() {
                        values.push(value);
                    }
                }
                levels.write(column, &values.values())
            }
            Way::Hash(get, _) => {
                let values: Vec<_> =
                    rows.iter().map(|row| FixedLenByteArray::from(get(row).to_vec())).collect();
                levels.write(column.typed::<FixedLenByteArrayType>(), &values)
            }
            Way::Words(length, get, _) => {
                let mut values = Joined::default();
                for row in rows {
                    let found = levels.list(length(row), full, |at| get(row, at));
                    found.iter().for_each(|value| values.push(value.as_bytes()));
                }
                levels.write(column.typed::<ByteArrayType>(), &values.values())
            }
            Way::Numbers(length, get, _) => {
                let mut values = Vec::new();
                for row in rows {
                    values.extend(levels.list(length(row), full, |at| get(row, at).map(to_i64)));
                }
                levels.write(column.typed::<Int64Type>(), &values)
            }
            Way::Flags(length, get, _) => {
                let mut values = Vec::new();
                for row in rows {
                    values.extend(levels.list(length(row), full, |at| get(row, at)));
                }
                levels.write(column.typed::<BoolType>(), &values)
            }
        }
    }
}

/// The names of all columns; a list of groups has one.
#[must_use]
pub fn names() -> Vec<&'static str> {
    LEAVES.iter().filter_map(|leaf| leaf.path.split('.').next()).collect()
}

/// The number of a column, for its statistics and its filter.
#[must_use]
pub fn position(path: &str) -> Option<usize> {
    LEAVES.iter().position(|leaf| leaf.path == path)
}
