//! What the tests of this crate share.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use model::event::{EVENT_VERSION, EventBody, Verdict};
use model::operation::Objects;
use model::{Event, OperationId, Principal, PrincipalKind, SessionId, Timestamp};

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
