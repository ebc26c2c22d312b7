//! The gateway as the binary sees it: made of parts, told to serve, to reload, to stop.

use std::any::Any;
use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::num::NonZero;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::available_parallelism;
use std::time::Duration;

use arc_swap::ArcSwap;
use aws_lc_rs::rand;
use bytes::Bytes;
use detect::TypeSet;
use engine::{HashKey, Ledger, Protocol};
use identity::Proofs;
use model::exchange::Part;
use model::limit;
use parking_lot::Mutex;
use policy::{BlockId, PolicySet, TemporaryAccess};
use store::{ApprovalId, Approvals, Journal, Live};
use tokio::sync::{Notify as Signal, Semaphore, oneshot, watch};
use tokio::time::{Instant, timeout, timeout_at};

use crate::alert::{Alert, Notify};
use crate::clock;
use crate::counters::{Counters, GatewayState, add};
use crate::mailbox::Mailbox;
use crate::proof::Throttle;
use crate::record::Recorder;
use crate::resource::ResourcePlan;
use crate::rules::Rules;
use crate::survey::Survey;
use crate::tls::{Authority, for_web};
use crate::upstream::Upstream;
use crate::web::{Mint, Sessions, Site, SitePlan};

/// Connections beyond `sessions_max` that may be on their way to a session, or be told why not.
const NEWCOMERS_MAX: usize = 256;
/// Cancels sent to upstreams at once.
const CANCELS_MAX: usize = 32;
/// How long stopped sessions may take to say goodbye when the gateway shuts down.
const GOODBYE: Duration = Duration::from_secs(5);

/// Everything a gateway is made of.
pub struct Parts {
    /// Names this gateway in records.
    pub gateway: Arc<str>,
    /// Its data folder.
    pub data_dir: PathBuf,
    /// The protocols it can speak, each with its block of facts.
    pub protocols: Vec<(&'static dyn Protocol<Bytes>, BlockId)>,
    /// The registered upstreams. One whose type no protocol of `protocols` has is ignored.
    pub resources: Vec<ResourcePlan>,
    /// What speaks HTTP, if anything does.
    pub web: Option<(&'static dyn Protocol<Part>, BlockId)>,
    /// The registered upstreams that are spoken to in HTTP.
    pub sites: Vec<SitePlan>,
    /// Which addresses a proxy does not dial, and in a word why; a resource may list exceptions.
    pub refuses: fn(IpAddr) -> Option<&'static str>,
    /// Makes certificates for the names that clients of a proxy ask for; without it tunnels with
    /// TLS inside are closed.
    pub authority: Option<Authority>,
    /// The rules in force.
    pub policy: Arc<PolicySet>,
    /// Where events go.
    pub journal: Arc<Journal>,
    /// Proofs of identity.
    pub proofs: Arc<Proofs>,
    /// Questions to people.
    pub approvals: Arc<Approvals>,
    /// The registry of live sessions.
    pub live: Arc<Live>,
    /// Usage counters.
    pub ledger: Arc<dyn Ledger>,
    /// What clients are shown when they start TLS; without it they cannot.
    pub server_tls: Option<Arc<rustls::ServerConfig>>,
    /// Key of the `hash` mask.
    pub hash_key: Arc<HashKey>,
    /// Everything else that can be set.
    pub settings: Settings,
}

/// What can be set; the defaults are those of `model::limit`.
#[derive(Clone)]
pub struct Settings {
    /// Types of sensitive values that are taken out of what is recorded of requests.
    pub scrub: TypeSet,
    /// Bytes of one reply that may be withheld.
    pub hold_buffer_bytes: usize,
    /// Bytes withheld by the whole gateway.
    pub hold_total_bytes: usize,
    /// Sessions at once.
    pub sessions_max: usize,
    /// Longest text of one operation, bytes.
    pub statement_bytes_max: usize,
    /// Where people answer, without a slash at the end: `http://127.0.0.1:7070`.
    pub admin_url: String,
    /// How old what is known of an upstream may be while sessions are live.
    pub catalog_max_age: Duration,
    /// How long it may still be used when the upstream no longer answers the survey.
    pub catalog_outlive: Duration,
    /// Appending to the journal waits for the disk (`recording.sync: 0`), so it must not be done on
    /// a thread that serves other connections.
    pub record_waits_for_disk: bool,
    /// Time a client has to prove who it is.
    pub identify_timeout: Duration,
    /// Time to reach an upstream and log in there.
    pub connect_timeout: Duration,
    /// How long a session without a connection may pause.
    pub session_idle: Duration,
    /// Sessions go on when the token that began them ends.
    pub outlive_token: bool,
    /// Carries alerts to people, besides the log.
    pub notify: Option<Arc<dyn Notify>>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            scrub: TypeSet::EMPTY,
            hold_buffer_bytes: limit::HOLD_BUFFER_BYTES,
            hold_total_bytes: limit::HOLD_BUFFER_TOTAL_BYTES,
            sessions_max: limit::SESSIONS_MAX,
            statement_bytes_max: limit::STATEMENT_BYTES_MAX,
            admin_url: "http://127.0.0.1:7070".to_owned(),
            catalog_max_age: Duration::from_secs(1),
            catalog_outlive: Duration::from_secs(30),
            record_waits_for_disk: false,
            identify_timeout: limit::IDENTIFY_TIMEOUT,
            connect_timeout: limit::CONNECT_TIMEOUT,
            session_idle: limit::SESSION_IDLE,
            outlive_token: false,
            notify: None,
        }
    }
}

/// Why a listener was not served.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// No protocol of that name was among the parts. The caller's mistake.
    #[error("this gateway has no protocol {0:?}")]
    UnknownProtocol(String),
    /// The listener cannot tell its own address.
    #[error("the listener cannot be used: {0}")]
    Listener(#[from] std::io::Error),
}

/// A running gateway.
pub struct Gateway {
    pub(crate) name: Arc<str>,
    pub(crate) settings: Settings,
    pub(crate) protocols: Vec<(&'static dyn Protocol<Bytes>, BlockId)>,
    pub(crate) rules: ArcSwap<Rules>,
    /// Held while rules are swapped, so that the last change is the one in force.
    changing: Mutex<()>,
    pub(crate) recorder: Arc<Recorder>,
    pub(crate) proofs: Arc<Proofs>,
    pub(crate) approvals: Arc<Approvals>,
    pub(crate) live: Arc<Live>,
    pub(crate) ledger: Arc<dyn Ledger>,
    pub(crate) server_tls: Option<Arc<rustls::ServerConfig>>,
    pub(crate) web: Option<(&'static dyn Protocol<Part>, BlockId)>,
    pub(crate) web_tls: Option<Arc<rustls::ServerConfig>>,
    pub(crate) refuses: fn(IpAddr) -> Option<&'static str>,
    pub(crate) mint: Option<Arc<Mint>>,
    pub(crate) exchanges: Sessions,
    /// Bytes of requests that wait for a verdict.
    pub(crate) held_bodies: Arc<AtomicUsize>,
    /// Turns for searching long bodies: one for each processor.
    pub(crate) searches: Semaphore,
    pub(crate) hash_key: Arc<HashKey>,
    pub(crate) hold_total: Arc<AtomicUsize>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) throttle: Throttle,
    pub(crate) cancels: Arc<Semaphore>,
    pub(crate) listeners: AtomicUsize,
    pub(crate) housekeeping: AtomicBool,
    pub(crate) draining: watch::Sender<bool>,
    data_dir: PathBuf,
    connections: Connections,
    elsewhere: OnceLock<Elsewhere>,
}

/// Passes a cancel on to other gateways; what it is given is dropped when that is over. Must return
/// at once.
pub type Elsewhere = Box<dyn Fn([u8; 8], oneshot::Sender<()>) + Send + Sync>;

impl Gateway {
    /// A gateway that serves nothing yet.
    #[must_use]
    pub fn new(parts: Parts) -> Arc<Self> {
        let live = Arc::clone(&parts.live);
        parts.proofs.tokens().subscribe(Box::new(move |token| {
            live.revoke(token, "revoked");
        }));
        let upstreams = upstreams(parts.resources, &parts.protocols, &parts.settings, None);
        let sites = sites(parts.sites, parts.web, parts.refuses, &parts.settings, None);
        let access = temporary(&parts.approvals);
        let policy = Arc::new(parts.policy.with_temporary(access));
        let rules = Rules { policy, upstreams, sites };
        let web_tls = parts.server_tls.as_deref().map(for_web);
        let approvals = Arc::clone(&parts.approvals);
        let gateway = Arc::new(Self {
            changing: Mutex::default(),
            rules: ArcSwap::from_pointee(rules),
            recorder: Arc::new(Recorder::new(
                parts.journal,
                Arc::clone(&parts.gateway),
                parts.settings.scrub,
            )),
            connections: Connections::new(),
            elsewhere: OnceLock::new(),
            name: parts.gateway,
            settings: parts.settings,
            protocols: parts.protocols,
            proofs: parts.proofs,
            approvals: parts.approvals,
            live: parts.live,
            ledger: parts.ledger,
            server_tls: parts.server_tls,
            web: parts.web,
            web_tls,
            refuses: parts.refuses,
            mint: parts.authority.map(|authority| Arc::new(Mint::new(authority))),
            exchanges: Sessions::default(),
            held_bodies: Arc::default(),
            searches: Semaphore::new(available_parallelism().map_or(1, NonZero::get)),
            hash_key: parts.hash_key,
            hold_total: Arc::default(),
            counters: Arc::default(),
            throttle: Throttle::default(),
            cancels: Arc::new(Semaphore::new(CANCELS_MAX)),
            listeners: AtomicUsize::new(0),
            housekeeping: AtomicBool::new(false),
            draining: watch::Sender::new(false),
            data_dir: parts.data_dir,
        });
        let changed = Arc::downgrade(&gateway);
        approvals.observe_access(Box::new(move || {
            if let Some(gateway) = changed.upgrade() {
                gateway.access_changed();
            }
        }));
        gateway
    }

    /// Puts new rules and resources in force at once and tells every live session.
    ///
    /// A session on a resource whose plan changed stays connected as it is; the next one uses the
    /// new plan. A session whose access was withdrawn, or whose resource is gone, ends.
    pub fn reload(
        &self,
        policy: Arc<PolicySet>,
        resources: Vec<ResourcePlan>,
        sites: Vec<SitePlan>,
    ) {
        let _one = self.changing.lock();
        let policy = Arc::new(policy.with_temporary(temporary(&self.approvals)));
        let old = self.rules.load_full();
        let kept = Some(&old.upstreams);
        let upstreams = upstreams(resources, &self.protocols, &self.settings, kept);
        let kept = Some(&old.sites);
        let sites = self::sites(sites, self.web, self.refuses, &self.settings, kept);
        self.rules.store(Arc::new(Rules { policy, upstreams, sites }));
        self.tell_all();
    }

    /// Puts access that was given for a time in force, or ends it, and tells every live session.
    fn access_changed(&self) {
        let _one = self.changing.lock();
        let old = self.rules.load_full();
        self.rules.store(Arc::new(Rules {
            policy: Arc::new(old.policy.with_temporary(temporary(&self.approvals))),
            upstreams: old.upstreams.clone(),
            sites: old.sites.clone(),
        }));
        self.tell_all();
    }

    fn tell_all(&self) {
        self.exchanges.look();
        for mailbox in self.connections.all() {
            mailbox.look();
        }
    }

    /// The policy in force, with the access that was given for a time.
    #[must_use]
    pub fn policy(&self) -> Arc<PolicySet> {
        Arc::clone(&self.rules.load().policy)
    }

    /// Lets no new session in, waits up to `grace` for the live ones to end, then ends them.
    pub async fn shut_down(self: &Arc<Self>, grace: Duration) {
        self.draining.send_replace(true);
        let end = Instant::now() + grace;
        self.stop_exchanges(grace).await;
        if timeout_at(end, self.connections.emptied()).await.is_ok() {
            return;
        }
        for mailbox in self.connections.all() {
            mailbox.stop("shutting_down");
        }
        let left = timeout_at(Instant::now() + GOODBYE, self.connections.emptied()).await.is_err();
        if left {
            tracing::warn!(connections = self.connections.count(), "connections are cut off");
        }
    }

    /// Lets requests under way come to their end, then ends the sessions they belong to.
    async fn stop_exchanges(self: &Arc<Self>, grace: Duration) {
        if self.web.is_none() {
            return;
        }
        let _ = timeout(grace.min(GOODBYE), self.exchanges.emptied()).await;
        self.exchanges.end_all(self, "shutting_down", clock::now()).await;
    }

    /// Counts an alert, logs it and carries it to people.
    pub(crate) fn alert(&self, alert: &Alert) {
        add(&self.counters.alerts);
        tracing::warn!(
            session = %alert.session.0,
            operation = alert.operation.0,
            principal = alert.principal.as_deref(),
            resource = alert.resource.as_deref(),
            rule = %alert.rule,
            message = alert.message,
            "alert"
        );
        if let Some(notify) = &self.settings.notify {
            notify.alert(alert);
        }
    }

    /// How a person answers an approval request.
    pub(crate) fn approval_address(&self, approval: &ApprovalId) -> String {
        let admin = &self.settings.admin_url;
        format!("narrows approve {approval}, or {admin}/api/v1/approvals/{approval}")
    }

    /// What it did and does.
    #[must_use]
    pub fn state(&self) -> GatewayState {
        GatewayState {
            listeners: self.listeners.load(Ordering::Relaxed),
            draining: *self.draining.borrow(),
            connections: self.connections.count(),
            sessions: self.live.count(),
            withheld_bytes: self.hold_total.load(Ordering::Relaxed),
            journal_errors: self.recorder.errors(),
            journal_failing: self.recorder.is_failing(),
            unrecorded: self.recorder.unrecorded(),
            ..self.counters.read()
        }
    }

    /// What the protocol knows of a resource's upstream, surveyed now if that is due; `None` where
    /// the protocol surveys nothing. For explaining decisions outside a session.
    ///
    /// # Errors
    ///
    /// Why it cannot be had, in words for the operator.
    pub async fn snapshot(
        &self,
        resource: &str,
    ) -> Result<Option<Arc<dyn Any + Send + Sync>>, String> {
        let rules = self.rules.load_full();
        let Some(upstream) = rules.upstreams.get(resource) else {
            return Err(format!("there is no resource {resource}"));
        };
        match timeout(self.settings.connect_timeout, Survey::ready(upstream)).await {
            Ok(Ok(_lease)) => Ok(upstream.survey.snapshots().current()),
            Ok(Err(unreachable)) => Err(unreachable.to_string()),
            Err(_) => Err(format!("{resource} did not answer in time")),
        }
    }

    /// The data folder.
    #[must_use]
    pub fn data_dir(&self) -> &std::path::Path {
        &self.data_dir
    }

    /// Gives a new connection its place; `None` when there are too many.
    pub(crate) fn seat(self: &Arc<Self>, mailbox: Arc<Mailbox>) -> Option<Seat> {
        let most = self.settings.sessions_max.saturating_add(NEWCOMERS_MAX);
        let key = self.connections.insert(mailbox, most)?;
        Some(Seat { gateway: Arc::clone(self), key })
    }

    /// Cancels of connections that are not here go that way, from now on; once.
    pub fn cancel_elsewhere(&self, elsewhere: Elsewhere) {
        let _ = self.elsewhere.set(elsewhere);
    }

    /// Passes a cancel on to the connection here that holds `key`, if one does; what is returned is
    /// closed when the upstream has it.
    #[must_use]
    pub fn cancel_here(&self, key: [u8; 8]) -> Option<oneshot::Receiver<()>> {
        self.connections.find(key).map(|mailbox| mailbox.cancel())
    }

    /// Passes a cancel on to the connection that holds `key`, wherever that is.
    pub(crate) fn cancel(&self, key: [u8; 8]) -> Option<oneshot::Receiver<()>> {
        let here = self.cancel_here(key);
        here.or_else(|| {
            let elsewhere = self.elsewhere.get()?;
            let (over, passed_on) = oneshot::channel();
            elsewhere(key, over);
            Some(passed_on)
        })
    }
}

/// The access that was given for a time, as policy knows it.
fn temporary(approvals: &Approvals) -> Vec<TemporaryAccess> {
    let access = approvals.access(clock::now()).into_iter().map(|grant| TemporaryAccess {
        subject: grant.principal.subject,
        issuer: grant.principal.issuer,
        minted_by: grant.principal.minted_by,
        resource: grant.resource,
        until: grant.until,
    });
    access.collect()
}

/// Keeps what did not change, so that surveys and what was prepared live on.
fn upstreams(
    plans: Vec<ResourcePlan>,
    protocols: &[(&'static dyn Protocol<Bytes>, BlockId)],
    settings: &Settings,
    kept: Option<&HashMap<Arc<str>, Arc<Upstream>>>,
) -> HashMap<Arc<str>, Arc<Upstream>> {
    let mut upstreams = HashMap::new();
    for plan in plans {
        let name = Arc::clone(&plan.resource.name);
        if let Some(same) = kept.and_then(|kept| kept.get(&name)).filter(|old| old.plan == plan) {
            same.forget_tls();
            upstreams.insert(name, Arc::clone(same));
            continue;
        }
        let kind = &*plan.resource.kind;
        match protocols.iter().find(|(protocol, _)| protocol.name() == kind) {
            Some((protocol, _)) => {
                upstreams.insert(name, Arc::new(Upstream::new(plan, *protocol, settings)));
            }
            None => tracing::error!(resource = %name, kind, "no protocol speaks to this resource"),
        }
    }
    upstreams
}

/// Keeps what did not change, so that connections that are open can be used again.
fn sites(
    plans: Vec<SitePlan>,
    web: Option<(&'static dyn Protocol<Part>, BlockId)>,
    refuses: fn(IpAddr) -> Option<&'static str>,
    settings: &Settings,
    kept: Option<&BTreeMap<Arc<str>, Arc<Site>>>,
) -> BTreeMap<Arc<str>, Arc<Site>> {
    let Some(web) = web else { return BTreeMap::new() };
    let each = |plan: SitePlan| {
        let name = Arc::clone(&plan.resource.name);
        if let Some(same) = kept.and_then(|kept| kept.get(&name)).filter(|old| *old.plan == plan) {
            same.forget_connections();
            return (name, Arc::clone(same));
        }
        (name, Arc::new(Site::new(plan, web.0, refuses, settings.connect_timeout)))
    };
    plans.into_iter().map(each).collect()
}

/// The connections of this process, by their cancel keys.
///
/// A key is found by hash map: how long that takes depends on the keyed hash of what was sent,
/// which an attacker can neither predict nor steer, so it tells nothing about how near a guess was.
struct Connections {
    seats: Mutex<HashMap<[u8; 8], Arc<Mailbox>>>,
    empty: Signal,
}

impl Connections {
    fn new() -> Self {
        Self { seats: Mutex::default(), empty: Signal::new() }
    }

    fn insert(&self, mailbox: Arc<Mailbox>, most: usize) -> Option<[u8; 8]> {
        let mut seats = self.seats.lock();
        if seats.len() >= most {
            return None;
        }
        loop {
            let mut key = [0; 8];
            rand::fill(&mut key).ok()?;
            if let Entry::Vacant(seat) = seats.entry(key) {
                seat.insert(mailbox);
                return Some(key);
            }
        }
    }

    /// Whether the connection is found by its new key; not when another has that one.
    fn rename(&self, old: [u8; 8], new: [u8; 8]) -> bool {
        let mut seats = self.seats.lock();
        if seats.contains_key(&new) {
            return old == new;
        }
        let Some(mailbox) = seats.remove(&old) else { return false };
        seats.insert(new, mailbox);
        true
    }

    fn remove(&self, key: [u8; 8]) {
        let mut seats = self.seats.lock();
        seats.remove(&key);
        if seats.is_empty() {
            self.empty.notify_waiters();
        }
    }

    fn find(&self, key: [u8; 8]) -> Option<Arc<Mailbox>> {
        self.seats.lock().get(&key).cloned()
    }

    fn all(&self) -> Vec<Arc<Mailbox>> {
        self.seats.lock().values().cloned().collect()
    }

    fn count(&self) -> usize {
        self.seats.lock().len()
    }

    async fn emptied(&self) {
        loop {
            let emptied = self.empty.notified();
            if self.count() == 0 {
                return;
            }
            emptied.await;
        }
    }
}

/// A connection's place among the others; dropping it frees the place.
pub(crate) struct Seat {
    gateway: Arc<Gateway>,
    pub key: [u8; 8],
}

impl Seat {
    /// Takes another key. Where it is taken already (2^-32 for two sessions whose servers gave them
    /// the same process id) the old one stays, and a cancel sent for this one reaches the other.
    pub fn rename(&mut self, key: [u8; 8]) {
        if self.gateway.connections.rename(self.key, key) {
            self.key = key;
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.gateway.connections.remove(self.key);
    }
}
