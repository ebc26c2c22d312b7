//! Tokens for `narrows login`: RFC 6749 (authorization code with PKCE) and RFC 8628 (device code).
//! Without a token: the codes are the proof.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use identity::{Exchange, NotGranted};
use serde::Serialize;
use utoipa::ToSchema;

use super::blocking;
use crate::error::ApiError;
use crate::extract::{Form, Source};
use crate::server::Shared;
use crate::words::format_time;

const DEVICE_GRANT: &str = "urn:ietf:params:oauth:grant-type:device_code";

/// What a device is given (RFC 8628 section 3.2).
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DeviceGiven {
    device_code: String,
    user_code: String,
    verification_uri: String,
    verification_uri_complete: String,
    expires_in: u64,
    interval: u64,
}

/// A token (RFC 6749 section 5.1), and for whom it is.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TokenGiven {
    access_token: String,
    token_type: &'static str,
    expires_in: u64,
    subject: String,
    expires_at: String,
}

/// Why there is none (RFC 6749 section 5.2).
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct GrantError {
    error: &'static str,
    error_description: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    interval: Option<u64>,
}

impl From<NotGranted> for GrantError {
    fn from(not: NotGranted) -> Self {
        Self { error: not.error, error_description: not.words, interval: not.interval }
    }
}

impl IntoResponse for GrantError {
    fn into_response(self) -> Response {
        let status = match self.error {
            "server_error" | "temporarily_unavailable" => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::BAD_REQUEST,
        };
        (status, Json(self)).into_response()
    }
}

/// Begins a sign-in of a device without a browser (RFC 8628). `device_name`: what it calls itself.
#[utoipa::path(post, path = "/oauth/device_authorization", tag = "people", security(()),
    request_body(content = String, content_type = "application/x-www-form-urlencoded"),
    responses((status = 200, body = DeviceGiven), (status = 400, body = GrantError)))]
pub(crate) async fn device_authorization(
    State(shared): State<Arc<Shared>>,
    source: Source,
    body: Bytes,
) -> Result<Response, ApiError> {
    let form = Form::read(&body)?;
    let asked = blocking(move || {
        let name = form.get("device_name").unwrap_or_default();
        let Some(plan) = shared.people.plan() else {
            let words = "nobody can sign in here";
            return Ok(Err(NotGranted { error: "server_error", words, interval: None }));
        };
        Ok(shared.people.device_asks(name, &source.0).map(|asked| (asked, plan)))
    });
    Ok(match asked.await? {
        Err(not) => GrantError::from(not).into_response(),
        Ok((asked, plan)) => {
            let page = plan.page("/device");
            Json(DeviceGiven {
                verification_uri_complete: format!("{page}?user_code={}", asked.user_code),
                verification_uri: page,
                device_code: asked.device_code,
                user_code: asked.user_code,
                expires_in: asked.expires_in.as_secs(),
                interval: asked.interval,
            })
            .into_response()
        }
    })
}

/// Gives a token for a code.
#[utoipa::path(post, path = "/oauth/token", tag = "people", security(()),
    request_body(content = String, content_type = "application/x-www-form-urlencoded"),
    responses((status = 200, body = TokenGiven), (status = 400, body = GrantError)))]
pub(crate) async fn token(
    State(shared): State<Arc<Shared>>,
    source: Source,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, ApiError> {
    if headers.contains_key(axum::http::header::ORIGIN) {
        // Programs send none; a page of somebody else has nothing to ask here.
        return Err(ApiError::forbidden("origin", "this is for programs, not for pages")
            .help("use narrows login"));
    }
    let form = Form::read(&body)?;
    let granted = blocking(move || {
        let word = |name: &str| form.get(name).unwrap_or_default();
        let exchange = match word("grant_type") {
            "authorization_code" => Exchange::Brought {
                code: word("code"),
                verifier: word("code_verifier"),
                redirect: word("redirect_uri"),
            },
            DEVICE_GRANT => Exchange::Device(word("device_code")),
            _ => {
                let words = "grant_type is authorization_code or the device code's";
                let error = "unsupported_grant_type";
                return Ok(Err(NotGranted { error, words, interval: None }));
            }
        };
        let now = shared.control.now();
        Ok(shared.people.exchange(&exchange, &source.0).map(|(login, _, token)| TokenGiven {
            access_token: token.expose().clone(),
            token_type: "Bearer",
            expires_in: login.ends_at.since(now).as_secs(),
            subject: login.subject.to_string(),
            expires_at: format_time(login.ends_at),
        }))
    });
    Ok(match granted.await? {
        Ok(token) => Json(token).into_response(),
        Err(not) => GrantError::from(not).into_response(),
    })
}
