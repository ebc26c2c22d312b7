//! Exchanges of one session, with a client, a host, a journal and people that a seed plays: bodies
//! in pieces, late answers, records that are lost, sides that leave, sudden ends, new rules.
//!
//! Whatever the seed, [`notation::Watch`] finds no promise broken, nobody waits for ever, and a
//! client that nothing happened to has a whole answer: the host's, masked, or the gateway's.
//!
//! `NARROWS_SEED=n` replays one seed and prints what happened; `NARROWS_SEEDS=n` plays so many. The
//! simulation was seen to fail with an engine that does not wait for the journal (P1), with one that lets withheld replies go, and
//! with a conversation that does not resume its client.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that cannot go on fails")]
#![expect(clippy::disallowed_methods, reason = "the seed to replay comes from the environment")]

mod notation;

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use engine::{Answer, Happening, Refusal};
use model::exchange::Part;
use model::{ClientText, OperationId, Side};
use notation::{SECRET, Watch, Web, scene};
use testkit::conversation::{Cuts, Script};
use testkit::random::Random;
use testkit::stage::{JournalMode, Said, Stage};
use testkit::story;

/// Played while working; `./test` plays more.
const SEEDS: u64 = 600;
/// Stops a reply, where a rule says so.
const CARD: &str = "4111111111111111";
const RULES: [&str; 4] = [
    "rule hide mask ssn",
    "rule ask when `http.method == \"DELETE\"` approve ops wait 20",
    "rule never when `http.path == \"/never\"` block \"never\"",
    "rule out when `\"CREDIT_CARD\" in http.detections` block \"cards stay here\"",
];
/// With it, replies wait for their end.
const WITHHOLDS: &str = "rule cards when `\"CREDIT_CARD\" in result.detections` block \"a card\"";

struct Run {
    stage: Stage<Part>,
    web: Web,
    random: Random,
    client: VecDeque<Part>,
    host: VecDeque<Part>,
    client_paused: bool,
    host_paused: bool,
    /// The host was asked.
    asked_host: bool,
    /// It has begun to answer.
    answers: bool,
    asked: Vec<OperationId>,
    withholds: bool,
    faulty: bool,
    /// Something happened to this exchange that its client may notice.
    hurt: bool,
    /// What the host says, as the client should get it.
    expected: Vec<u8>,
    status: u16,
    got: Vec<u8>,
    exchanges: usize,
    answered: usize,
    transcript: String,
    broken: Vec<String>,
}

impl Run {
    fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let (withholds, faulty) = (random.percent(40), random.percent(40));
        let mut scene = scene();
        scene.rules = rules(withholds, &[]);
        let web = Web { watch: Watch::new(true) };
        Self {
            stage: Stage::new(scene),
            web,
            random,
            client: VecDeque::new(),
            host: VecDeque::new(),
            client_paused: false,
            host_paused: false,
            asked_host: false,
            answers: false,
            asked: Vec::new(),
            withholds,
            faulty,
            hurt: false,
            expected: Vec::new(),
            status: 0,
            got: Vec::new(),
            exchanges: 0,
            answered: 0,
            transcript: String::new(),
            broken: Vec::new(),
        }
    }

    fn run(&mut self) {
        for _ in 0..self.random.below(4) + 1 {
            self.begin();
            for _ in 0..self.random.below(120) + 5 {
                self.step();
            }
            self.calm_down();
            self.judge();
            self.stage.again();
            self.listen();
        }
    }

    /// The next exchange.
    fn begin(&mut self) {
        self.exchanges += 1;
        self.client_paused = false;
        self.host_paused = false;
        self.asked_host = false;
        self.answers = false;
        self.hurt = false;
        self.asked.clear();
        self.host.clear();
        self.status = 0;
        self.got.clear();
        let n = self.exchanges;
        let text = match self.random.below(8) {
            0 => format!("DELETE /r/api/items/{n} ; token"),
            1 => "GET /r/api/never ; token".to_owned(),
            2 => format!("POST /r/api/notes/{n} ; token ; chunked ; data \"card {CARD}\" ; end"),
            3 => format!("POST /r/api/notes/{n} ; token ; body \"{}\"", "no card ".repeat(n * 9)),
            4 => format!("GET http://example.test/{n} ; token"),
            5 => "GET /r/api/a%2fb ; token".to_owned(),
            _ => format!("GET /r/api/people/{n} ; token"),
        };
        self.note(&format!("client: {text}"));
        let cuts = Cuts::Every(self.random.below(20) + 1);
        self.client = self.web.units(Side::Client, &text, cuts).unwrap().into();
        // The head, and the end of a body that is not there, come whatever the gateway wants.
        let head = self.client.pop_front().unwrap();
        self.tell(Happening::Data(Side::Client, head));
        if matches!(self.client.front(), Some(Part::End)) {
            self.client.clear();
            self.tell(Happening::Data(Side::Client, Part::End));
        }
    }

    /// What the host answers.
    fn answer(&mut self) {
        self.asked_host = true;
        let people = self.random.below(6);
        let card = self.random.percent(25);
        let mut body = "[".to_owned();
        for number in 0..people {
            let comma = if number > 0 { "," } else { "" };
            let note = if card && number == 2 { CARD } else { "none" };
            body += &format!(
                "{comma}{{\"name\":\"Ann {number}\",\"ssn\":\"{SECRET}\",\"note\":\"{note}\"}}"
            );
        }
        body += "]";
        self.expected = body.replace(SECRET, "[REDACTED]").into_bytes();
        let text = "200 ; field content-type \"application/json\" ; chunked".to_owned();
        let mut parts = self.web.units(Side::Upstream, &text, Cuts::Whole).unwrap();
        let mut rest = body.as_bytes();
        while !rest.is_empty() {
            let (piece, after) = rest.split_at((self.random.below(40) + 1).min(rest.len()));
            parts.push(Part::Data(Bytes::copy_from_slice(piece)));
            rest = after;
        }
        parts.push(Part::End);
        self.host = parts.into();
    }

    fn step(&mut self) {
        match self.random.below(100) {
            0..25 => self.deliver_client(),
            25..50 => self.deliver_host(),
            50..70 => self.react(),
            70..82 => self.keep(false),
            82..88 => self.person(),
            88..91 => {
                let modes = [JournalMode::Keeps, JournalMode::Waits];
                self.stage.journal = *self.random.pick(&modes);
            }
            91..93 => self.clock(),
            93..95 if self.faulty => self.fault(),
            _ => {}
        }
    }

    fn deliver_client(&mut self) {
        if self.client_paused || self.stage.closed {
            return;
        }
        if let Some(part) = self.client.pop_front() {
            self.tell(Happening::Data(Side::Client, part));
        }
    }

    fn deliver_host(&mut self) {
        if self.host_paused || self.stage.closed {
            return;
        }
        if let Some(part) = self.host.pop_front() {
            self.answers = true;
            self.tell(Happening::Data(Side::Upstream, part));
        }
    }

    fn react(&mut self) {
        if let Some(reaction) = self.stage.reactions.pop_front() {
            self.tell(reaction);
        }
    }

    fn keep(&mut self, surely: bool) {
        let Some(ticket) = self.stage.unrecorded.pop_front() else { return };
        let fails = !surely && self.faulty && self.random.percent(5);
        self.hurt |= fails;
        self.note(&format!("journal: {} {}", if fails { "loses" } else { "has" }, ticket.0));
        self.stage.reactions.push_back(if fails {
            Happening::RecordFailed(ticket)
        } else {
            Happening::Recorded(ticket)
        });
    }

    fn person(&mut self) {
        if self.asked.is_empty() {
            return;
        }
        let id = *self.random.pick(&self.asked);
        let (approval, approver) = ("a1".into(), "dana".into());
        let yes = self.random.percent(60);
        self.note(&format!("person: {yes} to #{}", id.0));
        let answer = if yes {
            Answer::Approved { approval, approver, rows_max: None, reason: None }
        } else {
            Answer::Denied { approval, approver, reason: None }
        };
        self.stage.answer(id, answer);
        self.listen();
    }

    fn clock(&mut self) {
        let seconds = u64::try_from(self.random.below(25)).unwrap();
        self.note(&format!("clock: {seconds} s"));
        self.stage.now = self.stage.now.plus(Duration::from_secs(seconds));
        let now = self.stage.now;
        if self.stage.alarms.iter().any(|at| *at <= now) {
            self.stage.alarms.retain(|at| *at > now);
            self.tell(Happening::Timer);
        }
    }

    fn fault(&mut self) {
        let words = ClientText::fixed("so the seed wants it");
        let refusal = |reason| Refusal::unjudgeable(reason, words.clone());
        self.hurt = true;
        let what = self.random.below(6);
        self.note(&format!("fault: {what}"));
        match what {
            0 => self.tell(Happening::Stop(refusal("killed"))),
            1 => self.tell(Happening::Closed(Side::Client)),
            2 if self.asked_host => {
                self.host.clear();
                self.tell(Happening::Closed(Side::Upstream));
            }
            3 if self.asked_host && !self.answers => {
                self.host.clear();
                self.tell(Happening::Unreachable(refusal("upstream_down")));
            }
            4 => self.stage.journal = JournalMode::Fails,
            _ => {
                let more = ["rule more block \"nothing now\""];
                let more = if self.random.percent(50) { &more[..] } else { &[] };
                self.stage.reload_once(rules(self.withholds, more), self.random.percent(80));
                self.listen();
            }
        }
    }

    fn tell(&mut self, happening: Happening<Part>) {
        self.stage.tell_once(happening);
        self.listen();
    }

    fn listen(&mut self) {
        for said in self.stage.take_said() {
            self.web.watch.hear(&said);
            match said {
                Said::Record(ticket, events) => {
                    for event in events {
                        self.note(&format!("  record {} {}", ticket.0, story::event(&event)));
                    }
                }
                Said::Send(Side::Upstream, part) => {
                    self.note(&format!("  host << {part:?}"));
                    if matches!(part, Part::Request(_)) {
                        self.answer();
                    }
                }
                Said::Send(Side::Client, part) => {
                    self.note(&format!("  client << {part:?}"));
                    match &part {
                        Part::Reply(head) => self.status = head.status.as_u16(),
                        Part::Data(bytes) => self.got.extend_from_slice(bytes),
                        _ => {}
                    }
                }
                Said::Ask(request) => self.asked.push(request.operation),
                Said::Pause(Side::Client) => self.client_paused = true,
                Said::Resume(Side::Client) => self.client_paused = false,
                Said::Pause(Side::Upstream) => self.host_paused = true,
                Said::Resume(Side::Upstream) => self.host_paused = false,
                Said::Close => self.note("  close"),
                _ => {}
            }
        }
    }

    /// No more surprises: what is on its way arrives, what is asked is answered.
    fn calm_down(&mut self) {
        self.note("# from here on nothing goes wrong");
        self.stage.journal = JournalMode::Keeps;
        for _ in 0..400 {
            self.keep(true);
            self.react();
            self.deliver_client();
            self.deliver_host();
            self.person();
            let quiet = self.stage.reactions.is_empty() && self.stage.unrecorded.is_empty();
            if self.stage.closed && quiet {
                return;
            }
        }
        self.broken.push("stuck: the exchange never ends".to_owned());
    }

    fn judge(&mut self) {
        self.web.watch.judge(self.stage.connection.is_ended());
        let answered = self.web.watch.is_answered();
        self.answered += usize::from(answered);
        if !self.hurt && !answered {
            self.broken.push("the client was never answered".to_owned());
        }
        if answered && self.status == 200 && self.got != self.expected {
            let got = String::from_utf8_lossy(&self.got).into_owned();
            self.broken.push(format!("the client got {got}"));
        }
        let card = self.got.windows(CARD.len()).any(|part| part == CARD.as_bytes());
        if self.withholds && card {
            self.broken.push("R3: a reply that a rule stops reached the client".to_owned());
        }
        self.broken.append(&mut self.web.watch.broken);
        if let Some(why) = self.broken.first() {
            self.note(&format!("!! {why}"));
        }
    }

    fn note(&mut self, line: &str) {
        let _ = writeln!(self.transcript, "{line}");
    }
}

fn rules(withholds: bool, more: &[&str]) -> Vec<String> {
    let withholds = withholds.then_some(WITHHOLDS);
    let all = RULES.iter().copied().chain(withholds).chain(more.iter().copied());
    all.map(str::to_owned).collect()
}

#[test]
fn p1_p3_p5_p7_r3_simulation_of_many_seeds() {
    assert_eq!(notation::name(), "http");
    let number = |name| std::env::var(name).ok().and_then(|number| number.parse::<u64>().ok());
    let one = number("NARROWS_SEED");
    let next = AtomicU64::new(one.unwrap_or(0));
    let end = one.map_or(number("NARROWS_SEEDS").unwrap_or(SEEDS), |seed| seed + 1);
    let play = || {
        let (mut exchanges, mut answered, mut broken) = (0, 0, Vec::new());
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= end {
                return (exchanges, answered, broken);
            }
            let mut run = Run::new(seed);
            run.run();
            if one.is_some() {
                println!("{}", run.transcript);
            }
            if let Some(why) = run.broken.first() {
                broken.push(format!("NARROWS_SEED={seed}: {why}"));
            }
            exchanges += run.exchanges;
            answered += run.answered;
        }
    };
    let (mut exchanges, mut answered, mut broken) = (0, 0, Vec::new());
    std::thread::scope(|scope| {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(play)).collect();
        for thread in threads {
            let played = thread.join().unwrap();
            exchanges += played.0;
            answered += played.1;
            broken.extend(played.2);
        }
    });
    if !broken.is_empty() {
        let shown = broken[..broken.len().min(20)].join("\n");
        panic!("{} seeds break a promise:\n{shown}", broken.len());
    }
    if one.is_none() {
        // A simulation in which nothing happens finds nothing.
        assert!(exchanges > 1000 && answered * 10 > exchanges * 7, "{answered} of {exchanges}");
    }
}
