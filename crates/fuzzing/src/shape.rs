//! Any text and another one that differs from it only in literals.

use pg_query::protobuf::Token;
use sql::{Options, SearchPath, Statements, analyse, sample, shape_of};

use crate::bytes_of::BytesOf;

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

fn shaped(text: &str) -> Option<Vec<u8>> {
    let mut shape = Vec::new();
    shape_of(text, &mut shape).then_some(shape)
}

fn judged(text: &str, catalog: &sql::Catalog) -> Option<Statements> {
    let path = SearchPath::of(&["public"]);
    let options = Options { standard_conforming_strings: true, search_path: &path, role: "app" };
    analyse(text, &options, catalog).ok()
}

/// P2, P3: texts of one shape have the same literals for PostgreSQL's own scanner, and what holds
/// for the shape of one is what holds for the other by itself.
pub fn shape(data: &[u8]) {
    let mut input = BytesOf(data);
    let (integer, string) = (input.choice(INTEGERS.len()), input.choice(STRINGS.len()));
    let Ok(text) = std::str::from_utf8(input.0) else { return };
    let Some(shape) = shaped(text) else { return };
    let Ok(scanned) = pg_query::scan(text) else { return };
    let (mut other, mut at, mut integers, mut strings) = (String::new(), 0, 0, 0);
    for token in &scanned.tokens {
        let replaced = match token.token() {
            Token::Iconst => {
                integers += 1;
                INTEGERS[(integer + integers) % INTEGERS.len()]
            }
            Token::Sconst => {
                strings += 1;
                STRINGS[(string + strings) % STRINGS.len()]
            }
            Token::Fconst | Token::Bconst | Token::Xconst | Token::Usconst => {
                panic!("a literal of another kind has a shape: {text:?}")
            }
            _ => continue,
        };
        let start = usize::try_from(token.start).expect("a place in the text");
        other.push_str(&text[at..start]);
        other.push_str(replaced);
        at = usize::try_from(token.end).expect("a place in the text");
    }
    other.push_str(&text[at..]);
    let count = |byte: u8| shape.iter().filter(|found| **found == byte).count();
    assert_eq!((integers, strings), (count(1), count(2)), "literals of {text:?}");
    assert_eq!(shaped(&other).as_ref(), Some(&shape), "{text:?} {other:?}");

    let catalog = sample();
    let Some(first) = judged(text, &catalog).and_then(|found| found.of_shape()) else { return };
    let second = judged(&other, &catalog);
    let second = second.unwrap_or_else(|| panic!("of a shape that parses: {text:?} {other:?}"));
    let second =
        second.of_shape().unwrap_or_else(|| panic!("only one depends: {text:?} {other:?}"));
    assert_eq!(format!("{first:?}"), format!("{second:?}"), "{text:?} {other:?}");
}
