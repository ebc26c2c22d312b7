//! An open session: what both directions share.
//!
//! Client messages are taken up one operation at a time: the next is looked at when the one before
//! was released or refused, and, while a rule may still stop a reply, when that reply is settled.
//! So nothing is ever sent that an earlier decision would have prevented (R2, R3).

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use detect::TypeSet;
use engine::{Connected, Fault, Input, Limits, MaskPlan, Outbox, Permit, Refusal, Setup, Sought};
use model::limit::{ANSWERS_AWAITED_MAX, SEND_BUFFER_BYTES_MAX};
use model::{ClientText, OperationId, Side};

use crate::changing::{Seat, changed};
use crate::conversation::cancel_errand;
use crate::expected::{Expected, Step, What};
use crate::follow::Origin;
use crate::judge::{Cache, Environment, Judged, MaskedColumns};
use crate::login::BackendKey;
use crate::message::{Frame, Inbox, Report, Severity};
use crate::names::{Hides, Names, Portal, Prepared, Source, portals, statements};
use crate::refusal;
use crate::replies::Inflow;
use crate::room::Room;
use crate::settings::{Path, Settings};
use crate::startup::{Start, option_settings};
use crate::survey::Snapshot;
use crate::uncommitted::Uncommitted;

/// A Query is its text and this: type, length, and the zero byte at the end.
const QUERY_OVERHEAD_BYTES: usize = 6;
/// A Parse has a name and up to 65,535 parameter types besides.
const PARSE_OVERHEAD_BYTES_MAX: usize = 512 * 1024;

/// An open session.
pub(crate) struct Ready {
    pub cache: Arc<Cache>,
    pub setup: Setup,
    pub connected: Connected,
    pub options: ResourceOptions,
    pub masks: Arc<MaskPlan>,
    /// Why rules of now read what sensitive values replies hold.
    pub sought: Sought,
    pub origin: Origin,
    pub settings: Settings,
    environment: Option<Arc<Environment>>,
    pub key: BackendKey,

    pub inbox: Inbox,
    pub frames: VecDeque<Incoming>,
    pub frames_bytes: usize,
    pub discard_bytes: usize,
    pub skip_to_sync: bool,
    pub undecided: Option<Undecided>,
    pub settling: Option<Settling>,
    pub withholding: Option<Withholding>,
    /// The last reply this conversation stopped itself; the engine says so once more.
    pub stopped: Option<OperationId>,
    /// The operation whose refusal was told while its Sync is still to be answered.
    pub told: Option<OperationId>,
    pub refreshing: bool,
    pub paused: bool,
    pub over: bool,
    /// The server said why it leaves.
    pub server_leaves: bool,
    /// The catalog was read anew for the next message.
    pub looked_again: bool,

    pub expected: VecDeque<Expected>,
    /// Answers ever awaited, those that came included.
    pub awaited: u64,
    /// How many these were when the server was last made to start afresh (Sync, Query).
    pub boundary: u64,
    /// How many these were, with it, when something was last sent that may change names.
    naming: u64,
    /// How many these were, with it, when something was last sent that changes definitions.
    pub defining: u64,
    /// How many these were, with it, when something was last sent that may change `search_path`.
    pub pathing: u64,
    /// How many of these are since the server was last ready with all of them answered.
    path_changes: u32,
    /// The role, and with it what `"$user"` means, was or may have been changed.
    pub role_changed: bool,
    /// How many these were, with it, when something was last sent that may change a setting which
    /// the server reports.
    setting: u64,
    /// How many answers had come when the server was last ready for a query.
    told_up_to: u64,
    /// How many these were, with it, when something was last sent that may end a transaction block.
    ending: u64,
    /// A setting that the server reports may have been changed in this session.
    has_set: bool,
    /// Nothing failed and no transaction began or ended since the server was last ready.
    pub turn_is_plain: bool,
    /// Its place among the sessions that change definitions.
    pub seat: Seat,
    /// Which changes of others the snapshot has.
    pub seen: u64,
    /// Which it will have once it is read.
    pub seeing: u64,
    /// What was hidden from it last.
    pub hid: Option<Arc<MaskedColumns>>,
    /// The client began with a setting of its own that the server plans by.
    pub steers_plans: bool,
    /// The session began with settings under which rows do not come in the order of an index.
    pub plans_unordered: bool,
    /// What `search_path` is once the server is ready, if nothing undoes it until then.
    pub path_after: Option<Path>,
    /// Readings of the catalog that were asked for and are not done.
    pub readings: u32,
    /// Definitions were changed that no reading has yet.
    pub unread: bool,
    pub inflow: Inflow,
    pub room: Room,
    /// Transaction status of the last `ReadyForQuery`.
    pub status: u8,
    /// Something was sent since the last `Sync`.
    pub dirty: bool,
    /// The server was asked to flush since something was sent.
    pub flushed: bool,
    pub statements: Names<Prepared>,
    pub portals: Names<Portal>,
    /// Definitions changed in the transaction that is open now (R7).
    pub uncommitted: Uncommitted,
}

/// Types of sensitive values that a reply is searched for although nothing may hide them.
pub(crate) fn counted(sought: Sought) -> TypeSet {
    match sought.is_any() {
        true => TypeSet::ALL,
        false => TypeSet::EMPTY,
    }
}

/// What a session starts with.
pub(crate) struct Opened {
    pub setup: Setup,
    pub cache: Arc<Cache>,
    pub inbox: Inbox,
    pub masks: Arc<MaskPlan>,
    pub sought: Sought,
    pub origin: Origin,
    pub start: Start,
    pub plans_unordered: bool,
    pub connected: Connected,
    pub snapshot: Arc<Snapshot>,
    pub parameters: Vec<(String, String)>,
    pub key: BackendKey,
    pub status: u8,
}

/// A client message taken off the wire.
pub(crate) enum Incoming {
    Frame(Frame),
    /// A statement longer than allowed; its bytes are dropped as they come.
    TooLarge(u8),
}

/// The operation whose verdict is awaited.
pub(crate) struct Undecided {
    pub id: OperationId,
    pub plan: Plan,
    /// What is hidden from whoever asks, as it was judged.
    pub hides: Hides,
    /// Where in the text the trouble is, characters from 1.
    pub position: Option<usize>,
}

/// What follows when an operation is released.
pub(crate) enum Plan {
    Simple(Arc<Judged>, Option<Source>),
    Extended {
        steps: Vec<Step>,
        sync: Option<Bytes>,
    },
    /// It will be refused; the kind tells how.
    Refused {
        simple: bool,
        sync: Option<Bytes>,
    },
}

/// An operation whose reply a rule may still stop. The client's next message waits for it.
pub(crate) struct Settling {
    pub id: OperationId,
    pub tail: Tail,
    /// Steps that went well before rows came: `1`, `2`; `None` once they have left.
    pub acknowledged: Option<Vec<Bytes>>,
}

/// How far the server is with it.
#[derive(Clone, Copy, Eq, PartialEq)]
pub(crate) enum Tail {
    Running,
    /// Done, and `ReadyForQuery` with this status came.
    Ready(u8),
    /// Done, with no `Sync` sent.
    Unsynced,
}

/// An operation whose reply must not reach the client.
pub(crate) struct Withholding {
    pub id: OperationId,
    pub refusal: Refusal,
    pub failed: bool,
    pub acknowledged: Vec<Bytes>,
    /// It is over, and what was sent behind it is not answered either, up to its Sync.
    pub is_over: bool,
}

/// The resource's own settings.
#[derive(Clone, Debug, Default)]
pub(crate) struct ResourceOptions {
    /// `server_files: allow`.
    pub server_files: bool,
    /// `isolation: shared`.
    pub shared: bool,
    /// `roles: […]`.
    pub roles: Vec<String>,
}

impl ResourceOptions {
    pub fn read(options: &serde_json::Value) -> Self {
        let word = |key: &str| options.get(key).and_then(serde_json::Value::as_str);
        let roles = options.get("roles").and_then(serde_json::Value::as_array);
        Self {
            server_files: word("server_files") == Some("allow"),
            shared: word("isolation") == Some("shared"),
            roles: roles
                .into_iter()
                .flatten()
                .filter_map(|role| role.as_str().map(str::to_owned))
                .collect(),
        }
    }
}

impl Ready {
    pub fn new(opened: Opened) -> Self {
        let steers_plans = opened.start.parameters.iter().any(|(name, value)| {
            let options = if name == "options" { option_settings(value) } else { None };
            let mut settings = options.into_iter().flatten();
            sql::steers_plans(&name.to_ascii_lowercase(), Some(value))
                || settings.any(|(name, value)| sql::steers_plans(&name, Some(&value)))
        });
        let begins_elsewhere = opened.start.parameters.iter().any(|(name, value)| {
            let sets = |name: &str| name.eq_ignore_ascii_case("search_path");
            let options = name.eq_ignore_ascii_case("options").then(|| option_settings(value));
            sets(name)
                || options
                    .is_some_and(|all| all.is_none_or(|all| all.iter().any(|(name, _)| sets(name))))
        });
        let seat = opened.cache.changing.seat(&opened.origin.resource);
        let mut ready = Self {
            cache: opened.cache,
            setup: opened.setup,
            options: ResourceOptions::read(&opened.connected.options),
            connected: opened.connected,
            masks: opened.masks,
            sought: opened.sought,
            origin: opened.origin,
            settings: Settings::fresh(&opened.snapshot, begins_elsewhere),
            environment: None,
            key: opened.key,
            inbox: opened.inbox,
            frames: VecDeque::new(),
            frames_bytes: 0,
            discard_bytes: 0,
            skip_to_sync: false,
            undecided: None,
            settling: None,
            withholding: None,
            stopped: None,
            told: None,
            refreshing: false,
            paused: false,
            over: false,
            server_leaves: false,
            looked_again: false,
            expected: VecDeque::new(),
            awaited: 0,
            boundary: 0,
            naming: 0,
            defining: 0,
            pathing: 0,
            path_changes: 0,
            role_changed: false,
            setting: 0,
            ending: 0,
            told_up_to: 0,
            has_set: false,
            turn_is_plain: true,
            seat,
            seen: 0,
            seeing: 0,
            hid: None,
            steers_plans,
            plans_unordered: opened.plans_unordered,
            path_after: None,
            readings: 0,
            unread: false,
            inflow: Inflow::default(),
            room: Room::default(),
            status: opened.status,
            dirty: false,
            flushed: true,
            statements: statements(),
            portals: portals(),
            uncommitted: Uncommitted::default(),
        };
        for (name, value) in &opened.parameters {
            ready.settings.reported(name, value);
        }
        ready
    }

    pub fn handle(&mut self, input: Input<Bytes>, out: &mut Outbox<Bytes>) -> Result<(), Fault> {
        match input {
            Input::Data(Side::Client, bytes) => self.inbox.push(&bytes),
            Input::Data(Side::Upstream, bytes) => self.upstream(bytes, out)?,
            Input::Released(permit) => self.released(permit, out),
            Input::Refused(id, refusal) => self.refused(id, &refusal, out),
            Input::Withheld(id, refusal) => self.withheld(id, refusal, out),
            Input::LetGo(id) => {
                if let Some(settling) = self.settling.as_mut().filter(|settling| settling.id == id)
                {
                    settling.acknowledged = None;
                }
            }
            Input::Passed(id) => {
                if self.settling.as_ref().is_some_and(|settling| settling.id == id) {
                    self.settling = None;
                }
            }
            Input::Held(_, notice) => {
                let report = Report {
                    severity: Severity::Notice,
                    code: "00000",
                    message: notice.text.as_str(),
                    detail: None,
                    hint: None,
                    position: None,
                };
                out.answer(report.to_message());
            }
            Input::Rescoped(masks, reads) => {
                self.masks = masks;
                self.sought = reads.result_detections();
            }
            Input::Refreshed => self.refreshed(),
            Input::Cancel => {
                if !self.expected.is_empty() {
                    out.cancel(cancel_errand(&self.key));
                }
            }
            Input::Stopped(refusal) => {
                if !self.expected.is_empty() {
                    out.cancel(cancel_errand(&self.key));
                }
                out.control(Side::Client, refusal::error(&refusal, Severity::Fatal, None));
                self.over = true;
                out.close();
            }
            Input::Closed(side) => self.closed(side, out),
            Input::TlsStarted(..)
            | Input::Identified { .. }
            | Input::Unidentified(_)
            | Input::Connected(_)
            | Input::Unreachable(_) => {}
        }
        self.resume(out)?;
        self.fit(out)
    }

    fn closed(&mut self, side: Side, out: &mut Outbox<Bytes>) {
        match side {
            Side::Client if !self.expected.is_empty() => out.cancel(cancel_errand(&self.key)),
            Side::Client => {}
            Side::Upstream if self.over || self.server_leaves => {}
            Side::Upstream => {
                let words = ClientText::fixed("the server closed the connection");
                let refusal = Refusal::unjudgeable("upstream_down", words);
                out.control(Side::Client, refusal::error(&refusal, Severity::Fatal, None));
            }
        }
        self.over = true;
    }

    /// Takes up client messages as far as decisions allow.
    pub fn resume(&mut self, out: &mut Outbox<Bytes>) -> Result<(), Fault> {
        loop {
            self.split(out)?;
            if self.over || self.is_blocked() || self.frames.is_empty() {
                break;
            }
            // What is awaited takes memory and time. The server holds its answers back until it is
            // asked for them.
            if self.expected.len() >= ANSWERS_AWAITED_MAX {
                self.flush(out);
                break;
            }
            if !self.step(out)? {
                break;
            }
        }
        self.bound(out);
        Ok(())
    }

    fn is_blocked(&self) -> bool {
        self.undecided.is_some()
            || self.settling.is_some()
            || self.withholding.is_some()
            || self.refreshing
    }

    /// Takes whole messages off what arrived.
    fn split(&mut self, out: &mut Outbox<Bytes>) -> Result<(), Fault> {
        loop {
            if self.discard_bytes > 0 {
                let dropped = self.inbox.take(self.discard_bytes).len();
                self.discard_bytes = self.discard_bytes.saturating_sub(dropped);
                if self.discard_bytes > 0 {
                    return Ok(());
                }
            }
            let Limits { statement_bytes_max } = self.setup.limits;
            let most = model::limit::CLIENT_MESSAGE_BYTES_MAX.max(statement_bytes_max);
            let (tag, length) =
                match crate::message::header(self.inbox.peek(), usize::MAX, Side::Client) {
                    Ok(Some(found)) => found,
                    Ok(None) => return Ok(()),
                    Err(fault) => return Err(self.violation(fault, out)),
                };
            // The text itself is measured when it is whole; a message that cannot fit is not waited
            // for.
            let room = match tag {
                b'Q' => statement_bytes_max.saturating_add(QUERY_OVERHEAD_BYTES),
                b'P' => statement_bytes_max.saturating_add(PARSE_OVERHEAD_BYTES_MAX),
                _ => usize::MAX,
            };
            if length > room {
                self.discard_bytes = length;
                self.frames.push_back(Incoming::TooLarge(tag));
                continue;
            }
            if length > most {
                let fault = Fault::client("message longer than allowed");
                return Err(self.violation(fault, out));
            }
            if self.inbox.len() < length {
                return Ok(());
            }
            let bytes = self.inbox.take(length);
            self.frames_bytes = self.frames_bytes.saturating_add(length);
            self.frames.push_back(Incoming::Frame(Frame { tag, bytes }));
        }
    }

    /// Reads no more from a client that is far ahead of its decisions (P8).
    fn bound(&mut self, out: &mut Outbox<Bytes>) {
        let waiting = self.frames_bytes.saturating_add(self.inbox.len());
        let over = waiting > SEND_BUFFER_BYTES_MAX && !self.frames.is_empty();
        if over != self.paused {
            self.paused = over;
            if over {
                out.pause(Side::Client);
            } else {
                out.resume(Side::Client);
            }
        }
    }

    pub fn pop_frame(&mut self) -> Option<Incoming> {
        let frame = self.frames.pop_front()?;
        self.looked_again = false;
        if let Incoming::Frame(frame) = &frame {
            self.frames_bytes = self.frames_bytes.saturating_sub(frame.bytes.len());
        }
        Some(frame)
    }

    /// Tells the client how it broke the protocol, then ends the connection.
    pub fn violation(&mut self, fault: Fault, out: &mut Outbox<Bytes>) -> Fault {
        let report = Report {
            severity: Severity::Fatal,
            code: "08P01",
            message: fault.what,
            detail: None,
            hint: None,
            position: None,
        };
        out.control(Side::Client, report.to_message());
        self.over = true;
        fault
    }

    // ---- judging -------------------------------------------------------------------------------

    pub fn snapshot(&self) -> Option<Arc<Snapshot>> {
        self.connected.snapshots.current()?.downcast::<Snapshot>().ok()
    }

    /// What a text means here and now, made anew only when a setting changed.
    pub fn environment(&mut self) -> Arc<Environment> {
        let settings = &self.settings;
        // What was dropped or renamed may have stood before something else of its name.
        let is_uncertain = self.unread || self.uncommitted.is_unknown();
        let path = settings.search_path.as_ref().filter(|_| !is_uncertain);
        let snapshot = path.and_then(|_| self.snapshot());
        let search_path = path.and_then(|path| match path {
            Path::Fresh => snapshot
                .as_ref()
                .filter(|snapshot| snapshot.settings == settings.begun_with)
                .map(|snapshot| &snapshot.search_path),
            Path::Listed(schemas) => Some(schemas),
        });
        if let Some(known) = &self.environment
            && known.standard_conforming_strings == settings.standard_conforming_strings
            && known.search_path.as_ref() == search_path
            && known.role == settings.role
        {
            return Arc::clone(known);
        }
        let environment = Arc::new(Environment {
            standard_conforming_strings: settings.standard_conforming_strings,
            search_path: search_path.cloned(),
            role: Arc::clone(&settings.role),
        });
        self.environment = Some(Arc::clone(&environment));
        environment
    }

    /// The server owes one more answer.
    pub fn expect(&mut self, mut expected: Expected) {
        if let What::Rows(rows) = &mut expected.what {
            rows.behind = self.awaited;
        }
        self.awaited = self.awaited.saturating_add(1);
        if expected.what.is_boundary() {
            self.boundary = self.awaited;
        }
        if expected.what.concerns_names() {
            self.naming = self.awaited;
        }
        let inside = self.status == b'T' && self.ending <= self.told_up_to;
        if expected.what.may_end_block() {
            self.ending = self.awaited;
            self.seat.show();
        }
        if expected.what.defines() {
            self.defining = self.awaited;
            let snapshot = self.snapshot();
            let catalog = snapshot.as_ref().map(|snapshot| &*snapshot.catalog);
            if let Some(change) = changed(expected.what.executed(), catalog) {
                self.seat.begin(change, inside && self.ending < self.awaited);
            }
        }
        if expected.what.changes_path() {
            self.pathing = self.awaited;
            self.path_changes = self.path_changes.saturating_add(1);
            self.role_changed |= expected.what.changes_role();
            self.settings.search_path = None;
            self.path_after = None;
        }
        let sets = expected.what.may_set();
        self.has_set |= sets;
        if sets || (self.has_set && expected.what.ends_transaction()) {
            self.setting = self.awaited;
        }
        self.expected.push_back(expected);
    }

    /// Whether these names mean to the server what they mean here. What was asked for in an earlier
    /// part of a pipeline may have failed, and SQL that is on its way may change any name; then the
    /// server's answers must come first.
    pub fn names_are_settled(
        &mut self,
        statement: Option<&[u8]>,
        portal: Option<&[u8]>,
        out: &mut Outbox<Bytes>,
    ) -> bool {
        let answered = self.awaited.saturating_sub(self.expected.len() as u64);
        let statement =
            statement.is_some_and(|name| self.statements.is_unsettled(name, self.boundary));
        let portal = portal.is_some_and(|name| self.portals.is_unsettled(name, self.boundary));
        let settled = self.naming <= answered && !statement && !portal;
        if !settled {
            self.flush(out);
        }
        settled
    }

    /// Whether no change of definitions is under way. Until it is answered nobody knows what names
    /// of tables mean.
    pub fn definitions_are_settled(&mut self, out: &mut Outbox<Bytes>) -> bool {
        let settled = self.defining <= self.awaited.saturating_sub(self.expected.len() as u64);
        if !settled {
            self.flush(out);
        }
        settled
    }

    /// The server is ready: everything that was awaited up to `answered` has been answered.
    pub fn is_told(&mut self, status: u8, answered: u64) {
        self.told_up_to = answered;
        let path = self.path_after.take();
        // Of several, which was last is not always told: a cursor that is held runs at the end.
        let is_only = self.pathing <= answered && self.path_changes == 1;
        let is_kept = status == b'I' && self.turn_is_plain && is_only;
        if self.pathing <= answered {
            self.path_changes = 0;
        }
        if let Some(path) = path.filter(|_| is_kept) {
            self.settings.search_path = Some(path);
        }
        self.turn_is_plain = true;
    }

    /// Whether the server has said what the settings are that it reports. It does before it is
    /// ready for a query, not when a statement within a pipeline has changed one (PostgreSQL 14 and
    /// later).
    pub fn settings_are_told(&self) -> bool {
        self.setting <= self.told_up_to
    }

    /// Has the catalog read anew.
    pub fn refresh(&mut self, out: &mut Outbox<Bytes>) {
        self.readings = self.readings.saturating_add(1);
        out.refresh();
    }

    fn refreshed(&mut self) {
        self.refreshing = false;
        self.readings = self.readings.saturating_sub(1);
        // One that was asked for before the last change may not have it.
        self.unread &= self.readings > 0;
        if self.readings == 0 {
            self.seen = self.seen.max(self.seeing);
        }
    }

    /// Whether another session has changed definitions since the catalog was read. What someone
    /// with masks sends then is judged once it is read anew.
    pub fn awaits_changes(&mut self, out: &mut Outbox<Bytes>) -> bool {
        let epoch = self.seat.epoch();
        if epoch == self.seen || !self.must_scrub() {
            return false;
        }
        self.seeing = epoch;
        self.refreshing = true;
        self.refresh(out);
        true
    }

    /// Sends to the server outside any operation.
    pub fn control(&mut self, unit: Bytes, out: &mut Outbox<Bytes>) {
        out.control(Side::Upstream, unit);
        self.dirty = true;
        self.flushed = false;
    }

    /// Has the server send what it holds back, once, so that waiting for it ends.
    pub fn flush(&mut self, out: &mut Outbox<Bytes>) {
        if !self.flushed && !self.expected.is_empty() {
            out.control(Side::Upstream, crate::message::message(b'H', |_: &mut BytesMut| {}));
            self.flushed = true;
        }
    }

    fn released(&mut self, permit: Arc<Permit>, out: &mut Outbox<Bytes>) {
        let Some(undecided) = self.undecided.take() else { return };
        debug_assert_eq!(undecided.id, permit.operation(), "one operation is asked at a time");
        let pending = permit.is_pending();
        self.sent(undecided.plan, undecided.hides, &permit);
        if pending {
            self.settling = Some(Settling {
                id: permit.operation(),
                tail: Tail::Running,
                acknowledged: Some(Vec::new()),
            });
            if self.dirty {
                self.flush(out);
            }
        }
    }
}
