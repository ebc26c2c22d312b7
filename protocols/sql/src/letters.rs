//! Letters beyond ASCII outside strings.

use pg_query::protobuf::Token;

use crate::stack;

/// Whether a name, or anything else outside strings and comments, has a letter beyond ASCII. True
/// when that cannot be told.
#[must_use]
pub fn has_names_beyond_ascii(text: &str, standard_conforming_strings: bool) -> bool {
    // The scanner reads strings by the standard.
    if !standard_conforming_strings && text.contains('\\') {
        return true;
    }
    let Some(tokens) = stack::scan(text) else { return true };
    tokens.iter().any(|token| {
        let is_string = matches!(
            Token::try_from(token.token),
            Ok(Token::Sconst | Token::Usconst | Token::SqlComment | Token::CComment)
        );
        let place = usize::try_from(token.start).ok().zip(usize::try_from(token.end).ok());
        let written = place.and_then(|(start, end)| text.get(start..end));
        !is_string && !written.is_some_and(str::is_ascii)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_told_from_strings_and_comments() {
        for (text, has) in [
            ("SELECT 'é' -- ü", false),
            ("SELECT /* ü */ $$é$$, E'\\t é'", false),
            ("SELECT é FROM t", true),
            ("SELECT 1 AS \"Ñ\"", true),
            ("SELECT é'x'", true),
            ("SELECT 'é", true),
        ] {
            assert_eq!(has_names_beyond_ascii(text, true), has, "{text}");
        }
        assert!(has_names_beyond_ascii("SELECT '\\', 'é'", false));
    }
}
