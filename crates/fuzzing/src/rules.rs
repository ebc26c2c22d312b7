//! Any text as the condition of a rule, or as the words of one.

use model::Resource;
use testkit::conversation::Cuts;
use testkit::rules::compile;

use crate::bytes_of::{BytesOf, contains};
use crate::postgres::session::play;

/// A statement with its reply, and what of the reply only arrives when nothing was blocked.
const STATEMENTS: [(&str, &[u8]); 3] = [
    (
        "client >> Q \"select id, body from notes where id = 7\"\n\
         server >> T id:notes.id body:notes.body ; D \"7\" \"words\" ; C \"SELECT 1\" ; Z I",
        b"SELECT 1\0",
    ),
    ("client >> Q \"delete from notes\"\nserver >> C \"DELETE 3\" ; Z I", b"DELETE 3\0"),
    (
        "client >> P \"\" \"select total from orders where id = $1\" 23 ; B \"\" \"\" \"5\" ; \
         D P \"\" ; E \"\" ; S\n\
         server >> 1 ; 2 ; T total:orders.total ; D \"1.5\" ; C \"SELECT 1\" ; Z I",
        b"SELECT 1\0",
    ),
];

fn compiles(rule: &str) -> bool {
    let resource = Resource { name: "appdb".into(), kind: "postgres".into() };
    compile(&postgres::POSTGRES, &[resource], true, &[rule.to_owned()], 1).is_ok()
}

/// Whether the statement's reply arrives under this rule.
fn passes(rule: &str, (script, token): (&str, &[u8])) -> bool {
    let play = play(&[rule], &format!("login\n{script}"), Cuts::Whole);
    contains(&play.to_client[play.after_login[0]..], token)
}

/// A condition that cannot be judged refuses (P2), so a condition and its contrary never both let a
/// statement pass. And no words, in a condition or in a message, break the gateway.
pub fn rules(data: &[u8]) {
    let mut input = BytesOf(data);
    let statement = STATEMENTS[input.choice(STATEMENTS.len())];
    let text = String::from_utf8_lossy(input.0).replace(['`', '\n', '\r'], " ");
    let words = text.replace(['"', '\\'], " ");
    let message = format!("r block \"{words}\"");
    if compiles(&message) {
        assert!(!passes(&message, statement), "a rule without a condition blocks nothing");
    }
    let (rule, contrary) =
        (format!("r when `{text}` block \"no\""), format!("r when `!({text})` block \"no\""));
    if compiles(&rule) && compiles(&contrary) {
        let both = passes(&rule, statement) && passes(&contrary, statement);
        assert!(!both, "neither {text:?} nor its contrary blocks");
    }
}
