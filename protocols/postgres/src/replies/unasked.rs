//! What nobody asked for: notices, notifications, changed settings.

use bytes::Bytes;
use engine::{Fault, Outbox, Unsolicited};
use model::Side;

use super::outgoing::Outgoing;
use crate::message;
use crate::ready::Ready;
use crate::scrub;

impl Ready {
    /// Masks hide stored columns here, so words of the server may quote them.
    pub fn must_scrub(&self) -> bool {
        !self.masks.is_empty()
            && self.snapshot().is_none_or(|snapshot| self.has_masks(&snapshot.catalog))
    }

    pub(super) fn unasked(
        &mut self,
        tag: u8,
        frame: &Bytes,
        going: &mut Outgoing,
        out: &mut Outbox<Bytes>,
    ) -> Result<(), Fault> {
        let body = frame.get(5..).unwrap_or_default();
        going.flush(out);
        let kind = match tag {
            b'A' => Unsolicited::Notification,
            b'N' | b'E' => Unsolicited::Notice,
            _ => {
                let mut reader = message::Reader::new(body, Side::Upstream);
                let name = String::from_utf8_lossy(reader.cstr()?);
                self.settings.reported(&name, &String::from_utf8_lossy(reader.cstr()?));
                Unsolicited::Parameter
            }
        };
        let unit = match tag {
            b'A' | b'N' | b'E' if self.must_scrub() => {
                let scrubbed = match tag {
                    b'A' => scrub::scrub_notification(body),
                    _ => scrub::scrub_report(body),
                };
                message::message(tag, |out| out.extend_from_slice(&scrubbed))
            }
            _ => frame.clone(),
        };
        out.unsolicited(kind, unit);
        Ok(())
    }
}
