//! Approvals: what waits, and answering it.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::{Extension, Json};
use model::Timestamp;
use model::limit::ANSWERS_WAITED_FOR_MAX;
use serde::Deserialize;
use store::approvals::Verdict;
use store::{AnswerError, Approval, ApprovalId, Revocation, RevokeError, Status};
use tokio::time::Instant;
use utoipa::IntoParams;

use super::blocking;
use crate::access::{ApprovalAnswer, RequestState, RevokeRequest};
use crate::audit::Deed;
use crate::auth::Caller;
use crate::dto::{ApprovalView, ApproveRequest, DenyRequest};
use crate::error::{ApiError, ErrorBody};
use crate::extract::{Ask, Body};
use crate::server::Shared;
use crate::words::{format_time, parse_duration};

/// Requests looked through for a list of those that no longer wait.
const RECENT_MAX: usize = 1_000;
/// Longest time that a caller waits for an answer; the server ends a request somewhat later.
const WAIT_MAX: Duration = Duration::from_secs(50);
/// Longest time that one yes may cover.
const GRANT_MAX: Duration = Duration::from_secs(30 * 24 * 3600);

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(crate) struct ListQuery {
    /// `pending` (default), `approved`, `denied`, `expired`, `withdrawn`, `all`.
    status: Option<String>,
}

/// Lists approval requests: all for the admin token, those they may answer for a person.
#[utoipa::path(get, path = "/api/v1/approvals", tag = "approvals", params(ListQuery),
    responses((status = 200, body = Vec<ApprovalView>), (status = 400, body = ErrorBody)))]
pub(crate) async fn list(
    State(shared): State<Arc<Shared>>,
    Extension(caller): Extension<Caller>,
    Ask(query): Ask<ListQuery>,
) -> Result<Json<Vec<ApprovalView>>, ApiError> {
    let status = query.status.unwrap_or_else(|| "pending".to_owned());
    let known = ["pending", "approved", "denied", "expired", "withdrawn", "all"];
    if !known.contains(&&*status) {
        return Err(ApiError::invalid(format!("status: {status:?} is not a status"))
            .help(format!("write one of: {}", known.join(", "))));
    }
    let list = blocking(move || {
        let approvals = &shared.store.approvals;
        // What is over is no longer pending, even before the next sweep.
        approvals.expire(shared.control.now()).map_err(ApiError::state)?;
        let mut found = match &*status {
            "pending" => approvals.pending(),
            _ => approvals.recent(RECENT_MAX).map_err(ApiError::state)?,
        };
        found.retain(|one| caller.sees(one) && (status == "all" || one.status.as_str() == status));
        Ok(found.iter().map(ApprovalView::from).collect())
    });
    Ok(Json(list.await?))
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(crate) struct WaitQuery {
    /// Answer only when it no longer waits, or after this long: `30s`, 50 s at most.
    wait: Option<String>,
}

/// One approval request: whole for those who may answer it, its state for whoever asked.
#[utoipa::path(get, path = "/api/v1/approvals/{id}", tag = "approvals",
    params(("id" = String, Path, description = "The request"), WaitQuery),
    responses((status = 200, body = ApprovalAnswer), (status = 400, body = ErrorBody),
        (status = 404, body = ErrorBody), (status = 429, body = ErrorBody)))]
pub(crate) async fn show(
    State(shared): State<Arc<Shared>>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    Ask(query): Ask<WaitQuery>,
) -> Result<Json<ApprovalAnswer>, ApiError> {
    let wait = match &query.wait {
        None => Duration::ZERO,
        Some(text) => parse_duration(text).filter(|wait| *wait <= WAIT_MAX).ok_or_else(|| {
            ApiError::invalid(format!("wait: {text:?} is not a length of time up to 50s"))
                .help("ask again when it is over")
        })?,
    };
    let _turn = match wait.is_zero() {
        true => None,
        false => Some(shared.waits.try_acquire().map_err(|_| {
            let message = format!("{ANSWERS_WAITED_FOR_MAX} callers wait for an answer already");
            ApiError::new(StatusCode::TOO_MANY_REQUESTS, "too_many_waiting", message)
                .help("ask again in a few seconds, or without wait")
        })?),
    };
    let end = Instant::now() + wait;
    let mut changes = shared.changes.subscribe();
    loop {
        let (parts, id) = ((Arc::clone(&shared), caller.clone()), id.clone());
        let (answer, expires_in) = blocking(move || state(&parts.0, &parts.1, &id)).await?;
        let now = Instant::now();
        let Some(expires_in) = expires_in.filter(|_| now < end) else { return Ok(Json(answer)) };
        let next = end.min(now + expires_in);
        // Ends with a change of any request, or the time: either way it is looked at again.
        let _ = tokio::time::timeout_at(next, changes.changed()).await;
    }
}

/// A request as the caller may know it, and while it waits how long it can still be answered.
fn state(
    shared: &Shared,
    caller: &Caller,
    id: &str,
) -> Result<(ApprovalAnswer, Option<Duration>), ApiError> {
    let now = shared.control.now();
    if let Some(holder) = caller.principal() {
        // The token may have been revoked while its holder waited.
        shared.proofs.recheck(holder, now).map_err(|_| {
            ApiError::new(StatusCode::UNAUTHORIZED, "unknown_token", "the token is not valid here")
        })?;
    }
    let approvals = &shared.store.approvals;
    approvals.expire(now).map_err(ApiError::state)?;
    let found = approvals.approval(&ApprovalId(id.into())).map_err(ApiError::state)?;
    let found = found.filter(|approval| caller.sees(approval) || is_own(caller, approval));
    let approval = found.ok_or_else(|| unknown(id))?;
    let waits = (approval.status == Status::Pending).then(|| approval.expires_at.since(now));
    let answer = match caller.sees(&approval) {
        true => ApprovalAnswer::Whole(Box::new(ApprovalView::from(&approval))),
        false => ApprovalAnswer::State(RequestState::of(&approval, &approvals.access(now))),
    };
    Ok((answer, waits))
}

/// Whether the caller is the one who asked: the same actor for the same party.
fn is_own(caller: &Caller, approval: &Approval) -> bool {
    let asked = &approval.principal;
    caller.principal().is_some_and(|caller| {
        caller.subject == asked.subject
            && caller.kind == asked.kind
            && caller.issuer == asked.issuer
            && caller.on_behalf_of == asked.on_behalf_of
    })
}

/// Says yes. The answer shows where the request stands: still pending while more people are needed.
#[utoipa::path(post, path = "/api/v1/approvals/{id}/approve", tag = "approvals",
    params(("id" = String, Path, description = "The request")), request_body = ApproveRequest,
    responses((status = 200, body = ApprovalView), (status = 403, body = ErrorBody),
        (status = 404, body = ErrorBody), (status = 409, body = ErrorBody)))]
pub(crate) async fn approve(
    State(shared): State<Arc<Shared>>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    Body(ask): Body<ApproveRequest>,
) -> Result<Json<ApprovalView>, ApiError> {
    let yes = Yes::new(ask.duration.as_deref(), ask.session, ask.reason)?;
    let view = blocking(move || Ok(ApprovalView::from(&say_yes(&shared, &caller, &id, yes, "")?)));
    Ok(Json(view.await?))
}

/// Says no; the client is told the reason.
#[utoipa::path(post, path = "/api/v1/approvals/{id}/deny", tag = "approvals",
    params(("id" = String, Path, description = "The request")), request_body = DenyRequest,
    responses((status = 200, body = ApprovalView), (status = 403, body = ErrorBody),
        (status = 404, body = ErrorBody), (status = 409, body = ErrorBody)))]
pub(crate) async fn deny(
    State(shared): State<Arc<Shared>>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    Body(ask): Body<DenyRequest>,
) -> Result<Json<ApprovalView>, ApiError> {
    if ask.reason.trim().is_empty() {
        return Err(ApiError::invalid("a no needs a reason")
            .help("the client is told it, so that it knows what to do instead"));
    }
    let view =
        blocking(move || Ok(ApprovalView::from(&say_no(&shared, &caller, &id, ask.reason, "")?)));
    Ok(Json(view.await?))
}

/// A yes, and words for what it covers.
pub(crate) struct Yes {
    verdict: Verdict,
    scope: String,
}

impl Yes {
    /// One for a time (`30m`), for the session, or as the rule says.
    pub fn new(
        duration: Option<&str>,
        session: bool,
        reason: Option<String>,
    ) -> Result<Self, ApiError> {
        let time = duration.map(length).transpose()?;
        if time.is_some() && session {
            return Err(ApiError::invalid("a yes is either for a time or for the session")
                .help("leave out for or session"));
        }
        let scope = match (duration, session) {
            (Some(text), _) => format!("for {text}"),
            (None, true) => "for the session".to_owned(),
            (None, false) => "as the rule says".to_owned(),
        };
        Ok(Self { verdict: Verdict::Approve { duration: time, session, reason }, scope })
    }

    /// One that covers what the rule says.
    pub fn plain() -> Self {
        let verdict = Verdict::Approve { duration: None, session: false, reason: None };
        Self { verdict, scope: "as the rule says".to_owned() }
    }
}

/// Says yes in the name of `caller`; where the request stands then. `how`, when it is not empty,
/// tells the record by which way it came.
pub(crate) fn say_yes(
    shared: &Shared,
    caller: &Caller,
    id: &str,
    yes: Yes,
    how: &str,
) -> Result<Approval, ApiError> {
    let Yes { verdict, scope } = yes;
    let approval = find(shared, caller, id)?;
    let asked = asked_by(&approval);
    let detail = Some(format!("{scope}; {asked} on {}{}", approval.resource, by_way(how)));
    let deed = Deed { actor: caller.subject(), action: "approval.approve", target: id, detail };
    let now = shared.control.now();
    if approval.access.is_some() && matches!(verdict, Verdict::Approve { session: true, .. }) {
        return Err(ApiError::invalid("access is given for a time, not for a session")
            .help("leave session out; for: 30m gives less than was asked for"));
    }
    shared.audit.demand(deed, now)?;
    let answered = shared.store.approvals.answer(&approval.id, &caller.approver(), verdict, now);
    if let Err(error) = answered {
        let detail = Some(format!("did not count: {error}"));
        let action = "approval.approve";
        let deed = Deed { actor: caller.subject(), action, target: id, detail };
        shared.audit.note(deed, now);
        return Err(self::error(error));
    }
    note_access(shared, &approval, now);
    find(shared, caller, id)
}

/// Says no in the name of `caller`, as [`say_yes`].
pub(crate) fn say_no(
    shared: &Shared,
    caller: &Caller,
    id: &str,
    reason: String,
    how: &str,
) -> Result<Approval, ApiError> {
    let approval = find(shared, caller, id)?;
    let now = shared.control.now();
    let detail = Some(format!("{reason}; {}{}", asked_by(&approval), by_way(how)));
    let verdict = Verdict::Deny { reason: Some(reason) };
    let approver = caller.approver();
    shared.store.approvals.answer(&approval.id, &approver, verdict, now).map_err(error)?;
    let deed = Deed { actor: caller.subject(), action: "approval.deny", target: id, detail };
    shared.audit.note(deed, now);
    find(shared, caller, id)
}

fn by_way(how: &str) -> String {
    if how.is_empty() { String::new() } else { format!("; {how}") }
}

/// Ends what a yes still covers: repeats of an operation, or access for a time. Sessions that have
/// no other access end at once.
#[utoipa::path(post, path = "/api/v1/approvals/{id}/revoke", tag = "approvals",
    params(("id" = String, Path, description = "The request")), request_body = RevokeRequest,
    responses((status = 200, body = ApprovalView), (status = 404, body = ErrorBody),
        (status = 409, body = ErrorBody)))]
pub(crate) async fn revoke(
    State(shared): State<Arc<Shared>>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    Body(ask): Body<RevokeRequest>,
) -> Result<Json<ApprovalView>, ApiError> {
    let view = blocking(move || {
        let approval = find(&shared, &caller, &id)?;
        if !caller.revokes(&approval) {
            let message = format!("{} may see this request and not end it", caller.subject());
            return Err(ApiError::forbidden("not_an_approver", message)
                .help("it takes whoever may answer it, or the role approver"));
        }
        let now = shared.control.now();
        let reason = ask.reason.as_deref().map(str::trim).filter(|reason| !reason.is_empty());
        let revocation =
            Revocation { by: caller.subject().into(), at: now, reason: reason.map(Arc::from) };
        let revoked = shared.store.approvals.revoke(&approval.id, revocation, now);
        let revoked = revoked.map_err(|error| match error {
            RevokeError::Unknown(_) => unknown(&id),
            RevokeError::Nothing(_) => {
                ApiError::new(StatusCode::CONFLICT, "nothing_granted", error.to_string())
            }
            RevokeError::State(error) => ApiError::state(error),
        })?;
        let action = match approval.access {
            Some(_) => "access.revoke",
            None => "approval.revoke",
        };
        let why = reason.map(|reason| format!("{reason}; ")).unwrap_or_default();
        let detail = Some(format!("{why}{} on {}", asked_by(&approval), approval.resource));
        shared.audit.note(Deed { actor: caller.subject(), action, target: &id, detail }, now);
        Ok(ApprovalView::from(&revoked))
    });
    Ok(Json(view.await?))
}

/// Records access that came into force with the last yes. That somebody said yes is recorded
/// before it counts; this says until when it gives what.
fn note_access(shared: &Shared, approval: &Approval, now: Timestamp) {
    let access = shared.store.approvals.access(now);
    let Some(given) = access.iter().find(|given| given.approval == approval.id) else { return };
    let detail = Some(format!(
        "{} may use {} until {}; approved by {}",
        given.principal.subject,
        given.resource,
        format_time(given.until),
        given.approvers.join(", ")
    ));
    let actor = given.approvers.last().map_or("", AsRef::as_ref);
    shared.audit.note(Deed { actor, action: "access.grant", target: &approval.id.0, detail }, now);
}

fn asked_by(approval: &Approval) -> String {
    format!("asked by {}", approval.principal.subject)
}

/// A request that the caller may see; the others do not exist for them.
pub(crate) fn find(shared: &Shared, caller: &Caller, id: &str) -> Result<Approval, ApiError> {
    let found = shared.store.approvals.approval(&ApprovalId(id.into()));
    let found = found.map_err(ApiError::state)?;
    found.filter(|approval| caller.sees(approval)).ok_or_else(|| unknown(id))
}

fn unknown(id: &str) -> ApiError {
    ApiError::not_found(format!("there is no approval request {id}"))
        .help("narrows approvals lists them; their names begin with ap_")
}

fn length(text: &str) -> Result<Duration, ApiError> {
    parse_duration(text).filter(|length| !length.is_zero() && *length <= GRANT_MAX).ok_or_else(
        || {
            ApiError::invalid(format!("for: {text:?} is not a length of time up to 30 days"))
                .help("write 30m, 2h, 1d")
        },
    )
}

fn error(error: AnswerError) -> ApiError {
    let message = error.to_string();
    match error {
        AnswerError::Unknown(_) => ApiError::not_found(message),
        AnswerError::AlreadyAnswered(_) => {
            ApiError::new(StatusCode::CONFLICT, "already_answered", message)
        }
        AnswerError::Expired => ApiError::new(StatusCode::CONFLICT, "expired", message),
        AnswerError::OwnRequest { .. } => ApiError::forbidden("own_request", message),
        AnswerError::NotAnApprover { .. } => ApiError::forbidden("not_an_approver", message),
        AnswerError::Full(_) => ApiError::new(StatusCode::CONFLICT, "full", message),
        AnswerError::State(error) => ApiError::state(error),
        AnswerError::Random(_) => ApiError::internal(message),
    }
}
