//! Messages with facts in them: `POST to {http.host} is not allowed`. Braces are doubled to stand
//! for themselves.

use model::Value;

use crate::calendar::{show_duration, show_time};
use crate::schema::Fact;

/// Characters of one fact's value in a message, at most.
const VALUE_CHARS_MAX: usize = 200;

/// A message, its facts resolved to the rule's own numbering.
#[derive(Clone, Debug, Default)]
pub(crate) struct Template {
    pub parts: Vec<Part>,
}

#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Part {
    Words(String),
    Fact(u16),
}

/// Splits a template into words and the names in braces, with the character each name starts at.
///
/// # Errors
///
/// The character where a brace has no partner, and what is wrong there.
pub(crate) fn split(text: &str) -> Result<Vec<Piece>, (usize, &'static str)> {
    let mut pieces = Vec::new();
    let mut words = String::new();
    let mut chars = text.chars().enumerate().peekable();
    while let Some((at, c)) = chars.next() {
        let doubled = chars.next_if(|(_, next)| *next == c && matches!(c, '{' | '}')).is_some();
        match c {
            '{' if !doubled => {
                let mut name = String::new();
                loop {
                    match chars.next() {
                        Some((_, '}')) => break,
                        Some((_, c)) if c != '{' => name.push(c),
                        _ => return Err((at, "this brace is never closed")),
                    }
                }
                pieces.push(Piece::Words(std::mem::take(&mut words)));
                pieces.push(Piece::Name { name: name.trim().to_owned(), at: at + 1 });
            }
            '}' if !doubled => return Err((at, "this brace closes nothing")),
            c => words.push(c),
        }
    }
    pieces.push(Piece::Words(words));
    Ok(pieces)
}

/// A piece of a template's text.
#[derive(Debug, Eq, PartialEq)]
pub(crate) enum Piece {
    Words(String),
    Name { name: String, at: usize },
}

impl Template {
    /// The message, each value clipped and without control characters.
    pub fn render<'a>(&self, fact: impl Fn(u16) -> Option<&'a Fact>) -> String {
        let mut text = String::new();
        for part in &self.parts {
            match part {
                Part::Words(words) => text.push_str(words),
                Part::Fact(local) => match fact(*local) {
                    Some(Fact::Known(value)) => text.push_str(&show(value)),
                    Some(Fact::Range { low, .. }) => text.push_str(&format!("at least {low}")),
                    Some(Fact::Pending | Fact::Absent) | None => {}
                },
            }
        }
        text
    }
}

/// A value as people read it, clipped and without characters that could dress it up as something
/// else.
pub(crate) fn show(value: &Value) -> String {
    match value {
        Value::Bool(value) => value.to_string(),
        Value::Int(value) => value.to_string(),
        Value::Text(text) => clip(text.chars()),
        Value::TextList(items) => clip(joined(items.iter().map(|item| &**item))),
        Value::TextMap(entries) => clip(joined(entries.iter().map(|(key, _)| &**key))),
        Value::Time(nanos) => show_time(*nanos),
        Value::Duration(nanos) => show_duration(u128::from(*nanos)),
        Value::Failed(_) => "?".to_owned(),
    }
}

fn joined<'a>(items: impl Iterator<Item = &'a str>) -> impl Iterator<Item = char> {
    items.enumerate().flat_map(|(index, item)| {
        let comma = if index == 0 { "" } else { ", " };
        comma.chars().chain(item.chars())
    })
}

fn clip(chars: impl Iterator<Item = char>) -> String {
    let mut chars = chars.filter(|c| is_plain(*c));
    let mut text: String = chars.by_ref().take(VALUE_CHARS_MAX).collect();
    if chars.next().is_some() {
        text.push('…');
    }
    text
}

/// Neither a control character nor one that changes how the text around it is shown.
fn is_plain(c: char) -> bool {
    !c.is_control()
        && !matches!(
            c,
            '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_in_messages_are_clipped_and_plain() {
        let long = "x".repeat(300);
        assert_eq!(show(&Value::Text(long.as_str().into())).chars().count(), 201);
        let nasty = "a\r\nb\u{1b}[31m\u{202e}c\u{0}";
        assert_eq!(show(&Value::Text(nasty.into())), "ab[31mc");
        let list: Vec<std::sync::Arc<str>> = vec!["a".into(), "b".into()];
        assert_eq!(show(&Value::TextList(list.into())), "a, b");
    }

    #[test]
    fn templates_split_at_braces() {
        let pieces = split("a {{x}} { b.c }!").unwrap();
        let name = Piece::Name { name: "b.c".to_owned(), at: 9 };
        assert_eq!(pieces, [Piece::Words("a {x} ".into()), name, Piece::Words("!".into())]);
        assert_eq!(split("a {b").unwrap_err().0, 2);
        assert_eq!(split("a } b").unwrap_err().0, 2);
        assert_eq!(split("a {b{c}}").unwrap_err().0, 2);
    }
}
