//! A client that sends anything, and a server that sends anything.

use model::Side;
use testkit::conversation::{Cuts, Play};
use testkit::stage::JournalMode;

use super::frames;
use super::notation::{Postgres, scene};
use crate::bytes_of::{BytesOf, contains};

const RULES: [&str; 3] = [
    "rule hide mask ssn,name",
    "rule big when `result.rows > 1` approve dba",
    "rule never when `sql.verb == \"drop\"` block \"no\"",
];
/// The value of a masked column, as far as these plays are concerned.
pub const SECRET: &[u8] = b"123-45-6789";

/// A play under these rules, as far as its script goes.
pub fn play(rules: &[&str], script: &str, cuts: Cuts) -> Play<Postgres> {
    let mut scene = scene();
    scene.rules = rules.iter().map(|rule| (*rule).to_owned()).collect();
    scene.statement_bytes_max = 4096;
    Play::of(scene, Postgres::default(), script, cuts)
}

fn session(script: &str) -> Play<Postgres> {
    play(&RULES, script, Cuts::Whole)
}

/// A client that sends anything, before or after its log-in. The session ends with it; nothing it
/// says is sent on unless the journal has it (P1).
pub fn client(data: &[u8]) {
    let mut input = BytesOf(data);
    let kind = input.byte();
    let mut play = session(if kind & 1 == 0 { "login" } else { "" });
    let records = kind & 2 == 0;
    if !records {
        play.stage.journal = JournalMode::Fails;
    }
    let before = play.to_server.len();
    for piece in input.pieces() {
        play.send(Side::Client, piece);
    }
    if kind & 1 == 0 {
        let asked = frames(&play.to_server[before..]).filter(|(tag, _)| b"QPBE".contains(tag));
        let asked = asked.count();
        assert!(records || asked == 0, "{asked} requests were sent and not recorded");
        assert!(asked == 0 || play.operations > 0, "{asked} requests of no operation");
    }
    play.close(Side::Client);
    assert!(play.stage.closed, "a session outlives its client");
}

/// What a client asked, and whether all it asked for is masked.
const ASKED: [(&str, bool); 9] = [
    ("", true),
    ("client >> Q \"select ssn from customers\"", true),
    ("client >> P \"\" \"select ssn from customers\" ; B \"\" \"\" ; E \"\" ; S", true),
    ("client >> P \"s\" \"select ssn from customers\" ; D S \"s\" ; S", true),
    (
        "client >> P \"s\" \"select ssn, name from customers where id = $1\" ; S\n\
         server >> 1 ; Z I\n\
         client >> B \"\" \"s\" \"5\" -> 1 ; D P \"\" ; E \"\" 1 ; S",
        true,
    ),
    ("client >> Q \"begin; select id from orders; commit\"", false),
    ("client >> Q \"copy notes from stdin\"", false),
    (
        "client >> Q \"declare c cursor for select ssn from customers\"\n\
         server >> C \"DECLARE CURSOR\" ; Z T\n\
         client >> Q \"fetch 5 from c\"",
        true,
    ),
    ("client >> Q \"select id, ssn from customers\" ; Q \"select 1\"", false),
];

/// A server that sends anything, while it should answer one thing or another. The session ends with
/// it; what it says of a masked column does not reach the client whole (P3).
pub fn upstream(data: &[u8]) {
    let mut input = BytesOf(data);
    let (asked, hides) = ASKED[input.choice(ASKED.len())];
    let mut play = session(&format!("login\n{asked}"));
    let before = play.to_client.len();
    for piece in input.pieces() {
        play.send(Side::Upstream, piece);
    }
    if hides {
        for (tag, body) in frames(&play.to_client[before..]) {
            assert!(!quotes(tag, &body), "{} tells the secret", char::from(tag));
        }
    }
    play.close(Side::Upstream);
    assert!(play.stage.closed, "a session outlives its server");
}

/// Whether a message tells the secret in a place that can hold values.
fn quotes(tag: u8, body: &[u8]) -> bool {
    match tag {
        b'D' | b'd' => contains(body, SECRET),
        // A process and a channel, which the client listens on by its name; then the words.
        b'A' => contains(
            body.get(4..)
                .unwrap_or_default()
                .splitn(2, |byte| *byte == 0)
                .nth(1)
                .unwrap_or_default(),
            SECRET,
        ),
        b'E' | b'N' => {
            let mut fields: Vec<(u8, &[u8])> = Vec::new();
            let mut rest = body;
            while let Some((kind, after)) = rest.split_first().filter(|(kind, _)| **kind != 0) {
                let end = after.iter().position(|byte| *byte == 0).unwrap_or(after.len());
                fields.push((*kind, &after[..end]));
                rest = after.get(end + 1..).unwrap_or_default();
            }
            let code = fields.iter().find(|(kind, _)| *kind == b'C').map(|(_, code)| *code);
            // Errors about data and constraints, and those that a function raises.
            let about_values = code.is_none_or(|code| {
                [&b"22"[..], b"23", b"P0", b"00", b"XX"].iter().any(|class| code.starts_with(class))
            });
            fields.iter().any(|(kind, text)| match kind {
                b'M' => about_values && contains(text, SECRET),
                b'D' | b'H' | b'W' | b'q' => contains(text, SECRET),
                _ => false,
            })
        }
        _ => false,
    }
}
