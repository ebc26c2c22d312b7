use std::sync::Arc;

use model::event::{EventBody, Verdict};
use model::operation::{Objects, OperationId, Parameter};
use model::{Event, SessionId, Timestamp};
use seal::{Keys, LocalKey};
use store::Archived;

use super::faulty::{self, Fault};
use super::made::{GATEWAY, Lab, NO_KEEPING, START, after};
use crate::evidence::{Evidence, Span};
use crate::file::ArchiveFile;
use crate::row::{Row, SEALED_TEXT};
use crate::sealing::{self, Erase, Erased, Opener, SealingError, Unsealed};
use crate::verify;

const SECRET: &str = "the-secret-of";

pub fn key(number: u8) -> LocalKey {
    let bytes: Vec<u8> = (0..32).map(|at| at * 7 + number).collect();
    LocalKey::parse("test", &bytes).unwrap()
}

pub fn keys(number: u8) -> Arc<Keys> {
    Arc::new(Keys::new(Arc::new(key(number))))
}

/// A statement of a session, which names the session in its text, its parameter, its payload and
/// in the message of a rule.
pub fn said(session: &str, principal: &str, number: u64) -> Event {
    Event {
        v: 1,
        at: Timestamp(START + number),
        gateway: GATEWAY.into(),
        session: Some(SessionId(session.into())),
        sequence: number,
        principal: Some(principal.into()),
        on_behalf_of: None,
        resource: Some("appdb".into()),
        body: EventBody::Operation {
            operation: OperationId(number),
            step: "query".into(),
            under: None,
            text: format!("select '{SECRET} {session}'").into(),
            parameters: vec![Parameter {
                kind: "text".into(),
                value: Some(format!("{SECRET} {session}")),
            }],
            objects: Arc::new(Objects { reads: vec!["public.t".into()], ..Objects::default() }),
            decision: Verdict::Allow,
            rules: Vec::new(),
            message: Some(format!("not {SECRET} {session}")),
            reason: None,
            approval: None,
            approver: None,
        },
        payload: format!("{SECRET} {session}").into_bytes(),
    }
}

/// Two sessions of Ann and one of Bob, archived under the key.
pub fn archive(keys: &Arc<Keys>) -> (Lab, Vec<Event>) {
    let lab = Lab::new();
    let events: Vec<Event> = (1..=30)
        .map(|number| match number % 3 {
            0 => said("s_bob", "bob", number),
            1 => said("s_ann", "ann", number),
            _ => said("s_ann2", "ann", number),
        })
        .collect();
    lab.journal.append(&events).unwrap();
    lab.rounds(NO_KEEPING).sealing(Arc::clone(keys)).round(after(60)).unwrap();
    (lab, events)
}

pub fn told(lab: &Lab, keys: &Arc<Keys>, session: &str) -> Result<Vec<Event>, String> {
    let evidence = Evidence::of_store(Arc::clone(&lab.bucket)).opening(Arc::clone(keys));
    let span = (Timestamp(START), after(60));
    let events = evidence.events(GATEWAY, 1, &SessionId(session.into()), span)?;
    Ok(events.into_iter().map(|(_, event)| event).collect())
}

pub fn text(event: &Event) -> &str {
    match &event.body {
        EventBody::Operation { text, .. } => text,
        _ => "",
    }
}

pub fn assert_whole(lab: &Lab) {
    let options = verify::Options { keys: vec![lab.public().into()], ..Default::default() };
    let report = verify::verify(&lab.bucket, &options).unwrap();
    assert!(report.is_clean(), "{:#?}", report.problems);
}

fn span() -> Span {
    Span { from: Timestamp(START), to: after(60) }
}

/// Every row in the store, as it lies there.
fn rows(lab: &Lab) -> Vec<Row> {
    let mut rows = Vec::new();
    for listed in lab.bucket.list("events").unwrap() {
        let file = ArchiveFile::open(&lab.bucket, &listed.path, listed.bytes).unwrap();
        file.each(|row| rows.push(row)).unwrap();
    }
    rows
}

#[test]
fn p7_what_was_said_is_in_no_object_of_the_store() {
    let (lab, _) = archive(&keys(1));
    for listed in lab.bucket.list("").unwrap() {
        let bytes = lab.bucket.get(&listed.path, u64::MAX).unwrap().unwrap();
        let found = bytes.windows(SECRET.len()).any(|window| window == SECRET.as_bytes());
        assert!(!found, "{}", listed.path);
    }
    // The files are compressed: what is in them shows only to who reads them.
    let rows = rows(&lab);
    assert_eq!(rows.len(), 30);
    for row in rows {
        assert!(!row.sealed.is_empty() && row.payload.is_empty());
        assert!(!format!("{row:?}").contains(SECRET), "{row:?}");
    }
    assert_whole(&lab);
    // Who did what to which table stays readable by anyone.
    let who = Evidence::of_store(Arc::clone(&lab.bucket)).who("t", &span()).unwrap();
    assert_eq!(who.uses.len(), 30);
    assert!(who.uses.iter().all(|of| of.text.is_none()));
    let hits = Evidence::of_store(Arc::clone(&lab.bucket)).search(SECRET, &span()).unwrap();
    assert_eq!((hits.hits.len(), hits.sealed), (0, 30));
}

#[test]
fn p5_the_holder_of_the_key_reads_everything_as_it_was() {
    let keys = keys(1);
    let (lab, events) = archive(&keys);
    for session in ["s_ann", "s_ann2", "s_bob"] {
        let of = |event: &&Event| event.session.as_ref().is_some_and(|id| &*id.0 == session);
        let wanted: Vec<Event> = events.iter().filter(of).cloned().collect();
        assert_eq!(told(&lab, &keys, session).unwrap(), wanted);
    }
    let evidence = Evidence::of_store(Arc::clone(&lab.bucket)).opening(keys);
    assert_eq!(evidence.search("THE-SECRET-OF s_bob", &span()).unwrap().hits.len(), 10);
    assert!(evidence.who("t", &span()).unwrap().uses.iter().all(|of| of.text.is_some()));
}

#[test]
fn p7_another_key_opens_nothing() {
    let (lab, _) = archive(&keys(1));
    let events = told(&lab, &keys(2), "s_ann").unwrap();
    assert_eq!(events.len(), 10);
    assert!(events.iter().all(|event| text(event) == SEALED_TEXT && event.payload.is_empty()));
}

#[test]
fn p6_what_is_erased_by_key_is_gone_and_every_proof_stays() {
    let keys = keys(1);
    let (lab, _) = archive(&keys);
    assert_eq!(sealing::erase(&lab.bucket, Erase::Session("s_ann")).unwrap().keys, 1);
    assert_eq!(text(&told(&lab, &keys, "s_ann").unwrap()[0]), SEALED_TEXT);
    assert_ne!(text(&told(&lab, &keys, "s_ann2").unwrap()[0]), SEALED_TEXT);
    assert_whole(&lab);
    assert_eq!(sealing::erase(&lab.bucket, Erase::Principal("ann")).unwrap().keys, 1);
    assert_eq!(text(&told(&lab, &keys, "s_ann2").unwrap()[0]), SEALED_TEXT);
    assert_ne!(text(&told(&lab, &keys, "s_bob").unwrap()[0]), SEALED_TEXT);
    assert_whole(&lab);
    let erased = |whose| sealing::erase(&lab.bucket, whose).unwrap();
    assert_eq!(erased(Erase::Principal("nobody")), Erased { keys: 0, before: false });
    assert_eq!(erased(Erase::Session("s_none")), Erased { keys: 0, before: false });
    assert_eq!(erased(Erase::Session("s_ann")), Erased { keys: 0, before: true });
}

/// What is in the store but for manifests.
fn objects(lab: &Lab) -> Vec<(String, Vec<u8>)> {
    let read = |path: &str| lab.bucket.get(path, u64::MAX).unwrap().unwrap().to_vec();
    let listed = lab.bucket.list("").unwrap();
    let kept = listed.iter().filter(|of| !of.path.starts_with("manifests"));
    kept.map(|of| (of.path.clone(), read(&of.path))).collect()
}

/// A store that takes no manifest, and what a round left in it.
pub fn interrupted(keys: &Arc<Keys>) -> (Lab, Arc<faulty::Faulty>, crate::Rounds) {
    let store = faulty::store();
    let lab = Lab::over(store.clone());
    let events: Vec<Event> =
        (1..=20).map(|number| said(["s_ann", "s_bob"][number % 2], "ann", number as u64)).collect();
    lab.journal.append(&events).unwrap();
    store.set(Some(Fault::Refuses("manifests")));
    let mut rounds = lab.rounds(NO_KEEPING).sealing(Arc::clone(keys));
    rounds.round(after(60)).unwrap_err();
    store.set(None);
    (lab, store, rounds)
}

#[test]
fn p5_a_conversion_that_is_done_again_makes_the_same_files_under_the_same_keys() {
    let keys = keys(1);
    let (lab, _, mut rounds) = interrupted(&keys);
    let first = objects(&lab);
    rounds.round(after(120)).unwrap();
    assert_eq!(objects(&lab), first);
    assert_eq!(told(&lab, &keys, "s_ann").unwrap().len(), 10);
    assert_whole(&lab);
}

/// Goal: no two contents under one key and nonce. Method: the files of a conversion that another
/// process began are sealed with keys of which nothing is in the store before.
#[test]
fn p7_keys_that_an_earlier_process_left_seal_nothing() {
    let keys = keys(1);
    let (lab, _, rounds) = interrupted(&keys);
    drop(rounds);
    let (left, sealed) = (objects(&lab), rows(&lab));
    lab.rounds(NO_KEEPING).sealing(Arc::clone(&keys)).round(after(120)).unwrap();
    let made = objects(&lab);
    assert_eq!(left.len(), made.len());
    assert!(left.iter().zip(&made).all(|(left, made)| left.0 == made.0 && left.1 != made.1));
    assert!(rows(&lab).iter().zip(&sealed).all(|(new, old)| new.sealed != old.sealed));
    assert!(told(&lab, &keys, "s_ann").unwrap().iter().all(|event| text(event) != SEALED_TEXT));
    assert_whole(&lab);
}

#[test]
fn p7_what_was_erased_stays_so_when_its_segment_is_converted_again() {
    for is_restarted in [false, true] {
        let keys = keys(1);
        let (lab, _, mut rounds) = interrupted(&keys);
        assert_eq!(sealing::erase(&lab.bucket, Erase::Session("s_ann")).unwrap().keys, 1);
        if is_restarted {
            rounds = lab.rounds(NO_KEEPING).sealing(Arc::clone(&keys));
        }
        rounds.round(after(120)).unwrap();
        let of = |session| told(&lab, &keys, session).unwrap();
        assert!(of("s_ann").iter().all(|event| text(event) == SEALED_TEXT), "{is_restarted}");
        assert!(of("s_bob").iter().all(|event| text(event) != SEALED_TEXT), "{is_restarted}");
        assert_eq!((of("s_ann").len(), of("s_bob").len()), (10, 10));
        let path = sealing::path(GATEWAY, 1);
        let there = lab.bucket.get(&path, u64::MAX).unwrap().unwrap();
        let there = seal::SegmentKeys::parse(&there).unwrap();
        assert_eq!(there.erased().collect::<Vec<_>>(), ["s_ann"]);
        assert_whole(&lab);
    }
}

#[test]
fn p7_keys_that_do_not_read_back_keep_the_segment_in_the_journal() {
    let store = faulty::store();
    let lab = Lab::over(store.clone());
    lab.journal.append(&[said("s_ann", "ann", 1)]).unwrap();
    let mut rounds = lab.rounds(NO_KEEPING).sealing(keys(1));
    store.set(Some(Fault::Drops("keys")));
    let error = rounds.round(after(60)).unwrap_err();
    assert!(error.to_string().contains("reads back otherwise"), "{error}");
    store.set(Some(Fault::Alters("keys")));
    rounds.round(after(61)).unwrap_err();
    assert_eq!(lab.journal.closed_segments().unwrap(), [1]);
}

#[test]
fn p7_keys_of_another_segment_are_neither_taken_nor_replaced() {
    let keys = keys(1);
    let (lab, _, rounds) = interrupted(&keys);
    drop(rounds);
    let (path, other) = (sealing::path(GATEWAY, 1), sealing::path(GATEWAY, 2));
    let text = lab.bucket.get(&path, u64::MAX).unwrap().unwrap();
    let there = String::from_utf8(text.to_vec()).unwrap();
    let moved = there.replace("\"segment\":1,", "\"segment\":2,");
    assert_ne!(moved, there);
    lab.bucket.put(&path, moved.clone().into()).unwrap();
    let error = lab.rounds(NO_KEEPING).sealing(Arc::clone(&keys)).round(after(120)).unwrap_err();
    assert!(error.to_string().contains("with keys of another"), "{error}");

    lab.bucket.put(&path, text.clone()).unwrap();
    lab.bucket.put(&other, text).unwrap();
    let opener = Opener::new(Arc::clone(&lab.bucket), keys);
    let mut row = rows(&lab).remove(0);
    row.segment = 2;
    let not = opener.open(&mut row);
    let why = format!("{other} holds keys of another gateway or segment");
    assert_eq!(not, Unsealed::Not(why));
    row.segment = 1;
    assert_eq!(opener.open(&mut row), Unsealed::Clear);
}

/// Goal: of two erasures at once none is lost. Method: the second happens between the reading and
/// the writing of the first.
#[test]
fn p7_of_two_erasures_at_once_none_is_lost() {
    let keys = keys(1);
    let (lab, _, _) = interrupted(&keys);
    let path = sealing::path(GATEWAY, 1);
    let mut asked = 0;
    let change = |there: Option<&[u8]>| -> Result<_, SealingError> {
        asked += 1;
        if asked == 1 {
            assert_eq!(sealing::erase(&lab.bucket, Erase::Session("s_ann"))?.keys, 1);
        }
        let mut there = seal::SegmentKeys::parse(there.unwrap())?;
        assert!(there.erase_session("s_bob"));
        Ok(Some(there.to_json()?.into()))
    };
    lab.bucket.change(&path, u64::MAX, change).unwrap();
    assert_eq!(asked, 2);
    let there = lab.bucket.get(&path, u64::MAX).unwrap().unwrap();
    let there = seal::SegmentKeys::parse(&there).unwrap();
    assert_eq!(there.erased().collect::<Vec<_>>(), ["s_ann", "s_bob"]);
}

#[test]
fn p7_of_many_erasures_in_a_folder_none_is_lost() {
    let lab = Lab::new();
    let names: Vec<String> = (0..40).map(|number| format!("s_{number}")).collect();
    let events: Vec<Event> =
        names.iter().zip(1..).map(|(session, number)| said(session, "ann", number)).collect();
    lab.journal.append(&events).unwrap();
    lab.rounds(NO_KEEPING).sealing(keys(1)).round(after(60)).unwrap();
    std::thread::scope(|scope| {
        for part in names.chunks(10) {
            let bucket = &lab.bucket;
            scope.spawn(move || {
                for session in part {
                    assert_eq!(sealing::erase(bucket, Erase::Session(session)).unwrap().keys, 1);
                }
            });
        }
    });
    let there = lab.bucket.get(&sealing::path(GATEWAY, 1), u64::MAX).unwrap().unwrap();
    assert_eq!(seal::SegmentKeys::parse(&there).unwrap().erased().count(), 40);
}
