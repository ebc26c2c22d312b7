//! From the tree of a file to its text form, collecting every problem on the way.
//!
//! A type that can be written in the file implements [`Form`]; tables get it from [`form!`], which
//! makes the struct, its JSON Schema and its reader from one list of keys, so they cannot disagree.

use std::sync::Arc;

use policy::{Located, Location, Problem};
use schemars::{JsonSchema, Schema, SchemaGenerator};

use super::nearest::nearest;
use super::place;
use super::stores::Slot;
use super::tree::{Key, Node, Value, quoted};

/// Everything found wrong, and everything worth a warning, in one run.
#[derive(Debug, Default)]
pub struct Report {
    /// What keeps the configuration from being used.
    pub problems: Vec<Problem>,
    /// What does not, but should be known.
    pub warnings: Vec<Problem>,
    /// The texts that were read, by the names of their files.
    pub texts: Vec<(Arc<str>, String)>,
    /// What is wanted of stores of secrets, and the stores once they are known.
    pub slot: Slot,
}

impl Report {
    /// Moves every place to where it stands in its file's text, and puts every message on one line:
    /// it may quote what stands on several.
    pub fn settle(&mut self) {
        for problem in self.problems.iter_mut().chain(&mut self.warnings) {
            one_line(&mut problem.message);
            problem.help.as_mut().map(one_line);
            let text = self.texts.iter().find(|(name, _)| *name == problem.at.file);
            if let Some((_, text)) = text {
                place::settle(&mut problem.at, text);
            }
        }
    }

    /// Adds a problem.
    pub fn problem(&mut self, at: &Location, message: impl Into<String>, help: impl Into<String>) {
        self.problems.push(made(at, message, help));
    }

    /// Adds a problem with a table as a whole.
    pub fn problem_with(
        &mut self,
        table: &impl Table,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        self.problem(&table.here().at, message, help);
    }

    /// Adds a warning.
    pub fn warn(&mut self, at: &Location, message: impl Into<String>, help: impl Into<String>) {
        self.warnings.push(made(at, message, help));
    }

    /// Adds that `node` is not what `wanted` says.
    pub fn expected(&mut self, node: &Node, what: &str, wanted: &str) {
        self.problem(&node.at, format!("{what}: found {}", node.value.describe()), wanted);
    }
}

/// Characters of a message, and of what would be right.
const WORDS_CHARS_MAX: usize = 400;

fn one_line(words: &mut String) {
    let long = words.char_indices().nth(WORDS_CHARS_MAX).map(|(at, _)| at);
    if let Some(at) = long {
        words.truncate(at);
        words.push('…');
    }
    if words.contains(char::is_control) {
        *words = words.replace(char::is_control, " ");
    }
}

fn made(at: &Location, message: impl Into<String>, help: impl Into<String>) -> Problem {
    let help = help.into();
    let help = (!help.is_empty()).then_some(help);
    Problem { at: at.clone(), message: message.into(), help }
}

/// Something that can be written in the configuration.
pub trait Form: Sized {
    /// Reads it. `what` names the setting in messages. `None` when it is wrong; why is in the
    /// report.
    fn read(node: &Node, what: &str, report: &mut Report) -> Option<Self>;
}

/// A value and where it stands.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct At<T> {
    /// The value.
    pub value: T,
    /// Where its first character stands.
    pub at: Location,
}

impl<T> At<T> {
    /// As policy wants it.
    pub fn located(self) -> Located<T> {
        Located::new(self.value, self.at)
    }
}

impl<T: Form> Form for At<T> {
    fn read(node: &Node, what: &str, report: &mut Report) -> Option<Self> {
        Some(Self { value: T::read(node, what, report)?, at: node.at.clone() })
    }
}

impl<T: JsonSchema> JsonSchema for At<T> {
    fn inline_schema() -> bool {
        T::inline_schema()
    }
    fn schema_name() -> std::borrow::Cow<'static, str> {
        T::schema_name()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        T::json_schema(generator)
    }
}

impl Form for String {
    fn read(node: &Node, what: &str, report: &mut Report) -> Option<Self> {
        match &node.value {
            Value::Text(text) if !text.trim().is_empty() => return Some(text.clone()),
            Value::Text(_) => {
                report.problem(&node.at, format!("{what}: empty text"), "write a text")
            }
            Value::Bool(_) | Value::Int(_) | Value::Float(_) => {
                report.expected(node, what, "put it in quotes to make it a text");
            }
            _ => report.expected(node, what, "write a text"),
        }
        None
    }
}

impl Form for bool {
    fn read(node: &Node, what: &str, report: &mut Report) -> Option<Self> {
        if let Value::Bool(value) = node.value {
            return Some(value);
        }
        report.expected(node, what, "write true or false");
        None
    }
}

impl Form for u64 {
    fn read(node: &Node, what: &str, report: &mut Report) -> Option<Self> {
        if let Value::Int(value) = node.value
            && let Ok(value) = Self::try_from(value)
        {
            return Some(value);
        }
        report.expected(node, what, "write a whole number, 0 or more");
        None
    }
}

impl Form for u32 {
    fn read(node: &Node, what: &str, report: &mut Report) -> Option<Self> {
        if let Value::Int(value) = node.value
            && let Ok(value) = Self::try_from(value)
        {
            return Some(value);
        }
        report.expected(node, what, "write a whole number from 0 to 4294967295");
        None
    }
}

impl<T: Form> Form for Vec<T> {
    fn read(node: &Node, what: &str, report: &mut Report) -> Option<Self> {
        match &node.value {
            Value::List(items) => {
                let named = |index| format!("{what}[{index}]");
                let read = items.iter().enumerate();
                Some(read.filter_map(|(i, item)| T::read(item, &named(i), report)).collect())
            }
            Value::Null => Some(Vec::new()),
            Value::Table(_) => {
                report.expected(node, what, "write a list: a line with \"- \" for each");
                None
            }
            _ => {
                report.expected(node, what, "write a list: [first, second]");
                None
            }
        }
    }
}

/// A table whose keys the user chooses: resources, lists.
#[derive(Clone, Debug)]
pub struct Named<T>(pub Vec<(At<String>, T)>);

impl<T> Default for Named<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T: Form> Form for Named<T> {
    fn read(node: &Node, what: &str, report: &mut Report) -> Option<Self> {
        let entries = match &node.value {
            Value::Table(entries) => entries,
            Value::Null => return Some(Self::default()),
            _ => {
                report.expected(node, what, "write a table: NAME: VALUE");
                return None;
            }
        };
        let mut read = Vec::with_capacity(entries.len());
        for (key, node) in entries {
            if let Some(value) = T::read(node, &format!("{what}.{}", key.name), report) {
                read.push((At { value: key.name.clone(), at: key.at.clone() }, value));
            }
        }
        Some(Self(read))
    }
}

impl<T: JsonSchema> JsonSchema for Named<T> {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> std::borrow::Cow<'static, str> {
        format!("NamedTableOf{}", T::schema_name()).into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let values = generator.subschema_for::<T>();
        schemars::json_schema!({ "type": "object", "additionalProperties": values })
    }
}

/// The keys of a table that are still to be read.
pub struct Fields<'a> {
    what: String,
    entries: &'a [(Key, Node)],
    known: &'static [&'static str],
}

impl<'a> Fields<'a> {
    /// Opens a table and reports the keys it does not know. `what` is empty for the whole file.
    pub fn open(
        node: &'a Node,
        what: &str,
        known: &'static [&'static str],
        report: &mut Report,
    ) -> Option<Self> {
        let entries: &[(Key, Node)] = match &node.value {
            Value::Table(entries) => entries,
            Value::Null if what.is_empty() => &[],
            _ => {
                let name = if what.is_empty() { "the file" } else { what };
                report.expected(node, name, &format!("write a table with {}", listed(known)));
                return None;
            }
        };
        for (key, _) in entries.iter().filter(|(key, _)| !known.contains(&&*key.name)) {
            let place = if what.is_empty() { String::new() } else { format!(" in {what}") };
            let help = match nearest(&key.name, known.iter().copied()) {
                Some(word) => format!("did you mean \"{word}\"?"),
                None => format!("known here: {}", listed(known)),
            };
            let message = format!("unknown key {}{place}", quoted(&key.name));
            report.problem(&key.at, message, help);
        }
        Some(Self { what: what.to_owned(), entries, known })
    }

    /// The known keys that are there.
    pub fn present(&self) -> Vec<&'static str> {
        let there = |name: &&&str| self.entries.iter().any(|(key, _)| key.name == **name);
        self.known.iter().filter(there).copied().collect()
    }

    /// Reads one key; `None` when it is absent or wrong.
    pub fn field<T: Form>(&self, name: &'static str, report: &mut Report) -> Option<T> {
        debug_assert!(self.known.contains(&name), "{name} is not in the list of known keys");
        let (_, node) = self.entries.iter().find(|(key, _)| key.name == name)?;
        let what = match &*self.what {
            "" => name.to_owned(),
            outer => format!("{outer}.{name}"),
        };
        T::read(node, &what, report)
    }
}

/// `a, b, c`
pub fn listed(words: &[&str]) -> String {
    words.join(", ")
}

/// Reads one of a few words into the value beside it.
pub fn word<T: Copy>(
    node: &Node,
    what: &str,
    words: &[(&'static str, T)],
    report: &mut Report,
) -> Option<T> {
    let names: Vec<&str> = words.iter().map(|(name, _)| *name).collect();
    let found = match &node.value {
        Value::Text(text) => text.clone(),
        Value::Bool(value) => value.to_string(),
        Value::Null => "null".to_owned(),
        _ => {
            report.expected(node, what, &format!("write one of: {}", listed(&names)));
            return None;
        }
    };
    if let Some((_, value)) = words.iter().find(|(name, _)| **name == *found) {
        return Some(*value);
    }
    let help = match nearest(&found, names.iter().copied()) {
        Some(near) => format!("did you mean \"{near}\"? It can be: {}", listed(&names)),
        None => format!("write one of: {}", listed(&names)),
    };
    report.problem(&node.at, format!("{what}: found {}", node.value.describe()), help);
    None
}

/// What a table of the file knows besides its keys.
#[derive(Clone, Debug)]
pub struct Here {
    /// Where it begins.
    pub at: Location,
    /// The known keys that stand in it, right or wrong.
    pub present: Vec<&'static str>,
    /// Something in it is wrong, and was reported.
    pub broken: bool,
}

impl Here {
    /// Whether the key stands in the file, right or wrong.
    pub fn has(&self, key: &str) -> bool {
        self.present.contains(&key)
    }
}

/// A table of the file.
pub trait Table {
    /// What it knows besides its keys.
    fn here(&self) -> &Here;
}

/// Makes a table of the file: the struct, its schema, its reader. Every key is optional here; what
/// must be there is said where the text form becomes the working form.
macro_rules! form {
    ($(#[$meta:meta])* pub struct $name:ident {
        $($(#[$field_meta:meta])* $key:literal => $field:ident: $type:ty,)*
    }) => {
        $(#[$meta])*
        #[derive(Clone, Debug, schemars::JsonSchema)]
        #[schemars(deny_unknown_fields)]
        pub struct $name {
            /// What it knows besides its keys.
            #[schemars(skip)]
            pub here: $crate::config::read::Here,
            $($(#[$field_meta])* #[schemars(rename = $key)] pub $field: Option<$type>,)*
        }

        impl $crate::config::read::Table for $name {
            fn here(&self) -> &$crate::config::read::Here {
                &self.here
            }
        }

        impl $crate::config::read::Form for $name {
            fn read(
                node: &$crate::config::tree::Node,
                what: &str,
                report: &mut $crate::config::read::Report,
            ) -> Option<Self> {
                let before = report.problems.len();
                let fields =
                    $crate::config::read::Fields::open(node, what, &[$($key),*], report)?;
                let here = $crate::config::read::Here {
                    at: node.at.clone(),
                    present: fields.present(),
                    broken: false,
                };
                let mut form = Self { here, $($field: fields.field($key, report),)* };
                form.here.broken = report.problems.len() > before;
                Some(form)
            }
        }
    };
}
pub(crate) use form;
