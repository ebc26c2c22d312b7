//! The page.

use std::fmt::Write;
use std::process::Command;

use anyhow::Result;

use crate::Plan;
use crate::facts::{self, Cost};
use crate::measure::{Crowd, Quantity, Results};
use crate::parts;
use crate::places::{
    ARCHIVED_GATEWAY, BOUNCER, BYTE_COPY, CALM_GATEWAY, DIRECT, GATEWAY, GATEWAY_RESULT_RULE,
    GATEWAY_TYPES, HOLDING_GATEWAY, HUNG_GATEWAY, JOURNALLED_GATEWAY, PROXY, Site,
    UNRECORDED_GATEWAY,
};
use crate::process::output;

/// Of a gateway that records: of what, of whom against whom, and the bound.
const RECORDING: [(Quantity, &str, &str, Bound); 3] = [
    (Quantity::RecordedMany, "16 clients, simple, tps", UNRECORDED_GATEWAY, Bound::AtLeast(0.9)),
    (Quantity::RecordedLarge, "large result, MB/s", UNRECORDED_GATEWAY, Bound::AtLeast(0.85)),
    (Quantity::PacedP99, "16 clients, paced: p99, µs", JOURNALLED_GATEWAY, Bound::AtMost(1.2)),
];

const PLACES: [&str; 7] =
    [DIRECT, BYTE_COPY, BOUNCER, PROXY, GATEWAY, GATEWAY_RESULT_RULE, GATEWAY_TYPES];

/// One line of the table: quantity, words, unit, decimals.
const LINES: [(Quantity, &str, &str, usize); 17] = [
    (Quantity::SimpleP50, "1 client, simple: p50", "µs", 0),
    (Quantity::SimpleP99, "1 client, simple: p99", "µs", 0),
    (Quantity::ExtendedP50, "1 client, extended: p50", "µs", 0),
    (Quantity::ExtendedP99, "1 client, extended: p99", "µs", 0),
    (Quantity::PreparedP50, "1 client, prepared: p50", "µs", 0),
    (Quantity::PreparedP99, "1 client, prepared: p99", "µs", 0),
    (Quantity::CpuPerTransaction, "proxy's processor time per transaction", "µs", 1),
    (Quantity::HundredRows, "1 client, 100 rows: p50", "µs", 0),
    (Quantity::ReconnectP50, "connect, one select, close", "µs", 0),
    (Quantity::CpuPerConnection, "the same: proxy's processor time", "µs", 0),
    (Quantity::EightSimple, "8 clients on one processor, simple", "tps", 0),
    (Quantity::EightPrepared, "8 clients on one processor, prepared", "tps", 0),
    (Quantity::ManySimple, "32 clients, simple", "tps", 0),
    (Quantity::ManyPrepared, "32 clients, prepared", "tps", 0),
    (Quantity::Unmasked, "large result, no such column", "MB/s", 0),
    (Quantity::Masked, "large result with cards and numbers", "MB/s", 0),
    (Quantity::IdleConnection, "memory per idle connection", "KiB", 1),
];

/// An aim of what is measured in front of PostgreSQL: of whom, against whom.
type Wanted = (&'static str, Quantity, &'static str, Option<&'static str>, Bound);

#[derive(Clone, Copy)]
enum Bound {
    AtMost(f64),
    AtLeast(f64),
}

const AIMS: [Wanted; 13] = {
    use Bound::{AtLeast, AtMost};
    use Quantity as Q;
    let copy = Some(BYTE_COPY);
    [
        (
            "1 client, select by key: p50 against byte-copy",
            Q::SimpleP50,
            GATEWAY,
            copy,
            AtMost(1.2),
        ),
        (
            "1 client: processor time per transaction against byte-copy",
            Q::CpuPerTransaction,
            GATEWAY,
            copy,
            AtMost(1.5),
        ),
        (
            "100 rows, two columns masked: p50 against byte-copy",
            Q::HundredRows,
            GATEWAY,
            copy,
            AtMost(1.4),
        ),
        (
            "100 rows, two types searched: p50 against byte-copy",
            Q::HundredRows,
            GATEWAY_TYPES,
            copy,
            AtMost(2.0),
        ),
        (
            "8 clients on one processor: tps against pgbouncer",
            Q::EightSimple,
            GATEWAY,
            Some(BOUNCER),
            AtLeast(0.9),
        ),
        ("32 clients: tps against pgbouncer", Q::ManySimple, GATEWAY, Some(BOUNCER), AtLeast(0.9)),
        (
            "a connection per transaction: processor time against byte-copy",
            Q::CpuPerConnection,
            GATEWAY,
            copy,
            AtMost(2.0),
        ),
        (
            "a million rows, no mask: MB/s against byte-copy",
            Q::Unmasked,
            GATEWAY,
            copy,
            AtLeast(0.9),
        ),
        (
            "a million rows, two columns masked: MB/s against byte-copy",
            Q::Masked,
            GATEWAY,
            copy,
            AtLeast(0.6),
        ),
        (
            "a million rows, two types searched: MB/s against byte-copy",
            Q::Masked,
            GATEWAY_TYPES,
            copy,
            AtLeast(0.4),
        ),
        ("KiB per idle connection", Q::IdleConnection, GATEWAY, None, AtMost(40.0)),
        (
            "p99 while other sessions wait for a person, against calm",
            Q::TroubledP99,
            HOLDING_GATEWAY,
            Some(CALM_GATEWAY),
            AtMost(1.2),
        ),
        (
            "p99 while the store of recordings hangs, against calm",
            Q::TroubledP99,
            HUNG_GATEWAY,
            Some(CALM_GATEWAY),
            AtMost(1.2),
        ),
    ]
};

/// An aim, and what was reached.
pub struct Aim {
    words: &'static str,
    bound: Bound,
    reached: Option<f64>,
}

impl Aim {
    pub fn at_most(words: &'static str, most: f64, reached: Option<f64>) -> Self {
        Self { words, bound: Bound::AtMost(most), reached }
    }

    pub fn at_least(words: &'static str, least: f64, reached: Option<f64>) -> Self {
        Self { words, bound: Bound::AtLeast(least), reached }
    }
}

/// The whole page, of what is known of the whole run.
pub fn page(
    site: &Site,
    plan: &Plan,
    results: &Results,
    (costs, parts, others): (&[Cost], &parts::Costs, &[Aim]),
    web: &str,
) -> Result<String> {
    let mut page = String::new();
    page.push_str("# Performance\n\nWhat being watched costs, measured by `just bench`. ");
    page.push_str(
        "Written by that command; do not edit. Where the time goes, and what would close ",
    );
    page.push_str("the gaps: [profiles](docs/performance/profiles.md).\n\n## Against the aims\n\n");
    page.push_str("| aim | bound | reached |\n| --- | --- | --- |\n");
    for (words, quantity, of, against, bound) in AIMS {
        let reached = match against {
            None => results.median(quantity, of),
            Some(other) => ratio(results, quantity, of, other),
        };
        writeln!(page, "{}", line(&Aim { words, bound, reached }))?;
    }
    let scan = parts.scan();
    let own = [
        Aim::at_most(
            "facts of a new statement against its parse",
            3.0,
            facts::worst(costs, |cost| cost.facts / cost.parse),
        ),
        Aim::at_most(
            "facts of a statement seen before, µs",
            1.0,
            facts::worst(costs, |cost| cost.seen),
        ),
        Aim::at_most("a decision with 5 rules, µs", 1.0, parts.decision(5)),
        Aim::at_most("a decision with 500 rules, µs", 5.0, parts.decision(500)),
        Aim::at_least(
            "all detectors, rows without findings, MB/s",
            500.0,
            scan.map(|(clean, _)| clean),
        ),
        Aim::at_least(
            "all detectors, rows full of findings, MB/s",
            200.0,
            scan.map(|(_, full)| full),
        ),
    ];
    for aim in others.iter().chain(&own) {
        writeln!(page, "{}", line(aim))?;
    }
    page.push_str("\n## Measured\n\nMedians over the rounds. ");
    page.push_str("In brackets: against direct, and against byte-copy.\n\n| |");
    for place in PLACES {
        write!(page, " {place} |")?;
    }
    writeln!(page, "\n| ---{} |", " | ---".repeat(PLACES.len()))?;
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
    page.push_str(&troubled(results)?);
    page.push_str("\n## Knowing a statement\n\nFacts and lineage, parsing included, beside the ");
    page.push_str("bare parse by libpg_query. On one thread, in turns.\n\n");
    page.push_str(&facts(costs)?);
    page.push_str(web);
    page.push_str(&conditions(site, plan)?);
    Ok(page)
}

fn line(Aim { words, bound, reached }: &Aim) -> String {
    let (reached, bound) = reached_and_bound(bound, *reached);
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

/// How long statements take beside others' trouble.
fn troubled(results: &Results) -> Result<String> {
    let places = [CALM_GATEWAY, HOLDING_GATEWAY, HUNG_GATEWAY];
    let mut text = format!(
        "\n## Beside trouble\n\n8 clients, paced as above. «{HOLDING_GATEWAY}»: statements of 50 \
         other sessions wait for a person; «{HUNG_GATEWAY}»: the store of recordings takes \
         connections and never answers.\n\n| | {} |\n| --- | --- | --- | --- |\n| p99, µs |",
        places.join(" | ")
    );
    for place in places {
        let value = results.median(Quantity::TroubledP99, place);
        write!(text, " {} |", value.map_or_else(|| "–".to_owned(), |value| format!("{value:.0}")))?;
    }
    text.push('\n');
    if let Some(Crowd { sessions, each, before, beside, processor }) = &results.crowd {
        writeln!(
            text,
            "\n{sessions} sessions that do nothing, through one gateway to pgbouncer: {each:.1} \
             KiB of the gateway each, and {:.1} % of a processor for all of them. A select by its \
             key of one client more takes {beside:.0} µs beside them, {before:.0} before they \
             came (p50).",
            processor * 100.0
        )?;
    }
    Ok(text)
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
        ("HAProxy", first_line("/usr/sbin/haproxy", "-v")),
        ("compiler", first_line("rustc", "--version")),
    ] {
        writeln!(text, "- {what}: {value}")?;
    }
    writeln!(
        text,
        "- options: --rounds {} --seconds {}, an archive of {} operations",
        plan.rounds, plan.seconds, plan.archived
    )?;
    write!(
        text,
        "\n{} rounds; the candidates take turns within each round, and each round begins with \
         another. A pgbench run lasts {} s and selects one row by key per transaction. With 1 \
         and 8 clients everything (pgbench, proxy, server) shares one processor; with 16 and 32 \
         nothing is pinned. The large result has {} rows of six columns. Idle memory is the growth \
         of the proxy's resident memory with {} connections that ran one query each.\n\n\
         The gateway runs with masks on two columns, two conditions on every statement, a limit, \
         and a recording of every statement and of the beginning of every reply, synced every \
         50 ms; «result rule» adds a rule that withholds every reply until it is complete; «two \
         types» masks what looks like a card or a social security number, in every text, instead \
         of columns. Its clients prove themselves with a token. The server trusts \
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
