//! Data for a COPY FROM STDIN.

use bytes::Bytes;
use engine::Outbox;

use crate::expected::{Expected, What};
use crate::ready::{Incoming, Ready};

/// What becomes of a message beside a COPY FROM STDIN.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Beside {
    /// It goes its way.
    Goes,
    /// It waits until the COPY is answered.
    Waits,
    /// The server waits for data, and this is none.
    IsWrong,
}

impl Ready {
    /// Data for a COPY FROM STDIN belongs to the operation that started it.
    pub(super) fn copy_data(&mut self, out: &mut Outbox<Bytes>) {
        let Some(Incoming::Frame(frame)) = self.pop_frame() else { return };
        if matches!(frame.tag, b'c' | b'f') {
            self.data_ends();
        }
        let copying =
            self.expected.iter_mut().rev().find_map(|expected| match &mut expected.what {
                What::Rows(rows) if rows.copies_in => {
                    rows.data_began = true;
                    expected.permit.as_ref()
                }
                _ => None,
            });
        // Without one the server would ignore it too: a COPY that failed (PostgreSQL 17, "COPY
        // Operations").
        if let Some(permit) = copying {
            out.more(permit.operation(), frame.bytes);
            self.flushed = false;
        }
    }

    /// What becomes of a message that comes while a COPY FROM STDIN is not answered. Which of those
    /// behind it the server takes for data, ignores or answers depends on how far it has come.
    pub(super) fn beside_copy(&self, tag: u8) -> Beside {
        let copying = self.expected.iter().find_map(|expected| match &expected.what {
            What::Rows(rows) if rows.copies_in => Some(rows),
            _ => None,
        });
        let Some(rows) = copying else { return Beside::Goes };
        let lacks_data = rows.taken > rows.data_ends;
        match tag {
            b'd' | b'c' | b'f' | b'H' | b'X' => Beside::Goes,
            // Behind the data of a Query, of which another statement may take data.
            b'S' if rows.data_ends > 0 && rows.portal.is_none() && !lacks_data => Beside::Waits,
            // Whether it is among the data, or behind a COPY that failed, is not told yet.
            b'S' if rows.data_began && rows.data_ends == 0 && !rows.takes_data => Beside::Waits,
            b'S' => Beside::Goes,
            _ if lacks_data => Beside::IsWrong,
            _ => Beside::Waits,
        }
    }

    fn data_ends(&mut self) {
        let mut syncs = 0;
        for expected in self.expected.iter_mut().rev() {
            match &mut expected.what {
                What::Sync => syncs += 1,
                What::Rows(rows) if rows.copies_in => {
                    rows.data_ends = rows.data_ends.saturating_add(1);
                    rows.syncs_before_end.get_or_insert(syncs);
                    return;
                }
                _ => {}
            }
        }
    }

    /// The server takes data for the statement first in line, and ignores every Sync until the data
    /// ends (PostgreSQL 17, `CopyGetData`). In the extended protocol a client sends one right
    /// behind Execute and another one after the data.
    pub(crate) fn takes_data(&mut self) {
        let Some(Expected { what: What::Rows(rows), .. }) = self.expected.front_mut() else {
            return;
        };
        rows.takes_data = true;
        rows.taken = rows.taken.saturating_add(1);
        let mut ignored = rows.syncs_before_end.unwrap_or(usize::MAX);
        let mut ends = false;
        self.expected.retain(|expected| {
            let ignores = ignored > 0 && matches!(expected.what, What::Sync);
            if ignores {
                ignored -= 1;
                ends |= expected.ends;
            }
            !ignores
        });
        if let Some(first) = self.expected.front_mut() {
            first.ends |= ends;
        }
    }

    /// Whether a Sync that comes now is not sent on. In the middle of data the server ignores it;
    /// when the data has failed before, it answers the one behind.
    pub(crate) fn ignores_sync(&self) -> bool {
        self.expected.iter().any(|expected| match &expected.what {
            What::Rows(rows) => rows.takes_data && rows.syncs_before_end.is_none(),
            _ => false,
        })
    }
}
