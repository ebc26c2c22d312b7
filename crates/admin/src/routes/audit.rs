//! Questions to the recordings. Whoever asks is recorded first, or gets no answer.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::{Extension, Json};
use model::Timestamp;
use model::limit::AUDIT_QUESTIONS_MAX;
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::OwnedSemaphorePermit;
use utoipa::{IntoParams, ToSchema};

use super::blocking;
use crate::audit::Deed;
use crate::auth::Caller;
use crate::control::{
    AuditError, AuditQuestion, EraseRequest, Erased, RewrapRequest, Rewrapped, Span,
};
use crate::error::{ApiError, ErrorBody};
use crate::extract::{Ask, Body};
use crate::server::Shared;
use crate::words::{format_time, parse_time};

/// How far back a question reaches when it does not say.
const SPAN_DEFAULT: Duration = Duration::from_secs(24 * 60 * 60);

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(crate) struct WhoQuery {
    /// The table: `schema.table`, or `table` in any schema.
    table: String,
    /// From this time on (RFC 3339). Default: a day before `to`.
    from: Option<String>,
    /// Before this time. Default: now.
    to: Option<String>,
}

/// Who read or wrote a table, when, and what they got.
#[utoipa::path(get, path = "/api/v1/audit/who", tag = "audit", params(WhoQuery),
    responses((status = 200, body = Value), (status = 400, body = ErrorBody),
        (status = 503, body = ErrorBody)))]
pub(crate) async fn who(
    State(shared): State<Arc<Shared>>,
    Extension(caller): Extension<Caller>,
    Ask(query): Ask<WhoQuery>,
) -> Result<Json<Value>, ApiError> {
    let span = span(query.from.as_deref(), query.to.as_deref(), shared.control.now())?;
    ask(shared, caller, AuditQuestion::Who { table: query.table, span }).await
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(crate) struct FieldsQuery {
    /// Of this session.
    session: Option<String>,
    /// Of all sessions of this subject.
    principal: Option<String>,
    /// From this time on (RFC 3339). Default: a day before `to`.
    from: Option<String>,
    /// Before this time. Default: now.
    to: Option<String>,
}

/// Which fields replies held, and how each was masked.
#[utoipa::path(get, path = "/api/v1/audit/fields", tag = "audit", params(FieldsQuery),
    responses((status = 200, body = Value), (status = 400, body = ErrorBody),
        (status = 503, body = ErrorBody)))]
pub(crate) async fn fields(
    State(shared): State<Arc<Shared>>,
    Extension(caller): Extension<Caller>,
    Ask(query): Ask<FieldsQuery>,
) -> Result<Json<Value>, ApiError> {
    let FieldsQuery { session, principal, from, to } = query;
    let span = span(from.as_deref(), to.as_deref(), shared.control.now())?;
    if session.is_none() && principal.is_none() {
        return Err(ApiError::invalid("neither session nor principal is given")
            .help("name one: session=s_… or principal=SUBJECT"));
    }
    ask(shared, caller, AuditQuestion::Fields { session, principal, span }).await
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(crate) struct PiiQuery {
    /// From this time on (RFC 3339). Default: a day before `to`.
    from: Option<String>,
    /// Before this time. Default: now.
    to: Option<String>,
}

/// Whether sensitive values were sent out, and how that is known.
#[utoipa::path(get, path = "/api/v1/audit/pii", tag = "audit", params(PiiQuery),
    responses((status = 200, body = Value), (status = 400, body = ErrorBody),
        (status = 503, body = ErrorBody)))]
pub(crate) async fn pii(
    State(shared): State<Arc<Shared>>,
    Extension(caller): Extension<Caller>,
    Ask(query): Ask<PiiQuery>,
) -> Result<Json<Value>, ApiError> {
    let span = span(query.from.as_deref(), query.to.as_deref(), shared.control.now())?;
    ask(shared, caller, AuditQuestion::Pii { span }).await
}

/// A search: a body, because addresses end in logs, and the text may be what nobody should see.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SearchRequest {
    /// What to look for.
    text: String,
    /// From this time on (RFC 3339). Default: a day before `to`.
    from: Option<String>,
    /// Before this time. Default: now.
    to: Option<String>,
}

/// Where a text occurs in statements, requests and replies.
#[utoipa::path(post, path = "/api/v1/audit/search", tag = "audit", request_body = SearchRequest,
    responses((status = 200, body = Value), (status = 400, body = ErrorBody),
        (status = 503, body = ErrorBody)))]
pub(crate) async fn search(
    State(shared): State<Arc<Shared>>,
    Extension(caller): Extension<Caller>,
    Body(query): Body<SearchRequest>,
) -> Result<Json<Value>, ApiError> {
    let span = span(query.from.as_deref(), query.to.as_deref(), shared.control.now())?;
    if query.text.is_empty() {
        return Err(ApiError::invalid("text is empty").help("say what to look for"));
    }
    ask(shared, caller, AuditQuestion::Search { text: query.text, span }).await
}

/// Makes what was said unreadable, by erasing the keys that it is sealed with. Proofs stay whole.
#[utoipa::path(post, path = "/api/v1/audit/erase", tag = "audit", request_body = EraseRequest,
    responses((status = 200, body = Erased), (status = 400, body = ErrorBody),
        (status = 404, body = ErrorBody), (status = 409, body = ErrorBody),
        (status = 503, body = ErrorBody)))]
pub(crate) async fn erase(
    State(shared): State<Arc<Shared>>,
    Extension(caller): Extension<Caller>,
    Body(ask): Body<EraseRequest>,
) -> Result<Json<Erased>, ApiError> {
    let whose = match (&ask.session, &ask.principal) {
        (Some(session), None) => format!("session {session}"),
        (None, Some(principal)) => format!("principal {principal}"),
        _ => {
            return Err(ApiError::invalid("not exactly one of session and principal is given")
                .help("name a session (s_…) or a subject"));
        }
    };
    if ask.reason.trim().is_empty() {
        return Err(ApiError::invalid("reason is empty").help("say why: it is recorded"));
    }
    let turn = turn(&shared)?;
    let erased = blocking(move || {
        let _turn = turn;
        let (actor, action, target) = (caller.subject(), "audit.erase", &*whose);
        let deed = Deed { actor, action, target, detail: Some(ask.reason.clone()) };
        shared.audit.demand(deed, shared.control.now())?;
        Ok(Erased { keys: shared.control.erase(&ask).map_err(told)? })
    });
    Ok(Json(erased.await?))
}

/// Wraps the keys of what is sealed anew, with the current key, so that former ones can be
/// destroyed. Works for some seconds; ask again with `next`, until there is none.
#[utoipa::path(post, path = "/api/v1/audit/rewrap", tag = "audit", request_body = RewrapRequest,
    responses((status = 200, body = Rewrapped), (status = 503, body = ErrorBody)))]
pub(crate) async fn rewrap(
    State(shared): State<Arc<Shared>>,
    Extension(caller): Extension<Caller>,
    Body(ask): Body<RewrapRequest>,
) -> Result<Json<Rewrapped>, ApiError> {
    let turn = turn(&shared)?;
    let done = blocking(move || {
        let _turn = turn;
        let detail = ask.after.as_ref().map(|after| format!("from behind {after} on"));
        let (actor, action, target) = (caller.subject(), "audit.rewrap", "keys");
        let deed = Deed { actor, action, target, detail };
        shared.audit.demand(deed, shared.control.now())?;
        shared.control.rewrap(ask.after.as_deref()).map_err(told)
    });
    Ok(Json(done.await?))
}

/// Builds the index again, from the archive and the journal.
#[utoipa::path(post, path = "/api/v1/audit/reindex", tag = "audit",
    responses((status = 200, body = Value), (status = 500, body = ErrorBody)))]
pub(crate) async fn reindex(
    State(shared): State<Arc<Shared>>,
    Extension(caller): Extension<Caller>,
) -> Result<Json<Value>, ApiError> {
    let turn = turn(&shared)?;
    let sessions = blocking(move || {
        let _turn = turn;
        let (actor, action, target) = (caller.subject(), "audit.reindex", "index");
        let deed = Deed { actor, action, target, detail: None };
        shared.audit.demand(deed, shared.control.now())?;
        shared.store.index.reindex().map_err(ApiError::internal)?;
        shared.store.index.count().map_err(ApiError::internal)
    });
    Ok(Json(serde_json::json!({ "sessions": sessions.await? })))
}

/// A turn of those that may look into the recordings at once. It is held until the looking has
/// ended, also when nobody waits for the answer any more.
pub(super) fn turn(shared: &Shared) -> Result<OwnedSemaphorePermit, ApiError> {
    Arc::clone(&shared.questions).try_acquire_owned().map_err(|_| {
        let message = format!("{AUDIT_QUESTIONS_MAX} questions are being answered already");
        ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "busy", message).help("ask again later")
    })
}

pub(super) fn told(error: AuditError) -> ApiError {
    match error {
        AuditError::Unavailable(why) => {
            ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", why)
        }
        AuditError::Nothing(why) => ApiError::not_found(why),
        AuditError::Held(why) => ApiError::new(StatusCode::CONFLICT, "on_hold", why)
            .help("narrows audit hold HOLD --release ends a hold"),
    }
}

/// Asks, once it is recorded that it is asked.
async fn ask(
    shared: Arc<Shared>,
    caller: Caller,
    question: AuditQuestion,
) -> Result<Json<Value>, ApiError> {
    let turn = turn(&shared)?;
    let answer = blocking(move || {
        let _turn = turn;
        let (action, target, span) = match &question {
            AuditQuestion::Who { table, span } => ("audit.who", table.clone(), span),
            AuditQuestion::Fields { session, principal, span } => {
                let of = session.as_ref().or(principal.as_ref());
                ("audit.fields", of.cloned().unwrap_or_default(), span)
            }
            AuditQuestion::Pii { span } => ("audit.pii", "recordings".to_owned(), span),
            // The text may be the very value that nobody should see.
            AuditQuestion::Search { span, .. } => ("audit.search", "recordings".to_owned(), span),
        };
        let detail = format!("{} to {}", format_time(span.from), format_time(span.to));
        let deed = Deed { actor: caller.subject(), action, target: &target, detail: Some(detail) };
        shared.audit.demand(deed, shared.control.now())?;
        shared.control.audit(&question).map_err(told)
    });
    Ok(Json(answer.await?))
}

fn span(from: Option<&str>, to: Option<&str>, now: Timestamp) -> Result<Span, ApiError> {
    let time = |name: &str, text: &str| {
        parse_time(text).ok_or_else(|| {
            ApiError::invalid(format!("{name}: {text:?} is not a time"))
                .help("write it like 2026-11-23T07:00:00Z")
        })
    };
    // What happens in this very moment belongs to it.
    let to = to.map_or(Ok(now.plus(Duration::from_secs(1))), |text| time("to", text))?;
    let day = u64::try_from(SPAN_DEFAULT.as_nanos()).unwrap_or(u64::MAX);
    let before = Timestamp(to.0.saturating_sub(day));
    let from = from.map_or(Ok(before), |text| time("from", text))?;
    if from >= to {
        let (from, to) = (format_time(from), format_time(to));
        return Err(ApiError::invalid(format!("from {from} is not before to {to}")));
    }
    Ok(Span { from, to })
}
