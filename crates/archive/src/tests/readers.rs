use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use model::Timestamp;

use super::made::{Lab, NO_KEEPING};
use crate::archiver::Rounds;

const NOTHING: [u64; 0] = [];

fn now() -> Timestamp {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    Timestamp(u64::try_from(since.as_nanos()).unwrap())
}

/// Rounds for readers who have all segments up to the number that is returned, and the longest wait
/// that they were asked for, in seconds.
fn read(lab: &Lab) -> (Rounds, Arc<AtomicU64>, Arc<AtomicU64>) {
    let (have, waited) = (Arc::<AtomicU64>::default(), Arc::<AtomicU64>::default());
    let mut rounds = lab.rounds(NO_KEEPING);
    let (of_rounds, longest) = (Arc::clone(&have), Arc::clone(&waited));
    rounds.read_by(move |segment, wait| {
        longest.fetch_max(wait.as_secs(), Ordering::SeqCst);
        segment <= of_rounds.load(Ordering::SeqCst)
    });
    (rounds, have, waited)
}

#[test]
fn p5_a_segment_stays_until_its_readers_have_it_but_not_for_ever() {
    let lab = Lab::new();
    let (mut rounds, have, waited) = read(&lab);
    for seed in 1..=3 {
        lab.append(seed, 0..10);
        rounds.round(now()).unwrap();
    }
    rounds.round(now()).unwrap();
    assert_eq!(lab.journal.closed_segments().unwrap(), [1, 2, 3], "archived, and not read");
    have.store(2, Ordering::SeqCst);
    rounds.round(now()).unwrap();
    assert_eq!(lab.journal.closed_segments().unwrap(), [3]);
    // A reader that never comes does not fill the disk.
    rounds.round(now().plus(Duration::from_secs(3601))).unwrap();
    assert_eq!(lab.journal.closed_segments().unwrap(), NOTHING);
    assert_eq!(waited.load(Ordering::SeqCst), 0, "a round waits for nobody");
}

#[test]
fn p5_a_purge_waits_for_readers_a_bounded_time() {
    let lab = Lab::new();
    let (mut rounds, _, waited) = read(&lab);
    lab.append(1, 0..10);
    rounds.purge(now()).unwrap();
    assert_eq!(waited.load(Ordering::SeqCst), 20);
    assert_eq!(lab.journal.closed_segments().unwrap(), NOTHING, "what is erased is erased");
}
