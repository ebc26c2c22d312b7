//! The manifests of one gateway, followed from one to the next.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use model::Timestamp;

use super::{Anchor, Checked, NONE_HERE, Options, Problem, Wrong, keys_of};
use crate::bucket::{Bucket, BucketError, Listed};
use crate::convert;
use crate::manifest::{self, HexHash, MANIFEST_BYTES_MAX, Manifest, PublicKey, format_time};
use crate::merkle::Hash;

/// The manifests of one gateway while they are followed.
pub(super) struct Chain<'a> {
    pub(super) bucket: &'a Arc<Bucket>,
    pub(super) files: &'a BTreeMap<String, u64>,
    pub(super) named: HashSet<String>,
    options: &'a Options,
    keys: Vec<PublicKey>,
    /// The key that signed the first manifest that is believed.
    signer: Option<PublicKey>,
    before: Option<Before>,
    /// The highest number listed.
    listed: u64,
    /// Numbers of the manifests that were compared with an anchor.
    compared: HashSet<u64>,
    checked: Checked,
    problems: Vec<Problem>,
}

/// What the manifest before said.
struct Before {
    number: u64,
    hash: Hash,
    last: u64,
    segment: u64,
    at: Timestamp,
}

impl<'a> Chain<'a> {
    pub(super) fn new(
        bucket: &'a Arc<Bucket>,
        options: &'a Options,
        files: &'a BTreeMap<String, u64>,
        gateway: &str,
    ) -> Self {
        Self {
            bucket,
            files,
            named: HashSet::new(),
            options,
            keys: keys_of(&options.keys, gateway),
            signer: None,
            before: None,
            listed: 0,
            compared: HashSet::new(),
            checked: Checked { gateway: gateway.to_owned(), ..Checked::default() },
            problems: Vec::new(),
        }
    }

    /// Checks the manifests that are there and were not when it was called before.
    ///
    /// Of those before [`Options::since`] only the last is read: it says what the first one after
    /// must follow. What is newer goes by the numbers, whatever day its folder names.
    pub(super) fn advance(&mut self) -> Result<(), BucketError> {
        let (numbered, start) = self.list()?;
        for (number, of) in numbered {
            self.listed = self.listed.max(number);
            let Some((manifest, hash)) = self.manifest(number, &of)? else { continue };
            self.compare(&of.path, number, hash);
            if number >= start {
                self.follows(&of.path, &manifest);
                for segment in &manifest.segments {
                    self.checked.files += segment.files.len() as u64;
                    self.checked.events += segment.rows;
                    self.segment(&of.path, segment)?;
                }
                if self.checked.manifests == 0 {
                    self.checked.first = number;
                }
                self.checked.manifests += 1;
            }
            self.checked.last = number;
            self.checked.hash = HexHash(hash);
            self.checked.until.clone_from(&manifest.at);
            let segment = manifest.segments.iter().map(|of| of.segment).max();
            let before = self.before.as_ref().map(|before| before.segment);
            self.before = Some(Before {
                number,
                hash,
                last: manifest.last,
                segment: segment.or(before).unwrap_or(0),
                at: manifest.signed_at().unwrap_or_default(),
            });
        }
        Ok(())
    }

    /// What is to be read, in the order of its numbers, and the first number to be checked.
    fn list(&mut self) -> Result<(Vec<(u64, Listed)>, u64), BucketError> {
        let since = self.options.since.filter(|_| self.listed == 0).map(convert::date);
        let mut start = if since.is_some() { u64::MAX } else { 0 };
        let mut numbered: Vec<(u64, Listed)> = Vec::new();
        for of in self.bucket.list(&self.folder())? {
            let date = of.path.split('/').find_map(|part| part.strip_prefix("date="));
            let is_asked = since.as_deref().is_none_or(|since| date.is_none_or(|at| at >= since));
            match manifest::number_in(&of.path).filter(|number| *number > 0) {
                Some(number) if is_asked => {
                    start = start.min(number);
                    numbered.push((number, of));
                }
                Some(number) => numbered.push((number, of)),
                None if is_asked => self.say(Wrong::Unsigned, &of.path, "this is no manifest"),
                None => {}
            }
        }
        numbered.sort_by_key(|(number, _)| *number);
        let earlier = numbered.iter().map(|(number, _)| *number).filter(|number| *number < start);
        let from = earlier.max().unwrap_or(0).max(self.listed.saturating_add(1));
        numbered.retain(|(number, _)| *number >= from);
        Ok((numbered, start))
    }

    /// A manifest that may be believed, and its hash.
    fn manifest(
        &mut self,
        number: u64,
        of: &Listed,
    ) -> Result<Option<(Manifest, Hash)>, BucketError> {
        if of.bytes > MANIFEST_BYTES_MAX as u64 {
            self.say(Wrong::Changed, &of.path, "longer than any manifest");
            return Ok(None);
        }
        let Some(text) = self.bucket.get(&of.path, MANIFEST_BYTES_MAX as u64)? else {
            self.say(Wrong::Missing, &of.path, "listed, and not there");
            return Ok(None);
        };
        let unproved = match Manifest::read(&text) {
            Ok(unproved) => unproved,
            Err(error) => {
                self.say(Wrong::Changed, &of.path, error.to_string());
                return Ok(None);
            }
        };
        if !self.options.keys.is_empty() {
            let mut keys = self.keys.iter();
            let signer = keys.find(|key| unproved.is_signed_by(std::slice::from_ref(key)));
            let wrong = match (signer, self.signer) {
                (None, _) => Some("its signature is of none of the keys given, or it was changed"),
                // One gateway has one key: another one that is believed for others is not enough.
                (Some(key), Some(before)) if *key != before => {
                    Some("it is signed by the key of another gateway")
                }
                _ => None,
            };
            if let Some(what) = wrong {
                self.say(Wrong::Unsigned, &of.path, what);
                return Ok(None);
            }
            self.signer = signer.copied();
        }
        let (manifest, hash) = (unproved.manifest, unproved.hash);
        if manifest.gateway != self.checked.gateway || manifest.number != number {
            let (gateway, number) = (&manifest.gateway, manifest.number);
            let what = format!("this is manifest {number} of {gateway}, in another's place");
            self.say(Wrong::Reordered, &of.path, what);
            return Ok(None);
        }
        let belongs = manifest.signed_at().map(|at| manifest::path(self.gateway(), at, number));
        if belongs.as_deref() != Some(of.path.as_str()) {
            let what = format!("signed at {}, and in the folder of another day", manifest.at);
            self.say(Wrong::Reordered, &of.path, what);
        }
        Ok(Some((manifest, hash)))
    }

    /// Whether a manifest goes on where the one before ended.
    fn follows(&mut self, path: &str, manifest: &Manifest) {
        let number = manifest.number;
        let Some(before) = self.before.as_ref() else {
            // The events of a first one begin with 1; before those of another something is missing,
            // which is said once.
            let first = manifest.segments.iter().find(|of| of.rows > 0).map_or(1, |of| of.first);
            let last = if number == 1 { 0 } else { first.saturating_sub(1) };
            self.segments_follow(path, manifest, (last, 0));
            if number != 1 {
                let last = number.saturating_sub(1);
                let what = match self.options.since {
                    None => format!("manifests 1 to {last} are not here"),
                    Some(_) => format!("manifest {last}, which it follows, is not here"),
                };
                self.say(Wrong::Missing, path, what);
            }
            if number == 1 && manifest.previous != HexHash::default() {
                self.say(Wrong::Missing, path, "the first manifest names one before it");
            }
            return;
        };
        if Some(number) != before.number.checked_add(1) {
            let (from, to) = (before.number.saturating_add(1), number.saturating_sub(1));
            let what = match number == before.number {
                true => format!("manifest {number} is here twice"),
                false => format!("manifests {from} to {to} are not here"),
            };
            self.say(Wrong::Missing, path, what);
            return;
        }
        let after = (before.last, before.segment);
        if manifest.previous.0 != before.hash {
            let what = format!("it does not follow manifest {} as that is here", before.number);
            self.say(Wrong::Changed, path, what);
        }
        self.segments_follow(path, manifest, after);
    }

    /// Whether the segments of a manifest go on behind an event and a segment.
    fn segments_follow(&mut self, path: &str, manifest: &Manifest, after: (u64, u64)) {
        let (mut last, mut number) = after;
        for segment in &manifest.segments {
            if segment.segment <= number {
                let what = format!("segment {} comes after segment {number}", segment.segment);
                self.say(Wrong::Reordered, path, what);
            }
            number = segment.segment;
            if segment.rows == 0 {
                continue;
            }
            if Some(segment.first) != last.checked_add(1) {
                let what = format!(
                    "segment {} begins with event {} after event {last}",
                    segment.segment, segment.first
                );
                self.say(Wrong::Missing, path, what);
            }
            last = segment.last;
        }
    }

    fn compare(&mut self, path: &str, number: u64, hash: Hash) {
        let ours = |of: &&Anchor| of.gateway == self.checked.gateway && of.number == number;
        let mut differs = false;
        for anchor in self.options.anchors.iter().filter(ours) {
            self.compared.insert(number);
            differs |= anchor.hash.0 != hash;
        }
        if differs {
            self.say(Wrong::Changed, path, "not the manifest that the anchor names");
        }
    }

    /// Whether the archive reaches as far as it should.
    fn ends(&mut self) {
        let folder = self.folder();
        let number = self.before.as_ref().map_or(0, |last| last.number);
        let anchors = self.options.anchors.iter().filter(|of| of.gateway == self.checked.gateway);
        if let Some(anchor) = anchors.map(|anchor| anchor.number).max()
            && anchor > number
        {
            let what = format!("it ends with manifest {number}; manifest {anchor} was here once");
            self.say(Wrong::Cut, &folder, what);
        }
        if let Some(until) = self.options.until
            && self.before.as_ref().is_none_or(|last| last.at < until)
        {
            let last = self.before.as_ref();
            let ends = last.map_or_else(|| "never".to_owned(), |last| format_time(last.at));
            let until = format_time(until);
            let what = format!("its last manifest is of {ends}, not {until} or later");
            self.say(Wrong::Cut, &folder, what);
        }
        if self.before.is_none() && self.problems.is_empty() {
            self.say(Wrong::Missing, &folder, NONE_HERE);
        }
    }

    /// What was checked, if there was anything, and what is wrong.
    pub(super) fn end(mut self) -> (Option<Checked>, Vec<Problem>) {
        self.ends();
        self.checked.key = self.signer.map(|key| key.to_string()).unwrap_or_default();
        (self.before.is_some().then_some(self.checked), self.problems)
    }

    pub(super) fn gateway(&self) -> &str {
        &self.checked.gateway
    }

    pub(super) fn signer(&self) -> Option<PublicKey> {
        self.signer
    }

    /// Whether a manifest names this file.
    pub(super) fn names(&self, path: &str) -> bool {
        self.named.contains(path)
    }

    /// Whether the manifest of an anchor is one of those that were not read.
    pub(super) fn passed_over(&self, anchor: &Anchor) -> bool {
        let last = self.before.as_ref().map_or(0, |last| last.number);
        anchor.number <= last && !self.compared.contains(&anchor.number)
    }

    fn folder(&self) -> String {
        manifest::folder(&self.checked.gateway)
    }

    pub(super) fn say(&mut self, wrong: Wrong, place: &str, what: impl Into<String>) {
        let (gateway, place) = (self.checked.gateway.clone(), place.to_owned());
        self.problems.push(Problem { wrong, gateway, place, what: what.into() });
    }
}
