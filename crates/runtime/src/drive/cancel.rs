//! A cancel on a connection of its own.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::sync::oneshot;
use tokio::sync::oneshot::error::TryRecvError;

use crate::mailbox::{CANCELLERS_MAX, Canceller};

/// A cancel that was sent, and those who wait for it.
pub(super) struct Cancel {
    /// Closed when it has taken place, or has failed.
    took_place: oneshot::Receiver<()>,
    cancellers: Vec<Canceller>,
}

impl Cancel {
    pub fn new(took_place: oneshot::Receiver<()>, cancellers: Vec<Canceller>) -> Self {
        Self { took_place, cancellers }
    }

    /// Whether it has neither taken place nor failed.
    pub fn is_under_way(&mut self) -> bool {
        self.took_place.try_recv() == Err(TryRecvError::Empty)
    }

    /// Ready when it is over.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        Pin::new(&mut self.took_place).poll(cx).map(drop)
    }

    /// Has more wait for it, as many as may.
    pub fn join(&mut self, cancellers: Vec<Canceller>) {
        let room = CANCELLERS_MAX.saturating_sub(self.cancellers.len());
        self.cancellers.extend(cancellers.into_iter().take(room));
    }

    pub fn into_cancellers(self) -> Vec<Canceller> {
        self.cancellers
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cancel_is_under_way_until_it_has_taken_place_though_nobody_has_looked() {
        let (over, took_place) = oneshot::channel();
        let mut cancel = Cancel::new(took_place, Vec::new());
        assert!(cancel.is_under_way());
        drop(over);
        assert!(!cancel.is_under_way());
    }
}
