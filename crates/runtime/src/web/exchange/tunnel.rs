//! A tunnel that is passed on unopened.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use engine::Happening;
use http::{HeaderMap, StatusCode, Uri};
use model::Side;
use model::exchange::{Length, Part, Reply, Request};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

use super::{Exchange, NotAnswered, Turn};
use crate::clock;
use crate::gateway::Seat;
use crate::timers::Alarm;
use crate::web::bare;
use crate::web::body::FRAMES_MAX;
use crate::web::socket::Heard;

/// How long the first thing said in a tunnel may take.
const HELLO_TIMEOUT: Duration = Duration::from_secs(15);

type Dialling = Pin<Box<dyn Future<Output = Result<TcpStream, NotAnswered>> + Send>>;

/// The tunnel of an exchange, if it has one.
#[derive(Default)]
pub(super) struct PassedOn {
    dialling: Option<Dialling>,
    stream: Option<TcpStream>,
    /// What each side says, once both are joined.
    client: Option<mpsc::Receiver<Heard>>,
    upstream: Option<mpsc::Receiver<Heard>>,
    listened_to: bool,
    joined: bool,
    /// Something was said.
    begun: bool,
}

impl PassedOn {
    /// Both sides are joined, or were.
    pub fn is_joined(&self) -> bool {
        self.joined
    }

    /// Something was passed on to the host.
    pub fn has_begun(&self) -> bool {
        self.begun
    }

    /// The host was reached, and nobody was told so yet.
    pub fn is_reached(&self) -> bool {
        self.stream.is_some()
    }

    /// The connection to the host, once, when it was reached.
    pub fn stream(&mut self) -> Option<TcpStream> {
        self.stream.take()
    }

    /// Both sides are listened to, or were.
    pub fn is_listened_to(&self) -> bool {
        self.listened_to
    }

    /// It is a WebSocket.
    pub fn is_socket(&self) -> bool {
        self.listened_to && !self.joined
    }

    /// What the client said and nobody heard.
    pub fn last_words(&mut self) -> Vec<Part> {
        let mut words = Vec::new();
        if let Some(client) = &mut self.client {
            while let Ok((_, part)) = client.try_recv() {
                words.extend(part);
            }
        }
        words
    }

    /// Why nothing came: a fixed word.
    pub fn idle_reason(&self) -> &'static str {
        if self.begun || self.is_socket() { "idle" } else { "hello_timeout" }
    }

    /// What both sides say is heard from here on.
    pub fn listen(&mut self, client: mpsc::Receiver<Heard>, upstream: mpsc::Receiver<Heard>) {
        self.listened_to = true;
        (self.client, self.upstream) = (Some(client), Some(upstream));
    }

    /// What happens next; never, where there is no tunnel.
    pub async fn turn(&mut self, from_client: bool, from_upstream: bool) -> Turn {
        let Self { dialling, client, upstream, .. } = self;
        tokio::select! {
            reached = dialled(dialling), if dialling.is_some() => Turn::Reached(reached),
            heard = said(client), if from_client => Turn::Said(heard),
            heard = said(upstream), if from_upstream => Turn::Said(heard),
            else => std::future::pending().await,
        }
    }
}

async fn dialled(dialling: &mut Option<Dialling>) -> Result<TcpStream, NotAnswered> {
    let Some(running) = dialling else { return std::future::pending().await };
    let reached = running.await;
    *dialling = None;
    reached
}

/// What a side says; nothing more after its last word.
async fn said(receiver: &mut Option<mpsc::Receiver<Heard>>) -> Heard {
    loop {
        let Some(waiting) = receiver else { return std::future::pending().await };
        match waiting.recv().await {
            Some(heard) => return heard,
            None => *receiver = None,
        }
    }
}

/// A task that has its place among the connections for as long as it runs.
pub(super) async fn seated(seat: Arc<Seat>, task: impl Future<Output = ()> + Send) {
    task.await;
    drop(seat);
}

impl Exchange {
    /// The tunnel was let go: its host is looked up and dialled.
    pub(super) fn dial(&mut self, request: &Request) {
        let Some(stay) = &self.stay else { return };
        let site = Arc::clone(&stay.site);
        // A person may have been asked meanwhile: what was said of it then must still be so.
        let name = &site.plan.resource.name;
        let is_as_judged =
            self.gateway.rules.load().sites.get(name).is_some_and(|now| now.plan == site.plan);
        if !is_as_judged {
            self.stop("resource_changed");
            return;
        }
        let target: Result<Uri, _> = request.authority.parse();
        self.sent = true;
        self.timers.clear(Alarm::Identify);
        self.passed_on.dialling = Some(Box::pin(async move {
            let target = target.map_err(http::Error::from)?;
            let host = target.host().unwrap_or_default();
            let host = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
            Ok(site.reach(host, target.port_u16().unwrap_or_default()).await?)
        }));
    }

    /// The host was reached.
    pub(super) fn reached(&mut self, stream: TcpStream) {
        self.passed_on.stream = Some(stream);
        let reply = Reply {
            status: StatusCode::OK,
            fields: HeaderMap::new(),
            body: Length::Empty,
            recorded: Bytes::new(),
        };
        self.work.push_back(Happening::Data(Side::Upstream, Part::Reply(Box::new(reply))));
    }

    /// The client was told so: from here on both sides say what they want.
    pub(super) fn join(&mut self, stream: TcpStream) {
        let Some(client) = self.client_socket.take() else {
            self.work.push_back(Happening::Closed(Side::Client));
            return;
        };
        let (to_client, passed) = mpsc::channel(FRAMES_MAX);
        let (heard, client_said) = mpsc::channel(FRAMES_MAX);
        tokio::spawn(seated(Arc::clone(&self.seat), client.carry(passed, heard)));
        self.client = Some(to_client);
        let (to_upstream, passed) = mpsc::channel(FRAMES_MAX);
        let (heard, upstream_said) = mpsc::channel(FRAMES_MAX);
        tokio::spawn(seated(
            Arc::clone(&self.seat),
            bare::carry(Side::Upstream, stream, passed, heard),
        ));
        self.upstream = Some(to_upstream);
        self.passed_on.listen(client_said, upstream_said);
        self.passed_on.joined = true;
        self.timers.set(Alarm::Idle, clock::now().plus(HELLO_TIMEOUT));
    }

    /// Something passed through the tunnel, if this is one.
    pub(super) fn stirred(&mut self) {
        if self.passed_on.joined {
            self.passed_on.begun = true;
            let idle = self.gateway.settings.session_idle;
            self.timers.set(Alarm::Idle, clock::now().plus(idle));
        }
    }
}
