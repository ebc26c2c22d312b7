//! Telling the other gateways what was done here, and hearing what was done there.

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use model::Timestamp;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use super::{Inner, Ledger, Usage, WINDOW_MINUTES_MAX, minute};
use crate::id;
use crate::registry::{Kind, Registry, Value};
use crate::state::{Lane, StateError};

/// How often the others are told.
const EVERY: Duration = Duration::from_secs(1);
/// What may wait to be told: past it, what is new counts for the last minute that waits.
const NOTES_MAX: usize = 20_000;

/// What others did, and what they are still to be told.
#[derive(Debug)]
pub(super) struct Others {
    registry: Arc<Registry>,
    pub(super) done: Mutex<Inner>,
    notes: Mutex<Notes>,
}

/// Per principal, resource and minute.
type Notes = HashMap<(Arc<str>, Arc<str>, u64), Usage>;

/// Some work, as it is kept.
#[derive(Deserialize, Serialize)]
struct Line {
    principal: Arc<str>,
    resource: Arc<str>,
    minute: u64,
    operations: u64,
    rows: u64,
    bytes: u64,
}

impl Others {
    pub(super) fn note(&self, principal: &str, resource: &str, done: Usage, minute: u64) {
        let mut notes = self.notes.lock();
        let is_full = notes.len() >= NOTES_MAX;
        let key = (principal.into(), resource.into(), minute);
        if is_full && !notes.contains_key(&key) {
            // Late, or of a neighbour, is safe for a limit; lost is not.
            let same =
                notes.iter_mut().find(|((who, on, _), _)| **who == *principal && **on == *resource);
            if let Some((_, usage)) = same {
                usage.add(done);
                return;
            }
        }
        notes.entry(key).or_default().add(done);
    }

    /// Keeps what was noted, and tells the others.
    fn tell(&self) -> Result<(), StateError> {
        let notes = std::mem::take(&mut *self.notes.lock());
        if notes.is_empty() {
            return Ok(());
        }
        let told = self.keep(&notes);
        if told.is_err() {
            let mut waiting = self.notes.lock();
            for (key, usage) in notes {
                waiting.entry(key).or_default().add(usage);
            }
        }
        told
    }

    fn keep(&self, notes: &Notes) -> Result<(), StateError> {
        let own = self.registry.gateway().map_or("", |gateway| &**gateway);
        let lines: Vec<Line> = notes
            .iter()
            .map(|((principal, resource, minute), usage)| Line {
                principal: Arc::clone(principal),
                resource: Arc::clone(resource),
                minute: *minute,
                operations: usage.operations,
                rows: usage.rows,
                bytes: usage.bytes,
            })
            .collect();
        let body = serde_json::to_string(&lines);
        let body = body.map_err(|error| StateError::Content(error.to_string()))?;
        let batch = id::short_id(&format!("{own}:"), 12);
        let batch = batch.map_err(|error| StateError::Content(error.to_string()))?;
        self.registry.write(Lane::Registry, |tx| {
            for line in &lines {
                tx.run(
                    "INSERT INTO usage AS kept
                        (gateway, principal, resource, minute, operations, rows, bytes)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
                     ON CONFLICT (minute, gateway, principal, resource) DO UPDATE SET
                        operations = kept.operations + excluded.operations,
                        rows = kept.rows + excluded.rows, bytes = kept.bytes + excluded.bytes",
                    &[
                        own.into(),
                        (&line.principal).into(),
                        (&line.resource).into(),
                        line.minute.into(),
                        line.operations.into(),
                        line.rows.into(),
                        line.bytes.into(),
                    ],
                )?;
            }
            let sql = "INSERT INTO usage_batches (id, body) VALUES (?1, ?2)";
            tx.run(sql, &[batch.as_str().into(), Value::Text(body.clone())])?;
            tx.changed(Kind::Usage, &batch);
            Ok(())
        })
    }

    fn add(&self, lines: Vec<Line>, keys_max: usize) {
        let mut done = self.done.lock();
        for line in lines {
            let Line { operations, rows, bytes, .. } = line;
            let usage = Usage { operations, rows, bytes };
            done.add_minute((&line.principal, &line.resource), usage, line.minute, keys_max);
        }
    }
}

impl Ledger {
    /// Counts with the other gateways from now on.
    pub(crate) fn share(
        self: &Arc<Self>,
        registry: Arc<Registry>,
        now: Timestamp,
    ) -> Result<(), StateError> {
        let others = Others { registry, done: Mutex::default(), notes: Mutex::default() };
        if self.shared.set(others).is_err() {
            return Ok(());
        }
        self.heard_all_usage(now)?;
        let weak = Arc::downgrade(self);
        let thread = std::thread::Builder::new().name("narrows-usage".to_owned());
        let started = thread.spawn(move || run(&weak));
        started.map(drop).map_err(|error| {
            StateError::Content(format!("cannot start a thread for the shared state: {error}"))
        })
    }

    /// Another gateway told what was done there.
    pub(crate) fn heard_usage(&self, batch: &str) -> Result<(), StateError> {
        let Some(others) = self.shared.get() else { return Ok(()) };
        if batch.split(':').next() == others.registry.gateway().map(|gateway| &**gateway) {
            return Ok(());
        }
        let sql = "SELECT body FROM usage_batches WHERE id = ?1";
        let rows = others.registry.read(Lane::Reader, |tx| tx.rows(sql, &[batch.into()]))?;
        let Some(row) = rows.first() else { return Ok(()) };
        let lines = serde_json::from_str(row.text(0)?);
        others.add(lines.map_err(|error| StateError::Content(error.to_string()))?, self.keys_max);
        Ok(())
    }

    /// Reads what all others did lately.
    pub(crate) fn heard_all_usage(&self, now: Timestamp) -> Result<(), StateError> {
        let Some(others) = self.shared.get() else { return Ok(()) };
        let own = others.registry.gateway().map_or("", |gateway| &**gateway);
        let oldest = minute(now).saturating_sub(WINDOW_MINUTES_MAX);
        let sql = "SELECT principal, resource, minute, operations, rows, bytes FROM usage
            WHERE gateway <> ?1 AND minute >= ?2 ORDER BY minute";
        let values = [own.into(), oldest.into()];
        let rows = others.registry.read(Lane::Reader, |tx| tx.rows(sql, &values))?;
        let mut lines = Vec::with_capacity(rows.len());
        for row in &rows {
            lines.push(Line {
                principal: row.text(0)?.into(),
                resource: row.text(1)?.into(),
                minute: row.number(2)?,
                operations: row.number(3)?,
                rows: row.number(4)?,
                bytes: row.number(5)?,
            });
        }
        *others.done.lock() = Inner::default();
        others.add(lines, self.keys_max);
        Ok(())
    }
}

fn run(ledger: &Weak<Ledger>) {
    loop {
        std::thread::sleep(EVERY);
        let Some(ledger) = ledger.upgrade() else { return };
        let told = ledger.shared.get().map_or(Ok(()), Others::tell);
        match told {
            // That the database is away is said once, by the feed.
            Err(error) if !error.is_unreachable() => {
                tracing::warn!(%error, "the other gateways are not told what was done here");
            }
            _ => {}
        }
    }
}
