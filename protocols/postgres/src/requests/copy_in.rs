//! Data for a COPY FROM STDIN.

use bytes::Bytes;
use engine::Outbox;

use crate::expected::What;
use crate::ready::{Incoming, Ready};

impl Ready {
    /// Data for a COPY FROM STDIN belongs to the operation that started it.
    pub(super) fn copy_data(&mut self, out: &mut Outbox<Bytes>) {
        let Some(Incoming::Frame(frame)) = self.pop_frame() else { return };
        let copying = self.expected.iter().rev().find_map(|expected| match &expected.what {
            What::Rows(rows) if rows.copies_in => expected.permit.as_ref(),
            _ => None,
        });
        // Without one the server would ignore it too: a COPY that failed (PostgreSQL 17, "COPY
        // Operations").
        if let Some(permit) = copying {
            out.more(permit.operation(), frame.bytes);
            self.flushed = false;
        }
    }
}
