//! One PostgreSQL connection under arbitrary bytes, through the real engine.

#[path = "../../protocols/postgres/tests/notation/mod.rs"]
#[expect(dead_code, reason = "only the log-in is wanted here")]
mod notation;

use model::Side;
use notation::{Postgres, frame, scene};
use testkit::conversation::{Cuts, Play};

const RULES: [&str; 3] = [
    "rule hide mask ssn,name",
    "rule big when `result.rows > 1` approve dba",
    "rule never when `sql.verb == \"drop\"` block \"no\"",
];
/// Never leaves for the client in these plays.
const SECRET: &[u8] = b"123-45-6789";

fn session(script: &str) -> Play<Postgres> {
    let mut scene = scene();
    scene.rules = RULES.iter().map(|rule| (*rule).to_owned()).collect();
    scene.statement_bytes_max = 4096;
    Play::of(scene, Postgres::default(), script, Cuts::Whole)
}

/// Hands the rest of `data` over in pieces whose length is its first byte.
fn pieces(data: &[u8]) -> impl Iterator<Item = &[u8]> {
    let (length, rest) = data.split_first().map_or((1, data), |(n, rest)| (*n, rest));
    rest.chunks(usize::from(length).max(1))
}

/// A client that sends anything, before or after its log-in.
pub fn postgres_client(data: &[u8]) {
    let Some((kind, data)) = data.split_first() else { return };
    let mut play = session(if kind & 1 == 0 { "login" } else { "" });
    for piece in pieces(data) {
        play.send(Side::Client, piece);
    }
    play.close(Side::Client);
    assert!(play.stage.closed, "a session outlives its client");
}

/// A server that sends anything, while it should answer one thing or another.
pub fn postgres_upstream(data: &[u8]) {
    const ASKED: [&str; 5] = [
        "",
        "client >> Q \"select id, ssn from customers\"",
        "client >> P \"\" \"select ssn from customers\" ; B \"\" \"\" ; E \"\" ; S",
        "client >> Q \"begin; select id from orders; commit\"",
        "client >> Q \"copy notes from stdin\"",
    ];
    let Some((kind, data)) = data.split_first() else { return };
    let asked = ASKED[usize::from(*kind) % ASKED.len()];
    let mut play = session(&format!("login\n{asked}"));
    for piece in pieces(data) {
        play.send(Side::Upstream, piece);
    }
    play.close(Side::Upstream);
    assert!(play.stage.closed, "a session outlives its server");
}

/// COPY data of any form, in every format: a masked column's value never gets through whole.
pub fn postgres_copy(data: &[u8]) {
    const OPTIONS: [&str; 4] =
        ["", "with (format csv, header)", "with (format binary)", "with (delimiter '|', null 'x')"];
    let Some((kind, data)) = data.split_first() else { return };
    let options = OPTIONS[usize::from(*kind) % OPTIONS.len()];
    let query = format!("copy (select ssn from customers) to stdout {options}");
    let mut play = session(&format!("login\nclient >> Q \"{query}\"\nserver >> H 1"));
    for piece in pieces(data) {
        play.send(Side::Upstream, &frame(b'd', piece));
    }
    play.send(Side::Upstream, &frame(b'c', b""));
    play.send(Side::Upstream, &[frame(b'C', b"COPY 1\0"), frame(b'Z', b"I")].concat());
    let leaked = play.to_client.windows(SECRET.len()).any(|part| part == SECRET);
    assert!(!leaked, "the value of a masked column reached the client");
}
