//! What must be true of every play, whatever is said in it.

use std::collections::BTreeMap;

use engine::Ticket;
use model::event::Verdict;
use model::exchange::{Part, Request};
use model::{Event, EventBody, OperationId, SessionId, Side};
use testkit::stage::{PASSWORD, Said};

use super::{SECRET, TOKEN, bytes_of};

/// What became of an operation.
#[derive(Debug, Default)]
pub struct Fate {
    pub text: String,
    pub last: Option<Verdict>,
    pub ended: usize,
}

/// Listens to a play. It finds out when
/// * P1: a request is sent upstream before the connection heard that its record was kept, or twice;
/// * P3: the client gets what is hidden;
/// * P7: the client's token is sent upstream, or anything of the gateway's own to the client;
/// * an exchange has two answers, or an answer out of order;
/// * an operation has more than one outcome, or none when all is over.
#[derive(Default)]
pub struct Watch {
    /// Something is hidden in this play.
    pub hides: bool,
    /// Promises that were broken, in words.
    pub broken: Vec<String>,
    /// By session and operation.
    pub fates: BTreeMap<(SessionId, OperationId), Fate>,
    /// Events offered to the journal, by ticket.
    offered: BTreeMap<Ticket, Vec<Event>>,
    /// Some of them could not be kept.
    lost: bool,
    /// Requests allowed and not sent yet.
    granted: Vec<String>,
    /// A request is being sent upstream.
    sending: bool,
    /// How far the answer is.
    answer: Answer,
    closed: bool,
    tail: Vec<u8>,
}

#[derive(Clone, Copy, Default, Eq, PartialEq)]
enum Answer {
    #[default]
    Nothing,
    Body,
    Messages,
    Trailers,
    Complete,
}

impl Watch {
    /// Watches a play in which something is hidden, or nothing.
    pub fn new(hides: bool) -> Self {
        Self { hides, ..Self::default() }
    }

    pub fn hear(&mut self, said: &Said<Part>) {
        match said {
            Said::Again => {
                let over = std::mem::take(self);
                self.hides = over.hides;
                self.broken = over.broken;
                self.fates = over.fates;
                self.lost = over.lost;
            }
            Said::Record(Ticket(0), _) => {}
            Said::Record(ticket, events) => {
                let bytes = serde_json::to_vec(events).unwrap();
                self.never(&bytes, TOKEN, "P7: the record has the token");
                self.offered.insert(*ticket, events.clone());
            }
            Said::Kept(ticket) => {
                let later = self.offered.split_off(&Ticket(ticket.0 + 1));
                let kept = std::mem::replace(&mut self.offered, later);
                kept.into_values().flatten().for_each(|event| self.recorded(&event));
            }
            Said::Lost(ticket) => {
                self.offered.remove(ticket);
                self.lost = true;
            }
            Said::Send(Side::Upstream, part) => self.sent(part),
            Said::Send(Side::Client, part) => self.heard(part),
            Said::Close => self.closed = true,
            _ => {}
        }
    }

    /// The client was answered in full.
    pub fn is_answered(&self) -> bool {
        self.answer == Answer::Complete
    }

    /// All is over: everything has its outcome.
    pub fn judge(&mut self, ended: bool) {
        // An outcome that the journal did not take is none.
        let ended = ended && !self.lost;
        for ((session, id), fate) in &self.fates {
            let right = match fate.last {
                Some(Verdict::Block) => fate.ended <= 1,
                Some(Verdict::Allow | Verdict::Mask) => {
                    fate.ended == 1 || (!ended && fate.ended == 0)
                }
                // Held before it ran it has none; held because of its reply it has that.
                Some(Verdict::Hold) => fate.ended == 1 || (!ended && fate.ended == 0),
                None => false,
            };
            if !right {
                let (last, times) = (fate.last, fate.ended);
                self.broken.push(format!(
                    "outcome: #{} of {} {} is {last:?}, and ended {times} times",
                    id.0, session.0, fate.text
                ));
            }
        }
    }

    /// An event is in the journal.
    fn recorded(&mut self, event: &Event) {
        let Some(session) = event.session.clone() else { return };
        let fates = &mut self.fates;
        let fate = |id: &OperationId| fates.entry((session, *id)).or_default();
        match &event.body {
            EventBody::Operation { operation, text, decision, .. } => {
                let fate = fate(operation);
                fate.text = text.to_string();
                fate.last = Some(*decision);
                if matches!(decision, Verdict::Allow | Verdict::Mask) {
                    self.granted.push(text.to_string());
                }
            }
            EventBody::Ruling { operation, decision, .. } => {
                fate(operation).last = Some(*decision);
            }
            EventBody::Reply { operation, .. } => {
                fate(operation).ended += 1;
            }
            _ => {}
        }
    }

    fn sent(&mut self, part: &Part) {
        self.never(&bytes_of(part), TOKEN, "P7: the upstream got the token");
        match part {
            Part::Request(head) => {
                let Request { method, scheme, authority, target, .. } = &**head;
                let text = match method.as_str() {
                    "CONNECT" => format!("CONNECT {authority}"),
                    _ => format!("{method} {}://{authority}{target}", scheme.as_str()),
                };
                match self.granted.iter().position(|granted| *granted == text) {
                    Some(at) => drop(self.granted.remove(at)),
                    None => self.broken.push(format!("P1: {text} was sent, not recorded")),
                }
                self.sending = true;
            }
            _ if !self.sending => self.broken.push("P1: a body was sent without a head".into()),
            _ => {}
        }
    }

    fn heard(&mut self, part: &Part) {
        if self.closed {
            self.broken.push(format!("after the end the client got {part:?}"));
        }
        let next = match (self.answer, part) {
            (Answer::Nothing, Part::Reply(head)) if head.status.as_u16() == 101 => Answer::Messages,
            (Answer::Nothing, Part::Reply(_)) => Answer::Body,
            (Answer::Messages, Part::Message(_)) => Answer::Messages,
            (Answer::Messages, Part::Close(..)) => Answer::Complete,
            (Answer::Body, Part::Data(_) | Part::Raw(_)) => Answer::Body,
            (Answer::Body, Part::Trailers(_)) => Answer::Trailers,
            (Answer::Body | Answer::Trailers, Part::End) => Answer::Complete,
            _ => {
                self.broken.push(format!("out of order the client got {part:?}"));
                self.answer
            }
        };
        self.answer = next;
        let bytes = bytes_of(part);
        self.tail.extend_from_slice(&bytes);
        let tail = std::mem::take(&mut self.tail);
        self.never(&tail, TOKEN, "P7: the client got a token");
        self.never(&tail, PASSWORD, "P7: the client got the gateway's own secret");
        if self.hides {
            self.never(&tail, SECRET, "P3: the client got what is hidden");
        }
        self.tail = tail[tail.len().saturating_sub(64)..].to_vec();
    }

    fn never(&mut self, bytes: &[u8], what: &str, why: &str) {
        if bytes.windows(what.len()).any(|part| part == what.as_bytes()) {
            self.broken.push(why.to_owned());
        }
    }
}
