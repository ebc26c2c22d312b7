//! Gathers what a statement does while its tree is walked.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::catalog::{Catalog, ColumnId};
use crate::known;
use crate::operand::Settled;
use crate::statement::{
    Facts, Guess, Missing, Opaque, Operand, Place, Statement, StoredName, TransactionKind, Use,
};

/// Sets `read_only` and friends from what was seen.
#[derive(Debug, Default)]
pub(crate) struct Recorder {
    pub verbs: Vec<Arc<str>>,
    pub reads: BTreeSet<Arc<str>>,
    pub writes: BTreeSet<Arc<str>>,
    /// Columns of relations in the snapshot.
    pub columns: BTreeSet<ColumnId>,
    /// Columns of relations that are not, as written.
    pub written_columns: BTreeSet<Arc<str>>,
    pub functions: BTreeSet<Arc<str>>,
    /// Those that views call, which the statement does not name.
    pub functions_beneath: BTreeSet<Arc<str>>,
    pub unfiltered: Vec<Arc<str>>,
    pub dynamic: bool,
    /// Something was seen that may change something.
    pub may_write: bool,
    pub server_access: BTreeSet<&'static str>,
    pub role_change: bool,
    pub other_backends: BTreeSet<Arc<str>>,
    pub ddl: bool,
    pub may_define: bool,
    pub changes_search_path: bool,
    /// A name may mean another relation than the one that is recorded.
    pub shadows: bool,
    pub sets: Vec<(Arc<str>, Option<Arc<str>>)>,
    pub transactions: Vec<TransactionKind>,
    pub objects: BTreeSet<u32>,
    pub unresolved: BTreeSet<Arc<str>>,
    pub keys_to_itself: BTreeSet<StoredName>,
    pub names_schema: bool,
    /// A relation that is read is written with its schema.
    pub reads_by_schema: bool,
    pub uses: BTreeSet<(ColumnId, Place)>,
    pub opaque: BTreeSet<Opaque>,
    pub guesses: BTreeSet<Guess>,
    /// Parameters by number and place: all, and those that stand only for what is counted.
    pub parameters: BTreeSet<(i32, i32)>,
    pub counted: BTreeMap<(i32, i32), Option<Settled>>,
    /// Functions of `opaque` that may do something beside giving a value.
    pub acting: BTreeSet<Arc<str>>,
    /// Those that are written in SQL.
    pub unwalked: BTreeSet<Arc<str>>,
    /// Something that was found out depends on the value of a literal.
    pub literals_matter: bool,
    /// See [`Facts::estimate_digits`].
    pub estimate_digits: u32,
    /// While more than zero, nothing is recorded: a walk that is going to be repeated.
    pub quiet: u32,
}

impl Recorder {
    pub(crate) fn verb(&mut self, verb: &str) {
        if self.quiet == 0 && !self.verbs.iter().any(|known| &**known == verb) {
            self.verbs.push(verb.into());
        }
    }

    pub(crate) fn read(&mut self, name: Arc<str>) {
        if self.quiet == 0 {
            self.reads.insert(name);
        }
    }

    pub(crate) fn write(&mut self, name: Arc<str>) {
        if self.quiet == 0 {
            self.writes.insert(name);
            self.may_write = true;
        }
    }

    pub(crate) fn column(&mut self, id: ColumnId) {
        if self.quiet == 0 {
            self.columns.insert(id);
        }
    }

    pub(crate) fn used(&mut self, column: ColumnId, place: Place) {
        if self.quiet == 0 {
            self.uses.insert((column, place));
        }
    }

    pub(crate) fn guess(&mut self, column: ColumnId, operand: Operand) {
        if self.quiet == 0 {
            self.guesses.insert(Guess { column, operand });
        }
    }

    /// Something whose rows multiply those of the rest.
    pub(crate) fn multiplies(&mut self, digits: u32) {
        if self.quiet == 0 {
            self.estimate_digits = self.estimate_digits.saturating_add(digits);
        }
    }

    pub(crate) fn unfiltered(&mut self, verb: &str) {
        if self.quiet == 0 {
            self.unfiltered.push(verb.into());
        }
    }

    pub(crate) fn opaque(&mut self, reason: &'static str, object: &str) {
        if self.quiet == 0 {
            self.opaque.insert(Opaque { reason, object: object.into(), missing: None });
        }
    }

    pub(crate) fn missing(&mut self, kind: Missing, object: &str) {
        if self.quiet == 0 {
            let reason = "unknown_object";
            self.opaque.insert(Opaque { reason, object: object.into(), missing: Some(kind) });
        }
    }

    pub(crate) fn set(&mut self, name: &str, value: Option<Arc<str>>) {
        if self.quiet > 0 {
            return;
        }
        let steers = known::steers_plans(name, value.as_deref());
        self.sets.push((name.into(), value));
        match name {
            "search_path" => self.changes_search_path = true,
            "role" | "session_authorization" => self.role_change = true,
            // The name is a parameter or computed: it may be any.
            _ if name.starts_with(['$', '?']) => {
                self.opaque("plan_setting", "a setting of any name")
            }
            _ if steers => self.opaque("plan_setting", name),
            _ => {}
        }
    }

    /// Takes in what the body of a function called here does.
    pub(crate) fn absorb(&mut self, body: Self) {
        for verb in &body.verbs {
            self.verb(verb);
        }
        // What a body names is found by its own rules.
        self.reads_by_schema |= body.reads_by_schema || !body.reads.is_empty();
        self.reads.extend(body.reads);
        self.writes.extend(body.writes);
        self.columns.extend(body.columns);
        self.written_columns.extend(body.written_columns);
        self.functions.extend(body.functions);
        self.functions_beneath.extend(body.functions_beneath);
        self.unfiltered.extend(body.unfiltered);
        self.multiplies(body.estimate_digits);
        self.dynamic |= body.dynamic;
        self.may_write |= body.may_write;
        self.server_access.extend(body.server_access);
        self.role_change |= body.role_change;
        self.other_backends.extend(body.other_backends);
        self.ddl |= body.ddl;
        self.may_define |= body.may_define;
        self.changes_search_path |= body.changes_search_path;
        self.shadows |= body.shadows;
        self.sets.extend(body.sets);
        self.objects.extend(body.objects);
        self.unresolved.extend(body.unresolved);
        self.uses.extend(body.uses);
        self.opaque.extend(body.opaque);
        self.guesses.extend(body.guesses);
        self.acting.extend(body.acting);
        self.unwalked.extend(body.unwalked);
    }

    /// Everything but the kind, outputs and range of a statement.
    pub(crate) fn finish(self, catalog: &Catalog, verb: &str, rows: Option<u64>) -> Parts {
        let mut names: BTreeMap<ColumnId, Arc<str>> = BTreeMap::new();
        let mut name =
            |id: ColumnId| Arc::clone(names.entry(id).or_insert_with(|| column_name(catalog, id)));
        let mut columns: BTreeSet<Arc<str>> = self.columns.iter().map(|id| name(*id)).collect();
        columns.extend(self.written_columns);
        let uses = self
            .uses
            .into_iter()
            .map(|(column, place)| Use { column, place, name: name(column) })
            .collect();
        let facts = Facts {
            verb: verb.into(),
            verbs: self.verbs,
            tables: self.reads.union(&self.writes).cloned().collect(),
            reads: self.reads.into_iter().collect(),
            writes: self.writes.into_iter().collect(),
            columns: columns.into_iter().collect(),
            functions: self.functions.into_iter().collect(),
            unfiltered: self.unfiltered,
            dynamic: self.dynamic,
            read_only: !self.may_write && !self.dynamic,
            rows,
            server_access: self.server_access.into_iter().collect(),
            role_change: self.role_change,
            other_backends: self.other_backends.into_iter().collect(),
            ddl: self.ddl,
            may_define: self.may_define,
            changes_search_path: self.changes_search_path,
            shadows: self.shadows,
            sets: self.sets,
            transactions: self.transactions,
            objects: self.objects.into_iter().collect(),
            unresolved: self.unresolved.into_iter().collect(),
            keys_to_itself: self.keys_to_itself.into_iter().collect(),
            names_schema: self.names_schema,
            estimate_digits: self.estimate_digits,
        };
        Parts {
            facts,
            uses,
            opaque: self.opaque.into_iter().collect(),
            guesses: counted(self.guesses, &self.parameters, &self.counted),
        }
    }

    /// Takes in the facts of a statement inside this one.
    pub(crate) fn adopt(&mut self, inner: &Statement, executed: bool) {
        let facts = &inner.facts;
        if executed {
            for verb in &facts.verbs {
                self.verb(verb);
            }
            self.may_write |= !facts.read_only;
            self.unfiltered.extend(facts.unfiltered.iter().cloned());
            self.sets.extend(facts.sets.iter().cloned());
            self.role_change |= facts.role_change;
            self.changes_search_path |= facts.changes_search_path;
            self.shadows |= facts.shadows;
            self.ddl |= facts.ddl;
            self.may_define |= facts.may_define;
        }
        self.reads.extend(facts.reads.iter().cloned());
        self.writes.extend(facts.writes.iter().cloned());
        self.written_columns.extend(facts.columns.iter().cloned());
        self.columns.extend(inner.columns.iter().copied());
        self.functions.extend(facts.functions.iter().cloned());
        self.dynamic |= facts.dynamic && executed;
        self.server_access.extend(facts.server_access.iter().copied());
        self.other_backends.extend(facts.other_backends.iter().cloned());
        self.objects.extend(facts.objects.iter().copied());
        self.unresolved.extend(facts.unresolved.iter().cloned());
        self.keys_to_itself.extend(facts.keys_to_itself.iter().cloned());
        self.uses.extend(inner.uses.iter().map(|used| (used.column, used.place.clone())));
        self.opaque.extend(inner.opaque.iter().cloned());
        self.guesses.extend(inner.guesses.iter().cloned());
        self.multiplies(facts.estimate_digits);
    }
}

/// What [`Recorder::finish`] makes.
#[derive(Debug)]
pub(crate) struct Parts {
    pub facts: Facts,
    pub uses: Vec<Use>,
    pub opaque: Vec<Opaque>,
    pub guesses: Vec<Guess>,
}

/// `schema.table.column`.
pub(crate) fn column_name(catalog: &Catalog, id: ColumnId) -> Arc<str> {
    match catalog.column(id) {
        Some((relation, column)) => {
            format!("{}.{}.{}", relation.schema, relation.name, column.name).into()
        }
        None => match known::count_name(id) {
            Some(name) => name.into(),
            None => format!("{}.{}", id.relation, id.attnum).into(),
        },
    }
}

/// Facts of several statements as one.
pub(crate) fn merge(list: &[Statement]) -> Facts {
    let mut all = Recorder::default();
    let mut rows = Some(0_u64);
    let mut transactions = Vec::new();
    for statement in list {
        all.adopt(statement, true);
        transactions.extend(statement.facts.transactions.iter().cloned());
        rows = rows.zip(statement.facts.rows).map(|(sum, more)| sum.saturating_add(more));
    }
    all.transactions = transactions;
    // Their names are there; without a catalog their numbers have none.
    all.columns.clear();
    let verb = list.first().map_or("", |first| &*first.facts.verb);
    all.finish(&Catalog::default(), verb, rows).facts
}

/// A parameter that is used for something else as well has the type of that, and may be converted
/// to anything where it is compared. Where several types are possible, all have to say the same
/// whatever the settings are.
fn counted(
    guesses: BTreeSet<Guess>,
    parameters: &BTreeSet<(i32, i32)>,
    counted: &BTreeMap<(i32, i32), Option<Settled>>,
) -> Vec<Guess> {
    let mut elsewhere: BTreeSet<i32> = BTreeSet::new();
    elsewhere.extend(parameters.iter().filter(|at| !counted.contains_key(at)).map(|at| at.0));
    let mut types: BTreeMap<i32, BTreeSet<Settled>> = BTreeMap::new();
    for ((number, _), settled) in counted {
        types.entry(*number).or_default().extend(*settled);
    }
    let is_mixed = |types: &BTreeSet<Settled>| types.len() > 1;
    elsewhere.extend(types.iter().filter(|(_, types)| is_mixed(types)).map(|(number, _)| *number));
    let guesses = guesses.into_iter().map(|guess| match guess.operand {
        Operand::Cast(number) | Operand::Given(number) | Operand::Parameter(number)
            if elsewhere.contains(&number) =>
        {
            Guess { operand: Operand::Unbounded, ..guess }
        }
        // What it is made of is not told apart.
        Operand::Computed if types.keys().any(|number| elsewhere.contains(number)) => {
            Guess { operand: Operand::Unbounded, ..guess }
        }
        _ => guess,
    });
    guesses.collect()
}
