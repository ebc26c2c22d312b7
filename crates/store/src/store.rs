//! Everything durable of one gateway, opened together.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use model::event::EVENT_VERSION;
use model::{Event, EventBody, Secret, Timestamp, limit};

use crate::approvals::Approvals;
use crate::data_dir::{DataDir, DataDirError, InstallationKey};
use crate::ears::Ears;
use crate::guesses::Guesses;
use crate::index::{INTERVAL, Index, IndexError, SessionSummary};
use crate::journal::{self, Journal, JournalError, JournalKey, JournalLock, Recovery, Sealing};
use crate::live::Live;
use crate::logins::Logins;
use crate::registry::{Peers, Registry, Shared, SharedOptions};
use crate::state::{State, StateError};
use crate::taints::Taints;
use crate::tokens::Tokens;
use crate::usage::Ledger;

const DAY_NS: u64 = 24 * 60 * 60 * 1_000_000_000;
/// Events appended at once while closing sessions that a crash left open.
const CLOSE_BATCH: usize = 1000;

/// What to open.
#[derive(Debug)]
pub struct StoreOptions {
    /// `data_dir`.
    pub data_dir: PathBuf,
    /// How the journal is written.
    pub journal: journal::Options,
    /// Whether new segments of the journal are sealed by the installation key. Those that are can
    /// be read in any case.
    pub seals_journal: bool,
    /// `keys.installation`, at least 32 bytes; `None` uses `data_dir/installation.key`.
    pub installation_key: Option<Secret<Vec<u8>>>,
    /// Sessions the gateway may carry; `sessions_max`.
    pub sessions_max: usize,
    /// The last segment and record number that are known outside the journal, as by its archive: no
    /// other events may have them, also where the journal lost its end or was put back from a copy.
    pub known: (u64, u64),
    /// Where the registry is, if several gateways share it; `None` keeps it in `data_dir`.
    pub shared: Option<SharedOptions>,
}

impl StoreOptions {
    /// Defaults for everything but the folder.
    #[must_use]
    pub fn new(data_dir: impl Into<PathBuf>) -> Self {
        Self {
            data_dir: data_dir.into(),
            journal: journal::Options::default(),
            seals_journal: false,
            installation_key: None,
            sessions_max: limit::SESSIONS_MAX,
            known: (0, 0),
            shared: None,
        }
    }
}

/// Why the store cannot be opened. All of it is the operator's to mend.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The data folder.
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    /// The journal.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The state database.
    #[error(transparent)]
    State(#[from] StateError),
    /// The index.
    #[error(transparent)]
    Index(#[from] IndexError),
}

/// What opening found.
#[derive(Clone, Debug)]
pub struct Opened {
    /// What the journal had to mend.
    pub recovery: Recovery,
    /// Sessions that the process before left open; each got its `session_ended` event, with reason
    /// `gateway_stopped`.
    pub sessions_closed: usize,
    /// The journal ended before what is known of it ([`StoreOptions::known`]), and goes on behind.
    pub went_ahead: bool,
}

/// Everything durable of one gateway. The parts are shared freely.
pub struct Store {
    /// The data folder.
    pub data_dir: DataDir,
    /// The name of this gateway.
    pub gateway: Arc<str>,
    /// The installation key, to derive others from.
    pub key: Arc<InstallationKey>,
    /// What happened.
    pub journal: Arc<Journal>,
    /// Where to find it.
    pub index: Arc<Index>,
    /// Who may come in.
    pub tokens: Arc<Tokens>,
    /// Who signed in.
    pub logins: Arc<Logins>,
    /// What waits for a person.
    pub approvals: Arc<Approvals>,
    /// Who is in.
    pub live: Arc<Live>,
    /// Who did how much lately.
    pub usage: Arc<Ledger>,
    /// Who compared masked columns with what, today.
    pub guesses: Arc<Guesses>,
    /// What principals received of followed values.
    pub taints: Arc<Taints>,
    /// The other gateways, where several share the registry.
    pub peers: Option<Arc<Peers>>,
}

impl Store {
    /// Opens or makes a gateway's data folder. A revoked token ends its live sessions from here on.
    pub fn open(options: StoreOptions, now: Timestamp) -> Result<(Self, Opened), StoreError> {
        let data_dir = DataDir::open(&options.data_dir)?;
        let gateway = data_dir.gateway()?;
        // The lock of the journal comes first: it keeps a second process from the rest as well.
        let folder = data_dir.path().join("journal");
        let lock = JournalLock::take(&folder, &gateway)?;
        let given = options.installation_key.as_ref();
        let key = Arc::new(match given.map(|bytes| InstallationKey::from_bytes(bytes.expose())) {
            Some(key) => key?,
            None => installation_key(&data_dir, &lock)?,
        });
        let sealing = match (options.seals_journal, JournalKey::of(&key)) {
            (true, key) => Sealing::Seals(key),
            (false, key) => Sealing::Opens(key),
        };
        let (journal, recovery) = lock.open(options.journal, sealing)?;
        let journal = Arc::new(journal);
        // Before the first event of this process.
        let (segment, number) = options.known;
        let went_ahead = segment > 0 && journal.advance_past(segment, number)?;
        let state = Arc::new(State::open(&data_dir.path().join("state.sqlite"))?);
        let index = Arc::new(Index::open(Arc::clone(&state), Arc::clone(&journal), INTERVAL)?);
        let sessions_closed = mended(&index, || close_left_open(&journal, &index, now))?;
        let usage = mended(&index, || {
            let usage = Ledger::new(limit::LEDGER_KEYS_MAX);
            index.load_usage(&usage, Timestamp(now.0.saturating_sub(DAY_NS)))?;
            Ok(Arc::new(usage))
        })?;
        let live = Live::new(options.sessions_max);
        let (registry, shared) = match options.shared {
            None => (Registry::local(state), None),
            Some(shared) => {
                let (shared, feed) = Shared::open(shared, Arc::clone(&gateway), &key)?;
                (Registry::shared(Arc::clone(&shared)), Some((shared, feed)))
            }
        };
        let tokens = Arc::new(Tokens::open(Arc::clone(&registry), &key)?);
        let ending = Arc::clone(&live);
        tokens.subscribe(Box::new(move |id| {
            ending.revoke(id, "revoked");
        }));
        let logins = Arc::new(Logins::open(Arc::clone(&registry), &key)?);
        let ending = Arc::clone(&live);
        logins.subscribe(Box::new(move |tokens, why| {
            ending.end(tokens, why);
        }));
        // Each knows the other, and neither keeps it.
        let of_live = Arc::downgrade(&logins);
        live.doubt_by(move |principal| {
            of_live.upgrade().is_some_and(|logins| logins.is_current(principal))
        });
        let guesses = Arc::new(Guesses::open(Arc::clone(&registry), &key, now)?);
        let taints = Arc::new(Taints::open(Arc::clone(&registry), &key)?);
        let approvals = Arc::new(Approvals::open(Arc::clone(&registry), now)?);
        let mut peers = None;
        if let Some((shared, feed)) = shared {
            usage.share(Arc::clone(&registry), now)?;
            let others = Peers::start(registry, Arc::clone(&shared))?;
            // From before what was loaded above, so that nothing is missed.
            let ears = Ears {
                tokens: Arc::downgrade(&tokens),
                logins: Arc::downgrade(&logins),
                approvals: Arc::downgrade(&approvals),
                taints: Arc::downgrade(&taints),
                peers: Arc::downgrade(&others),
                usage: Arc::downgrade(&usage),
            };
            shared.follow(feed, Arc::new(ears))?;
            peers = Some(others);
        }
        let store = Self {
            data_dir,
            gateway,
            key,
            journal,
            index,
            tokens,
            logins,
            approvals,
            live,
            usage,
            guesses,
            taints,
            peers,
        };
        Ok((store, Opened { recovery, sessions_closed, went_ahead }))
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").field("gateway", &self.gateway).finish_non_exhaustive()
    }
}

/// The key of the data folder. It is made if missing, unless it is missed: a new one would open
/// nothing of a journal that is sealed.
fn installation_key(data_dir: &DataDir, lock: &JournalLock) -> Result<InstallationKey, StoreError> {
    if let Some(key) = InstallationKey::find(data_dir.path())? {
        return Ok(key);
    }
    lock.check_key(None)?;
    Ok(data_dir.installation_key()?)
}

/// Reads the index, which is built again if that shows that it is damaged.
fn mended<T>(index: &Index, read: impl Fn() -> Result<T, StoreError>) -> Result<T, StoreError> {
    match read() {
        Err(StoreError::Index(IndexError::State(error))) if error.is_damage() => {
            index.renew(&error)?;
            read()
        }
        done => done,
    }
}

/// Records the end of sessions that ended with the process before.
fn close_left_open(journal: &Journal, index: &Index, now: Timestamp) -> Result<usize, StoreError> {
    let open = index.unended()?;
    for sessions in open.chunks(CLOSE_BATCH) {
        let events: Vec<_> = sessions.iter().map(|session| ended(session, now)).collect();
        if let Err(error) = journal.append(&events) {
            // A full disk: new operations are refused anyway, and the next start closes them.
            tracing::error!(%error, "cannot record the end of sessions the last process left open");
            return Ok(0);
        }
    }
    Ok(open.len())
}

fn ended(session: &SessionSummary, now: Timestamp) -> Event {
    Event {
        v: EVENT_VERSION,
        at: now,
        gateway: session.gateway.as_str().into(),
        session: Some(session.id.clone()),
        sequence: session.sequence + 1,
        principal: Some(session.principal.as_str().into())
            .filter(|_| !session.principal.is_empty()),
        // The index does not have it: this end is the one event of a session that may lack it.
        on_behalf_of: None,
        resource: Some(session.resource.as_str().into()).filter(|_| !session.resource.is_empty()),
        body: EventBody::SessionEnded {
            reason: "gateway_stopped".to_owned(),
            detail: Some("the gateway stopped without ending the session".to_owned()),
            operations: session.done.operations,
            rows: session.done.rows,
            bytes: session.done.bytes,
        },
        payload: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::live::SessionInfo;
    use crate::testing::{Folder, at, event, started};
    use crate::tokens::NewToken;

    #[test]
    fn sessions_left_open_by_a_crash_are_closed_at_the_next_start() {
        let folder = Folder::new();
        let id = {
            let (store, opened) = Store::open(StoreOptions::new(folder.path()), at(0)).unwrap();
            assert_eq!(opened.sessions_closed, 0);
            let mut first = event("s_one", 1, at(1), started());
            first.gateway = Arc::clone(&store.gateway);
            store.journal.append(std::slice::from_ref(&first)).unwrap();
            first.session.unwrap()
        };
        let (store, opened) = Store::open(StoreOptions::new(folder.path()), at(9)).unwrap();
        assert_eq!(opened.sessions_closed, 1);
        let session = store.index.session(&id).unwrap().unwrap();
        assert_eq!(session.ended_at, Some(at(9)));
        assert_eq!(session.end_reason.as_deref(), Some("gateway_stopped"));
        let events: Vec<_> = store.index.events(&id).unwrap().map(Result::unwrap).collect();
        assert_eq!(events.len(), 2);
        assert_eq!(events[1].sequence, 2);
    }

    #[test]
    fn p5_not_even_the_first_event_of_a_process_has_a_number_that_others_know() {
        let folder = Folder::new();
        {
            let (store, opened) = Store::open(StoreOptions::new(folder.path()), at(0)).unwrap();
            assert!(!opened.went_ahead);
            let mut first = event("s_one", 1, at(1), started());
            first.gateway = Arc::clone(&store.gateway);
            store.journal.append(&[first]).unwrap();
        }
        let mut options = StoreOptions::new(folder.path());
        options.known = (5, 70);
        let (store, opened) = Store::open(options, at(9)).unwrap();
        assert_eq!((opened.went_ahead, opened.sessions_closed), (true, 1));
        let last = store.journal.last();
        assert_eq!((last.segment, last.sequence), (6, 71));
    }

    fn sealing(folder: &Folder) -> StoreOptions {
        StoreOptions { seals_journal: true, ..StoreOptions::new(folder.path()) }
    }

    #[test]
    fn p6_a_sealed_journal_is_read_whether_or_not_more_of_it_is_sealed() {
        let folder = Folder::new();
        let mut first = event("s_one", 1, at(1), started());
        let id = first.session.clone().unwrap();
        {
            let (store, _) = Store::open(sealing(&folder), at(0)).unwrap();
            first.gateway = Arc::clone(&store.gateway);
            store.journal.append(std::slice::from_ref(&first)).unwrap();
            let bytes = std::fs::read(store.journal.segment_path(1)).unwrap();
            assert!(!bytes.windows(5).any(|window| window == b"s_one"));
        }
        let (store, opened) = Store::open(StoreOptions::new(folder.path()), at(9)).unwrap();
        assert_eq!(opened.sessions_closed, 1);
        assert_eq!(store.journal.last().segment, 2, "what is said from now on is in clear");
        let events: Vec<_> = store.index.events(&id).unwrap().map(Result::unwrap).collect();
        assert_eq!((events.len(), &events[0]), (2, &first));
    }

    /// Goal: a key that is missing is not replaced by one that opens nothing, and another one is
    /// said to be another; either way nothing is written.
    #[test]
    fn p6_a_sealed_journal_is_not_opened_without_its_key() {
        let folder = Folder::new();
        {
            let (store, _) = Store::open(sealing(&folder), at(0)).unwrap();
            store.journal.append(&[event("s_one", 1, at(1), started())]).unwrap();
        }
        let (file, kept) = (folder.path().join("installation.key"), folder.path().join("kept"));
        std::fs::rename(&file, &kept).unwrap();
        for options in [sealing(&folder), StoreOptions::new(folder.path())] {
            let error = Store::open(options, at(9)).unwrap_err().to_string();
            assert!(error.contains("-0000000001.nj is sealed and there is no inst"), "{error}");
            assert!(!file.exists(), "a key that opens nothing was made");
        }
        for mut options in [sealing(&folder), StoreOptions::new(folder.path())] {
            options.installation_key = Some(Secret::new(vec![7; 32]));
            let error = Store::open(options, at(9)).unwrap_err().to_string();
            assert!(error.contains("-0000000001.nj is sealed under another"), "{error}");
        }
        std::fs::rename(&kept, &file).unwrap();
        let (store, opened) = Store::open(sealing(&folder), at(9)).unwrap();
        assert_eq!((opened.recovery.records, opened.recovery.torn), (1, None));
        assert_eq!(store.journal.last().segment, 1);
    }

    #[test]
    fn a_second_process_is_told_who_has_the_folder() {
        let folder = Folder::new();
        let (_store, _) = Store::open(StoreOptions::new(folder.path()), at(0)).unwrap();
        let error = Store::open(StoreOptions::new(folder.path()), at(0)).unwrap_err().to_string();
        assert!(error.contains(&std::process::id().to_string()), "{error}");
    }

    #[test]
    fn a_revocation_ends_live_sessions_at_once() {
        let folder = Folder::new();
        let (store, _) = Store::open(StoreOptions::new(folder.path()), at(0)).unwrap();
        let new = NewToken { subject: "bot".to_owned(), ..NewToken::default() };
        let (record, token) = store.tokens.create(new, at(0)).unwrap();
        let info = SessionInfo {
            id: crate::session_id(at(1)).unwrap(),
            principal: store.tokens.verify(token.expose(), at(1)).unwrap(),
            resource: "appdb".into(),
            protocol: "postgres".into(),
            client: "127.0.0.1:9".into(),
            application: None,
            started_at: at(1),
        };
        let (told, heard) = std::sync::mpsc::channel();
        let stop = Box::new(move |reason| told.send(reason).unwrap());
        let _live = store.live.register(info, stop).unwrap();
        store.tokens.revoke(&record.id, at(2)).unwrap();
        assert_eq!(heard.try_recv(), Ok("revoked"));
    }

    #[test]
    fn usage_is_remembered_over_a_restart() {
        use model::OperationId;
        let folder = Folder::new();
        let reply = EventBody::Reply {
            operation: OperationId(1),
            outcome: "done".to_owned(),
            rows: 7,
            bytes: 70,
            columns: Vec::new(),
            detections: Vec::new(),
            searched: Arc::new([]),
            duration_ns: 1,
            error_code: None,
            payload_dropped: 0,
            sent: 0,
        };
        {
            let (store, _) = Store::open(StoreOptions::new(folder.path()), at(0)).unwrap();
            store.journal.append(&[event("s_one", 1, at(1), reply)]).unwrap();
        }
        let (store, _) = Store::open(StoreOptions::new(folder.path()), at(60)).unwrap();
        let used = store.usage.principal("agent", "appdb", Duration::from_secs(3600), at(61));
        assert_eq!((used.rows, used.bytes), (7, 70));
    }
}
