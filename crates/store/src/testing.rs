//! What the tests of this crate share.

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use e2e::Server;
use model::event::{EVENT_VERSION, EventBody, Verdict};
use model::operation::Objects;
use model::{Event, OperationId, Principal, PrincipalKind, Secret, SessionId, Timestamp};

use crate::data_dir::InstallationKey;
use crate::registry::{Password, Registry, Shared, SharedOptions};
use crate::state::State;

/// A folder of its own, removed at the end.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path =
            std::env::temp_dir().join(format!("narrows-store-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Runs tests over each database that the registry can be in.
macro_rules! over_both {
    ($($(#[$meta:meta])* fn $name:ident() $body:block)*) => {
        mod over_sqlite {
            use super::*;
            $(#[test] $(#[$meta])* fn $name() $body)*
        }
        mod over_postgres {
            use super::*;
            $(#[test] $(#[$meta])* fn $name() {
                let _server = $crate::testing::Postgres::start();
                $body
            })*
        }
    };
}
pub(crate) use over_both;

thread_local! {
    /// Where registries of this test are; in a file of their folder if nowhere.
    static SERVER: RefCell<Option<Rc<Postgres>>> = const { RefCell::new(None) };
}

/// A PostgreSQL of its own, for registries.
pub(crate) struct Postgres {
    server: Server,
    databases: RefCell<Vec<PathBuf>>,
}

impl Postgres {
    /// Starts one; registries that this thread opens are there.
    pub(crate) fn start() -> Rc<Self> {
        let server = Server::start().unwrap();
        let postgres = Rc::new(Self { server, databases: RefCell::default() });
        SERVER.set(Some(Rc::clone(&postgres)));
        postgres
    }

    /// How to reach the database that stands for a folder.
    pub(crate) fn options(&self, folder: &Path) -> SharedOptions {
        let mut databases = self.databases.borrow_mut();
        let known = databases.iter().position(|known| known == folder);
        let number = known.unwrap_or_else(|| {
            let number = databases.len();
            self.server.sql(&format!("CREATE DATABASE d{number} OWNER app")).unwrap();
            databases.push(folder.to_owned());
            number
        });
        let password: Password = Arc::new(|| {
            Box::pin(async { Ok(Secret::new("Hidden-upstream-password-4711".to_owned())) })
        });
        SharedOptions {
            host: "127.0.0.1".to_owned(),
            port: self.server.upstream().port,
            user: "app".to_owned(),
            database: format!("d{number}"),
            password: Some(password),
            tls: None,
            outlive: Duration::from_secs(60),
            clock: || at(0),
            version: "0.0.0",
        }
    }

    /// Runs statements in the database that stands for a folder, as the superuser.
    pub(crate) fn sql(&self, folder: &Path, statements: &str) -> String {
        let options = self.options(folder);
        let mut psql = std::process::Command::new("psql");
        psql.args(["-X", "-q", "-At", "-h", "127.0.0.1", "-U", "boss", "-v", "ON_ERROR_STOP=1"]);
        psql.args(["-p", &options.port.to_string(), "-d", &options.database, "-c", statements]);
        let output = psql.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }
}

/// The registry that stands for a folder, opened anew.
pub(crate) fn registry(folder: &Folder) -> Arc<Registry> {
    let server = SERVER.with_borrow(Clone::clone);
    match server {
        None => {
            let state = State::open(&folder.path().join("state.sqlite")).unwrap();
            Registry::local(Arc::new(state))
        }
        Some(server) => {
            let key = InstallationKey::from_bytes(&[9; 32]).unwrap();
            let options = server.options(folder.path());
            let (shared, _feed) = Shared::open(options, "gw-test".into(), &key).unwrap();
            Registry::shared(shared)
        }
    }
}

pub(crate) fn principal(subject: &str) -> Principal {
    Principal {
        subject: subject.into(),
        kind: PrincipalKind::Agent,
        groups: vec!["agents".into()],
        issuer: "narrows".into(),
        on_behalf_of: None,
        on_behalf_of_groups: Vec::new(),
        token: None,
        minted_by: None,
        expires_at: None,
        certificate: None,
    }
}

/// `seconds` after a fixed point.
pub(crate) fn at(seconds: u64) -> Timestamp {
    Timestamp((1_700_000_000 + seconds) * 1_000_000_000)
}

pub(crate) fn event(session: &str, sequence: u64, at: Timestamp, body: EventBody) -> Event {
    Event {
        v: EVENT_VERSION,
        at,
        gateway: "gw-test".into(),
        session: Some(SessionId(session.into())),
        sequence,
        principal: Some("agent".into()),
        on_behalf_of: None,
        resource: Some("appdb".into()),
        body,
        payload: Vec::new(),
    }
}

pub(crate) fn started() -> EventBody {
    EventBody::SessionStarted {
        principal: principal("agent"),
        client: "127.0.0.1:5000".into(),
        application: Some("psql".into()),
        protocol: "postgres".into(),
        run: None,
    }
}

pub(crate) fn operation(number: u64, text: &str, table: &str, decision: Verdict) -> EventBody {
    EventBody::Operation {
        operation: OperationId(number),
        step: "query".into(),
        under: None,
        text: text.into(),
        parameters: Vec::new(),
        objects: Arc::new(Objects {
            verbs: vec!["select".into()],
            reads: vec![table.into()],
            ..Objects::default()
        }),
        decision,
        rules: Vec::new(),
        message: None,
        reason: None,
        approval: None,
        approver: None,
    }
}

pub(crate) fn small(sequence: u64) -> Event {
    let body = operation(sequence, &format!("select {sequence}"), "public.t", Verdict::Allow);
    event("s_one", sequence, at(sequence), body)
}
