//! From the working form of the configuration to a policy; every problem is found in one run.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use detect::DetectionType;
use model::{Phase, PrincipalKind};

use crate::access::Access;
use crate::calendar::show_duration;
use crate::capability::Capabilities;
use crate::check::{self, FactTable, Names};
use crate::hours::{self, Schedule, Window};
use crate::keep::PayloadPolicy;
use crate::mask::{FieldPattern, MaskKind, MaskRule, Predicates};
use crate::nearest::hint;
use crate::permit::Need;
use crate::policy::PolicySet;
use crate::rule::{Action, Limit, Parties, Places, Rule};
use crate::schema::{BlockId, Schema};
use crate::spec::{
    AccessSpec, ActionSpec, Applies, ApproveSpec, ClassifySpec, EXPIRES_DEFAULT, EscalateSpec,
    LimitSpec, Located, Location, MaskSpec, PolicySpec, Problem, RecordSpec, RuleSpec,
    WAIT_DEFAULT, WINDOW_DEFAULT,
};
use crate::template::{Part, Piece, Template, split};

/// Longest message of a rule, bytes.
const MESSAGE_BYTES_MAX: usize = 1000;

/// Compiles a policy. `protocols` names each resource type with its facts and what it can do.
///
/// # Errors
///
/// Every problem of the configuration, in its order.
pub fn compile(
    spec: PolicySpec,
    schema: &Schema,
    protocols: &[(&'static str, BlockId, Capabilities)],
) -> Result<PolicySet, Vec<Problem>> {
    let PolicySpec { version, rules, access, lists, resources } = spec;
    let lists = lists
        .into_iter()
        .map(|(name, items)| (name, items.into_iter().map(Into::into).collect()))
        .collect();
    let known = Known {
        names: Names { schema, lists: &lists },
        protocols,
        resources: resources.iter().map(|r| (&*r.name, &*r.kind)).collect(),
    };
    let mut problems = Vec::new();
    let mut names: BTreeMap<&str, &Location> = BTreeMap::new();
    for rule in &rules {
        let name = &rule.name;
        if name.value.trim().is_empty() {
            problems.push(Problem::new(&name.at, "a rule has an empty name").help("give it one"));
        } else if let Some(first) = names.insert(&name.value, &name.at) {
            let message = format!("there are two rules named \"{}\"", name.value);
            problems.push(Problem::new(&name.at, message).help(format!("the first is at {first}")));
        }
    }
    let access: Vec<_> =
        access.iter().filter_map(|line| known.access(line, &mut problems)).collect();
    let rules: Vec<_> =
        rules.iter().filter_map(|rule| known.rule(rule, &mut problems)).map(Arc::new).collect();
    if !problems.is_empty() {
        return Err(problems);
    }
    let capabilities = protocols.iter().map(|(_, block, can)| (*block, *can)).collect();
    let carries = |name| schema.lookup(name).is_some_and(|(_, fact)| fact.carries);
    let follows = rules.iter().any(|rule| rule.facts.iter().any(|fact| carries(fact.name)));
    Ok(PolicySet::new(version, rules, access, capabilities, follows))
}

type Protocol = (&'static str, BlockId, Capabilities);

/// What a configuration can refer to.
struct Known<'a> {
    names: Names<'a>,
    protocols: &'a [Protocol],
    /// Type of each resource by name.
    resources: BTreeMap<&'a str, &'a str>,
}

impl Known<'_> {
    fn access(&self, line: &AccessSpec, problems: &mut Vec<Problem>) -> Option<Access> {
        if line.groups.is_empty() && line.subjects.is_empty() {
            let problem = Problem::new(&line.at, "this line of access names nobody");
            problems.push(problem.help("add groups or subjects; subjects: [\"*\"] is everyone"));
        }
        if line.resources.is_empty() {
            let problem = Problem::new(&line.at, "this line of access names no resource");
            problems.push(problem.help("add resources: names, \"type:x\", or \"*\" for all"));
        }
        let schedule = schedule(line, problems);
        let (places, _) = self.places(&line.resources, problems)?;
        Some(Access {
            groups: texts(&line.groups),
            subjects: texts(&line.subjects),
            places,
            schedule: schedule?,
            hours: texts(&line.hours),
            at: line.at.clone(),
        })
    }

    fn rule(&self, spec: &RuleSpec, problems: &mut Vec<Problem>) -> Option<Rule> {
        let before = problems.len();
        let mut facts = FactTable::default();
        let applies = parties(&spec.applies, problems);
        let places = self.places(&spec.on, problems);
        let when =
            spec.when.as_ref().map(|when| check::condition(when, self.names, &mut facts, problems));
        let phase = facts.phase.unwrap_or(Phase::Request);
        let action = self.action(spec, &mut facts, problems);
        if spec.window == Some(Duration::ZERO) {
            let problem = Problem::new(&spec.at, "the window is zero");
            problems.push(problem.help("write for example window: 1h"));
        }
        if phase == Phase::Reply
            && let (
                ActionSpec::Mask(_) | ActionSpec::Classify(_) | ActionSpec::Record(_),
                Some(when),
            ) = (&spec.action, &spec.when)
        {
            let message = format!(
                "a {} rule must be decided before the reply comes, and this condition reads facts \
                 of the reply",
                spec.action.word()
            );
            problems.push(Problem::new(&when.at, message).help("use facts of the request only"));
        }
        let (on, protocols) = places?;
        let rule = Rule {
            name: spec.name.value.as_str().into(),
            word: spec.action.word().into(),
            applies: applies?,
            on,
            text: spec.when.as_ref().map(|when| when.value.as_str().into()),
            when: match when {
                Some(None) => return None,
                Some(Some(when)) => Some(when),
                None => None,
            },
            action: action?,
            observe: spec.observe,
            window: spec.window.unwrap_or(WINDOW_DEFAULT),
            facts: facts.uses.into(),
            phase,
        };
        if problems.len() == before {
            self.honoured(spec, &rule, &protocols, problems);
        }
        Some(rule)
    }

    /// A rule must be of use somewhere: a protocol has its facts and can do what it asks.
    fn honoured(
        &self,
        spec: &RuleSpec,
        rule: &Rule,
        protocols: &[&Protocol],
        problems: &mut Vec<Problem>,
    ) {
        if protocols.is_empty() {
            return;
        }
        let has_all = |block| rule.facts.iter().all(|f| !f.decides || f.within(block).is_some());
        let able: Vec<_> = protocols.iter().filter(|(_, block, _)| has_all(*block)).collect();
        let types = |protocols: &[&&Protocol]| {
            protocols.iter().map(|(name, ..)| *name).collect::<Vec<_>>().join(", ")
        };
        let at = spec.when.as_ref().map_or(&spec.at, |when| &when.at);
        if able.is_empty() {
            let lacks = |(name, block, _): &&&Protocol| {
                let fact = rule.facts.iter().find(|f| f.decides && f.within(*block).is_none())?;
                Some(format!("{name} has no {}", fact.name))
            };
            let lacks: Vec<_> =
                protocols.iter().collect::<Vec<_>>().iter().filter_map(lacks).collect();
            let message = format!("rule \"{}\" can never apply: {}", rule.name, lacks.join(", "));
            let help = "name other resources in `on`, or use facts that they have";
            problems.push(Problem::new(at, message).help(help));
        } else if !able.iter().any(|(.., can)| rule.is_honoured(*can)) {
            let late = rule.phase == Phase::Reply;
            let what = match &rule.action {
                Action::Mask(_) => "mask replies",
                Action::Classify(_) => "follow what replies hold",
                Action::Approve(_) if !late => "hold operations",
                _ => "withhold a reply until it is judged",
            };
            let able: Vec<&&Protocol> = able.into_iter().collect();
            let message =
                format!("rule \"{}\" asks to {what}, which {} cannot do", rule.name, types(&able));
            problems
                .push(Problem::new(&spec.at, message).help("use another action, or another `on`"));
        }
    }

    /// The places of `on:` or `resources:`, and the protocols spoken there; empty means everywhere.
    fn places(
        &self,
        on: &[Located<String>],
        problems: &mut Vec<Problem>,
    ) -> Option<(Places, Vec<&Protocol>)> {
        let before = problems.len();
        let mut places = Places { everywhere: on.is_empty(), ..Places::default() };
        let (mut names, mut types): (Vec<Arc<str>>, Vec<Arc<str>>) = Default::default();
        for wanted in on {
            let word = wanted.value.as_str();
            if word == "*" {
                places.everywhere = true;
            } else if let Some(kind) = word.strip_prefix("type:") {
                match self.protocol(kind) {
                    Some(_) => types.push(kind.into()),
                    None => problems.push(self.unknown_type(wanted, kind)),
                }
            } else if self.resources.contains_key(word) {
                names.push(word.into());
            } else {
                problems.push(self.unknown_resource(wanted));
            }
        }
        if problems.len() > before {
            return None;
        }
        let spoken = |kind: &str| {
            places.everywhere
                || types.iter().any(|t| **t == *kind)
                || names.iter().any(|name| self.resources.get(&**name) == Some(&kind))
        };
        let protocols = self.protocols.iter().filter(|(kind, ..)| spoken(kind)).collect();
        places.names = names.into();
        places.types = types.into();
        Some((places, protocols))
    }

    fn protocol(&self, kind: &str) -> Option<&Protocol> {
        self.protocols.iter().find(|(name, ..)| *name == kind)
    }

    fn unknown_type(&self, wanted: &Located<String>, kind: &str) -> Problem {
        let types = || self.protocols.iter().map(|(name, ..)| *name);
        let help = hint(kind, types())
            .unwrap_or_else(|| format!("there are: {}", types().collect::<Vec<_>>().join(", ")));
        Problem::new(&wanted.at, format!("there is no resource type \"{kind}\"")).help(help)
    }

    fn unknown_resource(&self, wanted: &Located<String>) -> Problem {
        let word = wanted.value.as_str();
        let help = if self.protocol(word).is_some() {
            format!("write \"type:{word}\" for all of that type")
        } else {
            hint(word, self.resources.keys().copied())
                .unwrap_or_else(|| "write the name of a resource, or \"type:x\"".to_owned())
        };
        Problem::new(&wanted.at, format!("there is no resource \"{word}\"")).help(help)
    }

    fn action(
        &self,
        spec: &RuleSpec,
        facts: &mut FactTable,
        problems: &mut Vec<Problem>,
    ) -> Option<Action> {
        match &spec.action {
            ActionSpec::Mask(mask) => mask_rule(spec, mask, problems).map(Action::Mask),
            ActionSpec::Approve(approve) => need(spec, approve, problems).map(Action::Approve),
            ActionSpec::Block(message) => {
                let template = self.template(message, Phase::Request, facts, problems)?;
                let empty = message.value.trim().is_empty();
                let default = || Part::Words(format!("refused by rule \"{}\"", spec.name.value));
                Some(Action::Block(if empty {
                    Template { parts: vec![default()] }
                } else {
                    template
                }))
            }
            ActionSpec::Alert(message) => {
                self.template(message, Phase::Reply, facts, problems).map(Action::Alert)
            }
            ActionSpec::Limit(limit) => limits(spec, limit, problems).map(Action::Limit),
            ActionSpec::Classify(classify) => {
                classify_rule(spec, classify, problems).map(Action::Classify)
            }
            ActionSpec::Record(record) => kept(spec, *record, problems).map(Action::Record),
        }
    }

    /// A message; its facts must be known by the phase in which it is used, since what a client
    /// reads may only hold what that client sent.
    fn template(
        &self,
        message: &Located<String>,
        latest: Phase,
        facts: &mut FactTable,
        problems: &mut Vec<Problem>,
    ) -> Option<Template> {
        if message.value.len() > MESSAGE_BYTES_MAX {
            let found = message.value.len();
            let words = format!("the message has {found} bytes, {MESSAGE_BYTES_MAX} are allowed");
            problems.push(Problem::new(&message.at, words).help("write a shorter one"));
            return None;
        }
        let pieces = match split(&message.value) {
            Ok(pieces) => pieces,
            Err((at, what)) => {
                let help = "write {{ and }} for braces themselves";
                problems.push(Problem::new(&inside(message, at), what).help(help));
                return None;
            }
        };
        let mut parts = Vec::new();
        let mut bad = false;
        for piece in pieces {
            match piece {
                Piece::Words(words) => parts.push(Part::Words(words)),
                Piece::Name { name, at } => match self.named(&name, latest) {
                    Ok(fact) => {
                        let local = facts.number(self.names.schema, fact, false);
                        parts.push(Part::Fact(local));
                    }
                    Err((what, help)) => {
                        problems.push(Problem::new(&inside(message, at), what).help(help));
                        bad = true;
                    }
                },
            }
        }
        (!bad).then_some(Template { parts })
    }

    fn named(&self, name: &str, latest: Phase) -> Result<&'static str, (String, String)> {
        let schema = self.names.schema;
        let Some((_, fact)) = schema.lookup(name) else {
            let help = hint(name, schema.names())
                .unwrap_or_else(|| "write the name of a fact between the braces".to_owned());
            return Err((format!("there is no fact \"{name}\""), help));
        };
        if fact.phase > latest {
            let what = format!("{name} belongs to the reply and is not shown to clients");
            return Err((what, "use facts of the request only".to_owned()));
        }
        Ok(fact.name)
    }
}

/// The place of a character of a text.
fn inside(text: &Located<String>, chars: usize) -> Location {
    let mut at = text.at.clone();
    for c in text.value.chars().take(chars) {
        if c == '\n' {
            at.line = at.line.saturating_add(1);
            at.column = text.at.column;
        } else {
            at.column = at.column.saturating_add(1);
        }
    }
    at
}

/// When a line grants what it grants.
fn schedule(line: &AccessSpec, problems: &mut Vec<Problem>) -> Option<Schedule> {
    let before = problems.len();
    let mut windows = Vec::new();
    for text in &line.hours {
        match Window::parse(&text.value) {
            Ok(window) => windows.push(window),
            Err(hours::Mistake { at, what, help }) => {
                let problem = Problem::new(&inside(text, at), format!("hours: {what}"));
                problems.push(problem.help(help));
            }
        }
    }
    let until = line.until.as_ref().and_then(|text| {
        let end = hours::end(&text.value, line.zone.as_ref());
        if end.is_none() {
            let message = format!("until: \"{}\" is no date and no time", text.value);
            let help = "write a date, 2026-12-31 (to its end), or a time, 2026-12-31T18:00";
            problems.push(Problem::new(&text.at, message).help(help));
        }
        end
    });
    let schedule = Schedule { windows: windows.into(), zone: line.zone.clone(), until };
    (problems.len() == before).then_some(schedule)
}

fn texts(located: &[Located<String>]) -> Box<[Arc<str>]> {
    located.iter().map(|item| item.value.as_str().into()).collect()
}

fn parties(applies: &Applies, problems: &mut Vec<Problem>) -> Option<Parties> {
    const KINDS: [PrincipalKind; 3] =
        [PrincipalKind::Agent, PrincipalKind::Person, PrincipalKind::Service];
    let mut kinds = Vec::new();
    let mut bad = false;
    for wanted in &applies.kinds {
        match KINDS.into_iter().find(|kind| kind.as_str() == wanted.value) {
            Some(kind) => kinds.push(kind),
            None => {
                let message = format!("\"{}\" is not a kind of principal", wanted.value);
                let help = "there are: agent, person, service";
                problems.push(Problem::new(&wanted.at, message).help(help));
                bad = true;
            }
        }
    }
    (!bad).then(|| Parties {
        groups: texts(&applies.groups),
        subjects: texts(&applies.subjects),
        kinds: kinds.into(),
    })
}

fn mask_rule(
    rule: &RuleSpec,
    spec: &MaskSpec,
    problems: &mut Vec<Problem>,
) -> Option<Arc<MaskRule>> {
    let before = problems.len();
    if spec.fields.is_empty() && spec.types.is_empty() {
        let problem = Problem::new(&rule.at, "this mask hides nothing");
        problems.push(problem.help("add fields: [name] or types: [CREDIT_CARD]"));
    }
    let (fields, types) = (field_patterns(&spec.fields, problems), types(&spec.types, problems));
    let kind = match &spec.with {
        None => MaskKind::Redact,
        Some(word) => mask_kind(word, problems).unwrap_or(MaskKind::Redact),
    };
    let predicates = spec.predicates.as_ref().and_then(|word| {
        let choice: Option<Predicates> = word.value.parse().ok();
        if choice.is_none() {
            let message = format!("\"{}\" is not a choice for predicates", word.value);
            let help = "there are: refuse, equality, allow";
            problems.push(Problem::new(&word.at, message).help(help));
        }
        choice
    });
    let name = rule.name.value.as_str().into();
    let made = MaskRule { name, hides: true, kind, fields, types, predicates };
    (problems.len() == before).then(|| Arc::new(made))
}

fn classify_rule(
    rule: &RuleSpec,
    spec: &ClassifySpec,
    problems: &mut Vec<Problem>,
) -> Option<Arc<MaskRule>> {
    let before = problems.len();
    if spec.fields.is_empty() && spec.types.is_empty() {
        let problem = Problem::new(&rule.at, "this rule classifies nothing");
        problems.push(problem.help("add fields: [name] or types: [CREDIT_CARD]"));
    }
    let (fields, types) = (field_patterns(&spec.fields, problems), types(&spec.types, problems));
    let (name, kind) = (rule.name.value.as_str().into(), MaskKind::Redact);
    let made = MaskRule { name, hides: false, kind, fields, types, predicates: None };
    (problems.len() == before).then(|| Arc::new(made))
}

fn kept(rule: &RuleSpec, spec: RecordSpec, problems: &mut Vec<Problem>) -> Option<PayloadPolicy> {
    if spec.payload.is_none() {
        let problem = Problem::new(&rule.at, "this rule does not say what to record");
        problems.push(problem.help("add payload: none, payload: full or payload: { head: 4KiB }"));
    }
    spec.payload
}

fn field_patterns(fields: &[Located<String>], problems: &mut Vec<Problem>) -> Box<[FieldPattern]> {
    for field in fields {
        if field.value.trim().is_empty() || field.value.split('.').any(str::is_empty) {
            let message = format!("\"{}\" is not the name of a field", field.value);
            let help = "write column, table.column or schema.table.column; * stands for anything";
            problems.push(Problem::new(&field.at, message).help(help));
        }
    }
    fields.iter().map(|field| FieldPattern::new(&field.value)).collect()
}

fn types(words: &[Located<String>], problems: &mut Vec<Problem>) -> Box<[DetectionType]> {
    let mut types = Vec::new();
    for wanted in words {
        match DetectionType::from_name(&wanted.value) {
            Some(found) => types.push(found),
            None => {
                let names = || DetectionType::ALL.into_iter().map(DetectionType::name);
                let help = hint(&wanted.value, names()).unwrap_or_else(|| {
                    format!("there are: {}", names().collect::<Vec<_>>().join(", "))
                });
                let message = format!("\"{}\" is not a detection type", wanted.value);
                problems.push(Problem::new(&wanted.at, message).help(help));
            }
        }
    }
    types.into()
}

fn mask_kind(word: &Located<String>, problems: &mut Vec<Problem>) -> Option<MaskKind> {
    match word.value.parse() {
        Ok(MaskKind::Tokenize) => {
            problems.push(Problem::new(&word.at, "tokenize is not available yet").help("use hash"));
            None
        }
        Ok(kind) => Some(kind),
        Err(()) => {
            let words = || MaskKind::ALL.into_iter().map(MaskKind::as_str);
            let help = hint(&word.value, words())
                .unwrap_or_else(|| "there are: redact, partial, hash, null".to_owned());
            let message = format!("\"{}\" is not a way to mask", word.value);
            problems.push(Problem::new(&word.at, message).help(help));
            None
        }
    }
}

fn need(rule: &RuleSpec, spec: &ApproveSpec, problems: &mut Vec<Problem>) -> Option<Need> {
    let before = problems.len();
    let mut problem = |message: &str, help: &str| {
        problems.push(Problem::new(&rule.at, message).help(help));
    };
    let wait = spec.wait.unwrap_or(WAIT_DEFAULT);
    let expires = spec.expires.unwrap_or_else(|| EXPIRES_DEFAULT.max(wait));
    if spec.by.is_empty() {
        problem("nobody can approve this", "add by: [group] with those who may");
    }
    if spec.needs == Some(0) {
        problem("needs: 0 asks nobody", "write needs: 1, or leave the rule out");
    }
    if expires.is_zero() || expires < wait {
        let help = "make expires at least as long as wait";
        problem("the request expires before the client stops waiting", help);
    }
    if spec.grant == Some(crate::spec::Grant::For(Duration::ZERO)) {
        problem("the grant lasts no time", "write grant: once, session, or for example 30m");
    }
    let escalate = spec.escalate.as_ref().and_then(|more| escalation(more, expires, problems));
    (problems.len() == before).then(|| Need {
        rule: rule.name.value.as_str().into(),
        by: spec.by.iter().map(|group| group.value.as_str().into()).collect(),
        needs: spec.needs.unwrap_or(1),
        wait: spec.wait,
        expires,
        grant: spec.grant.unwrap_or_default(),
        rows_max: spec.rows_max,
        escalate,
    })
}

/// Who else may answer, and after which time.
fn escalation(
    spec: &EscalateSpec,
    expires: Duration,
    problems: &mut Vec<Problem>,
) -> Option<(Duration, Arc<[Arc<str>]>)> {
    let before = problems.len();
    let mut problem = |message: String, help: &str| {
        problems.push(Problem::new(&spec.at, message).help(help));
    };
    let example = "write escalate: { after: 5m, to: [managers] }";
    if spec.to.is_empty() {
        problem("escalate names nobody to go to".to_owned(), example);
    }
    match spec.after {
        None => problem("escalate does not say after which time".to_owned(), example),
        Some(after) if after >= expires => {
            let expires = show_duration(expires.as_nanos());
            let message = format!("escalate: the request expires (after {expires}) before that");
            problem(message, "make after shorter than expires");
        }
        Some(_) => {}
    }
    let to = spec.to.iter().map(|group| group.value.as_str().into()).collect();
    spec.after.filter(|_| problems.len() == before).map(|after| (after, to))
}

fn limits(rule: &RuleSpec, spec: &LimitSpec, problems: &mut Vec<Problem>) -> Option<Limit> {
    let window = spec.window.or(rule.window).unwrap_or(WINDOW_DEFAULT);
    if spec.operations.is_none() && spec.rows.is_none() && spec.bytes.is_none() {
        let problem = Problem::new(&rule.at, "this limit limits nothing");
        problems.push(problem.help("add operations, rows or bytes"));
        return None;
    }
    if window.is_zero() {
        let problem = Problem::new(&rule.at, "the window of this limit is zero");
        problems.push(problem.help("write for example window: 1h"));
        return None;
    }
    let LimitSpec { operations, rows, bytes, per, .. } = *spec;
    Some(Limit { operations, rows, bytes, per, window })
}
