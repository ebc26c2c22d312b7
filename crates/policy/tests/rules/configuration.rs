//! What is wrong with a configuration, who is let in, and which rules concern whom.

use std::time::Duration;

use model::{PrincipalKind, Timestamp};
use policy::{
    AccessSpec, ActionSpec, Admission, Applies, ApproveSpec, BlockId, Capabilities, ClassifySpec,
    Grant, LimitSpec, Located, MaskSpec, PayloadPolicy, PolicySet, Problem, RecordSpec, RuleState,
    TemporaryAccess, compile,
};

use crate::common::*;

/// 2026-11-30T12:00:00Z, a Monday.
const NOON: Timestamp = Timestamp(1_796_040_000_000_000_000);
/// Nanoseconds.
const HOUR: u64 = 3_600_000_000_000;

fn problems(rules: Vec<policy::RuleSpec>) -> Vec<Problem> {
    try_compile(rules).err().unwrap_or_default()
}

#[track_caller]
fn assert_problem(rule: policy::RuleSpec, message: &str, help: &str) {
    let found = problems(vec![rule]);
    let [problem] = found.as_slice() else { panic!("{found:?}") };
    assert!(problem.message.contains(message), "{problem}");
    assert!(problem.help.as_deref().unwrap_or_default().contains(help), "{problem}");
}

#[test]
fn every_action_is_checked() {
    let bad_mask = |spec: MaskSpec| rule("r", "", ActionSpec::Mask(spec));
    let fields = || many(&["ssn"]);
    let empty = MaskSpec::default;
    assert_problem(bad_mask(empty()), "hides nothing", "fields");
    assert_problem(bad_mask(MaskSpec { fields: many(&["a..b"]), ..empty() }), "not the name", "*");
    let with = |word| bad_mask(MaskSpec { fields: fields(), with: Some(put(word)), ..empty() });
    assert_problem(with("tokenize"), "tokenize is not available yet", "use hash");
    assert_problem(with("redct"), "not a way to mask", "redact");
    assert_problem(with("remove everything"), "not a way to mask", "there are: redact, partial");
    let types = |word| bad_mask(MaskSpec { types: many(&[word]), ..empty() });
    assert_problem(types("CREDIT_CRAD"), "not a detection type", "CREDIT_CARD");
    assert_problem(types("elephant"), "not a detection type", "there are: CREDIT_CARD");
    let predicates = Some(put("maybe"));
    assert_problem(
        bad_mask(MaskSpec { fields: fields(), predicates, ..empty() }),
        "not a choice",
        "refuse, equality, allow",
    );
    let ask = |spec| rule("r", "", ActionSpec::Approve(spec));
    let by = || ApproveSpec { by: many(&["dba"]), ..ApproveSpec::default() };
    assert_problem(ask(ApproveSpec::default()), "nobody can approve", "by:");
    assert_problem(ask(ApproveSpec { needs: Some(0), ..by() }), "asks nobody", "needs: 1");
    let (wait, expires) = (Some(Duration::from_secs(60)), Some(Duration::from_secs(59)));
    assert_problem(ask(ApproveSpec { wait, expires, ..by() }), "expires before", "as long as");
    let grant = Some(Grant::For(Duration::ZERO));
    assert_problem(ask(ApproveSpec { grant, ..by() }), "lasts no time", "30m");
    let limits = |spec| rule("r", "", ActionSpec::Limit(spec));
    assert_problem(limits(LimitSpec::default()), "limits nothing", "operations");
    let (rows, window) = (Some(3), Some(Duration::ZERO));
    assert_problem(limits(LimitSpec { rows, window, ..LimitSpec::default() }), "zero", "1h");
    let classify = ActionSpec::Classify(ClassifySpec::default());
    assert_problem(rule("r", "", classify), "classifies nothing", "fields: [name]");
    let record = ActionSpec::Record(RecordSpec::default());
    assert_problem(rule("r", "", record), "does not say what to record", "payload: none");
}

#[test]
fn messages_are_checked() {
    let says = |message: &str| rule("r", "", block(message));
    assert_problem(says("{sql.txet}"), "there is no fact \"sql.txet\"", "sql.text");
    assert_problem(says("{result.rows}"), "belongs to the reply", "request");
    assert_problem(says("a { b"), "never closed", "{{");
    assert_problem(says("a } b"), "closes nothing", "{{");
    assert_problem(says(&"x".repeat(1001)), "1000 are allowed", "shorter");
    let found = problems(vec![says("ab {x}")]);
    assert_eq!((found[0].at.line, found[0].at.column), (1, 5));
    assert!(problems(vec![rule("r", "", alert("{result.rows}"))]).is_empty());
}

#[test]
fn an_empty_message_says_the_rule() {
    let refused = refusal(decide(&scope(vec![rule("r", "", block(" "))]), &select()));
    assert_eq!(refused.message().as_str(), "refused by rule \"r\"");
}

#[test]
fn places_and_parties_are_checked() {
    let placed = |place: &str| on(&[place], rule("r", "", block("no")));
    assert_problem(placed("apdb"), "there is no resource \"apdb\"", "appdb");
    assert_problem(placed("sql"), "there is no resource \"sql\"", "type:sql");
    assert_problem(placed("type:sqll"), "no resource type \"sqll\"", "sql");
    assert_problem(placed("type:elephants"), "no resource type", "there are: sql, web");
    let mut kinds = rule("r", "", block("no"));
    kinds.applies.kinds = many(&["robot"]);
    assert_problem(kinds, "\"robot\" is not a kind", "agent, person, service");
    let mut window = rule("r", "", block("no"));
    window.window = Some(Duration::ZERO);
    assert_problem(window, "window is zero", "1h");
}

#[test]
fn names_are_given_and_given_once() {
    assert_problem(rule(" ", "", block("no")), "empty name", "give it one");
    let mut second = rule("twice", "", block("no"));
    second.name = Located::new("twice".to_owned(), at(9));
    let found = problems(vec![rule("twice", "", block("no")), second]);
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].at.line, 9);
    assert_eq!(found[0].help.as_deref(), Some("the first is at narrows.yaml:1:1"));
}

#[test]
fn a_mask_cannot_depend_on_the_reply() {
    let masks = rule("r", "result.rows > 1", mask(&["ssn"], "null"));
    assert_problem(masks, "must be decided before", "request");
}

#[test]
fn what_is_recorded_cannot_depend_on_the_reply() {
    let records = rule("r", "result.rows > 1", record(PayloadPolicy::None));
    assert_problem(records, "a record rule must be decided before", "request");
}

#[test]
fn ten_mistakes_are_ten_problems_in_one_run() {
    let mut spec = spec(vec![
        rule("a", "sql.verbz == 'x'", block("{nope}")),
        rule("a", "sql.verbs == 'x'", mask(&[], "what")),
        on(&["nowhere", "type:nothing"], rule("b", "", approve(&[]))),
        rule("c", "host_in(http.host, lists.partner)", limit(1)),
    ]);
    spec.access.push(AccessSpec { resources: many(&["appdbb"]), ..AccessSpec::default() });
    let protocols = [("sql", SQL_BLOCK, ALL), ("web", WEB_BLOCK, ALL)];
    let found = compile(spec, &schema(), &protocols).unwrap_err();
    let shown: Vec<String> = found.iter().map(ToString::to_string).collect();
    assert_eq!(shown.len(), 12, "{}", shown.join("\n"));
    assert!(shown.iter().all(|line| line.contains(": ") && line.ends_with(')')), "{shown:?}");
}

#[test]
fn a_rule_that_no_protocol_can_honour_is_a_problem() {
    let none = Capabilities::default();
    let compiled = |rule, can| {
        compile(spec(vec![rule]), &schema(), &[("sql", SQL_BLOCK, can), ("web", WEB_BLOCK, none)])
    };
    let late = "result.rows > 1";
    for (when, action, can, what) in [
        ("", mask(&["ssn"], "null"), none, "mask replies"),
        ("", approve(&["dba"]), none, "hold operations"),
        (late, approve(&["dba"]), Capabilities { holds: true, ..none }, "withhold a reply"),
        (late, block("no"), none, "withhold a reply"),
        (late, limit(1), none, "withhold a reply"),
    ] {
        for places in [&["type:sql"][..], &["appdb"], &[]] {
            let written = on(places, rule("r", when, action.clone()));
            let found = compiled(written.clone(), can).unwrap_err();
            assert!(found[0].message.contains(what), "{}", found[0]);
            assert!(compiled(written, ALL).is_ok());
        }
    }
    assert!(compiled(rule("r", late, alert("x")), none).is_ok());
    assert!(compiled(rule("r", "", block("no")), none).is_ok());
}

#[test]
fn p2_a_protocol_that_cannot_honour_a_matching_rule_refuses() {
    let none = Capabilities::default();
    let protocols = [("sql", SQL_BLOCK, none), ("web", WEB_BLOCK, ALL)];
    let late = "result.rows > 1";
    for (when, action) in [
        ("", mask(&["ssn"], "null")),
        ("", approve(&["dba"])),
        (late, approve(&["dba"])),
        (late, block("no")),
    ] {
        let policy = compile(spec(vec![rule("r", when, action)]), &schema(), &protocols).unwrap();
        let scope = policy.scope(&agent(), &appdb(), SQL_BLOCK);
        assert_eq!(word(&decide(&scope, &select())), "unsupported");
    }
}

#[test]
fn a_rule_whose_facts_no_protocol_has_is_a_problem() {
    let written = on(&["appdb"], rule("r", "http.method == 'GET'", block("no")));
    assert_problem(written, "can never apply: sql has no http.method", "on");
    let written = rule("r", "http.method == sql.verb", block("no"));
    assert_problem(written, "can never apply: sql has no http.method, web has no sql.verb", "on");
}

#[test]
fn access_is_what_a_line_grants() {
    let line = |groups: &[&str], subjects: &[&str], resources: &[&str]| AccessSpec {
        groups: many(groups),
        subjects: many(subjects),
        resources: many(resources),
        at: at(1),
        ..AccessSpec::default()
    };
    let admits = |lines: Vec<AccessSpec>, principal: &model::Principal| {
        let spec = policy::PolicySpec { access: lines, ..spec(Vec::new()) };
        let protocols = [("sql", SQL_BLOCK, ALL), ("web", WEB_BLOCK, ALL)];
        compile(spec, &schema(), &protocols).unwrap().admits(principal, &appdb(), NOON)
    };
    for (granted, expected) in [
        (line(&["agents"], &[], &["appdb"]), true),
        (line(&["agents"], &[], &["internet"]), false),
        (line(&["agents"], &[], &["type:sql"]), true),
        (line(&["agents"], &[], &["type:web"]), false),
        (line(&["agents"], &[], &["*"]), true),
        (line(&["people"], &[], &["*"]), false),
        (line(&[], &["bot"], &["appdb"]), true),
        (line(&[], &["other"], &["appdb"]), false),
        (line(&["agents"], &["other"], &["appdb"]), false),
        (line(&["agents"], &["bot"], &["appdb"]), true),
        (line(&[], &["*"], &["appdb"]), true),
        (line(&["people"], &["*"], &["appdb"]), false),
    ] {
        assert_eq!(admits(vec![granted.clone()], &agent()), expected, "{granted:?}");
    }
    assert!(!admits(Vec::new(), &agent()));
}

#[test]
fn r12_with_delegation_both_parties_must_be_granted() {
    let people = AccessSpec {
        groups: many(&["people"]),
        resources: many(&["appdb"]),
        ..AccessSpec::default()
    };
    let mut spec = spec(Vec::new());
    spec.access.push(people);
    let protocols = [("sql", SQL_BLOCK, ALL), ("web", WEB_BLOCK, ALL)];
    let policy = compile(spec, &schema(), &protocols).unwrap();
    let mut both = agent();
    both.on_behalf_of = Some("alice".into());
    assert!(!policy.admits(&both, &appdb(), NOON), "alice is in no group");
    both.on_behalf_of_groups = vec!["people".into()];
    assert!(policy.admits(&both, &appdb(), NOON));
    both.groups = vec!["people".into()];
    assert!(policy.admits(&both, &appdb(), NOON));
    both.groups.clear();
    assert!(!policy.admits(&both, &appdb(), NOON), "the worker must be granted too");
    let internet = internet();
    both.groups = vec!["agents".into()];
    assert!(!policy.admits(&both, &internet, NOON), "each by a line of its own");
}

fn with_access(lines: Vec<AccessSpec>) -> Result<PolicySet, Vec<Problem>> {
    let spec = policy::PolicySpec { access: lines, ..spec(Vec::new()) };
    compile(spec, &schema(), &[("sql", SQL_BLOCK, ALL), ("web", WEB_BLOCK, ALL)])
}

fn at_hours(group: &str, hours: &[&str]) -> AccessSpec {
    AccessSpec {
        groups: many(&[group]),
        resources: many(&["appdb"]),
        hours: many(hours),
        ..AccessSpec::default()
    }
}

fn hours_after_noon(hours: u64) -> Timestamp {
    Timestamp(NOON.0 + hours * HOUR)
}

#[test]
fn a_line_grants_in_its_hours_and_the_last_of_several_lines_counts() {
    let lines =
        vec![at_hours("agents", &["08:00-18:00"]), at_hours("agents", &["16:00-20:00", "tue"])];
    let policy = with_access(lines).unwrap();
    let admission = |hours| policy.admission(&agent(), &appdb(), hours_after_noon(hours));
    // It is asked again at six, when the other line is open.
    assert_eq!(admission(0), Admission::Open { until: Some(hours_after_noon(6)) });
    assert_eq!(admission(5), Admission::Open { until: Some(hours_after_noon(8)) });
    assert_eq!(admission(6), Admission::Open { until: Some(hours_after_noon(8)) });
    assert_eq!(admission(8), Admission::Closed { opens: hours_after_noon(12) });
    assert_eq!(admission(12), Admission::Open { until: Some(hours_after_noon(36)) });
}

#[test]
fn when_access_opens_is_told_to_those_whom_the_line_names_only() {
    let policy = with_access(vec![at_hours("agents", &["tue 08:00-18:00"])]).unwrap();
    let words = |principal: &model::Principal| {
        let admission = policy.admission(principal, &appdb(), NOON);
        let refusal = admission.refusal(&principal.subject, "appdb");
        (refusal.reason(), refusal.message().to_string())
    };
    let (reason, said) = words(&agent());
    assert_eq!(reason, "access_closed");
    assert!(said.ends_with("access opens again at 2026-12-01T08:00:00Z"), "{said}");
    let mut other = agent();
    other.groups.clear();
    assert_eq!(words(&other).0, "no_access");
    // With delegation, only when both are named, and then when both are let in.
    let mut both = agent();
    both.on_behalf_of = Some("alice".into());
    assert_eq!(words(&both).0, "no_access");
    let lines = vec![
        at_hours("agents", &["tue 08:00-18:00", "thu"]),
        at_hours("people", &["mon", "tue 17:00-22:00"]),
    ];
    let policy = with_access(lines).unwrap();
    both.on_behalf_of_groups = vec!["people".into()];
    let opens = hours_after_noon(29);
    assert_eq!(policy.admission(&both, &appdb(), NOON), Admission::Closed { opens });
    let end = Some(hours_after_noon(30));
    assert_eq!(policy.admission(&both, &appdb(), opens), Admission::Open { until: end });
    // Hours that never meet are no access.
    let lines = vec![at_hours("agents", &["tue"]), at_hours("people", &["wed"])];
    let policy = with_access(lines).unwrap();
    assert_eq!(policy.admission(&both, &appdb(), NOON), Admission::Never);
}

#[test]
fn what_was_given_for_a_time_is_for_one_subject_of_one_issuer_until_then() {
    let given = |subject: &str, issuer: &str| TemporaryAccess {
        subject: subject.into(),
        issuer: issuer.into(),
        minted_by: None,
        resource: "appdb".into(),
        until: hours_after_noon(2),
    };
    let none = with_access(Vec::new()).unwrap();
    let bot = agent();
    let admission = |given, principal: &model::Principal, hours| {
        none.with_temporary(vec![given]).admission(principal, &appdb(), hours_after_noon(hours))
    };
    let open = Admission::Open { until: Some(hours_after_noon(2)) };
    assert_eq!(admission(given(&bot.subject, &bot.issuer), &bot, 0), open);
    assert_eq!(admission(given(&bot.subject, &bot.issuer), &bot, 2), Admission::Never);
    assert_eq!(admission(given("other", &bot.issuer), &bot, 0), Admission::Never);
    assert_eq!(admission(given(&bot.subject, "elsewhere"), &bot, 0), Admission::Never);
    let mut namesake = agent();
    namesake.minted_by = Some("operator".into());
    assert_eq!(admission(given(&bot.subject, &bot.issuer), &namesake, 0), Admission::Never);
    let elsewhere = none.with_temporary(vec![given(&bot.subject, &bot.issuer)]);
    assert!(!elsewhere.admits(&bot, &internet(), NOON));
    // R12: both parties of a delegation need access.
    let mut both = agent();
    both.on_behalf_of = Some("alice".into());
    assert_eq!(admission(given(&bot.subject, &bot.issuer), &both, 0), Admission::Never);
    let two = vec![given(&bot.subject, &bot.issuer), given("alice", &bot.issuer)];
    assert!(none.with_temporary(two).admits(&both, &appdb(), NOON));
}

#[test]
fn a_line_whose_end_is_past_is_told_of_and_grants_nothing() {
    let until = |text: &str| AccessSpec { until: many(&[text]).pop(), ..at_hours("agents", &[]) };
    let policy = with_access(vec![until("2026-11-29"), until("2026-11-30")]).unwrap();
    assert_eq!(policy.ended(NOON).count(), 1);
    assert!(policy.admits(&agent(), &appdb(), NOON));
    assert_eq!(policy.admission(&agent(), &appdb(), hours_after_noon(12)), Admission::Never);
    assert_eq!(policy.ended(hours_after_noon(12)).count(), 2);
    let found = with_access(vec![until("soon"), at_hours("agents", &["8-18"])]).err().unwrap();
    assert_eq!(found.len(), 2, "{found:?}");
}

#[test]
fn a_line_of_access_must_say_who_and_what() {
    let mut spec = spec(Vec::new());
    spec.access = vec![AccessSpec { at: at(4), ..AccessSpec::default() }];
    let found = compile(spec, &schema(), &[]).unwrap_err();
    let messages: Vec<_> = found.iter().map(|problem| problem.message.as_str()).collect();
    assert_eq!(
        messages,
        ["this line of access names nobody", "this line of access names no resource"]
    );
}

#[test]
fn r12_a_rule_concerns_either_party() {
    let blocks = |applies: Applies, principal: &model::Principal| {
        let written = policy::RuleSpec { applies, ..rule("r", "", block("no")) };
        let scope = policy(vec![written]).scope(principal, &appdb(), SQL_BLOCK);
        word(&decide(&scope, &select())) == "blocked"
    };
    let groups = |groups: &[&str]| Applies { groups: many(groups), ..Applies::default() };
    let subjects = |names: &[&str]| Applies { subjects: many(names), ..Applies::default() };
    let kinds = |kinds: &[&str]| Applies { kinds: many(kinds), ..Applies::default() };
    let mut for_alice = agent();
    for_alice.on_behalf_of = Some("alice".into());
    for_alice.on_behalf_of_groups = vec!["finance".into()];
    for (applies, alone, delegated) in [
        (Applies::default(), true, true),
        (groups(&["agents"]), true, true),
        (groups(&["x", "agents"]), true, true),
        (groups(&["finance"]), false, true),
        (subjects(&["bot"]), true, true),
        (subjects(&["alice"]), false, true),
        (kinds(&["agent"]), true, true),
        (kinds(&["person"]), false, true),
        (kinds(&["service"]), false, false),
        (Applies { groups: many(&["finance"]), ..subjects(&["bot"]) }, false, true),
        (Applies { groups: many(&["x"]), ..subjects(&["bot"]) }, false, false),
    ] {
        assert_eq!(blocks(applies.clone(), &agent()), alone, "{applies:?}");
        assert_eq!(blocks(applies.clone(), &for_alice), delegated, "{applies:?}");
    }
    assert_eq!(for_alice.kind, PrincipalKind::Agent);
}

#[test]
fn a_rule_concerns_the_places_it_names() {
    for (places, expected) in [
        (&[][..], true),
        (&["appdb"], true),
        (&["internet"], false),
        (&["type:sql"], true),
        (&["type:web"], false),
        (&["internet", "type:sql"], true),
        (&["*"], true),
    ] {
        let scope = scope(vec![on(places, rule("r", "", block("no")))]);
        assert_eq!(word(&decide(&scope, &select())) == "blocked", expected, "{places:?}");
    }
}

#[test]
fn blocks_may_share_a_name_and_each_protocol_sees_its_own_fact() {
    let mut schema = schema();
    let other = schema.declare("other", SQL);
    let protocols = [("sql", SQL_BLOCK, ALL), ("web", WEB_BLOCK, ALL), ("other", other, ALL)];
    let rules = vec![rule("r", "sql.verb == 'drop'", block("no"))];
    let policy: PolicySet = compile(spec(rules), &schema, &protocols).unwrap();
    let elsewhere = model::Resource { name: "x".into(), kind: "other".into() };
    let facts = statement(&["drop"]);
    decide(&policy.scope(&agent(), &elsewhere, other), &facts);
    let blocks: Vec<BlockId> = facts.asked.borrow().keys().map(|(id, _)| id.block).collect();
    assert_eq!(blocks, [other]);
}

#[test]
fn a_policy_tells_its_version_and_rules() {
    let policy = policy(sample_rules());
    assert_eq!(policy.version(), 7);
    let names: Vec<_> = policy.rules().map(|name| name.to_string()).collect();
    assert_eq!(names, ["mask-cards-and-ssn", "big-reads", "posts-stay-home", "no-destruction"]);
}

#[test]
fn explanations_say_why_for_every_rule() {
    let mut rules = sample_rules();
    rules.push(rule("elsewhere", "http.method == 'GET'", block("no")));
    rules.push(rule("capped", "", limit(5)));
    rules.push(rule("breaks", "sql.text == ''", alert("x")));
    let scope = scope(rules);
    let facts = select().failed("sql.text");
    let explained = scope.explain(ask(&facts));
    assert_eq!(word(&explained.decided), "rule_error");
    let states: Vec<_> =
        explained.rules.iter().map(|rule| (&*rule.rule, rule.state, &*rule.why)).collect();
    assert_eq!(
        states,
        [
            ("mask-cards-and-ssn", RuleState::Matches, "it has no condition"),
            (
                "big-reads",
                RuleState::Pending,
                "`result.rows > 10000 || principal.rows > 50000` depends on the reply, where \
             result.rows is at least 0 and principal.rows = 0"
            ),
            (
                "no-destruction",
                RuleState::DoesNotMatch,
                "`sql.dynamic || sql.verbs.exists(v, v in [\"drop\", \"truncate\"]) || \
             sql.unfiltered.exists(v, v in [\"delete\", \"update\", \"merge\"])` is not true, \
             where sql.dynamic = false and sql.verbs = [select] and sql.unfiltered = []"
            ),
            ("capped", RuleState::Matches, "it has no condition; its limit is not reached yet"),
            (
                "breaks",
                RuleState::Fails,
                "`sql.text == ''` cannot be judged, where sql.text failed (the catalog cannot be \
             read)"
            ),
            ("elsewhere", RuleState::DoesNotApply, "there is no http.method in this protocol"),
        ]
    );
}
