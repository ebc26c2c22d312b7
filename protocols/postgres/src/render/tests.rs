use bytes::BufMut;
use proptest::prelude::*;

use super::*;
use crate::message::{message, put_cstr};
use crate::types::oid;

fn header(columns: &[(&str, u32, i16)]) -> Vec<u8> {
    let bytes = message(b'T', |out| {
        out.put_i16(i16::try_from(columns.len()).unwrap());
        for (label, type_oid, format) in columns {
            put_cstr(out, label.as_bytes());
            out.put_u32(0);
            out.put_i16(0);
            out.put_u32(*type_oid);
            out.put_i16(-1);
            out.put_i32(-1);
            out.put_i16(*format);
        }
    });
    bytes.to_vec()
}

fn row(values: &[Option<&[u8]>]) -> Vec<u8> {
    let bytes = message(b'D', |out| {
        out.put_i16(i16::try_from(values.len()).unwrap());
        for value in values {
            out.put_i32(value.map_or(-1, |value| i32::try_from(value.len()).unwrap()));
            out.put_slice(value.unwrap_or_default());
        }
    });
    bytes.to_vec()
}

fn plain(tag: u8, body: &[u8]) -> Vec<u8> {
    message(tag, |out| out.put_slice(body)).to_vec()
}

#[test]
fn a_reply_reads_like_a_table() {
    let payload = [
        plain(b'2', b""),
        header(&[("id", oid::INT4, 1), ("name", oid::TEXT, 0), ("point", 600, 1)]),
        row(&[Some(b"\0\0\0\x07"), Some("Ada ß".as_bytes()), Some(b"\xab\xcd")]),
        row(&[Some(b"\0\0\0\x08"), None, None]),
        plain(b'C', b"SELECT 2\0"),
        plain(b'N', b"SNOTICE\0C00000\0Mhello\0\0"),
        plain(b'E', b"SERROR\0C42P01\0Mrelation \"x\" does not exist\0Hlook\0\0"),
        plain(b'Z', b"I"),
    ]
    .concat();
    let wanted = [
        "id | name | point",
        "7 | Ada ß | \\xabcd",
        "8 | NULL | NULL",
        "SELECT 2",
        "notice: NOTICE 00000: hello",
        "ERROR 42P01: relation \"x\" does not exist (hint: look)",
    ];
    assert_eq!(render(&payload), wanted);
}

#[test]
fn copied_lines_are_shown() {
    let payload = [
        plain(b'H', b"\0\0\x02\0\0\0\0"),
        plain(b'd', b"1\tAda\n"),
        plain(b'd', b"PGCOPY\n\xff\r\n\0"),
        plain(b'c', b""),
        plain(b'A', b"\0\0\0\x05ch\0word\0"),
        plain(b'S', b"TimeZone\0UTC\0"),
    ]
    .concat();
    let wanted = [
        "COPY to the client, text, 2 columns",
        "1\\tAda",
        "\\x5047434f50590aff0d0a00",
        "notification on ch from process 5: word",
        "setting TimeZone = UTC",
    ];
    assert_eq!(render(&payload), wanted);
}

#[test]
fn rows_without_their_description_and_cut_messages_are_shown_as_far_as_known() {
    let whole = [row(&[Some(b"a"), Some(b"\xff\0")]), row(&[Some(b"b")])].concat();
    assert_eq!(render(&whole[..whole.len() - 1]), ["a | \\xff00", "… 11 more bytes, cut here"]);
    assert_eq!(render(b"nonsense that is no message"), ["… 27 more bytes, cut here"]);
    assert_eq!(render(&plain(b'?', b"abc")), ["(3 bytes that are not understood)"]);
    assert_eq!(render(&plain(b'D', b"\0\x01")), ["(2 bytes that are not understood)"]);
}

#[test]
fn nothing_can_move_the_cursor_or_turn_text_around() {
    let hostile = "\u{1b}[2J\u{7}\u{9b}\u{202e}\u{200b}\r\n\u{85}";
    let lines = render(&row(&[Some(hostile.as_bytes())])).concat();
    assert!(lines.chars().all(|c| !is_unseen(c)), "{lines:?}");
    assert!(lines.starts_with("\\u{1b}[2J"));
}

#[test]
fn p8_lines_are_bounded_in_number_and_width() {
    let long = vec![b'x'; 100_000];
    let wide = render(&row(&[Some(long.as_slice()); 100]));
    assert!(wide[0].chars().count() <= LINE_CHARACTERS_MAX + 1);
    let many = row(&[Some(b"1")]).repeat(LINES_MAX + 10);
    let lines = render(&many);
    assert_eq!(lines.len(), LINES_MAX + 1);
    assert!(lines[LINES_MAX].starts_with('…'));
    let copied = plain(b'd', &b"\n".repeat(LINES_MAX * 3));
    assert!(render(&copied).len() <= LINES_MAX + 1);
}

proptest! {
    #[test]
    fn any_bytes_are_rendered(payload in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = render(&payload);
    }

    #[test]
    fn any_messages_are_rendered(
        messages in prop::collection::vec(
            (prop::sample::select(b"TDCENAIsHGdSZ12".to_vec()),
             prop::collection::vec(prop_oneof![Just(0_u8), any::<u8>()], 0..30)), 0..6),
        cut in any::<usize>(),
    ) {
        let payload: Vec<u8> = messages.iter().flat_map(|(tag, body)| plain(*tag, body)).collect();
        let _ = render(&payload[cut % (payload.len() + 1)..]);
        let _ = render(&payload[..cut % (payload.len() + 1)]);
    }
}
