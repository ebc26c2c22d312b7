//! Legal holds on recordings. Each is recorded first, or does not happen.

use std::sync::Arc;

use axum::extract::State;
use axum::{Extension, Json};

use super::audit::{told, turn};
use super::blocking;
use crate::audit::Deed;
use crate::auth::Caller;
use crate::control::{HoldAnswer, HoldRequest, HoldView, ReleaseRequest};
use crate::error::{ApiError, ErrorBody};
use crate::extract::Body;
use crate::server::Shared;
use crate::words::{format_time, parse_time};

/// Bytes of a reason: it is read again by everyone who asks what is on hold.
const REASON_BYTES_MAX: usize = 4 * 1024;

/// Puts recordings on hold: no key of them is erased, and a store that can lock files keeps them.
#[utoipa::path(post, path = "/api/v1/audit/hold", tag = "audit", request_body = HoldRequest,
    responses((status = 200, body = HoldAnswer), (status = 400, body = ErrorBody),
        (status = 503, body = ErrorBody)))]
pub(crate) async fn hold(
    State(shared): State<Arc<Shared>>,
    Extension(caller): Extension<Caller>,
    Body(mut ask): Body<HoldRequest>,
) -> Result<Json<HoldAnswer>, ApiError> {
    let what = match (&ask.session, &ask.principal, &ask.from, &ask.to) {
        (Some(session), None, None, None) if session.starts_with("s_") => {
            format!("session {session}")
        }
        (Some(session), None, None, None) => {
            return Err(ApiError::invalid(format!("{session:?} is not the id of a session"))
                .help("write s_… as narrows sessions lists it; or did you mean a principal?"));
        }
        (None, Some(principal), None, None) => format!("principal {principal}"),
        (None, None, Some(from), Some(to)) => {
            let time = |name: &str, text: &str| {
                parse_time(text).ok_or_else(|| {
                    ApiError::invalid(format!("{name}: {text:?} is not a time"))
                        .help("write it like 2026-11-23T07:00:00Z")
                })
            };
            let (begin, end) = (time("from", from)?, time("to", to)?);
            if begin >= end {
                return Err(ApiError::invalid(format!("from {from} is not before to {to}")));
            }
            // In one form, however it was written: it is compared with others.
            let (from, to) = (format_time(begin), format_time(end));
            let what = format!("{from} to {to}");
            (ask.from, ask.to) = (Some(from), Some(to));
            what
        }
        _ => {
            return Err(ApiError::invalid(
                "not exactly one of session, principal, and from with to is given",
            )
            .help("name a session (s_…), a subject, or a time"));
        }
    };
    with_reason(&ask.reason)?;
    let turn = turn(&shared)?;
    let held = blocking(move || {
        let _turn = turn;
        let (actor, action, target) = (caller.subject(), "audit.hold", &*what);
        let deed = Deed { actor, action, target, detail: Some(ask.reason.clone()) };
        shared.audit.demand(deed, shared.control.now())?;
        shared.control.hold(&ask, caller.subject()).map_err(told)
    });
    Ok(Json(held.await?))
}

/// Ends a hold.
#[utoipa::path(post, path = "/api/v1/audit/release", tag = "audit", request_body = ReleaseRequest,
    responses((status = 200, body = HoldAnswer), (status = 400, body = ErrorBody),
        (status = 404, body = ErrorBody), (status = 503, body = ErrorBody)))]
pub(crate) async fn release(
    State(shared): State<Arc<Shared>>,
    Extension(caller): Extension<Caller>,
    Body(ask): Body<ReleaseRequest>,
) -> Result<Json<HoldAnswer>, ApiError> {
    let what = match (&ask.id, &ask.session, &ask.principal) {
        (Some(id), None, None) => format!("hold {id}"),
        (None, Some(session), None) => format!("session {session}"),
        (None, None, Some(principal)) => format!("principal {principal}"),
        _ => {
            return Err(ApiError::invalid("not exactly one of id, session and principal is given")
                .help("name the hold (hd_…), or the session or subject that is on hold"));
        }
    };
    with_reason(&ask.reason)?;
    let turn = turn(&shared)?;
    let released = blocking(move || {
        let _turn = turn;
        let (actor, action, target) = (caller.subject(), "audit.release", &*what);
        let deed = Deed { actor, action, target, detail: Some(ask.reason.clone()) };
        shared.audit.demand(deed, shared.control.now())?;
        shared.control.release(&ask, caller.subject()).map_err(told)
    });
    Ok(Json(released.await?))
}

/// Every hold, the earliest first; also those that were ended.
#[utoipa::path(get, path = "/api/v1/audit/holds", tag = "audit",
    responses((status = 200, body = [HoldView]), (status = 503, body = ErrorBody)))]
pub(crate) async fn holds(
    State(shared): State<Arc<Shared>>,
    Extension(caller): Extension<Caller>,
) -> Result<Json<Vec<HoldView>>, ApiError> {
    let turn = turn(&shared)?;
    let holds = blocking(move || {
        let _turn = turn;
        let (actor, action, target) = (caller.subject(), "audit.holds", "recordings");
        let deed = Deed { actor, action, target, detail: None };
        shared.audit.demand(deed, shared.control.now())?;
        shared.control.holds().map_err(told)
    });
    Ok(Json(holds.await?))
}

fn with_reason(reason: &str) -> Result<(), ApiError> {
    if reason.trim().is_empty() {
        return Err(ApiError::invalid("reason is empty").help("say why: it is recorded"));
    }
    if reason.len() > REASON_BYTES_MAX {
        return Err(ApiError::invalid(format!("reason has {} bytes", reason.len()))
            .help(format!("write at most {REASON_BYTES_MAX}")));
    }
    Ok(())
}
