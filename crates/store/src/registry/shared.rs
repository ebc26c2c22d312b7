//! The database that several gateways share: its connections, its transactions, and what is known
//! of whether it answers.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use aws_lc_rs::digest::{SHA256, digest};
use parking_lot::{Condvar, Mutex};
use tokio::runtime::Handle;

use super::Kind;
use super::feed::{self, Feed, GatewaySeen, Hears};
use super::link::{Driver, Fault, Link, PATIENCE, SharedOptions};
use super::migrate::migrate;
use super::value::{Row, Value};
use crate::data_dir::{InstallationKey, hex};
use crate::id;
use crate::state::StateError;

/// Connections beside that of the feed.
const LINKS_MAX: usize = 8;
/// Connections kept for the next who wants one.
const IDLE_MAX: usize = 4;
/// Longest time in which the feed finds out that the database does not answer.
const ASKED_WITHIN: Duration = Duration::from_secs(12);
/// Times that a piece of work is done over because another transaction came in between.
const ROUNDS_MAX: usize = 4;

/// The shared registry, as this gateway knows it.
pub(crate) struct Shared {
    options: SharedOptions,
    gateway: Arc<str>,
    /// Tells this process from one before it of the same name.
    process: String,
    handle: Handle,
    idle: Mutex<Vec<Link>>,
    /// Connections in use.
    used: Mutex<usize>,
    freed: Condvar,
    /// Why it cannot be used now, as the feed found.
    fault: Mutex<Option<String>>,
    down: AtomicBool,
    /// This gateway stops, and says no more that it is there.
    left: AtomicBool,
    began: Instant,
    /// Milliseconds after `began` when this gateway last knew everything.
    fresh_at: AtomicU64,
    _driver: Driver,
}

/// What a look at the shared registry found, for `narrows doctor`.
#[derive(Debug)]
pub struct Looked {
    /// What the server calls itself.
    pub server: String,
    /// The gateways that are known.
    pub gateways: Vec<GatewaySeen>,
    /// Whether its key is this installation's; `None` where it has none yet.
    pub same_key: Option<bool>,
}

impl Looked {
    /// Looks at the shared registry without becoming one of its gateways, and changes nothing.
    ///
    /// # Errors
    /// It cannot be reached, or says no.
    pub fn at(options: &SharedOptions, key: Option<&InstallationKey>) -> Result<Self, StateError> {
        let driver = Driver::start()?;
        let place = options.place();
        let no_driver = || StateError::Content("the driver ended".to_owned());
        let handle = driver.handle().ok_or_else(no_driver)?;
        let at = |fault: Fault| fault.at(&place);
        let mut link = Link::open(&handle, options, None).map_err(at)?;
        let rows = link.rows("SELECT version()", &[]).map_err(at)?;
        let version = rows.first().map_or(Ok(""), |row| row.text(0))?;
        let server = version.split(" on ").next().unwrap_or_default().to_owned();
        let made = link.rows("SELECT to_regclass('narrows.facts')::TEXT", &[]).map_err(at)?;
        if !made.first().is_some_and(|row| matches!(row.maybe_text(0), Ok(Some(_)))) {
            return Ok(Self { server, gateways: Vec::new(), same_key: None });
        }
        let gateways = feed::gateways(|sql| link.rows(sql, &[])).map_err(at)?;
        let rows = link.rows(KEY_SQL, &[]).map_err(at)?;
        let kept = rows.first().map(|row| row.text(0)).transpose()?;
        let same_key = kept.zip(key).map(|(kept, key)| kept == print(key));
        Ok(Self { server, gateways: gateways?, same_key })
    }
}

impl Shared {
    /// Connects, brings the schema up to date and makes sure that this gateway has the key of the
    /// others.
    pub fn open(
        options: SharedOptions,
        gateway: Arc<str>,
        key: &InstallationKey,
    ) -> Result<(Arc<Self>, Feed), StateError> {
        let driver = Driver::start()?;
        let place = options.place();
        let no_driver = || StateError::Content("the driver ended".to_owned());
        let handle = driver.handle().ok_or_else(no_driver)?;
        let process =
            id::short_id("p_", 12).map_err(|error| StateError::Content(error.to_string()))?;
        let mut link = Link::open(&handle, &options, None).map_err(|fault| fault.at(&place))?;
        migrate(&mut link).map_err(|fault| fault.at(&place))?;
        same_key(&mut link, &place, key)?;
        drop(link);
        let shared = Arc::new(Self {
            options,
            gateway,
            process,
            handle,
            idle: Mutex::default(),
            used: Mutex::new(0),
            freed: Condvar::new(),
            fault: Mutex::new(None),
            down: AtomicBool::new(false),
            left: AtomicBool::new(false),
            began: Instant::now(),
            fresh_at: AtomicU64::new(0),
            _driver: driver,
        });
        let feed = Feed::begin(&shared)?;
        Ok((shared, feed))
    }

    pub const fn gateway(&self) -> &Arc<str> {
        &self.gateway
    }

    pub(super) const fn options(&self) -> &SharedOptions {
        &self.options
    }

    pub(super) fn process(&self) -> &str {
        &self.process
    }

    pub(super) const fn handle(&self) -> &Handle {
        &self.handle
    }

    pub fn unusable(&self, what: &str) -> StateError {
        StateError::Shared { place: self.options.place(), what: what.to_owned() }
    }

    fn at(&self, fault: Fault) -> StateError {
        fault.at(&self.options.place())
    }

    /// Whether what this gateway knows may still be believed.
    pub fn is_fresh(&self) -> bool {
        let fresh_at = Duration::from_millis(self.fresh_at.load(Ordering::Relaxed));
        let age = self.began.elapsed().saturating_sub(fresh_at);
        let outlive = self.options.outlive;
        // Between two beats it is as old as that, and nothing is wrong.
        age <= outlive || (age <= ASKED_WITHIN && !self.down.load(Ordering::Relaxed))
    }

    /// Everything that had come into force at `at` is known.
    pub(super) fn knew_all(&self, at: Instant) {
        let millis = at.saturating_duration_since(self.began).as_millis();
        let millis = u64::try_from(millis).unwrap_or(u64::MAX);
        self.fresh_at.fetch_max(millis, Ordering::Relaxed);
        self.answers();
    }

    /// It answers, and may be used.
    pub(super) fn answers(&self) {
        if self.down.swap(false, Ordering::Relaxed) {
            *self.fault.lock() = None;
            tracing::info!("{} answers again", self.options.place());
        }
    }

    /// It cannot be used until the feed is back. Said once.
    pub(super) fn lost(&self, why: &str) {
        *self.fault.lock() = Some(why.to_owned());
        if !self.down.swap(true, Ordering::Relaxed) {
            tracing::error!(
                "{} cannot be used: {why}. Tokens that are known are believed for {} s more; \
                 nothing is made, asked or counted that gateways share",
                self.options.place(),
                self.options.outlive.as_secs()
            );
            // They are of the same server; a new one shows whether it answers.
            self.idle.lock().clear();
        }
    }

    pub(super) fn leave(&self) {
        self.left.store(true, Ordering::Relaxed);
    }

    pub(super) fn has_left(&self) -> bool {
        self.left.load(Ordering::Relaxed)
    }

    /// Why it cannot be used now.
    pub fn fault(&self) -> Option<String> {
        // Without where it is: whoever asks whether the gateway is ready needs no token.
        let why = self.fault.lock();
        why.as_ref().map(|why| format!("the state database cannot be used: {why}"))
    }

    /// One transaction, done over where another came in between.
    pub fn write<T, E: From<StateError>>(
        &self,
        mut work: impl FnMut(&mut Transaction) -> Result<T, E>,
    ) -> Result<T, E> {
        let mut round = 0;
        loop {
            round += 1;
            let mut transaction = self.transaction(true)?;
            let done = work(&mut transaction);
            let again = match done {
                Ok(value) => match transaction.commit() {
                    Ok(()) => {
                        self.give_back(transaction);
                        return Ok(value);
                    }
                    Err(error) if !transaction.again => {
                        self.give_back(transaction);
                        return Err(error.into());
                    }
                    Err(error) => error.into(),
                },
                Err(error) => error,
            };
            let once_more = transaction.again && round < ROUNDS_MAX;
            transaction.roll_back();
            self.give_back(transaction);
            if !once_more {
                return Err(again);
            }
        }
    }

    /// Statements that look, each by itself.
    pub fn read<T>(
        &self,
        work: impl FnOnce(&mut Transaction) -> Result<T, StateError>,
    ) -> Result<T, StateError> {
        let mut transaction = self.transaction(false)?;
        let done = work(&mut transaction);
        self.give_back(transaction);
        done
    }

    fn transaction(&self, begin: bool) -> Result<Transaction, StateError> {
        let place = self.options.place();
        if self.down.load(Ordering::Relaxed) {
            let why = self.fault.lock().clone().unwrap_or_default();
            return Err(StateError::Unreachable { place, why });
        }
        self.take_place()?;
        let begun = self.begin(begin);
        if begun.is_err() {
            self.leave_place();
        }
        let link = begun.map_err(|fault| self.at(fault))?;
        Ok(Transaction { place, link, changes: Vec::new(), begun: begin, again: false })
    }

    fn begin(&self, begin: bool) -> Result<Link, Fault> {
        while let Some(mut link) = self.idle() {
            // One that was lost while nobody used it is no reason to fail.
            if !begin || link.batch("BEGIN".to_owned()).is_ok() {
                return Ok(link);
            }
        }
        let mut link = Link::open(&self.handle, &self.options, None)?;
        if begin {
            link.batch("BEGIN".to_owned())?;
        }
        Ok(link)
    }

    fn idle(&self) -> Option<Link> {
        let mut idle = self.idle.lock();
        while let Some(link) = idle.pop() {
            if link.is_open() {
                return Some(link);
            }
        }
        None
    }

    fn take_place(&self) -> Result<(), StateError> {
        let mut used = self.used.lock();
        let until = Instant::now() + PATIENCE;
        while *used >= LINKS_MAX {
            if self.freed.wait_until(&mut used, until).timed_out() {
                let why = format!("all {LINKS_MAX} connections of this gateway are in use");
                return Err(self.at(Fault::Lost(why)));
            }
        }
        *used += 1;
        Ok(())
    }

    fn leave_place(&self) {
        let mut used = self.used.lock();
        *used = used.saturating_sub(1);
        drop(used);
        self.freed.notify_one();
    }

    fn give_back(&self, transaction: Transaction) {
        if transaction.link.is_open() && !transaction.begun {
            let mut idle = self.idle.lock();
            if idle.len() < IDLE_MAX && !self.down.load(Ordering::Relaxed) {
                idle.push(transaction.link);
            }
        }
        self.leave_place();
    }

    /// Follows what changes from here on and tells `hears`.
    pub fn follow(self: &Arc<Self>, feed: Feed, hears: Arc<dyn Hears>) -> Result<(), StateError> {
        feed.follow(self, hears)
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Shared").field(&self.options).finish()
    }
}

/// One piece of work.
pub(crate) struct Transaction {
    place: String,
    link: Link,
    changes: Vec<(Kind, String)>,
    /// It was begun and has not ended.
    begun: bool,
    /// Another transaction came in between.
    again: bool,
}

impl Transaction {
    fn failed(&mut self, fault: Fault) -> StateError {
        self.again |= matches!(fault, Fault::Again(_));
        fault.at(&self.place)
    }

    pub fn run(&mut self, sql: &'static str, values: &[Value]) -> Result<u64, StateError> {
        self.link.run(sql, values).map_err(|fault| self.failed(fault))
    }

    pub fn rows(&mut self, sql: &'static str, values: &[Value]) -> Result<Vec<Row>, StateError> {
        self.link.rows(sql, values).map_err(|fault| self.failed(fault))
    }

    pub fn turn(&mut self, of: &[u8]) -> Result<(), StateError> {
        let hash = digest(&SHA256, of);
        let first = hash.as_ref().first_chunk::<8>().copied().unwrap_or_default();
        let sql = "SELECT pg_advisory_xact_lock(?1)::TEXT";
        self.rows(sql, &[Value::Int(i64::from_be_bytes(first))]).map(drop)
    }

    pub fn changed(&mut self, kind: Kind, id: &str) {
        let change = (kind, id.to_owned());
        if !self.changes.contains(&change) {
            self.changes.push(change);
        }
    }

    fn commit(&mut self) -> Result<(), StateError> {
        // Last of all: from here on no lock is waited for while the others wait for this one.
        for (kind, id) in std::mem::take(&mut self.changes) {
            self.rows("SELECT changed(?1, ?2)", &[kind.as_str().into(), id.into()])?;
        }
        let done = self.link.batch("COMMIT".to_owned());
        self.begun = false;
        done.map_err(|fault| match fault {
            Fault::Lost(why) => {
                let why = format!("{why}; it is not known whether it was kept");
                Fault::Lost(why).at(&self.place)
            }
            fault => self.failed(fault),
        })
    }

    fn roll_back(&mut self) {
        if self.begun && self.link.is_open() && self.link.batch("ROLLBACK".to_owned()).is_ok() {
            self.begun = false;
        }
    }
}

const KEY_SQL: &str = "SELECT text FROM facts WHERE name = 'installation'";

/// What is kept of the key: nothing that helps to guess it.
fn print(key: &InstallationKey) -> String {
    let derived = key.derive("registry fingerprint");
    hex(derived.expose().first_chunk::<16>().map_or(&[], |part| part))
}

fn same_key(link: &mut Link, place: &str, key: &InstallationKey) -> Result<(), StateError> {
    let own = print(key);
    link.run(
        "INSERT INTO facts (name, text) VALUES ('installation', ?1) ON CONFLICT (name) DO NOTHING",
        &[own.as_str().into()],
    )
    .map_err(|fault| fault.at(place))?;
    let rows = link.rows(KEY_SQL, &[]).map_err(|fault| fault.at(place))?;
    let kept = rows.first().map_or(Ok(""), |row| row.text(0))?;
    if kept == own {
        return Ok(());
    }
    let short = |print: &str| print.get(..8).unwrap_or_default().to_owned();
    Err(StateError::Shared {
        place: place.to_owned(),
        what: format!(
            "it belongs to an installation with another key (fingerprint {}…, here {}…). Gateways \
             that share a state share the key: give this one theirs as keys.installation, or \
             name another database",
            short(kept),
            short(&own)
        ),
    })
}
