//! The caller, as the gateway knows them; and an end to their own token.

use std::sync::Arc;

use axum::extract::State;
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};
use store::Logins;
use utoipa::ToSchema;

use super::blocking;
use crate::auth::Caller;
use crate::dto::strings;
use crate::error::{ApiError, ErrorBody};
use crate::server::Shared;
use crate::words::format_time;

/// Who calls.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
pub struct WhoAmI {
    /// Who.
    pub subject: String,
    /// Agent, person or service; not of the admin token.
    pub kind: Option<String>,
    /// Their groups.
    pub groups: Vec<String>,
    /// The role that these give: `viewer`, `approver`, `operator`, `admin`.
    pub role: Option<String>,
    /// Who vouches.
    pub issuer: Option<String>,
    /// For whom they act.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_behalf_of: Option<String>,
    /// The token's public name.
    pub token: Option<String>,
    /// When it ends.
    pub expires_at: Option<String>,
    /// The sign-in behind it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub login: Option<LoginView>,
}

/// A sign-in.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
pub struct LoginView {
    /// Its name.
    pub id: String,
    /// What the person is called.
    pub name: Option<String>,
    /// When they signed in.
    pub started_at: String,
    /// When the provider last vouched for them.
    pub confirmed_at: String,
    /// The provider could not be asked the last time; the sign-in goes on.
    pub unconfirmed: bool,
}

/// Who the token stands for, and what they may do here.
#[utoipa::path(get, path = "/api/v1/whoami", tag = "people",
    responses((status = 200, body = WhoAmI)))]
pub(crate) async fn whoami(
    State(shared): State<Arc<Shared>>,
    Extension(caller): Extension<Caller>,
) -> Json<WhoAmI> {
    let role = caller.role().map(|role| role.as_str().to_owned());
    let Some(principal) = caller.principal() else {
        return Json(WhoAmI {
            subject: caller.subject().to_owned(),
            kind: None,
            groups: Vec::new(),
            role,
            issuer: None,
            on_behalf_of: None,
            token: None,
            expires_at: None,
            login: None,
        });
    };
    let login = principal.token.as_ref().and_then(|token| shared.store.logins.login_of(token));
    let login = login.map(|login| LoginView {
        id: login.id.to_string(),
        name: login.name.as_deref().map(str::to_owned),
        started_at: format_time(login.started_at),
        confirmed_at: format_time(login.confirmed_at),
        unconfirmed: login.trouble.is_some(),
    });
    Json(WhoAmI {
        subject: principal.subject.to_string(),
        kind: Some(principal.kind.as_str().to_owned()),
        groups: strings(&principal.groups),
        role,
        issuer: Some(principal.issuer.to_string()),
        on_behalf_of: principal.on_behalf_of.as_deref().map(str::to_owned),
        token: principal.token.as_ref().map(|token| token.0.to_string()),
        expires_at: principal.expires_at.map(format_time),
        login,
    })
}

/// Ends the token that it is called with, if it was got by signing in.
#[utoipa::path(post, path = "/api/v1/logout", tag = "people",
    responses((status = 200, body = WhoAmI), (status = 400, body = ErrorBody)))]
pub(crate) async fn logout(
    State(shared): State<Arc<Shared>>,
    Extension(caller): Extension<Caller>,
) -> Result<Json<WhoAmI>, ApiError> {
    let token = caller.principal().and_then(|principal| principal.token.clone());
    let Some(token) = token.filter(Logins::names) else {
        return Err(ApiError::invalid("this token was not got by signing in")
            .help("narrows token revoke NAME ends a token that somebody made"));
    };
    let who = whoami(State(Arc::clone(&shared)), Extension(caller.clone())).await;
    blocking(move || {
        shared.people.end_token(&token, caller.subject()).map(drop).map_err(ApiError::state)
    })
    .await?;
    Ok(who)
}
