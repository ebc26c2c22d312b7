//! What of a reply is followed into later requests of the same principal (R14): values of masked
//! columns as the server sent them, and those that `classify` rules name. Only where a rule asks
//! where values go.

use std::sync::Arc;

use bytes::BytesMut;
use detect::{Scanner, Span, TypeSet};
use engine::taint::{Taint, Trail};
use engine::{Fault, HashKey, MaskKind, MaskPlan};
use model::{Column, Side};

use crate::copy::{CopyFormat, CopyMask};
use crate::message::Reader;
use crate::shape::Shape;
use crate::types::{self, Element, Format, TypeClass};

/// Shortest word of a value that is followed on its own, bytes.
const WORD_BYTES_MIN: usize = 8;
/// Such words of one value, at most.
const WORDS_MAX: usize = 64;

/// To whom values go, and from where.
#[derive(Clone)]
pub struct Origin {
    /// What the principal received.
    pub trail: Arc<Trail>,
    /// The resource's name.
    pub resource: Arc<str>,
}

/// What is followed of each row of one reply.
pub struct Follow {
    trail: Arc<Trail>,
    columns: Box<[Followed]>,
    /// Types of values that are followed wherever they are found.
    scanner: Option<Scanner>,
}

/// A column of a reply.
struct Followed {
    /// Where its values come from, if they are followed whole.
    sources: Box<[Arc<str>]>,
    /// Where what is found in them comes from.
    place: Arc<str>,
    type_oid: u32,
    format: Option<Format>,
}

impl Follow {
    /// Of a reply of this shape, in which each column has this type and format. `None` where
    /// nothing in it is followed.
    pub fn new(
        origin: &Origin,
        plan: &MaskPlan,
        shape: &Shape,
        types: impl Iterator<Item = (u32, Option<Format>)>,
    ) -> Option<Self> {
        let types_followed = TypeSet::from_iter(plan.detections().iter().map(|(found, _)| *found));
        let columns: Box<[Followed]> = shape
            .columns
            .iter()
            .zip(&shape.kinds)
            .zip(types)
            .map(|((column, kind), (type_oid, format))| {
                let (sources, place) = sources(&origin.resource, plan, column, *kind);
                Followed { sources, place, type_oid, format }
            })
            .collect();
        let any = !types_followed.is_empty() || columns.iter().any(|c| !c.sources.is_empty());
        any.then(|| Self {
            trail: Arc::clone(&origin.trail),
            columns,
            scanner: (!types_followed.is_empty()).then(|| Scanner::new(types_followed)),
        })
    }

    /// The values of a `DataRow` with this body.
    ///
    /// # Errors
    /// It is no row.
    pub fn row(&self, body: &[u8], out: &mut Vec<Taint>) -> Result<(), Fault> {
        let mut reader = Reader::new(body, Side::Upstream);
        for index in 0..reader.count()? {
            if let Some(value) = reader.value()? {
                self.value(index, value, out);
            }
        }
        Ok(())
    }

    fn value(&self, index: usize, value: &[u8], out: &mut Vec<Taint>) {
        let Some(column) = self.columns.get(index) else { return };
        let searched = self.scanner.as_ref().filter(|_| column.sources.is_empty());
        if column.sources.is_empty() && searched.is_none() {
            return;
        }
        let text = column.text(value);
        match searched {
            Some(scanner) => {
                let mut spans: Vec<Span> = Vec::new();
                scanner.scan(text.as_bytes(), &mut spans);
                for span in spans {
                    let found = text.get(span.start..span.end).unwrap_or_default();
                    out.extend(self.trail.taints(&column.place, found.as_bytes()));
                }
            }
            None => {
                for part in parts(column.type_oid, &text) {
                    for source in &column.sources {
                        out.extend(self.trail.taints(source, &part));
                    }
                }
            }
        }
    }
}

impl Followed {
    /// The value as text, the same in both formats where the type is known.
    fn text(&self, value: &[u8]) -> String {
        let format = i16::from(self.format == Some(Format::Binary));
        types::canonical(self.type_oid, format, value).unwrap_or_else(|| match std::str::from_utf8(
            value,
        ) {
            Ok(text) => text.to_owned(),
            Err(_) => value.iter().map(|byte| char::from(*byte)).collect(),
        })
    }
}

/// The texts whose repetition tells a value: the value, and what it is made of where that is a
/// document, an array, a row or a sentence.
fn parts(type_oid: u32, text: &str) -> Vec<Vec<u8>> {
    let mut parts = vec![text.as_bytes().to_vec()];
    let is_json = matches!(TypeClass::of(type_oid), TypeClass::Json | TypeClass::Jsonb);
    if let Some(hex) = text.strip_prefix("\\x") {
        parts.push(hex.as_bytes().to_vec());
        parts.extend(types::bytea_bytes(text.as_bytes()));
    } else if is_json {
        parts.extend(engine::taint::scalars(text.as_bytes()));
    } else if text.starts_with('{')
        && let Some(elements) = types::elements(text.as_bytes())
    {
        parts.extend(elements.into_iter().filter_map(|element| match element {
            Element::Value { text, .. } => Some(text.to_vec()),
            Element::Frame(_) => None,
        }));
    } else if text.starts_with('(') {
        let of_row = text.split([',', '(', ')', '"']).filter(|part| !part.is_empty());
        parts.extend(of_row.map(|part| part.as_bytes().to_vec()));
    }
    // Somebody may have put words before a value or behind it: what looks like a number, a code or
    // an address is followed on its own too.
    let words = text.split(|c: char| c.is_whitespace() || r#",;:|/()[]{}<>"'="#.contains(c));
    let is_telling = |word: &&str| word.contains(|c: char| c.is_ascii_digit() || c == '@');
    let telling = words.filter(|word| word.len() >= WORD_BYTES_MIN && *word != text);
    parts.extend(telling.filter(is_telling).take(WORDS_MAX).map(|word| word.as_bytes().to_vec()));
    parts
}

/// Where values of a column come from, if they are followed whole, and where it is.
fn sources(
    resource: &str,
    plan: &MaskPlan,
    column: &Column,
    kind: Option<MaskKind>,
) -> (Box<[Arc<str>]>, Arc<str>) {
    let named = |place: &str| Arc::from(format!("{resource}:{place}"));
    let place = match column.origins.first() {
        Some(origin) => named(&origin.path()),
        None => named(&column.label),
    };
    if kind.is_none() {
        return (Box::default(), place);
    }
    let is_named = |origin: &&model::Origin| {
        plan.field(&origin.schema, &origin.table, &origin.column).is_some()
    };
    let of = column.origins.iter().filter(is_named).map(|origin| named(&origin.path()));
    let mut sources: Vec<Arc<str>> = of.collect();
    if sources.is_empty() {
        // By its label, or through a view over what is named.
        sources = column.origins.iter().map(|origin| named(&origin.path())).collect();
    }
    if sources.is_empty() {
        sources.push(Arc::clone(&place));
    }
    (sources.into(), place)
}

/// What is followed of the rows of one COPY.
pub struct FollowCopy {
    follow: Follow,
    reader: CopyMask,
    scratch: BytesMut,
}

impl FollowCopy {
    /// Of data in this format.
    pub fn new(follow: Follow, format: CopyFormat, key: Arc<HashKey>) -> Self {
        let columns: Vec<_> =
            follow.columns.iter().map(|c| (Some(MaskKind::Null), c.type_oid, -1)).collect();
        let reader = CopyMask::new(format, &columns, &[], key).telling();
        Self { follow, reader, scratch: BytesMut::new() }
    }

    /// Takes the body of a `CopyData`.
    ///
    /// # Errors
    /// As for its masks.
    pub fn push(&mut self, body: &[u8], out: &mut Vec<Taint>) -> Result<(), Fault> {
        self.reader.push(body, &mut self.scratch, &mut 0, &mut Vec::new())?;
        self.scratch.clear();
        for (index, value) in self.reader.take_told() {
            self.follow.value(index, &value, out);
        }
        Ok(())
    }
}
