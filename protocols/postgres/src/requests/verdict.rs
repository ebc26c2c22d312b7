//! What follows a verdict: released, refused, or withheld when the reply is here already.

use std::sync::Arc;

use bytes::{BufMut, Bytes};
use engine::{Outbox, Permit, Refusal};
use model::OperationId;

use crate::expected::{Expected, Opened, RowsReply, Step, What};
use crate::message::{self, Severity, message, put_cstr};
use crate::names::{Hides, Portal};
use crate::ready::{Plan, Ready, Tail, Withholding};
use crate::refusal;

/// What was hidden at either time.
fn both(mut hides: Hides, before: Option<&Hides>) -> Hides {
    for columns in before.into_iter().flatten() {
        if !hides.iter().any(|known| Arc::ptr_eq(known, columns)) {
            hides.push(Arc::clone(columns));
        }
    }
    hides
}

/// Never valid SQL, so the server fails for real and says what state the transaction is in (R2).
const REFUSED_STATEMENT: &str = "narrows refused this statement";

impl Ready {
    /// The engine sent the operation; this is what the server will answer.
    pub fn sent(&mut self, plan: Plan, hides: Hides, permit: &Arc<Permit>) {
        match plan {
            Plan::Simple(judged, source) => {
                let hides = both(hides, source.as_ref().map(|source| &source.hides));
                let rows = RowsReply::simple(judged, source, hides, self.seen);
                self.expect(Expected {
                    what: What::Rows(Box::new(rows)),
                    permit: Some(Arc::clone(permit)),
                    ends: true,
                });
            }
            Plan::Extended { steps, .. } => self.sent_steps(steps, &hides, permit),
            Plan::Refused { .. } => {}
        }
    }

    fn sent_steps(&mut self, steps: Vec<Step>, hides: &Hides, permit: &Arc<Permit>) {
        self.dirty = true;
        self.flushed = false;
        let last = steps.len().saturating_sub(1);
        for (index, step) in steps.into_iter().enumerate() {
            let what = match step {
                Step::Parse { name, prepared } => {
                    self.statements.ask(&name, prepared, self.awaited);
                    What::Parse { name }
                }
                Step::DescribeStatement { prepared, own } => {
                    What::DescribeStatement { prepared: Some(prepared), own }
                }
                Step::Bind { name, opened } => {
                    let gate = permit.operation();
                    let hides = both(hides.clone(), opened.source.as_ref().map(|s| &s.hides));
                    let Opened { prepared, source, formats, fields } = opened;
                    let portal = Portal {
                        prepared,
                        source,
                        formats,
                        gate,
                        hold: false,
                        hides,
                        since: self.seen,
                        behind: self.awaited,
                        is_doubtful: false,
                        is_bound: true,
                        fields,
                    };
                    self.portals.ask(&name, Arc::new(portal), self.awaited);
                    What::Bind { name }
                }
                Step::DescribePortal { own, fields } => What::DescribePortal { own, fields },
                Step::Execute { opened, portal } => {
                    let since = portal.as_ref().map_or(self.seen, |portal| portal.since);
                    let hides = both(hides.clone(), portal.as_ref().map(|portal| &portal.hides));
                    let hides = both(hides, opened.source.as_ref().map(|source| &source.hides));
                    What::Rows(Box::new(RowsReply::portal(opened, hides, since)))
                }
                Step::Sync => {
                    self.dirty = false;
                    self.flushed = true;
                    What::Sync
                }
            };
            let ends = index == last;
            self.expect(Expected { what, permit: Some(Arc::clone(permit)), ends });
        }
    }

    /// The engine refused the operation; nothing of it was sent (R2).
    pub fn refused(&mut self, id: OperationId, refusal: &Refusal, out: &mut Outbox<Bytes>) {
        let Some(undecided) = self.undecided.take() else { return };
        debug_assert_eq!(undecided.id, id, "one operation is asked at a time");
        let (simple, sync) = match undecided.plan {
            Plan::Simple(..) => (true, None),
            Plan::Refused { simple, sync } => (simple, sync),
            Plan::Extended { sync, .. } => (false, sync),
        };
        let error = refusal::error(refusal, Severity::Error, undecided.position);
        // A refusal is only told here when the server has nothing to lose by it; else the server
        // itself must fail, so that what the client believes of its transaction is true.
        let alone = self.expected.is_empty() && !self.dirty && self.status != b'T';
        match (alone, simple) {
            (true, true) => {
                out.answer(error);
                out.answer(message::ready(self.status));
            }
            (true, false) => {
                out.answer(error);
                self.skip_to_sync = true;
            }
            (false, simple) => self.abort(id, error, simple, out),
        }
        if let Some(sync) = sync {
            self.sync(sync, out);
        }
    }

    /// Makes the server fail for real, and puts `error` in the place of its error (R2).
    pub fn abort(&mut self, id: OperationId, error: Bytes, simple: bool, out: &mut Outbox<Bytes>) {
        if simple {
            out.abort(id, message::query(REFUSED_STATEMENT));
        } else {
            // A named statement: parsing into the unnamed one would drop what is there.
            out.abort(
                id,
                message(b'P', |body| {
                    put_cstr(body, b"narrows refused");
                    put_cstr(body, REFUSED_STATEMENT.as_bytes());
                    body.put_u16(0);
                }),
            );
            self.dirty = true;
            self.flushed = false;
            self.skip_to_sync = true;
        }
        self.expect(Expected::control(What::Abort { error, failed: false, simple }));
        if !simple {
            self.flush(out);
        }
    }

    /// The reply of a running or finished operation must not leave.
    pub fn withheld(&mut self, id: OperationId, refusal: Refusal, out: &mut Outbox<Bytes>) {
        // The reply may even be drained by now.
        if self.stopped == Some(id) {
            return;
        }
        let settling = self.settling.take().filter(|settling| settling.id == id);
        let running = self.expected.iter().any(|expected| {
            expected.permit.as_ref().is_some_and(|permit| permit.operation() == id)
        });
        let (tail, acknowledged) = settling
            .map_or((Tail::Running, None), |settling| (settling.tail, settling.acknowledged));
        let acknowledged = acknowledged.unwrap_or_default();
        if running {
            self.withholding =
                Some(Withholding { id, refusal, failed: false, acknowledged, is_over: false });
            out.cancel(crate::conversation::cancel_errand(&self.key));
            return;
        }
        let error = refusal::error(&refusal, Severity::Error, None);
        for acknowledgement in acknowledged {
            out.answer(acknowledgement);
        }
        match tail {
            Tail::Ready(b'T') => self.abort(id, error, true, out),
            Tail::Ready(status) => {
                out.answer(error);
                out.answer(message::ready(status));
            }
            Tail::Unsynced | Tail::Running => self.abort(id, error, false, out),
        }
    }
}
