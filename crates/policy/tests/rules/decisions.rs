//! What happens to an operation before it runs.

use std::sync::Arc;
use std::time::Duration;

use model::operation::Stage;
use model::{ClientText, Effect, OperationId};
use policy::{
    ActionSpec, ApproveSpec, Decision, Fact, Grant, LimitSpec, PayloadPolicy, Request, RuleState,
    Usage, reason,
};

use crate::common::*;

#[test]
fn the_sample_rules_work_as_written() {
    let scope = scope(sample_rules());
    for (facts, expected, matched) in [
        (select(), "pending", vec!["mask-cards-and-ssn"]),
        (
            select().with("result.rows", Fact::Range { low: 0, high: 100 }),
            "allow",
            vec!["mask-cards-and-ssn"],
        ),
        (select().int("principal.rows", 50_001), "hold", vec!["mask-cards-and-ssn", "big-reads"]),
        (statement(&["drop"]), "blocked", vec!["mask-cards-and-ssn", "no-destruction"]),
        (
            statement(&["select", "truncate"]),
            "blocked",
            vec!["mask-cards-and-ssn", "no-destruction"],
        ),
        (
            statement(&["delete"]).list("sql.unfiltered", &["delete"]),
            "blocked",
            vec!["mask-cards-and-ssn", "no-destruction"],
        ),
        (
            select().with("sql.dynamic", Fact::Known(model::Value::Bool(true))),
            "blocked",
            vec!["mask-cards-and-ssn", "no-destruction"],
        ),
    ] {
        let decided = decide(&scope, &facts);
        assert_eq!(word(&decided), expected);
        assert_eq!(matches(&decided), matched);
    }
    let refusal = refusal(decide(&scope, &statement(&["drop"])));
    assert_eq!(refusal.message().as_str(), "destructive statement");
    assert_eq!(*refusal.rules(), [Arc::from("no-destruction")]);
}

#[test]
fn the_sample_rules_of_another_protocol_apply_there_alone() {
    let policy = policy(sample_rules());
    let scope = policy.scope(&agent(), &internet(), WEB_BLOCK);
    let blocked = refusal(decide(&scope, &exchange("POST", "evil.example")));
    assert_eq!(blocked.message().as_str(), "POST to evil.example is not on the allow-list");
    for host in ["api.partner.example", "a.internal.example"] {
        assert_eq!(word(&decide(&scope, &exchange("POST", host))), "pending");
    }
    assert_eq!(word(&decide(&scope, &exchange("GET", "evil.example"))), "pending");
}

#[test]
fn a_hold_says_who_must_answer_and_its_permit_carries_the_masks() {
    let scope = scope(sample_rules());
    let held = held(decide(&scope, &select().int("principal.rows", 60_000)));
    let needs = held.needs().clone();
    assert_eq!(needs.wait, Duration::from_secs(120));
    assert_eq!(needs.expires, Duration::from_secs(600));
    assert_eq!(needs.grant, Grant::Once);
    let [need] = needs.rules.as_slice() else { panic!("{needs:?}") };
    assert_eq!((&*need.rule, &*need.by, need.needs), ("big-reads", &[Arc::from("dba")][..], 1));
    let permit = held.approve();
    assert_eq!(permit.operation(), OperationId(1));
    assert!(permit.masks().field("public", "customers", "ssn").is_some());
    assert!(!permit.is_pending());
}

#[test]
fn a_no_to_a_hold_names_its_rules() {
    let scope = scope(sample_rules());
    let held = held(decide(&scope, &select().int("principal.rows", 60_000)));
    let refusal = held.refuse(reason::APPROVAL_DENIED, ClientText::fixed("denied"));
    assert_eq!(refusal.reason(), "approval_denied");
    assert_eq!(refusal.message().as_str(), "denied");
    assert_eq!(*refusal.rules(), [Arc::from("big-reads")]);
}

#[test]
fn block_comes_before_limit_before_approve_before_allow() {
    let all = || {
        vec![
            rule("warn", "", alert("seen")),
            rule("mask", "", mask(&["ssn"], "redact")),
            rule("ask", "", approve(&["dba"])),
            rule("limit", "", limit(1)),
            rule("block", "", block("no")),
        ]
    };
    for (without, expected) in
        [(0, "blocked"), (1, "limit"), (2, "hold"), (3, "allow"), (4, "allow")]
    {
        let mut rules = all();
        rules.truncate(5 - without);
        let names: Vec<String> = rules.iter().map(|rule| rule.name.value.clone()).collect();
        let decided = decide(&scope(rules), &select().used(1));
        assert_eq!(word(&decided), expected);
        assert_eq!(matches(&decided), names);
        assert_eq!(decided.alerts, [(Arc::from("warn"), "seen".to_owned())]);
    }
}

#[test]
fn a_refusal_names_every_rule_that_refused_and_tells_the_strongest() {
    let rules = vec![
        rule("limit", "", limit(1)),
        rule("errs", "1 / principal.rows == 1", alert("")),
        rule("block-1", "", block("first")),
        rule("block-2", "", block("second")),
    ];
    let refusal = refusal(decide(&scope(rules), &select().used(1)));
    assert_eq!((refusal.reason(), refusal.message().as_str()), ("blocked", "first"));
    let rules: Vec<&str> = refusal.rules().iter().map(|rule| &**rule).collect();
    assert_eq!(rules, ["limit", "errs", "block-1", "block-2"]);
}

#[test]
fn all_approve_rules_must_be_satisfied_and_the_narrowest_terms_hold() {
    let asks = |by: &str, wait, grant, rows_max| {
        ActionSpec::Approve(ApproveSpec {
            by: many(&[by]),
            wait: Some(Duration::from_secs(wait)),
            expires: Some(Duration::from_secs(wait * 2)),
            grant: Some(grant),
            rows_max,
            escalate: None,
            needs: Some(2),
        })
    };
    let hour = Grant::For(Duration::from_secs(3600));
    let minute = Grant::For(Duration::from_secs(60));
    let scope = scope(vec![
        rule("a", "", asks("dba", 60, hour, None)),
        rule("b", "", asks("security", 30, minute, Some(10))),
    ]);
    let facts = select();
    let held = held(decide(&scope, &facts));
    let needs = held.needs();
    assert_eq!(needs.rules.iter().map(|need| &*need.rule).collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!(needs.wait, Duration::from_secs(30));
    assert_eq!(needs.expires, Duration::from_secs(60));
    assert_eq!((needs.grant, needs.rows_max), (minute, Some(10)));
    let one: [Arc<str>; 1] = ["a".into()];
    assert_eq!(word(&scope.decide(Request { satisfied: &one, ..ask(&facts) })), "hold");
    let both: [Arc<str>; 2] = ["a".into(), "b".into()];
    assert_eq!(word(&scope.decide(Request { satisfied: &both, ..ask(&facts) })), "allow");
}

#[test]
fn grants_of_different_kinds_cover_once() {
    let asks = |grant| {
        ActionSpec::Approve(ApproveSpec {
            by: many(&["dba"]),
            grant: Some(grant),
            ..ApproveSpec::default()
        })
    };
    let hour = Grant::For(Duration::from_secs(3600));
    let scope = scope(vec![rule("a", "", asks(Grant::Session)), rule("b", "", asks(hour))]);
    assert_eq!(held(decide(&scope, &select())).needs().grant, Grant::Once);
}

#[test]
fn an_observed_rule_is_recorded_and_takes_no_part() {
    for action in [block("no"), approve(&["dba"]), limit(0), alert("x"), mask(&["ssn"], "null")] {
        let scope = scope(vec![observed("watch", "", action)]);
        let decided = decide(&scope, &select().used(9));
        assert_eq!(word(&decided), "allow");
        assert!(decided.matches[0].observed);
        assert!(decided.alerts.is_empty());
        assert!(permit(decided).masks().is_empty());
        assert!(scope.masks().is_empty());
    }
}

#[test]
fn a_limit_is_recorded_only_when_it_is_reached() {
    for written in [rule("r", "", limit(3)), observed("r", "", limit(3))] {
        let scope = scope(vec![written]);
        assert!(decide(&scope, &select().used(2)).matches.is_empty());
        assert_eq!(matches(&decide(&scope, &select().used(3))), ["r"]);
    }
}

#[test]
fn an_observed_rule_that_errs_takes_no_part() {
    let scope = scope(vec![observed("watch", "sql.dynamic", block("no"))]);
    let decided = decide(&scope, &select().failed("sql.dynamic"));
    assert_eq!((word(&decided), matches(&decided)), ("allow", vec!["watch"]));
}

#[test]
fn p2_a_rule_that_errors_refuses_whatever_its_action() {
    for action in [block("no"), approve(&["dba"]), limit(9), alert("x"), mask(&["ssn"], "null")] {
        for stage in [Stage::Prepare, Stage::Gate, Stage::Repeat] {
            let scope = scope(vec![rule("errs", "sql.dynamic", action.clone())]);
            let facts = select().failed("sql.dynamic");
            let refusal = refusal(scope.decide(Request { stage, ..ask(&facts) }));
            assert_eq!(refusal.reason(), "rule_error");
            assert_eq!(
                refusal.message().as_str(),
                "rule \"errs\" cannot be judged: sql.dynamic is not known (the catalog cannot be \
                 read)"
            );
        }
    }
}

#[test]
fn p2_an_evaluation_error_refuses() {
    let scope = scope(vec![rule("errs", "100 / principal.rows > 3", mask(&["ssn"], "null"))]);
    assert_eq!(word(&decide(&scope, &select())), "rule_error");
    assert_eq!(word(&decide(&scope, &select().int("principal.rows", 50))), "allow");
}

#[test]
fn p2_a_failed_fact_of_a_decided_rule_does_not_matter() {
    let scope = scope(vec![rule("errs", "sql.dynamic && false", block("no"))]);
    assert_eq!(word(&decide(&scope, &select().failed("sql.dynamic"))), "allow");
}

#[test]
fn p2_a_fact_of_the_wrong_type_refuses() {
    let scope = scope(vec![rule("errs", "sql.verb == 'drop'", block("no"))]);
    assert_eq!(word(&decide(&scope, &select().int("sql.verb", 1))), "rule_error");
}

#[test]
fn p2_a_request_fact_that_is_still_unknown_refuses_at_the_gate() {
    let scope = scope(vec![rule("waits", "sql.verb == 'drop'", alert("x"))]);
    let facts = select().with("sql.verb", Fact::Pending);
    assert_eq!(word(&decide(&scope, &facts)), "rule_error");
    let early = scope.decide(Request { stage: Stage::Prepare, ..ask(&facts) });
    assert_eq!(word(&early), "allow");
}

#[test]
fn a_rule_that_reads_an_absent_fact_does_not_apply() {
    for condition in ["sql.dynamic", "!sql.dynamic", "sql.dynamic || true", "true || sql.dynamic"] {
        let scope = scope(vec![rule("r", condition, block("no"))]);
        let facts = select().with("sql.dynamic", Fact::Absent);
        assert_eq!(word(&decide(&scope, &facts)), "allow", "{condition}");
    }
}

#[test]
fn a_rule_over_another_protocols_facts_is_not_in_scope() {
    let policy = policy(vec![rule("r", "http.method == 'POST' || true", block("no"))]);
    let scope = policy.scope(&agent(), &appdb(), SQL_BLOCK);
    assert_eq!(word(&decide(&scope, &select())), "allow");
}

#[test]
fn r3_result_rules_wait_for_reads_and_come_first_for_writes() {
    let condition = "result.rows > 100";
    for (action, read, write) in [
        (approve(&["dba"]), "pending", "hold"),
        (block("no"), "pending", "result_unknown"),
        (limit(1), "pending", "result_unknown"),
        (alert("x"), "allow", "allow"),
    ] {
        let scope = scope(vec![rule("r", condition, action)]);
        let facts = select();
        assert_eq!(word(&decide(&scope, &facts)), read);
        let write_request = Request { effect: Effect::MayWrite, ..ask(&facts) };
        assert_eq!(word(&scope.decide(write_request)), write);
        let permit = permit(decide(&scope, &facts));
        assert!(permit.has_reply_rules());
    }
}

#[test]
fn r3_a_result_rule_on_a_write_says_why_it_refuses() {
    let scope = scope(vec![rule("big", "result.rows > 100", block("no"))]);
    let facts = select();
    let refused = refusal(scope.decide(Request { effect: Effect::MayWrite, ..ask(&facts) }));
    assert!(refused.message().as_str().starts_with("rule \"big\" depends on the result"));
}

#[test]
fn r3_an_approved_write_is_not_pending() {
    let scope = scope(vec![rule("r", "result.rows > 100", approve(&["dba"]))]);
    let facts = select();
    let request = Request { effect: Effect::MayWrite, ..ask(&facts) };
    let permit = held(scope.decide(request)).approve();
    assert!(!permit.is_pending());
    assert!(!permit.has_reply_rules());
}

#[test]
fn r9_at_prepare_only_blocks_and_masks_apply() {
    let prepared = |action| {
        let scope = scope(vec![rule("r", "", action)]);
        let facts = select().used(9);
        let decided = scope.decide(Request { stage: Stage::Prepare, ..ask(&facts) });
        (word(&decided), decided.matches.len(), decided.alerts.len())
    };
    assert_eq!(prepared(block("no")), ("blocked", 1, 0));
    assert_eq!(prepared(mask(&["ssn"], "null")), ("allow", 1, 0));
    assert_eq!(prepared(approve(&["dba"])), ("allow", 0, 0));
    assert_eq!(prepared(limit(1)), ("allow", 0, 0));
    assert_eq!(prepared(alert("x")), ("allow", 0, 0));
    let scope = scope(vec![rule("r", "result.rows > 9", block("no"))]);
    let facts = select();
    let early = Request { stage: Stage::Prepare, effect: Effect::MayWrite, ..ask(&facts) };
    assert_eq!(word(&scope.decide(early)), "allow");
}

#[test]
fn r9_a_repeat_checks_blocks_and_limits_again_and_keeps_approvals() {
    let satisfied: [Arc<str>; 1] = ["r".into()];
    let repeated = |action, facts: &Known| {
        let scope = scope(vec![rule("r", "", action)]);
        let request = Request { stage: Stage::Repeat, satisfied: &satisfied, ..ask(facts) };
        word(&scope.decide(request))
    };
    assert_eq!(repeated(block("no"), &select()), "blocked");
    assert_eq!(repeated(limit(2), &select().used(2)), "limit");
    assert_eq!(repeated(limit(2), &select().used(1)), "allow");
    assert_eq!(repeated(approve(&["dba"]), &select()), "allow");
    let decided = scope(vec![rule("r", "", alert("x"))])
        .decide(Request { stage: Stage::Repeat, ..ask(&select()) });
    assert!(decided.alerts.is_empty());
}

#[test]
fn limits_count_operations_rows_and_bytes() {
    let limit = |operations, rows, bytes| {
        ActionSpec::Limit(LimitSpec { operations, rows, bytes, ..LimitSpec::default() })
    };
    for (action, usage, expected) in [
        (limit(Some(10), None, None), (9, 0, 0), "allow"),
        (limit(Some(10), None, None), (10, 0, 0), "limit"),
        (limit(None, Some(10), None), (99, 9, 0), "allow"),
        (limit(None, Some(10), None), (0, 10, 0), "limit"),
        (limit(None, None, Some(10)), (0, 0, 9), "allow"),
        (limit(None, None, Some(10)), (0, 0, 11), "limit"),
        (limit(Some(0), None, None), (0, 0, 0), "limit"),
    ] {
        let mut facts = select();
        facts.usage = Usage { operations: usage.0, rows: usage.1, bytes: usage.2 };
        assert_eq!(word(&decide(&scope(vec![rule("r", "", action)]), &facts)), expected);
    }
    let scope = scope(vec![rule("r", "", limit(Some(10), None, None))]);
    assert_eq!(
        refusal(decide(&scope, &select().used(10))).message().as_str(),
        "the limit of rule \"r\" is reached: 10 operations in 1h"
    );
}

#[test]
fn p7_messages_show_request_facts_clipped_and_plain() {
    let scope = scope(vec![rule("r", "", block("not {sql.text}, {{{sql.verbs}}}"))]);
    let facts = select().text("sql.text", &format!("a\r\n\u{1b}{}", "b".repeat(500)));
    let refused = refusal(decide(&scope, &facts));
    assert_eq!(refused.message().as_str(), format!("not a{}…, {{select}}", "b".repeat(199)));
}

#[test]
fn functions_of_the_schema_read_their_facts() {
    for (condition, expected) in [
        ("in_group('agents')", "blocked"),
        ("in_group('dba')", "allow"),
        ("touches('customers')", "blocked"),
        ("touches('public.cust*')", "blocked"),
        ("touches('orders')", "allow"),
        ("touches('*.orders')", "allow"),
    ] {
        let scope = scope(vec![rule("r", condition, block("no"))]);
        assert_eq!(word(&decide(&scope, &select())), expected, "{condition}");
    }
}

#[test]
fn each_fact_is_fetched_at_most_once_however_many_rules_read_it() {
    let rules = (0..50)
        .map(|n| {
            let when = format!(
                "sql.verbs.exists(v, v == 'no-{n}') && touches('t{n}') || principal.rows > {}",
                100_000 + n
            );
            rule(&format!("r{n}"), &when, block("no"))
        })
        .collect();
    let facts = select();
    assert_eq!(word(&decide(&scope(rules), &facts)), "allow");
    let asked = facts.asked.borrow();
    // No touched table is ever looked at: the verbs already say no.
    assert_eq!(asked.len(), 2);
    assert!(asked.values().all(|times| *times == 1), "{asked:?}");
}

#[test]
fn a_rules_window_is_what_its_facts_are_seen_over() {
    let mut five = rule("five", "principal.rows > 9", block("no"));
    five.window = Some(Duration::from_secs(300));
    let facts = select();
    decide(&scope(vec![five, rule("hour", "principal.rows > 9", block("no"))]), &facts);
    let windows: Vec<u64> =
        facts.asked.borrow().keys().map(|(_, window)| window.as_secs()).collect();
    assert_eq!(windows, [300, 3600]);
}

/// Whether a fact is the one of this name.
fn is(name: &'static str) -> impl Fn(policy::FactId) -> bool {
    let (id, _) = schema().lookup(name).map(|(id, fact)| (id, fact.name)).unwrap();
    move |asked| asked == id
}

#[test]
fn a_rule_that_hangs_on_what_nobody_knows_is_in_doubt() {
    let scope = scope(vec![
        rule("dynamic", "sql.dynamic", block("no")),
        rule("drops", "sql.dynamic || 'drop' in sql.verbs", block("no")),
        rule("big", "result.rows > 10", approve(&["dba"])),
        rule("orders", "touches('orders')", block("no")),
    ]);
    let unknown = |facts: &Known| {
        let doubts = scope.doubts(SQL_BLOCK, facts, &is("sql.dynamic"));
        doubts.iter().map(|doubt| doubt.rule.rule.to_string()).collect::<Vec<_>>()
    };
    let pending = |facts: Known| facts.with("sql.dynamic", Fact::Pending);
    assert_eq!(unknown(&pending(select())), ["dynamic", "drops"]);
    // What is known decides it whatever the rest is.
    assert_eq!(unknown(&pending(statement(&["drop"]))), ["dynamic"]);
    assert_eq!(unknown(&select()), [""; 0], "it is known");
    let doubts = scope.doubts(SQL_BLOCK, &pending(select()), &is("sql.dynamic"));
    assert_eq!(doubts.first().map(|doubt| doubt.facts.as_slice()), Some(&["sql.dynamic"][..]));
}

#[test]
fn rules_that_are_left_out_take_no_part() {
    let scope = scope(vec![
        rule("drops", "'drop' in sql.verbs", block("no")),
        rule("all", "", approve(&["dba"])),
    ]);
    let facts = statement(&["drop"]);
    let request = || Request {
        operation: OperationId(1),
        stage: Stage::Gate,
        effect: Effect::MayWrite,
        rows: model::operation::RowBound::Unbounded,
        facts: &facts,
        satisfied: &[],
    };
    let without = |rules: &[&str]| {
        let rules: Vec<Arc<str>> = rules.iter().map(|rule| Arc::from(*rule)).collect();
        let decided = scope.decide_without(request(), &rules);
        (word(&decided).to_owned(), matches(&decided).len())
    };
    assert_eq!(without(&[]), ("blocked".to_owned(), 2));
    assert_eq!(without(&["drops"]), ("hold".to_owned(), 1));
    assert_eq!(without(&["drops", "all"]), ("allow".to_owned(), 0));
}

/// What is recorded of the reply, once the operation is allowed.
fn kept(rules: Vec<policy::RuleSpec>) -> Option<PayloadPolicy> {
    permit(decide(&scope(rules), &select())).payload()
}

#[test]
fn p6_of_several_rules_the_one_that_records_least_says_how_much() {
    use PayloadPolicy::{Full, Head, None as Nothing};
    let said = |all: &[PayloadPolicy]| {
        let rules = (0..).zip(all).map(|(n, payload)| rule(&format!("r{n}"), "", record(*payload)));
        kept(rules.collect())
    };
    assert_eq!(said(&[]), None, "the resource says it");
    assert_eq!(said(&[Full]), Some(Full));
    for (all, least) in [
        ([Full, Head(9)], Head(9)),
        ([Head(9), Head(8)], Head(8)),
        ([Head(0), Nothing], Nothing),
        ([Full, Nothing], Nothing),
    ] {
        assert_eq!(said(&all), Some(least));
        assert_eq!(said(&[all[1], all[0]]), Some(least));
    }
}

#[test]
fn p6_a_rule_that_does_not_match_or_only_observes_says_nothing_of_what_is_recorded() {
    let none = || record(PayloadPolicy::None);
    assert_eq!(kept(vec![rule("r", "sql.verb == 'insert'", none())]), None);
    assert_eq!(kept(vec![observed("r", "", none())]), None);
    assert_eq!(kept(vec![on(&["internet"], rule("r", "", none()))]), None);
    assert_eq!(kept(vec![rule("r", "sql.verb == 'select'", none())]), Some(PayloadPolicy::None));
    let both = scope(vec![rule("m", "", mask(&["ssn"], "null")), rule("r", "", none())]);
    assert_eq!(matches(&decide(&both, &select())), ["m", "r"], "it is in the record");
}

#[test]
fn p2_a_rule_about_the_record_that_cannot_be_judged_refuses() {
    let rules = scope(vec![rule("r", "sql.dynamic", record(PayloadPolicy::Full))]);
    assert_eq!(word(&decide(&rules, &select().failed("sql.dynamic"))), reason::RULE_ERROR);
}

#[test]
fn what_is_recorded_is_told_of_operations_that_wait_and_explained() {
    let rules = scope(vec![
        rule("ask", "", approve(&["dba"])),
        rule("head", "", record(PayloadPolicy::Head(7))),
    ]);
    let Decision::Hold(held) = decide(&rules, &select()).decision else { panic!("not held") };
    assert_eq!(held.payload(), Some(PayloadPolicy::Head(7)));
    assert_eq!(held.approve().payload(), Some(PayloadPolicy::Head(7)));
    let explained = rules.explain(ask(&select()));
    let head = explained.rules.iter().find(|one| &*one.rule == "head").unwrap();
    assert_eq!(head.state, RuleState::Matches);
    assert!(
        head.why.ends_with("payload of the reply that is recorded: the first 7 bytes"),
        "{head:?}"
    );
}

#[test]
fn of_many_rules_those_that_match_are_found_in_their_order() {
    let rules = (0..700).map(|number| {
        let when = match number % 100 {
            // No look at one fact says that it is false.
            50 => "principal.rows > 3".to_owned(),
            _ => format!("sql.verbs.exists(v, v == \"verb-{number}\")"),
        };
        rule(&format!("r{number}"), &when, alert("seen"))
    });
    let scope = scope(rules.collect());
    let facts = statement(&["verb-699", "verb-3", "verb-512", "verb-64", "verb-701"]);
    let expected =
        ["r3", "r50", "r64", "r150", "r250", "r350", "r450", "r512", "r550", "r650", "r699"];
    assert_eq!(matches(&decide(&scope, &facts.int("principal.rows", 4))), expected);
    let facts = statement(&["verb-512"]).int("principal.rows", 3);
    assert_eq!(matches(&decide(&scope, &facts)), ["r512"]);
}
