//! FROM: relations, subqueries, functions and joins.

use std::sync::Arc;

use pg_query::protobuf::{
    JoinExpr, JsonTable, JsonTableColumn, Node, RangeFunction, RangeTableFunc,
};

use crate::catalog::Function;
use crate::estimate;
use crate::known;
use crate::query::forget_client;
use crate::scope::{Columns, Ctes, Item, Scope, Source, Star, col};
use crate::statement::Place;
use crate::tree::{self, N, boxed, inner};
use crate::value::{Col, Name, Table, Val};
use crate::walk::{Blame, Walk};

impl<'c> Walk<'c> {
    pub(crate) fn sources(
        &mut self,
        list: &[Node],
        parent: Option<&Scope<'_, 'c>>,
        ctes: &Ctes,
    ) -> Source<'c> {
        self.sources_beside(Source::default(), list, parent, ctes)
    }

    /// The items of `list`, after those already there.
    pub(crate) fn sources_beside(
        &mut self,
        mut source: Source<'c>,
        list: &[Node],
        parent: Option<&Scope<'_, 'c>>,
        ctes: &Ctes,
    ) -> Source<'c> {
        for node in list {
            if !self.spend(0) {
                break;
            }
            let more = self.source_of(node, &source, parent, ctes);
            self.spend(more.size() as u64);
            source.append(more);
        }
        source
    }

    /// One item of FROM. `beside` are the items to its left, for LATERAL.
    pub(crate) fn source_of(
        &mut self,
        node: &Node,
        beside: &Source<'c>,
        parent: Option<&Scope<'_, 'c>>,
        ctes: &Ctes,
    ) -> Source<'c> {
        let lateral = Scope { source: beside, parent, ctes };
        if !self.spend(0) {
            return Source::default();
        }
        match inner(node) {
            Some(N::RangeVar(var)) => Source::of(self.range_var(var, ctes)),
            Some(N::RangeSubselect(sub)) => {
                let around = if sub.lateral { Some(&lateral) } else { parent };
                let mut table = match boxed(&sub.subquery) {
                    Some(query) => self.query(query, around, ctes),
                    None => Table::any(Val::unknown()),
                };
                forget_client(&mut table);
                table.rename(&tree::alias_columns(sub.alias.as_ref()));
                let name = sub.alias.as_ref().map(|alias| alias.aliasname.as_str().into());
                Source::of(self.table_item(name, table))
            }
            Some(N::RangeFunction(function)) => Source::of(self.range_function(function, &lateral)),
            Some(N::RangeTableFunc(function)) => Source::of(self.xml_table(function, &lateral)),
            Some(N::JsonTable(table)) => Source::of(self.json_table(table, &lateral)),
            Some(N::RangeTableSample(sample)) => {
                let source = match boxed(&sample.relation) {
                    Some(relation) => self.source_of(relation, beside, parent, ctes),
                    None => Source::default(),
                };
                for arg in &sample.args {
                    self.decides(arg, &lateral, "TABLESAMPLE");
                }
                if let Some(seed) = boxed(&sample.repeatable) {
                    self.decides(seed, &lateral, "TABLESAMPLE");
                }
                source
            }
            Some(N::JoinExpr(join)) => self.join(join, beside, parent, ctes),
            _ => {
                self.rec.opaque("unknown_statement", "an unknown item in FROM");
                Source::of(self.table_item(None, Table::any(Val::unknown())))
            }
        }
    }

    fn join(
        &mut self,
        join: &JoinExpr,
        beside: &Source<'c>,
        parent: Option<&Scope<'_, 'c>>,
        ctes: &Ctes,
    ) -> Source<'c> {
        let (Some(left), Some(right)) = (boxed(&join.larg), boxed(&join.rarg)) else {
            return Source::default();
        };
        let left = self.source_of(left, beside, parent, ctes);
        let right = if looks_left(right) {
            let mut both = beside.clone();
            self.spend((beside.size() + left.size()) as u64);
            both.append(left.clone());
            self.source_of(right, &both, parent, ctes)
        } else {
            self.source_of(right, beside, parent, ctes)
        };
        let unsure = join.is_natural && (has_unsure(&left) || has_unsure(&right));
        let shared: Vec<Arc<str>> = if join.is_natural {
            self.shared_names(&left, &right)
        } else {
            tree::names(&join.using_clause)
        };
        let mut source = left;
        let boundary = source.star.len();
        source.append(right);
        if !shared.is_empty() {
            source = self.merge_columns(source, boundary, &shared);
            if let Some(alias) = &join.join_using_alias {
                let name = Some(alias.aliasname.as_str().into());
                if let Some(Item { columns, .. }) = source.items.last() {
                    let columns = columns.clone();
                    let mut item = self.item(name, columns);
                    item.qualified_only = true;
                    source.push(item);
                }
            }
        }
        if unsure {
            source = self.blurred(source);
        }
        if let Some(condition) = boxed(&join.quals) {
            let scope = Scope { source: &source, parent, ctes };
            self.predicate(condition, &scope, "JOIN");
        }
        match &join.alias {
            None => source,
            Some(alias) => {
                let mut table = self.unread(|walk| walk.star(&source)).beside();
                table.rename(&tree::names(&alias.colnames));
                let name = Some(alias.aliasname.as_str().into());
                Source::of(self.table_item(name, table))
            }
        }
    }

    fn shared_names(&mut self, left: &Source<'c>, right: &Source<'c>) -> Vec<Arc<str>> {
        self.spend((left.star.len() * right.star.len()) as u64);
        if self.budget == 0 {
            return Vec::new();
        }
        if has_unsure(left) || has_unsure(right) {
            // Which columns are compared cannot be told: all of them may be.
            for side in [left, right] {
                let deps = self.star(side).whole().deps;
                self.blame_place(&deps, &Place::Predicate("JOIN"));
            }
        }
        let names = left.star.iter().filter_map(|star| left.star_name(*star));
        let on_right = |name: &str| right.star.iter().any(|s| right.star_name(*s) == Some(name));
        names.filter(|name| on_right(name)).map(Arc::from).collect()
    }

    /// Columns of which nobody knows which of them are merged: each name can mean all.
    fn blurred(&mut self, mut source: Source<'c>) -> Source<'c> {
        let whole = self.star(&source).whole().derived();
        let names = source.star.iter().filter_map(|star| source.star_name(*star));
        let named = |name: &str| Col { unlisted: true, ..col(name, whole.clone()) };
        let cols: Vec<Col> = names.map(named).collect();
        let at = source.items.len();
        source.star = (0..cols.len()).map(|column| Star { item: at, column }).collect();
        source.open = vec![at];
        let item = self.table_item(None, Table { cols, rest: Some(whole) });
        source.items.push(item);
        source
    }

    /// USING and NATURAL: columns of the same name on both sides become one, first in `*`.
    fn merge_columns(
        &mut self,
        mut source: Source<'c>,
        boundary: usize,
        names: &[Arc<str>],
    ) -> Source<'c> {
        let mut merged = Table::default();
        let mut hidden: Vec<usize> = Vec::new();
        let mut unsure = false;
        for name in names {
            self.spend(source.star.len() as u64);
            let place = |from: &[Star], shift: usize| {
                let found = from.iter().position(|s| source.star_name(*s) == Some(name));
                found.map(|place| place + shift)
            };
            let (before, after) = source.star.split_at(boundary.min(source.star.len()));
            let sides = [place(before, 0), place(after, boundary)];
            let mut vals = Vec::new();
            for side in sides.into_iter().flatten() {
                hidden.push(side);
                let Some(star) = source.star.get(side).copied() else { continue };
                vals.extend(self.star_val(&source, star));
                unsure |= source.is_unlisted(star);
            }
            if vals.len() < 2 {
                // One side has columns that cannot be told.
                vals.push(self.star(&source).whole().derived());
                unsure = true;
            }
            let mut all = vals.first().cloned().unwrap_or_default();
            if let [left, right] = vals.as_slice() {
                self.equal(left, right, None, "JOIN");
            }
            for val in vals.get(1..).unwrap_or_default() {
                all.absorb(val);
            }
            merged.cols.push(col(Arc::clone(name), all));
        }
        let mut index = 0;
        source.star.retain(|_| {
            index += 1;
            !hidden.contains(&(index - 1))
        });
        let at = source.items.len();
        if unsure {
            // Whether they stand in `*`, and how many others do, cannot be told.
            for col in &mut merged.cols {
                col.unlisted = true;
            }
            merged.rest = Some(merged.whole());
            source.open.push(at);
        }
        let item = self.table_item(None, merged);
        let count = match &item.columns {
            Columns::Table(table) => table.cols.len(),
            Columns::Stored(_) => 0,
        };
        source.items.push(item);
        let first = (0..count).map(|column| Star { item: at, column });
        source.star = first.chain(source.star).collect();
        source
    }

    fn star_val(&mut self, source: &Source<'c>, star: Star) -> Option<Val> {
        let item = source.items.get(star.item)?;
        match &item.columns {
            Columns::Table(table) => table.cols.get(star.column).map(|col| col.val.clone()),
            Columns::Stored(relation) => {
                let relation: &'c crate::catalog::Relation = relation;
                let column = relation.columns.get(star.column)?;
                let found = crate::scope::Found::Stored(relation, column);
                Some(self.take(item.id, &found))
            }
        }
    }

    fn range_function(&mut self, range: &RangeFunction, scope: &Scope<'_, 'c>) -> Item<'c> {
        let alias = range.alias.as_ref();
        let mut table = Table::default();
        let mut first_name = None;
        let single = range.functions.len() == 1;
        for function in &range.functions {
            let Some(N::List(pair)) = inner(function) else { continue };
            let Some(call) = pair.items.first() else { continue };
            let columns = match pair.items.get(1).and_then(inner) {
                Some(N::List(columns)) => columns.items.as_slice(),
                _ if single => range.coldeflist.as_slice(),
                _ => &[],
            };
            let (name, more) = self.function_source(call, columns, scope);
            first_name.get_or_insert_with(|| name.clone());
            let more = match alias.filter(|_| single) {
                Some(alias) => name_scalar(more, &Name::from(alias.aliasname.as_str())),
                None => name_scalar(more, &name),
            };
            table.cols.extend(more.cols);
            if let Some(rest) = more.rest {
                table.rest.get_or_insert_default().absorb(&rest);
            }
        }
        if range.ordinality {
            table.cols.push(col("ordinality", Val::none()));
        }
        table.rename(&tree::alias_columns(alias));
        let name = match alias {
            Some(alias) => Some(alias.aliasname.as_str().into()),
            None => self.certain(&first_name.unwrap_or_default()),
        };
        self.table_item(name, table)
    }

    /// The name of an item, by which others could be meant if it has another.
    fn certain(&mut self, name: &Name) -> Option<Arc<str>> {
        if name.certain().is_none() {
            self.rec
                .opaque("unknown_statement", "an item of FROM that is called nobody knows what");
        }
        name.certain().cloned()
    }

    /// A function in FROM: its name and its columns. One column without a name is a scalar.
    fn function_source(
        &mut self,
        node: &Node,
        columns: &[Node],
        scope: &Scope<'_, 'c>,
    ) -> (Name, Table) {
        let Some(N::FuncCall(call)) = inner(node) else {
            return self.expression_source(node, columns, scope);
        };
        if tree::late_keyword(call).is_some() {
            self.rec.opaque("unknown_statement", "SYSTEM_USER in FROM");
        }
        let parts = tree::strings(&call.funcname);
        let (schema, bare) = tree::qualified(&parts);
        let name: Arc<str> = bare.into();
        let blame = Blame::FromFunction(Arc::clone(&name));
        let (mut val, rows) = self.call(call, scope, &blame, &Place::FromFunction(name.clone()));
        val.client = false;
        let names = column_names(columns);
        let table = if !names.is_empty() {
            each(names, &val)
        } else if let Some(unnested) = self.unnested(call, scope) {
            match unnested {
                1 => Table { cols: vec![col(Name::Any, val)], rest: None },
                several => each(vec!["unnest".into(); several], &val),
            }
        } else {
            match rows {
                Some(rows) => rows,
                None => self.shape(schema, bare, val),
            }
        };
        (self.label(node).unwrap_or_default(), table)
    }

    /// What is written like a function in FROM and is none: CAST, NULLIF, COALESCE, CURRENT_DATE.
    fn expression_source(
        &mut self,
        node: &Node,
        columns: &[Node],
        scope: &Scope<'_, 'c>,
    ) -> (Name, Table) {
        let shown: Arc<str> = "function".into();
        let blame = Blame::FromFunction(Arc::clone(&shown));
        let val = self.eval(node, scope, &blame);
        self.blame_place(&val.deps, &Place::FromFunction(shown));
        let names = column_names(columns);
        let table = if !names.is_empty() {
            each(names, &val)
        } else if self.is_scalar(node, scope) && !self.calls(node) {
            Table { cols: vec![col(Name::Any, val)], rest: None }
        } else {
            Table::any(val)
        };
        (self.label(node).unwrap_or_else(|| "?column?".into()), table)
    }

    /// Whether this is a cast that calls a function: its column is called like what that returns.
    fn calls(&self, node: &Node) -> bool {
        let Some(N::TypeCast(cast)) = inner(node) else { return false };
        let last = cast.type_name.as_ref().and_then(|name| name.names.last());
        !self.context.catalog.casts(last.and_then(tree::string).unwrap_or_default()).is_empty()
    }

    /// The columns of a shipped or opaque function, each of which is `val`.
    fn shape(&mut self, schema: Option<&str>, name: &str, val: Val) -> Table {
        let named = |names: &mut dyn Iterator<Item = Arc<str>>| Table {
            cols: names.map(|name| col(name, val.clone())).collect(),
            rest: None,
        };
        let declared: Vec<_> = self
            .context
            .catalog
            .functions(name)
            .filter(|function| schema.is_none_or(|schema| &*function.schema == schema))
            .collect();
        if let Some(names) = known::out_names(name)
            && declared.iter().all(|function| function.builtin)
        {
            return named(&mut names.iter().map(|name| Arc::from(*name)));
        }
        // One of the same name may be meant that ships with PostgreSQL and is not declared here.
        let certain = |only: &Function| only.builtin || !self.context.catalog.ships_function(name);
        if let [only] = declared.as_slice()
            && certain(only)
        {
            if let Some(names) = only.out_columns() {
                return named(&mut names.into_iter());
            }
            if only.returns_scalar() {
                return Table { cols: vec![col(Name::Any, val)], rest: None };
            }
        }
        if known::scalar_set(name) && declared.iter().all(|function| function.builtin) {
            return Table { cols: vec![col(Name::Any, val)], rest: None };
        }
        Table::any(val)
    }

    fn xml_table(&mut self, function: &RangeTableFunc, scope: &Scope<'_, 'c>) -> Item<'c> {
        self.rec.multiplies(estimate::SET);
        let name: Arc<str> = "xmltable".into();
        let blame = Blame::FromFunction(Arc::clone(&name));
        let mut all = Val::none();
        let mut cols: Vec<Col> = Vec::new();
        for node in [&function.docexpr, &function.rowexpr] {
            if let Some(node) = boxed(node) {
                all.absorb(&self.eval(node, scope, &blame));
            }
        }
        for node in &function.namespaces {
            if let Some(N::ResTarget(target)) = inner(node) {
                all.absorb(&self.eval_opt(&target.val, scope, &blame));
            }
        }
        for column in &function.columns {
            if let Some(N::RangeTableFuncCol(column)) = inner(column) {
                for node in [&column.colexpr, &column.coldefexpr] {
                    if let Some(node) = boxed(node) {
                        all.absorb(&self.eval(node, scope, &blame));
                    }
                }
                if column.coldefexpr.is_some() {
                    self.converted(column.type_name.as_ref(), &mut all);
                }
                cols.push(col(column.colname.as_str(), Val::none()));
            }
        }
        self.made_table(name, all, cols, function.alias.as_ref())
    }

    fn json_table(&mut self, table: &JsonTable, scope: &Scope<'_, 'c>) -> Item<'c> {
        self.rec.multiplies(estimate::SET);
        let name: Arc<str> = "json_table".into();
        let blame = Blame::FromFunction(Arc::clone(&name));
        let mut all = Val::none();
        if let Some(node) = table.context_item.as_ref().and_then(|item| boxed(&item.raw_expr)) {
            all.absorb(&self.eval(node, scope, &blame));
        }
        for node in &table.passing {
            all.absorb(&self.eval(node, scope, &blame));
        }
        let mut inside: Vec<&Node> =
            table.pathspec.iter().filter_map(|path| boxed(&path.string)).collect();
        inside.extend(table.on_error.iter().filter_map(|behaviour| boxed(&behaviour.expr)));
        let mut columns = Vec::new();
        json_columns(&table.columns, &mut columns);
        for column in &columns {
            inside.extend(column.pathspec.iter().filter_map(|path| boxed(&path.string)));
            let behaviours = [&column.on_empty, &column.on_error].into_iter().flatten();
            let before = inside.len();
            inside.extend(behaviours.filter_map(|behaviour| boxed(&behaviour.expr)));
            if inside.len() > before {
                self.converted(column.type_name.as_ref(), &mut all);
            }
        }
        for node in inside {
            all.absorb(&self.eval(node, scope, &blame));
        }
        let named = columns.iter().filter(|column| column.columns.is_empty());
        let cols = named.map(|column| col(column.name.as_str(), Val::none())).collect();
        self.made_table(name, all, cols, table.alias.as_ref())
    }

    fn made_table(
        &mut self,
        name: Arc<str>,
        all: Val,
        mut cols: Vec<Col>,
        alias: Option<&pg_query::protobuf::Alias>,
    ) -> Item<'c> {
        self.blame_place(&all.deps, &Place::FromFunction(Arc::clone(&name)));
        for col in &mut cols {
            col.val = all.clone().derived();
        }
        let mut table = Table { cols, rest: None };
        forget_client(&mut table);
        table.rename(&tree::alias_columns(alias));
        let shown = alias.map_or(name, |alias| alias.aliasname.as_str().into());
        self.table_item(Some(shown), table)
    }
}

/// Whether a name can mean a column without anybody knowing.
fn has_unsure(source: &Source<'_>) -> bool {
    !source.open.is_empty() || source.star.iter().any(|star| source.star_name(*star).is_none())
}

/// Columns of these names, each of which is `val`.
fn each(names: Vec<Arc<str>>, val: &Val) -> Table {
    let cols = names.into_iter().map(|name| col(name, val.clone())).collect();
    Table { cols, rest: None }
}

/// The columns of JSON_TABLE, those that are tables themselves too.
fn json_columns<'n>(nodes: &'n [Node], columns: &mut Vec<&'n JsonTableColumn>) {
    for node in nodes {
        if let Some(N::JsonTableColumn(column)) = inner(node) {
            columns.push(column);
            json_columns(&column.columns, columns);
        }
    }
}

/// A single column without a name is called like the function, or its alias.
fn name_scalar(mut table: Table, name: &Name) -> Table {
    if let [only] = table.cols.as_mut_slice()
        && table.rest.is_none()
        && only.name == Name::Any
    {
        only.name = name.clone();
    }
    table
}

fn column_names(columns: &[Node]) -> Vec<Arc<str>> {
    columns
        .iter()
        .filter_map(|node| match inner(node) {
            Some(N::ColumnDef(column)) => Some(column.colname.as_str().into()),
            _ => None,
        })
        .collect()
}

/// Whether an arm of a join can name items to its left.
fn looks_left(node: &Node) -> bool {
    let mut pending = vec![node];
    while let Some(node) = pending.pop() {
        match inner(node) {
            Some(N::RangeVar(_)) | None => {}
            Some(N::RangeSubselect(sub)) => {
                if sub.lateral {
                    return true;
                }
            }
            Some(N::JoinExpr(join)) => {
                pending.extend([&join.larg, &join.rarg].into_iter().filter_map(boxed));
            }
            Some(N::RangeTableSample(sample)) => pending.extend(boxed(&sample.relation)),
            Some(_) => return true,
        }
    }
    false
}
