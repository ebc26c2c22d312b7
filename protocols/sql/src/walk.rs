//! The walk through a statement's tree: shared state, and names of relations and columns.

use std::collections::{BTreeSet, HashMap};
use std::rc::Rc;
use std::sync::Arc;

use pg_query::protobuf::{Node, RangeVar};

use crate::catalog::{Catalog, ColumnId, Relation, RelationKind, SearchPath, StoredColumn};
use crate::complete::{Form, Passed};
use crate::estimate;
use crate::known;
use crate::query::Rounds;
use crate::record::Recorder;
use crate::scope::{Columns, Ctes, Found, Item, Meaning, Scope, Source};
use crate::scope::{col, column_id, find_cte, live, stored_val};
use crate::statement::{Missing, Place};
use crate::tree::{self, N, inner};
use crate::value::{Deps, Name, Table, Typed, Val};
use crate::view;

/// What a walk is given.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Context<'c> {
    pub catalog: &'c Catalog,
    pub path: &'c SearchPath,
    /// Where bodies of functions look names up: the path of whoever runs what is walked.
    pub bodies: &'c SearchPath,
    /// Where what is made without a schema goes, and where types are found. `path` does not say so
    /// after a DROP.
    pub creates: &'c SearchPath,
    /// Tokens open on this stack.
    pub used: usize,
    /// Views and function bodies around.
    pub nesting: u32,
    /// The functions whose bodies those are, innermost first.
    pub within: Option<&'c Within<'c>>,
    /// There may be numbers that older servers take for a number with a label.
    pub late_numbers: bool,
}

/// A function whose body is walked.
#[derive(Debug)]
pub(crate) struct Within<'c> {
    pub function: u32,
    pub around: Option<&'c Within<'c>>,
}

impl Context<'_> {
    /// Whether the body of this function is walked already.
    pub(crate) fn is_within(&self, function: u32) -> bool {
        let mut around = self.within;
        while let Some(within) = around {
            if within.function == function {
                return true;
            }
            around = within.around;
        }
        false
    }
}

/// Whose fault it is when a column is looked into.
#[derive(Clone, Debug)]
pub(crate) enum Blame {
    /// An expression whose value goes on.
    Expression,
    /// A clause that decides which rows there are.
    Predicate(&'static str),
    /// An argument of this function in FROM.
    FromFunction(Arc<str>),
}

impl Blame {
    /// The place of `operation`.
    pub(crate) fn place(&self, operation: &str) -> Place {
        match self {
            Self::Expression => Place::Expression(operation.into()),
            Self::Predicate(clause) => Place::Predicate(clause),
            Self::FromFunction(name) => Place::FromFunction(Arc::clone(name)),
        }
    }
}

/// Arguments of the function whose body is walked.
#[derive(Clone, Debug, Default)]
pub(crate) struct Params {
    pub values: Vec<Val>,
    pub names: Vec<Arc<str>>,
}

/// One walk: a statement, a view's definition or a function's body.
#[derive(Debug)]
pub(crate) struct Walk<'c> {
    pub context: Context<'c>,
    pub rec: Recorder,
    pub params: Option<Params>,
    /// Steps left; at zero the text is refused as too complex.
    pub budget: u64,
    /// The item that UPDATE, DELETE or MERGE changes, while its condition is walked.
    pub target: Option<u32>,
    pub target_touched: bool,
    /// What unnamed values that are subqueries are called, by where they stand in the text.
    pub sublinks: HashMap<i32, Name>,
    /// Queries around the place that is walked.
    pub level: u32,
    /// Expressions that were walked and recorded.
    pub passed: Passed,
    /// Rows that are locked are left out, or fail the query (SKIP LOCKED, NOWAIT).
    pub skips_locked: bool,
    /// While queries of a WITH RECURSIVE are walked.
    pub rounds: Option<Rounds>,
    /// What `ARRAY(SELECT …)` is an array of, by the place of the subquery in memory.
    pub arrays: HashMap<usize, Typed>,
    /// Generated columns of relations that are written, found out when first needed.
    pub generated: HashMap<u32, Vec<Rc<view::Generated>>>,
    items: u32,
}

impl<'c> Walk<'c> {
    /// Steps for one text. A step is a name compared; this many take well under a second.
    pub(crate) const BUDGET: u64 = 20_000_000;
    /// Steps that making a column takes.
    const COLUMN: u64 = 32;
    /// Steps that recording a use of a column takes.
    const USE: u64 = 8;
    /// Views and function bodies within one another.
    pub(crate) const NESTING: u32 = 32;

    pub(crate) fn new(context: Context<'c>, budget: u64) -> Self {
        Self {
            context,
            rec: Recorder::default(),
            params: None,
            budget,
            target: None,
            target_touched: false,
            sublinks: HashMap::new(),
            level: 0,
            passed: Passed::default(),
            skips_locked: false,
            rounds: None,
            arrays: HashMap::new(),
            generated: HashMap::new(),
            items: 0,
        }
    }

    /// Takes `steps` from the budget; false when there is none left.
    pub(crate) fn spend(&mut self, steps: u64) -> bool {
        self.budget = self.budget.saturating_sub(steps + 1);
        self.budget > 0
    }

    /// The walk comes past an expression: see [`mod@crate::complete`]. Calls say so themselves.
    pub(crate) fn pass(&mut self, node: &Node) {
        match inner(node) {
            Some(N::AExpr(expr)) => self.pass_form(Form::Operation, expr.location),
            Some(N::ColumnRef(column)) => self.pass_form(Form::Column, column.location),
            Some(N::SubLink(link)) => self.pass_form(Form::Subquery, link.location),
            Some(N::TypeCast(cast)) => self.pass_form(Form::Cast, cast.location),
            // What is taken for a name is no call that says so itself.
            Some(N::FuncCall(call)) if tree::late_keyword(call).is_some() => {
                self.pass_form(Form::Call, call.location);
            }
            _ => {}
        }
    }

    /// The same, by where it is in the text.
    pub(crate) fn pass_form(&mut self, form: Form, location: i32) {
        if self.rec.quiet == 0 {
            self.passed.insert(form, location);
        }
    }

    pub(crate) fn item(&mut self, name: Option<Arc<str>>, columns: Columns<'c>) -> Item<'c> {
        self.items += 1;
        Item { id: self.items, name, schema: None, columns, of: None, qualified_only: false }
    }

    pub(crate) fn table_item(&mut self, name: Option<Arc<str>>, table: Table) -> Item<'c> {
        self.item(name, Columns::Table(Rc::new(table)))
    }

    /// A relation in FROM.
    pub(crate) fn range_var(&mut self, var: &RangeVar, ctes: &Ctes) -> Item<'c> {
        let (schema, name) = tree::range_name(var);
        if schema.is_none() {
            let (found, cost) = find_cte(ctes, name);
            self.spend(cost);
            if let Some(cte) = found {
                // Those that are named before they are walked can be within one another.
                self.rec.multiplies(match cte.pending.get() && !cte.walking.get() {
                    true => estimate::UNKNOWN,
                    false => cte.estimate_digits.get(),
                });
                let table = Rc::clone(&cte.table.borrow());
                let table = self.seen(table, cte.level);
                let shown = var.alias.as_ref().map_or(name, |alias| &alias.aliasname);
                let item = self.item(Some(shown.into()), Columns::Table(table));
                return self.aliased(item, var);
            }
        }
        self.relation(var, Mode::Read)
    }

    /// The columns of a WITH query. Those that SEARCH and CYCLE add are left out of `*` in queries
    /// further in than the one that the WITH belongs to (`addRangeTableEntryForCTE`).
    fn seen(&mut self, table: Rc<Table>, level: u32) -> Rc<Table> {
        if self.level > level || !table.cols.iter().any(|col| col.unlisted) {
            return table;
        }
        self.spend(table.cols.len() as u64 * Self::COLUMN);
        let mut table = (*table).clone();
        for col in &mut table.cols {
            col.unlisted = false;
        }
        Rc::new(table)
    }

    /// A stored column as a value: itself, and what a view's definition puts under it.
    pub(crate) fn stored(&mut self, relation: &'c Relation, column: &StoredColumn) -> Val {
        let id = column_id(relation, column);
        let mut val = stored_val(id);
        val.typed = Typed::Stored(column.type_oid);
        if matches!(relation.kind, RelationKind::View | RelationKind::MaterializedView)
            && let Some(lineage) = view::lineage(self.context, relation)
        {
            let place = relation.columns.iter().position(|other| other.attnum == column.attnum);
            match place.and_then(|place| lineage.table.at(place)) {
                Some(under) => {
                    val.deps.absorb(&under.deps);
                    val.pure = under.pure;
                    val.unknown = under.unknown;
                }
                None => {
                    val.pure = false;
                    val.unknown = true;
                }
            }
            if val.unknown {
                let name = format!("{}.{}.{}", relation.schema, relation.name, column.name);
                self.rec.opaque("opaque_view", &name);
            }
        }
        val
    }

    /// A column found by name: recorded, and as a value.
    pub(crate) fn take(&mut self, item: u32, found: &Found<'_, 'c>) -> Val {
        if self.target == Some(item) {
            self.target_touched = true;
        }
        match found {
            Found::Stored(relation, column) => {
                let val = self.stored(relation, column);
                self.spend(val.deps.len());
                for id in val.deps.iter() {
                    self.rec.column(id);
                }
                val
            }
            Found::Computed(val) => {
                self.touch(val);
                val.clone().into_owned()
            }
            Found::System => Val::none(),
        }
    }

    /// `xmax` tells which rows the check of a foreign key has locked, and so which are referenced.
    fn row_locks(&mut self, item: &Item<'c>, name: &str, val: &mut Val) {
        if name != "xmax" {
            return;
        }
        let mut locks = Val::none();
        for relation in item.relations() {
            locks.deps.absorb(&self.locks_of(relation));
        }
        if !locks.deps.is_empty() {
            self.touch(&locks);
            val.absorb(&locks);
        }
    }

    /// The columns whose values decide which rows of a relation, or of those under a view, foreign
    /// keys have locked: those that reference it, what inherits from it, or what it inherits from.
    pub(crate) fn locks_of(&mut self, relation: &'c Relation) -> Deps {
        let catalog = self.context.catalog;
        let mut all = vec![relation.oid];
        if let Some(lineage) = view::lineage(self.context, relation) {
            all.extend(&lineage.objects);
        }
        let mut around: BTreeSet<u32> = BTreeSet::new();
        for oid in &all {
            around.extend(self.above(*oid));
        }
        let mut deps = Deps::default();
        for tie in catalog.references() {
            if !self.spend(1) {
                break;
            }
            let above = self.above(tie.to.relation);
            if around.contains(&tie.to.relation) || all.iter().any(|oid| above.contains(oid)) {
                deps.insert(tie.from);
            }
        }
        deps
    }

    /// A relation and all that it inherits from.
    pub(crate) fn above(&mut self, oid: u32) -> BTreeSet<u32> {
        let mut above = BTreeSet::new();
        let mut pending = vec![oid];
        while let Some(oid) = pending.pop() {
            self.spend(1);
            if above.insert(oid)
                && let Some(relation) = self.context.catalog.relation(oid)
            {
                pending.extend(&relation.parents);
            }
        }
        above
    }

    /// Records the columns under a computed one.
    fn touch(&mut self, val: &Val) {
        self.spend(val.deps.len());
        if self.rec.quiet > 0 {
            return;
        }
        for id in val.deps.iter() {
            self.rec.column(id);
        }
        if val.unknown && !val.deps.is_empty() {
            self.rec.opaque("opaque_view", "a column of FROM");
        }
    }

    /// All columns of an item, in order, those too that `*` leaves out, recorded as read.
    pub(crate) fn columns_of(&mut self, item: &Item<'c>) -> Table {
        if !self.spend(0) {
            return Table::any(Val::unknown());
        }
        if self.target == Some(item.id) {
            self.target_touched = true;
        }
        match &item.columns {
            Columns::Stored(relation) => {
                let relation: &'c Relation = relation;
                self.spend(relation.columns.len() as u64 * Self::COLUMN);
                let cols = live(relation).map(|column| {
                    let val = self.take(item.id, &Found::Stored(relation, column));
                    col(Arc::clone(&column.name), val)
                });
                Table { cols: cols.collect(), rest: None }
            }
            Columns::Table(table) => {
                self.spend(table.cols.len() as u64 * Self::COLUMN + table.weight());
                self.touch(&table.whole());
                (**table).clone()
            }
        }
    }

    /// The columns of FROM that need no item's name, those too that `*` leaves out.
    pub(crate) fn star(&mut self, source: &Source<'c>) -> Table {
        let mut table = Table::default();
        for star in &source.star {
            if !self.spend(Self::COLUMN) {
                return Table::any(Val::unknown());
            }
            let Some(item) = source.items.get(star.item) else { continue };
            if self.target == Some(item.id) {
                self.target_touched = true;
            }
            let made = match &item.columns {
                Columns::Stored(relation) => {
                    let relation: &'c Relation = relation;
                    let Some(column) = relation.columns.get(star.column) else { continue };
                    let val = self.take(item.id, &Found::Stored(relation, column));
                    col(Arc::clone(&column.name), val)
                }
                Columns::Table(table) => match table.cols.get(star.column) {
                    Some(col) => {
                        self.touch(&col.val);
                        col.clone()
                    }
                    None => continue,
                },
            };
            table.cols.push(made);
        }
        for open in &source.open {
            if let Some(Item { columns: Columns::Table(from), .. }) = source.items.get(*open) {
                self.spend(from.weight());
                let whole = from.whole();
                self.touch(&whole);
                table.rest.get_or_insert_default().absorb(&whole);
            }
        }
        table
    }

    /// A column reference as a value.
    pub(crate) fn column_ref(&mut self, fields: &[Node], scope: &Scope<'_, 'c>) -> Val {
        let last_is_star = fields.last().is_some_and(|f| matches!(inner(f), Some(N::AStar(_))));
        let names = tree::strings(fields);
        if last_is_star {
            return self.star_of(&names, scope).whole();
        }
        match names.as_slice() {
            [] => Val::unknown(),
            [name] => self.bare(name, scope),
            [item, name] => self.qualified(None, item, name, scope),
            [.., schema, item, name] => self.qualified(Some(schema), item, name, scope),
        }
    }

    pub(crate) fn bare(&mut self, name: &str, scope: &Scope<'_, 'c>) -> Val {
        let (meanings, cost) = scope.bare(name);
        self.spend(cost);
        let mut vals = Vec::new();
        for meaning in meanings {
            vals.push(match meaning {
                Meaning::Column(item, found) => {
                    self.write_down(item, &found, name);
                    let mut val = self.take(item.id, &found);
                    self.row_locks(item, name, &mut val);
                    val
                }
                Meaning::Row(item) => self.columns_of(item).whole().derived(),
            });
        }
        let mut vals = vals.into_iter();
        match vals.next() {
            Some(first) => vals.fold(first, |mut all, val| {
                all.absorb(&val);
                all
            }),
            None => match self.param_named(name) {
                Some(val) => val,
                None => self.no_such_column(name),
            },
        }
    }

    /// Whether a row can be put into something of this name: a function, or a type in a cast.
    fn is_applied(&self, name: &str) -> bool {
        let catalog = self.context.catalog;
        catalog.ships_function(name)
            || catalog.functions(name).next().is_some()
            || crate::known::type_without_function(name)
            || catalog.has_type_named(name)
    }

    /// `(value).name` is `name(value)` where the value has no such field, and that is a cast where
    /// there is no such function and a type is called so.
    pub(crate) fn attribute(&mut self, name: &str, of: &Val, blame: &Blame) -> Val {
        let catalog = self.context.catalog;
        if catalog.ships_function(name) || catalog.functions(name).next().is_some() {
            let mut val = self.call_by_name(None, name, vec![of.clone()], blame);
            val.absorb(of);
            return val;
        }
        if crate::known::type_without_function(name) || catalog.has_type_named(name) {
            self.blame(&of.deps, blame, "cast");
        }
        of.clone()
    }

    fn qualified(
        &mut self,
        schema: Option<&str>,
        item: &str,
        name: &str,
        scope: &Scope<'_, 'c>,
    ) -> Val {
        let (found, cost) = scope.item(schema, item);
        self.spend(cost);
        let Some(found) = found else {
            // `composite.field`, or `function.argument` in a body.
            if !scope.bare(item).0.is_empty() {
                let val = self.bare(item, scope).derived();
                self.field_selected(&val, &Blame::Expression);
                return self.attribute(name, &val, &Blame::Expression);
            }
            if let Some(val) = self.param_named(name) {
                return val;
            }
            return self.no_such_column(&format!("{item}.{name}"));
        };
        if let Some(column) = found.find(name) {
            self.write_down(found, &column, name);
            let mut val = self.take(found.id, &column);
            self.row_locks(found, name, &mut val);
            if found.has(name) {
                return val;
            }
            // It may not have the column after all: then a function can be called with its row.
            let mut of = val;
            if self.is_applied(name) {
                of.absorb(&self.columns_of(found).whole());
            }
            return self.attribute(name, &of, &Blame::Expression);
        }
        if known::system_column(name) {
            let mut val = self.take(found.id, &Found::System);
            self.row_locks(found, name, &mut val);
            return val;
        }
        // Attribute notation: `t.f` is `f(t)` where there is no such column.
        let whole = self.columns_of(found).whole().derived();
        self.call_by_name(None, name, vec![whole], &Blame::Expression)
    }

    /// Columns of relations that are not in the snapshot are listed as written.
    fn write_down(&mut self, item: &Item<'c>, found: &Found<'_, 'c>, name: &str) {
        if self.rec.quiet == 0
            && let Found::Computed(val) = found
            && val.unknown
            && !item.has(name)
            && let Some(of) = &item.name
        {
            let written = match &item.schema {
                Some(schema) => format!("{schema}.{of}.{name}"),
                None => format!("{of}.{name}"),
            };
            self.rec.written_columns.insert(written.into());
        }
    }

    fn param_named(&self, name: &str) -> Option<Val> {
        let params = self.params.as_ref()?;
        let place = params.names.iter().position(|known| &**known == name)?;
        Some(params.values.get(place).cloned().unwrap_or_else(Val::unknown))
    }

    fn no_such_column(&mut self, name: &str) -> Val {
        if self.rec.quiet == 0 {
            self.rec.unresolved.insert(name.into());
            self.rec.missing(Missing::Column, name);
        }
        Val::unknown()
    }

    /// The columns of `*` or `item.*`, those too that are left out of it.
    pub(crate) fn star_of(&mut self, names: &[&str], scope: &Scope<'_, 'c>) -> Table {
        let (schema, name) = match names {
            [] => return self.star(scope.source),
            [name] => (None, *name),
            [.., schema, name] => (Some(*schema), *name),
        };
        let (found, cost) = scope.item(schema, name);
        self.spend(cost);
        match found {
            Some(item) => self.columns_of(item),
            None => Table::any(self.no_such_column(&format!("{}.*", names.join(".")))),
        }
    }

    /// The fields of `(value).*`; those of an item's row are its columns.
    pub(crate) fn fields_of(&mut self, value: &Node, scope: &Scope<'_, 'c>) -> Table {
        if let Some(item) = self.row_named(value, scope) {
            self.pass(value);
            return self.columns_of(item);
        }
        let val = self.eval(value, scope, &Blame::Expression).derived();
        self.field_selected(&val, &Blame::Expression);
        Table::any(val)
    }

    /// The item whose whole row this expression is, and nothing else.
    pub(crate) fn row_named<'s>(
        &mut self,
        value: &Node,
        scope: &Scope<'s, 'c>,
    ) -> Option<&'s Item<'c>> {
        let Some(N::ColumnRef(column)) = inner(value) else { return None };
        let names = tree::strings(&column.fields);
        let ([name], 1) = (names.as_slice(), column.fields.len()) else { return None };
        let (meanings, cost) = scope.bare(name);
        self.spend(cost);
        match meanings.as_slice() {
            [Meaning::Row(item)] => Some(item),
            _ => None,
        }
    }

    /// Puts the blame for looking into columns where it belongs.
    pub(crate) fn blame(&mut self, deps: &Deps, blame: &Blame, operation: &str) {
        if deps.is_empty() || self.rec.quiet > 0 {
            return;
        }
        self.blame_place(deps, &blame.place(operation));
    }

    /// The same, for a place already made.
    pub(crate) fn blame_place(&mut self, deps: &Deps, place: &Place) {
        for id in deps.iter() {
            if !self.spend(Self::USE) {
                return;
            }
            self.rec.used(id, place.clone());
        }
    }

    /// The stored column `name` of an item, for targets of INSERT and UPDATE.
    pub(crate) fn target_column(&mut self, item: &Item<'c>, name: &str) -> Option<ColumnId> {
        match item.find(name) {
            Some(Found::Stored(relation, column)) => {
                let id = column_id(relation, column);
                self.rec.column(id);
                Some(id)
            }
            _ => {
                if let Some(of) = &item.name {
                    self.rec.written_columns.insert(format!("{of}.{name}").into());
                }
                None
            }
        }
    }
}

/// What is done to a relation.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Mode {
    Read,
    Write,
}
