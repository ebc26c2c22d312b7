//! One gateway's record, read in order: who came, what they asked, what came of it then, and what
//! would come of it now.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use archive::row::{Row, Text};
use detect::DetectionType;
use model::event::{EventBody, RuleMatch};
use model::operation::{Objects, RowBound, Stage};
use model::{Phase, Timestamp, Value};
use policy::{Scope, Usage, reason};

use super::facts::{Known, Reply, Session};
use super::judge::{self, Asked, Fate, Judged, Open, Witness};
use super::masks::{Changes, Masks};
use super::report::{Change, Heading, Operation, Report, Unclear};
use super::usage::{Bounds, Ledgers};
use super::{Place, Rules};
use crate::config::digest;
use crate::protocols::{self, ByMasks, Exposed, Past, Recalled};

/// Operations of a session that later ones may have run under.
const GATES_MAX: usize = 10_000;

/// What is known while the record is read.
pub struct Gateway<'a> {
    rules: &'a Rules,
    /// Operations from then on are told; those before are only counted.
    from: Timestamp,
    /// Where reading began.
    start: Timestamp,
    report: &'a mut Report,
    sessions: HashMap<Text, Told>,
    operations: BTreeMap<(Text, u64), Asking>,
    ledgers: Ledgers,
    /// Digests of the rules in force, once the record says so.
    in_force: Option<Arc<BTreeMap<String, String>>>,
}

/// A session, and what ran in it.
struct Told {
    session: Session,
    gates: BTreeMap<u64, Gate>,
}

/// An operation that others may run under.
struct Gate {
    text: Option<Text>,
    /// Rows that it and those under it returned.
    rows: u64,
    satisfied: Vec<Arc<str>>,
    is_refused: bool,
}

/// What came of an operation then.
struct Then {
    fate: Fate,
    /// A person is asked.
    waits: bool,
    /// The rules that matched.
    rules: Vec<RuleMatch>,
    /// The rules were asked.
    judged: bool,
    /// It, or its reply, was refused, and by no rule.
    is_apart: bool,
    /// Some of its body had left when the rest was refused.
    left_in_part: bool,
    /// Why it was refused, in a word.
    reason: Option<Text>,
    /// Rows seen when it was stopped.
    rows: u64,
}

/// An operation whose end is not read yet.
struct Asking {
    row: Row,
    then: Then,
    scope: Scope,
    recalled: Recalled,
    asked: Asked,
    judged: Judged,
    /// What it ran under, and the rows that came before.
    under: Option<u64>,
    in_force: Option<Arc<BTreeMap<String, String>>>,
    is_told: bool,
}

/// What the record says of rules about one operation.
struct Evidence<'a> {
    rules: &'a Rules,
    then: &'a Then,
    in_force: Option<&'a BTreeMap<String, String>>,
    /// Its reply is recorded to the end.
    is_complete: bool,
}

impl Evidence<'_> {
    /// Whether a rule of this name said then what it says now.
    fn is_same(&self, rule: &str) -> bool {
        let now = self.rules.digests.get(rule);
        now.is_some() && self.in_force.is_some_and(|then| then.get(rule) == now)
    }

    /// Whether the same rules hid fields then and now.
    fn masks_are_same(&self) -> bool {
        let hides = |digest: &str| digest.starts_with("mask.") || digest.starts_with("classify.");
        let of = |digests: &BTreeMap<String, String>| -> Vec<(String, String)> {
            let hiding = digests.iter().filter(|(_, digest)| hides(digest));
            hiding.map(|(name, digest)| (name.clone(), digest.clone())).collect()
        };
        self.in_force.is_some_and(|then| of(then) == of(&self.rules.digests))
    }
}

impl Witness for Evidence<'_> {
    fn matched(&self, rule: &str, phase: Phase) -> Option<bool> {
        if !self.then.judged || !self.is_same(rule) {
            return None;
        }
        let matched = self.then.rules.iter().any(|of| *of.rule == *rule);
        (matched || phase == Phase::Request || self.is_complete).then_some(matched)
    }
}

impl<'a> Gateway<'a> {
    /// At the beginning of its record.
    pub fn new(
        rules: &'a Rules,
        (start, from): (Timestamp, Timestamp),
        report: &'a mut Report,
    ) -> Self {
        Self {
            rules,
            from,
            start,
            report,
            sessions: HashMap::new(),
            operations: BTreeMap::new(),
            ledgers: Ledgers::default(),
            in_force: None,
        }
    }

    /// Reads on.
    pub fn read(&mut self, row: Row) {
        match &*row.kind {
            "session_started" => self.started(row),
            "session_ended" => self.ended(&row),
            "operation" => self.asked(row),
            "ruling" => self.ruled(&row),
            "reply" => self.replied(&row),
            "admin" if row.action.as_deref() == Some("config.load") => {
                let detail = row.detail.as_deref().unwrap_or_default();
                // One that was refused leaves the old rules in force.
                if !detail.starts_with("refused") {
                    self.in_force = digest::read(detail).map(Arc::new);
                }
            }
            _ => {}
        }
    }

    /// The record ends.
    pub fn end(mut self) {
        for (_, asking) in std::mem::take(&mut self.operations) {
            self.finish(asking, None);
        }
    }

    fn started(&mut self, row: Row) {
        let (id, resource) = (row.session.clone(), row.resource.clone());
        let at = Timestamp(row.time);
        let Ok(event) = row.event() else { return };
        let EventBody::SessionStarted { principal, .. } = event.body else { return };
        let (Some(id), Some(name)) = (id, resource) else { return };
        // What type it is says the configuration.
        let place = self.rules.places.get(&name).map(|place| place.resource.clone());
        let resource = place.unwrap_or_else(|| model::Resource { name, kind: "".into() });
        let session = Session {
            id: Arc::clone(&id),
            principal,
            resource,
            started: at,
            used: Bounds::default(),
            is_partial: at < self.start,
        };
        self.sessions.insert(id, Told { session, gates: BTreeMap::new() });
    }

    fn ended(&mut self, row: &Row) {
        let Some(session) = &row.session else { return };
        let first = (Arc::clone(session), 0);
        let of_session = self.operations.range(first..).take_while(|((id, _), _)| id == session);
        let keys: Vec<_> = of_session.map(|(key, _)| key.clone()).collect();
        for key in keys {
            if let Some(asking) = self.operations.remove(&key) {
                self.finish(asking, None);
            }
        }
        self.sessions.remove(session);
    }

    fn asked(&mut self, row: Row) {
        let (Some(id), Some(number)) = (row.session.clone(), row.operation) else { return };
        let key = (Arc::clone(&id), number);
        let then = Then::of(&row);
        if let Some(known) = self.operations.get_mut(&key) {
            // Judged again after somebody said yes.
            known.then.rules.extend(then.rules);
            if then.fate == Fate::Refused {
                known.then.fate = Fate::Refused;
            }
            if let Some(told) = self.sessions.get_mut(&id) {
                told.session.used.add(ONE);
            }
            return;
        }
        let is_told = row.time >= self.from.0;
        let Some(told) = self.sessions.get_mut(&id) else {
            if is_told {
                self.report.unclear("the beginning of its session is not in what was read");
            }
            return;
        };
        let Some(place) = self.rules.places.get(&told.session.resource.name) else {
            if is_told {
                let name = &told.session.resource.name;
                self.report.unclear(&format!("{name} is no resource of the configuration"));
            }
            return;
        };
        if then.judged && row.step.as_deref() != Some(protocols::PART) {
            told.session.used.add(ONE);
        }
        let scope = self.rules.scope(&told.session.principal, place);
        let in_force = self.in_force.clone();
        let mut asking = Asking {
            under: row.under,
            row,
            then,
            scope,
            recalled: Recalled::default(),
            asked: Asked {
                stage: Stage::Gate,
                effect: None,
                rows: RowBound::Unbounded,
                may_fail: false,
                satisfied: Vec::new(),
            },
            judged: Judged::default(),
            in_force,
            is_told,
        };
        self.judge(&mut asking, None);
        let gate = Gate {
            text: asking.row.text.clone(),
            rows: 0,
            satisfied: asking.asked.satisfied.clone(),
            is_refused: asking.judged.fates() == [Fate::Refused],
        };
        if let Some(told) = self.sessions.get_mut(&id)
            && asking.under.is_none()
        {
            told.gates.insert(number, gate);
            if told.gates.len() > GATES_MAX {
                told.gates.pop_first();
            }
        }
        match asking.then.fate {
            Fate::Refused => self.finish(asking, None),
            _ => drop(self.operations.insert(key, asking)),
        }
    }

    /// Judges the request; `sent` is what followed it upstream, once its reply is read.
    fn judge(&self, asking: &mut Asking, sent: Option<u64>) {
        let Some(told) = asking.row.session.as_ref().and_then(|id| self.sessions.get(id)) else {
            return;
        };
        let Some(place) = self.rules.places.get(&told.session.resource.name) else { return };
        let gate = asking.under.map(|under| told.gates.get(&under));
        let objects = objects(&asking.row);
        let masks = asking.scope.masks();
        let masked = asking.then.rules.iter().any(|of| !of.observed && &*of.action == "mask");
        let past = Past {
            step: asking.row.step.as_deref().unwrap_or_default(),
            under: asking.under,
            text: asking.row.text.as_deref(),
            source: gate.flatten().and_then(|gate| gate.text.as_deref()),
            parameters: &asking.row.parameters,
            objects: &objects,
            masked,
            sent,
        };
        asking.recalled = protocols::recall(&place.resource.kind, &past, &place.options, masks);
        let recalled = &asking.recalled;
        asking.asked = Asked {
            stage: recalled.stage.unwrap_or(Stage::Gate),
            effect: recalled.effect,
            rows: recalled.rows.unwrap_or(RowBound::Unbounded),
            may_fail: recalled.may_fail,
            satisfied: gate.flatten().map(|gate| gate.satisfied.clone()).unwrap_or_default(),
        };
        let now = Timestamp(asking.row.time);
        if !self.rules.policy.admits(&told.session.principal, &place.resource, now) {
            asking.judged = Judged::refused(vec!["access".into()]);
            return;
        }
        let already = match gate {
            None => Some(0),
            Some(gate) => gate.map(|gate| gate.rows),
        };
        let reply = Reply::Ahead { already, bound: asking.asked.rows };
        let known = |as_recorded: bool| Known {
            session: &told.session,
            block: place.block,
            values: &asking.recalled.values,
            reply: &reply,
            ledgers: &self.ledgers,
            now: Timestamp(asking.row.time),
            as_recorded,
        };
        let evidence = self.evidence(asking, None);
        if let Some(judged) = self.apart(asking, place, &evidence) {
            asking.judged = judged;
            return;
        }
        let mut judged = judge::request(&asking.scope, &asking.asked, &known, &evidence);
        judged.open.extend(self.exposed(asking, &evidence));
        asking.judged = judged;
    }

    fn evidence<'e>(&'e self, asking: &'e Asking, reply: Option<&Row>) -> Evidence<'e> {
        let outcome = reply.and_then(|reply| reply.outcome.as_deref());
        Evidence {
            rules: self.rules,
            then: &asking.then,
            in_force: asking.in_force.as_deref(),
            is_complete: matches!(outcome, Some("done" | "error" | "skipped")),
        }
    }

    /// What is refused before any rule is asked.
    fn apart(&self, asking: &Asking, place: &Place, evidence: &Evidence<'_>) -> Option<Judged> {
        let masks = asking.scope.masks();
        let by_masks = |word: &str| {
            // Those that are new are told, where any is.
            let all: BTreeSet<&Arc<str>> = masks.rules().collect();
            let fresh = all.iter().filter(|rule| !evidence.is_same(rule)).count();
            let told = all.iter().filter(|rule| fresh == 0 || !evidence.is_same(rule));
            let mut rules: Vec<Arc<str>> = told.map(|rule| Arc::clone(rule)).collect();
            if rules.is_empty() {
                rules.push(word.into());
            }
            Some(Judged::refused(rules))
        };
        let resettled = self.rules.resettled.contains(&place.resource.name);
        if let (true, Some(word)) = (resettled, asking.recalled.refused) {
            return Some(Judged::refused(vec![word.into()]));
        }
        let then = &asking.then;
        if !then.is_apart {
            // It was let through: only other masks would refuse it.
            return match asking.recalled.exposed {
                Exposed::Yes(word) if !evidence.masks_are_same() => by_masks(word),
                _ => None,
            };
        }
        let reason = then.reason.as_deref().unwrap_or("refused");
        let stays = || Some(Judged::refused(vec![reason.into()]));
        let settings = ["server_access", "other_backends", "role_change"];
        let Some(why) = protocols::refused_by_masks(reason) else {
            // Of what depends on a resource's settings, those of now were asked above.
            return match resettled && settings.contains(&reason) {
                true => None,
                false => stays(),
            };
        };
        if evidence.masks_are_same() {
            return stays();
        }
        // Over HTTP types of values too are hidden only in what can be read.
        let hides = masks.has_fields() || place.block == self.rules.web && !masks.is_empty();
        match (asking.recalled.exposed, why) {
            (Exposed::Yes(word), _) => by_masks(word),
            (_, ByMasks::Unread) if hides => by_masks(reason),
            (Exposed::Unknown, ByMasks::Any) if masks.has_fields() => by_masks(reason),
            _ => None,
        }
    }

    /// Masks that may refuse it, where nobody can say.
    fn exposed(&self, asking: &Asking, evidence: &Evidence<'_>) -> Vec<Open> {
        let masks = asking.scope.masks();
        if asking.recalled.exposed != Exposed::Unknown
            || !masks.has_fields()
            || evidence.masks_are_same()
        {
            return Vec::new();
        }
        let mut fresh: Vec<&Arc<str>> = masks
            .rules()
            .filter(|rule| self.rules.field_masks.contains(&***rule) && !evidence.is_same(rule))
            .collect();
        let is_masked = |of: &RuleMatch| !of.observed && &*of.action == "mask";
        if asking.then.judged && asking.then.rules.iter().any(is_masked) {
            // It was traced then: what matters is whether it uses what is masked only now.
            fresh.retain(|rule| {
                asking.row.columns_read.iter().any(|name| {
                    let mut parts = name.splitn(3, '.');
                    match (parts.next(), parts.next(), parts.next()) {
                        (Some(schema), Some(table), Some(column)) => {
                            masks.rules_for_field(schema, table, column).any(|of| of == *rule)
                        }
                        _ => true,
                    }
                })
            });
        }
        fresh.dedup();
        let open = |rule: &Arc<str>| Open {
            rule: Arc::clone(rule),
            facts: vec!["whether the statement uses what is masked".to_owned()],
            fate: Fate::Refused,
            masks: false,
        };
        fresh.into_iter().map(open).collect()
    }

    fn ruled(&mut self, row: &Row) {
        let key = row.session.clone().zip(row.operation);
        let Some(key) = key else { return };
        let Some(asking) = self.operations.get_mut(&key) else { return };
        let then = &mut asking.then;
        // A part of its body was refused, which is told where the part is.
        if row.reason.as_deref() == Some(protocols::PART_REFUSED) {
            then.left_in_part = true;
            return;
        }
        then.rules.extend(row.rules.iter().cloned());
        then.rows = row.rows.unwrap_or(0).max(then.rows);
        let at_request = then.rows == 0 && then.waits && row.rules.is_empty();
        match row.decision.as_deref() {
            Some("hold") => {
                then.waits = true;
                then.fate = then.fate.max(Fate::Held);
            }
            Some("block") if then.waits => {
                then.waits = false;
                // It never ran.
                if at_request && let Some(asking) = self.operations.remove(&key) {
                    self.finish(asking, None);
                }
            }
            Some("block") => {
                then.fate = Fate::Refused;
                then.reason.clone_from(&row.reason);
                then.is_apart = !is_by_rules(row);
            }
            _ => then.waits = false,
        }
    }

    fn replied(&mut self, row: &Row) {
        let key = row.session.clone().zip(row.operation);
        let Some(mut asking) = key.and_then(|key| self.operations.remove(&key)) else { return };
        if asking.judged.is_open() && row.sent.is_some() {
            self.judge(&mut asking, row.sent);
        }
        self.finish(asking, Some(row));
    }

    /// Everything is read that there is of an operation.
    fn finish(&mut self, mut asking: Asking, reply: Option<&Row>) {
        let mut changes = Changes::default();
        if asking.judged.fates() != [Fate::Refused] {
            changes = self.judge_reply(&mut asking, reply);
        }
        let is_follower = asking.under.is_some_and(|under| {
            let told = asking.row.session.as_ref().and_then(|id| self.sessions.get(id));
            told.and_then(|told| told.gates.get(&under)).is_some_and(|gate| gate.is_refused)
        });
        self.count(&asking, reply);
        if asking.is_told {
            match is_follower && asking.then.fate != Fate::Refused {
                true => self.report.not_reached(),
                false => self.tell(&asking, changes),
            }
        }
    }

    fn judge_reply(&self, asking: &mut Asking, reply: Option<&Row>) -> Changes {
        let told = asking.row.session.as_ref().and_then(|id| self.sessions.get(id));
        let Some(told) = told else { return Changes::default() };
        let Some(place) = self.rules.places.get(&told.session.resource.name) else {
            return Changes::default();
        };
        let masks = asking.scope.masks();
        let is_web = place.block == self.rules.web;
        let already = asking.under.map_or(Some(0), |under| Some(told.gates.get(&under)?.rows));
        let facts = match reply {
            None => Reply::UNKNOWN,
            Some(row) => facts_of(row, &asking.then, already, is_web, masks.reads_replies()),
        };
        let is_large = matches!(
            &facts,
            Reply::Complete { bytes: (least, _), .. } if *least > self.rules.hold_buffer_bytes
        );
        let mut judged = std::mem::take(&mut asking.judged);
        let evidence = self.evidence(asking, reply);
        let known = Known {
            session: &told.session,
            block: place.block,
            values: &asking.recalled.values,
            reply: &facts,
            ledgers: &self.ledgers,
            now: Timestamp(reply.map_or(asking.row.time, |row| row.time)),
            as_recorded: true,
        };
        judge::reply(&mut judged, &asking.scope, &asking.asked, &known, is_large, &evidence);
        if asking.then.is_apart
            && let Some(refused) = self.apart(asking, place, &evidence)
        {
            // The protocol stopped its reply, and would again.
            judged = refused;
        }
        let mut changes = Changes::default();
        if let (Some(reply), Some(plan)) = (reply, judged.plan())
            && !evidence.masks_are_same()
        {
            let doubtful: Vec<Arc<str>> = judged
                .open
                .iter()
                .filter(|open| open.masks)
                .map(|open| Arc::clone(&open.rule))
                .collect();
            let today = self.rules.scope_today(&told.session.principal, place);
            let then = asking.then.rules.iter().filter(|of| !of.observed && &*of.action == "mask");
            let masks = Masks {
                plan,
                all: masks,
                besides: &judged.masks,
                doubtful: &doubtful,
                today: today.as_ref().map(|today| &**today.masks()),
                is_same: &|rule| evidence.is_same(rule),
                names_hidden_only: is_web,
                is_stored: &|position, label| is_stored(&asking.recalled, position, label),
                then: then.map(|of| Arc::clone(&of.rule)).collect(),
            };
            changes = masks.compare(reply);
        }
        // Whether it hides something was compared above.
        judged.open.retain(|open| open.fate > Fate::Passes);
        asking.judged = judged;
        changes
    }

    /// Counts what the operation used, as far as it would still have run.
    fn count(&mut self, asking: &Asking, reply: Option<&Row>) {
        let would_run = asking.judged.fates().iter().any(|fate| *fate != Fate::Refused);
        let operations = u64::from(asking.asked.stage != Stage::Part);
        let used = |row: &Row| (row.rows.unwrap_or(0), row.bytes.unwrap_or(0));
        let ran = reply.map(used).map(|(rows, bytes)| Usage { operations, rows, bytes });
        let ran = ran.filter(|used| {
            let withheld = reply.and_then(|row| row.outcome.as_deref()) == Some("withheld");
            !withheld || asking.then.left_in_part || (used.rows, used.bytes) != (0, 0)
        });
        let was_stopped = asking.then.fate == Fate::Refused;
        let done = match (ran, would_run) {
            (Some(used), true) => Bounds { recorded: used, most: used },
            // It did not run then, and would now.
            (None, true) if was_stopped => {
                let recorded = Usage { operations, rows: 0, bytes: 0 };
                let most = Usage { rows: u64::MAX, bytes: u64::MAX, ..recorded };
                Bounds { recorded, most }
            }
            _ => Bounds::default(),
        };
        let now = Timestamp(reply.map_or(asking.row.time, |row| row.time));
        let Some(told) = asking.row.session.as_ref().and_then(|id| self.sessions.get_mut(id))
        else {
            return;
        };
        let session = &mut told.session;
        self.ledgers.add(&session.principal.subject, &session.resource.name, done, now);
        let without_operations = |used: Usage| Usage { operations: 0, ..used };
        session.used.add(Bounds {
            recorded: without_operations(done.recorded),
            most: without_operations(done.most),
        });
        let number = asking.under.or(asking.row.operation);
        if let Some(gate) = number.and_then(|number| told.gates.get_mut(&number)) {
            gate.rows = gate.rows.saturating_add(ran.map_or(0, |used| used.rows));
            gate.satisfied.extend(asking.judged.rules(Fate::Held));
            gate.satisfied.sort_unstable();
            gate.satisfied.dedup();
        }
    }

    fn tell(&mut self, asking: &Asking, changes: Changes) {
        self.report.counts += u64::from(asking.judged.counts);
        let then = asking.then.fate;
        let headings: Vec<Option<Heading>> = {
            let fates = asking.judged.fates();
            let mut all: Vec<_> = fates.iter().map(|now| Heading::of(then, *now)).collect();
            all.dedup();
            all
        };
        let change = |heading, now: &'static str, rules: Vec<Arc<str>>, parts: Vec<String>| {
            Change { heading, of: operation(asking), now, rules, parts }
        };
        let [heading] = headings.as_slice() else {
            let mut open = asking.judged.open.clone();
            open.extend(asking.judged.branches.iter().filter_map(|branch| {
                let facts = vec![branch.supposes?.to_owned()];
                let rule = branch.rules.first().cloned()?;
                Some(Open { rule, facts, fate: branch.fate, masks: false })
            }));
            let fates = asking.judged.fates();
            let now = fates.iter().map(|fate| fate.word(asking.judged.is_masked)).collect();
            self.report.cannot_say(unclear(asking, now, open));
            return;
        };
        let mut told = Vec::new();
        let fate = asking.judged.fates().last().copied().unwrap_or(Fate::Passes);
        if let Some(heading) = heading {
            let rules = match heading {
                Heading::Released => asking.then.stoppers(),
                _ => asking.judged.rules(fate),
            };
            let now = fate.word(asking.judged.is_masked);
            told.push(change(*heading, now, rules, Vec::new()));
        }
        let Changes { hidden, mut shown, weaker, open } = changes;
        let less = if shown.is_empty() { "mask" } else { "clear" };
        shown.extend(weaker);
        for (heading, now, parts) in
            [(Heading::Masked, "mask", hidden), (Heading::Released, less, shown)]
        {
            if parts.is_empty() {
                continue;
            }
            let mut rules: Vec<Arc<str>> =
                parts.iter().flat_map(|part| part.rules.clone()).collect();
            rules.sort_unstable();
            rules.dedup();
            let parts = parts.into_iter().map(|part| part.what).collect();
            told.push(change(heading, now, rules, parts));
        }
        match (told.is_empty(), open.is_empty()) {
            (false, _) => self.report.changed(told),
            (true, false) => self.report.cannot_say(unclear(asking, Vec::new(), open)),
            (true, true) => self.report.unchanged(),
        }
    }
}

/// One operation.
const ONE: Bounds = {
    let one = Usage { operations: 1, rows: 0, bytes: 0 };
    Bounds { recorded: one, most: one }
};

impl Then {
    fn of(row: &Row) -> Self {
        let fate = match row.decision.as_deref() {
            Some("block") => Fate::Refused,
            Some("hold") => Fate::Held,
            _ => Fate::Passes,
        };
        let judged = fate != Fate::Refused
            || row.reason.is_none()
            || is_by_rules(row) && !row.rules.is_empty();
        Self {
            fate,
            waits: fate == Fate::Held,
            rules: row.rules.clone(),
            judged,
            is_apart: !judged,
            left_in_part: false,
            reason: row.reason.clone(),
            rows: 0,
        }
    }

    fn word(&self, row: &Row) -> &'static str {
        match (self.fate, row.decision.as_deref()) {
            (Fate::Refused, _) => "block",
            (Fate::Held, _) => "hold",
            (Fate::Passes, Some("mask")) => "mask",
            (Fate::Passes, _) => "allow",
        }
    }

    /// The rules that stopped it; the word for why where none did.
    fn stoppers(&self) -> Vec<Arc<str>> {
        let stops = |of: &&RuleMatch| {
            let stops = ["block", "limit", "approve"].contains(&&*of.action);
            !of.observed && stops
        };
        let mut rules: Vec<Arc<str>> =
            self.rules.iter().filter(stops).map(|of| Arc::clone(&of.rule)).collect();
        rules.sort_unstable();
        rules.dedup();
        if rules.is_empty() || self.is_apart {
            rules = self.reason.iter().cloned().collect();
        }
        rules
    }
}

/// Whether it was rules that refused an operation or its reply.
fn is_by_rules(row: &Row) -> bool {
    let by_rules = [
        reason::BLOCKED,
        reason::LIMIT,
        reason::RULE_ERROR,
        reason::UNSUPPORTED,
        reason::RESULT_UNKNOWN,
        reason::REPLY_TOO_LARGE,
    ];
    row.reason.as_deref().is_some_and(|reason| by_rules.contains(&reason))
}

fn unclear(asking: &Asking, now: Vec<&'static str>, open: Vec<Open>) -> Unclear {
    Unclear { of: operation(asking), now, open }
}

fn operation(asking: &Asking) -> Operation {
    Operation {
        at: asking.row.time,
        session: asking.row.session.clone().unwrap_or_default(),
        operation: asking.row.operation.unwrap_or(0),
        principal: asking.row.principal.clone().unwrap_or_default(),
        resource: asking.row.resource.clone().unwrap_or_default(),
        text: asking.row.text.clone(),
        then: asking.then.word(&asking.row),
    }
}

fn objects(row: &Row) -> Objects {
    Objects {
        verbs: row.verbs.clone(),
        reads: row.reads.clone(),
        writes: row.writes.clone(),
        columns: row.columns_read.clone(),
    }
}

/// What a recorded reply was.
fn facts_of(row: &Row, then: &Then, already: Option<u64>, is_web: bool, reads: bool) -> Reply {
    let outcome = row.outcome.as_deref().unwrap_or_default();
    let is_whole = matches!(outcome, "done" | "error" | "skipped");
    let (rows, bytes) = (row.rows.unwrap_or(0), row.bytes.unwrap_or(0));
    let before = already.unwrap_or(0);
    let least = before.saturating_add(rows).max(then.rows);
    let most = if is_whole && already.is_some() { least } else { u64::MAX };
    let rows = if is_web { (0, 0) } else { (least, most) };
    let bytes = (bytes, if is_whole { bytes } else { u64::MAX });
    let columns = match (is_web, reads) {
        // Which fields are named depends on what is hidden.
        (true, true) => None,
        (true, false) => Some(Value::TextList(Arc::new([]))),
        (false, _) => is_whole.then(|| names(row)),
    };
    let detections = (is_whole && row.searched.len() >= DetectionType::ALL.len())
        .then(|| Value::TextList(row.detections.iter().map(|of| Arc::clone(&of.kind)).collect()));
    Reply::Complete { rows, bytes, columns, detections }
}

/// Whether a column of a reply is a stored one itself, as far as its statement tells.
fn is_stored(recalled: &Recalled, position: u64, label: &str) -> Option<bool> {
    let columns = recalled.columns.as_ref()?;
    if columns.iter().all(|of| of.is_stored) {
        return Some(true);
    }
    let at = usize::try_from(position).ok()?.checked_sub(1)?;
    // `*` stands for columns that the record does not have, too.
    let column = columns.get(at).filter(|of| of.label.as_deref() == Some(label));
    column.map(|of| of.is_stored)
}

/// Labels, then origins, as rules see them.
fn names(row: &Row) -> Value {
    let columns = || row.columns.chunk_by(|a, b| a.position == b.position);
    let labels = columns().filter_map(|of| Some(Arc::clone(&of.first()?.label)));
    let origins = row.columns.iter().filter_map(|of| of.origin().map(Into::into));
    Value::TextList(labels.chain(origins).collect())
}

#[cfg(test)]
mod tests;
