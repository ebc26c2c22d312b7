//! Sessions: list, look at, follow, end.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::{Extension, Json};
use base64::Engine as _;
use model::{Event, SessionId};
use serde::Deserialize;
use store::{Bookmark, SessionFilter};
use utoipa::IntoParams;

use super::blocking;
use crate::audit::Deed;
use crate::auth::Caller;
use crate::dto::{EventsPage, KillRequest, SessionView};
use crate::error::{ApiError, ErrorBody};
use crate::extract::{Ask, Body};
use crate::others::{self, Elsewhere, Wanted};
use crate::server::Shared;
use crate::words::{format_time, parse_time};

/// Most sessions listed at once.
const SESSIONS_MAX: usize = 10_000;
/// Most events given at once.
const EVENTS_MAX: usize = 5_000;
/// Payload bytes past which a page of events ends.
const PAYLOAD_BYTES: usize = 8 * 1024 * 1024;
/// Places that cannot be read, told of in one page.
const LACKS_MAX: usize = 100;

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(crate) struct ListQuery {
    /// Only sessions with an event at or after this time (RFC 3339).
    since: Option<String>,
    /// Only those of this subject.
    principal: Option<String>,
    /// Only those that named this table: `schema.table` or `table`.
    table: Option<String>,
    /// Only those of this run: a token (`tk_…`, `jwt_…`), the name of a run, or `tk_…/NAME`.
    run: Option<String>,
    /// Only those that are alive, on every gateway that shares the state.
    #[serde(default)]
    live: bool,
    /// At most so many, the newest. Default: 100.
    limit: Option<usize>,
}

/// Lists sessions, newest first.
#[utoipa::path(get, path = "/api/v1/sessions", tag = "sessions", params(ListQuery),
    responses((status = 200, body = Vec<SessionView>), (status = 400, body = ErrorBody)))]
pub(crate) async fn list(
    State(shared): State<Arc<Shared>>,
    Ask(query): Ask<ListQuery>,
) -> Result<(HeaderMap, Json<Vec<SessionView>>), ApiError> {
    let since = match &query.since {
        None => None,
        Some(text) => Some(parse_time(text).ok_or_else(|| {
            ApiError::invalid(format!("since: {text:?} is not a time"))
                .help("write it like 2026-11-23T07:00:00Z")
        })?),
    };
    let limit = query.limit.unwrap_or(100).min(SESSIONS_MAX);
    let wanted = Wanted {
        since: query.since,
        principal: query.principal.clone(),
        table: query.table.clone(),
        run: query.run.clone(),
        limit,
    };
    let filter = SessionFilter {
        since,
        principal: query.principal,
        table: query.table,
        run: query.run,
        live: query.live,
        limit: Some(limit),
    };
    let sessions = blocking(move || {
        let found = shared.store.index.sessions(&filter).map_err(ApiError::internal)?;
        let view = |session| SessionView::new(session, shared.is_live(&session.id));
        let mut views: Vec<SessionView> = found.iter().map(view).collect();
        let mut headers = HeaderMap::new();
        if filter.live {
            let (others, note) = others::sessions(&shared, &wanted);
            views.extend(others);
            views.sort_by(|a, b| (&b.started_at, &b.id).cmp(&(&a.started_at, &a.id)));
            views.truncate(limit);
            if let Some(note) = note.and_then(|note| HeaderValue::from_str(&note).ok()) {
                headers.insert("narrows-note", note);
            }
        }
        Ok((headers, Json(views)))
    });
    sessions.await
}

/// One session, with the tables it named and the sensitive values found.
#[utoipa::path(get, path = "/api/v1/sessions/{id}", tag = "sessions",
    params(("id" = String, Path, description = "The session")),
    responses((status = 200, body = SessionView), (status = 404, body = ErrorBody)))]
pub(crate) async fn show(
    State(shared): State<Arc<Shared>>,
    Path(id): Path<String>,
) -> Result<Json<SessionView>, ApiError> {
    let view = blocking(move || {
        let id = SessionId(id.into());
        let found = shared.store.index.session(&id).map_err(ApiError::internal)?;
        let found = found.ok_or_else(|| unknown(&id))?;
        Ok(SessionView::new(&found, shared.is_live(&id)))
    });
    Ok(Json(view.await?))
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(crate) struct EventsQuery {
    /// Only events behind the last of an answer: its `next`.
    after: Option<String>,
    /// At most so many. Default: 500.
    limit: Option<usize>,
    /// Add what the client got, in base64.
    #[serde(default)]
    payload: bool,
}

/// Events of a session, in the order of the journal; for following it, ask again with `after=` the
/// `next` of the answer.
#[utoipa::path(get, path = "/api/v1/sessions/{id}/events", tag = "sessions",
    params(("id" = String, Path, description = "The session"), EventsQuery),
    responses((status = 200, body = EventsPage), (status = 404, body = ErrorBody)))]
pub(crate) async fn events(
    State(shared): State<Arc<Shared>>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    Ask(query): Ask<EventsQuery>,
) -> Result<Json<EventsPage>, ApiError> {
    let limit = query.limit.unwrap_or(500).clamp(1, EVENTS_MAX);
    let after = match query.after.as_deref() {
        None => Bookmark::default(),
        Some(text) => Bookmark::parse(text).ok_or_else(|| {
            ApiError::invalid(format!("after: {text:?} is not where an answer ended"))
                .help("give the next of the answer before; without it, the first events come")
        })?,
    };
    let page = blocking(move || {
        let id = SessionId(id.into());
        // Asked before reading: whatever it did until then is in the page or in the next one.
        let live = shared.is_live(&id);
        let index = &shared.store.index;
        if index.session(&id).map_err(ApiError::internal)?.is_none() {
            return Err(unknown(&id));
        }
        let mut found = index.events_after(&id, after).map_err(ApiError::internal)?;
        let (events, lacks) = (Vec::new(), Vec::new());
        let mut page = EventsPage { events, lacks, next: query.after, more: false, live };
        let mut bytes = 0_usize;
        while page.events.len() < limit && bytes <= PAYLOAD_BYTES {
            let Some(event) = found.next() else { break };
            let event = match event {
                Ok(event) => event,
                // What is whole behind it is given, and that something is lacking is said.
                Err(error) => {
                    if page.lacks.len() < LACKS_MAX {
                        page.lacks.push(error.to_string());
                    }
                    continue;
                }
            };
            page.events.push(view(&event, query.payload)?);
            bytes = bytes.saturating_add(if query.payload { event.payload.len() } else { 0 });
        }
        if page.events.is_empty() {
            return Ok(page);
        }
        page.next = Some(found.bookmark().to_string());
        // A place that cannot be read is there, too.
        page.more = found.next().is_some();
        // Who reads a recording is itself an event, and nobody reads it unrecorded.
        let what = if query.payload { "events with payloads" } else { "events" };
        let detail = Some(format!("{} {what}", page.events.len()));
        let (actor, action, target) = (caller.subject(), "session.read", &*id.0);
        shared.audit.demand(Deed { actor, action, target, detail }, shared.control.now())?;
        Ok(page)
    });
    Ok(Json(page.await?))
}

/// Ends a live session, on whichever gateway that shares the state.
#[utoipa::path(post, path = "/api/v1/sessions/{id}/kill", tag = "sessions",
    params(("id" = String, Path, description = "The session")), request_body = KillRequest,
    responses((status = 200, body = SessionView), (status = 404, body = ErrorBody),
        (status = 409, body = ErrorBody)))]
pub(crate) async fn kill(
    State(shared): State<Arc<Shared>>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    Body(ask): Body<KillRequest>,
) -> Result<Json<SessionView>, ApiError> {
    let view = blocking(move || {
        let id = SessionId(id.into());
        if !shared.store.live.kill(&id, "killed") {
            return kill_elsewhere(&shared, &caller, &id, ask.reason.as_deref());
        }
        let found = shared.store.index.session(&id).map_err(ApiError::internal)?;
        let found = found.ok_or_else(|| unknown(&id))?;
        shared.audit.note(
            Deed {
                actor: caller.subject(),
                action: "session.kill",
                target: &id.0,
                detail: ask.reason,
            },
            shared.control.now(),
        );
        Ok(SessionView::new(&found, shared.is_live(&id)))
    });
    Ok(Json(view.await?))
}

fn kill_elsewhere(
    shared: &Shared,
    caller: &Caller,
    id: &SessionId,
    reason: Option<&str>,
) -> Result<SessionView, ApiError> {
    let found = shared.store.index.session(id).map_err(ApiError::internal)?;
    if let Some(at) = found.as_ref().and_then(|found| found.ended_at) {
        let message = format!("session {} is not live: it ended at {}", id.0, format_time(at));
        return Err(ApiError::new(StatusCode::CONFLICT, "not_live", message));
    }
    let message = match others::kill(shared, id, caller.subject(), reason)? {
        Some(Elsewhere::Killed(view)) => {
            let reason = reason.map(|reason| format!("; {reason}")).unwrap_or_default();
            let detail = Some(format!("carried by gateway {}{reason}", view.gateway));
            let (actor, action) = (caller.subject(), "session.kill");
            let deed = Deed { actor, action, target: &id.0, detail };
            shared.audit.note(deed, shared.control.now());
            return Ok(*view);
        }
        Some(Elsewhere::Nowhere(asked, silent)) if silent.is_empty() => match found {
            None if asked.is_empty() => return Err(unknown(id)),
            _ => format!("session {} is live on no gateway", id.0),
        },
        Some(Elsewhere::Nowhere(_, silent)) => format!(
            "session {} is not live here, and gateway {} did not answer",
            id.0,
            silent.join(", ")
        ),
        None => match found {
            None => return Err(unknown(id)),
            Some(found) => format!(
                "session {} is not live here: it is carried by gateway {}",
                id.0, found.gateway
            ),
        },
    };
    Err(ApiError::new(StatusCode::CONFLICT, "not_live", message))
}

/// An event as JSON, its time in words.
fn view(event: &Event, payload: bool) -> Result<serde_json::Value, ApiError> {
    let mut value = serde_json::to_value(event).map_err(ApiError::internal)?;
    if let Some(fields) = value.as_object_mut() {
        fields.insert("at".to_owned(), format_time(event.at).into());
        if payload && !event.payload.is_empty() {
            let text = base64::engine::general_purpose::STANDARD.encode(&event.payload);
            fields.insert("payload".to_owned(), text.into());
        }
    }
    Ok(value)
}

fn unknown(id: &SessionId) -> ApiError {
    ApiError::not_found(format!("there is no session {}", id.0))
        .help("narrows sessions lists them; their names begin with s_")
}
