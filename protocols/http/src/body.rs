//! What a body is, decoded, searched and masked across any split.
//!
//! [`Filter`] takes a body in pieces and gives it back decoded, with masked fields and values
//! replaced, in memory that does not grow with the body. What it cannot read it does not pass
//! (P2), what it does not mask it passes byte for byte (P9), and cutting the pieces elsewhere
//! changes nothing.

mod coding;
mod csv;
mod events;
pub mod find;
mod form;
mod hide;
mod json;
mod media;
mod multipart;
mod names;
mod plain;
#[cfg(test)]
pub(crate) mod tests;
mod text;
mod utf8;
mod value;
mod xml;

use std::sync::Arc;

use detect::TypeSet;
use engine::{HashKey, MaskKind, MaskPlan};
use model::DetectionCount;

pub use coding::Codings;
use coding::Decoder;
use csv::Csv;
use events::Events;
use form::Form;
use hide::Hider;
pub(crate) use hide::scanner;
use json::{Json, Values};
use media::MediaType;
use multipart::Multipart;
use plain::Plain;
use xml::Xml;

/// What a body is, by its `Content-Type`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Kind {
    /// Pairs of names and values, as forms send them.
    Form,
    /// Server-sent events.
    EventStream,
    /// One JSON value.
    Json,
    /// Parts, each with fields of its own.
    Multipart {
        /// The line between the parts, without its dashes; empty when there is none.
        boundary: Box<str>,
    },
    /// JSON values, one after the other.
    NdJson,
    /// Nothing that is looked into: it passes as it is.
    Opaque,
    /// Text in lines and columns, the first line being names.
    Csv,
    /// Text.
    Text,
    /// Elements.
    Xml,
}

impl Kind {
    /// What a body of this `Content-Type` is; [`Kind::Opaque`] without one.
    #[must_use]
    pub fn of(content_type: Option<&str>) -> Self {
        let Some(content_type) = content_type.and_then(MediaType::parse) else {
            return Self::Opaque;
        };
        content_type.kind()
    }
}

/// Why a body cannot be read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Unreadable {
    /// One fixed word for records: `invalid_json`, `too_deep`, `too_long`, `bomb`,
    /// `unknown_coding`, `bad_coding`, `unfinished`, `over`, `ambiguous`, `invalid_multipart`,
    /// `invalid_xml`.
    pub reason: &'static str,
    /// Fixed words for the client.
    pub what: &'static str,
}

/// A name whose value was masked.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Field {
    /// The key, or the dotted path of keys that leads to it; cut at 256 bytes.
    pub name: Arc<str>,
    /// How it was hidden.
    pub mask: MaskKind,
}

/// A value that was hidden, for who follows it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Hidden {
    /// The field it was in, or the type of value it is.
    pub name: Box<str>,
    /// The value.
    pub value: String,
}

/// Masks and searches one body as it streams.
///
/// After an error nothing more of the body may be passed on; what was written before stands.
pub struct Filter {
    decoder: Option<Decoder>,
    document: Document,
    hide: Hider,
    failed: Option<Unreadable>,
    ended: bool,
}

enum Document {
    Csv(Csv),
    Events(Events),
    Form(Form),
    Json(Box<Json>),
    Multipart(Box<Multipart>),
    Opaque { bytes: u64 },
    Plain(Box<Plain>),
    Xml(Xml),
}

/// A whole body, its codings undone.
///
/// # Errors
///
/// It cannot be decoded, or becomes longer than `bytes_max`.
pub fn decode(codings: &Codings, body: &[u8], bytes_max: usize) -> Result<Vec<u8>, Unreadable> {
    let mut decoded = Vec::with_capacity(body.len());
    let mut opener = Opener::new(codings);
    opener.push(body, bytes_max, &mut decoded)?;
    opener.finish()?;
    Ok(decoded)
}

/// Undoes the codings of a body that comes in pieces.
pub struct Opener(Decoder);

impl Opener {
    /// Of a body with these codings.
    #[must_use]
    pub fn new(codings: &Codings) -> Self {
        Self(Decoder::new(codings))
    }

    /// The next piece of the body, as it was sent. What it becomes is added to `out`.
    ///
    /// # Errors
    ///
    /// It cannot be decoded, or `out` would hold more than `bytes_max`.
    pub fn push(
        &mut self,
        bytes: &[u8],
        bytes_max: usize,
        out: &mut Vec<u8>,
    ) -> Result<(), Unreadable> {
        self.0.push(bytes, &mut |piece| {
            if out.len().saturating_add(piece.len()) > bytes_max {
                let what = "the body is too long when its encoding is undone";
                return Err(Unreadable { reason: "too_long", what });
            }
            out.extend_from_slice(piece);
            Ok(())
        })
    }

    /// The end of the body.
    ///
    /// # Errors
    ///
    /// A coding has not ended.
    pub fn finish(&mut self) -> Result<(), Unreadable> {
        self.0.finish()
    }
}

impl Filter {
    /// A filter for one body. `scan` are types that are counted even where they are not masked.
    #[must_use]
    pub fn new(
        kind: Kind,
        codings: Codings,
        masks: &Arc<MaskPlan>,
        key: &Arc<HashKey>,
        scan: TypeSet,
    ) -> Self {
        Self {
            decoder: (!codings.is_identity()).then(|| Decoder::new(&codings)),
            document: Document::new(&kind),
            hide: Hider::new(masks, key, scan),
            failed: None,
            ended: false,
        }
    }

    /// The same, which also tells what it hides.
    #[must_use]
    pub fn telling(mut self) -> Self {
        self.hide.tell();
        self
    }

    /// What was hidden since the last call, where it tells.
    pub fn take_hidden(&mut self) -> Vec<Hidden> {
        self.hide.take_hidden()
    }

    /// The next piece of the body, as it was sent. What is decided is added to `out`, decoded.
    ///
    /// # Errors
    /// The body cannot be read; every later call says the same.
    pub fn push(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), Unreadable> {
        if let Some(failed) = self.failed {
            return Err(failed);
        }
        if self.ended {
            return self.keep(Err(OVER));
        }
        let (document, hide) = (&mut self.document, &mut self.hide);
        let result = match &mut self.decoder {
            None => document.push(bytes, hide, out),
            Some(decoder) => decoder.push(bytes, &mut |decoded| document.push(decoded, hide, out)),
        };
        self.keep(result)
    }

    /// The end of the body. What was still held is added to `out`. Nothing may follow it; saying it
    /// again changes nothing.
    ///
    /// # Errors
    /// The body is not complete.
    pub fn finish(&mut self, out: &mut Vec<u8>) -> Result<(), Unreadable> {
        if let Some(failed) = self.failed {
            return Err(failed);
        }
        if self.ended {
            return Ok(());
        }
        let ended = self.decoder.as_mut().map_or(Ok(()), Decoder::finish);
        let result = ended.and_then(|()| self.document.finish(&mut self.hide, out));
        self.keep(result)?;
        self.hide.end();
        self.ended = true;
        Ok(())
    }

    /// What was found since the last call, and how much of it was masked.
    pub fn take_found(&mut self) -> Vec<DetectionCount> {
        self.hide.take_found()
    }

    /// The fields that were masked so far: at most 64.
    #[must_use]
    pub fn fields(&self) -> &[Field] {
        self.hide.fields()
    }

    /// Records so far: values of a stream, events, elements of an array at the top of a document,
    /// lines of a table without the first; otherwise 1 once there is a document.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.document.rows()
    }

    /// Bytes that passed and that nobody looked into.
    #[must_use]
    pub fn opaque_bytes(&self) -> u64 {
        self.document.opaque_bytes()
    }

    fn keep(&mut self, result: Result<(), Unreadable>) -> Result<(), Unreadable> {
        self.failed = result.err();
        result
    }
}

impl Document {
    fn new(kind: &Kind) -> Self {
        match kind {
            Kind::Json => Self::Json(Box::new(Json::new(Values::One))),
            Kind::NdJson => Self::Json(Box::new(Json::new(Values::Many))),
            Kind::EventStream => Self::Events(Events::default()),
            Kind::Form => Self::Form(Form::default()),
            Kind::Text => Self::Plain(Box::default()),
            Kind::Csv => Self::Csv(Csv::default()),
            Kind::Multipart { boundary } => Self::Multipart(Box::new(Multipart::new(boundary))),
            Kind::Xml => Self::Xml(Xml::default()),
            Kind::Opaque => Self::Opaque { bytes: 0 },
        }
    }

    fn push(
        &mut self,
        bytes: &[u8],
        hide: &mut Hider,
        out: &mut Vec<u8>,
    ) -> Result<(), Unreadable> {
        match self {
            Self::Events(events) => events.push(bytes, hide, out),
            Self::Form(form) => form.push(bytes, hide, out),
            Self::Csv(csv) => csv.push(bytes, hide, out),
            Self::Multipart(multipart) => multipart.push(bytes, hide, out),
            Self::Xml(xml) => xml.push(bytes, hide, out),
            Self::Json(json) => json.push(bytes, hide, out),
            Self::Plain(plain) => plain.push(bytes, hide, out),
            Self::Opaque { bytes: passed } => {
                *passed = passed.saturating_add(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
                out.extend_from_slice(bytes);
                Ok(())
            }
        }
    }

    fn finish(&mut self, hide: &mut Hider, out: &mut Vec<u8>) -> Result<(), Unreadable> {
        match self {
            Self::Events(events) => events.finish(hide, out),
            Self::Form(form) => form.finish(hide, out),
            Self::Csv(csv) => csv.finish(hide, out),
            Self::Multipart(multipart) => multipart.finish(),
            Self::Xml(xml) => xml.finish(hide, out),
            Self::Json(json) => json.finish(hide, out),
            Self::Opaque { .. } => Ok(()),
            Self::Plain(plain) => plain.finish(hide, out),
        }
    }

    fn rows(&self) -> u64 {
        match self {
            Self::Events(events) => events.rows(),
            Self::Form(form) => form.rows(),
            Self::Csv(csv) => csv.rows(),
            Self::Multipart(multipart) => multipart.rows(),
            Self::Xml(xml) => xml.rows(),
            Self::Json(json) => json.rows(),
            Self::Opaque { .. } => 0,
            Self::Plain(plain) => plain.rows(),
        }
    }

    fn opaque_bytes(&self) -> u64 {
        match self {
            Self::Multipart(multipart) => multipart.opaque_bytes(),
            Self::Opaque { bytes } => *bytes,
            _ => 0,
        }
    }
}

const OVER: Unreadable = Unreadable { reason: "over", what: "the body goes on after its end" };

/// What readers of the body would read in different ways.
const AMBIGUOUS: Unreadable =
    Unreadable { reason: "ambiguous", what: "the body can be read in more than one way" };
