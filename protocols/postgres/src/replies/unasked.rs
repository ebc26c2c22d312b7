//! What nobody asked for: notices, notifications, changed settings.

use bytes::Bytes;
use engine::{Fault, Outbox, Unsolicited};
use model::{DetectionCount, Side};

use super::outgoing::Outgoing;
use crate::message;
use crate::ready::Ready;
use crate::scrub;

impl Ready {
    /// Masks hide stored columns here, so words of the server may quote them.
    pub fn must_scrub(&self) -> bool {
        !self.masks.is_empty()
            && (self.hid.is_some() || !self.hides().is_empty() || self.has_masks_now())
    }

    fn has_masks_now(&self) -> bool {
        self.snapshot().is_none_or(|snapshot| self.has_masks(&snapshot.catalog))
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
        let mut found = Vec::new();
        let said = match kind {
            Unsolicited::Parameter => None,
            Unsolicited::Notice | Unsolicited::Notification => self.said(tag, body, &mut found),
        };
        let unit = match said {
            Some(said) => message::message(tag, |out| out.extend_from_slice(&said)),
            None => frame.clone(),
        };
        out.unsolicited(kind, unit);
        // A notification is another session's, whatever runs here.
        let is_its_own = kind == Unsolicited::Notice && self.runs().is_some();
        if !found.is_empty() && is_its_own && !self.is_withheld() {
            self.toward(going, out);
            going.found.append(&mut found);
        }
        Ok(())
    }

    /// What reaches the client instead of these words, where they must not.
    fn said(&self, tag: u8, body: &[u8], found: &mut Vec<DetectionCount>) -> Option<Bytes> {
        let scrubbed = self.must_scrub().then(|| match tag {
            b'A' => scrub::scrub_notification(body),
            _ => scrub::scrub_report(body),
        });
        let words = scrubbed.as_deref().unwrap_or(body);
        let withheld = self.words_unasked().and_then(|sought| match tag {
            b'A' => sought.notification(words, found),
            _ => sought.report(words, found),
        });
        withheld.or(scrubbed)
    }
}
