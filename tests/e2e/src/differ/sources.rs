//! What stands in FROM.

use super::maker::{Appetite, Maker, Source};
use super::query::{Query, Wanted};
use super::schema::{Column, Kind, RELATIONS, Relation};

impl Maker<'_> {
    /// Something to read; rather with masked columns if they are wanted.
    pub fn relation(&mut self) -> &'static Relation {
        let masked = self.appetite != Appetite::None && self.choices.chance(60);
        let all: Vec<&Relation> =
            RELATIONS.iter().filter(|relation| relation.masked() || !masked).collect();
        let open = self.appetite != Appetite::None;
        let readable: Vec<&Relation> =
            all.into_iter().filter(|relation| open || !relation.from.starts_with("ssn")).collect();
        let relation = self.choices.pick(&readable).copied();
        let relation = relation.or(RELATIONS.first()).unwrap_or(&PLAIN);
        // Its rows are values of a masked column; a table's need not be.
        self.touched |= relation.from.starts_with("ssn");
        relation
    }

    /// FROM; what it names is in scope from then on.
    pub fn from(&mut self, depth: usize) -> String {
        let count = [1, 1, 1, 2, 2, 3].get(self.choices.below(6)).copied().unwrap_or(1);
        self.scopes.push(Vec::new());
        let mut sql = String::new();
        for at in 0..count {
            let (text, source) = self.source(depth, at > 0);
            let lateral = text.starts_with("LATERAL") || text.contains("ORDINALITY");
            if at == 0 {
                sql = format!("FROM {text}");
            } else {
                sql += &self.join(&text, &source, lateral);
            }
            if let Some(sources) = self.scopes.last_mut() {
                sources.push(source);
            }
        }
        sql
    }

    /// A further source, joined in some way.
    fn join(&mut self, text: &str, right: &Source, lateral: bool) -> String {
        let left = self.scopes.last().and_then(|sources| sources.last()).cloned();
        let Some(left) = left.filter(|_| !lateral) else {
            let word = self.choices.word(&[", ", " CROSS JOIN ", " LEFT JOIN "]);
            return format!("{word}{text}{}", if word == " LEFT JOIN " { " ON true" } else { "" });
        };
        let first = self.scopes.last().is_none_or(|sources| sources.len() == 1);
        let word = self.choices.word(&[" JOIN ", " LEFT JOIN ", " RIGHT JOIN ", " FULL JOIN "]);
        let shared: Vec<&Column> = left
            .columns
            .iter()
            .filter(|column| right.columns.iter().any(|other| other.name == column.name))
            .collect();
        let compares = |column: &&&Column| {
            let masked =
                right.columns.iter().any(|other| other.name == column.name && other.masked);
            column.masked || masked
        };
        let masked = shared.iter().any(|column| compares(&column));
        let compared = self.deciding(|maker| maker.masked_here()) || !masked;
        match self.choices.below(6) {
            0 | 1 => {
                let both = self.deciding(|maker| {
                    let before = maker.leaf_of(&left, Kind::Int);
                    Some((before?, maker.leaf_of(right, Kind::Int)?))
                });
                match both {
                    Some((a, b)) => format!("{word}{text} ON {a} = {b}"),
                    None => format!(" CROSS JOIN {text}"),
                }
            }
            2 if shared.iter().any(|column| column.name == "id") && first => {
                format!("{word}{text} USING (id)")
            }
            3 if first && compared && !shared.is_empty() => {
                self.touched |= masked;
                format!(" NATURAL{word}{text}")
            }
            4 if word != " FULL JOIN " => {
                if let Some(sources) = self.scopes.last_mut() {
                    sources.push(right.clone());
                }
                let condition = self.deciding(|maker| maker.expression(Kind::Bool, 1));
                if let Some(sources) = self.scopes.last_mut() {
                    sources.pop();
                }
                format!("{word}{text} ON {condition}")
            }
            _ => format!(", {text}"),
        }
    }

    /// A column of this source.
    fn leaf_of(&mut self, source: &Source, kind: Kind) -> Option<String> {
        let masked = self.masked_here();
        let fits = |column: &&Column| column.kind == kind && (masked || !column.masked);
        let columns: Vec<Column> = source.columns.iter().filter(fits).cloned().collect();
        let column = self.choices.pick(&columns)?;
        self.touched |= column.masked;
        Some(format!("{}.{}", source.alias, column.name))
    }

    /// Something in FROM.
    fn source(&mut self, depth: usize, later: bool) -> (String, Source) {
        let alias = self.name("t");
        match self.choices.below(22) {
            20 | 21 if self.appetite != Appetite::None => self.placed(&alias),
            14 | 15 if depth > 0 => {
                let wanted = Wanted { kinds: None, top: false, depth: depth - 1 };
                let query = self.apart(|maker| maker.query(wanted));
                self.derived(&alias, "", query)
            }
            16 if depth > 0 && later => {
                let wanted = Wanted { kinds: None, top: false, depth: depth - 1 };
                let query = self.query(wanted);
                self.derived(&alias, "LATERAL ", query)
            }
            17 => self.function(&alias),
            18 | 19 if !self.named.is_empty() => {
                let named = self.choices.pick(&self.named).cloned();
                let Some(named) = named else { return self.function(&alias) };
                let text = format!("{} {alias}", named.alias);
                (text, Source { alias, ..named })
            }
            _ => {
                let relation = self.relation();
                let mut source = source(&alias, relation);
                let mut text = format!("{} AS {alias}", relation.from);
                if relation.table && !relation.from.starts_with("ONLY") && self.choices.chance(8) {
                    text += " TABLESAMPLE BERNOULLI (100)";
                } else if self.choices.chance(10) {
                    // The first columns under other names.
                    let names: Vec<String> =
                        (1..=source.columns.len().min(9)).map(|at| format!("x{at}")).collect();
                    for (column, name) in source.columns.iter_mut().zip(&names) {
                        if source.key.as_ref() == Some(&column.name) {
                            source.key = Some(name.clone());
                        }
                        column.name.clone_from(name);
                    }
                    text = format!("{} AS {alias}({})", relation.from, names.join(", "));
                }
                (text, source)
            }
        }
    }

    /// Everything of a few sources, under names by place.
    fn placed(&mut self, alias: &str) -> (String, Source) {
        self.touched = true;
        let (mut parts, mut stars) = (Vec::new(), Vec::new());
        for _ in 0..2 + self.choices.below(2) {
            let relation = self.relation();
            let name = self.name("p");
            let star = self.choices.word(&["*", ".*", "()"]);
            stars.push(match star {
                "()" => format!("({name}).*"),
                _ => format!("{name}.*"),
            });
            parts.push(format!("{} AS {name}", relation.from));
        }
        let word = self.choices.word(&[", ", " CROSS JOIN ", " NATURAL JOIN "]);
        let list = if self.choices.chance(50) { "*".to_owned() } else { stars.join(", ") };
        let rows = match self.choices.below(5) {
            0 => format!("VALUES ((ROW('x', 1)::pair).*, ({}), 'z')", self.leaf(Kind::Text)),
            _ => format!("SELECT {list} FROM {}", parts.join(word)),
        };
        let count = 2 + self.choices.below(9);
        let names: Vec<String> = (1..=count).map(|at| format!("n{at}")).collect();
        let column = |name: &String| Column { name: name.clone(), kind: Kind::Any, masked: true };
        let columns = names.iter().map(column).collect();
        let text = format!("LATERAL ({rows}) AS {alias}({})", names.join(", "));
        (text, Source { alias: alias.to_owned(), columns, key: None, row: true })
    }

    fn derived(&mut self, alias: &str, word: &str, query: Query) -> (String, Source) {
        let mut columns = query.columns;
        let mut key = query.key;
        let mut names = String::new();
        if columns.is_empty() || query.sql.starts_with("VALUES") || self.choices.chance(20) {
            for (at, column) in columns.iter_mut().enumerate() {
                let name = format!("y{at}");
                if key.as_ref() == Some(&column.name) {
                    key = Some(name.clone());
                }
                column.name = name;
            }
            let list: Vec<&str> = columns.iter().map(|column| column.name.as_str()).collect();
            names = format!("({})", list.join(", "));
        }
        let text = format!("{word}({}) AS {alias}{names}", query.sql);
        (text, Source { alias: alias.to_owned(), columns, key, row: true })
    }

    /// A function in FROM.
    fn function(&mut self, alias: &str) -> (String, Source) {
        let forms: &[(&str, &str, Kind)] = &[
            ("generate_series(1, {small})", "", Kind::Int),
            ("unnest(ARRAY[{text}, {text}])", "", Kind::Text),
            ("unnest({text[]})", "", Kind::Text),
            ("string_to_table({text}, 'a')", "", Kind::Text),
            ("regexp_split_to_table({text}, '[aeiou]')", "", Kind::Text),
            ("jsonb_object_keys(jsonb_build_object('k', {any}))", "", Kind::Text),
            ("jsonb_array_elements(jsonb_build_array({any}, {text}))", "", Kind::Json),
            ("generate_subscripts({text[]}, 1)", "", Kind::Int),
            ("jsonb_path_query({jsonb}, '$.*')", "", Kind::Json),
            ("ROWS FROM (unnest({text[]}), generate_series(1, 3))", ", z", Kind::Text),
            ("unnest({text[]}, ARRAY[{int}, 2])", ", z", Kind::Text),
        ];
        let form = self.choices.pick(forms).copied();
        let (made, masked) = self.noting(|maker| {
            let (template, more, kind) = form?;
            Some((maker.deciding(|maker| maker.filled(template, 1))?, more, kind))
        });
        let (call, more, kind) =
            made.unwrap_or(("generate_series(1, 3)".to_owned(), "", Kind::Int));
        let value = Column { name: "v".to_owned(), kind, masked };
        let order = Column { name: "o".to_owned(), kind: Kind::Big, masked: false };
        let text = format!("{call} WITH ORDINALITY AS {alias}(v{more}, o)");
        let key = Some("o".to_owned());
        (text, Source { alias: alias.to_owned(), columns: vec![value, order], key, row: true })
    }
}

pub(super) static PLAIN: Relation = match RELATIONS.last() {
    Some(relation) => *relation,
    None => unreachable!(),
};

pub(super) fn source(alias: &str, relation: &Relation) -> Source {
    let function = relation.from.ends_with(')');
    // A function of one column has the alias for its column.
    let columns = relation.columns();
    let single = function && columns.len() == 1;
    let columns = if single {
        columns.into_iter().map(|column| Column { name: alias.to_owned(), ..column }).collect()
    } else {
        columns
    };
    let key = if single {
        relation.key.map(|_| alias.to_owned())
    } else {
        relation.key.map(str::to_owned)
    };
    Source { alias: alias.to_owned(), columns, key, row: !single }
}
