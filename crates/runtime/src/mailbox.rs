//! How the rest of the process reaches the task that owns a connection.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

use model::OperationId;
use tokio::sync::{mpsc, oneshot};

use crate::hold::Placed;

/// Notes that wait at once. Those that carry something answer what the connection itself asked for
/// and waits for, so a few suffice; the others are [`Note::Look`], of which one waiting is enough.
const NOTES_MAX: usize = 64;
/// Those who wait for a cancel to be passed on; others do not wait.
pub(crate) const CANCELLERS_MAX: usize = 16;

/// Who asked for a cancel waits until this is dropped.
pub(crate) type Canceller = oneshot::Sender<()>;

/// What the task is told.
pub(crate) enum Note {
    /// Something changed in the mailbox or the gateway: a stop, a cancel, a survey, new rules.
    Look,
    /// What became of an approval request.
    Placed(OperationId, Placed),
    /// An approver answered.
    Answered(OperationId, store::Answer),
}

/// The sending half, shared with whoever may concern the connection.
///
/// What must not be lost is a flag here, not a note: a full channel can then lose only a nudge, and
/// a full channel is a nudge itself.
pub(crate) struct Mailbox {
    notes: mpsc::Sender<Note>,
    stop: OnceLock<&'static str>,
    cancel: AtomicBool,
    cancellers: Mutex<Vec<Canceller>>,
    refreshed: AtomicUsize,
}

impl Mailbox {
    pub fn new() -> (Self, mpsc::Receiver<Note>) {
        let (notes, receiver) = mpsc::channel(NOTES_MAX);
        let mailbox = Self {
            notes,
            stop: OnceLock::new(),
            cancel: AtomicBool::new(false),
            cancellers: Mutex::default(),
            refreshed: AtomicUsize::new(0),
        };
        (mailbox, receiver)
    }

    /// Ends the connection; the first reason given counts.
    pub fn stop(&self, reason: &'static str) {
        let _ = self.stop.set(reason);
        self.look();
    }

    /// Asks for the running operation to be cancelled. What is returned is closed when the upstream
    /// was asked to, or need not be.
    pub fn cancel(&self) -> oneshot::Receiver<()> {
        let (canceller, passed_on) = oneshot::channel();
        {
            let mut cancellers = self.cancellers.lock().unwrap_or_else(PoisonError::into_inner);
            if cancellers.len() < CANCELLERS_MAX {
                cancellers.push(canceller);
            }
        }
        self.cancel.store(true, Ordering::Release);
        self.look();
        passed_on
    }

    /// Says that one survey it asked for is complete.
    pub fn refreshed(&self) {
        self.refreshed.fetch_add(1, Ordering::Release);
        self.look();
    }

    /// Has the task look at what changed.
    pub fn look(&self) {
        self.tell(Note::Look);
    }

    /// Delivers a note; `false` when it was dropped because the channel is full or the task gone.
    pub fn tell(&self, note: Note) -> bool {
        self.notes.try_send(note).is_ok()
    }

    pub fn stop_reason(&self) -> Option<&'static str> {
        self.stop.get().copied()
    }

    /// Those who asked for a cancel since the last call, if anyone did.
    pub fn take_cancel(&self) -> Option<Vec<Canceller>> {
        if !(self.cancel.load(Ordering::Relaxed) && self.cancel.swap(false, Ordering::Acquire)) {
            return None;
        }
        let mut cancellers = self.cancellers.lock().unwrap_or_else(PoisonError::into_inner);
        Some(std::mem::take(&mut *cancellers))
    }

    /// Surveys completed since the last call.
    pub fn take_refreshed(&self) -> usize {
        self.refreshed.swap(0, Ordering::Acquire)
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot::error::TryRecvError;

    use super::*;

    #[test]
    fn p8_a_full_mailbox_loses_no_stop_and_no_cancel() {
        let (mailbox, mut notes) = Mailbox::new();
        for _ in 0..NOTES_MAX + 1 {
            mailbox.look();
        }
        let mut passed_on: Vec<_> = (0..CANCELLERS_MAX + 1).map(|_| mailbox.cancel()).collect();
        mailbox.refreshed();
        mailbox.refreshed();
        mailbox.stop("killed");
        mailbox.stop("revoked");
        assert!(notes.try_recv().is_ok(), "the task is woken all the same");
        assert_eq!(mailbox.stop_reason(), Some("killed"));
        let cancellers = mailbox.take_cancel().expect("a cancel");
        assert_eq!(cancellers.len(), CANCELLERS_MAX);
        let mut waits = |at: usize| passed_on[at].try_recv() == Err(TryRecvError::Empty);
        assert!(waits(0) && !waits(CANCELLERS_MAX), "one too many does not wait");
        drop(cancellers);
        assert!(!waits(0));
        assert!(mailbox.take_cancel().is_none());
        assert_eq!(mailbox.take_refreshed(), 2);
        assert_eq!(mailbox.take_refreshed(), 0);
    }
}
