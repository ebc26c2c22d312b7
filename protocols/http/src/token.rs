//! The proof of who asks: where a request carries a token for the gateway.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{AUTHORIZATION, PROXY_AUTHORIZATION};
use http::{HeaderMap, HeaderName, HeaderValue};
use model::Secret;
use model::exchange::{Door, Request};

/// How tokens of the gateway begin.
const PREFIX: &str = "nrw_";
/// Fields in which clients of model endpoints and other APIs put their key.
const KEY_FIELDS: [&str; 4] = ["x-api-key", "api-key", "x-goog-api-key", "private-token"];

/// What a client proves itself with.
pub struct Proof {
    /// The token.
    pub token: Secret<String>,
    /// What the client calls itself beside it.
    pub user: String,
}

/// Finds the token; `None` when there is none, or none that could be one.
pub fn find(request: &Request) -> Option<Proof> {
    match &request.door {
        Door::Forward | Door::Redirected(_) => credentials(&request.fields, &PROXY_AUTHORIZATION),
        Door::Tunnel(tunnel) => credentials(&tunnel.fields, &PROXY_AUTHORIZATION),
        Door::Reverse => credentials(&request.fields, &AUTHORIZATION).or_else(|| {
            KEY_FIELDS.iter().find_map(|name| {
                let value = request.fields.get(*name)?.to_str().ok()?.trim();
                is_token(value).then(|| proof(value, ""))
            })
        }),
    }
}

/// Takes every token of the gateway out of what goes upstream.
pub fn remove(fields: &mut HeaderMap) {
    let ours: Vec<HeaderName> = fields
        .iter()
        .filter(|(_, value)| holds(value.as_bytes()) || decoded(value).is_some_and(|v| holds(&v)))
        .map(|(name, _)| name.clone())
        .collect();
    for name in ours {
        fields.remove(name);
    }
}

/// Whether a token of the gateway may stand in it.
#[must_use]
pub fn holds(bytes: &[u8]) -> bool {
    // Its last byte is the rarest.
    let ends = |at: usize| bytes.get(..=at).is_some_and(|to| to.ends_with(PREFIX.as_bytes()));
    memchr::memchr_iter(b'_', bytes).any(ends)
}

/// What a `Basic` credential says.
fn decoded(value: &HeaderValue) -> Option<Vec<u8>> {
    let (scheme, rest) = value.to_str().ok()?.trim().split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    STANDARD.decode(rest.trim()).ok()
}

/// RFC 6750 (`Bearer`) and RFC 7617 (`Basic`, the token as password or, alone, as user).
fn credentials(fields: &HeaderMap, name: &HeaderName) -> Option<Proof> {
    let mut values = fields.get_all(name).iter();
    let value = values.next()?.to_str().ok()?.trim();
    if values.next().is_some() {
        return None;
    }
    let (scheme, rest) = value.split_once(' ')?;
    let rest = rest.trim();
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some(proof(rest, ""));
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = String::from_utf8(STANDARD.decode(rest).ok()?).ok()?;
    let (user, password) = decoded.split_once(':')?;
    if !is_token(password) && is_token(user) {
        return Some(proof(user, ""));
    }
    Some(proof(password, user))
}

fn proof(token: &str, user: &str) -> Proof {
    Proof { token: Secret::new(token.to_owned()), user: user.to_owned() }
}

fn is_token(value: &str) -> bool {
    value.starts_with(PREFIX)
}
