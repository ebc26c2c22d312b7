//! What the rules would do with an operation: the protocol's facts, judged by the policy in force.

use std::any::Any;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use admin::{
    ExplainAnswer, ExplainedColumn, ExplainedDetection, ExplainedOperation, ExplainedRule,
};
use engine::{COMMON_FACTS, MaskPlan};
use model::operation::{RowBound, Stage};
use model::{FactDecl, OperationId, Principal, Resource, Timestamp, Value};
use policy::{
    Admission, BlockId, Decision, Fact, FactId, Facts, PayloadPolicy, Per, PolicySet, Request,
    RuleState, Usage,
};

use crate::protocols::{Judged, JudgedColumn};

/// What is asked.
pub struct Question<'a> {
    pub principal: &'a Principal,
    pub resource: &'a Resource,
    pub block: BlockId,
    pub declared: &'static [FactDecl],
    pub text: &'a str,
    pub snapshot: Option<&'a (dyn Any + Send + Sync)>,
    /// The resource's own settings, for its protocol.
    pub options: &'a serde_json::Value,
    pub now: Timestamp,
    pub ledger: &'a dyn engine::Ledger,
}

/// Explains one text.
pub fn explain(policy: &PolicySet, ask: &Question<'_>) -> ExplainAnswer {
    let admission = policy.admission(ask.principal, ask.resource, ask.now);
    if !matches!(admission, Admission::Open { .. }) {
        let note = match admission {
            Admission::Closed { opens } => format!(
                "access to {} is closed to them now; it opens again at {}",
                ask.resource.name,
                admin::format_time(opens)
            ),
            _ => format!("no line of access grants {} to them", ask.resource.name),
        };
        let notes = vec![note];
        return ExplainAnswer { decision: "block".into(), notes, ..ExplainAnswer::default() };
    }
    let scope = policy.scope(ask.principal, ask.resource, ask.block);
    let trail = ask.ledger.trail(&ask.principal.subject);
    let judged = crate::protocols::judge(
        &ask.resource.kind,
        ask.text,
        ask.snapshot,
        ask.options,
        scope.masks(),
        (&trail, ask.now),
    );
    let judged = match judged {
        Ok(judged) => judged,
        Err(why) => {
            let operation = refused(ask.text, "unparsable", why);
            return answer("block", Vec::new(), operation);
        }
    };
    if let (Some(refusal), true) = (&judged.refused, judged.values.is_empty()) {
        // It has no facts that a rule could be asked about.
        let message = refusal.message().to_string();
        let operation = refused(ask.text, refusal.reason(), message);
        return answer("block", Vec::new(), operation);
    }
    let facts = Known { ask, judged: &judged };
    let explanation = scope.explain(Request {
        operation: OperationId(1),
        stage: Stage::Gate,
        effect: judged.effect,
        rows: judged.rows,
        facts: &facts,
        satisfied: &[],
    });
    let mut notes = Vec::new();
    let mut operation = ExplainedOperation {
        text: ask.text.to_owned(),
        facts: facts.shown(),
        rules: explanation.rules.iter().map(rule).collect(),
        does: judged.does.clone(),
        columns: judged.columns.iter().map(|one| column(one, scope.masks())).collect(),
        uses: judged.uses.clone(),
        detections: detections(scope.masks()),
        ..ExplainedOperation::default()
    };
    operation.decision = match &explanation.decided.decision {
        Decision::Allow(permit) => {
            if permit.is_pending() {
                notes.push("a rule may still stop it when its reply is known".to_owned());
            }
            notes.extend(permit.payload().map(kept));
            let hidden = operation.columns.iter().any(|column| column.mask.is_some());
            if hidden { "mask" } else { "allow" }
        }
        Decision::Hold(held) => {
            let needs = held.needs();
            let by: BTreeSet<&str> =
                needs.rules.iter().flat_map(|need| need.by.iter().map(AsRef::as_ref)).collect();
            let by: Vec<&str> = by.into_iter().collect();
            notes.push(format!(
                "it waits up to {} for someone of {}",
                crate::config::show::time(needs.wait),
                by.join(", ")
            ));
            notes.extend(held.payload().map(kept));
            "hold"
        }
        Decision::Refuse(refusal) => {
            operation.reason = Some(refusal.reason().to_owned());
            operation.message = Some(refusal.message().to_string());
            "block"
        }
    }
    .to_owned();
    if let Some(refusal) = &judged.refused
        && operation.decision != "block"
    {
        notes.clear();
        operation.decision = "block".to_owned();
        operation.reason = Some(refusal.reason().to_owned());
        operation.message = Some(refusal.message().to_string());
    }
    let decision = operation.decision.clone();
    answer(&decision, notes, operation)
}

fn kept(payload: PayloadPolicy) -> String {
    format!("payload of its reply that is recorded, by rule: {payload}")
}

fn answer(decision: &str, notes: Vec<String>, operation: ExplainedOperation) -> ExplainAnswer {
    ExplainAnswer {
        access: true,
        decision: decision.to_owned(),
        notes,
        operations: vec![operation],
    }
}

fn refused(text: &str, reason: &str, message: String) -> ExplainedOperation {
    ExplainedOperation {
        text: text.to_owned(),
        decision: "block".to_owned(),
        reason: Some(reason.to_owned()),
        message: Some(message),
        ..ExplainedOperation::default()
    }
}

fn rule(explained: &policy::Explained) -> ExplainedRule {
    let state = match explained.state {
        RuleState::Matches => "matches",
        RuleState::Pending => "pending",
        RuleState::DoesNotMatch => "no match",
        RuleState::DoesNotApply => "not applicable",
        RuleState::Fails => "fails",
    };
    ExplainedRule {
        rule: explained.rule.to_string(),
        action: explained.action.to_string(),
        state: state.to_owned(),
        observed: explained.observed,
        why: explained.why.clone(),
    }
}

fn column(judged: &JudgedColumn, plan: &MaskPlan) -> ExplainedColumn {
    let mut rules = BTreeSet::new();
    if judged.mask.is_some() {
        rules.extend(plan.rules_for_label(&judged.label).map(ToString::to_string));
        for origin in &judged.origins {
            let mut parts = origin.splitn(3, '.');
            if let (Some(schema), Some(table), Some(column)) =
                (parts.next(), parts.next(), parts.next())
            {
                rules.extend(plan.rules_for_field(schema, table, column).map(ToString::to_string));
            }
        }
    }
    ExplainedColumn {
        column: judged.label.clone(),
        from: judged.origins.clone(),
        direct: judged.is_direct,
        unknown: judged.is_unknown,
        mask: judged.mask.map(|kind| kind.as_str().to_owned()),
        rules: rules.into_iter().collect(),
        best_effort: judged.mask.is_some() && judged.origins.is_empty(),
    }
}

fn detections(plan: &MaskPlan) -> Vec<ExplainedDetection> {
    let detections = plan.detections().iter().map(|(found, kind)| ExplainedDetection {
        kind: found.name().to_owned(),
        with: kind.as_str().to_owned(),
        rules: plan.rules_for_detection(*found).map(ToString::to_string).collect(),
    });
    detections.collect()
}

/// The facts of a fresh session that asks its first operation.
struct Known<'a> {
    ask: &'a Question<'a>,
    judged: &'a Judged,
}

impl Known<'_> {
    fn shown(&self) -> BTreeMap<String, String> {
        let values = self.ask.declared.iter().zip(self.judged.values.iter());
        values.map(|(fact, value)| (fact.name.to_owned(), shown(value))).collect()
    }

    fn used(&self, window: Duration) -> Usage {
        let ask = self.ask;
        ask.ledger.usage(Some(&ask.principal.subject), &ask.resource.name, window, ask.now)
    }
}

impl Facts for Known<'_> {
    fn fact(&self, id: FactId, window: Duration) -> Fact {
        let index = usize::from(id.index);
        if id.block == self.ask.block {
            let value = self.judged.values.get(index).cloned();
            return Fact::Known(value.unwrap_or(Value::Failed("the protocol gave no value")));
        }
        if id.block != BlockId::COMMON {
            return Fact::Absent;
        }
        let Some(declared) = COMMON_FACTS.get(index) else { return Fact::Absent };
        let (who, what) = (self.ask.principal, self.ask.resource);
        let int = |count: u64| Value::Int(i64::try_from(count).unwrap_or(i64::MAX));
        Fact::Known(match declared.name {
            "principal.subject" => Value::Text(Arc::clone(&who.subject)),
            "principal.kind" => Value::Text(who.kind.as_str().into()),
            "principal.groups" => Value::TextList(who.groups.clone().into()),
            "principal.issuer" => Value::Text(Arc::clone(&who.issuer)),
            "principal.on_behalf_of" => {
                Value::Text(who.on_behalf_of.clone().unwrap_or_else(|| "".into()))
            }
            "resource.name" => Value::Text(Arc::clone(&what.name)),
            "resource.type" => Value::Text(Arc::clone(&what.kind)),
            "session.id" => Value::Text("s_explained".into()),
            "session.age" => Value::Duration(0),
            "session.rows" | "session.bytes" | "session.operations" => Value::Int(0),
            "now" => Value::Time(self.ask.now.0),
            "principal.rows" => int(self.used(window).rows),
            "principal.bytes" => int(self.used(window).bytes),
            "principal.operations" => int(self.used(window).operations),
            "result.rows" => {
                let high = match self.judged.rows {
                    RowBound::AtMost(rows) => i64::try_from(rows).unwrap_or(i64::MAX),
                    RowBound::NoRows => 0,
                    RowBound::Unbounded => i64::MAX,
                };
                return Fact::Range { low: 0, high };
            }
            "result.bytes" => return Fact::Range { low: 0, high: i64::MAX },
            _ => return Fact::Pending,
        })
    }

    fn usage(&self, per: Per, window: Duration) -> Usage {
        let ask = self.ask;
        match per {
            Per::Principal => self.used(window),
            Per::Resource => ask.ledger.usage(None, &ask.resource.name, window, ask.now),
        }
    }
}

fn shown(value: &Value) -> String {
    match value {
        Value::Bool(value) => value.to_string(),
        Value::Int(value) => value.to_string(),
        Value::Text(text) => text.to_string(),
        Value::TextList(items) => format!("[{}]", items.join(", ")),
        Value::TextMap(entries) => {
            let entries: Vec<String> = entries.iter().map(|(k, v)| format!("{k}: {v}")).collect();
            format!("{{{}}}", entries.join(", "))
        }
        Value::Time(at) => admin::format_time(Timestamp(*at)),
        Value::Duration(length) => crate::config::show::time(Duration::from_nanos(*length)),
        Value::Failed(why) => format!("cannot be computed: {why}"),
    }
}
