//! After a change to WebSocket: each message of the client is an operation, each message of the
//! upstream a part of the reply to the request that asked for the change (R15).

use std::sync::Arc;

use bytes::Bytes;
use detect::TypeSet;
use engine::{Batch, HashKey, MaskPlan, Permit, Refusal, Searched, Sought};
use http::header::SEC_WEBSOCKET_EXTENSIONS;
use model::exchange::{Message, Part, Reply};
use model::{ClientText, Operation};

use crate::body::{Codings, Filter, Hidden, Kind, Unreadable};
use crate::canonical;
use crate::fields;
use crate::follow::Origin;
use crate::operation::{self, Body, Judging};
use crate::options::Options;
use crate::reply::{Unfit, looks_like, recorded};
use crate::request::Canonical;

/// RFC 6455 section 7.4.1: a message violates the receiver's policy.
const POLICY_VIOLATION: u16 = 1008;
/// The same section: an endpoint is going away; the client may come back.
const GOING_AWAY: u16 = 1001;
/// RFC 6455 section 5.5: a control frame holds at most 125 bytes, two of them the code.
const WORDS_BYTES_MAX: usize = 123;

/// A WebSocket between a client and an upstream.
pub struct Socket {
    /// For the request that asked for it; what the upstream says is its reply.
    pub permit: Arc<Permit>,
    request: Canonical,
    options: Options,
    /// Bytes of messages that could not be searched.
    unsearched: u64,
}

impl Socket {
    /// The upstream agreed with this head; what the client gets of it.
    ///
    /// # Errors
    ///
    /// When the head must not pass.
    pub fn new(
        permit: Arc<Permit>,
        request: Canonical,
        (options, prefix): (Options, &str),
        mut head: Box<Reply>,
        key: &HashKey,
    ) -> Result<(Self, Batch<Part>), Unfit> {
        canonical::strip_hop_by_hop(&mut head.fields, true);
        head.fields.remove(SEC_WEBSOCKET_EXTENSIONS);
        if let Some(upstream) = &options.upstream {
            fields::localise(&mut head.fields, prefix, upstream)?;
        }
        let counted = Sought::under(&permit).is_any();
        let detections = fields::mask(&mut head.fields, permit.masks(), key, counted);
        head.recorded = recorded(&head);
        let socket = Self { permit, request, options, unsearched: 0 };
        let head = Batch::plain(Part::Reply(head));
        Ok((socket, Batch { detections, searched: Searched::Whole, ..head }))
    }

    /// What a message of the client asks for. Its facts are those of the request, with the message
    /// as the body. `sent` is the message as it is passed on, which is what the record has.
    pub fn operation(
        &self,
        message: &Message,
        sent: &Message,
        (judging, key): (Judging<'_>, &HashKey),
    ) -> Operation {
        let body = Body::Held(message.data.clone(), None);
        let mut operation = operation::of(&self.request, &body, None, judging);
        operation.context = operation::hidden_fields(&self.request, None, key);
        operation.kind = "message";
        operation.effect = model::Effect::MayWrite;
        // The fields are those of the request, which has them in the record.
        operation.parameters = operation::shown(&sent.data, &sent.data);
        operation
    }

    /// What the upstream gets of a message of the client: what a model is told is masked.
    ///
    /// # Errors
    ///
    /// When it must be searched and cannot be.
    pub fn hidden(
        &self,
        message: &Message,
        masks: Option<&Arc<MaskPlan>>,
        key: &Arc<HashKey>,
    ) -> Result<Message, Unreadable> {
        let Some(masks) = masks.filter(|masks| self.options.model && !masks.is_empty()) else {
            return Ok(message.clone());
        };
        let mut hidden = Vec::with_capacity(message.data.len());
        let plain = Codings::default();
        let mut filter = Filter::new(Kind::Json, plain, masks, key, TypeSet::EMPTY);
        filter.push(&message.data, &mut hidden)?;
        filter.finish(&mut hidden)?;
        Ok(Message { is_text: message.is_text, data: Bytes::from(hidden) })
    }

    /// What the client gets of a message of the upstream.
    ///
    /// # Errors
    ///
    /// When it must be searched and cannot be.
    pub fn reply(
        &mut self,
        message: Message,
        key: &Arc<HashKey>,
        origin: Option<Origin>,
    ) -> Result<Batch<Part>, Unfit> {
        let mut taints = Vec::new();
        if let (Some(plan), Some(origin)) = (self.permit.masks().followed(), &origin) {
            let (_, filter) = filtered(&message, (plan, key), TypeSet::EMPTY, true)?;
            for Hidden { name, value } in filter.into_iter().flat_map(|mut f| f.take_hidden()) {
                taints.extend(origin.taints(&name, value.as_bytes()));
            }
        }
        let mut batch = self.passed(message, key)?;
        batch.taints = taints;
        Ok(batch)
    }

    fn passed(&mut self, message: Message, key: &Arc<HashKey>) -> Result<Batch<Part>, Unfit> {
        let masks = self.permit.masks();
        let counted = Sought::under(&self.permit).is_any();
        if masks.is_empty() && !counted {
            return Ok(Batch::plain(Part::Message(message)));
        }
        let scan = if counted { TypeSet::ALL } else { TypeSet::EMPTY };
        let hides = !masks.is_empty();
        let read = filtered(&message, (masks, key), scan, false);
        let read = read.and_then(|(hidden, filter)| match filter {
            Some(mut filter) => {
                let data = if hides { Bytes::from(hidden) } else { message.data.clone() };
                let part = Part::Message(Message { is_text: message.is_text, data });
                let detections = filter.take_found();
                Ok(Batch { detections, searched: Searched::Whole, ..Batch::plain(part) })
            }
            None => self.opaque(message.clone()),
        });
        match read {
            // Nothing in it is hidden.
            Err(_) if !hides => Ok(Batch::plain(Part::Message(message))),
            read => read,
        }
    }

    fn opaque(&mut self, message: Message) -> Result<Batch<Part>, Unfit> {
        self.unsearched = self.unsearched.saturating_add(message.data.len() as u64);
        if !self.options.opaque.admits(self.unsearched) {
            let words = "a message is of a type that cannot be searched for what is hidden";
            return Err(Unfit { reason: "opaque_reply", what: ClientText::fixed(words) });
        }
        let part = Batch::plain(Part::Message(message));
        Ok(Batch { searched: Searched::Partly, ..part })
    }
}

/// A message with what is hidden replaced, and what read it; no reader where it is no text.
fn filtered(
    message: &Message,
    (masks, key): (&Arc<MaskPlan>, &Arc<HashKey>),
    scan: TypeSet,
    tells: bool,
) -> Result<(Vec<u8>, Option<Filter>), Unfit> {
    let kind = match looks_like(&message.data) {
        // Several protocols end each message with a separator of records.
        Some(Kind::Json) => Kind::NdJson,
        Some(kind) => kind,
        // What is called text is text, whatever it looks like.
        None if message.is_text => Kind::Text,
        None => return Ok((Vec::new(), None)),
    };
    let read = |kind: Kind| {
        let filter = Filter::new(kind, Codings::default(), masks, key, scan);
        let mut filter = if tells { filter.telling() } else { filter };
        let mut hidden = Vec::with_capacity(message.data.len());
        filter.push(&message.data, &mut hidden)?;
        filter.finish(&mut hidden)?;
        Ok((hidden, Some(filter)))
    };
    match read(kind.clone()) {
        Ok(read) => Ok(read),
        // What begins like JSON and is none may be words in brackets.
        Err(_) if kind == Kind::NdJson && !masks.has_fields() => {
            read(Kind::Text).map_err(Unreadable::into)
        }
        Err(unreadable) => Err(unreadable.into()),
    }
}

/// How a client is told that a message, or the rest of the conversation, is refused.
pub fn refused(refusal: &Refusal) -> Part {
    let mut words = format!("narrows: {}: {}", refusal.reason(), refusal.message().as_str());
    let mut end = WORDS_BYTES_MAX.min(words.len());
    while !words.is_char_boundary(end) {
        end = end.saturating_sub(1);
    }
    words.truncate(end);
    Part::Close(POLICY_VIOLATION, words.into())
}

/// How a client is told that it has to connect again.
pub fn again(words: &str) -> Part {
    Part::Close(GOING_AWAY, words.into())
}
