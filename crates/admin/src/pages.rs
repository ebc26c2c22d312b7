//! Pages for people: signing in, answering approvals, letting `narrows login` in. Rendered here,
//! plain, without scripts.
//!
//! A page is looked at with a cookie, which nothing under `/api` takes. Whatever changes something
//! is a form that is sent from one of these pages: the browser says so (`Origin`,
//! `Sec-Fetch-Site`), and the form has a word that follows from the cookie.

mod approval;
mod command;
mod cookie;
mod device;
mod home;
mod layout;
mod saml;
mod signing;
mod visitor;

use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use identity::SignInPlan;

use crate::extract::Source;
use crate::server::Shared;
use layout::{Trouble, policy, see};

/// What is not a page: nothing of it is secret.
const STYLE: &str = include_str!("pages/style.css");
const ICON: &str = include_str!("pages/icon.svg");

pub(crate) fn routes(shared: &Arc<Shared>) -> Router<Arc<Shared>> {
    Router::new()
        .route("/", get(home::home))
        .route("/tokens/{id}/end", post(home::end_token))
        .route("/login", get(signing::login))
        .route("/login/callback", get(signing::callback))
        .route("/login/saml/{number}", get(saml::login))
        .route("/saml/metadata", get(saml::metadata))
        .route("/saml/metadata/{number}", get(saml::metadata_of))
        .route(saml::ACS, post(saml::arrive).layer(DefaultBodyLimit::max(saml::ANSWER_BYTES_MAX)))
        .route("/saml/finish", get(saml::finish))
        .route("/logout", post(signing::logout))
        .route("/approvals/{id}", get(approval::show))
        .route("/approvals/{id}/approve", post(approval::approve))
        .route("/approvals/{id}/deny", post(approval::deny))
        .route("/command", get(command::ask).post(command::allow))
        .route("/device", get(device::ask).post(device::answer))
        .route_layer(middleware::from_fn_with_state(Arc::clone(shared), gate))
        .route("/style.css", get(|| async { file("text/css; charset=utf-8", STYLE) }))
        .route("/icon.svg", get(|| async { file("image/svg+xml", ICON) }))
}

fn file(kind: &'static str, text: &'static str) -> Response {
    let kind = (header::CONTENT_TYPE, HeaderValue::from_static(kind));
    let strict = (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    ([kind, strict], text).into_response()
}

/// What holds for every page: who may look, from where, and what a browser may do with it.
async fn gate(
    State(shared): State<Arc<Shared>>,
    _source: Source,
    request: Request,
    next: Next,
) -> Response {
    let mut response = match admit(&shared, &request) {
        Ok(()) => next.run(request).await,
        Err(refused) => refused,
    };
    let headers = response.headers_mut();
    let mut set = |name, value| headers.insert(name, HeaderValue::from_static(value));
    set(header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    set(header::X_FRAME_OPTIONS, "DENY");
    // With `no-referrer` browsers would send forms with `Origin: null`.
    set(header::REFERRER_POLICY, "same-origin");
    if !headers.contains_key(header::CONTENT_SECURITY_POLICY) {
        let origins = shared.people.sign_out_origins();
        headers.insert(header::CONTENT_SECURITY_POLICY, policy(&origins));
    }
    response
}

fn admit(shared: &Shared, request: &Request) -> Result<(), Response> {
    let Some(plan) = shared.people.plan() else {
        let words = "This gateway is not ready yet.";
        return Err(Trouble::new(StatusCode::SERVICE_UNAVAILABLE, words).into_response());
    };
    if !is_host(&plan, request.headers()) {
        // Cookies are of one host, so there is one by which the pages are reached.
        let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
        if request.method() == Method::GET && request.uri().path() != "/login/callback" {
            return Err(see(&plan.page(path)));
        }
        return Err(wrong_place(&plan).into_response());
    }
    match *request.method() {
        Method::GET | Method::HEAD => Ok(()),
        _ if is_ours(&plan, request.headers()) => Ok(()),
        // Sent from a page of the provider; it is believed for its signature, and lets nobody in.
        Method::POST if request.uri().path() == saml::ACS => Ok(()),
        _ => {
            tracing::warn!(path = request.uri().path(), "a form came from another site");
            Err(wrong_place(&plan).into_response())
        }
    }
}

fn wrong_place(plan: &SignInPlan) -> Trouble {
    Trouble::new(StatusCode::FORBIDDEN, "This was not sent from a page of this gateway.")
        .advice(format!("Open {} and do it there.", plan.page("/")))
}

/// Whether the browser means the host that is configured: not a name that somebody else made
/// point here.
fn is_host(plan: &SignInPlan, headers: &HeaderMap) -> bool {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let named = plan.url.host_str().unwrap_or_default();
    let with_port = |port: u16| format!("{named}:{port}");
    match plan.url.port() {
        Some(port) => host.eq_ignore_ascii_case(&with_port(port)),
        None => {
            let port = plan.url.port_or_known_default().unwrap_or(443);
            host.eq_ignore_ascii_case(named) || host.eq_ignore_ascii_case(&with_port(port))
        }
    }
}

/// Whether a form comes from one of these pages. Browsers say so with every form, and no page can
/// make them say something else.
fn is_ours(plan: &SignInPlan, headers: &HeaderMap) -> bool {
    let says = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let origin = plan.url.origin().ascii_serialization();
    says("origin") == Some(&*origin) && says("sec-fetch-site").is_none_or(|at| at == "same-origin")
}
