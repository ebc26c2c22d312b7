//! What a receiver is to the thread that feeds it.

use std::time::Duration;

use model::limit::STREAM_PAUSE_MAX;

use crate::item::Item;

/// Why events were not sent.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum SendError {
    /// The receiver cannot take anything now: it is away, busy, or not set up. To be tried again.
    #[error("{why}")]
    Away {
        /// What happened.
        why: String,
        /// How long it asked to be left alone.
        pause: Option<Duration>,
    },
    /// The receiver understood and does not take exactly this. Others may go better.
    #[error("{0}")]
    Refused(String),
}

impl SendError {
    /// The receiver cannot take anything now, for this reason.
    #[must_use]
    pub fn away(why: impl Into<String>) -> Self {
        Self::Away { why: why.into(), pause: None }
    }

    /// How long to leave the receiver alone: `own`, or what it asked for if that is longer, within
    /// bounds.
    #[must_use]
    pub fn pause(&self, own: Duration) -> Duration {
        match self {
            Self::Away { pause: Some(asked), .. } => (*asked).min(STREAM_PAUSE_MAX).max(own),
            Self::Away { pause: None, .. } | Self::Refused(_) => own,
        }
    }
}

/// A receiver that cannot be used as it is configured; the operator's to mend.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{0}")]
pub struct UnusableSink(pub String);

/// A receiver of events.
pub trait Sink: Send {
    /// Sends events, all or, after an error, perhaps some.
    ///
    /// # Errors
    ///
    /// When the receiver is away or refuses.
    fn send(&mut self, batch: &[Item]) -> Result<(), SendError>;

    /// How long the way to the receiver must stay open after something was sent until that counts
    /// as received. Zero: [`Self::send`] returns when it was received.
    fn settles(&self) -> Duration {
        Duration::ZERO
    }

    /// Whether the way to the receiver is still open.
    ///
    /// # Errors
    ///
    /// It is not: what was sent and has not settled has to be sent again.
    fn check(&mut self) -> Result<(), SendError> {
        Ok(())
    }

    /// Ends the connection; whether everything sent was received.
    fn close(&mut self) -> bool {
        self.settles().is_zero()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p8_a_pause_that_a_receiver_asks_for_is_bounded_on_both_sides() {
        let own = Duration::from_secs(2);
        let asked = |pause| SendError::Away { why: String::new(), pause };
        for (pause, wanted) in [
            (None, own),
            (Some(Duration::ZERO), own),
            (Some(Duration::from_secs(3)), Duration::from_secs(3)),
            (Some(Duration::MAX), STREAM_PAUSE_MAX),
        ] {
            assert_eq!(asked(pause).pause(own), wanted, "{pause:?}");
        }
        assert_eq!(SendError::Refused(String::new()).pause(own), own);
    }
}
