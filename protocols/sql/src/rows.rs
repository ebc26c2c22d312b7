//! How many rows a statement can return at most.

use pg_query::protobuf::{LimitOption, Node, SelectStmt, SetOperation};

use crate::known;
use crate::tree::{self, N, boxed, inner};

/// A bound for a query or a statement that changes rows; `None` when there is none. Sets `looked`
/// when it may depend on the value of a literal.
pub(crate) fn bound(node: &Node, looked: &mut bool) -> Option<u64> {
    match inner(node)? {
        N::SelectStmt(select) => of_select(select, 0, looked),
        N::InsertStmt(insert) => match (&insert.returning_clause, boxed(&insert.select_stmt)) {
            (None, _) => Some(0),
            (Some(_), None) => Some(1),
            (Some(_), Some(query)) => match inner(query)? {
                N::SelectStmt(select) => of_select(select, 0, looked),
                _ => None,
            },
        },
        N::UpdateStmt(update) => update.returning_clause.is_none().then_some(0),
        N::DeleteStmt(delete) => delete.returning_clause.is_none().then_some(0),
        N::MergeStmt(merge) => merge.returning_clause.is_none().then_some(0),
        _ => None,
    }
}

fn of_select(select: &SelectStmt, depth: u32, looked: &mut bool) -> Option<u64> {
    let with_ties = select.limit_option == LimitOption::WithTies as i32;
    let limit = boxed(&select.limit_count)
        .filter(|_| !with_ties)
        .and_then(|node| tree::whole_number(node, looked));
    let natural = match SetOperation::try_from(select.op).unwrap_or_default() {
        // Deeper chains are rare; no bound is always true.
        _ if depth > 64 => None,
        SetOperation::SetopUnion => {
            let left = of_select(select.larg.as_deref()?, depth + 1, looked);
            let right = of_select(select.rarg.as_deref()?, depth + 1, looked);
            left.zip(right).map(|(a, b)| a.saturating_add(b))
        }
        SetOperation::SetopIntersect | SetOperation::SetopExcept => {
            of_select(select.larg.as_deref()?, depth + 1, looked)
        }
        _ if !select.values_lists.is_empty() => of_values(select),
        _ => of_plain(select),
    };
    match (limit, natural) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

/// As many rows as are written out. A cell that returns a set makes more: PostgreSQL takes a single
/// row of VALUES in an INSERT for a SELECT.
fn of_values(select: &SelectStmt) -> Option<u64> {
    let single = |node: &Node| matches!(kind(node), Kind::Single);
    let cells_are_single = match select.values_lists.as_slice() {
        [row] => match inner(row)? {
            N::List(cells) => cells.items.iter().all(single),
            _ => false,
        },
        _ => true,
    };
    cells_are_single.then(|| u64::try_from(select.values_lists.len()).ok()).flatten()
}

/// One row comes from no FROM, or from aggregates without GROUP BY, unless a target returns a set.
fn of_plain(select: &SelectStmt) -> Option<u64> {
    let kinds: Vec<Kind> = select
        .target_list
        .iter()
        .map(|node| match inner(node) {
            Some(N::ResTarget(target)) => boxed(&target.val).map_or(Kind::Other, kind),
            _ => Kind::Other,
        })
        .collect();
    let grouped = !select.group_clause.is_empty();
    let single = kinds.iter().all(|kind| matches!(kind, Kind::Single | Kind::Aggregate));
    let aggregated = kinds.iter().any(|kind| matches!(kind, Kind::Aggregate));
    let one = single && !grouped && (select.from_clause.is_empty() || aggregated);
    one.then_some(1)
}

enum Kind {
    Aggregate,
    Single,
    Other,
}

fn kind(node: &Node) -> Kind {
    let mut node = node;
    for _ in 0..16 {
        match inner(node) {
            Some(N::AConst(_) | N::ParamRef(_) | N::SqlvalueFunction(_) | N::SetToDefault(_)) => {
                return Kind::Single;
            }
            Some(N::TypeCast(cast)) => match boxed(&cast.arg) {
                Some(arg) => node = arg,
                None => return Kind::Other,
            },
            // No operator returns a set; one of its operands may.
            Some(N::AExpr(expr)) => {
                let single = |operand: Option<&Node>| {
                    operand.is_none_or(|node| matches!(kind(node), Kind::Single))
                };
                let both = single(boxed(&expr.lexpr)) && single(boxed(&expr.rexpr));
                return if both { Kind::Single } else { Kind::Other };
            }
            Some(N::CoalesceExpr(expr)) => match expr.args.first() {
                Some(arg) => node = arg,
                None => return Kind::Other,
            },
            Some(N::FuncCall(call)) if call.over.is_none() => {
                let parts = tree::strings(&call.funcname);
                // A set anywhere in the arguments makes as many rows.
                let single = |node: &Node| matches!(kind(node), Kind::Single | Kind::Aggregate);
                let plain = |node: &Node| matches!(inner(node), Some(N::ColumnRef(_)));
                let arguments_are_single = || call.args.iter().all(|n| single(n) || plain(n));
                return match tree::qualified(&parts) {
                    // PostgreSQL allows no set inside an aggregate.
                    (None | Some("pg_catalog"), name) if known::aggregate(name) => Kind::Aggregate,
                    (None | Some("pg_catalog"), name)
                        if known::one_row(name) && arguments_are_single() =>
                    {
                        Kind::Single
                    }
                    _ => Kind::Other,
                };
            }
            _ => return Kind::Other,
        }
    }
    Kind::Other
}
