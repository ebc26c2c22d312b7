//! Events of the journal in one line each.

use std::fmt::Write as _;
use std::sync::Arc;

use model::event::{RuleMatch, Verdict};
use model::{Column, DetectionCount, Event, EventBody};

use crate::words::quote;

/// The word for a verdict.
#[must_use]
pub const fn verdict(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Allow => "allow",
        Verdict::Mask => "mask",
        Verdict::Hold => "hold",
        Verdict::Block => "block",
    }
}

/// What an event says, without times and numbers that say nothing.
#[must_use]
pub fn event(event: &Event) -> String {
    match &event.body {
        EventBody::SessionStarted { principal, application, run, .. } => {
            let run = run.as_deref().map(|run| format!(", run {run}")).unwrap_or_default();
            let application =
                application.as_deref().map(|name| format!(", as {}", quote(name.as_bytes())));
            format!("session of {}{}{run}", principal.subject, application.unwrap_or_default())
        }
        EventBody::SessionRefused { reason, .. } => format!("session refused: {reason}"),
        EventBody::SessionEnded { reason, detail, operations, rows, .. } => {
            let detail = detail.as_ref().map(|detail| format!(" ({detail})")).unwrap_or_default();
            format!("session ended: {reason}{detail}; {operations} operations, {rows} rows")
        }
        EventBody::Operation { .. } => operation(&event.body),
        EventBody::Ruling { operation, decision, rules, rows, message, approver, .. } => {
            let by = approver.as_ref().map(|who| format!(" by {who}")).unwrap_or_default();
            let rows = if *rows > 0 { format!(" at {rows} rows") } else { String::new() };
            let verdict = verdict(*decision);
            format!("#{} ruled {verdict}{by}{rows}{}{}", operation.0, listed(rules), said(message))
        }
        EventBody::ReplyPart { operation, rows, columns: list, .. } => {
            format!("#{} part, {rows} rows{}", operation.0, columns(list))
        }
        EventBody::Reply {
            operation,
            outcome,
            rows,
            columns: list,
            detections,
            searched,
            error_code,
            ..
        } => {
            let code = error_code.as_ref().map(|code| format!(" {code}")).unwrap_or_default();
            let searched = if searched.is_empty() { "" } else { ", searched" };
            let (columns, found) = (columns(list), found(detections));
            format!("#{} {outcome}{code}, {rows} rows{columns}{searched}{found}", operation.0)
        }
        EventBody::Unsolicited { what, .. } => format!("unsolicited {what}"),
        EventBody::Abort { operation } => format!("#{} abort", operation.0),
        EventBody::Cancel {} => "cancel".to_owned(),
        EventBody::Alert { operation, rule, message } => {
            format!("#{} alert by {rule}: {message}", operation.0)
        }
        EventBody::Admin { action, target, .. } => format!("{action} {target}"),
        EventBody::Gap { operations } => format!("gap of {operations} operations"),
    }
}

/// How much of a reply's payload an event has, and how much in all was not kept.
#[must_use]
pub fn payload(event: &Event) -> String {
    match &event.body {
        EventBody::ReplyPart { .. } => format!(", kept {}", event.payload.len()),
        EventBody::Reply { payload_dropped, .. } => {
            format!(", kept {}, dropped {payload_dropped}", event.payload.len())
        }
        _ => String::new(),
    }
}

fn operation(body: &EventBody) -> String {
    let EventBody::Operation { operation, step, under, text, parameters, decision, rules, .. } =
        body
    else {
        return String::new();
    };
    let EventBody::Operation { message, reason, .. } = body else { return String::new() };
    let mut line =
        format!("#{} {} {step} {}", operation.0, verdict(*decision), quote(text.as_bytes()));
    if let Some(under) = under {
        let _ = write!(line, " under #{}", under.0);
    }
    for parameter in parameters {
        let value = parameter.value.as_ref().map(|value| quote(value.as_bytes()));
        let _ = write!(line, " {}", value.as_deref().unwrap_or("null"));
    }
    line.push_str(&listed(rules));
    if let Some(reason) = reason {
        let _ = write!(line, " ({reason})");
    }
    line.push_str(&said(message));
    line
}

fn said(message: &Option<String>) -> String {
    message.as_ref().map(|words| format!(": {words}")).unwrap_or_default()
}

fn listed(rules: &[RuleMatch]) -> String {
    let names: Vec<String> = rules
        .iter()
        .map(|rule| format!("{}{}", rule.rule, if rule.observed { " (observed)" } else { "" }))
        .collect();
    if names.is_empty() { String::new() } else { format!(" [{}]", names.join(", ")) }
}

fn columns(columns: &[Column]) -> String {
    let masked: Vec<String> = columns
        .iter()
        .filter_map(|column| {
            let mask: &Arc<str> = column.mask.as_ref()?;
            Some(format!("{} {mask}", column.label))
        })
        .collect();
    if masked.is_empty() { String::new() } else { format!(", masked: {}", masked.join(", ")) }
}

fn found(detections: &[DetectionCount]) -> String {
    let found: Vec<String> = detections
        .iter()
        .map(|count| format!("{} {} of {} masked", count.kind, count.masked, count.seen))
        .collect();
    if found.is_empty() { String::new() } else { format!(", found: {}", found.join(", ")) }
}
