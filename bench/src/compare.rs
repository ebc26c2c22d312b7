//! Two builds of the gateway in one interleaved run: what a change cost, or won.

use std::fmt::Write as _;

use anyhow::Result;

use crate::Plan;
use crate::client::Client;
use crate::http;
use crate::measure::{hundred_rows, run, said, turns};
use crate::pgbench::Load;
use crate::places::{BYTE_COPY, GATEWAY, OTHER_GATEWAY, Places, Site};
use crate::process::Processors;
use crate::stats::median;

/// What was measured: a quantity, who, and the value of one round.
type Values = Vec<(&'static str, &'static str, f64)>;

/// Runs both, and gives a table: medians, and this build against the other.
pub fn measure(other: &str, plan: &Plan) -> Result<String> {
    let mut site = Site::build(plan.rows)?;
    let mut values = Values::new();
    {
        let places = site.start_compared(other, Processors::One)?;
        latency(&site, &places, plan, &mut values)?;
    }
    {
        let places = site.start_compared(other, Processors::All)?;
        bulk(&places, plan, &mut values)?;
    }
    values.extend(http::compare(other, plan.rounds, plan.seconds)?);
    Ok(table(&values))
}

/// Everything on one processor.
fn latency(site: &Site, places: &Places, plan: &Plan, values: &mut Values) -> Result<()> {
    let hundred = hundred_rows(site, plan)?;
    let one = |mode| Load { mode, ..Load::of(1, plan.seconds, Processors::One) };
    let loads = [
        ("1 client, simple", one("simple")),
        ("1 client, extended", one("extended")),
        ("1 client, prepared", one("prepared")),
        ("100 rows, 2 columns masked", Load { script: Some(&hundred), ..one("simple") }),
        ("a connection each", Load { reconnect: true, ..one("simple") }),
    ];
    for round in 0..plan.rounds {
        for ((what, load), (time, cpu)) in loads.iter().zip(NAMES) {
            for place in turns(places, round) {
                let (run, micros) = run(site, places, place, load)?;
                let micros_each = if load.reconnect { 1e6 / run.tps } else { run.p50 };
                values.push((time, place.name, micros_each));
                values.extend(micros.map(|micros| (cpu, place.name, micros)));
                said(round, what, place, &format!("{micros_each:.0} us"));
            }
        }
    }
    Ok(())
}

/// The time and the processor time of each load.
const NAMES: [(&str, &str); 5] = [
    ("1 client, simple, p50 µs", "1 client, simple, µs of processor"),
    ("1 client, extended, p50 µs", "1 client, extended, µs of processor"),
    ("1 client, prepared, p50 µs", "1 client, prepared, µs of processor"),
    ("100 rows, 2 columns masked, p50 µs", "100 rows, 2 columns masked, µs of processor"),
    ("a connection each, µs", "a connection each, µs of processor"),
];

/// A large result, on every processor.
fn bulk(places: &Places, plan: &Plan, values: &mut Values) -> Result<()> {
    let tables = [
        ("a large result, MB/s", "articles"),
        ("a large result, 2 columns masked, MB/s", "people"),
    ];
    for round in 0..plan.rounds {
        for (what, table) in tables {
            for place in turns(places, round) {
                let answer = Client::connect(place)?.query(&format!("select * from {table}"))?;
                anyhow::ensure!(answer.rows == plan.rows, "{} rows came", answer.rows);
                let speed = answer.bytes as f64 / 1e6 / answer.seconds;
                values.push((what, place.name, speed));
                said(round, table, place, &format!("{speed:.0} MB/s"));
            }
        }
    }
    Ok(())
}

fn table(values: &Values) -> String {
    let mut names: Vec<&str> = Vec::new();
    for (what, ..) in values {
        if !names.contains(what) {
            names.push(what);
        }
    }
    let middle = |what: &str, who: &str| {
        let of: Vec<f64> = values
            .iter()
            .filter(|(name, place, _)| *name == what && *place == who)
            .map(|(_, _, value)| *value)
            .collect();
        let middle = median(&of)?;
        let far = of.iter().map(|value| (value - middle).abs()).fold(0.0, f64::max);
        Some((middle, far / middle * 100.0))
    };
    let mut text =
        "| | byte-copy | before | now | now / before |\n| --- | --- | --- | --- | --- |\n"
            .to_owned();
    for what in names {
        let cell = |who| {
            middle(what, who).map_or_else(
                || "–".to_owned(),
                |(value, spread)| format!("{value:.0} ±{spread:.0} %"),
            )
        };
        let ratio = middle(what, GATEWAY).zip(middle(what, OTHER_GATEWAY)).map_or_else(
            || "–".to_owned(),
            |((now, _), (before, _))| format!("{:.3}", now / before),
        );
        let cells = [cell(BYTE_COPY), cell(OTHER_GATEWAY), cell(GATEWAY), ratio].join(" | ");
        let _ = writeln!(text, "| {what} | {cells} |");
    }
    text
}
