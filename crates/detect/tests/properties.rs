//! What holds for every input: spans are sound, and a "no" of the prefilter is certain.

use detect::{DetectionType, Scanner, Span, TypeSet};
use proptest::prelude::*;

/// Values of every kind, whole, cut and broken, and what stands around them.
const PIECES: &[&str] = &[
    "4111111111111111",
    "4111 1111 1111 1111",
    "3782 822463 10005",
    "４１１１１１１１１１１１１１１１",
    "4 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1",
    "4111\u{200b}1111\u{1b}[0m11111111",
    "123-45-6789",
    "123 45 6789",
    "ssn: 123456789",
    "ann@example.com",
    "josé@bücher-welt.de",
    "ann%40web.de",
    "ann＠web.de",
    "DE89370400440532013000",
    "GB29 NWBK 6016 1331 9268 19",
    "RO49AAAA1B31007593840000",
    "+44 20 7946 0958",
    "(415) 555-0132",
    "020 7946 0958",
    "06 12 34 56 78",
    "0044 20 7946 0958",
    "phone 5550132",
    "homePhone=07700900123",
    "AKIAIOSFODNN7EXAMPLX",
    "aws AKIA1234567890ABCDEF",
    "secret_access_key=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",
    "-----BEGIN PRIVATE KEY-----\nMIIEowIBAAKCAQEA0Z3VS5JJcds3xfn\n-----END PRIVATE KEY-----",
    "-----BEGIN RSA PRIVATE KEY-----\nMIIEowIBAAKCAQEA0Z3VS5JJcds3xfn\n",
    "MIIEowIBAAKCAQEA0Z3VS5JJcds3xfn\n-----END PRIVATE KEY-----",
    "eyJhbGciOiJub25lIn0.eyJpc3MiOiJqb2UifQ.",
    "eyJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJqb2UifQ.dBjftJeZ4CVP",
    "2026-11-23 07:22:09.123456+00",
    "550e8400-e29b-41d4-a716-446655440000",
    "0.4111111111111111",
    "1",
    "4",
    "0",
    " ",
    "-",
    ".",
    "+",
    "(",
    "@",
    "a",
    "Z",
    "é",
    "謝",
    "\\n",
    "\n",
    "\u{1b}[1m",
    "\u{200b}",
    "\0",
    "\0\0\0 ",
    "\0\0\0-",
    "\0\0\x005",
    "\0\0\0a",
];

fn text() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        4 => prop::sample::select(PIECES).prop_map(str::to_owned),
        1 => "\\PC{0,6}",
        1 => "[0-9 .()+-]{0,24}",
        1 => "[A-Za-z0-9@._-]{0,24}",
    ];
    prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

fn types() -> impl Strategy<Value = TypeSet> {
    prop_oneof![
        Just(TypeSet::ALL),
        prop::sample::subsequence(DetectionType::ALL.to_vec(), 0..=8).prop_map(TypeSet::from_iter),
    ]
}

fn scan(scanner: &Scanner, text: &[u8]) -> Vec<Span> {
    let mut found = Vec::new();
    scanner.scan(text, &mut found);
    found
}

fn assert_sound(found: &[Span], length: usize, types: TypeSet) {
    let mut end = 0;
    for span in found {
        assert!(span.start >= end && span.start < span.end && span.end <= length, "{found:?}");
        assert!(types.contains(span.kind), "{span:?}");
        end = span.end;
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn spans_are_in_order_in_bounds_and_on_characters(text in text(), types in types()) {
        let found = scan(&Scanner::new(types), text.as_bytes());
        assert_sound(&found, text.len(), types);
        for span in found {
            prop_assert!(text.get(span.start..span.end).is_some(), "{span:?} in {text:?}");
        }
    }

    #[test]
    fn bytes_that_are_no_text_are_scanned_too(
        bytes in prop::collection::vec(any::<u8>(), 0..300),
        text in text(),
        cut in any::<prop::sample::Index>(),
    ) {
        let scanner = Scanner::new(TypeSet::ALL);
        let mut mixed = bytes;
        mixed.extend_from_slice(text.as_bytes());
        mixed.truncate(cut.index(mixed.len() + 1));
        assert_sound(&scan(&scanner, &mixed), mixed.len(), TypeSet::ALL);
        let _ = scanner.may_contain(&mixed);
    }

    #[test]
    fn a_no_about_a_block_is_certain_for_every_field_in_it(
        cell in text(),
        before in prop::collection::vec(any::<u8>(), 0..40),
        after in prop::collection::vec(any::<u8>(), 0..40),
        types in types(),
    ) {
        let scanner = Scanner::new(types);
        if !scan(&scanner, cell.as_bytes()).is_empty() {
            prop_assert!(scanner.may_contain(cell.as_bytes()), "alone: {cell:?}");
            let block = [&before, cell.as_bytes(), &after].concat();
            prop_assert!(scanner.may_contain(&block), "within {block:?}");
        }
    }

    #[test]
    fn a_no_is_certain_for_fields_framed_as_postgresql_frames_them(
        cells in prop::collection::vec(text(), 1..8),
        types in types(),
    ) {
        let scanner = Scanner::new(types);
        let mut block = Vec::new();
        for cell in &cells {
            block.extend_from_slice(&u32::try_from(cell.len()).unwrap().to_be_bytes());
            block.extend_from_slice(cell.as_bytes());
        }
        if cells.iter().any(|cell| !scan(&scanner, cell.as_bytes()).is_empty()) {
            prop_assert!(scanner.may_contain(&block), "{cells:?}");
        }
    }

    #[test]
    fn a_kind_that_is_not_wanted_changes_no_other_one(text in text(), kind in 0..8_usize) {
        let kind = DetectionType::ALL[kind];
        let alone = scan(&Scanner::new(TypeSet::from_iter([kind])), text.as_bytes());
        let all = scan(&Scanner::new(TypeSet::ALL), text.as_bytes());
        // With every kind wanted, whatever one alone finds is covered, if only by another.
        for span in alone {
            let covered = (span.start..span.end)
                .all(|at| all.iter().any(|other| (other.start..other.end).contains(&at)));
            prop_assert!(covered || all.iter().any(|o| o.start < span.end && span.start < o.end),
                "{span:?} in {text:?}, found {all:?}");
        }
    }
}

#[test]
fn long_hostile_input_is_scanned_in_one_go() {
    // Each of these makes a careless scanner look at the rest of the text from every place in it,
    // which would take minutes.
    let scanner = Scanner::new(TypeSet::ALL);
    for piece in [
        "1",
        "1 ",
        "4",
        "4 ",
        "0",
        "@",
        "a@",
        "@a.",
        "a.",
        "%40",
        "eyJ",
        "eyJ.",
        ".eyJ",
        "-",
        "-----BEGIN ",
        "-----BEGIN PRIVATE KEY-----",
        "-----END PRIVATE KEY-----",
        "A\n-----END PRIVATE KEY-----",
        "secret",
        "secretA",
        "AKIA",
        "DE89",
        "DE89 ",
        "+1",
        "(1",
        "\u{1b}[0m1",
        "\u{200b}1",
        "１",
        "１\u{200b}",
        "ssn 1",
        "phone 1",
        "é",
        "é@",
        "\\n",
        "\0",
    ] {
        let text = piece.repeat(20_000 / piece.len());
        assert_sound(&scan(&scanner, text.as_bytes()), text.len(), TypeSet::ALL);
        let _ = scanner.may_contain(text.as_bytes());
    }
}
