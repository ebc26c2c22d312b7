use proptest::prelude::*;

use super::*;

fn binary(type_oid: u32, bytes: &[u8]) -> Option<String> {
    canonical(type_oid, 1, bytes)
}

#[test]
fn names_are_found_by_identifier() {
    assert!(NAMES.is_sorted_by(|(a, _), (b, _)| a < b));
    for (type_oid, text) in NAMES {
        assert_eq!(name(*type_oid), Some(*text));
    }
    assert_eq!((name(0), name(16_384)), (None, None));
}

#[test]
fn both_formats_of_a_value_have_one_canonical_text() {
    let number = encode_numeric("12.50");
    let table: &[(u32, &[u8], &[u8], &str)] = &[
        (oid::TEXT, b"a\xc3\xa9", b"a\xc3\xa9", "aé"),
        (oid::VARCHAR, b"x ", b"x ", "x "),
        (oid::BPCHAR, b"x   ", b"x   ", "x"),
        (oid::NAME, b"n", b"n", "n"),
        (oid::BYTEA, b"\\x00fF", b"\x00\xff", "\\x00ff"),
        (oid::BYTEA, b"a\\\\\\000\\377", b"a\\\x00\xff", "\\x615c00ff"),
        (
            oid::UUID,
            b"{A0EEBC99-9C0B4EF8-BB6D6BB9-BD380A11}",
            b"\xa0\xee\xbc\x99\x9c\x0b\x4e\xf8\xbb\x6d\x6b\xb9\xbd\x38\x0a\x11",
            "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
        ),
        (oid::INT2, b"-7", b"\xff\xf9", "-7"),
        (oid::INT4, b" 70000 ", b"\x00\x01\x11\x70", "70000"),
        (oid::INT8, b"+9", b"\0\0\0\0\0\0\0\x09", "9"),
        (oid::NUMERIC, b"12.50", &number, "12.50"),
        (oid::BOOL, b"true", b"\x01", "t"),
        (oid::BOOL, b"off", b"\x00", "f"),
        (oid::FLOAT4, b"1.1", &1.1_f32.to_be_bytes(), "1.1"),
        (oid::FLOAT8, b"-0.1", &(-0.1_f64).to_be_bytes(), "-0.1"),
        (oid::JSON, b"{\"a\": 1}", b"{\"a\": 1}", "{\"a\": 1}"),
        (oid::JSONB, b"[1]", b"\x01[1]", "[1]"),
        (oid::DATE, b"2000-03-01", &60_i32.to_be_bytes(), "2000-03-01"),
        (oid::OID, b"4294967295", &u32::MAX.to_be_bytes(), "4294967295"),
        (
            oid::TEXT_ARRAY,
            b"{a,\"b c\",NULL}",
            b"\0\0\0\x01\0\0\0\x01\0\0\0\x19\0\0\0\x03\0\0\0\x01\
              \0\0\0\x01a\0\0\0\x03b c\xff\xff\xff\xff",
            "{a,\"b c\",NULL}",
        ),
    ];
    for (type_oid, text, bytes, wanted) in table {
        let name = name(*type_oid);
        assert_eq!(canonical(*type_oid, 0, text).as_deref(), Some(*wanted), "{name:?} as text");
        assert_eq!(binary(*type_oid, bytes).as_deref(), Some(*wanted), "{name:?} in binary");
    }
}

#[test]
fn what_is_no_value_of_its_type_has_no_canonical_text() {
    let table: &[(u32, i16, &[u8])] = &[
        (oid::TEXT, 0, b"\xff"),
        (oid::TEXT, 2, b"a"),
        (oid::UUID, 0, b"a0ee"),
        (oid::UUID, 1, b"short"),
        (oid::BYTEA, 0, b"\\xf"),
        (oid::BYTEA, 0, b"\\xzz"),
        (oid::BYTEA, 0, b"\\9"),
        (oid::INT8, 0, b"1.5"),
        (oid::INT8, 1, b"\0\0\0\x09"),
        (oid::INT4, 1, b"\0\0\0\0\0\0\0\x09"),
        (oid::BOOL, 0, b"maybe"),
        (oid::BOOL, 1, b""),
        (oid::JSONB, 1, b"\x02[1]"),
        (oid::NUMERIC, 1, b""),
        (oid::NUMERIC, 1, b"\0\x02\0\0\0\0\0\0\0\x01"),
        (oid::NUMERIC, 1, b"\0\x01\0\0\0\0\0\0\x27\x10"),
        (oid::NUMERIC, 1, b"\0\x01\0\0\x12\x34\0\0\0\x01"),
        (1186, 1, b"\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"),
        (oid::TEXT_ARRAY, 1, b"\0\0\0\x01\0\0\0\0\0\0\0\x17\0\0\0\x01\0\0\0\x01\0\0\0\x01a"),
        (oid::TEXT_ARRAY, 1, b"\0\0\0\x01\0\0\0\0\0\0\0\x19\x7f\xff\xff\xff\0\0\0\x01"),
        (oid::TEXT_ARRAY, 1, b"\0\0\x7f\x01\0\0\0\0\0\0\0\x19"),
    ];
    for (type_oid, format, bytes) in table {
        assert_eq!(canonical(*type_oid, *format, bytes), None, "{:?} {bytes:x?}", name(*type_oid));
    }
}

#[test]
fn floating_point_is_printed_as_postgresql_does() {
    // As PostgreSQL 15 prints them with the default extra_float_digits.
    let table = [
        (0.0, "0"),
        (-0.0, "-0"),
        (1.0, "1"),
        (100.0, "100"),
        (123_456_789_012_345.0, "123456789012345"),
        (1e15, "1e+15"),
        (1.5e300, "1.5e+300"),
        (0.0001, "0.0001"),
        (0.00001, "1e-05"),
        (1.0 / 3.0, "0.3333333333333333"),
        (f64::NAN, "NaN"),
        (f64::INFINITY, "Infinity"),
        (f64::NEG_INFINITY, "-Infinity"),
    ];
    for (value, wanted) in table {
        assert_eq!(binary(oid::FLOAT8, &f64::to_be_bytes(value)).as_deref(), Some(wanted));
    }
    for (value, wanted) in [(999_999.0_f32, "999999"), (1e6, "1e+06"), (0.1, "0.1")] {
        assert_eq!(binary(oid::FLOAT4, &value.to_be_bytes()).as_deref(), Some(wanted));
    }
}

#[test]
fn dates_and_times_are_printed_as_postgresql_does() {
    let dates = [
        (0, "2000-01-01"),
        (59, "2000-02-29"),
        (-1, "1999-12-31"),
        (8_823, "2024-02-27"),
        (-730_119, "0001-01-01"),
        (-730_120, "0001-12-31 BC"),
        (2_921_939, "9999-12-31"),
        (i32::MAX, "infinity"),
        (i32::MIN, "-infinity"),
    ];
    for (days, wanted) in dates {
        assert_eq!(binary(oid::DATE, &i32::to_be_bytes(days)).as_deref(), Some(wanted));
    }
    let stamps = [
        (0, "2000-01-01 00:00:00"),
        (-1, "1999-12-31 23:59:59.999999"),
        (86_400_000_000 + 3_661_500_000, "2000-01-02 01:01:01.5"),
        (i64::MAX, "infinity"),
    ];
    for (micros, wanted) in stamps {
        let bytes = i64::to_be_bytes(micros);
        assert_eq!(binary(oid::TIMESTAMP, &bytes).as_deref(), Some(wanted));
    }
    assert_eq!(
        binary(oid::TIMESTAMPTZ, &0_i64.to_be_bytes()).as_deref(),
        Some("2000-01-01 00:00:00+00")
    );
    assert_eq!(binary(oid::TIME, &1_000_i64.to_be_bytes()).as_deref(), Some("00:00:00.001"));
    assert_eq!(binary(oid::TIME, &(-1_i64).to_be_bytes()), None);
}

#[test]
fn numbers_are_written_with_their_scale() {
    for (digits, scale, wanted) in [
        (0, 0, "0"),
        (0, 2, "0.00"),
        (5, 2, "0.05"),
        (12_345, 2, "123.45"),
        (12, -2, "1200"),
        (0, -2, "0"),
        (7, 5, "0.00007"),
    ] {
        assert_eq!(scale_digits(digits, scale), wanted);
    }
}

#[test]
fn a_small_binary_number_with_a_large_weight_stays_bounded() {
    let bytes = b"\0\x01\x7f\xff\0\0\0\0\0\x01";
    assert!(binary(oid::NUMERIC, bytes).unwrap().len() <= 131_072);
    // An array of them would be large beyond use.
    let count = 1_000_u32;
    let mut array = b"\0\0\0\x01\0\0\0\0".to_vec();
    array.extend(oid::NUMERIC.to_be_bytes());
    array.extend(count.to_be_bytes());
    array.extend(1_u32.to_be_bytes());
    for _ in 0..count {
        array.extend(10_u32.to_be_bytes());
        array.extend(bytes);
    }
    assert_eq!(binary(oid::NUMERIC_ARRAY, &array), None);
}

#[test]
fn arrays_are_taken_apart_and_keep_every_byte() {
    let texts: [&[u8]; 6] = [
        b"{}",
        b"{a,b}",
        b"{{\"a,b\",\"c\\\"d\"},{NULL,\"NULL\"}}",
        b"[0:1]={x,\"\\\\\"}",
        b"{\"\"}",
        b"",
    ];
    for text in texts {
        let pieces = elements(text).unwrap();
        let joined: Vec<u8> = pieces
            .iter()
            .flat_map(|piece| match piece {
                Element::Frame(raw) | Element::Value { raw, .. } => raw.to_vec(),
            })
            .collect();
        assert_eq!(joined, text);
    }
    let values: Vec<_> = elements(texts[2])
        .unwrap()
        .into_iter()
        .filter_map(|piece| match piece {
            Element::Frame(_) => None,
            Element::Value { text, .. } => Some(String::from_utf8(text.into_owned()).unwrap()),
        })
        .collect();
    assert_eq!(values, ["a,b", "c\"d", "NULL"]);
    for text in [b"{\"a".as_slice(), b"{\"a\\", b"[1:2"] {
        assert_eq!(elements(text), None);
    }
}

#[test]
fn binary_arrays_of_several_dimensions_are_printed() {
    let mut array = b"\0\0\0\x02\0\0\0\0\0\0\0\x17".to_vec();
    array.extend(b"\0\0\0\x02\0\0\0\x01\0\0\0\x02\0\0\0\x01");
    for value in 1..=4_i32 {
        array.extend(4_i32.to_be_bytes());
        array.extend(value.to_be_bytes());
    }
    assert_eq!(binary(oid::INT4_ARRAY, &array).as_deref(), Some("{{1,2},{3,4}}"));
    let empty = b"\0\0\0\0\0\0\0\0\0\0\0\x17";
    assert_eq!(binary(oid::INT4_ARRAY, empty).as_deref(), Some("{}"));
}

proptest! {
    #[test]
    fn a_number_survives_its_binary_form(whole in 0_u64.., fraction in "[0-9]{0,20}") {
        let point = if fraction.is_empty() { "" } else { "." };
        let text = format!("{whole}{point}{fraction}");
        prop_assert_eq!(binary(oid::NUMERIC, &encode_numeric(&text)), Some(text));
    }

    #[test]
    fn no_bytes_make_a_value_panic(
        type_oid in prop_oneof![prop::sample::select(NAMES).prop_map(|(oid, _)| oid), any::<u32>()],
        format in -1_i16..3,
        bytes in prop::collection::vec(any::<u8>(), 0..80),
    ) {
        let _ = canonical(type_oid, format, &bytes);
        let _ = elements(&bytes);
    }

    #[test]
    fn arrays_with_sound_heads_never_panic(
        dims in prop::collection::vec((0_i32..4, any::<i32>()), 0..4),
        rest in prop::collection::vec(prop_oneof![Just(0_u8), any::<u8>()], 0..60),
    ) {
        let mut bytes = i32::try_from(dims.len()).unwrap().to_be_bytes().to_vec();
        bytes.extend([0; 4]);
        bytes.extend(oid::TEXT.to_be_bytes());
        for (length, bound) in dims {
            bytes.extend(length.to_be_bytes());
            bytes.extend(bound.to_be_bytes());
        }
        bytes.extend(rest);
        let _ = canonical(oid::TEXT_ARRAY, 1, &bytes);
    }
}

#[test]
fn types_of_a_fixed_form_are_found_by_their_identifiers() {
    assert!(SHORT.is_sorted());
    // The last ones: arrays of lines, circles, addresses, money and "char".
    for short in [oid::BOOL, oid::INT4_ARRAY, oid::UUID_ARRAY, oid::XID8, 629, 719, 775, 791, 1002]
    {
        assert!(is_short(short), "{short}");
    }
    for long in [oid::TEXT, oid::BYTEA, oid::BYTEA_ARRAY, oid::JSONB_ARRAY, oid::FIRST_NORMAL] {
        assert!(!is_short(long), "{long}");
    }
}
