//! Hiding what was said, so that only the holder of a key reads it (R18).
//!
//! Text, parameters and payload of an event are sealed together, in the column `sealed`; everything
//! else stays readable by any engine. The keys of a segment are an object of their own,
//! `keys/gateway=…/SEGMENT.json`, which no manifest names: erasing a session there changes no
//! file and breaks no proof. What is sealed is, compressed with zstd:
//!
//! ```text
//! JSON length u32, little-endian · {"text":…,"parameters":[…]} · payload
//! ```

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use model::limit::{RECORD_BYTES_MAX, SEGMENT_KEYS_BYTES_MAX};
use model::operation::Parameter;
use parking_lot::Mutex;
use seal::{DataKey, Keys, Place, SealError, SegmentKeys};
use serde::{Deserialize, Serialize};
use store::{JournalError, Record};

use crate::bucket::{Bucket, BucketError};
use crate::row::{Row, Text};

/// The number of the column `sealed` in places of sealed fields; fixed for good.
const COLUMN: u32 = 1;
const LEVEL: i32 = 3;
/// Stands where the key was erased before anything was sealed with it.
const ERASED: &[u8] = b"erased";
/// Sessions whose keys a reader keeps; past it they are asked for again.
const OPENED_MAX: usize = 10_000;

/// Where the keys of a segment are.
#[must_use]
pub fn path(gateway: &str, segment: u64) -> String {
    format!("keys/gateway={gateway}/{segment:010}.json")
}

/// What of an event is sealed and has a JSON form.
#[derive(Default, Deserialize, Serialize)]
struct Said {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    text: Option<Text>,
    /// Rules may put what was said into it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    message: Option<Text>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    parameters: Vec<Parameter>,
}

/// Why what was said cannot be sealed.
#[derive(Debug, thiserror::Error)]
pub enum SealingError {
    /// The key, or the service that holds it.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// The keys of a segment, as the store has them.
    #[error("{0}: {1}")]
    Keys(String, SealError),
    /// There are keys for the segment that this gateway did not make.
    #[error(
        "{0} is there already, with keys of another: does another gateway use the same name? Or, \
         if keys were just wrapped anew by one that this gateway cannot open: restart it"
    )]
    Others(String),
    /// The keys read back are not those that were written.
    #[error("{0} reads back otherwise than it was written")]
    ReadBack(String),
    /// Some keys could not be erased; the others were.
    #[error("erased {0} keys, but not all: {1}")]
    NotAll(usize, String),
    /// The store.
    #[error(transparent)]
    Bucket(#[from] BucketError),
    /// The journal.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// It cannot be compressed: a fault of this program.
    #[error("an event cannot be compressed: {0}")]
    Compress(std::io::Error),
}

/// The sessions of a segment, each with its principal, as far as that is known; the gateway's own
/// events are of the empty one.
pub struct Sessions(BTreeMap<Text, Option<Text>>);

impl Sessions {
    /// Reads them.
    pub fn of(
        records: impl Iterator<Item = Result<Record, JournalError>>,
    ) -> Result<Self, JournalError> {
        let mut sessions: BTreeMap<Text, Option<Text>> = BTreeMap::new();
        for record in records {
            let event = match record {
                Ok(record) => record.event,
                Err(JournalError::Damaged(_)) => continue,
                Err(error) => return Err(error),
            };
            let session = event.session.map_or_else(|| Text::from(""), |session| session.0);
            let principal = sessions.entry(session).or_default();
            *principal = principal.take().or(event.principal);
        }
        Ok(Self(sessions))
    }
}

/// The keys of one segment, from their making until a manifest names the segment's files.
///
/// They are never taken from the store: a process that finds keys there cannot know that it would
/// seal the same bytes with them again (its zstd may be another), and two contents under one key
/// and nonce would give both away.
pub struct Sealer {
    made: SegmentKeys,
    /// By session; of the gateway's own events, the empty name.
    keys: BTreeMap<Text, DataKey>,
}

impl Sealer {
    /// Makes keys for the [`Sessions`] of a segment, which may ask a service. [`Sealer::store`]
    /// must come before they are used.
    pub fn fresh(
        (gateway, segment): (&str, u64),
        Sessions(sessions): Sessions,
        keys: &Keys,
    ) -> Result<Self, SealingError> {
        let mut made = SegmentKeys::new(gateway, segment);
        let wanted: Vec<(&str, Option<&str>)> =
            sessions.iter().map(|(session, of)| (session.as_ref(), of.as_deref())).collect();
        let fresh = made.fresh_all(&wanted, keys)?;
        Ok(Self { made, keys: sessions.into_keys().zip(fresh).collect() })
    }

    /// Has the store hold the keys, and reads them back; to be called before each conversion. What
    /// was erased there stays erased: its key is erased here too, and seals nothing.
    ///
    /// Keys that an earlier process left are replaced only if `may_replace`.
    pub fn store(
        &mut self,
        bucket: &Bucket,
        keys: &Keys,
        may_replace: bool,
    ) -> Result<(), SealingError> {
        let path = path(self.made.gateway(), self.made.segment());
        let most = SEGMENT_KEYS_BYTES_MAX as u64;
        bucket.change(&path, most, |there| match there {
            Some(there) if self.is(&path, there, keys)? => Ok(None),
            Some(_) if !may_replace => Err(SealingError::Others(path.clone())),
            _ => Ok(Some(self.made.to_json()?.into())),
        })?;
        match bucket.get(&path, most)? {
            Some(there) if self.is(&path, &there, keys)? => Ok(()),
            _ => Err(SealingError::ReadBack(path)),
        }
    }

    /// Whether what the store holds are these keys, once what was erased there is erased here. They
    /// may have been wrapped anew meanwhile.
    fn is(&mut self, path: &str, there: &[u8], keys: &Keys) -> Result<bool, SealingError> {
        let there = SegmentKeys::parse(there);
        let there = there.map_err(|error| SealingError::Keys(path.to_owned(), error))?;
        if !is_of(&there, self.made.gateway(), self.made.segment()) {
            return Err(SealingError::Others(path.to_owned()));
        }
        for session in there.erased() {
            self.made.erase_session(session);
            self.keys.remove(session);
        }
        Ok(self.made.agree(&there, |session| self.keys.get(session), keys))
    }

    /// Moves what an event says into its column `sealed`. Without a key, because it was erased,
    /// what was said is dropped.
    pub fn seal(&self, row: &mut Row) -> Result<(), SealingError> {
        let said = Said {
            text: row.text.take(),
            message: row.message.take(),
            parameters: std::mem::take(&mut row.parameters),
        };
        let payload = std::mem::take(&mut row.payload);
        let is_quiet = said.text.is_none() && said.message.is_none();
        if is_quiet && said.parameters.is_empty() && payload.is_empty() {
            return Ok(());
        }
        let session = row.session.clone().unwrap_or_default();
        let Some(key) = self.keys.get(&session) else {
            row.sealed = ERASED.to_vec();
            return Ok(());
        };
        // Texts only: it always has a form.
        let json = serde_json::to_vec(&said).unwrap_or_default();
        let length = u32::try_from(json.len()).unwrap_or(u32::MAX).to_le_bytes();
        let plain = [length.as_slice(), &json, &payload].concat();
        let packed = zstd::bulk::compress(&plain, LEVEL).map_err(SealingError::Compress)?;
        row.sealed = key.seal(&place(self.made.gateway(), &session, row.number), &packed)?;
        Ok(())
    }
}

fn place<'a>(gateway: &'a str, session: &'a str, record: u64) -> Place<'a> {
    Place { gateway, session, record, column: COLUMN }
}

pub(crate) fn is_of(keys: &SegmentKeys, gateway: &str, segment: u64) -> bool {
    keys.gateway() == gateway && keys.segment() == segment
}

/// What became of a sealed event.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Unsealed {
    /// It is in clear now, or always was.
    Clear,
    /// It stays sealed; why.
    Not(String),
}

/// Opens what is sealed, for those who hold the key.
pub struct Opener {
    bucket: Arc<Bucket>,
    keys: Arc<Keys>,
    segments: Mutex<HashMap<(Text, u64), Arc<Segment>>>,
}

struct Segment {
    keys: Result<SegmentKeys, String>,
    opened: Mutex<HashMap<Text, Result<Arc<DataKey>, String>>>,
}

impl Opener {
    /// Opens with these keys what is in that store.
    #[must_use]
    pub fn new(bucket: Arc<Bucket>, keys: Arc<Keys>) -> Self {
        Self { bucket, keys, segments: Mutex::default() }
    }

    /// Puts text, parameters and payload back into an event. The columns `gateway`, `segment`,
    /// `number`, `session` and `sealed` must be filled.
    pub fn open(&self, row: &mut Row) -> Unsealed {
        if row.sealed.is_empty() {
            return Unsealed::Clear;
        }
        match self.plain(row) {
            Ok((said, payload)) => {
                row.text = said.text;
                row.message = said.message;
                row.parameters = said.parameters;
                row.payload = payload;
                row.sealed = Vec::new();
                Unsealed::Clear
            }
            Err(why) => Unsealed::Not(why),
        }
    }

    fn plain(&self, row: &Row) -> Result<(Said, Vec<u8>), String> {
        let session = row.session.clone().unwrap_or_default();
        let key = self.key(&row.gateway, row.segment, &session)?;
        let packed = key
            .open(&place(&row.gateway, &session, row.number), &row.sealed)
            .map_err(|error| error.to_string())?;
        let plain = zstd::bulk::decompress(&packed, RECORD_BYTES_MAX + 8)
            .map_err(|error| format!("what was sealed cannot be unpacked: {error}"))?;
        let read = || {
            let (length, rest) = plain.split_at_checked(4)?;
            let length = usize::try_from(u32::from_le_bytes(length.try_into().ok()?)).ok()?;
            let (json, payload) = rest.split_at_checked(length)?;
            Some((serde_json::from_slice(json).ok()?, payload.to_vec()))
        };
        read().ok_or_else(|| "what was sealed has another form".to_owned())
    }

    fn key(&self, gateway: &Text, segment: u64, session: &Text) -> Result<Arc<DataKey>, String> {
        let of_segment = self.segment(gateway, segment);
        if let Some(known) = of_segment.opened.lock().get(session) {
            return known.clone();
        }
        let opened = match &of_segment.keys {
            Ok(there) => {
                there.open(session, &self.keys).map(Arc::new).map_err(|error| error.to_string())
            }
            Err(why) => Err(why.clone()),
        };
        if opened.is_ok() {
            let mut kept = of_segment.opened.lock();
            if kept.len() >= OPENED_MAX {
                kept.clear();
            }
            kept.insert(Arc::clone(session), opened.clone());
        }
        opened
    }

    fn segment(&self, gateway: &Text, segment: u64) -> Arc<Segment> {
        let name = (Arc::clone(gateway), segment);
        if let Some(known) = self.segments.lock().get(&name) {
            return Arc::clone(known);
        }
        let path = path(gateway, segment);
        let keys = match self.bucket.get(&path, SEGMENT_KEYS_BYTES_MAX as u64) {
            Ok(Some(text)) => match SegmentKeys::parse(&text) {
                Ok(keys) if is_of(&keys, gateway, segment) => Ok(keys),
                Ok(_) => Err(format!("{path} holds keys of another gateway or segment")),
                Err(error) => Err(format!("{path}: {error}")),
            },
            Ok(None) => Err(format!("{path} is not there")),
            Err(error) => Err(error.to_string()),
        };
        let is_there = keys.is_ok();
        let made = Arc::new(Segment { keys, opened: Mutex::default() });
        if !is_there {
            // It may be there the next time.
            return made;
        }
        let mut kept = self.segments.lock();
        if kept.len() >= OPENED_MAX {
            kept.clear();
        }
        kept.insert(name, Arc::clone(&made));
        made
    }

    /// Forgets every key, so that what was erased meanwhile stays closed.
    pub fn forget(&self) {
        self.segments.lock().clear();
    }
}

impl std::fmt::Debug for Opener {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Opener").field("bucket", &self.bucket).finish_non_exhaustive()
    }
}

/// Whose keys are erased.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Erase<'a> {
    /// Those of one session.
    Session(&'a str),
    /// Those of all sessions of a subject.
    Principal(&'a str),
}

/// What was erased.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Erased {
    /// Keys.
    pub keys: usize,
    /// The session has keys that were erased before. Whose sessions those were is not known.
    pub before: bool,
}

/// Erases keys in every segment of a store, and versions that the store keeps of the objects they
/// were in. What they sealed cannot be read again by anyone.
pub fn erase(bucket: &Bucket, whose: Erase<'_>) -> Result<Erased, SealingError> {
    let (mut erased, mut failed) = (Erased::default(), Vec::new());
    for listed in bucket.list("keys")? {
        // One that cannot be read must not keep the others.
        match erase_in(bucket, &listed.path, whose) {
            Ok((more, is_erased)) => {
                erased.keys += more.keys;
                erased.before |= more.before;
                // What an earlier time could not delete is tried again.
                let gone = if is_erased { bucket.forget_former(&listed.path) } else { Ok(0) };
                if let Err(error) = gone {
                    failed.push(format!("former versions hold them still: {error}"));
                }
            }
            Err(error) => failed.push(format!("{}: {error}", listed.path)),
        }
    }
    match failed.is_empty() {
        true => Ok(erased),
        false => Err(SealingError::NotAll(erased.keys, failed.join("; "))),
    }
}

/// Erases keys in one segment; also whether any of it, anyone's, are erased now.
fn erase_in(bucket: &Bucket, path: &str, whose: Erase<'_>) -> Result<(Erased, bool), SealingError> {
    let (mut before, mut any) = (false, false);
    let keys = change(bucket, path, |keys| {
        let count = match whose {
            Erase::Session(session) => {
                before = keys.erased().any(|erased| erased == session);
                usize::from(keys.erase_session(session))
            }
            Erase::Principal(principal) => keys.erase_principal(principal),
        };
        any = keys.erased().next().is_some();
        Ok(count)
    })?;
    Ok((Erased { keys, before }, any))
}

/// Changes the keys of a segment; how many `change` says it changed.
pub(crate) fn change(
    bucket: &Bucket,
    path: &str,
    mut change: impl FnMut(&mut SegmentKeys) -> Result<usize, SealError>,
) -> Result<usize, SealingError> {
    let mut count = 0;
    bucket.change(path, SEGMENT_KEYS_BYTES_MAX as u64, |there| {
        count = 0;
        let Some(there) = there else { return Ok(None) };
        let mut keys = SegmentKeys::parse(there)?;
        count = change(&mut keys)?;
        Ok::<_, SealingError>(match count {
            0 => None,
            _ => Some(keys.to_json()?.into()),
        })
    })?;
    Ok(count)
}
