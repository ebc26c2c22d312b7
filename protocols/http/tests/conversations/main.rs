//! Who said what, in order: the transcripts are in `testdata/` and are read in review.
//!
//! A test drives the real engine, with a policy compiled from the rules of its script, by the lines
//! below; `testdata/<name>.snap` holds those lines and what followed each. Every script is played
//! again with bodies in pieces, with a journal that is slow, and with a side that leaves after each
//! line, and [`notation::Watch`] looks on.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that cannot go on fails")]

#[path = "../notation/mod.rs"]
mod notation;

use model::Side;
use model::exchange::Part;
use notation::{Watch, Web, scene};
use testkit::conversation::{Cuts, Play};

fn play(script: &str, cuts: Cuts) -> Play<Web, Part> {
    let hides = script.lines().any(|line| line.starts_with("rule ") && line.contains(" mask "));
    let watch = Watch::new(hides);
    Play::of(scene(), Web { watch }, script, cuts)
}

/// Nothing that the watch looks for happened.
fn kept(what: &str, play: &mut Play<Web, Part>) {
    let ended = play.stage.connection.is_ended();
    play.notation.watch.judge(ended);
    let broken = &play.notation.watch.broken;
    assert!(broken.is_empty(), "{what}: {broken:#?}\n{}", play.transcript());
}

fn check(name: &str, script: &str) {
    let mut whole = play(script, Cuts::Whole);
    kept("as written", &mut whole);
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("../../testdata");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!(name, whole.transcript()));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let same = |what: &str, other: &mut Play<Web, Part>| {
        kept(what, other);
        // A reply that is cut has as much as had passed by then.
        if !whole.notation.watch.is_answered() || !other.notation.watch.is_answered() {
            return;
        }
        let mine = (text(&whole.to_client), text(&whole.to_server));
        assert_eq!(mine, (text(&other.to_client), text(&other.to_server)), "{what}");
    };
    for cuts in [1, 3, 7].map(Cuts::Every) {
        same(&format!("{cuts:?}"), &mut play(script, cuts));
    }
    if !script.contains("journal >>") {
        // Parts of a body follow each other, each when the one before it is recorded.
        let slow = script.replace('\n', &format!("\n{}", "journal >> catches up\n".repeat(4)));
        let (rules, lines) = parts(&slow);
        let slow = format!("{rules}\njournal >> waits\n{lines}");
        same("a slow journal", &mut play(&slow, Cuts::Whole));
    }
    leaving(script);
}

/// Rules and settings of a script, and what is said in it.
fn parts(script: &str) -> (String, String) {
    let is_rule = |line: &&str| line.starts_with("rule ") || line.starts_with("set ");
    let (rules, lines): (Vec<&str>, Vec<&str>) = script.lines().partition(is_rule);
    (rules.join("\n"), lines.join("\n"))
}

/// Either side leaves after every line.
fn leaving(script: &str) {
    let (rules, lines) = parts(script);
    let lines: Vec<&str> = lines.lines().filter(|line| !line.is_empty()).collect();
    for end in 1..=lines.len() {
        for side in [Side::Client, Side::Upstream] {
            let so_far = format!("{rules}\n{}", lines[..end].join("\n"));
            let mut play = play(&so_far, Cuts::Whole);
            play.close(side);
            play.line("journal >> catches up").unwrap();
            assert!(play.stage.closed, "{side:?} leaves after line {end}: nothing closes");
            kept(&format!("{side:?} leaves after line {end}"), &mut play);
        }
    }
}

macro_rules! conversations {
    ($($name:ident: $script:expr;)+) => {
        $(#[test]
        fn $name() {
            check(stringify!($name), $script);
        })+
    };
}

// The macro comes first.
mod bodies;
mod delegation;
mod egress;
mod endings;
mod following;
mod forms;
mod grpc;
mod kept;
mod masks;
mod model_endpoints;
mod passthrough;
mod reverse;
mod sockets;
mod withheld;

#[test]
fn the_notation_is_of_this_protocol() {
    assert_eq!(notation::name(), "http");
}
