//! What a definition changes the meaning of, and what a statement goes by, so that the one is known
//! not to concern the other (R7).
//!
//! Whether a change concerns a statement is decided by the change's own text and by the snapshot
//! the statement was judged by, and never by another snapshot. So it holds for several changes one
//! behind the other: what none of them concerns means the same behind all of them.

use std::collections::BTreeSet;
use std::sync::Arc;

use pg_query::protobuf::{
    AlterTableStmt, CreateRangeStmt, DefElem, DropBehavior, DropStmt, GrantStmt, Node, ObjectType,
    RangeVar, RenameStmt,
};

use crate::catalog::{Catalog, FIRST_NORMAL_OID, Relation, RelationKind};
use crate::own;
use crate::statement::{Facts, Statement, StatementKind};
use crate::tree::{self, N, boxed, inner};

/// Words that begin what gives names another meaning, in the text of functions in any language.
pub const DEFINING_WORDS: [&str; 5] = ["alter", "create", "drop", "grant", "revoke"];

/// Whether the code of a DO has one of [`DEFINING_WORDS`], or runs text, which may.
pub(crate) fn defines(code: &str) -> bool {
    let in_word = |c: char| c.is_alphanumeric() || c == '_';
    let known = DEFINING_WORDS.iter().chain(&["execute"]);
    code.split(|c| !in_word(c)).any(|word| known.clone().any(|one| one.eq_ignore_ascii_case(word)))
}

/// What a definition can give another meaning.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Change {
    /// Anything; the rest says nothing then.
    pub any: bool,
    /// Whatever goes by definitions that do not ship with PostgreSQL: views, functions, types,
    /// columns that go when one of these does.
    pub made: bool,
    /// Names of which there are several relations, in different schemas: another of them is found.
    pub moved: bool,
    /// Relations, functions and types of these names, in any schema.
    pub names: BTreeSet<Arc<str>>,
}

impl Change {
    /// A change of anything.
    #[must_use]
    pub fn of_anything() -> Self {
        Self { any: true, ..Self::default() }
    }

    fn of_names<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        Self { names: names.into_iter().map(|name| bare(name).into()).collect(), ..Self::default() }
    }

    fn of_made<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        Self { made: true, ..Self::of_names(names) }
    }

    fn of_places() -> Self {
        Self { made: true, moved: true, ..Self::default() }
    }

    /// This and another.
    pub fn extend(&mut self, other: Self) {
        self.any |= other.any;
        self.made |= other.made;
        self.moved |= other.moved;
        self.names.extend(other.names);
    }

    /// Whether it can give a name that the catalog has another meaning: more than names are
    /// changed, or one of these.
    #[must_use]
    pub fn moves_any_of(&self, catalog: &Catalog) -> bool {
        let is_known = |name: &Arc<str>| {
            catalog.named(name).next().is_some()
                || catalog.has_type_named(name)
                || catalog.functions(name).next().is_some()
        };
        self.any || self.made || self.moved || self.names.iter().any(is_known)
    }

    /// Whether it can give a text of these words another meaning, which was judged to go by `uses`.
    #[must_use]
    pub fn concerns(&self, uses: &Uses, words: &Words) -> bool {
        if self.any {
            return !uses.nothing;
        }
        let is_named = || {
            let mut known = uses.names.iter().map(|name| &**name);
            let mut written = words.0.iter().map(|word| bare(word));
            known.any(|name| self.names.contains(name))
                || written.any(|name| self.names.contains(name))
        };
        self.made && uses.made
            || self.moved && uses.ambiguous
            || !self.names.is_empty() && (uses.unclear || is_named())
    }

    /// What the statement at `node` changes, which has these facts. `None`: nothing means anything
    /// else behind it, or it defines nothing.
    pub(crate) fn by(node: &Node, facts: &Facts) -> Option<Self> {
        match (facts.ddl, facts.may_define) {
            (_, true) => Some(Self::of_anything()),
            (true, false) => of(node, facts, false),
            (false, false) => None,
        }
    }

    /// The same for the session itself, before it commits: its temporary relations stand before
    /// all others.
    pub(crate) fn within(node: &Node, facts: &Facts) -> Option<Self> {
        if !facts.ddl {
            return None;
        }
        if facts.changes_search_path {
            return Some(Self::of_anything());
        }
        let mut change = of(node, facts, true)?;
        // A type comes with the type of its arrays.
        let arrays: Vec<Arc<str>> =
            change.names.iter().map(|name| format!("_{name}").into()).collect();
        change.names.extend(arrays);
        Some(change)
    }

    /// Nothing means anything else.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        *self == Self::default()
    }
}

fn bare(name: &str) -> &str {
    name.rsplit('.').next().unwrap_or(name)
}

fn of(node: &Node, facts: &Facts, sees_temporary: bool) -> Option<Change> {
    let written = || facts.writes.iter().map(|name| &**name);
    let is_temporary =
        || !facts.writes.is_empty() && written().all(|name| name.starts_with("pg_temp."));
    Some(match inner(node)? {
        // No other session can name it.
        N::CreateSeqStmt(_)
        | N::CreateStmt(_)
        | N::CreateTableAsStmt(_)
        | N::SelectStmt(_)
        | N::ViewStmt(_)
            if !sees_temporary && is_temporary() =>
        {
            return None;
        }
        // Building an index can take an hour; comments, values of enums, how a sequence counts and
        // privileges on anything but a schema are in no name.
        N::AlterDatabaseRefreshCollStmt(_)
        | N::AlterDatabaseSetStmt(_)
        | N::AlterDatabaseStmt(_)
        | N::AlterDefaultPrivilegesStmt(_)
        | N::AlterEnumStmt(_)
        | N::AlterPublicationStmt(_)
        | N::AlterRoleSetStmt(_)
        | N::AlterSeqStmt(_)
        | N::AlterStatsStmt(_)
        | N::AlterSubscriptionStmt(_)
        | N::AlterTableMoveAllStmt(_)
        | N::AlterTableSpaceOptionsStmt(_)
        | N::CommentStmt(_)
        | N::CreatePublicationStmt(_)
        | N::CreateRoleStmt(_)
        | N::CreateStatsStmt(_)
        | N::CreateSubscriptionStmt(_)
        | N::CreateTableSpaceStmt(_)
        | N::CreatedbStmt(_)
        | N::DropSubscriptionStmt(_)
        | N::DropTableSpaceStmt(_)
        | N::DropdbStmt(_)
        | N::IndexStmt(_)
        | N::RefreshMatViewStmt(_)
        | N::SecLabelStmt(_) => return None,
        N::GrantStmt(grant) => return on_schema(grant),
        // Names are looked for in schemas that the role may use.
        N::AlterOwnerStmt(_)
        | N::AlterRoleStmt(_)
        | N::DropOwnedStmt(_)
        | N::DropRoleStmt(_)
        | N::GrantRoleStmt(_)
        | N::ReassignOwnedStmt(_) => Change::of_places(),

        N::CreateForeignTableStmt(_) | N::CreateStmt(_) => {
            // What it inherits from has rows in it from now on.
            Change::of_names(written().chain(facts.reads.iter().map(|name| &**name)))
        }
        // SELECT INTO is a SELECT.
        N::CreateSeqStmt(_) | N::CreateTableAsStmt(_) | N::SelectStmt(_) | N::ViewStmt(_) => {
            Change::of_names(written())
        }
        N::ExplainStmt(explain) => {
            return of(boxed(&explain.query)?, facts, sees_temporary);
        }
        N::AlterTableStmt(alter) => altered(alter, facts),
        N::RenameStmt(rename) => renamed(rename),
        N::AlterObjectSchemaStmt(alter) => {
            let object = alter.object.as_deref().map(last_names).unwrap_or_default();
            let names = relation(alter.relation.as_ref()).chain(object.iter().map(|name| &**name));
            Change { moved: true, ..Change::of_made(names) }
        }
        N::DropStmt(drop) => return dropped(drop, facts),
        // `"$user"` and what a path lists mean it from now on, and what is made without a schema
        // can be in it.
        N::CreateSchemaStmt(create) => {
            let elements = create.schema_elts.iter();
            let mut all = Change::of_places();
            for element in elements.filter_map(|one| of(one, facts, sees_temporary)) {
                all.extend(element);
            }
            all
        }

        N::CreateFunctionStmt(create) => Change::of_made(last(&create.funcname)),
        N::CreateDomainStmt(create) => Change::of_made(last(&create.domainname)),
        N::CreateEnumStmt(create) => Change::of_made(last(&create.type_name)),
        N::CompositeTypeStmt(create) => Change::of_made(relation(create.typevar.as_ref())),
        N::CreateRangeStmt(create) => range(create),
        N::DefineStmt(define) => match ObjectType::try_from(define.kind) {
            Ok(ObjectType::ObjectAggregate | ObjectType::ObjectType) => {
                Change::of_made(last(&define.defnames))
            }
            Ok(
                ObjectType::ObjectCollation
                | ObjectType::ObjectTsconfiguration
                | ObjectType::ObjectTsdictionary
                | ObjectType::ObjectTsparser
                | ObjectType::ObjectTstemplate,
            ) => Change::of_made([]),
            // Operators apply to types of PostgreSQL's own.
            _ => Change::of_anything(),
        },

        N::CreateTrigStmt(create) => Change::of_names(
            relation(create.relation.as_ref()).chain(relation(create.constrrel.as_ref())),
        ),
        N::RuleStmt(create) => Change::of_names(relation(create.relation.as_ref())),
        N::CreatePolicyStmt(create) => Change::of_names(relation(create.table.as_ref())),
        N::AlterPolicyStmt(alter) => Change::of_names(relation(alter.table.as_ref())),

        N::AlterCollationStmt(_)
        | N::AlterDomainStmt(_)
        | N::AlterEventTrigStmt(_)
        | N::AlterFdwStmt(_)
        | N::AlterForeignServerStmt(_)
        | N::AlterFunctionStmt(_)
        | N::AlterObjectDependsStmt(_)
        | N::AlterTsconfigurationStmt(_)
        | N::AlterTsdictionaryStmt(_)
        | N::AlterTypeStmt(_)
        | N::AlterUserMappingStmt(_)
        | N::CreateAmStmt(_)
        | N::CreateConversionStmt(_)
        | N::CreateEventTrigStmt(_)
        | N::CreateFdwStmt(_)
        | N::CreateForeignServerStmt(_)
        | N::CreatePlangStmt(_)
        | N::CreateTransformStmt(_)
        | N::CreateUserMappingStmt(_)
        | N::DropUserMappingStmt(_) => Change::of_made([]),

        // Casts and operator classes are of types of PostgreSQL's own too; extensions have
        // anything.
        _ => Change::of_anything(),
    })
}

fn relation(var: Option<&RangeVar>) -> impl Iterator<Item = &str> {
    var.into_iter().map(|var| var.relname.as_str())
}

fn last(name: &[Node]) -> Option<&str> {
    name.last().and_then(tree::string)
}

/// The name of what a definition is about, without its schema.
fn last_names(object: &Node) -> Vec<Arc<str>> {
    let found = match inner(object) {
        Some(N::String(text)) => Some(text.sval.as_str()),
        Some(N::List(list)) => last(&list.items),
        Some(N::ObjectWithArgs(object)) => last(&object.objname),
        Some(N::TypeName(name)) => last(&name.names),
        _ => None,
    };
    found.map(Arc::from).into_iter().collect()
}

fn cascades(behavior: i32) -> bool {
    DropBehavior::try_from(behavior) == Ok(DropBehavior::DropCascade)
}

fn on_schema(grant: &GrantStmt) -> Option<Change> {
    let is_on = ObjectType::try_from(grant.objtype) == Ok(ObjectType::ObjectSchema);
    is_on.then(Change::of_places)
}

fn altered(alter: &AlterTableStmt, facts: &Facts) -> Change {
    let cascade = alter.cmds.iter().any(
        |node| matches!(inner(node), Some(N::AlterTableCmd(command)) if cascades(command.behavior)),
    );
    let is_type = ObjectType::try_from(alter.objtype) == Ok(ObjectType::ObjectType);
    if cascade && is_type {
        // Columns of tables that are OF it change with it.
        return Change::of_anything();
    }
    let names = facts.writes.iter().map(|name| &**name).chain(relation(alter.relation.as_ref()));
    Change { made: cascade || is_type, ..Change::of_names(names) }
}

fn renamed(rename: &RenameStmt) -> Change {
    use ObjectType::{
        ObjectAttribute, ObjectForeignTable, ObjectIndex, ObjectMatview, ObjectRole, ObjectSchema,
        ObjectSequence, ObjectTable, ObjectView,
    };
    let kind = ObjectType::try_from(rename.rename_type).unwrap_or_default();
    let object = rename.object.as_deref().map(last_names).unwrap_or_default();
    let before = relation(rename.relation.as_ref()).chain(object.iter().map(|name| &**name));
    let after = rename.newname.as_str();
    match kind {
        ObjectAttribute if cascades(rename.behavior) => Change::of_anything(),
        ObjectAttribute => Change::of_made(before),
        ObjectForeignTable | ObjectIndex | ObjectMatview | ObjectSequence | ObjectTable
        | ObjectView => Change::of_names(before.chain([after])),
        // Of a column, a constraint, a trigger, a rule or a policy.
        _ if rename.relation.is_some() => Change::of_names(before),
        // `"$user"` in a search path means another schema.
        ObjectRole => Change::of_places(),
        ObjectSchema => {
            let names = [rename.subname.as_str(), after];
            Change { moved: true, ..Change::of_made(names) }
        }
        _ => Change::of_made(before.chain([after])),
    }
}

/// What is dropped is not found, and what another schema has by its name may be instead. What goes
/// with it is made too, and can be any relation: all of a schema, of an extension, of a type.
fn dropped(drop: &DropStmt, facts: &Facts) -> Option<Change> {
    use ObjectType::{
        ObjectForeignTable, ObjectIndex, ObjectMatview, ObjectPolicy, ObjectRule, ObjectSchema,
        ObjectSequence, ObjectTable, ObjectTrigger, ObjectView,
    };
    let kind = ObjectType::try_from(drop.remove_type).unwrap_or_default();
    let is_alone = !cascades(drop.behavior);
    if is_alone && kind == ObjectSchema {
        // It is empty, or stays; what is made without a schema can be elsewhere then.
        return Some(Change::of_places());
    }
    let is_of_relations = matches!(
        kind,
        ObjectForeignTable
            | ObjectIndex
            | ObjectMatview
            | ObjectPolicy
            | ObjectRule
            | ObjectSequence
            | ObjectTable
            | ObjectTrigger
            | ObjectView
    );
    let names = Change::of_names(facts.writes.iter().map(|name| &**name));
    let takes_more = !(is_alone && is_of_relations);
    Some(Change { made: takes_more, moved: takes_more, ..names })
}

/// A range type comes with a multirange, and both with functions of their names.
fn range(create: &CreateRangeStmt) -> Change {
    /// Longer names are cut to have room for the multirange's.
    const NAME_BYTES_MAX: usize = 40;
    let Some(name) = last(&create.type_name) else { return Change::of_anything() };
    let given = create.params.iter().find_map(|param| match inner(param) {
        Some(N::DefElem(option)) if option.defname.eq_ignore_ascii_case("multirange_type_name") => {
            Some(multirange_name(option))
        }
        _ => None,
    });
    let made = match name.contains("range") {
        true => name.replacen("range", "multirange", 1),
        false => format!("{name}_multirange"),
    };
    match given {
        Some(Some(given)) => Change::of_made([name, &given]),
        None if name.len() <= NAME_BYTES_MAX => Change::of_made([name, &made]),
        _ => Change::of_anything(),
    }
}

fn multirange_name(option: &DefElem) -> Option<Arc<str>> {
    boxed(&option.arg).map(last_names)?.pop()
}

/// What a statement goes by, as it was judged.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Uses {
    /// Nothing but constants, and what the session itself has.
    nothing: bool,
    /// Definitions that do not ship with PostgreSQL, tables of plain columns left out.
    made: bool,
    /// A name that several relations have.
    ambiguous: bool,
    /// Not all names are told.
    unclear: bool,
    /// Relations that it reads or writes, what these inherit from and what inherits from these,
    /// and functions called. Those in the text are not repeated.
    names: BTreeSet<Arc<str>>,
}

/// Longest text that is looked through for names, bytes.
const TEXT_BYTES_MAX: usize = 256 * 1024;
/// Relations that are told apart, tables with their partitions included.
const RELATIONS_MAX: usize = 1024;

impl Uses {
    /// It goes by definitions that do not ship with PostgreSQL and are more than tables of plain
    /// columns: functions whose bodies name something, above all.
    #[must_use]
    pub fn goes_by_made(&self) -> bool {
        self.made
    }

    /// What `statement` goes by, of this text and judged by `catalog`.
    #[must_use]
    pub fn of(statement: &Statement, text: &str, catalog: &Catalog) -> Self {
        let facts = &statement.facts;
        let written = [&facts.reads, &facts.writes, &facts.unresolved, &facts.functions];
        let names = written.into_iter().flatten().map(|name| Arc::from(bare(name)));
        let mut uses = Self {
            unclear: text.len() > TEXT_BYTES_MAX || hides_names(text),
            names: names.collect(),
            ..Self::default()
        };
        if uses.unclear {
            (uses.made, uses.ambiguous) = (true, true);
            return uses;
        }
        let mut relations = Relations { catalog, all: BTreeSet::new() };
        let mut is_stored = BTreeSet::new();
        for oid in &facts.objects {
            match catalog.relation(*oid) {
                Some(relation) => {
                    is_stored.insert(format!("{}.{}", relation.schema, relation.name));
                    relations.add(relation);
                }
                // Followed from the text that makes it.
                None if *oid >= own::FIRST_OID => {}
                None => uses.made |= *oid >= FIRST_NORMAL_OID,
            }
        }
        let words = Words::of(text);
        for word in &words.0 {
            uses.ambiguous |= catalog.named(word).nth(1).is_some();
            catalog.named(word).for_each(|relation| relations.add(relation));
            uses.made |= catalog.has_type_made(word)
                || catalog.functions(word).any(|function| !function.builtin);
        }
        let ships = |name: &&Arc<str>| {
            name.starts_with("pg_catalog.") || name.starts_with("information_schema.")
        };
        let is_unknown = |name: &Arc<str>| !ships(&name) && !is_stored.contains(&**name);
        let casts = || catalog.all_casts().any(|cast| !catalog.has_type_named(&cast.to));
        uses.ambiguous |= facts.shadows;
        uses.unclear |= relations.is_full();
        uses.made |= !facts.writes.is_empty()
            || !facts.unresolved.is_empty()
            || facts.dynamic
            || facts.reads.iter().any(is_unknown)
            || facts.functions.iter().any(|name| is_made(catalog, name))
            || relations.all().any(goes_by_more)
            || casts();
        uses.names.extend(relations.all().map(|relation| Arc::from(bare(&relation.name))));
        let reads_nothing = facts.reads.is_empty() && facts.functions.is_empty();
        let is_simple = words.0.len() <= 3 || is_words_only(&statement.kind);
        uses.nothing = !uses.made && reads_nothing && is_simple && !computes(text);
        uses
    }
}

/// Whether a function of this name, as written, is more than PostgreSQL's own.
fn is_made(catalog: &Catalog, name: &str) -> bool {
    let bare = bare(name);
    !catalog.ships_function(bare) || catalog.functions(bare).any(|function| !function.builtin)
}

/// Whether a relation is more than a table of columns that stay as long as it does.
fn goes_by_more(relation: &Relation) -> bool {
    let is_table = matches!(
        relation.kind,
        RelationKind::Partitioned | RelationKind::Sequence | RelationKind::Table
    );
    if relation.builtin() {
        return false;
    }
    !is_table
        || relation.row_security
        || crate::scope::live(relation).any(|column| {
            column.type_oid >= FIRST_NORMAL_OID
                || column.row_of != 0
                || column.collated
                || column.generated.is_some()
                || column.default.is_some()
        })
}

/// Relations, with those above and below them and those whose rows are in their columns.
struct Relations<'c> {
    catalog: &'c Catalog,
    all: BTreeSet<u32>,
}

impl<'c> Relations<'c> {
    fn add(&mut self, relation: &'c Relation) {
        let mut waiting = vec![relation.oid];
        while let Some(oid) = waiting.pop() {
            if self.is_full() || !self.all.insert(oid) {
                continue;
            }
            let Some(relation) = self.catalog.relation(oid) else { continue };
            waiting.extend(&relation.parents);
            waiting.extend(self.catalog.children(oid));
            waiting.extend(relation.columns.iter().map(|column| column.row_of).filter(|r| *r != 0));
        }
    }

    fn is_full(&self) -> bool {
        self.all.len() >= RELATIONS_MAX
    }

    fn all(&self) -> impl Iterator<Item = &'c Relation> {
        self.all.iter().filter_map(|oid| self.catalog.relation(*oid))
    }
}

/// Whether a name in the text can be written otherwise than it reads.
fn hides_names(text: &str) -> bool {
    let unicode = text.as_bytes().windows(3).any(|part| part.eq_ignore_ascii_case(b"u&\""));
    unicode || text.contains("\"\"")
}

/// Whether what looks like more than names in one of its kind is none.
fn is_words_only(kind: &StatementKind) -> bool {
    use StatementKind::{Execute, Fetch, Show};
    matches!(kind, Execute { .. } | Fetch { .. } | Show { .. })
}

/// Whether it has signs for operators, calls or casts; some operators are words.
fn computes(text: &str) -> bool {
    text.contains(['+', '-', '*', '/', '<', '>', '=', '~', '!', '@', '#', '%', '^', '&', '|', '`'])
        || text.contains(['?', '(', '[', ':'])
}

/// Everything in a text that can be a name, folded as the server folds it: words, and what is
/// between quotes, wherever these begin.
#[derive(Clone, Debug, Default)]
pub struct Words(BTreeSet<String>);

impl Words {
    /// The words of a text.
    #[must_use]
    pub fn of(text: &str) -> Self {
        let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '$' || !c.is_ascii();
        let bare = text.split(|c: char| !is_part(c)).filter(|word| !word.is_empty());
        let folded = bare.map(|word| cut(&word.to_ascii_lowercase()));
        Self(folded.chain(text.split('"').skip(1).map(cut)).collect())
    }
}

/// As much of a name as the server keeps.
fn cut(name: &str) -> String {
    /// `NAMEDATALEN` in PostgreSQL's `pg_config_manual.h`, less its end.
    const NAME_BYTES_MAX: usize = 63;
    name.get(..name.floor_char_boundary(NAME_BYTES_MAX)).unwrap_or(name).to_owned()
}

#[cfg(test)]
mod tests;
