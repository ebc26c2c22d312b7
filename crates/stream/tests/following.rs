//! What receivers get of a journal, whatever happens to them and to the gateway.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use model::event::EventBody;
use model::limit::{STREAM_BATCH_BYTES_MAX, STREAM_EVENTS_MAX};
use model::{Event, Timestamp};
use store::journal::{JournalLock, Options, Sealing};
use store::{InstallationKey, Journal, JournalKey};
use stream::{Item, Pace, Receiver, SendError, Sink, Streams, Texts};

const GATEWAY: &str = "gw-1";
const PACE: Pace = Pace {
    look: Duration::from_millis(2),
    pause: Duration::from_millis(2),
    pause_max: Duration::from_millis(10),
};

/// A folder of its own, removed at the end.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("narrows-stream-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn event(target: &str) -> Event {
    Event {
        v: 1,
        at: Timestamp(1_795_313_820_000_000_000),
        gateway: GATEWAY.into(),
        session: None,
        sequence: 0,
        principal: None,
        on_behalf_of: None,
        resource: None,
        body: EventBody::Admin {
            actor: "test".to_owned(),
            action: "test.event".to_owned(),
            target: target.to_owned(),
            detail: None,
        },
        payload: vec![7; 64],
    }
}

fn journal(folder: &Path) -> Arc<Journal> {
    let folder = folder.join("journal");
    std::fs::create_dir_all(&folder).unwrap();
    // Small segments: readers cross many.
    let options = Options { segment_bytes_max: 4096, ..Options::default() };
    Arc::new(Journal::open(&folder, GATEWAY, options).unwrap().0)
}

fn append(journal: &Journal, count: usize) {
    for number in 0..count {
        journal.append(&[event(&format!("target {number}"))]).unwrap();
    }
}

/// A receiver that does what the test says.
#[derive(Default)]
struct Script {
    down: bool,
    /// Every so many times it takes a batch and says that it did not.
    lies_every: usize,
    calls: usize,
    refuses: BTreeSet<u64>,
    refuses_all: bool,
    settles: Duration,
    broken: bool,
    got: Vec<(u64, String)>,
    largest: (usize, usize),
}

#[derive(Clone, Default)]
struct Scripted(Arc<Mutex<Script>>);

impl Scripted {
    fn script(&self) -> MutexGuard<'_, Script> {
        self.0.lock().unwrap()
    }

    fn receiver(&self, name: &str) -> Receiver {
        Receiver {
            name: name.to_owned(),
            kind: "test",
            address: name.to_owned(),
            sink: Box::new(self.clone()),
            texts: Texts::Withheld,
        }
    }

    fn numbers(&self) -> Vec<u64> {
        self.script().got.iter().map(|(number, _)| *number).collect()
    }

    fn distinct(&self) -> Vec<u64> {
        self.numbers().into_iter().collect::<BTreeSet<_>>().into_iter().collect()
    }
}

impl Sink for Scripted {
    fn send(&mut self, batch: &[Item]) -> Result<(), SendError> {
        let mut script = self.script();
        script.calls += 1;
        let away = |why: &str| Err(SendError::Away { why: why.to_owned(), pause: None });
        if script.down {
            return away("down");
        }
        if script.refuses_all || batch.iter().any(|item| script.refuses.contains(&item.number)) {
            return Err(SendError::Refused("no".to_owned()));
        }
        let bytes = batch.iter().map(|item| item.json().len()).sum();
        script.largest = (script.largest.0.max(batch.len()), script.largest.1.max(bytes));
        script.got.extend(batch.iter().map(|item| (item.number, item.kind().to_owned())));
        match script.lies_every {
            0 => Ok(()),
            every if script.calls.is_multiple_of(every) => away("the answer was lost"),
            _ => Ok(()),
        }
    }

    fn settles(&self) -> Duration {
        self.script().settles
    }

    fn check(&mut self) -> Result<(), SendError> {
        match std::mem::take(&mut self.script().broken) {
            true => Err(SendError::Away { why: "broken".to_owned(), pause: None }),
            false => Ok(()),
        }
    }
}

fn until(what: &str, mut look: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !look() {
        assert!(begun.elapsed() < Duration::from_secs(30), "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn start(folder: &Folder, journal: &Arc<Journal>, receivers: Vec<Receiver>) -> Streams {
    Streams::start(receivers, journal, &folder.0, PACE).unwrap()
}

#[test]
fn p5_no_event_is_lost_by_outages_lost_answers_and_restarts() {
    let folder = Folder::new();
    let journal = journal(&folder.0);
    let receiver = Scripted::default();
    receiver.script().lies_every = 3;
    let mut streams = start(&folder, &journal, vec![receiver.receiver("one")]);
    for round in 0..12 {
        append(&journal, 40);
        receiver.script().down = round % 3 == 1;
        if round % 2 == 0 {
            let _ = streams.stop();
            append(&journal, 7);
            streams = start(&folder, &journal, vec![receiver.receiver("one")]);
        }
    }
    receiver.script().down = false;
    let wanted: Vec<u64> = (1..=journal.last().sequence).collect();
    until("everything came", || receiver.distinct() == wanted);
    let numbers = receiver.numbers();
    let mut seen = 0;
    for number in &numbers {
        assert!(*number <= seen + 1, "{number} came before what is before it: {numbers:?}");
        seen = seen.max(*number);
    }
    receiver.script().lies_every = 0;
    append(&journal, 1);
    until("the last came", || receiver.numbers().last() == Some(&journal.last().sequence));
    assert!(streams.stop(), "it has everything");
}

/// Goal: a segment that the key does not open is waited for, and not gone past: its events are there.
#[test]
fn p5_what_another_key_sealed_is_waited_for_and_not_skipped() {
    let folder = Folder::new();
    let journal = journal(&folder.0);
    let receiver = Scripted::default();
    let streams = start(&folder, &journal, vec![receiver.receiver("one")]);
    let _ = streams.stop();
    append(&journal, 2);
    journal.rotate().unwrap();
    append(&journal, 1);
    let (path, own) = (journal.segment_path(1), std::fs::read(journal.segment_path(1)).unwrap());
    let elsewhere = Folder::new();
    let key = JournalKey::of(&InstallationKey::from_bytes(&[7; 32]).unwrap());
    let lock = JournalLock::take(&elsewhere.0, GATEWAY).unwrap();
    let (sealed, _) = lock.open(Options::default(), Sealing::Seals(key)).unwrap();
    sealed.append(&[event("sealed")]).unwrap();
    std::fs::copy(sealed.segment_path(1), &path).unwrap();
    let streams = start(&folder, &journal, vec![receiver.receiver("one")]);
    assert!(!streams.stop(), "it has not everything");
    assert_eq!(receiver.numbers(), [] as [u64; 0]);
    std::fs::write(&path, own).unwrap();
    let _streams = start(&folder, &journal, vec![receiver.receiver("one")]);
    until("everything came", || receiver.numbers() == [1, 2, 3]);
}

#[test]
fn a_receiver_that_is_new_hears_what_happens_from_then_on_and_is_remembered_at_once() {
    let folder = Folder::new();
    let journal = journal(&folder.0);
    append(&journal, 100);
    let receiver = Scripted::default();
    receiver.script().down = true;
    let streams = start(&folder, &journal, vec![receiver.receiver("one")]);
    append(&journal, 5);
    assert!(!streams.stop(), "it has nothing");
    receiver.script().down = false;
    let streams = start(&folder, &journal, vec![receiver.receiver("one")]);
    until("the events came", || receiver.numbers() == [101, 102, 103, 104, 105]);
    assert!(streams.stop());
    let kept = std::fs::read_dir(folder.0.join("stream")).unwrap().next().unwrap().unwrap().path();
    assert!(!std::fs::read_to_string(&kept).unwrap().contains("one"));
    std::fs::write(&kept, "{").unwrap();
    let streams = start(&folder, &journal, vec![receiver.receiver("one")]);
    until("all that the journal has came", || receiver.distinct() == (1..=105).collect::<Vec<_>>());
    assert!(streams.stop());
}

#[test]
fn a_receiver_that_is_new_misses_nothing_where_a_segment_has_just_begun() {
    let folder = Folder::new();
    let first = journal(&folder.0);
    append(&first, 3);
    first.rotate().unwrap();
    drop(first);
    let second = journal(&folder.0);
    let receiver = Scripted::default();
    let streams = start(&folder, &second, vec![receiver.receiver("one")]);
    append(&second, 1);
    until("the event came", || !receiver.numbers().is_empty());
    assert_eq!(receiver.script().got, [(4, "admin".to_owned())]);
    assert!(streams.stop());
}

#[test]
fn p5_whoever_deletes_segments_learns_what_a_receiver_does_not_have_yet() {
    let folder = Folder::new();
    let journal = journal(&folder.0);
    let (up, down) = (Scripted::default(), Scripted::default());
    down.script().down = true;
    let streams = start(&folder, &journal, vec![up.receiver("up"), down.receiver("down")]);
    let confirmed = streams.confirmed();
    append(&journal, 30);
    journal.rotate().unwrap();
    let closed = journal.closed_segments().unwrap();
    let (first, last) = (closed[0], closed[closed.len() - 1]);
    assert!(first < last);
    until("one has all", || up.numbers().len() == 30);
    assert!(!confirmed.have(first, Duration::ZERO));
    down.script().down = false;
    assert!(confirmed.have(last, Duration::from_secs(30)), "the wait ends when it has them");
    assert!(confirmed.have(first, Duration::ZERO));
    assert_eq!(down.numbers().len(), 30);
    assert!(!confirmed.have(last + 1, Duration::ZERO), "that one is being written");
    assert!(streams.stop());
}

#[test]
fn what_was_archived_and_deleted_is_named_as_a_gap() {
    let folder = Folder::new();
    let journal = journal(&folder.0);
    let receiver = Scripted::default();
    assert!(start(&folder, &journal, vec![receiver.receiver("one")]).stop());
    append(&journal, 30);
    journal.rotate().unwrap();
    let gone = journal.last().sequence;
    append(&journal, 3);
    for segment in journal.closed_segments().unwrap() {
        let read: Vec<_> = journal.read_segment(segment).unwrap().map(Result::unwrap).collect();
        if read.iter().all(|record| record.position.sequence <= gone) {
            journal.remove_segment(segment).unwrap();
        }
    }
    let streams = start(&folder, &journal, vec![receiver.receiver("one")]);
    until("the rest came", || receiver.script().got.len() == 4);
    let word = |number: u64, kind: &str| (number, kind.to_owned());
    let wanted = [word(30, "stream_gap"), word(31, "admin"), word(32, "admin"), word(33, "admin")];
    assert_eq!(receiver.script().got, wanted);
    assert!(streams.stop());
}

/// Goal: whatever became of the journal, no number names two events to a receiver that went on from
/// what it knew, and no event that the journal has is left out.
#[test]
fn p5_a_journal_that_is_not_the_one_that_was_sent_is_sent_whole_and_reuses_no_number() {
    // How many events the journal has that is found instead: fewer than were sent, and more.
    for found in [0, 2, 200] {
        let folder = Folder::new();
        let receiver = Scripted::default();
        let first = journal(&folder.0);
        assert!(start(&folder, &first, vec![receiver.receiver("one")]).stop());
        append(&first, 20);
        assert!(start(&folder, &first, vec![receiver.receiver("one")]).stop());
        assert_eq!(receiver.numbers().len(), 20);
        drop(first);
        std::fs::remove_dir_all(folder.0.join("journal")).unwrap();
        let second = journal(&folder.0);
        for number in 0..found {
            second.append(&[event(&format!("other {number}"))]).unwrap();
        }
        receiver.script().got.clear();
        let streams = start(&folder, &second, vec![receiver.receiver("one")]);
        append(&second, 2);
        let next = u64::try_from(found.max(20)).unwrap() + 1;
        let wanted: Vec<u64> =
            (1..=u64::try_from(found).unwrap()).chain([next, next + 1]).collect();
        until("all came", || receiver.numbers() == wanted);
        assert!(receiver.script().got.iter().all(|(_, kind)| kind == "admin"), "{found}");
        assert!(streams.stop());
        // What was remembered since belongs to this journal.
        receiver.script().got.clear();
        let streams = start(&folder, &second, vec![receiver.receiver("one")]);
        append(&second, 1);
        until("only the new one came", || receiver.numbers() == [next + 2]);
        assert!(streams.stop());
    }
}

#[test]
fn p5_an_end_that_was_written_anew_in_the_same_segment_is_noticed() {
    let folder = Folder::new();
    let receiver = Scripted::default();
    let first = journal(&folder.0);
    append(&first, 2);
    let path = first.segment_path(1);
    let copy = std::fs::read(&path).unwrap();
    assert!(start(&folder, &first, vec![receiver.receiver("one")]).stop());
    append(&first, 2);
    assert!(start(&folder, &first, vec![receiver.receiver("one")]).stop());
    assert_eq!(receiver.numbers(), [3, 4]);
    drop(first);
    std::fs::write(&path, copy).unwrap();
    let second = journal(&folder.0);
    second.append(&[event("tarsus 0"), event("tarsus 1")]).unwrap();
    receiver.script().got.clear();
    let streams = start(&folder, &second, vec![receiver.receiver("one")]);
    until("the whole journal came", || receiver.numbers() == [1, 2, 3, 4]);
    assert!(streams.stop());
}

#[test]
fn p5_what_a_power_cut_may_take_back_is_not_sent() {
    let folder = Folder::new();
    let path = folder.0.join("journal");
    std::fs::create_dir_all(&path).unwrap();
    // The disk is asked only where the test does.
    let options = Options { sync: Duration::from_secs(3600), ..Options::default() };
    let journal = Arc::new(Journal::open(&path, GATEWAY, options).unwrap().0);
    let receiver = Scripted::default();
    assert!(start(&folder, &journal, vec![receiver.receiver("one")]).stop());
    append(&journal, 3);
    journal.sync().unwrap();
    append(&journal, 3);
    let streams = start(&folder, &journal, vec![receiver.receiver("one")]);
    until("some came", || !receiver.numbers().is_empty());
    assert_eq!(receiver.numbers(), [1, 2, 3]);
    assert!(streams.stop(), "the disk has them when the gateway has stopped");
    assert_eq!(receiver.numbers(), [1, 2, 3, 4, 5, 6]);
}

#[test]
fn an_event_that_is_refused_is_given_up_only_when_others_are_taken() {
    let folder = Folder::new();
    let journal = journal(&folder.0);
    let receiver = Scripted::default();
    receiver.script().refuses_all = true;
    let streams = start(&folder, &journal, vec![receiver.receiver("one")]);
    append(&journal, 30);
    until("it was tried more than once", || receiver.script().calls > 100);
    assert!(receiver.numbers().is_empty());
    {
        let mut script = receiver.script();
        script.refuses_all = false;
        script.refuses = BTreeSet::from([4, 5, 30]);
    }
    let without = |last: u64| -> Vec<u64> {
        (1..=last).filter(|number| ![4, 5, 30].contains(number)).collect()
    };
    until("the others came", || receiver.distinct() == without(30));
    append(&journal, 1);
    until("it goes on", || receiver.distinct() == without(31));
    // A refused event alone proves nothing: it waits for another.
    receiver.script().refuses = BTreeSet::from([32]);
    let calls = receiver.script().calls;
    append(&journal, 1);
    until("it was tried", || receiver.script().calls > calls + 5);
    append(&journal, 1);
    until("the one after it came", || receiver.distinct().last() == Some(&33));
    assert!(streams.stop());
}

#[test]
fn p5_what_has_not_settled_when_a_connection_breaks_is_sent_again() {
    let folder = Folder::new();
    let journal = journal(&folder.0);
    let receiver = Scripted::default();
    receiver.script().settles = Duration::from_secs(3600);
    let streams = start(&folder, &journal, vec![receiver.receiver("one")]);
    append(&journal, 10);
    until("they were written", || receiver.numbers().len() == 10);
    // The server is gone, with what it had not read.
    receiver.script().got.clear();
    receiver.script().broken = true;
    until("they were written again", || receiver.numbers() == (1..=10).collect::<Vec<_>>());
    assert!(!streams.stop(), "nobody knows whether they were received");
    receiver.script().got.clear();
    receiver.script().settles = Duration::from_millis(1);
    let streams = start(&folder, &journal, vec![receiver.receiver("one")]);
    until("and again", || receiver.numbers() == (1..=10).collect::<Vec<_>>());
    until("they settle", || {
        let kept = std::fs::read_dir(folder.0.join("stream")).unwrap().flatten();
        let kept = kept.filter(|of| of.path().extension().is_some_and(|of| of == "json"));
        kept.flat_map(|of| std::fs::read_to_string(of.path()))
            .all(|text| text.contains("\"number\":11"))
    });
    receiver.script().broken = true;
    append(&journal, 1);
    until("only the new one comes", || receiver.numbers().len() == 11);
    drop(streams);
}

#[test]
fn p8_a_receiver_that_is_down_holds_up_nobody_and_batches_are_bounded() {
    let folder = Folder::new();
    let journal = journal(&folder.0);
    let (up, down) = (Scripted::default(), Scripted::default());
    down.script().down = true;
    let receivers = vec![down.receiver("down"), up.receiver("up")];
    let streams = start(&folder, &journal, receivers);
    append(&journal, 2 * STREAM_EVENTS_MAX);
    let long = "x".repeat(STREAM_BATCH_BYTES_MAX / 10);
    for _ in 0..25 {
        journal.append(&[event(&long)]).unwrap();
    }
    let wanted: Vec<u64> = (1..=journal.last().sequence).collect();
    until("the other has all", || up.distinct() == wanted);
    assert!(down.numbers().is_empty());
    down.script().down = false;
    until("it catches up", || down.distinct() == wanted);
    let (events, bytes) = down.script().largest;
    assert_eq!(events, STREAM_EVENTS_MAX, "it sends as many as it may");
    assert!(bytes <= STREAM_BATCH_BYTES_MAX + long.len() + 1000, "{bytes}");
    assert!(streams.stop());
}
