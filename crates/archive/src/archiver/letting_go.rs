//! What the journal lets go of, and what it keeps all the same.

use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use model::Timestamp;
use store::JournalError;

use super::{ArchiveError, Kept, Rounds};
use crate::bucket::Listed;
use crate::convert;
use crate::file::ArchiveFile;
use crate::merkle;

/// How long a segment that readers still need stays, if it is kept for a shorter time.
pub(super) const UNREAD_MAX: Duration = Duration::from_secs(60 * 60);
/// How long a purge waits for readers; those of syslog need 15 seconds.
const UNREAD_PURGE_MAX: Duration = Duration::from_secs(20);

/// A segment of the journal that was to be let go of and stays, with what it says: the gateway can
/// read it, sealed or not.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Stayed {
    /// Its file.
    pub path: PathBuf,
    /// Why it stays.
    pub why: Why,
}

/// Why a segment of the journal stays.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Why {
    /// Part of it could not be read: it is evidence.
    Damaged,
    /// The archive has another segment of its number, and not this one.
    NotArchived,
    /// The index does not have what it says yet.
    Unsettled,
}

impl fmt::Display for Stayed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let why = match self.why {
            Why::Damaged => "part of it is damaged",
            Why::NotArchived => "it is not the segment of its number in the archive",
            Why::Unsettled => "the index could not be written",
        };
        write!(f, "{}: {why}", self.path.display())
    }
}

impl Rounds {
    fn is_read(&self, segment: u64, wait: Duration) -> bool {
        self.read.as_ref().is_none_or(|read| read(segment, wait))
    }

    /// Deletes segments that are archived and older than they are kept, or than `unread` if someone
    /// still reads them; those of that age that stay all the same. On a disk with little room they
    /// are kept for neither: a receiver that is away must not stop the gateway.
    pub(super) fn forget(
        &mut self,
        now: Timestamp,
        keep: Duration,
        unread: Duration,
    ) -> Result<Vec<Stayed>, ArchiveError> {
        let (mut settled, mut stayed) = (None, Vec::new());
        if !self.met {
            return Ok(stayed);
        }
        let closed = self.journal.closed_segments()?;
        self.head.kept.retain(|of| closed.binary_search(&of.segment).is_ok());
        self.orphans.retain(|of| closed.binary_search(of).is_ok());
        let last = self.head.segment;
        for (at, segment) in closed.iter().copied().enumerate() {
            if segment > last {
                break;
            }
            let age = now.since(self.closed_at(&closed, at, now)?);
            let waits = age < keep || age < unread && !self.is_read(segment, Duration::ZERO);
            if waits && !self.journal.has_little_room()? {
                // Older ones first, so that what is here has no holes.
                break;
            }
            let path = self.journal.segment_path(segment);
            match self.is_kept(segment)? {
                Some(false) => {}
                Some(true) => {
                    stayed.push(Stayed { path, why: Why::Damaged });
                    continue;
                }
                None => {
                    self.orphan(segment);
                    stayed.push(Stayed { path, why: Why::NotArchived });
                    continue;
                }
            }
            let ask = || self.settled.as_ref().is_none_or(|settled| settled());
            if !*settled.get_or_insert_with(ask) {
                stayed.push(Stayed { path, why: Why::Unsettled });
                continue;
            }
            let mut removed = self.journal.remove_segment(segment)?;
            self.behind.beside(|_| {
                drop(removed.take());
                Ok(())
            })?;
            tracing::debug!(segment, "a segment of the journal is in the archive alone now");
        }
        Ok(stayed)
    }

    /// When the segment at a place among the closed ones was closed. A clock that was ahead when it
    /// was written says nothing; that it was before the next one was closed is known.
    fn closed_at(
        &self,
        closed: &[u64],
        at: usize,
        now: Timestamp,
    ) -> Result<Timestamp, ArchiveError> {
        for segment in closed.iter().skip(at) {
            let time = self.journal.closed_at(*segment)?;
            if time <= now {
                return Ok(time);
            }
        }
        Ok(now)
    }

    /// Whether a segment is archived, and if so, whether it is damaged; `None` for one that is not.
    pub(super) fn is_kept(&mut self, segment: u64) -> Result<Option<bool>, ArchiveError> {
        let Ok(salt) = self.journal.segment_salt(segment) else { return Ok(Some(true)) };
        let (salt, bytes) = (merkle::hex(&salt), self.journal.segment_bytes(segment)?);
        let at = match self.head.kept.binary_search_by_key(&segment, |of| of.segment) {
            Ok(at) => {
                let known = self.head.kept.get(at);
                let is_long_as = |of: &Kept| of.bytes.is_none_or(|archived| archived == bytes);
                let known = known.filter(|of| of.salt == salt && is_long_as(of));
                return Ok(known.map(|of| of.damaged));
            }
            Err(at) => at,
        };
        if self.orphans.contains(&segment) {
            return Ok(None);
        }
        let found = self.is_in_store(segment)?;
        if let Some(damaged) = found {
            let bytes = Some(bytes);
            self.head.kept.insert(at, Kept { segment, salt, bytes, damaged });
        }
        Ok(found)
    }

    /// Whether the store holds these very events of a segment, and if so, whether the segment is
    /// damaged; asked when it is not remembered.
    fn is_in_store(&self, segment: u64) -> Result<Option<bool>, ArchiveError> {
        let (mut here, mut damaged) = (Vec::new(), false);
        for record in self.journal.read_segment(segment)? {
            match record {
                Ok(record) => here.push((record.position.sequence, record.event.at.0)),
                Err(JournalError::Damaged(_)) => damaged = true,
                Err(error) => return Err(error.into()),
            }
        }
        here.sort_unstable();
        let mut there = Vec::new();
        let hours: BTreeSet<String> =
            here.iter().map(|(_, time)| convert::folder(Timestamp(*time))).collect();
        let gateway = self.journal.gateway();
        let is_ours = |path: &str| convert::named(path) == Some((gateway, segment));
        for hour in hours {
            for Listed { path, bytes } in self.bucket.list_if(&hour, is_ours)? {
                let read = ArchiveFile::open(&self.bucket, &path, bytes)
                    .and_then(|file| file.each(|row| there.push((row.number, row.time))));
                if read.is_err() {
                    return Ok(None);
                }
            }
        }
        there.sort_unstable();
        Ok((here == there).then_some(damaged))
    }

    /// Archives what there is and lets go of all that is archived, however young; what stays.
    pub fn purge(&mut self, now: Timestamp) -> Result<Vec<Stayed>, ArchiveError> {
        while self.round(now)?.more {}
        if !self.is_read(self.head.segment, UNREAD_PURGE_MAX) {
            tracing::warn!("a purge does not wait longer for those who read the journal");
        }
        self.forget(now, Duration::ZERO, Duration::ZERO)
    }
}
