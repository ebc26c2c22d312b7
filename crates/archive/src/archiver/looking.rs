//! What the store and the journal hold when a process begins, or after a round that failed.

use bytes::Bytes;

use super::{ArchiveError, Rounds};
use crate::bucket::Listed;
use crate::manifest::{self, HexHash, MANIFEST_BYTES_MAX, Manifest, ManifestError};
use crate::merkle::sha256;

impl Rounds {
    /// A journal that is older than its archive (restored from a copy, or lost) would number other
    /// events like those that are archived: it goes on behind them. What it holds below stays.
    pub(super) fn go_ahead(&mut self) -> Result<(), ArchiveError> {
        if self.head.number > 0 && self.journal.advance_past(self.head.segment, self.head.last)? {
            tracing::warn!(
                segment = self.head.segment,
                event = self.head.last,
                "the journal is older than its archive (restored, or partly lost); it goes on \
                 behind what is archived"
            );
        }
        Ok(())
    }

    /// Finds segments that should be in the archive by their number, and are not.
    pub(super) fn find_orphans(&mut self) -> Result<(), ArchiveError> {
        for segment in self.journal.closed_segments()? {
            if segment <= self.head.segment && self.is_kept(segment)?.is_none() {
                self.orphan(segment);
            }
        }
        Ok(())
    }

    pub(super) fn orphan(&mut self, segment: u64) {
        if self.orphans.insert(segment) {
            let path = self.journal.segment_path(segment);
            tracing::error!(
                path = %path.display(),
                "this segment is not the one of its number in the archive; it stays, and is not \
                 archived"
            );
        }
    }

    /// Finds manifests that were written but not remembered.
    pub(super) fn look(&mut self) -> Result<(), ArchiveError> {
        self.meet()?;
        let gateway = self.journal.gateway().to_owned();
        let folder = manifest::folder(&gateway);
        // By number: the folders of days are no order when a clock was set back.
        let head = self.head.number;
        let is_behind = |path: &str| manifest::number_in(path).is_some_and(|of| of > head);
        let mut found = self.bucket.list_if(&folder, is_behind)?;
        found.sort_by_key(|listed| manifest::number_in(&listed.path));
        let all = if head == 0 { found.clone() } else { Vec::new() };
        // Without a memory the newest is believed, if it is ours: those before it are behind it.
        let is_lost = self.head.number == 0;
        if is_lost && found.len() > 1 {
            found.drain(..found.len() - 1);
        }
        for listed in found {
            let text = self.manifest_text(&listed.path)?;
            let (manifest, hash) = self.own(&listed.path, &text)?;
            let follows = manifest.number == self.head.number + 1
                && manifest.previous == self.head.hash
                || self.head.number == 0;
            if !follows {
                let what = format!("does not follow manifest {}", self.head.number);
                return Err(ArchiveError::Foreign { path: listed.path, what });
            }
            tracing::info!(manifest = manifest.number, "found a manifest that was not remembered");
            if is_lost && manifest.segments.is_empty() {
                self.head.segment = self.last_segment(&all, manifest.number)?;
            }
            if let Some(lock) = self.lock() {
                self.bucket.ensure_locked(&listed.path, &lock)?;
            }
            self.remember(&manifest, hash, listed.path)?;
        }
        Ok(())
    }

    /// The newest manifest is where it was written. Else this is another store than that one, or
    /// somebody emptied it: a chain that goes on there could not be verified, and what the journal
    /// was to let go of may be nowhere.
    fn meet(&mut self) -> Result<(), ArchiveError> {
        if self.met || self.head.number == 0 {
            self.met = true;
            return Ok(());
        }
        let path = &self.head.path;
        let text = self.bucket.get(path, MANIFEST_BYTES_MAX as u64)?;
        if text.is_none_or(|text| HexHash(sha256(&text)) != self.head.hash) {
            return Err(ArchiveError::Elsewhere {
                path: path.clone(),
                store: self.bucket.place().to_owned(),
                remembers: self.remembers.clone(),
            });
        }
        self.met = true;
        Ok(())
    }

    /// The last segment that a manifest up to number `number` names.
    fn last_segment(&self, all: &[Listed], number: u64) -> Result<u64, ArchiveError> {
        let mut numbered: Vec<(u64, &Listed)> = all
            .iter()
            .filter_map(|of| Some((manifest::number_in(&of.path)?, of)))
            .filter(|(of, _)| *of <= number)
            .collect();
        numbered.sort_by_key(|(number, _)| std::cmp::Reverse(*number));
        for (_, of) in numbered {
            let text = self.manifest_text(&of.path)?;
            let (manifest, _) = self.own(&of.path, &text)?;
            if let Some(segment) = manifest.segments.iter().map(|of| of.segment).max() {
                return Ok(segment);
            }
        }
        Ok(0)
    }

    pub(super) fn manifest_text(&self, path: &str) -> Result<Bytes, ArchiveError> {
        let text = self.bucket.get(path, MANIFEST_BYTES_MAX as u64)?;
        let what = "cannot be read back (it is not there)".to_owned();
        text.ok_or_else(|| ArchiveError::Foreign { path: path.to_owned(), what })
    }

    /// A manifest that this gateway signed.
    pub(super) fn own(&self, path: &str, text: &[u8]) -> Result<(Manifest, HexHash), ArchiveError> {
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
}
