//! Reaching hosts: a name is looked up once, its addresses are judged, and one of them is dialled.

use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::TokioIo;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::prior::Prior;
use super::site::{SitePlan, Spoken};
use crate::tls::{TlsError, web_client_config};
use crate::transport;

/// Addresses tried when a name has many.
const ADDRESSES_MAX: usize = 8;

/// Why a host was not reached. What exactly went wrong is for the operator's log only (P7).
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotReached {
    #[error("cannot reach {0}: {1}")]
    Down(String, std::io::Error),
    #[error("{0} did not answer in time")]
    Timeout(String),
    #[error("TLS with {0}: {1}")]
    Tls(String, String),
    /// A kind of address that only a resource which lists it may reach.
    #[error("{0} is at {1}, a {2} address")]
    Refused(String, IpAddr, &'static str),
}

impl NotReached {
    /// The same once more; an error of the operating system keeps its kind and its words.
    pub fn again(&self) -> Self {
        match self {
            Self::Down(host, error) => {
                Self::Down(host.clone(), std::io::Error::new(error.kind(), error.to_string()))
            }
            Self::Timeout(host) => Self::Timeout(host.clone()),
            Self::Tls(host, error) => Self::Tls(host.clone(), error.clone()),
            Self::Refused(host, ip, kind) => Self::Refused(host.clone(), *ip, kind),
        }
    }
}

/// Opens connections for one site.
#[derive(Clone)]
pub(crate) struct Dialler {
    plan: Arc<SitePlan>,
    refuses: fn(IpAddr) -> Option<&'static str>,
    tls: Option<Arc<rustls::ClientConfig>>,
    spoken: Spoken,
    within: Duration,
}

impl Dialler {
    pub fn new(
        plan: Arc<SitePlan>,
        refuses: fn(IpAddr) -> Option<&'static str>,
        within: Duration,
        spoken: Spoken,
    ) -> Result<Self, TlsError> {
        let versions = spoken.offered();
        let tls = web_client_config(plan.tls, plan.ca_file.as_deref(), versions)?;
        Ok(Self { plan, refuses, tls, spoken, within })
    }

    /// Reaches a host whose bytes the gateway does not read.
    pub async fn reach(
        plan: Arc<SitePlan>,
        refuses: fn(IpAddr) -> Option<&'static str>,
        within: Duration,
        (host, port): (&str, u16),
    ) -> Result<TcpStream, NotReached> {
        let dialler = Self { plan, refuses, tls: None, spoken: Spoken::One, within };
        match timeout(within, dialler.connect(host, port)).await {
            Ok(reached) => reached,
            Err(_) => Err(NotReached::Timeout(format!("{host}:{port}"))),
        }
    }

    async fn dial(self, uri: Uri) -> Result<Stream, NotReached> {
        let host = uri.host().unwrap_or_default();
        let host = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
        let secure = uri.scheme_str() == Some("https");
        let port = uri.port_u16().unwrap_or(if secure { 443 } else { 80 });
        let reach = async {
            let stream = self.connect(host, port).await?;
            match (secure, self.spoken) {
                (true, _) => self.encrypt(host, stream).await,
                (false, Spoken::Two) => match Prior::begin(stream).await {
                    Ok(stream) => Ok(Stream::Prior(stream)),
                    Err(error) => Err(NotReached::Down(format!("{host}:{port}"), error)),
                },
                (false, _) => Ok(Stream::Plain(stream)),
            }
        };
        match timeout(self.within, reach).await {
            Ok(reached) => reached,
            Err(_) => Err(NotReached::Timeout(format!("{host}:{port}"))),
        }
    }

    async fn connect(&self, host: &str, port: u16) -> Result<TcpStream, NotReached> {
        let name = || format!("{host}:{port}");
        let down = |error| NotReached::Down(name(), error);
        let mut last = std::io::Error::other("the name has no address");
        for address in self.addresses(host, port).await? {
            match TcpStream::connect(address).await {
                Ok(stream) => {
                    transport::prepare(&stream).map_err(down)?;
                    return Ok(stream);
                }
                Err(error) => last = error,
            }
        }
        Err(down(last))
    }

    /// Where to dial. One address that may not be dialled refuses the name: whoever answers with a
    /// public and a private one means to be asked twice.
    async fn addresses(&self, host: &str, port: u16) -> Result<Vec<SocketAddr>, NotReached> {
        if let Some((_, address)) = self.plan.hosts.iter().find(|(name, _)| name == host) {
            return Ok(vec![*address]);
        }
        let (host, port, trusted) = match &self.plan.address {
            Some((host, port)) => (host.as_str(), *port, true),
            None => (host, port, false),
        };
        let down = |error| NotReached::Down(format!("{host}:{port}"), error);
        let found: Vec<SocketAddr> =
            lookup_host((host, port)).await.map_err(down)?.take(ADDRESSES_MAX).collect();
        let refused = found.iter().map(SocketAddr::ip).find_map(|ip| {
            let kind = (self.refuses)(ip).filter(|_| !trusted && !self.is_listed(ip))?;
            Some(NotReached::Refused(host.to_owned(), ip, kind))
        });
        refused.map_or(Ok(found), Err)
    }

    fn is_listed(&self, ip: IpAddr) -> bool {
        self.plan.networks.iter().any(|(network, bits)| contains(*network, *bits, ip))
    }

    async fn encrypt(&self, host: &str, stream: TcpStream) -> Result<Stream, NotReached> {
        let failed = |error: String| NotReached::Tls(host.to_owned(), error);
        let config = self.tls.clone().ok_or_else(|| failed("is switched off".to_owned()))?;
        let name = ServerName::try_from(host.to_owned())
            .map_err(|_| failed("the host is neither a name nor an address".to_owned()))?;
        let connected = TlsConnector::from(config).connect(name, stream).await;
        Ok(Stream::Tls(Box::new(connected.map_err(|error| failed(error.to_string()))?)))
    }
}

pub(super) fn contains(network: IpAddr, bits: u8, ip: IpAddr) -> bool {
    match (network, ip.to_canonical()) {
        (IpAddr::V4(network), IpAddr::V4(ip)) => {
            let mask = u32::MAX.checked_shl(32_u32.saturating_sub(bits.into())).unwrap_or(0);
            u32::from(network) & mask == u32::from(ip) & mask
        }
        (IpAddr::V6(network), IpAddr::V6(ip)) => {
            let mask = u128::MAX.checked_shl(128_u32.saturating_sub(bits.into())).unwrap_or(0);
            u128::from(network) & mask == u128::from(ip) & mask
        }
        _ => false,
    }
}

impl tower_service::Service<Uri> for Dialler {
    type Response = TokioIo<Stream>;
    type Error = NotReached;
    type Future = Pin<Box<dyn Future<Output = Result<TokioIo<Stream>, NotReached>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), NotReached>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let dialler = self.clone();
        Box::pin(async move { dialler.dial(uri).await.map(TokioIo::new) })
    }
}

/// A connection to a host.
pub(crate) enum Stream {
    Plain(TcpStream),
    Prior(Prior),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Connection for Stream {
    fn connected(&self) -> Connected {
        match self {
            Self::Plain(_) | Self::Prior(_) => Connected::new(),
            Self::Tls(stream) if stream.get_ref().1.alpn_protocol() == Some(b"h2") => {
                Connected::new().negotiated_h2()
            }
            Self::Tls(_) => Connected::new(),
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Prior(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Prior(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Self::Prior(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Prior(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[std::io::IoSlice<'_>],
    ) -> Poll<std::io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
            Self::Prior(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
            Self::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(stream) => stream.is_write_vectored(),
            Self::Prior(stream) => stream.is_write_vectored(),
            Self::Tls(stream) => stream.is_write_vectored(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_contains_its_addresses_and_no_others() {
        let ip = |text: &str| text.parse::<IpAddr>().expect("an address");
        assert!(contains(ip("10.1.0.0"), 16, ip("10.1.255.3")));
        assert!(!contains(ip("10.1.0.0"), 16, ip("10.2.0.1")));
        assert!(contains(ip("10.1.0.0"), 16, ip("::ffff:10.1.2.3")), "the same address");
        assert!(contains(ip("0.0.0.0"), 0, ip("203.0.113.9")));
        assert!(!contains(ip("0.0.0.0"), 0, ip("::1")));
        assert!(
            contains(ip("fd00::"), 8, ip("fd12::1")) && !contains(ip("fd00::"), 8, ip("fe80::1"))
        );
        assert!(contains(ip("127.0.0.1"), 32, ip("127.0.0.1")));
        assert!(!contains(ip("127.0.0.1"), 32, ip("127.0.0.2")));
    }
}
