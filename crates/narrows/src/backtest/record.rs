//! Where recorded events come from: the archive, and the journal of this machine's own gateway as
//! far as the archive does not have it. Read as they lie, without a gateway.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use archive::bucket::Listed;
use archive::file::{ArchiveFile, Wanted};
use archive::row::{Place, Row};
use archive::{Bucket, convert};
use model::Timestamp;
use serde::Serialize;
use store::journal::Reader;
use store::{JournalError, JournalKey};

/// Kinds of events that are read.
const KINDS: [&str; 6] =
    ["session_started", "session_ended", "operation", "ruling", "reply", "admin"];
/// Columns that are read of them: everything but payloads.
const LEFT_OUT: [&str; 1] = ["payload"];

/// Where to look.
pub struct Record {
    /// The archive.
    pub bucket: Option<Arc<Bucket>>,
    /// The folder of a journal.
    pub journal: Option<PathBuf>,
    /// What opens the journal where it is sealed, or why that cannot be had.
    pub key: Result<Option<JournalKey>, String>,
}

/// What was looked into.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize)]
pub struct Coverage {
    /// Files of the archive.
    pub files: u64,
    /// Events of the journal that the archive does not have.
    pub journal_events: u64,
    /// What could not be read: operations may be missing.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unread: Vec<String>,
}

impl Record {
    /// Gateways that recorded something.
    pub fn gateways(&self, from: Timestamp, to: Timestamp) -> anyhow::Result<BTreeSet<String>> {
        let mut names: BTreeSet<String> = BTreeSet::new();
        for listed in self.files(from, to)? {
            names.extend(convert::named(&listed.path).map(|(gateway, _)| gateway.to_owned()));
        }
        if let Some(folder) = &self.journal {
            let unreadable = || format!("read the journal {}", folder.display());
            for entry in std::fs::read_dir(folder).with_context(unreadable)? {
                let name = entry.with_context(unreadable)?.file_name();
                let stem = name.to_str().and_then(|name| name.strip_suffix(".nj"));
                let gateway = stem.and_then(|stem| stem.rsplit_once('-'));
                names.extend(gateway.map(|(gateway, _)| gateway.to_owned()));
            }
        }
        Ok(names)
    }

    /// Files of the archive that may hold something of that time.
    fn files(&self, from: Timestamp, to: Timestamp) -> anyhow::Result<Vec<Listed>> {
        let Some(bucket) = &self.bucket else { return Ok(Vec::new()) };
        // Texts in this form compare as the times they stand for.
        let (first, last) = (convert::folder(from), convert::folder(to));
        let day = |folder: &str| folder.split("/hour=").next().unwrap_or_default().to_owned();
        let mut files = Vec::new();
        for date in bucket.folders("events")? {
            let folder = format!("events/{date}");
            if folder < day(&first) || folder > day(&last) {
                continue;
            }
            files.extend(bucket.list(&folder)?.into_iter().filter(|of| {
                let hour = of.path.rsplit_once('/').map_or("", |(folder, _)| folder);
                of.path.ends_with(".parquet") && hour >= first.as_str() && hour <= last.as_str()
            }));
        }
        Ok(files)
    }

    /// Hands the events of one gateway to `each`, in its order.
    pub fn read(
        &self,
        gateway: &str,
        (from, to): (Timestamp, Timestamp),
        coverage: &mut Coverage,
        each: &mut dyn FnMut(Row),
    ) -> anyhow::Result<()> {
        let mut segments: BTreeMap<u64, Vec<Listed>> = BTreeMap::new();
        for listed in self.files(from, to)? {
            if let Some((name, segment)) = convert::named(&listed.path)
                && name == gateway
            {
                segments.entry(segment).or_default().push(listed);
            }
        }
        // Long sessions began before.
        self.beginnings(gateway, (from, to), coverage)?.into_iter().for_each(&mut *each);
        let wanted = Wanted { from, to, kinds: &KINDS, ..Wanted::default() };
        // The last event read of each segment: the archive may not have all of the newest yet.
        let mut archived: HashMap<u64, u64> = HashMap::new();
        for (segment, files) in segments {
            // A segment is a file for each hour that it reaches into.
            let mut rows = Vec::new();
            for file in files {
                coverage.files += 1;
                if let Err(error) = self.rows(&file, wanted, &mut rows) {
                    coverage.unread.push(format!("{}: {error}", file.path));
                }
            }
            rows.sort_by_key(|row| row.number);
            archived.extend(rows.last().map(|row| (segment, row.number)));
            rows.into_iter().for_each(&mut *each);
        }
        self.read_journal(gateway, (from, to), &archived, coverage, each)
    }

    /// The beginnings of sessions that went on in that time and began before.
    fn beginnings(
        &self,
        gateway: &str,
        (from, to): (Timestamp, Timestamp),
        coverage: &mut Coverage,
    ) -> anyhow::Result<Vec<Row>> {
        let of_gateway =
            |file: &Listed| convert::named(&file.path).is_some_and(|(name, _)| name == gateway);
        let (mut began, mut missing) = (HashSet::new(), HashSet::new());
        // Beginnings that the journal still has.
        let mut kept: Vec<Row> = Vec::new();
        let mut look = |row: Row| {
            let Some(session) = row.session.clone() else { return };
            match &*row.kind {
                "session_started" if row.time < from.0 => kept.push(row),
                "session_started" => drop(began.insert(session)),
                _ => drop(missing.insert(session)),
            }
        };
        let kinds = ["session_started", "operation"];
        let wanted = Wanted { from, to, kinds: &kinds, ..Wanted::default() };
        for file in self.files(from, to)?.iter().filter(|file| of_gateway(file)) {
            let Some(bucket) = &self.bucket else { break };
            // What cannot be read is told when all of it is read.
            let _ = ArchiveFile::open(bucket, &file.path, file.bytes)
                .and_then(|file| file.find(wanted, &[], &[], &|_| true, &mut look));
        }
        if let Some(folder) = &self.journal {
            for record in self.reader(folder, gateway)?.flatten() {
                let store::Position { segment, offset, sequence } = record.position;
                look(Row::of(record.event, Place { segment, offset, number: sequence }));
            }
        }
        missing.retain(|session| !began.contains(session));
        let mut rows = kept;
        rows.retain(|row| row.session.as_ref().is_some_and(|session| missing.remove(session)));
        let earlier = self.files(Timestamp(0), from)?;
        for file in earlier.iter().rev().filter(|file| of_gateway(file)) {
            if missing.is_empty() {
                break;
            }
            let wanted = Wanted {
                to: from,
                sessions: Some(&missing),
                kinds: &["session_started"],
                ..Wanted::default()
            };
            coverage.files += 1;
            let mut found = Vec::new();
            if let Err(error) = self.rows(file, wanted, &mut found) {
                coverage.unread.push(format!("{}: {error}", file.path));
            }
            for row in found {
                missing.retain(|session| row.session.as_ref() != Some(session));
                rows.push(row);
            }
        }
        rows.sort_by_key(|row| (row.segment, row.number));
        Ok(rows)
    }

    fn rows(&self, file: &Listed, wanted: Wanted<'_>, rows: &mut Vec<Row>) -> anyhow::Result<()> {
        let bucket = self.bucket.as_ref().context("there is no archive")?;
        let mut columns = archive::schema::names();
        columns.retain(|column| !LEFT_OUT.contains(column));
        let file = ArchiveFile::open(bucket, &file.path, file.bytes)?;
        file.find(wanted, &[], &columns, &|_| true, &mut |row| rows.push(row))?;
        Ok(())
    }

    fn reader(&self, folder: &Path, gateway: &str) -> Result<Reader, JournalError> {
        Reader::open(folder, gateway, self.key.as_ref().ok().and_then(Option::as_ref))
    }

    fn read_journal(
        &self,
        gateway: &str,
        (from, to): (Timestamp, Timestamp),
        archived: &HashMap<u64, u64>,
        coverage: &mut Coverage,
        each: &mut dyn FnMut(Row),
    ) -> anyhow::Result<()> {
        let Some(folder) = &self.journal else { return Ok(()) };
        for record in self.reader(folder, gateway)? {
            let record = match record {
                Ok(record) => record,
                Err(error @ JournalError::Io { .. }) => return Err(error.into()),
                Err(error) => {
                    let why = match (&error, &self.key) {
                        (JournalError::Sealed { .. }, Err(why)) => format!("{error}: {why}"),
                        _ => error.to_string(),
                    };
                    coverage.unread.push(why);
                    continue;
                }
            };
            let store::Position { segment, offset, sequence } = record.position;
            let at = record.event.at;
            let is_archived = archived.get(&segment).is_some_and(|last| sequence <= *last);
            if is_archived || at < from || at >= to {
                continue;
            }
            let row = Row::of(record.event, Place { segment, offset, number: sequence });
            coverage.journal_events += 1;
            if KINDS.contains(&&*row.kind) {
                each(row);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
