//! P2, P3: what is found out about one text of a shape holds for every other.
//!
//! Every statement of the golden table that has a shape is judged again with other literals in the
//! places that PostgreSQL's own scanner, not ours, calls literals. Whatever may be shared must come
//! out the same.

#![expect(clippy::indexing_slicing, clippy::unwrap_used, reason = "a test that cannot go on fails")]

use pg_query::protobuf::Token;
use proptest::prelude::*;
use sql::{Options, SearchPath, Statements, analyse, sample, shape_of};

const GOLDEN: &str = include_str!("../testdata/golden.txt");

/// Integers that mean something in other places: positions, limits, lengths.
const INTEGERS: [&str; 6] = ["0", "1", "2", "7", "100", "999999999"];
/// Strings that mean something in other places: names, settings, SQL, numbers.
const STRINGS: [&str; 7] = [
    "''",
    "'ssn'",
    "'search_path'",
    "'select ssn from customers'",
    "'it''s'",
    "'1'",
    "'public.customers'",
];

fn shape(text: &str) -> Option<Vec<u8>> {
    let mut shape = Vec::new();
    shape_of(text, &mut shape).then_some(shape)
}

fn judged(text: &str) -> Option<Statements> {
    let catalog = sample();
    let path = SearchPath::of(&["public"]);
    let options = Options { standard_conforming_strings: true, search_path: &path, role: "app" };
    analyse(text, &options, &catalog).ok()
}

/// The text with its literals, as PostgreSQL's scanner tells them, replaced in turn.
fn with_other_literals(text: &str, turn: usize) -> String {
    let tokens = pg_query::scan(text).unwrap().tokens;
    let mut out = String::new();
    let mut at = 0;
    for (index, token) in tokens.iter().enumerate() {
        let (start, end) = (token.start.try_into().unwrap(), token.end.try_into().unwrap());
        let other = match token.token() {
            Token::Iconst => INTEGERS[(turn + index) % INTEGERS.len()],
            Token::Sconst => STRINGS[(turn + index) % STRINGS.len()],
            _ => continue,
        };
        out.push_str(&text[at..start]);
        out.push_str(other);
        at = end;
    }
    out.push_str(&text[at..]);
    out
}

#[test]
fn p3_one_shape_has_one_meaning() {
    let (mut shared, mut kept_apart) = (0, 0);
    for text in GOLDEN.lines().filter(|line| !line.starts_with([' ', '#']) && !line.is_empty()) {
        let Some(shaped) = shape(text) else { continue };
        let Some(of_shape) = judged(text).and_then(|found| found.of_shape()) else {
            kept_apart += 1;
            continue;
        };
        shared += 1;
        for turn in 0..INTEGERS.len() * STRINGS.len() {
            let other = with_other_literals(text, turn);
            assert_eq!(shape(&other).as_ref(), Some(&shaped), "{text}\n{other}");
            let found = judged(&other).unwrap().of_shape();
            let found = found.unwrap_or_else(|| panic!("depends on literals: {other}"));
            assert_eq!(format!("{of_shape:?}"), format!("{found:?}"), "{text}\n{other}");
        }
    }
    assert!(shared > 60, "only {shared} statements share their shape");
    assert!(kept_apart > 20, "only {kept_apart} statements with a shape depend on their literals");
}

#[test]
fn positions_and_limits_depend_on_literals() {
    for text in [
        "select id, ssn from customers order by 1",
        "select ssn, count(*) from customers group by 1",
        "select distinct on (1) id, ssn from customers",
        "select id from customers limit 5",
        "select id from customers fetch first 5 rows only",
        "(select id from customers limit 5) union all select 1",
        "explain select 1",
        "set search_path to 'public'",
        "copy customers to '/tmp/x'",
        "fetch 5 from c",
    ] {
        assert!(judged(text).unwrap().of_shape().is_none(), "{text}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    /// Whatever has a shape is cut into the tokens that PostgreSQL's scanner cuts it into: as many
    /// literals, and nothing else different, when the literals change.
    #[test]
    fn p2_shapes_agree_with_the_scanner(
        pieces in prop::collection::vec(prop_oneof![
            Just("select "), Just("a"), Just("_b1"), Just("\"q \"\"u\""), Just("1"), Just("42"),
            Just("000000007"), Just("1234567890"), Just("."), Just("'s'"), Just("'it''s'"),
            Just("'"), Just("\""), Just(" "), Just("\n"), Just("\t"), Just("-"), Just("--"),
            Just("/"), Just("*"), Just("/*"), Just("*/"), Just("e"), Just("E"), Just("U&"),
            Just("&"), Just("$"), Just("$1"), Just("("), Just(")"), Just(","), Just("::"),
            Just("=>"), Just("\\"), Just(";"), Just("x"), Just("n"), Just("@#"), Just("|"),
            Just("[1]"), Just("é"), Just("\u{b}"),
        ], 0..12),
    ) {
        let text = pieces.concat();
        if let Some(shaped) = shape(&text) && let Ok(scanned) = pg_query::scan(&text) {
            let literals = |token: Token| {
                scanned.tokens.iter().filter(|found| found.token() == token).count()
            };
            let count = |byte: u8| shaped.iter().filter(|found| **found == byte).count();
            prop_assert_eq!(literals(Token::Iconst), count(1), "integers of {:?}", text);
            prop_assert_eq!(literals(Token::Sconst), count(2), "strings of {:?}", text);
            prop_assert_eq!(literals(Token::Fconst), 0, "fractions of {:?}", text);
            prop_assert_eq!(shape(&with_other_literals(&text, 3)), Some(shaped), "{:?}", text);
        }
    }
}
