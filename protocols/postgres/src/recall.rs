//! What a recorded statement was, told from the record alone: no server, and no catalog but the
//! names that the record has.
//!
//! Verbs, tables and columns are recorded as they were judged. What only the text tells (functions,
//! missing filters, dynamic SQL, the effect) is judged anew against a catalog of just the recorded
//! names, and taken only where that finds what the record has; everywhere else it is not known.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use detect::DetectionType;
use engine::MaskPlan;
use model::operation::{Objects, RowBound, Stage};
use model::{Effect, Value};
use sql::{CatalogData, Relation, RelationKind};

use crate::admit::{Hidden, admit_for_everyone};
use crate::judge::{Environment, FACTS, Judged, judge};
use crate::ready::ResourceOptions;
use crate::settings::Settings;
use crate::shape::made;
use crate::survey::Snapshot;
use crate::uncommitted::Uncommitted;

/// A recorded operation.
#[derive(Clone, Copy, Debug)]
pub struct Past<'a> {
    /// The word for its step.
    pub step: &'a str,
    /// It ran under the approval of another.
    pub under: bool,
    /// Its text; `None` when that is sealed. Values may have been taken out of it.
    pub text: Option<&'a str>,
    /// The text of the operation that declared or bound what it runs, where that is known.
    pub source: Option<&'a str>,
    /// What it touched.
    pub objects: &'a Objects,
}

/// What can be told of it.
#[derive(Clone, Debug)]
pub struct Recalled {
    /// Values of the protocol's facts in the order of its declarations; `None` of those that the
    /// record does not tell.
    pub values: Vec<Option<Value>>,
    /// Where in its life it was judged.
    pub stage: Stage,
    /// What is proved about its effect; `None` when that cannot be told.
    pub effect: Option<Effect>,
    /// Rows it could return.
    pub rows: RowBound,
    /// The columns it returned; `None` when they cannot be told.
    pub columns: Option<Vec<Output>>,
    /// Whether it is refused whoever asks, and by what word: known only with the text.
    pub refused: Option<&'static str>,
    /// What would follow from masks.
    pub exposed: Exposed,
}

/// A column that a statement returns.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Output {
    /// Its label, when the text tells.
    pub label: Option<Arc<str>>,
    /// It is a stored column itself, and not made of any.
    pub is_stored: bool,
}

/// Whether a statement may run for a principal from whom columns are masked (R1).
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Exposed {
    /// It may.
    No,
    /// It is refused, by this word.
    Yes(&'static str),
    /// It depends on what the record does not tell.
    Unknown,
}

/// Whether this is the word for a statement that cannot be traced.
#[must_use]
pub fn is_untraceable(reason: &str) -> bool {
    sql::REASONS.iter().any(|(word, _)| *word == reason)
}

/// `pg_type.oid` of text, whose values are too many to try, and of int4, whose are not: what is
/// allowed of a masked column depends on which kind it is (R5), and the record does not say.
const TYPES: [u32; 2] = [25, 23];

/// What the record tells of `past`, for a principal with these masks on a resource with these
/// options.
#[must_use]
pub fn recall(past: &Past<'_>, options: &serde_json::Value, masks: &MaskPlan) -> Recalled {
    // A text from which values were taken tells no more than one that is sealed (R18).
    let whole = |text: &&str| !DetectionType::is_missing_in(text);
    let past = &Past { text: past.text.filter(whole), source: past.source.filter(whole), ..*past };
    let stage = match past.step {
        "parse" => Stage::Prepare,
        "execute" => Stage::Repeat,
        _ if past.under => Stage::Repeat,
        _ => Stage::Gate,
    };
    let mut recalled = Recalled {
        values: recorded(past),
        stage,
        effect: None,
        rows: RowBound::Unbounded,
        columns: None,
        refused: None,
        exposed: if masks.is_empty() { Exposed::No } else { Exposed::Unknown },
    };
    let Some(text) = past.text else { return recalled };
    let snapshots = TYPES.map(|kind| snapshot(past.objects, kind));
    let [first, _] = &snapshots;
    let Some((own, whole)) = judged(text, past.source, first) else {
        // It may run another, whose text rules see.
        recalled.values = recorded(&Past { text: None, ..*past });
        return recalled;
    };
    if own.is_indirect() {
        recalled.values = recorded(&Past { text: past.source, ..*past });
    }
    recalled.refused =
        admit_for_everyone(&ResourceOptions::read(options), &own).err().map(|of| of.reason());
    let found = compare(&whole.objects, past.objects);
    fill(&mut recalled.values, &whole, found);
    if found == Found::Same && certain(&whole) {
        recalled.effect = Some(whole.effect);
        recalled.rows = if own.is_indirect() { RowBound::Unbounded } else { whole.rows };
        recalled.columns = outputs(&whole);
    } else if found != Found::Other && whole.effect == Effect::MayWrite {
        // What a view reads besides can only make more of it.
        let writes = !whole.objects.writes.is_empty() || is_resolved(&whole);
        recalled.effect = writes.then_some(Effect::MayWrite);
    }
    if !masks.is_empty() && found == Found::Same {
        // FETCH and EXECUTE are admitted with what they run.
        let runs = if own.is_indirect() { past.source } else { None };
        let verdicts = snapshots.iter().map(|of| {
            let texts = [Some(text), runs].into_iter().flatten();
            let verdicts = texts.map(|text| match judged(text, past.source, of) {
                Some((own, _)) => exposed(&own, of, masks),
                None => Exposed::Unknown,
            });
            let stricter = |a, b| if a == Exposed::No { b } else { a };
            verdicts.reduce(stricter).unwrap_or(Exposed::Unknown)
        });
        let verdicts: Vec<Exposed> = verdicts.collect();
        recalled.exposed = match verdicts.as_slice() {
            [first, rest @ ..] if rest.iter().all(|other| other == first) => first.clone(),
            _ => Exposed::Unknown,
        };
    }
    recalled
}

/// What is in the record as it was judged.
fn recorded(past: &Past<'_>) -> Vec<Option<Value>> {
    let Objects { verbs, reads, writes, columns } = past.objects;
    let list = |names: &[Arc<str>]| Some(Value::TextList(names.into()));
    let tables: BTreeSet<Arc<str>> = reads.iter().chain(writes).cloned().collect();
    let tables: Vec<Arc<str>> = tables.into_iter().collect();
    FACTS
        .iter()
        .map(|fact| match fact.name {
            "sql.verbs" => list(verbs),
            "sql.tables" => list(&tables),
            "sql.reads" => list(reads),
            "sql.writes" => list(writes),
            "sql.columns" => list(columns),
            "sql.text" => past.text.map(|text| Value::Text(text.into())),
            _ => None,
        })
        .collect()
}

/// How what was found anew compares with the record.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Found {
    /// It is the same.
    Same,
    /// The record has more tables and columns: those that views and functions read.
    Less,
    /// It is something else.
    Other,
}

fn compare(anew: &Objects, recorded: &Objects) -> Found {
    let holds = |all: &[Arc<str>], some: &[Arc<str>]| some.iter().all(|name| all.contains(name));
    let same = |a: &[Arc<str>], b: &[Arc<str>]| holds(a, b) && holds(b, a);
    if !same(&anew.verbs, &recorded.verbs) || !same(&anew.writes, &recorded.writes) {
        return Found::Other;
    }
    if same(&anew.reads, &recorded.reads) && same(&anew.columns, &recorded.columns) {
        return Found::Same;
    }
    match holds(&recorded.reads, &anew.reads) && holds(&recorded.columns, &anew.columns) {
        true => Found::Less,
        false => Found::Other,
    }
}

/// Every name in it is one that the record has, or that ships with PostgreSQL.
fn is_resolved(judged: &Judged) -> bool {
    judged.statements.list.iter().all(|statement| statement.facts.unresolved.is_empty())
}

/// Nothing in it has a meaning that only the catalog knows.
fn certain(judged: &Judged) -> bool {
    is_resolved(judged)
        && judged.statements.list.iter().all(|statement| statement.opaque.is_empty())
}

/// What only the text tells.
fn fill(values: &mut [Option<Value>], judged: &Judged, found: Found) {
    if found == Found::Other {
        return;
    }
    let whole = found == Found::Same && is_resolved(judged);
    for ((slot, value), fact) in values.iter_mut().zip(judged.values.iter()).zip(FACTS) {
        let is_known = match (fact.name, value) {
            ("sql.verb" | "sql.text", _) => true,
            // What a function or view of one's own does is not in the text.
            ("sql.functions" | "sql.unfiltered", _) => whole,
            // Such a function or view could hide more of it, never less.
            ("sql.dynamic", Value::Bool(dynamic)) => *dynamic && is_resolved(judged) || whole,
            _ => false,
        };
        if is_known && slot.is_none() {
            *slot = Some(value.clone());
        }
    }
}

/// What the one statement of a text returns.
fn outputs(judged: &Judged) -> Option<Vec<Output>> {
    let [statement] = judged.statements.list.as_slice() else { return None };
    let columns = statement.outputs.columns.as_ref()?.iter();
    let output = |column: &sql::OutputColumn| Output {
        label: column.name.clone(),
        is_stored: column.direct.is_some(),
    };
    Some(columns.map(output).collect())
}

/// The text itself, and what rules see in its place: of FETCH and EXECUTE that is what they run.
fn judged(text: &str, source: Option<&str>, snapshot: &Snapshot) -> Option<(Judged, Judged)> {
    let environment = Arc::new(Environment {
        standard_conforming_strings: true,
        search_path: Some(snapshot.search_path.clone()),
        role: Arc::clone(&snapshot.role),
    });
    let judge = |text: &str| judge(text, &environment, &snapshot.catalog).ok();
    let own = judge(text)?;
    let whole = match (own.is_indirect(), source) {
        (false, _) => own.clone(),
        (true, Some(source)) => judge(source)?,
        (true, None) => return None,
    };
    Some((own, whole))
}

fn exposed(judged: &Judged, snapshot: &Snapshot, masks: &MaskPlan) -> Exposed {
    let catalog = &snapshot.catalog;
    let named = |schema: &str, table: &str, column: &str| masks.field(schema, table, column);
    let masked = sql::masked_kinds(catalog, named, made);
    // Whether a column is masked that this statement does not name cannot be told from it, and what
    // cannot be traced is refused only then.
    let is_traced = certain(judged)
        && judged.statements.list.iter().all(|statement| {
            let columns = statement.outputs.columns.iter().flatten();
            !columns.chain(&statement.outputs.every).any(|column| column.unknown)
        });
    if !is_traced {
        return Exposed::Unknown;
    }
    if masked.is_empty() {
        return Exposed::No;
    }
    let settings = Settings::fresh(snapshot, false);
    let hidden = Hidden {
        masks,
        masked: &masked,
        catalog,
        settings: &settings,
        encoding_is_told: true,
        is_known: &|_| true,
        uncommitted: &Uncommitted::default(),
    };
    match hidden.admit(&judged.statements.list) {
        Ok(()) => Exposed::No,
        Err(refusal) => Exposed::Yes(refusal.reason()),
    }
}

/// A catalog of the recorded names, every column of this type.
fn snapshot(objects: &Objects, type_oid: u32) -> Snapshot {
    let mut tables: BTreeMap<(&str, &str), Vec<&str>> = BTreeMap::new();
    for name in objects.reads.iter().chain(&objects.writes) {
        if let Some(table) = name.split_once('.') {
            tables.entry(table).or_default();
        }
    }
    for name in &objects.columns {
        // A name may have a dot of its own: then it is that of the table that is recorded.
        if let Some((table, column)) = name.rsplit_once('.')
            && let Some(columns) = table.split_once('.').and_then(|table| tables.get_mut(&table))
        {
            columns.push(column);
        }
    }
    let shipped = |schema: &str| schema.starts_with("pg_") || schema == "information_schema";
    let mut schemas: BTreeSet<Arc<str>> = BTreeSet::new();
    let mut relations = Vec::new();
    for (oid, ((schema, name), columns)) in (sql::catalog::FIRST_NORMAL_OID..).zip(tables) {
        if shipped(schema) {
            continue;
        }
        schemas.insert(schema.into());
        let columns: Vec<(&str, u32)> = columns.iter().map(|name| (*name, type_oid)).collect();
        relations.push(Relation::new(oid, RelationKind::Table, schema, name, &columns));
    }
    let data = CatalogData { relations, ..CatalogData::default() };
    Snapshot {
        catalog: Arc::new(sql::Catalog::new(data)),
        search_path: schemas.into_iter().collect(),
        role: "".into(),
        server_version_num: 0,
        costs: Vec::new(),
        superuser: false,
        settings: "".into(),
        types: std::collections::HashMap::new(),
    }
}

#[cfg(test)]
mod tests;
