//! `narrows request`, `access who-can`, `access what-can`, `access list`, `access revoke`.

use admin::{AccessAnswer, AccessEntry, AccessRequest, RequestState};

use super::approvals;
use crate::args::{AccessCommand, Common};
use crate::client::{Client, encoded};
use crate::output::{self, Cell, Out, Tone, one_line, printable};

/// Holders of a line that are named; the others are counted.
const HOLDERS_SHOWN: usize = 8;

/// Asks for access, as the holder of the token.
pub fn request(common: &Common, ask: &AccessRequest) -> anyhow::Result<()> {
    let state: RequestState = Client::find(common)?.post("/api/v1/access/requests", ask)?;
    if common.json {
        return output::json(&state);
    }
    let out = Out::stdout(runtime::clock::now());
    output::line(&format!(
        "{} waits for a person; it can be answered until {}\nto wait for the answer: narrows \
         approvals wait {}",
        out.paint(Tone::Bold, &state.id),
        state.expires_at,
        state.id
    ))
}

/// Says who can reach what.
pub fn access(common: &Common, command: AccessCommand) -> anyhow::Result<()> {
    let (path, about) = match command {
        AccessCommand::Revoke { id, reason } => return approvals::revoke(common, &id, reason),
        AccessCommand::List => {
            let nothing = "no access is given for a time; narrows request asks for it".to_owned();
            ("/api/v1/access".to_owned(), About { resource: true, nothing })
        }
        AccessCommand::WhoCan { resource } => {
            let path = format!("/api/v1/access/who-can?resource={}", encoded(&resource));
            (path, About { resource: false, nothing: format!("nobody can reach {resource}") })
        }
        AccessCommand::WhatCan { subject, groups } => {
            let groups = encoded(&groups.join(","));
            let path =
                format!("/api/v1/access/what-can?subject={}&groups={groups}", encoded(&subject));
            (path, About { resource: true, nothing: format!("{subject} can reach nothing") })
        }
    };
    let answer: AccessAnswer = Client::find(common)?.get(&path)?;
    match common.json {
        true => output::json(&answer),
        false => print(&answer, &about),
    }
}

struct About {
    /// Say for each entry what it gives access to.
    resource: bool,
    /// What an answer without entries means.
    nothing: String,
}

fn print(answer: &AccessAnswer, about: &About) -> anyhow::Result<()> {
    let out = Out::stdout(runtime::clock::now());
    if let Some(subject) = &answer.subject {
        let groups = match answer.groups.as_slice() {
            [] => "no group is known of them (--group names one)".to_owned(),
            groups => format!("in {}", groups.join(", ")),
        };
        output::line(&format!("{}: {groups}", printable(subject)))?;
    }
    if answer.entries.is_empty() {
        return output::line(&about.nothing);
    }
    let rows: Vec<Vec<Cell>> =
        answer.entries.iter().map(|entry| row(out, entry, about.resource)).collect();
    let heading = ["RESOURCE", "WHO", "WHEN", "NOW", "ENDS", "BY"];
    let heading = if about.resource { &heading[..] } else { heading.split_at(1).1 };
    output::print(&out.table(heading, &rows))?;
    for entry in answer.entries.iter().filter(|entry| !entry.holders.is_empty()) {
        let names = entry.holders.iter().take(HOLDERS_SHOWN);
        let names: Vec<String> =
            names.map(|one| format!("{} ({}, {})", one.subject, one.kind, one.token)).collect();
        let more = entry.holders.len().saturating_sub(HOLDERS_SHOWN);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        let names = printable(&names.join(", "));
        output::line(&format!("tokens of {}: {names}{more}", who(entry)))?;
    }
    Ok(())
}

fn row(out: Out, entry: &AccessEntry, resource: bool) -> Vec<Cell> {
    let zone = entry.timezone.as_deref().unwrap_or("UTC");
    let when = match entry.hours.as_slice() {
        [] => "at any time".to_owned(),
        hours => format!("{} {zone}", hours.join(", ")),
    };
    let change = entry.changes_at.as_deref().filter(|_| !entry.hours.is_empty());
    let now = match (entry.open, change) {
        (true, Some(closes)) => format!("open, closes {}", out.ago(closes)),
        (true, None) => "open".to_owned(),
        (false, Some(opens)) => format!("closed, opens {}", out.ago(opens)),
        (false, None) => "over".to_owned(),
    };
    let tone = if entry.open { Tone::Good } else { Tone::Bad };
    let by = match (&entry.approval, &entry.line) {
        (Some(approval), _) => {
            let why = entry.reason.as_deref().map(|why| format!(": {}", one_line(why)));
            let by = entry.approved_by.join(", ");
            format!("{approval}, approved by {by}{}", why.unwrap_or_default())
        }
        (None, Some(line)) => line.clone(),
        (None, None) => String::new(),
    };
    let mut cells = vec![
        Cell::from(who(entry)),
        Cell::from(when),
        Cell::new(tone, now),
        Cell::from(entry.until.as_deref().map_or("never".to_owned(), |until| out.ago(until))),
        Cell::new(Tone::Faint, by),
    ];
    if resource {
        cells.insert(0, Cell::from(&entry.resource));
    }
    cells
}

/// Whom an entry concerns, in words.
fn who(entry: &AccessEntry) -> String {
    let groups = match entry.groups.as_slice() {
        [] => None,
        [one] => Some(format!("group {one}")),
        several => Some(format!("groups {}", several.join(", "))),
    };
    let everyone = entry.subjects.iter().any(|subject| subject == "*");
    match (groups, entry.subjects.as_slice()) {
        (Some(groups), []) => groups,
        (Some(groups), _) if everyone => groups,
        (Some(groups), subjects) => format!("{} if in {groups}", subjects.join(", ")),
        (None, _) if everyone => "everyone with a token".to_owned(),
        (None, subjects) => subjects.join(", "),
    }
}
