//! What happens to a reply while it comes (R3).

use std::sync::Arc;

use model::OperationId;
use policy::{Fact, Outcome, Permit, Progress, Request, Reviewed, Scope};

use crate::common::*;

fn rows(low: i64) -> Known {
    select().with("result.rows", Fact::Range { low, high: i64::MAX })
}

fn complete(rows: i64) -> Known {
    select().int("result.rows", rows).list("result.detections", &[])
}

fn review(scope: &Scope, permit: &Permit, facts: &Known, progress: Progress) -> Reviewed {
    scope.review(permit, facts, progress)
}

/// The outcome in a word.
fn outcome(reviewed: &Reviewed) -> &'static str {
    match &reviewed.outcome {
        Outcome::Pass => "pass",
        Outcome::Undecided => "undecided",
        Outcome::Hold(_) => "hold",
        Outcome::Refuse(refusal) => refusal.reason(),
    }
}

#[test]
fn r3_a_read_is_withheld_until_its_rows_are_known() {
    let scope = scope(sample_rules());
    let permit = permit(decide(&scope, &select()));
    assert!(permit.is_pending() && permit.has_reply_rules());
    for (facts, progress, expected) in [
        (rows(0), Progress::Streaming, "undecided"),
        (rows(10_000), Progress::Streaming, "undecided"),
        (rows(10_001), Progress::Streaming, "hold"),
        (rows(5), Progress::Full, "hold"),
        (complete(10_000), Progress::Complete, "pass"),
        (complete(10_001), Progress::Complete, "hold"),
    ] {
        let reviewed = review(&scope, &permit, &facts, progress);
        assert_eq!(outcome(&reviewed), expected);
        let matched = reviewed.matches.iter().map(|matched| &*matched.rule);
        let expected: &[&str] = if expected == "hold" { &["big-reads"] } else { &[] };
        assert_eq!(matched.collect::<Vec<_>>(), expected);
    }
}

#[test]
fn an_approved_reply_is_not_stopped_again_by_the_same_rule() {
    let scope = scope(sample_rules());
    let permit = permit(decide(&scope, &select()));
    let reviewed = review(&scope, &permit, &rows(20_000), Progress::Streaming);
    let Outcome::Hold(held) = reviewed.outcome else { panic!("{reviewed:?}") };
    assert_eq!(&*held.needs().rules[0].rule, "big-reads");
    assert!(permit.satisfy(&held));
    assert!(!permit.is_pending());
    let reviewed = review(&scope, &permit, &rows(30_000), Progress::Streaming);
    assert_eq!(outcome(&reviewed), "pass");
    assert_eq!(outcome(&review(&scope, &permit, &complete(30_000), Progress::Complete)), "pass");
}

#[test]
fn r11_a_yes_that_no_longer_covers_the_reply_is_asked_for_again() {
    let scope = scope(sample_rules());
    let permit = permit(decide(&scope, &select()));
    let reviewed = review(&scope, &permit, &rows(20_000), Progress::Streaming);
    let Outcome::Hold(held) = reviewed.outcome else { panic!("{reviewed:?}") };
    assert!(permit.satisfy(&held));
    permit.ask_again();
    assert!(permit.is_pending());
    assert_eq!(outcome(&review(&scope, &permit, &rows(40_001), Progress::Streaming)), "hold");
}

#[test]
fn a_yes_to_one_rule_leaves_the_others_pending() {
    let scope = scope(vec![
        rule("ten", "result.rows > 10", approve(&["dba"])),
        rule("cards", "'CREDIT_CARD' in result.detections", block("cards")),
    ]);
    let permit = permit(decide(&scope, &select()));
    let reviewed = review(&scope, &permit, &rows(11), Progress::Streaming);
    let Outcome::Hold(held) = reviewed.outcome else { panic!("{reviewed:?}") };
    assert!(permit.satisfy(&held));
    assert!(permit.is_pending());
    assert_eq!(outcome(&review(&scope, &permit, &rows(12), Progress::Streaming)), "undecided");
    let found = complete(12).list("result.detections", &["CREDIT_CARD"]);
    assert_eq!(outcome(&review(&scope, &permit, &found, Progress::Complete)), "blocked");
    assert_eq!(outcome(&review(&scope, &permit, &complete(12), Progress::Complete)), "pass");
}

#[test]
fn a_hold_of_another_operation_satisfies_nothing() {
    let scope = scope(sample_rules());
    let facts = select();
    let other = permit(scope.decide(Request { operation: OperationId(2), ..ask(&facts) }));
    let ours = permit(decide(&scope, &facts));
    let reviewed = review(&scope, &other, &rows(20_000), Progress::Streaming);
    let Outcome::Hold(held) = reviewed.outcome else { panic!("{reviewed:?}") };
    assert!(!ours.satisfy(&held));
    assert!(ours.is_pending());
}

#[test]
fn a_reply_refused_by_a_person_says_so() {
    let scope = scope(sample_rules());
    let permit = permit(decide(&scope, &select()));
    let reviewed = review(&scope, &permit, &rows(20_000), Progress::Streaming);
    let Outcome::Hold(held) = reviewed.outcome else { panic!("{reviewed:?}") };
    assert_eq!(held.operation(), OperationId(1));
    let words = model::ClientText::fixed("nobody answered");
    let refusal = held.refuse(policy::reason::APPROVAL_EXPIRED, words);
    assert_eq!((refusal.reason(), &*refusal.rules()[0]), ("approval_expired", "big-reads"));
}

#[test]
fn p8_what_is_undecided_when_no_more_fits_is_settled_on_the_safe_side() {
    for (action, expected) in [
        (approve(&["dba"]), "hold"),
        (block("no"), "reply_too_large"),
        (limit(100), "reply_too_large"),
        (alert("x"), "pass"),
    ] {
        let scope = scope(vec![rule("r", "result.rows > 100", action)]);
        let permit = permit(decide(&scope, &select()));
        assert_eq!(outcome(&review(&scope, &permit, &rows(9), Progress::Full)), expected);
    }
}

#[test]
fn p2_what_is_unknown_at_the_end_refuses() {
    for action in [approve(&["dba"]), block("no"), limit(100)] {
        let scope = scope(vec![rule("r", "'X' in result.detections", action)]);
        let permit = permit(decide(&scope, &select()));
        let facts = select().int("result.rows", 1);
        let reviewed = review(&scope, &permit, &facts, Progress::Complete);
        assert_eq!(outcome(&reviewed), "rule_error");
        let failed = facts.failed("result.detections");
        let reviewed = review(&scope, &permit, &failed, Progress::Complete);
        assert_eq!(outcome(&reviewed), "rule_error");
    }
}

#[test]
fn a_yes_stands_where_the_rule_cannot_be_judged_at_the_end() {
    let when = "result.rows > 10 && 'X' in result.detections";
    let scope = scope(vec![rule("r", when, approve(&["dba"]))]);
    let permit = permit(decide(&scope, &select()));
    let reviewed = review(&scope, &permit, &rows(11), Progress::Full);
    let Outcome::Hold(held) = reviewed.outcome else { panic!("{reviewed:?}") };
    assert!(permit.satisfy(&held));
    let failed = complete(11).failed("result.detections");
    assert_eq!(outcome(&review(&scope, &permit, &failed, Progress::Complete)), "pass");
}

#[test]
fn what_only_tells_of_a_reply_does_not_stop_it_where_it_cannot_be_judged() {
    let told = [
        rule("tell", "'X' in result.detections", alert("x")),
        observed("watch", "'X' in result.detections", block("no")),
    ];
    for only in told {
        let scope = scope(vec![only, rule("many", "result.rows > 10", block("too many"))]);
        let permit = permit(decide(&scope, &select()));
        let failed = complete(1).failed("result.detections");
        assert_eq!(outcome(&review(&scope, &permit, &failed, Progress::Complete)), "pass");
    }
}

#[test]
fn an_alert_about_a_reply_is_given_once() {
    let scope = scope(vec![rule("many", "result.rows > 10", alert("{result.rows} rows"))]);
    let permit = permit(decide(&scope, &select()));
    assert!(!permit.is_pending() && permit.has_reply_rules());
    let reviewed = review(&scope, &permit, &rows(5), Progress::Streaming);
    assert!(reviewed.alerts.is_empty() && reviewed.matches.is_empty());
    let reviewed = review(&scope, &permit, &complete(12), Progress::Complete);
    assert_eq!(reviewed.alerts, [(Arc::from("many"), "12 rows".to_owned())]);
    let early = crate::common::permit(decide(&scope, &select()));
    let reviewed = review(&scope, &early, &rows(11), Progress::Streaming);
    assert_eq!(reviewed.alerts, [(Arc::from("many"), "at least 11 rows".to_owned())]);
    let again = review(&scope, &permit, &complete(12), Progress::Complete);
    assert!(again.alerts.is_empty());
    assert_eq!(again.matches.len(), 1);
}

#[test]
fn an_observed_reply_rule_is_recorded_and_never_withholds() {
    for action in [approve(&["dba"]), block("no"), limit(0)] {
        let scope = scope(vec![observed("watch", "result.rows > 10", action)]);
        let permit = permit(decide(&scope, &select()));
        assert!(!permit.is_pending() && permit.has_reply_rules());
        let reviewed = review(&scope, &permit, &complete(11), Progress::Complete);
        assert_eq!(outcome(&reviewed), "pass");
        assert!(reviewed.matches[0].observed);
    }
}

#[test]
fn a_limit_on_results_refuses_only_when_it_is_used_up() {
    let scope = scope(vec![rule("r", "result.rows > 10", limit(3))]);
    let permit = permit(decide(&scope, &select()));
    let reviewed = review(&scope, &permit, &complete(11).used(2), Progress::Complete);
    assert_eq!(outcome(&reviewed), "pass");
    let reviewed = review(&scope, &permit, &complete(11).used(3), Progress::Complete);
    assert_eq!(outcome(&reviewed), "limit");
}

#[test]
fn a_permit_keeps_its_rules_when_the_policy_changes() {
    let old = scope(sample_rules());
    let permit = permit(decide(&old, &select()));
    let new = scope(Vec::new());
    assert_eq!(outcome(&review(&new, &permit, &rows(20_000), Progress::Streaming)), "hold");
}

#[test]
fn r4_a_repeat_past_the_threshold_is_held_before_it_runs() {
    let scope = scope(sample_rules());
    let facts = rows(10_001);
    let repeat = || Request { stage: model::operation::Stage::Repeat, ..ask(&facts) };
    assert_eq!(word(&scope.decide(repeat())), "hold");
    let yes: [Arc<str>; 1] = ["big-reads".into()];
    assert_eq!(word(&scope.decide(Request { satisfied: &yes, ..repeat() })), "allow");
}
