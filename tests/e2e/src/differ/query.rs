//! Queries: what stands in FROM, what is put out, in which order.

use super::maker::{Maker, Source};
use super::schema::{Column, Kind};
use super::sources::source;
use super::templates::{AGGREGATES, MILD_AGGREGATES, WINDOWS};

/// A query, and what it gives.
#[derive(Clone, Debug)]
pub(super) struct Query {
    pub sql: String,
    pub columns: Vec<Column>,
    /// The output column that tells rows apart.
    pub key: Option<String>,
    /// Its rows have one order.
    pub ordered: bool,
}

/// What a query is for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted<'a> {
    /// Kinds of its columns; anything without.
    pub kinds: Option<&'a [Kind]>,
    /// It is the statement, and not part of one.
    pub top: bool,
    pub depth: usize,
}

impl Maker<'_> {
    /// A query.
    pub fn query(&mut self, wanted: Wanted<'_>) -> Query {
        if wanted.depth == 0 {
            return self.select(wanted);
        }
        match self.choices.below(100) {
            0..62 => self.select(wanted),
            62..76 => self.grouped(wanted),
            76..86 => self.combined(wanted),
            86..90 => self.listed(wanted),
            _ => self.with(wanted),
        }
    }

    /// A scalar subquery.
    pub fn subquery(&mut self, kind: Kind, depth: usize) -> String {
        let relation = self.relation();
        let alias = self.name("q");
        let Some(key) = relation.key else { return self.leaf(kind) };
        let source = source(&alias, relation);
        let number = self.choices.word(&["1", "2", "3", "5"]);
        let number = if key == "dept" { "'dev'" } else { number };
        let outer = self.deciding(|maker| match key {
            "dept" => "'ops'".to_owned(),
            _ => maker.leaf(Kind::Int),
        });
        self.scopes.push(vec![source]);
        let value = self.expression(kind, depth - 1);
        let sql = match self.choices.below(4) {
            0 => format!(
                "(SELECT {value} FROM {} {alias} WHERE {alias}.{key} = {number})",
                relation.from
            ),
            1 => format!(
                "(SELECT {value} FROM {} {alias} WHERE {alias}.{key} = {outer} ORDER BY {alias}.{key} LIMIT 1)",
                relation.from
            ),
            2 => format!(
                "(SELECT {value} FROM {} {alias} ORDER BY {alias}.{key} LIMIT 1)",
                relation.from
            ),
            _ => format!(
                "(ARRAY(SELECT {value} FROM {} {alias} ORDER BY {alias}.{key}))[{number}]",
                if key == "dept" { "dept" } else { relation.from },
            )
            .replace("['dev']", "[1]"),
        };
        self.scopes.pop();
        sql
    }

    fn select(&mut self, wanted: Wanted<'_>) -> Query {
        let from = self.from(wanted.depth);
        let mut columns = Vec::new();
        let mut list = Vec::new();
        let stars = wanted.kinds.is_none() && self.choices.chance(15);
        let key = self.single_key();
        if stars && wanted.top {
            list.push(self.star());
        } else {
            if wanted.kinds.is_none()
                && let Some((alias, key)) = &key
            {
                let kind = if key == "dept" { Kind::Text } else { Kind::Int };
                list.push(format!("{alias}.{key} AS k"));
                columns.push(Column { name: "k".to_owned(), kind, masked: false });
            }
            let count = 1 + self.choices.below(4);
            let kinds: Vec<Option<Kind>> = match wanted.kinds {
                Some(kinds) => kinds.iter().copied().map(Some).collect(),
                None => vec![None; count],
            };
            for kind in kinds {
                let ((text, kind), masked) = self.noting(|maker| maker.output(kind, wanted.depth));
                let name = self.name("c");
                let label = if wanted.top && self.choices.chance(40) {
                    String::new()
                } else {
                    format!(" AS {name}")
                };
                list.push(format!("{text}{label}"));
                columns.push(Column { name, kind, masked });
            }
        }
        let filter = self.filter("WHERE", 35, wanted.depth);
        let keys = self.keys();
        let mut ordered = false;
        let mut distinct = "";
        let mut tail = String::new();
        match self.choices.below(10) {
            0..5 => {
                if let Some(keys) = keys {
                    let first = self.order();
                    tail = format!(" ORDER BY {first}{keys}");
                    ordered = true;
                    tail += self.choices.word(&[
                        "",
                        "",
                        "",
                        " LIMIT 3",
                        " OFFSET 1",
                        " LIMIT 2 OFFSET 1",
                        " FETCH FIRST 2 ROWS ONLY",
                    ]);
                }
            }
            5 if !list.is_empty() && !stars => distinct = "DISTINCT ",
            6 if !stars && wanted.top => {
                if let Some(keys) = keys {
                    let sql = format!(
                        "SELECT DISTINCT ON ({keys}) {} {from}{filter} ORDER BY {keys}",
                        list.join(", ")
                    );
                    self.scopes.pop();
                    return Query { sql, columns, key: None, ordered: true };
                }
            }
            7 if wanted.top && wanted.kinds.is_none() => {
                tail = self
                    .choices
                    .word(&["", " FOR UPDATE", " FOR SHARE", " FOR KEY SHARE SKIP LOCKED"])
                    .to_owned();
            }
            _ => {}
        }
        let key = key.filter(|_| wanted.kinds.is_none() && !stars).map(|_| "k".to_owned());
        self.scopes.pop();
        let sql = format!("SELECT {distinct}{} {from}{filter}{tail}", list.join(", "));
        Query { sql, columns, key, ordered }
    }

    /// The key of the only source.
    fn single_key(&self) -> Option<(String, String)> {
        match self.scopes.last().map(Vec::as_slice) {
            Some([source]) => Some((source.alias.clone(), source.key.clone()?)),
            _ => None,
        }
    }

    /// `*` in one of its forms.
    fn star(&mut self) -> String {
        let sources = self.scopes.last().cloned().unwrap_or_default();
        let hidden = |source: &Source| source.columns.iter().any(|column| column.masked);
        if !self.masked_here() && sources.iter().any(hidden) {
            return self.expression(Kind::Text, 1);
        }
        let one = self.choices.pick(&sources).cloned();
        match (self.choices.below(3), one) {
            (0, _) | (_, None) => {
                self.touched |= sources.iter().any(hidden);
                "*".to_owned()
            }
            (form, Some(source)) => {
                self.touched |= hidden(&source);
                let plain = form == 1 || !source.row;
                if plain { format!("{}.*", source.alias) } else { format!("({}).*", source.alias) }
            }
        }
    }

    /// An expression that is put out.
    fn output(&mut self, kind: Option<Kind>, depth: usize) -> (String, Kind) {
        if self.choices.chance(10) {
            let fits: Vec<(Kind, &str)> = WINDOWS
                .iter()
                .filter(|(of, _)| kind.is_none_or(|kind| kind == *of))
                .copied()
                .collect();
            if let Some((kind, template)) = self.choices.pick(&fits).copied()
                && let Some(text) = self.filled(template, 1)
            {
                return (text, kind);
            }
        }
        match kind {
            Some(kind) => (self.expression(kind, depth + 1), kind),
            None => self.anything(depth + 1),
        }
    }

    /// A condition, in so many cases of a hundred.
    pub fn filter(&mut self, word: &str, percent: usize, depth: usize) -> String {
        if !self.choices.chance(percent) {
            return String::new();
        }
        let condition = self.deciding(|maker| match maker.choices.below(8) {
            0..5 => maker.expression(Kind::Bool, 2),
            5 if depth > 0 => {
                let value = maker.expression(Kind::Int, 1);
                let wanted = Wanted { kinds: Some(&[Kind::Int]), top: false, depth: depth - 1 };
                let query = maker.query(wanted).sql;
                let word = maker.choices.word(&["IN", "NOT IN", "= ANY", "<> ALL"]);
                format!("{value} {word} ({query})")
            }
            6 if depth > 0 => {
                let wanted = Wanted { kinds: Some(&[Kind::Text]), top: false, depth: depth - 1 };
                format!("EXISTS ({})", maker.query(wanted).sql)
            }
            _ => {
                let left = maker.expression(Kind::Bool, 1);
                format!("{left} AND {}", maker.expression(Kind::Bool, 1))
            }
        });
        format!(" {word} {condition}")
    }

    /// What comes before the keys in ORDER BY.
    fn order(&mut self) -> String {
        if !self.choices.chance(30) {
            return String::new();
        }
        let (text, _) = self.deciding(|maker| match maker.choices.below(8) {
            6 => (maker.choices.word(&["1", "2"]).to_owned(), Kind::Int),
            _ => maker.anything(1),
        });
        let text = if matches!(text.as_str(), "1" | "2") { text } else { format!("({text})") };
        let how = self.choices.word(&["", " DESC", " NULLS FIRST", " DESC NULLS LAST"]);
        format!("{text}{how}, ")
    }

    fn grouped(&mut self, wanted: Wanted<'_>) -> Query {
        let from = self.from(wanted.depth - 1);
        let mut list = Vec::new();
        let mut columns = Vec::new();
        let mut groups = Vec::new();
        let count = if wanted.kinds.is_some() { 0 } else { self.choices.below(3) };
        for _ in 0..count {
            let ((text, kind), masked) = self.deciding(|maker| {
                maker.noting(|maker| {
                    let kinds = [Kind::Int, Kind::Text, Kind::Bool, Kind::Mood, Kind::Date];
                    let kind = maker.choices.pick(&kinds).copied().unwrap_or(Kind::Int);
                    (maker.expression(kind, 1), kind)
                })
            });
            let name = self.name("g");
            list.push(format!("({text}) AS {name}"));
            groups.push(format!("({text})"));
            columns.push(Column { name, kind, masked });
        }
        let wants: Vec<Option<Kind>> = match wanted.kinds {
            Some(kinds) => kinds.iter().copied().map(Some).collect(),
            None => vec![None; 1 + self.choices.below(3)],
        };
        for kind in wants {
            let all =
                if self.mild && self.choices.chance(80) { MILD_AGGREGATES } else { AGGREGATES };
            let fits: Vec<(Kind, &str)> =
                all.iter().filter(|(of, _)| kind.is_none_or(|kind| kind == *of)).copied().collect();
            let chosen = self.choices.pick(&fits).copied();
            let (made, masked) = self.noting(|maker| {
                let (kind, template) = chosen?;
                Some((maker.filled(template, 1)?, kind))
            });
            let (text, kind) = made.unwrap_or_else(|| match kind {
                Some(kind) => (self.literal(kind), kind),
                None => ("count(*)".to_owned(), Kind::Big),
            });
            let name = self.name("a");
            list.push(format!("{text} AS {name}"));
            columns.push(Column { name, kind, masked });
        }
        let filter = self.filter("WHERE", 25, 0);
        let mut group = String::new();
        if !groups.is_empty() {
            let all = groups.join(", ");
            group = match self.choices.below(8) {
                0..5 => format!(" GROUP BY {all}"),
                5 => format!(" GROUP BY ROLLUP ({all})"),
                6 => format!(" GROUP BY CUBE ({all})"),
                _ => format!(" GROUP BY GROUPING SETS (({all}), ())"),
            };
        }
        let having = if self.choices.chance(10) {
            let test = self.deciding(|maker| maker.filled("max({int}) > 3", 1));
            test.map(|test| format!(" HAVING {test}")).unwrap_or_default()
        } else {
            String::new()
        };
        self.scopes.pop();
        let mut sql = format!("SELECT {} {from}{filter}{group}{having}", list.join(", "));
        let mut ordered = false;
        if wanted.top && groups.len() == 1 && columns.len() > 1 && self.choices.chance(40) {
            sql += " ORDER BY 1";
            ordered = !group.contains("(ROLLUP") && group.starts_with(" GROUP BY (");
        }
        Query { sql, columns, key: None, ordered }
    }

    fn combined(&mut self, wanted: Wanted<'_>) -> Query {
        let mut kinds: Vec<Kind> = wanted.kinds.map(<[Kind]>::to_vec).unwrap_or_default();
        while kinds.is_empty()
            || (wanted.kinds.is_none() && kinds.len() < 3 && self.choices.chance(40))
        {
            kinds.push(self.choices.pick(&Kind::ALL).copied().unwrap_or(Kind::Text));
        }
        let inner = Wanted { kinds: Some(&kinds), top: false, depth: wanted.depth - 1 };
        let (left, left_masked) = self.noting(|maker| maker.query(inner));
        let word = self.choices.word(&[
            "UNION ALL",
            "UNION ALL",
            "UNION",
            "INTERSECT",
            "EXCEPT",
            "EXCEPT ALL",
        ]);
        // All but the first compare.
        let make = |maker: &mut Self| maker.noting(|maker| maker.query(inner));
        let (right, right_masked) =
            if word == "UNION ALL" { make(self) } else { self.deciding(make) };
        let masked = left_masked || right_masked;
        let columns = left.columns.into_iter().map(|column| Column { masked, ..column }).collect();
        let sql = format!("({}) {word} ({})", left.sql, right.sql);
        Query { sql, columns, key: None, ordered: false }
    }

    fn listed(&mut self, wanted: Wanted<'_>) -> Query {
        let kinds = wanted.kinds.map_or_else(|| vec![Kind::Int, Kind::Text], <[Kind]>::to_vec);
        let rows = 1 + self.choices.below(3);
        let (rows, masked) = self.noting(|maker| {
            let mut row = |kind: &Kind| maker.expression(*kind, 1);
            let rows = (0..rows).map(|_| {
                let values: Vec<String> = kinds.iter().map(&mut row).collect();
                format!("({})", values.join(", "))
            });
            rows.collect::<Vec<_>>().join(", ")
        });
        let column = |(at, kind): (usize, &Kind)| Column {
            name: format!("column{}", at + 1),
            kind: *kind,
            masked,
        };
        let columns = kinds.iter().enumerate().map(column).collect();
        Query { sql: format!("VALUES {rows}"), columns, key: None, ordered: true }
    }

    fn with(&mut self, wanted: Wanted<'_>) -> Query {
        let name = self.name("w");
        let depth = wanted.depth - 1;
        let (head, source) = match self.choices.below(5) {
            0..3 => {
                let query =
                    self.apart(|maker| maker.query(Wanted { kinds: None, top: false, depth }));
                let word = self.choices.word(&["", "MATERIALIZED ", "NOT MATERIALIZED "]);
                let head = format!("WITH {name} AS {word}({})", query.sql);
                (
                    head,
                    Source {
                        alias: name.clone(),
                        columns: query.columns,
                        key: query.key,
                        row: true,
                    },
                )
            }
            3 if wanted.top => {
                let (sql, columns) = self.writing(true);
                let head = format!("WITH {name} AS ({sql})");
                (head, Source { alias: name.clone(), columns, key: None, row: true })
            }
            _ => {
                let (start, masked) = self.noting(|maker| maker.expression(Kind::Text, 1));
                let column = Column { name: "v".to_owned(), kind: Kind::Text, masked };
                let number = Column { name: "n".to_owned(), kind: Kind::Int, masked: false };
                let columns = vec![number, column];
                let source =
                    Source { alias: name.clone(), columns, key: Some("n".to_owned()), row: true };
                self.scopes.push(vec![source.clone()]);
                let step = self.expression(Kind::Text, 1);
                self.scopes.pop();
                let word = self.choices.word(&["UNION ALL", "UNION ALL", "UNION"]);
                let head = format!(
                    "WITH RECURSIVE {name}(n, v) AS (SELECT 1, ({start})::text {word} \
                     SELECT {name}.n + 1, ({step})::text FROM {name} WHERE {name}.n < 4)"
                );
                (head, source)
            }
        };
        self.named.push(source);
        let query = self.query(Wanted { depth, ..wanted });
        self.named.pop();
        // A query that brings its own names keeps them.
        let sql = if query.sql.starts_with("WITH") {
            format!("{head} SELECT * FROM ({}) AS {}", query.sql, self.name("i"))
        } else {
            format!("{head} {}", query.sql)
        };
        let ordered = query.ordered && !sql.contains(") SELECT * FROM (WITH");
        Query { sql, ordered, ..query }
    }

    /// What `make` makes where nothing of this query may be named.
    pub fn apart<T>(&mut self, make: impl FnOnce(&mut Self) -> T) -> T {
        let scopes = std::mem::take(&mut self.scopes);
        let made = make(self);
        self.scopes = scopes;
        made
    }
}
