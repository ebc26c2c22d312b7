//! An identity provider: its keys, and the thread that fetches them.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::thread;
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use model::{Offer, Timestamp};
use parking_lot::{Condvar, Mutex};
use tokio::sync::watch;

use crate::fetch::Fetcher;
use crate::jwt::{Fault, Verified, verify, verify_id_token};
use crate::keys::Keys;
use crate::plan::IssuerPlan;

/// How often keys are fetched while all is well: a key that its provider withdraws is believed no
/// longer than this.
const REFRESH: Duration = Duration::from_secs(300);
/// Pause after a fetch that failed; doubled up to the refresh after each further one.
const RETRY: Duration = Duration::from_secs(5);
/// The least between two fetches, however many tokens name keys that nobody knows.
const PAUSE: Duration = Duration::from_secs(2);
/// How long keys are believed while their provider cannot be asked.
const OUTLIVE: Duration = Duration::from_secs(24 * 3600);
/// How long a token that names an unknown key waits for the next fetch.
const WAIT: Duration = Duration::from_secs(15);

/// No two fetches of this process have the same number, whatever issuers come and go.
static GENERATIONS: AtomicU64 = AtomicU64::new(1);

/// What is known of an issuer now.
#[derive(Clone, Debug, Eq, PartialEq, serde::Serialize)]
pub struct IssuerStatus {
    /// Its name.
    pub issuer: String,
    /// Keys that its tokens can be checked with; none: nobody is let in by it now.
    pub keys: usize,
    /// Seconds since they were fetched.
    pub age_s: Option<u64>,
    /// Why the last fetch failed, if it did.
    pub error: Option<String>,
}

/// Keys, and since when they are known.
struct Held {
    keys: Keys,
    since: Instant,
    generation: u64,
}

/// What the thread is told, and what it says.
#[derive(Default)]
struct Work {
    /// A token named an unknown key.
    wanted: bool,
    /// Nobody needs it any more.
    ended: bool,
    error: Option<String>,
}

/// An identity provider.
pub(crate) struct Issuer {
    pub plan: IssuerPlan,
    pub offer: Option<Arc<Offer>>,
    shared: Arc<Shared>,
}

struct Shared {
    held: ArcSwapOption<Held>,
    work: Mutex<Work>,
    wake: Condvar,
    /// Counts fetches that came to an end.
    tried: watch::Sender<u64>,
}

/// Why a token cannot be judged, or not now.
pub(crate) enum NotVerified {
    Fault(Fault),
    /// There are no keys.
    NoKeys,
}

impl Issuer {
    /// Starts to fetch keys, and does not wait for them.
    pub fn start(plan: IssuerPlan) -> Result<Arc<Self>, String> {
        let fetcher = Fetcher::new(plan.ca.as_deref())?;
        let shared = Arc::new(Shared {
            held: ArcSwapOption::empty(),
            work: Mutex::default(),
            wake: Condvar::new(),
            tried: watch::Sender::new(0),
        });
        let (of_thread, told) = (Arc::downgrade(&shared), plan.clone());
        thread::Builder::new()
            .name("issuer-keys".to_owned())
            .spawn(move || fetch_on(&of_thread, &fetcher, &told))
            .map_err(|error| format!("no thread can be started: {error}"))?;
        let offer = plan.offer().map(Arc::new);
        Ok(Arc::new(Self { plan, offer, shared }))
    }

    /// Judges a token by the keys that are known.
    pub fn verify(&self, token: &str, now: Timestamp) -> Result<Verified, NotVerified> {
        match &*self.shared.held.load() {
            Some(held) if held.since.elapsed() < OUTLIVE => {
                verify(&self.plan, &held.keys, token, now).map_err(NotVerified::Fault)
            }
            _ => Err(NotVerified::NoKeys),
        }
    }

    /// Judges an ID token; waits for keys, if it needs one that is not known yet.
    pub fn verify_id_token(
        &self,
        token: &str,
        whose: (&str, Option<&str>),
        now: Timestamp,
    ) -> Result<Verified, NotVerified> {
        let judge = || match &*self.shared.held.load() {
            Some(held) if held.since.elapsed() < OUTLIVE => {
                verify_id_token(&self.plan, &held.keys, token, whose, now)
                    .map_err(NotVerified::Fault)
            }
            _ => Err(NotVerified::NoKeys),
        };
        let mut judged = judge();
        // Twice, because the first fetch may have begun before the provider published the key.
        for _ in 0..2 {
            if !matches!(judged, Err(NotVerified::NoKeys | NotVerified::Fault(Fault::Key(_)))) {
                break;
            }
            let (began, tried) = (Instant::now(), self.refresh());
            while !tried.has_changed().unwrap_or(true) && began.elapsed() < WAIT {
                thread::sleep(Duration::from_millis(20));
            }
            judged = judge();
        }
        judged
    }

    /// Has the keys fetched, soon. What is returned has changed once that was tried.
    pub fn refresh(&self) -> watch::Receiver<u64> {
        let tried = self.shared.tried.subscribe();
        self.shared.work.lock().wanted = true;
        self.shared.wake.notify_one();
        tried
    }

    /// Changes with every fetch that brought keys.
    /// 0 while there are none to believe.
    pub fn generation(&self) -> u64 {
        let held = self.shared.held.load();
        let fresh = held.as_ref().filter(|held| held.since.elapsed() < OUTLIVE);
        fresh.map_or(0, |held| held.generation)
    }

    /// How long a token may wait for [`Self::refresh`].
    pub const fn wait() -> Duration {
        WAIT
    }

    pub fn status(&self) -> IssuerStatus {
        let held = self.shared.held.load();
        IssuerStatus {
            issuer: self.plan.issuer.clone(),
            keys: held.as_ref().map_or(0, |held| held.keys.len()),
            age_s: held.as_ref().map(|held| held.since.elapsed().as_secs()),
            error: self.shared.work.lock().error.clone(),
        }
    }
}

impl Drop for Issuer {
    fn drop(&mut self) {
        self.shared.work.lock().ended = true;
        self.shared.wake.notify_one();
    }
}

/// The thread: fetches, publishes, and sleeps until it is time or somebody wants it.
fn fetch_on(shared: &Weak<Shared>, fetcher: &Fetcher, plan: &IssuerPlan) {
    let mut failures = 0;
    loop {
        let began = Instant::now();
        {
            let Some(shared) = shared.upgrade() else { return };
            // Whoever wants it from here on wants one that begins later.
            shared.work.lock().wanted = false;
        }
        let fetched = fetcher.keys(plan);
        let Some(shared) = shared.upgrade() else { return };
        failures = publish(&shared, plan, fetched, failures);
        let pause = match failures {
            0 => REFRESH,
            _ => RETRY.saturating_mul(1 << (failures - 1).min(10)).min(REFRESH),
        };
        let (soonest, latest) = (began + PAUSE, began + pause);
        let mut work = shared.work.lock();
        loop {
            let now = Instant::now();
            let until = if work.wanted { soonest } else { latest };
            if work.ended {
                return;
            }
            if now >= until {
                break;
            }
            shared.wake.wait_for(&mut work, until - now);
        }
    }
}

fn publish(
    shared: &Shared,
    plan: &IssuerPlan,
    fetched: Result<Keys, String>,
    failures: u32,
) -> u32 {
    let issuer = &*plan.issuer;
    let failures = match fetched {
        Ok(keys) => {
            if failures > 0 || shared.held.load().is_none() {
                tracing::info!(issuer, keys = keys.len(), "the keys of an issuer are here");
            }
            let generation = GENERATIONS.fetch_add(1, Ordering::Relaxed);
            let held = Held { keys, since: Instant::now(), generation };
            shared.held.store(Some(Arc::new(held)));
            shared.work.lock().error = None;
            0
        }
        Err(error) => {
            let known = shared.held.load().is_some();
            if failures == 0 {
                let what = match known {
                    true => "the keys of an issuer cannot be fetched; those known are still used",
                    false => "the keys of an issuer cannot be fetched; its tokens are refused",
                };
                tracing::warn!(issuer, error, "{what}");
            }
            shared.work.lock().error = Some(error);
            failures.saturating_add(1)
        }
    };
    shared.tried.send_modify(|tried| *tried = tried.wrapping_add(1));
    failures
}
