//! The other gateways of the installation: what is asked of them, and what they are answered.

use std::sync::Arc;
use std::time::Duration;

use axum::http::StatusCode;
use model::SessionId;
use serde::{Deserialize, Serialize};
use store::SessionFilter;

use crate::audit::Deed;
use crate::dto::SessionView;
use crate::error::ApiError;
use crate::server::Shared;
use crate::words::parse_time;

/// How long another gateway may take to answer.
const WAIT: Duration = Duration::from_secs(3);
/// What one gateway lists for another.
const LISTED_MAX: usize = 2_000;
const KILL: &str = "kill";
const SESSIONS: &str = "sessions";
/// The answer of a gateway that does not carry the session.
const ABSENT: &str = "absent";

/// A session is to end.
#[derive(Deserialize, Serialize)]
struct Kill {
    session: String,
    actor: String,
    gateway: String,
    reason: Option<String>,
}

/// Which live sessions are wanted.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Wanted {
    pub since: Option<String>,
    pub principal: Option<String>,
    pub table: Option<String>,
    pub run: Option<String>,
    pub limit: usize,
}

/// Answers what other gateways ask, from now on.
pub(crate) fn attend(shared: &Arc<Shared>) {
    let Some(peers) = &shared.store.peers else { return };
    // Not kept alive by what it answers.
    let weak = Arc::downgrade(shared);
    peers.answer_by(Box::new(move |what, about| {
        let shared = weak.upgrade()?;
        match what {
            KILL => Some(kill_here(&shared, &serde_json::from_str(about).ok()?)),
            SESSIONS => list_here(&shared, serde_json::from_str(about).ok()?),
            _ => shared.control.attend(what, about),
        }
    }));
}

fn kill_here(shared: &Shared, kill: &Kill) -> String {
    let id = SessionId(kill.session.as_str().into());
    if !shared.store.live.kill(&id, "killed") {
        return ABSENT.to_owned();
    }
    let reason = kill.reason.as_deref().map(|reason| format!("; {reason}")).unwrap_or_default();
    let detail = Some(format!("asked at gateway {}{reason}", kill.gateway));
    let deed = Deed { actor: &kill.actor, action: "session.kill", target: &kill.session, detail };
    shared.audit.note(deed, shared.control.now());
    let found = shared.store.index.session(&id).ok().flatten();
    let view = found.map(|found| SessionView::new(&found, shared.is_live(&id)));
    serde_json::to_string(&view).unwrap_or_default()
}

fn list_here(shared: &Shared, wanted: Wanted) -> Option<String> {
    let filter = SessionFilter {
        since: wanted.since.as_deref().and_then(parse_time),
        principal: wanted.principal,
        table: wanted.table,
        run: wanted.run,
        live: true,
        limit: Some(wanted.limit.min(LISTED_MAX)),
    };
    let found = shared.store.index.sessions(&filter).ok()?;
    let live = found.iter().filter(|session| shared.is_live(&session.id));
    let views: Vec<_> = live.map(|session| SessionView::new(session, true)).collect();
    serde_json::to_string(&views).ok()
}

/// What became of a session that this gateway does not carry.
pub(crate) enum Elsewhere {
    /// It is ending there.
    Killed(Box<SessionView>),
    /// None of these carries it; those of the second list did not say.
    Nowhere(Vec<String>, Vec<String>),
}

/// Ends a session wherever it lives. `None` where there are no other gateways.
pub(crate) fn kill(
    shared: &Shared,
    session: &SessionId,
    actor: &str,
    reason: Option<&str>,
) -> Result<Option<Elsewhere>, ApiError> {
    let Some(peers) = &shared.store.peers else { return Ok(None) };
    let kill = Kill {
        session: session.0.to_string(),
        actor: actor.to_owned(),
        gateway: shared.store.gateway.to_string(),
        reason: reason.map(str::to_owned),
    };
    let about = serde_json::to_string(&kill).map_err(ApiError::internal)?;
    let is_done = |answer: &str| answer != ABSENT;
    let asked = peers.ask(KILL, &about, WAIT, is_done).map_err(|error| {
        let message = format!(
            "session {} is not live here, and other gateways cannot be asked: {error}",
            session.0
        );
        ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "state_unreachable", message)
    })?;
    if let Some((gateway, answer)) = asked.answers.iter().find(|(_, answer)| is_done(answer)) {
        let view: Option<SessionView> = serde_json::from_str(answer).map_err(ApiError::internal)?;
        let view = view.ok_or_else(|| {
            ApiError::internal(format!("{gateway} ended it and cannot say what it was"))
        })?;
        return Ok(Some(Elsewhere::Killed(Box::new(view))));
    }
    let asked_of = asked.answers.into_iter().map(|(gateway, _)| gateway).collect();
    Ok(Some(Elsewhere::Nowhere(asked_of, asked.silent)))
}

/// The live sessions of the other gateways, and what is to be said about those not heard.
pub(crate) fn sessions(shared: &Shared, wanted: &Wanted) -> (Vec<SessionView>, Option<String>) {
    let Some(peers) = &shared.store.peers else { return (Vec::new(), None) };
    let about = serde_json::to_string(wanted).unwrap_or_default();
    let asked = match peers.ask(SESSIONS, &about, WAIT, |_| false) {
        Ok(asked) => asked,
        Err(_) => {
            let note = "only the sessions of this gateway: the state database does not answer";
            return (Vec::new(), Some(note.to_owned()));
        }
    };
    let (mut all, mut silent) = (Vec::new(), asked.silent);
    for (gateway, answer) in asked.answers {
        match serde_json::from_str::<Vec<SessionView>>(&answer) {
            Ok(views) => all.extend(views),
            Err(_) => silent.push(gateway),
        }
    }
    let note = match silent.is_empty() {
        true => None,
        false => Some(format!("without the sessions of {}: no answer", silent.join(", "))),
    };
    (all, note)
}
