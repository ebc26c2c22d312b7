//! What PostgreSQL calls a column that nobody named.

use pg_query::protobuf::{
    AExprKind, FuncCall, JsonExprOp, MinMaxOp, Node, SqlValueFunction, SqlValueFunctionOp, SubLink,
    SubLinkType, XmlExprOp,
};

use crate::tree::{self, N, boxed, inner};
use crate::value::Name;
use crate::walk::Walk;

/// Before version 14, EXTRACT was a call of another function.
const EXTRACT: Name = Name::OneOf(&["date_part", "extract"]);
/// Before version 15, a truth value was a cast.
const TRUTH: Name = Name::OneOf(&["bool", "?column?"]);

impl Walk<'_> {
    /// The label of an expression, if it has one (`FigureColname`). The expression was walked
    /// already, so that what its subqueries are called is known.
    pub(crate) fn label(&self, node: &Node) -> Option<Name> {
        let mut node = node;
        // Casts and CASE give way to the label of what is in them, if that is a name and no other
        // cast or CASE; of several, the outermost counts.
        let mut weak: Option<Name> = None;
        loop {
            let within = match inner(node) {
                Some(N::TypeCast(cast)) => {
                    let last = cast.type_name.as_ref().and_then(|name| name.names.last());
                    weak = weak.or_else(|| last.and_then(tree::string).map(Name::from));
                    &cast.arg
                }
                Some(N::CaseExpr(case)) => {
                    weak.get_or_insert_with(|| "case".into());
                    &case.defresult
                }
                Some(N::CollateClause(collate)) => &collate.arg,
                Some(N::AIndirection(indirection)) => match last_name(&indirection.indirection) {
                    Some(name) => return Some(name),
                    None => &indirection.arg,
                },
                Some(N::AConst(constant)) if weak.is_none() => {
                    let truth =
                        matches!(constant.val, Some(pg_query::protobuf::a_const::Val::Boolval(_)));
                    return truth.then_some(TRUTH);
                }
                Some(N::SubLink(link)) => return self.sublink_label(link).or(weak),
                Some(other) => return of_node(other).or(weak),
                None => return weak,
            };
            match boxed(within) {
                Some(arg) => node = arg,
                None => return weak,
            }
        }
    }

    fn sublink_label(&self, link: &SubLink) -> Option<Name> {
        match tree::sublink_type(link) {
            SubLinkType::ExistsSublink => Some("exists".into()),
            SubLinkType::ArraySublink => Some("array".into()),
            SubLinkType::ExprSublink => {
                Some(self.sublinks.get(&link.location).cloned().unwrap_or_default())
            }
            _ => None,
        }
    }
}

/// The last name in a reference; `*` and subscripts are none.
fn last_name(fields: &[Node]) -> Option<Name> {
    fields.iter().rev().find_map(tree::string).map(Name::from)
}

fn of_node(node: &N) -> Option<Name> {
    let word = match node {
        N::ColumnRef(column) => return last_name(&column.fields),
        N::FuncCall(call) => return of_call(call),
        N::AExpr(expr) if expr.kind == AExprKind::AexprNullif as i32 => "nullif",
        N::GroupingFunc(_) => "grouping",
        N::MergeSupportFunc(_) => "merge_action",
        N::AArrayExpr(_) => "array",
        N::RowExpr(_) => "row",
        N::CoalesceExpr(_) => "coalesce",
        N::MinMaxExpr(expr) if expr.op == MinMaxOp::IsGreatest as i32 => "greatest",
        N::MinMaxExpr(_) => "least",
        N::SqlvalueFunction(function) => return of_sql_value(function).map(Name::from),
        N::XmlExpr(xml) => match XmlExprOp::try_from(xml.op).ok()? {
            XmlExprOp::IsXmlconcat => "xmlconcat",
            XmlExprOp::IsXmlelement => "xmlelement",
            XmlExprOp::IsXmlforest => "xmlforest",
            XmlExprOp::IsXmlparse => "xmlparse",
            XmlExprOp::IsXmlpi => "xmlpi",
            XmlExprOp::IsXmlroot => "xmlroot",
            XmlExprOp::IsXmlserialize => "xmlserialize",
            XmlExprOp::IsDocument | XmlExprOp::Undefined => return None,
        },
        N::XmlSerialize(_) => "xmlserialize",
        N::JsonObjectConstructor(_) => "json_object",
        N::JsonArrayConstructor(_) | N::JsonArrayQueryConstructor(_) => "json_array",
        N::JsonObjectAgg(_) => "json_objectagg",
        N::JsonArrayAgg(_) => "json_arrayagg",
        N::JsonScalarExpr(_) => "json_scalar",
        N::JsonParseExpr(_) => "json",
        N::JsonSerializeExpr(_) => "json_serialize",
        N::JsonFuncExpr(json) => match JsonExprOp::try_from(json.op).ok()? {
            JsonExprOp::JsonExistsOp => "json_exists",
            JsonExprOp::JsonQueryOp => "json_query",
            JsonExprOp::JsonValueOp => "json_value",
            _ => return Some(Name::Any),
        },
        _ => return None,
    };
    Some(word.into())
}

fn of_call(call: &FuncCall) -> Option<Name> {
    match tree::strings(&call.funcname).as_slice() {
        ["pg_catalog", "extract"] => Some(EXTRACT),
        [.., name] => Some(Name::from(*name)),
        [] => None,
    }
}

/// The label of `CURRENT_DATE` and its kin.
fn of_sql_value(function: &SqlValueFunction) -> Option<&'static str> {
    use SqlValueFunctionOp as Op;
    Some(match Op::try_from(function.op).ok()? {
        Op::SvfopCurrentDate => "current_date",
        Op::SvfopCurrentTime | Op::SvfopCurrentTimeN => "current_time",
        Op::SvfopCurrentTimestamp | Op::SvfopCurrentTimestampN => "current_timestamp",
        Op::SvfopLocaltime | Op::SvfopLocaltimeN => "localtime",
        Op::SvfopLocaltimestamp | Op::SvfopLocaltimestampN => "localtimestamp",
        Op::SvfopCurrentRole => "current_role",
        Op::SvfopCurrentUser => "current_user",
        Op::SvfopUser => "user",
        Op::SvfopSessionUser => "session_user",
        Op::SvfopCurrentCatalog => "current_catalog",
        Op::SvfopCurrentSchema => "current_schema",
        Op::SqlvalueFunctionOpUndefined => return None,
    })
}
