//! Which fields of a reply are hidden, and how.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use detect::DetectionType;

use crate::glob::Glob;

/// How a value is hidden, strictest first (R19); where several rules hide a field, the strictest
/// wins.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum MaskKind {
    /// Becomes NULL.
    Null,
    /// Becomes a fixed word.
    Redact,
    /// Becomes a keyed hash: equal values stay equal.
    Hash,
    /// Becomes a value of the same form, reversible by the key holder.
    Tokenize,
    /// Keeps its last characters.
    Partial,
}

impl MaskKind {
    /// Every kind, strictest first.
    pub const ALL: [Self; 5] =
        [Self::Null, Self::Redact, Self::Hash, Self::Tokenize, Self::Partial];

    /// The word used in configuration and records.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Redact => "redact",
            Self::Hash => "hash",
            Self::Tokenize => "tokenize",
            Self::Partial => "partial",
        }
    }
}

impl fmt::Display for MaskKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for MaskKind {
    type Err = ();

    fn from_str(word: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word).ok_or(())
    }
}

/// What a client may learn about a masked field by asking yes/no questions (R5), strictest first.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Predicates {
    /// Nothing: the field may not be compared.
    Refuse,
    /// Comparisons for equality with values the client sent, within a budget.
    Equality,
    /// Any comparison.
    Allow,
}

impl Predicates {
    /// Every choice, strictest first.
    pub const ALL: [Self; 3] = [Self::Refuse, Self::Equality, Self::Allow];

    /// The word used in configuration.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Refuse => "refuse",
            Self::Equality => "equality",
            Self::Allow => "allow",
        }
    }
}

impl FromStr for Predicates {
    type Err = ();

    fn from_str(word: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|choice| choice.as_str() == word).ok_or(())
    }
}

/// A name or glob of fields: `column`, `table.column` or `schema.table.column`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct FieldPattern {
    /// The text as one name: matches labels, and columns with dots in their own names.
    whole: Glob,
    /// Its dotted parts, last first; one star does not cross a dot of an origin.
    parts: Box<[Glob]>,
}

impl FieldPattern {
    pub fn new(text: &str) -> Self {
        Self { whole: Glob::new(text), parts: text.rsplit('.').map(Glob::new).collect() }
    }

    fn matches_origin(&self, schema: &str, table: &str, column: &str) -> bool {
        let names = [column, table, schema];
        self.whole.matches(column)
            || self.parts.len() <= names.len()
                && self.parts.iter().zip(names).all(|(part, name)| part.matches(name))
    }
}

/// A `mask` rule or a `classify` rule, compiled.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct MaskRule {
    pub name: Arc<str>,
    /// It hides, rather than only names what is followed.
    pub hides: bool,
    pub kind: MaskKind,
    pub fields: Box<[FieldPattern]>,
    pub types: Box<[DetectionType]>,
    pub predicates: Option<Predicates>,
}

impl MaskRule {
    /// As a rule of what is followed: a value is needed whole, as for a hash of it.
    pub fn followed(&self) -> Self {
        Self { kind: MaskKind::Hash, ..self.clone() }
    }
}

/// The union of the `mask` rules that apply to an operation.
///
/// Fields are matched case-insensitively: by where a column is stored, whatever it is called in the
/// reply, and by its label, which is best effort (R8).
#[derive(Debug)]
pub struct MaskPlan {
    /// Tells plans of this process apart: equal ids mean equal plans, so what was compiled for one
    /// can be kept under its id.
    pub id: u64,
    rules: Box<[Arc<MaskRule>]>,
    detections: Box<[(DetectionType, MaskKind)]>,
    detection_names: Arc<[Arc<str>]>,
    pub(crate) followed: Option<Arc<MaskPlan>>,
}

impl MaskPlan {
    pub(crate) fn new(id: u64, rules: Box<[Arc<MaskRule>]>) -> Self {
        let mut detections: Vec<(DetectionType, MaskKind)> = Vec::new();
        for rule in &rules {
            for found in &rule.types {
                match detections.iter_mut().find(|(kind, _)| kind == found) {
                    Some((_, kind)) => *kind = rule.kind.min(*kind),
                    None => detections.push((*found, rule.kind)),
                }
            }
        }
        let detection_names = detections.iter().map(|(found, _)| found.name().into()).collect();
        Self { id, rules, detections: detections.into(), detection_names, followed: None }
    }

    /// Whether it hides nothing at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// Whether replies must be looked into: something is hidden or followed.
    #[must_use]
    pub fn reads_replies(&self) -> bool {
        !self.is_empty() || self.followed.is_some()
    }

    /// What is followed into later requests of the same principal (R14), written as a plan that
    /// would hash it: everything that is masked, and what `classify` rules name. `None` while no
    /// rule asks where values go.
    #[must_use]
    pub fn followed(&self) -> Option<&Arc<MaskPlan>> {
        self.followed.as_ref()
    }

    /// Whether any rule names fields (as opposed to types of values).
    #[must_use]
    pub fn has_fields(&self) -> bool {
        self.rules.iter().any(|rule| !rule.fields.is_empty())
    }

    /// How the stored column is hidden, if it is. Costs a comparison per pattern: ask once per
    /// column, not per value.
    #[must_use]
    pub fn field(&self, schema: &str, table: &str, column: &str) -> Option<MaskKind> {
        self.of_field(schema, table, column).map(|rule| rule.kind).min()
    }

    /// How a column, key or parameter of this name is hidden, if it is. Patterns with a dot match
    /// names that contain it (paths).
    #[must_use]
    pub fn label(&self, label: &str) -> Option<MaskKind> {
        self.of_label(label).map(|rule| rule.kind).min()
    }

    /// Types of values that are hidden wherever they are found, and how.
    #[must_use]
    pub fn detections(&self) -> &[(DetectionType, MaskKind)] {
        &self.detections
    }

    /// Names of these types, in the same order.
    #[must_use]
    pub fn detection_names(&self) -> &Arc<[Arc<str>]> {
        &self.detection_names
    }

    /// What rules say about comparisons of the stored column (R5), strictest; `None` where it is
    /// not masked or no rule says anything, so that the default for its type applies.
    #[must_use]
    pub fn predicates(&self, schema: &str, table: &str, column: &str) -> Option<Predicates> {
        self.of_field(schema, table, column).filter_map(|rule| rule.predicates).min()
    }

    /// Names of the rules that hide the stored column.
    pub fn rules_for_field(
        &self,
        schema: &str,
        table: &str,
        column: &str,
    ) -> impl Iterator<Item = &Arc<str>> {
        self.of_field(schema, table, column).map(|rule| &rule.name)
    }

    /// Names of the rules that hide a label.
    pub fn rules_for_label(&self, label: &str) -> impl Iterator<Item = &Arc<str>> {
        self.of_label(label).map(|rule| &rule.name)
    }

    /// Names of the rules that hide a type of value.
    pub fn rules_for_detection(&self, found: DetectionType) -> impl Iterator<Item = &Arc<str>> {
        self.rules.iter().filter(move |rule| rule.types.contains(&found)).map(|rule| &rule.name)
    }

    /// Names of every rule in the plan, in the order of the configuration.
    pub fn rules(&self) -> impl Iterator<Item = &Arc<str>> {
        self.rules.iter().map(|rule| &rule.name)
    }

    fn of_field(&self, schema: &str, table: &str, column: &str) -> impl Iterator<Item = &MaskRule> {
        self.rules
            .iter()
            .map(AsRef::as_ref)
            .filter(move |rule| rule.fields.iter().any(|f| f.matches_origin(schema, table, column)))
    }

    fn of_label(&self, label: &str) -> impl Iterator<Item = &MaskRule> {
        self.rules
            .iter()
            .map(AsRef::as_ref)
            .filter(move |rule| rule.fields.iter().any(|field| field.whole.matches(label)))
    }
}
