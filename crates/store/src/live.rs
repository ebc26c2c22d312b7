//! The sessions of this process that are alive now, and how to end them.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use model::{Principal, SessionId, Timestamp, TokenId};
use parking_lot::{Mutex, RwLock};

use crate::usage::Usage;

/// Ends a session. Called with a fixed word (`killed`, `revoked`, …) from any thread, at most a few
/// times, and must return at once: it signals the task that owns the session.
pub type Stop = Box<dyn Fn(&'static str) + Send + Sync>;

/// What a session has done so far. The session's task adds, anyone reads.
#[derive(Debug, Default)]
pub struct SessionCounters {
    operations: AtomicU64,
    rows: AtomicU64,
    bytes: AtomicU64,
}

impl SessionCounters {
    /// Adds to the counters.
    pub fn add(&self, done: Usage) {
        for (counter, value) in [
            (&self.operations, done.operations),
            (&self.rows, done.rows),
            (&self.bytes, done.bytes),
        ] {
            if value != 0 {
                counter.fetch_add(value, Ordering::Relaxed);
            }
        }
    }

    /// The counters now.
    #[must_use]
    pub fn read(&self) -> Usage {
        Usage {
            operations: self.operations.load(Ordering::Relaxed),
            rows: self.rows.load(Ordering::Relaxed),
            bytes: self.bytes.load(Ordering::Relaxed),
        }
    }
}

/// What is known of a session when it begins.
#[derive(Clone, Debug)]
pub struct SessionInfo {
    /// Its name.
    pub id: SessionId,
    /// Who it belongs to.
    pub principal: Principal,
    /// What it reaches.
    pub resource: Arc<str>,
    /// The protocol spoken.
    pub protocol: Arc<str>,
    /// Network address of the client.
    pub client: Arc<str>,
    /// What the client calls itself.
    pub application: Option<Arc<str>>,
    /// When it began.
    pub started_at: Timestamp,
}

/// A live session as others see it.
#[derive(Clone, Debug)]
pub struct LiveSession {
    /// What is known since it began.
    pub info: Arc<SessionInfo>,
    /// What it has done so far.
    pub done: Usage,
}

/// A session may not begin.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum NotAdmitted {
    /// The gateway carries as many sessions as it may; the limit is given.
    #[error("the gateway already carries {0} sessions, its limit")]
    TooMany(usize),
    /// The token was revoked after it was verified and before the session began.
    #[error("the token was revoked")]
    Revoked,
    /// A session of that name lives already.
    #[error("a session of that id is live already")]
    Duplicate,
}

/// The registry of live sessions.
pub struct Live {
    inner: Mutex<Inner>,
    /// Says whether a principal that was proved a moment ago is still as it was.
    current: RwLock<Vec<Current>>,
    sessions_max: usize,
}

type Current = Box<dyn Fn(&Principal) -> bool + Send + Sync>;

struct Inner {
    sessions: HashMap<SessionId, Entry>,
    /// Tokens revoked in the life of this process: closes the gap between verifying a token and
    /// registering its session. As bounded as the registry of tokens.
    revoked: HashSet<TokenId>,
}

struct Entry {
    info: Arc<SessionInfo>,
    counters: Arc<SessionCounters>,
    stop: Arc<Stop>,
}

impl Live {
    /// A registry that admits at most `sessions_max` sessions.
    #[must_use]
    pub fn new(sessions_max: usize) -> Arc<Self> {
        let inner = Inner { sessions: HashMap::new(), revoked: HashSet::new() };
        Arc::new(Self { inner: Mutex::new(inner), current: RwLock::default(), sessions_max })
    }

    /// Asks `current` too about the principal of every session that begins, from now on. It must
    /// return at once, and not call back.
    pub fn doubt_by(&self, current: impl Fn(&Principal) -> bool + Send + Sync + 'static) {
        self.current.write().push(Box::new(current));
    }

    /// Admits a session. It is listed, and can be stopped, until the returned value is dropped.
    pub fn register(
        self: &Arc<Self>,
        info: SessionInfo,
        stop: Stop,
    ) -> Result<Registration, NotAdmitted> {
        let mut inner = self.inner.lock();
        if inner.sessions.len() >= self.sessions_max {
            return Err(NotAdmitted::TooMany(self.sessions_max));
        }
        if info.principal.credentials().any(|one| inner.revoked.contains(one)) {
            return Err(NotAdmitted::Revoked);
        }
        // Asked under the lock: whoever takes something away changes that first, and then ends the
        // sessions that are listed.
        if !self.current.read().iter().all(|current| current(&info.principal)) {
            return Err(NotAdmitted::Revoked);
        }
        if inner.sessions.contains_key(&info.id) {
            return Err(NotAdmitted::Duplicate);
        }
        let id = info.id.clone();
        let counters = Arc::new(SessionCounters::default());
        let entry =
            Entry { info: Arc::new(info), counters: Arc::clone(&counters), stop: Arc::new(stop) };
        inner.sessions.insert(id.clone(), entry);
        Ok(Registration { live: Arc::clone(self), id, counters })
    }

    /// Asks a session to end; `false` when it is not live.
    pub fn kill(&self, id: &SessionId, reason: &'static str) -> bool {
        let stop = self.inner.lock().sessions.get(id).map(|entry| Arc::clone(&entry.stop));
        // Called outside the lock: the callback may register or list.
        stop.map(|stop| stop(reason)).is_some()
    }

    /// Asks every session of a token to end and admits no new one of it; how many were asked.
    pub fn revoke(&self, token: &TokenId, reason: &'static str) -> usize {
        let mut inner = self.inner.lock();
        inner.revoked.insert(token.clone());
        let stops: Vec<_> = inner
            .sessions
            .values()
            .filter(|entry| entry.info.principal.credentials().any(|one| one == token))
            .map(|entry| Arc::clone(&entry.stop))
            .collect();
        drop(inner);
        stops.iter().for_each(|stop| stop(reason));
        stops.len()
    }

    /// Asks every session of these tokens to end; how many were asked. New ones may begin.
    pub fn end(&self, tokens: &[TokenId], reason: &'static str) -> usize {
        let inner = self.inner.lock();
        let of =
            |entry: &&Entry| entry.info.principal.credentials().any(|one| tokens.contains(one));
        let stops: Vec<_> =
            inner.sessions.values().filter(of).map(|entry| Arc::clone(&entry.stop)).collect();
        drop(inner);
        stops.iter().for_each(|stop| stop(reason));
        stops.len()
    }

    /// Asks every session to end, for a shutdown; how many were asked.
    pub fn stop_all(&self, reason: &'static str) -> usize {
        let stops: Vec<_> =
            self.inner.lock().sessions.values().map(|entry| Arc::clone(&entry.stop)).collect();
        stops.iter().for_each(|stop| stop(reason));
        stops.len()
    }

    /// The live sessions, oldest first.
    #[must_use]
    pub fn list(&self) -> Vec<LiveSession> {
        let mut sessions: Vec<_> = self.inner.lock().sessions.values().map(Entry::seen).collect();
        sessions
            .sort_by(|a, b| (a.info.started_at, &a.info.id).cmp(&(b.info.started_at, &b.info.id)));
        sessions
    }

    /// One live session.
    #[must_use]
    pub fn session(&self, id: &SessionId) -> Option<LiveSession> {
        self.inner.lock().sessions.get(id).map(Entry::seen)
    }

    /// How many sessions are live.
    #[must_use]
    pub fn count(&self) -> usize {
        self.inner.lock().sessions.len()
    }
}

impl fmt::Debug for Live {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Live").field("count", &self.count()).finish_non_exhaustive()
    }
}

impl Entry {
    fn seen(&self) -> LiveSession {
        LiveSession { info: Arc::clone(&self.info), done: self.counters.read() }
    }
}

/// Keeps a session in the registry; dropping it takes the session out.
pub struct Registration {
    live: Arc<Live>,
    id: SessionId,
    counters: Arc<SessionCounters>,
}

impl Registration {
    /// The session's counters.
    #[must_use]
    pub fn counters(&self) -> &Arc<SessionCounters> {
        &self.counters
    }
}

impl fmt::Debug for Registration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Registration").field(&self.id).finish()
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        // The callback is dropped outside the lock.
        let entry = self.live.inner.lock().sessions.remove(&self.id);
        drop(entry);
    }
}

#[cfg(test)]
mod tests {
    use model::Voucher;

    use super::*;
    use crate::testing::principal;

    fn info(id: &str, token: &str) -> SessionInfo {
        let mut principal = principal("agent");
        principal.token = Some(TokenId(token.into()));
        SessionInfo {
            id: SessionId(id.into()),
            principal,
            resource: "appdb".into(),
            protocol: "postgres".into(),
            client: "127.0.0.1:9".into(),
            application: None,
            started_at: Timestamp(1),
        }
    }

    fn recorder() -> (Arc<Mutex<Vec<&'static str>>>, Stop) {
        let heard = Arc::new(Mutex::new(Vec::new()));
        let ear = Arc::clone(&heard);
        (heard, Box::new(move |reason| ear.lock().push(reason)))
    }

    #[test]
    fn a_session_is_listed_until_its_registration_is_dropped() {
        let live = Live::new(10);
        let registration = live.register(info("s_1", "t_1"), recorder().1).unwrap();
        registration.counters().add(Usage { operations: 1, rows: 5, bytes: 80 });
        assert_eq!(live.list()[0].done, Usage { operations: 1, rows: 5, bytes: 80 });
        drop(registration);
        assert_eq!(live.count(), 0);
        assert!(!live.kill(&SessionId("s_1".into()), "killed"));
    }

    #[test]
    fn kill_reaches_the_session_it_names_and_no_other() {
        let live = Live::new(10);
        let (first, stop) = recorder();
        let _first = live.register(info("s_1", "t_1"), stop).unwrap();
        let (second, stop) = recorder();
        let _second = live.register(info("s_2", "t_1"), stop).unwrap();
        assert!(live.kill(&SessionId("s_2".into()), "killed"));
        assert!(first.lock().is_empty());
        assert_eq!(*second.lock(), ["killed"]);
    }

    #[test]
    fn p8_the_session_past_the_limit_is_not_admitted() {
        let live = Live::new(1);
        let _one = live.register(info("s_1", "t_1"), recorder().1).unwrap();
        let refused = live.register(info("s_2", "t_1"), recorder().1).unwrap_err();
        assert_eq!(refused, NotAdmitted::TooMany(1));
    }

    #[test]
    fn a_revoked_token_ends_its_sessions_and_begins_no_new_one() {
        let live = Live::new(10);
        let (heard, stop) = recorder();
        let _one = live.register(info("s_1", "t_1"), stop).unwrap();
        let (other, stop) = recorder();
        let _two = live.register(info("s_2", "t_2"), stop).unwrap();
        assert_eq!(live.revoke(&TokenId("t_1".into()), "revoked"), 1);
        assert_eq!(*heard.lock(), ["revoked"]);
        assert!(other.lock().is_empty());
        let refused = live.register(info("s_3", "t_1"), recorder().1).unwrap_err();
        assert_eq!(refused, NotAdmitted::Revoked);
    }

    #[test]
    fn p2_a_session_that_rests_on_two_proofs_ends_with_either() {
        let live = Live::new(10);
        let certificate = TokenId("crt_1".into());
        let both = |id: &str| {
            let mut info = info(id, "t_1");
            let voucher = Voucher { id: certificate.clone(), issuer: "corp".into() };
            info.principal.certificate = Some(voucher);
            info
        };
        let (heard, stop) = recorder();
        let _one = live.register(both("s_1"), stop).unwrap();
        let (other, stop) = recorder();
        let _two = live.register(info("s_2", "t_1"), stop).unwrap();
        assert_eq!(live.end(std::slice::from_ref(&certificate), "ended"), 1);
        assert_eq!(live.revoke(&certificate, "revoked"), 1);
        assert_eq!(*heard.lock(), ["ended", "revoked"]);
        assert!(other.lock().is_empty());
        let refused = live.register(both("s_3"), recorder().1).unwrap_err();
        assert_eq!(refused, NotAdmitted::Revoked);
        assert!(live.register(info("s_4", "t_1"), recorder().1).is_ok());
    }

    #[test]
    fn a_session_begins_once_and_for_nobody_who_changed_meanwhile() {
        let live = Live::new(10);
        live.doubt_by(|principal| principal.token != Some(TokenId("t_old".into())));
        let _one = live.register(info("s_1", "t_1"), recorder().1).unwrap();
        let again = live.register(info("s_1", "t_2"), recorder().1).unwrap_err();
        assert_eq!(again, NotAdmitted::Duplicate);
        let changed = live.register(info("s_2", "t_old"), recorder().1).unwrap_err();
        assert_eq!(changed, NotAdmitted::Revoked);
    }
}
