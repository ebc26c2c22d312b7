//! Credentials that are made for one session and end with it.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use model::Secret;
use parking_lot::{Condvar, Mutex};
use seal::SealError;
use tokio::sync::Semaphore;

use crate::source::SecretError;
use crate::stores::{Shared, Stores, Working};
use crate::vault;

/// How often a lease is asked to be revoked; then it ends at its own end.
const REVOKE_TRIES_MAX: u32 = 6;
/// Pause after the first try; doubled after each further one.
const REVOKE_PAUSE: Duration = Duration::from_secs(1);
/// Leases that wait to be revoked; past it the oldest is left to its own end.
const LEAVING_MAX: usize = 50_000;
/// The least between two renewals of one lease.
const RENEW_PAUSE: Duration = Duration::from_secs(1);

/// Where the credentials of a resource are made.
#[derive(Clone)]
pub struct CredentialSource {
    path: String,
    stores: Arc<Stores>,
}

impl PartialEq for CredentialSource {
    fn eq(&self, other: &Self) -> bool {
        self.path == other.path && self.stores.plan() == other.stores.plan()
    }
}

impl Eq for CredentialSource {}

impl fmt::Debug for CredentialSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CredentialSource(vault:{})", self.path)
    }
}

/// For whom a credential is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Whom {
    /// The resource it opens.
    pub resource: String,
    /// The session, or what else uses it.
    pub user: String,
}

/// A credential, ours until this is dropped.
pub struct Lease {
    /// The account that was made.
    pub user: String,
    /// Its password.
    pub password: Secret<String>,
    /// The lease's name in the store.
    pub id: Arc<str>,
    /// How long it lasts without being renewed.
    pub lasts: Duration,
    number: u64,
    working: Arc<Working>,
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.working.shared().leases.give_back(self.number);
    }
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lease").field("user", &self.user).field("id", &self.id).finish()
    }
}

/// Called when a credential ends before whoever uses it does.
type OnEnd = Box<dyn Fn() + Send + Sync>;

impl CredentialSource {
    /// Credentials that `path` (`database/creds/ROLE`) makes.
    #[must_use]
    pub const fn new(path: String, stores: Arc<Stores>) -> Self {
        Self { path, stores }
    }

    /// Has a credential made, and keeps it alive until it is dropped. `on_end` is called once if
    /// that does not succeed.
    ///
    /// # Errors
    ///
    /// There is none to be had, and why.
    pub async fn lease(
        &self,
        whom: Whom,
        on_end: impl Fn() + Send + Sync + 'static,
    ) -> Result<Lease, SecretError> {
        let working = Arc::clone(self.stores.working());
        let turns = Arc::clone(&working.shared().leases.turns);
        let failed = |why: String| SecretError::Store(why);
        let turn = turns.acquire_owned().await.map_err(|error| failed(error.to_string()))?;
        let path = self.path.clone();
        // Made into a lease on that thread: whoever stops waiting gives it back by that.
        let made = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            make(working, &path, whom, Box::new(on_end))
        });
        made.await.map_err(|error| failed(error.to_string()))?.map_err(failed)
    }

    /// Where they are made, for people.
    #[must_use]
    pub fn describe(&self) -> String {
        format!("vault:{}", self.path)
    }

    /// Has one made and revoked at once, on a thread that may wait: whether it can be had.
    ///
    /// # Errors
    ///
    /// Why it cannot.
    pub fn probe(&self) -> Result<(), String> {
        let shared = self.stores.working().shared();
        let client = shared.vault()?;
        let made = vault::make(client, &self.path).map_err(|error| error.to_string())?;
        vault::revoke(client, &made.lease.id).map_err(|error| error.to_string())
    }
}

fn make(working: Arc<Working>, path: &str, whom: Whom, on_end: OnEnd) -> Result<Lease, String> {
    let shared = Arc::clone(working.shared());
    let asked = Instant::now();
    let made = vault::make(shared.vault()?, path).map_err(|error| error.to_string())?;
    let id: Arc<str> = made.lease.id.into();
    let lasts = made.lease.lasts;
    let held = Held {
        id: Arc::clone(&id),
        user: made.user.clone(),
        whom,
        ends: asked + lasts,
        renew: made.lease.renewable.then(|| asked + lasts / 3 * 2),
        failing: false,
        on_end,
    };
    let number = shared.leases.hold(held);
    Ok(Lease { user: made.user, password: made.password, id, lasts, number, working })
}

/// Every lease, and the thread that looks after them.
pub(crate) struct Leases {
    work: Mutex<Work>,
    wake: Condvar,
    /// Whoever waits for [`Leases::settle`].
    settled: Condvar,
    /// How many are made at the same time.
    turns: Arc<Semaphore>,
}

impl Default for Leases {
    fn default() -> Self {
        Self {
            work: Mutex::default(),
            wake: Condvar::new(),
            settled: Condvar::new(),
            turns: Arc::new(Semaphore::new(model::limit::KEY_SERVICE_CALLS_MAX)),
        }
    }
}

#[derive(Default)]
struct Work {
    held: BTreeMap<u64, Held>,
    leaving: VecDeque<Leaving>,
    /// One is being revoked now.
    revoking: bool,
    next: u64,
    ended: bool,
}

/// A lease that is used.
struct Held {
    id: Arc<str>,
    user: String,
    whom: Whom,
    ends: Instant,
    /// When it is renewed; `None`: it cannot be.
    renew: Option<Instant>,
    failing: bool,
    on_end: OnEnd,
}

/// A lease that is used no more.
struct Leaving {
    id: Arc<str>,
    user: String,
    whom: Whom,
    tries: u32,
    due: Instant,
}

/// What is to be done next.
enum Task {
    Ended(Held),
    Renew(u64, Arc<str>),
    Revoke(Leaving),
}

impl Work {
    fn next(&mut self, now: Instant) -> Result<Task, Option<Instant>> {
        let over = self.held.iter().find(|(_, held)| held.ends <= now).map(|(number, _)| *number);
        if let Some(over) = over.and_then(|number| self.held.remove(&number)) {
            return Ok(Task::Ended(over));
        }
        let renew =
            self.held.iter().filter_map(|(number, held)| Some((held.renew?, *number, held)));
        let renew = renew.min_by_key(|(at, ..)| *at);
        if let Some((at, number, held)) = &renew
            && *at <= now
        {
            return Ok(Task::Renew(*number, Arc::clone(&held.id)));
        }
        let wakes = renew.map(|(at, ..)| at);
        let ends = self.held.values().map(|held| held.ends).min();
        if let Some(at) = self.leaving.iter().position(|leaving| leaving.due <= now)
            && let Some(leaving) = self.leaving.remove(at)
        {
            self.revoking = true;
            return Ok(Task::Revoke(leaving));
        }
        let leaves = self.leaving.iter().map(|leaving| leaving.due).min();
        Err([wakes, ends, leaves].into_iter().flatten().min())
    }
}

impl Leases {
    fn hold(&self, held: Held) -> u64 {
        let mut work = self.work.lock();
        work.next += 1;
        let number = work.next;
        work.held.insert(number, held);
        self.wake.notify_one();
        number
    }

    /// It is used no more, and revoked soon.
    fn give_back(&self, number: u64) {
        let mut work = self.work.lock();
        // One that ended already is no more.
        let Some(Held { id, user, whom, .. }) = work.held.remove(&number) else { return };
        if work.leaving.len() >= LEAVING_MAX {
            work.leaving.pop_front();
        }
        work.leaving.push_back(Leaving { id, user, whom, tries: 0, due: Instant::now() });
        self.wake.notify_one();
    }

    pub fn end(&self) {
        self.work.lock().ended = true;
        self.wake.notify_one();
    }

    /// Takes back what is still used, and waits until everything is revoked.
    pub fn settle(&self, within: Duration) -> bool {
        let until = Instant::now() + within;
        let mut work = self.work.lock();
        for Held { id, user, whom, .. } in std::mem::take(&mut work.held).into_values() {
            work.leaving.push_back(Leaving { id, user, whom, tries: 0, due: until });
        }
        for leaving in &mut work.leaving {
            leaving.due = Instant::now();
        }
        self.wake.notify_one();
        while !work.leaving.is_empty() || work.revoking {
            if self.settled.wait_until(&mut work, until).timed_out() {
                return work.leaving.is_empty() && !work.revoking;
            }
        }
        true
    }

    /// The thread: what ended first, then what has to be renewed, then what is given back.
    pub fn run(shared: &Arc<Shared>) {
        let leases = &shared.leases;
        loop {
            let task = {
                let mut work = leases.work.lock();
                loop {
                    let now = Instant::now();
                    match work.next(now) {
                        Ok(task) => break task,
                        Err(_) if work.ended && work.leaving.is_empty() => return,
                        Err(Some(at)) => {
                            leases.wake.wait_for(&mut work, at - now);
                        }
                        Err(None) => leases.wake.wait(&mut work),
                    }
                }
            };
            match task {
                Task::Ended(held) => ended(shared, held, "it could not be renewed in time"),
                Task::Renew(number, id) => renew(shared, number, &id),
                Task::Revoke(leaving) => {
                    revoke(shared, leaving);
                    leases.work.lock().revoking = false;
                    leases.settled.notify_all();
                }
            }
        }
    }
}

/// A credential ended while it was used.
fn ended(shared: &Shared, held: Held, why: &str) {
    let Held { id, user, whom, on_end, .. } = held;
    let Whom { resource, user: by } = whom;
    tracing::warn!(%resource, user, used_by = by, lease = %id, why, "a credential has ended");
    let detail = format!("{user} of {by} has ended: {why} (lease {id})");
    shared.tell("credential.end", resource, detail);
    on_end();
}

fn renew(shared: &Shared, number: u64, id: &str) {
    let asked = Instant::now();
    let renewed =
        shared.vault().map_err(Err).and_then(|client| vault::renew(client, id).map_err(Ok));
    let mut work = shared.leases.work.lock();
    // Given back meanwhile.
    let Some(held) = work.held.get_mut(&number) else { return };
    let why = match renewed {
        Ok((lasts, renewable)) => {
            held.ends = asked + lasts;
            let at = (asked + lasts / 3 * 2).max(asked + RENEW_PAUSE);
            held.renew = renewable.then_some(at);
            held.failing = false;
            return;
        }
        Err(Ok(error @ SealError::NotThere { .. })) => Err(error.to_string()),
        Err(Ok(SealError::Refused { why, .. })) if why.contains("lease not found") => Err(why),
        Err(Ok(error)) => Ok(error.to_string()),
        Err(Err(why)) => Ok(why),
    };
    match why {
        // The store ended it: somebody revoked it there.
        Err(why) => {
            let held = work.held.remove(&number);
            drop(work);
            if let Some(held) = held {
                ended(shared, held, &why);
            }
        }
        Ok(why) => {
            let left = held.ends.saturating_duration_since(asked);
            held.renew = Some(Instant::now() + (left / 4).max(RENEW_PAUSE));
            let first = !std::mem::replace(&mut held.failing, true);
            let (user, whom) = (held.user.clone(), held.whom.clone());
            drop(work);
            if first {
                let Whom { resource, user: by } = whom;
                let left = left.as_secs();
                tracing::warn!(%resource, user, used_by = by, why, "a credential is not renewed");
                let detail = format!("{user} of {by} is not renewed, {left} s are left: {why}");
                shared.tell("credential.fail", resource, detail);
            }
        }
    }
}

fn revoke(shared: &Shared, mut leaving: Leaving) {
    leaving.tries += 1;
    let revoked = match shared.vault() {
        Ok(client) => vault::revoke(client, &leaving.id).map_err(|error| error.to_string()),
        Err(why) => Err(why),
    };
    let Leaving { id, user, whom, tries, .. } = &leaving;
    let Whom { resource, user: by } = whom;
    match revoked {
        Ok(()) => {
            let detail = format!("{user} of {by} (lease {id})");
            shared.tell("credential.revoke", resource, detail);
        }
        Err(why) if *tries >= REVOKE_TRIES_MAX => {
            tracing::warn!(%resource, user, used_by = by, lease = %id, why,
                "a credential is not revoked; it ends at its own end");
            let detail = format!(
                "{user} of {by} is not revoked in {tries} tries and ends at its own end: {why} \
                 (lease {id})"
            );
            shared.tell("credential.left", resource, detail);
        }
        Err(why) => {
            tracing::debug!(%resource, user, why, "a credential is not revoked yet");
            let pause = REVOKE_PAUSE.saturating_mul(1 << (tries - 1).min(10));
            leaving.due = Instant::now() + pause;
            shared.leases.work.lock().leaving.push_back(leaving);
        }
    }
}
