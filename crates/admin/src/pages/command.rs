//! `narrows login` on the visitor's computer asks to act for them.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{RawQuery, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use identity::Wish;
use maud::html;

use super::layout::{Page, Trouble, called, csrf, moment, policy, see, with};
use super::visitor::Visitor;
use crate::extract::Form;
use crate::routes::blocking;
use crate::server::Shared;

fn wish(form: &Form) -> Result<Wish, Trouble> {
    let word = |name: &str| form.get(name).unwrap_or_default().to_owned();
    let wish = Wish {
        port: word("port").parse().unwrap_or(0),
        challenge: word("challenge"),
        state: word("state"),
        name: word("name"),
    };
    if wish.is_sound() {
        return Ok(wish);
    }
    let words = "This is not how narrows login asks.";
    Err(Trouble::new(StatusCode::BAD_REQUEST, words).advice("Run narrows login again."))
}

pub(super) async fn ask(
    State(shared): State<Arc<Shared>>,
    visitor: Visitor,
    RawQuery(query): RawQuery,
) -> Result<Response, Trouble> {
    let wish = wish(&Form::read(query.unwrap_or_default().as_bytes())?)?;
    let name = if wish.name.is_empty() { "this computer" } else { &wish.name };
    let body = html! {
        section.card.narrow {
            h1 { "Let narrows act for you?" }
            p {
                "The command " code { "narrows login" } " on " strong { (name) }
                " asks for a token. With it, it may do what "
                strong { (called(&visitor)) } " may, until "
                (moment(visitor.login.ends_at, shared.control.now())) "."
            }
            p.muted { "Say yes only if you have just run it yourself, on the computer before you." }
            form.actions method="post" action="/command" {
                (csrf(&visitor))
                input type="hidden" name="port" value=(wish.port);
                input type="hidden" name="challenge" value=(wish.challenge);
                input type="hidden" name="state" value=(wish.state);
                input type="hidden" name="name" value=(wish.name);
                button.main type="submit" { "Yes, let it" }
                a.button href="/" { "No" }
            }
        }
    };
    let page = Page { title: "narrows login", visitor: Some(&visitor), body }.into_response();
    // The answer to the form leads to the command.
    let mut origins = shared.people.sign_out_origins();
    origins.push(format!("http://127.0.0.1:{}", wish.port));
    Ok(with(page, [(header::CONTENT_SECURITY_POLICY, Some(policy(&origins)))]))
}

pub(super) async fn allow(
    State(shared): State<Arc<Shared>>,
    visitor: Visitor,
    body: Bytes,
) -> Result<Response, Trouble> {
    let form = Form::read(&body)?;
    visitor.check(&form)?;
    let wish = wish(&form)?;
    let (place, state) = (wish.redirect(), wish.state.clone());
    let people = Arc::clone(&shared.people);
    let code = blocking(move || Ok(people.allow_command(&visitor.login, wish))).await??;
    // Both are of letters and digits.
    Ok(see(&format!("{place}?code={code}&state={state}")))
}
