//! What takes part beside the columns that a statement writes: keys, checks, policies, partitions,
//! rows that reference others, defaults. Errors of these answer questions about them (R5).

use crate::catalog::{ColumnId, Fill, Relation, TieKind};
use crate::modify::Written;
use crate::scope::{Columns, Item, column_id};
use crate::statement::{Operand, Place};
use crate::walk::Walk;

impl<'c> Walk<'c> {
    /// A column gets what fills it. A constant is one guess; what is computed can be made to be
    /// anything. The next number of a sequence is nobody's choice, as long as nobody moves it
    /// ([`Walk::sequence_moved`]) and the numbers of the key come from it too.
    pub(crate) fn defaulted(&mut self, id: ColumnId) {
        let catalog = self.context.catalog;
        for id in self.under(id) {
            let fill = catalog.column(id).and_then(|(_, column)| column.fill.as_ref());
            let Some(fill) = fill.filter(|_| self.is_unique(id)) else { continue };
            let mut ties = catalog.ties(id).iter();
            let is_constant = match fill {
                Fill::Constant => true,
                Fill::Sequence(_) if !ties.any(|(_, by)| *by == TieKind::Reference) => continue,
                Fill::Sequence(_) | Fill::Other => false,
            };
            for id in self.compared_with(id) {
                self.takes_part(id, is_constant);
            }
        }
    }

    /// New rows have defaults where nothing is `given`, and are compared by expressions and
    /// conditions of unique indexes whatever is given: a value beside the guess changes it.
    pub(crate) fn inserted_beside(
        &mut self,
        item: &Item<'c>,
        given: &[ColumnId],
        is_one_row: bool,
    ) {
        let Columns::Stored(relation) = &item.columns else { return };
        let catalog = self.context.catalog;
        let given: Vec<ColumnId> = given.iter().flat_map(|id| self.under(*id)).collect();
        let relations = self.relations_under(relation);
        for relation in relations.iter().filter_map(|oid| catalog.relation(*oid)) {
            for column in crate::scope::live(relation) {
                let id = column_id(relation, column);
                if column.fill.is_some() && !given.contains(&id) {
                    self.defaulted(id);
                }
            }
        }
        for oid in self.with_descendants(relations) {
            let columns = catalog.relation(oid).into_iter().flat_map(crate::scope::live);
            for column in columns {
                let ties = catalog.ties(ColumnId { relation: oid, attnum: column.attnum });
                for (other, _) in ties.iter().filter(|(_, by)| *by == TieKind::Expression) {
                    self.takes_part(*other, is_one_row);
                }
            }
        }
    }

    /// A column takes part in a comparison, by one value or by any number.
    fn takes_part(&mut self, id: ColumnId, is_one: bool) {
        self.rec.used(id, Place::Equality);
        self.rec.guess(id, if is_one { Operand::Stored(id) } else { Operand::Unbounded });
    }

    /// What is written is compared by the keys, checks and references of its column, and the error
    /// says how that went.
    pub(crate) fn compared(&mut self, written: &[Written]) {
        for Written { column, val } in written {
            if !val.deps.is_empty() && self.is_tied(*column) {
                self.blame_place(&val.deps, &Place::Predicate("a constraint"));
            }
        }
    }

    /// Columns of stored rows are changed: these are compared by what keys and checks hold beside
    /// them, and by what is made of them and others.
    pub(crate) fn changed_beside(&mut self, written: &[Written]) {
        let written: Vec<ColumnId> =
            written.iter().flat_map(|written| self.everywhere(written.column)).collect();
        for id in &written {
            self.beside(*id, &written);
            for made in self.made_from(*id) {
                self.beside(made.column, &written);
                let is_tied =
                    self.is_unique(made.column) || self.context.catalog.is_tied(made.column);
                let looked = if is_tied { &made.reads } else { &made.looked_into };
                for other in looked.iter().filter(|other| !written.contains(other)) {
                    self.rec.used(other, Place::Predicate("GENERATED"));
                }
            }
            self.no_longer_referenced(id.relation, Some(id.attnum));
            let ties = self.context.catalog.ties(*id);
            if ties.iter().any(|(_, by)| *by == TieKind::Partition) {
                // The row may go to another partition.
                self.rows_removed(vec![id.relation]);
            }
        }
    }

    /// A column is written as it was: what is checked whatever is written is checked again.
    pub(crate) fn checked_again(&mut self, id: ColumnId) {
        for id in self.everywhere(id) {
            let ties = self.context.catalog.ties(id).iter();
            for (other, _) in ties.filter(|(_, by)| *by == TieKind::Always) {
                self.rec.used(*other, Place::Predicate("CHECK"));
            }
        }
    }

    /// What is compared when `id` changes and these do not stay as they are either.
    pub(crate) fn beside(&mut self, id: ColumnId, written: &[ColumnId]) {
        for (other, by) in self.context.catalog.ties(id) {
            if written.contains(other) {
                continue;
            }
            match by {
                TieKind::Expression | TieKind::Key => {
                    self.takes_part(*other, true);
                }
                TieKind::Always | TieKind::Check => {
                    self.rec.used(*other, Place::Predicate("CHECK"));
                }
                TieKind::Changed
                | TieKind::Overlap
                | TieKind::Partition
                | TieKind::Reference
                | TieKind::Removed => {}
            }
        }
    }

    /// Rows go, or a key of theirs changes: whether others reference them is an answer about those,
    /// of any number of rows. What goes or changes with them is compared in its turn.
    pub(crate) fn no_longer_referenced(&mut self, relation: u32, attnum: Option<i16>) {
        let catalog = self.context.catalog;
        let mut next = vec![(relation, attnum)];
        let mut seen = next.clone();
        let mut changed = Vec::new();
        while let Some((relation, attnum)) = next.pop() {
            for tie in catalog.referencing(relation) {
                if !self.spend(0) {
                    return;
                }
                if attnum.is_some_and(|attnum| tie.to.attnum != attnum) {
                    continue;
                }
                let follows = match tie.by {
                    TieKind::Removed if attnum.is_none() => (tie.from.relation, None),
                    TieKind::Changed => {
                        changed.push(tie.from);
                        (tie.from.relation, Some(tie.from.attnum))
                    }
                    TieKind::Reference => {
                        self.rec.used(tie.from, Place::Equality);
                        self.rec.guess(tie.from, Operand::Stored(tie.to));
                        continue;
                    }
                    _ => continue,
                };
                if !seen.contains(&follows) {
                    seen.push(follows);
                    next.push(follows);
                }
            }
        }
        for id in &changed {
            self.beside(*id, &changed);
        }
    }

    /// Rows of an item are removed, those of tables that inherit it too.
    pub(crate) fn removed(&mut self, item: &Item<'c>) {
        let Columns::Stored(relation) = &item.columns else { return };
        let relations = self.relations_under(relation);
        self.rows_removed(relations);
    }

    /// Rows of these relations go, and of those that inherit them.
    pub(crate) fn rows_removed(&mut self, relations: Vec<u32>) {
        for relation in self.with_descendants(relations) {
            self.no_longer_referenced(relation, None);
        }
    }

    /// Relations, and all that inherit from them or are partitions of them.
    pub(crate) fn with_descendants(&mut self, mut relations: Vec<u32>) -> Vec<u32> {
        let catalog = self.context.catalog;
        let mut next = 0;
        while let Some(relation) = relations.get(next).copied() {
            next += 1;
            self.spend(0);
            for child in catalog.children(relation) {
                if !relations.contains(child) {
                    relations.push(*child);
                }
            }
        }
        relations
    }

    /// A relation, and what is under it when it is a view.
    pub(crate) fn relations_under(&mut self, relation: &Relation) -> Vec<u32> {
        let mut relations = vec![relation.oid];
        for column in crate::scope::live(relation) {
            let under = self.under(column_id(relation, column));
            relations.extend(under.iter().map(|id| id.relation));
        }
        relations.sort_unstable();
        relations.dedup();
        relations
    }
}
