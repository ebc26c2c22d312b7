//! What of a document is signed by one of the provider's keys: the octets, and nothing else.
//!
//! The XML signature is checked by `bergshamra`. Before it sees the document, the document has to
//! fit a profile in which XML Signature has no choices left (SAML Core section 5.4, narrower):
//! at most one signature of the answer and one of its only assertion, directly inside of what it
//! signs; one reference, to the ID of that; no two IDs alike; the enveloped-signature transform and
//! exclusive canonicalization without comments; RSA or ECDSA with SHA-2. The `KeyInfo` of a
//! signature is taken out before it is checked: the keys are those of the configuration.
//!
//! Then the octets that the digest is over are made once more, their digest is compared with the
//! signed one here too, and they are what is handed on.

use std::collections::HashSet;

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bergshamra_c14n::C14nMode;
use bergshamra_dsig::{DsigContext, VerifyResult};
use bergshamra_keys::KeysManager;
use bergshamra_xml::NodeSet;
use uppsala::{Document, NodeId, NodeKind};

use crate::fault::{Fault, clipped};
use crate::tree::{
    ASSERTION, DSIG, PROTOCOL, all, anywhere, attribute, children, is, name_of, one, parse, root,
    text, the,
};

const EXCLUSIVE: &str = "http://www.w3.org/2001/10/xml-exc-c14n#";
const ENVELOPED: &str = "http://www.w3.org/2000/09/xmldsig#enveloped-signature";
/// What a signature may be made with.
const METHODS: &[&str] = &[
    "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256",
    "http://www.w3.org/2001/04/xmldsig-more#rsa-sha384",
    "http://www.w3.org/2001/04/xmldsig-more#rsa-sha512",
    "http://www.w3.org/2007/05/xmldsig-more#sha256-rsa-MGF1",
    "http://www.w3.org/2007/05/xmldsig-more#sha384-rsa-MGF1",
    "http://www.w3.org/2007/05/xmldsig-more#sha512-rsa-MGF1",
    "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha256",
    "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha384",
    "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha512",
];
/// What a digest may be made with.
const DIGESTS: &[(&str, &digest::Algorithm)] = &[
    ("http://www.w3.org/2001/04/xmlenc#sha256", &digest::SHA256),
    ("http://www.w3.org/2001/04/xmldsig-more#sha384", &digest::SHA384),
    ("http://www.w3.org/2001/04/xmlenc#sha512", &digest::SHA512),
];
/// Prefixes of namespaces in one document.
const PREFIXES_MAX: usize = 32;
/// Longest name of a namespace, bytes.
const NAMESPACE_BYTES_MAX: usize = 256;

/// What is signed, as the octets that its digest is over.
#[derive(Debug)]
pub(crate) struct Signed {
    /// An XML document of its own.
    pub octets: Vec<u8>,
    /// Whether it is the whole answer; otherwise it is the assertion.
    pub whole: bool,
}

/// The signed part of an answer: all of it if it is signed itself, otherwise its assertion. Every
/// signature in it has to be right.
pub(crate) fn signed(text: &[u8], keys: &KeysManager) -> Result<Signed, Fault> {
    let document = parse(text)?;
    let answer = root(&document)?;
    if !is(&document, answer, PROTOCOL, "Response") {
        let message = format!("it is a {}, and no Response", name_of(&document, answer));
        return Err(Fault::Malformed(message));
    }
    let assertion = only_assertion(&document, answer)?;
    namespaces_are_few(&document)?;
    ids_are_unique(&document)?;
    let mut found = Vec::new();
    for signature in anywhere(&document, DSIG, "Signature") {
        let signs = document.parent(signature);
        let target = signs.filter(|parent| *parent == answer || *parent == assertion);
        let Some(target) = target else {
            let message = "it stands where no signature belongs".to_owned();
            return Err(Fault::Profile(message));
        };
        if found.iter().any(|(_, other, _)| *other == target) {
            return Err(Fault::Profile("there are two of the same element".to_owned()));
        }
        found.push((signature, target, Profile::of(&document, signature, target)?));
    }
    if found.is_empty() {
        return Err(Fault::Unsigned);
    }
    for index in 0..found.len() {
        verify(text, keys, (&found, index))?;
    }
    // The answer's own signature comes first if there is one: it is over more.
    let outer = found.iter().find(|(_, target, _)| *target == answer).or(found.first());
    let (signature, target, profile) = outer.ok_or(Fault::Unsigned)?;
    let octets = profile.octets(&document, *signature, *target)?;
    Ok(Signed { octets, whole: *target == answer })
}

/// The one assertion there is, directly inside of the answer.
fn only_assertion(document: &Document<'_>, answer: NodeId) -> Result<NodeId, Fault> {
    if !anywhere(document, ASSERTION, "EncryptedAssertion").is_empty() {
        return Err(Fault::Encrypted);
    }
    match anywhere(document, ASSERTION, "Assertion").as_slice() {
        [] => Err(Fault::Missing("Assertion")),
        [only] if document.parent(*only) == Some(answer) => Ok(*only),
        [_] => Err(Fault::Malformed("its assertion is not directly inside of it".to_owned())),
        more => Err(Fault::Malformed(format!("it has {} assertions", more.len()))),
    }
}

/// Canonicalization writes namespaces again wherever they are used first, so a long one that many
/// elements use would make gigabytes of a small document, before any signature is checked.
fn namespaces_are_few(document: &Document<'_>) -> Result<(), Fault> {
    let mut prefixes = HashSet::new();
    for node in document.descendants(document.root()) {
        let Some(element) = document.element(node) else { continue };
        for (prefix, name) in &element.namespace_declarations {
            if name.len() > NAMESPACE_BYTES_MAX {
                return Err(Fault::NotPlain("a namespace of more than 256 bytes"));
            }
            prefixes.insert(&**prefix);
            if prefixes.len() > PREFIXES_MAX {
                return Err(Fault::NotPlain("more than 32 prefixes of namespaces"));
            }
        }
    }
    Ok(())
}

/// Whatever a library may take for an ID is there once.
fn ids_are_unique(document: &Document<'_>) -> Result<(), Fault> {
    let mut seen = HashSet::new();
    for node in document.descendants(document.root()) {
        let Some(element) = document.element(node) else { continue };
        let ids = element.attributes.iter().filter(|attribute| {
            let name = attribute.name.local_name.to_ascii_lowercase();
            ["id", "assertionid"].contains(&&*name)
        });
        for (index, id) in ids.enumerate() {
            if index > 0 {
                return Err(Fault::Malformed("an element has two IDs".to_owned()));
            }
            if !seen.insert(id.value.to_string()) {
                return Err(Fault::Malformed(format!("the ID {:?} is twice", clipped(&id.value))));
            }
        }
    }
    Ok(())
}

/// What a signature says of itself, once it is of the one form.
struct Profile {
    digest: &'static digest::Algorithm,
    value: Vec<u8>,
    prefixes: Vec<String>,
}

impl Profile {
    fn of(document: &Document<'_>, signature: NodeId, target: NodeId) -> Result<Self, Fault> {
        shape(document, signature, (&["SignedInfo", "SignatureValue"], &["KeyInfo"]))?;
        bare(document, signature, &["Id"])?;
        let info = the(document, signature, (DSIG, "SignedInfo"))?;
        bare(document, info, &["Id"])?;
        let parts = ["CanonicalizationMethod", "SignatureMethod", "Reference"];
        shape(document, info, (&parts, &[]))?;
        let canonical = the(document, info, (DSIG, "CanonicalizationMethod"))?;
        exclusive(document, canonical)?;
        let method = the(document, info, (DSIG, "SignatureMethod"))?;
        algorithm(document, method, METHODS)?;
        empty(document, method)?;
        let value = the(document, signature, (DSIG, "SignatureValue"))?;
        bare(document, value, &["Id"])?;
        text(document, value)?;

        let reference = the(document, info, (DSIG, "Reference"))?;
        bare(document, reference, &["Id", "URI"])?;
        shape(document, reference, (&["Transforms", "DigestMethod", "DigestValue"], &[]))?;
        let id = attribute(document, target, "ID").filter(|id| !id.is_empty());
        let refers = attribute(document, reference, "URI").and_then(|uri| uri.strip_prefix('#'));
        if id.is_none() || refers != id {
            let message = format!("it is not over the ID of {}", name_of(document, target));
            return Err(Fault::Profile(message));
        }
        let transforms = the(document, reference, (DSIG, "Transforms"))?;
        bare(document, transforms, &[])?;
        shape(document, transforms, (&["Transform", "Transform"], &[]))?;
        let [first, second] = <[NodeId; 2]>::try_from(children(document, transforms))
            .map_err(|_| Fault::Profile("it has other than two transforms".to_owned()))?;
        algorithm(document, first, &[ENVELOPED])?;
        empty(document, first)?;
        let prefixes = exclusive(document, second)?;
        let method = the(document, reference, (DSIG, "DigestMethod"))?;
        let names: Vec<&str> = DIGESTS.iter().map(|(name, _)| *name).collect();
        let named = algorithm(document, method, &names)?;
        empty(document, method)?;
        let digest = DIGESTS.iter().find(|(name, _)| *name == named).map(|(_, digest)| *digest);
        let digest = digest.ok_or_else(|| Fault::Profile("an unknown digest".to_owned()))?;
        let value = the(document, reference, (DSIG, "DigestValue"))?;
        bare(document, value, &[])?;
        let value: String = text(document, value)?.split_ascii_whitespace().collect();
        let value = STANDARD
            .decode(value)
            .map_err(|_| Fault::Profile("its digest is not base64".to_owned()))?;
        Ok(Self { digest, value, prefixes })
    }

    /// What the digest is over; again, and compared.
    fn octets(
        &self,
        document: &Document<'_>,
        signature: NodeId,
        target: NodeId,
    ) -> Result<Vec<u8>, Fault> {
        let mut nodes = NodeSet::tree_without_comments(target, document);
        nodes.remove_id(signature);
        for inside in document.descendants(signature) {
            nodes.remove_id(inside);
        }
        let octets = bergshamra_c14n::canonicalize_doc(
            document,
            C14nMode::Exclusive,
            Some(&nodes),
            &self.prefixes,
        )
        .map_err(|error| Fault::Signature(clipped(&error.to_string())))?;
        if digest::digest(self.digest, &octets).as_ref() != self.value {
            return Err(Fault::Signature("what it is over was changed".to_owned()));
        }
        Ok(octets)
    }
}

/// The children of an element, all of XML Signature, in order; those at the end may be missing.
fn shape(
    document: &Document<'_>,
    node: NodeId,
    (must, may): (&[&str], &[&str]),
) -> Result<(), Fault> {
    let wrong = |found: &str| {
        let name = name_of(document, node);
        Err(Fault::Profile(format!("{name} holds {found}, where {} belongs", must.join(", "))))
    };
    let mut expected = must.iter().chain(may);
    let found = children(document, node);
    for child in &found {
        let fits = expected.next().is_some_and(|name| is(document, *child, DSIG, name));
        if !fits {
            return wrong(&name_of(document, *child));
        }
    }
    if found.len() < must.len() {
        return wrong("too little");
    }
    let is_text = |child: NodeId| match document.node_kind(child) {
        Some(NodeKind::Text(text)) => !text.trim_ascii().is_empty(),
        _ => false,
    };
    if document.children(node).into_iter().any(is_text) {
        return wrong("text");
    }
    Ok(())
}

/// An element has these attributes at most, none of them of another namespace: a library that does
/// not look at namespaces could take one for the other.
fn bare(document: &Document<'_>, node: NodeId, may: &[&str]) -> Result<(), Fault> {
    let Some(element) = document.element(node) else { return Ok(()) };
    for attribute in &element.attributes {
        if !may.iter().any(|name| attribute.name.matches(None, name)) {
            let name = clipped(&attribute.name.prefixed_name());
            let message = format!("{} has an attribute {name}", name_of(document, node));
            return Err(Fault::Profile(message));
        }
    }
    Ok(())
}

fn empty(document: &Document<'_>, node: NodeId) -> Result<(), Fault> {
    shape(document, node, (&[], &[]))
}

fn algorithm<'a>(
    document: &'a Document<'_>,
    node: NodeId,
    known: &[&str],
) -> Result<&'a str, Fault> {
    bare(document, node, &["Algorithm"])?;
    let named = attribute(document, node, "Algorithm").unwrap_or_default();
    if known.contains(&named) {
        return Ok(named);
    }
    let message = format!("{} is {:?}", name_of(document, node), clipped(named));
    Err(Fault::Profile(message))
}

/// Exclusive canonicalization, and the prefixes that it keeps besides.
fn exclusive(document: &Document<'_>, node: NodeId) -> Result<Vec<String>, Fault> {
    algorithm(document, node, &[EXCLUSIVE])?;
    let inside = children(document, node);
    let [only] = inside.as_slice() else {
        return empty(document, node).map(|()| Vec::new());
    };
    let listed = all(document, node, EXCLUSIVE, "InclusiveNamespaces");
    if listed.is_empty() {
        return empty(document, node).map(|()| Vec::new());
    }
    bare(document, *only, &["PrefixList"])?;
    empty(document, *only)?;
    let list = attribute(document, *only, "PrefixList").unwrap_or_default();
    let prefixes: Vec<String> = list.split_whitespace().map(str::to_owned).collect();
    if prefixes.len() > PREFIXES_MAX {
        return Err(Fault::Profile("it keeps more than 32 prefixes".to_owned()));
    }
    Ok(prefixes)
}

/// A signature is right, over what it has to be over, by one of the keys.
fn verify(
    text: &[u8],
    keys: &KeysManager,
    (found, index): (&[(NodeId, NodeId, Profile)], usize),
) -> Result<(), Fault> {
    let wrong = |why: &str| Fault::Signature(clipped(why));
    let Some((signature, target, _)) = found.get(index) else { return Err(Fault::Unsigned) };
    // A document of its own: what is taken out here may be under the other signature. Nodes have
    // the same names in it, because it is the same text.
    let mut document = parse(text)?;
    if let Some(info) = one(&document, *signature, (DSIG, "KeyInfo"))? {
        document.detach(info);
    }
    // Its defaults: keys of the manager alone, references to ancestors alone, digests required.
    let context = DsigContext::new(keys.clone())
        .with_trusted_keys_only(true)
        .with_strict_verification(true)
        .with_require_reference_digests(true);
    let results = bergshamra_dsig::verify::verify_all_document(&context, &document)
        .map_err(|error| wrong(&error.to_string()))?;
    if results.len() != found.len() {
        return Err(wrong("not every signature was checked"));
    }
    match results.get(index) {
        Some(VerifyResult::Valid { signature_node, references, .. }) => {
            let [reference] = references.as_slice() else {
                return Err(wrong("it has other than one reference"));
            };
            let fits = signature_node == signature
                && reference.resolved_node == Some(*target)
                && reference.digest_verified;
            if fits { Ok(()) } else { Err(wrong("it is over another element")) }
        }
        Some(VerifyResult::Invalid { reason }) => Err(wrong(reason)),
        None => Err(wrong("it was not checked")),
    }
}
