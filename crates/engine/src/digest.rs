//! What an approval is bound to (R11).

use aws_lc_rs::digest::{Context, SHA256};
use model::{Operation, Principal, Resource};

/// SHA-256 over everything that gives an operation its meaning: resource, principal, exact text,
/// parameter types and values, and the protocol's own context (search path, role, objects named).
/// Every part is preceded by its length, so no two different operations share an encoding.
pub(crate) fn operation_digest(
    resource: &Resource,
    principal: &Principal,
    operation: &Operation,
) -> [u8; 32] {
    let mut hash = Context::new(&SHA256);
    part(&mut hash, resource.name.as_bytes());
    part(&mut hash, resource.kind.as_bytes());
    part(&mut hash, principal.issuer.as_bytes());
    part(&mut hash, principal.subject.as_bytes());
    part(&mut hash, principal.on_behalf_of.as_deref().unwrap_or("").as_bytes());
    part(&mut hash, operation.text.as_bytes());
    hash.update(&(operation.parameters.len() as u64).to_be_bytes());
    for parameter in &operation.parameters {
        part(&mut hash, parameter.kind.as_bytes());
        match &parameter.value {
            Some(value) => {
                hash.update(&[1]);
                part(&mut hash, value.as_bytes());
            }
            None => hash.update(&[0]),
        }
    }
    part(&mut hash, operation.context.as_bytes());
    let mut out = [0; 32];
    out.copy_from_slice(hash.finish().as_ref());
    out
}

fn part(hash: &mut Context, bytes: &[u8]) {
    hash.update(&(bytes.len() as u64).to_be_bytes());
    hash.update(bytes);
}
