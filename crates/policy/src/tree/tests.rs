//! Conditions mean what CEL says (table, and the `cel` interpreter as a second opinion), and what
//! is said while facts are unknown is never contradicted when they become known.

use cel::{Context, Program, Value as CelValue};
use model::Value;
use proptest::prelude::*;

use crate::fixture::{Values, compile, list, text, values};
use crate::outcome::Outcomes;
use crate::schema::Fact;

const YES: Outcomes = Outcomes::YES;
const NO: Outcomes = Outcomes::NO;
const ERROR: Outcomes = Outcomes::ERROR;

fn eval(condition: &str, values: &Values) -> Outcomes {
    match compile(condition) {
        Ok(compiled) => compiled.eval(values),
        Err(problems) => panic!("{condition}: {problems:?}"),
    }
}

fn assert_all(values: &Values, table: &[(&str, Outcomes)]) {
    for (condition, expected) in table {
        assert_eq!(eval(condition, values), *expected, "{condition}");
    }
}

#[test]
fn numbers() {
    assert_all(
        &values(),
        &[
            ("r.a == 7", YES),
            ("r.a != 7", NO),
            ("r.a < 7", NO),
            ("r.a <= 7", YES),
            ("r.a > 6 && 8 > r.a", YES),
            ("r.a >= 8", NO),
            ("r.a + r.b == 5", YES),
            ("r.a - r.b == 9", YES),
            ("r.a * r.b == -14", YES),
            ("r.a / r.b == -3", YES),
            ("r.a % r.b == 1", YES),
            ("-r.a % 4 == -3", YES),
            ("-r.a == -7", YES),
            ("r.a / 0 == 1", ERROR),
            ("r.a % 0 == 1", ERROR),
            ("9223372036854775807 + r.a > 0", ERROR),
            ("-9223372036854775808 / -1 > 0", ERROR),
            ("-9223372036854775808 % -1 == 0", ERROR),
            ("-(-9223372036854775808) > 0", ERROR),
            ("r.a in [1, 7]", YES),
            ("r.b in [1, 7]", NO),
            ("(r.p ? r.a : r.b) == 7", YES),
            ("(r.q ? r.a : r.b) == 7", NO),
            ("1 + 2 * 3 == 7", YES),
        ],
    );
}

#[test]
fn truth_and_errors_follow_cel() {
    assert_all(
        &values(),
        &[
            ("r.p", YES),
            ("!r.p", NO),
            ("r.p && r.q", NO),
            ("r.p || r.q", YES),
            ("r.p == r.q", NO),
            ("r.p != r.q", YES),
            ("true", YES),
            ("r.bad", ERROR),
            ("!r.bad", ERROR),
            ("r.bad && false", NO),
            ("false && r.bad", NO),
            ("r.bad && true", ERROR),
            ("r.bad || true", YES),
            ("true || r.bad", YES),
            ("r.bad || false", ERROR),
            ("r.bad || r.bad", ERROR),
            ("r.bad == true", ERROR),
            ("r.bad ? true : true", ERROR),
            ("true ? r.q : r.bad", NO),
            ("r.l.exists(v, v == 'two' || r.bad)", YES),
            ("r.l.exists(v, v == 'none' || r.bad)", ERROR),
            ("r.l.all(v, v == 'two' && r.bad)", NO),
        ],
    );
}

#[test]
fn texts_lists_and_maps() {
    assert_all(
        &values(),
        &[
            ("r.t == 'hello wörld'", YES),
            ("r.t != \"x\"", YES),
            ("r.t < 'i'", YES),
            ("r.t >= 'i'", NO),
            ("r.t.size() == 11", YES),
            ("size(r.t) == 11", YES),
            ("r.t.startsWith('hello')", YES),
            ("r.t.endsWith('world')", NO),
            ("r.t.contains('o w')", YES),
            ("r.t.matches('^h.*d$')", YES),
            ("r.t.matches('ell')", YES),
            ("r.t.matches('^ell')", NO),
            ("r.t in ['x', 'hello wörld']", YES),
            ("r.t in lists.words", NO),
            ("'two' in r.l", YES),
            ("!('one' in r.l)", YES),
            ("'two' in []", NO),
            ("r.l.size() == 2", YES),
            ("r.l == ['public.orders', 'two']", YES),
            ("r.l == ['two', 'public.orders']", NO),
            ("r.l.exists(v, v.startsWith('public.'))", YES),
            ("r.l.exists(v, v in lists.words)", YES),
            ("r.l.all(v, v in lists.words)", NO),
            ("r.l.all(v, v.size() > 2)", YES),
            ("lists.words.exists(v, v in r.l)", YES),
            ("['hello', 'x'].exists(v, r.t.contains(v))", YES),
            ("r.m['host'] == 'a.example'", YES),
            ("r.m['absent'] == ''", YES),
            ("'k' in r.m", YES),
            ("'v' in r.m", NO),
            ("r.m.size() == 2", YES),
            ("r.m.exists(k, r.m[k] == 'v')", YES),
            ("r.m.all(k, k == 'k')", NO),
            ("(r.p ? r.t : 'x') == 'x'", NO),
            ("(r.q ? r.l : ['x']).size() == 1", YES),
        ],
    );
}

#[test]
fn times() {
    assert_all(
        &values(),
        &[
            ("now > timestamp('2026-01-01T00:00:00Z')", YES),
            ("now - timestamp('2026-11-23T07:00:00Z') == duration('28m13s')", YES),
            ("now + duration('1h') > now", YES),
            ("now.getHours() == 7", YES),
            ("now.getHours('UTC') == 7", YES),
            ("now.getDayOfWeek() == 1", YES),
            ("now.getFullYear() == 2026 && now.getMonth() == 10 && now.getDate() == 23", YES),
            ("now.getDayOfMonth() == 22 && now.getDayOfYear() == 326", YES),
            ("now.getMinutes() == 28 && now.getSeconds() == 13", YES),
            ("r.age > duration('1h')", YES),
            ("r.age.getMinutes() == 90", YES),
            ("r.age - duration('2h') < duration('0s')", YES),
            ("timestamp('1970-01-01T00:00:00Z') - duration('1s') < now", ERROR),
            ("now.getHours() >= 9 && now.getHours() < 17", NO),
        ],
    );
}

#[test]
fn functions() {
    for (host, expected) in [
        ("api.example.com", YES),
        ("API.EXAMPLE.COM.", YES),
        ("api.example.com.evil.test", NO),
        ("xapi.example.com", NO),
        ("a.internal.example", YES),
        ("a.b.internal.example.", YES),
        ("internal.example", NO),
        (".internal.example", NO),
        ("evilinternal.example", NO),
        ("", NO),
    ] {
        let values = values().set("r.t", text(host));
        assert_eq!(eval("host_in(r.t, lists.hosts)", &values), expected, "{host}");
    }
    assert_all(
        &values(),
        &[
            ("in_list('two')", YES),
            ("in_list('TWO')", NO),
            ("in_list(lists.words)", YES),
            ("in_list(['x'])", NO),
            ("touches('orders')", YES),
            ("touches('public.*')", YES),
            ("touches('ORD*')", YES),
            ("touches('public')", NO),
            ("touches('private.*')", NO),
        ],
    );
}

#[test]
fn hosts_below_need_a_label_before_the_suffix() {
    let values = values().set("r.t", text(".internal.example"));
    assert_eq!(eval("host_in(r.t, ['*.internal.example'])", &values), NO);
}

#[test]
fn unknown_facts_leave_what_is_possible() {
    let streaming = values()
        .set("r.a", Fact::Range { low: 10, high: i64::MAX })
        .set("r.b", Fact::Range { low: 0, high: 5 })
        .set("r.p", Fact::Pending)
        .set("r.l", Fact::Pending);
    assert_all(
        &streaming,
        &[
            ("r.a > 9", YES),
            ("r.a > 10", Outcomes::EITHER),
            ("r.a < 10", NO),
            ("r.a == 3", NO),
            ("r.a == 11", Outcomes::EITHER),
            ("r.a in [1, 2]", NO),
            ("r.b in [1, 2]", Outcomes::EITHER),
            ("r.a > r.b", YES),
            ("r.a + 1 > 10", YES.or_fails(true)),
            ("r.b * -2 >= -10", YES),
            ("10 / r.b >= 0", YES.or_fails(true)),
            ("7 % (r.b + 1) < 6", YES),
            ("r.p", Outcomes::ANY),
            ("r.p && false", NO),
            ("r.p || true", YES),
            ("r.p || r.b < 6", YES),
            ("'two' in r.l", Outcomes::ANY),
            ("r.l.size() >= 0", YES.or_fails(true)),
            ("r.l.exists(v, v == 'x') && r.a < 10", NO),
            ("(r.p ? 1 : 2) < 3", YES.or_fails(true)),
            ("(r.p ? 1 : 4) < 3", Outcomes::ANY),
            ("(r.p ? 'a' : 'b') == 'c'", Outcomes::ANY),
        ],
    );
}

#[test]
fn a_fact_of_another_type_than_declared_is_an_error() {
    let wrong = values().set("r.a", text("7")).set("r.l", text("x")).set("r.t", list(&[]));
    assert_all(
        &wrong,
        &[
            ("r.a == 7", ERROR),
            ("'x' in r.l", ERROR),
            ("r.t == 'x'", ERROR),
            ("r.lacks == 1", ERROR),
        ],
    );
}

/// Conditions over the facts of the fixture, of every kind of expression.
fn conditions() -> impl Strategy<Value = String> {
    let number = prop_oneof![
        Just("r.a".to_owned()),
        Just("r.b".to_owned()),
        Just("r.l.size()".to_owned()),
        (-12_i64..12).prop_map(|n| format!("({n})")),
        Just("9223372036854775807".to_owned()),
    ];
    let number = number.prop_recursive(3, 12, 2, |inner| {
        (inner.clone(), inner, prop::sample::select(vec!["+", "-", "*", "/", "%"]))
            .prop_map(|(a, b, operator)| format!("({a} {operator} {b})"))
    });
    let text = prop_oneof![
        Just("r.t".to_owned()),
        Just("r.m['k']".to_owned()),
        prop::sample::select(vec!["'a'", "'b'", "'ab'", "''"]).prop_map(str::to_owned),
    ];
    let orders = || prop::sample::select(vec!["==", "!=", "<", "<=", ">", ">="]);
    let leaf = prop_oneof![
        Just("r.p".to_owned()),
        Just("r.q".to_owned()),
        Just("true".to_owned()),
        (number.clone(), number.clone(), orders()).prop_map(|(a, b, o)| format!("{a} {o} {b}")),
        (text.clone(), text.clone(), orders()).prop_map(|(a, b, o)| format!("{a} {o} {b}")),
        (text.clone(), text.clone(), prop::sample::select(vec!["startsWith", "contains"]))
            .prop_map(|(a, b, find)| format!("{a}.{find}({b})")),
        text.clone().prop_map(|a| format!("{a} in r.l")),
        text.clone().prop_map(|a| format!("{a} in ['a', 'ab']")),
        number.prop_map(|a| format!("{a} in [1, 2, 3]")),
        (text.clone(), prop::sample::select(vec!["exists", "all"])).prop_map(|(a, each)| {
            format!("r.l.{each}(v, v == {a} || v.size() > r.b || 3 / r.b == 1)")
        }),
    ];
    leaf.prop_recursive(4, 24, 3, |inner| {
        prop_oneof![
            inner.clone().prop_map(|a| format!("!({a})")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a} && {b})")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a} || {b})")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("(({a}) == ({b}))")),
            (inner.clone(), inner.clone(), inner)
                .prop_map(|(a, b, c)| format!("({a} ? {b} : {c})")),
        ]
    })
}

/// What the facts turn out to be.
#[derive(Clone, Debug)]
struct Concrete {
    a: i64,
    b: i64,
    p: bool,
    q: bool,
    t: String,
    k: String,
    l: Vec<String>,
}

fn concrete() -> impl Strategy<Value = Concrete> {
    let int = || prop_oneof![-4_i64..5, Just(i64::MIN), Just(i64::MAX), any::<i64>()];
    let text = "[ab]{0,2}";
    (int(), int(), any::<bool>(), any::<bool>(), text, text, prop::collection::vec(text, 0..3))
        .prop_map(|(a, b, p, q, t, k, l)| Concrete { a, b, p, q, t, k, l })
}

impl Concrete {
    fn values(&self) -> Values {
        let items: Vec<&str> = self.l.iter().map(String::as_str).collect();
        values()
            .set("r.a", Fact::Known(Value::Int(self.a)))
            .set("r.b", Fact::Known(Value::Int(self.b)))
            .set("r.p", Fact::Known(Value::Bool(self.p)))
            .set("r.q", Fact::Known(Value::Bool(self.q)))
            .set("r.t", text(&self.t))
            .set("r.m", Fact::Known(Value::TextMap([("k".into(), self.k.as_str().into())].into())))
            .set("r.l", list(&items))
    }

    /// The same facts, some of them not known yet.
    fn unknown(&self, below: u8, above: u8, hidden: u8) -> Values {
        let mut values = self.values();
        for (bit, name, value) in [(1, "r.a", self.a), (2, "r.b", self.b)] {
            if hidden & bit != 0 {
                let low = value.saturating_sub(i64::from(below));
                let high = value.saturating_add(i64::from(above));
                values = values.set(name, Fact::Range { low, high });
            }
        }
        for (bit, name) in
            [(4, "r.p"), (8, "r.q"), (16, "r.t"), (32, "r.m"), (64, "r.l"), (128, "r.a")]
        {
            if hidden & bit != 0 {
                values = values.set(name, Fact::Pending);
            }
        }
        values
    }

    /// What the `cel` interpreter says.
    fn interpreted(&self, condition: &str) -> Outcomes {
        let program = Program::compile(condition).unwrap();
        let mut context = Context::default();
        let map = |entries: Vec<(&str, CelValue)>| {
            CelValue::Map(entries.into_iter().collect::<std::collections::HashMap<_, _>>().into())
        };
        let list: Vec<CelValue> = self.l.iter().map(|t| CelValue::from(t.as_str())).collect();
        let facts = map(vec![
            ("a", CelValue::Int(self.a)),
            ("b", CelValue::Int(self.b)),
            ("p", CelValue::Bool(self.p)),
            ("q", CelValue::Bool(self.q)),
            ("t", CelValue::from(self.t.as_str())),
            ("m", map(vec![("k", CelValue::from(self.k.as_str()))])),
            ("l", CelValue::List(list.into())),
        ]);
        context.add_variable_from_value("r", facts);
        match program.execute(&context) {
            Ok(CelValue::Bool(value)) => Outcomes::known(value),
            Ok(other) => panic!("{condition} is {other:?}"),
            Err(_) => ERROR,
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn known_facts_give_what_cel_gives(condition in conditions(), facts in concrete()) {
        let ours = eval(&condition, &facts.values());
        prop_assert_eq!(ours, facts.interpreted(&condition), "{}", condition);
    }

    #[test]
    fn what_was_said_before_the_facts_were_known_holds_after(
        condition in conditions(),
        facts in concrete(),
        below in any::<u8>(),
        above in any::<u8>(),
        hidden in any::<u8>(),
    ) {
        let compiled = compile(&condition).unwrap();
        let before = compiled.eval(&facts.unknown(below, above, hidden));
        let after = compiled.eval(&facts.values());
        prop_assert!(before.contains(after), "{}: {:?} then {:?}", condition, before, after);
    }

    #[test]
    fn complete_facts_leave_one_outcome(condition in conditions(), facts in concrete()) {
        let outcome = eval(&condition, &facts.values());
        prop_assert!([YES, NO, ERROR].contains(&outcome), "{}: {:?}", condition, outcome);
    }
}
