//! Whether a statement could tell a principal what a mask hides (R1, R5).

use std::collections::{HashMap, HashSet};

use crate::catalog::{Catalog, ColumnId};
use crate::statement::Statement;

/// Yes/no answers about a masked column that its mask allows (R5).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Predicates {
    /// All.
    Allow,
    /// `=` and IN against client values, and joins with columns that are masked too.
    Equality,
    /// None.
    Refuse,
}

/// Every reason a statement can be refused with.
pub const REASONS: &[&str] = &[];

/// A statement was not proved harmless.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Untraceable {
    /// A word from [`REASONS`].
    pub reason: &'static str,
    /// Names what it is about and what to do instead; made of names in the text and in the catalog.
    pub message: String,
}

/// Judges `statement` for a principal with masks.
///
/// # Errors
/// [`Untraceable`] when a masked value, or an answer about one that `predicates` does not allow,
/// could reach the principal other than through an output column that is traced to it.
pub fn exposure(
    _statement: &Statement,
    _masked: &dyn Fn(ColumnId) -> bool,
    _predicates: &dyn Fn(ColumnId) -> Predicates,
) -> Result<(), Untraceable> {
    Err(Untraceable { reason: "unknown_object", message: "not traced yet".into() })
}

/// Every stored column that is masked, with the strictest (smallest) of its masks: those `kind`
/// names, and those derived from them: columns of views by lineage, generated columns, and columns
/// of the same name up and down an inheritance or partition tree.
pub fn masked_kinds<K: Ord + Copy>(
    catalog: &Catalog,
    kind: impl Fn(&str, &str, &str) -> Option<K>,
) -> HashMap<ColumnId, K> {
    catalog
        .all_columns()
        .filter_map(|(id, relation, column)| {
            Some((id, kind(&relation.schema, &relation.name, &column.name)?))
        })
        .collect()
}

/// The same as [`masked_kinds`], for callers that only want to know which.
pub fn masked_columns(
    catalog: &Catalog,
    is_masked: impl Fn(&str, &str, &str) -> bool,
) -> HashSet<ColumnId> {
    masked_kinds(catalog, |schema, table, column| is_masked(schema, table, column).then_some(()))
        .into_keys()
        .collect()
}
