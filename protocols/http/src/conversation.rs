//! One exchange: who asks, what for, what comes back.
//!
//! The request is judged in its one form, before anything of it is forwarded. Its body waits for
//! the verdict, unread where nobody needs it. Where a rule reads the body, a person may be asked,
//! or it is short, it is held and judged with the rest (R15).

mod body;

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use engine::taint::Trail;
use engine::{
    Conversation, Fault, HashKey, Input, MaskPlan, Outbox, Permit, Reads, Refusal, Searched, Sought,
};
use http::{HeaderMap, Method, StatusCode};
use model::exchange::{Door, Length, Part, Reply, Request, Scheme};
use model::{Claim, ClientText, Lane, OperationId, Secret, Side, Timestamp};

pub use self::body::PART_REFUSED;
use self::body::{Held, unreadable_request};
use crate::canonical::{self, Host};
use crate::facts::at;
use crate::follow::Origin;
use crate::operation::{self, Body, Judging};
use crate::options::Options;
use crate::parts::Parts;
use crate::problem::{self, Manner};
use crate::reply::{Passing, Unfit};
use crate::request::{self, Canonical};
use crate::socket::{self, Socket};
use crate::token;
use crate::tunnel::{self as unopened, Then, Tunnel};

/// An exchange has one stream of operations.
const LANE: Lane = Lane(0);
/// Bodies up to this size are held in any case, so that the record has them, bytes.
const SHORT_BODY_BYTES_MAX: u64 = 64 * 1024;

/// The conversation of one exchange.
pub struct Exchange {
    state: State,
    key: Arc<HashKey>,
    /// Of this exchange, until its session is known.
    name: Arc<str>,
    /// What the client sent while it was being asked who it is.
    early: Vec<Part>,
    /// Once it is known who asks.
    masks: Option<Arc<MaskPlan>>,
    reads: Reads,
    /// What the principal received of followed values; once it is known who asks.
    trail: Option<Arc<Trail>>,
    /// The resource's name, then.
    resource: Arc<str>,
    now: Timestamp,
    /// The client takes the gateway for its proxy.
    proxy: bool,
    /// What it asks for is a call of gRPC.
    call: bool,
    /// Something was said to the client that cannot be taken back.
    answered: bool,
    /// A part of the body that was being judged when the reply ended: nobody waits for it.
    stray: Option<OperationId>,
    /// The part of the body that was refused, and why.
    part: Option<(OperationId, Refusal)>,
}

enum State {
    /// For the head of the request.
    Head,
    /// For the proof of who asks.
    Proof(Box<Asked>),
    /// For what the configuration says of the resource.
    Options(Box<Asked>),
    /// For the body.
    Body(Box<Held>),
    /// For the verdict.
    Verdict(Box<Judged>),
    /// For the reply.
    Reply(Box<Replying>),
    /// For messages, of either side.
    Socket(Box<Socket>),
    /// For a verdict about a tunnel, and for what passes through it unopened.
    Tunnel(Box<Tunnel>),
    /// For the end of the review of the reply to this, which was passed on in full.
    Review(OperationId),
    Over,
}

/// A request whose resource is not known yet.
struct Asked {
    request: Request,
    /// What paths of the resource begin with here.
    prefix: String,
    target: Box<str>,
}

/// A request in its one form.
struct Judged {
    id: Option<OperationId>,
    /// How its body is judged after its beginning, if it is.
    parts: Option<Box<Parts>>,
    canonical: Canonical,
    options: Options,
    prefix: String,
    version: http::Version,
    sent_to: Option<SocketAddr>,
}

impl Judged {
    /// Some of a body that nobody reads here, or that is judged in parts.
    fn more(&mut self, mut part: Part, judge: (Judging<'_>, &HashKey), out: &mut Outbox<Part>) {
        if let Some(parts) = &mut self.parts {
            return parts.more(part, &self.options, judge, out);
        }
        if let Part::Trailers(fields) = &mut part {
            canonical::strip_hop_by_hop(fields, false);
            request::remove_credentials(fields, &self.options);
        }
        if let Some(id) = self.id {
            out.more(id, part);
        }
    }
}

struct Replying {
    permit: Arc<Permit>,
    /// A rule may stop it: nothing of it leaves before it is let go.
    withheld: bool,
    request: Judged,
    passing: Option<Passing>,
}

impl Exchange {
    /// Has heard nothing yet.
    #[must_use]
    pub fn new(key: Arc<HashKey>, name: Arc<str>) -> Self {
        Self {
            state: State::Head,
            key,
            name,
            early: Vec::new(),
            masks: None,
            reads: Reads::default(),
            trail: None,
            resource: "".into(),
            now: Timestamp::default(),
            proxy: false,
            call: false,
            answered: false,
            stray: None,
            part: None,
        }
    }

    fn client(&mut self, part: Part, out: &mut Outbox<Part>) -> Result<(), Fault> {
        let judge = (
            Judging { reads: &self.reads, trail: self.trail.as_deref(), now: self.now },
            &*self.key,
        );
        match (&mut self.state, part) {
            (State::Head, Part::Request(request)) => self.head(*request, out),
            (State::Head, _) => return Err(Fault::client("a body without a head")),
            (_, Part::Request(_)) => return Err(Fault::client("a second head")),
            (State::Proof(_) | State::Options(_), part) => self.early.push(part),
            (State::Body(_), part) => self.body(part, out),
            (State::Verdict(judged), part) => judged.more(part, judge, out),
            (State::Reply(replying), part) => replying.request.more(part, judge, out),
            (State::Socket(socket), Part::Message(message)) => {
                match socket.hidden(&message, self.masks.as_ref(), &self.key) {
                    Ok(sent) => {
                        let operation = socket.operation(&message, &sent, judge);
                        out.ask(LANE, operation, Some(Part::Message(sent)));
                    }
                    Err(unreadable) => {
                        let operation = socket.operation(&message, &message, judge);
                        out.refuse(LANE, operation, unreadable_request(unreadable));
                    }
                }
            }
            (State::Socket(_), Part::Close(code, _)) => {
                self.close_socket(Part::Close(code, "".into()), Side::Client, out);
            }
            (State::Tunnel(tunnel), part) => {
                let then = tunnel.client(part, out);
                self.tunnelled(&then, out);
            }
            // The end of the request that asked for the change.
            (State::Socket(_), _) | (State::Review(_) | State::Over, _) => {}
        }
        Ok(())
    }

    /// One side closed; the other is told, and the reply is complete.
    fn close_socket(&mut self, close: Part, by: Side, out: &mut Outbox<Part>) {
        let State::Socket(socket) = std::mem::replace(&mut self.state, State::Over) else { return };
        match by {
            Side::Client => out.more(socket.permit.operation(), close),
            Side::Upstream => {
                let searched = Searched::Whole;
                let close = engine::Batch { searched, ..engine::Batch::plain(close) };
                out.reply(&socket.permit, close);
            }
        }
        out.finish(socket.permit);
        self.over("done", out);
    }

    /// The gateway ends a WebSocket, and tells the client why.
    fn end_socket(&mut self, words: Part, reason: &'static str, out: &mut Outbox<Part>) {
        let socket = match std::mem::replace(&mut self.state, State::Over) {
            State::Socket(socket) => socket,
            other => {
                self.state = other;
                return;
            }
        };
        out.answer(words);
        out.finish(socket.permit);
        self.over(reason, out);
    }

    /// The gateway ends a tunnel that was let go under other rules; one that waits for a verdict is
    /// judged by the new ones.
    fn end_tunnel(&mut self, reason: &'static str, out: &mut Outbox<Part>) {
        let State::Tunnel(tunnel) = &self.state else { return };
        let Some(permit) = tunnel.permit().map(Arc::clone) else { return };
        out.finish(permit);
        self.over(reason, out);
    }

    /// The head of the request: first of all, who asks.
    fn head(&mut self, request: Request, out: &mut Outbox<Part>) {
        // Nothing of the body is needed before it is known who asks.
        out.pause(Side::Client);
        self.proxy = request.door != Door::Reverse;
        self.call = request.is_call();
        let proof = token::find(&request);
        let (resource, prefix, target) = match request.door {
            Door::Reverse => request::resource(&request),
            Door::Forward | Door::Redirected(_) | Door::Tunnel(_) => {
                (String::new(), String::new(), request.target.clone())
            }
        };
        let agent = request.fields.get(http::header::USER_AGENT);
        let run = request::run(&request).map(str::to_owned);
        let application = agent.and_then(|agent| agent.to_str().ok()).map(clipped);
        self.state = State::Proof(Box::new(Asked { request, prefix, target }));
        // Without a token the claim is an empty one: not believed, and recorded as such.
        let (secret, user) = match proof {
            Some(proof) => (proof.token, proof.user),
            None => (Secret::new(String::new()), String::new()),
        };
        out.identify(Claim { secret, resource, user, application, run });
    }

    /// The resource is known: the request gets its one form.
    fn judge(&mut self, options: &serde_json::Value, out: &mut Outbox<Part>) {
        let State::Options(asked) = std::mem::replace(&mut self.state, State::Over) else { return };
        let Asked { request, prefix, target } = *asked;
        let options = Options::read(options);
        if request.method == Method::CONNECT
            && !matches!(request.door, Door::Tunnel(_))
            && self.proxy
        {
            return self.tunnel(&request, &options, out);
        }
        let version = request.version;
        let canonical = match request::canonical(&request, &target, &options) {
            Ok(canonical) => canonical,
            Err(malformed) => {
                let mut operation = operation::malformed(&request);
                operation.aside = operation::sent_to(request.sent_to());
                let words = ClientText::fixed(malformed.what);
                let refusal = Refusal::unjudgeable(malformed.reason, words);
                out.refuse(LANE, operation, refusal);
                return;
            }
        };
        let sent_to = request.sent_to();
        let (id, parts) = (None, None);
        let judged = Judged { id, parts, canonical, options, prefix, version, sent_to };
        let length = judged.canonical.body;
        let needed = [at::BODY_BYTES, at::DETECTIONS, at::MODEL, at::TOOLS, at::CARRIES]
            .iter()
            .any(|fact| self.reads.contains(*fact));
        let short = matches!(length, Length::Known(bytes) if bytes <= SHORT_BODY_BYTES_MAX);
        if length == Length::Empty {
            self.ask(judged, Body::Empty, out);
        } else if needed || self.reads.asks() || short || judged.options.model {
            let most = judged.options.inspect_max;
            self.state = State::Body(Box::new(Held {
                request: judged,
                body: Vec::new(),
                trailers: None,
                most,
            }));
            out.resume(Side::Client);
        } else {
            self.ask(judged, Body::Unread, out);
        }
        for part in std::mem::take(&mut self.early) {
            // What follows a head is no head, so this cannot be a fault.
            let _ = self.client(part, out);
        }
    }

    /// A tunnel is opened, and what comes through it is judged request by request. Who asked for it
    /// is known; a form of the target with two meanings is refused here, before anything is said.
    fn tunnel(&mut self, request: &Request, options: &Options, out: &mut Outbox<Part>) {
        let (host, port) = match request::tunnel(request) {
            Ok(target) => target,
            Err(malformed) => {
                let words = ClientText::fixed(malformed.what);
                let refusal = Refusal::unjudgeable(malformed.reason, words);
                let mut operation = operation::malformed(request);
                operation.aside = operation::sent_to(request.sent_to());
                out.refuse(LANE, operation, refusal);
                return;
            }
        };
        if options.passes_on(&host) {
            return self.pass_on(request, host, port, out);
        }
        let head = Reply {
            status: StatusCode::OK,
            fields: http::HeaderMap::new(),
            body: Length::Empty,
            recorded: Bytes::new(),
        };
        out.answer(Part::Reply(Box::new(head)));
        out.answer(Part::End);
        self.answered = true;
        self.over("tunnel", out);
    }

    /// A tunnel that is not opened is judged here, once, by what can be known of it.
    fn pass_on(&mut self, request: &Request, host: Host, port: u16, out: &mut Outbox<Part>) {
        let mut operation = operation::unopened(&host, port);
        operation.aside = operation::sent_to(request.sent_to());
        if self.masks.as_ref().is_some_and(|masks| masks.reads_replies()) {
            // What nobody reads cannot be masked (P3), nor followed (R14).
            out.refuse(LANE, operation, unopened::masked());
            return;
        }
        let head = Part::Request(Box::new(Request {
            door: Door::Forward,
            method: Method::CONNECT,
            scheme: Scheme::Https,
            authority: format!("{}:{port}", host.bracketed()).into(),
            target: "".into(),
            version: request.version,
            fields: HeaderMap::new(),
            body: Length::Empty,
        }));
        let id = out.ask(LANE, operation, Some(head));
        self.state = State::Tunnel(Box::new(Tunnel::new(id, host)));
    }

    /// Something passed through a tunnel, perhaps the last of it.
    fn tunnelled(&mut self, then: &Then, out: &mut Outbox<Part>) {
        let State::Tunnel(tunnel) = &mut self.state else { return };
        let Some(permit) = tunnel.permit().filter(|_| *then == Then::Ends).map(Arc::clone) else {
            return;
        };
        // Nothing is withheld: both sides have said and got everything.
        let _ = self.ended(permit, false, Ok(Vec::new()), out);
    }

    fn ask(&mut self, judged: Judged, body: Body, out: &mut Outbox<Part>) {
        self.ask_about(judged, body, None, out);
    }

    /// Submits the operation with what is there of its body; `raw` is the body before parts of it
    /// were hidden, which is what rules see.
    fn ask_about(
        &mut self,
        mut judged: Judged,
        body: Body,
        raw: Option<&[u8]>,
        out: &mut Outbox<Part>,
    ) {
        if raw.is_some() {
            judged.canonical.fields.remove(http::header::CONTENT_ENCODING);
        }
        let mut operation = operation::of(&judged.canonical, &body, raw, self.judging());
        operation.context = operation::hidden_fields(&judged.canonical, body.trailers(), &self.key);
        operation.aside = operation::sent_to(judged.sent_to);
        if self.masks.as_ref().is_some_and(|masks| masks.reads_replies()) {
            judged.canonical.ask_for_readable();
        }
        match &body {
            Body::Held(bytes, None) => {
                judged.canonical.body = Length::Known(bytes.len() as u64);
                judged.canonical.fields.insert(http::header::CONTENT_LENGTH, bytes.len().into());
            }
            // Fields follow only a body whose length is not told.
            Body::Held(_, Some(_)) => {
                judged.canonical.body = Length::Unknown;
                judged.canonical.fields.remove(http::header::CONTENT_LENGTH);
            }
            Body::Empty | Body::Unread => {}
        }
        let door = if self.proxy { Door::Forward } else { Door::Reverse };
        let head = Part::Request(Box::new(judged.canonical.part(door, judged.version)));
        let id = out.ask(LANE, operation, Some(head));
        judged.id = Some(id);
        let options = &judged.options;
        match body {
            Body::Empty | Body::Unread => {}
            Body::Held(bytes, trailers) => {
                if !bytes.is_empty() {
                    out.more(id, Part::Data(bytes));
                }
                if let Some(mut trailers) = trailers {
                    canonical::strip_hop_by_hop(&mut trailers, false);
                    request::remove_credentials(&mut trailers, options);
                    out.more(id, Part::Trailers(trailers));
                }
                out.more(id, Part::End);
            }
        }
        self.state = State::Verdict(Box::new(judged));
    }

    fn judging(&self) -> Judging<'_> {
        Judging { reads: &self.reads, trail: self.trail.as_deref(), now: self.now }
    }

    fn released(&mut self, permit: Arc<Permit>, out: &mut Outbox<Part>) {
        match std::mem::replace(&mut self.state, State::Over) {
            // A message is on its way; nothing answers it as such.
            State::Socket(socket) => {
                out.finish(permit);
                self.state = State::Socket(socket);
            }
            State::Tunnel(mut tunnel) => {
                tunnel.released(permit, out);
                self.state = State::Tunnel(tunnel);
                out.resume(Side::Client);
            }
            State::Verdict(request) => {
                let withheld = permit.is_pending();
                let in_parts = request.parts.is_some();
                let replying = Replying { permit, withheld, request: *request, passing: None };
                self.state = State::Reply(Box::new(replying));
                match in_parts {
                    true => self.next_part(out),
                    false => out.resume(Side::Client),
                }
            }
            // A part of its body left.
            State::Reply(replying) => {
                out.finish(permit);
                self.state = State::Reply(replying);
                self.next_part(out);
            }
            other => {
                if self.stray == Some(permit.operation()) {
                    out.finish(permit);
                }
                self.state = other;
            }
        }
    }

    /// What the upstream says on a WebSocket.
    fn message(&mut self, part: Part, out: &mut Outbox<Part>) {
        let State::Socket(socket) = &mut self.state else { return };
        match part {
            Part::Message(message) => {
                let trail = self.trail.as_ref().map(|trail| Origin::new(trail, &self.resource));
                match socket.reply(message, &self.key, trail) {
                    Ok(batch) => out.reply(&socket.permit, batch),
                    Err(unfit) => {
                        let refusal = Refusal::unjudgeable(unfit.reason, unfit.what);
                        out.stop(&socket.permit, refusal);
                    }
                }
            }
            Part::Close(code, _) => {
                self.close_socket(Part::Close(code, "".into()), Side::Upstream, out);
            }
            _ => {}
        }
    }

    fn upstream(&mut self, part: Part, out: &mut Outbox<Part>) -> Result<(), Fault> {
        if matches!(self.state, State::Socket(_)) {
            self.message(part, out);
            return Ok(());
        }
        if let State::Tunnel(tunnel) = &mut self.state {
            self.answered |= matches!(part, Part::Reply(_));
            let then = tunnel.upstream(part, out);
            self.tunnelled(&then, out);
            return Ok(());
        }
        if let Part::Reply(head) = &part
            && head.status == StatusCode::SWITCHING_PROTOCOLS
        {
            return self.changed(part, out);
        }
        let State::Reply(replying) = &mut self.state else { return Ok(()) };
        let Replying { permit, withheld, request, passing } = &mut **replying;
        let masks = permit.masks();
        let batches = match (part, passing.as_mut()) {
            (Part::Reply(reply), None) => {
                let about = (&request.options, &*request.prefix);
                let counted = Sought::under(permit).is_any();
                let masking = (masks, &self.key);
                let method = &request.canonical.method;
                let trail = self.trail.as_ref().map(|trail| Origin::new(trail, &self.resource));
                match Passing::begin(reply, method, about, masking, (counted, trail)) {
                    Ok(begun) => {
                        *passing = Some(begun);
                        Ok(Vec::new())
                    }
                    Err(unfit) => Err(unfit),
                }
            }
            (Part::Data(bytes), Some(passing)) => passing.data(bytes),
            (Part::Last(bytes), Some(passing)) => {
                let all = passing.data(bytes).and_then(|mut batches| {
                    batches.extend(passing.end()?);
                    Ok(batches)
                });
                if all.is_ok() {
                    let (permit, withheld) = (Arc::clone(permit), *withheld);
                    return self.ended(permit, withheld, all, out);
                }
                all
            }
            (Part::Trailers(fields), Some(passing)) => {
                passing.trailers(fields, (masks, &self.key));
                Ok(Vec::new())
            }
            (Part::End, Some(passing)) => {
                let ended = passing.end();
                if ended.is_ok() {
                    let (permit, withheld) = (Arc::clone(permit), *withheld);
                    return self.ended(permit, withheld, ended, out);
                }
                ended
            }
            _ => return Err(Fault::upstream("a reply out of order")),
        };
        match batches {
            Ok(batches) => {
                for batch in batches {
                    self.answered |= !*withheld;
                    out.reply(permit, batch);
                }
            }
            Err(unfit) => out.stop(permit, Refusal::unjudgeable(unfit.reason, unfit.what)),
        }
        Ok(())
    }

    /// The upstream changes to WebSocket.
    fn changed(&mut self, part: Part, out: &mut Outbox<Part>) -> Result<(), Fault> {
        let unasked = "a change of protocol that was not asked for";
        let (Part::Reply(head), State::Reply(replying)) =
            (part, std::mem::replace(&mut self.state, State::Over))
        else {
            return Err(Fault::upstream(unasked));
        };
        if !replying.request.canonical.changes() || replying.passing.is_some() {
            let refusal = Refusal::unjudgeable("upstream_broken", ClientText::fixed(unasked));
            out.stop(&replying.permit, refusal);
            self.state = State::Reply(replying);
            return Ok(());
        }
        let Replying { permit, request, .. } = *replying;
        let about = (request.options, &*request.prefix);
        let made = Socket::new(Arc::clone(&permit), request.canonical, about, head, &self.key);
        let (socket, batch) = match made {
            Ok(made) => made,
            Err(unfit) => {
                // Nothing of it was answered, so the refusal is.
                let refusal = Refusal::unjudgeable(unfit.reason, unfit.what);
                out.stop(&permit, refusal);
                out.finish(permit);
                return Ok(());
            }
        };
        self.answered = true;
        out.reply(&permit, batch);
        self.state = State::Socket(Box::new(socket));
        Ok(())
    }

    /// The reply is complete.
    fn ended(
        &mut self,
        permit: Arc<Permit>,
        withheld: bool,
        batches: Result<Vec<engine::Batch<Part>>, Unfit>,
        out: &mut Outbox<Part>,
    ) -> Result<(), Fault> {
        for batch in batches.unwrap_or_default() {
            self.answered |= !withheld;
            out.reply(&permit, batch);
        }
        if let State::Reply(replying) = &self.state {
            let parts = replying.request.parts.as_ref();
            self.stray = parts.and_then(|parts| parts.waits_for());
        }
        let reviewed = permit.has_reply_rules().then(|| permit.operation());
        out.finish(permit);
        if let Some(id) = reviewed {
            self.state = State::Review(id);
        } else {
            self.over("done", out);
        }
        Ok(())
    }

    fn refuse(
        &mut self,
        refusal: &Refusal,
        operation: Option<OperationId>,
        out: &mut Outbox<Part>,
    ) {
        if matches!(self.state, State::Socket(_)) {
            return self.end_socket(socket::refused(refusal), refusal.reason(), out);
        }
        if !std::mem::replace(&mut self.answered, true) {
            let operation = operation.map(|id| format!("urn:narrows:{}:{}", self.name, id.0));
            problem::answer(out, refusal, operation.as_deref(), self.manner());
        }
        self.over(refusal.reason(), out);
    }

    fn manner(&self) -> Manner {
        match (self.call, self.proxy) {
            (true, _) => Manner::Grpc,
            (false, true) => Manner::Proxy,
            (false, false) => Manner::Server,
        }
    }

    fn over(&mut self, reason: &'static str, out: &mut Outbox<Part>) {
        self.state = State::Over;
        out.end(reason, None);
    }
}

impl Conversation<Part> for Exchange {
    fn handle(
        &mut self,
        now: Timestamp,
        input: Input<Part>,
        out: &mut Outbox<Part>,
    ) -> Result<(), Fault> {
        self.now = now;
        match input {
            Input::Data(Side::Client, part) => return self.client(part, out),
            Input::Data(Side::Upstream, part) => return self.upstream(part, out),
            Input::Identified { masks, reads, session, trail, resource, .. } => {
                self.masks = Some(masks);
                self.trail = Some(trail);
                self.resource = resource.name;
                self.reads = reads;
                self.name = session;
                if let State::Proof(asked) = std::mem::replace(&mut self.state, State::Over) {
                    self.state = State::Options(asked);
                    out.connect();
                }
            }
            Input::Rescoped(masks, reads) => {
                self.masks = Some(masks);
                self.reads = reads;
                // Its masks are those of when it began.
                let words = socket::again("narrows: the rules changed; connect again");
                self.end_socket(words, "rules_changed", out);
                self.end_tunnel("rules_changed", out);
                self.rules_changed(out);
            }
            Input::Unidentified(refusal) => self.refuse(&refusal, None, out),
            Input::Connected(connected) => self.judge(&connected.options, out),
            Input::Released(permit) => self.released(permit, out),
            Input::Refused(id, refusal) => {
                if !self.part_refused(id, &refusal, out) {
                    self.refuse(&refusal, Some(id), out);
                }
            }
            Input::Withheld(_, refusal) if matches!(self.state, State::Socket(_)) => {
                self.end_socket(socket::refused(&refusal), refusal.reason(), out);
            }
            Input::Withheld(id, refusal) => {
                let state = std::mem::replace(&mut self.state, State::Over);
                // The permit ends first, so that the record has the outcome before the end.
                match state {
                    State::Reply(replying) => out.finish(replying.permit),
                    State::Tunnel(tunnel) => {
                        tunnel
                            .permit()
                            .into_iter()
                            .for_each(|permit| out.finish(Arc::clone(permit)));
                    }
                    _ => {}
                }
                let (id, refusal) = self.part.take().unwrap_or((id, refusal));
                self.refuse(&refusal, Some(id), out);
            }
            Input::LetGo(_) => {
                self.answered = true;
                if let State::Reply(replying) = &mut self.state {
                    replying.withheld = false;
                }
            }
            Input::Passed(id) => {
                // That of a message, or of a part of the body, is not the end.
                if matches!(self.state, State::Review(reviewed) if reviewed == id) {
                    self.over("done", out);
                }
            }
            Input::Unreachable(refusal) => match &self.state {
                State::Reply(replying) => out.stop(&replying.permit, refusal),
                State::Tunnel(tunnel) if tunnel.permit().is_some() => {
                    tunnel
                        .permit()
                        .into_iter()
                        .for_each(|permit| out.stop(permit, refusal.clone()));
                }
                _ => self.refuse(&refusal, None, out),
            },
            Input::Stopped(refusal) if matches!(self.state, State::Socket(_)) => {
                out.answer(socket::refused(&refusal));
            }
            Input::Stopped(refusal) => {
                self.abandoned(&refusal, out);
                if !std::mem::replace(&mut self.answered, true) {
                    problem::answer(out, &refusal, None, self.manner());
                }
            }
            Input::Closed(Side::Upstream) => {
                if !std::mem::replace(&mut self.answered, true) {
                    let words = ClientText::fixed("the host broke off its reply");
                    let refusal = Refusal::unjudgeable("upstream_broken", words);
                    problem::answer(out, &refusal, None, self.manner());
                }
            }
            Input::Closed(Side::Client) => {
                let words = ClientText::fixed("the client broke off the body of its request");
                self.abandoned(&Refusal::unjudgeable("body_cut", words), out);
            }
            Input::Held(..) | Input::TlsStarted(..) | Input::Cancel | Input::Refreshed => {}
        }
        Ok(())
    }
}

/// What a client calls itself, short enough to be kept.
fn clipped(name: &str) -> String {
    name.chars().filter(|c| !c.is_control()).take(200).collect()
}
