//! The extended protocol: a Parse or a Bind, and what follows it, as one operation.

use std::sync::{Arc, OnceLock};

use bytes::{BufMut, Bytes};
use engine::{Fault, Outbox, Refusal};
use model::operation::{RowBound, Stage};
use model::{ClientText, Side};

use super::ask::{Asked, operation};
use super::decode::{Bound, parse_fields};
use super::judging::adrift;
use crate::expected::{Opened, Step};
use crate::message::{Frame, Reader, message, put_cstr};
use crate::names::{PortalFields, Prepared};
use crate::ready::{Incoming, Plan, Ready};

/// Messages that go to the server as one operation.
struct Group {
    steps: Vec<Step>,
    units: Vec<Bytes>,
    sync: Option<Bytes>,
}

impl Ready {
    pub(super) fn parse(&mut self, out: &mut Outbox<Bytes>) -> Result<bool, Fault> {
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
        if let Err(refusal) = self.check_name(name) {
            self.pop_frame();
            self.refuse_unjudged("parse", "", refusal, false, None, out);
            return Ok(true);
        }
        let judged =
            self.decode(text).map_err(|refusal| (refusal, None, String::new())).and_then(|text| {
                self.judge(&text).map_err(|(refusal, position)| (refusal, position, text))
            });
        if judged.as_ref().is_ok_and(|judged| self.looks_again(judged, out)) {
            return Ok(false);
        }
        self.pop_frame();
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
            by_sql: false,
            parsed_behind: self.boundary,
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
        if self.masks.reads_replies() || self.sought.is_any() {
            // What the statement returns must be known before its rows come, and the client may
            // never ask.
            group.units.push(describe_statement(name));
            group
                .steps
                .push(Step::DescribeStatement { prepared: Arc::clone(&prepared), own: true });
        }
        // What a FETCH or EXECUTE runs is told when it is bound, and everything before is answered.
        if !judged.is_indirect()
            && let Some(bind) = self.next_bind(name)
        {
            return self.bind_group(group, &bind, Some(prepared), out);
        }
        self.take_describe(&mut group, name, &prepared);
        self.take_end(&mut group);
        let mut operation = operation("parse", &judged, None, Vec::new());
        operation.stage = Stage::Prepare;
        let plan = Plan::Extended { steps: group.steps, sync: group.sync };
        let asked = Asked { operation, judged: &judged, source: None, values: &[] };
        self.submit(asked, group.units, plan, out);
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

    pub(super) fn bind(&mut self, out: &mut Outbox<Bytes>) -> Result<bool, Fault> {
        let Some(Incoming::Frame(frame)) = self.frames.front() else { return Ok(false) };
        let frame = frame.clone();
        let mut reader = Reader::new(frame.body(), Side::Client);
        if let Ok(name) = reader.cstr().and_then(|_portal| reader.cstr()) {
            if !self.names_are_settled(Some(name), None, out) || !self.definitions_are_settled(out)
            {
                return Ok(false);
            }
            if !self.masks.is_empty() && self.encoding_is_awaited() {
                self.flush(out);
                return Ok(false);
            }
            let known = self.statements.find(name).map(|known| Arc::clone(&known.judged));
            if let Some(judged) = known
                && (judged.is_indirect() && (!self.is_quiet(out) || !self.is_followed())
                    || self.looks_again(&judged, out))
            {
                return Ok(false);
            }
        }
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
        let named = self.check_name(bound.statement).and_then(|()| self.check_name(bound.portal));
        if let Err(refusal) = named {
            self.refuse_unjudged("bind", "", refusal, false, None, out);
            return Ok(true);
        }
        let parsed_now = parsed.is_some();
        let known = parsed.or_else(|| self.statements.find(bound.statement).cloned());
        let Some(prepared) = known else {
            let name = String::from_utf8_lossy(bound.statement);
            let words = format!("prepared statement \"{name}\" does not exist");
            let refusal = Refusal::unjudgeable("unknown_statement", ClientText::composed(words));
            self.refuse_unjudged("bind", "", refusal, false, None, out);
            return Ok(true);
        };
        let asked = Arc::clone(&prepared);
        // What was parsed with this message was judged a moment ago.
        let current = if parsed_now { Ok(prepared) } else { self.current(prepared) };
        let prepared = current.and_then(|prepared| {
            let source = self.source(&prepared.judged)?;
            Ok((prepared, source))
        });
        let (prepared, source) = match prepared {
            Ok(found) => found,
            Err((refusal, _)) => {
                self.refuse_unjudged("bind", "", refusal, false, None, out);
                return Ok(true);
            }
        };
        let judged = Arc::clone(&prepared.judged);
        let is_anew = !Arc::ptr_eq(&asked, &prepared);
        // A plan made anew may return something else than was described when it was parsed.
        let describes = prepared.parsed_behind != self.boundary && self.must_scrub();
        if !parsed_now && !describes && self.lacks_fields(bound.statement, &prepared, is_anew) {
            group.units.push(describe_statement(bound.statement));
            let prepared = Arc::clone(&prepared);
            group.steps.push(Step::DescribeStatement { prepared, own: true });
        }
        let parameters = bound.parameters(&prepared.parameter_types);
        group.units.push(frame.bytes.clone());
        let portal = bound.portal.to_vec();
        let values = bound.values(&prepared.parameter_types);
        let opened = Opened {
            prepared,
            source: source.clone(),
            formats: bound.result_formats.clone(),
            fields: describes.then(PortalFields::default),
        };
        group.steps.push(Step::Bind { name: portal.clone(), opened: opened.clone() });
        self.take_describe_portal(&mut group, &portal, &opened, bound.statement);
        let step = Step::Execute { opened, portal: None };
        let executes = self.take_execute(&mut group, &portal, step);
        if judged.is_indirect() && !executes {
            self.refuse_unjudged("bind", &judged.text, execute_apart(), false, None, out);
            return Ok(true);
        }
        self.take_end(&mut group);
        let kind = if executes { "execute" } else { "bind" };
        let operation = operation(kind, &judged, source.as_ref(), parameters);
        let plan = Plan::Extended { steps: group.steps, sync: group.sync };
        let asked = Asked { operation, judged: &judged, source: source.as_ref(), values: &values };
        self.submit(asked, group.units, plan, out);
        if let Some(undecided) = &self.undecided
            && !matches!(undecided.plan, Plan::Refused { .. })
        {
            out.keep(undecided.id);
        }
        Ok(true)
    }

    /// What it returns is not known and has not been asked: it was made by SQL PREPARE, or judged
    /// anew before that was answered.
    fn lacks_fields(&self, name: &[u8], prepared: &Prepared, is_anew: bool) -> bool {
        (self.masks.reads_replies() || self.sought.is_any())
            && prepared.fields.get().is_none()
            && (is_anew || self.statements.awaited(name).is_none())
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
        opened: &Opened,
        statement: &[u8],
    ) {
        self.take_describe(group, statement, &opened.prepared);
        let fields = opened.fields.clone();
        if self.front_is(
            b'D',
            |body| matches!(body.split_first(), Some((b'P', rest)) if is_cstr(rest, portal)),
        ) && let Some(Incoming::Frame(frame)) = self.pop_frame()
        {
            group.units.push(frame.bytes);
            group.steps.push(Step::DescribePortal { own: false, fields });
        } else if fields.is_some() {
            group.units.push(describe(b'P', portal));
            group.steps.push(Step::DescribePortal { own: true, fields });
        }
    }

    fn take_execute(&mut self, group: &mut Group, portal: &[u8], step: Step) -> bool {
        let own = self.front_is(b'E', |body| {
            memchr::memchr(0, body).is_some_and(|end| body.get(..end) == Some(portal))
        });
        if own && let Some(Incoming::Frame(frame)) = self.pop_frame() {
            group.units.push(frame.bytes);
            group.steps.push(step);
            return true;
        }
        false
    }

    fn take_end(&mut self, group: &mut Group) {
        if self.front_is(b'S', <[u8]>::is_empty)
            && let Some(Incoming::Frame(frame)) = self.pop_frame()
        {
            group.sync = Some(frame.bytes.clone());
            group.units.push(frame.bytes);
            group.steps.push(Step::Sync);
        } else if self.front_is(b'H', <[u8]>::is_empty)
            && let Some(Incoming::Frame(frame)) = self.pop_frame()
        {
            group.units.push(frame.bytes);
        }
    }

    /// Whether what follows the first message has come, other than its Describe.
    fn is_followed(&self) -> bool {
        let describe =
            |incoming: &&Incoming| matches!(incoming, Incoming::Frame(frame) if frame.tag == b'D');
        let describes = self.frames.iter().skip(1).take_while(describe).count();
        self.frames.len() > describes.saturating_add(1)
    }

    fn front_is(&self, tag: u8, is: impl FnOnce(&[u8]) -> bool) -> bool {
        match self.frames.front() {
            Some(Incoming::Frame(frame)) => frame.tag == tag && is(frame.body()),
            _ => false,
        }
    }

    /// A further step of a portal that passed the gate (R9).
    pub(super) fn execute(&mut self, out: &mut Outbox<Bytes>) -> Result<bool, Fault> {
        let Some(Incoming::Frame(frame)) = self.frames.front() else { return Ok(false) };
        let frame = frame.clone();
        let mut reader = Reader::new(frame.body(), Side::Client);
        let fields = reader.cstr().and_then(|name| Ok((name, reader.i32()?)));
        let (name, row_limit) = match fields {
            Ok(fields) => fields,
            Err(fault) => return Err(self.violation(fault, out)),
        };
        if !self.names_are_settled(None, Some(name), out) {
            return Ok(false);
        }
        self.pop_frame();
        if let Err(refusal) = self.check_name(name) {
            self.refuse_unjudged("execute", "", refusal, false, None, out);
            return Ok(true);
        }
        let Some(portal) = self.portals.find(name).cloned() else {
            let words = format!("portal \"{}\" does not exist", String::from_utf8_lossy(name));
            let refusal = Refusal::unjudgeable("unknown_portal", ClientText::composed(words));
            self.refuse_unjudged("execute", "", refusal, false, None, out);
            return Ok(true);
        };
        let judged = Arc::clone(&portal.prepared.judged);
        if self.is_adrift(&portal) {
            self.refuse_unjudged("execute", &judged.text, adrift(), false, None, out);
            return Ok(true);
        }
        let mut operation = operation("execute", &judged, None, Vec::new());
        operation.stage = Stage::Repeat;
        operation.under = Some(portal.gate);
        if let Ok(limit @ 1..) = u64::try_from(row_limit) {
            operation.rows = match operation.rows {
                RowBound::NoRows => RowBound::NoRows,
                RowBound::AtMost(rows) => RowBound::AtMost(rows.min(limit)),
                RowBound::Unbounded => RowBound::AtMost(limit),
            };
        }
        let mut group = Group { steps: Vec::new(), units: vec![frame.bytes.clone()], sync: None };
        let opened = Opened {
            prepared: Arc::clone(&portal.prepared),
            source: portal.source.clone(),
            formats: portal.formats.clone(),
            fields: portal.fields.clone(),
        };
        group.steps.push(Step::Execute { opened, portal: Some(Arc::clone(&portal)) });
        self.take_end(&mut group);
        let plan = Plan::Extended { steps: group.steps, sync: group.sync };
        let asked =
            Asked { operation, judged: &judged, source: portal.source.as_ref(), values: &[] };
        self.submit(asked, group.units, plan, out);
        Ok(true)
    }
}

/// The name is looked up when it is executed, and may mean something else by then.
fn execute_apart() -> Refusal {
    let words = "a bound FETCH or EXECUTE must be followed by its Execute at once";
    Refusal::unjudgeable("unknown_source", ClientText::fixed(words))
}

fn describe_statement(name: &[u8]) -> Bytes {
    describe(b'S', name)
}

fn describe(kind: u8, name: &[u8]) -> Bytes {
    message(b'D', |body| {
        body.put_u8(kind);
        put_cstr(body, name);
    })
}

fn is_cstr(bytes: &[u8], text: &[u8]) -> bool {
    bytes.strip_suffix(&[0]) == Some(text)
}
