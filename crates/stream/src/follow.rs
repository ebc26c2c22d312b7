//! Following a journal: what was acknowledged since, a little at a time.

use std::io;
use std::sync::Arc;

use model::limit::{STREAM_BATCH_BYTES_MAX, STREAM_EVENTS_MAX};
use serde::{Deserialize, Serialize};
use store::journal::Reader;
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
}

/// Reads on in a journal that is being written.
pub struct Follower {
    journal: Arc<Journal>,
    gateway: Arc<str>,
    texts: Texts,
    next: Place,
    reader: Option<Reader>,
    /// The last damage that was told, so that it is told once.
    told: String,
}

impl Follower {
    /// Begins at `place`.
    #[must_use]
    pub fn new(journal: Arc<Journal>, texts: Texts, place: Place) -> Self {
        let gateway = journal.gateway().into();
        let mut follower =
            Self { journal, gateway, texts, next: place, reader: None, told: String::new() };
        follower.rewind(place);
        follower
    }

    /// Behind the last event that there is now.
    #[must_use]
    pub fn end_of(journal: &Arc<Journal>, texts: Texts) -> Self {
        // The next event is behind the last record, wherever that ends: this follower finds it.
        let last = journal.last();
        let place = Place { segment: last.segment, offset: last.offset, number: last.sequence };
        let mut follower = Self::new(Arc::clone(journal), texts, place);
        if last.sequence > 0 {
            follower.skip_one();
        }
        follower
    }

    /// Goes back (or on) to a place.
    pub fn rewind(&mut self, place: Place) {
        self.reader = None;
        self.next = place;
        if place.number > self.journal.last().sequence.saturating_add(1) {
            tracing::warn!(
                number = place.number,
                "the journal is another one than that whose events were sent; it is sent from its \
                 beginning"
            );
            self.next = Place::default();
        }
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

    fn skip_one(&mut self) {
        let mut reader = match self.read() {
            Ok(reader) => reader,
            Err(_) => return,
        };
        if let Some(Ok(record)) = reader.next() {
            self.next = behind(record.position, record.stop);
        }
    }

    fn read(&self) -> Result<Reader, JournalError> {
        let Place { segment, offset, number } = self.next;
        self.journal.read_from(Position { segment, offset, sequence: number })
    }

    /// Reads on until there is a batch to send, or no more. [`Self::place`] is behind its last.
    pub(crate) fn fill(&mut self, pending: &mut Vec<Item>) -> Result<(), JournalError> {
        let mut bytes: usize = pending.iter().map(|item| item.json().len()).sum();
        while pending.len() < STREAM_EVENTS_MAX && bytes < STREAM_BATCH_BYTES_MAX {
            let mut reader = match self.reader.take() {
                Some(reader) => reader,
                None if self.behind() == 0 => return Ok(()),
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
                Some(Err(error @ JournalError::Io { .. })) => return Err(error),
                Some(Err(error)) => {
                    self.tell(&error);
                    self.reader = Some(reader);
                    continue;
                }
                None => return Ok(()),
            };
            self.reader = Some(reader);
            let number = record.position.sequence;
            let expected = self.next.number.max(1);
            self.next = behind(record.position, record.stop);
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

fn behind(position: Position, stop: u64) -> Place {
    Place { segment: position.segment, offset: stop, number: position.sequence + 1 }
}

impl std::fmt::Debug for Follower {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Follower").field("next", &self.next).finish_non_exhaustive()
    }
}
