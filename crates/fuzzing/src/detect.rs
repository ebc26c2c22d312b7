//! Any bytes as a text in which sensitive values are looked for.

use std::sync::OnceLock;

use detect::{DetectionType, Scanner, TypeSet};

/// Spans are sound, the prefilter's "no" is certain, and what one type finds alone is found with
/// all others too.
pub fn detect(data: &[u8]) {
    static SCANNERS: OnceLock<(Scanner, Vec<Scanner>)> = OnceLock::new();
    let (all, each) = SCANNERS.get_or_init(|| {
        let one = |kind: &DetectionType| Scanner::new([*kind].into_iter().collect());
        (Scanner::new(TypeSet::ALL), DetectionType::ALL.iter().map(one).collect())
    });
    let mut found = Vec::new();
    all.scan(data, &mut found);
    let text = std::str::from_utf8(data).ok();
    let mut last = 0;
    for span in &found {
        assert!(span.start >= last && span.start < span.end && span.end <= data.len(), "{span:?}");
        if let Some(text) = text {
            // It will be cut out of the text.
            assert!(text.get(span.start..span.end).is_some(), "{span:?} cuts a character");
        }
        last = span.end;
    }
    assert!(found.is_empty() || all.may_contain(data), "the prefilter hides what is there");
    if !all.may_contain(data) {
        // "No" holds for every part, too.
        for parts in [data.split_at(data.len() / 2), data.split_at(data.len() / 3)] {
            all.scan(parts.0, &mut found);
            assert!(found.is_empty(), "a part holds what the whole does not");
            all.scan(parts.1, &mut found);
            assert!(found.is_empty(), "a part holds what the whole does not");
        }
    }
    for one in each {
        let mut alone = Vec::new();
        one.scan(data, &mut alone);
        assert!(alone.is_empty() || one.may_contain(data), "the prefilter hides what is there");
        for span in alone {
            let covered =
                found.iter().any(|other| other.start < span.end && span.start < other.end);
            assert!(covered, "{span:?} is found alone, and not among others");
        }
    }
}
