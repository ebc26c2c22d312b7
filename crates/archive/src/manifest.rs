//! Manifests: what a gateway signed, in an unbroken chain from its first to its newest.
//!
//! A manifest is a text of two lines. The first is JSON and says what the archive holds; the second
//! holds the signature of the first:
//!
//! ```text
//! {"version":1,"gateway":"gw-…","number":12,"previous":"…","at":"2026-11-29T04:11:00Z",…}
//! {"signature":"…"}
//! ```
//!
//! The signature is Ed25519 (RFC 8032) over `narrows manifest v1`, a line feed and the first line
//! without its line feed. `previous` is the SHA-256 of the whole manifest before, both lines with
//! their line feeds; of the first, 64 zeros.

use std::fmt;

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use model::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::merkle::{Hash, hex, sha256, unhex};

/// The version of manifests that this build writes and reads.
pub const MANIFEST_VERSION: u32 = 1;
/// Bytes of a manifest at most.
pub const MANIFEST_BYTES_MAX: usize = 1024 * 1024;
const SIGNED_PREFIX: &[u8] = b"narrows manifest v1\n";
/// What comes before the 32 bytes of a public key in its standard form (RFC 8410, section 4).
const SPKI_PREFIX: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0];

/// A SHA-256 that is written in lower-case hexadecimal.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct HexHash(pub Hash);

impl fmt::Display for HexHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

impl Serialize for HexHash {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&hex(&self.0))
    }
}

impl<'de> Deserialize<'de> for HexHash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        unhex(&text)
            .map(Self)
            .ok_or_else(|| de::Error::custom("a hash is 64 lower-case hexadecimal digits"))
    }
}

/// What a gateway says of its archive since the manifest before.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// [`MANIFEST_VERSION`].
    pub version: u32,
    /// Which gateway.
    pub gateway: String,
    /// Numbers the gateway's manifests, from 1.
    pub number: u64,
    /// SHA-256 of the one before.
    pub previous: HexHash,
    /// When it was signed: RFC 3339, UTC.
    pub at: String,
    /// The version of the columns in the files: [`crate::schema::SCHEMA_VERSION`].
    pub schema: u32,
    /// The number of the last event archived up to and including this manifest; 0 before any.
    pub last: u64,
    /// The segments of the journal that became part of the archive; none when nothing happened.
    pub segments: Vec<Segment>,
}

/// A segment of the journal in the archive.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Segment {
    /// Its number.
    pub segment: u64,
    /// The number of its first event.
    pub first: u64,
    /// The number of its last event.
    pub last: u64,
    /// Its events.
    pub rows: u64,
    /// The root of the Merkle tree of their leaves, in the order of their numbers.
    pub root: HexHash,
    /// The files that hold them: one for each hour.
    pub files: Vec<File>,
    /// Places of the segment that could not be read; their events are not in the archive.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub damage: Vec<Damage>,
}

/// A Parquet file.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct File {
    /// Its path in the store.
    pub path: String,
    /// Bytes.
    pub bytes: u64,
    /// Of its bytes.
    pub sha256: HexHash,
    /// Its events.
    pub rows: u64,
}

/// A place in a segment that could not be read.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Damage {
    /// Bytes from the segment's beginning.
    pub offset: u64,
    /// What was found.
    pub what: String,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct SignatureLine {
    signature: String,
}

/// Why a text is no manifest that one may believe.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum ManifestError {
    /// It has another form.
    #[error("it is no manifest: {0}")]
    Form(String),
    /// It was made by a later version.
    #[error("it has version {0}; this build reads version {MANIFEST_VERSION}")]
    Version(u32),
    /// The signature is not by that key, or the text was changed.
    #[error("its signature is not one of the key {0}")]
    Signature(PublicKey),
}

/// The key that a gateway signs with.
pub struct SigningKey(Ed25519KeyPair);

impl SigningKey {
    /// A new key, and its text for a file: PEM, PKCS #8 (RFC 8410).
    pub fn make() -> Result<(Self, String), KeyError> {
        let pair = Ed25519KeyPair::generate().map_err(|_| KeyError::Random)?;
        let document = pair.to_pkcs8v1().map_err(|_| KeyError::Random)?;
        Ok((Self(pair), pem("PRIVATE KEY", document.as_ref())))
    }

    /// Reads the text of [`Self::make`].
    pub fn read(text: &str) -> Result<Self, KeyError> {
        let document = unpem("PRIVATE KEY", text).ok_or(KeyError::Form)?;
        Ed25519KeyPair::from_pkcs8(&document).map(Self).map_err(|_| KeyError::Form)
    }

    /// The key that checks what this one signs.
    #[must_use]
    pub fn public(&self) -> PublicKey {
        let mut key = [0; 32];
        key.iter_mut().zip(self.0.public_key().as_ref()).for_each(|(to, from)| *to = *from);
        PublicKey(key)
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({})", self.public())
    }
}

/// Why a key cannot be used.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum KeyError {
    /// No randomness.
    #[error("the system gives no randomness for a key")]
    Random,
    /// The text holds no Ed25519 key.
    #[error("it holds no Ed25519 key; a PEM text or 64 hexadecimal digits are wanted")]
    Form,
}

/// The key that checks a gateway's manifests.
#[derive(Clone, Copy, Eq, PartialEq)]
pub struct PublicKey(pub [u8; 32]);

impl PublicKey {
    /// Reads PEM (`openssl pkey -pubout`) or 64 hexadecimal digits.
    pub fn read(text: &str) -> Result<Self, KeyError> {
        if let Some(key) = unhex(text.trim()) {
            return Ok(Self(key));
        }
        let document = unpem("PUBLIC KEY", text).ok_or(KeyError::Form)?;
        let key = document.strip_prefix(&SPKI_PREFIX).and_then(|key| key.try_into().ok());
        key.map(Self).ok_or(KeyError::Form)
    }

    /// PEM, as other tools take it.
    #[must_use]
    pub fn pem(&self) -> String {
        pem("PUBLIC KEY", &[SPKI_PREFIX.as_slice(), &self.0].concat())
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({self})")
    }
}

fn pem(label: &str, bytes: &[u8]) -> String {
    use base64::Engine as _;
    let body = base64::engine::general_purpose::STANDARD.encode(bytes);
    format!("-----BEGIN {label}-----\n{body}\n-----END {label}-----\n")
}

fn unpem(label: &str, text: &str) -> Option<Vec<u8>> {
    use base64::Engine as _;
    let body = text.trim().strip_prefix(&format!("-----BEGIN {label}-----"))?;
    let body = body.strip_suffix(&format!("-----END {label}-----"))?;
    let body: String = body.split_whitespace().collect();
    base64::engine::general_purpose::STANDARD.decode(body).ok()
}

impl Manifest {
    /// The signed text.
    #[must_use]
    pub fn sign(&self, key: &SigningKey) -> Vec<u8> {
        // Texts, numbers and lists: it always has a form.
        let line = serde_json::to_vec(self).unwrap_or_default();
        let signature = key.0.sign(&[SIGNED_PREFIX, &line].concat());
        let signature = SignatureLine { signature: hex(signature.as_ref()) };
        let second = serde_json::to_vec(&signature).unwrap_or_default();
        [line.as_slice(), b"\n", &second, b"\n"].concat()
    }

    /// Reads a manifest without believing it.
    pub fn read(text: &[u8]) -> Result<Unproved<'_>, ManifestError> {
        let form = |what: &str| ManifestError::Form(what.to_owned());
        if text.len() > MANIFEST_BYTES_MAX {
            return Err(form("it is longer than 1 MiB"));
        }
        let mut lines = text.split_inclusive(|byte| *byte == b'\n');
        let (first, second) = (lines.next(), lines.next());
        let (Some(first), Some(second), None) = (first, second, lines.next()) else {
            return Err(form("it has not two lines"));
        };
        let (Some(first), Some(second)) = (first.strip_suffix(b"\n"), second.strip_suffix(b"\n"))
        else {
            return Err(form("its last line has no end"));
        };
        let manifest: Manifest = serde_json::from_slice(first)
            .map_err(|error| ManifestError::Form(format!("line 1: {error}")))?;
        if manifest.version != MANIFEST_VERSION {
            return Err(ManifestError::Version(manifest.version));
        }
        let line: SignatureLine = serde_json::from_slice(second)
            .map_err(|error| ManifestError::Form(format!("line 2: {error}")))?;
        // One text, one form: what is not signed itself cannot be changed unseen either.
        if serde_json::to_vec(&line).ok().as_deref() != Some(second) {
            return Err(form("line 2 is not written as a gateway writes it"));
        }
        let signature = unhex::<64>(&line.signature)
            .ok_or_else(|| form("line 2: a signature is 128 lower-case hexadecimal digits"))?;
        Ok(Unproved { manifest, line: first, signature, hash: sha256(text) })
    }

    /// When it was signed.
    #[must_use]
    pub fn signed_at(&self) -> Option<Timestamp> {
        parse_time(&self.at)
    }
}

/// A manifest whose signature was not checked.
#[derive(Clone, Debug)]
pub struct Unproved<'a> {
    /// What it says.
    pub manifest: Manifest,
    line: &'a [u8],
    signature: [u8; 64],
    /// SHA-256 of the whole text, which the next one names.
    pub hash: Hash,
}

impl Unproved<'_> {
    /// Whether one of these keys signed it.
    #[must_use]
    pub fn is_signed_by(&self, keys: &[PublicKey]) -> bool {
        let signed = [SIGNED_PREFIX, self.line].concat();
        let by = |key: &PublicKey| {
            UnparsedPublicKey::new(&ED25519, key.0).verify(&signed, &self.signature).is_ok()
        };
        keys.iter().any(by)
    }

    /// What it says, if `key` signed it.
    pub fn proved_by(self, key: PublicKey) -> Result<Manifest, ManifestError> {
        match self.is_signed_by(&[key]) {
            true => Ok(self.manifest),
            false => Err(ManifestError::Signature(key)),
        }
    }
}

/// RFC 3339 in UTC, as precise as it has to be.
#[must_use]
pub fn format_time(at: Timestamp) -> String {
    let time = jiff::Timestamp::from_nanosecond(i128::from(at.0)).unwrap_or_default();
    time.to_string()
}

/// What [`format_time`] writes, and any other time in RFC 3339.
#[must_use]
pub fn parse_time(text: &str) -> Option<Timestamp> {
    let time: jiff::Timestamp = text.parse().ok()?;
    u64::try_from(time.as_nanosecond()).ok().map(Timestamp)
}

/// Where the manifests of a gateway are.
#[must_use]
pub fn folder(gateway: &str) -> String {
    format!("manifests/gateway={gateway}")
}

/// Where a manifest is.
#[must_use]
pub fn path(gateway: &str, at: Timestamp, number: u64) -> String {
    format!("{}/date={}/{number:012}.manifest", folder(gateway), crate::convert::date(at))
}

/// The number in the path of a manifest.
#[must_use]
pub fn number_in(path: &str) -> Option<u64> {
    path.rsplit('/').next()?.strip_suffix(".manifest")?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn manifest() -> Manifest {
        Manifest {
            version: MANIFEST_VERSION,
            gateway: "gw-1".to_owned(),
            number: 7,
            previous: HexHash([9; 32]),
            at: "2026-11-29T04:11:00.5Z".to_owned(),
            schema: 1,
            last: 12,
            segments: vec![Segment {
                segment: 3,
                first: 5,
                last: 12,
                rows: 8,
                root: HexHash([1; 32]),
                files: vec![File {
                    path: "events/date=2026-11-29/hour=04/gw-1-0000000003.parquet".to_owned(),
                    bytes: 9,
                    sha256: HexHash([2; 32]),
                    rows: 8,
                }],
                damage: Vec::new(),
            }],
        }
    }

    #[test]
    fn p6_a_manifest_is_believed_by_its_signature_alone() {
        let (key, text) = SigningKey::make().unwrap();
        let again = SigningKey::read(&text).unwrap();
        assert_eq!(again.public(), key.public());
        let signed = manifest().sign(&key);
        let read = Manifest::read(&signed).unwrap();
        assert_eq!(read.clone().proved_by(key.public()), Ok(manifest()));
        let (other, _) = SigningKey::make().unwrap();
        assert!(matches!(read.proved_by(other.public()), Err(ManifestError::Signature(_))));
    }

    #[test]
    fn p6_no_bit_of_a_manifest_can_change_unseen() {
        let (key, _) = SigningKey::make().unwrap();
        let signed = manifest().sign(&key);
        for at in 0..signed.len() {
            for bit in 0..8 {
                let mut changed = signed.clone();
                changed[at] ^= 1 << bit;
                let believed =
                    Manifest::read(&changed).is_ok_and(|read| read.is_signed_by(&[key.public()]));
                assert!(!believed, "byte {at}, bit {bit}");
            }
        }
        for length in 0..signed.len() {
            let believed = Manifest::read(&signed[..length])
                .is_ok_and(|read| read.is_signed_by(&[key.public()]));
            assert!(!believed, "cut to {length}");
        }
    }

    #[test]
    fn a_public_key_reads_as_other_tools_write_it() {
        let (key, _) = SigningKey::make().unwrap();
        let public = key.public();
        assert_eq!(PublicKey::read(&public.pem()), Ok(public));
        assert_eq!(PublicKey::read(&format!("{public}\n")), Ok(public));
        for bad in ["", "-----BEGIN PUBLIC KEY-----\n-----END PUBLIC KEY-----", "ff"] {
            assert_eq!(PublicKey::read(bad), Err(KeyError::Form), "{bad}");
        }
    }

    #[test]
    fn times_read_back() {
        for at in [0, 1_700_000_000_123_456_789, 1_700_000_000_000_000_000] {
            assert_eq!(parse_time(&format_time(Timestamp(at))), Some(Timestamp(at)));
        }
        assert_eq!(number_in(&path("gw-1", Timestamp(0), 42)), Some(42));
    }

    proptest! {
        #[test]
        fn p8_no_text_is_too_odd_to_be_refused(text: Vec<u8>) {
            let _ = Manifest::read(&text);
        }
    }
}
