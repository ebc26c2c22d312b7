//! The columns of a reply: where each is stored, how each is masked, and whether the server
//! describes what was judged (R7).

use std::sync::Arc;

use engine::{MaskKind, MaskPlan, Refusal};
use model::{ClientText, Column, Origin};
use sql::{Catalog, ColumnId, OutputColumn, Outputs, Statement};

use crate::judge::MaskedColumns;
use crate::message::FieldDescription;

/// How the reply of one statement is treated.
pub struct Shape {
    /// The mask of each column.
    pub kinds: Vec<Option<MaskKind>>,
    /// Labels and origins, for the record and for rules.
    pub columns: Arc<[Column]>,
}

/// What shapes are made from.
pub struct Shaping<'a> {
    /// The snapshot.
    pub catalog: &'a Catalog,
    /// Masks of the operation's permit.
    pub plan: &'a MaskPlan,
    /// Stored columns they hide.
    pub masked: &'a MaskedColumns,
    /// Those hidden when the statement was admitted: what hid them may be gone since.
    pub before: &'a [Arc<MaskedColumns>],
    /// The principal has masks here, so what cannot be traced is refused (R1).
    pub strict: bool,
}

impl Shaping<'_> {
    /// The shape of a reply described by the server.
    ///
    /// # Errors
    /// For a principal with masks: the server describes other columns than were judged.
    pub fn described(
        &self,
        statement: Option<&Statement>,
        fields: &[FieldDescription],
    ) -> Result<Shape, Refusal> {
        let outputs = statement.map(|statement| &statement.outputs);
        if self.strict {
            check(outputs, fields, self.catalog)?;
        }
        let mut kinds = Vec::with_capacity(fields.len());
        let mut columns = Vec::with_capacity(fields.len());
        for (index, field) in fields.iter().enumerate() {
            let stored = (field.relation != 0)
                .then_some(ColumnId { relation: field.relation, attnum: field.attnum });
            let output = outputs.and_then(|outputs| output_at(outputs, index));
            let label = String::from_utf8_lossy(&field.label);
            let (kind, column) = self.column(&label, stored, output);
            kinds.push(kind);
            columns.push(column);
        }
        Ok(Shape { kinds, columns: columns.into() })
    }

    /// The shape of COPY TO, whose columns the server does not describe.
    ///
    /// # Errors
    /// For a principal with masks: the columns could not be traced.
    pub fn copied(&self, outputs: Option<&[OutputColumn]>, count: usize) -> Result<Shape, Refusal> {
        let outputs = match outputs {
            Some(outputs) if outputs.len() == count => outputs,
            _ if self.strict => return Err(untraceable("the columns of this COPY")),
            _ => &[],
        };
        let mut kinds = Vec::with_capacity(count);
        let mut columns = Vec::with_capacity(count);
        for index in 0..count {
            let output = outputs.get(index);
            if self.strict && output.is_none_or(|output| output.unknown) {
                return Err(untraceable("a column of this COPY"));
            }
            let label = output.and_then(|output| output.name.as_deref()).unwrap_or("?column?");
            let (kind, column) = self.column(label, None, output);
            kinds.push(kind);
            columns.push(column);
        }
        Ok(Shape { kinds, columns: columns.into() })
    }

    fn column(
        &self,
        label: &str,
        stored: Option<ColumnId>,
        output: Option<&OutputColumn>,
    ) -> (Option<MaskKind>, Column) {
        let is_made = output.is_some_and(|output| output.direct.is_none());
        let deps = output.into_iter().flat_map(|output| output.deps.iter().copied()).chain(stored);
        let mut kind = self.plan.label(label);
        let mut origins: Vec<Origin> = Vec::new();
        for id in deps {
            let times = [self.masked].into_iter().chain(self.before.iter().map(|at| &**at));
            let hidden = times.filter_map(|masked| masked.get(&id).copied()).min();
            let hidden = hidden.map(|kind| if is_made { made(kind) } else { kind });
            kind = strictest(kind, hidden);
            let Some((relation, column)) = self.catalog.column(id) else { continue };
            let origin = Origin {
                schema: Arc::clone(&relation.schema),
                table: Arc::clone(&relation.name),
                column: Arc::clone(&column.name),
            };
            if !origins.contains(&origin) {
                origins.push(origin);
            }
        }
        let mask = kind.map(|kind| Arc::from(kind.as_str()));
        (kind, Column { label: label.into(), origins, mask })
    }
}

/// How what is made of a masked value is hidden: a part or a hash of it can tell more than that of
/// the value.
pub fn made(kind: MaskKind) -> MaskKind {
    kind.min(MaskKind::Redact)
}

fn strictest(a: Option<MaskKind>, b: Option<MaskKind>) -> Option<MaskKind> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (one, other) => one.or(other),
    }
}

/// What a column of the reply can depend on. Where columns could not be counted it is the same for
/// each.
fn output_at(outputs: &Outputs, index: usize) -> Option<&OutputColumn> {
    match &outputs.columns {
        Some(columns) => columns.get(index),
        None => outputs.every.as_ref(),
    }
}

/// Origins are decided before sending; what the server describes must agree (R7).
fn check(
    outputs: Option<&Outputs>,
    fields: &[FieldDescription],
    catalog: &Catalog,
) -> Result<(), Refusal> {
    let counted = outputs.and_then(|outputs| outputs.columns.as_ref());
    if counted.is_some_and(|columns| columns.len() != fields.len()) {
        return Err(changed());
    }
    for (index, field) in fields.iter().enumerate() {
        let Some(output) = outputs.and_then(|outputs| output_at(outputs, index)) else {
            return Err(untraceable("the columns of this reply"));
        };
        if output.unknown {
            let label = String::from_utf8_lossy(&field.label).into_owned();
            return Err(untraceable(&format!("column \"{label}\"")));
        }
        let stored = ColumnId { relation: field.relation, attnum: field.attnum };
        // PostgreSQL's own relations are not in the snapshot and cannot be masked; those that show
        // other relations' values are refused by lineage.
        let ours = field.relation >= sql::catalog::FIRST_NORMAL_OID;
        // A table that this session made and has not committed has no identity here yet.
        let is_own = || {
            let mut deps = output.deps.iter();
            deps.any(|id| {
                sql::own::is_own(*id)
                    && id.attnum == stored.attnum
                    && catalog.relation(id.relation).is_none()
            }) && catalog.relation(stored.relation).is_none()
        };
        if ours && field.attnum > 0 && !output.deps.contains(&stored) && !is_own() {
            return Err(changed());
        }
    }
    Ok(())
}

fn untraceable(what: &str) -> Refusal {
    Refusal::unjudgeable(
        "untraceable",
        ClientText::composed(format!(
            "{what} cannot be traced to stored columns, and columns are masked for you on this \
             resource; select the stored columns themselves"
        )),
    )
}

pub(crate) fn changed() -> Refusal {
    Refusal::unjudgeable(
        "catalog_changed",
        ClientText::fixed(
            "the server describes other columns than the statement was judged by; \
             a table or view changed just now: repeat the statement",
        ),
    )
}
