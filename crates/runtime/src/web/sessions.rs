//! Sessions without a connection: what one token does with one resource, until it pauses too long.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use engine::{Refusal, SharedSession};
use identity::NotProved;
use model::limit::RUNS_MAX;
use model::{Claim, ClientText, Event, Principal, Timestamp};
use parking_lot::Mutex;
use policy::{Admission, PolicySet};
use store::{NotAdmitted, Registration, SessionInfo};
use tokio::sync::OnceCell;

use super::site::Site;
use crate::clock;
use crate::gateway::Gateway;
use crate::mailbox::Mailbox;
use crate::proof;
use crate::record::Kept;
use crate::resource::OnFailure;

/// Time between two looks whether exchanges are under way, when the gateway shuts down.
const LOOK: Duration = Duration::from_millis(20);

/// What tells one session from another.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
struct Key {
    /// The token and the certificate that came with it, or the issuer and subject of another proof.
    proof: (Arc<str>, Arc<str>),
    on_behalf_of: Option<Arc<str>>,
    resource: Arc<str>,
    run: Option<String>,
}

/// The sessions of a gateway's exchanges.
#[derive(Default)]
pub(crate) struct Sessions {
    live: Mutex<HashMap<Key, Arc<Entry>>>,
}

struct Entry {
    shared: Arc<SharedSession>,
    cell: Arc<Cell>,
    registration: Registration,
    on_failure: OnFailure,
    /// When its proof ends.
    expires_at: Option<Timestamp>,
    /// When to ask again whether access is open, nanoseconds.
    ask_access: AtomicU64,
    last_used: AtomicU64,
    /// Its first event is in the journal.
    began: OnceCell<Kept>,
    application: Option<String>,
    run: Option<String>,
    client: SocketAddr,
}

/// The exchanges of a session, and whether it was told to end.
#[derive(Default)]
struct Cell {
    stopped: OnceLock<&'static str>,
    exchanges: Mutex<HashMap<u64, Arc<Mailbox>>>,
    next: AtomicU64,
}

impl Cell {
    fn stop(&self, reason: &'static str) {
        let _ = self.stopped.set(reason);
        for mailbox in self.exchanges.lock().values() {
            mailbox.stop(reason);
        }
    }
}

impl Entry {
    /// Tells the session to end when access is closed.
    fn watch_access(&self, policy: &PolicySet, now: Timestamp) {
        if now.0 < self.ask_access.load(Ordering::Relaxed) {
            return;
        }
        match policy.admission(&self.shared.principal, &self.shared.resource, now) {
            Admission::Open { until } => {
                let again = until.map_or(u64::MAX, |until| until.0);
                self.ask_access.store(again, Ordering::Relaxed);
            }
            Admission::Closed { .. } | Admission::Never => self.cell.stop("access_closed"),
        }
    }
}

/// An exchange's place in its session; dropping it leaves.
pub(crate) struct Joined {
    entry: Arc<Entry>,
    number: u64,
}

impl Joined {
    pub fn shared(&self) -> &Arc<SharedSession> {
        &self.entry.shared
    }

    pub fn registration(&self) -> &Registration {
        &self.entry.registration
    }
}

impl Drop for Joined {
    fn drop(&mut self) {
        self.entry.last_used.store(clock::now().0, Ordering::Relaxed);
        self.entry.cell.exchanges.lock().remove(&self.number);
    }
}

impl Sessions {
    /// Lets an exchange into the session of its principal at its resource, which begins if there is
    /// none.
    pub async fn join(
        &self,
        gateway: &Gateway,
        who: (&Arc<Principal>, &Claim, SocketAddr),
        site: &Site,
        mailbox: &Arc<Mailbox>,
        now: Timestamp,
    ) -> Result<Joined, Refusal> {
        let joined = self.seat(gateway, who, site, mailbox, now)?;
        let entry = &joined.entry;
        let began = entry.began.get_or_init(|| async {
            let began = entry.shared.began(
                entry.client.to_string(),
                (entry.application.clone(), entry.run.clone()),
                site.protocol.name(),
            );
            record(gateway, vec![began], entry.on_failure).await
        });
        match began.await {
            Kept::Yes => Ok(joined),
            Kept::No => {
                entry.cell.stop("not_recorded");
                let words = ClientText::fixed("refused: the gateway cannot record it now");
                Err(Refusal::unjudgeable("not_recorded", words))
            }
        }
    }

    fn seat(
        &self,
        gateway: &Gateway,
        (principal, claim, peer): (&Arc<Principal>, &Claim, SocketAddr),
        site: &Site,
        mailbox: &Arc<Mailbox>,
        now: Timestamp,
    ) -> Result<Joined, Refusal> {
        let certificate = principal.certificate.as_ref().map(|one| Arc::clone(&one.id.0));
        let proof = match &principal.token {
            Some(token) => (Arc::clone(&token.0), certificate.unwrap_or_default()),
            None => (Arc::clone(&principal.issuer), Arc::clone(&principal.subject)),
        };
        let resource = &site.plan.resource;
        let on_behalf_of = principal.on_behalf_of.clone();
        let run = claim.run.clone();
        let key = Key { proof, on_behalf_of, resource: Arc::clone(&resource.name), run };
        let mut live = self.live.lock();
        if let Some(entry) = live.get(&key)
            && entry.cell.stopped.get().is_none()
        {
            return Ok(sit(entry, mailbox));
        }
        // Each name makes a session, and whoever may choose names must not take all there may be.
        if key.run.is_some() && runs_of(&live, &key) >= RUNS_MAX {
            let words = format!(
                "this token has {RUNS_MAX} runs with names already; use one of them again, or wait"
            );
            return Err(Refusal::unjudgeable("too_many_runs", ClientText::composed(words)));
        }
        let id = store::session_id(now).map_err(|_| {
            let words = ClientText::fixed("the session could not be named; try again");
            Refusal::unjudgeable("no_randomness", words)
        })?;
        let cell = Arc::new(Cell::default());
        let info = SessionInfo {
            id: id.clone(),
            principal: (**principal).clone(),
            resource: Arc::clone(&resource.name),
            protocol: site.protocol.name().into(),
            client: peer.to_string().into(),
            application: claim.application.as_deref().map(Arc::from),
            started_at: now,
        };
        let stopped = Arc::clone(&cell);
        let stop = Box::new(move |reason| stopped.stop(reason));
        let registration = gateway.live.register(info, stop).map_err(not_admitted)?;
        let shared = SharedSession::new(
            Arc::clone(&gateway.name),
            id,
            Arc::clone(principal),
            resource.clone(),
            now,
        );
        let entry = Arc::new(Entry {
            shared: Arc::new(shared),
            cell,
            registration,
            on_failure: site.plan.on_failure,
            expires_at: principal.expires_at.filter(|_| !gateway.settings.outlive_token),
            ask_access: AtomicU64::new(now.0),
            last_used: AtomicU64::new(now.0),
            began: OnceCell::new(),
            application: claim.application.clone(),
            run: claim.run.clone(),
            client: peer,
        });
        let joined = sit(&entry, mailbox);
        if let Some(old) = live.insert(key, entry) {
            // Stopped, and its exchanges are leaving: its end is recorded by whoever sweeps.
            live.insert(
                Key {
                    proof: (Arc::clone(&old.shared.id.0), "stopped".into()),
                    on_behalf_of: None,
                    resource: Arc::clone(&resource.name),
                    run: None,
                },
                old,
            );
        }
        Ok(joined)
    }

    /// Ends sessions that paused longer than `idle`, whose proof ended, whose access closed or that
    /// were told to end, as soon as none of their exchanges is under way.
    pub async fn sweep(&self, gateway: &Gateway, idle: Duration, now: Timestamp) {
        let mut over = Vec::new();
        let policy = Arc::clone(&gateway.rules.load().policy);
        self.live.lock().retain(|_, entry| {
            let expired = entry.expires_at.is_some_and(|end| end <= now);
            if expired {
                entry.cell.stop("token_expired");
            }
            entry.watch_access(&policy, now);
            let exchanges = entry.cell.exchanges.lock();
            let last = Timestamp(entry.last_used.load(Ordering::Relaxed));
            let reason = match entry.cell.stopped.get() {
                Some(reason) => Some(*reason),
                None if now.since(last) >= idle => Some("idle"),
                None => None,
            };
            match reason.filter(|_| exchanges.is_empty()) {
                Some(reason) => {
                    over.push((Arc::clone(entry), reason));
                    false
                }
                None => true,
            }
        });
        for (entry, reason) in over {
            end(gateway, &entry, reason, now).await;
        }
    }

    /// Ends when no exchange is under way.
    pub async fn emptied(&self) {
        loop {
            let busy = |entry: &Arc<Entry>| !entry.cell.exchanges.lock().is_empty();
            if !self.live.lock().values().any(busy) {
                return;
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Tells every exchange to look at what changed.
    pub fn look(&self) {
        for entry in self.live.lock().values() {
            entry.ask_access.store(0, Ordering::Relaxed);
            for mailbox in entry.cell.exchanges.lock().values() {
                mailbox.look();
            }
        }
    }

    /// Ends every session.
    pub async fn end_all(&self, gateway: &Gateway, reason: &'static str, now: Timestamp) {
        let all: Vec<Arc<Entry>> = self.live.lock().drain().map(|(_, entry)| entry).collect();
        for entry in &all {
            entry.cell.stop(reason);
        }
        for entry in &all {
            let reason = entry.cell.stopped.get().copied().unwrap_or(reason);
            end(gateway, entry, reason, now).await;
        }
    }
}

fn sit(entry: &Arc<Entry>, mailbox: &Arc<Mailbox>) -> Joined {
    let number = entry.cell.next.fetch_add(1, Ordering::Relaxed);
    entry.cell.exchanges.lock().insert(number, Arc::clone(mailbox));
    if let Some(reason) = entry.cell.stopped.get() {
        // Told between the look and the seat.
        mailbox.stop(reason);
    }
    Joined { entry: Arc::clone(entry), number }
}

async fn end(gateway: &Gateway, entry: &Entry, reason: &str, now: Timestamp) {
    if entry.began.get() == Some(&Kept::Yes) {
        record(gateway, vec![entry.shared.ended(reason, now)], entry.on_failure).await;
    }
    let (approvals, session) = (Arc::clone(&gateway.approvals), entry.shared.id.clone());
    let ended = tokio::task::spawn_blocking(move || approvals.end_session(&session)).await;
    if let Ok(Err(error)) = ended {
        tracing::warn!(%error, "the grants of an ended session stay until they expire");
    }
}

/// Puts events into the journal, on a thread that may wait where the disk is waited for.
pub(super) async fn record(gateway: &Gateway, events: Vec<Event>, on_failure: OnFailure) -> Kept {
    if !gateway.settings.record_waits_for_disk {
        return gateway.recorder.append(&events, on_failure);
    }
    let recorder = Arc::clone(&gateway.recorder);
    let append = move || recorder.append(&events, on_failure);
    // A thread that panicked recorded nothing.
    tokio::task::spawn_blocking(append).await.unwrap_or(Kept::No)
}

/// Sessions with a name of their own that have the same proof.
fn runs_of(live: &HashMap<Key, Arc<Entry>>, like: &Key) -> usize {
    live.keys().filter(|key| key.run.is_some() && key.proof == like.proof).count()
}

fn not_admitted(why: NotAdmitted) -> Refusal {
    match why {
        NotAdmitted::Revoked => proof::refusal(&NotProved::Revoked),
        NotAdmitted::TooMany(_) => Refusal::unjudgeable(
            "too_many_sessions",
            ClientText::fixed("the gateway carries as many sessions as it may; try again later"),
        ),
        NotAdmitted::Duplicate => Refusal::unjudgeable(
            "duplicate_session",
            ClientText::fixed("the session could not be named; try again"),
        ),
    }
}
