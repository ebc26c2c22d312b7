use super::made::{Lab, NO_KEEPING, START, after};
use crate::evidence::Span;
use crate::manifest::HexHash;
use crate::proof::{ProofError, check, prove};
use model::Timestamp;

#[test]
fn p6_a_session_is_proved_alone_and_nothing_else_passes_for_it() {
    let lab = Lab::new();
    let mut rounds = lab.rounds(NO_KEEPING);
    let mut ours = 0;
    for minute in 0..4 {
        let events = lab.append(minute, minute * 60..minute * 60 + 41);
        let of = |event: &&model::Event| {
            event.session.as_ref().is_some_and(|session| &*session.0 == "s_2")
        };
        ours += events.iter().filter(of).count();
        rounds.round(after(minute * 60 + 50)).unwrap();
    }
    let span = Span { from: Timestamp(START), to: after(10_000) };
    let proof = prove(&lab.bucket, "s_2", &span).unwrap();
    let keys = [lab.public()];
    let events = check(&proof, &keys).unwrap();
    assert!(ours > 4, "{ours}");
    assert_eq!(events.len(), ours);
    assert!(events.iter().all(|event| event.contains(r#""session":"s_2""#)));
    assert!(!serde_json::to_string(&proof).unwrap().contains("s_3"), "nothing of others");

    assert!(matches!(check(&proof, &[Lab::new().public()]), Err(ProofError::Form(_))));
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
    let unknown = prove(&lab.bucket, "s_none", &span).unwrap_err();
    assert!(unknown.to_string().contains("holds no event of session s_none"), "{unknown}");
}
