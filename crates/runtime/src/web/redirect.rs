//! Clients that know of no proxy: their connections are redirected here (transparent mode).
//!
//! Where a client meant to connect is recorded and never dialled: what it says it means, the name
//! in its TLS hello or the host of its request, is looked up like any other client's. So TLS is
//! served as if the client had asked for a tunnel to that name, and each clear request as if it had
//! come through one. A client proves itself by its address: the network is what cannot be forged.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use bytes::{BufMut as _, Bytes, BytesMut};
use http::header::PROXY_AUTHORIZATION;
use http::{HeaderMap, HeaderValue, Method, StatusCode, Version};
use model::exchange::{Door, Length, Request, Scheme, Tunnel};
use parking_lot::Mutex;
use rustls::server::Acceptor;
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};

use super::bare::{Bare, Duplex, Unopened};
use super::dial::contains;
use super::exchange::{Arrived, Face};
use super::listen::{Client, HANDSHAKE_TIMEOUT, Prefixed};
use crate::gateway::{Gateway, ServeError};
use crate::listen::TLS_HANDSHAKE;
use crate::mailbox::{Mailbox, Note};
use secrets::SecretSource;

/// Longest hello of TLS that is waited for, bytes.
const HELLO_BYTES_MAX: usize = 32 * 1024;
/// A fatal alert (RFC 8446 section 6): access denied.
const ACCESS_DENIED: &[u8] = b"\x15\x03\x03\x00\x02\x02\x31";
/// Connections that wait to be accepted.
const BACKLOG: i32 = 1024;

/// Who is let in by transparent mode, and how their connections come.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct RedirectPlan {
    /// They keep their destination as the socket's own address (TPROXY); otherwise the kernel
    /// translated it and is asked (REDIRECT).
    pub tproxy: bool,
    /// Networks and what proves who is in them; the narrowest counts.
    pub sources: Vec<(IpAddr, u8, SecretSource)>,
}

impl RedirectPlan {
    fn proof(&self, client: IpAddr) -> Option<&SecretSource> {
        let here =
            self.sources.iter().filter(|(network, bits, _)| contains(*network, *bits, client));
        here.max_by_key(|(_, bits, _)| *bits).map(|(_, _, secret)| secret)
    }
}

/// What is known of a redirected connection.
pub(super) struct Redirected {
    /// Where it meant to go.
    pub to: SocketAddr,
    /// What proves who it is from.
    pub fields: HeaderMap,
}

impl Redirected {
    /// The tunnel that a clear request for this host would have come through.
    pub fn tunnel(&self, authority: &str) -> Tunnel {
        let host = super::listen::host_part(authority);
        Tunnel {
            target: format!("{host}:{}", self.to.port()).into(),
            server_name: None,
            tls: false,
            fields: self.fields.clone(),
            sent_to: Some(self.to),
        }
    }
}

/// Takes an address for connections that are meant for others (`IP_TRANSPARENT`).
///
/// # Errors
///
/// The address cannot be had, or the process lacks `CAP_NET_ADMIN`.
pub fn listen_for_others(address: SocketAddr) -> std::io::Result<TcpListener> {
    let kind = Type::STREAM.nonblocking();
    let socket = Socket::new(Domain::for_address(address), kind, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    if address.is_ipv4() {
        socket.set_ip_transparent_v4(true)?;
    } else {
        socket.set_ip_transparent_v6(true)?;
    }
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

impl Gateway {
    /// Accepts connections that were redirected here until the gateway shuts down.
    ///
    /// # Errors
    ///
    /// When the gateway speaks no HTTP, or the listener is none.
    pub async fn serve_redirected(
        self: Arc<Self>,
        listener: TcpListener,
        plan: RedirectPlan,
    ) -> Result<(), ServeError> {
        let own = listener.local_addr()?;
        let plan = Arc::new(plan);
        let admit = |gateway: &Arc<Self>, stream: TcpStream, peer: SocketAddr| {
            let Some(to) = destination(&stream, plan.tproxy).filter(|to| !is_own(own, *to)) else {
                // Nobody redirected it, or it means the gateway itself: it would go in circles.
                tracing::warn!(%peer, "a connection to listen.transparent was not redirected");
                return gateway.counters.refused.add("not_redirected");
            };
            let Some((client, mailbox, notes)) = gateway.welcome(&stream, peer, Face::Egress)
            else {
                return;
            };
            tokio::spawn(client.attend_redirected(stream, to, Arc::clone(&plan), mailbox, notes));
        };
        self.serve_clients(listener, "transparent", admit).await
    }
}

/// Where a connection was meant to go; `None` when nothing redirected it.
fn destination(stream: &TcpStream, tproxy: bool) -> Option<SocketAddr> {
    let own = stream.local_addr().ok()?;
    if tproxy {
        return Some(SocketAddr::new(own.ip().to_canonical(), own.port()));
    }
    let socket = SockRef::from(stream);
    let meant = match own.ip().to_canonical() {
        IpAddr::V4(_) => socket.original_dst_v4(),
        IpAddr::V6(_) => socket.original_dst_v6(),
    };
    let meant = meant.ok()?.as_socket()?;
    // Without a redirection the kernel may still answer, with the address that was dialled.
    (meant != own).then_some(meant)
}

/// Whether it is the listener itself, whatever address it is reached by.
fn is_own(own: SocketAddr, to: SocketAddr) -> bool {
    own.port() == to.port() && (own.ip().is_unspecified() || own.ip().to_canonical() == to.ip())
}

impl Client {
    /// Serves a redirected connection.
    async fn attend_redirected(
        mut self,
        mut stream: TcpStream,
        to: SocketAddr,
        plan: Arc<RedirectPlan>,
        mailbox: Arc<Mailbox>,
        notes: mpsc::Receiver<Note>,
    ) {
        // Nothing that proves who asks is on the way.
        self.private = true;
        let mut fields = HeaderMap::new();
        if let Some(secret) = plan.proof(self.peer.ip().to_canonical()) {
            match secret.fetch().await {
                Ok(token) => {
                    let value = HeaderValue::try_from(format!("Bearer {}", token.expose().trim()));
                    if let Ok(mut value) = value {
                        value.set_sensitive(true);
                        fields.insert(PROXY_AUTHORIZATION, value);
                    }
                }
                Err(error) => {
                    tracing::error!(peer = %self.peer, %error, "a source's token cannot be had");
                }
            }
        }
        let redirected = Arc::new(Redirected { to, fields });
        let mut first = [0];
        let deadline = Instant::now() + self.gateway.settings.identify_timeout;
        match timeout_at(deadline, stream.peek(&mut first)).await {
            Ok(Ok(1)) => {}
            _ => return,
        }
        if first != [TLS_HANDSHAKE] {
            self.redirected = Some(redirected);
            return self.serve(stream, Some((mailbox, notes))).await;
        }
        let until = Instant::now() + HANDSHAKE_TIMEOUT;
        match timeout_at(until, hello(&mut stream)).await {
            Ok(Some((first, name))) => {
                let stream = Box::new(Prefixed { first, stream });
                self.tunnel_redirected(stream, name, &redirected).await;
            }
            _ => {
                self.gateway.counters.refused.add("client_tls");
                tracing::debug!(peer = %self.peer, "no hello of TLS came");
            }
        }
    }

    /// Asks for the tunnel that the client would have asked for, and serves what is in it.
    async fn tunnel_redirected(
        self,
        stream: Box<dyn Duplex>,
        name: Option<String>,
        redirected: &Redirected,
    ) {
        let Redirected { to, fields } = redirected;
        // Without a name it is refused, and recorded by the address.
        let target: Box<str> = match &name {
            Some(name) => format!("{name}:{}", to.port()).into(),
            None => to.to_string().into(),
        };
        let head = Request {
            door: Door::Redirected(*to),
            method: Method::CONNECT,
            scheme: Scheme::Https,
            authority: target.clone(),
            target: "".into(),
            version: Version::HTTP_11,
            fields: fields.clone(),
            body: Length::Empty,
        };
        let slot = Arc::new(Mutex::new(Some(stream)));
        let arrived = Arrived {
            certificates: Arc::new([]),
            face: self.face,
            head,
            body: None,
            socket: Some(Bare::Stream(Arc::clone(&slot))),
            peer: self.peer,
            address: Arc::clone(&self.address),
            private: self.private,
            seat: Arc::clone(&self.seat),
        };
        let answer = self.ask(arrived).await;
        let granted = match &answer {
            Ok(answer) => answer.status() == StatusCode::OK,
            Err(_) => false,
        };
        if granted && answer.is_ok_and(|answer| answer.extensions().get::<Unopened>().is_some()) {
            return;
        }
        let Some(mut stream) = slot.lock().take() else { return };
        if granted {
            let tunnel = Tunnel {
                target,
                server_name: None,
                tls: false,
                fields: fields.clone(),
                sent_to: Some(*to),
            };
            return self.open_tls(stream, tunnel).await;
        }
        let _ = stream.write_all(ACCESS_DENIED).await;
        let _ = stream.shutdown().await;
    }
}

/// What a TLS client says first, and the server that it names; `None` when it says something else.
async fn hello(stream: &mut TcpStream) -> Option<(Bytes, Option<String>)> {
    let mut said = BytesMut::new();
    loop {
        let room = HELLO_BYTES_MAX.checked_sub(said.len()).filter(|room| *room > 0)?;
        if stream.read_buf(&mut (&mut said).limit(room)).await.ok()? == 0 {
            return None;
        }
        let mut acceptor = Acceptor::default();
        let mut unread = said.as_ref();
        while !unread.is_empty() {
            acceptor.read_tls(&mut unread).ok()?;
        }
        if let Some(accepted) = acceptor.accept().ok()? {
            let name = accepted.client_hello().server_name().map(str::to_ascii_lowercase);
            return Some((said.freeze(), name));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_narrowest_network_says_who_a_source_is_and_others_are_nobody() {
        let source = |network: &str, bits, name: &str| {
            (network.parse().expect("an address"), bits, SecretSource::Env(name.to_owned()))
        };
        let plan = RedirectPlan {
            tproxy: false,
            sources: vec![
                source("10.0.0.0", 8, "wide"),
                source("10.1.2.3", 32, "one"),
                source("fd00::", 8, "six"),
            ],
        };
        let of = |ip: &str| match plan.proof(ip.parse().expect("an address")) {
            Some(SecretSource::Env(name)) => Some(name.as_str()),
            _ => None,
        };
        assert_eq!(of("10.9.9.9"), Some("wide"));
        assert_eq!(of("10.1.2.3"), Some("one"));
        assert_eq!(of("fd00::7"), Some("six"));
        assert_eq!(of("192.0.2.1"), None);
    }

    #[test]
    fn a_connection_that_means_the_listener_itself_goes_in_circles() {
        let at = |text: &str| text.parse::<SocketAddr>().expect("an address");
        assert!(is_own(at("10.0.0.1:7083"), at("10.0.0.1:7083")));
        assert!(is_own(at("0.0.0.0:7083"), at("203.0.113.7:7083")));
        assert!(!is_own(at("10.0.0.1:7083"), at("203.0.113.7:7083")));
        assert!(!is_own(at("10.0.0.1:7083"), at("10.0.0.1:443")));
    }
}
