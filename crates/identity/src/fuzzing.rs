//! The entry point of the fuzz target.

use model::{Principal, Timestamp};

use crate::jwt::Fault;
use crate::keys::Keys;
use crate::plan::IssuerPlan;
use crate::{claims, jwt};

/// What is made of a token by the keys of a set; the keys come first.
///
/// # Errors
/// The key set is none, in words, or the token is not believed.
pub fn judge(
    plan: &IssuerPlan,
    keys: &[u8],
    token: &str,
    now: Timestamp,
) -> Result<Result<Principal, Fault>, String> {
    let keys = Keys::read(keys, plan.is_trust_domain()).map_err(|why| why.to_string())?;
    let judged = jwt::peek(token).and_then(|says| {
        if !plan.is_named(says.iss.as_deref(), says.sub.as_deref()) {
            return Err(Fault::Issuer("another".to_owned()));
        }
        let verified = jwt::verify(plan, &keys, token, now)?;
        claims::principal(plan, token, &verified)
    });
    Ok(judged)
}
