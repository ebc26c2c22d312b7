//! A disk that can be full, and can fail to cut, sync or make files.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::super::disk::SegmentFile;
use super::super::room::Room;
use super::*;

/// A file, and how long it is on the disk itself.
type Made = (Arc<dyn SegmentFile>, Arc<AtomicU64>);

/// A disk that can be full, and can fail to cut, sync or make files.
#[derive(Clone, Default)]
pub(super) struct Faults(pub(super) Arc<FaultState>);

#[derive(Default)]
pub(super) struct FaultState {
    /// Bytes that can still be written; counted only while `full_counts`.
    pub(super) room: AtomicU64,
    pub(super) full_counts: AtomicBool,
    pub(super) no_cut: AtomicBool,
    pub(super) no_sync: AtomicBool,
    pub(super) no_create: AtomicBool,
    pub(super) skip_sync: AtomicBool,
    pub(super) syncs: AtomicU64,
    /// What files of this disk were asked to hold, whether or not they did.
    pub(super) attempts: parking_lot::Mutex<Vec<Vec<u8>>>,
    /// What a power cut leaves.
    files: parking_lot::Mutex<Vec<Made>>,
}

impl FaultState {
    fn check(&self, flag: &AtomicBool) -> io::Result<()> {
        if flag.load(Ordering::SeqCst) {
            return Err(io::Error::other("injected"));
        }
        Ok(())
    }
}

impl Faults {
    pub(super) fn fill_after(&self, bytes: u64) {
        self.0.room.store(bytes, Ordering::SeqCst);
        self.0.full_counts.store(true, Ordering::SeqCst);
    }

    /// Takes what was made and not synced from every file.
    pub(super) fn cut_power(&self) {
        for (file, synced) in &*self.0.files.lock() {
            file.cut(synced.load(Ordering::SeqCst)).unwrap();
        }
    }

    pub(super) fn free(&self) {
        self.0.full_counts.store(false, Ordering::SeqCst);
    }
}

struct FaultyFile {
    file: Arc<dyn SegmentFile>,
    faults: Arc<FaultState>,
    length: AtomicU64,
    synced: Arc<AtomicU64>,
}

impl SegmentFile for FaultyFile {
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        self.faults.attempts.lock().push(bytes.to_vec());
        let mut bytes = bytes;
        let counts = self.faults.full_counts.load(Ordering::SeqCst);
        if counts {
            let room = self.faults.room.load(Ordering::SeqCst) as usize;
            if room == 0 {
                return Err(io::ErrorKind::StorageFull.into());
            }
            bytes = &bytes[..bytes.len().min(room)];
        }
        let written = self.file.write_at(bytes, offset)?;
        self.length.fetch_max(offset + written as u64, Ordering::SeqCst);
        if counts {
            self.faults.room.fetch_sub(written as u64, Ordering::SeqCst);
        }
        Ok(written)
    }

    fn cut(&self, bytes: u64) -> io::Result<()> {
        self.faults.check(&self.faults.no_cut)?;
        self.file.cut(bytes)
    }

    fn sync(&self) -> io::Result<()> {
        self.faults.syncs.fetch_add(1, Ordering::SeqCst);
        self.faults.check(&self.faults.no_sync)?;
        self.synced.store(self.length.load(Ordering::SeqCst), Ordering::SeqCst);
        if self.faults.skip_sync.load(Ordering::SeqCst) {
            return Ok(());
        }
        self.file.sync()
    }
}

impl Disk for Faults {
    fn create(&self, path: &Path) -> io::Result<Arc<dyn SegmentFile>> {
        self.0.check(&self.0.no_create)?;
        let file = SystemDisk.create(path)?;
        let synced = Arc::new(AtomicU64::new(0));
        self.0.files.lock().push((Arc::clone(&file), Arc::clone(&synced)));
        let faults = Arc::clone(&self.0);
        Ok(Arc::new(FaultyFile { file, faults, length: AtomicU64::new(0), synced }))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn SegmentFile>> {
        let (file, faults) = (SystemDisk.open(path)?, Arc::clone(&self.0));
        Ok(Arc::new(FaultyFile { file, faults, length: AtomicU64::new(0), synced: Arc::default() }))
    }

    fn folder(&self, path: &Path) -> io::Result<Arc<dyn SegmentFile>> {
        SystemDisk.folder(path)
    }

    fn room(&self, folder: &Path) -> io::Result<Room> {
        SystemDisk.room(folder)
    }
}

pub(super) fn open_faulty(folder: &Kept, options: Options) -> (Journal, Faults) {
    let faults = Faults::default();
    let disk = Box::new(faults.clone());
    let lock = JournalLock::take(folder.path(), GATEWAY).unwrap();
    let (journal, _) = lock.open_on(disk, options, folder.sealing()).unwrap();
    (journal, faults)
}
