//! From the server: what each message answers, and what of it the client gets.

mod copy_out;
mod endings;
mod outgoing;
mod rows;
mod unasked;
mod withheld;
mod words;

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use engine::{Fault, Outbox};
use model::Side;
use model::limit::UPSTREAM_MESSAGE_BYTES_MAX;

use self::outgoing::Outgoing;
use crate::expected::{Treatment, What};
use crate::message;
use crate::ready::Ready;
use crate::scrub;

/// Bytes from the server that are not a whole message yet.
#[derive(Default)]
pub(crate) struct Inflow {
    carry: BytesMut,
    /// Bytes to come of a message that passes unread.
    skip: usize,
}

impl Inflow {
    /// Bytes that are kept.
    pub fn kept(&self) -> usize {
        self.carry.len()
    }
}

impl Ready {
    /// Takes what the server sent.
    pub fn upstream(&mut self, chunk: Bytes, out: &mut Outbox<Bytes>) -> Result<(), Fault> {
        let mut chunk = chunk;
        let mut going = Outgoing::default();
        if self.inflow.skip > 0 {
            let part = chunk.split_to(self.inflow.skip.min(chunk.len()));
            self.inflow.skip = self.inflow.skip.saturating_sub(part.len());
            going.permit = self.expected.front().and_then(|expected| expected.permit.clone());
            going.pass(&part, 0, part.len());
        }
        while !self.inflow.carry.is_empty() {
            let most = UPSTREAM_MESSAGE_BYTES_MAX;
            let found = message::header(&self.inflow.carry, most, Side::Upstream)?;
            let wanted = found.map_or(message::HEADER, |(_, length)| length);
            if found.is_some() && self.inflow.carry.len() >= wanted {
                let whole = self.inflow.carry.split().freeze();
                self.scan(&whole, &mut going, out)?;
                break;
            }
            if chunk.is_empty() {
                break;
            }
            // The header may only now be whole, and say that nothing more is missing.
            let missing = wanted.saturating_sub(self.inflow.carry.len()).min(chunk.len());
            let part = chunk.split_to(missing);
            self.inflow.carry.extend_from_slice(&part);
        }
        if !chunk.is_empty() {
            let used = self.scan(&chunk, &mut going, out)?;
            self.inflow.carry.extend_from_slice(chunk.get(used..).unwrap_or_default());
        }
        going.flush(out);
        Ok(())
    }

    /// Takes whole messages off `base`; returns how far it came.
    fn scan(
        &mut self,
        base: &Bytes,
        going: &mut Outgoing,
        out: &mut Outbox<Bytes>,
    ) -> Result<usize, Fault> {
        let mut at = 0;
        loop {
            let rest = base.get(at..).unwrap_or_default();
            let Some((tag, length)) =
                message::header(rest, UPSTREAM_MESSAGE_BYTES_MAX, Side::Upstream)?
            else {
                return Ok(at);
            };
            let end = at.saturating_add(length);
            if matches!(tag, b'D' | b'd') && self.passes_rows() {
                // Rows that nothing concerns are never looked at, not even waited for.
                going.rows = going.rows.saturating_add(1);
                self.toward(going, out);
                if end > base.len() {
                    self.inflow.skip = end.saturating_sub(base.len());
                    going.pass(base, at, base.len());
                    return Ok(base.len());
                }
                going.pass(base, at, end);
                at = end;
                continue;
            }
            if end > base.len() {
                return Ok(at);
            }
            self.message(tag, base, (at, end), going, out)?;
            at = end;
        }
    }

    fn passes_rows(&self) -> bool {
        self.withholding.is_none()
            && matches!(
                self.expected.front().map(|expected| &expected.what),
                Some(What::Rows(rows)) if matches!(rows.treatment, Treatment::Pass)
            )
    }

    /// Makes sure that what is gathered belongs to the operation first in line.
    fn toward(&mut self, going: &mut Outgoing, out: &mut Outbox<Bytes>) {
        let permit = self.expected.front().and_then(|expected| expected.permit.as_ref());
        let same = match (&going.permit, permit) {
            (Some(a), Some(b)) => Arc::ptr_eq(a, b),
            (None, None) => true,
            _ => false,
        };
        if !same {
            let rows = std::mem::take(&mut going.rows);
            going.flush(out);
            going.rows = rows;
            // Also when nothing was gathered: that operation may be over.
            going.permit = None;
        }
        if going.permit.is_none() {
            going.permit = permit.cloned();
        }
    }

    fn message(
        &mut self,
        tag: u8,
        base: &Bytes,
        (start, end): (usize, usize),
        going: &mut Outgoing,
        out: &mut Outbox<Bytes>,
    ) -> Result<(), Fault> {
        let frame = base.slice(start..end);
        self.turn_is_plain &= tag != b'E';
        match tag {
            b'A' | b'N' | b'S' => return self.unasked(tag, &frame, going, out),
            // It shuts down, or a time limit for idle sessions has passed.
            b'E' if self.expected.is_empty()
                && scrub::is_fatal(frame.get(5..).unwrap_or_default()) =>
            {
                self.server_leaves = true;
                return self.unasked(tag, &frame, going, out);
            }
            _ => {}
        }
        if self.is_withheld() {
            return self.withheld_message(tag, frame, going, out);
        }
        self.toward(going, out);
        let Some(expected) = self.expected.front_mut() else {
            return Err(Fault::upstream("answer to nothing that was asked"));
        };
        match (&mut expected.what, tag) {
            (What::Abort { error, failed, simple }, b'E') => {
                *failed = true;
                let (error, simple) = (std::mem::take(error), *simple);
                going.flush(out);
                out.answer(error);
                if !simple {
                    self.expected.pop_front();
                }
            }
            (What::Abort { failed: true, simple: true, .. }, b'Z') | (What::Sync, b'Z') => {
                self.ready_for_query(base, (start, end), going, out)?
            }
            (What::Rows(rows), b'Z') if rows.portal.is_none() => {
                // What is answered is told by order alone, so nothing may be out of it.
                if !rows.failed && rows.statement < rows.judged.statements.list.len() {
                    return Err(Fault::upstream("ready before its statements are complete"));
                }
                self.ready_for_query(base, (start, end), going, out)?;
            }
            (_, b'E') => self.error(&frame, going, out),
            (What::Parse { name }, b'1') => {
                let name = std::mem::take(name);
                self.statements.confirm(&name);
                self.acknowledge(&frame);
                going.pass(base, start, end);
                self.pop(going, out);
            }
            (What::Bind { name }, b'2') => {
                let name = std::mem::take(name);
                if let Some(replaced) = self.portals.confirm(&name) {
                    out.forget(replaced.gate);
                }
                self.acknowledge(&frame);
                going.pass(base, start, end);
                self.pop(going, out);
            }
            (What::Close { kind, name }, b'3') => {
                let (kind, name) = (*kind, std::mem::take(name));
                self.name_closed(kind, &name, out);
                going.pass(base, start, end);
                self.pop(going, out);
            }
            (What::DescribePortal { own, fields }, b'T' | b'n') => {
                if let Some(fields) = fields {
                    let _ = fields.set(message::fields(tag, &frame)?);
                }
                if !*own {
                    going.pass(base, start, end);
                }
                self.pop(going, out);
            }
            (What::DescribeStatement { prepared, own }, b't' | b'T' | b'n') => {
                if let (Some(prepared), b'T' | b'n') = (prepared.as_ref(), tag) {
                    let _ = prepared.fields.set(message::fields(tag, &frame)?);
                }
                if !*own {
                    going.pass(base, start, end);
                }
                if tag != b't' {
                    self.pop(going, out);
                }
            }
            (What::Rows(_), _) => self.rows_message(tag, base, (start, end), going, out)?,
            _ => return Err(Fault::upstream("answer out of place")),
        }
        Ok(())
    }
}
