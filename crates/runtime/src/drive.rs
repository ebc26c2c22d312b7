//! One connection, owned by one task: the engine, both sockets, and everything that waits.
//!
//! The loop is: let the engine handle what happened, perform its acts in order, write what is
//! queued, then wait for whatever happens next. Acts never call back into the engine; what they
//! cause is queued as a further happening. Everything is polled by this one task, so a byte takes
//! no detour through another task, a lock or a channel.

mod acts;
mod cancel;
mod meter;
mod port;

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use engine::{
    Connected, Connection, Happening, Ledger, Limits, Protocol, Refusal, Setup, Ticket, TlsFacts,
};
use identity::{NotProved, Pending};
use model::{Claim, ClientText, Event, Principal, SessionId, Side, Timestamp};
use policy::{Admission, BlockId};
use store::{NoRandomness, Registration};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use crate::clock;
use crate::gateway::{Gateway, Seat};
use crate::hold::Holds;
use crate::mailbox::{Canceller, Mailbox, Note};
use crate::record::Kept;
use crate::resource::OnFailure;
use crate::rules::Rules;
use crate::survey::Lease;
use crate::timers::{Alarm, Timers};
use crate::transport::Wire;
use crate::upstream::{Unreachable, Upstream};

use cancel::Cancel;
pub(crate) use meter::Meter;
use port::Port;

/// How long the other side may take to accept what is left for it when the connection ends.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a client may take to close after we did, so that no reset overtakes our last words.
const LINGER: Duration = Duration::from_secs(1);
/// Reads between two looks into the mailbox while there is always something to read.
const READS_PER_LOOK: u8 = 16;

/// A client whose first byte has come.
pub(crate) struct Client {
    pub wire: Wire,
    pub peer: SocketAddr,
    /// When it must have proved who it is.
    pub identify_by: Timestamp,
}

/// One connection.
pub(crate) struct Driver {
    gateway: Arc<Gateway>,
    /// The rules the engine has.
    rules: Arc<Rules>,
    protocol: &'static dyn Protocol<Bytes>,
    engine: Connection<Bytes>,
    session: SessionId,
    peer: SocketAddr,
    client: Port,
    upstream: Port,
    /// What the engine must still be told, in order.
    work: VecDeque<Happening<Bytes>>,
    /// Those who wait for each cancel among `work`.
    cancellers: VecDeque<Vec<Canceller>>,
    /// Those who wait for the cancel that is being handled.
    cancelling: Vec<Canceller>,
    /// Closed when the session that this client wants cancelled has been.
    passed_on: Option<oneshot::Receiver<()>>,
    /// The cancel of ours that is under way.
    cancel: Option<Cancel>,
    mailbox: Arc<Mailbox>,
    notes: mpsc::Receiver<Note>,
    timers: Timers,
    holds: Holds,
    meter: Arc<Meter>,
    stay: Option<Stay>,
    /// The proof of who the client is that waits for the keys of an issuer.
    proving: Option<(Claim, Pending)>,
    connecting: Option<Connecting>,
    /// The upstream has not let us in yet.
    logging_in: bool,
    /// Why the upstream could not be used, if it could not.
    unreachable: Option<&'static str>,
    /// Batches that wait for the disk.
    to_record: VecDeque<(Ticket, Vec<Event>)>,
    recording: Option<(Ticket, JoinHandle<Kept>)>,
    /// The engine wants the connection closed; nothing more is sent.
    closing: bool,
    stopped: bool,
    /// The side read last; the other goes first, so that none starves the other.
    read_last: Side,
    reads: u8,
    /// Frees the place among the connections when everything else is done.
    seat: Seat,
}

/// What a session has once its client is known.
struct Stay {
    principal: Arc<Principal>,
    upstream: Arc<Upstream>,
    /// Keeps it listed and stoppable.
    _registration: Registration,
    lease: Option<Lease>,
    /// The server that was reached, and with what.
    reached: Option<(SocketAddr, Connected)>,
    /// The credential, where it is of this session alone.
    credential: Option<secrets::Lease>,
}

/// An upstream that was reached.
struct Reached {
    stream: TcpStream,
    connected: Connected,
    lease: Option<Lease>,
    credential: Option<secrets::Lease>,
}

type Connecting = Pin<Box<dyn Future<Output = Result<Reached, Unreachable>> + Send>>;

/// What happened next.
enum Turn {
    Data(Side, Bytes),
    /// A side closed, or its socket failed.
    Gone(Side),
    /// Everything said before TLS has left.
    Upgrade(Side, TcpStream),
    Upgraded(Side, Result<TlsFacts, Unreachable>),
    Proved(Box<(Claim, Result<Principal, NotProved>)>),
    Connected(Box<Result<Reached, Unreachable>>),
    Recorded(Ticket, Kept),
    Note(Note),
    Alarm,
    /// Everything is flushed and may be closed.
    Flushed,
}

impl Driver {
    pub fn new(
        gateway: Arc<Gateway>,
        client: Client,
        protocol: &'static dyn Protocol<Bytes>,
        block: BlockId,
        mailbox: Arc<Mailbox>,
        notes: mpsc::Receiver<Note>,
        seat: Seat,
    ) -> Result<Self, NoRandomness> {
        let session = store::session_id(clock::now())?;
        let rules = gateway.rules.load_full();
        let meter = Arc::new(Meter::new(&gateway));
        let tls = client.wire.is_tls();
        let conversation = protocol.conversation(Setup {
            client_private: tls || is_loopback(client.peer),
            client_tls: gateway.server_tls.is_some(),
            client_tls_started: tls,
            client_certificate: !client.wire.certificates().is_empty(),
            cancel_key: seat.key,
            session: Arc::clone(&session.0),
            limits: Limits { statement_bytes_max: gateway.settings.statement_bytes_max },
            hash_key: Arc::clone(&gateway.hash_key),
            offer: gateway.proofs.offer(),
        });
        let settings = engine::Settings {
            gateway: Arc::clone(&gateway.name),
            session: session.clone(),
            client: client.peer.to_string().into(),
            protocol: protocol.name(),
            block,
            hold_buffer_bytes: gateway.settings.hold_buffer_bytes,
            hold_total: Arc::clone(&gateway.hold_total),
            hold_total_bytes_max: gateway.settings.hold_total_bytes,
            ledger: Arc::clone(&meter) as Arc<dyn Ledger>,
        };
        let engine = Connection::new(settings, Arc::clone(&rules.policy), conversation);
        let mut timers = Timers::default();
        timers.set(Alarm::Identify, client.identify_by);
        let approvals = Arc::clone(&gateway.approvals);
        let holds = Holds::new(Arc::clone(&mailbox), approvals, Arc::clone(&gateway.counters));
        Ok(Self {
            rules,
            protocol,
            engine,
            session,
            peer: client.peer,
            client: Port::up(client.wire),
            upstream: Port::absent(),
            work: VecDeque::new(),
            cancellers: VecDeque::new(),
            cancelling: Vec::new(),
            passed_on: None,
            cancel: None,
            mailbox,
            notes,
            timers,
            holds,
            meter,
            stay: None,
            proving: None,
            connecting: None,
            logging_in: false,
            unreachable: None,
            to_record: VecDeque::new(),
            recording: None,
            closing: false,
            stopped: false,
            read_last: Side::Upstream,
            reads: 0,
            seat,
            gateway,
        })
    }

    /// Carries the connection from its first byte to its last.
    pub async fn run(mut self) {
        loop {
            self.settle();
            match poll_fn(|cx| self.poll(cx)).await {
                Turn::Flushed => break,
                turn => self.take(turn),
            }
        }
        if let Some(passed_on) = self.passed_on.take() {
            // As a server does: the client's next statement must not be hit by this cancel.
            let _ = timeout(self.gateway.settings.connect_timeout, passed_on).await;
        }
        self.close().await;
    }

    /// Lets the engine handle everything that happened and performs what it wants done.
    fn settle(&mut self) {
        while self.recording.is_none() {
            let Some(happening) = self.work.pop_front() else { return };
            let now = clock::now();
            if matches!(happening, Happening::Cancelled) {
                self.cancelling = self.cancellers.pop_front().unwrap_or_default();
            }
            for act in self.engine.handle(now, happening) {
                self.perform(act, now);
            }
            // Nothing had to be cancelled, or the errand has them.
            self.cancelling.clear();
            self.record_next();
        }
    }

    fn take(&mut self, turn: Turn) {
        match turn {
            Turn::Data(side, unit) => {
                self.port(side).heard = true;
                self.work.push_back(Happening::Data(side, unit));
            }
            Turn::Gone(side) => {
                self.port(side).cut();
                self.work.push_back(Happening::Closed(side));
            }
            Turn::Upgrade(side, stream) => self.upgrade(side, stream),
            Turn::Upgraded(side, Ok(facts)) => {
                self.work.push_back(Happening::TlsStarted(side, facts));
            }
            Turn::Upgraded(Side::Client, Err(error)) => {
                self.gateway.counters.refused.add("client_tls");
                tracing::debug!(peer = %self.peer, %error, "a client's TLS failed");
                self.work.push_back(Happening::Closed(Side::Client));
            }
            Turn::Upgraded(Side::Upstream, Err(error)) => self.unreachable(&error),
            Turn::Proved(proved) => {
                let (claim, proved) = *proved;
                self.identified(&claim, proved, clock::now());
            }
            Turn::Connected(result) => self.connected(*result),
            Turn::Recorded(ticket, kept) => self.recorded(ticket, kept),
            Turn::Note(note) => self.note(note),
            Turn::Alarm => self.alarms(),
            Turn::Flushed => {}
        }
    }

    fn port(&mut self, side: Side) -> &mut Port {
        match side {
            Side::Client => &mut self.client,
            Side::Upstream => &mut self.upstream,
        }
    }

    // ---- waiting -------------------------------------------------------------------------------

    /// What happens next. Writes go first, so nothing waits behind a read that it does not need.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Turn> {
        for side in [Side::Upstream, Side::Client] {
            match self.port(side).poll_write(cx) {
                Poll::Ready(Ok(Some(stream))) => return Poll::Ready(Turn::Upgrade(side, stream)),
                Poll::Ready(Err(_)) => {
                    // A server that closes says why first; that is still read.
                    let heard = self.port(side).break_off();
                    if side == Side::Client || !heard {
                        return Poll::Ready(Turn::Gone(side));
                    }
                }
                Poll::Ready(Ok(None)) | Poll::Pending => {}
            }
        }
        if let Some((ticket, recording)) = &mut self.recording {
            let ticket = *ticket;
            // A thread that panicked recorded nothing.
            let kept = std::task::ready!(Pin::new(recording).poll(cx)).unwrap_or(Kept::No);
            self.recording = None;
            return Poll::Ready(Turn::Recorded(ticket, kept));
        }
        if self.closing {
            if self.client.is_flushed() && self.upstream.is_flushed() {
                return Poll::Ready(Turn::Flushed);
            }
            return self.timers.poll(cx).map(|()| Turn::Alarm);
        }
        self.poll_input(cx)
    }

    fn poll_input(&mut self, cx: &mut Context<'_>) -> Poll<Turn> {
        self.reads = self.reads.wrapping_add(1);
        if self.reads.is_multiple_of(READS_PER_LOOK)
            && let Poll::Ready(Some(note)) = self.notes.poll_recv(cx)
        {
            return Poll::Ready(Turn::Note(note));
        }
        // A cancel names a connection, not a statement: what the client says next must not be hit.
        if let Some(cancel) = &mut self.cancel
            && cancel.poll(cx).is_ready()
        {
            self.cancel = None;
        }
        for side in [other(self.read_last), self.read_last] {
            if side == Side::Client && self.cancel.is_some() {
                continue;
            }
            // A side that cannot be written to is not filled further from the other.
            if self.port(other(side)).is_full() {
                continue;
            }
            if let Poll::Ready(result) = self.port(side).poll_read(cx) {
                self.read_last = side;
                return Poll::Ready(match result {
                    Ok(unit) if !unit.is_empty() => Turn::Data(side, unit),
                    _ => Turn::Gone(side),
                });
            }
        }
        if let Poll::Ready(Some(note)) = self.notes.poll_recv(cx) {
            return Poll::Ready(Turn::Note(note));
        }
        if let Some((_, pending)) = &mut self.proving
            && let Poll::Ready(proved) = pending.as_mut().poll(cx)
            && let Some((claim, _)) = self.proving.take()
        {
            return Poll::Ready(Turn::Proved(Box::new((claim, proved))));
        }
        if let Some(connecting) = &mut self.connecting
            && let Poll::Ready(result) = connecting.as_mut().poll(cx)
        {
            self.connecting = None;
            return Poll::Ready(Turn::Connected(Box::new(result)));
        }
        for side in [Side::Client, Side::Upstream] {
            if let Poll::Ready(result) = self.port(side).poll_upgrade(cx) {
                return Poll::Ready(Turn::Upgraded(side, result));
            }
        }
        self.timers.poll(cx).map(|()| Turn::Alarm)
    }

    fn upgrade(&mut self, side: Side, stream: TcpStream) {
        let handshake: port::Handshake = match side {
            Side::Client => {
                let tls = self.gateway.server_tls.clone();
                Box::pin(async move {
                    let failed = |error: String| Unreachable::Tls("the client".to_owned(), error);
                    let tls = tls.ok_or_else(|| failed("there is no certificate".to_owned()))?;
                    let accepted = TlsAcceptor::from(tls).accept(stream).await;
                    let stream = accepted.map_err(|error| failed(error.to_string()))?;
                    let wire = Wire::Tls(Box::new(stream.into()));
                    let shown = wire.certificates().first().map(|leaf| leaf.to_vec());
                    Ok((wire, TlsFacts { certificate: shown }))
                })
            }
            Side::Upstream => {
                let Some(stay) = &self.stay else { return };
                let upstream = Arc::clone(&stay.upstream);
                Box::pin(async move { upstream.start_tls(stream).await })
            }
        };
        self.port(side).upgrade(handshake);
    }

    // ---- what others say -----------------------------------------------------------------------

    fn note(&mut self, note: Note) {
        self.work.extend(self.holds.heard(note, &self.gateway));
        self.look();
    }

    /// Looks at what is kept for us rather than sent.
    fn look(&mut self) {
        if let Some(reason) = self.mailbox.stop_reason() {
            self.stop(reason);
        }
        for _ in 0..self.mailbox.take_refreshed() {
            self.work.push_back(Happening::Refreshed);
        }
        if let Some(cancellers) = self.mailbox.take_cancel() {
            self.cancellers.push_back(cancellers);
            self.work.push_back(Happening::Cancelled);
        }
        let rules = self.gateway.rules.load();
        if !Arc::ptr_eq(&rules, &self.rules) {
            self.rules = Arc::clone(&rules);
            self.work.push_back(Happening::Policy(Arc::clone(&rules.policy)));
            self.timers.set(Alarm::Access, clock::now());
            let gone = self.stay.as_ref().is_some_and(|stay| {
                !rules.upstreams.contains_key(&stay.upstream.plan.resource.name)
            });
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
                Alarm::Identify => {
                    self.gateway.counters.refused.add("identify_timeout");
                    self.stop("identify_timeout");
                }
                Alarm::Expiry => self.stop("token_expired"),
                Alarm::Access => self.watch_access(now),
                // Of tunnels, which a connection has not.
                Alarm::Idle => {}
                Alarm::Connect => {
                    if self.logging_in {
                        let address =
                            self.stay.as_ref().map(|stay| stay.upstream.plan.host.clone());
                        self.unreachable(&Unreachable::Timeout(address.unwrap_or_default()));
                    }
                }
                Alarm::Close => {
                    self.client.cut();
                    self.upstream.cut();
                }
            }
        }
    }

    /// Ends the session when access is closed; else looks again when it may be.
    fn watch_access(&mut self, now: Timestamp) {
        let Some(stay) = self.stay.as_ref().filter(|_| !self.engine.is_ended()) else { return };
        let resource = &stay.upstream.plan.resource;
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

    // ---- the upstream --------------------------------------------------------------------------

    fn connected(&mut self, result: Result<Reached, Unreachable>) {
        match (result, &mut self.stay) {
            (Ok(reached), Some(stay)) => {
                let address = reached.stream.peer_addr().ok();
                stay.reached = address.map(|address| (address, reached.connected.clone()));
                stay.lease = reached.lease;
                stay.credential = reached.credential;
                self.upstream = Port::up(Wire::Plain(reached.stream));
                self.work.push_back(Happening::Connected(reached.connected));
            }
            (Ok(_), None) => {}
            (Err(error), _) => self.unreachable(&error),
        }
    }

    fn unreachable(&mut self, error: &Unreachable) {
        self.gateway.counters.upstream_errors.add(error.reason());
        let resource = self.stay.as_ref().map(|stay| &*stay.upstream.plan.resource.name);
        tracing::warn!(resource, session = %self.session.0, %error, "an upstream cannot be used");
        self.connecting = None;
        self.let_in();
        self.upstream.cut();
        self.unreachable = Some(error.reason());
        self.work.push_back(Happening::Unreachable(error.refusal()));
    }

    /// The upstream answers: it need not hurry any more.
    fn let_in(&mut self) {
        self.logging_in = false;
        self.timers.clear(Alarm::Connect);
    }

    // ---- records -------------------------------------------------------------------------------

    fn on_failure(&self) -> OnFailure {
        let plan = self.stay.as_ref().map(|stay| &stay.upstream.plan);
        plan.map_or(OnFailure::Refuse, |plan| plan.on_failure)
    }

    /// Sends the next batch to the disk, on a thread that may wait for it. One at a time: batches
    /// are acknowledged in order.
    fn record_next(&mut self) {
        if self.recording.is_some() {
            return;
        }
        let Some((ticket, events)) = self.to_record.pop_front() else { return };
        let recorder = Arc::clone(&self.gateway.recorder);
        let on_failure = self.on_failure();
        let work = tokio::task::spawn_blocking(move || recorder.append(&events, on_failure));
        self.recording = Some((ticket, work));
    }

    fn recorded(&mut self, ticket: Ticket, kept: Kept) {
        self.work.push_back(match kept {
            Kept::Yes => Happening::Recorded(ticket),
            Kept::No => Happening::RecordFailed(ticket),
        });
        self.record_next();
    }

    // ---- the end -------------------------------------------------------------------------------

    async fn close(mut self) {
        self.holds.end(&self.session);
        self.stay = None;
        drop(self.seat);
        if let Some(mut wire) = self.upstream.take_wire() {
            let _ = timeout(LINGER, poll_fn(|cx| wire.poll_shutdown(cx))).await;
        }
        if let Some(mut wire) = self.client.take_wire() {
            // A socket closed with unread input is reset, and a reset can overtake our last words.
            let linger = async {
                poll_fn(|cx| wire.poll_shutdown(cx)).await?;
                while poll_fn(|cx| wire.poll_discard(cx)).await? > 0 {}
                std::io::Result::Ok(())
            };
            let _ = timeout(LINGER, linger).await;
        }
    }
}

fn other(side: Side) -> Side {
    match side {
        Side::Client => Side::Upstream,
        Side::Upstream => Side::Client,
    }
}

fn is_loopback(peer: SocketAddr) -> bool {
    peer.ip().to_canonical().is_loopback()
}

/// What a client is told when its session is ended from outside.
pub(crate) fn stop_words(reason: &str) -> &'static str {
    match reason {
        "killed" => "the session was ended by an administrator",
        "revoked" => "the session was ended because its token was revoked",
        "token_expired" => "the session was ended because its token has expired",
        "signed_out" => "the session was ended because its person signed out",
        "login_ended" => "the session was ended because the sign-in behind it ended; sign in again",
        "groups_changed" => {
            "the session was ended because the groups of its person changed; connect again"
        }
        "issuer_changed" => {
            "the session was ended because its identity provider is configured otherwise now"
        }
        "credential_ended" => "the gateway's credential for the resource has ended; connect again",
        "access_closed" => "the session was ended because access to this resource has closed",
        "shutting_down" => "the gateway is shutting down",
        "idle" => "nothing passed through it for too long",
        "hello_timeout" => "the hello of TLS did not come in time",
        "identify_timeout" => "nobody proved who is asking in time",
        "resource_removed" => "access to this resource was withdrawn",
        "resource_changed" => "the resource's settings changed while this waited; ask again",
        _ => "the session was ended by the gateway",
    }
}
