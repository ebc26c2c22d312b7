//! What may not run whoever asks, and what may not run for a principal with masks.

use std::sync::Arc;

use engine::{MaskPlan, Predicates, Refusal};
use model::ClientText;
use sql::{Catalog, ColumnId, Runs, Statement, StatementKind};

use crate::judge::{Judged, MaskedColumns};
use crate::names::Portal;
use crate::ready::{Ready, ResourceOptions};
use crate::settings::Settings;
use crate::uncommitted::{Uncommitted, is_masked};

impl Ready {
    /// Checks a judged text against what holds for everyone (R6, R10) and, for a principal with
    /// masks, whether it could tell what they hide (R1, R7).
    ///
    /// # Errors
    /// It may not run; the reason is a word of the documented list.
    pub fn admit(&self, judged: &Judged) -> Result<(), Refusal> {
        admit_for_everyone(&self.options, judged)?;
        if self.masks.is_empty() {
            return Ok(());
        }
        let Some(snapshot) = self.snapshot() else { return Err(no_catalog()) };
        let catalog = &snapshot.catalog;
        let masked = self.cache.masked(&self.masks, catalog);
        if masked.is_empty() {
            return Ok(());
        }
        if self.uncommitted.hides_masks(&self.masks)
            && judged.statements.list.iter().any(|s| !s.ends_transaction())
            || self.uncommitted.concerns(judged)
        {
            return Err(uncommitted());
        }
        if self.steers_plans
            || (!self.plans_unordered && self.cache.hides_order(&self.masks, catalog))
        {
            let words = "this session began with a setting that the server plans by, which tells \
                         the order of masked values; connect again, without it";
            return Err(Refusal::unjudgeable("plan_setting", ClientText::fixed(words)));
        }
        let is_known = |source: &Runs| match source {
            Runs::Cursor(cursor) => {
                self.portals.find(cursor.as_bytes()).is_some_and(|open| !self.is_doubtful(open))
            }
            Runs::Prepared(name) => {
                self.statements.find(name.as_bytes()).is_some_and(|known| known.is_query())
            }
        };
        let hidden = Hidden {
            masks: &self.masks,
            masked: &masked,
            catalog,
            settings: &self.settings,
            encoding_is_told: self.settings_are_told(),
            is_known: &is_known,
            uncommitted: &self.uncommitted,
        };
        hidden.admit(&judged.statements.list)?;
        // Last: a view that cannot be looked into counts as too large, and has a reason of its own.
        if snapshot.forbids_nothing()
            && let Some(digits) = self.outbids(judged, catalog)
        {
            return Err(outbid(digits));
        }
        Ok(())
    }

    /// Whether the query of a cursor may be another than was judged.
    fn is_doubtful(&self, open: &Portal) -> bool {
        let judged = &*open.prepared.judged;
        let query = (judged, open.prepared.index.unwrap_or(0));
        let is_late = open.is_bound || judged.goes_by_made();
        open.is_doubtful || is_late && self.seat.may_have_changed(query, open.since)
    }

    /// A statement that the planner may take for so large that it does what is off.
    fn outbids(&self, judged: &Judged, catalog: &Catalog) -> Option<u32> {
        let digits = judged.statements.list.iter().map(|s| s.facts.estimate_digits).max()?;
        let is_over = digits > sql::ESTIMATE_DIGITS_MAX;
        (is_over && self.cache.hides_order(&self.masks, catalog)).then_some(digits)
    }

    /// Whether masks of this principal hide stored columns here (R1).
    pub fn has_masks(&self, catalog: &Catalog) -> bool {
        !self.masks.is_empty() && !self.cache.masked(&self.masks, catalog).is_empty()
    }
}

/// What may not run whoever asks (R6, R10).
pub(crate) fn admit_for_everyone(
    options: &ResourceOptions,
    judged: &Judged,
) -> Result<(), Refusal> {
    let facts = &judged.statements.facts;
    if let Some(access) = facts.server_access.first()
        && !options.server_files
    {
        let words = format!(
            "{} reaches files or programs of the database server; this resource does not allow it",
            server_access_words(access)
        );
        return Err(Refusal::unjudgeable("server_access", ClientText::composed(words)));
    }
    if options.shared {
        return Ok(());
    }
    if let Some(object) = facts.other_backends.first() {
        let words = format!(
            "{object} shows or signals other sessions, and sessions of others share this role"
        );
        return Err(Refusal::unjudgeable("other_backends", ClientText::composed(words)));
    }
    if facts.role_change && !role_is_listed(options, judged) {
        let words = "changing the role is refused: sessions of others share it; \
                     list allowed roles in the resource's `roles`";
        return Err(Refusal::unjudgeable("role_change", ClientText::fixed(words)));
    }
    Ok(())
}

/// SET ROLE to a role that the resource lists, and nothing else of the kind (R10).
fn role_is_listed(options: &ResourceOptions, judged: &Judged) -> bool {
    judged.statements.list.iter().filter(|s| s.facts.role_change).all(|s| match &s.kind {
        StatementKind::Set { name, value: Some(role), .. } if &**name == "role" => {
            options.roles.iter().any(|listed| **listed == **role)
        }
        StatementKind::Reset { .. } => true,
        _ => false,
    })
}

/// What is hidden from a principal, and what is known of the session that asks.
pub(crate) struct Hidden<'a> {
    pub masks: &'a MaskPlan,
    pub masked: &'a MaskedColumns,
    pub catalog: &'a Catalog,
    pub settings: &'a Settings,
    /// The server has said which `client_encoding` is in force.
    pub encoding_is_told: bool,
    /// The session declared or prepared it, what it is is known, and it is a query.
    pub is_known: &'a dyn Fn(&Runs) -> bool,
    /// What the session changed before.
    pub uncommitted: &'a Uncommitted,
}

impl Hidden<'_> {
    /// Whether the statements of one text may run.
    ///
    /// # Errors
    /// They could tell what is hidden, other than in columns that are masked on their way out.
    pub fn admit(&self, all: &[Statement]) -> Result<(), Refusal> {
        let mut made = all.iter().filter_map(|statement| statement.creates.as_deref());
        if all.len() > 1
            && let Some(table) = made.find(|table| is_masked(table, self.masks))
        {
            let words = format!(
                "{}.{} would have columns that are masked for you; send its CREATE TABLE alone, \
                 and commit it first",
                table.schema, table.name
            );
            return Err(Refusal::unjudgeable("uncommitted_ddl", ClientText::composed(words)));
        }
        let mut before = self.uncommitted.clone();
        for (index, statement) in all.iter().enumerate() {
            // All are judged by one snapshot, and none has run.
            if before.is_lost() && !statement.ends_transaction() {
                return Err(uncommitted());
            }
            if index.saturating_add(1) < all.len() {
                before.stands_before(statement, self.catalog);
            }
            self.admit_keys(statement)?;
            self.admit_indirect(statement, all)?;
            self.admit_encoding(statement, all)?;
            let predicates = |id: ColumnId| allowed_predicates(self.masks, self.catalog, id);
            let masked = |id| self.masked.contains_key(&id);
            let named = |id| is_named(self.masks, self.catalog, id);
            sql::exposure_beside(statement, &masked, &named, &predicates).map_err(
                |untraceable| {
                    let words = ClientText::composed(untraceable.message);
                    Refusal::unjudgeable(untraceable.reason, words).with_code(untraceable.sqlstate)
                },
            )?;
        }
        Ok(())
    }

    /// The server fails on characters that the client's encoding does not have, before a mask is
    /// put over them; and every encoding asked for tells more of them.
    fn admit_encoding(&self, statement: &Statement, all: &[Statement]) -> Result<(), Refusal> {
        let copied = match &statement.kind {
            StatementKind::Copy(copy) if !copy.from => Some(copy),
            _ => None,
        };
        let outputs = &statement.outputs;
        let columns = outputs.columns.iter().flatten().chain(&outputs.every);
        let columns =
            columns.chain(copied.and_then(|copy| copy.columns.as_ref()).into_iter().flatten());
        if !columns.flat_map(|column| &column.deps).any(|id| self.masked.contains_key(id)) {
            return Ok(());
        }
        let asked = copied
            .and_then(|copy| copy.options.iter().find(|(name, _)| &**name == "encoding"))
            .map(|(_, value)| &**value);
        let converted = match asked {
            Some(name) => self.settings.converts_to(name),
            None => self.settings.converts() || !self.encoding_is_told,
        };
        if !converted && !all.iter().any(may_set_encoding) {
            return Ok(());
        }
        let words = "characters of masked columns may not exist in this encoding; \
                     SET client_encoding TO 'UTF8' in a statement of its own";
        Err(Refusal::unjudgeable("encoding", ClientText::fixed(words)))
    }

    /// A foreign key answers whether values are there, as often as it is asked: also of a table
    /// that has masked columns, by its name, as soon as it is made.
    fn admit_keys(&self, statement: &Statement) -> Result<(), Refusal> {
        let mut keys = statement.facts.keys_to_itself.iter();
        let is_masked = |(schema, table, column): &&sql::statement::StoredName| {
            self.masks.field(schema, table, column).is_some()
        };
        let Some((schema, table, column)) = keys.find(is_masked) else { return Ok(()) };
        let words = format!(
            "FOREIGN KEY concerns {schema}.{table}.{column}, which is masked; ask an \
             administrator to do it"
        );
        Err(Refusal::unjudgeable("redefined", ClientText::composed(words)))
    }

    /// FETCH and EXECUTE return the columns of another statement, which must be known and alone.
    fn admit_indirect(&self, statement: &Statement, all: &[Statement]) -> Result<(), Refusal> {
        let known = match statement.kind.runs() {
            _ if matches!(statement.kind, StatementKind::Fetch { is_move: true, .. }) => true,
            Some(source) => (self.is_known)(&source),
            None => return Ok(()),
        };
        if known && all.len() == 1 {
            return Ok(());
        }
        let words = "FETCH and EXECUTE must be sent alone and name a cursor or query that this \
                     session declared or prepared, because columns are masked for you on this \
                     resource";
        Err(Refusal::unjudgeable("unknown_source", ClientText::fixed(words)))
    }
}

/// The words of [`sql::Facts::server_access`] as a person would say them.
fn server_access_words(access: &str) -> &str {
    match access {
        "copy_program" => "COPY with a program",
        "copy_file" => "COPY with a server file",
        "library" => "loading a library",
        "server_settings" => "changing server settings",
        "role_passwords" => "reading role passwords",
        "large_object_file" => "a large object from or to a server file",
        "read_file" => "reading a server file",
        "write_file" => "writing a server file",
        "list_files" => "listing server files",
        other => other,
    }
}

/// What `predicates` says of the masks of a stored column; where the rule says nothing, by its type
/// (R5). Few values of a boolean, an enum, a date or a small integer are all its values, so answers
/// about one soon tell it.
pub(crate) fn allowed_predicates(
    plan: &MaskPlan,
    catalog: &Catalog,
    id: ColumnId,
) -> sql::Predicates {
    // A column that is masked by what it is derived from has no rule, and no type, to go by.
    let Some((relation, column)) = catalog.column(id) else { return sql::Predicates::Refuse };
    if plan.field(&relation.schema, &relation.name, &column.name).is_none() {
        return sql::Predicates::Refuse;
    }
    match plan.predicates(&relation.schema, &relation.name, &column.name) {
        Some(Predicates::Allow) => sql::Predicates::Allow,
        Some(Predicates::Equality) => sql::Predicates::Equality,
        Some(Predicates::Refuse) => sql::Predicates::Refuse,
        None if has_many_values(column.type_oid) => sql::Predicates::Equality,
        None => sql::Predicates::Refuse,
    }
}

/// Whether a mask says the column's name, so that it has it whatever else there is.
pub(crate) fn is_named(plan: &MaskPlan, catalog: &Catalog, id: ColumnId) -> bool {
    catalog.column(id).is_some_and(|(relation, column)| {
        plan.field(&relation.schema, &relation.name, &column.name).is_some()
    })
}

/// Types with too many values to try, by `pg_type.oid`: bytea, int8, text, macaddr, inet, bpchar,
/// varchar, numeric, uuid.
fn has_many_values(type_oid: u32) -> bool {
    matches!(type_oid, 17 | 20 | 25 | 829 | 869 | 1042 | 1043 | 1700 | 2950)
}

/// Whether a statement may change `client_encoding`.
pub(crate) fn may_set_encoding(statement: &Statement) -> bool {
    sets_any_of(statement, &["client_encoding"])
}

/// Whether a statement may change a setting that the meaning of a text's bytes depends on.
pub(crate) fn may_set(statement: &Statement) -> bool {
    sets_any_of(statement, &["client_encoding", "standard_conforming_strings"])
}

fn sets_any_of(statement: &Statement, settings: &[&str]) -> bool {
    let sets = |(name, _): &(Arc<str>, Option<Arc<str>>)| {
        // The name is a parameter or computed: it may be any.
        settings.contains(&&**name) || name.starts_with(['$', '?'])
    };
    statement.facts.sets.iter().any(sets)
        || matches!(
            &statement.kind,
            StatementKind::Reset { name: None } | StatementKind::Discard { what: "all" }
        )
}

fn no_catalog() -> Refusal {
    let words = ClientText::fixed("the catalog of this database could not be read");
    Refusal::unjudgeable("catalog", words)
}

fn uncommitted() -> Refusal {
    let words = "what is before this changed definitions that masks depend on; \
                 commit or roll back, then send the next statement in a message of its own";
    Refusal::unjudgeable("uncommitted_ddl", ClientText::fixed(words))
}

fn outbid(digits: u32) -> Refusal {
    let words = format!(
        "this statement reads so many tables and functions, one within another, or a view that \
         cannot be looked into now, that PostgreSQL may take it for 10^{digits} rows and hand them \
         out in the order of masked values; ask for less at once, or once more"
    );
    Refusal::unjudgeable("plan_setting", ClientText::composed(words))
}
