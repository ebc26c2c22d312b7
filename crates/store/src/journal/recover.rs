//! Opening a journal: taking the lock, reading the newest segment, mending its end.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use super::frame::{CHAIN_START, Form};
use super::read::{file_name, open, segments};
use super::scan::Step;
use super::write::{Fresh, Home, Writer};
use super::{Damage, JournalError, Position, Recovery, failed};

/// Takes the lock of a gateway's journal, making the folder if missing.
pub(super) fn lock(folder: &Path, gateway: &str) -> Result<File, JournalError> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .map_err(failed("make the folder", folder))?;
    let path = folder.join(format!("{gateway}.lock"));
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&path)
        .map_err(failed("open", &path))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut owner = String::new();
            let _ = Read::by_ref(&mut file).take(20).read_to_string(&mut owner);
            let known = !owner.is_empty() && owner.bytes().all(|byte| byte.is_ascii_digit());
            let owner = if known { owner } else { "unknown".to_owned() };
            return Err(JournalError::Locked { path, owner });
        }
        Err(TryLockError::Error(error)) => return Err(failed("lock", &path)(error)),
    }
    // Only to make the error above helpful: a full disk must not keep the gateway from starting.
    let _ = file.set_len(0).and_then(|()| write!(file, "{}", std::process::id()));
    Ok(file)
}

/// Reads the newest segment and returns a writer that goes on behind its last whole record.
pub(super) fn recover(home: &Home) -> Result<(Writer, Recovery), JournalError> {
    let Home { disk, folder, gateway, .. } = home;
    let mut numbers = segments(folder, gateway)?;
    let mut recovery = Recovery::default();
    while let Some(newest) = numbers.pop() {
        let path = folder.join(file_name(gateway, newest));
        let scan = match open(&path, gateway, newest) {
            Ok(Some(scan)) => scan,
            Ok(None) => {
                // Its header was never finished, so it never held a record.
                fs::remove_file(&path).map_err(failed("remove the unborn segment", &path))?;
                continue;
            }
            Err(JournalError::Damaged(damage)) => {
                // Nothing in it can be read, not even where its chain began.
                tracing::error!(%damage, "the journal is damaged; a new segment is begun");
                recovery.damage.push(damage);
                let end = fs::metadata(&path).map_err(failed("look at", &path))?.len();
                // Numbers above any it can have used: each record has more than one byte.
                let base = before(folder, gateway, numbers.last().copied())?;
                let next = Next {
                    segment: newest + 1,
                    sequence: base.saturating_add(end),
                    chain: CHAIN_START,
                };
                return Ok((create(home, next)?, recovery));
            }
            Err(error) => return Err(error),
        };
        let (mut writer, recovery) = resume(home, scan, recovery)?;
        // A process that was killed may have left the segment's name unsynced.
        writer.sync_later(disk.folder(folder).map_err(failed("open", folder))?);
        return Ok((writer, recovery));
    }
    let next = Next { segment: 1, sequence: 0, chain: CHAIN_START };
    Ok((create(home, next)?, recovery))
}

struct Next {
    segment: u64,
    /// Of the last record before it.
    sequence: u64,
    chain: [u8; 32],
}

fn create(home: &Home, next: Next) -> Result<Writer, JournalError> {
    let Home { disk, folder, .. } = home;
    let Next { segment, sequence, chain } = next;
    let fresh = home.create_segment(segment, sequence + 1, chain)?;
    let last = Position { segment, offset: 0, sequence };
    let mut writer = Writer::new(fresh, last, chain);
    writer.sync_later(disk.folder(folder).map_err(failed("open", folder))?);
    Ok(writer)
}

fn resume(
    home: &Home,
    mut scan: super::scan::Scan,
    mut recovery: Recovery,
) -> Result<(Writer, Recovery), JournalError> {
    let path = scan.path.clone();
    let segment = scan.header.segment;
    let mut sequence = scan.header.first_sequence.saturating_sub(1);
    let mut chain = scan.header.previous;
    let mut last = 0;
    loop {
        match scan.step().map_err(failed("read", &path))? {
            Step::Record(found) => {
                chain = found.chain;
                last = found.start;
                sequence += 1;
                recovery.records += 1;
            }
            Step::Damaged { at, what } => {
                let damage = Damage { path: path.clone(), offset: at, what: what.to_owned() };
                tracing::error!(%damage, "the journal is damaged; the file is kept as it is");
                recovery.damage.push(damage);
                // Counted as the reader counts it.
                if scan.at() != at {
                    sequence += 1;
                }
            }
            Step::Torn { at } => {
                let bytes = fs::metadata(&path).map_err(failed("look at", &path))?.len() - at;
                recovery.torn = Some((path.clone(), at, bytes));
                break;
            }
            Step::End => break,
        }
    }
    if !recovery.damage.is_empty() {
        let next = Next { segment: segment + 1, sequence, chain };
        return Ok((create(home, next)?, recovery));
    }
    let file = home.disk.open(&path).map_err(failed("open", &path))?;
    let mut end = scan.at();
    if let Some((_, at, bytes)) = recovery.torn {
        tracing::warn!(path = %path.display(), at, bytes, "cut an unfinished record off");
        file.cut(at).map_err(failed("cut the unfinished record off", &path))?;
        end = at;
    }
    let sealer = home.sealer(segment, &scan.header.salt)?;
    if scan.header.form() != sealer.as_ref().map_or(Form::Clear, |_| Form::Sealed) {
        // `recording.encryption` was set or taken out: one segment has one form. The disk has to
        // have both before anything is said of the old one, or a power cut and the old setting
        // would have it written to again.
        file.sync().map_err(failed("sync", &path))?;
        let writer = create(home, Next { segment: segment + 1, sequence, chain })?;
        writer.sync_created().map_err(failed("sync", &home.folder))?;
        return Ok((writer, recovery));
    }
    let fresh = Fresh { file, segment, offset: end, seed: scan.header.seed(), sealer };
    let last = Position { segment, offset: last, sequence };
    Ok((Writer::new(fresh, last, chain), recovery))
}

/// The number of the last record up to and including segment `newest`.
fn before(folder: &Path, gateway: &str, newest: Option<u64>) -> Result<u64, JournalError> {
    let Some(newest) = newest else { return Ok(0) };
    let path = folder.join(file_name(gateway, newest));
    let Ok(Some(mut scan)) = open(&path, gateway, newest) else { return Ok(0) };
    let mut sequence = scan.header.first_sequence.saturating_sub(1);
    loop {
        match scan.step().map_err(failed("read", &path))? {
            Step::Record(_) | Step::Damaged { .. } => sequence += 1,
            Step::Torn { .. } | Step::End => return Ok(sequence),
        }
    }
}
