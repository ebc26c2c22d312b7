//! One whole text: what becomes of it when it is JSON itself, and when it is not.

use super::Unreadable;
use super::hide::{Hider, Replaced};
use super::json::{Json, Values};

/// Documents inside strings of documents that are looked into.
pub(super) const LEVELS_MAX: u8 = 3;

/// Where a text stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place<'a> {
    /// The names that lead to it.
    pub path: &'a str,
    /// What stands before it and may say what it is.
    pub context: &'a [u8],
    /// JSON documents around it.
    pub level: u8,
}

/// What becomes of a text that is under no mask: as JSON if it is JSON, as text if not.
pub(super) fn judge(
    text: &str,
    place: Place<'_>,
    hide: &mut Hider,
) -> Result<Replaced, Unreadable> {
    if place.level < LEVELS_MAX && looks_like_json(text) {
        let moment = hide.moment();
        let mut out = Vec::with_capacity(text.len());
        let mut json = Json::within(Values::Many, place.path, place.level + 1);
        let read =
            json.push(text.as_bytes(), hide, &mut out).and_then(|()| json.finish(hide, &mut out));
        match read {
            Ok(()) if out == text.as_bytes() => return Ok(Replaced::Untouched),
            Ok(()) => return Ok(Replaced::With(out)),
            Err(error) if error.reason == "invalid_json" || error.reason == "unfinished" => {
                hide.back_to(moment);
            }
            Err(error) => return Err(error),
        }
    }
    Ok(hide.within(place.context, text.as_bytes()))
}

fn looks_like_json(text: &str) -> bool {
    let text = text.trim_start_matches(['\u{feff}', ' ', '\t', '\n', '\r']);
    text.starts_with(['{', '[', '"'])
}
