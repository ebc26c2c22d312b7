//! The request that a sign-in begins with: `AuthnRequest` by the HTTP-Redirect binding (SAML
//! Bindings section 3.4).

use std::io::Write as _;

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::write::DeflateEncoder;
use model::Timestamp;
use url::form_urlencoded::byte_serialize;

use crate::metadata::{escaped, written};
use crate::plan::{PlanError, ProviderPlan, Service};
use crate::provider::Begun;
use crate::tree::{ASSERTION, PROTOCOL};

/// Longest handle, bytes (section 3.4.3).
const RELAY_BYTES_MAX: usize = 80;
const RSA_SHA256: &str = "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256";

/// The ID of the request with a handle. It follows from the handle, so an answer, in which the
/// provider signs what it answers, belongs to the handle that comes back beside it.
#[must_use]
pub fn request_of(handle: &str) -> String {
    let hash = digest::digest(&digest::SHA256, format!("saml request {handle}").as_bytes());
    // An ID is a name, so it does not begin with a digit.
    let mut id = "_".to_owned();
    for byte in hash.as_ref().iter().take(20) {
        id.push_str(&format!("{byte:02x}"));
    }
    id
}

pub(crate) fn begin(
    plan: &ProviderPlan,
    service: &Service,
    now: Timestamp,
    relay: &str,
) -> Result<Begun, PlanError> {
    if relay.len() > RELAY_BYTES_MAX {
        return Err(PlanError("a handle of more than 80 bytes".to_owned()));
    }
    let request = request_of(relay);
    let document = format!(
        "<samlp:AuthnRequest xmlns:samlp=\"{PROTOCOL}\" xmlns:saml=\"{ASSERTION}\" \
         ID=\"{request}\" Version=\"2.0\" IssueInstant=\"{}\" Destination=\"{}\" \
         ProtocolBinding=\"urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST\" \
         AssertionConsumerServiceURL=\"{}\"><saml:Issuer>{}</saml:Issuer></samlp:AuthnRequest>",
        written(now),
        escaped(plan.sso_url.as_str()),
        escaped(service.acs.as_str()),
        escaped(&service.entity_id),
    );
    let mut query = format!("SAMLRequest={}", encoded(&deflated(&document)?));
    query.push_str(&format!("&RelayState={}", encoded(relay)));
    if let Some(signer) = &service.signer {
        // Section 3.4.4.1: over the octets of the query as they are sent, in this order.
        query.push_str(&format!("&SigAlg={}", encoded(RSA_SHA256)));
        let signature = signer
            .sign(query.as_bytes())
            .ok_or_else(|| PlanError("the request could not be signed".to_owned()))?;
        query.push_str(&format!("&Signature={}", encoded(&signature)));
    }
    let mut url = plan.sso_url.clone();
    let before = url.query().filter(|query| !query.is_empty());
    let whole = before.map_or_else(|| query.clone(), |before| format!("{before}&{query}"));
    url.set_query(Some(&whole));
    Ok(Begun { url, request })
}

fn deflated(document: &str) -> Result<String, PlanError> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::default());
    let written = encoder.write_all(document.as_bytes()).and_then(|()| encoder.finish());
    let bytes = written.map_err(|error| PlanError(format!("the request: {error}")))?;
    Ok(STANDARD.encode(bytes))
}

fn encoded(text: &str) -> String {
    byte_serialize(text.as_bytes()).collect()
}
