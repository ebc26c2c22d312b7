//! Any bytes as a segment of a journal: as they are, as a good segment with bytes changed, or as
//! records that are whole, in a segment that says anything of itself.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use aws_lc_rs::digest::{Context, SHA256};
use bytes::BufMut as _;
use crc32c::{crc32c, crc32c_append};
use model::{Event, EventBody, SessionId, Timestamp};
use store::Journal;
use store::journal::Reader;

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

/// A segment of eight events, as the store writes it.
pub fn good() -> &'static [u8] {
    static GOOD: OnceLock<Vec<u8>> = OnceLock::new();
    GOOD.get_or_init(|| {
        empty_folder();
        let (journal, _) = Journal::open(folder(), GATEWAY, Default::default()).expect("a journal");
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
        resource: None,
        body: EventBody::Cancel {},
        payload: vec![b'x'; 100],
    }
}

/// What a segment says of itself.
struct Header {
    segment: u64,
    sequence: u64,
    previous: [u8; 32],
    salt: [u8; 16],
}

impl Header {
    /// Both copies, with a checksum that is right.
    fn write(&self) -> Vec<u8> {
        let mut copy = b"NARROWSJ".to_vec();
        copy.put_u16_le(1);
        copy.put_u16_le(u16::try_from(GATEWAY.len()).expect("a short name"));
        copy.put_u32_le(0);
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
    let good = good();
    let mut input = BytesOf(data);
    let (kind, recovers) = (input.choice(3), input.byte() & 1 == 1);
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
                segment: number(&mut input),
                sequence: number(&mut input),
                previous: [input.byte(); 32],
                salt: [input.byte(); 16],
            };
            name = number(&mut input);
            if input.byte() & 1 == 0 {
                header.segment = name;
            }
            let mut bytes = header.write();
            let mut chain = header.previous;
            while !input.0.is_empty() {
                let body = body(&mut input);
                bytes.extend(header.record(&body, &mut chain));
            }
            bytes
        }
    };
    std::fs::write(segment_path(name), &bytes).expect("a segment");
    read(&bytes);
    if recovers {
        recover();
    }
}

fn read(bytes: &[u8]) {
    let Ok(reader) = Reader::open(folder(), GATEWAY) else { return };
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

fn recover() {
    let Ok((journal, _)) = Journal::open(folder(), GATEWAY, Default::default()) else { return };
    let kept = journal.append(&[event(77)]).expect("a mended journal takes an event");
    let last = journal.read().expect("it can be read").filter_map(Result::ok).last();
    let last = last.expect("the event is there");
    assert_eq!(last.position, kept, "the event is somewhere else than said");
    assert_eq!(last.event, event(77), "another event than was kept");
}
