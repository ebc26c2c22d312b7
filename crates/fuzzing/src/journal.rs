//! Any bytes as a segment of a journal, in clear or sealed: as they are, as a good segment with
//! bytes changed, or as records that are whole, in a segment that says anything of itself.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::digest::{Context, SHA256};
use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Prk, Salt};
use bytes::BufMut as _;
use crc32c::{crc32c, crc32c_append};
use model::{Event, EventBody, SessionId, Timestamp};
use store::journal::{JournalLock, Reader, Sealing};
use store::{InstallationKey, Journal, JournalError, JournalKey, Recovery};

use crate::bytes_of::BytesOf;

const GATEWAY: &str = "gw-fuzz";
/// Bytes of one copy of a segment's header.
const HEADER_BYTES: usize = 128;
/// More items than any of these inputs can hold.
const ITEMS_MAX: usize = 100_000;

/// A folder of this process, emptied.
fn folder() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| std::env::temp_dir().join(format!("narrows-fuzz-{}", std::process::id())))
}

fn empty_folder() {
    if let Ok(entries) = std::fs::read_dir(folder()) {
        for entry in entries.flatten() {
            std::fs::remove_file(entry.path()).expect("a file of ours is removed");
        }
    }
    std::fs::create_dir_all(folder()).expect("a folder for the journal");
}

fn segment_path(number: u64) -> PathBuf {
    folder().join(format!("{GATEWAY}-{number:010}.nj"))
}

/// Whether what a journal holds is sealed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Form {
    /// Format 1.
    Clear,
    /// Format 2.
    Sealed,
}

fn installation() -> InstallationKey {
    InstallationKey::from_bytes(&[7; 32]).expect("a key that is long enough")
}

fn key() -> JournalKey {
    JournalKey::of(&installation())
}

fn open(form: Form) -> Result<(Journal, Recovery), JournalError> {
    let sealing = match form {
        Form::Clear => Sealing::Opens(key()),
        Form::Sealed => Sealing::Seals(key()),
    };
    JournalLock::take(folder(), GATEWAY)?.open(Default::default(), sealing)
}

/// A segment of eight events, as the store writes it.
pub fn good(form: Form) -> &'static [u8] {
    static CLEAR: OnceLock<Vec<u8>> = OnceLock::new();
    static SEALED: OnceLock<Vec<u8>> = OnceLock::new();
    let made = match form {
        Form::Clear => &CLEAR,
        Form::Sealed => &SEALED,
    };
    made.get_or_init(|| {
        empty_folder();
        let (journal, _) = open(form).expect("a journal");
        for number in 1..=8 {
            journal.append(&[event(number)]).expect("an event is kept");
        }
        drop(journal);
        std::fs::read(segment_path(1)).expect("the first segment")
    })
}

/// An event.
fn event(sequence: u64) -> Event {
    Event {
        v: model::event::EVENT_VERSION,
        at: Timestamp(sequence),
        gateway: GATEWAY.into(),
        session: Some(SessionId("s-1".into())),
        sequence,
        principal: Some("agent-7".into()),
        on_behalf_of: None,
        resource: None,
        body: EventBody::Cancel {},
        payload: vec![b'x'; 100],
    }
}

/// What a segment says of itself.
struct Header {
    form: Form,
    segment: u64,
    sequence: u64,
    previous: [u8; 32],
    salt: [u8; 16],
}

impl Header {
    /// Both copies, with a checksum that is right; the check of the key is off by `off`.
    fn write(&self, off: u8) -> Vec<u8> {
        let mut copy = b"NARROWSJ".to_vec();
        let (format, mut check) = match self.form {
            Form::Clear => (1, [0; 4]),
            Form::Sealed => (2, self.check()),
        };
        check[3] ^= off;
        copy.put_u16_le(format);
        copy.put_u16_le(u16::try_from(GATEWAY.len()).expect("a short name"));
        copy.extend_from_slice(&check);
        copy.put_u64_le(self.segment);
        copy.put_u64_le(self.sequence);
        copy.extend_from_slice(&self.previous);
        copy.extend_from_slice(&self.salt);
        copy.extend_from_slice(GATEWAY.as_bytes());
        copy.resize(HEADER_BYTES - 4, 0);
        let checksum = crc32c(&copy);
        copy.put_u32_le(checksum);
        copy.repeat(2)
    }

    fn parent(&self) -> Prk {
        Salt::new(HKDF_SHA256, &self.salt).extract(installation().derive("journal").expose())
    }

    /// What tells the key from another.
    fn check(&self) -> [u8; 4] {
        struct Four;
        impl KeyType for Four {
            fn len(&self) -> usize {
                4
            }
        }
        let label = b"narrows journal v2, check of segment ";
        let about = [&label[..], &self.segment.to_le_bytes(), GATEWAY.as_bytes()];
        let mut check = [0; 4];
        let parent = self.parent();
        parent.expand(&about, Four).and_then(|okm| okm.fill(&mut check)).expect("four bytes");
        check
    }

    /// A body as this segment has it where a record begins at `at`.
    fn sealed(&self, body: Vec<u8>, number: u32, at: usize) -> Vec<u8> {
        if self.form == Form::Clear {
            return body;
        }
        let label = b"narrows journal v2, key of segment ";
        let about = [&label[..], &self.segment.to_le_bytes(), GATEWAY.as_bytes()];
        let parent = self.parent();
        let key = UnboundKey::from(parent.expand(&about, &AES_256_GCM).expect("a key"));
        let mut nonce = [5; 12];
        nonce[8..].copy_from_slice(&number.to_le_bytes());
        let mut sealed = body;
        LessSafeKey::new(key)
            .seal_in_place_append_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from((at as u64).to_le_bytes()),
                &mut sealed,
            )
            .expect("it is sealed");
        [&b"nj2:"[..], &nonce, &sealed].concat()
    }

    /// A record with this body, whole; the chain goes on.
    fn record(&self, body: &[u8], chain: &mut [u8; 32]) -> Vec<u8> {
        let mut context = Context::new(&SHA256);
        context.update(chain);
        context.update(body);
        chain.copy_from_slice(context.finish().as_ref());
        let length = u32::try_from(body.len()).expect("a short body").to_le_bytes();
        let rest = [&chain[..], body].concat();
        let checksum = crc32c_append(crc32c_append(crc32c(&self.salt), &length), &rest);
        [&length[..], &checksum.to_le_bytes(), &rest].concat()
    }
}

/// Numbers near those from which nobody can count on, and others.
fn number(input: &mut BytesOf<'_>) -> u64 {
    let near = u64::from(input.byte());
    match input.choice(6) {
        0 => near,
        1 => u64::MAX - near,
        2 => (1 << 63) + near,
        3 => (1 << 63) - 1 - near,
        4 => (1 << 32) + near,
        _ => 1,
    }
}

/// The record of an event whose numbers the input chooses, or of any body.
fn body(input: &mut BytesOf<'_>) -> Vec<u8> {
    let mut body = vec![0; 4];
    if input.byte() & 1 == 0 {
        let payload = input.text().unwrap_or_default();
        let json = format!(
            r#"{{"v":1,"at":{},"gateway":"{GATEWAY}","sequence":{},"kind":"cancel"}}"#,
            number(input),
            number(input)
        );
        body[..4].copy_from_slice(&u32::try_from(json.len()).expect("short").to_le_bytes());
        body.extend_from_slice(json.as_bytes());
        body.extend_from_slice(payload);
    } else {
        body[3] = input.byte() & 1;
        body[0] = input.byte();
        body.extend_from_slice(input.text().unwrap_or_default());
    }
    body
}

/// Reading ends; what can be read is in order; opening mends what it can, and then the journal
/// takes an event that can be read again (P5).
pub fn journal(data: &[u8]) {
    let mut input = BytesOf(data);
    let (kind, flags) = (input.choice(3), input.byte());
    let recovers = flags & 1 == 1;
    let form = if flags & 2 == 0 { Form::Clear } else { Form::Sealed };
    let good = good(form);
    empty_folder();
    let mut name = 1;
    let bytes = match kind {
        0 => {
            let mut bytes = good.to_vec();
            let cut = usize::from(input.byte());
            for change in input.0.chunks_exact(3) {
                let at = usize::from(u16::from_le_bytes([change[0], change[1]])) % bytes.len();
                bytes[at] ^= change[2];
            }
            bytes.truncate(bytes.len() - cut.min(bytes.len()));
            bytes
        }
        1 => input.0.to_vec(),
        _ => {
            let mut header = Header {
                form,
                segment: number(&mut input),
                sequence: number(&mut input),
                previous: [input.byte(); 32],
                salt: [input.byte(); 16],
            };
            name = number(&mut input);
            if input.byte() & 1 == 0 {
                header.segment = name;
            }
            let mut bytes = header.write(flags & 4);
            let mut chain = header.previous;
            let mut number = 0;
            while !input.0.is_empty() {
                let mut body = body(&mut input);
                // Some as whoever has no key would write them.
                if flags & 8 == 0 || number % 2 == 0 {
                    body = header.sealed(body, number, bytes.len());
                }
                bytes.extend(header.record(&body, &mut chain));
                number += 1;
            }
            bytes
        }
    };
    std::fs::write(segment_path(name), &bytes).expect("a segment");
    read(&bytes);
    if recovers {
        recover(form);
    }
}

fn read(bytes: &[u8]) {
    let Ok(reader) = Reader::open(folder(), GATEWAY, Some(&key())) else { return };
    let (mut last, mut items) = (0, 0);
    for item in reader.take(ITEMS_MAX) {
        items += 1;
        if let Ok(record) = item {
            assert!(record.position.sequence > last, "numbers go back at {:?}", record.position);
            assert!(record.stop <= bytes.len() as u64 && record.position.offset < record.stop);
            last = record.position.sequence;
        }
    }
    assert!(items < ITEMS_MAX, "a reader that does not end");
}

fn recover(form: Form) {
    let Ok((journal, _)) = open(form) else { return };
    let kept = journal.append(&[event(77)]).expect("a mended journal takes an event");
    let last = journal.read().expect("it can be read").filter_map(Result::ok).last();
    let last = last.expect("the event is there");
    assert_eq!(last.position, kept, "the event is somewhere else than said");
    assert_eq!(last.event, event(77), "another event than was kept");
}
