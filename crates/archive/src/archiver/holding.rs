//! Legal holds of what is archived while they are in force.

use super::{ArchiveError, Rounds};
use crate::holds;

impl Rounds {
    /// Has what the newest manifest names be on hold where it has to be.
    ///
    /// Holds are read after the manifest was signed: one that is put in force later finds the
    /// manifest. Nothing more is signed until it is done, and a new process does it again, so no
    /// manifest is left out.
    pub(super) fn hold_newest(&mut self) -> Result<(), ArchiveError> {
        if self.held || self.head.number == 0 || !self.bucket.may_lock() {
            return Ok(());
        }
        let holds = holds::in_force(&self.bucket)?;
        if !holds.is_empty() && self.bucket.is_lockable()? == Some(true) {
            let text = self.manifest_text(&self.head.path)?;
            let (manifest, _) = self.own(&self.head.path, &text)?;
            holds::lock_named(&self.bucket, &holds, &self.head.path, &manifest)?;
        }
        self.held = true;
        Ok(())
    }
}
