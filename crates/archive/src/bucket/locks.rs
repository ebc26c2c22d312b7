//! Keeping objects from being changed or deleted, and forgetting versions that should not stay.

use futures_util::{StreamExt as _, TryStreamExt as _};
use object_store::Error as Refusal;

use super::s3::S3;
use super::{Bucket, BucketError, Lock};

/// Legal holds under way at once.
const HOLDS_MAX: usize = 8;

impl Bucket {
    /// Has an object be locked as `lock` says, or longer.
    ///
    /// # Errors
    ///
    /// When it is not, and the store cannot lock it, or does not say that it did.
    pub fn ensure_locked(&self, path: &str, lock: &Lock) -> Result<(), BucketError> {
        let s3 = self.s3("lock", path)?;
        let is_locked = || self.wait("look at the lock of", path, s3.is_locked(path, lock));
        if is_locked()? {
            return Ok(());
        }
        // A server that has never heard of locks might take what locks for the object itself.
        self.check_lockable(s3, path)?;
        self.wait("lock", path, s3.lock(path, lock)).map_err(BucketError::or_no_lock)?;
        match is_locked()? {
            true => Ok(()),
            false => {
                let (path, place) = (path.to_owned(), self.place.clone());
                Err(BucketError::Unlocked { path, place })
            }
        }
    }

    fn check_lockable(&self, s3: &S3, path: &str) -> Result<(), BucketError> {
        match self.wait("ask for object lock, to lock", path, s3.is_lockable())? {
            true => Ok(()),
            false => {
                let (path, place) = (path.to_owned(), self.place.clone());
                Err(BucketError::NoLock { path, place })
            }
        }
    }

    fn s3(&self, action: &'static str, path: &str) -> Result<&S3, BucketError> {
        self.s3.as_ref().ok_or_else(|| BucketError::Failed {
            action,
            path: path.to_owned(),
            place: self.place.clone(),
            refusal: Box::new(Refusal::NotImplemented {
                operation: action.to_owned(),
                implementer: "a store that is not S3".to_owned(),
            }),
        })
    }

    /// Whether it is of a kind that can lock objects: S3.
    #[must_use]
    pub fn may_lock(&self) -> bool {
        self.s3.is_some()
    }

    /// Whether objects here can be locked; `None` for one that is not S3.
    ///
    /// # Errors
    ///
    /// The bucket does not say.
    pub fn is_lockable(&self) -> Result<Option<bool>, BucketError> {
        let Some(s3) = &self.s3 else { return Ok(None) };
        self.wait("ask for object lock of", "the bucket", s3.is_lockable()).map(Some)
    }

    /// Sets the legal hold of objects, or lifts it. Only of a store that [`Self::is_lockable`]:
    /// another might take it for the objects themselves.
    ///
    /// # Errors
    ///
    /// One of them could not be; which others were is not known.
    pub fn hold(&self, paths: &[String], is_on: bool) -> Result<(), BucketError> {
        let Some(first) = paths.first() else { return Ok(()) };
        let s3 = self.s3("hold", first)?;
        let action = if is_on { "set the legal hold of" } else { "lift the legal hold of" };
        let done = self.runtime.wait(async {
            let each = futures_util::stream::iter(paths)
                .map(|path| async move { Ok((path, s3.hold(path, is_on).await)) });
            let each = each.buffer_unordered(HOLDS_MAX);
            each.try_fold(None, |failed, (path, held)| async move {
                Ok(failed.or_else(|| held.err().map(|refusal| (path, refusal))))
            })
            .await
        });
        let failed = match done {
            Ok(failed) => failed,
            Err(refusal) => Some((first, refusal)),
        };
        failed.map_or(Ok(()), |(path, refusal)| {
            let (path, place, refusal) = (path.clone(), self.place.clone(), Box::new(refusal));
            Err(BucketError::Failed { action, path, place, refusal })
        })
    }

    /// Deletes versions of an object that are not its newest, where the store keeps some and says
    /// which; how many there were.
    ///
    /// # Errors
    ///
    /// They cannot be listed or deleted.
    pub fn forget_former(&self, path: &str) -> Result<usize, BucketError> {
        let Some(s3) = &self.s3 else { return Ok(0) };
        self.wait("delete former versions of", path, s3.forget_former(path))
    }
}
