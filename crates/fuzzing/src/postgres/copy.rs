//! The data of COPY in every format, made of values or of any bytes.

use bytes::BufMut as _;
use model::Side;

use super::frames;
use super::notation::frame;
use super::session::SECRET;
use super::typed::{KINDS, TYPES, hides, keeps_type, play};
use crate::bytes_of::{BytesOf, contains};

/// A format, and what its data begins and ends with.
struct Format {
    options: &'static str,
    kind: Kind,
    begin: &'static [u8],
    end: &'static [u8],
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Binary,
    Csv,
    Text { delimiter: u8 },
}

const FORMATS: [Format; 6] = [
    Format { options: "", kind: Kind::Text { delimiter: b'\t' }, begin: b"", end: b"" },
    Format {
        options: "with (delimiter '|', header)",
        kind: Kind::Text { delimiter: b'|' },
        begin: b"m|p\n",
        end: b"",
    },
    Format { options: "with (format csv)", kind: Kind::Csv, begin: b"", end: b"" },
    Format { options: "with (format csv, header)", kind: Kind::Csv, begin: b"m,p\n", end: b"" },
    Format { options: "with (format csv, force_quote *)", kind: Kind::Csv, begin: b"", end: b"" },
    Format {
        options: "with (format binary)",
        kind: Kind::Binary,
        begin: b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0",
        end: &[0xff, 0xff],
    },
];

type Row = [Option<Vec<u8>>; 2];

impl Kind {
    /// A row as a server writes it (`copyto.c`); no bytes are ever those of another encoding.
    fn write(self, out: &mut Vec<u8>, row: &Row) {
        if self == Self::Binary {
            out.put_u16(2);
            for value in row {
                let length = value.as_ref().map_or(Ok(-1), |value| i32::try_from(value.len()));
                out.put_i32(length.expect("a short value"));
                out.extend(value.iter().flatten());
            }
            return;
        }
        for (index, value) in row.iter().enumerate() {
            if index > 0 {
                out.push(if let Self::Text { delimiter } = self { delimiter } else { b',' });
            }
            match (self, value) {
                (Self::Text { .. }, None) => out.extend_from_slice(b"\\N"),
                (_, None) => {}
                (Self::Text { delimiter }, Some(value)) => escape(out, value, delimiter),
                (_, Some(value)) => {
                    out.push(b'"');
                    for byte in value {
                        out.extend(std::iter::repeat_n(*byte, 1 + usize::from(*byte == b'"')));
                    }
                    out.push(b'"');
                }
            }
        }
        out.push(b'\n');
    }

    /// The rows in whole data, without what it begins and ends with.
    fn read(self, mut data: &[u8]) -> Vec<Row> {
        let mut rows = Vec::new();
        while !data.is_empty() {
            let row = match self {
                Self::Binary => {
                    let mut input = BytesOf(data);
                    assert_eq!(input.take(2), [0, 2], "another number of columns");
                    let row = [(); 2].map(|()| {
                        let length = usize::try_from(input.number()).ok()?;
                        Some(input.take(length).to_vec())
                    });
                    data = input.0;
                    row
                }
                Self::Csv => [(); 2].map(|()| csv_value(&mut data)),
                Self::Text { delimiter } => {
                    let end = data.iter().position(|byte| *byte == b'\n').expect("a whole row");
                    let (line, rest) = data.split_at(end);
                    data = &rest[1..];
                    let mut escaped = false;
                    let values: Vec<_> = line
                        .split(|byte| {
                            let ends = *byte == delimiter && !escaped;
                            escaped = *byte == b'\\' && !escaped;
                            ends
                        })
                        .collect();
                    assert_eq!(values.len(), 2, "another number of columns in {line:?}");
                    [unescape(values[0]), unescape(values[1])]
                }
            };
            rows.push(row);
        }
        rows
    }
}

/// The text format's escapes (`CopyAttributeOutText`).
fn escape(out: &mut Vec<u8>, value: &[u8], delimiter: u8) {
    for byte in value {
        match byte {
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            b'\\' => out.extend_from_slice(b"\\\\"),
            0x08 => out.extend_from_slice(b"\\b"),
            0x0b => out.extend_from_slice(b"\\v"),
            0x0c => out.extend_from_slice(b"\\f"),
            byte if *byte == delimiter => out.extend_from_slice(&[b'\\', *byte]),
            byte => out.push(*byte),
        }
    }
}

fn unescape(text: &[u8]) -> Option<Vec<u8>> {
    if text == b"\\N" {
        return None;
    }
    let mut out = Vec::new();
    let mut input = BytesOf(text);
    while !input.0.is_empty() {
        let byte = input.byte();
        if byte != b'\\' {
            out.push(byte);
            continue;
        }
        out.push(match input.byte() {
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'b' => 0x08,
            b'v' => 0x0b,
            b'f' => 0x0c,
            other => other,
        });
    }
    Some(out)
}

/// The next value, with the comma or the line's end behind it.
fn csv_value(data: &mut &[u8]) -> Option<Vec<u8>> {
    let mut value = Vec::new();
    let (mut quoted, mut inside) = (false, false);
    loop {
        let (byte, rest) = data.split_first().expect("a whole row");
        *data = rest;
        match (byte, inside) {
            (b'"', true) if rest.first() == Some(&b'"') => {
                value.push(b'"');
                *data = &rest[1..];
            }
            (b'"', _) => {
                quoted = true;
                inside = !inside;
            }
            (b',' | b'\n', false) => return (quoted || !value.is_empty()).then_some(value),
            _ => value.push(*byte),
        }
    }
}

/// What the client gets of the data.
fn copied(to_client: &[u8]) -> Vec<u8> {
    frames(to_client).filter(|(tag, _)| *tag == b'd').flat_map(|(_, body)| body).collect()
}

/// COPY data made of values: the masked column's are hidden (P3), the other's pass unchanged (P9),
/// wherever the data is cut. Or any bytes: what stands in the masked column does not get through.
pub fn copy(data: &[u8]) {
    let mut input = BytesOf(data);
    let format = &FORMATS[input.choice(FORMATS.len())];
    let kind = KINDS[input.choice(KINDS.len())];
    let at = input.choice(TYPES.len());
    let flags = input.byte();
    if flags & 1 == 0 {
        of_values(format, kind, at, input);
    } else {
        of_bytes(format, kind, at, input);
    }
}

fn of_bytes(format: &Format, kind: &str, at: usize, input: BytesOf<'_>) {
    let query = format!("copy (select m from typed) to stdout {}", format.options);
    let mut play = play(kind, at, &format!("login\nclient >> Q \"{query}\"\nserver >> H 1"));
    let before = play.to_client.len();
    if !format.begin.is_empty() {
        play.send(Side::Upstream, &frame(b'd', format.begin));
    }
    for piece in input.pieces() {
        play.send(Side::Upstream, &frame(b'd', piece));
    }
    play.send(Side::Upstream, &frame(b'c', b""));
    play.send(Side::Upstream, &[frame(b'C', b"COPY 1\0"), frame(b'Z', b"I")].concat());
    let leaked = contains(&copied(&play.to_client[before..]), SECRET);
    assert!(!leaked, "the value of a masked column reached the client");
    play.close(Side::Client);
    assert!(play.stage.closed, "a session outlives its client");
}

fn of_values(format: &Format, kind: &str, at: usize, mut input: BytesOf<'_>) {
    let step = usize::from(input.byte()).max(1);
    let query = format!("copy (select m, p from typed) to stdout {}", format.options);
    let mut play = play(kind, at, &format!("login\nclient >> Q \"{query}\"\nserver >> H 2"));
    let before = play.to_client.len();
    let mut stream = format.begin.to_vec();
    let mut sent = Vec::new();
    while !input.0.is_empty() {
        let row = [(); 2].map(|()| input.text().map(<[u8]>::to_vec));
        format.kind.write(&mut stream, &row);
        sent.push(row);
    }
    stream.extend_from_slice(format.end);
    for piece in stream.chunks(step) {
        play.send(Side::Upstream, &frame(b'd', piece));
    }
    let end = [frame(b'c', b""), frame(b'C', b"COPY 1\0"), frame(b'Z', b"I")].concat();
    play.send(Side::Upstream, &end);

    let got = copied(&play.to_client[before..]);
    if frames(&play.to_client[before..]).any(|(tag, _)| tag == b'E') {
        panic!("what a server writes is refused: {}", play.transcript());
    }
    let got = got.strip_prefix(format.begin).expect("what the data begins with");
    let got = got.strip_suffix(format.end).expect("what the data ends with");
    let rows = format.kind.read(got);
    assert_eq!(rows.len(), sent.len(), "rows were lost or added");
    for ([shown, passed], [masked, open]) in rows.iter().zip(&sent) {
        assert_eq!(passed, open, "an open column is changed");
        match (masked, shown) {
            (None, shown) => assert_eq!(*shown, None, "NULL becomes something"),
            (Some(_), None) => {}
            (Some(value), Some(shown)) => {
                let of = (TYPES[at], -1);
                hides(of, value, shown);
                keeps_type(of, format.kind == Kind::Binary, shown);
            }
        }
    }
}
