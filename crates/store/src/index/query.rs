//! Asking the index.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::sync::Arc;

use model::{DetectionCount, Event, SessionId, Timestamp};
use rusqlite::{Connection, OptionalExtension, Row, params, params_from_iter, types::Value};

use super::{Archived, Bookmark, Index, IndexError};
use crate::journal::{Journal, JournalError, Stretch};
use crate::state::{from_sql, to_sql};
use crate::usage::{Ledger, Usage};

/// Which sessions to list.
#[derive(Clone, Debug, Default)]
pub struct SessionFilter {
    /// Only those with an event at or after this.
    pub since: Option<Timestamp>,
    /// Only those of this subject.
    pub principal: Option<String>,
    /// Only those that named this table: `schema.table`, or `table` in any schema.
    pub table: Option<String>,
    /// Only those of this run: a token's name, the name that its client gave the run, or both with
    /// a slash between them.
    pub run: Option<String>,
    /// Only those whose end is not recorded.
    pub live: bool,
    /// At most so many, the newest; `None` is 100.
    pub limit: Option<usize>,
}

/// How often each decision was made.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, serde::Serialize)]
pub struct Decisions {
    /// Allowed.
    pub allow: u64,
    /// Allowed with masks.
    pub mask: u64,
    /// Held for a person.
    pub hold: u64,
    /// Refused.
    pub block: u64,
}

/// What a session did to one table, as far as its operations named it.
#[derive(Clone, Debug, Eq, PartialEq, serde::Serialize)]
pub struct TableUse {
    /// `schema.table`.
    pub name: String,
    /// Operations that read it.
    pub reads: u64,
    /// Operations that wrote it.
    pub writes: u64,
    /// Operations that would have, and were refused.
    pub refused: u64,
    /// The first time.
    pub first_at: Timestamp,
    /// The last time.
    pub last_at: Timestamp,
}

/// A session as the index knows it.
#[derive(Clone, Debug, Eq, PartialEq, serde::Serialize)]
pub struct SessionSummary {
    /// Its name.
    pub id: SessionId,
    /// The gateway that carried it.
    pub gateway: String,
    /// Subject of its principal.
    pub principal: String,
    /// What it reached.
    pub resource: String,
    /// The protocol spoken.
    pub protocol: String,
    /// Network address of the client.
    pub client: String,
    /// What the client called itself.
    pub application: Option<String>,
    /// The token it was proved with, when it was one of ours.
    pub token: Option<String>,
    /// Which of the token's runs it said it belongs to.
    pub run: Option<String>,
    /// Its first event.
    pub started_at: Timestamp,
    /// Its newest event.
    pub last_at: Timestamp,
    /// Its end, if that is recorded.
    pub ended_at: Option<Timestamp>,
    /// Why it ended: a fixed word.
    pub end_reason: Option<String>,
    /// Operations decided, rows and bytes returned.
    #[serde(flatten)]
    pub done: Usage,
    /// How they were decided. An operation that was held counts again when it is answered.
    pub decisions: Decisions,
    /// Number of its newest event.
    pub sequence: u64,
    /// Tables named; empty in lists.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tables: Vec<TableUse>,
    /// Sensitive values found; empty in lists.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub detections: Vec<DetectionCount>,
}

const COLUMNS: &str = "id, gateway, principal, resource, protocol, client, application, started_at,
    last_at, ended_at, end_reason, operations, rows, bytes, allowed, masked, held, blocked,
    sequence, token, run";
const LIMIT_DEFAULT: usize = 100;

impl Index {
    /// Sessions, newest first.
    pub fn sessions(&self, filter: &SessionFilter) -> Result<Vec<SessionSummary>, IndexError> {
        self.flush()?;
        Ok(self.inner.state.read(|db| sessions(db, filter))?)
    }

    /// How many sessions there are.
    pub fn count(&self) -> Result<u64, IndexError> {
        self.flush()?;
        Ok(self.inner.state.read(count)?)
    }

    /// One session, with tables and detections.
    pub fn session(&self, id: &SessionId) -> Result<Option<SessionSummary>, IndexError> {
        self.flush()?;
        Ok(self.inner.state.read(|db| session(db, id))?)
    }

    /// The events of a session in the order of the journal, read from it as they are asked for. An
    /// item that is an error names a damaged place; the next item goes on behind it.
    pub fn events(&self, id: &SessionId) -> Result<SessionEvents, IndexError> {
        self.events_after(id, Bookmark::default())
    }

    /// The events of a session behind the one at `after`, for following it while it goes on.
    pub fn events_after(
        &self,
        id: &SessionId,
        after: Bookmark,
    ) -> Result<SessionEvents, IndexError> {
        self.flush()?;
        let ranges = self.inner.state.read(|db| ranges(db, id, &after))?;
        let span = self.inner.state.read(|db| span(db, id))?;
        Ok(SessionEvents {
            journal: Arc::clone(&self.inner.journal),
            archive: self.inner.archive.get().cloned(),
            session: id.clone(),
            span,
            after,
            ranges: ranges.into(),
            reading: None,
            archived: None,
        })
    }

    /// Sessions of this gateway whose end is not recorded.
    pub(crate) fn unended(&self) -> Result<Vec<SessionSummary>, IndexError> {
        let filter = SessionFilter { live: true, limit: Some(usize::MAX), ..Default::default() };
        let mut open = self.sessions(&filter)?;
        open.retain(|session| session.gateway == self.inner.journal.gateway());
        Ok(open)
    }

    /// Fills a ledger with what was used since `since`.
    pub(crate) fn load_usage(&self, ledger: &Ledger, since: Timestamp) -> Result<(), IndexError> {
        self.flush()?;
        let since = to_sql(crate::usage::minute(since));
        Ok(self.inner.state.read(|db| load_usage(db, ledger, since))?)
    }
}

/// See [`Index::events`].
pub struct SessionEvents {
    journal: Arc<Journal>,
    archive: Option<Arc<dyn Archived>>,
    session: SessionId,
    span: (Timestamp, Timestamp),
    after: Bookmark,
    ranges: VecDeque<Place>,
    reading: Option<Reading>,
    /// The segment that was last asked of the archive.
    archived: Option<ArchivedSegment>,
}

/// Events of the session in a segment that only the archive has.
struct ArchivedSegment {
    gateway: String,
    segment: u64,
    /// With their offsets in the segment.
    events: Vec<(u64, Event)>,
}

/// A stretch that is being read.
struct Reading {
    place: Place,
    source: Source,
    /// How many events of the session are still to come from it.
    owed: u64,
}

enum Source {
    Journal(Box<Stretch>),
    Archive(VecDeque<(u64, Event)>),
}

impl SessionEvents {
    /// The place of the event given last; before the first, where reading began.
    #[must_use]
    pub fn bookmark(&self) -> &Bookmark {
        &self.after
    }

    fn open(&mut self, place: Place) -> Result<Reading, JournalError> {
        let Place { gateway, segment, start, stop, events: owed } = &place;
        let source = match self.journal.stretch(gateway, *segment, (*start, *stop)) {
            Ok(stretch) => Source::Journal(Box::new(stretch)),
            // The journal lets go of a segment only when the archive has it.
            Err(JournalError::Io { source, .. })
                if source.kind() == io::ErrorKind::NotFound && self.archive.is_some() =>
            {
                Source::Archive(self.fetch(&place)?)
            }
            Err(error) => return Err(error),
        };
        Ok(Reading { owed: *owed, place, source })
    }

    /// Events of a stretch that the journal no longer has.
    fn fetch(&mut self, place: &Place) -> Result<VecDeque<(u64, Event)>, JournalError> {
        let Some(archive) = &self.archive else { return Ok(VecDeque::new()) };
        let (gateway, segment) = (&place.gateway, place.segment);
        let is_here = self
            .archived
            .as_ref()
            .is_some_and(|there| there.gateway == *gateway && there.segment == segment);
        if !is_here {
            let events = archive
                .events(gateway, segment, &self.session, self.span)
                .map_err(JournalError::Archive)?;
            self.archived = Some(ArchivedSegment { gateway: gateway.clone(), segment, events });
        }
        let events = self.archived.iter().flat_map(|there| &there.events);
        Ok(events.filter(|(at, _)| (place.start..place.stop).contains(at)).cloned().collect())
    }
}

impl Source {
    fn next(&mut self) -> Option<Result<(u64, Event), JournalError>> {
        match self {
            Self::Journal(stretch) => stretch.next(),
            Self::Archive(events) => events.pop_front().map(Ok),
        }
    }
}

struct Place {
    gateway: String,
    segment: u64,
    start: u64,
    stop: u64,
    /// How many events of the session the index knows in it.
    events: u64,
}

impl Place {
    fn lacks(self, count: u64) -> JournalError {
        JournalError::Missing { gateway: self.gateway, segment: self.segment, count }
    }
}

impl Bookmark {
    /// Moves on to the event at `start` of a place, if that is behind it.
    fn advance(&mut self, place: &Place, start: u64) -> bool {
        let here = (place.gateway.as_str(), place.segment, start);
        let is_behind = here > (self.gateway.as_str(), self.segment, self.start);
        if is_behind {
            self.gateway.clone_from(&place.gateway);
            (self.segment, self.start) = (place.segment, start);
        }
        is_behind
    }
}

impl Iterator for SessionEvents {
    type Item = Result<Event, JournalError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let Some(mut reading) = self.reading.take() else {
                let place = self.ranges.pop_front()?;
                match self.open(place) {
                    Ok(reading) => self.reading = Some(reading),
                    Err(error) => return Some(Err(error)),
                }
                continue;
            };
            match reading.source.next() {
                None if reading.owed > 0 => return Some(Err(reading.place.lacks(reading.owed))),
                None => {}
                Some(Ok((start, event))) => {
                    // Other sessions' events lie between.
                    let ours = event.session.as_ref() == Some(&self.session);
                    reading.owed = reading.owed.saturating_sub(u64::from(ours));
                    let wanted = ours && self.after.advance(&reading.place, start);
                    self.reading = Some(reading);
                    if wanted {
                        return Some(Ok(event));
                    }
                }
                Some(Err(error)) => {
                    if !matches!(error, JournalError::Io { .. }) {
                        // What is lacking is said with this.
                        reading.owed = 0;
                        self.reading = Some(reading);
                    }
                    return Some(Err(error));
                }
            }
        }
    }
}

impl fmt::Debug for SessionEvents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionEvents").field("session", &self.session).finish_non_exhaustive()
    }
}

fn sessions(db: &mut Connection, filter: &SessionFilter) -> rusqlite::Result<Vec<SessionSummary>> {
    let mut conditions = vec!["1"];
    let mut values = Vec::new();
    if let Some(since) = filter.since {
        conditions.push("last_at >= ?");
        values.push(Value::Integer(to_sql(since.0)));
    }
    if let Some(principal) = &filter.principal {
        conditions.push("principal = ?");
        values.push(Value::Text(principal.clone()));
    }
    if let Some(table) = &filter.table {
        // Without LIKE: a table's name may hold any character.
        conditions.push(
            "EXISTS (SELECT 1 FROM session_tables WHERE session = id
             AND (name = ? OR substr(name, -length(?)) = ?))",
        );
        let suffix = format!(".{table}");
        values.push(Value::Text(table.clone()));
        values.extend([Value::Text(suffix.clone()), Value::Text(suffix)]);
    }
    if let Some(run) = &filter.run {
        match run.split_once('/') {
            Some((token, run)) => {
                conditions.push("token = ? AND run = ?");
                values.extend([token, run].map(|text| Value::Text(text.to_owned())));
            }
            None => {
                conditions.push("(token = ? OR run = ?)");
                values.extend([run, run].map(|text| Value::Text(text.clone())));
            }
        }
    }
    if filter.live {
        conditions.push("ended_at IS NULL");
    }
    let sql = format!(
        "SELECT {COLUMNS} FROM sessions WHERE {} ORDER BY started_at DESC, id DESC LIMIT ?",
        conditions.join(" AND ")
    );
    values.push(Value::Integer(to_sql(filter.limit.unwrap_or(LIMIT_DEFAULT) as u64)));
    db.prepare_cached(&sql)?.query_map(params_from_iter(values), summary)?.collect()
}

pub(super) fn count(db: &mut Connection) -> rusqlite::Result<u64> {
    db.query_row("SELECT count(*) FROM sessions", [], |row| Ok(from_sql(row.get(0)?)))
}

fn session(db: &mut Connection, id: &SessionId) -> rusqlite::Result<Option<SessionSummary>> {
    let transaction = db.transaction()?;
    let sql = format!("SELECT {COLUMNS} FROM sessions WHERE id = ?1");
    let found = transaction.prepare_cached(&sql)?.query_row([&*id.0], summary).optional()?;
    let Some(mut found) = found else { return Ok(None) };
    found.tables = transaction
        .prepare_cached(
            "SELECT name, reads, writes, refused, first_at, last_at FROM session_tables
             WHERE session = ?1 ORDER BY name",
        )?
        .query_map([&*id.0], |row| {
            Ok(TableUse {
                name: row.get(0)?,
                reads: number(row, 1)?,
                writes: number(row, 2)?,
                refused: number(row, 3)?,
                first_at: Timestamp(number(row, 4)?),
                last_at: Timestamp(number(row, 5)?),
            })
        })?
        .collect::<Result<_, _>>()?;
    found.detections = transaction
        .prepare_cached(
            "SELECT kind, seen, masked FROM session_detections WHERE session = ?1 ORDER BY kind",
        )?
        .query_map([&*id.0], |row| {
            Ok(DetectionCount { kind: row.get(0)?, seen: number(row, 1)?, masked: number(row, 2)? })
        })?
        .collect::<Result<_, _>>()?;
    Ok(Some(found))
}

fn summary(row: &Row<'_>) -> rusqlite::Result<SessionSummary> {
    Ok(SessionSummary {
        id: SessionId(row.get(0)?),
        gateway: row.get(1)?,
        principal: row.get(2)?,
        resource: row.get(3)?,
        protocol: row.get(4)?,
        client: row.get(5)?,
        application: row.get(6)?,
        started_at: Timestamp(number(row, 7)?),
        last_at: Timestamp(number(row, 8)?),
        ended_at: row.get::<_, Option<i64>>(9)?.map(|at| Timestamp(from_sql(at))),
        end_reason: row.get(10)?,
        done: Usage {
            operations: number(row, 11)?,
            rows: number(row, 12)?,
            bytes: number(row, 13)?,
        },
        decisions: Decisions {
            allow: number(row, 14)?,
            mask: number(row, 15)?,
            hold: number(row, 16)?,
            block: number(row, 17)?,
        },
        sequence: number(row, 18)?,
        token: row.get(19)?,
        run: row.get(20)?,
        tables: Vec::new(),
        detections: Vec::new(),
    })
}

fn ranges(db: &mut Connection, id: &SessionId, after: &Bookmark) -> rusqlite::Result<Vec<Place>> {
    let Bookmark { gateway, segment, start } = after;
    db.prepare_cached(
        "SELECT gateway, segment, start, stop, events FROM session_ranges
         WHERE session = ?1 AND (gateway, segment, stop) > (?2, ?3, ?4)
         ORDER BY gateway, segment, start",
    )?
    .query_map(params![&*id.0, gateway, to_sql(*segment), to_sql(*start)], |row| {
        Ok(Place {
            gateway: row.get(0)?,
            segment: number(row, 1)?,
            start: number(row, 2)?,
            stop: number(row, 3)?,
            events: number(row, 4)?,
        })
    })?
    .collect()
}

fn span(db: &mut Connection, id: &SessionId) -> rusqlite::Result<(Timestamp, Timestamp)> {
    let sql = "SELECT started_at, last_at FROM sessions WHERE id = ?1";
    let mut query = db.prepare_cached(sql)?;
    let span = query
        .query_row([&*id.0], |row| Ok((Timestamp(number(row, 0)?), Timestamp(number(row, 1)?))));
    Ok(span.optional()?.unwrap_or_default())
}

fn load_usage(db: &mut Connection, ledger: &Ledger, since: i64) -> rusqlite::Result<()> {
    let mut query = db.prepare(
        "SELECT principal, resource, minute, operations, rows, bytes FROM usage
         WHERE minute >= ?1 ORDER BY minute",
    )?;
    let mut rows = query.query([since])?;
    while let Some(row) = rows.next()? {
        let done =
            Usage { operations: number(row, 3)?, rows: number(row, 4)?, bytes: number(row, 5)? };
        let (principal, resource): (String, String) = (row.get(0)?, row.get(1)?);
        ledger.add_minute(&principal, &resource, done, number(row, 2)?);
    }
    Ok(())
}

fn number(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    row.get(column).map(from_sql)
}
