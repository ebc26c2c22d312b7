//! Sensitive values recognised as they pass (`mask.types`): found, counted, replaced. Best effort
//! (R8).

use std::borrow::Cow;
use std::sync::Arc;

use detect::{DetectionType, Scanner, Span, TypeSet};
use engine::{HashKey, MaskKind, REDACTED, partial_text};
use model::DetectionCount;
use serde::de::IgnoredAny;

use super::{BPCHAR_CHARACTERS_MAX, Search, as_text};
use crate::types::{self, Element, Format, TextKind, oid};

/// What is looked for, and what becomes of it.
#[derive(Clone, Debug)]
pub struct Detections {
    scanner: Scanner,
    masks: Vec<(DetectionType, Option<MaskKind>, Arc<str>)>,
}

/// A value that is searched.
#[derive(Clone, Copy, Debug)]
pub(super) struct Subject<'a> {
    pub search: Search,
    pub type_oid: u32,
    pub type_mod: i32,
    pub format: Format,
    pub value: &'a [u8],
}

/// What a search led to.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Replaced {
    Null,
    Untouched,
    With(Vec<u8>),
}

impl Detections {
    /// Hides the `masked` types, and counts these and the `counted` ones. `None` when there is
    /// nothing to look for.
    #[must_use]
    pub fn new(masked: &[(DetectionType, MaskKind)], counted: TypeSet) -> Option<Self> {
        let types = TypeSet::from_iter(masked.iter().map(|(found, _)| *found)).union(counted);
        let kind =
            |found| masked.iter().filter(|(of, _)| *of == found).map(|(_, kind)| *kind).min();
        let masks = types.iter().map(|found| (found, kind(found), found.name().into())).collect();
        (!types.is_empty()).then(|| Self { scanner: Scanner::new(types), masks })
    }

    /// "No" is certain for every value that stands in `bytes` as it is.
    #[must_use]
    pub fn may_contain(&self, bytes: &[u8]) -> bool {
        self.scanner.may_contain(bytes)
    }

    /// The strictest kind of all.
    pub(super) fn strictest(&self) -> Option<MaskKind> {
        self.masks.iter().filter_map(|(_, kind, _)| *kind).min()
    }

    /// The strictest kind of what is found in a value, which is counted as masked whatever it is.
    pub(super) fn strictest_in(
        &self,
        searched: Subject<'_>,
        found: &mut Vec<DetectionCount>,
    ) -> Option<MaskKind> {
        let mut spans = Vec::new();
        self.look(searched, &mut spans);
        self.count(&spans, &[], found);
        spans.iter().filter_map(|span| self.kind(span.kind)).min()
    }

    /// Looks for everything in a value; what was looked at is returned.
    fn look<'a>(&self, searched: Subject<'a>, spans: &mut Vec<Span>) -> Cow<'a, [u8]> {
        let whole = searched.whole();
        self.scanner.scan(&whole, spans);
        let mut more = Vec::new();
        for bytes in searched.within() {
            self.scanner.scan(&bytes, &mut more);
            spans.append(&mut more);
        }
        whole
    }

    /// Counts what is found in these words, which reach the client as they are or not at all; true
    /// where something found must be hidden, and all of it is counted as that.
    pub fn hides_words(&self, words: &[&[u8]], found: &mut Vec<DetectionCount>) -> bool {
        let (mut all, mut spans) = (Vec::new(), Vec::new());
        for text in words {
            self.scanner.scan(text, &mut spans);
            all.append(&mut spans);
        }
        let hides = all.iter().any(|span| self.kind(span.kind).is_some());
        self.count(&all, if hides { &[] } else { &all }, found);
        hides
    }

    /// What becomes of a value.
    pub(super) fn replace(
        &self,
        searched: Subject<'_>,
        key: &HashKey,
        found: &mut Vec<DetectionCount>,
    ) -> Replaced {
        let inside = match (searched.search, searched.format) {
            (Search::Text(_) | Search::Json, _) => true,
            (Search::TextArray, Format::Text) => return self.array(searched.value, key, found),
            (Search::TextArray, Format::Binary)
            | (Search::Bytea | Search::Number | Search::Opaque, _) => false,
        };
        let mut spans = Vec::new();
        let whole = self.look(searched, &mut spans);
        if spans.iter().all(|span| self.kind(span.kind).is_none()) {
            self.count(&spans, &spans, found);
            return Replaced::Untouched;
        }
        let replaced = inside
            .then(|| self.within(&whole, &spans, key))
            .flatten()
            .and_then(|text| searched.accept(text));
        let Some(replaced) = replaced else {
            self.count(&spans, &[], found);
            return Replaced::Null;
        };
        let shown: Vec<_> =
            spans.iter().copied().filter(|span| self.kind(span.kind).is_none()).collect();
        self.count(&spans, &shown, found);
        Replaced::With(replaced)
    }

    fn array(&self, value: &[u8], key: &HashKey, found: &mut Vec<DetectionCount>) -> Replaced {
        let Some(pieces) = types::elements(value) else {
            let mut spans = Vec::new();
            self.scanner.scan(value, &mut spans);
            self.count(&spans, &[], found);
            return if spans.is_empty() { Replaced::Untouched } else { Replaced::Null };
        };
        let mut out = Vec::with_capacity(value.len());
        let mut changed = false;
        let mut spans = Vec::new();
        for piece in &pieces {
            let (raw, text) = match piece {
                Element::Frame(raw) => {
                    out.extend_from_slice(raw);
                    continue;
                }
                Element::Value { raw, text } => (raw, text),
            };
            self.scanner.scan(text, &mut spans);
            let (hidden, shown): (Vec<_>, Vec<_>) =
                spans.iter().copied().partition(|span| self.kind(span.kind).is_some());
            self.count(&spans, &shown, found);
            if hidden.is_empty() {
                out.extend_from_slice(raw);
                continue;
            }
            changed = true;
            match self.within(text, &spans, key) {
                Some(text) => types::quote_element(&mut out, &text),
                None => return Replaced::Null,
            }
        }
        if changed { Replaced::With(out) } else { Replaced::Untouched }
    }

    /// The text with what was found replaced; `None` when the whole value must go.
    fn within(&self, text: &[u8], spans: &[Span], key: &HashKey) -> Option<Vec<u8>> {
        let mut out = Vec::with_capacity(text.len().saturating_add(REDACTED.len()));
        let mut from = 0;
        for span in spans {
            let Some(kind) = self.kind(span.kind) else { continue };
            out.extend_from_slice(text.get(from..span.start)?);
            let value = text.get(span.start..span.end)?;
            match kind {
                MaskKind::Null => return None,
                MaskKind::Redact => out.extend_from_slice(REDACTED.as_bytes()),
                MaskKind::Hash | MaskKind::Tokenize => {
                    out.extend_from_slice(key.hash_text(&as_text(value)).as_bytes());
                }
                MaskKind::Partial => {
                    let shown = std::str::from_utf8(value).map(partial_text);
                    out.extend_from_slice(shown.as_deref().unwrap_or(REDACTED).as_bytes());
                }
            }
            from = span.end;
        }
        out.extend_from_slice(text.get(from..)?);
        Some(out)
    }

    fn kind(&self, found: DetectionType) -> Option<MaskKind> {
        self.masks.iter().find(|(of, ..)| *of == found).and_then(|(_, kind, _)| *kind)
    }

    fn count(&self, spans: &[Span], shown: &[Span], found: &mut Vec<DetectionCount>) {
        for span in spans {
            let Some((.., name)) = self.masks.iter().find(|(of, ..)| *of == span.kind) else {
                continue;
            };
            let masked = u64::from(!shown.contains(span));
            match found.iter_mut().find(|count| count.kind == *name) {
                Some(count) => {
                    count.seen = count.seen.saturating_add(1);
                    count.masked = count.masked.saturating_add(masked);
                }
                None => found.push(DetectionCount { kind: Arc::clone(name), seen: 1, masked }),
            }
        }
    }
}

impl<'a> Subject<'a> {
    /// What is looked at.
    fn whole(&self) -> Cow<'a, [u8]> {
        match (self.search, self.format) {
            (Search::Number, _) if matches!(self.type_oid, oid::FLOAT8 | oid::FLOAT8_ARRAY) => {
                let code = i16::from(self.format == Format::Binary);
                let text = types::canonical(self.type_oid, code, self.value).unwrap_or_default();
                Cow::Owned(integers(&text))
            }
            (Search::Number, Format::Binary) => types::canonical(self.type_oid, 1, self.value)
                .map_or(Cow::Borrowed(self.value), |text| Cow::Owned(text.into_bytes())),
            (Search::Bytea, Format::Text) => bytes_of(self.value),
            // COPY does not tell the type of an expression, which may be `bytea`.
            (Search::Opaque, Format::Text) if self.value.starts_with(b"\\x") => {
                bytes_of(self.value)
            }
            _ => Cow::Borrowed(self.value),
        }
    }

    /// What `bytea` values within the text of a record or an array stand for.
    fn within(&self) -> impl Iterator<Item = Vec<u8>> + use<'a> {
        let is_text = matches!((self.search, self.format), (Search::Opaque, Format::Text));
        let runs = is_text && !self.value.starts_with(b"\\x");
        runs.then(|| types::hex_runs(self.value)).into_iter().flatten()
    }

    /// The replaced text as a value of the type; `None` when it is not one (P4).
    fn accept(&self, mut text: Vec<u8>) -> Option<Vec<u8>> {
        match self.search {
            Search::Json => {
                let version =
                    usize::from(self.format == Format::Binary && self.type_oid == oid::JSONB);
                let document = text.get(version..)?;
                serde_json::from_slice::<IgnoredAny>(document).ok()?;
            }
            Search::Text(TextKind::Bpchar) => {
                let blanks = text.iter().rev().take_while(|byte| **byte == b' ').count();
                text.truncate(text.len().saturating_sub(blanks));
                if let Some(most) = TextKind::Bpchar.characters(self.type_mod) {
                    let characters = as_text(&text).chars().count();
                    let padding = most.min(BPCHAR_CHARACTERS_MAX).checked_sub(characters)?;
                    text.resize(text.len().checked_add(padding)?, b' ');
                }
            }
            Search::Text(kind) => return kind.fits(self.type_mod, &text).then_some(text),
            Search::Bytea | Search::Number | Search::Opaque | Search::TextArray => {}
        }
        Some(text)
    }
}

/// The numbers in the text of a `float8` or an array of them that have no fraction: the digits of
/// one look like anything.
fn integers(text: &str) -> Vec<u8> {
    let is_whole = |number: &&str| {
        let digits = number.strip_prefix('-').unwrap_or(number);
        !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
    };
    let whole: Vec<&str> = text.split(['{', ',', '}']).filter(is_whole).collect();
    whole.join(",").into_bytes()
}

/// What a `bytea` text stands for; another text is taken as it is.
fn bytes_of(text: &[u8]) -> Cow<'_, [u8]> {
    types::bytea_bytes(text).map_or(Cow::Borrowed(text), Cow::Owned)
}
