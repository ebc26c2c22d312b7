//! Which fields are hidden, and how.

use std::sync::Arc;

use detect::DetectionType;
use policy::{
    ActionSpec, ClassifySpec, HashKey, MaskKind, MaskPlan, MaskSpec, Predicates, RuleSpec,
    partial_text, redact_text,
};
use proptest::prelude::*;

use crate::common::*;

fn plan(rules: Vec<RuleSpec>) -> Arc<MaskPlan> {
    Arc::clone(permit(decide(&scope(rules), &select())).masks())
}

fn types(types: &[&str], with: &str) -> ActionSpec {
    let (types, with) = (many(types), Some(put(with)));
    ActionSpec::Mask(MaskSpec { types, with, ..MaskSpec::default() })
}

#[test]
fn fields_match_by_column_table_or_schema_without_case() {
    for (pattern, column, expected) in [
        ("ssn", ("public", "customers", "SSN"), true),
        ("SSN", ("public", "customers", "ssn"), true),
        ("ssn", ("public", "ssn", "id"), false),
        ("*card*", ("public", "customers", "credit_card_no"), true),
        ("*card*", ("public", "credit_cards", "id"), false),
        ("customers.ssn", ("public", "customers", "ssn"), true),
        ("customers.ssn", ("public", "orders", "ssn"), false),
        ("customers.*", ("public", "customers", "anything"), true),
        ("public.customers.ssn", ("public", "customers", "ssn"), true),
        ("public.customers.ssn", ("private", "customers", "ssn"), false),
        ("public.*.ssn", ("public", "customers", "ssn"), true),
        ("*.*.ssn", ("a", "b", "ssn"), true),
        ("db.public.customers.ssn", ("public", "customers", "ssn"), false),
        ("odd.name", ("public", "t", "odd.name"), true),
        ("ss?", ("public", "t", "ssn"), true),
    ] {
        let plan = plan(vec![rule("m", "", mask(&[pattern], "null"))]);
        let (schema, table, name) = column;
        let found = plan.field(schema, table, name);
        assert_eq!(found, expected.then_some(MaskKind::Null), "{pattern} on {column:?}");
    }
}

#[test]
fn labels_match_bare_names_and_whole_paths() {
    let masks = mask(&["ssn", "card.number", "public.customers.email"], "null");
    let plan = plan(vec![rule("m", "", masks)]);
    for (label, expected) in
        [("SSN", true), ("card.number", true), ("number", false), ("email", false), ("x", false)]
    {
        assert_eq!(plan.label(label).is_some(), expected, "{label}");
    }
}

#[test]
fn r19_the_strictest_mask_wins() {
    let order = ["partial", "hash", "redact", "null"];
    for pair in order.windows(2) {
        let [weak, strict] = pair else { unreachable!() };
        for rules in [[weak, strict], [strict, weak]] {
            let [first, second] = rules;
            let plan = plan(vec![
                rule("a", "", mask(&["ssn"], first)),
                rule("b", "", mask(&["*"], second)),
                rule("c", "", types(&["US_SSN"], first)),
                rule("d", "", types(&["US_SSN", "EMAIL"], second)),
            ]);
            let strict: MaskKind = strict.parse().unwrap();
            assert_eq!(plan.field("public", "t", "ssn"), Some(strict));
            assert_eq!(plan.label("ssn"), Some(strict));
            let ssn = plan.detections().iter().find(|(kind, _)| *kind == DetectionType::UsSsn);
            assert_eq!(ssn.unwrap().1, strict);
            assert_eq!(plan.detections().len(), 2);
        }
    }
    assert!(MaskKind::ALL.is_sorted());
    assert!(MaskKind::Hash < MaskKind::Tokenize && MaskKind::Tokenize < MaskKind::Partial);
}

#[test]
fn a_plan_is_the_union_of_what_matches_and_names_its_rules() {
    let rules = || {
        vec![
            rule("always", "", mask(&["ssn"], "redact")),
            rule("reads", "sql.verb == 'select'", mask(&["email"], "hash")),
            rule("writes", "sql.verb == 'insert'", mask(&["phone"], "null")),
        ]
    };
    let plan = plan(rules());
    assert_eq!(plan.field("s", "t", "ssn"), Some(MaskKind::Redact));
    assert_eq!(plan.field("s", "t", "email"), Some(MaskKind::Hash));
    assert_eq!(plan.field("s", "t", "phone"), None);
    let names = |rules: Vec<&Arc<str>>| rules.iter().map(|r| r.to_string()).collect::<Vec<_>>();
    assert_eq!(names(plan.rules().collect()), ["always", "reads"]);
    assert_eq!(names(plan.rules_for_field("s", "t", "email").collect()), ["reads"]);
    assert_eq!(names(plan.rules_for_label("ssn").collect()), ["always"]);
    let all = scope(rules());
    assert_eq!(names(all.masks().rules().collect()), ["always", "reads", "writes"]);
}

#[test]
fn equal_plans_are_one_plan_and_different_ones_have_different_ids() {
    let policy = policy(vec![
        rule("always", "", mask(&["ssn"], "redact")),
        rule("reads", "sql.verb == 'select'", mask(&["email"], "hash")),
    ]);
    let masks = |facts| {
        let scope = policy.scope(&agent(), &appdb(), SQL_BLOCK);
        Arc::clone(permit(decide(&scope, facts)).masks())
    };
    let (one, two, three) = (masks(&select()), masks(&select()), masks(&statement(&["insert"])));
    assert!(Arc::ptr_eq(&one, &two));
    assert_ne!(one.id, three.id);
    assert_ne!(one.id, plan(sample_rules()).id);
    assert_eq!(plan(Vec::new()).id, plan(vec![rule("b", "result.rows > 1", alert(""))]).id);
}

#[test]
fn many_conditional_masks_still_give_their_union() {
    let rules = (0..20)
        .map(|n| {
            let when = format!("sql.verb == 'select' && principal.rows > {}", n * 10);
            rule(&format!("r{n}"), &when, mask(&[&format!("c{n}")], "null"))
        })
        .collect();
    let scope = scope(rules);
    let permit = permit(decide(&scope, &select().int("principal.rows", 95)));
    let masked: Vec<bool> =
        (0..20).map(|n| permit.masks().field("s", "t", &format!("c{n}")).is_some()).collect();
    assert_eq!(masked, (0..20).map(|n| n < 10).collect::<Vec<_>>());
}

#[test]
fn r5_the_strictest_choice_for_predicates_wins() {
    let with = |predicates: &str| {
        let fields = many(&["ssn"]);
        let predicates = Some(put(predicates));
        ActionSpec::Mask(MaskSpec { fields, predicates, ..MaskSpec::default() })
    };
    let of = |rules| plan(rules).predicates("s", "t", "ssn");
    assert_eq!(of(vec![rule("a", "", mask(&["ssn"], "null"))]), None);
    assert_eq!(of(vec![rule("a", "", with("allow"))]), Some(Predicates::Allow));
    let both = vec![rule("a", "", with("allow")), rule("b", "", with("equality"))];
    assert_eq!(of(both), Some(Predicates::Equality));
    let all = vec![rule("a", "", with("refuse")), rule("b", "", with("allow"))];
    assert_eq!(of(all), Some(Predicates::Refuse));
}

#[test]
fn r19_partial_shows_at_most_a_quarter_and_at_most_four() {
    for (value, expected) in [
        ("", ""),
        ("abc", "***"),
        ("abcd", "***d"),
        ("abcdefg", "******g"),
        ("4111111111111111", "************1111"),
        ("411111111111111122222222", "********************2222"),
        ("žluťoučký kůň", "**********kůň"),
    ] {
        assert_eq!(partial_text(value), expected);
    }
    assert_eq!(redact_text("secret"), "[REDACTED]");
}

#[test]
fn hashes_are_keyed_stable_and_of_the_promised_form() {
    let (one, two) = (HashKey::new(&[1; 32]), HashKey::new(&[2; 32]));
    let text = one.hash_text("alice@example.com");
    assert_eq!(text, one.hash_text("alice@example.com"));
    assert_ne!(text, two.hash_text("alice@example.com"));
    assert_ne!(text, one.hash_text("bob@example.com"));
    assert!(text.len() == 32 && text.chars().all(|c| matches!(c, '0'..='9' | 'a'..='f')));
    assert_eq!(format!("{one:?}"), "HashKey(***)");
}

#[test]
fn a_hash_is_the_start_of_hmac_sha_256() {
    // RFC 4231, test case 2.
    let key = HashKey::new(b"Jefe");
    let text = key.hash_text("what do ya want for nothing?");
    assert_eq!(text, "5bdcc146bf60754e6a042426089575c7");
    assert_eq!(key.hash_int("what do ya want for nothing?", 64), 0x5bdc_c146_bf60_754e >> 1);
}

proptest! {
    #[test]
    fn hashed_numbers_fit_and_are_not_negative(value in ".{0,20}", bits in 0_u32..100) {
        let number = HashKey::new(b"key").hash_int(&value, bits);
        let bits = bits.clamp(2, 64);
        prop_assert!(number >= 0 && (bits == 64 || number < 1 << (bits - 1)));
    }

    #[test]
    fn p3_partial_never_shows_more_than_its_share(value in "[a-z]{0,40}") {
        let shown = partial_text(&value).chars().filter(|c| *c != '*').count();
        prop_assert!(shown <= 4 && shown * 4 <= value.len());
        prop_assert!(value.ends_with(&partial_text(&value)[value.len() - shown..]));
    }
}

fn classify(fields: &[&str]) -> ActionSpec {
    ActionSpec::Classify(ClassifySpec { fields: many(fields), types: Vec::new() })
}

/// A rule that asks where values go, for another protocol than the one of the tests.
fn asking() -> RuleSpec {
    on(&["internet"], rule("stays", "http.carries.size() > 0", block("no")))
}

#[test]
fn r14_masked_and_classified_fields_are_followed_while_a_rule_asks() {
    let rules =
        || vec![rule("m", "", mask(&["ssn"], "partial")), rule("c", "", classify(&["email"]))];
    let unasked = plan(rules());
    assert!(unasked.followed().is_none());
    assert_eq!(unasked.label("email"), None);

    let asked = plan([rules(), vec![asking()]].concat());
    assert_eq!(asked.label("ssn"), Some(MaskKind::Partial));
    assert_eq!(asked.label("email"), None, "it is not hidden");
    let followed = asked.followed().unwrap();
    assert_eq!(followed.label("ssn"), Some(MaskKind::Hash));
    assert_eq!(followed.label("email"), Some(MaskKind::Hash));
    assert_eq!(followed.label("city"), None);
    assert_ne!(followed.id, asked.id, "what is compiled for one is not taken for the other's");

    let only = plan(vec![rule("c", "", classify(&["email"])), asking()]);
    assert!(only.is_empty(), "nobody is taken for one who has masks");
    assert!(only.followed().is_some());
}

#[test]
fn r14_a_classification_has_conditions_and_can_be_observed() {
    let when = |condition: &str| rule("c", condition, classify(&["email"]));
    let follows = |rule: RuleSpec| {
        let plan = plan(vec![rule, asking()]);
        plan.followed().is_some_and(|followed| followed.label("email").is_some())
    };
    assert!(follows(when("sql.verb == 'select'")));
    assert!(!follows(when("sql.verb == 'insert'")));
    assert!(!follows(observed("c", "", classify(&["email"]))));
    let decided = decide(&scope(vec![when(""), asking()]), &select());
    assert_eq!((word(&decided), matches(&decided)), ("allow", vec!["c"]));
}
