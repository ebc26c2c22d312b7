//! Every problem of a condition is found when it is loaded, with its place and what would be right.

use crate::fixture::compile;

/// Condition, line and column, how the message goes (a part of it), how the help goes.
const PROBLEMS: &[(&str, &str, &str, &str)] = &[
    ("", "10:5", "the condition is empty", "leave `when` out for a rule that always applies"),
    ("r.a", "10:5", "the condition is int, not true or false", "compare it with something"),
    ("r.aa > 1", "10:5", "there is no fact \"r.aa\"", "did you mean \"r.a\"?"),
    ("sql.verb == 'x'", "10:5", "there is no fact \"sql.verb\"", "facts begin with: now, r"),
    ("r", "10:5", "there is no fact \"r\"", "there are: r.a, r.age, r.b, r.bad, r.l, r.lacks, r"),
    ("lists.word", "10:5", "there is no list \"word\"", "did you mean \"words\"?"),
    ("'a' in lists.wrods", "10:12", "there is no list \"wrods\"", "did you mean \"words\"?"),
    (
        "r.l == 'two'",
        "10:9",
        "r.l is a list of text and \"two\" is text: they cannot be compared",
        "write \"two\" in r.l",
    ),
    (
        "r.t > 3",
        "10:9",
        "3 is int and r.t is text: they cannot be compared",
        "only numbers, texts and times have an order",
    ),
    (
        "r.a > 'x'",
        "10:9",
        "\"x\" is text and r.a is int: they cannot be compared",
        "only numbers, texts and times have an order",
    ),
    (
        "r.l > 3",
        "10:9",
        "3 is int and r.l is a list of text: they cannot be compared",
        "write r.l.size() for how many there are",
    ),
    (
        "r.age > 300",
        "10:11",
        "300 is int and r.age is duration: they cannot be compared",
        "write a length of time as duration(\"5m\")",
    ),
    (
        "now > 5",
        "10:9",
        "5 is int and now is time: they cannot be compared",
        "write a time as timestamp(\"2026-01-31T00:00:00Z\")",
    ),
    (
        "r.t + 'x' == 'y'",
        "10:9",
        "r.t is text and \"x\" is text: they cannot be calculated with",
        "texts cannot be joined; compare them separately",
    ),
    (
        "r.l + r.l == r.l",
        "10:9",
        "r.l is a list of text and r.l is a list of text: they cannot",
        "lists cannot be joined; search them separately with ||",
    ),
    ("r.a && r.p", "10:5", "r.a is int", "something true or false is needed: compare it"),
    ("!r.a", "10:6", "r.a is int", "something true or false is needed: compare it"),
    ("-r.t == 'x'", "10:5", "r.t is text", "only numbers can be negative; write ! for not"),
    (
        "r.l.contains('two')",
        "10:17",
        "r.l is a list of text and \"two\" is text: they cannot be searched",
        "write \"two\" in r.l, or r.l.exists(v, …)",
    ),
    (
        "r.t.containz('x')",
        "10:17",
        "there is no function \"containz\"",
        "did you mean \"contains\"?",
    ),
    (
        "foo(r.t)",
        "10:8",
        "there is no function \"foo\"",
        "there are size, startsWith, endsWith, contains, ma",
    ),
    ("touches(r.l)", "10:13", "r.l is a list of text", "write a fixed text, or lists.NAME"),
    (
        "touches('a','b')",
        "10:12",
        "touches() takes one value",
        "write touches(\"text\") or touches(lists.NAME)",
    ),
    ("host_in(r.t)", "10:12", "host_in() takes two values", "write host_in(text, lists.NAME)"),
    (
        "host_in(r.t, ['*foo'])",
        "10:18",
        "\"*foo\" is not a host name or *.suffix",
        "write api.example.com or *.example.com",
    ),
    ("host_in(r.t, r.l)", "10:18", "r.l is a list of text", "write a fixed text, or lists.NAME"),
    (
        "host_in(r.a, 'x')",
        "10:12",
        "the first value of host_in() is int",
        "it must be text or a list of text",
    ),
    (
        "r.t in lists.hosts",
        "10:9",
        "lists.hosts holds patterns, which `in` does not use",
        "write host_in(r.t, lists.hosts)",
    ),
    (
        "r.l in ['x']",
        "10:9",
        "r.l is a list of text and this is a list of text: they canno",
        "write r.l.exists(v, v in …)",
    ),
    (
        "'x' in r.t",
        "10:9",
        "\"x\" is text and r.t is text: they cannot be searched",
        "write r.t.contains(\"x\") for a part of a text",
    ),
    ("r.m.host == 'x'", "10:5", "there is no fact \"r.m.host\"", "write r.m[\"host\"]"),
    (
        "r.m[3] == 'x'",
        "10:8",
        "r.m is a map of text and 3 is int: they cannot be looked up",
        "only maps have entries, named by text",
    ),
    (
        "r.l[0] == 'x'",
        "10:8",
        "items of lists have no numbers here",
        "write .exists(v, …) or \"text\" in list",
    ),
    (
        "has(r.m.host)",
        "10:9",
        "has() is not supported",
        "every fact has a value; compare it with \"\", or wri",
    ),
    (
        "r.l.map(v, v) == []",
        "10:12",
        "map, filter and exists_one are not supported",
        "use .exists(v, …) or .all(v, …)",
    ),
    (
        "r.l.filter(v, v == 'a').size() > 0",
        "10:15",
        "map, filter and exists_one are not supported",
        "use .exists(v, …) or .all(v, …)",
    ),
    (
        "r.l.exists_one(v, v == 'a')",
        "10:19",
        "map, filter and exists_one are not supported",
        "use .exists(v, …) or .all(v, …)",
    ),
    (
        "r.l.exists(v, r.l.exists(w, w == v))",
        "10:29",
        "exists and all cannot be nested",
        "use `in`, a list under `lists`, or a second rule",
    ),
    ("r.l.exists(v, v.x == 'a')", "10:19", "v is text and has no fields", "compare it as it is"),
    (
        "r.t.exists(v, true)",
        "10:5",
        "r.t is text",
        "exists and all go over lists of text and the keys of maps",
    ),
    ("r.l.exists(v, v)", "10:19", "v is text", "something true or false is needed: compare it"),
    (
        "r.l.exists(v == 'a')",
        "10:15",
        "exists() takes a variable and a condition",
        "write .exists(v, condition on v)",
    ),
    (
        "r.t.matches('(')",
        "10:17",
        "this regular expression is not accepted: unclosed group",
        "RE2 syntax, without look-around",
    ),
    (
        "r.t.matches('(?=x)')",
        "10:17",
        "this regular expression is not accepted: look-around, includ",
        "RE2 syntax, without look-around",
    ),
    (
        "r.t.matches('a{1000}{1000}{100}')",
        "10:17",
        "this regular expression is not accepted: it is too large",
        "RE2 syntax, without look-around",
    ),
    (
        "r.t.matches(r.t)",
        "10:17",
        "a regular expression must not depend on facts",
        "write the regular expression as a fixed text",
    ),
    ("1.5 > r.a", "10:5", "fractions are not supported", "write a whole number"),
    ("5u > r.a", "10:5", "unsigned numbers are not supported", "write 5 without the u"),
    (
        "null == r.t",
        "10:5",
        "nothing is ever null",
        "an absent value is empty: compare it with \"\" or 0",
    ),
    ("b'x' == r.t", "10:5", "bytes are not supported", "write text, without the b"),
    ("{'a': 1} == 1", "10:5", "maps cannot be written in conditions", "compare single values"),
    (
        "[r.t] == r.l",
        "10:6",
        "lists hold only fixed texts or numbers",
        "compare other values with == and join the comparis",
    ),
    ("['a', 1] == r.l", "10:5", "this list mixes texts and numbers", "write two lists"),
    (
        "duration('5') > r.age",
        "10:14",
        "\"5\" is not understood",
        "write for example duration(\"1h30m\"), with h, m, s,",
    ),
    (
        "timestamp('x') > now",
        "10:15",
        "\"x\" is not understood",
        "write for example timestamp(\"2026-01-31T08:00:00Z\")",
    ),
    (
        "timestamp(r.t) > now",
        "10:15",
        "r.t is text, not a fixed text",
        "write for example timestamp(\"2026-01-31T08:00:00Z\")",
    ),
    (
        "now.getHours('CET') > 1",
        "10:17",
        "getHours() knows no time zones",
        "times are UTC: leave the value out and convert",
    ),
    ("r.t.getHours() > 1", "10:17", "r.t is text", "getHours() is for times"),
    ("r.a = 3", "10:9", "token recognition error at: '= '", "write == to compare"),
    ("r.a > 3 and r.p", "10:13", "mismatched input 'and'", "write && for and"),
    ("not r.p", "10:9", "mismatched input 'r'", "write ! for not"),
    (
        "r.p &&",
        "10:11",
        "mismatched input the end of the condition",
        "conditions are CEL, for example: \"x\" in a.list || ",
    ),
    (
        "(r.p",
        "10:9",
        "missing ')' at the end of the condition",
        "conditions are CEL, for example: \"x\" in a.list || ",
    ),
    (
        "r.p)",
        "10:8",
        "extraneous input ')'",
        "conditions are CEL, for example: \"x\" in a.list || ",
    ),
    (
        "r.t == 'wö' && r.zz == 1",
        "10:20",
        "there is no fact \"r.zz\"",
        "there are: r.a, r.age, r.b, r.bad, r.l, r.lacks, r",
    ),
    (
        "r.p ||\n  r.zz == 1",
        "11:7",
        "there is no fact \"r.zz\"",
        "there are: r.a, r.age, r.b, r.bad, r.l, r.lacks, r",
    ),
    (
        "r.p ? 1 : 'a'",
        "10:9",
        "1 is int and \"a\" is text: they cannot be chosen between",
        "both branches of ? : must be bool, numbers, texts ",
    ),
    ("size(r.a) > 1", "10:9", "r.a is int and has no size", "texts, lists and maps have sizes"),
    ("size() > 1", "10:9", "size() takes one value", "give it one"),
    ("now() > now", "10:8", "now is a fact, not a function", "write now"),
    (
        "string(r.a) == '1'",
        "10:11",
        "there is no function \"string\"",
        "there are size, startsWith, endsWith, contains, ma",
    ),
    (
        "r.t.lowerAscii() == 'x'",
        "10:19",
        "there is no function \"lowerAscii\"",
        "there are size, startsWith, endsWith, contains, ma",
    ),
    ("r.t.size(1) > 1", "10:13", "size() takes no value", "write .size()"),
    (
        "optional.of(1)",
        "10:16",
        "there is no function \"of\"",
        "there are size, startsWith, endsWith, contains, ma",
    ),
    (
        "r.?a == 1",
        "10:6",
        "unsupported syntax '.?'",
        "conditions are CEL, for example: \"x\" in a.list || ",
    ),
    (
        "a.b().c == 1",
        "10:8",
        "this has no fields",
        "only facts have dots in their names; use map[\"key\"",
    ),
    (
        "\"abc",
        "10:5",
        "token recognition error at: '\"abc'",
        "conditions are CEL, for example: \"x\" in a.list || ",
    ),
    (
        "r.t == 'x' @",
        "10:16",
        "token recognition error at: '@'",
        "conditions are CEL, for example: \"x\" in a.list || ",
    ),
    (
        "r.l.exists(r.a, true)",
        "10:17",
        "argument must be a simple name",
        "conditions are CEL, for example: \"x\" in a.list || ",
    ),
    ("__result__ == 1", "10:5", "there is no fact \"__result__\"", "facts begin with: now, r"),
    (
        "@result",
        "10:5",
        "token recognition error at: '@'",
        "conditions are CEL, for example: \"x\" in a.list || ",
    ),
];

#[test]
fn every_problem_has_a_place_a_message_and_help() {
    for (text, at, message, help) in PROBLEMS {
        let Err(problems) = compile(text) else { panic!("{text} compiles") };
        let [problem] = problems.as_slice() else { panic!("{text}: {problems:?}") };
        assert_eq!(format!("{}:{}", problem.at.line, problem.at.column), *at, "{text}");
        assert!(problem.message.contains(message), "{text}: {}", problem.message);
        let found = problem.help.as_deref().unwrap_or_default();
        assert!(found.contains(help), "{text}: {found}");
    }
}

#[test]
fn all_problems_of_a_condition_are_found_in_one_run() {
    let problems = compile("r.aa == 1 || r.l == 1 || (nope && r.t.matches('(') && 'x' > 1)").err();
    let columns: Vec<_> = problems.unwrap().iter().map(|problem| problem.at.column).collect();
    assert_eq!(columns, [5, 22, 31, 51, 63]);
}

#[test]
fn p8_conditions_have_limits() {
    let nested = |open: &str, inner: &str, close: &str, depth: usize| {
        format!("{}{inner}{}", open.repeat(depth), close.repeat(depth))
    };
    for (text, message) in [
        (nested("1 + ", "1 == 1", "", 1000), "more than 1000 parts"),
        (nested("(", "r.p", ")", 3000), "nested deeper than 64"),
        (nested("[", "r.p", "]", 3000), "nested deeper than 64"),
        (nested("r.m[", "'k'", "]", 1500), "nested deeper than 64"),
        (nested("r.p || ", "r.p", "", 600), "more than 1000 parts"),
        (format!("r.t in [{}'a']", "'a', ".repeat(1000)), "more than 1000 parts"),
        (format!("r.t == '{}'", "a".repeat(9000)), "8192 are allowed"),
    ] {
        let Err(problems) = compile(&text) else { panic!("{}… compiles", &text[..20]) };
        let [problem] = problems.as_slice() else { panic!("{problems:?}") };
        assert!(problem.message.contains(message), "{}", problem.message);
    }
    assert!(compile(&nested("!(", "r.p", ")", 20)).is_ok());
    assert!(compile(&nested("r.p || ", "r.p", "", 400)).is_ok());
}

#[test]
fn text_may_go_over_lines_and_be_of_any_language() {
    for (text, at) in [
        ("r.p ||\n  r.zz", (11, 7)),
        ("r.t == 'wörter' && r.zz", (10, 24)),
        ("r.t == 'wörter' and r.zz", (10, 21)),
        ("r.p ||\n r.t == 'wörter' and r.zz", (11, 22)),
    ] {
        let problem = &compile(text).err().unwrap()[0];
        assert_eq!((problem.at.line, problem.at.column), at, "{text}");
    }
}
