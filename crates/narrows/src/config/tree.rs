//! A YAML text as a tree whose every node knows where it stands.
//!
//! A deserializer stops at its first error; people want all of them. So the text becomes this tree
//! first, and [`super::read`] walks it and collects problems.

use std::sync::Arc;

use policy::{Location, Problem};
use serde_saphyr::granit_parser::{Event, Marker, Parser, ScalarStyle, Span};

/// Nodes within nodes; more is a mistake, and this bounds the recursion of whoever walks the tree.
pub const DEPTH_MAX: usize = 32;
/// Longest file accepted, bytes.
pub const FILE_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// A value and where it stands.
#[derive(Clone, Debug)]
pub struct Node {
    /// The value.
    pub value: Value,
    /// Where its first character stands.
    pub at: Location,
}

/// A YAML value, by the core schema of YAML 1.2.
#[derive(Clone, Debug)]
pub enum Value {
    /// Nothing was written, or `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A whole number; the text is kept for messages and for numbers past the range.
    Int(i128),
    /// A number with a point or an exponent, as written.
    Float(String),
    /// Text.
    Text(String),
    /// A list.
    List(Vec<Node>),
    /// A table; keys are unique.
    Table(Vec<(Key, Node)>),
}

/// The key of a table's entry.
#[derive(Clone, Debug)]
pub struct Key {
    /// As written.
    pub name: String,
    /// Where.
    pub at: Location,
}

impl Value {
    /// What it is, in words for a message.
    pub fn describe(&self) -> String {
        match self {
            Self::Null => "nothing".to_owned(),
            Self::Bool(value) => format!("{value}"),
            Self::Int(value) => format!("the number {value}"),
            Self::Float(text) => format!("the number {text}"),
            Self::Text(text) => format!("the text {}", quoted(text)),
            Self::List(items) => format!("a list of {}", items.len()),
            Self::Table(_) => "a table of keys and values".to_owned(),
        }
    }
}

/// `text` in quotes, clipped and on one line.
pub fn quoted(text: &str) -> String {
    const CHARS_MAX: usize = 60;
    let mut short: String =
        text.chars().take(CHARS_MAX).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if text.chars().count() > CHARS_MAX {
        short.push('…');
    }
    format!("\"{short}\"")
}

/// Reads a whole file's text; `file` is its name in messages. A syntax error ends the reading, so
/// it is the only problem reported with it; duplicate keys, anchors and tags are all reported.
pub fn parse(file: &Arc<str>, text: &str, problems: &mut Vec<Problem>) -> Option<Node> {
    let mut builder = Builder { file, problems, open: Vec::new(), root: None };
    for event in Parser::new_from_str(text) {
        match event {
            Ok((event, span)) => {
                if !builder.event(&event, span) {
                    return None;
                }
            }
            Err(error) => {
                let at = location(file, error.marker());
                builder.problems.push(Problem {
                    at,
                    message: format!("this is not YAML: {}", error.info()),
                    help: None,
                });
                return None;
            }
        }
    }
    let start = Location { file: Arc::clone(file), line: 1, column: 1 };
    Some(builder.root.unwrap_or(Node { value: Value::Null, at: start }))
}

struct Builder<'a> {
    file: &'a Arc<str>,
    problems: &'a mut Vec<Problem>,
    open: Vec<Open>,
    root: Option<Node>,
}

enum Open {
    List(Location, Vec<Node>),
    Table(Location, Vec<(Key, Node)>, Option<Key>),
}

impl Builder<'_> {
    /// Takes an event; `false` when reading must end.
    fn event(&mut self, event: &Event<'_>, span: Span) -> bool {
        let at = location(self.file, &span.start);
        if event.anchor_id().is_some() && !event.is_alias() {
            self.problem(
                &at,
                "anchors (&name) are not supported",
                "write the value where it is used",
            );
        }
        if event.tag().is_some() {
            self.problem(&at, "tags (!name) are not supported", "leave the tag out");
        }
        match event {
            Event::Scalar(text, style, ..) => {
                let at = first_character(*style, at);
                let value = match style {
                    ScalarStyle::Plain => plain(text),
                    _ => Value::Text(text.to_string()),
                };
                self.node(Node { value, at });
            }
            Event::Alias(_) | Event::UnresolvedAlias(_) => {
                self.problem(&at, "aliases (*name) are not supported", "write the value out");
                self.node(Node { value: Value::Null, at });
            }
            Event::SequenceStart(..) | Event::MappingStart(..) if self.open.len() >= DEPTH_MAX => {
                let what = format!("more than {DEPTH_MAX} levels of nesting");
                self.problem(&at, &what, "no setting nests this deep");
                return false;
            }
            Event::SequenceStart(..) => self.open.push(Open::List(at, Vec::new())),
            Event::MappingStart(..) => self.open.push(Open::Table(at, Vec::new(), None)),
            Event::SequenceEnd | Event::MappingEnd => match self.open.pop() {
                Some(Open::List(at, items)) => self.node(Node { value: Value::List(items), at }),
                Some(Open::Table(at, entries, _)) => {
                    self.node(Node { value: Value::Table(entries), at });
                }
                None => {}
            },
            Event::DocumentStart(..) if self.root.is_some() => {
                self.problem(&at, "a second document begins here", "keep one document per file");
                return false;
            }
            _ => {}
        }
        true
    }

    fn node(&mut self, node: Node) {
        let duplicate = match self.open.last_mut() {
            None => {
                self.root = Some(node);
                None
            }
            Some(Open::List(_, items)) => {
                items.push(node);
                None
            }
            Some(Open::Table(_, _, key @ None)) => {
                let name = match node.value {
                    Value::Text(text) => text,
                    Value::Bool(value) => value.to_string(),
                    Value::Int(value) => value.to_string(),
                    Value::Float(text) => text,
                    Value::Null | Value::List(_) | Value::Table(_) => String::new(),
                };
                *key = Some(Key { name, at: node.at });
                None
            }
            Some(Open::Table(_, entries, key)) => {
                let Some(key) = key.take() else { return };
                let first = entries.iter().find(|(other, _)| other.name == key.name);
                let duplicate = first.map(|(first, _)| (first.at.clone(), key.clone()));
                if duplicate.is_none() {
                    entries.push((key, node));
                }
                duplicate
            }
        };
        if let Some((first, key)) = duplicate {
            let message = format!("the key {} is here twice", quoted(&key.name));
            let help = format!("it stands in line {} already; keep one", first.line);
            self.problem(&key.at, &message, &help);
        }
    }

    fn problem(&mut self, at: &Location, message: &str, help: &str) {
        self.problems.push(Problem {
            at: at.clone(),
            message: message.to_owned(),
            help: Some(help.to_owned()),
        });
    }
}

/// Where the content of a scalar begins. The parser gives the place of a quote, and for `|` and `>`
/// that of the first character below it.
fn first_character(style: ScalarStyle, at: Location) -> Location {
    match style {
        ScalarStyle::SingleQuoted | ScalarStyle::DoubleQuoted => {
            Location { column: at.column.saturating_add(1), ..at }
        }
        _ => at,
    }
}

fn location(file: &Arc<str>, mark: &Marker) -> Location {
    Location {
        file: Arc::clone(file),
        line: number(mark.line().max(1)),
        column: number(mark.col() + 1),
    }
}

fn number(value: usize) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}

/// The core schema of YAML 1.2 (section 10.3.2), where `no` and `012` are no surprises: the first
/// is text, the second a decimal number.
fn plain(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Value::Null,
        "true" | "True" | "TRUE" => return Value::Bool(true),
        "false" | "False" | "FALSE" => return Value::Bool(false),
        _ => {}
    }
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return text.parse().map_or_else(|_| Value::Float(text.to_owned()), Value::Int);
    }
    let numeric = digits.starts_with(|c: char| c.is_ascii_digit() || c == '.')
        && digits.bytes().all(|b| b.is_ascii_digit() || b".eE+-".contains(&b))
        && text.parse::<f64>().is_ok();
    if numeric { Value::Float(text.to_owned()) } else { Value::Text(text.to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> (Option<Node>, Vec<String>) {
        let mut problems = Vec::new();
        let node = parse(&"f.yaml".into(), text, &mut problems);
        (node, problems.iter().map(ToString::to_string).collect())
    }

    fn entry<'a>(node: &'a Node, name: &str) -> &'a Node {
        let Value::Table(entries) = &node.value else { panic!("not a table") };
        &entries.iter().find(|(key, _)| key.name == name).unwrap().1
    }

    #[test]
    fn every_value_knows_where_its_first_character_stands() {
        let text = "a: 1\nb: \"x\"\nc: |\n    first\n    second\nd: [é, yes]\n";
        let (node, problems) = read(text);
        assert!(problems.is_empty(), "{problems:?}");
        let node = node.unwrap();
        let at = |name| entry(&node, name).at.to_string();
        assert_eq!(at("a"), "f.yaml:1:4");
        assert_eq!(at("b"), "f.yaml:2:5", "behind the quote");
        assert_eq!(at("c"), "f.yaml:4:5", "in the line below the bar");
        assert_eq!(
            read("a: >-\n\n  x\n").0.map(|n| entry(&n, "a").at.to_string()).unwrap(),
            "f.yaml:3:3"
        );
        let Value::List(items) = &entry(&node, "d").value else { panic!("not a list") };
        assert_eq!(items[1].at.to_string(), "f.yaml:6:8", "columns count characters");
    }

    #[test]
    fn plain_scalars_follow_the_core_schema() {
        let kind = |text: &str| plain(text).describe();
        assert_eq!(kind("no"), "the text \"no\"");
        assert_eq!(kind("012"), "the number 12");
        assert_eq!(kind("1e3"), "the number 1e3");
        assert_eq!(kind("16MiB"), "the text \"16MiB\"");
        assert_eq!(kind("127.0.0.1:7070"), "the text \"127.0.0.1:7070\"");
        assert_eq!(kind("~"), "nothing");
    }

    #[test]
    fn duplicate_keys_anchors_and_tags_are_all_reported() {
        let (_, problems) = read("a: 1\na: 2\nb: &x 1\nc: *x\nd: !t 1\n");
        assert_eq!(
            problems,
            [
                "f.yaml:2:1: the key \"a\" is here twice (it stands in line 1 already; keep one)",
                "f.yaml:3:7: anchors (&name) are not supported (write the value where it is used)",
                "f.yaml:4:4: aliases (*name) are not supported (write the value out)",
                "f.yaml:5:7: tags (!name) are not supported (leave the tag out)",
            ]
        );
    }

    #[test]
    fn broken_yaml_is_one_problem_with_its_place() {
        let (node, problems) = read("a: [1, 2\nb: 3\n");
        assert!(node.is_none());
        assert_eq!(problems.len(), 1);
        assert!(problems[0].contains("this is not YAML"), "{problems:?}");
    }

    #[test]
    fn p8_nesting_is_bounded() {
        let deep = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        assert!(read(&deep(DEPTH_MAX)).0.is_some());
        let (node, problems) = read(&deep(DEPTH_MAX + 1));
        assert!(node.is_none());
        assert!(problems[0].contains("levels of nesting"), "{problems:?}");
        assert!(read(&deep(100_000)).0.is_none());
    }

    #[test]
    fn a_second_document_is_refused() {
        assert!(read("a: 1\n---\nb: 2\n").1[0].contains("second document"));
    }
}
