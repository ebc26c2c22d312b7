//! How deep a statement could nest, told before parsing it.

use pg_query::protobuf::{ScanToken, Token};

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

/// Whether a text may have `SET (a, b) = source`, whose source the parser writes into its tree once
/// for each column. Sources can be within one another, each with a SET of its own.
pub(crate) fn may_copy(text: &str) -> bool {
    let bytes = text.as_bytes();
    let mut closed = false;
    let assigned = bytes.iter().filter(|byte| !byte.is_ascii_whitespace()).any(|byte| {
        // What may be a comment is taken for one.
        let found = closed && b"=/-".contains(byte);
        closed = *byte == b')';
        found
    });
    assigned && sets(bytes) > 0
}

/// The tokens of a text, each as often as the parser may write what is made of it.
pub(crate) fn copies(tokens: &[ScanToken]) -> usize {
    let mut commas = vec![0_usize];
    // The sources that go on: how many parentheses are around each, and for how many columns it is.
    let mut sources: Vec<(usize, usize)> = Vec::new();
    let mut list = None;
    let mut total = 0_usize;
    for token in tokens {
        let columns = list.take();
        match token.token() {
            Token::SqlComment | Token::CComment => list = columns,
            Token::Ascii40 => commas.push(0),
            Token::Ascii41 => {
                list = commas.pop().map(|commas| commas + 1);
                sources.retain(|(around, _)| *around <= commas.len());
            }
            Token::Ascii61 => sources.extend(columns.map(|columns| (commas.len(), columns))),
            Token::Ascii44 => {
                if let Some(last) = commas.last_mut() {
                    *last += 1;
                }
                sources.retain(|(around, _)| *around < commas.len());
            }
            Token::Ascii59 => sources.clear(),
            _ => {}
        }
        let times = sources.iter().fold(1, |product: usize, (_, n)| product.saturating_mul(*n));
        total = total.saturating_add(times);
    }
    total
}

/// The same without knowing the tokens: as if commas were spread evenly over all that may be lists.
pub(crate) fn copies_at_most(text: &str) -> usize {
    let sets = sets(text.as_bytes()).max(1);
    let columns = text.matches(',').count() / sets + 2;
    let times = u32::try_from(sets).ok().and_then(|sets| columns.checked_pow(sets));
    times.unwrap_or(usize::MAX).saturating_mul(tokens(text))
}

/// How often the word SET is in a text, strings and comments included.
fn sets(text: &[u8]) -> usize {
    let is_letter = |byte: &u8| byte.is_ascii_alphabetic() || *byte == b'_' || *byte >= 0x80;
    let starts = |place: &usize| {
        let before = place.checked_sub(1).and_then(|before| text.get(before));
        let next = text.get(place + 3);
        !before.is_some_and(is_letter)
            && !next.is_some_and(|byte| is_letter(byte) || byte.is_ascii_digit())
    };
    let words = text.windows(3).enumerate().filter(|(_, word)| word.eq_ignore_ascii_case(b"set"));
    words.map(|(place, _)| place).filter(starts).count()
}

#[cfg(test)]
mod tests {
    use super::{comment_reads, copies_at_most, may_copy, repeated_reads, tokens};

    #[test]
    fn sources_of_several_columns_are_counted_for_each() {
        let count = |text| super::copies(&pg_query::scan(text).unwrap().tokens);
        assert_eq!(count("update t set (a, b, c) = (1)"), 10 + 4 * 3);
        let nested = "update t set (a, b) = (with x as (update t set (a, \"(\", b) /* ( */ = (1)))";
        assert!(count(nested) >= 3 * 6);
        assert!(!may_copy("update t set a = 1 where (b)") && !may_copy("select (1) = 2"));
        assert!(may_copy("update t set (a) -- x\n = (2)"));
        assert!(copies_at_most("update t set (a, a, a, b) = (1)") > 5 * 10);
    }

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
