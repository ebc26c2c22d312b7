//! The bytes of a segment: two copies of a header, then records.
//!
//! ```text
//! header   magic 8 · format u16 · name length u16 · key check 4 · segment u64 · first sequence u64
//!          · chain of the segment before 32 · salt 16 · gateway, zero-padded 44 · CRC-32C u32
//! record   body length u32 · CRC-32C u32 · chain 32 · body
//! body     JSON length u32 · JSON · payload
//! ```
//!
//! Format 1 has bodies in clear and zeros for the key check, format 2 sealed ones (`sealing`). All
//! numbers are little-endian. `chain` is SHA-256 over the chain before it and the body as it is
//! stored. The CRC covers the salt, the body length, the chain and the stored body. So a record is
//! found whole, torn or damaged, and in its place in the chain, without any key. The salt is random
//! and never leaves the file, so a payload cannot hold bytes that pass for a record when a damaged
//! segment is searched for the next whole one. The header is written twice because without it no
//! record can be checked.

use aws_lc_rs::digest::{SHA256, digest};
use crc32c::{crc32c, crc32c_append};
use model::{Event, limit};

use super::sealing::{Check, MARKER, PREFIX_BYTES, Sealer, TAG_BYTES};

pub(crate) type Chain = [u8; 32];

/// The chain before the first record of a gateway.
pub(crate) const CHAIN_START: Chain = [0; 32];
/// Bodies in clear.
pub(super) const FORMAT_CLEAR: u16 = 1;
/// Sealed bodies.
pub(super) const FORMAT_SEALED: u16 = 2;
/// The largest number of a segment or a record: from here on up nothing can be counted, and the
/// index holds no number above it either.
pub(super) const NUMBER_MAX: u64 = i64::MAX.unsigned_abs();
const MAGIC: &[u8; 8] = b"NARROWSJ";
const HEADER_BYTES: usize = 128;
/// Where the first record begins.
pub(super) const DATA_START: usize = 2 * HEADER_BYTES;
/// Bytes of a record before its body.
pub(super) const FRAME_BYTES: usize = 40;
/// A JSON length and `{}`.
const BODY_BYTES_MIN: usize = 6;
/// How the JSON of every event begins.
const JSON_START: &[u8] = br#"{"v":"#;

/// What a segment says of itself.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Header {
    pub(super) gateway: String,
    pub(super) segment: u64,
    pub(super) first_sequence: u64,
    pub(super) previous: Chain,
    pub(super) salt: [u8; 16],
    /// What tells the key of its bodies from another; `None` where they are in clear.
    pub(super) sealed: Option<Check>,
}

/// Why a header cannot be used.
#[derive(Debug, Eq, PartialEq)]
pub(super) enum HeaderError {
    /// Neither copy is whole.
    Damaged,
    /// Written by another version of the format.
    Format(u16),
}

impl Header {
    /// Both copies.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut copy = Vec::with_capacity(HEADER_BYTES);
        copy.extend_from_slice(MAGIC);
        let format = self.sealed.map_or(FORMAT_CLEAR, |_| FORMAT_SEALED);
        copy.extend_from_slice(&format.to_le_bytes());
        let name = u16::try_from(self.gateway.len()).unwrap_or(u16::MAX);
        copy.extend_from_slice(&name.to_le_bytes());
        copy.extend_from_slice(&self.sealed.unwrap_or_default());
        copy.extend_from_slice(&self.segment.to_le_bytes());
        copy.extend_from_slice(&self.first_sequence.to_le_bytes());
        copy.extend_from_slice(&self.previous);
        copy.extend_from_slice(&self.salt);
        copy.extend_from_slice(self.gateway.as_bytes());
        copy.resize(HEADER_BYTES - 4, 0);
        let crc = crc32c(&copy);
        copy.extend_from_slice(&crc.to_le_bytes());
        copy.repeat(2)
    }

    /// Reads the first copy that is whole.
    pub(super) fn decode(bytes: &[u8]) -> Result<Self, HeaderError> {
        let mut error = HeaderError::Damaged;
        for copy in bytes.chunks_exact(HEADER_BYTES).take(2) {
            match Self::decode_copy(copy) {
                Ok(header) => return Ok(header),
                Err(HeaderError::Damaged) => {}
                Err(format) => error = format,
            }
        }
        Err(error)
    }

    fn decode_copy(copy: &[u8]) -> Result<Self, HeaderError> {
        let (start, crc) = copy.split_at_checked(HEADER_BYTES - 4).ok_or(HeaderError::Damaged)?;
        if crc32c(start).to_le_bytes() != crc || !start.starts_with(MAGIC) {
            return Err(HeaderError::Damaged);
        }
        let format = u16::from_le_bytes(array(start, 8).ok_or(HeaderError::Damaged)?);
        let is_sealed = match format {
            FORMAT_CLEAR => false,
            FORMAT_SEALED => true,
            _ => return Err(HeaderError::Format(format)),
        };
        let mut header = Self::fields(start).ok_or(HeaderError::Damaged)?;
        header.sealed = header.sealed.filter(|_| is_sealed);
        Ok(header)
    }

    fn fields(start: &[u8]) -> Option<Self> {
        let name = usize::from(u16::from_le_bytes(array(start, 10)?));
        let number = |at| {
            let number = u64::from_le_bytes(array(start, at)?);
            (1..=NUMBER_MAX).contains(&number).then_some(number)
        };
        Some(Self {
            segment: number(16)?,
            first_sequence: number(24)?,
            previous: array(start, 32)?,
            salt: array(start, 64)?,
            sealed: Some(array(start, 12)?),
            gateway: String::from_utf8(start.get(80..80 + name)?.to_vec()).ok()?,
        })
    }

    /// Where the CRC of every record of this segment begins.
    pub(super) fn seed(&self) -> u32 {
        crc32c(&self.salt)
    }

    /// What its records look like.
    pub(super) fn form(&self) -> Form {
        self.sealed.map_or(Form::Clear, |_| Form::Sealed)
    }
}

/// What the records of a segment look like from outside.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Form {
    Clear,
    Sealed,
}

impl Form {
    /// Bytes that a body has besides what is to be read in it.
    fn beside(self) -> usize {
        match self {
            Self::Clear => 0,
            Self::Sealed => PREFIX_BYTES + TAG_BYTES,
        }
    }

    /// What every record holds, and where, in bytes from its beginning: what the search for the
    /// next whole record looks for.
    pub(super) fn landmark(self) -> (&'static [u8], usize) {
        match self {
            Self::Clear => (JSON_START, FRAME_BYTES + 4),
            Self::Sealed => (MARKER, FRAME_BYTES),
        }
    }
}

/// Why an event cannot be a record.
#[derive(Debug, thiserror::Error)]
pub(super) enum EncodeError {
    #[error("an event of {0} bytes is longer than a record may be")]
    TooLarge(usize),
    #[error("an event has no JSON form: {0}")]
    Json(#[from] serde_json::Error),
    #[error("an event cannot be sealed: {0}")]
    Seal(&'static str),
}

/// Appends the record of `event` to `buffer`, sealed if there is a `sealer`, for
/// the place where it begins, and returns its chain.
pub(super) fn encode(
    buffer: &mut Vec<u8>,
    event: &Event,
    previous: &Chain,
    seed: u32,
    sealer: Option<(&mut Sealer, u64)>,
) -> Result<Chain, EncodeError> {
    let start = buffer.len();
    buffer.extend_from_slice(&[0; 8]);
    // The previous chain stands right before the body for a moment, so that one pass hashes both.
    buffer.extend_from_slice(previous);
    let body = buffer.len();
    if sealer.is_some() {
        buffer.extend_from_slice(&[0; PREFIX_BYTES]);
    }
    let plain = buffer.len();
    buffer.extend_from_slice(&[0; 4]);
    serde_json::to_writer(&mut *buffer, event)?;
    let json = buffer.len() - plain - 4;
    buffer.extend_from_slice(&event.payload);
    let length = buffer.len() - plain;
    if length > limit::RECORD_BYTES_MAX {
        return Err(EncodeError::TooLarge(length));
    }
    // All are about RECORD_BYTES_MAX at most, which is far below u32::MAX.
    let small = |n: usize| u32::try_from(n).unwrap_or(u32::MAX).to_le_bytes();
    put(buffer, plain, &small(json));
    if let Some((sealer, at)) = sealer {
        sealer.seal(buffer, body, at).map_err(EncodeError::Seal)?;
    }
    let length = buffer.len() - body;
    let chain = sha256(buffer.get(body - 32..).unwrap_or_default());
    put(buffer, body - 32, &chain);
    put(buffer, start, &small(length));
    let crc = record_crc(seed, small(length), buffer.get(body - 32..).unwrap_or_default());
    put(buffer, start + 4, &crc.to_le_bytes());
    Ok(chain)
}

/// The fixed part of a record.
#[derive(Clone, Copy, Debug)]
pub(super) struct Frame {
    /// Length of the body, bytes; not yet believed.
    pub(super) length: usize,
    pub(super) chain: Chain,
    crc: u32,
}

impl Frame {
    /// Reads the fixed part; `None` if there are fewer bytes.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        Some(Self {
            length: usize::try_from(u32::from_le_bytes(array(bytes, 0)?)).ok()?,
            crc: u32::from_le_bytes(array(bytes, 4)?),
            chain: array(bytes, 8)?,
        })
    }

    /// Whether the length is one that a record can have.
    pub(super) fn is_plausible(&self, form: Form) -> bool {
        let beside = form.beside();
        (BODY_BYTES_MIN + beside..=limit::RECORD_BYTES_MAX + beside).contains(&self.length)
    }

    /// Whether `record` (fixed part and body) is whole and unchanged, taking its own length for the
    /// length of the body.
    pub(super) fn is_whole(&self, record: &[u8], seed: u32) -> bool {
        let Some(rest) = record.get(8..) else { return false };
        let Some(length) = record.len().checked_sub(FRAME_BYTES) else { return false };
        let Ok(length) = u32::try_from(length) else { return false };
        record_crc(seed, length.to_le_bytes(), rest) == self.crc
    }

    /// Whether `body` follows `previous` in the chain.
    pub(super) fn follows(&self, previous: &Chain, body: &[u8]) -> bool {
        let mut context = aws_lc_rs::digest::Context::new(&SHA256);
        context.update(previous);
        context.update(body);
        context.finish().as_ref() == self.chain
    }
}

/// The event of a body in clear.
pub(super) fn decode_body(body: &[u8]) -> Option<Event> {
    let json = usize::try_from(u32::from_le_bytes(array(body, 0)?)).ok()?;
    let (json, payload) = body.get(4..)?.split_at_checked(json)?;
    let mut event: Event = serde_json::from_slice(json).ok()?;
    event.payload = payload.to_vec();
    Some(event)
}

fn record_crc(seed: u32, length: [u8; 4], chain_and_body: &[u8]) -> u32 {
    crc32c_append(crc32c_append(seed, &length), chain_and_body)
}

fn sha256(bytes: &[u8]) -> Chain {
    array(digest(&SHA256, bytes).as_ref(), 0).unwrap_or(CHAIN_START)
}

fn put(buffer: &mut [u8], at: usize, bytes: &[u8]) {
    if let Some(place) = buffer.get_mut(at..at + bytes.len()) {
        place.copy_from_slice(bytes);
    }
}

pub(super) fn array<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at.checked_add(N)?)?.try_into().ok()
}
