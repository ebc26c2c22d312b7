//! A compiled policy: who may reach what, and which rules concern whom.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use model::{Principal, Resource, Timestamp};

use crate::access::{Access, TemporaryAccess};
use crate::capability::Capabilities;
use crate::decide::{Scope, Scoped, ScopedRule};
use crate::index::Index;
use crate::mask::{MaskPlan, MaskRule};
use crate::rule::{Action, Rule};
use crate::schema::{BlockId, FactId};
use crate::spec::{Location, WAIT_DEFAULT};

/// Conditional mask rules of one scope whose unions are kept ready: 2 to this power of them.
const CONDITIONAL_MASKS_MAX: usize = 6;
/// Scopes and plans kept for sharing, each.
const SHARED_MAX: usize = 4096;

/// Everything the configuration says about who may do what; made by [`crate::compile()`].
pub struct PolicySet {
    version: u64,
    rules: Arc<[Arc<Rule>]>,
    pub(crate) access: Arc<[Access]>,
    /// Given to single principals, beside the lines.
    pub(crate) temporary: Box<[TemporaryAccess]>,
    capabilities: Arc<BTreeMap<BlockId, Capabilities>>,
    plans: Arc<Plans>,
    /// Position of each rule among the enforced rules that name fields.
    masks: Arc<[Option<usize>]>,
    /// Kept, so that sessions whose rules are the same share one.
    scopes: Arc<Mutex<Scopes>>,
}

/// Scopes by block and by the numbers of their rules.
type Scopes = HashMap<(BlockId, Box<[usize]>), Scope>;

impl PolicySet {
    pub(crate) fn new(
        version: u64,
        rules: Vec<Arc<Rule>>,
        access: Vec<Access>,
        capabilities: BTreeMap<BlockId, Capabilities>,
        follows: bool,
    ) -> Self {
        let mut mask_rules = Vec::new();
        let masks = rules
            .iter()
            .map(|rule| match &rule.action {
                Action::Mask(mask) if !rule.observe => {
                    mask_rules.push(Arc::clone(mask));
                    Some(mask_rules.len() - 1)
                }
                // Without a rule that asks where values go, none of them is followed.
                Action::Classify(mask) if !rule.observe && follows => {
                    mask_rules.push(Arc::clone(mask));
                    Some(mask_rules.len() - 1)
                }
                _ => None,
            })
            .collect();
        Self {
            version,
            rules: rules.into(),
            access: access.into(),
            temporary: Box::default(),
            capabilities: Arc::new(capabilities),
            plans: Arc::new(Plans::new(mask_rules, follows)),
            masks,
            scopes: Arc::default(),
        }
    }

    /// The version it was compiled as.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.version
    }

    /// The same policy, with this access beside its lines instead of what it had.
    #[must_use]
    pub fn with_temporary(&self, temporary: Vec<TemporaryAccess>) -> Self {
        Self {
            version: self.version,
            rules: Arc::clone(&self.rules),
            access: Arc::clone(&self.access),
            temporary: temporary.into(),
            capabilities: Arc::clone(&self.capabilities),
            plans: Arc::clone(&self.plans),
            masks: Arc::clone(&self.masks),
            scopes: Arc::clone(&self.scopes),
        }
    }

    /// Where the lines of access stand that never grant anything again.
    pub fn ended(&self, now: Timestamp) -> impl Iterator<Item = &Location> {
        let over = move |until: Timestamp| until <= now;
        self.access.iter().filter(move |line| line.schedule.until.is_some_and(over)).map(|l| &l.at)
    }

    /// The rules that can concern the principal on the resource, whose protocol declared `block`.
    #[must_use]
    pub fn scope(&self, principal: &Principal, resource: &Resource, block: BlockId) -> Scope {
        let concerned = |rule: &Rule| rule.applies.include(principal) && rule.on.include(resource);
        let numbers: Box<[usize]> = (0..)
            .zip(self.rules.iter())
            .filter(|(_, rule)| concerned(rule))
            .map(|(number, _)| number)
            .collect();
        let mut scopes = self.scopes.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = scopes.get(&(block, numbers.clone())) {
            return known.clone();
        }
        let scope = self.make_scope(&numbers, block);
        if scopes.len() < SHARED_MAX {
            scopes.insert((block, numbers), scope.clone());
        }
        scope
    }

    /// Whether a rule asks where received values go (R14), so that they are followed.
    #[must_use]
    pub fn follows(&self) -> bool {
        self.plans.follows
    }

    /// Names of every rule, in the order of the configuration.
    pub fn rules(&self) -> impl Iterator<Item = &Arc<str>> {
        self.rules.iter().map(|rule| &rule.name)
    }

    fn make_scope(&self, numbers: &[usize], block: BlockId) -> Scope {
        let capabilities = self.capabilities.get(&block).copied().unwrap_or_default();
        let mut facts: Vec<(FactId, Duration)> = Vec::new();
        let mut rules = Vec::new();
        let mut lacking = Vec::new();
        let (mut always, mut conditional) = (Vec::new(), Vec::new());
        for number in numbers {
            let Some(rule) = self.rules.get(*number) else { continue };
            let absent =
                |fact: &&crate::rule::FactUse| fact.decides && fact.within(block).is_none();
            if let Some(fact) = rule.facts.iter().find(absent) {
                lacking.push((Arc::clone(rule), fact.name));
                continue;
            }
            let mask = self.masks.get(*number).copied().flatten();
            let bit = mask.filter(|_| rule.when.is_some()).map(|mask| {
                conditional.push(mask);
                conditional.len() - 1
            });
            always.extend(mask.filter(|_| bit.is_none()));
            rules.push(ScopedRule {
                slots: slots(rule, block, &mut facts),
                honoured: rule.is_honoured(capabilities),
                bit,
                rule: Arc::clone(rule),
            });
        }
        let unions = match conditional.len() {
            few @ 0..=CONDITIONAL_MASKS_MAX => 1_usize << few,
            _ => 0,
        };
        Scope(Arc::new(Scoped {
            index: Index::new(&rules),
            rules: rules.into(),
            lacking: lacking.into(),
            facts: facts.into(),
            masks: self.plans.of(always.iter().chain(&conditional).copied().collect()),
            always: always.into(),
            conditional: conditional.into(),
            unions: (0..unions).map(|_| OnceLock::new()).collect(),
            plans: Arc::clone(&self.plans),
            hold_wait: capabilities.hold_wait.unwrap_or(WAIT_DEFAULT),
        }))
    }
}

impl fmt::Debug for PolicySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PolicySet")
            .field("version", &self.version)
            .field("rules", &self.rules.len())
            .finish_non_exhaustive()
    }
}

/// The scope's slot for each of a rule's facts; [`u16::MAX`], which no scope has, for those of its
/// message that the protocol lacks.
fn slots(rule: &Rule, block: BlockId, facts: &mut Vec<(FactId, Duration)>) -> Box<[u16]> {
    let slot = |fact: &crate::rule::FactUse| {
        let Some(id) = fact.within(block) else { return u16::MAX };
        let wanted = (id, rule.window);
        let at = facts.iter().position(|known| *known == wanted).unwrap_or_else(|| {
            facts.push(wanted);
            facts.len() - 1
        });
        u16::try_from(at).unwrap_or(u16::MAX)
    };
    rule.facts.iter().map(slot).collect()
}

/// Mask plans by the rules in them, so that equal plans are one plan with one id.
pub(crate) struct Plans {
    rules: Box<[Arc<MaskRule>]>,
    /// A rule reads what requests carry of values received before.
    follows: bool,
    known: Mutex<HashMap<Box<[usize]>, Arc<MaskPlan>>>,
}

impl Plans {
    fn new(rules: Vec<Arc<MaskRule>>, follows: bool) -> Self {
        let nothing = Arc::new(MaskPlan::new(0, Box::default()));
        Self { rules: rules.into(), follows, known: Mutex::new([(Box::default(), nothing)].into()) }
    }

    /// The plan of these mask rules, by their numbers.
    pub fn of(&self, numbers: Vec<usize>) -> Arc<MaskPlan> {
        let mut numbers = numbers;
        numbers.sort_unstable();
        let numbers: Box<[usize]> = numbers.into();
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(plan) = known.get(&numbers) {
            return Arc::clone(plan);
        }
        let rules = numbers.iter().filter_map(|number| self.rules.get(*number)).cloned().collect();
        let rules: Box<[Arc<MaskRule>]> = rules;
        let mut plan =
            MaskPlan::new(next_id(), rules.iter().filter(|r| r.hides).cloned().collect());
        if self.follows {
            let followed = rules.iter().map(|rule| Arc::new(rule.followed())).collect();
            plan.followed = Some(Arc::new(MaskPlan::new(next_id(), followed)));
        }
        let plan = Arc::new(plan);
        if known.len() < SHARED_MAX {
            known.insert(numbers, Arc::clone(&plan));
        }
        plan
    }
}

/// Ids are never used twice in a process, so that what was compiled for one plan is never taken for
/// another's, across reloads too; 0 is the plan that hides nothing.
fn next_id() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}
