use std::io::Write;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
use flate2::Compression;
use flate2::write::{GzEncoder, ZlibEncoder};
use proptest::prelude::*;

use super::*;

const TEXT: &str = "the card is 4111 1111 1111 1111, thanks";

fn cards() -> TypeSet {
    TypeSet::from_iter([DetectionType::CreditCard])
}

fn finds(bytes: &[u8]) -> bool {
    let found = search(bytes, cards());
    assert!(found.complete);
    found.types.contains(DetectionType::CreditCard)
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zlib(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(super) fn base32(bytes: &[u8]) -> String {
    let bits: String = bytes.iter().map(|byte| format!("{byte:08b}")).collect();
    let digit = |five: &[u8]| {
        let five = String::from_utf8_lossy(five);
        let place = usize::from_str_radix(&format!("{five:0<5}"), 2).unwrap();
        char::from(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"[place])
    };
    bits.as_bytes().chunks(5).map(digit).collect()
}

fn percent(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("%{byte:02X}")).collect()
}

/// Every way to write a text, by number.
fn encode(way: usize, text: &[u8]) -> Vec<u8> {
    let mut lines = String::new();
    for line in STANDARD.encode(text).as_bytes().chunks(64) {
        lines.push_str(&String::from_utf8_lossy(line));
        lines.push_str("\r\n");
    }
    match way {
        0 => percent(text).into_bytes(),
        1 => STANDARD.encode(text).into_bytes(),
        2 => URL_SAFE_NO_PAD.encode(text).into_bytes(),
        3 => STANDARD_NO_PAD.encode(text).into_bytes(),
        4 => URL_SAFE.encode(text).into_bytes(),
        5 => base32(text).into_bytes(),
        6 => hex(text).into_bytes(),
        7 => hex(text).to_uppercase().into_bytes(),
        8 => lines.into_bytes(),
        9 => text.iter().flat_map(|byte| format!("\\u{byte:04x}").into_bytes()).collect(),
        10 => text.iter().flat_map(|byte| format!("&#{byte};").into_bytes()).collect(),
        11 => text.iter().flat_map(|byte| [*byte, 0]).collect(),
        12 => text.iter().flat_map(|byte| [0, *byte]).collect(),
        13 => gzip(text),
        14 => zlib(text),
        15 => zstd::encode_all(text, 3).unwrap(),
        _ => text.iter().flat_map(|byte| format!("\\x{byte:02x}").into_bytes()).collect(),
    }
}

const WAYS: usize = 17;

#[test]
fn values_are_found_behind_every_encoding() {
    assert!(finds(TEXT.as_bytes()));
    for way in 0..WAYS {
        assert!(finds(&encode(way, TEXT.as_bytes())), "{way}");
        assert!(finds(&encode(way, &TEXT.repeat(9).into_bytes())), "{way}");
    }
    assert!(!finds(b"the card is 4111 1111 1111 1112"));
}

#[test]
fn values_are_found_inside_of_what_surrounds_them() {
    let coded = STANDARD.encode(TEXT);
    for text in [
        format!("https://a.example/upload/{coded}?x=1"),
        format!("data:text/plain;base64,{coded}"),
        format!("{{\"a\":\"x{coded}\"}}"),
        format!("{{\"a\":\"xy-{coded}\"}}"),
        format!("q={}", percent(coded.as_bytes())),
        format!("token.{}.sig", URL_SAFE_NO_PAD.encode(TEXT)),
        format!("key=0x{}", hex(TEXT.as_bytes())),
        "q=4111+1111+1111+1111".to_owned(),
        format!("k={}", STANDARD.encode("4111111111111111")),
        format!("k={}", STANDARD.encode("номер карты клиента банка: 4111 1111 1111 1111")),
    ] {
        assert!(finds(text.as_bytes()), "{text}");
    }
}

#[test]
fn three_layers_are_undone() {
    for first in 0..WAYS {
        for second in 0..WAYS {
            // Escapes and UTF-16 write characters, and compressed bytes are none.
            if (13..=15).contains(&first) && (9..=12).contains(&second) {
                continue;
            }
            let twice = encode(second, &encode(first, TEXT.as_bytes()));
            let found = search(&twice, cards());
            assert!(found.types.contains(DetectionType::CreditCard), "{first} {second}");
        }
    }
    let thrice = encode(1, &encode(13, &encode(0, TEXT.as_bytes())));
    assert!(finds(&thrice));
}

#[test]
fn p8_work_is_bounded_and_says_so() {
    let bomb = gzip(&vec![b'1'; 8 * 1024 * 1024]);
    let mut bytes = 0;
    let complete = layers(&bomb, &mut |layer| bytes += layer.len());
    assert!(!complete && bytes <= (RATIO_MAX + 1) * bomb.len() + FREE_BYTES);
    let many = "%25".repeat(200_000);
    let mut bytes = 0;
    layers(many.as_bytes(), &mut |layer| bytes += layer.len());
    assert!(bytes <= (RATIO_MAX + 1) * many.len() + FREE_BYTES);
}

#[test]
fn long_prose_with_signs_of_every_encoding_is_searched_whole() {
    // A prompt as agents send it: per cents, ampersands, quotes, and JSON inside of JSON.
    let line = r#"Save 10% & more: \"a\" + \\\"b\\\" &amp; \u00fc, 100%25 of it.\n"#;
    for times in [300, 3_000] {
        let text = line.repeat(times);
        assert!(search(text.as_bytes(), cards()).complete, "{} bytes", text.len());
        assert!(finds(format!("{text}{}", percent(&encode(1, TEXT.as_bytes()))).as_bytes()));
    }
}

#[test]
fn silence_and_padding_are_no_text() {
    // A second of it, as an agent's speech is sent; and numbers written with leading zeros.
    let silence = format!(r#"{{"audio":"{}"}}"#, STANDARD.encode(vec![0; 48_000]));
    let numbers: String = (0..500).map(|n| format!(r#"{{"id":"call_{n:024x}"}}"#)).collect();
    for text in [silence, numbers] {
        assert!(search(text.as_bytes(), cards()).complete);
        assert!(finds(format!("{text}{}", STANDARD.encode(TEXT)).as_bytes()));
    }
    // Characters with zeros between them are still read.
    let sparse: Vec<u8> = TEXT.bytes().flat_map(|byte| [byte, 0]).chain([0; 16]).collect();
    assert!(finds(&sparse));
}

#[test]
fn layers_show_the_text_first() {
    let mut seen = Vec::new();
    assert!(layers(b"a%41", &mut |layer| seen.push(layer.to_vec())));
    assert_eq!(seen, [b"a%41".to_vec(), b"aA".to_vec()]);
    let none = search(b"4111111111111111", TypeSet::EMPTY);
    assert!(none.types.is_empty() && none.complete);
}

proptest! {
    #[test]
    fn p8_any_bytes_can_be_searched(
        bytes in prop::collection::vec(any::<u8>(), 0..400),
        ways in prop::collection::vec(0..WAYS, 0..3),
    ) {
        let text = ways.into_iter().fold(bytes, |text, way| encode(way, &text));
        let mut total = 0;
        layers(&text, &mut |layer| total += layer.len());
        prop_assert!(total <= (RATIO_MAX + 1) * text.len() + FREE_BYTES);
    }
}

#[test]
fn p9_a_long_body_that_is_no_text_can_be_searched_to_its_end() {
    // As evenly spread as what is compressed.
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut draw = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    let bytes: Vec<u8> = (0..3 * 1024 * 1024 / 8).flat_map(|_| draw()).collect();
    assert!(layers(&bytes, &mut |_| {}), "there is too much to search");
}
