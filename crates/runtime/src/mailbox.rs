//! How the rest of the process reaches the task that owns a connection.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use model::OperationId;
use tokio::sync::mpsc;

use crate::hold::Placed;

/// Notes that wait at once. Those that carry something answer what the connection itself asked for
/// and waits for, so a few suffice; the others are [`Note::Look`], of which one waiting is enough.
const NOTES_MAX: usize = 64;

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
    refreshed: AtomicUsize,
}

impl Mailbox {
    pub fn new() -> (Self, mpsc::Receiver<Note>) {
        let (notes, receiver) = mpsc::channel(NOTES_MAX);
        let (cancel, refreshed) = (AtomicBool::new(false), AtomicUsize::new(0));
        (Self { notes, stop: OnceLock::new(), cancel, refreshed }, receiver)
    }

    /// Ends the connection; the first reason given counts.
    pub fn stop(&self, reason: &'static str) {
        let _ = self.stop.set(reason);
        self.look();
    }

    /// Asks for the running operation to be cancelled.
    pub fn cancel(&self) {
        self.cancel.store(true, Ordering::Release);
        self.look();
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

    /// Whether a cancel was asked for since the last call.
    pub fn take_cancel(&self) -> bool {
        self.cancel.load(Ordering::Relaxed) && self.cancel.swap(false, Ordering::Acquire)
    }

    /// Surveys completed since the last call.
    pub fn take_refreshed(&self) -> usize {
        self.refreshed.swap(0, Ordering::Acquire)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p8_a_full_mailbox_loses_no_stop_and_no_cancel() {
        let (mailbox, mut notes) = Mailbox::new();
        for _ in 0..NOTES_MAX + 1 {
            mailbox.look();
        }
        mailbox.cancel();
        mailbox.refreshed();
        mailbox.refreshed();
        mailbox.stop("killed");
        mailbox.stop("revoked");
        assert!(notes.try_recv().is_ok(), "the task is woken all the same");
        assert_eq!(mailbox.stop_reason(), Some("killed"));
        assert!(mailbox.take_cancel());
        assert!(!mailbox.take_cancel());
        assert_eq!(mailbox.take_refreshed(), 2);
        assert_eq!(mailbox.take_refreshed(), 0);
    }
}
