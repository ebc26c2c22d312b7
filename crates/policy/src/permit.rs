//! Permits, holds and refusals. Only this crate makes a permit: whoever has one has a decision.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use model::{ClientText, OperationId};

use crate::decide::{Scope, ScopedRule};
use crate::keep::PayloadPolicy;
use crate::mask::MaskPlan;
use crate::schema::FactId;
use crate::spec::Grant;

/// The fixed words for why an operation was refused.
pub mod reason {
    /// A `block` rule matched.
    pub const BLOCKED: &str = "blocked";
    /// A `limit` rule matched and its amount is used up.
    pub const LIMIT: &str = "limit";
    /// An approver said no.
    pub const APPROVAL_DENIED: &str = "approval_denied";
    /// Nobody answered in time.
    pub const APPROVAL_EXPIRED: &str = "approval_expired";
    /// A rule could not be evaluated, or a fact it reads could not be computed (P2).
    pub const RULE_ERROR: &str = "rule_error";
    /// A rule matched that the protocol cannot honour (P2).
    pub const UNSUPPORTED: &str = "unsupported";
    /// A `block` or `limit` rule depends on the result of an operation that may write, so it cannot
    /// be judged before the harm is done (R3).
    pub const RESULT_UNKNOWN: &str = "result_unknown";
    /// More of a reply came than can be withheld, and a rule that may stop it is still undecided.
    pub const REPLY_TOO_LARGE: &str = "reply_too_large";
    /// Nothing grants the principal this resource.
    pub const NO_ACCESS: &str = "no_access";
    /// What grants the principal this resource does so at other times.
    pub const ACCESS_CLOSED: &str = "access_closed";
    /// What the operation returns cannot be traced to stored fields (R1).
    pub const UNTRACEABLE: &str = "untraceable";
    /// The operation could not be classified.
    pub const UNCLASSIFIED: &str = "unclassified";
}

/// Leave for one operation to pass, with the obligations that come with it.
#[must_use = "an operation passes only with its permit"]
#[derive(Debug)]
pub struct Permit {
    operation: OperationId,
    masks: Arc<MaskPlan>,
    payload: Option<PayloadPolicy>,
    scope: Scope,
    pending: Vec<Pending>,
}

/// A rule of the permit's scope that is judged as the reply comes.
#[derive(Debug)]
pub(crate) struct Pending {
    /// Its index in the scope.
    pub rule: usize,
    /// It can stop the reply: neither an alert nor observed.
    pub stops: bool,
    /// Someone said yes to it.
    pub satisfied: AtomicBool,
    /// Its alert was given.
    pub alerted: AtomicBool,
}

impl Permit {
    pub(crate) fn new(
        operation: OperationId,
        masks: Arc<MaskPlan>,
        payload: Option<PayloadPolicy>,
        scope: Scope,
        pending: Vec<Pending>,
    ) -> Self {
        Self { operation, masks, payload, scope, pending }
    }

    /// The operation it is for.
    #[must_use]
    pub fn operation(&self) -> OperationId {
        self.operation
    }

    /// What must be hidden of the reply.
    #[must_use]
    pub fn masks(&self) -> &Arc<MaskPlan> {
        &self.masks
    }

    /// How much of the reply is recorded, where a `record` rule says so; it stands before what the
    /// resource says.
    #[must_use]
    pub fn payload(&self) -> Option<PayloadPolicy> {
        self.payload
    }

    /// Whether a rule may still stop the reply, so that it must be withheld until
    /// [`Scope::review`] passes it.
    #[must_use]
    pub fn is_pending(&self) -> bool {
        self.pending.iter().any(|pending| pending.stops && !pending.is_satisfied())
    }

    /// Whether any rule, alerts and observed ones included, is judged by the reply.
    #[must_use]
    pub fn has_reply_rules(&self) -> bool {
        !self.pending.is_empty()
    }

    /// The same for a part of what passed under `whole`, whose reply is judged there alone.
    ///
    /// `same` says whether a fact has the value that it had for the whole.
    ///
    /// # Errors
    ///
    /// A rule that hides, follows or may stop some of the reply, which was settled with the whole,
    /// because of this part.
    pub fn within(mut self, whole: &Self, same: impl Fn(FactId) -> bool) -> Result<Self, Arc<str>> {
        let masking = |permit: &Self| -> Vec<Arc<str>> {
            let followed = permit.masks.followed().into_iter().flat_map(|plan| plan.rules());
            permit.masks.rules().chain(followed).map(Arc::clone).collect()
        };
        let known = masking(whole);
        if let Some(rule) = masking(&self).into_iter().find(|rule| !known.contains(rule)) {
            return Err(rule);
        }
        // Those that the whole passed under are asked about its reply, with the facts of the whole.
        let asked = whole.stopping().map(|scoped| &*scoped.rule.name).collect::<Vec<_>>();
        let late = self.stopping().find(|scoped| {
            let slots = scoped.rule.facts.iter().zip(&*scoped.slots);
            let deciding = slots.filter(|(fact, _)| fact.decides).map(|(_, slot)| *slot);
            let mut facts = deciding.filter_map(|slot| self.scope.fact(slot));
            !asked.contains(&&*scoped.rule.name) || !facts.all(&same)
        });
        if let Some(scoped) = late {
            return Err(Arc::clone(&scoped.rule.name));
        }
        self.pending.clear();
        Ok(self)
    }

    /// The rules that may stop the reply.
    fn stopping(&self) -> impl Iterator<Item = &ScopedRule> {
        let stops = self.pending.iter().filter(|pending| pending.stops);
        stops.filter_map(|pending| self.scope.0.rules.get(pending.rule))
    }

    /// Takes an approver's yes to a held reply; those rules no longer stop it.
    ///
    /// False when the hold was made for another operation, which is a mistake of ours: the reply
    /// then stays held.
    #[must_use = "false: the hold was for another operation"]
    pub fn satisfy(&self, held: &HeldReply) -> bool {
        let ours = held.operation == self.operation && held.scope.same(&self.scope);
        for pending in &self.pending {
            if ours && held.rules.contains(&pending.rule) {
                pending.satisfied.store(true, Ordering::Relaxed);
            }
        }
        ours
    }

    /// A yes no longer covers the reply (R11, `rows_max`): its rules may stop it again.
    pub fn ask_again(&self) {
        for pending in &self.pending {
            pending.satisfied.store(false, Ordering::Relaxed);
        }
    }

    /// The rules it was given under, which are those its reply is judged by.
    #[must_use]
    pub fn scope(&self) -> &Scope {
        &self.scope
    }

    pub(crate) fn pending(&self) -> &[Pending] {
        &self.pending
    }
}

impl Pending {
    /// Someone said yes to it.
    pub fn is_satisfied(&self) -> bool {
        self.satisfied.load(Ordering::Relaxed)
    }

    /// True the first time it is called.
    pub fn first_alert(&self) -> bool {
        !self.alerted.swap(true, Ordering::Relaxed)
    }
}

/// What people must say before an operation or its reply goes on.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Needs {
    /// Every rule that asks; each must be satisfied.
    pub rules: Vec<Need>,
    /// How long the client is held: the shortest any rule says.
    pub wait: Duration,
    /// How long the request can be answered: the shortest any rule says.
    pub expires: Duration,
    /// What a yes covers: the narrowest any rule says, and once where they differ in kind.
    pub grant: Grant,
    /// Rows past which a repeat asks again: the fewest any rule says (R11).
    pub rows_max: Option<u64>,
}

/// What one rule asks for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Need {
    /// The rule.
    pub rule: Arc<str>,
    /// Groups whose members may answer.
    pub by: Arc<[Arc<str>]>,
    /// How many different people must say yes.
    pub needs: u32,
    /// See [`Needs::wait`]; the protocol's default where the rule does not say.
    pub wait: Option<Duration>,
    /// See [`Needs::expires`].
    pub expires: Duration,
    /// See [`Needs::grant`].
    pub grant: Grant,
    /// See [`Needs::rows_max`].
    pub rows_max: Option<u64>,
    /// Who else may answer, when nobody did for long: after this time, these groups.
    pub escalate: Option<(Duration, Arc<[Arc<str>]>)>,
}

impl Needs {
    /// The needs of several rules together; `None` of none.
    pub(crate) fn of(rules: Vec<Need>, wait_default: Duration) -> Option<Self> {
        let wait = rules.iter().map(|need| need.wait.unwrap_or(wait_default)).min()?;
        let expires = rules.iter().map(|need| need.expires).min()?;
        let grant = rules.iter().map(|need| need.grant).reduce(narrower)?;
        let rows_max = rules.iter().filter_map(|need| need.rows_max).min();
        Some(Self { rules, wait, expires, grant, rows_max })
    }
}

fn narrower(a: Grant, b: Grant) -> Grant {
    match (a, b) {
        (Grant::Session, Grant::Session) => Grant::Session,
        (Grant::For(a), Grant::For(b)) => Grant::For(a.min(b)),
        _ => Grant::Once,
    }
}

/// An operation that waits for a person.
#[must_use = "a hold ends with a yes or a no"]
#[derive(Debug)]
pub struct Held {
    permit: Permit,
    needs: Needs,
}

impl Held {
    pub(crate) fn new(permit: Permit, needs: Needs) -> Self {
        Self { permit, needs }
    }

    /// Who must say yes, and for how long.
    #[must_use]
    pub fn needs(&self) -> &Needs {
        &self.needs
    }

    /// The operation that waits.
    #[must_use]
    pub fn operation(&self) -> OperationId {
        self.permit.operation
    }

    /// See [`Permit::payload`].
    #[must_use]
    pub fn payload(&self) -> Option<PayloadPolicy> {
        self.permit.payload
    }

    /// Takes the yes. The permit carries the union of all matching masks, and may itself be
    /// pending.
    pub fn approve(self) -> Permit {
        self.permit
    }

    /// Takes the no, or that nobody answered; `reason` is a word of [`reason`].
    #[must_use]
    pub fn refuse(self, reason: &'static str, message: ClientText) -> Refusal {
        Refusal { reason, code: None, message, rules: names(&self.needs) }
    }
}

/// A reply that waits for a person, its permit kept by the engine: a yes is [`Permit::satisfy`].
#[must_use = "a hold ends with a yes or a no"]
#[derive(Debug)]
pub struct HeldReply {
    operation: OperationId,
    scope: Scope,
    rules: Vec<usize>,
    needs: Needs,
}

impl HeldReply {
    pub(crate) fn new(permit: &Permit, rules: Vec<usize>, needs: Needs) -> Self {
        Self { operation: permit.operation, scope: permit.scope.clone(), rules, needs }
    }

    /// Who must say yes, and for how long.
    #[must_use]
    pub fn needs(&self) -> &Needs {
        &self.needs
    }

    /// The operation whose reply waits.
    #[must_use]
    pub fn operation(&self) -> OperationId {
        self.operation
    }

    /// Takes the no, or that nobody answered; `reason` is a word of [`reason`].
    #[must_use]
    pub fn refuse(self, reason: &'static str, message: ClientText) -> Refusal {
        Refusal { reason, code: None, message, rules: names(&self.needs) }
    }
}

fn names(needs: &Needs) -> Vec<Arc<str>> {
    needs.rules.iter().map(|need| Arc::clone(&need.rule)).collect()
}

/// A no, as the client may read it. It gives no power, so anyone may make one.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Refusal {
    reason: &'static str,
    code: Option<&'static str>,
    message: ClientText,
    rules: Vec<Arc<str>>,
}

impl Refusal {
    pub(crate) fn new(reason: &'static str, message: ClientText, rules: Vec<Arc<str>>) -> Self {
        Self { reason, code: None, message, rules }
    }

    /// A refusal that no rule asked for: the operation could not be parsed, traced, recorded, or
    /// its client may not be here. `reason` is a fixed word that the caller's guide lists.
    #[must_use]
    pub fn unjudgeable(reason: &'static str, message: ClientText) -> Self {
        Self { reason, code: None, message, rules: Vec::new() }
    }

    /// The same with the protocol's own code, where its reason alone does not tell it.
    #[must_use]
    pub fn with_code(self, code: Option<&'static str>) -> Self {
        Self { code, ..self }
    }

    /// The protocol's own code, where the reason alone does not tell it.
    #[must_use]
    pub fn code(&self) -> Option<&'static str> {
        self.code
    }

    /// What the client is told.
    #[must_use]
    pub fn message(&self) -> &ClientText {
        &self.message
    }

    /// A fixed word, see [`reason`].
    #[must_use]
    pub fn reason(&self) -> &'static str {
        self.reason
    }

    /// The rules that led to it; none where no rule did.
    #[must_use]
    pub fn rules(&self) -> &[Arc<str>] {
        &self.rules
    }
}
