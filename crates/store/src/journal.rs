//! The journal: every event of one gateway, in order, in append-only files.
//!
//! An event is acknowledged when the operating system has it, so `kill -9` of the gateway loses
//! nothing that was acknowledged (P5); a background thread makes the disk have it every
//! [`Options::sync`]. Records are chained by SHA-256, so a change in the middle shows. What they
//! hold is sealed on disk where [`Sealing`] says so. The format is described in `frame` and
//! `sealing`, what counts as torn and what as damaged in `scan`.

mod disk;
mod frame;
mod read;
mod recover;
mod room;
mod scan;
mod sealing;
#[cfg(test)]
mod tests;
mod write;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use model::{Event, Timestamp, limit};

use crate::data_dir::is_gateway_name;
use crate::id::NoRandomness;
use crate::index::Note;

pub use read::Reader;
pub use sealing::{JournalKey, Sealing, WrongKey};

pub(crate) use frame::Chain;
pub(crate) use read::{End, Stretch};

use disk::{Disk, SystemDisk};
use write::{Home, Shared};

/// How a journal is written.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// How long the disk may lag behind what was acknowledged; zero makes every acknowledgement
    /// wait for the disk. What a power cut can cost. `recording.sync`, 50 ms by default.
    pub sync: Duration,
    /// Size past which a segment is closed and the next begun, bytes.
    pub segment_bytes_max: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self { sync: Duration::from_millis(50), segment_bytes_max: limit::JOURNAL_SEGMENT_BYTES }
    }
}

/// Where a record is.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub struct Position {
    /// Number of the segment.
    pub segment: u64,
    /// Where the record begins in it, bytes.
    pub offset: u64,
    /// Number of the record in this gateway's journal, from 1.
    pub sequence: u64,
}

/// A record of the journal.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// Where it is.
    pub position: Position,
    /// Where it ends in its segment, bytes.
    pub stop: u64,
    /// Its link in the chain.
    pub chain: [u8; 32],
    /// What happened.
    pub event: Event,
}

/// Bytes of a journal that are not as they were written.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Damage {
    /// The file. It is never changed again: it is evidence.
    pub path: PathBuf,
    /// Where in it, bytes.
    pub offset: u64,
    /// What was found.
    pub what: String,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at byte {}: {}", self.path.display(), self.offset, self.what)
    }
}

/// What opening a journal found.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Recovery {
    /// Records in the newest segment, the only one read on opening.
    pub records: u64,
    /// An unfinished record at the end was cut off: the file, where, and how many bytes. Normal
    /// after a crash; it had not been acknowledged.
    pub torn: Option<(PathBuf, u64, u64)>,
    /// Damage found in the newest segment. Its file is kept as it is, and a new segment was begun.
    pub damage: Vec<Damage>,
}

/// Why an event is not, or may not be, in the journal, or cannot be read from it. The operation it
/// belongs to must be refused (P2).
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The operating system refused. A full disk is [`io::ErrorKind::StorageFull`].
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was attempted.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// Another process writes this journal.
    #[error(
        "{} is locked: another process (id {owner}) writes this gateway's journal; stop it, or use \
         another data_dir",
        path.display()
    )]
    Locked {
        /// The lock file.
        path: PathBuf,
        /// The process that holds it, as far as it said.
        owner: String,
    },
    /// Bytes were changed since they were written.
    #[error("the journal is damaged: {0}")]
    Damaged(Damage),
    /// A segment written by another version of the format.
    #[error(
        "{} has format {found}; this build reads formats {} and {}",
        path.display(),
        frame::FORMAT_CLEAR,
        frame::FORMAT_SEALED
    )]
    Format {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u16,
    },
    /// A segment is sealed, and not opened by the key that was given, if one was. Nothing is known
    /// to be wrong with it.
    #[error("{} {key}", path.display())]
    Sealed {
        /// The file.
        path: PathBuf,
        /// What is wrong with the key.
        key: WrongKey,
    },
    /// The cipher library refuses to work.
    #[error("{0}")]
    Cipher(String),
    /// An event that cannot be a record: too long, or without a JSON form.
    #[error("{0}")]
    Event(String),
    /// The disk failed to keep what the operating system had taken; events of the last moments may
    /// not survive a power cut. New events go to a new segment.
    #[error("the disk did not keep the journal: {0}")]
    Sync(String),
    /// The archive, where the journal no longer has it.
    #[error("the archive cannot be read: {0}")]
    Archive(String),
    /// A segment, here or in the archive, holds fewer events of a session than were indexed.
    #[error("segment {segment} of {gateway} lacks {count} of the session's events")]
    Missing {
        /// Whose segment.
        gateway: String,
        /// Its number.
        segment: u64,
        /// How many.
        count: u64,
    },
    /// A gateway's name that cannot be part of a file name.
    #[error("{0:?} cannot name a gateway; it takes 1 to 44 of a-z, 0-9 and '-'")]
    Gateway(String),
    /// No randomness.
    #[error(transparent)]
    Random(#[from] NoRandomness),
}

impl JournalError {
    /// Whether what could not be read is there as it was written, as far as is known, and can be
    /// read once the operator has mended something: so that whoever must not miss it waits, and
    /// does not go on behind it.
    #[must_use]
    pub fn can_be_mended(&self) -> bool {
        matches!(self, Self::Io { .. } | Self::Sealed { .. } | Self::Cipher(_))
    }
}

/// The right to write the journal of one gateway, which one process has at a time.
#[derive(Debug)]
pub struct JournalLock {
    folder: PathBuf,
    gateway: String,
    file: std::fs::File,
}

impl JournalLock {
    /// Takes the lock of the journal of `gateway` in `folder` (`data_dir/journal`), making the
    /// folder if missing.
    pub fn take(folder: &Path, gateway: &str) -> Result<Self, JournalError> {
        if !is_gateway_name(gateway) {
            return Err(JournalError::Gateway(gateway.to_owned()));
        }
        let file = recover::lock(folder, gateway)?;
        Ok(Self { folder: folder.to_owned(), gateway: gateway.to_owned(), file })
    }

    /// Fails with [`JournalError::Sealed`] if a segment is sealed and `key` does not open it.
    pub fn check_key(&self, key: Option<&JournalKey>) -> Result<(), JournalError> {
        read::check_key(&self.folder, &self.gateway, key)
    }

    /// Opens the journal, mending what a crash left. A segment that is sealed and that the key of
    /// `sealing` does not open is an error: what is not archived of it could be neither archived
    /// nor shown.
    pub fn open(
        self,
        options: Options,
        sealing: Sealing,
    ) -> Result<(Journal, Recovery), JournalError> {
        self.open_on(Box::new(SystemDisk), options, sealing)
    }

    fn open_on(
        self,
        disk: Box<dyn Disk>,
        options: Options,
        sealing: Sealing,
    ) -> Result<(Journal, Recovery), JournalError> {
        self.check_key(sealing.key())?;
        let Self { folder, gateway, file } = self;
        let home = Home { disk, folder, gateway, sealing };
        let (writer, recovery) = recover::recover(&home)?;
        let shared = Arc::new(Shared::new(home, options, writer));
        let syncer = write::spawn(&shared);
        let syncer = syncer.map_err(failed("start a thread for", &shared.home().folder))?;
        Ok((Journal { shared, syncer: Some(syncer), _lock: file }, recovery))
    }
}

/// The journal of one gateway, open for appending. Only one process can have it open.
pub struct Journal {
    shared: Arc<Shared>,
    syncer: Option<JoinHandle<()>>,
    /// Holds the lock for as long as the journal is open.
    _lock: std::fs::File,
}

impl Journal {
    /// Opens the journal of `gateway` in `folder` (`data_dir/journal`), making it if missing and
    /// mending what a crash left; without a key, so in clear. See [`JournalLock`] for another.
    pub fn open(
        folder: &Path,
        gateway: &str,
        options: Options,
    ) -> Result<(Self, Recovery), JournalError> {
        JournalLock::take(folder, gateway)?.open(options, Sealing::Keyless)
    }

    /// Appends events, all or none, with one write; the place of the last. When it returns `Ok`
    /// they survive the end of this process, and with [`Options::sync`] zero also a power cut.
    ///
    /// After an error nothing of the batch is in the journal, except after [`JournalError::Sync`],
    /// when it may be. The journal stays usable: when there is space again, events are taken again.
    /// It takes none where less than [`limit::JOURNAL_SPARE_BYTES`] of its disk would be left.
    pub fn append(&self, events: &[Event]) -> Result<Position, JournalError> {
        self.shared.append(events)
    }

    /// Waits until the disk has everything appended so far.
    pub fn sync(&self) -> Result<(), JournalError> {
        self.shared.sync_now()
    }

    /// Where the last record is; all zeros when there is none.
    #[must_use]
    pub fn last(&self) -> Position {
        self.shared.last()
    }

    /// The last record that a power cut does not take back; all zeros when there is none. No other
    /// record will ever have its number, or one below.
    #[must_use]
    pub fn last_synced(&self) -> Position {
        self.shared.synced().last
    }

    /// The name of the gateway.
    #[must_use]
    pub fn gateway(&self) -> &str {
        &self.shared.home().gateway
    }

    /// Where the segments are.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.shared.home().folder
    }

    /// All records acknowledged so far, in order.
    pub fn read(&self) -> Result<Reader, JournalError> {
        self.read_between(None, self.shared.end())
    }

    /// The records acknowledged so far from `position`, the place of a record, on, that one
    /// included.
    pub fn read_from(&self, position: Position) -> Result<Reader, JournalError> {
        self.read_between(Some(position), self.shared.end())
    }

    /// The same, up to [`Journal::last_synced`].
    pub fn read_synced_from(&self, position: Position) -> Result<Reader, JournalError> {
        self.read_between(Some(position), self.shared.synced().end)
    }

    /// Closes the segment that is being written, unless it holds nothing, so that it can become
    /// part of the archive. Whether it did. When it returns, the disk has the closed segment and
    /// the next one, so that not even a power cut has the closed one written to again.
    pub fn rotate(&self) -> Result<bool, JournalError> {
        self.shared.rotate()
    }

    /// The segments that are here and written to no more, in order.
    pub fn closed_segments(&self) -> Result<Vec<u64>, JournalError> {
        let current = self.shared.end().segment;
        let mut closed = read::segments(self.folder(), self.gateway())?;
        closed.retain(|segment| *segment < current);
        Ok(closed)
    }

    /// The records of one segment, as far as they are acknowledged.
    pub fn read_segment(&self, segment: u64) -> Result<Reader, JournalError> {
        let begin = Position { segment, ..Position::default() };
        let current = self.shared.end();
        let end = match current.segment == segment {
            true => current,
            false => End { segment, offset: u64::MAX },
        };
        self.read_between(Some(begin), end)
    }

    /// The records of a closed segment. It waits for nobody who appends.
    pub fn read_closed(&self, segment: u64) -> Result<Reader, JournalError> {
        let begin = Position { segment, ..Position::default() };
        let end = End { segment, offset: u64::MAX };
        self.read_between(Some(begin), end)
    }

    /// The records of all segments behind `segment`, as far as they are acknowledged.
    pub fn read_after_segment(&self, segment: u64) -> Result<Reader, JournalError> {
        let begin = Position { segment: segment.saturating_add(1), ..Position::default() };
        self.read_between(Some(begin), self.shared.end())
    }

    /// What tells a segment from another of the same number: the random part of its header.
    pub fn segment_salt(&self, segment: u64) -> Result<[u8; 16], JournalError> {
        let path = self.segment_path(segment);
        match read::open(&path, self.gateway(), segment)? {
            Some(scan) => Ok(scan.header.salt),
            None => Err(read::damaged(path, 0, "a segment without a header")),
        }
    }

    /// Goes on in a segment behind `segment` with a record behind `sequence`, if it is not there
    /// yet; whether it had to. For a journal that is older than its archive: what others know by
    /// these numbers must not be said again.
    pub fn advance_past(&self, segment: u64, sequence: u64) -> Result<bool, JournalError> {
        self.shared.advance_past(segment, sequence)
    }

    /// When a closed segment was written to last, as its file says.
    pub fn closed_at(&self, segment: u64) -> Result<Timestamp, JournalError> {
        let path = self.segment_path(segment);
        let written = std::fs::metadata(&path).and_then(|about| about.modified());
        let written = written.map_err(failed("look at", &path))?;
        let since = written.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        Ok(Timestamp(u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)))
    }

    /// How long the file of a segment is.
    pub fn segment_bytes(&self, segment: u64) -> Result<u64, JournalError> {
        let path = self.segment_path(segment);
        Ok(std::fs::metadata(&path).map_err(failed("look at", &path))?.len())
    }

    /// Deletes a closed segment: only after its archive was read back. The one being written stays.
    /// Its room is free when what is returned is dropped, which keeps a processor for tens of
    /// milliseconds where the segment is large.
    pub fn remove_segment(&self, segment: u64) -> Result<Option<std::fs::File>, JournalError> {
        if segment >= self.shared.end().segment {
            return Ok(None);
        }
        let path = self.segment_path(segment);
        // One that cannot be opened frees its room at once.
        let file = std::fs::File::open(&path).ok();
        std::fs::remove_file(&path).map_err(failed("delete", &path))?;
        Ok(file)
    }

    /// Whether its disk has so little room left that segments are better let go of.
    pub fn has_little_room(&self) -> Result<bool, JournalError> {
        self.shared.has_little_room()
    }

    /// Whether the file of a segment is still here.
    pub(crate) fn has_segment(&self, gateway: &str, segment: u64) -> bool {
        self.folder().join(read::file_name(gateway, segment)).exists()
    }

    /// The file of a segment.
    #[must_use]
    pub fn segment_path(&self, segment: u64) -> PathBuf {
        self.folder().join(read::file_name(self.gateway(), segment))
    }

    /// From now on keeps, beside each record, what the index needs to know: at most `max` notes
    /// between two calls of [`Journal::take_notes`].
    pub(crate) fn keep_notes(&self, max: usize) {
        self.shared.keep_notes(max);
    }

    /// Takes the notes kept so far, and the place of the end at the same moment.
    pub(crate) fn take_notes(&self, spare: Vec<Note>) -> Cut {
        self.shared.take_notes(spare)
    }

    pub(crate) fn read_between(
        &self,
        begin: Option<Position>,
        end: End,
    ) -> Result<Reader, JournalError> {
        Reader::between(self.folder(), self.gateway(), self.key(), begin, Some(end))
    }

    /// Events between two places of one segment, which another gateway may have written.
    pub(crate) fn stretch(
        &self,
        gateway: &str,
        segment: u64,
        (start, stop): (u64, u64),
    ) -> Result<Stretch, JournalError> {
        Stretch::open(self.folder(), gateway, self.key(), segment, (start, stop))
    }

    fn key(&self) -> Option<&JournalKey> {
        self.shared.home().sealing.key()
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        self.shared.stop();
        if let Some(syncer) = self.syncer.take() {
            let _ = syncer.join();
        }
    }
}

impl fmt::Debug for Journal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Journal")
            .field("gateway", &self.gateway())
            .field("last", &self.last())
            .finish_non_exhaustive()
    }
}

/// The notes up to one moment.
pub(crate) struct Cut {
    /// In order; meaningless when `lost`.
    pub(crate) notes: Vec<Note>,
    /// There were more than may be kept: they have to be read from the journal.
    pub(crate) lost: bool,
    /// The last record and its chain at that moment.
    pub(crate) last: Position,
    pub(crate) chain: Chain,
    pub(crate) end: End,
}

fn failed(action: &'static str, path: &Path) -> impl Fn(io::Error) -> JournalError {
    move |source| JournalError::Io { action, path: path.to_owned(), source }
}
