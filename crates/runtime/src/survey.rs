//! Keeping what a protocol must know of an upstream fresh (R7).
//!
//! One task per upstream, started by the first session and stopped some minutes after the last. It
//! runs the protocol's errand on a connection of its own, so it never sees a client's transaction.

use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use engine::{ErrandInput, Snapshots};
use parking_lot::Mutex;
use secrets::SecretError;
use tokio::sync::{Notify, watch};
use tokio::time::{sleep, sleep_until, timeout};

use crate::errand::{ErrandError, Rest, Trip};
use crate::gateway::Settings;
use crate::mailbox::Mailbox;
use crate::upstream::{Unreachable, Upstream};

/// How long the task goes on without a session.
const IDLE_MAX: Duration = Duration::from_secs(300);
/// Longest pause before a failed survey is tried again while sessions are live.
const RETRY_MAX: Duration = Duration::from_secs(30);

/// The survey of one upstream.
pub(crate) struct Survey {
    newest: Arc<Newest>,
    status: watch::Sender<Status>,
    /// Wakes the task: someone waits, or the last session left.
    wake: Notify,
    waiting: Mutex<Vec<Arc<Mailbox>>>,
    sessions: AtomicUsize,
    running: AtomicBool,
    age_max: Duration,
    time_max: Duration,
}

/// How the last attempt went; numbered, so that a waiter tells news from history.
#[derive(Clone, Default)]
struct Status {
    attempt: u64,
    error: Option<Arc<str>>,
    /// It failed for want of a credential.
    no_credential: bool,
}

/// The newest snapshot and when it was last known to be current.
struct Newest {
    snapshot: ArcSwapOption<Arc<dyn Any + Send + Sync>>,
    checked_ns: AtomicU64,
    anchor: Instant,
    outlive: Duration,
}

impl Newest {
    fn age(&self) -> Duration {
        let checked = Duration::from_nanos(self.checked_ns.load(Ordering::Acquire));
        self.anchor.elapsed().saturating_sub(checked)
    }

    fn confirm(&self) {
        let now = u64::try_from(self.anchor.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.checked_ns.store(now, Ordering::Release);
    }
}

impl Snapshots for Newest {
    fn current(&self) -> Option<Arc<dyn Any + Send + Sync>> {
        // An upstream that stopped answering the survey may have changed since: fail closed.
        if self.age() > self.outlive {
            return None;
        }
        self.snapshot.load().as_deref().map(Arc::clone)
    }
}

/// Keeps the survey going while a session lives.
pub(crate) struct Lease(Arc<Upstream>);

impl Drop for Lease {
    fn drop(&mut self) {
        if self.0.survey.sessions.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.survey.wake.notify_one();
        }
    }
}

impl Survey {
    pub fn new(settings: &Settings) -> Self {
        let newest = Newest {
            snapshot: ArcSwapOption::empty(),
            checked_ns: AtomicU64::new(0),
            anchor: Instant::now(),
            outlive: settings.catalog_outlive.max(settings.catalog_max_age),
        };
        Self {
            newest: Arc::new(newest),
            status: watch::Sender::default(),
            wake: Notify::new(),
            waiting: Mutex::new(Vec::new()),
            sessions: AtomicUsize::new(0),
            running: AtomicBool::new(false),
            age_max: settings.catalog_max_age,
            time_max: settings.connect_timeout,
        }
    }

    pub fn snapshots(&self) -> Arc<dyn Snapshots> {
        Arc::clone(&self.newest) as _
    }

    /// Waits until the snapshot is there and no older than it may be. The caller bounds the wait.
    pub async fn ready(upstream: &Arc<Upstream>) -> Result<Option<Lease>, Unreachable> {
        if upstream.protocol.survey().is_none() {
            return Ok(None);
        }
        let this = &upstream.survey;
        let mut status = this.status.subscribe();
        let seen = status.borrow_and_update().attempt;
        let sessions = this.sessions.fetch_add(1, Ordering::AcqRel);
        let lease = Lease(Arc::clone(upstream));
        let fresh = this.is_fresh();
        // With the first session a task that idles must go on probing, fresh as its snapshot may
        // be.
        if !fresh || sessions == 0 {
            Self::look(upstream);
        }
        if fresh {
            return Ok(Some(lease));
        }
        loop {
            let gone = status.changed().await.is_err();
            let now = status.borrow_and_update().clone();
            match now.error {
                Some(error) if now.attempt > seen && now.no_credential => {
                    return Err(SecretError::Store(error.to_string()).into());
                }
                Some(error) if now.attempt > seen => {
                    return Err(Unreachable::Catalog(error.to_string()));
                }
                None if this.is_fresh() => return Ok(Some(lease)),
                _ if gone => return Err(Unreachable::Catalog("the survey ended".to_owned())),
                _ => {}
            }
        }
    }

    /// Looks again now; `mailbox` is told when that is done, or could not be done.
    pub fn refresh(upstream: &Arc<Upstream>, mailbox: &Arc<Mailbox>) {
        if upstream.protocol.survey().is_none() {
            mailbox.refreshed();
            return;
        }
        upstream.survey.waiting.lock().push(Arc::clone(mailbox));
        Self::look(upstream);
    }

    fn is_fresh(&self) -> bool {
        self.newest.snapshot.load().is_some() && self.newest.age() <= self.age_max
    }

    /// Has the task look now. A task that is only started here looks first thing.
    fn look(upstream: &Arc<Upstream>) {
        if upstream.survey.running.swap(true, Ordering::AcqRel) {
            upstream.survey.wake.notify_one();
        } else {
            tokio::spawn(run(Arc::clone(upstream)));
        }
    }

    fn is_wanted(&self) -> bool {
        self.sessions.load(Ordering::Acquire) > 0 || !self.waiting.lock().is_empty()
    }

    /// Says how an attempt ended to everyone who waited for it.
    fn settle(&self, waiting: Vec<Arc<Mailbox>>, error: Option<&ErrandError>) {
        if error.is_none() {
            self.newest.confirm();
        }
        self.status.send_modify(|status| {
            status.attempt = status.attempt.saturating_add(1);
            status.error = error.map(|error| error.to_string().into());
            let unreachable =
                |error| matches!(error, &ErrandError::Unreachable(Unreachable::Credential(_)));
            status.no_credential = error.is_some_and(unreachable);
        });
        for mailbox in waiting {
            mailbox.refreshed();
        }
    }
}

async fn run(upstream: Arc<Upstream>) {
    let survey = &upstream.survey;
    let mut pause = survey.age_max;
    loop {
        match stay(&upstream, &mut pause).await {
            Ok(()) => {
                survey.running.store(false, Ordering::Release);
                // Someone may have come between the last look and that store.
                if !survey.is_wanted() || survey.running.swap(true, Ordering::AcqRel) {
                    return;
                }
            }
            Err(error) => {
                let resource = &upstream.plan.resource.name;
                tracing::warn!(%resource, %error, "the survey of a resource failed");
                let waiting = std::mem::take(&mut *survey.waiting.lock());
                survey.settle(waiting, Some(&error));
                tokio::select! {
                    () = sleep(pause) => {}
                    () = survey.wake.notified() => {}
                }
                pause = pause.saturating_mul(2).min(RETRY_MAX);
                if !survey.is_wanted() {
                    survey.running.store(false, Ordering::Release);
                    if !survey.is_wanted() || survey.running.swap(true, Ordering::AcqRel) {
                        return;
                    }
                }
            }
        }
    }
}

/// One stay at the upstream: surveys, then probes while sessions live. `Ok` when no session has
/// been there for a while.
async fn stay(upstream: &Arc<Upstream>, pause: &mut Duration) -> Result<(), ErrandError> {
    let ended = Arc::new(Notify::new());
    let survey = &upstream.survey;
    let Some(errand) = upstream.protocol.survey() else { return Ok(()) };
    let waiting = std::mem::take(&mut *survey.waiting.lock());
    let result = bounded(survey.time_max, open(upstream, errand, Arc::clone(&ended))).await;
    let (mut trip, _lease) = match result {
        Ok(trip) => trip,
        Err(error) => {
            survey.waiting.lock().extend(waiting);
            return Err(error);
        }
    };
    publish(survey, &mut trip);
    survey.settle(waiting, None);
    *pause = survey.age_max;
    let mut probe_at = tokio::time::Instant::now() + survey.age_max;
    loop {
        let wanted = survey.is_wanted();
        tokio::select! {
            said = trip.read() => {
                let said = said?;
                bounded(survey.time_max, trip.run(ErrandInput::Data(said))).await?;
                publish(survey, &mut trip);
                continue;
            }
            () = survey.wake.notified() => {
                if !survey.is_wanted() {
                    continue;
                }
            }
            () = ended.notified() => return Err(ErrandError::failed("its credential has ended")),
            () = sleep_until(probe_at), if wanted => {}
            () = sleep(IDLE_MAX), if !wanted => return Ok(()),
        }
        // Taken before the probe begins: who asks later wants a later look.
        let waiting = std::mem::take(&mut *survey.waiting.lock());
        probe_at = tokio::time::Instant::now() + survey.age_max;
        match bounded(survey.time_max, trip.run(ErrandInput::Probe)).await {
            Ok(rest) => {
                publish(survey, &mut trip);
                survey.settle(waiting, None);
                if rest == Rest::Done {
                    return Ok(());
                }
            }
            Err(error) => {
                survey.waiting.lock().extend(waiting);
                return Err(error);
            }
        }
    }
}

async fn open(
    upstream: &Arc<Upstream>,
    errand: Box<dyn engine::Errand<bytes::Bytes>>,
    ended: Arc<Notify>,
) -> Result<(Trip, Option<secrets::Lease>), ErrandError> {
    let stream = upstream.dial(upstream.survey.time_max).await?;
    let mut trip = Trip::new(Arc::clone(upstream), errand, stream);
    let (connected, lease) = upstream.connected("the survey", move || ended.notify_one()).await?;
    trip.begin(connected).await?;
    Ok((trip, lease))
}

fn publish(survey: &Survey, trip: &mut Trip) {
    if let Some(snapshot) = trip.take_snapshot() {
        survey.newest.snapshot.store(Some(Arc::new(snapshot)));
    }
}

async fn bounded<T>(
    within: Duration,
    work: impl Future<Output = Result<T, ErrandError>>,
) -> Result<T, ErrandError> {
    let timed_out = ErrandError::failed("it did not answer in time");
    timeout(within, work).await.unwrap_or(Err(timed_out))
}
