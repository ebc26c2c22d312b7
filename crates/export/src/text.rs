//! Times, and text that cannot mislead whoever looks at it.

use std::fmt::Write as _;

use model::event::{RuleMatch, Verdict};
use model::text::is_unseen;
use model::{Column, DetectionCount, Timestamp};

/// `2026-11-22T02:17:00.123456789Z` (RFC 3339), always with nine digits.
pub(crate) fn rfc3339(at: Timestamp) -> String {
    format!("{:.9}", civil(at))
}

/// The same with three digits, for readers that know no more.
pub(crate) fn rfc3339_ms(at: Timestamp) -> String {
    format!("{:.3}", civil(at))
}

/// Milliseconds since 1970.
pub(crate) const fn ms(at: Timestamp) -> u64 {
    at.0 / 1_000_000
}

/// Nanoseconds as milliseconds, exactly.
pub(crate) fn ns_as_ms(ns: u64) -> String {
    format!("{}.{:06}", ns / 1_000_000, ns % 1_000_000)
}

fn civil(at: Timestamp) -> jiff::Timestamp {
    // A recording ends in the year 2554, long before this fails.
    jiff::Timestamp::from_nanosecond(i128::from(at.0)).unwrap_or(jiff::Timestamp::MAX)
}

/// Adds a character, or what it is called: `\n`, `\u{1b}`. The same is added for these very words,
/// so this is for reading, not for decoding.
pub(crate) fn push_seen(text: &mut String, c: char) {
    match c {
        '\t' => text.push_str("\\t"),
        '\n' => text.push_str("\\n"),
        '\r' => text.push_str("\\r"),
        c if is_unseen(c) => text.extend(c.escape_unicode()),
        c => text.push(c),
    }
}

/// The word of a decision.
pub(crate) const fn verdict(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Allow => "allow",
        Verdict::Mask => "mask",
        Verdict::Hold => "hold",
        Verdict::Block => "block",
    }
}

/// `hide (mask); big (block, observed)`.
pub(crate) fn rules(rules: &[RuleMatch]) -> String {
    listed(rules, |text, rule| {
        let observed = if rule.observed { ", observed" } else { "" };
        write!(text, "{} ({}{observed})", rule.rule, rule.action)
    })
}

/// `ssn (redact); age (null)`: the columns that were masked, and how.
pub(crate) fn masked(columns: &[Column]) -> String {
    let masked: Vec<_> =
        columns.iter().filter_map(|column| Some((&column.label, column.mask.as_ref()?))).collect();
    listed(&masked, |text, (label, mask)| write!(text, "{label} ({mask})"))
}

/// `US_SSN 3 (2 masked)`.
pub(crate) fn detections(detections: &[DetectionCount]) -> String {
    listed(detections, |text, found| {
        write!(text, "{} {} ({} masked)", found.kind, found.seen, found.masked)
    })
}

/// Names, one after the other.
pub(crate) fn names(names: &[std::sync::Arc<str>]) -> String {
    listed(names, |text, name| write!(text, "{name}"))
}

fn listed<T>(items: &[T], each: impl Fn(&mut String, &T) -> std::fmt::Result) -> String {
    let mut text = String::new();
    for item in items {
        if !text.is_empty() {
            text.push_str("; ");
        }
        // Writing to a string cannot fail.
        let _ = each(&mut text, item);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_all_their_digits() {
        assert_eq!(rfc3339(Timestamp(0)), "1970-01-01T00:00:00.000000000Z");
        let at = Timestamp(1_795_313_820_123_456_789);
        assert_eq!(rfc3339(at), "2026-11-22T02:17:00.123456789Z");
        assert_eq!(rfc3339_ms(at), "2026-11-22T02:17:00.123Z");
        assert!(rfc3339(Timestamp(u64::MAX)).starts_with("2554-07-21T23:34:33.709551615Z"));
        assert_eq!(ns_as_ms(12_000_345), "12.000345");
    }

    #[test]
    fn what_is_not_seen_is_named() {
        let seen = |text: &str| {
            let mut seen = String::new();
            text.chars().for_each(|c| push_seen(&mut seen, c));
            seen
        };
        assert_eq!(seen("a\u{1b}[31m\u{9b}b\r\n\t\0"), r"a\u{1b}[31m\u{9b}b\r\n\t\u{0}");
        assert_eq!(seen("\u{202e}txt\u{2066}"), r"\u{202e}txt\u{2066}");
        assert_eq!(seen("Zoë 表 🙂"), "Zoë 表 🙂");
    }
}
