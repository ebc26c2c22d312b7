//! What the index needs to know of an event.

use std::sync::Arc;

use model::event::Verdict;
use model::operation::Objects;
use model::{DetectionCount, Event, EventBody, OperationId, SessionId, Timestamp};

/// Taken from an event while it is appended, at the cost of a few reference counts.
#[derive(Clone, Debug)]
pub(crate) struct Note {
    pub(super) session: SessionId,
    pub(super) gateway: Arc<str>,
    pub(super) at: Timestamp,
    pub(super) sequence: u64,
    pub(super) principal: Option<Arc<str>>,
    pub(super) resource: Option<Arc<str>>,
    pub(super) segment: u64,
    pub(super) start: u64,
    pub(super) stop: u64,
    pub(super) what: What,
}

#[derive(Clone, Debug)]
pub(super) enum What {
    Started(Box<Started>),
    Ended { reason: Box<str> },
    Operation { objects: Arc<Objects>, decision: Verdict },
    Ruling { decision: Verdict },
    Part { operation: OperationId, rows: u64, bytes: u64 },
    Reply { operation: OperationId, rows: u64, bytes: u64, detections: Vec<DetectionCount> },
    Other,
}

#[derive(Clone, Debug)]
pub(super) struct Started {
    pub(super) client: String,
    pub(super) application: Option<String>,
    pub(super) protocol: String,
    pub(super) token: Option<Arc<str>>,
    pub(super) run: Option<String>,
}

impl Note {
    /// `None` for events that belong to no session.
    pub(crate) fn of(event: &Event, segment: u64, start: u64, stop: u64) -> Option<Self> {
        let what = match &event.body {
            EventBody::SessionRefused { .. } => return None,
            EventBody::SessionStarted { principal, client, application, protocol, run } => {
                What::Started(Box::new(Started {
                    client: client.clone(),
                    application: application.clone(),
                    protocol: protocol.clone(),
                    token: principal.token.as_ref().map(|token| Arc::clone(&token.0)),
                    run: run.clone(),
                }))
            }
            EventBody::SessionEnded { reason, .. } => {
                What::Ended { reason: reason.as_str().into() }
            }
            EventBody::Operation { objects, decision, .. } => {
                What::Operation { objects: Arc::clone(objects), decision: *decision }
            }
            EventBody::Ruling { decision, .. } => What::Ruling { decision: *decision },
            EventBody::ReplyPart { operation, rows, bytes, .. } => {
                What::Part { operation: *operation, rows: *rows, bytes: *bytes }
            }
            EventBody::Reply { operation, rows, bytes, detections, .. } => What::Reply {
                operation: *operation,
                rows: *rows,
                bytes: *bytes,
                detections: detections.clone(),
            },
            _ => What::Other,
        };
        Some(Self {
            session: event.session.clone()?,
            gateway: Arc::clone(&event.gateway),
            at: event.at,
            sequence: event.sequence,
            principal: event.principal.clone(),
            resource: event.resource.clone(),
            segment,
            start,
            stop,
            what,
        })
    }
}
