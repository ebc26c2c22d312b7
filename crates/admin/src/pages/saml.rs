//! Signing in by SAML: what the provider is told of us, the way there, and the way back.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use identity::NotSignedIn;

use super::cookie::Cookie;
use super::layout::{Trouble, see, with};
use super::signing::{enter, query};
use super::visitor::Anybody;
use crate::extract::{Form, Source};
use crate::routes::blocking;
use crate::server::Shared;

/// Where providers send answers to.
pub(super) const ACS: &str = "/saml/acs";
/// Longest answer as a form, bytes: 256 KiB of XML in base64, in which every letter may be escaped.
pub(super) const ANSWER_BYTES_MAX: usize = 640 * 1024;

/// What the first provider has to be told of us.
pub(super) async fn metadata(State(shared): State<Arc<Shared>>) -> Result<Response, Trouble> {
    describe(&shared, 0)
}

/// What the provider of that number has to be told of us.
pub(super) async fn metadata_of(
    State(shared): State<Arc<Shared>>,
    Path(number): Path<usize>,
) -> Result<Response, Trouble> {
    describe(&shared, number)
}

fn describe(shared: &Shared, number: usize) -> Result<Response, Trouble> {
    let metadata = shared.saml.metadata(number).ok_or_else(|| {
        Trouble::new(StatusCode::NOT_FOUND, "There is no such provider of SAML here.")
    })?;
    let kind = HeaderValue::from_static("application/samlmetadata+xml");
    Ok(([(header::CONTENT_TYPE, kind)], metadata).into_response())
}

/// The way to a provider.
pub(super) async fn login(
    State(shared): State<Arc<Shared>>,
    Path(number): Path<usize>,
    Source(source): Source,
    RawQuery(text): RawQuery,
) -> Result<Response, Trouble> {
    let form = query(text.as_deref())?;
    let back = form.get("back").unwrap_or("/").to_owned();
    let saml = Arc::clone(&shared.saml);
    let begun = blocking(move || Ok(saml.begin(number, &back, &source))).await??;
    let plan = shared.people.plan().ok_or(NotSignedIn::Method)?;
    let cookie = Cookie::SignIn.set(&plan, &begun.cookie);
    Ok(with(see(begun.to.as_str()), [(header::SET_COOKIE, cookie)]))
}

/// Where an answer arrives, from a page of the provider, and so without a cookie.
pub(super) async fn arrive(
    State(shared): State<Arc<Shared>>,
    Source(source): Source,
    body: Bytes,
) -> Result<Response, Trouble> {
    let saml = Arc::clone(&shared.saml);
    let arrived = blocking(move || {
        let form = Form::read_up_to(&body, ANSWER_BYTES_MAX)?;
        let response = form.get("SAMLResponse").unwrap_or_default();
        Ok(saml.arrive(response, form.get("RelayState"), &source))
    });
    let name = arrived.await??;
    Ok(see(&format!("/saml/finish?answer={name}")))
}

/// Where the browser comes to from there, with its cookie.
pub(super) async fn finish(
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
    let saml = Arc::clone(&shared.saml);
    let finished = blocking(move || {
        let form = query(text.as_deref())?;
        let name = form.get("answer").unwrap_or_default();
        let cookie = cookie.as_ref().map(|cookie| cookie.expose().as_str());
        Ok(saml.finish(name, cookie, &source))
    });
    match finished.await? {
        Err(why) => Ok(with(Trouble::from(why).into_response(), [spent])),
        Ok((_, cookie, back)) => {
            let before = before.map(|visitor| (visitor.login, visitor.key));
            Ok(with(enter(&shared, before, &cookie, &back).await, [spent]))
        }
    }
}
