//! Words of a line: bare ones, and quoted ones that can hold any byte.

use std::fmt::Write as _;

/// One word.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Word {
    /// Written without quotes.
    Bare(String),
    /// Written in quotes.
    Text(Vec<u8>),
}

impl Word {
    /// Its bytes, however it was written.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        match self {
            Self::Bare(word) => word.as_bytes(),
            Self::Text(bytes) => bytes,
        }
    }

    /// Its text, bytes that are not UTF-8 replaced.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(self.bytes()).into_owned()
    }

    /// It is this bare word.
    #[must_use]
    pub fn is(&self, word: &str) -> bool {
        matches!(self, Self::Bare(bare) if bare == word)
    }
}

/// Splits a line into messages (at bare `;`) of words (at blanks). In quotes, `\n`, `\t`, `\"`,
/// `\\`, `\xHH` mean what they mean in Rust, and `\{n*c}` is `c` repeated `n` times.
///
/// # Errors
/// A quote is not closed, or an escape is unknown.
pub fn messages(line: &str) -> Result<Vec<Vec<Word>>, String> {
    let mut messages = vec![Vec::new()];
    let mut rest = line.trim_start();
    while let Some(first) = rest.chars().next() {
        let words = match messages.last_mut() {
            Some(words) => words,
            None => return Err("no message".to_owned()),
        };
        if first == '"' {
            let (text, after) = quoted(rest.get(1..).unwrap_or_default())?;
            words.push(Word::Text(text));
            rest = after;
        } else {
            let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
            let (word, after) = rest.split_at(end);
            if word == ";" {
                messages.push(Vec::new());
            } else {
                words.push(Word::Bare(word.to_owned()));
            }
            rest = after;
        }
        rest = rest.trim_start();
    }
    messages.retain(|words| !words.is_empty());
    Ok(messages)
}

/// The text up to the closing quote, and what follows.
fn quoted(text: &str) -> Result<(Vec<u8>, &str), String> {
    let mut out = Vec::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Ok((out, text.get(at.saturating_add(1)..).unwrap_or_default())),
            '\\' => match chars.next().map(|(_, c)| c) {
                Some('n') => out.push(b'\n'),
                Some('t') => out.push(b'\t'),
                Some(c @ ('"' | '\\')) => out.push(c as u8),
                Some('x') => {
                    let digits: String = chars.by_ref().take(2).map(|(_, c)| c).collect();
                    let byte = u8::from_str_radix(&digits, 16);
                    out.push(byte.map_err(|_| format!("\\x{digits} is not a byte"))?);
                }
                Some('{') => {
                    let inside: String =
                        chars.by_ref().map(|(_, c)| c).take_while(|c| *c != '}').collect();
                    let (count, what) = inside.split_once('*').ok_or("\\{n*c} wants a star")?;
                    let count: usize = count.parse().map_err(|_| format!("{count}: how often?"))?;
                    out.extend(what.repeat(count).into_bytes());
                }
                other => return Err(format!("unknown escape {other:?}")),
            },
            c => out.extend(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    Err("a quote is not closed".to_owned())
}

/// Bytes as a quoted word; long runs are written short.
#[must_use]
pub fn quote(bytes: &[u8]) -> String {
    /// Longer texts are cut in transcripts.
    const SHOWN_MAX: usize = 240;
    let mut out = "\"".to_owned();
    let shown = bytes.get(..SHOWN_MAX).unwrap_or(bytes);
    for chunk in shown.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '\n' => out.push_str("\\n"),
                '\t' => out.push_str("\\t"),
                '"' => out.push_str("\\\""),
                '\\' => out.push_str("\\\\"),
                c if c.is_control() => {
                    let _ = write!(out, "\\x{:02x}", u32::from(c));
                }
                c => out.push(c),
            }
        }
        for byte in chunk.invalid() {
            let _ = write!(out, "\\x{byte:02x}");
        }
    }
    out.push('"');
    if shown.len() < bytes.len() {
        let _ = write!(out, "…({} bytes)", bytes.len());
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_split_and_quotes_hold_anything() {
        let found = messages(r#"Q "a;\x00\"b\\" ; S; x"#).unwrap();
        let text = Word::Text(b"a;\0\"b\\".to_vec());
        let bare = |word: &str| Word::Bare(word.to_owned());
        assert_eq!(found, [vec![bare("Q"), text], vec![bare("S;"), bare("x")]]);
        assert_eq!(messages(r#""\{3*ab}""#).unwrap()[0][0].bytes(), b"ababab");
        assert!(messages("\"open").is_err());
    }

    #[test]
    fn what_is_quoted_reads_back() {
        let bytes = b"a\"b\\c\n\t\0\xff\xc3\xa9";
        let line = quote(bytes);
        assert_eq!(messages(&line).unwrap()[0][0].bytes(), bytes);
    }
}
