//! All SQL about sign-ins.

use std::sync::Arc;

use model::{Timestamp, TokenId};
use rusqlite::{Connection, OptionalExtension as _, params};

use super::{Fingerprint, KeyKind, Known, Login, LoginKey, Take};
use crate::data_dir::{hex, unhex};
use crate::state::{from_sql, to_sql};

fn to_json(login: &Login) -> rusqlite::Result<String> {
    serde_json::to_string(login)
        .map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))
}

fn broken(column: usize, error: impl Into<String>) -> rusqlite::Error {
    let (kind, error) = (rusqlite::types::Type::Text, error.into());
    rusqlite::Error::FromSqlConversionFailure(column, kind, error.into())
}

pub(super) fn insert(
    db: &mut Connection,
    login: &Login,
    sealed: Option<&str>,
    fingerprint: &Fingerprint,
    key: &LoginKey,
) -> rusqlite::Result<()> {
    let transaction = db.transaction()?;
    transaction.execute(
        "INSERT INTO logins (id, ends_at, asked_at, body, sealed) VALUES (?1, ?2, ?3, ?4, ?5)",
        params![
            &*login.id,
            to_sql(login.ends_at.0),
            to_sql(login.asked_at.0),
            to_json(login)?,
            sealed
        ],
    )?;
    insert_key(&transaction, fingerprint, key)?;
    transaction.commit()
}

pub(super) fn insert_key(
    db: &Connection,
    fingerprint: &Fingerprint,
    key: &LoginKey,
) -> rusqlite::Result<()> {
    db.execute(
        "INSERT INTO login_keys (fingerprint, id, login, kind, label, made_at, seen_at)
            VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        params![
            hex(fingerprint),
            &*key.id.0,
            &*key.login,
            key.kind.as_str(),
            &*key.label,
            to_sql(key.made_at.0),
            to_sql(key.seen_at.0)
        ],
    )
    .map(|_| ())
}

pub(super) fn touch(
    db: &Connection,
    fingerprint: &Fingerprint,
    now: Timestamp,
) -> rusqlite::Result<()> {
    let sql = "UPDATE login_keys SET seen_at = ?2 WHERE fingerprint = ?1 AND seen_at < ?2";
    db.execute(sql, params![hex(fingerprint), to_sql(now.0)]).map(|_| ())
}

pub(super) fn delete_key(db: &Connection, fingerprint: &Fingerprint) -> rusqlite::Result<()> {
    let sql = "DELETE FROM login_keys WHERE fingerprint = ?1";
    db.execute(sql, params![hex(fingerprint)]).map(|_| ())
}

pub(super) fn delete(db: &mut Connection, login: &str) -> rusqlite::Result<()> {
    let transaction = db.transaction()?;
    transaction.execute("DELETE FROM login_keys WHERE login = ?1", params![login])?;
    transaction.execute("DELETE FROM logins WHERE id = ?1", params![login])?;
    transaction.commit()
}

pub(super) fn claim(
    db: &Connection,
    login: &str,
    before: Timestamp,
    now: Timestamp,
) -> rusqlite::Result<bool> {
    let sql = "UPDATE logins SET asked_at = ?3 WHERE id = ?1 AND asked_at = ?2";
    let changed = db.execute(sql, params![login, to_sql(before.0), to_sql(now.0)])?;
    Ok(changed == 1)
}

pub(super) fn update(db: &Connection, login: &Login, sealed: Option<&str>) -> rusqlite::Result<()> {
    let sql = "UPDATE logins SET body = ?2, sealed = COALESCE(?3, sealed) WHERE id = ?1";
    db.execute(sql, params![&*login.id, to_json(login)?, sealed]).map(|_| ())
}

pub(super) fn sealed(db: &Connection, login: &str) -> rusqlite::Result<Option<String>> {
    let sql = "SELECT sealed FROM logins WHERE id = ?1";
    let found: Option<Option<String>> =
        db.query_row(sql, params![login], |row| row.get(0)).optional()?;
    Ok(found.flatten())
}

pub(super) fn load(db: &mut Connection) -> rusqlite::Result<Known> {
    let mut known = Known::default();
    let mut query = db.prepare("SELECT asked_at, body FROM logins")?;
    let mut rows = query.query([])?;
    while let Some(row) = rows.next()? {
        let text: String = row.get(1)?;
        let mut login: Login =
            serde_json::from_str(&text).map_err(|error| broken(1, error.to_string()))?;
        login.asked_at = Timestamp(from_sql(row.get(0)?));
        known.logins.insert(Arc::clone(&login.id), Arc::new(login));
    }
    drop(rows);
    let mut query =
        db.prepare("SELECT fingerprint, id, login, kind, label, made_at, seen_at FROM login_keys")?;
    let mut rows = query.query([])?;
    while let Some(row) = rows.next()? {
        let text: String = row.get(0)?;
        let fingerprint = unhex(&text).and_then(|bytes| bytes.try_into().ok());
        let fingerprint = fingerprint.ok_or_else(|| broken(0, "no keyed hash"))?;
        let kind = match row.get::<_, String>(3)?.as_str() {
            "cookie" => KeyKind::Cookie,
            "token" => KeyKind::Token,
            other => return Err(broken(3, format!("{other:?} is nothing that stands for one"))),
        };
        let key = LoginKey {
            id: TokenId(row.get(1)?),
            login: row.get(2)?,
            kind,
            label: row.get(4)?,
            made_at: Timestamp(from_sql(row.get(5)?)),
            seen_at: Timestamp(from_sql(row.get(6)?)),
        };
        known.insert(fingerprint, key);
    }
    Ok(known)
}

pub(super) fn delete_codes(db: &Connection, now: Timestamp) -> rusqlite::Result<()> {
    let sql = "DELETE FROM login_codes WHERE expires_at <= ?1";
    db.execute(sql, params![to_sql(now.0)]).map(|_| ())
}

pub(super) fn count_codes(db: &Connection) -> rusqlite::Result<usize> {
    let count: i64 = db.query_row("SELECT count(*) FROM login_codes", [], |row| row.get(0))?;
    Ok(usize::try_from(count).unwrap_or(0))
}

pub(super) fn insert_code(
    db: &Connection,
    fingerprint: &Fingerprint,
    said: Option<&str>,
    body: &str,
    expires_at: Timestamp,
) -> rusqlite::Result<()> {
    db.execute(
        "INSERT INTO login_codes (fingerprint, said, expires_at, body) VALUES (?1, ?2, ?3, ?4)",
        params![hex(fingerprint), said, to_sql(expires_at.0), body],
    )
    .map(|_| ())
}

/// By what a code is found.
pub(super) enum By<'a> {
    Code(&'a str),
    Said(&'a str),
}

pub(super) fn find_code(
    db: &mut Connection,
    by: By<'_>,
    take: Take,
    now: Timestamp,
) -> rusqlite::Result<Option<String>> {
    let (column, value) = match by {
        By::Code(code) => ("fingerprint", code),
        By::Said(said) => ("said", said),
    };
    let transaction = db.transaction()?;
    let sql = format!("SELECT body FROM login_codes WHERE {column} = ?1 AND expires_at > ?2");
    let found: Option<String> =
        transaction.query_row(&sql, params![value, to_sql(now.0)], |row| row.get(0)).optional()?;
    if take == Take::Once && found.is_some() {
        let sql = format!("DELETE FROM login_codes WHERE {column} = ?1");
        // Whoever deletes it has it: no other gateway, and nobody else here.
        if transaction.execute(&sql, params![value])? != 1 {
            return Ok(None);
        }
    }
    transaction.commit()?;
    Ok(found)
}

pub(super) fn change_code(
    db: &Connection,
    said: &str,
    (before, body): (&str, &str),
    now: Timestamp,
) -> rusqlite::Result<bool> {
    let sql = "UPDATE login_codes SET body = ?3 WHERE said = ?1 AND body = ?2 AND expires_at > ?4";
    Ok(db.execute(sql, params![said, before, body, to_sql(now.0)])? == 1)
}

pub(super) fn change_by_code(
    db: &Connection,
    fingerprint: &str,
    (before, body): (&str, &str),
    now: Timestamp,
) -> rusqlite::Result<bool> {
    let sql = "UPDATE login_codes SET body = ?3
        WHERE fingerprint = ?1 AND body = ?2 AND expires_at > ?4";
    Ok(db.execute(sql, params![fingerprint, before, body, to_sql(now.0)])? == 1)
}
