//! Clients: connections, the requests on them, and tunnels that the gateway opens.

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Context;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONNECTION, HeaderValue};
use http::{Method, Response, StatusCode, Uri, Version};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use model::exchange::{Door, Request, Scheme, Tunnel};
use rustls_pki_types::CertificateDer;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::{LazyConfigAcceptor, TlsAcceptor};

use super::bare::{Bare, Duplex, Unopened};
use super::body::{ReplyBody, length};
use super::exchange::{Arrived, Exchange, Face};
use super::redirect::Redirected;
use crate::counters::add;
use crate::gateway::{Gateway, Seat, ServeError};
use crate::listen::TLS_HANDSHAKE;
use crate::mailbox::{Mailbox, Note};
use crate::transport::{self, shown};

/// Longest head of a message, bytes.
pub(super) const HEAD_BYTES_MAX: usize = 128 * 1024;
/// Most fields of a message.
const FIELDS_MAX: usize = 200;
/// Exchanges at once on one HTTP/2 connection.
const STREAMS_MAX: u32 = 128;
/// What may be on its way to the gateway in one HTTP/2 stream, bytes. A body that nobody takes
/// holds so much back.
pub(super) const STREAM_WINDOW_BYTES: u32 = 512 * 1024;
/// What may be on its way in all streams of a connection: as many as there may be can wait, for a
/// person or for a client that does not read, and the connection goes on for the next. Windows
/// that adapt to the link are the same for a stream and its connection, so one that waits would
/// stop all.
pub(super) const CONNECTION_WINDOW_BYTES: u32 = STREAM_WINDOW_BYTES * STREAMS_MAX;
/// How long a client may take to send a head, or to ask for something at all.
const HEAD_TIMEOUT: Duration = Duration::from_secs(60);
/// How long a client may take to begin TLS in a tunnel that it was granted.
pub(super) const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(15);
/// How long requests under way may go on when the gateway shuts down.
const GOODBYE: Duration = Duration::from_secs(5);

/// One client, however many requests it sends.
#[derive(Clone)]
pub(super) struct Client {
    pub gateway: Arc<Gateway>,
    pub face: Face,
    pub peer: SocketAddr,
    /// The same in words.
    pub address: Arc<str>,
    /// Nobody on the way can read what it sends (R16).
    pub private: bool,
    /// What it has shown of itself in the TLS that it came by.
    certificates: Arc<[CertificateDer<'static>]>,
    pub tunnel: Option<Arc<Tunnel>>,
    /// It speaks in clear to somebody else, and was redirected.
    pub redirected: Option<Arc<Redirected>>,
    /// Its place among the others; tunnels keep it.
    pub seat: Arc<Seat>,
}

impl Gateway {
    /// Accepts HTTP clients until the gateway shuts down: those who take it for the server they
    /// mean, or, with `egress`, those who take it for their proxy.
    ///
    /// # Errors
    ///
    /// When the gateway speaks no HTTP, or the listener is none.
    pub async fn serve_web(
        self: Arc<Self>,
        listener: TcpListener,
        egress: bool,
    ) -> Result<(), ServeError> {
        let (face, name) = if egress { (Face::Egress, "egress") } else { (Face::Reverse, "http") };
        let admit = |gateway: &Arc<Self>, stream: TcpStream, peer| {
            if let Some((client, mailbox, notes)) = gateway.welcome(&stream, peer, face) {
                tokio::spawn(client.attend(stream, mailbox, notes));
            }
        };
        self.serve_clients(listener, name, admit).await
    }

    /// Accepts clients of one listener until the gateway shuts down.
    pub(super) async fn serve_clients(
        self: Arc<Self>,
        listener: TcpListener,
        name: &'static str,
        admit: impl Fn(&Arc<Self>, TcpStream, SocketAddr),
    ) -> Result<(), ServeError> {
        let Some((protocol, _)) = self.web else {
            return Err(ServeError::UnknownProtocol("http".to_owned()));
        };
        let address = listener.local_addr()?;
        self.keep_house();
        self.listeners.fetch_add(1, Ordering::Relaxed);
        tracing::info!(%address, protocol = protocol.name(), listener = name, "listening");
        self.accept(&listener, address, |stream, peer| {
            add(&self.counters.connections_total);
            admit(&self, stream, peer);
        })
        .await;
        self.listeners.fetch_sub(1, Ordering::Relaxed);
        Ok(())
    }

    /// Gives a client its place, if there is one.
    pub(super) fn welcome(
        self: &Arc<Self>,
        stream: &TcpStream,
        peer: SocketAddr,
        face: Face,
    ) -> Option<(Client, Arc<Mailbox>, mpsc::Receiver<Note>)> {
        if let Err(error) = transport::prepare(stream) {
            tracing::debug!(%peer, %error, "a client was gone before it was served");
            return None;
        }
        let (mailbox, notes) = Mailbox::new();
        let mailbox = Arc::new(mailbox);
        let Some(seat) = self.seat(Arc::clone(&mailbox)) else {
            self.counters.refused.add("too_many_connections");
            return None;
        };
        let private = peer.ip().to_canonical().is_loopback();
        let (gateway, seat) = (Arc::clone(self), Arc::new(seat));
        let (tunnel, redirected) = (None, None);
        let address = peer.to_string().into();
        let certificates = Arc::new([]);
        let client = Client {
            gateway,
            face,
            peer,
            address,
            private,
            certificates,
            tunnel,
            redirected,
            seat,
        };
        Some((client, mailbox, notes))
    }
}

impl Client {
    async fn attend(
        mut self,
        stream: TcpStream,
        mailbox: Arc<Mailbox>,
        notes: mpsc::Receiver<Note>,
    ) {
        let deadline = Instant::now() + self.gateway.settings.identify_timeout;
        let mut first = [0];
        let is_tls = match timeout_at(deadline, stream.peek(&mut first)).await {
            Ok(Ok(1)) => first == [TLS_HANDSHAKE],
            Ok(_) => return,
            Err(_) => return self.gateway.counters.refused.add("identify_timeout"),
        };
        match self.gateway.web_tls.clone().filter(|_| is_tls) {
            Some(tls) => match timeout_at(deadline, TlsAcceptor::from(tls).accept(stream)).await {
                Ok(Ok(stream)) => {
                    self.private = true;
                    self.certificates = shown(stream.get_ref().1).into();
                    self.serve(stream, Some((mailbox, notes))).await;
                }
                _ => {
                    self.gateway.counters.refused.add("client_tls");
                    tracing::debug!(peer = %self.peer, "a client's TLS failed");
                }
            },
            None => self.serve(stream, Some((mailbox, notes))).await,
        }
    }

    /// Serves requests until the client has no more.
    pub(super) async fn serve<S>(
        self,
        stream: S,
        stop: Option<(Arc<Mailbox>, mpsc::Receiver<Note>)>,
    ) where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let peer = self.peer;
        let gateway = Arc::clone(&self.gateway);
        let mut builder = auto::Builder::new(TokioExecutor::new());
        builder
            .http1()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIMEOUT)
            .max_buf_size(HEAD_BYTES_MAX)
            .max_headers(FIELDS_MAX)
            .half_close(false);
        builder
            .http2()
            .timer(TokioTimer::new())
            .max_concurrent_streams(STREAMS_MAX)
            .max_header_list_size(u32::try_from(HEAD_BYTES_MAX).unwrap_or(u32::MAX))
            .keep_alive_interval(Some(HEAD_TIMEOUT))
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES);
        let service = service_fn(move |request| {
            let client = self.clone();
            async move { client.answer(request).await }
        });
        let connection = builder.serve_connection_with_upgrades(TokioIo::new(stream), service);
        tokio::pin!(connection);
        let mut draining = gateway.draining.subscribe();
        let ended = tokio::select! {
            ended = connection.as_mut() => Some(ended),
            () = stopped(stop) => None,
            _ = draining.wait_for(|draining| *draining) => None,
        };
        let ended = match ended {
            Some(ended) => Ok(ended),
            None => {
                connection.as_mut().graceful_shutdown();
                timeout(GOODBYE, connection).await
            }
        };
        if let Ok(Err(error)) = ended {
            tracing::debug!(%peer, %error, "a connection ended badly");
        }
    }

    /// Carries one exchange; an error closes the connection without an answer.
    async fn answer(
        self,
        mut request: http::Request<Incoming>,
    ) -> Result<Response<ReplyBody>, NoAnswer> {
        let upgrade = (request.method() == Method::CONNECT && self.face == Face::Egress)
            .then(|| hyper::upgrade::on(&mut request));
        let socket = (request.method() == Method::GET
            && request.headers().contains_key(http::header::UPGRADE))
        .then(|| hyper::upgrade::on(&mut request));
        let (head, body) = request.into_parts();
        let wants_tunnel = head.method == Method::CONNECT && head.version < Version::HTTP_2;
        let socket = upgrade.clone().or(socket).map(Bare::Upgrade);
        let tunnel = upgrade.is_some().then(|| (head.uri.clone(), head.headers.clone()));
        let arrived = Arrived {
            face: self.face,
            head: self.head(head, length(&body)),
            body: Some(body),
            socket,
            peer: self.peer,
            address: Arc::clone(&self.address),
            private: self.private,
            certificates: Arc::clone(&self.certificates),
            seat: Arc::clone(&self.seat),
        };
        let mut response = self.ask(arrived).await?;
        if wants_tunnel && response.status() != StatusCode::OK {
            // What follows may have been meant for the tunnel and is no request to the gateway
            // (RFC 9931).
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        if let (Some(upgrade), Some((target, fields))) = (upgrade, tunnel)
            && response.status() == StatusCode::OK
            && response.extensions().get::<Unopened>().is_none()
        {
            let tunnel = Tunnel {
                target: target.authority().map_or("", |a| a.as_str()).into(),
                server_name: None,
                tls: false,
                fields,
                sent_to: None,
            };
            tokio::spawn(self.opened(upgrade, tunnel));
        }
        Ok(response)
    }

    /// Carries one exchange up to the head of its reply; the rest goes on by itself.
    pub(super) async fn ask(&self, arrived: Arrived) -> Result<Response<ReplyBody>, NoAnswer> {
        let (sender, mut receiver) = oneshot::channel();
        let exchange = Exchange::new(Arc::clone(&self.gateway), arrived, sender).ok_or(NoAnswer)?;
        let mut driven = Driven(Some(Box::pin(exchange.run())));
        let response = poll_fn(|cx| {
            // A short reply is complete when its head is there: then no other task is needed.
            driven.poll(cx);
            Pin::new(&mut receiver).poll(cx)
        });
        response.await.map_err(|_| NoAnswer)
    }

    fn head(&self, head: http::request::Parts, body: model::exchange::Length) -> Request {
        let http::request::Parts { method, uri, version, headers: fields, .. } = head;
        let host = fields.get(http::header::HOST).and_then(|host| host.to_str().ok());
        let written = uri.authority().map(|authority| authority.as_str());
        // A scheme that is not spoken here has no host here.
        let spoken = uri.scheme_str().is_none_or(|scheme| ["http", "https"].contains(&scheme));
        let authority = written.or(host).filter(|_| spoken).unwrap_or_default();
        let tunnel = match (&self.tunnel, &self.redirected) {
            (None, Some(redirected)) => Some(Arc::new(redirected.tunnel(authority))),
            (tunnel, _) => tunnel.clone(),
        };
        let (door, scheme) = match (&tunnel, self.face) {
            (Some(tunnel), _) => {
                let scheme = if tunnel.tls { Scheme::Https } else { Scheme::Http };
                (Door::Tunnel(Arc::clone(tunnel)), scheme)
            }
            (None, Face::Egress) => (Door::Forward, scheme_of(&uri)),
            (None, Face::Reverse) => (Door::Reverse, scheme_of(&uri)),
        };
        let authority = authority.into();
        let target = match uri.path_and_query() {
            Some(target) => target.as_str().into(),
            None => "".into(),
        };
        Request { door, method, scheme, authority, target, version, fields, body }
    }

    /// [`Self::open`], which serves requests that may ask for tunnels, as a type of known size.
    fn opened(
        self,
        upgrade: OnUpgrade,
        tunnel: Tunnel,
    ) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(self.open(upgrade, tunnel))
    }

    /// Serves what comes through a tunnel that was granted: TLS, or clear text.
    async fn open(mut self, upgrade: OnUpgrade, tunnel: Tunnel) {
        let Ok(upgraded) = upgrade.await else { return };
        let mut stream = taken_back(upgraded);
        if stream.first.is_empty() {
            let mut first = [0];
            let mut draining = self.gateway.draining.subscribe();
            let read = tokio::select! {
                read = timeout(HANDSHAKE_TIMEOUT, stream.stream.read_exact(&mut first)) => read,
                _ = draining.wait_for(|draining| *draining) => return,
            };
            if !matches!(read, Ok(Ok(_))) {
                return;
            }
            stream.first = Bytes::copy_from_slice(&first);
        }
        if stream.first.first() != Some(&TLS_HANDSHAKE) {
            self.tunnel = Some(Arc::new(tunnel));
            return self.serve(stream, None).await;
        }
        self.open_tls(Box::new(stream), tunnel).await;
    }

    /// Serves what comes through TLS in a tunnel that was granted.
    pub(super) async fn open_tls(mut self, stream: Box<dyn Duplex>, mut tunnel: Tunnel) {
        let Some(mint) = self.gateway.mint.clone() else { return };
        let opened = timeout(HANDSHAKE_TIMEOUT, async {
            let started = LazyConfigAcceptor::new(rustls::server::Acceptor::default(), stream);
            let started = started.await.map_err(|error| error.to_string())?;
            let server_name: Option<Box<str>> =
                started.client_hello().server_name().map(Into::into);
            let name = match &server_name {
                Some(name) => name.to_ascii_lowercase(),
                None => host_of(&tunnel.target).to_owned(),
            };
            let config = mint.config(&name).map_err(|error| error.to_string())?;
            tunnel.server_name = server_name;
            tunnel.tls = true;
            started.into_stream(config).await.map_err(|error| error.to_string())
        });
        match opened.await {
            Ok(Ok(stream)) => {
                self.tunnel = Some(Arc::new(tunnel));
                self.serve(stream, None).await;
            }
            Ok(Err(error)) => {
                self.gateway.counters.refused.add("client_tls");
                tracing::debug!(peer = %self.peer, error, "TLS in a tunnel failed");
            }
            Err(_) => self.gateway.counters.refused.add("client_tls"),
        }
    }
}

/// An exchange that its client's own task carries, until its reply has begun or the client is gone;
/// what is left of it then is a task of its own. Nothing of it is lost, its last record above all.
struct Driven(Option<Pin<Box<dyn Future<Output = ()> + Send>>>);

impl Driven {
    fn poll(&mut self, cx: &mut Context<'_>) {
        if let Some(run) = &mut self.0
            && run.as_mut().poll(cx).is_ready()
        {
            self.0 = None;
        }
    }
}

impl Drop for Driven {
    fn drop(&mut self) {
        // Without a runtime the process is ending, and the journal closes what is open.
        if let Some(run) = self.0.take()
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            runtime.spawn(run);
        }
    }
}

/// The connection is closed without an answer.
#[derive(Debug, thiserror::Error)]
#[error("the exchange ended without an answer")]
pub(super) struct NoAnswer;

impl From<Infallible> for NoAnswer {
    fn from(error: Infallible) -> Self {
        match error {}
    }
}

fn scheme_of(uri: &Uri) -> Scheme {
    if uri.scheme_str() == Some("https") { Scheme::Https } else { Scheme::Http }
}

/// The host of an authority, as it is written there: without the port.
pub(super) fn host_part(authority: &str) -> &str {
    match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => host,
        _ => authority,
    }
}

/// The host of a tunnel's target, without brackets.
fn host_of(target: &str) -> &str {
    let host = host_part(target);
    host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
}

/// Ends when the connection is told to stop.
async fn stopped(stop: Option<(Arc<Mailbox>, mpsc::Receiver<Note>)>) {
    let Some((mailbox, mut notes)) = stop else { return std::future::pending().await };
    while mailbox.stop_reason().is_none() {
        if notes.recv().await.is_none() {
            return std::future::pending().await;
        }
    }
}

/// The connection itself, where it is one of the operating system: through the library's wrapping
/// every write would take two more turns.
fn taken_back(upgraded: Upgraded) -> Prefixed<Box<dyn Duplex>> {
    match auto::upgrade::downcast::<TokioIo<TcpStream>>(upgraded) {
        Ok(parts) => Prefixed { first: parts.read_buf, stream: Box::new(parts.io.into_inner()) },
        Err(upgraded) => Prefixed { first: Bytes::new(), stream: Box::new(TokioIo::new(upgraded)) },
    }
}

/// A stream whose first bytes were read to see what it is.
pub(super) struct Prefixed<S> {
    pub first: Bytes,
    pub stream: S,
}

impl<S: AsyncRead + Unpin> AsyncRead for Prefixed<S> {
    fn poll_read(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut tokio::io::ReadBuf<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        if buf.remaining() > 0 && !self.first.is_empty() {
            let length = buf.remaining().min(self.first.len());
            let first = self.first.split_to(length);
            buf.put_slice(&first);
            return std::task::Poll::Ready(Ok(()));
        }
        std::pin::Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Prefixed<S> {
    fn poll_write(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> std::task::Poll<std::io::Result<usize>> {
        std::pin::Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    // Without these two every record of TLS would be a write of its own.
    fn poll_write_vectored(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[std::io::IoSlice<'_>],
    ) -> std::task::Poll<std::io::Result<usize>> {
        std::pin::Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        std::pin::Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        std::pin::Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
