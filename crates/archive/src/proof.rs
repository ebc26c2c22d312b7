//! What one session did, with proof that a gateway signed it, in a file that is checked alone.
//!
//! A proof holds the canonical form of every event of a session, for each the path to the root of
//! its segment (RFC 6962 section 2.1.1), and the signed manifests that hold those roots. It tells
//! nothing of other sessions but how many events there were. That none was left out shows by their
//! `sequence`, which begins with 1 and has no holes; that none followed, by a last event that ends
//! the session. A session of which something passed unrecorded (a `gap`) has no proof of its own.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::bucket::{Bucket, BucketError};
use crate::convert;
use crate::evidence::Span;
use crate::file::ArchiveFile;
use crate::manifest::{self, HexHash, MANIFEST_BYTES_MAX, Manifest, PublicKey};
use crate::merkle::{self, Hash};
use crate::verify::{TrustedKey, keys_of};

/// The version of proofs that this build writes and reads.
pub const PROOF_VERSION: u32 = 1;

/// What a session did, and the proof of it.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Proof {
    /// [`PROOF_VERSION`].
    pub version: u32,
    /// The session.
    pub session: String,
    /// Its gateway.
    pub gateway: String,
    /// Signed manifests, whole, in the order of their numbers.
    pub manifests: Vec<String>,
    /// The session's events, in the order of their `sequence`.
    pub events: Vec<Proved>,
}

/// An event and its way to a signed root.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Proved {
    /// The segment.
    pub segment: u64,
    /// Its place among the segment's leaves, from 0.
    pub index: u64,
    /// The hashes beside its way to the root, from the leaf up.
    pub path: Vec<HexHash>,
    /// The canonical form, which is what was hashed.
    pub event: String,
}

/// Why there is no proof, or why one proves nothing.
#[derive(Debug, thiserror::Error)]
pub enum ProofError {
    /// The store.
    #[error(transparent)]
    Bucket(#[from] BucketError),
    /// A file of the archive.
    #[error("{path} cannot be read: {what}")]
    File {
        /// The file.
        path: String,
        /// What is wrong with it.
        what: String,
    },
    /// The session is not in the archive.
    #[error("the archive holds no event of session {0}; what happened just now is not in it yet")]
    Unknown(String),
    /// No manifest names the segment of an event.
    #[error("no manifest of {gateway} names segment {segment}")]
    Unnamed {
        /// The gateway.
        gateway: String,
        /// The segment.
        segment: u64,
    },
    /// It has another form.
    #[error("it is no proof: {0}")]
    Form(String),
    /// It proves something else, or nothing.
    #[error("event {number} of {count}: {what}")]
    Wrong {
        /// Which event, from 1.
        number: usize,
        /// Of how many.
        count: usize,
        /// What is wrong.
        what: String,
    },
}

/// Makes the proof of a session from an archive. `span` is when the session was.
///
/// Fails where a file that was signed is not here and may hold some of it.
pub fn prove(bucket: &Arc<Bucket>, session: &str, span: &Span) -> Result<Proof, ProofError> {
    let mut here = HashSet::new();
    let mut segments: BTreeMap<(String, u64), ()> = BTreeMap::new();
    for listed in bucket.list("events")? {
        let hour = span.covers_path(&listed.path);
        let Some((gateway, segment)) = convert::named(&listed.path).filter(|_| hour) else {
            continue;
        };
        let mut found = false;
        read(bucket, &listed.path, listed.bytes, |row| {
            found |= row.session.as_deref() == Some(session);
        })?;
        if found {
            segments.insert((gateway.to_owned(), segment), ());
        }
        here.insert(listed.path);
    }
    let Some(((gateway, begins), ())) = segments.first_key_value() else {
        for folder in bucket.folders("manifests")? {
            let gateway = folder.strip_prefix("gateway=").unwrap_or_default();
            check_here(&manifests(bucket, gateway)?, &here, span, 0)?;
        }
        return Err(ProofError::Unknown(session.to_owned()));
    };
    let (gateway, begins) = (gateway.clone(), *begins);
    let signed = manifests(bucket, &gateway)?;
    let mut proof = Proof {
        version: PROOF_VERSION,
        session: session.to_owned(),
        gateway: gateway.clone(),
        manifests: Vec::new(),
        events: Vec::new(),
    };
    let mut events: Vec<(u64, String, Proved)> = Vec::new();
    for (of, segment) in segments.into_keys().filter(|(of, _)| *of == gateway) {
        let unnamed = || ProofError::Unnamed { gateway: of.clone(), segment };
        let (text, entry) = signed.get(&segment).ok_or_else(unnamed)?;
        if proof.manifests.last() != Some(text) {
            proof.manifests.push(text.clone());
        }
        let mut leaves: Vec<(u64, Hash, Option<Ours>)> = Vec::new();
        for file in &entry.files {
            let mut canonical = Vec::new();
            read(bucket, &file.path, file.bytes, |row| {
                let leaf = row.leaf(&mut canonical);
                let is_ours = row.session.as_deref() == Some(session);
                let event = || String::from_utf8_lossy(&canonical).into_owned();
                let event = is_ours.then(|| (row.sequence, row.kind.to_string(), event()));
                leaves.push((row.number, leaf, event));
            })?;
        }
        leaves.sort_by_key(|(number, ..)| *number);
        let hashes: Vec<Hash> = leaves.iter().map(|(_, leaf, _)| *leaf).collect();
        for (index, (.., event)) in leaves.into_iter().enumerate() {
            let Some((sequence, kind, event)) = event else { continue };
            let path = merkle::path(index, &hashes).into_iter().map(HexHash).collect();
            let proved = Proved { segment, index: index as u64, path, event };
            events.push((sequence, kind, proved));
        }
    }
    // What exchanges of one session do at once is numbered and recorded in different orders.
    events.sort_by_key(|(sequence, ..)| *sequence);
    let whole = follow(events.iter().map(|(sequence, kind, _)| (*sequence, &**kind)));
    if !matches!(whole, Ok(true)) {
        let starts = events.first().is_some_and(|(sequence, ..)| *sequence == 1);
        check_here(&signed, &here, span, if starts { begins } else { 0 })?;
    }
    whole?;
    proof.events = events.into_iter().map(|(.., event)| event).collect();
    Ok(proof)
}

/// An event of the session that is proved: its `sequence`, kind and canonical form.
type Ours = (u64, String, String);

/// A file of that time is missing that was signed, of a segment not before `begins`.
fn check_here(
    signed: &Signed,
    here: &HashSet<String>,
    span: &Span,
    begins: u64,
) -> Result<(), ProofError> {
    let files = signed.range(begins..).flat_map(|(_, (_, entry))| &entry.files);
    let mut missing = files.filter(|of| span.covers_path(&of.path) && !here.contains(&of.path));
    match missing.next() {
        None => Ok(()),
        Some(file) => Err(ProofError::File {
            path: file.path.clone(),
            what: "it was signed, may hold some of the session, and is not here".to_owned(),
        }),
    }
}

/// Whether the events of a session, each by its `sequence` and kind, are all that it did: `true` if
/// it has ended too.
fn follow<'a>(events: impl ExactSizeIterator<Item = (u64, &'a str)>) -> Result<bool, ProofError> {
    let count = events.len();
    let mut is_ended = false;
    for ((sequence, kind), number) in events.zip(1_usize..) {
        let wrong = |what: String| Err(ProofError::Wrong { number, count, what });
        if sequence != number as u64 {
            return wrong(format!("it is event {sequence} of the session"));
        }
        let is_refused = kind == "session_refused";
        if number == 1 && kind != "session_started" && !is_refused {
            return wrong(format!("a session does not begin with {kind}"));
        }
        is_ended |= is_refused || kind == "session_ended";
    }
    match count {
        0 => Err(ProofError::Form("it holds no event".to_owned())),
        _ => Ok(is_ended),
    }
}

fn read(
    bucket: &Arc<Bucket>,
    path: &str,
    bytes: u64,
    each: impl FnMut(crate::row::Row),
) -> Result<(), ProofError> {
    let file = ArchiveFile::open(bucket, path, bytes);
    file.and_then(|file| file.each(each))
        .map_err(|error| ProofError::File { path: path.to_owned(), what: error.to_string() })
}

/// Every segment that a gateway's manifests name, with the manifest.
type Signed = BTreeMap<u64, (String, manifest::Segment)>;

fn manifests(bucket: &Bucket, gateway: &str) -> Result<Signed, ProofError> {
    let mut named = BTreeMap::new();
    for listed in bucket.list(&manifest::folder(gateway))? {
        let Some(text) = bucket.get(&listed.path, MANIFEST_BYTES_MAX as u64)? else { continue };
        let Ok(unproved) = Manifest::read(&text) else { continue };
        let text = String::from_utf8_lossy(&text).into_owned();
        for entry in unproved.manifest.segments {
            named.insert(entry.segment, (text.clone(), entry));
        }
    }
    Ok(named)
}

/// What a proof proves.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Proven<'a> {
    /// The session's events from its first on, as JSON texts.
    pub events: Vec<&'a str>,
    /// The session ends with them. If not, it may have gone on after the proof was made.
    pub is_ended: bool,
}

/// Checks a proof with nothing but the public keys that may have signed.
pub fn check<'a>(proof: &'a Proof, keys: &[TrustedKey]) -> Result<Proven<'a>, ProofError> {
    if proof.version != PROOF_VERSION {
        let found = proof.version;
        return Err(ProofError::Form(format!("version {found}, not {PROOF_VERSION}")));
    }
    let roots = roots(proof, &keys_of(keys, &proof.gateway))?;
    let count = proof.events.len();
    let mut told: Vec<(u64, String)> = Vec::with_capacity(count);
    for (event, number) in proof.events.iter().zip(1..) {
        let wrong = |what: &str| ProofError::Wrong { number, count, what: what.to_owned() };
        let (root, rows) =
            roots.get(&event.segment).ok_or_else(|| wrong("its segment is in no manifest"))?;
        let path: Vec<Hash> = event.path.iter().map(|hash| hash.0).collect();
        let leaf = merkle::leaf(event.event.as_bytes());
        if merkle::root_by_path(leaf, event.index, *rows, &path) != Some(*root) {
            return Err(wrong("it does not lead to the root that was signed"));
        }
        let parsed: Told = serde_json::from_str(&event.event)
            .map_err(|_| wrong("it is no event of a session in JSON"))?;
        if parsed.session != proof.session || parsed.gateway != proof.gateway {
            return Err(wrong("it is of another session"));
        }
        told.push((parsed.sequence, parsed.kind));
    }
    let is_ended = follow(told.iter().map(|(sequence, kind)| (*sequence, &**kind)))?;
    let events = proof.events.iter().map(|event| event.event.as_str()).collect();
    Ok(Proven { events, is_ended })
}

/// What checking needs to know of an event.
#[derive(Deserialize)]
struct Told {
    gateway: String,
    session: String,
    sequence: u64,
    kind: String,
}

/// Root and number of events of each segment in the manifests of a proof.
fn roots(proof: &Proof, keys: &[PublicKey]) -> Result<BTreeMap<u64, (Hash, u64)>, ProofError> {
    let mut roots = BTreeMap::new();
    let mut signer: Option<&PublicKey> = None;
    for text in &proof.manifests {
        let unproved = Manifest::read(text.as_bytes())
            .map_err(|error| ProofError::Form(format!("a manifest: {error}")))?;
        let number = unproved.manifest.number;
        let by = keys.iter().find(|key| unproved.is_signed_by(std::slice::from_ref(key)));
        let Some(by) = by else {
            let gateway = &proof.gateway;
            let what = format!("manifest {number} is signed by no key given for {gateway}");
            return Err(ProofError::Form(what));
        };
        if *signer.get_or_insert(by) != by {
            let what = format!("manifest {number} is signed by the key of another gateway");
            return Err(ProofError::Form(what));
        }
        if unproved.manifest.gateway != proof.gateway {
            return Err(ProofError::Form("a manifest of another gateway".to_owned()));
        }
        for entry in unproved.manifest.segments {
            roots.insert(entry.segment, (entry.root.0, entry.rows));
        }
    }
    Ok(roots)
}
