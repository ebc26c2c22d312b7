//! `data_dir/state.sqlite`: the index (rebuildable) and the registry (not), one file (R17).

mod renew;

use std::fmt;
use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use parking_lot::Mutex;
use rusqlite::{Connection, OptionalExtension, TransactionBehavior, params};

use crate::data_dir::hex;

/// The schema, step by step. A step that was released is never edited: its checksum is kept.
const MIGRATIONS: &[Migration] = &[
    Migration { number: 1, name: "index", sql: include_str!("migrations/0001_index.sql") },
    Migration { number: 2, name: "registry", sql: include_str!("migrations/0002_registry.sql") },
    Migration { number: 3, name: "guesses", sql: include_str!("migrations/0003_guesses.sql") },
    Migration { number: 4, name: "runs", sql: include_str!("migrations/0004_runs.sql") },
    Migration { number: 5, name: "taints", sql: include_str!("migrations/0005_taints.sql") },
    Migration { number: 6, name: "ranges", sql: include_str!("migrations/0006_ranges.sql") },
    Migration { number: 7, name: "denied", sql: include_str!("migrations/0007_denied.sql") },
    Migration { number: 8, name: "logins", sql: include_str!("migrations/0008_logins.sql") },
    Migration { number: 9, name: "digests", sql: include_str!("migrations/0009_digests.sql") },
    Migration { number: 10, name: "codes", sql: include_str!("migrations/0010_codes.sql") },
];

/// How long a connection waits for another process that writes (a backup, a curious `sqlite3`).
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// The same for what must be kept before a reply goes on.
const FOLLOW_TIMEOUT: Duration = Duration::from_millis(500);

/// Why the state database failed.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// The file cannot be made or opened.
    #[error("cannot open {}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// SQLite failed.
    #[error("{}: {source}", path.display())]
    Sqlite {
        /// The file.
        path: PathBuf,
        /// What SQLite said.
        source: rusqlite::Error,
    },
    /// Bytes of the file are not what SQLite wrote.
    #[error(
        "{} is damaged ({source}). What it knows of sessions, narrows audit reindex builds again; \
         tokens, approvals and grants are in it and nowhere else: if the gateway does not start, \
         restore it from a copy, or move it away and make tokens anew",
        path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What SQLite said.
        source: rusqlite::Error,
    },
    /// The database that several gateways share cannot be reached, or does not answer in time.
    /// Nothing was changed, unless the words say that it is not known.
    #[error("{place} cannot be used now: {why}")]
    Unreachable {
        /// Which database, without what is secret.
        place: String,
        /// What happened.
        why: String,
    },
    /// The database that several gateways share said no.
    #[error("{place}: {what}")]
    Shared {
        /// Which database, without what is secret.
        place: String,
        /// What it said and what would be right.
        what: String,
    },
    /// What is kept is not what was written.
    #[error("the registry holds something else than was written: {0}")]
    Content(String),
    /// The file was written by a newer build, or a released step of the schema was edited.
    #[error("{}: {what}", path.display())]
    Schema {
        /// The file.
        path: PathBuf,
        /// What was found and what would be right.
        what: String,
    },
}

/// The open state database: one connection per use, so that a slow index never delays a decision
/// on a token or an approval.
pub struct State {
    path: PathBuf,
    /// Synced at every commit: a grant once consumed stays consumed after a power cut.
    registry: Mutex<Connection>,
    /// Not synced at every commit: what is lost is read again from the journal.
    index: Mutex<Connection>,
    /// Not synced at every commit either: as durable as the journal's newest records.
    taints: Mutex<Connection>,
    reader: Mutex<Connection>,
}

impl State {
    /// Opens the database, making it (0600) and bringing its schema up to date.
    pub fn open(path: &Path) -> Result<Self, StateError> {
        private(path)?;
        let [registry, index, taints, reader] = Self::connections(path)?.map(Mutex::new);
        Ok(Self { path: path.to_owned(), registry, index, taints, reader })
    }

    /// Those of the registry, the index, the taints and of readers.
    fn connections(path: &Path) -> Result<[Connection; 4], StateError> {
        let open =
            |synchronous| connect(path, synchronous).map_err(|source| StateError::of(path, source));
        let mut registry = open("FULL")?;
        migrate(&mut registry, MIGRATIONS).map_err(|error| error.at(path))?;
        let (index, taints, reader) = (open("NORMAL")?, open("NORMAL")?, open("NORMAL")?);
        // Replies wait for it, and whoever else is served by the same thread.
        taints.busy_timeout(FOLLOW_TIMEOUT).map_err(|source| StateError::of(path, source))?;
        Ok([registry, index, taints, reader])
    }

    const fn lane(&self, lane: Lane) -> &Mutex<Connection> {
        match lane {
            Lane::Registry => &self.registry,
            Lane::Taints => &self.taints,
            Lane::Reader => &self.reader,
        }
    }

    /// One transaction.
    pub(crate) fn write<T, E: From<StateError>>(
        &self,
        lane: Lane,
        work: impl FnOnce(&Connection) -> Result<T, E>,
    ) -> Result<T, E> {
        let mut db = self.lane(lane).lock();
        let failed = |source| E::from(self.failed(source));
        let begun = db.transaction_with_behavior(TransactionBehavior::Immediate);
        let transaction = begun.map_err(failed)?;
        let done = work(&transaction)?;
        transaction.commit().map_err(failed)?;
        Ok(done)
    }

    /// Looks.
    pub(crate) fn look<T>(
        &self,
        lane: Lane,
        work: impl FnOnce(&Connection) -> Result<T, StateError>,
    ) -> Result<T, StateError> {
        work(&self.lane(lane).lock())
    }

    #[cfg(test)]
    pub(crate) fn registry<T>(
        &self,
        work: impl FnOnce(&mut Connection) -> rusqlite::Result<T>,
    ) -> Result<T, StateError> {
        work(&mut self.registry.lock()).map_err(|source| self.failed(source))
    }

    pub(crate) fn index<T>(
        &self,
        work: impl FnOnce(&mut Connection) -> rusqlite::Result<T>,
    ) -> Result<T, StateError> {
        work(&mut self.index.lock()).map_err(|source| self.failed(source))
    }

    /// Something beside SQLite failed.
    pub(crate) fn unusable(&self, what: &str) -> StateError {
        StateError::Schema { path: self.path.clone(), what: what.to_owned() }
    }

    pub(crate) fn read<T>(
        &self,
        work: impl FnOnce(&mut Connection) -> rusqlite::Result<T>,
    ) -> Result<T, StateError> {
        work(&mut self.reader.lock()).map_err(|source| self.failed(source))
    }

    pub(crate) fn failed(&self, source: rusqlite::Error) -> StateError {
        StateError::of(&self.path, source)
    }
}

/// Which of the connections; see [`State`].
#[derive(Clone, Copy, Debug)]
pub(crate) enum Lane {
    Registry,
    Taints,
    Reader,
}

impl StateError {
    fn of(path: &Path, source: rusqlite::Error) -> Self {
        let path = path.to_owned();
        match renew::is_damage(&source) {
            true => Self::Damaged { path, source },
            false => Self::Sqlite { path, source },
        }
    }

    /// Whether this passes by itself, once a database answers again.
    #[must_use]
    pub const fn is_unreachable(&self) -> bool {
        matches!(self, Self::Unreachable { .. })
    }

    pub(crate) const fn is_damage(&self) -> bool {
        matches!(self, Self::Damaged { .. })
    }
}

/// Makes the file if it is missing. SQLite makes its side files with the permissions of the main
/// one.
fn private(path: &Path) -> Result<(), StateError> {
    let mut options = OpenOptions::new();
    let made = options.append(true).create(true).mode(0o600).open(path);
    made.map(drop).map_err(|source| StateError::Io { path: path.to_owned(), source })
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("State").field(&self.path).finish()
    }
}

/// SQLite's integers are signed; our counts and times never come near the difference.
pub(crate) fn to_sql(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

pub(crate) fn from_sql(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}

pub(crate) struct Migration {
    pub number: i64,
    pub name: &'static str,
    pub sql: &'static str,
}

impl Migration {
    pub fn checksum(&self) -> String {
        hex(digest(&SHA256, self.sql.as_bytes()).as_ref())
    }
}

enum MigrateError {
    Sqlite(rusqlite::Error),
    Schema(String),
}

impl MigrateError {
    fn at(self, path: &Path) -> StateError {
        match self {
            Self::Sqlite(source) => StateError::of(path, source),
            Self::Schema(what) => StateError::Schema { path: path.to_owned(), what },
        }
    }
}

impl From<rusqlite::Error> for MigrateError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

fn connect(path: &Path, synchronous: &str) -> rusqlite::Result<Connection> {
    let db = Connection::open(path)?;
    db.busy_timeout(BUSY_TIMEOUT)?;
    db.pragma_update(None, "journal_mode", "WAL")?;
    db.pragma_update(None, "synchronous", synchronous)?;
    db.pragma_update(None, "foreign_keys", true)?;
    db.pragma_update(None, "trusted_schema", false)?;
    db.set_prepared_statement_cache_capacity(64);
    Ok(db)
}

/// Applies the steps that are missing, each in a transaction together with its checksum.
fn migrate(db: &mut Connection, steps: &[Migration]) -> Result<(), MigrateError> {
    db.execute_batch(
        "CREATE TABLE IF NOT EXISTS migrations (
            number INTEGER PRIMARY KEY, name TEXT NOT NULL, checksum TEXT NOT NULL) STRICT",
    )?;
    let newest: Option<i64> =
        db.query_row("SELECT max(number) FROM migrations", [], |row| row.get(0))?;
    let known = steps.last().map_or(0, |step| step.number);
    if let Some(newest) = newest.filter(|newest| *newest > known) {
        return Err(MigrateError::Schema(format!(
            "its schema is at step {newest}, this build knows {known}; run the newer build"
        )));
    }
    for step in steps {
        let checksum = step.checksum();
        let transaction = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let sql = "SELECT checksum FROM migrations WHERE number = ?1";
        let applied: Option<String> =
            transaction.query_row(sql, [step.number], |row| row.get(0)).optional()?;
        match applied {
            Some(applied) if applied == checksum => {}
            Some(_) => {
                return Err(MigrateError::Schema(format!(
                    "step {} ({}) of its schema is not the one this build knows",
                    step.number, step.name
                )));
            }
            None => {
                transaction.execute_batch(step.sql)?;
                transaction.execute(
                    "INSERT INTO migrations (number, name, checksum) VALUES (?1, ?2, ?3)",
                    params![step.number, step.name, checksum],
                )?;
            }
        }
        transaction.commit()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::testing::Folder;

    #[test]
    fn opening_twice_changes_nothing_and_the_file_is_private() {
        let folder = Folder::new();
        let path = folder.path().join("state.sqlite");
        drop(State::open(&path).unwrap());
        let state = State::open(&path).unwrap();
        let sql = "SELECT count(*) FROM migrations";
        let steps: i64 = state.read(|db| db.query_row(sql, [], |row| row.get(0))).unwrap();
        assert_eq!(steps, MIGRATIONS.len() as i64);
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn an_edited_step_and_a_newer_file_are_refused() {
        let folder = Folder::new();
        let path = folder.path().join("state.sqlite");
        let state = State::open(&path).unwrap();
        let sql = "UPDATE migrations SET checksum = 'x' WHERE number = 1";
        state.registry(|db| db.execute(sql, [])).unwrap();
        let error = State::open(&path).unwrap_err().to_string();
        assert!(error.contains("step 1 (index)"), "{error}");
        let sql = "INSERT INTO migrations VALUES (999, 'later', 'x')";
        state.registry(|db| db.execute(sql, [])).unwrap();
        let error = State::open(&path).unwrap_err().to_string();
        assert!(error.contains("newer build"), "{error}");
    }

    #[test]
    fn a_step_that_fails_leaves_nothing_behind() {
        let mut db = Connection::open_in_memory().unwrap();
        let step =
            Migration { number: 1, name: "bad", sql: "CREATE TABLE a (x); SELECT nonsense;" };
        assert!(migrate(&mut db, &[step]).is_err());
        let sql = "SELECT count(*) FROM sqlite_schema WHERE name = 'a'";
        let left: i64 = db.query_row(sql, [], |row| row.get(0)).unwrap();
        assert_eq!(left, 0);
    }

    #[test]
    fn a_file_that_is_no_database_is_an_error_that_names_it() {
        let folder = Folder::new();
        let path = folder.path().join("state.sqlite");
        std::fs::write(&path, "this is not a database, and long enough to tell".repeat(40))
            .unwrap();
        let error = State::open(&path).unwrap_err().to_string();
        assert!(error.contains("state.sqlite is damaged"), "{error}");
    }
}
