//! For machines: is it alive, is it ready, what did it count. Without a token, and without secrets.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::{OpenApi as _, ToSchema};

use super::blocking;
use crate::error::ApiError;
use crate::metrics;
use crate::server::Shared;

/// Whether new sessions are served.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Ready {
    ready: bool,
    /// Why not.
    reasons: Vec<String>,
}

/// The process answers.
#[utoipa::path(get, path = "/healthz", tag = "health", security(()),
    responses((status = 200, body = String)))]
pub(crate) async fn healthz() -> &'static str {
    "ok\n"
}

/// The gateway serves: the journal can be written, the state is open, the listeners are up.
#[utoipa::path(get, path = "/readyz", tag = "health", security(()),
    responses((status = 200, body = Ready), (status = 503, body = Ready)))]
pub(crate) async fn readyz(State(shared): State<Arc<Shared>>) -> Result<Response, ApiError> {
    let reasons = blocking(move || Ok(shared.unready())).await?;
    let status = if reasons.is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    Ok((status, Json(Ready { ready: reasons.is_empty(), reasons })).into_response())
}

/// What was counted, for Prometheus (OpenMetrics text).
#[utoipa::path(get, path = "/metrics", tag = "health", security(()),
    responses((status = 200, body = String)))]
pub(crate) async fn metrics(State(shared): State<Arc<Shared>>) -> Result<Response, ApiError> {
    let text = blocking(move || metrics::scrape(&shared).map_err(ApiError::internal)).await?;
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    Ok(([(header::CONTENT_TYPE, kind)], text).into_response())
}

/// This API, described.
#[utoipa::path(get, path = "/openapi.json", tag = "health", security(()),
    responses((status = 200, body = Object)))]
pub(crate) async fn openapi() -> Json<utoipa::openapi::OpenApi> {
    Json(crate::openapi::Document::openapi())
}
