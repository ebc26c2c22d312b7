//! One request: all that is needed to decide, and the answer.

use std::collections::VecDeque;
use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::response::{IntoResponse as _, Response};
use maud::{Markup, html};
use model::{Event, EventBody, Timestamp};
use store::{Approval, GrantScope, SessionSummary, Status};

use super::layout::{Page, Trouble, csrf, moment, see};
use super::visitor::Visitor;
use crate::audit::Deed;
use crate::error::ApiError;
use crate::extract::Form;
use crate::routes::approvals::{Yes, find, say_no, say_yes};
use crate::routes::blocking;
use crate::server::Shared;

/// Operations of the session that are shown.
const LAST: usize = 8;
/// Events that are read for them.
const EVENTS_MAX: usize = 5_000;
/// Letters of each.
const TEXT_CHARS: usize = 300;
/// Times that a yes can cover, as the page offers them.
const TIMES: [&str; 5] = ["15m", "1h", "4h", "8h", "1d"];

/// What is known around a request.
struct Around {
    session: Option<SessionSummary>,
    last: VecDeque<Event>,
    /// More was there than is read.
    more: bool,
}

pub(super) async fn show(
    State(shared): State<Arc<Shared>>,
    visitor: Visitor,
    Path(id): Path<String>,
) -> Result<Response, Trouble> {
    let found = blocking(move || {
        let now = shared.control.now();
        shared.store.approvals.expire(now).map_err(ApiError::internal)?;
        let approval = find(&shared, &visitor.caller, &id)?;
        let around = around(&shared, &visitor, &approval, now)?;
        Ok((visitor, approval, around, now))
    });
    let (visitor, approval, around, now) = found.await?;
    let title = format!("{} on {}", approval.principal.subject, approval.resource);
    let body = html! {
        (head(&approval, now))
        (operation(&approval))
        (answer(&visitor, &approval))
        div.columns {
            (asker(&approval, &around, now))
            (reasons(&approval, now))
        }
        (history(&around, now))
    };
    Ok(Page { title: &title, visitor: Some(&visitor), body }.into_response())
}

/// Reads what the session did before. Who reads a recording is itself an event.
fn around(
    shared: &Shared,
    visitor: &Visitor,
    approval: &Approval,
    now: Timestamp,
) -> Result<Around, ApiError> {
    let index = &shared.store.index;
    let session = index.session(&approval.session).map_err(ApiError::internal)?;
    let mut around = Around { session, last: VecDeque::new(), more: false };
    if around.session.is_none() {
        return Ok(around);
    }
    let (actor, action) = (visitor.caller.subject(), "session.read");
    let detail = Some(format!("its last operations, for {}", approval.id));
    shared.audit.demand(Deed { actor, action, target: &approval.session.0, detail }, now)?;
    let events = index.events(&approval.session).map_err(ApiError::internal)?;
    for (count, event) in events.enumerate() {
        if count == EVENTS_MAX {
            around.more = true;
            break;
        }
        // What cannot be read lacks here, and is told by narrows show.
        let Ok(event) = event else { continue };
        if let EventBody::Operation { operation, .. } = &event.body
            && *operation != approval.operation
        {
            around.last.push_back(event);
            if around.last.len() > LAST {
                around.last.pop_front();
            }
        }
    }
    Ok(around)
}

fn head(approval: &Approval, now: Timestamp) -> Markup {
    let asks = if approval.access.is_some() { "asks for access to" } else { "asks to use" };
    html! {
        section {
            p.muted { a href="/" { "Waiting for you" } " / " code { (approval.id) } }
            h1 {
                (approval.principal.subject)
                @if let Some(party) = &approval.principal.on_behalf_of { " for " (party) }
                " " span.soft { (asks) } " " (approval.resource)
                " " span class=(format!("pill {}", approval.status.as_str())) {
                    (approval.status.as_str())
                }
            }
            p.muted {
                "Asked " (moment(approval.requested_at, now))
                @if approval.status == Status::Pending {
                    ", can be answered until " (moment(approval.expires_at, now))
                }
            }
        }
    }
}

fn operation(approval: &Approval) -> Markup {
    let objects = &approval.objects;
    let names: Vec<&str> = objects
        .reads
        .iter()
        .chain(&objects.writes)
        .map(|name| name.rsplit('.').next().unwrap_or(name))
        .collect();
    html! {
        section {
            @match &approval.access {
                Some(ask) => {
                    h2 { "What" }
                    dl.facts {
                        dt { "Access for" } dd { (time(ask.length)) }
                        dt { "Reason" } dd { (ask.reason) }
                    }
                }
                None => {
                    h2 { "The operation" }
                    pre.operation { (marked(&approval.text, &names)) }
                    @if !approval.parameters.is_empty() {
                        ol.parameters {
                            @for parameter in &approval.parameters {
                                li {
                                    @match &parameter.value {
                                        Some(value) => code { (value) },
                                        None => span.muted { "NULL" },
                                    }
                                }
                            }
                        }
                    }
                }
            }
            dl.facts {
                (list("Does", &objects.verbs))
                (list("Reads", &objects.reads))
                (list("Writes", &objects.writes))
                (list("Fields", &objects.columns))
                @if let Some(rows) = approval.rows_seen {
                    dt { "Rows withheld" } dd { (rows) }
                }
                @if let Some(rows) = approval.rows_max {
                    dt { "A yes covers" } dd { "up to " (rows) " rows" }
                }
                @if !approval.detections.is_empty() {
                    dt { "Sensitive" }
                    dd {
                        @for found in &approval.detections {
                            span.tag.warn { (found.kind) " × " (found.seen) } " "
                        }
                    }
                }
            }
        }
    }
}

/// A text in which names are marked.
fn marked(text: &str, names: &[&str]) -> Markup {
    let is_word = |c: char| c.is_alphanumeric() || c == '_' || c == '$';
    let mut parts: Vec<(&str, bool)> = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let word = is_word(first);
        let end = rest.find(|c| is_word(c) != word).unwrap_or(rest.len());
        let (part, after) = rest.split_at(end);
        let is_named = names.iter().any(|name| name.eq_ignore_ascii_case(part));
        parts.push((part, word && is_named));
        rest = after;
    }
    html! {
        @for (part, named) in parts {
            @if named { mark { (part) } } @else { (part) }
        }
    }
}

fn list(name: &str, values: &[Arc<str>]) -> Markup {
    html! {
        @if !values.is_empty() {
            dt { (name) }
            dd { @for value in values { span.tag { (value) } " " } }
        }
    }
}

fn asker(approval: &Approval, around: &Around, now: Timestamp) -> Markup {
    let who = &approval.principal;
    html! {
        section {
            h2 { "Who asks" }
            dl.facts {
                dt { "Subject" } dd { (who.subject) " " span.tag { (who.kind.as_str()) } }
                @if let Some(party) = &who.on_behalf_of { dt { "On behalf of" } dd { (party) } }
                (list("Groups", &who.groups))
                (list("Groups of whom it is for", &who.on_behalf_of_groups))
                dt { "Vouched for by" } dd { (who.issuer) }
                @if let Some(by) = &who.minted_by { dt { "Token made by" } dd { (by) } }
                @if let Some(token) = &who.token { dt { "Token" } dd { code { (token.0) } } }
                @if let Some(session) = &around.session {
                    dt { "Session" }
                    dd { code { (approval.session.0) } " since " (moment(session.started_at, now)) }
                    dt { "From" }
                    dd {
                        (session.client)
                        @if let Some(name) = &session.application { " " span.muted { (name) } }
                    }
                    dt { "So far" }
                    dd { (session.done.operations) " operations, " (session.done.rows) " rows" }
                }
            }
        }
    }
}

fn reasons(approval: &Approval, now: Timestamp) -> Markup {
    html! {
        section {
            h2 { "Why a person is asked" }
            @for rule in &approval.rules {
                @let yes = approval.votes.iter().filter(|v| v.yes && v.rules.contains(&rule.rule));
                dl.facts {
                    dt { "Rule" } dd { strong { (rule.rule) } }
                    dt { "Answered by" }
                    dd { @for group in approval.answerers(rule) { span.tag { (group) } " " } }
                    dt { "Said yes" } dd { (yes.count()) " of " (rule.needs.max(1)) }
                }
            }
            @if !approval.votes.is_empty() {
                h3 { "Answers so far" }
                ul.votes {
                    @for vote in &approval.votes {
                        li {
                            span class=(if vote.yes { "pill approved" } else { "pill denied" }) {
                                (if vote.yes { "yes" } else { "no" })
                            }
                            " " strong { (vote.by) } " " (moment(vote.at, now))
                            @if let Some(reason) = &vote.reason { ": " (reason) }
                        }
                    }
                }
            }
            @if let Some(revoked) = &approval.revoked {
                p.note.warn { "Taken back by " (revoked.by) " " (moment(revoked.at, now)) }
            }
        }
    }
}

fn history(around: &Around, now: Timestamp) -> Markup {
    html! {
        @if !around.last.is_empty() {
            section {
                h2 { "What the session did before" }
                @if around.more {
                    p.muted { "Of its first " (EVENTS_MAX) " events; narrows show has the rest." }
                }
                ol.history {
                    @for event in &around.last {
                        @if let EventBody::Operation { text, decision, .. } = &event.body {
                            @let short: String = text.chars().take(TEXT_CHARS).collect();
                            @let word = format!("{decision:?}").to_lowercase();
                            li {
                                span class=(format!("pill {word}")) { (word) }
                                " " span.muted { (moment(event.at, now)) }
                                pre { (short) @if short.len() < text.len() { "…" } }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn answer(visitor: &Visitor, approval: &Approval) -> Markup {
    let path = |what: &str| format!("/approvals/{}/{what}", approval.id);
    let rule_says = match approval.grant {
        GrantScope::Once => "once".to_owned(),
        GrantScope::Session => "for the session".to_owned(),
        GrantScope::For(length) => format!("for {}", time(length)),
    };
    if approval.status != Status::Pending {
        return html! {};
    }
    if !visitor.caller.answers(approval) {
        return html! {
            p.note { "You may read this request; the groups that its rules name answer it." }
        };
    }
    html! {
        section.answer {
            form.card method="post" action=(path("approve")) {
                (csrf(visitor))
                h2 { "Say yes" }
                label for="scope" { "It covers" }
                select #scope name="scope" {
                    option value="rule" selected {
                        @if approval.access.is_some() { "what was asked for" }
                        @else { "what the rule says: " (rule_says) }
                    }
                    @if approval.access.is_none() {
                        option value="session" { "repeats of it in this session" }
                    }
                    @for length in TIMES {
                        option value=(length) {
                            @if approval.access.is_some() { "only " (length) }
                            @else { "repeats of it for " (length) }
                        }
                    }
                }
                label for="why-yes" { "Reason, if you like" }
                textarea #why-yes name="reason" rows="2" maxlength="1000" {}
                p.actions { button.main.yes type="submit" { "Approve" } }
            }
            form.card method="post" action=(path("deny")) {
                (csrf(visitor))
                h2 { "Say no" }
                label for="why-no" { "Reason; whoever asked is told it" }
                textarea #why-no name="reason" rows="2" maxlength="1000" required {}
                p.actions { button.main.no type="submit" { "Deny" } }
            }
        }
    }
}

fn time(length: std::time::Duration) -> String {
    let seconds = length.as_secs();
    let units = [(86_400, "d"), (3_600, "h"), (60, "m")];
    let fits = |(unit, _): &(u64, &str)| seconds >= *unit && seconds.is_multiple_of(*unit);
    match units.into_iter().find(fits) {
        Some((unit, name)) => format!("{}{name}", seconds / unit),
        None => format!("{seconds}s"),
    }
}

pub(super) async fn approve(
    State(shared): State<Arc<Shared>>,
    visitor: Visitor,
    Path(id): Path<String>,
    body: Bytes,
) -> Result<Response, Trouble> {
    let form = Form::read(&body)?;
    visitor.check(&form)?;
    let reason = form.get("reason").map(str::trim).filter(|reason| !reason.is_empty());
    let (duration, session) = match form.get("scope") {
        None | Some("rule") => (None, false),
        Some("session") => (None, true),
        Some(length) => (Some(length), false),
    };
    let yes = Yes::new(duration, session, reason.map(str::to_owned))?;
    let back = format!("/approvals/{id}");
    let how = "on the page";
    blocking(move || say_yes(&shared, &visitor.caller, &id, yes, how).map(drop)).await?;
    Ok(see(&back))
}

pub(super) async fn deny(
    State(shared): State<Arc<Shared>>,
    visitor: Visitor,
    Path(id): Path<String>,
    body: Bytes,
) -> Result<Response, Trouble> {
    let form = Form::read(&body)?;
    visitor.check(&form)?;
    let reason = form.get("reason").map(str::trim).unwrap_or_default().to_owned();
    if reason.is_empty() {
        let error = ApiError::invalid("a no needs a reason");
        return Err(error.help("whoever asked is told it, so that they know what to do").into());
    }
    let back = format!("/approvals/{id}");
    let how = "on the page";
    blocking(move || say_no(&shared, &visitor.caller, &id, reason, how).map(drop)).await?;
    Ok(see(&back))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_marked_as_whole_words_and_text_is_text() {
        let text = "select * from Customers c join x.customers_old <b> where customers.id=1";
        let html = marked(text, &["customers"]).into_string();
        assert_eq!(
            html,
            "select * from <mark>Customers</mark> c join x.customers_old &lt;b&gt; where \
             <mark>customers</mark>.id=1"
        );
    }
}
