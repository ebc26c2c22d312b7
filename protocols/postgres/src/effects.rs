//! What a statement that took effect changed in the session.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use engine::Outbox;
use model::OperationId;
use sql::{Statement, StatementKind};

use crate::judge::Judged;
use crate::names::{Portal, Prepared};
use crate::ready::Ready;

impl Ready {
    /// A statement of a judged text is complete.
    pub fn took_effect(
        &mut self,
        judged: &Arc<Judged>,
        index: usize,
        gate: Option<OperationId>,
        out: &mut Outbox<Bytes>,
    ) {
        let Some(statement) = judged.statements.list.get(index) else { return };
        if statement.facts.ddl {
            let snapshot = self.snapshot();
            let catalog = snapshot.as_ref().map(|snapshot| &*snapshot.catalog);
            self.uncommitted.changed_by(statement, catalog);
        }
        if statement.facts.changes_search_path {
            self.search_path_changed(judged, statement);
        }
        let prepared = || {
            Arc::new(Prepared {
                judged: Arc::clone(judged),
                index: Some(index),
                parameter_types: Vec::new(),
                fields: OnceLock::new(),
            })
        };
        match &statement.kind {
            StatementKind::Declare { cursor, hold, .. } => {
                let gate = gate.unwrap_or(OperationId(0));
                let portal = Portal {
                    prepared: prepared(),
                    source: None,
                    formats: Vec::new(),
                    gate,
                    hold: *hold,
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
                self.settings.search_path = Some(self.settings.default_search_path.clone());
            }
            _ => {}
        }
    }

    /// The server is ready, in this transaction status.
    pub fn at_status(&mut self, status: u8, out: &mut Outbox<Bytes>) {
        self.status = status;
        if status == b'I' {
            self.forget_portals(|portal| portal.hold, out);
            let renamed = self.uncommitted.is_unknown() || self.uncommitted.has_dropped();
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

    /// Follows a plain SET outside a transaction; anything else leaves the path unknown.
    fn search_path_changed(&mut self, judged: &Judged, statement: &Statement) {
        let alone = judged.statements.list.len() == 1 && self.status == b'I';
        self.settings.search_path = match &statement.kind {
            StatementKind::Set { name, value, local: false }
                if alone && &**name == "search_path" =>
            {
                match value {
                    Some(value) => followed(value, &self.settings.role),
                    None => Some(self.settings.default_search_path.clone()),
                }
            }
            StatementKind::Reset { .. } | StatementKind::Discard { .. } if alone => {
                Some(self.settings.default_search_path.clone())
            }
            _ => None,
        };
    }
}

/// The schemas of a search path written out; `None` when it is not plain names.
fn followed(value: &str, role: &Arc<str>) -> Option<Vec<Arc<str>>> {
    value
        .split(',')
        .map(|name| match name.trim().trim_matches('"') {
            "$user" => Some(Arc::clone(role)),
            plain
                if !plain.is_empty()
                    && plain
                        .chars()
                        .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_') =>
            {
                Some(plain.into())
            }
            _ => None,
        })
        .collect()
}
