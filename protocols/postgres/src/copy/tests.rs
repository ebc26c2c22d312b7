//! Data made by a writer that follows `copyto.c`, masked in any cut, read by readers of the tests'
//! own, and compared with values masked one by one.

use proptest::prelude::*;

use super::*;
use crate::mask::Hidden;
use crate::types::oid;

fn key() -> Arc<HashKey> {
    Arc::new(HashKey::new(b"0123456789abcdef0123456789abcdef"))
}

const CARDS: &[(DetectionType, MaskKind)] = &[(DetectionType::CreditCard, MaskKind::Redact)];

type Values = Vec<Option<Vec<u8>>>;

fn text_format() -> CopyFormat {
    CopyFormat::Text { delimiter: b'\t', null: b"\\N".to_vec(), header: false }
}

fn csv_format() -> CopyFormat {
    CopyFormat::Csv {
        delimiter: b',',
        quote: b'"',
        escape: b'"',
        null: Vec::new(),
        header: false,
        force_quote: ForceQuote::None,
    }
}

/// Writes rows as the server does.
fn write(format: &CopyFormat, rows: &[Values], force: bool) -> Vec<Vec<u8>> {
    let mut payloads: Vec<Vec<u8>> = rows
        .iter()
        .map(|row| match format {
            CopyFormat::Binary => {
                let mut bytes = i16::try_from(row.len()).unwrap().to_be_bytes().to_vec();
                for value in row {
                    let length = value.as_ref().map_or(-1, |v| i32::try_from(v.len()).unwrap());
                    bytes.extend(length.to_be_bytes());
                    bytes.extend(value.iter().flatten());
                }
                bytes
            }
            CopyFormat::Text { delimiter, null, .. } => {
                let fields = row.iter().map(|value| match value {
                    None => null.clone(),
                    Some(value) => text_field(value, *delimiter),
                });
                line(fields, *delimiter)
            }
            CopyFormat::Csv { delimiter, quote, escape, null, .. } => {
                let fields = row.iter().map(|value| match value {
                    None => null.clone(),
                    Some(value) => {
                        let alone = row.len() == 1 && value == b"\\.";
                        let special = [b'\n', b'\r', *delimiter, *quote];
                        let plain = !force
                            && !alone
                            && value != null
                            && !value.iter().any(|byte| special.contains(byte));
                        if plain { value.clone() } else { csv_field(value, *quote, *escape) }
                    }
                });
                line(fields, *delimiter)
            }
        })
        .collect();
    if *format == CopyFormat::Binary {
        let header = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0".to_vec();
        let trailer = vec![0xff, 0xff];
        match payloads.first_mut() {
            Some(first) => *first = [header, first.clone()].concat(),
            None => payloads.push(header),
        }
        payloads.push(trailer);
    }
    payloads
}

fn line(fields: impl Iterator<Item = Vec<u8>>, delimiter: u8) -> Vec<u8> {
    let mut line = fields.collect::<Vec<_>>().join(&delimiter);
    line.push(b'\n');
    line
}

fn text_field(value: &[u8], delimiter: u8) -> Vec<u8> {
    let escape = |byte: &u8| match byte {
        8 => b"\\b".to_vec(),
        9 => b"\\t".to_vec(),
        10 => b"\\n".to_vec(),
        11 => b"\\v".to_vec(),
        12 => b"\\f".to_vec(),
        13 => b"\\r".to_vec(),
        b'\\' => b"\\\\".to_vec(),
        byte if *byte == delimiter => vec![b'\\', *byte],
        byte => vec![*byte],
    };
    value.iter().flat_map(escape).collect()
}

fn csv_field(value: &[u8], quote: u8, escape: u8) -> Vec<u8> {
    let mut field = vec![quote];
    for byte in value {
        if *byte == quote || *byte == escape {
            field.push(escape);
        }
        field.push(*byte);
    }
    field.push(quote);
    field
}

/// Pushes the payloads; returns the bodies of the messages that came out, and the rows counted.
fn run(mask: &mut CopyMask, payloads: &[Vec<u8>]) -> Result<(Vec<Vec<u8>>, u64), Fault> {
    let (mut out, mut rows, mut found) = (BytesMut::new(), 0, Vec::new());
    for payload in payloads {
        mask.push(payload, &mut out, &mut rows, &mut found)?;
    }
    mask.finish()?;
    let mut bodies = Vec::new();
    while !out.is_empty() {
        assert_eq!(out[0], COPY_DATA);
        let length = u32::from_be_bytes(out[1..5].try_into().unwrap());
        let message = out.split_to(usize::try_from(length).unwrap() + 1);
        assert!(message.len() > message::HEADER, "no empty messages");
        bodies.push(message[message::HEADER..].to_vec());
    }
    Ok((bodies, rows))
}

fn masked(format: CopyFormat, columns: &[(Option<MaskKind>, u32, i32)], data: &str) -> String {
    let mut mask = CopyMask::new(format, columns, &[], key());
    let (bodies, _) = run(&mut mask, &[data.as_bytes().to_vec()]).unwrap();
    String::from_utf8(bodies.concat()).unwrap()
}

const REDACT: (Option<MaskKind>, u32, i32) = (Some(MaskKind::Redact), oid::TEXT, -1);
const PLAIN: (Option<MaskKind>, u32, i32) = (None, oid::TEXT, -1);
const NUMBER: (Option<MaskKind>, u32, i32) = (Some(MaskKind::Redact), oid::INT4, -1);

#[test]
fn p3_text_rows_are_masked_and_the_rest_stays() {
    let data = "1\ta\\tb\\\\\t7\n\\N\t\\N\t\\N\n\\\\N\t\t8\n";
    let out = masked(text_format(), &[PLAIN, REDACT, NUMBER], data);
    assert_eq!(out, "1\t[REDACTED]\t\\N\n\\N\t\\N\t\\N\n\\\\N\t[REDACTED]\t\\N\n");
}

#[test]
fn p3_csv_rows_are_masked_and_the_rest_stays() {
    let data = "1,\"a \"\"b\"\"\nc\",7\n,,\n\"\",\"\",8\n";
    let out = masked(csv_format(), &[PLAIN, REDACT, NUMBER], data);
    assert_eq!(out, "1,[REDACTED],\n,,\n\"\",[REDACTED],\n");
}

#[test]
fn p3_text_that_needs_escapes_after_masking_gets_them() {
    let partial = (Some(MaskKind::Partial), oid::TEXT, -1);
    // The last of 8 characters that stay: a tab and a backslash.
    assert_eq!(masked(text_format(), &[partial], "123456\\t\\\\\n"), "******\\t\\\\\n");
    let csv = CopyFormat::Csv {
        delimiter: b';',
        quote: b'\'',
        escape: b'\\',
        null: b"[REDACTED]".to_vec(),
        header: true,
        force_quote: ForceQuote::None,
    };
    // A masked value that reads like NULL has quotes, like any other value that does.
    let data = "'na\nme'\nx\n[REDACTED]\n'[REDACTED]'\n'a\\'\n'\n";
    let wanted = "'na\nme'\n'[REDACTED]'\n[REDACTED]\n'[REDACTED]'\n'[REDACTED]'\n";
    assert_eq!(masked(csv.clone(), &[REDACT], data), wanted);
    assert_eq!(
        masked(csv, &[partial], "h\n'123456\\';'\n'1234567\\\\'\n"),
        "h\n'******\\';'\n******7\\\n"
    );
}

#[test]
fn forced_quotes_stay() {
    let csv = |force_quote| CopyFormat::Csv {
        delimiter: b',',
        quote: b'"',
        escape: b'"',
        null: Vec::new(),
        header: false,
        force_quote,
    };
    assert_eq!(masked(csv(ForceQuote::All), &[REDACT, REDACT], "\"a\",\n"), "\"[REDACTED]\",\n");
    assert_eq!(
        masked(csv(ForceQuote::Some), &[REDACT, REDACT], "\"a\",b\n"),
        "\"[REDACTED]\",[REDACTED]\n"
    );
    assert_eq!(
        masked(csv(ForceQuote::None), &[REDACT, REDACT], "\"a,\",b\n"),
        "[REDACTED],[REDACTED]\n"
    );
}

#[test]
fn p3_data_is_masked_alike_wherever_it_is_cut() {
    let value = |text: &str| Some(text.as_bytes().to_vec());
    let rows: Vec<Values> = vec![
        vec![value("a\\"), value("b\\")],
        vec![value("\"\"\n"), value("\n\"")],
        vec![None, value("\\\n\\")],
        vec![value(""), None],
    ];
    let own_escape = CopyFormat::Csv {
        delimiter: b',',
        quote: b'"',
        escape: b'\\',
        null: Vec::new(),
        header: false,
        force_quote: ForceQuote::None,
    };
    for format in [text_format(), csv_format(), own_escape, CopyFormat::Binary] {
        let sent = write(&format, &rows, false);
        same_in_any_cut(&format, &sent.concat());
    }
}

/// Masks the data whole, in two pieces at every place, and byte by byte.
fn same_in_any_cut(format: &CopyFormat, data: &[u8]) {
    let masked = |pieces: &[Vec<u8>]| {
        let mut mask = CopyMask::new(format.clone(), &[PLAIN, REDACT], &[], key());
        let (bodies, rows) = run(&mut mask, pieces).unwrap();
        (bodies.concat(), rows)
    };
    let whole = masked(&[data.to_vec()]);
    for place in 0..=data.len() {
        assert_eq!(masked(&cut(data, &[place])), whole, "{format:?} cut at {place}");
    }
    let places: Vec<_> = (0..data.len()).collect();
    assert_eq!(masked(&cut(data, &places)), whole, "{format:?} in bytes");
}

#[test]
fn an_escape_before_anything_but_a_quote_or_itself_is_a_character() {
    let csv = CopyFormat::Csv {
        delimiter: b',',
        quote: b'\'',
        escape: b'\\',
        null: Vec::new(),
        header: false,
        force_quote: ForceQuote::None,
    };
    let data = "'a\\x',s\n'b\\\\',s\n\\,s\n";
    let wanted = "'a\\x',[REDACTED]\n'b\\\\',[REDACTED]\n\\,[REDACTED]\n";
    same_in_any_cut(&csv, data.as_bytes());
    assert_eq!(masked(csv, &[PLAIN, REDACT], data), wanted);
}

#[test]
fn the_header_and_the_end_mark_pass_and_are_no_rows() {
    let text = CopyFormat::Text { delimiter: b'|', null: b"\\N".to_vec(), header: true };
    let mut mask = CopyMask::new(text, &[REDACT], &[], key());
    let (bodies, rows) = run(&mut mask, &[b"ssn\nssn\n".to_vec(), b"\\.\n".to_vec()]).unwrap();
    assert_eq!(bodies, [b"ssn\n[REDACTED]\n".to_vec(), b"\\.\n".to_vec()]);
    assert_eq!(rows, 1);
}

#[test]
fn p3_a_null_string_that_values_can_look_like_tells_nothing() {
    for null in ["123-45-6789", "", "NULL", "a\\tb", "x\\\\"] {
        let text = CopyFormat::Text { delimiter: b'\t', null: null.into(), header: false };
        let data = format!("{null}\tother\nsecret\tother\n");
        let out = masked(text, &[REDACT, PLAIN], &data);
        assert_eq!(out, format!("{null}\tother\n{null}\tother\n"), "null string {null:?}");
    }
    for null in ["\\N", "\\", "\\x", "\u{1}\\N"] {
        let text = CopyFormat::Text { delimiter: b'\t', null: null.into(), header: false };
        assert_eq!(masked(text, &[REDACT], "secret\n"), "[REDACTED]\n", "null string {null:?}");
    }
}

#[test]
fn detections_are_found_behind_escapes_and_counted() {
    let values: Vec<Values> =
        vec![vec![Some(b"4111\t1111\t1111\t1111 \"4111111111111111\"".to_vec())]];
    for format in [text_format(), csv_format(), CopyFormat::Binary] {
        let mut mask = CopyMask::new(format.clone(), &[PLAIN], CARDS, key());
        assert!(!mask.is_noop());
        let (mut out, mut rows, mut found) = (BytesMut::new(), 0, Vec::new());
        for payload in write(&format, &values, false) {
            mask.push(&payload, &mut out, &mut rows, &mut found).unwrap();
        }
        assert_eq!(rows, 1);
        assert!(found[0].seen >= 1 && found[0].seen == found[0].masked);
        assert!(memchr::memmem::find(&out, b"4111111111111111").is_none(), "{format:?}");
        assert!(memchr::memmem::find(&out, b"[REDACTED]").is_some(), "{format:?}");
    }
}

#[test]
fn p4_binary_rows_keep_header_types_and_trailer() {
    let number = 4_111_111_111_111_111_i64.to_be_bytes().to_vec();
    let rows = vec![
        vec![Some(b"secret".to_vec()), Some(number.clone()), None],
        vec![None, None, Some(vec![0, 0, 0, 7])],
    ];
    let columns = [REDACT, (Some(MaskKind::Hash), oid::INT8, -1), NUMBER];
    let mut mask = CopyMask::new(CopyFormat::Binary, &columns, &[], key());
    let payloads = write(&CopyFormat::Binary, &rows, false);
    let (bodies, count) = run(&mut mask, &payloads).unwrap();
    assert_eq!((bodies.len(), count), (payloads.len(), 2), "messages keep their rows");
    let hashed = key().hash_int("4111111111111111", 64).to_be_bytes().to_vec();
    let wanted =
        vec![vec![Some(b"[REDACTED]".to_vec()), Some(hashed), None], vec![None, None, None]];
    assert_eq!(bodies, write(&CopyFormat::Binary, &wanted, false));
}

#[test]
fn what_is_not_in_the_format_is_the_upstreams_fault() {
    let header = b"PGCOPY\n\xff\r\n\0".to_vec();
    let with = |rest: &[u8]| [header.clone(), rest.to_vec()].concat();
    let table: Vec<(CopyFormat, Vec<u8>)> = vec![
        (text_format(), b"one\n".to_vec()),
        (text_format(), b"1\t2\t3\n".to_vec()),
        (text_format(), b"1\t2".to_vec()),
        (text_format(), b"1\t2\\\n".to_vec()),
        (csv_format(), b"one\n".to_vec()),
        (csv_format(), b"1,2,3\n".to_vec()),
        (csv_format(), b"1,\"2\n".to_vec()),
        (CopyFormat::Binary, b"PGCOPY\r\n".to_vec()),
        (CopyFormat::Binary, with(b"\0\x01\0\0\0\0\0\0\xff\xff")),
        (CopyFormat::Binary, with(b"\0\0\0\0\xff\xff\xff\xff")),
        (CopyFormat::Binary, with(b"\0\0\0\0\x7f\xff\xff\xff")),
        (CopyFormat::Binary, with(b"\0\0\0\0\0\0\0\0\0\x01\xff\xff\xff\xff")),
        (CopyFormat::Binary, with(b"\0\0\0\0\0\0\0\0\xff\xfe")),
        (CopyFormat::Binary, with(b"\0\0\0\0\0\0\0\0\0\x02\xff\xff\xff\xfe")),
        (CopyFormat::Binary, with(b"\0\0\0\0\0\0\0\0\0\x02\x7f\xff\xff\xff")),
        (CopyFormat::Binary, with(b"\0\0\0\0\0\0\0\0\xff\xff\0")),
        (CopyFormat::Binary, with(b"\0\0\0\0\0\0\0\0\0\x02\xff\xff")),
    ];
    for (format, data) in table {
        let mut mask = CopyMask::new(format, &[REDACT, PLAIN], &[], key());
        let result = run(&mut mask, std::slice::from_ref(&data));
        assert_eq!(result.unwrap_err().side, model::Side::Upstream, "{}", data.escape_ascii());
    }
}

#[test]
fn p8_a_row_may_be_as_long_as_the_limit_and_no_longer() {
    for (extra, fits) in [(0, true), (1, false)] {
        let mut mask = CopyMask::new(text_format(), &[PLAIN, REDACT], &[], key());
        let (mut out, mut rows, mut found) = (BytesMut::new(), 0, Vec::new());
        let chunk = vec![b'x'; ROW_BYTES_MAX / 4];
        let mut push = |data: &[u8]| mask.push(data, &mut out, &mut rows, &mut found);
        for _ in 0..3 {
            push(&chunk).unwrap();
        }
        push(&chunk[..chunk.len() - 3 + extra]).unwrap();
        assert_eq!(push(b"\t1\n").is_ok(), fits, "{extra} too many");
    }
    let mut mask = CopyMask::new(csv_format(), &[PLAIN], &[], key());
    let endless = [b"\"".to_vec(), vec![b'x'; ROW_BYTES_MAX]].concat();
    assert!(mask.push(&endless, &mut BytesMut::new(), &mut 0, &mut Vec::new()).is_err());
}

#[test]
fn a_table_without_columns_is_copied() {
    assert_eq!(masked(text_format(), &[], "\n\n"), "\n\n");
    assert_eq!(masked(csv_format(), &[], "\n"), "\n");
}

fn options(options: &[(&str, &str)]) -> Result<CopyFormat, String> {
    let options: Vec<_> =
        options.iter().map(|(name, value)| (Arc::from(*name), Arc::from(*value))).collect();
    CopyOptions::parse(&options)
        .map(|options| options.format)
        .map_err(|unclear| unclear.option.to_string())
}

#[test]
fn options_are_understood_or_refused() {
    assert_eq!(options(&[]), Ok(text_format()));
    assert_eq!(options(&[("format", "csv")]), Ok(csv_format()));
    assert_eq!(options(&[("format", "binary"), ("encoding", "UTF8")]), Ok(CopyFormat::Binary));
    let all = [
        ("format", "csv"),
        ("delimiter", ";"),
        ("null", "NULL"),
        ("header", "true"),
        ("quote", "'"),
        ("escape", "\\"),
        ("force_quote", "a,b"),
        ("encoding", "latin1"),
        ("freeze", "false"),
    ];
    let wanted = CopyFormat::Csv {
        delimiter: b';',
        quote: b'\'',
        escape: b'\\',
        null: b"NULL".to_vec(),
        header: true,
        force_quote: ForceQuote::Some,
    };
    assert_eq!(options(&all), Ok(wanted));
    let refused: [(&[(&str, &str)], &str); 18] = [
        (&[("format", "json")], "format"),
        (&[("format", "CSV")], "format"),
        (&[("format", "csv"), ("format", "text")], "format"),
        (&[("header", "match")], "header"),
        (&[("header", "2")], "header"),
        (&[("header", "")], "header"),
        (&[("delimiter", "ab")], "delimiter"),
        (&[("delimiter", "")], "delimiter"),
        (&[("delimiter", "é")], "delimiter"),
        (&[("delimiter", "n")], "delimiter"),
        (&[("delimiter", "\n")], "delimiter"),
        (&[("null", "a\tb")], "null"),
        (&[("quote", "'")], "quote"),
        (&[("format", "csv"), ("quote", ",")], "quote"),
        (&[("format", "csv"), ("null", "\"")], "null"),
        (&[("format", "binary"), ("null", "x")], "null"),
        (&[("encoding", "SJIS")], "encoding"),
        (&[("on_error", "ignore")], "on_error"),
    ];
    for (given, wanted) in refused {
        assert_eq!(options(given), Err(wanted.to_owned()), "{given:?}");
    }
    for name in
        ["UTF8", "utf-8", "WIN1252", "EUC_JP", "KOI8-R", "ISO_8859_5", "latin10", "SQL_ASCII"]
    {
        assert!(options::encoding_is_safe(name), "{name}");
    }
    for name in
        ["BIG5", "GBK", "GB18030", "UHC", "JOHAB", "SJIS", "SHIFT_JIS_2004", "win949", "win", ""]
    {
        assert_eq!(options::encoding_is_safe(name), name == "win", "{name}");
    }
}

fn value() -> impl Strategy<Value = Option<Vec<u8>>> {
    let special = prop::sample::select(b"\\,\"'\t\n\r|NR.;ab1 \x08\x0b\x0c\x01".to_vec());
    let bytes = prop_oneof![
        5 => prop::collection::vec(special, 0..8),
        1 => Just(b"4111111111111111".to_vec()),
        1 => Just(b"\\.".to_vec()),
        1 => Just("ß€".as_bytes().to_vec()),
    ];
    prop::option::of(bytes)
}

fn any_format() -> impl Strategy<Value = (CopyFormat, bool)> {
    let text =
        (prop::sample::select(b"\t|;,N\"".to_vec()), prop::sample::select(vec!["\\N", "\\x"]))
            .prop_map(|(delimiter, null)| CopyFormat::Text {
                delimiter,
                null: null.into(),
                header: false,
            })
            .prop_filter("NULL without the delimiter", |format| match format {
                CopyFormat::Text { delimiter, null, .. } => !null.contains(delimiter),
                _ => true,
            });
    let csv = (
        prop::sample::select(b",;\t|".to_vec()),
        prop::sample::select(b"\"'".to_vec()),
        prop::sample::select(b"\"'\\\x01a".to_vec()),
        prop::sample::select(vec!["", "NULL", "[REDACTED]", "\\N"]),
        any::<bool>(),
    );
    let csv = csv.prop_map(|(delimiter, quote, escape, null, force)| {
        let force_quote = if force { ForceQuote::All } else { ForceQuote::None };
        let null = null.into();
        (CopyFormat::Csv { delimiter, quote, escape, null, header: false, force_quote }, force)
    });
    prop_oneof![text.prop_map(|f| (f, false)), csv, Just((CopyFormat::Binary, false))]
}

/// The value as its column's masks leave it.
fn by_itself(
    format: &CopyFormat,
    of: (Option<MaskKind>, u32, i32),
    value: &[u8],
) -> Option<Vec<u8>> {
    let format = if *format == CopyFormat::Binary { Format::Binary } else { Format::Text };
    let found = Detections::new(CARDS, TypeSet::EMPTY);
    let column = ColumnMask::new(of.0, (of.1, of.2), Some(format), found.as_ref());
    let mut out = BytesMut::new();
    match column.hide(value, found.as_ref(), &key(), &mut out, &mut Vec::new()) {
        Hidden::Null => None,
        Hidden::Untouched => Some(value.to_vec()),
        Hidden::Written => Some(out.to_vec()),
    }
}

fn cut(data: &[u8], cuts: &[usize]) -> Vec<Vec<u8>> {
    let mut places: Vec<_> = cuts.iter().map(|cut| cut % (data.len() + 1)).collect();
    places.extend([0, data.len()]);
    places.sort_unstable();
    places.windows(2).map(|pair| data[pair[0]..pair[1]].to_vec()).collect()
}

proptest! {
    #[test]
    fn p3_masked_data_is_what_the_server_would_send_for_masked_values(
        (format, force) in any_format(),
        kinds in prop::collection::vec(
            (prop::option::of(prop::sample::select(MaskKind::ALL.to_vec())),
             prop::sample::select(vec![oid::TEXT, oid::INT4])), 1..4),
        rows in prop::collection::vec(prop::collection::vec(value(), 3), 0..6),
        cuts in prop::collection::vec(any::<usize>(), 0..10),
    ) {
        let columns: Vec<_> = kinds.iter().map(|(kind, of)| (*kind, *of, -1)).collect();
        let rows: Vec<Values> =
            rows.into_iter().map(|row| row.into_iter().take(columns.len()).collect()).collect();
        let wanted: Vec<Values> = rows.iter().map(|row| {
            let pairs = row.iter().zip(&columns);
            pairs.map(|(value, of)| by_itself(&format, *of, value.as_deref()?)).collect()
        }).collect();
        let sent = write(&format, &rows, force);
        let wanted = write(&format, &wanted, force);
        let mut whole = CopyMask::new(format.clone(), &columns, CARDS, key());
        let (bodies, count) = run(&mut whole, &sent).unwrap();
        prop_assert_eq!(count, u64::try_from(rows.len()).unwrap());
        prop_assert_eq!(&bodies, &wanted);
        let mut in_pieces = CopyMask::new(format, &columns, CARDS, key());
        let (pieces, count) = run(&mut in_pieces, &cut(&sent.concat(), &cuts)).unwrap();
        prop_assert_eq!(count, u64::try_from(rows.len()).unwrap());
        prop_assert_eq!(pieces.concat(), wanted.concat());
    }

    #[test]
    fn any_bytes_in_any_cut_give_the_same_and_never_panic(
        (format, _) in any_format(),
        data in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..60),
            prop::collection::vec(prop::sample::select(b"\\,\"'\t\n\ra1".to_vec()), 0..60),
            prop::collection::vec(prop::sample::select(vec![0_u8, 0, 0, 1, 2, 255]), 0..60)
                .prop_map(|rest| [b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0".to_vec(), rest].concat()),
        ],
        cuts in prop::collection::vec(any::<usize>(), 0..10),
    ) {
        let columns = [REDACT, PLAIN];
        let mut whole = CopyMask::new(format.clone(), &columns, CARDS, key());
        let mut in_pieces = CopyMask::new(format, &columns, CARDS, key());
        let once = run(&mut whole, std::slice::from_ref(&data));
        let cut = run(&mut in_pieces, &cut(&data, &cuts));
        match (once, cut) {
            (Ok((once, rows)), Ok((cut, again))) => {
                prop_assert_eq!(once.concat(), cut.concat());
                prop_assert_eq!(rows, again);
            }
            (once, cut) => prop_assert_eq!(once.is_err(), cut.is_err()),
        }
    }
}
