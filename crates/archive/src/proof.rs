//! What one session did, with proof that a gateway signed it, in a file that is checked alone.
//!
//! A proof holds the canonical form of every event of a session, for each the path to the root of
//! its segment (RFC 6962 section 2.1.1), and the signed manifests that hold those roots. It tells
//! nothing of other sessions but how many events there were. It proves what it holds; that a
//! session has no more events than these shows by their `sequence`.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::bucket::{Bucket, BucketError};
use crate::convert;
use crate::evidence::Span;
use crate::file::ArchiveFile;
use crate::manifest::{self, HexHash, MANIFEST_BYTES_MAX, Manifest, PublicKey};
use crate::merkle::{self, Hash};

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
    /// The session's events.
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
pub fn prove(bucket: &Arc<Bucket>, session: &str, span: &Span) -> Result<Proof, ProofError> {
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
    }
    let Some(((gateway, _), ())) = segments.first_key_value().map(|(key, of)| (key.clone(), of))
    else {
        return Err(ProofError::Unknown(session.to_owned()));
    };
    let signed = manifests(bucket, &gateway)?;
    let mut proof = Proof {
        version: PROOF_VERSION,
        session: session.to_owned(),
        gateway: gateway.clone(),
        manifests: Vec::new(),
        events: Vec::new(),
    };
    for (of, segment) in segments.into_keys().filter(|(of, _)| *of == gateway) {
        let unnamed = || ProofError::Unnamed { gateway: of.clone(), segment };
        let (text, entry) = signed.get(&segment).ok_or_else(unnamed)?;
        if proof.manifests.last() != Some(text) {
            proof.manifests.push(text.clone());
        }
        let mut leaves: Vec<(u64, Hash, Option<String>)> = Vec::new();
        for file in &entry.files {
            let mut canonical = Vec::new();
            read(bucket, &file.path, file.bytes, |row| {
                let leaf = row.leaf(&mut canonical);
                let is_ours = row.session.as_deref() == Some(session);
                let event = is_ours.then(|| String::from_utf8_lossy(&canonical).into_owned());
                leaves.push((row.number, leaf, event));
            })?;
        }
        leaves.sort_by_key(|(number, ..)| *number);
        let hashes: Vec<Hash> = leaves.iter().map(|(_, leaf, _)| *leaf).collect();
        for (index, (.., event)) in leaves.into_iter().enumerate() {
            let Some(event) = event else { continue };
            let path = merkle::path(index, &hashes).into_iter().map(HexHash).collect();
            proof.events.push(Proved { segment, index: index as u64, path, event });
        }
    }
    Ok(proof)
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
fn manifests(
    bucket: &Bucket,
    gateway: &str,
) -> Result<BTreeMap<u64, (String, manifest::Segment)>, ProofError> {
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

/// Checks a proof with nothing but the public keys that may have signed; the events that it proves,
/// as JSON texts.
pub fn check<'a>(proof: &'a Proof, keys: &[PublicKey]) -> Result<Vec<&'a str>, ProofError> {
    if proof.version != PROOF_VERSION {
        let found = proof.version;
        return Err(ProofError::Form(format!("version {found}, not {PROOF_VERSION}")));
    }
    let mut roots: BTreeMap<u64, (Hash, u64)> = BTreeMap::new();
    for text in &proof.manifests {
        let unproved = Manifest::read(text.as_bytes())
            .map_err(|error| ProofError::Form(format!("a manifest: {error}")))?;
        if !unproved.is_signed_by(keys) {
            let number = unproved.manifest.number;
            let what = format!("manifest {number} is signed by none of the keys given");
            return Err(ProofError::Form(what));
        }
        if unproved.manifest.gateway != proof.gateway {
            return Err(ProofError::Form("a manifest of another gateway".to_owned()));
        }
        for entry in unproved.manifest.segments {
            roots.insert(entry.segment, (entry.root.0, entry.rows));
        }
    }
    let count = proof.events.len();
    for (event, number) in proof.events.iter().zip(1..) {
        let wrong = |what: &str| ProofError::Wrong { number, count, what: what.to_owned() };
        let (root, rows) =
            roots.get(&event.segment).ok_or_else(|| wrong("its segment is in no manifest"))?;
        let path: Vec<Hash> = event.path.iter().map(|hash| hash.0).collect();
        let leaf = merkle::leaf(event.event.as_bytes());
        if merkle::root_by_path(leaf, event.index, *rows, &path) != Some(*root) {
            return Err(wrong("it does not lead to the root that was signed"));
        }
        let parsed: serde_json::Value =
            serde_json::from_str(&event.event).map_err(|_| wrong("it is no JSON"))?;
        if parsed.get("session").and_then(|of| of.as_str()) != Some(proof.session.as_str()) {
            return Err(wrong("it is of another session"));
        }
    }
    Ok(proof.events.iter().map(|event| event.event.as_str()).collect())
}
