//! Why a decision would be what it is: every rule in scope, in words.

use std::sync::Arc;

use model::operation::Stage;
use model::{Phase, Value};

use crate::decide::{Decided, Request, Scope, ScopedRule};
use crate::outcome::Settled;
use crate::rule::{Action, Rule};
use crate::schema::Fact;
use crate::template::show;
use crate::tree::View;

/// What the rules say about a request, for people.
#[derive(Debug)]
pub struct Explanation {
    /// The decision itself.
    pub decided: Decided,
    /// Every rule that concerns the principal on the resource, in the order of the configuration;
    /// last those whose facts the protocol lacks.
    pub rules: Vec<Explained>,
}

/// What became of one rule.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Explained {
    /// Its name.
    pub rule: Arc<str>,
    /// Its action: `mask`, `approve`, …
    pub action: Arc<str>,
    /// It is in `mode: observe`.
    pub observed: bool,
    /// Whether it matches.
    pub state: RuleState,
    /// Why, in words: the condition and the facts it read.
    pub why: String,
}

/// Whether a rule matches.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum RuleState {
    /// It does.
    Matches,
    /// The reply will tell.
    Pending,
    /// It does not.
    DoesNotMatch,
    /// The protocol lacks a fact it reads.
    DoesNotApply,
    /// It cannot be evaluated, which refuses the operation (P2).
    Fails,
}

impl Scope {
    /// Explains what [`Scope::decide`] says about a request.
    #[must_use]
    pub fn explain(&self, request: Request<'_>) -> Explanation {
        let view = View::new(request.facts, &self.0.facts);
        let mut rules: Vec<_> =
            self.0.rules.iter().map(|scoped| explain(scoped, &view, request.stage)).collect();
        rules.extend(self.0.lacking.iter().map(|(rule, fact)| Explained {
            rule: Arc::clone(&rule.name),
            action: Arc::clone(&rule.word),
            observed: rule.observe,
            state: RuleState::DoesNotApply,
            why: format!("there is no {fact} in this protocol"),
        }));
        Explanation { decided: self.decide(request), rules }
    }
}

fn explain(scoped: &ScopedRule, view: &View<'_>, stage: Stage) -> Explained {
    let rule = &*scoped.rule;
    let state = match rule.judge(scoped.frame(view)) {
        Settled::Yes => RuleState::Matches,
        Settled::No => RuleState::DoesNotMatch,
        Settled::Maybe if rule.phase == Phase::Reply => RuleState::Pending,
        Settled::Maybe | Settled::Error => RuleState::Fails,
    };
    let mut why = match &rule.text {
        None => "it has no condition".to_owned(),
        Some(text) => {
            let verb = match state {
                RuleState::Matches => "is true",
                RuleState::Pending => "depends on the reply",
                RuleState::DoesNotMatch | RuleState::DoesNotApply => "is not true",
                RuleState::Fails => "cannot be judged",
            };
            format!("`{}` {verb}{}", text.trim(), facts(scoped, view))
        }
    };
    if state == RuleState::Matches
        && let Action::Limit(_) = &rule.action
    {
        why.push_str(if rule.is_reached(view) {
            "; its limit is reached"
        } else {
            "; its limit is not reached yet"
        });
    }
    if let (RuleState::Matches, Action::Record(payload)) = (state, &rule.action) {
        why.push_str(&format!("; payload of the reply that is recorded: {payload}"));
    }
    if !scoped.honoured && matches!(state, RuleState::Matches | RuleState::Pending) {
        why.push_str("; this protocol cannot do what it asks, so the operation is refused");
    }
    let waits = matches!(rule.action, Action::Approve(_) | Action::Limit(_) | Action::Alert(_));
    if stage == Stage::Prepare && waits {
        why.push_str("; it is judged when the statement runs");
    }
    Explained {
        rule: Arc::clone(&rule.name),
        action: Arc::clone(&rule.word),
        observed: rule.observe,
        state,
        why,
    }
}

/// The facts a condition read, as `, where a = 1 and b = x`.
fn facts(scoped: &ScopedRule, view: &View<'_>) -> String {
    let rule: &Rule = &scoped.rule;
    let read = (0..).zip(&rule.facts).filter(|(_, fact)| fact.decides);
    let shown: Vec<_> = read
        .map(|(local, fact)| {
            let value = match scoped.frame(view).fact(local) {
                Some(Fact::Known(Value::Failed(why))) => format!("failed ({why})"),
                Some(Fact::Known(value @ Value::Text(_))) => format!("= \"{}\"", show(value)),
                Some(Fact::Known(value @ (Value::TextList(_) | Value::TextMap(_)))) => {
                    format!("= [{}]", show(value))
                }
                Some(Fact::Known(value)) => format!("= {}", show(value)),
                Some(Fact::Range { low, high: i64::MAX }) => format!("is at least {low}"),
                Some(Fact::Range { low, high }) => format!("is between {low} and {high}"),
                Some(Fact::Pending) => "is not known yet".to_owned(),
                Some(Fact::Absent) | None => "does not exist here".to_owned(),
            };
            format!("{} {value}", fact.name)
        })
        .collect();
    if shown.is_empty() { String::new() } else { format!(", where {}", shown.join(" and ")) }
}
