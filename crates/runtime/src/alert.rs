//! Alerts on their way to people.

use std::sync::Arc;

use model::{OperationId, SessionId};

/// An `alert` rule matched. It is in the journal already.
#[derive(Clone, Debug)]
pub struct Alert {
    /// The session.
    pub session: SessionId,
    /// Which of its operations.
    pub operation: OperationId,
    /// Who, once proved.
    pub principal: Option<Arc<str>>,
    /// On what.
    pub resource: Option<Arc<str>>,
    /// The rule.
    pub rule: Arc<str>,
    /// Its words.
    pub message: String,
}

/// Carries alerts to people. Called on the data path: it must return at once and keep whatever it
/// queues bounded.
pub trait Notify: Send + Sync {
    /// Carries one alert.
    fn alert(&self, alert: &Alert);
}
