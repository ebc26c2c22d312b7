//! The body of a request: held, judged in parts, or given up.

use detect::TypeSet;
use engine::{Outbox, Refusal};
use http::HeaderMap;
use model::exchange::{Door, Part};
use model::{ClientText, OperationId};

use super::{Exchange, Judged, LANE, Replying, State};
use crate::body::{Codings, Filter, Kind, Unreadable};
use crate::operation::{self, Body, Judging};
use crate::parts;

/// A request whose body is held.
pub(super) struct Held {
    pub request: Judged,
    pub body: Vec<u8>,
    pub trailers: Option<Box<HeaderMap>>,
    pub most: u64,
}

/// Why a request is stopped, in its record: a part of its body was refused, whose record says why.
pub const PART_REFUSED: &str = "part_refused";

impl Exchange {
    pub(super) fn body(&mut self, part: Part, out: &mut Outbox<Part>) {
        let State::Body(held) = &mut self.state else { return };
        match part {
            Part::Data(bytes) => {
                held.body.extend_from_slice(&bytes);
                if held.body.len() as u64 > held.most {
                    let request = &held.request;
                    let judging =
                        Judging { reads: &self.reads, trail: self.trail.as_deref(), now: self.now };
                    let Some(why) =
                        parts::impossible(&request.canonical, &request.options, judging)
                    else {
                        return self.in_parts(out);
                    };
                    let words = format!(
                        "the body is longer than {} bytes, the most that is held to be judged{why}",
                        held.most
                    );
                    let refusal =
                        Refusal::unjudgeable("body_too_large", ClientText::composed(words));
                    let operation = operation::refused(&held.request.canonical);
                    self.state = State::Over;
                    out.refuse(LANE, operation, refusal);
                }
            }
            Part::End => {
                let State::Body(held) = std::mem::replace(&mut self.state, State::Over) else {
                    return;
                };
                let Held { request, body, trailers, .. } = *held;
                match self.hidden(&request, &body) {
                    Ok(None) => self.ask(request, Body::Held(body.into(), trailers), out),
                    Ok(Some(hidden)) => {
                        let raw = Some(body.as_slice());
                        self.ask_about(request, Body::Held(hidden.into(), trailers), raw, out);
                    }
                    Err(unreadable) => {
                        let refusal = unreadable_request(unreadable);
                        out.refuse(LANE, operation::refused(&request.canonical), refusal);
                    }
                }
            }
            Part::Trailers(fields) => held.trailers = Some(fields),
            Part::Last(_)
            | Part::Request(_)
            | Part::Reply(_)
            | Part::Message(_)
            | Part::Close(..)
            | Part::Raw(_) => {}
        }
    }

    /// The body is longer than what is held, and is judged in parts from here on.
    fn in_parts(&mut self, out: &mut Outbox<Part>) {
        let State::Body(held) = std::mem::replace(&mut self.state, State::Over) else { return };
        let Held { request: mut judged, body, .. } = *held;
        let as_asked = judged.canonical.clone();
        if self.masks.as_ref().is_some_and(|masks| masks.reads_replies()) {
            judged.canonical.ask_for_readable();
        }
        let door = if self.proxy { Door::Forward } else { Door::Reverse };
        let head = Part::Request(Box::new(judged.canonical.part(door, judged.version)));
        let aside = operation::sent_to(judged.sent_to);
        let judge = (self.judging(), &*self.key);
        let about = (as_asked, &judged.options);
        let parts = parts::begin(about, body, (LANE, head, aside), judge, out);
        judged.id = Some(parts.of_request());
        judged.parts = Some(Box::new(parts));
        self.state = State::Verdict(Box::new(judged));
    }

    /// A request that ends before its body is complete is recorded all the same.
    pub(super) fn abandoned(&mut self, refusal: &Refusal, out: &mut Outbox<Part>) {
        if !matches!(self.state, State::Body(_)) {
            return;
        }
        if let State::Body(held) = std::mem::replace(&mut self.state, State::Over) {
            out.refuse(LANE, operation::refused(&held.request.canonical), refusal.clone());
        }
    }

    /// What a model is told is masked like what a client is told; `None` where nothing is.
    pub(super) fn hidden(
        &self,
        request: &Judged,
        body: &[u8],
    ) -> Result<Option<Vec<u8>>, Unreadable> {
        let Some(masks) = self.masks.as_ref().filter(|masks| !masks.is_empty()) else {
            return Ok(None);
        };
        if !request.options.model {
            return Ok(None);
        }
        let codings = Codings::parse(request.canonical.codings.iter().map(String::as_str))?;
        // Whatever it is called: endpoints read JSON.
        let kind = Kind::Json;
        let mut hidden = Vec::with_capacity(body.len());
        let mut filter = Filter::new(kind, codings, masks, &self.key, TypeSet::EMPTY);
        filter.push(body, &mut hidden)?;
        filter.finish(&mut hidden)?;
        Ok(Some(hidden))
    }

    /// A request whose body is judged in parts, or one of the parts, was let go.
    pub(super) fn next_part(&mut self, out: &mut Outbox<Part>) {
        if self.rules_changed(out) {
            return;
        }
        let judging = Judging { reads: &self.reads, trail: self.trail.as_deref(), now: self.now };
        let State::Reply(replying) = &mut self.state else { return };
        let Judged { parts, options, .. } = &mut replying.request;
        if let Some(parts) = parts {
            parts.released(options, (judging, &self.key), out);
        }
    }

    /// A part of the body is refused: the rest of the request does not leave, nor does its reply.
    /// False where this is no part.
    pub(super) fn part_refused(
        &mut self,
        id: OperationId,
        refusal: &Refusal,
        out: &mut Outbox<Part>,
    ) -> bool {
        let State::Reply(replying) = &mut self.state else { return self.stray == Some(id) };
        let Replying { permit, request, .. } = &mut **replying;
        let is_its = request.parts.as_ref().is_some_and(|parts| parts.waits_for() == Some(id));
        if is_its {
            let words = ClientText::clone(refusal.message());
            out.stop(permit, Refusal::unjudgeable(PART_REFUSED, words));
            self.part = Some((id, refusal.clone()));
        }
        is_its
    }

    /// Whether rules changed, while a body is judged in parts, so that a person may be asked: about
    /// all of it, so that the request ends (R11).
    pub(super) fn rules_changed(&mut self, out: &mut Outbox<Part>) -> bool {
        let State::Reply(replying) = &mut self.state else { return false };
        let goes_on = replying.request.parts.as_ref().is_some_and(|parts| !parts.are_over());
        let asks = goes_on && self.reads.asks();
        if asks {
            let words = "the rules changed while the body was on its way, and a person may be \
                         asked about it now; send it again";
            let refusal = Refusal::unjudgeable("rules_changed", ClientText::fixed(words));
            out.stop(&replying.permit, refusal);
        }
        asks
    }
}

pub(super) fn unreadable_request(unreadable: Unreadable) -> Refusal {
    let words = format!("the request cannot be searched for what is hidden: {}", unreadable.what);
    Refusal::unjudgeable("unreadable_request", ClientText::composed(words))
}
