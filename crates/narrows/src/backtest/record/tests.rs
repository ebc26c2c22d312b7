//! The order in which a record is handed on, and what becomes of one that cannot be read.

use std::fs;

use archive::Location;
use serde_json::json;
use store::Journal;
use store::journal::Options;

use super::*;

const HOUR: u64 = 3_600_000_000_000;
const FROM: Timestamp = Timestamp(124 * HOUR);
const TO: Timestamp = Timestamp(130 * HOUR);

/// A folder of its own, removed at the end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let name = format!("narrows-record-{name}-{}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn event(at: u64, session: &str, kind: &str) -> model::Event {
    let identity = json!({
        "subject": "ann", "kind": "agent", "groups": [], "issuer": "narrows",
        "on_behalf_of_groups": [],
    });
    serde_json::from_value(json!({
        "v": 1, "at": Timestamp(at), "gateway": "gw", "session": session, "sequence": 1,
        "kind": kind, "identity": identity, "client": "c", "application": null,
        "protocol": "postgres", "operation": 1, "step": "query", "text": "SELECT 1",
        "decision": "allow",
    }))
    .unwrap()
}

/// What is read, `kind session`, and what could not be.
fn read(record: &Record) -> (Vec<String>, Vec<String>) {
    let (mut told, mut coverage) = (Vec::new(), Coverage::default());
    record
        .read("gw", (FROM, TO), &mut coverage, &mut |row| {
            told.push(format!("{} {}", row.kind, row.session.unwrap_or_default()));
        })
        .unwrap();
    (told, coverage.unread)
}

#[test]
fn a_session_begins_before_what_it_did_wherever_its_beginning_is() {
    let (journal, store) = (Folder::new("journal"), Folder::new("store"));
    let (written, _) = Journal::open(&journal.0, "gw", Options::default()).unwrap();
    // Two long sessions, the later of which is read of first.
    let early = [
        event(FROM.0 - 20 * HOUR, "s_1", "session_started"),
        event(FROM.0 - 10 * HOUR, "s_2", "session_started"),
        event(FROM.0 - 9 * HOUR, "s_3", "session_started"),
    ];
    written.append(&early).unwrap();
    written.rotate().unwrap();
    written
        .append(&[event(FROM.0, "s_2", "operation"), event(FROM.0, "s_1", "operation")])
        .unwrap();
    written.rotate().unwrap();
    written.append(&[event(FROM.0 + 1, "s_1", "operation")]).unwrap();
    written.sync().unwrap();
    let expected = [
        "session_started s_1",
        "session_started s_2",
        "operation s_2",
        "operation s_1",
        "operation s_1",
    ];
    let bucket = Arc::new(Bucket::open(&Location::Folder(store.0.clone()), true).unwrap());
    let both = Record { bucket: Some(bucket), journal: Some(journal.0.clone()), key: Ok(None) };
    assert_eq!(read(&both), (expected.map(str::to_owned).into(), Vec::new()), "the journal alone");
    for segment in written.closed_segments().unwrap() {
        let records = written.read_segment(segment).unwrap();
        let converted = convert::convert("gw", segment, records, None).unwrap();
        for (path, bytes) in converted.files {
            both.bucket.as_ref().unwrap().put(&path, bytes).unwrap();
        }
    }
    assert_eq!(read(&both), (expected.map(str::to_owned).into(), Vec::new()), "what is in both");
    // Of a copy of the archive.
    let copy = Record { journal: None, ..both };
    let archived = expected.get(..4).unwrap().iter().map(|line| (*line).to_owned());
    assert_eq!(read(&copy), (archived.collect(), Vec::new()));
}

#[test]
fn a_journal_that_cannot_be_read_is_an_error() {
    let folder = Folder::new("unread");
    let file = folder.0.join("journal");
    fs::write(&file, "no folder").unwrap();
    let record = Record { bucket: None, journal: Some(file), key: Ok(None) };
    let error = record.gateways(FROM, TO).unwrap_err();
    assert!(format!("{error:#}").starts_with("read the journal "), "{error:#}");
}
