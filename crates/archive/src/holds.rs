//! Legal holds: recordings that have to stay, and stay readable, until somebody says otherwise.
//!
//! A hold is an object of the store, `holds/ID.json`: every gateway that shares the store knows of
//! it, and a `data_dir` that is lost takes none with it. While it is in force, no key of what is on
//! hold is erased. Where objects can be locked (S3), each file that holds such events, and the
//! manifest that names it, gets a legal hold too.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use model::Timestamp;
use model::limit::SEGMENT_KEYS_BYTES_MAX;
use seal::SegmentKeys;
use serde::{Deserialize, Serialize};

use crate::bucket::{Bucket, BucketError, Listed, Put};
use crate::convert;
use crate::evidence::{SignedFiles, Span, listed, signed_files};
use crate::file::{ArchiveFile, Wanted};
use crate::manifest::{MANIFEST_BYTES_MAX, Manifest, parse_time};
use crate::row::Text;
use crate::sealing::Erase;

/// The version of holds that this build writes and reads.
const HOLD_VERSION: u32 = 1;
const FOLDER: &str = "holds";
const HOLD_BYTES_MAX: u64 = 64 * 1024;
/// Holds of one store, released ones included.
const HOLDS_MAX: usize = 10_000;
/// After anything that is recorded.
const EVER: Timestamp = Timestamp(i64::MAX as u64);

/// What is on hold.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Selection {
    /// What happened in a session.
    Session(String),
    /// What a subject did, and does.
    Principal(String),
    /// What happened in a time, RFC 3339.
    Span {
        /// From.
        from: String,
        /// Until, without it.
        to: String,
    },
}

impl std::fmt::Display for Selection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Session(session) => write!(f, "session {session}"),
            Self::Principal(principal) => write!(f, "principal {principal}"),
            Self::Span { from, to } => write!(f, "{from} to {to}"),
        }
    }
}

/// Who ended a hold.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Released {
    /// When: RFC 3339.
    pub at: String,
    /// Who.
    pub by: String,
    /// Why.
    pub reason: String,
}

/// A hold, as the store has it.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Hold {
    version: u32,
    /// Its name.
    pub id: String,
    /// What is on hold.
    pub what: Selection,
    /// Why.
    pub reason: String,
    /// Who asked for it.
    pub by: String,
    /// When: RFC 3339.
    pub at: String,
    /// Its end; `None` while it is in force.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub released: Option<Released>,
}

/// Why holds cannot be known, or not be changed.
#[derive(Debug, thiserror::Error)]
pub enum HoldError {
    /// The store.
    #[error(transparent)]
    Bucket(#[from] BucketError),
    /// An object under `holds/` that is no hold.
    #[error("{path} is no hold: {what}; what is on hold cannot be known")]
    Form {
        /// The object.
        path: String,
        /// What is wrong with it.
        what: String,
    },
    /// There are too many.
    #[error("there are as many holds in {0} as there may be, {HOLDS_MAX}")]
    TooMany(String),
    /// There is none of that name.
    #[error("there is no hold {0}")]
    Unknown(String),
    /// What is asked about is in something that cannot be read.
    #[error("{path} cannot be read ({what}), so that nothing on hold is in it is not known")]
    Unread {
        /// The object.
        path: String,
        /// Why.
        what: String,
    },
}

/// What a hold was put on, or taken off.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Reached {
    /// Files.
    pub files: u64,
    /// Manifests that name them.
    pub manifests: u64,
    /// What could not be looked into, in words.
    pub unread: Vec<String>,
}

impl Hold {
    /// A new one. `id` is a name that no other has.
    #[must_use]
    pub fn new(id: &str, what: Selection, (by, reason): (&str, &str), at: Timestamp) -> Self {
        Self {
            version: HOLD_VERSION,
            id: id.to_owned(),
            what,
            reason: reason.to_owned(),
            by: by.to_owned(),
            at: crate::manifest::format_time(at),
            released: None,
        }
    }

    /// Whether it is in force.
    #[must_use]
    pub fn is_in_force(&self) -> bool {
        self.released.is_none()
    }

    fn path(id: &str) -> String {
        format!("{FOLDER}/{id}.json")
    }

    fn read(path: &str, text: &[u8]) -> Result<Self, HoldError> {
        let wrong = |what: String| HoldError::Form { path: path.to_owned(), what };
        let hold: Self = serde_json::from_slice(text).map_err(|error| wrong(error.to_string()))?;
        if hold.version != HOLD_VERSION {
            let version = hold.version;
            return Err(wrong(format!(
                "version {version}; this build reads version {HOLD_VERSION}"
            )));
        }
        if Self::path(&hold.id) != path {
            return Err(wrong(format!("it says that it is {}", hold.id)));
        }
        if let Selection::Span { from, to } = &hold.what
            && (parse_time(from).is_none() || parse_time(to).is_none())
        {
            return Err(wrong(format!("{from} to {to} is no time")));
        }
        Ok(hold)
    }

    /// What is stored of it, which every gateway can read again.
    fn checked_text(&self, path: &str) -> Result<bytes::Bytes, HoldError> {
        // Texts only: it always has a form.
        let text = serde_json::to_vec(self).unwrap_or_default();
        Self::read(path, &text)?;
        // Who ends it, and why, has to have room as well.
        let most = if self.is_in_force() { HOLD_BYTES_MAX / 2 } else { HOLD_BYTES_MAX };
        if text.len() as u64 > most {
            let what = format!("it would have {} bytes, more than {most}", text.len());
            return Err(HoldError::Form { path: path.to_owned(), what });
        }
        Ok(text.into())
    }
}

impl Selection {
    /// The time that it reaches over.
    fn span(&self) -> Span {
        match self {
            Self::Session(_) | Self::Principal(_) => Span { from: Timestamp(0), to: EVER },
            // Checked when it was read.
            Self::Span { from, to } => Span {
                from: parse_time(from).unwrap_or_default(),
                to: parse_time(to).unwrap_or(EVER),
            },
        }
    }

    /// Whether a file of so many bytes holds something of it.
    fn is_in(&self, bucket: &Arc<Bucket>, path: &str, bytes: u64) -> Result<bool, HoldError> {
        let span = self.span();
        let (mut sessions, mut principal) = (None, None);
        match self {
            Self::Session(session) => sessions = Some(HashSet::from([Text::from(&**session)])),
            Self::Principal(subject) => principal = Some(&**subject),
            Self::Span { .. } if !span.covers_path(path) => return Ok(false),
            Self::Span { .. } => {}
        }
        let wanted = Wanted {
            from: span.from,
            to: span.to,
            sessions: sessions.as_ref(),
            principal,
            ..Wanted::default()
        };
        holds(bucket, (path, bytes), wanted)
    }
}

/// Whether a file holds a wanted row.
fn holds(
    bucket: &Arc<Bucket>,
    (path, bytes): (&str, u64),
    wanted: Wanted<'_>,
) -> Result<bool, HoldError> {
    let mut found = false;
    ArchiveFile::open(bucket, path, bytes)
        .and_then(|file| file.find(wanted, &[], &[], &|_| true, &mut |_| found = true))
        .map_err(|error| HoldError::Unread { path: path.to_owned(), what: error.to_string() })?;
    Ok(found)
}

/// Every hold of a store, the earliest first; released ones too.
///
/// # Errors
///
/// The store cannot be read, or something there is no hold: then what is on hold is not known.
pub fn all(bucket: &Bucket) -> Result<Vec<Hold>, HoldError> {
    let objects = bucket.list(FOLDER)?;
    if objects.len() > HOLDS_MAX {
        return Err(HoldError::TooMany(bucket.place().to_owned()));
    }
    let mut holds = Vec::with_capacity(objects.len());
    for Listed { path, .. } in objects {
        if let Some(text) = bucket.get(&path, HOLD_BYTES_MAX)? {
            holds.push(Hold::read(&path, &text)?);
        }
    }
    holds.sort_by_key(|hold| (parse_time(&hold.at), hold.id.clone()));
    Ok(holds)
}

/// Those of [`all`] that are in force.
pub fn in_force(bucket: &Bucket) -> Result<Vec<Hold>, HoldError> {
    let mut holds = all(bucket)?;
    holds.retain(Hold::is_in_force);
    Ok(holds)
}

/// Puts a hold in force: from now on no key of what it holds is erased. [`lock`] locks the files.
///
/// # Errors
///
/// Also when it could not be read again, or there are [`HOLDS_MAX`] already: whoever cannot read
/// one of them knows nothing of what is on hold.
pub fn place(bucket: &Bucket, hold: &Hold) -> Result<(), HoldError> {
    let path = Hold::path(&hold.id);
    let text = hold.checked_text(&path)?;
    if bucket.list(FOLDER)?.len() >= HOLDS_MAX {
        return Err(HoldError::TooMany(bucket.place().to_owned()));
    }
    match bucket.put_new(&path, text.clone())? {
        Put::Made => Ok(()),
        Put::Exists if bucket.get(&path, HOLD_BYTES_MAX)?.is_some_and(|of| of == text) => {
            // A call that was tried again may have succeeded the first time.
            Ok(())
        }
        Put::Exists => {
            let what = "another hold has its name".to_owned();
            Err(HoldError::Form { path, what })
        }
    }
}

/// Ends a hold; the one that was ended. One that had ended before stays as it is. [`unlock`] frees
/// the files.
pub fn release(bucket: &Bucket, id: &str, released: &Released) -> Result<Hold, HoldError> {
    let path = Hold::path(id);
    let mut ended = None;
    bucket.change(&path, HOLD_BYTES_MAX, |there| {
        let there = there.ok_or_else(|| HoldError::Unknown(id.to_owned()))?;
        let mut hold = Hold::read(&path, there)?;
        let is_new = hold.released.is_none();
        if is_new {
            hold.released = Some(released.clone());
        }
        let text = is_new.then(|| hold.checked_text(&path)).transpose()?;
        ended = Some(hold);
        Ok::<_, HoldError>(text)
    })?;
    ended.ok_or_else(|| HoldError::Unknown(id.to_owned()))
}

/// Sets the legal hold of every file that holds something of a hold, and of the manifests that name
/// them. To be asked again if it fails: what is on hold already stays so.
pub fn lock(bucket: &Arc<Bucket>, hold: &Hold) -> Result<Reached, HoldError> {
    let found = find(bucket, &hold.what)?;
    bucket.hold(&found.paths(), true)?;
    Ok(found.reached())
}

/// Lifts the legal hold of everything that [`lock`] reached and that no other hold reaches.
pub fn unlock(bucket: &Arc<Bucket>, hold: &Hold) -> Result<Reached, HoldError> {
    let mut others = in_force(bucket)?;
    others.retain(|other| other.id != hold.id);
    let mut found = find(bucket, &hold.what)?;
    if !others.is_empty() {
        let mut kept = BTreeSet::new();
        for path in &found.manifests {
            let named = named_by(bucket, path)?;
            for (file, bytes) in named {
                let is_kept = is_in_any(bucket, &others, &file, bytes)?;
                if is_kept {
                    found.files.remove(&file);
                    kept.insert(path.clone());
                }
            }
        }
        found.manifests.retain(|path| !kept.contains(path));
    }
    bucket.hold(&found.paths(), false)?;
    Ok(found.reached())
}

/// Has a manifest, and the files that it names, be on hold where `holds` reach them. Where that
/// cannot be known, of a file that cannot be read, or of all if `holds` is `None`, they are.
pub fn lock_named(
    bucket: &Arc<Bucket>,
    holds: Option<&[Hold]>,
    path: &str,
    manifest: &Manifest,
) -> Result<(), HoldError> {
    let mut held = Vec::new();
    for file in manifest.segments.iter().flat_map(|of| &of.files) {
        let is_held = match holds.map(|holds| is_in_any(bucket, holds, &file.path, file.bytes)) {
            Some(Err(HoldError::Bucket(error))) => return Err(error.into()),
            Some(Ok(is_held)) => is_held,
            Some(Err(_)) | None => true,
        };
        if is_held {
            held.push(file.path.clone());
        }
    }
    if !held.is_empty() {
        held.push(path.to_owned());
    }
    Ok(bucket.hold(&held, true)?)
}

fn is_in_any(
    bucket: &Arc<Bucket>,
    holds: &[Hold],
    path: &str,
    bytes: u64,
) -> Result<bool, HoldError> {
    for hold in holds {
        if hold.what.is_in(bucket, path, bytes)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The files that a manifest names, and their bytes.
fn named_by(bucket: &Bucket, path: &str) -> Result<Vec<(String, u64)>, HoldError> {
    let unread = |what: &str| HoldError::Unread { path: path.to_owned(), what: what.to_owned() };
    let text = bucket.get(path, MANIFEST_BYTES_MAX as u64)?.ok_or_else(|| unread("it is gone"))?;
    let read = Manifest::read(&text).map_err(|error| unread(&error.to_string()))?;
    let files = read.manifest.segments.into_iter().flat_map(|of| of.files);
    Ok(files.map(|file| (file.path, file.bytes)).collect())
}

/// What a selection reaches.
struct Found {
    files: BTreeSet<String>,
    manifests: BTreeSet<String>,
    unread: Vec<String>,
}

impl Found {
    fn paths(&self) -> Vec<String> {
        self.files.iter().chain(&self.manifests).cloned().collect()
    }

    fn reached(self) -> Reached {
        let (files, manifests) = (self.files.len() as u64, self.manifests.len() as u64);
        Reached { files, manifests, unread: self.unread }
    }
}

fn find(bucket: &Arc<Bucket>, what: &Selection) -> Result<Found, HoldError> {
    let SignedFiles { files, unread, named_by, .. } =
        signed_files(bucket, &what.span(), &|_| false)?;
    let mut found = Found { files: BTreeSet::new(), manifests: BTreeSet::new(), unread };
    for Listed { path, bytes } in files {
        match what.is_in(bucket, &path, bytes) {
            Ok(false) => {}
            Ok(true) => {
                found.manifests.extend(named_by.get(&path).cloned());
                found.files.insert(path);
            }
            Err(HoldError::Bucket(error)) => return Err(error.into()),
            Err(error) => found.unread.push(error.to_string()),
        }
    }
    Ok(found)
}

/// Holds that keep the keys of what `whose` names from being erased.
///
/// # Errors
///
/// Also when something cannot be read that may be on hold.
pub fn in_the_way(bucket: &Arc<Bucket>, whose: Erase<'_>) -> Result<Vec<Hold>, HoldError> {
    let holds = in_force(bucket)?;
    if holds.is_empty() {
        return Ok(holds);
    }
    let keys = Keyed::read(bucket, whose)?;
    let mut in_the_way = Vec::new();
    for hold in holds {
        let reaches = match (&hold.what, whose) {
            (Selection::Session(held), Erase::Session(session)) => held == session,
            (Selection::Session(held), Erase::Principal(_)) => keys.sessions.contains(&**held),
            (Selection::Principal(held), Erase::Principal(principal)) => held == principal,
            (Selection::Principal(held), Erase::Session(_)) => keys.principals.contains(held),
            (Selection::Span { .. }, _) => keys.are_of(bucket, &hold.what.span())?,
        };
        if reaches {
            in_the_way.push(hold);
        }
    }
    Ok(in_the_way)
}

/// Whose keys there are, of those that are to be erased.
#[derive(Default)]
struct Keyed {
    sessions: HashSet<Text>,
    principals: HashSet<String>,
    /// Sessions by gateway and segment.
    segments: BTreeMap<(String, u64), HashSet<Text>>,
}

impl Keyed {
    fn read(bucket: &Bucket, whose: Erase<'_>) -> Result<Self, HoldError> {
        let mut keyed = Self::default();
        for Listed { path, .. } in bucket.list("keys")? {
            let unread = |what: String| HoldError::Unread { path: path.clone(), what };
            let Some(text) = bucket.get(&path, SEGMENT_KEYS_BYTES_MAX as u64)? else { continue };
            let keys = SegmentKeys::parse(&text).map_err(|error| unread(error.to_string()))?;
            for entry in keys.entries() {
                let is_theirs = match whose {
                    Erase::Session(session) => entry.session == session,
                    Erase::Principal(principal) => entry.principal == Some(principal),
                };
                if !is_theirs {
                    continue;
                }
                let session = Text::from(entry.session);
                keyed.sessions.insert(Arc::clone(&session));
                keyed.principals.extend(entry.principal.map(str::to_owned));
                let segment = (keys.gateway().to_owned(), keys.segment());
                keyed.segments.entry(segment).or_default().insert(session);
            }
        }
        Ok(keyed)
    }

    /// Whether one of the sessions has an event of a time in a segment of which it has a key.
    fn are_of(&self, bucket: &Arc<Bucket>, span: &Span) -> Result<bool, HoldError> {
        for Listed { path, bytes } in listed(bucket, span)? {
            let named =
                convert::named(&path).map(|(gateway, segment)| (gateway.to_owned(), segment));
            let Some(sessions) = named.and_then(|named| self.segments.get(&named)) else {
                continue;
            };
            let (from, to, sessions) = (span.from, span.to, Some(sessions));
            let wanted = Wanted { from, to, sessions, ..Wanted::default() };
            if holds(bucket, (&path, bytes), wanted)? {
                return Ok(true);
            }
        }
        Ok(false)
    }
}
