//! Prepared statements, portals and cursors of one session, by name.
//!
//! PostgreSQL keeps one name space for statements (`Parse` and `PREPARE`) and one for portals
//! (`Bind` and `DECLARE`), and so does this. What is asked for but not yet confirmed is kept apart:
//! until the server confirms, an earlier statement of the same name may still be the one that runs.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use model::OperationId;
use model::limit::{PORTALS_MAX, PREPARED_STATEMENTS_MAX};
use sql::StatementKind;

use crate::judge::{Judged, MaskedColumns};
use crate::message::FieldDescription;

/// A prepared statement.
pub(crate) struct Prepared {
    /// What its text does. For SQL PREPARE this is the inner statement's.
    pub judged: Arc<Judged>,
    /// Which statement of the text.
    pub index: Option<usize>,
    /// That one is the PREPARE or DECLARE itself, and what it holds is meant.
    pub by_sql: bool,
    /// How many answers were awaited at the Sync before it was parsed: until the next one the
    /// server keeps locks on what it names, so that its description holds.
    pub parsed_behind: u64,
    /// Types of its parameters as the client gave them.
    pub parameter_types: Vec<u32>,
    /// What the server says it returns; empty for nothing.
    pub fields: OnceLock<Arc<[FieldDescription]>>,
}

/// What the server says a portal returns, once it has: the statement may have been planned anew
/// since that was described.
pub(crate) type PortalFields = Arc<OnceLock<Arc<[FieldDescription]>>>;

/// Stored columns that were hidden when a statement was admitted: what hides them may be gone when
/// its rows come.
pub(crate) type Hides = Vec<Arc<MaskedColumns>>;

impl Prepared {
    /// It reads or writes rows. `Parse` prepares every other statement too, which SQL PREPARE does
    /// not.
    pub fn is_query(&self) -> bool {
        use StatementKind::{Delete, Insert, Merge, Select, Update};
        let statement = self.index.and_then(|index| self.judged.statements.list.get(index));
        let is_one =
            |kind: &StatementKind| matches!(kind, Delete | Insert | Merge | Select | Update);
        self.by_sql || statement.is_some_and(|one| is_one(&one.kind))
    }
}

/// A portal or cursor.
pub(crate) struct Portal {
    /// What it runs.
    pub prepared: Arc<Prepared>,
    /// What that runs in turn, when it is FETCH or EXECUTE.
    pub source: Option<Source>,
    /// Result formats as bound.
    pub formats: Vec<i16>,
    /// The operation that passed the gate for it.
    pub gate: OperationId,
    /// It outlives its transaction.
    pub hold: bool,
    /// What was hidden when it was opened.
    pub hides: Hides,
    /// Which changes of definitions it was judged behind.
    pub since: u64,
    /// How many answers were awaited when what opened it was sent.
    pub behind: u64,
    /// Others were under way when it was opened.
    pub is_doubtful: bool,
    /// It was bound, so that nothing told when it was opened.
    pub is_bound: bool,
    /// As it was described when it was bound.
    pub fields: Option<PortalFields>,
}

/// What a FETCH or an EXECUTE runs: a statement that was sent before. Told when the operation is
/// asked for, because the name may mean something else when its reply comes.
#[derive(Clone)]
pub(crate) struct Source {
    /// Its facts, and those of the text around it when there is more in it.
    pub judged: Arc<Judged>,
    /// Which of its statements returns the columns; `None` when none of them, or when the text has
    /// other statements beside.
    pub index: Option<usize>,
    /// The operation that passed the gate for the cursor.
    pub gate: Option<OperationId>,
    /// What was hidden when the cursor was opened.
    pub hides: Hides,
    /// It is no query, so that it changes something of the session.
    pub takes_effect: bool,
}

/// Names to what they mean.
pub(crate) struct Names<T> {
    known: HashMap<Vec<u8>, Arc<T>>,
    /// In order, with the number of answers that were awaited before.
    asked: Vec<(Vec<u8>, Arc<T>, u64)>,
    most: usize,
}

/// Longest name that the server tells from others, bytes: it keeps names in tables with keys of
/// `NAMEDATALEN`, and cuts longer ones (PostgreSQL, `string_hash`).
pub(crate) const NAME_BYTES_MAX: usize = 63;

fn key(name: &[u8]) -> &[u8] {
    name.get(..NAME_BYTES_MAX).unwrap_or(name)
}

impl<T> Names<T> {
    fn new(most: usize) -> Self {
        Self { known: HashMap::new(), asked: Vec::new(), most }
    }

    /// What `name` means to the next message: what was asked for last, else what is known.
    pub fn find(&self, name: &[u8]) -> Option<&Arc<T>> {
        let name = key(name);
        let asked = self.asked.iter().rev().find(|(asked, ..)| asked == name);
        asked.map(|(_, value, _)| value).or_else(|| self.known.get(name))
    }

    /// What was asked for first under this name, and is not confirmed yet: what the server answers
    /// next about the name.
    pub fn awaited(&self, name: &[u8]) -> Option<&Arc<T>> {
        let name = key(name);
        self.asked.iter().find(|(asked, ..)| asked == name).map(|(_, value, _)| value)
    }

    /// No more names fit.
    pub fn is_full(&self) -> bool {
        self.known.len().saturating_add(self.asked.len()) >= self.most
    }

    /// Asks for a name, when so many answers have been awaited.
    pub fn ask(&mut self, name: &[u8], value: Arc<T>, answers: u64) {
        let name = key(name);
        self.asked.push((name.to_vec(), value, answers));
    }

    /// The name was asked for before the server was to start afresh at `boundary`, and whether it
    /// got it is not known: if not, the name means what it meant before.
    pub fn is_unsettled(&self, name: &[u8], boundary: u64) -> bool {
        let name = key(name);
        self.asked.iter().any(|(asked, _, answers)| *answers < boundary && asked == name)
    }

    /// The same statement, judged anew.
    pub fn renew(&mut self, name: &[u8], value: &Arc<T>) {
        let name = key(name);
        let asked = self.asked.iter_mut().rev().find(|(asked, ..)| asked == name);
        if let Some(known) = asked.map(|(_, value, _)| value).or(self.known.get_mut(name)) {
            *known = Arc::clone(value);
        }
    }

    /// The server confirmed the oldest one asked for under this name. Returns what it replaces.
    pub fn confirm(&mut self, name: &[u8]) -> Option<Arc<T>> {
        let name = key(name);
        let at = self.asked.iter().position(|(asked, ..)| asked == name)?;
        let (name, value, _) = self.asked.remove(at);
        self.known.insert(name, value)
    }

    /// The oldest one asked for under this name will not come to be.
    pub fn unasked(&mut self, name: &[u8]) -> Option<Arc<T>> {
        let name = key(name);
        let at = self.asked.iter().position(|(asked, ..)| asked == name)?;
        Some(self.asked.remove(at).1)
    }

    /// The name is gone.
    pub fn remove(&mut self, name: &[u8]) -> Option<Arc<T>> {
        let name = key(name);
        self.known.remove(name)
    }

    /// Keeps only what `keep` says; returns the rest.
    pub fn retain(&mut self, keep: impl Fn(&T) -> bool) -> Vec<Arc<T>> {
        let mut gone = Vec::new();
        self.known.retain(|_, value| {
            let keeps = keep(value);
            if !keeps {
                gone.push(Arc::clone(value));
            }
            keeps
        });
        gone
    }

    /// Puts in a name that is known already.
    pub fn insert(&mut self, name: &[u8], value: Arc<T>) -> Option<Arc<T>> {
        let name = key(name);
        if self.known.len() >= self.most && !self.known.contains_key(name) {
            return Some(value);
        }
        self.known.insert(name.to_vec(), value)
    }
}

/// Prepared statements.
pub(crate) fn statements() -> Names<Prepared> {
    Names::new(PREPARED_STATEMENTS_MAX)
}

/// Portals and cursors.
pub(crate) fn portals() -> Names<Portal> {
    Names::new(PORTALS_MAX)
}
