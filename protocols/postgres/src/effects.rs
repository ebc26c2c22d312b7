//! What a statement that took effect changed in the session.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use engine::Outbox;
use model::OperationId;
use sql::{Statement, StatementKind};

use crate::judge::Judged;
use crate::names::{Hides, NAME_BYTES_MAX, Portal, Prepared, Source};
use crate::ready::Ready;
use crate::settings::Path;

/// How a statement ran.
#[derive(Clone)]
pub(crate) struct Ran {
    /// The operation it belongs to.
    pub gate: Option<OperationId>,
    /// What it ran in turn.
    pub source: Option<Source>,
    /// What was hidden when it was admitted.
    pub hides: Hides,
    /// Which changes of definitions it was judged behind.
    pub since: u64,
    /// How many answers were awaited when it was sent.
    pub behind: u64,
}

impl Ready {
    /// A statement of a judged text is complete.
    pub fn took_effect(
        &mut self,
        judged: &Arc<Judged>,
        index: usize,
        by: &Ran,
        out: &mut Outbox<Bytes>,
    ) {
        let Some(statement) = judged.statements.list.get(index) else { return };
        if let (StatementKind::Execute { .. }, Some(source)) = (&statement.kind, &by.source)
            && let Some(index) = source.index.filter(|_| source.takes_effect)
        {
            let by = Ran { source: None, ..by.clone() };
            self.took_effect(&source.judged, index, &by, out);
        }
        if statement.facts.ddl {
            let snapshot = self.snapshot();
            let catalog = snapshot.as_ref().map(|snapshot| &*snapshot.catalog);
            self.uncommitted.changed_by(statement, catalog);
        }
        self.turn_is_plain &= statement.facts.transactions.is_empty();
        for step in &statement.facts.transactions {
            self.uncommitted.stepped(step);
        }
        if statement.facts.changes_search_path {
            self.path_after = self.path_set(judged, statement);
        }
        let prepared = || {
            Arc::new(Prepared {
                judged: Arc::clone(judged),
                index: Some(index),
                by_sql: true,
                parsed_behind: u64::MAX,
                parameter_types: Vec::new(),
                fields: OnceLock::new(),
            })
        };
        match &statement.kind {
            StatementKind::Declare { cursor, hold, .. } => {
                let gate = by.gate.unwrap_or(OperationId(0));
                let portal = Portal {
                    prepared: prepared(),
                    source: None,
                    formats: Vec::new(),
                    gate,
                    hold: *hold,
                    hides: by.hides.clone(),
                    since: by.since,
                    behind: by.behind,
                    is_doubtful: self.seat.may_have_changed((judged, index), by.since),
                    is_bound: false,
                    fields: None,
                };
                if let Some(replaced) = self.portals.insert(cursor.as_bytes(), Arc::new(portal)) {
                    out.forget(replaced.gate);
                }
            }
            StatementKind::Prepare { name, .. } => {
                self.statements.insert(name.as_bytes(), prepared());
            }
            StatementKind::ClosePortal { cursor: Some(cursor) } => {
                if let Some(portal) = self.portals.remove(cursor.as_bytes()) {
                    out.forget(portal.gate);
                }
            }
            StatementKind::ClosePortal { cursor: None } => self.forget_portals(|_| false, out),
            StatementKind::Deallocate { name: Some(name) } => {
                self.statements.remove(name.as_bytes());
            }
            StatementKind::Deallocate { name: None } => {
                self.statements.retain(|_| false);
            }
            StatementKind::Discard { what: "all" } => {
                self.statements.retain(|_| false);
                self.forget_portals(|_| false, out);
            }
            _ => {}
        }
    }

    /// The server closed a statement or a portal.
    pub fn name_closed(&mut self, kind: u8, name: &[u8], out: &mut Outbox<Bytes>) {
        if kind == b'S' {
            self.statements.remove(name);
        } else if let Some(portal) = self.portals.remove(name) {
            out.forget(portal.gate);
        }
    }

    /// The server is ready, in this transaction status, and so many answers have come by now.
    pub fn at_status(&mut self, status: u8, answered: u64, out: &mut Outbox<Bytes>) {
        self.is_told(status, answered);
        self.status = status;
        if status == b'I' {
            self.forget_portals(|portal| portal.hold, out);
            if self.defining <= answered
                && let Some(epoch) = self.seat.end()
                && self.seen.saturating_add(1) == epoch
            {
                // Its own, which it waits for by itself.
                self.seen = epoch;
            }
            let renamed = self.uncommitted.renames();
            if self.uncommitted.end() {
                self.unread |= renamed;
                self.refresh(out);
                let hidden =
                    self.snapshot().is_none_or(|snapshot| self.has_masks(&snapshot.catalog));
                self.refreshing = hidden && !self.masks.is_empty();
            }
        }
    }

    fn forget_portals(&mut self, keep: impl Fn(&Portal) -> bool, out: &mut Outbox<Bytes>) {
        for portal in self.portals.retain(keep) {
            out.forget(portal.gate);
        }
    }

    /// The `search_path` after a plain SET outside a transaction; `None` for anything else. What
    /// fails before the server is ready, and a ROLLBACK, can still undo it.
    fn path_set(&self, judged: &Judged, statement: &Statement) -> Option<Path> {
        let alone = judged.statements.list.len() == 1 && self.status == b'I' && self.turn_is_plain;
        if !alone || statement.facts.role_change {
            return None;
        }
        let is_told = !self.settings.begins_elsewhere && !self.role_changed;
        let default = || is_told.then_some(Path::Fresh);
        match &statement.kind {
            StatementKind::Set { name, value, values, local: false }
                if &**name == "search_path" =>
            {
                match value {
                    Some(_) => {
                        let role = (!self.role_changed).then_some(&self.settings.role);
                        followed(values.as_deref()?, role).map(Path::Listed)
                    }
                    None => default(),
                }
            }
            StatementKind::Reset { .. } | StatementKind::Discard { .. } => default(),
            _ => None,
        }
    }
}

/// The schemas of a search path written out; `None` when it is not plain names. Each is a name as
/// it is: blanks and quotes in it belong to the name.
fn followed(schemas: &[Arc<str>], role: Option<&Arc<str>>) -> Option<Vec<Arc<str>>> {
    let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    let schema = |name: &Arc<str>| match &**name {
        "$user" => role.cloned(),
        "" => None,
        plain if plain.len() <= NAME_BYTES_MAX && plain.chars().all(is_plain) => Some(plain.into()),
        _ => None,
    };
    schemas.iter().map(schema).collect()
}
