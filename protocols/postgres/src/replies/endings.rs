//! The end of an answer: of a statement, of a pipeline, of an operation.

use std::sync::Arc;

use bytes::Bytes;
use engine::{Fault, Outbox};

use super::outgoing::Outgoing;
use crate::effects::Ran;
use crate::expected::{Expected, Treatment, What};
use crate::message;
use crate::ready::{Ready, Tail};
use crate::scrub;

impl Ready {
    /// A statement is complete, or a portal suspended.
    pub(super) fn completed(&mut self, tag: u8, going: &mut Outgoing, out: &mut Outbox<Bytes>) {
        let Some(Expected { what: What::Rows(rows), permit, .. }) = self.expected.front_mut()
        else {
            return;
        };
        let (judged, index) = (Arc::clone(&rows.judged), rows.statement);
        let by = Ran {
            gate: permit.as_ref().map(|permit| permit.operation()),
            source: rows.source.clone(),
            hides: rows.hides.clone(),
            since: rows.since,
            behind: rows.behind,
        };
        let is_portal = rows.portal.is_some();
        rows.statement = rows.statement.saturating_add(1);
        rows.treatment = Treatment::Undescribed;
        if !is_portal {
            // The next statement of the text may be another COPY.
            (rows.takes_data, rows.syncs_before_end) = (false, None);
        }
        if tag == b'C' {
            self.took_effect(&judged, index, &by, out);
        }
        if is_portal {
            self.pop(going, out);
        }
    }

    /// The first in line is answered.
    pub(super) fn pop(&mut self, going: &mut Outgoing, out: &mut Outbox<Bytes>) {
        let Some(expected) = self.expected.pop_front() else { return };
        self.ended(expected, None, going, out);
    }

    /// Ends the operation of an answered message, when it was its last.
    fn ended(
        &mut self,
        expected: Expected,
        status: Option<u8>,
        going: &mut Outgoing,
        out: &mut Outbox<Bytes>,
    ) {
        let Some(permit) = expected.permit.filter(|_| expected.ends) else { return };
        going.flush(out);
        if let Some(settling) = &mut self.settling
            && settling.id == permit.operation()
        {
            settling.tail = status.map_or(Tail::Unsynced, Tail::Ready);
        }
        out.finish(permit);
    }

    pub(super) fn ready_for_query(
        &mut self,
        base: &Bytes,
        (start, end): (usize, usize),
        going: &mut Outgoing,
        out: &mut Outbox<Bytes>,
    ) -> Result<(), Fault> {
        let Some(&status @ (b'I' | b'T' | b'E')) = base.get(start.saturating_add(5)) else {
            return Err(Fault::upstream("unknown transaction status"));
        };
        let operation =
            self.expected.front().and_then(|e| e.permit.as_ref()).map(|p| p.operation());
        if operation.is_some() && operation == self.told.take_if(|told| Some(*told) == operation) {
            // Replies of this operation are dropped by now, and this is none.
            going.flush(out);
            out.answer(message::ready(status));
        } else {
            going.pass(base, start, end);
        }
        let behind = self.expected.len().saturating_sub(1) as u64;
        self.at_status(status, self.awaited.saturating_sub(behind), out);
        if let Some(expected) = self.expected.pop_front() {
            self.ended(expected, Some(status), going, out);
        }
        Ok(())
    }

    /// An error: in the extended protocol the server skips to the next Sync.
    pub(super) fn error(&mut self, frame: &Bytes, going: &mut Outgoing, out: &mut Outbox<Bytes>) {
        let body = frame.get(5..).unwrap_or_default();
        going.error_code = scrub::code(body);
        self.server_leaves |= scrub::is_fatal(body);
        let hides_columns =
            self.must_scrub() && (scrub::is_from_within(body) || !self.runs_clear());
        let scrubbed = hides_columns.then(|| scrub::scrub_report(body));
        let withheld = self
            .words_of_error()
            .and_then(|words| words.report(scrubbed.as_deref().unwrap_or(body), &mut going.found));
        match withheld.or(scrubbed) {
            Some(report) => message::write(going.own(), b'E', |out| out.extend_from_slice(&report)),
            None => going.pass(frame, 0, frame.len()),
        }
        let simple = match self.expected.front_mut().map(|expected| &mut expected.what) {
            Some(What::Rows(rows)) if rows.portal.is_none() => {
                rows.failed = true;
                true
            }
            _ => false,
        };
        if !simple {
            self.skip(going, out);
        }
    }

    /// What runs now reads nothing masked, so an error about it can quote nothing masked.
    fn runs_clear(&self) -> bool {
        if !self.uncommitted.is_empty() {
            return false;
        }
        let running = match self.expected.front().map(|expected| &expected.what) {
            Some(What::Rows(rows)) => Some((&*rows.judged, rows.statement, rows.since)),
            Some(What::Bind { name }) => self.portals.awaited(name).and_then(|portal| {
                Some((&*portal.prepared.judged, portal.prepared.index?, portal.since))
            }),
            _ => None,
        };
        let Some((judged, index, since)) = running else { return false };
        // It may read something else by now than it was judged to.
        if self.seat.may_have_changed((judged, index), since) {
            return false;
        }
        let statement = judged.statements.list.get(index);
        let (Some(statement), Some(snapshot)) = (statement, self.snapshot()) else { return false };
        let masked = self.cache.masked(&self.masks, &snapshot.catalog);
        let is_masked = |id| {
            let mut before = self.hid.iter().chain(self.hides());
            masked.contains_key(&id) || before.any(|columns| columns.contains_key(&id))
        };
        sql::is_clear(statement, &snapshot.catalog, &is_masked)
    }

    /// Forgets what the server will not answer.
    pub(super) fn skip(&mut self, going: &mut Outgoing, out: &mut Outbox<Bytes>) {
        while let Some(expected) = self.expected.front() {
            if matches!(expected.what, What::Sync) {
                return;
            }
            match &expected.what {
                What::Parse { name } => {
                    self.statements.unasked(name);
                }
                What::Bind { name } => {
                    if let Some(portal) = self.portals.unasked(name) {
                        out.forget(portal.gate);
                    }
                }
                _ => {}
            }
            if let Some(permit) = &expected.permit {
                out.skipped(permit);
            }
            self.pop(going, out);
        }
        self.skip_to_sync = true;
    }

    pub(super) fn acknowledge(&mut self, frame: &Bytes) {
        let operation = self
            .expected
            .front()
            .and_then(|expected| expected.permit.as_ref())
            .map(|permit| permit.operation());
        if let Some(settling) = &mut self.settling
            && Some(settling.id) == operation
            && let Some(acknowledged) = &mut settling.acknowledged
        {
            acknowledged.push(frame.clone());
        }
    }
}
