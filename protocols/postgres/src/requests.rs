//! From the client: messages to operations.

use std::fmt::Write as _;
use std::sync::{Arc, OnceLock};

use aws_lc_rs::digest::{SHA256, digest};
use bytes::{BufMut, Bytes};
use engine::{Fault, Outbox, Permit, Refusal};
use model::operation::{Objects, RowBound, Stage};
use model::{ClientText, Lane, Operation, OperationId, Parameter, Side};
use sql::{StatementKind, Unparsable};

use crate::judge::Judged;
use crate::message::{self, Frame, Reader, Severity, message, put_cstr};
use crate::names::{Portal, Prepared};
use crate::ready::{Encoding, Incoming, Plan, Ready, Tail, Undecided, Withholding};
use crate::refusal;
use crate::replies::{Expected, RowsReply, Step, What};
use crate::types;

/// A database connection is one lane: its answers keep the order of its questions.
const LANE: Lane = Lane(0);
/// Longer parameter values are recorded as their digest.
const PARAMETER_RECORDED_BYTES_MAX: usize = 64 * 1024;
/// Never valid SQL, so the server fails for real and says what state the transaction is in (R2).
const REFUSED_STATEMENT: &str = "narrows refused this statement";

/// Messages that go to the server as one operation.
struct Group {
    steps: Vec<Step>,
    units: Vec<Bytes>,
    sync: Option<Bytes>,
}

impl Ready {
    /// Takes up the next client message. False when it has to wait.
    pub fn step(&mut self, out: &mut Outbox<Bytes>) -> Result<bool, Fault> {
        let tag = match self.frames.front() {
            None => return Ok(false),
            Some(Incoming::TooLarge(tag)) => {
                let tag = *tag;
                self.pop_frame();
                if !self.skip_to_sync {
                    self.too_large(tag == b'Q', out);
                }
                return Ok(true);
            }
            Some(Incoming::Frame(frame)) => frame.tag,
        };
        if self.skip_to_sync && !matches!(tag, b'S' | b'X') {
            self.pop_frame();
            return Ok(true);
        }
        match tag {
            b'Q' => self.simple(out),
            b'P' => self.parse(out),
            b'B' => self.bind(out),
            b'E' => self.execute(out),
            b'D' | b'C' | b'H' | b'S' | b'X' => self.plain(tag, out),
            b'd' | b'c' | b'f' => {
                self.copy_data(out);
                Ok(true)
            }
            b'F' => {
                self.pop_frame();
                let words = "function calls by protocol message are refused; call the function in \
                             a SELECT";
                let refusal = Refusal::unjudgeable("unsupported", ClientText::fixed(words));
                self.refuse_unjudged("function_call", "", refusal, true, None, out);
                Ok(true)
            }
            _ => Err(self.violation(Fault::client("message type unknown or out of place"), out)),
        }
    }

    // ---- simple queries ------------------------------------------------------------------------

    fn simple(&mut self, out: &mut Outbox<Bytes>) -> Result<bool, Fault> {
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
        self.pop_frame();
        let text = match self.decode(text) {
            Ok(text) => text,
            Err(refusal) => {
                self.refuse_unjudged("query", "", refusal, true, None, out);
                return Ok(true);
            }
        };
        match self.judge(&text) {
            Ok(judged) => self.ask_simple(judged, frame, out),
            Err((refusal, position)) => {
                self.refuse_unjudged("query", &text, refusal, true, position, out);
            }
        }
        Ok(true)
    }

    fn ask_simple(&mut self, judged: Arc<Judged>, frame: Frame, out: &mut Outbox<Bytes>) {
        let source = self.source(&judged);
        let operation = operation("query", &judged, source.as_deref(), Vec::new());
        let plan = Plan::Simple(Arc::clone(&judged));
        self.submit(operation, &judged, vec![frame.bytes], plan, out);
        if let (Some(undecided), true) = (&self.undecided, declares(&judged)) {
            out.keep(undecided.id);
        }
    }

    // ---- the extended protocol -----------------------------------------------------------------

    fn parse(&mut self, out: &mut Outbox<Bytes>) -> Result<bool, Fault> {
        let Some(Incoming::Frame(frame)) = self.frames.front() else { return Ok(false) };
        let frame = frame.clone();
        let mut reader = Reader::new(frame.body(), Side::Client);
        let (name, text, types) = match parse_fields(&mut reader) {
            Ok(fields) => fields,
            Err(fault) => return Err(self.violation(fault, out)),
        };
        if text.len() > self.setup.limits.statement_bytes_max {
            self.pop_frame();
            self.too_large(false, out);
            return Ok(true);
        }
        if !self.quiet_for(text, out) {
            return Ok(false);
        }
        self.pop_frame();
        let judged =
            self.decode(text).map_err(|refusal| (refusal, None, String::new())).and_then(|text| {
                self.judge(&text).map_err(|(refusal, position)| (refusal, position, text))
            });
        let judged = match judged {
            Ok(judged) => judged,
            Err((refusal, position, text)) => {
                self.refuse_unjudged("parse", &text, refusal, false, position, out);
                return Ok(true);
            }
        };
        let prepared = Arc::new(Prepared {
            index: (judged.statements.list.len() == 1).then_some(0),
            judged: Arc::clone(&judged),
            parameter_types: types,
            fields: OnceLock::new(),
        });
        let mut group = Group { steps: Vec::new(), units: vec![frame.bytes.clone()], sync: None };
        group.steps.push(Step::Parse { name: name.to_vec(), prepared: Arc::clone(&prepared) });
        if self.statements.is_full() {
            let words = ClientText::fixed("too many prepared statements in one session");
            let refusal = Refusal::unjudgeable("too_large", words);
            self.refuse_unjudged("parse", &judged.text, refusal, false, None, out);
            return Ok(true);
        }
        if !self.masks.is_empty() {
            // What the statement returns must be known before its rows come, and the client may
            // never ask.
            group.units.push(describe_statement(name));
            group
                .steps
                .push(Step::DescribeStatement { prepared: Arc::clone(&prepared), own: true });
        }
        if let Some(bind) = self.next_bind(name) {
            return self.bind_group(group, &bind, Some(prepared), out);
        }
        self.take_describe(&mut group, name, &prepared);
        self.take_end(&mut group);
        let mut operation = operation("parse", &judged, None, Vec::new());
        operation.stage = Stage::Prepare;
        let plan = Plan::Extended { steps: group.steps, sync: group.sync };
        self.submit(operation, &judged, group.units, plan, out);
        Ok(true)
    }

    /// The next message, when it binds the statement just parsed.
    fn next_bind(&self, statement: &[u8]) -> Option<Frame> {
        let Some(Incoming::Frame(frame)) = self.frames.front() else { return None };
        if frame.tag != b'B' {
            return None;
        }
        let mut reader = Reader::new(frame.body(), Side::Client);
        reader.cstr().ok()?;
        (reader.cstr().ok()? == statement).then(|| frame.clone())
    }

    fn bind(&mut self, out: &mut Outbox<Bytes>) -> Result<bool, Fault> {
        let Some(Incoming::Frame(frame)) = self.frames.front() else { return Ok(false) };
        let frame = frame.clone();
        let group = Group { steps: Vec::new(), units: Vec::new(), sync: None };
        self.bind_group(group, &frame, None, out)
    }

    /// A Bind, and the Describe, Execute and Sync that follow it, as one operation.
    fn bind_group(
        &mut self,
        mut group: Group,
        frame: &Frame,
        parsed: Option<Arc<Prepared>>,
        out: &mut Outbox<Bytes>,
    ) -> Result<bool, Fault> {
        self.pop_frame();
        let bound = match Bound::read(frame.body()) {
            Ok(bound) => bound,
            Err(fault) => return Err(self.violation(fault, out)),
        };
        let known = parsed.or_else(|| self.statements.find(bound.statement).cloned());
        let Some(prepared) = known else {
            let name = String::from_utf8_lossy(bound.statement);
            let words = format!("prepared statement \"{name}\" does not exist");
            let refusal = Refusal::unjudgeable("unknown_statement", ClientText::composed(words));
            self.refuse_unjudged("bind", "", refusal, false, None, out);
            return Ok(true);
        };
        let prepared = match self.current(prepared) {
            Ok(prepared) => prepared,
            Err((refusal, _)) => {
                self.refuse_unjudged("bind", "", refusal, false, None, out);
                return Ok(true);
            }
        };
        let judged = Arc::clone(&prepared.judged);
        let parameters = bound.parameters(&prepared.parameter_types);
        group.units.push(frame.bytes.clone());
        let portal = bound.portal.to_vec();
        let formats = bound.result_formats.clone();
        group.steps.push(Step::Bind {
            name: portal.clone(),
            prepared: Arc::clone(&prepared),
            formats: formats.clone(),
        });
        self.take_describe_portal(&mut group, &portal, &prepared, bound.statement);
        let executes = self.take_execute(&mut group, &portal, &prepared, &formats);
        self.take_end(&mut group);
        let kind = if executes { "execute" } else { "bind" };
        let source = self.source(&judged);
        let operation = operation(kind, &judged, source.as_deref(), parameters);
        let plan = Plan::Extended { steps: group.steps, sync: group.sync };
        self.submit(operation, &judged, group.units, plan, out);
        if let Some(undecided) = &self.undecided
            && !matches!(undecided.plan, Plan::Refused { .. })
        {
            out.keep(undecided.id);
        }
        Ok(true)
    }

    fn take_describe(&mut self, group: &mut Group, name: &[u8], prepared: &Arc<Prepared>) {
        if self.front_is(
            b'D',
            |body| matches!(body.split_first(), Some((b'S', rest)) if is_cstr(rest, name)),
        ) && let Some(Incoming::Frame(frame)) = self.pop_frame()
        {
            group.units.push(frame.bytes);
            let prepared = Arc::clone(prepared);
            group.steps.push(Step::DescribeStatement { prepared, own: false });
        }
    }

    fn take_describe_portal(
        &mut self,
        group: &mut Group,
        portal: &[u8],
        prepared: &Arc<Prepared>,
        statement: &[u8],
    ) {
        self.take_describe(group, statement, prepared);
        if self.front_is(
            b'D',
            |body| matches!(body.split_first(), Some((b'P', rest)) if is_cstr(rest, portal)),
        ) && let Some(Incoming::Frame(frame)) = self.pop_frame()
        {
            group.units.push(frame.bytes);
            group.steps.push(Step::DescribePortal);
        }
    }

    fn take_execute(
        &mut self,
        group: &mut Group,
        portal: &[u8],
        prepared: &Arc<Prepared>,
        formats: &[i16],
    ) -> bool {
        let own = self.front_is(b'E', |body| {
            memchr::memchr(0, body).is_some_and(|end| body.get(..end) == Some(portal))
        });
        if own && let Some(Incoming::Frame(frame)) = self.pop_frame() {
            group.units.push(frame.bytes);
            group
                .steps
                .push(Step::Execute { prepared: Arc::clone(prepared), formats: formats.to_vec() });
            return true;
        }
        false
    }

    fn take_end(&mut self, group: &mut Group) {
        if self.front_is(b'S', |_| true)
            && let Some(Incoming::Frame(frame)) = self.pop_frame()
        {
            group.sync = Some(frame.bytes.clone());
            group.units.push(frame.bytes);
            group.steps.push(Step::Sync);
        } else if self.front_is(b'H', |_| true)
            && let Some(Incoming::Frame(frame)) = self.pop_frame()
        {
            group.units.push(frame.bytes);
        }
    }

    fn front_is(&self, tag: u8, is: impl FnOnce(&[u8]) -> bool) -> bool {
        match self.frames.front() {
            Some(Incoming::Frame(frame)) => frame.tag == tag && is(frame.body()),
            _ => false,
        }
    }

    /// A further step of a portal that passed the gate (R9).
    fn execute(&mut self, out: &mut Outbox<Bytes>) -> Result<bool, Fault> {
        let Some(Incoming::Frame(frame)) = self.pop_frame() else { return Ok(false) };
        let mut reader = Reader::new(frame.body(), Side::Client);
        let fields = reader.cstr().and_then(|name| Ok((name, reader.i32()?)));
        let (name, row_limit) = match fields {
            Ok(fields) => fields,
            Err(fault) => return Err(self.violation(fault, out)),
        };
        let Some(portal) = self.portals.find(name).cloned() else {
            let words = format!("portal \"{}\" does not exist", String::from_utf8_lossy(name));
            let refusal = Refusal::unjudgeable("unknown_portal", ClientText::composed(words));
            self.refuse_unjudged("execute", "", refusal, false, None, out);
            return Ok(true);
        };
        let judged = Arc::clone(&portal.prepared.judged);
        let mut operation = operation("execute", &judged, None, Vec::new());
        operation.stage = Stage::Repeat;
        operation.under = Some(portal.gate);
        if let Ok(limit @ 1..) = u64::try_from(row_limit) {
            operation.rows = match operation.rows {
                RowBound::AtMost(rows) => RowBound::AtMost(rows.min(limit)),
                RowBound::Unbounded => RowBound::AtMost(limit),
            };
        }
        let mut group = Group { steps: Vec::new(), units: vec![frame.bytes.clone()], sync: None };
        group.steps.push(Step::Execute {
            prepared: Arc::clone(&portal.prepared),
            formats: portal.formats.clone(),
        });
        self.take_end(&mut group);
        let plan = Plan::Extended { steps: group.steps, sync: group.sync };
        self.submit(operation, &judged, group.units, plan, out);
        Ok(true)
    }

    /// Describe, Close, Flush, Sync and Terminate: they carry no operation.
    fn plain(&mut self, tag: u8, out: &mut Outbox<Bytes>) -> Result<bool, Fault> {
        let Some(Incoming::Frame(frame)) = self.pop_frame() else { return Ok(false) };
        match tag {
            b'S' => self.sync(frame.bytes, out),
            b'H' => {
                self.control(frame.bytes, out);
                self.flushed = true;
            }
            b'X' => {
                out.control(Side::Upstream, frame.bytes);
                self.over = true;
                out.close();
            }
            _ => {
                let named = frame.body().split_first().map(|(kind, rest)| {
                    (*kind, rest.split(|byte| *byte == 0).next().unwrap_or_default().to_vec())
                });
                let Some((kind @ (b'S' | b'P'), name)) = named else {
                    let fault = Fault::client("Describe or Close of neither statement nor portal");
                    return Err(self.violation(fault, out));
                };
                let what = if tag == b'D' {
                    self.describes(kind, &name)
                } else {
                    self.closes(kind, name, out)
                };
                self.control(frame.bytes, out);
                self.expected.push_back(Expected::control(what));
            }
        }
        Ok(true)
    }

    fn describes(&self, kind: u8, name: &[u8]) -> What {
        if kind == b'S' {
            What::DescribeStatement { prepared: self.statements.find(name).cloned(), own: false }
        } else {
            What::DescribePortal
        }
    }

    fn closes(&mut self, kind: u8, name: Vec<u8>, out: &mut Outbox<Bytes>) -> What {
        if kind == b'S' {
            self.statements.remove(&name);
        } else if let Some(portal) = self.portals.remove(&name) {
            out.forget(portal.gate);
        }
        What::Close
    }

    pub fn sync(&mut self, bytes: Bytes, out: &mut Outbox<Bytes>) {
        self.skip_to_sync = false;
        out.control(Side::Upstream, bytes);
        self.expected.push_back(Expected::control(What::Sync));
        self.dirty = false;
        self.flushed = true;
    }

    /// Data for a COPY FROM STDIN belongs to the operation that started it.
    fn copy_data(&mut self, out: &mut Outbox<Bytes>) {
        let Some(Incoming::Frame(frame)) = self.pop_frame() else { return };
        let copying = self.expected.iter().rev().find_map(|expected| match &expected.what {
            What::Rows(rows) if rows.copies_in => expected.permit.as_ref(),
            _ => None,
        });
        // Without one the server would ignore it too: a COPY that failed (PostgreSQL 17, "COPY
        // Operations").
        if let Some(permit) = copying {
            out.more(permit.operation(), frame.bytes);
            self.flushed = false;
        }
    }

    // ---- judging -------------------------------------------------------------------------------

    /// The text of a Query: everything up to the zero byte that must end it.
    fn whole_text<'a>(
        &mut self,
        body: &'a [u8],
        out: &mut Outbox<Bytes>,
    ) -> Result<&'a [u8], Fault> {
        let mut reader = Reader::new(body, Side::Client);
        let text = reader.cstr().and_then(|text| reader.end().map(|()| text));
        text.map_err(|fault| self.violation(fault, out))
    }

    /// Whether `text` can be judged now. Where a backslash or a byte above ASCII may mean one thing
    /// or another by a setting, what the server said about that setting must have arrived.
    fn quiet_for(&mut self, text: &[u8], out: &mut Outbox<Bytes>) -> bool {
        let plain = text.is_ascii() && memchr::memchr(b'\\', text).is_none();
        if plain || self.expected.is_empty() {
            return true;
        }
        self.flush(out);
        false
    }

    fn decode(&self, text: &[u8]) -> Result<String, Refusal> {
        if text.is_ascii() || self.settings.encoding == Encoding::Utf8 {
            return String::from_utf8(text.to_vec()).map_err(|error| {
                let at = error.utf8_error().valid_up_to();
                let words = format!("the statement is not valid UTF-8 at byte {at}");
                Refusal::unjudgeable("encoding", ClientText::composed(words))
            });
        }
        if self.settings.encoding == Encoding::SingleByte {
            return Ok(text.iter().map(|byte| char::from(*byte)).collect());
        }
        let words = "statements beyond ASCII are judged only in client_encoding UTF8 or a \
                     single-byte encoding; SET client_encoding TO 'UTF8'";
        Err(Refusal::unjudgeable("encoding", ClientText::fixed(words)))
    }

    fn judge(&mut self, text: &str) -> Result<Arc<Judged>, (Refusal, Option<usize>)> {
        let Some(snapshot) = self.snapshot() else {
            let words = ClientText::fixed("the catalog of this database could not be read");
            return Err((Refusal::unjudgeable("catalog", words), None));
        };
        let environment = self.environment();
        self.cache
            .judge(text, &environment, &snapshot.catalog)
            .map_err(|unparsable| unjudged(text, &unparsable))
    }

    /// A prepared statement, judged against the catalog as it is now.
    fn current(&mut self, prepared: Arc<Prepared>) -> Result<Arc<Prepared>, (Refusal, Option<usize>)> {
        let version = self.snapshot().map(|snapshot| snapshot.catalog.version);
        if version == Some(prepared.judged.catalog_version) {
            return Ok(prepared);
        }
        let judged = self.judge(&prepared.judged.text)?;
        let fields = OnceLock::new();
        if let Some(described) = prepared.fields.get() {
            let _ = fields.set(Arc::clone(described));
        }
        Ok(Arc::new(Prepared {
            judged,
            index: prepared.index,
            parameter_types: prepared.parameter_types.clone(),
            fields,
        }))
    }

    /// For FETCH and EXECUTE: what really runs.
    fn source(&self, judged: &Judged) -> Option<Arc<Portal>> {
        let [statement] = judged.statements.list.as_slice() else { return None };
        match &statement.kind {
            StatementKind::Fetch { cursor, .. } => self.portals.find(cursor.as_bytes()).cloned(),
            StatementKind::Execute { name } => {
                let prepared = Arc::clone(self.statements.find(name.as_bytes())?);
                let gate = OperationId(0);
                Some(Arc::new(Portal { prepared, formats: Vec::new(), gate, hold: false }))
            }
            _ => None,
        }
    }

    /// Asks for an operation, or has it refused when it may not run whoever asks.
    fn submit(
        &mut self,
        operation: Operation,
        judged: &Arc<Judged>,
        units: Vec<Bytes>,
        plan: Plan,
        out: &mut Outbox<Bytes>,
    ) {
        if let Err(refusal) = self.admit(judged) {
            let (simple, sync) = match plan {
                Plan::Simple(_) => (true, None),
                Plan::Extended { sync, .. } | Plan::Refused { sync, .. } => (false, sync),
            };
            let id = out.refuse(LANE, operation, refusal);
            let plan = Plan::Refused { simple, sync };
            self.undecided = Some(Undecided { id, plan, position: None });
            return;
        }
        let mut units = units.into_iter();
        let id = out.ask(LANE, operation, units.next());
        for unit in units {
            out.more(id, unit);
        }
        self.undecided = Some(Undecided { id, plan, position: None });
    }

    fn too_large(&mut self, simple: bool, out: &mut Outbox<Bytes>) {
        let most = self.setup.limits.statement_bytes_max;
        let words = format!("the statement is longer than the limit of {most} bytes");
        let refusal = Refusal::unjudgeable("too_large", ClientText::composed(words));
        let kind = if simple { "query" } else { "parse" };
        self.refuse_unjudged(kind, "", refusal, simple, None, out);
    }

    /// Refuses what could not be judged; it is recorded all the same.
    fn refuse_unjudged(
        &mut self,
        kind: &'static str,
        text: &str,
        refusal: Refusal,
        simple: bool,
        position: Option<usize>,
        out: &mut Outbox<Bytes>,
    ) {
        let operation = Operation {
            kind,
            stage: Stage::Gate,
            under: None,
            text: text.into(),
            parameters: Vec::new(),
            facts: Arc::new([]),
            effect: model::Effect::MayWrite,
            rows: RowBound::Unbounded,
            objects: Arc::new(Objects::default()),
            context: "".into(),
        };
        let id = out.refuse(LANE, operation, refusal);
        let plan = Plan::Refused { simple, sync: None };
        self.undecided = Some(Undecided { id, plan, position });
    }

    // ---- verdicts ------------------------------------------------------------------------------

    /// The engine sent the operation; this is what the server will answer.
    pub fn sent(&mut self, plan: Plan, permit: &Arc<Permit>) {
        match plan {
            Plan::Simple(judged) => {
                if judged.statements.facts.changes_search_path {
                    self.settings.search_path = None;
                }
                let rows = RowsReply::simple(judged);
                self.expected.push_back(Expected {
                    what: What::Rows(Box::new(rows)),
                    permit: Some(Arc::clone(permit)),
                    ends: true,
                });
            }
            Plan::Extended { steps, .. } => self.sent_steps(steps, permit),
            Plan::Refused { .. } => {}
        }
    }

    fn sent_steps(&mut self, steps: Vec<Step>, permit: &Arc<Permit>) {
        self.dirty = true;
        self.flushed = false;
        let last = steps.len().saturating_sub(1);
        for (index, step) in steps.into_iter().enumerate() {
            let what = match step {
                Step::Parse { name, prepared } => {
                    self.statements.ask(&name, prepared);
                    What::Parse { name }
                }
                Step::DescribeStatement { prepared, own } => {
                    What::DescribeStatement { prepared: Some(prepared), own }
                }
                Step::Bind { name, prepared, formats } => {
                    let gate = permit.operation();
                    let portal = Portal { prepared, formats, gate, hold: false };
                    self.portals.ask(&name, Arc::new(portal));
                    What::Bind { name }
                }
                Step::DescribePortal => What::DescribePortal,
                Step::Execute { prepared, formats } => {
                    if prepared.judged.statements.facts.changes_search_path {
                        self.settings.search_path = None;
                    }
                    What::Rows(Box::new(RowsReply::portal(prepared, formats)))
                }
                Step::Sync => {
                    self.dirty = false;
                    self.flushed = true;
                    What::Sync
                }
            };
            let ends = index == last;
            self.expected.push_back(Expected { what, permit: Some(Arc::clone(permit)), ends });
        }
    }

    /// The engine refused the operation; nothing of it was sent (R2).
    pub fn refused(&mut self, id: OperationId, refusal: &Refusal, out: &mut Outbox<Bytes>) {
        let Some(undecided) = self.undecided.take() else { return };
        debug_assert_eq!(undecided.id, id, "one operation is asked at a time");
        let (simple, sync) = match undecided.plan {
            Plan::Simple(_) => (true, None),
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
        self.expected.push_back(Expected::control(What::Abort { error, failed: false, simple }));
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
        let (tail, acknowledged) =
            settling.map_or((Tail::Running, Vec::new()), |s| (s.tail, s.acknowledged));
        if running {
            self.withholding = Some(Withholding { id, refusal, failed: false, acknowledged });
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

/// Name, text and parameter types of a Parse.
type ParseFields<'a> = (&'a [u8], &'a [u8], Vec<u32>);

fn parse_fields<'a>(reader: &mut Reader<'a>) -> Result<ParseFields<'a>, Fault> {
    let name = reader.cstr()?;
    let text = reader.cstr()?;
    let count = reader.count()?;
    let mut types = Vec::with_capacity(count.min(1024));
    for _ in 0..count {
        types.push(reader.u32()?);
    }
    reader.end()?;
    Ok((name, text, types))
}

/// The fields of a Bind.
struct Bound<'a> {
    portal: &'a [u8],
    statement: &'a [u8],
    formats: Vec<i16>,
    values: Vec<Option<&'a [u8]>>,
    result_formats: Vec<i16>,
}

impl<'a> Bound<'a> {
    fn read(body: &'a [u8]) -> Result<Self, Fault> {
        let mut reader = Reader::new(body, Side::Client);
        let portal = reader.cstr()?;
        let statement = reader.cstr()?;
        let formats = formats(&mut reader)?;
        let count = unsigned_count(&mut reader)?;
        let mut values = Vec::with_capacity(count.min(1024));
        for _ in 0..count {
            values.push(reader.value()?);
        }
        let result_formats = self::formats(&mut reader)?;
        reader.end()?;
        Ok(Self { portal, statement, formats, values, result_formats })
    }

    fn parameters(&self, types: &[u32]) -> Vec<Parameter> {
        let format = |index: usize| match self.formats.as_slice() {
            [] => 0,
            [all] => *all,
            each => each.get(index).copied().unwrap_or(0),
        };
        let values = self.values.iter().enumerate();
        values
            .map(|(index, value)| {
                let oid = types.get(index).copied().unwrap_or(0);
                Parameter {
                    kind: types::name(oid).unwrap_or_default().to_owned(),
                    value: value.map(|value| recorded_value(oid, format(index), value)),
                }
            })
            .collect()
    }
}

fn formats(reader: &mut Reader<'_>) -> Result<Vec<i16>, Fault> {
    let count = unsigned_count(reader)?;
    let mut formats = Vec::with_capacity(count.min(1664));
    for _ in 0..count {
        formats.push(reader.i16()?);
    }
    Ok(formats)
}

/// Bind counts are unsigned: PostgreSQL takes up to 65,535 parameters.
fn unsigned_count(reader: &mut Reader<'_>) -> Result<usize, Fault> {
    Ok(usize::from(reader.i16()?.cast_unsigned()))
}

fn recorded_value(oid: u32, format: i16, value: &[u8]) -> String {
    if value.len() > PARAMETER_RECORDED_BYTES_MAX {
        let mut text = format!("({} bytes, sha256 ", value.len());
        hexadecimal(&mut text, digest(&SHA256, value).as_ref());
        text.push(')');
        return text;
    }
    if let Some(text) = types::canonical(oid, format, value) {
        return text;
    }
    if format == 0
        && let Ok(text) = std::str::from_utf8(value)
    {
        return text.to_owned();
    }
    let mut text = "\\x".to_owned();
    hexadecimal(&mut text, value);
    text
}

fn hexadecimal(text: &mut String, bytes: &[u8]) {
    for byte in bytes {
        let _ = write!(text, "{byte:02x}");
    }
}

/// An operation over a judged text. For FETCH and EXECUTE, rules see what really runs.
fn operation(
    kind: &'static str,
    judged: &Arc<Judged>,
    source: Option<&Portal>,
    parameters: Vec<Parameter>,
) -> Operation {
    let seen = source.map_or(judged, |source| &source.prepared.judged);
    let gate = source.map(|source| source.gate).filter(|gate| gate.0 != 0);
    Operation {
        kind,
        stage: if gate.is_some() { Stage::Repeat } else { Stage::Gate },
        under: gate,
        text: Arc::clone(&judged.text),
        parameters,
        facts: Arc::clone(&seen.values),
        effect: if source.is_some() { seen.effect } else { judged.effect },
        rows: if source.is_some() { RowBound::Unbounded } else { judged.rows },
        objects: Arc::clone(&seen.objects),
        context: Arc::clone(&seen.context),
    }
}

fn declares(judged: &Judged) -> bool {
    judged
        .statements
        .list
        .iter()
        .any(|statement| matches!(statement.kind, StatementKind::Declare { .. }))
}

fn unjudged(text: &str, unparsable: &Unparsable) -> (Refusal, Option<usize>) {
    let position = unparsable
        .position
        .map(|at| text.get(..at).map_or(0, |before| before.chars().count()).saturating_add(1));
    let reason = match unparsable.reason {
        "too_deep" => "too_deep",
        "encoding" | "nul" => "encoding",
        _ => "unparsable",
    };
    let words = ClientText::composed(unparsable.message.clone());
    (Refusal::unjudgeable(reason, words), position)
}

fn describe_statement(name: &[u8]) -> Bytes {
    message(b'D', |body| {
        body.put_u8(b'S');
        put_cstr(body, name);
    })
}

fn is_cstr(bytes: &[u8], text: &[u8]) -> bool {
    bytes.strip_suffix(&[0]) == Some(text)
}
