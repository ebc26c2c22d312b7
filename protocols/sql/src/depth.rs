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
        let inside = word && in_word;
        if !inside && !byte.is_ascii_whitespace() {
            count += 1;
        }
        in_word = word;
    }
    count
}

/// Bytes that PostgreSQL's parser would read again and again: a bound of the time it takes that is
/// not in proportion to the length of the text.
pub(crate) fn repeated_reads(text: &str) -> usize {
    /// Below this length not even the square is worth counting, bytes.
    const SHORT: usize = 4096;
    if text.len() < SHORT { 0 } else { comment_reads(text).saturating_add(warning_reads(text)) }
}

/// The deprecated word GLOBAL makes the parser warn, and count characters up to the place.
fn warning_reads(text: &str) -> usize {
    let word = b"global";
    let all = text.as_bytes().windows(word.len());
    all.filter(|part| part.eq_ignore_ascii_case(word)).count().saturating_mul(text.len())
}

/// Comments within comments: at each `/*` the scanner takes everything up to the next byte that is
/// no operator, and gives back all but two.
fn comment_reads(text: &str) -> usize {
    let operator = |byte: &u8| b"~!@#^&|`?+-*/%<>=".contains(byte);
    let mut reads = 0_usize;
    for run in text.as_bytes().split(|byte| !operator(byte)) {
        if run.len() > 2 {
            let openings = run.windows(2).filter(|pair| pair == b"/*").count();
            reads = reads.saturating_add(openings.saturating_mul(run.len()));
        }
    }
    reads
}

#[cfg(test)]
mod tests {
    use super::{comment_reads, repeated_reads, tokens};

    #[test]
    fn runs_of_comment_openings_are_counted_by_their_square() {
        assert_eq!(comment_reads("select 1 /* x */ + 2"), 0);
        assert_eq!(comment_reads(&format!("/*{}*/", "*".repeat(98))), 102);
        assert_eq!(comment_reads(&"/*".repeat(100)), 20_000);
        let words = "create Global temp table t ();".repeat(1_000);
        assert_eq!(repeated_reads(&words), 1_000 * words.len());
        assert_eq!(repeated_reads("create global temp table t ()"), 0);
    }

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
