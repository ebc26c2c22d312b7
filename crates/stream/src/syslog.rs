//! Syslog: messages of RFC 5424 over TCP with octet counting (RFC 6587, section 3.4.1), inside TLS
//! as RFC 5425 has it.
//!
//! There are no receipts. What was written counts as received when the connection was still open
//! [`SETTLES`] later, and the connection ends when the server's machine leaves what was written
//! unacknowledged for [`UNACKNOWLEDGED_MAX`]. There is no UDP: it would lose events unseen.

use std::fmt::{self, Write as _};
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream, ToSocketAddrs as _};
use std::sync::Arc;
use std::time::{Duration, Instant};

use model::limit::SYSLOG_MESSAGE_BYTES_MAX;
use rustls::{ClientConfig, ClientConnection, StreamOwned};
use rustls_pki_types::ServerName;
use serde_json::Value;
use socket2::SockRef;

use crate::item::{Item, Severity, rfc3339};
use crate::sink::{SendError, Sink, UnusableSink};
use crate::trust::Trust;

/// How long a connection must stay open behind what was written.
const SETTLES: Duration = Duration::from_secs(15);
/// How long the other machine may leave bytes unacknowledged.
const UNACKNOWLEDGED_MAX: Duration = Duration::from_secs(10);
const CONNECT: Duration = Duration::from_secs(10);
/// How long the server may take no bytes, or be silent in a handshake.
const STALLED_MAX: Duration = Duration::from_secs(30);
/// How long the server may take to close after us.
const GOODBYE: Duration = Duration::from_secs(2);
const CLOSED: &str = "the server closed the connection";
/// "log audit", RFC 5424, table 1.
const FACILITY: u8 = 13;
/// RFC 5612 keeps this enterprise number for documentation; Narrows has none of its own.
const SD_ID: &str = "narrows@32473";
/// Bytes of one value of the structured data; the JSON behind it has the whole.
const VALUE_BYTES_MAX: usize = 256;

/// One syslog server.
pub struct Syslog {
    host: String,
    port: u16,
    tls: Option<(Arc<ClientConfig>, ServerName<'static>)>,
    settles: Duration,
    connection: Option<Connection>,
}

enum Connection {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Syslog {
    /// Prepares for the server at `host` and `port`: inside TLS, believing `trust`, or in clear
    /// text.
    ///
    /// # Errors
    ///
    /// When the name cannot be that of a certificate, or there is nothing to trust.
    pub fn new(host: &str, port: u16, trust: Option<&Trust>) -> Result<Self, UnusableSink> {
        let tls = match trust {
            None => None,
            Some(trust) => {
                let name = ServerName::try_from(host.to_owned())
                    .map_err(|_| UnusableSink(format!("{host} cannot be in a certificate")))?;
                Some((trust.of_tls()?, name))
            }
        };
        Ok(Self { host: host.to_owned(), port, tls, settles: SETTLES, connection: None })
    }

    /// The same with another time for what was written to count as received.
    #[must_use]
    pub fn settling(mut self, settles: Duration) -> Self {
        self.settles = settles;
        self
    }

    fn connect(&self) -> io::Result<Connection> {
        let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
        for address in (self.host.as_str(), self.port).to_socket_addrs()? {
            match TcpStream::connect_timeout(&address, CONNECT) {
                Ok(socket) => return self.connected(socket),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    fn connected(&self, socket: TcpStream) -> io::Result<Connection> {
        socket.set_read_timeout(Some(STALLED_MAX))?;
        socket.set_write_timeout(Some(STALLED_MAX))?;
        let options = SockRef::from(&socket);
        options.set_tcp_user_timeout(Some(UNACKNOWLEDGED_MAX))?;
        options.set_keepalive(true)?;
        let Some((config, name)) = &self.tls else { return Ok(Connection::Plain(socket)) };
        let client = ClientConnection::new(Arc::clone(config), name.clone());
        let mut stream = StreamOwned::new(client.map_err(io::Error::other)?, socket);
        while stream.conn.is_handshaking() {
            if stream.conn.complete_io(&mut stream.sock)? == (0, 0) {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(Connection::Tls(Box::new(stream)))
    }

    fn away(&mut self, error: &io::Error) -> SendError {
        self.connection = None;
        match error.kind() {
            // A server of TLS that ends has no time for a goodbye.
            io::ErrorKind::UnexpectedEof => SendError::away(CLOSED),
            _ => SendError::away(error.to_string()),
        }
    }
}

impl Connection {
    fn socket(&self) -> &TcpStream {
        match self {
            Self::Plain(socket) => socket,
            Self::Tls(stream) => &stream.sock,
        }
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Plain(socket) => socket.write_all(bytes),
            Self::Tls(stream) => stream.write_all(bytes).and_then(|()| stream.flush()),
        }
    }

    /// Takes what the server says, which means nothing, until there is no more; `false`: it closed.
    fn listen(&mut self) -> io::Result<bool> {
        let mut buffer = [0; 1024];
        loop {
            let read = match self {
                Self::Plain(socket) => socket.read(&mut buffer),
                Self::Tls(stream) => stream.read(&mut buffer),
            };
            match read {
                Ok(0) => return Ok(false),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error)
                    if matches!(
                        error.kind(),
                        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
                    ) =>
                {
                    return Ok(true);
                }
                Err(error) => return Err(error),
            }
        }
    }

    fn is_open(&mut self) -> io::Result<bool> {
        self.socket().set_nonblocking(true)?;
        let open = self.listen();
        self.socket().set_nonblocking(false)?;
        open
    }
}

impl Sink for Syslog {
    fn send(&mut self, batch: &[Item]) -> Result<(), SendError> {
        let mut frames = Vec::new();
        for item in batch {
            let message = message(item);
            frames.extend_from_slice(format!("{} ", message.len()).as_bytes());
            frames.extend_from_slice(message.as_bytes());
        }
        let connection = match self.connection.take() {
            Some(connection) => connection,
            None => self.connect().map_err(|error| self.away(&error))?,
        };
        let written = self.connection.insert(connection).write(&frames);
        written.map_err(|error| self.away(&error))
    }

    fn settles(&self) -> Duration {
        self.settles
    }

    fn check(&mut self) -> Result<(), SendError> {
        match self.connection.as_mut().map(Connection::is_open) {
            None | Some(Ok(true)) => Ok(()),
            Some(Ok(false)) => {
                self.connection = None;
                Err(SendError::away(CLOSED))
            }
            Some(Err(error)) => Err(self.away(&error)),
        }
    }

    /// A server that closes after us has read everything before.
    fn close(&mut self) -> bool {
        let Some(mut connection) = self.connection.take() else { return false };
        if let Connection::Tls(stream) = &mut connection {
            stream.conn.send_close_notify();
            if stream.conn.complete_io(&mut stream.sock).is_err() {
                return false;
            }
        }
        let socket = connection.socket();
        let ready = socket.shutdown(Shutdown::Write).is_ok()
            && socket.set_read_timeout(Some(Duration::from_millis(100))).is_ok();
        let begun = Instant::now();
        while ready && begun.elapsed() < GOODBYE {
            match connection.listen() {
                Ok(true) => {}
                Ok(false) => return true,
                // A server of TLS may close without a word of goodbye.
                Err(error) => return error.kind() == io::ErrorKind::UnexpectedEof,
            }
        }
        false
    }
}

impl fmt::Debug for Syslog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Syslog").field("host", &self.host).finish_non_exhaustive()
    }
}

/// One event as a message of RFC 5424, section 6, without its frame.
///
/// ```text
/// <108>1 2026-11-22T02:17:00.123456Z gw-1 narrows 4711 operation [narrows@32473 number="7" …] {…}
/// ```
fn message(item: &Item) -> String {
    let severity = match item.severity {
        Severity::Error => 3,
        Severity::Warning => 4,
        Severity::Notice => 5,
        Severity::Info => 6,
    };
    let mut text = format!(
        "<{}>1 {} {} narrows {} {} [{SD_ID} gateway=\"{}\" number=\"{}\"",
        FACILITY * 8 + severity,
        rfc3339(item.at, 6),
        word(&item.gateway, 255),
        std::process::id(),
        word(item.kind(), 32),
        value(&item.gateway),
        item.number,
    );
    for (name, of) in item.main_fields() {
        let of = match &of {
            Value::String(text) => value(text),
            other => value(&other.to_string()),
        };
        // Writing to a text does not fail.
        let _ = write!(text, " {name}=\"{of}\"");
    }
    text.push_str("] ");
    let left = SYSLOG_MESSAGE_BYTES_MAX.saturating_sub(text.len());
    text.push_str(&item.json_within(left));
    text
}

/// A field of the header: printable ASCII, no blanks, not empty.
fn word(text: &str, bytes_max: usize) -> String {
    let word: String = text.chars().filter(char::is_ascii_graphic).take(bytes_max).collect();
    if word.is_empty() { "-".to_owned() } else { word }
}

/// A value of the structured data: `"`, `\` and `]` escaped (section 6.3.3), no control characters.
fn value(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        if escaped.len() >= VALUE_BYTES_MAX {
            escaped.push('…');
            break;
        }
        match letter {
            '"' | '\\' | ']' => escaped.extend(['\\', letter]),
            letter if letter.is_control() => escaped.push(' '),
            letter => escaped.push(letter),
        }
    }
    escaped
}
