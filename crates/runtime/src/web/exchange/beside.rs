//! Exchanges whose request carries the gateway's credential: what of them nobody may see.

use bytes::Bytes;
use engine::Happening;
use http::{HeaderMap, HeaderName};
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

/// Removes fields that carry the gateway's credential or, at a server that takes `_` for `-`, would
/// be read as one that does.
pub(super) fn remove_own(fields: &mut HeaderMap, own: &[String]) {
    let is_own = |name: &HeaderName| {
        let alike = |(a, b): (u8, u8)| {
            a.eq_ignore_ascii_case(&b) || b"-_".contains(&a) && b"-_".contains(&b)
        };
        own.iter().any(|own| {
            own.len() == name.as_str().len() && own.bytes().zip(name.as_str().bytes()).all(alike)
        })
    };
    if own.is_empty() || !fields.keys().any(is_own) {
        return;
    }
    let names: Vec<HeaderName> = fields.keys().filter(|name| is_own(name)).cloned().collect();
    for name in names {
        fields.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn p7_no_field_that_reads_like_the_credentials_own_goes_along() {
        let own = ["X-Api-Key".to_owned(), "Authorization".to_owned()];
        let left = |name: &str| {
            let name = HeaderName::try_from(name).expect("a name");
            let mut fields = HeaderMap::from_iter([(name, HeaderValue::from_static("x"))]);
            remove_own(&mut fields, &own);
            !fields.is_empty()
        };
        for gone in ["x-api-key", "x_api_key", "X-API_KEY", "authorization"] {
            assert!(!left(gone), "{gone}");
        }
        for other in ["x-api-key2", "xapikey", "x-apikey", "x.api.key", "accept"] {
            assert!(left(other), "{other}");
        }
    }
}
