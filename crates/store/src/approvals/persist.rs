//! Requests and grants in the registry, as JSON documents beside the columns that are searched.

use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, params};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::grant::Grant;
use super::request::{Approval, ApprovalId};
use crate::state::to_sql;

/// Writes a request and the grants its answer left, all or nothing.
pub(super) fn save(
    db: &mut Connection,
    approval: &Approval,
    grants: &[Grant],
) -> rusqlite::Result<()> {
    let transaction = db.transaction()?;
    transaction.execute(
        "INSERT INTO approvals (id, status, requested_at, body) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT (id) DO UPDATE SET status = excluded.status, body = excluded.body",
        params![
            &*approval.id.0,
            approval.status.as_str(),
            to_sql(approval.requested_at.0),
            to_json(approval)?,
        ],
    )?;
    for grant in grants {
        save_grant(&transaction, grant)?;
    }
    transaction.commit()
}

/// Writes a request whose grants were revoked, and forgets them, all or nothing.
pub(super) fn revoke(
    db: &mut Connection,
    approval: &Approval,
    grants: &[Arc<str>],
) -> rusqlite::Result<()> {
    let transaction = db.transaction()?;
    let sql = "UPDATE approvals SET body = ?2 WHERE id = ?1";
    transaction.execute(sql, params![&*approval.id.0, to_json(approval)?])?;
    for grant in grants {
        delete_grant(&transaction, grant)?;
    }
    transaction.commit()
}

pub(super) fn save_grant(db: &Connection, grant: &Grant) -> rusqlite::Result<()> {
    db.execute(
        "INSERT INTO grants (id, expires_at, body) VALUES (?1, ?2, ?3)
         ON CONFLICT (id) DO UPDATE SET expires_at = excluded.expires_at, body = excluded.body",
        params![&*grant.id, to_sql(grant.until.0), to_json(grant)?],
    )
    .map(|_| ())
}

pub(super) fn delete_grant(db: &Connection, id: &str) -> rusqlite::Result<()> {
    db.execute("DELETE FROM grants WHERE id = ?1", [id]).map(|_| ())
}

pub(super) fn load(db: &mut Connection, id: &ApprovalId) -> rusqlite::Result<Option<Approval>> {
    let sql = "SELECT body FROM approvals WHERE id = ?1";
    let body: Option<String> = db.query_row(sql, [&*id.0], |row| row.get(0)).optional()?;
    body.map(|body| from_json(&body)).transpose()
}

pub(super) fn load_pending(db: &mut Connection) -> rusqlite::Result<Vec<Approval>> {
    let sql = "SELECT body FROM approvals WHERE status = 'pending'";
    db.prepare(sql)?
        .query_map([], |row| row.get::<_, String>(0))?
        .map(|body| body.and_then(|body| from_json(&body)))
        .collect()
}

pub(super) fn load_recent(db: &mut Connection, limit: usize) -> rusqlite::Result<Vec<Approval>> {
    let sql = "SELECT body FROM approvals ORDER BY requested_at DESC, id DESC LIMIT ?1";
    db.prepare(sql)?
        .query_map([to_sql(limit as u64)], |row| row.get::<_, String>(0))?
        .map(|body| body.and_then(|body| from_json(&body)))
        .collect()
}

pub(super) fn load_grants(db: &mut Connection) -> rusqlite::Result<Vec<Grant>> {
    db.prepare("SELECT body FROM grants")?
        .query_map([], |row| row.get::<_, String>(0))?
        .map(|body| body.and_then(|body| from_json(&body)))
        .collect()
}

fn to_json(value: &impl Serialize) -> rusqlite::Result<String> {
    serde_json::to_string(value)
        .map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))
}

fn from_json<T: DeserializeOwned>(body: &str) -> rusqlite::Result<T> {
    serde_json::from_str(body).map_err(|error| {
        rusqlite::Error::FromSqlConversionFailure(0, rusqlite::types::Type::Text, error.into())
    })
}
