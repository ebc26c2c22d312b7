//! Conditions: what they tell of the values that they compare (R5).

use pg_query::protobuf::{AExpr, AExprKind, Node, SubLink, SubLinkType};

use crate::expression::tested_for_null;
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
            // What is written to a key counts as a guess; what is written elsewhere does not, and a
            // join would say where else it is.
            (Some(a), Some(b)) if self.is_key(left) && self.is_key(right) => {
                self.blame_place(&left.deps, &Place::EquiJoin(b));
                self.blame_place(&right.deps, &Place::EquiJoin(a));
            }
            (Some(_), None) if right.client => self.guessed(left, nodes.map(|pair| pair.1)),
            (None, Some(_)) if left.client => self.guessed(right, nodes.map(|pair| pair.0)),
            _ => {
                self.blame_place(&left.deps, &Place::Predicate(clause));
                self.blame_place(&right.deps, &Place::Predicate(clause));
            }
        }
    }

    fn is_key(&self, val: &Val) -> bool {
        let is_key = |id| self.context.catalog.column(id).is_some_and(|(_, column)| column.unique);
        val.deps.iter().any(is_key)
    }

    /// A stored column is compared with what the client sent.
    pub(crate) fn guessed(&mut self, column: &Val, with: Option<&Node>) {
        self.blame_place(&column.deps, &Place::Equality);
        if self.rec.quiet > 0 {
            return;
        }
        let mut operands = Vec::new();
        match with {
            // `$1` in the body of a function is not the client's own.
            Some(node) if self.params.is_none() => operands_of(node, &mut operands),
            _ => operands.push(Operand::Unbounded),
        }
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

/// The client's values in an expression made of nothing else.
fn operands_of(node: &Node, operands: &mut Vec<Operand>) {
    match inner(node) {
        Some(N::AArrayExpr(array)) => {
            for element in &array.elements {
                operands_of(element, operands);
            }
        }
        Some(N::ParamRef(param)) => operands.push(Operand::Parameter(param.number)),
        Some(N::TypeCast(cast)) => match boxed(&cast.arg) {
            Some(arg) => operands_of(arg, operands),
            None => operands.push(Operand::Unbounded),
        },
        Some(N::AConst(value)) => operands.push(match tree::guessed(value) {
            Some(text) => Operand::Constant(text),
            None => Operand::Constant("NULL".into()),
        }),
        _ if is_one_value(node) => operands.push(Operand::Computed),
        _ => operands.push(Operand::Unbounded),
    }
}

/// Functions of values that give the same one value wherever they stand.
const PLAIN_FUNCTIONS: &[&str] =
    &["lower", "upper", "btrim", "ltrim", "rtrim", "md5", "concat", "replace", "lpad", "rpad"];

/// The expression has one value for all rows: constants, parameters, and plain functions of them.
fn is_one_value(node: &Node) -> bool {
    match inner(node) {
        Some(N::AConst(_) | N::ParamRef(_)) => true,
        Some(N::TypeCast(cast)) => boxed(&cast.arg).is_some_and(is_one_value),
        Some(N::AExpr(expr)) => {
            let mut sides = [&expr.lexpr, &expr.rexpr].into_iter().filter_map(|side| boxed(side));
            sides.all(is_one_value)
        }
        Some(N::FuncCall(call)) => {
            let name = match call.funcname.as_slice() {
                [name] => tree::string(name),
                [schema, name] if tree::string(schema) == Some("pg_catalog") => tree::string(name),
                _ => None,
            };
            name.is_some_and(|name| PLAIN_FUNCTIONS.contains(&name))
                && call.over.is_none()
                && call.args.iter().all(is_one_value)
        }
        _ => false,
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
