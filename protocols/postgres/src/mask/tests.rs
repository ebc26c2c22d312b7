//! Every type, kind and format; each result is decoded by decoders that share no code with it.

use detect::{DetectionType, TypeSet};
use model::DetectionCount;
use proptest::prelude::*;

use super::*;

/// `record`.
const RECORD: u32 = 2249;
const KINDS: [MaskKind; 5] = MaskKind::ALL;

fn key() -> HashKey {
    HashKey::new(b"0123456789abcdef0123456789abcdef")
}

fn apply(mask: ValueMask, value: &[u8]) -> Option<Vec<u8>> {
    let mut out = BytesMut::from(&b"before"[..]);
    match mask.apply(value, &key(), &mut out) {
        Masked::Null => {
            assert_eq!(out, "before", "NULL writes nothing");
            None
        }
        Masked::Written => Some(out.strip_prefix(b"before").unwrap().to_vec()),
    }
}

fn masked(
    kind: MaskKind,
    type_oid: u32,
    type_mod: i32,
    format: Format,
    value: &[u8],
) -> Option<Vec<u8>> {
    apply(ValueMask::new(kind, type_oid, type_mod, format), value)
}

/// A binary `numeric`, decoded by adding up its digits: the value times 10^scale, and the scale.
fn numeric(bytes: &[u8]) -> (u128, u32) {
    let word = |at: usize| i16::from_be_bytes(bytes[at..at + 2].try_into().unwrap());
    let (count, weight, sign, scale) = (word(0), word(2), word(4), word(6));
    assert_eq!(bytes.len(), 8 + 2 * usize::try_from(count).unwrap());
    assert_eq!(sign, 0, "not negative");
    let scale = u32::try_from(scale).unwrap();
    let mut value = 0;
    for index in 0..count {
        let digit = u128::try_from(word(8 + 2 * usize::try_from(index).unwrap())).unwrap();
        assert!(digit < 10_000);
        // Groups are 10^4 apart; counted in units of 10^-12 to stay whole.
        value += digit * 10_u128.pow(u32::try_from(12 + 4 * (i32::from(weight - index))).unwrap());
    }
    let unit = 10_u128.pow(12 - scale);
    assert_eq!(value % unit, 0, "no digits beyond the scale");
    (value / unit, scale)
}

/// Fails unless the bytes are a value of the type in the format.
fn check_decodes(type_oid: u32, type_mod: i32, format: Format, bytes: &[u8]) {
    let text = || std::str::from_utf8(bytes).unwrap();
    match (type_oid, format) {
        (oid::TEXT | oid::UNKNOWN, _) => {
            text();
        }
        (oid::NAME, _) => assert!(text().len() <= 63),
        (oid::VARCHAR, _) => {
            assert!(
                type_mod < 4 || text().chars().count() <= usize::try_from(type_mod - 4).unwrap()
            );
        }
        (oid::BPCHAR, _) => {
            assert!(
                type_mod < 4 || text().chars().count() == usize::try_from(type_mod - 4).unwrap()
            );
        }
        (oid::BYTEA, Format::Text) => {
            let digits = text().strip_prefix("\\x").unwrap();
            assert!(digits.len() == 32 && digits.bytes().all(|b| b.is_ascii_hexdigit()));
        }
        (oid::BYTEA | oid::UUID, Format::Binary) => assert_eq!(bytes.len(), 16),
        (oid::UUID, Format::Text) => {
            let parts: Vec<_> = text().split('-').map(str::len).collect();
            assert_eq!(parts, [8, 4, 4, 4, 12]);
        }
        (oid::INT8, Format::Text) => assert!(text().parse::<i64>().unwrap() >= 0),
        (oid::INT8, Format::Binary) => {
            assert!(i64::from_be_bytes(bytes.try_into().unwrap()) >= 0);
        }
        (oid::NUMERIC, Format::Text) => {
            let (whole, fraction) = text().split_once('.').unwrap_or((text(), ""));
            assert!(
                !whole.is_empty()
                    && format!("{whole}{fraction}").bytes().all(|b| b.is_ascii_digit())
            );
            if type_mod >= 4 {
                let (precision, scale) = ((type_mod - 4) >> 16, (type_mod - 4) & 0x7ff);
                assert_eq!(i32::try_from(fraction.len()).unwrap(), scale);
                let digits = whole.trim_start_matches('0').len();
                assert!(
                    i32::try_from(digits).unwrap() <= precision - scale,
                    "{} too large",
                    text()
                );
            }
        }
        (oid::NUMERIC, Format::Binary) => {
            let (value, scale) = numeric(bytes);
            if type_mod >= 4 {
                let (precision, declared) = ((type_mod - 4) >> 16, (type_mod - 4) & 0x7ff);
                assert_eq!(i32::try_from(scale).unwrap(), declared);
                assert!(value < 10_u128.pow(u32::try_from(precision).unwrap()));
            }
        }
        other => panic!("a value where there should be NULL: {other:?}"),
    }
}

/// A type, its modifier, and one value in both formats.
type Sample = (u32, i32, Vec<u8>, Vec<u8>);

fn samples() -> Vec<Sample> {
    let text = |type_oid, type_mod, value: &str| -> Sample {
        (type_oid, type_mod, value.as_bytes().to_vec(), value.as_bytes().to_vec())
    };
    let numeric = |type_mod, value: &str| -> Sample {
        (oid::NUMERIC, type_mod, value.as_bytes().to_vec(), types::encode_numeric(value))
    };
    vec![
        text(oid::TEXT, -1, "123-45-6789"),
        text(oid::TEXT, -1, ""),
        text(oid::TEXT, -1, "Grüße, Jürgen"),
        text(oid::UNKNOWN, -1, "x"),
        text(oid::VARCHAR, -1, "a long text without a declared length"),
        text(oid::VARCHAR, 4 + 5, "häßli"),
        text(oid::VARCHAR, 4 + 1, "x"),
        text(oid::BPCHAR, 4 + 12, "abc         "),
        text(oid::BPCHAR, 4 + 40, &format!("{:40}", "4111111111111111")),
        text(oid::BPCHAR, -1, "abc "),
        text(oid::NAME, -1, "a_name"),
        (oid::BYTEA, -1, b"\\xdeadbeef".to_vec(), b"\xde\xad\xbe\xef".to_vec()),
        (oid::BYTEA, -1, b"a\\001".to_vec(), b"a\x01".to_vec()),
        (
            oid::UUID,
            -1,
            b"a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11".to_vec(),
            b"\xa0\xee\xbc\x99\x9c\x0b\x4e\xf8\xbb\x6d\x6b\xb9\xbd\x38\x0a\x11".to_vec(),
        ),
        (
            oid::INT8,
            -1,
            b"4111111111111111".to_vec(),
            4_111_111_111_111_111_i64.to_be_bytes().to_vec(),
        ),
        numeric(-1, "4111111111111111"),
        numeric((10 << 16 | 2) + 4, "12345678.90"),
        numeric((3 << 16) + 4, "999"),
        numeric((4 << 16 | 4) + 4, "0.1234"),
        numeric((16 << 16 | 2) + 4, "0.00"),
        (oid::INT2, -1, b"7".to_vec(), b"\0\x07".to_vec()),
        (oid::INT4, -1, b"7".to_vec(), b"\0\0\0\x07".to_vec()),
        (oid::BOOL, -1, b"t".to_vec(), b"\x01".to_vec()),
        (oid::FLOAT8, -1, b"1.5".to_vec(), 1.5_f64.to_be_bytes().to_vec()),
        (oid::DATE, -1, b"2000-01-01".to_vec(), vec![0; 4]),
        (oid::TIMESTAMPTZ, -1, b"2000-01-01 00:00:00+00".to_vec(), vec![0; 8]),
        (oid::JSON, -1, b"{\"a\":1}".to_vec(), b"{\"a\":1}".to_vec()),
        (oid::JSONB, -1, b"{\"a\": 1}".to_vec(), b"\x01{\"a\": 1}".to_vec()),
        (oid::XML, -1, b"<a/>".to_vec(), b"<a/>".to_vec()),
        (oid::TEXT_ARRAY, -1, b"{a}".to_vec(), b"\0\0\0\0".to_vec()),
        (869, -1, b"10.0.0.1".to_vec(), b"\x02\x20\0\x04\x0a\0\0\x01".to_vec()),
        (99_999, -1, b"enum label".to_vec(), b"enum label".to_vec()),
    ]
}

#[test]
fn p4_every_type_kind_and_format_decodes_or_is_null() {
    for (type_oid, type_mod, text, binary) in samples() {
        for kind in KINDS {
            for (format, value) in [(Format::Text, &text), (Format::Binary, &binary)] {
                let result = masked(kind, type_oid, type_mod, format, value);
                if let Some(bytes) = &result {
                    check_decodes(type_oid, type_mod, format, bytes);
                }
                let hashes = matches!(kind, MaskKind::Hash | MaskKind::Tokenize);
                let keeps = match TypeClass::of(type_oid) {
                    TypeClass::Text(_) => kind != MaskKind::Null,
                    TypeClass::Bytea | TypeClass::Uuid | TypeClass::Int8 | TypeClass::Numeric => {
                        hashes
                    }
                    _ => false,
                };
                assert_eq!(
                    result.is_some(),
                    keeps,
                    "{:?} {kind} {format:?}",
                    types::name(type_oid)
                );
            }
        }
    }
}

#[test]
fn p3_no_kind_lets_a_value_through() {
    for (type_oid, type_mod, text, binary) in samples() {
        for kind in KINDS {
            for (format, value) in [(Format::Text, &text), (Format::Binary, &binary)] {
                let result = masked(kind, type_oid, type_mod, format, value).unwrap_or_default();
                assert!(value.is_empty() || result != *value, "{type_oid} {kind} {format:?}");
            }
        }
    }
}

#[test]
fn the_hash_is_the_same_in_both_formats_and_depends_on_value_and_key() {
    for (type_oid, type_mod, text, binary) in samples() {
        let hash = |format, value: &[u8]| masked(MaskKind::Hash, type_oid, type_mod, format, value);
        let (Some(as_text), Some(as_binary)) =
            (hash(Format::Text, &text), hash(Format::Binary, &binary))
        else {
            continue;
        };
        let same = match type_oid {
            oid::NUMERIC => {
                let digits: String =
                    as_text.iter().map(|b| char::from(*b)).filter(char::is_ascii_digit).collect();
                digits.parse::<u128>().unwrap() == numeric(&as_binary).0
            }
            oid::BYTEA | oid::UUID | oid::INT8 => {
                types::canonical(type_oid, 1, &as_binary).unwrap().as_bytes() == as_text
            }
            _ => as_text == as_binary,
        };
        assert!(same, "{:?}", types::name(type_oid));
        let mut other = BytesMut::new();
        let mask = ValueMask::new(MaskKind::Hash, type_oid, type_mod, Format::Text);
        mask.apply(&text, &HashKey::new(b"another"), &mut other);
        assert!(type_mod == 5 || other != as_text, "{:?} ignores the key", types::name(type_oid));
    }
    let hash = |value: &[u8]| masked(MaskKind::Hash, oid::NUMERIC, -1, Format::Text, value);
    assert_eq!(hash(b"1.50"), hash(b"1.5"));
    assert_ne!(hash(b"1.50"), hash(b"1.6"));
    assert_eq!(hash(b"150"), hash(b"150.00"));
    assert_ne!(hash(b"150"), hash(b"15"));
}

#[test]
fn text_is_hidden_as_named() {
    let text = |kind, type_oid, type_mod, value: &str| {
        String::from_utf8(masked(kind, type_oid, type_mod, Format::Text, value.as_bytes()).unwrap())
            .unwrap()
    };
    assert_eq!(text(MaskKind::Redact, oid::TEXT, -1, "secret"), "[REDACTED]");
    assert_eq!(text(MaskKind::Redact, oid::VARCHAR, 4 + 5, "abcde"), "[REDA");
    assert_eq!(text(MaskKind::Redact, oid::BPCHAR, 4 + 12, "abc         "), "[REDACTED]  ");
    assert_eq!(text(MaskKind::Partial, oid::TEXT, -1, "4111111111111111"), "************1111");
    assert_eq!(text(MaskKind::Partial, oid::TEXT, -1, "12345678"), "******78");
    assert_eq!(text(MaskKind::Partial, oid::TEXT, -1, "abc"), "***");
    assert_eq!(text(MaskKind::Partial, oid::TEXT, -1, "ß€ß€"), "***€");
    // The padding of char(n) is not its end.
    assert_eq!(text(MaskKind::Partial, oid::BPCHAR, 4 + 10, "12345678  "), "******78  ");
    assert_eq!(text(MaskKind::Hash, oid::VARCHAR, 4 + 8, "abc").len(), 8);
    assert_eq!(
        text(MaskKind::Hash, oid::BPCHAR, 4 + 40, &format!("{:40}", "abc")).trim_end(),
        text(MaskKind::Hash, oid::TEXT, -1, "abc")
    );
}

#[test]
fn p3_text_in_another_encoding_shows_no_character() {
    let shown = masked(MaskKind::Partial, oid::TEXT, -1, Format::Text, b"geheim-\xfc\xdf-9876");
    assert_eq!(shown.unwrap(), b"**************");
    let hash = |value: &[u8]| masked(MaskKind::Hash, oid::TEXT, -1, Format::Text, value).unwrap();
    assert_ne!(hash(b"\xfc"), hash(b"\xfd"));
}

#[test]
fn p4_a_value_that_is_none_of_its_type_becomes_null() {
    for (type_oid, value) in
        [(oid::UUID, b"x".as_slice()), (oid::INT8, b"x"), (oid::NUMERIC, b"x"), (oid::UUID, b"")]
    {
        assert_eq!(masked(MaskKind::Hash, type_oid, -1, Format::Binary, value), None);
    }
}

#[test]
fn a_declared_length_beyond_reason_costs_no_memory() {
    let value = masked(MaskKind::Redact, oid::BPCHAR, i32::MAX, Format::Text, b"x").unwrap();
    assert_eq!(value.len(), BPCHAR_CHARACTERS_MAX);
}

const CARD: &str = "4111 1111 1111 1111";

fn detections(masked: &[(DetectionType, MaskKind)]) -> Detections {
    Detections::new(masked, TypeSet::EMPTY).unwrap()
}

fn hide(
    (type_oid, type_mod): (u32, i32),
    format: Format,
    kind: MaskKind,
    value: &[u8],
) -> (Hidden, Vec<u8>, Vec<DetectionCount>) {
    let detections = detections(&[(DetectionType::CreditCard, kind)]);
    let column = ColumnMask::new(None, (type_oid, type_mod), Some(format), Some(&detections));
    let (mut out, mut found) = (BytesMut::new(), Vec::new());
    let hidden = column.hide(value, Some(&detections), &key(), &mut out, &mut found);
    (hidden, out.to_vec(), found)
}

#[test]
fn p4_what_is_found_inside_text_is_replaced_there_and_nowhere_else() {
    let text = format!("paid with {CARD}, thanks");
    for (kind, wanted) in [
        (MaskKind::Redact, "paid with [REDACTED], thanks"),
        (MaskKind::Partial, "paid with ***************1111, thanks"),
    ] {
        let (hidden, out, found) = hide((oid::TEXT, -1), Format::Text, kind, text.as_bytes());
        assert_eq!((hidden, out.as_slice()), (Hidden::Written, wanted.as_bytes()));
        assert_eq!((found[0].seen, found[0].masked), (1, 1));
    }
    let (hidden, out, _) = hide((oid::TEXT, -1), Format::Text, MaskKind::Hash, text.as_bytes());
    let wanted = format!("paid with {}, thanks", key().hash_text(CARD));
    assert_eq!((hidden, out.as_slice()), (Hidden::Written, wanted.as_bytes()));
    let (hidden, out, found) = hide((oid::TEXT, -1), Format::Text, MaskKind::Null, text.as_bytes());
    assert_eq!((hidden, out.len(), found[0].masked), (Hidden::Null, 0, 1));
    let (hidden, _, found) = hide((oid::TEXT, -1), Format::Text, MaskKind::Redact, b"nothing");
    assert_eq!((hidden, found.len()), (Hidden::Untouched, 0));
}

#[test]
fn p4_a_replaced_document_is_still_json_or_becomes_null() {
    type Case = (u32, Format, Vec<u8>, Option<&'static [u8]>);
    let table: [Case; 6] = [
        (
            oid::JSON,
            Format::Text,
            br#"{"card": "4111111111111111", "n": 1e999}"#.to_vec(),
            Some(br#"{"card": "[REDACTED]", "n": 1e999}"#),
        ),
        (oid::JSON, Format::Text, br#"{"card": 4111111111111111}"#.to_vec(), None),
        (oid::JSONB, Format::Text, br"[4111111111111111]".to_vec(), None),
        (
            oid::JSONB,
            Format::Text,
            br#"["x 4111111111111111"]"#.to_vec(),
            Some(br#"["x [REDACTED]"]"#),
        ),
        (
            oid::JSONB,
            Format::Binary,
            b"\x01[\"4111111111111111\"]".to_vec(),
            Some(b"\x01[\"[REDACTED]\"]"),
        ),
        (oid::JSONB, Format::Binary, b"\x01[4111111111111111]".to_vec(), None),
    ];
    for (type_oid, format, value, wanted) in table {
        let (hidden, out, _) = hide((type_oid, -1), format, MaskKind::Redact, &value);
        let result = (hidden == Hidden::Written).then_some(out.as_slice());
        assert_eq!(result, wanted, "{}", String::from_utf8_lossy(&value));
        assert_ne!(hidden, Hidden::Untouched);
    }
}

#[test]
fn p4_arrays_are_replaced_element_by_element_or_become_null() {
    let text = format!("{{a,\"{CARD}\",NULL,{{\"x \\\"4111-1111-1111-1111\\\"\"}}}}");
    let (hidden, out, found) =
        hide((oid::TEXT_ARRAY, -1), Format::Text, MaskKind::Redact, text.as_bytes());
    let out = String::from_utf8(out).unwrap();
    assert_eq!((hidden, found[0].masked), (Hidden::Written, 2));
    assert_eq!(out, "{a,\"[REDACTED]\",NULL,{\"x \\\"[REDACTED]\\\"\"}}");
    let unquoted =
        hide((oid::TEXT_ARRAY, -1), Format::Text, MaskKind::Partial, b"{4111111111111111}");
    assert_eq!(unquoted.1, b"{\"************1111\"}");
    let mut binary = b"\0\0\0\x01\0\0\0\0\0\0\0\x19\0\0\0\x01\0\0\0\x01\0\0\0\x10".to_vec();
    binary.extend(b"4111111111111111");
    let (hidden, ..) = hide((oid::TEXT_ARRAY, -1), Format::Binary, MaskKind::Redact, &binary);
    assert_eq!(hidden, Hidden::Null);
    let broken =
        hide((oid::TEXT_ARRAY, -1), Format::Text, MaskKind::Redact, b"{\"4111111111111111");
    assert_eq!(broken.0, Hidden::Null);
}

#[test]
fn p4_numbers_and_opaque_values_become_null_when_something_is_found() {
    let card = 4_111_111_111_111_111_i64;
    let digits = card.to_string();
    let binary = types::encode_numeric(&digits);
    let table: [(u32, Format, &[u8]); 6] = [
        (oid::INT8, Format::Text, digits.as_bytes()),
        (oid::INT8, Format::Binary, &card.to_be_bytes()),
        (oid::NUMERIC, Format::Text, digits.as_bytes()),
        (oid::NUMERIC, Format::Binary, &binary),
        (RECORD, Format::Text, b"(1,4111111111111111)"),
        (oid::UNSPECIFIED, Format::Text, digits.as_bytes()),
    ];
    for (type_oid, format, value) in table {
        let (hidden, _, found) = hide((type_oid, -1), format, MaskKind::Partial, value);
        assert_eq!(hidden, Hidden::Null, "{:?} {format:?}", types::name(type_oid));
        assert_eq!(found[0].masked, 1);
    }
    assert_eq!(
        hide((oid::DATE, -1), Format::Text, MaskKind::Null, digits.as_bytes()).0,
        Hidden::Untouched
    );
}

#[test]
fn p4_a_replacement_over_the_declared_length_makes_the_value_null() {
    let card = b"4111111111111111";
    let hidden = |of, kind, value: &[u8]| hide(of, Format::Text, kind, value);
    assert_eq!(hidden((oid::VARCHAR, 4 + 16), MaskKind::Hash, card).0, Hidden::Null);
    assert_eq!(hidden((oid::VARCHAR, 4 + 32), MaskKind::Hash, card).0, Hidden::Written);
    assert_eq!(hidden((oid::VARCHAR, 4 + 16), MaskKind::Redact, card).0, Hidden::Written);
    assert_eq!(hidden((oid::BPCHAR, 4 + 16), MaskKind::Hash, card).0, Hidden::Null);
    let padded = hidden((oid::BPCHAR, 4 + 18), MaskKind::Redact, b"4111111111111111  ");
    assert_eq!(padded.1, b"[REDACTED]        ");
}

#[test]
fn the_strictest_of_column_and_detection_wins() {
    let detections = detections(&[(DetectionType::CreditCard, MaskKind::Redact)]);
    let column =
        |kind| ColumnMask::new(Some(kind), (oid::TEXT, -1), Some(Format::Text), Some(&detections));
    let hide = |column: ColumnMask, value: &str| {
        let (mut out, mut found) = (BytesMut::new(), Vec::new());
        let hidden = column.hide(value.as_bytes(), Some(&detections), &key(), &mut out, &mut found);
        (hidden, String::from_utf8(out.to_vec()).unwrap(), found.len())
    };
    assert_eq!(
        hide(column(MaskKind::Partial), CARD),
        (Hidden::Written, "[REDACTED]".to_owned(), 1)
    );
    assert_eq!(hide(column(MaskKind::Partial), "12345678").1, "******78");
    assert_eq!(hide(column(MaskKind::Null), CARD), (Hidden::Null, String::new(), 0));
}

#[test]
fn types_that_are_only_counted_stay() {
    let detections =
        Detections::new(&[(DetectionType::CreditCard, MaskKind::Redact)], TypeSet::ALL).unwrap();
    let column = ColumnMask::new(None, (oid::TEXT, -1), Some(Format::Text), Some(&detections));
    let (mut out, mut found) = (BytesMut::new(), Vec::new());
    let text = format!("{CARD} ada@example.com");
    column.hide(text.as_bytes(), Some(&detections), &key(), &mut out, &mut found);
    assert_eq!(out, "[REDACTED] ada@example.com");
    let counts: Vec<_> = found.iter().map(|c| (&*c.kind, c.seen, c.masked)).collect();
    assert_eq!(counts, [("CREDIT_CARD", 1, 1), ("EMAIL", 1, 0)]);
}

#[test]
fn p3_a_masked_column_of_unknown_format_becomes_null() {
    let column = ColumnMask::new(Some(MaskKind::Partial), (oid::TEXT, -1), None, None);
    let mut out = BytesMut::new();
    assert_eq!(column.hide(b"12345678", None, &key(), &mut out, &mut Vec::new()), Hidden::Null);
}

proptest! {
    #[test]
    fn p4_any_text_stays_within_its_declared_length(
        value in "\\PC{0,40}",
        length in 1_i32..30,
        type_oid in prop::sample::select(vec![oid::VARCHAR, oid::BPCHAR, oid::TEXT]),
        kind in prop::sample::select(KINDS.to_vec()),
    ) {
        let clipped: String = value.chars().take(usize::try_from(length).unwrap()).collect();
        let type_mod = length + 4;
        if let Some(bytes) = masked(kind, type_oid, type_mod, Format::Text, clipped.as_bytes()) {
            check_decodes(type_oid, type_mod, Format::Text, &bytes);
        }
    }

    #[test]
    fn p4_any_bytes_give_null_or_a_value(
        index in 0_usize..30,
        value in prop::collection::vec(any::<u8>(), 0..50),
        kind in prop::sample::select(KINDS.to_vec()),
        binary in any::<bool>(),
    ) {
        let (type_oid, type_mod, ..) = samples()[index];
        let format = if binary { Format::Binary } else { Format::Text };
        if let Some(bytes) = masked(kind, type_oid, type_mod, format, &value) {
            check_decodes(type_oid, type_mod, format, &bytes);
        }
    }
}

#[test]
fn p2_how_far_a_search_sees_is_told() {
    let masks = detections(&[(DetectionType::CreditCard, MaskKind::Redact)]);
    let sees = |kind, type_oid, format| {
        ColumnMask::new(kind, (type_oid, -1), format, Some(&masks)).searched()
    };
    let (text, binary) = (Some(Format::Text), Some(Format::Binary));
    for type_oid in [oid::TEXT, oid::INT4, oid::DATE, oid::BYTEA, oid::NUMERIC_ARRAY, oid::JSONB] {
        assert_eq!(sees(None, type_oid, text), Searched::Whole, "{type_oid}");
        assert_eq!(sees(None, type_oid, binary), Searched::Whole, "{type_oid}");
    }
    let int8range = 3926;
    for type_oid in [oid::UNSPECIFIED, RECORD, int8range] {
        assert_eq!(sees(None, type_oid, text), Searched::Whole, "{type_oid}");
        assert_eq!(sees(None, type_oid, binary), Searched::Not, "{type_oid}");
        assert_eq!(sees(Some(MaskKind::Null), type_oid, binary), Searched::Whole, "{type_oid}");
    }
    assert_eq!(sees(None, oid::FIRST_NORMAL, text), Searched::Whole);
    assert_eq!(sees(None, oid::FIRST_NORMAL, binary), Searched::Partly);
    assert_eq!(sees(None, oid::BYTEA_ARRAY, text), Searched::Not);
    assert_eq!(sees(None, oid::TEXT, None), Searched::Not);
}

#[test]
fn whole_numbers_in_floats_are_found_and_fractions_are_not() {
    let amex = 378_282_246_310_005_f64;
    let array = [
        &[0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 2, 189, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 8][..],
        &amex.to_be_bytes(),
    ]
    .concat();
    for (type_oid, format, value) in [
        (oid::FLOAT8, Format::Text, &b"378282246310005"[..]),
        (oid::FLOAT8, Format::Binary, &amex.to_be_bytes()),
        (oid::FLOAT8_ARRAY, Format::Text, b"{1.5,NULL,-378282246310005}"),
        (oid::FLOAT8_ARRAY, Format::Binary, &array),
    ] {
        let (hidden, _, found) = hide((type_oid, -1), format, MaskKind::Redact, value);
        assert_eq!((hidden, found.len()), (Hidden::Null, 1), "{type_oid} {format:?}");
    }
    for fraction in ["0.378282246310005", "3.78282246310005e+20", "{0.378282246310005}"] {
        let (hidden, ..) =
            hide((oid::FLOAT8_ARRAY, -1), Format::Text, MaskKind::Redact, fraction.as_bytes());
        assert_eq!(hidden, Hidden::Untouched, "{fraction}");
    }
}

#[test]
fn what_bytes_hold_is_found_and_they_become_null() {
    let digits: String = CARD.bytes().map(|byte| format!("{byte:02x}")).collect();
    let hex = format!("\\x{digits}");
    for (type_oid, format, value) in [
        (oid::BYTEA, Format::Text, hex.as_bytes()),
        (oid::BYTEA, Format::Text, CARD.as_bytes()),
        (oid::BYTEA, Format::Binary, CARD.as_bytes()),
        (oid::UNSPECIFIED, Format::Text, hex.as_bytes()),
        (RECORD, Format::Text, format!("(1,\"\\{hex}\",x)").as_bytes()),
        (oid::FIRST_NORMAL, Format::Text, format!("{{\"(\"\"\\\\\\{hex}\"\",1)\"}}").as_bytes()),
    ] {
        let (hidden, _, found) = hide((type_oid, -1), format, MaskKind::Redact, value);
        assert_eq!((hidden, found.len()), (Hidden::Null, 1), "{type_oid} {format:?}");
    }
}
