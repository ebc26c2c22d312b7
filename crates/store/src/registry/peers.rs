//! Asking the other gateways that share the registry, and answering them.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex, RwLock};

use super::feed;
use super::feed::GatewaySeen;
use super::value::Value;
use super::{Kind, Registry, Shared};
use crate::id;
use crate::state::{Lane, StateError};

/// Questions of others that wait for this gateway's answer; more are not answered.
const WAITING_MAX: usize = 64;
/// Longest answer, bytes.
const ANSWER_BYTES_MAX: usize = 8 * 1024 * 1024;

/// What the others said.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Asked {
    /// Who said what.
    pub answers: Vec<(String, String)>,
    /// Who did not answer in time.
    pub silent: Vec<String>,
}

/// Answers a question: its kind and what it is about. `None` is no answer. May take its time.
type Answerer = Box<dyn Fn(&str, &str) -> Option<String> + Send + Sync>;

/// The other gateways of this installation.
pub struct Peers {
    registry: Arc<Registry>,
    shared: Arc<Shared>,
    answerer: RwLock<Option<Answerer>>,
    /// How many answers have come, and who waits for one more.
    came: Mutex<u64>,
    news: Condvar,
    questions: SyncSender<String>,
}

impl Peers {
    pub(crate) fn start(
        registry: Arc<Registry>,
        shared: Arc<Shared>,
    ) -> Result<Arc<Self>, StateError> {
        let (questions, asked) = sync_channel::<String>(WAITING_MAX);
        let peers = Arc::new(Self {
            registry,
            shared,
            answerer: RwLock::default(),
            came: Mutex::new(0),
            news: Condvar::new(),
            questions,
        });
        let weak = Arc::downgrade(&peers);
        let thread = std::thread::Builder::new().name("narrows-answers".to_owned());
        let started = thread.spawn(move || {
            while let Ok(id) = asked.recv() {
                let Some(peers) = weak.upgrade() else { return };
                if let Err(error) = peers.answer(&id) {
                    tracing::warn!(%error, "another gateway's question was not answered");
                }
            }
        });
        started.map_err(|error| {
            StateError::Content(format!("cannot start a thread for the shared state: {error}"))
        })?;
        Ok(peers)
    }

    /// Answers what others ask from now on.
    pub fn answer_by(&self, answerer: Answerer) {
        *self.answerer.write() = Some(answerer);
    }

    /// Asks all others that are heard, and waits until all answered, `enough` says that an answer
    /// is all that is wanted, or the time is over.
    ///
    /// # Errors
    /// The database cannot be used.
    pub fn ask(
        &self,
        what: &str,
        about: &str,
        wait: Duration,
        enough: impl Fn(&str) -> bool,
    ) -> Result<Asked, StateError> {
        let own = self.shared.gateway();
        let end = Instant::now() + wait;
        let mut all: Vec<String> = Vec::new();
        for one in self.gateways()? {
            if one.present && one.gateway != **own {
                all.push(one.gateway);
            }
        }
        if all.is_empty() {
            return Ok(Asked::default());
        }
        let made = id::short_id("ask_", 12);
        let ask = made.map_err(|error| StateError::Content(error.to_string()))?;
        self.registry.write(Lane::Registry, |tx| {
            tx.run(
                "INSERT INTO asks (id, asked_by, what, body) VALUES (?1, ?2, ?3, ?4)",
                &[ask.as_str().into(), own.into(), what.into(), about.into()],
            )?;
            tx.changed(Kind::Ask, &ask);
            Ok::<_, StateError>(())
        })?;
        loop {
            let seen = *self.came.lock();
            let answers = self.answers(&ask)?;
            let said: HashSet<&str> = answers.iter().map(|(gateway, _)| &**gateway).collect();
            let silent: Vec<_> =
                all.iter().filter(|one| !said.contains(one.as_str())).cloned().collect();
            let done = silent.is_empty() || answers.iter().any(|(_, answer)| enough(answer));
            if done || Instant::now() >= end {
                return Ok(Asked { answers, silent });
            }
            let mut came = self.came.lock();
            if *came == seen {
                let _ = self.news.wait_until(&mut came, end);
            }
        }
    }

    /// The gateways of this installation, this one included.
    ///
    /// # Errors
    /// The database cannot be used.
    pub fn gateways(&self) -> Result<Vec<GatewaySeen>, StateError> {
        self.shared.read(|transaction| {
            let mut failed = None;
            let found = feed::gateways(|sql| {
                transaction.rows(sql, &[]).map_err(|error| {
                    failed = Some(error);
                    super::link::Fault::Lost(String::new())
                })
            });
            match (found, failed) {
                (Ok(found), _) => found,
                (Err(_), Some(error)) => Err(error),
                (Err(fault), None) => Err(fault.at("")),
            }
        })
    }

    /// Why the state that gateways share cannot be used now, if it cannot.
    #[must_use]
    pub fn fault(&self) -> Option<String> {
        self.shared.fault()
    }

    /// Tells the others that this gateway leaves, as far as that can be told.
    pub fn leave(&self) {
        self.shared.leave();
        let sql = "UPDATE gateways SET seen_at = now() - INTERVAL '1 minute' WHERE gateway = ?1";
        let own = self.shared.gateway();
        let left = self.registry.write(Lane::Registry, |tx| tx.run(sql, &[own.into()]));
        if let Err(error) = left {
            let _: StateError = error;
            tracing::debug!("the other gateways are not told that this one stops");
        }
    }

    fn answers(&self, ask: &str) -> Result<Vec<(String, String)>, StateError> {
        let sql = "SELECT gateway, body FROM answers WHERE ask = ?1 ORDER BY gateway";
        self.registry.read(Lane::Reader, |tx| {
            let rows = tx.rows(sql, &[ask.into()])?;
            rows.iter().map(|row| Ok((row.text(0)?.to_owned(), row.text(1)?.to_owned()))).collect()
        })
    }

    /// Another gateway answered.
    pub(crate) fn heard_answer(&self) {
        *self.came.lock() += 1;
        self.news.notify_all();
    }

    /// Another gateway asks.
    pub(crate) fn heard_ask(&self, id: &str) {
        if self.questions.try_send(id.to_owned()).is_err() {
            tracing::warn!(most = WAITING_MAX, "more is asked by other gateways than is answered");
        }
    }

    fn answer(&self, id: &str) -> Result<(), StateError> {
        let own = self.shared.gateway();
        let sql = "SELECT asked_by, what, body FROM asks WHERE id = ?1";
        let rows = self.registry.read(Lane::Reader, |tx| tx.rows(sql, &[id.into()]))?;
        let Some(row) = rows.first() else { return Ok(()) };
        if row.text(0)? == &**own {
            return Ok(());
        }
        let answerer = self.answerer.read();
        let Some(answer) = answerer.as_ref() else { return Ok(()) };
        let Some(said) = answer(row.text(1)?, row.text(2)?) else { return Ok(()) };
        if said.len() > ANSWER_BYTES_MAX {
            return Err(StateError::Content(format!(
                "an answer of {} bytes; {ANSWER_BYTES_MAX} is the most",
                said.len()
            )));
        }
        self.registry.write(Lane::Registry, |tx| {
            tx.run(
                "INSERT INTO answers (ask, gateway, body) VALUES (?1, ?2, ?3)
                 ON CONFLICT (ask, gateway) DO NOTHING",
                &[id.into(), own.into(), Value::Text(said.clone())],
            )?;
            tx.changed(Kind::Answer, id);
            Ok(())
        })
    }
}

impl fmt::Debug for Peers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Peers").field(&self.shared).finish()
    }
}
