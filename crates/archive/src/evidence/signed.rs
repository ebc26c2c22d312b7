//! Which files of a store an answer may be found in: those that manifests name.
//!
//! Signatures are not checked here, which [`crate::verify`] does; what this tells is which files
//! are missing, which nobody signed, and which manifests are not here. Of the manifests as few are
//! read as can name files of the time asked about.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::time::Duration;

use model::Timestamp;

use super::Span;
use crate::bucket::{Bucket, BucketError, Listed};
use crate::convert;
use crate::manifest::{self, MANIFEST_BYTES_MAX, Manifest, format_time};

/// How far a clock may have been set back between an event and the manifest that names it.
const SET_BACK: Duration = Duration::from_secs(60 * 60);

/// Manifests that are read for files that those of their time do not name: two days of them. More
/// would let one odd file make every question about its hour read the whole archive.
const SEARCHED_MAX: usize = 2 * 24 * 60;
const HOUR_NS: u64 = 60 * 60 * 1_000_000_000;

/// The files of a time, and what is wrong with them.
#[derive(Clone, Debug, Default)]
pub struct SignedFiles {
    /// Files that a manifest names, by path.
    pub files: Vec<Listed>,
    /// The manifest that names each of them, by the path of the file.
    pub named_by: BTreeMap<String, String>,
    /// What an answer may lack, in words.
    pub unread: Vec<String>,
    /// Files that come after everything that is signed: not signed yet, and left out.
    pub unsigned: Vec<Listed>,
    /// Gateways whose manifests are here.
    pub gateways: u64,
}

/// Finds the files of a time, but for those that `is_later`: what is in them is read elsewhere.
pub fn signed_files(
    bucket: &Bucket,
    span: &Span,
    is_later: &dyn Fn(&str) -> bool,
) -> Result<SignedFiles, BucketError> {
    let mut found = SignedFiles::default();
    // Manifests first: what they name was written before.
    let mut chains = BTreeMap::new();
    for folder in bucket.folders("manifests")? {
        if let Some(gateway) = folder.strip_prefix("gateway=") {
            let chain = Chain::list(bucket, gateway, span)?;
            found.gateways += u64::from(!chain.numbered.is_empty());
            chains.insert(gateway.to_owned(), chain);
        }
    }
    let mut here: BTreeMap<String, BTreeMap<String, u64>> = BTreeMap::new();
    for Listed { path, bytes } in listed(bucket, span)?.into_iter().filter(|of| !is_later(&of.path))
    {
        let gateway = convert::named(&path).map(|(gateway, _)| gateway.to_owned());
        here.entry(gateway.unwrap_or_default()).or_default().insert(path, bytes);
    }
    for (gateway, mut chain) in chains {
        let here = here.remove(&gateway).unwrap_or_default();
        chain.follow(span, &here, is_later, &mut found)?;
        chain.search(&here)?;
        let last = chain.segment;
        for (path, bytes) in here {
            if let Some(manifest) = chain.named.remove(&path) {
                found.named_by.insert(path.clone(), manifest);
                found.files.push(Listed { path, bytes });
            } else if convert::named(&path).is_some_and(|(_, segment)| segment > last) {
                found.unsigned.push(Listed { path, bytes });
            } else {
                found.unread.push(format!("{path}: no manifest names it, left out"));
            }
        }
    }
    for path in here.into_values().flat_map(BTreeMap::into_keys) {
        found.unread.push(format!("{path}: no manifest of its gateway is here, left out"));
    }
    found.files.sort_by(|one, other| one.path.cmp(&other.path));
    Ok(found)
}

/// Files that lie where those of a time belong.
pub(crate) fn listed(bucket: &Bucket, span: &Span) -> Result<Vec<Listed>, BucketError> {
    let mut files = Vec::new();
    for date in bucket.folders("events")? {
        if span.covers(&date, None) {
            let listed = bucket.list(&format!("events/{date}"))?;
            files.extend(
                listed
                    .into_iter()
                    .filter(|of| convert::named(&of.path).is_some() && span.covers_path(&of.path)),
            );
        }
    }
    Ok(files)
}

/// What a manifest says that matters here.
#[derive(Clone)]
struct Said {
    at: Timestamp,
    /// Number of the first event that it names.
    first: Option<u64>,
    /// Number of the last event archived.
    last: u64,
    segment: u64,
    files: Vec<String>,
    /// Segments of which part could not be read when they were archived, and a file of each.
    damaged: Vec<(u64, Option<String>)>,
}

/// The manifests of one gateway that can name files of a time, and one before them.
struct Chain<'a> {
    bucket: &'a Bucket,
    gateway: String,
    numbered: Vec<(u64, String)>,
    /// Those that were read; `None` for what is no manifest.
    read: BTreeMap<usize, Option<Said>>,
    /// Files named of the time asked about, and the manifest that names each first.
    named: BTreeMap<String, String>,
    /// The last segment named.
    segment: u64,
}

impl<'a> Chain<'a> {
    fn list(bucket: &'a Bucket, gateway: &str, span: &Span) -> Result<Self, BucketError> {
        let folder = manifest::folder(gateway);
        let first = format!("date={}", convert::date(earlier(span.from)));
        let dates = bucket.folders(&folder)?;
        let before = dates.iter().filter(|date| **date < first).max();
        let mut numbered = Vec::new();
        for date in before.into_iter().chain(dates.iter().filter(|date| **date >= first)) {
            for of in bucket.list(&format!("{folder}/{date}"))? {
                numbered.extend(manifest::number_in(&of.path).map(|number| (number, of.path)));
            }
        }
        numbered.sort_unstable();
        Ok(Self {
            bucket,
            gateway: gateway.to_owned(),
            numbered,
            read: BTreeMap::new(),
            named: BTreeMap::new(),
            segment: 0,
        })
    }

    /// Reads on until everything is named that is `here`, and what comes is later than the time
    /// asked about.
    fn follow(
        &mut self,
        span: &Span,
        here: &BTreeMap<String, u64>,
        is_read_elsewhere: &dyn Fn(&str) -> bool,
        found: &mut SignedFiles,
    ) -> Result<(), BucketError> {
        let mut start = (0, self.numbered.len());
        while start.0 < start.1 {
            let middle = start.0.midpoint(start.1);
            match self.said(middle)?.is_some_and(|said| said.at < earlier(span.from)) {
                true => start.0 = middle + 1,
                false => start.1 = middle,
            }
        }
        let begins = start.0;
        let end = convert::folder(Timestamp(span.to.0.saturating_sub(1)));
        let (mut at, mut left) = (begins, here.len());
        let (mut last, mut known) = self.before(begins)?;
        while at < self.numbered.len() {
            match self.said(at)? {
                None => {
                    known = false;
                    let path = self.numbered.get(at).map(|(_, path)| path.as_str());
                    found.unread.push(format!("{}: it is no manifest", path.unwrap_or_default()));
                }
                Some(said) => {
                    // A segment of which nothing could be read has a manifest that names no event.
                    // A manifest that is not here is told by its own number.
                    let next = known && self.is_next(at);
                    if let Some(first) = said.first.filter(|first| next && *first > last + 1) {
                        let gateway = &self.gateway;
                        found.unread.push(format!(
                            "events {} to {} of {gateway} are in no manifest",
                            last + 1,
                            first - 1
                        ));
                    }
                    (last, known) = (said.last, true);
                    self.segment = self.segment.max(said.segment);
                    let is_later = |path: &String| !span.covers_path(path) && **path > *end;
                    if left == 0 && !said.files.is_empty() && said.files.iter().all(is_later) {
                        break;
                    }
                    for (segment, file) in &said.damaged {
                        if file.as_ref().is_none_or(|file| span.covers_path(file)) {
                            let gateway = &self.gateway;
                            found.unread.push(format!(
                                "segment {segment} of {gateway}: part of it was damaged before it \
                                 was archived"
                            ));
                        }
                    }
                    let manifest = self.numbered.get(at).map(|(_, path)| path.clone());
                    let manifest = manifest.unwrap_or_default();
                    for path in said.files.into_iter().filter(|path| span.covers_path(path)) {
                        if is_read_elsewhere(&path) {
                            continue;
                        }
                        if !here.contains_key(&path) {
                            found.unread.push(format!("{path}: it was signed and is not here"));
                        } else if let Entry::Vacant(place) = self.named.entry(path) {
                            place.insert(manifest.clone());
                            left = left.saturating_sub(1);
                        }
                    }
                }
            }
            at = self.next(at, last)?;
            // What is behind is not asked again.
            self.read = self.read.split_off(&at);
        }
        self.check_whole(span, begins, at, found)
    }

    /// Looks for files that are `here` and were not named in manifests from the newest back: where
    /// a clock was set back by more than [`SET_BACK`], an older one says a later time. Segments are
    /// named in order, so what is not signed yet costs little more than a list. A file that none of
    /// the newest [`SEARCHED_MAX`] names is left out as one that no manifest names.
    fn search(&mut self, here: &BTreeMap<String, u64>) -> Result<(), BucketError> {
        let unnamed = here.keys().filter(|path| !self.named.contains_key(*path));
        let mut unnamed: BTreeMap<&str, u64> =
            unnamed.filter_map(|path| Some((path.as_str(), convert::named(path)?.1))).collect();
        let Some(lowest) = unnamed.values().min().copied() else { return Ok(()) };
        let ever = Span { from: Timestamp(0), to: Timestamp(u64::MAX) };
        let mut all = Self::list(self.bucket, &self.gateway, &ever)?;
        for at in (0..all.numbered.len()).rev().take(SEARCHED_MAX) {
            let Some(said) = all.said(at)? else { continue };
            all.read.clear();
            self.segment = self.segment.max(said.segment);
            let manifest = all.numbered.get(at).map(|(_, path)| path.clone()).unwrap_or_default();
            for path in said.files {
                if unnamed.remove(path.as_str()).is_some() {
                    self.named.insert(path, manifest.clone());
                }
            }
            if unnamed.is_empty() || (1..lowest).contains(&said.segment) {
                break;
            }
        }
        Ok(())
    }

    /// Whether the manifest at a place follows the one before it.
    fn is_next(&self, at: usize) -> bool {
        let number = |at: usize| self.numbered.get(at).map(|(number, _)| *number);
        let before = at.checked_sub(1).map_or(Some(0), number);
        before.and_then(|before| before.checked_add(1)) == number(at)
    }

    /// The last event before the manifest at a place, and whether that is known.
    fn before(&mut self, at: usize) -> Result<(u64, bool), BucketError> {
        match at.checked_sub(1) {
            Some(before) => {
                let said = self.said(before)?;
                Ok((said.as_ref().map_or(0, |said| said.last), said.is_some()))
            }
            None => Ok((0, self.numbered.first().is_some_and(|(number, _)| *number == 1))),
        }
    }

    /// The first one after `at` that names events after `last`: a minute in which nothing happened
    /// has a manifest too, and there are many of them.
    fn next(&mut self, at: usize, last: u64) -> Result<usize, BucketError> {
        let (mut low, mut step) = (at, 1);
        let end = self.numbered.len();
        loop {
            let probe = low.saturating_add(step).min(end);
            if probe == end || self.is_after(probe, last)? {
                // `low` is not, `probe` is or there is no such one.
                let mut high = probe;
                while low + 1 < high {
                    let middle = low.midpoint(high);
                    match self.is_after(middle, last)? {
                        true => high = middle,
                        false => low = middle,
                    }
                }
                return Ok(high);
            }
            (low, step) = (probe, step * 2);
        }
    }

    fn is_after(&mut self, at: usize, last: u64) -> Result<bool, BucketError> {
        Ok(self.said(at)?.is_none_or(|said| said.last > last))
    }

    /// Whether none is missing of those from before `begins` up to `end`.
    fn check_whole(
        &mut self,
        span: &Span,
        begins: usize,
        end: usize,
        found: &mut SignedFiles,
    ) -> Result<(), BucketError> {
        let gateway = self.gateway.clone();
        let mut lost = |from: u64, to: u64| {
            found.unread.push(format!("manifests {from} to {to} of {gateway} are not here"));
        };
        let read = self.numbered.get(begins.saturating_sub(1)..).unwrap_or_default();
        let upto = end.saturating_sub(begins.saturating_sub(1)).saturating_add(1);
        for pair in read.iter().take(upto).collect::<Vec<_>>().windows(2) {
            if let [(one, _), (other, _)] = pair
                && *other > one.saturating_add(1)
            {
                lost(one + 1, other - 1);
            }
        }
        let first = self.numbered.first().map_or(1, |(number, _)| *number);
        if first > 1 && begins == 0 {
            let at = self.said(0)?.map(|said| said.at).unwrap_or_default();
            // Who asks for everything means everything that is kept.
            if span.from.0 > 0 && at > span.from {
                let at = format_time(at);
                found.unread.push(format!(
                    "manifests 1 to {} of {gateway} are not here: what is begins at {at}",
                    first - 1
                ));
            }
        }
        Ok(())
    }

    fn said(&mut self, at: usize) -> Result<Option<Said>, BucketError> {
        if let Some(said) = self.read.get(&at) {
            return Ok(said.clone());
        }
        let path = self.numbered.get(at).map(|(_, path)| path.as_str()).unwrap_or_default();
        let text = self.bucket.get(path, MANIFEST_BYTES_MAX as u64)?.unwrap_or_default();
        let said = Manifest::read(&text).ok().and_then(|unproved| {
            let manifest = unproved.manifest;
            let at = manifest.signed_at()?;
            let segment = manifest.segments.iter().map(|of| of.segment).max().unwrap_or(0);
            let damaged = manifest.segments.iter().filter(|of| !of.damage.is_empty());
            let damaged = damaged
                .map(|of| (of.segment, of.files.first().map(|file| file.path.clone())))
                .collect();
            let first = manifest.segments.iter().find(|of| of.rows > 0).map(|of| of.first);
            let files = manifest.segments.into_iter().flat_map(|of| of.files);
            let files = files.map(|file| file.path).collect();
            Some(Said { at, first, last: manifest.last, segment, files, damaged })
        });
        self.read.insert(at, said.clone());
        Ok(said)
    }
}

fn earlier(from: Timestamp) -> Timestamp {
    // Files are chosen by whole hours.
    let hour = from.0 - from.0 % HOUR_NS;
    let margin = u64::try_from(SET_BACK.as_nanos()).unwrap_or(u64::MAX);
    Timestamp(hour.saturating_sub(margin))
}
