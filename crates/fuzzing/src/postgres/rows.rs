//! Rows with values of every type in both formats, half of them masked.

use bytes::BufMut as _;
use model::Side;

use super::frames;
use super::notation::frame;
use super::typed::{KINDS, MASKED, TABLE, TYPES, hides, keeps_type, play};
use crate::bytes_of::BytesOf;

/// Longest declared length: `bpchar` is padded to it.
const LENGTH_MAX: i32 = 4_096;

/// A row description: two stored columns, described as this type.
fn description(type_oid: u32, type_mod: i32, format: i16) -> Vec<u8> {
    let mut body = Vec::new();
    body.put_u16(2);
    for (attnum, name) in [(MASKED, b"m\0"), (MASKED + 1, b"p\0")] {
        body.extend_from_slice(name);
        body.put_u32(TABLE);
        body.put_u16(attnum);
        body.put_u32(type_oid);
        body.put_i16(-1);
        body.put_i32(type_mod);
        body.put_i16(format);
    }
    frame(b'T', &body)
}

fn row(values: [Option<&[u8]>; 2]) -> Vec<u8> {
    let mut body = Vec::new();
    body.put_u16(2);
    for value in values {
        match value {
            None => body.put_i32(-1),
            Some(value) => {
                body.put_i32(i32::try_from(value.len()).expect("a short value"));
                body.extend_from_slice(value);
            }
        }
    }
    frame(b'D', &body)
}

/// The values of a row of two.
fn values(body: &[u8]) -> [Option<&[u8]>; 2] {
    let mut input = BytesOf(body);
    assert_eq!(input.take(2), [0, 2], "another number of columns");
    let values = [(); 2].map(|()| {
        let length = input.number();
        usize::try_from(length).ok().map(|length| input.take(length))
    });
    assert!(input.0.is_empty(), "bytes behind a row");
    values
}

/// A masked value is hidden and stays of its type (P3, P4); an open one beside it passes unchanged
/// (P9); no row is lost or added.
pub fn rows(data: &[u8]) {
    let mut input = BytesOf(data);
    let kind = KINDS[input.choice(KINDS.len())];
    let at = input.choice(TYPES.len());
    let flags = input.byte();
    let (binary, extended) = (flags & 1 != 0, flags & 2 != 0);
    // A server may describe a column as of another type than the catalog says.
    let described = if flags & 4 != 0 { TYPES[input.choice(TYPES.len())] } else { TYPES[at] };
    let type_mod = input.number().min(LENGTH_MAX);
    let query = "select m, p from typed";
    let format = i16::from(binary);
    let ask = if extended {
        format!("client >> P \"\" \"{query}\" ; B \"\" \"\" -> {format} ; D P \"\" ; E \"\" ; S")
    } else {
        format!("client >> Q \"{query}\"")
    };
    let mut play = play(kind, at, &format!("login\n{ask}"));
    let before = play.to_client.len();
    let mut reply = Vec::new();
    if extended {
        reply.extend(frame(b'1', b""));
        if frames(&play.to_server[play.after_login[1]..])
            .any(|(tag, body)| tag == b'D' && body[0] == b'S')
        {
            // The gateway's own question, for a client that asks late.
            reply.extend(frame(b't', &[0, 0]));
            reply.extend(description(described, type_mod, 0));
        }
        reply.extend(frame(b'2', b""));
    }
    reply.extend(description(described, type_mod, format));
    let mut sent = Vec::new();
    while !input.0.is_empty() {
        let pair = [input.text(), input.text()];
        reply.extend(row(pair));
        sent.push(pair);
    }
    reply.extend(frame(b'C', b"SELECT 1\0"));
    reply.extend(frame(b'Z', b"I"));
    play.send(Side::Upstream, &reply);

    let got: Vec<_> = frames(&play.to_client[before..]).collect();
    let refused = got.iter().any(|(tag, _)| *tag == b'E') || play.stage.closed;
    let rows: Vec<_> = got.iter().filter(|(tag, _)| *tag == b'D').collect();
    assert!(refused || rows.len() == sent.len(), "{} rows of {}", rows.len(), sent.len());
    for ((_, body), [masked, open]) in rows.into_iter().zip(sent) {
        let [shown, passed] = values(body);
        assert_eq!(passed, open, "an open column is changed");
        match (masked, shown) {
            (None, shown) => assert_eq!(shown, None, "NULL becomes something"),
            (Some(_), None) => {}
            (Some(value), Some(shown)) => {
                hides((described, type_mod), value, shown);
                keeps_type((described, type_mod), binary, shown);
            }
        }
    }
    // It must have been possible at all: a row that agrees with the catalog is not refused.
    assert!(!refused || described != TYPES[at] || TYPES[at] == 0, "refused: {}", play.transcript());
}
