//! What answers are found in, and what they say that they lack.

use std::sync::Arc;

use model::event::EventBody;
use model::{Event, Principal, PrincipalKind, SessionId, Timestamp};
use store::Archived;

use super::made::{GATEWAY, Lab, NO_KEEPING, Random, after};
use super::sealing::said;
use crate::evidence::{Coverage, Evidence, EvidenceError, Pii, Span, signed_files};
use crate::manifest::{self, Manifest};
use crate::row::{Place, Row};

const HOUR: u64 = 60 * 60;

/// Five hours, each with a segment of its own: manifests 1 to 5.
fn archive() -> Lab {
    let lab = Lab::new();
    let mut rounds = lab.rounds(NO_KEEPING);
    for hour in 0..5 {
        lab.append(hour, hour * HOUR..hour * HOUR + 25);
        rounds.round(after(hour * HOUR + 60)).unwrap();
    }
    lab
}

fn ask(lab: &Lab, span: &Span) -> Pii {
    Evidence::of_store(Arc::clone(&lab.bucket)).pii(span).unwrap()
}

/// Hours from the start on, which was half past three.
fn hours(from: u64, to: u64) -> Span {
    Span { from: after(from * HOUR), to: after(to * HOUR) }
}

fn file(hour: u64) -> String {
    format!("events/date=2026-11-29/hour=0{}/gw-test-000000000{}.parquet", 3 + hour, 1 + hour)
}

fn copy(lab: &Lab, from: &str, to: &str) {
    let content = lab.bucket.get(from, u64::MAX).unwrap().unwrap();
    lab.bucket.put(to, content).unwrap();
}

#[test]
fn p6_a_file_that_is_missing_is_named_by_every_answer() {
    let lab = archive();
    let whole = ask(&lab, &hours(0, 5));
    assert_eq!((whole.coverage.files, whole.coverage.is_whole()), (5, true));
    lab.bucket.remove(&file(2)).unwrap();
    let coverage = ask(&lab, &hours(0, 5)).coverage;
    assert_eq!(coverage.unread, [format!("{}: it was signed and is not here", file(2))]);
    assert!(ask(&lab, &hours(4, 5)).coverage.is_whole(), "another time");
    let found = Evidence::of_store(Arc::clone(&lab.bucket)).session("s_1", &hours(0, 5));
    assert!(!found.unwrap().1.is_whole());

    // Taken away with the manifest that names it.
    let manifests = lab.bucket.list("manifests").unwrap();
    let third = manifests.iter().find(|of| manifest::number_in(&of.path) == Some(3)).unwrap();
    lab.bucket.remove(&third.path).unwrap();
    for span in [hours(0, 5), hours(2, 3), Span { from: Timestamp(0), to: after(5 * HOUR) }] {
        let coverage = ask(&lab, &span).coverage;
        assert_eq!(coverage.unread, ["manifests 3 to 3 of gw-test are not here"], "{span:?}");
    }
    lab.bucket.put(&third.path, b"{}".to_vec().into()).unwrap();
    let coverage = ask(&lab, &hours(2, 3)).coverage;
    assert_eq!(coverage.unread, [format!("{}: it is no manifest", third.path)]);
}

#[test]
fn p6_an_archive_whose_beginning_is_gone_says_where_it_begins() {
    let lab = archive();
    for of in lab.bucket.list("manifests").unwrap() {
        if manifest::number_in(&of.path) < Some(4) {
            lab.bucket.remove(&of.path).unwrap();
        }
    }
    (0..3).for_each(|hour| lab.bucket.remove(&file(hour)).unwrap());
    let said = ask(&lab, &hours(1, 5)).coverage.unread;
    assert_eq!(said.len(), 1);
    assert!(said[0].starts_with("manifests 1 to 3 of gw-test are not here"), "{said:?}");
    assert!(ask(&lab, &hours(4, 5)).coverage.is_whole());
    assert!(ask(&lab, &Span { from: Timestamp(0), to: after(5 * HOUR) }).coverage.is_whole());
}

#[test]
fn p6_answers_are_found_in_nothing_that_no_manifest_names() {
    let lab = archive();
    let before = ask(&lab, &hours(0, 5));
    let place = |name: &str| format!("events/date=2026-11-29/hour=03/{name}.parquet");
    let left_out = |name: &str, why: &str| {
        let answer = ask(&lab, &hours(0, 5));
        assert_eq!(answer.replies_in_all, before.replies_in_all, "{name}");
        assert_eq!(answer.coverage.unread, [format!("{}: {why}", place(name))]);
        lab.bucket.remove(&place(name)).unwrap();
    };
    copy(&lab, &file(0), &place("gw-test-0000000002"));
    left_out("gw-test-0000000002", "no manifest names it, left out");
    copy(&lab, &file(0), &place("gw-strange-0000000001"));
    left_out("gw-strange-0000000001", "no manifest of its gateway is here, left out");
    // Behind everything that is signed: it may be about to be.
    copy(&lab, &file(0), &place("gw-test-0000000099"));
    let answer = ask(&lab, &hours(0, 5));
    assert_eq!(answer.replies_in_all, before.replies_in_all);
    let coverage = Coverage { unsigned: 1, ..before.coverage };
    assert_eq!(answer.coverage, coverage);
}

#[test]
fn p6_events_under_the_name_of_another_file_are_left_out() {
    let lab = archive();
    let other = lab.neighbour("gw-other");
    other.append(7, 0..25);
    other.rounds(NO_KEEPING).round(after(60)).unwrap();
    let before = ask(&lab, &hours(0, 1)).replies_in_all;
    let theirs = "events/date=2026-11-29/hour=03/gw-other-0000000001.parquet";
    copy(&lab, &file(0), theirs);
    let answer = ask(&lab, &hours(0, 1));
    assert_eq!(answer.coverage.unread, [format!("{theirs}: events of another file, left out")]);
    assert!(answer.replies_in_all < before, "counted once");
}

#[test]
fn p6_an_answer_of_several_searches_lacks_what_any_of_them_lacks() {
    let lab = archive();
    // Operations of the first seconds whose replies are looked for up to a day later.
    let span = Span { from: after(0), to: after(25) };
    let ask = || Evidence::of_store(Arc::clone(&lab.bucket)).who("t", &span).unwrap();
    let whole = ask();
    assert!(!whole.uses.is_empty() && whole.coverage.is_whole());
    lab.bucket.remove(&file(1)).unwrap();
    let missing = format!("{}: it was signed and is not here", file(1));
    assert_eq!(ask().coverage, Coverage { unread: vec![missing], ..whole.coverage });
}

#[test]
fn a_table_is_found_by_its_name_however_that_is_written() {
    use crate::row::is_table;
    for wanted in ["customers", "CUSTOMERS", "Shop.customers"] {
        assert!(is_table("shop.customers", wanted), "{wanted}");
    }
    for wanted in ["", "stomers", "shop", "üshop.customers", "other.customers"] {
        assert!(!is_table("shop.customers", wanted), "{wanted}");
    }
}

#[test]
fn p6_a_store_without_manifests_gives_no_answer() {
    let lab = archive();
    for of in lab.bucket.list("manifests").unwrap() {
        lab.bucket.remove(&of.path).unwrap();
    }
    let answer = Evidence::of_store(Arc::clone(&lab.bucket)).who("t", &hours(0, 5));
    assert!(matches!(answer, Err(EvidenceError::NoManifest(_))), "{answer:?}");
}

#[test]
fn p6_the_few_manifests_that_are_read_name_all_files_of_a_time() {
    for seed in 0..4 {
        let lab = Lab::new();
        let mut rounds = lab.rounds(NO_KEEPING);
        let mut random = Random(seed);
        let (mut second, mut times) = (0, Vec::new());
        for round in 0..40 {
            // Long and short pauses, in some of which nothing happens.
            second += [60, 60, 600, 2 * HOUR, 30 * HOUR][random.below(5) as usize];
            if random.below(3) == 0 {
                // Or it happens before the clock is set back.
                let at = second + [0, 10, HOUR / 2, HOUR - 60][random.below(4) as usize];
                lab.append(round, at..at + 1 + random.below(2));
                times.push(at);
            }
            rounds.round(after(second)).unwrap();
        }
        let mut all: Vec<String> = Vec::new();
        for of in lab.bucket.list("manifests").unwrap() {
            let text = lab.bucket.get(&of.path, u64::MAX).unwrap().unwrap();
            let segments = Manifest::read(&text).unwrap().manifest.segments;
            all.extend(segments.into_iter().flat_map(|of| of.files).map(|file| file.path));
        }
        all.sort();
        for time in times {
            let from = time.saturating_sub([0, 60, HOUR, 20 * HOUR][random.below(4) as usize]);
            let to = after(from + 1 + random.below(40 * HOUR));
            let span = Span { from: after(from), to };
            let found = signed_files(&lab.bucket, &span, &|_| false).unwrap();
            let files: Vec<&String> = found.files.iter().map(|of| &of.path).collect();
            let wanted: Vec<&String> = all.iter().filter(|path| span.covers_path(path)).collect();
            assert_eq!(files, wanted, "seed {seed}, {span:?}");
            assert_eq!(found.unread, [""; 0], "seed {seed}, {span:?}");
            assert!(found.unsigned.is_empty());
        }
    }
}

#[test]
fn p6_what_the_journal_has_and_the_archive_lacks_is_named_by_every_answer() {
    let lab = Lab::new();
    lab.append(1, 0..10);
    let old = lab.copied();
    lab.append(2, 10..20);
    lab.rounds(NO_KEEPING).round(after(60)).unwrap();
    let lab = lab.restored(old.path());
    // Before anybody knew how far the archive reaches.
    lab.append(3, 20..30);
    let mut rounds = lab.rounds(NO_KEEPING);
    rounds.round(after(120)).unwrap();
    let reach = rounds.reach();
    assert_eq!(reach.orphans, [1]);
    let (bucket, journal) = (Arc::clone(&lab.bucket), Arc::clone(&lab.journal));
    let evidence = Evidence::of_gateway(bucket, journal, Arc::new(move || reach.clone()));
    let unread = evidence.pii(&hours(0, 5)).unwrap().coverage.unread;
    let [said] = unread.as_slice() else { panic!("{unread:?}") };
    assert!(said.contains("gw-test-0000000001.nj: not the segment of its number"), "{said}");
}

#[test]
fn p6_what_was_damaged_before_it_was_archived_is_named_by_every_answer() {
    let lab = Lab::new();
    lab.append(1, 0..50);
    lab.journal.rotate().unwrap();
    lab.damage(1);
    lab.rounds(NO_KEEPING).round(after(60)).unwrap();
    let unread = ask(&lab, &hours(0, 5)).coverage.unread;
    assert_eq!(unread, ["segment 1 of gw-test: part of it was damaged before it was archived"]);
    assert!(ask(&lab, &hours(4, 5)).coverage.is_whole(), "another time");
}

#[test]
fn p6_a_segment_of_which_nothing_could_be_read_is_missed_by_every_answer() {
    let lab = Lab::new();
    let mut rounds = lab.rounds(NO_KEEPING);
    for hour in 0..4 {
        lab.append(hour, hour * HOUR..hour * HOUR + 25);
        lab.journal.rotate().unwrap();
        if hour == 1 {
            std::fs::write(lab.journal.segment_path(2), vec![0; 5000]).unwrap();
        }
        rounds.round(after(hour * HOUR + 60)).unwrap();
    }
    for (from, to) in [(0, 5), (1, 3), (2, 3)] {
        let unread = ask(&lab, &hours(from, to)).coverage.unread;
        let missed = "events 26 to 50 of gw-test are in no manifest";
        assert!(unread.iter().any(|of| of == missed), "{from} to {to}: {unread:?}");
    }
    assert!(ask(&lab, &hours(4, 5)).coverage.is_whole(), "another time");
}

/// The beginning of a session of a principal who works for Ann.
fn begun(session: &str) -> Event {
    let principal = Principal {
        subject: "agent-x".into(),
        kind: PrincipalKind::Agent,
        groups: Vec::new(),
        issuer: "narrows".into(),
        on_behalf_of: Some("ann".into()),
        on_behalf_of_groups: vec!["staff".into()],
        token: None,
        minted_by: None,
        expires_at: None,
        certificate: None,
    };
    let (client, application, protocol) = ("c".to_owned(), None, "postgres".to_owned());
    let body = EventBody::SessionStarted { principal, client, application, protocol, run: None };
    Event { body, payload: Vec::new(), ..said(session, "agent-x", 1) }
}

/// Goal: who asked for whom is known of every event, and of recordings that say it once.
#[test]
fn p6_for_whom_it_was_done_is_told_of_new_and_of_old_recordings() {
    let lab = Lab::new();
    let new = |event: Event| Event { on_behalf_of: Some("ann".into()), ..event };
    lab.journal
        .append(&[
            new(begun("s_new")),
            new(said("s_new", "agent-x", 2)),
            begun("s_old"),
            said("s_old", "agent-x", 2),
            said("s_own", "bot", 1),
        ])
        .unwrap();
    lab.rounds(NO_KEEPING).round(after(60)).unwrap();
    let evidence = Evidence::of_store(Arc::clone(&lab.bucket));
    let span = Span { from: Timestamp(super::made::START), to: after(60) };
    let who = evidence.who("t", &span).unwrap();
    let for_whom: Vec<_> =
        who.uses.iter().map(|of| (&*of.session, of.on_behalf_of.as_deref())).collect();
    assert_eq!(for_whom, [("s_own", None), ("s_new", Some("ann")), ("s_old", Some("ann"))]);
    let hits = evidence.search("the-secret-of", &span).unwrap().hits;
    let new = hits.iter().find(|hit| hit.session.as_deref() == Some("s_new")).unwrap();
    assert_eq!(new.on_behalf_of.as_deref(), Some("ann"));

    // An event that began a session before every event said it comes back saying it.
    let of_row = |event: &Event| Row::of(event.clone(), Place::default()).event().unwrap();
    let old = begun("s_old");
    assert_eq!(of_row(&old), Event { on_behalf_of: Some("ann".into()), ..old });
    for session in ["s_new", "s_old"] {
        let events = evidence.events(GATEWAY, 1, &SessionId(session.into()), (span.from, span.to));
        assert_eq!(events.unwrap()[0].1.on_behalf_of.as_deref(), Some("ann"));
    }
    let options = crate::verify::Options { keys: vec![lab.public().into()], ..Default::default() };
    assert!(crate::verify::verify(&lab.bucket, &options).unwrap().is_clean());
}
