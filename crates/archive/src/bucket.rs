//! Where recordings are kept: a folder, or a bucket of S3, Google Cloud Storage or Azure.
//!
//! Calls block, and must not be made on a thread of an async runtime. Clouds take their credentials
//! from the environment, as their own tools do (`AWS_…`, `GOOGLE_…`, `AZURE_…`), and failed
//! calls are tried again for up to [`RETRY_FOR`].

mod locks;
mod s3;

use std::fmt;
use std::future::Future;
use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _};
use object_store::Error as Refusal;
use object_store::aws::{AmazonS3Builder, Checksum};
use object_store::azure::MicrosoftAzureBuilder;
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::prefix::PrefixStore;
use object_store::{
    BackoffConfig, ClientOptions, ObjectStore, ObjectStoreExt as _, PutMode, PutMultipartOptions,
    PutOptions, PutPayload, RetryConfig, UpdateVersion, WriteMultipart,
};
use parking_lot::Mutex;

use self::s3::S3;
pub use self::s3::{Lock, LockMode, StoreEncryption};

/// How long a call to a cloud is tried again. What fails for longer is done again in a later round.
pub const RETRY_FOR: Duration = Duration::from_secs(10);
const PAUSE_MAX: Duration = Duration::from_secs(2);
/// How long one attempt may take.
const ATTEMPT: Duration = Duration::from_secs(30);
/// How often a folder that another process has locked is tried.
const LOCK_PAUSE: Duration = Duration::from_millis(20);
const CONNECT: Duration = Duration::from_secs(10);
/// Size past which an object is sent in parts.
const PARTS_FROM: usize = 16 * 1024 * 1024;
/// Objects listed at once: ten years of manifests, one a minute.
const LISTED_MAX: usize = 6_000_000;
const PART_BYTES: usize = 8 * 1024 * 1024;
/// How often a change is begun again because somebody else changed the object meanwhile.
const CHANGES_MAX: usize = 20;
/// Parts under way at once.
const PARTS_MAX: usize = 4;

/// A folder or bucket.
pub struct Bucket {
    objects: Arc<dyn ObjectStore>,
    runtime: Background,
    place: String,
    /// The folder, if it is one: what lies in it may be no link and nothing but plain files.
    folder: Option<PathBuf>,
    /// What goes beyond objects, if it is a bucket of S3.
    s3: Option<S3>,
    /// Held while something in a folder is changed.
    changing: Mutex<()>,
}

/// A runtime that may be dropped anywhere, on a thread of another one too.
struct Background(Option<tokio::runtime::Runtime>);

impl Background {
    fn wait<T>(
        &self,
        work: impl Future<Output = object_store::Result<T>>,
    ) -> object_store::Result<T> {
        match &self.0 {
            Some(runtime) => runtime.block_on(work),
            // Only while it is dropped, when nobody can ask.
            None => Err(object_store::Error::NotImplemented {
                operation: "any".to_owned(),
                implementer: "a store that is closed".to_owned(),
            }),
        }
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

/// An object, as listed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Listed {
    /// Its path, `/` between.
    pub path: String,
    /// Bytes.
    pub bytes: u64,
}

/// What became of an object that must not exist yet.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Put {
    /// It was made.
    Made,
    /// There is one of that name; it was left alone.
    Exists,
}

/// Why a store cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BucketError {
    /// The configuration's mistake: a place that is none.
    #[error("{place:?} is no place for recordings: {why}")]
    Place {
        /// What was written.
        place: String,
        /// What is wrong with it, and what would be right.
        why: String,
    },
    /// The store refused, or cannot be reached.
    #[error("cannot {action} {path} in {place}: {refusal}")]
    Failed {
        /// What was attempted.
        action: &'static str,
        /// On which object.
        path: String,
        /// Where.
        place: String,
        /// What the store said. Its own causes are in its text, so it is none of this error's.
        refusal: Box<Refusal>,
    },
    /// An object cannot be locked there.
    #[error(
        "cannot lock {path} in {place}: the bucket has no object lock, which recording.retention \
         needs. Turn it on (aws s3api put-bucket-versioning and put-object-lock-configuration, \
         ObjectLockEnabled=Enabled, without a default retention), or take recording.retention out"
    )]
    NoLock {
        /// The object.
        path: String,
        /// Where.
        place: String,
    },
    /// An object was written and is not locked, although the store took the request for it.
    #[error(
        "{path} is not locked in {place}, although the store took it: either it knows no object \
         lock, or its answers do not show it (the credentials need s3:GetObjectRetention)"
    )]
    Unlocked {
        /// The object.
        path: String,
        /// Where.
        place: String,
    },
    /// This machine has no thread or descriptor left for it.
    #[error("cannot start what talks to the store: {0}")]
    Runtime(std::io::Error),
}

impl BucketError {
    /// The object was not made, because there is one of its name.
    fn is_there(&self) -> bool {
        let Self::Failed { refusal, .. } = self else { return false };
        matches!(**refusal, Refusal::AlreadyExists { .. } | Refusal::Precondition { .. })
    }

    /// The same, or that the bucket has no object lock, if that is what an S3 server says.
    fn or_no_lock(self) -> Self {
        match self {
            Self::Failed { path, place, refusal, .. }
                // AWS and MinIO write it differently.
                if refusal.to_string().replace(' ', "").contains("ObjectLockConfiguration") =>
            {
                Self::NoLock { path, place }
            }
            other => other,
        }
    }
}

const FORMS: &str =
    "write file:FOLDER, s3://BUCKET/PREFIX, gs://BUCKET/PREFIX or azure://CONTAINER/PREFIX";

/// A place for recordings as written, understood but not opened.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Location {
    /// A folder.
    Folder(PathBuf),
    /// A bucket: scheme, name and what all paths begin with.
    Cloud(Cloud, String, String),
}

/// A kind of cloud store.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Cloud {
    /// S3, or what speaks its protocol.
    S3,
    /// Google Cloud Storage.
    Google,
    /// Azure Blob Storage.
    Azure,
}

impl Location {
    /// Reads a place as configurations write it; folders are relative to `base`.
    pub fn parse(place: &str, base: &FilePath) -> Result<Self, BucketError> {
        let wrong = |why: &str| BucketError::Place { place: place.to_owned(), why: why.to_owned() };
        if let Some(folder) = place.strip_prefix("file:") {
            let folder = folder.strip_prefix("//").unwrap_or(folder);
            return match folder.is_empty() {
                true => Err(wrong(FORMS)),
                false => Ok(Self::Folder(base.join(folder))),
            };
        }
        let (scheme, rest) = place.split_once("://").ok_or_else(|| wrong(FORMS))?;
        let cloud = match scheme {
            "s3" => Cloud::S3,
            "gs" => Cloud::Google,
            "azure" | "az" => Cloud::Azure,
            _ => return Err(wrong(FORMS)),
        };
        let (name, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let is_name = !name.is_empty()
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b));
        if !is_name {
            return Err(wrong("the bucket's name is letters, digits, '-', '.' and '_'"));
        }
        if Path::parse(prefix.trim_matches('/')).is_err() {
            return Err(wrong("what follows the bucket's name cannot begin a path"));
        }
        Ok(Self::Cloud(cloud, name.to_owned(), prefix.trim_matches('/').to_owned()))
    }

    /// The folder, if it is one.
    #[must_use]
    pub fn folder(&self) -> Option<&FilePath> {
        match self {
            Self::Folder(folder) => Some(folder),
            Self::Cloud(..) => None,
        }
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder(folder) => write!(f, "file:{}", folder.display()),
            Self::Cloud(cloud, name, prefix) => {
                let scheme = match cloud {
                    Cloud::S3 => "s3",
                    Cloud::Google => "gs",
                    Cloud::Azure => "azure",
                };
                let slash = if prefix.is_empty() { "" } else { "/" };
                write!(f, "{scheme}://{name}{slash}{prefix}")
            }
        }
    }
}

impl Bucket {
    /// Opens a place. A folder is made if `make` says so; a cloud is not asked yet.
    pub fn open(location: &Location, make: bool) -> Result<Self, BucketError> {
        Self::open_encrypting(location, make, None)
    }

    /// The same, which has the store itself encrypt what is written, if it is S3; another is as it
    /// was set up.
    pub fn open_encrypting(
        location: &Location,
        make: bool,
        encryption: Option<&StoreEncryption>,
    ) -> Result<Self, BucketError> {
        let place = location.to_string();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(BucketError::Runtime)?;
        // From here on it may be dropped on a thread of another runtime.
        let runtime = Background(Some(runtime));
        let failed = |refusal| BucketError::Failed {
            action: "open",
            path: "the store".to_owned(),
            place: place.clone(),
            refusal: Box::new(refusal),
        };
        let backoff = BackoffConfig { max_backoff: PAUSE_MAX, ..BackoffConfig::default() };
        let retry = RetryConfig { backoff, retry_timeout: RETRY_FOR, ..RetryConfig::default() };
        let client = ClientOptions::new().with_timeout(ATTEMPT).with_connect_timeout(CONNECT);
        let prefixed = |objects: Arc<dyn ObjectStore>, prefix: &str| -> Arc<dyn ObjectStore> {
            match prefix {
                "" => objects,
                prefix => Arc::new(PrefixStore::new(objects, prefix)),
            }
        };
        let mut s3 = None;
        let objects: Arc<dyn ObjectStore> = match location {
            Location::Folder(folder) => {
                if make {
                    make_folder(folder).map_err(|error| BucketError::Place {
                        place: place.clone(),
                        why: format!("the folder cannot be made: {error}"),
                    })?;
                }
                Arc::new(LocalFileSystem::new_with_prefix(folder).map_err(failed)?.with_fsync(true))
            }
            Location::Cloud(Cloud::S3, name, prefix) => {
                let client = allow_http(client, "AWS_ALLOW_HTTP");
                let builder = AmazonS3Builder::from_env()
                    .with_bucket_name(name)
                    .with_checksum_algorithm(Checksum::SHA256)
                    .with_retry(retry)
                    .with_client_options(client.clone());
                let builder = match encryption {
                    Some(encryption) => {
                        if let Some(why) = encryption.contradicted(&builder) {
                            return Err(BucketError::Place { place, why });
                        }
                        encryption.set(builder).map_err(failed)?
                    }
                    None => builder,
                };
                let built = S3::build(builder, &client, prefix).map_err(failed)?;
                let objects = built.objects();
                s3 = Some(built);
                prefixed(objects, prefix)
            }
            Location::Cloud(Cloud::Google, name, prefix) => {
                let builder = GoogleCloudStorageBuilder::from_env()
                    .with_bucket_name(name)
                    .with_retry(retry)
                    .with_client_options(client);
                prefixed(Arc::new(builder.build().map_err(failed)?), prefix)
            }
            Location::Cloud(Cloud::Azure, name, prefix) => {
                let builder = MicrosoftAzureBuilder::from_env()
                    .with_container_name(name)
                    .with_retry(retry)
                    .with_client_options(allow_http(client, "AZURE_ALLOW_HTTP"));
                prefixed(Arc::new(builder.build().map_err(failed)?), prefix)
            }
        };
        let folder = location.folder().map(FilePath::to_owned);
        Ok(Self { objects, runtime, place, folder, s3, changing: Mutex::new(()) })
    }

    /// A store that a test made.
    #[cfg(test)]
    pub fn of(objects: Arc<dyn ObjectStore>) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().build().ok();
        let (place, changing) = ("a test".to_owned(), Mutex::new(()));
        Self { objects, runtime: Background(runtime), place, folder: None, s3: None, changing }
    }

    /// Where it is, as written.
    #[must_use]
    pub fn place(&self) -> &str {
        &self.place
    }

    fn wait<T>(
        &self,
        action: &'static str,
        path: &str,
        work: impl Future<Output = object_store::Result<T>>,
    ) -> Result<T, BucketError> {
        self.runtime.wait(work).map_err(|refusal| BucketError::Failed {
            action,
            path: path.to_owned(),
            place: self.place.clone(),
            refusal: Box::new(refusal),
        })
    }

    /// Refuses a path of a folder that leads over a link, out of the folder, or to something that
    /// is no plain file and may never end.
    fn check_plain(&self, path: &str) -> Result<(), BucketError> {
        let Some(folder) = &self.folder else { return Ok(()) };
        let mut at = folder.clone();
        for part in Path::from(path).parts() {
            at.push(part.as_ref());
            let Ok(found) = std::fs::symlink_metadata(&at) else { return Ok(()) };
            if !found.is_dir() && !found.is_file() {
                let what = format!("{} is a link, or no plain file", at.display());
                let refusal = Refusal::Generic { store: "archive", source: what.into() };
                return self.wait("use", path, async { Err(refusal) });
            }
        }
        Ok(())
    }

    /// Writes an object, whole or not at all; replaces one of that name.
    pub fn put(&self, path: &str, bytes: Bytes) -> Result<(), BucketError> {
        self.put_locked(path, bytes, None)
    }

    /// The same; no one changes or deletes the object while the lock lasts. Where objects have
    /// versions, as where they can be locked, one of that name stays behind the new one.
    ///
    /// # Errors
    ///
    /// Also when the store cannot lock it, or does not say that it did.
    pub fn put_locked(
        &self,
        path: &str,
        bytes: Bytes,
        lock: Option<Lock>,
    ) -> Result<(), BucketError> {
        self.write(path, bytes, lock)?;
        lock.map_or(Ok(()), |lock| self.ensure_locked(path, &lock))
    }

    fn write(&self, path: &str, bytes: Bytes, lock: Option<Lock>) -> Result<(), BucketError> {
        self.check_plain(path)?;
        let to = Path::from(path);
        if bytes.len() <= PARTS_FROM {
            let mut options = PutOptions::default();
            lock.map(|lock| options.extensions.insert(lock));
            let put = self.objects.put_opts(&to, PutPayload::from_bytes(bytes), options);
            return self.wait("write", path, put).map(|_| ()).map_err(BucketError::or_no_lock);
        }
        self.wait("write", path, async {
            let mut options = PutMultipartOptions::default();
            lock.map(|lock| options.extensions.insert(lock));
            let upload = self.objects.put_multipart_opts(&to, options).await?;
            let mut upload = WriteMultipart::new_with_chunk_size(upload, PART_BYTES);
            let mut rest = bytes;
            while !rest.is_empty() {
                upload.wait_for_capacity(PARTS_MAX).await?;
                upload.put(rest.split_to(PART_BYTES.min(rest.len())));
            }
            upload.finish().await
        })
        .map(|_| ())
        .map_err(BucketError::or_no_lock)
    }

    /// Writes an object unless there is one of that name.
    pub fn put_new(&self, path: &str, bytes: Bytes) -> Result<Put, BucketError> {
        self.put_new_locked(path, bytes, None)
    }

    /// The same with a lock; see [`Self::put_locked`]. An object that is there stays as it is.
    pub fn put_new_locked(
        &self,
        path: &str,
        bytes: Bytes,
        lock: Option<Lock>,
    ) -> Result<Put, BucketError> {
        let put = self.write_new(path, bytes, lock)?;
        if let (Put::Made, Some(lock)) = (put, lock) {
            self.ensure_locked(path, &lock)?;
        }
        Ok(put)
    }

    fn write_new(&self, path: &str, bytes: Bytes, lock: Option<Lock>) -> Result<Put, BucketError> {
        self.check_plain(path)?;
        if bytes.len() > PARTS_FROM {
            // In parts nothing can be made conditionally; a rival would have to come in between.
            let there = self.wait("look for", path, async {
                match self.objects.head(&Path::from(path)).await {
                    Ok(_) => Ok(true),
                    Err(Refusal::NotFound { .. }) => Ok(false),
                    Err(error) => Err(error),
                }
            })?;
            return match there {
                true => Ok(Put::Exists),
                false => self.write(path, bytes, lock).map(|()| Put::Made),
            };
        }
        let mut options = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
        lock.map(|lock| options.extensions.insert(lock));
        let (to, payload) = (Path::from(path), PutPayload::from_bytes(bytes));
        match self.wait("write", path, self.objects.put_opts(&to, payload, options)) {
            Ok(_) => Ok(Put::Made),
            Err(error) if error.is_there() => Ok(Put::Exists),
            Err(error) => Err(error.or_no_lock()),
        }
    }

    /// Replaces an object of at most `most` bytes by what `change` makes of it; `change` gets
    /// `None` if there is none, and leaves all as it is by `None`. When somebody else writes the
    /// object in between, nothing of theirs is lost: `change` is asked again, about that.
    ///
    /// In a folder that holds for this program, and for others where the file system has locks.
    pub fn change<E: From<BucketError>>(
        &self,
        path: &str,
        most: u64,
        mut change: impl FnMut(Option<&[u8]>) -> Result<Option<Bytes>, E>,
    ) -> Result<(), E> {
        let to = Path::from(path);
        let _alone = match &self.folder {
            Some(folder) => Some((self.changing.lock(), self.lock(folder, path)?)),
            None => None,
        };
        for _ in 0..CHANGES_MAX {
            let there = self.read(path, most)?;
            let Some(bytes) = change(there.as_ref().map(|(bytes, _)| bytes.as_ref()))? else {
                return Ok(());
            };
            let mode = match (there, &self.folder) {
                (None, _) => PutMode::Create,
                (Some(_), Some(_)) => PutMode::Overwrite,
                (Some((_, version)), None) => PutMode::Update(version),
            };
            let options = PutOptions { mode, ..PutOptions::default() };
            let put = self.objects.put_opts(&to, PutPayload::from_bytes(bytes), options);
            match self.wait("change", path, put) {
                Ok(_) => return Ok(()),
                Err(error) if error.is_there() => {}
                Err(error) => return Err(error.into()),
            }
        }
        let what = "others change it again and again".to_owned();
        let refusal = Refusal::Generic { store: "archive", source: what.into() };
        Ok(self.wait("change", path, async { Err(refusal) })?)
    }

    /// Keeps other processes from changing objects of a folder, where its file system can.
    fn lock(&self, folder: &FilePath, path: &str) -> Result<Option<std::fs::File>, BucketError> {
        let Ok(file) = std::fs::File::open(folder) else { return Ok(None) };
        let begun = std::time::Instant::now();
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Some(file)),
                Err(std::fs::TryLockError::Error(_)) => return Ok(None),
                Err(std::fs::TryLockError::WouldBlock) if begun.elapsed() < ATTEMPT => {
                    std::thread::sleep(LOCK_PAUSE);
                }
                Err(std::fs::TryLockError::WouldBlock) => {
                    let what = "another process has had it locked for too long".to_owned();
                    let refusal = Refusal::Generic { store: "archive", source: what.into() };
                    return self.wait("lock the folder of", path, async { Err(refusal) });
                }
            }
        }
    }

    /// Reads an object of at most `most` bytes; `None` if there is none.
    pub fn get(&self, path: &str, most: u64) -> Result<Option<Bytes>, BucketError> {
        Ok(self.read(path, most)?.map(|(bytes, _)| bytes))
    }

    /// The same, with what tells this content from another.
    fn read(&self, path: &str, most: u64) -> Result<Option<(Bytes, UpdateVersion)>, BucketError> {
        self.check_plain(path)?;
        let from = Path::from(path);
        self.wait("read", path, async {
            match self.objects.get(&from).await {
                Ok(found) if found.meta.size > most => {
                    let size = found.meta.size;
                    let what = format!("it has {size} bytes, where at most {most} belong");
                    Err(Refusal::Generic { store: "archive", source: what.into() })
                }
                Ok(found) => {
                    let (e_tag, version) = (found.meta.e_tag.clone(), found.meta.version.clone());
                    let version = UpdateVersion { e_tag, version };
                    Ok(Some((found.bytes().await?, version)))
                }
                Err(Refusal::NotFound { .. }) => Ok(None),
                Err(error) => Err(error),
            }
        })
    }

    /// Reads some bytes of an object.
    pub fn get_range(&self, path: &str, range: std::ops::Range<u64>) -> Result<Bytes, BucketError> {
        self.check_plain(path)?;
        self.wait("read", path, self.objects.get_range(&Path::from(path), range))
    }

    /// Every object whose path begins with `prefix` (whole segments), in the order of their paths.
    pub fn list(&self, prefix: &str) -> Result<Vec<Listed>, BucketError> {
        self.listed(prefix, None, |_| true)
    }

    /// Those of [`Self::list`] whose paths are wanted; the others take no memory.
    pub fn list_if(
        &self,
        prefix: &str,
        is_wanted: impl Fn(&str) -> bool + Send,
    ) -> Result<Vec<Listed>, BucketError> {
        self.listed(prefix, None, is_wanted)
    }

    /// Those of [`Self::list`] whose paths come after `path`.
    pub fn list_after(&self, prefix: &str, path: &str) -> Result<Vec<Listed>, BucketError> {
        self.listed(prefix, Some(path), |_| true)
    }

    fn listed(
        &self,
        prefix: &str,
        after: Option<&str>,
        is_wanted: impl Fn(&str) -> bool + Send,
    ) -> Result<Vec<Listed>, BucketError> {
        let under = Path::from(prefix);
        let listing = match after {
            Some(after) => self.objects.list_with_offset(Some(&under), &Path::from(after)),
            None => self.objects.list(Some(&under)),
        };
        let listing =
            listing.map_ok(|found| Listed { path: found.location.to_string(), bytes: found.size });
        let listing = listing
            .try_filter(|found| std::future::ready(is_wanted(&found.path)))
            .take(LISTED_MAX + 1);
        let mut listed: Vec<Listed> = self.wait("list", prefix, listing.try_collect())?;
        if listed.len() > LISTED_MAX {
            let what = format!("it lists more than {LISTED_MAX} objects");
            let refusal = Refusal::Generic { store: "archive", source: what.into() };
            return self.wait("list", prefix, async { Err(refusal) });
        }
        listed.sort_by(|one, other| one.path.cmp(&other.path));
        Ok(listed)
    }

    /// The folders right under `prefix`, by name.
    pub fn folders(&self, prefix: &str) -> Result<Vec<String>, BucketError> {
        let under = Path::from(prefix);
        let listing = self.objects.list_with_delimiter(Some(&under));
        let found = self.wait("list", prefix, listing)?;
        let names = found.common_prefixes.iter().filter_map(Path::filename);
        let mut names: Vec<String> = names.map(str::to_owned).collect();
        names.sort_unstable();
        Ok(names)
    }

    /// Removes an object, if there is one.
    pub fn remove(&self, path: &str) -> Result<(), BucketError> {
        match self.wait("remove", path, self.objects.delete(&Path::from(path))) {
            Err(BucketError::Failed { refusal, .. })
                if matches!(*refusal, Refusal::NotFound { .. }) =>
            {
                Ok(())
            }
            other => other,
        }
    }
}

/// Only its owner looks inside: recordings hold what clients received.
fn make_folder(folder: &FilePath) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

/// Setting client options drops what the environment said about clear text, so it is asked again.
fn allow_http(client: ClientOptions, variable: &str) -> ClientOptions {
    let allowed = std::env::var(variable).is_ok_and(|value| value == "true" || value == "1");
    client.with_allow_http(allowed)
}

impl fmt::Debug for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bucket").field("place", &self.place).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::made::Folder;

    fn bucket(folder: &Folder) -> Bucket {
        Bucket::open(&Location::Folder(folder.path().to_owned()), true).unwrap()
    }

    #[test]
    fn p8_a_folder_is_not_left_over_links_and_nothing_odd_is_read() {
        let (folder, outside) = (Folder::new(), Folder::new());
        let bucket = bucket(&folder);
        std::fs::write(outside.path().join("secret"), "s").unwrap();
        std::os::unix::fs::symlink(outside.path(), folder.path().join("events")).unwrap();
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(outside.path().join("secret"), link).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(folder.path().join("odd")).unwrap();
        for path in ["events/secret", "link", "odd"] {
            let error = bucket.get(path, 10).unwrap_err();
            assert!(std::error::Error::source(&error).is_none(), "said twice");
            let error = error.to_string();
            assert!(error.contains("is a link, or no plain file"), "{path}: {error}");
            assert!(bucket.put(path, Bytes::from_static(b"x")).is_err(), "{path}");
            assert!(bucket.put_new(path, Bytes::from_static(b"x")).is_err(), "{path}");
        }
        assert_eq!(std::fs::read(outside.path().join("secret")).unwrap(), b"s");
    }

    #[test]
    fn p8_an_object_longer_than_it_should_be_is_not_read() {
        let folder = Folder::new();
        let bucket = bucket(&folder);
        bucket.put("a/b", Bytes::from_static(b"0123456789")).unwrap();
        assert_eq!(bucket.get("a/b", 10).unwrap().unwrap().len(), 10);
        let error = bucket.get("a/b", 9).unwrap_err().to_string();
        assert!(error.contains("a/b"), "{error}");
        assert_eq!(bucket.get("a/c", 9).unwrap(), None);
    }

    #[test]
    fn p5_an_object_that_goes_in_parts_comes_back_whole() {
        let folder = Folder::new();
        let bucket = bucket(&folder);
        let large: Vec<u8> = (0..PARTS_FROM + 12_345).map(|at| (at % 251) as u8).collect();
        bucket.put("large", large.clone().into()).unwrap();
        assert_eq!(bucket.get("large", u64::MAX).unwrap().unwrap(), large);
        assert_eq!(bucket.put_new("large", large.clone().into()).unwrap(), Put::Exists);
        assert_eq!(bucket.put_new("other", large.into()).unwrap(), Put::Made);
    }
}
