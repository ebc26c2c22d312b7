//! What knowing a statement costs: facts and lineage of one never seen, beside the bare parse that
//! they need, and of one seen before.

use std::hint::black_box;
use std::sync::Arc;

use anyhow::{Context, Result, anyhow};
use postgres::{Cache, Environment};

use crate::stats::{Used, median};

/// Statements that clients send, over the tables of [`sql::sample`].
const STATEMENTS: [(&str, &str); 7] = [
    ("select by key", "SELECT id, name, email FROM customers WHERE id = $1"),
    ("update … returning", UPDATE),
    ("ORM join", JOIN),
    ("every column, through a view", "SELECT p.*, t.tail FROM people p JOIN tails t USING (id)"),
    ("CTEs, window, lateral", CTES),
    ("insert of 100 rows", ""),
    ("copy", "COPY customers (id, name, email) TO STDOUT WITH (FORMAT csv, HEADER)"),
];

const UPDATE: &str = "UPDATE orders SET total = total * 1.1, placed_at = now() \
    WHERE customer_id = $1 AND placed_at < $2 RETURNING id, total, placed_at";

const JOIN: &str = "SELECT c.id AS c_id, c.name AS c_name, c.email AS c_email, o.id AS o_id, \
    o.total AS o_total, o.placed_at AS o_placed_at FROM customers AS c LEFT OUTER JOIN orders AS o \
    ON o.customer_id = c.id WHERE c.created_at > $1 AND (o.total > $2 OR o.total IS NULL) \
    ORDER BY o.placed_at DESC LIMIT $3 OFFSET $4";

const CTES: &str = "WITH recent AS (SELECT customer_id, total, placed_at FROM orders WHERE \
    placed_at > now() - interval '30 days'), ranked AS (SELECT customer_id, total, row_number() \
    OVER (PARTITION BY customer_id ORDER BY total DESC) AS place FROM recent) SELECT c.id, c.name, \
    coalesce(sum(r.total), 0) AS spent, last.placed_at FROM customers c LEFT JOIN ranked r ON \
    r.customer_id = c.id AND r.place <= 3 LEFT JOIN LATERAL (SELECT o.placed_at FROM orders o \
    WHERE o.customer_id = c.id ORDER BY o.placed_at DESC LIMIT 1) last ON true GROUP BY c.id, \
    c.name, last.placed_at HAVING count(*) > 1";

/// What one statement costs, µs, medians over the rounds.
pub struct Cost {
    /// Which.
    pub words: &'static str,
    /// Length of its text.
    pub bytes: usize,
    /// Parsed by libpg_query through its Rust library, and nothing else.
    pub parse: f64,
    /// Facts and lineage, parsing included.
    pub facts: f64,
    /// The same text again.
    pub seen: f64,
    /// A text that differs in a literal, where there is one.
    pub alike: Option<f64>,
}

/// The largest of a ratio or a time over all statements.
pub fn worst(costs: &[Cost], of: impl Fn(&Cost) -> f64) -> Option<f64> {
    costs.iter().map(of).reduce(f64::max)
}

/// Measures them in turns.
pub fn measure(rounds: usize) -> Result<Vec<Cost>> {
    let catalog = sql::sample();
    let environment = Arc::new(Environment {
        standard_conforming_strings: true,
        search_path: Some(vec!["public".into()]),
        role: "app".into(),
    });
    let many = insert_of(100);
    STATEMENTS
        .iter()
        .map(|(words, text)| {
            let text = if text.is_empty() { many.as_str() } else { *text };
            let fresh = || Cache::default().judge(text, &environment, &catalog);
            fresh().map_err(|wrong| anyhow!("{words}: {}", wrong.message))?;
            let cache = Cache::default();
            let seen = || cache.judge(text, &environment, &catalog);
            // Every time another literal.
            let mut number = 0_u32;
            let mut alike = || {
                number += 1;
                let text = format!("SELECT name, email FROM customers WHERE id = {number}");
                let started = Used::now();
                let judged = cache.judge(&text, &environment, &catalog);
                let took = started.since();
                judged.map(|_| took * 1e6).unwrap_or(f64::NAN)
            };
            let mut of: [Vec<f64>; 4] = Default::default();
            for _ in 0..rounds * 3 {
                of[0].push(time(|| pg_query::parse(text, pg_query::ParserOptions::DEFAULT)));
                of[1].push(time(fresh));
                of[2].push(time(seen));
                of[3].extend(median(&(0..1000).map(|_| alike()).collect::<Vec<_>>()));
            }
            let middle = |values: &[f64]| median(values).context("nothing was measured");
            Ok(Cost {
                words,
                bytes: text.len(),
                parse: middle(&of[0])?,
                facts: middle(&of[1])?,
                seen: middle(&of[2])?,
                alike: (*words == "select by key").then(|| middle(&of[3])).transpose()?,
            })
        })
        .collect()
}

/// µs of one call, by calls for a hundredth of a second.
fn time<R>(mut work: impl FnMut() -> R) -> f64 {
    let started = Used::now();
    let mut calls = 0_u32;
    while started.since() < 0.01 {
        for _ in 0..8 {
            black_box(work());
        }
        calls += 8;
    }
    started.since() * 1e6 / f64::from(calls)
}

fn insert_of(rows: usize) -> String {
    let rows: Vec<String> = (0..rows)
        .map(|row| format!("({row}, {}, {row}.50, '2026-01-01 10:00:00+00')", row % 7))
        .collect();
    format!("INSERT INTO orders (id, customer_id, total, placed_at) VALUES {}", rows.join(", "))
}
