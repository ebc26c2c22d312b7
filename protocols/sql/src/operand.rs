//! What a client compares with a column, so that it can be counted (R5): values that are written
//! out, and few expressions of these, which have one value whenever the text is the same.

use std::cell::RefCell;

use pg_query::protobuf::{Node, ParamRef, TypeCast, TypeName};

use crate::catalog::{Catalog, TypeKind};
use crate::statement::Operand;
use crate::tree::{self, N, boxed, inner};
use crate::value::{Typed, Val};

/// Types of values that say the same whatever the session's settings and the catalog are, so that a
/// cast of one is counted by what is written.
const STEADY: &[&str] = &[
    "bool", "bpchar", "int2", "int4", "int8", "json", "jsonb", "numeric", "text", "uuid", "varchar",
];
/// The same, but for settings, where they are what is compared in the end. Of the others, `oid` and
/// its kin and the floating-point numbers make the column be converted, which fails or rounds;
/// `regclass` and its kin are whatever has the name; a vector is many values.
const PLAIN: &[&str] = &[
    "bit",
    "bytea",
    "cidr",
    "date",
    "inet",
    "interval",
    "macaddr",
    "macaddr8",
    "name",
    "time",
    "timestamp",
    "timestamptz",
    "timetz",
    "varbit",
];
/// `float4` and `float8`, by `pg_type.oid`.
const FLOATS: [u32; 2] = [700, 701];
/// Functions of values that give the same one value wherever they stand.
const FUNCTIONS: &[&str] =
    &["lower", "upper", "btrim", "ltrim", "rtrim", "md5", "concat", "replace", "lpad", "rpad"];

/// The type that a place gives a parameter: one whose values say the same whatever the settings
/// are, or another.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Settled {
    Steady,
    /// `pg_type.oid`.
    Stored(u32),
    /// One of [`PLAIN`].
    Plain(&'static str),
    /// Another, by the place in the text where it is written, or where none can be told.
    At(i32),
}

/// Number and place of a parameter, and the type that it has by that; `None`: any.
pub(crate) type Settling = ((i32, i32), Option<Settled>);

/// The client's values in an expression that is compared with `column`, or written to it; and where
/// in the text parameters stand that are nothing else.
pub(crate) fn of(
    catalog: &Catalog,
    column: &Val,
    node: &Node,
    is_written: bool,
) -> (Vec<Operand>, Vec<Settling>) {
    let mut operands = Vec::new();
    let compared =
        Compared { catalog, column: Some(column), is_written, parameters: RefCell::default() };
    compared.of(node, false, &mut operands);
    (operands, compared.parameters.into_inner())
}

/// The same for the arguments of EXECUTE, of which nobody knows yet what they are compared with.
pub(crate) fn of_arguments(catalog: &Catalog, nodes: &[Node]) -> Vec<Operand> {
    let mut operands = Vec::new();
    let compared = Compared::any(catalog);
    for node in nodes {
        compared.of(node, true, &mut operands);
    }
    operands
}

/// The parameter that is asked whether it is NULL: number and place.
pub(crate) fn tested(catalog: &Catalog, node: &Node) -> Option<Settling> {
    match inner(node)? {
        N::ParamRef(param) => Some(((param.number, param.location), None)),
        N::TypeCast(cast) if cast.type_name.as_ref().is_some_and(|to| is_plain(catalog, to)) => {
            match inner(boxed(&cast.arg)?)? {
                N::ParamRef(param) => {
                    let settled = Compared::any(catalog).cast_to(cast);
                    Some(((param.number, param.location), Some(settled)))
                }
                _ => None,
            }
        }
        _ => None,
    }
}

/// Whether a parameter of this type is compared as what is bound to it.
pub(crate) fn is_plain(catalog: &Catalog, name: &TypeName) -> bool {
    Compared::any(catalog).is_plain(name)
}

/// Whether what is made of a parameter of this type is the same whenever it is bound.
pub(crate) fn is_steady(catalog: &Catalog, name: &TypeName) -> bool {
    STEADY.contains(&Compared::any(catalog).builtin(name))
}

struct Compared<'a> {
    catalog: &'a Catalog,
    column: Option<&'a Val>,
    /// It is converted to the column's type, not the column to its.
    is_written: bool,
    parameters: RefCell<Vec<Settling>>,
}

impl<'a> Compared<'a> {
    fn any(catalog: &'a Catalog) -> Self {
        Self { catalog, column: None, is_written: false, parameters: RefCell::default() }
    }

    /// What is computed inside an array may be an array, of any length.
    fn of(&self, node: &Node, within: bool, operands: &mut Vec<Operand>) {
        operands.push(match inner(node) {
            Some(N::AArrayExpr(array)) => {
                for element in &array.elements {
                    self.of(element, true, operands);
                }
                return;
            }
            Some(N::ParamRef(param)) => {
                self.settles(param, self.of_column(param));
                if self.is_written {
                    Operand::Given(param.number)
                } else {
                    Operand::Parameter(param.number)
                }
            }
            Some(N::TypeCast(cast)) => match boxed(&cast.arg) {
                Some(arg) if self.is_told(cast, arg) => match inner(arg) {
                    Some(N::ParamRef(param)) => {
                        self.settles(param, self.cast_to(cast));
                        match (self.is_text(cast), self.is_written) {
                            (true, _) => Operand::Cast(param.number),
                            (false, true) => Operand::Given(param.number),
                            (false, false) => Operand::Parameter(param.number),
                        }
                    }
                    _ => return self.of(arg, within, operands),
                },
                _ => Operand::Unbounded,
            },
            Some(N::AConst(value)) => match tree::guessed(value) {
                Some(text) => Operand::Constant(text),
                None => Operand::Constant("NULL".into()),
            },
            _ if !within && self.is_one_value(node) => Operand::Computed,
            _ => Operand::Unbounded,
        });
    }

    fn settles(&self, param: &ParamRef, settled: Settled) {
        self.parameters.borrow_mut().push(((param.number, param.location), Some(settled)));
    }

    /// What a parameter beside the column is.
    fn of_column(&self, param: &ParamRef) -> Settled {
        match self.column.map(|column| column.typed) {
            Some(Typed::Stored(oid)) if Catalog::is_steady(oid) => Settled::Steady,
            Some(Typed::Stored(oid)) => Settled::Stored(oid),
            _ => Settled::At(param.location),
        }
    }

    fn cast_to(&self, cast: &TypeCast) -> Settled {
        let name = cast.type_name.as_ref().map_or("", |to| self.builtin(to));
        match PLAIN.iter().find(|plain| **plain == name) {
            _ if STEADY.contains(&name) => Settled::Steady,
            Some(plain) => Settled::Plain(plain),
            None => Settled::At(cast.location),
        }
    }

    /// A cast of what is written out, or of what was cast to a type that says no more than that.
    fn is_told(&self, cast: &TypeCast, arg: &Node) -> bool {
        let to = cast.type_name.as_ref();
        to.is_some_and(|to| self.is_plain(to))
            && match inner(arg) {
                Some(N::TypeCast(within)) => self.is_steady(within),
                _ => true,
            }
    }

    fn is_text(&self, cast: &TypeCast) -> bool {
        const TEXTS: &[&str] = &["bpchar", "bytea", "json", "jsonb", "name", "text", "varchar"];
        cast.type_name.as_ref().is_some_and(|to| TEXTS.contains(&self.builtin(to)))
    }

    fn is_steady(&self, cast: &TypeCast) -> bool {
        cast.type_name.as_ref().is_some_and(|to| STEADY.contains(&self.builtin(to)))
    }

    fn is_plain(&self, to: &TypeName) -> bool {
        let name = to.names.last().and_then(tree::string).unwrap_or_default();
        let made = self.catalog.types_named(name);
        if !made.is_empty() {
            // One of these under another name, or the column's own: what prints names of relations
            // can be put into a type, too.
            let own = self.column.map(|column| column.typed);
            return made.iter().all(|oid| match self.catalog.type_kind(*oid) {
                Some(TypeKind::Domain(base)) => is_plain_oid(base),
                _ => own == Some(Typed::Stored(*oid)),
            });
        }
        let name = self.builtin(to);
        let is_float = |val: &Val| match val.typed {
            Typed::Stored(oid) => FLOATS.contains(&oid),
            _ => false,
        };
        STEADY.contains(&name)
            || PLAIN.contains(&name)
            || matches!(name, "float4" | "float8")
                && (self.is_written || self.column.is_some_and(is_float))
    }

    /// The name of a type, unless somebody made one of it.
    fn builtin<'n>(&self, to: &'n TypeName) -> &'n str {
        let name = to.names.last().and_then(tree::string).unwrap_or_default();
        if self.catalog.has_type_made(name) { "" } else { name }
    }

    /// The expression has one value for all rows, and whenever it is sent: constants, parameters,
    /// and plain functions of them.
    fn is_one_value(&self, node: &Node) -> bool {
        match inner(node) {
            Some(N::AConst(_)) => true,
            Some(N::ParamRef(param)) => {
                self.settles(param, Settled::Steady);
                true
            }
            Some(N::TypeCast(cast)) => {
                self.is_steady(cast) && boxed(&cast.arg).is_some_and(|arg| self.is_one_value(arg))
            }
            Some(N::AExpr(expr)) => {
                let name = expr.name.last().and_then(tree::string);
                let is_own = |name| !self.catalog.operators(name).is_empty();
                let mut sides =
                    [&expr.lexpr, &expr.rexpr].into_iter().filter_map(|side| boxed(side));
                name.is_some_and(|name| !is_own(name)) && sides.all(|side| self.is_one_value(side))
            }
            Some(N::FuncCall(call)) => {
                let name = match call.funcname.as_slice() {
                    [name] => tree::string(name),
                    [schema, name] if tree::string(schema) == Some("pg_catalog") => {
                        tree::string(name)
                    }
                    _ => None,
                };
                let is_own = |name| self.catalog.functions(name).any(|of| !of.builtin);
                name.is_some_and(|name| FUNCTIONS.contains(&name) && !is_own(name))
                    && call.over.is_none()
                    && call.args.iter().all(|arg| self.is_one_value(arg))
            }
            _ => false,
        }
    }
}

/// The same by `pg_type.oid`, arrays of them too.
fn is_plain_oid(oid: u32) -> bool {
    const PLAIN: &[u32] = &[
        0, 16, 17, 19, 20, 21, 23, 25, 114, 650, 705, 774, 829, 869, 1042, 1043, 1082, 1083, 1114,
        1184, 1186, 1266, 1560, 1562, 1700, 2950, 3802,
    ];
    const ARRAYS: &[u32] = &[
        199, 651, 775, 1000, 1001, 1003, 1005, 1007, 1009, 1014, 1015, 1016, 1040, 1041, 1115,
        1182, 1183, 1185, 1187, 1231, 1270, 1561, 1563, 2951, 3807,
    ];
    PLAIN.contains(&oid) || ARRAYS.contains(&oid)
}

impl Catalog {
    /// Whether a parameter of this type (`pg_type.oid`) is compared as what is bound to it, so that
    /// this can be counted.
    #[must_use]
    pub fn is_plain(&self, oid: u32) -> bool {
        if oid < crate::catalog::FIRST_NORMAL_OID {
            return is_plain_oid(oid);
        }
        matches!(self.type_kind(oid), Some(TypeKind::Domain(base)) if is_plain_oid(base))
    }

    /// Whether what is made of a parameter of this type is the same whenever the same is bound.
    #[must_use]
    pub fn is_steady(oid: u32) -> bool {
        const STEADY: &[u32] = &[
            0, 16, 20, 21, 23, 25, 114, 705, 1042, 1043, 1700, 2950, 3802, 199, 1000, 1005, 1007,
            1009, 1014, 1015, 1016, 1231, 2951, 3807,
        ];
        STEADY.contains(&oid)
    }
}
