//! What a server answers to the survey of its catalog.

use std::any::Any;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::{BufMut as _, Bytes};
use engine::{
    Connected, Errand, ErrandAct, ErrandInput, ErrandOutbox, Protocol as _, Snapshots, TlsFacts,
};
use model::{Credential, Secret, UpstreamTls};
use postgres::{POSTGRES, Snapshot};
use sql::{Options, SearchPath, analyse};
use testkit::stage::PASSWORD;

use super::notation::frame;
use crate::bytes_of::BytesOf;

struct NoSnapshots;

impl Snapshots for NoSnapshots {
    fn current(&self) -> Option<Arc<dyn Any + Send + Sync>> {
        None
    }
}

/// The gateway's own stay at a server.
pub struct Stay {
    errand: Box<dyn Errand<Bytes>>,
    /// Everything sent to the server, oldest first.
    pub sent: Vec<Bytes>,
    /// TLS was started.
    pub tls_started: bool,
    snapshots: Vec<Arc<Snapshot>>,
    over: bool,
}

impl Stay {
    /// A stay whose transport is up.
    pub fn new(tls: UpstreamTls) -> Self {
        let credential = Credential {
            user: "gateway".to_owned(),
            password: Some(Secret::new(PASSWORD.to_owned())),
            database: "app".to_owned(),
            made: None,
        };
        let connected = Connected {
            credential: Arc::new(credential),
            tls,
            snapshots: Arc::new(NoSnapshots),
            options: Arc::default(),
        };
        let mut stay = Self {
            errand: POSTGRES.survey().expect("this protocol surveys"),
            sent: Vec::new(),
            tls_started: false,
            snapshots: Vec::new(),
            over: false,
        };
        stay.tell(ErrandInput::Connected(connected));
        stay
    }

    /// The server says something.
    pub fn hear(&mut self, bytes: &[u8]) {
        self.tell(ErrandInput::Data(Bytes::copy_from_slice(bytes)));
    }

    /// The body of the last message sent; `None` when nothing but the start-up message was.
    pub fn last_message(&self) -> Option<Vec<u8>> {
        let last = self.sent.last().filter(|bytes| bytes.first() == Some(&b'p'))?;
        Some(last[5..].to_vec())
    }

    fn tell(&mut self, input: ErrandInput<Bytes>) {
        if self.over {
            return;
        }
        let mut out = ErrandOutbox::default();
        assert!(self.errand.handle(input, &mut out).is_ok(), "an errand says what fails itself");
        let mut start_tls = false;
        for act in out.take() {
            match act {
                ErrandAct::Send(bytes) => {
                    only_reads(&bytes);
                    self.sent.push(bytes);
                }
                ErrandAct::StartTls => start_tls = true,
                ErrandAct::Snapshot(any) => {
                    self.snapshots.push(any.downcast().expect("this protocol's snapshot"));
                }
                ErrandAct::Idle => {}
                ErrandAct::Done | ErrandAct::Failed(..) => self.over = true,
            }
        }
        if start_tls && !self.over {
            self.tls_started = true;
            self.tell(ErrandInput::TlsStarted(TlsFacts::default()));
        }
    }
}

/// Whatever a server said before, the survey asks nothing but questions.
fn only_reads(message: &Bytes) {
    static SEEN: Mutex<BTreeSet<Bytes>> = Mutex::new(BTreeSet::new());
    let mut seen = SEEN.lock().unwrap_or_else(PoisonError::into_inner);
    if message.first() != Some(&b'Q') || seen.contains(message) {
        return;
    }
    // Most are asked again and again.
    if seen.len() < 1_000 {
        seen.insert(message.clone());
    }
    let text = std::str::from_utf8(&message[5..message.len() - 1]).expect("a text");
    let path = SearchPath::of(&[]);
    let options = Options { standard_conforming_strings: true, search_path: &path, role: "app" };
    let found = analyse(text, &options, &sql::sample());
    let found = found.unwrap_or_else(|error| panic!("{error:?}: {text}"));
    for verb in &found.facts.verbs {
        let quiet = ["select", "begin", "commit", "rollback", "set"].contains(&&**verb);
        assert!(quiet, "the survey asks for {verb}: {text}");
    }
}

/// Lines of an answer, a row each, its values between `|`; `\N` is NULL. A line `;` ends the answer
/// to one question, a line `!CODE` ends it with that error.
fn answers(text: &str) -> Vec<Vec<u8>> {
    let mut answers = Vec::new();
    let mut answer = Vec::new();
    for line in text.lines() {
        if let Some(code) = line.strip_prefix('!') {
            answer.extend(frame(b'E', format!("SERROR\0VERROR\0C{code}\0Mno\0\0").as_bytes()));
            answer.extend(frame(b'Z', b"E"));
            answers.push(std::mem::take(&mut answer));
        } else if line == ";" {
            answer.extend(frame(b'C', b"SELECT\0"));
            answer.extend(frame(b'Z', b"I"));
            answers.push(std::mem::take(&mut answer));
        } else {
            answer.extend(row(line));
        }
    }
    answers.push(answer);
    answers
}

fn row(line: &str) -> Vec<u8> {
    let values: Vec<&str> = line.split('|').collect();
    let mut body = Vec::new();
    body.put_u16(u16::try_from(values.len()).unwrap_or(u16::MAX));
    for value in values {
        match value {
            "\\N" => body.put_i32(-1),
            value => {
                body.put_i32(i32::try_from(value.len()).expect("a short value"));
                body.extend_from_slice(value.as_bytes());
            }
        }
    }
    frame(b'D', &body)
}

/// Answers made of rows, or of any bytes. It asks one thing at a time and only questions; what it
/// found can be judged against.
pub fn survey(data: &[u8]) {
    let mut input = BytesOf(data);
    let kind = input.byte();
    let mut stay = Stay::new(UpstreamTls::Off);
    stay.hear(&[frame(b'R', &[0; 4]), frame(b'Z', b"I")].concat());
    if kind & 1 == 0 {
        for answer in answers(&String::from_utf8_lossy(input.0)) {
            let before = stay.sent.len();
            stay.hear(&answer);
            assert!(stay.sent.len() <= before + 1, "two questions after one answer");
        }
    } else {
        for piece in input.pieces() {
            stay.hear(piece);
        }
    }
    if kind & 2 != 0 {
        stay.tell(ErrandInput::Probe);
    }
    for snapshot in &stay.snapshots {
        judge(snapshot);
    }
}

/// Views, functions and generated columns of the snapshot are looked into here.
fn judge(snapshot: &Snapshot) {
    let path: Vec<&str> = snapshot.search_path.iter().map(AsRef::as_ref).collect();
    let path = SearchPath::of(&path);
    let options =
        Options { standard_conforming_strings: true, search_path: &path, role: &snapshot.role };
    let data = sql::CatalogData::from(sql::Catalog::clone(&snapshot.catalog));
    for relation in data.relations.iter().take(8) {
        let name = |part: &str| part.replace('"', "\"\"").replace('\0', "");
        let text =
            format!("select * from \"{}\".\"{}\"", name(&relation.schema), name(&relation.name));
        // Names that no server has do not parse; all that matters is that it ends.
        drop(analyse(&text, &options, &snapshot.catalog));
    }
}
