//! The entry point of the fuzz target.

use std::sync::OnceLock;

use crate::catalog::{Catalog, SearchPath};
use crate::exposure::{Predicates, exposure};
use crate::parse::{Options, analyse};

/// Takes any bytes apart as a statement over a small catalog and judges what comes out. It must
/// return, whatever the bytes, and name only places that are in the text.
///
/// # Panics
/// It does not.
pub fn fuzz(data: &[u8]) {
    static CATALOG: OnceLock<Catalog> = OnceLock::new();
    let catalog = CATALOG.get_or_init(crate::sample::sample);
    let (flags, text) = match data.split_first() {
        Some((flags, text)) => (*flags, String::from_utf8_lossy(text)),
        None => return,
    };
    let path =
        if flags & 1 == 0 { SearchPath::of(&["app", "public"]) } else { SearchPath::Unknown };
    let options =
        Options { standard_conforming_strings: flags & 2 == 0, search_path: &path, role: "app" };
    let found = match analyse(&text, &options, catalog) {
        Ok(found) => found,
        Err(error) => {
            assert!(error.reason != "internal", "{error:?}");
            assert!(error.position.is_none_or(|at| at <= text.len()), "{error:?}");
            return;
        }
    };
    let mut last = 0;
    for statement in &found.list {
        let range = statement.range.clone();
        assert!(text.get(range.clone()).is_some(), "{range:?} is not in the text");
        assert!(range.start >= last, "{range:?} stands in the statement before");
        last = range.end;
        let allows = match flags >> 2 & 3 {
            0 => Predicates::Allow,
            1 => Predicates::Equality,
            _ => Predicates::Refuse,
        };
        // The judgement itself is the caller's business; here it only has to come.
        drop(exposure(statement, &|id| id.attnum % 2 == 0, &|_| allows));
    }
}
