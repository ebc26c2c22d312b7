//! SELECT, VALUES, set operations and WITH.

use std::collections::HashMap;
use std::mem::take;
use std::rc::Rc;

use pg_query::protobuf::{
    CommonTableExpr, LockWaitPolicy, Node, SelectStmt, SetOperation, WindowDef, WithClause,
};

use crate::estimate;
use crate::record::Recorder;
use crate::scope::{Cte, Ctes, Scope, Source, col};
use crate::statement::Place;
use crate::tree::{self, N, boxed, inner};
use crate::value::{Col, Name, Table, Val};
use crate::walk::{Blame, Walk};

/// Rounds in which the columns of recursive queries, and of those within them, must settle.
const ROUNDS: usize = 66;

impl<'c> Walk<'c> {
    /// A query of any kind that returns rows: SELECT or a statement with RETURNING.
    pub(crate) fn query(
        &mut self,
        node: &Node,
        parent: Option<&Scope<'_, 'c>>,
        ctes: &Ctes,
    ) -> Table {
        if !self.spend(0) {
            return Table::any(Val::unknown());
        }
        self.level += 1;
        let table = self.query_of(node, parent, ctes);
        self.level -= 1;
        self.spend(table.weight());
        table
    }

    fn query_of(&mut self, node: &Node, parent: Option<&Scope<'_, 'c>>, ctes: &Ctes) -> Table {
        match inner(node) {
            Some(N::SelectStmt(select)) => self.select(select, parent, ctes),
            Some(N::InsertStmt(insert)) => self.insert(insert, parent, ctes),
            Some(N::UpdateStmt(update)) => self.update(update, parent, ctes),
            Some(N::DeleteStmt(delete)) => self.delete(delete, parent, ctes),
            Some(N::MergeStmt(merge)) => self.merge(merge, parent, ctes),
            _ => {
                self.rec.opaque("unknown_statement", "a query of an unknown kind");
                self.rec.may_write = true;
                Table::any(Val::unknown())
            }
        }
    }

    pub(crate) fn select(
        &mut self,
        select: &SelectStmt,
        parent: Option<&Scope<'_, 'c>>,
        ctes: &Ctes,
    ) -> Table {
        if !self.spend(0) {
            return Table::any(Val::unknown());
        }
        let skips = self.skips_locked;
        self.skips_locked |= select.locking_clause.iter().any(skips_locked);
        let table = self.select_of(select, parent, ctes);
        self.skips_locked = skips;
        table
    }

    fn select_of(
        &mut self,
        select: &SelectStmt,
        parent: Option<&Scope<'_, 'c>>,
        ctes: &Ctes,
    ) -> Table {
        self.rec.verb("select");
        let ctes = self.with(select.with_clause.as_ref(), parent, ctes);
        if !select.locking_clause.is_empty() {
            self.rec.may_write = true;
        }
        let operation = SetOperation::try_from(select.op).unwrap_or_default();
        let (table, source) = match operation {
            SetOperation::SetopUnion | SetOperation::SetopIntersect | SetOperation::SetopExcept => {
                (self.set_operation(select, operation, parent, &ctes), Source::default())
            }
            _ if !select.values_lists.is_empty() => {
                (self.values(select, parent, &ctes), Source::default())
            }
            _ => self.plain_select(select, parent, &ctes),
        };
        let scope = Scope { source: &source, parent, ctes: &ctes };
        self.sort(&select.sort_clause, &table, &scope);
        for limit in [&select.limit_offset, &select.limit_count] {
            if let Some(limit) = boxed(limit) {
                self.decides(limit, &scope, "LIMIT");
            }
        }
        table
    }

    fn plain_select(
        &mut self,
        select: &SelectStmt,
        parent: Option<&Scope<'_, 'c>>,
        ctes: &Ctes,
    ) -> (Table, Source<'c>) {
        let source = self.sources(&select.from_clause, parent, ctes);
        let scope = Scope { source: &source, parent, ctes };
        let table = self.targets(&select.target_list, &scope);
        if let Some(condition) = boxed(&select.where_clause) {
            self.predicate(condition, &scope, "WHERE");
        }
        for item in &select.group_clause {
            self.group_item(item, &table, &scope);
        }
        if let Some(condition) = boxed(&select.having_clause) {
            self.predicate(condition, &scope, "HAVING");
        }
        for window in &select.window_clause {
            if let Some(N::WindowDef(window)) = inner(window) {
                self.window(window, &scope);
            }
        }
        if !select.group_clause.is_empty() {
            self.told_apart("GROUP BY");
        }
        if !select.distinct_clause.is_empty() {
            self.told_apart("DISTINCT");
            let on: Vec<&Node> =
                select.distinct_clause.iter().filter(|n| inner(n).is_some()).collect();
            if on.is_empty() {
                self.blame_place(&table.whole().deps, &Place::Predicate("DISTINCT"));
            }
            for node in on {
                self.by_output(node, &table, &scope, "DISTINCT");
            }
        }
        (table, source)
    }

    /// The output columns of a target list.
    pub(crate) fn targets(&mut self, list: &[Node], scope: &Scope<'_, 'c>) -> Table {
        let mut table = Table::default();
        for node in list {
            if !self.spend(0) {
                return Table::any(Val::unknown());
            }
            let Some(N::ResTarget(target)) = inner(node) else { continue };
            let Some(val) = boxed(&target.val) else { continue };
            if let Some(more) = self.expansion(val, scope) {
                self.spend(more.cols.len() as u64);
                table.cols.extend(more.cols);
                if let Some(rest) = more.rest {
                    table.rest.get_or_insert_default().absorb(&rest);
                }
                continue;
            }
            let made = self.eval(val, scope, &Blame::Expression);
            // After the value: subqueries in it are called like their columns.
            let name = if target.name.is_empty() {
                self.label(val).unwrap_or_else(|| self.no_label())
            } else {
                Name::from(target.name.as_str())
            };
            table.cols.push(col(name, made));
        }
        table
    }

    /// The name of a column that has no label.
    fn no_label(&self) -> Name {
        if self.context.late_numbers { Name::Any } else { "?column?".into() }
    }

    /// The columns of `*`, `t.*` and `(expression).*`.
    fn expansion(&mut self, node: &Node, scope: &Scope<'_, 'c>) -> Option<Table> {
        if !is_expansion(node) {
            return None;
        }
        self.pass(node);
        let table = match inner(node)? {
            N::ColumnRef(column) => self.star_of(&tree::strings(&column.fields), scope),
            N::AIndirection(indirection) => {
                let arg = boxed(&indirection.arg)?;
                if indirection.indirection.len() == 1 {
                    self.fields_of(arg, scope)
                } else {
                    let val = self.eval(node, scope, &Blame::Expression).derived();
                    self.field_selected(&val, &Blame::Expression);
                    Table::any(val)
                }
            }
            _ => return None,
        };
        Some(table.listed())
    }

    fn values(
        &mut self,
        select: &SelectStmt,
        parent: Option<&Scope<'_, 'c>>,
        ctes: &Ctes,
    ) -> Table {
        let source = Source::default();
        let scope = Scope { source: &source, parent, ctes };
        let mut table: Option<Table> = None;
        let place = Place::Expression("VALUES".into());
        self.rec.multiplies(estimate::rows(select.values_lists.len()));
        for row in &select.values_lists {
            if !self.spend(0) {
                return Table::any(Val::unknown());
            }
            let Some(N::List(row)) = inner(row) else { continue };
            let this = self.expanded(&row.items, &scope);
            table = Some(match table {
                None => numbered(this),
                Some(all) => {
                    for (above, below) in all.cols.iter().zip(&this.cols) {
                        // Only what is stored can fail when it becomes another type.
                        if !(above.val.deps.is_empty() && below.val.deps.is_empty()) {
                            self.unified(&[above.val.clone(), below.val.clone()], &place);
                        }
                    }
                    all.union(&this)
                }
            });
        }
        table.unwrap_or_default()
    }

    /// A list of values, in which `(row).*` is as many as the row has fields.
    pub(crate) fn expanded(&mut self, list: &[Node], scope: &Scope<'_, 'c>) -> Table {
        let mut table = Table::default();
        for value in list {
            match self.expansion(value, scope) {
                Some(several) => {
                    table.cols.extend(several.cols);
                    if let Some(rest) = several.rest {
                        table.rest.get_or_insert_default().absorb(&rest);
                    }
                }
                None => {
                    let val = self.eval(value, scope, &Blame::Expression);
                    table.cols.push(col(Name::Any, val));
                }
            }
        }
        table
    }

    fn set_operation(
        &mut self,
        select: &SelectStmt,
        operation: SetOperation,
        parent: Option<&Scope<'_, 'c>>,
        ctes: &Ctes,
    ) -> Table {
        let arm = |walk: &mut Self, arm: &Option<Box<SelectStmt>>| match arm {
            Some(arm) => {
                walk.level += 1;
                let table = walk.select(arm, parent, ctes);
                walk.level -= 1;
                table
            }
            None => Table::any(Val::unknown()),
        };
        let left = arm(self, &select.larg);
        let right = arm(self, &select.rarg);
        let word = match operation {
            SetOperation::SetopIntersect => "INTERSECT",
            SetOperation::SetopExcept => "EXCEPT",
            _ => "UNION",
        };
        if !(select.all && operation == SetOperation::SetopUnion) {
            let place = Place::Predicate(word);
            self.told_apart(word);
            self.blame_place(&left.whole().deps, &place);
            self.blame_place(&right.whole().deps, &place);
        }
        let place = Place::Expression(word.into());
        for (one, other) in left.cols.iter().zip(&right.cols) {
            self.unified(&[one.val.clone(), other.val.clone()], &place);
        }
        left.union(&right)
    }

    /// WITH: the queries in reach of the statement it belongs to.
    pub(crate) fn with(
        &mut self,
        clause: Option<&WithClause>,
        parent: Option<&Scope<'_, 'c>>,
        ctes: &Ctes,
    ) -> Ctes {
        let Some(clause) = clause else { return ctes.clone() };
        let list: Vec<&CommonTableExpr> = clause
            .ctes
            .iter()
            .filter_map(|node| match inner(node) {
                Some(N::CommonTableExpr(cte)) => Some(&**cte),
                _ => None,
            })
            .collect();
        if clause.recursive {
            let key = std::ptr::from_ref(clause).addr();
            return match self.rounds {
                None => self.with_recursive(key, &list, parent, ctes),
                // The query around is walked in rounds, this one in each of them.
                Some(_) => self.round(key, &list, parent, ctes),
            };
        }
        let mut reach = ctes.clone();
        for cte in list {
            let before = self.rec.estimate_digits;
            let table = self.cte(cte, parent, &reach);
            let digits = self.rec.estimate_digits.saturating_sub(before);
            reach = Some(Cte::walked(&cte.ctename, (table, digits), self.level, reach));
        }
        reach
    }

    /// Each query may name any of them, itself too. All are walked in rounds, those of any WITH
    /// RECURSIVE within them too, until no query was told other columns of another than that one
    /// has: what starts from "depends on nothing" and only grows settles at the least fixpoint,
    /// and one fixpoint of everything is the same as fixpoints within one another. What the last
    /// round records is what counts.
    fn with_recursive(
        &mut self,
        key: usize,
        list: &[&CommonTableExpr],
        parent: Option<&Scope<'_, 'c>>,
        ctes: &Ctes,
    ) -> Ctes {
        let quiet = self.rec.quiet;
        let around = std::mem::take(&mut self.rec);
        self.rounds = Some(Rounds { outermost: Some(key), ..Rounds::default() });
        let mut reach = ctes.clone();
        let mut settled = false;
        for _ in 0..ROUNDS {
            let literals_matter = self.rec.literals_matter;
            self.rec = Recorder { quiet, literals_matter, ..Recorder::default() };
            reach = self.round(key, list, parent, ctes);
            let changed = self.rounds.as_mut().is_none_or(|rounds| take(&mut rounds.changed));
            settled = !changed && self.budget > 0;
            if settled || self.budget == 0 {
                break;
            }
        }
        self.rounds = None;
        let last = std::mem::replace(&mut self.rec, around);
        self.rec.literals_matter |= last.literals_matter;
        self.rec.absorb(last);
        if settled {
            return reach;
        }
        let mut reach = ctes.clone();
        for cte in list {
            self.rec.opaque("unknown_object", &cte.ctename);
            let unknown = (Table::any(Val::unknown()), estimate::UNKNOWN);
            reach = Some(Cte::walked(&cte.ctename, unknown, self.level, reach));
        }
        reach
    }

    /// Walks the queries of one WITH RECURSIVE once. A query that another one names before it is
    /// walked has the columns that the round before found.
    fn round(
        &mut self,
        key: usize,
        list: &[&CommonTableExpr],
        parent: Option<&Scope<'_, 'c>>,
        ctes: &Ctes,
    ) -> Ctes {
        let known = self.rounds.as_ref().and_then(|rounds| rounds.known.get(&key));
        let mut before = known.cloned().unwrap_or_default().into_iter();
        let estimates = self.rounds.as_ref().and_then(|rounds| rounds.estimates.get(&key));
        let is_first = estimates.is_none();
        let mut estimates = estimates.cloned().unwrap_or_default().into_iter();
        let mut reach = ctes.clone();
        let mut pending = Vec::with_capacity(list.len());
        for cte in list {
            let table = before.next().unwrap_or_else(|| Rc::new(Table::any(Val::none())));
            let this = Cte::pending(&cte.ctename, table, self.level, reach.take());
            this.estimate_digits.set(estimates.next().unwrap_or_default());
            pending.push(Rc::clone(&this));
            reach = Some(this);
        }
        let mut tables = Vec::with_capacity(list.len());
        let mut walked = Vec::with_capacity(list.len());
        let mut changed = false;
        for (cte, this) in list.iter().zip(&pending) {
            let before = self.rec.estimate_digits;
            this.walking.set(true);
            let table = Rc::new(self.cte(cte, parent, &reach));
            this.walking.set(false);
            let digits = self.rec.estimate_digits.saturating_sub(before);
            walked.push(digits.saturating_add(1));
            let with_its_own = if is_first { estimate::twice(digits) } else { digits };
            this.estimate_digits.set(with_its_own.saturating_add(1));
            changed |= this.settle(&table);
            tables.push(table);
        }
        if let Some(rounds) = &mut self.rounds {
            rounds.changed |= changed;
            rounds.known.insert(key, tables);
            // One that goes on with what another one does is more with each round.
            let nested = rounds.outermost != Some(key);
            let own = walked.iter().map(|own| if nested { estimate::UNKNOWN } else { *own });
            rounds.estimates.entry(key).or_insert_with(|| own.collect());
        }
        reach
    }

    fn cte(&mut self, cte: &CommonTableExpr, parent: Option<&Scope<'_, 'c>>, ctes: &Ctes) -> Table {
        let Some(query) = boxed(&cte.ctequery) else { return Table::any(Val::unknown()) };
        let mut table = self.query(query, parent, ctes);
        table.rename(&tree::names(&cte.aliascolnames));
        forget_client(&mut table);
        if let Some(search) = &cte.search_clause {
            let names = tree::strings(&search.search_col_list);
            let val = self.columns_named(&table, &names);
            self.blame_place(&val.deps, &Place::Predicate("ORDER BY"));
            table.cols.push(unlisted(&search.search_seq_column, val));
        }
        if let Some(cycle) = &cte.cycle_clause {
            let names = tree::strings(&cycle.cycle_col_list);
            let mut val = self.columns_named(&table, &names);
            self.blame_place(&val.deps, &Place::Predicate("WHERE"));
            let source = Source::default();
            let scope = Scope { source: &source, parent, ctes };
            for mark in [&cycle.cycle_mark_value, &cycle.cycle_mark_default] {
                val.absorb(&self.eval_opt(mark, &scope, &Blame::Expression));
            }
            for name in [&cycle.cycle_mark_column, &cycle.cycle_path_column] {
                table.cols.push(unlisted(name, val.clone()));
            }
        }
        table
    }

    fn columns_named(&mut self, table: &Table, names: &[&str]) -> Val {
        let mut all = Val::none();
        for name in names {
            match table.named(name) {
                Some(val) => all.absorb(&val),
                None => all.absorb(&Val::unknown()),
            }
        }
        all
    }

    fn sort(&mut self, list: &[Node], table: &Table, scope: &Scope<'_, 'c>) {
        for node in list {
            if let Some(N::SortBy(sort)) = inner(node)
                && let Some(by) = boxed(&sort.node)
            {
                self.by_output(by, table, scope, "ORDER BY");
                self.ordered(sort, "ORDER BY");
            }
        }
    }

    /// ORDER BY inside a function call: never by output.
    pub(crate) fn sort_inside(&mut self, list: &[Node], scope: &Scope<'_, 'c>) -> Val {
        let mut all = Val::client();
        for node in list {
            if let Some(N::SortBy(sort)) = inner(node)
                && let Some(by) = boxed(&sort.node)
            {
                all.absorb(&self.decides(by, scope, "ORDER BY"));
                self.ordered(sort, "ORDER BY");
            }
        }
        all
    }

    fn group_item(&mut self, node: &Node, table: &Table, scope: &Scope<'_, 'c>) {
        match inner(node) {
            Some(N::GroupingSet(set)) => {
                for item in &set.content {
                    self.group_item(item, table, scope);
                }
            }
            Some(N::List(list)) => {
                for item in &list.items {
                    self.group_item(item, table, scope);
                }
            }
            _ => match tree::bare_name(node) {
                Some(name) => self.group_by_name(node, name, table, scope),
                None => self.by_position(node, table, scope, "GROUP BY"),
            },
        }
    }

    /// A bare name is a column of this query's FROM first, an output column otherwise, and only
    /// then something further out.
    fn group_by_name(&mut self, node: &Node, name: &str, table: &Table, scope: &Scope<'_, 'c>) {
        self.pass(node);
        let (meanings, cost) = scope.bare(name);
        self.spend(cost);
        if scope.column(name).is_none()
            && let Some(val) = table.named(name)
        {
            self.blame_place(&val.deps, &Place::Predicate("GROUP BY"));
            if meanings.is_empty() {
                return;
            }
        }
        self.decides(node, scope, "GROUP BY");
    }

    /// ORDER BY and DISTINCT ON: a bare name is an output column first.
    fn by_output(
        &mut self,
        node: &Node,
        table: &Table,
        scope: &Scope<'_, 'c>,
        clause: &'static str,
    ) {
        if let Some(name) = tree::bare_name(node) {
            if let Some(found) = table.certain(name) {
                self.pass(node);
                self.blame_place(&found.deps, &Place::Predicate(clause));
                return;
            }
            // It may be one of these.
            for val in table.possible(name) {
                self.blame_place(&val.deps, &Place::Predicate(clause));
            }
        }
        self.by_position(node, table, scope, clause);
    }

    fn by_position(
        &mut self,
        node: &Node,
        table: &Table,
        scope: &Scope<'_, 'c>,
        clause: &'static str,
    ) {
        if let Some(N::AConst(_)) = inner(node)
            && let Some(place) = tree::whole_number(node, &mut self.rec.literals_matter)
        {
            let index = usize::try_from(place).unwrap_or(usize::MAX).saturating_sub(1);
            if let Some(val) = table.at(index) {
                self.blame_place(&val.deps, &Place::Predicate(clause));
            }
            return;
        }
        self.decides(node, scope, clause);
    }

    /// An expression whose value decides on rows.
    pub(crate) fn decides(
        &mut self,
        node: &Node,
        scope: &Scope<'_, 'c>,
        clause: &'static str,
    ) -> Val {
        let val = self.eval(node, scope, &Blame::Predicate(clause));
        self.blame_place(&val.deps, &Place::Predicate(clause));
        val
    }

    pub(crate) fn window(&mut self, window: &WindowDef, scope: &Scope<'_, 'c>) {
        for node in &window.partition_clause {
            self.decides(node, scope, "PARTITION BY");
            self.told_apart("PARTITION BY");
        }
        self.sort_inside(&window.order_clause, scope);
        for offset in [&window.start_offset, &window.end_offset] {
            if let Some(offset) = boxed(offset) {
                self.decides(offset, scope, "ROWS");
            }
        }
    }
}

/// A column that SEARCH or CYCLE adds.
fn unlisted(name: &str, val: Val) -> Col {
    Col { unlisted: true, ..col(name, val) }
}

/// Columns of VALUES, by their place. Where a row has fields nobody can count, no place is certain.
fn numbered(mut row: Table) -> Table {
    if row.rest.is_some() {
        return Table::any(row.whole());
    }
    for (index, col) in row.cols.iter_mut().enumerate() {
        col.name = Name::Is(format!("column{}", index + 1).into());
    }
    row
}

/// Whether a locking clause has SKIP LOCKED or NOWAIT.
fn skips_locked(clause: &Node) -> bool {
    let Some(N::LockingClause(clause)) = inner(clause) else { return false };
    LockWaitPolicy::try_from(clause.wait_policy) != Ok(LockWaitPolicy::LockWaitBlock)
}

/// Rounds in which a WITH RECURSIVE, and those within it, are walked.
#[derive(Debug, Default)]
pub(crate) struct Rounds {
    /// The clause around all others.
    outermost: Option<usize>,
    /// Columns that the last walk found, by the place of the clause in memory.
    known: HashMap<usize, Vec<Rc<Table>>>,
    /// What each of them adds to [`crate::Facts::estimate_digits`] within itself: what the first
    /// walk found, in which it added nothing.
    estimates: HashMap<usize, Vec<u32>>,
    /// Some were used in this round that are others now.
    changed: bool,
}

/// Whether this is `*`, `t.*` or `(expression).*`.
pub(crate) fn is_expansion(node: &Node) -> bool {
    let parts = match inner(node) {
        Some(N::ColumnRef(column)) => &column.fields,
        Some(N::AIndirection(indirection)) => &indirection.indirection,
        _ => return false,
    };
    parts.last().is_some_and(|last| matches!(inner(last), Some(N::AStar(_))))
}

/// Rows of a query are not single values the client sent, even if made of constants.
pub(crate) fn forget_client(table: &mut Table) {
    for col in &mut table.cols {
        col.val.client = false;
    }
}
