//! Errors as the API words them: a fixed code, what is wrong, what to do.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::control::ProblemView;

/// The body of every answer that is not a success.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
pub struct ErrorBody {
    /// What went wrong.
    pub error: ErrorDetail,
}

/// What went wrong.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
pub struct ErrorDetail {
    /// A fixed word.
    pub code: String,
    /// What was found.
    pub message: String,
    /// What to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
    /// Places in the configuration, for a reload that failed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<ProblemView>,
}

/// An error on its way to the caller.
#[derive(Debug)]
pub(crate) struct ApiError {
    status: StatusCode,
    detail: ErrorDetail,
}

impl ApiError {
    pub fn new(status: StatusCode, code: &str, message: impl Into<String>) -> Self {
        let (code, message) = (code.to_owned(), message.into());
        Self { status, detail: ErrorDetail { code, message, help: None, problems: Vec::new() } }
    }

    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.detail.help = Some(help.into());
        self
    }

    /// The status of HTTP.
    pub const fn status(&self) -> StatusCode {
        self.status
    }

    /// What to do.
    pub fn advice(&self) -> Option<&str> {
        self.detail.help.as_deref()
    }

    /// What was found.
    pub fn message(&self) -> &str {
        &self.detail.message
    }

    pub fn problems(mut self, problems: Vec<ProblemView>) -> Self {
        self.detail.problems = problems;
        self
    }

    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", message)
    }

    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid", message)
    }

    pub fn forbidden(code: &str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, code, message)
    }

    /// The registry failed. That it cannot be reached is said by the log already, once.
    pub fn state(error: store::StateError) -> Self {
        match error.is_unreachable() {
            true => {
                let status = StatusCode::SERVICE_UNAVAILABLE;
                Self::new(status, "state_unreachable", error.to_string())
                    .help("try again when the state database answers; narrows doctor asks it")
            }
            false => Self::internal(error),
        }
    }

    /// Our own failure. The caller is the operator, so the words may name files; they are logged
    /// too.
    pub fn internal(error: impl std::fmt::Display) -> Self {
        tracing::error!(%error, "an administrative request failed");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", error.to_string())
            .help("look into the gateway's log")
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(ErrorBody { error: self.detail })).into_response();
        if self.status == StatusCode::UNAUTHORIZED {
            let value = axum::http::HeaderValue::from_static("Bearer realm=\"narrows\"");
            response.headers_mut().insert(axum::http::header::WWW_AUTHENTICATE, value);
        }
        response
    }
}
