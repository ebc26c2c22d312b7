//! Simple queries: one message, one operation.

use std::sync::Arc;

use bytes::Bytes;
use engine::{Fault, Outbox};
use model::Side;
use sql::StatementKind;

use super::ask::{Asked, operation};
use crate::judge::Judged;
use crate::message::{Frame, Reader};
use crate::names::Source;
use crate::ready::{Incoming, Plan, Ready};

impl Ready {
    pub(super) fn simple(&mut self, out: &mut Outbox<Bytes>) -> Result<bool, Fault> {
        let Some(Incoming::Frame(frame)) = self.frames.front() else { return Ok(false) };
        let frame = frame.clone();
        let text = self.whole_text(frame.body(), out)?;
        if text.len() > self.setup.limits.statement_bytes_max {
            self.pop_frame();
            self.too_large(true, out);
            return Ok(true);
        }
        if !self.quiet_for(text, out) {
            return Ok(false);
        }
        let text = match self.decode(text) {
            Ok(text) => text,
            Err(refusal) => {
                self.pop_frame();
                self.refuse_unjudged("query", "", refusal, true, None, out);
                return Ok(true);
            }
        };
        let judged = self.judge(&text);
        if let Ok(judged) = &judged
            && (judged.is_indirect() && !self.is_quiet(out) || self.looks_again(judged, out))
        {
            return Ok(false);
        }
        self.pop_frame();
        match judged.and_then(|judged| Ok((self.source(&judged)?, judged))) {
            Ok((source, judged)) => self.ask_simple(judged, source, frame, out),
            Err((refusal, position)) => {
                self.refuse_unjudged("query", &text, refusal, true, position, out);
            }
        }
        Ok(true)
    }

    fn ask_simple(
        &mut self,
        judged: Arc<Judged>,
        source: Option<Source>,
        frame: Frame,
        out: &mut Outbox<Bytes>,
    ) {
        let operation = operation("query", &judged, source.as_ref(), Vec::new());
        let plan = Plan::Simple(Arc::clone(&judged), source.clone());
        let asked = Asked { operation, judged: &judged, source: source.as_ref(), values: &[] };
        self.submit(asked, vec![frame.bytes], plan, out);
        if let (Some(undecided), true) = (&self.undecided, declares(&judged)) {
            out.keep(undecided.id);
        }
    }

    /// The text of a Query: everything up to the zero byte that must end it.
    pub(super) fn whole_text<'a>(
        &mut self,
        body: &'a [u8],
        out: &mut Outbox<Bytes>,
    ) -> Result<&'a [u8], Fault> {
        let mut reader = Reader::new(body, Side::Client);
        let text = reader.cstr().and_then(|text| reader.end().map(|()| text));
        text.map_err(|fault| self.violation(fault, out))
    }
}

fn declares(judged: &Judged) -> bool {
    judged
        .statements
        .list
        .iter()
        .any(|statement| matches!(statement.kind, StatementKind::Declare { .. }))
}
