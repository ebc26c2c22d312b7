//! The first page: who you are, and what waits for you.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Path, RawQuery, State};
use axum::response::{IntoResponse as _, Response};
use maud::{Markup, html};
use model::{Timestamp, TokenId};
use store::{Approval, Login, LoginKey, Logins};

use super::layout::{Page, Trouble, called, csrf, moment, see};
use super::visitor::{Anybody, Visitor};
use crate::error::ApiError;
use crate::extract::Form;
use crate::routes::blocking;
use crate::server::Shared;

/// Letters of an operation in a list.
const TEXT_CHARS: usize = 160;

pub(super) async fn home(
    State(shared): State<Arc<Shared>>,
    Anybody(visitor): Anybody,
    RawQuery(query): RawQuery,
) -> Response {
    let Some(visitor) = visitor else {
        return welcome(&shared, query.as_deref()).into_response();
    };
    let found = blocking(move || {
        let approvals = &shared.store.approvals;
        approvals.expire(shared.control.now()).map_err(ApiError::internal)?;
        let pending = approvals.pending();
        let (mine, rest): (Vec<_>, Vec<_>) =
            pending.into_iter().partition(|approval| visitor.caller.answers(approval));
        let others = rest.iter().filter(|approval| visitor.caller.sees(approval)).count();
        let theirs = shared.people.theirs(&visitor.login);
        let of = |login: &Arc<Login>| shared.store.logins.tokens(&login.id);
        let tokens: Vec<_> = theirs.iter().flat_map(of).collect();
        Ok((shared, visitor, mine, others, theirs.len(), tokens))
    });
    match found.await {
        Err(error) => Trouble::from(error).into_response(),
        Ok((shared, visitor, mine, others, logins, tokens)) => {
            let now = shared.control.now();
            let body = html! {
                (waiting(&mine, others, now))
                (yourself(&shared, &visitor, now))
                (programs(&visitor, &tokens, now))
                (elsewhere(&visitor, logins))
            };
            Page { title: "Approvals", visitor: Some(&visitor), body }.into_response()
        }
    }
}

fn welcome(shared: &Shared, from: Option<&str>) -> Page<'static> {
    let methods = shared.methods();
    let body = html! {
        section.card.narrow {
            h1 { "Narrows" }
            @if from == Some("signed-out") { p.note { "You are signed out." } }
            @if from == Some("signed-out-here") {
                p.note.warn {
                    "You are signed out at this gateway. The state that gateways share cannot be \
                     written now: until it can, and if this gateway ends before, your programs \
                     stay signed in elsewhere. Sign in and out again later to be sure."
                }
            }
            @if methods.is_empty() {
                p { "Nobody can sign in here." }
                p.muted {
                    "Whoever keeps this gateway names an identity provider in its configuration: "
                    code { "identity.oidc" } " with a " code { "client_id" } ", or "
                    code { "identity.saml" } "."
                }
            } @else {
                p { "Sign in to see and answer what waits for a person." }
                p.actions {
                    @if let [only] = &*methods {
                        a.button.main href=(only.path) { "Sign in with " (only.label) }
                    } @else {
                        a.button.main href="/login" { "Sign in" }
                    }
                }
            }
        }
    };
    Page { title: "Sign in", visitor: None, body }
}

fn waiting(mine: &[Approval], others: usize, now: Timestamp) -> Markup {
    html! {
        section {
            h1 { "Waiting for you" }
            @if mine.is_empty() { p.empty { "Nothing waits for you." } }
            @for approval in mine {
                a.card.row href=(format!("/approvals/{}", approval.id)) {
                    div {
                        strong { (approval.principal.subject) }
                        @if let Some(party) = &approval.principal.on_behalf_of {
                            " for " strong { (party) }
                        }
                        " on " strong { (approval.resource) }
                    }
                    code.clip { (clip(&what(approval))) }
                    div.muted {
                        @for rule in &approval.rules { span.tag { (rule.rule) } " " }
                        "can be answered until " (moment(approval.expires_at, now))
                    }
                }
            }
            @if others > 0 {
                p.muted {
                    (others) (if others == 1 { " more waits" } else { " more wait" })
                    " for others; " code { "narrows approvals" } " lists them."
                }
            }
        }
    }
}

fn what(approval: &Approval) -> String {
    match &approval.access {
        Some(ask) => format!("access: {}", ask.reason),
        None => approval.text.to_string(),
    }
}

fn clip(text: &str) -> String {
    let mut short: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if let Some((at, _)) = short.char_indices().nth(TEXT_CHARS) {
        short.truncate(at);
        short.push('…');
    }
    short
}

fn yourself(shared: &Shared, visitor: &Visitor, now: Timestamp) -> Markup {
    let login = &visitor.login;
    let notice = shared.people.notice(login);
    html! {
        section {
            h2 { "You" }
            @if let Some(since) = notice.unconfirmed_since {
                p.note.warn {
                    "The identity provider cannot be asked about you; it last vouched for you "
                    (moment(since, now)) ". You stay signed in until your sign-in ends."
                }
            }
            dl.facts {
                dt { "Signed in as" } dd { (called(visitor)) " " code { (login.subject) } }
                dt { "At" } dd { (login.issuer) }
                dt { "Groups" }
                dd {
                    @if login.groups.is_empty() { span.muted { "none" } }
                    @for group in &login.groups { span.tag { (group) } " " }
                }
                dt { "Role" }
                dd {
                    @match visitor.caller.role() {
                        Some(role) => span.tag { (role.as_str()) },
                        None => span.muted {
                            "none: you answer what the rules ask your groups, and read nothing else"
                        },
                    }
                }
                dt { "Until" }
                dd {
                    (moment(login.ends_at, now))
                    @if notice.never_asked {
                        " " span.muted {
                            "The provider is not asked again until then."
                        }
                    }
                }
            }
        }
    }
}

/// Other browsers in which the visitor is signed in, and how to sign out of all.
fn elsewhere(visitor: &Visitor, logins: usize) -> Markup {
    html! {
        @if logins > 1 {
            section {
                h2 { "Signed in elsewhere" }
                form method="post" action="/logout" {
                    (csrf(visitor))
                    input type="hidden" name="everywhere" value="1";
                    p {
                        "There are " (logins) " sign-ins of yours, with this one. "
                        button type="submit" { "Sign out everywhere" }
                    }
                }
            }
        }
    }
}

fn programs(visitor: &Visitor, tokens: &[LoginKey], now: Timestamp) -> Markup {
    html! {
        @if !tokens.is_empty() {
            section {
                h2 { "Programs that act for you" }
                p.muted {
                    "Tokens of narrows login. Each ends when you sign out in the browser that \
                     allowed it."
                }
                @for token in tokens {
                    div.card.row.flat {
                        div {
                            strong {
                                @if token.label.is_empty() { "narrows" } @else { (token.label) }
                            }
                            " " code { (token.id.0) }
                        }
                        div.muted {
                            "since " (moment(token.made_at, now))
                            @if token.login != visitor.login.id { ", from another sign-in" }
                        }
                        form method="post" action=(format!("/tokens/{}/end", token.id.0)) {
                            (csrf(visitor))
                            button type="submit" { "End" }
                        }
                    }
                }
            }
        }
    }
}

/// Ends one of the visitor's own tokens.
pub(super) async fn end_token(
    State(shared): State<Arc<Shared>>,
    visitor: Visitor,
    Path(id): Path<String>,
    body: Bytes,
) -> Result<Response, Trouble> {
    visitor.check(&Form::read(&body)?)?;
    let done = blocking(move || {
        let id = TokenId(id.into());
        let theirs = shared.people.theirs(&visitor.login);
        let login = shared.store.logins.login_of(&id);
        let is_theirs = login.is_some_and(|login| theirs.iter().any(|one| one.id == login.id));
        if is_theirs && Logins::names(&id) {
            let ended = shared.people.end_token(&id, &visitor.login.subject);
            ended.map_err(crate::error::ApiError::state)?;
        }
        Ok(())
    });
    done.await?;
    Ok(see("/"))
}
