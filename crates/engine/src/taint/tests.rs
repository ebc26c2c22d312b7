use model::limit::TAINT_KEPT;

use super::*;

const NOW: Timestamp = Timestamp(1_700_000_000_000_000_000);

fn trail(values: &[(&str, &str)]) -> Trail {
    let trail = Trail::new(Arc::new(TaintKey::new(b"0123456789abcdef0123456789abcdef")));
    for (source, value) in values {
        for taint in trail.taints(&Arc::from(*source), value.as_bytes()) {
            trail.add(&taint, NOW.plus(TAINT_KEPT), NOW).unwrap();
        }
    }
    trail
}

fn carried(trail: &Trail, text: &str) -> String {
    let mut search = trail.search(NOW);
    search.look_beside(text.as_bytes());
    search.end().expect("complete").join(" ")
}

#[test]
fn r14_a_value_is_found_however_it_is_written_cut_and_turned() {
    let trail = trail(&[
        ("db:c.ssn", "123-45-6789"),
        ("db:c.name", "Ann-Marie Smith"),
        ("db:c.note", "Zoë Ångström likes ÉCLAIRS"),
    ]);
    for text in [
        "the number is 123-45-6789.",
        "123456789",
        "123 45 6789",
        "1.2.3.4.5.6.7.8.9",
        "x123456789x",
        "9876-54-321",
        r#"{"a":"123-4","b":"5-6789"}"#,
        r#"{"first": 123, "then": ["45", 67], "last": 89}"#,
        "area=123&group=45&serial=6789",
        "area=%31%32%33&rest=456789",
        "<p><b>123</b>-45-<i>6789</i></p>",
        "one 1 two 2 three 3 four 4 five 5 six 6 seven 7 eight 8 nine 9",
        "１２３４５６７８９",
    ] {
        assert_eq!(carried(&trail, text), "db:c.ssn", "{text}");
    }
    for text in
        ["annmariesmith", "ANN MARIE SMITH", "htims eiram nna", r#"["ann","marie","smith"]"#]
    {
        assert_eq!(carried(&trail, text), "db:c.name", "{text}");
    }
    assert_eq!(carried(&trail, "zoë ångström LIKES éclairs"), "db:c.note");
    // In the middle of longer numbers there are all of them, and in those of letters and digits too.
    for text in ["9123456789", "1234567890", "12345678900000", "a1b2c3d4e5f6a7b8c9"] {
        assert_eq!(carried(&trail, text), "", "{text}");
    }
    for text in ["", "123-45-678", "123-45-6780", "nothing", "12345", "Ann-Marie Smit", "{\"", "="]
    {
        assert_eq!(carried(&trail, text), "", "{text}");
    }
}

#[test]
fn r14_a_value_cut_over_the_texts_of_one_request_is_found() {
    let trail = trail(&[("db:c.ssn", "123-45-6789")]);
    let mut search = trail.search(NOW);
    search.look_beside(b"/v1/123");
    search.look_beside(b"q=45");
    search.look_beside(br#"{"rest":"6789"}"#);
    assert_eq!(search.end().unwrap(), [Arc::from("db:c.ssn")]);

    // Numbers beside it are others.
    let mut search = trail.search(NOW);
    search.look_beside(b"page=5&a=123");
    search.look_beside(br#"{"n":45,"rest":"6789","next":6}"#);
    assert!(!search.beside().is_empty(), "it is looked at as an encoding too");
    assert_eq!(search.end().unwrap(), [Arc::from("db:c.ssn")]);
}

#[test]
fn p8_what_is_looked_at_together_is_bounded() {
    let trail = trail(&[("db:c.ssn", "123-45-6789")]);
    let mut search = trail.search(NOW);
    for _ in 0..3 {
        search.look_beside(&vec![b'x'; BESIDE_BYTES_MAX / 2]);
    }
    let together = search.beside().len();
    assert!(together <= BESIDE_BYTES_MAX + 1, "{together} bytes");
    search.look_beside(&[&vec![b'x'; BESIDE_BYTES_MAX][..], b"123456789"].concat());
    assert_eq!(search.end().unwrap(), [Arc::from("db:c.ssn")], "each is looked at all the same");
}

#[test]
fn r14_each_source_is_told_and_short_values_are_not_followed() {
    let trail = trail(&[
        ("db:a.city", "Paris"),
        ("db:a.pin", "1234567"),
        ("db:a.card", "4242 4242 4242 4242"),
        ("crm:b.card", "4242424242424242"),
    ]);
    assert_eq!(carried(&trail, "Paris 1234567"), "");
    assert_eq!(carried(&trail, "4242-4242-4242-4242"), "db:a.card crm:b.card");
}

#[test]
fn r14_a_part_of_a_long_value_is_found() {
    let long: String = (0..200).map(|n| format!("w{n} ")).collect();
    let trail = trail(&[("db:doc", &long)]);
    let part: String = (100..150).map(|n| format!("w{n} ")).collect();
    assert_eq!(carried(&trail, &part), "db:doc");
    assert_eq!(carried(&trail, "w100 w101 w102"), "");
    // In a text of many pieces, wherever it stands.
    for before in [PIECE_BYTES - 20, PIECE_BYTES - 70, PIECE_BYTES, 3 * PIECE_BYTES + 1] {
        let text = format!("{}{part}", "z".repeat(before));
        assert_eq!(carried(&trail, &text), "db:doc", "{before}");
    }
}

#[test]
fn r14_values_expire_and_what_there_is_no_room_for_makes_the_answer_unknown() {
    let trail = trail(&[("db:c.ssn", "123-45-6789")]);
    let later = NOW.plus(TAINT_KEPT);
    let mut search = trail.search(later);
    search.look(b"123456789");
    assert_eq!(search.end(), Some(Vec::new()));

    trail.incomplete(later);
    assert_eq!(trail.search(NOW).end(), None);
    assert_eq!(trail.search(later).end(), Some(Vec::new()));
}

#[test]
fn p8_a_trail_is_bounded_and_says_so() {
    let trail = trail(&[]);
    let source: Arc<str> = "db:c".into();
    for n in 0..TAINTS_MAX {
        let print = Print { window: n as u64, whole: n as u64, length: 9, digits: false };
        let taint = Taint { source: Arc::clone(&source), print };
        assert_eq!(trail.add(&taint, NOW.plus(TAINT_KEPT), NOW), Ok(true));
    }
    let [one] = &trail.taints(&source, b"one more value")[..] else { panic!("one") };
    assert_eq!(trail.add(one, NOW.plus(TAINT_KEPT), NOW), Err(Full));
    assert_eq!(trail.search(NOW).end(), None, "it cannot be said what is carried");
    // When the others are over there is room again.
    let later = NOW.plus(TAINT_KEPT);
    assert_eq!(trail.add(one, later.plus(TAINT_KEPT), later), Ok(true));
    assert_eq!(trail.len(), 1);
}

#[test]
fn r14_what_is_known_is_kept_again_when_it_would_be_followed_too_short() {
    let trail = trail(&[("db:c.ssn", "123-45-6789")]);
    let again = trail.taints(&"db:c.ssn".into(), b"123 45 6789");
    let elsewhere = trail.taints(&"db:d.ssn".into(), b"123 45 6789");
    assert!(trail.unknown(&again, NOW).is_empty());
    assert_eq!(trail.unknown(&elsewhere, NOW).len(), 1);
    let late = NOW.plus(TAINT_KEPT - TAINT_EXPIRES + std::time::Duration::from_secs(2));
    assert_eq!(trail.unknown(&again, late).len(), 1);
    let twice = [again.clone(), again].concat();
    assert_eq!(trail.unknown(&twice, late).len(), 1);
}

#[test]
fn p10_values_that_begin_alike_cost_no_more_than_others() {
    let trail = trail(&[]);
    let source: Arc<str> = "db:c.mail".into();
    for n in 0..20_000 {
        for taint in trail.taints(&source, format!("customer{n:07}@shop.example").as_bytes()) {
            assert_eq!(trail.add(&taint, NOW.plus(TAINT_KEPT), NOW), Ok(true));
        }
    }
    let known = trail.read();
    let lengths: Vec<usize> = known.lengths.values().map(Vec::len).collect();
    assert_eq!(lengths, [1], "one way to begin, one length to try");
    drop(known);
    assert_eq!(carried(&trail, &"custom".repeat(10_000)), "");
    assert_eq!(carried(&trail, "to customer0012345@shop.example"), "db:c.mail");
}

#[test]
fn r14_prints_of_another_installation_are_others() {
    let one = TaintKey::new(b"0123456789abcdef0123456789abcdef");
    let other = TaintKey::new(b"1123456789abcdef0123456789abcdef");
    assert_eq!(one.prints(b"123-45-6789"), one.prints(b"123 45 6789"));
    assert_ne!(one.prints(b"123-45-6789"), other.prints(b"123-45-6789"));
}
