//! What the server says in words (errors, notices, notifications), searched for sensitive values as
//! rows are.

use std::sync::Arc;

use bytes::Bytes;
use engine::{MaskKind, Permit, Sought};
use model::DetectionCount;

use crate::mask::Detections;
use crate::ready::{Ready, counted};
use crate::scrub;

/// What is looked for in words.
pub(super) struct Words(Detections);

impl Words {
    /// The report without its words, where these must not reach the client. What was recognised is
    /// added to `found`. Names that hold none of it stay.
    pub fn report(&self, body: &[u8], found: &mut Vec<DetectionCount>) -> Option<Bytes> {
        let hides = scrub::texts(body).is_none_or(|texts| self.0.hides_words(&texts, found));
        let in_name = |name: &[u8]| self.0.hides_words(&[name], &mut Vec::new());
        hides.then(|| scrub::withhold_report(body, in_name))
    }

    /// The same for a notification, which keeps its channel unless that is what must not. One that
    /// cannot be read keeps nothing.
    pub fn notification(&self, body: &[u8], found: &mut Vec<DetectionCount>) -> Option<Bytes> {
        let Some((process, channel, payload)) = scrub::notified(body) else {
            return Some(scrub::notification(0, b""));
        };
        let hides_channel = self.0.hides_words(&[channel], found);
        let hides = self.0.hides_words(&[payload], found) || hides_channel;
        hides.then(|| scrub::notification(process, if hides_channel { b"" } else { channel }))
    }
}

impl Ready {
    /// The permit of what the server is at.
    pub(super) fn runs(&self) -> Option<&Arc<Permit>> {
        self.expected.front().and_then(|expected| expected.permit.as_ref())
    }

    /// For an error, which is judged with the reply that it is part of; that of a Sync alone is
    /// part of none. `None`: nothing is sought.
    pub(super) fn words_of_error(&self) -> Option<Words> {
        let Some(permit) = self.runs() else { return self.words_unasked() };
        let sought = counted(Sought::under(permit));
        Detections::new(permit.masks().detections(), sought).map(Words)
    }

    /// For what the client gets before any rule is asked: what a rule could stop a reply for is
    /// hidden.
    pub(super) fn words_unasked(&self) -> Option<Words> {
        let permit = self.runs();
        let sought = permit.map_or(Sought::Not, |permit| Sought::under(permit)).max(self.sought);
        let plan = permit.map_or(&self.masks, |permit| permit.masks());
        let all = counted(sought);
        let mut hidden = plan.detections().to_vec();
        if sought == Sought::ToStop {
            hidden.extend(all.iter().map(|found| (found, MaskKind::Redact)));
        }
        Detections::new(&hidden, all).map(Words)
    }
}
