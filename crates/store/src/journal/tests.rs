//! What survives: torn ends, changed bytes, full and broken disks, and the end of the process.

mod faults;
mod killed;
mod sealed;
mod synced;

use std::ops::Deref;
use std::os::unix::fs::FileExt;
use std::sync::atomic::Ordering;

use model::event::Verdict;
use proptest::prelude::*;

use super::frame::Form;
use super::*;
use crate::data_dir::InstallationKey;
use crate::testing::{Folder, at, event, operation, small};
use faults::{Faults, open_faulty};

const GATEWAY: &str = "gw-test";

/// Makes two tests of each function, one for journals in clear and one for sealed ones.
macro_rules! in_both_forms {
    ($($name:ident),* $(,)?) => {
        mod clear {
            $(#[test] fn $name() { super::$name(super::Form::Clear); })*
        }
        mod sealed_bodies {
            $(#[test] fn $name() { super::$name(super::Form::Sealed); })*
        }
    };
}
pub(crate) use in_both_forms;

/// A folder whose journals have one form.
struct Kept {
    folder: Folder,
    form: Form,
}

impl Kept {
    fn new(form: Form) -> Self {
        Self { folder: Folder::new(), form }
    }

    fn sealing(&self) -> Sealing {
        sealing(self.form)
    }
}

impl Deref for Kept {
    type Target = Folder;

    fn deref(&self) -> &Folder {
        &self.folder
    }
}

fn key(byte: u8) -> JournalKey {
    JournalKey::of(&InstallationKey::from_bytes(&[byte; 32]).unwrap())
}

fn sealing(form: Form) -> Sealing {
    match form {
        Form::Clear => Sealing::Keyless,
        Form::Sealed => Sealing::Seals(key(1)),
    }
}

fn open(folder: &Kept) -> (Journal, Recovery) {
    open_with(folder, Options::default())
}

/// On a disk that is not waited for: no test here cuts the power.
fn open_with(folder: &Kept, options: Options) -> (Journal, Recovery) {
    open_as(folder, options, folder.sealing()).unwrap()
}

fn open_as(
    folder: &Folder,
    options: Options,
    sealing: Sealing,
) -> Result<(Journal, Recovery), JournalError> {
    let faults = Faults::default();
    faults.0.skip_sync.store(true, Ordering::SeqCst);
    JournalLock::take(folder.path(), GATEWAY)?.open_on(Box::new(faults), options, sealing)
}

fn segment(folder: &Folder, number: u64) -> PathBuf {
    folder.path().join(read::file_name(GATEWAY, number))
}

/// The event numbers that can be read, and the errors between them.
fn contents(folder: &Folder) -> (Vec<u64>, Vec<JournalError>) {
    let (mut numbers, mut errors) = (Vec::new(), Vec::new());
    for record in Reader::open(folder.path(), GATEWAY, Some(&key(1))).unwrap() {
        match record {
            Ok(record) => numbers.push(record.event.sequence),
            Err(error) => errors.push(error),
        }
    }
    (numbers, errors)
}

fn events(numbers: std::ops::RangeInclusive<u64>) -> Vec<Event> {
    numbers.map(small).collect()
}

in_both_forms!(
    what_was_appended_is_read_back_as_it_was,
    reopening_goes_on_where_the_journal_ended,
    segments_follow_one_another_in_one_chain,
    a_missing_segment_and_a_swapped_one_are_reported,
    p5_an_end_torn_at_any_byte_of_the_last_record_loses_only_that_record,
    p5_space_a_power_cut_left_blank_is_cut_off,
    p5_a_changed_bit_anywhere_is_reported_and_hides_no_other_record,
    p5_a_changed_bit_in_one_copy_of_the_header_costs_nothing_and_in_both_is_reported,
    p6_a_record_taken_out_or_put_in_another_order_breaks_the_chain,
    a_payload_cannot_pass_for_a_record,
    a_segment_of_another_format_or_gateway_is_refused_with_its_name,
    p5_a_second_writer_is_refused_until_the_first_is_gone,
    p8_an_event_longer_than_a_record_may_be_is_refused_and_the_rest_goes_on,
    appending_from_many_threads_keeps_one_chain,
    p5_a_segment_whose_header_was_never_finished_is_begun_again,
    p5_a_full_disk_refuses_whole_batches_and_loses_nothing_else,
    a_refused_batch_leaves_no_note_for_the_index,
    p5_bytes_that_cannot_be_cut_off_are_cut_off_before_the_next_append,
    p5_a_crash_on_a_full_disk_leaves_a_torn_end_and_no_more,
    p5_with_sync_zero_an_acknowledgement_waits_for_the_disk,
    a_segment_grows_on_while_no_new_one_can_be_made_but_not_for_ever,
    an_offline_reader_sees_what_a_writer_has_acknowledged,
    p2_numbers_that_cannot_be_counted_on_from_are_damage,
    p6_a_segment_under_another_name_is_damage_and_overwrites_nothing,
);

fn what_was_appended_is_read_back_as_it_was(form: Form) {
    let folder = Kept::new(form);
    let (journal, recovery) = open(&folder);
    assert_eq!(recovery, Recovery::default());
    let mut with_payload = small(2);
    with_payload.payload = vec![0, 255, b'{', b'"'];
    let first = journal.append(&[small(1), with_payload.clone()]).unwrap();
    assert_eq!((first.segment, first.sequence), (1, 2));
    let second = journal.append(&[event("s_one", 3, at(3), crate::testing::started())]).unwrap();
    assert_eq!(second.sequence, 3);
    let records: Vec<_> = journal.read().unwrap().map(Result::unwrap).collect();
    assert_eq!(records.len(), 3);
    assert_eq!(records[0].event, small(1));
    assert_eq!(records[1].event, with_payload);
    assert_eq!(records[1].position, first);
    assert_eq!(records[2].position, second);
    assert_eq!(records[1].stop, second.offset);
    let from: Vec<_> = journal.read_from(first).unwrap().map(Result::unwrap).collect();
    assert_eq!(from, records[1..]);
    assert_eq!(journal.append(&[]).unwrap(), second);
    assert_eq!(journal.last(), second);
}

fn reopening_goes_on_where_the_journal_ended(form: Form) {
    let folder = Kept::new(form);
    open(&folder).0.append(&events(1..=3)).unwrap();
    let (journal, recovery) = open(&folder);
    assert_eq!(recovery, Recovery { records: 3, ..Recovery::default() });
    assert_eq!(journal.append(&events(4..=4)).unwrap().sequence, 4);
    drop(journal);
    let (numbers, errors) = contents(&folder);
    assert_eq!(numbers, [1, 2, 3, 4]);
    assert!(errors.is_empty(), "{errors:?}");
}

fn segments_follow_one_another_in_one_chain(form: Form) {
    let folder = Kept::new(form);
    let options = Options { segment_bytes_max: 2000, ..Options::default() };
    let (journal, _) = open_with(&folder, options);
    for number in 1..=40 {
        journal.append(&events(number..=number)).unwrap();
    }
    let last = journal.last();
    assert!(last.segment > 3, "{last:?}");
    assert_eq!(last.sequence, 40);
    let records: Vec<_> = journal.read().unwrap().map(Result::unwrap).collect();
    assert!(records.iter().map(|record| record.position.sequence).eq(1..=40));
    let middle = records[17].position;
    let tail: Vec<_> = journal.read_from(middle).unwrap().map(Result::unwrap).collect();
    assert_eq!(tail, records[17..]);
    drop(journal);
    let (journal, _) = open_with(&folder, options);
    assert_eq!(journal.append(&events(41..=41)).unwrap().sequence, 41);
}

fn a_missing_segment_and_a_swapped_one_are_reported(form: Form) {
    let folder = Kept::new(form);
    let options = Options { segment_bytes_max: 1, ..Options::default() };
    let (journal, _) = open_with(&folder, options);
    for number in 1..=4 {
        journal.append(&events(number..=number)).unwrap();
    }
    drop(journal);
    let hidden = folder.path().join("hidden");
    std::fs::rename(segment(&folder, 2), &hidden).unwrap();
    let (numbers, errors) = contents(&folder);
    assert_eq!(numbers, [1, 3, 4]);
    assert!(errors[0].to_string().contains("segment 3 after segment 1"), "{errors:?}");

    let other = Kept::new(form);
    let (journal, _) = open_with(&other, options);
    journal.append(&events(7..=7)).unwrap();
    journal.append(&events(8..=8)).unwrap();
    drop(journal);
    std::fs::copy(segment(&other, 2), segment(&folder, 2)).unwrap();
    let (numbers, errors) = contents(&folder);
    assert_eq!(numbers, [1, 8, 3, 4]);
    assert_eq!(errors.len(), 2, "{errors:?}");
    assert!(errors[0].to_string().contains("does not follow"), "{errors:?}");
}

fn p5_an_end_torn_at_any_byte_of_the_last_record_loses_only_that_record(form: Form) {
    let folder = Kept::new(form);
    let (journal, _) = open(&folder);
    journal.append(&events(1..=3)).unwrap();
    let last = journal.last();
    drop(journal);
    let path = segment(&folder, 1);
    let whole = std::fs::read(&path).unwrap();
    let start = last.offset as usize;
    for cut in start..whole.len() {
        std::fs::write(&path, &whole[..cut]).unwrap();
        let (journal, recovery) = open(&folder);
        assert_eq!(recovery.records, 2, "cut at {cut}");
        assert_eq!(recovery.damage, [], "cut at {cut}");
        let torn = (cut > start).then(|| (path.clone(), last.offset, (cut - start) as u64));
        assert_eq!(recovery.torn, torn);
        assert_eq!(std::fs::metadata(&path).unwrap().len(), last.offset, "cut at {cut}");
        assert_eq!(journal.append(&events(4..=4)).unwrap().sequence, 3);
        drop(journal);
        let (numbers, errors) = contents(&folder);
        assert_eq!(numbers, [1, 2, 4], "cut at {cut}");
        assert!(errors.is_empty(), "cut at {cut}: {errors:?}");
    }
}

fn p5_space_a_power_cut_left_blank_is_cut_off(form: Form) {
    let folder = Kept::new(form);
    open(&folder).0.append(&events(1..=2)).unwrap();
    let file = std::fs::OpenOptions::new().write(true).open(segment(&folder, 1)).unwrap();
    let length = file.metadata().unwrap().len();
    file.set_len(length + 4096).unwrap();
    let (journal, recovery) = open(&folder);
    assert_eq!(recovery.torn, Some((segment(&folder, 1), length, 4096)));
    assert_eq!(file.metadata().unwrap().len(), length);
    journal.append(&events(3..=3)).unwrap();
    drop(journal);
    assert_eq!(contents(&folder).0, [1, 2, 3]);
}

/// Goal: whatever single bit changes, in whatever record, the change is reported, the file stays as
/// evidence, every other record can be read, and appending goes on.
fn p5_a_changed_bit_anywhere_is_reported_and_hides_no_other_record(form: Form) {
    let folder = Kept::new(form);
    let (journal, _) = open(&folder);
    let starts: Vec<_> =
        (1..=3).map(|n| journal.append(&events(n..=n)).unwrap().offset as usize).collect();
    drop(journal);
    let path = segment(&folder, 1);
    let whole = std::fs::read(&path).unwrap();
    for place in starts[0]..whole.len() {
        let mut changed = whole.clone();
        changed[place] ^= 1 << (place % 8);
        std::fs::write(&path, &changed).unwrap();
        let hit = starts.iter().rposition(|start| *start <= place).unwrap();
        let (journal, recovery) = open(&folder);
        let [damage] = recovery.damage.as_slice() else { panic!("byte {place}: {recovery:?}") };
        assert_eq!((&damage.path, damage.offset), (&path, starts[hit] as u64), "byte {place}");
        assert_eq!(recovery.torn, None, "byte {place}");
        assert_eq!(journal.append(&events(9..=9)).unwrap().segment, 2, "byte {place}");
        drop(journal);
        assert_eq!(std::fs::read(&path).unwrap(), changed, "the evidence, byte {place}");
        let (numbers, errors) = contents(&folder);
        let mut others = vec![1, 2, 3, 9];
        others.remove(hit);
        assert_eq!(numbers, others, "byte {place}");
        assert_eq!(errors.len(), 1, "byte {place}: {errors:?}");
        assert!(errors[0].to_string().contains("gw-test-0000000001.nj"), "{errors:?}");
        std::fs::remove_file(segment(&folder, 2)).unwrap();
    }
}

fn p5_a_changed_bit_in_one_copy_of_the_header_costs_nothing_and_in_both_is_reported(form: Form) {
    let folder = Kept::new(form);
    open(&folder).0.append(&events(1..=2)).unwrap();
    let path = segment(&folder, 1);
    let whole = std::fs::read(&path).unwrap();
    for place in 0..frame::DATA_START {
        let mut changed = whole.clone();
        changed[place] ^= 0x10;
        std::fs::write(&path, &changed).unwrap();
        let (numbers, errors) = contents(&folder);
        assert_eq!(numbers, [1, 2], "byte {place}");
        assert!(errors.is_empty(), "byte {place}: {errors:?}");
    }
    let mut changed = whole;
    changed[40] ^= 1;
    changed[168] ^= 1;
    std::fs::write(&path, &changed).unwrap();
    let (journal, recovery) = open(&folder);
    assert_eq!(recovery.damage.len(), 1);
    journal.append(&events(3..=3)).unwrap();
    let (numbers, errors) = contents(&folder);
    assert_eq!(numbers, [3]);
    assert_eq!(errors.len(), 1, "{errors:?}");
    assert_eq!(std::fs::read(&path).unwrap(), changed, "the evidence");
}

fn p6_a_record_taken_out_or_put_in_another_order_breaks_the_chain(form: Form) {
    let folder = Kept::new(form);
    let (journal, _) = open(&folder);
    let starts: Vec<_> =
        (1..=4).map(|n| journal.append(&events(n..=n)).unwrap().offset as usize).collect();
    drop(journal);
    let path = segment(&folder, 1);
    let whole = std::fs::read(&path).unwrap();
    let record = |n: usize| &whole[starts[n]..starts.get(n + 1).copied().unwrap_or(whole.len())];
    let table: [(&[usize], usize, &[u64]); 3] = [
        (&[0, 2, 3], 1, &[1, 3, 4]),
        (&[0, 2, 1, 3], 3, &[1, 3, 2, 4]),
        (&[1, 2, 3], 1, &[2, 3, 4]),
    ];
    for (order, breaks, numbers) in table {
        let mut bytes = whole[..starts[0]].to_vec();
        let mut opens = Vec::new();
        for (n, number) in order.iter().zip(numbers) {
            // A sealed one opens where it was written, and nowhere else.
            opens.extend((form == Form::Clear || bytes.len() == starts[*n]).then_some(*number));
            bytes.extend_from_slice(record(*n));
        }
        std::fs::write(&path, &bytes).unwrap();
        let (found, errors) = contents(&folder);
        assert_eq!(found, opens, "{order:?}");
        let unopened = numbers.len() - opens.len();
        assert_eq!(errors.len(), breaks + unopened, "{order:?}: {errors:?}");
        assert!(errors[0].to_string().contains("does not follow"), "{errors:?}");
    }
}

fn a_payload_cannot_pass_for_a_record(form: Form) {
    let folder = Kept::new(form);
    let other = Kept::new(form);
    open(&other).0.append(&events(7..=7)).unwrap();
    // A whole record of another segment, as a hostile database might return it.
    let forged = std::fs::read(segment(&other, 1)).unwrap()[frame::DATA_START..].to_vec();
    let (journal, _) = open(&folder);
    let mut carrier = small(1);
    carrier.payload = forged;
    let start = journal.append(std::slice::from_ref(&carrier)).unwrap().offset;
    journal.append(&events(2..=2)).unwrap();
    drop(journal);
    let path = segment(&folder, 1);
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[start as usize + 60] ^= 1;
    std::fs::write(&path, &bytes).unwrap();
    let (numbers, errors) = contents(&folder);
    assert_eq!(numbers, [2]);
    assert_eq!(errors.len(), 1);
}

fn a_segment_of_another_format_or_gateway_is_refused_with_its_name(form: Form) {
    let folder = Kept::new(form);
    open(&folder).0.append(&events(1..=1)).unwrap();
    let path = segment(&folder, 1);
    let whole = std::fs::read(&path).unwrap();
    let mut newer = whole.clone();
    for copy in [0, 128] {
        newer[copy + 8] = 9;
        let crc = crc32c::crc32c(&newer[copy..copy + 124]);
        newer[copy + 124..copy + 128].copy_from_slice(&crc.to_le_bytes());
    }
    std::fs::write(&path, newer).unwrap();
    let error = open_as(&folder, Options::default(), folder.sealing()).unwrap_err();
    assert!(error.to_string().contains("has format 9"), "{error}");
    std::fs::write(&path, &whole).unwrap();
    std::fs::rename(&path, folder.path().join("gw-other-0000000001.nj")).unwrap();
    let mut reader = Reader::open(folder.path(), "gw-other", Some(&key(1))).unwrap();
    let error = reader.next().unwrap().unwrap_err();
    assert!(error.to_string().contains("gw-test"), "{error}");
    let error = JournalLock::take(folder.path(), "../x").unwrap_err();
    assert!(matches!(error, JournalError::Gateway(_)));
}

fn p5_a_second_writer_is_refused_until_the_first_is_gone(form: Form) {
    let folder = Kept::new(form);
    let (journal, _) = open(&folder);
    let error = open_as(&folder, Options::default(), folder.sealing()).unwrap_err();
    assert!(matches!(error, JournalError::Locked { .. }));
    let id = std::process::id().to_string();
    assert!(error.to_string().contains(&id), "{error}");
    drop(journal);
    open(&folder);
}

fn p8_an_event_longer_than_a_record_may_be_is_refused_and_the_rest_goes_on(form: Form) {
    let folder = Kept::new(form);
    let (journal, _) = open(&folder);
    let mut long = small(1);
    long.payload = vec![7; limit::RECORD_BYTES_MAX];
    let error = journal.append(&[small(9), long.clone()]).unwrap_err();
    assert!(matches!(error, JournalError::Event(_)), "{error}");
    journal.append(&events(2..=2)).unwrap();
    drop(journal);
    let (numbers, errors) = contents(&folder);
    assert_eq!(numbers, [2]);
    assert!(errors.is_empty(), "{errors:?}");

    let json = serde_json::to_vec(&long).unwrap().len();
    for (bytes, fits) in [(limit::RECORD_BYTES_MAX, true), (limit::RECORD_BYTES_MAX + 1, false)] {
        long.payload.resize(bytes - json - 4, 7);
        let sealer = folder.sealing().sealer(GATEWAY, 1, &[0; 16]).unwrap();
        let mut sealer = sealer.map(|(sealer, _)| sealer);
        let chain = frame::CHAIN_START;
        let encoded =
            frame::encode(&mut Vec::new(), &long, &chain, 0, sealer.as_mut().map(|of| (of, 0)));
        assert_eq!(encoded.is_ok(), fits, "{bytes}");
    }
}

fn appending_from_many_threads_keeps_one_chain(form: Form) {
    for sync in [Duration::from_millis(1), Duration::ZERO] {
        let folder = Kept::new(form);
        let (journal, _) = open_with(&folder, Options { sync, segment_bytes_max: 8000 });
        std::thread::scope(|scope| {
            for thread in 0..4u64 {
                let journal = &journal;
                scope.spawn(move || {
                    for number in 0..25 {
                        journal
                            .append(&events(thread * 25 + number..=thread * 25 + number))
                            .unwrap();
                    }
                });
            }
        });
        journal.sync().unwrap();
        drop(journal);
        let (mut numbers, errors) = contents(&folder);
        assert!(errors.is_empty(), "{errors:?}");
        numbers.sort_unstable();
        assert!(numbers.into_iter().eq(0..100));
    }
}

fn p5_a_segment_whose_header_was_never_finished_is_begun_again(form: Form) {
    let folder = Kept::new(form);
    let options = Options { segment_bytes_max: 1, ..Options::default() };
    let (journal, _) = open_with(&folder, options);
    journal.append(&events(1..=1)).unwrap();
    journal.append(&events(2..=2)).unwrap();
    drop(journal);
    for length in [0, 1, frame::DATA_START - 1] {
        std::fs::write(segment(&folder, 3), vec![0; length]).unwrap();
        let (journal, recovery) = open_with(&folder, options);
        assert_eq!(recovery, Recovery { records: 1, ..Recovery::default() }, "{length}");
        assert_eq!(journal.append(&events(3..=3)).unwrap().sequence, 3, "{length}");
        drop(journal);
        let (numbers, errors) = contents(&folder);
        assert_eq!(numbers, [1, 2, 3], "{length}");
        assert!(errors.is_empty(), "{length}: {errors:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 300,
        failure_persistence: None,
        ..Default::default()
    })]

    /// Goal: whatever a disk makes of a segment, reading it ends, returns only what was written, in
    /// order, says so if anything is missing, and does not keep the journal from going on.
    #[test]
    fn p5_a_segment_in_any_state_never_yields_what_was_not_written(
        changes in prop::collection::vec(
            (0.0..1.0f64, prop::collection::vec(any::<u8>(), 0..60)),
            0..4,
        ),
        cut in prop::option::of(0.0..1.0f64),
        form in prop_oneof![Just(Form::Clear), Just(Form::Sealed)],
    ) {
        let folder = Kept::new(form);
        let (journal, _) = open(&folder);
        for number in 1..=6 {
            journal.append(&events(number..=number)).unwrap();
        }
        drop(journal);
        let path = segment(&folder, 1);
        let mut bytes = std::fs::read(&path).unwrap();
        for (place, with) in changes {
            let at = (place * bytes.len() as f64) as usize;
            let end = (at + with.len()).min(bytes.len());
            bytes[at..end].copy_from_slice(&with[..end - at]);
        }
        if let Some(cut) = cut {
            bytes.truncate((cut * bytes.len() as f64) as usize);
        }
        std::fs::write(&path, &bytes).unwrap();
        let (journal, recovery) = open(&folder);
        let position = journal.append(&events(7..=7)).unwrap();
        drop(journal);
        let (numbers, errors) = contents(&folder);
        prop_assert!(numbers.is_sorted() && numbers.iter().all(|n| (1..=7).contains(n)));
        prop_assert_eq!(numbers.last(), Some(&7));
        prop_assert_eq!(errors.is_empty(), recovery.damage.is_empty());
        if numbers.len() < 7 && bytes.len() >= frame::DATA_START && cut.is_none() {
            prop_assert!(!errors.is_empty() || recovery.torn.is_some());
        }
        prop_assert!(position.sequence >= numbers.len() as u64);
    }
}

fn p5_a_full_disk_refuses_whole_batches_and_loses_nothing_else(form: Form) {
    let folder = Kept::new(form);
    let (journal, faults) = open_faulty(&folder, Options::default());
    journal.append(&events(1..=2)).unwrap();
    let before = std::fs::read(segment(&folder, 1)).unwrap();
    // Full at once, inside the fixed part, inside a body, between two records of a batch.
    for room in [0, 1, 39, 40, 41, 200, 300, 500, 600] {
        faults.fill_after(room);
        let error = journal.append(&events(3..=5)).unwrap_err();
        let JournalError::Io { source, path, .. } = &error else { panic!("{error}") };
        assert_eq!(source.kind(), io::ErrorKind::StorageFull);
        assert_eq!(*path, segment(&folder, 1));
        assert_eq!(std::fs::read(segment(&folder, 1)).unwrap(), before, "room {room}");
        assert_eq!(journal.last().sequence, 2);
    }
    faults.free();
    assert_eq!(journal.append(&events(6..=6)).unwrap().sequence, 3);
    drop(journal);
    let (numbers, errors) = contents(&folder);
    assert_eq!(numbers, [1, 2, 6]);
    assert!(errors.is_empty(), "{errors:?}");
}

fn a_refused_batch_leaves_no_note_for_the_index(form: Form) {
    let folder = Kept::new(form);
    let (journal, faults) = open_faulty(&folder, Options::default());
    journal.keep_notes(100);
    journal.append(&events(1..=2)).unwrap();
    faults.fill_after(300);
    journal.append(&events(3..=5)).unwrap_err();
    faults.free();
    journal.append(&events(6..=6)).unwrap();
    let cut = journal.take_notes(Vec::new());
    assert_eq!(cut.notes.len(), 3);
    assert_eq!((cut.last, cut.lost), (journal.last(), false));
}

fn p5_bytes_that_cannot_be_cut_off_are_cut_off_before_the_next_append(form: Form) {
    let folder = Kept::new(form);
    let (journal, faults) = open_faulty(&folder, Options::default());
    journal.append(&events(1..=1)).unwrap();
    faults.fill_after(100);
    faults.0.no_cut.store(true, Ordering::SeqCst);
    journal.append(&events(2..=2)).unwrap_err();
    faults.free();
    let error = journal.append(&events(2..=2)).unwrap_err();
    assert!(error.to_string().contains("cannot mend"), "{error}");
    faults.0.no_cut.store(false, Ordering::SeqCst);
    journal.append(&events(3..=3)).unwrap();
    drop(journal);
    let (numbers, errors) = contents(&folder);
    assert_eq!(numbers, [1, 3]);
    assert!(errors.is_empty(), "{errors:?}");
}

fn p5_a_crash_on_a_full_disk_leaves_a_torn_end_and_no_more(form: Form) {
    let folder = Kept::new(form);
    let (journal, faults) = open_faulty(&folder, Options::default());
    journal.append(&events(1..=1)).unwrap();
    faults.fill_after(100);
    faults.0.no_cut.store(true, Ordering::SeqCst);
    journal.append(&events(2..=2)).unwrap_err();
    drop(journal);
    let (_, recovery) = open(&folder);
    assert_eq!(recovery.records, 1);
    assert!(recovery.torn.is_some());
}

fn p5_with_sync_zero_an_acknowledgement_waits_for_the_disk(form: Form) {
    let folder = Kept::new(form);
    let options = Options { sync: Duration::ZERO, ..Options::default() };
    let (journal, faults) = open_faulty(&folder, options);
    let before = faults.0.syncs.load(Ordering::SeqCst);
    journal.append(&events(1..=1)).unwrap();
    assert!(faults.0.syncs.load(Ordering::SeqCst) > before);
    faults.0.no_sync.store(true, Ordering::SeqCst);
    let error = journal.append(&events(2..=2)).unwrap_err();
    assert!(matches!(error, JournalError::Sync(_)), "{error}");
    let error = journal.append(&events(3..=3)).unwrap_err();
    assert!(matches!(error, JournalError::Sync(_)), "a new segment does not hold either: {error}");
    faults.0.no_sync.store(false, Ordering::SeqCst);
    let position = journal.append(&events(4..=4)).unwrap();
    assert!(position.segment > 1, "the old segment is not trusted any more");
    drop(journal);
    let (numbers, errors) = contents(&folder);
    assert!(errors.is_empty(), "{errors:?}");
    assert!(numbers.contains(&1) && numbers.contains(&4), "{numbers:?}");
}

fn a_segment_grows_on_while_no_new_one_can_be_made_but_not_for_ever(form: Form) {
    let folder = Kept::new(form);
    let options = Options { segment_bytes_max: 2000, ..Options::default() };
    let (journal, faults) = open_faulty(&folder, options);
    faults.0.no_create.store(true, Ordering::SeqCst);
    let appended = (1..100).take_while(|n| journal.append(&events(*n..=*n)).is_ok()).count();
    let length = std::fs::metadata(segment(&folder, 1)).unwrap().len();
    assert!((4000..4500).contains(&length), "{length}");
    faults.0.no_create.store(false, Ordering::SeqCst);
    assert_eq!(journal.append(&events(100..=100)).unwrap().segment, 2);
    drop(journal);
    assert_eq!(contents(&folder).0.len(), appended + 1);
}

fn an_offline_reader_sees_what_a_writer_has_acknowledged(form: Form) {
    let folder = Kept::new(form);
    let (journal, _) = open(&folder);
    journal.append(&events(1..=2)).unwrap();
    let reader = journal.read().unwrap();
    journal.append(&events(3..=3)).unwrap();
    assert_eq!(reader.count(), 2, "a reader ends where the journal ended when it was made");
    let (numbers, errors) = contents(&folder);
    assert_eq!(numbers, [1, 2, 3]);
    assert!(errors.is_empty());
    // Half a record, as a reader may catch it.
    let file = std::fs::OpenOptions::new().write(true).open(segment(&folder, 1)).unwrap();
    let end = file.metadata().unwrap().len();
    FileExt::write_all_at(&file, &[9, 9, 0, 0, 1, 2, 3], end).unwrap();
    let (numbers, errors) = contents(&folder);
    assert_eq!(numbers, [1, 2, 3]);
    assert!(errors.is_empty(), "{errors:?}");
}

#[test]
fn the_first_record_of_the_format_stays_readable() {
    let folder = Kept::new(Form::Clear);
    let (journal, _) = open(&folder);
    let body = operation(1, "select 1", "public.t", Verdict::Allow);
    journal.append(&[event("s_one", 1, at(0), body)]).unwrap();
    drop(journal);
    let bytes = std::fs::read(segment(&folder, 1)).unwrap();
    assert_eq!(&bytes[..10], b"NARROWSJ\x01\x00");
    let json = u32::from_le_bytes(bytes[296..300].try_into().unwrap()) as usize;
    let text = std::str::from_utf8(&bytes[300..300 + json]).unwrap();
    let expected = concat!(
        r#"{"v":1,"at":1700000000000000000,"gateway":"gw-test","session":"s_one","sequence":1,"#,
        r#""principal":"agent","resource":"appdb","kind":"operation","operation":1,"#,
        r#""step":"query","text":"select 1","verbs":["select"],"reads":["public.t"],"#,
        r#""decision":"allow"}"#
    );
    assert_eq!(text, expected);
}

/// A segment that holds nothing, in the file of number `named`.
fn write_header(folder: &Kept, named: u64, segment: u64, first_sequence: u64) {
    let gateway = GATEWAY.to_owned();
    let (previous, salt) = (frame::CHAIN_START, [1; 16]);
    let sealed = folder.sealing().sealer(GATEWAY, segment, &salt).unwrap();
    let sealed = sealed.map(|(_, check)| check);
    let header = frame::Header { gateway, segment, first_sequence, previous, salt, sealed };
    std::fs::write(self::segment(folder, named), header.encode()).unwrap();
}

fn p2_numbers_that_cannot_be_counted_on_from_are_damage(form: Form) {
    for (segment, first) in [(1, u64::MAX), (1, 1 << 63), (1, 0), (0, 1), (u64::MAX, 1)] {
        let folder = Kept::new(form);
        write_header(&folder, 1, segment, first);
        let (read, errors) = contents(&folder);
        assert!(read.is_empty() && errors.len() == 1, "{segment} {first}: {errors:?}");
        let (journal, recovery) = open(&folder);
        assert_eq!(recovery.damage.len(), 1, "{segment} {first}");
        let kept = journal.append(&events(1..=1)).unwrap();
        let found: Vec<_> = journal.read().unwrap().filter_map(Result::ok).collect();
        assert_eq!(found.iter().map(|r| r.position).collect::<Vec<_>>(), [kept]);
    }
    // The last that can be read is read, and none is begun behind it.
    let folder = Kept::new(form);
    let last = frame::NUMBER_MAX;
    write_header(&folder, last, last, last);
    let options = Options { segment_bytes_max: 1, ..Options::default() };
    let (journal, recovery) = open_with(&folder, options);
    assert_eq!(recovery, Recovery::default());
    journal.append(&events(1..=1)).unwrap();
    assert_eq!(contents(&folder).0, [1]);
    let refused = (0..9).find_map(|_| journal.append(&events(2..=2)).err()).unwrap();
    assert!(refused.to_string().contains("numbers are used up"), "{refused}");
    drop(journal);
    // A file with a number above it is none of ours.
    std::fs::write(segment(&folder, u64::MAX), "x").unwrap();
    assert!(contents(&folder).1.is_empty());
}

fn p6_a_segment_under_another_name_is_damage_and_overwrites_nothing(form: Form) {
    let folder = Kept::new(form);
    write_header(&folder, 2, 2, 1);
    write_header(&folder, 3, 1, 1);
    let before = std::fs::read(segment(&folder, 2)).unwrap();
    assert!(contents(&folder).1[0].to_string().contains("says it is number 1"));
    let (journal, recovery) = open(&folder);
    assert!(recovery.damage[0].what.contains("says it is number 1"), "{recovery:?}");
    assert_eq!(journal.append(&events(1..=1)).unwrap().segment, 4);
    assert_eq!(std::fs::read(segment(&folder, 2)).unwrap(), before);
}
