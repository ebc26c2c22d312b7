//! Whether a statement could tell a principal what a mask hides (R1, R5).
//!
//! A statement says, for every stored column it names, in which places the column's value or an
//! answer about it goes. A masked column may go to an output column, where the gateway masks it; it
//! may be tested for NULL and counted; it may be compared for equality as far as its mask allows.
//! Anything else is refused, with a reason from [`REASONS`].

use std::collections::{HashMap, HashSet};
use std::rc::Rc;
use std::sync::Arc;

use crate::catalog::{Catalog, ColumnId, Relation, RelationKind, SearchPath, StoredColumn};
use crate::known;
use crate::statement::{Missing, Opaque, Operand, Place, Statement, StatementKind, Use};
use crate::view;
use crate::walk::{Context, Walk};

/// Yes/no answers about a masked column that its mask allows (R5).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Predicates {
    /// All: ranges, patterns, order, groups and expressions too.
    Allow,
    /// `=` and IN against client values, and joins with columns that are masked too. A join with
    /// a column in clear text would read the masked one off it.
    Equality,
    /// None.
    Refuse,
}

/// Every reason a statement can be refused with, and what it means.
pub const REASONS: &[(&str, &str)] = &[
    ("dynamic_query", "it runs SQL that is not in it"),
    ("expression", "a masked column is inside an expression that could fail on its value"),
    ("from_function", "a masked column is the argument of a function in FROM"),
    ("installs_code", "it puts code into the database that would run later, untraced"),
    ("large_object", "large objects hold bytes no mask is known for"),
    ("moved", "a masked column would be copied to where no mask follows"),
    ("opaque_function", "it calls a function whose body cannot be looked into"),
    ("opaque_view", "it reads a view column whose definition cannot be looked into"),
    ("predicate", "a masked column would decide which rows there are, or in which order"),
    ("raw_storage", "it reads storage that holds other tables' values"),
    ("redefined", "it changes the definition of a masked column or of its table"),
    ("plan_setting", "it steers which plan the server chooses, or what it tells of its work"),
    ("replication", "it reads the stream of all changes"),
    ("server_file", "it reads or writes files or programs of the server"),
    ("statistics", "it reads statistics, which are samples of stored values or tell their lengths"),
    ("unknown_object", "it names something the catalog snapshot does not have"),
    ("unknown_statement", "it is of a kind this gateway does not know"),
];

/// A statement was not proved harmless.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Untraceable {
    /// The SQLSTATE that the server would say, where it would say one.
    pub sqlstate: Option<&'static str>,
    /// A word from [`REASONS`].
    pub reason: &'static str,
    /// Names what it is about and what to do instead; made of names in the text and in the catalog.
    pub message: String,
}

/// Judges `statement` for a principal with masks.
///
/// # Errors
/// [`Untraceable`] when a masked value, or an answer about one that `predicates` does not allow,
/// could reach the principal other than through an output column that is traced to it.
pub fn exposure(
    statement: &Statement,
    masked: &dyn Fn(ColumnId) -> bool,
    predicates: &dyn Fn(ColumnId) -> Predicates,
) -> Result<(), Untraceable> {
    exposure_beside(statement, masked, &|_| false, predicates)
}

/// The same where it is known of which columns a mask says the name: these have it whatever becomes
/// of those that theirs would be derived from.
///
/// # Errors
/// As [`exposure`].
pub fn exposure_beside(
    statement: &Statement,
    masked: &dyn Fn(ColumnId) -> bool,
    named: &dyn Fn(ColumnId) -> bool,
    predicates: &dyn Fn(ColumnId) -> Predicates,
) -> Result<(), Untraceable> {
    if let Some(opaque) = statement.opaque.first() {
        return Err(untraceable(opaque));
    }
    for used in &statement.uses {
        if masked(used.column)
            && let Some(reason) = refused_use(used, masked, named, predicates)
        {
            return Err(Untraceable { sqlstate: None, reason, message: message(used, reason) });
        }
    }
    if let Some(guess) = statement.guesses.iter().find(|guess| {
        let is_uncounted = match guess.operand {
            Operand::Unbounded => true,
            Operand::Stored(of) => !masked(of),
            Operand::Cast(_)
            | Operand::Computed
            | Operand::Constant(_)
            | Operand::Given(_)
            | Operand::Parameter(_) => false,
        };
        is_uncounted && masked(guess.column) && predicates(guess.column) == Predicates::Equality
    }) {
        let name = statement.uses.iter().find(|used| used.column == guess.column);
        let name = name.map_or("a masked column", |used| &used.name);
        return Err(Untraceable {
            sqlstate: None,
            reason: "predicate",
            message: format!(
                "{name} is masked and may be compared only with values that are in the statement, \
                 or bound to it for nothing else, so that they can be counted"
            ),
        });
    }
    let columns = statement.outputs.columns.iter().flatten();
    if let Some(column) = columns.chain(&statement.outputs.every).find(|column| column.unknown) {
        let name = column.name.as_deref().unwrap_or("a result column");
        return Err(Untraceable {
            sqlstate: None,
            reason: "unknown_object",
            message: format!(
                "what {name} is made of cannot be told; name the columns of known tables"
            ),
        });
    }
    Ok(())
}

/// Whether nothing that the server says about `statement` can quote a masked value: it only reads,
/// everything it reads is known, and no column of that is masked, by itself or in a policy.
#[must_use]
pub fn is_clear(
    statement: &Statement,
    catalog: &Catalog,
    masked: &dyn Fn(ColumnId) -> bool,
) -> bool {
    let clear = |oid: &u32| {
        catalog.relation(*oid).is_some_and(|relation| {
            use RelationKind::{MaterializedView, Partitioned, Sequence, Table, View};
            let known = match relation.kind {
                MaterializedView | Partitioned | Sequence | Table => true,
                View => relation.definition.is_some(),
                _ => false,
            };
            let mut columns = relation.columns.iter();
            known
                && !relation.row_security
                && !columns.any(|column| {
                    masked(ColumnId { relation: relation.oid, attnum: column.attnum })
                })
        })
    };
    let facts = &statement.facts;
    matches!(statement.kind, StatementKind::Select)
        && facts.read_only
        && facts.unresolved.is_empty()
        && !facts.shadows
        && statement.opaque.is_empty()
        && facts.objects.iter().all(clear)
}

/// Why a use of a masked column is refused; `None` when it is not.
#[must_use]
pub fn refused_use(
    used: &Use,
    masked: &dyn Fn(ColumnId) -> bool,
    named: &dyn Fn(ColumnId) -> bool,
    predicates: &dyn Fn(ColumnId) -> Predicates,
) -> Option<&'static str> {
    let allowed = || predicates(used.column);
    match &used.place {
        Place::Equality => (allowed() == Predicates::Refuse).then_some("predicate"),
        Place::EquiJoin(other) => match allowed() {
            Predicates::Allow => None,
            Predicates::Equality => {
                let alike = masked(*other) && predicates(*other) != Predicates::Refuse;
                (!alike).then_some("predicate")
            }
            Predicates::Refuse => Some("predicate"),
        },
        Place::Predicate(_) => (allowed() != Predicates::Allow).then_some("predicate"),
        Place::Expression(_) => (allowed() != Predicates::Allow).then_some("expression"),
        Place::FromFunction(_) => Some("from_function"),
        Place::Moved(_) => Some("moved"),
        Place::Redefined(_) => Some("redefined"),
        Place::Covers(other) => (!named(*other)).then_some("redefined"),
        Place::Ambiguous(_) => Some("unknown_object"),
    }
}

fn untraceable(opaque: &Opaque) -> Untraceable {
    let object = &opaque.object;
    let message = match opaque.reason {
        "dynamic_query" => {
            format!("{object} runs SQL that cannot be traced; send the statement itself instead")
        }
        "installs_code" => {
            format!("{object} would install code that runs untraced; ask an administrator to do it")
        }
        "large_object" => format!("{object} reaches large objects, for which no mask is known"),
        "opaque_function" => format!(
            "what the function {object} reads cannot be traced; query the tables directly, or have \
             it rewritten in SQL"
        ),
        "opaque_view" => format!(
            "what the view column {object} is made of cannot be traced; query its tables directly"
        ),
        "plan_setting" => format!(
            "{object} decides how the server plans, or what it tells of that, and so can tell the \
             order or the length of masked values; leave it as it is"
        ),
        "statistics" => format!(
            "{object} holds samples of stored values, or tells how long they are, masked ones too"
        ),
        "unknown_object" => format!(
            "{object} is not in the catalog as this gateway knows it; commit its definition first, \
             or check its name"
        ),
        _ => format!("{object} cannot be traced for someone from whom columns are masked"),
    };
    let sqlstate = opaque.missing.map(Missing::sqlstate);
    Untraceable { sqlstate, reason: opaque.reason, message }
}

fn message(used: &Use, reason: &str) -> String {
    let name = &used.name;
    match &used.place {
        Place::Equality => format!("{name} is masked and may not be compared; leave it out"),
        Place::EquiJoin(_) => format!(
            "{name} is masked and may be joined only with columns that are masked too; join by \
             another key"
        ),
        Place::Predicate(clause) => format!(
            "{name} is masked and may not be used in {clause}{}; use other columns",
            if reason == "predicate" { " this way" } else { "" }
        ),
        Place::Expression(operation) => format!(
            "{name} is masked and may not be an operand of {operation}; select the column itself"
        ),
        Place::FromFunction(function) => format!(
            "{name} is masked and may not be an argument of {function} in FROM; select the column \
             itself"
        ),
        Place::Moved(to) => {
            format!("{name} is masked and may not be copied ({to}); leave the column out")
        }
        Place::Ambiguous(written) => format!(
            "{written} may mean the table of {name}, which is masked, as well as another; write it \
             with its schema"
        ),
        Place::Covers(_) => format!(
            "DROP concerns {name}, which is masked, and what stays has values of it and its mask \
             by it alone; ask an administrator to do it"
        ),
        Place::Redefined(command) => {
            format!("{command} concerns {name}, which is masked; ask an administrator to do it")
        }
    }
}

/// Every stored column that is masked, with the strictest (smallest) of its masks: those `kind`
/// names, and those derived from them: columns of views by lineage, generated columns, and columns
/// of the same name up and down an inheritance or partition tree, columns that hold rows of a
/// relation. What is computed from a masked column, by a view or in storage, has the mask that
/// `made` makes of the column's. Where an index has a masked column, so have the counts of the
/// server that tell of indexes.
pub fn masked_kinds<K: Ord + Copy>(
    catalog: &Catalog,
    kind: impl Fn(&str, &str, &str) -> Option<K>,
    made: impl Fn(K) -> K,
) -> HashMap<ColumnId, K> {
    let mut masks: HashMap<ColumnId, K> = catalog
        .all_columns()
        .filter_map(|(id, relation, column)| {
            Some((id, kind(&relation.schema, &relation.name, &column.name)?))
        })
        .collect();
    if masks.is_empty() {
        return masks;
    }
    let edges = derivations(catalog);
    if let Some(kind) = masks.values().map(|kind| made(*kind)).min() {
        masks.extend(known::copies().map(|id| (id, kind)));
        masks.extend(known::copies_in(catalog).map(|id| (id, kind)));
    }
    carry(&mut masks, &edges, &made);
    let indexed = masks
        .iter()
        .filter(|(id, _)| catalog.column(**id).is_some_and(|(_, column)| column.indexed));
    if let Some(kind) = indexed.map(|(_, kind)| made(*kind)).min() {
        masks.extend(known::index_counts().map(|id| (id, kind)));
        carry(&mut masks, &edges, &made);
    }
    masks
}

/// Gives what depends on masked columns their masks.
fn carry<K: Ord + Copy>(masks: &mut HashMap<ColumnId, K>, edges: &[Edge], made: impl Fn(K) -> K) {
    // Each round carries masks one step further; trees and views are not deeper than this.
    for _ in 0..=Walk::NESTING {
        let mut changed = false;
        for Edge { from, to, computed } in edges {
            let Some(kind) = masks.get(from).copied() else { continue };
            let kind = if *computed { made(kind) } else { kind };
            let known = masks.entry(*to).or_insert_with(|| {
                changed = true;
                kind
            });
            if kind < *known {
                *known = kind;
                changed = true;
            }
        }
        if !changed {
            break;
        }
    }
}

/// The same as [`masked_kinds`], for callers that only want to know which.
pub fn masked_columns(
    catalog: &Catalog,
    is_masked: impl Fn(&str, &str, &str) -> bool,
) -> HashSet<ColumnId> {
    let kind =
        |schema: &str, table: &str, column: &str| is_masked(schema, table, column).then_some(());
    masked_kinds(catalog, kind, |()| ()).into_keys().collect()
}

/// The value of `to` can depend on that of `from`.
struct Edge {
    from: ColumnId,
    to: ColumnId,
    /// It is not the same value.
    computed: bool,
}

fn derivations(catalog: &Catalog) -> Vec<Edge> {
    let path = SearchPath::Known(Vec::new());
    let context = standing(catalog, &path);
    let mut edges = Vec::new();
    for relation in catalog.relations() {
        edges.extend(inheritance(catalog, relation));
        if let Some(lineage) = view::lineage(context, relation) {
            viewed(&lineage, relation, &mut edges);
        }
        generated(context, relation, &mut edges);
        defaults(context, relation, &mut edges);
        rows_held(catalog, relation, &mut edges);
    }
    edges.extend(references(catalog));
    edges
}

/// Columns of a table and the same of those it inherits, both ways.
fn inheritance<'c>(
    catalog: &'c Catalog,
    relation: &'c Relation,
) -> impl Iterator<Item = Edge> + use<'c> {
    let parents = relation.parents.iter().filter_map(|oid| catalog.relation(*oid));
    parents.flat_map(move |parent| {
        let columns = relation.columns.iter().filter(|column| !column.dropped);
        columns.filter_map(|column| Some((column, parent.column(&column.name)?))).flat_map(
            move |(column, same)| {
                let below = ColumnId { relation: relation.oid, attnum: column.attnum };
                let above = ColumnId { relation: parent.oid, attnum: same.attnum };
                [
                    Edge { from: below, to: above, computed: false },
                    Edge { from: above, to: below, computed: false },
                ]
            },
        )
    })
}

/// What the columns of a view are made of.
fn viewed(lineage: &view::Lineage, relation: &Relation, edges: &mut Vec<Edge>) {
    for (place, column) in relation.columns.iter().enumerate() {
        let to = ColumnId { relation: relation.oid, attnum: column.attnum };
        let Some(under) = lineage.table.at(place) else { continue };
        let computed = !under.pure;
        edges.extend(under.deps.iter().map(|from| Edge { from, to, computed }));
    }
}

/// What references a column holds values of it.
fn references(catalog: &Catalog) -> impl Iterator<Item = Edge> {
    catalog.references().map(|tie| Edge { from: tie.to, to: tie.from, computed: false })
}

/// Columns that keep values of others by a tie that can be dropped while they stay.
pub(crate) struct Kept {
    /// Foreign keys: what is referenced, and what references it.
    pub references: Vec<(ColumnId, ColumnId)>,
    /// Defaults that call functions: what these read, and the column. Materialized views and
    /// generated columns too: they may read through functions, which nothing ties to what is read.
    pub copies: Vec<Copied>,
    /// Tables that inherit, and what they inherit: rows may have gone from one to the other.
    pub inherited: Vec<(ColumnId, ColumnId)>,
}

/// A column that has what was read from another when it was stored.
pub(crate) struct Copied {
    pub from: ColumnId,
    pub to: ColumnId,
    /// What may stand between; `None` where that cannot be told.
    pub through: Option<Rc<Through>>,
}

/// What something reads through.
pub(crate) struct Through {
    /// Relations, `schema.name`.
    pub relations: Vec<Arc<str>>,
    /// Functions of somebody's own, by their bare names. Where there is none, the server knows what
    /// depends on what.
    pub functions: Vec<Arc<str>>,
}

impl Through {
    fn of(lineage: &view::Lineage) -> Rc<Self> {
        let own = lineage.functions.iter().filter_map(|name| Some(name.rsplit_once('.')?.1.into()));
        Rc::new(Self { relations: lineage.reads.clone(), functions: own.collect() })
    }
}

/// What has the mask of another column only as long as something else is there.
pub(crate) fn kept(catalog: &Catalog) -> Kept {
    let path = SearchPath::Known(Vec::new());
    let context = standing(catalog, &path);
    let mut copies = Vec::new();
    let mut inherited = Vec::new();
    for relation in catalog.relations() {
        let copied = |through: Option<Rc<Through>>| {
            move |edge: Edge| Copied { from: edge.from, to: edge.to, through: through.clone() }
        };
        let mut edges = Vec::new();
        generated(context, relation, &mut edges);
        let others = edges.into_iter().filter(|edge| edge.from.relation != edge.to.relation);
        copies.extend(others.map(copied(None)));
        for column in &relation.columns {
            let mut edges = Vec::new();
            if let Some(reads) = default(context, relation, column, &mut edges) {
                copies.extend(edges.into_iter().map(copied(Some(reads))));
            }
        }
        if relation.kind == RelationKind::MaterializedView
            && let Some(lineage) = view::lineage(context, relation)
        {
            let mut edges = Vec::new();
            viewed(&lineage, relation, &mut edges);
            copies.extend(edges.into_iter().map(copied(Some(Through::of(&lineage)))));
        }
        let tree = inheritance(catalog, relation);
        inherited.extend(tree.map(|edge| (edge.from, edge.to)));
    }
    let pair = |edge: Edge| (edge.from, edge.to);
    Kept { references: references(catalog).map(pair).collect(), copies, inherited }
}

/// Where definitions that are stored are read: every name in them is qualified, but bodies of
/// functions look names up by the path of whoever reads or writes one day.
fn standing<'c>(catalog: &'c Catalog, path: &'c SearchPath) -> Context<'c> {
    let bodies = &SearchPath::Unknown;
    let (creates, used, nesting, within) = (path, 0, 0, None);
    Context { catalog, path, bodies, creates, used, nesting, within, late_numbers: false }
}

/// A column of a row type holds a value of every column of the relation.
fn rows_held(catalog: &Catalog, relation: &Relation, edges: &mut Vec<Edge>) {
    for column in relation.columns.iter().filter(|column| column.row_of != 0) {
        let to = ColumnId { relation: relation.oid, attnum: column.attnum };
        let of = catalog.relation(column.row_of);
        let fields = of.into_iter().flat_map(|of| of.columns.iter().map(|field| (of.oid, field)));
        edges.extend(fields.map(|(relation, field)| Edge {
            from: ColumnId { relation, attnum: field.attnum },
            to,
            computed: true,
        }));
    }
}

/// A default that calls a function in SQL stores what that reads.
fn defaults(context: Context<'_>, relation: &Relation, edges: &mut Vec<Edge>) {
    for column in &relation.columns {
        default(context, relation, column, edges);
    }
}

/// The same for one column; gives what it reads through.
fn default(
    context: Context<'_>,
    relation: &Relation,
    column: &StoredColumn,
    edges: &mut Vec<Edge>,
) -> Option<Rc<Through>> {
    let filled = view::filled(context, column.default.as_ref()?)?;
    let to = ColumnId { relation: relation.oid, attnum: column.attnum };
    // What is written to a view is stored below.
    let below = view::lineage(context, relation).map(|lineage| {
        let place = relation.columns.iter().position(|other| other.attnum == column.attnum);
        place.and_then(|place| lineage.table.at(place).map(|val| val.deps.clone()))
    });
    let below = below.flatten().unwrap_or_default();
    for to in below.iter().chain([to]) {
        let reads = filled.table.whole().deps;
        edges.extend(reads.iter().map(|from| Edge { from, to, computed: true }));
    }
    Some(Through::of(&filled))
}

fn generated(context: Context<'_>, relation: &Relation, edges: &mut Vec<Edge>) {
    for view::Generated { column: to, reads, .. } in view::generated(context, relation) {
        edges.extend(reads.iter().map(|from| Edge { from, to, computed: true }));
    }
}
