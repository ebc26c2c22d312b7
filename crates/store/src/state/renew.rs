//! A new state database in the place of one whose index is damaged.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, ErrorCode, params};

use super::{MIGRATIONS, State, StateError, connect, migrate};
use crate::index::INDEX_TABLES;

impl State {
    /// Copies everything but the index into a new database and goes on with that, its index empty.
    /// The damaged file stays beside it, as `state.sqlite.damaged`.
    ///
    /// # Errors
    /// What is not the index cannot be read either, or the disk takes no new file; the file is as
    /// it was then. Where it cannot be opened again afterwards, everything that needs it fails
    /// until the gateway is started again.
    pub(crate) fn renew(&self) -> Result<(), StateError> {
        let mut connections =
            [&self.registry, &self.index, &self.taints, &self.reader].map(|one| one.lock());
        let renewed = self.path.with_extension("renewed");
        let io = |source| StateError::Io { path: renewed.clone(), source };
        remove(&renewed).map_err(io)?;
        self.copy_registry(&renewed)?;
        // The last to close a database writes what its log holds into it, and takes the log away.
        let nowhere = (0..connections.len()).map(|_| Connection::open_in_memory());
        let nowhere: Vec<_> =
            nowhere.collect::<Result<_, _>>().map_err(|source| self.failed(source))?;
        for (connection, nowhere) in connections.iter_mut().zip(nowhere) {
            **connection = nowhere;
        }
        let replaced = self.replace(&renewed).map_err(io);
        let opened = Self::connections(&self.path)?;
        for (connection, fresh) in connections.iter_mut().zip(opened) {
            **connection = fresh;
        }
        replaced
    }

    fn copy_registry(&self, renewed: &Path) -> Result<(), StateError> {
        let mut fresh = super::private(renewed)
            .and_then(|()| connect(renewed, "FULL").map_err(|source| self.failed(source)))?;
        migrate(&mut fresh, MIGRATIONS).map_err(|error| error.at(renewed))?;
        self.copy_into(&fresh).map_err(|source| self.failed(source))
    }

    fn copy_into(&self, fresh: &Connection) -> rusqlite::Result<()> {
        let name = self.path.to_string_lossy();
        fresh.execute("ATTACH ?1 AS damaged", params![name])?;
        let sql = "SELECT name FROM main.sqlite_schema WHERE type = 'table'";
        let tables: Vec<String> =
            fresh.prepare(sql)?.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
        let stay = |name: &str| {
            !INDEX_TABLES.contains(&name) && name != "migrations" && !name.starts_with("sqlite_")
        };
        for table in tables.iter().filter(|name| stay(name)) {
            let sql = format!("INSERT INTO main.{table} SELECT * FROM damaged.{table}");
            fresh.execute(&sql, [])?;
        }
        fresh.execute_batch("DETACH damaged; PRAGMA wal_checkpoint(TRUNCATE)")
    }

    fn replace(&self, renewed: &Path) -> io::Result<()> {
        let damaged = beside(&self.path, ".damaged");
        let (log, damaged_log) = (beside(&self.path, "-wal"), beside(&damaged, "-wal"));
        remove(&damaged)?;
        remove(&damaged_log)?;
        fs::hard_link(&self.path, &damaged)?;
        fs::File::open(renewed)?.sync_all()?;
        // A log that is left, because it could not be written into the file, would be taken for one
        // of the new file.
        match fs::rename(&log, &damaged_log) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let replaced =
            remove(&beside(&self.path, "-shm")).and_then(|()| fs::rename(renewed, &self.path));
        if replaced.is_err() {
            // What it holds would be missing in the file that stays: a token that was revoked, say.
            let _ = fs::rename(&damaged_log, &log);
        }
        replaced?;
        match self.path.parent() {
            Some(folder) => fs::File::open(folder)?.sync_all(),
            None => Ok(()),
        }
    }
}

/// Whether bytes of the file are not what SQLite wrote.
pub(super) fn is_damage(error: &rusqlite::Error) -> bool {
    let code = error.sqlite_error_code();
    matches!(code, Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase))
}

fn beside(path: &Path, more: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(more);
    name.into()
}

/// Removes a file, if it is there.
fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
