//! Names in reach of an expression: FROM items, their columns, and the queries around.

use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use crate::catalog::{ColumnId, Relation, StoredColumn};
use crate::value::{Col, Deps, Name, Table, Val};

/// One FROM item, or one arm of a join.
#[derive(Clone, Debug)]
pub(crate) struct Item<'c> {
    /// Tells items apart; every mention in a text is another item.
    pub id: u32,
    /// The alias, or the relation's name; `None` for the merged columns of a join.
    pub name: Option<Arc<str>>,
    /// The schema a qualified reference may name; none once there is an alias.
    pub schema: Option<Arc<str>>,
    pub columns: Columns<'c>,
    /// The relation, or those that may be meant, where `columns` does not say so.
    pub of: Option<Rc<[&'c Relation]>>,
    /// References need the item's name (`old`, `new`, an alias of USING).
    pub qualified_only: bool,
}

/// The columns of an item.
#[derive(Clone, Debug)]
pub(crate) enum Columns<'c> {
    /// Those of a relation in the snapshot.
    Stored(&'c Relation),
    /// Anything else.
    Table(Rc<Table>),
}

/// A column found.
pub(crate) enum Found<'s, 'c> {
    /// Of a relation in the snapshot.
    Stored(&'c Relation, &'c StoredColumn),
    /// Of something computed.
    Computed(Cow<'s, Val>),
    /// A system column of an item.
    System,
}

impl<'c> Item<'c> {
    pub(crate) fn find<'s>(&'s self, name: &str) -> Option<Found<'s, 'c>> {
        match &self.columns {
            Columns::Stored(relation) => {
                let relation: &'c Relation = relation;
                relation.column(name).map(|column| Found::Stored(relation, column))
            }
            Columns::Table(table) => table.named(name).map(Found::Computed),
        }
    }

    /// Has a column of exactly this name, on some version of the server at least, not merely one
    /// that could have it.
    pub(crate) fn has(&self, name: &str) -> bool {
        match &self.columns {
            Columns::Stored(relation) => relation.column(name).is_some(),
            Columns::Table(table) => table.cols.iter().any(|col| col.name.is_somewhere(name)),
        }
    }

    /// The relation, or those that may be meant.
    pub(crate) fn relations(&self) -> Vec<&'c Relation> {
        match (&self.of, &self.columns) {
            (Some(several), _) => several.to_vec(),
            (None, Columns::Stored(relation)) => vec![relation],
            (None, Columns::Table(_)) => Vec::new(),
        }
    }

    fn stored(&self) -> bool {
        self.of.is_some() || matches!(self.columns, Columns::Stored(_))
    }
}

/// A place in the list that `*` stands for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Star {
    pub item: usize,
    /// Index into the columns of the item, dropped ones counted.
    pub column: usize,
}

impl Star {
    fn stored_name(self, relation: &Relation) -> Option<&str> {
        relation.columns.get(self.column).map(|column| &*column.name)
    }
}

/// What a FROM clause, or a part of one, brings.
#[derive(Clone, Debug, Default)]
pub(crate) struct Source<'c> {
    pub items: Vec<Item<'c>>,
    /// Columns that unqualified names and `*` mean, in order.
    pub star: Vec<Star>,
    /// Items with columns of unknown number and name that `*` covers too.
    pub open: Vec<usize>,
}

impl<'c> Source<'c> {
    /// One item, all of its columns visible.
    pub(crate) fn of(item: Item<'c>) -> Self {
        let mut source = Self::default();
        source.push(item);
        source
    }

    /// How much there is to copy.
    pub(crate) fn size(&self) -> usize {
        self.items.len() + self.star.len() + self.open.len()
    }

    /// Appends an item, all of its columns visible unless they need its name.
    pub(crate) fn push(&mut self, item: Item<'c>) {
        let index = self.items.len();
        if !item.qualified_only {
            match &item.columns {
                Columns::Stored(relation) => {
                    let all = relation.columns.iter().enumerate();
                    let live = all.filter(|(_, column)| !column.dropped);
                    self.star.extend(live.map(|(column, _)| Star { item: index, column }));
                }
                Columns::Table(table) => {
                    if table.rest.is_some() {
                        self.open.push(index);
                    }
                    let all = 0..table.cols.len();
                    self.star.extend(all.map(|column| Star { item: index, column }));
                }
            }
        }
        self.items.push(item);
    }

    /// Appends everything of `other`.
    pub(crate) fn append(&mut self, other: Self) {
        let shift = self.items.len();
        self.items.extend(other.items);
        self.star
            .extend(other.star.iter().map(|s| Star { item: s.item + shift, column: s.column }));
        self.open.extend(other.open.iter().map(|index| index + shift));
    }

    /// Whether `*` leaves out the column at `star`.
    pub(crate) fn is_unlisted(&self, star: Star) -> bool {
        match self.items.get(star.item).map(|item| &item.columns) {
            Some(Columns::Table(table)) => {
                table.cols.get(star.column).is_some_and(|col| col.unlisted)
            }
            _ => false,
        }
    }

    /// The certain name of the column at `star`.
    pub(crate) fn star_name(&self, star: Star) -> Option<&str> {
        match &self.items.get(star.item)?.columns {
            Columns::Stored(relation) => star.stored_name(relation),
            Columns::Table(table) => {
                table.cols.get(star.column)?.name.certain().map(|name| &**name)
            }
        }
    }
}

/// Columns that are not dropped.
pub(crate) fn live(relation: &Relation) -> impl Iterator<Item = &StoredColumn> {
    relation.columns.iter().filter(|column| !column.dropped)
}

/// WITH queries in reach, the innermost first.
pub(crate) type Ctes = Option<Rc<Cte>>;

/// A WITH query.
#[derive(Debug)]
pub(crate) struct Cte {
    pub name: Arc<str>,
    /// Its columns, as far as they are known: those of the round before while it is `pending`.
    pub table: RefCell<Rc<Table>>,
    /// It has not been walked in this round of a WITH RECURSIVE.
    pub pending: Cell<bool>,
    /// It was named while it was pending.
    pub read_early: Cell<bool>,
    /// How far in the query is that the WITH belongs to.
    pub level: u32,
    /// What each mention of it adds to [`crate::Facts::estimate_digits`], once it is walked, and
    /// each within itself.
    pub estimate_digits: Cell<u32>,
    /// It is being walked.
    pub walking: Cell<bool>,
    pub parent: Ctes,
}

impl Cte {
    /// A WITH query that is walked.
    pub(crate) fn walked(
        name: &str,
        (table, estimate_digits): (Table, u32),
        level: u32,
        parent: Ctes,
    ) -> Rc<Self> {
        let known = Self::new(name, Rc::new(table), level, parent);
        let estimate_digits = Cell::new(estimate_digits);
        Rc::new(Self { pending: Cell::new(false), estimate_digits, ..known })
    }

    /// One that is going to be; `table` is what is known until then.
    pub(crate) fn pending(name: &str, table: Rc<Table>, level: u32, parent: Ctes) -> Rc<Self> {
        Rc::new(Self::new(name, table, level, parent))
    }

    fn new(name: &str, table: Rc<Table>, level: u32, parent: Ctes) -> Self {
        Self {
            name: name.into(),
            table: RefCell::new(table),
            pending: Cell::new(true),
            read_early: Cell::new(false),
            level,
            estimate_digits: Cell::new(0),
            walking: Cell::new(false),
            parent,
        }
    }

    /// Its columns are found; whether anybody was told others before.
    pub(crate) fn settle(&self, table: &Rc<Table>) -> bool {
        let before = self.table.replace(Rc::clone(table));
        self.pending.set(false);
        self.read_early.take() && before != *table
    }
}

/// Finds a WITH query by name; also how many steps it took.
pub(crate) fn find_cte<'s>(ctes: &'s Ctes, name: &str) -> (Option<&'s Cte>, u64) {
    let mut cost = 0;
    let mut next = ctes;
    while let Some(cte) = next {
        cost += 1;
        if &*cte.name == name {
            if cte.pending.get() {
                cte.read_early.set(true);
            }
            return (Some(cte), cost);
        }
        next = &cte.parent;
    }
    (None, cost)
}

/// Where an expression stands.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scope<'s, 'c> {
    pub source: &'s Source<'c>,
    pub parent: Option<&'s Scope<'s, 'c>>,
    pub ctes: &'s Ctes,
}

/// What a name means.
pub(crate) enum Meaning<'s, 'c> {
    /// A column of this item.
    Column(&'s Item<'c>, Found<'s, 'c>),
    /// The whole row of this item.
    Row(&'s Item<'c>),
}

impl<'s, 'c> Scope<'s, 'c> {
    /// What the bare name can mean; also how many steps it took to find.
    ///
    /// A column here or in any query around goes before a whole row, as PostgreSQL has it. What
    /// stands in FROM may have a column of the name without anybody knowing: then it can mean that
    /// or what it would mean otherwise, which comes after.
    pub(crate) fn bare(&self, name: &str) -> (Vec<Meaning<'s, 'c>>, u64) {
        let mut cost = 0;
        let mut meanings = Vec::new();
        let mut row = None;
        let mut scope = Some(self);
        while let Some(here) = scope {
            cost += here.source.star.len() as u64 + here.source.items.len() as u64;
            if let Some(found) = here.column(name) {
                meanings.push(found);
                return (meanings, cost);
            }
            here.possible(name, &mut meanings);
            let items = &here.source.items;
            row = row.or_else(|| items.iter().find(|item| item.name.as_deref() == Some(name)));
            scope = here.parent;
        }
        meanings.extend(row.map(Meaning::Row));
        (meanings, cost)
    }

    /// A column that this query certainly has under the bare name.
    pub(crate) fn column(&self, name: &str) -> Option<Meaning<'s, 'c>> {
        let source = self.source;
        for star in &source.star {
            let item = source.items.get(star.item)?;
            let matches = match &item.columns {
                Columns::Table(table) => {
                    table.cols.get(star.column).is_some_and(|col| col.name.is(name))
                }
                Columns::Stored(relation) => {
                    star.stored_name(relation).is_some_and(|found| found == name)
                }
            };
            if matches {
                let found = match &item.columns {
                    Columns::Stored(relation) => {
                        let relation: &'c Relation = relation;
                        Found::Stored(relation, relation.column(name)?)
                    }
                    Columns::Table(table) => {
                        Found::Computed(Cow::Borrowed(&table.cols.get(star.column)?.val))
                    }
                };
                return Some(Meaning::Column(item, found));
            }
        }
        None
    }

    /// Columns that this query may have under the bare name: views have no system columns, and
    /// columns of some items are not known.
    fn possible(&self, name: &str, meanings: &mut Vec<Meaning<'s, 'c>>) {
        let source = self.source;
        if known_system(name) {
            let stored = source.items.iter().filter(|item| item.stored());
            meanings.extend(stored.map(|item| Meaning::Column(item, Found::System)));
        }
        for star in &source.star {
            if let Some(item) = source.items.get(star.item)
                && let Columns::Table(table) = &item.columns
                && let Some(col) = table.cols.get(star.column).filter(|c| c.name.may_be(name))
            {
                meanings.push(Meaning::Column(item, Found::Computed(Cow::Borrowed(&col.val))));
            }
        }
        for item in source.open.iter().filter_map(|index| source.items.get(*index)) {
            if let Columns::Table(table) = &item.columns
                && let Some(rest) = table.rest_for(name)
            {
                meanings.push(Meaning::Column(item, Found::Computed(Cow::Borrowed(rest))));
            }
        }
    }

    /// The item that a qualified reference names, here or in a query around.
    pub(crate) fn item(&self, schema: Option<&str>, name: &str) -> (Option<&'s Item<'c>>, u64) {
        let mut cost = 0;
        let mut scope = Some(self);
        while let Some(here) = scope {
            cost += here.source.items.len() as u64;
            let found = here.source.items.iter().find(|item| {
                item.name.as_deref() == Some(name)
                    && (schema.is_none() || item.schema.as_deref() == schema)
            });
            if found.is_some() {
                return (found, cost);
            }
            scope = here.parent;
        }
        (None, cost)
    }
}

fn known_system(name: &str) -> bool {
    crate::known::system_column(name)
}

/// The identity of a column of a relation.
pub(crate) fn column_id(relation: &Relation, column: &StoredColumn) -> ColumnId {
    ColumnId { relation: relation.oid, attnum: column.attnum }
}

/// A bare stored column.
pub(crate) fn stored_val(id: ColumnId) -> Val {
    Val { deps: Deps::one(id), direct: Some(id), pure: true, ..Val::default() }
}

/// The columns of a relation in `pg_catalog`: those that tell of stored values or of indexes, and
/// any others, which tell of nothing stored.
pub(crate) fn system_table(name: &str) -> Table {
    let counted = |(name, id)| col(name, Val { deps: Deps::one(id), ..Val::none() });
    let mut cols: Vec<Col> = crate::known::telling(name).map(counted).collect();
    if !cols.is_empty() {
        // What may be a function or a type as well would be called with the whole row.
        cols.push(col("oid", Val::none()));
    }
    Table { cols, rest: Some(Val::none()) }
}

/// A computed column.
pub(crate) fn col(name: impl Into<Name>, val: Val) -> Col {
    Col { name: name.into(), val, unlisted: false }
}
