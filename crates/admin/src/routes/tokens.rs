//! Tokens: make, list, revoke.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::{Extension, Json};
use identity::Proofs;
use model::{PrincipalKind, Timestamp, TokenId};
use store::{Logins, NewToken, SessionFilter, TokensError};

use super::blocking;
use crate::audit::Deed;
use crate::auth::Caller;
use crate::dto::{TokenCreated, TokenRequest, TokenView, strings};
use crate::error::{ApiError, ErrorBody};
use crate::extract::Body;
use crate::server::Shared;
use crate::words::{format_time, parse_duration};

/// Makes a token and shows it, this once.
#[utoipa::path(post, path = "/api/v1/tokens", tag = "tokens", request_body = TokenRequest,
    responses((status = 201, body = TokenCreated), (status = 400, body = ErrorBody)))]
pub(crate) async fn create(
    State(shared): State<Arc<Shared>>,
    Extension(caller): Extension<Caller>,
    Body(ask): Body<TokenRequest>,
) -> Result<(StatusCode, Json<TokenCreated>), ApiError> {
    let ttl = match &ask.ttl {
        None => None,
        Some(text) => Some(parse_duration(text).filter(|ttl| !ttl.is_zero()).ok_or_else(|| {
            ApiError::invalid(format!("ttl: {text:?} is not a length of time"))
                .help("write 30m, 1h, 7d; leave it out for a token without an end")
        })?),
    };
    // Whoever could make a person could be anybody: a second approver, or of a higher role.
    if ask.kind == PrincipalKind::Person && !matches!(caller, Caller::Admin) {
        let message = format!("{} may make tokens for programs only", caller.subject());
        return Err(ApiError::forbidden("role_missing", message)
            .help("people sign in; a token of a person takes the admin token"));
    }
    // Four eyes look behind a token to whoever made it, and no further.
    let made_by = caller.principal().and_then(|principal| principal.minted_by.clone());
    if let Some(by) = made_by.filter(|by| **by != *crate::auth::ADMIN_SUBJECT) {
        let message = format!("{} has a token that {by} made, and makes none", caller.subject());
        return Err(ApiError::forbidden("role_missing", message)
            .help("sign in, or have whoever made that token make this one"));
    }
    let created = blocking(move || {
        let now = shared.control.now();
        let detail = format!(
            "kind {}, groups [{}], ttl {}",
            ask.kind.as_str(),
            ask.groups.join(", "),
            ask.ttl.as_deref().unwrap_or("none")
        );
        let new = NewToken {
            subject: ask.subject.clone(),
            groups: ask.groups,
            kind: ask.kind,
            ttl,
            minted_by: Some(caller.subject().to_owned()),
        };
        shared.audit.demand(
            Deed {
                actor: caller.subject(),
                action: "token.create",
                target: &ask.subject,
                detail: Some(detail),
            },
            now,
        )?;
        let created = shared.store.tokens.create(new, now);
        let (record, token) = created.map_err(|failed| {
            let detail = Some(format!("not made: {failed}"));
            let (actor, action) = (caller.subject(), "token.create");
            shared.audit.note(Deed { actor, action, target: &ask.subject, detail }, now);
            error(failed)
        })?;
        Ok(TokenCreated {
            id: record.id.0.to_string(),
            token: token.expose().clone(),
            subject: record.subject.to_string(),
            groups: strings(&record.groups),
            kind: record.kind.as_str().to_owned(),
            expires_at: record.expires_at.map(format_time),
        })
    });
    Ok((StatusCode::CREATED, Json(created.await?)))
}

/// Lists all tokens ever made, oldest first, without the tokens themselves.
#[utoipa::path(get, path = "/api/v1/tokens", tag = "tokens",
    responses((status = 200, body = Vec<TokenView>)))]
pub(crate) async fn list(State(shared): State<Arc<Shared>>) -> Json<Vec<TokenView>> {
    let now = shared.control.now();
    let tokens = shared.store.tokens.list();
    Json(tokens.iter().map(|token| TokenView::new(token, now)).collect())
}

/// Revokes a token and ends its live sessions; one of a sign-in (`lt_…`) or of an identity provider
/// (`jwt_…`), too.
#[utoipa::path(delete, path = "/api/v1/tokens/{id}", tag = "tokens",
    params(("id" = String, Path, description = "The token's public name")),
    responses((status = 200, body = TokenView), (status = 404, body = ErrorBody)))]
pub(crate) async fn revoke(
    State(shared): State<Arc<Shared>>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
) -> Result<Json<TokenView>, ApiError> {
    let view = blocking(move || {
        let now = shared.control.now();
        let token = TokenId(id.as_str().into());
        if Proofs::is_foreign(&token) {
            return deny(&shared, &caller, &token, now);
        }
        if Logins::names(&token) {
            let login = shared.store.logins.login_of(&token);
            let login = login.ok_or_else(|| error(TokensError::Unknown(token.clone())))?;
            let ended = shared.people.end_token(&token, caller.subject());
            ended.map_err(|failed| only_here(TokensError::State(failed)))?;
            return Ok(TokenView::of_login(&token, &login, now));
        }
        let record = shared.store.tokens.revoke(&token, now).map_err(only_here)?;
        let detail = Some(format!("of {}", record.subject));
        shared.audit.note(
            Deed { actor: caller.subject(), action: "token.revoke", target: &id, detail },
            now,
        );
        Ok(TokenView::new(&record, now))
    });
    Ok(Json(view.await?))
}

/// Revokes a token of an identity provider, which is known here by its use alone.
fn deny(
    shared: &Shared,
    caller: &Caller,
    token: &TokenId,
    now: Timestamp,
) -> Result<TokenView, ApiError> {
    let used =
        SessionFilter { run: Some(token.0.to_string()), limit: Some(1), ..Default::default() };
    let used = shared.store.index.sessions(&used).map_err(ApiError::internal)?;
    let live = shared.store.live.list();
    let live =
        live.iter().find(|session| session.info.principal.credentials().any(|one| one == token));
    let subject = match (live, used.first()) {
        (Some(session), _) => session.info.principal.subject.to_string(),
        (None, Some(session)) => session.principal.clone(),
        // Nobody used it yet, or only here: it is refused from now on.
        (None, None) if is_well_formed(&token.0) => "(nobody used it yet)".to_owned(),
        (None, None) => {
            return Err(ApiError::not_found(format!("{} is not the name of a token", token.0))
                .help("it is jwt_ or crt_ and 16 letters; narrows show SESSION tells it"));
        }
    };
    shared.store.tokens.deny(token, &subject, now).map_err(only_here)?;
    let detail = Some(format!("of {subject}, of another issuer"));
    shared.audit.note(
        Deed { actor: caller.subject(), action: "token.revoke", target: &token.0, detail },
        now,
    );
    Ok(TokenView::denied(token, &subject, now))
}

fn is_well_formed(id: &str) -> bool {
    let letters = id.strip_prefix("jwt_").or_else(|| id.strip_prefix("crt_")).unwrap_or_default();
    letters.len() == 16 && letters.bytes().all(|it| it.is_ascii_lowercase() || it.is_ascii_digit())
}

/// What this gateway could end has ended, though the others do not know.
fn only_here(failed: TokensError) -> ApiError {
    let is_away = matches!(&failed, TokensError::State(state) if state.is_unreachable());
    let told = error(failed);
    match is_away {
        true => told.help(
            "sessions of this gateway with the token were ended and none begins until it starts \
             again; the other gateways believe the token: revoke it again when the state database \
             answers",
        ),
        false => told,
    }
}

fn error(error: TokensError) -> ApiError {
    match error {
        TokensError::Invalid(message) => ApiError::invalid(message),
        TokensError::Unknown(id) => ApiError::not_found(format!("there is no token {}", id.0))
            .help(
                "narrows token list shows the public names; they begin with tk_, or lt_ and jwt_ \
                 for those of sign-ins and identity providers",
            ),
        TokensError::Full(_) => ApiError::new(StatusCode::CONFLICT, "full", error.to_string()),
        TokensError::State(error) => ApiError::state(error),
        TokensError::Random(_) => ApiError::internal(error),
    }
}
