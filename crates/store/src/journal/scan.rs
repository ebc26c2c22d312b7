//! Reading one segment, record by record, and telling a torn end from damage.
//!
//! Torn: the file ends inside a record that was being written when the process or the machine
//! stopped. Nothing in it was acknowledged as durable beyond that, and it is cut off. Damage: bytes
//! of a record that once was whole have changed. It is reported, and reading goes on at the next
//! whole record. Never is a record that was whole dropped in silence.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::frame::{Chain, DATA_START, FRAME_BYTES, Form, Frame, Header, HeaderError};

const WINDOW_BYTES: usize = 256 * 1024;
/// Bytes checked at most while looking for the next whole record behind a damaged one.
const SEARCH_BYTES_MAX: u64 = 4 * 1024 * 1024 * 1024;

/// A whole record, borrowed from the scan.
pub(super) struct Found<'a> {
    pub(super) start: u64,
    pub(super) stop: u64,
    pub(super) chain: Chain,
    pub(super) body: &'a [u8],
}

pub(super) enum Step<'a> {
    Record(Found<'a>),
    /// The segment ends after a whole record.
    End,
    /// The segment ends at `at`, inside a record that never was whole.
    Torn {
        at: u64,
    },
    /// Something whole was changed; the next step goes on behind it, if that can be found.
    Damaged {
        at: u64,
        what: &'static str,
    },
}

pub(super) struct Scan {
    pub(super) path: PathBuf,
    pub(super) header: Header,
    file: Window,
    seed: u32,
    form: Form,
    at: u64,
    end: u64,
    /// The chain before the next record; `None` where it cannot be known.
    chain: Option<Chain>,
}

/// Why a segment cannot be read at all.
pub(super) enum OpenError {
    Io(io::Error),
    /// Shorter than a header: it was being made when the process stopped, and holds nothing.
    Unborn,
    Damaged,
    Format(u16),
}

impl From<io::Error> for OpenError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl Scan {
    pub(super) fn open(path: &Path) -> Result<Self, OpenError> {
        let file = File::open(path)?;
        let end = file.metadata()?.len();
        let mut file = Window { file, bytes: Vec::new(), start: 0 };
        let header = header_of(file.read(0, DATA_START)?)?;
        Ok(Self {
            path: path.to_owned(),
            seed: header.seed(),
            form: header.form(),
            chain: Some(header.previous),
            header,
            file,
            at: DATA_START as u64,
            end,
        })
    }

    /// Reads only records that begin at or after `start`, the start of a record, and before `stop`.
    pub(super) fn limit(&mut self, start: u64, stop: u64) {
        if start > self.at {
            self.at = start;
            self.chain = None;
        }
        self.end = self.end.min(stop);
    }

    /// The chain after the last record read, if it is known.
    pub(super) fn chain(&self) -> Option<Chain> {
        self.chain
    }

    pub(super) fn at(&self) -> u64 {
        self.at
    }

    pub(super) fn step(&mut self) -> io::Result<Step<'_>> {
        let start = self.at;
        let left = self.end.saturating_sub(start);
        if left == 0 {
            return Ok(Step::End);
        }
        let Some(frame) = Frame::decode(self.file.read(start, FRAME_BYTES.min(to_usize(left)))?)
        else {
            return self.broken(start, None);
        };
        let length = FRAME_BYTES as u64 + frame.length as u64;
        if !frame.is_plausible(self.form) || length > left {
            return self.broken(start, Some(frame));
        }
        let stop = start + length;
        if !frame.is_whole(self.file.read(start, to_usize(length))?, self.seed) {
            return self.broken(start, Some(frame));
        }
        let record = self.file.read(start, to_usize(length))?;
        let body = record.get(FRAME_BYTES..).unwrap_or_default();
        if self.chain.is_some_and(|previous| !frame.follows(&previous, body)) {
            // Whole in itself, yet not what followed when it was written. Said once; then it is
            // read.
            self.chain = None;
            return Ok(Step::Damaged {
                at: start,
                what: "a record that does not follow the one before",
            });
        }
        self.chain = Some(frame.chain);
        self.at = stop;
        Ok(Step::Record(Found { start, stop, chain: frame.chain, body }))
    }

    /// Decides what it means that no whole record begins at `start`.
    fn broken(&mut self, start: u64, frame: Option<Frame>) -> io::Result<Step<'_>> {
        let left = self.end.saturating_sub(start);
        let rest = self.file.read(start, to_usize(left))?;
        // Space that a file system set aside before a power cut reads as zeros.
        let blank = rest.iter().all(|byte| *byte == 0);
        let next = if blank { None } else { next_whole(rest, self.seed, self.form) };
        let damaged = match (&frame, next) {
            (_, Some(_)) => true,
            _ if blank => false,
            // Too short for a fixed part: nothing says it was ever more.
            (None, None) => false,
            (Some(frame), None) => {
                let unfinished = FRAME_BYTES as u64 + frame.length as u64 > left;
                // A record that ends where the file ends was whole; only its length was changed.
                !(frame.is_plausible(self.form) && unfinished) || frame.is_whole(rest, self.seed)
            }
        };
        if !damaged {
            self.at = self.end;
            return Ok(Step::Torn { at: start });
        }
        self.at = next.map_or(self.end, |next| start + next as u64);
        self.chain = None;
        Ok(Step::Damaged { at: start, what: "a record that is not as it was written" })
    }
}

/// The header of a segment, without the rest.
pub(super) fn header(path: &Path) -> Result<Header, OpenError> {
    let mut bytes = Vec::with_capacity(DATA_START);
    File::open(path)?.take(DATA_START as u64).read_to_end(&mut bytes)?;
    header_of(&bytes)
}

fn header_of(bytes: &[u8]) -> Result<Header, OpenError> {
    if bytes.len() < DATA_START {
        return Err(OpenError::Unborn);
    }
    Header::decode(bytes).map_err(|error| match error {
        HeaderError::Damaged => OpenError::Damaged,
        HeaderError::Format(found) => OpenError::Format(found),
    })
}

/// Where in `bytes`, after the first, the next whole record begins.
fn next_whole(bytes: &[u8], seed: u32, form: Form) -> Option<usize> {
    let mut budget = SEARCH_BYTES_MAX;
    let (landmark, place) = form.landmark();
    let mut from = place + 1;
    while let Some(found) = find(bytes.get(from..)?, landmark) {
        let start = from + found - place;
        let candidate = bytes.get(start..)?;
        from = from + found + 1;
        let frame = Frame::decode(candidate).filter(|frame| frame.is_plausible(form));
        let Some(frame) = frame else { continue };
        let Some(record) = candidate.get(..FRAME_BYTES + frame.length) else { continue };
        budget = budget.checked_sub(record.len() as u64)?;
        if frame.is_whole(record, seed) {
            return Some(start);
        }
    }
    None
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}

fn to_usize(n: u64) -> usize {
    usize::try_from(n).unwrap_or(usize::MAX)
}

/// The part of a file that is in memory.
struct Window {
    file: File,
    bytes: Vec<u8>,
    start: u64,
}

impl Window {
    /// `length` bytes at `at`, or fewer where the file ends.
    fn read(&mut self, at: u64, length: usize) -> io::Result<&[u8]> {
        let have = self.start + self.bytes.len() as u64;
        if at < self.start || at + length as u64 > have {
            self.fill(at, length.max(WINDOW_BYTES))?;
        }
        let from = to_usize(at - self.start);
        let to = from.saturating_add(length).min(self.bytes.len());
        Ok(self.bytes.get(from..to).unwrap_or_default())
    }

    fn fill(&mut self, at: u64, length: usize) -> io::Result<()> {
        // Never more than the file holds, whatever length a damaged record claims.
        let left = to_usize(self.file.metadata()?.len().saturating_sub(at));
        self.start = at;
        self.bytes.clear();
        self.bytes.resize(length.min(left), 0);
        let mut done = 0;
        while let Some(rest) = self.bytes.get_mut(done..).filter(|rest| !rest.is_empty()) {
            match self.file.read_at(rest, at + done as u64) {
                Ok(0) => break,
                Ok(read) => done += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.bytes.truncate(done);
        Ok(())
    }
}
