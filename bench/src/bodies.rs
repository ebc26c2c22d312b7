//! What reading and masking a body of JSON costs, alone: the filter, without sockets or rules.

use std::fmt::Write as _;
use std::hint::black_box;
use std::sync::Arc;

use anyhow::{Result, anyhow};
use detect::TypeSet;
use engine::{HashKey, MaskPlan};
use model::Resource;
use web::body::{Codings, Filter, Kind};

use crate::stats::{Used, median};

/// Length of each document, bytes.
const BYTES: usize = 1 << 20;
/// Length of the pieces in which it comes.
const PIECE_BYTES: usize = 16 * 1024;

/// What is done to a body: the words, the names masked in it, and the types counted.
const WORK: [(&str, &str, TypeSet); 4] = [
    ("read only", "nothing_has_this_name", TypeSet::EMPTY),
    ("two names masked", "ssn,credit_card", TypeSet::EMPTY),
    ("types counted", "", TypeSet::ALL),
    ("both", "ssn,credit_card", TypeSet::ALL),
];

/// MB/s on one core for one document, in the order of [`WORK`].
pub struct Speed {
    words: &'static str,
    of: [f64; WORK.len()],
}

/// Measures every kind of document, the kinds of work in turns.
pub fn measure(rounds: usize) -> Result<Vec<Speed>> {
    let key = Arc::new(HashKey::new(&[7; 32]));
    let plans = WORK.iter().map(|(_, names, _)| plan(names)).collect::<Result<Vec<_>>>()?;
    let documents = [
        ("records", records(BYTES)),
        ("records, indented", indented(BYTES)),
        ("long texts", texts(BYTES)),
        ("numbers", numbers(BYTES)),
    ];
    let mut speeds = Vec::new();
    for (words, document) in documents {
        let mut seconds = WORK.map(|_| Vec::new());
        for _ in 0..rounds * 3 {
            for ((plan, (.., types)), seconds) in plans.iter().zip(WORK).zip(&mut seconds) {
                let started = Used::now();
                black_box(pass(&document, plan, &key, types)?);
                seconds.push(started.since());
            }
        }
        let speed = |seconds: &Vec<f64>| {
            median(seconds).map_or(f64::NAN, |seconds| document.len() as f64 / 1e6 / seconds)
        };
        speeds.push(Speed { words, of: seconds.each_ref().map(speed) });
    }
    Ok(speeds)
}

/// The section of the page.
pub fn section(speeds: &[Speed]) -> Result<String> {
    let mut text = format!(
        "\n## Bodies\n\nJSON of 1 MiB through the filter of bodies in pieces of {} KiB, MB/s on \
         one core.\n\n| |",
        PIECE_BYTES / 1024
    );
    for (words, ..) in WORK {
        write!(text, " {words} |")?;
    }
    text.push_str("\n| --- | --- | --- | --- | --- |\n");
    for speed in speeds {
        write!(text, "| {} |", speed.words)?;
        for of in speed.of {
            write!(text, " {of:.0} |")?;
        }
        text.push('\n');
    }
    Ok(text)
}

/// The body through a filter of its own; how long it became.
fn pass(body: &str, plan: &Arc<MaskPlan>, key: &Arc<HashKey>, types: TypeSet) -> Result<usize> {
    let mut filter = Filter::new(Kind::Json, Codings::default(), plan, key, types);
    let mut passed = 0;
    let mut out = Vec::with_capacity(PIECE_BYTES * 2);
    for piece in body.as_bytes().chunks(PIECE_BYTES) {
        out.clear();
        filter.push(piece, &mut out).map_err(|unreadable| anyhow!(unreadable.what))?;
        passed += black_box(&out).len();
    }
    out.clear();
    filter.finish(&mut out).map_err(|unreadable| anyhow!(unreadable.what))?;
    Ok(passed + out.len())
}

/// A plan that masks these names.
fn plan(names: &str) -> Result<Arc<MaskPlan>> {
    let rules: &[String] = if names.is_empty() { &[] } else { &[format!("hide mask {names}")] };
    let resource = Resource { name: "api".into(), kind: "http".into() };
    let resources = std::slice::from_ref(&resource);
    let compiled = testkit::rules::compile(&web::HTTP, resources, true, rules, 1);
    let compiled = compiled.map_err(|problems| anyhow!(problems))?;
    let scope = compiled.policy.scope(&testkit::stage::principal(), &resource, compiled.block);
    Ok(Arc::clone(scope.masks()))
}

/// Records as an API returns them, two keys in each masked.
pub fn records(bytes: usize) -> String {
    array(bytes, |number| {
        format!(
            "{{\"id\":{number},\"name\":\"customer number {number}\",\"ssn\":\"900-55-{:04}\",\
             \"credit_card\":\"4000{:012}\",\"city\":\"Lisbon\",\"note\":\"{}\"}}",
            number % 10_000,
            number,
            "n".repeat(40)
        )
    })
}

/// The same with more levels, lines and indentation.
fn indented(bytes: usize) -> String {
    array(bytes, |number| {
        format!(
            "\n  {{\n    \"id\": {number},\n    \"customer\": {{\n      \"name\": \"customer \
             {number}\",\n      \"ssn\": \"900-55-{:04}\",\n      \"addresses\": [\n        {{ \
             \"city\": \"São Paulo\", \"primary\": true }}\n      ]\n    }},\n    \
             \"credit_card\": \"4000{number:012}\",\n    \"balance\": {number}.25,\n    \
             \"closed_at\": null\n  }}",
            number % 10_000,
        )
    })
}

/// Few keys and long values, some with escapes.
fn texts(bytes: usize) -> String {
    let words = "A model answers in sentences like these, and in many of them. \\\"Quoted\\\"\\n";
    array(bytes, |number| format!("{{\"id\":{number},\"content\":\"{}\"}}", words.repeat(20)))
}

/// Nothing but numbers.
fn numbers(bytes: usize) -> String {
    array(bytes, |number| format!("[{number},{}.{:03},-{number}e-3]", number * 7, number % 1000))
}

/// An array of about so many bytes.
fn array(bytes: usize, item: impl Fn(usize) -> String) -> String {
    let mut text = String::from("[");
    for number in 0.. {
        let item = item(number);
        if number > 0 && text.len() + item.len() + 2 > bytes {
            break;
        }
        if number > 0 {
            text.push(',');
        }
        text.push_str(&item);
    }
    text.push(']');
    text
}
