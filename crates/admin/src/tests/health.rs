//! What watches a gateway reads: readiness and metrics.

use super::*;

#[test]
fn readiness_gives_its_reasons() {
    let world = World::new();
    assert_eq!(world.get("/readyz").json, json!({ "ready": true, "reasons": [] }));
    world.fake.unready.lock().push("no listener is up".to_owned());
    let answer = world.call("GET", "/readyz", None, None);
    assert_eq!((answer.status, &answer.json["reasons"][0]), (503, &json!("no listener is up")));
    world.fake.unready.lock().clear();
    *world.fake.failing.lock() = true;
    assert_eq!(world.get("/readyz").status, 200, "the journal works again");
    assert_eq!(world.deeds(), ["gateway journal.probe journal"]);
}

#[test]
fn metrics_are_open_metrics_text() {
    let world = World::new();
    let text = world.call("GET", "/metrics", None, None).text;
    for line in [
        "narrows_operations_total{decision=\"allow\"} 5",
        "narrows_sessions_refused_total{reason=\"unknown_token\"} 3",
        "narrows_sessions_total 7",
        "narrows_sessions_live 0",
        "narrows_journal_append_errors_total 0",
        "# EOF",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
    }
    assert!(text.contains("narrows_build_info{version=\"test\""), "{text}");
    assert!(text.contains("narrows_process_resident_memory_bytes"), "{text}");
}
