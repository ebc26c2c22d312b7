//! Exchanges whose request carries the gateway's credential: what of them nobody may see.

use bytes::Bytes;
use engine::Happening;
use http::{HeaderMap, HeaderName, HeaderValue};
use hyper::body::Frame;
use model::Side;
use model::exchange::Part;

use super::{Exchange, NotAnswered};
use crate::web::echo::Shown;

impl Exchange {
    /// Some of a reply to a request that carried it: where it stands in the reply, that ends before
    /// it, in the record too.
    pub(super) fn heard_beside_a_credential(&mut self, frame: Frame<Bytes>) {
        let is_last = self.answer.as_ref().is_some_and(http_body::Body::is_end_stream);
        let shown = match frame.into_data() {
            Ok(bytes) => match self.intake.pass(bytes) {
                Ok(piece) => {
                    if !piece.is_empty() {
                        let part = Part::Data(piece);
                        self.work.push_back(Happening::Data(Side::Upstream, part));
                    }
                    if is_last {
                        self.answer = None;
                        self.heard_rest();
                        self.work.push_back(Happening::Data(Side::Upstream, Part::End));
                    }
                    false
                }
                Err(Shown) => true,
            },
            Err(frame) => match frame.into_trailers() {
                Ok(fields) if self.intake.is_in_fields(&fields) => true,
                Ok(fields) => {
                    self.heard_rest();
                    let part = Part::Trailers(Box::new(fields));
                    self.work.push_back(Happening::Data(Side::Upstream, part));
                    false
                }
                Err(_) => false,
            },
        };
        if shown {
            self.answer = None;
            self.not_answered(&NotAnswered::Echoed);
        }
    }

    /// No more of the reply's body comes that a credential could go on in.
    pub(super) fn heard_rest(&mut self) {
        let rest = self.intake.rest();
        if !rest.is_empty() {
            self.work.push_back(Happening::Data(Side::Upstream, Part::Data(rest)));
        }
    }
}

/// Removes fields that a server which takes `_` for `-` would read as one of these.
pub(super) fn remove_alike(fields: &mut HeaderMap, credential: &[(HeaderName, HeaderValue)]) {
    let folded = |name: &HeaderName| name.as_str().replace('_', "-");
    let own: Vec<String> = credential.iter().map(|(name, _)| folded(name)).collect();
    let alike: Vec<HeaderName> = fields
        .keys()
        .filter(|name| name.as_str().contains('_') && own.contains(&folded(name)))
        .cloned()
        .collect();
    for name in alike {
        fields.remove(name);
    }
}
