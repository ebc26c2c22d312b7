//! A real HTTP server in the test's own process.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context as _, Result};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, Version};
use http_body::{Frame, SizeHint};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::time::Sleep;
use tokio_rustls::TlsAcceptor;

use crate::web::tap::{Log, Tap, Wire, pump};

/// Bytes on their way to the server in this process.
const PIPE_BYTES: usize = 64 * 1024;

/// A request as the origin received it.
#[derive(Clone, Debug)]
pub struct Seen {
    /// The method.
    pub method: String,
    /// The target: the whole of it, also where it is absolute.
    pub target: String,
    /// `Host`, or `:authority`.
    pub host: String,
    /// The version.
    pub version: Version,
    /// The fields.
    pub fields: HeaderMap,
    /// The body, as far as it came.
    pub body: Bytes,
    /// The fields after it.
    pub trailers: Option<HeaderMap>,
    /// Whether the body came to its end.
    pub complete: bool,
    /// Whether it came inside TLS.
    pub tls: bool,
    /// The name in the client's TLS hello.
    pub server_name: Option<String>,
    /// Which connection it came on, counted from 0.
    pub connection: usize,
}

impl Seen {
    /// The path and the query of the target.
    #[must_use]
    pub fn path(&self) -> &str {
        let rest = self.target.split_once("://").map_or(&*self.target, |(_, rest)| {
            rest.find('/').and_then(|at| rest.get(at..)).unwrap_or("/")
        });
        if rest.is_empty() { "/" } else { rest }
    }
}

/// What an origin answers.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// Fields, in order.
    pub fields: Vec<(String, String)>,
    /// The body. One piece has its length in the head; more come one after the other.
    pub body: Vec<Bytes>,
    /// Fields after the body.
    pub trailers: Vec<(String, String)>,
    /// What is waited before every piece of the body but the first.
    pub delay: Duration,
}

impl Answer {
    /// A body of this type, with 200.
    #[must_use]
    pub fn of(content_type: &str, body: impl Into<Bytes>) -> Self {
        Self {
            status: 200,
            fields: vec![("content-type".to_owned(), content_type.to_owned())],
            body: vec![body.into()],
            trailers: Vec::new(),
            delay: Duration::ZERO,
        }
    }

    /// Another status.
    #[must_use]
    pub fn status(mut self, status: u16) -> Self {
        self.status = status;
        self
    }

    /// One more field.
    #[must_use]
    pub fn field(mut self, name: &str, value: &str) -> Self {
        self.fields.push((name.to_owned(), value.to_owned()));
        self
    }
}

type Route = dyn Fn(&Seen) -> Answer + Send + Sync;

/// What the server's tasks and the test share.
struct Shared {
    route: Box<Route>,
    seen: Mutex<Vec<Seen>>,
    wires: Mutex<Vec<Log>>,
    tls: Option<Arc<ServerConfig>>,
}

/// A server on 127.0.0.1 that speaks HTTP/1.1 and HTTP/2, keeps every request and every byte, and
/// ends with the test.
///
/// With TLS it takes both: a connection that does not begin with a TLS hello is served in clear.
pub struct Origin {
    address: SocketAddr,
    shared: Arc<Shared>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl std::fmt::Debug for Origin {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Origin").field("address", &self.address).finish_non_exhaustive()
    }
}

impl Origin {
    /// Starts one in clear text.
    ///
    /// # Errors
    /// The system has no port or thread left.
    pub fn clear(route: impl Fn(&Seen) -> Answer + Send + Sync + 'static) -> Result<Self> {
        Self::start(None, Box::new(route))
    }

    /// Starts one with a certificate, from [`super::Authority::server`].
    ///
    /// # Errors
    /// The system has no port or thread left.
    pub fn tls(
        config: Arc<ServerConfig>,
        route: impl Fn(&Seen) -> Answer + Send + Sync + 'static,
    ) -> Result<Self> {
        Self::start(Some(config), Box::new(route))
    }

    fn start(tls: Option<Arc<ServerConfig>>, route: Box<Route>) -> Result<Self> {
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).context("listen")?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let (seen, wires) = (Mutex::default(), Mutex::default());
        let shared = Arc::new(Shared { route, seen, wires, tls });
        let (stop, stopped) = oneshot::channel();
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let tasks = Arc::clone(&shared);
        let thread = std::thread::Builder::new().name("origin".to_owned()).spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    () = accept(listener, tasks) => {}
                    _ = stopped => {}
                }
            });
            runtime.shutdown_background();
        })?;
        Ok(Self { address, shared, stop: Some(stop), thread: Some(thread) })
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// The requests it received, in order of their ends.
    #[must_use]
    pub fn seen(&self) -> Vec<Seen> {
        self.shared.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether the clients have ended all connections.
    #[must_use]
    pub fn ended(&self) -> bool {
        let wires = self.shared.wires.lock().unwrap_or_else(PoisonError::into_inner);
        wires.iter().all(|log| log.edit(|wire| wire.ended))
    }

    /// The bytes of every connection, also of those that were no HTTP.
    #[must_use]
    pub fn wires(&self) -> Vec<Wire> {
        let wires = self.shared.wires.lock().unwrap_or_else(PoisonError::into_inner);
        wires.iter().map(|log| log.edit(|wire| wire.clone())).collect()
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

async fn accept(listener: std::net::TcpListener, shared: Arc<Shared>) {
    let Ok(listener) = TcpListener::from_std(listener) else { return };
    while let Ok((stream, _)) = listener.accept().await {
        let log = Log::default();
        let connection = {
            let mut wires = shared.wires.lock().unwrap_or_else(PoisonError::into_inner);
            wires.push(log.clone());
            wires.len() - 1
        };
        tokio::spawn(connected(stream, connection, log, Arc::clone(&shared)));
    }
}

async fn connected(stream: TcpStream, connection: usize, log: Log, shared: Arc<Shared>) {
    let mut first = [0];
    let hello = matches!(stream.peek(&mut first).await, Ok(1)) && first == [0x16];
    let stream = Tap::new(stream, log.clone());
    let Some(config) = shared.tls.clone().filter(|_| hello) else {
        return serve(stream, connection, log, shared).await;
    };
    log.edit(|wire| wire.tls = true);
    if let Ok(stream) = TlsAcceptor::from(config).accept(stream).await {
        let name = stream.get_ref().1.server_name().map(str::to_owned);
        log.edit(|wire| wire.server_name = name);
        return serve(stream, connection, log, shared).await;
    }
    log.edit(|wire| wire.ended = true);
}

async fn serve<S>(stream: S, connection: usize, log: Log, shared: Arc<Shared>)
where
    S: AsyncRead + AsyncWrite + Send + 'static,
{
    let (outer, inner) = tokio::io::duplex(PIPE_BYTES);
    let (tls, server_name) = log.edit(|wire| (wire.tls, wire.server_name.clone()));
    let pumped = tokio::spawn(pump(stream, outer, log));
    let service = service_fn(|request: Request<Incoming>| {
        let (shared, server_name) = (Arc::clone(&shared), server_name.clone());
        async move {
            let seen = receive(request, tls, server_name, connection).await;
            let answer = (shared.route)(&seen);
            shared.seen.lock().unwrap_or_else(PoisonError::into_inner).push(seen);
            Ok::<_, Infallible>(answered(answer))
        }
    });
    let server = auto::Builder::new(TokioExecutor::new());
    let _ = server.serve_connection_with_upgrades(TokioIo::new(inner), service).await;
    // What comes after the server has had enough is written down, too.
    let _ = pumped.await;
}

async fn receive(
    request: Request<Incoming>,
    tls: bool,
    server_name: Option<String>,
    connection: usize,
) -> Seen {
    let (head, mut body) = request.into_parts();
    let host = head.headers.get("host").map(|host| String::from_utf8_lossy(host.as_bytes()));
    let authority = head.uri.authority().map(ToString::to_string);
    let host = host.map(|host| host.into_owned()).or(authority).unwrap_or_default();
    let (mut bytes, mut trailers, mut complete) = (Vec::new(), None, true);
    while let Some(frame) = body.frame().await {
        match frame.map(Frame::into_data) {
            Ok(Ok(data)) => bytes.extend_from_slice(&data),
            Ok(Err(frame)) => trailers = frame.into_trailers().ok(),
            Err(_) => {
                complete = false;
                break;
            }
        }
    }
    Seen {
        method: head.method.to_string(),
        target: head.uri.to_string(),
        host,
        version: head.version,
        fields: head.headers,
        body: bytes.into(),
        trailers,
        complete,
        tls,
        server_name,
        connection,
    }
}

fn answered(answer: Answer) -> Response<Pieces> {
    let mut response = Response::new(Pieces {
        pieces: answer.body.into(),
        trailers: (!answer.trailers.is_empty()).then(|| fields(&answer.trailers)),
        delay: answer.delay,
        wait: None,
    });
    *response.status_mut() = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::OK);
    *response.headers_mut() = fields(&answer.fields);
    response
}

fn fields(list: &[(String, String)]) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in list {
        let name = HeaderName::from_bytes(name.as_bytes());
        if let (Ok(name), Ok(value)) = (name, HeaderValue::from_bytes(value.as_bytes())) {
            map.append(name, value);
        }
    }
    map
}

/// A body in pieces, with a wait before each but the first.
struct Pieces {
    pieces: VecDeque<Bytes>,
    trailers: Option<HeaderMap>,
    delay: Duration,
    wait: Option<Pin<Box<Sleep>>>,
}

impl http_body::Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if let Some(wait) = &mut self.wait {
            if wait.as_mut().poll(context).is_pending() {
                return Poll::Pending;
            }
            self.wait = None;
        }
        if let Some(piece) = self.pieces.pop_front() {
            if !self.delay.is_zero() && !self.pieces.is_empty() {
                self.wait = Some(Box::pin(tokio::time::sleep(self.delay)));
            }
            return Poll::Ready(Some(Ok(Frame::data(piece))));
        }
        Poll::Ready(self.trailers.take().map(|trailers| Ok(Frame::trailers(trailers))))
    }

    fn is_end_stream(&self) -> bool {
        self.pieces.is_empty() && self.trailers.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        match (self.pieces.len(), self.pieces.front()) {
            (0, _) if self.trailers.is_none() => SizeHint::with_exact(0),
            (1, Some(only)) if self.trailers.is_none() => SizeHint::with_exact(only.len() as u64),
            _ => SizeHint::default(),
        }
    }
}
