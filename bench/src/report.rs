//! The page.

use std::fmt::Write;
use std::process::Command;

use anyhow::Result;

use crate::Plan;
use crate::facts::{self, Cost};
use crate::measure::{Quantity, Results};
use crate::places::{
    ARCHIVED_GATEWAY, BOUNCER, BYTE_COPY, DIRECT, GATEWAY, GATEWAY_RESULT_RULE, JOURNALLED_GATEWAY,
    Site, UNRECORDED_GATEWAY,
};
use crate::process::output;

/// Of a gateway that records: of what, of whom against whom, and the bound.
const RECORDING: [(Quantity, &str, &str, Bound); 3] = [
    (Quantity::RecordedMany, "16 clients, simple, tps", UNRECORDED_GATEWAY, Bound::AtLeast(0.9)),
    (Quantity::RecordedLarge, "large result, MB/s", UNRECORDED_GATEWAY, Bound::AtLeast(0.85)),
    (Quantity::PacedP99, "16 clients, paced: p99, µs", JOURNALLED_GATEWAY, Bound::AtMost(1.2)),
];

const PLACES: [&str; 5] = [DIRECT, BYTE_COPY, BOUNCER, GATEWAY, GATEWAY_RESULT_RULE];

/// One line of the table: quantity, words, unit, decimals.
const LINES: [(Quantity, &str, &str, usize); 13] = [
    (Quantity::SimpleP50, "1 client, simple: p50", "µs", 0),
    (Quantity::SimpleP99, "1 client, simple: p99", "µs", 0),
    (Quantity::ExtendedP50, "1 client, extended: p50", "µs", 0),
    (Quantity::ExtendedP99, "1 client, extended: p99", "µs", 0),
    (Quantity::PreparedP50, "1 client, prepared: p50", "µs", 0),
    (Quantity::PreparedP99, "1 client, prepared: p99", "µs", 0),
    (Quantity::CpuPerTransaction, "proxy's processor time per transaction", "µs", 1),
    (Quantity::ReconnectP50, "connect, one select, close", "µs", 0),
    (Quantity::ManySimple, "16 clients, simple", "tps", 0),
    (Quantity::ManyPrepared, "16 clients, prepared", "tps", 0),
    (Quantity::Unmasked, "large result, nothing masked", "MB/s", 0),
    (Quantity::Masked, "large result, two columns masked", "MB/s", 0),
    (Quantity::IdleConnection, "memory per idle connection", "KiB", 1),
];

/// An aim: what, of whom against whom, at most or at least how much.
struct Aim {
    words: &'static str,
    quantity: Quantity,
    against: Option<&'static str>,
    bound: Bound,
}

enum Bound {
    AtMost(f64),
    AtLeast(f64),
}

const AIMS: [Aim; 4] = [
    Aim {
        words: "1 client, p50 against byte-copy",
        quantity: Quantity::SimpleP50,
        against: Some(BYTE_COPY),
        bound: Bound::AtMost(1.5),
    },
    Aim {
        words: "16 clients, tps against pgbouncer",
        quantity: Quantity::ManySimple,
        against: Some(BOUNCER),
        bound: Bound::AtLeast(0.6),
    },
    Aim {
        words: "large unmasked result, MB/s against byte-copy",
        quantity: Quantity::Unmasked,
        against: Some(BYTE_COPY),
        bound: Bound::AtLeast(0.6),
    },
    Aim {
        words: "KiB per idle connection",
        quantity: Quantity::IdleConnection,
        against: None,
        bound: Bound::AtMost(64.0),
    },
];

pub fn page(
    site: &Site,
    plan: &Plan,
    results: &Results,
    (costs, web): (&[Cost], &str),
) -> Result<String> {
    let mut page = String::new();
    page.push_str("# Performance\n\nWhat being watched costs, measured by `just bench`. ");
    page.push_str("Written by that command; do not edit.\n\n## Against the aims\n\n");
    page.push_str("| aim | bound | reached |\n| --- | --- | --- |\n");
    for aim in &AIMS {
        writeln!(page, "{}", line_of_aim(aim, results))?;
    }
    let new = facts::worst(costs, |cost| cost.facts / cost.parse);
    writeln!(
        page,
        "{}",
        line("facts of a new statement against its parse", &Bound::AtMost(3.0), new)
    )?;
    let seen = facts::worst(costs, |cost| cost.seen);
    writeln!(page, "{}", line("facts of a statement seen before, µs", &Bound::AtMost(1.0), seen))?;
    page.push_str("\n## Measured\n\nMedians over the rounds. ");
    page.push_str("In brackets: against direct, and against byte-copy.\n\n| |");
    for place in PLACES {
        write!(page, " {place} |")?;
    }
    page.push_str("\n| --- | --- | --- | --- | --- | --- |\n");
    for (quantity, words, unit, decimals) in LINES {
        write!(page, "| {words}, {unit} |")?;
        for place in PLACES {
            write!(page, " {} |", cell(results, quantity, place, decimals))?;
        }
        page.push('\n');
    }
    let worst = worst_spread(results);
    writeln!(page, "\nLargest deviation of a round from its median: {:.0} %.", worst * 100.0)?;
    page.push_str(&recording(results)?);
    page.push_str("\n## Knowing a statement\n\nFacts and lineage, parsing included, beside the ");
    page.push_str("bare parse by libpg_query. On one thread, in turns.\n\n");
    page.push_str(&facts(costs)?);
    page.push_str(web);
    page.push_str(&conditions(site, plan)?);
    Ok(page)
}

fn line_of_aim(aim: &Aim, results: &Results) -> String {
    let reached = match aim.against {
        None => results.median(aim.quantity, GATEWAY),
        Some(other) => ratio(results, aim.quantity, GATEWAY, other),
    };
    line(aim.words, &aim.bound, reached)
}

fn line(words: &str, bound: &Bound, reached: Option<f64>) -> String {
    let (reached, bound) = reached_and_bound(bound, reached);
    format!("| {words} | {bound} | {reached} |")
}

fn reached_and_bound(bound: &Bound, reached: Option<f64>) -> (String, String) {
    let (sign, bound, met) = match *bound {
        Bound::AtMost(most) => ("≤", most, reached.map(|reached| reached <= most)),
        Bound::AtLeast(least) => ("≥", least, reached.map(|reached| reached >= least)),
    };
    let reached = reached.map_or_else(|| "not measured".to_owned(), |value| format!("{value:.2}"));
    let verdict = match met {
        Some(true) => "",
        Some(false) => ", **missed**",
        None => "",
    };
    (format!("{reached}{verdict}"), format!("{sign} {bound}"))
}

/// The table of what knowing statements costs.
pub fn facts(costs: &[Cost]) -> Result<String> {
    let mut text = String::from(
        "| statement | bytes | parse, µs | facts and lineage, µs | ratio | seen before, µs |\n\
         | --- | --- | --- | --- | --- | --- |\n",
    );
    for cost in costs {
        writeln!(
            text,
            "| {} | {} | {:.1} | {:.1} | {:.2} | {:.2} |",
            cost.words,
            cost.bytes,
            cost.parse,
            cost.facts,
            cost.facts / cost.parse,
            cost.seen
        )?;
    }
    for alike in costs.iter().filter_map(|cost| cost.alike) {
        writeln!(text, "\nA text that differs from one seen in a literal: {alike:.2} µs.")?;
    }
    Ok(text)
}

/// What recording costs those who are served.
pub fn recording(results: &Results) -> Result<String> {
    let places = [UNRECORDED_GATEWAY, JOURNALLED_GATEWAY, ARCHIVED_GATEWAY];
    let mut text = format!(
        "\n## Recording\n\nThe same gateway, recording less. What cannot be left out is the \
         journal of decisions. The archive is made each second beside the load; before the paced \
         one (a fifth of the transactions per second that there can be, timed from when each \
         should begin) large results were read, so that the archive is still at them. Each begins \
         when the others have nothing left to archive. Medians over the rounds.\n\n| | {} | \
         ratio | asked |\n| --- | --- | --- | --- | --- | --- |\n",
        places.join(" | ")
    );
    for (quantity, words, against, bound) in &RECORDING {
        write!(text, "| {words} |")?;
        for place in places {
            let cell = results.median(*quantity, place);
            write!(
                text,
                " {} |",
                cell.map_or_else(|| "–".to_owned(), |value| format!("{value:.0}"))
            )?;
        }
        let reached = ratio(results, *quantity, ARCHIVED_GATEWAY, against);
        let (reached, bound) = reached_and_bound(bound, reached);
        writeln!(text, " {reached} | {bound} |")?;
    }
    let loops = results.median(Quantity::PacedLoopsP99, JOURNALLED_GATEWAY);
    let least = results.median(Quantity::PacedP99, JOURNALLED_GATEWAY);
    let archived = results.median(Quantity::PacedP99, ARCHIVED_GATEWAY);
    if let (Some(loops), Some(least), Some(archived)) = (loops, least, archived) {
        writeln!(
            text,
            "\nThe least that anything in the background can be, loops in the kernel's idle class \
             beside the gateway without an archive, brings that p99 to {loops:.0} µs on this \
             machine: {:.2} of what it is alone. Beside the archive it is {:.2} of that. For the \
             paced load the kernel's groups for sessions were {}.",
            loops / least,
            archived / loops,
            if results.grouped { "on (switching them off takes root)" } else { "off" },
        )?;
    }
    Ok(text)
}

fn ratio(
    results: &Results,
    quantity: Quantity,
    place: &'static str,
    other: &'static str,
) -> Option<f64> {
    let other = results.median(quantity, other).filter(|other| *other > 0.0)?;
    Some(results.median(quantity, place)? / other)
}

fn cell(results: &Results, quantity: Quantity, place: &'static str, decimals: usize) -> String {
    let Some(value) = results.median(quantity, place) else { return "–".to_owned() };
    let mut cell = format!("{value:.decimals$}");
    let ratios: Vec<String> = [DIRECT, BYTE_COPY]
        .into_iter()
        .filter(|other| *other != place && place != DIRECT)
        .filter_map(|other| results.median(quantity, other))
        .filter(|other| *other > 0.0)
        .map(|other| format!("{:.2}", value / other))
        .collect();
    if !ratios.is_empty() {
        cell.push_str(&format!(" ({})", ratios.join(", ")));
    }
    cell
}

fn worst_spread(results: &Results) -> f64 {
    let spreads = LINES.iter().flat_map(|(quantity, ..)| {
        PLACES.iter().filter_map(|place| results.spread(*quantity, place))
    });
    spreads.fold(0.0, f64::max)
}

fn conditions(site: &Site, plan: &Plan) -> Result<String> {
    let first_line = |program: &str, argument: &str| {
        let mut command = Command::new(program);
        command.arg(argument);
        let text = output(command, program).unwrap_or_else(|_| "unknown".to_owned());
        text.lines().next().unwrap_or("unknown").to_owned()
    };
    let mut git = Command::new("git");
    git.args(["describe", "--always", "--dirty", "--exclude=*"]);
    let commit = output(git, "git describe").unwrap_or_else(|_| "unknown".to_owned());
    let mut date = Command::new("date");
    date.args(["-u", "+%Y-%m-%d %H:%M UTC"]);
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let mut text = String::from("\n## Conditions\n\n");
    for (what, value) in [
        ("date", output(date, "date")?.trim().to_owned()),
        ("commit", commit.trim().to_owned()),
        ("processor", processor()),
        ("kernel", first_line("uname", "-sr")),
        ("load average at the end", load.split(' ').take(3).collect::<Vec<_>>().join(" ")),
        ("server", first_line(&site.program("postgres"), "--version")),
        ("pgbouncer", first_line("/usr/sbin/pgbouncer", "--version")),
        ("compiler", first_line("rustc", "--version")),
    ] {
        writeln!(text, "- {what}: {value}")?;
    }
    write!(
        text,
        "\n{} rounds; the candidates take turns within each round, and each round begins with \
         another. A pgbench run lasts {} s and selects one row by key per transaction. With 1 \
         client everything (pgbench, proxy, server) shares one processor; with 16 nothing is \
         pinned. The large result has {} rows of six columns. Idle memory is the growth of the \
         proxy's resident memory with {} connections that ran one query each.\n\n\
         The gateway runs with masks on two columns, a condition on every statement, a limit, and \
         full recording, synced every 50 ms; «result rule» adds a rule that withholds every reply \
         until it is complete. Its clients prove themselves with a token. The server trusts \
         loopback, pgbouncer pools sessions and checks nobody, and nothing uses TLS, so the \
         numbers show the proxies, not key derivation. The server does not wait for its disk.\n\n\
         ## Repeat\n\n```sh\njust bench            # this page\njust bench --quick    # two short \
         rounds\n```\n",
        plan.rounds, plan.seconds, plan.rows, plan.idle
    )?;
    Ok(text)
}

fn processor() -> String {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let models: Vec<&str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("model name")?.split_once(": "))
        .map(|(_, model)| model)
        .collect();
    format!("{} × {}", models.len(), models.first().unwrap_or(&"unknown"))
}
