//! A statement of any kind: its kind, facts and outputs.

use std::sync::Arc;

use pg_query::protobuf::{
    CallStmt, CopyStmt, DiscardMode, ExplainStmt, FetchDirection, FetchStmt, IntoClause, Node,
    SelectStmt, TransactionStmt, TransactionStmtKind, VariableSetKind, VariableSetStmt,
};

use crate::catalog::{ColumnId, Relation, RelationKind};
use crate::change::{self, Change};
use crate::define;
use crate::known;
use crate::operand;
use crate::rows;
use crate::scope::{Columns, Scope, Source, column_id, live};
use crate::statement::{
    CopyDetails, CopyTarget, Operand, OutputColumn, Outputs, Place, Statement, StatementKind,
    TransactionKind,
};
use crate::tree::{self, N, boxed, inner};
use crate::value::{Name, Table, Val};
use crate::walk::{Blame, Context, Mode, Walk};

/// What is made of a statement before its parts are put together.
pub(crate) struct Made {
    pub kind: StatementKind,
    pub verb: Arc<str>,
    pub outputs: Outputs,
    pub rows: Option<u64>,
}

impl Made {
    /// A statement that returns no rows.
    pub(crate) fn silent(kind: StatementKind, verb: &str) -> Self {
        Self { kind, verb: verb.into(), outputs: Outputs::default(), rows: Some(0) }
    }
}

/// Takes one statement apart. `budget` is what is left for the whole text.
pub(crate) fn statement(context: Context<'_>, node: &Node, budget: &mut u64) -> Statement {
    let mut walk = Walk::new(context, *budget);
    let made = dispatch(&mut walk, node);
    *budget = walk.budget;
    if walk.rec.opaque.is_empty() && walk.budget > 0 && !is_passed(&walk, node) {
        walk.rec.opaque("unknown_statement", "an expression in an unknown place");
        walk.rec.may_write = true;
        walk.rec.dynamic = true;
    }
    let verb = Arc::clone(&made.verb);
    let mut recorder = walk.rec;
    let plain = matches!(
        made.kind,
        StatementKind::Select
            | StatementKind::Insert
            | StatementKind::Update
            | StatementKind::Delete
    );
    let literals_matter = recorder.literals_matter || !plain;
    recorder.verbs.retain(|other| *other != verb);
    recorder.verbs.insert(0, verb);
    let columns = recorder.columns.iter().copied().collect();
    let parts = recorder.finish(context.catalog, &made.verb, made.rows);
    Statement {
        kind: made.kind,
        changes: Change::by(node, &parts.facts).map(Arc::new),
        changes_within: Change::within(node, &parts.facts).map(Arc::new),
        facts: parts.facts,
        outputs: made.outputs,
        uses: parts.uses,
        opaque: parts.opaque,
        guesses: parts.guesses,
        literals_matter,
        columns,
        creates: None,
        range: 0..0,
    }
}

/// Whether the walk came past every expression. Statements within others are asked by themselves;
/// settings have words for values.
fn is_passed(walk: &Walk<'_>, node: &Node) -> bool {
    match inner(node) {
        Some(
            N::ExplainStmt(_)
            | N::DeclareCursorStmt(_)
            | N::PrepareStmt(_)
            | N::CreateSchemaStmt(_)
            | N::VariableSetStmt(_),
        ) => true,
        Some(N::CopyStmt(copy)) if copy.query.is_some() => true,
        _ => walk.passed.all_of(node),
    }
}

fn dispatch(walk: &mut Walk<'_>, node: &Node) -> Made {
    match inner(node) {
        Some(
            N::SelectStmt(_)
            | N::InsertStmt(_)
            | N::UpdateStmt(_)
            | N::DeleteStmt(_)
            | N::MergeStmt(_),
        ) => query(walk, node),
        Some(N::CopyStmt(copy)) => copy_statement(walk, copy),
        Some(N::ExplainStmt(explain)) => explain_statement(walk, explain),
        Some(N::TransactionStmt(step)) => transaction(walk, step),
        Some(N::VariableSetStmt(set)) => set_statement(walk, set),
        Some(N::VariableShowStmt(show)) => {
            let name: Arc<str> = show.name.to_lowercase().into();
            let all = &*name == "all";
            let names = if all { vec!["name", "setting", "description"] } else { vec![&*name] };
            let outputs = free_columns(&names);
            let rows = (!all).then_some(1);
            Made { kind: StatementKind::Show { name }, verb: "show".into(), outputs, rows }
        }
        Some(N::CallStmt(call)) => call_statement(walk, call),
        Some(N::DoStmt(code)) => {
            let parts = code.args.iter().filter_map(|part| match inner(part) {
                Some(N::DefElem(part)) => boxed(&part.arg).and_then(tree::string),
                _ => None,
            });
            walk.rec.may_define |= parts.into_iter().any(change::defines);
            walk.rec.dynamic = true;
            walk.rec.may_write = true;
            walk.rec.opaque("dynamic_query", "DO");
            Made::silent(StatementKind::Do, "do")
        }
        Some(
            N::DeclareCursorStmt(_)
            | N::FetchStmt(_)
            | N::ClosePortalStmt(_)
            | N::PrepareStmt(_)
            | N::ExecuteStmt(_)
            | N::DeallocateStmt(_),
        ) => named_things(walk, node),
        Some(N::ListenStmt(_) | N::UnlistenStmt(_) | N::NotifyStmt(_) | N::DiscardStmt(_)) => {
            session_things(walk, node)
        }
        _ => define::statement(walk, node),
    }
}

/// Takes in a statement within this one.
fn within(walk: &mut Walk<'_>, node: &Node, executed: bool) -> Statement {
    let mut budget = walk.budget;
    let inner = statement(walk.context, node, &mut budget);
    walk.budget = budget;
    walk.rec.adopt(&inner, executed);
    inner
}

fn query(walk: &mut Walk<'_>, node: &Node) -> Made {
    let table = walk.query(node, None, &None);
    let (kind, verb, returns) = match inner(node) {
        Some(N::InsertStmt(s)) => (StatementKind::Insert, "insert", s.returning_clause.is_some()),
        Some(N::UpdateStmt(s)) => (StatementKind::Update, "update", s.returning_clause.is_some()),
        Some(N::DeleteStmt(s)) => (StatementKind::Delete, "delete", s.returning_clause.is_some()),
        Some(N::MergeStmt(s)) => (StatementKind::Merge, "merge", s.returning_clause.is_some()),
        Some(N::SelectStmt(select)) => {
            if let Some(into) = into_clause(select) {
                if let Some(var) = &into.rel {
                    define::created(walk, var);
                    moved_all(walk, &table, "SELECT INTO");
                }
                walk.rec.verb("create");
                walk.rec.ddl = true;
                let kind = StatementKind::Ddl { command: "select into".into() };
                return Made::silent(kind, "select");
            }
            (StatementKind::Select, "select", true)
        }
        _ => (StatementKind::Utility("unknown".into()), "unknown", false),
    };
    let rows = rows::bound(node, &mut walk.rec.literals_matter);
    let outputs = if returns { outputs(&table) } else { Outputs::default() };
    Made { kind, verb: verb.into(), outputs, rows }
}

/// INTO stands in the first arm of a set operation.
pub(crate) fn into_clause(select: &SelectStmt) -> Option<&IntoClause> {
    let mut select = select;
    loop {
        if let Some(into) = &select.into_clause {
            return Some(into);
        }
        select = select.larg.as_deref()?;
    }
}

/// All columns of a query go where no mask follows.
pub(crate) fn moved_all(walk: &mut Walk<'_>, table: &Table, to: &str) {
    walk.blame_place(&table.whole().deps, &Place::Moved(to.into()));
}

/// Columns of a result.
pub(crate) fn outputs(table: &Table) -> Outputs {
    let column = |name: Option<Arc<str>>, val: &Val| OutputColumn {
        name,
        deps: val.deps.iter().collect(),
        direct: val.direct,
        unknown: val.unknown,
    };
    match &table.rest {
        None => Outputs {
            columns: Some(table.cols.iter().map(|c| column(c.name.shown(), &c.val)).collect()),
            every: None,
        },
        Some(_) => Outputs { columns: None, every: Some(column(None, &table.whole().derived())) },
    }
}

/// Columns that depend on nothing stored.
fn free_columns(names: &[&str]) -> Outputs {
    let columns = names
        .iter()
        .map(|name| OutputColumn { name: Some(Arc::from(*name)), ..OutputColumn::default() });
    Outputs { columns: Some(columns.collect()), every: None }
}

fn copy_statement(walk: &mut Walk<'_>, copy: &CopyStmt) -> Made {
    walk.rec.verb("copy");
    let target = match (copy.is_program, copy.filename.as_str()) {
        (true, program) => CopyTarget::Program(program.into()),
        (false, "") => CopyTarget::Client,
        (false, file) => CopyTarget::File(file.into()),
    };
    let way = match target {
        CopyTarget::Program(_) => Some("copy_program"),
        CopyTarget::File(_) => Some("copy_file"),
        CopyTarget::Client => None,
    };
    if let Some(way) = way {
        walk.rec.server_access.insert(way);
        walk.rec.may_write = true;
        walk.rec.opaque("server_file", "COPY to or from a file or program of the server");
    }
    let mut relation = None;
    let outputs = if let Some(query) = boxed(&copy.query) {
        within(walk, query, true).outputs
    } else if let Some(var) = &copy.relation {
        let mode = if copy.is_from { Mode::Write } else { Mode::Read };
        let item = walk.relation(var, mode);
        let (schema, name) = tree::range_name(var);
        let schema = item.schema.as_deref().or(schema);
        relation = Some(schema.map_or_else(|| name.into(), |s| format!("{s}.{name}").into()));
        walk.rec.verb(if copy.is_from { "insert" } else { "select" });
        copied(walk, copy, &item)
    } else {
        Outputs::default()
    };
    let details = CopyDetails {
        from: copy.is_from,
        target,
        relation,
        options: tree::def_elems(&copy.options),
        columns: outputs.columns.clone(),
    };
    let rows = copy.is_from.then_some(0);
    let outputs = if copy.is_from { Outputs::default() } else { outputs };
    Made { kind: StatementKind::Copy(details), verb: "copy".into(), outputs, rows }
}

/// The columns that COPY of a relation transfers: those named, or all that are not generated.
fn copied<'c>(walk: &mut Walk<'c>, copy: &CopyStmt, item: &crate::scope::Item<'c>) -> Outputs {
    let source = Source::of(item.clone());
    let scope = Scope { source: &source, parent: None, ctes: &None };
    let mut table = Table::default();
    if copy.attlist.is_empty() {
        table = walk.columns_of(item);
        if let Columns::Stored(relation) = &item.columns {
            let stored = |col: &crate::value::Col| {
                let column = col.name.certain().and_then(|name| relation.column(name));
                column.is_none_or(|column| column.generated.is_none())
            };
            table.cols.retain(stored);
        }
    }
    for node in &copy.attlist {
        let val = walk.column_ref(std::slice::from_ref(node), &scope);
        let name = tree::string(node).map(Name::from).unwrap_or_default();
        table.cols.push(crate::scope::col(name, val));
    }
    if copy.is_from {
        let given: Vec<ColumnId> = table.cols.iter().filter_map(|col| col.val.direct).collect();
        for id in &given {
            if walk.is_unique(*id) {
                walk.guessed_in(*id, None);
            }
        }
        walk.inserted_beside(item, &given, false);
        if let Some(condition) = boxed(&copy.where_clause) {
            walk.predicate(condition, &scope, "WHERE");
        }
    }
    outputs(&table)
}

fn explain_statement(walk: &mut Walk<'_>, explain: &ExplainStmt) -> Made {
    let options = tree::def_elems(&explain.options);
    let analyze = tree::option_on(&options, "analyze");
    let Some(node) = boxed(&explain.query) else {
        return Made::silent(StatementKind::Utility("explain".into()), "explain");
    };
    walk.rec.verb("explain");
    let statement = within(walk, node, analyze);
    if matches!(statement.kind, StatementKind::Execute { .. }) {
        // A plan of another statement, whose columns are not known here.
        walk.rec.opaque("unknown_object", "EXPLAIN EXECUTE");
    }
    // A function that a user made can be run while planning, and its result shown in the plan.
    let custom = |name: &Arc<str>| name.contains('.') || !known::ships(name);
    let mut plan = OutputColumn { name: Some("QUERY PLAN".into()), ..OutputColumn::default() };
    if analyze || !tree::option_off(&options, "costs") {
        // How wide rows are, and what sorting them takes, tells how long values are.
        plan.deps.extend(statement.columns.iter().copied());
        let facts = &statement.facts;
        let is_kept = |oid: &u32| {
            let relation = walk.context.catalog.relation(*oid);
            relation.is_some_and(|of| matches!(of.kind, RelationKind::View | RelationKind::Foreign))
        };
        if !facts.read_only && facts.objects.iter().any(is_kept) {
            // Rows of these beside rows that are changed or locked are kept whole
            // (`ROW_MARK_COPY`).
            plan.deps.extend(all_columns(walk, &facts.objects));
        }
    }
    if analyze {
        // How many entries of an index were gone through tells whether an update made one, so
        // whether a value is the one that was there (a heap-only tuple).
        let all = all_columns(walk, &statement.facts.objects);
        let indexed = |id: &ColumnId| {
            walk.context.catalog.column(*id).is_some_and(|(_, column)| column.indexed)
        };
        plan.deps.extend(all.into_iter().filter(indexed));
    }
    let shows = |option| tree::option_on(&options, option);
    if shows("wal") || shows("buffers") || (analyze && !statement.facts.writes.is_empty()) {
        // How much is written or gone through tells how long the rows are, with all that is in
        // them.
        plan.deps.extend(all_columns(walk, &statement.facts.objects));
    }
    if statement.facts.functions.iter().any(custom) {
        // What such a function returns for constants is found out when the plan is made, and shown.
        plan.deps.extend(statement.columns.iter().copied());
        let columns = statement.outputs.columns.iter().flatten();
        for column in columns.chain(&statement.outputs.every) {
            plan.deps.extend(column.deps.iter().copied());
            plan.unknown |= column.unknown;
        }
    }
    Made {
        kind: StatementKind::Explain { analyze, inner: Box::new(statement) },
        verb: "explain".into(),
        outputs: Outputs { columns: Some(vec![plan]), every: None },
        rows: None,
    }
}

/// Every column of these relations and of what inherits from them.
fn all_columns(walk: &mut Walk<'_>, objects: &[u32]) -> Vec<ColumnId> {
    let catalog = walk.context.catalog;
    let mut columns = Vec::new();
    for relation in catalog.relations() {
        if objects.contains(&relation.oid) || below(walk, relation, objects) {
            let live = live(relation).map(|column| column_id(relation, column));
            columns.extend(live);
        }
    }
    columns
}

fn below(walk: &mut Walk<'_>, relation: &Relation, objects: &[u32]) -> bool {
    !relation.parents.is_empty() && {
        let above = walk.above(relation.oid);
        objects.iter().any(|oid| above.contains(oid))
    }
}

fn transaction(walk: &mut Walk<'_>, step: &TransactionStmt) -> Made {
    use TransactionStmtKind as Step;
    let savepoint: Arc<str> = step.savepoint_name.as_str().into();
    let (kind, verb) = match TransactionStmtKind::try_from(step.kind).unwrap_or_default() {
        Step::TransStmtBegin | Step::TransStmtStart | Step::Undefined => {
            (TransactionKind::Begin, "begin")
        }
        Step::TransStmtCommit => (TransactionKind::Commit { chain: step.chain }, "commit"),
        Step::TransStmtRollback => (TransactionKind::Rollback { chain: step.chain }, "rollback"),
        Step::TransStmtSavepoint => (TransactionKind::Savepoint(savepoint), "savepoint"),
        Step::TransStmtRelease => (TransactionKind::Release(savepoint), "release"),
        Step::TransStmtRollbackTo => (TransactionKind::RollbackTo(savepoint), "rollback"),
        Step::TransStmtPrepare => (TransactionKind::Prepare, "prepare"),
        Step::TransStmtCommitPrepared => (TransactionKind::CommitPrepared, "commit"),
        Step::TransStmtRollbackPrepared => (TransactionKind::RollbackPrepared, "rollback"),
    };
    walk.rec.transactions.push(kind.clone());
    walk.rec.may_write = true;
    Made::silent(StatementKind::Transaction(kind), verb)
}

fn set_statement(walk: &mut Walk<'_>, set: &VariableSetStmt) -> Made {
    walk.rec.may_write = true;
    let name: Arc<str> = set.name.to_lowercase().into();
    match VariableSetKind::try_from(set.kind).unwrap_or_default() {
        VariableSetKind::VarReset => {
            walk.rec.changes_search_path |= &*name == "search_path";
            walk.rec.sets.push((Arc::clone(&name), None));
            Made::silent(StatementKind::Reset { name: Some(name) }, "reset")
        }
        VariableSetKind::VarResetAll => {
            walk.rec.changes_search_path = true;
            Made::silent(StatementKind::Reset { name: None }, "reset")
        }
        _ => {
            let looked = &mut walk.rec.literals_matter;
            let values = set.args.iter().filter_map(|arg| tree::constant_node(arg, looked));
            let values: Vec<Arc<str>> = values.collect();
            let value: Option<Arc<str>> = (!values.is_empty()).then(|| values.join(", ").into());
            // Giving up a role that was taken is not taking one.
            let role = matches!(&*name, "role" | "session_authorization");
            let gives_up = role
                && value
                    .as_deref()
                    .is_none_or(|v| &*name == "role" && v.eq_ignore_ascii_case("none"));
            // DEFAULT is no level of messages that somebody asks for.
            let is_default = set.args.is_empty() && &*name == "client_min_messages";
            if gives_up || is_default {
                walk.rec.sets.push((Arc::clone(&name), value.clone()));
            } else {
                walk.rec.set(&name, value.clone());
            }
            let values = (values.len() == set.args.len()).then_some(values);
            let kind = StatementKind::Set { name, value, values, local: set.is_local };
            Made::silent(kind, "set")
        }
    }
}

fn call_statement(walk: &mut Walk<'_>, call: &CallStmt) -> Made {
    walk.rec.may_write = true;
    walk.rec.verb("call");
    let source = Source::default();
    let scope = Scope { source: &source, parent: None, ctes: &None };
    let mut outputs = Outputs::default();
    if let Some(call) = &call.funccall {
        let name = call.funcname.last().and_then(tree::string).unwrap_or("procedure");
        let place = Place::Expression(name.into());
        let (val, _) = walk.call(call, &scope, &Blame::Expression, &place);
        let every = OutputColumn {
            deps: val.deps.iter().collect(),
            unknown: val.unknown,
            ..OutputColumn::default()
        };
        outputs.every = Some(every);
    }
    Made { kind: StatementKind::Call, verb: "call".into(), outputs, rows: Some(1) }
}

/// Cursors and prepared statements.
fn named_things(walk: &mut Walk<'_>, node: &Node) -> Made {
    match inner(node) {
        Some(N::DeclareCursorStmt(declare)) => {
            // `CURSOR_OPT_HOLD` in PostgreSQL's `nodes/parsenodes.h`.
            const HOLD: i32 = 0x0020;
            let Some(query) = boxed(&declare.query) else {
                return Made::silent(StatementKind::Utility("declare".into()), "declare");
            };
            walk.rec.verb("declare");
            let inner = within(walk, query, true);
            let outputs = inner.outputs.clone();
            let kind = StatementKind::Declare {
                cursor: declare.portalname.as_str().into(),
                hold: declare.options & HOLD != 0,
                inner: Box::new(inner),
            };
            Made { outputs, ..Made::silent(kind, "declare") }
        }
        Some(N::PrepareStmt(prepare)) => {
            let Some(query) = boxed(&prepare.query) else {
                return Made::silent(StatementKind::Utility("prepare".into()), "prepare");
            };
            walk.rec.verb("prepare");
            let mut inner = within(walk, query, true);
            let catalog = walk.context.catalog;
            let types: Vec<_> = prepare
                .argtypes
                .iter()
                .filter_map(|node| match crate::tree::inner(node) {
                    Some(N::TypeName(name)) => Some(name),
                    _ => None,
                })
                .collect();
            let of = |number: i32| types.get(usize::try_from(number).ok()?.checked_sub(1)?);
            let all_steady = types.iter().all(|name| operand::is_steady(catalog, name));
            for guess in &mut inner.guesses {
                // What is given would be converted, or the column would.
                let is_counted = match guess.operand {
                    Operand::Parameter(number) | Operand::Given(number) => {
                        of(number).is_none_or(|name| operand::is_plain(catalog, name))
                    }
                    Operand::Cast(number) => {
                        of(number).is_none_or(|name| operand::is_steady(catalog, name))
                    }
                    Operand::Computed => all_steady,
                    Operand::Constant(_) | Operand::Stored(_) | Operand::Unbounded => true,
                };
                if !is_counted {
                    guess.operand = Operand::Unbounded;
                    walk.rec.guess(guess.column, Operand::Unbounded);
                }
            }
            let outputs = inner.outputs.clone();
            let name = prepare.name.as_str().into();
            let kind = StatementKind::Prepare { name, inner: Box::new(inner) };
            Made { outputs, ..Made::silent(kind, "prepare") }
        }
        Some(N::ExecuteStmt(execute)) => {
            // What it does is in the statement prepared under this name.
            walk.rec.may_write = true;
            let source = Source::default();
            let scope = Scope { source: &source, parent: None, ctes: &None };
            // What they become in that statement is judged as if the client had sent it.
            let val = walk.eval_all(&execute.params, &scope, &Blame::Expression);
            walk.blame_place(&val.deps, &Place::Moved("EXECUTE".into()));
            let arguments = operand::of_arguments(walk.context.catalog, &execute.params);
            let kind = StatementKind::Execute { name: execute.name.as_str().into(), arguments };
            Made { rows: None, ..Made::silent(kind, "execute") }
        }
        Some(N::FetchStmt(fetch)) => fetch_statement(fetch),
        Some(N::ClosePortalStmt(close)) => {
            let cursor = named(&close.portalname);
            Made::silent(StatementKind::ClosePortal { cursor }, "close")
        }
        Some(N::DeallocateStmt(deallocate)) => {
            let name = named(&deallocate.name);
            Made::silent(StatementKind::Deallocate { name }, "deallocate")
        }
        _ => define::statement(walk, node),
    }
}

fn named(name: &str) -> Option<Arc<str>> {
    (!name.is_empty()).then(|| name.into())
}

fn fetch_statement(fetch: &FetchStmt) -> Made {
    // `FETCH_ALL` is the largest long.
    let count = fetch.how_many.unsigned_abs();
    let rows = match FetchDirection::try_from(fetch.direction).unwrap_or_default() {
        _ if fetch.ismove => Some(0),
        FetchDirection::FetchForward | FetchDirection::FetchBackward => {
            (count < i32::MAX as u64).then_some(count.max(1))
        }
        _ => Some(1),
    };
    let kind =
        StatementKind::Fetch { cursor: fetch.portalname.as_str().into(), is_move: fetch.ismove };
    Made { rows, ..Made::silent(kind, if fetch.ismove { "move" } else { "fetch" }) }
}

fn session_things(walk: &mut Walk<'_>, node: &Node) -> Made {
    walk.rec.may_write = true;
    match inner(node) {
        Some(N::ListenStmt(listen)) => {
            let channel = listen.conditionname.as_str().into();
            Made::silent(StatementKind::Listen { channel }, "listen")
        }
        Some(N::UnlistenStmt(unlisten)) => {
            let channel = named(&unlisten.conditionname);
            Made::silent(StatementKind::Unlisten { channel }, "unlisten")
        }
        Some(N::NotifyStmt(notify)) => {
            let channel = notify.conditionname.as_str().into();
            Made::silent(StatementKind::Notify { channel }, "notify")
        }
        Some(N::DiscardStmt(discard)) => {
            let what = match DiscardMode::try_from(discard.target).unwrap_or_default() {
                DiscardMode::DiscardPlans => "plans",
                DiscardMode::DiscardSequences => "sequences",
                DiscardMode::DiscardTemp => "temp",
                DiscardMode::DiscardAll | DiscardMode::Undefined => "all",
            };
            walk.rec.changes_search_path |= what == "all";
            Made::silent(StatementKind::Discard { what }, "discard")
        }
        _ => define::statement(walk, node),
    }
}
