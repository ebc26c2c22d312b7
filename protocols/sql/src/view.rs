//! Text kept in the catalog: definitions of views and bodies of functions in SQL.

use std::sync::Arc;

use crate::catalog::{ColumnId, Function, Relation, RelationKind, SearchPath};
use crate::estimate;
use crate::record::Recorder;
use crate::scope::column_id;
use crate::stack;
use crate::statement::{Opaque, Place};
use crate::tree::{N, inner};
use crate::utility::into_clause;
use crate::value::{Deps, Table, Val};
use crate::walk::{Context, Params, Walk, Within};

/// What a view's definition says: the columns under its own, and what reading it does.
#[derive(Debug, Default)]
pub(crate) struct Lineage {
    pub table: Table,
    pub reads: Vec<Arc<str>>,
    pub objects: Vec<u32>,
    /// Those of somebody's own with their schemas.
    pub functions: Vec<Arc<str>>,
    other_backends: Vec<Arc<str>>,
    server_access: Vec<&'static str>,
    /// It reads what holds copies of other tables' values, or does what cannot be looked into.
    opaque: Vec<Opaque>,
    /// Where functions in it copy stored columns to.
    moves: Vec<(ColumnId, Place)>,
    may_write: bool,
    dynamic: bool,
    /// Settings that it changes, by `set_config`.
    sets: Vec<(Arc<str>, Option<Arc<str>>)>,
    changes_search_path: bool,
    may_define: bool,
    role_change: bool,
    /// Its own share of [`crate::Facts::estimate_digits`].
    estimate_digits: u32,
}

impl Lineage {
    /// Of what cannot be looked into.
    fn unknown(relation: &Relation) -> Self {
        let object = format!("{}.{}.*", relation.schema, relation.name).into();
        let opaque = Opaque { reason: "opaque_view", object, missing: None };
        Self {
            table: Table::any(Val::unknown()),
            opaque: vec![opaque],
            may_write: true,
            estimate_digits: estimate::UNKNOWN,
            ..Self::default()
        }
    }

    /// What a walk has found that gives `table`.
    fn of(rec: Recorder, table: Table) -> Self {
        // A column is refused for what it is made of when it is asked for.
        let is_done = |found: &&Opaque| {
            !matches!(found.reason, "opaque_function" | "opaque_view" | "unknown_object")
                || rec.acting.contains(&found.object)
        };
        Self {
            table,
            opaque: rec.opaque.iter().filter(is_done).cloned().collect(),
            moves: rec.uses.into_iter().filter(|(_, place)| is_moved(place)).collect(),
            reads: rec.reads.into_iter().collect(),
            objects: rec.objects.into_iter().collect(),
            functions: rec.functions.into_iter().chain(rec.functions_beneath).collect(),
            other_backends: rec.other_backends.into_iter().collect(),
            server_access: rec.server_access.into_iter().collect(),
            may_write: rec.may_write,
            dynamic: rec.dynamic,
            sets: rec.sets,
            changes_search_path: rec.changes_search_path,
            may_define: rec.may_define,
            role_change: rec.role_change,
            estimate_digits: rec.estimate_digits,
        }
    }

    /// Reading the view does all this.
    pub(crate) fn note(&self, rec: &mut Recorder) {
        rec.reads.extend(self.reads.iter().cloned());
        rec.objects.extend(self.objects.iter().copied());
        rec.functions_beneath.extend(self.functions.iter().cloned());
        rec.other_backends.extend(self.other_backends.iter().cloned());
        rec.server_access.extend(self.server_access.iter().copied());
        self.note_actions(rec);
        rec.may_write |= self.may_write;
        rec.dynamic |= self.dynamic;
        rec.multiplies(self.estimate_digits);
    }

    /// Whatever is done with the view, functions in it do this.
    pub(crate) fn note_actions(&self, rec: &mut Recorder) {
        rec.opaque.extend(self.opaque.iter().cloned());
        rec.uses.extend(self.moves.iter().cloned());
        for (name, value) in &self.sets {
            rec.set(name, value.clone());
        }
        rec.changes_search_path |= self.changes_search_path;
        rec.may_define |= self.may_define;
        rec.role_change |= self.role_change;
    }
}

/// What is under a view or materialized view; `None` for other relations and for views that ship
/// with PostgreSQL, whose columns count as their own.
pub(crate) fn lineage(context: Context<'_>, relation: &Relation) -> Option<Arc<Lineage>> {
    let is_view = matches!(relation.kind, RelationKind::View | RelationKind::MaterializedView);
    if !is_view || relation.builtin() {
        return None;
    }
    let kept = context.catalog.lineage(relation.oid)?;
    if let Some(known) = kept.get() {
        return Some(Arc::clone(known));
    }
    if context.nesting >= Walk::NESTING {
        return Some(Arc::new(Lineage::unknown(relation)));
    }
    let made = trace(context, relation).unwrap_or_else(|| Lineage::unknown(relation));
    let made = Arc::new(made);
    // A definition that names itself, which no server has, was settled further down; the first
    // answer stays.
    let _ = kept.set(Arc::clone(&made));
    Some(made)
}

fn trace(context: Context<'_>, relation: &Relation) -> Option<Lineage> {
    let text = relation.definition.as_deref()?;
    // Names in a definition are qualified. If they are not, these two are the likeliest.
    let path = SearchPath::Known(vec![Arc::clone(&relation.schema), "public".into()]);
    let bodies = &SearchPath::Unknown;
    stack::with_tree(text, true, context.used, |tree, used| {
        let nesting = context.nesting + 1;
        let context = Context { path: &path, bodies, used, nesting, ..context };
        let mut walk = Walk::new(context, Walk::BUDGET);
        let mut table = match tree.stmts.as_slice() {
            [only] => walk.query(only.stmt.as_deref()?, None, &None),
            _ => return None,
        };
        if walk.budget == 0 {
            return None;
        }
        crate::query::forget_client(&mut table);
        let opaque = !walk.passed.all_of(&tree.stmts)
            || walk.rec.opaque.iter().any(|found| found.reason == "unknown_statement");
        let table = if opaque { Table::any(Val::unknown()) } else { table };
        Some(Lineage::of(walk.rec, table))
    })
    .ok()
    .flatten()
}

fn is_moved(place: &Place) -> bool {
    matches!(place, Place::Moved(_) | Place::Redefined(_))
}

/// What filling a column by its default does, as far as it can be told: functions that are not
/// written in SQL are taken to give a value and no more. `None` when it cannot be read at all.
pub(crate) fn filled(context: Context<'_>, expression: &str) -> Option<Lineage> {
    if context.nesting >= Walk::NESTING {
        return None;
    }
    let text = format!("SELECT {expression}");
    let path = SearchPath::Known(Vec::new());
    stack::with_tree(&text, true, context.used, |tree, used| {
        let nesting = context.nesting + 1;
        let context =
            Context { path: &path, bodies: &SearchPath::Unknown, used, nesting, ..context };
        let mut walk = Walk::new(context, Walk::BUDGET);
        let table = walk.query(tree.stmts.first()?.stmt.as_deref()?, None, &None);
        let unwalked = std::mem::take(&mut walk.rec.unwalked);
        walk.rec.opaque.retain(|found| unwalked.contains(&found.object));
        walk.rec.acting = unwalked;
        (walk.budget > 0).then(|| Lineage::of(walk.rec, table))
    })
    .ok()
    .flatten()
}

/// What defaults of a function's arguments depend on, and what they do.
pub(crate) fn defaults(
    context: Context<'_>,
    text: &str,
    budget: &mut u64,
) -> Option<(Table, Recorder)> {
    if context.nesting >= Walk::NESTING {
        return None;
    }
    let text = format!("SELECT {text}");
    let mut share = Share::of(budget, &text)?;
    stack::with_tree(&text, true, context.used, |tree, used| {
        let context = Context { used, nesting: context.nesting + 1, ..context };
        let mut walk = Walk::new(context, share.left);
        let table = walk.query(tree.stmts.first()?.stmt.as_deref()?, None, &None);
        share.left = walk.budget;
        let is_whole = walk.budget > 0 && walk.passed.all_of(&tree.stmts);
        // Nobody wrote it in this statement.
        walk.rec.verbs.clear();
        is_whole.then_some((table, walk.rec))
    })
    .ok()
    .flatten()
}

/// A generated column.
#[derive(Debug)]
pub(crate) struct Generated {
    pub column: ColumnId,
    /// Columns that its expression reads.
    pub reads: Deps,
    /// Of those, the ones on whose values the expression can fail.
    pub looked_into: Deps,
}

/// The generated columns of a relation. An expression that cannot be told reads all columns.
pub(crate) fn generated(context: Context<'_>, relation: &Relation) -> Vec<Generated> {
    let mut found = Vec::new();
    for column in crate::scope::live(relation) {
        let Some(expression) = &column.generated else { continue };
        let column = column_id(relation, column);
        let (reads, looked_into) = expression_reads(context, relation, expression)
            .unwrap_or_else(|| (all_of(relation), all_of(relation)));
        found.push(Generated { column, reads, looked_into });
    }
    found
}

fn all_of(relation: &Relation) -> Deps {
    let mut all = Deps::default();
    for column in crate::scope::live(relation) {
        all.insert(column_id(relation, column));
    }
    all
}

/// The columns that an expression over a row of `relation` reads, and those it looks into.
fn expression_reads(
    context: Context<'_>,
    relation: &Relation,
    expression: &str,
) -> Option<(Deps, Deps)> {
    if context.nesting >= Walk::NESTING {
        return None;
    }
    let quoted = |name: &str| format!("\"{}\"", name.replace('"', "\"\""));
    let (schema, name) = (quoted(&relation.schema), quoted(&relation.name));
    let text = format!("SELECT {expression} FROM {schema}.{name}");
    stack::with_tree(&text, true, context.used, |tree, used| {
        let context = Context { used, nesting: context.nesting + 1, ..context };
        let mut walk = Walk::new(context, Walk::BUDGET);
        let val = walk.query(tree.stmts.first()?.stmt.as_deref()?, None, &None).whole();
        let mut looked_into = Deps::default();
        for (id, _) in &walk.rec.uses {
            looked_into.insert(*id);
        }
        let mut reads = val.deps;
        reads.absorb(&looked_into);
        let is_told = !val.unknown && walk.budget > 0 && walk.passed.all_of(&tree.stmts);
        is_told.then_some((reads, looked_into))
    })
    .ok()
    .flatten()
}

/// What parsing one body takes of the budget, beside its length.
const BODY_COST: u64 = 10_000;

/// The part of a budget that one body may take: most of it, so that a statement can go on when a
/// body is given up. What is taken is taken, whatever comes of it.
struct Share<'b> {
    budget: &'b mut u64,
    kept: u64,
    left: u64,
}

impl<'b> Share<'b> {
    /// The share for `text`; `None` when that is too little to parse it.
    fn of(budget: &'b mut u64, text: &str) -> Option<Self> {
        let kept = *budget / 8;
        let cost = (text.len() as u64).saturating_add(BODY_COST);
        let left = (*budget - kept).checked_sub(cost).filter(|left| *left > 0);
        let Some(left) = left else {
            *budget = kept;
            return None;
        };
        Some(Self { budget, kept, left })
    }
}

impl Drop for Share<'_> {
    fn drop(&mut self) {
        *self.budget = self.kept.saturating_add(self.left);
    }
}

/// What a function's body in SQL does with some arguments.
pub(crate) struct Body {
    pub table: Table,
    pub rec: Recorder,
}

/// Walks the body of a function in SQL; `None` when that cannot be done.
pub(crate) fn body(
    context: Context<'_>,
    function: &Function,
    params: Params,
    budget: &mut u64,
) -> Option<Body> {
    // A function that calls itself has no end to be walked to; one that calls two others that call
    // two others takes as many walks as there are ways.
    if context.nesting >= Walk::NESTING || context.is_within(function.oid) {
        return None;
    }
    let within = Within { function: function.oid, around: context.within };
    let context = Context { within: Some(&within), ..context };
    let (text, is_standard) = plain_statements(function.body.as_deref()?);
    // A body of the standard form is printed as a view is: with an empty search path.
    let empty = SearchPath::Known(Vec::new());
    // What it sets itself, and what it calls then, is not looked at: it may be any.
    let own = function.own_path.then_some(&SearchPath::Unknown);
    let bodies = own.unwrap_or(context.bodies);
    let path = if is_standard { &empty } else { bodies };
    let context = Context { path, bodies, ..context };
    let mut share = Share::of(budget, &text)?;
    stack::with_tree(&text, true, context.used, |tree, used| {
        let context = Context { used, nesting: context.nesting + 1, ..context };
        let mut walk = Walk::new(context, share.left);
        walk.params = Some(params);
        let mut table = Table::default();
        for raw in &tree.stmts {
            let node = raw.stmt.as_deref()?;
            table = match inner(node)? {
                // It makes a table, like what no body is walked for.
                N::SelectStmt(select) if into_clause(select).is_some() => return None,
                N::SelectStmt(_)
                | N::InsertStmt(_)
                | N::UpdateStmt(_)
                | N::DeleteStmt(_)
                | N::MergeStmt(_) => walk.query(node, None, &None),
                _ => return None,
            };
            share.left = walk.budget;
        }
        if walk.budget == 0 || !walk.passed.all_of(&tree.stmts) {
            return None;
        }
        Some(Body { table, rec: walk.rec })
    })
    .ok()
    .flatten()
}

/// A body as plain statements, and whether it was of the standard form: `BEGIN ATOMIC … END` or
/// `RETURN …`.
fn plain_statements(body: &str) -> (String, bool) {
    let text = body.trim();
    let starts =
        |word: &str| text.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word));
    if starts("BEGIN ATOMIC") {
        let inside = text.get("BEGIN ATOMIC".len()..).unwrap_or_default().trim_end_matches(';');
        let cut = inside.len().saturating_sub(3);
        if inside.get(cut..).is_some_and(|end| end.eq_ignore_ascii_case("END")) {
            return (inside.get(..cut).unwrap_or_default().to_owned(), true);
        }
    }
    if starts("RETURN ") {
        let value = text.get("RETURN ".len()..).unwrap_or_default();
        return (format!("SELECT {value}"), true);
    }
    (text.to_owned(), false)
}
