//! Conversations: who said what, in order, with decisions and records.
//!
//! A script is a list of lines; what starts in the first column drives the play, everything else is
//! a comment or what the play says, indented, when it is written down again:
//!
//! ```text
//! # comment
//! rule NAME …                     rules in force (before the first message)
//! set KEY VALUE                   see `prepare`
//! login                           the notation's own log-in, told in short
//! client >> MESSAGE [; MESSAGE]…  the client sends these in one piece
//! server >> MESSAGE [; MESSAGE]…  the upstream does
//! client >> close                 a side closes
//! person >> approve #2 [rows_max N]
//! person >> deny #2 "why"
//! journal >> waits | keeps | fails | catches up
//! clock >> 60 s
//! gateway >> stop REASON | cancel | reload [; RULE]… | withdraw
//! ```
//!
//! What the play says: `record …` (an event offered to the journal), `server <<` and `client <<`
//! (messages sent), `ask GROUPS about #2`, `cancel`, `pause`, `resume`, `alert`, `close`.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::time::Duration;

use bytes::Bytes;
use engine::{Answer, Happening};
use model::{ClientText, OperationId, Side};
use policy::Refusal;

use crate::stage::{JournalMode, Said, Scene, Stage};
use crate::story;
use crate::words::{Word, messages, quote};

/// How a protocol's messages are written. One value follows one connection, both ways.
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

/// One play of a script.
pub struct Play<N> {
    /// The connection and its surroundings.
    pub stage: Stage,
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
pub fn transcript<N: Notation>(scene: Scene, notation: N, script: &str) -> String {
    Play::of(scene, notation, script, Cuts::Whole).transcript
}

impl<N: Notation> Play<N> {
    /// Plays a whole script.
    ///
    /// # Panics
    /// The script cannot be read.
    #[must_use]
    pub fn of(scene: Scene, notation: N, script: &str, cuts: Cuts) -> Self {
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
        let bytes = self.encode(side, what)?;
        for piece in self.cuts.cut(&bytes) {
            self.send(side, piece);
        }
        Ok(())
    }

    /// The bytes of a line's messages.
    ///
    /// # Errors
    /// They cannot be read.
    pub fn encode(&mut self, side: Side, what: &str) -> Result<Vec<u8>, String> {
        let mut bytes = Vec::new();
        for words in messages(what)? {
            bytes.extend(self.notation.encode(side, &words)?);
        }
        Ok(bytes)
    }

    /// Sends bytes as a side, and hears what follows.
    pub fn send(&mut self, side: Side, bytes: &[u8]) {
        let all = match side {
            Side::Client => &mut self.from_client,
            Side::Upstream => &mut self.from_server,
        };
        all.extend_from_slice(bytes);
        self.tell(Happening::Data(side, Bytes::copy_from_slice(bytes)));
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
        self.tell(Happening::Answered(id, answer));
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
            _ => return Err("waits, fails, keeps or catches up".to_owned()),
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

    fn tell(&mut self, happening: Happening<Bytes>) {
        self.stage.tell(happening);
        self.say();
    }

    /// Writes down what was said.
    fn say(&mut self) {
        for said in self.stage.take_said() {
            let lines = self.lines(said);
            for line in lines {
                let _ = writeln!(self.transcript, "  {line}");
            }
        }
    }

    fn lines(&mut self, said: Said) -> Vec<String> {
        match said {
            Said::Record(_, events) => {
                let is_operation = |event: &&model::Event| {
                    matches!(event.body, model::EventBody::Operation { .. })
                };
                self.operations =
                    self.operations.saturating_add(events.iter().filter(is_operation).count());
                events.iter().map(|event| format!("record {}", story::event(event))).collect()
            }
            Said::Kept(_) => Vec::new(),
            Said::Send(side, bytes) => {
                let (name, all) = match side {
                    Side::Client => ("client", &mut self.to_client),
                    Side::Upstream => ("server", &mut self.to_server),
                };
                all.extend_from_slice(&bytes);
                let messages = self.notation.decode(side, &bytes);
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
fn prepare(scene: &mut Scene, line: &str) -> Result<(), String> {
    if line.starts_with("rule ") {
        scene.rules.push(line.to_owned());
        return Ok(());
    }
    let Some(setting) = line.strip_prefix("set ") else { return Ok(()) };
    let (key, value) = setting.split_once(' ').ok_or("set KEY VALUE")?;
    let number = || value.parse::<usize>().map_err(|_| format!("{value}: not a number"));
    match key {
        "client_private" => scene.client_private = value == "yes",
        "client_tls" => scene.client_tls = value == "yes",
        "hold_buffer_bytes" => scene.hold_buffer_bytes = number()?,
        "options" => {
            scene.options = serde_json::from_str(value).map_err(|error| error.to_string())?;
        }
        "statement_bytes_max" => scene.statement_bytes_max = number()?,
        "guesses_max" => scene.guesses_max = number()? as u64,
        _ => return Err(format!("{key}: nothing of that name can be set")),
    }
    Ok(())
}
