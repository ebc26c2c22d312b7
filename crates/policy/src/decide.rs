//! Decisions: what happens to an operation, and to its reply.
//!
//! Order: block, then limit, then approve (every one must be satisfied), then mask (the union),
//! then alert, then allow; beside them `record` says what is kept of the reply (the least of
//! several). A rule that cannot be evaluated refuses (P2); an observed rule is
//! recorded and takes no part.

use std::cell::LazyCell;
use std::fmt;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use model::event::RuleMatch;
use model::operation::{RowBound, Stage};
use model::{ClientText, Effect, OperationId};

use crate::calendar::show_duration;
use crate::index::Index;
use crate::keep::PayloadPolicy;
use crate::mask::MaskPlan;
use crate::outcome::Settled;
use crate::permit::{Held, HeldReply, Need, Needs, Pending, Permit, Refusal, reason};
use crate::policy::Plans;
use crate::rule::{Action, Limit, Rule};
use crate::schema::{FactId, Facts};
use crate::tree::{Frame, View};

/// An operation to be decided.
pub struct Request<'a> {
    /// Which.
    pub operation: OperationId,
    /// Where in its life it is.
    pub stage: Stage,
    /// What is proved about its effect.
    pub effect: Effect,
    /// How many rows it can return.
    pub rows: RowBound,
    /// Its facts.
    pub facts: &'a dyn Facts,
    /// Names of `approve` rules already answered with yes for this operation.
    pub satisfied: &'a [Arc<str>],
}

/// A decision, and what goes into the record with it.
#[derive(Debug)]
pub struct Decided {
    /// What happens.
    pub decision: Decision,
    /// Every rule that matched, observed ones included, in the order of the configuration.
    pub matches: Vec<RuleMatch>,
    /// Alerts to give: rule and message.
    pub alerts: Vec<(Arc<str>, String)>,
}

/// What happens to an operation.
#[derive(Debug)]
pub enum Decision {
    /// It passes, under the permit's obligations.
    Allow(Permit),
    /// It waits for a person.
    Hold(Held),
    /// It is refused.
    Refuse(Refusal),
}

/// How far a reply is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Progress {
    /// More may come.
    Streaming,
    /// No more can be withheld: what is undecided is settled now, on the safe side.
    Full,
    /// It is complete; every fact is known.
    Complete,
}

/// What became of a permit's pending rules.
#[derive(Debug)]
pub struct Reviewed {
    /// What happens to the reply.
    pub outcome: Outcome,
    /// Every pending rule that matches by now, observed ones included.
    pub matches: Vec<RuleMatch>,
    /// Alerts to give; each is listed once in the life of a permit.
    pub alerts: Vec<(Arc<str>, String)>,
}

/// What happens to a reply.
#[derive(Debug)]
pub enum Outcome {
    /// No rule stops it; what was withheld may leave.
    Pass,
    /// A rule may still stop it: go on withholding.
    Undecided,
    /// It waits for a person.
    Hold(HeldReply),
    /// It is refused; nothing of it leaves.
    Refuse(Refusal),
}

/// The rules that can concern one principal on one resource. Cheap to clone; make one per session
/// and a new one when the policy changes.
#[derive(Clone)]
pub struct Scope(pub(crate) Arc<Scoped>);

pub(crate) struct Scoped {
    pub rules: Box<[ScopedRule]>,
    /// Which of them an operation can concern.
    pub index: Index,
    /// Rules left out because the protocol lacks a fact they read, with that fact's name.
    pub lacking: Box<[(Arc<Rule>, &'static str)]>,
    /// The facts that the rules read.
    pub facts: Box<[(FactId, Duration)]>,
    /// Every mask that may apply.
    pub masks: Arc<MaskPlan>,
    /// Mask rules without a condition, by their number in the policy.
    pub always: Box<[usize]>,
    /// Mask rules with one, likewise; [`ScopedRule::bit`] is a position here.
    pub conditional: Box<[usize]>,
    /// The union of masks for each set of conditional mask rules that match, made when first
    /// needed; empty when there are too many of them.
    pub unions: Box<[OnceLock<Arc<MaskPlan>>]>,
    pub plans: Arc<Plans>,
    /// How long clients wait for a person where a rule does not say.
    pub hold_wait: Duration,
}

impl Scoped {
    /// Whether all of these rules are certainly false.
    fn are_false(&self, rules: &[usize], view: &View<'_>) -> bool {
        let judge = |rule: &ScopedRule| rule.rule.judge(rule.frame(view));
        rules.iter().filter_map(|rule| self.rules.get(*rule)).all(|rule| judge(rule) == Settled::No)
    }

    /// The union of the masks without a condition and of these with one.
    fn union(&self, matching: &[usize]) -> Arc<MaskPlan> {
        let make = || {
            let conditional = matching.iter().filter_map(|bit| self.conditional.get(*bit));
            self.plans.of(self.always.iter().chain(conditional).copied().collect())
        };
        let set =
            matching.iter().fold(0, |set, bit| set | 1_usize.checked_shl(*bit as u32).unwrap_or(0));
        match self.unions.get(set) {
            Some(known) => Arc::clone(known.get_or_init(make)),
            None => make(),
        }
    }
}

pub(crate) struct ScopedRule {
    pub rule: Arc<Rule>,
    /// Slot of each of the rule's facts.
    pub slots: Box<[u16]>,
    /// The protocol can do what the rule asks.
    pub honoured: bool,
    /// For an enforced mask rule with a condition: its position among those.
    pub bit: Option<usize>,
}

impl ScopedRule {
    pub fn frame<'a>(&'a self, view: &'a View<'a>) -> Frame<'a> {
        Frame { view, slots: &self.slots, item: None }
    }

    fn message(&self, template: &crate::template::Template, view: &View<'_>) -> String {
        template.render(|local| view.fact(*self.slots.get(usize::from(local))?))
    }
}

/// Collects refusals; the first of the strongest kind is the one told.
#[derive(Default)]
struct Refusals {
    strongest: Option<(Strength, &'static str, String)>,
    rules: Vec<Arc<str>>,
}

/// Strongest first.
#[derive(Clone, Copy, Eq, Ord, PartialEq, PartialOrd)]
enum Strength {
    Block,
    Error,
    Unsupported,
    ResultUnknown,
    Limit,
}

impl Refusals {
    fn add(
        &mut self,
        strength: Strength,
        reason: &'static str,
        rule: &Rule,
        words: impl FnOnce() -> String,
    ) {
        self.rules.push(Arc::clone(&rule.name));
        if self.strongest.as_ref().is_none_or(|(known, ..)| strength < *known) {
            self.strongest = Some((strength, reason, words()));
        }
    }

    fn error(&mut self, rule: &Rule, frame: Frame<'_>) {
        self.add(Strength::Error, reason::RULE_ERROR, rule, || match rule.failure(frame) {
            Some((fact, why)) => {
                format!("rule \"{}\" cannot be judged: {fact} is not known ({why})", rule.name)
            }
            None => format!("rule \"{}\" cannot be judged: its condition fails", rule.name),
        });
    }

    fn limit(&mut self, rule: &Rule, limit: &Limit, view: &View<'_>) {
        let used = view.source().usage(limit.per, limit.window);
        let Some((most, unit)) = limit.exceeded(used) else { return };
        self.add(Strength::Limit, reason::LIMIT, rule, || {
            let window = show_duration(limit.window.as_nanos());
            format!("the limit of rule \"{}\" is reached: {most} {unit} in {window}", rule.name)
        });
    }

    fn told(self) -> Option<Refusal> {
        let (_, reason, words) = self.strongest?;
        Some(Refusal::new(reason, ClientText::composed(words), self.rules))
    }
}

/// What the rules say about one request.
#[derive(Default)]
struct Judged {
    refusals: Refusals,
    needs: Vec<Need>,
    pending: Vec<Pending>,
    matches: Vec<RuleMatch>,
    alerts: Vec<(Arc<str>, String)>,
    /// Which conditional mask rules match.
    masks: Vec<usize>,
    /// The least that a `record` rule says.
    payload: Option<PayloadPolicy>,
}

impl Scope {
    /// The union of every mask rule in scope, whatever its condition (R1: who has masks).
    #[must_use]
    pub fn masks(&self) -> &Arc<MaskPlan> {
        &self.0.masks
    }

    /// The facts that the rules in scope read.
    pub fn reads(&self) -> impl Iterator<Item = FactId> {
        self.0.facts.iter().map(|(fact, _)| *fact)
    }

    /// What a slot of its rules holds; `None` for what the protocol lacks.
    pub(crate) fn fact(&self, slot: u16) -> Option<FactId> {
        self.0.facts.get(usize::from(slot)).map(|(fact, _)| *fact)
    }

    /// Whether a rule in scope reads this fact and can stop an operation or its reply by it: it is
    /// neither observed nor an alert.
    #[must_use]
    pub fn stops_by(&self, fact: FactId) -> bool {
        self.0.rules.iter().any(|scoped| {
            let stops = match scoped.rule.action {
                Action::Approve(_) | Action::Block(_) | Action::Limit(_) => !scoped.rule.observe,
                Action::Alert(_) | Action::Classify(_) | Action::Mask(_) | Action::Record(_) => {
                    false
                }
            };
            stops && scoped.slots.iter().any(|slot| self.fact(*slot) == Some(fact))
        })
    }

    /// Whether a rule in scope may ask a person.
    #[must_use]
    pub fn asks(&self) -> bool {
        self.0.rules.iter().any(|scoped| matches!(scoped.rule.action, Action::Approve(_)))
    }

    /// Decides an operation.
    #[must_use]
    pub fn decide(&self, request: Request<'_>) -> Decided {
        self.decide_without(request, &[])
    }

    /// Decides an operation as if there were no rules of these names.
    #[must_use]
    pub fn decide_without(&self, request: Request<'_>, left_out: &[Arc<str>]) -> Decided {
        let view = View::new(request.facts, &self.0.facts);
        let mut judged = Judged::default();
        self.0.index.candidates(&view, |number| {
            if let Some(scoped) = self.0.rules.get(number)
                && !left_out.contains(&scoped.rule.name)
            {
                judged.judge(number, scoped, &view, &request);
            }
        });
        debug_assert!(self.0.are_false(&self.0.index.left_out(&view), &view), "a rule was missed");
        let Judged { refusals, needs, pending, matches, alerts, masks, payload } = judged;
        let decision = match (refusals.told(), Needs::of(needs, self.0.hold_wait)) {
            (Some(refusal), _) => Decision::Refuse(refusal),
            (None, needs) => {
                let masks = self.0.union(&masks);
                let permit = Permit::new(request.operation, masks, payload, self.clone(), pending);
                match needs {
                    Some(needs) => Decision::Hold(Held::new(permit, needs)),
                    None => Decision::Allow(permit),
                }
            }
        };
        Decided { decision, matches, alerts }
    }

    /// Judges the pending rules of a permit while its reply comes, and once more when it is
    /// complete.
    ///
    /// The rules are those the permit was given under, also where `self` is newer.
    #[must_use]
    pub fn review(&self, permit: &Permit, facts: &dyn Facts, progress: Progress) -> Reviewed {
        self.review_without(permit, facts, progress, &[])
    }

    /// The same as if there were no rules of these names.
    #[must_use]
    pub fn review_without(
        &self,
        permit: &Permit,
        facts: &dyn Facts,
        progress: Progress,
        left_out: &[Arc<str>],
    ) -> Reviewed {
        let scope = permit.scope();
        let view = View::new(facts, &scope.0.facts);
        let seen = LazyCell::new(|| View::seen(facts, &scope.0.facts));
        let mut review = Review::default();
        for pending in permit.pending() {
            if let Some(scoped) = scope.0.rules.get(pending.rule)
                && !left_out.contains(&scoped.rule.name)
            {
                let view = if pending.stops { &view } else { &*seen };
                review.judge(pending, scoped, view, progress);
            }
        }
        let Review { refusals, held, needs, undecided, matches, alerts } = review;
        let outcome = match (refusals.told(), Needs::of(needs, scope.0.hold_wait)) {
            (Some(refusal), _) => Outcome::Refuse(refusal),
            (None, Some(needs)) => Outcome::Hold(HeldReply::new(permit, held, needs)),
            (None, None) if undecided => Outcome::Undecided,
            (None, None) => Outcome::Pass,
        };
        Reviewed { outcome, matches, alerts }
    }

    /// Whether both are the very same scope.
    pub(crate) fn same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Judged {
    fn judge(&mut self, index: usize, scoped: &ScopedRule, view: &View<'_>, request: &Request<'_>) {
        let rule = &*scoped.rule;
        let frame = scoped.frame(view);
        match rule.judge(frame) {
            Settled::No => {}
            Settled::Yes => self.applies(index, scoped, view, request),
            Settled::Maybe => self.may_apply(index, scoped, frame, request),
            Settled::Error => {
                self.matches.push(rule.matched());
                if !rule.observe {
                    self.refusals.error(rule, frame);
                }
            }
        }
    }

    /// The rule matches for certain.
    fn applies(
        &mut self,
        index: usize,
        scoped: &ScopedRule,
        view: &View<'_>,
        request: &Request<'_>,
    ) {
        let rule = &*scoped.rule;
        let prepares = request.stage == Stage::Prepare;
        let waits = match &rule.action {
            Action::Approve(_) | Action::Limit(_) | Action::Alert(_) => prepares,
            Action::Block(_) | Action::Mask(_) | Action::Classify(_) | Action::Record(_) => false,
        };
        if waits || !rule.is_reached(view) {
            return;
        }
        if rule.observe {
            self.matches.push(rule.matched());
            return;
        }
        if !scoped.honoured {
            self.matches.push(rule.matched());
            self.unsupported(rule);
            return;
        }
        match &rule.action {
            Action::Block(template) => {
                let words = || scoped.message(template, view);
                self.refusals.add(Strength::Block, reason::BLOCKED, rule, words);
            }
            Action::Limit(limit) => self.refusals.limit(rule, limit, view),
            Action::Approve(need) => {
                if !request.satisfied.contains(&rule.name) {
                    self.needs.push(need.clone());
                } else if request.effect == Effect::ReadOnly {
                    // The yes may cover only so many rows (R11): past them it is asked again.
                    let (satisfied, alerted) = (AtomicBool::new(true), AtomicBool::new(false));
                    self.pending.push(Pending { rule: index, stops: true, satisfied, alerted });
                }
            }
            Action::Mask(_) | Action::Classify(_) => self.masks.extend(scoped.bit),
            Action::Record(payload) => {
                self.payload = Some(self.payload.map_or(*payload, |least| least.min(*payload)));
            }
            Action::Alert(template) => {
                // A repeat runs under the gate's decision, which has alerted.
                if request.stage != Stage::Repeat {
                    let words = scoped.message(template, view);
                    self.alerts.push((Arc::clone(&rule.name), words));
                }
            }
        }
        self.matches.push(rule.matched());
    }

    /// The rule depends on what is not known yet (R3).
    fn may_apply(
        &mut self,
        index: usize,
        scoped: &ScopedRule,
        frame: Frame<'_>,
        request: &Request<'_>,
    ) {
        let rule = &*scoped.rule;
        if request.stage == Stage::Prepare {
            return;
        }
        let enforced = !rule.observe;
        if enforced && rule.phase == model::Phase::Request {
            // Nothing it reads can become known later, so waiting would never end.
            self.refusals.error(rule, frame);
            return;
        }
        let stops = enforced && !matches!(rule.action, Action::Alert(_));
        if stops && !scoped.honoured {
            self.unsupported(rule);
            return;
        }
        if stops && request.effect != Effect::ReadOnly {
            self.before_a_write(rule, request);
            return;
        }
        let satisfied = AtomicBool::new(request.satisfied.contains(&rule.name));
        let alerted = AtomicBool::new(false);
        self.pending.push(Pending { rule: index, stops, satisfied, alerted });
    }

    /// A rule that depends on the result of an operation that may write: a person can say yes
    /// before it runs, nothing else can stop it in time (R3).
    fn before_a_write(&mut self, rule: &Rule, request: &Request<'_>) {
        self.matches.push(rule.matched());
        if let Action::Approve(need) = &rule.action {
            if !request.satisfied.contains(&rule.name) {
                self.needs.push(need.clone());
            }
            return;
        }
        self.refusals.add(Strength::ResultUnknown, reason::RESULT_UNKNOWN, rule, || {
            format!(
                "rule \"{}\" depends on the result, and this operation may change something, so \
                 it cannot be judged in time; only operations that provably just read can be run \
                 under it",
                rule.name
            )
        });
    }

    fn unsupported(&mut self, rule: &Rule) {
        self.refusals.add(Strength::Unsupported, reason::UNSUPPORTED, rule, || {
            format!("rule \"{}\" asks for what this protocol cannot do: {}", rule.name, rule.word)
        });
    }
}

/// What the pending rules say about a reply.
#[derive(Default)]
struct Review {
    refusals: Refusals,
    held: Vec<usize>,
    needs: Vec<Need>,
    undecided: bool,
    matches: Vec<RuleMatch>,
    alerts: Vec<(Arc<str>, String)>,
}

impl Review {
    fn judge(
        &mut self,
        pending: &Pending,
        scoped: &ScopedRule,
        view: &View<'_>,
        progress: Progress,
    ) {
        let rule = &*scoped.rule;
        let frame = scoped.frame(view);
        match rule.judge(frame) {
            Settled::No => {}
            Settled::Yes => self.applies(pending, scoped, view),
            Settled::Maybe if !pending.stops || pending.is_satisfied() => {}
            Settled::Maybe => match progress {
                Progress::Streaming => self.undecided = true,
                Progress::Full => self.full(pending, rule),
                // Everything is known now, or it never will be.
                Progress::Complete => self.refusals.error(rule, frame),
            },
            Settled::Error => {
                self.matches.push(rule.matched());
                if pending.stops && !pending.is_satisfied() {
                    self.refusals.error(rule, frame);
                }
            }
        }
    }

    fn applies(&mut self, pending: &Pending, scoped: &ScopedRule, view: &View<'_>) {
        let rule = &*scoped.rule;
        if !rule.is_reached(view) {
            return;
        }
        if rule.observe {
            self.matches.push(rule.matched());
            return;
        }
        match &rule.action {
            Action::Block(template) => {
                let words = || scoped.message(template, view);
                self.refusals.add(Strength::Block, reason::BLOCKED, rule, words);
            }
            Action::Limit(limit) => self.refusals.limit(rule, limit, view),
            Action::Approve(need) => self.hold(pending, need),
            Action::Alert(template) => {
                if pending.first_alert() {
                    let words = scoped.message(template, view);
                    self.alerts.push((Arc::clone(&rule.name), words));
                }
            }
            // These depend on nothing of the reply, so they are never pending.
            Action::Mask(_) | Action::Classify(_) | Action::Record(_) => {}
        }
        self.matches.push(rule.matched());
    }

    /// No more can be withheld: a person decides where one is asked, and otherwise nothing leaves.
    fn full(&mut self, pending: &Pending, rule: &Rule) {
        self.matches.push(rule.matched());
        if let Action::Approve(need) = &rule.action {
            self.hold(pending, need);
            return;
        }
        self.refusals.add(Strength::ResultUnknown, reason::REPLY_TOO_LARGE, rule, || {
            format!(
                "the reply is larger than what can be withheld while rule \"{}\" is undecided; \
                 ask for less at a time",
                rule.name
            )
        });
    }

    fn hold(&mut self, pending: &Pending, need: &Need) {
        if !pending.is_satisfied() {
            self.held.push(pending.rule);
            self.needs.push(need.clone());
        }
    }
}

impl fmt::Debug for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.0.rules.iter().map(|scoped| &scoped.rule.name);
        f.debug_list().entries(names).finish()
    }
}
