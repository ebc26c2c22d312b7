//! Conditions: what they tell of the values that they compare (R5).

use pg_query::protobuf::{AExpr, AExprKind, Node, SubLink, SubLinkType};

use crate::catalog::{ColumnId, Fill, TieKind};
use crate::expression::tested_for_null;
use crate::operand;
use crate::query::is_expansion;
use crate::scope::Scope;
use crate::statement::{Operand, Place};
use crate::tree::{self, N, boxed, inner};
use crate::value::{Table, Val};
use crate::walk::{Blame, Walk};

impl<'c> Walk<'c> {
    /// A condition that decides which rows there are.
    pub(crate) fn predicate(&mut self, node: &Node, scope: &Scope<'_, 'c>, clause: &'static str) {
        if !self.spend(0) {
            return;
        }
        match inner(node) {
            Some(N::BoolExpr(expr)) => {
                for arg in &expr.args {
                    self.predicate(arg, scope, clause);
                }
            }
            Some(N::AExpr(expr)) if self.comparison(expr, scope, clause) => self.pass(node),
            Some(N::SubLink(link)) if self.membership(link, scope, clause) => self.pass(node),
            _ => {
                self.decides(node, scope, clause);
            }
        }
    }

    /// `=`, IN and IS NOT DISTINCT FROM; false for any other operator.
    fn comparison(&mut self, expr: &AExpr, scope: &Scope<'_, 'c>, clause: &'static str) -> bool {
        let kind = AExprKind::try_from(expr.kind).unwrap_or_default();
        let parts = tree::strings(&expr.name);
        let comparable = matches!(
            kind,
            AExprKind::AexprOp
                | AExprKind::AexprIn
                | AExprKind::AexprOpAny
                | AExprKind::AexprNotDistinct
        );
        if !comparable || parts.as_slice() != ["="] || tested_for_null(expr).is_some() {
            return false;
        }
        let (Some(left), Some(right)) = (boxed(&expr.lexpr), boxed(&expr.rexpr)) else {
            return false;
        };
        let mut made = Val::none();
        self.custom_operator("=", &mut made);
        self.blame_place(&made.deps, &Place::Predicate(clause));
        match (inner(left), inner(right)) {
            (Some(N::RowExpr(row)), Some(N::RowExpr(right))) if kind != AExprKind::AexprOpAny => {
                let left = self.fields(&row.args, scope, clause);
                self.rows_equal(&left, &right.args, scope, clause);
            }
            (Some(N::RowExpr(row)), Some(N::List(list))) => {
                let left = self.fields(&row.args, scope, clause);
                for other in &list.items {
                    if !self.spend(left.len() as u64) {
                        break;
                    }
                    match inner(other) {
                        Some(N::RowExpr(other)) => {
                            self.rows_equal(&left, &other.args, scope, clause);
                        }
                        _ => {
                            for (_, val) in &left {
                                self.blame_place(&val.deps, &Place::Predicate(clause));
                            }
                            self.decides(other, scope, clause);
                        }
                    }
                }
            }
            (_, Some(N::List(list))) => {
                let blame = Blame::Predicate(clause);
                let val = self.eval(left, scope, &blame);
                for other in &list.items {
                    let with = self.eval(other, scope, &blame);
                    self.equal(&val, &with, Some((left, other)), clause);
                }
            }
            (_, Some(made)) if kind == AExprKind::AexprOpAny && !written_out(made) => {
                // An array that is computed may hold any number of guesses.
                self.decides(left, scope, clause);
                self.decides(right, scope, clause);
            }
            _ => self.pair_equal(left, right, scope, clause),
        }
        true
    }

    /// The values of a row, each beside what it is written as.
    fn fields<'n>(
        &mut self,
        row: &'n [Node],
        scope: &Scope<'_, 'c>,
        clause: &'static str,
    ) -> Vec<(&'n Node, Val)> {
        let blame = Blame::Predicate(clause);
        row.iter().map(|node| (node, self.eval(node, scope, &blame))).collect()
    }

    fn rows_equal(
        &mut self,
        left: &[(&Node, Val)],
        right: &[Node],
        scope: &Scope<'_, 'c>,
        clause: &'static str,
    ) {
        let right = self.fields(right, scope, clause);
        for ((left, a), (right, b)) in left.iter().zip(&right) {
            self.equal(a, b, Some((left, right)), clause);
        }
        let common = left.len().min(right.len());
        let rest = [left, right.as_slice()].into_iter().filter_map(|side| side.get(common..));
        for (_, val) in rest.flatten() {
            self.blame_place(&val.deps, &Place::Predicate(clause));
        }
    }

    fn pair_equal(
        &mut self,
        left: &Node,
        right: &Node,
        scope: &Scope<'_, 'c>,
        clause: &'static str,
    ) {
        let blame = Blame::Predicate(clause);
        let a = self.eval(left, scope, &blame);
        let b = self.eval(right, scope, &blame);
        self.equal(&a, &b, Some((left, right)), clause);
    }

    /// Two values are compared by `=`.
    pub(crate) fn equal(
        &mut self,
        left: &Val,
        right: &Val,
        nodes: Option<(&Node, &Node)>,
        clause: &'static str,
    ) {
        match (left.direct.filter(|_| left.pure), right.direct.filter(|_| right.pure)) {
            (Some(a), Some(b)) if let Some(keys) = self.joined_by_key(left, right) => {
                self.blame_place(&left.deps, &Place::EquiJoin(b));
                self.blame_place(&right.deps, &Place::EquiJoin(a));
                for key in keys {
                    self.blame_place(&left.deps, &Place::EquiJoin(key));
                }
            }
            (Some(_), None) if right.client => self.guessed(left, nodes.map(|pair| pair.1)),
            (None, Some(_)) if left.client => self.guessed(right, nodes.map(|pair| pair.0)),
            _ => {
                self.blame_place(&left.deps, &Place::Predicate(clause));
                self.blame_place(&right.deps, &Place::Predicate(clause));
            }
        }
    }

    /// Two columns of which one references the other, or both the same third, or that are one. A
    /// table of somebody's own may have any values in a column of the right name, and joining it
    /// would say which of them are there; what is written to these is compared with what is there,
    /// and so was counted. Gives the third columns.
    fn joined_by_key(&mut self, left: &Val, right: &Val) -> Option<Vec<ColumnId>> {
        if !self.is_key_everywhere(left) || !self.is_key_everywhere(right) {
            return None;
        }
        let catalog = self.context.catalog;
        let mut keys = Vec::new();
        let referenced = |id: ColumnId| {
            let ties = catalog.ties(id).iter().filter(|(_, by)| *by == TieKind::Reference);
            ties.map(|(to, _)| *to)
        };
        let plain = |val: &Val| -> Vec<ColumnId> {
            let is_of_view = |id: &ColumnId| {
                catalog.column(*id).is_some_and(|(relation, _)| relation.definition.is_some())
            };
            val.deps.iter().filter(|id| !is_of_view(id)).collect()
        };
        let (left, right) = (plain(left), plain(right));
        for a in &left {
            for b in &right {
                // What a sequence fills was never given, and so not counted.
                let is_filled = catalog
                    .column(*a)
                    .is_some_and(|(_, column)| matches!(column.fill, Some(Fill::Sequence(_))));
                let is_direct = a == b && !is_filled
                    || referenced(*a).any(|to| to == *b)
                    || referenced(*b).any(|to| to == *a);
                let third = referenced(*a).find(|to| referenced(*b).any(|other| other == *to));
                match third.filter(|_| !is_direct) {
                    Some(third) => keys.push(third),
                    None if is_direct => {}
                    None => return None,
                }
            }
        }
        (!left.is_empty() && !right.is_empty()).then_some(keys)
    }

    /// Whether values written to the column, in tables that inherit it too, are compared with what
    /// is there.
    fn is_key_everywhere(&mut self, val: &Val) -> bool {
        let catalog = self.context.catalog;
        let is_key = |id: &ColumnId| {
            catalog
                .column(*id)
                .is_some_and(|(relation, column)| column.unique || relation.definition.is_some())
        };
        if val.deps.is_empty() || !val.deps.iter().all(|id| is_key(&id)) {
            return false;
        }
        let has_children = |id: &ColumnId| !catalog.children(id.relation).is_empty();
        let parents: Vec<ColumnId> = val.deps.iter().filter(has_children).collect();
        self.inherited(parents).iter().all(is_key)
    }

    /// A stored column is compared with what the client sent.
    pub(crate) fn guessed(&mut self, column: &Val, with: Option<&Node>) {
        self.guessed_by(column, with, false);
    }

    /// The same, or what the client sent is written there.
    pub(crate) fn guessed_by(&mut self, column: &Val, with: Option<&Node>, is_written: bool) {
        self.blame_place(&column.deps, &Place::Equality);
        if self.rec.quiet > 0 {
            return;
        }
        let operands = match with {
            // `$1` in the body of a function is not the client's own.
            Some(node) if self.params.is_none() => {
                let (operands, parameters) =
                    operand::of(self.context.catalog, column, node, is_written);
                self.rec.counted.extend(parameters);
                operands
            }
            _ => vec![Operand::Unbounded],
        };
        for id in column.deps.iter() {
            for operand in &operands {
                if !self.spend(0) {
                    return;
                }
                self.rec.guess(id, operand.clone());
            }
        }
    }

    /// `x IN (SELECT …)` and `x = ANY (SELECT …)`; false for other kinds of subquery.
    pub(crate) fn membership(
        &mut self,
        link: &SubLink,
        scope: &Scope<'_, 'c>,
        clause: &'static str,
    ) -> bool {
        let is_any = tree::sublink_type(link) == SubLinkType::AnySublink;
        let operator = tree::strings(&link.oper_name);
        if !is_any || !(operator.is_empty() || operator.as_slice() == ["="]) {
            return false;
        }
        let (Some(test), Some(query)) = (boxed(&link.testexpr), boxed(&link.subselect)) else {
            return false;
        };
        let mut made = Val::none();
        self.custom_operator("=", &mut made);
        self.blame_place(&made.deps, &Place::Predicate(clause));
        let blame = Blame::Predicate(clause);
        let mut is_counted = true;
        let tests: Vec<Val> = match inner(test) {
            Some(N::RowExpr(row)) if row.args.iter().any(is_expansion) => {
                is_counted = false;
                self.expanded(&row.args, scope).cols.into_iter().map(|col| col.val).collect()
            }
            Some(N::RowExpr(row)) => {
                row.args.iter().map(|arg| self.eval(arg, scope, &blame)).collect()
            }
            _ => vec![self.eval(test, scope, &blame)],
        };
        let mut table: Table = self.query(query, Some(scope), scope.ctes);
        let listed = matches!(inner(query), Some(N::SelectStmt(s)) if !s.values_lists.is_empty());
        if !listed {
            // A query can make any number of guesses.
            crate::query::forget_client(&mut table);
        }
        // What has no counterpart is compared with something that nobody can tell.
        if !is_counted || table.rest.is_some() || table.cols.len() != tests.len() {
            self.blame_place(&table.whole().deps, &Place::Predicate(clause));
            for val in &tests {
                self.blame_place(&val.deps, &Place::Predicate(clause));
            }
            return true;
        }
        for (place, val) in tests.iter().enumerate() {
            match table.at(place) {
                Some(with) => self.equal(val, &with, None, clause),
                None => self.blame_place(&val.deps, &Place::Predicate(clause)),
            }
        }
        true
    }
}

/// The right side of ANY holds no more values than the client sent.
fn written_out(made: &N) -> bool {
    match made {
        N::ParamRef(_) | N::AConst(_) | N::AArrayExpr(_) => true,
        N::TypeCast(cast) => boxed(&cast.arg).and_then(inner).is_some_and(written_out),
        _ => false,
    }
}
