//! An operation's text without the values in it.
//!
//! It is not parsed: whatever can be a value in some language is taken for one, and where a quote's
//! end is in doubt nothing more is shown. Names stay: tables, columns, functions, hosts and paths.

use std::iter::Peekable;
use std::str::CharIndices;

const HIDDEN: char = '…';

/// `text` with quoted texts, numbers, comments and the queries of addresses hidden.
pub(crate) fn without_values(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let length = match first {
            '\'' | '"' => quoted(rest, first, &mut shown),
            '$' => dollar_quoted(rest, &mut shown),
            '-' if rest.starts_with("--") => line_comment(rest, &mut shown),
            '/' if rest.starts_with("/*") => comment(rest, &mut shown),
            '?' => query(rest, &mut shown),
            _ if first.is_numeric() => {
                shown.push(HIDDEN);
                Some(prefix(rest, |letter| letter.is_alphanumeric() || "_.".contains(letter)))
            }
            _ if is_of_name(first) => {
                let length = prefix(rest, |letter| is_of_name(letter) || letter == '$');
                shown.push_str(rest.get(..length).unwrap_or_default());
                Some(length)
            }
            _ => {
                if !first.is_control() || first == '\n' || first == '\t' {
                    shown.push(first);
                }
                Some(first.len_utf8())
            }
        };
        // Where it ends is in doubt.
        let Some(length) = length else { return shown };
        rest = rest.get(length.max(1)..).unwrap_or_default();
    }
    shown
}

/// Bytes of the letters at the beginning that are `of`.
fn prefix(text: &str, of: impl Fn(char) -> bool) -> usize {
    text.char_indices().find(|(_, letter)| !of(*letter)).map_or(text.len(), |(at, _)| at)
}

/// Bytes of a quoted text. A backslash may or may not keep the quote after it from ending it: that
/// is a setting of the server.
fn quoted(text: &str, quote: char, shown: &mut String) -> Option<usize> {
    shown.push(quote);
    shown.push(HIDDEN);
    let mut letters: Peekable<CharIndices<'_>> = text.char_indices().peekable();
    letters.next();
    while let Some((at, letter)) = letters.next() {
        if letter == '\\' {
            return None;
        }
        if letter == quote {
            match letters.peek() {
                Some((_, next)) if *next == quote => drop(letters.next()),
                _ => {
                    shown.push(quote);
                    return Some(at + quote.len_utf8());
                }
            }
        }
    }
    None
}

/// Bytes of `$tag$…$tag$`, or of a parameter's number, or of the sign alone.
fn dollar_quoted(text: &str, shown: &mut String) -> Option<usize> {
    let after = text.get(1..).unwrap_or_default();
    let tag = prefix(after, is_of_name);
    let name = after.get(..tag).unwrap_or_default();
    let closes = after.get(tag..).is_some_and(|rest| rest.starts_with('$'));
    if closes && !name.starts_with(|letter: char| letter.is_ascii_digit()) {
        let mark = text.get(..tag + 2).unwrap_or_default();
        // The tag may say something, too.
        shown.push_str("$…$");
        let end = text.get(mark.len()..).and_then(|inside| inside.find(mark))?;
        return Some(mark.len() + end + mark.len());
    }
    if !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_digit()) {
        shown.push_str(text.get(..=tag).unwrap_or_default());
        return Some(tag + 1);
    }
    shown.push('$');
    Some(1)
}

/// Whether a letter may be of a name or of a tag: as PostgreSQL has it, every one beyond ASCII.
fn is_of_name(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || letter == '_' || !letter.is_ascii()
}

/// Bytes of a comment to the end of its line. Where a lone carriage return ends it is in doubt.
fn line_comment(text: &str, shown: &mut String) -> Option<usize> {
    shown.push_str("--…");
    let end = text.find(['\n', '\r'])?;
    let rest = text.get(end..).unwrap_or_default();
    let end = if rest.starts_with("\r\n") { end + 1 } else { end };
    if rest.starts_with('\r') && !rest.starts_with("\r\n") {
        return None;
    }
    shown.push('\n');
    Some(end + 1)
}

/// Bytes of a comment and those in it.
fn comment(text: &str, shown: &mut String) -> Option<usize> {
    shown.push_str("/*…");
    let mut depth = 0_usize;
    let mut at = 0;
    while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
        if rest.starts_with("/*") {
            (depth, at) = (depth + 1, at + 2);
        } else if rest.starts_with("*/") {
            (depth, at) = (depth.saturating_sub(1), at + 2);
            if depth == 0 {
                shown.push_str("*/");
                return Some(at);
            }
        } else {
            at += rest.chars().next().map_or(1, char::len_utf8);
        }
    }
    None
}

/// Bytes of the query of an address; of a lone mark one.
fn query(text: &str, shown: &mut String) -> Option<usize> {
    shown.push('?');
    let length = prefix(text, |letter| !letter.is_whitespace());
    if length > 1 {
        shown.push(HIDDEN);
    }
    // In SQL it is an operator, and a quote behind it begins a text that goes on over white space.
    let whole = text.get(..length).unwrap_or_default();
    (!whole.contains(['\'', '"', '$', '`']) && !whole.contains("--") && !whole.contains("/*"))
        .then_some(length)
}

#[cfg(test)]
mod tests {
    use super::without_values;

    #[test]
    fn p7_what_postgresql_reads_as_a_text_is_not_told() {
        for text in [
            "SELECT '{}'::jsonb ?'John Smith diabetic' AND 'a' = 'Mary Jones'",
            "SELECT a ?|array['John Smith', 'Mary Jones']",
            "SELECT a ?&'{John Smith,Mary Jones}'",
            "SELECT a @?'$.x ? (@ == \"John Smith\")', 'Mary Jones'",
            "SELECT $€$John Smith$€$, $e\u{301}$Mary Jones$e\u{301}$",
            "SELECT $Smith$ John $Smith$",
            "SELECT 1 -- c\r, 'a\nJohn Smith'",
            "SELECT 1 AS a€$$, '$$ John Smith'",
            "SELECT a ?--b\n'John Smith'",
            "SELECT a ?/*'*/'John Smith'/*'*/",
        ] {
            let shown = without_values(text);
            for value in ["John", "Smith", "Mary", "Jones", "diabetic"] {
                assert!(!shown.contains(value), "{text} is told as {shown}");
            }
        }
    }

    #[test]
    fn values_are_hidden_and_names_are_shown() {
        for (text, shown) in [
            (
                "UPDATE hr.pay SET wage = 5300.25, note = 'it''s ''so' WHERE id=$1 AND a2 > -7",
                "UPDATE hr.pay SET wage = …, note = '…' WHERE id=$1 AND a2 > -…",
            ),
            ("SELECT $$a secret$$, $x$ $$ b $x$, y", "SELECT $…$, $…$, y"),
            ("SELECT 0x1F, 1_000, 1e10, .5 -- of ann\nFROM t", "SELECT …, …, …, .… --…\nFROM t"),
            ("/* a /* b */ ann */ SELECT 1", "/*…*/ SELECT …"),
            (
                "GET https://h.example/v1/users?mail=a@b HTTP",
                "GET https://h.example/v1/users?… HTTP",
            ),
            ("SELECT data ? key, a FROM \"my\"\"t\"", "SELECT data ? key, a FROM \"…\""),
            ("SELECT größe, ٣٤\u{7} FROM t", "SELECT größe, … FROM t"),
        ] {
            assert_eq!(without_values(text), shown, "{text}");
        }
    }

    #[test]
    fn where_a_value_ends_is_in_doubt_nothing_more_is_shown() {
        for (text, shown) in [
            // Which of these ends the text depends on standard_conforming_strings.
            (r"SELECT 'a\' OR b = ' secret", "SELECT '…"),
            (r"SELECT E'a\'secret' FROM t", "SELECT E'…"),
            ("SELECT 'secret", "SELECT '…"),
            ("SELECT $$secret", "SELECT $…$"),
            ("/* secret", "/*…"),
            ("-- secret", "--…"),
        ] {
            assert_eq!(without_values(text), shown, "{text}");
        }
    }

    /// Every text of five of the letters that mean something to it.
    #[test]
    fn no_number_is_shown_that_is_not_part_of_a_name() {
        const LETTERS: [char; 10] = ['\'', '"', '\\', '$', 'a', '-', '/', '*', '7', '?'];
        for number in 0..LETTERS.len().pow(5) {
            let digits = (0..5).map(|place| number / LETTERS.len().pow(place) % LETTERS.len());
            let text: String = digits.map(|digit| LETTERS[digit]).collect();
            let shown = without_values(&text);
            let mut before = ' ';
            for letter in shown.chars() {
                let is_part_of_a_name = ['a', '7', '$'].contains(&before);
                assert!(letter != '7' || is_part_of_a_name, "{text}: {shown}");
                before = letter;
            }
        }
    }
}
