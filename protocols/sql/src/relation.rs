//! Relations that a statement names: what they are, and what reading or writing them does.

use std::rc::Rc;
use std::sync::Arc;

use pg_query::protobuf::RangeVar;

use crate::catalog::Relation;
use crate::estimate;
use crate::known;
use crate::scope::{self, Columns, Item};
use crate::scope::{col, column_id, live};
use crate::statement::{Missing, Place};
use crate::tree;
use crate::value::{Name, Table, Val};
use crate::view;
use crate::walk::{Mode, Walk};

impl<'c> Walk<'c> {
    /// A relation that a statement reads or changes, as an item.
    pub(crate) fn relation(&mut self, var: &RangeVar, mode: Mode) -> Item<'c> {
        let (schema, name) = tree::range_name(var);
        self.rec.reads_by_schema |= schema.is_some() && mode == Mode::Read;
        let found = self.context.catalog.find(schema, name, self.context.path);
        for relation in &found {
            self.note(relation, mode);
        }
        if schema.is_none() && found.iter().any(|relation| !relation.builtin()) {
            self.may_be_shipped(name);
        }
        let hidden = self.context.catalog.hidden(schema, name, self.context.path);
        self.rec.shadows |= !hidden.is_empty();
        let meant = [found.as_slice(), hidden.as_slice()].concat();
        if self.skips_locked && mode == Mode::Read {
            for relation in &meant {
                let locks = self.locks_of(relation);
                self.blame_place(&locks, &Place::Predicate("FOR UPDATE"));
            }
        }
        if mode == Mode::Write {
            self.written_beside(name, found.iter().skip(1).chain(&hidden));
        }
        let columns = match (found.as_slice(), hidden.as_slice()) {
            ([], _) => Columns::Table(Rc::new(self.absent(schema, name, mode))),
            ([relation], []) => Columns::Stored(relation),
            // What is compared when it is written must be told by the column.
            ([relation], _) if mode == Mode::Write => Columns::Stored(relation),
            _ => Columns::Table(Rc::new(self.any_of(&meant))),
        };
        let shown = var.alias.as_ref().map_or(name, |alias| alias.aliasname.as_str());
        let mut item = self.item(Some(shown.into()), columns);
        item.of = (!meant.is_empty()).then(|| meant.into());
        if var.alias.is_none() {
            item.schema = match (schema, found.as_slice()) {
                (Some(schema), _) => Some(schema.into()),
                (None, [relation]) => Some(Arc::clone(&relation.schema)),
                (None, _) => None,
            };
        }
        self.aliased(item, var)
    }

    /// What is written may be compared with what another relation of the name has.
    fn written_beside<'r>(&mut self, name: &str, others: impl Iterator<Item = &'r &'c Relation>)
    where
        'c: 'r,
    {
        let place = Place::Ambiguous(name.into());
        for relation in others {
            for column in live(relation) {
                self.rec.used(column_id(relation, column), place.clone());
            }
        }
    }

    pub(crate) fn aliased(&mut self, item: Item<'c>, var: &RangeVar) -> Item<'c> {
        let names = tree::alias_columns(var.alias.as_ref());
        if names.is_empty() {
            return item;
        }
        let mut table = self.unread(|walk| walk.columns_of(&item));
        table.rename(&names);
        Item { columns: Columns::Table(Rc::new(table)), ..item }
    }

    /// Makes columns that nothing has named yet: they are recorded when something does.
    pub(crate) fn unread<T>(&mut self, make: impl FnOnce(&mut Self) -> T) -> T {
        self.rec.quiet += 1;
        let made = make(self);
        self.rec.quiet -= 1;
        made
    }

    /// Records that a relation is read or written.
    pub(crate) fn note(&mut self, relation: &'c Relation, mode: Mode) {
        if self.rec.quiet > 0 {
            return;
        }
        let name: Arc<str> = format!("{}.{}", relation.schema, relation.name).into();
        self.rec.objects.insert(relation.oid);
        if relation.builtin()
            || &*relation.schema == "pg_toast"
            || relation.name.starts_with("pg_stat_statements")
        {
            self.note_system(&relation.schema, &relation.name);
        }
        match mode {
            Mode::Read => {
                self.rec.read(name);
                match view::lineage(self.context, relation) {
                    Some(lineage) => lineage.note(&mut self.rec),
                    None => {
                        self.rec.multiplies(estimate::relation(&relation.schema, &relation.name))
                    }
                }
            }
            Mode::Write => {
                self.done_by(relation);
                self.rec.write(name);
                self.rec.multiplies(estimate::relation(&relation.schema, &relation.name));
            }
        }
    }

    /// What is done when rows are put into a relation: by defaults, and by the view that it is.
    fn done_by(&mut self, relation: &Relation) {
        let lineage = view::lineage(self.context, relation);
        let below = lineage.iter().flat_map(|lineage| lineage.objects.iter());
        let below = below.filter_map(|oid| self.context.catalog.relation(*oid));
        for relation in std::iter::once(relation).chain(below) {
            for column in &relation.columns {
                if let Some(expression) = &column.default {
                    let of = format!("{}.{}.{}", relation.schema, relation.name, column.name);
                    self.done_by_default(expression, &of);
                }
            }
        }
        if let Some(lineage) = lineage {
            lineage.note_actions(&mut self.rec);
        }
    }

    /// What is done when a value is made by a default, the one `of` a column or a domain.
    pub(crate) fn done_by_default(&mut self, expression: &str, of: &str) {
        match view::filled(self.context, expression) {
            Some(filled) => filled.note_actions(&mut self.rec),
            None => self.rec.opaque("opaque_function", &format!("behind the default of {of}")),
        }
    }

    /// A relation of somebody's own that has the name of one of PostgreSQL's, where it cannot be
    /// told that it stands before that.
    fn may_be_shipped(&mut self, name: &str) {
        if self.rec.quiet == 0 && self.context.catalog.ships_relation(name) {
            self.note_system("pg_catalog", name);
            if known::telling(name).next().is_some() {
                self.rec.opaque("raw_storage", name);
            }
        }
    }

    fn note_system(&mut self, schema: &str, name: &str) {
        if known::backend_relation(name) {
            self.rec.other_backends.insert(name.into());
        }
        if let Some(word) = known::server_relation(name) {
            self.rec.server_access.insert(word);
        }
        if let Some(reason) = known::opaque_relation(schema, name) {
            self.rec.opaque(reason, &format!("{schema}.{name}"));
        }
    }

    /// A relation the snapshot does not have. PostgreSQL's own may be left out of it.
    fn absent(&mut self, schema: Option<&str>, name: &str, mode: Mode) -> Table {
        let system = match schema {
            Some("pg_catalog" | "information_schema") => true,
            None => name.starts_with("pg_"),
            Some(_) => false,
        };
        let written: Arc<str> = match (schema, system) {
            (Some(schema), _) => format!("{schema}.{name}").into(),
            (None, true) => format!("pg_catalog.{name}").into(),
            (None, false) => name.into(),
        };
        if self.rec.quiet == 0 {
            match mode {
                Mode::Read => self.rec.read(Arc::clone(&written)),
                Mode::Write => self.rec.write(Arc::clone(&written)),
            }
            if schema == Some("pg_toast") || system {
                self.note_system(schema.unwrap_or("pg_catalog"), name);
            }
            if name == "pg_stat_statements" {
                self.rec.other_backends.insert(name.into());
            }
        }
        if system {
            self.rec.multiplies(estimate::relation(schema.unwrap_or("pg_catalog"), name));
            return scope::system_table(name);
        }
        if self.rec.quiet == 0 {
            self.rec.unresolved.insert(Arc::clone(&written));
            self.rec.missing(Missing::Relation, &written);
        }
        Table::any(Val::unknown())
    }

    /// A name that may mean several relations: every column of any of them.
    fn any_of(&mut self, several: &[&'c Relation]) -> Table {
        let mut table = Table::default();
        let mut whole = Val::none();
        for relation in several {
            for column in live(relation) {
                let val = self.unread(|walk| walk.stored(relation, column)).derived();
                whole.absorb(&val);
                let same = |col: &&mut crate::value::Col| col.name.is(&column.name);
                match table.cols.iter_mut().find(same) {
                    Some(col) => col.val.absorb(&val),
                    None => table.cols.push(col(Arc::clone(&column.name), val)),
                }
            }
        }
        let alike = several.iter().all(|relation| {
            let names = live(relation).map(|column| Some(&column.name));
            names.eq(table.cols.iter().map(|col| col.name.certain()))
        });
        // Columns of one name and order are known by place as well.
        if alike {
            return table;
        }
        for col in &mut table.cols {
            if let Some(name) = col.name.certain().cloned()
                && !several.iter().all(|relation| relation.column(&name).is_some())
            {
                // Where it is another relation, the name means something further out.
                col.name = Name::Perhaps(name);
            }
        }
        table.rest = Some(whole);
        table
    }
}
