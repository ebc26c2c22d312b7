//! What the fuzz targets do with arbitrary bytes. None of it may panic, hang or grow without bound.

mod postgres_session;

use std::path::PathBuf;
use std::sync::OnceLock;

use detect::{Scanner, TypeSet};
use model::{Event, EventBody, SessionId, Timestamp};
use store::Journal;

pub use postgres_session::{postgres_client, postgres_copy, postgres_upstream};
pub use sql::fuzz as sql;

/// Scans for every type; spans must be sound and a "no" of the prefilter must be certain.
pub fn detect(data: &[u8]) {
    static SCANNER: OnceLock<Scanner> = OnceLock::new();
    let scanner = SCANNER.get_or_init(|| Scanner::new(TypeSet::ALL));
    let mut found = Vec::new();
    scanner.scan(data, &mut found);
    let mut last = 0;
    for span in &found {
        assert!(span.start >= last && span.start < span.end && span.end <= data.len());
        last = span.end;
    }
    assert!(found.is_empty() || scanner.may_contain(data));
}

/// Compiles any text as a rule's condition, and any text as a block's words.
pub fn rules(data: &[u8]) {
    let text = String::from_utf8_lossy(data).replace(['`', '\n', '\r'], " ");
    let resource = model::Resource { name: "appdb".into(), kind: "postgres".into() };
    let words = text.replace(['"', '\\'], " ");
    for rule in [format!("r when `{text}` block \"no\""), format!("r block \"{words}\"")] {
        // Whether it compiles is the policy's business; here it only has to say so.
        drop(testkit::rules::compile(&postgres::POSTGRES, &[resource.clone()], true, &[rule], 1));
    }
}

/// Reads any bytes as a segment of a journal, or a good segment with any of its bytes changed.
pub fn journal(data: &[u8]) {
    const GATEWAY: &str = "gw-fuzz";
    static GOOD: OnceLock<(PathBuf, Vec<u8>)> = OnceLock::new();
    let (folder, good) = GOOD.get_or_init(|| {
        let folder = std::env::temp_dir().join(format!("narrows-fuzz-{}", std::process::id()));
        drop(std::fs::remove_dir_all(&folder));
        std::fs::create_dir_all(&folder).expect("a folder for the journal");
        let (journal, _) =
            Journal::open(&folder, GATEWAY, Default::default()).expect("a journal");
        for number in 1..=8 {
            journal.append(&[event(GATEWAY, number)]).expect("an event is kept");
        }
        drop(journal);
        let path = folder.join(format!("{GATEWAY}-0000000001.nj"));
        let good = std::fs::read(path).expect("the first segment");
        (folder, good)
    });
    let Some((kind, rest)) = data.split_first() else { return };
    let bytes = if kind & 1 == 0 {
        let mut bytes = good.clone();
        for change in rest.chunks_exact(3) {
            let at = usize::from(u16::from_le_bytes([change[0], change[1]])) % bytes.len();
            bytes[at] ^= change[2];
        }
        bytes.truncate(bytes.len() - usize::from(kind >> 1).min(bytes.len()));
        bytes
    } else {
        rest.to_vec()
    };
    std::fs::write(folder.join(format!("{GATEWAY}-0000000001.nj")), bytes).expect("a segment");
    if let Ok(reader) = store::journal::Reader::open(folder, GATEWAY) {
        // A reader that never ends would be a hang.
        assert!(reader.take(100_000).count() < 100_000);
    }
}

fn event(gateway: &str, sequence: u64) -> Event {
    Event {
        v: model::event::EVENT_VERSION,
        at: Timestamp(sequence),
        gateway: gateway.into(),
        session: Some(SessionId("s-1".into())),
        sequence,
        principal: Some("agent-7".into()),
        resource: None,
        body: EventBody::Cancel {},
        payload: vec![b'x'; 100],
    }
}
