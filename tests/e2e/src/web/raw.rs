//! A client that sends exactly the bytes it is given.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme, StreamOwned};

use crate::web::http2;

/// How long one answer is waited for.
const PATIENCE: Duration = Duration::from_secs(10);

/// Whose certificates a client believes.
#[derive(Clone, Debug)]
pub enum Trust {
    /// Those of the authority in this file.
    File(PathBuf),
    /// Anybody's, as who wants to send something away does.
    Anyone,
}

/// A way to a server, perhaps through a proxy, perhaps inside TLS.
#[derive(Clone, Debug)]
pub struct RawHttp {
    address: SocketAddr,
    tunnel: Option<String>,
    tls: Option<(Option<String>, Trust)>,
    patience: Duration,
    http2: bool,
    eager: bool,
}

/// What came back.
#[derive(Clone, Debug, Default)]
pub struct Reply {
    /// Every byte of it.
    pub bytes: Vec<u8>,
}

impl Reply {
    /// As text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }

    /// The status of the last answer in it; 0 when there is none.
    #[must_use]
    pub fn status(&self) -> u16 {
        answers(&self.bytes, false).0
    }

    /// What a field of the last answer says.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<String> {
        let text = self.text();
        let at = text.rfind("HTTP/1.")?;
        let head = text.get(at..)?.split("\r\n\r\n").next()?;
        let mut fields = head.split("\r\n").skip(1).filter_map(|line| line.split_once(':'));
        let found = fields.find(|(found, _)| found.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.trim().to_owned())
    }
}

/// The fields of a message, in order.
type Fields = Vec<(String, String)>;

impl Reply {
    /// The last answer in it: status, fields, body without chunks, trailers.
    #[must_use]
    pub fn parts(&self) -> (u16, Fields, Vec<u8>, Fields) {
        let mut rest = self.bytes.as_slice();
        while let Some((status @ ..200, after)) = one_answer(rest, false) {
            if status == 101 {
                break;
            }
            rest = after;
        }
        let end = rest.windows(4).position(|four| four == b"\r\n\r\n").unwrap_or(rest.len());
        let (head, body) = rest.split_at_checked(end).unwrap_or((rest, &[]));
        let body = body.get(4..).unwrap_or_default();
        let head = String::from_utf8_lossy(head).into_owned();
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
        let fields = fields(head.split_once("\r\n").unwrap_or_default().1);
        let is_chunked = |(name, value): &(String, String)| {
            name.eq_ignore_ascii_case("transfer-encoding") && value.ends_with("chunked")
        };
        if !fields.iter().any(is_chunked) {
            return (status, fields, body.to_vec(), Vec::new());
        }
        let (data, trailers) = unchunked(body).unwrap_or_default();
        (status, fields, data, trailers)
    }
}

fn fields(text: &str) -> Fields {
    let lines = text.split("\r\n").filter_map(|line| line.split_once(':'));
    lines.map(|(name, value)| (name.to_owned(), value.trim().to_owned())).collect()
}

/// What is in the chunks and the fields after them, once both are whole.
fn unchunked(body: &[u8]) -> Option<(Vec<u8>, Fields)> {
    let (mut rest, mut data) = (body, Vec::new());
    loop {
        let end = rest.windows(2).position(|two| two == b"\r\n")?;
        let size = std::str::from_utf8(rest.get(..end)?).ok()?;
        let size = usize::from_str_radix(size.split(';').next()?.trim(), 16).ok()?;
        let (chunk, after) = rest.get(end + 2..)?.split_at_checked(size)?;
        if size == 0 {
            let text = String::from_utf8_lossy(after);
            let end = if text.starts_with("\r\n") { 0 } else { text.find("\r\n\r\n")? };
            return Some((data, fields(text.get(..end)?)));
        }
        data.extend_from_slice(chunk);
        rest = after.strip_prefix(b"\r\n")?;
    }
}

impl RawHttp {
    /// To this address.
    #[must_use]
    pub const fn to(address: SocketAddr) -> Self {
        Self { address, tunnel: None, tls: None, patience: PATIENCE, http2: false, eager: false }
    }

    /// Through a tunnel that the address is asked for, as whoever has this token.
    #[must_use]
    pub fn tunnel(mut self, target: &str, token: &str) -> Self {
        let head = format!(
            "CONNECT {target} HTTP/1.1\r\nHost: {target}\r\nProxy-Authorization: {}\r\n\r\n",
            credentials(token)
        );
        self.tunnel = Some(head);
        self
    }

    /// Inside TLS, with this name in the hello, or none.
    #[must_use]
    pub fn tls(mut self, name: Option<&str>, trust: Trust) -> Self {
        self.tls = Some((name.map(str::to_owned), trust));
        self
    }

    /// Speaks HTTP/2 inside TLS. What is sent is written as HTTP/1.1 all the same; a line
    /// `:authority: …` says another authority than `Host`, and `~name: value` is a trailer.
    #[must_use]
    pub const fn http2(mut self) -> Self {
        self.http2 = true;
        self
    }

    /// Begins TLS in the tunnel before that is granted, in the same write. Where it is refused, all
    /// that comes until the connection is closed is the answer.
    #[must_use]
    pub const fn eager(mut self) -> Self {
        self.eager = true;
        self
    }

    /// Waits this long for each answer.
    #[must_use]
    pub const fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Sends each stage after an answer to the one before came, or its time is over, and gives
    /// everything that came back.
    ///
    /// A tunnel that was not granted is an answer, not an error; nothing else is sent then. So is a
    /// connection that is closed early.
    ///
    /// # Errors
    /// The address does not take the connection, or TLS fails.
    pub fn send(&self, stages: &[Vec<u8>]) -> Result<Reply> {
        if let (true, Some((name, trust))) = (self.http2, &self.tls) {
            let tls = hello(name.as_deref(), trust, b"h2")?;
            let tunnel = self.tunnel.as_deref();
            return http2::send(self.address, tunnel, tls, stages, self.patience);
        }
        let mut stream = TcpStream::connect(self.address).context("connect")?;
        stream.set_nodelay(true)?;
        stream.set_write_timeout(Some(self.patience))?;
        let tls = self.tls.as_ref().map(|(name, trust)| hello(name.as_deref(), trust, b"http/1.1"));
        let mut session = match tls.transpose()? {
            Some((config, name)) => Some(ClientConnection::new(Arc::new(config), name)?),
            None => None,
        };
        if let Some(head) = &self.tunnel {
            let mut first = head.clone().into_bytes();
            if let Some(session) = session.as_mut().filter(|_| self.eager) {
                session.write_tls(&mut first)?;
            }
            stream.write_all(&first)?;
            let granted = |bytes: &[u8]| (200..300).contains(&answers(bytes, true).0);
            let enough = |bytes: &[u8]| granted(bytes) || answers(bytes, false).1 > 0;
            let mut reply = self.read(&mut stream, enough)?;
            if !granted(&reply.bytes) {
                if self.eager {
                    // What it makes of the rest that it has.
                    reply.bytes.extend(self.read(&mut stream, |_| false)?.bytes);
                }
                return Ok(reply);
            }
            let end = reply.bytes.windows(4).position(|four| four == b"\r\n\r\n");
            // What the other side already said inside of the tunnel.
            let mut inside = reply.bytes.get(end.unwrap_or_default() + 4..).unwrap_or_default();
            if let Some(session) = &mut session {
                while !inside.is_empty() {
                    session.read_tls(&mut inside)?;
                    session.process_new_packets()?;
                }
            }
        }
        let Some(session) = session else {
            return self.converse(&mut stream, stages);
        };
        stream.set_read_timeout(Some(self.patience))?;
        let mut stream = StreamOwned::new(session, stream);
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock).context("TLS handshake")?;
        }
        self.converse(&mut stream, stages)
    }

    fn converse<S: Read + Write + Timed>(
        &self,
        stream: &mut S,
        stages: &[Vec<u8>],
    ) -> Result<Reply> {
        let mut all = Reply::default();
        for stage in stages {
            let head = stage.starts_with(b"HEAD ");
            // A server that has answered may close before it has read everything.
            let written = stream.write_all(stage).and_then(|()| stream.flush());
            let reply = self.read(stream, |bytes| answers(bytes, head).1 > 0)?;
            let over = reply.bytes.is_empty();
            all.bytes.extend_from_slice(&reply.bytes);
            if written.is_err() || over {
                break;
            }
        }
        Ok(all)
    }

    /// Reads until there is enough, or no more comes.
    fn read<S: Read + Timed>(
        &self,
        stream: &mut S,
        enough: impl Fn(&[u8]) -> bool,
    ) -> Result<Reply> {
        let start = Instant::now();
        let mut reply = Reply::default();
        let mut buffer = vec![0; 16 * 1024];
        while !enough(&reply.bytes) {
            let left = self.patience.saturating_sub(start.elapsed());
            if left.is_zero() {
                break;
            }
            stream.wait_at_most(left)?;
            match stream.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => reply.bytes.extend(buffer.get(..count).unwrap_or_default()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
        Ok(reply)
    }
}

/// What proves to a proxy who asks.
#[must_use]
pub fn credentials(token: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("narrows:{token}")))
}

trait Timed {
    fn wait_at_most(&self, time: Duration) -> std::io::Result<()>;
}

impl Timed for TcpStream {
    fn wait_at_most(&self, time: Duration) -> std::io::Result<()> {
        self.set_read_timeout(Some(time))
    }
}

impl Timed for StreamOwned<ClientConnection, TcpStream> {
    fn wait_at_most(&self, time: Duration) -> std::io::Result<()> {
        self.sock.set_read_timeout(Some(time))
    }
}

/// The status of the last whole answer, and how many whole ones there are. `100 Continue` is none.
pub(crate) fn answers(bytes: &[u8], to_head: bool) -> (u16, usize) {
    let (mut rest, mut status, mut count) = (bytes, 0, 0);
    while let Some((found, after)) = one_answer(rest, to_head) {
        rest = after;
        if found >= 200 || found == 101 {
            (status, count) = (found, count + 1);
        }
    }
    (status, count)
}

/// The status of the answer at the start, and what comes after it, where it is whole.
fn one_answer(bytes: &[u8], to_head: bool) -> Option<(u16, &[u8])> {
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")?;
    let (head, after) = bytes.split_at_checked(end + 4)?;
    let head = String::from_utf8_lossy(head).to_ascii_lowercase();
    let status: u16 = head.split(' ').nth(1)?.parse().ok()?;
    if to_head || status < 200 || matches!(status, 204 | 304) {
        return Some((status, after));
    }
    let field = |name: &str| {
        let mut lines = head.split("\r\n").filter_map(|line| line.split_once(':'));
        lines.find(|(found, _)| *found == name).map(|(_, value)| value.trim().to_owned())
    };
    if field("transfer-encoding").is_some_and(|encoding| encoding.ends_with("chunked")) {
        // Nothing comes after it: an answer of unknown length is the last one asked for.
        return unchunked(after).map(|_| (status, &[][..]));
    }
    match field("content-length") {
        Some(length) => Some((status, after.get(length.parse().ok()?..)?)),
        // The answer to a tunnel has no body; any other goes on until the connection ends.
        None if status == 200 && !head.contains("content-type") => Some((status, after)),
        None => None,
    }
}

/// How TLS begins, and for whom.
pub(crate) fn hello(
    name: Option<&str>,
    trust: &Trust,
    protocol: &[u8],
) -> Result<(ClientConfig, ServerName<'static>)> {
    let mut config = client(trust)?;
    config.enable_sni = name.is_some();
    config.alpn_protocols = vec![protocol.to_vec()];
    Ok((config, ServerName::try_from(name.unwrap_or("nobody.invalid").to_owned())?))
}

fn client(trust: &Trust) -> Result<ClientConfig> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()?;
    Ok(match trust {
        Trust::File(path) => {
            let mut roots = rustls::RootCertStore::empty();
            for certificate in CertificateDer::pem_file_iter(path).context("read the CA")? {
                roots.add(certificate?)?;
            }
            builder.with_root_certificates(roots).with_no_client_auth()
        }
        Trust::Anyone => builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Believer(provider)))
            .with_no_client_auth(),
    })
}

/// Believes every certificate.
#[derive(Debug)]
struct Believer(Arc<rustls::crypto::CryptoProvider>);

impl ServerCertVerifier for Believer {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
