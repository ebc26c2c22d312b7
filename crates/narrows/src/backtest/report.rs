//! What a backtest found: how much would change, by rule and by principal, with examples.

use std::collections::BTreeMap;

use archive::row::Text;
use serde::{Serialize, Serializer};

use super::judge::{Fate, Open};
use super::record::Coverage;

/// Examples kept of each rule under each heading.
const EXAMPLES_OF_RULE: usize = 3;
/// Rules of one heading of which examples are kept.
const EXAMPLES_MAX: usize = 1_000;
/// Names (rules, principals, facts) that are counted apart; the rest together.
const NAMES_MAX: usize = 10_000;
/// What the rest is counted as.
const OTHERS: &str = "(others)";

/// A kind of change.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Heading {
    /// It was not refused, and would be.
    Blocked,
    /// It was neither held nor refused, and would be held.
    Held,
    /// Something of its reply left in clear, and would be hidden.
    Masked,
    /// It was refused, held or hidden, and would be less.
    Released,
}

impl Heading {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Blocked, Self::Held, Self::Masked, Self::Released];

    /// As a person reads it.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Blocked => "newly blocked",
            Self::Held => "newly held",
            Self::Masked => "newly masked",
            Self::Released => "released",
        }
    }

    /// What it is for an operation to have another fate; `None` where it has the same.
    pub fn of(then: Fate, now: Fate) -> Option<Self> {
        match (then, now) {
            (then, now) if then == now => None,
            (_, Fate::Refused) => Some(Self::Blocked),
            (Fate::Passes, _) => Some(Self::Held),
            (Fate::Held | Fate::Refused, _) => Some(Self::Released),
        }
    }
}

impl Serialize for Heading {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(match self {
            Self::Blocked => "newly_blocked",
            Self::Held => "newly_held",
            Self::Masked => "newly_masked",
            Self::Released => "released",
        })
    }
}

/// An operation, as an example.
#[derive(Clone, Debug, Serialize)]
pub struct Operation {
    /// When it was decided, nanoseconds since the epoch.
    pub at: u64,
    /// The session.
    pub session: Text,
    /// Which operation of it.
    pub operation: u64,
    /// Who asked.
    pub principal: Text,
    /// What was reached.
    pub resource: Text,
    /// Its text; `None` when it is sealed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<Text>,
    /// What came of it.
    pub then: &'static str,
}

/// One operation that something else would come of.
#[derive(Clone, Debug, Serialize)]
pub struct Change {
    /// How it changes.
    #[serde(skip)]
    pub heading: Heading,
    /// The operation.
    #[serde(flatten)]
    pub of: Operation,
    /// What would come of it.
    pub now: &'static str,
    /// The rules that make the difference: of then for what is released, otherwise of now.
    pub rules: Vec<Text>,
    /// Columns, fields or types of values, where it is about these.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<String>,
}

/// An operation of which nobody can say.
pub struct Unclear {
    /// The operation.
    pub of: Operation,
    /// What may come of it; nothing where only how it is masked cannot be told.
    pub now: Vec<&'static str>,
    /// The rules that it depends on.
    pub open: Vec<Open>,
}

/// Operations under one heading.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Found {
    /// How many.
    pub operations: u64,
    /// By rule; an operation may count for several.
    pub by_rule: BTreeMap<String, u64>,
    /// By principal.
    pub by_principal: BTreeMap<String, u64>,
    /// Some of them, the first of each rule.
    pub examples: Vec<Change>,
    #[serde(skip)]
    shown: BTreeMap<Text, usize>,
}

/// An operation of which nobody can say, as an example.
#[derive(Clone, Debug, Serialize)]
pub struct Example {
    /// The operation.
    #[serde(flatten)]
    pub of: Operation,
    /// What may come of it; nothing where only how it is masked cannot be told.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub now: Vec<&'static str>,
    /// The rules that it depends on.
    pub rules: Vec<Text>,
}

/// Operations of which nobody can say.
#[derive(Clone, Debug, Default, Serialize)]
pub struct CannotSay {
    /// How many.
    pub operations: u64,
    /// By rule and by what of it is not known; an operation may count for several.
    pub by_rule: BTreeMap<String, BTreeMap<String, u64>>,
    /// By principal.
    pub by_principal: BTreeMap<String, u64>,
    /// Those that could not be judged at all, by why.
    pub not_judged: BTreeMap<String, u64>,
    /// Some of them, the first of each rule.
    pub examples: Vec<Example>,
    #[serde(skip)]
    shown: BTreeMap<Text, usize>,
}

/// All that was found.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    /// From then, RFC 3339.
    pub from: String,
    /// Until then.
    pub to: String,
    /// Operations in that time.
    pub operations: u64,
    /// Those of which the same would come.
    pub unchanged: u64,
    /// Those of which something else would.
    pub changed: u64,
    /// Further steps of operations that would not have been let through.
    pub not_reached: u64,
    /// Operations of which something else may come if those that would be released before them
    /// returned more than nothing: what rules count (`principal.rows`, limits) is what is recorded.
    pub counts: u64,
    /// Would be refused.
    pub newly_blocked: Found,
    /// Would be held.
    pub newly_held: Found,
    /// Would be masked.
    pub newly_masked: Found,
    /// Would be let go.
    pub released: Found,
    /// Nobody can say.
    pub cannot_say: CannotSay,
    /// What was looked into.
    pub coverage: Coverage,
}

impl Report {
    /// The same would come of an operation.
    pub fn unchanged(&mut self) {
        self.operations += 1;
        self.unchanged += 1;
    }

    /// It would not be asked, because what it is a step of would be refused.
    pub fn not_reached(&mut self) {
        self.operations += 1;
        self.not_reached += 1;
    }

    /// Something else would.
    pub fn changed(&mut self, changes: Vec<Change>) {
        self.operations += 1;
        self.changed += 1;
        let mut told: Vec<Heading> = Vec::new();
        for change in changes {
            let found = self.of_mut(change.heading);
            if !told.contains(&change.heading) {
                told.push(change.heading);
                found.operations += 1;
                count(&mut found.by_principal, &change.of.principal);
            }
            found.add(change);
        }
    }

    /// Nobody can say, because of these rules.
    pub fn cannot_say(&mut self, unclear: Unclear) {
        self.operations += 1;
        let found = &mut self.cannot_say;
        found.operations += 1;
        count(&mut found.by_principal, &unclear.of.principal);
        let mut told: Vec<(Text, String)> = Vec::new();
        for Open { rule, facts, .. } in unclear.open {
            told.extend(facts.into_iter().map(|fact| (Text::clone(&rule), fact)));
        }
        told.sort_unstable();
        told.dedup();
        let mut rules: Vec<Text> = told.iter().map(|(rule, _)| Text::clone(rule)).collect();
        for (rule, fact) in told {
            let known = found.by_rule.len() < NAMES_MAX || found.by_rule.contains_key(&*rule);
            let rule = if known { &*rule } else { OTHERS };
            count(found.by_rule.entry(rule.to_owned()).or_default(), &fact);
        }
        rules.dedup();
        if is_example(&mut found.shown, &rules) {
            found.examples.push(Example { of: unclear.of, now: unclear.now, rules });
        }
    }

    /// An operation that cannot be judged at all.
    pub fn unclear(&mut self, why: &str) {
        self.operations += 1;
        self.cannot_say.operations += 1;
        count(&mut self.cannot_say.not_judged, why);
    }

    /// Whether everything was read and judged, so that what is not told to change would not.
    #[must_use]
    pub fn is_certain(&self) -> bool {
        (self.cannot_say.operations, self.counts) == (0, 0) && self.coverage.unread.is_empty()
    }

    /// What is under a heading.
    #[must_use]
    pub fn of(&self, heading: Heading) -> &Found {
        match heading {
            Heading::Blocked => &self.newly_blocked,
            Heading::Held => &self.newly_held,
            Heading::Masked => &self.newly_masked,
            Heading::Released => &self.released,
        }
    }

    fn of_mut(&mut self, heading: Heading) -> &mut Found {
        match heading {
            Heading::Blocked => &mut self.newly_blocked,
            Heading::Held => &mut self.newly_held,
            Heading::Masked => &mut self.newly_masked,
            Heading::Released => &mut self.released,
        }
    }

    /// Examples of several gateways in the order of time.
    pub fn settle(&mut self) {
        for heading in Heading::ALL {
            self.of_mut(heading).examples.sort_by_key(|change| change.of.at);
        }
        self.cannot_say.examples.sort_by_key(|example| example.of.at);
    }
}

impl Found {
    fn add(&mut self, change: Change) {
        for rule in &change.rules {
            count(&mut self.by_rule, rule);
        }
        if is_example(&mut self.shown, &change.rules) || self.examples.is_empty() {
            self.examples.push(change);
        }
    }
}

/// Whether few examples of these rules are kept yet.
fn is_example(shown: &mut BTreeMap<Text, usize>, rules: &[Text]) -> bool {
    let mut is_example = false;
    for rule in rules {
        if shown.len() < EXAMPLES_MAX || shown.contains_key(rule) {
            let shown = shown.entry(Text::clone(rule)).or_default();
            is_example |= *shown < EXAMPLES_OF_RULE;
            *shown += 1;
        }
    }
    is_example
}

fn count(counts: &mut BTreeMap<String, u64>, name: &str) {
    let known = counts.len() < NAMES_MAX || counts.contains_key(name);
    let name = if known { name } else { OTHERS };
    *counts.entry(name.to_owned()).or_default() += 1;
}
