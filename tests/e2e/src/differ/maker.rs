//! Typed expressions over what is in scope.

use super::choices::Choices;
use super::schema::{Column, Kind};
use super::templates::{RISKY, mild, safe};
use super::worlds::World;

/// How much a case has to do with masked columns.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Appetite {
    /// It reads none.
    None,
    /// It puts them out and decides nothing by them.
    Output,
    /// It puts them anywhere.
    Anywhere,
}

/// Where an expression stands.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Place {
    /// Its value is put out.
    Output,
    /// Its value decides about rows or their order, or is stored.
    Decides,
}

/// Something in FROM.
#[derive(Clone, Debug)]
pub(super) struct Source {
    /// How its columns are qualified.
    pub alias: String,
    pub columns: Vec<Column>,
    /// The column that tells its rows apart; nothing does without.
    pub key: Option<String>,
    /// Its alias is a row, and not one value.
    pub row: bool,
}

/// Names of columns and tables, for things that are neither.
const NAMES: &[&str] = &[
    "ssn", "chip", "home", "id", "name", "animal", "plain", "note", "memo", "tags", "body", "ctid",
    "l", "person", "email", "ssn_of", "v_open", "tableoid",
];

/// Makes a case out of choices.
#[derive(Debug)]
pub(super) struct Maker<'c> {
    pub choices: &'c mut Choices,
    pub appetite: Appetite,
    pub place: Place,
    /// Expressions may fail.
    pub risky: bool,
    /// What is put out is not looked into.
    pub mild: bool,
    /// Things have names that others have too, and are named without saying whose.
    pub collides: bool,
    /// Literals are bound as parameters.
    pub binds: bool,
    pub values: Vec<String>,
    /// What may be named, query by query; the innermost last.
    pub scopes: Vec<Vec<Source>>,
    /// Named queries.
    pub named: Vec<Source>,
    /// Whether a masked column was read since this was last cleared.
    pub touched: bool,
    /// Whether a value of a masked column is in the text.
    pub guesses: bool,
    /// Whether something was written.
    pub writes: bool,
    names: usize,
}

impl<'c> Maker<'c> {
    pub fn new(choices: &'c mut Choices, appetite: Appetite, risky: bool, binds: bool) -> Self {
        Self {
            choices,
            appetite,
            place: Place::Output,
            risky,
            mild: false,
            collides: false,
            binds,
            values: Vec::new(),
            scopes: Vec::new(),
            named: Vec::new(),
            touched: false,
            guesses: false,
            writes: false,
            names: 0,
        }
    }

    /// A name nothing else has.
    pub fn name(&mut self, letter: &str) -> String {
        self.names += 1;
        if self.collides && self.choices.chance(50) {
            return self.choices.word(NAMES).to_owned();
        }
        format!("{letter}{}", self.names)
    }

    /// Whether masked columns may be named here.
    pub fn masked_here(&self) -> bool {
        match self.appetite {
            Appetite::None => false,
            Appetite::Output => self.place == Place::Output,
            Appetite::Anywhere => true,
        }
    }

    /// What `make` makes where it decides about rows.
    pub fn deciding<T>(&mut self, make: impl FnOnce(&mut Self) -> T) -> T {
        let before = std::mem::replace(&mut self.place, Place::Decides);
        let made = make(self);
        self.place = before;
        made
    }

    /// What `make` makes, and whether it reads a masked column.
    pub fn noting<T>(&mut self, make: impl FnOnce(&mut Self) -> T) -> (T, bool) {
        let before = std::mem::take(&mut self.touched);
        let made = make(self);
        let touched = self.touched;
        self.touched |= before;
        (made, touched)
    }

    /// Columns that tell the rows of the innermost query apart.
    pub fn keys(&self) -> Option<String> {
        let sources = self.scopes.last().filter(|sources| !sources.is_empty())?;
        let key = |source: &Source| Some(format!("{}.{}", source.alias, source.key.as_ref()?));
        let keys: Option<Vec<String>> = sources.iter().map(key).collect();
        Some(keys?.join(", "))
    }

    /// An expression of a kind.
    pub fn expression(&mut self, kind: Kind, depth: usize) -> String {
        if depth == 0 || !self.choices.chance(60) {
            return self.leaf(kind);
        }
        let risks: Vec<&str> =
            RISKY.iter().filter(|(of, _)| *of == kind).map(|(_, text)| *text).collect();
        let template = if self.risky && !risks.is_empty() && self.choices.chance(25) {
            self.choices.word(&risks)
        } else if self.choices.chance(8) {
            return self.subquery(kind, depth);
        } else if self.mild && self.place == Place::Output {
            self.choices.word(mild(kind))
        } else {
            self.choices.word(safe(kind))
        };
        self.filled(template, depth - 1).unwrap_or_else(|| self.leaf(kind))
    }

    /// An expression of any kind.
    pub fn anything(&mut self, depth: usize) -> (String, Kind) {
        let kind = self.choices.pick(&Kind::ALL).copied().unwrap_or(Kind::Text);
        (self.expression(kind, depth), kind)
    }

    /// A template with its holes filled; nothing if it cannot be used here.
    pub fn filled(&mut self, template: &str, depth: usize) -> Option<String> {
        if template.contains("ssn_") {
            if !self.masked_here() {
                return None;
            }
            self.touched = true;
        }
        let mut out = String::new();
        let mut rest = template;
        while let Some((before, after)) = rest.split_once('{') {
            out += before;
            let (hole, after) = after.split_once('}')?;
            out += &self.hole(hole, depth)?;
            rest = after;
        }
        out += rest;
        Some(out)
    }

    fn hole(&mut self, hole: &str, depth: usize) -> Option<String> {
        Some(match hole {
            "any" => self.anything(depth).0,
            "big" => self.expression(Kind::Big, depth),
            "small" => self.choices.word(&["1", "2", "3", "4", "7"]).to_owned(),
            "word" => self.literal(Kind::Text),
            "guess" => self.guess(),
            "keys" => self.keys()?,
            "row" => self.row(),
            kind => self.expression(Kind::named(kind)?, depth),
        })
    }

    /// A column, or a literal.
    pub fn leaf(&mut self, kind: Kind) -> String {
        let masked = self.masked_here();
        let mut columns = Vec::new();
        let bare = self.collides && self.choices.chance(40);
        for sources in self.scopes.iter().rev() {
            for source in sources {
                let castable = |column: &Column| column.kind == Kind::Any && kind == Kind::Text;
                let fits = |column: &&Column| {
                    (column.kind == kind || castable(column)) && (masked || !column.masked)
                };
                for column in source.columns.iter().filter(fits) {
                    let mut name = format!("{}.{}", source.alias, column.name);
                    if bare {
                        name.clone_from(&column.name);
                    }
                    if castable(column) {
                        name = format!("({name})::text");
                    }
                    columns.push((name, column.masked));
                }
            }
            // Further out only what is not nearer by.
            if !columns.is_empty() {
                break;
            }
        }
        // Masked ones are what this is about.
        if self.choices.chance(50) && columns.iter().any(|(_, masked)| *masked) {
            columns.retain(|(_, masked)| *masked);
        }
        if columns.is_empty() || self.choices.chance(15) {
            return self.literal(kind);
        }
        let Some((name, masked)) = self.choices.pick(&columns).cloned() else {
            return self.literal(kind);
        };
        self.touched |= masked;
        name
    }

    /// A literal of a kind, or a parameter.
    pub fn literal(&mut self, kind: Kind) -> String {
        if self.choices.chance(4) {
            return format!("NULL::{}", kind.name());
        }
        let words: &[&str] = match kind {
            Kind::Text => &["abc", "Name 3", "dev", "x y", "", "ä%_", "12"],
            Kind::Int | Kind::Big => &["1", "2", "3", "0", "-4", "21", "100"],
            Kind::Number => &["1.5", "0", "-2.25", "1000"],
            Kind::Bool => &["true", "false"],
            Kind::Date => &["2020-02-01", "2019-05-03", "1999-12-31"],
            Kind::Time => &["2021-03-04 05:06:07+00", "2022-01-02 00:00:00+00"],
            Kind::Uuid => &["00000000-0000-0000-0000-000000000003"],
            Kind::Json => &[r#"{"k": 1, "n": 2}"#, "[1, \"a\"]", "null", "\"s\""],
            Kind::Bytes => &["\\x03", "\\x", "abc"],
            Kind::Texts => &["{t1,u}", "{}", "{NULL,a}"],
            Kind::Mood => &["low", "mid", "top"],
            Kind::Pair => &["(s2,2)", "(,)"],
            Kind::Any => &["y"],
        };
        let word = self.choices.word(words);
        if self.binds && self.values.len() < 20 && self.choices.chance(40) {
            self.values.push(word.to_owned());
            return format!("${}::{}", self.values.len(), kind.name());
        }
        format!("'{word}'::{}", kind.name())
    }

    fn guess(&mut self) -> String {
        if !self.masked_here() {
            return self.literal(Kind::Text);
        }
        self.guesses = true;
        let row = [1, 2, 3, 4].get(self.choices.below(4)).copied().unwrap_or(1);
        format!("'{}'", if self.choices.chance(50) { World::B } else { World::A }.guess(row))
    }

    /// A whole row.
    fn row(&mut self) -> String {
        let masked = self.masked_here();
        let hidden = |source: &Source| source.columns.iter().any(|column| column.masked);
        let sources = self.scopes.last().map(Vec::as_slice).unwrap_or_default();
        let rows: Vec<(String, bool)> = sources
            .iter()
            .filter(|source| source.row && (masked || !hidden(source)))
            .map(|source| (source.alias.clone(), hidden(source)))
            .collect();
        match self.choices.pick(&rows).cloned() {
            Some((alias, masked)) => {
                self.touched |= masked;
                alias
            }
            None => format!("ROW({}, {})", self.leaf(Kind::Int), self.leaf(Kind::Text)),
        }
    }
}
