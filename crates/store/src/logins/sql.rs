//! All SQL about sign-ins.

use std::sync::Arc;

use model::{Timestamp, TokenId};

use super::known::Known;
use super::{Fingerprint, KeyKind, Login, LoginKey};
use crate::data_dir::{hex, unhex};
use crate::registry::{Kind, Row, Tx, opt};
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

/// Until the end of this piece of work no other gateway ends that sign-in, or adds to it.
pub(super) fn take_turn(tx: &mut Tx<'_>, login: &str) -> Result<(), StateError> {
    tx.turn(format!("login {login}").as_bytes())
}

pub(super) fn delete(tx: &mut Tx<'_>, login: &str) -> Result<(), StateError> {
    take_turn(tx, login)?;
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
