//! From the server: what each message answers, and what of it the client gets.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use engine::{Batch, Fault, Outbox, Permit, Refusal, Unsolicited};
use model::limit::UPSTREAM_MESSAGE_BYTES_MAX;
use model::{ClientText, Column, DetectionCount, Side};
use sql::StatementKind;

use crate::copy::{CopyMask, CopyOptions};
use crate::judge::Judged;
use crate::message::{self, FieldDescription, Severity};
use crate::names::Prepared;
use crate::ready::{Encoding, Ready, Tail, Withholding};
use crate::refusal;
use crate::rows::{self, RowMask};
use crate::scrub;

/// One answer the server owes.
pub(crate) struct Expected {
    pub what: What,
    /// The operation it belongs to; `None` for what carries none.
    pub permit: Option<Arc<Permit>>,
    /// The operation is over with it.
    pub ends: bool,
}

impl Expected {
    /// An answer that belongs to no operation.
    pub fn control(what: What) -> Self {
        Self { what, permit: None, ends: false }
    }
}

/// What an answer is for.
pub(crate) enum What {
    /// A statement that cannot succeed; `error` takes the place of the server's.
    Abort {
        error: Bytes,
        failed: bool,
        simple: bool,
    },
    Bind {
        name: Vec<u8>,
    },
    Close,
    DescribePortal,
    /// `own`: asked by the gateway, the client does not see it.
    DescribeStatement {
        prepared: Option<Arc<Prepared>>,
        own: bool,
    },
    Parse {
        name: Vec<u8>,
    },
    /// A Query, or an Execute.
    Rows(Box<RowsReply>),
    Sync,
}

/// A message of an extended-protocol operation, before it is sent.
pub(crate) enum Step {
    Parse { name: Vec<u8>, prepared: Arc<Prepared> },
    DescribeStatement { prepared: Arc<Prepared>, own: bool },
    Bind { name: Vec<u8>, prepared: Arc<Prepared>, formats: Vec<i16> },
    DescribePortal,
    Execute { prepared: Arc<Prepared>, formats: Vec<i16> },
    Sync,
}

/// The rows of a Query or Execute.
pub(crate) struct RowsReply {
    judged: Arc<Judged>,
    /// Which statement of the text is running.
    statement: usize,
    portal: Option<(Arc<Prepared>, Vec<i16>)>,
    treatment: Treatment,
    /// The client sends data now.
    pub copies_in: bool,
}

/// What happens to rows.
enum Treatment {
    /// Not known yet.
    Undescribed,
    /// They pass as they come.
    Pass,
    Rows(Box<RowMask>),
    Copy(Box<CopyMask>),
}

impl RowsReply {
    pub fn simple(judged: Arc<Judged>) -> Self {
        let copies_in = copies_in(&judged);
        let treatment = Treatment::Undescribed;
        Self { judged, statement: 0, portal: None, treatment, copies_in }
    }

    pub fn portal(prepared: Arc<Prepared>, formats: Vec<i16>) -> Self {
        let judged = Arc::clone(&prepared.judged);
        Self {
            copies_in: copies_in(&judged),
            statement: prepared.index.unwrap_or(0),
            judged,
            portal: Some((prepared, formats)),
            treatment: Treatment::Undescribed,
        }
    }
}

fn copies_in(judged: &Judged) -> bool {
    judged
        .statements
        .list
        .iter()
        .any(|statement| matches!(&statement.kind, StatementKind::Copy(copy) if copy.from))
}

/// Bytes from the server that are not a whole message yet.
#[derive(Default)]
pub(crate) struct Inflow {
    carry: BytesMut,
    /// Bytes to come of a message that passes unread.
    skip: usize,
}

/// What goes to the client, gathered as far as it belongs together.
#[derive(Default)]
struct Outgoing {
    base: Bytes,
    start: usize,
    end: usize,
    owned: BytesMut,
    rows: u64,
    columns: Option<Arc<[Column]>>,
    found: Vec<DetectionCount>,
    error_code: Option<String>,
    permit: Option<Arc<Permit>>,
}

impl Outgoing {
    /// A part of `base` goes out as it is.
    fn pass(&mut self, base: &Bytes, start: usize, end: usize) {
        if !self.owned.is_empty() {
            self.owned.extend_from_slice(base.get(start..end).unwrap_or_default());
        } else if self.start == self.end {
            self.base = base.clone();
            (self.start, self.end) = (start, end);
        } else if self.end == start
            && self.base.as_ptr() == base.as_ptr()
            && self.base.len() == base.len()
        {
            // The same chunk, and not a message that happens to begin where the chunk does.
            self.end = end;
        } else {
            let more = base.get(start..end).unwrap_or_default();
            self.own().extend_from_slice(more);
        }
    }

    /// Bytes that are written anew.
    fn own(&mut self) -> &mut BytesMut {
        if self.start != self.end {
            let run = self.base.get(self.start..self.end).unwrap_or_default();
            self.owned.extend_from_slice(run);
            (self.start, self.end) = (0, 0);
        }
        &mut self.owned
    }

    fn is_empty(&self) -> bool {
        self.start == self.end
            && self.owned.is_empty()
            && self.columns.is_none()
            && self.error_code.is_none()
    }

    /// Hands over what was gathered.
    fn flush(&mut self, out: &mut Outbox<Bytes>) {
        if self.is_empty() {
            return;
        }
        let unit = if self.owned.is_empty() {
            self.base.slice(self.start..self.end)
        } else {
            self.owned.split().freeze()
        };
        (self.start, self.end) = (0, 0);
        match self.permit.take() {
            Some(permit) => {
                let batch = Batch {
                    unit,
                    rows: std::mem::take(&mut self.rows),
                    columns: self.columns.take(),
                    detections: std::mem::take(&mut self.found),
                    error_code: self.error_code.take(),
                };
                out.reply(&permit, batch);
            }
            None => out.control(Side::Client, unit),
        }
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
            _ => going.is_empty(),
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
        match tag {
            b'A' | b'N' | b'S' => return self.unasked(tag, &frame, going, out),
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
            (What::Close, b'3') | (What::DescribePortal, b'T' | b'n') => {
                going.pass(base, start, end);
                self.pop(going, out);
            }
            (What::DescribeStatement { prepared, own }, b't' | b'T' | b'n') => {
                if let (Some(prepared), b'T' | b'n') = (prepared.as_ref(), tag) {
                    let fields = match tag {
                        b'T' => message::row_description(frame.get(5..).unwrap_or_default())?,
                        _ => Vec::new(),
                    };
                    let _ = prepared.fields.set(fields.into());
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

    /// Messages of a Query or an Execute.
    fn rows_message(
        &mut self,
        tag: u8,
        base: &Bytes,
        (start, end): (usize, usize),
        going: &mut Outgoing,
        out: &mut Outbox<Bytes>,
    ) -> Result<(), Fault> {
        let body = base.get(start.saturating_add(5)..end).unwrap_or_default();
        match tag {
            b'T' => {
                let fields = message::row_description(body)?;
                match self.described(&fields, None) {
                    Ok((treatment, columns)) => {
                        self.treat(treatment);
                        going.columns = Some(columns);
                        going.pass(base, start, end);
                    }
                    Err(refusal) => self.stop_reply(refusal, going, out),
                }
            }
            b'D' => self.row(base, (start, end), going, out)?,
            b'H' => match self.copy_out(body) {
                Ok((treatment, columns)) => {
                    self.treat(treatment);
                    going.columns = Some(columns);
                    going.pass(base, start, end);
                }
                Err(refusal) => self.stop_reply(refusal, going, out),
            },
            b'd' => self.copy_row(base, (start, end), going)?,
            b'c' => {
                self.copy_done()?;
                going.pass(base, start, end);
            }
            b'G' => going.pass(base, start, end),
            b'C' | b'I' | b's' => {
                going.pass(base, start, end);
                self.completed(tag, going, out);
            }
            _ => return Err(Fault::upstream("answer out of place")),
        }
        Ok(())
    }

    fn row(
        &mut self,
        base: &Bytes,
        (start, end): (usize, usize),
        going: &mut Outgoing,
        out: &mut Outbox<Bytes>,
    ) -> Result<(), Fault> {
        if matches!(self.treatment(), Some(Treatment::Undescribed))
            && !self.describe_portal(going, out)?
        {
            return Ok(());
        }
        going.rows = going.rows.saturating_add(1);
        let key = Arc::clone(&self.setup.hash_key);
        match self.treatment() {
            Some(Treatment::Rows(mask)) => {
                let whole = base.get(start..end).unwrap_or_default();
                if mask.untouched(whole) {
                    going.pass(base, start, end);
                    return Ok(());
                }
                let body = base.get(start.saturating_add(5)..end).unwrap_or_default();
                let mut found = std::mem::take(&mut going.found);
                let result = mask.mask_row(body, &key, going.own(), &mut found);
                going.found = found;
                result
            }
            Some(Treatment::Pass) => {
                going.pass(base, start, end);
                Ok(())
            }
            _ => Err(Fault::upstream("row out of place")),
        }
    }

    /// Rows of an Execute: what the statement returns was described before. False when the reply
    /// was stopped.
    fn describe_portal(
        &mut self,
        going: &mut Outgoing,
        out: &mut Outbox<Bytes>,
    ) -> Result<bool, Fault> {
        let Some(What::Rows(rows)) = self.expected.front().map(|expected| &expected.what) else {
            return Err(Fault::upstream("row out of place"));
        };
        let Some((prepared, formats)) = rows.portal.clone() else {
            return Err(Fault::upstream("row before its description"));
        };
        let described = match prepared.fields.get() {
            Some(fields) => self.described(fields, Some(&formats)),
            None if self.plan_is_empty() => Ok((Treatment::Pass, self.undescribed_columns())),
            None => {
                let words = "the server did not say what this statement returns";
                Err(Refusal::unjudgeable("untraceable", ClientText::fixed(words)))
            }
        };
        match described {
            Ok((treatment, columns)) => {
                self.treat(treatment);
                going.columns = Some(columns);
                Ok(true)
            }
            Err(refusal) => {
                self.stop_reply(refusal, going, out);
                Ok(false)
            }
        }
    }

    fn treatment(&mut self) -> Option<&mut Treatment> {
        match &mut self.expected.front_mut()?.what {
            What::Rows(rows) => Some(&mut rows.treatment),
            _ => None,
        }
    }

    fn treat(&mut self, with: Treatment) {
        if let Some(treatment) = self.treatment() {
            *treatment = with;
        }
    }

    fn plan_is_empty(&self) -> bool {
        let permit = self.expected.front().and_then(|expected| expected.permit.as_ref());
        permit.is_none_or(|permit| permit.masks().is_empty())
    }

    /// What is done with rows of these columns, and how they are recorded.
    fn described(
        &self,
        fields: &[FieldDescription],
        formats: Option<&[i16]>,
    ) -> Result<(Treatment, Arc<[Column]>), Refusal> {
        let Some(Expected { what: What::Rows(rows), permit: Some(permit), .. }) =
            self.expected.front()
        else {
            return Err(no_source());
        };
        let plan = permit.masks();
        let (judged, index) = self.source_of(&rows.judged, rows.statement);
        let statement = judged.statements.list.get(index);
        let shape = self.shaping(plan, |shaping| shaping.described(statement, fields))?;
        if plan.is_empty() {
            return Ok((Treatment::Pass, shape.columns));
        }
        // A Bind that lists no format means text for all; a simple query says so itself.
        let formats: &[i16] = match formats {
            Some([]) => &[0],
            Some(formats) => formats,
            None => &[],
        };
        let mask = rows::compile(fields, formats, &shape.kinds, plan.detections());
        let treatment =
            if mask.is_noop() { Treatment::Pass } else { Treatment::Rows(Box::new(mask)) };
        Ok((treatment, shape.columns))
    }

    /// Labels and origins by lineage, when the server was not asked.
    fn undescribed_columns(&self) -> Arc<[Column]> {
        let Some(Expected { what: What::Rows(rows), permit: Some(permit), .. }) =
            self.expected.front()
        else {
            return Arc::new([]);
        };
        let (judged, index) = self.source_of(&rows.judged, rows.statement);
        let outputs = judged.statements.list.get(index).and_then(|s| s.outputs.columns.as_deref());
        let count = outputs.map_or(0, <[_]>::len);
        self.shaping(permit.masks(), |shaping| shaping.copied(outputs, count))
            .map_or_else(|_| Arc::new([]) as Arc<[Column]>, |shape| shape.columns)
    }

    /// The statement whose columns are returned: for FETCH and EXECUTE another one.
    fn source_of(&self, judged: &Arc<Judged>, index: usize) -> (Arc<Judged>, usize) {
        let source = match judged.statements.list.get(index).map(|statement| &statement.kind) {
            Some(StatementKind::Fetch { cursor, .. }) => {
                self.portals.find(cursor.as_bytes()).map(|portal| Arc::clone(&portal.prepared))
            }
            Some(StatementKind::Execute { name }) => self.statements.find(name.as_bytes()).cloned(),
            _ => None,
        };
        match source {
            Some(prepared) => (Arc::clone(&prepared.judged), prepared.index.unwrap_or(0)),
            None => (Arc::clone(judged), index),
        }
    }

    fn shaping<T>(
        &self,
        plan: &engine::MaskPlan,
        make: impl FnOnce(&crate::shape::Shaping<'_>) -> Result<T, Refusal>,
    ) -> Result<T, Refusal> {
        let snapshot = self.snapshot().ok_or_else(no_source)?;
        let masked = self.cache.masked(plan, &snapshot.catalog);
        let shaping = crate::shape::Shaping {
            catalog: &snapshot.catalog,
            plan,
            strict: !masked.is_empty(),
            masked: &masked,
        };
        make(&shaping)
    }

    // ---- COPY ----------------------------------------------------------------------------------

    fn copy_out(&self, body: &[u8]) -> Result<(Treatment, Arc<[Column]>), Refusal> {
        let Some(Expected { what: What::Rows(rows), permit: Some(permit), .. }) =
            self.expected.front()
        else {
            return Err(no_source());
        };
        let plan = permit.masks();
        let copy =
            rows.judged.statements.list.get(rows.statement).and_then(|statement| match &statement
                .kind
            {
                StatementKind::Copy(copy) => Some(copy),
                _ => None,
            });
        let count = body.get(1..3).and_then(|count| count.try_into().ok());
        let count = usize::from(u16::from_be_bytes(count.unwrap_or_default()));
        let outputs = copy.and_then(|copy| copy.columns.as_deref());
        let shape = self.shaping(plan, |shaping| shaping.copied(outputs, count))?;
        if plan.is_empty() {
            return Ok((Treatment::Pass, shape.columns));
        }
        let Some(copy) = copy else { return Err(no_source()) };
        let snapshot = self.snapshot().ok_or_else(no_source)?;
        let columns: Vec<_> = shape
            .kinds
            .iter()
            .enumerate()
            .map(|(index, kind)| {
                let direct = outputs.and_then(|outputs| outputs.get(index)).and_then(|o| o.direct);
                let stored = direct.and_then(|id| snapshot.catalog.column(id));
                // An expression's type is not told by COPY, so its mask is NULL (R19).
                let type_oid = stored.map_or(0, |(_, column)| column.type_oid);
                (*kind, type_oid, -1)
            })
            .collect();
        let options = CopyOptions::parse(&copy.options).map_err(|unclear| {
            let words =
                format!("this COPY cannot be masked: option {}: {}", unclear.option, unclear.what);
            Refusal::unjudgeable("copy_format", ClientText::composed(words))
        })?;
        if options.encoding.is_none() && self.settings.encoding == Encoding::Other {
            let words = "this COPY cannot be masked in the session's client_encoding; \
                         SET client_encoding TO 'UTF8'";
            return Err(Refusal::unjudgeable("copy_format", ClientText::fixed(words)));
        }
        let key = Arc::clone(&self.setup.hash_key);
        let mask = CopyMask::new(options.format, &columns, plan.detections(), key);
        let treatment =
            if mask.is_noop() { Treatment::Pass } else { Treatment::Copy(Box::new(mask)) };
        Ok((treatment, shape.columns))
    }

    fn copy_row(
        &mut self,
        base: &Bytes,
        (start, end): (usize, usize),
        going: &mut Outgoing,
    ) -> Result<(), Fault> {
        let Some(Treatment::Copy(mask)) = self.treatment() else {
            return Err(Fault::upstream("COPY data out of place"));
        };
        let body = base.get(start.saturating_add(5)..end).unwrap_or_default();
        let mut found = std::mem::take(&mut going.found);
        let mut rows = 0;
        let result = mask.push(body, going.own(), &mut rows, &mut found);
        going.rows = going.rows.saturating_add(rows);
        going.found = found;
        result
    }

    fn copy_done(&mut self) -> Result<(), Fault> {
        if let Some(Treatment::Copy(mask)) = self.treatment() {
            return mask.finish();
        }
        Ok(())
    }

    // ---- endings -------------------------------------------------------------------------------

    /// A statement is complete, or a portal suspended.
    fn completed(&mut self, tag: u8, going: &mut Outgoing, out: &mut Outbox<Bytes>) {
        let Some(Expected { what: What::Rows(rows), permit, .. }) = self.expected.front_mut()
        else {
            return;
        };
        let (judged, index) = (Arc::clone(&rows.judged), rows.statement);
        let gate = permit.as_ref().map(|permit| permit.operation());
        let is_portal = rows.portal.is_some();
        rows.statement = rows.statement.saturating_add(1);
        rows.treatment = Treatment::Undescribed;
        if tag == b'C' {
            self.took_effect(&judged, index, gate, out);
        }
        if is_portal {
            self.pop(going, out);
        }
    }

    /// The first in line is answered.
    fn pop(&mut self, going: &mut Outgoing, out: &mut Outbox<Bytes>) {
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

    fn ready_for_query(
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
        self.at_status(status, out);
        if let Some(expected) = self.expected.pop_front() {
            self.ended(expected, Some(status), going, out);
        }
        Ok(())
    }

    /// An error: in the extended protocol the server skips to the next Sync.
    fn error(&mut self, frame: &Bytes, going: &mut Outgoing, out: &mut Outbox<Bytes>) {
        let body = frame.get(5..).unwrap_or_default();
        going.error_code = scrub::code(body);
        if self.must_scrub() {
            let scrubbed = scrub::scrub_report(body);
            message::write(going.own(), b'E', |out| out.extend_from_slice(&scrubbed));
        } else {
            going.pass(frame, 0, frame.len());
        }
        let simple = matches!(
            self.expected.front().map(|expected| &expected.what),
            Some(What::Rows(rows)) if rows.portal.is_none()
        );
        if !simple {
            self.skip(going, out);
        }
    }

    /// Forgets what the server will not answer.
    fn skip(&mut self, going: &mut Outgoing, out: &mut Outbox<Bytes>) {
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
            self.pop(going, out);
        }
        self.skip_to_sync = true;
    }

    fn acknowledge(&mut self, frame: &Bytes) {
        let operation = self
            .expected
            .front()
            .and_then(|expected| expected.permit.as_ref())
            .map(|permit| permit.operation());
        if let Some(settling) = &mut self.settling
            && Some(settling.id) == operation
        {
            settling.acknowledged.push(frame.clone());
        }
    }

    // ---- what nobody asked for -----------------------------------------------------------------

    /// Masks hide stored columns here, so words of the server may quote them.
    fn must_scrub(&self) -> bool {
        !self.masks.is_empty()
            && self.snapshot().is_none_or(|snapshot| self.has_masks(&snapshot.catalog))
    }

    fn unasked(
        &mut self,
        tag: u8,
        frame: &Bytes,
        going: &mut Outgoing,
        out: &mut Outbox<Bytes>,
    ) -> Result<(), Fault> {
        let body = frame.get(5..).unwrap_or_default();
        going.flush(out);
        let kind = match tag {
            b'A' => Unsolicited::Notification,
            b'N' => Unsolicited::Notice,
            _ => {
                let mut reader = message::Reader::new(body, Side::Upstream);
                let name = String::from_utf8_lossy(reader.cstr()?);
                self.settings.reported(&name, &String::from_utf8_lossy(reader.cstr()?));
                Unsolicited::Parameter
            }
        };
        let unit = match tag {
            b'A' | b'N' if self.must_scrub() => {
                let scrubbed = match tag {
                    b'A' => scrub::scrub_notification(body),
                    _ => scrub::scrub_report(body),
                };
                message::message(tag, |out| out.extend_from_slice(&scrubbed))
            }
            _ => frame.clone(),
        };
        out.unsolicited(kind, unit);
        Ok(())
    }

    // ---- withheld replies ----------------------------------------------------------------------

    /// The reply is not what was judged, or cannot be masked: none of it leaves.
    fn stop_reply(&mut self, refusal: Refusal, going: &mut Outgoing, out: &mut Outbox<Bytes>) {
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
        self.withholding =
            Some(Withholding { id, refusal, failed: false, acknowledged: Vec::new() });
    }

    fn is_withheld(&self) -> bool {
        let Some(withholding) = &self.withholding else { return false };
        self.expected
            .front()
            .and_then(|expected| expected.permit.as_ref())
            .is_some_and(|permit| permit.operation() == withholding.id)
    }

    fn withheld_message(
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
                self.expected.pop_front();
            }
            (What::Bind { name }, b'2') => {
                let name = std::mem::take(name);
                if let Some(replaced) = self.portals.confirm(&name) {
                    out.forget(replaced.gate);
                }
                self.keep_acknowledgement(frame);
                self.expected.pop_front();
            }
            (What::DescribeStatement { .. } | What::DescribePortal, b'T' | b'n') => {
                self.expected.pop_front();
            }
            (_, b'Z') => self.withheld_ready(&frame, out)?,
            (_, b'E') if simple => {
                if let Some(withholding) = &mut self.withholding {
                    withholding.failed = true;
                }
            }
            (_, b'E') => self.withheld_failed(going, out),
            (What::Rows(_), b'C' | b'I' | b's') if !simple => self.withheld_done(out),
            _ => {}
        }
        Ok(())
    }

    fn keep_acknowledgement(&mut self, frame: Bytes) {
        if let Some(withholding) = &mut self.withholding {
            withholding.acknowledged.push(frame);
        }
    }

    /// The server failed (it was cancelled): its error becomes the refusal.
    fn withheld_failed(&mut self, going: &mut Outgoing, out: &mut Outbox<Bytes>) {
        let Some(withholding) = self.withholding.take() else { return };
        self.told = Some(withholding.id);
        tell_refusal(withholding, out);
        self.skip(going, out);
    }

    /// The server went through with it: it must fail after all.
    fn withheld_done(&mut self, out: &mut Outbox<Bytes>) {
        let Some(expected) = self.expected.pop_front() else { return };
        if !expected.ends {
            // A Sync follows within the operation; its status tells what to do.
            return;
        }
        let Some(withholding) = self.withholding.take() else { return };
        for acknowledgement in withholding.acknowledged {
            out.answer(acknowledgement);
        }
        let error = refusal::error(&withholding.refusal, Severity::Error, None);
        self.abort(withholding.id, error, false, out);
        if let Some(permit) = expected.permit {
            out.finish(permit);
        }
    }

    fn withheld_ready(&mut self, frame: &Bytes, out: &mut Outbox<Bytes>) -> Result<(), Fault> {
        let Some(&status @ (b'I' | b'T' | b'E')) = frame.get(5) else {
            return Err(Fault::upstream("unknown transaction status"));
        };
        let Some(withholding) = self.withholding.take() else { return Ok(()) };
        let permit = self.expected.pop_front().and_then(|expected| expected.permit);
        self.at_status(status, out);
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

fn no_source() -> Refusal {
    let words = ClientText::fixed("the reply cannot be traced to a statement");
    Refusal::unjudgeable("untraceable", words)
}
