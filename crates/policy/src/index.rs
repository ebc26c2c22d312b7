//! Which rules can match at all, told by a look at few facts.
//!
//! Most conditions ask for one of some texts in a fact (`sql.verb == "drop"`, `"dba" in
//! principal.groups`, `sql.tables.exists(t, t == "public.salaries")`), and most operations have
//! none of them. Those rules are found by what the fact holds and not by asking every one. A rule
//! that is left out would have been certainly false, which has no effect: a decision is the same
//! with and without this.

use std::collections::HashMap;
use std::sync::Arc;

use model::Value;

use crate::decide::ScopedRule;
use crate::schema::Fact;
use crate::tree::{Bool, List, Order, Pattern, Text, View};

/// Rules that need no memory of their own to be marked.
const WORDS_INLINE: usize = 8;

/// Rules by what has to be true of a fact.
pub(crate) struct Index {
    rules: usize,
    /// Those that are judged whatever the facts are, as bits.
    always: Box<[u64]>,
    by_fact: Box<[ByFact]>,
}

/// The rules that ask the same kind of thing of one fact.
struct ByFact {
    slot: u16,
    kind: Kind,
    /// All of them, for a fact that is not known, or of another type than was declared.
    all: Vec<usize>,
    texts: HashMap<Arc<str>, Vec<usize>>,
    no: Vec<usize>,
    yes: Vec<usize>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Kind {
    Text,
    List,
    Truth,
}

/// What a fact has to hold.
#[derive(Clone, Debug, Eq, PartialEq)]
enum Key {
    /// It is this text.
    Text(Arc<str>),
    /// It is a list that has this item.
    Item(Arc<str>),
    Truth(bool),
}

impl Key {
    const fn kind(&self) -> Kind {
        match self {
            Self::Text(_) => Kind::Text,
            Self::Item(_) => Kind::List,
            Self::Truth(_) => Kind::Truth,
        }
    }
}

/// Of these, by the rule's own number of a fact, one has to be true; otherwise the condition is
/// certainly false.
type Guard = Vec<(u16, Key)>;

impl Index {
    pub fn new(rules: &[ScopedRule]) -> Self {
        let mut always = vec![0; rules.len().div_ceil(64)];
        let mut by_fact: Vec<ByFact> = Vec::new();
        for (number, scoped) in rules.iter().enumerate() {
            let guard = scoped.rule.when.as_ref().and_then(guard).and_then(|guard| {
                let slot = |local: u16| scoped.slots.get(usize::from(local)).copied();
                guard.into_iter().map(|(local, key)| Some((slot(local)?, key))).collect()
            });
            let Some(guard): Option<Guard> = guard else {
                mark(&mut always, number);
                continue;
            };
            for (slot, key) in guard {
                let is = |of: &&mut ByFact| of.slot == slot && of.kind == key.kind();
                match by_fact.iter_mut().find(is) {
                    Some(of) => of.add(number, key),
                    None => {
                        let mut of = ByFact::new(slot, key.kind());
                        of.add(number, key);
                        by_fact.push(of);
                    }
                }
            }
        }
        Self { rules: rules.len(), always: always.into(), by_fact: by_fact.into() }
    }

    /// Calls `judge` with the number of every rule that may match, in order.
    pub fn candidates(&self, view: &View<'_>, mut judge: impl FnMut(usize)) {
        let mut inline = [0; WORDS_INLINE];
        let mut more = Vec::new();
        let marks = match inline.get_mut(..self.always.len()) {
            Some(marks) => {
                marks.copy_from_slice(&self.always);
                marks
            }
            None => {
                more.extend_from_slice(&self.always);
                more.as_mut_slice()
            }
        };
        for of in &self.by_fact {
            of.mark(view.fact(of.slot), marks);
        }
        for (word, marks) in marks.iter().enumerate() {
            let mut left = *marks;
            while left != 0 {
                judge(word * 64 + left.trailing_zeros() as usize);
                left &= left - 1;
            }
        }
    }

    /// The rules that [`Self::candidates`] leaves out.
    pub fn left_out(&self, view: &View<'_>) -> Vec<usize> {
        let mut left: Vec<usize> = (0..self.rules).collect();
        self.candidates(view, |number| left.retain(|other| *other != number));
        left
    }
}

impl ByFact {
    fn new(slot: u16, kind: Kind) -> Self {
        let (texts, all, no, yes) = Default::default();
        Self { slot, kind, all, texts, no, yes }
    }

    fn add(&mut self, rule: usize, key: Key) {
        self.all.push(rule);
        match key {
            Key::Text(text) | Key::Item(text) => self.texts.entry(text).or_default().push(rule),
            Key::Truth(false) => self.no.push(rule),
            Key::Truth(true) => self.yes.push(rule),
        }
    }

    fn mark(&self, fact: Option<&Fact>, marks: &mut [u64]) {
        let mut found = |rules: &[usize]| rules.iter().for_each(|rule| mark(marks, *rule));
        let of = |text: &str| self.texts.get(text).map_or(&[][..], Vec::as_slice);
        match (fact, self.kind) {
            (Some(Fact::Known(Value::Text(text))), Kind::Text) => found(of(text)),
            (Some(Fact::Known(Value::TextList(items))), Kind::List) => {
                items.iter().for_each(|item| found(of(item)));
            }
            (Some(Fact::Known(Value::Bool(truth))), Kind::Truth) => {
                found(if *truth { &self.yes } else { &self.no });
            }
            _ => found(&self.all),
        }
    }
}

fn mark(marks: &mut [u64], rule: usize) {
    if let Some(word) = marks.get_mut(rule / 64) {
        *word |= 1 << (rule % 64);
    }
}

/// What has to be true for a condition not to be certainly false; `None` where that cannot be told
/// by one look.
fn guard(condition: &Bool) -> Option<Guard> {
    let is = |local: u16, texts: &[Arc<str>]| -> Option<Guard> {
        Some(texts.iter().map(|text| (local, Key::Text(Arc::clone(text)))).collect())
    };
    let has = |local: u16, texts: Vec<Arc<str>>| -> Option<Guard> {
        Some(texts.into_iter().map(|text| (local, Key::Item(text))).collect())
    };
    match condition {
        Bool::Constant(false) => Some(Vec::new()),
        Bool::Fact(local) => Some(vec![(*local, Key::Truth(true))]),
        Bool::Not(inner) => match **inner {
            Bool::Fact(local) => Some(vec![(local, Key::Truth(false))]),
            _ => None,
        },
        // False wins over everything else that the other side may be.
        Bool::And(a, b) => match (guard(a), guard(b)) {
            (Some(a), Some(b)) => Some(if b.len() < a.len() { b } else { a }),
            (a, b) => a.or(b),
        },
        Bool::Or(a, b) => {
            let (mut a, b) = (guard(a)?, guard(b)?);
            a.extend(b);
            Some(a)
        }
        Bool::CompareText(Order::Equal, Text::Fact(local), Text::Constant(text))
        | Bool::CompareText(Order::Equal, Text::Constant(text), Text::Fact(local)) => {
            is(*local, std::slice::from_ref(text))
        }
        Bool::OneOf(Text::Fact(local), texts)
        | Bool::In(Text::Fact(local), List::Constant(texts)) => is(*local, texts),
        Bool::TestText(Text::Fact(local), patterns) => {
            is(*local, &patterns.iter().map(exact).collect::<Option<Vec<_>>>()?)
        }
        Bool::In(Text::Constant(text), List::Fact(local)) => has(*local, vec![Arc::clone(text)]),
        Bool::Exists(List::Fact(local), of_item) => has(*local, item(of_item)?),
        Bool::Test(List::Fact(local), patterns) => {
            has(*local, patterns.iter().map(exact).collect::<Option<_>>()?)
        }
        _ => None,
    }
}

/// The items for which the condition of an `exists` is not certainly false.
fn item(condition: &Bool) -> Option<Vec<Arc<str>>> {
    match condition {
        Bool::CompareText(Order::Equal, Text::Item, Text::Constant(text))
        | Bool::CompareText(Order::Equal, Text::Constant(text), Text::Item) => {
            Some(vec![Arc::clone(text)])
        }
        Bool::OneOf(Text::Item, texts) | Bool::In(Text::Item, List::Constant(texts)) => {
            Some(texts.to_vec())
        }
        Bool::And(a, b) => item(a).or_else(|| item(b)),
        Bool::Or(a, b) => {
            let (mut a, b) = (item(a)?, item(b)?);
            a.extend(b);
            Some(a)
        }
        _ => None,
    }
}

fn exact(pattern: &Pattern) -> Option<Arc<str>> {
    match pattern {
        Pattern::Equal(text) => Some(Arc::clone(text)),
        Pattern::Host(_) | Pattern::HostBelow(_) | Pattern::Glob(_) | Pattern::LastPart(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;

    /// The facts that a condition asks one look of, by name.
    fn asked(text: &str) -> Option<Vec<(&'static str, Key)>> {
        let compiled = fixture::compile(text).expect("a condition");
        let name = |local: u16| {
            let at = compiled.facts.uses[usize::from(local)].ids[0].index;
            fixture::FACTS[usize::from(at)].name
        };
        let guard = guard(&compiled.tree)?;
        Some(guard.into_iter().map(|(local, key)| (name(local), key)).collect())
    }

    fn text(text: &str) -> Key {
        Key::Text(text.into())
    }

    fn item(text: &str) -> Key {
        Key::Item(text.into())
    }

    #[test]
    fn conditions_that_need_one_of_some_texts_say_which() {
        for (condition, expected) in [
            (r#"r.t == "a""#, vec![("r.t", text("a"))]),
            (r#""a" == r.t"#, vec![("r.t", text("a"))]),
            (r#"r.t in ["b", "a"]"#, vec![("r.t", text("a")), ("r.t", text("b"))]),
            (r#""a" in r.l"#, vec![("r.l", item("a"))]),
            (r#"r.l.exists(x, x == "a")"#, vec![("r.l", item("a"))]),
            (
                r#"r.l.exists(x, x == "a" || x == "b")"#,
                vec![("r.l", item("a")), ("r.l", item("b"))],
            ),
            (r#"r.l.exists(x, x == "a" && r.a > 3)"#, vec![("r.l", item("a"))]),
            (r#"in_list("a")"#, vec![("r.l", item("a"))]),
            (r#"r.a > 3 && r.t == "a""#, vec![("r.t", text("a"))]),
            (r#"r.q || r.t == "a""#, vec![("r.q", Key::Truth(true)), ("r.t", text("a"))]),
            ("!r.q && r.a > 3", vec![("r.q", Key::Truth(false))]),
        ] {
            assert_eq!(asked(condition), Some(expected), "{condition}");
        }
    }

    #[test]
    fn conditions_of_which_one_look_says_nothing_are_judged() {
        for condition in [
            "r.a > 3",
            r#"r.t != "a""#,
            r#"!(r.t == "a")"#,
            r#"r.t == "a" || r.a > 3"#,
            r#"r.l.all(x, x == "a")"#,
            r#"r.l.exists(x, x != "a")"#,
            r#"r.t.contains("a")"#,
            r#"touches("a*")"#,
            r#"r.q ? r.t == "a" : true"#,
        ] {
            assert_eq!(asked(condition), None, "{condition}");
        }
    }
}
