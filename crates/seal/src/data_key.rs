//! The key of one session in one segment, and what it does to a field.

use std::fmt;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, MAX_TAG_LEN, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::rand;
use model::text::Secret;
use zeroize::Zeroize;

use crate::error::SealError;

/// Bytes of a data key.
pub const DATA_KEY_BYTES: usize = 32;
/// Bytes by which a sealed field is longer than its content: the tag.
pub const SEAL_OVERHEAD_BYTES: usize = MAX_TAG_LEN;

/// Begins what is authenticated beside each field, so that no other use of AES-GCM matches.
const DOMAIN: &[u8] = b"narrows sealed field v1";

/// Where a field is. Two fields of one data key are never at the same place.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Place<'a> {
    /// Name of the gateway.
    pub gateway: &'a str,
    /// Id of the session; empty for what concerns the gateway itself.
    pub session: &'a str,
    /// Number of the event's record in the gateway's journal.
    pub record: u64,
    /// Number of the column. It belongs to the archive's schema and is never given to another one.
    pub column: u32,
}

/// A random AES-256 key for the fields of one session in one segment; wiped when dropped.
///
/// # Why a nonce cannot repeat
///
/// The nonce of a field is its record number (8 bytes, big endian) followed by its column number (4
/// bytes, big endian), so nothing but ciphertext and tag has to be stored. AES-GCM is broken by two
/// *different* contents under one key and nonce. That cannot happen as long as
///
/// - a data key serves one session in one segment ([`SegmentKeys::fresh`] makes a new random one
///   and refuses a second for the same session);
/// - a record number names one record of a gateway's journal for good, and journals are
///   append-only;
/// - a column of a record is sealed once, or again with the same content, which gives the same
///   bytes.
///
/// The last is the caller's duty: if a segment is converted again with *other* contents (scrubbed
/// differently, say), it needs fresh data keys, hence a fresh [`SegmentKeys`].
///
/// [`SegmentKeys`]: crate::SegmentKeys
/// [`SegmentKeys::fresh`]: crate::SegmentKeys::fresh
pub struct DataKey {
    bytes: Secret<[u8; DATA_KEY_BYTES]>,
    /// The library wipes the key schedule when it frees it.
    cipher: LessSafeKey,
}

impl DataKey {
    /// A new random key.
    ///
    /// # Errors
    ///
    /// [`SealError::Library`] if the operating system gives no randomness.
    pub fn random() -> Result<Self, SealError> {
        let failed = |_| SealError::Library { what: "make a data key" };
        let mut bytes = [0; DATA_KEY_BYTES];
        rand::fill(&mut bytes).map_err(failed)?;
        Self::take(&mut bytes)
    }

    /// Takes the key over from `bytes`, which are wiped.
    pub(crate) fn take(bytes: &mut [u8; DATA_KEY_BYTES]) -> Result<Self, SealError> {
        let cipher = UnboundKey::new(&AES_256_GCM, bytes.as_slice());
        let key = Secret::new(*bytes);
        bytes.zeroize();
        let cipher = cipher.map_err(|_| SealError::Library { what: "use a data key" })?;
        Ok(Self { bytes: key, cipher: LessSafeKey::new(cipher) })
    }

    /// Whether both are the same key.
    pub(crate) fn is(&self, other: &Self) -> bool {
        verify_slices_are_equal(self.expose(), other.expose()).is_ok()
    }

    /// The key itself, for what wraps it.
    pub(crate) fn expose(&self) -> &[u8; DATA_KEY_BYTES] {
        self.bytes.expose()
    }

    /// Seals a field with AES-256-GCM: ciphertext, then the tag of 16 bytes. The same key, place
    /// and content always give the same bytes. The place is authenticated: moved to another record,
    /// column, session or gateway, the field does not open.
    ///
    /// # Errors
    ///
    /// [`SealError::Library`] if `plain` is longer than AES-GCM allows, 64 GiB.
    pub fn seal(&self, place: &Place<'_>, plain: &[u8]) -> Result<Vec<u8>, SealError> {
        let mut sealed = Vec::with_capacity(plain.len() + SEAL_OVERHEAD_BYTES);
        sealed.extend_from_slice(plain);
        self.cipher
            .seal_in_place_append_tag(nonce(place), Aad::from(associated(place)), &mut sealed)
            .map_err(|_| SealError::Library { what: "seal a field" })?;
        Ok(sealed)
    }

    /// Opens what [`DataKey::seal`] made.
    ///
    /// # Errors
    ///
    /// [`SealError::NotOpened`] if it was sealed with another key or at another place, or if a
    /// single bit of it changed.
    pub fn open(&self, place: &Place<'_>, sealed: &[u8]) -> Result<Vec<u8>, SealError> {
        let refused = || SealError::NotOpened {
            session: place.session.to_owned(),
            record: place.record,
            column: place.column,
        };
        let split = sealed.len().checked_sub(SEAL_OVERHEAD_BYTES).ok_or_else(refused)?;
        let (cipher, tag) = sealed.split_at_checked(split).ok_or_else(refused)?;
        let mut plain = vec![0; cipher.len()];
        self.cipher
            .open_separate_gather(
                nonce(place),
                Aad::from(associated(place)),
                cipher,
                tag,
                &mut plain,
            )
            .map_err(|_| refused())?;
        Ok(plain)
    }
}

impl fmt::Debug for DataKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DataKey(***)")
    }
}

fn nonce(place: &Place<'_>) -> Nonce {
    let mut nonce = [0; NONCE_LEN];
    let (record, column) = nonce.split_at_mut(8);
    record.copy_from_slice(&place.record.to_be_bytes());
    column.copy_from_slice(&place.column.to_be_bytes());
    Nonce::assume_unique_for_key(nonce)
}

/// What is authenticated with a field: the domain, then gateway and session, each after its length
/// (8 bytes, big endian) so that no two places read alike, then record and column.
fn associated(place: &Place<'_>) -> Vec<u8> {
    let mut bytes = DOMAIN.to_vec();
    for name in [place.gateway, place.session] {
        bytes.extend_from_slice(&(name.len() as u64).to_be_bytes());
        bytes.extend_from_slice(name.as_bytes());
    }
    bytes.extend_from_slice(&place.record.to_be_bytes());
    bytes.extend_from_slice(&place.column.to_be_bytes());
    bytes
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::testing::unhex;

    const PLACE: Place<'_> = Place {
        gateway: "gw-1",
        session: "s_0001",
        record: 0xcafe_babe_face_dbad,
        column: 0xdeca_f888,
    };

    fn known_key() -> DataKey {
        let half = unhex("feffe9928665731c6d6a8f9467308308");
        DataKey::take(&mut [half.clone(), half].concat().try_into().unwrap()).unwrap()
    }

    /// Key, nonce, content and ciphertext are test case 16 of "The Galois/Counter Mode of Operation
    /// (GCM)", McGrew and Viega. The tag, which depends on what is authenticated beside it, was
    /// computed by another implementation (Python's `cryptography`).
    #[test]
    fn a_known_answer_comes_out() {
        let plain = unhex(
            "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72\
             1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39",
        );
        let sealed = unhex(
            "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa\
             8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662\
             3ca0fcc2806938bc83e646abdb91c4b2",
        );
        assert_eq!(known_key().seal(&PLACE, &plain).unwrap(), sealed);
        assert_eq!(known_key().open(&PLACE, &sealed).unwrap(), plain);
    }

    #[test]
    fn every_other_place_is_refused() {
        let key = known_key();
        let sealed = key.seal(&PLACE, b"select 1").unwrap();
        for place in [
            Place { gateway: "gw-2", ..PLACE },
            Place { session: "s_0002", ..PLACE },
            Place { session: "", ..PLACE },
            // The same letters, split elsewhere.
            Place { gateway: "gw-1s", session: "_0001", ..PLACE },
            Place { record: PLACE.record + 1, ..PLACE },
            Place { column: PLACE.column + 1, ..PLACE },
        ] {
            assert_eq!(
                key.open(&place, &sealed),
                Err(SealError::NotOpened {
                    session: place.session.to_owned(),
                    record: place.record,
                    column: place.column
                }),
            );
        }
    }

    #[test]
    fn every_flipped_bit_every_cut_and_another_key_are_refused() {
        let key = known_key();
        let sealed = key.seal(&PLACE, b"select 1").unwrap();
        assert_eq!(sealed.len(), 8 + SEAL_OVERHEAD_BYTES);
        for bit in 0..sealed.len() * 8 {
            let mut changed = sealed.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(key.open(&PLACE, &changed).is_err(), "bit {bit}");
        }
        for length in 0..sealed.len() {
            assert!(key.open(&PLACE, &sealed[..length]).is_err(), "cut to {length}");
        }
        assert!(DataKey::random().unwrap().open(&PLACE, &sealed).is_err());
    }

    #[test]
    fn every_place_has_a_nonce_of_its_own() {
        let numbers = [0, 1, 2, 0xff, 0x100, 0xffff_ffff];
        let mut seen = std::collections::HashSet::new();
        for record in numbers.into_iter().chain([u64::MAX].map(|_| 7)) {
            for column in numbers {
                let place = Place { record, column: u32::try_from(column).unwrap(), ..PLACE };
                assert!(seen.insert(*nonce(&place).as_ref()), "{place:?}");
            }
        }
    }

    #[test]
    fn a_key_is_never_printed() {
        let mut bytes = [0xab; DATA_KEY_BYTES];
        let key = DataKey::take(&mut bytes).unwrap();
        assert_eq!(format!("{key:?}"), "DataKey(***)");
        assert_eq!(bytes, [0; DATA_KEY_BYTES], "what it was made from is wiped");
    }

    proptest! {
        #[test]
        fn what_is_sealed_opens_and_is_the_same_each_time(
            gateway: String, session: String, record: u64, column: u32, plain: Vec<u8>,
        ) {
            let key = DataKey::random().unwrap();
            let place = Place { gateway: &gateway, session: &session, record, column };
            let sealed = key.seal(&place, &plain).unwrap();
            prop_assert_eq!(&sealed, &key.seal(&place, &plain).unwrap());
            prop_assert_eq!(key.open(&place, &sealed).unwrap(), plain);
        }

        #[test]
        fn opening_anything_never_panics(sealed: Vec<u8>) {
            prop_assert!(known_key().open(&PLACE, &sealed).is_err());
        }
    }
}
