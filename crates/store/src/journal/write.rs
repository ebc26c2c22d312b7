//! Appending: encode, one write, then tell the thread that syncs.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;

use model::Event;
use parking_lot::{Condvar, Mutex, MutexGuard};

use super::disk::{Disk, SegmentFile};
use super::frame::{self, Chain, DATA_START, Header, NUMBER_MAX};
use super::read::{End, damaged, file_name};
use super::room::Credit;
use super::sealing::{Sealer, SealerError, Sealing};
use super::{Cut, JournalError, Options, Position, failed};
use crate::id;
use crate::index::Note;

/// Memory the encode buffer keeps between batches; a longer batch gives the rest back.
const BUFFER_BYTES_KEPT: usize = 1024 * 1024;

/// What appending threads and the syncing thread share.
pub(super) struct Shared {
    home: Home,
    options: Options,
    writer: Mutex<Writer>,
    commit: Mutex<Commit>,
    /// Wakes those who wait for the disk.
    committed: Condvar,
    /// Wakes the thread that syncs.
    work: Condvar,
}

/// Where the segments of a journal are, and how new ones are made.
pub(super) struct Home {
    pub(super) disk: Box<dyn Disk>,
    pub(super) folder: PathBuf,
    pub(super) gateway: String,
    pub(super) sealing: Sealing,
}

pub(super) struct Writer {
    file: Arc<dyn SegmentFile>,
    segment: u64,
    /// Where the next record begins.
    offset: u64,
    /// The last record.
    pub(super) last: Position,
    chain: Chain,
    seed: u32,
    /// What seals the records of this segment; `None` in one that is in clear.
    sealer: Option<Sealer>,
    buffer: Vec<u8>,
    tail: Tail,
    credit: Credit,
    /// Closed segments, and the folder after a new one, that the disk may not have yet.
    unsynced: Vec<Arc<dyn SegmentFile>>,
    notes: Option<Notes>,
}

/// What is behind the last record.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Tail {
    Clean,
    /// A failed write may have left bytes, to be cut off before anything else is written.
    Dirty,
    /// The disk lost something of this segment: go on in a new one.
    Distrusted,
}

#[derive(Default)]
struct Notes {
    kept: Vec<Note>,
    max: usize,
    lost: bool,
}

struct Commit {
    /// The highest record number appended, as far as those who asked for a sync said.
    wanted: u64,
    /// The highest record number for which a sync was tried.
    settled: u64,
    /// What the last sync that succeeded covers.
    synced: Synced,
    /// Record numbers from and to which some sync failed. Those between that did not fail are told
    /// they did, if they still wait: an error too many is safe.
    failed: Option<(u64, u64, String)>,
    /// Someone is syncing now.
    busy: bool,
    stop: bool,
}

/// How far the disk has the journal. What an earlier sync failed to keep counts too: it is in a
/// segment that is closed, and the next one, which the disk has, numbers its records behind it.
#[derive(Clone, Copy)]
pub(super) struct Synced {
    pub(super) last: Position,
    pub(super) end: End,
}

/// A segment that can be appended to.
pub(super) struct Fresh {
    pub(super) file: Arc<dyn SegmentFile>,
    pub(super) segment: u64,
    pub(super) offset: u64,
    pub(super) seed: u32,
    pub(super) sealer: Option<Sealer>,
}

impl Writer {
    /// Goes on in `segment`, after the record `last` (of which only the number matters when it is
    /// in another segment).
    pub(super) fn new(fresh: Fresh, last: Position, chain: Chain) -> Self {
        Self {
            file: fresh.file,
            segment: fresh.segment,
            offset: fresh.offset,
            last,
            chain,
            seed: fresh.seed,
            sealer: fresh.sealer,
            buffer: Vec::new(),
            tail: Tail::Clean,
            credit: Credit::default(),
            unsynced: Vec::new(),
            notes: None,
        }
    }

    pub(super) fn sync_later(&mut self, file: Arc<dyn SegmentFile>) {
        self.unsynced.push(file);
    }

    /// Has the disk keep the segment and its name at once.
    pub(super) fn sync_created(&self) -> io::Result<()> {
        self.file.sync()?;
        self.unsynced.iter().try_for_each(|file| file.sync())
    }

    fn end(&self) -> End {
        End { segment: self.segment, offset: self.offset }
    }

    /// Appends all events or none.
    fn append(&mut self, events: &[Event], shared: &Shared) -> Result<Position, JournalError> {
        let notes = self.notes.as_ref().map_or(0, |notes| notes.kept.len());
        let written = self.encode(events).and_then(|encoded| {
            let bytes = self.buffer.len() as u64;
            let room = self.credit.take(bytes, || shared.home.disk.room(&shared.home.folder));
            match room.and_then(|()| self.write()) {
                Ok(()) => Ok(encoded),
                Err(error) => Err(failed("append to", &shared.path(self.segment))(error)),
            }
        });
        match written {
            Ok((last, chain)) => {
                self.offset += self.buffer.len() as u64;
                self.chain = chain;
                self.last = last;
            }
            Err(_) => {
                if let Some(kept) = &mut self.notes {
                    kept.kept.truncate(notes);
                }
            }
        }
        self.buffer.clear();
        self.buffer.shrink_to(BUFFER_BYTES_KEPT);
        written.map(|(last, _)| last)
    }

    /// Encodes all events into the buffer; the place of the last and the chain after it.
    fn encode(&mut self, events: &[Event]) -> Result<(Position, Chain), JournalError> {
        self.buffer.clear();
        let mut chain = self.chain;
        let mut last = self.last;
        for event in events {
            let start = self.offset + self.buffer.len() as u64;
            let sealer = self.sealer.as_mut().map(|sealer| (sealer, start));
            chain = frame::encode(&mut self.buffer, event, &chain, self.seed, sealer)
                .map_err(|error| JournalError::Event(error.to_string()))?;
            last = Position { segment: self.segment, offset: start, sequence: last.sequence + 1 };
            if let Some(notes) = &mut self.notes {
                let stop = self.offset + self.buffer.len() as u64;
                notes.keep(Note::of(event, self.segment, start, stop));
            }
        }
        Ok((last, chain))
    }

    /// Writes the buffer behind the last record, whole or not at all.
    fn write(&mut self) -> io::Result<()> {
        let mut done = 0;
        while let Some(rest) = self.buffer.get(done..).filter(|rest| !rest.is_empty()) {
            match self.file.write_at(rest, self.offset + done as u64) {
                Ok(0) => return Err(self.undo(io::ErrorKind::WriteZero.into())),
                Ok(written) => done += written,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(self.undo(error)),
            }
        }
        Ok(())
    }

    /// Cuts off what a failed write left. If even that fails, the next append tries again first.
    fn undo(&mut self, error: io::Error) -> io::Error {
        if self.file.cut(self.offset).is_err() {
            self.tail = Tail::Dirty;
        }
        error
    }
}

impl Notes {
    fn keep(&mut self, note: Option<Note>) {
        if self.kept.len() >= self.max {
            self.lost = true;
            self.kept = Vec::new();
        }
        if !self.lost {
            self.kept.extend(note);
        }
    }
}

impl Shared {
    pub(super) fn new(home: Home, options: Options, writer: Writer) -> Self {
        // What an earlier process appended the disk may not have yet: it is synced first of all.
        let nothing = End { segment: 0, offset: 0 };
        let commit = Commit {
            wanted: writer.last.sequence,
            settled: 0,
            synced: Synced { last: Position::default(), end: nothing },
            failed: None,
            busy: false,
            stop: false,
        };
        Self {
            home,
            options,
            writer: Mutex::new(writer),
            commit: Mutex::new(commit),
            committed: Condvar::new(),
            work: Condvar::new(),
        }
    }

    pub(super) fn append(&self, events: &[Event]) -> Result<Position, JournalError> {
        let mut writer = self.writer.lock();
        if events.is_empty() {
            return Ok(writer.last);
        }
        self.make_ready(&mut writer)?;
        let last = writer.append(events, self)?;
        drop(writer);
        if self.options.sync.is_zero() {
            self.sync_up_to(last.sequence)?;
        } else {
            let mut commit = self.commit.lock();
            let idle = commit.wanted <= commit.settled;
            commit.wanted = commit.wanted.max(last.sequence);
            if idle {
                self.work.notify_one();
            }
        }
        Ok(last)
    }

    pub(super) fn sync_now(&self) -> Result<(), JournalError> {
        let last = self.writer.lock().last.sequence;
        self.sync_up_to(last)
    }

    pub(super) fn last(&self) -> Position {
        self.writer.lock().last
    }

    pub(super) fn end(&self) -> End {
        self.writer.lock().end()
    }

    pub(super) fn synced(&self) -> Synced {
        self.commit.lock().synced
    }

    pub(super) fn has_little_room(&self) -> Result<bool, JournalError> {
        let Home { disk, folder, .. } = &self.home;
        let room = disk.room(folder).map_err(failed("look at the disk of", folder))?;
        Ok(room.is_little())
    }

    pub(super) fn home(&self) -> &Home {
        &self.home
    }

    pub(super) fn keep_notes(&self, max: usize) {
        self.writer.lock().notes.get_or_insert_default().max = max;
    }

    pub(super) fn take_notes(&self, spare: Vec<Note>) -> Cut {
        let mut writer = self.writer.lock();
        let taken = writer.notes.as_mut().map(|notes| {
            let fresh = Notes { kept: spare, max: notes.max, lost: false };
            std::mem::replace(notes, fresh)
        });
        let notes = taken.unwrap_or_default();
        Cut {
            notes: notes.kept,
            lost: notes.lost,
            last: writer.last,
            chain: writer.chain,
            end: writer.end(),
        }
    }

    pub(super) fn stop(&self) {
        self.commit.lock().stop = true;
        self.work.notify_one();
    }

    fn path(&self, segment: u64) -> PathBuf {
        self.home.path(segment)
    }

    /// Mends what an earlier failure left, and begins a new segment when this one is full.
    fn make_ready(&self, writer: &mut Writer) -> Result<(), JournalError> {
        match writer.tail {
            Tail::Clean => {}
            Tail::Dirty => {
                let path = self.path(writer.segment);
                writer.file.cut(writer.offset).map_err(failed("mend", &path))?;
                writer.tail = Tail::Clean;
            }
            Tail::Distrusted => {
                self.begin_segment(writer)?;
                if let Err(error) = writer.file.sync() {
                    return Err(JournalError::Sync(error.to_string()));
                }
                writer.tail = Tail::Clean;
            }
        }
        let full = self.options.segment_bytes_max;
        if writer.offset < full || writer.offset == DATA_START as u64 {
            return Ok(());
        }
        match self.begin_segment(writer) {
            // A segment may grow to twice its size while a new one cannot be made.
            Err(_) if writer.offset < full.saturating_mul(2) => Ok(()),
            made => made,
        }
    }

    pub(super) fn rotate(&self) -> Result<bool, JournalError> {
        let mut writer = self.writer.lock();
        let closes = writer.offset > DATA_START as u64;
        let before = writer.segment;
        self.make_ready(&mut writer)?;
        if closes && writer.segment == before {
            self.begin_segment(&mut writer)?;
        }
        let is_kept = writer.unsynced.is_empty();
        drop(writer);
        // The new segment has no record whose sync somebody would wait for. But without it, a power
        // cut would have the closed one written to again, whatever was said of it meanwhile.
        if !is_kept {
            let mut commit = self.commit.lock();
            while commit.busy {
                self.committed.wait(&mut commit);
            }
            self.sync_once(&mut commit).map_err(|error| JournalError::Sync(error.to_string()))?;
        }
        Ok(closes)
    }

    pub(super) fn advance_past(&self, segment: u64, sequence: u64) -> Result<bool, JournalError> {
        let mut writer = self.writer.lock();
        if writer.segment > segment && writer.last.sequence >= sequence {
            return Ok(false);
        }
        let before = (writer.segment, writer.last.sequence);
        writer.segment = writer.segment.max(segment);
        writer.last.sequence = writer.last.sequence.max(sequence);
        if let Err(error) = self.begin_segment(&mut writer) {
            (writer.segment, writer.last.sequence) = before;
            return Err(error);
        }
        Ok(true)
    }

    fn begin_segment(&self, writer: &mut Writer) -> Result<(), JournalError> {
        let next = writer.segment + 1;
        let first = writer.last.sequence + 1;
        let Home { disk, folder, .. } = &self.home;
        // First, since a segment that has its name must be gone on in.
        let folder = disk.folder(folder).map_err(failed("open", folder))?;
        let fresh = self.home.create_segment(next, first, writer.chain)?;
        let closed = std::mem::replace(&mut writer.file, fresh.file);
        if writer.tail != Tail::Distrusted {
            writer.unsynced.push(closed);
        }
        writer.unsynced.push(folder);
        writer.segment = fresh.segment;
        writer.offset = fresh.offset;
        writer.seed = fresh.seed;
        writer.sealer = fresh.sealer;
        Ok(())
    }

    /// Returns when a sync that covers record number `wanted` is over. The first to come syncs for
    /// all who come meanwhile.
    fn sync_up_to(&self, wanted: u64) -> Result<(), JournalError> {
        let mut commit = self.commit.lock();
        loop {
            if commit.settled >= wanted {
                return commit.outcome(wanted);
            }
            if !commit.busy {
                break;
            }
            self.committed.wait(&mut commit);
        }
        // What came of it is in `commit`, for all who wait.
        let _ = self.sync_once(&mut commit);
        commit.outcome(wanted)
    }

    /// Syncs everything appended so far, while nobody else does.
    fn sync_once(&self, commit: &mut MutexGuard<'_, Commit>) -> io::Result<()> {
        commit.busy = true;
        let (reached, synced) = MutexGuard::unlocked(commit, || self.sync_files());
        commit.busy = false;
        let number = reached.last.sequence;
        match &synced {
            Ok(()) => commit.synced = reached,
            Err(error) => {
                let from = commit.failed.as_ref().map_or(commit.settled + 1, |(from, ..)| *from);
                commit.failed = Some((from, number, error.to_string()));
            }
        }
        commit.settled = commit.settled.max(number);
        self.committed.notify_all();
        synced
    }

    /// Syncs everything appended so far; up to where that is.
    fn sync_files(&self) -> (Synced, io::Result<()>) {
        let mut writer = self.writer.lock();
        let reached = Synced { last: writer.last, end: writer.end() };
        let mut files = std::mem::take(&mut writer.unsynced);
        files.push(Arc::clone(&writer.file));
        let segment = writer.segment;
        drop(writer);
        let synced = files.iter().try_for_each(|file| file.sync());
        if let Err(error) = &synced {
            let path = self.path(segment);
            tracing::error!(path = %path.display(), %error, "the disk did not keep the journal");
            let mut writer = self.writer.lock();
            // The system may call lost pages clean after saying so once; a new file says the truth.
            if writer.segment == segment {
                writer.tail = Tail::Distrusted;
            }
        }
        (reached, synced)
    }
}

impl Commit {
    fn outcome(&self, number: u64) -> Result<(), JournalError> {
        match &self.failed {
            Some((from, to, error)) if (*from..=*to).contains(&number) => {
                Err(JournalError::Sync(error.clone()))
            }
            _ => Ok(()),
        }
    }
}

/// Starts the thread that syncs at most once per [`Options::sync`].
pub(super) fn spawn(shared: &Arc<Shared>) -> io::Result<JoinHandle<()>> {
    let shared = Arc::clone(shared);
    std::thread::Builder::new().name("narrows-sync".to_owned()).spawn(move || {
        let pause = shared.options.sync;
        loop {
            let mut commit = shared.commit.lock();
            while !commit.stop && commit.wanted <= commit.settled {
                shared.work.wait(&mut commit);
            }
            // Lets a batch gather; only `stop` ends it early.
            shared.work.wait_while_for(&mut commit, |commit| !commit.stop, pause);
            let stop = commit.stop;
            drop(commit);
            // A failure was logged; appending goes on in a new segment.
            let _ = shared.sync_now();
            if stop {
                return;
            }
        }
    })
}

impl Home {
    fn path(&self, segment: u64) -> PathBuf {
        self.folder.join(file_name(&self.gateway, segment))
    }

    /// What seals the records of a segment from here on; `None` if they are to be in clear.
    pub(super) fn sealer(
        &self,
        segment: u64,
        salt: &[u8; 16],
    ) -> Result<Option<Sealer>, JournalError> {
        let sealer = self.sealing.sealer(&self.gateway, segment, salt)?;
        Ok(sealer.map(|(sealer, _)| sealer))
    }

    /// Makes the file of a segment. It takes its name only when its header is written, so that a
    /// file without one is never found under it, short of a power cut.
    pub(super) fn create_segment(
        &self,
        segment: u64,
        first_sequence: u64,
        previous: Chain,
    ) -> Result<Fresh, JournalError> {
        let path = self.path(segment);
        if segment > NUMBER_MAX || first_sequence > NUMBER_MAX {
            return Err(damaged(path, 0, "a journal whose numbers are used up"));
        }
        let mut salt = [0; 16];
        salt.iter_mut().zip(id::random_32()?).for_each(|(to, from)| *to = from);
        let sealer = self.sealing.sealer(&self.gateway, segment, &salt)?;
        let (sealer, sealed) = sealer.unzip();
        let gateway = self.gateway.clone();
        let header = Header { gateway, segment, first_sequence, previous, salt, sealed };
        let bytes = header.encode();
        let unnamed = self.folder.join(format!("{}.new", self.gateway));
        let file = self.disk.create(&unnamed).map_err(failed("make", &unnamed))?;
        let mut done = 0;
        while let Some(rest) = bytes.get(done..).filter(|rest| !rest.is_empty()) {
            match file.write_at(rest, done as u64) {
                Ok(0) => return Err(failed("write", &unnamed)(io::ErrorKind::WriteZero.into())),
                Ok(written) => done += written,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(failed("write", &unnamed)(error)),
            }
        }
        fs::rename(&unnamed, &path).map_err(failed("name", &path))?;
        Ok(Fresh { file, segment, offset: DATA_START as u64, seed: header.seed(), sealer })
    }
}

impl From<SealerError> for JournalError {
    fn from(error: SealerError) -> Self {
        match error {
            SealerError::Cipher(error) => Self::Cipher(error.to_string()),
            SealerError::Random(error) => Self::Random(error),
        }
    }
}
