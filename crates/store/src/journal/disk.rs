//! The few things a journal asks of a disk, so that tests can fill it, break it and cut it off.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;

use super::room::Room;

/// An open segment (or folder, which can only be synced).
pub(super) trait SegmentFile: Send + Sync {
    /// Writes some of `bytes` at `offset`; how many.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize>;
    /// Cuts the file to `bytes`.
    fn cut(&self, bytes: u64) -> io::Result<()>;
    /// Returns when the disk itself has everything written so far.
    fn sync(&self) -> io::Result<()>;
}

pub(super) trait Disk: Send + Sync {
    /// Makes an empty file, replacing what a crash may have left under that name.
    fn create(&self, path: &Path) -> io::Result<Arc<dyn SegmentFile>>;
    /// Opens a file for appending.
    fn open(&self, path: &Path) -> io::Result<Arc<dyn SegmentFile>>;
    /// Opens a folder, to sync its entries.
    fn folder(&self, path: &Path) -> io::Result<Arc<dyn SegmentFile>>;
    /// How much is free of the disk that a folder is on.
    fn room(&self, folder: &Path) -> io::Result<Room>;
}

impl SegmentFile for File {
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        FileExt::write_at(self, bytes, offset)
    }

    fn cut(&self, bytes: u64) -> io::Result<()> {
        self.set_len(bytes)
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_data()
    }
}

/// The operating system's disk.
pub(super) struct SystemDisk;

impl Disk for SystemDisk {
    fn create(&self, path: &Path) -> io::Result<Arc<dyn SegmentFile>> {
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600);
        Ok(Arc::new(options.open(path)?))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn SegmentFile>> {
        Ok(Arc::new(OpenOptions::new().write(true).open(path)?))
    }

    fn folder(&self, path: &Path) -> io::Result<Arc<dyn SegmentFile>> {
        Ok(Arc::new(File::open(path)?))
    }

    fn room(&self, folder: &Path) -> io::Result<Room> {
        let disk = rustix::fs::statvfs(folder)?;
        let bytes = |blocks: u64| blocks.saturating_mul(disk.f_frsize);
        Ok(match disk.f_blocks {
            // It has no size, or does not say it: a write that does not fit says so.
            0 => Room { free: u64::MAX, total: u64::MAX },
            // Without what is kept for root, whom a user namespace only plays.
            total => Room { free: bytes(disk.f_bavail), total: bytes(total) },
        })
    }
}
