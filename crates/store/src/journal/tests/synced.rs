//! How far the disk has the journal, and what is closed there.

use super::*;

in_both_forms!(
    p5_only_what_the_disk_has_counts_as_synced,
    p5_a_segment_that_was_closed_stays_closed_through_a_power_cut,
    p5_a_closed_segment_whose_end_is_cut_off_is_damage,
);

/// Goal: what counts as synced is never taken back, whatever the disk does.
fn p5_only_what_the_disk_has_counts_as_synced(form: Form) {
    let folder = Kept::new(form);
    // The thread that syncs never comes to it.
    let options = Options { sync: Duration::from_secs(3600), ..Options::default() };
    let synced = |journal: &Journal| -> (u64, Vec<u64>) {
        let read = journal.read_synced_from(Position::default()).unwrap();
        let numbers = read.map(|record| record.unwrap().position.sequence).collect();
        (journal.last_synced().sequence, numbers)
    };
    let (journal, faults) = open_faulty(&folder, options);
    assert_eq!(synced(&journal), (0, vec![]));
    journal.append(&events(1..=2)).unwrap();
    assert_eq!(synced(&journal), (0, vec![]));
    journal.sync().unwrap();
    journal.append(&events(3..=3)).unwrap();
    journal.rotate().unwrap();
    journal.append(&events(4..=4)).unwrap();
    assert_eq!(synced(&journal), (3, vec![1, 2, 3]), "a segment is closed on the disk");
    faults.0.no_sync.store(true, Ordering::SeqCst);
    journal.sync().unwrap_err();
    assert_eq!(synced(&journal), (3, vec![1, 2, 3]), "the disk did not keep them");
    faults.0.no_sync.store(false, Ordering::SeqCst);
    journal.append(&events(5..=5)).unwrap();
    assert_eq!(synced(&journal), (3, vec![1, 2, 3]));
    journal.sync().unwrap();
    assert_eq!(synced(&journal), (5, vec![1, 2, 3, 4, 5]), "their numbers are taken for good");
    // What a process that was killed left behind is not trusted unseen.
    faults.0.no_sync.store(true, Ordering::SeqCst);
    drop(journal);
    let (journal, _) = open_faulty(&folder, options);
    assert_eq!(synced(&journal), (0, vec![]));
    journal.sync().unwrap();
    assert_eq!(journal.last_synced(), journal.last());
}

/// Goal: once a segment is said to be closed, nothing is ever appended to it: it may be archived.
fn p5_a_segment_that_was_closed_stays_closed_through_a_power_cut(form: Form) {
    let folder = Kept::new(form);
    let options = Options { sync: Duration::from_secs(3600), ..Options::default() };
    let (journal, faults) = open_faulty(&folder, options);
    journal.append(&events(1..=2)).unwrap();
    assert!(journal.rotate().unwrap());
    faults.cut_power();
    drop(journal);
    let (journal, _) = open(&folder);
    let position = journal.append(&events(3..=3)).unwrap();
    assert_eq!((position.segment, position.sequence), (2, 3));
    // A disk that does not keep the new one: nothing is said to be closed until one is kept.
    let (folder, last) = (Kept::new(form), |journal: &Journal| journal.closed_segments().unwrap());
    let (journal, faults) = open_faulty(&folder, options);
    journal.append(&events(1..=2)).unwrap();
    faults.0.no_sync.store(true, Ordering::SeqCst);
    let error = journal.rotate().unwrap_err();
    assert!(matches!(error, JournalError::Sync(_)), "{error}");
    journal.rotate().unwrap_err();
    faults.0.no_sync.store(false, Ordering::SeqCst);
    journal.rotate().unwrap();
    let closed = last(&journal);
    faults.cut_power();
    drop(journal);
    let (journal, _) = open(&folder);
    let position = journal.append(&events(3..=3)).unwrap();
    assert!(!closed.contains(&position.segment), "{closed:?} {position:?}");
}

fn p5_a_closed_segment_whose_end_is_cut_off_is_damage(form: Form) {
    let folder = Kept::new(form);
    let (journal, _) = open(&folder);
    journal.append(&events(1..=3)).unwrap();
    assert!(journal.rotate().unwrap());
    journal.append(&events(4..=4)).unwrap();
    let path = segment(&folder, 1);
    let whole = std::fs::read(&path).unwrap();
    std::fs::write(&path, &whole[..whole.len() - 10]).unwrap();
    let read: Vec<_> = journal.read_segment(1).unwrap().collect();
    assert_eq!(read.len(), 3);
    let Some(Err(JournalError::Damaged(damage))) = read.last() else { panic!("{read:?}") };
    assert_eq!(damage.what, "a segment that breaks off");
    let read: Vec<_> = journal.read_segment(2).unwrap().collect();
    assert!(matches!(read.as_slice(), [Ok(_)]), "{read:?}");
}
