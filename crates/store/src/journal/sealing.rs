//! Sealed bodies: what a record of format 2 holds, readable only with the installation key.
//!
//! ```text
//! body     marker 4 · nonce 12 · sealed JSON length, JSON and payload · tag 16
//! ```
//!
//! Each segment has a key of its own, made by HKDF-SHA-256 from the journal's key with the
//! segment's random salt, its number and its gateway; so a body opens in its own segment alone. A
//! body is AES-256-GCM under it, with the place where its record begins (8 bytes, little-endian) as
//! what is authenticated beside it: one that was moved, doubled, or follows what was taken out does
//! not open.
//!
//! No nonce is used twice under one key. It is a run, 8 random bytes chosen when a segment is
//! opened for writing, and a number that counts the bodies sealed in that run. The number never
//! goes back: also what is cut off again, after an append that failed, has used it up. When it is
//! used up itself, the next run begins. So two nonces are equal only if two runs of one segment
//! are. With k runs, one for each time that a process went on in the segment, that has a
//! probability below k²/2⁶⁵.

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Salt};
use model::{Event, Secret};

use super::frame::{Header, array, decode_body};
use crate::data_dir::{InstallationKey, hex};
use crate::id::{self, NoRandomness};

/// What every sealed body begins with, and what the search for the next whole record looks for.
/// Where it occurs by chance within a body, the CRC tells.
pub(super) const MARKER: &[u8; 4] = b"nj2:";
/// Bytes of a sealed body before what is sealed.
pub(super) const PREFIX_BYTES: usize = MARKER.len() + NONCE_LEN;
pub(super) const TAG_BYTES: usize = 16;
/// Memory kept between bodies; a longer one gives the rest back.
const PLAIN_BYTES_KEPT: usize = 1024 * 1024;

const KEY_LABEL: &[u8] = b"narrows journal v2, key of segment ";
const CHECK_LABEL: &[u8] = b"narrows journal v2, check of segment ";

/// Tells a key from another, in the header of a segment. It tells nothing of the key.
pub(super) type Check = [u8; 4];

/// What opens and seals the journal: derived from the installation key, which all gateways of an
/// installation share (R17).
#[derive(Clone)]
pub struct JournalKey(Arc<Secret<[u8; 32]>>);

impl JournalKey {
    /// The key that an installation has for its journals.
    #[must_use]
    pub fn of(installation: &InstallationKey) -> Self {
        Self(Arc::new(installation.derive("journal")))
    }

    /// The key of one segment, and what tells it from another.
    fn of_segment(
        &self,
        gateway: &str,
        segment: u64,
        salt: &[u8; 16],
    ) -> Result<(LessSafeKey, Check), NoCipher> {
        let parent = Salt::new(HKDF_SHA256, salt).extract(self.0.expose());
        let number = segment.to_le_bytes();
        let of_key = [KEY_LABEL, &number, gateway.as_bytes()];
        let key = parent.expand(&of_key, &AES_256_GCM).map_err(|_| NoCipher)?;
        let of_check = [CHECK_LABEL, &number, gateway.as_bytes()];
        let mut check = Check::default();
        let filled = parent.expand(&of_check, CheckLength).and_then(|okm| okm.fill(&mut check));
        filled.map_err(|_| NoCipher)?;
        Ok((LessSafeKey::new(UnboundKey::from(key)), check))
    }
}

impl fmt::Debug for JournalKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JournalKey(***)")
    }
}

struct CheckLength;

impl KeyType for CheckLength {
    fn len(&self) -> usize {
        Check::default().len()
    }
}

/// What a journal does with a key. Segments of both kinds are read in any case, if they can be.
#[derive(Clone, Debug)]
pub enum Sealing {
    /// There is no key: segments are written in clear, and none may be here that is sealed.
    Keyless,
    /// Segments are written in clear; those that are sealed can be read.
    Opens(JournalKey),
    /// Segments are sealed from now on.
    Seals(JournalKey),
}

impl Sealing {
    pub(super) fn key(&self) -> Option<&JournalKey> {
        match self {
            Self::Keyless => None,
            Self::Opens(key) | Self::Seals(key) => Some(key),
        }
    }

    /// What seals the records of a segment from here on, and its check; `None` for one in clear.
    pub(super) fn sealer(
        &self,
        gateway: &str,
        segment: u64,
        salt: &[u8; 16],
    ) -> Result<Option<(Sealer, Check)>, SealerError> {
        let Self::Seals(key) = self else { return Ok(None) };
        let (cipher, check) = key.of_segment(gateway, segment, salt)?;
        Ok(Some((Sealer { cipher, run: run()?, next: Some(0) }, check)))
    }
}

/// The cipher library refuses what it always grants.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the cipher library cannot derive the key of a segment")]
pub(super) struct NoCipher;

/// Why a segment cannot be sealed.
#[derive(Debug, thiserror::Error)]
pub(super) enum SealerError {
    #[error(transparent)]
    Cipher(#[from] NoCipher),
    #[error(transparent)]
    Random(#[from] NoRandomness),
}

/// Why a sealed segment cannot be opened.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum WrongKey {
    /// No key was given.
    None,
    /// A key was given that did not seal it.
    Other {
        /// The check value in the segment.
        wanted: [u8; 4],
        /// That of the key given.
        given: [u8; 4],
    },
}

impl fmt::Display for WrongKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const WHERE: &str = "keys.installation, or installation.key in data_dir";
        match self {
            Self::None => write!(
                f,
                "is sealed and there is no installation key to open it with; give the one it was \
                 sealed under ({WHERE})"
            ),
            Self::Other { wanted, given } => write!(
                f,
                "is sealed under another installation key (its check value is {}, that of the key \
                 given {}); put back the one it was sealed under ({WHERE}), or move the file out \
                 of the folder: nothing else opens it",
                hex(wanted),
                hex(given)
            ),
        }
    }
}

/// Seals the bodies of one segment, in one run.
pub(super) struct Sealer {
    cipher: LessSafeKey,
    run: [u8; 8],
    /// The number of the next nonce; `None` when all of this run are used up.
    next: Option<u32>,
}

impl Sealer {
    /// A nonce that was never given before under this key.
    fn nonce(&mut self) -> Result<[u8; NONCE_LEN], NoRandomness> {
        let number = match self.next {
            Some(number) => number,
            None => {
                self.run = run()?;
                0
            }
        };
        self.next = number.checked_add(1);
        let mut nonce = [0; NONCE_LEN];
        let (first, last) = nonce.split_at_mut(self.run.len());
        first.copy_from_slice(&self.run);
        last.copy_from_slice(&number.to_le_bytes());
        Ok(nonce)
    }

    /// Seals the body that begins at `body` and reaches to the end of `buffer`, in place:
    /// [`PREFIX_BYTES`] of room, then what is to be sealed. `at` is where its record begins in the
    /// segment.
    pub(super) fn seal(
        &mut self,
        buffer: &mut Vec<u8>,
        body: usize,
        at: u64,
    ) -> Result<(), &'static str> {
        let nonce = self.nonce().map_err(|_| "there is no randomness for its nonce")?;
        let room = buffer.get_mut(body..body + PREFIX_BYTES).ok_or("its body has no room")?;
        room.iter_mut().zip(MARKER.iter().chain(&nonce)).for_each(|(to, from)| *to = *from);
        let plain = buffer.get_mut(body + PREFIX_BYTES..).unwrap_or_default();
        let nonce = Nonce::assume_unique_for_key(nonce);
        let place = Aad::from(at.to_le_bytes());
        let tag = self.cipher.seal_in_place_separate_tag(nonce, place, plain);
        buffer.extend_from_slice(tag.map_err(|_| "the cipher library refuses it")?.as_ref());
        Ok(())
    }

    /// Goes on as if the run were nearly used up.
    #[cfg(test)]
    pub(super) fn use_up(&mut self, next: u32) {
        self.next = Some(next);
    }
}

fn run() -> Result<[u8; 8], NoRandomness> {
    let mut run = [0; 8];
    run.iter_mut().zip(id::random_32()?).for_each(|(to, from)| *to = from);
    Ok(run)
}

/// Reads the bodies of one segment.
pub(super) enum Bodies {
    Clear,
    Sealed {
        cipher: LessSafeKey,
        /// The body opened last.
        plain: Vec<u8>,
    },
}

/// Why a segment's bodies cannot be read.
pub(super) enum BodiesError {
    Key(WrongKey),
    Cipher(NoCipher),
}

impl Bodies {
    pub(super) fn of(header: &Header, key: Option<&JournalKey>) -> Result<Self, BodiesError> {
        let Some(wanted) = header.sealed else { return Ok(Self::Clear) };
        let Some(key) = key else { return Err(BodiesError::Key(WrongKey::None)) };
        let (cipher, given) = key
            .of_segment(&header.gateway, header.segment, &header.salt)
            .map_err(BodiesError::Cipher)?;
        if given != wanted {
            return Err(BodiesError::Key(WrongKey::Other { wanted, given }));
        }
        Ok(Self::Sealed { cipher, plain: Vec::new() })
    }

    /// The event of a body that is whole by its CRC, of the record that begins at `at`; or what is
    /// wrong with it.
    pub(super) fn event(&mut self, body: &[u8], at: u64) -> Result<Event, &'static str> {
        const NO_EVENT: &str = "a record that holds no event this build can read";
        let (cipher, plain) = match self {
            Self::Clear => return decode_body(body).ok_or(NO_EVENT),
            Self::Sealed { cipher, plain } => (cipher, plain),
        };
        open(cipher, (body, at), plain).ok_or(
            "a record that the segment's key does not open, though its checksum is right: it was \
             not written by a gateway, or not here",
        )?;
        let event = decode_body(plain).ok_or(NO_EVENT);
        plain.clear();
        plain.shrink_to(PLAIN_BYTES_KEPT);
        event
    }
}

fn open(cipher: &LessSafeKey, (body, at): (&[u8], u64), plain: &mut Vec<u8>) -> Option<()> {
    let sealed = body.strip_prefix(MARKER)?;
    let nonce = Nonce::assume_unique_for_key(array(sealed, 0)?);
    let (sealed, tag) = sealed.get(NONCE_LEN..)?.split_last_chunk::<TAG_BYTES>()?;
    plain.clear();
    plain.resize(sealed.len(), 0);
    let place = Aad::from(at.to_le_bytes());
    cipher.open_separate_gather(nonce, place, sealed, tag, plain).ok()
}
