//! Any bytes as a value that somebody received (the first line) and as what they send (the rest).

use std::sync::Arc;

use engine::taint::{TaintKey, Trail};
use model::Timestamp;
use model::limit::TAINT_KEPT;

/// Letters and digits of one print, bytes.
const BLOCK_BYTES: usize = 64;

/// What holds the value is found to hold it (R14), from both ends and behind anything; the search
/// ends whatever the text is; what was not received is not found.
pub fn taint(data: &[u8]) {
    let now = Timestamp(1);
    let key = Arc::new(TaintKey::new(b"a key of the fuzz target"));
    let trail = Trail::new(Arc::clone(&key));
    let carried = |text: &[u8]| {
        let mut search = trail.search(now);
        search.look_beside(text);
        search.end().expect("all is kept")
    };
    let at = data.iter().position(|byte| *byte == b'\n').unwrap_or(data.len());
    let (value, text) = data.split_at(at);
    assert!(carried(text).is_empty(), "nothing was received");
    let taints = trail.taints(&Arc::from("source"), value);
    assert!(taints.len() <= BLOCK_BYTES + 1, "{} prints", taints.len());
    for taint in &taints {
        trail.add(taint, now.plus(TAINT_KEPT), now).expect("room");
    }
    assert!(trail.unknown(&taints, now).is_empty());
    carried(text);
    // What is no text has no letters that stand for themselves wherever they are.
    let (Ok(value), Ok(text)) = (std::str::from_utf8(value), std::str::from_utf8(text)) else {
        return;
    };
    let is_whole = value.chars().filter(|c| c.is_alphanumeric()).count() <= BLOCK_BYTES / 4;
    if !taints.is_empty() && is_whole {
        for sent in [
            format!("{text} {value}"),
            format!("{value} {text}"),
            format!("{text}\n{value}.{text}"),
        ] {
            assert_eq!(carried(sent.as_bytes()).len(), 1, "{value:?} in {sent:?}");
        }
        if value.is_ascii() {
            let turned: String = value.chars().rev().collect();
            assert_eq!(carried(turned.as_bytes()).len(), 1, "{turned:?}");
        }
    }
}
