//! Rules in the form in which they are judged.

use std::sync::Arc;
use std::time::Duration;

use model::event::RuleMatch;
use model::{Phase, Principal, PrincipalKind, Resource};

use crate::capability::Capabilities;
use crate::keep::PayloadPolicy;
use crate::mask::MaskRule;
use crate::outcome::{Outcomes, Settled};
use crate::permit::Need;
use crate::schema::{BlockId, Fact, FactId, Per, Usage};
use crate::template::Template;
use crate::tree::{Bool, Frame, View};

/// A rule.
#[derive(Debug)]
pub(crate) struct Rule {
    pub name: Arc<str>,
    /// The word for its action.
    pub word: Arc<str>,
    pub applies: Parties,
    pub on: Places,
    pub when: Option<Bool>,
    /// The text of `when`, for explanations.
    pub text: Option<Arc<str>>,
    pub action: Action,
    pub observe: bool,
    pub window: Duration,
    /// Facts in the rule's own numbering.
    pub facts: Box<[FactUse]>,
    /// The latest phase its condition reads (R3).
    pub phase: Phase,
}

/// A fact that a rule reads.
#[derive(Clone, Debug)]
pub(crate) struct FactUse {
    pub name: &'static str,
    /// One per block that declares it.
    pub ids: Box<[FactId]>,
    /// Its condition reads it (as opposed to its message only).
    pub decides: bool,
}

impl FactUse {
    /// The fact as an operation of `block` sees it.
    pub fn within(&self, block: BlockId) -> Option<FactId> {
        let of = |wanted| self.ids.iter().copied().find(|id| id.block == wanted);
        of(block).or_else(|| of(BlockId::COMMON))
    }
}

#[derive(Debug)]
pub(crate) enum Action {
    Mask(Arc<MaskRule>),
    Approve(Need),
    Block(Template),
    Alert(Template),
    Limit(Limit),
    /// Its values are followed into later requests, and stay as they are.
    Classify(Arc<MaskRule>),
    /// So much of the reply's payload is recorded.
    Record(PayloadPolicy),
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Limit {
    pub operations: Option<u64>,
    pub rows: Option<u64>,
    pub bytes: Option<u64>,
    pub per: Per,
    pub window: Duration,
}

impl Limit {
    /// The first amount that is used up, in words.
    pub fn exceeded(&self, used: Usage) -> Option<(u64, &'static str)> {
        [
            (self.operations, used.operations, "operations"),
            (self.rows, used.rows, "rows"),
            (self.bytes, used.bytes, "bytes"),
        ]
        .into_iter()
        .find_map(|(most, used, unit)| most.filter(|most| used >= *most).map(|most| (most, unit)))
    }
}

impl Rule {
    /// What is known about whether it matches, and whether it does at all: a rule that reads a fact
    /// that the protocol lacks does not.
    pub fn judge(&self, frame: Frame<'_>) -> Settled {
        let outcomes = self.when.as_ref().map_or(Outcomes::YES, |when| when.eval(frame));
        match outcomes.settled() {
            Settled::No => Settled::No,
            _ if self.reads_absent(frame) => Settled::No,
            settled => settled,
        }
    }

    /// Why it could not be evaluated: the fixed words of the first fact that failed.
    pub fn failure(&self, frame: Frame<'_>) -> Option<(&'static str, &'static str)> {
        (0..).zip(&self.facts).filter(|(_, fact)| fact.decides).find_map(
            |(local, fact)| match frame.fact(local) {
                Some(Fact::Known(model::Value::Failed(why))) => Some((fact.name, *why)),
                _ => None,
            },
        )
    }

    /// Whether its amount is used up, for a limit; any other rule has none.
    pub fn is_reached(&self, view: &View<'_>) -> bool {
        match &self.action {
            Action::Limit(limit) => {
                limit.exceeded(view.source().usage(limit.per, limit.window)).is_some()
            }
            _ => true,
        }
    }

    /// Whether a protocol that can do this can do what it asks.
    pub fn is_honoured(&self, capabilities: Capabilities) -> bool {
        let late = self.phase == Phase::Reply;
        match &self.action {
            Action::Mask(_) | Action::Classify(_) => capabilities.masks,
            Action::Approve(_) => capabilities.holds && (!late || capabilities.holds_reply),
            Action::Block(_) | Action::Limit(_) => !late || capabilities.holds_reply,
            Action::Alert(_) | Action::Record(_) => true,
        }
    }

    pub fn matched(&self) -> RuleMatch {
        RuleMatch {
            rule: Arc::clone(&self.name),
            action: Arc::clone(&self.word),
            observed: self.observe,
        }
    }

    fn reads_absent(&self, frame: Frame<'_>) -> bool {
        let mut decisive = (0..).zip(&self.facts).filter(|(_, fact)| fact.decides);
        decisive.any(|(local, _)| matches!(frame.fact(local), Some(Fact::Absent) | None))
    }
}

/// Whom a rule concerns.
#[derive(Debug, Default)]
pub(crate) struct Parties {
    pub groups: Box<[Arc<str>]>,
    pub subjects: Box<[Arc<str>]>,
    pub kinds: Box<[PrincipalKind]>,
}

impl Parties {
    /// Each key may be met by either party of a delegation (R12): rules only restrict, so the wider
    /// reading is the safe one. The party on whose behalf work is done counts as a person.
    pub fn include(&self, principal: &Principal) -> bool {
        let groups = || principal.groups.iter().chain(&principal.on_behalf_of_groups);
        let subjects = || [Some(&principal.subject), principal.on_behalf_of.as_ref()];
        let kinds = || {
            [Some(principal.kind), principal.on_behalf_of.as_ref().map(|_| PrincipalKind::Person)]
        };
        meets(&self.groups, groups())
            && meets(&self.subjects, subjects().into_iter().flatten())
            && (self.kinds.is_empty() || kinds().iter().flatten().any(|k| self.kinds.contains(k)))
    }
}

pub(crate) fn meets<'a>(
    wanted: &[Arc<str>],
    mut given: impl Iterator<Item = &'a Arc<str>>,
) -> bool {
    wanted.is_empty() || given.any(|name| wanted.contains(name))
}

/// Which resources a rule or a line of access concerns.
#[derive(Clone, Debug, Default)]
pub(crate) struct Places {
    /// Every resource.
    pub everywhere: bool,
    pub names: Box<[Arc<str>]>,
    pub types: Box<[Arc<str>]>,
}

impl Places {
    pub fn include(&self, resource: &Resource) -> bool {
        self.everywhere
            || self.names.contains(&resource.name)
            || self.types.contains(&resource.kind)
    }
}
