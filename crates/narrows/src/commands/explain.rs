//! `narrows explain`.

use serde_json::json;

use crate::args::{Common, Kind};
use crate::client::Client;
use crate::output::{self, Cell, Out, Tone, one_line, tone_of};

/// Asks the running gateway what its rules would do.
pub fn explain(
    common: &Common,
    subject: String,
    groups: Vec<String>,
    kind: Kind,
    on: String,
    text: String,
) -> anyhow::Result<()> {
    let ask = json!({
        "as": subject, "groups": groups, "kind": kind.as_str(), "on": on, "text": text,
    });
    let answer: admin::ExplainAnswer = Client::find(common)?.post("/api/v1/explain", &ask)?;
    if common.json {
        return output::json(&answer);
    }
    let out = Out::stdout(runtime::clock::now());
    output::print(&tell(out, &subject, &on, &answer))
}

fn tell(out: Out, subject: &str, on: &str, answer: &admin::ExplainAnswer) -> String {
    let mut text = format!("{subject} on {on}: {}\n", painted(out, &answer.decision));
    for note in &answer.notes {
        text.push_str(&format!("  {note}\n"));
    }
    for operation in &answer.operations {
        if let Some(message) = &operation.message {
            let reason = format!("[{}]", operation.reason.as_deref().unwrap_or("refused"));
            let reason = out.paint(Tone::Faint, &reason);
            text.push_str(&format!("  the client is told: {} {reason}\n", one_line(message)));
        }
        let mut section = |title: &str, body: String| {
            if !body.is_empty() {
                text.push_str(&format!("\n{}\n{body}", out.paint(Tone::Bold, title)));
            }
        };
        section("what it does", operation.does.iter().map(|line| format!("{line}\n")).collect());
        let table = |heading: &[&str], rows: Vec<Vec<Cell>>| match rows.as_slice() {
            [] => String::new(),
            rows => out.table(heading, rows),
        };
        let rows = operation.columns.iter().map(column_row).collect();
        section("columns of the reply", table(&["COLUMN", "COMES FROM", "CLIENT SEES"], rows));
        let rows = operation.uses.iter().map(use_row).collect();
        section("masked columns used elsewhere", table(&["COLUMN", "IS", "SO IT IS"], rows));
        let rows = operation.detections.iter().map(detection_row).collect();
        let title = "values hidden where they are recognised (best effort)";
        section(title, table(&["TYPE", "CLIENT SEES"], rows));
        let rows = operation.rules.iter().map(rule_row).collect();
        section("rules", table(&["RULE", "ACTION", "STATE", "WHY"], rows));
        let facts = operation.facts.iter().filter(|(name, _)| *name != "sql.text");
        let rows = facts.map(|(name, value)| vec![Cell::from(name), Cell::from(value)]).collect();
        section("facts that rules can use", table(&["FACT", "VALUE"], rows));
    }
    text
}

fn column_row(column: &admin::ExplainedColumn) -> Vec<Cell> {
    let mut from = match (column.from.as_slice(), column.direct) {
        ([], _) if column.unknown => "what cannot be told".to_owned(),
        ([], _) => "no stored column".to_owned(),
        (from, true) => from.join(", "),
        (from, false) => format!("made of {}", from.join(", ")),
    };
    if column.unknown && !column.from.is_empty() {
        from.push_str(" and what cannot be told");
    }
    let sees = match &column.mask {
        Some(mask) => {
            let effort = if column.best_effort { "by its label only, best effort" } else { "" };
            let why: Vec<&str> = [effort]
                .into_iter()
                .filter(|effort| !effort.is_empty())
                .chain(column.rules.iter().map(String::as_str))
                .collect();
            let why = if why.is_empty() { String::new() } else { format!(" ({})", why.join(", ")) };
            Cell::new(Tone::Careful, format!("{mask}{why}"))
        }
        None => Cell::new(Tone::Faint, "the value"),
    };
    vec![Cell::from(&column.column), Cell::from(from), sees]
}

fn use_row(used: &admin::ExplainedUse) -> Vec<Cell> {
    let tone = if used.outcome.starts_with("refused") { Tone::Bad } else { Tone::Plain };
    vec![Cell::from(&used.field), Cell::from(&used.place), Cell::new(tone, &used.outcome)]
}

fn detection_row(found: &admin::ExplainedDetection) -> Vec<Cell> {
    let sees = format!("{} ({})", found.with, found.rules.join(", "));
    vec![Cell::from(&found.kind), Cell::new(Tone::Careful, sees)]
}

fn rule_row(rule: &admin::ExplainedRule) -> Vec<Cell> {
    let tone = match rule.state.as_str() {
        "matches" => Tone::Careful,
        "fails" => Tone::Bad,
        "pending" => Tone::Bold,
        _ => Tone::Faint,
    };
    let action = match rule.observed {
        true => format!("{} (observed)", rule.action),
        false => rule.action.clone(),
    };
    vec![
        Cell::from(&rule.rule),
        Cell::from(action),
        Cell::new(tone, &rule.state),
        Cell::new(Tone::Faint, &rule.why),
    ]
}

fn painted(out: Out, decision: &str) -> String {
    out.paint(tone_of(decision), decision)
}
