//! Reading a session's events: every page, each once, each recorded.

use super::*;

/// The events of a session as requests beside each other leave them: not in the order of their
/// numbers.
fn fill(world: &World) {
    for number in [1, 3, 2, 5, 4] {
        let body = EventBody::Unsolicited { what: "notice".into(), bytes: 3 };
        let events = [event(world, "s_1", number, body, b"abc")];
        world.store.journal.append(&events).unwrap();
    }
}

#[test]
fn p5_pages_follow_the_journal_and_each_is_recorded() {
    let world = World::new();
    fill(&world);
    let mut numbers = Vec::new();
    let mut after = String::new();
    loop {
        let page =
            world.get(&format!("/api/v1/sessions/s_1/events?limit=2&payload=true{after}")).json;
        let events = page["events"].as_array().unwrap();
        numbers.extend(events.iter().map(|event| event["sequence"].as_u64().unwrap()));
        after = format!("&after={}", page["next"].as_str().unwrap());
        if page["more"] == false {
            break;
        }
    }
    assert_eq!(numbers, [1, 3, 2, 5, 4]);
    let end = world.get(&format!("/api/v1/sessions/s_1/events?limit=2{after}")).json;
    assert_eq!((&end["events"], &end["more"]), (&json!([]), &json!(false)));
    assert_eq!(format!("&after={}", end["next"].as_str().unwrap()), after);
    assert_eq!(
        world.deeds(),
        ["admin.token session.read s_1"; 3],
        "what gave nothing is no reading"
    );
    for odd in ["0", "2", "x", "1.2", "9.9.../"] {
        let no = world.get(&format!("/api/v1/sessions/s_1/events?after={odd}"));
        assert_eq!((no.status, no.code()), (400, "invalid"), "{odd}");
    }
}

#[test]
fn p2_a_recording_is_not_read_when_that_cannot_be_recorded() {
    let world = World::with(|folder| {
        let mut options = StoreOptions::new(folder);
        options.journal.segment_bytes_max = 1;
        options
    });
    fill(&world);
    let first = world.get("/api/v1/sessions/s_1/events?limit=2").json;
    // No segment can be begun under this name.
    let taken = world.folder.join(format!("journal/{}.new", world.store.gateway));
    std::fs::create_dir(&taken).unwrap();
    let next = first["next"].as_str().unwrap();
    for query in ["limit=2".to_owned(), format!("limit=2&payload=true&after={next}")] {
        let no = world.get(&format!("/api/v1/sessions/s_1/events?{query}"));
        assert_eq!((no.status, no.code()), (503, "journal"), "{}", no.text);
        assert!(!no.text.contains("notice"), "{}", no.text);
    }
    std::fs::remove_dir(&taken).unwrap();
    assert_eq!(world.get("/api/v1/sessions/s_1/events").status, 200);
}

#[test]
fn p5_a_place_that_cannot_be_read_is_named_and_the_rest_is_given() {
    let world = World::with(|folder| {
        let mut options = StoreOptions::new(folder);
        options.journal.segment_bytes_max = 1;
        options
    });
    fill(&world);
    assert_eq!(world.get("/api/v1/sessions/s_1/events").json["lacks"], json!([]));
    std::fs::remove_file(world.store.journal.segment_path(3)).unwrap();
    let (mut numbers, mut lacks, mut after) = (Vec::new(), Vec::new(), String::new());
    loop {
        let page = world.get(&format!("/api/v1/sessions/s_1/events?limit=2{after}")).json;
        let events = page["events"].as_array().unwrap();
        numbers.extend(events.iter().map(|event| event["sequence"].as_u64().unwrap()));
        lacks.extend(page["lacks"].as_array().unwrap().clone());
        if page["more"] == false {
            break;
        }
        after = format!("&after={}", page["next"].as_str().unwrap());
    }
    assert_eq!(numbers, [1, 3, 5, 4]);
    let [lack] = lacks.as_slice() else { panic!("{lacks:?}") };
    assert!(lack.as_str().unwrap().contains("-0000000003.nj"), "{lack}");
}
