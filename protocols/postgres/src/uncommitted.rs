//! Definitions that a session changed in the transaction that is open now (R7). No snapshot of the
//! gateway's own connection has them.

use std::sync::Arc;

use engine::MaskPlan;
use sql::catalog::Relation;
use sql::{Catalog, Statement, own};

/// What is not committed.
#[derive(Default)]
pub(crate) struct Uncommitted {
    /// Definitions were changed in a way that is not followed.
    unknown: bool,
    /// Tables of its own, each followed from the text that made it.
    tables: Vec<Arc<Relation>>,
    /// The snapshot with them.
    with_tables: Option<Arc<Catalog>>,
}

impl Uncommitted {
    /// Nothing was changed.
    pub fn is_empty(&self) -> bool {
        !self.unknown && self.tables.is_empty()
    }

    /// Names may mean something else than the snapshot says.
    pub fn is_unknown(&self) -> bool {
        self.unknown
    }

    /// A statement that defines something is complete.
    pub fn changed_by(&mut self, statement: &Statement, snapshot: Option<&Catalog>) {
        let keeps_names = snapshot.is_some_and(|catalog| own::keeps_names(statement, catalog));
        if !keeps_names || self.tables.len() >= own::TABLES_MAX {
            self.unknown = true;
            return;
        }
        self.with_tables = None;
        let dropped = |table: &Arc<Relation>| {
            let name = format!("{}.{}", table.schema, table.name);
            &*statement.facts.verb == "drop" && statement.facts.writes.iter().any(|w| **w == *name)
        };
        self.tables.retain(|table| !dropped(table));
        self.tables.extend(statement.creates.clone());
    }

    /// The transaction is over; returns whether anything was changed.
    pub fn end(&mut self) -> bool {
        let ended = std::mem::take(self);
        !ended.is_empty()
    }

    /// The snapshot with tables of its own; `None` when there are none.
    pub fn catalog(&mut self, snapshot: &Catalog) -> Option<Arc<Catalog>> {
        if self.tables.is_empty() {
            return None;
        }
        if let Some(known) = self.with_tables.as_ref().filter(|c| c.version == snapshot.version) {
            return Some(Arc::clone(known));
        }
        // Somebody else made something of that name since.
        self.unknown |= self.tables.iter().any(|table| snapshot.has_type_named(&table.name));
        let catalog = Arc::new(snapshot.with_own(self.tables.iter().map(|table| &**table)));
        self.with_tables = Some(Arc::clone(&catalog));
        Some(catalog)
    }

    /// What is masked for someone with `masks` cannot be told from the snapshot.
    pub fn hides_masks(&self, masks: &MaskPlan) -> bool {
        self.unknown || self.tables.iter().any(|table| is_masked(table, masks))
    }
}

/// A table of which masks hide a column, by its name.
pub(crate) fn is_masked(table: &Relation, masks: &MaskPlan) -> bool {
    let mut columns = table.columns.iter();
    columns.any(|column| masks.field(&table.schema, &table.name, &column.name).is_some())
}
