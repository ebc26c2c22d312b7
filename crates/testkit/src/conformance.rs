//! Promises that every protocol makes, tried on its own conversations.

use model::Side;

use crate::conversation::{Cuts, Notation, Play};
use crate::stage::Scene;

/// A script and what must be true of it.
pub struct Seed {
    /// Its name, for failures.
    pub name: &'static str,
    /// The script; see [`crate::conversation`]. It logs in with a line `login`.
    pub script: &'static str,
    /// What must be true.
    pub kind: Kind,
}

/// What must be true of a script.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// After the log-in every byte passes, both ways (P9).
    Passes,
    /// What the client sends after the log-in is refused: nothing of it is sent upstream (P1), and
    /// what [`Subject::harmless`] says passes afterwards.
    Refused,
    /// None of these values reaches the client (P3).
    Hides(&'static [&'static str]),
    /// It carries no operation.
    Control,
    /// It only has to hold what every script holds.
    Plain,
}

/// A protocol as it is tried.
pub struct Subject<N> {
    /// What connections are made with.
    pub scene: fn() -> Scene,
    /// How messages are written.
    pub notation: fn() -> N,
    /// Lines that pass in any session without a transaction.
    pub harmless: &'static str,
}

/// Runs every check on every script.
///
/// # Panics
/// A promise is broken; the message names the script and the promise.
pub fn run<N: Notation>(subject: &Subject<N>, seeds: &[Seed]) {
    for seed in seeds {
        equal_inputs_give_equal_outputs(subject, seed);
        cutting_input_changes_nothing(subject, seed);
        a_prefix_asks_for_more(subject, seed);
        either_side_may_close_anywhere(subject, seed);
        match seed.kind {
            Kind::Passes => p9_what_is_allowed_passes_unchanged(subject, seed),
            Kind::Refused => p1_what_is_refused_sends_nothing(subject, seed),
            Kind::Hides(values) => p3_masked_values_reach_nobody(subject, seed, values),
            Kind::Control => {
                let play = whole(subject, seed);
                assert_eq!(play.operations, 0, "{}: control is no operation", seed.name);
            }
            Kind::Plain => {}
        }
    }
}

fn play<N: Notation>(subject: &Subject<N>, seed: &Seed, cuts: Cuts) -> Play<N> {
    Play::of((subject.scene)(), (subject.notation)(), seed.script, cuts)
}

fn whole<N: Notation>(subject: &Subject<N>, seed: &Seed) -> Play<N> {
    play(subject, seed, Cuts::Whole)
}

fn equal_inputs_give_equal_outputs<N: Notation>(subject: &Subject<N>, seed: &Seed) {
    let (a, b) = (whole(subject, seed), whole(subject, seed));
    assert_eq!(a.transcript(), b.transcript(), "{}: equal inputs, equal outputs", seed.name);
}

fn cutting_input_changes_nothing<N: Notation>(subject: &Subject<N>, seed: &Seed) {
    let expected = whole(subject, seed);
    let longest = seed.script.lines().map(str::len).max().unwrap_or(0);
    let once = (1..longest.min(200)).map(Cuts::At);
    for cuts in [1, 2, 3, 7].map(Cuts::Every).into_iter().chain(once) {
        let cut = play(subject, seed, cuts);
        assert_eq!(
            String::from_utf8_lossy(&cut.to_server),
            String::from_utf8_lossy(&expected.to_server),
            "{}: {cuts:?} changes what the upstream is sent",
            seed.name
        );
        assert_eq!(
            String::from_utf8_lossy(&cut.to_client),
            String::from_utf8_lossy(&expected.to_client),
            "{}: {cuts:?} changes what the client is sent",
            seed.name
        );
    }
}

/// Plays a script up to every byte of every line of data, then does something else.
fn at_every_byte<N: Notation>(
    subject: &Subject<N>,
    seed: &Seed,
    mut then: impl FnMut(&mut Play<N>, &str, usize),
) {
    let lines: Vec<&str> = seed.script.lines().filter(|line| !line.is_empty()).collect();
    for (index, line) in lines.iter().enumerate() {
        let sides = [("client >> ", Side::Client), ("server >> ", Side::Upstream)];
        let said = sides.iter().find_map(|(who, side)| Some((line.strip_prefix(who)?, *side)));
        let Some((what, side)) = said else { continue };
        if what == "close" {
            continue;
        }
        let before = lines.get(..index).unwrap_or_default().join("\n");
        let start = || Play::of((subject.scene)(), (subject.notation)(), &before, Cuts::Whole);
        let bytes = match start().encode(side, what) {
            Ok(bytes) => bytes,
            Err(why) => panic!("{}: {line}: {why}", seed.name),
        };
        for end in 0..bytes.len() {
            let mut play = start();
            play.send(side, bytes.get(..end).unwrap_or_default());
            then(&mut play, line, end);
        }
    }
}

fn a_prefix_asks_for_more<N: Notation>(subject: &Subject<N>, seed: &Seed) {
    if whole(subject, seed).stage.connection.is_ended() {
        return;
    }
    at_every_byte(subject, seed, |play, line, end| {
        let ended = play.stage.connection.is_ended() || play.stage.closed;
        assert!(!ended, "{}: a prefix of {end} bytes of `{line}` ends the session", seed.name);
    });
}

fn either_side_may_close_anywhere<N: Notation>(subject: &Subject<N>, seed: &Seed) {
    at_every_byte(subject, seed, |play, line, end| {
        // Both, one after the other: the second must not surprise anybody either.
        let sides = if end.is_multiple_of(2) {
            [Side::Client, Side::Upstream]
        } else {
            [Side::Upstream, Side::Client]
        };
        for side in sides {
            play.close(side);
        }
        assert!(play.stage.closed, "{}: `{line}` cut at {end}: nothing closes", seed.name);
        let ends = play.transcript().matches("record session ended").count();
        let starts = play.transcript().matches("record session of").count();
        assert!(ends <= 1 && starts <= 1, "{}: `{line}` cut at {end}: ends twice", seed.name);
    });
}

fn p9_what_is_allowed_passes_unchanged<N: Notation>(subject: &Subject<N>, seed: &Seed) {
    let play = whole(subject, seed);
    passed(&play, seed, play.after_login);
}

/// From these positions on, what one side sent is what the other was sent.
fn passed<N: Notation>(play: &Play<N>, seed: &Seed, since: [usize; 4]) {
    let [to_client, to_server, from_client, from_server] = since;
    let since = |bytes: &[u8], at: usize| {
        String::from_utf8_lossy(bytes.get(at..).unwrap_or_default()).into_owned()
    };
    assert_eq!(
        since(&play.to_server, to_server),
        since(&play.from_client, from_client),
        "{}: the upstream gets what the client sent",
        seed.name
    );
    assert_eq!(
        since(&play.to_client, to_client),
        since(&play.from_server, from_server),
        "{}: the client gets what the upstream sent",
        seed.name
    );
}

fn p1_what_is_refused_sends_nothing<N: Notation>(subject: &Subject<N>, seed: &Seed) {
    let mut play = whole(subject, seed);
    let [_, sent, ..] = play.after_login;
    assert_eq!(play.to_server.len(), sent, "{}: something was sent upstream", seed.name);
    let lengths = [&play.to_client, &play.to_server, &play.from_client, &play.from_server];
    let since = lengths.map(Vec::len);
    for line in subject.harmless.lines().filter(|line| !line.is_empty()) {
        if let Err(why) = play.line(line) {
            panic!("{}: {line}: {why}", seed.name);
        }
    }
    passed(&play, seed, since);
}

fn p3_masked_values_reach_nobody<N: Notation>(subject: &Subject<N>, seed: &Seed, values: &[&str]) {
    for cuts in [Cuts::Whole, Cuts::Every(1), Cuts::Every(5), Cuts::Every(11)] {
        let play = play(subject, seed, cuts);
        let got = String::from_utf8_lossy(&play.to_client);
        let said = String::from_utf8_lossy(&play.from_server);
        for value in values {
            assert!(said.contains(value), "{}: the upstream never said {value}", seed.name);
            assert!(!got.contains(value), "{}: {cuts:?}: the client got {value}", seed.name);
        }
    }
}
