//! Access: asking for it for a time, and who has it.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::{Extension, Json};
use model::{Principal, PrincipalKind, Resource, Timestamp, TokenId};
use policy::{AccessLine, Admission};
use serde::Deserialize;
use store::{AccessGrant, ApprovalError, Login, NewAccess};
use utoipa::IntoParams;

use super::blocking;
use crate::access::{AccessAnswer, AccessEntry, AccessRequest, Holder, RequestState};
use crate::audit::Deed;
use crate::auth::Caller;
use crate::error::{ApiError, ErrorBody};
use crate::extract::{Ask, Body};
use crate::server::Shared;
use crate::words::{format_time, parse_duration};

/// Longest reason of a request, characters.
const REASON_CHARS_MAX: usize = 500;

/// Asks for access for a time, for the holder of the token. A person has to say yes.
#[utoipa::path(post, path = "/api/v1/access/requests", tag = "access",
    request_body = AccessRequest,
    responses((status = 201, body = RequestState), (status = 400, body = ErrorBody),
        (status = 403, body = ErrorBody), (status = 409, body = ErrorBody)))]
pub(crate) async fn request(
    State(shared): State<Arc<Shared>>,
    Extension(caller): Extension<Caller>,
    Body(ask): Body<AccessRequest>,
) -> Result<(StatusCode, Json<RequestState>), ApiError> {
    let Some(principal) = caller.principal().cloned() else {
        return Err(ApiError::invalid("the admin token stands for nobody who could be let in")
            .help("ask with the token of whoever needs access: NARROWS_TOKEN, or --token"));
    };
    let made = blocking(move || make(&shared, &principal, &ask));
    Ok((StatusCode::CREATED, Json(made.await?)))
}

fn make(
    shared: &Shared,
    principal: &Principal,
    ask: &AccessRequest,
) -> Result<RequestState, ApiError> {
    if let Some(party) = &principal.on_behalf_of {
        // R12: access needs both parties granted, and a yes is to one of them.
        let message = format!("{} asks on behalf of {party}", principal.subject);
        return Err(ApiError::invalid(message)
            .help("each party asks with a token of its own; access needs both"));
    }
    let length = parse_duration(&ask.duration).filter(|length| !length.is_zero());
    let length = length.ok_or_else(|| {
        ApiError::invalid(format!("for: {:?} is not a length of time", ask.duration))
            .help("write 30m, 2h, 1d")
    })?;
    let reason = ask.reason.trim();
    if reason.is_empty() || reason.chars().count() > REASON_CHARS_MAX {
        return Err(ApiError::invalid(format!(
            "a request needs a reason of 1 to {REASON_CHARS_MAX} \
                                              characters"
        ))
        .help("whoever answers reads it"));
    }
    let reason: String = reason.chars().filter(|c| !c.is_control()).collect();
    // A resource that does not exist is refused in the same words, so that nobody learns which do.
    let Some((resource, plan)) = shared.control.request_plan(&ask.resource) else {
        let message = format!(
            "access to {:?} cannot be asked for: the configuration has no request for it",
            ask.resource
        );
        return Err(ApiError::forbidden("no_request", message).help(
            "whoever keeps the configuration can add request: { by: [GROUP] } to a resource",
        ));
    };
    if length > plan.max {
        let most = humantime(plan.max);
        return Err(ApiError::invalid(format!("for: at most {most} can be asked for"))
            .help(format!("ask for {most} or less")));
    }
    let now = shared.control.now();
    let policy = shared.control.policy();
    if policy.admission(principal, &resource, now) == (Admission::Open { until: None }) {
        let message = format!("{} may use {} already", principal.subject, resource.name);
        return Err(ApiError::new(StatusCode::CONFLICT, "has_access", message));
    }
    let detail = Some(format!("{} for {}: {reason}", resource.name, ask.duration));
    let actor = &principal.subject;
    shared.audit.demand(Deed { actor, action: "access.request", target: actor, detail }, now)?;
    let new = NewAccess {
        principal: principal.clone(),
        resource: resource.name,
        length,
        reason: reason.into(),
        rule: plan.rule,
        expires_at: now.plus(plan.expires),
    };
    let approval =
        shared.store.approvals.request_access(new, now).map_err(|error| match error {
            ApprovalError::Waits(id) => {
                let message = format!("{id} waits already and asks for the same, for another time");
                ApiError::new(StatusCode::CONFLICT, "waits_already", message)
                    .help(format!("narrows approvals wait {id}"))
            }
            ApprovalError::Full(message) => {
                ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "full", message)
            }
            ApprovalError::State(error) => ApiError::state(error),
            other => ApiError::internal(other),
        })?;
    Ok(RequestState::of(&approval, &shared.store.approvals.access(now)))
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(crate) struct WhoQuery {
    /// The resource.
    resource: String,
}

/// Who can reach a resource: by which lines of `access`, and what was given for a time.
#[utoipa::path(get, path = "/api/v1/access/who-can", tag = "access", params(WhoQuery),
    responses((status = 200, body = AccessAnswer), (status = 404, body = ErrorBody)))]
pub(crate) async fn who_can(
    State(shared): State<Arc<Shared>>,
    Ask(query): Ask<WhoQuery>,
) -> Result<Json<AccessAnswer>, ApiError> {
    let answer = blocking(move || {
        let places = shared.control.places();
        let Some(resource) = places.iter().find(|place| *place.name == *query.resource) else {
            return Err(ApiError::not_found(format!("there is no resource {:?}", query.resource))
                .help("narrows resources lists them"));
        };
        let now = shared.control.now();
        let policy = shared.control.policy();
        let held = held(&shared, now);
        let mut entries: Vec<AccessEntry> = policy
            .lines(resource)
            .map(|line| {
                let named = held.iter().filter(|one| line.names(&one.subject, &one.groups));
                AccessEntry {
                    holders: named.map(Held::view).collect(),
                    ..by_line(&line, resource, now)
                }
            })
            .collect();
        let given = shared.store.approvals.access(now);
        let given = given.iter().filter(|given| given.resource == resource.name);
        entries.extend(given.map(|given| by_grant(&shared, given)));
        Ok(AccessAnswer { entries, ..AccessAnswer::default() })
    });
    Ok(Json(answer.await?))
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(crate) struct WhatQuery {
    /// Who.
    subject: String,
    /// Their groups, separated by commas, besides those of their tokens.
    #[serde(default)]
    groups: String,
}

/// What a subject can reach: by which lines of `access`, and what was given for a time.
#[utoipa::path(get, path = "/api/v1/access/what-can", tag = "access", params(WhatQuery),
    responses((status = 200, body = AccessAnswer)))]
pub(crate) async fn what_can(
    State(shared): State<Arc<Shared>>,
    Ask(query): Ask<WhatQuery>,
) -> Result<Json<AccessAnswer>, ApiError> {
    let answer = blocking(move || {
        let now = shared.control.now();
        let policy = shared.control.policy();
        let subject: Arc<str> = query.subject.as_str().into();
        let mut groups: Vec<Arc<str>> =
            query.groups.split(',').filter(|name| !name.is_empty()).map(Arc::from).collect();
        for token in held(&shared, now).into_iter().filter(|token| token.subject == subject) {
            groups.extend(token.groups);
        }
        groups.sort();
        groups.dedup();
        let given = shared.store.approvals.access(now);
        let mut entries = Vec::new();
        for resource in shared.control.places() {
            let lines = policy.lines(&resource).filter(|line| line.names(&subject, &groups));
            entries.extend(lines.map(|line| by_line(&line, &resource, now)));
            let given = given.iter().filter(|given| {
                given.resource == resource.name && given.principal.subject == subject
            });
            entries.extend(given.map(|given| by_grant(&shared, given)));
        }
        let groups = groups.iter().map(ToString::to_string).collect();
        Ok(AccessAnswer { subject: Some(query.subject), groups, entries })
    });
    Ok(Json(answer.await?))
}

/// Access that was given for a time and is in force: all of it for the admin token, what they may
/// revoke for a person.
#[utoipa::path(get, path = "/api/v1/access", tag = "access",
    responses((status = 200, body = AccessAnswer)))]
pub(crate) async fn list(
    State(shared): State<Arc<Shared>>,
    Extension(caller): Extension<Caller>,
) -> Result<Json<AccessAnswer>, ApiError> {
    let answer = blocking(move || {
        let mut entries = Vec::new();
        for given in shared.store.approvals.access(shared.control.now()) {
            let approval = shared.store.approvals.approval(&given.approval);
            let approval = approval.map_err(ApiError::state)?;
            if approval.is_some_and(|approval| caller.sees(&approval)) {
                entries.push(by_grant(&shared, &given));
            }
        }
        Ok(AccessAnswer { entries, ..AccessAnswer::default() })
    });
    Ok(Json(answer.await?))
}

/// A token that is good now.
struct Held {
    subject: Arc<str>,
    kind: PrincipalKind,
    groups: Vec<Arc<str>>,
    token: TokenId,
    expires_at: Option<Timestamp>,
}

impl Held {
    fn view(&self) -> Holder {
        Holder {
            subject: self.subject.to_string(),
            kind: self.kind.as_str().to_owned(),
            groups: self.groups.iter().map(ToString::to_string).collect(),
            token: self.token.0.to_string(),
            expires_at: self.expires_at.map(format_time),
        }
    }
}

/// The tokens that are good now: those that were made here, and those of people who signed in.
fn held(shared: &Shared, now: Timestamp) -> Vec<Held> {
    let made = shared.store.tokens.list().into_iter().filter(|token| token.revoked_at.is_none());
    let made = made.map(|token| Held {
        subject: token.subject,
        kind: token.kind,
        groups: token.groups,
        token: token.id,
        expires_at: token.expires_at,
    });
    let logins = &shared.store.logins;
    let signed_in = logins.list().into_iter().filter(|login| logins.honours(login));
    let of = |login: Arc<Login>| {
        let tokens = logins.tokens(&login.id).into_iter();
        tokens.map(move |key| Held {
            subject: Arc::clone(&login.subject),
            kind: PrincipalKind::Person,
            groups: login.groups.clone(),
            token: key.id,
            expires_at: Some(login.ends_at),
        })
    };
    let mut held: Vec<_> = made.chain(signed_in.flat_map(of)).collect();
    held.retain(|token| token.expires_at.is_none_or(|end| now < end));
    held
}

fn by_line(line: &AccessLine<'_>, resource: &Resource, now: Timestamp) -> AccessEntry {
    let strings = |names: &[Arc<str>]| names.iter().map(ToString::to_string).collect();
    let (open, changes_at) = match line.admission(now) {
        Admission::Open { until } => (true, until),
        Admission::Closed { opens } => (false, Some(opens)),
        Admission::Never => (false, None),
    };
    AccessEntry {
        resource: resource.name.to_string(),
        groups: strings(line.groups()),
        subjects: strings(line.subjects()),
        hours: strings(line.hours()),
        timezone: line.timezone().map(str::to_owned),
        until: line.until().map(format_time),
        open,
        changes_at: changes_at.map(format_time),
        line: Some(line.at().to_string()),
        ..AccessEntry::default()
    }
}

fn by_grant(shared: &Shared, given: &AccessGrant) -> AccessEntry {
    let approval = shared.store.approvals.approval(&given.approval).ok().flatten();
    let reason = approval.and_then(|approval| approval.access).map(|ask| ask.reason.to_string());
    let until = Some(format_time(given.until));
    AccessEntry {
        resource: given.resource.to_string(),
        subjects: vec![given.principal.subject.to_string()],
        until: until.clone(),
        open: true,
        changes_at: until,
        approval: Some(given.approval.to_string()),
        approved_by: given.approvers.iter().map(ToString::to_string).collect(),
        reason,
        ..AccessEntry::default()
    }
}

/// A length of time in the largest unit of which it is a whole number.
fn humantime(length: std::time::Duration) -> String {
    let seconds = length.as_secs();
    let units = [(86_400, "d"), (3600, "h"), (60, "m"), (1, "s")];
    let fits = |(unit, _): &(u64, &str)| seconds > 0 && seconds.is_multiple_of(*unit);
    match units.into_iter().find(fits) {
        Some((unit, name)) => format!("{}{name}", seconds / unit),
        None => format!("{}ms", length.as_millis()),
    }
}
