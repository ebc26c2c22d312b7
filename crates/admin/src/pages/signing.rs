//! Signing in and out.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse as _, Response};
use identity::{Call, NotSignedIn, SignedOut};
use maud::html;
use model::Secret;
use store::{Login, LoginKey};

use super::cookie::Cookie;
use super::layout::{Page, Trouble, see, with};
use super::visitor::{Anybody, Visitor};
use crate::error::ApiError;
use crate::extract::{Form, Source};
use crate::routes::blocking;
use crate::server::Shared;

pub(super) fn query(text: Option<&str>) -> Result<Form, ApiError> {
    Form::read(text.unwrap_or_default().as_bytes())
}

/// Lists the ways to sign in, or goes the only one.
pub(super) async fn login(
    State(shared): State<Arc<Shared>>,
    Anybody(visitor): Anybody,
    Source(source): Source,
    RawQuery(text): RawQuery,
) -> Result<Response, Trouble> {
    let form = query(text.as_deref())?;
    let back = form.get("back").unwrap_or("/").to_owned();
    let methods = shared.methods();
    if visitor.is_some() && form.get("with").is_none() {
        return Ok(see(identity::local_page(&back)));
    }
    let with_method = match form.get("with") {
        Some(number) => number.parse::<usize>().map_err(|_| NotSignedIn::Method)?,
        None if methods.len() == 1 && shared.saml.methods().is_empty() => 0,
        None => {
            let back: String = url::form_urlencoded::byte_serialize(back.as_bytes()).collect();
            if let [only] = methods.as_slice() {
                return Ok(see(&format!("{}?back={back}", only.path)));
            }
            let body = html! {
                section.card.narrow {
                    h1 { "Sign in" }
                    @if methods.is_empty() { p { "Nobody can sign in here." } }
                    @for method in &methods {
                        @let and = if method.path.contains('?') { '&' } else { '?' };
                        p.actions {
                            a.button.main href=(format!("{}{and}back={back}", method.path)) {
                                "Sign in with " (method.label)
                            }
                        }
                    }
                }
            };
            return Ok(Page { title: "Sign in", visitor: None, body }.into_response());
        }
    };
    let people = Arc::clone(&shared.people);
    let begun = blocking(move || Ok(people.begin(with_method, &back, &source)));
    let begun = begun.await??;
    let plan = shared.people.plan().ok_or(NotSignedIn::Method)?;
    let cookie = Cookie::SignIn.set(&plan, &begun.cookie);
    Ok(with(see(begun.to.as_str()), [(header::SET_COOKIE, cookie)]))
}

/// Where a provider sends the browser back to.
pub(super) async fn callback(
    State(shared): State<Arc<Shared>>,
    Anybody(before): Anybody,
    Source(source): Source,
    headers: HeaderMap,
    RawQuery(text): RawQuery,
) -> Result<Response, Trouble> {
    let plan = shared.people.plan().ok_or(NotSignedIn::Method)?;
    let cookie = Cookie::SignIn.read(&plan, &headers);
    // Good for one answer, whatever comes of it.
    let spent = (header::SET_COOKIE, Cookie::SignIn.clear(&plan));
    let people = Arc::clone(&shared.people);
    let finished = blocking(move || {
        let form = query(text.as_deref())?;
        let call = Call {
            state: form.get("state"),
            code: form.get("code"),
            iss: form.get("iss"),
            error: form.get("error"),
            cookie: cookie.as_ref().map(|cookie| cookie.expose().as_str()),
        };
        Ok(people.finish(&call, &source))
    });
    match finished.await? {
        Err(why) => Ok(with(Trouble::from(why).into_response(), [spent])),
        Ok((_, cookie, back)) => {
            let before = before.map(|visitor| (visitor.login, visitor.key));
            Ok(with(enter(&shared, before, &cookie, &back).await, [spent]))
        }
    }
}

/// Lets the browser of somebody in who is signed in, by whatever method: another cookie than
/// before, and to the page they came for.
pub(super) async fn enter(
    shared: &Arc<Shared>,
    before: Option<(Arc<Login>, LoginKey)>,
    cookie: &Secret<String>,
    back: &str,
) -> Response {
    let Some(plan) = shared.people.plan() else {
        return Trouble::from(NotSignedIn::Method).into_response();
    };
    if let Some((login, key)) = before {
        let people = Arc::clone(&shared.people);
        let left = blocking(move || {
            people.leave(&login, &key);
            Ok(())
        });
        if let Err(error) = left.await {
            return Trouble::from(error).into_response();
        }
    }
    let cookie = Cookie::Login.set(&plan, cookie);
    with(see(identity::local_page(back)), [(header::SET_COOKIE, cookie)])
}

/// Signs out, here and where they signed in.
pub(super) async fn logout(
    State(shared): State<Arc<Shared>>,
    visitor: Visitor,
    body: Bytes,
) -> Result<Response, Trouble> {
    let form = Form::read(&body)?;
    visitor.check(&form)?;
    let everywhere = form.get("everywhere").is_some();
    let people = Arc::clone(&shared.people);
    let out = blocking(move || Ok(people.sign_out(&visitor.login, everywhere))).await?;
    let plan = shared.people.plan().ok_or(NotSignedIn::Method)?;
    let place = match out {
        SignedOut { is_kept: false, .. } => "/?signed-out-here".to_owned(),
        SignedOut { to: Some(url), .. } => url.to_string(),
        SignedOut { to: None, .. } => "/?signed-out".to_owned(),
    };
    Ok(with(see(&place), [(header::SET_COOKIE, Cookie::Login.clear(&plan))]))
}
