//! What turns the journal into the archive, round by round, beside the gateway's work.
//!
//! A round closes the segment being written, converts what is closed, writes the files, reads each
//! back and checks it, signs a manifest, remembers it, and only then deletes segments that are
//! older than they are kept. Whatever interrupts a round, the next one begins with what is missing:
//! files are made again with the same bytes, and a manifest that was written and not remembered is
//! found and taken for what it is.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use model::Timestamp;
use parking_lot::{Condvar, Mutex};
use seal::Keys;
use serde::{Deserialize, Serialize};
use store::{Journal, JournalError};

use crate::bucket::{Bucket, BucketError, Put};
use crate::convert::{self, ConvertError, Converted};
use crate::file::ArchiveFile;
use crate::manifest::{
    self, HexHash, MANIFEST_VERSION, Manifest, ManifestError, SigningKey, format_time,
};
use crate::merkle::{Tree, sha256};
use crate::schema::SCHEMA_VERSION;
use crate::sealing::{Sealer, SealingError};

/// Segments that one manifest names at most; what is left is taken by the next.
const SEGMENTS_MAX: usize = 16;
/// How long the last round of a gateway that stops may take before it is left to the next start.
const LAST_ROUND: Duration = Duration::from_secs(10);

/// How the archive is made.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// How often a manifest is signed, and how old an event is at most before it is archived.
    pub every: Duration,
    /// How long a segment of the journal stays after it was archived.
    pub keep: Duration,
}

/// How far the archive reaches.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Head {
    /// The number of the last manifest; 0 before the first.
    pub number: u64,
    /// Its SHA-256.
    pub hash: HexHash,
    /// Its path in the store.
    pub path: String,
    /// When it was signed.
    pub at: String,
    /// The last segment that it or one before it names.
    pub segment: u64,
    /// The number of the last event archived.
    pub last: u64,
}

/// Why a round did not end. The journal keeps what is not archived, so nothing is lost by it.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// The store.
    #[error(transparent)]
    Bucket(#[from] BucketError),
    /// The journal.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// Conversion.
    #[error(transparent)]
    Convert(#[from] ConvertError),
    /// What was said cannot be sealed.
    #[error(transparent)]
    Sealing(#[from] SealingError),
    /// What was read back is not what was written.
    #[error("{path} reads back otherwise than it was written: {what}")]
    ReadBack {
        /// The object.
        path: String,
        /// What is wrong with it.
        what: String,
    },
    /// The store holds a manifest that this gateway did not sign where its next one belongs.
    #[error(
        "{path} is there already and {what}: does another gateway use the same name and store?"
    )]
    Foreign {
        /// The manifest.
        path: String,
        /// What it is.
        what: String,
    },
    /// A file of the data folder.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was attempted.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// The file that remembers how far the archive reaches.
    #[error("{} does not say how far the archive reaches: {what}; delete it to have that read from \
             the store again", path.display())]
    Head {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
}

type Told = Box<dyn Fn(&Head) + Send>;

/// Makes the archive of one gateway. See [`Archiver::start`] for the thread that does it.
pub struct Rounds {
    journal: Arc<Journal>,
    bucket: Arc<Bucket>,
    key: SigningKey,
    options: Options,
    remembers: PathBuf,
    head: Head,
    seals: Option<Arc<Keys>>,
    /// The store was asked what is there behind the head.
    looked: bool,
    /// Who is told how far the archive reaches.
    told: Option<Told>,
}

/// What a round did.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Done {
    /// Segments archived.
    pub segments: usize,
    /// Events in them.
    pub rows: u64,
    /// Bytes of the files.
    pub bytes: u64,
    /// There is more to do at once.
    pub more: bool,
}

impl Rounds {
    /// Prepares the archive of a journal. `folder` is the gateway's data folder, which remembers in
    /// `archive.json` how far the archive reaches.
    pub fn new(
        journal: Arc<Journal>,
        bucket: Arc<Bucket>,
        key: SigningKey,
        folder: &Path,
        options: Options,
    ) -> Result<Self, ArchiveError> {
        let remembers = folder.join("archive.json");
        let (head, looked) = match fs::read(&remembers) {
            Ok(text) => {
                let head = serde_json::from_slice(&text).map_err(|error| ArchiveError::Head {
                    path: remembers.clone(),
                    what: error.to_string(),
                })?;
                (head, false)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => (Head::default(), false),
            Err(source) => {
                return Err(ArchiveError::Io { action: "read", path: remembers, source });
            }
        };
        let seals = None;
        Ok(Self { journal, bucket, key, options, remembers, head, seals, looked, told: None })
    }

    /// The same, which seals texts, parameters and payloads with these keys.
    #[must_use]
    pub fn sealing(mut self, keys: Arc<Keys>) -> Self {
        self.seals = Some(keys);
        self
    }

    /// From now on tells `told` after each manifest how far the archive reaches. It must not wait.
    pub fn tell(&mut self, told: impl Fn(&Head) + Send + 'static) {
        self.told = Some(Box::new(told));
    }

    /// How far the archive reaches.
    #[must_use]
    pub fn head(&self) -> &Head {
        &self.head
    }

    /// One round. `now` is the time it is signed at.
    pub fn round(&mut self, now: Timestamp) -> Result<Done, ArchiveError> {
        if !self.looked {
            self.look()?;
            self.looked = true;
        }
        self.journal.rotate()?;
        let closed = self.journal.closed_segments()?;
        let mut waiting = closed.iter().copied().filter(|segment| *segment > self.head.segment);
        let mut done = Done::default();
        let mut entries = Vec::new();
        for segment in waiting.by_ref().take(SEGMENTS_MAX) {
            let records = self.journal.read_segment(segment)?;
            let gateway = self.journal.gateway();
            let sealer = match &self.seals {
                Some(keys) => {
                    let records = self.journal.read_segment(segment)?;
                    Some(Sealer::make(&self.bucket, gateway, segment, records, keys)?)
                }
                None => None,
            };
            let converted = convert::convert(gateway, segment, records, sealer.as_ref())?;
            self.write(&converted)?;
            done.segments += 1;
            done.rows += converted.entry.rows;
            done.bytes += converted.entry.files.iter().map(|file| file.bytes).sum::<u64>();
            entries.push(converted.entry);
        }
        done.more = waiting.next().is_some();
        self.sign(entries, now)?;
        self.forget(&closed, now)?;
        Ok(done)
    }

    /// Finds manifests that were written but not remembered.
    fn look(&mut self) -> Result<(), ArchiveError> {
        let gateway = self.journal.gateway().to_owned();
        let folder = manifest::folder(&gateway);
        let mut found = match self.head.number {
            0 => self.bucket.list(&folder)?,
            _ => self.bucket.list_after(&folder, &self.head.path)?,
        };
        found.retain(|listed| {
            manifest::number_in(&listed.path).is_some_and(|number| number > self.head.number)
        });
        found.sort_by_key(|listed| manifest::number_in(&listed.path));
        // Without a memory the newest is believed, if it is ours: those before it are behind it.
        if self.head.number == 0 && found.len() > 1 {
            found.drain(..found.len() - 1);
        }
        for listed in found {
            let text = self.bucket.get(&listed.path)?.unwrap_or_default();
            let (manifest, hash) = self.own(&listed.path, &text)?;
            let follows = manifest.number == self.head.number + 1
                && manifest.previous == self.head.hash
                || self.head.number == 0;
            if !follows {
                let what = format!("does not follow manifest {}", self.head.number);
                return Err(ArchiveError::Foreign { path: listed.path, what });
            }
            tracing::info!(manifest = manifest.number, "found a manifest that was not remembered");
            self.remember(&manifest, hash, listed.path)?;
        }
        Ok(())
    }

    /// A manifest that this gateway signed.
    fn own(&self, path: &str, text: &[u8]) -> Result<(Manifest, HexHash), ArchiveError> {
        let foreign = |error: ManifestError| ArchiveError::Foreign {
            path: path.to_owned(),
            what: format!("cannot be believed ({error})"),
        };
        let unproved = Manifest::read(text).map_err(foreign)?;
        let hash = HexHash(unproved.hash);
        let manifest = unproved.proved_by(self.key.public()).map_err(foreign)?;
        if manifest.gateway != self.journal.gateway() {
            let what = format!("is of gateway {}", manifest.gateway);
            return Err(ArchiveError::Foreign { path: path.to_owned(), what });
        }
        Ok((manifest, hash))
    }

    /// Writes the files of a segment and reads each back.
    fn write(&self, converted: &Converted) -> Result<(), ArchiveError> {
        let mut leaves = Vec::new();
        for (path, bytes) in &converted.files {
            self.bucket.put(path, bytes.clone())?;
            let wrong = |what: String| ArchiveError::ReadBack { path: path.clone(), what };
            let read = self.bucket.get(path)?.ok_or_else(|| wrong("it is not there".to_owned()))?;
            if sha256(&read) != sha256(bytes) {
                return Err(wrong(format!("{} bytes of {} differ", read.len(), bytes.len())));
            }
            let file = ArchiveFile::of_bytes(read).map_err(|error| wrong(error.to_string()))?;
            let mut canonical = Vec::new();
            file.each(|row| leaves.push((row.number, row.leaf(&mut canonical))))
                .map_err(|error| wrong(error.to_string()))?;
        }
        leaves.sort_unstable_by_key(|(number, _)| *number);
        let mut tree = Tree::default();
        leaves.iter().for_each(|(_, leaf)| tree.push(*leaf));
        if HexHash(tree.root()) == converted.entry.root {
            return Ok(());
        }
        let path = format!("segment {}", converted.entry.segment);
        let what = "its events have another root".to_owned();
        Err(ArchiveError::ReadBack { path, what })
    }

    fn sign(
        &mut self,
        segments: Vec<manifest::Segment>,
        now: Timestamp,
    ) -> Result<(), ArchiveError> {
        let gateway = self.journal.gateway();
        let number = self.head.number + 1;
        let last = segments.iter().filter(|of| of.rows > 0).map(|of| of.last).max();
        let manifest = Manifest {
            version: MANIFEST_VERSION,
            gateway: gateway.to_owned(),
            number,
            previous: self.head.hash,
            at: format_time(now),
            schema: SCHEMA_VERSION,
            last: last.unwrap_or(self.head.last),
            segments,
        };
        let text = manifest.sign(&self.key);
        let hash = HexHash(sha256(&text));
        let path = manifest::path(gateway, now, number);
        if self.bucket.put_new(&path, text.clone().into())? == Put::Exists {
            // A call that was tried again may have succeeded the first time.
            let there = self.bucket.get(&path)?.unwrap_or_default();
            if there != text {
                let what = "is not what this gateway wanted to write".to_owned();
                return Err(ArchiveError::Foreign { path, what });
            }
        }
        self.remember(&manifest, hash, path)
    }

    fn remember(
        &mut self,
        manifest: &Manifest,
        hash: HexHash,
        path: String,
    ) -> Result<(), ArchiveError> {
        let segment = manifest.segments.iter().map(|of| of.segment).max();
        let head = Head {
            number: manifest.number,
            hash,
            path,
            at: manifest.at.clone(),
            segment: segment.unwrap_or(self.head.segment).max(self.head.segment),
            last: manifest.last,
        };
        let text = serde_json::to_vec(&head).unwrap_or_default();
        replace(&self.remembers, &text).map_err(|source| ArchiveError::Io {
            action: "write",
            path: self.remembers.clone(),
            source,
        })?;
        self.head = head;
        if let Some(told) = &self.told {
            told(&self.head);
        }
        Ok(())
    }

    /// Deletes segments that are archived and older than they are kept; damaged ones are evidence
    /// and stay.
    fn forget(&self, closed: &[u64], now: Timestamp) -> Result<(), ArchiveError> {
        for segment in closed.iter().copied().filter(|segment| *segment <= self.head.segment) {
            if now.since(self.journal.closed_at(segment)?) < self.options.keep {
                // Older ones first, so that what is here has no holes.
                return Ok(());
            }
            if self.is_damaged(segment)? {
                continue;
            }
            self.journal.remove_segment(segment)?;
            tracing::debug!(segment, "a segment of the journal is in the archive alone now");
        }
        Ok(())
    }

    fn is_damaged(&self, segment: u64) -> Result<bool, ArchiveError> {
        for record in self.journal.read_segment(segment)? {
            match record {
                Ok(_) => {}
                Err(JournalError::Damaged(_)) => return Ok(true),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(false)
    }
}

impl fmt::Debug for Rounds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rounds").field("head", &self.head).finish_non_exhaustive()
    }
}

/// Writes a file whole or not at all, and has the disk keep it.
fn replace(path: &Path, text: &[u8]) -> io::Result<()> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    let unnamed = path.with_extension("new");
    let mut options = fs::OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&unnamed)?;
    file.write_all(text)?;
    file.sync_all()?;
    fs::rename(&unnamed, path)?;
    match path.parent() {
        Some(folder) => fs::File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}

/// How the archive stands, for those who ask.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Standing {
    /// How far it reaches.
    pub head: Head,
    /// What the last round that failed said, until one succeeds.
    pub failing: Option<String>,
}

/// The thread that makes the archive.
pub struct Archiver {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

struct Shared {
    standing: Mutex<Standing>,
    stop: Mutex<bool>,
    wake: Condvar,
    clock: fn() -> Timestamp,
}

impl Archiver {
    /// Starts it; `clock` tells the time.
    pub fn start(rounds: Rounds, clock: fn() -> Timestamp) -> io::Result<Self> {
        let standing = Standing { head: rounds.head.clone(), failing: None };
        let shared = Arc::new(Shared {
            standing: Mutex::new(standing),
            stop: Mutex::new(false),
            wake: Condvar::new(),
            clock,
        });
        let of_thread = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("narrows-archive".to_owned())
            .spawn(move || of_thread.run(rounds))?;
        Ok(Self { shared, thread: Mutex::new(Some(thread)) })
    }

    /// How it stands.
    #[must_use]
    pub fn standing(&self) -> Standing {
        self.shared.standing.lock().clone()
    }

    /// Archives what there is and stops. What a store that does not answer holds up is left to the
    /// next start: `false`.
    pub fn stop(&self) -> bool {
        *self.shared.stop.lock() = true;
        self.shared.wake.notify_all();
        let Some(thread) = self.thread.lock().take() else { return true };
        let begun = Instant::now();
        while !thread.is_finished() && begun.elapsed() < LAST_ROUND {
            std::thread::sleep(Duration::from_millis(20));
        }
        thread.is_finished() && thread.join().is_ok() && self.standing().failing.is_none()
    }
}

impl fmt::Debug for Archiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Archiver").field("standing", &self.standing()).finish_non_exhaustive()
    }
}

impl Shared {
    fn run(&self, mut rounds: Rounds) {
        loop {
            let mut stop = self.stop.lock();
            if !*stop {
                self.wake.wait_for(&mut stop, rounds.options.every);
            }
            let last = *stop;
            drop(stop);
            let more = self.rounds_until_done(&mut rounds);
            if last && !more {
                return;
            }
        }
    }

    /// Whether there is more to do at once.
    fn rounds_until_done(&self, rounds: &mut Rounds) -> bool {
        loop {
            match rounds.round((self.clock)()) {
                Ok(done) => {
                    let mut standing = self.standing.lock();
                    standing.head = rounds.head.clone();
                    if standing.failing.take().is_some() {
                        tracing::info!("the archive goes on");
                    }
                    drop(standing);
                    if !done.more {
                        return false;
                    }
                }
                Err(error) => {
                    let mut standing = self.standing.lock();
                    // Said once: the journal keeps what is not archived.
                    if standing.failing.is_none() {
                        tracing::error!(%error, "the archive is behind; the journal keeps it");
                    }
                    standing.failing = Some(error.to_string());
                    return false;
                }
            }
        }
    }
}
