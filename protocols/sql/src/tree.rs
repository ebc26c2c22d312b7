//! Small readings of PostgreSQL's parse tree.

use std::sync::Arc;

use pg_query::protobuf::{
    self, AConst, Alias, CoercionForm, FuncCall, Node, RangeVar, TypeName, a_const,
};

pub(crate) use pg_query::NodeEnum as N;

/// What a node holds.
pub(crate) fn inner(node: &Node) -> Option<&N> {
    node.node.as_ref()
}

/// What an optional, boxed node holds.
pub(crate) fn boxed(node: &Option<Box<Node>>) -> Option<&Node> {
    node.as_deref()
}

/// A name without qualification, as ORDER BY and GROUP BY may have it.
pub(crate) fn bare_name(node: &Node) -> Option<&str> {
    match inner(node)? {
        N::ColumnRef(column) => match column.fields.as_slice() {
            [only] => string(only),
            _ => None,
        },
        N::FuncCall(call) => late_keyword(call),
        _ => None,
    }
}

/// SYSTEM_USER, which is a name like any other before version 16.
pub(crate) fn late_keyword(call: &FuncCall) -> Option<&'static str> {
    let by_syntax = call.funcformat == CoercionForm::CoerceSqlSyntax as i32;
    let name = strings(&call.funcname);
    (by_syntax && name.as_slice() == ["pg_catalog", "system_user"]).then_some("system_user")
}

/// The text of a String node.
pub(crate) fn string(node: &Node) -> Option<&str> {
    match inner(node)? {
        N::String(text) => Some(&text.sval),
        _ => None,
    }
}

/// The texts of a list of String nodes.
pub(crate) fn strings(nodes: &[Node]) -> Vec<&str> {
    nodes.iter().filter_map(string).collect()
}

/// The same, to keep.
pub(crate) fn names(nodes: &[Node]) -> Vec<Arc<str>> {
    nodes.iter().filter_map(string).map(Arc::from).collect()
}

/// The column alias list of an alias.
pub(crate) fn alias_columns(alias: Option<&Alias>) -> Vec<Arc<str>> {
    alias.map(|alias| names(&alias.colnames)).unwrap_or_default()
}

/// A name with the schema it is written with.
pub(crate) fn range_name(var: &RangeVar) -> (Option<&str>, &str) {
    ((!var.schemaname.is_empty()).then_some(var.schemaname.as_str()), &var.relname)
}

/// The last two parts of a possibly qualified name.
pub(crate) fn qualified<'a>(parts: &[&'a str]) -> (Option<&'a str>, &'a str) {
    match parts {
        [] => (None, ""),
        [name] => (None, name),
        [.., schema, name] => (Some(schema), name),
    }
}

/// A constant as text, for the list of values that the client compares with. Nothing else may be
/// made of it: texts that differ in literals share what is found out (see [`mod@crate::shape`]).
pub(crate) fn guessed(value: &AConst) -> Option<Arc<str>> {
    constant(value)
}

/// A constant as text: the client's own value.
fn constant(value: &AConst) -> Option<Arc<str>> {
    Some(match value.val.as_ref()? {
        a_const::Val::Ival(number) => number.ival.to_string().into(),
        a_const::Val::Fval(number) => number.fval.as_str().into(),
        a_const::Val::Boolval(truth) => if truth.boolval { "true" } else { "false" }.into(),
        a_const::Val::Sval(text) => text.sval.as_str().into(),
        a_const::Val::Bsval(bits) => bits.bsval.as_str().into(),
    })
}

/// A constant, possibly cast. `looked` is set, because what follows holds for its value only.
pub(crate) fn constant_node(node: &Node, looked: &mut bool) -> Option<Arc<str>> {
    *looked = true;
    let mut node = node;
    for _ in 0..8 {
        match inner(node)? {
            N::AConst(value) => return constant(value),
            N::TypeCast(cast) => node = boxed(&cast.arg)?,
            _ => return None,
        }
    }
    None
}

/// A whole number, possibly cast; `looked` as above.
pub(crate) fn whole_number(node: &Node, looked: &mut bool) -> Option<u64> {
    constant_node(node, looked)?.parse().ok()
}

/// The name of a type without `pg_catalog`, when it has neither array bounds nor modifiers.
pub(crate) fn plain_type(name: &TypeName) -> Option<&str> {
    if !name.array_bounds.is_empty() || !name.typmods.is_empty() || name.setof || name.pct_type {
        return None;
    }
    match strings(&name.names).as_slice() {
        [only] | ["pg_catalog", only] => Some(only),
        _ => None,
    }
}

/// Options of a statement by name, lower case, with their values as text.
pub(crate) fn def_elems(nodes: &[Node]) -> Vec<(Arc<str>, Arc<str>)> {
    nodes
        .iter()
        .filter_map(|node| match inner(node)? {
            N::DefElem(elem) => {
                let value = boxed(&elem.arg).map_or_else(|| Arc::from("true"), def_value);
                Some((Arc::from(elem.defname.to_lowercase()), value))
            }
            _ => None,
        })
        .collect()
}

fn def_value(node: &Node) -> Arc<str> {
    match inner(node) {
        Some(N::String(text)) => text.sval.as_str().into(),
        Some(N::Integer(number)) => number.ival.to_string().into(),
        Some(N::Float(number)) => number.fval.as_str().into(),
        Some(N::Boolean(truth)) => if truth.boolval { "true" } else { "false" }.into(),
        Some(N::AConst(value)) => constant(value).unwrap_or_default(),
        Some(N::List(list)) => {
            let parts: Vec<Arc<str>> = list.items.iter().map(def_value).collect();
            parts.join(",").into()
        }
        Some(N::TypeName(name)) => strings(&name.names).last().copied().unwrap_or("").into(),
        Some(N::AStar(_)) => "*".into(),
        _ => Arc::default(),
    }
}

/// Whether a boolean option of EXPLAIN and its kin is on.
pub(crate) fn option_on(options: &[(Arc<str>, Arc<str>)], name: &str) -> bool {
    let last = options.iter().rev().find(|(option, _)| &**option == name);
    last.is_some_and(|(_, value)| {
        !matches!(value.to_lowercase().as_str(), "false" | "off" | "no" | "0")
    })
}

/// Whether such an option is given, and off.
pub(crate) fn option_off(options: &[(Arc<str>, Arc<str>)], name: &str) -> bool {
    options.iter().any(|(option, _)| &**option == name) && !option_on(options, name)
}

/// `boolop` of a BoolExpr and other numbers, as the enum they stand for.
pub(crate) fn sublink_type(link: &protobuf::SubLink) -> protobuf::SubLinkType {
    protobuf::SubLinkType::try_from(link.sub_link_type).unwrap_or_default()
}
