//! The shape of a text: the text with its literals taken out.
//!
//! Programs that write values into their statements send a new text each time, and each would be
//! parsed anew. Two texts of one shape differ only in the values of integer and string literals, so
//! what was found out about one holds for the other, unless it depends on these values
//! ([`crate::Statement::literals_matter`] says so).
//!
//! Taking literals out without the grammar is only done where there is no doubt about what the
//! grammar would see. The text must consist of ASCII words, plain punctuation, quoted identifiers,
//! decimal integers of at most nine digits and plain string literals. Comments, backslashes, dollar
//! signs, prefixed strings (`E''`, `B''`, `N''`, `U&''`), strings continued on another line,
//! fractions and exponents have no shape, nor has a text of more than one statement. PostgreSQL 17,
//! section 4.1 "Lexical Structure".

/// Longest text that gets a shape, bytes.
pub const SHAPE_BYTES_MAX: usize = 16 * 1024;
/// Digits of an integer literal that is certainly one: any nine fit into four bytes.
const DIGITS_MAX: usize = 9;
/// Stands for an integer literal. No text with a shape holds a control byte other than blanks.
const INTEGER: u8 = 1;
/// Stands for a string literal.
const STRING: u8 = 2;

/// Writes the shape of `text` over `shape`; false when it has none, and `shape` is then undefined.
pub fn shape_of(text: &str, shape: &mut Vec<u8>) -> bool {
    shape.clear();
    if text.len() > SHAPE_BYTES_MAX {
        return false;
    }
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        let taken = match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'_' => word(rest, shape),
            b'0'..=b'9' => integer(rest, shape),
            b'\'' => string(rest, shape),
            b'"' => quoted(rest, shape),
            b'-' if after.first() == Some(&b'-') => None,
            b'/' if after.first() == Some(&b'*') => None,
            b';' => return after.iter().all(u8::is_ascii_whitespace) && end(shape),
            b' ' | b'\t' | b'\n' | b'\r' | b'\x0c' | b'(' | b')' | b',' | b'.' | b'*' | b'='
            | b'<' | b'>' | b'+' | b'-' | b'/' | b'%' | b'|' | b'[' | b']' | b':' | b'!' | b'~'
            | b'@' | b'#' | b'^' | b'?' => {
                shape.push(byte);
                Some(1)
            }
            _ => None,
        };
        match taken.and_then(|taken| rest.get(taken..)) {
            Some(left) => rest = left,
            None => return false,
        }
    }
    true
}

/// A `;` at the end changes nothing but the text.
fn end(shape: &mut Vec<u8>) -> bool {
    shape.push(b';');
    true
}

const fn in_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// A keyword or name. One that ends where a string begins may be the string's prefix.
fn word(rest: &[u8], shape: &mut Vec<u8>) -> Option<usize> {
    let length = rest.iter().take_while(|byte| in_word(**byte)).count();
    let word = rest.get(..length)?;
    let prefix = matches!(rest.get(length), Some(b'\'' | b'"' | b'$' | b'&'));
    // `float(24)` and `float(25)` are different types, which the grammar tells by the number.
    if prefix || word.eq_ignore_ascii_case(b"float") {
        return None;
    }
    shape.extend_from_slice(word);
    Some(length)
}

/// An integer literal, with nothing before or behind it that would make it part of another number.
fn integer(rest: &[u8], shape: &mut Vec<u8>) -> Option<usize> {
    let length = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let behind = rest.get(length).copied().unwrap_or(b' ');
    if length > DIGITS_MAX || in_word(behind) || behind == b'.' || shape.last() == Some(&b'.') {
        return None;
    }
    shape.push(INTEGER);
    Some(length)
}

/// A string literal without backslashes, and not continued on another line.
fn string(rest: &[u8], shape: &mut Vec<u8>) -> Option<usize> {
    let length = delimited(rest, b'\'')?;
    let next = rest.get(length..)?.iter().find(|byte| !byte.is_ascii_whitespace());
    if next == Some(&b'\'') {
        return None;
    }
    shape.push(STRING);
    Some(length)
}

/// A quoted identifier, kept as it is.
fn quoted(rest: &[u8], shape: &mut Vec<u8>) -> Option<usize> {
    let length = delimited(rest, b'"')?;
    shape.extend_from_slice(rest.get(..length)?);
    Some(length)
}

/// The length of what stands between two `quote`s, with both; a doubled one is part of it.
fn delimited(rest: &[u8], quote: u8) -> Option<usize> {
    let mut at = 1;
    loop {
        let byte = *rest.get(at)?;
        if byte == quote {
            if rest.get(at + 1) != Some(&quote) {
                return Some(at + 1);
            }
            at += 1;
        } else if byte == b'\\' || !(b' '..0x7f).contains(&byte) {
            return None;
        }
        at += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::shape_of;

    fn shape(text: &str) -> Option<String> {
        let mut shape = Vec::new();
        shape_of(text, &mut shape).then(|| {
            String::from_utf8(shape).unwrap().replace('\u{1}', "⟨n⟩").replace('\u{2}', "⟨s⟩")
        })
    }

    #[test]
    fn literals_are_taken_out() {
        let text = "SELECT abalance FROM pgbench_accounts WHERE aid = 4711;";
        let expected = "SELECT abalance FROM pgbench_accounts WHERE aid = ⟨n⟩;";
        assert_eq!(shape(text).as_deref(), Some(expected));
        let text = r#"select "a 1", 'it''s', -5 from t where b in (1,'2') and c='' ; "#;
        let expected = r#"select "a 1", ⟨s⟩, -⟨n⟩ from t where b in (⟨n⟩,⟨s⟩) and c=⟨s⟩ ;"#;
        assert_eq!(shape(text).as_deref(), Some(expected));
        assert_eq!(shape("select a1, 000000001").as_deref(), Some("select a1, ⟨n⟩"));
    }

    #[test]
    fn what_could_be_read_otherwise_has_no_shape() {
        for text in [
            "select 1 -- x",
            "select 1 /* x */",
            "select 1/*",
            "select E'x'",
            "select N'x'",
            "select B'1'",
            "select U&'x'",
            "select u&\"x\"",
            "select 'a\\'",
            "select 'a' 'b'",
            "select 'a'\n  'b'",
            "select 'a",
            "select \"a",
            "select \"a\\\"",
            "select $1",
            "select $$x$$",
            "select a$1",
            "select 1.5",
            "select .5",
            "select 1.",
            "select 1e5",
            "select 0x1f",
            "select 1_000",
            "select 1a",
            "select 1234567890",
            "select 'é'",
            "select é",
            "select 'a\u{0}'",
            "select 1; select 2",
            "select 1;;",
            "select cast(a as FLOAT(24))",
            "select \u{1}",
            "select {d}",
        ] {
            assert_eq!(shape(text), None, "{text}");
        }
        let long = |length: usize| format!("select {}", "a".repeat(length - 7));
        assert!(shape(&long(super::SHAPE_BYTES_MAX)).is_some());
        assert!(shape(&long(super::SHAPE_BYTES_MAX + 1)).is_none());
    }
}
