//! What must hold of the four transcripts of a case.

use std::collections::BTreeMap;

use crate::{Message, different, without_words};

use super::canary::Canaries;
use super::case::Case;
use super::lines::Received;
use super::seen::{Hashes, joined, lines, refusal, state};
use super::types::wrong_value;

/// A broken promise.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Finding {
    /// Which one.
    pub promise: Promise,
    /// What was seen, and where.
    pub seen: String,
}

/// What is promised.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Promise {
    /// Without masks everything is as it is directly.
    Unchanged,
    /// No hidden value is seen.
    Hidden,
    /// Nothing depends on a hidden value.
    Independent,
    /// What reads no masked column is as it is directly, or refused for a documented reason.
    Undisturbed,
    /// Masks change values and nothing else.
    OnlyValues,
    /// A masked value is one of its type.
    Typed,
    /// Connections stay open.
    Open,
}

impl Promise {
    /// Whether it may only look broken where tables are not as large everywhere.
    #[must_use]
    pub const fn may_be_size(self) -> bool {
        match self {
            Self::Unchanged | Self::Independent | Self::Undisturbed | Self::OnlyValues => true,
            Self::Hidden | Self::Typed | Self::Open => false,
        }
    }
}

/// What was counted.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Cases.
    pub cases: u64,
    /// Statements of them.
    pub statements: u64,
    /// Cases left out, because they took too long.
    pub slow: u64,
    /// Cases that differed, and no more when tables were as large everywhere; with the shortest.
    pub sizes: (u64, String),
    /// Cases that fail directly.
    pub failed: u64,
    /// Cases that name a masked column.
    pub touched: u64,
    /// Of these, those that were refused.
    pub touched_refused: u64,
    /// Reasons of refusals where a masked column is named.
    pub reasons: BTreeMap<String, u64>,
    /// Reasons of refusals where none is, with an example.
    pub over: BTreeMap<String, (u64, String)>,
    /// Reasons of refusals without masks.
    pub everyone: BTreeMap<String, u64>,
}

impl Tally {
    /// Both together.
    pub fn add(&mut self, other: Self) {
        self.cases += other.cases;
        self.statements += other.statements;
        self.slow += other.slow;
        shortest(&mut self.sizes, other.sizes);
        self.failed += other.failed;
        self.touched += other.touched;
        self.touched_refused += other.touched_refused;
        for (reason, count) in other.reasons {
            *self.reasons.entry(reason).or_default() += count;
        }
        for (reason, count) in other.everyone {
            *self.everyone.entry(reason).or_default() += count;
        }
        for (reason, counted) in other.over {
            shortest(self.over.entry(reason).or_default(), counted);
        }
    }
}

/// Adds a number of cases, and keeps the shorter example.
fn shortest(all: &mut (u64, String), (count, example): (u64, String)) {
    if count > 0 && (all.0 == 0 || example.len() < all.1.len()) {
        all.1 = example;
    }
    all.0 += count;
}

/// What the judge knows.
#[derive(Debug)]
pub struct Judge {
    /// Hashes of both worlds.
    pub hashes: [Hashes; 2],
    /// Hidden values of both worlds.
    pub canaries: [Canaries; 2],
    /// The guide to refusals.
    pub reasons: String,
}

impl Judge {
    /// Looks for a broken promise.
    pub fn judge(&self, case: &Case, all: &[Received; 4], tally: &mut Tally) -> Option<Finding> {
        let found = |promise, seen: String| Some(Finding { promise, seen });
        let [Some(direct), Some(open), Some(a), Some(b)] = all else {
            let closed: Vec<bool> = all.iter().map(Option::is_none).collect();
            return found(Promise::Open, format!("closed (direct, open, a, b): {closed:?}"));
        };
        tally.cases += 1;
        tally.statements += u64::try_from(case.steps.len()).unwrap_or(0);
        if all.iter().flatten().any(|messages| late(messages)) {
            tally.slow += 1;
            return None;
        }
        let none = Hashes::default();
        let [hashes_a, hashes_b] = &self.hashes;
        let [canaries_a, canaries_b] = &self.canaries;
        let [expected, seen] =
            [direct, open].map(|messages| without_places(lines(messages, &none, true)));
        if let Some(reason) = refusal(open) {
            *tally.everyone.entry(reason).or_default() += 1;
        } else if own_syntax_error(open, direct) {
            *tally.everyone.entry("syntax".to_owned()).or_default() += 1;
        } else if expected != seen {
            return found(Promise::Unchanged, different(&expected, &seen));
        }
        tally.failed += u64::from(state(direct).is_some());
        if !case.guesses {
            for (canaries, messages, hashes) in
                [(canaries_a, a, hashes_a), (canaries_b, b, hashes_b)]
            {
                if let Some(value) = canaries.seen(&joined(messages, hashes)) {
                    let shown = lines(messages, hashes, true).join("\n    ");
                    return found(Promise::Hidden, format!("{value}\n    {}", short(&shown)));
                }
            }
        }
        let seen = [lines(a, hashes_a, case.ordered), lines(b, hashes_b, case.ordered)];
        let [seen_a, seen_b] = &seen;
        if seen_a != seen_b {
            return found(Promise::Independent, different(seen_a, seen_b));
        }
        if let Some(wrong) = wrong_value(a).or_else(|| wrong_value(b)) {
            return found(Promise::Typed, wrong);
        }
        let refused = refusal(a);
        tally.touched += u64::from(case.touched);
        if let Some(reason) = &refused {
            if !self.reasons.contains(&format!("`{reason}`")) {
                return found(
                    Promise::Undisturbed,
                    format!("the reason {reason} is not documented"),
                );
            }
            if case.touched {
                tally.touched_refused += 1;
                *tally.reasons.entry(reason.clone()).or_default() += 1;
            } else if !also_elsewhere(open) {
                shortest(tally.over.entry(reason.clone()).or_default(), (1, case.text()));
            }
            return None;
        }
        if own_syntax_error(a, direct) {
            return None;
        }
        if case.touched {
            let [shape, expected] = [a, direct].map(|messages| shape(messages));
            return (shape != expected)
                .then(|| different(&expected, &shape))
                .and_then(|seen| found(Promise::OnlyValues, seen));
        }
        let expected = without_words(&lines(direct, &none, case.ordered));
        let seen = without_words(seen_a);
        // What a function's body raised may have anything for the name of a constraint.
        let within = direct.iter().any(|message| message.tag == b'E' && has_context(&message.body));
        let [expected, seen] =
            [expected, seen].map(|all| if within { without_names(&all) } else { all });
        (expected != seen)
            .then(|| different(&expected, &seen))
            .and_then(|seen| found(Promise::Undisturbed, seen))
    }
}

fn has_context(body: &[u8]) -> bool {
    body.split(|byte| *byte == 0).any(|field| field.starts_with(b"W"))
}

/// Reports without the names of what was violated.
fn without_names(lines: &[String]) -> Vec<String> {
    let kept = |line: &String| match line.strip_prefix("E ") {
        Some(fields) => {
            let kept = fields.split(' ').filter(|field| field.starts_with(|c| "SVCP".contains(c)));
            format!("E {}", kept.collect::<Vec<_>>().join(" "))
        }
        None => line.clone(),
    };
    lines.iter().map(kept).collect()
}

/// The gateway's own parser refuses what the server refuses too: without the warnings before it, with
/// the code of syntax errors for every error of the scanner, and in the words of the grammar that it
/// has, which need not be of the server's version.
fn own_syntax_error(open: &[Message], direct: &[Message]) -> bool {
    let placed = |error: &Message| error.body.split(|byte| *byte == 0).any(|f| f.starts_with(b"R"));
    let error = |messages: &[Message]| {
        let error = messages.iter().find(|message| message.tag == b'E')?;
        Some((placed(error), state(messages)?))
    };
    match (error(open), error(direct)) {
        (Some((false, ours)), Some((true, _))) => ours == "42601",
        _ => false,
    }
}

/// Syntax errors without the place in the server's source: the gateway's own read as the server's.
fn without_places(mut lines: Vec<String>) -> Vec<String> {
    for line in lines.iter_mut().filter(|line| line.contains("\\x00C42601\\x00")) {
        let fields = line.split("\\x00").filter(|field| !field.starts_with(['F', 'L', 'R']));
        *line = fields.collect::<Vec<_>>().join("\\x00");
    }
    lines
}

/// A refusal that everyone gets, whatever the rules.
fn also_elsewhere(messages: &[Message]) -> bool {
    refusal(messages).is_some()
}

fn late(messages: &[Message]) -> bool {
    state(messages).is_some_and(|state| state == "57014" || state == "40P01")
}

/// What masks leave as it is: descriptions, tags, number of rows, kinds of errors.
fn shape(messages: &[Message]) -> Vec<String> {
    let described = |message: &Message| match message.tag {
        b'D' | b'd' => None,
        b'E' | b'N' => {
            let code = state(std::slice::from_ref(message)).unwrap_or_default();
            Some(format!("{} {code}", char::from(message.tag)))
        }
        _ => Some(crate::line(message)),
    };
    // With masks where an index has the column, the server plans otherwise, as the guide says.
    let is_plan = |message: &Message| message.tag == b'C' && message.body.starts_with(b"EXPLAIN");
    let counted = !messages.iter().any(is_plan);
    let rows = messages.iter().filter(|message| counted && message.tag == b'D').count();
    let mut all: Vec<String> = messages.iter().filter_map(described).collect();
    all.push(format!("{rows} rows"));
    all
}

fn short(text: &str) -> String {
    text.chars().take(1500).collect()
}
