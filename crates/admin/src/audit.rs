//! Every change made through the API is an event in the journal.

use std::sync::Arc;

use axum::http::StatusCode;
use model::event::EVENT_VERSION;
use model::{Event, EventBody, Timestamp};
use store::{Journal, JournalError};

use crate::error::ApiError;

/// Writes administrative events.
#[derive(Clone)]
pub(crate) struct Audit {
    pub journal: Arc<Journal>,
    pub gateway: Arc<str>,
}

/// What is done, by whom, to what.
pub(crate) struct Deed<'a> {
    pub actor: &'a str,
    pub action: &'a str,
    pub target: &'a str,
    pub detail: Option<String>,
}

impl Audit {
    /// Records what widens someone's power, or shows what was recorded: it happens only if it is
    /// recorded.
    pub fn demand(&self, deed: Deed<'_>, now: Timestamp) -> Result<(), ApiError> {
        self.record(deed, now).map_err(|error| {
            tracing::error!(%error, "an administrative action was refused: it cannot be recorded");
            ApiError::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "journal",
                "the journal cannot be written, so this is refused",
            )
            .help("see the gateway's log; a full disk is the usual reason")
        })
    }

    /// Records what narrows it: revoking, killing and denying must work when the disk is full.
    pub fn note(&self, deed: Deed<'_>, now: Timestamp) {
        let (actor, action, target) =
            (deed.actor.to_owned(), deed.action.to_owned(), deed.target.to_owned());
        if let Err(error) = self.record(deed, now) {
            tracing::error!(%error, actor, action, target, "an administrative act is unrecorded");
        }
    }

    /// Writes a record for the sake of writing it.
    pub fn probe(&self, now: Timestamp) -> Result<(), JournalError> {
        let (actor, action, target) = ("gateway", "journal.probe", "journal");
        self.record(Deed { actor, action, target, detail: None }, now)
    }

    fn record(&self, deed: Deed<'_>, now: Timestamp) -> Result<(), JournalError> {
        let event = Event {
            v: EVENT_VERSION,
            at: now,
            gateway: Arc::clone(&self.gateway),
            session: None,
            sequence: 0,
            principal: None,
            on_behalf_of: None,
            resource: None,
            body: EventBody::Admin {
                actor: deed.actor.to_owned(),
                action: deed.action.to_owned(),
                target: deed.target.to_owned(),
                detail: deed.detail,
            },
            payload: Vec::new(),
        };
        self.journal.append(&[event]).map(|_| ())
    }
}
