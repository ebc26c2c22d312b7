//! How deep a statement could nest, told before parsing it.

/// An upper bound of the number of tokens in `text`, and so of the depth of its parse tree: each
/// level takes at least one. It is the number of words and of other visible bytes, those inside
/// strings and comments included, because telling where these end depends on settings and a bound
/// must not.
pub(crate) fn tokens(text: &str) -> usize {
    let mut count = 0;
    let mut in_word = false;
    for byte in text.bytes() {
        let word = byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80;
        if !byte.is_ascii_whitespace() && !(word && in_word) {
            count += 1;
        }
        in_word = word;
    }
    count
}

#[cfg(test)]
mod tests {
    use super::tokens;

    #[test]
    fn no_token_is_missed() {
        assert_eq!(tokens(""), 0);
        assert_eq!(tokens("select 1"), 2);
        assert_eq!(tokens("((a))"), 5);
        assert_eq!(tokens("1+1+1"), 5);
        assert_eq!(tokens("'x,' || 'y)'"), 10);
        assert_eq!(tokens("é\u{10ffff}("), 2);
    }
}
