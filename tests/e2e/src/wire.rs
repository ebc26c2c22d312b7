//! A PostgreSQL client that shows every byte: for what drivers hide, and for what no driver sends.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, bail};

/// How long an answer may take.
const ANSWER_MAX: Duration = Duration::from_secs(90);
/// Bytes of received traffic that are kept for searching.
const KEPT_MAX: usize = 256 * 1024 * 1024;

/// A connection.
#[derive(Debug)]
pub struct Wire {
    stream: TcpStream,
    pending: Vec<u8>,
    received: Vec<u8>,
    key: Vec<u8>,
    parameters: Vec<(String, String)>,
}

/// A message of the server.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Message {
    /// Its type.
    pub tag: u8,
    /// What follows the length.
    pub body: Vec<u8>,
}

/// An `ErrorResponse` or `NoticeResponse`.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct PgError {
    /// `ERROR`, `FATAL`, `NOTICE`, …
    pub severity: String,
    /// SQLSTATE.
    pub code: String,
    /// The message.
    pub message: String,
    /// Everything, one field per line.
    pub all: String,
}

/// Everything up to a `ReadyForQuery`.
#[derive(Clone, Debug, Default)]
pub struct Reply {
    /// The messages, in order.
    pub messages: Vec<Message>,
    /// Transaction status of the `ReadyForQuery`: `I`, `T`, `E`.
    pub status: char,
}

impl Reply {
    /// The data rows; NULL is `None`.
    #[must_use]
    pub fn rows(&self) -> Vec<Vec<Option<Vec<u8>>>> {
        self.tagged(b'D').map(|message| row(&message.body)).collect()
    }

    /// The data rows as text; NULL is `∅`.
    #[must_use]
    pub fn text(&self) -> Vec<Vec<String>> {
        let value = |value: Option<Vec<u8>>| match value {
            Some(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            None => "∅".to_owned(),
        };
        self.rows().into_iter().map(|row| row.into_iter().map(value).collect()).collect()
    }

    /// The first error.
    #[must_use]
    pub fn error(&self) -> Option<PgError> {
        self.tagged(b'E').next().map(|message| report(&message.body))
    }

    /// The notices.
    #[must_use]
    pub fn notices(&self) -> Vec<PgError> {
        self.tagged(b'N').map(|message| report(&message.body)).collect()
    }

    /// The command tags.
    #[must_use]
    pub fn tags(&self) -> Vec<String> {
        let tag = |message: &Message| String::from_utf8_lossy(&message.body).replace('\0', "");
        self.tagged(b'C').map(tag).collect()
    }

    /// The types of all messages, in order.
    #[must_use]
    pub fn shape(&self) -> String {
        self.messages.iter().map(|message| char::from(message.tag)).collect()
    }

    fn tagged(&self, tag: u8) -> impl Iterator<Item = &Message> {
        self.messages.iter().filter(move |message| message.tag == tag)
    }
}

impl Wire {
    /// Logs in, with a password if one is asked for.
    ///
    /// # Errors
    /// The connection was refused; the server's words are in the message.
    pub fn connect(port: u16, user: &str, database: &str, password: &str) -> Result<Self> {
        Self::connect_with(port, &[("user", user), ("database", database)], password)
    }

    /// Logs in with these start-up parameters.
    ///
    /// # Errors
    /// The connection was refused; the server's words are in the message.
    pub fn connect_with(port: u16, start: &[(&str, &str)], password: &str) -> Result<Self> {
        let mut wire = Self::open(port)?;
        wire.send(&startup(196_608, start))?;
        loop {
            let message = wire.read()?;
            match message.tag {
                b'R' => match message.body.get(..4) {
                    Some([0, 0, 0, 0]) => {}
                    Some([0, 0, 0, 3]) => {
                        let mut body = password.as_bytes().to_vec();
                        body.push(0);
                        wire.send(&self::message(b'p', &body))?;
                    }
                    other => bail!("the server asks for a proof this client lacks: {other:?}"),
                },
                b'K' => wire.key = message.body,
                b'S' => {
                    let mut words = message.body.split(|byte| *byte == 0);
                    let mut word =
                        || String::from_utf8_lossy(words.next().unwrap_or_default()).into_owned();
                    let parameter = (word(), word());
                    wire.parameters.push(parameter);
                }
                b'Z' => return Ok(wire),
                b'E' => bail!("refused: {}", report(&message.body).all),
                _ => {}
            }
        }
    }

    /// Opens the connection and says nothing.
    ///
    /// # Errors
    /// Nobody listens.
    pub fn open(port: u16) -> Result<Self> {
        let stream = TcpStream::connect(("127.0.0.1", port)).context("connect")?;
        stream.set_read_timeout(Some(ANSWER_MAX))?;
        stream.set_write_timeout(Some(ANSWER_MAX))?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            pending: Vec::new(),
            received: Vec::new(),
            key: Vec::new(),
            parameters: Vec::new(),
        })
    }

    /// The cancel key.
    #[must_use]
    pub fn key(&self) -> &[u8] {
        &self.key
    }

    /// What the server reported at log-in.
    #[must_use]
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// Every byte received so far.
    #[must_use]
    pub fn received(&self) -> &[u8] {
        &self.received
    }

    /// Keeps nothing of what was received so far.
    pub fn forget(&mut self) {
        self.received.clear();
    }

    /// Whether these bytes were received, at any place.
    #[must_use]
    pub fn has_received(&self, needle: &[u8]) -> bool {
        contains(&self.received, needle)
    }

    /// Sends bytes as they are.
    ///
    /// # Errors
    /// The connection is closed.
    pub fn send(&mut self, bytes: &[u8]) -> Result<()> {
        self.stream.write_all(bytes).context("send")
    }

    /// Sends no more.
    ///
    /// # Errors
    /// The connection is closed.
    pub fn finish(&mut self) -> Result<()> {
        Ok(self.stream.shutdown(Shutdown::Write)?)
    }

    /// The next message.
    ///
    /// # Errors
    /// The connection is closed, or nothing came in time.
    pub fn read(&mut self) -> Result<Message> {
        loop {
            if let Some(message) = self.take()? {
                return Ok(message);
            }
            if !self.fill()? {
                bail!("the connection was closed");
            }
        }
    }

    /// All messages up to the next `ReadyForQuery`.
    ///
    /// # Errors
    /// The connection is closed before it, or nothing came in time.
    pub fn until_ready(&mut self) -> Result<Reply> {
        let mut reply = Reply::default();
        loop {
            let message = self.read().with_context(|| format!("after {}", describe_all(&reply)))?;
            if message.tag == b'Z' {
                reply.status = message.body.first().copied().map_or('?', char::from);
                return Ok(reply);
            }
            reply.messages.push(message);
        }
    }

    /// All messages up to one of this type, which is the last.
    ///
    /// # Errors
    /// The connection is closed before it, or nothing came in time.
    pub fn until_tag(&mut self, tag: u8) -> Result<Reply> {
        let mut reply = Reply::default();
        loop {
            let message = self.read().with_context(|| format!("after {}", describe_all(&reply)))?;
            let last = message.tag == tag;
            reply.messages.push(message);
            if last {
                return Ok(reply);
            }
        }
    }

    /// All messages up to the end of the connection.
    ///
    /// # Errors
    /// It does not end.
    pub fn until_closed(&mut self) -> Result<Reply> {
        let mut reply = Reply::default();
        loop {
            if let Some(message) = self.take()? {
                reply.messages.push(message);
            } else if !self.fill()? {
                return Ok(reply);
            }
        }
    }

    /// Sends a simple query and reads its reply.
    ///
    /// # Errors
    /// The connection is closed, or nothing came in time. A server's error is part of the reply.
    pub fn query(&mut self, text: &str) -> Result<Reply> {
        self.ask(text)?;
        self.until_ready()
    }

    /// Sends a simple query.
    ///
    /// # Errors
    /// The connection is closed.
    pub fn ask(&mut self, text: &str) -> Result<()> {
        let mut body = text.as_bytes().to_vec();
        body.push(0);
        self.send(&message(b'Q', &body))
    }

    /// Runs a statement through the extended protocol; results as text (0) or binary (1).
    ///
    /// # Errors
    /// The connection is closed, or nothing came in time.
    pub fn extended(&mut self, text: &str, values: &[&str], format: i16) -> Result<Reply> {
        let mut bytes = parse("", text);
        bytes.extend(bind("", "", values, format));
        bytes.extend(describe(b'P', ""));
        bytes.extend(execute("", 0));
        bytes.extend(sync());
        self.send(&bytes)?;
        self.until_ready()
    }

    /// Whether anything arrived within a moment; what did is kept for reading.
    ///
    /// # Errors
    /// The connection broke.
    pub fn hears_within(&mut self, patience: Duration) -> Result<bool> {
        if !self.pending.is_empty() {
            return Ok(true);
        }
        self.stream.set_read_timeout(Some(patience))?;
        let heard = self.fill_now();
        self.stream.set_read_timeout(Some(ANSWER_MAX))?;
        heard
    }

    fn fill_now(&mut self) -> Result<bool> {
        let mut chunk = vec![0; 64 * 1024];
        match self.stream.read(&mut chunk) {
            Ok(read) => {
                chunk.truncate(read);
                self.keep(&chunk);
                Ok(read > 0)
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                Ok(false)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// `false` at the end of the connection.
    fn fill(&mut self) -> Result<bool> {
        let mut chunk = vec![0; 256 * 1024];
        let read = match self.stream.read(&mut chunk) {
            Ok(read) => read,
            Err(error) if error.kind() == ErrorKind::ConnectionReset => 0,
            Err(error) => return Err(error).context("read"),
        };
        chunk.truncate(read);
        self.keep(&chunk);
        Ok(read > 0)
    }

    fn keep(&mut self, chunk: &[u8]) {
        self.pending.extend_from_slice(chunk);
        if self.received.len() < KEPT_MAX {
            self.received.extend_from_slice(chunk);
        }
    }

    fn take(&mut self) -> Result<Option<Message>> {
        let Some(head) = self.pending.get(..5) else { return Ok(None) };
        let (tag, length) = (head.first().copied().unwrap_or_default(), head.get(1..5));
        let length: [u8; 4] = length.unwrap_or_default().try_into()?;
        let end = usize::try_from(u32::from_be_bytes(length))?.saturating_add(1);
        let Some(body) = self.pending.get(5..end.max(5)) else { return Ok(None) };
        let body = body.to_vec();
        self.pending.drain(..end.max(5));
        Ok(Some(Message { tag, body }))
    }
}

/// Whether `needle` is somewhere in `bytes`.
pub(crate) fn contains(bytes: &[u8], needle: &[u8]) -> bool {
    !needle.is_empty() && bytes.windows(needle.len()).any(|window| window == needle)
}

/// A message with its length.
#[must_use]
pub fn message(tag: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![tag];
    let length = u32::try_from(body.len().saturating_add(4)).unwrap_or(u32::MAX);
    bytes.extend(length.to_be_bytes());
    bytes.extend(body);
    bytes
}

/// `Parse`, with no parameter types.
#[must_use]
pub fn parse(name: &str, text: &str) -> Vec<u8> {
    let mut body = cstr(name);
    body.extend(cstr(text));
    body.extend(0_i16.to_be_bytes());
    message(b'P', &body)
}

/// `Bind` of text values, with results in `format`.
#[must_use]
pub fn bind(portal: &str, statement: &str, values: &[&str], format: i16) -> Vec<u8> {
    let mut body = cstr(portal);
    body.extend(cstr(statement));
    body.extend(0_i16.to_be_bytes());
    body.extend(u16::try_from(values.len()).unwrap_or(u16::MAX).to_be_bytes());
    for value in values {
        body.extend(u32::try_from(value.len()).unwrap_or(u32::MAX).to_be_bytes());
        body.extend(value.as_bytes());
    }
    body.extend(1_i16.to_be_bytes());
    body.extend(format.to_be_bytes());
    message(b'B', &body)
}

/// `Describe` of a statement (`S`) or portal (`P`).
#[must_use]
pub fn describe(kind: u8, name: &str) -> Vec<u8> {
    let mut body = vec![kind];
    body.extend(cstr(name));
    message(b'D', &body)
}

/// `Execute` for at most so many rows; 0 is all.
#[must_use]
pub fn execute(portal: &str, rows: u32) -> Vec<u8> {
    let mut body = cstr(portal);
    body.extend(rows.to_be_bytes());
    message(b'E', &body)
}

/// `Sync`.
#[must_use]
pub fn sync() -> Vec<u8> {
    message(b'S', &[])
}

/// A start-up message.
pub(crate) fn startup(version: u32, parameters: &[(&str, &str)]) -> Vec<u8> {
    let mut body = version.to_be_bytes().to_vec();
    for (key, value) in parameters {
        body.extend(cstr(key));
        body.extend(cstr(value));
    }
    body.push(0);
    let mut bytes =
        u32::try_from(body.len().saturating_add(4)).unwrap_or(u32::MAX).to_be_bytes().to_vec();
    bytes.extend(body);
    bytes
}

fn cstr(text: &str) -> Vec<u8> {
    let mut bytes = text.as_bytes().to_vec();
    bytes.push(0);
    bytes
}

fn row(body: &[u8]) -> Vec<Option<Vec<u8>>> {
    let mut values = Vec::new();
    let mut rest = body.get(2..).unwrap_or_default();
    while let Some((length, after)) = rest.split_first_chunk::<4>() {
        match usize::try_from(i32::from_be_bytes(*length)) {
            Ok(length) => {
                values.push(Some(after.get(..length).unwrap_or_default().to_vec()));
                rest = after.get(length..).unwrap_or_default();
            }
            Err(_) => {
                values.push(None);
                rest = after;
            }
        }
    }
    values
}

fn report(body: &[u8]) -> PgError {
    let mut error = PgError::default();
    for field in body.split(|byte| *byte == 0) {
        let Some((code, text)) = field.split_first() else { continue };
        let text = String::from_utf8_lossy(text).into_owned();
        error.all += &format!("{} {text}\n", char::from(*code));
        match code {
            b'S' => error.severity = text,
            b'C' => error.code = text,
            b'M' => error.message = text,
            _ => {}
        }
    }
    error
}

fn describe_all(reply: &Reply) -> String {
    let said = reply.messages.iter().filter(|m| matches!(m.tag, b'E' | b'N'));
    let said: Vec<String> = said.map(|message| report(&message.body).all).collect();
    let shape: String = reply.shape().chars().take(60).collect();
    format!("{} messages ({shape}…) {}", reply.messages.len(), said.join("; "))
}
