//! The proof by one of our own tokens.

use model::{Claim, Principal, Timestamp};
use store::{TokenError, Tokens};

use super::NotProved;

pub(super) fn prove(
    tokens: &Tokens,
    claim: &Claim,
    now: Timestamp,
) -> Result<Principal, NotProved> {
    tokens.verify(claim.secret.expose(), now).map_err(|error| match error {
        TokenError::Unknown => NotProved::Unknown,
        TokenError::Expired => NotProved::Expired,
        TokenError::Revoked => NotProved::Revoked,
    })
}
