//! A line protocol. The client says `STARTTLS`, `HELLO token resource`, `GET key`, `DUMP bytes`,
//! `ASK key`, `CANCEL key` and `QUIT`; the server answers `GET`, `DUMP` and `ASK`, a line each.

use std::any::Any;
use std::collections::VecDeque;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use engine::{
    Batch, Capabilities, Conversation, Detection, Errand, ErrandAct, ErrandInput, ErrandOutbox,
    Fault, Input, Outbox, Permit, Protocol, Refusal, Setup,
};
use model::operation::{RowBound, Stage};
use model::{
    Claim, Effect, FactDecl, FactType, Lane, Operation, Phase, Secret, Side, Timestamp,
    UpstreamTls, Value,
};

const LINE_MAX: usize = 1024;

static FACTS: &[FactDecl] = &[FactDecl {
    name: "toy.verb",
    kind: FactType::Text,
    phase: Phase::Request,
    about: "the first word",
    carries: false,
}];

pub(super) struct Toy {
    name: &'static str,
    surveyed: bool,
}

/// Reads nothing of its upstream beforehand.
pub(super) static TOY: Toy = Toy { name: "toy", surveyed: false };
/// Reads a catalog first.
pub(super) static CHARTED: Toy = Toy { name: "charted", surveyed: true };

impl Protocol<Bytes> for Toy {
    fn name(&self) -> &'static str {
        self.name
    }
    fn facts(&self) -> &'static [FactDecl] {
        FACTS
    }
    fn capabilities(&self) -> Capabilities {
        Capabilities { masks: false, holds: true, holds_reply: true, hold_wait: None }
    }
    fn detect(&self, _prefix: &[u8]) -> Detection {
        Detection::Match
    }
    fn conversation(&self, setup: Setup) -> Box<dyn Conversation<Bytes>> {
        Box::new(Talk {
            setup,
            from_client: BytesMut::new(),
            from_upstream: BytesMut::new(),
            asked: 0,
            owed: VecDeque::new(),
            snapshots: None,
            upstream_ready: false,
        })
    }
    fn survey(&self) -> Option<Box<dyn Errand<Bytes>>> {
        self.surveyed.then(|| Box::new(Chart) as _)
    }
    fn render(&self, payload: &[u8]) -> Vec<String> {
        vec![String::from_utf8_lossy(payload).into_owned()]
    }
}

struct Talk {
    setup: Setup,
    from_client: BytesMut,
    from_upstream: BytesMut,
    /// Operations asked and not told a verdict.
    asked: usize,
    owed: VecDeque<Arc<Permit>>,
    snapshots: Option<Arc<dyn engine::Snapshots>>,
    upstream_ready: bool,
}

impl Conversation<Bytes> for Talk {
    fn handle(
        &mut self,
        _now: Timestamp,
        input: Input<Bytes>,
        out: &mut Outbox<Bytes>,
    ) -> Result<(), Fault> {
        match input {
            Input::Data(Side::Client, unit) => {
                self.from_client.extend_from_slice(&unit);
                while let Some(at) = self.from_client.iter().position(|byte| *byte == b'\n') {
                    let line = self.from_client.split_to(at + 1).freeze();
                    self.line(line, out)?;
                }
                if self.from_client.len() > LINE_MAX {
                    return Err(Fault::client("line too long"));
                }
            }
            Input::Data(Side::Upstream, unit) => self.answer(unit, out)?,
            Input::TlsStarted(Side::Upstream, facts) => {
                assert!(facts.certificate.is_some());
                self.ready(out);
            }
            Input::TlsStarted(Side::Client, _) => self.setup.client_private = true,
            Input::Identified { .. } => out.connect(),
            Input::Connected(connected) => {
                assert_eq!(connected.credential.user, "service");
                self.snapshots = Some(connected.snapshots);
                if connected.tls == UpstreamTls::Off {
                    self.ready(out);
                } else {
                    out.control(Side::Upstream, Bytes::from_static(b"STARTTLS\n"));
                }
            }
            Input::Unidentified(refusal) | Input::Unreachable(refusal) => {
                say(&refusal, out);
                out.close();
            }
            Input::Stopped(refusal) => {
                if !self.owed.is_empty() {
                    out.cancel(Box::new(Shout));
                }
                say(&refusal, out);
            }
            Input::Released(permit) => {
                self.asked -= 1;
                self.owed.push_back(permit);
            }
            Input::Refused(_, refusal) => {
                self.asked -= 1;
                say(&refusal, out);
            }
            Input::Withheld(_, refusal) => say(&refusal, out),
            Input::Held(_, notice) => {
                out.answer(format!("HELD {}: {}\n", notice.approval, notice.text).into());
            }
            Input::Cancel => out.cancel(Box::new(Shout)),
            Input::Refreshed => {
                let snapshot = self.snapshots.as_ref().and_then(|s| s.current());
                let version = snapshot.and_then(|s| s.downcast_ref::<String>().cloned());
                out.answer(format!("CHART {version:?}\n").into());
            }
            Input::Rescoped(..) => out.answer(Bytes::from_static(b"RULES\n")),
            Input::Closed(_) | Input::LetGo(_) | Input::Passed(_) => {}
        }
        Ok(())
    }
}

impl Talk {
    fn ready(&mut self, out: &mut Outbox<Bytes>) {
        self.upstream_ready = true;
        let hex: String = self.setup.cancel_key.iter().map(|byte| format!("{byte:02x}")).collect();
        out.control(Side::Client, format!("READY {hex}\n").into());
    }

    fn line(&mut self, line: Bytes, out: &mut Outbox<Bytes>) -> Result<(), Fault> {
        let text = String::from_utf8_lossy(&line).into_owned();
        let words: Vec<&str> = text.split_whitespace().collect();
        match words.as_slice() {
            ["STARTTLS"] => {
                out.control(Side::Client, Bytes::from_static(b"OK\n"));
                out.start_tls(Side::Client);
            }
            ["HELLO", token, resource] => out.identify(Claim {
                secret: Secret::new((*token).to_owned()),
                resource: (*resource).to_owned(),
                user: "whoever".to_owned(),
                application: Some("toy client".to_owned()),
                run: None,
            }),
            ["CANCEL", key] => {
                let mut bytes = [0; 8];
                for (at, byte) in bytes.iter_mut().enumerate() {
                    *byte = u8::from_str_radix(&key[2 * at..2 * at + 2], 16).unwrap();
                }
                out.cancel_session(bytes);
                out.close();
            }
            ["REFRESH"] => out.refresh(),
            ["QUIT"] => out.close(),
            [verb, ..] => {
                self.asked += 1;
                let operation = Operation {
                    kind: "line",
                    stage: Stage::Gate,
                    under: None,
                    text: text.trim().into(),
                    parameters: Vec::new(),
                    facts: Arc::new([Value::Text((*verb).into())]),
                    effect: Effect::ReadOnly,
                    rows: RowBound::Unbounded,
                    objects: Arc::default(),
                    guesses: Vec::new(),
                    context: "".into(),
                    aside: Vec::new(),
                };
                out.ask(Lane(0), operation, Some(line));
            }
            [] => return Err(Fault::client("empty line")),
        }
        Ok(())
    }

    fn answer(&mut self, mut unit: Bytes, out: &mut Outbox<Bytes>) -> Result<(), Fault> {
        if !self.upstream_ready {
            self.from_upstream.extend_from_slice(&unit);
            if &self.from_upstream[..] == b"OK\n" {
                out.start_tls(Side::Upstream);
            }
            return Ok(());
        }
        while !unit.is_empty() {
            let Some(permit) = self.owed.front() else {
                return Err(Fault::upstream("answer without a question"));
            };
            let end = unit.iter().position(|byte| *byte == b'\n');
            let part = unit.split_to(end.map_or(unit.len(), |at| at + 1));
            out.reply(permit, Batch { rows: end.map_or(0, |_| 1), ..Batch::plain(part) });
            if end.is_some()
                && let Some(permit) = self.owed.pop_front()
            {
                out.finish(permit);
            }
        }
        Ok(())
    }
}

fn say(refusal: &Refusal, out: &mut Outbox<Bytes>) {
    out.answer(format!("ERR {}: {}\n", refusal.reason(), refusal.message()).into());
}

/// Reads the catalog: one line.
struct Chart;

impl Errand<Bytes> for Chart {
    fn handle(
        &mut self,
        input: ErrandInput<Bytes>,
        out: &mut ErrandOutbox<Bytes>,
    ) -> Result<(), Fault> {
        match input {
            ErrandInput::Connected(_) | ErrandInput::Probe => {
                out.push(ErrandAct::Send(Bytes::from_static(b"CATALOG\n")));
            }
            ErrandInput::Data(unit) => {
                let text = String::from_utf8_lossy(&unit).trim().to_owned();
                if text == "DENIED" {
                    let detail = Some("permission denied for catalog".to_owned());
                    out.push(ErrandAct::Failed("the catalog cannot be read", detail));
                } else {
                    let snapshot: Arc<dyn Any + Send + Sync> = Arc::new(text);
                    out.push(ErrandAct::Snapshot(snapshot));
                    out.push(ErrandAct::Idle);
                }
            }
            ErrandInput::TlsStarted(_) => {}
        }
        Ok(())
    }
}

/// Cancels: one line, then the server closes.
struct Shout;

impl Errand<Bytes> for Shout {
    fn handle(
        &mut self,
        input: ErrandInput<Bytes>,
        out: &mut ErrandOutbox<Bytes>,
    ) -> Result<(), Fault> {
        match input {
            ErrandInput::Connected(_) => {
                out.push(ErrandAct::Send(Bytes::from_static(b"SHOUT\n")));
                out.push(ErrandAct::Done);
            }
            _ => return Err(Fault::upstream("an answer to a cancel")),
        }
        Ok(())
    }
}
