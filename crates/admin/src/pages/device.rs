//! A device without a browser asks to act for the visitor, who compares a code.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{RawQuery, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use maud::{Markup, html};

use super::layout::{Page, Trouble, called, csrf, moment};
use super::visitor::Visitor;
use crate::extract::Form;
use crate::routes::blocking;
use crate::server::Shared;

pub(super) async fn ask(
    State(shared): State<Arc<Shared>>,
    visitor: Visitor,
    RawQuery(query): RawQuery,
) -> Result<Response, Trouble> {
    let form = Form::read(query.unwrap_or_default().as_bytes())?;
    let Some(said) = form.get("user_code").map(str::to_owned) else {
        return Ok(page(&visitor, type_it(None)));
    };
    let (people, code) = (Arc::clone(&shared.people), said.clone());
    let login = Arc::clone(&visitor.login);
    let device = blocking(move || Ok(people.device(&code, &login))).await??;
    let Some(device) = device else {
        let words = "No device waits with this code. It may be too old, or answered already.";
        return Ok((StatusCode::NOT_FOUND, page(&visitor, type_it(Some(words)))).into_response());
    };
    let now = shared.control.now();
    let body = html! {
        section.card.narrow {
            h1 { "Let this device act for you?" }
            p.code { (device.code) }
            dl.facts {
                dt { "Device" }
                dd { (if device.name.is_empty() { "unnamed" } else { &device.name }) }
                dt { "Asked from" } dd { (device.source) }
                dt { "Asked" } dd { (moment(device.asked_at, now)) }
                dt { "May do" } dd {
                    "what " (called(&visitor)) " may, until "
                    (moment(visitor.login.ends_at, now))
                }
            }
            p.note.warn {
                "Say yes only if you started this yourself and your device shows this very code. "
                "Nobody who helps you ever needs it."
            }
            form.actions method="post" action="/device" {
                (csrf(&visitor))
                input type="hidden" name="user_code" value=(said);
                button.main type="submit" name="answer" value="yes" { "Yes, let it" }
                button type="submit" name="answer" value="no" { "No" }
            }
        }
    };
    Ok(page(&visitor, body))
}

fn page(visitor: &Visitor, body: Markup) -> Response {
    Page { title: "narrows login --device", visitor: Some(visitor), body }.into_response()
}

fn type_it(words: Option<&str>) -> Markup {
    html! {
        section.card.narrow {
            h1 { "Sign in a device" }
            @if let Some(words) = words { p.note.warn { (words) } }
            form method="get" action="/device" {
                label for="user_code" { "The code that the device shows" }
                input #user_code.big name="user_code" autocomplete="off" autocapitalize="characters"
                    spellcheck="false" maxlength="20" required placeholder="BCDF-GHJK";
                p.actions { button.main type="submit" { "Go on" } }
            }
        }
    }
}

pub(super) async fn answer(
    State(shared): State<Arc<Shared>>,
    visitor: Visitor,
    body: Bytes,
) -> Result<Response, Trouble> {
    let form = Form::read(&body)?;
    visitor.check(&form)?;
    let said = form.get("user_code").unwrap_or_default().to_owned();
    let yes = form.get("answer") == Some("yes");
    let (people, login) = (Arc::clone(&shared.people), Arc::clone(&visitor.login));
    let answered = blocking(move || Ok(people.answer_device(&said, &login, yes))).await??;
    let (title, words) = match (answered, yes) {
        (true, true) => ("Done", "The device may act for you now. You can close this page."),
        (true, false) => ("Refused", "The device gets nothing. You can close this page."),
        (false, _) => ("Too late", "The device does not wait any more. Begin again there."),
    };
    let body = html! {
        section.card.narrow {
            h1 { (title) }
            p { (words) }
            p.actions { a.button href="/" { "To the first page" } }
        }
    };
    Ok(page(&visitor, body))
}
