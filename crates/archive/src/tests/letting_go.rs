//! What the journal lets go of: nothing that the archive does not have, and nothing that holds up
//! the rest.

use std::fs;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use model::Timestamp;

use super::made::{Lab, NO_KEEPING, after};
use crate::archiver::{ArchiveError, Archiver, Options, Stayed, Why};
use crate::bucket::{Bucket, Location};
use crate::verify::{self, Wrong};

const FOR_EVER: Options =
    Options { every: Duration::from_secs(60), keep: Duration::from_secs(u32::MAX as u64) };

fn closed(lab: &Lab) -> Vec<u64> {
    lab.journal.closed_segments().unwrap()
}

#[test]
fn p5_a_segment_that_is_longer_than_when_it_was_archived_stays() {
    let lab = Lab::new();
    lab.append(1, 0..10);
    lab.rounds(FOR_EVER).round(after(60)).unwrap();
    // A copy of the data folder that was made while it was written to.
    let path = lab.journal.segment_path(1);
    let mut text = fs::read(&path).unwrap();
    text.extend(b"events of later");
    fs::write(&path, text).unwrap();
    let mut rounds = lab.rounds(NO_KEEPING);
    rounds.round(after(120)).unwrap();
    assert_eq!(closed(&lab), [1]);
    let stayed = rounds.purge(after(180)).unwrap();
    assert_eq!(stayed, [Stayed { path, why: Why::NotArchived }]);
}

#[test]
fn p5_a_segment_with_no_header_is_signed_as_damage_and_holds_up_no_other() {
    for length in [0, 4096] {
        let lab = Lab::new();
        for number in 0..3 {
            lab.append(number, number * 10..number * 10 + 10);
            lab.journal.rotate().unwrap();
        }
        fs::write(lab.journal.segment_path(2), vec![0; length]).unwrap();
        let done = lab.rounds(NO_KEEPING).round(after(60)).unwrap();
        assert_eq!((done.segments, done.rows, done.more), (3, 20, false));
        let options = verify::Options { keys: vec![lab.public().into()], ..Default::default() };
        let report = verify::verify(&lab.bucket, &options).unwrap();
        assert!(report.problems.iter().any(|of| of.wrong == Wrong::Damaged), "{report:?}");
        lab.rounds(NO_KEEPING).round(after(120)).unwrap();
        assert_eq!(closed(&lab), [2], "it is evidence");
    }
}

#[test]
fn p5_a_store_that_lacks_what_was_archived_gets_nothing_and_nothing_is_let_go_of() {
    let mut lab = Lab::new();
    let events = lab.append(1, 0..10);
    lab.rounds(FOR_EVER).round(after(60)).unwrap();
    let elsewhere = lab.folder.path().join("elsewhere");
    lab.bucket = Arc::new(Bucket::open(&Location::Folder(elsewhere.clone()), true).unwrap());
    lab.append(2, 10..20);
    let mut rounds = lab.rounds(NO_KEEPING);
    let error = rounds.round(after(120)).unwrap_err();
    assert!(matches!(error, ArchiveError::Elsewhere { .. }), "{error}");
    assert!(error.to_string().contains("was recording.store changed?"), "{error}");
    assert_eq!(lab.bucket.list("").unwrap(), []);
    assert_eq!(closed(&lab), [1, 2]);
    // Copied, as the message asks.
    fs::remove_dir_all(&elsewhere).unwrap();
    fs::rename(lab.store(), &elsewhere).unwrap();
    rounds.round(after(180)).unwrap();
    rounds.round(after(240)).unwrap();
    assert_eq!(closed(&lab), [] as [u64; 0]);
    let options = verify::Options { keys: vec![lab.public().into()], ..Default::default() };
    let report = verify::verify(&lab.bucket, &options).unwrap();
    assert!(report.is_clean(), "{:#?}", report.problems);
    assert_eq!(report.gateways[0].events, events.len() as u64 + 10);
}

#[test]
fn p5_a_clock_that_was_ahead_for_a_while_holds_up_no_letting_go() {
    let lab = Lab::new();
    for number in 0..3 {
        lab.append(number, number * 10..number * 10 + 10);
        lab.journal.rotate().unwrap();
    }
    let day = Duration::from_secs(24 * 3600);
    let set = |segment: u64, time: SystemTime| {
        let file = fs::File::options().write(true).open(lab.journal.segment_path(segment));
        file.unwrap().set_modified(time).unwrap();
    };
    let now = SystemTime::now();
    set(1, now + 365 * day);
    let since = now.duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let now = Timestamp(u64::try_from(since.as_nanos()).unwrap());
    let mut rounds = lab.rounds(Options { keep: day, ..NO_KEEPING });
    rounds.round(now).unwrap();
    rounds.round(now.plus(Duration::from_secs(60))).unwrap();
    assert_eq!(closed(&lab), [1, 2, 3], "they are young");
    rounds.round(now.plus(day + Duration::from_secs(60))).unwrap();
    assert_eq!(closed(&lab), [] as [u64; 0]);
}

/// Goal: what is journalled right after a start gets numbers that the archive does not have, also
/// where the memory of it is lost. Method: an archiver whose first round is an hour away.
#[test]
fn p5_a_gateway_that_starts_asks_the_store_at_once() {
    let lab = Lab::new();
    lab.append(1, 0..10);
    let old = lab.copied();
    lab.append(2, 10..20);
    lab.rounds(NO_KEEPING).round(after(60)).unwrap();
    let lab = lab.restored(old.path());
    let hour = Options { every: Duration::from_secs(3600), ..NO_KEEPING };
    let archiver = Archiver::start(lab.rounds(hour), || after(120)).unwrap();
    let patience = Instant::now() + Duration::from_secs(60);
    while lab.journal.last().sequence < 20 {
        assert!(Instant::now() < patience, "{:?}", lab.journal.last());
        std::thread::yield_now();
    }
    assert!(archiver.stop());
}

#[test]
fn p5_damage_is_known_again_from_the_store_where_the_memory_of_it_is_lost() {
    let lab = Lab::new();
    lab.append(1, 0..50);
    lab.journal.rotate().unwrap();
    let path = lab.damage(1);
    lab.rounds(FOR_EVER).round(after(60)).unwrap();
    fs::remove_file(lab.folder.path().join("archive.json")).unwrap();
    let mut rounds = lab.rounds(NO_KEEPING);
    rounds.round(after(120)).unwrap();
    assert_eq!(rounds.reach().orphans, [] as [u64; 0]);
    let stayed = rounds.purge(after(180)).unwrap();
    assert_eq!(stayed, [Stayed { path, why: Why::Damaged }]);
}

#[test]
fn p5_a_segment_that_is_moved_away_is_missed_by_nobody() {
    let lab = Lab::new();
    lab.append(1, 0..10);
    lab.rounds(FOR_EVER).round(after(60)).unwrap();
    let path = lab.journal.segment_path(1);
    let mut text = fs::read(&path).unwrap();
    text.push(0);
    fs::write(&path, text).unwrap();
    let mut rounds = lab.rounds(NO_KEEPING);
    rounds.round(after(120)).unwrap();
    assert_eq!(rounds.reach().orphans, [1]);
    fs::remove_file(&path).unwrap();
    rounds.round(after(180)).unwrap();
    assert_eq!(rounds.reach().orphans, [] as [u64; 0]);
}

#[test]
fn what_an_older_version_remembers_is_read() {
    let lab = Lab::new();
    lab.append(1, 0..10);
    lab.rounds(FOR_EVER).round(after(60)).unwrap();
    let path = lab.folder.path().join("archive.json");
    let text = fs::read_to_string(&path).unwrap();
    let at = text.find("\"bytes\":").unwrap();
    let end = at + text[at..].find(',').unwrap() + 1;
    fs::write(&path, [&text[..at], &text[end..]].concat()).unwrap();
    lab.rounds(NO_KEEPING).round(after(120)).unwrap();
    assert_eq!(closed(&lab), [] as [u64; 0]);
}
