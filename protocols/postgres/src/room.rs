//! Room for messages that are not whole yet, or not decided.
//!
//! A message may be long, and is judged when it is whole. Many sessions that each keep most of one
//! would together take more memory than there is. So all sessions have a bound together, and past
//! it each may have a little: what most messages need (P8).

use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use engine::{Fault, Outbox};
use model::Side;

use crate::message::{Report, Severity};
use crate::ready::Ready;

/// Bytes of all sessions together before a session may have only [`OWN_BYTES`] of them.
const ALL_BYTES_MAX: usize = 256 * 1024 * 1024;
/// Bytes that each session may have whatever the others have.
const OWN_BYTES: usize = 64 * 1024;

/// What all sessions of this process have.
static ALL: AtomicUsize = AtomicUsize::new(0);

/// What one session has.
#[derive(Debug, Default)]
pub(crate) struct Room(usize);

impl Room {
    /// Notes what the session has now; `false` when it has more than before, and more than there
    /// is room for.
    #[must_use]
    pub fn has(&mut self, bytes: usize) -> bool {
        let before = std::mem::replace(&mut self.0, bytes);
        if bytes <= before {
            ALL.fetch_sub(before.saturating_sub(bytes), Ordering::Relaxed);
            return true;
        }
        let more = bytes.saturating_sub(before);
        let all = ALL.fetch_add(more, Ordering::Relaxed).saturating_add(more);
        bytes <= OWN_BYTES || all <= ALL_BYTES_MAX
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        ALL.fetch_sub(self.0, Ordering::Relaxed);
    }
}

impl Ready {
    /// Ends the session that keeps more than there is room for while all have so much (P8).
    pub fn fit(&mut self, out: &mut Outbox<Bytes>) -> Result<(), Fault> {
        let client = self.frames_bytes.saturating_add(self.inbox.len());
        if self.room.has(client.saturating_add(self.inflow.kept())) || self.over {
            return Ok(());
        }
        let report = Report {
            severity: Severity::Fatal,
            code: "53200",
            message: "sessions together keep too much of long messages; try again later",
            detail: None,
            hint: None,
            position: None,
        };
        out.control(Side::Client, report.to_message());
        self.over = true;
        Err(Fault::client("a long message while there is no room for it"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p8_long_messages_of_all_sessions_have_a_bound_and_short_ones_always_pass() {
        let (mut greedy, mut long, mut short) = (Room::default(), Room::default(), Room::default());
        assert!(greedy.has(ALL_BYTES_MAX - OWN_BYTES - 1));
        assert!(long.has(OWN_BYTES + 1), "exactly the bound");
        assert!(!long.has(OWN_BYTES + 2), "one past it");
        assert!(short.has(OWN_BYTES), "little is always taken");
        assert!(long.has(1), "less than before is never too much");
        drop(greedy);
        assert!(long.has(ALL_BYTES_MAX / 2), "what ended is given back");
    }
}
