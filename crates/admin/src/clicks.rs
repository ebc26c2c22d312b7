//! Answers that come as clicks in Slack, asked through one small trait.

use std::fmt;
use std::sync::Arc;

use model::{Principal, Timestamp};
use store::Approval;

/// What believes clicks and replies to them. Written by the binary.
pub trait Slack: Send + Sync + 'static {
    /// Takes a request; `None` when it is Slack's and answers nothing.
    ///
    /// # Errors
    ///
    /// When it is not to be believed.
    fn take(
        &self,
        signed: &SlackSigned<'_>,
        now: Timestamp,
    ) -> Result<Option<SlackClick>, SlackRefused>;
}

/// A request that says it comes from Slack.
#[derive(Clone, Copy, Debug)]
pub struct SlackSigned<'a> {
    /// `X-Slack-Request-Timestamp`
    pub timestamp: &'a str,
    /// `X-Slack-Signature`
    pub signature: &'a str,
    /// The body, byte for byte.
    pub body: &'a [u8],
}

/// Why a request is not taken.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum SlackRefused {
    /// Clicks are not taken here at all.
    Unwanted(String),
    /// Nobody vouches for it, or not for now.
    Unproved(String),
    /// It is signed, and is no click.
    Malformed(String),
    /// Too many came.
    Busy(String),
}

/// A click that Slack vouches for.
pub struct SlackClick {
    /// Slack's id of the user.
    pub user: String,
    /// Who that is, if the configuration says so.
    pub person: Option<Arc<Principal>>,
    /// The request that is answered.
    pub approval: String,
    /// Yes or no.
    pub yes: bool,
    /// Says what came of it. May wait for Slack.
    pub reply: Box<dyn FnOnce(&SlackOutcome) + Send>,
}

/// What came of a click.
#[derive(Clone, Debug)]
pub enum SlackOutcome {
    /// It counts, and the request stands like this.
    Counts(Box<Approval>),
    /// It does not, for this reason.
    Refused(String),
}

impl fmt::Debug for SlackClick {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SlackClick")
            .field("user", &self.user)
            .field("approval", &self.approval)
            .field("yes", &self.yes)
            .finish_non_exhaustive()
    }
}
