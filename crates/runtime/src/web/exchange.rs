//! One request and its reply, owned by one task: the engine, both messages, and what waits.
//!
//! As in [`crate::drive`], acts never call back into the engine; what they cause is queued as a
//! further happening. Frames wait in short queues on both sides, and a side that does not take what
//! is sent to it stops the other from being read.

mod beside;
mod identity;
mod tunnel;
mod upstream;
mod words;

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use engine::{Act, Connection, Happening, Ledger, Limits, Refusal, Setup};
use http::Response;
use http_body::Body;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use model::exchange::{Length, Part, Reply, Request};
use model::limit::BODY_PART_BYTES;
use model::{ClientText, OperationId, Principal, SessionId, Side, Timestamp};
use policy::Admission;
use rustls_pki_types::CertificateDer;
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use self::tunnel::PassedOn;
use self::upstream::knows;
use super::answer::NotAnswered;
use super::bare::Bare;
use super::body::{Passed, ReplyBody, has_room, pass};
use super::echo::Echo;
use super::held::Share;
use super::sessions::{Joined, record};
use super::site::Site;
use super::socket::{FAREWELL_TIMEOUT, Heard};
use crate::alert::Alert;
use crate::clock;
use crate::drive::{Meter, stop_words};
use crate::gateway::{Gateway, Seat};
use crate::hold::Holds;
use crate::mailbox::{Mailbox, Note};
use crate::record::Kept;
use crate::resource::OnFailure;
use crate::rules::Rules;
use crate::timers::{Alarm, Timers};

/// How long an upstream may take to answer a request that it has in full.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(300);
/// Bytes of a body that are searched where connections are served; more is searched aside.
const SEARCHED_BYTES_MAX: usize = 64 * 1024;
/// The same of a body with a content coding: what it holds can be hundreds of times as long.
const CODED_BYTES_MAX: usize = 1024;
/// How long a client may pause in a body that waits for it.
const STALL_TIMEOUT: Duration = Duration::from_secs(60);
/// How long the other side may take to accept what is left for it when the exchange ends.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a client that was answered may go on to send its request.
pub(super) const LINGER: Duration = Duration::from_secs(30);
/// How long it may pause.
pub(super) const LINGER_PAUSE: Duration = Duration::from_secs(5);

/// How the client reached the gateway.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Face {
    /// As the server it means.
    Reverse,
    /// As its proxy.
    Egress,
}

/// A request that has come.
pub(super) struct Arrived {
    pub face: Face,
    pub head: Request,
    /// `None`: it has none, and nobody frames one.
    pub body: Option<Incoming>,
    /// The connection itself, once a change of protocol or a tunnel was granted.
    pub socket: Option<Bare>,
    pub peer: SocketAddr,
    /// The same in words.
    pub address: Arc<str>,
    /// Nobody on the way can read what the client sends (R16).
    pub private: bool,
    /// What the client has shown of itself.
    pub certificates: Arc<[CertificateDer<'static>]>,
    /// The connection's place among the others, which what becomes of it keeps.
    pub seat: Arc<Seat>,
}

type Call = Pin<Box<dyn Future<Output = Result<Answer, NotAnswered>> + Send>>;
/// A reply, and what must not stand in it.
type Answer = (Response<Incoming>, Echo);

/// One exchange.
pub(super) struct Exchange {
    gateway: Arc<Gateway>,
    rules: Arc<Rules>,
    engine: Connection<Part>,
    face: Face,
    peer: SocketAddr,
    private: bool,
    certificates: Arc<[CertificateDer<'static>]>,
    mailbox: Arc<Mailbox>,
    notes: mpsc::Receiver<Note>,
    timers: Timers,
    holds: Holds,
    meter: Arc<Meter>,
    work: VecDeque<Happening<Part>>,
    stay: Option<Stay>,
    /// The client's body, until it is read to its end.
    incoming: Option<Incoming>,
    /// The client sends its body, whether or not it is told to go on.
    sends: bool,
    client_paused: bool,
    /// What waits of it for the verdict.
    held: Share,
    /// Where the reply's head goes.
    head: Option<oneshot::Sender<Response<ReplyBody>>>,
    /// That head, until what came with it is there: a short reply leaves whole.
    reply: Option<Box<Reply>>,
    /// Where the reply's body goes.
    client: Option<mpsc::Sender<Passed>>,
    to_client: VecDeque<Passed>,
    call: Option<Call>,
    /// Where the request's body goes.
    upstream: Option<mpsc::Sender<Passed>>,
    to_upstream: VecDeque<Passed>,
    /// The upstream's body, until it is read to its end.
    answer: Option<Incoming>,
    /// Looks for the gateway's credential in what the client is told.
    echo: Echo,
    /// The same in what the upstream says, before it is recorded.
    intake: Echo,
    /// The fields of the request that carry the gateway's credential.
    own_fields: Vec<String>,
    /// Both connections, should the protocol change: the client's, then the upstream's.
    client_socket: Option<Bare>,
    upstream_socket: Option<OnUpgrade>,
    /// A WebSocket, or a tunnel that is passed on unopened.
    passed_on: PassedOn,
    upstream_paused: bool,
    /// The client knows of the upstream that it speaks HTTP/2 without being asked.
    prior: bool,
    /// The request was let go: what comes of its body does not wait.
    sent: bool,
    /// The body has a content coding.
    coded: bool,
    /// Bodies longer than this are judged in parts here, while they are passed on.
    in_parts: Option<usize>,
    /// The reply has no body whatever its head says (RFC 9110 section 6.4.1).
    head_only: bool,
    stopped: bool,
    closing: bool,
    seat: Arc<Seat>,
    /// Something waits for a side of a WebSocket, and an alarm is set for it.
    waits: bool,
}

struct Stay {
    principal: Arc<Principal>,
    site: Arc<Site>,
    joined: Joined,
}

/// What happened next.
enum Turn {
    Client(Option<Result<hyper::body::Frame<bytes::Bytes>, hyper::Error>>),
    Answered(Result<Answer, NotAnswered>),
    Upstream(Option<Result<hyper::body::Frame<bytes::Bytes>, hyper::Error>>),
    /// A side of a WebSocket or of a tunnel said something.
    Said(Heard),
    /// The host of a tunnel was reached, or was not.
    Reached(Result<TcpStream, NotAnswered>),
    Note(Option<Note>),
    Alarm,
    /// Something was passed on, and there may be room for more.
    Passed,
    /// The client is gone.
    Gone,
    /// The upstream takes no more of the request; what it answers is still read.
    Deaf,
}

impl Exchange {
    /// An exchange whose request is to be judged; its reply's head goes into `head`.
    pub fn new(
        gateway: Arc<Gateway>,
        arrived: Arrived,
        head: oneshot::Sender<Response<ReplyBody>>,
    ) -> Option<Self> {
        let (protocol, block) = gateway.web?;
        // Named until its session is known.
        let name = match store::session_id(clock::now()) {
            Ok(name) => name,
            Err(error) => {
                tracing::error!(%error, "an exchange cannot be named");
                return None;
            }
        };
        let rules = gateway.rules.load_full();
        let meter = Arc::new(Meter::new(&gateway));
        let (mailbox, notes) = Mailbox::new();
        let mailbox = Arc::new(mailbox);
        let conversation = protocol.conversation(Setup {
            client_private: arrived.private,
            client_tls: false,
            client_tls_started: arrived.private,
            client_certificate: !arrived.certificates.is_empty(),
            cancel_key: [0; 8],
            session: Arc::clone(&name.0),
            limits: Limits { statement_bytes_max: gateway.settings.statement_bytes_max },
            hash_key: Arc::clone(&gateway.hash_key),
            offer: gateway.proofs.offer(),
        });
        let settings = engine::Settings {
            gateway: Arc::clone(&gateway.name),
            session: name,
            client: arrived.address,
            protocol: protocol.name(),
            block,
            hold_buffer_bytes: gateway.settings.hold_buffer_bytes,
            hold_total: Arc::clone(&gateway.hold_total),
            hold_total_bytes_max: gateway.settings.hold_total_bytes,
            ledger: Arc::clone(&meter) as Arc<dyn Ledger>,
        };
        let engine = Connection::new(settings, Arc::clone(&rules.policy), conversation);
        let approvals = Arc::clone(&gateway.approvals);
        let holds = Holds::new(Arc::clone(&mailbox), approvals, Arc::clone(&gateway.counters));
        let empty = arrived.head.body == Length::Empty;
        let prior = knows(&arrived.head);
        let coded = arrived.head.fields.contains_key(http::header::CONTENT_ENCODING);
        let sends = !arrived.head.fields.contains_key(http::header::EXPECT);
        let mut work =
            VecDeque::from([Happening::Data(Side::Client, Part::Request(Box::new(arrived.head)))]);
        if empty {
            work.push_back(Happening::Data(Side::Client, Part::End));
        }
        Some(Self {
            rules,
            engine,
            face: arrived.face,
            peer: arrived.peer,
            private: arrived.private,
            certificates: arrived.certificates,
            mailbox,
            notes,
            timers: Timers::default(),
            holds,
            meter,
            work,
            stay: None,
            incoming: arrived.body.filter(|_| !empty),
            sends,
            client_paused: false,
            held: Share::new(Arc::clone(&gateway.held_bodies), gateway.settings.hold_total_bytes),
            head: Some(head),
            reply: None,
            client: None,
            to_client: VecDeque::new(),
            call: None,
            upstream: None,
            to_upstream: VecDeque::new(),
            answer: None,
            echo: Echo::default(),
            intake: Echo::default(),
            own_fields: Vec::new(),
            client_socket: arrived.socket,
            upstream_socket: None,
            passed_on: PassedOn::default(),
            upstream_paused: false,
            prior,
            sent: false,
            coded,
            in_parts: None,
            head_only: false,
            stopped: false,
            closing: false,
            seat: arrived.seat,
            waits: false,
            gateway,
        })
    }

    /// Carries it from the request's head to the reply's end.
    pub async fn run(mut self) {
        loop {
            self.settle().await;
            if self.closing && (self.to_client.is_empty() || self.client.is_none()) {
                break;
            }
            self.watch_queues();
            let turn = self.turn().await;
            self.take(turn);
        }
        self.farewell();
        self.discard();
    }

    /// A side of a WebSocket that takes nothing for long ends it: nothing else would, when what the
    /// other side said has to wait for it.
    fn watch_queues(&mut self) {
        let waits = !self.to_client.is_empty() || !self.to_upstream.is_empty();
        if waits && !self.waits && self.passed_on.is_socket() {
            self.waits = true;
            let idle = self.gateway.settings.session_idle;
            self.timers.set(Alarm::Idle, clock::now().plus(idle));
        }
    }

    /// What was let go to the other side of a WebSocket or tunnel, and is recorded as sent, reaches
    /// it although the exchange is over; not when that was ended for it.
    fn farewell(&mut self) {
        let mut waiting = std::mem::take(&mut self.to_upstream);
        let Some(upstream) = self.upstream.take() else { return };
        if waiting.is_empty() || self.stopped || !self.passed_on.is_listened_to() {
            return;
        }
        let seat = Arc::clone(&self.seat);
        tokio::spawn(async move {
            let all = async { while !waiting.is_empty() && pass(&upstream, &mut waiting).await {} };
            let _ = timeout(FAREWELL_TIMEOUT, all).await;
            drop(seat);
        });
    }

    /// Nobody wants the rest of the request. It is read all the same for a while: a connection that
    /// is closed with bytes unread is reset, and the client may lose the answer that came before
    /// (RFC 9112 section 9.6).
    fn discard(&mut self) {
        if let Some(body) = self.incoming.take().filter(|_| self.sends) {
            tokio::spawn(timeout(LINGER, read_up(body)));
        }
    }

    /// Lets the engine handle everything that happened and performs what it wants done.
    async fn settle(&mut self) {
        while !self.work.is_empty() {
            self.work_off().await;
            self.begin_reply();
        }
    }

    async fn work_off(&mut self) {
        while let Some(happening) = self.work.pop_front() {
            let acts = if self.searches(&happening) {
                // A search takes several times the memory of what is searched: no more of them at
                // once than there are processors.
                let _turn = self.gateway.searches.acquire().await;
                aside(|| self.engine.handle(clock::now(), happening))
            } else {
                self.engine.handle(clock::now(), happening)
            };
            for act in acts {
                self.perform(act).await;
            }
        }
    }

    /// Whether much of a body is searched because of this, which can take seconds.
    fn searches(&self, happening: &Happening<Part>) -> bool {
        let own = self.held.own();
        match happening {
            Happening::Data(Side::Client, Part::End) if !self.sent || self.in_parts.is_some() => {
                own > if self.coded { CODED_BYTES_MAX } else { SEARCHED_BYTES_MAX }
            }
            // Of one that is judged in parts when more came, or a part was recorded.
            Happening::Data(Side::Client, _) | Happening::Recorded(_) => self
                .in_parts
                .is_some_and(|most| own > if self.sent { BODY_PART_BYTES.min(most) } else { most }),
            _ => false,
        }
    }

    // ---- waiting -------------------------------------------------------------------------------

    async fn turn(&mut self) -> Turn {
        // A side whose words the other does not take is not listened to.
        let hears_client = !self.client_paused && !self.closing && has_room(&self.to_upstream);
        let hears_upstream = !self.upstream_paused && !self.closing && has_room(&self.to_client);
        let (to_client, to_upstream) = (!self.to_client.is_empty(), !self.to_upstream.is_empty());
        let listens = self.upstream.is_some() && !to_upstream;
        tokio::select! {
            biased;
            passed = pass_on(&self.client, &mut self.to_client), if to_client => {
                if passed { Turn::Passed } else { Turn::Gone }
            }
            passed = pass_on(&self.upstream, &mut self.to_upstream), if to_upstream => {
                if passed { Turn::Passed } else { Turn::Deaf }
            }
            note = self.notes.recv() => Turn::Note(note),
            answered = call(&mut self.call), if self.call.is_some() => Turn::Answered(answered),
            frame = frame(&mut self.answer), if hears_upstream && self.answer.is_some() => {
                Turn::Upstream(frame)
            }
            frame = frame(&mut self.incoming), if hears_client && self.incoming.is_some() => {
                Turn::Client(frame)
            }
            turn = self.passed_on.turn(hears_client, hears_upstream) => turn,
            () = gone(&mut self.head, &self.client) => Turn::Gone,
            () = closed(&self.upstream), if listens => Turn::Deaf,
            () = poll_fn(|cx| self.timers.poll(cx)) => Turn::Alarm,
        }
    }

    fn take(&mut self, turn: Turn) {
        match turn {
            Turn::Client(frame) => {
                self.sends = true;
                self.heard(Side::Client, frame);
            }
            Turn::Upstream(frame) => self.heard(Side::Upstream, frame),
            Turn::Answered(Ok((response, echo))) => self.answered(response, echo),
            Turn::Answered(Err(error)) => self.not_answered(&error),
            Turn::Said((Side::Upstream, Some(Part::Message(message))))
                if self.intake.is_in(&message.data) =>
            {
                self.not_answered(&NotAnswered::Echoed);
            }
            Turn::Said((side, part)) => {
                if side == Side::Upstream || self.passed_on.has_begun() {
                    self.stirred();
                }
                self.work.push_back(match part {
                    Some(part) => Happening::Data(side, part),
                    None => Happening::Closed(side),
                });
            }
            Turn::Reached(Ok(stream)) => self.reached(stream),
            Turn::Reached(Err(error)) => self.not_answered(&error),
            Turn::Note(Some(note)) => self.note(note),
            Turn::Note(None) => {}
            Turn::Passed => {
                if std::mem::take(&mut self.waits) {
                    self.timers.clear(Alarm::Idle);
                }
            }
            Turn::Alarm => self.alarms(),
            Turn::Gone => {
                self.client = None;
                self.head = None;
                self.reply = None;
                self.to_client.clear();
                // Of a side that is gone, what it said last may not have been heard.
                for part in self.passed_on.last_words() {
                    self.work.push_back(Happening::Data(Side::Client, part));
                }
                self.work.push_back(Happening::Closed(Side::Client));
                self.closing = true;
            }
            Turn::Deaf => {
                self.upstream = None;
                self.to_upstream.clear();
                self.discard();
            }
        }
    }

    fn heard(
        &mut self,
        side: Side,
        frame: Option<Result<hyper::body::Frame<bytes::Bytes>, hyper::Error>>,
    ) {
        if side == Side::Client && !self.sent {
            self.timers.set(Alarm::Identify, clock::now().plus(STALL_TIMEOUT));
        }
        let happening = match frame {
            None => {
                self.source(side).take();
                if side == Side::Upstream {
                    self.heard_rest();
                }
                Happening::Data(side, Part::End)
            }
            Some(Ok(frame)) if side == Side::Upstream && !self.intake.is_idle() => {
                return self.heard_beside_a_credential(frame);
            }
            Some(Ok(frame)) => match frame.into_data() {
                Ok(bytes)
                    if side == Side::Upstream
                        && self.answer.as_ref().is_some_and(Body::is_end_stream) =>
                {
                    self.answer = None;
                    Happening::Data(side, Part::Last(bytes))
                }
                Ok(bytes) if side == Side::Client && !self.may_wait(bytes.len()) => {
                    self.incoming = None;
                    self.stopped = true;
                    let words = "too many bodies wait for a decision; try again later";
                    let refusal = Refusal::unjudgeable("too_much_held", ClientText::fixed(words));
                    Happening::Stop(refusal)
                }
                Ok(bytes) => Happening::Data(side, Part::Data(bytes)),
                Err(frame) => match frame.into_trailers() {
                    Ok(fields) => Happening::Data(side, Part::Trailers(Box::new(fields))),
                    Err(_) => return,
                },
            },
            Some(Err(error)) => {
                tracing::debug!(peer = %self.peer, ?side, %error, "a body broke off");
                self.source(side).take();
                Happening::Closed(side)
            }
        };
        self.work.push_back(happening);
    }

    /// Whether so much more of the request may be kept, where it is kept at all. A body that is
    /// judged in parts is kept until its part is let go.
    fn may_wait(&mut self, bytes: usize) -> bool {
        self.sent && self.in_parts.is_none() || self.held.take(bytes)
    }

    fn source(&mut self, side: Side) -> &mut Option<Incoming> {
        match side {
            Side::Client => &mut self.incoming,
            Side::Upstream => &mut self.answer,
        }
    }

    // ---- acts ----------------------------------------------------------------------------------

    async fn perform(&mut self, act: Act<Part>) {
        match act {
            Act::Record(ticket, events) => {
                self.gateway.counters.count(&events);
                let plan = self.stay.as_ref().map(|stay| &stay.site.plan);
                let on_failure = plan.map_or(OnFailure::Refuse, |plan| plan.on_failure);
                self.work.push_back(match record(&self.gateway, events, on_failure).await {
                    Kept::Yes => Happening::Recorded(ticket),
                    Kept::No => Happening::RecordFailed(ticket),
                });
            }
            Act::Send(Side::Client, part) => self.say(part),
            Act::Send(Side::Upstream, part) => self.forward(part),
            Act::Identify(claim) => self.identify(&claim).await,
            Act::Connect => self.connect(),
            Act::Hold(request) => {
                if let Some(stay) = &self.stay {
                    let resource = &stay.site.plan.resource.name;
                    let session = &stay.joined.shared().id;
                    self.holds.place(*request, session, &stay.principal, resource, clock::now());
                }
            }
            Act::Unhold(operation) => self.holds.unhold(operation),
            Act::Refresh => self.work.push_back(Happening::Refreshed),
            Act::Pause(Side::Client) => self.client_paused = true,
            Act::Pause(Side::Upstream) => self.upstream_paused = true,
            Act::Resume(Side::Client) => {
                self.client_paused = false;
                if !self.sent && self.incoming.is_some() {
                    self.timers.set(Alarm::Identify, clock::now().plus(STALL_TIMEOUT));
                }
            }
            Act::Resume(Side::Upstream) => self.upstream_paused = false,
            Act::Wake(at) => self.timers.set(Alarm::Engine, at),
            Act::Alert { rule, message, operation } => self.alert(rule, message, operation),
            Act::Close => self.end(),
            // What a connection has and an exchange has not.
            Act::Cancel(_) | Act::CancelKey(_) | Act::CancelSession(_) | Act::StartTls(_) => {}
        }
    }

    fn session(&self) -> Option<&str> {
        self.stay.as_ref().map(|stay| &*stay.joined.shared().id.0)
    }

    fn alert(&self, rule: Arc<str>, message: String, operation: OperationId) {
        let Some(stay) = &self.stay else { return };
        self.gateway.alert(&Alert {
            session: SessionId(Arc::clone(&stay.joined.shared().id.0)),
            operation,
            principal: Some(Arc::clone(&stay.principal.subject)),
            resource: Some(Arc::clone(&stay.site.plan.resource.name)),
            rule,
            message,
        });
    }

    /// Flushes, then ends. An exchange that ended without saying so gets its last record first.
    fn end(&mut self) {
        if self.closing {
            return;
        }
        if !self.engine.is_ended() {
            self.work.push_back(Happening::Closed(Side::Client));
        }
        self.closing = true;
        self.call = None;
        self.answer = None;
        if self.stopped || !self.passed_on.is_listened_to() {
            self.upstream = None;
            self.to_upstream.clear();
        }
        self.timers.set(Alarm::Close, clock::now().plus(CLOSE_TIMEOUT));
    }

    // ---- what others say -----------------------------------------------------------------------

    fn note(&mut self, note: Note) {
        self.work.extend(self.holds.heard(note, &self.gateway));
        self.look();
    }

    fn look(&mut self) {
        if let Some(reason) = self.mailbox.stop_reason() {
            self.stop(reason);
        }
        let rules = self.gateway.rules.load_full();
        if !Arc::ptr_eq(&rules, &self.rules) {
            let policy = Arc::clone(&rules.policy);
            self.work.push_back(Happening::Policy(policy));
            self.timers.set(Alarm::Access, clock::now());
            let gone = self
                .stay
                .as_ref()
                .is_some_and(|stay| !rules.sites.contains_key(&stay.site.plan.resource.name));
            self.rules = rules;
            if gone {
                self.stop("resource_removed");
            }
        }
    }

    fn alarms(&mut self) {
        let now = clock::now();
        for alarm in self.timers.due(now) {
            match alarm {
                Alarm::Engine => self.work.push_back(Happening::Timer),
                Alarm::Expiry => self.stop("token_expired"),
                Alarm::Access => self.watch_access(now),
                Alarm::Close => {
                    self.client = None;
                    self.to_client.clear();
                }
                Alarm::Connect => {
                    if self.call.take().is_some() {
                        self.not_answered(&NotAnswered::Timeout);
                    }
                }
                Alarm::Idle => self.stop(self.passed_on.idle_reason()),
                Alarm::Identify => {
                    if !self.sent && self.incoming.take().is_some() {
                        let words = ClientText::fixed("the rest of the body did not come in time");
                        let refusal = Refusal::unjudgeable("body_stalled", words);
                        self.work.push_back(Happening::Stop(refusal));
                        self.stopped = true;
                    }
                }
            }
        }
    }

    /// Ends the exchange when access is closed; else looks again when it may be.
    fn watch_access(&mut self, now: Timestamp) {
        let Some(stay) = self.stay.as_ref().filter(|_| !self.engine.is_ended()) else { return };
        let resource = &stay.site.plan.resource;
        match self.rules.policy.admission(&stay.principal, resource, now) {
            Admission::Open { until: Some(end) } => self.timers.set(Alarm::Access, end),
            Admission::Open { until: None } => {}
            Admission::Closed { .. } | Admission::Never => self.stop("access_closed"),
        }
    }

    fn stop(&mut self, reason: &'static str) {
        if !std::mem::replace(&mut self.stopped, true) {
            let words = ClientText::fixed(stop_words(reason));
            self.work.push_back(Happening::Stop(Refusal::unjudgeable(reason, words)));
        }
    }
}

/// Passes the first of `waiting` on; `false` when nobody takes it.
async fn pass_on(to: &Option<mpsc::Sender<Passed>>, waiting: &mut VecDeque<Passed>) -> bool {
    match to {
        Some(to) => pass(to, waiting).await,
        // The head has not left.
        None => std::future::pending().await,
    }
}

/// Does something long on this thread, while others take over what it serves.
fn aside<T>(work: impl FnOnce() -> T) -> T {
    use tokio::runtime::{Handle, RuntimeFlavor};
    match Handle::current().runtime_flavor() {
        RuntimeFlavor::MultiThread => tokio::task::block_in_place(work),
        _ => work(),
    }
}

async fn call(call: &mut Option<Call>) -> Result<Answer, NotAnswered> {
    let Some(running) = call else { return std::future::pending().await };
    let answered = running.await;
    *call = None;
    answered
}

async fn frame(
    body: &mut Option<Incoming>,
) -> Option<Result<hyper::body::Frame<bytes::Bytes>, hyper::Error>> {
    match body {
        Some(body) => body.frame().await,
        None => std::future::pending().await,
    }
}

/// Reads what comes, until nothing more does.
async fn read_up(mut body: Incoming) {
    while let Ok(Some(Ok(_))) = timeout(LINGER_PAUSE, body.frame()).await {}
}

/// Ends when the client does not wait for the reply any more.
async fn gone(
    head: &mut Option<oneshot::Sender<Response<ReplyBody>>>,
    client: &Option<mpsc::Sender<Passed>>,
) {
    match (head, client) {
        (Some(head), _) => head.closed().await,
        (None, Some(client)) => client.closed().await,
        (None, None) => std::future::pending().await,
    }
}

async fn closed(upstream: &Option<mpsc::Sender<Passed>>) {
    match upstream {
        Some(upstream) => upstream.closed().await,
        None => std::future::pending().await,
    }
}
