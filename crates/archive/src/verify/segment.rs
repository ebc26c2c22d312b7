//! The events of a segment against what a manifest says of them.

use std::sync::Arc;

use model::Timestamp;

use super::Wrong;
use super::chain::Chain;
use crate::bucket::BucketError;
use crate::convert;
use crate::file::ArchiveFile;
use crate::manifest::{self, HexHash, MANIFEST_BYTES_MAX, format_time};
use crate::merkle::{Hash, Tree, sha256};
use crate::row::Row;

/// Problems told of one segment; a file that was written anew would otherwise tell of every row.
const ROWS_TOLD_MAX: usize = 10;

impl Chain<'_> {
    /// The files of a segment against what was signed of it.
    pub(super) fn segment(
        &mut self,
        path: &str,
        entry: &manifest::Segment,
    ) -> Result<(), BucketError> {
        for damage in &entry.damage {
            let (segment, offset, what) = (entry.segment, damage.offset, &damage.what);
            let what = format!("segment {segment} of the journal at byte {offset}: {what}");
            self.say(Wrong::Damaged, path, what);
        }
        let mut rows: Vec<Found> = Vec::new();
        let mut whole = true;
        for file in &entry.files {
            if convert::named(&file.path) != Some((self.gateway(), entry.segment)) {
                let what = format!("it names {}, which belongs to another", file.path);
                self.say(Wrong::Reordered, path, what);
            }
            self.named.insert(file.path.clone());
            match self.file(file)? {
                Some(found) => rows.extend(found),
                None => whole = false,
            }
        }
        rows.sort_by_key(|row| row.number);
        let mut tree = Tree::default();
        rows.iter().for_each(|row| tree.push(row.leaf));
        if !whole || HexHash(tree.root()) == entry.root && rows.len() as u64 == entry.rows {
            return Ok(());
        }
        let place = entry.files.first().map_or(path, |file| &file.path).to_owned();
        let changed: Vec<&Found> = rows.iter().filter(|row| row.leaf != row.said).collect();
        for row in changed.iter().take(ROWS_TOLD_MAX) {
            let (number, at) = (row.number, format_time(Timestamp(row.time)));
            let session = row.session.as_deref().unwrap_or("the gateway itself");
            let what = format!("event {number} of {at} ({session}) was changed");
            self.say(Wrong::Changed, &place, what);
        }
        let found = rows.len() as u64;
        let what = match (changed.len().checked_sub(ROWS_TOLD_MAX), found != entry.rows) {
            (Some(more), _) if more > 0 => format!("and {more} more events were changed"),
            (_, true) => format!("{found} events, and {} were signed", entry.rows),
            _ if !changed.is_empty() => return Ok(()),
            _ => format!(
                "events {} to {} are not those that were signed; which were changed cannot be told",
                entry.first, entry.last
            ),
        };
        self.say(Wrong::Changed, &place, what);
        Ok(())
    }

    /// The rows of a file; `None` if they cannot be read.
    fn file(&mut self, file: &manifest::File) -> Result<Option<Vec<Found>>, BucketError> {
        let path = &file.path;
        // One that was written anew is read, to tell what differs; a huge one is not.
        let most = file.bytes.saturating_mul(2).saturating_add(MANIFEST_BYTES_MAX as u64);
        if let Some(found) = self.files.get(path)
            && *found > most
        {
            let what = format!("{found} bytes, and {} were signed", file.bytes);
            self.say(Wrong::Changed, path, what);
            return Ok(None);
        }
        let Some(bytes) = self.bucket.get(path, most)? else {
            let what = format!("a file of {} events that was signed is not here", file.rows);
            self.say(Wrong::Missing, path, what);
            return Ok(None);
        };
        let intact = sha256(&bytes) == file.sha256.0;
        let length = bytes.len();
        let mut rows = Vec::new();
        let mut canonical = Vec::new();
        let read = ArchiveFile::of_bytes(bytes)
            .and_then(|of| of.each(|row| rows.push(Found::of(row, &mut canonical))));
        if let Err(error) = read {
            let what = format!("{length} bytes of {}, and it cannot be read: {error}", file.bytes);
            self.say(Wrong::Changed, path, what);
            return Ok(None);
        }
        if !intact {
            let ours = rows.iter().all(|row| row.leaf == row.said);
            let hint = match ours && rows.len() as u64 == file.rows {
                true => "; each event agrees with the hash beside it",
                false => "",
            };
            self.say(Wrong::Changed, path, format!("not the bytes that were signed{hint}"));
        } else if let Some(pair) = rows.windows(2).find(|pair| match pair {
            [one, other] => one.number >= other.number,
            _ => false,
        }) {
            let number = pair.first().map_or(0, |row| row.number);
            self.say(Wrong::Reordered, path, format!("event {number} is not before the next"));
        }
        Ok(Some(rows))
    }
}

/// What verifying needs to know of a row.
struct Found {
    number: u64,
    time: u64,
    session: Option<Arc<str>>,
    /// As computed from the row.
    leaf: Hash,
    /// As the row says.
    said: Hash,
}

impl Found {
    fn of(row: Row, canonical: &mut Vec<u8>) -> Self {
        let leaf = row.leaf(canonical);
        Self { number: row.number, time: row.time, session: row.session, leaf, said: row.hash }
    }
}
