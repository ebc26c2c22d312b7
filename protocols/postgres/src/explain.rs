//! What the gateway would make of a statement, for `narrows explain`.

use std::sync::Arc;

use engine::{MaskKind, MaskPlan};
use model::operation::{Objects, RowBound};
use model::{Effect, Value};

use crate::judge::{Environment, MaskedColumns, judge};
use crate::shape::made;
use crate::survey::Snapshot;

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
    /// Output columns: label, where the value comes from, and the mask it gets.
    pub columns: Vec<(String, Vec<String>, Option<MaskKind>)>,
    /// Why it would be refused for this principal whatever the rules say: a word and a sentence.
    pub refused: Option<(&'static str, String)>,
}

/// Judges `text` as a fresh session of a principal with these masks would be.
///
/// # Errors
/// The text cannot be parsed; the parser's words.
pub fn explain(text: &str, snapshot: &Snapshot, plan: &MaskPlan) -> Result<Explained, String> {
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
    let mut columns = Vec::new();
    let mut refused = None;
    for statement in &judged.statements.list {
        for output in statement.outputs.columns.iter().flatten() {
            let label = output.name.as_deref().unwrap_or("?column?").to_owned();
            let mut kind = plan.label(&label);
            let mut origins = Vec::new();
            for id in &output.deps {
                let hidden = masked.get(id).copied();
                let is_made = output.direct.is_none();
                let hidden = hidden.map(|kind| if is_made { made(kind) } else { kind });
                kind = match (kind, hidden) {
                    (Some(a), Some(b)) => Some(a.min(b)),
                    (one, other) => one.or(other),
                };
                if let Some((relation, column)) = catalog.column(*id) {
                    origins.push(format!("{}.{}.{}", relation.schema, relation.name, column.name));
                }
            }
            columns.push((label, origins, kind));
        }
        if refused.is_none() && !masked.is_empty() {
            let exposure = sql::exposure(statement, &|id| masked.contains_key(&id), &|_| {
                sql::Predicates::Refuse
            });
            refused = exposure.err().map(|untraceable| (untraceable.reason, untraceable.message));
        }
    }
    let facts = &judged.statements.facts;
    if let Some(access) = facts.server_access.first() {
        refused = Some(("server_access", format!("{access} reaches the database server's files")));
    }
    Ok(Explained {
        values: judged.values,
        objects: judged.objects,
        effect: judged.effect,
        rows: judged.rows,
        columns,
        refused,
    })
}
