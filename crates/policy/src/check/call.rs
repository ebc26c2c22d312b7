//! Operators, methods and functions.

use std::sync::Arc;

use cel::IdedExpr;
use cel::common::ast::{CallExpr, operators};
use regex_automata::meta::Regex;

use super::{Checker, Typed, describe, sample, segments};
use crate::calendar::{Part, parse_duration, parse_time};
use crate::glob::Glob;
use crate::nearest::hint;
use crate::outcome::Unit;
use crate::schema::{FunctionDecl, Schema, Test};
use crate::tree::{Bool, Find, List, Number, Operator, Order, Pattern, Text};

/// Largest compiled regular expression, bytes.
const REGEX_BYTES_MAX: usize = 1024 * 1024;

/// The function that needs no fact and is always there.
const HOST_IN: FunctionDecl = FunctionDecl {
    name: "host_in",
    subject: None,
    test: Test::Host,
    about: "whether a host name is in a list of names and *.suffixes",
};

/// Functions and methods of conditions, beside those of the schema.
const FUNCTIONS: [&str; 20] = [
    "size",
    "startsWith",
    "endsWith",
    "contains",
    "matches",
    "exists",
    "all",
    "duration",
    "timestamp",
    "host_in",
    "getFullYear",
    "getMonth",
    "getDate",
    "getDayOfMonth",
    "getDayOfWeek",
    "getDayOfYear",
    "getHours",
    "getMinutes",
    "getSeconds",
    "in",
];

impl Checker<'_> {
    pub(super) fn call(&mut self, expr: &IdedExpr, call: &CallExpr) -> Option<Typed> {
        match (call.target.as_deref(), call.args.as_slice()) {
            (None, [one]) if call.func_name == operators::LOGICAL_NOT => {
                Some(Typed::Bool(Bool::Not(Box::new(self.boolean(one)?))))
            }
            (None, [one]) if call.func_name == operators::NEGATE => self.negate(expr, one),
            (None, [condition, yes, no]) if call.func_name == operators::CONDITIONAL => {
                self.choose(expr, condition, yes, no)
            }
            (None, [a, b]) => match self.binary(expr, &call.func_name, a, b) {
                Some(typed) => typed,
                None => self.function(expr, &call.func_name, &call.args),
            },
            (None, args) => self.function(expr, &call.func_name, args),
            (Some(target), args) => self.method(expr, target, &call.func_name, args),
        }
    }

    /// A binary operator; `None` when it is none.
    fn binary(
        &mut self,
        expr: &IdedExpr,
        operator: &str,
        a: &IdedExpr,
        b: &IdedExpr,
    ) -> Option<Option<Typed>> {
        let logic = |a: Option<Bool>, b: Option<Bool>, of: fn(Box<Bool>, Box<Bool>) -> Bool| {
            Some(Typed::Bool(of(Box::new(a?), Box::new(b?))))
        };
        Some(match operator {
            operators::LOGICAL_AND => logic(self.boolean(a), self.boolean(b), Bool::And),
            operators::LOGICAL_OR => logic(self.boolean(a), self.boolean(b), Bool::Or),
            operators::EQUALS => self.equal(expr, a, b).map(Typed::Bool),
            operators::NOT_EQUALS => {
                self.equal(expr, a, b).map(|equal| Typed::Bool(Bool::Not(Box::new(equal))))
            }
            operators::LESS => self.compare(expr, Order::Less, a, b),
            operators::LESS_EQUALS => self.compare(expr, Order::LessOrEqual, a, b),
            operators::GREATER => self.compare(expr, Order::Less, b, a),
            operators::GREATER_EQUALS => self.compare(expr, Order::LessOrEqual, b, a),
            operators::ADD => self.arithmetic(expr, Operator::Add, a, b),
            operators::SUBSTRACT => self.arithmetic(expr, Operator::Subtract, a, b),
            operators::MULTIPLY => self.arithmetic(expr, Operator::Multiply, a, b),
            operators::DIVIDE => self.arithmetic(expr, Operator::Divide, a, b),
            operators::MODULO => self.arithmetic(expr, Operator::Remainder, a, b),
            operators::IN => self.is_in(expr, a, b),
            operators::INDEX => self.index(expr, a, b),
            _ => return None,
        })
    }

    /// Both operands, so that problems of both are found.
    fn operands(&mut self, a: &IdedExpr, b: &IdedExpr) -> Option<(Typed, Typed)> {
        let (a, b) = (self.expr(a), self.expr(b));
        Some((a?, b?))
    }

    fn equal(&mut self, expr: &IdedExpr, a: &IdedExpr, b: &IdedExpr) -> Option<Bool> {
        Some(match self.operands(a, b)? {
            (Typed::Bool(a), Typed::Bool(b)) => Bool::Equal(Box::new(a), Box::new(b)),
            (Typed::Number(a, unit), Typed::Number(b, other)) if unit == other => {
                Bool::Compare(Order::Equal, a, b)
            }
            (Typed::Text(a), Typed::Text(b)) => Bool::CompareText(Order::Equal, a, b),
            (Typed::List(a), Typed::List(b)) => Bool::EqualLists(a, b),
            (found @ Typed::List(_), other @ Typed::Text(_)) => {
                let help = format!("write {} in {}", sample(b), sample(a));
                return self.mismatch(expr, "compared", (a, &found), (b, &other), &help);
            }
            (found, other) => {
                let help = "both sides of a comparison must be of one type";
                return self.mismatch(expr, "compared", (a, &found), (b, &other), help);
            }
        })
    }

    fn compare(
        &mut self,
        expr: &IdedExpr,
        order: Order,
        a: &IdedExpr,
        b: &IdedExpr,
    ) -> Option<Typed> {
        Some(Typed::Bool(match self.operands(a, b)? {
            (Typed::Number(a, unit), Typed::Number(b, other)) if unit == other => {
                Bool::Compare(order, a, b)
            }
            (Typed::Text(a), Typed::Text(b)) => Bool::CompareText(order, a, b),
            (found, other) => {
                let help = match (&found, &other) {
                    (Typed::List(_) | Typed::Map(_), _) => {
                        format!("write {}.size() for how many there are", sample(a))
                    }
                    (_, Typed::List(_) | Typed::Map(_)) => {
                        format!("write {}.size() for how many there are", sample(b))
                    }
                    (Typed::Number(_, Unit::Duration), _)
                    | (_, Typed::Number(_, Unit::Duration)) => {
                        "write a length of time as duration(\"5m\")".to_owned()
                    }
                    (Typed::Number(_, Unit::Time), _) | (_, Typed::Number(_, Unit::Time)) => {
                        "write a time as timestamp(\"2026-01-31T00:00:00Z\")".to_owned()
                    }
                    _ => "only numbers, texts and times have an order".to_owned(),
                };
                return self.mismatch(expr, "compared", (a, &found), (b, &other), &help);
            }
        }))
    }

    fn arithmetic(
        &mut self,
        expr: &IdedExpr,
        operator: Operator,
        a: &IdedExpr,
        b: &IdedExpr,
    ) -> Option<Typed> {
        let (found, other) = self.operands(a, b)?;
        if let (Typed::Number(_, left), Typed::Number(_, right)) = (&found, &other) {
            let unit = match (operator, left, right) {
                (_, Unit::Int, Unit::Int) => Some(Unit::Int),
                (Operator::Add | Operator::Subtract, Unit::Time, Unit::Duration)
                | (Operator::Add, Unit::Duration, Unit::Time) => Some(Unit::Time),
                (Operator::Subtract, Unit::Time, Unit::Time)
                | (Operator::Add | Operator::Subtract, Unit::Duration, Unit::Duration) => {
                    Some(Unit::Duration)
                }
                _ => None,
            };
            if let (Some(unit), Typed::Number(left, _), Typed::Number(right, _)) =
                (unit, &found, &other)
            {
                let (left, right) = (Box::new(left.clone()), Box::new(right.clone()));
                return Some(Typed::Number(Number::Arithmetic(operator, left, right, unit), unit));
            }
        }
        let help = match (&found, &other) {
            (Typed::Text(_), Typed::Text(_)) => "texts cannot be joined; compare them separately",
            (Typed::List(_), _) => "lists cannot be joined; search them separately with ||",
            _ => "arithmetic is for ints, and + and - for times and durations",
        };
        self.mismatch(expr, "calculated with", (a, &found), (b, &other), help)
    }

    fn negate(&mut self, expr: &IdedExpr, operand: &IdedExpr) -> Option<Typed> {
        match self.expr(operand)? {
            Typed::Number(number, unit @ (Unit::Int | Unit::Duration)) => {
                Some(Typed::Number(Number::Negate(Box::new(number), unit), unit))
            }
            other => {
                let message = format!("{} is {}", describe(operand), other.kind());
                self.reject(expr, &message, "only numbers can be negative; write ! for not")
            }
        }
    }

    fn choose(
        &mut self,
        expr: &IdedExpr,
        condition: &IdedExpr,
        yes: &IdedExpr,
        no: &IdedExpr,
    ) -> Option<Typed> {
        let condition = self.boolean(condition);
        let branches = self.operands(yes, no);
        let condition = Box::new(condition?);
        Some(match branches? {
            (Typed::Bool(a), Typed::Bool(b)) => {
                Typed::Bool(Bool::Choose(condition, Box::new(a), Box::new(b)))
            }
            (Typed::Number(a, unit), Typed::Number(b, other)) if unit == other => {
                Typed::Number(Number::Choose(condition, Box::new(a), Box::new(b)), unit)
            }
            (Typed::Text(a), Typed::Text(b)) => {
                Typed::Text(Text::Choose(condition, Box::new(a), Box::new(b)))
            }
            (Typed::List(a), Typed::List(b)) => {
                Typed::List(List::Choose(condition, Box::new(a), Box::new(b)))
            }
            (found, other) => {
                let help = "both branches of ? : must be bool, numbers, texts or lists alike";
                return self.mismatch(expr, "chosen between", (yes, &found), (no, &other), help);
            }
        })
    }

    fn is_in(&mut self, expr: &IdedExpr, a: &IdedExpr, b: &IdedExpr) -> Option<Typed> {
        let (found, other) = self.operands(a, b)?;
        Some(Typed::Bool(match (found, other) {
            (Typed::Text(text), Typed::List(List::Constant(mut items))) => {
                let named = segments(b).is_some();
                if named && items.iter().any(|item| item.contains('*')) {
                    let message =
                        format!("{} holds patterns, which `in` does not use", describe(b));
                    let help = format!("write host_in({}, {})", sample(a), sample(b));
                    return self.reject(expr, &message, &help);
                }
                items.sort_unstable();
                Bool::OneOf(text, items)
            }
            (Typed::Text(text), Typed::List(list)) => Bool::In(text, list),
            (Typed::Text(text), Typed::Map(map)) => Bool::HasKey(text, map),
            (Typed::Number(number, Unit::Int), Typed::Ints(choices)) => {
                Bool::AnyOf(number, choices)
            }
            (found, other) => {
                let help = match (&found, &other) {
                    (Typed::List(_), Typed::List(_)) => {
                        format!("write {}.exists(v, v in {})", sample(a), sample(b))
                    }
                    (_, Typed::Text(_)) => {
                        format!(
                            "write {}.contains({}) for a part of a text",
                            describe(b),
                            describe(a)
                        )
                    }
                    _ => "`in` finds a text in a list or among the keys of a map, or an int in \
                          a list of ints"
                        .to_owned(),
                };
                return self.mismatch(expr, "searched", (a, &found), (b, &other), &help);
            }
        }))
    }

    fn index(&mut self, expr: &IdedExpr, map: &IdedExpr, key: &IdedExpr) -> Option<Typed> {
        let (found, other) = self.operands(map, key)?;
        match (found, other) {
            (Typed::Map(map), Typed::Text(key)) => {
                Some(Typed::Text(Text::Entry(map, Box::new(key))))
            }
            (Typed::List(_), _) => {
                let help = "write .exists(v, …) or \"text\" in list";
                self.reject(expr, "items of lists have no numbers here", help)
            }
            (found, other) => {
                let help = "only maps have entries, named by text";
                self.mismatch(expr, "looked up", (map, &found), (key, &other), help)
            }
        }
    }

    fn mismatch<T>(
        &mut self,
        expr: &IdedExpr,
        what: &str,
        (a, found): (&IdedExpr, &Typed),
        (b, other): (&IdedExpr, &Typed),
        help: &str,
    ) -> Option<T> {
        let message = format!(
            "{} is {} and {} is {}: they cannot be {what}",
            describe(a),
            found.kind(),
            describe(b),
            other.kind()
        );
        self.reject(expr, &message, help)
    }

    fn function(&mut self, expr: &IdedExpr, name: &str, args: &[IdedExpr]) -> Option<Typed> {
        match (name, args) {
            ("size", [one]) => self.size(expr, one),
            ("duration", [one]) => {
                let help = "write for example duration(\"1h30m\"), with h, m, s, ms, us, ns";
                self.fixed(one, Unit::Duration, parse_duration, help)
            }
            ("timestamp", [one]) => {
                let help = "write for example timestamp(\"2026-01-31T08:00:00Z\")";
                self.fixed(one, Unit::Time, parse_time, help)
            }
            ("size" | "duration" | "timestamp", _) => {
                self.reject(expr, &format!("{name}() takes one value"), "give it one")
            }
            ("now", []) => self.reject(expr, "now is a fact, not a function", "write now"),
            _ => {
                let declared = match self.names.schema.function(name) {
                    Some(function) => *function,
                    None if name == HOST_IN.name => HOST_IN,
                    None => return self.unknown_function(expr, name),
                };
                self.declared(expr, declared, args)
            }
        }
    }

    fn unknown_function(&mut self, expr: &IdedExpr, name: &str) -> Option<Typed> {
        let declared = self.names.schema.functions().map(|function| function.name);
        let help = hint(name, FUNCTIONS.into_iter().chain(declared)).unwrap_or_else(|| {
            "there are size, startsWith, endsWith, contains, matches, exists, all, duration, \
             timestamp, host_in and parts of times"
                .to_owned()
        });
        self.reject(expr, &format!("there is no function \"{name}\""), &help)
    }

    /// `duration("…")` and `timestamp("…")`.
    fn fixed(
        &mut self,
        arg: &IdedExpr,
        unit: Unit,
        parse: fn(&str) -> Option<i128>,
        help: &str,
    ) -> Option<Typed> {
        match self.expr(arg)? {
            Typed::Text(Text::Constant(text)) => match parse(&text) {
                Some(nanos) => Some(Typed::Number(Number::Constant(nanos), unit)),
                None => self.reject(arg, &format!("{} is not understood", describe(arg)), help),
            },
            other => {
                let message = format!("{} is {}, not a fixed text", describe(arg), other.kind());
                self.reject(arg, &message, help)
            }
        }
    }

    fn size(&mut self, expr: &IdedExpr, of: &IdedExpr) -> Option<Typed> {
        let number = match self.expr(of)? {
            Typed::Text(text) => Number::TextSize(Box::new(text)),
            Typed::List(list) => Number::ListSize(Box::new(list)),
            Typed::Map(map) => Number::MapSize(map),
            other => {
                let message = format!("{} is {} and has no size", describe(of), other.kind());
                return self.reject(expr, &message, "texts, lists and maps have sizes");
            }
        };
        Some(Typed::Number(number, Unit::Int))
    }

    /// A function of the schema.
    fn declared(
        &mut self,
        expr: &IdedExpr,
        function: FunctionDecl,
        args: &[IdedExpr],
    ) -> Option<Typed> {
        let name = function.name;
        let (subject, patterns) = match (function.subject, args) {
            (Some(fact), [patterns]) => {
                let declared = self.names.schema.lookup(fact).map(|(_, fact)| *fact);
                match declared.filter(|fact| Schema::is_subject(fact.kind)) {
                    Some(fact) => (self.fact(fact.name, fact.kind), patterns),
                    None => {
                        let message = format!("{name}() reads {fact}, which nothing provides");
                        return self.reject(expr, &message, "use another function");
                    }
                }
            }
            (None, [subject, patterns]) => (self.expr(subject)?, patterns),
            (Some(_), _) => {
                let help = format!("write {name}(\"text\") or {name}(lists.NAME)");
                return self.reject(expr, &format!("{name}() takes one value"), &help);
            }
            (None, _) => {
                let help = format!("write {name}(text, lists.NAME)");
                return self.reject(expr, &format!("{name}() takes two values"), &help);
            }
        };
        let patterns = self.patterns(patterns, function.test)?;
        match subject {
            Typed::Text(text) => Some(Typed::Bool(Bool::TestText(text, patterns))),
            Typed::List(list) => Some(Typed::Bool(Bool::Test(list, patterns))),
            other => {
                let message = format!("the first value of {name}() is {}", other.kind());
                self.reject(expr, &message, "it must be text or a list of text")
            }
        }
    }

    fn patterns(&mut self, arg: &IdedExpr, test: Test) -> Option<Box<[Pattern]>> {
        let texts: Box<[Arc<str>]> = match self.expr(arg)? {
            Typed::Text(Text::Constant(text)) => Box::new([text]),
            Typed::List(List::Constant(items)) => items,
            other => {
                let message = format!("{} is {}", describe(arg), other.kind());
                return self.reject(arg, &message, "write a fixed text, or lists.NAME");
            }
        };
        texts
            .iter()
            .map(|text| match test {
                Test::Equal => Some(Pattern::Equal(Arc::clone(text))),
                Test::Glob if text.contains('.') => Some(Pattern::Glob(Glob::new(text))),
                Test::Glob => Some(Pattern::LastPart(Glob::new(text))),
                Test::Host => host(text).or_else(|| {
                    let message = format!("\"{text}\" is not a host name or *.suffix");
                    self.reject(arg, &message, "write api.example.com or *.example.com")
                }),
            })
            .collect()
    }

    fn method(
        &mut self,
        expr: &IdedExpr,
        target: &IdedExpr,
        name: &str,
        args: &[IdedExpr],
    ) -> Option<Typed> {
        match (name, args) {
            ("size", []) => self.size(expr, target),
            ("startsWith", [part]) => self.find(expr, Find::Start, target, part),
            ("endsWith", [part]) => self.find(expr, Find::End, target, part),
            ("contains", [part]) => self.find(expr, Find::Anywhere, target, part),
            ("matches", [pattern]) => self.matches(expr, target, pattern),
            ("exists" | "all", _) => {
                let help = format!("write .{name}(v, condition on v)");
                self.reject(expr, &format!("{name}() takes a variable and a condition"), &help)
            }
            ("size", _) => self.reject(expr, "size() takes no value", "write .size()"),
            ("startsWith" | "endsWith" | "contains" | "matches", _) => {
                self.reject(expr, &format!("{name}() takes one text"), "give it one")
            }
            _ => self.part(expr, target, name, args),
        }
    }

    fn find(
        &mut self,
        expr: &IdedExpr,
        find: Find,
        target: &IdedExpr,
        part: &IdedExpr,
    ) -> Option<Typed> {
        match self.operands(target, part)? {
            (Typed::Text(text), Typed::Text(part)) => {
                Some(Typed::Bool(Bool::Find(find, text, part)))
            }
            (found @ Typed::List(_), other) => {
                let (list, text) = (sample(target), sample(part));
                let help = format!("write {text} in {list}, or {list}.exists(v, …)");
                self.mismatch(expr, "searched", (target, &found), (part, &other), &help)
            }
            (found, other) => {
                let help = "texts are searched for texts";
                self.mismatch(expr, "searched", (target, &found), (part, &other), help)
            }
        }
    }

    fn matches(&mut self, expr: &IdedExpr, target: &IdedExpr, pattern: &IdedExpr) -> Option<Typed> {
        match self.operands(target, pattern)? {
            (Typed::Text(text), Typed::Text(Text::Constant(source))) => {
                let config = Regex::config().nfa_size_limit(Some(REGEX_BYTES_MAX));
                match Regex::builder().configure(config).build(&source) {
                    Ok(regex) => Some(Typed::Bool(Bool::Match(text, Box::new(regex)))),
                    Err(error) => {
                        let why = match error.syntax_error() {
                            Some(syntax) => syntax.to_string(),
                            None => "it is too large".to_owned(),
                        };
                        // The parser's message ends with what is wrong, after a picture.
                        let why = why.lines().last().unwrap_or_default();
                        let why = why.strip_prefix("error: ").unwrap_or(why);
                        let message = format!("this regular expression is not accepted: {why}");
                        self.reject(pattern, &message, "RE2 syntax, without look-around")
                    }
                }
            }
            (Typed::Text(_), Typed::Text(_)) => {
                let help = "write the regular expression as a fixed text";
                self.reject(pattern, "a regular expression must not depend on facts", help)
            }
            (found, other) => {
                let help = "texts are matched with a regular expression in quotes";
                self.mismatch(expr, "matched", (target, &found), (pattern, &other), help)
            }
        }
    }

    /// Parts of times.
    fn part(
        &mut self,
        expr: &IdedExpr,
        target: &IdedExpr,
        name: &str,
        args: &[IdedExpr],
    ) -> Option<Typed> {
        let (of_time, of_duration) = match name {
            "getFullYear" => (Part::FullYear, None),
            "getMonth" => (Part::Month, None),
            "getDate" => (Part::Date, None),
            "getDayOfMonth" => (Part::DayOfMonth, None),
            "getDayOfWeek" => (Part::DayOfWeek, None),
            "getDayOfYear" => (Part::DayOfYear, None),
            "getHours" => (Part::Hours, Some(Part::TotalHours)),
            "getMinutes" => (Part::Minutes, Some(Part::TotalMinutes)),
            "getSeconds" => (Part::Seconds, Some(Part::TotalSeconds)),
            _ => return self.unknown_function(expr, name),
        };
        let utc = args.iter().all(|arg| describe(arg) == "\"UTC\"");
        if !utc || args.len() > 1 {
            let message = format!("{name}() knows no time zones");
            return self.reject(expr, &message, "times are UTC: leave the value out and convert");
        }
        match self.expr(target)? {
            Typed::Number(number, Unit::Time) => {
                Some(Typed::Number(Number::Calendar(of_time, Box::new(number)), Unit::Int))
            }
            Typed::Number(number, Unit::Duration) if of_duration.is_some() => {
                let part = of_duration.unwrap_or(of_time);
                Some(Typed::Number(Number::Calendar(part, Box::new(number)), Unit::Int))
            }
            other => {
                let message = format!("{} is {}", describe(target), other.kind());
                self.reject(expr, &message, &format!("{name}() is for times"))
            }
        }
    }
}

/// A host name or `*.suffix`, in lower case and without a trailing dot.
fn host(text: &str) -> Option<Pattern> {
    let text = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
    let name = text.strip_prefix("*.").unwrap_or(&text);
    let plain =
        |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '[' | ']');
    if name.is_empty() || name.starts_with('.') || !name.chars().all(plain) {
        return None;
    }
    Some(match text.strip_prefix('*') {
        Some(suffix) => Pattern::HostBelow(suffix.into()),
        None => Pattern::Host(text.as_str().into()),
    })
}
