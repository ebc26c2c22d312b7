//! The connection under test, and everything around it that is not under test: journal, people,
//! clock, ledger, the way to the upstream.

use std::any::Any;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use engine::taint::{Taint, TaintKey, Trail};
use engine::{
    Act, Answer, Connected, Connection, ErrandAct, ErrandInput, ErrandOutbox, Guessed, Happening,
    HashKey, HoldRequest, Ledger, Limits, Protocol, Settings, Setup, SharedSession, Snapshots,
    Ticket, TlsFacts, Unit,
};
use model::limit::{
    GUESSES_MAX, HOLD_BUFFER_BYTES, HOLD_BUFFER_TOTAL_BYTES, STATEMENT_BYTES_MAX, TAINT_KEPT,
};
use model::{
    Claim, ClientText, Credential, Event, Guess, Offer, OperationId, Principal, PrincipalKind,
    Resource, Secret, SessionId, Side, Timestamp, UpstreamTls,
};
use policy::{PayloadPolicy, Refusal, Usage};

use crate::rules;

/// When every play begins: 2026-01-01T00:00:00Z.
pub const BEGIN: Timestamp = Timestamp(1_767_225_600_000_000_000);
/// The one token that is known, unless the scene says otherwise.
pub const TOKEN: &str = "token";
/// The password that only the gateway holds.
pub const PASSWORD: &str = "the-gateways-own-secret";
/// The client's address.
const CLIENT: &str = "192.0.2.1:50000";
/// Names the session to whoever wants to cancel its work.
pub const CANCEL_KEY: [u8; 8] = [0, 1, 2, 3, 4, 5, 6, 7];

/// What a connection is made with.
#[derive(Clone)]
pub struct Scene<U: Unit = Bytes> {
    /// The protocol spoken.
    pub protocol: &'static dyn Protocol<U>,
    /// What a survey of the upstream found, in the protocol's own type.
    pub snapshot: Arc<dyn Any + Send + Sync>,
    /// The first resource, and in most scenes the only one.
    pub resource: Resource,
    /// Its protocol-specific settings.
    pub options: serde_json::Value,
    /// The types of resources that are reached in the protocol.
    pub kinds: Vec<&'static str>,
    /// More resources, with their settings.
    pub others: Vec<(Resource, serde_json::Value)>,
    /// The one token that is known.
    pub token: &'static str,
    /// Connections are exchanges that join a session; a claim may leave the resource open, which
    /// then is the first.
    pub joins: bool,
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
    /// Followed values can be kept.
    pub keeps: bool,
    /// How much of replies is recorded; `None`: nothing, and transcripts do not tell.
    pub payload: Option<PayloadPolicy>,
    /// For whom the client works.
    pub on_behalf_of: Option<Arc<str>>,
    /// The client has shown a certificate.
    pub client_certificate: bool,
    /// Where a client can get a token.
    pub offer: Option<Arc<Offer>>,
}

impl<U: Unit> Scene<U> {
    /// A resource of this name, no rules, everyone admitted.
    #[must_use]
    pub fn new(
        protocol: &'static dyn Protocol<U>,
        snapshot: Arc<dyn Any + Send + Sync>,
        resource: &str,
    ) -> Self {
        Self {
            protocol,
            snapshot,
            resource: Resource { name: resource.into(), kind: protocol.name().into() },
            options: serde_json::Value::Null,
            kinds: vec![protocol.name()],
            others: Vec::new(),
            token: TOKEN,
            joins: false,
            rules: Vec::new(),
            client_private: true,
            client_tls: false,
            upstream_tls: UpstreamTls::Off,
            statement_bytes_max: STATEMENT_BYTES_MAX,
            guesses_max: GUESSES_MAX,
            hold_buffer_bytes: HOLD_BUFFER_BYTES,
            keeps: true,
            payload: None,
            on_behalf_of: None,
            client_certificate: false,
            offer: None,
        }
    }

    fn resources(&self) -> Vec<Resource> {
        let others = self.others.iter().map(|(resource, _)| resource.clone());
        std::iter::once(self.resource.clone()).chain(others).collect()
    }

    /// The resource that a claim names.
    fn claimed(&self, claim: &Claim) -> Option<Resource> {
        if self.joins && claim.resource.is_empty() {
            return Some(self.resource.clone());
        }
        self.resources().into_iter().find(|resource| *resource.name == *claim.resource)
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
pub enum Said<U = Bytes> {
    /// Events for the journal.
    Record(Ticket, Vec<Event>),
    /// The connection hears that the journal has every batch up to this one.
    Kept(Ticket),
    /// The connection hears that the journal cannot take this batch.
    Lost(Ticket),
    /// A unit to a side.
    Send(Side, U),
    /// The next exchange began; its tickets begin anew.
    Again,
    /// A person is asked.
    Ask(Box<HoldRequest>),
    /// Nobody is asked: a yes that came too late covers this repeat.
    Covered(OperationId),
    /// Nobody waits for the answer any more.
    Unask(OperationId),
    /// A cancel on a connection of its own: what was sent there.
    Cancel(Vec<U>),
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
    keeps: bool,
    trail: OnceLock<Arc<Trail>>,
}

impl Ledger for Counted {
    fn trail(&self, _: &str) -> Arc<Trail> {
        let key = || Arc::new(TaintKey::new(b"a key of the tests"));
        Arc::clone(self.trail.get_or_init(|| Arc::new(Trail::new(key()))))
    }

    fn keep(&self, subject: &str, taints: &[Taint], now: Timestamp) -> bool {
        let trail = self.trail(subject);
        self.keeps && taints.iter().all(|taint| trail.add(taint, now.plus(TAINT_KEPT), now).is_ok())
    }

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
pub struct Stage<U: Unit = Bytes> {
    /// The engine.
    pub connection: Connection<U>,
    /// What it is made with.
    pub scene: Scene<U>,
    /// The time.
    pub now: Timestamp,
    /// What the journal does with the next batch.
    pub journal: JournalMode,
    /// Batches that wait for the journal.
    pub unrecorded: VecDeque<Ticket>,
    /// What the connection wanted done and what the journal kept, oldest first.
    pub said: Vec<Said<U>>,
    /// What the surroundings have to say to that, next first.
    pub reactions: VecDeque<Happening<U>>,
    /// Times at which it wants to be woken.
    pub alarms: Vec<Timestamp>,
    /// It asked for both sides to be closed.
    pub closed: bool,
    /// Sessions that connections joined, by resource.
    pub sessions: BTreeMap<Arc<str>, Arc<SharedSession>>,
    snapshot: Arc<Mutex<Arc<dyn Any + Send + Sync>>>,
    ledger: Arc<Counted>,
    approvals: u64,
    versions: u64,
    granted: bool,
    options: Arc<serde_json::Value>,
    /// What was asked about each operation, and which of them somebody waits for.
    asked: HashMap<OperationId, [u8; 32]>,
    waiting: BTreeSet<OperationId>,
    /// What a late yes covers.
    late: HashMap<[u8; 32], Answer>,
}

impl<U: Unit> Stage<U> {
    /// A connection that has heard nothing yet.
    ///
    /// # Panics
    /// The rules of the scene do not compile.
    #[must_use]
    pub fn new(scene: Scene<U>) -> Self {
        let (guesses_max, keeps) = (scene.guesses_max, scene.keeps);
        let ledger = Arc::new(Counted { guesses_max, keeps, ..Counted::default() });
        Self {
            connection: connection(&scene, true, 1, &ledger),
            now: BEGIN,
            journal: JournalMode::Keeps,
            unrecorded: VecDeque::new(),
            said: Vec::new(),
            reactions: VecDeque::new(),
            alarms: Vec::new(),
            closed: false,
            sessions: BTreeMap::new(),
            snapshot: Arc::new(Mutex::new(Arc::clone(&scene.snapshot))),
            ledger,
            approvals: 0,
            versions: 1,
            granted: true,
            options: Arc::new(scene.options.clone()),
            asked: HashMap::new(),
            waiting: BTreeSet::new(),
            late: HashMap::new(),
            scene,
        }
    }

    /// The next exchange of the same client begins, on a connection of its own; the one before it
    /// is heard no more.
    ///
    /// # Panics
    /// The rules of the scene do not compile.
    pub fn again(&mut self) {
        self.connection = connection(&self.scene, self.granted, self.versions, &self.ledger);
        self.unrecorded.clear();
        self.reactions.clear();
        self.alarms.clear();
        self.waiting.clear();
        self.closed = false;
        self.said.push(Said::Again);
    }

    /// Tells the connection something; reactions wait in [`Self::reactions`].
    pub fn tell_once(&mut self, happening: Happening<U>) {
        if self.closed && matches!(happening, Happening::Data(..)) {
            return;
        }
        match &happening {
            Happening::Recorded(ticket) => self.said.push(Said::Kept(*ticket)),
            Happening::RecordFailed(ticket) => self.said.push(Said::Lost(*ticket)),
            _ => {}
        }
        for act in self.connection.handle(self.now, happening) {
            self.perform(act);
        }
    }

    /// Tells the connection something, then everything that follows from it.
    pub fn tell(&mut self, happening: Happening<U>) {
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
            self.reactions.push_back(Happening::Recorded(ticket));
        }
        self.settle();
    }

    /// The journal cannot take the first of what waits.
    pub fn journal_loses_one(&mut self) {
        let lost = self.unrecorded.pop_front().map(Happening::RecordFailed);
        self.reactions.extend(lost);
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
        self.granted = granted;
        self.versions = self.versions.saturating_add(1);
        let compiled = compiled(&self.scene, granted, self.versions);
        self.tell_once(Happening::Policy(compiled.policy));
    }

    /// A new survey is in place.
    pub fn resurvey(&mut self, snapshot: Arc<dyn Any + Send + Sync>) {
        *self.snapshot.lock().unwrap_or_else(PoisonError::into_inner) = snapshot;
    }

    /// What was said since the last call.
    pub fn take_said(&mut self) -> Vec<Said<U>> {
        std::mem::take(&mut self.said)
    }

    /// A person answers. A yes that nobody waits for any more covers one repeat of the operation.
    pub fn answer(&mut self, id: OperationId, answer: Answer) {
        if self.waiting.remove(&id) {
            self.tell(Happening::Answered(id, answer));
        } else if let (Some(digest), Answer::Approved { .. }) = (self.asked.get(&id), &answer) {
            self.late.insert(*digest, answer);
        }
    }

    /// What becomes of a claim.
    fn proof(&mut self, claim: &Claim) -> Happening<U> {
        let refused = |reason, words: &'static str| {
            Happening::Disproved(Refusal::unjudgeable(reason, ClientText::fixed(words)))
        };
        if self.scene.joins && claim.secret.expose().is_empty() {
            return refused("no_token", "no token was given; the gateway needs one");
        }
        if claim.secret.expose() != self.scene.token {
            return refused("unknown_token", "the token is not known");
        }
        let Some(resource) = self.scene.claimed(claim) else {
            if !self.scene.joins {
                return refused("unknown_token", "the token is not known");
            }
            let words = "the principal may not use it: no access line grants it";
            return refused("unknown_resource", words);
        };
        let options = self.scene.others.iter().find(|(other, _)| other.name == resource.name);
        let options = options.map_or(&self.scene.options, |(_, options)| options);
        self.options = Arc::new(options.clone());
        let payload = self.scene.payload.unwrap_or(PayloadPolicy::None);
        if !self.scene.joins {
            return Happening::Proved(self.who(), resource, payload, None);
        }
        let shared = match self.sessions.get(&resource.name) {
            Some(shared) => Arc::clone(shared),
            None if self.journal == JournalMode::Fails => {
                return refused("not_recorded", "refused: the gateway cannot record it now");
            }
            None => self.session(claim, &resource),
        };
        Happening::Proved(self.who(), resource, payload, Some(shared))
    }

    /// Who asks, and for whom.
    fn who(&self) -> Arc<Principal> {
        Arc::new(Principal { on_behalf_of: self.scene.on_behalf_of.clone(), ..principal() })
    }

    /// Begins a session that connections join. Its first event is in the journal before anything
    /// else of it is heard, so no ticket is waited for.
    fn session(&mut self, claim: &Claim, resource: &Resource) -> Arc<SharedSession> {
        let name = format!("s-{}", self.sessions.len().saturating_add(1));
        let shared = Arc::new(SharedSession::new(
            "gw-test".into(),
            SessionId(name.into()),
            self.who(),
            resource.clone(),
            self.now,
        ));
        let protocol = self.scene.protocol.name();
        let began = shared.began(
            CLIENT.to_owned(),
            (claim.application.clone(), claim.run.clone()),
            protocol,
        );
        self.said.push(Said::Record(Ticket(0), vec![began]));
        self.sessions.insert(Arc::clone(&resource.name), Arc::clone(&shared));
        shared
    }

    fn perform(&mut self, act: Act<U>) {
        let said = match act {
            Act::Record(ticket, events) => {
                self.said.push(Said::Record(ticket, events));
                if self.journal != JournalMode::Waits {
                    // Batches are acknowledged in order: what waits is decided before this one.
                    let before = self.unrecorded.drain(..).map(Happening::Recorded);
                    self.reactions.extend(before);
                }
                match self.journal {
                    JournalMode::Keeps => self.reactions.push_back(Happening::Recorded(ticket)),
                    JournalMode::Waits => self.unrecorded.push_back(ticket),
                    JournalMode::Fails => {
                        self.reactions.push_back(Happening::RecordFailed(ticket));
                    }
                }
                return;
            }
            Act::Send(side, unit) => Said::Send(side, unit),
            Act::Identify(claim) => {
                let happening = self.proof(&claim);
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
                self.asked.insert(request.operation, request.digest);
                if let Some(answer) = self.late.remove(&request.digest) {
                    self.reactions.push_back(Happening::Answered(request.operation, answer));
                    self.said.push(Said::Covered(request.operation));
                    return;
                }
                self.waiting.insert(request.operation);
                self.approvals = self.approvals.saturating_add(1);
                let approval = format!("a{}", self.approvals);
                let address = format!("narrows approve {approval}");
                let placed =
                    Happening::HoldPlaced(request.operation, approval.as_str().into(), address);
                self.reactions.push_back(placed);
                Said::Ask(request)
            }
            Act::Unhold(id) => {
                self.waiting.remove(&id);
                Said::Unask(id)
            }
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
                made: None,
            }),
            tls: self.scene.upstream_tls,
            snapshots: Arc::new(Surveyed(Arc::clone(&self.snapshot))),
            options: Arc::clone(&self.options),
        }
    }

    /// Runs an errand on a clear transport, as far as it goes without answers.
    fn run(&self, mut errand: Box<dyn engine::Errand<U>>) -> Vec<U> {
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

/// A connection that has heard nothing yet.
fn connection<U: Unit>(
    scene: &Scene<U>,
    granted: bool,
    version: u64,
    ledger: &Arc<Counted>,
) -> Connection<U> {
    let compiled = compiled(scene, granted, version);
    // An exchange has a name of its own until it joins.
    let name = if scene.joins { "x-1" } else { "s-1" };
    let settings = Settings {
        gateway: "gw-test".into(),
        session: SessionId(name.into()),
        client: CLIENT.into(),
        protocol: scene.protocol.name(),
        block: compiled.block,
        hold_buffer_bytes: scene.hold_buffer_bytes,
        hold_total: Arc::new(AtomicUsize::new(0)),
        hold_total_bytes_max: HOLD_BUFFER_TOTAL_BYTES,
        ledger: Arc::clone(ledger) as Arc<dyn Ledger>,
    };
    let setup = Setup {
        client_private: scene.client_private,
        client_tls: scene.client_tls,
        client_tls_started: false,
        client_certificate: scene.client_certificate,
        cancel_key: CANCEL_KEY,
        session: name.into(),
        limits: Limits { statement_bytes_max: scene.statement_bytes_max },
        hash_key: Arc::new(HashKey::new(&[7; 32])),
        offer: scene.offer.clone(),
    };
    Connection::new(settings, compiled.policy, scene.protocol.conversation(setup))
}

fn compiled<U: Unit>(scene: &Scene<U>, granted: bool, version: u64) -> rules::Compiled {
    let resources = scene.resources();
    let (protocol, kinds, rules) = (scene.protocol, &scene.kinds, &scene.rules);
    match rules::compile_for(protocol, kinds, &resources, granted, rules, version) {
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
        certificate: None,
    }
}
