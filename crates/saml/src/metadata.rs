//! Metadata: what a provider says of itself, and what it has to be told of us.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp as Moment;
use model::Timestamp;
use uppsala::{Document, NodeId};
use url::Url;

use crate::fault::Fault;
use crate::plan::{Certificate, PlanError, Service};
use crate::tree::{
    DSIG, METADATA, PROTOCOL, all, anywhere, attribute, is, name_of, one, root, text,
};

/// Longest metadata, bytes.
const METADATA_BYTES_MAX: usize = 1 << 20;
const REDIRECT: &str = "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect";
const POST: &str = "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST";

/// A provider, as its metadata describes it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Described {
    /// Its name.
    pub entity_id: String,
    /// Where people are sent (HTTP-Redirect binding).
    pub sso_url: Url,
    /// The certificates it signs with.
    pub certificates: Vec<Certificate>,
    /// Whether it takes signed requests only.
    pub wants_signed_requests: bool,
}

/// Reads the metadata of a provider. It is believed because of where it is from: a signature of it
/// is not looked at. Of several providers in it, `entity_id` names the one that is meant.
///
/// # Errors
/// It cannot be read, or lacks what is needed; in words for the operator.
pub fn describe(metadata: &[u8], entity_id: Option<&str>) -> Result<Described, PlanError> {
    let wrong = |fault: Fault| PlanError(fault.to_string());
    if metadata.len() > METADATA_BYTES_MAX {
        return Err(PlanError("it is longer than 1 MiB".to_owned()));
    }
    let text = std::str::from_utf8(metadata)
        .map_err(|_| PlanError("it holds bytes beyond UTF-8".to_owned()))?;
    // The operator's own file may have comments; document types it has no more than answers.
    let document = uppsala::Parser::new()
        .with_max_depth(64)
        .with_forbid_dtd(true)
        .parse(text)
        .map_err(|error| PlanError(format!("it is no XML: {error}")))?;
    let top = root(&document).map_err(wrong)?;
    let named = name_of(&document, top);
    if !["EntityDescriptor", "EntitiesDescriptor"]
        .iter()
        .any(|name| is(&document, top, METADATA, name))
    {
        let message = format!("it is a {named}; metadata is an EntityDescriptor");
        return Err(PlanError(message));
    }
    let entities: Vec<NodeId> = anywhere(&document, METADATA, "EntityDescriptor")
        .into_iter()
        .filter(|entity| !all(&document, *entity, METADATA, "IDPSSODescriptor").is_empty())
        .filter(|entity| {
            entity_id.is_none_or(|wanted| attribute(&document, *entity, "entityID") == Some(wanted))
        })
        .collect();
    match entities.as_slice() {
        [only] => entity(&document, *only),
        [] => Err(PlanError("it describes no identity provider of that name".to_owned())),
        more => Err(PlanError(format!(
            "it describes {} identity providers; write which with entity_id",
            more.len()
        ))),
    }
}

fn entity(document: &Document<'_>, entity: NodeId) -> Result<Described, PlanError> {
    let wrong = |fault: Fault| PlanError(fault.to_string());
    let missing = |what: &str| PlanError(format!("it has no {what}"));
    let entity_id = attribute(document, entity, "entityID").unwrap_or_default();
    if entity_id.is_empty() {
        return Err(missing("entityID"));
    }
    let role = one(document, entity, (METADATA, "IDPSSODescriptor"))
        .map_err(wrong)?
        .ok_or_else(|| missing("IDPSSODescriptor"))?;
    let services = all(document, role, METADATA, "SingleSignOnService");
    let redirect = services
        .into_iter()
        .find(|service| attribute(document, *service, "Binding") == Some(REDIRECT))
        .and_then(|service| attribute(document, service, "Location"))
        .ok_or_else(|| missing("SingleSignOnService with the HTTP-Redirect binding"))?;
    let sso_url =
        Url::parse(redirect).map_err(|error| PlanError(format!("its Location: {error}")))?;
    let mut certificates = Vec::new();
    for key in all(document, role, METADATA, "KeyDescriptor") {
        if attribute(document, key, "use").is_some_and(|what| what != "signing") {
            continue;
        }
        for info in all(document, key, DSIG, "KeyInfo") {
            for data in all(document, info, DSIG, "X509Data") {
                for one in all(document, data, DSIG, "X509Certificate") {
                    certificates.push(certificate(&text(document, one).map_err(wrong)?)?);
                }
            }
        }
    }
    certificates.dedup();
    if certificates.is_empty() {
        return Err(missing("X509Certificate to sign with"));
    }
    let wants = attribute(document, role, "WantAuthnRequestsSigned");
    Ok(Described {
        entity_id: entity_id.to_owned(),
        sso_url,
        certificates,
        wants_signed_requests: matches!(wants, Some("true" | "1")),
    })
}

fn certificate(letters: &str) -> Result<Certificate, PlanError> {
    let letters: String = letters.split_ascii_whitespace().collect();
    let der = STANDARD
        .decode(letters)
        .map_err(|_| PlanError("one of its certificates is not base64".to_owned()))?;
    Certificate::new(der)
}

/// What a provider has to be told of us.
pub(crate) fn of_service(service: &Service) -> String {
    let (signs, key) = match &service.signer {
        None => ("false", String::new()),
        Some(signer) => {
            let certificate = signer.certificate().base64();
            let key = format!(
                "<md:KeyDescriptor use=\"signing\"><ds:KeyInfo xmlns:ds=\"{DSIG}\"><ds:X509Data>\
                 <ds:X509Certificate>{certificate}</ds:X509Certificate></ds:X509Data>\
                 </ds:KeyInfo></md:KeyDescriptor>"
            );
            ("true", key)
        }
    };
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<md:EntityDescriptor xmlns:md=\"{METADATA}\" \
         entityID=\"{}\"><md:SPSSODescriptor AuthnRequestsSigned=\"{signs}\" \
         WantAssertionsSigned=\"true\" protocolSupportEnumeration=\"{PROTOCOL}\">{key}\
         <md:AssertionConsumerService Binding=\"{POST}\" Location=\"{}\" index=\"0\" \
         isDefault=\"true\"/></md:SPSSODescriptor></md:EntityDescriptor>\n",
        escaped(&service.entity_id),
        escaped(service.acs.as_str()),
    )
}

/// A text as it stands in XML, between tags or quotes.
pub(crate) fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&apos;"),
            c => safe.push(c),
        }
    }
    safe
}

/// A time as it stands in XML, in whole seconds.
pub(crate) fn written(time: Timestamp) -> String {
    let seconds = i64::try_from(time.seconds()).unwrap_or(i64::MAX);
    Moment::from_second(seconds).unwrap_or(Moment::MAX).to_string()
}
