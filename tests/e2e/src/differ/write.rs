//! Statements that write.

use super::maker::{Appetite, Maker, Source};
use super::query::Wanted;
use super::schema::{Column, Kind, RELATIONS, Relation};
use super::sources::source;

/// Rows that can be written: table, columns that all rows need, and their values with `#` for the key.
const INSERTS: &[(&str, &str, &str)] = &[
    ("plain", "id, body", "#, {text}"),
    ("plain", "id, body, n, j", "#, {text}, {int}, {jsonb}"),
    ("plain", "id, body, amount, small", "#, {text}, {numeric}, {int}"),
    ("plain", "id, body, n", "# % 3 + 1, {text}, {int}"),
    ("plain", "id, body", "#, NULL"),
    ("dept", "dept, head, budget", "'d' || #, {text}, {int}"),
    ("dept", "dept, head, budget", "'dev', {text}, 5"),
    ("person", "id, name, dept", "#, {text}, 'dev'"),
    ("person", "id, name, dept, note", "#, {text}, {text}, {text}"),
    ("person", "id, name, ssn", "#, 'new', {text}"),
    ("person", "id, name, pin, tags", "#, 'new', {int}, {text[]}"),
    ("person", "id, name", "3, {text}"),
    ("person", "id, name, email, badge", "#, 'new', {text}, {text}"),
    ("orders", "id, person, amount, memo", "#, {int}, {numeric}, {text}"),
    ("orders", "id, person, state", "#, 2, {mood}"),
    ("refs", "id, label", "#, {text}"),
    ("refs", "id, label, ssn_ref", "#, 'new', {text}"),
    ("event", "id, region, amount, label", "#, 'eu', {int}, {text}"),
    ("event", "id, region, label", "#, 'xx', {text}"),
    ("animal", "id, name", "#, {text}"),
    ("dog", "id, name, chip", "#, {text}, {text}"),
    ("v_person", "id, name", "#, {text}"),
];

/// A masked column goes where its mask goes with it.
const ITSELF: &[(&str, &str, &str)] = &[
    (
        "orders",
        "o",
        "INSERT INTO orders AS o (id, memo, fee) SELECT id + 700, memo, fee FROM orders",
    ),
    ("orders", "o", "UPDATE orders AS o SET memo = memo, fee = fee"),
    ("orders", "o", "UPDATE orders AS o SET memo = p.memo FROM orders p WHERE p.id = o.id % 2 + 1"),
    (
        "orders",
        "o",
        "UPDATE orders AS o SET (memo, fee) = (SELECT memo, fee FROM orders p WHERE p.id = 1)",
    ),
    ("orders", "o", "UPDATE orders AS o SET (state, memo) = ROW('low', memo)"),
    (
        "orders",
        "o",
        "INSERT INTO orders AS o SELECT * FROM orders ON CONFLICT (id) DO UPDATE SET memo = EXCLUDED.memo",
    ),
    ("event", "o", "INSERT INTO event AS o SELECT id + 700, region, amount, label FROM event"),
    ("animal", "o", "INSERT INTO animal AS o SELECT id + 700, name, chip FROM dog"),
    ("person", "o", "UPDATE person AS o SET email = email, tags = tags, home = home WHERE id < 4"),
    ("person", "o", "UPDATE person AS o SET email = DEFAULT, note = 'x'"),
    ("v_person", "o", "UPDATE v_person AS o SET name = name || '!'"),
];

impl Maker<'_> {
    fn table(&mut self) -> &'static Relation {
        let all: Vec<&Relation> = RELATIONS
            .iter()
            .filter(|relation| relation.table || (relation.from == "v_person"))
            .filter(|relation| !relation.from.starts_with("ONLY"))
            .collect();
        self.choices.pick(&all).copied().or(RELATIONS.get(1)).unwrap_or(&super::sources::PLAIN)
    }

    /// A statement that writes, with RETURNING when `returning`; its columns.
    pub fn writing(&mut self, returning: bool) -> (String, Vec<Column>) {
        self.writes = true;
        self.apart(|maker| match maker.choices.below(12) {
            10 | 11 if maker.appetite != Appetite::None => maker.itself(returning),
            0..4 => maker.update(returning),
            4..7 => maker.insert(returning),
            7 | 8 => maker.delete(returning),
            _ if returning => maker.delete(returning),
            _ => (maker.merge(), Vec::new()),
        })
    }

    fn itself(&mut self, returning: bool) -> (String, Vec<Column>) {
        let Some((table, alias, text)) = self.choices.pick(ITSELF).copied() else {
            return self.delete(returning);
        };
        self.touched = true;
        let relation = RELATIONS.iter().find(|relation| relation.from == table);
        let (more, gives) = self.returning(returning, alias, relation);
        (format!("{text}{more}"), gives)
    }

    fn insert(&mut self, returning: bool) -> (String, Vec<Column>) {
        let masked = self.appetite != Appetite::None;
        let touches = |(table, columns, _): &&(&str, &str, &str)| {
            let relation = RELATIONS.iter().find(|relation| relation.from == *table);
            let all = relation.map(Relation::columns).unwrap_or_default();
            columns
                .split(", ")
                .any(|name| all.iter().any(|column| column.name == name && column.masked))
        };
        let fits: Vec<&(&str, &str, &str)> =
            INSERTS.iter().filter(|row| masked || !touches(row)).collect();
        let Some((table, columns, values)) = self.choices.pick(&fits).copied() else {
            return self.delete(returning);
        };
        self.touched |=
            INSERTS.iter().filter(touches).any(|row| row == &(*table, *columns, *values));
        let (rows, mut sql) = (1 + self.choices.below(2), String::new());
        let number = if *table == "v_person" { "501" } else { "500" };
        if self.choices.chance(30) {
            self.scopes.push(Vec::new());
            let relation = RELATIONS.get(self.choices.below(8)).unwrap_or(&super::sources::PLAIN);
            let alias = self.name("s");
            if let Some(sources) = self.scopes.last_mut() {
                sources.push(source(&alias, relation));
            }
            let key = relation.key.filter(|key| *key == "id");
            let key = key.map_or("900".to_owned(), |key| format!("({alias}.{key} + 700)"));
            let values = self.deciding(|maker| maker.filled(values, 1)).unwrap_or_default();
            self.scopes.pop();
            let one = if key == "900" { " LIMIT 1" } else { "" };
            sql += &format!(
                "SELECT {} FROM {} {alias}{one}",
                values.replace('#', &key),
                relation.from
            );
        } else {
            for row in 0..rows {
                let values = self.deciding(|maker| maker.filled(values, 1)).unwrap_or_default();
                sql += if row == 0 { "VALUES (" } else { ", (" };
                sql += &values.replace('#', &format!("({number} + {row})"));
                sql += ")";
            }
        }
        let conflict = match self.choices.below(8) {
            0..5 => String::new(),
            5 => " ON CONFLICT DO NOTHING".to_owned(),
            _ => {
                let (key, to) = match *table {
                    "dept" => ("dept", "head = EXCLUDED.head || '+'"),
                    "plain" => ("id", "body = EXCLUDED.body"),
                    "event" => ("id, region", "label = EXCLUDED.label"),
                    "refs" => ("id", "label = EXCLUDED.label"),
                    "orders" => ("id", "amount = orders.amount + 1"),
                    _ => ("id", "name = EXCLUDED.name"),
                };
                format!(" ON CONFLICT ({key}) DO UPDATE SET {to}")
            }
        };
        let relation = RELATIONS.iter().find(|relation| relation.from == *table);
        let (more, gives) = self.returning(returning, table, relation);
        (format!("INSERT INTO {table} ({columns}) {sql}{conflict}{more}"), gives)
    }

    fn update(&mut self, returning: bool) -> (String, Vec<Column>) {
        let relation = self.table();
        let masked = self.masked_here() && self.choices.chance(30);
        let columns: Vec<Column> = relation
            .columns()
            .into_iter()
            .filter(|column| masked || !column.masked)
            .filter(|column| !["id", "twin", "dotted"].contains(&column.name.as_str()))
            .collect();
        let alias = self.name("u");
        let Some(column) = self.choices.pick(&columns).cloned() else {
            return self.delete(returning);
        };
        self.touched |= column.masked;
        self.scopes.push(vec![source(&alias, relation)]);
        let value = self.deciding(|maker| maker.expression(column.kind, 2));
        let mut from = String::new();
        if self.choices.chance(20) {
            let wanted = Wanted { kinds: Some(&[Kind::Int, Kind::Text]), top: false, depth: 1 };
            let query = self.apart(|maker| maker.deciding(|maker| maker.query(wanted)));
            let name = self.name("f");
            let names = format!("{name}(a, b)");
            from = format!(" FROM ({}) AS {names}", query.sql);
            // Which of several rows it takes is not said, so there is one.
            from += &format!(
                " WHERE {name}.a = 1 AND {alias}.{} IS NULL",
                relation.key.unwrap_or("id")
            );
        } else {
            from += &self.filter("WHERE", 70, 1);
        }
        let (more, gives) = self.returning(returning, &alias, Some(relation));
        self.scopes.pop();
        (
            format!(
                "UPDATE {} AS {alias} SET {} = {value}{from}{more}",
                relation.from, column.name
            ),
            gives,
        )
    }

    fn delete(&mut self, returning: bool) -> (String, Vec<Column>) {
        let relation = self.table();
        let alias = self.name("d");
        self.scopes.push(vec![source(&alias, relation)]);
        let using = self.choices.chance(15);
        let using = if using { " USING (SELECT 1 AS a, 'dev' AS b) z" } else { "" };
        let filter = self.filter("WHERE", 80, 1);
        let (more, gives) = self.returning(returning, &alias, Some(relation));
        self.scopes.pop();
        (format!("DELETE FROM {} AS {alias}{using}{filter}{more}", relation.from), gives)
    }

    fn merge(&mut self) -> String {
        let relation = RELATIONS.get(1 + self.choices.below(2)).unwrap_or(&super::sources::PLAIN);
        let (alias, other) = (self.name("m"), self.name("n"));
        let wanted = Wanted { kinds: Some(&[Kind::Text]), top: false, depth: 1 };
        let query = self.deciding(|maker| maker.query(wanted));
        let from = format!("(SELECT 1 AS id, max(v) AS v FROM ({}) AS q(v)) AS {other}", query.sql);
        let target = if relation.from == "plain" { "body" } else { "memo" };
        self.touched |= target == "memo";
        let set = format!("SET {target} = COALESCE({other}.v, 'none')");
        let tested: Source = source(&alias, relation);
        self.scopes.push(vec![tested]);
        let test = self.deciding(|maker| maker.expression(Kind::Bool, 1));
        self.scopes.pop();
        let last = self.choices.word(&["DO NOTHING", "INSERT (id) VALUES (800)"]);
        format!(
            "MERGE INTO {} AS {alias} USING {from} ON {alias}.id = {other}.id \
             WHEN MATCHED AND {test} THEN UPDATE {set} WHEN MATCHED THEN DELETE WHEN NOT MATCHED THEN {last}",
            relation.from
        )
    }

    /// RETURNING, for rows of this relation.
    fn returning(
        &mut self,
        wanted: bool,
        alias: &str,
        relation: Option<&Relation>,
    ) -> (String, Vec<Column>) {
        let Some(relation) = relation.filter(|_| wanted || self.choices.chance(50)) else {
            return (String::new(), Vec::new());
        };
        if !wanted && self.choices.chance(20) && (self.masked_here() || !relation.masked()) {
            self.touched |= relation.masked();
            return (" RETURNING *".to_owned(), Vec::new());
        }
        self.scopes.push(vec![source(alias, relation)]);
        let ((text, kind), masked) = self.noting(|maker| maker.anything(2));
        let ((more, other), also) = self.noting(|maker| maker.anything(1));
        self.scopes.pop();
        let names = (self.name("r"), self.name("r"));
        let gives = vec![
            Column { name: names.0.clone(), kind, masked },
            Column { name: names.1.clone(), kind: other, masked: also },
        ];
        (format!(" RETURNING {text} AS {}, {more} AS {}", names.0, names.1), gives)
    }
}
