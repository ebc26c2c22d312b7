//! A store in memory that can be told to misbehave.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use parking_lot::Mutex;

/// What it does with objects whose path begins with a word.
#[derive(Clone, Copy, Debug)]
pub enum Fault {
    /// Writes other bytes than it was given, and says that all is well.
    Alters(&'static str),
    /// Writes nothing, and says that all is well.
    Drops(&'static str),
    /// Refuses to write.
    Refuses(&'static str),
}

#[derive(Debug, Default)]
pub struct Faulty {
    inner: InMemory,
    fault: Mutex<Option<Fault>>,
}

impl Faulty {
    pub fn set(&self, fault: Option<Fault>) {
        *self.fault.lock() = fault;
    }

    async fn write(&self, to: &Path, bytes: PutPayload, how: PutOptions) -> Result<PutResult> {
        let fault = *self.fault.lock();
        let concerns = |prefix: &str| to.as_ref().starts_with(prefix);
        match fault {
            Some(Fault::Alters(prefix)) if concerns(prefix) => {
                let mut other = bytes.iter().flatten().copied().collect::<Vec<u8>>();
                let middle = other.len() / 2;
                other[middle] ^= 1;
                self.inner.put_opts(to, other.into(), how).await
            }
            Some(Fault::Drops(prefix)) if concerns(prefix) => {
                let elsewhere = Path::from(format!("elsewhere/{to}"));
                self.inner.put_opts(&elsewhere, bytes, PutOptions::default()).await
            }
            Some(Fault::Refuses(prefix)) if concerns(prefix) => {
                Err(Error::Generic { store: "faulty", source: "told to".into() })
            }
            _ => self.inner.put_opts(to, bytes, how).await,
        }
    }
}

impl fmt::Display for Faulty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("faulty")
    }
}

type Later<'a, T> = Pin<Box<dyn Future<Output = Result<T>> + Send + 'a>>;

impl ObjectStore for Faulty {
    fn put_opts<'s, 'p, 'a>(
        &'s self,
        to: &'p Path,
        bytes: PutPayload,
        how: PutOptions,
    ) -> Later<'a, PutResult>
    where
        's: 'a,
        'p: 'a,
    {
        Box::pin(self.write(to, bytes, how))
    }

    fn put_multipart_opts<'s, 'p, 'a>(
        &'s self,
        to: &'p Path,
        how: PutMultipartOptions,
    ) -> Later<'a, Box<dyn MultipartUpload>>
    where
        's: 'a,
        'p: 'a,
    {
        self.inner.put_multipart_opts(to, how)
    }

    fn get_opts<'s, 'p, 'a>(&'s self, from: &'p Path, how: GetOptions) -> Later<'a, GetResult>
    where
        's: 'a,
        'p: 'a,
    {
        self.inner.get_opts(from, how)
    }

    fn delete_stream(
        &self,
        paths: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(paths)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let is_here = |found: &Result<ObjectMeta>| {
            !found.as_ref().is_ok_and(|of| of.location.as_ref().starts_with("elsewhere/"))
        };
        let listing = self.inner.list(prefix);
        listing.filter(move |found| std::future::ready(is_here(found))).boxed()
    }

    fn list_with_delimiter<'s, 'p, 'a>(&'s self, prefix: Option<&'p Path>) -> Later<'a, ListResult>
    where
        's: 'a,
        'p: 'a,
    {
        self.inner.list_with_delimiter(prefix)
    }

    fn copy_opts<'s, 'f, 't, 'a>(
        &'s self,
        from: &'f Path,
        to: &'t Path,
        how: CopyOptions,
    ) -> Later<'a, ()>
    where
        's: 'a,
        'f: 'a,
        't: 'a,
    {
        self.inner.copy_opts(from, to, how)
    }
}

/// The store, for those who use it and for who tells it what to do.
pub fn store() -> Arc<Faulty> {
    Arc::default()
}
