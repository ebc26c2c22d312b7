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
        if !operation.rules.is_empty() {
            text.push_str(&format!("\n{}\n", out.paint(Tone::Bold, "rules")));
        }
        let rows: Vec<Vec<Cell>> = operation.rules.iter().map(rule_row).collect();
        if !rows.is_empty() {
            text.push_str(&out.table(&["RULE", "ACTION", "STATE", "WHY"], &rows));
        }
        if !operation.masks.is_empty() {
            text.push_str(&format!("\n{}\n", out.paint(Tone::Bold, "masks")));
            let rows: Vec<Vec<Cell>> = operation
                .masks
                .iter()
                .map(|mask| {
                    let effort = if mask.best_effort { "best effort" } else { "" };
                    vec![
                        Cell::from(&mask.field),
                        Cell::from(&mask.with),
                        Cell::from(mask.rules.join(", ")),
                        Cell::new(Tone::Faint, effort),
                    ]
                })
                .collect();
            text.push_str(&out.table(&["FIELD", "WITH", "RULES", ""], &rows));
        }
        if !operation.facts.is_empty() {
            text.push_str(&format!("\n{}\n", out.paint(Tone::Bold, "facts")));
            let rows: Vec<Vec<Cell>> = operation
                .facts
                .iter()
                .map(|(name, value)| vec![Cell::from(name), Cell::from(value)])
                .collect();
            text.push_str(&out.table(&["FACT", "VALUE"], &rows));
        }
    }
    text
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
