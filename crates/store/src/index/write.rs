//! Writing a batch to the state database, and reading back what the writer itself needs.

use rusqlite::{Connection, OptionalExtension, Transaction, params};

use model::{OperationId, SessionId};

use super::batch::{Batch, Delta, OpenReplies, Range};
use super::{INDEX_TABLES, Indexed};
use crate::journal::Position;
use crate::state::{from_sql, to_sql};

const SESSION: &str = "
INSERT INTO sessions (id, gateway, principal, resource, protocol, client, application, started_at,
    last_at, ended_at, end_reason, operations, rows, bytes, allowed, masked, held, blocked,
    sequence, token, run)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20,
    ?21)
ON CONFLICT (id) DO UPDATE SET
    gateway = excluded.gateway,
    principal = iif(excluded.principal = '', principal, excluded.principal),
    resource = iif(excluded.resource = '', resource, excluded.resource),
    protocol = iif(excluded.protocol = '', protocol, excluded.protocol),
    client = iif(excluded.client = '', client, excluded.client),
    application = coalesce(excluded.application, application),
    started_at = min(started_at, excluded.started_at),
    last_at = max(last_at, excluded.last_at),
    ended_at = coalesce(excluded.ended_at, ended_at),
    end_reason = coalesce(excluded.end_reason, end_reason),
    operations = operations + excluded.operations,
    rows = rows + excluded.rows,
    bytes = bytes + excluded.bytes,
    allowed = allowed + excluded.allowed,
    masked = masked + excluded.masked,
    held = held + excluded.held,
    blocked = blocked + excluded.blocked,
    sequence = max(sequence, excluded.sequence),
    token = coalesce(excluded.token, token),
    run = coalesce(excluded.run, run)";

const TABLE: &str = "
INSERT INTO session_tables (session, name, reads, writes, refused, first_at, last_at)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
ON CONFLICT (session, name) DO UPDATE SET
    reads = reads + excluded.reads,
    writes = writes + excluded.writes,
    refused = refused + excluded.refused,
    first_at = min(first_at, excluded.first_at),
    last_at = max(last_at, excluded.last_at)";

const DETECTION: &str = "
INSERT INTO session_detections (session, kind, seen, masked) VALUES (?1, ?2, ?3, ?4)
ON CONFLICT (session, kind) DO UPDATE SET
    seen = seen + excluded.seen, masked = masked + excluded.masked";

const LAST_RANGE: &str = "
SELECT segment, start, stop, sequence, events FROM session_ranges
WHERE session = ?1 AND gateway = ?2 ORDER BY segment DESC, start DESC LIMIT 1";

const RANGE: &str = "
INSERT INTO session_ranges (session, gateway, segment, start, stop, sequence, events)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
ON CONFLICT (session, gateway, segment, start) DO UPDATE SET
    stop = excluded.stop, sequence = excluded.sequence, events = excluded.events";

const OPEN: &str = "
INSERT INTO open_replies (session, operation, rows, bytes) VALUES (?1, ?2, ?3, ?4)
ON CONFLICT (session, operation) DO UPDATE SET rows = excluded.rows, bytes = excluded.bytes";

const USAGE: &str = "
INSERT INTO usage (principal, resource, minute, operations, rows, bytes)
VALUES (?1, ?2, ?3, ?4, ?5, ?6)
ON CONFLICT (minute, principal, resource) DO UPDATE SET
    operations = operations + excluded.operations,
    rows = rows + excluded.rows,
    bytes = bytes + excluded.bytes";

const INDEXED: &str = "
INSERT INTO indexed (gateway, segment, start, sequence, chain) VALUES (?1, ?2, ?3, ?4, ?5)
ON CONFLICT (gateway) DO UPDATE SET segment = excluded.segment, start = excluded.start,
    sequence = excluded.sequence, chain = excluded.chain";

/// Writes a batch and how far it reaches, all or nothing.
pub(super) fn write(
    db: &mut Connection,
    gateway: &str,
    batch: &Batch,
    indexed: Indexed,
) -> rusqlite::Result<()> {
    let transaction = db.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    write_batch(&transaction, batch)?;
    let Position { segment, offset, sequence } = indexed.position;
    transaction.prepare_cached(INDEXED)?.execute(params![
        gateway,
        to_sql(segment),
        to_sql(offset),
        to_sql(sequence),
        indexed.chain,
    ])?;
    transaction.commit()
}

/// Writes a batch that was read from the archive, all or nothing.
pub(super) fn write_archived(db: &mut Connection, batch: &Batch) -> rusqlite::Result<()> {
    let transaction = db.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    write_batch(&transaction, batch)?;
    transaction.commit()
}

fn write_batch(transaction: &Transaction<'_>, batch: &Batch) -> rusqlite::Result<()> {
    for (id, delta) in &batch.sessions {
        write_session(transaction, id, delta)?;
        write_details(transaction, id, delta)?;
        write_ranges(transaction, id, delta)?;
    }
    let mut usage = transaction.prepare_cached(USAGE)?;
    for ((principal, resource, minute), done) in &batch.usage {
        usage.execute(params![
            &**principal,
            &**resource,
            to_sql(*minute),
            to_sql(done.operations),
            to_sql(done.rows),
            to_sql(done.bytes),
        ])?;
    }
    Ok(())
}

fn write_session(db: &Transaction<'_>, id: &SessionId, delta: &Delta) -> rusqlite::Result<()> {
    let [allowed, masked, held, blocked] = delta.decisions.map(to_sql);
    db.prepare_cached(SESSION)?
        .execute(params![
            &*id.0,
            &*delta.gateway,
            delta.principal.as_deref().unwrap_or_default(),
            delta.resource.as_deref().unwrap_or_default(),
            delta.protocol.as_deref().unwrap_or_default(),
            delta.client.as_deref().unwrap_or_default(),
            delta.application,
            to_sql(delta.first_at.unwrap_or(delta.last_at).0),
            to_sql(delta.last_at.0),
            delta.ended.as_ref().map(|(at, _)| to_sql(at.0)),
            delta.ended.as_ref().map(|(_, reason)| &**reason),
            to_sql(delta.done.operations),
            to_sql(delta.done.rows),
            to_sql(delta.done.bytes),
            allowed,
            masked,
            held,
            blocked,
            to_sql(delta.sequence),
            delta.token.as_deref(),
            delta.run,
        ])
        .map(|_| ())
}

fn write_details(db: &Transaction<'_>, id: &SessionId, delta: &Delta) -> rusqlite::Result<()> {
    let mut tables = db.prepare_cached(TABLE)?;
    for (name, table) in &delta.tables {
        tables.execute(params![
            &*id.0,
            &**name,
            to_sql(table.reads),
            to_sql(table.writes),
            to_sql(table.refused),
            to_sql(table.first_at.0),
            to_sql(table.last_at.0),
        ])?;
    }
    let mut detections = db.prepare_cached(DETECTION)?;
    for (kind, (seen, masked)) in &delta.detections {
        detections.execute(params![&*id.0, &**kind, to_sql(*seen), to_sql(*masked)])?;
    }
    let mut open = db.prepare_cached(OPEN)?;
    let sql = "DELETE FROM open_replies WHERE session = ?1 AND operation = ?2";
    let mut closed = db.prepare_cached(sql)?;
    for (operation, parts) in &delta.open {
        let operation = to_sql(operation.0);
        match parts {
            Some((rows, bytes)) => {
                open.execute(params![&*id.0, operation, to_sql(*rows), to_sql(*bytes)])?
            }
            None => closed.execute(params![&*id.0, operation])?,
        };
    }
    Ok(())
}

fn write_ranges(db: &Transaction<'_>, id: &SessionId, delta: &Delta) -> rusqlite::Result<()> {
    let mut last: Option<Range> = db
        .prepare_cached(LAST_RANGE)?
        .query_row(params![&*id.0, &*delta.gateway], |row| {
            Ok(Range {
                segment: from_sql(row.get(0)?),
                start: from_sql(row.get(1)?),
                stop: from_sql(row.get(2)?),
                sequence: from_sql(row.get(3)?),
                events: from_sql(row.get(4)?),
            })
        })
        .optional()?;
    let mut insert = db.prepare_cached(RANGE)?;
    let mut save = |range: &Range| {
        insert.execute(params![
            &*id.0,
            &*delta.gateway,
            to_sql(range.segment),
            to_sql(range.start),
            to_sql(range.stop),
            to_sql(range.sequence),
            to_sql(range.events),
        ])
    };
    for range in &delta.ranges {
        if last.as_mut().is_some_and(|last| last.absorb(range)) {
            continue;
        }
        if let Some(done) = last.replace(*range) {
            save(&done)?;
        }
    }
    if let Some(last) = last {
        save(&last)?;
    }
    Ok(())
}

/// The last record of a gateway that is in the database.
pub(super) fn indexed(db: &mut Connection, gateway: &str) -> rusqlite::Result<Option<Indexed>> {
    let sql = "SELECT segment, start, sequence, chain FROM indexed WHERE gateway = ?1";
    db.query_row(sql, [gateway], |row| {
        let position = Position {
            segment: from_sql(row.get(0)?),
            offset: from_sql(row.get(1)?),
            sequence: from_sql(row.get(2)?),
        };
        Ok(Indexed { position, chain: row.get(3)? })
    })
    .optional()
}

pub(super) fn open_replies(db: &mut Connection) -> rusqlite::Result<OpenReplies> {
    let mut open = OpenReplies::new();
    let mut query = db.prepare("SELECT session, operation, rows, bytes FROM open_replies")?;
    let mut rows = query.query([])?;
    while let Some(row) = rows.next()? {
        let session = open.entry(SessionId(row.get(0)?)).or_default();
        let parts = (from_sql(row.get(2)?), from_sql(row.get(3)?));
        session.insert(OperationId(from_sql(row.get(1)?)), parts);
    }
    Ok(open)
}

/// Empties the index; the registry stays.
pub(super) fn clear(db: &mut Connection) -> rusqlite::Result<()> {
    let transaction = db.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    for table in INDEX_TABLES {
        transaction.execute(&format!("DELETE FROM {table}"), [])?;
    }
    transaction.commit()
}
