//! A client that sends exactly the frames of HTTP/2 that it is told to (RFC 9113), and fields in
//! exactly the form it is told to (RFC 7541).

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rustls::{ClientConnection, StreamOwned};

use crate::web::raw::{Trust, credentials, hello};

/// How long an answer is waited for. Nothing that goes well takes so long.
const PATIENCE: Duration = Duration::from_secs(10);
/// How a client begins.
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Types of frames.
pub mod kind {
    #![expect(missing_docs, reason = "the names of RFC 9113 section 6")]
    pub const DATA: u8 = 0;
    pub const HEADERS: u8 = 1;
    pub const PRIORITY: u8 = 2;
    pub const RST_STREAM: u8 = 3;
    pub const SETTINGS: u8 = 4;
    pub const PUSH_PROMISE: u8 = 5;
    pub const PING: u8 = 6;
    pub const GOAWAY: u8 = 7;
    pub const WINDOW_UPDATE: u8 = 8;
    pub const CONTINUATION: u8 = 9;
}

/// Flags of frames.
pub mod flag {
    #![expect(missing_docs, reason = "the names of RFC 9113 section 6")]
    pub const NONE: u8 = 0;
    pub const ACK: u8 = 1;
    pub const END_STREAM: u8 = 1;
    pub const END_HEADERS: u8 = 4;
    pub const PADDED: u8 = 8;
    pub const PRIORITY: u8 = 0x20;
    /// A head that is all of a request.
    pub const WHOLE: u8 = END_STREAM | END_HEADERS;
}

/// Codes of errors.
pub mod code {
    #![expect(missing_docs, reason = "the names of RFC 9113 section 7")]
    pub const NO_ERROR: u32 = 0;
    pub const PROTOCOL_ERROR: u32 = 1;
    pub const FLOW_CONTROL_ERROR: u32 = 3;
    pub const STREAM_CLOSED: u32 = 5;
    pub const FRAME_SIZE_ERROR: u32 = 6;
    pub const REFUSED_STREAM: u32 = 7;
    pub const CANCEL: u32 = 8;
    pub const COMPRESSION_ERROR: u32 = 9;
    pub const ENHANCE_YOUR_CALM: u32 = 11;
}

/// A way to the gateway.
#[derive(Clone, Debug)]
pub enum Road {
    /// Its reverse face, in clear text: this address, token, resource.
    Reverse(SocketAddr, String, &'static str),
    /// The same inside TLS.
    ReverseTls(SocketAddr, String, &'static str),
    /// Its proxy, spoken to in HTTP/2 itself: for this host.
    Proxy(SocketAddr, String, &'static str),
    /// A tunnel to this host through its proxy, with TLS inside.
    Tunnel(SocketAddr, String, &'static str),
}

impl Road {
    /// For people.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Reverse(..) => "reverse",
            Self::ReverseTls(..) => "reverse, TLS",
            Self::Proxy(..) => "proxy",
            Self::Tunnel(..) => "tunnel, TLS",
        }
    }

    /// The pseudo-header fields of a request, and the one that proves who asks.
    #[must_use]
    pub fn fields(&self, method: &str, path: &str) -> Vec<(String, String)> {
        let (scheme, authority, path, proof) = match self {
            Self::Reverse(_, token, resource) | Self::ReverseTls(_, token, resource) => {
                let tls = matches!(self, Self::ReverseTls(..));
                let proof = ("authorization", format!("Bearer {token}"));
                let scheme = if tls { "https" } else { "http" };
                (scheme, "gateway.test", format!("/r/{resource}{path}"), Some(proof))
            }
            Self::Proxy(_, token, host) => {
                ("http", *host, path.to_owned(), Some(("proxy-authorization", credentials(token))))
            }
            Self::Tunnel(_, _, host) => ("https", *host, path.to_owned(), None),
        };
        let pseudo = [
            (":method", method.to_owned()),
            (":scheme", scheme.to_owned()),
            (":authority", authority.to_owned()),
            (":path", path),
        ];
        pseudo.into_iter().chain(proof).map(|(name, value)| (name.to_owned(), value)).collect()
    }
}

trait Both: Read + Write + Send {}
impl<T: Read + Write + Send> Both for T {}

/// A frame that came.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Frame {
    /// Its type.
    pub kind: u8,
    /// Its flags.
    pub flags: u8,
    /// Its stream.
    pub stream: u32,
    /// What it holds.
    pub payload: Vec<u8>,
}

impl Frame {
    /// The code of a frame that says an error.
    #[must_use]
    pub fn code(&self) -> u32 {
        let at = if self.kind == kind::GOAWAY { 4 } else { 0 };
        let bytes = self.payload.get(at..at + 4).and_then(|bytes| bytes.try_into().ok());
        bytes.map_or(u32::MAX, u32::from_be_bytes)
    }
}

/// How the gateway answered.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Outcome {
    /// With an answer of this status.
    Answered(u16),
    /// It goes on as if nothing were wrong.
    Unmoved,
    /// It ended the stream.
    StreamError(u32),
    /// It ended the connection, saying why.
    ConnectionError(u32),
    /// It ended the connection without a word.
    Closed,
}

/// A client on one connection.
pub struct Peer {
    stream: Box<dyn Both>,
    /// How its requests have to look.
    pub road: Road,
    /// What came and was not asked for yet.
    heard: std::collections::VecDeque<Frame>,
    /// Nothing can be sent any more.
    broken: bool,
}

impl std::fmt::Debug for Peer {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Peer").field("road", &self.road).finish_non_exhaustive()
    }
}

impl Peer {
    /// A connection on which nothing was said yet.
    ///
    /// # Errors
    /// The gateway does not take it.
    pub fn silent(road: &Road) -> Result<Self> {
        let (Road::Reverse(address, ..)
        | Road::ReverseTls(address, ..)
        | Road::Proxy(address, ..)
        | Road::Tunnel(address, ..)) = road;
        let mut stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let name = match road {
            Road::Reverse(..) | Road::Proxy(..) => None,
            Road::ReverseTls(..) => Some("localhost"),
            Road::Tunnel(_, token, host) => {
                let proof = credentials(token);
                write!(
                    stream,
                    "CONNECT {host}:443 HTTP/1.1\r\nHost: {host}:443\r\nProxy-Authorization: \
                     {proof}\r\n\r\n"
                )?;
                let mut granted = Vec::new();
                let mut byte = [0];
                while !granted.ends_with(b"\r\n\r\n") {
                    stream.read_exact(&mut byte).context("the tunnel")?;
                    granted.extend(byte);
                }
                ensure!(granted.starts_with(b"HTTP/1.1 200"), "the tunnel was not granted");
                Some(*host)
            }
        };
        let stream: Box<dyn Both> = match name {
            None => Box::new(stream),
            Some(name) => {
                let (config, name) = hello(Some(name), &Trust::Anyone, b"h2")?;
                let session = ClientConnection::new(Arc::new(config), name)?;
                let mut stream = StreamOwned::new(session, stream);
                while stream.conn.is_handshaking() {
                    stream.conn.complete_io(&mut stream.sock).context("TLS handshake")?;
                }
                ensure!(stream.conn.alpn_protocol() == Some(b"h2"), "HTTP/2 is not spoken");
                Box::new(stream)
            }
        };
        let heard = std::collections::VecDeque::new();
        Ok(Self { stream, road: road.clone(), heard, broken: false })
    }

    /// A connection on which both sides have said how they begin. Nothing that comes on it refers to
    /// an earlier field, so that statuses can be read.
    ///
    /// # Errors
    /// They have not.
    pub fn begin(road: &Road) -> Result<Self> {
        let mut peer = Self::silent(road)?;
        peer.raw(PREFACE);
        peer.settings(&[(1, 0)]);
        let first = peer.read().context("the gateway's preface")?;
        ensure!(first.kind == kind::SETTINGS && first.flags == 0, "begins with {first:?}");
        peer.frame(kind::SETTINGS, flag::ACK, 0, &[]);
        Ok(peer)
    }

    /// Sends these bytes.
    pub fn raw(&mut self, bytes: &[u8]) {
        // One that is closed already says so when it is read.
        self.broken |= self.stream.write_all(bytes).and_then(|()| self.stream.flush()).is_err();
    }

    /// Sends a frame.
    pub fn frame(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        self.raw(&frame(kind, flags, stream, payload));
    }

    /// Sends settings.
    pub fn settings(&mut self, settings: &[(u16, u32)]) {
        let mut payload = Vec::new();
        for (name, value) in settings {
            payload.extend(name.to_be_bytes());
            payload.extend(value.to_be_bytes());
        }
        self.frame(kind::SETTINGS, flag::NONE, 0, &payload);
    }

    /// Sends the head of a request for `path`, the last piece of it too.
    pub fn head(&mut self, stream: u32, flags: u8, method: &str, path: &str) {
        let block = block(&self.road.fields(method, path));
        self.frame(kind::HEADERS, flags, stream, &block);
    }

    /// Sends a whole request.
    pub fn get(&mut self, stream: u32) {
        self.head(stream, flag::WHOLE, "GET", "/fine");
    }

    /// Begins a request whose body follows.
    pub fn post(&mut self, stream: u32) {
        self.head(stream, flag::END_HEADERS, "POST", "/fine");
    }

    /// Sends some of a body.
    pub fn data(&mut self, stream: u32, flags: u8, bytes: &[u8]) {
        self.frame(kind::DATA, flags, stream, bytes);
    }

    /// The next frame; `None` when the connection is over.
    ///
    /// # Errors
    /// Nothing comes in time.
    fn next(&mut self) -> Result<Option<Frame>> {
        if let Some(frame) = self.heard.pop_front() {
            return Ok(Some(frame));
        }
        let mut head = [0; 9];
        if !self.fill(&mut head)? {
            return Ok(None);
        }
        let [high, middle, low, kind, flags, stream @ ..] = head;
        let length = usize::try_from(u32::from_be_bytes([0, high, middle, low]))?;
        let mut payload = vec![0; length];
        if !self.fill(&mut payload)? {
            return Ok(None);
        }
        let stream = u32::from_be_bytes(stream) & 0x7fff_ffff;
        Ok(Some(Frame { kind, flags, stream, payload }))
    }

    fn fill(&mut self, buffer: &mut [u8]) -> Result<bool> {
        use std::io::ErrorKind::{TimedOut, WouldBlock};
        match self.stream.read_exact(buffer) {
            Ok(()) => Ok(true),
            Err(error) if matches!(error.kind(), TimedOut | WouldBlock) => {
                Err(error).context("nothing comes")
            }
            Err(_) => Ok(false),
        }
    }

    /// The next frame.
    ///
    /// # Errors
    /// There is none.
    pub fn read(&mut self) -> Result<Frame> {
        self.next()?.context("the connection is over")
    }

    /// Waits for a frame of this type and stream, and gives what came before it as well.
    ///
    /// # Errors
    /// The connection ends first.
    pub fn read_until(&mut self, kind: u8, stream: u32) -> Result<Vec<Frame>> {
        let mut all = Vec::new();
        loop {
            let frame = self.read().with_context(|| format!("after {all:?}"))?;
            let found = frame.kind == kind && frame.stream == stream;
            all.push(frame);
            if found {
                return Ok(all);
            }
        }
    }

    /// Waits until a stream has ended, and keeps what came.
    ///
    /// # Errors
    /// The connection ends first.
    pub fn finished(&mut self, stream: u32) -> Result<Vec<Frame>> {
        let mut all = Vec::new();
        loop {
            let frame = self.read().with_context(|| format!("after {all:?}"))?;
            let ends = matches!(frame.kind, kind::DATA | kind::HEADERS)
                && frame.flags & flag::END_STREAM != 0;
            let ends = frame.stream == stream && (ends || frame.kind == kind::RST_STREAM);
            all.push(frame);
            if ends {
                return Ok(all);
            }
        }
    }

    /// What comes of all that was sent: the answer to `stream`, an error, or nothing.
    ///
    /// # Errors
    /// Nothing comes in time.
    pub fn outcome(&mut self, stream: u32, whole: bool) -> Result<Outcome> {
        // Errors of streams may wait behind the first acknowledgement, but not behind the second.
        let mut pings = 0_u8;
        if !whole {
            self.frame(kind::PING, flag::NONE, 0, b"barrier0");
        }
        loop {
            let Some(frame) = self.next()? else { return Ok(Outcome::Closed) };
            match frame.kind {
                kind::GOAWAY if frame.code() != code::NO_ERROR => {
                    return Ok(Outcome::ConnectionError(frame.code()));
                }
                kind::RST_STREAM if frame.stream == stream => {
                    return Ok(Outcome::StreamError(frame.code()));
                }
                kind::HEADERS if frame.stream == stream && whole => {
                    return Ok(Outcome::Answered(status(&frame.payload)));
                }
                kind::PING if frame.flags & flag::ACK != 0 && frame.payload == b"barrier0" => {
                    if pings == 1 {
                        return Ok(Outcome::Unmoved);
                    }
                    pings = 1;
                    self.frame(kind::PING, flag::NONE, 0, b"barrier0");
                }
                _ => {}
            }
        }
    }
}

/// A frame as it is sent.
#[must_use]
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap_or(u32::MAX).to_be_bytes();
    let mut bytes = Vec::with_capacity(9 + payload.len());
    bytes.extend(length.iter().skip(1));
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// Fields, each as a literal that is not to be remembered, without Huffman's code.
#[must_use]
pub fn block<N: AsRef<[u8]>, V: AsRef<[u8]>>(fields: &[(N, V)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        string(&mut block, name.as_ref());
        string(&mut block, value.as_ref());
    }
    block
}

/// A string, RFC 7541 section 5.2.
pub fn string(block: &mut Vec<u8>, bytes: &[u8]) {
    number(block, 7, 0, bytes.len());
    block.extend(bytes);
}

/// An integer with so many bits in its first byte, RFC 7541 section 5.1.
pub fn number(block: &mut Vec<u8>, bits: u32, begins: u8, mut value: usize) {
    let most = (1_usize << bits) - 1;
    if value < most {
        block.push(begins | u8::try_from(value).unwrap_or(0));
        return;
    }
    block.push(begins | u8::try_from(most).unwrap_or(0));
    value -= most;
    while value >= 128 {
        block.push(u8::try_from(value % 128).unwrap_or(0) | 0x80);
        value /= 128;
    }
    block.push(u8::try_from(value).unwrap_or(0));
}

/// The status in the first field of a block that refers to nothing that came before it; 0 where it is
/// something else.
fn status(block: &[u8]) -> u16 {
    let mut rest = block;
    // A change of the table's size.
    while let [first @ 0x20..=0x3f, after @ ..] = rest {
        rest = after;
        if first & 0x1f == 0x1f {
            let long = rest.iter().take_while(|byte| **byte & 0x80 != 0).count();
            rest = rest.get(long + 1..).unwrap_or_default();
        }
    }
    const KNOWN: [u16; 7] = [200, 204, 206, 304, 400, 404, 500];
    match rest {
        [first @ 0x88..=0x8e, ..] => KNOWN.get(usize::from(first - 0x88)).copied().unwrap_or(0),
        // Named by an entry of the static table whose name is `:status`.
        [0x08 | 0x18 | 0x48, length, value @ ..] => {
            let bytes = value.get(..usize::from(length & 0x7f)).unwrap_or_default();
            digits(bytes, length & 0x80 != 0).parse().unwrap_or(0)
        }
        _ => 0,
    }
}

/// Digits, in Huffman's code (RFC 7541 appendix B) or not.
fn digits(bytes: &[u8], coded: bool) -> String {
    if !coded {
        return String::from_utf8_lossy(bytes).into_owned();
    }
    let bits: String = bytes.iter().map(|byte| format!("{byte:08b}")).collect();
    let mut rest = bits.as_str();
    let mut text = String::new();
    let codes = ["00000", "00001", "00010", "011001", "011010", "011011", "011100", "011101"];
    let codes = [&codes[..], &["011110", "011111"]].concat();
    while let Some(digit) = codes.iter().position(|code| rest.starts_with(code)) {
        text.push_str(&digit.to_string());
        rest = codes.get(digit).and_then(|code| rest.strip_prefix(code)).unwrap_or_default();
    }
    text
}
