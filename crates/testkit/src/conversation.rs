//! Conversations: who said what, in order, with decisions and records.
//!
//! A script is a list of lines; what starts in the first column drives the play, everything else is
//! a comment or what the play says, indented, when it is written down again:
//!
//! ```text
//! # comment
//! rule NAME …                     rules in force (before the first message)
//! set KEY VALUE                   see `prepare`; `set options_of NAME {…}` adds settings
//! login                           the notation's own log-in, told in short
//! client >> MESSAGE [; MESSAGE]…  the client sends these in one piece
//! server >> MESSAGE [; MESSAGE]…  the upstream does
//! client >> close                 a side closes
//! client >> next                  the next exchange begins, where connections join a session
//! server >> unreachable REASON    the upstream cannot be had
//! person >> approve #2 [rows_max N]
//! person >> deny #2 "why"
//! journal >> waits | keeps | fails | loses one | catches up
//! clock >> 60 s
//! gateway >> stop REASON | cancel | reload [; RULE]… | withdraw
//! ```
//!
//! What the play says: `record …` (an event offered to the journal), `server <<` and `client <<`
//! (messages sent), `ask GROUPS about #2`, `#2 was answered before` (a late yes covers it),
//! `cancel`, `pause`, `resume`, `alert`, `close`.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::time::Duration;

use bytes::Bytes;
use engine::{Answer, Happening, Unit};
use model::{ClientText, OperationId, Side};
use policy::Refusal;

use crate::stage::{JournalMode, Said, Scene, Stage};
use crate::words::{Word, messages, quote};
use crate::{rules, story};

/// How a protocol's messages are written, where its transport delivers bytes. One value follows one
/// connection, both ways.
pub trait Notation {
    /// The bytes of a message that `from` sends.
    ///
    /// # Errors
    /// The words are no message.
    fn encode(&mut self, from: Side, words: &[Word]) -> Result<Vec<u8>, String>;
    /// The messages in what the gateway sent to `to`, as they would be written. Keeps what is not
    /// whole until the rest comes.
    fn decode(&mut self, to: Side, bytes: &[u8]) -> Vec<String>;
    /// What a cancel on a connection of its own says.
    fn cancel(&self, bytes: &[u8]) -> String;
    /// Script lines that log in.
    fn login(&self) -> Vec<String>;
}

/// How units of any transport are written. Every [`Notation`] is one for bytes.
pub trait Script<U: Unit> {
    /// What `from` sends with a line: units, cut where bodies of bytes can be cut.
    ///
    /// # Errors
    /// The words are no message.
    fn units(&mut self, from: Side, line: &str, cuts: Cuts) -> Result<Vec<U>, String>;
    /// What the gateway sent to `to`, as it would be written.
    fn written(&mut self, to: Side, unit: &U) -> Vec<String>;
    /// Every byte of a unit.
    fn bytes(&self, unit: &U) -> Vec<u8>;
    /// What a cancel on a connection of its own says.
    fn cancel(&self, unit: &U) -> String;
    /// Script lines that log in.
    fn login(&self) -> Vec<String>;
    /// Looks at everything that is said, in order.
    fn hear(&mut self, _said: &Said<U>) {}
}

impl<N: Notation> Script<Bytes> for N {
    fn units(&mut self, from: Side, line: &str, cuts: Cuts) -> Result<Vec<Bytes>, String> {
        let mut bytes = Vec::new();
        for words in messages(line)? {
            bytes.extend(self.encode(from, &words)?);
        }
        Ok(cuts.cut(&bytes).into_iter().map(Bytes::copy_from_slice).collect())
    }

    fn written(&mut self, to: Side, unit: &Bytes) -> Vec<String> {
        self.decode(to, unit)
    }

    fn bytes(&self, unit: &Bytes) -> Vec<u8> {
        unit.to_vec()
    }

    fn cancel(&self, unit: &Bytes) -> String {
        Notation::cancel(self, unit)
    }

    fn login(&self) -> Vec<String> {
        Notation::login(self)
    }
}

/// One play of a script.
pub struct Play<N, U: Unit = Bytes> {
    /// The connection and its surroundings.
    pub stage: Stage<U>,
    /// How messages are written.
    pub notation: N,
    /// Every byte sent to the client, in order.
    pub to_client: Vec<u8>,
    /// Every byte sent to the upstream, in order.
    pub to_server: Vec<u8>,
    /// Every byte the client sent.
    pub from_client: Vec<u8>,
    /// Every byte the upstream sent.
    pub from_server: Vec<u8>,
    /// How long each of these was when the log-in was over: to client, to server, from client, from
    /// server.
    pub after_login: [usize; 4],
    /// Operations offered to the journal.
    pub operations: usize,
    approvals: HashMap<OperationId, String>,
    transcript: String,
    /// Where input is cut before the connection hears it.
    cuts: Cuts,
}

/// Where input is cut.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Cuts {
    /// Nowhere: a line is a piece.
    Whole,
    /// After so many bytes, again and again.
    Every(usize),
    /// Once, this many bytes from the start of each line.
    At(usize),
}

/// Plays a script and returns it with everything that was said.
///
/// # Panics
/// The script cannot be read.
#[must_use]
pub fn transcript<U: Unit, N: Script<U>>(scene: Scene<U>, notation: N, script: &str) -> String {
    Play::of(scene, notation, script, Cuts::Whole).transcript
}

impl<U: Unit, N: Script<U>> Play<N, U> {
    /// Plays a whole script.
    ///
    /// # Panics
    /// The script cannot be read.
    #[must_use]
    pub fn of(scene: Scene<U>, notation: N, script: &str, cuts: Cuts) -> Self {
        let (head, body) = split(script);
        let mut scene = scene;
        for line in &head {
            if let Err(why) = prepare(&mut scene, line) {
                panic!("{line}: {why}");
            }
        }
        let mut play = Self {
            stage: Stage::new(scene),
            notation,
            to_client: Vec::new(),
            to_server: Vec::new(),
            from_client: Vec::new(),
            from_server: Vec::new(),
            after_login: [0; 4],
            operations: 0,
            approvals: HashMap::new(),
            transcript: head.iter().fold(String::new(), |all, line| all + line + "\n"),
            cuts,
        };
        for line in body {
            let _ = writeln!(play.transcript, "{line}");
            if let Err(why) = play.line(line) {
                panic!("{line}: {why}");
            }
        }
        play
    }

    /// What was said, with the lines that drove it.
    #[must_use]
    pub fn transcript(&self) -> &str {
        &self.transcript
    }

    /// Plays one more line.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn line(&mut self, line: &str) -> Result<(), String> {
        if line == "login" {
            let before = self.transcript.len();
            for line in self.notation.login() {
                self.line(&line)?;
            }
            self.transcript.truncate(before);
            self.after_login =
                [&self.to_client, &self.to_server, &self.from_client, &self.from_server]
                    .map(Vec::len);
            return Ok(());
        }
        let Some((who, what)) = line.split_once(" >> ") else {
            return if line.starts_with('#') || line.trim().is_empty() {
                Ok(())
            } else {
                Err("nobody says this".to_owned())
            };
        };
        match who.trim() {
            "client" => self.data(Side::Client, what)?,
            "server" => self.data(Side::Upstream, what)?,
            "person" => self.person(what)?,
            "journal" => self.journal(what)?,
            "clock" => {
                let seconds = what.trim_end_matches(" s").parse();
                let seconds = seconds.map_err(|_| "how many seconds?".to_owned())?;
                self.stage.wait(Duration::from_secs(seconds));
                self.say();
            }
            "gateway" => self.gateway(what)?,
            _ => return Err("who is this?".to_owned()),
        }
        Ok(())
    }

    fn data(&mut self, side: Side, what: &str) -> Result<(), String> {
        if what == "close" {
            self.tell(Happening::Closed(side));
            return Ok(());
        }
        if let Some(reason) = what.strip_prefix("unreachable ") {
            let reason = match reason {
                "upstream_down" => "upstream_down",
                "upstream_timeout" => "upstream_timeout",
                _ => return Err("upstream_down or upstream_timeout".to_owned()),
            };
            let words = ClientText::fixed("the host cannot be reached now; try again later");
            self.tell(Happening::Unreachable(Refusal::unjudgeable(reason, words)));
            return Ok(());
        }
        if (side, what) == (Side::Client, "next") {
            self.stage.again();
            self.say();
            return Ok(());
        }
        for unit in self.notation.units(side, what, self.cuts)? {
            self.hand(side, unit);
        }
        Ok(())
    }

    /// Sends a unit as a side, and hears what follows.
    pub fn hand(&mut self, side: Side, unit: U) {
        let bytes = self.notation.bytes(&unit);
        let all = match side {
            Side::Client => &mut self.from_client,
            Side::Upstream => &mut self.from_server,
        };
        all.extend_from_slice(&bytes);
        self.tell(Happening::Data(side, unit));
    }

    /// A side closes.
    pub fn close(&mut self, side: Side) {
        self.tell(Happening::Closed(side));
    }

    fn person(&mut self, what: &str) -> Result<(), String> {
        let parsed = messages(what)?;
        let Some([verb, id, rest @ ..]) = parsed.first().map(Vec::as_slice) else {
            return Err("approve or deny, and what".to_owned());
        };
        let number = id.text().trim_start_matches('#').parse();
        let id = OperationId(number.map_err(|_| "which operation?".to_owned())?);
        let approval = self.approvals.get(&id).map_or("a?", String::as_str).into();
        let approver = "dana".into();
        let answer = match verb.text().as_str() {
            "approve" => {
                let rows_max = rest.get(1).and_then(|number| number.text().parse().ok());
                Answer::Approved { approval, approver, rows_max, reason: None }
            }
            "deny" => Answer::Denied { approval, approver, reason: rest.first().map(Word::text) },
            _ => return Err("approve or deny".to_owned()),
        };
        self.stage.answer(id, answer);
        self.say();
        Ok(())
    }

    fn journal(&mut self, what: &str) -> Result<(), String> {
        match what {
            "waits" => self.stage.journal = JournalMode::Waits,
            "fails" => self.stage.journal = JournalMode::Fails,
            "keeps" => self.stage.journal = JournalMode::Keeps,
            "catches up" => {
                self.stage.journal_catches_up();
                self.say();
            }
            "loses one" => {
                self.stage.journal_loses_one();
                self.say();
            }
            _ => return Err("waits, fails, keeps, loses one or catches up".to_owned()),
        }
        Ok(())
    }

    fn gateway(&mut self, what: &str) -> Result<(), String> {
        let (verb, rest) = what.split_once(' ').unwrap_or((what, ""));
        match verb {
            "stop" => {
                let reason = match rest {
                    "revoked" => "revoked",
                    "killed" => "killed",
                    _ => return Err("stop revoked or killed".to_owned()),
                };
                let words = ClientText::fixed("the session was ended by an operator");
                self.tell(Happening::Stop(Refusal::unjudgeable(reason, words)));
            }
            "cancel" => self.tell(Happening::Cancelled),
            "reload" | "withdraw" => {
                let rules = rest.split(" ;; ").filter(|rule| !rule.is_empty());
                let rules = rules.map(str::to_owned).collect();
                self.stage.reload(rules, verb == "reload");
                self.say();
            }
            _ => return Err("stop, cancel, reload or withdraw".to_owned()),
        }
        Ok(())
    }

    fn tell(&mut self, happening: Happening<U>) {
        self.stage.tell(happening);
        self.say();
    }

    /// Writes down what was said.
    fn say(&mut self) {
        for said in self.stage.take_said() {
            self.notation.hear(&said);
            let lines = self.lines(said);
            for line in lines {
                let _ = writeln!(self.transcript, "  {line}");
            }
        }
    }

    fn lines(&mut self, said: Said<U>) -> Vec<String> {
        match said {
            Said::Record(_, events) => {
                let is_operation = |event: &&model::Event| {
                    matches!(event.body, model::EventBody::Operation { .. })
                };
                self.operations =
                    self.operations.saturating_add(events.iter().filter(is_operation).count());
                let tells = self.stage.scene.payload.is_some();
                let line = |event: &model::Event| {
                    let kept = if tells { story::payload(event) } else { String::new() };
                    let party = event.on_behalf_of.as_ref();
                    let party = party.map(|who| format!(" for {who}")).unwrap_or_default();
                    format!("record{party} {}{kept}", story::event(event))
                };
                events.iter().map(line).collect()
            }
            Said::Again | Said::Kept(_) | Said::Lost(_) => Vec::new(),
            Said::Send(side, unit) => {
                let (name, all) = match side {
                    Side::Client => ("client", &mut self.to_client),
                    Side::Upstream => ("server", &mut self.to_server),
                };
                all.extend(self.notation.bytes(&unit));
                let messages = self.notation.written(side, &unit);
                messages.into_iter().map(|message| format!("{name} << {message}")).collect()
            }
            Said::Ask(request) => {
                let id = request.operation;
                let number = self.approvals.len().saturating_add(1);
                self.approvals.insert(id, format!("a{number}"));
                let by: Vec<&str> = request
                    .needs
                    .rules
                    .iter()
                    .flat_map(|need| need.by.iter().map(AsRef::as_ref))
                    .collect();
                let rows = request.rows_seen.map(|rows| format!(", {rows} rows seen"));
                let text = quote(request.text.as_bytes());
                let (by, rows) = (by.join(", "), rows.unwrap_or_default());
                vec![format!("ask {by} about #{} {text}{rows}", id.0)]
            }
            Said::Covered(id) => vec![format!("#{} was answered before", id.0)],
            Said::Unask(id) => vec![format!("unask #{}", id.0)],
            Said::Cancel(units) => units
                .iter()
                .map(|unit| format!("server (apart) << {}", self.notation.cancel(unit)))
                .collect(),
            Said::CancelSession(key) => vec![format!("cancel session {key:02x?}")],
            Said::Pause(side) => vec![format!("pause {side:?}").to_lowercase()],
            Said::Resume(side) => vec![format!("resume {side:?}").to_lowercase()],
            Said::StartTls(side) => vec![format!("tls {side:?}").to_lowercase()],
            Said::Refresh => vec!["survey".to_owned()],
            Said::Alert(rule, words) => vec![format!("alert {rule}: {words}")],
            Said::Close => vec!["close".to_owned()],
        }
    }
}

impl<N: Notation> Play<N> {
    /// The bytes of a line's messages.
    ///
    /// # Errors
    /// They cannot be read.
    pub fn encode(&mut self, side: Side, what: &str) -> Result<Vec<u8>, String> {
        Ok(self.notation.units(side, what, Cuts::Whole)?.concat())
    }

    /// Sends bytes as a side, and hears what follows.
    pub fn send(&mut self, side: Side, bytes: &[u8]) {
        self.hand(side, Bytes::copy_from_slice(bytes));
    }
}

impl Cuts {
    /// Cuts a line's bytes into pieces.
    #[must_use]
    pub fn cut(self, bytes: &[u8]) -> Vec<&[u8]> {
        match self {
            Self::Every(most) if most > 0 => bytes.chunks(most).collect(),
            Self::At(at) if at > 0 && at < bytes.len() => {
                let (a, b) = bytes.split_at(at);
                vec![a, b]
            }
            _ if bytes.is_empty() => Vec::new(),
            _ => vec![bytes],
        }
    }
}

/// The lines that prepare the scene, and those that are played. What a play said is left out.
fn split(script: &str) -> (Vec<&str>, Vec<&str>) {
    let lines: Vec<&str> = script
        .lines()
        .map(|line| line.trim_end())
        .filter(|line| !line.starts_with(' ') && !line.is_empty())
        .collect();
    let is_head = |line: &&str| {
        line.starts_with("rule ") || line.starts_with("set ") || line.starts_with('#')
    };
    let end = lines.iter().position(|line| !is_head(line)).unwrap_or(lines.len());
    let (head, body) = lines.split_at(end);
    (head.to_vec(), body.to_vec())
}

/// One line that prepares the scene.
fn prepare<U: Unit>(scene: &mut Scene<U>, line: &str) -> Result<(), String> {
    if line.starts_with("rule ") {
        scene.rules.push(line.to_owned());
        return Ok(());
    }
    let Some(setting) = line.strip_prefix("set ") else { return Ok(()) };
    let (key, value) = setting.split_once(' ').ok_or("set KEY VALUE")?;
    let number = || value.parse::<usize>().map_err(|_| format!("{value}: not a number"));
    match key {
        "client_private" => scene.client_private = value == "yes",
        "client_certificate" => scene.client_certificate = value == "yes",
        "client_tls" => scene.client_tls = value == "yes",
        "offer" => {
            let (configuration, scope) = value.split_once(' ').ok_or("set offer ADDRESS SCOPE")?;
            let (configuration, scope) = (configuration.to_owned(), scope.to_owned());
            scene.offer = Some(std::sync::Arc::new(model::Offer { configuration, scope }));
        }
        "hold_buffer_bytes" => scene.hold_buffer_bytes = number()?,
        "options" => {
            scene.options = serde_json::from_str(value).map_err(|error| error.to_string())?;
        }
        "options_of" => {
            let (name, value) = value.split_once(' ').ok_or("set options_of NAME KEYS")?;
            let more: serde_json::Map<_, _> =
                serde_json::from_str(value).map_err(|error| error.to_string())?;
            let other = scene.others.iter_mut().find(|(other, _)| &*other.name == name);
            let (_, options) = other.ok_or_else(|| format!("{name}: no such resource"))?;
            let options = options.as_object_mut().ok_or("its settings are no object")?;
            options.extend(more);
        }
        "statement_bytes_max" => scene.statement_bytes_max = number()?,
        "on_behalf_of" => scene.on_behalf_of = Some(value.into()),
        "payload" => scene.payload = Some(rules::payload(value)?),
        "keeps" => scene.keeps = value == "yes",
        "guesses_max" => scene.guesses_max = number()? as u64,
        _ => return Err(format!("{key}: nothing of that name can be set")),
    }
    Ok(())
}
