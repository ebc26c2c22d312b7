//! From a closed segment of the journal to the files of the archive.
//!
//! The same segment under the same keys always makes the same files: nothing of the moment or the
//! machine goes into them, so a conversion that was interrupted is simply done again.

use std::collections::BTreeMap;

use bytes::Bytes;
use model::Timestamp;
use parquet::errors::ParquetError;
use store::{JournalError, Record};

use crate::manifest::{self, HexHash};
use crate::merkle::{Tree, sha256};
use crate::row::{Place, Row};
use crate::schema::{FileWriter, GROUP_BYTES_MAX, GROUP_ROWS_MAX, SCHEMA_VERSION};
use crate::sealing::{Sealer, SealingError};

const HOUR_NS: u64 = 60 * 60 * 1_000_000_000;

/// Damaged places that a manifest lists.
const DAMAGE_TOLD_MAX: usize = 100;

/// A segment, converted.
#[derive(Debug)]
pub struct Converted {
    /// What the manifest says of it.
    pub entry: manifest::Segment,
    /// Path and content of each file, in the order of the entry.
    pub files: Vec<(String, Bytes)>,
}

/// Why a segment cannot be converted.
#[derive(Debug, thiserror::Error)]
pub enum ConvertError {
    /// The journal cannot be read.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// What was said cannot be sealed.
    #[error(transparent)]
    Sealing(#[from] SealingError),
    /// The file cannot be made: a fault of this program.
    #[error("segment {segment} cannot be written as Parquet: {source}")]
    Parquet {
        /// The segment.
        segment: u64,
        /// What the library said.
        source: ParquetError,
    },
}

/// `2026-11-29`, of the day in UTC.
#[must_use]
pub fn date(at: Timestamp) -> String {
    let time = jiff::Timestamp::from_nanosecond(i128::from(at.0)).unwrap_or_default();
    time.strftime("%Y-%m-%d").to_string()
}

/// The folder of the files that hold what happened in an hour.
#[must_use]
pub fn folder(at: Timestamp) -> String {
    let time = jiff::Timestamp::from_nanosecond(i128::from(at.0)).unwrap_or_default();
    time.strftime("events/date=%Y-%m-%d/hour=%H").to_string()
}

/// The file of a segment in a folder.
#[must_use]
pub fn file_name(gateway: &str, segment: u64) -> String {
    format!("{gateway}-{segment:010}.parquet")
}

/// Gateway and segment of a file by its path, `events/date=…/hour=…/GATEWAY-SEGMENT.parquet`;
/// `None` for any other.
#[must_use]
pub fn named(path: &str) -> Option<(&str, u64)> {
    let mut parts = path.split('/');
    let (events, date, hour) = (parts.next()?, parts.next()?, parts.next()?);
    let (file, None) = (parts.next()?, parts.next()) else { return None };
    if events != "events" || !date.starts_with("date=") || !hour.starts_with("hour=") {
        return None;
    }
    let name = file.strip_suffix(".parquet")?;
    let (gateway, segment) = name.rsplit_once('-')?;
    Some((gateway, segment.parse().ok()?))
}

/// A file while it grows.
struct Open {
    folder: String,
    writer: FileWriter,
    group: Vec<Row>,
    group_bytes: usize,
    rows: u64,
}

/// Converts the records of one segment of `gateway`, sealing what they say if there is a `sealer`.
/// Places that cannot be read are listed in the entry; the rest of the segment is converted all the
/// same.
pub fn convert(
    gateway: &str,
    segment: u64,
    records: impl Iterator<Item = Result<Record, JournalError>>,
    sealer: Option<&Sealer>,
) -> Result<Converted, ConvertError> {
    let parquet = |source| ConvertError::Parquet { segment, source };
    let mut open: BTreeMap<u64, Open> = BTreeMap::new();
    let (mut tree, mut canonical, mut damaged) = (Tree::default(), Vec::new(), 0_usize);
    let mut entry = manifest::Segment {
        segment,
        first: 0,
        last: 0,
        rows: 0,
        root: HexHash(tree.root()),
        files: Vec::new(),
        damage: Vec::new(),
    };
    for record in records {
        let record = match record {
            Ok(record) => record,
            Err(JournalError::Damaged(damage)) => {
                let (offset, what) = (damage.offset, damage.what);
                damaged += 1;
                // Enough to see what happened; a manifest has to stay short.
                if damaged <= DAMAGE_TOLD_MAX {
                    entry.damage.push(manifest::Damage { offset, what });
                }
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        let mut row = Row::of(record.event, place(record.position));
        if let Some(sealer) = sealer {
            sealer.seal(&mut row)?;
        }
        let leaf = row.leaf(&mut canonical);
        row.hash = leaf;
        tree.push(leaf);
        if entry.rows == 0 {
            entry.first = row.number;
        }
        entry.last = row.number;
        entry.rows += 1;
        let hour = row.time / HOUR_NS;
        let file = match open.entry(hour) {
            std::collections::btree_map::Entry::Occupied(file) => file.into_mut(),
            std::collections::btree_map::Entry::Vacant(place) => {
                let folder = folder(Timestamp(row.time));
                place.insert(begin(folder, gateway, segment).map_err(parquet)?)
            }
        };
        file.add(row, canonical.len()).map_err(parquet)?;
    }
    if let Some(more) = damaged.checked_sub(DAMAGE_TOLD_MAX).filter(|more| *more > 0) {
        let what = format!("and {more} more places");
        entry.damage.push(manifest::Damage { offset: 0, what });
    }
    entry.root = HexHash(tree.root());
    let mut files = Vec::with_capacity(open.len());
    for (_, file) in open {
        let (path, rows, bytes) = file.end(gateway, segment).map_err(parquet)?;
        entry.files.push(manifest::File {
            path: path.clone(),
            bytes: bytes.len() as u64,
            sha256: HexHash(sha256(&bytes)),
            rows,
        });
        files.push((path, bytes));
    }
    Ok(Converted { entry, files })
}

fn place(position: store::Position) -> Place {
    let store::Position { segment, offset, sequence } = position;
    Place { segment, offset, number: sequence }
}

fn begin(folder: String, gateway: &str, segment: u64) -> Result<Open, ParquetError> {
    let about = [
        ("narrows.schema", SCHEMA_VERSION.to_string()),
        ("narrows.gateway", gateway.to_owned()),
        ("narrows.segment", segment.to_string()),
    ];
    let writer = FileWriter::new(&about)?;
    Ok(Open { folder, writer, group: Vec::new(), group_bytes: 0, rows: 0 })
}

impl Open {
    fn add(&mut self, row: Row, described: usize) -> Result<(), ParquetError> {
        self.group_bytes += described + row.payload.len() + row.sealed.len();
        self.group.push(row);
        if self.group.len() >= GROUP_ROWS_MAX || self.group_bytes >= GROUP_BYTES_MAX {
            self.close_group()?;
        }
        Ok(())
    }

    fn close_group(&mut self) -> Result<(), ParquetError> {
        self.writer.group(&self.group)?;
        self.rows += self.group.len() as u64;
        self.group.clear();
        self.group_bytes = 0;
        Ok(())
    }

    fn end(mut self, gateway: &str, segment: u64) -> Result<(String, u64, Bytes), ParquetError> {
        if !self.group.is_empty() {
            self.close_group()?;
        }
        let path = format!("{}/{}", self.folder, file_name(gateway, segment));
        Ok((path, self.rows, self.writer.finish()?.into()))
    }
}
