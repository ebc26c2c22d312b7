//! `narrows rules`: rules before they are in force.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::bail;
use archive::{Bucket, Location};
use model::Timestamp;

use super::check::{must_exist, say};
use super::{Misused, SaidNo};
use crate::args::{Common, RulesCommand};
use crate::backtest::Rules;
use crate::backtest::gateway::Gateway;
use crate::backtest::record::Record;
use crate::backtest::report::{Change, Example, Found, Heading, Operation, Report};
use crate::client::config_path;
use crate::config::{self, Config, Loaded, Unusable};
use crate::moment::before;
use crate::output::{self, Cell, Out, Tone, clip, counted, one_line};
use crate::protocols::Rulebook;
use crate::sealing;

/// How long before the time asked about reading begins: what was used counts from then.
const LEAD: Duration = Duration::from_secs(24 * 60 * 60);
/// Characters of a statement that an example shows.
const TEXT_CHARS: usize = 100;
/// Lines of a list that is printed; `--json` has all.
const LINES_MAX: usize = 20;

/// Answers.
pub fn rules(common: &Common, command: RulesCommand) -> anyhow::Result<()> {
    let RulesCommand::Backtest { new, since, store, fail_on_change } = command;
    let now = runtime::clock::now();
    let from = since.at(now);
    if from >= now {
        return Err(Misused::because("--since is not in the past"));
    }
    let path = config_path(common);
    if !new.exists() {
        bail!("there is no {}", new.display());
    }
    let rulebook = Rulebook::new();
    let is_whole = config::is_whole(&new);
    if !is_whole {
        must_exist(&path)?;
    }
    let loaded = usable(config::load_new(&path, &new, &rulebook))?;
    // Only what was masked then is explained by it, so that it may be missing or broken.
    let today = if path.exists() { config::load(&path, &rulebook, 1).ok() } else { None };
    let current = today.as_ref().map_or(&loaded.config, |today| &today.config);
    let record = record(current, store.as_deref())?;
    let rules = Rules::new(loaded, today, &rulebook);
    let report = backtest(&record, &rules, (from, now))?;
    match common.json {
        true => output::json(&report)?,
        false => output::print(&told(&report, Out::stdout(now)))?,
    }
    if !fail_on_change || report.is_certain() && report.changed == 0 {
        return Ok(());
    }
    if report.changed == 0 {
        eprintln!("narrows: nothing is known to change, and that nothing would is not certain");
    }
    Err(SaidNo.into())
}

fn usable(loaded: Result<Loaded, Unusable>) -> anyhow::Result<Loaded> {
    match loaded {
        Ok(loaded) => {
            say(&[], &loaded.warnings);
            Ok(loaded)
        }
        Err(unusable) => {
            say(&unusable.problems, &unusable.warnings);
            Err(SaidNo.into())
        }
    }
}

/// Where the recordings are.
fn record(config: &Config, store: Option<&str>) -> anyhow::Result<Record> {
    let location = match store {
        // A bare path is a folder.
        Some(place) if !place.contains(':') => Some(Location::Folder(PathBuf::from(place))),
        Some(place) => Some(Location::parse(place, Path::new(""))?),
        None => config.recording.store.clone(),
    };
    // What is there and cannot be read is an error, not nothing.
    let exists = |folder: &Path| !matches!(folder.try_exists(), Ok(false));
    let is_there = |of: &Location| of.folder().is_none_or(exists);
    let bucket = match location {
        Some(location) if is_there(&location) => Some(Arc::new(Bucket::open(&location, false)?)),
        Some(location) if store.is_some() => {
            return Err(Misused::because(format!("there is no folder {location}")));
        }
        // Before anything was archived there is the journal.
        _ => None,
    };
    // A copy of an archive has nothing to do with this machine.
    let journal = store.is_none().then(|| config.data_dir.join("journal"));
    let journal = journal.filter(|folder| exists(folder));
    if bucket.is_none() && journal.is_none() {
        bail!("there are no recordings: neither an archive nor a journal");
    }
    let key = journal.as_ref().map_or(Ok(None), |_| sealing::journal_key(config));
    Ok(Record { bucket, journal, key })
}

fn backtest(
    record: &Record,
    rules: &Rules,
    (from, to): (Timestamp, Timestamp),
) -> anyhow::Result<Report> {
    let second = |at: Timestamp| admin::format_time(Timestamp(at.seconds() * 1_000_000_000));
    let mut report = Report { from: second(from), to: second(to), ..Report::default() };
    let start = before(from, LEAD);
    for name in record.gateways(start, to)? {
        let mut coverage = std::mem::take(&mut report.coverage);
        let mut gateway = Gateway::new(rules, (start, from), &mut report);
        record.read(&name, (start, to), &mut coverage, &mut |row| gateway.read(row))?;
        gateway.end();
        report.coverage = coverage;
    }
    report.settle();
    Ok(report)
}

fn told(report: &Report, out: Out) -> String {
    let operations = counted(report.operations, "operation");
    let mut text = format!("{operations} from {} to {}\n", report.from, report.to);
    let mut open = Vec::new();
    if report.cannot_say.operations > 0 {
        open.push(format!("{} cannot be told", report.cannot_say.operations));
    }
    if !report.coverage.unread.is_empty() {
        let places = counted(report.coverage.unread.len() as u64, "place");
        open.push(format!("{places} could not be read"));
    }
    let open = open.join(", ");
    let (tone, verdict) = match (report.changed, open.as_str()) {
        (0, "") => (Tone::Good, "nothing would change".to_owned()),
        (0, open) => (Tone::Careful, format!("no change is certain, {open}")),
        (changed, _) => (Tone::Careful, format!("{changed} would change")),
    };
    let verdict = out.paint(tone, &verdict);
    text.push_str(&format!("{verdict}; {} would not", report.unchanged));
    match (report.changed, open.as_str()) {
        (0, _) | (_, "") => text.push('\n'),
        (_, open) => text.push_str(&format!("; {open}\n")),
    }
    if report.not_reached > 0 {
        let steps = counted(report.not_reached, "further step");
        text.push_str(&format!("{steps} of what would be refused would not be reached\n"));
    }
    if report.counts > 0 {
        let operations = counted(report.counts, "operation");
        text.push_str(&format!(
            "of {operations} something else may come: rules count what was used before, and what \
             would be released before them is counted as if it returned nothing\n"
        ));
    }
    for heading in Heading::ALL {
        let found = report.of(heading);
        if found.operations > 0 {
            text.push_str(&under(heading, found, out));
        }
    }
    text.push_str(&cannot_say(report, out));
    text.push_str(&looked_into(report));
    text
}

fn under(heading: Heading, found: &Found, out: Out) -> String {
    let tone = match heading {
        Heading::Blocked => Tone::Bad,
        Heading::Held | Heading::Masked => Tone::Careful,
        Heading::Released => Tone::Good,
    };
    let title = format!("{}: {}", heading.words(), counted(found.operations, "operation"));
    let mut text = format!("\n{}\n", out.paint(tone, &title));
    let by = match heading {
        Heading::Released => "by the rules of then",
        _ => "by rule",
    };
    text.push_str(&format!("  {by}: {}\n", counts(&found.by_rule)));
    text.push_str(&format!("  by principal: {}\n", counts(&found.by_principal)));
    for change in found.examples.iter().take(LINES_MAX) {
        text.push_str(&example(change, out));
    }
    if found.examples.len() > LINES_MAX {
        text.push_str("  more with --json\n");
    }
    text
}

fn example(change: &Change, out: Out) -> String {
    let named = match change.rules.as_slice() {
        [] => String::new(),
        rules => format!(" ({})", one_line(&rules.join(", "))),
    };
    let mut text =
        operation(&change.of, &format!("{} -> {}{named}", change.of.then, change.now), out);
    if !change.parts.is_empty() {
        text.push_str(&format!(
            "      {}\n",
            clip(&one_line(&change.parts.join(", ")), TEXT_CHARS)
        ));
    }
    text
}

fn operation(of: &Operation, what: &str, out: Out) -> String {
    let at = admin::format_time(Timestamp(of.at / 1_000_000 * 1_000_000));
    let text = clip(&one_line(of.text.as_deref().unwrap_or("(sealed)")), TEXT_CHARS);
    format!(
        "  {at}  {} on {} ({} #{}): {what}\n      {text}\n",
        out.paint(Tone::Bold, &one_line(&of.principal)),
        of.resource,
        of.session,
        of.operation,
    )
}

fn cannot_say(report: &Report, out: Out) -> String {
    let found = &report.cannot_say;
    if found.operations == 0 {
        return String::new();
    }
    let title = format!("cannot say: {}", counted(found.operations, "operation"));
    let mut text = format!("\n{}\n", out.paint(Tone::Careful, &title));
    let mut rows = Vec::new();
    for (rule, facts) in &found.by_rule {
        for (fact, count) in facts {
            rows.push(vec![Cell::from(rule), Cell::from(count), Cell::from(fact)]);
        }
    }
    rows.truncate(LINES_MAX);
    if !rows.is_empty() {
        let table = out.table(&["RULE", "OPERATIONS", "NOT IN THE RECORD"], &rows);
        text.extend(table.lines().map(|line| format!("  {line}\n")));
    }
    for Example { of, now, rules } in found.examples.iter().take(LINES_MAX) {
        let named = one_line(&rules.join(", "));
        let what = format!("{} -> {}? ({})", of.then, now.join(" or "), named);
        text.push_str(&operation(of, &what, out));
    }
    for (why, count) in &found.not_judged {
        text.push_str(&format!("  {}: {}\n", counted(*count, "operation"), one_line(why)));
    }
    text
}

fn looked_into(report: &Report) -> String {
    let coverage = &report.coverage;
    let mut text = format!("\nlooked into {} of the archive", counted(coverage.files, "file"));
    if coverage.journal_events > 0 {
        let events = counted(coverage.journal_events, "event");
        text.push_str(&format!(" and {events} that are not archived yet"));
    }
    text.push('\n');
    for unread in &coverage.unread {
        text.push_str(&format!("could not be read: {}\n", one_line(unread)));
    }
    text
}

/// `a 3, b 2`, the most first.
fn counts(counts: &BTreeMap<String, u64>) -> String {
    let mut counts: Vec<(&String, &u64)> = counts.iter().collect();
    counts.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
    let shown = counts.iter().take(LINES_MAX).map(|(name, count)| format!("{name} {count}"));
    let mut text = one_line(&shown.collect::<Vec<_>>().join(", "));
    if counts.len() > LINES_MAX {
        text.push_str(&format!(" and {} more", counts.len() - LINES_MAX));
    }
    text
}
