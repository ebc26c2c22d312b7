//! Rows of a catalog, gathered into a snapshot.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use model::limit::CATALOG_COLUMNS_MAX;
use sql::catalog::FIRST_NORMAL_OID;
use sql::{
    Cast, Catalog, CatalogData, ColumnId, Fill, Function, Operator, Relation, RelationKind,
    StoredColumn, Tie, TieKind, Type,
};

use super::query::{Context, Part};
use super::row::Row;
use super::{Comparison, Known, Snapshot, StoredType, Trouble, TypeKind};

/// What was read so far.
#[derive(Default)]
pub(super) struct Reading {
    pub context: Context,
    data: CatalogData,
    /// Places of relations in `data`.
    places: HashMap<u32, usize>,
    columns: usize,
    generated: HashSet<(u32, i16)>,
    search_path: Vec<Arc<str>>,
    role: Arc<str>,
    superuser: bool,
    costs: Vec<(Arc<str>, f64)>,
    comparison: Option<Comparison>,
    types: HashMap<u32, StoredType>,
    is_blocked: bool,
    names: Names,
}

/// Each name once, however often it occurs.
#[derive(Default)]
struct Names(HashSet<Arc<str>>);

impl Names {
    fn shared(&mut self, name: &str) -> Arc<str> {
        if let Some(known) = self.0.get(name) {
            return Arc::clone(known);
        }
        let name: Arc<str> = name.into();
        self.0.insert(Arc::clone(&name));
        name
    }

    /// A column that holds names as a JSON array, or NULL for none.
    fn listed(&mut self, row: &Row<'_>, column: usize) -> Result<Vec<Arc<str>>, Trouble> {
        let Some(json) = row.optional(column)? else { return Ok(Vec::new()) };
        let names: Vec<Option<String>> = serde_json::from_str(&json)
            .map_err(|_| Trouble::new("a row of the catalog holds no list of names"))?;
        Ok(names.into_iter().map(|name| self.shared(&name.unwrap_or_default())).collect())
    }
}

impl Reading {
    /// A reading that has seen so many columns.
    #[cfg(test)]
    pub fn with_columns(columns: usize) -> Self {
        Self { columns, ..Self::default() }
    }

    /// Takes a row of `part`.
    pub fn row(&mut self, part: Part, row: &Row<'_>) -> Result<(), Trouble> {
        match part {
            Part::SearchPath => self.search_path.push(row.text(0)?.into()),
            Part::Facts => self.facts(row)?,
            Part::Fingerprint => self.comparison = Some(Comparison::read(row)?),
            Part::Relations => self.relation(row)?,
            Part::Columns => self.column(row)?,
            Part::Keys => {
                if let Some(column) = self.column_mut(row.number(0)?, row.number(1)?) {
                    column.unique = true;
                }
            }
            Part::Ties => {
                let by = match row.letter(4)? {
                    'a' => TieKind::Always,
                    'c' => TieKind::Check,
                    'e' => TieKind::Expression,
                    'd' => TieKind::Removed,
                    'f' => TieKind::Reference,
                    'o' => TieKind::Overlap,
                    'p' => TieKind::Partition,
                    'u' => TieKind::Changed,
                    _ => TieKind::Key,
                };
                let from = ColumnId { relation: row.number(0)?, attnum: row.number(1)? };
                let to = ColumnId { relation: row.number(2)?, attnum: row.number(3)? };
                self.data.ties.push(Tie { from, to, by });
            }
            Part::Indexed => {
                if let Some(column) = self.column_mut(row.number(0)?, row.number(1)?) {
                    column.indexed = true;
                }
            }
            Part::RowTypes => {
                let relation = row.number(2)?;
                if let Some(column) = self.column_mut(row.number(0)?, row.number(1)?) {
                    column.row_of = relation;
                }
            }
            Part::Fills => {
                let name = row.optional(3)?.unwrap_or_default();
                let fill = match row.letter(2)? {
                    'c' => Fill::Constant,
                    's' => Fill::Sequence(self.names.shared(&name)),
                    _ => Fill::Other,
                };
                if let Some(column) = self.column_mut(row.number(0)?, row.number(1)?) {
                    column.fill = Some(fill);
                }
            }
            Part::Parents => {
                let parent = row.number(1)?;
                if let Some(relation) = self.relation_mut(row.number(0)?) {
                    relation.parents.push(parent);
                }
            }
            Part::Locks => self.context.locked.push(row.number(0)?),
            Part::Definitions => self.definition(row)?,
            Part::Generated => self.expression(row)?,
            Part::Defaults => {
                let expression = row.optional(2)?;
                if let Some(column) = self.column_mut(row.number(0)?, row.number(1)?) {
                    column.default = expression.map(Into::into);
                }
            }
            Part::Functions => self.function(row)?,
            Part::BuiltinFunctions => {
                let name = self.names.shared(&row.text(0)?);
                let is_relation = row.flag(1)?;
                let (functions, relations) =
                    (&mut self.data.builtin_functions, &mut self.data.builtin_relations);
                if is_relation { relations } else { functions }.push(name);
            }
            Part::Operators => {
                let name = self.names.shared(&row.text(0)?);
                self.data.operators.push(Operator { name, function: row.number(1)? });
            }
            Part::Casts => {
                let to = self.names.shared(&row.text(0)?);
                self.data.casts.push(Cast { to, function: row.number(1)? });
            }
            Part::Types => self.stored_type(row)?,
            Part::End => {}
        }
        Ok(())
    }

    /// All rows of `part` are there.
    pub fn complete(&mut self, part: Part) -> Result<(), Trouble> {
        match part {
            Part::Facts if self.context.server_version_num == 0 => {
                Err(Trouble::new("the server did not say what it is"))
            }
            Part::Fingerprint if self.comparison.is_none() => {
                Err(Trouble::new("the server answered a query with no row"))
            }
            _ => Ok(()),
        }
    }

    /// The snapshot, and what to compare the catalog with from now on.
    pub fn finish(mut self, version: u64) -> Result<(Snapshot, Known), Trouble> {
        self.cover_generated();
        self.data.version = version;
        let Some(comparison) = self.comparison else {
            return Err(Trouble::new("the server answered a query with no row"));
        };
        let known = Known {
            visible: comparison.visible,
            base: self.context.base,
            fingerprint: comparison.fingerprint,
            settings: comparison.settings.clone(),
            locked: if self.is_blocked { self.context.locked } else { Vec::new() },
        };
        let snapshot = Snapshot {
            catalog: Arc::new(Catalog::new(self.data)),
            search_path: self.search_path,
            settings: comparison.settings.into(),
            role: self.role,
            server_version_num: self.context.server_version_num,
            costs: self.costs,
            superuser: self.superuser,
            types: self.types,
        };
        Ok((snapshot, known))
    }

    fn facts(&mut self, row: &Row<'_>) -> Result<(), Trouble> {
        self.context.server_version_num = row.number(0)?;
        if self.context.server_version_num < 130_000 {
            let detail = Some(format!("server_version_num {}", self.context.server_version_num));
            return Err(Trouble { what: "the server is older than PostgreSQL 13", detail });
        }
        self.role = row.text(1)?.into();
        self.superuser = row.flag(2)?;
        // xmin:xmax:in progress
        let snapshot = row.text(3)?;
        let (oldest, _) = snapshot.split_once(':').unwrap_or_default();
        self.context.base = oldest
            .parse()
            .map_err(|_| Trouble::new("the server described its snapshot in an unknown way"))?;
        for setting in row.text(4)?.split_whitespace() {
            let (name, cost) = setting
                .split_once('=')
                .and_then(|(name, cost)| Some((name, cost.parse::<f64>().ok()?)))
                .ok_or_else(|| Trouble::new("the server described its costs in an unknown way"))?;
            self.costs.push((name.into(), cost));
        }
        Ok(())
    }

    fn relation(&mut self, row: &Row<'_>) -> Result<(), Trouble> {
        let Some(kind) = RelationKind::from_relkind(row.letter(3)?) else { return Ok(()) };
        let oid = row.number(0)?;
        self.places.insert(oid, self.data.relations.len());
        self.data.relations.push(Relation {
            oid,
            schema: self.names.shared(&row.text(1)?),
            name: self.names.shared(&row.text(2)?),
            kind,
            columns: Vec::new(),
            definition: None,
            parents: Vec::new(),
            temp: row.flag(4)?,
            row_security: row.flag(5)?,
        });
        Ok(())
    }

    fn column(&mut self, row: &Row<'_>) -> Result<(), Trouble> {
        self.columns = self.columns.saturating_add(1);
        if self.columns > CATALOG_COLUMNS_MAX {
            return Err(Trouble::new("the catalog has more than 2,000,000 columns"));
        }
        let (relation, attnum) = (row.number(0)?, row.number(1)?);
        let column = StoredColumn {
            attnum,
            name: self.names.shared(&row.text(2)?),
            type_oid: row.number(3)?,
            type_len: row.number(4)?,
            dropped: row.flag(5)?,
            unique: false,
            generated: None,
            default: None,
            fill: None,
            indexed: false,
            row_of: 0,
            collated: row.flag(7)?,
        };
        if row.flag(6)? && !column.dropped {
            self.generated.insert((relation, attnum));
        }
        if let Some(relation) = self.relation_mut(relation) {
            relation.columns.push(column);
        }
        Ok(())
    }

    fn definition(&mut self, row: &Row<'_>) -> Result<(), Trouble> {
        self.is_blocked |= row.flag(2)?;
        let definition = row.optional(1)?;
        if let Some(relation) = self.relation_mut(row.number(0)?) {
            relation.definition = definition.map(|text| text.trim().trim_end_matches(';').into());
        }
        Ok(())
    }

    fn expression(&mut self, row: &Row<'_>) -> Result<(), Trouble> {
        self.is_blocked |= row.flag(3)?;
        let expression = row.optional(2)?;
        if let Some(column) = self.column_mut(row.number(0)?, row.number(1)?) {
            column.generated = expression.map(Into::into);
        }
        Ok(())
    }

    /// A generated column whose expression could not be read depends on every other column of its
    /// row: that is the most an expression can depend on.
    fn cover_generated(&mut self) {
        let generated = std::mem::take(&mut self.generated);
        for (oid, attnum) in &generated {
            let Some(relation) = self.relation_mut(*oid) else { continue };
            let others: Vec<_> = relation
                .columns
                .iter()
                .filter(|other| !other.dropped && !generated.contains(&(*oid, other.attnum)))
                .map(|other| format!("\"{}\"", other.name.replace('"', "\"\"")))
                .collect();
            let column = relation.columns.iter_mut().find(|column| column.attnum == *attnum);
            if let Some(column) = column
                && column.generated.is_none()
            {
                column.generated = Some(format!("ROW({})", others.join(", ")).into());
            }
        }
    }

    fn function(&mut self, row: &Row<'_>) -> Result<(), Trouble> {
        self.is_blocked |= row.flag(12)?;
        let oid = row.number(0)?;
        self.data.functions.push(Function {
            oid,
            schema: self.names.shared(&row.text(1)?),
            name: self.names.shared(&row.text(2)?),
            language: self.names.shared(&row.text(3)?),
            volatility: row.letter(4)?,
            builtin: oid < FIRST_NORMAL_OID,
            body: row.optional(5)?.map(Into::into),
            arg_types: row.numbers(6)?,
            arg_names: self.names.listed(row, 7)?,
            out_names: self.names.listed(row, 8)?,
            returns_set: row.flag(9)?,
            return_type: row.number(10)?,
            aggregate: row.flag(11)?,
            defaults: row.optional(13)?.map(Into::into),
            return_relation: row.number(14)?,
            may_define: row.flag(15)?,
            own_path: row.flag(16)?,
        });
        Ok(())
    }

    fn stored_type(&mut self, row: &Row<'_>) -> Result<(), Trouble> {
        let element: u32 = row.number(5)?;
        let kind = match row.letter(3)? {
            'b' if element != 0 => TypeKind::Array(element),
            'b' => TypeKind::Base,
            'd' => TypeKind::Domain(row.number(4)?),
            'e' => TypeKind::Enum,
            'm' | 'r' => TypeKind::Range,
            _ => TypeKind::Other,
        };
        let (schema, name) = (self.names.shared(&row.text(1)?), self.names.shared(&row.text(2)?));
        let oid = row.number(0)?;
        let known = match kind {
            TypeKind::Array(_) => sql::TypeKind::Array,
            TypeKind::Domain(base) => sql::TypeKind::Domain(base),
            _ => sql::TypeKind::Plain,
        };
        let default = row.optional(6)?.map(Into::into);
        self.data.types.push(Type { oid, name: Arc::clone(&name), kind: known, default });
        self.types.insert(oid, StoredType { schema, name, kind });
        Ok(())
    }

    fn relation_mut(&mut self, oid: u32) -> Option<&mut Relation> {
        let place = self.places.get(&oid)?;
        self.data.relations.get_mut(*place)
    }

    fn column_mut(&mut self, relation: u32, attnum: i16) -> Option<&mut StoredColumn> {
        self.relation_mut(relation)?.columns.iter_mut().find(|column| column.attnum == attnum)
    }
}
