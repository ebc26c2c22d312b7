//! Whether a value can be a row.
//!
//! In FROM, a row is as many columns as it has fields. Names given by position and `*` would then
//! mean other columns than counted, so one column is counted only where it is certain.

use pg_query::protobuf::{AExpr, AExprKind, FuncCall, Node, SubLinkType, TypeName, a_const};

use crate::cast::{RECORDS, is_array};
use crate::catalog::is_scalar;
use crate::scope::Scope;
use crate::tree::{self, N, boxed, inner};
use crate::value::Typed;
use crate::walk::{Blame, Walk};

/// Types that ship with PostgreSQL and have no columns, as casts name them.
const SCALARS: &[&str] = &[
    "bit",
    "bool",
    "bpchar",
    "bytea",
    "char",
    "cidr",
    "date",
    "float4",
    "float8",
    "inet",
    "int2",
    "int4",
    "int8",
    "interval",
    "json",
    "jsonb",
    "jsonpath",
    "macaddr",
    "money",
    "name",
    "numeric",
    "oid",
    "regclass",
    "regproc",
    "regtype",
    "text",
    "time",
    "timestamp",
    "timestamptz",
    "timetz",
    "uuid",
    "varbit",
    "varchar",
    "xml",
];

/// Shipped functions that return an array of such values, whatever their arguments.
const ARRAYS: &[&str] = &[
    "array_positions",
    "current_schemas",
    "enum_range",
    "parse_ident",
    "regexp_match",
    "regexp_matches",
    "regexp_split_to_array",
    "string_to_array",
];

/// Shipped functions that return an array of what is in their arguments.
const OF_ARGUMENTS: &[&str] =
    &["array_append", "array_cat", "array_prepend", "array_remove", "array_replace", "trim_array"];

/// Levels of an expression that are looked at.
const LEVELS: u32 = 16;

/// What a value certainly is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Form {
    /// An array of values that have no columns.
    Array,
    /// A value that has no columns, and no array.
    Scalar,
    /// A literal without a type, or NULL.
    Untyped,
    /// Anything.
    Unsure,
}

impl<'c> Walk<'c> {
    /// Whether a value has certainly no columns.
    pub(crate) fn is_scalar(&mut self, node: &Node, scope: &Scope<'_, 'c>) -> bool {
        matches!(self.form(node, scope, LEVELS), Form::Array | Form::Scalar)
    }

    /// How many columns `unnest` has in FROM, where that is certain: several arrays are one each.
    pub(crate) fn unnested(&mut self, call: &FuncCall, scope: &Scope<'_, 'c>) -> Option<usize> {
        if self.shipped(call) != Some("unnest") || call.func_variadic {
            return None;
        }
        let mut arrays = call.args.iter();
        let certain = arrays.all(|arg| self.form(arg, scope, LEVELS) == Form::Array);
        (certain && !call.args.is_empty()).then_some(call.args.len())
    }

    /// The name of a function, if nobody made another one of this name.
    fn shipped<'n>(&self, call: &'n FuncCall) -> Option<&'n str> {
        let parts = tree::strings(&call.funcname);
        let (schema, name) = tree::qualified(&parts);
        let catalog = self.context.catalog;
        let only = catalog.functions(name).all(|function| function.builtin);
        let ours = matches!(schema, None | Some("pg_catalog"));
        (ours && only && catalog.ships_function(name)).then_some(name)
    }

    fn form(&mut self, node: &Node, scope: &Scope<'_, 'c>, levels: u32) -> Form {
        let Some(levels) = levels.checked_sub(1).filter(|_| self.spend(0)) else {
            return Form::Unsure;
        };
        match inner(node) {
            Some(N::AConst(constant)) => match &constant.val {
                None | Some(a_const::Val::Sval(_)) => Form::Untyped,
                Some(_) => Form::Scalar,
            },
            Some(N::AArrayExpr(array)) => self.array(&array.elements, scope, levels),
            Some(N::TypeCast(cast)) => {
                cast.type_name.as_ref().map_or(Form::Unsure, |name| self.form_of_type(name))
            }
            Some(N::ColumnRef(_)) => {
                let blame = Blame::Expression;
                match self.unread(|walk| walk.eval(node, scope, &blame)).typed {
                    Typed::Stored(oid) if is_array(oid) => Form::Array,
                    Typed::Stored(oid) if is_scalar(oid) && oid != RECORDS => Form::Scalar,
                    _ => Form::Unsure,
                }
            }
            Some(N::FuncCall(call)) => self.form_of_call(call, scope, levels),
            Some(N::AExpr(expr)) => self.form_of_operation(expr, scope, levels),
            Some(N::CoalesceExpr(coalesce)) => self.any_of_these(&coalesce.args, scope, levels),
            Some(N::MinMaxExpr(most)) => self.any_of_these(&most.args, scope, levels),
            Some(N::SubLink(link)) if tree::sublink_type(link) == SubLinkType::ArraySublink => {
                // It was walked before, as an argument.
                match self.arrays.get(&std::ptr::from_ref(&**link).addr()).copied() {
                    Some(Typed::Stored(oid)) if is_scalar(oid) && oid != RECORDS => Form::Array,
                    _ => Form::Unsure,
                }
            }
            Some(
                N::SqlvalueFunction(_)
                | N::XmlExpr(_)
                | N::XmlSerialize(_)
                | N::BooleanTest(_)
                | N::NullTest(_)
                | N::BoolExpr(_),
            ) => Form::Scalar,
            _ => Form::Unsure,
        }
    }

    /// Elements have one type: what one of them certainly is, all are.
    fn array(&mut self, elements: &[Node], scope: &Scope<'_, 'c>, levels: u32) -> Form {
        let forms: Vec<Form> =
            elements.iter().map(|element| self.form(element, scope, levels)).collect();
        let certain = forms.iter().any(|form| matches!(form, Form::Array | Form::Scalar));
        let literals = !forms.is_empty() && forms.iter().all(|form| *form == Form::Untyped);
        if certain || literals { Form::Array } else { Form::Unsure }
    }

    /// They have one type, likewise.
    fn any_of_these<'n>(
        &mut self,
        nodes: impl IntoIterator<Item = &'n Node>,
        scope: &Scope<'_, 'c>,
        levels: u32,
    ) -> Form {
        let mut forms = nodes.into_iter().map(|node| self.form(node, scope, levels));
        forms.find(|form| matches!(form, Form::Array | Form::Scalar)).unwrap_or(Form::Unsure)
    }

    fn form_of_type(&self, name: &TypeName) -> Form {
        if name.setof || name.pct_type {
            return Form::Unsure;
        }
        let known = match tree::strings(&name.names).as_slice() {
            ["pg_catalog", only] => SCALARS.contains(only),
            [only] => SCALARS.contains(only) && !self.context.catalog.has_type_named(only),
            _ => false,
        };
        match (known, name.array_bounds.is_empty()) {
            (true, true) => Form::Scalar,
            (true, false) => Form::Array,
            _ => Form::Unsure,
        }
    }

    fn form_of_call(&mut self, call: &FuncCall, scope: &Scope<'_, 'c>, levels: u32) -> Form {
        match self.shipped(call) {
            Some(name) if ARRAYS.contains(&name) => Form::Array,
            Some(name) if OF_ARGUMENTS.contains(&name) => {
                let form = self.any_of_these(&call.args, scope, levels);
                if form == Form::Unsure { form } else { Form::Array }
            }
            _ => Form::Unsure,
        }
    }

    fn form_of_operation(&mut self, expr: &AExpr, scope: &Scope<'_, 'c>, levels: u32) -> Form {
        let kind = AExprKind::try_from(expr.kind).unwrap_or_default();
        let parts = tree::strings(&expr.name);
        let own = |name: &str| !self.context.catalog.operators(name).is_empty();
        let joins = parts.as_slice() == ["||"] && kind == AExprKind::AexprOp && !own("||");
        if !joins && kind != AExprKind::AexprNullif {
            return Form::Unsure;
        }
        let sides = [&expr.lexpr, &expr.rexpr].into_iter().filter_map(boxed);
        match self.any_of_these(sides, scope, levels) {
            Form::Array => Form::Array,
            Form::Scalar if !joins => Form::Scalar,
            _ => Form::Unsure,
        }
    }
}
