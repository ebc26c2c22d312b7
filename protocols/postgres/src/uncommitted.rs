//! Definitions that a session changed in the transaction that is open now (R7). No snapshot of the
//! gateway's own connection has them.

use std::collections::BTreeSet;
use std::sync::Arc;

use engine::MaskPlan;
use sql::catalog::Relation;
use sql::change::{Change, Words};
use sql::own::{self, Names};
use sql::{Catalog, Facts, Statement, StatementKind, TransactionKind};

use crate::judge::Judged;

/// What is not committed.
#[derive(Clone, Default)]
pub(crate) struct Uncommitted {
    /// What was changed in a way that is not followed.
    unfollowed: Change,
    /// Names of what the snapshot has are among that.
    is_moved: bool,
    /// The same by statements that stand before others in one text and have not run.
    is_ahead: bool,
    /// Their transaction ended and another has begun, or part of it was taken back.
    ended: bool,
    /// Tables of its own, each followed from the text that made it.
    tables: Vec<Arc<Relation>>,
    /// Stored tables that it dropped, by `pg_class.oid`.
    dropped: BTreeSet<u32>,
    /// How often something was changed.
    changes: u64,
    /// Savepoints, with that number when they were set.
    savepoints: Vec<(Arc<str>, u64)>,
    /// The snapshot with both.
    changed: Option<Arc<Catalog>>,
}

impl Uncommitted {
    /// Nothing was changed, not even for a while.
    pub fn is_empty(&self) -> bool {
        self.changes == 0 && !self.is_ahead
    }

    /// Some names that the snapshot has may mean something else than it says.
    pub fn is_unknown(&self) -> bool {
        self.is_moved || self.is_lost()
    }

    /// Any name may.
    pub fn is_lost(&self) -> bool {
        self.is_ahead || self.ended
    }

    /// Whether a statement of this text may mean something else than it was judged to.
    pub fn concerns(&self, judged: &Judged) -> bool {
        if self.unfollowed.is_nothing() {
            return false;
        }
        let mut all = judged.statements.list.iter().enumerate();
        all.any(|(index, statement)| {
            let uses = judged.uses.get().and_then(|uses| uses.get(index));
            let words = || Words::of(judged.text_of(index));
            !statement.ends_transaction()
                && uses.is_none_or(|uses| self.unfollowed.concerns(uses, &words()))
        })
    }

    /// A step of a transaction is done. Where one is over within a text or a pipeline, and where
    /// what was changed since a savepoint is taken back, what was followed may be committed, or
    /// gone.
    pub fn stepped(&mut self, step: &TransactionKind) {
        use TransactionKind::{
            Begin, CommitPrepared, Release, RollbackPrepared, RollbackTo, Savepoint,
        };
        let place = |of: &Self, name| of.savepoints.iter().rposition(|(known, _)| known == name);
        match step {
            Begin => {}
            Savepoint(name) => self.savepoints.push((Arc::clone(name), self.changes)),
            Release(name) => self.savepoints.truncate(place(self, name).unwrap_or_default()),
            RollbackTo(name) => {
                let at = place(self, name);
                let before = at.and_then(|at| self.savepoints.get(at)).map(|(_, changes)| *changes);
                self.ended |= before != Some(self.changes) && !self.is_empty();
                self.savepoints.truncate(at.map_or(0, |at| at.saturating_add(1)));
            }
            // What it holds is in no text of this session.
            CommitPrepared | RollbackPrepared => {
                self.changes = self.changes.saturating_add(1);
                self.is_changed(Change::of_anything(), None);
            }
            _ => {
                self.ended |= !self.is_empty();
                self.savepoints.clear();
            }
        }
        if self.savepoints.len() > own::TABLES_MAX {
            self.savepoints.remove(0);
        }
    }

    /// Names of others may mean something else once the transaction is over.
    pub fn renames(&self) -> bool {
        self.is_ahead || !self.unfollowed.is_nothing() || self.has_dropped()
    }

    /// Names may mean another relation of their name, which [`Uncommitted::catalog`] takes in.
    pub fn has_dropped(&self) -> bool {
        !self.dropped.is_empty()
    }

    /// A statement that defines something is complete.
    pub fn changed_by(&mut self, statement: &Statement, snapshot: Option<&Catalog>) {
        self.changes = self.changes.saturating_add(1);
        let names = snapshot.map_or(Names::Unknown, |catalog| self.names_after(statement, catalog));
        let followed = self.tables.len().max(self.dropped.len());
        if followed >= own::TABLES_MAX || snapshot.is_none() || statement.facts.changes_search_path
        {
            self.is_changed(Change::of_anything(), snapshot);
            return;
        }
        if names == Names::Unknown {
            self.is_changed(unfollowed(statement), snapshot);
            return;
        }
        self.changed = None;
        if names == Names::AnyOfTheName {
            let stored = |oid: &&u32| **oid < own::FIRST_OID;
            self.dropped.extend(statement.facts.objects.iter().filter(stored));
        }
        let dropped = |table: &Arc<Relation>| {
            let name = format!("{}.{}", table.schema, table.name);
            &*statement.facts.verb == "drop" && statement.facts.writes.iter().any(|w| **w == *name)
        };
        self.tables.retain(|table| !dropped(table));
        self.tables.extend(statement.creates.clone());
    }

    fn is_changed(&mut self, change: Change, snapshot: Option<&Catalog>) {
        self.is_moved |= snapshot.is_none_or(|catalog| change.moves_any_of(catalog));
        self.unfollowed.extend(change);
    }

    fn names_after(&self, statement: &Statement, snapshot: &Catalog) -> Names {
        if self.dropped.is_empty() {
            return own::names_after(statement, snapshot);
        }
        let mut catalog = snapshot.clone();
        catalog.mark_dropped(self.dropped.iter().copied());
        own::names_after(statement, &catalog)
    }

    /// A statement of a text stands before others, which are judged before it has run. Tables that
    /// it makes are followed where the text is taken apart.
    pub fn stands_before(&mut self, statement: &Statement, snapshot: &Catalog) {
        self.is_ahead |= ends_a_prepared_one(&statement.facts);
        if !statement.facts.ddl {
            return;
        }
        match self.names_after(statement, snapshot) {
            Names::Same => {}
            Names::AnyOfTheName => self.dropped.extend(&statement.facts.objects),
            Names::Unknown => self.is_ahead = true,
        }
    }

    /// The transaction is over; returns whether anything was changed.
    pub fn end(&mut self) -> bool {
        let ended = std::mem::take(self);
        !ended.is_empty()
    }

    /// The snapshot with tables of its own, and with what it dropped marked; `None` when there is
    /// neither.
    pub fn catalog(&mut self, snapshot: &Catalog) -> Option<Arc<Catalog>> {
        if self.tables.is_empty() && self.dropped.is_empty() {
            return None;
        }
        if let Some(known) = self.changed.as_ref().filter(|c| c.version == snapshot.version) {
            return Some(Arc::clone(known));
        }
        let mut catalog = snapshot.clone();
        catalog.mark_dropped(self.dropped.iter().copied());
        if self.tables.iter().any(|table| !catalog.is_free(&table.name)) {
            // Somebody else made something of that name since.
            self.is_changed(Change::of_anything(), None);
        }
        let catalog = Arc::new(catalog.with_own(self.tables.iter().map(|table| &**table)));
        self.changed = Some(Arc::clone(&catalog));
        Some(catalog)
    }

    /// What is masked for someone with `masks` cannot be told from the snapshot.
    pub fn hides_masks(&self, masks: &MaskPlan) -> bool {
        self.is_lost() || self.tables.iter().any(|table| is_masked(table, masks))
    }
}

/// What a statement changed that is not followed: something that runs another one says nothing of
/// what that defines.
fn unfollowed(statement: &Statement) -> Change {
    match (&statement.changes_within, &statement.kind) {
        (_, kind) if kind.runs().is_some() => Change::of_anything(),
        (Some(change), _) => Change::clone(change),
        (None, StatementKind::Ddl { .. }) => Change::default(),
        (None, _) => Change::of_anything(),
    }
}

/// It ends a transaction that was prepared, whoever did, with definitions that it may have changed.
pub(crate) fn ends_a_prepared_one(facts: &Facts) -> bool {
    use TransactionKind::{CommitPrepared, RollbackPrepared};
    facts.transactions.iter().any(|step| matches!(step, CommitPrepared | RollbackPrepared))
}

/// It commits such a transaction, so that others see what it changed. Whether it is one that was
/// prepared under this name through this session, or later by someone else, cannot be told.
pub(crate) fn commits_a_prepared_one(facts: &Facts) -> bool {
    facts.transactions.iter().any(|step| matches!(step, TransactionKind::CommitPrepared))
}

/// A table of which masks hide a column, by its name.
pub(crate) fn is_masked(table: &Relation, masks: &MaskPlan) -> bool {
    let mut columns = table.columns.iter();
    columns.any(|column| masks.field(&table.schema, &table.name, &column.name).is_some())
}
