//! The connection under test, and everything around it that is not under test: journal, people,
//! clock, ledger, the way to the upstream.

use std::any::Any;
use std::collections::{HashSet, VecDeque};
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use engine::{
    Act, Connected, Connection, ErrandAct, ErrandInput, ErrandOutbox, Guessed, Happening, HashKey,
    HoldRequest, Ledger, Limits, PayloadPolicy, Protocol, Settings, Setup, Snapshots, Ticket,
    TlsFacts,
};
use model::limit::{GUESSES_MAX, HOLD_BUFFER_BYTES, HOLD_BUFFER_TOTAL_BYTES, STATEMENT_BYTES_MAX};
use model::{
    ClientText, Credential, Event, Guess, OperationId, Principal, PrincipalKind, Resource, Secret,
    SessionId, Side, Timestamp, UpstreamTls,
};
use policy::{Refusal, Usage};

use crate::rules;

/// When every play begins: 2026-01-01T00:00:00Z.
pub const BEGIN: Timestamp = Timestamp(1_767_225_600_000_000_000);
/// The one token that is known.
pub const TOKEN: &str = "token";
/// The password that only the gateway holds.
pub const PASSWORD: &str = "the-gateways-own-secret";
/// Names the session to whoever wants to cancel its work.
pub const CANCEL_KEY: [u8; 8] = [0, 1, 2, 3, 4, 5, 6, 7];

/// What a connection is made with.
#[derive(Clone)]
pub struct Scene {
    /// The protocol spoken.
    pub protocol: &'static dyn Protocol<Bytes>,
    /// What a survey of the upstream found, in the protocol's own type.
    pub snapshot: Arc<dyn Any + Send + Sync>,
    /// The one resource.
    pub resource: Resource,
    /// Its protocol-specific settings.
    pub options: serde_json::Value,
    /// Rules, a line each; see [`crate::rules`].
    pub rules: Vec<String>,
    /// Nobody can read what the client sends on the way (R16).
    pub client_private: bool,
    /// TLS to the client can be started.
    pub client_tls: bool,
    /// How the upstream is reached.
    pub upstream_tls: UpstreamTls,
    /// Longest statement, bytes.
    pub statement_bytes_max: usize,
    /// Different values a masked field may be compared with.
    pub guesses_max: u64,
    /// Bytes of one reply that may be withheld.
    pub hold_buffer_bytes: usize,
}

impl Scene {
    /// A resource of this name, no rules, everyone admitted.
    #[must_use]
    pub fn new(
        protocol: &'static dyn Protocol<Bytes>,
        snapshot: Arc<dyn Any + Send + Sync>,
        resource: &str,
    ) -> Self {
        Self {
            protocol,
            snapshot,
            resource: Resource { name: resource.into(), kind: protocol.name().into() },
            options: serde_json::Value::Null,
            rules: Vec::new(),
            client_private: true,
            client_tls: false,
            upstream_tls: UpstreamTls::Off,
            statement_bytes_max: STATEMENT_BYTES_MAX,
            guesses_max: GUESSES_MAX,
            hold_buffer_bytes: HOLD_BUFFER_BYTES,
        }
    }
}

/// What the fake journal does with a batch.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum JournalMode {
    /// Has it at once.
    Keeps,
    /// Keeps it waiting until [`Stage::journal_catches_up`].
    Waits,
    /// Cannot take it.
    Fails,
}

/// Something that the connection wanted done, in order.
#[derive(Debug)]
pub enum Said {
    /// Events for the journal.
    Record(Ticket, Vec<Event>),
    /// The journal has every batch up to this one.
    Kept(Ticket),
    /// Bytes to a side.
    Send(Side, Bytes),
    /// A person is asked.
    Ask(Box<HoldRequest>),
    /// Nobody waits for the answer any more.
    Unask(OperationId),
    /// A cancel on a connection of its own: what was sent there.
    Cancel(Vec<Bytes>),
    /// The session with this cancel key should stop what it does.
    CancelSession([u8; 8]),
    /// A side must not be read for now.
    Pause(Side),
    /// It may be read again.
    Resume(Side),
    /// TLS is started on a side.
    StartTls(Side),
    /// A fresh survey is wanted.
    Refresh,
    /// An alert: rule and words.
    Alert(Arc<str>, String),
    /// Both sides are closed.
    Close,
}

/// A survey that a test can replace.
struct Surveyed(Arc<Mutex<Arc<dyn Any + Send + Sync>>>);

impl Snapshots for Surveyed {
    fn current(&self) -> Option<Arc<dyn Any + Send + Sync>> {
        Some(Arc::clone(&self.0.lock().unwrap_or_else(PoisonError::into_inner)))
    }
}

/// Fields and what they were compared with.
type Guessing = HashSet<(Arc<str>, Box<[u8]>)>;

/// Counts what one principal did, for ever.
#[derive(Default)]
struct Counted {
    usage: Mutex<Usage>,
    guesses: Mutex<Guessing>,
    guesses_max: u64,
}

impl Ledger for Counted {
    fn usage(&self, _: Option<&str>, _: &str, _: Duration, _: Timestamp) -> Usage {
        *self.usage.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn guess(&self, _: &str, _: &str, guesses: &[Guess], _: Timestamp) -> Guessed {
        let mut known = self.guesses.lock().unwrap_or_else(PoisonError::into_inner);
        let mut all = known.clone();
        for guess in guesses {
            all.insert((Arc::clone(&guess.field), guess.value.clone()));
            let values = all.iter().filter(|(field, _)| *field == guess.field).count();
            if values as u64 > self.guesses_max {
                return Guessed::Spent { field: Arc::clone(&guess.field), most: self.guesses_max };
            }
        }
        *known = all;
        Guessed::Within
    }

    fn add(&self, _: &str, _: &str, more: Usage, _: Timestamp) {
        let mut usage = self.usage.lock().unwrap_or_else(PoisonError::into_inner);
        usage.operations = usage.operations.saturating_add(more.operations);
        usage.rows = usage.rows.saturating_add(more.rows);
        usage.bytes = usage.bytes.saturating_add(more.bytes);
    }
}

/// One connection and its surroundings.
pub struct Stage {
    /// The engine.
    pub connection: Connection<Bytes>,
    /// What it is made with.
    pub scene: Scene,
    /// The time.
    pub now: Timestamp,
    /// What the journal does with the next batch.
    pub journal: JournalMode,
    /// Batches that wait for the journal.
    pub unrecorded: VecDeque<Ticket>,
    /// What the connection wanted done and what the journal kept, oldest first.
    pub said: Vec<Said>,
    /// What the surroundings have to say to that, next first.
    pub reactions: VecDeque<Happening<Bytes>>,
    /// Times at which it wants to be woken.
    pub alarms: Vec<Timestamp>,
    /// It asked for both sides to be closed.
    pub closed: bool,
    snapshot: Arc<Mutex<Arc<dyn Any + Send + Sync>>>,
    approvals: u64,
    versions: u64,
}

impl Stage {
    /// A connection that has heard nothing yet.
    ///
    /// # Panics
    /// The rules of the scene do not compile.
    #[must_use]
    pub fn new(scene: Scene) -> Self {
        let compiled = compiled(&scene, true, 1);
        let settings = Settings {
            gateway: "gw-test".into(),
            session: SessionId("s-1".into()),
            client: "192.0.2.1:50000".to_owned(),
            protocol: scene.protocol.name(),
            block: compiled.block,
            payload: PayloadPolicy::None,
            hold_buffer_bytes: scene.hold_buffer_bytes,
            hold_total: Arc::new(AtomicUsize::new(0)),
            hold_total_bytes_max: HOLD_BUFFER_TOTAL_BYTES,
            ledger: Arc::new(Counted { guesses_max: scene.guesses_max, ..Counted::default() }),
        };
        let setup = Setup {
            client_private: scene.client_private,
            client_tls: scene.client_tls,
            client_tls_started: false,
            cancel_key: CANCEL_KEY,
            session: "s-1".into(),
            limits: Limits { statement_bytes_max: scene.statement_bytes_max },
            hash_key: Arc::new(HashKey::new(&[7; 32])),
        };
        let conversation = scene.protocol.conversation(setup);
        Self {
            connection: Connection::new(settings, compiled.policy, conversation),
            now: BEGIN,
            journal: JournalMode::Keeps,
            unrecorded: VecDeque::new(),
            said: Vec::new(),
            reactions: VecDeque::new(),
            alarms: Vec::new(),
            closed: false,
            snapshot: Arc::new(Mutex::new(Arc::clone(&scene.snapshot))),
            approvals: 0,
            versions: 1,
            scene,
        }
    }

    /// Tells the connection something; reactions wait in [`Self::reactions`].
    pub fn tell_once(&mut self, happening: Happening<Bytes>) {
        if self.closed && matches!(happening, Happening::Data(..)) {
            return;
        }
        for act in self.connection.handle(self.now, happening) {
            self.perform(act);
        }
    }

    /// Tells the connection something, then everything that follows from it.
    pub fn tell(&mut self, happening: Happening<Bytes>) {
        self.tell_once(happening);
        self.settle();
    }

    /// Tells the connection every reaction, and the reactions to those.
    pub fn settle(&mut self) {
        while let Some(reaction) = self.reactions.pop_front() {
            self.tell_once(reaction);
        }
    }

    /// The journal takes everything that waits.
    pub fn journal_catches_up(&mut self) {
        while let Some(ticket) = self.unrecorded.pop_front() {
            self.said.push(Said::Kept(ticket));
            self.reactions.push_back(Happening::Recorded(ticket));
        }
        self.settle();
    }

    /// Time passes; alarms go off on the way.
    pub fn wait(&mut self, time: Duration) {
        let end = self.now.plus(time);
        loop {
            let due = self.alarms.iter().copied().filter(|at| *at <= end).min();
            let Some(at) = due else { break };
            self.alarms.retain(|alarm| *alarm > at);
            self.now = self.now.max(at);
            self.tell(Happening::Timer);
        }
        self.now = end;
    }

    /// New rules are in force.
    ///
    /// # Panics
    /// They do not compile.
    pub fn reload(&mut self, rules: Vec<String>, granted: bool) {
        self.reload_once(rules, granted);
        self.settle();
    }

    /// New rules are in force; reactions wait in [`Self::reactions`].
    ///
    /// # Panics
    /// They do not compile.
    pub fn reload_once(&mut self, rules: Vec<String>, granted: bool) {
        self.scene.rules = rules;
        self.versions = self.versions.saturating_add(1);
        let compiled = compiled(&self.scene, granted, self.versions);
        self.tell_once(Happening::Policy(compiled.policy));
    }

    /// A new survey is in place.
    pub fn resurvey(&mut self, snapshot: Arc<dyn Any + Send + Sync>) {
        *self.snapshot.lock().unwrap_or_else(PoisonError::into_inner) = snapshot;
    }

    /// What was said since the last call.
    pub fn take_said(&mut self) -> Vec<Said> {
        std::mem::take(&mut self.said)
    }

    fn perform(&mut self, act: Act<Bytes>) {
        let said = match act {
            Act::Record(ticket, events) => {
                self.said.push(Said::Record(ticket, events));
                match self.journal {
                    JournalMode::Keeps => {
                        self.reactions.push_back(Happening::Recorded(ticket));
                        Said::Kept(ticket)
                    }
                    JournalMode::Waits => {
                        self.unrecorded.push_back(ticket);
                        return;
                    }
                    JournalMode::Fails => {
                        self.reactions.push_back(Happening::RecordFailed(ticket));
                        return;
                    }
                }
            }
            Act::Send(side, unit) => Said::Send(side, unit),
            Act::Identify(claim) => {
                let known = claim.secret.expose() == TOKEN;
                let happening = if known && *claim.resource == *self.scene.resource.name {
                    Happening::Proved(Arc::new(principal()), self.scene.resource.clone(), None)
                } else {
                    let words = ClientText::fixed("the token is not known");
                    Happening::Disproved(Refusal::unjudgeable("unknown_token", words))
                };
                self.reactions.push_back(happening);
                return;
            }
            Act::Connect => {
                self.reactions.push_back(Happening::Connected(self.connected()));
                return;
            }
            Act::StartTls(side) => {
                self.reactions.push_back(Happening::TlsStarted(side, TlsFacts::default()));
                Said::StartTls(side)
            }
            Act::Hold(request) => {
                self.approvals = self.approvals.saturating_add(1);
                let approval = format!("a{}", self.approvals);
                let address = format!("narrows approve {approval}");
                let placed =
                    Happening::HoldPlaced(request.operation, approval.as_str().into(), address);
                self.reactions.push_back(placed);
                Said::Ask(request)
            }
            Act::Unhold(id) => Said::Unask(id),
            Act::Cancel(errand) => Said::Cancel(self.run(errand)),
            Act::CancelKey(_) => return,
            Act::CancelSession(key) => Said::CancelSession(key),
            Act::Refresh => {
                self.reactions.push_back(Happening::Refreshed);
                Said::Refresh
            }
            Act::Pause(side) => Said::Pause(side),
            Act::Resume(side) => Said::Resume(side),
            Act::Wake(at) => {
                self.alarms.push(at);
                return;
            }
            Act::Alert { rule, message, .. } => Said::Alert(rule, message),
            Act::Close => {
                self.closed = true;
                if !self.connection.is_ended() {
                    self.reactions.push_back(Happening::Closed(Side::Client));
                }
                Said::Close
            }
        };
        self.said.push(said);
    }

    fn connected(&self) -> Connected {
        Connected {
            credential: Arc::new(Credential {
                user: "gateway".to_owned(),
                password: Some(Secret::new(PASSWORD.to_owned())),
                database: "app".to_owned(),
            }),
            tls: self.scene.upstream_tls,
            snapshots: Arc::new(Surveyed(Arc::clone(&self.snapshot))),
            options: Arc::new(self.scene.options.clone()),
        }
    }

    /// Runs an errand on a clear transport, as far as it goes without answers.
    fn run(&self, mut errand: Box<dyn engine::Errand<Bytes>>) -> Vec<Bytes> {
        let mut connected = self.connected();
        connected.tls = UpstreamTls::Off;
        let mut out = ErrandOutbox::default();
        let mut sent = Vec::new();
        let result = errand.handle(ErrandInput::Connected(connected), &mut out);
        assert!(result.is_ok(), "an errand cannot be begun");
        for act in out.take() {
            if let ErrandAct::Send(bytes) = act {
                sent.push(bytes);
            }
        }
        sent
    }
}

fn compiled(scene: &Scene, granted: bool, version: u64) -> rules::Compiled {
    let resources = [scene.resource.clone()];
    match rules::compile(scene.protocol, &resources, granted, &scene.rules, version) {
        Ok(compiled) => compiled,
        Err(problems) => panic!("the rules of this play are wrong:\n{problems}"),
    }
}

/// Who asks in every play.
#[must_use]
pub fn principal() -> Principal {
    Principal {
        subject: "agent-7".into(),
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
