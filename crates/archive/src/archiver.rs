//! What turns the journal into the archive, round by round, beside the gateway's work.
//!
//! A round closes the segment being written, converts what is closed, writes the files, reads each
//! back and checks it, signs a manifest, remembers it, and only then deletes segments that are
//! older than they are kept. Whatever interrupts a round, the next one begins with what is missing:
//! files are made again (with the same bytes, unless they are sealed and the process is another),
//! and a manifest that was written and not remembered is found and taken for what it is.

mod beside;
mod holding;
mod letting_go;
mod looking;
mod thread;

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use model::Timestamp;
use seal::Keys;
use serde::{Deserialize, Serialize};
use store::{Journal, JournalError};

use crate::bucket::{Bucket, BucketError, Lock, LockMode, Put};
use crate::convert::{self, ConvertError, Converted};
use crate::file::ArchiveFile;
use crate::holds::HoldError;
use crate::manifest::{
    self, HexHash, MANIFEST_BYTES_MAX, MANIFEST_VERSION, Manifest, SigningKey, format_time,
};
use crate::merkle::{self, Tree, sha256};
use crate::schema::SCHEMA_VERSION;
use crate::sealing::{Sealer, SealingError, Sessions};

use self::beside::{Behind, Until};
use self::letting_go::UNREAD_MAX;
pub use self::letting_go::{Stayed, Why};
pub use self::thread::{Archiver, Standing};

/// Segments that one manifest names at most; what is left is taken by the next.
const SEGMENTS_MAX: usize = 16;
/// Bytes of the journal past which a manifest takes no more, so that what a crash makes again is
/// little, and a gateway that is killed often gets on.
const ROUND_BYTES: u64 = 32 * 1024 * 1024;
/// How the archive is made.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// How often a manifest is signed, and how old an event is at most before it is archived.
    pub every: Duration,
    /// How long a segment of the journal stays after it was archived.
    pub keep: Duration,
}

/// How long what is written can be neither changed nor deleted.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Retention {
    /// Who may lift it.
    pub mode: LockMode,
    /// For how long, from the round that writes it.
    pub length: Duration,
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
    /// Segments of the journal that are archived and still here.
    #[serde(default)]
    pub kept: Vec<Kept>,
}

impl Head {
    /// Reads how far the archive of the gateway with this data folder reaches; `None` before its
    /// first manifest.
    ///
    /// # Errors
    ///
    /// The file cannot be read, or says nothing that can be believed.
    pub fn read(folder: &Path) -> Result<Option<Self>, ArchiveError> {
        let path = remembered(folder);
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(ArchiveError::Io { action: "read", path, source }),
        };
        let wrong = |what: String| ArchiveError::Head { path: path.clone(), what };
        let head: Self = serde_json::from_slice(&text).map_err(|error| wrong(error.to_string()))?;
        if head.number.max(head.segment).max(head.last) > i64::MAX.unsigned_abs() {
            return Err(wrong("a number that nothing has".to_owned()));
        }
        Ok(Some(head))
    }
}

/// Which segments of a journal are in the archive.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Reach {
    /// The last.
    pub segment: u64,
    /// Those before it that are not, in order.
    pub orphans: Vec<u64>,
}

fn remembered(folder: &Path) -> PathBuf {
    folder.join("archive.json")
}

/// A segment of the journal that is in the archive.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Kept {
    /// Its number.
    pub segment: u64,
    /// What tells it from another of the same number, hexadecimal.
    pub salt: String,
    /// How long it was when it was archived, bytes; of one that an older version archived that is
    /// not known.
    #[serde(default)]
    pub bytes: Option<u64>,
    /// Part of it could not be read; it stays as evidence.
    pub damaged: bool,
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
    /// What is on hold cannot be known, or not be held.
    #[error(transparent)]
    Hold(#[from] HoldError),
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
    /// The store is not the one that the archive was written to.
    #[error(
        "the newest manifest, {path}, is not in {store}, or not as it was written: was \
         recording.store changed? Copy the old store to the new one first; or delete {} to begin a \
         new archive here, which lacks what the journal has let go of, as audit verify will say",
        remembers.display()
    )]
    Elsewhere {
        /// The manifest.
        path: String,
        /// Where it was looked for.
        store: String,
        /// What remembers it.
        remembers: PathBuf,
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
    /// There are too many threads.
    #[error("cannot start a thread: {0}")]
    Thread(io::Error),
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
type Settled = Box<dyn Fn() -> bool + Send>;
type Read = Box<dyn Fn(u64, Duration) -> bool + Send>;

/// Makes the archive of one gateway. See [`Archiver::start`] for the thread that does it.
pub struct Rounds {
    journal: Arc<Journal>,
    bucket: Arc<Bucket>,
    key: SigningKey,
    options: Options,
    remembers: PathBuf,
    head: Head,
    seals: Option<Arc<Keys>>,
    /// The store was seen to hold the head.
    met: bool,
    /// The store was asked what is there behind the head.
    looked: bool,
    retention: Option<Retention>,
    /// When the round began.
    now: Timestamp,
    /// What the newest manifest names is on hold where it has to be.
    held: bool,
    /// See [`ROUND_BYTES`].
    pub(crate) round_bytes: u64,
    behind: Behind,
    /// No round has ended yet: files may be there that an earlier process left.
    first: bool,
    /// Files written by this process that no manifest names yet.
    unsigned: HashSet<String>,
    /// Keys made by this process for segments that no manifest names yet.
    sealers: BTreeMap<u64, Sealer>,
    /// Segments that are older than the archive and not in it; said once.
    orphans: BTreeSet<u64>,
    /// Says whether everything that is archived may be let go of by the journal.
    settled: Option<Settled>,
    /// Says whether those who read the journal have a segment, after waiting for them so long.
    read: Option<Read>,
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
        let head = Head::read(folder)?.unwrap_or_default();
        Ok(Self {
            journal,
            bucket,
            key,
            options,
            remembers: remembered(folder),
            head,
            seals: None,
            met: false,
            looked: false,
            retention: None,
            now: Timestamp::default(),
            held: false,
            round_bytes: ROUND_BYTES,
            behind: Behind::default(),
            first: true,
            unsigned: HashSet::new(),
            sealers: BTreeMap::new(),
            orphans: BTreeSet::new(),
            settled: None,
            read: None,
            told: None,
        })
    }

    /// From now on a segment is let go of only when `settled` says that nobody needs it: the index.
    pub fn settle_by(&mut self, settled: impl Fn() -> bool + Send + 'static) {
        self.settled = Some(Box::new(settled));
    }

    /// From now on a segment stays until `read` says that those who read the journal have it, for a
    /// bounded time. It is told which segment, and how long to wait for them.
    pub fn read_by(&mut self, read: impl Fn(u64, Duration) -> bool + Send + 'static) {
        self.read = Some(Box::new(read));
    }

    /// The same, which seals texts, parameters and payloads with these keys.
    #[must_use]
    pub fn sealing(mut self, keys: Arc<Keys>) -> Self {
        self.seals = Some(keys);
        self
    }

    /// The same, which has the store keep its files and manifests from being changed or deleted.
    #[must_use]
    pub fn retaining(mut self, retention: Retention) -> Self {
        self.retention = Some(retention);
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

    /// How far the archive reaches, and what it lacks below.
    #[must_use]
    pub fn reach(&self) -> Reach {
        Reach { segment: self.head.segment, orphans: self.orphans.iter().copied().collect() }
    }

    /// One round. `now` is the time it is signed at.
    pub fn round(&mut self, now: Timestamp) -> Result<Done, ArchiveError> {
        let begun = self.begin(now).and_then(|()| self.hold_newest());
        // Before anything is written: on a full disk nothing else may work.
        let forgot = self.forget(now, self.options.keep, UNREAD_MAX);
        // Also while the store is away: a segment of weeks would not fit one manifest.
        let rotated = self.journal.rotate().map_err(ArchiveError::from);
        // A journal that cannot begin a segment has closed ones, and only what is archived of them
        // makes room for it.
        let done = begun.and_then(|()| self.archive(now)).and_then(|done| match rotated {
            Err(error) if !done.more => Err(error),
            _ => Ok(done),
        });
        let done = done.and_then(|done| self.hold_newest().map(|()| done));
        // What a failed round wrote may be signed by an answer that was lost.
        self.looked = done.is_ok();
        self.first &= done.is_err();
        forgot?;
        done
    }

    /// Asks the store what is there behind what is remembered, so that what is journalled from now
    /// on gets numbers that nothing archived has.
    pub fn begin(&mut self, now: Timestamp) -> Result<(), ArchiveError> {
        self.now = now;
        if !self.looked {
            self.look()?;
            self.go_ahead()?;
            self.find_orphans()?;
            self.looked = true;
        }
        Ok(())
    }

    fn archive(&mut self, now: Timestamp) -> Result<Done, ArchiveError> {
        let mut waiting = self.journal.closed_segments()?;
        waiting.retain(|segment| *segment > self.head.segment);
        let (mut done, mut described, mut taken) = (Done::default(), 0, 0);
        let (mut entries, mut kept) = (Vec::new(), Vec::new());
        let age = match waiting.first() {
            Some(oldest) => now.since(self.journal.closed_at(*oldest)?),
            None => Duration::ZERO,
        };
        self.behind.waits_for(age.saturating_sub(self.options.every));
        for segment in waiting.iter().copied().take(SEGMENTS_MAX) {
            if described >= MANIFEST_BYTES_MAX / 2 || taken >= self.round_bytes {
                break;
            }
            let (entry, known) = self.convert(segment)?;
            described += serde_json::to_vec(&entry).map_or(MANIFEST_BYTES_MAX, |text| text.len());
            taken += known.bytes.unwrap_or_default();
            done.segments += 1;
            done.rows += entry.rows;
            done.bytes += entry.files.iter().map(|file| file.bytes).sum::<u64>();
            kept.push(known);
            entries.push(entry);
        }
        done.more = waiting.len() > kept.len();
        self.head.kept.extend(kept);
        let signed = self.sign(entries, now);
        if signed.is_err() {
            let head = self.head.segment;
            self.head.kept.retain(|of| of.segment <= head);
        }
        signed?;
        self.unsigned.clear();
        self.sealers.clear();
        Ok(done)
    }

    /// Writes the files of a segment, and reads them back. What takes long is done beside those who
    /// serve; what waits for a store or holds a lock, which others may wait for, is not.
    fn convert(&mut self, segment: u64) -> Result<(manifest::Segment, Kept), ArchiveError> {
        let salt = match self.journal.segment_salt(segment) {
            Ok(salt) => merkle::hex(&salt),
            // Signed as damage, and those behind it go on.
            Err(JournalError::Damaged(_)) => String::new(),
            Err(error) => return Err(error.into()),
        };
        let bytes = self.journal.segment_bytes(segment)?;
        let journal = Arc::clone(&self.journal);
        let gateway = journal.gateway();
        // What was asked for meanwhile is told from the end of the segment by `until`.
        let read = |until: &Until| -> Result<_, ArchiveError> {
            let until = until.clone();
            Ok(journal.read_closed(segment)?.take_while(move |_| !until.is_over()))
        };
        if let (Some(keys), None) = (&self.seals, self.sealers.get(&segment)) {
            let sessions = self.behind.beside(|until| Ok(Sessions::of(read(until)?)?))?;
            let sealer = Sealer::fresh((gateway, segment), sessions, keys)?;
            self.sealers.insert(segment, sealer);
        }
        let mut sealer = self.sealers.get_mut(&segment);
        if let (Some(sealer), Some(keys)) = (&mut sealer, &self.seals) {
            sealer.store(&self.bucket, keys, self.first)?;
        }
        let sealer = sealer.as_deref();
        let converted = self
            .behind
            .beside(|until| Ok(convert::convert(gateway, segment, read(until)?, sealer)?))?;
        self.write(&converted)?;
        let damaged = !converted.entry.damage.is_empty();
        Ok((converted.entry, Kept { segment, salt, bytes: Some(bytes), damaged }))
    }

    /// How what this round writes is locked.
    fn lock(&self) -> Option<Lock> {
        self.retention.map(|of| Lock { mode: of.mode, until: self.now.plus(of.length) })
    }

    /// Writes the files of a segment and reads each back.
    fn write(&mut self, converted: &Converted) -> Result<(), ArchiveError> {
        let mut leaves = Vec::new();
        for (path, bytes) in &converted.files {
            if self.bucket.put_new_locked(path, bytes.clone(), self.lock())? == Put::Exists {
                self.write_over(path, bytes)?;
            }
            self.unsigned.insert(path.clone());
            let wrong = |what: String| ArchiveError::ReadBack { path: path.clone(), what };
            let read = self.bucket.get(path, bytes.len() as u64)?;
            let read = read.ok_or_else(|| wrong("it is not there".to_owned()))?;
            leaves.extend(self.behind.beside(|until| {
                if sha256(&read) != sha256(bytes) {
                    return Err(wrong(format!("{} bytes of {} differ", read.len(), bytes.len())));
                }
                let file = ArchiveFile::of_bytes(read.clone());
                let file = file.map_err(|error| wrong(error.to_string()))?;
                let (mut leaves, mut canonical) = (Vec::new(), Vec::new());
                file.each(|row| {
                    // The rest of what is over is not waited for.
                    if !until.is_over() {
                        leaves.push((row.number, row.leaf(&mut canonical)));
                    }
                })
                .map_err(|error| wrong(error.to_string()))?;
                Ok(leaves)
            })?);
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

    /// Writes a file in the place of one that is there: what an interrupted conversion left, and
    /// nothing that someone else may have signed.
    fn write_over(&self, path: &str, bytes: &Bytes) -> Result<(), ArchiveError> {
        let there = self.bucket.get(path, bytes.len() as u64);
        if matches!(&there, Ok(Some(there)) if there == bytes) {
            // Without a lock perhaps, or with one that ends too early.
            let lock = self.lock().map(|lock| self.bucket.ensure_locked(path, &lock));
            return Ok(lock.transpose().map(drop)?);
        }
        if !self.first && !self.unsigned.contains(path) {
            let what = "holds something else".to_owned();
            return Err(ArchiveError::Foreign { path: path.to_owned(), what });
        }
        Ok(self.bucket.put_locked(path, bytes.clone(), self.lock())?)
    }

    fn sign(
        &mut self,
        segments: Vec<manifest::Segment>,
        now: Timestamp,
    ) -> Result<(), ArchiveError> {
        let gateway = self.journal.gateway();
        let number = self.head.number.saturating_add(1);
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
        let lock = self.lock();
        if self.bucket.put_new_locked(&path, text.clone().into(), lock)? == Put::Exists {
            // A call that was tried again may have succeeded the first time.
            let there = self.manifest_text(&path)?;
            if there != text {
                let what = "is not what this gateway wanted to write".to_owned();
                return Err(ArchiveError::Foreign { path, what });
            }
            if let Some(lock) = lock {
                self.bucket.ensure_locked(&path, &lock)?;
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
            kept: self.head.kept.clone(),
        };
        let text = serde_json::to_vec(&head).unwrap_or_default();
        replace(&self.remembers, &text).map_err(|source| ArchiveError::Io {
            action: "write",
            path: self.remembers.clone(),
            source,
        })?;
        self.head = head;
        self.held = false;
        if let Some(told) = &self.told {
            told(&self.head);
        }
        Ok(())
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
