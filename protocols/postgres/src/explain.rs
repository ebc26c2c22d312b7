//! What the gateway would make of a statement, for `narrows explain`.

use std::collections::BTreeSet;
use std::sync::Arc;

use engine::{MaskKind, MaskPlan, Refusal};
use model::operation::{Objects, RowBound};
use model::{Effect, Value};
use sql::{Catalog, ColumnId, OutputColumn, Place, Predicates, Statement, Use};

use crate::admit::{Hidden, admit_for_everyone, allowed_predicates, is_named};
use crate::judge::{Environment, MaskedColumns, judge};
use crate::ready::ResourceOptions;
use crate::settings::Settings;
use crate::shape::made;
use crate::survey::Snapshot;
use crate::uncommitted::Uncommitted;

/// What is known of a statement before any rule is asked.
pub struct Explained {
    /// Values of the protocol's facts, in the order of its declarations.
    pub values: Arc<[Value]>,
    /// What it touches.
    pub objects: Arc<Objects>,
    /// What the facts prove about its effect.
    pub effect: Effect,
    /// Rows it can return.
    pub rows: RowBound,
    /// What it does, a sentence for each statement and for each thing that is worth one.
    pub does: Vec<String>,
    /// Output columns, of all statements.
    pub columns: Vec<ExplainedColumn>,
    /// Masked columns that are used other than as an output column.
    pub uses: Vec<ExplainedUse>,
    /// Why it would be refused for this principal whatever the rules say.
    pub refused: Option<Refusal>,
}

/// A column of the reply.
pub struct ExplainedColumn {
    /// Its label.
    pub label: String,
    /// The stored columns its value can depend on, `schema.table.column`.
    pub origins: Vec<String>,
    /// It is one of them as it is stored, not made of them.
    pub is_direct: bool,
    /// It may depend on more than `origins`.
    pub is_unknown: bool,
    /// The mask it gets.
    pub mask: Option<MaskKind>,
}

/// A masked column where no mask can be put over it.
pub struct ExplainedUse {
    /// `schema.table.column`.
    pub column: String,
    /// What the statement does with it.
    pub place: String,
    /// What follows.
    pub outcome: String,
}

/// Judges `text` as a fresh session of a principal with these masks would be, on a resource with
/// these options.
///
/// # Errors
/// The text cannot be parsed; the parser's words.
pub fn explain(
    text: &str,
    snapshot: &Snapshot,
    options: &serde_json::Value,
    plan: &MaskPlan,
) -> Result<Explained, String> {
    let environment = Environment {
        standard_conforming_strings: true,
        search_path: Some(snapshot.search_path.clone()),
        role: Arc::clone(&snapshot.role),
    };
    let catalog = &snapshot.catalog;
    let judged =
        judge(text, &Arc::new(environment), catalog).map_err(|unparsable| unparsable.message)?;
    let masked: MaskedColumns =
        sql::masked_kinds(catalog, |schema, table, column| plan.field(schema, table, column), made);
    let list = &judged.statements.list;
    let settings = Settings::fresh(snapshot, false);
    let hidden = Hidden {
        masks: plan,
        masked: &masked,
        catalog,
        settings: &settings,
        encoding_is_told: true,
        is_known: &|_| false,
        uncommitted: &Uncommitted::default(),
    };
    let mut refused = admit_for_everyone(&ResourceOptions::read(options), &judged).err();
    if refused.is_none() && !masked.is_empty() {
        refused = hidden.admit(list).err();
    }
    let mut does = Vec::new();
    let mut columns = Vec::new();
    let mut uses = BTreeSet::new();
    for (index, statement) in list.iter().enumerate() {
        let number = if list.len() > 1 { format!("{}. ", index + 1) } else { String::new() };
        does.push(number + &summary(statement));
        does.extend(remarks(statement));
        let outputs = statement.outputs.columns.iter().flatten();
        let outputs = outputs.chain(&statement.outputs.every);
        columns.extend(outputs.map(|output| column(output, catalog, &masked, plan)));
        let used = statement.uses.iter().filter(|used| masked.contains_key(&used.column));
        uses.extend(used.map(|used| explained_use(used, &hidden)));
    }
    Ok(Explained {
        values: judged.values,
        objects: judged.objects,
        effect: judged.effect,
        rows: judged.rows,
        does,
        columns,
        uses: uses
            .into_iter()
            .map(|(column, place, outcome)| ExplainedUse { column, place, outcome })
            .collect(),
        refused,
    })
}

fn column(
    output: &OutputColumn,
    catalog: &Catalog,
    masked: &MaskedColumns,
    plan: &MaskPlan,
) -> ExplainedColumn {
    let label = output.name.as_deref().unwrap_or("?column?").to_owned();
    let is_direct = output.direct.is_some();
    let hidden = output.deps.iter().filter_map(|id| masked.get(id).copied());
    // What is made of a masked value is no value of the column any more (ADR 0007).
    let hidden = hidden.map(|kind| if is_direct { kind } else { made(kind) });
    let mask = plan.label(&label).into_iter().chain(hidden).min();
    let origins = output.deps.iter().filter_map(|id| name_of(*id, catalog)).collect();
    ExplainedColumn { label, origins, is_direct, is_unknown: output.unknown, mask }
}

fn name_of(id: ColumnId, catalog: &Catalog) -> Option<String> {
    let (relation, column) = catalog.column(id)?;
    Some(format!("{}.{}.{}", relation.schema, relation.name, column.name))
}

/// What a statement reads, changes and returns.
fn summary(statement: &Statement) -> String {
    let facts = &statement.facts;
    let mut parts = Vec::new();
    let writes = if facts.ddl { "creates, alters or drops" } else { "writes" };
    for (word, names) in [("reads", &facts.reads), (writes, &facts.writes)] {
        if !names.is_empty() {
            parts.push(format!("{word} {}", listed(names)));
        }
    }
    if parts.is_empty() {
        parts.push("touches no table".to_owned());
    }
    if facts.read_only {
        parts.push("changes nothing".to_owned());
    }
    if statement.outputs.columns.is_some() || statement.outputs.every.is_some() {
        parts.push(match facts.rows {
            Some(0) => "returns no rows".to_owned(),
            Some(1) => "returns at most 1 row".to_owned(),
            Some(rows) => format!("returns at most {rows} rows"),
            None => "returns any number of rows".to_owned(),
        });
    }
    format!("{} {}", facts.verb.to_uppercase(), parts.join(", "))
}

/// What a person would want to be told of it besides.
fn remarks(statement: &Statement) -> Vec<String> {
    let facts = &statement.facts;
    let mut remarks = Vec::new();
    for verb in &facts.unfiltered {
        let verb = verb.to_uppercase();
        remarks
            .push(format!("its {verb} has no WHERE that reads the table: it concerns every row"));
    }
    if facts.dynamic {
        remarks
            .push("it runs SQL that is not in the text, so what that does is unknown".to_owned());
    }
    if !facts.unresolved.is_empty() {
        remarks.push(format!("not in the catalog: {}", listed(&facts.unresolved)));
    }
    let (dynamic, unresolved) = (facts.dynamic, &facts.unresolved);
    let opaque = statement.opaque.iter().filter(|opaque| {
        let is_said = dynamic && opaque.reason == "dynamic_query";
        !is_said && !unresolved.contains(&opaque.object)
    });
    remarks.extend(opaque.map(|opaque| {
        let about = sql::REASONS.iter().find(|(word, _)| *word == opaque.reason);
        let about = about.map_or(opaque.reason, |(_, about)| *about);
        format!("{}: {about}", opaque.object)
    }));
    let sets = facts.sets.iter().map(|(name, value)| match value {
        Some(value) => format!("{name} to '{value}'"),
        None => name.to_string(),
    });
    let sets: Vec<String> = sets.collect();
    if !sets.is_empty() {
        remarks.push(format!("it sets {}", sets.join(", ")));
    }
    remarks
}

fn listed(names: &[Arc<str>]) -> String {
    match names {
        [] => String::new(),
        [only] => only.to_string(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

/// Column, place and outcome.
fn explained_use(used: &Use, hidden: &Hidden<'_>) -> (String, String, String) {
    let catalog = hidden.catalog;
    let predicates = |id| allowed_predicates(hidden.masks, catalog, id);
    let masked = |id| hidden.masked.contains_key(&id);
    let named = |id| is_named(hidden.masks, catalog, id);
    let outcome = match sql::refused_use(used, &masked, &named, &predicates) {
        Some(reason) => format!("refused: {reason}"),
        None if used.place == Place::Equality
            && predicates(used.column) == Predicates::Equality =>
        {
            "allowed; every new value counts (predicates.budget)".to_owned()
        }
        None => "allowed".to_owned(),
    };
    let place = match &used.place {
        Place::Equality => "compared with values of the client by = or IN".to_owned(),
        Place::EquiJoin(other) => {
            let other = name_of(*other, catalog);
            format!("joined with {}", other.as_deref().unwrap_or("another column"))
        }
        Place::Expression(operation) => format!("an operand of {operation}"),
        Place::FromFunction(function) => format!("an argument of {function} in FROM"),
        Place::Moved(to) => format!("copied ({to})"),
        Place::Predicate(clause) => format!("in {clause}"),
        Place::Covers(other) => {
            let other = name_of(*other, catalog);
            format!(
                "dropped, and {} has values of it",
                other.as_deref().unwrap_or("another column")
            )
        }
        Place::Redefined(command) => format!("redefined by {command}"),
        Place::Ambiguous(name) => format!("{name} may mean its table"),
    };
    (used.name.to_string(), place, outcome)
}
