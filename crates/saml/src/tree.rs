//! Reading a parsed document strictly: names with their namespaces, attributes without one, text
//! whole or not at all.

use uppsala::{Document, NodeId, NodeKind, Parser};

use crate::fault::{Fault, clipped};
use crate::plain::plain;

/// Namespace of the protocol's messages.
pub(crate) const PROTOCOL: &str = "urn:oasis:names:tc:SAML:2.0:protocol";
/// Namespace of assertions.
pub(crate) const ASSERTION: &str = "urn:oasis:names:tc:SAML:2.0:assertion";
/// Namespace of metadata.
pub(crate) const METADATA: &str = "urn:oasis:names:tc:SAML:2.0:metadata";
/// Namespace of XML signatures.
pub(crate) const DSIG: &str = "http://www.w3.org/2000/09/xmldsig#";

/// Reads a document that was found to be plain.
pub(crate) fn parse(document: &[u8]) -> Result<Document<'_>, Fault> {
    parse_text(plain(document)?)
}

fn parse_text(text: &str) -> Result<Document<'_>, Fault> {
    Parser::new()
        .with_forbid_dtd(true)
        .with_forbid_entities(true)
        .parse(text)
        .map_err(|error| Fault::Malformed(clipped(&error.to_string())))
}

/// The element that the document is.
pub(crate) fn root(document: &Document<'_>) -> Result<NodeId, Fault> {
    document.document_element().ok_or_else(|| Fault::Malformed("it is empty".to_owned()))
}

/// Whether an element has this name.
pub(crate) fn is(document: &Document<'_>, node: NodeId, space: &str, name: &str) -> bool {
    document.element(node).is_some_and(|element| element.matches_name_ns(space, name))
}

/// The name of an element, for words.
pub(crate) fn name_of(document: &Document<'_>, node: NodeId) -> String {
    document.element(node).map_or_else(String::new, |element| clipped(&element.name.local_name))
}

/// The value of an attribute. Attributes of another namespace are others.
pub(crate) fn attribute<'a>(
    document: &'a Document<'_>,
    node: NodeId,
    name: &str,
) -> Option<&'a str> {
    let attributes = &document.element(node)?.attributes;
    let found = attributes.iter().find(|one| one.name.matches(None, name));
    found.map(|one| &*one.value)
}

/// The elements directly inside.
pub(crate) fn children(document: &Document<'_>, node: NodeId) -> Vec<NodeId> {
    let all = document.children(node).into_iter();
    all.filter(|child| document.element(*child).is_some()).collect()
}

/// Those of a name.
pub(crate) fn all(document: &Document<'_>, node: NodeId, space: &str, name: &str) -> Vec<NodeId> {
    children(document, node).into_iter().filter(|child| is(document, *child, space, name)).collect()
}

/// The only one of a name, if there is one.
pub(crate) fn one(
    document: &Document<'_>,
    node: NodeId,
    (space, name): (&str, &'static str),
) -> Result<Option<NodeId>, Fault> {
    let found = all(document, node, space, name);
    match found.as_slice() {
        [] => Ok(None),
        [only] => Ok(Some(*only)),
        more => {
            Err(Fault::Malformed(format!("it has {} elements {name} where one is", more.len())))
        }
    }
}

/// The only one of a name, which has to be there.
pub(crate) fn the(
    document: &Document<'_>,
    node: NodeId,
    (space, name): (&str, &'static str),
) -> Result<NodeId, Fault> {
    one(document, node, (space, name))?.ok_or(Fault::Missing(name))
}

/// Every element of a name, however deep.
pub(crate) fn anywhere(document: &Document<'_>, space: &str, name: &str) -> Vec<NodeId> {
    let mut found = document.descendants(document.root());
    found.retain(|node| is(document, *node, space, name));
    found
}

/// The text of an element, all of it; there is nothing else inside.
pub(crate) fn text(document: &Document<'_>, node: NodeId) -> Result<String, Fault> {
    let mut whole = String::new();
    for child in document.children(node) {
        match document.node_kind(child) {
            Some(NodeKind::Text(part)) => whole.push_str(part),
            _ => {
                let message = format!("{} holds more than text", name_of(document, node));
                return Err(Fault::Malformed(message));
            }
        }
    }
    Ok(whole)
}

/// The text of an element that is a name or an address: without space around it (XML Schema
/// part 2, section 4.3.6).
pub(crate) fn token(document: &Document<'_>, node: NodeId) -> Result<String, Fault> {
    text(document, node).map(|text| text.trim_ascii().to_owned())
}
