//! Tables that a session made itself and has not committed, so that no snapshot has them (R7).
//!
//! Only what is certain from the text is taken: plain columns of types that ship with PostgreSQL,
//! keys, constants as defaults, or a query's stored columns; and only under a name that nothing in
//! the snapshot has in any schema, but for temporary and dropped ones: those are looked at beside
//! it. If the statement fails, or is rolled back, the name means nothing to the server, and nothing
//! else can be meant by it.

use std::sync::Arc;

use pg_query::protobuf::{
    AExprKind, ColumnDef, ConstrType, Constraint, CreateStmt, CreateTableAsStmt, Node, ObjectType,
    RangeVar,
};

use crate::catalog::{Catalog, ColumnId, Relation, RelationKind, SearchPath, StoredColumn};
use crate::statement::{Statement, StatementKind};
use crate::tree::{self, N, boxed, inner};
use crate::utility;
use crate::walk::Context;

/// The first `pg_class.oid` given to such tables. Servers count up from 16,384 and start again
/// after the last; where a catalog came this far, no table is followed.
pub const FIRST_OID: u32 = 0xFFFF_0000;

/// Tables of its own that one session is followed in until it commits.
pub const TABLES_MAX: usize = 64;

/// Whether a column is of a table that the session made itself.
#[must_use]
pub fn is_own(column: ColumnId) -> bool {
    column.relation >= FIRST_OID
}

/// What the names of relations mean after a statement, but for tables of the session's own.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Names {
    /// What they meant before.
    Same,
    /// One of the relations of their name, in whatever schema: what stood before others is dropped.
    AnyOfTheName,
    /// That cannot be told.
    Unknown,
}

/// What names mean after `statement`.
#[must_use]
pub fn names_after(statement: &Statement, catalog: &Catalog) -> Names {
    let facts = &statement.facts;
    let StatementKind::Ddl { command } = &statement.kind else {
        let silent = !facts.ddl && !facts.may_define && !facts.changes_search_path;
        return same_if(silent && statement.kind.runs().is_none());
    };
    if facts.changes_search_path {
        return Names::Unknown;
    }
    let is_own = |oid: &u32| *oid >= FIRST_OID;
    match &**command {
        "create table" | "create table as" => same_if(statement.creates.is_some()),
        "create table if not exists" => same_if(
            // Without a schema it may be made in another one than the path says by then.
            facts.names_schema
                && !facts.writes.is_empty()
                && facts.writes.iter().all(|name| is_there(name, catalog)),
        ),
        "create index" => same_if(!facts.objects.is_empty() && facts.objects.iter().all(is_own)),
        "drop table" => after_drop(statement, catalog),
        _ => Names::Unknown,
    }
}

fn same_if(certain: bool) -> Names {
    if certain { Names::Same } else { Names::Unknown }
}

/// A stored relation of this name, schema and all, is there, so that IF NOT EXISTS does nothing.
fn is_there(written: &str, catalog: &Catalog) -> bool {
    written.rsplit_once('.').is_some_and(|(schema, name)| {
        let mut found = catalog.named(name).filter(|relation| &*relation.schema == schema);
        found.any(|relation| {
            !relation.temp && relation.oid < FIRST_OID && !catalog.is_dropped(relation.oid)
        })
    })
}

/// Without CASCADE, which is another command. What a temporary table hides is looked at beside it
/// anyway; a stored one can hide what has its name, or that of a sequence it owns, in another
/// schema.
fn after_drop(statement: &Statement, catalog: &Catalog) -> Names {
    let facts = &statement.facts;
    let is_absent = |name: &Arc<str>| {
        let bare = name.rsplit('.').next().unwrap_or_default();
        catalog.named(bare).all(|relation| relation.oid >= FIRST_OID)
    };
    if !facts.unresolved.iter().all(is_absent) {
        return Names::Unknown;
    }
    let mut names = Names::Same;
    for oid in facts.objects.iter().filter(|oid| **oid < FIRST_OID) {
        match catalog.relation(*oid) {
            Some(relation) if relation.temp => {}
            Some(relation) if relation.kind == RelationKind::Table => names = Names::AnyOfTheName,
            _ => return Names::Unknown,
        }
    }
    names
}

/// The table that `node` makes, when it is certain what it is.
pub(crate) fn table(context: Context<'_>, node: &Node, budget: &mut u64) -> Option<Relation> {
    let catalog = context.catalog;
    let var = match inner(node)? {
        N::CreateStmt(create) => create.relation.as_ref()?,
        N::CreateTableAsStmt(create) => create.into.as_ref()?.rel.as_ref()?,
        _ => return None,
    };
    let (schema, name) = place(var, context.creates)?;
    // Names that begin so are PostgreSQL's; those that are taken could mean either.
    if name.starts_with("pg_") || !catalog.is_free_in(&schema, &name) {
        return None;
    }
    let columns = match inner(node)? {
        N::CreateStmt(create) => defined(create, &name, catalog)?,
        N::CreateTableAsStmt(create) => selected(context, create, budget)?,
        _ => return None,
    };
    let temp = &*schema == "pg_temp";
    Some(Relation {
        oid: FIRST_OID,
        schema,
        name,
        kind: RelationKind::Table,
        columns,
        definition: None,
        parents: Vec::new(),
        temp,
        row_security: false,
    })
}

fn place(var: &RangeVar, path: &SearchPath) -> Option<(Arc<str>, Arc<str>)> {
    let (schema, name) = tree::range_name(var);
    let schema: Arc<str> = match (schema, path) {
        _ if var.relpersistence == "t" || schema == Some("pg_temp") => "pg_temp".into(),
        (Some(schema), _) => schema.into(),
        (None, SearchPath::Known(path)) => Arc::clone(path.first()?),
        (None, SearchPath::Unknown) => return None,
    };
    Some((schema, name.into()))
}

fn defined(create: &CreateStmt, name: &str, catalog: &Catalog) -> Option<Vec<StoredColumn>> {
    let is_plain = !create.if_not_exists
        && create.inh_relations.is_empty()
        && create.partspec.is_none()
        && create.partbound.is_none()
        && create.of_typename.is_none()
        && create.access_method.is_empty();
    if !is_plain {
        return None;
    }
    let mut columns: Vec<StoredColumn> = Vec::new();
    for node in create.table_elts.iter().chain(&create.constraints) {
        match inner(node)? {
            N::ColumnDef(column) => {
                let attnum = i16::try_from(columns.len()).ok()?.checked_add(1)?;
                columns.push(stored(column, attnum, name, catalog)?);
            }
            N::Constraint(constraint) => {
                if !is_harmless(constraint, name, catalog) {
                    return None;
                }
                let keys = tree::strings(&constraint.keys);
                for column in &mut columns {
                    column.unique |= keys.contains(&&*column.name);
                }
            }
            _ => return None,
        }
    }
    Some(columns)
}

fn stored(column: &ColumnDef, attnum: i16, table: &str, catalog: &Catalog) -> Option<StoredColumn> {
    let name = column.type_name.as_ref()?;
    if name.setof || name.pct_type {
        return None;
    }
    let is_array = !name.array_bounds.is_empty();
    let parts = tree::strings(&name.names);
    let name = match parts.as_slice() {
        ["pg_catalog", name] => name,
        // A bare name may be a type of somebody's own, put before PostgreSQL's.
        [name] if !catalog.has_type_named(name) => name,
        _ => return None,
    };
    let (type_oid, type_len) = builtin(name, is_array)?;
    let mut unique = false;
    if column.raw_default.is_some() {
        return None;
    }
    for node in &column.constraints {
        let N::Constraint(constraint) = inner(node)? else { return None };
        if !is_harmless(constraint, table, catalog) {
            return None;
        }
        use ConstrType::{ConstrForeign, ConstrPrimary, ConstrUnique};
        let kind = ConstrType::try_from(constraint.contype).ok()?;
        unique |= matches!(kind, ConstrPrimary | ConstrUnique | ConstrForeign);
    }
    Some(StoredColumn {
        attnum,
        name: column.colname.as_str().into(),
        type_oid,
        type_len,
        dropped: false,
        unique,
        generated: None,
        default: None,
        fill: None,
        indexed: unique,
        row_of: 0,
        collated: column.coll_clause.is_some(),
    })
}

/// Neither an expression that could call anything, nor a tie to a table of others. A condition
/// decides which rows there are and not what columns are; what it calls was looked at where it
/// stands.
fn is_harmless(constraint: &Constraint, table: &str, catalog: &Catalog) -> bool {
    use ConstrType::{
        ConstrAttrDeferrable, ConstrAttrDeferred, ConstrAttrImmediate, ConstrAttrNotDeferrable,
        ConstrCheck, ConstrDefault, ConstrForeign, ConstrIdentity, ConstrNotnull, ConstrNull,
        ConstrPrimary, ConstrUnique,
    };
    match ConstrType::try_from(constraint.contype) {
        Ok(
            ConstrNull
            | ConstrNotnull
            | ConstrPrimary
            | ConstrUnique
            | ConstrIdentity
            | ConstrAttrDeferrable
            | ConstrAttrNotDeferrable
            | ConstrAttrDeferred
            | ConstrAttrImmediate,
        ) => true,
        Ok(ConstrCheck) => boxed(&constraint.raw_expr).is_some_and(|expr| compares(expr, 0)),
        Ok(ConstrDefault) => boxed(&constraint.raw_expr).is_some_and(is_constant),
        Ok(ConstrForeign) => constraint.pktable.as_ref().is_some_and(|var| {
            let (_, name) = tree::range_name(var);
            let mut named = catalog.named(name).peekable();
            match named.peek() {
                Some(_) => named.all(|relation| relation.oid >= FIRST_OID),
                None => name == table,
            }
        }),
        _ => false,
    }
}

/// Columns compared with constants, and such comparisons joined.
fn compares(node: &Node, depth: usize) -> bool {
    /// No condition that a person writes is as deep.
    const DEPTH_MAX: usize = 16;
    /// As they are written; not those that match patterns.
    const OPERATORS: [&str; 7] = ["=", "<>", "!=", "<", "<=", ">", ">="];
    let deeper = |node: &Node| depth < DEPTH_MAX && compares(node, depth + 1);
    match inner(node) {
        Some(N::AConst(_) | N::ColumnRef(_)) => true,
        Some(N::BoolExpr(all)) => all.args.iter().all(deeper),
        Some(N::NullTest(test)) => boxed(&test.arg).is_some_and(deeper),
        Some(N::AExpr(operation)) => {
            let name = tree::strings(&operation.name);
            let is_plain = AExprKind::try_from(operation.kind) == Ok(AExprKind::AexprOp);
            let sides = [&operation.lexpr, &operation.rexpr];
            is_plain
                && matches!(name.as_slice(), [name] if OPERATORS.contains(name))
                && sides.into_iter().all(|side| boxed(side).is_some_and(deeper))
        }
        _ => false,
    }
}

fn is_constant(node: &Node) -> bool {
    matches!(inner(node), Some(N::AConst(_)))
}

/// The columns of a query, all of them stored columns as they are.
fn selected(
    context: Context<'_>,
    create: &CreateTableAsStmt,
    budget: &mut u64,
) -> Option<Vec<StoredColumn>> {
    let into = create.into.as_ref()?;
    let is_plain = ObjectType::try_from(create.objtype) == Ok(ObjectType::ObjectTable)
        && !create.if_not_exists
        && into.access_method.is_empty();
    if !is_plain {
        return None;
    }
    let renamed = tree::strings(&into.col_names);
    let query = utility::statement(context, boxed(&create.query)?, budget);
    let mut columns = Vec::new();
    for (index, output) in query.outputs.columns.as_ref()?.iter().enumerate() {
        let (_, from) = context.catalog.column(output.direct?)?;
        let name = renamed.get(index).copied().or(output.name.as_deref())?;
        columns.push(StoredColumn {
            attnum: i16::try_from(index).ok()?.checked_add(1)?,
            name: name.into(),
            unique: false,
            generated: None,
            default: None,
            fill: None,
            indexed: false,
            ..from.clone()
        });
    }
    Some(columns)
}

/// Types that ship with PostgreSQL, and its notations for a column with a sequence: name,
/// `pg_type.oid`, `typlen` and the `oid` of its array (`pg_type.dat`).
const BUILTIN: &[(&str, u32, i16, u32)] = &[
    ("bigserial", 20, 8, 0),
    ("bit", 1560, -1, 1561),
    ("bool", 16, 1, 1000),
    ("bpchar", 1042, -1, 1014),
    ("bytea", 17, -1, 1001),
    ("cidr", 650, -1, 651),
    ("date", 1082, 4, 1182),
    ("float4", 700, 4, 1021),
    ("float8", 701, 8, 1022),
    ("inet", 869, -1, 1041),
    ("int2", 21, 2, 1005),
    ("int4", 23, 4, 1007),
    ("int8", 20, 8, 1016),
    ("interval", 1186, 16, 1187),
    ("json", 114, -1, 199),
    ("jsonb", 3802, -1, 3807),
    ("macaddr", 829, 6, 1040),
    ("money", 790, 8, 791),
    ("name", 19, 64, 1003),
    ("numeric", 1700, -1, 1231),
    ("oid", 26, 4, 1028),
    ("point", 600, 16, 1017),
    ("serial", 23, 4, 0),
    ("serial2", 21, 2, 0),
    ("serial4", 23, 4, 0),
    ("serial8", 20, 8, 0),
    ("smallserial", 21, 2, 0),
    ("text", 25, -1, 1009),
    ("time", 1083, 8, 1183),
    ("timestamp", 1114, 8, 1115),
    ("timestamptz", 1184, 8, 1185),
    ("timetz", 1266, 12, 1270),
    ("tsvector", 3614, -1, 3643),
    ("uuid", 2950, 16, 2951),
    ("varbit", 1562, -1, 1563),
    ("varchar", 1043, -1, 1015),
    ("xml", 142, -1, 143),
];

fn builtin(name: &str, is_array: bool) -> Option<(u32, i16)> {
    let (_, oid, length, array) = BUILTIN.iter().find(|(known, ..)| *known == name)?;
    match (is_array, *array) {
        (false, _) => Some((*oid, *length)),
        (true, 0) => None,
        (true, array) => Some((array, -1)),
    }
}
