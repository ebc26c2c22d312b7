//! The index: which sessions there were, what they did, and where the journal holds their events.
//!
//! Fed by notes that the journal keeps beside each record, written to the state database a few
//! times a second together with the place of the last record they cover. What is missing after a
//! crash, an error or an overflow is read from the journal again, and all of it can be
//! ([`Index::reindex`]).

mod batch;
mod bookmark;
mod note;
mod query;
#[cfg(test)]
mod tests;
mod write;

use std::fmt;
use std::io;
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::Duration;

use model::{Event, SessionId, Timestamp, limit};
use parking_lot::{Condvar, Mutex};

use crate::journal::{Chain, Cut, Journal, JournalError, Position};
use crate::state::{State, StateError};

pub use bookmark::Bookmark;
pub(crate) use note::Note;
pub use query::{Decisions, SessionEvents, SessionFilter, SessionSummary, TableUse};

use batch::{Batch, OpenReplies};

/// How often the notes are written.
pub(crate) const INTERVAL: Duration = Duration::from_millis(250);
/// Tables of the state database that are the index, and can be built again.
pub(crate) const INDEX_TABLES: [&str; 7] = [
    "sessions",
    "session_tables",
    "session_detections",
    "session_ranges",
    "open_replies",
    "usage",
    "indexed",
];
/// Records read from the journal per transaction while catching up.
const CHUNK_RECORDS: usize = 10_000;

/// Why the index could not be read or brought up to date.
#[derive(Debug, thiserror::Error)]
pub enum IndexError {
    /// The state database failed.
    #[error(transparent)]
    State(#[from] StateError),
    /// The journal could not be read.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The thread that writes the index could not be started.
    #[error("cannot start a thread for the index: {0}")]
    Thread(io::Error),
}

/// The index of one gateway's journal.
pub struct Index {
    inner: Arc<Inner>,
    writer: Option<JoinHandle<()>>,
}

struct Inner {
    state: Arc<State>,
    journal: Arc<Journal>,
    work: Mutex<Work>,
    stop: Mutex<bool>,
    wake: Condvar,
    archive: OnceLock<Arc<dyn Archived>>,
}

/// Where events are that the journal no longer holds.
pub trait Archived: Send + Sync {
    /// Events of a session that were in one segment of a gateway's journal, with their offsets
    /// there, in order. `span` is when the session was.
    ///
    /// # Errors
    ///
    /// When the archive cannot be read.
    fn events(
        &self,
        gateway: &str,
        segment: u64,
        session: &SessionId,
        span: (Timestamp, Timestamp),
    ) -> Result<Vec<(u64, Event)>, String>;

    /// Hands every event that was in a segment of a gateway's journal that is not `here` to `each`,
    /// in order: the segment, where the event begins in it and where the next does, the event.
    ///
    /// # Errors
    ///
    /// When the archive cannot be read.
    fn each(
        &self,
        gateway: &str,
        here: &dyn Fn(u64) -> bool,
        each: &mut dyn FnMut(u64, u64, u64, &Event),
    ) -> Result<(), String>;
}

#[derive(Default)]
struct Work {
    open: OpenReplies,
    /// Something of the journal is not in the database and not in the notes either.
    behind: bool,
    /// What the journal has let go of was read from the archive.
    has_archived: bool,
    /// Memory for the next notes.
    spare: Vec<Note>,
}

/// The last record that is in the database.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Indexed {
    position: Position,
    chain: Chain,
}

impl Index {
    /// Opens the index and brings it up to date with the journal, then keeps it so, every
    /// `interval`.
    pub fn open(
        state: Arc<State>,
        journal: Arc<Journal>,
        interval: Duration,
    ) -> Result<Self, IndexError> {
        journal.keep_notes(limit::INDEX_NOTES_MAX);
        let work = Mutex::new(Work { behind: true, ..Work::default() });
        let (stop, wake) = (Mutex::new(false), Condvar::new());
        let archive = OnceLock::new();
        let inner = Arc::new(Inner { state, journal, work, stop, wake, archive });
        match inner.flush() {
            Err(IndexError::State(error)) if error.is_damage() => inner.renew(&error)?,
            flushed => flushed?,
        }
        let shared = Arc::clone(&inner);
        let writer = std::thread::Builder::new()
            .name("narrows-index".to_owned())
            .spawn(move || shared.run(interval))
            .map_err(IndexError::Thread)?;
        Ok(Self { inner, writer: Some(writer) })
    }

    /// From now on, events of segments that the journal no longer has are asked of `archive`.
    pub fn read_archive(&self, archive: Arc<dyn Archived>) {
        // Only the first counts: a gateway has one archive.
        let _ = self.inner.archive.set(archive);
    }

    /// Brings the database up to date with everything the journal acknowledged before the call.
    /// Queries do this by themselves.
    pub fn flush(&self) -> Result<(), IndexError> {
        self.inner.flush()
    }

    /// As [`Index::flush`], and remembers that it has everything, events of no session included:
    /// the journal is about to let go of them.
    pub fn settle(&self) -> Result<(), IndexError> {
        let mut work = self.inner.work.lock();
        self.inner.flush_locked(&mut work)?;
        let cut = self.inner.journal.take_notes(std::mem::take(&mut work.spare));
        self.inner.bring_up(&mut work, cut)
    }

    /// Builds a damaged index again from what the journal still has.
    pub(crate) fn renew(&self, error: &StateError) -> Result<(), IndexError> {
        self.inner.renew(error)
    }

    /// Whether the database can be used. Waits for nobody who is bringing it up to date.
    pub fn check(&self) -> Result<(), IndexError> {
        match self.inner.work.try_lock() {
            Some(mut work) => self.inner.flush_locked(&mut work),
            None => Ok(self.inner.state.read(query::count).map(drop)?),
        }
    }

    /// Empties the index and builds it again, from the archive as far as the journal no longer
    /// reaches and from the journal.
    pub fn reindex(&self) -> Result<(), IndexError> {
        let mut work = self.inner.work.lock();
        work.behind = true;
        match self.inner.state.index(write::clear) {
            Err(error) if error.is_damage() => {
                tracing::warn!(%error, "a new database takes the place of the damaged one");
                self.inner.state.renew()?;
            }
            cleared => cleared?,
        }
        if let Some(archive) = self.inner.archive.get() {
            self.inner.read_archived(&mut work, &**archive)?;
            work.has_archived = true;
        }
        self.inner.flush_locked(&mut work)
    }
}

impl fmt::Debug for Index {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Index").field("journal", &self.inner.journal).finish_non_exhaustive()
    }
}

impl Drop for Index {
    fn drop(&mut self) {
        *self.inner.stop.lock() = true;
        self.inner.wake.notify_one();
        if let Some(writer) = self.writer.take() {
            let _ = writer.join();
        }
    }
}

impl Inner {
    fn run(&self, interval: Duration) {
        let mut failing = false;
        loop {
            let mut stop = self.stop.lock();
            if !*stop {
                self.wake.wait_for(&mut stop, interval);
            }
            let last = *stop;
            drop(stop);
            match self.flush() {
                Ok(()) => failing = false,
                // Said once: the sessions go on, and what is missing is read again from the
                // journal.
                Err(error) if !failing => {
                    tracing::error!(%error, "the index is behind the journal");
                    failing = true;
                }
                Err(_) => {}
            }
            if last {
                return;
            }
        }
    }

    fn renew(&self, error: &StateError) -> Result<(), IndexError> {
        tracing::error!(%error, "the index is built again from what the journal still has");
        let mut work = self.work.lock();
        work.behind = true;
        self.state.renew()?;
        self.flush_locked(&mut work)
    }

    fn flush(&self) -> Result<(), IndexError> {
        self.flush_locked(&mut self.work.lock())
    }

    fn flush_locked(&self, work: &mut Work) -> Result<(), IndexError> {
        let cut = self.journal.take_notes(std::mem::take(&mut work.spare));
        if cut.notes.is_empty() && !work.behind && !cut.lost {
            work.spare = cut.notes;
            return Ok(());
        }
        self.bring_up(work, cut)
    }

    /// Writes what was noted, and up to where that is.
    fn bring_up(&self, work: &mut Work, cut: Cut) -> Result<(), IndexError> {
        let written = if work.behind || cut.lost {
            self.catch_up(work, &cut)
        } else {
            let mut batch = Batch::default();
            cut.notes.iter().for_each(|note| batch.add(note, &mut work.open));
            let indexed = Indexed { position: cut.last, chain: cut.chain };
            self.write(&batch, indexed)
        };
        work.behind = written.is_err();
        if written.is_ok() {
            work.spare = cut.notes;
            work.spare.clear();
        }
        written
    }

    fn write(&self, batch: &Batch, indexed: Indexed) -> Result<(), IndexError> {
        let gateway = self.journal.gateway();
        Ok(self.state.index(|db| write::write(db, gateway, batch, indexed))?)
    }

    /// Reads from the archive what the journal has let go of.
    fn read_archived(&self, work: &mut Work, archive: &dyn Archived) -> Result<(), IndexError> {
        let gateway = self.journal.gateway();
        // Not only what is before the first: segments that are kept as evidence leave holes.
        // What is closed and archived meanwhile is read from the journal.
        let current = self.journal.last().segment;
        let closed = self.journal.closed_segments()?;
        let here = |segment: u64| segment >= current || closed.binary_search(&segment).is_ok();
        let mut batch = Batch::default();
        let (mut count, mut failed) = (0_usize, None);
        work.open = OpenReplies::default();
        let open = &mut work.open;
        let read = archive.each(gateway, &here, &mut |segment, start, stop, event| {
            if let Some(note) = Note::of(event, segment, start, stop) {
                batch.add(&note, open);
            }
            count += 1;
            if count.is_multiple_of(CHUNK_RECORDS) && failed.is_none() {
                let full = std::mem::take(&mut batch);
                failed = self.state.index(|db| write::write_archived(db, &full)).err();
            }
        });
        read.map_err(JournalError::Archive)?;
        if let Some(error) = failed {
            return Err(error.into());
        }
        self.state.index(|db| write::write_archived(db, &batch))?;
        Ok(())
    }

    /// Reads from the journal what is not in the database, up to `cut`.
    fn catch_up(&self, work: &mut Work, cut: &Cut) -> Result<(), IndexError> {
        let gateway = self.journal.gateway();
        let indexed = self.state.index(|db| write::indexed(db, gateway))?;
        if let Some(indexed) = indexed
            && !self.agrees(indexed, cut)?
        {
            tracing::warn!(
                "the index is not of this journal; it is built again from what the journal still \
                 has; narrows audit reindex reads the archive too"
            );
            self.state.index(write::clear)?;
            return self.read_after(work, None, cut);
        }
        self.read_after(work, indexed, cut)
    }

    /// Whether the last record indexed is in the journal, as it was. `true` also when its segment
    /// is no longer here.
    fn agrees(&self, indexed: Indexed, cut: &Cut) -> Result<bool, IndexError> {
        let position = indexed.position;
        if position.sequence > cut.last.sequence {
            return Ok(false);
        }
        match self.journal.read_between(Some(position), cut.end)?.next() {
            Some(Ok(record)) if record.position.segment == position.segment => {
                Ok(record.position.offset == position.offset && record.chain == indexed.chain)
            }
            Some(Ok(_)) => Ok(true),
            // Damaged where it was read before: what is indexed is all the better kept.
            Some(Err(_)) => Ok(true),
            // Archived and let go of, with everything behind it.
            None => Ok(position.segment < cut.end.segment
                && !self.journal.has_segment(self.journal.gateway(), position.segment)),
        }
    }

    fn read_after(
        &self,
        work: &mut Work,
        indexed: Option<Indexed>,
        cut: &Cut,
    ) -> Result<(), IndexError> {
        work.open = self.state.index(write::open_replies)?;
        let after = indexed.map(|indexed| indexed.position);
        let mut has_archived = std::mem::take(&mut work.has_archived);
        let mut batch = Batch::default();
        let mut pending: Option<(Indexed, usize)> = None;
        for record in self.journal.read_between(after, cut.end)? {
            let record = match record {
                Ok(record) => record,
                Err(error) if error.can_be_mended() => return Err(error.into()),
                Err(error) => {
                    tracing::error!(%error, "part of the journal cannot be indexed");
                    continue;
                }
            };
            if after.is_some_and(|after| {
                (record.position.segment, record.position.offset) <= (after.segment, after.offset)
            }) {
                continue;
            }
            let Position { segment, offset, sequence } = record.position;
            if !std::mem::replace(&mut has_archived, true) {
                say_missing(after.map_or(0, |after| after.sequence), sequence);
            }
            if let Some(note) = Note::of(&record.event, segment, offset, record.stop) {
                batch.add(&note, &mut work.open);
            }
            let reached = Indexed { position: record.position, chain: record.chain };
            let count = pending.map_or(1, |(_, count)| count + 1);
            pending = Some((reached, count));
            if count >= CHUNK_RECORDS {
                self.write(&std::mem::take(&mut batch), reached)?;
                pending = None;
            }
        }
        if let Some((reached, _)) = pending {
            self.write(&batch, reached)?;
        }
        Ok(())
    }
}

/// Says what is between the last event that the index has and the first that the journal has.
fn say_missing(indexed: u64, first: u64) {
    if first > indexed.saturating_add(1) {
        tracing::warn!(
            from = indexed + 1,
            to = first - 1,
            "the index lacks events that the journal no longer has; narrows audit reindex reads \
             them from the archive"
        );
    }
}
