//! The entry point of the fuzz target.

use std::sync::OnceLock;

use crate::catalog::{Catalog, SearchPath};
use crate::exposure::{Predicates, exposure};
use crate::parse::{Options, analyse};

/// Takes any bytes apart as a statement over a small catalog and judges what comes out. It must
/// return, whatever the bytes.
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
    let Ok(found) = analyse(&text, &options, catalog) else { return };
    for statement in &found.list {
        let allows = match flags >> 2 & 3 {
            0 => Predicates::Allow,
            1 => Predicates::Equality,
            _ => Predicates::Refuse,
        };
        // The judgement itself is the caller's business; here it only has to come.
        drop(exposure(statement, &|id| id.attnum % 2 == 0, &|_| allows));
    }
}
