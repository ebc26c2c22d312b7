//! From CEL text to a typed tree. The text is parsed by the `cel` crate; names and types are
//! checked here, so that whatever is wrong with a condition is a problem with a place when it is
//! loaded.

mod call;

use std::collections::BTreeMap;
use std::sync::Arc;

use cel::IdedExpr;
use cel::common::ast::{ComprehensionExpr, Expr, ListExpr, LiteralValue, SourceInfo, operators};
use cel::parser::Parser;
use model::{FactType, Phase};

use crate::nearest::hint;
use crate::outcome::Unit;
use crate::rule::FactUse;
use crate::schema::Schema;
use crate::spec::{Located, Location, Problem};
use crate::tree::{Bool, List, Map, Number, Text};

/// Longest condition, bytes.
pub(crate) const CONDITION_BYTES_MAX: usize = 8 * 1024;
/// Most parts of a condition (operators, names, literals, list items).
const NODES_MAX: usize = 1000;
/// Longest name looked up, characters.
const NAME_CHARS_MAX: usize = 100;
/// Deepest nesting of a condition.
const DEPTH_MAX: usize = 64;

/// What conditions may name.
#[derive(Clone, Copy)]
pub(crate) struct Names<'a> {
    pub schema: &'a Schema,
    pub lists: &'a BTreeMap<String, Box<[Arc<str>]>>,
}

/// The facts of one rule, in its own numbering.
#[derive(Default)]
pub(crate) struct FactTable {
    pub uses: Vec<FactUse>,
    /// The latest phase of those that decide.
    pub phase: Option<Phase>,
}

impl FactTable {
    /// The number of a fact; it is added when it is new.
    pub fn number(&mut self, schema: &Schema, name: &'static str, decides: bool) -> u16 {
        if decides && let Some((_, declared)) = schema.lookup(name) {
            self.phase = self.phase.max(Some(declared.phase));
        }
        let at = self.uses.iter().position(|fact| fact.name == name).unwrap_or_else(|| {
            let ids = schema.all(name).into();
            self.uses.push(FactUse { name, ids, decides: false });
            self.uses.len() - 1
        });
        if let Some(fact) = self.uses.get_mut(at) {
            fact.decides |= decides;
        }
        u16::try_from(at).unwrap_or(u16::MAX)
    }
}

/// Compiles a condition; `None` when there are problems, which are added to `problems`.
pub(crate) fn condition(
    text: &Located<String>,
    names: Names<'_>,
    facts: &mut FactTable,
    problems: &mut Vec<Problem>,
) -> Option<Bool> {
    if text.value.trim().is_empty() {
        let problem = Problem::new(&text.at, "the condition is empty");
        problems.push(problem.help("leave `when` out for a rule that always applies"));
        return None;
    }
    if text.value.len() > CONDITION_BYTES_MAX {
        let found = text.value.len();
        let message = format!("the condition has {found} bytes, {CONDITION_BYTES_MAX} are allowed");
        problems.push(
            Problem::new(&text.at, message)
                .help("put long lists under `lists`, or write several rules"),
        );
        return None;
    }
    let (expr, source) = match Parser::new().parse_with_source_info(&text.value) {
        Ok(parsed) => parsed,
        Err(errors) => {
            problems.push(syntax(text, &errors.errors));
            return None;
        }
    };
    let before = problems.len();
    let mut checker =
        Checker { text, source: &source, names, facts, problems, item: None, nodes: 0, depth: 0 };
    let typed = checker.expr(&expr);
    let condition = match typed {
        Some(Typed::Bool(condition)) => Some(condition),
        Some(other) => {
            let message = format!("the condition is {}, not true or false", other.kind());
            checker.problem(&expr, message, Some("compare it with something".to_owned()));
            None
        }
        None => None,
    };
    condition.filter(|_| problems.len() == before)
}

/// What the parser did not understand, in fewer words than its own.
fn syntax(text: &Located<String>, errors: &[cel::ParseError]) -> Problem {
    let (line, column, message) = match errors.first() {
        Some(error) => (error.pos.0, error.pos.1, error.msg.as_str()),
        None => (1, 1, ""),
    };
    let message = message.strip_prefix("Syntax error: ").unwrap_or(message);
    let message = message.split(" expecting ").next().unwrap_or(message);
    let message = message.replace("'<EOF>'", "the end of the condition");
    if message.contains("Recursion limit") {
        let message = format!("the condition is nested deeper than {DEPTH_MAX}");
        return Problem::new(&text.at, message).help("write several rules");
    }
    let at = place(&text.at, line.max(1), column.max(1));
    let words = format!(" {} ", text.value);
    let help = [
        (" and ", "write && for and"),
        (" or ", "write || for or"),
        (" not ", "write ! for not"),
        (" = ", "write == to compare"),
        (" <> ", "write != for different"),
        (" is ", "write == to compare"),
        (" like ", "write .matches(\"…\"), .startsWith(\"…\") or .contains(\"…\")"),
    ]
    .into_iter()
    .find(|(wrong, _)| words.to_lowercase().contains(wrong))
    .map_or("conditions are CEL, for example: \"x\" in a.list || a.count > 3", |(_, right)| right);
    Problem::new(&at, format!("the condition is not understood here: {message}")).help(help)
}

fn place(text: &Location, line: isize, column: isize) -> Location {
    let add = |base: u32, more: isize| base.saturating_add(u32::try_from(more - 1).unwrap_or(0));
    Location {
        file: Arc::clone(&text.file),
        line: add(text.line, line),
        column: add(text.column, column),
    }
}

/// An expression whose type is known.
#[derive(Debug)]
enum Typed {
    Bool(Bool),
    Number(Number, Unit),
    Text(Text),
    List(List),
    Map(Map),
    /// Only to be searched with `in`.
    Ints(Box<[i64]>),
}

impl Typed {
    fn kind(&self) -> &'static str {
        match self {
            Self::Bool(_) => "bool",
            Self::Number(_, Unit::Int) => "int",
            Self::Number(_, Unit::Time) => "time",
            Self::Number(_, Unit::Duration) => "duration",
            Self::Text(_) => "text",
            Self::List(_) => "a list of text",
            Self::Map(_) => "a map of text",
            Self::Ints(_) => "a list of int",
        }
    }
}

struct Checker<'a> {
    text: &'a Located<String>,
    source: &'a SourceInfo,
    names: Names<'a>,
    facts: &'a mut FactTable,
    problems: &'a mut Vec<Problem>,
    /// The variable of the `exists` or `all` around.
    item: Option<String>,
    nodes: usize,
    depth: usize,
}

impl Checker<'_> {
    fn expr(&mut self, expr: &IdedExpr) -> Option<Typed> {
        self.nodes += 1;
        if self.nodes > NODES_MAX || self.depth >= DEPTH_MAX {
            self.too_large(expr);
            return None;
        }
        self.depth += 1;
        let typed = self.kind_of_expr(expr);
        self.depth -= 1;
        typed
    }

    fn kind_of_expr(&mut self, expr: &IdedExpr) -> Option<Typed> {
        match &expr.expr {
            Expr::Literal(literal) => self.literal(expr, literal),
            Expr::Ident(_) => self.name(expr),
            Expr::Select(select) if select.test => {
                let help = "every fact has a value; compare it with \"\", or write \"key\" in map";
                self.reject(expr, "has() is not supported", help)
            }
            Expr::Select(_) => self.name(expr),
            Expr::List(list) => self.list(expr, list),
            Expr::Call(call) => self.call(expr, call),
            Expr::Comprehension(fold) => self.comprehension(expr, fold),
            Expr::Map(_) | Expr::Struct(_) => {
                self.reject(expr, "maps cannot be written in conditions", "compare single values")
            }
            Expr::Unspecified => self.reject(expr, "an expression is missing here", "write one"),
        }
    }

    fn literal(&mut self, expr: &IdedExpr, literal: &LiteralValue) -> Option<Typed> {
        match literal {
            LiteralValue::Boolean(value) => Some(Typed::Bool(Bool::Constant(*value.inner()))),
            LiteralValue::Int(value) => {
                Some(Typed::Number(Number::Constant(i128::from(*value.inner())), Unit::Int))
            }
            LiteralValue::String(value) => Some(Typed::Text(Text::Constant(value.inner().into()))),
            LiteralValue::UInt(value) => {
                let help = format!("write {} without the u", value.inner());
                self.reject(expr, "unsigned numbers are not supported", &help)
            }
            LiteralValue::Double(_) => {
                self.reject(expr, "fractions are not supported", "write a whole number")
            }
            LiteralValue::Bytes(_) => {
                self.reject(expr, "bytes are not supported", "write text, without the b")
            }
            LiteralValue::Null => {
                let help = "an absent value is empty: compare it with \"\" or 0";
                self.reject(expr, "nothing is ever null", help)
            }
        }
    }

    fn name(&mut self, expr: &IdedExpr) -> Option<Typed> {
        let Some(segments) = segments(expr) else {
            let help =
                "only facts have dots in their names; use map[\"key\"] for an entry of a map";
            return self.reject(expr, "this has no fields", help);
        };
        if let Some(item) = &self.item
            && segments.first() == Some(&item.as_str())
        {
            if segments.len() == 1 {
                return Some(Typed::Text(Text::Item));
            }
            let message = format!("{item} is text and has no fields");
            return self.reject(expr, &message, "compare it as it is");
        }
        let name: String = segments.join(".").chars().take(NAME_CHARS_MAX).collect();
        if let Some((_, fact)) = self.names.schema.lookup(&name) {
            return Some(self.fact(fact.name, fact.kind));
        }
        if let ["lists", list] = *segments.as_slice() {
            if let Some(items) = self.names.lists.get(list) {
                return Some(Typed::List(List::Constant(items.clone())));
            }
            let help = hint(list, self.names.lists.keys().map(String::as_str))
                .unwrap_or_else(|| "lists are defined under `lists` in the configuration".into());
            return self.reject(expr, &format!("there is no list \"{list}\""), &help);
        }
        self.unknown(expr, &segments, &name)
    }

    fn unknown(&mut self, expr: &IdedExpr, segments: &[&str], name: &str) -> Option<Typed> {
        let schema = self.names.schema;
        let map = (1..segments.len()).rev().find_map(|length| {
            let (map, key) = segments.split_at_checked(length)?;
            let (_, fact) = schema.lookup(&map.join("."))?;
            (fact.kind == FactType::TextMap).then(|| (fact.name, key.join(".")))
        });
        let help = match map {
            Some((map, key)) => format!("write {map}[\"{key}\"]"),
            None => hint(name, schema.names()).unwrap_or_else(|| self.facts_below(segments)),
        };
        self.reject(expr, &format!("there is no fact \"{name}\""), &help)
    }

    /// The facts that begin like an unknown one.
    fn facts_below(&self, segments: &[&str]) -> String {
        let first = segments.first().copied().unwrap_or_default();
        let below = |name: &&str| name.split('.').next() == Some(first);
        let mut facts: Vec<&str> = self.names.schema.names().filter(below).collect();
        if facts.is_empty() {
            facts = self.names.schema.names().filter_map(|name| name.split('.').next()).collect();
            facts.dedup();
            return format!("facts begin with: {}", facts.join(", "));
        }
        format!("there are: {}", facts.join(", "))
    }

    fn fact(&mut self, name: &'static str, kind: FactType) -> Typed {
        let local = self.facts.number(self.names.schema, name, true);
        match kind {
            FactType::Bool => Typed::Bool(Bool::Fact(local)),
            FactType::Int => Typed::Number(Number::Fact(local, Unit::Int), Unit::Int),
            FactType::Time => Typed::Number(Number::Fact(local, Unit::Time), Unit::Time),
            FactType::Duration => {
                Typed::Number(Number::Fact(local, Unit::Duration), Unit::Duration)
            }
            FactType::Text => Typed::Text(Text::Fact(local)),
            FactType::TextList => Typed::List(List::Fact(local)),
            FactType::TextMap => Typed::Map(Map(local)),
        }
    }

    fn list(&mut self, expr: &IdedExpr, list: &ListExpr) -> Option<Typed> {
        self.nodes += list.elements.len();
        if self.nodes > NODES_MAX {
            self.too_large(expr);
            return None;
        }
        let mut texts: Vec<Arc<str>> = Vec::new();
        let mut numbers = Vec::new();
        for element in &list.elements {
            match &element.expr {
                Expr::Literal(LiteralValue::String(text)) => texts.push(text.inner().into()),
                Expr::Literal(LiteralValue::Int(number)) => numbers.push(*number.inner()),
                _ => {
                    let help = "compare other values with == and join the comparisons with ||";
                    return self.reject(element, "lists hold only fixed texts or numbers", help);
                }
            }
        }
        match (texts.is_empty(), numbers.is_empty()) {
            (_, true) => Some(Typed::List(List::Constant(texts.into()))),
            (true, false) => Some(Typed::Ints(numbers.into())),
            (false, false) => {
                self.reject(expr, "this list mixes texts and numbers", "write two lists")
            }
        }
    }

    /// `exists` and `all`, which the parser has rewritten into folds.
    fn comprehension(&mut self, expr: &IdedExpr, fold: &ComprehensionExpr) -> Option<Typed> {
        let unsupported = "use .exists(v, …) or .all(v, …)";
        let (Expr::Literal(LiteralValue::Boolean(start)), Expr::Call(step), None) =
            (&fold.accu_init.expr, &fold.loop_step.expr, &fold.iter_var2)
        else {
            return self.reject(expr, "map, filter and exists_one are not supported", unsupported);
        };
        let universal = *start.inner();
        let operator = if universal { operators::LOGICAL_AND } else { operators::LOGICAL_OR };
        let [_, condition] = step.args.as_slice() else {
            return self.reject(expr, "this is not supported", unsupported);
        };
        if step.func_name != operator {
            return self.reject(expr, "this is not supported", unsupported);
        }
        if self.item.is_some() {
            let help = "use `in`, a list under `lists`, or a second rule";
            return self.reject(expr, "exists and all cannot be nested", help);
        }
        let items = match self.expr(&fold.iter_range)? {
            Typed::List(list) => list,
            Typed::Map(map) => List::Keys(map),
            other => {
                let message = format!("{} is {}", describe(&fold.iter_range), other.kind());
                let help = "exists and all go over lists of text and the keys of maps";
                return self.reject(&fold.iter_range, &message, help);
            }
        };
        self.item = Some(fold.iter_var.clone());
        let checked = self.boolean(condition);
        self.item = None;
        let condition = Box::new(checked?);
        Some(Typed::Bool(if universal {
            Bool::All(items, condition)
        } else {
            Bool::Exists(items, condition)
        }))
    }

    /// An operand that must be true or false.
    fn boolean(&mut self, expr: &IdedExpr) -> Option<Bool> {
        match self.expr(expr)? {
            Typed::Bool(value) => Some(value),
            other => {
                let message = format!("{} is {}", describe(expr), other.kind());
                self.reject(expr, &message, "something true or false is needed: compare it")
            }
        }
    }

    fn too_large(&mut self, expr: &IdedExpr) {
        // Said once: everything above would say it again.
        if !self.problems.last().is_some_and(|last| last.message.starts_with("the condition has")) {
            let message = format!(
                "the condition has more than {NODES_MAX} parts or is nested deeper than {DEPTH_MAX}"
            );
            let help = "put long lists under `lists`, or write several rules";
            self.problem(expr, message, Some(help.to_owned()));
        }
    }

    fn reject<T>(&mut self, expr: &IdedExpr, message: &str, help: &str) -> Option<T> {
        self.problem(expr, message.to_owned(), Some(help.to_owned()));
        None
    }

    fn problem(&mut self, expr: &IdedExpr, message: String, help: Option<String>) {
        let at = self.at(expr);
        self.problems.push(Problem { at, message, help });
    }

    /// Where an expression stands in the file: its first name for names, its operator otherwise.
    fn at(&self, expr: &IdedExpr) -> Location {
        let mut first = expr;
        while let Expr::Select(select) = &first.expr {
            first = &select.operand;
        }
        let start = self.source.offset_for(first.id).map_or(0, |(start, _)| start);
        let (mut line, mut column) = (1, 1);
        let start = usize::try_from(start).unwrap_or(0);
        for (_, c) in self.text.value.char_indices().take_while(|(at, _)| *at < start) {
            if c == '\n' {
                (line, column) = (line + 1, 1);
            } else {
                column += 1;
            }
        }
        place(&self.text.at, line, column)
    }
}

/// The names of a chain of fields, first one first.
fn segments(expr: &IdedExpr) -> Option<Vec<&str>> {
    let mut names = Vec::new();
    let mut expr = expr;
    loop {
        match &expr.expr {
            Expr::Ident(name) => {
                names.push(name.as_str());
                names.reverse();
                return Some(names);
            }
            Expr::Select(select) if !select.test => {
                names.push(select.field.as_str());
                expr = &select.operand;
            }
            _ => return None,
        }
    }
}

/// An expression in a message: its own words where it is short.
fn describe(expr: &IdedExpr) -> String {
    words(expr).unwrap_or_else(|| "this".to_owned())
}

/// An expression in an example: its own words where it is short.
fn sample(expr: &IdedExpr) -> String {
    words(expr).unwrap_or_else(|| "…".to_owned())
}

fn words(expr: &IdedExpr) -> Option<String> {
    Some(match &expr.expr {
        Expr::Literal(LiteralValue::String(text)) if text.inner().chars().count() <= 40 => {
            format!("\"{}\"", text.inner())
        }
        Expr::Literal(LiteralValue::Int(number)) => number.inner().to_string(),
        Expr::Literal(LiteralValue::Boolean(value)) => value.inner().to_string(),
        _ => segments(expr)?.join("."),
    })
}

#[cfg(test)]
mod tests;
