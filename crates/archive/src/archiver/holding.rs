//! Legal holds of what is archived while they are in force.

use super::{ArchiveError, Rounds};
use crate::holds::{self, HoldError};

impl Rounds {
    /// Has what the newest manifest names be on hold where it has to be.
    ///
    /// Holds are read after the manifest was signed: one that is put in force later finds the
    /// manifest. Nothing more is signed until it is done, and a new process does it again, so no
    /// manifest is left out. An object among them that is no hold does not stop the archive: as
    /// long as it is there, everything new is held.
    pub(super) fn hold_newest(&mut self) -> Result<(), ArchiveError> {
        if self.held || self.head.number == 0 || !self.bucket.may_lock() {
            return Ok(());
        }
        let holds = match holds::in_force(&self.bucket) {
            Err(HoldError::Bucket(error)) => return Err(error.into()),
            Err(error) => {
                tracing::error!(%error, "everything that is archived now is put on legal hold");
                None
            }
            Ok(holds) => Some(holds),
        };
        let reaches = holds.as_ref().is_none_or(|holds| !holds.is_empty());
        if reaches && self.bucket.is_lockable()? == Some(true) {
            let text = self.manifest_text(&self.head.path)?;
            let (manifest, _) = self.own(&self.head.path, &text)?;
            holds::lock_named(&self.bucket, holds.as_deref(), &self.head.path, &manifest)?;
        }
        self.held = true;
        Ok(())
    }
}
