//! The gateway itself: its resources, its configuration, its reasons.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::{Extension, Json};

use store::GatewaySeen;

use super::blocking;
use crate::audit::Deed;
use crate::auth::Caller;
use crate::control::{ExplainAnswer, ExplainError, ExplainRequest, Reloaded, ResourceView};
use crate::dto::GatewayView;
use crate::error::{ApiError, ErrorBody};
use crate::extract::Body;
use crate::server::Shared;

/// Lists the upstreams in force.
#[utoipa::path(get, path = "/api/v1/resources", tag = "gateway",
    responses((status = 200, body = Vec<ResourceView>)))]
pub(crate) async fn resources(State(shared): State<Arc<Shared>>) -> Json<Vec<ResourceView>> {
    Json(shared.control.resources())
}

/// Lists the gateways that share the state; none where this gateway keeps its own.
#[utoipa::path(get, path = "/api/v1/gateways", tag = "gateway",
    responses((status = 200, body = Vec<GatewayView>)))]
pub(crate) async fn gateways(
    State(shared): State<Arc<Shared>>,
) -> Result<Json<Vec<GatewayView>>, ApiError> {
    let found = blocking(move || match &shared.store.peers {
        None => Ok(Vec::new()),
        Some(peers) => peers.gateways().map_err(ApiError::state),
    });
    let view = |seen: GatewaySeen| GatewayView {
        gateway: seen.gateway,
        version: seen.version,
        present: seen.present,
        seconds: seen.seconds,
    };
    Ok(Json(found.await?.into_iter().map(view).collect()))
}

/// Reads the configuration again: all of it or nothing.
#[utoipa::path(post, path = "/api/v1/reload", tag = "gateway",
    responses((status = 200, body = Reloaded), (status = 422, body = ErrorBody)))]
pub(crate) async fn reload(
    State(shared): State<Arc<Shared>>,
    Extension(caller): Extension<Caller>,
) -> Result<Json<Reloaded>, ApiError> {
    let reloaded = blocking(move || {
        let deed = |detail| Deed {
            actor: caller.subject(),
            action: "config.load",
            target: "configuration",
            detail: Some(detail),
        };
        let now = shared.control.now();
        shared.audit.demand(deed("asked for".to_owned()), now)?;
        match shared.control.reload() {
            Ok(reloaded) => {
                let Reloaded { rules, resources, digests, .. } = &reloaded;
                let detail = format!("in force: {rules} rules, {resources} resources{digests}");
                shared.audit.note(deed(detail), shared.control.now());
                Ok(reloaded)
            }
            Err(problems) => {
                let count = problems.len();
                let detail = format!("refused ({count} wrong); the old one stays in force");
                shared.audit.note(deed(detail), shared.control.now());
                let noun = if count == 1 { "problem" } else { "problems" };
                let message =
                    format!("the configuration has {count} {noun}; the old one stays in force");
                Err(ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, "configuration", message)
                    .problems(problems))
            }
        }
    });
    Ok(Json(reloaded.await?))
}

/// Says what the rules would do with an operation, and why. Nothing is sent upstream.
#[utoipa::path(post, path = "/api/v1/explain", tag = "gateway", request_body = ExplainRequest,
    responses((status = 200, body = ExplainAnswer), (status = 404, body = ErrorBody),
        (status = 503, body = ErrorBody)))]
pub(crate) async fn explain(
    State(shared): State<Arc<Shared>>,
    Body(ask): Body<ExplainRequest>,
) -> Result<Json<ExplainAnswer>, ApiError> {
    let answer = blocking(move || {
        shared.control.explain(&ask).map_err(|error| match error {
            ExplainError::UnknownResource(near) => {
                let error = ApiError::not_found(format!("there is no resource {:?}", ask.on));
                match near {
                    Some(near) => error.help(format!("did you mean {near:?}?")),
                    None => error.help("narrows resources lists them"),
                }
            }
            ExplainError::Unavailable(why) => {
                ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", why)
            }
        })
    });
    Ok(Json(answer.await?))
}
