use model::event::{EventBody, SessionId};
use model::{Event, Timestamp};

use super::made::{GATEWAY, Lab, NO_KEEPING, Random, START, after};
use crate::evidence::Span;
use crate::manifest::{HexHash, Manifest};
use crate::proof::{Proof, ProofError, check, prove};
use crate::verify::TrustedKey;

/// The session that is proved.
const OURS: &str = "s_ours";

/// Event `sequence` of the session, at `number` seconds after the start, of the kind that is asked.
fn event(sequence: u64, number: u64, kind: fn(&EventBody) -> bool) -> Event {
    let mut random = Random(number);
    let mut event = random.event(number);
    while !kind(&event.body) {
        event = random.event(number);
    }
    Event { sequence, session: Some(SessionId(OURS.into())), ..event }
}

fn started(body: &EventBody) -> bool {
    matches!(body, EventBody::SessionStarted { .. })
}

fn reply(body: &EventBody) -> bool {
    matches!(body, EventBody::Reply { .. })
}

fn ended(body: &EventBody) -> bool {
    matches!(body, EventBody::SessionEnded { .. })
}

/// A session of six events among those of others, two in each of three segments of different hours.
fn archive() -> Lab {
    let lab = Lab::new();
    let mut rounds = lab.rounds(NO_KEEPING);
    let kinds = [started, reply, reply, reply, reply, ended];
    for (hour, pair) in (0..).zip(kinds.chunks(2)) {
        let second = hour * 3600;
        for (at, kind) in (0..).zip(pair) {
            lab.append(hour, second + at * 20..second + at * 20 + 11);
            let number = second + at * 20 + 15;
            lab.journal.append(&[event(hour * 2 + at + 1, number, *kind)]).unwrap();
        }
        rounds.round(after(second + 60)).unwrap();
    }
    lab
}

fn span() -> Span {
    Span { from: Timestamp(START), to: after(100_000) }
}

fn keys(lab: &Lab) -> [TrustedKey; 1] {
    [lab.public().into()]
}

#[test]
fn p6_a_session_is_proved_alone_and_nothing_else_passes_for_it() {
    let lab = archive();
    let proof = prove(&lab.bucket, OURS, &span()).unwrap();
    let keys = keys(&lab);
    let proven = check(&proof, &keys).unwrap();
    assert_eq!((proven.events.len(), proven.is_ended), (6, true));
    assert!(proven.events.iter().all(|event| event.contains(r#""session":"s_ours""#)));
    assert!(!serde_json::to_string(&proof).unwrap().contains("s_3"), "nothing of others");

    assert!(matches!(check(&proof, &self::keys(&Lab::new())), Err(ProofError::Form(_))));
    for at in 0..proof.events.len() {
        let mut changed = proof.clone();
        let event = &mut changed.events[at].event;
        *event = event.replacen("\"v\":1", "\"v\":2", 1);
        assert!(check(&changed, &keys).is_err(), "event {at}");
        let mut changed = proof.clone();
        changed.events[at].index += 1;
        assert!(check(&changed, &keys).is_err(), "index {at}");
        let mut changed = proof.clone();
        changed.events[at].path.push(HexHash([0; 32]));
        assert!(check(&changed, &keys).is_err(), "path {at}");
        let mut changed = proof.clone();
        changed.events[at].segment = 99;
        assert!(check(&changed, &keys).is_err(), "segment {at}");
    }
    let mut changed = proof.clone();
    changed.session = "s_3".to_owned();
    assert!(check(&changed, &keys).is_err());
    let unknown = prove(&lab.bucket, "s_none", &span()).unwrap_err();
    assert!(unknown.to_string().contains("holds no event of session s_none"), "{unknown}");
}

#[test]
fn p6_a_proof_is_of_a_session_from_its_first_event_on() {
    let lab = archive();
    let proof = prove(&lab.bucket, OURS, &span()).unwrap();
    let of = |keep: &[usize]| Proof {
        events: keep.iter().map(|at| proof.events[*at].clone()).collect(),
        ..proof.clone()
    };
    let said = |keep: &[usize]| check(&of(keep), &keys(&lab)).unwrap_err().to_string();
    assert_eq!(said(&[]), "it is no proof: it holds no event");
    assert_eq!(said(&[1, 2, 3, 4, 5]), "event 1 of 5: it is event 2 of the session");
    assert_eq!(said(&[0, 1, 3, 4, 5]), "event 3 of 5: it is event 4 of the session");
    assert_eq!(said(&[0, 1, 1, 2, 3]), "event 3 of 5: it is event 2 of the session");
    assert_eq!(said(&[0, 2, 1, 3, 4, 5]), "event 2 of 6: it is event 3 of the session");
    // That more came later cannot show, so it is said that the session goes on.
    for cut in 1..6 {
        let keep: Vec<usize> = (0..cut).collect();
        assert!(!check(&of(&keep), &keys(&lab)).unwrap().is_ended, "cut to {cut}");
    }
}

#[test]
fn p6_a_session_that_does_not_begin_is_not_proved() {
    let lab = Lab::new();
    lab.journal.append(&[event(1, 1, reply), event(2, 2, ended)]).unwrap();
    lab.rounds(NO_KEEPING).round(after(60)).unwrap();
    let error = prove(&lab.bucket, OURS, &span()).unwrap_err().to_string();
    assert_eq!(error, "event 1 of 2: a session does not begin with reply");
}

#[test]
fn p6_a_lost_file_is_named_where_a_proof_would_be_shorter() {
    let lab = archive();
    for listed in lab.bucket.list("events").unwrap() {
        let content = lab.bucket.get(&listed.path, u64::MAX).unwrap().unwrap();
        lab.bucket.remove(&listed.path).unwrap();
        for session in [OURS, "s_none"] {
            let error = prove(&lab.bucket, session, &span()).unwrap_err().to_string();
            let wanted = format!("{} cannot be read: it was signed", listed.path);
            assert!(error.starts_with(&wanted), "{session}: {error}");
        }
        lab.bucket.put(&listed.path, content).unwrap();
    }
    // What was before the session is not missed.
    let lab = Lab::new();
    let mut rounds = lab.rounds(NO_KEEPING);
    lab.append(7, 0..20);
    rounds.round(after(60)).unwrap();
    let before = lab.bucket.list("events").unwrap();
    lab.journal.append(&[event(1, 4000, started)]).unwrap();
    rounds.round(after(4060)).unwrap();
    lab.bucket.remove(&before[0].path).unwrap();
    assert_eq!(prove(&lab.bucket, OURS, &span()).unwrap().events.len(), 1);
}

#[test]
fn p6_a_proof_is_signed_by_a_key_of_its_own_gateway() {
    let lab = archive();
    let other = lab.neighbour("gw-other");
    let proof = prove(&lab.bucket, OURS, &span()).unwrap();
    let of = |gateway: &str, lab: &Lab| TrustedKey {
        gateway: Some(gateway.to_owned()),
        key: lab.public(),
    };
    let pass = |keys: &[TrustedKey]| check(&proof, keys).is_ok();
    assert!(pass(&[of(GATEWAY, &lab)]));
    assert!(pass(&[of(GATEWAY, &lab), of("gw-other", &other)]));
    assert!(!pass(&[of("gw-other", &lab)]), "of another gateway");
    assert!(!pass(&[of(GATEWAY, &other), lab.public().into()]), "one that is named is the one");
    assert!(!pass(&[]));
    // One gateway's part of it signed by another's key.
    let (key, _) = crate::manifest::SigningKey::make().unwrap();
    let mut mixed = proof.clone();
    let resigned = Manifest::read(mixed.manifests[1].as_bytes()).unwrap().manifest.sign(&key);
    mixed.manifests[1] = String::from_utf8(resigned).unwrap();
    let error = check(&mixed, &[lab.public().into(), key.public().into()]).unwrap_err();
    assert!(error.to_string().contains("key of another gateway"), "{error}");
    let mut renamed = proof.clone();
    renamed.gateway = "gw-other".to_owned();
    assert!(check(&renamed, &[lab.public().into()]).is_err());
}
