//! Rules in one line each, compiled into a policy.
//!
//! ```text
//! rule NAME [when `CONDITION`] mask FIELDS|types:TYPES [with KIND] [predicates CHOICE]
//! rule NAME [when `CONDITION`] approve GROUP [wait SECONDS] [rows_max N] [session]
//! rule NAME [when `CONDITION`] block "WORDS"
//! rule NAME [when `CONDITION`] alert "WORDS"
//! rule NAME [when `CONDITION`] limit operations|rows|bytes N
//! rule NAME [when `CONDITION`] classify FIELDS|types:TYPES
//! rule NAME [when `CONDITION`] record full|none|BYTES
//! rule NAME observe …
//! ```

use std::sync::Arc;
use std::time::Duration;

use engine::{COMMON_FACTS, Protocol, Unit};
use model::Resource;
use policy::{
    AccessSpec, ActionSpec, Applies, ApproveSpec, BlockId, ClassifySpec, FunctionDecl, Grant,
    LimitSpec, Located, Location, MaskSpec, PayloadPolicy, PolicySet, PolicySpec, RecordSpec,
    RuleSpec, Schema, Test,
};

use crate::words::{Word, messages};

/// Functions that conditions may call.
const FUNCTIONS: [FunctionDecl; 2] = [
    FunctionDecl {
        name: "in_group",
        subject: Some("principal.groups"),
        test: Test::Equal,
        about: "the principal is in that group",
    },
    FunctionDecl {
        name: "touches",
        subject: Some("sql.tables"),
        test: Test::Glob,
        about: "a table read or written has a name like that",
    },
];

/// A policy and the number of the protocol's facts in it.
pub struct Compiled {
    /// The policy.
    pub policy: Arc<PolicySet>,
    /// The protocol's facts.
    pub block: BlockId,
}

/// Compiles rules for one protocol.
///
/// `resources` are granted to everyone; a rule's text is as in the module's description.
///
/// # Errors
/// A rule cannot be read, or the policy refuses it; all problems, one a line.
pub fn compile<U: Unit>(
    protocol: &dyn Protocol<U>,
    resources: &[Resource],
    granted: bool,
    rules: &[String],
    version: u64,
) -> Result<Compiled, String> {
    compile_for(protocol, &[protocol.name()], resources, granted, rules, version)
}

/// The same, for a protocol in which resources of several types are reached.
///
/// # Errors
/// As [`compile`].
pub fn compile_for<U: Unit>(
    protocol: &dyn Protocol<U>,
    kinds: &[&'static str],
    resources: &[Resource],
    granted: bool,
    rules: &[String],
    version: u64,
) -> Result<Compiled, String> {
    let mut schema = Schema::new();
    schema.declare("common", COMMON_FACTS);
    let block = schema.declare(protocol.name(), protocol.facts());
    for function in FUNCTIONS {
        if function.subject.is_none_or(|subject| schema.lookup(subject).is_some()) {
            schema.define(function);
        }
    }
    let all = || vec![located("*")];
    let access = AccessSpec { subjects: all(), resources: all(), ..AccessSpec::default() };
    let spec = PolicySpec {
        version,
        rules: rules.iter().map(|line| rule(line)).collect::<Result<_, _>>()?,
        access: granted.then_some(access).into_iter().collect(),
        lists: Vec::new(),
        resources: resources.to_vec(),
    };
    let protocols: Vec<_> =
        kinds.iter().map(|kind| (*kind, block, protocol.capabilities())).collect();
    let policy = policy::compile(spec, &schema, &protocols)
        .map_err(|problems| problems.iter().map(|p| format!("{p}\n")).collect::<String>())?;
    Ok(Compiled { policy: Arc::new(policy), block })
}

fn located(text: &str) -> Located<String> {
    Located::new(text.to_owned(), Location::default())
}

/// One rule; the line may begin with `rule`.
fn rule(line: &str) -> Result<RuleSpec, String> {
    let wrong = |what: &str| format!("{what}: {line}");
    let line = line.trim().strip_prefix("rule ").unwrap_or(line.trim());
    let (name, rest) = line.split_once(' ').ok_or_else(|| wrong("a rule has a name"))?;
    let rest = rest.trim();
    let (when, rest) = match rest.strip_prefix("when `") {
        Some(rest) => {
            let (when, rest) = rest.split_once('`').ok_or_else(|| wrong("` is not closed"))?;
            (Some(located(when)), rest)
        }
        None => (None, rest),
    };
    let parsed = messages(rest)?;
    let mut words: &[Word] = parsed.first().map(Vec::as_slice).unwrap_or_default();
    let mut observe = false;
    if let [first, rest @ ..] = words
        && first.is("observe")
    {
        (observe, words) = (true, rest);
    }
    let [action, first, rest @ ..] = words else { return Err(wrong("an action and a word")) };
    let action = match action.text().as_str() {
        "mask" => ActionSpec::Mask(mask(&first.text(), rest)),
        "classify" => {
            let MaskSpec { fields, types, .. } = mask(&first.text(), rest);
            ActionSpec::Classify(ClassifySpec { fields, types })
        }
        "approve" => ActionSpec::Approve(approve(&first.text(), rest)?),
        "block" => ActionSpec::Block(located(&first.text())),
        "alert" => ActionSpec::Alert(located(&first.text())),
        "limit" => ActionSpec::Limit(limit(&first.text(), rest)?),
        "record" => ActionSpec::Record(RecordSpec { payload: Some(payload(&first.text())?) }),
        _ => return Err(wrong("unknown action")),
    };
    Ok(RuleSpec {
        name: located(name),
        applies: Applies::default(),
        on: Vec::new(),
        when,
        action,
        observe,
        window: None,
        at: Location::default(),
    })
}

/// How much of replies is recorded: `full`, `none` or a number of bytes.
pub(crate) fn payload(word: &str) -> Result<PayloadPolicy, String> {
    match word {
        "full" => Ok(PayloadPolicy::Full),
        "none" => Ok(PayloadPolicy::None),
        bytes => match bytes.parse() {
            Ok(bytes) => Ok(PayloadPolicy::Head(bytes)),
            Err(_) => Err(format!("{word}: full, none or a number of bytes")),
        },
    }
}

/// The word after `key`.
fn after(words: &[Word], key: &str) -> Option<String> {
    words.windows(2).find_map(|pair| match pair {
        [name, value] if name.is(key) => Some(value.text()),
        _ => None,
    })
}

fn number(words: &[Word], key: &str) -> Result<Option<u64>, String> {
    let text = after(words, key);
    text.map(|text| text.parse().map_err(|_| format!("{key} {text}: not a number"))).transpose()
}

fn mask(what: &str, rest: &[Word]) -> MaskSpec {
    let (fields, types) = match what.strip_prefix("types:") {
        Some(types) => ("", types),
        None => (what, ""),
    };
    let list = |text: &str| text.split(',').filter(|item| !item.is_empty()).map(located).collect();
    MaskSpec {
        fields: list(fields),
        types: list(types),
        with: after(rest, "with").map(|with| located(&with)),
        predicates: after(rest, "predicates").map(|choice| located(&choice)),
    }
}

fn approve(by: &str, rest: &[Word]) -> Result<ApproveSpec, String> {
    Ok(ApproveSpec {
        by: by.split(',').map(located).collect(),
        wait: number(rest, "wait")?.map(Duration::from_secs),
        rows_max: number(rest, "rows_max")?,
        grant: rest.iter().any(|word| word.is("session")).then_some(Grant::Session),
        ..ApproveSpec::default()
    })
}

fn limit(what: &str, rest: &[Word]) -> Result<LimitSpec, String> {
    let most = match rest {
        [most, ..] => most.text().parse().map_err(|_| "a limit is a number".to_owned())?,
        [] => return Err("a limit has a number".to_owned()),
    };
    let mut spec = LimitSpec::default();
    match what {
        "operations" => spec.operations = Some(most),
        "rows" => spec.rows = Some(most),
        "bytes" => spec.bytes = Some(most),
        _ => return Err(format!("{what}: operations, rows or bytes")),
    }
    Ok(spec)
}
