//! The schema of the shared registry, step by step, by one gateway at a time.

use super::link::{Fault, Link};
use super::value::Value;
use crate::state::Migration;

/// A step that was released is never edited: its checksum is kept.
const MIGRATIONS: &[Migration] = &[
    Migration {
        number: 1,
        name: "registry",
        sql: include_str!("../migrations/postgres/0001_registry.sql"),
    },
    Migration {
        number: 2,
        name: "logins",
        sql: include_str!("../migrations/postgres/0002_logins.sql"),
    },
    Migration {
        number: 3,
        name: "codes",
        sql: include_str!("../migrations/postgres/0003_codes.sql"),
    },
];

/// Brings the schema up to date; the others wait meanwhile, and find it done.
pub(super) fn migrate(link: &mut Link) -> Result<(), Fault> {
    migrate_by(link, MIGRATIONS)
}

fn migrate_by(link: &mut Link, steps: &[Migration]) -> Result<(), Fault> {
    link.batch("BEGIN".to_owned())?;
    let done = steps_in(link, steps);
    let ended = link.batch(if done.is_ok() { "COMMIT" } else { "ROLLBACK" }.to_owned());
    done.and(ended)
}

fn steps_in(link: &mut Link, steps: &[Migration]) -> Result<(), Fault> {
    link.rows("SELECT pg_advisory_xact_lock(hashtextextended('narrows schema', 0))::TEXT", &[])?;
    // Looked for first: a role that may not make it can use what somebody else made.
    if !exists(link, "SELECT to_regnamespace('narrows')::TEXT")? {
        link.batch("CREATE SCHEMA narrows".to_owned())?;
    }
    if !exists(link, "SELECT to_regclass('narrows.migrations')::TEXT")? {
        link.batch(
            "CREATE TABLE narrows.migrations (
                number BIGINT PRIMARY KEY, name TEXT NOT NULL, checksum TEXT NOT NULL)"
                .to_owned(),
        )?;
    }
    let odd = |error: crate::StateError| Fault::Refused(error.to_string());
    let applied = link.rows("SELECT number, checksum FROM migrations ORDER BY number", &[])?;
    let mut known = Vec::new();
    for row in &applied {
        known.push((row.number(0).map_err(odd)?, row.text(1).map_err(odd)?.to_owned()));
    }
    let newest = steps.last().map_or(0, |step| step.number.unsigned_abs());
    if let Some((later, _)) = known.iter().find(|(number, _)| *number > newest) {
        return Err(Fault::Refused(format!(
            "its schema is at step {later}, this build knows {newest}; run the newer build"
        )));
    }
    for step in steps {
        let number = step.number.unsigned_abs();
        match known.iter().find(|(applied, _)| *applied == number) {
            Some((_, checksum)) if *checksum == step.checksum() => {}
            Some(_) => {
                return Err(Fault::Refused(format!(
                    "step {number} ({}) of its schema is not the one this build knows",
                    step.name
                )));
            }
            None => {
                link.batch(step.sql.to_owned())?;
                link.run(
                    "INSERT INTO migrations (number, name, checksum) VALUES (?1, ?2, ?3)",
                    &[number.into(), step.name.into(), Value::Text(step.checksum())],
                )?;
            }
        }
    }
    Ok(())
}

fn exists(link: &mut Link, sql: &'static str) -> Result<bool, Fault> {
    let found = link.rows(sql, &[])?;
    Ok(found.first().is_some_and(|row| matches!(row.maybe_text(0), Ok(Some(_)))))
}
