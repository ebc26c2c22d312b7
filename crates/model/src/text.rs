//! Text whose type says who may see it.

use std::borrow::Cow;
use std::fmt;

use zeroize::Zeroize;

/// A value that must never be printed, logged or recorded; wiped from memory when dropped.
#[derive(Clone, Eq, PartialEq)]
pub struct Secret<T: Zeroize>(T);

impl<T: Zeroize> Secret<T> {
    /// Takes charge of `value`.
    pub fn new(value: T) -> Self {
        Self(value)
    }

    /// The value itself, for the one place that has to use it. Never format what this returns.
    pub fn expose(&self) -> &T {
        &self.0
    }
}

impl<T: Zeroize> fmt::Debug for Secret<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl<T: Zeroize> Drop for Secret<T> {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

/// Whether a character is seen as nothing, is obeyed by terminals, or changes how others are read:
/// controls (ECMA-48 C0 and C1), line and paragraph separators, marks of direction, blanks of no
/// width, tags.
#[must_use]
pub const fn is_unseen(c: char) -> bool {
    matches!(
        c,
        '\0'..='\u{1f}'
            | '\u{7f}'..='\u{9f}'
            | '\u{ad}'
            | '\u{61c}'
            | '\u{180e}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e0fff}'
    )
}

/// Words that a client may read (P7): fixed text, names from the configuration the operator chose
/// to show, and values the client itself sent. Nothing an upstream said becomes one.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ClientText(Cow<'static, str>);

impl ClientText {
    /// Fixed words.
    #[must_use]
    pub const fn fixed(words: &'static str) -> Self {
        Self(Cow::Borrowed(words))
    }

    /// Words composed of fixed text, configured names and what the client itself sent. The caller
    /// vouches for that: search for this name when reviewing what clients can learn.
    #[must_use]
    pub fn composed(words: String) -> Self {
        Self(Cow::Owned(words))
    }

    /// The words.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ClientText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_seen_or_misleads_is_known() {
        for c in
            "\0\t\n\u{1b}\u{7f}\u{85}\u{9b}\u{ad}\u{200e}\u{202e}\u{2066}\u{feff}\u{e0041}".chars()
        {
            assert!(is_unseen(c), "{c:?}");
        }
        assert!(!"Zoë 表 🙂 \u{a0}~".chars().any(is_unseen));
        assert!(('\0'..=char::MAX).filter(|c| c.is_control()).all(is_unseen));
    }
}
