//! Reading a gateway's journal in order, over all its segments.

use std::collections::VecDeque;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use model::Event;

use super::frame::{Chain, DATA_START, NUMBER_MAX};
use super::scan::{self, OpenError, Scan, Step};
use super::sealing::{Bodies, BodiesError, JournalKey};
use super::{Damage, JournalError, Position, Record, failed};

/// The records of a journal, in order. An item that is an error names file and place; the next item
/// goes on behind it, so one damaged record hides no other. Ends for good after an error of the
/// operating system.
pub struct Reader {
    folder: PathBuf,
    gateway: String,
    segments: VecDeque<u64>,
    key: Option<JournalKey>,
    scan: Option<(Scan, Bodies)>,
    /// Where to begin in the first segment, and the number of the record there.
    begin: Option<Position>,
    /// Where the journal ends; `None` for one that nobody writes.
    end: Option<End>,
    /// The chain at the end of the segment before, and its number.
    before: Option<(u64, Option<Chain>)>,
    sequence: u64,
}

/// The end of a journal that is being written.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct End {
    pub(crate) segment: u64,
    pub(crate) offset: u64,
}

impl Reader {
    /// Reads the journal of `gateway` in `folder` (`data_dir/journal`) as it is on disk, whether or
    /// not a process is writing it. Of a segment that is sealed and not opened by `key` there is an
    /// error in place of its records.
    pub fn open(
        folder: &Path,
        gateway: &str,
        key: Option<&JournalKey>,
    ) -> Result<Self, JournalError> {
        Self::between(folder, gateway, key, None, None)
    }

    pub(super) fn between(
        folder: &Path,
        gateway: &str,
        key: Option<&JournalKey>,
        begin: Option<Position>,
        end: Option<End>,
    ) -> Result<Self, JournalError> {
        let mut segments: VecDeque<_> = segments(folder, gateway)?.into();
        if let Some(begin) = begin {
            segments.retain(|segment| *segment >= begin.segment);
        }
        if let Some(end) = end {
            segments.retain(|segment| *segment <= end.segment);
        }
        Ok(Self {
            folder: folder.to_owned(),
            gateway: gateway.to_owned(),
            segments,
            key: key.cloned(),
            scan: None,
            begin,
            end,
            before: None,
            sequence: 0,
        })
    }

    fn next_item(&mut self) -> Option<Result<Record, JournalError>> {
        loop {
            let Some((scan, bodies)) = &mut self.scan else {
                let segment = self.segments.pop_front()?;
                if let Some(error) = self.enter(segment) {
                    return Some(Err(error));
                }
                continue;
            };
            let is_last = self.segments.is_empty();
            let path = scan.path.clone();
            let segment = scan.header.segment;
            match scan.step() {
                Ok(Step::Record(found)) => {
                    let position =
                        Position { segment, offset: found.start, sequence: self.sequence };
                    self.sequence += 1;
                    let event = match bodies.event(found.body, found.start) {
                        Ok(event) => event,
                        Err(what) => return Some(Err(damaged(path, found.start, what))),
                    };
                    let (stop, chain) = (found.stop, found.chain);
                    return Some(Ok(Record { position, stop, chain, event }));
                }
                Ok(Step::Damaged { at, what }) => {
                    // How many records were there is unknown; the count goes on as if it were one.
                    if scan.at() != at {
                        self.sequence += 1;
                    }
                    return Some(Err(damaged(path, at, what)));
                }
                // Only where nobody knows the end may a record be unfinished.
                Ok(Step::Torn { at }) if !is_last || self.end.is_some() => {
                    self.leave();
                    return Some(Err(damaged(path, at, "a segment that breaks off")));
                }
                Ok(Step::End | Step::Torn { .. }) => self.leave(),
                Err(error) => {
                    self.scan = None;
                    self.segments.clear();
                    return Some(Err(failed("read", &path)(error)));
                }
            }
        }
    }

    fn leave(&mut self) {
        if let Some((scan, _)) = self.scan.take() {
            self.before = Some((scan.header.segment, scan.chain()));
        }
    }

    /// Opens a segment. An error leaves the reader before the segment after it, or inside this one
    /// if it can be read all the same.
    fn enter(&mut self, segment: u64) -> Option<JournalError> {
        let path = self.folder.join(file_name(&self.gateway, segment));
        let mut scan = match open(&path, &self.gateway, segment) {
            Ok(Some(scan)) => scan,
            // Only of one that nobody knows the end of may the header be unfinished.
            Ok(None) if self.end.is_none() => return None,
            Ok(None) => {
                self.before = Some((segment, None));
                return Some(damaged(path, 0, "a segment without a header"));
            }
            Err(error) => {
                self.before = Some((segment, None));
                return Some(error);
            }
        };
        let bodies = match bodies(&scan, self.key.as_ref()) {
            Ok(bodies) => bodies,
            Err(error) => {
                self.before = Some((segment, None));
                return Some(error);
            }
        };
        self.sequence = scan.header.first_sequence;
        if let Some(begin) = self.begin.take().filter(|begin| begin.segment == segment) {
            scan.limit(begin.offset, u64::MAX);
            if begin.offset > DATA_START as u64 {
                self.sequence = begin.sequence;
            }
        }
        if let Some(end) = self.end.filter(|end| end.segment == segment) {
            scan.limit(0, end.offset);
        }
        let previous = scan.header.previous;
        self.scan = Some((scan, bodies));
        let (number, chain) = self.before.take()?;
        if number + 1 != segment {
            let what = format!("segment {segment} after segment {number}: some are missing");
            return Some(damaged(path, 0, &what));
        }
        if chain.is_some_and(|chain| chain != previous) {
            return Some(damaged(path, 0, "a segment that does not follow the one before"));
        }
        None
    }
}

impl Iterator for Reader {
    type Item = Result<Record, JournalError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_item()
    }
}

impl std::fmt::Debug for Reader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reader").field("gateway", &self.gateway).finish_non_exhaustive()
    }
}

/// Events between two places of one segment.
pub(crate) struct Stretch {
    scan: Scan,
    bodies: Bodies,
}

impl Stretch {
    pub(crate) fn open(
        folder: &Path,
        gateway: &str,
        key: Option<&JournalKey>,
        segment: u64,
        (start, stop): (u64, u64),
    ) -> Result<Self, JournalError> {
        let path = folder.join(file_name(gateway, segment));
        let Some(mut scan) = open(&path, gateway, segment)? else {
            return Err(damaged(path, 0, "a segment without a header"));
        };
        let bodies = bodies(&scan, key)?;
        scan.limit(start, stop);
        Ok(Self { scan, bodies })
    }

    /// The next event, and where it begins.
    pub(crate) fn next(&mut self) -> Option<Result<(u64, Event), JournalError>> {
        let path = self.scan.path.clone();
        match self.scan.step() {
            Ok(Step::Record(found)) => {
                let event = self.bodies.event(found.body, found.start);
                let event = event.map_err(|what| damaged(path, found.start, what));
                Some(event.map(|event| (found.start, event)))
            }
            Ok(Step::Damaged { at, what }) => Some(Err(damaged(path, at, what))),
            Ok(Step::Torn { at }) => Some(Err(damaged(path, at, "a segment that breaks off"))),
            Ok(Step::End) => None,
            Err(error) => Some(Err(failed("read", &path)(error))),
        }
    }
}

/// What reads the bodies of a segment.
fn bodies(scan: &Scan, key: Option<&JournalKey>) -> Result<Bodies, JournalError> {
    Bodies::of(&scan.header, key).map_err(|error| unopened(scan.path.clone(), error))
}

fn unopened(path: PathBuf, error: BodiesError) -> JournalError {
    match error {
        BodiesError::Key(key) => JournalError::Sealed { path, key },
        BodiesError::Cipher(error) => JournalError::Cipher(error.to_string()),
    }
}

/// Fails if a segment of a gateway is sealed and `key` does not open it. One that cannot be read at
/// all is not looked at here.
pub(super) fn check_key(
    folder: &Path,
    gateway: &str,
    key: Option<&JournalKey>,
) -> Result<(), JournalError> {
    for segment in segments(folder, gateway)? {
        let path = folder.join(file_name(gateway, segment));
        if let Ok(header) = scan::header(&path) {
            Bodies::of(&header, key).map_err(|error| unopened(path, error))?;
        }
    }
    Ok(())
}

/// `None`: a segment that holds nothing yet.
pub(super) fn open(path: &Path, gateway: &str, segment: u64) -> Result<Option<Scan>, JournalError> {
    let scan = match Scan::open(path) {
        Ok(scan) => scan,
        Err(OpenError::Unborn) => return Ok(None),
        Err(OpenError::Io(error)) => return Err(failed("open", path)(error)),
        Err(OpenError::Damaged) => {
            return Err(damaged(path.to_owned(), 0, "a segment whose header is damaged, twice"));
        }
        Err(OpenError::Format(found)) => {
            return Err(JournalError::Format { path: path.to_owned(), found });
        }
    };
    if scan.header.gateway != gateway {
        let what = format!("a segment of gateway {:?}", scan.header.gateway);
        return Err(damaged(path.to_owned(), 0, &what));
    }
    if scan.header.segment != segment {
        let what = format!("a segment that says it is number {}", scan.header.segment);
        return Err(damaged(path.to_owned(), 0, &what));
    }
    Ok(Some(scan))
}

pub(super) fn file_name(gateway: &str, segment: u64) -> String {
    format!("{gateway}-{segment:010}.nj")
}

/// The segments of a gateway in a folder, in order.
pub(super) fn segments(folder: &Path, gateway: &str) -> Result<Vec<u64>, JournalError> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed("list", folder)(error)),
    };
    let mut numbers = Vec::new();
    for entry in entries {
        let name = entry.map_err(failed("list", folder))?.file_name();
        let number = name.to_str().and_then(|name| {
            name.strip_prefix(gateway)?.strip_prefix('-')?.strip_suffix(".nj")?.parse().ok()
        });
        // A name that does not read back as itself (`-7.nj`) is not one of ours, nor is one with a
        // number that no segment has.
        let ours = |n: &u64| {
            (1..=NUMBER_MAX).contains(n) && name.to_str() == Some(&file_name(gateway, *n))
        };
        numbers.extend(number.filter(ours));
    }
    numbers.sort_unstable();
    Ok(numbers)
}

pub(super) fn damaged(path: PathBuf, offset: u64, what: &str) -> JournalError {
    JournalError::Damaged(Damage { path, offset, what: what.to_owned() })
}
