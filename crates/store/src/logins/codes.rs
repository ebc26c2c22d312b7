//! What is good once and for a while: codes on the way to a token, answers of identity providers
//! that wait for their browser, and those that were taken. Whichever gateway comes next finds it.

use model::Timestamp;
use model::limit::{LOGIN_ANSWERS_MAX, LOGIN_CODES_MAX, LOGIN_DEVICES_MAX};

use super::{Fingerprint, Logins, LoginsError};
use crate::data_dir::hex;
use crate::registry::{Tx, Value, opt};
use crate::state::{Lane, StateError};

/// What a code is of. Those of one kind keep out none of another.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Code {
    /// What a browser brings to a program.
    Program,
    /// What a device is given.
    Device,
    /// What an answer of an identity provider proved, until its browser comes.
    Answer,
    /// An answer that was taken.
    Taken,
}

/// Whether a code may be had again.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Take {
    /// It is only looked at.
    Look,
    /// Whoever has it now is the last.
    Once,
}

impl Code {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Program => "program",
            Self::Device => "device",
            Self::Answer => "answer",
            Self::Taken => "taken",
        }
    }

    /// So many may there be at once.
    const fn most(self) -> usize {
        match self {
            Self::Program | Self::Answer => LOGIN_CODES_MAX,
            Self::Device => LOGIN_DEVICES_MAX,
            Self::Taken => LOGIN_ANSWERS_MAX,
        }
    }

    /// Under what a code of this kind is kept.
    fn fingerprint(self, logins: &Logins, code: &str) -> Fingerprint {
        logins.fingerprint(&format!("{} {code}", self.as_str()))
    }

    fn full(self) -> LoginsError {
        let of = match self {
            Self::Program => "codes of programs",
            Self::Device => "codes of devices",
            Self::Answer => "answers of identity providers that wait",
            Self::Taken => "answers of identity providers that were taken and are still good",
        };
        LoginsError::Full(self.most(), of)
    }
}

impl Logins {
    /// Keeps a code with what it is for, under its keyed hash. `said` is what a person types for
    /// it, if they do.
    pub fn put_code(
        &self,
        kind: Code,
        (code, said): (&str, Option<&str>),
        body: &str,
        expires_at: Timestamp,
        now: Timestamp,
    ) -> Result<(), LoginsError> {
        let fingerprint = kind.fingerprint(self, code);
        let said = said.map(|said| hex(&self.fingerprint(said)));
        let done = self.write(|tx| {
            delete_codes(tx, now)?;
            if count(tx, kind)? >= kind.most() {
                return Ok(false);
            }
            let code = (&fingerprint, kind, said.as_deref());
            insert(tx, code, body, expires_at)
        })?;
        if done { Ok(()) } else { Err(kind.full()) }
    }

    /// Remembers that something was taken, until then; `false` if it was before.
    pub fn take_once(
        &self,
        name: &str,
        until: Timestamp,
        now: Timestamp,
    ) -> Result<bool, LoginsError> {
        let kind = Code::Taken;
        let fingerprint = kind.fingerprint(self, name);
        let done = self.write(|tx| {
            delete_codes(tx, now)?;
            if count(tx, kind)? >= kind.most() {
                return Ok(None);
            }
            insert(tx, (&fingerprint, kind, None), "", until).map(Some)
        })?;
        done.ok_or_else(|| kind.full())
    }

    /// What a code is for. With [`Take::Once`] nobody gets it again.
    pub fn code(
        &self,
        kind: Code,
        code: &str,
        take: Take,
        now: Timestamp,
    ) -> Result<Option<String>, StateError> {
        let fingerprint = hex(&kind.fingerprint(self, code));
        self.found(By::Code(&fingerprint), take, now)
    }

    /// The same, by what a person types.
    pub fn code_said(
        &self,
        said: &str,
        take: Take,
        now: Timestamp,
    ) -> Result<Option<String>, StateError> {
        let said = hex(&self.fingerprint(said));
        self.found(By::Said(&said), take, now)
    }

    fn found(&self, by: By<'_>, take: Take, now: Timestamp) -> Result<Option<String>, StateError> {
        match take {
            // Anybody can have somebody look.
            Take::Look => self.registry.read(Lane::Reader, |tx| find(tx, by, take, now)),
            Take::Once => self.write(|tx| find(tx, by, take, now)),
        }
    }

    /// Changes what a code is for, if it still is for `before`.
    pub fn change_code(
        &self,
        said: &str,
        before: &str,
        body: &str,
        now: Timestamp,
    ) -> Result<bool, StateError> {
        let said = hex(&self.fingerprint(said));
        self.write(|tx| change(tx, By::Said(&said), (before, body), now))
    }

    /// The same, by the code itself.
    pub fn change_by_code(
        &self,
        kind: Code,
        code: &str,
        before: &str,
        body: &str,
        now: Timestamp,
    ) -> Result<bool, StateError> {
        let fingerprint = hex(&kind.fingerprint(self, code));
        self.write(|tx| change(tx, By::Code(&fingerprint), (before, body), now))
    }
}

pub(super) fn delete_codes(tx: &mut Tx<'_>, now: Timestamp) -> Result<(), StateError> {
    tx.run("DELETE FROM login_codes WHERE expires_at <= ?1", &[now.into()]).map(|_| ())
}

fn count(tx: &mut Tx<'_>, kind: Code) -> Result<usize, StateError> {
    let sql = "SELECT count(*) FROM login_codes WHERE kind = ?1";
    let rows = tx.rows(sql, &[kind.as_str().into()])?;
    let count = rows.first().map(|row| row.number(0)).transpose()?.unwrap_or(0);
    Ok(usize::try_from(count).unwrap_or(usize::MAX))
}

/// False where it is there already.
fn insert(
    tx: &mut Tx<'_>,
    (fingerprint, kind, said): (&Fingerprint, Code, Option<&str>),
    body: &str,
    expires_at: Timestamp,
) -> Result<bool, StateError> {
    let sql = "INSERT INTO login_codes (fingerprint, kind, said, expires_at, body)
        VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT DO NOTHING";
    let values =
        [hex(fingerprint).into(), kind.as_str().into(), opt(said), expires_at.into(), body.into()];
    Ok(tx.run(sql, &values)? == 1)
}

/// By what a code is found.
#[derive(Clone, Copy)]
enum By<'a> {
    Code(&'a str),
    Said(&'a str),
}

fn find(
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

fn change(
    tx: &mut Tx<'_>,
    by: By<'_>,
    (before, body): (&str, &str),
    now: Timestamp,
) -> Result<bool, StateError> {
    let (sql, value) = match by {
        By::Code(code) => (
            "UPDATE login_codes SET body = ?3
                WHERE fingerprint = ?1 AND body = ?2 AND expires_at > ?4",
            code,
        ),
        By::Said(said) => (
            "UPDATE login_codes SET body = ?3 WHERE said = ?1 AND body = ?2 AND expires_at > ?4",
            said,
        ),
    };
    Ok(tx.run(sql, &[value.into(), before.into(), body.into(), now.into()])? == 1)
}
