//! Requests and grants in the registry, as JSON documents beside the columns that are searched.
//! Every change is told to the other gateways.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::grant::Grant;
use super::request::{Approval, ApprovalId};
use crate::data_dir::hex;
use crate::registry::{Kind, Row, Tx, Value};
use crate::state::StateError;

/// Writes a request and the grants its answer left.
pub(super) fn save(
    tx: &mut Tx<'_>,
    approval: &Approval,
    grants: &[Grant],
) -> Result<(), StateError> {
    tx.run(
        "INSERT INTO approvals (id, status, requested_at, digest, body) VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT (id) DO UPDATE SET status = excluded.status, body = excluded.body",
        &[
            (&approval.id.0).into(),
            approval.status.as_str().into(),
            approval.requested_at.into(),
            Value::Text(hex(&approval.digest)),
            to_json(approval)?,
        ],
    )?;
    tx.changed(Kind::Approval, &approval.id.0);
    for grant in grants {
        tx.run(
            "INSERT INTO grants (id, expires_at, digest, body) VALUES (?1, ?2, ?3, ?4)",
            &[
                (&grant.id).into(),
                grant.until.into(),
                Value::Text(hex(grant.digest())),
                to_json(grant)?,
            ],
        )?;
        tx.changed(Kind::Grant, &grant.id);
    }
    Ok(())
}

/// Writes what is left of a grant; whether it was there.
pub(super) fn replace_grant(tx: &mut Tx<'_>, grant: &Grant) -> Result<bool, StateError> {
    let sql = "UPDATE grants SET expires_at = ?2, body = ?3 WHERE id = ?1";
    let was = tx.run(sql, &[(&grant.id).into(), grant.until.into(), to_json(grant)?])? == 1;
    tx.changed(Kind::Grant, &grant.id);
    Ok(was)
}

/// Forgets a grant; whether it was there.
pub(super) fn delete_grant(tx: &mut Tx<'_>, id: &str) -> Result<bool, StateError> {
    let was = tx.run("DELETE FROM grants WHERE id = ?1", &[id.into()])? == 1;
    if was {
        tx.changed(Kind::Grant, id);
    }
    Ok(was)
}

pub(super) fn load(tx: &mut Tx<'_>, id: &ApprovalId) -> Result<Option<Approval>, StateError> {
    let sql = "SELECT body FROM approvals WHERE id = ?1";
    tx.rows(sql, &[(&id.0).into()])?.first().map(body).transpose()
}

pub(super) fn load_pending(tx: &mut Tx<'_>) -> Result<Vec<Approval>, StateError> {
    bodies(&tx.rows("SELECT body FROM approvals WHERE status = 'pending'", &[])?)
}

pub(super) fn load_pending_of(
    tx: &mut Tx<'_>,
    digest: &[u8; 32],
) -> Result<Vec<Approval>, StateError> {
    let sql = "SELECT body FROM approvals WHERE status = 'pending' AND digest = ?1";
    bodies(&tx.rows(sql, &[Value::Text(hex(digest))])?)
}

pub(super) fn load_recent(tx: &mut Tx<'_>, limit: usize) -> Result<Vec<Approval>, StateError> {
    let sql = "SELECT body FROM approvals ORDER BY requested_at DESC, id DESC LIMIT ?1";
    bodies(&tx.rows(sql, &[(limit as u64).into()])?)
}

pub(super) fn load_grants(tx: &mut Tx<'_>) -> Result<Vec<Grant>, StateError> {
    bodies(&tx.rows("SELECT body FROM grants", &[])?)
}

pub(super) fn load_grants_of(tx: &mut Tx<'_>, digest: &[u8; 32]) -> Result<Vec<Grant>, StateError> {
    let sql = "SELECT body FROM grants WHERE digest = ?1";
    bodies(&tx.rows(sql, &[Value::Text(hex(digest))])?)
}

pub(super) fn load_grant(tx: &mut Tx<'_>, id: &str) -> Result<Option<Grant>, StateError> {
    let sql = "SELECT body FROM grants WHERE id = ?1";
    tx.rows(sql, &[id.into()])?.first().map(body).transpose()
}

fn bodies<T: DeserializeOwned>(rows: &[Row]) -> Result<Vec<T>, StateError> {
    rows.iter().map(body).collect()
}

fn body<T: DeserializeOwned>(row: &Row) -> Result<T, StateError> {
    serde_json::from_str(row.text(0)?).map_err(|error| StateError::Content(error.to_string()))
}

fn to_json(value: &impl Serialize) -> Result<Value, StateError> {
    let text = serde_json::to_string(value);
    text.map(Value::Text).map_err(|error| StateError::Content(error.to_string()))
}
