//! Names with `*` (any characters, none too) and `?` (any one character), case-insensitive.
//!
//! Matching backtracks to the last star only, so it costs at most the product of both lengths.

use std::fmt;

/// A pattern, ready to match.
#[derive(Clone, Eq, PartialEq)]
pub(crate) struct Glob {
    pattern: Box<[char]>,
    /// What every match begins with, where that is one byte.
    first: Option<u8>,
}

impl Glob {
    pub fn new(pattern: &str) -> Self {
        let pattern = fold(pattern);
        let first = pattern.first().filter(|first| !['*', '?'].contains(first));
        let first =
            first.filter(|first| first.is_ascii()).and_then(|first| u8::try_from(*first).ok());
        Self { pattern, first }
    }

    pub fn matches(&self, text: &str) -> bool {
        // Most texts are told from most patterns by this. A character that is not ASCII can be an
        // ASCII letter in lower case.
        if let (Some(first), Some(begins)) = (self.first, text.bytes().next())
            && begins.is_ascii()
            && begins.to_ascii_lowercase() != first
        {
            return false;
        }
        let mut text = text.chars().flat_map(char::to_lowercase);
        let mut at = 0;
        // Where to start again when a star must swallow one character more.
        let mut retry: Option<(usize, std::iter::FlatMap<_, _, _>)> = None;
        loop {
            let before = text.clone();
            let step = match (self.pattern.get(at), text.next()) {
                (Some('*'), _) => {
                    retry = Some((at + 1, before.clone()));
                    text = before;
                    at += 1;
                    continue;
                }
                (None, None) => return true,
                (Some('?'), Some(_)) => true,
                (Some(want), Some(got)) => *want == got,
                (None, Some(_)) => false,
                (Some(_), None) => return false,
            };
            if step {
                at += 1;
                continue;
            }
            let Some((start, swallowed)) = &mut retry else { return false };
            if swallowed.next().is_none() {
                return false;
            }
            at = *start;
            text = swallowed.clone();
        }
    }
}

impl fmt::Debug for Glob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.pattern.iter().collect::<String>(), f)
    }
}

fn fold(text: &str) -> Box<[char]> {
    text.chars().flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn globs_match_as_shells_do_without_case() {
        for (pattern, text, expected) in [
            ("ssn", "SSN", true),
            ("ssn", "ssn2", false),
            ("*card*", "credit_card_no", true),
            ("*card", "card", true),
            ("c?rd", "card", true),
            ("c?rd", "crd", false),
            ("*", "", true),
            ("", "", true),
            ("", "a", false),
            ("a*b*c", "aXbYbZc", true),
            ("a*b*c", "aXbYbZ", false),
            ("**a", "bba", true),
            ("straße", "STRAßE", true),
            ("a*", "b", false),
        ] {
            assert_eq!(Glob::new(pattern).matches(text), expected, "{pattern} on {text}");
        }
    }

    fn slow(pattern: &[char], text: &[char]) -> bool {
        match (pattern.first(), text.first()) {
            (None, None) => true,
            (Some('*'), _) => {
                slow(&pattern[1..], text) || (!text.is_empty() && slow(pattern, &text[1..]))
            }
            (Some('?'), Some(_)) => slow(&pattern[1..], &text[1..]),
            (Some(a), Some(b)) if a == b => slow(&pattern[1..], &text[1..]),
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn agrees_with_the_definition(pattern in "[ab*?]{0,8}", text in "[ab]{0,10}") {
            let chars = |s: &str| s.chars().collect::<Vec<_>>();
            let expected = slow(&chars(&pattern), &chars(&text));
            prop_assert_eq!(Glob::new(&pattern).matches(&text), expected);
        }
    }
}
