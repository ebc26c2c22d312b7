//! Replies that must not leave, drained until the server is ready again.

use bytes::Bytes;
use engine::{Fault, Outbox, Refusal};

use super::outgoing::Outgoing;
use crate::expected::What;
use crate::message::{self, Severity};
use crate::ready::{Ready, Withholding};
use crate::refusal;

impl Ready {
    /// The reply is not what was judged, or cannot be masked: none of it leaves.
    pub(super) fn stop_reply(
        &mut self,
        refusal: Refusal,
        going: &mut Outgoing,
        out: &mut Outbox<Bytes>,
    ) {
        let Some(permit) = self.expected.front().and_then(|expected| expected.permit.clone())
        else {
            return;
        };
        going.flush(out);
        let id = permit.operation();
        // No cancel: it could reach the server after this statement ended, and stop the next one.
        out.stop(&permit, refusal.clone());
        self.stopped = Some(id);
        self.settling = None;
        self.withholding = Some(Withholding {
            id,
            refusal,
            failed: false,
            acknowledged: Vec::new(),
            is_over: false,
        });
    }

    pub(super) fn is_withheld(&self) -> bool {
        let Some(withholding) = &self.withholding else { return false };
        if withholding.is_over {
            return true;
        }
        self.expected
            .front()
            .and_then(|expected| expected.permit.as_ref())
            .is_some_and(|permit| permit.operation() == withholding.id)
    }

    pub(super) fn withheld_message(
        &mut self,
        tag: u8,
        frame: Bytes,
        going: &mut Outgoing,
        out: &mut Outbox<Bytes>,
    ) -> Result<(), Fault> {
        going.flush(out);
        let Some(expected) = self.expected.front_mut() else { return Ok(()) };
        let simple = matches!(&expected.what, What::Rows(rows) if rows.portal.is_none());
        match (&mut expected.what, tag) {
            (What::Parse { name }, b'1') => {
                let name = std::mem::take(name);
                self.statements.confirm(&name);
                self.keep_acknowledgement(frame);
                self.drop_answer(out);
            }
            (What::Bind { name }, b'2') => {
                let name = std::mem::take(name);
                if let Some(replaced) = self.portals.confirm(&name) {
                    out.forget(replaced.gate);
                }
                self.keep_acknowledgement(frame);
                self.drop_answer(out);
            }
            (What::DescribeStatement { prepared, .. }, b'T' | b'n') => {
                if let Some(prepared) = prepared.as_ref() {
                    let _ = prepared.fields.set(message::fields(tag, &frame)?);
                }
                self.drop_answer(out);
            }
            (What::Close { kind, name }, b'3') => {
                let (kind, name) = (*kind, std::mem::take(name));
                self.name_closed(kind, &name, out);
                self.drop_answer(out);
            }
            (What::DescribePortal { fields, .. }, b'T' | b'n') => {
                if let Some(fields) = fields {
                    let _ = fields.set(message::fields(tag, &frame)?);
                }
                self.drop_answer(out);
            }
            (_, b'Z') => self.withheld_ready(&frame, out)?,
            (_, b'E') if simple => {
                if let Some(withholding) = &mut self.withholding {
                    withholding.failed = true;
                }
            }
            (_, b'E') => self.withheld_failed(going, out),
            (What::Rows(_), b'C' | b'I' | b's') if !simple => self.withheld_done(out)?,
            _ => {}
        }
        Ok(())
    }

    fn keep_acknowledgement(&mut self, frame: Bytes) {
        if let Some(withholding) = &mut self.withholding
            && !withholding.is_over
        {
            withholding.acknowledged.push(frame);
        }
    }

    /// The answer first in line has come and goes nowhere.
    fn drop_answer(&mut self, out: &mut Outbox<Bytes>) {
        if let Some(expected) = self.expected.pop_front()
            && expected.ends
            && let Some(permit) = expected.permit
        {
            out.finish(permit);
        }
    }

    /// The server failed (it was cancelled): its error becomes the refusal.
    fn withheld_failed(&mut self, going: &mut Outgoing, out: &mut Outbox<Bytes>) {
        let Some(withholding) = self.withholding.take() else { return };
        self.told = Some(withholding.id);
        tell_refusal(withholding, out);
        self.skip(going, out);
    }

    /// The server went through with it: it must fail after all, unless more is on its way.
    fn withheld_done(&mut self, out: &mut Outbox<Bytes>) -> Result<(), Fault> {
        let Some(expected) = self.expected.pop_front() else { return Ok(()) };
        if !expected.ends {
            // A Sync follows within the operation; its status tells what to do.
            return Ok(());
        }
        if !self.expected.is_empty() {
            // A statement that fails would come behind what is on its way. As far as the client is
            // told nothing of that ran, so it may have no effects.
            let behind = self.expected.iter().take_while(|behind| !behind.what.is_boundary());
            if behind.map(|behind| &behind.what).any(What::may_write) {
                return Err(Fault::upstream("reply changed under a pipeline"));
            }
            if let Some(withholding) = &mut self.withholding {
                withholding.is_over = true;
            }
            if let Some(permit) = expected.permit {
                out.finish(permit);
            }
            return Ok(());
        }
        let Some(withholding) = self.withholding.take() else { return Ok(()) };
        for acknowledgement in withholding.acknowledged {
            out.answer(acknowledgement);
        }
        let error = refusal::error(&withholding.refusal, Severity::Error, None);
        self.abort(withholding.id, error, false, out);
        if let Some(permit) = expected.permit {
            out.finish(permit);
        }
        Ok(())
    }

    fn withheld_ready(&mut self, frame: &Bytes, out: &mut Outbox<Bytes>) -> Result<(), Fault> {
        let Some(&status @ (b'I' | b'T' | b'E')) = frame.get(5) else {
            return Err(Fault::upstream("unknown transaction status"));
        };
        let Some(withholding) = self.withholding.take() else { return Ok(()) };
        let ended = self.expected.pop_front().filter(|expected| expected.ends);
        let permit = ended.and_then(|expected| expected.permit);
        let answered = self.awaited.saturating_sub(self.expected.len() as u64);
        self.at_status(status, answered, out);
        if status == b'T' && !withholding.failed {
            if !self.expected.is_empty() {
                // Later statements are on their way already, so the client cannot be told the truth
                // in its place.
                return Err(Fault::upstream("reply changed under a pipeline"));
            }
            for acknowledgement in withholding.acknowledged {
                out.answer(acknowledgement);
            }
            let error = refusal::error(&withholding.refusal, Severity::Error, None);
            self.abort(withholding.id, error, true, out);
        } else {
            tell_refusal(withholding, out);
            out.answer(message::ready(status));
        }
        if let Some(permit) = permit {
            out.finish(permit);
        }
        Ok(())
    }
}

fn tell_refusal(withholding: Withholding, out: &mut Outbox<Bytes>) {
    for acknowledgement in withholding.acknowledged {
        out.answer(acknowledgement);
    }
    out.answer(refusal::error(&withholding.refusal, Severity::Error, None));
}
