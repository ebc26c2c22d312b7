//! `narrows approvals`, `approvals wait`, `approvals revoke`, `approve`, `deny`.

use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::json;

use super::SaidNo;
use crate::args::{ApprovalStatus, ApprovalsCommand, Common};
use crate::client::{Client, encoded};
use crate::output::{self, Cell, Out, Tone, clip, counted, one_line, printable, tone_of};

const TEXT_CHARS: usize = 60;
/// How long the gateway is asked to wait at once.
const WAIT_SECONDS: u64 = 45;

/// Lists approval requests.
pub fn list(common: &Common, status: ApprovalStatus) -> anyhow::Result<()> {
    let path = format!("/api/v1/approvals?status={}", status.as_str());
    let approvals: Vec<admin::ApprovalView> = Client::find(common)?.get(&path)?;
    if common.json {
        return output::json(&approvals.iter().map(documented).collect::<Vec<_>>());
    }
    if approvals.is_empty() {
        return output::line(match status {
            ApprovalStatus::Pending => "nothing waits for approval",
            _ => "there are none",
        });
    }
    let out = Out::stdout(runtime::clock::now());
    let rows: Vec<Vec<Cell>> = approvals.iter().map(|approval| row(out, approval)).collect();
    let heading = ["ID", "STATUS", "PRINCIPAL", "RESOURCE", "RULE", "ASKED", "ENDS", "OPERATION"];
    output::print(&out.table(&heading, &rows))?;
    if status == ApprovalStatus::Pending {
        output::line("\nnarrows approve ID   or   narrows deny ID --reason WHY")?;
    }
    Ok(())
}

/// Does something with one approval request.
pub fn one(common: &Common, command: ApprovalsCommand) -> anyhow::Result<()> {
    match command {
        ApprovalsCommand::Wait { id, timeout } => wait(common, &id, timeout.as_deref()),
        ApprovalsCommand::Revoke { id, reason } => revoke(common, &id, reason),
    }
}

/// What is read of a request, by whoever waits for it.
#[derive(Deserialize, serde::Serialize)]
struct State {
    id: String,
    status: String,
    #[serde(default)]
    reason: Option<String>,
    expires_at: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    until: Option<String>,
    #[serde(default, skip_serializing)]
    votes: Vec<admin::VoteView>,
}

/// Waits for an answer; an error that says nothing more when it is not yes.
fn wait(common: &Common, id: &str, timeout: Option<&str>) -> anyhow::Result<()> {
    let client = Client::find(common)?;
    let end = timeout.and_then(admin::parse_duration).map(|timeout| Instant::now() + timeout);
    let state = loop {
        let most = Duration::from_secs(WAIT_SECONDS);
        let left = end.map_or(most, |end| end.saturating_duration_since(Instant::now()).min(most));
        let path = format!("/api/v1/approvals/{}?wait={}ms", encoded(id), left.as_millis().max(1));
        let state: State = client.get(&path)?;
        if state.status != "pending" || end.is_some_and(|end| Instant::now() >= end) {
            break state;
        }
    };
    let yes = state.status == "approved";
    let last = state.votes.last().and_then(|vote| vote.reason.clone());
    let state = State { reason: state.reason.or(last), ..state };
    if common.json {
        output::json(&state)?;
    } else {
        let out = Out::stdout(runtime::clock::now());
        let status = match &*state.status {
            "pending" => format!("still waits; it can be answered {}", out.ago(&state.expires_at)),
            status => out.paint(tone_of(status), status),
        };
        let why = state.reason.as_deref().map(|why| format!(": {}", printable(why)));
        let until = state.until.as_deref().map(|until| format!("; access ends {}", out.ago(until)));
        let more = why.unwrap_or_default() + &until.unwrap_or_default();
        output::line(&format!("{} {status}{more}", state.id))?;
    }
    if yes { Ok(()) } else { Err(SaidNo.into()) }
}

/// Ends what a yes still covers.
pub fn revoke(common: &Common, id: &str, reason: Option<String>) -> anyhow::Result<()> {
    let path = format!("/api/v1/approvals/{}/revoke", encoded(id));
    let ask = admin::RevokeRequest { reason };
    let approval: admin::ApprovalView = Client::find(common)?.post(&path, &ask)?;
    if common.json {
        return output::json(&documented(&approval));
    }
    output::line(&match &*approval.kind {
        "access" => format!(
            "revoked {}: {} has no access to {} by it any more; sessions without other access end \
             now",
            approval.id, approval.principal, approval.resource
        ),
        _ => format!("revoked {}: repeats of its operation have to ask again", approval.id),
    })
}

fn row(out: Out, approval: &admin::ApprovalView) -> Vec<Cell> {
    let mut operation = clip(&one_line(&approval.operation), TEXT_CHARS);
    if let Some(rows) = approval.rows_seen {
        operation.push_str(&format!("  ({} held)", counted(rows, "row")));
    }
    vec![
        Cell::new(Tone::Bold, &approval.id),
        Cell::new(tone_of(&approval.status), &approval.status),
        Cell::from(&approval.principal),
        Cell::from(&approval.resource),
        Cell::from(&approval.rule),
        Cell::from(out.ago(&approval.requested_at)),
        Cell::from(out.ago(&approval.expires_at)),
        Cell::from(operation),
    ]
}

/// The keys of DESIGN section 10.
fn documented(approval: &admin::ApprovalView) -> serde_json::Value {
    json!({
        "id": approval.id,
        "status": approval.status,
        "principal": approval.principal,
        "resource": approval.resource,
        "operation": approval.operation,
        "rule": approval.rule,
        "requested_at": approval.requested_at,
        "expires_at": approval.expires_at,
        "kind": approval.kind,
        "rules": approval.rules,
        "revoked": approval.revoked,
    })
}

/// Says yes, after showing what to.
pub fn approve(common: &Common, id: &str, ask: &admin::ApproveRequest) -> anyhow::Result<()> {
    let path = format!("/api/v1/approvals/{}/approve", encoded(id));
    let approval: admin::ApprovalView = Client::find(common)?.post(&path, ask)?;
    if common.json {
        return output::json(&documented(&approval));
    }
    let out = Out::stdout(runtime::clock::now());
    output::line(&about(out, &approval))?;
    if approval.status == "pending" {
        let yes = approval.votes.iter().filter(|vote| vote.yes).count() as u64;
        return output::line(&format!("{} so far; it waits for more people", counted(yes, "yes")));
    }
    if approval.kind == "access" {
        let given = out.paint(Tone::Good, "approved");
        let end = format!("narrows access revoke {}", approval.id);
        return output::line(&format!("{given}; to end it before its time: {end}"));
    }
    let scope = match (&ask.duration, ask.session) {
        (Some(length), _) => format!(", and repeats of it for {length}"),
        (None, true) => ", and repeats of it in the same session".to_owned(),
        (None, false) => String::new(),
    };
    output::line(&format!("{}{scope}", out.paint(Tone::Good, "approved")))
}

/// Says no.
pub fn deny(common: &Common, id: &str, reason: String) -> anyhow::Result<()> {
    let path = format!("/api/v1/approvals/{}/deny", encoded(id));
    let ask = admin::DenyRequest { reason };
    let approval: admin::ApprovalView = Client::find(common)?.post(&path, &ask)?;
    if common.json {
        return output::json(&documented(&approval));
    }
    let out = Out::stdout(runtime::clock::now());
    output::line(&about(out, &approval))?;
    output::line(&out.paint(Tone::Bad, "denied"))
}

fn about(out: Out, approval: &admin::ApprovalView) -> String {
    let mut text = format!(
        "{} by {} on {}:\n  {}",
        out.paint(Tone::Bold, &approval.id),
        approval.principal,
        approval.resource,
        printable(&approval.operation).replace('\n', "\n  ")
    );
    for (number, value) in (1..).zip(&approval.parameters) {
        let value = value.as_deref().map_or("NULL".to_owned(), |value| clip(&one_line(value), 120));
        text.push_str(&format!("\n  ${number} = {value}"));
    }
    if let Some(rows) = approval.rows_seen {
        text.push_str(&format!("\n  {} held back", counted(rows, "row")));
    }
    text
}
