//! Notes added up, ready to be written in one transaction.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use model::event::Verdict;
use model::operation::Objects;
use model::{OperationId, SessionId, Timestamp};

use super::note::{Note, What};
use crate::usage::{Usage, minute};

/// A stretch of the journal grows over this many bytes of other sessions' events …
const GAP_BYTES_MAX: u64 = 64 * 1024;
/// … but not over a multiple of this place, so that following a session reads little again.
const RANGE_BYTES: u64 = 1024 * 1024;

/// Rows and bytes of replies whose end is not known yet, by session and operation.
pub(super) type OpenReplies = HashMap<SessionId, HashMap<OperationId, (u64, u64)>>;

#[derive(Default)]
pub(super) struct Batch {
    pub(super) sessions: HashMap<SessionId, Delta>,
    pub(super) usage: BTreeMap<(Arc<str>, Arc<str>, u64), Usage>,
}

/// What is new about one session.
#[derive(Default)]
pub(super) struct Delta {
    pub(super) gateway: Arc<str>,
    pub(super) principal: Option<Arc<str>>,
    pub(super) resource: Option<Arc<str>>,
    pub(super) protocol: Option<String>,
    pub(super) client: Option<String>,
    pub(super) application: Option<String>,
    pub(super) token: Option<Arc<str>>,
    pub(super) run: Option<String>,
    pub(super) first_at: Option<Timestamp>,
    pub(super) last_at: Timestamp,
    pub(super) ended: Option<(Timestamp, Box<str>)>,
    pub(super) done: Usage,
    /// Allowed, masked, held, blocked.
    pub(super) decisions: [u64; 4],
    pub(super) sequence: u64,
    pub(super) tables: BTreeMap<Arc<str>, Table>,
    pub(super) detections: BTreeMap<Arc<str>, (u64, u64)>,
    pub(super) ranges: Vec<Range>,
    /// Open replies that changed; `None` is no longer open.
    pub(super) open: BTreeMap<OperationId, Option<(u64, u64)>>,
}

#[derive(Clone, Copy)]
pub(super) struct Table {
    pub(super) reads: u64,
    pub(super) writes: u64,
    pub(super) refused: u64,
    pub(super) first_at: Timestamp,
    pub(super) last_at: Timestamp,
}

/// A stretch of one segment.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Range {
    pub(super) segment: u64,
    pub(super) start: u64,
    pub(super) stop: u64,
    /// The highest event number of the session in it.
    pub(super) sequence: u64,
    /// How many events of the session are in it.
    pub(super) events: u64,
}

impl Range {
    /// Takes in the next stretch, if it is near enough. The outcome depends only on the order of
    /// events, not on how they were batched.
    pub(super) fn absorb(&mut self, next: &Self) -> bool {
        let near = self.segment == next.segment
            && next.start.saturating_sub(self.stop) <= GAP_BYTES_MAX
            && self.start / RANGE_BYTES == next.start / RANGE_BYTES;
        if near {
            self.stop = next.stop;
            self.sequence = self.sequence.max(next.sequence);
            self.events = self.events.saturating_add(next.events);
        }
        near
    }
}

impl Batch {
    pub(super) fn add(&mut self, note: &Note, open: &mut OpenReplies) {
        let delta = self.sessions.entry(note.session.clone()).or_default();
        delta.seen(note);
        let mut done = Usage::default();
        match &note.what {
            What::Started(started) => {
                delta.client = Some(started.client.clone());
                delta.protocol = Some(started.protocol.clone());
                delta.application.clone_from(&started.application);
                delta.token.clone_from(&started.token);
                delta.run.clone_from(&started.run);
            }
            What::Ended { reason } => {
                delta.ended = Some((note.at, reason.clone()));
                for operation in open.remove(&note.session).unwrap_or_default().into_keys() {
                    delta.open.insert(operation, None);
                }
            }
            What::Operation { objects, decision } => {
                done.operations = 1;
                delta.count(*decision);
                delta.touch(objects, *decision, note.at);
            }
            What::Ruling { decision } => delta.count(*decision),
            What::Part { operation, rows, bytes } => {
                (done.rows, done.bytes) = (*rows, *bytes);
                let parts = open.entry(note.session.clone()).or_default();
                let part = parts.entry(*operation).or_default();
                *part = (part.0.saturating_add(*rows), part.1.saturating_add(*bytes));
                delta.open.insert(*operation, Some(*part));
            }
            What::Reply { operation, rows, bytes, detections } => {
                // The end of a reply says the whole sum; its parts were counted as they left.
                let parts = close(open, &note.session, *operation);
                if parts.is_some() {
                    delta.open.insert(*operation, None);
                }
                let (part_rows, part_bytes) = parts.unwrap_or_default();
                done.rows = rows.saturating_sub(part_rows);
                done.bytes = bytes.saturating_sub(part_bytes);
                for found in detections {
                    let sum = delta.detections.entry(Arc::clone(&found.kind)).or_default();
                    sum.0 = sum.0.saturating_add(found.seen);
                    sum.1 = sum.1.saturating_add(found.masked);
                }
            }
            What::Other => {}
        }
        delta.done.add(done);
        if let (Some(principal), Some(resource)) = (&note.principal, &note.resource)
            && done != Usage::default()
        {
            let key = (Arc::clone(principal), Arc::clone(resource), minute(note.at));
            self.usage.entry(key).or_default().add(done);
        }
    }
}

impl Delta {
    fn seen(&mut self, note: &Note) {
        self.gateway = Arc::clone(&note.gateway);
        if note.principal.is_some() {
            self.principal.clone_from(&note.principal);
        }
        if note.resource.is_some() {
            self.resource.clone_from(&note.resource);
        }
        self.first_at = Some(self.first_at.map_or(note.at, |first| first.min(note.at)));
        self.last_at = self.last_at.max(note.at);
        self.sequence = self.sequence.max(note.sequence);
        let range = Range {
            segment: note.segment,
            start: note.start,
            stop: note.stop,
            sequence: note.sequence,
            events: 1,
        };
        if !self.ranges.last_mut().is_some_and(|last| last.absorb(&range)) {
            self.ranges.push(range);
        }
    }

    fn count(&mut self, decision: Verdict) {
        let [allowed, masked, held, blocked] = &mut self.decisions;
        *match decision {
            Verdict::Allow => allowed,
            Verdict::Mask => masked,
            Verdict::Hold => held,
            Verdict::Block => blocked,
        } += 1;
    }

    fn touch(&mut self, objects: &Objects, decision: Verdict, at: Timestamp) {
        let refused = decision == Verdict::Block;
        let named = objects.reads.iter().map(|name| (name, false));
        for (name, write) in named.chain(objects.writes.iter().map(|name| (name, true))) {
            let table = self.tables.entry(Arc::clone(name)).or_insert(Table {
                reads: 0,
                writes: 0,
                refused: 0,
                first_at: at,
                last_at: at,
            });
            *match (refused, write) {
                (true, _) => &mut table.refused,
                (false, true) => &mut table.writes,
                (false, false) => &mut table.reads,
            } += 1;
            table.first_at = table.first_at.min(at);
            table.last_at = table.last_at.max(at);
        }
    }
}

fn close(
    open: &mut OpenReplies,
    session: &SessionId,
    operation: OperationId,
) -> Option<(u64, u64)> {
    let parts = open.get_mut(session)?;
    let sum = parts.remove(&operation);
    if parts.is_empty() {
        open.remove(session);
    }
    sum
}
