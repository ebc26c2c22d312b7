//! Text to statements.

use std::sync::Arc;

use crate::catalog::{Catalog, SearchPath};
use crate::own::{self, Names};
use crate::record;
use crate::stack;
use crate::statement::{Statement, StatementKind, Statements};
use crate::tree::inner;
use crate::utility;
use crate::walk::{Context, Walk};

/// What, besides the text and the catalog, decides what a statement means.
#[derive(Clone, Copy, Debug)]
pub struct Options<'a> {
    /// The session's `standard_conforming_strings`.
    pub standard_conforming_strings: bool,
    /// The session's `search_path`.
    pub search_path: &'a SearchPath,
    /// The role the session acts as. No fact depends on it today: `"$user"` is replaced in
    /// `search_path` by whoever makes that.
    pub role: &'a str,
}

/// A text that is not SQL as this gateway understands it. Refused for everyone (P2).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Unparsable {
    /// What is wrong, in the parser's own words.
    pub message: String,
    /// Where, bytes from the start, when known.
    pub position: Option<usize>,
    /// A fixed word: `syntax`, `too_deep`, `too_complex`, `nul`, `internal`.
    pub reason: &'static str,
}

impl Unparsable {
    pub(crate) fn internal(message: &str) -> Self {
        Self { message: message.into(), position: None, reason: "internal" }
    }

    pub(crate) fn too_complex(message: &str) -> Self {
        Self { message: message.into(), position: None, reason: "too_complex" }
    }

    /// What the parser said about `text`; `says` is what it says about another.
    pub(crate) fn from_parser(
        text: &str,
        error: &pg_query::Error,
        says: impl Fn(&str) -> Option<String>,
    ) -> Self {
        match error {
            pg_query::Error::Conversion(nul) => Self {
                message: "the statement contains a NUL byte".into(),
                position: Some(nul.nul_position()),
                reason: "nul",
            },
            pg_query::Error::Parse(message) => Self {
                position: position(text, message, says),
                reason: if too_deep(message) { "too_deep" } else { "syntax" },
                message: message.clone(),
            },
            pg_query::Error::Decode(_) => Self {
                message: "the statement is nested too deeply".into(),
                position: None,
                reason: "too_deep",
            },
            other => Self::internal(&other.to_string()),
        }
    }
}

fn too_deep(message: &str) -> bool {
    ["nested too deeply", "stack depth", "memory exhausted"].iter().any(|w| message.contains(w))
}

/// Longest text in which the place of an error is looked for by parsing beginnings of it, bytes.
const SOUGHT_BYTES_MAX: usize = 16 * 1024;

/// The parser's error position is lost on the way; it can be told again when the token it names is
/// in the text once, or is the end. Where it is there more often, the grammar, which reads from
/// left to right, says the same about every beginning that includes the place and none before.
fn position(text: &str, message: &str, says: impl Fn(&str) -> Option<String>) -> Option<usize> {
    if message.ends_with("at end of input") {
        return Some(text.len());
    }
    let (_, token) = message.split_once("at or near \"")?;
    let token = token.strip_suffix('"').filter(|token| !token.is_empty())?;
    let is_word = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == '$');
    let is_whole = |place: &usize| {
        let (before, after) = (text.get(..*place), text.get(place.saturating_add(token.len())..));
        let joined = |outer, inner| is_word(outer) && is_word(inner);
        !joined(before.and_then(|text| text.chars().next_back()), token.chars().next())
            && !joined(after.and_then(|text| text.chars().next()), token.chars().next_back())
    };
    let places: Vec<usize> =
        text.match_indices(token).map(|(place, _)| place).filter(is_whole).collect();
    if let [only] = places.as_slice() {
        return Some(*only);
    }
    if text.len() > SOUGHT_BYTES_MAX {
        return None;
    }
    let includes_it = |place: &usize| {
        let beginning = text.get(..place.saturating_add(token.len()));
        beginning.and_then(&says).is_some_and(|said| said == message)
    };
    places.get(places.partition_point(|place| !includes_it(place))).copied()
}

/// Takes a text apart.
///
/// # Errors
/// [`Unparsable`]: the client's fault, except for `internal`.
pub fn analyse(
    text: &str,
    options: &Options<'_>,
    catalog: &Catalog,
) -> Result<Statements, Unparsable> {
    spending(text, options, catalog, &mut { Walk::BUDGET })
}

/// How many steps it takes to take a text apart, for tests; all there are when it is refused as
/// too complex.
///
/// # Errors
/// [`Unparsable`], as for [`analyse`].
#[doc(hidden)]
pub fn steps(text: &str, options: &Options<'_>, catalog: &Catalog) -> Result<u64, Unparsable> {
    let mut budget = Walk::BUDGET;
    match spending(text, options, catalog, &mut budget) {
        Err(error) if error.reason != "too_complex" => Err(error),
        _ => Ok(Walk::BUDGET - budget),
    }
}

fn spending(
    text: &str,
    options: &Options<'_>,
    catalog: &Catalog,
    budget: &mut u64,
) -> Result<Statements, Unparsable> {
    stack::with_tree(text, options.standard_conforming_strings, 0, |tree, used| {
        let mut with_own: Option<Catalog> = None;
        let mut creates = options.search_path;
        let mut path = if catalog.has_dropped() { &SearchPath::Unknown } else { creates };
        let mut list = Vec::with_capacity(tree.stmts.len());
        let late_numbers = has_late_numbers(text);
        for (index, raw) in tree.stmts.iter().enumerate() {
            let context = Context {
                catalog: with_own.as_ref().unwrap_or(catalog),
                path,
                bodies: path,
                creates,
                used,
                nesting: 0,
                within: None,
                late_numbers,
            };
            let Some(node) = raw.stmt.as_deref() else { continue };
            if inner(node).is_none() {
                return Err(Unparsable::internal("the parser returned an empty statement"));
            }
            let mut context = context;
            let mut statement = utility::statement(context, node, budget);
            if stores(&statement) || statement.facts.changes_search_path {
                // What is stored is run under any path, and a path that is changed by one part of
                // a statement is that of the functions in its others.
                context.bodies = &SearchPath::Unknown;
                statement = utility::statement(context, node, budget);
            }
            statement.range = range(text, raw.stmt_location, raw.stmt_len);
            statement.creates = own::table(context, node, budget).map(Arc::new);
            match own::names_after(&statement, context.catalog) {
                Names::Same => {}
                Names::AnyOfTheName => {
                    path = &SearchPath::Unknown;
                    let with = with_own.get_or_insert_with(|| catalog.clone());
                    with.mark_dropped(statement.facts.objects.iter().copied());
                }
                Names::Unknown => {
                    path = &SearchPath::Unknown;
                    creates = &SearchPath::Unknown;
                }
            }
            if let Some(table) = &statement.creates
                && index + 1 < tree.stmts.len()
            {
                // The statements after it may name it.
                let mut with = with_own.take().unwrap_or_else(|| catalog.clone());
                with.add_own(table);
                with_own = Some(with);
            }
            list.push(statement);
            if *budget == 0 {
                return Err(Unparsable::too_complex(
                    "the statement names too many columns and tables to be looked through",
                ));
            }
        }
        let facts = merged(&list);
        Ok(Statements { list, facts })
    })?
}

/// Whether it puts expressions into the catalog. What CREATE TABLE AS and SELECT INTO run, they run
/// at once.
fn stores(statement: &Statement) -> bool {
    let at_once = |command: &str| matches!(command, "create table as" | "select into");
    let at_once = matches!(&statement.kind, StatementKind::Ddl { command } if at_once(command));
    statement.facts.ddl && !at_once
}

/// Whether something in the text looks like `0x1F` or `1_000`: numbers since version 16. Before 15
/// that was `0 AS x1f` and `1 AS _000`, which gives the column another label.
fn has_late_numbers(text: &str) -> bool {
    let in_word = |c: char| c.is_alphanumeric() || matches!(c, '_' | '$');
    text.split(|c: char| !in_word(c)).any(|word| match word.as_bytes() {
        [b'0', b'x' | b'X' | b'o' | b'O' | b'b' | b'B', ..] => true,
        [b'0'..=b'9', rest @ ..] => rest.contains(&b'_'),
        _ => false,
    })
}

/// Facts of several statements as if they were one text's.
#[must_use]
pub fn merged(list: &[Statement]) -> crate::statement::Facts {
    match list {
        [only] => only.facts.clone(),
        list => record::merge(list),
    }
}

fn range(text: &str, location: i32, length: i32) -> std::ops::Range<usize> {
    let start = usize::try_from(location).unwrap_or(0).min(text.len());
    let end = match usize::try_from(length) {
        Ok(0) | Err(_) => text.len(),
        Ok(length) => (start + length).min(text.len()),
    };
    start..end
}
