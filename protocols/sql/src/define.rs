//! Definition of data, and everything else that is neither a query nor a session's own business.

use std::sync::Arc;

use pg_query::protobuf::{
    AlterTableCmd, AlterTableStmt, AlterTableType, ColumnDef, ConstrType, Constraint, CreateStmt,
    CreateTableAsStmt, IndexStmt, Node, ObjectType, PartitionBoundSpec, RangeVar, RenameStmt,
    TypeName, VacuumStmt, ViewStmt,
};

use crate::catalog::{Relation, SearchPath};
use crate::dropped;
use crate::scope::{Columns, Scope, Source, column_id};
use crate::statement::{Place, StatementKind, StoredName};
use crate::tree::{self, N, boxed, inner};
use crate::utility::{Made, moved_all};
use crate::value::{Deps, Table, Val};
use crate::walk::{Blame, Mode, Walk};

/// Everything that is not handled elsewhere.
pub(crate) fn statement(walk: &mut Walk<'_>, node: &Node) -> Made {
    walk.rec.may_write = true;
    match inner(node) {
        Some(N::CreateStmt(create)) => create_table(walk, create),
        Some(N::CreateForeignTableStmt(create)) => {
            installs(walk, "CREATE FOREIGN TABLE");
            match &create.base_stmt {
                Some(base) => create_table(walk, base),
                None => ddl(walk, "create", "create foreign table"),
            }
        }
        Some(N::CreateTableAsStmt(create)) => create_as(walk, create),
        Some(N::ViewStmt(view)) => create_view(walk, view),
        Some(N::IndexStmt(index)) => create_index(walk, index),
        Some(N::AlterTableStmt(alter)) => alter_table(walk, alter),
        Some(N::RenameStmt(rename)) => rename_statement(walk, rename),
        Some(N::AlterObjectSchemaStmt(alter)) => {
            if let Some(var) = &alter.relation {
                redefined(walk, var, "ALTER … SET SCHEMA");
            } else {
                installs(walk, "ALTER … SET SCHEMA");
            }
            ddl(walk, "alter", "alter set schema")
        }
        Some(N::DropStmt(drop)) => dropped::statement(walk, drop),
        Some(N::TruncateStmt(truncate)) => {
            written_all(walk, &truncate.relations);
            if truncate.restart_seqs {
                walk.sequence_moved(None, "RESTART IDENTITY");
            }
            Made::silent(StatementKind::Utility("truncate".into()), "truncate")
        }
        Some(N::VacuumStmt(vacuum)) => vacuum_statement(walk, vacuum),
        Some(N::LockStmt(lock)) => {
            for node in &lock.relations {
                if let Some(N::RangeVar(var)) = inner(node) {
                    walk.relation(var, Mode::Read);
                }
            }
            utility("lock")
        }
        Some(N::RefreshMatViewStmt(refresh)) => {
            if let Some(var) = &refresh.relation {
                walk.relation(var, Mode::Write);
            }
            ddl(walk, "refresh", "refresh materialized view")
        }
        Some(N::CreateSchemaStmt(create)) => {
            for element in &create.schema_elts {
                let mut budget = walk.budget;
                let inner = crate::utility::statement(walk.context, element, &mut budget);
                walk.budget = budget;
                walk.rec.adopt(&inner, true);
            }
            ddl(walk, "create", "create schema")
        }
        Some(N::GrantStmt(grant)) => {
            written_all(walk, &grant.objects);
            let verb = if grant.is_grant { "grant" } else { "revoke" };
            ddl(walk, verb, verb)
        }
        _ => match roles(walk, node) {
            Some(made) => made,
            None => code(walk, node).unwrap_or_else(|| rest(walk, node)),
        },
    }
}

fn utility(verb: &str) -> Made {
    Made::silent(StatementKind::Utility(verb.into()), verb)
}

pub(crate) fn ddl(walk: &mut Walk<'_>, verb: &str, command: &str) -> Made {
    walk.rec.ddl = true;
    Made::silent(StatementKind::Ddl { command: command.into() }, verb)
}

/// Code that will run later, where its effects cannot be traced any more.
fn installs(walk: &mut Walk<'_>, command: &str) {
    walk.rec.opaque("installs_code", command);
}

/// A relation that comes into being: as written, in the first schema of the path.
pub(crate) fn created(walk: &mut Walk<'_>, var: &RangeVar) {
    let name = tree::range_name(var).1;
    let schema = place(walk, var);
    walk.rec.names_schema = !var.schemaname.is_empty();
    let written = schema.map_or_else(|| Arc::from(name), |s| format!("{s}.{name}").into());
    walk.rec.write(written);
}

fn written_all(walk: &mut Walk<'_>, relations: &[Node]) {
    for node in relations {
        if let Some(N::RangeVar(var)) = inner(node) {
            walk.relation(var, Mode::Write);
        }
    }
}

fn redefined(walk: &mut Walk<'_>, var: &RangeVar, command: &str) {
    let (schema, name) = tree::range_name(var);
    walk.relation(var, Mode::Write);
    let catalog = walk.context.catalog;
    for relation in catalog.find(schema, name, walk.context.path) {
        walk.redefined(relation, command);
    }
}

fn create_table(walk: &mut Walk<'_>, create: &CreateStmt) -> Made {
    if let Some(var) = &create.relation {
        created(walk, var);
    }
    for node in &create.inh_relations {
        if let Some(N::RangeVar(var)) = inner(node) {
            // Rows of a default partition are compared with the bound; rows of a child are in what
            // its parents show, and it need not have their keys.
            redefined(
                walk,
                var,
                if create.partbound.is_some() { "PARTITION OF" } else { "INHERITS" },
            );
        }
    }
    let name = create.relation.as_ref().map_or("", |var| var.relname.as_str());
    let made = Some(create);
    if let Some(bound) = &create.partbound {
        partition_bound(walk, bound, name);
    }
    for node in create.partspec.iter().flat_map(|spec| &spec.part_params) {
        if let Some(N::PartitionElem(elem)) = inner(node)
            && let Some(expr) = boxed(&elem.expr)
        {
            kept(walk, expr, name, "PARTITION BY");
        }
    }
    for node in create.table_elts.iter().chain(&create.constraints) {
        match inner(node) {
            Some(N::ColumnDef(column)) => column_defined(walk, column, name, made),
            Some(N::Constraint(_)) => constraints(walk, std::slice::from_ref(node), name, made),
            Some(N::TableLikeClause(like)) => {
                if let Some(var) = &like.relation {
                    walk.relation(var, Mode::Read);
                }
            }
            _ => {}
        }
    }
    let exists = if create.if_not_exists { " if not exists" } else { "" };
    ddl(walk, "create", &format!("create table{exists}"))
}

/// An expression of a definition of `name`, which runs now or later and whose result stays where no
/// mask follows. Its bare names are columns of `name`, which does not change what they are.
fn kept(walk: &mut Walk<'_>, expr: &Node, name: &str, clause: &str) {
    let item = walk.table_item(Some(name.into()), Table::any(Val::none()));
    let source = Source::of(item);
    let scope = Scope { source: &source, parent: None, ctes: &None };
    let sets = walk.rec.sets.len();
    let val = walk.eval(expr, &scope, &Blame::Expression);
    walk.blame_place(&val.deps, &Place::Moved(clause.into()));
    keeps_settings(walk, sets, clause);
}

/// What is kept would change settings when something else runs, which says nothing of it.
fn keeps_settings(walk: &mut Walk<'_>, before: usize, clause: &str) {
    if walk.rec.sets.len() > before {
        installs(walk, &format!("{clause} with set_config"));
    }
}

/// A condition of a definition of `name`: it decides which rows there may be.
fn checked(walk: &mut Walk<'_>, expr: &Node, name: &str, clause: &'static str) {
    let item = walk.table_item(Some(name.into()), Table::any(Val::none()));
    let source = Source::of(item);
    let scope = Scope { source: &source, parent: None, ctes: &None };
    let sets = walk.rec.sets.len();
    walk.decides(expr, &scope, clause);
    keeps_settings(walk, sets, clause);
}

fn partition_bound(walk: &mut Walk<'_>, bound: &PartitionBoundSpec, name: &str) {
    for node in bound.listdatums.iter().chain(&bound.lowerdatums).chain(&bound.upperdatums) {
        // MINVALUE and MAXVALUE look like columns.
        if matches!(inner(node), Some(N::ColumnRef(_) | N::PartitionRangeDatum(_))) {
            walk.pass(node);
        } else {
            kept(walk, node, name, "FOR VALUES");
        }
    }
}

/// A column of `name`, which this statement makes where `made` is given.
fn column_defined(walk: &mut Walk<'_>, column: &ColumnDef, name: &str, made: Option<&CreateStmt>) {
    match (boxed(&column.raw_default), &column.type_name) {
        (Some(default), _) => kept(walk, default, name, "DEFAULT"),
        // It is run at once for all rows that are there.
        (None, Some(of)) => domain_default(walk, of),
        (None, None) => {}
    }
    if holds_a_value(column) {
        value_converted(walk, column, "DEFAULT");
    }
    constraints(walk, &column.constraints, name, made);
}

/// A column without a default has that of its type, if this is a domain with one.
fn domain_default(walk: &mut Walk<'_>, of: &TypeName) {
    let catalog = walk.context.catalog;
    let parts = tree::strings(&of.names);
    let (_, bare) = tree::qualified(&parts);
    for found in catalog.types_named(bare).iter().filter_map(|oid| catalog.type_of(*oid)) {
        if let Some(expression) = &found.default {
            walk.done_by_default(expression, &found.name);
        }
    }
}

/// A value is converted to the type of a column and stays there.
fn value_converted(walk: &mut Walk<'_>, column: &ColumnDef, clause: &str) {
    let mut made = Val::none();
    walk.converted(column.type_name.as_ref(), &mut made);
    walk.blame_place(&made.deps, &Place::Moved(clause.into()));
}

/// Whether a definition has an expression whose value is converted to the column's type.
fn holds_a_value(column: &ColumnDef) -> bool {
    let holds = |node: &Node| matches!(inner(node), Some(N::Constraint(c)) if c.raw_expr.is_some());
    column.raw_default.is_some() || column.constraints.iter().any(holds)
}

/// A foreign key answers whether values are there, as often as it is asked. Other constraints hold
/// expressions.
fn constraints(walk: &mut Walk<'_>, list: &[Node], name: &str, made: Option<&CreateStmt>) {
    for node in list {
        let Some(N::Constraint(constraint)) = inner(node) else { continue };
        let constraint: &Constraint = constraint;
        if let Some(expr) = boxed(&constraint.raw_expr) {
            match ConstrType::try_from(constraint.contype) {
                Ok(ConstrType::ConstrCheck) => checked(walk, expr, name, "CHECK"),
                Ok(ConstrType::ConstrGenerated) => kept(walk, expr, name, "GENERATED"),
                _ => kept(walk, expr, name, "DEFAULT"),
            }
        }
        for pair in &constraint.exclusions {
            if let Some(N::List(pair)) = inner(pair)
                && let Some(N::IndexElem(elem)) = pair.items.first().and_then(inner)
                && let Some(expr) = boxed(&elem.expr)
            {
                checked(walk, expr, name, "EXCLUDE");
            }
        }
        if let Some(condition) = boxed(&constraint.where_clause) {
            checked(walk, condition, name, "EXCLUDE");
        }
        let Some(var) = &constraint.pktable else { continue };
        if let Some(keys) = made.and_then(|made| keys_of_itself(walk, made, constraint, var)) {
            walk.rec.keys_to_itself.extend(keys);
            continue;
        }
        let item = walk.relation(var, Mode::Read);
        let Columns::Stored(relation) = item.columns else { continue };
        let named = tree::strings(&constraint.pk_attrs);
        let place = Place::Redefined("FOREIGN KEY".into());
        for column in crate::scope::live(relation) {
            let keyed = named.contains(&&*column.name) || (named.is_empty() && column.unique);
            if keyed {
                walk.blame_place(&Deps::one(column_id(relation, column)), &place);
            }
        }
    }
}

/// The columns that a foreign key of the table that `made` makes points at, when that is the table
/// itself and nothing else can be meant.
fn keys_of_itself(
    walk: &Walk<'_>,
    made: &CreateStmt,
    key: &Constraint,
    var: &RangeVar,
) -> Option<Vec<StoredName>> {
    let table = made.relation.as_ref()?;
    let ((schema, name), (given, own)) = (tree::range_name(var), tree::range_name(table));
    let place = place(walk, table)?;
    let is_itself = name == own
        && schema.is_none_or(|schema| Some(schema) == given || *schema == *place)
        && walk.context.catalog.find(schema, name, walk.context.path).is_empty();
    if !is_itself {
        return None;
    }
    let named = tree::strings(&key.pk_attrs);
    let columns: Vec<&str> = match named.as_slice() {
        // The primary key; whichever that is, it is of these.
        [] => made
            .table_elts
            .iter()
            .filter_map(|node| match inner(node) {
                Some(N::ColumnDef(column)) => Some(column.colname.as_str()),
                _ => None,
            })
            .collect(),
        named => named.to_vec(),
    };
    let name: Arc<str> = own.into();
    let stored = |column: &str| (Arc::clone(&place), Arc::clone(&name), Arc::from(column));
    Some(columns.into_iter().map(stored).collect())
}

/// The schema of a relation that comes into being, where it is known.
fn place(walk: &Walk<'_>, var: &RangeVar) -> Option<Arc<str>> {
    let (schema, _) = tree::range_name(var);
    match (schema, walk.context.creates) {
        _ if var.relpersistence == "t" || schema == Some("pg_temp") => Some("pg_temp".into()),
        (Some(schema), _) => Some(schema.into()),
        (None, SearchPath::Known(path)) => path.first().cloned(),
        (None, SearchPath::Unknown) => None,
    }
}

fn create_as(walk: &mut Walk<'_>, create: &CreateTableAsStmt) -> Made {
    let view = ObjectType::try_from(create.objtype) == Ok(ObjectType::ObjectMatview);
    walk.rec.verb("create");
    if let Some(var) = create.into.as_ref().and_then(|into| into.rel.as_ref()) {
        created(walk, var);
    }
    let table = match boxed(&create.query) {
        Some(query) if matches!(inner(query), Some(N::ExecuteStmt(_))) => {
            walk.rec.opaque("unknown_object", "CREATE TABLE AS EXECUTE");
            Table::any(Val::unknown())
        }
        Some(query) => walk.query(query, None, &None),
        None => Table::default(),
    };
    let command = if view { "CREATE MATERIALIZED VIEW" } else { "CREATE TABLE AS" };
    moved_all(walk, &table, command);
    ddl(walk, "create", &command.to_lowercase())
}

fn create_view(walk: &mut Walk<'_>, view: &ViewStmt) -> Made {
    if let Some(var) = &view.view {
        created(walk, var);
        if view.replace {
            let (schema, name) = tree::range_name(var);
            let catalog = walk.context.catalog;
            for relation in catalog.find(schema, name, walk.context.path) {
                walk.redefined(relation, "CREATE OR REPLACE VIEW");
            }
        }
    }
    if let Some(query) = boxed(&view.query) {
        let sets = walk.rec.sets.len();
        let table = walk.query(query, None, &None);
        keeps_settings(walk, sets, "CREATE VIEW");
        // The query does not run now.
        walk.rec.verbs.retain(|verb| &**verb != "select");
        moved_all(walk, &table, "CREATE VIEW");
    }
    ddl(walk, "create", "create view")
}

fn create_index(walk: &mut Walk<'_>, index: &IndexStmt) -> Made {
    if let Some(var) = &index.relation {
        let item = walk.relation(var, Mode::Write);
        let source = Source::of(item);
        let scope = Scope { source: &source, parent: None, ctes: &None };
        let place = Place::Redefined("CREATE INDEX".into());
        for node in index.index_params.iter().chain(&index.index_including_params) {
            let Some(N::IndexElem(elem)) = inner(node) else { continue };
            let val = match boxed(&elem.expr) {
                Some(expr) => walk.decides(expr, &scope, "CREATE INDEX"),
                None => {
                    let name = pg_query::protobuf::String { sval: elem.name.clone() };
                    let field = Node { node: Some(N::String(name)) };
                    walk.column_ref(std::slice::from_ref(&field), &scope)
                }
            };
            walk.blame_place(&val.deps, &place);
        }
        if let Some(condition) = boxed(&index.where_clause) {
            walk.predicate(condition, &scope, "WHERE");
        }
    }
    ddl(walk, "create", "create index")
}

fn alter_table(walk: &mut Walk<'_>, alter: &AlterTableStmt) -> Made {
    let additive = alter.cmds.iter().all(|node| match inner(node) {
        Some(N::AlterTableCmd(command)) => adds_a_column(command),
        _ => false,
    });
    if let Some(var) = &alter.relation {
        if additive {
            walk.relation(var, Mode::Write);
        } else {
            redefined(walk, var, "ALTER TABLE");
        }
    }
    let name = alter.relation.as_ref().map_or("", |var| var.relname.as_str());
    for node in &alter.cmds {
        let Some(N::AlterTableCmd(command)) = inner(node) else { continue };
        let Some(def) = boxed(&command.def) else { continue };
        match inner(def) {
            Some(N::ColumnDef(column)) => {
                column_defined(walk, column, name, None);
                if AlterTableType::try_from(command.subtype)
                    == Ok(AlterTableType::AtAlterColumnType)
                {
                    value_converted(walk, column, "ALTER TABLE");
                }
            }
            Some(N::Constraint(_)) => constraints(walk, std::slice::from_ref(def), name, None),
            Some(N::PartitionCmd(part)) => {
                if let Some(var) = &part.name {
                    redefined(walk, var, "ALTER TABLE");
                }
                if let Some(bound) = &part.bound {
                    partition_bound(walk, bound, name);
                }
            }
            Some(N::RangeVar(var)) => redefined(walk, var, "ALTER TABLE"),
            _ if matches!(
                AlterTableType::try_from(command.subtype),
                Ok(AlterTableType::AtColumnDefault | AlterTableType::AtSetExpression)
            ) =>
            {
                kept(walk, def, name, "DEFAULT");
                default_converted(walk, alter, &command.name);
            }
            _ => {}
        }
    }
    let command = match ObjectType::try_from(alter.objtype) {
        Ok(ObjectType::ObjectView) => "alter view",
        Ok(ObjectType::ObjectMatview) => "alter materialized view",
        Ok(ObjectType::ObjectIndex) => "alter index",
        Ok(ObjectType::ObjectSequence) => "alter sequence",
        Ok(ObjectType::ObjectForeignTable) => "alter foreign table",
        Ok(ObjectType::ObjectType) => "alter type",
        _ => "alter table",
    };
    ddl(walk, "alter", command)
}

/// A default is converted to the type of the column it is for.
fn default_converted(walk: &mut Walk<'_>, alter: &AlterTableStmt, column: &str) {
    let Some(var) = &alter.relation else { return };
    let (schema, name) = tree::range_name(var);
    for relation in walk.context.catalog.find(schema, name, walk.context.path) {
        if let Some(column) = relation.column(column) {
            let place = Place::Moved("DEFAULT".into());
            walk.converted_into(column_id(relation, column), &Val::none(), &place);
        }
    }
}

/// ADD COLUMN that reads nothing of the columns there are.
fn adds_a_column(command: &AlterTableCmd) -> bool {
    if AlterTableType::try_from(command.subtype) != Ok(AlterTableType::AtAddColumn) {
        return false;
    }
    let Some(N::ColumnDef(column)) = boxed(&command.def).and_then(inner) else { return false };
    column.constraints.iter().all(|node| match inner(node) {
        Some(N::Constraint(constraint)) => !matches!(
            ConstrType::try_from(constraint.contype),
            Ok(ConstrType::ConstrGenerated | ConstrType::ConstrCheck)
        ),
        _ => true,
    })
}

fn rename_statement(walk: &mut Walk<'_>, rename: &RenameStmt) -> Made {
    let kind = ObjectType::try_from(rename.rename_type).unwrap_or_default();
    match (&rename.relation, kind) {
        (_, ObjectType::ObjectSchema) => {
            let catalog = walk.context.catalog;
            let inside: Vec<&Relation> =
                catalog.relations().filter(|r| *r.schema == *rename.subname).collect();
            for relation in inside {
                walk.redefined(relation, "ALTER SCHEMA RENAME");
            }
        }
        (_, ObjectType::ObjectRole) => walk.rec.role_change = true,
        (Some(var), _) => redefined(walk, var, "ALTER … RENAME"),
        (
            None,
            ObjectType::ObjectFunction | ObjectType::ObjectProcedure | ObjectType::ObjectRoutine,
        ) => {
            installs(walk, "ALTER FUNCTION");
        }
        _ => {}
    }
    ddl(walk, "alter", "alter rename")
}

fn vacuum_statement(walk: &mut Walk<'_>, vacuum: &VacuumStmt) -> Made {
    for node in &vacuum.rels {
        if let Some(N::VacuumRelation(relation)) = inner(node)
            && let Some(var) = &relation.relation
        {
            walk.relation(var, Mode::Read);
        }
    }
    utility(if vacuum.is_vacuumcmd { "vacuum" } else { "analyze" })
}

/// Roles: a change of any may be a change of the one all sessions share.
fn roles(walk: &mut Walk<'_>, node: &Node) -> Option<Made> {
    let (verb, command) = match inner(node)? {
        N::AlterRoleStmt(_) | N::AlterRoleSetStmt(_) => ("alter", "alter role"),
        N::GrantRoleStmt(grant) if grant.is_grant => ("grant", "grant role"),
        N::GrantRoleStmt(_) => ("revoke", "revoke role"),
        N::DropRoleStmt(_) => ("drop", "drop role"),
        N::CreateRoleStmt(_) => ("create", "create role"),
        N::ReassignOwnedStmt(_) => ("reassign", "reassign owned"),
        N::DropOwnedStmt(_) => {
            dropped::uncovered(walk, ObjectType::ObjectSchema, (&[], &[]), true);
            ("drop", "drop owned")
        }
        _ => return None,
    };
    walk.rec.role_change |= command != "create role";
    Some(ddl(walk, verb, command))
}

/// Statements that put code into the database, or connect it to somewhere else.
fn code(walk: &mut Walk<'_>, node: &Node) -> Option<Made> {
    let (verb, command) = match inner(node)? {
        N::CreateFunctionStmt(create) => {
            let options = tree::def_elems(&create.options);
            let language = options.iter().find(|(name, _)| &**name == "language");
            if language.is_some_and(|(_, value)| value.eq_ignore_ascii_case("c")) {
                walk.rec.server_access.insert("library");
            }
            ("create", "create function")
        }
        N::AlterFunctionStmt(_) => ("alter", "alter function"),
        N::CreateTrigStmt(_) | N::CreateEventTrigStmt(_) => ("create", "create trigger"),
        N::AlterEventTrigStmt(_) => ("alter", "alter event trigger"),
        N::RuleStmt(_) => ("create", "create rule"),
        N::CreatePolicyStmt(_) => ("create", "create policy"),
        N::AlterPolicyStmt(_) => ("alter", "alter policy"),
        N::DefineStmt(_) => ("create", "create object"),
        N::CreateDomainStmt(_) => ("create", "create domain"),
        N::AlterDomainStmt(_) => ("alter", "alter domain"),
        N::CreateCastStmt(_) => ("create", "create cast"),
        N::CreateConversionStmt(_) => ("create", "create conversion"),
        N::CreateTransformStmt(_) => ("create", "create transform"),
        N::CreateOpClassStmt(_) | N::CreateOpFamilyStmt(_) => ("create", "create operator class"),
        N::AlterOpFamilyStmt(_) | N::AlterOperatorStmt(_) => ("alter", "alter operator"),
        N::CreatePlangStmt(_) => ("create", "create language"),
        N::CreateAmStmt(_) => ("create", "create access method"),
        N::CreateExtensionStmt(_) => ("create", "create extension"),
        N::AlterExtensionStmt(_) | N::AlterExtensionContentsStmt(_) => ("alter", "alter extension"),
        N::CreateFdwStmt(_) => ("create", "create foreign data wrapper"),
        N::AlterFdwStmt(_) => ("alter", "alter foreign data wrapper"),
        N::CreateForeignServerStmt(_) => ("create", "create server"),
        N::AlterForeignServerStmt(_) => ("alter", "alter server"),
        N::CreateUserMappingStmt(_) => ("create", "create user mapping"),
        N::AlterUserMappingStmt(_) => ("alter", "alter user mapping"),
        N::ImportForeignSchemaStmt(_) => ("create", "import foreign schema"),
        N::CreatePublicationStmt(_) => ("create", "create publication"),
        N::AlterPublicationStmt(_) => ("alter", "alter publication"),
        N::CreateSubscriptionStmt(_) => ("create", "create subscription"),
        N::AlterSubscriptionStmt(_) => ("alter", "alter subscription"),
        N::CreateStatsStmt(_) => ("create", "create statistics"),
        N::LoadStmt(_) => {
            walk.rec.server_access.insert("library");
            ("load", "load")
        }
        N::AlterSystemStmt(_) => {
            walk.rec.server_access.insert("server_settings");
            ("alter", "alter system")
        }
        _ => return None,
    };
    installs(walk, &command.to_uppercase());
    Some(ddl(walk, verb, command))
}

/// What is left: harmless to values, by its verb.
fn rest(walk: &mut Walk<'_>, node: &Node) -> Made {
    let Some(found) = inner(node) else { return utility("unknown") };
    match found {
        N::CheckPointStmt(_) => utility("checkpoint"),
        N::ClusterStmt(cluster) => {
            // Rows come in the order of an index from then on; without a name, those of each
            // table that was ordered before.
            match &cluster.relation {
                Some(var) => redefined(walk, var, "CLUSTER"),
                None => {
                    let place = Place::Redefined("CLUSTER".into());
                    let columns = walk.context.catalog.all_columns();
                    for (id, ..) in columns.filter(|(_, _, column)| column.indexed) {
                        walk.blame_place(&Deps::one(id), &place);
                    }
                }
            }
            utility("cluster")
        }
        N::ReindexStmt(_) => utility("reindex"),
        N::ConstraintsSetStmt(_) => utility("set"),
        N::CommentStmt(_) => ddl(walk, "comment", "comment"),
        N::SecLabelStmt(_) => ddl(walk, "security label", "security label"),
        N::CreateSeqStmt(create) => {
            if let Some(var) = &create.sequence {
                created(walk, var);
            }
            ddl(walk, "create", "create sequence")
        }
        N::AlterSeqStmt(alter) => {
            let name = alter.sequence.as_ref().map(|var| var.relname.as_str());
            walk.sequence_moved(name, "ALTER SEQUENCE");
            ddl(walk, "alter", "alter sequence")
        }
        N::CompositeTypeStmt(_) | N::CreateEnumStmt(_) | N::CreateRangeStmt(_) => {
            ddl(walk, "create", "create type")
        }
        N::AlterEnumStmt(_) | N::AlterTypeStmt(_) => ddl(walk, "alter", "alter type"),
        N::CreatedbStmt(_) => ddl(walk, "create", "create database"),
        N::DropdbStmt(_) => ddl(walk, "drop", "drop database"),
        N::AlterDatabaseSetStmt(_) => {
            // The next session would begin with another search_path than is known.
            installs(walk, "ALTER DATABASE … SET");
            ddl(walk, "alter", "alter database")
        }
        N::AlterDatabaseStmt(_) | N::AlterDatabaseRefreshCollStmt(_) => {
            ddl(walk, "alter", "alter database")
        }
        N::CreateTableSpaceStmt(_) => ddl(walk, "create", "create tablespace"),
        N::DropTableSpaceStmt(_) => ddl(walk, "drop", "drop tablespace"),
        N::AlterTableSpaceOptionsStmt(_) | N::AlterTableMoveAllStmt(_) => {
            ddl(walk, "alter", "alter tablespace")
        }
        N::AlterOwnerStmt(_)
        | N::AlterObjectDependsStmt(_)
        | N::AlterDefaultPrivilegesStmt(_)
        | N::AlterCollationStmt(_)
        | N::AlterStatsStmt(_)
        | N::AlterTsdictionaryStmt(_)
        | N::AlterTsconfigurationStmt(_) => ddl(walk, "alter", "alter object"),
        N::DropUserMappingStmt(_) | N::DropSubscriptionStmt(_) => ddl(walk, "drop", "drop object"),
        _ => {
            walk.rec.opaque("unknown_statement", "a statement of an unknown kind");
            walk.rec.dynamic = true;
            utility("unknown")
        }
    }
}
