//! Where the registry is kept, and the one way to it: a file of this gateway's, or a PostgreSQL
//! database that several gateways share (R17).
//!
//! A seam and no more. What keeps something says it once, in SQL that both databases read (`?1` for
//! a parameter, `ON CONFLICT`), inside of [`Registry::write`] or [`Registry::read`]. Beside that a
//! [`Tx`] can do two things that mean something only where others share the database: take a turn
//! ([`Tx::turn`]) and tell the others what changed ([`Tx::changed`]).

mod feed;
mod link;
mod migrate;
mod peers;
mod shared;
#[cfg(test)]
mod tests;
mod value;

use std::fmt;
use std::sync::Arc;

use rusqlite::types::{ToSqlOutput, Value as SqliteValue, ValueRef};

use crate::state::{Lane, State, StateError};

pub use feed::GatewaySeen;
pub use link::{Password, SharedOptions};
pub use peers::{Asked, Peers};
pub use shared::Looked;

pub(crate) use feed::Hears;
pub(crate) use shared::Shared;
pub(crate) use value::{Row, Value, opt};

use shared::Transaction;

/// What changed, for those who hear of it.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) enum Kind {
    /// An approval request.
    Approval,
    /// Another gateway answered a question.
    Answer,
    /// A gateway asks all others.
    Ask,
    /// A token of an identity provider is no longer believed.
    Denied,
    /// What a yes covers.
    Grant,
    /// A sign-in of a person, or what stands for it.
    Login,
    /// Followed values of a principal.
    Taint,
    /// A token of our own.
    Token,
    /// What was done at a gateway.
    Usage,
}

impl Kind {
    const ALL: [Self; 9] = [
        Self::Approval,
        Self::Answer,
        Self::Ask,
        Self::Denied,
        Self::Grant,
        Self::Login,
        Self::Taint,
        Self::Token,
        Self::Usage,
    ];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Approval => "approval",
            Self::Answer => "answer",
            Self::Ask => "ask",
            Self::Denied => "denied",
            Self::Grant => "grant",
            Self::Login => "login",
            Self::Taint => "taint",
            Self::Token => "token",
            Self::Usage => "usage",
        }
    }

    fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word)
    }
}

/// The registry of this gateway, wherever it is.
pub struct Registry {
    place: Place,
}

enum Place {
    Local(Arc<State>),
    Shared(Arc<Shared>),
}

impl Registry {
    /// In the state database of this gateway.
    #[must_use]
    pub fn local(state: Arc<State>) -> Arc<Self> {
        Arc::new(Self { place: Place::Local(state) })
    }

    pub(crate) fn shared(shared: Arc<Shared>) -> Arc<Self> {
        Arc::new(Self { place: Place::Shared(shared) })
    }

    /// Whether what is remembered is what the registry holds, or was not long ago. Where no other
    /// gateway can change it, it is.
    #[must_use]
    pub fn is_fresh(&self) -> bool {
        match &self.place {
            Place::Local(_) => true,
            Place::Shared(shared) => shared.is_fresh(),
        }
    }

    /// This gateway's name, where it is one of several.
    pub(crate) fn gateway(&self) -> Option<&Arc<str>> {
        match &self.place {
            Place::Local(_) => None,
            Place::Shared(shared) => Some(shared.gateway()),
        }
    }

    /// All or nothing. `work` may run again where another transaction came in between, so it
    /// changes nothing but what it is given.
    pub(crate) fn write<T, E: From<StateError>>(
        &self,
        lane: Lane,
        mut work: impl FnMut(&mut Tx<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        match &self.place {
            Place::Local(state) => state.write(lane, |db| work(&mut Tx::local(state, db))),
            Place::Shared(shared) => shared.write(|transaction| {
                let mut tx = Tx { of: Of::Shared(transaction) };
                work(&mut tx)
            }),
        }
    }

    /// Looks, and changes nothing.
    pub(crate) fn read<T>(
        &self,
        lane: Lane,
        work: impl FnOnce(&mut Tx<'_>) -> Result<T, StateError>,
    ) -> Result<T, StateError> {
        match &self.place {
            Place::Local(state) => state.look(lane, |db| work(&mut Tx::local(state, db))),
            Place::Shared(shared) => {
                shared.read(|transaction| work(&mut Tx { of: Of::Shared(transaction) }))
            }
        }
    }

    /// Something beside the database failed.
    pub(crate) fn unusable(&self, what: &str) -> StateError {
        match &self.place {
            Place::Local(state) => state.unusable(what),
            Place::Shared(shared) => shared.unusable(what),
        }
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Place::Local(state) => f.debug_tuple("Registry").field(state).finish(),
            Place::Shared(shared) => f.debug_tuple("Registry").field(shared).finish(),
        }
    }
}

/// One piece of work on the registry.
pub(crate) struct Tx<'a> {
    of: Of<'a>,
}

enum Of<'a> {
    Local(&'a State, &'a rusqlite::Connection),
    Shared(&'a mut Transaction),
}

impl<'a> Tx<'a> {
    fn local(state: &'a State, db: &'a rusqlite::Connection) -> Self {
        Self { of: Of::Local(state, db) }
    }

    /// Runs a statement; how many rows it changed.
    pub fn run(&mut self, sql: &'static str, values: &[Value]) -> Result<u64, StateError> {
        match &mut self.of {
            Of::Local(state, db) => {
                let done = db
                    .prepare_cached(sql)
                    .and_then(|mut query| query.execute(rusqlite::params_from_iter(values)));
                done.map(|rows| rows as u64).map_err(|error| state.failed(error))
            }
            Of::Shared(transaction) => transaction.run(sql, values),
        }
    }

    /// Runs a query; its rows.
    pub fn rows(&mut self, sql: &'static str, values: &[Value]) -> Result<Vec<Row>, StateError> {
        match &mut self.of {
            Of::Local(state, db) => {
                local_rows(db, sql, values).map_err(|error| state.failed(error))
            }
            Of::Shared(transaction) => transaction.rows(sql, values),
        }
    }

    /// Waits until nobody else has the turn of that name, and has it until the end of this piece of
    /// work. A file is written by one at a time anyway.
    pub fn turn(&mut self, of: &[u8]) -> Result<(), StateError> {
        match &mut self.of {
            Of::Local(..) => Ok(()),
            Of::Shared(transaction) => transaction.turn(of),
        }
    }

    /// Tells the other gateways, if this piece of work ends well.
    pub fn changed(&mut self, kind: Kind, id: &str) {
        match &mut self.of {
            Of::Local(..) => {}
            Of::Shared(transaction) => transaction.changed(kind, id),
        }
    }
}

fn local_rows(
    db: &rusqlite::Connection,
    sql: &str,
    values: &[Value],
) -> rusqlite::Result<Vec<Row>> {
    let mut query = db.prepare_cached(sql)?;
    let columns = query.column_count();
    let rows = query.query_map(rusqlite::params_from_iter(values), |row| {
        let cells = (0..columns).map(|at| {
            Ok(match row.get_ref(at)? {
                ValueRef::Null => Value::Null,
                ValueRef::Integer(number) => Value::Int(number),
                ValueRef::Real(_) => Value::Null,
                ValueRef::Text(text) => Value::Text(String::from_utf8_lossy(text).into_owned()),
                ValueRef::Blob(bytes) => Value::Bytes(bytes.to_vec()),
            })
        });
        cells.collect::<rusqlite::Result<Vec<_>>>().map(Row::new)
    })?;
    rows.collect()
}

impl rusqlite::ToSql for Value {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(match self {
            Self::Null => ToSqlOutput::Owned(SqliteValue::Null),
            Self::Int(number) => ToSqlOutput::Owned(SqliteValue::Integer(*number)),
            Self::Text(text) => ToSqlOutput::Borrowed(ValueRef::Text(text.as_bytes())),
            Self::Bytes(bytes) => ToSqlOutput::Borrowed(ValueRef::Blob(bytes)),
        })
    }
}
