//! The whole engine with PostgreSQL's conversation and a server that a seed plays.
//!
//! `NARROWS_SEED=n` replays one seed and prints what happened; `NARROWS_SEEDS=n` plays so many.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that cannot go on fails"
)]
#![expect(clippy::disallowed_methods, reason = "the seed to replay comes from the environment")]

mod notation;

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};

use model::Side;
use notation::{Postgres, frame, scene, take_frame};
use testkit::conversation::Notation;
use testkit::random::Random;
use testkit::simulate::{Actors, run};
use testkit::words::messages;

/// Played while working; `./test` plays more.
const SEEDS: u64 = 3000;
/// Seeds that found something, played every time: a reply went on behind a part of it that the
/// journal had lost (the first three); a session whose abort could not be recorded had no answer.
const FOUND: [u64; 6] = [14484, 42899, 52621, 58439, 66980, 90273];
/// Rows past which a reply needs a yes.
const THRESHOLD: usize = 3;
const SECRET: &str = "123-45-6789";
const ABORT: &str = "narrows refused this statement";
const RULES: [&str; 4] = [
    "rule hide mask ssn",
    "rule big when `result.rows > 3` approve dba wait 30",
    "rule ask when `sql.verb == \"update\"` approve dba wait 30",
    "rule never when `sql.verb == \"delete\"` block \"no deletes\"",
];

/// Rows that the statement with this text returns, when it is one that returns rows. Each text holds
/// a number of its own, `id > N`, and N modulo 100 is how many.
fn rows_of(text: &str) -> Option<(usize, usize)> {
    let number = text.split("id > ").nth(1)?.split(' ').next()?.parse::<usize>().ok()?;
    Some((number, number % 100))
}

/// A request the client waits for: how many `ReadyForQuery` answer it is always one.
#[derive(Debug)]
struct Question {
    /// The number in its text.
    number: usize,
    rows_seen: usize,
}

#[derive(Default)]
struct Server {
    input: Vec<u8>,
    started: bool,
    status: u8,
    skipping: bool,
    statements: BTreeMap<Vec<u8>, String>,
    portals: BTreeMap<Vec<u8>, String>,
    /// Rows that are on their way: the number, how many, which is next, whether `Z` follows.
    running: Option<(usize, usize, usize, bool)>,
    cancelled: bool,
    /// Rows sent for each number, and whether that was all.
    sent: BTreeMap<usize, (usize, bool)>,
}

struct Players {
    words: Postgres,
    server: Server,
    numbers: usize,
    /// Bytes from the gateway that are no whole message yet.
    inbox: Vec<u8>,
    let_in: bool,
    questions: VecDeque<Question>,
    status: u8,
    watched: Vec<u8>,
    watched_statements: BTreeMap<Vec<u8>, String>,
    watch_started: bool,
}

impl Players {
    fn new() -> Self {
        Self {
            words: Postgres::default(),
            server: Server { status: b'I', ..Server::default() },
            numbers: 0,
            inbox: Vec::new(),
            let_in: false,
            questions: VecDeque::new(),
            status: b'I',
            watched: Vec::new(),
            watched_statements: BTreeMap::new(),
            watch_started: false,
        }
    }

    fn say(&mut self, from: Side, line: &str) -> Vec<u8> {
        let mut bytes = Vec::new();
        for words in messages(line).unwrap() {
            bytes.extend(self.words.encode(from, &words).unwrap());
        }
        bytes
    }
}

impl Actors for Players {
    fn login(&mut self) -> Vec<u8> {
        self.say(Side::Client, "start user=agent database=appdb ; p \"token\"")
    }

    fn ask(&mut self, random: &mut Random) -> Vec<u8> {
        self.numbers += 1;
        let count = random.below(2 * THRESHOLD + 1);
        let n = self.numbers * 100 + count;
        let text = match random.below(10) {
            0 => "begin".to_owned(),
            1 => "commit".to_owned(),
            2 => "rollback".to_owned(),
            3 => format!("update notes set body = 'x' where id = {n}"),
            4 => format!("delete from notes where id = {n}"),
            5 => format!("select name, ssn from customers where id > {n} and 1/0 = 1"),
            _ => format!("select name, ssn from customers where id > {n} "),
        };
        let line = match random.below(4) {
            0 => format!("P \"\" \"{text}\" ; B \"\" \"\" ; D P \"\" ; E \"\" ; S"),
            1 => format!(
                "P \"s{n}\" \"{text}\" ; B \"p{n}\" \"s{n}\" ; E \"p{n}\" ; C P \"p{n}\" ; \
                 C S \"s{n}\" ; S"
            ),
            _ => format!("Q \"{text}\""),
        };
        self.questions.push_back(Question { number: n, rows_seen: 0 });
        self.say(Side::Client, &line)
    }

    fn hear(&mut self, bytes: &[u8]) -> Result<(), String> {
        self.inbox.extend_from_slice(bytes);
        while let Some((tag, body)) = take_frame(&mut self.inbox) {
            let text = String::from_utf8_lossy(&body).into_owned();
            match tag {
                b'Z' if !self.let_in => self.let_in = true,
                b'Z' => {
                    self.status = body[0];
                    self.questions.pop_front().ok_or("ready, but nothing was asked")?;
                }
                b'D' | b'C' | b'E' | b'1' | b'2' | b'3' | b'T' | b't' | b'n'
                    if self.let_in && !text.contains("FATAL") =>
                {
                    let question = self.questions.front_mut();
                    let question = question.ok_or_else(|| format!("{tag} to nothing asked"))?;
                    if tag == b'D' {
                        let mark = format!("row-{}-", question.number);
                        if !text.contains(&mark) {
                            return Err(format!("{text:?} is no row of {}", question.number));
                        }
                        question.rows_seen += 1;
                    }
                    let count = text.strip_prefix("SELECT ").map(|n| n.trim_end_matches('\0'));
                    if tag == b'C' && count.is_some_and(|n| n != question.rows_seen.to_string()) {
                        return Err(format!("{text:?} after {} rows", question.rows_seen));
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn stoppable(&self, bytes: &[u8]) -> Vec<String> {
        let text = String::from_utf8_lossy(bytes);
        let marks = text.split("row-").skip(1).filter_map(|rest| rest.split('-').next());
        let numbers = marks.filter_map(|number| number.parse::<usize>().ok());
        // A reply that ended under the threshold may pass, and only after its end.
        let passes = |number: &usize| {
            self.server.sent.get(number).is_some_and(|(rows, over)| *over && *rows <= THRESHOLD)
        };
        let mut texts: Vec<String> = numbers
            .filter(|number| !passes(number))
            .map(|number| format!("select name, ssn from customers where id > {number} "))
            .collect();
        texts.dedup();
        texts
    }

    fn content(&self) -> Result<(), String> {
        if !self.let_in {
            return Err("the client was never let in".to_owned());
        }
        if let Some(question) = self.questions.front() {
            return Err(format!("no answer to {question:?}"));
        }
        if self.status != self.server.status {
            let (client, server) = (char::from(self.status), char::from(self.server.status));
            return Err(format!("R2: the client believes {client}, the server is in {server}"));
        }
        Ok(())
    }

    fn receive(&mut self, bytes: &[u8]) {
        self.server.input.extend_from_slice(bytes);
    }

    fn work(&mut self) -> Vec<u8> {
        let mut server = std::mem::take(&mut self.server);
        let bytes = server.work(self);
        self.server = server;
        bytes
    }

    fn idle(&self) -> bool {
        self.server.running.is_none() && self.server.input.is_empty()
    }

    fn cancel(&mut self) {
        self.server.cancelled = self.server.running.is_some();
    }

    fn operations(&mut self, bytes: &[u8]) -> Vec<String> {
        self.watched.extend_from_slice(bytes);
        let mut found = Vec::new();
        if !self.watch_started {
            let Some(head) = self.watched.first_chunk::<4>() else { return found };
            let length = u32::from_be_bytes(*head) as usize;
            self.watched.drain(..length);
            self.watch_started = true;
        }
        while let Some((tag, body)) = take_frame(&mut self.watched) {
            let mut parts = body.split(|byte| *byte == 0);
            let first = parts.next().unwrap().to_vec();
            let second = parts.next().unwrap_or_default().to_vec();
            match tag {
                b'Q' => found.push(String::from_utf8(first).unwrap()),
                b'P' => {
                    let text = String::from_utf8(second).unwrap();
                    self.watched_statements.insert(first, text.clone());
                    found.push(text);
                }
                b'B' => found.push(self.watched_statements[&second].clone()),
                _ => {}
            }
        }
        found
    }

    fn allowed_by(&self, step: &str) -> usize {
        // A record of an Execute stands for the Bind before it, and for the Parse when they came
        // together.
        if matches!(step, "bind" | "execute") { 2 } else { 1 }
    }

    fn abort_text(&self) -> &'static str {
        ABORT
    }

    fn secrets(&self) -> &'static [&'static str] {
        &[SECRET]
    }
}

impl Server {
    fn work(&mut self, players: &mut Players) -> Vec<u8> {
        if self.running.is_some() {
            return self.row(players);
        }
        if !self.started {
            if self.input.is_empty() {
                return Vec::new();
            }
            let head = self.input.first_chunk::<4>().unwrap();
            let length = u32::from_be_bytes(*head) as usize;
            self.input.drain(..length);
            self.started = true;
            let line = "R ok ; S client_encoding UTF8 ; S standard_conforming_strings on ; \
                        K 7 \"4444\" ; Z I";
            return players.say(Side::Upstream, line);
        }
        let Some((tag, body)) = take_frame(&mut self.input) else { return Vec::new() };
        if self.skipping && tag != b'S' {
            return Vec::new();
        }
        let mut parts = body.split(|byte| *byte == 0);
        let first = parts.next().unwrap_or_default().to_vec();
        let second = parts.next().unwrap_or_default().to_vec();
        match tag {
            b'Q' => self.execute(&String::from_utf8(first).unwrap(), true, players),
            b'P' => {
                let text = String::from_utf8(second).unwrap();
                if text == ABORT || self.refuses(&text) {
                    return self.fails("42601", false, players);
                }
                self.statements.insert(first, text);
                frame(b'1', b"")
            }
            b'B' => {
                let text = self.statements[&second].clone();
                if self.refuses(&text) {
                    return self.fails("25P02", false, players);
                }
                self.portals.insert(first, text);
                frame(b'2', b"")
            }
            b'D' => self.describe(&first, players),
            b'E' => {
                let text = self.portals[&first].clone();
                self.execute(&text, false, players)
            }
            b'C' => {
                let (kind, name) = first.split_first().unwrap();
                if *kind == b'S' {
                    self.statements.remove(name);
                } else {
                    self.portals.remove(name);
                }
                frame(b'3', b"")
            }
            b'S' => {
                self.skipping = false;
                frame(b'Z', &[self.status])
            }
            b'H' => Vec::new(),
            b'X' => Vec::new(),
            _ => panic!("the server cannot read {tag}"),
        }
    }

    /// In a failed transaction only its end is heard.
    fn refuses(&self, text: &str) -> bool {
        self.status == b'E' && !matches!(text, "commit" | "rollback")
    }

    fn describe(&mut self, named: &[u8], players: &mut Players) -> Vec<u8> {
        let (kind, name) = named.split_first().unwrap();
        let of_statement = *kind == b'S';
        let names = if of_statement { &self.statements } else { &self.portals };
        let shape = if names[name].contains("select") {
            "T name:customers.name ssn:customers.ssn"
        } else {
            "n"
        };
        players.say(Side::Upstream, &format!("{}{shape}", if of_statement { "t ; " } else { "" }))
    }

    fn execute(&mut self, text: &str, simple: bool, players: &mut Players) -> Vec<u8> {
        if text == ABORT || self.refuses(text) {
            return self.fails("42601", simple, players);
        }
        let shape =
            if simple { "T name:customers.name ssn:customers.ssn ; " } else { "" }.to_owned();
        let tag = match text {
            "begin" => {
                self.status = b'T';
                "BEGIN"
            }
            "commit" | "rollback" => {
                let failed = std::mem::replace(&mut self.status, b'I') == b'E';
                if text == "commit" && !failed { "COMMIT" } else { "ROLLBACK" }
            }
            _ if text.contains("1/0") => {
                let mut bytes = players.say(Side::Upstream, shape.trim_end_matches(" ; "));
                bytes.extend(self.fails("22012", simple, players));
                return bytes;
            }
            _ => match rows_of(text) {
                Some((number, count)) => {
                    self.running = Some((number, count, 0, simple));
                    return players.say(Side::Upstream, shape.trim_end_matches(" ; "));
                }
                None => "UPDATE 1",
            },
        };
        let mut bytes = players.say(Side::Upstream, &format!("C \"{tag}\""));
        if simple {
            bytes.extend(frame(b'Z', &[self.status]));
        }
        bytes
    }

    /// One row of what runs, or its end.
    fn row(&mut self, players: &mut Players) -> Vec<u8> {
        let Some((number, count, next, simple)) = self.running.take() else { return Vec::new() };
        let sent = self.sent.entry(number).or_default();
        if std::mem::take(&mut self.cancelled) {
            sent.1 = true;
            return self.fails("57014", simple, players);
        }
        if next < count {
            self.running = Some((number, count, next + 1, simple));
            sent.0 += 1;
            return players.say(Side::Upstream, &format!("D \"row-{number}-{next}\" \"{SECRET}\""));
        }
        sent.1 = true;
        let mut bytes = players.say(Side::Upstream, &format!("C \"SELECT {count}\""));
        if simple {
            bytes.extend(frame(b'Z', &[self.status]));
        }
        bytes
    }

    fn fails(&mut self, code: &str, simple: bool, players: &mut Players) -> Vec<u8> {
        if self.status == b'T' {
            self.status = b'E';
        }
        let words = match code {
            "57014" => "canceling statement due to user request".to_owned(),
            _ => format!("failed near {SECRET}"),
        };
        let line = format!("E {code} \"{words}\"");
        let mut bytes = players.say(Side::Upstream, &line);
        if simple {
            bytes.extend(frame(b'Z', &[self.status]));
        } else {
            self.skipping = true;
        }
        bytes
    }
}

#[test]
fn p1_p2_p3_r2_r3_simulation_of_many_seeds() {
    assert_eq!(notation::name(), "postgres");
    let rules = |extra: &[&str]| -> Vec<String> {
        RULES.iter().chain(extra).map(|rule| (*rule).to_owned()).collect()
    };
    let mut scene = scene();
    scene.rules = rules(&[]);
    let reloads = vec![
        rules(&[]),
        rules(&["rule bodies mask body"]),
        rules(&["rule quiet when `sql.verb == \"update\"` block \"not now\""]),
    ];
    let number = |name| std::env::var(name).ok().and_then(|number| number.parse::<u64>().ok());
    let (one, count) = (number("NARROWS_SEED"), number("NARROWS_SEEDS").unwrap_or(SEEDS));
    let seeds: Vec<u64> =
        one.map_or_else(|| FOUND.into_iter().chain(0..count).collect(), |seed| vec![seed]);
    let next = AtomicUsize::new(0);
    let play = || {
        let (mut operations, mut ended, mut broken) = (0_u64, 0_u64, Vec::new());
        loop {
            let Some(seed) = seeds.get(next.fetch_add(1, Ordering::Relaxed)).copied() else {
                return (operations, ended, broken);
            };
            let outcome = run(scene.clone(), Players::new(), reloads.clone(), seed);
            if one.is_some() {
                println!("{}", outcome.transcript);
            }
            if let Some(why) = outcome.broken {
                broken.push(format!("NARROWS_SEED={seed}: {why}"));
            }
            operations += outcome.operations as u64;
            ended += u64::from(outcome.ended);
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let (mut operations, mut ended, mut broken) = (0_u64, 0_u64, Vec::new());
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(play)).collect();
        for thread in threads {
            let played = thread.join().unwrap();
            operations += played.0;
            ended += played.1;
            broken.extend(played.2);
        }
    });
    if !broken.is_empty() {
        panic!(
            "{} seeds break a promise:\n{}",
            broken.len(),
            broken[..broken.len().min(20)].join("\n")
        );
    }
    if one.is_none() {
        // A simulation in which nothing happens finds nothing.
        assert!(operations > count * 5 / 3, "only {operations} operations");
        assert!((count / 300..count / 2).contains(&ended), "{ended} sessions ended early");
    }
}
