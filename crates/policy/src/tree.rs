//! Conditions as typed trees, and their evaluation.
//!
//! Made by [`crate::check`] from CEL text whose types were checked, so that nothing can be of the
//! wrong type here. Evaluation borrows everything it reads and allocates nothing.

use std::cell::OnceCell;
use std::sync::Arc;
use std::time::Duration;

use model::Value;
use regex_automata::meta::Regex;

use crate::calendar::{self, Part};
use crate::glob::Glob;
use crate::outcome::{Outcomes, Range, Unit};
use crate::schema::{Fact, FactId, Facts};

/// A condition, or a part of one that is true or false.
#[derive(Clone, Debug)]
pub(crate) enum Bool {
    Constant(bool),
    Fact(u16),
    Not(Box<Bool>),
    And(Box<Bool>, Box<Bool>),
    Or(Box<Bool>, Box<Bool>),
    Choose(Box<Bool>, Box<Bool>, Box<Bool>),
    Equal(Box<Bool>, Box<Bool>),
    Compare(Order, Number, Number),
    CompareText(Order, Text, Text),
    EqualLists(List, List),
    AnyOf(Number, Box<[i64]>),
    /// Sorted, so that long lists cost little.
    OneOf(Text, Box<[Arc<str>]>),
    In(Text, List),
    HasKey(Text, Map),
    Find(Find, Text, Text),
    Match(Text, Box<Regex>),
    /// Any subject meets any pattern.
    Test(List, Box<[Pattern]>),
    TestText(Text, Box<[Pattern]>),
    Exists(List, Box<Bool>),
    All(List, Box<Bool>),
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Order {
    Equal,
    Less,
    LessOrEqual,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Find {
    Start,
    End,
    Anywhere,
}

#[derive(Clone, Debug)]
pub(crate) enum Number {
    Constant(i128),
    Fact(u16, Unit),
    Negate(Box<Number>, Unit),
    Arithmetic(Operator, Box<Number>, Box<Number>, Unit),
    Choose(Box<Bool>, Box<Number>, Box<Number>),
    TextSize(Box<Text>),
    ListSize(Box<List>),
    MapSize(Map),
    Calendar(Part, Box<Number>),
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Operator {
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
}

#[derive(Clone, Debug)]
pub(crate) enum Text {
    Constant(Arc<str>),
    Fact(u16),
    /// The item of the `exists` or `all` around it.
    Item,
    Entry(Map, Box<Text>),
    Choose(Box<Bool>, Box<Text>, Box<Text>),
}

#[derive(Clone, Debug)]
pub(crate) enum List {
    Constant(Box<[Arc<str>]>),
    Fact(u16),
    Keys(Map),
    Choose(Box<Bool>, Box<List>, Box<List>),
}

/// A map is always a fact.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Map(pub u16);

/// What a subject of a function is compared with.
#[derive(Clone, Debug)]
pub(crate) enum Pattern {
    Equal(Arc<str>),
    /// Lower case, without a trailing dot.
    Host(Arc<str>),
    /// Below this, which begins with a dot.
    HostBelow(Arc<str>),
    Glob(Glob),
    /// Compared with the part after the last dot too.
    LastPart(Glob),
}

/// Facts of one operation, each fetched at most once.
pub(crate) struct View<'a> {
    source: &'a dyn Facts,
    wanted: &'a [(FactId, Duration)],
    cells: Box<[OnceCell<Fact>]>,
    fetch: fn(&dyn Facts, FactId, Duration) -> Fact,
}

impl<'a> View<'a> {
    pub fn new(source: &'a dyn Facts, wanted: &'a [(FactId, Duration)]) -> Self {
        let cells = wanted.iter().map(|_| OnceCell::new()).collect();
        Self { source, wanted, cells, fetch: |source, id, window| source.fact(id, window) }
    }

    /// As rules see them that can stop nothing ([`Facts::seen`]).
    pub fn seen(source: &'a dyn Facts, wanted: &'a [(FactId, Duration)]) -> Self {
        let fetch = |source: &dyn Facts, id, window| source.seen(id, window);
        Self { fetch, ..Self::new(source, wanted) }
    }

    pub fn source(&self) -> &'a dyn Facts {
        self.source
    }

    /// The fact in a slot; `None` when there is no such slot.
    pub fn fact(&self, slot: u16) -> Option<&Fact> {
        let (id, window) = self.wanted.get(usize::from(slot))?;
        let cell = self.cells.get(usize::from(slot))?;
        Some(cell.get_or_init(|| (self.fetch)(self.source, *id, *window)))
    }
}

/// What one condition sees: its own numbering of facts over a view, and the item in hand.
#[derive(Clone, Copy)]
pub(crate) struct Frame<'a> {
    pub view: &'a View<'a>,
    pub slots: &'a [u16],
    pub item: Option<&'a str>,
}

/// A map's entries.
type Entries<'a> = &'a [(Arc<str>, Arc<str>)];

/// A value that is known, or not yet, or never.
enum Known<T> {
    Yes(T),
    /// Any value, or an error.
    No,
    Error,
}

impl<T> Known<T> {
    fn outcomes(self, of: impl FnOnce(T) -> Outcomes) -> Outcomes {
        match self {
            Self::Yes(value) => of(value),
            Self::No => Outcomes::ANY,
            Self::Error => Outcomes::ERROR,
        }
    }
}

/// The outcomes of a question about two values.
fn both<A, B>(a: Known<A>, b: Known<B>, of: impl FnOnce(A, B) -> Outcomes) -> Outcomes {
    match (a, b) {
        (Known::Error, _) | (_, Known::Error) => Outcomes::ERROR,
        (Known::Yes(a), Known::Yes(b)) => of(a, b),
        _ => Outcomes::ANY,
    }
}

impl<'a> Frame<'a> {
    pub fn fact(&self, local: u16) -> Option<&'a Fact> {
        self.view.fact(*self.slots.get(usize::from(local))?)
    }

    /// The value of a fact, as `of` takes it; an error when it is of another type than declared.
    fn known<T>(&self, local: u16, of: impl FnOnce(&'a Value) -> Option<T>) -> Known<T> {
        match self.fact(local) {
            Some(Fact::Known(value)) => of(value).map_or(Known::Error, Known::Yes),
            Some(Fact::Range { .. } | Fact::Pending) => Known::No,
            Some(Fact::Absent) | None => Known::Error,
        }
    }

    fn map(&self, map: Map) -> Known<Entries<'a>> {
        self.known(map.0, |value| match value {
            Value::TextMap(entries) => Some(&**entries),
            _ => None,
        })
    }
}

impl Bool {
    pub fn eval(&self, frame: Frame<'_>) -> Outcomes {
        match self {
            Self::Constant(value) => Outcomes::known(*value),
            Self::Fact(local) => frame
                .known(*local, |value| match value {
                    Value::Bool(value) => Some(*value),
                    _ => None,
                })
                .outcomes(Outcomes::known),
            Self::Not(inner) => inner.eval(frame).not(),
            Self::And(a, b) => match a.eval(frame) {
                Outcomes::NO => Outcomes::NO,
                left => left.and(b.eval(frame)),
            },
            Self::Or(a, b) => match a.eval(frame) {
                Outcomes::YES => Outcomes::YES,
                left => left.or(b.eval(frame)),
            },
            Self::Choose(condition, yes, no) => {
                let condition = condition.eval(frame);
                let branches = [
                    condition.may_be_true().then(|| yes.eval(frame)),
                    condition.may_be_false().then(|| no.eval(frame)),
                    condition.may_fail().then_some(Outcomes::ERROR),
                ];
                branches.into_iter().flatten().reduce(Outcomes::union).unwrap_or(Outcomes::ERROR)
            }
            Self::Equal(a, b) => equal_truths(a.eval(frame), b.eval(frame)),
            Self::Compare(order, a, b) => {
                let (a, b) = (a.eval(frame), b.eval(frame));
                match order {
                    Order::Equal => a.equal(b),
                    Order::Less => a.less(b),
                    Order::LessOrEqual => a.less_or_equal(b),
                }
            }
            Self::AnyOf(number, choices) => any_of(number.eval(frame), choices),
            _ => self.eval_text(frame),
        }
    }

    /// The questions about texts, lists and maps.
    fn eval_text(&self, frame: Frame<'_>) -> Outcomes {
        match self {
            Self::CompareText(order, a, b) => both(a.eval(frame), b.eval(frame), |a, b| {
                Outcomes::known(match order {
                    Order::Equal => a == b,
                    Order::Less => a < b,
                    Order::LessOrEqual => a <= b,
                })
            }),
            Self::EqualLists(a, b) => both(a.eval(frame), b.eval(frame), |a, b| {
                Outcomes::known(a.len() == b.len() && a.iter().zip(b.iter()).all(|(a, b)| a == b))
            }),
            Self::OneOf(text, choices) => text.eval(frame).outcomes(|text| {
                let found = choices.binary_search_by(|choice| (**choice).cmp(text));
                Outcomes::known(found.is_ok())
            }),
            Self::In(text, list) => both(text.eval(frame), list.eval(frame), |text, list| {
                Outcomes::known(list.iter().any(|item| item == text))
            }),
            Self::HasKey(text, map) => both(text.eval(frame), frame.map(*map), |text, map| {
                Outcomes::known(map.iter().any(|(key, _)| **key == *text))
            }),
            Self::Find(find, text, part) => {
                both(text.eval(frame), part.eval(frame), |text, part| {
                    Outcomes::known(match find {
                        Find::Start => text.starts_with(part),
                        Find::End => text.ends_with(part),
                        Find::Anywhere => text.contains(part),
                    })
                })
            }
            Self::Match(text, regex) => {
                text.eval(frame).outcomes(|text| Outcomes::known(regex.is_match(text)))
            }
            Self::TestText(text, patterns) => text
                .eval(frame)
                .outcomes(|text| Outcomes::known(patterns.iter().any(|p| p.matches(text)))),
            Self::Test(list, patterns) => list.eval(frame).outcomes(|list| {
                let met = |item: &str| patterns.iter().any(|pattern| pattern.matches(item));
                Outcomes::known(list.iter().any(met))
            }),
            Self::Exists(list, condition) => {
                fold(list, condition, frame, Outcomes::NO, Outcomes::YES, Outcomes::or)
            }
            Self::All(list, condition) => {
                fold(list, condition, frame, Outcomes::YES, Outcomes::NO, Outcomes::and)
            }
            // Every other kind is taken care of by the caller.
            _ => Outcomes::ERROR,
        }
    }
}

/// Joins the outcomes of a condition over a list's items; stops at the one that decides.
fn fold(
    list: &List,
    condition: &Bool,
    frame: Frame<'_>,
    empty: Outcomes,
    decisive: Outcomes,
    join: fn(Outcomes, Outcomes) -> Outcomes,
) -> Outcomes {
    list.eval(frame).outcomes(|items| {
        let mut outcome = empty;
        for item in items.iter() {
            outcome = join(outcome, condition.eval(Frame { item: Some(item), ..frame }));
            if outcome == decisive {
                break;
            }
        }
        outcome
    })
}

fn equal_truths(a: Outcomes, b: Outcomes) -> Outcomes {
    let pairs = [
        (a.may_be_true() && b.may_be_true() || a.may_be_false() && b.may_be_false())
            .then_some(Outcomes::YES),
        (a.may_be_true() && b.may_be_false() || a.may_be_false() && b.may_be_true())
            .then_some(Outcomes::NO),
        (a.may_fail() || b.may_fail()).then_some(Outcomes::ERROR),
    ];
    pairs.into_iter().flatten().reduce(Outcomes::union).unwrap_or(Outcomes::ERROR)
}

fn any_of(number: Range, choices: &[i64]) -> Outcomes {
    let answers = choices.iter().map(|choice| number.equal(Range::one(i128::from(*choice))));
    let none = if number.is_empty() { Outcomes::ERROR } else { Outcomes::NO };
    answers.fold(none.or_fails(number.fails), Outcomes::or)
}

impl Number {
    pub fn eval(&self, frame: Frame<'_>) -> Range {
        match self {
            Self::Constant(value) => Range::one(*value),
            Self::Fact(local, unit) => match (frame.fact(*local), unit) {
                (Some(Fact::Known(value)), _) => number(value, *unit).unwrap_or(Range::ERROR),
                (Some(Fact::Range { low, high }), Unit::Int) => {
                    Range::between(i128::from(*low), i128::from(*high))
                }
                (Some(Fact::Range { .. } | Fact::Pending), _) => Range::any(*unit),
                (Some(Fact::Absent) | None, _) => Range::ERROR,
            },
            Self::Negate(inner, unit) => inner.eval(frame).negate(*unit),
            Self::Arithmetic(operator, a, b, unit) => {
                let (a, b) = (a.eval(frame), b.eval(frame));
                match operator {
                    Operator::Add => a.add(b, *unit),
                    Operator::Subtract => a.subtract(b, *unit),
                    Operator::Multiply => a.multiply(b, *unit),
                    Operator::Divide => a.divide(b, *unit),
                    Operator::Remainder => a.remainder(b, *unit),
                }
            }
            Self::Choose(condition, yes, no) => {
                let condition = condition.eval(frame);
                let mut range = Range::ERROR.or_fails(true);
                range.fails = condition.may_fail();
                if condition.may_be_true() {
                    range = range.union(yes.eval(frame));
                }
                if condition.may_be_false() {
                    range = range.union(no.eval(frame));
                }
                range
            }
            Self::TextSize(text) => size(text.eval(frame), |text| text.chars().count()),
            Self::ListSize(list) => size(list.eval(frame), |list| list.len()),
            Self::MapSize(map) => size(frame.map(*map), <[_]>::len),
            Self::Calendar(part, number) => {
                let range = number.eval(frame);
                match range.exact() {
                    Some(nanos) => Range::one(calendar::part(*part, nanos)).or_fails(range.fails),
                    None if range.is_empty() => Range::ERROR,
                    None => Range::any(Unit::Int).or_fails(range.fails),
                }
            }
        }
    }
}

fn number(value: &Value, unit: Unit) -> Option<Range> {
    Some(Range::one(match (value, unit) {
        (Value::Int(value), Unit::Int) => i128::from(*value),
        (Value::Time(nanos), Unit::Time) | (Value::Duration(nanos), Unit::Duration) => {
            i128::from(*nanos)
        }
        _ => return None,
    }))
}

fn size<T>(value: Known<T>, of: impl FnOnce(T) -> usize) -> Range {
    match value {
        Known::Yes(value) => Range::one(i128::try_from(of(value)).unwrap_or(i128::MAX)),
        Known::No => Range { low: 0, ..Range::any(Unit::Int) },
        Known::Error => Range::ERROR,
    }
}

impl Text {
    fn eval<'a>(&'a self, frame: Frame<'a>) -> Known<&'a str> {
        match self {
            Self::Constant(text) => Known::Yes(text),
            Self::Fact(local) => frame.known(*local, |value| match value {
                Value::Text(text) => Some(&**text),
                _ => None,
            }),
            Self::Item => frame.item.map_or(Known::Error, Known::Yes),
            Self::Entry(map, key) => match (frame.map(*map), key.eval(frame)) {
                (Known::Error, _) | (_, Known::Error) => Known::Error,
                (Known::Yes(entries), Known::Yes(wanted)) => Known::Yes(
                    entries.iter().find(|(key, _)| **key == *wanted).map_or("", |(_, text)| text),
                ),
                _ => Known::No,
            },
            Self::Choose(condition, yes, no) => {
                choose(condition.eval(frame), || yes.eval(frame), || no.eval(frame))
            }
        }
    }
}

fn choose<T>(
    condition: Outcomes,
    yes: impl FnOnce() -> Known<T>,
    no: impl FnOnce() -> Known<T>,
) -> Known<T> {
    match condition {
        Outcomes::YES => yes(),
        Outcomes::NO => no(),
        Outcomes::ERROR => Known::Error,
        _ => Known::No,
    }
}

/// The items of a list: texts, or the keys of a map.
enum Items<'a> {
    Texts(&'a [Arc<str>]),
    Keys(Entries<'a>),
}

impl<'a> Items<'a> {
    fn len(&self) -> usize {
        match self {
            Self::Texts(texts) => texts.len(),
            Self::Keys(entries) => entries.len(),
        }
    }

    fn iter(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        let (texts, entries) = match *self {
            Self::Texts(texts) => (texts, Default::default()),
            Self::Keys(entries) => (Default::default(), entries),
        };
        let keys = entries.iter().map(|(key, _)| &**key);
        texts.iter().map(|text| &**text).chain(keys)
    }
}

impl List {
    fn eval<'a>(&'a self, frame: Frame<'a>) -> Known<Items<'a>> {
        match self {
            Self::Constant(items) => Known::Yes(Items::Texts(items)),
            Self::Fact(local) => frame.known(*local, |value| match value {
                Value::TextList(items) => Some(Items::Texts(items)),
                _ => None,
            }),
            Self::Keys(map) => match frame.map(*map) {
                Known::Yes(entries) => Known::Yes(Items::Keys(entries)),
                Known::No => Known::No,
                Known::Error => Known::Error,
            },
            Self::Choose(condition, yes, no) => {
                choose(condition.eval(frame), || yes.eval(frame), || no.eval(frame))
            }
        }
    }
}

impl Pattern {
    fn matches(&self, subject: &str) -> bool {
        match self {
            Self::Equal(text) => **text == *subject,
            Self::Host(host) => host.eq_ignore_ascii_case(without_dot(subject)),
            Self::HostBelow(suffix) => {
                let (subject, suffix) = (without_dot(subject).as_bytes(), suffix.as_bytes());
                subject.len() > suffix.len()
                    && subject.len().checked_sub(suffix.len()).is_some_and(|at| {
                        subject.get(at..).is_some_and(|end| end.eq_ignore_ascii_case(suffix))
                    })
            }
            Self::Glob(glob) => glob.matches(subject),
            Self::LastPart(glob) => {
                let last = subject.rsplit('.').next().unwrap_or(subject);
                glob.matches(subject) || glob.matches(last)
            }
        }
    }
}

fn without_dot(host: &str) -> &str {
    host.strip_suffix('.').unwrap_or(host)
}

#[cfg(test)]
mod tests;
