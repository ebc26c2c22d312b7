//! Text to statements.

use crate::catalog::{Catalog, SearchPath};
use crate::statement::Statements;

/// What, besides the text and the catalog, decides what a statement means.
#[derive(Clone, Copy, Debug)]
pub struct Options<'a> {
    /// The session's `standard_conforming_strings`.
    pub standard_conforming_strings: bool,
    /// The session's `search_path`.
    pub search_path: &'a SearchPath,
    /// The role the session acts as; what `"$user"` stands for.
    pub role: &'a str,
}

/// A text that is not SQL as this gateway understands it. Refused for everyone (P2).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Unparsable {
    /// What is wrong, in the parser's own words.
    pub message: String,
    /// Where, bytes from the start, when known.
    pub position: Option<usize>,
    /// A fixed word: `syntax`, `too_deep`, `nul`, `encoding`, `internal`.
    pub reason: &'static str,
}

/// Takes a text apart.
///
/// # Errors
/// [`Unparsable`]: the client's fault, except for `internal`.
pub fn analyse(
    _text: &str,
    _options: &Options<'_>,
    _catalog: &Catalog,
) -> Result<Statements, Unparsable> {
    Err(Unparsable { message: "not yet".into(), position: None, reason: "internal" })
}
