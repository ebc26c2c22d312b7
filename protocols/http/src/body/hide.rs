//! What is hidden in a body, how, and what was found: shared by the readers of every kind.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use detect::{DetectionType, Scanner, Span, TypeSet};
use engine::{HashKey, MaskKind, MaskPlan, REDACTED, partial_text};
use foldhash::fast::RandomState;
use model::DetectionCount;

use super::names::{Before, NameId, Names};
use super::{Field, Hidden, Unreadable};

/// Names whose mask is remembered; past it they are forgotten and asked for again.
const LABELS_MAX: usize = 1024;
/// Fields that are reported.
const FIELDS_MAX: usize = 64;
/// Longest name whose mask is remembered, bytes.
const LABEL_BYTES_MAX: usize = 512;
/// Sets of names that wait for the next body under their plan.
const SETS_MAX: usize = 16;
/// Names in such a set.
const SET_NAMES_MAX: usize = 128;
/// Bytes of a field's name that are reported.
const FIELD_BYTES_MAX: usize = 256;
/// Longest text that must be held to be judged, bytes.
pub(super) const JUDGED_BYTES_MAX: usize = 1024 * 1024;
/// Longest dotted path, bytes. Each name below a path costs a look at all of it.
pub(super) const PATH_BYTES_MAX: usize = 4 * 1024;

type Labels = HashMap<Box<str>, Option<MaskKind>, RandomState>;

const TYPES: usize = DetectionType::ALL.len();

/// What becomes of a value.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Replaced {
    /// It stays as it is.
    Untouched,
    /// Nothing of it stays.
    Null,
    /// It becomes this.
    With(Vec<u8>),
}

/// Counts and fields at some moment, to return to when a guess was wrong.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment {
    counts: [Count; TYPES],
    fields: usize,
}

#[derive(Clone, Copy, Debug, Default)]
struct Count {
    seen: u64,
    masked: u64,
}

/// What is looked for and what became of it so far.
pub(super) struct Hider {
    plan: Arc<MaskPlan>,
    key: Arc<HashKey>,
    /// [`None`] when no type is looked for.
    scanner: Option<Arc<Scanner>>,
    has_fields: bool,
    /// By one name alone, and by a path and its last name.
    labels: Labels,
    paths: Labels,
    /// By where they stand in documents.
    names: Names,
    counts: [Count; TYPES],
    fields: Vec<Field>,
    spans: Vec<Span>,
    joined: Vec<u8>,
    /// What was hidden, where that is told.
    hidden: Option<Vec<Hidden>>,
    /// The field that was met last.
    source: String,
}

impl Hider {
    /// Hides what the plan says, and counts its types and `scan`.
    pub fn new(plan: &Arc<MaskPlan>, key: &Arc<HashKey>, scan: TypeSet) -> Self {
        let masked = TypeSet::from_iter(plan.detections().iter().map(|(found, _)| *found));
        let types = masked.union(scan);
        let has_fields = plan.has_fields();
        Self {
            plan: Arc::clone(plan),
            key: Arc::clone(key),
            scanner: (!types.is_empty()).then(|| scanner(types)),
            has_fields,
            labels: Labels::default(),
            paths: Labels::default(),
            names: if has_fields { names_under(plan.id) } else { Names::default() },
            counts: [Count::default(); TYPES],
            fields: Vec::new(),
            spans: Vec::new(),
            joined: Vec::new(),
            hidden: None,
            source: String::new(),
        }
    }

    /// From here on tells what it hides.
    pub fn tell(&mut self) {
        self.hidden = Some(Vec::new());
    }

    /// Whether it does.
    pub fn tells(&self) -> bool {
        self.hidden.is_some()
    }

    /// What was hidden since the last call.
    pub fn take_hidden(&mut self) -> Vec<Hidden> {
        self.hidden.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// The next value belongs to this field, which was met before.
    pub fn comes_from(&mut self, name: &str) {
        if self.tells() {
            name.clone_into(&mut self.source);
        }
    }

    fn told(&mut self, name: Option<DetectionType>, value: &str) {
        if let Some(hidden) = &mut self.hidden {
            let name = match name {
                Some(found) => found.name().into(),
                None => self.source.as_str().into(),
            };
            hidden.push(Hidden { name, value: value.to_owned() });
        }
    }

    /// One that hides and counts nothing, for reading ahead.
    pub fn blind(&self) -> Self {
        let (plan, key) = (Arc::clone(&self.plan), Arc::clone(&self.key));
        Self { has_fields: false, scanner: None, ..Self::new(&plan, &key, TypeSet::EMPTY) }
    }

    /// The body is over. What is known of its names is kept for the next one under the same plan:
    /// bodies of one resource look alike.
    pub fn end(&mut self) {
        let names = std::mem::take(&mut self.names);
        if (1..=SET_NAMES_MAX).contains(&names.len()) {
            keep_names(self.plan.id, names);
        }
    }

    /// What was found since the last call.
    pub fn take_found(&mut self) -> Vec<DetectionCount> {
        let counts = std::mem::take(&mut self.counts);
        let counted = DetectionType::ALL.into_iter().zip(counts);
        counted
            .filter(|(_, count)| count.seen > 0)
            .map(|(kind, Count { seen, masked })| DetectionCount {
                kind: kind.name().into(),
                seen,
                masked,
            })
            .collect()
    }

    /// The kind of a name and of the paths that lead to it, strictest; remembers that it was met.
    pub fn field(&mut self, name: &str, path: &str, from_root: &str) -> Option<MaskKind> {
        if !self.has_fields {
            return None;
        }
        // One answer is remembered for both a path and its last name, which follows from it.
        let is_whole =
            std::ptr::eq(from_root, path) && memchr::memchr(b'.', name.as_bytes()).is_none();
        let known = if is_whole { self.paths.get(path).copied() } else { None };
        let kind = match known {
            Some(kind) => kind?,
            None => {
                let kind = self.kind_of(name, path, from_root);
                if is_whole {
                    remember(&mut self.paths, path, kind);
                }
                kind?
            }
        };
        self.comes_from(path);
        note(&mut self.fields, path, kind);
        Some(kind)
    }

    /// The top of documents at this path, where keys can be remembered.
    pub fn top(&mut self, path: &str) -> Option<NameId> {
        if self.has_fields { self.names.top(path) } else { None }
    }

    /// Like [`field`](Self::field) for a key of JSON under `under`, after `before` in its object,
    /// that was met there before and has no escapes.
    pub fn key_again(
        &mut self,
        under: NameId,
        before: Before,
        raw: &[u8],
    ) -> Option<(NameId, Option<MaskKind>)> {
        let id = self.names.again(under, before, raw)?;
        Some((id, self.reported(id)))
    }

    /// The same for a key that was not met there, or not last; `None` where none can be remembered.
    pub fn key(
        &mut self,
        under: NameId,
        before: Before,
        name: &str,
    ) -> Option<(NameId, Option<MaskKind>)> {
        let id = match self.names.known(under, name) {
            Some(id) => id,
            None => {
                let (path, root) = self.names.path_under(under, name)?;
                let from_root = path.get(root..).unwrap_or_default().trim_start_matches('.');
                let kind = self.kind_of(name, &path, from_root);
                self.names.add(under, name, path.into(), root, kind)?
            }
        };
        self.names.expect(under, before, id);
        Some((id, self.reported(id)))
    }

    /// The path of a key that is remembered.
    pub fn path(&self, id: NameId) -> &str {
        self.names.path(id)
    }

    /// What becomes of a text under a mask.
    pub fn masked(&mut self, kind: MaskKind, value: &str) -> Replaced {
        self.told(None, value);
        self.replacement(kind, value)
    }

    fn replacement(&self, kind: MaskKind, value: &str) -> Replaced {
        match kind {
            MaskKind::Null => Replaced::Null,
            MaskKind::Redact => Replaced::With(REDACTED.as_bytes().to_vec()),
            MaskKind::Hash | MaskKind::Tokenize => {
                Replaced::With(self.key.hash_text(value).into_bytes())
            }
            MaskKind::Partial => Replaced::With(partial_text(value).into_bytes()),
        }
    }

    /// A number for a number, which every reader of JSON keeps exactly: below 2^53.
    pub fn number(&mut self, canonical: &str) -> i64 {
        self.told(None, canonical);
        self.key.hash_int(canonical, 54)
    }

    /// What becomes of a text in which types of values are hidden. `context` stands before it and
    /// may say what it is; nothing of it is hidden.
    pub fn within(&mut self, context: &[u8], text: &[u8]) -> Replaced {
        let from = self.scan(context, text);
        if self.spans.is_empty() {
            return Replaced::Untouched;
        }
        let spans = std::mem::take(&mut self.spans);
        let replaced = self.replace(&spans, from, text);
        self.spans = spans;
        replaced
    }

    /// Like [`within`](Self::within) for a text that may lose some of itself but not all: what is
    /// to become null is cut out.
    pub fn within_text(&mut self, context: &[u8], text: &[u8], out: &mut Vec<u8>) {
        let from = self.scan(context, text);
        let spans = std::mem::take(&mut self.spans);
        self.write(&spans, from, text, out);
        self.spans = spans;
    }

    /// The values in a text, as places in it; those that begin in the context begin at 0.
    pub fn spans(&mut self, context: &[u8], text: &[u8]) -> Vec<Span> {
        let from = self.scan(context, text);
        let within = |span: &Span| Span {
            start: span.start.saturating_sub(from),
            end: span.end.saturating_sub(from),
            kind: span.kind,
        };
        self.spans.iter().map(within).collect()
    }

    /// Counts the values, and writes the text with those hidden that are to be.
    pub fn write(&mut self, spans: &[Span], from: usize, text: &[u8], out: &mut Vec<u8>) {
        let mut at = 0;
        for span in spans {
            let kind = self.kind(span.kind);
            self.count(span.kind, kind.is_some());
            let start = span.start.saturating_sub(from);
            let Some(kind) = kind else { continue };
            out.extend_from_slice(text.get(at..start).unwrap_or_default());
            at = span.end.saturating_sub(from);
            let value = String::from_utf8_lossy(text.get(start..at).unwrap_or_default());
            self.told(Some(span.kind), &value);
            if let Replaced::With(hidden) = self.replacement(kind, &value) {
                out.extend_from_slice(&hidden);
            }
        }
        out.extend_from_slice(text.get(at..).unwrap_or_default());
    }

    /// Whether nothing can be found in the bytes, nor in any part of them.
    pub fn is_quiet(&self, bytes: &[u8]) -> bool {
        self.scanner.as_ref().is_none_or(|scanner| !scanner.may_contain(bytes))
    }

    /// Whether any type of value is looked for.
    pub fn has_types(&self) -> bool {
        self.scanner.is_some()
    }

    /// Whether this type is looked for.
    pub fn looks_for(&self, kind: DetectionType) -> bool {
        self.scanner.as_ref().is_some_and(|scanner| scanner.types().contains(kind))
    }

    /// Whether any name is looked for.
    pub fn has_fields(&self) -> bool {
        self.has_fields
    }

    /// Whether anything is hidden (rather than only counted).
    pub fn hides(&self) -> bool {
        !self.plan.is_empty()
    }

    /// The fields that were masked.
    pub fn fields(&self) -> &[Field] {
        &self.fields
    }

    /// Counts and fields as they are now.
    pub fn moment(&self) -> Moment {
        Moment { counts: self.counts, fields: self.fields.len() }
    }

    /// Forgets what was counted since then.
    pub fn back_to(&mut self, moment: Moment) {
        self.counts = moment.counts;
        if self.fields.len() > moment.fields {
            self.names.take_reports_back();
        }
        self.fields.truncate(moment.fields);
    }

    /// How a key is hidden; remembers that it was met.
    fn reported(&mut self, id: NameId) -> Option<MaskKind> {
        let kind = self.names.kind(id)?;
        if let Some(path) = self.names.report(id) {
            note(&mut self.fields, path, kind);
        }
        if self.hidden.is_some() {
            self.names.path(id).clone_into(&mut self.source);
        }
        Some(kind)
    }

    /// The kind of a name and of the paths that lead to it, strictest.
    fn kind_of(&mut self, name: &str, path: &str, from_root: &str) -> Option<MaskKind> {
        let kind = self.label(path).into_iter().chain(self.label_unless(name, path));
        kind.chain(self.label_unless(from_root, path)).min()
    }

    /// The kind of one name.
    fn label(&mut self, name: &str) -> Option<MaskKind> {
        if let Some(known) = self.labels.get(name) {
            return *known;
        }
        let kind = self.plan.label(name);
        remember(&mut self.labels, name, kind);
        kind
    }

    fn label_unless(&mut self, name: &str, asked: &str) -> Option<MaskKind> {
        if name == asked { None } else { self.label(name) }
    }

    /// Fills `spans`; says where the text begins in what they count from.
    fn scan(&mut self, context: &[u8], text: &[u8]) -> usize {
        self.spans.clear();
        let Some(scanner) = &self.scanner else { return 0 };
        if context.is_empty() {
            scanner.scan(text, &mut self.spans);
            return 0;
        }
        self.joined.clear();
        self.joined.extend_from_slice(context);
        self.joined.extend_from_slice(text);
        scanner.scan(&self.joined, &mut self.spans);
        self.spans.retain(|span| span.end > context.len());
        if self.joined.capacity() > JUDGED_BYTES_MAX / 4 {
            self.joined = Vec::new();
        }
        context.len()
    }

    fn replace(&mut self, spans: &[Span], from: usize, text: &[u8]) -> Replaced {
        let mut kinds = spans.iter().filter_map(|span| self.kind(span.kind));
        if kinds.clone().any(|kind| kind == MaskKind::Null) {
            for span in spans {
                self.count(span.kind, true);
            }
            return Replaced::Null;
        }
        let changes = kinds.next().is_some();
        let mut out = Vec::with_capacity(if changes { text.len() } else { 0 });
        if changes {
            self.write(spans, from, text, &mut out);
            return Replaced::With(out);
        }
        for span in spans {
            self.count(span.kind, false);
        }
        Replaced::Untouched
    }

    fn kind(&self, found: DetectionType) -> Option<MaskKind> {
        self.plan.detections().iter().find(|(of, _)| *of == found).map(|(_, kind)| *kind)
    }

    fn count(&mut self, found: DetectionType, masked: bool) {
        let of = DetectionType::ALL.into_iter().zip(&mut self.counts);
        if let Some((_, count)) = { of }.find(|(kind, _)| *kind == found) {
            count.seen = count.seen.saturating_add(1);
            count.masked = count.masked.saturating_add(u64::from(masked));
        }
    }
}

/// The scanner for these types, made once in the life of the process.
pub(crate) fn scanner(types: TypeSet) -> Arc<Scanner> {
    static MADE: [OnceLock<Arc<Scanner>>; 1 << TYPES] = [const { OnceLock::new() }; 1 << TYPES];
    let make = || Arc::new(Scanner::new(types));
    let places = (0..).zip(DetectionType::ALL);
    let place = places.filter(|(_, kind)| types.contains(*kind)).map(|(bit, _)| 1_usize << bit);
    MADE.get(place.sum::<usize>()).map_or_else(make, |made| Arc::clone(made.get_or_init(make)))
}

/// Names that were met in bodies under some plans, by the plans' ids, which are used once. They say
/// nothing but how names are hidden, which follows from the plan alone.
static SETS: Mutex<Vec<(u64, Names)>> = Mutex::new(Vec::new());

/// Names that are known to some body under this plan.
fn names_under(plan: u64) -> Names {
    let mut sets = SETS.lock().unwrap_or_else(PoisonError::into_inner);
    let place = sets.iter().rposition(|(of, _)| *of == plan);
    place.map(|place| sets.swap_remove(place).1).unwrap_or_default()
}

fn keep_names(plan: u64, mut names: Names) {
    names.take_reports_back();
    let mut sets = SETS.lock().unwrap_or_else(PoisonError::into_inner);
    if sets.len() >= SETS_MAX {
        sets.remove(0);
    }
    sets.push((plan, names));
}

fn note(fields: &mut Vec<Field>, path: &str, mask: MaskKind) {
    let mut end = path.len().min(FIELD_BYTES_MAX);
    while !path.is_char_boundary(end) {
        end -= 1;
    }
    let name = path.get(..end).unwrap_or_default();
    let known = fields.iter().any(|field| *field.name == *name && field.mask == mask);
    if !known && fields.len() < FIELDS_MAX {
        fields.push(Field { name: name.into(), mask });
    }
}

fn remember(labels: &mut Labels, name: &str, kind: Option<MaskKind>) {
    if labels.len() >= LABELS_MAX {
        labels.clear();
    }
    if name.len() <= LABEL_BYTES_MAX {
        labels.insert(name.into(), kind);
    }
}

/// A text that is too long to be judged.
pub(super) const TOO_LONG: Unreadable =
    Unreadable { reason: "too_long", what: "the body has a value that is too long to be judged" };
