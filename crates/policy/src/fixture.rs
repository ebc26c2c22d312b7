//! A small schema and its facts, for the tests of conditions.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use model::{FactDecl, FactType, Phase, Value};

use crate::check::{FactTable, Names, condition};
use crate::outcome::Outcomes;
use crate::schema::{Fact, FactId, Facts, FunctionDecl, Per, Schema, Test, Usage};
use crate::spec::{Located, Location, Problem};
use crate::tree::{Bool, Frame, View};

const fn decl(name: &'static str, kind: FactType, phase: Phase) -> FactDecl {
    FactDecl { name, kind, phase, about: "a fact of the tests", carries: false }
}

pub(crate) static FACTS: &[FactDecl] = &[
    decl("r.a", FactType::Int, Phase::Reply),
    decl("r.b", FactType::Int, Phase::Reply),
    decl("r.p", FactType::Bool, Phase::Reply),
    decl("r.q", FactType::Bool, Phase::Request),
    decl("r.t", FactType::Text, Phase::Request),
    decl("r.l", FactType::TextList, Phase::Reply),
    decl("r.m", FactType::TextMap, Phase::Request),
    decl("now", FactType::Time, Phase::Request),
    decl("r.age", FactType::Duration, Phase::Request),
    decl("r.bad", FactType::Bool, Phase::Request),
    decl("r.lacks", FactType::Int, Phase::Request),
];

pub(crate) fn schema() -> Schema {
    let mut schema = Schema::new();
    schema.declare("tests", FACTS);
    schema.define(FunctionDecl {
        name: "in_list",
        subject: Some("r.l"),
        test: Test::Equal,
        about: "whether r.l has it",
    });
    schema.define(FunctionDecl {
        name: "touches",
        subject: Some("r.l"),
        test: Test::Glob,
        about: "whether r.l has one like it",
    });
    schema
}

pub(crate) fn lists() -> BTreeMap<String, Box<[Arc<str>]>> {
    let items = |items: &[&str]| items.iter().map(|item| Arc::from(*item)).collect();
    [
        ("words".to_owned(), items(&["one", "two", "three"])),
        ("hosts".to_owned(), items(&["api.example.com", "*.internal.example"])),
    ]
    .into()
}

/// Facts by position in [`FACTS`].
#[derive(Clone, Debug)]
pub(crate) struct Values(pub Vec<Fact>);

impl Facts for Values {
    fn fact(&self, id: FactId, _: Duration) -> Fact {
        self.0.get(usize::from(id.index)).cloned().unwrap_or(Fact::Absent)
    }

    fn usage(&self, _: Per, _: Duration) -> Usage {
        Usage::default()
    }
}

impl Values {
    pub fn set(mut self, name: &str, fact: Fact) -> Self {
        let index = FACTS.iter().position(|fact| fact.name == name).unwrap();
        self.0[index] = fact;
        self
    }
}

pub(crate) fn text(text: &str) -> Fact {
    Fact::Known(Value::Text(text.into()))
}

pub(crate) fn list(items: &[&str]) -> Fact {
    Fact::Known(Value::TextList(items.iter().map(|item| Arc::from(*item)).collect()))
}

pub(crate) fn values() -> Values {
    Values(vec![
        Fact::Known(Value::Int(7)),
        Fact::Known(Value::Int(-2)),
        Fact::Known(Value::Bool(true)),
        Fact::Known(Value::Bool(false)),
        text("hello wörld"),
        list(&["public.orders", "two"]),
        Fact::Known(Value::TextMap(
            [("host".into(), "a.example".into()), ("k".into(), "v".into())].into(),
        )),
        // 2026-11-23T07:28:13Z, a Monday.
        Fact::Known(Value::Time(1_795_418_893_000_000_000)),
        Fact::Known(Value::Duration(90 * 60 * 1_000_000_000)),
        Fact::Known(Value::Failed("it broke")),
        Fact::Absent,
    ])
}

pub(crate) struct Compiled {
    pub tree: Bool,
    pub facts: FactTable,
}

pub(crate) fn compile(text: &str) -> Result<Compiled, Vec<Problem>> {
    let (schema, lists) = (schema(), lists());
    let mut facts = FactTable::default();
    let mut problems = Vec::new();
    let at = Location { file: "test.yaml".into(), line: 10, column: 5 };
    let names = Names { schema: &schema, lists: &lists };
    let tree = condition(&Located::new(text.to_owned(), at), names, &mut facts, &mut problems);
    match tree {
        Some(tree) if problems.is_empty() => Ok(Compiled { tree, facts }),
        _ => Err(problems),
    }
}

impl Compiled {
    pub fn eval(&self, values: &Values) -> Outcomes {
        let wanted: Vec<_> =
            self.facts.uses.iter().map(|fact| (fact.ids[0], Duration::ZERO)).collect();
        let slots: Vec<u16> = (0..).take(wanted.len()).collect();
        let view = View::new(values, &wanted);
        self.tree.eval(Frame { view: &view, slots: &slots, item: None })
    }
}
