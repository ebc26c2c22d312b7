//! Who looks at a page.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::{IntoResponse as _, Response};
use model::Principal;
use store::{Login, LoginKey};
use subtle::ConstantTimeEq as _;

use super::cookie::Cookie;
use super::layout::{Trouble, see};
use crate::auth::Caller;
use crate::extract::Form;
use crate::server::Shared;

/// What a form's word is derived for.
const FORMS: &str = "form";

/// Somebody who is signed in.
pub(super) struct Visitor {
    pub login: Arc<Login>,
    pub key: LoginKey,
    pub caller: Caller,
    /// The word that forms of theirs have.
    pub csrf: String,
}

/// Somebody, signed in or not.
pub(super) struct Anybody(pub Option<Visitor>);

impl Visitor {
    fn find(shared: &Shared, headers: &HeaderMap) -> Option<Self> {
        let plan = shared.people.plan()?;
        let cookie = Cookie::Login.read(&plan, headers)?;
        let (login, key) = shared.people.by_cookie(cookie.expose())?;
        let csrf = shared.store.logins.derived(FORMS, cookie.expose());
        let principal: Arc<Principal> = Arc::new(login.principal(None));
        let role = shared.people.role(&principal.groups);
        Some(Self { login, key, caller: Caller::Person(principal, role), csrf })
    }

    /// Whether a form was made for them.
    pub fn check(&self, form: &Form) -> Result<(), Trouble> {
        let word = form.get("csrf").unwrap_or_default();
        match bool::from(word.as_bytes().ct_eq(self.csrf.as_bytes())) {
            true => Ok(()),
            false => {
                tracing::warn!(
                    subject = &*self.login.subject,
                    "a form came without the word it was made with"
                );
                let words = "This form was not made for this sign-in.";
                Err(Trouble::new(StatusCode::FORBIDDEN, words)
                    .advice("Go back, load the page again, and send it from there."))
            }
        }
    }
}

impl FromRequestParts<Arc<Shared>> for Anybody {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, shared: &Arc<Shared>) -> Result<Self, Response> {
        let (shared, headers) = (Arc::clone(shared), parts.headers.clone());
        // It may note that the cookie is used.
        let found = tokio::task::spawn_blocking(move || Visitor::find(&shared, &headers)).await;
        Ok(Self(found.unwrap_or_default()))
    }
}

impl FromRequestParts<Arc<Shared>> for Visitor {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, shared: &Arc<Shared>) -> Result<Self, Response> {
        let Anybody(found) = Anybody::from_request_parts(parts, shared).await?;
        found.ok_or_else(|| match parts.method {
            Method::GET => {
                let back = parts.uri.path_and_query().map_or("/", |path| path.as_str());
                let back: String = url::form_urlencoded::byte_serialize(back.as_bytes()).collect();
                see(&format!("/login?back={back}"))
            }
            _ => Trouble::new(StatusCode::UNAUTHORIZED, "You are not signed in any more.")
                .advice("Sign in, and do it again.")
                .into_response(),
        })
    }
}
