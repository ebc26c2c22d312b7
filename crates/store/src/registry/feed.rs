//! Hearing what other gateways changed, and telling them that this one is there.
//!
//! Changes are numbered in the order in which they came into force. A notification only wakes; what
//! counts is the list, read from the last number that is known. So nothing is missed between losing
//! a connection and listening again. Where the list does not reach back that far, or the database
//! was put back from an older copy, everything is read anew.

use std::collections::HashSet;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use model::Timestamp;

use super::Kind;
use super::link::{Fault, Link};
use super::shared::Shared;
use super::value::Row;
use crate::state::StateError;

/// How often a gateway says that it is there, and looks whether it missed something.
const BEAT: Duration = Duration::from_secs(1);
/// A gateway that was not heard for so long is not asked, and what it held is left behind.
pub(super) const SILENT_SQL: &str = "15 seconds";
/// How often is looked for such gateways, and for changes to forget.
const SWEEP: Duration = Duration::from_secs(5);
/// Pauses between tries to connect.
const PAUSE_MIN: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(2);
/// Changes read at once.
const CHANGES_MAX: usize = 1000;

/// Who is told what changed. Called on the feed's own thread, one change after the other.
pub(crate) trait Hears: Send + Sync {
    /// This changed.
    fn heard(&self, kind: Kind, id: &str, now: Timestamp) -> Result<(), StateError>;
    /// Anything may have changed.
    fn heard_all(&self, now: Timestamp) -> Result<(), StateError>;
    /// That gateway is not heard any more.
    fn left_behind(&self, gateway: &str, now: Timestamp) -> Result<(), StateError>;
}

/// A gateway, as the registry has it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct GatewaySeen {
    /// Its name.
    pub gateway: String,
    /// Its build.
    pub version: String,
    /// How long ago it was heard, seconds.
    pub seconds: u64,
    /// It is heard.
    pub present: bool,
}

/// A place in the list of changes, and the connection that listens.
pub(crate) struct Feed {
    link: Link,
    wake: Receiver<()>,
    last: u64,
}

impl Feed {
    /// Listens from here on. What is read afterwards is at least as new.
    pub fn begin(shared: &Arc<Shared>) -> Result<Self, StateError> {
        let at = |fault: Fault| fault.at(&shared.options().place());
        let (mut link, wake) = listen(shared).map_err(at)?;
        let last = newest(&mut link).map_err(at)?;
        beat(&mut link, shared).map_err(at)?;
        Ok(Self { link, wake, last })
    }

    pub fn follow(self, shared: &Arc<Shared>, hears: Arc<dyn Hears>) -> Result<(), StateError> {
        shared.knew_all(Instant::now());
        let weak = Arc::downgrade(shared);
        let thread = std::thread::Builder::new().name("narrows-feed".to_owned());
        let started = thread.spawn(move || follow(self, &weak, &*hears));
        started.map(drop).map_err(|error| {
            StateError::Content(format!("cannot start a thread for the shared state: {error}"))
        })
    }
}

fn listen(shared: &Shared) -> Result<(Link, Receiver<()>), Fault> {
    let (tell, wake) = channel();
    let mut link = Link::open(shared.handle(), shared.options(), Some(tell))?;
    link.batch("LISTEN narrows".to_owned())?;
    Ok((link, wake))
}

/// The number of the newest change, forgotten ones included.
fn newest(link: &mut Link) -> Result<u64, Fault> {
    let sql = "SELECT greatest((SELECT max(sequence) FROM changes),
        (SELECT number FROM facts WHERE name = 'forgotten'))";
    let rows = link.rows(sql, &[])?;
    Ok(rows.first().and_then(|row| row.number(0).ok()).unwrap_or(0))
}

/// Says that this gateway is still there.
fn beat_on(link: &mut Link, shared: &Shared) -> Result<(), Fault> {
    let sql = "UPDATE gateways SET seen_at = now(), gone = false
        WHERE gateway = ?1 AND process = ?2";
    if link.run(sql, &[shared.gateway().into(), shared.process().into()])? == 0 {
        tracing::error!(
            gateway = %shared.gateway(),
            "another process is of the same name as this gateway, or was: each needs a data_dir \
             of its own, not a copy"
        );
        beat(link, shared)?;
    }
    Ok(())
}

/// Says that this gateway is there, from now on.
fn beat(link: &mut Link, shared: &Shared) -> Result<(), Fault> {
    let sql = "INSERT INTO gateways (gateway, process, started_at, seen_at, version)
        VALUES (?1, ?2, now(), now(), ?3)
        ON CONFLICT (gateway) DO UPDATE SET seen_at = now(), gone = false, version = ?3,
            process = ?2, started_at = CASE WHEN gateways.process = ?2
                THEN gateways.started_at ELSE now() END";
    let values =
        [shared.gateway().into(), shared.process().into(), shared.options().version.into()];
    link.run(sql, &values).map(drop)
}

/// The gateways that were heard within a day, by name.
pub(super) fn gateways(
    rows: impl FnOnce(&'static str) -> Result<Vec<Row>, Fault>,
) -> Result<Result<Vec<GatewaySeen>, StateError>, Fault> {
    let sql = "SELECT gateway, version, greatest(0, extract(epoch FROM now() - seen_at))::BIGINT,
        seen_at > now() - INTERVAL '15 seconds' FROM gateways
        WHERE seen_at > now() - INTERVAL '1 day' ORDER BY gateway";
    debug_assert!(sql.contains(SILENT_SQL));
    let seen = |row: &Row| {
        Ok(GatewaySeen {
            gateway: row.text(0)?.to_owned(),
            version: row.text(1)?.to_owned(),
            seconds: row.number(2)?,
            present: row.number(3)? == 1,
        })
    };
    Ok(rows(sql)?.iter().map(seen).collect())
}

/// Ends with the registry itself.
fn follow(feed: Feed, shared: &Weak<Shared>, hears: &dyn Hears) {
    let Feed { link, wake, mut last } = feed;
    let mut on = Some((link, wake));
    let mut pause = PAUSE_MIN;
    loop {
        if let Some((mut link, wake)) = on.take() {
            let why = attend(&mut link, &wake, &mut last, shared, hears);
            let Some(shared) = shared.upgrade().filter(|shared| !shared.has_left()) else {
                return;
            };
            if let Err(why) = why {
                shared.lost(&why);
            }
        }
        std::thread::sleep(pause);
        let Some(shared) = shared.upgrade() else { return };
        match again(&shared, &mut last, hears) {
            Ok(listening) => {
                on = Some(listening);
                pause = PAUSE_MIN;
            }
            Err(why) => {
                shared.lost(&why);
                pause = (pause * 2).min(PAUSE_MAX);
            }
        }
    }
}

/// Listens again and reads what was missed.
fn again(
    shared: &Arc<Shared>,
    last: &mut u64,
    hears: &dyn Hears,
) -> Result<(Link, Receiver<()>), String> {
    let words = |fault: Fault| match fault {
        Fault::Lost(why) | Fault::Again(why) | Fault::Refused(why) => why,
    };
    let (mut link, wake) = listen(shared).map_err(words)?;
    let began = Instant::now();
    beat(&mut link, shared).map_err(words)?;
    let sql = "SELECT number FROM facts WHERE name = 'forgotten'";
    let rows = link.rows(sql, &[]).map_err(words)?;
    let forgotten = rows.first().and_then(|row| row.number(0).ok()).unwrap_or(0);
    let newest = newest(&mut link).map_err(words)?;
    // From here on the others may use it too: what is heard is read by their connections.
    shared.answers();
    let now = (shared.options().clock)();
    if *last < forgotten || *last > newest {
        tracing::warn!("the shared state is read anew: more changed than is kept of changes");
        hears.heard_all(now).map_err(|error| error.to_string())?;
        *last = newest;
    }
    catch_up(&mut link, last, shared, hears)?;
    shared.knew_all(began);
    Ok((link, wake))
}

/// Until the connection is lost (and why), or the registry is gone.
fn attend(
    link: &mut Link,
    wake: &Receiver<()>,
    last: &mut u64,
    shared: &Weak<Shared>,
    hears: &dyn Hears,
) -> Result<(), String> {
    let words = |fault: Fault| match fault {
        Fault::Lost(why) | Fault::Again(why) | Fault::Refused(why) => why,
    };
    let mut beaten = Instant::now();
    let mut swept = Instant::now();
    loop {
        let woken = wake.recv_timeout(BEAT.saturating_sub(beaten.elapsed()));
        let Some(shared) = shared.upgrade().filter(|shared| !shared.has_left()) else {
            return Ok(());
        };
        match woken {
            Ok(()) => while wake.try_recv().is_ok() {},
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => {
                return Err("the connection was lost".to_owned());
            }
        }
        let began = Instant::now();
        catch_up(link, last, &shared, hears)?;
        if beaten.elapsed() >= BEAT {
            beat_on(link, &shared).map_err(words)?;
            beaten = Instant::now();
        }
        shared.knew_all(began);
        if swept.elapsed() >= SWEEP {
            swept = Instant::now();
            sweep(link, &shared, hears).map_err(words)?;
        }
    }
}

/// Reads the list to its end.
fn catch_up(
    link: &mut Link,
    last: &mut u64,
    shared: &Shared,
    hears: &dyn Hears,
) -> Result<(), String> {
    loop {
        let sql = "SELECT sequence, kind, id FROM changes WHERE sequence > ?1
            ORDER BY sequence LIMIT 1000";
        let rows = link.rows(sql, &[(*last).into()]).map_err(|fault| match fault {
            Fault::Lost(why) | Fault::Again(why) | Fault::Refused(why) => why,
        })?;
        let mut told = HashSet::new();
        for row in &rows {
            let change = || Ok((row.number(0)?, row.text(1)?, row.text(2)?));
            let (sequence, kind, id) = change().map_err(|error: StateError| error.to_string())?;
            // What is read is the newest: once for all changes of one thing.
            if let Some(kind) = Kind::parse(kind)
                && told.insert((kind, id))
            {
                let now = (shared.options().clock)();
                match hears.heard(kind, id, now) {
                    Ok(()) => {}
                    // It is read again, with everything behind it.
                    Err(error) if error.is_unreachable() => return Err(error.to_string()),
                    Err(error) => {
                        tracing::error!(%error, id, "a shared change is not understood");
                    }
                }
            }
            *last = (*last).max(sequence);
        }
        if rows.len() < CHANGES_MAX {
            return Ok(());
        }
    }
}

/// Forgets what all have read long ago, and marks what is left behind by gateways that are gone.
fn sweep(link: &mut Link, shared: &Shared, hears: &dyn Hears) -> Result<(), Fault> {
    let sql = "WITH old AS (DELETE FROM changes WHERE at < now() - INTERVAL '1 hour'
            RETURNING sequence)
        UPDATE facts SET number = greatest(number, (SELECT max(sequence) FROM old))
        WHERE name = 'forgotten' AND EXISTS (SELECT 1 FROM old)";
    link.run(sql, &[])?;
    link.run("DELETE FROM usage_batches WHERE at < now() - INTERVAL '1 hour'", &[])?;
    let minute = (shared.options().clock)().seconds() / 60;
    let oldest = minute.saturating_sub(2 * 24 * 60);
    link.run("DELETE FROM usage WHERE minute < ?1", &[oldest.into()])?;
    link.run("DELETE FROM asks WHERE at < now() - INTERVAL '1 hour'", &[])?;
    link.run("DELETE FROM answers WHERE NOT EXISTS (SELECT 1 FROM asks WHERE id = ask)", &[])?;
    let sql = "SELECT gateway FROM gateways
        WHERE seen_at < now() - INTERVAL '15 seconds' AND NOT gone AND gateway <> ?1";
    for row in link.rows(sql, &[shared.gateway().into()])? {
        let Ok(gateway) = row.text(0) else { continue };
        let now = (shared.options().clock)();
        if let Err(error) = hears.left_behind(gateway, now) {
            tracing::warn!(%error, gateway, "what a gateway held that is gone cannot be marked");
            continue;
        }
        let sql = "UPDATE gateways SET gone = true
            WHERE gateway = ?1 AND seen_at < now() - INTERVAL '15 seconds'";
        link.run(sql, &[gateway.into()])?;
        tracing::warn!(gateway, "a gateway is not heard any more; what it held is marked");
    }
    Ok(())
}
