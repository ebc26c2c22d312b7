//! One recorded operation under the new rules: every fate that the record leaves room for, and the
//! rules on which the rest depends.

use std::sync::Arc;

use model::event::RuleMatch;
use model::operation::{RowBound, Stage};
use model::{Effect, OperationId, Phase};
use policy::{Decision, Doubt, Outcome, Permit, Progress, Request, Scope};

use super::facts::Known;

/// What becomes of an operation; later is stronger.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Fate {
    /// It passes.
    Passes,
    /// It, or its reply, waits for a person.
    Held,
    /// It, or its reply, is refused.
    Refused,
}

impl Fate {
    /// The word for it.
    pub fn word(self, is_masked: bool) -> &'static str {
        match (self, is_masked) {
            (Self::Refused, _) => "block",
            (Self::Held, _) => "hold",
            (Self::Passes, true) => "mask",
            (Self::Passes, false) => "allow",
        }
    }
}

/// A rule of which nobody can say whether it matches, and what would follow if it did.
#[derive(Clone, Debug)]
pub struct Open {
    /// Its name.
    pub rule: Arc<str>,
    /// What is not known.
    pub facts: Vec<String>,
    /// What it could make of the operation.
    pub fate: Fate,
    /// It could hide something.
    pub masks: bool,
}

/// One of the fates that the record leaves room for.
#[derive(Debug)]
pub struct Branch {
    /// What becomes of the operation.
    pub fate: Fate,
    /// By which rules.
    pub rules: Vec<Arc<str>>,
    /// What the operation passes under, until its reply is judged.
    permit: Option<Permit>,
    /// It depends on this, which is not known.
    pub supposes: Option<&'static str>,
}

/// What is known of a request.
pub struct Asked {
    /// Where in its life it is.
    pub stage: Stage,
    /// What is proved about its effect, where that can be told.
    pub effect: Option<Effect>,
    /// Rows it can return.
    pub rows: RowBound,
    /// A fact that is not known may be one that fails.
    pub may_fail: bool,
    /// Rules that somebody said yes to.
    pub satisfied: Vec<Arc<str>>,
}

/// What the record says of the rules that judged an operation then.
pub trait Witness {
    /// Whether a rule, as it is now, matched; `None` where that cannot be told.
    fn matched(&self, rule: &str, phase: Phase) -> Option<bool>;
}

/// What the new rules make of an operation.
#[derive(Debug, Default)]
pub struct Judged {
    /// Its fates.
    pub branches: Vec<Branch>,
    /// What they depend on besides.
    pub open: Vec<Open>,
    /// Mask rules that applied then, and of which that alone is known.
    pub masks: Vec<Arc<str>>,
    /// A mask rule matches.
    pub is_masked: bool,
    /// Something else may come of it if more was used before than is recorded.
    pub counts: bool,
}

impl Judged {
    /// It is refused, whatever the rules say.
    pub fn refused(rules: Vec<Arc<str>>) -> Self {
        let branch = Branch { fate: Fate::Refused, rules, permit: None, supposes: None };
        Self { branches: vec![branch], ..Self::default() }
    }

    /// Whether something that it depends on may be told by its reply's record.
    pub fn is_open(&self) -> bool {
        !self.open.is_empty()
    }

    /// Every fate there is room for.
    pub fn fates(&self) -> Vec<Fate> {
        let mut fates: Vec<Fate> = self.branches.iter().map(|branch| branch.fate).collect();
        for open in &self.open {
            // A rule only makes things stricter.
            let stricter: Vec<Fate> = fates.iter().map(|fate| (*fate).max(open.fate)).collect();
            fates.extend(stricter);
        }
        fates.sort_unstable();
        fates.dedup();
        fates
    }

    /// The rules that make it so strict.
    pub fn rules(&self, fate: Fate) -> Vec<Arc<str>> {
        let branches = self.branches.iter().filter(|branch| branch.fate == fate);
        let mut rules: Vec<Arc<str>> = branches.flat_map(|branch| branch.rules.clone()).collect();
        rules.sort_unstable();
        rules.dedup();
        rules
    }

    /// The masks it passes under, where it does.
    pub fn plan(&self) -> Option<&Arc<engine::MaskPlan>> {
        self.branches.iter().find_map(|branch| Some(branch.permit.as_ref()?.masks()))
    }

    /// Whether rules hang on how much was used before, where that may be more than is recorded.
    fn depends_on_use<'a>(
        &self,
        scope: &Scope,
        asked: &Asked,
        known: &dyn Fn(bool) -> Known<'a>,
    ) -> bool {
        let (recorded, most) = (known(true), known(false));
        if most.is_exact() {
            return false;
        }
        let only = |id| most.is_unknown(id) && !recorded.is_unknown(id);
        if !scope.doubts(most.block, &most, &only).is_empty() {
            return true;
        }
        // Limits read no facts.
        let request = Request {
            operation: OperationId(1),
            stage: asked.stage,
            effect: asked.effect.unwrap_or_default(),
            rows: asked.rows,
            facts: &most,
            satisfied: &asked.satisfied,
        };
        let refuses = matches!(scope.decide(request).decision, Decision::Refuse(_));
        refuses && self.branches.iter().any(|branch| branch.fate < Fate::Refused)
    }

    /// The effect may not be recorded, but what rules made of it is: leaves out what did not
    /// happen.
    fn deny(&mut self, asked: &Asked, witness: &dyn Witness) {
        let did_not = |rule: &Arc<str>| witness.matched(rule, Phase::Reply) == Some(false);
        let is_denied = |branch: &Branch| {
            asked.effect.is_none() && branch.fate > Fate::Passes && branch.rules.iter().any(did_not)
        };
        if !self.branches.iter().all(is_denied) {
            self.branches.retain(|branch| !is_denied(branch));
        }
    }

    /// Adds what a rule could make of it.
    fn doubt(&mut self, doubt: Doubt, asked: &Asked) {
        let Doubt { rule: RuleMatch { rule, action, observed }, facts, .. } = doubt;
        if observed {
            return;
        }
        let waits = asked.stage == Stage::Prepare;
        let fate = match &*action {
            // A fact that fails refuses, whatever the rule asks for (P2).
            _ if asked.may_fail => Fate::Refused,
            "block" => Fate::Refused,
            "limit" if !waits => Fate::Refused,
            "approve" if !waits && !asked.satisfied.contains(&rule) => Fate::Held,
            _ => Fate::Passes,
        };
        let masks = &*action == "mask";
        if fate > Fate::Passes || masks {
            let facts = facts.into_iter().map(str::to_owned).collect();
            self.open.push(Open { rule, facts, fate, masks });
        }
    }

    /// Takes what the record says of a rule; false where it says nothing.
    fn recorded(&mut self, doubt: &Doubt, witness: &dyn Witness, asked: &Asked) -> bool {
        let Doubt { rule: RuleMatch { rule, action, observed }, phase, .. } = doubt;
        let Some(matched) = witness.matched(rule, *phase) else { return false };
        if !matched || *observed {
            return true;
        }
        let fate = match &**action {
            "block" | "limit" => Fate::Refused,
            "approve" if !asked.satisfied.contains(rule) => Fate::Held,
            "mask" => {
                self.is_masked = true;
                self.masks.push(Arc::clone(rule));
                Fate::Passes
            }
            _ => Fate::Passes,
        };
        for branch in self.branches.iter_mut().filter(|branch| branch.fate <= fate) {
            if fate > Fate::Passes {
                branch.fate = fate;
                branch.rules.push(Arc::clone(rule));
            }
        }
        true
    }
}

/// Judges a request. `known` gives its facts, with what was used as it is recorded or not.
pub fn request<'a>(
    scope: &Scope,
    asked: &Asked,
    known: &dyn Fn(bool) -> Known<'a>,
    witness: &dyn Witness,
) -> Judged {
    let facts = known(true);
    let doubts = scope.doubts(facts.block, &facts, &|id| facts.is_unknown(id));
    let left_out: Vec<Arc<str>> = doubts.iter().map(|of| Arc::clone(&of.rule.rule)).collect();
    let effects: &[Effect] = match asked.effect {
        Some(Effect::ReadOnly) => &[Effect::ReadOnly],
        Some(Effect::MayWrite) => &[Effect::MayWrite],
        None => &[Effect::ReadOnly, Effect::MayWrite],
    };
    let mut judged = Judged::default();
    for effect in effects {
        let decided = scope.decide_without(
            Request {
                operation: OperationId(1),
                stage: asked.stage,
                effect: *effect,
                rows: asked.rows,
                facts: &facts,
                satisfied: &asked.satisfied,
            },
            &left_out,
        );
        judged.is_masked |= decided.matches.iter().any(|of| !of.observed && &*of.action == "mask");
        let (fate, rules, permit) = match decided.decision {
            Decision::Allow(permit) => (Fate::Passes, Vec::new(), Some(permit)),
            Decision::Hold(held) => {
                let rules = held.needs().rules.iter().map(|need| Arc::clone(&need.rule)).collect();
                // Somebody is supposed to say yes.
                (Fate::Held, rules, Some(held.approve()))
            }
            Decision::Refuse(refusal) => (Fate::Refused, refusal.rules().to_vec(), None),
        };
        let supposes = asked.effect.is_none().then_some("the effect of the statement");
        judged.branches.push(Branch { fate, rules, permit, supposes });
    }
    judged.deny(asked, witness);
    judged.counts = judged.depends_on_use(scope, asked, known);
    for doubt in doubts {
        if !judged.recorded(&doubt, witness, asked) {
            judged.doubt(doubt, asked);
        }
    }
    judged
}

/// Judges the reply of what was not refused. `is_large`: more of it came than can be withheld.
pub fn reply(
    judged: &mut Judged,
    scope: &Scope,
    asked: &Asked,
    known: &Known<'_>,
    is_large: bool,
    witness: &dyn Witness,
) {
    let mut branches = std::mem::take(&mut judged.branches);
    let mut doubts: Vec<Doubt> = Vec::new();
    for branch in &mut branches {
        let Some(permit) = branch.permit.as_ref().filter(|permit| permit.has_reply_rules()) else {
            continue;
        };
        let is_full = is_large && permit.is_pending();
        let open = match is_full {
            // What is undecided when no more can be withheld is settled then.
            true => Vec::new(),
            false => scope.doubts_of_reply(permit, known.block, known, &|id| known.is_unknown(id)),
        };
        let left_out: Vec<Arc<str>> = open.iter().map(|of| Arc::clone(&of.rule.rule)).collect();
        let progress = if is_full { Progress::Full } else { Progress::Complete };
        let (fate, rules) = match scope.review_without(permit, known, progress, &left_out).outcome {
            Outcome::Pass | Outcome::Undecided => (Fate::Passes, Vec::new()),
            Outcome::Hold(held) => {
                let rules = held.needs().rules.iter().map(|need| Arc::clone(&need.rule)).collect();
                (Fate::Held, rules)
            }
            Outcome::Refuse(refusal) => (Fate::Refused, refusal.rules().to_vec()),
        };
        if fate > branch.fate {
            branch.fate = fate;
            branch.rules = rules;
        }
        let is_new = |of: &Doubt| !doubts.iter().any(|known| known.rule == of.rule);
        let open: Vec<Doubt> = open.into_iter().filter(is_new).collect();
        doubts.extend(open);
    }
    judged.branches = branches;
    judged.deny(asked, witness);
    for doubt in doubts {
        if !judged.recorded(&doubt, witness, asked) {
            judged.doubt(doubt, asked);
        }
    }
}
