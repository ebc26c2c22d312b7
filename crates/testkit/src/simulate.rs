//! A whole connection from a seed: cut input, a slow or failing journal, late, repeated and denied
//! answers, cancels, revocations, new rules, sudden ends.
//!
//! What must hold, whatever the seed:
//! * P1: nothing of an operation is sent upstream before the journal has its record as allowed;
//! * every allowed operation ends in exactly one recorded outcome, or the session ends;
//! * the client's answers keep their order ([`Actors::hear`] says so);
//! * R3: no row of a reply that a rule may stop reaches the client before its yes;
//! * P3: no secret reaches the client;
//! * once everything has been answered, nobody waits (no deadlock).
//!
//! It was seen to fail with an engine that does not wait for the journal (P1), one that lets
//! withheld rows go (R3), and one whose own answers overtake others (order).

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt::Write as _;
use std::time::Duration;

use bytes::Bytes;
use engine::{Answer, Happening, Ticket};
use model::event::Verdict;
use model::{ClientText, Event, EventBody, OperationId, Side};
use policy::Refusal;

use crate::random::Random;
use crate::stage::{JournalMode, Said, Scene, Stage};
use crate::story;
use crate::words::quote;

/// The client and the server of one protocol.
pub trait Actors {
    /// What the client sends to log in.
    fn login(&mut self) -> Vec<u8>;
    /// What the client asks next.
    fn ask(&mut self, random: &mut Random) -> Vec<u8>;
    /// The client got these bytes.
    ///
    /// # Errors
    /// They are not what it may get now: out of order, not whole, a reply to nothing.
    fn hear(&mut self, bytes: &[u8]) -> Result<(), String>;
    /// Texts of replies in these bytes which a rule may stop, for as long as nobody said yes.
    fn stoppable(&self, bytes: &[u8]) -> Vec<String>;
    /// The client was let in, and has an answer to everything it asked.
    ///
    /// # Errors
    /// What it waits for, or what it believes wrongly.
    fn content(&self) -> Result<(), String>;
    /// The server got these bytes.
    fn receive(&mut self, bytes: &[u8]);
    /// The server does a little and says what follows.
    fn work(&mut self) -> Vec<u8>;
    /// The server has nothing to do.
    fn idle(&self) -> bool;
    /// The server was asked to cancel what it does.
    fn cancel(&mut self);
    /// Which operations these bytes to the server carry: their texts.
    fn operations(&mut self, bytes: &[u8]) -> Vec<String>;
    /// How many of those a record of such a step allows.
    fn allowed_by(&self, step: &str) -> usize;
    /// The text by which the server is made to fail (R2).
    fn abort_text(&self) -> &'static str;
    /// What must never reach the client.
    fn secrets(&self) -> &'static [&'static str];
}

/// How a seed went.
pub struct Run {
    /// What happened, a line each.
    pub transcript: String,
    /// The promise that was broken.
    pub broken: Option<String>,
    /// Operations decided.
    pub operations: usize,
    /// The session ended before everything was answered.
    pub ended: bool,
}

/// What became of an operation.
#[derive(Default)]
struct Fate {
    text: String,
    last: Option<Verdict>,
    ended: usize,
    unrecorded: bool,
}

struct Simulation<A> {
    stage: Stage,
    actors: A,
    random: Random,
    from_client: VecDeque<u8>,
    from_server: VecDeque<u8>,
    paused: BTreeSet<bool>,
    /// Operations asked about: still waited for or not.
    asked: Vec<(OperationId, String)>,
    yes: BTreeSet<String>,
    fates: BTreeMap<OperationId, Fate>,
    /// Texts allowed and aborts, by the ticket of their record.
    offered: BTreeMap<Ticket, Vec<String>>,
    /// How often each text may be sent by now.
    granted: BTreeMap<String, usize>,
    events: BTreeMap<Ticket, Vec<OperationId>>,
    tail: Vec<u8>,
    asks_left: usize,
    faulty: bool,
    started: bool,
    reloads: Vec<Vec<String>>,
    transcript: String,
    broken: Option<String>,
}

/// Runs one seed. `reloads` are rules that may come into force on the way; every one of them must
/// keep the rules that may stop a reply.
pub fn run<A: Actors>(scene: Scene, actors: A, reloads: Vec<Vec<String>>, seed: u64) -> Run {
    let mut random = Random::new(seed);
    let faulty = random.percent(30);
    let asks_left = random.below(8).saturating_add(1);
    let mut simulation = Simulation {
        stage: Stage::new(scene),
        actors,
        random,
        from_client: VecDeque::new(),
        from_server: VecDeque::new(),
        paused: BTreeSet::new(),
        asked: Vec::new(),
        yes: BTreeSet::new(),
        fates: BTreeMap::new(),
        offered: BTreeMap::new(),
        granted: BTreeMap::new(),
        events: BTreeMap::new(),
        tail: Vec::new(),
        asks_left,
        faulty,
        started: false,
        reloads,
        transcript: String::new(),
        broken: None,
    };
    let login = simulation.actors.login();
    simulation.from_client.extend(login);
    for _ in 0..simulation.random.below(400).saturating_add(20) {
        simulation.step();
    }
    simulation.calm_down();
    simulation.judge();
    Run {
        transcript: simulation.transcript,
        broken: simulation.broken,
        operations: simulation.fates.len(),
        ended: simulation.stage.connection.is_ended(),
    }
}

impl<A: Actors> Simulation<A> {
    fn step(&mut self) {
        match self.random.below(100) {
            0..25 => self.deliver(Side::Client),
            25..45 => self.deliver(Side::Upstream),
            45..60 => self.serve(),
            60..75 => self.react(),
            75..83 => self.keep(false),
            83..90 if self.asks_left > 0 => {
                self.asks_left = self.asks_left.saturating_sub(1);
                let bytes = self.actors.ask(&mut self.random);
                self.from_client.extend(bytes);
            }
            90..94 => self.person(),
            94 | 95 => {
                let modes = [JournalMode::Keeps, JournalMode::Waits];
                self.stage.journal = *self.random.pick(&modes);
            }
            96 => {
                let seconds = u64::try_from(self.random.below(40)).unwrap_or(0);
                self.note(&format!("clock >> {seconds} s"));
                self.stage.now = self.stage.now.plus(Duration::from_secs(seconds));
                let now = self.stage.now;
                if self.stage.alarms.iter().any(|at| *at <= now) {
                    self.stage.alarms.retain(|at| *at > now);
                    self.tell(Happening::Timer);
                }
            }
            97 if self.faulty && self.random.percent(50) => self.fault(),
            98 => {
                self.note("cancel");
                self.tell(Happening::Cancelled);
            }
            _ => {}
        }
    }

    /// Something goes wrong.
    fn fault(&mut self) {
        match self.random.below(6) {
            0 => {
                self.note("journal >> fails");
                self.stage.journal = JournalMode::Fails;
            }
            1 => {
                let words = ClientText::fixed("ended by an operator");
                self.note("gateway >> stop");
                self.tell(Happening::Stop(Refusal::unjudgeable("revoked", words)));
            }
            2 => {
                self.note("client >> close");
                self.tell(Happening::Closed(Side::Client));
            }
            3 => {
                self.note("server >> close");
                self.tell(Happening::Closed(Side::Upstream));
            }
            _ if !self.reloads.is_empty() => {
                self.note("gateway >> reload");
                let rules = self.random.pick(&self.reloads).clone();
                self.stage.reload_once(rules, true);
                self.listen();
            }
            _ => {}
        }
    }

    fn deliver(&mut self, side: Side) {
        if self.paused.contains(&(side == Side::Client)) {
            return;
        }
        let most = if self.random.percent(50) { 4096 } else { 12 };
        let count = self.random.below(most).saturating_add(1);
        let queue = match side {
            Side::Client => &mut self.from_client,
            Side::Upstream => &mut self.from_server,
        };
        let bytes: Vec<u8> = queue.drain(..count.min(queue.len())).collect();
        if !bytes.is_empty() {
            self.note(&format!("{side:?} >> {}", quote(&bytes)));
            self.tell(Happening::Data(side, Bytes::from(bytes)));
        }
    }

    fn serve(&mut self) {
        let bytes = self.actors.work();
        self.from_server.extend(bytes);
    }

    fn react(&mut self) {
        if let Some(reaction) = self.stage.reactions.pop_front() {
            if let Happening::Recorded(ticket) = &reaction {
                self.kept(*ticket);
            }
            if let Happening::RecordFailed(ticket) = &reaction {
                // What waits for a later record is refused too: the journal cannot be trusted now.
                for id in self.events.range(ticket..).flat_map(|(_, ids)| ids) {
                    self.fates.entry(*id).or_default().unrecorded = true;
                }
            }
            self.tell(reaction);
        }
    }

    /// The journal takes what waits, or fails to.
    fn keep(&mut self, surely: bool) {
        let Some(ticket) = self.stage.unrecorded.pop_front() else { return };
        let fails = !surely && self.faulty && self.random.percent(3);
        self.note(&format!("journal >> {} {}", if fails { "loses" } else { "has" }, ticket.0));
        let reaction =
            if fails { Happening::RecordFailed(ticket) } else { Happening::Recorded(ticket) };
        self.stage.reactions.push_back(reaction);
    }

    /// Everything up to this ticket is in the journal.
    fn kept(&mut self, ticket: Ticket) {
        let later = self.offered.split_off(&Ticket(ticket.0.saturating_add(1)));
        for text in std::mem::replace(&mut self.offered, later).into_values().flatten() {
            let count = self.granted.entry(text).or_default();
            *count = count.saturating_add(1);
        }
    }

    /// A person answers something: what is asked, or what was asked long ago.
    fn person(&mut self) {
        if self.asked.is_empty() {
            return;
        }
        let (id, text) = self.random.pick(&self.asked).clone();
        let yes = self.random.percent(70);
        self.answer(id, text, yes);
    }

    fn answer(&mut self, id: OperationId, text: String, yes: bool) {
        self.note(&format!("person >> {} #{}", if yes { "approve" } else { "deny" }, id.0));
        let (approval, approver) = ("a1".into(), "dana".into());
        let answer = if yes {
            self.yes.insert(text);
            Answer::Approved { approval, approver, rows_max: None, reason: None }
        } else {
            Answer::Denied { approval, approver, reason: None }
        };
        self.tell(Happening::Answered(id, answer));
    }

    fn tell(&mut self, happening: Happening<Bytes>) {
        self.stage.tell_once(happening);
        self.listen();
    }

    fn listen(&mut self) {
        for said in self.stage.take_said() {
            match said {
                Said::Record(ticket, events) => {
                    for event in events {
                        self.note(&format!("  record {} {}", ticket.0, story::event(&event)));
                        self.recorded(ticket, &event);
                    }
                }
                Said::Send(Side::Client, bytes) => self.heard(&bytes),
                Said::Send(Side::Upstream, bytes) => self.sent(&bytes),
                Said::Ask(request) => {
                    self.note(&format!("  ask about #{}", request.operation.0));
                    self.asked.push((request.operation, request.text.to_string()));
                }
                Said::Cancel(_) => self.actors.cancel(),
                Said::Pause(side) => drop(self.paused.insert(side == Side::Client)),
                Said::Resume(side) => drop(self.paused.remove(&(side == Side::Client))),
                Said::Kept(_)
                | Said::Lost(_)
                | Said::Again
                | Said::Covered(_)
                | Said::Unask(_)
                | Said::CancelSession(_)
                | Said::StartTls(_)
                | Said::Refresh
                | Said::Alert(..) => {}
                Said::Close => self.note("  close"),
            }
        }
    }

    fn recorded(&mut self, ticket: Ticket, event: &Event) {
        match &event.body {
            EventBody::SessionStarted { .. } => self.started = true,
            EventBody::Operation { operation, step, text, decision, .. } => {
                let fate = self.fates.entry(*operation).or_default();
                fate.text = text.to_string();
                fate.last = Some(*decision);
                self.events.entry(ticket).or_default().push(*operation);
                if matches!(decision, Verdict::Allow | Verdict::Mask) {
                    let times = self.actors.allowed_by(step);
                    let texts = std::iter::repeat_n(text.to_string(), times);
                    self.offered.entry(ticket).or_default().extend(texts);
                }
            }
            EventBody::Abort { .. } => {
                let text = self.actors.abort_text().to_owned();
                self.offered.entry(ticket).or_default().push(text);
            }
            EventBody::Reply { operation, .. } => {
                let fate = self.fates.entry(*operation).or_default();
                fate.ended = fate.ended.saturating_add(1);
            }
            _ => {}
        }
    }

    fn sent(&mut self, bytes: &[u8]) {
        self.note(&format!("  server << {}", quote(bytes)));
        for text in self.actors.operations(bytes) {
            match self.granted.get_mut(&text) {
                Some(count) if *count > 0 => *count = count.saturating_sub(1),
                _ => self.fail(format!("P1: sent before its record was kept: {text}")),
            }
        }
        self.actors.receive(bytes);
    }

    fn heard(&mut self, bytes: &[u8]) {
        self.note(&format!("  client << {}", quote(bytes)));
        for text in self.actors.stoppable(bytes) {
            if !self.yes.contains(&text) {
                self.fail(format!("R3: rows before the yes: {text}"));
            }
        }
        self.tail.extend_from_slice(bytes);
        for secret in self.actors.secrets() {
            let found = self.tail.windows(secret.len()).any(|part| part == secret.as_bytes());
            if found {
                self.fail(format!("P3: the client got {secret}"));
            }
        }
        let cut = self.tail.len().saturating_sub(64);
        self.tail.drain(..cut);
        if let Err(why) = self.actors.hear(bytes) {
            self.fail(format!("order: {why}"));
        }
    }

    /// No more surprises: everything on its way arrives, everything asked is answered.
    fn calm_down(&mut self) {
        /// Far more than any seed needs.
        const ROUNDS_MAX: usize = 20_000;
        /// Rounds without news after which there will be none.
        const SILENT_MAX: usize = 8;
        let mut silent = 0_usize;
        self.note("# from here on nothing goes wrong");
        self.stage.journal = JournalMode::Keeps;
        for _ in 0..ROUNDS_MAX {
            let before = self.transcript.len();
            let asked = std::mem::take(&mut self.asked);
            for (id, text) in asked {
                let yes = self.random.percent(70);
                self.answer(id, text, yes);
            }
            self.keep(true);
            self.react();
            self.deliver(Side::Client);
            self.deliver(Side::Upstream);
            self.serve();
            let news = before != self.transcript.len() || !self.actors.idle();
            silent = if news { 0 } else { silent.saturating_add(1) };
            if silent > SILENT_MAX {
                return;
            }
        }
        self.fail("it never comes to rest".to_owned());
    }

    fn judge(&mut self) {
        let ended = self.stage.connection.is_ended();
        let mut wrong = Vec::new();
        for (id, fate) in &self.fates {
            let due = usize::from(
                matches!(fate.last, Some(Verdict::Allow | Verdict::Mask)) && !fate.unrecorded,
            );
            let right = if ended || fate.unrecorded { fate.ended <= 1 } else { fate.ended == due };
            if !right {
                wrong.push(format!("#{} `{}` ended {} times", id.0, fate.text, fate.ended));
            }
        }
        if let Some(first) = wrong.first() {
            self.fail(format!("outcome: {first}"));
        }
        if !ended {
            if let Err(why) = self.actors.content() {
                self.fail(format!("stuck: {why}"));
            }
            if !self.paused.is_empty() {
                self.fail("stuck: a side is never read again".to_owned());
            }
        }
    }

    fn note(&mut self, line: &str) {
        let _ = writeln!(self.transcript, "{line}");
    }

    fn fail(&mut self, why: String) {
        self.note(&format!("!! {why}"));
        self.broken.get_or_insert(why);
    }
}
