//! A session is read in parts, each from where the one before ended, and never in part unsaid.

use super::*;

/// The numbers of events as requests that run beside each other are journalled.
const NUMBERS: [u64; 12] = [1, 4, 2, 3, 9, 5, 6, 8, 7, 12, 10, 11];

fn fill(shelf: &Shelf) {
    for (time, number) in (1..).zip(NUMBERS) {
        shelf.append(&[
            event("s_one", number, at(time), operation(number, "a", "t", Verdict::Allow)),
            event("s_two", time, at(time), operation(time, "b", "t", Verdict::Allow)),
        ]);
        if time % 5 == 0 {
            shelf.index.flush().unwrap();
        }
    }
}

fn numbers(events: SessionEvents) -> Vec<u64> {
    events.map(|event| event.unwrap().sequence).collect()
}

#[test]
fn p5_pages_of_a_session_lose_and_repeat_no_event_whatever_order_it_was_numbered_in() {
    for (segment_bytes_max, segments_min) in [(u64::MAX, 1), (3000, 3)] {
        let shelf = Shelf::over(Folder::new(), segment_bytes_max);
        fill(&shelf);
        assert!(shelf.journal.last().segment >= segments_min);
        let mut end = Bookmark::default();
        for length in 1..=NUMBERS.len() {
            let (mut read, mut after) = (Vec::new(), Bookmark::default());
            loop {
                let mut page = shelf.index.events_after(&id("s_one"), after.clone()).unwrap();
                let events: Vec<u64> =
                    page.by_ref().take(length).map(|event| event.unwrap().sequence).collect();
                if events.is_empty() {
                    break;
                }
                read.extend(events);
                after = Bookmark::parse(&page.bookmark().to_string()).unwrap();
            }
            assert_eq!(read, NUMBERS, "pages of {length}");
            end = after;
        }
        // What it does later is behind that place, even with a number from before.
        shelf.append(&[event("s_one", 2, at(99), part(1, 1))]);
        assert_eq!(numbers(shelf.index.events_after(&id("s_one"), end).unwrap()), [2]);
    }
}

/// What is left in the journal of `shelf`'s session, after something happened to its files.
fn errors(shelf: &Shelf) -> Vec<String> {
    let events = shelf.index.events(&id("s_one")).unwrap();
    events.filter_map(Result::err).map(|error| error.to_string()).collect()
}

#[test]
fn p5_a_segment_that_lacks_events_is_an_error_and_not_a_shorter_answer() {
    let shelf = Shelf::over(Folder::new(), u64::MAX);
    fill(&shelf);
    shelf.index.flush().unwrap();
    let path = shelf.journal.segment_path(1);
    let records: Vec<_> = shelf.journal.read().unwrap().map(Result::unwrap).collect();
    let cut = |length| std::fs::File::options().write(true).open(&path).unwrap().set_len(length);
    assert!(errors(&shelf).is_empty());
    // Between two records, so that what is left is whole in itself.
    cut(records.get(19).unwrap().position.offset).unwrap();
    assert_eq!(errors(&shelf), ["segment 1 of gw-test lacks 2 of the session's events"]);
    cut(1).unwrap();
    assert!(errors(&shelf)[0].contains("a segment without a header"), "{:?}", errors(&shelf));
    std::fs::remove_file(&path).unwrap();
    assert!(errors(&shelf)[0].starts_with("cannot open "), "{:?}", errors(&shelf));
}

/// An archive that has these events, each at its place.
struct Kept(Vec<(u64, u64, Event)>);

impl Archived for Kept {
    fn events(
        &self,
        _: &str,
        segment: u64,
        session: &SessionId,
        _: (Timestamp, Timestamp),
    ) -> Result<Vec<(u64, Event)>, String> {
        let ours = |kept: &&(u64, u64, Event)| {
            kept.0 == segment && kept.2.session.as_ref() == Some(session)
        };
        Ok(self.0.iter().filter(ours).map(|kept| (kept.1, kept.2.clone())).collect())
    }

    fn each(
        &self,
        _: &str,
        here: &dyn Fn(u64) -> bool,
        each: &mut dyn FnMut(u64, u64, u64, &Event),
    ) -> Result<(), String> {
        let nexts = self.0.iter().skip(1).map(|next| (next.0, next.1)).chain([(0, 0)]);
        for ((segment, start, event), next) in self.0.iter().zip(nexts) {
            let stop = if next.0 == *segment { next.1 } else { start + 1 };
            if !here(*segment) {
                each(*segment, *start, stop, event);
            }
        }
        Ok(())
    }
}

#[test]
fn p5_what_only_the_archive_has_is_whole_or_an_error() {
    for lost in [None, Some(2)] {
        let shelf = Shelf::new();
        fill(&shelf);
        shelf.index.flush().unwrap();
        let records = shelf.journal.read().unwrap().map(Result::unwrap);
        let kept = records.map(|it| (it.position.segment, it.position.offset, it.event));
        let kept = kept.filter(|kept| Some(kept.2.sequence) != lost || kept.0 > 1);
        shelf.index.read_archive(Arc::new(Kept(kept.collect())));
        let mut events = shelf.index.events(&id("s_one")).unwrap();
        let first = events.next().unwrap().unwrap();
        // The journal lets go of its segments while someone reads.
        for segment in shelf.journal.closed_segments().unwrap() {
            drop(shelf.journal.remove_segment(segment).unwrap());
        }
        let (read, errors): (Vec<_>, Vec<_>) = events.partition(Result::is_ok);
        let read = std::iter::once(first).chain(read.into_iter().map(Result::unwrap));
        let read: Vec<u64> = read.map(|event| event.sequence).collect();
        let again = shelf.index.events(&id("s_one")).unwrap();
        let again = again.filter_map(Result::err).map(|error| error.to_string());
        match lost {
            None => assert_eq!(read, NUMBERS),
            Some(_) => assert_eq!(
                again.collect::<Vec<_>>(),
                ["segment 1 of gw-test lacks 1 of the session's events"]
            ),
        }
        assert!(errors.is_empty(), "the first segment was open already: {errors:?}");
    }
}

#[test]
fn p5_an_index_that_is_built_again_has_what_the_journal_let_go_of_in_any_order() {
    let shelf = Shelf::over(Folder::new(), 1500);
    fill(&shelf);
    let records = shelf.journal.read().unwrap().map(Result::unwrap);
    let kept = records.map(|it| (it.position.segment, it.position.offset, it.event));
    let kept: Vec<_> = kept.collect();
    shelf.index.read_archive(Arc::new(Kept(kept)));
    let closed = shelf.journal.closed_segments().unwrap();
    assert!(closed.len() >= 3, "{closed:?}");
    // The first is damaged, say, and stays as evidence.
    for segment in [2, 3].into_iter().chain(closed.into_iter().skip(3)).chain([1]) {
        if shelf.journal.segment_path(segment).exists() {
            shelf.journal.remove_segment(segment).unwrap();
        }
        shelf.index.reindex().unwrap();
        for (session, whole) in [("s_one", NUMBERS.to_vec()), ("s_two", (1..=12).collect())] {
            assert_eq!(numbers(shelf.index.events(&id(session)).unwrap()), whole, "{segment}");
            let session = shelf.index.session(&id(session)).unwrap().unwrap();
            assert_eq!(session.done.operations, 12, "without {segment}");
        }
    }
}
