//! DROP: what is dropped, and what stays that has its values.

use std::sync::Arc;

use pg_query::protobuf::{DropBehavior, DropStmt, ObjectType, RangeVar};

use crate::catalog::{ColumnId, Relation, RelationKind};
use crate::exposure::Copied;
use crate::statement::Place;
use crate::tree::{self, N, inner};
use crate::utility::Made;
use crate::value::Deps;
use crate::walk::{Mode, Walk};

/// DROP of anything that has a name.
pub(crate) fn statement(walk: &mut Walk<'_>, drop: &DropStmt) -> Made {
    let kind = ObjectType::try_from(drop.remove_type).unwrap_or_default();
    let (what, relations) = match kind {
        ObjectType::ObjectTable => ("table", true),
        ObjectType::ObjectView => ("view", true),
        ObjectType::ObjectMatview => ("materialized view", true),
        ObjectType::ObjectForeignTable => ("foreign table", true),
        ObjectType::ObjectSequence => ("sequence", true),
        ObjectType::ObjectIndex => ("index", true),
        ObjectType::ObjectSchema => ("schema", false),
        ObjectType::ObjectFunction => ("function", false),
        ObjectType::ObjectTrigger => ("trigger", false),
        ObjectType::ObjectType => ("type", false),
        ObjectType::ObjectExtension => ("extension", false),
        _ => ("object", false),
    };
    let cascades = DropBehavior::try_from(drop.behavior) == Ok(DropBehavior::DropCascade);
    let command = format!("drop {what}{}", if cascades { " cascade" } else { "" });
    let mut dropped: Vec<u32> = Vec::new();
    let schemas = tree::strings(&drop.objects);
    let functions: Vec<&str> = drop
        .objects
        .iter()
        .filter_map(|object| match inner(object)? {
            N::ObjectWithArgs(of) => of.objname.last().and_then(tree::string),
            _ => None,
        })
        .collect();
    for object in &drop.objects {
        let Some(N::List(list)) = inner(object) else { continue };
        let parts = tree::strings(&list.items);
        // A trigger, rule or policy is named behind its table.
        let on_table = matches!(
            kind,
            ObjectType::ObjectTrigger | ObjectType::ObjectRule | ObjectType::ObjectPolicy
        );
        let parts = match parts.split_last() {
            Some((_, table)) if on_table => table,
            _ if relations => parts.as_slice(),
            _ => continue,
        };
        let (schema, name) = tree::qualified(parts);
        let var = RangeVar {
            schemaname: schema.unwrap_or_default().into(),
            relname: name.into(),
            ..RangeVar::default()
        };
        let quiet = walk.rec.opaque.clone();
        walk.relation(&var, Mode::Write);
        // Dropping what is not there tells nothing.
        walk.rec.opaque = quiet;
        if !on_table {
            let found = walk.context.catalog.find(schema, name, walk.context.path);
            dropped.extend(found.iter().map(|relation| relation.oid));
        }
    }
    match kind {
        ObjectType::ObjectSchema if cascades => uncovered_by_schemas(walk, &schemas),
        _ => uncovered(walk, kind, (&dropped, &functions), cascades),
    }
    crate::define::ddl(walk, "drop", &command)
}

/// As [`uncovered`], for everything in these schemas.
fn uncovered_by_schemas(walk: &mut Walk<'_>, schemas: &[&str]) {
    let catalog = walk.context.catalog;
    let is_in = |schema: &Arc<str>| schemas.contains(&&**schema);
    let inside: Vec<&Relation> =
        catalog.relations().filter(|relation| is_in(&relation.schema)).collect();
    let dropped: Vec<u32> = inside.iter().map(|relation| relation.oid).collect();
    let is_read_through = inside.iter().any(|relation| relation.definition.is_some())
        || catalog.all_functions().any(|function| is_in(&function.schema));
    // A type takes the columns of any table with it.
    let typed = |id: &ColumnId| {
        let column = catalog.column(*id);
        column.is_none_or(|(_, column)| column.type_oid >= crate::catalog::FIRST_NORMAL_OID)
    };
    let is_dropped = |id: &ColumnId| dropped.contains(&id.relation);
    let kept = crate::exposure::kept(catalog);
    let keys = kept.references.iter().filter(|(from, _)| is_dropped(from) || typed(from));
    let copies = kept.copies.iter().filter(|copied| is_read_through || is_dropped(&copied.from));
    let copies = copies.map(|copied| (copied.from, copied.to));
    let tree = kept.inherited.iter().filter(|(from, _)| is_dropped(from));
    for (from, to) in keys.chain(tree).copied().chain(copies).filter(|(_, to)| !is_dropped(to)) {
        walk.blame_place(&Deps::one(from), &Place::Covers(to));
    }
}

/// What is dropped, or stops to be read, and has its values in columns that stay: these have a mask
/// only as long as what ties them is there.
pub(crate) fn uncovered(
    walk: &mut Walk<'_>,
    kind: ObjectType,
    (dropped, functions): (&[u32], &[&str]),
    cascades: bool,
) {
    use ObjectType::{
        ObjectAggregate, ObjectForeignTable, ObjectFunction, ObjectMatview, ObjectPolicy,
        ObjectProcedure, ObjectRoutine, ObjectRule, ObjectTable, ObjectTrigger, ObjectView,
    };
    let is_table = matches!(kind, ObjectTable | ObjectForeignTable);
    // Which functions a default calls in the end, and through which views these read, is in no
    // tie.
    let is_read_through = matches!(
        kind,
        ObjectAggregate
            | ObjectFunction
            | ObjectMatview
            | ObjectProcedure
            | ObjectRoutine
            | ObjectView
    );
    let on_table = matches!(kind, ObjectPolicy | ObjectRule | ObjectTrigger);
    if on_table || !(is_table || is_read_through || cascades) {
        return;
    }
    let catalog = walk.context.catalog;
    let kept = crate::exposure::kept(catalog);
    // Partitions go with what they are of, and children by CASCADE.
    let is_followed = |oid: &&u32| {
        let is_split = |of: &Relation| of.kind == RelationKind::Partitioned;
        cascades || catalog.relation(**oid).is_some_and(is_split)
    };
    let followed = walk.with_descendants(dropped.iter().filter(is_followed).copied().collect());
    let dropped: Vec<u32> = dropped.iter().copied().chain(followed).collect();
    let is_dropped = |id: &ColumnId| dropped.contains(&id.relation);
    // A type, a schema or an index takes columns and keys of any table with it.
    let any_key = cascades && !is_table && !is_read_through;
    let names: Vec<String> = dropped
        .iter()
        .filter_map(|oid| catalog.relation(*oid))
        .map(|relation| format!("{}.{}", relation.schema, relation.name))
        .collect();
    let is_function =
        matches!(kind, ObjectAggregate | ObjectFunction | ObjectProcedure | ObjectRoutine);
    // A type or a function that goes with a table may take a default along; a materialized view
    // goes itself then.
    let is_default = |copied: &Copied| {
        let of = catalog.relation(copied.to.relation);
        of.is_none_or(|of| of.kind != RelationKind::MaterializedView)
    };
    let names_nothing = (is_table || is_read_through) && !is_function && dropped.is_empty();
    let is_through = |copied: &Copied| match &copied.through {
        _ if names_nothing => false,
        Some(_) if cascades && is_default(copied) => true,
        Some(through) if is_function => {
            through.functions.iter().any(|name| functions.contains(&&**name))
        }
        Some(through) if is_table || is_read_through => {
            !through.functions.is_empty()
                && through.relations.iter().any(|name| names.iter().any(|of| **of == **name))
        }
        Some(through) => cascades && !through.functions.is_empty(),
        None => cascades || is_read_through,
    };
    let keys = kept.references.iter().filter(|(from, _)| any_key || is_dropped(from));
    let copies = kept.copies.iter().filter(|copied| is_through(copied) || is_dropped(&copied.from));
    let copies = copies.map(|copied| (copied.from, copied.to));
    let tree = kept.inherited.iter().filter(|(from, _)| is_dropped(from));
    for (from, to) in keys.chain(tree).copied().chain(copies).filter(|(_, to)| !is_dropped(to)) {
        walk.blame_place(&Deps::one(from), &Place::Covers(to));
    }
}
