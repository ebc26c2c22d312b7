//! `narrows approvals`, `approve`, `deny`.

use serde_json::json;

use crate::args::{ApprovalStatus, Common};
use crate::client::{Client, encoded};
use crate::output::{self, Cell, Out, Tone, clip, counted, one_line, printable, tone_of};

const TEXT_CHARS: usize = 60;

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
