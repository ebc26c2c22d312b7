//! INSERT, UPDATE, DELETE and MERGE.

use std::rc::Rc;
use std::sync::Arc;

use pg_query::protobuf::{
    CmdType, DeleteStmt, InsertStmt, MergeMatchKind, MergeStmt, MergeWhenClause, Node,
    OnConflictClause, RangeVar, ReturningClause, ReturningOptionKind, SelectStmt, UpdateStmt,
};

use crate::catalog::{ColumnId, Relation, TieKind};
use crate::query::is_expansion;
use crate::scope::{Columns, Ctes, Item, Scope, Source, column_id};
use crate::statement::{Operand, Place};
use crate::tree::{self, N, boxed, inner};
use crate::value::{Deps, Table, Typed, Val};
use crate::view;
use crate::walk::{Blame, Mode, Walk};

impl<'c> Walk<'c> {
    pub(crate) fn insert(
        &mut self,
        insert: &InsertStmt,
        parent: Option<&Scope<'_, 'c>>,
        ctes: &Ctes,
    ) -> Table {
        self.rec.verb("insert");
        let ctes = self.with(insert.with_clause.as_ref(), parent, ctes);
        let Some(var) = &insert.relation else { return Table::any(Val::unknown()) };
        let item = self.changed(var, insert.returning_clause.as_ref());
        let nothing = Source::default();
        let scope = Scope { source: &nothing, parent, ctes: &ctes };
        let targets = self.insert_targets(&item, &insert.cols, &scope);
        let mut given = 0;
        let mut rows = 1;
        if let Some(query) = boxed(&insert.select_stmt) {
            let listed = match inner(query) {
                Some(N::SelectStmt(select)) => (!select.values_lists.is_empty()).then_some(select),
                _ => None,
            };
            let table = match listed {
                Some(select) => {
                    self.written_values(&targets, select);
                    self.plain_values(query, parent, &ctes)
                }
                None => self.query(query, parent, &ctes),
            };
            rows = listed.map_or(usize::MAX, |select| select.values_lists.len());
            given = match &table.rest {
                // How many there are cannot be told.
                Some(_) if insert.cols.is_empty() => 0,
                Some(_) => targets.len(),
                None => table.cols.len(),
            };
            self.stored_into(&item, var, &targets, &table, listed.is_some());
        }
        let given = targets.iter().take(given).filter_map(|target| target.column);
        let given: Vec<ColumnId> = given.collect();
        self.inserted_beside(&item, &given, rows <= 1);
        if let Some(conflict) = &insert.on_conflict_clause {
            self.on_conflict(conflict, (var, &item), parent, &ctes);
        }
        let columns = item.columns.clone();
        let source = Source::of(item);
        self.returning(insert.returning_clause.as_ref(), source, columns, parent, &ctes)
    }

    /// VALUES of an INSERT reads nothing, so it adds no `select` to the verbs.
    fn plain_values(&mut self, query: &Node, parent: Option<&Scope<'_, 'c>>, ctes: &Ctes) -> Table {
        let had = self.rec.verbs.iter().any(|verb| &**verb == "select");
        let before = self.rec.reads.len();
        let table = self.query(query, parent, ctes);
        if !had && self.rec.reads.len() == before {
            self.rec.verbs.retain(|verb| &**verb != "select");
        }
        table
    }

    /// The relation a statement changes.
    fn changed(&mut self, var: &RangeVar, returning: Option<&ReturningClause>) -> Item<'c> {
        if returning.is_some() {
            self.relation(var, Mode::Read);
        }
        self.relation(var, Mode::Write)
    }

    /// The columns an INSERT fills, in order; `None` for one that cannot be told.
    fn insert_targets(
        &mut self,
        item: &Item<'c>,
        cols: &[Node],
        scope: &Scope<'_, 'c>,
    ) -> Vec<Target> {
        if cols.is_empty() {
            return match &item.columns {
                Columns::Stored(relation) => {
                    let relation: &'c Relation = relation;
                    let live = crate::scope::live(relation);
                    let ids: Vec<_> = live.map(|column| column_id(relation, column)).collect();
                    for id in &ids {
                        self.rec.column(*id);
                    }
                    ids.into_iter().map(|id| Target { column: Some(id), is_part: false }).collect()
                }
                Columns::Table(_) => Vec::new(),
            };
        }
        let mut targets = Vec::with_capacity(cols.len());
        for node in cols {
            if let Some(N::ResTarget(target)) = inner(node) {
                let column = self.target_column(item, &target.name);
                targets.push(Target { column, is_part: !target.indirection.is_empty() });
                self.part_named(&target.indirection, scope);
            }
        }
        targets
    }

    /// The subscripts by which a part of a column is named.
    fn part_named(&mut self, parts: &[Node], scope: &Scope<'_, 'c>) {
        for part in parts {
            if let Some(N::AIndices(indices)) = inner(part) {
                for index in [&indices.lidx, &indices.uidx] {
                    let val = self.eval_opt(index, scope, &Blame::Expression);
                    self.blame(&val.deps, &Blame::Expression, "subscript");
                }
            }
        }
    }

    /// Values written to unique columns are guesses at the values already there (R5).
    fn written_values(&mut self, targets: &[Target], select: &SelectStmt) {
        for (place, target) in targets.iter().enumerate() {
            let Some(id) = target.column.filter(|id| self.is_unique(*id)) else { continue };
            for row in &select.values_lists {
                if let Some(N::List(row)) = inner(row)
                    && let Some(value) = row.items.get(place)
                {
                    self.given_in(id, value);
                }
            }
        }
    }

    /// Whether a value written there is compared with those that are: by a key of its own, or of a
    /// column made from it.
    pub(crate) fn is_unique(&mut self, id: ColumnId) -> bool {
        let catalog = self.context.catalog;
        self.everywhere(id).iter().any(|id| {
            let unique = |id| catalog.column(id).is_some_and(|(_, column)| column.unique);
            unique(*id) || self.made_from(*id).iter().any(|made| unique(made.column))
        })
    }

    /// Whether what is written there takes part in a comparison or in an expression that can fail.
    pub(crate) fn is_tied(&mut self, id: ColumnId) -> bool {
        let catalog = self.context.catalog;
        self.is_unique(id)
            || self.everywhere(id).iter().any(|id| {
                catalog.is_tied(*id)
                    || self
                        .made_from(*id)
                        .iter()
                        .any(|made| catalog.is_tied(made.column) || made.looked_into.contains(*id))
            })
    }

    /// Generated columns whose expressions read a column.
    pub(crate) fn made_from(&mut self, id: ColumnId) -> Vec<Rc<view::Generated>> {
        let Some((relation, _)) = self.context.catalog.column(id) else { return Vec::new() };
        let context = self.context;
        let made = self.generated.entry(relation.oid).or_insert_with(|| {
            view::generated(context, relation).into_iter().map(Rc::new).collect()
        });
        made.iter().filter(|made| made.reads.contains(id)).map(Rc::clone).collect()
    }

    /// A column, what is under it, and the same column of tables that inherit it: rows of those are
    /// changed too, and have keys of their own.
    pub(crate) fn everywhere(&mut self, id: ColumnId) -> Vec<ColumnId> {
        let under = self.under(id);
        self.inherited(under)
    }

    /// Columns, and the same columns of tables that inherit them.
    pub(crate) fn inherited(&mut self, columns: Vec<ColumnId>) -> Vec<ColumnId> {
        let catalog = self.context.catalog;
        let mut all = columns;
        let mut next = 0;
        while let Some(id) = all.get(next).copied() {
            next += 1;
            let Some((relation, column)) = catalog.column(id) else { continue };
            for child in catalog.children(relation.oid) {
                self.spend(0);
                let Some(child) = catalog.relation(*child) else { continue };
                let Some(same) = child.column(&column.name) else { continue };
                let same = column_id(child, same);
                if !all.contains(&same) {
                    all.push(same);
                }
            }
        }
        all
    }

    /// A column, and what is under it when its relation is a view.
    pub(crate) fn under(&mut self, id: ColumnId) -> Vec<ColumnId> {
        let Some((relation, column)) = self.context.catalog.column(id) else { return vec![id] };
        let mut all = self.unread(|walk| walk.stored(relation, column)).deps;
        all.insert(id);
        all.iter().collect()
    }

    /// The client's value is compared with those of a column, and with those it references.
    pub(crate) fn guessed_in(&mut self, id: ColumnId, value: Option<&Node>) {
        for id in self.compared_with(id) {
            let ties = self.context.catalog.ties(id);
            if ties.iter().any(|(_, by)| *by == TieKind::Overlap) {
                self.rec.used(id, Place::Predicate("EXCLUDE"));
            }
            self.guessed_by(&self.typed_val(id), value, true);
        }
    }

    fn typed_val(&self, id: ColumnId) -> Val {
        let mut val = crate::scope::stored_val(id);
        if let Some((_, column)) = self.context.catalog.column(id) {
            val.typed = Typed::Stored(column.type_oid);
        }
        val
    }

    /// The columns whose values one that is written to a key is compared with.
    pub(crate) fn compared_with(&mut self, id: ColumnId) -> Vec<ColumnId> {
        let catalog = self.context.catalog;
        let mut all = Vec::new();
        for id in self.under(id) {
            all.push(id);
            let ties = catalog.ties(id).iter().filter(|(_, by)| *by == TieKind::Reference);
            all.extend(ties.map(|(other, _)| *other));
            for made in self.made_from(id) {
                if self.is_unique(made.column) {
                    all.push(made.column);
                }
            }
        }
        all
    }

    /// A value, or DEFAULT, is written to a key.
    fn given_in(&mut self, id: ColumnId, value: &Node) {
        match inner(value) {
            Some(N::SetToDefault(_)) => self.defaulted(id),
            _ => self.guessed_in(id, Some(value)),
        }
    }

    /// Query results go into a table.
    fn stored_into(
        &mut self,
        item: &Item<'c>,
        var: &RangeVar,
        targets: &[Target],
        table: &Table,
        listed: bool,
    ) {
        let place = Place::Moved(format!("INSERT INTO {}", var.relname).into());
        let is_placed = self.stays(var, item);
        if table.rest.is_some() {
            let whole = table.whole();
            self.blame_place(&whole.deps, &place);
            for id in targets.iter().filter_map(|target| target.column) {
                self.converted_into(id, &whole.clone().derived(), &place);
                if self.is_unique(id) {
                    self.guessed_in(id, None);
                }
            }
            return;
        }
        let mut written = Vec::new();
        for (index, col) in table.cols.iter().enumerate() {
            let target = targets.get(index).copied().unwrap_or_default();
            self.moved(&col.val, target, is_placed, &place);
            let Some(id) = target.column else { continue };
            if self.is_unique(id) && !(listed && col.val.client) {
                self.guessed_in(id, None);
            }
            written.push(Written { column: id, val: col.val.clone() });
        }
        self.filled(item, &mut written);
        self.compared(&written);
    }

    /// Columns that an INSERT leaves to defaults that read something stored.
    fn filled(&mut self, item: &Item<'c>, written: &mut Vec<Written>) {
        let Columns::Stored(relation) = &item.columns else { return };
        for column in crate::scope::live(relation).filter(|column| column.default.is_some()) {
            let id = column_id(relation, column);
            if !written.iter().any(|written| written.column == id) {
                written.push(Written { column: id, val: crate::scope::stored_val(id) });
            }
        }
    }

    /// Whether what is written is the table that is read, whatever happens meanwhile. Without a
    /// schema it may be another one by the time it runs, which somebody makes in front of this;
    /// what is read without a schema, and not through a view, is that one then, too.
    fn stays(&self, var: &RangeVar, item: &Item<'c>) -> bool {
        let Columns::Stored(relation) = &item.columns else { return false };
        let own = format!("{}.{}", relation.schema, relation.name);
        !var.schemaname.is_empty()
            || !self.rec.reads_by_schema && self.rec.reads.iter().all(|name| **name == *own)
    }

    /// A value is stored. A column may be copied onto itself: its mask goes with it.
    fn moved(&mut self, val: &Val, target: Target, is_placed: bool, place: &Place) {
        if let Some(column) = target.column {
            self.converted_into(column, val, place);
        }
        let is_same = val.direct.is_some() && val.direct == target.column;
        if is_same && is_placed && !target.is_part {
            return;
        }
        self.blame_place(&val.deps, place);
    }

    fn on_conflict(
        &mut self,
        conflict: &OnConflictClause,
        (var, item): (&RangeVar, &Item<'c>),
        parent: Option<&Scope<'_, 'c>>,
        ctes: &Ctes,
    ) {
        let target = Source::of(item.clone());
        let scope = Scope { source: &target, parent, ctes };
        if let Some(infer) = &conflict.infer {
            for elem in &infer.index_elems {
                let Some(N::IndexElem(elem)) = inner(elem) else { continue };
                match boxed(&elem.expr) {
                    Some(expr) => {
                        self.decides(expr, &scope, "ON CONFLICT");
                    }
                    None => {
                        if let Some(id) = self.target_column(item, &elem.name) {
                            self.rec.used(id, Place::Equality);
                            self.rec.guess(id, Operand::Stored(id));
                        }
                    }
                }
            }
            if let Some(condition) = boxed(&infer.where_clause) {
                self.predicate(condition, &scope, "ON CONFLICT");
            }
        }
        if conflict.target_list.is_empty() {
            return;
        }
        self.rec.verb("update");
        let mut source = target;
        let mut excluded = self.item(Some("excluded".into()), item.columns.clone());
        excluded.qualified_only = true;
        source.push(excluded);
        let scope = Scope { source: &source, parent, ctes };
        self.assignments(&conflict.target_list, item, &scope, (CONFLICT, Some(var)));
        if let Some(condition) = boxed(&conflict.where_clause) {
            self.predicate(condition, &scope, "WHERE");
        }
    }

    /// The list of SET.
    fn assignments(
        &mut self,
        list: &[Node],
        item: &Item<'c>,
        scope: &Scope<'_, 'c>,
        (statement, into): (&str, Option<&RangeVar>),
    ) {
        let mut written = Vec::new();
        for node in list {
            let Some(N::ResTarget(target)) = inner(node) else { continue };
            let id = self.target_column(item, &target.name);
            let part = !target.indirection.is_empty();
            if let Some(id) = id.filter(|_| part) {
                // What the rest of the value is decides whether that can be done.
                for id in self.under(id) {
                    self.blame(&Deps::one(id), &Blame::Expression, "a part of it in SET");
                }
            }
            self.part_named(&target.indirection, scope);
            let Some(value) = boxed(&target.val) else { continue };
            let val = self.eval(value, scope, &Blame::Expression);
            let place = Place::Moved(format!("{statement} SET {}", target.name).into());
            // What the same statement would have inserted there was counted and judged with it.
            let is_excluded = statement == CONFLICT
                && item.name.as_deref() != Some("excluded")
                && is_excluded(assigned_value(value), &target.name);
            let is_placed = is_excluded || into.is_some_and(|var| self.stays(var, item));
            self.moved(&val, Target { column: id, is_part: part }, is_placed, &place);
            let Some(id) = id else { continue };
            let value = assigned_value(value);
            if !part && val.direct == Some(id) && is_of_same_row(value, item, scope) {
                self.checked_again(id);
                continue;
            }
            if self.is_unique(id) && !is_excluded && val.direct != Some(id) {
                self.given_in(id, value);
            }
            let val = if is_excluded { Val::none() } else { val };
            written.push(Written { column: id, val });
        }
        self.compared(&written);
        self.changed_beside(&written);
    }

    /// Writing to `pg_settings`, or to a view over it, is how else SET can be said, of any setting.
    fn settings_written(&mut self, var: &RangeVar) {
        let (schema, name) = tree::range_name(var);
        let context = self.context;
        let is_over_it = |relation: &'c Relation| {
            let lineage = view::lineage(context, relation);
            lineage.is_some_and(|lineage| lineage.reads.iter().any(|read| is_settings(read)))
        };
        let found = context.catalog.find(schema, name, context.path);
        let hidden = context.catalog.hidden(schema, name, context.path);
        if is_settings(name) || found.into_iter().chain(hidden).any(is_over_it) {
            self.rec.set("?", None);
            self.rec.changes_search_path = true;
            self.rec.role_change = true;
        }
    }

    pub(crate) fn update(
        &mut self,
        update: &UpdateStmt,
        parent: Option<&Scope<'_, 'c>>,
        ctes: &Ctes,
    ) -> Table {
        self.rec.verb("update");
        let ctes = self.with(update.with_clause.as_ref(), parent, ctes);
        let Some(var) = &update.relation else { return Table::any(Val::unknown()) };
        let item = self.changed(var, update.returning_clause.as_ref());
        self.settings_written(var);
        let source = Source::of(item.clone());
        let source = self.sources_beside(source, &update.from_clause, parent, &ctes);
        let scope = Scope { source: &source, parent, ctes: &ctes };
        let filtered = self.filter(boxed(&update.where_clause), item.id, &scope);
        if !filtered {
            self.rec.unfiltered("update");
        }
        self.assignments(&update.target_list, &item, &scope, ("UPDATE", Some(var)));
        self.returning(update.returning_clause.as_ref(), source, item.columns, parent, &ctes)
    }

    pub(crate) fn delete(
        &mut self,
        delete: &DeleteStmt,
        parent: Option<&Scope<'_, 'c>>,
        ctes: &Ctes,
    ) -> Table {
        self.rec.verb("delete");
        let ctes = self.with(delete.with_clause.as_ref(), parent, ctes);
        let Some(var) = &delete.relation else { return Table::any(Val::unknown()) };
        let item = self.changed(var, delete.returning_clause.as_ref());
        self.removed(&item);
        let id = item.id;
        let columns = item.columns.clone();
        let source = self.sources_beside(Source::of(item), &delete.using_clause, parent, &ctes);
        let scope = Scope { source: &source, parent, ctes: &ctes };
        if !self.filter(boxed(&delete.where_clause), id, &scope) {
            self.rec.unfiltered("delete");
        }
        self.returning(delete.returning_clause.as_ref(), source, columns, parent, &ctes)
    }

    /// Walks the condition of a statement that changes `target`; whether it reads a column of it.
    fn filter(&mut self, condition: Option<&Node>, target: u32, scope: &Scope<'_, 'c>) -> bool {
        let Some(condition) = condition else { return false };
        let outer = (self.target.replace(target), std::mem::take(&mut self.target_touched));
        self.predicate(condition, scope, "WHERE");
        let touched = self.target_touched;
        (self.target, self.target_touched) = outer;
        touched
    }

    pub(crate) fn merge(
        &mut self,
        merge: &MergeStmt,
        parent: Option<&Scope<'_, 'c>>,
        ctes: &Ctes,
    ) -> Table {
        self.rec.verb("merge");
        let ctes = self.with(merge.with_clause.as_ref(), parent, ctes);
        let Some(var) = &merge.relation else { return Table::any(Val::unknown()) };
        let item = self.changed(var, merge.returning_clause.as_ref());
        let mut source = match boxed(&merge.source_relation) {
            Some(from) => self.source_of(from, &Source::default(), parent, &ctes),
            None => Source::default(),
        };
        source.append(Source::of(item.clone()));
        let scope = Scope { source: &source, parent, ctes: &ctes };
        let filtered = self.filter(boxed(&merge.join_condition), item.id, &scope);
        let mut every_row = false;
        for node in &merge.merge_when_clauses {
            let Some(N::MergeWhenClause(when)) = inner(node) else { continue };
            every_row |= self.merge_when(when, filtered, &item, &scope);
        }
        if every_row {
            self.rec.unfiltered("merge");
        }
        self.returning(merge.returning_clause.as_ref(), source, item.columns, parent, &ctes)
    }

    /// One WHEN; whether it changes rows of the target without regard to what is in them.
    fn merge_when(
        &mut self,
        when: &MergeWhenClause,
        filtered: bool,
        item: &Item<'c>,
        scope: &Scope<'_, 'c>,
    ) -> bool {
        let condition = self.filter(boxed(&when.condition), item.id, scope);
        let by_source = MergeMatchKind::try_from(when.match_kind)
            == Ok(MergeMatchKind::MergeWhenNotMatchedBySource);
        let filtered = condition || (filtered && !by_source);
        match CmdType::try_from(when.command_type).unwrap_or_default() {
            CmdType::CmdInsert => {
                self.rec.verb("insert");
                self.merge_insert(when, item, scope);
                false
            }
            CmdType::CmdUpdate => {
                self.rec.verb("update");
                self.assignments(&when.target_list, item, scope, ("MERGE UPDATE", None));
                !filtered
            }
            CmdType::CmdDelete => {
                self.rec.verb("delete");
                self.removed(item);
                !filtered
            }
            _ => false,
        }
    }

    fn merge_insert(&mut self, when: &MergeWhenClause, item: &Item<'c>, scope: &Scope<'_, 'c>) {
        let targets = self.insert_targets(item, &when.target_list, scope);
        let place = Place::Moved("MERGE INSERT".into());
        let mut written = Vec::new();
        for (index, value) in when.values.iter().enumerate() {
            let val = self.eval(value, scope, &Blame::Expression);
            let target = targets.get(index).copied().unwrap_or_default();
            self.moved(&val, target, false, &place);
            let Some(id) = target.column else { continue };
            if self.is_unique(id) {
                self.given_in(id, value);
            }
            written.push(Written { column: id, val });
        }
        let given: Vec<ColumnId> = written.iter().map(|written| written.column).collect();
        self.inserted_beside(item, &given, false);
        self.filled(item, &mut written);
        self.compared(&written);
    }

    /// RETURNING sees the changed relation, before and after, and what stood beside it.
    fn returning(
        &mut self,
        clause: Option<&ReturningClause>,
        mut source: Source<'c>,
        columns: Columns<'c>,
        parent: Option<&Scope<'_, 'c>>,
        ctes: &Ctes,
    ) -> Table {
        let Some(clause) = clause else { return Table::default() };
        let mut names: [Arc<str>; 2] = ["old".into(), "new".into()];
        for node in &clause.options {
            if let Some(N::ReturningOption(option)) = inner(node) {
                let old = ReturningOptionKind::ReturningOptionOld as i32 == option.option;
                let [before, after] = &mut names;
                *(if old { before } else { after }) = option.value.as_str().into();
            }
        }
        for name in names {
            if source.items.iter().any(|item| item.name.as_ref() == Some(&name)) {
                continue;
            }
            let mut item = self.item(Some(name), columns.clone());
            item.qualified_only = true;
            source.push(item);
        }
        let scope = Scope { source: &source, parent, ctes };
        self.targets(&clause.exprs, &scope)
    }

    /// Every column of a relation is touched by a change of its definition.
    pub(crate) fn redefined(&mut self, relation: &'c Relation, command: &str) {
        let place = Place::Redefined(command.into());
        for column in crate::scope::live(relation) {
            let id = column_id(relation, column);
            self.blame_place(&Deps::one(id), &place);
        }
    }
}

/// `ON CONFLICT DO UPDATE`, in which `excluded` is the row that would have been inserted.
const CONFLICT: &str = "ON CONFLICT DO UPDATE";

/// Where an INSERT puts a value.
#[derive(Clone, Copy, Debug, Default)]
struct Target {
    /// `None` for one that cannot be told.
    column: Option<ColumnId>,
    /// Only a part of the column.
    is_part: bool,
}

/// A column that is written, and what with.
#[derive(Debug)]
pub(crate) struct Written {
    pub column: ColumnId,
    pub val: Val,
}

/// The value that `(a, b) = (x, y)` gives one column, where that can be told; any other as it is.
fn assigned_value(value: &Node) -> &Node {
    let Some(N::MultiAssignRef(assign)) = inner(value) else { return value };
    let Some(N::RowExpr(row)) = boxed(&assign.source).and_then(inner) else { return value };
    if row.args.iter().any(is_expansion) {
        return value;
    }
    let place = usize::try_from(assign.colno).unwrap_or(0).checked_sub(1);
    place.and_then(|place| row.args.get(place)).unwrap_or(value)
}

/// Whether a bare column is one of the row that is changed, not of what stands beside it.
fn is_of_same_row(value: &Node, item: &Item<'_>, scope: &Scope<'_, '_>) -> bool {
    let Some(N::ColumnRef(column)) = inner(value) else { return false };
    let items = &scope.source.items;
    match tree::strings(&column.fields).as_slice() {
        [_] => items.iter().filter(|other| !other.qualified_only).count() == 1,
        [table, _] => {
            let mut named = items.iter().filter(|other| other.name.as_deref() == Some(table));
            named.next().is_some_and(|found| found.id == item.id) && named.next().is_none()
        }
        _ => false,
    }
}

/// `excluded.NAME`: what the same statement would have inserted there, which was counted.
fn is_excluded(value: &Node, name: &str) -> bool {
    let Some(N::ColumnRef(column)) = inner(value) else { return false };
    matches!(column.fields.as_slice(), [table, field]
        if tree::string(table) == Some("excluded") && tree::string(field) == Some(name))
}

fn is_settings(name: &str) -> bool {
    name.rsplit('.').next() == Some("pg_settings")
}
