//! All SQL about sign-ins.

use std::sync::Arc;

use model::{Timestamp, TokenId};

use super::{Fingerprint, KeyKind, Known, Login, LoginKey, Take};
use crate::data_dir::{hex, unhex};
use crate::registry::{Kind, Row, Tx, Value, opt};
use crate::state::StateError;

fn to_json(login: &Login) -> Result<String, StateError> {
    serde_json::to_string(login)
        .map_err(|error| StateError::Content(format!("a sign-in cannot be written: {error}")))
}

pub(super) fn insert(
    tx: &mut Tx<'_>,
    login: &Login,
    sealed: Option<&str>,
    fingerprint: &Fingerprint,
    key: &LoginKey,
) -> Result<(), StateError> {
    tx.run(
        "INSERT INTO logins (id, ends_at, asked_at, body, sealed) VALUES (?1, ?2, ?3, ?4, ?5)",
        &[
            (&login.id).into(),
            login.ends_at.into(),
            login.asked_at.into(),
            to_json(login)?.into(),
            opt(sealed),
        ],
    )?;
    insert_key(tx, fingerprint, key)
}

/// False where its sign-in has ended.
pub(super) fn is_there(tx: &mut Tx<'_>, login: &str) -> Result<bool, StateError> {
    Ok(!tx.rows("SELECT id FROM logins WHERE id = ?1", &[login.into()])?.is_empty())
}

pub(super) fn insert_key(
    tx: &mut Tx<'_>,
    fingerprint: &Fingerprint,
    key: &LoginKey,
) -> Result<(), StateError> {
    tx.run(
        "INSERT INTO login_keys (fingerprint, id, login, kind, label, made_at, seen_at)
            VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        &[
            hex(fingerprint).into(),
            (&key.id.0).into(),
            (&key.login).into(),
            key.kind.as_str().into(),
            (&key.label).into(),
            key.made_at.into(),
            key.seen_at.into(),
        ],
    )?;
    tx.changed(Kind::Login, &key.login);
    Ok(())
}

pub(super) fn touch(
    tx: &mut Tx<'_>,
    fingerprint: &Fingerprint,
    login: &str,
    now: Timestamp,
) -> Result<(), StateError> {
    let sql = "UPDATE login_keys SET seen_at = ?2 WHERE fingerprint = ?1 AND seen_at < ?2";
    if tx.run(sql, &[hex(fingerprint).into(), now.into()])? > 0 {
        tx.changed(Kind::Login, login);
    }
    Ok(())
}

pub(super) fn delete_key(
    tx: &mut Tx<'_>,
    fingerprint: &Fingerprint,
    login: &str,
) -> Result<(), StateError> {
    let sql = "DELETE FROM login_keys WHERE fingerprint = ?1";
    tx.run(sql, &[hex(fingerprint).into()])?;
    tx.changed(Kind::Login, login);
    Ok(())
}

pub(super) fn delete(tx: &mut Tx<'_>, login: &str) -> Result<(), StateError> {
    tx.run("DELETE FROM login_keys WHERE login = ?1", &[login.into()])?;
    tx.run("DELETE FROM logins WHERE id = ?1", &[login.into()])?;
    tx.changed(Kind::Login, login);
    Ok(())
}

pub(super) fn claim(
    tx: &mut Tx<'_>,
    login: &str,
    before: Timestamp,
    now: Timestamp,
) -> Result<bool, StateError> {
    let sql = "UPDATE logins SET asked_at = ?3 WHERE id = ?1 AND asked_at = ?2";
    let claimed = tx.run(sql, &[login.into(), before.into(), now.into()])? == 1;
    if claimed {
        tx.changed(Kind::Login, login);
    }
    Ok(claimed)
}

/// False where it has ended.
pub(super) fn update(
    tx: &mut Tx<'_>,
    login: &Login,
    sealed: Option<&str>,
) -> Result<bool, StateError> {
    let sql = "UPDATE logins SET body = ?2, sealed = COALESCE(?3, sealed) WHERE id = ?1";
    let values = [(&login.id).into(), to_json(login)?.into(), opt(sealed)];
    let is_there = tx.run(sql, &values)? == 1;
    if is_there {
        tx.changed(Kind::Login, &login.id);
    }
    Ok(is_there)
}

pub(super) fn sealed(tx: &mut Tx<'_>, login: &str) -> Result<Option<String>, StateError> {
    let rows = tx.rows("SELECT sealed FROM logins WHERE id = ?1", &[login.into()])?;
    let sealed = rows.first().map(|row| row.maybe_text(0)).transpose()?;
    Ok(sealed.flatten().map(str::to_owned))
}

pub(super) fn load(tx: &mut Tx<'_>) -> Result<Known, StateError> {
    let logins = tx.rows("SELECT asked_at, body FROM logins", &[])?;
    let keys = tx.rows(
        "SELECT fingerprint, id, login, kind, label, made_at, seen_at FROM login_keys",
        &[],
    )?;
    known(&logins, &keys)
}

/// One sign-in with all that stands for it; nothing where it has ended.
pub(super) fn load_one(tx: &mut Tx<'_>, login: &str) -> Result<Known, StateError> {
    let logins = tx.rows("SELECT asked_at, body FROM logins WHERE id = ?1", &[login.into()])?;
    let keys = tx.rows(
        "SELECT fingerprint, id, login, kind, label, made_at, seen_at FROM login_keys
            WHERE login = ?1",
        &[login.into()],
    )?;
    known(&logins, &keys)
}

fn known(logins: &[Row], keys: &[Row]) -> Result<Known, StateError> {
    let odd = |what: String| StateError::Content(format!("a sign-in cannot be read: {what}"));
    let mut known = Known::default();
    for row in logins {
        let mut login: Login =
            serde_json::from_str(row.text(1)?).map_err(|error| odd(error.to_string()))?;
        login.asked_at = Timestamp(row.number(0)?);
        known.logins.insert(Arc::clone(&login.id), Arc::new(login));
    }
    for row in keys {
        let fingerprint = unhex(row.text(0)?).and_then(|bytes| bytes.try_into().ok());
        let fingerprint = fingerprint.ok_or_else(|| odd("no keyed hash".to_owned()))?;
        let kind = match row.text(3)? {
            "cookie" => KeyKind::Cookie,
            "token" => KeyKind::Token,
            other => return Err(odd(format!("{other:?} is nothing that stands for one"))),
        };
        let key = LoginKey {
            id: TokenId(row.text(1)?.into()),
            login: row.text(2)?.into(),
            kind,
            label: row.text(4)?.into(),
            made_at: Timestamp(row.number(5)?),
            seen_at: Timestamp(row.number(6)?),
        };
        known.insert(fingerprint, key);
    }
    Ok(known)
}

pub(super) fn delete_codes(tx: &mut Tx<'_>, now: Timestamp) -> Result<(), StateError> {
    tx.run("DELETE FROM login_codes WHERE expires_at <= ?1", &[now.into()]).map(|_| ())
}

pub(super) fn count_codes(tx: &mut Tx<'_>) -> Result<usize, StateError> {
    let rows = tx.rows("SELECT count(*) FROM login_codes", &[])?;
    let count = rows.first().map(|row| row.number(0)).transpose()?.unwrap_or(0);
    Ok(usize::try_from(count).unwrap_or(usize::MAX))
}

pub(super) fn insert_code(
    tx: &mut Tx<'_>,
    fingerprint: &Fingerprint,
    said: Option<&str>,
    body: &str,
    expires_at: Timestamp,
) -> Result<(), StateError> {
    tx.run(
        "INSERT INTO login_codes (fingerprint, said, expires_at, body) VALUES (?1, ?2, ?3, ?4)",
        &[hex(fingerprint).into(), opt(said), expires_at.into(), body.into()],
    )
    .map(|_| ())
}

/// By what a code is found.
#[derive(Clone, Copy)]
pub(super) enum By<'a> {
    Code(&'a str),
    Said(&'a str),
}

pub(super) fn find_code(
    tx: &mut Tx<'_>,
    by: By<'_>,
    take: Take,
    now: Timestamp,
) -> Result<Option<String>, StateError> {
    let (find, delete, value) = match by {
        By::Code(code) => (
            "SELECT body FROM login_codes WHERE fingerprint = ?1 AND expires_at > ?2",
            "DELETE FROM login_codes WHERE fingerprint = ?1",
            Value::from(code),
        ),
        By::Said(said) => (
            "SELECT body FROM login_codes WHERE said = ?1 AND expires_at > ?2",
            "DELETE FROM login_codes WHERE said = ?1",
            Value::from(said),
        ),
    };
    let rows = tx.rows(find, &[value.clone(), now.into()])?;
    let Some(row) = rows.first() else { return Ok(None) };
    // Whoever deletes it has it: no other gateway, and nobody else here.
    if take == Take::Once && tx.run(delete, &[value])? != 1 {
        return Ok(None);
    }
    row.text(0).map(|body| Some(body.to_owned()))
}

pub(super) fn change_code(
    tx: &mut Tx<'_>,
    said: &str,
    (before, body): (&str, &str),
    now: Timestamp,
) -> Result<bool, StateError> {
    let sql = "UPDATE login_codes SET body = ?3 WHERE said = ?1 AND body = ?2 AND expires_at > ?4";
    Ok(tx.run(sql, &[said.into(), before.into(), body.into(), now.into()])? == 1)
}

pub(super) fn change_by_code(
    tx: &mut Tx<'_>,
    fingerprint: &str,
    (before, body): (&str, &str),
    now: Timestamp,
) -> Result<bool, StateError> {
    let sql = "UPDATE login_codes SET body = ?3
        WHERE fingerprint = ?1 AND body = ?2 AND expires_at > ?4";
    Ok(tx.run(sql, &[fingerprint.into(), before.into(), body.into(), now.into()])? == 1)
}
