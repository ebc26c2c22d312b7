//! Messages on the wire: framing, bounded reading, and the few messages the gateway writes itself.
//!
//! A message is a type byte and a 32-bit length that counts itself but not the type byte; start-up
//! messages have no type byte. PostgreSQL 17, "Frontend/Backend Protocol", "Message Formats".

use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use engine::Fault;
use model::Side;

/// Bytes of type and length before the body.
pub const HEADER: usize = 5;

/// One whole message, type byte and length included.
#[derive(Clone, Debug)]
pub struct Frame {
    /// The type byte.
    pub tag: u8,
    /// The whole message as it was sent.
    pub bytes: Bytes,
}

impl Frame {
    /// What follows the header.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        self.bytes.get(HEADER..).unwrap_or_default()
    }
}

/// What the header at the start of `bytes` says: the type and the length of the whole message.
/// `None` while the header is incomplete.
///
/// # Errors
/// A length that cannot be: below 4, or above `most`.
pub fn header(bytes: &[u8], most: usize, side: Side) -> Result<Option<(u8, usize)>, Fault> {
    let Some(&[tag, a, b, c, d]) = bytes.first_chunk::<HEADER>() else { return Ok(None) };
    let length = u32::from_be_bytes([a, b, c, d]) as usize;
    if length < 4 {
        return Err(Fault { side, what: "message length below 4" });
    }
    if length > most {
        return Err(Fault { side, what: "message longer than allowed" });
    }
    Ok(Some((tag, length.saturating_add(1))))
}

/// Bytes received and not yet taken apart.
#[derive(Debug, Default)]
pub struct Inbox {
    buffer: BytesMut,
}

impl Inbox {
    /// Adds what arrived.
    pub fn push(&mut self, bytes: &Bytes) {
        self.buffer.extend_from_slice(bytes);
    }

    /// What is there.
    #[must_use]
    pub fn peek(&self) -> &[u8] {
        &self.buffer
    }

    /// Bytes there.
    #[must_use]
    pub fn len(&self) -> usize {
        self.buffer.len()
    }

    /// Nothing is there.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.buffer.is_empty()
    }

    /// Takes the first `length` bytes, or all when there are fewer.
    pub fn take(&mut self, length: usize) -> Bytes {
        let taken = self.buffer.split_to(length.min(self.buffer.len())).freeze();
        if self.buffer.is_empty() {
            // Lets go of a large allocation as soon as it is not needed.
            self.buffer = BytesMut::new();
        }
        taken
    }

    /// Takes the next whole message.
    ///
    /// # Errors
    /// See [`header`].
    pub fn frame(&mut self, most: usize, side: Side) -> Result<Option<Frame>, Fault> {
        match header(&self.buffer, most, side)? {
            Some((tag, length)) if self.buffer.len() >= length => {
                Ok(Some(Frame { tag, bytes: self.take(length) }))
            }
            _ => Ok(None),
        }
    }
}

/// Reads fields of a message and never past its end.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
    side: Side,
}

impl<'a> Reader<'a> {
    /// Over the body of a message that `side` sent.
    #[must_use]
    pub fn new(body: &'a [u8], side: Side) -> Self {
        Self { rest: body, side }
    }

    /// What is left.
    #[must_use]
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    fn short(&self) -> Fault {
        Fault { side: self.side, what: "message shorter than its fields" }
    }

    /// The next `length` bytes.
    ///
    /// # Errors
    /// The message ends before.
    pub fn bytes(&mut self, length: usize) -> Result<&'a [u8], Fault> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or_else(|| self.short())?;
        self.rest = rest;
        Ok(taken)
    }

    /// A byte.
    ///
    /// # Errors
    /// The message ends before.
    pub fn u8(&mut self) -> Result<u8, Fault> {
        let (first, rest) = self.rest.split_first().ok_or_else(|| self.short())?;
        self.rest = rest;
        Ok(*first)
    }

    /// A 16-bit integer.
    ///
    /// # Errors
    /// The message ends before.
    pub fn i16(&mut self) -> Result<i16, Fault> {
        let (taken, rest) = self.rest.split_first_chunk::<2>().ok_or_else(|| self.short())?;
        self.rest = rest;
        Ok(i16::from_be_bytes(*taken))
    }

    /// A 32-bit integer.
    ///
    /// # Errors
    /// The message ends before.
    pub fn i32(&mut self) -> Result<i32, Fault> {
        let (taken, rest) = self.rest.split_first_chunk::<4>().ok_or_else(|| self.short())?;
        self.rest = rest;
        Ok(i32::from_be_bytes(*taken))
    }

    /// A 32-bit object identifier.
    ///
    /// # Errors
    /// The message ends before.
    pub fn u32(&mut self) -> Result<u32, Fault> {
        let (taken, rest) = self.rest.split_first_chunk::<4>().ok_or_else(|| self.short())?;
        self.rest = rest;
        Ok(u32::from_be_bytes(*taken))
    }

    /// A count in 16 bits. PostgreSQL reads it without a sign: it takes up to 65,535 parameters.
    ///
    /// # Errors
    /// The message ends before.
    pub fn count(&mut self) -> Result<usize, Fault> {
        Ok(usize::from(self.i16()?.cast_unsigned()))
    }

    /// A string that a zero byte ends, without it.
    ///
    /// # Errors
    /// No zero byte follows.
    pub fn cstr(&mut self) -> Result<&'a [u8], Fault> {
        let end = memchr::memchr(0, self.rest)
            .ok_or(Fault { side: self.side, what: "string without its terminator" })?;
        let text = self.bytes(end)?;
        self.u8()?;
        Ok(text)
    }

    /// A value preceded by its 32-bit length; -1 is NULL.
    ///
    /// # Errors
    /// The message ends before, or the length is below -1.
    pub fn value(&mut self) -> Result<Option<&'a [u8]>, Fault> {
        let length = self.i32()?;
        if length == -1 {
            return Ok(None);
        }
        let length = usize::try_from(length)
            .map_err(|_| Fault { side: self.side, what: "negative value length" })?;
        self.bytes(length).map(Some)
    }

    /// Checks that nothing is left.
    ///
    /// # Errors
    /// Something is.
    pub fn end(&self) -> Result<(), Fault> {
        if self.rest.is_empty() {
            return Ok(());
        }
        Err(Fault { side: self.side, what: "message longer than its fields" })
    }
}

/// Writes one message: type byte, length, and what `body` puts in.
pub fn write(out: &mut BytesMut, tag: u8, body: impl FnOnce(&mut BytesMut)) {
    out.put_u8(tag);
    write_untagged(out, body);
}

/// Writes a message without a type byte (start-up, SSLRequest, CancelRequest).
pub fn write_untagged(out: &mut BytesMut, body: impl FnOnce(&mut BytesMut)) {
    let at = out.len();
    out.put_u32(0);
    body(out);
    let length = u32::try_from(out.len().saturating_sub(at)).unwrap_or(u32::MAX);
    if let Some(slot) = out.get_mut(at..at.saturating_add(4)) {
        slot.copy_from_slice(&length.to_be_bytes());
    }
}

/// One message as bytes of its own.
pub fn message(tag: u8, body: impl FnOnce(&mut BytesMut)) -> Bytes {
    let mut out = BytesMut::new();
    write(&mut out, tag, body);
    out.freeze()
}

/// A string and its terminator; cut at a zero byte, which PostgreSQL strings cannot hold.
pub fn put_cstr(out: &mut BytesMut, text: &[u8]) {
    out.put_slice(text.split(|byte| *byte == 0).next().unwrap_or_default());
    out.put_u8(0);
}

/// How bad an error or notice is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Severity {
    /// The operation failed.
    Error,
    /// The session ends.
    Fatal,
    /// For information.
    Notice,
}

impl Severity {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "ERROR",
            Self::Fatal => "FATAL",
            Self::Notice => "NOTICE",
        }
    }
}

/// An error or notice in the gateway's own words.
#[derive(Clone, Debug)]
pub struct Report<'a> {
    /// How bad.
    pub severity: Severity,
    /// SQLSTATE, five characters.
    pub code: &'a str,
    /// The primary message.
    pub message: &'a str,
    /// More.
    pub detail: Option<String>,
    /// What to do.
    pub hint: Option<&'a str>,
    /// Where in the statement, characters from 1.
    pub position: Option<usize>,
}

impl Report<'_> {
    /// The `ErrorResponse` or `NoticeResponse`.
    #[must_use]
    pub fn to_message(&self) -> Bytes {
        let tag = if self.severity == Severity::Notice { b'N' } else { b'E' };
        message(tag, |out| {
            let mut field = |kind: u8, text: &str| {
                out.put_u8(kind);
                put_cstr(out, text.as_bytes());
            };
            field(b'S', self.severity.as_str());
            field(b'V', self.severity.as_str());
            field(b'C', self.code);
            field(b'M', self.message);
            if let Some(detail) = &self.detail {
                field(b'D', detail);
            }
            if let Some(hint) = self.hint {
                field(b'H', hint);
            }
            if let Some(position) = self.position {
                field(b'P', &position.to_string());
            }
            out.put_u8(0);
        })
    }
}

/// `ReadyForQuery` with a transaction status: `I`, `T` or `E`.
#[must_use]
pub fn ready(status: u8) -> Bytes {
    message(b'Z', |out| out.put_u8(status))
}

/// A simple `Query`.
#[must_use]
pub fn query(text: &str) -> Bytes {
    message(b'Q', |out| put_cstr(out, text.as_bytes()))
}

/// A column as `RowDescription` tells it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct FieldDescription {
    /// The label.
    pub label: Vec<u8>,
    /// `pg_class.oid` of the relation it is stored in, or 0.
    pub relation: u32,
    /// Position in that relation, or 0.
    pub attnum: i16,
    /// `pg_type.oid`.
    pub type_oid: u32,
    /// `pg_type.typlen`.
    pub type_len: i16,
    /// `pg_attribute.atttypmod`; -1 for none.
    pub type_mod: i32,
    /// 0 text, 1 binary. Always 0 when a statement, not a portal, was described.
    pub format: i16,
}

/// The columns that a `RowDescription` (`T`) or a `NoData` (`n`) tells.
///
/// # Errors
/// The upstream's message is not one.
pub fn fields(tag: u8, frame: &[u8]) -> Result<Arc<[FieldDescription]>, Fault> {
    match tag {
        b'T' => Ok(row_description(frame.get(HEADER..).unwrap_or_default())?.into()),
        _ => Ok(Arc::new([])),
    }
}

/// The columns of a `RowDescription`.
///
/// # Errors
/// The upstream's message is not one.
pub fn row_description(body: &[u8]) -> Result<Vec<FieldDescription>, Fault> {
    let mut reader = Reader::new(body, Side::Upstream);
    let count = reader.count()?;
    let mut fields = Vec::with_capacity(count.min(1664));
    for _ in 0..count {
        fields.push(FieldDescription {
            label: reader.cstr()?.to_vec(),
            relation: reader.u32()?,
            attnum: reader.i16()?,
            type_oid: reader.u32()?,
            type_len: reader.i16()?,
            type_mod: reader.i32()?,
            format: reader.i16()?,
        });
    }
    reader.end()?;
    Ok(fields)
}
