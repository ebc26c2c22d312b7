use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use model::Event;

use super::faulty::{self, Fault};
use super::made::{GATEWAY, Lab, NO_KEEPING, after};
use crate::archiver::{ArchiveError, Archiver, Options, Stayed, Why};
use crate::file::ArchiveFile;
use crate::manifest;
use crate::row::Row;
use crate::verify;

/// Every event in the store, in order.
fn archived(lab: &Lab) -> Vec<Event> {
    let mut rows = Vec::new();
    for listed in lab.bucket.list("events").unwrap() {
        let file = ArchiveFile::open(&lab.bucket, &listed.path, listed.bytes).unwrap();
        file.each(|row| rows.push(row)).unwrap();
    }
    rows.sort_by_key(|row| row.number);
    let numbers: Vec<u64> = rows.iter().map(|row| row.number).collect();
    assert_eq!(numbers, (1..=rows.len() as u64).collect::<Vec<_>>());
    rows.into_iter().map(Row::event).collect::<Result<_, _>>().unwrap()
}

fn assert_clean(lab: &Lab) -> verify::Report {
    let options = verify::Options { keys: vec![lab.public().into()], ..Default::default() };
    let report = verify::verify(&lab.bucket, &options).unwrap();
    assert!(report.is_clean(), "{:#?}", report.problems);
    report
}

#[test]
fn p5_what_was_journalled_is_archived_whole_and_in_order() {
    let lab = Lab::new();
    let mut rounds = lab.rounds(NO_KEEPING);
    let mut events = Vec::new();
    for minute in 1..=5 {
        events.extend(lab.append(minute, minute * 1000..minute * 1000 + 300));
        let done = rounds.round(after(minute * 60)).unwrap();
        assert_eq!((done.segments, done.rows, done.more), (1, 300, false));
    }
    // Nothing happened in this one: its manifest is empty, and there.
    assert_eq!(rounds.round(after(360)).unwrap().segments, 0);
    assert_eq!(archived(&lab), events);
    let report = assert_clean(&lab);
    let checked = &report.gateways[0];
    assert_eq!((checked.manifests, checked.events, checked.first, checked.last), (6, 1500, 1, 6));
    // Kept no longer than said: only the segment being written is left.
    assert_eq!(lab.journal.closed_segments().unwrap(), [] as [u64; 0]);
}

#[test]
fn p5_a_segment_stays_as_long_as_it_is_kept() {
    let lab = Lab::new();
    let keep = Options { keep: Duration::from_secs(3600), ..NO_KEEPING };
    let mut rounds = lab.rounds(keep);
    lab.append(1, 0..10);
    let now = || {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        model::Timestamp(u64::try_from(since.as_nanos()).unwrap())
    };
    rounds.round(now()).unwrap();
    assert_eq!(lab.journal.closed_segments().unwrap(), [1]);
    rounds.round(now().plus(Duration::from_secs(3601))).unwrap();
    assert_eq!(lab.journal.closed_segments().unwrap(), [] as [u64; 0]);
}

/// A crash at any point of a round is a store and a memory that are behind each other.
#[test]
fn p5_a_round_that_was_interrupted_is_taken_up_where_it_was() {
    let lab = Lab::new();
    let mut rounds = lab.rounds(NO_KEEPING);
    let mut events = lab.append(1, 0..100);
    rounds.round(after(60)).unwrap();
    let remembers = lab.folder.path().join("archive.json");
    let before = fs::read(&remembers).unwrap();
    events.extend(lab.append(2, 100..200));
    let keep = Options { keep: Duration::from_secs(u64::from(u32::MAX)), ..NO_KEEPING };
    let mut rounds = lab.rounds(keep);
    rounds.round(after(120)).unwrap();
    let whole = lab.bucket.list("").unwrap();
    let newest = whole.iter().filter_map(|of| manifest::number_in(&of.path)).max();
    assert_eq!(newest, Some(2));

    // Written and signed, not remembered.
    fs::write(&remembers, &before).unwrap();
    let mut rounds = lab.rounds(keep);
    rounds.round(after(180)).unwrap();
    assert_eq!(rounds.head().number, 3);
    assert_clean(&lab);

    // Written, not signed: the same file is written again.
    let path = whole.iter().find(|of| manifest::number_in(&of.path) == Some(2)).unwrap();
    let third = lab.bucket.list("manifests").unwrap();
    let third = third.iter().find(|of| manifest::number_in(&of.path) == Some(3)).unwrap();
    lab.bucket.remove(&third.path).unwrap();
    lab.bucket.remove(&path.path).unwrap();
    fs::write(&remembers, &before).unwrap();
    let mut rounds = lab.rounds(keep);
    assert_eq!(rounds.round(after(240)).unwrap().segments, 1);
    assert_eq!(archived(&lab), events);
    assert_clean(&lab);

    // Nothing remembered at all.
    fs::remove_file(&remembers).unwrap();
    let mut rounds = lab.rounds(keep);
    assert_eq!(rounds.round(after(300)).unwrap().segments, 0);
    assert_eq!(archived(&lab), events);
    assert_clean(&lab);
}

#[test]
fn p6_a_manifest_of_someone_else_stops_the_archive_and_loses_nothing() {
    let lab = Lab::new();
    lab.append(1, 0..10);
    let other = Lab::new();
    other.append(2, 0..10);
    other.rounds(NO_KEEPING).round(after(60)).unwrap();
    let listed = other.bucket.list("manifests").unwrap();
    let text = other.bucket.get(&listed[0].path, u64::MAX).unwrap().unwrap();
    lab.bucket.put(&listed[0].path, text).unwrap();
    let error = lab.rounds(NO_KEEPING).round(after(60)).unwrap_err();
    assert!(matches!(error, ArchiveError::Foreign { .. }), "{error}");
    assert!(error.to_string().contains("does another gateway use the same name"), "{error}");
    assert_eq!(lab.journal.read().unwrap().count(), 10);
}

#[test]
fn p5_damage_in_a_segment_is_signed_as_such_and_its_file_stays() {
    let lab = Lab::new();
    lab.append(1, 0..50);
    lab.journal.rotate().unwrap();
    lab.damage(1);
    lab.rounds(NO_KEEPING).round(after(60)).unwrap();
    assert_eq!(lab.journal.closed_segments().unwrap(), [1], "it is evidence");
    let options = verify::Options { keys: vec![lab.public().into()], ..Default::default() };
    let report = verify::verify(&lab.bucket, &options).unwrap();
    let wrong: Vec<_> = report.problems.iter().map(|problem| problem.wrong).collect();
    assert_eq!(wrong, [verify::Wrong::Damaged]);
    assert!(report.problems[0].what.contains("segment 1 of the journal at byte"));
}

#[test]
fn p5_many_segments_at_once_are_taken_in_rounds() {
    let lab = Lab::new();
    let mut events = Vec::new();
    for number in 0..20 {
        events.extend(lab.append(number, number * 10..number * 10 + 10));
        lab.journal.rotate().unwrap();
    }
    let mut rounds = lab.rounds(NO_KEEPING);
    let done = rounds.round(after(60)).unwrap();
    assert_eq!((done.segments, done.more), (16, true));
    let done = rounds.round(after(61)).unwrap();
    assert_eq!((done.segments, done.more), (4, false));
    assert_eq!(archived(&lab), events);
    assert_clean(&lab);
    assert_eq!(manifest::folder(GATEWAY), "manifests/gateway=gw-test");
}

#[test]
fn p5_a_gateway_that_is_killed_in_every_round_gets_on_segment_by_segment() {
    let lab = Lab::new();
    let mut events = Vec::new();
    for number in 0..5 {
        events.extend(lab.append(number, number * 10..number * 10 + 10));
        lab.journal.rotate().unwrap();
    }
    for segment in 1..=5 {
        let mut rounds = lab.rounds(NO_KEEPING);
        rounds.round_bytes = 1;
        let done = rounds.round(after(segment * 60)).unwrap();
        assert_eq!((done.segments, done.more), (1, segment < 5));
    }
    assert_eq!(archived(&lab), events);
    assert_clean(&lab);
}

/// Whether every one of these events is in the store.
fn holds(lab: &Lab, events: &[Event]) -> bool {
    let archived = archived(lab);
    events.iter().all(|event| archived.contains(event))
}

#[test]
fn p5_a_journal_restored_from_a_copy_goes_on_behind_its_archive() {
    let lab = Lab::new();
    lab.append(1, 0..50);
    lab.rounds(NO_KEEPING).round(after(60)).unwrap();
    let copy = lab.copied();
    let lost = lab.append(2, 50..90);
    let mut rounds = lab.rounds(NO_KEEPING);
    rounds.round(after(120)).unwrap();
    rounds.round(after(180)).unwrap();
    let lab = lab.restored(copy.path());
    let mut rounds = lab.rounds(NO_KEEPING);
    let early = lab.append(3, 100..110);
    rounds.round(after(240)).unwrap();
    let later = lab.append(4, 110..130);
    rounds.round(after(300)).unwrap();
    rounds.round(after(360)).unwrap();
    assert!(holds(&lab, &lost) && holds(&lab, &later));
    // Written before the archive was looked at, under numbers that others have: kept, not deleted.
    let here: Vec<_> = lab.journal.read().unwrap().filter_map(Result::ok).collect();
    assert!(early.iter().all(|event| here.iter().any(|record| record.event == *event)));
    assert_clean(&lab);
}

#[test]
fn p5_a_lost_journal_begins_behind_its_archive() {
    let lab = Lab::new();
    let first = lab.append(1, 0..50);
    lab.rounds(NO_KEEPING).round(after(60)).unwrap();
    let empty = super::made::Folder::new();
    fs::create_dir(empty.path().join("journal")).unwrap();
    let remembers = lab.folder.path().join("archive.json");
    fs::copy(remembers, empty.path().join("archive.json")).unwrap();
    let lab = lab.restored(empty.path());
    let mut rounds = lab.rounds(NO_KEEPING);
    rounds.round(after(120)).unwrap();
    let later = lab.append(2, 50..60);
    rounds.round(after(180)).unwrap();
    assert!(holds(&lab, &first) && holds(&lab, &later));
    assert_clean(&lab);
}

#[test]
fn p6_a_memory_lost_in_a_quiet_hour_accuses_nobody() {
    let lab = Lab::new();
    let keep = Options { keep: Duration::from_secs(u64::from(u32::MAX)), ..NO_KEEPING };
    let events = lab.append(1, 0..50);
    let mut rounds = lab.rounds(keep);
    for minute in 1..4 {
        rounds.round(after(minute * 60)).unwrap();
    }
    fs::remove_file(lab.folder.path().join("archive.json")).unwrap();
    let mut rounds = lab.rounds(keep);
    assert_eq!(rounds.round(after(240)).unwrap().segments, 0);
    assert_eq!(archived(&lab), events);
    assert_clean(&lab);
    // What is not remembered is compared with the store before it is let go of.
    let mut rounds = lab.rounds(NO_KEEPING);
    rounds.round(after(300)).unwrap();
    assert_eq!(lab.journal.closed_segments().unwrap(), [] as [u64; 0]);
}

#[test]
fn p6_a_twin_on_the_same_store_is_stopped_and_destroys_nothing() {
    let lab = Lab::new();
    lab.append(1, 0..50);
    let mut rounds = lab.rounds(NO_KEEPING);
    rounds.round(after(60)).unwrap();
    let twin = lab.twin();
    let mut of_twin = twin.rounds(NO_KEEPING);
    of_twin.round(after(70)).unwrap();
    let kept = twin.append(2, 60..70);
    let lost = lab.append(3, 80..90);
    let _ = of_twin.round(after(80)).unwrap();
    // The first did not see the twin's manifests: it may sign nothing, and write over nothing.
    for second in 0..3 {
        let _ = rounds.round(after(90 + second));
    }
    assert!(holds(&lab, &kept));
    let here: Vec<_> = lab.journal.read().unwrap().filter_map(Result::ok).collect();
    assert!(
        holds(&lab, &lost)
            || lost.iter().all(|event| here.iter().any(|record| record.event == *event))
    );
    assert_clean(&lab);
}

#[test]
fn p5_a_manifest_that_could_not_be_remembered_is_found_again_without_a_restart() {
    let lab = Lab::new();
    let mut rounds = lab.rounds(NO_KEEPING);
    let mut events = lab.append(1, 0..10);
    rounds.round(after(60)).unwrap();
    let stone = lab.folder.path().join("archive.new");
    fs::create_dir(&stone).unwrap();
    events.extend(lab.append(2, 10..20));
    let error = rounds.round(after(120)).unwrap_err();
    assert!(matches!(error, ArchiveError::Io { .. }), "{error}");
    fs::remove_dir(&stone).unwrap();
    events.extend(lab.append(3, 20..30));
    // A day earlier, says the clock.
    rounds.round(after(60)).unwrap();
    assert_eq!(archived(&lab), events);
    assert_clean(&lab);
    rounds.round(after(180)).unwrap();
    assert_eq!(lab.journal.closed_segments().unwrap(), [] as [u64; 0]);
}

/// Goal: nothing that a store only said it has leaves the journal. Method: a store that writes
/// other bytes, or none, and says that all is well.
#[test]
fn p5_what_does_not_read_back_as_it_was_written_stays_in_the_journal() {
    for fault in [Fault::Alters("events"), Fault::Drops("events")] {
        let store = faulty::store();
        let lab = Lab::over(store.clone());
        store.set(Some(fault));
        let events = lab.append(1, 0..50);
        let mut rounds = lab.rounds(NO_KEEPING);
        for second in 60..63 {
            let error = rounds.round(after(second)).unwrap_err();
            assert!(matches!(error, ArchiveError::ReadBack { .. }), "{fault:?}: {error}");
        }
        assert_eq!(rounds.head().number, 0, "{fault:?}");
        assert_eq!(lab.journal.closed_segments().unwrap(), [1], "{fault:?}");
        store.set(None);
        rounds.round(after(70)).unwrap();
        rounds.round(after(130)).unwrap();
        assert_eq!(lab.journal.closed_segments().unwrap(), [] as [u64; 0]);
        assert_eq!(archived(&lab), events);
        assert_clean(&lab);
    }
}

#[test]
fn p5_a_segment_stays_until_the_index_has_what_it_says() {
    let lab = Lab::new();
    lab.append(1, 0..10);
    let is_settled = Arc::new(AtomicBool::new(false));
    let asked = Arc::clone(&is_settled);
    let mut rounds = lab.rounds(NO_KEEPING);
    rounds.settle_by(move || asked.load(Ordering::Relaxed));
    rounds.round(after(60)).unwrap();
    rounds.round(after(120)).unwrap();
    assert_eq!(lab.journal.closed_segments().unwrap(), [1]);
    is_settled.store(true, Ordering::Relaxed);
    rounds.round(after(180)).unwrap();
    assert_eq!(lab.journal.closed_segments().unwrap(), [] as [u64; 0]);
}

#[test]
fn p7_a_purge_tells_what_the_journal_keeps_all_the_same() {
    let lab = Lab::new();
    let whole = lab.rounds(NO_KEEPING).purge(after(60)).unwrap();
    assert_eq!(whole, []);
    let stayed = |segment: u64, why| Stayed { path: lab.journal.segment_path(segment), why };

    lab.append(1, 0..50);
    lab.journal.rotate().unwrap();
    let path = lab.damage(1);
    lab.append(2, 50..60);
    let mut rounds = lab.rounds(NO_KEEPING);
    assert_eq!(rounds.purge(after(120)).unwrap(), [stayed(1, Why::Damaged)]);
    assert_eq!(rounds.purge(after(121)).unwrap(), [stayed(1, Why::Damaged)], "as before");

    // A segment of a number that the archive knows otherwise.
    let other = Lab::new();
    other.append(3, 0..10);
    fs::copy(other.journal.segment_path(1), &path).unwrap();
    assert_eq!(rounds.purge(after(180)).unwrap(), [stayed(1, Why::NotArchived)]);
    fs::remove_file(&path).unwrap();
    assert_eq!(rounds.purge(after(240)).unwrap(), []);

    lab.append(4, 60..70);
    rounds.settle_by(|| false);
    assert_eq!(rounds.purge(after(300)).unwrap(), [stayed(3, Why::Unsettled)]);
}

/// Goal: no call is lost between the look for one and the wait for one. Method: calls at the moment
/// when the thread has nothing left to do, which is when its last manifest is told.
#[test]
fn p7_every_call_for_a_purge_is_answered() {
    let lab = Lab::new();
    let hour = Options { every: Duration::from_secs(3600), ..NO_KEEPING };
    let archiver = Archiver::start(lab.rounds(hour), || after(60)).unwrap();
    for number in 1..=60 {
        assert_eq!(archiver.purge(), Ok(Vec::new()));
        // One manifest of the purge, and one of the round after it.
        while archiver.standing().head.number < 2 * number {
            std::hint::spin_loop();
        }
    }
    assert!(archiver.stop());
}
