//! Following a journal: what the disk has of it since, a little at a time.
//!
//! An event that a power cut may still take back is not read: its number would come again for
//! another, which receivers would take for a repeat.

use std::io;
use std::sync::Arc;

use model::limit::{STREAM_BATCH_BYTES_MAX, STREAM_EVENTS_MAX};
use serde::{Deserialize, Serialize};
use store::journal::{Reader, Record};
use store::{Journal, JournalError, Position};

use crate::item::{Item, Texts};

/// Where the next event is in a gateway's journal.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Place {
    /// The segment.
    pub segment: u64,
    /// Bytes from its beginning.
    pub offset: u64,
    /// The number of the event; 0 is the first.
    pub number: u64,
    /// The event before it: what tells this journal from another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<Mark>,
}

/// One record of a segment, as it was.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Mark {
    /// Where it begins, bytes.
    pub offset: u64,
    /// The first eight bytes of its link in the chain.
    pub link: u64,
}

/// Reads on in a journal that is being written.
pub struct Follower {
    journal: Arc<Journal>,
    gateway: Arc<str>,
    texts: Texts,
    next: Place,
    reader: Option<Reader>,
    /// Numbers below this one were sent by an earlier process: they are not missing.
    sent: u64,
    /// The last damage that was told, so that it is told once.
    told: String,
}

impl Follower {
    /// Begins at `place`.
    #[must_use]
    pub fn new(journal: Arc<Journal>, texts: Texts, place: Place) -> Self {
        let gateway = journal.gateway().into();
        Self { journal, gateway, texts, next: place, reader: None, sent: 0, told: String::new() }
    }

    /// Goes on at `place`, where an earlier process ended. A journal without the event before it is
    /// another one, or was put back from a copy: it is sent from its beginning, and what is new in
    /// it gets numbers that the receiver does not know yet.
    ///
    /// # Errors
    ///
    /// The journal cannot be read, or not go on behind these numbers.
    pub fn resume(journal: Arc<Journal>, texts: Texts, place: Place) -> Result<Self, JournalError> {
        if is_known(&journal, place)? {
            return Ok(Self::new(journal, texts, place));
        }
        journal.advance_past(place.segment, place.number.saturating_sub(1))?;
        tracing::error!(
            number = place.number,
            "the journal is another one than that whose events were sent, or an older copy; it is \
             sent from its beginning, and goes on behind the numbers that were sent"
        );
        let mut follower = Self::new(journal, texts, Place::default());
        follower.sent = place.number;
        Ok(follower)
    }

    /// Behind the last event that there is now.
    ///
    /// # Errors
    ///
    /// The disk does not have it, or it cannot be read.
    pub fn end_of(journal: &Arc<Journal>, texts: Texts) -> Result<Self, JournalError> {
        journal.sync()?;
        let last = journal.last_synced();
        let place =
            Place { segment: last.segment, offset: last.offset, number: last.sequence, last: None };
        let mut follower = Self::new(Arc::clone(journal), texts, place);
        if last.sequence > 0 {
            follower.next = match follower.read()?.next() {
                Some(Ok(record)) => behind(&record),
                Some(Err(error)) if error.can_be_mended() => return Err(error),
                // It is in a segment before the one that was begun behind it.
                Some(Err(_)) | None => Place { number: last.sequence.saturating_add(1), ..place },
            };
        }
        Ok(follower)
    }

    /// Goes back to a place.
    pub fn rewind(&mut self, place: Place) {
        self.reader = None;
        self.next = place;
    }

    /// Where it reads next.
    #[must_use]
    pub fn place(&self) -> Place {
        self.next
    }

    /// Events that it has not read yet.
    #[must_use]
    pub fn behind(&self) -> u64 {
        (self.journal.last().sequence + 1).saturating_sub(self.next.number.max(1))
    }

    /// Whether the disk has an event that it has not read.
    fn has_more(&self) -> bool {
        self.journal.last_synced().sequence >= self.next.number.max(1)
    }

    fn read(&self) -> Result<Reader, JournalError> {
        let Place { segment, offset, number, .. } = self.next;
        self.journal.read_synced_from(Position { segment, offset, sequence: number })
    }

    /// Reads on until there is a batch to send, or no more. [`Self::place`] is behind its last.
    pub(crate) fn fill(&mut self, pending: &mut Vec<Item>) -> Result<(), JournalError> {
        let mut bytes: usize = pending.iter().map(|item| item.json().len()).sum();
        while pending.len() < STREAM_EVENTS_MAX && bytes < STREAM_BATCH_BYTES_MAX {
            let mut reader = match self.reader.take() {
                Some(reader) => reader,
                None if !self.has_more() => return Ok(()),
                None => self.read()?,
            };
            let record = match reader.next() {
                Some(Ok(record)) => record,
                Some(Err(JournalError::Io { source, .. }))
                    if source.kind() == io::ErrorKind::NotFound =>
                {
                    // Archived and deleted while it was read; the next reading finds what is there.
                    return Ok(());
                }
                Some(Err(error)) if error.can_be_mended() => return Err(error),
                Some(Err(error)) => {
                    self.tell(&error);
                    self.reader = Some(reader);
                    continue;
                }
                None => return Ok(()),
            };
            self.reader = Some(reader);
            let number = record.position.sequence;
            let expected = self.next.number.max(self.sent).max(1);
            self.next = behind(&record);
            if number > expected {
                tracing::error!(
                    first = expected,
                    last = number - 1,
                    "events were archived, or damaged, before they could be sent; they are in the \
                     archive"
                );
                pending.push(Item::gap(&self.gateway, expected, number - 1, record.event.at));
            }
            let item = Item::of(&record.event, number, self.texts);
            bytes += item.json().len();
            pending.push(item);
        }
        Ok(())
    }

    fn tell(&mut self, error: &JournalError) {
        let told = error.to_string();
        if told != self.told {
            tracing::error!(error = told, "a part of the journal cannot be sent");
            self.told = told;
        }
    }
}

fn behind(record: &Record) -> Place {
    let Position { segment, offset, sequence } = record.position;
    let last = Some(Mark { offset, link: link(record) });
    Place { segment, offset: record.stop, number: sequence + 1, last }
}

fn link(record: &Record) -> u64 {
    record.chain.iter().take(8).fold(0, |link, byte| link << 8 | u64::from(*byte))
}

/// Whether the journal has the event before `place` as it was sent, or had it once and archived it.
fn is_known(journal: &Journal, place: Place) -> Result<bool, JournalError> {
    let last = journal.last();
    if place.segment > last.segment || place.number > last.sequence.saturating_add(1) {
        return Ok(false);
    }
    let Some(mark) = place.last else { return Ok(true) };
    if !journal.segment_path(place.segment).exists() {
        return Ok(true);
    }
    let sequence = place.number.saturating_sub(1);
    let begin = Position { segment: place.segment, offset: mark.offset, sequence };
    match journal.read_from(begin)?.next() {
        Some(Ok(record)) => {
            Ok(record.position.segment == place.segment && link(&record) == mark.link)
        }
        Some(Err(error)) if error.can_be_mended() => Err(error),
        Some(Err(_)) | None => Ok(false),
    }
}

impl std::fmt::Debug for Follower {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Follower").field("next", &self.next).finish_non_exhaustive()
    }
}
