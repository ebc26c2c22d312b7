use std::sync::Arc;

use model::event::{EventBody, Verdict};
use model::operation::{Objects, OperationId, Parameter};
use model::{Event, SessionId, Timestamp};
use seal::{Keys, LocalKey};
use store::Archived;

use super::faulty::{self, Fault};
use super::made::{GATEWAY, Lab, NO_KEEPING, START, after};
use crate::evidence::{Evidence, Span};
use crate::row::SEALED_TEXT;
use crate::sealing::{self, Erase, SealingError};
use crate::verify;

const SECRET: &str = "the-secret-of";

fn key(number: u8) -> LocalKey {
    let bytes: Vec<u8> = (0..32).map(|at| at * 7 + number).collect();
    LocalKey::parse("test", &bytes).unwrap()
}

fn keys(number: u8) -> Arc<Keys> {
    Arc::new(Keys::new(Arc::new(key(number))))
}

/// A statement of a session, which names the session in its text, its parameter and its payload.
fn said(session: &str, principal: &str, number: u64) -> Event {
    Event {
        v: 1,
        at: Timestamp(START + number),
        gateway: GATEWAY.into(),
        session: Some(SessionId(session.into())),
        sequence: number,
        principal: Some(principal.into()),
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
            message: None,
            reason: None,
            approval: None,
            approver: None,
        },
        payload: format!("{SECRET} {session}").into_bytes(),
    }
}

/// Two sessions of Ann and one of Bob, archived under the key.
fn archive(keys: &Arc<Keys>) -> (Lab, Vec<Event>) {
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

fn told(lab: &Lab, keys: &Arc<Keys>, session: &str) -> Result<Vec<Event>, String> {
    let evidence = Evidence::of_store(Arc::clone(&lab.bucket)).opening(Arc::clone(keys));
    let span = (Timestamp(START), after(60));
    let events = evidence.events(GATEWAY, 1, &SessionId(session.into()), span)?;
    Ok(events.into_iter().map(|(_, event)| event).collect())
}

fn text(event: &Event) -> &str {
    match &event.body {
        EventBody::Operation { text, .. } => text,
        _ => "",
    }
}

fn assert_whole(lab: &Lab) {
    let options = verify::Options { keys: vec![lab.public().into()], ..Default::default() };
    let report = verify::verify(&lab.bucket, &options).unwrap();
    assert!(report.is_clean(), "{:#?}", report.problems);
}

fn span() -> Span {
    Span { from: Timestamp(START), to: after(60) }
}

#[test]
fn p7_what_was_said_is_in_no_object_of_the_store() {
    let (lab, _) = archive(&keys(1));
    for listed in lab.bucket.list("").unwrap() {
        let bytes = lab.bucket.get(&listed.path, u64::MAX).unwrap().unwrap();
        let found = bytes.windows(SECRET.len()).any(|window| window == SECRET.as_bytes());
        assert!(!found, "{}", listed.path);
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
    assert_eq!(sealing::erase(&lab.bucket, Erase::Session("s_ann")).unwrap(), 1);
    assert_eq!(text(&told(&lab, &keys, "s_ann").unwrap()[0]), SEALED_TEXT);
    assert_ne!(text(&told(&lab, &keys, "s_ann2").unwrap()[0]), SEALED_TEXT);
    assert_whole(&lab);
    assert_eq!(sealing::erase(&lab.bucket, Erase::Principal("ann")).unwrap(), 1);
    assert_eq!(text(&told(&lab, &keys, "s_ann2").unwrap()[0]), SEALED_TEXT);
    assert_ne!(text(&told(&lab, &keys, "s_bob").unwrap()[0]), SEALED_TEXT);
    assert_whole(&lab);
    assert_eq!(sealing::erase(&lab.bucket, Erase::Principal("nobody")).unwrap(), 0);
}

#[test]
fn p5_a_conversion_that_was_interrupted_makes_the_same_files_under_the_same_keys() {
    let keys = keys(1);
    let (lab, _) = archive(&keys);
    let objects = |lab: &Lab| -> Vec<(String, Vec<u8>)> {
        let listed = lab.bucket.list("").unwrap();
        let read = |path: &str| lab.bucket.get(path, u64::MAX).unwrap().unwrap().to_vec();
        let kept = listed.iter().filter(|of| !of.path.starts_with("manifests"));
        kept.map(|of| (of.path.clone(), read(&of.path))).collect()
    };
    // A segment that is archived again from the journal: as after a crash before the manifest.
    let again = Lab::new();
    let events: Vec<Event> = (1..=30).map(|number| said("s_ann", "ann", number)).collect();
    again.journal.append(&events).unwrap();
    let keep = crate::archiver::Options { keep: std::time::Duration::MAX, ..NO_KEEPING };
    again.rounds(keep).sealing(Arc::clone(&keys)).round(after(60)).unwrap();
    let first = objects(&again);
    let manifest = again.bucket.list("manifests").unwrap()[0].path.clone();
    again.bucket.remove(&manifest).unwrap();
    std::fs::remove_file(again.folder.path().join("archive.json")).unwrap();
    again.rounds(keep).sealing(Arc::clone(&keys)).round(after(60)).unwrap();
    assert_eq!(objects(&again), first);
    assert_whole(&again);
    assert_ne!(objects(&lab), first);
}

/// A store that takes no manifest, and what a round left in it.
fn interrupted(keys: &Arc<Keys>) -> (Lab, Arc<faulty::Faulty>, crate::Rounds) {
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
            assert_eq!(sealing::erase(&lab.bucket, Erase::Session("s_ann"))?, 1);
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
                    assert_eq!(sealing::erase(bucket, Erase::Session(session)).unwrap(), 1);
                }
            });
        }
    });
    let there = lab.bucket.get(&sealing::path(GATEWAY, 1), u64::MAX).unwrap().unwrap();
    assert_eq!(seal::SegmentKeys::parse(&there).unwrap().erased().count(), 40);
}

#[test]
fn a_key_that_took_over_opens_what_the_former_one_sealed_once_it_was_wrapped_anew() {
    let former = keys(1);
    let (lab, _) = archive(&former);
    let both = Keys { current: Arc::new(key(2)), also: vec![Arc::new(key(1))] };
    assert_eq!(sealing::rewrap(&lab.bucket, &both).unwrap(), 3);
    assert_ne!(text(&told(&lab, &keys(2), "s_bob").unwrap()[0]), SEALED_TEXT);
    assert_eq!(text(&told(&lab, &former, "s_bob").unwrap()[0]), SEALED_TEXT);
    assert_whole(&lab);
}
