//! What follows from rules when some facts can never be known, as of an operation in a recording
//! that does not hold them.
//!
//! Deciding treats a fact that is not known yet as one that will be: it waits, or refuses. Where it
//! never will be, the honest answer about a rule that depends on it is that nobody can say. Whoever
//! asks finds those rules here, judges without them ([`Scope::decide_without`],
//! [`Scope::review_without`]), and looks what they could have changed.

use model::Phase;
use model::event::RuleMatch;

use crate::decide::{Scope, ScopedRule};
use crate::outcome::Settled;
use crate::permit::Permit;
use crate::schema::{BlockId, FactId, Facts};
use crate::tree::View;

/// A rule about which what is known says nothing certain.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Doubt {
    /// The rule and its action, as if it matched.
    pub rule: RuleMatch,
    /// The facts that it reads and that are not known.
    pub facts: Vec<&'static str>,
    /// The latest phase that its condition reads.
    pub phase: Phase,
}

impl Scope {
    /// Rules that match or not depending on facts that `unknown` names. `block` is that of the
    /// operation's protocol. A rule that waits for nothing but the reply is not one of them, unless
    /// facts of the reply are unknown.
    #[must_use]
    pub fn doubts(
        &self,
        block: BlockId,
        facts: &dyn Facts,
        unknown: &dyn Fn(FactId) -> bool,
    ) -> Vec<Doubt> {
        let view = View::new(facts, &self.0.facts);
        let rules = self.0.rules.iter();
        rules.filter_map(|scoped| doubt(scoped, &view, block, unknown)).collect()
    }

    /// The same of the rules that wait for the reply under this permit.
    #[must_use]
    pub fn doubts_of_reply(
        &self,
        permit: &Permit,
        block: BlockId,
        facts: &dyn Facts,
        unknown: &dyn Fn(FactId) -> bool,
    ) -> Vec<Doubt> {
        let scope = permit.scope();
        let view = View::new(facts, &scope.0.facts);
        let waiting = permit.pending().iter().filter(|pending| !pending.is_satisfied());
        let rules = waiting.filter_map(|pending| scope.0.rules.get(pending.rule));
        rules.filter_map(|scoped| doubt(scoped, &view, block, unknown)).collect()
    }
}

fn doubt(
    scoped: &ScopedRule,
    view: &View<'_>,
    block: BlockId,
    unknown: &dyn Fn(FactId) -> bool,
) -> Option<Doubt> {
    let rule = &scoped.rule;
    let reads = rule.facts.iter().filter(|fact| fact.decides);
    let reads = reads.filter(|fact| fact.within(block).is_some_and(unknown));
    let facts: Vec<_> = reads.map(|fact| fact.name).collect();
    let depends = !facts.is_empty() && rule.judge(scoped.frame(view)) == Settled::Maybe;
    depends.then(|| Doubt { rule: rule.matched(), facts, phase: rule.phase })
}
