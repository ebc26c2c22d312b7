//! A gateway's facts in miniature: a common block and two protocols, with rules written as in the
//! configuration.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use model::operation::{RowBound, Stage};
use model::{
    Effect, FactDecl, FactType, OperationId, Phase, Principal, PrincipalKind, Resource, Value,
};
use policy::{
    AccessSpec, ActionSpec, ApproveSpec, BlockId, Capabilities, Decided, Fact, FactId, Facts,
    FunctionDecl, LimitSpec, Located, Location, MaskSpec, PayloadPolicy, Per, PolicySet,
    PolicySpec, Problem, RecordSpec, Request, RuleSpec, Schema, Scope, Test, Usage, compile,
};

const fn request(name: &'static str, kind: FactType) -> FactDecl {
    FactDecl { name, kind, phase: Phase::Request, about: "a fact of the request", carries: false }
}

const fn reply(name: &'static str, kind: FactType) -> FactDecl {
    FactDecl { name, kind, phase: Phase::Reply, about: "a fact of the reply", carries: false }
}

pub static COMMON: &[FactDecl] = &[
    request("principal.subject", FactType::Text),
    request("principal.groups", FactType::TextList),
    request("principal.rows", FactType::Int),
    request("now", FactType::Time),
    reply("result.rows", FactType::Int),
    reply("result.detections", FactType::TextList),
];

pub static SQL: &[FactDecl] = &[
    request("sql.verb", FactType::Text),
    request("sql.verbs", FactType::TextList),
    request("sql.tables", FactType::TextList),
    request("sql.unfiltered", FactType::TextList),
    request("sql.dynamic", FactType::Bool),
    request("sql.text", FactType::Text),
];

pub static WEB: &[FactDecl] = &[
    request("http.method", FactType::Text),
    request("http.host", FactType::Text),
    request("http.headers", FactType::TextMap),
    FactDecl { carries: true, ..request("http.carries", FactType::TextList) },
];

pub const SQL_BLOCK: BlockId = BlockId(1);
pub const WEB_BLOCK: BlockId = BlockId(2);

pub const ALL: Capabilities =
    Capabilities { masks: true, holds: true, holds_reply: true, hold_wait: None };

pub fn schema() -> Schema {
    let mut schema = Schema::new();
    assert_eq!(schema.declare("common", COMMON), BlockId::COMMON);
    assert_eq!(schema.declare("sql", SQL), SQL_BLOCK);
    assert_eq!(schema.declare("web", WEB), WEB_BLOCK);
    for (name, subject, test) in
        [("in_group", "principal.groups", Test::Equal), ("touches", "sql.tables", Test::Glob)]
    {
        schema.define(FunctionDecl { name, subject: Some(subject), test, about: "" });
    }
    schema
}

pub fn at(line: u32) -> Location {
    Location { file: "narrows.yaml".into(), line, column: 1 }
}

pub fn put(text: &str) -> Located<String> {
    Located::new(text.to_owned(), at(1))
}

pub fn many(items: &[&str]) -> Vec<Located<String>> {
    items.iter().map(|item| put(item)).collect()
}

pub fn rule(name: &str, when: &str, action: ActionSpec) -> RuleSpec {
    RuleSpec {
        name: put(name),
        applies: policy::Applies::default(),
        on: Vec::new(),
        when: (!when.is_empty()).then(|| put(when)),
        action,
        observe: false,
        window: None,
        at: at(1),
    }
}

pub fn observed(name: &str, when: &str, action: ActionSpec) -> RuleSpec {
    RuleSpec { observe: true, ..rule(name, when, action) }
}

pub fn on(places: &[&str], rule: RuleSpec) -> RuleSpec {
    RuleSpec { on: many(places), ..rule }
}

pub fn block(message: &str) -> ActionSpec {
    ActionSpec::Block(put(message))
}

pub fn alert(message: &str) -> ActionSpec {
    ActionSpec::Alert(put(message))
}

pub fn approve(by: &[&str]) -> ActionSpec {
    ActionSpec::Approve(ApproveSpec { by: many(by), ..ApproveSpec::default() })
}

pub fn mask(fields: &[&str], with: &str) -> ActionSpec {
    let (fields, with) = (many(fields), Some(put(with)));
    ActionSpec::Mask(MaskSpec { fields, with, ..MaskSpec::default() })
}

pub fn record(payload: PayloadPolicy) -> ActionSpec {
    ActionSpec::Record(RecordSpec { payload: Some(payload) })
}

pub fn limit(operations: u64) -> ActionSpec {
    ActionSpec::Limit(LimitSpec { operations: Some(operations), ..LimitSpec::default() })
}

/// The rules of the design's sample configuration.
pub fn sample_rules() -> Vec<RuleSpec> {
    vec![
        rule("mask-cards-and-ssn", "", mask(&["credit_card", "ssn"], "redact")),
        rule(
            "big-reads",
            "result.rows > 10000 || principal.rows > 50000",
            ActionSpec::Approve(ApproveSpec {
                by: many(&["dba"]),
                wait: Some(Duration::from_secs(120)),
                expires: Some(Duration::from_secs(600)),
                ..ApproveSpec::default()
            }),
        ),
        on(
            &["type:web"],
            rule(
                "posts-stay-home",
                r#"http.method == "POST" && !host_in(http.host, lists.partners)"#,
                block("POST to {http.host} is not on the allow-list"),
            ),
        ),
        on(
            &["type:sql"],
            rule(
                "no-destruction",
                "sql.dynamic || sql.verbs.exists(v, v in [\"drop\", \"truncate\"]) || \
                 sql.unfiltered.exists(v, v in [\"delete\", \"update\", \"merge\"])",
                block("destructive statement"),
            ),
        ),
    ]
}

pub fn spec(rules: Vec<RuleSpec>) -> PolicySpec {
    let resource = |name: &str, kind: &str| Resource { name: name.into(), kind: kind.into() };
    PolicySpec {
        version: 7,
        rules,
        access: vec![AccessSpec {
            groups: many(&["agents"]),
            subjects: Vec::new(),
            resources: many(&["appdb", "internet"]),
            at: at(1),
            ..AccessSpec::default()
        }],
        lists: vec![(
            "partners".to_owned(),
            vec!["api.partner.example".to_owned(), "*.internal.example".to_owned()],
        )],
        resources: vec![resource("appdb", "sql"), resource("internet", "web")],
    }
}

pub fn try_compile(rules: Vec<RuleSpec>) -> Result<PolicySet, Vec<Problem>> {
    compile(spec(rules), &schema(), &[("sql", SQL_BLOCK, ALL), ("web", WEB_BLOCK, ALL)])
}

pub fn policy(rules: Vec<RuleSpec>) -> PolicySet {
    try_compile(rules).unwrap_or_else(|problems| panic!("{problems:?}"))
}

pub fn appdb() -> Resource {
    Resource { name: "appdb".into(), kind: "sql".into() }
}

pub fn internet() -> Resource {
    Resource { name: "internet".into(), kind: "web".into() }
}

pub fn agent() -> Principal {
    Principal {
        subject: "bot".into(),
        kind: PrincipalKind::Agent,
        groups: vec!["agents".into()],
        issuer: "narrows".into(),
        on_behalf_of: None,
        on_behalf_of_groups: Vec::new(),
        token: None,
        minted_by: None,
        expires_at: None,
        certificate: None,
    }
}

/// The scope of [`agent`] on [`appdb`].
pub fn scope(rules: Vec<RuleSpec>) -> Scope {
    policy(rules).scope(&agent(), &appdb(), SQL_BLOCK)
}

/// Facts by name; counts how often each is asked for.
pub struct Known {
    facts: BTreeMap<FactId, Fact>,
    pub usage: Usage,
    pub asked: RefCell<BTreeMap<(FactId, Duration), u32>>,
}

impl Facts for Known {
    fn fact(&self, id: FactId, window: Duration) -> Fact {
        *self.asked.borrow_mut().entry((id, window)).or_default() += 1;
        self.facts.get(&id).cloned().unwrap_or(Fact::Absent)
    }

    fn usage(&self, _: Per, _: Duration) -> Usage {
        self.usage
    }
}

impl Known {
    pub fn with(mut self, name: &str, fact: Fact) -> Self {
        let (id, _) = schema().lookup(name).map(|(id, fact)| (id, *fact)).unwrap();
        self.facts.insert(id, fact);
        self
    }

    pub fn text(self, name: &str, value: &str) -> Self {
        self.with(name, Fact::Known(Value::Text(value.into())))
    }

    pub fn list(self, name: &str, items: &[&str]) -> Self {
        let items = items.iter().map(|item| Arc::from(*item)).collect();
        self.with(name, Fact::Known(Value::TextList(items)))
    }

    pub fn int(self, name: &str, value: i64) -> Self {
        self.with(name, Fact::Known(Value::Int(value)))
    }

    pub fn used(self, operations: u64) -> Self {
        Self { usage: Usage { operations, rows: 0, bytes: 0 }, ..self }
    }

    pub fn failed(self, name: &str) -> Self {
        self.with(name, Fact::Known(Value::Failed("the catalog cannot be read")))
    }
}

fn nothing() -> Known {
    Known { facts: BTreeMap::new(), usage: Usage::default(), asked: RefCell::default() }
}

/// A statement that is about to run, whatever it returns.
pub fn statement(verbs: &[&str]) -> Known {
    nothing()
        .text("principal.subject", "bot")
        .list("principal.groups", &["agents"])
        .int("principal.rows", 0)
        .with("now", Fact::Known(Value::Time(1_795_418_893_000_000_000)))
        .with("result.rows", Fact::Range { low: 0, high: i64::MAX })
        .with("result.detections", Fact::Pending)
        .text("sql.verb", verbs.first().copied().unwrap_or_default())
        .list("sql.verbs", verbs)
        .list("sql.tables", &["public.customers"])
        .list("sql.unfiltered", &[])
        .with("sql.dynamic", Fact::Known(Value::Bool(false)))
        .text("sql.text", "select * from customers")
}

pub fn select() -> Known {
    statement(&["select"])
}

pub fn exchange(method: &str, host: &str) -> Known {
    nothing()
        .text("principal.subject", "bot")
        .list("principal.groups", &["agents"])
        .int("principal.rows", 0)
        .with("result.rows", Fact::Range { low: 0, high: i64::MAX })
        .text("http.method", method)
        .text("http.host", host)
}

pub fn ask(facts: &Known) -> Request<'_> {
    Request {
        operation: OperationId(1),
        stage: Stage::Gate,
        effect: Effect::ReadOnly,
        rows: RowBound::Unbounded,
        facts,
        satisfied: &[],
    }
}

pub fn decide(scope: &Scope, facts: &Known) -> Decided {
    scope.decide(ask(facts))
}

/// The decision in a word, for tables: `allow`, `pending`, `hold`, or why it was refused.
pub fn word(decided: &Decided) -> &'static str {
    match &decided.decision {
        policy::Decision::Allow(permit) if permit.is_pending() => "pending",
        policy::Decision::Allow(_) => "allow",
        policy::Decision::Hold(_) => "hold",
        policy::Decision::Refuse(refusal) => refusal.reason(),
    }
}

pub fn matches(decided: &Decided) -> Vec<&str> {
    decided.matches.iter().map(|matched| &*matched.rule).collect()
}

pub fn permit(decided: Decided) -> policy::Permit {
    match decided.decision {
        policy::Decision::Allow(permit) => permit,
        other => panic!("not allowed: {other:?}"),
    }
}

pub fn refusal(decided: Decided) -> policy::Refusal {
    match decided.decision {
        policy::Decision::Refuse(refusal) => refusal,
        other => panic!("not refused: {other:?}"),
    }
}

pub fn held(decided: Decided) -> policy::Held {
    match decided.decision {
        policy::Decision::Hold(held) => held,
        other => panic!("not held: {other:?}"),
    }
}
