//! Parts of the data path, alone and on one core: a decision, a search for sensitive values, the
//! journal.

use std::fmt::Write as _;
use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, ensure};
use detect::{DetectionType, Scanner, TypeSet};
use model::fact::{FactType, Value};
use model::operation::{RowBound, Stage};
use model::{Effect, OperationId, Resource};
use policy::{BlockId, Decision, Fact, FactId, Facts, Per, Request, Usage};
use store::{Journal, journal};

use crate::evidence;
use crate::stats::{Used, median};

/// Numbers of rules in force.
const RULES: [usize; 4] = [1, 5, 50, 500];
/// Length of each text that is searched, bytes.
const TEXT_BYTES: usize = 4 << 20;
/// Operations that one append of the journal brings, as a session does.
const APPENDS: u64 = 2_000;

/// What the parts cost, medians over the rounds.
pub struct Costs {
    /// Of a decision with each of [`RULES`], µs.
    decisions: Vec<f64>,
    /// Of each set of detectors: its words, MB/s on rows without and with findings, ns per field.
    scans: Vec<(&'static str, f64, f64, f64)>,
    journal: Written,
}

struct Written {
    /// One small operation, µs.
    append: f64,
    /// Replies of a megabyte, MB/s.
    large: f64,
    /// One small operation and its sync, µs.
    synced: f64,
}

impl Costs {
    /// Of a decision with so many rules, µs.
    pub fn decision(&self, rules: usize) -> Option<f64> {
        let at = RULES.iter().position(|known| *known == rules)?;
        self.decisions.get(at).copied()
    }

    /// MB/s of all detectors on rows without findings, and on rows full of them.
    pub fn scan(&self) -> Option<(f64, f64)> {
        self.scans.last().map(|(_, clean, full, _)| (*clean, *full))
    }
}

/// Measures.
pub fn measure(rounds: usize) -> Result<Costs> {
    Ok(Costs { decisions: decisions(rounds)?, scans: scans(rounds), journal: written(rounds)? })
}

/// The section of the page.
pub fn section(costs: &Costs) -> Result<String> {
    let mut text = String::from(
        "\n## Parts\n\nEach alone, in processor time (a sync: as long as it takes). A tenth of the \
         rules each: masks, limits, approvals, alerts, blocks by table, verb, text, group, rows, \
         resource. None stops the statement.\n\n\
         | rules in force |",
    );
    for rules in RULES {
        write!(text, " {rules} |")?;
    }
    writeln!(text, "\n| ---{} |", " | ---".repeat(RULES.len()))?;
    text.push_str("| a decision, µs |");
    for micros in &costs.decisions {
        write!(text, " {micros:.2} |")?;
    }
    text.push_str(
        "\n\n| detectors | MB/s, rows without findings | MB/s, rows full of them | ns for a field \
         of 20 bytes |\n| --- | --- | --- | --- |\n",
    );
    for (words, clean, full, field) in &costs.scans {
        writeln!(text, "| {words} | {clean:.0} | {full:.0} | {field:.0} |")?;
    }
    let Written { append, large, synced } = &costs.journal;
    writeln!(
        text,
        "\n| the journal | |\n| --- | --- |\n| append of a small operation, two events, µs | \
         {append:.1} |\n| the same with a sync of its own, µs | {synced:.0} |\n| append of replies \
         of 1 MB, MB/s | {large:.0} |"
    )?;
    Ok(text)
}

// ---- decisions ----------------------------------------------------------------------------------

/// The facts of a select by its key.
struct Known {
    common: Vec<Value>,
    own: Vec<Value>,
}

impl Facts for Known {
    fn fact(&self, id: FactId, _: Duration) -> Fact {
        let values = if id.block == BlockId(0) { &self.common } else { &self.own };
        values.get(usize::from(id.index)).cloned().map_or(Fact::Absent, Fact::Known)
    }

    fn usage(&self, _: Per, _: Duration) -> Usage {
        Usage { operations: 12, rows: 40, bytes: 9_000 }
    }
}

fn decisions(rounds: usize) -> Result<Vec<f64>> {
    RULES.into_iter().map(|count| decision(count, rounds)).collect()
}

fn decision(count: usize, rounds: usize) -> Result<f64> {
    let resource = Resource { name: "bench".into(), kind: "postgres".into() };
    let rules: Vec<String> = (0..count).map(rule).collect();
    let resources = std::slice::from_ref(&resource);
    let compiled = testkit::rules::compile(&postgres::POSTGRES, resources, true, &rules, 1);
    let compiled = compiled.map_err(|problems| anyhow!(problems))?;
    let scope = compiled.policy.scope(&testkit::stage::principal(), &resource, compiled.block);
    let facts = Known {
        common: engine::COMMON_FACTS.iter().map(|fact| value(fact.name, fact.kind)).collect(),
        own: engine::Protocol::facts(&postgres::POSTGRES)
            .iter()
            .map(|fact| value(fact.name, fact.kind))
            .collect(),
    };
    let decide = || {
        scope.decide(Request {
            operation: OperationId(7),
            stage: Stage::Gate,
            effect: Effect::ReadOnly,
            rows: RowBound::AtMost(1),
            facts: &facts,
            satisfied: &[],
        })
    };
    let decided = decide();
    ensure!(
        matches!(decided.decision, Decision::Allow(_)),
        "a rule stops the statement: {decided:?}"
    );
    let mut micros = Vec::new();
    for _ in 0..rounds * 3 {
        let (started, calls) = (Used::now(), 20_000 / count.max(20) * 10);
        for _ in 0..calls {
            black_box(decide());
        }
        micros.push(started.since() * 1e6 / calls as f64);
    }
    median(&micros).ok_or_else(|| anyhow!("no decision was measured"))
}

/// The rule with this number: of every kind that a site has.
fn rule(number: usize) -> String {
    match number % 10 {
        0 => format!("m{number} mask card_{number},ssn_{number}"),
        1 => format!("b{number} when `touches(\"hr_{number}.*\")` block \"not here\""),
        2 => format!("l{number} limit operations 1000000{number}"),
        3 => format!(
            "v{number} when `sql.verbs.exists(v, v in [\"drop\", \"truncate\"]) && \
             sql.tables.exists(t, t == \"public.t{number}\")` block \"destructive\""
        ),
        4 => format!(
            "a{number} when `sql.unfiltered.exists(v, v == \"delete\") && session.operations > \
             {number}` approve dba"
        ),
        5 => format!(
            "g{number} when `\"team-{number}\" in principal.groups && sql.verb == \"update\"` \
             block \"not your team\""
        ),
        6 => format!("t{number} when `sql.text.contains(\"secret_{number}\")` alert \"looked\""),
        7 => format!(
            "c{number} when `sql.columns.exists(c, c == \"public.t{number}.salary\")` block \"no\""
        ),
        8 => format!("r{number} when `principal.rows > 1000000{number}` block \"too many rows\""),
        _ => format!("d{number} when `sql.dynamic && resource.name == \"r{number}\"` block \"no\""),
    }
}

fn value(name: &str, kind: FactType) -> Value {
    let list = |items: &[&str]| {
        Value::TextList(items.iter().map(|item| Arc::<str>::from(*item)).collect())
    };
    match (name, kind) {
        ("principal.groups", _) => list(&["agents", "readers"]),
        ("sql.verb", _) => Value::Text("select".into()),
        ("sql.verbs", _) => list(&["select"]),
        ("sql.tables" | "sql.reads", _) => list(&["public.orders", "public.customers"]),
        ("sql.columns", _) => list(&[
            "public.orders.id",
            "public.orders.total",
            "public.customers.id",
            "public.customers.name",
        ]),
        ("sql.text", _) => Value::Text(
            "SELECT o.id, o.total, c.name FROM orders o JOIN customers c ON c.id = o.customer_id \
             WHERE o.id = $1"
                .into(),
        ),
        (_, FactType::Int) => Value::Int(12),
        (_, FactType::Bool) => Value::Bool(false),
        (_, FactType::Text) => Value::Text("bench".into()),
        (_, FactType::TextList) => list(&[]),
        (_, FactType::Time) => Value::Time(1_795_418_893_000_000_000),
        (_, FactType::Duration) => Value::Duration(90_000_000_000),
        (_, _) => Value::Failed("not of this statement"),
    }
}

// ---- searches -----------------------------------------------------------------------------------

fn scans(rounds: usize) -> Vec<(&'static str, f64, f64, f64)> {
    let sets: [(&'static str, TypeSet); 4] = [
        ("cards", TypeSet::from_iter([DetectionType::CreditCard])),
        ("cards and social security numbers", two()),
        ("e-mail", TypeSet::from_iter([DetectionType::Email])),
        ("all eight", TypeSet::ALL),
    ];
    let (clean, full) = (rows(clean_row), rows(full_row));
    let field = b"customer number 12345";
    sets.into_iter()
        .map(|(words, types)| {
            let scanner = Scanner::new(types);
            let mut found = Vec::new();
            let mut of: [Vec<f64>; 3] = Default::default();
            for _ in 0..rounds * 3 {
                for (rows, speeds) in [&clean, &full].into_iter().zip(&mut of) {
                    let started = Used::now();
                    let mut bytes = 0;
                    for row in rows {
                        bytes += row.len();
                        // As the data path does: a whole row first, and its fields where need be.
                        if scanner.may_contain(row) {
                            scanner.scan(row, &mut found);
                            black_box(&found);
                        }
                    }
                    speeds.push(bytes as f64 / 1e6 / started.since());
                }
                let started = Used::now();
                for _ in 0..100_000 {
                    scanner.scan(black_box(field), &mut found);
                    black_box(&found);
                }
                if let Some(fields) = of.get_mut(2) {
                    fields.push(started.since() * 1e9 / 1e5);
                }
            }
            let [clean, full, field] = of.map(|values| median(&values).unwrap_or(f64::NAN));
            (words, clean, full, field)
        })
        .collect()
}

/// Two kinds, as a rule asks for them.
pub fn two() -> TypeSet {
    TypeSet::from_iter([DetectionType::CreditCard, DetectionType::UsSsn])
}

fn rows(row: fn(usize) -> String) -> Vec<Vec<u8>> {
    let mut rows = Vec::new();
    let mut bytes = 0;
    for number in 0.. {
        let row = row(number).into_bytes();
        bytes += row.len();
        rows.push(row);
        if bytes >= TEXT_BYTES {
            break;
        }
    }
    rows
}

/// Words, dates, amounts and numbers that are nothing else.
fn clean_row(number: usize) -> String {
    format!(
        "{number}\tThe order was packed in hall {} and left on 2026-03-{:02} at 14:{:02}; the \
         customer asked for a quiet delivery, and for the invoice by post.\tLisbon\t{}.50\tshipped",
        number % 7,
        number % 28 + 1,
        number % 60,
        number % 900
    )
}

/// A card, a social security number, an address and a telephone number in every row.
fn full_row(number: usize) -> String {
    format!(
        "{number}\tpaid with {}, ssn 219-09-{:04}, mail anna.{number}@shop.example, call +1 415 \
         555 {:04}\tLisbon",
        card(number),
        number % 9_999 + 1,
        number % 10_000
    )
}

/// A card number whose last digit is right (ISO/IEC 7812-1 annex B).
fn card(number: usize) -> String {
    let digits = format!("411111{:09}", number % 1_000_000_000);
    let sum: u32 = digits
        .bytes()
        .rev()
        .enumerate()
        .map(|(at, digit)| {
            let digit = u32::from(digit - b'0') * if at % 2 == 0 { 2 } else { 1 };
            digit / 10 + digit % 10
        })
        .sum();
    format!("{digits}{}", (10 - sum % 10) % 10)
}

// ---- the journal --------------------------------------------------------------------------------

fn written(rounds: usize) -> Result<Written> {
    let folder = tempfile::tempdir()?;
    let options = journal::Options::default();
    let (journal, _) = Journal::open(&folder.path().join("grouped"), "gw-bench", options)?;
    let options = journal::Options { sync: Duration::ZERO, ..Default::default() };
    let (each, _) = Journal::open(&folder.path().join("each"), "gw-bench", options)?;
    let (mut append, mut large, mut synced) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..rounds {
        let batches: Vec<_> = (0..APPENDS).map(evidence::small).collect();
        append.push(per_append(&journal, &batches)?);
        synced.push(per_append(&each, batches.get(..200).unwrap_or_default())?);
        let batches: Vec<_> = (0..40).map(evidence::large).collect();
        let payload = |events: &Vec<model::Event>| -> usize {
            events.iter().map(|event| event.payload.len()).sum()
        };
        let bytes: usize = batches.iter().map(payload).sum();
        let micros = per_append(&journal, &batches)? * batches.len() as f64;
        large.push(bytes as f64 / micros);
    }
    let middle = |values: &[f64]| median(values).ok_or_else(|| anyhow!("nothing was written"));
    Ok(Written { append: middle(&append)?, large: middle(&large)?, synced: middle(&synced)? })
}

/// µs for each batch.
fn per_append(journal: &Journal, batches: &[Vec<model::Event>]) -> Result<f64> {
    let started = Instant::now();
    for batch in batches {
        journal.append(batch)?;
    }
    Ok(started.elapsed().as_secs_f64() * 1e6 / batches.len() as f64)
}
