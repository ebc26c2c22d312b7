//! The gateway's own stay at a server: reads the catalog, then watches it for changes (R7).
//!
//! Everything is read in one read-only transaction of the gateway's own connection, with an empty
//! search path, so that every name in a definition is qualified. What an unprivileged role can see
//! of `pg_catalog` is enough. A probe costs one round trip while no transaction finished, and a
//! second one, which counts and hashes row versions of the catalog, when one did.

mod query;
mod reading;
mod row;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use engine::{Connected, Errand, ErrandAct, ErrandInput, ErrandOutbox, Fault};
use model::Side;
use model::limit::{CATALOG_BYTES_MAX, UPSTREAM_MESSAGE_BYTES_MAX};

use crate::login::{LoggedIn, Login, LoginError, ServerError, Step};
use crate::message::{self, Frame, Inbox};
use query::Part;
use reading::Reading;
use row::Row;

/// Attempts to read a catalog that changes, or is locked, while it is read.
const ATTEMPTS_MAX: u32 = 3;
/// Transactions after which a fingerprint is taken anew; xids compare over 2^31.
const FINGERPRINT_AGE_MAX: u64 = 1 << 30;
/// Numbers snapshots over the life of the process, so that no two are taken for the same.
static VERSION: AtomicU64 = AtomicU64::new(1);

/// What a session needs to know of the server it is connected to.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// Relations, functions and operators.
    pub catalog: Arc<sql::Catalog>,
    /// The schemas a fresh session of this role looks in, in order, as they exist: `"$user"` is
    /// replaced, and implicit ones (`pg_catalog`, `pg_temp`) are left out.
    pub search_path: Vec<Arc<str>>,
    /// Settings of the role and the database that a fresh session starts with.
    pub settings: Arc<str>,
    /// The role a fresh session acts as.
    pub role: Arc<str>,
    /// `server_version_num`: 170002 for 17.2.
    pub server_version_num: i32,
    /// What the planner takes steps to cost in a fresh session: settings in `pg_settings` that end
    /// in `_cost`.
    pub costs: Vec<(Arc<str>, f64)>,
    /// The role may do anything, or the one it logged in as may.
    pub superuser: bool,
    /// Types that do not ship with PostgreSQL, by `pg_type.oid`; row types of relations left out.
    pub types: HashMap<u32, StoredType>,
}

impl Snapshot {
    /// Whether a kind of plan that is off (`enable_indexscan`) only costs more on this server, so
    /// that it is used all the same where everything else costs more still.
    #[must_use]
    pub fn forbids_nothing(&self) -> bool {
        self.server_version_num < 180_000
    }
}

/// A type that does not ship with PostgreSQL (`pg_type`, `oid >= 16384`).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct StoredType {
    /// Name of its schema.
    pub schema: Arc<str>,
    /// Its name.
    pub name: Arc<str>,
    /// What kind.
    pub kind: TypeKind,
}

/// What kind of type (`pg_type.typtype`).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum TypeKind {
    /// An array of this type.
    Array(u32),
    /// A base type, of an extension for example.
    Base,
    /// A domain over this type.
    Domain(u32),
    /// An enum.
    Enum,
    /// A pseudo-type, or a kind this build does not know.
    Other,
    /// A range or multirange.
    Range,
}

/// The errand.
pub struct Survey {
    state: State,
    inbox: Inbox,
    /// What the newest snapshot was made of.
    known: Option<Known>,
    attempts: u32,
    received_bytes: usize,
    /// Asked to probe while busy: what is under way may have begun too early to see the change.
    is_asked_again: bool,
}

/// Named for what it waits for.
enum State {
    Transport,
    Login(Box<Login>),
    Check(Option<Check>),
    Compare(Option<Comparison>),
    Read(Box<Reading>, Part),
    /// The end of a query that failed; whether it is worth another attempt.
    Failure(ServerError),
    Probe,
    Nothing,
}

/// What the newest snapshot was made of.
#[derive(Debug, Default)]
struct Known {
    /// `pg_current_snapshot()` when it was last known to be current.
    visible: String,
    /// The oldest transaction the fingerprint looks at.
    base: u64,
    /// Row versions of the catalog.
    fingerprint: String,
    /// Settings of the role and the database that a new session starts with.
    settings: String,
    /// Locked relations that kept a definition from being read.
    locked: Vec<u32>,
}

/// The answer to the cheap question.
#[derive(Debug)]
struct Check {
    visible: String,
    is_in_recovery: bool,
    locked: usize,
}

/// The answer to the dear one.
#[derive(Debug)]
struct Comparison {
    visible: String,
    settings: String,
    fingerprint: String,
}

/// Why it cannot go on: fixed words, and details for the operator's log.
#[derive(Debug)]
struct Trouble {
    what: &'static str,
    detail: Option<String>,
}

impl Trouble {
    fn new(what: &'static str) -> Self {
        Self { what, detail: None }
    }
}

impl From<Fault> for Trouble {
    fn from(fault: Fault) -> Self {
        Self::new(fault.what)
    }
}

impl From<LoginError> for Trouble {
    fn from(error: LoginError) -> Self {
        let what = match error.reason {
            "credential" => "the server did not accept the credential",
            "unknown_database" => "the database does not exist",
            "too_many_connections" => "the server has no connection free",
            "upstream_tls" => "TLS with the server could not be started",
            _ => "the login failed",
        };
        Self { what, detail: Some(error.detail) }
    }
}

type Out<'a> = &'a mut ErrandOutbox<Bytes>;

impl Errand<Bytes> for Survey {
    fn handle(&mut self, input: ErrandInput<Bytes>, out: Out<'_>) -> Result<(), Fault> {
        let result = match input {
            ErrandInput::Connected(connected) => {
                self.connected(&connected, out);
                Ok(())
            }
            ErrandInput::TlsStarted(facts) => match &mut self.state {
                State::Login(login) => match login.tls_started(facts) {
                    Ok(step) => self.step(step, out),
                    Err(error) => Err(error.into()),
                },
                _ => Ok(()),
            },
            ErrandInput::Data(bytes) => self.data(&bytes, out),
            ErrandInput::Probe => {
                self.probe(out);
                Ok(())
            }
        };
        if let Err(trouble) = result {
            self.state = State::Nothing;
            self.inbox = Inbox::default();
            out.push(ErrandAct::Failed(trouble.what, trouble.detail));
        }
        Ok(())
    }
}

impl Default for Survey {
    fn default() -> Self {
        Self::new()
    }
}

impl Survey {
    /// A survey about to begin.
    #[must_use]
    pub fn new() -> Self {
        Self {
            state: State::Transport,
            inbox: Inbox::default(),
            known: None,
            attempts: 0,
            received_bytes: 0,
            is_asked_again: false,
        }
    }

    // ---- getting there -------------------------------------------------------------------------

    fn connected(&mut self, connected: &Connected, out: Out<'_>) {
        let parameters = [("application_name", "narrows-survey"), ("client_encoding", "UTF8")];
        let parameters = parameters.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let mut login = Login::new(connected, parameters.to_vec());
        match login.start() {
            Step::Send(first) => out.push(ErrandAct::Send(first)),
            Step::StartTls => out.push(ErrandAct::StartTls),
            Step::Ready(_) | Step::Wait => {}
        }
        self.state = State::Login(Box::new(login));
    }

    fn step(&mut self, step: Step, out: Out<'_>) -> Result<(), Trouble> {
        match step {
            Step::Send(bytes) => out.push(ErrandAct::Send(bytes)),
            Step::StartTls => out.push(ErrandAct::StartTls),
            Step::Ready(LoggedIn { rest, .. }) => {
                self.read(out);
                self.messages(&rest, out)?;
            }
            Step::Wait => {}
        }
        Ok(())
    }

    fn data(&mut self, bytes: &Bytes, out: Out<'_>) -> Result<(), Trouble> {
        match &mut self.state {
            State::Login(login) => {
                for step in login.data(bytes)? {
                    self.step(step, out)?;
                }
                Ok(())
            }
            State::Transport | State::Nothing => Ok(()),
            _ => self.messages(bytes, out),
        }
    }

    fn messages(&mut self, bytes: &Bytes, out: Out<'_>) -> Result<(), Trouble> {
        self.received_bytes = self.received_bytes.saturating_add(bytes.len());
        if self.received_bytes > CATALOG_BYTES_MAX {
            return Err(Trouble::new("the catalog is larger than 512 MiB"));
        }
        self.inbox.push(bytes);
        while let Some(frame) = self.inbox.frame(UPSTREAM_MESSAGE_BYTES_MAX, Side::Upstream)? {
            self.message(&frame, out)?;
        }
        Ok(())
    }

    // ---- asking --------------------------------------------------------------------------------

    fn probe(&mut self, out: Out<'_>) {
        match self.state {
            State::Probe => {
                self.attempts = 0;
                self.check(out);
            }
            _ => self.is_asked_again = true,
        }
    }

    fn ask(&mut self, state: State, text: &str, out: Out<'_>) {
        self.state = state;
        out.push(ErrandAct::Send(message::query(text)));
    }

    fn check(&mut self, out: Out<'_>) {
        self.received_bytes = 0;
        let locked = self.known.as_ref().map_or(&[][..], |known| &known.locked);
        let text = query::check(locked);
        self.ask(State::Check(None), &text, out);
    }

    fn read(&mut self, out: Out<'_>) {
        self.received_bytes = 0;
        self.attempts = self.attempts.saturating_add(1);
        let reading = Reading::default();
        let text = query::text(Part::FIRST, &reading.context);
        self.ask(State::Read(Box::new(reading), Part::FIRST), &text, out);
    }

    // ---- the answers ---------------------------------------------------------------------------

    fn message(&mut self, frame: &Frame, out: Out<'_>) -> Result<(), Trouble> {
        match frame.tag {
            b'D' => self.row(&Row::read(frame.body())?),
            b'E' => {
                let error = ServerError::read(frame.body());
                if error.fatal || matches!(self.state, State::Probe) {
                    let what = "the server ended the survey's connection";
                    return Err(Trouble { what, detail: Some(error.detail()) });
                }
                self.state = State::Failure(error);
                Ok(())
            }
            b'Z' => self.answered(out),
            // What a query's answer consists of besides, and what comes unasked.
            b'T' | b'C' | b'I' | b'N' | b'S' | b'A' => Ok(()),
            _ => Err(Trouble::new("the server sent a message that no query asked for")),
        }
    }

    fn row(&mut self, row: &Row<'_>) -> Result<(), Trouble> {
        match &mut self.state {
            State::Check(check) => {
                let (is_in_recovery, locked) = (row.flag(1)?, row.number(2)?);
                *check = Some(Check { visible: row.owned(0)?, is_in_recovery, locked });
            }
            State::Compare(comparison) => *comparison = Some(Comparison::read(row)?),
            State::Read(reading, part) => reading.row(*part, row)?,
            _ => return Err(Trouble::new("the server sent rows that no query asked for")),
        }
        Ok(())
    }

    fn answered(&mut self, out: Out<'_>) -> Result<(), Trouble> {
        match std::mem::replace(&mut self.state, State::Nothing) {
            State::Check(Some(check)) => self.checked(&check, out),
            State::Compare(Some(comparison)) => self.compared(comparison, out),
            State::Read(reading, part) => self.read_on(reading, part, out)?,
            State::Failure(error) => self.failed(&error, out)?,
            State::Check(None) | State::Compare(None) => {
                return Err(Trouble::new("the server answered a query with no row"));
            }
            State::Transport | State::Login(_) | State::Probe | State::Nothing => {
                return Err(Trouble::new("the server ended a query that was not asked"));
            }
        }
        Ok(())
    }

    /// Decides from the cheap answer whether the dear question is needed.
    fn checked(&mut self, check: &Check, out: Out<'_>) {
        let Some(known) = &self.known else { return self.read(out) };
        let (oldest, _) = check.visible.split_once(':').unwrap_or_default();
        let age = oldest.parse::<u64>().unwrap_or(u64::MAX).saturating_sub(known.base);
        if check.locked < known.locked.len() || age > FINGERPRINT_AGE_MAX {
            return self.read(out);
        }
        // On a standby the snapshot does not list what is in progress, so two equal ones may differ
        // in what they see.
        if !check.is_in_recovery && check.visible == known.visible {
            return self.rest(out);
        }
        let text = query::compare(known.base);
        self.ask(State::Compare(None), &text, out);
    }

    fn compared(&mut self, comparison: Comparison, out: Out<'_>) {
        let Some(known) = &mut self.known else { return self.read(out) };
        if comparison.settings != known.settings {
            // Settings of a role or database reach new sessions only; so this one cannot know what
            // search path they begin with.
            out.push(ErrandAct::Done);
        } else if comparison.fingerprint != known.fingerprint {
            self.read(out);
        } else {
            known.visible = comparison.visible;
            self.rest(out);
        }
    }

    fn read_on(
        &mut self,
        mut reading: Box<Reading>,
        part: Part,
        out: Out<'_>,
    ) -> Result<(), Trouble> {
        reading.complete(part)?;
        if let Some(next) = part.next() {
            let text = query::text(next, &reading.context);
            self.ask(State::Read(reading, next), &text, out);
            return Ok(());
        }
        let version = VERSION.fetch_add(1, Ordering::Relaxed);
        let (snapshot, known) = reading.finish(version)?;
        self.known = Some(known);
        out.push(ErrandAct::Snapshot(Arc::new(snapshot)));
        self.rest(out);
        Ok(())
    }

    /// What is dropped, or locked, between being listed and being described fails the reading; the
    /// next attempt sees the catalog as it is then. It begins by ending the failed transaction.
    fn failed(&mut self, error: &ServerError, out: Out<'_>) -> Result<(), Trouble> {
        if self.attempts < ATTEMPTS_MAX {
            self.read(out);
            return Ok(());
        }
        Err(Trouble { what: "the catalog could not be read", detail: Some(error.detail()) })
    }

    fn rest(&mut self, out: Out<'_>) {
        self.attempts = 0;
        if std::mem::take(&mut self.is_asked_again) {
            return self.check(out);
        }
        self.state = State::Probe;
        out.push(ErrandAct::Idle);
    }
}

impl Comparison {
    fn read(row: &Row<'_>) -> Result<Self, Trouble> {
        Ok(Self { visible: row.owned(0)?, settings: row.owned(1)?, fingerprint: row.owned(2)? })
    }
}
