//! Clicks on the buttons of messages in Slack: answers to approvals.

use std::sync::Arc;

use axum::Extension;
use axum::body::Bytes;
use axum::extract::{ConnectInfo, State};
use axum::http::{HeaderMap, StatusCode};

use super::{approvals, blocking};
use crate::auth::Caller;
use crate::bound::Peer;
use crate::clicks::{SlackClick, SlackOutcome, SlackRefused, SlackSigned};
use crate::error::{ApiError, ErrorBody};
use crate::server::Shared;

/// Answers an approval by a click in Slack. Without a token: the request is signed by Slack.
#[utoipa::path(post, path = "/slack/actions", tag = "approvals", security(()),
    request_body(content = String, content_type = "application/x-www-form-urlencoded"),
    responses((status = 200, description = "Taken"), (status = 401, body = ErrorBody),
        (status = 403, body = ErrorBody), (status = 404, body = ErrorBody),
        (status = 409, body = ErrorBody)))]
pub(crate) async fn actions(
    State(shared): State<Arc<Shared>>,
    peer: Option<Extension<ConnectInfo<Peer>>>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<StatusCode, ApiError> {
    // As with tokens: this address has no TLS, and a click names where Slack takes replies.
    let peer = peer.map(|Extension(ConnectInfo(Peer(peer)))| peer.ip().to_canonical());
    if !peer.is_some_and(|peer| peer.is_loopback()) {
        return Err(ApiError::forbidden(
            "insecure",
            "clicks are accepted from this machine only, because this address has no TLS",
        )
        .help("put a TLS proxy on the gateway's machine in front of /slack/actions"));
    }
    let word = |name: &str| {
        headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
    };
    let (timestamp, signature) = (word("x-slack-request-timestamp"), word("x-slack-signature"));
    let answered = blocking(move || {
        let signed = SlackSigned { timestamp: &timestamp, signature: &signature, body: &body };
        match shared.slack.take(&signed, shared.control.now()).map_err(refused)? {
            Some(click) => Ok(Some(answer(&shared, click))),
            None => Ok(None),
        }
    });
    let Some((answered, reply)) = answered.await? else { return Ok(StatusCode::OK) };
    // Slack waits three seconds for the answer to this request, and takes replies for longer.
    drop(tokio::task::spawn_blocking(reply));
    answered.map(|()| StatusCode::OK)
}

/// Answers as the person would with a token of their own, and what is to be said about it.
fn answer(
    shared: &Shared,
    click: SlackClick,
) -> (Result<(), ApiError>, impl FnOnce() + Send + use<>) {
    let SlackClick { user, person, approval: id, yes, reply } = click;
    let how = format!("in Slack, as {user}");
    let answered = match person {
        None => {
            let message = format!("approvals.notify does not say who {user} is");
            Err(ApiError::forbidden("unknown_user", message)
                .help("add them to users of that place"))
        }
        Some(person) => {
            let role = shared.people.role(&person.groups);
            let caller = Caller::Person(person, role);
            match yes {
                true => approvals::say_yes(shared, &caller, &id, approvals::Yes::plain(), &how),
                false => {
                    let reason = format!("denied in Slack by {}", caller.subject());
                    approvals::say_no(shared, &caller, &id, reason, &how)
                }
            }
        }
    };
    let (answered, outcome) = match answered {
        Ok(approval) => (Ok(()), SlackOutcome::Counts(Box::new(approval))),
        Err(error) => {
            let outcome = SlackOutcome::Refused(error.message().to_owned());
            tracing::warn!(user, approval = id, why = error.message(), "a click does not count");
            (Err(error), outcome)
        }
    };
    (answered, move || reply(&outcome))
}

fn refused(refused: SlackRefused) -> ApiError {
    match refused {
        SlackRefused::Unwanted(why) => ApiError::not_found(why),
        SlackRefused::Unproved(why) => ApiError::new(StatusCode::UNAUTHORIZED, "unproved", why),
        SlackRefused::Malformed(why) => ApiError::invalid(why),
        SlackRefused::Busy(why) => ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "busy", why),
    }
}
