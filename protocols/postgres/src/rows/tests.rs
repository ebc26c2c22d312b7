use std::sync::Arc;

use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::message::HEADER;
use crate::types::oid;

fn key() -> HashKey {
    HashKey::new(b"0123456789abcdef0123456789abcdef")
}

fn compile(
    fields: &[FieldDescription],
    formats: &[i16],
    kinds: &[Option<MaskKind>],
    detections: &[(DetectionType, MaskKind)],
) -> RowMask {
    super::compile(fields, formats, kinds, detections, TypeSet::EMPTY)
}

fn field(type_oid: u32, format: i16) -> FieldDescription {
    let label = b"label".to_vec();
    FieldDescription { label, relation: 1, attnum: 1, type_oid, type_len: -1, type_mod: -1, format }
}

fn row(values: &[Option<&[u8]>]) -> Bytes {
    message::message(DATA_ROW, |out| {
        out.put_i16(i16::try_from(values.len()).unwrap());
        for value in values {
            match value {
                None => out.put_i32(-1),
                Some(value) => {
                    out.put_i32(i32::try_from(value.len()).unwrap());
                    out.put_slice(value);
                }
            }
        }
    })
}

fn read(message: &[u8]) -> Vec<Option<Vec<u8>>> {
    assert_eq!(message[0], DATA_ROW);
    let length = u32::from_be_bytes(message[1..5].try_into().unwrap());
    assert_eq!(usize::try_from(length).unwrap() + 1, message.len());
    let mut reader = Reader::new(&message[HEADER..], Side::Upstream);
    let count = reader.count().unwrap();
    let values = (0..count).map(|_| reader.value().unwrap().map(<[u8]>::to_vec)).collect();
    reader.end().unwrap();
    values
}

fn mask(mask: &RowMask, row: &[u8]) -> (Vec<u8>, Vec<DetectionCount>) {
    let (mut out, mut found) = (BytesMut::new(), Vec::new());
    mask.mask_row(&row[HEADER..], &key(), &mut out, &mut found).unwrap();
    (out.to_vec(), found)
}

const CARDS: &[(DetectionType, MaskKind)] = &[(DetectionType::CreditCard, MaskKind::Redact)];

#[test]
fn p3_masked_fields_are_replaced_and_others_stay_byte_for_byte() {
    let fields =
        [field(oid::INT4, 0), field(oid::TEXT, 0), field(oid::INT4, 0), field(oid::TEXT, 0)];
    let kinds = [None, Some(MaskKind::Redact), Some(MaskKind::Hash), None];
    let compiled = compile(&fields, &[], &kinds, &[]);
    assert!(!compiled.is_noop());
    let sent = row(&[Some(b"1"), Some(b"secret"), Some(b"42"), Some(b"\xff\x00 anything")]);
    let wanted = row(&[Some(b"1"), Some(b"[REDACTED]"), None, Some(b"\xff\x00 anything")]);
    assert!(!compiled.untouched(&sent));
    assert_eq!(mask(&compiled, &sent).0, wanted);
    let nulls = row(&[None, None, None, None]);
    assert_eq!(mask(&compiled, &nulls).0, nulls);
}

#[test]
fn p3_columns_without_a_known_mask_or_format_become_null() {
    let fields = [field(oid::TEXT, 0), field(oid::TEXT, 0), field(oid::TEXT, 7)];
    let compiled = compile(&fields, &[], &[None, Some(MaskKind::Partial)], &[]);
    let sent = row(&[Some(b"a"), Some(b"12345678"), Some(b"c")]);
    assert_eq!(mask(&compiled, &sent).0, row(&[Some(b"a"), Some(b"******78"), None]));
    let compiled = compile(&fields, &[0, 7], &[None, Some(MaskKind::Partial), None], &[]);
    assert_eq!(mask(&compiled, &sent).0, row(&[Some(b"a"), None, Some(b"c")]));
}

#[test]
fn p4_the_formats_of_bind_win_over_those_described() {
    let fields = [field(oid::INT8, 0), field(oid::INT8, 0)];
    let kinds = [Some(MaskKind::Hash), Some(MaskKind::Hash)];
    let binary = row(&[Some(&5_i64.to_be_bytes()), Some(&5_i64.to_be_bytes())]);
    for formats in [&[1_i16][..], &[1, 1]] {
        let values = read(&mask(&compile(&fields, formats, &kinds, &[]), &binary).0);
        assert!(values.iter().flatten().all(|value| value.len() == 8));
        assert_eq!(values[0], values[1]);
    }
    let values = read(&mask(&compile(&fields, &[0], &kinds, &[]), &row(&[Some(b"5"), None])).0);
    let number: i64 = String::from_utf8(values[0].clone().unwrap()).unwrap().parse().unwrap();
    let hashed = read(&mask(&compile(&fields, &[1], &kinds, &[]), &binary).0);
    assert_eq!(hashed[0].as_deref(), Some(&number.to_be_bytes()[..]));
}

#[test]
fn what_is_no_row_of_these_columns_is_the_upstreams_fault() {
    let compiled = compile(&[field(oid::TEXT, 0)], &[], &[Some(MaskKind::Redact)], &[]);
    let good = row(&[Some(b"x")]);
    let mut longer = good[HEADER..].to_vec();
    longer.push(0);
    let wrong: [&[u8]; 7] = [
        b"",
        b"\0",
        b"\0\0",
        b"\0\x02\xff\xff\xff\xff\xff\xff\xff\xff",
        b"\0\x01\0\0\0\x05abc",
        b"\0\x01\xff\xff\xff\xfe",
        &longer,
    ];
    for body in wrong {
        let mut out = BytesMut::from(&b"before"[..]);
        let result = compiled.mask_row(body, &key(), &mut out, &mut Vec::new());
        assert_eq!(result.unwrap_err().side, Side::Upstream);
        assert_eq!(out, "before");
    }
}

#[test]
fn detections_are_replaced_and_counted() {
    let fields = [field(oid::TEXT, 0), field(oid::DATE, 0), field(oid::INT8, 1)];
    let compiled = compile(&fields, &[], &[None; 3], CARDS);
    assert!(!compiled.is_noop());
    let card = 4_111_111_111_111_111_i64.to_be_bytes();
    let sent = row(&[Some(b"4111 1111 1111 1111!"), Some(b"2024-01-01"), Some(&card)]);
    assert!(!compiled.untouched(&sent), "binary numbers cannot be seen as they stand");
    let (out, found) = mask(&compiled, &sent);
    assert_eq!(out, row(&[Some(b"[REDACTED]!"), Some(b"2024-01-01"), None]));
    let wanted = DetectionCount { kind: Arc::from("CREDIT_CARD"), seen: 2, masked: 2 };
    assert_eq!(found, [wanted]);
}

#[test]
fn rows_without_anything_to_find_are_known_untouched_at_once() {
    let fields = [field(oid::TEXT, 0), field(oid::TEXT_ARRAY, 0)];
    let compiled = compile(&fields, &[], &[None, None], CARDS);
    let quiet = [row(&[Some(b"hello"), Some(b"{a,b}")]), row(&[None, Some(b"{}")])].concat();
    assert!(compiled.untouched(&quiet));
    assert!(!compiled.untouched(&row(&[Some(b"4111111111111111"), None])));
    // What is escaped in an array is not seen as it stands.
    assert!(!compiled.untouched(&row(&[None, Some(b"{\"a\\\"b\"}")])));
    let dates = compile(&[field(oid::DATE, 0)], &[], &[None], CARDS);
    assert!(dates.is_noop() && dates.untouched(&row(&[Some(b"4111111111111111")])));
    assert!(compile(&fields, &[], &[None, None], &[]).is_noop());
}

type Case = (u32, i16, Option<MaskKind>, Option<Vec<u8>>);

fn case() -> impl Strategy<Value = Case> {
    let value = prop_oneof![
        Just(b"4111 1111 1111 1111".to_vec()),
        Just(b"{\"a\": \"4111111111111111\"}".to_vec()),
        Just(b"{x,\"4111111111111111\"}".to_vec()),
        Just(4_111_111_111_111_111_i64.to_be_bytes().to_vec()),
        prop::collection::vec(any::<u8>(), 0..20),
    ];
    let types = vec![
        oid::TEXT,
        oid::INT4,
        oid::INT8,
        oid::JSON,
        oid::JSONB,
        oid::TEXT_ARRAY,
        oid::DATE,
        70_000,
    ];
    let kinds = prop::sample::select(MaskKind::ALL.to_vec());
    (prop::sample::select(types), 0_i16..2, prop::option::of(kinds), prop::option::of(value))
}

proptest! {
    #[test]
    fn a_row_is_masked_field_by_field(cases in prop::collection::vec(case(), 0..8)) {
        let fields: Vec<_> = cases.iter().map(|case| field(case.0, case.1)).collect();
        let kinds: Vec<_> = cases.iter().map(|case| case.2).collect();
        let values: Vec<_> = cases.iter().map(|case| case.3.as_deref()).collect();
        let sent = row(&values);
        let (out, _) = mask(&compile(&fields, &[], &kinds, CARDS), &sent);
        let mut wanted = Vec::new();
        let found = Detections::new(CARDS, TypeSet::EMPTY);
        for (type_oid, format, kind, value) in &cases {
            let column =
                ColumnMask::new(*kind, (*type_oid, -1), Format::from_code(*format), found.as_ref());
            let mut own = BytesMut::new();
            wanted.push(value.as_ref().and_then(|value| {
                match column.hide(value, found.as_ref(), &key(), &mut own, &mut Vec::new()) {
                    Hidden::Null => None,
                    Hidden::Untouched => Some(value.clone()),
                    Hidden::Written => Some(own.to_vec()),
                }
            }));
        }
        prop_assert_eq!(read(&out), wanted);
    }

    #[test]
    fn untouched_is_never_wrong(cases in prop::collection::vec(case(), 0..6)) {
        let fields: Vec<_> = cases.iter().map(|case| field(case.0, case.1)).collect();
        let values: Vec<_> = cases.iter().map(|case| case.3.as_deref()).collect();
        let compiled = compile(&fields, &[], &vec![None; fields.len()], CARDS);
        let sent = row(&values);
        if compiled.untouched(&sent) {
            prop_assert_eq!(mask(&compiled, &sent).0, sent.to_vec());
        }
    }

    #[test]
    fn no_bytes_make_a_row_panic(
        body in prop::collection::vec(any::<u8>(), 0..60),
        count in 0_usize..4,
    ) {
        let fields = vec![field(oid::TEXT, 0); count];
        let kinds = vec![Some(MaskKind::Partial); count];
        let mut out = BytesMut::new();
        let compiled = compile(&fields, &[], &kinds, CARDS);
        let _ = compiled.mask_row(&body, &key(), &mut out, &mut Vec::new());
    }
}
